/* SPDX-License-Identifier: BSD-2-Clause */
/* One small scenario for each rule: the mistake, and its twin without it where silence must be shown. */
#ifndef TESTS_SIM_RULES_H
#define TESTS_SIM_RULES_H

#include "sim/sim.h"

struct rule_case {
	const char *rule; /* that must be named; "" none */
	const char *name;
	void (*run)(const struct sim_config *config);
};

/* By subject, each ended by one without a rule. */
extern const struct rule_case rules_basic[], rules_lock[], rules_lend[], rules_durable[], rules_irq[], rules_gone[];
extern const struct rule_case rules_pin[]; /* the device has no messages */

/* Run @fn in a task of a context with one CPU, and end it all. */
void rules_in_task(void (*fn)(void *arg), void *arg);

/* Compiled without instrumentation. */
void rules_store_unseen(uint8_t *at);
void rules_loop(const struct sim_config *config);

#endif
