/* SPDX-License-Identifier: BSD-2-Clause */
/* The shapes of the litmus tests: two sides that run at the same time, two words, two results. */
#ifndef TESTS_SIM_LITMUS_H
#define TESTS_SIM_LITMUS_H

#include "sim/sim.h"

struct litmus {
	const char *name;
	void (*left)(void *arg);
	void (*right)(void *arg);
	bool right_is_device;
};

extern const struct litmus store_buffering, store_buffering_one_mb, store_buffering_wmb, store_buffering_mb;
extern const struct litmus message_passing, message_passing_wmb, message_passing_rmb, message_passing_both;
extern const struct litmus load_buffering, load_buffering_mb, coherence;
extern const struct litmus device_reads, device_reads_wmb, device_message, device_message_rmb, doorbell, doorbell_wmb;
extern const struct litmus device_store_buffering, device_store_buffering_mb;
extern const struct litmus plain_race, plain_ordered, plain_relaxed, plain_fences;
extern const struct litmus entry_doorbell, entry_doorbell_wmb, done_bit, done_bit_rmb;

extern const struct sim_scenario litmus_scenario;

/* What the scenario runs from now on. */
void litmus_select(const struct litmus *shape);
/* Of the last run. */
unsigned litmus_result(unsigned index);

#endif
