/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device says of itself: limits that make no sense are refused before anything is computed from them, strings
 * are made fit to print, and a channel gets its own copies.
 */
#include <errno.h>

#include "block/block.h"

#define BLOCK_BYTES_MIN   512u
#define BLOCK_BYTES_MAX   65536u
#define SEGMENT_ALIGN_MAX 65536u
#define PAGE_BYTES        4096u                 /* what a window is aligned to */
#define DISK_BYTES_MAX    ((uint64_t)INT64_MAX) /* so that offsets in bytes never overflow, in off_t neither */

static bool limits_make_sense(const struct ob_block_limits *l)
{
	if (!IS_POWER_OF_2(l->block_bytes) || l->block_bytes < BLOCK_BYTES_MIN || l->block_bytes > BLOCK_BYTES_MAX)
		return false;
	if (l->block_count == 0 || l->block_count > DISK_BYTES_MAX / l->block_bytes)
		return false;
	if (l->transfer_max_bytes < l->block_bytes || l->segment_max == 0)
		return false;
	if (l->segment_align != 0 && (!IS_POWER_OF_2(l->segment_align) || l->segment_align > SEGMENT_ALIGN_MAX))
		return false;
	if ((l->boundary_mask & (l->boundary_mask + 1)) != 0)
		return false;
	return !l->volatile_cache || l->flush; /* else nothing could ever be made durable */
}

int block_limits_normalise(struct ob_block_limits *l)
{
	if (!limits_make_sense(l))
		return -EINVAL;
	l->transfer_max_bytes = ALIGN_DOWN(l->transfer_max_bytes, l->block_bytes);
	if (l->segment_align == 0)
		l->segment_align = 1;
	/* Hints: a bad one is dropped, the device is kept. */
	if (!IS_POWER_OF_2(l->physical_bytes) || l->physical_bytes < l->block_bytes)
		l->physical_bytes = l->block_bytes;
	if (l->optimal_bytes % l->block_bytes != 0)
		l->optimal_bytes = 0;
	l->write_zeroes = l->write_zeroes && l->zeroes_max_blocks != 0;
	l->trim = l->trim && l->trim_max_blocks != 0;
	if (!l->write_zeroes)
		l->zeroes_max_blocks = 0;
	if (!l->trim)
		l->trim_max_blocks = 0;
	if (l->request_segment_max == 0)
		l->request_segment_max = MAX(BLOCK_SEGMENTS_DEFAULT, l->segment_max);
	l->request_segment_max = MIN(l->request_segment_max, UINT16_MAX);
	return 0;
}

void block_text(char *to, size_t size, const char *from)
{
	size_t len = 0;

	if (from == NULL)
		from = "";
	while (*from == ' ')
		from++;
	for (; *from != '\0' && len + 1 < size; from++)
		to[len++] = *from >= ' ' && *from <= '~' ? *from : '?';
	while (len > 0 && to[len - 1] == ' ')
		len--;
	to[len] = '\0';
}

void block_channel_gate(struct block_channel *c)
{
	const struct ob_block_limits *l = &c->limits;
	uint64_t most = MIN((uint64_t)(l->transfer_max_bytes >> c->block_shift), c->block_count);

	/* The straight way looks at the process's addresses, which agree with the device's up to a page. */
	if ((c->special & (BLOCK_WAITS | BLOCK_CLOSING)) != 0 || l->segment_align > PAGE_BYTES)
		most = 0;
	c->fast_blocks[OB_BLOCK_READ] = (uint32_t)most;
	c->fast_blocks[OB_BLOCK_WRITE] = l->read_only ? 0 : (uint32_t)most;
}

void block_channel_set_limits(struct block_channel *c, const struct ob_block_limits *limits)
{
	c->limits = *limits;
	c->block_count = limits->block_count;
	c->block_shift = (uint8_t)__builtin_ctz(limits->block_bytes);
	c->align_mask = limits->segment_align - 1;
	block_channel_gate(c);
}
