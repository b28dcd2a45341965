/* SPDX-License-Identifier: BSD-2-Clause */
/* Scenarios with something wrong in them, for tests of the explorer; and a program that explores them. */
#ifndef TESTS_SIM_PLANTED_H
#define TESTS_SIM_PLANTED_H

#include "sim/sim.h"

extern const struct sim_scenario planted_fine, planted_lost_update, planted_dies, planted_garbage, planted_varies,
	planted_words, planted_unlucky;

/* Compiled without instrumentation: what no rule stops. */
void planted_die(void);
/* Another number each time: what a run must not depend on. */
unsigned planted_count(void);

#endif
