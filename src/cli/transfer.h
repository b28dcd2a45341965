/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many requests in flight on one channel, taken back in the order in which they were made: what read and write need.
 * Slots form a ring; each has a buffer in a window that the device is granted, so nothing is bounced.
 */
#ifndef OB_CLI_TRANSFER_H
#define OB_CLI_TRANSFER_H

#include "cli/cli.h"

struct transfer_slot {
	struct ob_block_request request;
	struct ob_segment segment;
	uint8_t *buffer; /* of chunk_bytes */
	bool ended;
};

struct transfer {
	struct cli *cli;
	struct ob_block *block;
	struct ob_block_limits limits;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct ob_cpu *cpu;
	struct transfer_slot *slots;
	unsigned depth;
	size_t chunk_bytes;
	unsigned first, busy; /* the ring: oldest, and how many */
};

/** transfer_open - an exit code; after a failure there is nothing to close */
int transfer_open(struct transfer *t, struct cli *cli, struct ob_block *block, unsigned depth);
void transfer_close(struct transfer *t);
/** transfer_free_slot - the next slot to fill; NULL when all are busy */
struct transfer_slot *transfer_free_slot(struct transfer *t);
/** transfer_submit - start the slot that transfer_free_slot() gave; an exit code */
int transfer_submit(struct transfer *t, enum ob_block_op op, uint64_t lba, uint32_t block_count, unsigned flags);
/** transfer_wait - until the oldest has ended well; an exit code (a signal: 128 + its number). */
int transfer_wait(struct transfer *t, struct transfer_slot **oldest);
/** transfer_release - the oldest slot is free again */
void transfer_release(struct transfer *t);

#endif
