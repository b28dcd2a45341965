/* SPDX-License-Identifier: BSD-2-Clause */
/* What the suite's files share. */
#ifndef TESTS_CONFORMANCE_CONFORM_H
#define TESTS_CONFORMANCE_CONFORM_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tests/conformance/block.h"
#include "tests/random.h"

#define CONFORM_WINDOW_BYTES (16u << 20)
#define CONFORM_REGION_BYTES (8u << 20)
#define CONFORM_WAIT_NS      (60 * OB_NS_PER_S)
#define CONFORM_DEPTH        32

struct conform {
	struct ob *ob;
	struct ob_block *block;
	struct conform_config config;
	struct ob_block_limits limits;
	struct random random;
	struct ob_block_channel *channels[CONFORM_CHANNELS_MAX];
	unsigned channel_count;
	/* the part of the device that is used */
	uint64_t lba_first;
	uint32_t region_blocks;
	/* memory of the same size: granted to the device, and not */
	struct ob_window *window;
	uint8_t *plain;
	/* what the region holds, where that is known */
	uint8_t *shadow;
	uint8_t *known; /* by block */
	/* counts of our own, to compare with the device's */
	uint64_t submitted, ended;
	const char *check;
	bool failed;
};

/* Say what went wrong, with @request unless it is NULL. Returns -1. Any thread. */
int conform_fail(struct conform *t, const struct ob_block_request *request, const char *format, ...) OB_PRINTF(3, 4);

#define CONFORM_CHECK(t, request, condition, ...)                         \
	do {                                                              \
		if (!(condition))                                         \
			return conform_fail((t), (request), __VA_ARGS__); \
	} while (0)

/* Memory: some of the window, or some that the device cannot reach. */
static inline uint8_t *conform_memory(const struct conform *t, bool in_window, size_t offset)
{
	return (in_window ? t->window->base : t->plain) + offset;
}

static inline size_t conform_bytes(const struct conform *t, uint64_t blocks)
{
	return (size_t)(blocks * t->limits.block_bytes);
}

static inline struct ob_block_channel *conform_channel(struct conform *t)
{
	return t->channels[random_below(&t->random, t->channel_count)];
}

/* One look for completions on all channels and CPUs. */
void conform_pump(struct conform *t);
/* Pump until *count reaches @target. 0; -1 it took too long, said so. */
int conform_until(struct conform *t, const struct ob_block_request *request, const unsigned *count, unsigned target);
/* Submit, kick, wait, in one of the three forms. Returns the status; -1 and t->failed when it went wrong altogether. */
int conform_do(struct conform *t, struct ob_block_channel *channel, struct ob_block_request *request);
/* A request over one segment of memory. */
int conform_transfer(struct conform *t, enum ob_block_op op, uint32_t block, uint32_t count, uint8_t *memory,
		     bool in_window, unsigned flags);
/* Read the region and compare it with the shadow, where that is known. */
int conform_verify(struct conform *t);
/* Write something into the whole region, so that all is known. */
int conform_fill(struct conform *t);
int conform_open_channels(struct conform *t);
void conform_close_channels(struct conform *t);

/* The checks: 0, or -1 and said so. */
int conform_patterns(struct conform *t);
int conform_scatter(struct conform *t);
int conform_semantics(struct conform *t);
int conform_misuse(struct conform *t);
int conform_full(struct conform *t);
int conform_load(struct conform *t);
int conform_load_threads(struct conform *t);
int conform_cancel(struct conform *t);
int conform_close_in_flight(struct conform *t);
int conform_helpers(struct conform *t);

#endif
