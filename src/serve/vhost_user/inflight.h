/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue's part of the table of requests in flight, which the client keeps for the server that comes after us ("Inflight
 * I/O tracking" of the vhost-user protocol). The client can write it, so it is only ever written here and read back once,
 * with every number checked, when a queue starts. What is found there is as if the client had sent it.
 */
#ifndef OB_SERVE_VHOST_USER_INFLIGHT_H
#define OB_SERVE_VHOST_USER_INFLIGHT_H

#include "spec/vhost_user.h"
#include "spec/virtio.h"
#include "virtqueue/device.h"

/* One request that is to be begun again. */
struct vu_resumed {
	uint64_t counter; /* their order */
	uint16_t slot;    /* split: the head; packed: the first entry */
};

struct vu_inflight {
	struct vhost_user_split_region *split;   /* one of them, or … */
	struct vhost_user_packed_region *packed; /* … none: nothing is tracked */
	uint16_t size;
	uint64_t counter;
	uint16_t *batch; /* slots of what was pushed and is not published */
	uint16_t batch_count, batch_entries;
	/* packed: the free list and the chains, out of the client's reach */
	uint16_t *next, *last;           /* by entry; last: by the head of its chain */
	bool *taken;                     /* while a table is read */
	struct virtq_packed_desc *descs; /* of the chain that is begun again */
	uint16_t free_head, used_index;
	bool used_wrap;
	/* what is to be begun again before anything is taken from the ring */
	struct vu_resumed *resumed;
	unsigned resumed_count, resumed_next;
};

/** vu_inflight_stride - of one queue's region, up to the next one */
uint64_t vu_inflight_stride(uint64_t features, uint16_t size);

/**
 * vu_inflight_start - begin to track, or go on where a server before us ended
 * @region: of the queue, vu_inflight_stride() of it; NULL: nothing is tracked
 * @size:   of the table, in entries; the queue has no more
 * @ring:   initialised, and mapped; its base is set: to where the table and the used ring agree, or to @base
 * @base:   as the client says; a front-end whose back-end died does not know any
 *
 * Task. Return: 0; -ENOMEM; -EPROTO, -EINVAL the table or the base makes no sense.
 */
int vu_inflight_start(struct vu_inflight *f, void *region, uint64_t features, uint16_t size,
		      struct virtqueue_device *ring, uint32_t base);
/** vu_inflight_stop - nothing is in flight */
void vu_inflight_stop(struct vu_inflight *f);

/* On the queue's CPU. */

/** vu_inflight_resume - the next request to be begun again, into @pieces and @chain. 1; 0 none; -EPROTO */
int vu_inflight_resume(struct vu_inflight *f, struct virtqueue_device *ring, struct virtqueue_piece *pieces,
		       unsigned piece_max, struct virtqueue_chain *chain, uint16_t *slot);
/** vu_inflight_take - a request was taken from the ring; *@slot is for its push */
void vu_inflight_take(struct vu_inflight *f, const struct virtqueue_device *ring, const struct virtqueue_chain *chain,
		      uint16_t *slot);
/** vu_inflight_push - it ended. false: more ended since the last publish than the queue can have. */
bool vu_inflight_push(struct vu_inflight *f, uint16_t slot, const struct virtqueue_chain *chain);
/**
 * vu_inflight_is_single - what is pushed is to be published before the next push
 *
 * Of a batch in a packed ring all but the first entry are in the ring before the publish. Whoever ends between leaves them
 * there, for the driver to see when the next server publishes what comes before them.
 */
static inline bool vu_inflight_is_single(const struct vu_inflight *f)
{
	return f->packed != NULL;
}

/** vu_inflight_begin, vu_inflight_end - around the ring's publish */
void vu_inflight_begin(struct vu_inflight *f, const struct virtqueue_device *ring);
void vu_inflight_end(struct vu_inflight *f, const struct virtqueue_device *ring);

#endif
