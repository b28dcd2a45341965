/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lane: one CPU, one channel of the disk on it, and the requests that all clients' queues of this CPU share.
 *
 * Whoever finds no free request joins a line; while there is one, only its head may take, and goes to its end if it wants
 * more. So a client that floods its queues gets its turn like everybody else, and no more.
 *
 * All of it belongs to the lane's CPU.
 */
#ifndef OB_SERVE_VHOST_USER_LANE_H
#define OB_SERVE_VHOST_USER_LANE_H

#include <outboard/outboard.h>

#include "serve/vhost_user/part.h"
#include "spec/virtio_blk.h"
#include "virtqueue/device.h"

enum {
	VU_CHAIN_MAX = 1024,                    /* pieces of a request: header, data, status */
	VU_DATA_SEGMENTS = 126,                 /* of data that a request may have: seg_max, and … */
	VU_SEGMENTS_MAX = VU_DATA_SEGMENTS + 4, /* … where it crosses from one region into another, and what a block has
						   before it and behind it */
	VU_RANGES_MAX = 64,                     /* of one discard */
};

struct vu_queue;
struct vu_lane;

struct vu_request {
	struct ob_block_request request; /* first */
	struct vu_queue *queue;
	struct virtqueue_chain chain;
	uint8_t *status;         /* in the client's memory */
	struct vu_request *next; /* free, or in a line of part.h */
	uint16_t slot;           /* of inflight.h */
	union {
		struct ob_segment segments[VU_SEGMENTS_MAX];
		struct virtio_blk_range ranges[VU_RANGES_MAX];
	};
	uint16_t range_index, range_count;
	bool changes;                  /* part.h: it was let in */
	bool part_before, part_behind; /* of its first and of its last block it writes only a part */
	struct vu_part_lane *part;
};

struct vu_lane {
	struct ob_cpu *cpu;
	struct ob_block_channel *channel;
	struct vu_request *requests, *free;
	unsigned request_count;
	struct vu_queue *waiting_first, *waiting_last; /* for a request */
	uint8_t *sink;                                 /* a block that nobody looks at */
	struct vu_queue *dirty;                        /* something was pushed that the client does not see yet */
	struct ob_work flush;
	struct vu_part_lane part;
	unsigned queue_count; /* running here; __atomic */
	/* call.c */
	uint64_t write_ns; /* __atomic; when a write to a client's eventfd began; 0: there is none */
	bool write_stuck;  /* __atomic */
	uintptr_t thread;
	struct virtqueue_piece pieces[VU_CHAIN_MAX]; /* of the request that is being taken */
};

/** vu_lane_open - task, or a plain thread. 0 or negative errno; after a failure there is nothing to close. */
int vu_lane_open(struct vu_lane *lane, struct ob_block *block, const struct ob_block_channel_config *config);
/** vu_lane_close - no queue uses it any more */
void vu_lane_close(struct vu_lane *lane);

/** vu_lane_take - a request for @queue, or NULL: it is in the line, and is called when it is its turn */
struct vu_request *vu_lane_take(struct vu_lane *lane, struct vu_queue *queue);
void vu_lane_give(struct vu_lane *lane, struct vu_request *request);
/** vu_lane_leave - @queue wants no request any more */
void vu_lane_leave(struct vu_lane *lane, struct vu_queue *queue);
/** vu_lane_dirty - @queue has something to show to its client, at the end of this turn */
void vu_lane_dirty(struct vu_lane *lane, struct vu_queue *queue);

#endif
