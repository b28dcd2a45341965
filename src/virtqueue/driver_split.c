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

void virtqueue_split_rewind(struct virtqueue_driver *q)
{
	for (unsigned i = 0; i < q->size; i++)
		q->next[i] = (uint16_t)((i + 1) & q->mask);
	q->used_seen = 0;
	virtqueue_split_disarm(q);
}

static inline void desc_store(struct virtq_desc *desc, const struct ob_dma_piece *piece, uint32_t flags, uint32_t next)
{
	ob_le64_store(&desc->addr, piece->iova.addr);
	ob_le32_16_16_store(&desc->len, virtqueue_word((uint32_t)piece->len_bytes, flags, next));
}

/* Its head is in the avail ring from now on; the device does not know yet. */
static inline void slot_take(struct virtqueue_driver *q, unsigned head, unsigned last, unsigned entries,
			     uint32_t in_bytes, uint32_t token)
{
	struct virtqueue_slot *slot = &q->slots[head];

	slot->token = token;
	slot->in_bytes = in_bytes;
	slot->entries = (uint16_t)entries;
	slot->last = (uint16_t)last;
	q->free_entries = (uint16_t)(q->free_entries - entries);
	q->free_head = q->next[last];
	q->in_flight++;
	q->stats.added++;
	ob_le16_store(&q->avail_ring->ring[q->avail & q->mask], (uint16_t)head);
	q->avail++;
}

/* By an indirect table: one entry of the ring, whatever the number of pieces (§2.7.5.3). */
static int add_indirect(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned count, uint32_t token)
{
	unsigned head = q->free_head;
	struct virtq_desc *table = (struct virtq_desc *)(void *)((uint8_t *)q->tables + (size_t)head * q->table_bytes);
	struct ob_dma_piece whole = {{q->tables_iova + (uint64_t)head * q->table_bytes}, count * sizeof(*table)};
	uint32_t in_bytes = 0;

	if (q->free_entries == 0)
		return -EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		uint32_t flags = i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;

		if (i >= out_count) {
			flags |= VIRTQ_DESC_F_WRITE;
			in_bytes += (uint32_t)pieces[i].len_bytes;
		}
		desc_store(&table[i], &pieces[i], flags, i + 1 < count ? i + 1 : 0);
	}
	desc_store(&q->desc[head], &whole, VIRTQ_DESC_F_INDIRECT, 0);
	slot_take(q, head, head, 1, in_bytes, token);
	return 0;
}

int virtqueue_split_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned in_count, uint32_t token)
{
	const struct ob_dma_piece *in = pieces + out_count, *last = in + in_count - 1;
	unsigned count = out_count + in_count, head = q->free_head, at = head;
	uint32_t in_bytes = 0, flags = 0;

	if (OB_UNLIKELY(q->broken || count - 1 >= q->chain_max))
		return q->broken ? -EPROTO : -EINVAL;
	if (count >= q->indirect_from || q->free_entries < count + q->direct_low)
		return q->tables != NULL ? add_indirect(q, pieces, out_count, count, token) : -EAGAIN;
	for (;; pieces++) {
		unsigned next = q->next[at];

		if (pieces >= in) {
			flags = VIRTQ_DESC_F_WRITE;
			in_bytes += (uint32_t)pieces->len_bytes;
		}
		if (pieces == last)
			break;
		desc_store(&q->desc[at], pieces, flags | VIRTQ_DESC_F_NEXT, next);
		at = next;
	}
	desc_store(&q->desc[at], pieces, flags, 0);
	slot_take(q, head, at, count, in_bytes, token);
	return 0;
}

void virtqueue_split_kick(struct virtqueue_driver *q)
{
	uint16_t told = q->told;
	bool wanted;

	if (q->avail == told || q->broken)
		return;
	q->told = q->avail;
	/* Descriptors, tables and the entries of the avail ring before the index that shows them (§2.7.13.3). */
	ob_dma_wmb();
	ob_le16_store(&q->avail_ring->idx, q->avail);
	/*
	 * The index before the look at what the device wants to be told; the device writes its wish and then looks at the
	 * index (§2.7.13.4). So one of the two sees the other's word, and no request is left lying.
	 */
	ob_dma_mb();
	if (q->event_idx)
		wanted = virtqueue_event_passed(
			ob_le16_load((const ob_le16 *)(const void *)&q->used_ring->ring[q->size]), q->avail, told);
	else
		wanted = (ob_le16_load(&q->used_ring->flags) & VIRTQ_USED_F_NO_NOTIFY) == 0;
	if (wanted)
		virtqueue_driver_notify(q);
	else
		q->stats.kicks_spared++;
}

/* ---- what comes back ---- */

/* A request of the shadow ends; its descriptors are free. */
static inline void slot_free(struct virtqueue_driver *q, unsigned head)
{
	struct virtqueue_slot *slot = &q->slots[head];

	if (!q->in_order) {
		q->next[slot->last] = q->free_head;
		q->free_head = (uint16_t)head;
	}
	q->free_entries = (uint16_t)(q->free_entries + slot->entries);
	slot->entries = 0;
	q->in_flight--;
	q->stats.taken++;
	q->used++;
}

/* What the device says of the entry at @used, checked against the shadow. NULL, or what is wrong with it. */
static inline const char *elem_read(const struct virtqueue_driver *q, uint32_t *id, uint32_t *len)
{
	uint64_t elem = ob_le32_pair_load(&q->used_ring->ring[q->used & q->mask].id);

	*id = (uint32_t)elem;
	*len = (uint32_t)(elem >> 32);
	if (OB_UNLIKELY(*id >= q->size))
		return "an id in the used ring that is no descriptor";
	if (OB_UNLIKELY(q->slots[*id].entries == 0))
		return "an id in the used ring that is not in flight";
	if (OB_UNLIKELY(*len > q->slots[*id].in_bytes))
		return "more was written than there is room for";
	return NULL;
}

/* One entry may stand for all requests up to the one that it names; those before it were used whole (§2.7.9). */
static int take_in_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max, uint16_t seen)
{
	unsigned n = 0;

	while (n < max && q->used != seen) {
		struct virtqueue_slot *slot = &q->slots[q->order_head];
		unsigned head = q->order_head;
		uint32_t id;

		if (!q->batch) {
			const char *wrong = elem_read(q, &id, &q->batch_len);

			if (wrong != NULL) {
				virtqueue_driver_break(q, wrong);
				break;
			}
			q->batch_id = (uint16_t)id;
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

int virtqueue_split_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	uint16_t seen = q->used_seen;
	unsigned n = 0;

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
	if (OB_UNLIKELY(q->event_idx && !q->armed && (uint16_t)(q->used - q->event_told) >= 0x4000))
		virtqueue_split_disarm(q);
	if (q->in_order)
		return take_in_order(q, used, max, seen);
	while (n < max && q->used != seen) {
		const char *wrong;
		uint32_t id;

		wrong = elem_read(q, &id, &used[n].len_bytes);
		if (OB_UNLIKELY(wrong != NULL)) {
			virtqueue_driver_break(q, wrong);
			return n > 0 ? (int)n : -EPROTO;
		}
		used[n++].token = q->slots[id].token;
		slot_free(q, id);
	}
	return (int)n;
}

static void event_store(struct virtqueue_driver *q, uint16_t event)
{
	q->event_told = event;
	ob_le16_store(&q->avail_ring->ring[q->size], event);
}

bool virtqueue_split_arm(struct virtqueue_driver *q)
{
	q->armed = true;
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
	q->armed = false;
	/* With the event index the flag must stay 0, and an index that was just passed says the same (§2.7.7). */
	if (q->event_idx)
		event_store(q, (uint16_t)(q->used - 1));
	else
		ob_le16_store(&q->avail_ring->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}
