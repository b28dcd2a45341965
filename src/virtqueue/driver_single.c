/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's end for requests of one piece each, many at once: what network queues are made of. And what both layouts
 * tell of requests in flight.
 *
 * Where the device keeps the order, ids follow each other as places in the ring do, so runs of them are written and read
 * with few steps each. What is not as usual, also what is wrong, is left to the general way, which judges it.
 *
 * What is added and what is taken comes in two shapes; the loops are written once, and made for each of them.
 */
#include "virtqueue/driver.h"
#include "virtqueue/layout.h"

#define TEMPLATE static inline __attribute__((always_inline))

/* ---- adding ---- */

/* Requests one by one, or buffers by their numbers. */
struct source {
	bool numbers; /* a constant */
	const struct ob_virtio_single *singles;
	const uint32_t *tokens;
	uint64_t base;
	uint32_t stride, len_bytes;
};

TEMPLATE struct ob_virtio_single source_at(const struct source *s, unsigned i)
{
	if (!s->numbers)
		return s->singles[i];
	return (struct ob_virtio_single){
		.iova = {s->base + (uint64_t)s->tokens[i] * s->stride},
		.len_bytes = s->len_bytes,
		.token = s->tokens[i],
	};
}

TEMPLATE void slot_fill(struct ob_virtio_slot *slot, const struct ob_virtio_single *single, bool in)
{
	slot->token = single->token;
	slot->in_bytes = in ? single->len_bytes : 0;
	slot->entries = 1;
}

TEMPLATE void split_add(struct virtqueue_driver *q, const struct source *source, unsigned count, bool in)
{
	unsigned head = q->free_head;
	uint32_t avail = q->avail, mask = q->mask;
	struct ob_virtio_slot *slots = q->slots;
	struct virtq_desc *desc = q->desc;
	const uint16_t *next = q->next;
	ob_le16 *ring = q->avail_ring->ring;
	bool straight = q->straight;

	for (unsigned i = 0; i < count; i++) {
		const struct ob_virtio_single single = source_at(source, i);

		ob_le64_store(&desc[head].addr, single.iova.addr);
		ob_le32_16_16_store(&desc[head].len, virtqueue_word(single.len_bytes, in ? VIRTQ_DESC_F_WRITE : 0, 0));
		slot_fill(&slots[head], &single, in);
		slots[head].last = (uint16_t)head;
		if (!straight)
			ob_le16_store(&ring[avail & mask], (uint16_t)head);
		avail++;
		head = next[head];
	}
	q->free_head = (uint16_t)head;
	q->avail = avail;
}

/* One entry but for its marks, which are returned: they are stored last. */
TEMPLATE uint64_t packed_one(struct virtqueue_driver *q, const struct ob_virtio_single *single, bool in)
{
	unsigned at = q->place, id = q->free_head;
	uint64_t word = virtqueue_word(single->len_bytes, id, q->avail_flags | (in ? VIRTQ_DESC_F_WRITE : 0));

	ob_le64_store(&q->pdesc[at].addr, single->iova.addr);
	slot_fill(&q->slots[id], single, in);
	q->free_head = q->slots[id].next_free;
	if (OB_UNLIKELY(++at == q->size)) {
		at = 0;
		q->avail_flags ^= VIRTQUEUE_PACKED_MARKS;
	}
	q->place = (uint16_t)at;
	return word;
}

/* Ids are given in their own order as well; runs end where ids or places begin anew. */
TEMPLATE void packed_add_in_order(struct virtqueue_driver *q, const struct source *source, unsigned i, unsigned count,
				  bool in)
{
	unsigned id = q->free_head, at = q->place, size = q->size;
	uint32_t flags = q->avail_flags | (in ? VIRTQ_DESC_F_WRITE : 0);

	while (i < count) {
		unsigned end = i + MIN(count - i, size - MAX(at, id));
		struct ob_virtio_slot *slot = &q->slots[id];
		struct virtq_packed_desc *desc = &q->pdesc[at];
		uint64_t word = virtqueue_word(0, id, flags);

		id += end - i;
		at += end - i;
		for (; i < end; i++, desc++, slot++) {
			const struct ob_virtio_single single = source_at(source, i);

			ob_le64_store(&desc->addr, single.iova.addr);
			slot_fill(slot, &single, in);
			ob_le32_16_16_store(&desc->len, word | single.len_bytes);
			word += virtqueue_word(0, 1, 0);
		}
		if (id == size)
			id = 0;
		if (at == size) {
			at = 0;
			flags ^= VIRTQUEUE_PACKED_MARKS;
		}
	}
	q->free_head = (uint16_t)id;
	q->place = (uint16_t)at;
	q->avail_flags = (uint16_t)(flags & VIRTQUEUE_PACKED_MARKS);
}

TEMPLATE void packed_add(struct virtqueue_driver *q, const struct source *source, unsigned count, bool in)
{
	unsigned i = 0;

	/* The marks of the first one since the last kick are held back: the device waits there. */
	if (q->held == 0) {
		const struct ob_virtio_single single = source_at(source, i++);

		q->held = 1;
		q->held_index = q->place;
		q->held_word = packed_one(q, &single, in);
	}
	if (q->in_order) {
		packed_add_in_order(q, source, i, count, in);
		return;
	}
	for (; i < count; i++) {
		const struct ob_virtio_single single = source_at(source, i);
		struct virtq_packed_desc *desc = &q->pdesc[q->place];

		ob_le32_16_16_store(&desc->len, packed_one(q, &single, in));
	}
}

/* Returns how many there is room for, which are now in flight. */
static unsigned reserve(struct virtqueue_driver *q, unsigned count)
{
	if (OB_UNLIKELY(count > q->free_entries))
		count = q->free_entries;
	if (OB_UNLIKELY(q->broken))
		return 0;
	q->free_entries = (uint16_t)(q->free_entries - count);
	/* Of a split ring the kick counts. */
	if (q->packed) {
		virtqueue_packed_show(q);
		q->in_flight = (uint16_t)(q->in_flight + count);
		q->stats.added += count;
	}
	return count;
}

TEMPLATE void add(struct virtqueue_driver *q, const struct source *source, unsigned count, bool in)
{
	if (count == 0)
		return;
	if (q->packed)
		packed_add(q, source, count, in);
	else
		split_add(q, source, count, in);
}

unsigned virtqueue_driver_add_singles(struct virtqueue_driver *q, const struct ob_virtio_single *singles,
				      unsigned count, enum ob_dma_rights rights)
{
	const struct source source = {.singles = singles};

	count = reserve(q, count);
	if (rights == OB_DMA_WRITE)
		add(q, &source, count, true);
	else
		add(q, &source, count, false);
	return count;
}

unsigned virtqueue_driver_add_buffers(struct virtqueue_driver *q, const uint32_t *tokens, unsigned count, ob_iova base,
				      uint32_t stride, uint32_t len_bytes)
{
	const struct source source = {
		.numbers = true, .tokens = tokens, .base = base.addr, .stride = stride, .len_bytes = len_bytes};

	count = reserve(q, count);
	add(q, &source, count, true);
	return count;
}

/* ---- taking, where the device uses them in the order in which they were given ---- */

/* Tokens with lengths, or alone. */
struct sink {
	bool lengths; /* a constant */
	struct ob_virtio_used *used;
	uint32_t *tokens;
};

TEMPLATE void sink_put(const struct sink *sink, unsigned n, uint32_t token, uint32_t len_bytes)
{
	if (sink->lengths) {
		sink->used[n].token = token;
		sink->used[n].len_bytes = len_bytes;
	} else {
		sink->tokens[n] = token;
	}
}

/* What was taken so far, before somebody else goes on with it. */
static inline void note_taken(struct virtqueue_driver *q, unsigned count, unsigned entries, unsigned head)
{
	q->order_head = (uint16_t)head;
	q->in_flight = (uint16_t)(q->in_flight - count);
	q->free_entries = (uint16_t)(q->free_entries + entries);
	q->taken += count;
}

/* Where a walk over used descriptors is. */
struct walk {
	unsigned at, id, n, entries;
	uint32_t marks;
};

/* The upper half of a used descriptor, as far as it is looked at: id, and marks. */
#define NAME(id, marks) ((uint32_t)(id) | (uint32_t)(marks) << 16)
#define NAME_MASK       NAME(0xffff, VIRTQUEUE_PACKED_MARKS)

/* While each names the request that is next, of one entry; to where places or ids begin anew. False: one does not. */
TEMPLATE bool packed_take_run(struct virtqueue_driver *q, const struct sink *sink, struct walk *w, unsigned max)
{
	unsigned most = MIN(max - w->n, q->size - MAX(w->at, w->id)), run;
	const struct virtq_packed_desc *desc = &q->pdesc[w->at];
	struct ob_virtio_slot *slots = &q->slots[w->id];
	uint32_t name = NAME(w->id, w->marks);

	for (run = 0; run < most; run++) {
		uint64_t word = ob_le32_16_16_load(&desc[run].len);

		if (((uint32_t)(word >> 32) & NAME_MASK) != name + run || slots[run].entries != 1 ||
		    (uint32_t)word > slots[run].in_bytes)
			break;
		sink_put(sink, w->n + run, slots[run].token, (uint32_t)word);
		slots[run].entries = 0;
	}
	w->n += run;
	w->entries += run;
	w->id += run;
	w->at += run;
	if (w->id == q->size)
		w->id = 0;
	if (w->at == q->size) {
		w->at = 0;
		w->marks ^= VIRTQUEUE_PACKED_MARKS;
	}
	return run == most;
}

/* One names @last, which is in flight: it stands for all up to that, and those before were used whole (§2.8.8). */
TEMPLATE void packed_take_batch(struct virtqueue_driver *q, const struct sink *sink, struct walk *w, unsigned max,
				unsigned last, uint32_t len_bytes)
{
	struct ob_virtio_slot *slot;

	for (;; w->id = slot->next_free) {
		slot = &q->slots[w->id];
		sink_put(sink, w->n++, slot->token, w->id == last ? len_bytes : slot->in_bytes);
		w->entries += slot->entries;
		w->at += slot->entries;
		slot->entries = 0;
		if (w->id == last || w->n == max)
			break;
	}
	if (w->id != last) {
		q->batch = true;
		q->batch_id = (uint16_t)last;
		q->batch_len = len_bytes;
	}
	w->id = slot->next_free;
	if (w->at >= q->size) {
		w->at -= q->size;
		w->marks ^= VIRTQUEUE_PACKED_MARKS;
	}
}

TEMPLATE unsigned packed_take(struct virtqueue_driver *q, const struct sink *sink, unsigned max, bool *odd)
{
	struct walk w = {.at = q->used, .id = q->order_head, .marks = q->used_flags};

	while (w.n < max) {
		uint64_t word;
		unsigned last;

		if (packed_take_run(q, sink, &w, max))
			continue;
		word = ob_le32_16_16_load(&q->pdesc[w.at].len);
		last = (unsigned)(word >> 32 & 0xffff);
		if (((word >> 48) & VIRTQUEUE_PACKED_MARKS) != w.marks)
			break;
		if (last >= q->size || q->slots[last].entries == 0 || (uint32_t)word > q->slots[last].in_bytes) {
			*odd = true;
			break;
		}
		packed_take_batch(q, sink, &w, max, last, (uint32_t)word);
		if (q->batch)
			break;
	}
	q->used = (uint16_t)w.at;
	q->used_flags = (uint16_t)w.marks;
	note_taken(q, w.n, w.entries, w.id);
	/* The marks before the memory that they say was written (§2.8.22). */
	ob_dma_rmb();
	return w.n;
}

/* Is there something new? The index is checked, and in used_seen. */
static bool split_look(struct virtqueue_driver *q, bool *odd)
{
	uint16_t seen;

	if (q->used != q->used_seen)
		return true;
	seen = ob_le16_load(&q->used_ring->idx);
	if ((uint16_t)(seen - q->used) > (uint16_t)(q->told - q->used))
		*odd = true;
	if (seen == q->used || *odd)
		return false;
	q->used_seen = seen;
	/* The index before the entries it shows, and before the memory that they say was written (§2.7.14). */
	ob_dma_rmb();
	return true;
}

TEMPLATE unsigned split_take(struct virtqueue_driver *q, const struct sink *sink, unsigned max, bool *odd)
{
	const struct virtq_used_elem *ring = q->used_ring->ring;
	uint16_t at = q->used, seen;
	uint32_t mask = q->mask;
	unsigned n = 0, head = q->order_head, entries = 0;
	struct ob_virtio_slot *slots = q->slots;

	if (!split_look(q, odd))
		return 0;
	for (seen = q->used_seen; n < max && at != seen; n++, at++) {
		uint64_t elem = ob_le32_pair_load(&ring[at & mask].id);
		struct ob_virtio_slot *slot = &slots[head];

		/* So many are in flight as the index moved on by, at the least: the head's slot is one of them. */
		if (OB_UNLIKELY((uint32_t)elem != head || (uint32_t)(elem >> 32) > slot->in_bytes)) {
			*odd = true;
			break;
		}
		sink_put(sink, n, slot->token, (uint32_t)(elem >> 32));
		entries += slot->entries;
		head = (head + slot->entries) & mask;
		slot->entries = 0;
	}
	q->used = at;
	note_taken(q, n, entries, head);
	return n;
}

/* Is it any of this file's business? */
static inline bool is_usual(const struct virtqueue_driver *q)
{
	return q->in_order && !q->batch && !q->broken;
}

int virtqueue_driver_take_singles(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	const struct sink sink = {.lengths = true, .used = used};
	bool odd = !is_usual(q);
	unsigned n = 0;
	int more;

	if (OB_LIKELY(!odd))
		n = q->packed ? packed_take(q, &sink, max, &odd) : split_take(q, &sink, max, &odd);
	if (OB_LIKELY(!odd || n == max))
		return (int)n;
	more = virtqueue_driver_take(q, used + n, max - n);
	return more > 0 ? (int)n + more : n > 0 ? (int)n : more;
}

int virtqueue_driver_take_tokens(struct virtqueue_driver *q, uint32_t *tokens, unsigned max)
{
	const struct sink sink = {.tokens = tokens};
	struct ob_virtio_used used[64];
	bool odd = !is_usual(q);
	unsigned n = 0;
	int more;

	if (OB_LIKELY(!odd))
		n = q->packed ? packed_take(q, &sink, max, &odd) : split_take(q, &sink, max, &odd);
	if (OB_LIKELY(!odd || n == max))
		return (int)n;
	more = virtqueue_driver_take(q, used, MIN(max - n, (unsigned)ARRAY_SIZE(used)));
	for (int i = 0; i < more; i++)
		tokens[n++] = used[i].token;
	return n > 0 ? (int)n : more;
}

/* ---- in flight ---- */

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
	q->told = q->avail;
	q->free_entries = 0;
}
