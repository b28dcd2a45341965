/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's end of a split ring: VIRTIO 1.2 §2.7.
 *
 * Descriptors are taken from a list whose links are in the shadow; what is free is linked like a chain, so that a chain
 * needs no link of its own to be made. The device learns of new ones by one index for all, at the kick.
 */
#include "virtqueue/driver.h"

#include <errno.h>

#include "virtqueue/layout.h"

static inline void desc_store(struct virtq_desc *desc, const struct ob_dma_piece *piece, uint32_t flags, uint32_t next)
{
	ob_le64_store(&desc->addr, piece->iova.addr);
	ob_le32_16_16_store(&desc->len, virtqueue_word((uint32_t)piece->len_bytes, flags, next));
}

/* A hard handler disarms: what it uses is marked, and the queue's place in the ring is not among that. */
static void event_store(struct virtqueue_driver *q, uint16_t event)
{
	OB_WRITE_ONCE(q->event_told, event);
	ob_le16_store(&q->avail_ring->ring[q->size], event);
}

void virtqueue_split_rewind(struct virtqueue_driver *q)
{
	/* As long as each request is one descriptor, the ring needs not be written again, nor fetched by the device. */
	q->straight = q->in_order;
	for (unsigned i = 0; q->straight && i < q->size; i++)
		ob_le16_store(&q->avail_ring->ring[i], (uint16_t)i);
	q->used_seen = 0;
	q->armed = true;
	q->event_told = 0;
	virtqueue_split_disarm(q);
}

/* The device does not know yet. */
static inline void avail_put(struct virtqueue_driver *q, unsigned head)
{
	ob_le16_store(&q->avail_ring->ring[q->avail & q->mask], (uint16_t)head);
	q->avail++;
}

/* A request of descriptors that were free, in the avail ring from now on. @free_head: what is free after it. */
static inline void slot_take(struct virtqueue_driver *q, unsigned head, unsigned last, unsigned free_head,
			     unsigned entries, uint32_t in_bytes, uint32_t token)
{
	struct ob_virtio_slot *slot = &q->slots[head];

	slot->token = token;
	slot->in_bytes = in_bytes;
	slot->entries = (uint16_t)entries;
	slot->last = (uint16_t)last;
	avail_put(q, head);
	q->free_entries = (uint16_t)(q->free_entries - entries);
	q->free_head = (uint16_t)free_head;
}

/* All pieces into the table of @head, and its descriptor on that; the bytes that the device may write. */
static uint32_t table_fill(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *pieces,
			   unsigned out_count, unsigned count)
{
	uint64_t offset = (uint64_t)head * q->table_bytes;
	struct virtq_desc *table = (struct virtq_desc *)(void *)((uint8_t *)q->tables + offset);
	struct ob_dma_piece whole = {{q->tables_iova + offset}, count * sizeof(*table)};
	uint32_t in_bytes = 0;
	unsigned i = 0;

	for (; i < out_count; i++)
		desc_store(&table[i], &pieces[i], VIRTQ_DESC_F_NEXT, i + 1);
	for (; i < count; i++) {
		desc_store(&table[i], &pieces[i], VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, i + 1);
		in_bytes += (uint32_t)pieces[i].len_bytes;
	}
	/* Nothing behind the last one. */
	desc_store(&table[i - 1], &pieces[i - 1], out_count < count ? VIRTQ_DESC_F_WRITE : 0, 0);
	desc_store(&q->desc[head], &whole, VIRTQ_DESC_F_INDIRECT, 0);
	return in_bytes;
}

/* By an indirect table: one entry of the ring, whatever the number of pieces (§2.7.5.3). */
static __attribute__((noinline)) int add_indirect(struct virtqueue_driver *q, const struct ob_dma_piece *pieces,
						  unsigned out_count, unsigned count, uint32_t token)
{
	unsigned head = q->free_head;

	if (q->broken || count - 1 >= q->chain_max)
		return q->broken ? -EPROTO : -EINVAL;
	if (q->tables == NULL || q->free_entries == 0)
		return -EAGAIN;
	slot_take(q, head, head, q->next[head], 1, table_fill(q, head, pieces, out_count, count), token);
	return 0;
}

/* A chain in the ring; there is room. */
static __attribute__((noinline)) int add_chain(struct virtqueue_driver *q, const struct ob_dma_piece *pieces,
					       unsigned out_count, unsigned count, uint32_t token)
{
	const struct ob_dma_piece *in = pieces + out_count, *end = pieces + count;
	unsigned head = q->free_head, at = head, last = head;
	struct virtq_desc *ring = q->desc;
	const uint16_t *next = q->next;
	uint32_t in_bytes = 0;

	q->straight = false;
	for (; pieces != in; pieces++) {
		last = at;
		at = next[last];
		desc_store(&ring[last], pieces, VIRTQ_DESC_F_NEXT, at);
	}
	for (; pieces != end; pieces++) {
		last = at;
		at = next[last];
		desc_store(&ring[last], pieces, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, at);
		in_bytes += (uint32_t)pieces->len_bytes;
	}
	/* Nothing behind the last one. */
	ob_le32_16_16_store(&ring[last].len,
			    virtqueue_word((uint32_t)end[-1].len_bytes, in != end ? VIRTQ_DESC_F_WRITE : 0, 0));
	slot_take(q, head, last, at, count, in_bytes, token);
	return 0;
}

int virtqueue_split_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned in_count, uint32_t token)
{
	unsigned count = out_count + in_count, head = q->free_head;

	/* A broken queue has no room either. */
	if (OB_UNLIKELY(count - 1 >= q->direct_max || q->free_entries < count + q->direct_low))
		return add_indirect(q, pieces, out_count, count, token);
	if (count != 1)
		return add_chain(q, pieces, out_count, count, token);
	desc_store(&q->desc[head], pieces, in_count != 0 ? VIRTQ_DESC_F_WRITE : 0, 0);
	slot_take(q, head, head, q->next[head], 1, in_count != 0 ? (uint32_t)pieces->len_bytes : 0, token);
	return 0;
}

/* ---- framed requests ---- */

void virtqueue_split_frame_prepare(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *out,
				   const struct ob_dma_piece *in)
{
	desc_store(&q->desc[head], out, VIRTQ_DESC_F_NEXT, head + 1);
	desc_store(&q->desc[head + 2], in, VIRTQ_DESC_F_WRITE, 0);
	q->slots[head + 1].data_word = virtqueue_word(0, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, head + 2);
	q->slots[head + 2].data_desc = &q->desc[head + 1].addr;
}

uint32_t virtqueue_split_frame_bend(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *pieces,
				    unsigned out_count, unsigned count)
{
	uint32_t in_bytes;

	if (count == 2) {
		/* From one end to the other. */
		desc_store(&q->desc[head], &pieces[0], VIRTQ_DESC_F_NEXT, head + 2);
		desc_store(&q->desc[head + 2], &pieces[1], VIRTQ_DESC_F_WRITE, 0);
		in_bytes = (uint32_t)pieces[1].len_bytes;
	} else {
		in_bytes = table_fill(q, head, pieces, out_count, count);
	}
	avail_put(q, head);
	return in_bytes;
}

void virtqueue_split_kick(struct virtqueue_driver *q)
{
	uint32_t told = q->told, count = q->avail - told;
	bool wanted;

	if (count == 0 || q->broken)
		return;
	q->told = q->avail;
	q->stats.added += count;
	q->in_flight = (uint16_t)(q->in_flight + count);
	/* Descriptors, tables and the entries of the avail ring before the index that shows them (§2.7.13.3). */
	ob_dma_wmb();
	ob_le16_store(&q->avail_ring->idx, (uint16_t)q->avail);
	/*
	 * The index before the look at what the device wants to be told; the device writes its wish and then looks at the
	 * index (§2.7.13.4). So one of the two sees the other's word, and no request is left lying.
	 */
	ob_dma_mb();
	if (q->event_idx)
		wanted = virtqueue_event_passed(
			ob_le16_load((const ob_le16 *)(const void *)&q->used_ring->ring[q->size]), (uint16_t)q->avail,
			(uint16_t)told);
	else
		wanted = (ob_le16_load(&q->used_ring->flags) & VIRTQ_USED_F_NO_NOTIFY) == 0;
	if (wanted)
		virtqueue_driver_notify(q);
	else
		q->stats.kicks_spared++;
}

/* ---- what comes back ---- */

/* In order: the oldest request ends; its descriptors are free, and next behind those that are. */
static inline void slot_free(struct virtqueue_driver *q, unsigned head)
{
	struct ob_virtio_slot *slot = &q->slots[head];

	q->free_entries = (uint16_t)(q->free_entries + slot->entries);
	slot->entries = 0;
	q->in_flight--;
	q->taken++;
	q->used++;
}

/* Why an entry that the device wrote cannot be, with the id in its low half and the length in its high one. */
static __attribute__((noinline, cold)) const char *elem_wrong(const struct virtqueue_driver *q, uint64_t elem)
{
	uint32_t id = (uint32_t)elem;

	if (id >= q->size)
		return "an id in the used ring that is no descriptor";
	if (q->slots[id].entries == 0)
		return "an id in the used ring that is not in flight";
	return "more was written than there is room for";
}

/* The request that an entry names; NULL: there is none that fits. */
static inline struct ob_virtio_slot *elem_slot(const struct virtqueue_driver *q, uint64_t elem)
{
	struct ob_virtio_slot *slot;

	if (OB_UNLIKELY((uint32_t)elem >= q->size))
		return NULL;
	slot = &q->slots[(uint32_t)elem];
	if (OB_UNLIKELY(slot->entries == 0 || (uint32_t)(elem >> 32) > slot->in_bytes))
		return NULL;
	return slot;
}

/* One entry may stand for all requests up to the one that it names; those before it were used whole (§2.7.9). */
static int take_in_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max, uint16_t seen)
{
	unsigned n = 0;

	while (n < max && q->used != seen) {
		struct ob_virtio_slot *slot = &q->slots[q->order_head];
		unsigned head = q->order_head;

		if (!q->batch) {
			uint64_t elem = ob_le32_pair_load(&q->used_ring->ring[q->used & q->mask].id);

			if (elem_slot(q, elem) == NULL) {
				virtqueue_driver_break(q, elem_wrong(q, elem));
				break;
			}
			q->batch_id = (uint16_t)elem;
			q->batch_len = (uint32_t)(elem >> 32);
			q->batch = true;
		}
		q->batch = q->batch_id != head;
		used[n].token = slot->token;
		used[n++].len_bytes = q->batch ? slot->in_bytes : q->batch_len;
		q->order_head = (uint16_t)((head + slot->entries) & q->mask);
		slot_free(q, head);
	}
	/* A batch is as long as the index moved on by it. */
	if (q->batch && q->used == seen && !q->broken)
		virtqueue_driver_break(q, "a batch in the used ring that goes beyond its index");
	return n > 0 ? (int)n : q->broken ? -EPROTO : 0;
}

/* The counters that it moves are in registers meanwhile. */
static int take_any_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max, uint16_t seen)
{
	unsigned free_head = q->free_head, free_entries = q->free_entries, n = 0, frame_end = q->frame_end, entries;
	const struct virtq_used_elem *ring = q->used_ring->ring;
	unsigned mask = q->mask, at = q->used, count = MIN(max, (uint16_t)(seen - q->used));
	struct ob_virtio_slot *slots = q->slots;
	const char *wrong = NULL;
	uint16_t *next = q->next;

	for (; n < count; at++, n++) {
		uint64_t elem = ob_le32_pair_load(&ring[at & mask].id);
		uint32_t id = (uint32_t)elem;
		struct ob_virtio_slot *slot = &slots[id & mask];

		if (OB_UNLIKELY(id > mask || slot->entries == 0 || (uint32_t)(elem >> 32) > slot->in_bytes)) {
			wrong = elem_wrong(q, elem);
			break;
		}
		used[n].token = slot->token;
		used[n].len_bytes = (uint32_t)(elem >> 32);
		entries = slot->entries;
		slot->entries = 0;
		/* Those of a frame stay with it. */
		if (id < frame_end)
			continue;
		free_entries += entries;
		next[slot->last] = (uint16_t)free_head;
		free_head = id;
	}
	q->free_head = (uint16_t)free_head;
	q->free_entries = (uint16_t)free_entries;
	q->used = (uint16_t)at;
	q->in_flight = (uint16_t)(q->in_flight - n);
	q->taken += n;
	if (OB_UNLIKELY(wrong != NULL))
		virtqueue_driver_break(q, wrong);
	return OB_UNLIKELY(wrong != NULL && n == 0) ? -EPROTO : (int)n;
}

int virtqueue_split_look(struct virtqueue_driver *q)
{
	uint16_t seen = q->used_seen;

	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	if (seen == q->used) {
		seen = ob_le16_load(&q->used_ring->idx);
		if (seen == q->used)
			return 0;
		/* Among those that the device knows of: told runs ahead of used by what it has. */
		if (OB_UNLIKELY((uint16_t)(seen - q->used) > (uint16_t)(q->told - q->used)))
			return virtqueue_driver_break(q, "the used index is beyond what the device was given");
		q->used_seen = seen;
		/* The index before the entries it shows, and before the memory that they say was written (§2.7.14). */
		ob_dma_rmb();
	}
	/* An event index that was passed long ago would come round again. */
	if (OB_UNLIKELY(q->event_idx && !OB_READ_ONCE(q->armed) &&
			(uint16_t)(q->used - OB_READ_ONCE(q->event_told)) >= 0x4000))
		event_store(q, (uint16_t)(q->used - 1));
	return (uint16_t)(seen - q->used);
}

int virtqueue_split_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	int count = virtqueue_split_look(q);

	if (count <= 0)
		return count;
	return q->in_order ? take_in_order(q, used, max, q->used_seen) : take_any_order(q, used, max, q->used_seen);
}

bool virtqueue_split_arm(struct virtqueue_driver *q)
{
	OB_WRITE_ONCE(q->armed, true);
	if (q->event_idx)
		event_store(q, q->used);
	else
		ob_le16_store(&q->avail_ring->flags, 0);
	/*
	 * Our wish before the look at the index; the device writes the index and then looks at our wish (§2.7.7, and the
	 * note in §2.7.14). So either it interrupts, or we see here what it will not interrupt for.
	 */
	ob_dma_mb();
	return q->used_seen != q->used || ob_le16_load(&q->used_ring->idx) != q->used;
}

void virtqueue_split_disarm(struct virtqueue_driver *q)
{
	if (!OB_READ_ONCE(q->armed))
		return;
	OB_WRITE_ONCE(q->armed, false);
	/* With the event index the flag must stay 0, and an index that was passed says the same (§2.7.7). */
	if (q->event_idx)
		event_store(q, (uint16_t)(OB_READ_ONCE(q->event_told) - 1));
	else
		ob_le16_store(&q->avail_ring->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}
