/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges of blocks that are being written. Writes of whole blocks share a block with each other (NBD gives no order
 * between requests in flight); one that must read a block, change a part of it and write it back has it alone.
 *
 * First come, first served: a range waits for those before it in the table that it conflicts with. Nobody waits while
 * holding a range for another range, so there is no deadlock; each is held for the time of a few requests.
 */
#ifndef OB_SERVE_NBD_RANGE_H
#define OB_SERVE_NBD_RANGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct range {
	struct list link;
	uint64_t first, last; /* blocks, both included */
	bool alone;
};

struct range_table {
	pthread_mutex_t mutex;
	pthread_cond_t freed;
	struct list ranges; /* in the order in which they came */
	unsigned alone_count, waiting;
};

void range_table_init(struct range_table *t);
void range_table_fini(struct range_table *t);
/**
 * range_lock - @range is the caller's until range_unlock(); waits for its turn until @deadline_ns (monotonic)
 *
 * Return: 0; -ETIMEDOUT, and there is nothing to unlock.
 */
int range_lock(struct range_table *t, struct range *range, uint64_t first, uint64_t last, bool alone,
	       uint64_t deadline_ns);
void range_unlock(struct range_table *t, struct range *range);

#endif
