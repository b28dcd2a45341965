/* SPDX-License-Identifier: BSD-2-Clause */
/* A few requests to a disk that something befalls, and what came of them. */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include <outboard/block.h>

#include "sim/sim.h"

#define FAULTS_REQUESTS 6 /* write, read, flush, write, read, write zeroes; each waits for the one before */

struct faults_outcome {
	int open;   /* what ob_machine_open() said */
	bool found; /* a disk */
	int status[FAULTS_REQUESTS];
	bool data_ok; /* reads gave what was written, as far as they succeeded */
	struct ob_block_stats stats;
	bool online;        /* after the requests */
	bool again;         /* a disk is found after a rescan … */
	int again_status;   /* … and a read of it gives this */
	uint64_t took_ns;   /* the requests */
	uint64_t worked_ns; /* the whole run, but for its end */
};

extern struct faults_outcome faults_outcome;
extern const struct sim_scenario faults_scenario;

#endif
