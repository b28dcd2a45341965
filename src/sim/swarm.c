/* SPDX-License-Identifier: BSD-2-Clause */
/* What a seed decides about its world: no way of looking finds everything, so each seed looks in a way of its own. */
#include "sim/world.h"

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
	c->pin_interrupts = random_one_in(&x, 6);
	c->shadow_doorbells = random_one_in(&x, 3);
	c->queues = 1 + (unsigned)random_below(&x, 4);
	c->spin_patience = 1u << random_below(&x, 4);
}

static void vary_faults(uint64_t seed, struct sim_config *c)
{
	uint64_t x = seed ^ 0xfa017fa017fa017full;

	c->hang_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->slow_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->fail_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->interrupt_lost_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->interrupt_spurious_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->completion_bad_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 20) : 0;
	c->call_fails_one_in = random_one_in(&x, 4) ? 4u << random_below(&x, 7) : 0;
	c->remove_at_commands = random_one_in(&x, 5) ? 1 + random_below(&x, 40) : 0;
}

void sim_swarm(const struct sim_scenario *scenario, uint64_t seed, struct sim_config *c)
{
	vary(seed, c);
	if (scenario->bears_faults)
		vary_faults(seed, c);
	if (scenario->shape != NULL) {
		struct sim_config of_shape = *c;

		vary(seed / SIM_SHAPE_SEEDS, &of_shape);
		scenario->shape(&of_shape, c);
	}
}
