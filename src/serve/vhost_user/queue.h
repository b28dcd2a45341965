/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One virtqueue of a client, on one CPU. What the client says of it is set while it stands still, by the client's task on
 * CPU 0; while it runs it belongs to its lane's CPU alone. Looking for requests goes by ob_poll: polled, by the eventfd
 * that the client kicks, or both.
 */
#ifndef OB_SERVE_VHOST_USER_QUEUE_H
#define OB_SERVE_VHOST_USER_QUEUE_H

#include "serve/vhost_user/inflight.h"
#include "serve/vhost_user/lane.h"
#include "serve/vhost_user/memory.h"
#include "virtqueue/device.h"

struct vu_client;

struct vu_queue {
	struct vu_client *client;
	struct vu_lane *lane;
	unsigned index;
	/* as the client said; the client's task */
	uint16_t size;
	uint32_t base;
	struct vhost_user_address address;
	bool has_address, enabled;
	bool has_kick;                  /* it was told how it is kicked, by a descriptor or by no means */
	int kick_fd, call_fd, error_fd; /* -1: none */
	bool running;
	/* the lane's CPU while it runs */
	struct virtqueue_device ring;
	struct vu_inflight inflight;
	const struct vu_memory *memory;
	struct ob_poll poll;
	struct ob_fd kick;
	unsigned in_flight;
	bool stopping, broken, watched;
	bool is_waiting, is_dirty;
	struct vu_queue *waiting_next, *dirty_next;
	struct ob_event drained; /* stopping, and nothing is in flight any more */
	/* counted for the end of the connection; the lane's CPU */
	uint64_t requests, copied, signals;
};

/** vu_queue_init - nothing is known of it yet */
void vu_queue_init(struct vu_queue *q, struct vu_client *client, struct vu_lane *lane, unsigned index);
/** vu_queue_forget - it stands still: as after vu_queue_init(); its descriptors are closed */
void vu_queue_forget(struct vu_queue *q);
/** vu_queue_is_complete - all is known that it needs to run */
bool vu_queue_is_complete(const struct vu_queue *q);

/**
 * vu_queue_start - begin at q->base, and with what was in flight when the server before us died
 * @why: a line, when the client's numbers are at fault
 *
 * Task on CPU 0. Return: 0; -EINVAL, -EACCES, -EPROTO the client's fault; -ETIMEDOUT, -ENOMEM ours.
 */
int vu_queue_start(struct vu_queue *q, const struct vu_memory *memory, uint64_t features, char *why, size_t why_bytes);
/**
 * vu_queue_drain - take no more, and wait until what is in flight has ended
 *
 * Then q->base is where it stands. Task on CPU 0.
 * Return: 0; -ETIMEDOUT: it did not end, and memory that it uses must stay for ever.
 */
int vu_queue_drain(struct vu_queue *q);
/** vu_queue_set_call - another descriptor to be signalled, or -1; the old one is closed. Task on CPU 0. 0; -ETIMEDOUT */
int vu_queue_set_call(struct vu_queue *q, int fd);

/* For lane.c; the lane's CPU. */
void vu_queue_flush(struct vu_queue *q); /* show what was pushed, and signal */
void vu_queue_wake(struct vu_queue *q);  /* a request is free for it */

/** vu_queue_end - @request is done with this status of virtio-blk; the lane's CPU */
void vu_queue_end(struct vu_request *request, uint8_t status);

#endif
