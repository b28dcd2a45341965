/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lane: one CPU of Outboard's own, one channel on it, and slots with buffers that the device reaches. nbdkit's worker
 * threads take slots, fill them and hand them to the lane; the CPU submits what has come in since its last turn with
 * one doorbell, and wakes each worker when its slot has ended.
 */
#ifndef OB_SERVE_NBD_LANE_H
#define OB_SERVE_NBD_LANE_H

#include <pthread.h>

#include <outboard/outboard.h>

struct lane;

struct slot {
	struct ob_block_request request;
	struct ob_segment segment;
	struct ob_event ended;
	struct lane *lane;
	uint8_t *buffer; /* lane->slot_bytes of it */
	int status;
	unsigned state; /* __atomic, enum slot_state of lane.c */
	struct slot *next;
};

struct lane {
	struct ob_cpu *cpu;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct slot *slots;
	unsigned slot_count;
	size_t slot_bytes; /* whole blocks */
	uint64_t wait_ns;  /* how long a worker waits, for a slot or for a request's end */
	/* slots that nobody uses */
	pthread_mutex_t mutex;
	pthread_cond_t freed;
	struct slot *free;
	/* handed over by workers, newest first; taken by the CPU */
	struct slot *queue; /* atomic */
	struct ob_work work;
	/* the CPU's: in order, and what the device had no room for yet */
	struct slot *pending, **pending_end;
	unsigned in_flight;
};

struct lane_config {
	struct ob_cpu *cpu; /* started */
	unsigned depth;
	enum ob_completion_mode mode;
};

/** lane_open - a plain thread; 0 or negative errno. After a failure there is nothing to close. */
int lane_open(struct lane *lane, struct ob_block *block, const struct lane_config *config);
/** lane_close - no worker uses it any more */
void lane_close(struct lane *lane);
/** lane_take - a free slot; waits for one unless @try. 0; -EAGAIN none is free; -ETIMEDOUT none became free */
int lane_take(struct lane *lane, bool try, struct slot **out);
void lane_give(struct slot *slot);
/** lane_start - hand the slot's request over; its op, flags, lba and block_count are set, and @len_bytes of data */
void lane_start(struct slot *slot, size_t len_bytes);
/**
 * lane_wait - until the slot's request has ended
 * @status: what it ended with; -ETIMEDOUT is one that a driver gives, too
 *
 * Return: true, and the slot is the caller's; false: it has not ended in time, and the slot goes back by itself once it
 * does. Then neither the slot nor its buffer may be touched.
 */
bool lane_wait(struct slot *slot, int *status);

#endif
