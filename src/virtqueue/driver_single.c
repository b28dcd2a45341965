/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's end for requests of one piece each, many at once: what network queues are made of. And what both layouts
 * tell of requests in flight.
 */
#include "virtqueue/driver.h"
#include "virtqueue/layout.h"

static unsigned split_add(struct virtqueue_driver *q, const struct ob_virtio_single *singles, unsigned count,
			  uint32_t desc_flags)
{
	unsigned head = q->free_head;
	uint16_t avail = q->avail, mask = q->mask;
	struct virtq_desc *desc = q->desc;
	const uint16_t *next = q->next;
	ob_le16 *ring = q->avail_ring->ring;

	for (unsigned i = 0; i < count; i++) {
		struct virtqueue_slot *slot = &q->slots[head];
		uint32_t len_bytes = singles[i].len_bytes;

		ob_le64_store(&desc[head].addr, singles[i].iova.addr);
		ob_le32_16_16_store(&desc[head].len, virtqueue_word(len_bytes, desc_flags, 0));
		slot->token = singles[i].token;
		slot->in_bytes = desc_flags != 0 ? len_bytes : 0;
		slot->entries = 1;
		slot->last = (uint16_t)head;
		ob_le16_store(&ring[avail & mask], (uint16_t)head);
		avail++;
		head = next[head];
	}
	q->free_head = (uint16_t)head;
	q->avail = avail;
	return count;
}

static unsigned packed_add(struct virtqueue_driver *q, const struct ob_virtio_single *singles, unsigned count,
			   uint32_t desc_flags)
{
	unsigned id = q->free_head, at = q->avail, size = q->size;
	uint32_t flags = desc_flags | q->avail_flags;
	struct virtq_packed_desc *desc = q->pdesc;

	for (unsigned i = 0; i < count; i++) {
		struct virtqueue_slot *slot = &q->slots[id];
		uint32_t len_bytes = singles[i].len_bytes;
		uint64_t word = virtqueue_word(len_bytes, id, flags);

		ob_le64_store(&desc[at].addr, singles[i].iova.addr);
		/* The first one since the last kick is held back, and the device waits there. */
		if (OB_LIKELY(i != 0 || q->held != 0)) {
			ob_le32_16_16_store(&desc[at].len, word);
		} else {
			q->held = 1;
			q->held_index = (uint16_t)at;
			q->held_word = word;
		}
		slot->token = singles[i].token;
		slot->in_bytes = desc_flags != 0 ? len_bytes : 0;
		slot->entries = 1;
		id = slot->next_free;
		if (OB_UNLIKELY(++at == size)) {
			at = 0;
			flags ^= VIRTQUEUE_PACKED_MARKS;
		}
	}
	q->free_head = (uint16_t)id;
	q->avail = (uint16_t)at;
	q->avail_flags = (uint16_t)(flags & VIRTQUEUE_PACKED_MARKS);
	q->told = (uint16_t)(q->told + count);
	return count;
}

unsigned virtqueue_driver_add_singles(struct virtqueue_driver *q, const struct ob_virtio_single *singles,
				      unsigned count, enum ob_dma_rights rights)
{
	uint32_t flags = rights == OB_DMA_WRITE ? VIRTQ_DESC_F_WRITE : 0;

	if (OB_UNLIKELY(count > q->free_entries))
		count = q->free_entries;
	if (OB_UNLIKELY(q->broken || count == 0))
		return 0;
	q->free_entries = (uint16_t)(q->free_entries - count);
	q->in_flight = (uint16_t)(q->in_flight + count);
	q->stats.added += count;
	return q->packed ? packed_add(q, singles, count, flags) : split_add(q, singles, count, flags);
}

bool virtqueue_driver_pending(const struct virtqueue_driver *q)
{
	uint64_t word;

	if (q->broken)
		return true;
	if (!q->packed)
		return q->used_seen != q->used || ob_le16_load(&q->used_ring->idx) != q->used;
	if (q->batch || q->in_flight == 0)
		return q->batch;
	word = ob_le32_16_16_load(&q->pdesc[q->used].len);
	return ((word >> 48) & VIRTQUEUE_PACKED_MARKS) == q->used_flags;
}

void virtqueue_driver_drop(struct virtqueue_driver *q, void (*fn)(void *arg, uint32_t token), void *arg)
{
	for (unsigned i = 0; i < q->size; i++) {
		if (q->slots[i].entries == 0)
			continue;
		q->slots[i].entries = 0;
		fn(arg, q->slots[i].token);
	}
	/* What is left is no queue to add to: it is to be renewed or destroyed. */
	q->in_flight = 0;
	q->free_entries = 0;
}
