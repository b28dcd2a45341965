/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs that are less than their seeds say. */
#include "sim/explore/cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const cut_choice_names[SIM_CHOICE_COUNT] = {
	[SIM_CHOICE_PREEMPT] = "preemptions", [SIM_CHOICE_STALL] = "stalls",
	[SIM_CHOICE_WARP] = "warps",          [SIM_CHOICE_LATE_STORE] = "late_stores",
	[SIM_CHOICE_OLD_LOAD] = "old_loads",  [SIM_CHOICE_INTERRUPT] = "interrupts",
	[SIM_CHOICE_FAULT] = "faults",
};

int cut_keep_all(struct explore_cut *cut, const uint32_t counts[SIM_CHOICE_COUNT])
{
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++) {
		struct cut_choices *c = &cut->choices[k];

		free(c->numbers);
		c->count = 0;
		c->numbers = calloc((size_t)counts[k] + 1, sizeof(*c->numbers));
		if (c->numbers == NULL)
			return -ENOMEM;
		for (uint32_t i = 0; i < counts[k]; i++)
			c->numbers[c->count++] = i;
	}
	cut->planned = true;
	return 0;
}

int cut_copy(struct explore_cut *to, const struct explore_cut *from)
{
	to->load_max = from->load_max;
	to->cpus_max = from->cpus_max;
	to->channels_max = from->channels_max;
	to->steps_max = from->steps_max;
	to->planned = from->planned;
	for (unsigned k = 0; k < SIM_CHOICE_COUNT && from->planned; k++) {
		struct cut_choices *c = &to->choices[k];
		uint32_t *numbers = realloc(c->numbers, ((size_t)from->choices[k].count + 1) * sizeof(*numbers));

		if (numbers == NULL)
			return -ENOMEM;
		c->numbers = numbers;
		c->count = from->choices[k].count;
		memcpy(numbers, from->choices[k].numbers, c->count * sizeof(*numbers));
	}
	return 0;
}

void cut_trim(struct explore_cut *cut, const uint32_t counts[SIM_CHOICE_COUNT])
{
	for (unsigned k = 0; k < SIM_CHOICE_COUNT && cut->planned; k++) {
		struct cut_choices *c = &cut->choices[k];

		while (c->count > 0 && c->numbers[c->count - 1] >= counts[k])
			c->count--;
	}
}

int cut_plan(struct explore_cut *cut)
{
	for (unsigned k = 0; k < SIM_CHOICE_COUNT && cut->planned; k++) {
		const struct cut_choices *c = &cut->choices[k];
		uint32_t last = c->count > 0 ? c->numbers[c->count - 1] : 0;

		free(cut->bits[k]);
		cut->bits[k] = calloc((size_t)last / 64 + 1, sizeof(uint64_t));
		if (cut->bits[k] == NULL)
			return -ENOMEM;
		for (uint32_t i = 0; i < c->count; i++)
			cut->bits[k][c->numbers[i] / 64] |= 1ull << (c->numbers[i] % 64);
		cut->plan.bits[k] = cut->bits[k];
		cut->plan.count[k] = c->count > 0 ? last + 1 : 0;
	}
	return 0;
}

void cut_free(struct explore_cut *cut)
{
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++) {
		free(cut->choices[k].numbers);
		free(cut->bits[k]);
	}
	memset(cut, 0, sizeof(*cut));
}

void cut_apply(const struct explore_cut *cut, struct sim_config *config)
{
	config->load_max = cut->load_max;
	config->cpus_max = cut->cpus_max;
	config->channels_max = cut->channels_max;
	config->steps_max = cut->steps_max;
	config->plan = cut->planned ? &cut->plan : NULL;
}
