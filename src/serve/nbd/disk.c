/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes to blocks: pieces over several slots, and read-modify-write at the edges. */
#include "serve/nbd/disk.h"

#include <errno.h>
#include <string.h>

/* Slots that one request uses at once: a few large ones must not keep many small ones waiting. */
enum {
	PIECES_MAX = 8
};

/* Wait for the slot's end and give it back. */
static int finish(struct slot *slot)
{
	int status;

	if (!lane_wait(slot, &status))
		return -ETIMEDOUT;
	lane_give(slot);
	return status;
}

static void prepare(struct slot *slot, enum ob_block_op op, unsigned flags, uint64_t lba, uint32_t block_count)
{
	slot->request = (struct ob_block_request){
		.op = (uint8_t)op,
		.flags = (uint8_t)flags,
		.lba = lba,
		.block_count = block_count,
	};
}

/* ---- reads and writes of whole blocks, in pieces ---- */

struct pieces {
	struct lane *lane;
	uint32_t block_bytes;
	enum ob_block_op op;
	unsigned flags;
	uint8_t *into;       /* read: the bytes from offset to end */
	const uint8_t *from; /* write */
	uint64_t offset, end;
	uint64_t next; /* byte of the next piece; whole blocks */
	struct slot *slots[PIECES_MAX];
	unsigned first, busy;
};

static void start_piece(struct pieces *p, struct slot *slot)
{
	uint64_t stop = (p->end + p->block_bytes - 1) / p->block_bytes * p->block_bytes;
	uint64_t len = stop - p->next;

	if (len > p->lane->slot_bytes)
		len = p->lane->slot_bytes;
	prepare(slot, p->op, p->flags, p->next / p->block_bytes, (uint32_t)(len / p->block_bytes));
	if (p->op == OB_BLOCK_WRITE)
		memcpy(slot->buffer, p->from + (p->next - p->offset), len);
	p->next += len;
	p->slots[(p->first + p->busy++) % PIECES_MAX] = slot;
	lane_start(slot, len);
}

/* The oldest piece. Of what was read only what was asked for is copied: a first or last block may be wanted in part. */
static int end_piece(struct pieces *p)
{
	struct slot *slot = p->slots[p->first];
	int error;

	p->first = (p->first + 1) % PIECES_MAX;
	p->busy--;
	if (!lane_wait(slot, &error))
		return -ETIMEDOUT;
	if (!error && p->op == OB_BLOCK_READ) {
		uint64_t start = slot->request.lba * p->block_bytes;
		uint64_t stop = start + slot->segment.len_bytes;
		uint64_t from = start < p->offset ? p->offset : start;
		uint64_t to = stop > p->end ? p->end : stop;

		memcpy(p->into + (from - p->offset), slot->buffer + (from - start), to - from);
	}
	lane_give(slot);
	return error;
}

static int run_pieces(struct pieces *p)
{
	int error = 0;

	p->next = p->offset / p->block_bytes * p->block_bytes;
	while (p->busy || (p->next < p->end && !error)) {
		/* Only the first may wait for a slot: whoever has one must not wait for another. */
		bool more = p->next < p->end && !error && p->busy < PIECES_MAX;
		struct slot *slot = NULL;
		int ended = more ? lane_take(p->lane, p->busy > 0, &slot) : 0;

		if (slot) {
			start_piece(p, slot);
			continue;
		}
		if (p->busy)
			ended = end_piece(p);
		error = error ? error : ended;
	}
	return error;
}

int disk_read(struct disk *disk, struct lane *lane, void *buffer, uint64_t count, uint64_t offset)
{
	struct pieces p = {
		.lane = lane,
		.block_bytes = disk->limits.block_bytes,
		.op = OB_BLOCK_READ,
		.into = buffer,
		.offset = offset,
		.end = offset + count,
	};

	return run_pieces(&p);
}

/* ---- edges ---- */

/* One request without pieces. */
static int run_one(struct lane *lane, enum ob_block_op op, unsigned flags, uint64_t lba, uint32_t block_count)
{
	struct slot *slot;
	int error = lane_take(lane, false, &slot);

	if (error)
		return error;
	prepare(slot, op, flags, lba, block_count);
	lane_start(slot, 0);
	return finish(slot);
}

/* Change @len bytes at @offset, which are within one block; @data NULL: to zeroes. The block is held alone. */
static int change_block(struct disk *disk, struct lane *lane, const void *data, size_t len, uint64_t offset,
			unsigned flags)
{
	uint32_t block_bytes = disk->limits.block_bytes;
	struct slot *slot;
	int error = lane_take(lane, false, &slot);

	if (error)
		return error;
	prepare(slot, OB_BLOCK_READ, 0, offset / block_bytes, 1);
	lane_start(slot, block_bytes);
	if (!lane_wait(slot, &error))
		return -ETIMEDOUT;
	if (error) {
		lane_give(slot);
		return error;
	}
	if (data)
		memcpy(slot->buffer + offset % block_bytes, data, len);
	else
		memset(slot->buffer + offset % block_bytes, 0, len);
	prepare(slot, OB_BLOCK_WRITE, flags, offset / block_bytes, 1);
	lane_start(slot, block_bytes);
	return finish(slot);
}

/* What write and zero share: a part of a block in front, whole blocks, a part of a block behind. */
struct split {
	uint64_t head, body, tail; /* bytes */
};

static struct split split_range(uint64_t count, uint64_t offset, uint32_t block_bytes)
{
	struct split s = {.head = (block_bytes - offset % block_bytes) % block_bytes};

	if (s.head > count)
		s.head = count;
	s.tail = (offset + count) % block_bytes;
	if (s.tail > count - s.head)
		s.tail = count - s.head;
	s.body = count - s.head - s.tail;
	return s;
}

static int hold(struct disk *disk, const struct lane *lane, struct range *range, uint64_t count, uint64_t offset,
		bool alone)
{
	return range_lock(&disk->ranges, range, offset / disk->limits.block_bytes,
			  (offset + count - 1) / disk->limits.block_bytes, alone, ob_deadline(lane->wait_ns));
}

int disk_write(struct disk *disk, struct lane *lane, const void *buffer, uint64_t count, uint64_t offset, bool fua)
{
	struct split s = split_range(count, offset, disk->limits.block_bytes);
	unsigned flags = fua ? OB_BLOCK_FUA : 0;
	const uint8_t *bytes = buffer;
	struct range range;
	int error;

	if (!count)
		return 0;
	error = hold(disk, lane, &range, count, offset, s.head || s.tail);
	if (error)
		return error;
	if (s.head)
		error = change_block(disk, lane, bytes, s.head, offset, flags);
	if (!error && s.body) {
		struct pieces p = {
			.lane = lane,
			.block_bytes = disk->limits.block_bytes,
			.op = OB_BLOCK_WRITE,
			.flags = flags,
			.from = bytes + s.head,
			.offset = offset + s.head,
			.end = offset + s.head + s.body,
		};

		error = run_pieces(&p);
	}
	if (!error && s.tail)
		error = change_block(disk, lane, bytes + s.head + s.body, s.tail, offset + s.head + s.body, flags);
	range_unlock(&disk->ranges, &range);
	return error;
}

int disk_zero(struct disk *disk, struct lane *lane, uint64_t count, uint64_t offset, bool may_trim, bool fua)
{
	uint32_t block_bytes = disk->limits.block_bytes;
	struct split s = split_range(count, offset, block_bytes);
	unsigned flags = fua ? OB_BLOCK_FUA : 0;
	struct range range;
	int error;

	if (!count)
		return 0;
	error = hold(disk, lane, &range, count, offset, s.head || s.tail);
	if (error)
		return error;
	if (s.head)
		error = change_block(disk, lane, NULL, s.head, offset, flags);
	if (!error && s.body)
		error = run_one(lane, OB_BLOCK_WRITE_ZEROES, flags | (may_trim ? 0 : OB_BLOCK_NO_TRIM),
				(offset + s.head) / block_bytes, (uint32_t)(s.body / block_bytes));
	if (!error && s.tail)
		error = change_block(disk, lane, NULL, s.tail, offset + s.head + s.body, flags);
	range_unlock(&disk->ranges, &range);
	return error;
}

int disk_trim(struct disk *disk, struct lane *lane, uint64_t count, uint64_t offset, bool fua)
{
	uint32_t block_bytes = disk->limits.block_bytes;
	struct split s = split_range(count, offset, block_bytes);
	struct range range;
	int error = 0;

	if (s.body) {
		error = hold(disk, lane, &range, s.body, offset + s.head, false);
		if (error)
			return error;
		error = run_one(lane, OB_BLOCK_TRIM, 0, (offset + s.head) / block_bytes,
				(uint32_t)(s.body / block_bytes));
		range_unlock(&disk->ranges, &range);
	}
	return error || !fua ? error : disk_flush(disk, lane);
}

int disk_flush(struct disk *disk, struct lane *lane)
{
	if (!disk->limits.flush)
		return disk->limits.volatile_cache ? -EOPNOTSUPP : 0;
	return run_one(lane, OB_BLOCK_FLUSH, 0, 0, 0);
}

uint64_t disk_size(const struct disk *disk)
{
	struct ob_block_limits limits;

	ob_block_limits(disk->block, &limits);
	return limits.block_count * limits.block_bytes;
}

struct lane *disk_lane(struct disk *disk)
{
	return &disk->lanes[__atomic_fetch_add(&disk->next_lane, 1u, __ATOMIC_RELAXED) % disk->lane_count];
}
