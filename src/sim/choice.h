/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random choices that disturb a run: each has a number among its kind, and a plan may say which of them count. The draw
 * itself is made either way, so that a choice less moves no other. That is how a failing run is made shorter.
 */
#ifndef OB_SIM_CHOICE_H
#define OB_SIM_CHOICE_H

#include "sim/world.h"

/* A draw said that it happens: does it? Not asked for what did not come up. */
static inline bool choice_counts(enum sim_choice kind)
{
	const struct sim_plan *plan = W.config.plan;
	uint32_t number = W.choices[kind]++;

	if (OB_LIKELY(plan == NULL))
		return true;
	return number < plan->count[kind] && (plan->bits[kind][number / 64] >> (number % 64) & 1) != 0;
}

#endif
