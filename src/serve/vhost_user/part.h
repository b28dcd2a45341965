/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes of parts of blocks. A client counts in sectors, whatever the disk's blocks are (VIRTIO 1.2 §5.2.5), so a write may
 * begin or end within a block. Then the block is read, and written with what is new in it. Between the two nobody else may
 * change it, or what was written, and answered, would be undone.
 *
 * So it has the disk for itself: all lanes are asked to let nothing more pass that changes it, answer when what they had in
 * flight has ended, and are told to go on when the write has. What costs time is done by who writes parts of blocks, which
 * no client does that looks at blk_size; a lane does for it no more than count and look at a flag of its own. Reads and
 * flushes are not held up: of a write that was not answered, each may find what it likes.
 *
 * Whoever asks has the disk for a few such writes, and then what was held up goes before the next of them.
 */
#ifndef OB_SERVE_VHOST_USER_PART_H
#define OB_SERVE_VHOST_USER_PART_H

#include <outboard/outboard.h>

struct vu_lane;
struct vu_parts;
struct vu_request;

/* Requests by their vu_request.next, first in, first out. */
struct vu_request_line {
	struct vu_request *first, *last;
};

/* A lane's; its CPU. */
struct vu_part_lane {
	struct vu_parts *parts; /* NULL: a block is a sector, so no write is one of a part */
	struct vu_lane *lane;
	unsigned changing;                    /* requests in flight that change the disk */
	bool closed;                          /* no more of these may begin */
	bool answered;                        /* … and none is in flight any more, which CPU 0 knows */
	struct vu_request_line held, waiting; /* until it is opened; for the disk */
	bool asking;                          /* for the disk, or has it */
	unsigned left;                        /* of a turn */
	struct vu_request *running;
	uint8_t *edges; /* the first and the last block of the one that is running */
	struct ob_segment segment;
	struct ob_block_request read;
	bool reads_last;
	struct ob_work gate, go;          /* of CPU 0's */
	struct ob_work ask, answer, over; /* for CPU 0 */
	/* CPU 0's */
	struct vu_part_lane *next;
	bool close; /* what the gate is to be; the lane looks at it when it is told */
};

/** vu_parts_create - for these lanes, which are open. A plain thread. 0; -ENOMEM */
int vu_parts_create(struct vu_lane *lanes, unsigned lane_count, uint32_t block_bytes, struct vu_parts **out);
/** vu_parts_destroy - no request is in flight. A plain thread. 0; -ETIMEDOUT: a CPU does not turn, nothing may be freed */
int vu_parts_destroy(struct vu_parts *parts);

/* The lane's CPU. */

/** vu_part_enter - may this begin, which changes whole blocks? If not, vu_blk_submit() is called for it when it may. */
bool vu_part_enter(struct vu_part_lane *l, struct vu_request *r);
/** vu_part_leave - what was let in has ended */
void vu_part_leave(struct vu_part_lane *l);
/** vu_part_write - write @r, whose first and last blocks are to be in the lane's edges by then, when it is its turn */
void vu_part_write(struct vu_part_lane *l, struct vu_request *r);

#endif
