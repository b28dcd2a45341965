/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's end of a virtqueue: its beginning, and what is the same for both layouts (VIRTIO 1.2 §2.7, §2.8). */
#include "virtqueue/device.h"

#include <errno.h>

#include "virtqueue/device_memory.h"

int virtqueue_device_break(struct virtqueue_device *q, int error, const char *why)
{
	if (!q->broken)
		q->why = why;
	q->broken = true;
	return error;
}

static bool has(const struct virtqueue_device_config *config, unsigned bit)
{
	return (config->features & BIT64(bit)) != 0;
}

/* The three areas: aligned, not around the end of the address space, and mapped where that is how it is done. */
static int areas_open(struct virtqueue_device *q)
{
	const struct virtqueue_device_config *c = &q->config;
	uint64_t size = q->size;
	const struct {
		uint64_t addr, align, len_bytes;
		bool write;
	} area[VIRTQUEUE_AREAS] = {
		{c->desc, VIRTQ_DESC_ALIGN, VIRTQ_DESC_BYTES(size), q->packed},
		{c->driver, q->packed ? VIRTQ_EVENT_ALIGN : VIRTQ_AVAIL_ALIGN,
		 q->packed ? sizeof(struct virtq_event) : VIRTQ_AVAIL_BYTES(size), false},
		{c->device, q->packed ? VIRTQ_EVENT_ALIGN : VIRTQ_USED_ALIGN,
		 q->packed ? sizeof(struct virtq_event) : VIRTQ_USED_BYTES(size), true},
	};

	q->mapped = c->memory->map != NULL;
	for (unsigned i = 0; i < VIRTQUEUE_AREAS; i++) {
		if (!IS_ALIGNED(area[i].addr, area[i].align))
			return virtqueue_device_break(q, -EINVAL, "a part of the ring is not aligned");
		if (area[i].len_bytes - 1 > UINT64_MAX - area[i].addr)
			return virtqueue_device_break(q, -EINVAL, "a part of the ring wraps around");
		q->addr[i] = area[i].addr;
		if (!q->mapped)
			continue;
		q->map[i] = c->memory->map(c->context, area[i].addr, area[i].len_bytes, area[i].write);
		if (q->map[i] == NULL)
			return virtqueue_device_break(q, -EACCES, "a part of the ring is not in memory");
		/* What is a multiple for the driver must be one for us, or accesses are not single. */
		if (!IS_ALIGNED((uintptr_t)q->map[i], area[i].align))
			return virtqueue_device_break(q, -EINVAL, "memory that is not aligned as its addresses are");
	}
	return 0;
}

int virtqueue_device_init(struct virtqueue_device *q, const struct virtqueue_device_config *config)
{
	*q = (struct virtqueue_device){.config = *config, .size = config->size, .kicks_on = true};
	q->packed = has(config, VIRTIO_F_RING_PACKED);
	q->event_idx = has(config, VIRTIO_F_EVENT_IDX);
	q->indirect = has(config, VIRTIO_F_INDIRECT_DESC);
	q->avail_wrap = q->used_wrap = true;
	q->chain_max = config->chain_max != 0 ? config->chain_max : config->size;
	if (q->size == 0 || q->size > VIRTIO_QUEUE_SIZE_MAX || (!q->packed && !IS_POWER_OF_2(q->size)))
		return virtqueue_device_break(q, -EINVAL, "a size that the ring cannot have");
	return areas_open(q);
}

uint32_t virtqueue_device_base(const struct virtqueue_device *q)
{
	if (!q->packed)
		return q->avail_next;
	return (uint32_t)q->avail_next | (uint32_t)q->avail_wrap << 15 | (uint32_t)q->used_next << 16 |
	       (uint32_t)q->used_wrap << 31;
}

int virtqueue_device_set_base(struct virtqueue_device *q, uint32_t base)
{
	return q->packed ? virtqueue_packed_set_base(q, base) : virtqueue_split_set_base(q, base);
}

/* ---- chains ---- */

int virtqueue_chain_add(struct virtqueue_device *q, struct virtqueue_chain *chain, struct virtqueue_piece *pieces,
			unsigned piece_max, const struct virtqueue_desc *desc, uint32_t flags)
{
	unsigned count = (unsigned)chain->out_count + chain->in_count;
	uint32_t len = (uint32_t)FIELD_GET(VIRTQUEUE_WORD_LEN, desc->word);
	struct virtqueue_piece *piece = &pieces[count];

	/* This also ends a chain that is a loop. */
	if (OB_UNLIKELY(count >= q->chain_max || count >= piece_max))
		return virtqueue_device_break(q, -EPROTO, "a chain that is too long, or a loop");
	if (OB_UNLIKELY(len == 0))
		return virtqueue_device_break(q, -EPROTO, "a descriptor of no bytes");
	if (OB_UNLIKELY(len - 1 > UINT64_MAX - desc->addr))
		return virtqueue_device_break(q, -EPROTO, "a descriptor that wraps around");
	piece->addr = desc->addr;
	piece->len_bytes = len;
	piece->write = (flags & VIRTQ_DESC_F_WRITE) != 0;
	if (piece->write) {
		chain->in_count++;
		chain->in_bytes += len;
		if (OB_UNLIKELY(chain->in_bytes < len))
			return virtqueue_device_break(q, -EPROTO, "a chain of 4 GiB or more");
	} else {
		if (OB_UNLIKELY(chain->in_count != 0))
			return virtqueue_device_break(q, -EPROTO, "a piece to be read behind one to be written");
		chain->out_count++;
		chain->out_bytes += len;
		if (OB_UNLIKELY(chain->out_bytes > UINT32_MAX))
			return virtqueue_device_break(q, -EPROTO, "a chain of 4 GiB or more");
	}
	return 0;
}

int virtqueue_table_open(struct virtqueue_device *q, const struct virtqueue_desc *desc, const uint8_t **table,
			 unsigned *entries)
{
	uint32_t len = (uint32_t)FIELD_GET(VIRTQUEUE_WORD_LEN, desc->word);

	if (!q->indirect)
		return virtqueue_device_break(q, -EPROTO, "an indirect descriptor, which was not negotiated");
	if (len == 0 || len % sizeof(struct virtq_desc) != 0)
		return virtqueue_device_break(q, -EPROTO, "an indirect table of a broken length");
	if (len - 1 > UINT64_MAX - desc->addr)
		return virtqueue_device_break(q, -EPROTO, "an indirect table that wraps around");
	*entries = len / (unsigned)sizeof(struct virtq_desc);
	*table = NULL;
	if (!q->mapped)
		return 0;
	*table = q->config.memory->map(q->config.context, desc->addr, len, false);
	if (*table == NULL)
		return virtqueue_device_break(q, -EACCES, "an indirect table that is not in memory");
	/* The spec asks for no alignment of tables, but single accesses do. */
	if (!IS_ALIGNED((uintptr_t)*table, sizeof(uint64_t)))
		return virtqueue_device_break(q, -EPROTO, "an indirect table that is not aligned to 8 bytes");
	return 0;
}

/* ---- either layout ---- */

int virtqueue_device_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			 struct virtqueue_chain *out)
{
	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	return q->packed ? virtqueue_packed_pop(q, pieces, piece_max, out)
			 : virtqueue_split_pop(q, pieces, piece_max, out);
}

int virtqueue_device_fetch(struct virtqueue_device *q, uint16_t head, struct virtqueue_piece *pieces,
			   unsigned piece_max, struct virtqueue_chain *out)
{
	if (q->broken)
		return -EPROTO;
	return q->packed ? -EOPNOTSUPP : virtqueue_split_fetch(q, head, pieces, piece_max, out);
}

int virtqueue_device_fetch_packed(struct virtqueue_device *q, const struct virtq_packed_desc *descs, unsigned count,
				  struct virtqueue_piece *pieces, unsigned piece_max, struct virtqueue_chain *out)
{
	if (q->broken)
		return -EPROTO;
	return q->packed ? virtqueue_packed_fetch(q, descs, count, pieces, piece_max, out) : -EOPNOTSUPP;
}

int virtqueue_device_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes)
{
	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	return q->packed ? virtqueue_packed_push(q, chain, written_bytes)
			 : virtqueue_split_push(q, chain, written_bytes);
}

int virtqueue_device_publish(struct virtqueue_device *q)
{
	if (OB_UNLIKELY(q->broken))
		return -EPROTO;
	return q->packed ? virtqueue_packed_publish(q) : virtqueue_split_publish(q);
}

bool virtqueue_device_must_signal(struct virtqueue_device *q)
{
	if (OB_UNLIKELY(q->broken))
		return false;
	return q->packed ? virtqueue_packed_must_signal(q) : virtqueue_split_must_signal(q);
}

bool virtqueue_device_arm(struct virtqueue_device *q)
{
	if (OB_UNLIKELY(q->broken))
		return false;
	return q->packed ? virtqueue_packed_arm_kicks(q) : virtqueue_split_arm_kicks(q);
}

void virtqueue_device_disarm(struct virtqueue_device *q)
{
	if (OB_UNLIKELY(q->broken))
		return;
	if (q->packed)
		virtqueue_packed_disarm_kicks(q);
	else
		virtqueue_split_disarm_kicks(q);
}
