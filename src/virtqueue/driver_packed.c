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
	q->place = 0;
	q->avail_flags = VIRTQ_PACKED_F_AVAIL;
	q->used_flags = VIRTQUEUE_PACKED_MARKS;
	q->held = 0;
	virtqueue_packed_disarm(q);
}

/* The next place in the ring; past its end the marks are the other way round (§2.8.1). */
static inline unsigned place_next(const struct virtqueue_driver *q, unsigned index, uint32_t *flags)
{
	if (OB_LIKELY(++index != q->size))
		return index;
	*flags ^= VIRTQUEUE_PACKED_MARKS;
	return 0;
}

/* The head of a request, whose other descriptors are written. */
static inline void head_store(struct virtqueue_driver *q, unsigned index, uint64_t word)
{
	if (q->held != 0) {
		ob_le32_16_16_store(&q->pdesc[index].len, word);
		return;
	}
	q->held_index = (uint16_t)index;
	q->held_word = word;
	q->held = 1;
}

static inline void slot_take(struct virtqueue_driver *q, unsigned id, unsigned entries, uint32_t in_bytes,
			     uint32_t token)
{
	struct ob_virtio_slot *slot = &q->slots[id];

	slot->token = token;
	slot->in_bytes = in_bytes;
	slot->entries = (uint16_t)entries;
	q->free_head = slot->next_free;
	q->free_entries = (uint16_t)(q->free_entries - entries);
	q->in_flight++;
	q->stats.added++;
}

/* The next entry of the ring: the table of @id, of @count pieces. */
static inline void table_show(struct virtqueue_driver *q, unsigned id, unsigned count)
{
	uint32_t flags = q->avail_flags;
	unsigned at = q->place;

	ob_le64_store(&q->pdesc[at].addr, q->tables_iova + (uint64_t)id * q->table_bytes);
	head_store(q, at, virtqueue_word(count * (uint32_t)sizeof(*q->pdesc), id, VIRTQ_DESC_F_INDIRECT | flags));
	q->place = (uint16_t)place_next(q, at, &flags);
	q->avail_flags = (uint16_t)flags;
}

/* Up to the ring's end, or the list's, nothing changes but place and id. */
static __attribute__((noinline)) void show_behind_head(struct virtqueue_driver *q, uint32_t told, uint32_t left)
{
	uint64_t base = q->tables_iova, bytes = q->table_bytes;

	while (left > 0) {
		unsigned at = q->place, from = told & q->mask;
		unsigned run = MIN(left, MIN(q->size - at, q->mask + 1 - from));
		uint64_t word = virtqueue_word(VIRTQUEUE_FRAME_PIECES * (uint32_t)sizeof(*q->pdesc), 0,
					       VIRTQ_DESC_F_INDIRECT | q->avail_flags);
		const ob_le16 *head = &q->lane_avail[from], *end = head + run;

		for (struct virtq_packed_desc *desc = &q->pdesc[at]; head != end; head++, desc++) {
			uint64_t id = ob_le16_to_cpu(*head);

			ob_le64_store(&desc->addr, base + id * bytes);
			ob_le32_16_16_store(&desc->len, word | id << 32);
		}
		told += run;
		left -= run;
		q->place = (uint16_t)(at + run);
		if (q->place == q->size) {
			q->place = 0;
			q->avail_flags ^= VIRTQUEUE_PACKED_MARKS;
		}
	}
}

/* What was put by frames goes into the ring, an entry each: the table of the slot, in which all but the data stands. */
void virtqueue_packed_show_frames(struct virtqueue_driver *q)
{
	uint32_t told = q->told, left = q->avail - told;

	q->told = q->avail;
	q->stats.added += left;
	q->in_flight = (uint16_t)(q->in_flight + left);
	if (q->held == 0) {
		table_show(q, ob_le16_to_cpu(q->lane_avail[told++ & q->mask]), VIRTQUEUE_FRAME_PIECES);
		left--;
	}
	if (left > 0)
		show_behind_head(q, told, left);
}

static inline struct virtq_packed_desc *table_of(struct virtqueue_driver *q, unsigned id)
{
	return (struct virtq_packed_desc *)(void *)((uint8_t *)q->tables + (uint64_t)id * q->table_bytes);
}

/* Of descriptors in a table only address, length and the write flag mean anything (§2.8.7). */
static inline void table_store(struct virtq_packed_desc *desc, const struct ob_dma_piece *piece, uint32_t flags)
{
	ob_le64_store(&desc->addr, piece->iova.addr);
	ob_le32_16_16_store(&desc->len, virtqueue_word((uint32_t)piece->len_bytes, 0, flags));
}

/* All pieces into the table of @id; the bytes that the device may write. */
static uint32_t table_fill(struct virtqueue_driver *q, unsigned id, const struct ob_dma_piece *pieces,
			   unsigned out_count, unsigned count)
{
	struct virtq_packed_desc *table = table_of(q, id);
	uint32_t in_bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		table_store(&table[i], &pieces[i], i < out_count ? 0 : VIRTQ_DESC_F_WRITE);
		in_bytes += i < out_count ? 0 : (uint32_t)pieces[i].len_bytes;
	}
	return in_bytes;
}

/* By an indirect table (§2.8.7): one entry of the ring, whatever the number of pieces. */
static __attribute__((noinline)) int add_indirect(struct virtqueue_driver *q, const struct ob_dma_piece *pieces,
						  unsigned out_count, unsigned count, uint32_t token)
{
	unsigned id = q->free_head;
	uint32_t in_bytes;

	if (q->broken || count - 1 >= q->chain_max)
		return q->broken ? -EPROTO : -EINVAL;
	if (q->tables == NULL || q->free_entries == 0)
		return -EAGAIN;
	virtqueue_packed_show(q);
	in_bytes = table_fill(q, id, pieces, out_count, count);
	table_show(q, id, count);
	slot_take(q, id, 1, in_bytes, token);
	return 0;
}

/* ---- framed requests ---- */

void virtqueue_packed_frame_prepare(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *out,
				    const struct ob_dma_piece *in)
{
	struct virtq_packed_desc *table = table_of(q, head);

	table_store(&table[0], out, 0);
	table_store(&table[2], in, VIRTQ_DESC_F_WRITE);
	q->slots[head + 1].data_word = virtqueue_word(0, 0, VIRTQ_DESC_F_WRITE);
	q->slots[head + 2].data_desc = &table[1].addr;
}

uint32_t virtqueue_packed_frame_bend(struct virtqueue_driver *q, unsigned head, const struct ob_dma_piece *pieces,
				     unsigned out_count, unsigned count)
{
	uint32_t in_bytes = table_fill(q, head, pieces, out_count, count);

	virtqueue_packed_show(q);
	table_show(q, head, count);
	q->in_flight++;
	q->stats.added++;
	return in_bytes;
}

int virtqueue_packed_add(struct virtqueue_driver *q, const struct ob_dma_piece *pieces, unsigned out_count,
			 unsigned in_count, uint32_t token)
{
	unsigned count = out_count + in_count, id = q->free_head, head, at;
	uint32_t flags, in_bytes = 0, write = 0, left = count;
	struct virtq_packed_desc *ring = q->pdesc;
	uint64_t head_word = 0;

	/* A broken queue has no room either. */
	if (OB_UNLIKELY(count - 1 >= q->direct_max || q->free_entries < count + q->direct_low))
		return add_indirect(q, pieces, out_count, count, token);
	virtqueue_packed_show(q);
	head = at = q->place;
	flags = q->avail_flags;
	for (;; pieces++) {
		uint32_t len = (uint32_t)pieces->len_bytes;
		uint64_t word;

		if (left-- <= in_count) {
			write = VIRTQ_DESC_F_WRITE;
			in_bytes += len;
		}
		word = virtqueue_word(len, id, flags | write | (left != 0 ? VIRTQ_DESC_F_NEXT : 0));
		ob_le64_store(&ring[at].addr, pieces->iova.addr);
		if (at == head)
			head_word = word;
		else
			ob_le32_16_16_store(&ring[at].len, word);
		at = place_next(q, at, &flags);
		if (left == 0)
			break;
	}
	head_store(q, head, head_word);
	q->place = (uint16_t)at;
	q->avail_flags = (uint16_t)flags;
	slot_take(q, id, count, in_bytes, token);
	return 0;
}

void virtqueue_packed_kick(struct virtqueue_driver *q)
{
	uint32_t event;
	bool wanted;

	if (q->broken)
		return;
	virtqueue_packed_show(q);
	if (q->held == 0)
		return;
	q->held = 0;
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
		wanted = !q->event_idx || virtqueue_packed_event_behind((uint16_t)event, q->place,
									(q->avail_flags & VIRTQ_PACKED_F_AVAIL) != 0);
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

/* Why a used descriptor cannot be. */
static __attribute__((noinline, cold)) const char *word_wrong(const struct virtqueue_driver *q, uint64_t word)
{
	unsigned id = (unsigned)(word >> 32 & 0xffff);

	if (id >= q->size)
		return "a used descriptor with an id that was never given";
	if (q->slots[id].entries == 0)
		return "a used descriptor with an id that is not in flight";
	return "more was written than there is room for";
}

/* The request that a used descriptor names, and the length; NULL: there is none that fits. */
static inline struct ob_virtio_slot *word_slot(const struct virtqueue_driver *q, uint64_t word, uint32_t *len)
{
	unsigned id = (unsigned)(word >> 32 & 0xffff);
	struct ob_virtio_slot *slot = &q->slots[id];

	if (OB_UNLIKELY(id >= q->size || slot->entries == 0))
		return NULL;
	*len = (uint32_t)word;
	if (OB_LIKELY((uint32_t)word <= slot->in_bytes))
		return slot;
	/* Without the write flag the length means nothing (§2.8.4); but many devices never set it. */
	*len = 0;
	return slot->in_bytes != 0 || ((word >> 48) & VIRTQ_DESC_F_WRITE) != 0 ? NULL : slot;
}

/* In order: the oldest request ends; the next used descriptor is behind its place in the ring. */
static inline void slot_free(struct virtqueue_driver *q, unsigned id)
{
	struct ob_virtio_slot *slot = &q->slots[id];
	unsigned used = (unsigned)q->used + slot->entries;

	if (used >= q->size) {
		used -= q->size;
		q->used_flags ^= VIRTQUEUE_PACKED_MARKS;
	}
	q->used = (uint16_t)used;
	q->free_entries = (uint16_t)(q->free_entries + slot->entries);
	slot->entries = 0;
	q->in_flight--;
	q->taken++;
}

/* One used descriptor may stand for all requests up to the one that it names; those before were used whole (§2.8.8). */
static int take_in_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		unsigned id = q->order_head;

		if (!q->batch) {
			uint64_t word = ob_le32_16_16_load(&q->pdesc[q->used].len);

			if (q->in_flight == 0 || !is_used(q, word))
				break;
			if (word_slot(q, word, &q->batch_len) == NULL) {
				virtqueue_driver_break(q, word_wrong(q, word));
				break;
			}
			q->batch_id = (uint16_t)(word >> 32);
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

/* The counters that it moves are in registers meanwhile. */
static int take_any_order(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	unsigned free_head = q->free_head, free_entries = q->free_entries, at = q->used, n = 0, size = q->size;
	unsigned frame_end = q->frame_end;
	const struct virtq_packed_desc *ring = q->pdesc;
	uint32_t marks = q->used_flags;
	const char *wrong = NULL;

	max = MIN(max, q->in_flight);
	for (; n < max; n++) {
		/* Marks, id and length are one load, so that none of them is older than the others. */
		uint64_t word = ob_le32_16_16_load(&ring[at].len);
		unsigned id = (unsigned)(word >> 32 & 0xffff), entries = 1;
		struct ob_virtio_slot *slot;

		if (((word >> 48) & VIRTQUEUE_PACKED_MARKS) != marks)
			break;
		slot = word_slot(q, word, &used[n].len_bytes);
		if (OB_UNLIKELY(slot == NULL)) {
			wrong = word_wrong(q, word);
			break;
		}
		used[n].token = slot->token;
		/* Those of a frame stay with it, and are one entry of the ring. */
		if (id >= frame_end) {
			entries = slot->entries;
			free_entries += entries;
			slot->next_free = (uint16_t)free_head;
			free_head = id;
		}
		slot->entries = 0;
		/* The next used descriptor is behind the request's place in the ring. */
		at += entries;
		if (at >= size) {
			at -= size;
			marks ^= VIRTQUEUE_PACKED_MARKS;
		}
	}
	if (n == 0)
		return OB_UNLIKELY(wrong != NULL) ? virtqueue_driver_break(q, wrong) : 0;
	/* The marks before the memory that they say was written (§2.8.22). */
	ob_dma_rmb();
	q->used = (uint16_t)at;
	q->used_flags = (uint16_t)marks;
	q->free_head = (uint16_t)free_head;
	q->free_entries = (uint16_t)free_entries;
	q->in_flight = (uint16_t)(q->in_flight - n);
	q->taken += n;
	if (OB_UNLIKELY(wrong != NULL))
		virtqueue_driver_break(q, wrong);
	return (int)n;
}

int virtqueue_packed_take(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	return q->in_order ? take_in_order(q, used, max) : take_any_order(q, used, max);
}

bool virtqueue_packed_arm(struct virtqueue_driver *q)
{
	uint32_t wrap = (q->used_flags & VIRTQ_PACKED_F_USED) != 0 ? VIRTQ_EVENT_WRAP : 0;

	OB_WRITE_ONCE(q->armed, true);
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
	OB_WRITE_ONCE(q->armed, false);
	ob_le16_pair_store(&q->driver_event->desc, VIRTQ_EVENT_DISABLE << 16);
}
