/* SPDX-License-Identifier: BSD-2-Clause */
/* What each operation means, and what is refused before the device sees it. */
#include "tests/conformance/conform.h"

/* ---- semantics ---- */

static int range(struct conform *t, enum ob_block_op op, uint32_t block, uint32_t count, unsigned flags)
{
	struct ob_block_request request = {.op = (uint8_t)op, .flags = (uint8_t)flags, .block_count = count};
	int ret;

	request.lba = op != OB_BLOCK_FLUSH ? t->lba_first + block : 0;
	ret = conform_do(t, conform_channel(t), &request);
	CONFORM_CHECK(t, &request, ret == 0, "%s", strerror(-ret));
	return 0;
}

static int reads_zero(struct conform *t, uint32_t block, uint32_t count, const char *after)
{
	uint8_t *memory = t->window->base;

	for (uint32_t done = 0, step; done < count; done += step) {
		step = MIN(count - done, MAX(1u, (1u << 20) / t->limits.block_bytes));
		memset(memory, 0xff, conform_bytes(t, step));
		if (conform_transfer(t, OB_BLOCK_READ, block + done, step, memory, true, 0) != 0)
			return -1;
		for (size_t i = 0; i < conform_bytes(t, step); i++)
			CONFORM_CHECK(t, NULL, memory[i] == 0, "byte %zu after block %u is not zero after %s", i,
				      block + done, after);
	}
	return 0;
}

static void shadow_zero(struct conform *t, uint32_t block, uint32_t count, bool known)
{
	memset(t->shadow + conform_bytes(t, block), 0, conform_bytes(t, count));
	memset(t->known + block, known, count);
}

static int zeroes(struct conform *t)
{
	uint32_t most = t->limits.zeroes_max_blocks;
	uint32_t sizes[] = {1, 2, 3, most - 1, most, most + 1, t->region_blocks};

	if (!t->limits.write_zeroes)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t count = MIN(MAX(sizes[i], 1u), t->region_blocks);
		uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - count + 1);
		static const unsigned flags[] = {0, OB_BLOCK_FUA, OB_BLOCK_NO_TRIM, OB_BLOCK_FUA | OB_BLOCK_NO_TRIM};

		if (i > 0 && conform_fill(t) != 0)
			return -1;
		if (range(t, OB_BLOCK_WRITE_ZEROES, block, count, flags[i % 4]) != 0 ||
		    reads_zero(t, block, count, "write zeroes") != 0)
			return -1;
		shadow_zero(t, block, count, true);
		/* The neighbours are as they were. */
		if (conform_verify(t) != 0)
			return -1;
	}
	return conform_fill(t);
}

static int trim(struct conform *t)
{
	if (!t->limits.trim)
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t count = i == 3 ? t->region_blocks : (uint32_t)random_size(&t->random, t->region_blocks);
		uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - count + 1);

		if (range(t, OB_BLOCK_TRIM, block, count, i % 2 != 0 ? OB_BLOCK_FUA : 0) != 0)
			return -1;
		if (t->limits.trim_reads_zero && reads_zero(t, block, count, "trim") != 0)
			return -1;
		shadow_zero(t, block, count, t->limits.trim_reads_zero);
		if (conform_verify(t) != 0 || conform_fill(t) != 0)
			return -1;
	}
	return 0;
}

static int compare(struct conform *t)
{
	static const bool places[] = {true, false};

	if (!t->limits.compare)
		return 0;
	for (unsigned i = 0; i < 16; i++) {
		bool in_window = places[i % 2];
		uint32_t count = (uint32_t)random_size(&t->random,
						       MIN(t->region_blocks, (1u << 20) / t->limits.block_bytes));
		uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - count + 1);
		uint8_t *memory = conform_memory(t, in_window, random_below(&t->random, 2));
		size_t bytes = conform_bytes(t, count), wrong = random_below(&t->random, bytes);

		memcpy(memory, t->shadow + conform_bytes(t, block), bytes);
		CONFORM_CHECK(t, NULL, conform_transfer(t, OB_BLOCK_COMPARE, block, count, memory, in_window, 0) == 0,
			      "%u equal blocks differ", count);
		memory[wrong] ^= 0x10;
		CONFORM_CHECK(t, NULL,
			      conform_transfer(t, OB_BLOCK_COMPARE, block, count, memory, in_window, 0) == -EILSEQ,
			      "a wrong byte %zu of %zu was not noticed", wrong, bytes);
	}
	return conform_verify(t);
}

static int durable_writes(struct conform *t)
{
	for (unsigned i = 0; i < 8; i++) {
		uint32_t count = (uint32_t)random_size(&t->random,
						       MIN(t->region_blocks, (1u << 20) / t->limits.block_bytes));
		uint32_t block = (uint32_t)random_below(&t->random, t->region_blocks - count + 1);

		random_fill(&t->random, t->window->base, conform_bytes(t, count));
		if (conform_transfer(t, OB_BLOCK_WRITE, block, count, t->window->base, true,
				     i % 2 != 0 ? OB_BLOCK_FUA : 0) != 0 ||
		    range(t, OB_BLOCK_FLUSH, 0, 0, 0) != 0)
			return -1;
	}
	return conform_verify(t);
}

int conform_semantics(struct conform *t)
{
	if (durable_writes(t) != 0 || zeroes(t) != 0 || trim(t) != 0 || compare(t) != 0)
		return -1;
	return 0;
}

/* ---- misuse ---- */

static void must_not_end(struct ob_block_request *request)
{
	unsigned *ends = request->arg;

	(*ends)++;
}

struct misuse {
	struct conform *t;
	struct ob_segment segments[2];
	unsigned ends;
	unsigned refused;
};

/* A good read of one block in the window, to be made bad. */
static struct ob_block_request good(struct misuse *m)
{
	m->segments[0] = (struct ob_segment){.base = m->t->window->base, .len_bytes = m->t->limits.block_bytes};
	m->segments[1] = (struct ob_segment){.base = m->t->window->base + 4096, .len_bytes = m->t->limits.block_bytes};
	return (struct ob_block_request){.op = OB_BLOCK_READ,
					 .segment_count = 1,
					 .block_count = 1,
					 .lba = m->t->lba_first,
					 .segments = m->segments,
					 .window = m->t->window,
					 .done = must_not_end,
					 .arg = &m->ends};
}

static int refuse(struct misuse *m, struct ob_block_request *request, int error, const char *what)
{
	int ret = ob_block_submit(conform_channel(m->t), request);

	m->refused++;
	CONFORM_CHECK(m->t, request, ret == error, "%s: returned %d, not %d", what, ret, error);
	return 0;
}

#define REFUSE(error, what, ...)                         \
	do {                                             \
		struct ob_block_request r = good(m);     \
		__VA_ARGS__;                             \
		if (refuse(m, &r, (error), (what)) != 0) \
			return -1;                       \
	} while (0)

static int misuse_form(struct misuse *m)
{
	size_t block_bytes = m->t->limits.block_bytes;

	REFUSE(-EINVAL, "an unknown operation", r.op = OB_BLOCK_OP_COUNT);
	REFUSE(-EINVAL, "operation 255", r.op = 255);
	REFUSE(-EINVAL, "unknown flags", r.flags = 0x80);
	REFUSE(-EINVAL, "FUA on a read", r.flags = OB_BLOCK_FUA);
	REFUSE(-EINVAL, "no trim on a read", r.flags = OB_BLOCK_NO_TRIM);
	REFUSE(-EINVAL, "no blocks", r.block_count = 0);
	REFUSE(-EINVAL, "no segments", r.segment_count = 0);
	REFUSE(-EINVAL, "no list of segments", r.segments = NULL);
	REFUSE(-EINVAL, "an empty segment", r.segment_count = 2; m->segments[0].len_bytes = 0);
	REFUSE(-EINVAL, "a segment nowhere", m->segments[0].base = NULL);
	REFUSE(-EINVAL, "a segment too short", m->segments[0].len_bytes = block_bytes - 1);
	REFUSE(-EINVAL, "a segment too long", m->segments[0].len_bytes = block_bytes + 1);
	REFUSE(-EINVAL, "a segment too many", r.segment_count = 2);
	REFUSE(-EINVAL, "a segment too few", r.block_count = 2);
	REFUSE(-EINVAL, "segments whose sum wraps", r.segment_count = 2; m->segments[0].len_bytes = SIZE_MAX;
	       m->segments[1].len_bytes = block_bytes + 1);
	REFUSE(-EINVAL, "a flush with blocks", r.op = OB_BLOCK_FLUSH; r.segment_count = 0);
	REFUSE(-EINVAL, "a flush with data", r.op = OB_BLOCK_FLUSH; r.block_count = 0);
	REFUSE(-E2BIG, "too many segments", if (m->t->limits.request_segment_max == UINT16_MAX) return 0;
	       r.segment_count = (uint16_t)(m->t->limits.request_segment_max + 1));
	return 0;
}

static int misuse_place(struct misuse *m)
{
	uint64_t end = m->t->limits.block_count;
	uint8_t *base = m->t->window->base;

	REFUSE(-ERANGE, "a block past the end", r.lba = end);
	REFUSE(-ERANGE, "the last block and one more", r.lba = end - 1; r.block_count = 2; r.segment_count = 2);
	REFUSE(-ERANGE, "a sum that wraps", r.lba = UINT64_MAX);
	REFUSE(-ERANGE, "another sum that wraps", r.lba = UINT64_MAX - 1; r.block_count = UINT32_MAX);
	REFUSE(-EFAULT, "memory after the window", m->segments[0].base = base + CONFORM_WINDOW_BYTES);
	REFUSE(-EFAULT, "memory before the window", m->segments[0].base = base - 1);
	REFUSE(-EFAULT, "memory across the window's end", m->segments[0].base = base + CONFORM_WINDOW_BYTES - 1);
	REFUSE(-EFAULT, "other memory", m->segments[0].base = m->t->plain);
	REFUSE(-EFAULT, "a second segment outside", r.block_count = 2; r.segment_count = 2;
	       m->segments[1].base = m->t->plain);
	return 0;
}

static int misuse_grant(struct misuse *m)
{
	struct ob_device *dev = ob_block_device(m->t->block);
	struct ob_block_request r = good(m);
	struct ob_window *window;
	int ret;

	ret = ob_window_create(ob_device_machine(dev), 65536, &window);
	CONFORM_CHECK(m->t, NULL, ret == 0, "no second window: %s", strerror(-ret));
	r.window = window;
	m->segments[0].base = window->base;
	ret = refuse(m, &r, -EACCES, "a window that was not granted");
	if (ret == 0 && ob_window_grant(window, dev, OB_DMA_READ) == 0)
		ret = refuse(m, &r, -EACCES, "a read into a window that the device may only read");
	ob_window_put(window);
	return ret;
}

static int misuse_op(struct misuse *m)
{
	const struct ob_block_limits *l = &m->t->limits;

	if (!l->compare)
		REFUSE(-EOPNOTSUPP, "compare", r.op = OB_BLOCK_COMPARE);
	if (l->read_only) {
		REFUSE(-EROFS, "a write", r.op = OB_BLOCK_WRITE);
		return 0;
	}
	if (!l->write_zeroes)
		REFUSE(-EOPNOTSUPP, "write zeroes", r.op = OB_BLOCK_WRITE_ZEROES; r.segment_count = 0);
	else
		REFUSE(-EINVAL, "write zeroes with data", r.op = OB_BLOCK_WRITE_ZEROES);
	if (!l->trim)
		REFUSE(-EOPNOTSUPP, "trim", r.op = OB_BLOCK_TRIM; r.segment_count = 0);
	else
		REFUSE(-ERANGE, "trim past the end", r.op = OB_BLOCK_TRIM; r.segment_count = 0; r.lba = l->block_count);
	return 0;
}

int conform_misuse(struct conform *t)
{
	struct misuse m = {.t = t};
	struct ob_block_stats before, after;

	ob_block_stats(t->block, &before);
	if (misuse_form(&m) != 0 || misuse_place(&m) != 0 || misuse_grant(&m) != 0 || misuse_op(&m) != 0)
		return -1;
	for (unsigned i = 0; i < 20; i++)
		conform_pump(t);
	CONFORM_CHECK(t, NULL, m.ends == 0, "%u refused requests ended", m.ends);
	ob_block_stats(t->block, &after);
	CONFORM_CHECK(t, NULL, after.refused - before.refused == m.refused, "%llu refusals counted, %u made",
		      (unsigned long long)(after.refused - before.refused), m.refused);
	for (unsigned op = 0; op < OB_BLOCK_OP_COUNT; op++)
		CONFORM_CHECK(t, NULL, after.ops[op] == before.ops[op], "a refused %s was counted as done",
			      ob_block_op_name((enum ob_block_op)op));
	return 0;
}
