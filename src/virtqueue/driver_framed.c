/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framed requests at the driver's end: those of a slot differ in their data only, so most of what the device is told of
 * them is written once.
 *
 * Split, a slot has three descriptors of the ring. Packed, where descriptors have no place to stay at, it has an indirect
 * table; what was put is in a list of ours until it goes into the ring. In both a slot has three ids of its own, of which
 * the first is the requests', so that the others have room for what is to be known of the slot.
 *
 * What is not as prepared is for the layouts' own files; what comes back and is not as it should be, for theirs to judge.
 */
#include "virtqueue/driver.h"

#include <errno.h>

#include "virtqueue/layout.h"

/*
 * How many slots have descriptors of their own: of at most three quarters of the ring, and what is left must hold a chain
 * that does not go that way. Not where descriptors are used in ring order (§2.7.5), and packed only with tables.
 */
static unsigned frames_prepared(const struct virtqueue_driver *q, unsigned slots)
{
	unsigned rest = MAX(q->size / 4u, q->tables != NULL ? 1u : q->chain_max);

	if ((q->packed && q->tables == NULL) || q->in_order || q->chain_max < VIRTQUEUE_FRAME_PIECES)
		return 0;
	return MIN(slots, (q->size - MIN(rest, q->size)) / VIRTQUEUE_FRAME_PIECES);
}

/* The ends of a slot's requests. */
static void frame_ends(const struct virtqueue_driver *q, uint32_t slot, struct ob_dma_piece *out,
		       struct ob_dma_piece *in)
{
	const struct ob_virtio_frame *f = &q->frame;

	*out = (struct ob_dma_piece){{f->out.addr + (uint64_t)slot * f->out_stride_bytes}, f->out_bytes};
	*in = (struct ob_dma_piece){{f->in.addr + (uint64_t)slot * f->in_stride_bytes}, f->in_bytes};
}

/* None of its ids is ever free, and the last two have no request. */
static void frame_prepare(struct virtqueue_driver *q, unsigned frame)
{
	unsigned head = VIRTQUEUE_FRAME_PIECES * frame;
	struct ob_dma_piece out, in;

	frame_ends(q, frame, &out, &in);
	q->slots[head] = (struct ob_virtio_slot){
		.token = frame,
		.end_bytes = (uint16_t)q->frame.in_bytes,
		.head = (uint16_t)head,
	};
	q->slots[head + 1] = q->slots[head + 2] = (struct ob_virtio_slot){0};
	if (q->packed)
		virtqueue_packed_frame_prepare(q, head, &out, &in);
	else
		virtqueue_split_frame_prepare(q, head, &out, &in);
}

void virtqueue_frames_end(struct virtqueue_driver *q)
{
	for (unsigned i = 0; i < q->frame_count; i++)
		q->slots[VIRTQUEUE_FRAME_PIECES * i].bent = true;
	q->frame_count = 0;
}

void virtqueue_frames_place(struct virtqueue_driver *q)
{
	q->frame_count = (uint16_t)frames_prepared(q, q->frame.slots);
	q->frame_end = (uint16_t)(VIRTQUEUE_FRAME_PIECES * q->frame_count);
	/* What is left goes further when it holds tables only. */
	if (q->tables != NULL)
		q->direct_low = (uint16_t)(q->frame_end != 0 ? q->size - q->frame_end : q->size / 2);
	for (unsigned i = 0; i < q->size; i++) {
		uint16_t next = (uint16_t)(i + 1 < q->size ? i + 1 : 0);

		if (q->packed)
			q->slots[i].next_free = next;
		else
			q->next[i] = next;
	}
	for (unsigned i = 0; i < q->frame_count; i++)
		frame_prepare(q, i);
	q->free_head = q->frame_end;
	q->free_entries = (uint16_t)(q->size - q->frame_end);
}

int virtqueue_driver_frame(struct virtqueue_driver *q, const struct ob_virtio_frame *frame)
{
	if (frame->slots != 0 &&
	    (frame->out_bytes == 0 || frame->in_bytes == 0 || frame->in_bytes > UINT16_MAX || q->chain_max < 2))
		return -EINVAL;
	q->frame = *frame;
	if (virtqueue_driver_in_flight(q) != 0)
		virtqueue_frames_end(q); /* what is in flight cannot be given another task */
	else if (!q->in_order && !q->broken)
		virtqueue_frames_place(q);
	return 0;
}

struct ob_virtio_framed *virtqueue_driver_framed(struct virtqueue_driver *q, uint32_t slot)
{
	/* Nobody writes to what is not ready. */
	static struct ob_virtio_framed none = {{{.bent = true}}};

	if (slot >= q->frame_count)
		return &none;
	return (struct ob_virtio_framed *)(void *)&q->slots[VIRTQUEUE_FRAME_PIECES * slot];
}

/* ---- adding ---- */

static inline void frame_put(struct virtqueue_driver *q, struct ob_virtio_framed *framed,
			     const struct ob_dma_piece *data, bool in)
{
	ob_virtio_queue_put_framed((struct ob_virtio_queue *)(void *)q, framed, data->iova, (uint32_t)data->len_bytes,
				   in);
}

/* All pieces of a slot's request. Returns how many; 0: that cannot be. */
static inline unsigned make_whole(const struct virtqueue_driver *q, uint32_t slot, const struct ob_dma_piece *data,
				  unsigned count, struct ob_dma_piece whole[VIRTQUEUE_WHOLE_MAX])
{
	if (slot >= q->frame.slots || count + 2 > MIN(q->chain_max, VIRTQUEUE_WHOLE_MAX))
		return 0;
	frame_ends(q, slot, &whole[0], &whole[1 + count]);
	for (unsigned i = 0; i < count; i++)
		whole[1 + i] = data[i];
	return count + 2;
}

int virtqueue_frames_add_whole(struct virtqueue_driver *q, uint32_t slot, const struct ob_dma_piece *data,
			       unsigned count, bool in)
{
	struct ob_dma_piece whole[VIRTQUEUE_WHOLE_MAX];

	if (make_whole(q, slot, data, count, whole) == 0)
		return -EINVAL;
	return virtqueue_driver_add(q, whole, in ? 1 : 1 + count, in ? 1 + count : 1, slot);
}

/* Not one piece of data, or after such a request. */
static __attribute__((noinline)) int add_bent(struct virtqueue_driver *q, uint32_t slot,
					      const struct ob_dma_piece *data, unsigned count, bool in)
{
	struct ob_virtio_slot *own = virtqueue_driver_framed(q, slot)->three;
	unsigned out_count = in ? 1 : 1 + count, all;
	struct ob_dma_piece whole[VIRTQUEUE_WHOLE_MAX];

	all = make_whole(q, slot, data, count, whole);
	if (own->entries != 0 || all == 0)
		return -EINVAL;
	if (count == 1) {
		frame_prepare(q, slot);
		frame_put(q, virtqueue_driver_framed(q, slot), data, in);
		return 0;
	}
	if (count != 0 && q->tables == NULL)
		return virtqueue_frames_add_whole(q, slot, data, count, in);
	own->bent = true;
	own->entries = VIRTQUEUE_FRAME_PIECES;
	own->in_bytes = q->packed ? virtqueue_packed_frame_bend(q, own->head, whole, out_count, all)
				  : virtqueue_split_frame_bend(q, own->head, whole, out_count, all);
	return 0;
}

int virtqueue_frames_add(struct virtqueue_driver *q, uint32_t slot, const struct ob_dma_piece *data, unsigned count,
			 bool in)
{
	struct ob_virtio_framed *framed = virtqueue_driver_framed(q, slot);

	if (count != 1 || !ob_virtio_queue_framed_ready(framed))
		return add_bent(q, slot, data, count, in);
	frame_put(q, framed, data, in);
	return 0;
}

/* ---- taking ---- */

/* The slot's request that an answer names, if all that it had room for was written; it ends with that. */
static inline const struct ob_virtio_slot *answered(struct ob_virtio_slot *slots, unsigned frame_end, uint32_t id,
						    uint32_t len)
{
	struct ob_virtio_slot *slot;

	if (OB_UNLIKELY(id >= frame_end))
		return NULL;
	slot = &slots[id];
	if (OB_UNLIKELY(slot->entries == 0 || slot->in_bytes != len))
		return NULL;
	slot->entries = 0;
	return slot;
}

static inline unsigned note_taken(struct virtqueue_driver *q, unsigned used, unsigned count)
{
	q->used = (uint16_t)used;
	q->in_flight = (uint16_t)(q->in_flight - count);
	q->taken += count;
	return count;
}

unsigned virtqueue_split_take_framed(struct virtqueue_driver *q, uint32_t *slots, unsigned max)
{
	unsigned mask, frame_end, at, end;
	const struct virtq_used_elem *ring;
	struct ob_virtio_slot *all;
	int there = virtqueue_split_look(q);

	if (there <= 0)
		return 0;
	ring = q->used_ring->ring;
	mask = q->mask;
	frame_end = q->frame_end;
	all = q->slots;
	at = q->used;
	for (end = at + MIN(max, (unsigned)there); at != end; at++) {
		uint64_t elem = ob_le32_pair_load(&ring[at & mask].id);
		const struct ob_virtio_slot *slot = answered(all, frame_end, (uint32_t)elem, (uint32_t)(elem >> 32));

		if (slot == NULL)
			break;
		*slots++ = slot->token;
	}
	return note_taken(q, at, at - q->used);
}

/* The upper half of a used descriptor, as far as it is looked at: id, and marks. */
#define NAME_ID    BITS(15, 0)
#define NAME_MARKS ((uint32_t)VIRTQUEUE_PACKED_MARKS << 16)

/* As many as there are up to @max, and the ring's end. */
static inline unsigned take_run(const struct virtqueue_driver *q, uint32_t *slots, unsigned max)
{
	const struct virtq_packed_desc *from = &q->pdesc[q->used], *desc = from, *end = from + max;
	uint32_t marks = (uint32_t)q->used_flags << 16;
	unsigned frame_end = q->frame_end;
	struct ob_virtio_slot *all = q->slots;

	for (; desc != end; desc++) {
		/* Marks, id and length are one load, so that none of them is older than the others. */
		uint64_t word = ob_le32_16_16_load(&desc->len);
		uint32_t name = (uint32_t)(word >> 32) ^ marks;
		const struct ob_virtio_slot *slot;

		if ((name & NAME_MARKS) != 0)
			break;
		slot = answered(all, frame_end, name & NAME_ID, (uint32_t)word);
		if (slot == NULL)
			break;
		*slots++ = slot->token;
	}
	return (unsigned)(desc - from);
}

unsigned virtqueue_packed_take_framed(struct virtqueue_driver *q, uint32_t *slots, unsigned max)
{
	unsigned taken = 0, run, most;

	/* What is not in the ring yet cannot be answered, nor anything of a broken one. */
	max = q->broken ? 0 : MIN(max, q->in_flight);
	do {
		most = MIN(max - taken, (unsigned)q->size - q->used);
		run = take_run(q, slots + taken, most);
		taken += note_taken(q, q->used + run, run);
		if (q->used == q->size) {
			q->used = 0;
			q->used_flags ^= VIRTQUEUE_PACKED_MARKS;
		}
	} while (run == most && taken != max);
	/* The marks before the memory that they say was written (§2.8.22). */
	ob_dma_rmb();
	return taken;
}
