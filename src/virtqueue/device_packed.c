/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's end of a packed ring: VIRTIO 1.2 §2.8.
 *
 * Used descriptors are written without their order being of any matter, but for the first since the last publish: it is
 * held back until then, and the driver waits there.
 */
#include <errno.h>

#include "virtqueue/device.h"
#include "virtqueue/device_memory.h"

#define DESC_WORD(index) ((size_t)(index) * sizeof(struct virtq_packed_desc) + offsetof(struct virtq_packed_desc, len))

int virtqueue_packed_set_base(struct virtqueue_device *q, uint32_t base)
{
	unsigned avail = base & 0x7fff, used = base >> 16 & 0x7fff, ahead;

	if (avail >= q->size || used >= q->size)
		return -EINVAL;
	q->avail_next = (uint16_t)avail;
	q->avail_wrap = (base >> 15 & 1) != 0;
	q->used_next = (uint16_t)used;
	q->used_wrap = (base >> 31 & 1) != 0;
	ahead = avail + (q->avail_wrap != q->used_wrap ? q->size : 0);
	if (ahead < used || ahead - used > q->size)
		return -EINVAL;
	q->in_flight = (uint16_t)(ahead - used);
	return 0;
}

/* ---- requests ---- */

/* Is a descriptor whose second half is @word the driver's word of this round (§2.8.1)? */
static bool is_available(const struct virtqueue_device *q, uint64_t word)
{
	return ((word >> 48) & VIRTQUEUE_PACKED_MARKS) == (q->avail_wrap ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED);
}

static int look(struct virtqueue_device *q, uint64_t *word)
{
	int ret = virtqueue_look_word(q, VIRTQUEUE_DESC, DESC_WORD(q->avail_next), word);

	if (OB_UNLIKELY(ret != 0))
		return virtqueue_device_break(q, ret, "a descriptor that cannot be read");
	return is_available(q, *word);
}

/* All pieces of the table that @desc names; in it only the write flag means anything (§2.8.7). */
static int walk_table(struct virtqueue_device *q, const struct virtqueue_desc *indirect, struct virtqueue_piece *pieces,
		      unsigned piece_max, struct virtqueue_chain *out)
{
	const uint8_t *table;
	unsigned entries;
	int ret = virtqueue_table_open(q, indirect, &table, &entries);

	for (unsigned i = 0; ret == 0 && i < entries; i++) {
		struct virtqueue_desc desc;

		ret = virtqueue_load_desc(q, table, indirect->addr, i, &desc);
		if (ret != 0)
			return virtqueue_device_break(q, ret, "a descriptor that cannot be read");
		ret = virtqueue_chain_add(q, out, pieces, piece_max, &desc,
					  (uint32_t)FIELD_GET(VIRTQUEUE_WORD_LAST, desc.word));
	}
	return ret;
}

/* The chain that begins at avail_next, whose second half was read: it is available. */
static int walk(struct virtqueue_device *q, uint64_t word, struct virtqueue_piece *pieces, unsigned piece_max,
		struct virtqueue_chain *out)
{
	unsigned index = q->avail_next;
	struct virtqueue_desc desc;
	uint32_t flags;
	int ret;

	/* The head's word is the one that was looked at; the rest is read now, behind it. */
	desc.word = word;
	ret = virtqueue_load_addr(q, VIRTQUEUE_DESC, (size_t)index * sizeof(struct virtq_packed_desc), &desc.addr);
	for (;;) {
		if (OB_UNLIKELY(ret != 0))
			return virtqueue_device_break(q, ret, "a descriptor that cannot be read");
		out->entries++;
		flags = (uint32_t)FIELD_GET(VIRTQUEUE_WORD_LAST, desc.word);
		if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
			if (out->entries != 1 || (flags & VIRTQ_DESC_F_NEXT) != 0)
				return virtqueue_device_break(q, -EPROTO, "an indirect table in a chain");
			ret = walk_table(q, &desc, pieces, piece_max, out);
			break;
		}
		ret = virtqueue_chain_add(q, out, pieces, piece_max, &desc, flags);
		if (OB_UNLIKELY(ret != 0) || (flags & VIRTQ_DESC_F_NEXT) == 0)
			break;
		/* As long as the ring at most, whatever chain_max is: it would bite itself. */
		if (OB_UNLIKELY(out->entries + q->in_flight >= q->size))
			return virtqueue_device_break(q, -EPROTO, "a chain longer than what is free of the ring");
		if (++index == q->size)
			index = 0;
		ret = virtqueue_load_desc(q, q->map[VIRTQUEUE_DESC], q->addr[VIRTQUEUE_DESC], index, &desc);
	}
	/* Of the last descriptor (§2.8.6). */
	out->id = (uint16_t)FIELD_GET(VIRTQUEUE_WORD_MIDDLE, desc.word);
	return ret;
}

int virtqueue_packed_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			 struct virtqueue_chain *out)
{
	uint64_t word;
	int ret = look(q, &word);

	if (ret <= 0)
		return ret;
	/* More than the ring has, as those that are in flight were not given back. */
	if (OB_UNLIKELY(q->in_flight >= q->size))
		return virtqueue_device_break(q, -EPROTO, "a descriptor that is in flight was made available again");
	/* The marks before the rest of the chain (§2.8.21.1.1). */
	virtqueue_read_barrier(q);
	*out = (struct virtqueue_chain){.position = q->avail_next};
	ret = walk(q, word, pieces, piece_max, out);
	if (OB_UNLIKELY(ret != 0))
		return ret;
	if (OB_UNLIKELY(out->id >= q->size))
		return virtqueue_device_break(q, -EPROTO, "a buffer id beyond the ring's size");
	q->in_flight = (uint16_t)(q->in_flight + out->entries);
	q->avail_next = (uint16_t)(q->avail_next + out->entries);
	if (q->avail_next >= q->size) {
		q->avail_next = (uint16_t)(q->avail_next - q->size);
		q->avail_wrap = !q->avail_wrap;
	}
	return 1;
}

int virtqueue_packed_fetch(struct virtqueue_device *q, const struct virtq_packed_desc *descs, unsigned count,
			   struct virtqueue_piece *pieces, unsigned piece_max, struct virtqueue_chain *out)
{
	struct virtqueue_desc desc = {0};
	int ret = 0;

	if (count == 0 || count > q->size)
		return virtqueue_device_break(q, -EPROTO, "a request in flight of too many descriptors");
	*out = (struct virtqueue_chain){.entries = (uint16_t)count};
	for (unsigned i = 0; ret == 0 && i < count; i++) {
		uint32_t flags = ob_le16_to_cpu(descs[i].flags);

		desc.addr = ob_le64_to_cpu(descs[i].addr);
		desc.word = virtqueue_word(ob_le32_to_cpu(descs[i].len), ob_le16_to_cpu(descs[i].id), flags);
		if (((flags & VIRTQ_DESC_F_NEXT) != 0) != (i + 1 < count))
			return virtqueue_device_break(q, -EPROTO, "a request in flight of another length");
		if ((flags & VIRTQ_DESC_F_INDIRECT) == 0)
			ret = virtqueue_chain_add(q, out, pieces, piece_max, &desc, flags);
		else if (count == 1)
			ret = walk_table(q, &desc, pieces, piece_max, out);
		else
			ret = virtqueue_device_break(q, -EPROTO, "an indirect table in a chain");
	}
	if (ret != 0)
		return ret;
	out->id = (uint16_t)FIELD_GET(VIRTQUEUE_WORD_MIDDLE, desc.word);
	return out->id < q->size ? 1 : virtqueue_device_break(q, -EPROTO, "a buffer id beyond the ring's size");
}

int virtqueue_packed_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes)
{
	uint32_t flags = q->used_wrap ? VIRTQUEUE_PACKED_MARKS : 0;
	uint64_t word;
	int ret = 0;

	if (OB_UNLIKELY(chain->entries == 0 || chain->entries > q->in_flight))
		return virtqueue_device_break(q, -EPROTO, "a request that ends twice");
	if (written_bytes != 0)
		flags |= VIRTQ_DESC_F_WRITE;
	word = virtqueue_word(written_bytes, chain->id, flags);
	if (!q->held) {
		q->held = true;
		q->held_index = q->used_next;
		q->held_word = word;
	} else {
		ret = virtqueue_store_word(q, VIRTQUEUE_DESC, DESC_WORD(q->used_next), word, false);
	}
	if (OB_UNLIKELY(ret != 0))
		return virtqueue_device_break(q, ret, "a descriptor that cannot be written");
	q->in_flight = (uint16_t)(q->in_flight - chain->entries);
	q->used_told = (uint16_t)(q->used_told + chain->entries);
	q->used_next = (uint16_t)(q->used_next + chain->entries);
	if (q->used_next >= q->size) {
		q->used_next = (uint16_t)(q->used_next - q->size);
		q->used_wrap = !q->used_wrap;
	}
	return 0;
}

int virtqueue_packed_publish(struct virtqueue_device *q)
{
	int ret;

	if (!q->held)
		return 0;
	q->held = false;
	/* After the others of its batch, and after what we wrote for the driver (§2.8.22). */
	ret = virtqueue_store_word(q, VIRTQUEUE_DESC, DESC_WORD(q->held_index), q->held_word, true);
	return ret == 0 ? 0 : virtqueue_device_break(q, ret, "a descriptor that cannot be written");
}

/* ---- who tells whom ---- */

bool virtqueue_packed_must_signal(struct virtqueue_device *q)
{
	uint16_t count = q->used_told, event[2];

	if (count == 0 || q->held)
		return false;
	q->used_told = 0;
	/* The marks before the look at what the driver wants to be told; it does the same the other way (§2.8.10). */
	virtqueue_full_barrier(q);
	if (virtqueue_look16_pair(q, VIRTQUEUE_DRIVER, 0, event) != 0) {
		virtqueue_device_break(q, -EACCES, "the driver's event structure cannot be read");
		return false;
	}
	switch (FIELD_GET(VIRTQ_EVENT_FLAGS, event[1])) {
	case VIRTQ_EVENT_DISABLE:
		return false;
	case VIRTQ_EVENT_DESC:
		return !q->event_idx ||
		       virtqueue_packed_event_passed(event[0], q->size, q->used_next, q->used_wrap, count);
	default:
		return true;
	}
}

static void event_store(struct virtqueue_device *q, uint16_t desc, uint16_t flags)
{
	int ret = virtqueue_publish16_pair(q, VIRTQUEUE_DEVICE, 0, desc, flags);

	if (ret != 0)
		virtqueue_device_break(q, ret, "the device's event structure cannot be written");
}

bool virtqueue_packed_arm_kicks(struct virtqueue_device *q)
{
	uint16_t place = (uint16_t)(q->avail_next | (q->avail_wrap ? VIRTQ_EVENT_WRAP : 0));
	uint64_t word;

	q->kicks_on = true;
	event_store(q, place, q->event_idx ? VIRTQ_EVENT_DESC : VIRTQ_EVENT_ENABLE);
	/* Our wish before the look at the marks; the driver does it the other way round (§2.8.21.3.1). */
	virtqueue_full_barrier(q);
	return look(q, &word) > 0;
}

void virtqueue_packed_disarm_kicks(struct virtqueue_device *q)
{
	q->kicks_on = false;
	event_store(q, 0, VIRTQ_EVENT_DISABLE);
}
