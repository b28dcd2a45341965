/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue's driver end (VIRTIO 1.2 §2.7 split, §2.8 packed).
 *
 * The device at the other end is not trusted: indexes, ids and lengths that it writes are checked against shadows, which
 * are in memory that it cannot reach; nothing that was written for the device is read back. What does not fit breaks the
 * queue for good, with a reason in words.
 *
 * One CPU at a time. No allocation, no lock; a system call only where the doorbell is one.
 */
#ifndef OB_VIRTQUEUE_DRIVER_H
#define OB_VIRTQUEUE_DRIVER_H

#include <outboard/mmio.h>
#include <outboard/types.h>
#include <outboard/virtio.h>

#include "spec/virtio.h"

/* Pieces of a framed request, its ends included, that does not go the short way. */
#define VIRTQUEUE_WHOLE_MAX 258u
/* One that does: its ends and the data. So many ids are a slot's own, too. */
#define VIRTQUEUE_FRAME_PIECES 3u

struct virtqueue_driver_config {
	uint64_t features; /* negotiated */
	uint16_t size;     /* entries; split: a power of two */
	uint16_t chain_max;
	uint16_t indirect_from; /* 0: our choice */
	/* Ring memory: virtqueue_driver_ring_bytes() of it, page aligned, for the queue alone. */
	void *ring;
	ob_iova ring_iova;
	/* Indirect tables: virtqueue_driver_table_bytes() of it, NULL when that is 0. */
	void *tables;
	ob_iova tables_iova;
	void *shadow; /* private: virtqueue_driver_shadow_bytes(), aligned to a cache line */
	const struct ob_region *doorbell;
	uint64_t doorbell_offset;
	uint16_t notify_id;
	bool doorbell_wide; /* 32 bits */
};

struct virtqueue_driver {
	/*
	 * Hot. Owner CPU. First of all what drivers use inline; slots are the shadow of requests in flight: split by the
	 * index of its head, packed by its buffer id.
	 */
	OB_VIRTIO_LANE
	uint16_t in_flight;   /* requests that the device may know of: in the ring (packed), or told (split) */
	uint16_t used;        /* split: free running; packed: ring index */
	uint16_t used_seen;   /* split: the device's index as last read */
	uint16_t frame_count; /* slots with descriptors of their own, three ids each, from 0 */
	uint16_t frame_end;   /* 3 * frame_count, or what that was */
	struct ob_virtio_slot *slots;
	uint64_t taken; /* of its statistics */
	bool packed, event_idx, in_order;
	bool broken;
	bool armed;
	bool batch;    /* in order: a batch of used ones is being given out */
	bool straight; /* split, in order: each place of the avail ring holds its own number, and always will */
	uint16_t size;
	uint16_t free_entries; /* of the ring */
	uint16_t direct_low;   /* fewer than these beside the request: by a table */
	uint16_t direct_max;   /* pieces of the longest chain in the ring itself */
	uint16_t free_head;    /* split: descriptor; packed: id */
	uint32_t told;         /* avail, as far as it is in the ring (packed), or known to the device (split) */
	uint16_t order_head;   /* in order: the oldest request */
	uint16_t batch_id;
	uint16_t place;       /* packed: ring index of the next descriptor */
	uint16_t avail_flags; /* packed: what marks a descriptor available in this round */
	uint16_t used_flags;  /* packed: what marks one used in this round */
	uint16_t held;        /* packed: entries in the ring behind a head that is not yet shown, or 0 */
	uint16_t held_index;
	uint16_t event_told; /* split: used_event as last written */
	uint32_t batch_len;
	uint16_t *next; /* split: what follows a descriptor, in a chain or in the list of free ones */
	union {
		struct virtq_desc *desc;
		struct virtq_packed_desc *pdesc;
	};
	struct virtq_avail *avail_ring;
	const struct virtq_used *used_ring;
	struct virtq_event *driver_event;
	const struct virtq_event *device_event;
	uint64_t held_word;
	struct virtq_desc *tables;
	uint64_t tables_iova;
	uint32_t table_bytes; /* of one */
	uint16_t chain_max;
	bool notify_data;
	struct ob_virtio_frame frame;
	struct ob_virtio_queue_stats stats;
	struct virtqueue_driver_config config;
	const char *why; /* it is broken */
};

/* ---- driver.c: what both layouts share ---- */

/* Memory for a queue; each is a function of the negotiated features, too. */
size_t virtqueue_driver_ring_bytes(uint64_t features, unsigned size);
size_t virtqueue_driver_table_bytes(uint64_t features, unsigned size, unsigned chain_max);
size_t virtqueue_driver_shadow_bytes(uint64_t features, unsigned size);

/** virtqueue_driver_init - an empty queue. 0; -EINVAL a size that the layout cannot have, or chains that do not fit */
int virtqueue_driver_init(struct virtqueue_driver *q, const struct virtqueue_driver_config *config);
/** virtqueue_driver_rewind - as after init: empty, disarmed. The device does not know the queue, or no longer does. */
void virtqueue_driver_rewind(struct virtqueue_driver *q);
/** virtqueue_driver_areas - where the three areas are (§2.6) */
void virtqueue_driver_areas(const struct virtqueue_driver *q, ob_iova *desc, ob_iova *driver, ob_iova *device);
/** virtqueue_driver_depth - requests of up to @pieces pieces that are sure to find room together */
unsigned virtqueue_driver_depth(const struct virtqueue_driver *q, unsigned pieces);
/* The device lied. -EPROTO */
int virtqueue_driver_break(struct virtqueue_driver *q, const char *why);
/** virtqueue_driver_in_flight - requests that were added and not taken */
static inline unsigned virtqueue_driver_in_flight(const struct virtqueue_driver *q)
{
	return q->in_flight + (q->avail - q->told);
}
/* Write the doorbell. */
void virtqueue_driver_notify(struct virtqueue_driver *q);

/* ---- driver_framed.c; as the public functions of these names ---- */

int virtqueue_driver_frame(struct virtqueue_driver *q, const struct ob_virtio_frame *frame);
struct ob_virtio_framed *virtqueue_driver_framed(struct virtqueue_driver *q, uint32_t slot);
unsigned virtqueue_split_take_framed(struct virtqueue_driver *q, uint32_t *slots, unsigned max);
unsigned virtqueue_packed_take_framed(struct virtqueue_driver *q, uint32_t *slots, unsigned max);
/* A framed request of a slot with descriptors of its own, of which a broken queue has none; and as any other. */
int virtqueue_frames_add(struct virtqueue_driver *q, uint32_t slot, const struct ob_dma_piece *data, unsigned count,
			 bool in);
int virtqueue_frames_add_whole(struct virtqueue_driver *q, uint32_t slot, const struct ob_dma_piece *data,
			       unsigned count, bool in);
/* All entries of the ring are free: which ids are frames', and which for others. */
void virtqueue_frames_place(struct virtqueue_driver *q);
/* No slot has descriptors of its own any more. What is in flight comes back all the same. */
void virtqueue_frames_end(struct virtqueue_driver *q);

/* ---- driver_single.c; as the public functions of these names ---- */

unsigned virtqueue_driver_add_singles(struct virtqueue_driver *q, const struct ob_virtio_single *singles,
				      unsigned count, enum ob_dma_rights rights);
unsigned virtqueue_driver_add_buffers(struct virtqueue_driver *q, const uint32_t *tokens, unsigned count, ob_iova base,
				      uint32_t stride, uint32_t len_bytes);
int virtqueue_driver_take_tokens(struct virtqueue_driver *q, uint32_t *tokens, unsigned max);
int virtqueue_driver_take_singles(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max);
bool virtqueue_driver_pending(const struct virtqueue_driver *q);
void virtqueue_driver_drop(struct virtqueue_driver *q, void (*fn)(void *arg, uint32_t token), void *arg);

/* ---- driver_split.c, driver_packed.c; as the public functions of these names ---- */

int virtqueue_split_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned in_count, uint32_t token);
void virtqueue_split_kick(struct virtqueue_driver *q);
/** virtqueue_split_look - how many used entries there are to look at: the index is read when none is known; -EPROTO */
int virtqueue_split_look(struct virtqueue_driver *q);
int virtqueue_split_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max);
bool virtqueue_split_arm(struct virtqueue_driver *q);
void virtqueue_split_disarm(struct virtqueue_driver *q);
void virtqueue_split_rewind(struct virtqueue_driver *q);
/* The ends of a slot, and the way past data of one piece: what does not change from request to request. @head: its id. */
void virtqueue_split_frame_prepare(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *out,
				   const struct ob_dma_piece *in);
/* A slot's request that is not as it was prepared for; the bytes that the device may write. */
uint32_t virtqueue_split_frame_bend(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *pieces,
				    unsigned out_count, unsigned count);

int virtqueue_packed_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			 unsigned in_count, uint32_t token);
void virtqueue_packed_kick(struct virtqueue_driver *q);
int virtqueue_packed_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max);
bool virtqueue_packed_arm(struct virtqueue_driver *q);
void virtqueue_packed_disarm(struct virtqueue_driver *q);
void virtqueue_packed_rewind(struct virtqueue_driver *q);
void virtqueue_packed_frame_prepare(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *out,
				    const struct ob_dma_piece *in);
uint32_t virtqueue_packed_frame_bend(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *pieces,
				     unsigned out_count, unsigned count);
void virtqueue_packed_show_frames(struct virtqueue_driver *q);

/* What was put by frames is older than what goes into the ring now. */
static inline void virtqueue_packed_show(struct virtqueue_driver *q)
{
	if (q->avail != q->told)
		virtqueue_packed_show_frames(q);
}

static inline int virtqueue_driver_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces,
				       unsigned out_count, unsigned in_count, uint32_t token)
{
	return q->packed ? virtqueue_packed_add(q, pieces, out_count, in_count, token)
			 : virtqueue_split_add(q, pieces, out_count, in_count, token);
}
static inline int virtqueue_driver_add_framed(struct virtqueue_driver *q, uint32_t slot,
					      const struct ob_dma_piece *data, unsigned count, bool in)
{
	return OB_LIKELY(slot < q->frame_count) ? virtqueue_frames_add(q, slot, data, count, in)
						: virtqueue_frames_add_whole(q, slot, data, count, in);
}
static inline void virtqueue_driver_kick(struct virtqueue_driver *q)
{
	if (q->packed)
		virtqueue_packed_kick(q);
	else
		virtqueue_split_kick(q);
}
static inline int virtqueue_driver_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	return q->packed ? virtqueue_packed_take(q, used, max) : virtqueue_split_take(q, used, max);
}
static inline unsigned virtqueue_driver_take_framed(struct virtqueue_driver *q, uint32_t *slots, unsigned max)
{
	return q->packed ? virtqueue_packed_take_framed(q, slots, max) : virtqueue_split_take_framed(q, slots, max);
}
static inline bool virtqueue_driver_arm(struct virtqueue_driver *q)
{
	return q->packed ? virtqueue_packed_arm(q) : virtqueue_split_arm(q);
}
static inline void virtqueue_driver_disarm(struct virtqueue_driver *q)
{
	if (q->packed)
		virtqueue_packed_disarm(q);
	else
		virtqueue_split_disarm(q);
}

#endif
