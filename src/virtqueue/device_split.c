/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's end of a split ring: VIRTIO 1.2 §2.7. */
#include <errno.h>

#include "virtqueue/device.h"
#include "virtqueue/device_memory.h"

#define AVAIL_IDX offsetof(struct virtq_avail, idx)
#define USED_IDX  offsetof(struct virtq_used, idx)

static uint16_t mask(const struct virtqueue_device *q)
{
	return (uint16_t)(q->size - 1);
}

int virtqueue_split_set_base(struct virtqueue_device *q, uint32_t base)
{
	int ret;

	if (base > UINT16_MAX)
		return -EINVAL;
	q->avail_next = q->avail_seen = (uint16_t)base;
	ret = virtqueue_load16(q, VIRTQUEUE_DEVICE, USED_IDX, &q->used_next);
	if (ret != 0)
		return virtqueue_device_break(q, ret, "the used ring cannot be read");
	q->used_public = q->used_told = q->used_next;
	q->in_flight = (uint16_t)(q->avail_next - q->used_next);
	if (q->in_flight > q->size)
		return virtqueue_device_break(q, -EINVAL,
					      "a base that is farther from the used index than the ring is long");
	return 0;
}

/* ---- requests ---- */

/* The chain that begins at descriptor @head. */
static int walk(struct virtqueue_device *q, unsigned head, struct virtqueue_piece *pieces, unsigned piece_max,
		struct virtqueue_chain *out)
{
	const uint8_t *table = q->map[VIRTQUEUE_DESC];
	uint64_t table_addr = q->addr[VIRTQUEUE_DESC];
	unsigned entries = q->size, index = head;
	bool inside = false;

	*out = (struct virtqueue_chain){.id = (uint16_t)head, .entries = 1};
	for (;;) {
		struct virtqueue_desc desc;
		uint32_t flags;
		int ret;

		ret = virtqueue_load_desc(q, table, table_addr, index, &desc);
		if (OB_UNLIKELY(ret != 0))
			return virtqueue_device_break(q, ret, "a descriptor that cannot be read");
		flags = (uint32_t)FIELD_GET(VIRTQUEUE_WORD_MIDDLE, desc.word);
		if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
			/* The last of its chain, and not inside another table (§2.7.5.3.1). */
			if (inside)
				return virtqueue_device_break(q, -EPROTO, "an indirect table in an indirect table");
			if ((flags & VIRTQ_DESC_F_NEXT) != 0)
				return virtqueue_device_break(q, -EPROTO, "a chain that goes on behind a table");
			ret = virtqueue_table_open(q, &desc, &table, &entries);
			if (ret != 0)
				return ret;
			table_addr = desc.addr;
			inside = true;
			index = 0;
			continue;
		}
		ret = virtqueue_chain_add(q, out, pieces, piece_max, &desc, flags);
		if (OB_UNLIKELY(ret != 0))
			return ret;
		if ((flags & VIRTQ_DESC_F_NEXT) == 0)
			return 1;
		index = (unsigned)FIELD_GET(VIRTQUEUE_WORD_LAST, desc.word);
		if (OB_UNLIKELY(index >= entries))
			return virtqueue_device_break(q, -EPROTO, "a chain that leaves its table");
	}
}

/* Has the driver more? The index is read only when what it said last is used up. 1; 0; negative errno. */
static int look(struct virtqueue_device *q)
{
	uint16_t index;
	int ret;

	if (q->avail_next != q->avail_seen)
		return 1;
	ret = virtqueue_look16(q, VIRTQUEUE_DRIVER, AVAIL_IDX, &index);
	if (OB_UNLIKELY(ret != 0))
		return virtqueue_device_break(q, ret, "the avail ring cannot be read");
	if (index == q->avail_next)
		return 0;
	/* All that is neither used nor new is with us, and of all there are no more than the ring has entries. */
	if (OB_UNLIKELY((uint16_t)(index - q->avail_next) + q->in_flight > q->size))
		return virtqueue_device_break(q, -EPROTO, "an avail index that jumps");
	q->avail_seen = index;
	/* The index before the entries and descriptors that it shows (§2.7.13.3). */
	virtqueue_read_barrier(q);
	return 1;
}

int virtqueue_split_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			struct virtqueue_chain *out)
{
	uint16_t head;
	int ret = look(q);

	if (ret <= 0)
		return ret;
	ret = virtqueue_load16(q, VIRTQUEUE_DRIVER, offsetof(struct virtq_avail, ring) + 2u * (q->avail_next & mask(q)),
			       &head);
	if (OB_UNLIKELY(ret != 0))
		return virtqueue_device_break(q, ret, "the avail ring cannot be read");
	if (OB_UNLIKELY(head >= q->size))
		return virtqueue_device_break(q, -EPROTO, "an entry of the avail ring that is no descriptor");
	ret = walk(q, head, pieces, piece_max, out);
	if (OB_UNLIKELY(ret < 0))
		return ret;
	out->position = q->avail_next++;
	q->in_flight++;
	return 1;
}

int virtqueue_split_fetch(struct virtqueue_device *q, uint16_t head, struct virtqueue_piece *pieces, unsigned piece_max,
			  struct virtqueue_chain *out)
{
	if (head >= q->size)
		return virtqueue_device_break(q, -EPROTO, "a request in flight that is no descriptor");
	return walk(q, head, pieces, piece_max, out);
}

int virtqueue_split_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes)
{
	size_t offset = offsetof(struct virtq_used, ring) + sizeof(struct virtq_used_elem) * (q->used_next & mask(q));
	const struct virtqueue_device_config *c = &q->config;
	struct virtq_used_elem *e, copy;
	int ret = 0;

	if (OB_UNLIKELY(q->in_flight == 0))
		return virtqueue_device_break(q, -EPROTO, "a request that ends twice");
	if (OB_LIKELY(q->mapped)) {
		e = (struct virtq_used_elem *)(void *)(q->map[VIRTQUEUE_DEVICE] + offset);
		/* Aligned to 4 bytes is all that the driver owes us (§2.7); the index shows both. */
		ob_le32_store(&e->id, chain->id);
		ob_le32_store(&e->len, written_bytes);
	} else {
		copy = (struct virtq_used_elem){ob_cpu_to_le32(chain->id), ob_cpu_to_le32(written_bytes)};
		ret = c->memory->write(c->context, q->addr[VIRTQUEUE_DEVICE] + offset, &copy, sizeof(copy));
	}
	if (OB_UNLIKELY(ret != 0))
		return virtqueue_device_break(q, ret, "the used ring cannot be written");
	q->used_next++;
	q->in_flight--;
	return 0;
}

/* Flags and index are neighbours and both ours: one write for both. */
static int publish(struct virtqueue_device *q)
{
	uint16_t flags = q->kicks_on || q->event_idx ? 0 : VIRTQ_USED_F_NO_NOTIFY;
	int ret = virtqueue_publish16_pair(q, VIRTQUEUE_DEVICE, 0, flags, q->used_public);

	return ret == 0 ? 0 : virtqueue_device_break(q, ret, "the used ring cannot be written");
}

int virtqueue_split_publish(struct virtqueue_device *q)
{
	if (q->used_public == q->used_next)
		return 0;
	q->used_public = q->used_next;
	/* After the entries that it shows, and after what we wrote for the driver (§2.7.8.2). */
	return publish(q);
}

/* ---- who tells whom ---- */

bool virtqueue_split_must_signal(struct virtqueue_device *q)
{
	uint16_t told = q->used_told, value;

	if (q->used_public == told)
		return false;
	q->used_told = q->used_public;
	/* The index before the look at what the driver wants to be told; it does the same the other way (§2.7.7). */
	virtqueue_full_barrier(q);
	if (virtqueue_look16(q, VIRTQUEUE_DRIVER, q->event_idx ? VIRTQ_USED_EVENT(q->size) : 0, &value) != 0) {
		virtqueue_device_break(q, -EACCES, "the avail ring cannot be read");
		return false;
	}
	if (q->event_idx)
		return virtqueue_event_passed(value, q->used_public, told);
	return (value & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
}

static void event_store(struct virtqueue_device *q, uint16_t event)
{
	int ret = virtqueue_store16(q, VIRTQUEUE_DEVICE, VIRTQ_AVAIL_EVENT((size_t)q->size), event);

	if (ret != 0)
		virtqueue_device_break(q, ret, "the used ring cannot be written");
}

bool virtqueue_split_arm_kicks(struct virtqueue_device *q)
{
	q->kicks_on = true;
	if (q->event_idx)
		event_store(q, q->avail_next);
	else
		publish(q);
	/* Our wish before the look at the index; the driver does it the other way round (§2.7.10, §2.7.13.4). */
	virtqueue_full_barrier(q);
	return look(q) > 0;
}

void virtqueue_split_disarm_kicks(struct virtqueue_device *q)
{
	q->kicks_on = false;
	/* An index that was just passed is not passed again for long. */
	if (q->event_idx)
		event_store(q, (uint16_t)(q->avail_next - 1));
	else
		publish(q);
}
