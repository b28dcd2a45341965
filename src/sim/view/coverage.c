/* SPDX-License-Identifier: BSD-2-Clause */
/* Collecting what runs come by, and putting it together. What it means is coverage_lines.c's and coverage_text.c's. */
#include "sim/view/cover.h"

#include <assert.h>

static struct sim_coverage own; /* of the process, not of a run */
struct sim_coverage *coverage = &own;

void sim_coverage_into(struct sim_coverage *into)
{
	coverage = into != NULL ? into : &own;
}

struct sim_coverage *sim_coverage(void)
{
	return coverage;
}

void sim_coverage_add(struct sim_coverage *to, const struct sim_coverage *from)
{
	uint32_t *into = (uint32_t *)(void *)to;
	const uint32_t *more = (const uint32_t *)(const void *)from;

	static_assert(sizeof(*to) % sizeof(*into) == 0, "words");
	/* Most of it is empty, and stays without memory. */
	for (size_t i = 0; i < sizeof(*to) / sizeof(*into); i++)
		if ((into[i] | more[i]) != into[i])
			into[i] |= more[i];
}

void coverage_state(unsigned device, const void *type, unsigned before, unsigned now)
{
	if (device >= COVERAGE_DEVICES || before >= COVERAGE_STATES || now >= COVERAGE_STATES)
		return;
	coverage->devices[device].type = (uint32_t)((uintptr_t)type - world_text_base);
	coverage->devices[device].states[now] = 1;
	coverage->devices[device].transitions[before][now / 8] |= (uint8_t)(1u << now % 8);
}
