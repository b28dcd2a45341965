/* SPDX-License-Identifier: BSD-2-Clause */
/* Two sides that run at the same time, and what the race detector must say to them. */
#ifndef TESTS_SIM_ORDERS_H
#define TESTS_SIM_ORDERS_H

#include "sim/sim.h"

struct sides {
	void (*left)(void *arg);
	void (*right)(void *arg);
	bool right_is_device;
};

extern const struct sides plain_race, plain_ordered, plain_relaxed, plain_fences;
extern const struct sides entry_doorbell, entry_doorbell_wmb, done_bit, done_bit_rmb;

extern const struct sim_scenario sides_scenario;

/* What the scenario runs from now on. */
void sides_select(const struct sides *sides);

#endif
