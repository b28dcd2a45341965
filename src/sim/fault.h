/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of a run: what strikes, drawn from the run's own stream. */
#ifndef OB_SIM_FAULT_H
#define OB_SIM_FAULT_H

#include "sim/choice.h"

/* Draws only when the fault is on, so that a new kind shifts no seed that does not have it. */
static inline bool fault_strikes(unsigned one_in)
{
	return one_in > 0 && random_one_in(&W.random_fault, one_in) && choice_counts(SIM_CHOICE_FAULT);
}

#endif
