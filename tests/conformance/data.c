/* SPDX-License-Identifier: BSD-2-Clause */
/* Data at every alignment and size, and in lists of pieces cut at odd places. */
#include "tests/conformance/conform.h"

#define GUARD        64u
#define GUARD_BYTE   0x3c
#define CASE_BYTES   (2u << 20) /* the largest that is tried */
#define AREA_BYTES   (CASE_BYTES + 3 * 4096u)
#define PIECES_MAX   256u
#define SCATTER_RUNS 60

/* ---- one piece ---- */

/* Write from one place, read back to another; nothing beside the buffer changes. */
static int pattern(struct conform *t, uint32_t blocks, size_t offset, bool write_window, bool read_window)
{
	uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - blocks + 1);
	uint8_t *from = conform_memory(t, write_window, GUARD + offset);
	uint8_t *area = conform_memory(t, read_window, AREA_BYTES), *to = area + GUARD + offset;
	size_t bytes = conform_bytes(t, blocks), before = GUARD + offset;

	random_fill(&t->random, from, bytes);
	if (conform_transfer(t, OB_BLOCK_WRITE, block, blocks, from, write_window, 0) != 0)
		return -1;
	memset(area, GUARD_BYTE, before);
	memset(to, 0, bytes);
	memset(to + bytes, GUARD_BYTE, GUARD);
	if (conform_transfer(t, OB_BLOCK_READ, block, blocks, to, read_window, 0) != 0)
		return -1;
	for (size_t i = 0; i < bytes; i++)
		CONFORM_CHECK(t, NULL, to[i] == from[i],
			      "%u blocks at offset %zu, written from %s, read to %s: byte %zu is %#x, not %#x", blocks,
			      offset, write_window ? "the window" : "any memory",
			      read_window ? "the window" : "any memory", i, to[i], from[i]);
	for (size_t i = 0; i < before; i++)
		CONFORM_CHECK(t, NULL, area[i] == GUARD_BYTE, "a byte %zu before the buffer changed", before - i);
	for (size_t i = 0; i < GUARD; i++)
		CONFORM_CHECK(t, NULL, to[bytes + i] == GUARD_BYTE, "a byte %zu after the buffer changed", i);
	return 0;
}

int conform_patterns(struct conform *t)
{
	static const size_t offsets[] = {0, 1, 2, 3, 4, 8, 16, 64, 511, 512, 2048, 4092, 4095, 4096};
	uint32_t transfer = t->limits.transfer_max_bytes / t->limits.block_bytes;
	uint32_t most = MIN((uint32_t)CASE_BYTES / t->limits.block_bytes, t->region_blocks);
	uint32_t sizes[] = {1, 2, 3, 7, 8, 9, 31, transfer - 1, transfer, transfer + 1, 2 * transfer + 3};

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		/* A transfer of 4 GiB wraps; then it is clamped as well. */
		uint32_t blocks = MIN(MAX(sizes[s], 1u), most);
		bool large = conform_bytes(t, blocks) > 128 * 1024;

		for (size_t o = 0; o < ARRAY_SIZE(offsets); o++) {
			bool write_window = random_percent(&t->random, 50),
			     read_window = random_percent(&t->random, 50);

			/* Large ones are slow on slow machines: each offset with some size, each size with some
			 * offsets. */
			if (large && !random_percent(&t->random, 30))
				continue;
			if (pattern(t, blocks, offsets[o], write_window, read_window) != 0 ||
			    (!large && pattern(t, blocks, offsets[o], !write_window, !read_window) != 0))
				return -1;
		}
	}
	return 0;
}

/* ---- pieces ---- */

/* How the lengths of pieces are drawn. */
enum cut {
	CUT_ODD,
	CUT_FOURS,
	CUT_BLOCKS,
	CUT_PAGES, /* as a device with a page list likes them */
	CUT_KINDS,
};

static size_t piece_length(struct conform *t, enum cut cut, size_t rest, uint8_t *at)
{
	size_t len_bytes;

	switch (cut) {
	case CUT_FOURS:
		len_bytes = 4 * random_size(&t->random, 1024);
		break;
	case CUT_BLOCKS:
		len_bytes = t->limits.block_bytes * random_size(&t->random, 8);
		break;
	case CUT_PAGES:
		len_bytes = 4096 - ((uintptr_t)at & 4095) + 4096 * random_below(&t->random, 3);
		break;
	default:
		len_bytes = random_size(&t->random, 8192);
	}
	return MIN(len_bytes, rest);
}

/* Pieces in @area that add up to @bytes, in order or not. Returns how many. */
static unsigned cut_pieces(struct conform *t, uint8_t *area, size_t bytes, struct ob_segment *pieces, unsigned max)
{
	enum cut cut = (enum cut)random_below(&t->random, CUT_KINDS);
	uint8_t *at = area + (cut == CUT_ODD ? random_below(&t->random, 64) : 4 * random_below(&t->random, 64));
	unsigned count = 0;

	while (bytes > 0) {
		size_t len_bytes = count + 1 == max ? bytes : piece_length(t, cut, bytes, at);

		pieces[count++] = (struct ob_segment){.base = at, .len_bytes = len_bytes};
		bytes -= len_bytes;
		at += len_bytes;
		if (cut == CUT_PAGES)
			at += 4096 * random_below(&t->random, 2);
		else if (cut == CUT_ODD)
			at += random_below(&t->random, 32);
		else
			at += 4 * random_below(&t->random, 8);
	}
	if (count > 1 && random_percent(&t->random, 30)) {
		unsigned a = (unsigned)random_below(&t->random, count), b = (unsigned)random_below(&t->random, count);
		struct ob_segment swap = pieces[a];

		pieces[a] = pieces[b];
		pieces[b] = swap;
	}
	return count;
}

static int scatter_once(struct conform *t, bool write)
{
	static struct ob_segment pieces[PIECES_MAX];
	uint32_t most = MIN((uint32_t)(512u * 1024) / t->limits.block_bytes, t->region_blocks);
	uint32_t blocks = (uint32_t)random_size(&t->random, most);
	uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - blocks + 1);
	uint8_t *shadow = t->shadow + conform_bytes(t, block);
	bool in_window = random_percent(&t->random, 60);
	struct ob_block_request request = {.op = write ? OB_BLOCK_WRITE : OB_BLOCK_READ,
					   .block_count = blocks,
					   .lba = t->lba_first + block,
					   .segments = pieces,
					   .window = in_window ? t->window : NULL};
	size_t at = 0;
	int ret;

	request.segment_count = (uint16_t)cut_pieces(t, conform_memory(t, in_window, 0), conform_bytes(t, blocks),
						     pieces, (unsigned)MIN(PIECES_MAX, t->limits.request_segment_max));
	for (unsigned i = 0; i < request.segment_count; i++) {
		random_fill(&t->random, pieces[i].base, pieces[i].len_bytes);
		if (write)
			memcpy(shadow + at, pieces[i].base, pieces[i].len_bytes);
		at += pieces[i].len_bytes;
	}
	ret = conform_do(t, conform_channel(t), &request);
	CONFORM_CHECK(t, &request, ret == 0, "%s", strerror(-ret));
	if (write)
		memset(t->known + block, 1, blocks);
	at = 0;
	for (unsigned i = 0; i < request.segment_count; i++) {
		CONFORM_CHECK(t, &request, memcmp(shadow + at, pieces[i].base, pieces[i].len_bytes) == 0,
			      "piece %u holds something else", i);
		at += pieces[i].len_bytes;
	}
	return 0;
}

/* All of the region is known by now. */
int conform_scatter(struct conform *t)
{
	for (unsigned i = 0; i < SCATTER_RUNS; i++)
		if (scatter_once(t, true) != 0 || scatter_once(t, false) != 0)
			return -1;
	return conform_verify(t);
}
