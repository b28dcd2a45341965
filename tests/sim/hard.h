/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt handlers and the code that they interrupt, as in a driver: right, and each mistake as small as it gets. */
#ifndef TESTS_SIM_HARD_H
#define TESTS_SIM_HARD_H

#include "sim/sim.h"

struct hard_case {
	const char *name;
	const char *rule; /* that must be named in some world, and no other in any; "" none */
	void (*run)(const struct sim_config *config);
};

extern const struct hard_case hard_cases[];
extern const unsigned hard_case_count;

/* hard_core.c: calls @fn, and counts, as core does. */
void hard_core_call(void (*fn)(unsigned value), unsigned *count);

#endif
