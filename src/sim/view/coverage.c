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

static void add(void *to, const void *from, size_t len_bytes)
{
	uint32_t *into = to;
	const uint32_t *more = from;

	/* Most of it is empty, and stays without memory. */
	for (size_t i = 0; i < len_bytes / sizeof(*into); i++)
		if ((into[i] | more[i]) != into[i])
			into[i] |= more[i];
}

/* Where states of a device are counted: of one type and number. COVERAGE_DEVICES: no place is left. */
static unsigned place_of(struct sim_coverage *c, uint32_t type, uint32_t number)
{
	for (unsigned i = 0; i < COVERAGE_DEVICES; i++) {
		if (c->devices[i].type == 0) {
			c->devices[i].type = type;
			c->devices[i].number = number;
		}
		if (c->devices[i].type == type && c->devices[i].number == number)
			return i;
	}
	return COVERAGE_DEVICES;
}

void sim_coverage_add(struct sim_coverage *to, const struct sim_coverage *from)
{
	static_assert(offsetof(struct sim_coverage, devices) % sizeof(uint32_t) == 0 &&
			      offsetof(struct sim_coverage, devices[0].states) % sizeof(uint32_t) == 0 &&
			      offsetof(struct sim_coverage, devices[0].transitions) % sizeof(uint32_t) == 0 &&
			      offsetof(struct sim_coverage, places) % sizeof(uint32_t) == 0,
		      "words");
	add(to->faults, from->faults, sizeof(to->faults));
	add(to->places, from->places, sizeof(to->places));
	for (unsigned i = 0; i < COVERAGE_DEVICES; i++) {
		unsigned at = from->devices[i].type != 0 ? place_of(to, from->devices[i].type, from->devices[i].number)
							 : COVERAGE_DEVICES;

		if (at == COVERAGE_DEVICES)
			continue;
		add(to->devices[at].states, from->devices[i].states, sizeof(to->devices[at].states));
		add(to->devices[at].transitions, from->devices[i].transitions, sizeof(to->devices[at].transitions));
	}
}

void coverage_state(unsigned device, const void *type, unsigned before, unsigned now)
{
	unsigned at;

	if (before >= COVERAGE_STATES || now >= COVERAGE_STATES)
		return;
	at = place_of(coverage, (uint32_t)((uintptr_t)type - world_text_base), device);
	if (at == COVERAGE_DEVICES)
		return;
	coverage->devices[at].states[now] = 1;
	coverage->devices[at].transitions[before][now / 8] |= (uint8_t)(1u << now % 8);
}
