/* SPDX-License-Identifier: BSD-2-Clause */
/* What a seed decides about its world: no way of looking finds everything, so each seed looks in a way of its own. */
#include "sim/fault/fault.h"

static void vary(uint64_t seed, struct sim_config *c)
{
	static const unsigned rates[] = {4, 16, 64, 256, 1024};
	uint64_t x = seed ^ 0x5eed5eed5eed5eedull;

	c->strategy = random_one_in(&x, 3) ? SIM_PCT : SIM_RANDOM;
	c->preempt_every = rates[random_below(&x, ARRAY_SIZE(rates))];
	c->pct_depth = 3 + (unsigned)random_below(&x, 6);
	c->steps_expected = 2000u << random_below(&x, 6);
	c->stall_one_in = random_below(&x, 3) == 0 ? 2 + (unsigned)random_below(&x, 6) : 0;
	c->warp = random_one_in(&x, 2);
	c->drain_one_in = 2u << random_below(&x, 6);
	c->latency_max_ns = OB_NS_PER_US << random_below(&x, 8);
	c->preempt_hard = !random_one_in(&x, 4);
	c->loose_interrupts = random_one_in(&x, 3);
	c->pin_interrupts = random_one_in(&x, 3);
	c->shadow_doorbells = random_one_in(&x, 3);
	c->queues = 1 + (unsigned)random_below(&x, 4);
	c->spin_patience = 1u << random_below(&x, 4);
	/* Fewer than queues, with the admin queue: some share, some are polled. */
	c->vectors = random_one_in(&x, 4) ? 1 + (unsigned)random_below(&x, c->queues) : 0;
	c->memory_buffer = random_one_in(&x, 8);
	/* Short ones come round, and get full, in a short world. */
	c->ring_entries = 8u << random_below(&x, 4);
	c->packed_rings = random_one_in(&x, 2);
	c->direct_rings = random_one_in(&x, 3);
	c->event_flags = random_one_in(&x, 3);
	c->ordered_rings = random_one_in(&x, 4);
	c->single_buffers = random_one_in(&x, 6);
}

/* Few at a time, so that one does not hide what another would show; in one seed of eight none at all. */
static void vary_faults(const struct sim_scenario *scenario, uint64_t seed, struct sim_config *c)
{
	uint64_t x = seed ^ 0xfa017fa017fa017full;

	if (random_one_in(&x, 8) && scenario->faults_sure == 0)
		return;
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
		const struct sim_fault_kind *kind = &sim_fault_kinds[i];
		uint64_t own = random_next(&x);

		if ((scenario->faults & SIM_FAULT_BIT(i)) != 0 &&
		    (random_one_in(&own, kind->seeds) || (scenario->faults_sure & SIM_FAULT_BIT(i)) != 0))
			c->fault_one_in[i] = kind->rate + (unsigned)random_below(&own, kind->span);
	}
	c->slot = c->fault_one_in[SIM_FAULT_REMOVE] > 0 && c->fault_one_in[SIM_FAULT_INSERT] > 0;
	c->slot |= c->fault_one_in[SIM_FAULT_POWER_CUT] > 0;
	c->lossy = c->slot;
	/* An admin command may take ten seconds, a controller two minutes to get ready: many waits are no hang. */
	if (c->time_max_ns == 0)
		c->time_max_ns = 3000 * OB_NS_PER_S;
	if (c->steps_max == 0)
		c->steps_max = 200000000;
}

void sim_swarm(const struct sim_scenario *scenario, uint64_t seed, struct sim_config *c)
{
	vary(seed, c);
	if (scenario->faults != 0)
		vary_faults(scenario, seed, c);
	if (scenario->shape != NULL) {
		struct sim_config of_shape = *c;

		vary(seed / SIM_SHAPE_SEEDS, &of_shape);
		scenario->shape(&of_shape, c);
	}
}
