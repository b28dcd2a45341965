/* SPDX-License-Identifier: BSD-2-Clause */
/* How the device's end reaches a queue's memory: in place where it is mapped, through its host's functions otherwise. */
#ifndef OB_VIRTQUEUE_DEVICE_MEMORY_H
#define OB_VIRTQUEUE_DEVICE_MEMORY_H

#include "virtqueue/device.h"
#include "virtqueue/layout.h"

/* A descriptor as it was read, once. */
struct virtqueue_desc {
	uint64_t addr;
	uint64_t word; /* virtqueue_word() */
};

/* The driver broke the rules, or its memory is not to be reached. Returns @error. */
int virtqueue_device_break(struct virtqueue_device *q, int error, const char *why);

static inline int virtqueue_load16(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				   uint16_t *out)
{
	ob_le16 v;
	int ret;

	if (OB_LIKELY(q->mapped)) {
		*out = ob_le16_load((const ob_le16 *)(const void *)(q->map[area] + offset));
		return 0;
	}
	ret = q->config.memory->read(q->config.context, q->addr[area] + offset, &v, sizeof(v));
	*out = ret == 0 ? ob_le16_to_cpu(v) : 0;
	return ret;
}

static inline int virtqueue_store16(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				    uint16_t value)
{
	ob_le16 v = ob_cpu_to_le16(value);

	if (OB_UNLIKELY(!q->mapped))
		return q->config.memory->write(q->config.context, q->addr[area] + offset, &v, sizeof(v));
	ob_le16_store((ob_le16 *)(void *)(q->map[area] + offset), value);
	return 0;
}

/* An index or a flag of the driver's. */
static inline int virtqueue_look16(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				   uint16_t *out)
{
	ob_le16 v;
	int ret;

	if (OB_LIKELY(q->mapped))
		return virtqueue_load16(q, area, offset, out);
	ret = q->config.memory->look(q->config.context, q->addr[area] + offset, &v, sizeof(v));
	*out = ret == 0 ? ob_le16_to_cpu(v) : 0;
	return ret;
}

/* Two of them in one access. */
static inline int virtqueue_look16_pair(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
					uint16_t out[2])
{
	ob_le16 v[2] __attribute__((aligned(4)));
	int ret;

	if (OB_LIKELY(q->mapped)) {
		uint32_t both = ob_le16_pair_load((const ob_le16 *)(const void *)(q->map[area] + offset));

		out[0] = (uint16_t)both;
		out[1] = (uint16_t)(both >> 16);
		return 0;
	}
	ret = q->config.memory->look(q->config.context, q->addr[area] + offset, v, sizeof(v));
	out[0] = ret == 0 ? ob_le16_to_cpu(v[0]) : 0;
	out[1] = ret == 0 ? ob_le16_to_cpu(v[1]) : 0;
	return ret;
}

/* Visible after all that was written before. */
static inline int virtqueue_publish16_pair(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
					   uint16_t first, uint16_t second)
{
	ob_le16 v[2] __attribute__((aligned(4))) = {ob_cpu_to_le16(first), ob_cpu_to_le16(second)};

	if (OB_UNLIKELY(!q->mapped))
		return q->config.memory->publish(q->config.context, q->addr[area] + offset, v, sizeof(v));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	ob_le16_pair_store((ob_le16 *)(void *)(q->map[area] + offset), (uint32_t)second << 16 | first);
	return 0;
}

/* The first half of a descriptor. */
static inline int virtqueue_load_addr(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				      uint64_t *out)
{
	ob_le64 v;
	int ret;

	if (OB_LIKELY(q->mapped)) {
		*out = ob_le64_load((const ob_le64 *)(const void *)(q->map[area] + offset));
		return 0;
	}
	ret = q->config.memory->read(q->config.context, q->addr[area] + offset, &v, sizeof(v));
	*out = ret == 0 ? ob_le64_to_cpu(v) : 0;
	return ret;
}

/* The second half of a descriptor, or an entry of the used ring, in one access. */
static inline int virtqueue_look_word(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				      uint64_t *out)
{
	struct virtq_desc v;
	int ret;

	if (OB_LIKELY(q->mapped)) {
		*out = ob_le32_16_16_load((const ob_le32 *)(const void *)(q->map[area] + offset));
		return 0;
	}
	ret = q->config.memory->look(q->config.context, q->addr[area] + offset, &v.len, sizeof(uint64_t));
	*out = ret == 0 ? virtqueue_word(ob_le32_to_cpu(v.len), ob_le16_to_cpu(v.flags), ob_le16_to_cpu(v.next)) : 0;
	return ret;
}

/* @publish: visible after all that was written before. */
static inline int virtqueue_store_word(const struct virtqueue_device *q, enum virtqueue_area area, size_t offset,
				       uint64_t word, bool publish)
{
	const struct virtqueue_memory_ops *m = q->config.memory;
	struct virtq_desc v;

	if (OB_LIKELY(q->mapped)) {
		if (publish)
			__atomic_thread_fence(__ATOMIC_RELEASE);
		ob_le32_16_16_store((ob_le32 *)(void *)(q->map[area] + offset), word);
		return 0;
	}
	v.len = ob_cpu_to_le32((uint32_t)FIELD_GET(VIRTQUEUE_WORD_LEN, word));
	v.flags = ob_cpu_to_le16((uint16_t)FIELD_GET(VIRTQUEUE_WORD_MIDDLE, word));
	v.next = ob_cpu_to_le16((uint16_t)FIELD_GET(VIRTQUEUE_WORD_LAST, word));
	return (publish ? m->publish : m->write)(q->config.context, q->addr[area] + offset, &v.len, sizeof(uint64_t));
}

/* A descriptor in the ring, or in an indirect table at @table (mapped) or @addr. */
static inline int virtqueue_load_desc(const struct virtqueue_device *q, const uint8_t *table, uint64_t addr,
				      unsigned index, struct virtqueue_desc *out)
{
	struct virtq_desc v;
	int ret;

	if (OB_LIKELY(q->mapped)) {
		const struct virtq_desc *d = (const struct virtq_desc *)(const void *)table + index;

		out->addr = ob_le64_load(&d->addr);
		out->word = ob_le32_16_16_load(&d->len);
		return 0;
	}
	ret = q->config.memory->read(q->config.context, addr + (uint64_t)index * sizeof(v), &v, sizeof(v));
	if (ret != 0)
		return ret;
	out->addr = ob_le64_to_cpu(v.addr);
	out->word = virtqueue_word(ob_le32_to_cpu(v.len), ob_le16_to_cpu(v.flags), ob_le16_to_cpu(v.next));
	return 0;
}

/* What was read before was read before what is read now. */
static inline void virtqueue_read_barrier(const struct virtqueue_device *q)
{
	if (q->mapped)
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* What was written before is visible before what is read now. */
static inline void virtqueue_full_barrier(const struct virtqueue_device *q)
{
	if (q->mapped)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		q->config.memory->fence(q->config.context);
}

/* ---- device.c ---- */

/* One piece more. 0; -EPROTO. */
int virtqueue_chain_add(struct virtqueue_device *q, struct virtqueue_chain *chain, struct virtqueue_piece *pieces,
			unsigned piece_max, const struct virtqueue_desc *desc, uint32_t flags);
/*
 * The table that an indirect descriptor names: *entries of it; *table where mapped. 0; -EPROTO; -EACCES.
 */
int virtqueue_table_open(struct virtqueue_device *q, const struct virtqueue_desc *desc, const uint8_t **table,
			 unsigned *entries);

/* ---- device_split.c, device_packed.c; as the public functions of these names ---- */

int virtqueue_split_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			struct virtqueue_chain *out);
int virtqueue_split_fetch(struct virtqueue_device *q, uint16_t head, struct virtqueue_piece *pieces, unsigned piece_max,
			  struct virtqueue_chain *out);
int virtqueue_split_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes);
int virtqueue_split_publish(struct virtqueue_device *q);
bool virtqueue_split_must_signal(struct virtqueue_device *q);
bool virtqueue_split_arm_kicks(struct virtqueue_device *q);
void virtqueue_split_disarm_kicks(struct virtqueue_device *q);
int virtqueue_split_set_base(struct virtqueue_device *q, uint32_t base);

int virtqueue_packed_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			 struct virtqueue_chain *out);
int virtqueue_packed_fetch(struct virtqueue_device *q, const struct virtq_packed_desc *descs, unsigned count,
			   struct virtqueue_piece *pieces, unsigned piece_max, struct virtqueue_chain *out);
int virtqueue_packed_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes);
int virtqueue_packed_publish(struct virtqueue_device *q);
bool virtqueue_packed_must_signal(struct virtqueue_device *q);
bool virtqueue_packed_arm_kicks(struct virtqueue_device *q);
void virtqueue_packed_disarm_kicks(struct virtqueue_device *q);
int virtqueue_packed_set_base(struct virtqueue_device *q, uint32_t base);

#endif
