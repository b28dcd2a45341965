/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's end of a packed ring: VIRTIO 1.2 §2.8.
 *
 * Descriptors are written in ring order, each with its length, id and marks in one store. The first one since the last
 * kick is held back until the next: the device stops there, so that all behind it needs no barrier of its own.
 */
#include "virtqueue/driver.h"

#include <errno.h>

#include "virtqueue/layout.h"

/* Entry indexes run from 0 to size - 1, with a wrap counter that is kept as what it does to the marks (§2.8.1). */
static_assert(VIRTQUEUE_PACKED_MARKS == 0x8080, "VIRTIO §2.8.1");

void virtqueue_packed_rewind(struct virtqueue_driver *q)
{
	for (unsigned i = 0; i < q->size; i++)
		q->slots[i].next_free = (uint16_t)(i + 1 < q->size ? i + 1 : 0);
	q->avail_flags = VIRTQ_PACKED_F_AVAIL;
	q->used_flags = VIRTQUEUE_PACKED_MARKS;
	q->held = 0;
	virtqueue_packed_disarm(q);
}

static inline void avail_advance(struct virtqueue_driver *q)
{
	if (OB_UNLIKELY(++q->avail == q->size)) {
		q->avail = 0;
		q->avail_flags ^= VIRTQUEUE_PACKED_MARKS;
	}
}

/* The head of a request, whose other descriptors are written. */
static inline void head_store(struct virtqueue_driver *q, unsigned index, uint64_t word)
{
	if (q->held == 0) {
		q->held_index = (uint16_t)index;
		q->held_word = word;
		q->held = 1;
	} else {
		ob_le32_16_16_store(&q->pdesc[index].len, word);
	}
}

static inline void slot_take(struct virtqueue_driver *q, unsigned id, unsigned entries, uint32_t in_bytes,
			     uint32_t token)
{
	struct virtqueue_slot *slot = &q->slots[id];

	slot->token = token;
	slot->in_bytes = in_bytes;
	slot->entries = (uint16_t)entries;
	q->free_head = slot->next_free;
	q->free_entries = (uint16_t)(q->free_entries - entries);
	q->told = (uint16_t)(q->told + entries);
	q->in_flight++;
	q->stats.added++;
}

/* By an indirect table (§2.8.7), in which only the write flag means anything. */
static int add_indirect(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned count, uint32_t token)
{
	unsigned id = q->free_head, index = q->avail;
	struct virtq_packed_desc *table = (struct virtq_packed_desc *)(void *)((uint8_t *)q->tables +
									       (size_t)id * q->table_bytes);
	uint32_t in_bytes = 0;

	if (q->free_entries == 0)
		return -EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		uint32_t flags = 0;

		if (i >= out_count) {
			flags = VIRTQ_DESC_F_WRITE;
			in_bytes += (uint32_t)pieces[i].len_bytes;
		}
		ob_le64_store(&table[i].addr, pieces[i].iova.addr);
		ob_le32_16_16_store(&table[i].len, virtqueue_word((uint32_t)pieces[i].len_bytes, 0, flags));
	}
	ob_le64_store(&q->pdesc[index].addr, q->tables_iova + (uint64_t)id * q->table_bytes);
	head_store(q, index,
		   virtqueue_word(count * (uint32_t)sizeof(*table), id, VIRTQ_DESC_F_INDIRECT | q->avail_flags));
	avail_advance(q);
	slot_take(q, id, 1, in_bytes, token);
	return 0;
}

int virtqueue_packed_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			 unsigned in_count, uint32_t token)
{
	const struct ob_dma_piece *in = pieces + out_count, *last = in + in_count - 1;
	unsigned count = out_count + in_count, id = q->free_head, head = q->avail;
	uint64_t head_word = 0;
	uint32_t in_bytes = 0;

	if (OB_UNLIKELY(q->broken || count - 1 >= q->chain_max))
		return q->broken ? -EPROTO : -EINVAL;
	if (count >= q->indirect_from || q->free_entries < count + q->direct_low)
		return q->tables != NULL ? add_indirect(q, pieces, out_count, count, token) : -EAGAIN;
	for (;; pieces++) {
		uint32_t flags = q->avail_flags;
		uint64_t word;

		if (pieces >= in) {
			flags |= VIRTQ_DESC_F_WRITE;
			in_bytes += (uint32_t)pieces->len_bytes;
		}
		if (pieces != last)
			flags |= VIRTQ_DESC_F_NEXT;
		word = virtqueue_word((uint32_t)pieces->len_bytes, id, flags);
		ob_le64_store(&q->pdesc[q->avail].addr, pieces->iova.addr);
		if (q->avail == head)
			head_word = word;
		else
			ob_le32_16_16_store(&q->pdesc[q->avail].len, word);
		avail_advance(q);
		if (pieces == last)
			break;
	}
	head_store(q, head, head_word);
	slot_take(q, id, count, in_bytes, token);
	return 0;
}

void virtqueue_packed_kick(struct virtqueue_driver *q)
{
	uint16_t count = q->told;
	uint32_t event;
	bool wanted;

	if (q->held == 0 || q->broken)
		return;
	q->held = 0;
	q->told = 0;
	/* All descriptors and tables before the marks of the first one, at which the device waits (§2.8.21.1.1). */
	ob_dma_wmb();
	ob_le32_16_16_store(&q->pdesc[q->held_index].len, q->held_word);
	/*
	 * The marks before the look at what the device wants to be told; the device writes its wish and then looks at the
	 * marks (§2.8.21.3.1). So one of the two sees the other's word.
	 */
	ob_dma_mb();
	event = ob_le16_pair_load(&q->device_event->desc);
	switch (FIELD_GET(VIRTQ_EVENT_FLAGS, event >> 16)) {
	case VIRTQ_EVENT_DISABLE:
		wanted = false;
		break;
	case VIRTQ_EVENT_DESC:
		wanted = !q->event_idx ||
			 virtqueue_packed_event_passed((uint16_t)event, q->size, q->avail,
						       (q->avail_flags & VIRTQ_PACKED_F_AVAIL) != 0, count);
		break;
	default:
		wanted = true;
		break;
	}
	if (wanted)
		virtqueue_driver_notify(q);
	else
		q->stats.kicks_spared++;
}

/* ---- what comes back ---- */

static inline bool is_used(const struct virtqueue_driver *q, uint64_t word)
{
	return ((word >> 48) & VIRTQUEUE_PACKED_MARKS) == q->used_flags;
}

/* A used descriptor, checked against the shadow. NULL, or what is wrong with it. */
static inline const char *word_check(const struct virtqueue_driver *q, uint64_t word, unsigned *id, uint32_t *len)
{
	const struct virtqueue_slot *slot;

	*id = (unsigned)(word >> 32 & 0xffff);
	*len = (uint32_t)word;
	if (OB_UNLIKELY(*id >= q->size))
		return "a used descriptor with an id that was never given";
	slot = &q->slots[*id];
	if (OB_UNLIKELY(slot->entries == 0))
		return "a used descriptor with an id that is not in flight";
	if (OB_UNLIKELY(*len > slot->in_bytes)) {
		/* Without the write flag the length means nothing (§2.8.4); many devices never set it. */
		if (slot->in_bytes != 0 || ((word >> 48) & VIRTQ_DESC_F_WRITE) != 0)
			return "more was written than there is room for";
		*len = 0;
	}
	return NULL;
}

/* The request of the shadow ends; the next used descriptor is behind its place in the ring. */
static inline void slot_free(struct virtqueue_driver *q, unsigned id)
{
	struct virtqueue_slot *slot = &q->slots[id];
	unsigned used = (unsigned)q->used + slot->entries;

	if (used >= q->size) {
		used -= q->size;
		q->used_flags ^= VIRTQUEUE_PACKED_MARKS;
	}
	q->used = (uint16_t)used;
	q->free_entries = (uint16_t)(q->free_entries + slot->entries);
	slot->entries = 0;
	if (!q->in_order) {
		slot->next_free = q->free_head;
		q->free_head = (uint16_t)id;
	}
	q->in_flight--;
	q->stats.taken++;
}

/* One used descriptor may stand for all requests up to the one that it names; those before were used whole (§2.8.8). */
static int take_in_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		unsigned id = q->order_head;

		if (!q->batch) {
			uint64_t word = ob_le32_16_16_load(&q->pdesc[q->used].len);
			const char *wrong;
			unsigned last;

			if (q->in_flight == 0 || !is_used(q, word))
				break;
			wrong = word_check(q, word, &last, &q->batch_len);
			if (wrong != NULL) {
				virtqueue_driver_break(q, wrong);
				break;
			}
			q->batch_id = (uint16_t)last;
			q->batch = true;
		}
		/* The one that was named is in flight, so the way to it is, too. */
		q->batch = q->batch_id != id;
		used[n].token = q->slots[id].token;
		used[n++].len_bytes = q->batch ? q->slots[id].in_bytes : q->batch_len;
		q->order_head = q->slots[id].next_free;
		slot_free(q, id);
	}
	/* The marks before the memory that they say was written (§2.8.22). */
	ob_dma_rmb();
	return n > 0 ? (int)n : q->broken ? -EPROTO : 0;
}

int virtqueue_packed_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	unsigned n = 0;

	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	if (q->in_order)
		return take_in_order(q, used, max);
	while (n < max && q->in_flight != 0) {
		uint64_t word = ob_le32_16_16_load(&q->pdesc[q->used].len);
		const char *wrong;
		unsigned id;

		if (!is_used(q, word))
			break;
		/* Marks, id and length are one load, so that none of them is older than the others. */
		wrong = word_check(q, word, &id, &used[n].len_bytes);
		if (OB_UNLIKELY(wrong != NULL)) {
			virtqueue_driver_break(q, wrong);
			break;
		}
		used[n++].token = q->slots[id].token;
		slot_free(q, id);
	}
	/* The marks before the memory that they say was written (§2.8.22). */
	if (n > 0)
		ob_dma_rmb();
	return n > 0 ? (int)n : q->broken ? -EPROTO : 0;
}

bool virtqueue_packed_arm(struct virtqueue_driver *q)
{
	uint32_t wrap = (q->used_flags & VIRTQ_PACKED_F_USED) != 0 ? VIRTQ_EVENT_WRAP : 0;

	q->armed = true;
	/* Place and flag in one store, so that the device never sees one without the other (§2.8.14). */
	ob_le16_pair_store(&q->driver_event->desc,
			   q->event_idx ? q->used | wrap | VIRTQ_EVENT_DESC << 16 : VIRTQ_EVENT_ENABLE << 16);
	/*
	 * Our wish before the look at the marks; the device writes them and then looks at our wish (§2.8.10, and the note
	 * in §2.8.22). So either it interrupts, or we see here what it will not interrupt for.
	 */
	ob_dma_mb();
	return q->batch || (q->in_flight != 0 && is_used(q, ob_le32_16_16_load(&q->pdesc[q->used].len)));
}

void virtqueue_packed_disarm(struct virtqueue_driver *q)
{
	q->armed = false;
	ob_le16_pair_store(&q->driver_event->desc, VIRTQ_EVENT_DISABLE << 16);
}
