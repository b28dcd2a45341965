/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's configuration (VIRTIO 1.2 §5.2.4), checked before anything is built on it, and what it makes of the block
 * device. What is taken from here on is our own copy.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define BLOCK_BYTES_MAX 65536u

#define FIELD_OF(name)                                                                                  \
	{                                                                                               \
		offsetof(struct virtio_blk_config, name), sizeof(((struct virtio_blk_config *)0)->name) \
	}
#define ALWAYS 64u

static const struct {
	unsigned feature; /* that brings the field */
	struct ob_virtio_field field;
} fields[VBLK_FIELDS] = {
	[VBLK_CAPACITY] = {ALWAYS, FIELD_OF(capacity)},
	[VBLK_SIZE_MAX] = {VIRTIO_BLK_F_SIZE_MAX, FIELD_OF(size_max)},
	[VBLK_SEG_MAX] = {VIRTIO_BLK_F_SEG_MAX, FIELD_OF(seg_max)},
	[VBLK_BLK_SIZE] = {VIRTIO_BLK_F_BLK_SIZE, FIELD_OF(blk_size)},
	[VBLK_PHYSICAL_EXP] = {VIRTIO_BLK_F_TOPOLOGY, FIELD_OF(topology.physical_block_exp)},
	[VBLK_MIN_IO] = {VIRTIO_BLK_F_TOPOLOGY, FIELD_OF(topology.min_io_size)},
	[VBLK_OPT_IO] = {VIRTIO_BLK_F_TOPOLOGY, FIELD_OF(topology.opt_io_size)},
	[VBLK_WRITEBACK] = {VIRTIO_BLK_F_CONFIG_WCE, FIELD_OF(writeback)},
	[VBLK_NUM_QUEUES] = {VIRTIO_BLK_F_MQ, FIELD_OF(num_queues)},
	[VBLK_DISCARD_SECTORS] = {VIRTIO_BLK_F_DISCARD, FIELD_OF(max_discard_sectors)},
	[VBLK_DISCARD_SEG] = {VIRTIO_BLK_F_DISCARD, FIELD_OF(max_discard_seg)},
	[VBLK_ZEROES_SECTORS] = {VIRTIO_BLK_F_WRITE_ZEROES, FIELD_OF(max_write_zeroes_sectors)},
	[VBLK_ZEROES_SEG] = {VIRTIO_BLK_F_WRITE_ZEROES, FIELD_OF(max_write_zeroes_seg)},
	[VBLK_ZEROES_UNMAP] = {VIRTIO_BLK_F_WRITE_ZEROES, FIELD_OF(write_zeroes_may_unmap)},
};

static bool has(uint64_t features, unsigned bit)
{
	return bit == ALWAYS || (features & BIT64(bit)) != 0;
}

/* A field that belongs to a feature which is not there is not to be read (§2.5.1). */
int vblk_read_config(struct vblk *v, uint64_t values[VBLK_FIELDS])
{
	struct ob_virtio_field wanted[VBLK_FIELDS];
	uint64_t got[VBLK_FIELDS];
	unsigned count = 0;
	int ret;

	for (unsigned i = 0; i < VBLK_FIELDS; i++)
		if (has(v->features, fields[i].feature))
			wanted[count++] = fields[i].field;
	ret = ob_virtio_config_fields(v->dev, wanted, count, got);
	if (ret != 0)
		return ret;
	count = 0;
	for (unsigned i = 0; i < VBLK_FIELDS; i++)
		values[i] = has(v->features, fields[i].feature) ? got[count++] : 0;
	return 0;
}

/* Blocks, where they are not sectors. */
static int take_blocks(struct vblk *v, uint64_t features, const uint64_t *values, struct vblk_info *out)
{
	uint64_t block_bytes = VIRTIO_BLK_SECTOR_BYTES, sectors = values[VBLK_CAPACITY];

	if (has(features, VIRTIO_BLK_F_BLK_SIZE))
		block_bytes = values[VBLK_BLK_SIZE];
	if (!IS_POWER_OF_2(block_bytes) || block_bytes < VIRTIO_BLK_SECTOR_BYTES || block_bytes > BLOCK_BYTES_MAX) {
		ob_err(v->ob, "%s: blocks of %llu bytes are none that this driver does", v->name,
		       (unsigned long long)block_bytes);
		return -EOPNOTSUPP;
	}
	if (sectors > (uint64_t)INT64_MAX >> VIRTIO_BLK_SECTOR_SHIFT) {
		ob_err(v->ob, "%s: an impossible capacity of %llu sectors", v->name, (unsigned long long)sectors);
		return -EIO;
	}
	out->block_bytes = (uint32_t)block_bytes;
	out->sector_shift = (uint8_t)(__builtin_ctzll(block_bytes) - VIRTIO_BLK_SECTOR_SHIFT);
	out->block_count = sectors >> out->sector_shift;
	if (out->block_count << out->sector_shift != sectors)
		ob_warn(v->ob, "%s: %llu sectors are no whole number of blocks of %u bytes; the rest is not used",
			v->name, (unsigned long long)sectors, out->block_bytes);
	return 0;
}

/* Hints: what makes no sense the block class drops. */
static void take_topology(const uint64_t *values, struct vblk_info *out)
{
	uint64_t optimal = values[VBLK_OPT_IO] != 0 ? values[VBLK_OPT_IO] : values[VBLK_MIN_IO];

	out->physical_bytes = out->block_bytes;
	if (values[VBLK_PHYSICAL_EXP] < 16)
		out->physical_bytes = out->block_bytes << values[VBLK_PHYSICAL_EXP];
	optimal *= out->block_bytes;
	out->optimal_bytes = optimal <= UINT32_MAX ? (uint32_t)optimal : 0;
}

static int take_segments(struct vblk *v, uint64_t features, const uint64_t *values, struct vblk_info *out)
{
	out->segment_max = 1;
	out->transfer_max_bytes = VBLK_TRANSFER_MAX;
	/* A device without a limit of its own may say so with 0. */
	if (has(features, VIRTIO_BLK_F_SEG_MAX) && values[VBLK_SEG_MAX] != 0)
		out->segment_max = (uint16_t)MIN(values[VBLK_SEG_MAX], VBLK_SEGMENTS_MAX);
	/* … as qemu-storage-daemon does, which offers the feature and leaves the field empty. */
	if (!has(features, VIRTIO_BLK_F_SIZE_MAX) || values[VBLK_SIZE_MAX] == 0)
		return 0;
	/* A segment is one run of the device's addresses: so no segment is longer when no request is. */
	out->transfer_max_bytes = (uint32_t)MIN(values[VBLK_SIZE_MAX], VBLK_TRANSFER_MAX);
	if (out->transfer_max_bytes >= out->block_bytes)
		return 0;
	ob_err(v->ob, "%s: segments of at most %u bytes hold no block of %u", v->name, out->transfer_max_bytes,
	       out->block_bytes);
	return -EOPNOTSUPP;
}

/* Blocks of one range, if a request may have one; 0: none. */
static uint32_t range_blocks(const struct vblk_info *info, uint64_t sectors, uint64_t segments)
{
	return segments == 0 ? 0 : (uint32_t)(sectors >> info->sector_shift);
}

int vblk_parse_config(struct vblk *v, uint64_t features, const uint64_t values[VBLK_FIELDS], struct vblk_info *out)
{
	int ret;

	memset(out, 0, sizeof(*out));
	ret = take_blocks(v, features, values, out);
	if (ret == 0)
		ret = take_segments(v, features, values, out);
	if (ret != 0)
		return ret;
	take_topology(values, out);
	out->queue_count = has(features, VIRTIO_BLK_F_MQ) ? (uint16_t)values[VBLK_NUM_QUEUES] : 1;
	if (out->queue_count == 0) {
		ob_err(v->ob, "%s: it says that it has no queues", v->name);
		return -EIO;
	}
	out->read_only = has(features, VIRTIO_BLK_F_RO);
	out->flush = has(features, VIRTIO_BLK_F_FLUSH);
	/* §5.2.5.2: without a word on it, a device that can flush has something to flush. */
	out->writeback = out->flush && (!has(features, VIRTIO_BLK_F_CONFIG_WCE) || values[VBLK_WRITEBACK] != 0);
	out->discard_blocks = range_blocks(out, values[VBLK_DISCARD_SECTORS], values[VBLK_DISCARD_SEG]);
	out->zeroes_blocks = range_blocks(out, values[VBLK_ZEROES_SECTORS], values[VBLK_ZEROES_SEG]);
	out->zeroes_unmap = values[VBLK_ZEROES_UNMAP] != 0;
	return 0;
}

bool vblk_info_holds(const struct vblk_info *a, const struct vblk_info *b)
{
	/* More than before is not used, less would be overstepped. Its size it may change. */
	return a->block_bytes == b->block_bytes && a->read_only == b->read_only && a->segment_max <= b->segment_max &&
	       a->transfer_max_bytes <= b->transfer_max_bytes && a->queue_count <= b->queue_count &&
	       a->writeback >= b->writeback && a->discard_blocks <= b->discard_blocks &&
	       a->zeroes_blocks <= b->zeroes_blocks && a->zeroes_unmap <= b->zeroes_unmap;
}

void vblk_warn_smaller(struct vblk *v, const struct vblk_info *now)
{
	bool smaller = now->block_count < v->info.block_count;

	if (smaller && !v->smaller)
		ob_warn(v->ob, "%s: the disk is smaller now: %llu blocks, not %llu", v->name,
			(unsigned long long)now->block_count, (unsigned long long)v->info.block_count);
	v->smaller = smaller;
}

void vblk_fill_limits(const struct vblk_info *info, struct ob_block_limits *l)
{
	memset(l, 0, sizeof(*l));
	l->block_bytes = info->block_bytes;
	l->physical_bytes = info->physical_bytes;
	l->optimal_bytes = info->optimal_bytes;
	l->block_count = info->block_count;
	l->transfer_max_bytes = info->transfer_max_bytes;
	l->segment_max = info->segment_max;
	l->segment_align = 1;
	l->zeroes_max_blocks = info->zeroes_blocks;
	l->trim_max_blocks = info->discard_blocks;
	l->write_zeroes = info->zeroes_blocks != 0;
	l->trim = info->discard_blocks != 0;
	l->read_only = info->read_only;
	l->volatile_cache = info->writeback;
	l->flush = info->flush;
}
