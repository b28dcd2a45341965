/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conformance suite of block devices: what any of them must do, whatever driver is behind it.
 *
 * It writes to the device: what was there is lost. A failure is printed with the seed and the request.
 */
#ifndef TESTS_CONFORMANCE_BLOCK_H
#define TESTS_CONFORMANCE_BLOCK_H

#include <outboard/outboard.h>

#define CONFORM_CHANNELS_MAX 16

struct conform_config {
	unsigned channels; /* 0: 1; on the context's CPUs in turn */
	enum ob_completion_mode mode;
	uint64_t seed;
	unsigned requests; /* of the random load; 0: 10,000 */
	bool no_threads;   /* leave out what starts threads */
	bool quiet;        /* print failures only */
};

/**
 * conform_block - run the whole suite on @block
 *
 * The calling thread is the home of the context's CPUs, none of which is started.
 * Return: 0 passed; -1 failed, and said so.
 */
int conform_block(struct ob *ob, struct ob_block *block, const struct conform_config *config);

#endif
