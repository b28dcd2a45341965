/* SPDX-License-Identifier: BSD-2-Clause */
/* The suite's frame: opening, the list of checks, one request at a time, telling what failed. */
#include <stdarg.h>

#include "tests/conformance/conform.h"

static const struct {
	const char *name;
	int (*run)(struct conform *t);
	bool threads, writes;
} checks[] = {
	{"misuse", conform_misuse, false, false},
	{"fill", conform_fill, false, true},
	{"patterns", conform_patterns, false, true},
	{"scatter", conform_scatter, false, true},
	{"semantics", conform_semantics, false, true},
	{"full", conform_full, false, false},
	{"random load", conform_load, false, true},
	{"verify", conform_verify, false, false},
	{"helpers", conform_helpers, true, true},
	{"threads", conform_load_threads, true, true},
	{"cancel", conform_cancel, false, false},
	{"close", conform_close_in_flight, false, false},
	{"verify at the end", conform_verify, false, false},
};

/* ---- telling ---- */

static void print_request(const struct conform *t, const struct ob_block_request *r)
{
	fprintf(stderr, "  %s lba %llu (region + %lld), %u blocks, flags %#x, %s, status %d (%#x), %u segments:",
		ob_block_op_name((enum ob_block_op)r->op), (unsigned long long)r->lba,
		(long long)(r->lba - t->lba_first), r->block_count, r->flags,
		r->window != NULL ? "in the window" : "any memory", r->status, r->protocol_status, r->segment_count);
	for (unsigned i = 0; i < r->segment_count && i < 16 && r->segments != NULL; i++) {
		const uint8_t *base = r->segments[i].base;

		if (r->window != NULL)
			fprintf(stderr, " +%#zx:%zu", (size_t)(base - t->window->base), r->segments[i].len_bytes);
		else
			fprintf(stderr, " ..%03zx:%zu", (size_t)((uintptr_t)base & 0xfff), r->segments[i].len_bytes);
	}
	fprintf(stderr, "\n");
}

int conform_fail(struct conform *t, const struct ob_block_request *request, const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&t->failed, true, __ATOMIC_ACQ_REL))
		return -1;
	fprintf(stderr, "%s: %s failed: ", ob_block_name(t->block), t->check);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n  %u channels, mode %d, seed %llu, %u-byte blocks, region at %llu\n", t->channel_count,
		(int)t->config.mode, (unsigned long long)t->config.seed, t->limits.block_bytes,
		(unsigned long long)t->lba_first);
	if (request != NULL)
		print_request(t, request);
	return -1;
}

/* ---- progress ---- */

void conform_pump(struct conform *t)
{
	struct ob_cpu *cpu;
	bool idle = true;

	for (unsigned i = 0; i < t->channel_count; i++)
		if (t->channels[i] != NULL && t->config.mode == OB_COMPLETION_POLLED && random_percent(&t->random, 50))
			idle = ob_block_poll(t->channels[i], 1 + (unsigned)random_below(&t->random, 64)) == 0 && idle;
	for (unsigned i = 0; i < ob_cpu_count(t->ob); i++)
		idle = ob_cpu_turn(ob_cpu_get(t->ob, i), 0) <= 0 && idle;
	if (!idle)
		return;
	cpu = ob_cpu_get(t->ob, (unsigned)random_below(&t->random, ob_cpu_count(t->ob)));
	ob_cpu_turn(cpu, 100 * OB_NS_PER_US);
}

int conform_until(struct conform *t, const struct ob_block_request *request, const unsigned *count, unsigned target)
{
	uint64_t deadline_ns = ob_deadline(CONFORM_WAIT_NS);

	while (*count < target) {
		CONFORM_CHECK(t, request, ob_now_ns() < deadline_ns, "only %u of %u requests ended", *count, target);
		conform_pump(t);
	}
	CONFORM_CHECK(t, request, *count == target, "%u requests ended, %u were submitted", *count, target);
	return 0;
}

/* ---- one request ---- */

static void count_end(struct ob_block_request *request)
{
	unsigned *ends = request->arg;

	(*ends)++;
}

static int do_reaped(struct conform *t, struct ob_block_channel *channel, struct ob_block_request *request)
{
	uint64_t deadline_ns = ob_deadline(CONFORM_WAIT_NS);
	struct ob_block_request *reaped[2];
	unsigned count;

	while ((count = ob_block_reap(channel, reaped, 2)) == 0) {
		CONFORM_CHECK(t, request, ob_now_ns() < deadline_ns, "did not end");
		conform_pump(t);
	}
	CONFORM_CHECK(t, request, count == 1 && reaped[0] == request, "reaped %u requests for one", count);
	return request->status;
}

int conform_do(struct conform *t, struct ob_block_channel *channel, struct ob_block_request *request)
{
	unsigned form = (unsigned)random_below(&t->random, 3), ends = 0;
	int ret;

	t->submitted++;
	t->ended++;
	if (form == 2)
		return ob_block_do(channel, request, ob_deadline(CONFORM_WAIT_NS));
	request->done = form == 0 ? count_end : NULL;
	request->arg = &ends;
	ret = ob_block_submit(channel, request);
	if (ret != 0)
		return ret;
	ob_block_kick(channel);
	if (form == 1)
		return do_reaped(t, channel, request);
	return conform_until(t, request, &ends, 1) != 0 ? -1 : request->status;
}

int conform_transfer(struct conform *t, enum ob_block_op op, uint32_t block, uint32_t count, uint8_t *memory,
		     bool in_window, unsigned flags)
{
	struct ob_segment segment = {.base = memory, .len_bytes = conform_bytes(t, count)};
	struct ob_block_request request = {.op = (uint8_t)op,
					   .flags = (uint8_t)flags,
					   .segment_count = 1,
					   .block_count = count,
					   .lba = t->lba_first + block,
					   .segments = &segment,
					   .window = in_window ? t->window : NULL};
	int ret = conform_do(t, conform_channel(t), &request);

	CONFORM_CHECK(t, &request, ret == 0 || (op == OB_BLOCK_COMPARE && ret == -EILSEQ), "%s",
		      strerror(ret < 0 ? -ret : ret));
	if (op == OB_BLOCK_WRITE) {
		memcpy(t->shadow + conform_bytes(t, block), memory, conform_bytes(t, count));
		memset(t->known + block, 1, count);
	}
	return ret == 0 ? 0 : -EILSEQ;
}

/* ---- the whole region ---- */

static uint32_t chunk_blocks(const struct conform *t)
{
	return MAX(1u, (uint32_t)(256u * 1024) / t->limits.block_bytes);
}

int conform_verify(struct conform *t)
{
	uint32_t step = chunk_blocks(t);

	for (uint32_t block = 0; block < t->region_blocks; block += step) {
		uint32_t count = MIN(step, t->region_blocks - block);
		uint8_t *memory = t->window->base;

		if (conform_transfer(t, OB_BLOCK_READ, block, count, memory, true, 0) != 0)
			return -1;
		for (uint32_t i = 0; i < count; i++)
			CONFORM_CHECK(t, NULL,
				      !t->known[block + i] || memcmp(memory + conform_bytes(t, i),
								     t->shadow + conform_bytes(t, block + i),
								     t->limits.block_bytes) == 0,
				      "block %u of the region does not hold what was written", block + i);
	}
	return 0;
}

int conform_fill(struct conform *t)
{
	uint32_t step = chunk_blocks(t);

	for (uint32_t block = 0; block < t->region_blocks; block += step) {
		uint32_t count = MIN(step, t->region_blocks - block);

		random_fill(&t->random, t->window->base, conform_bytes(t, count));
		if (conform_transfer(t, OB_BLOCK_WRITE, block, count, t->window->base, true, 0) != 0)
			return -1;
	}
	return 0;
}

/* ---- opening ---- */

int conform_open_channels(struct conform *t)
{
	for (unsigned i = 0; i < t->config.channels; i++) {
		struct ob_block_channel_config config = {.cpu = ob_cpu_get(t->ob, i % ob_cpu_count(t->ob)),
							 .depth = CONFORM_DEPTH,
							 .poll.mode = t->config.mode};
		int ret = ob_block_channel_open(t->block, &config, &t->channels[i]);

		CONFORM_CHECK(t, NULL, ret == 0, "channel %u does not open: %s", i, strerror(-ret));
		t->channel_count = i + 1;
		CONFORM_CHECK(t, NULL,
			      ob_block_channel_depth(t->channels[i]) > 0 &&
				      ob_block_channel_depth(t->channels[i]) <= CONFORM_DEPTH,
			      "a depth of %u", ob_block_channel_depth(t->channels[i]));
		CONFORM_CHECK(t, NULL, ob_block_channel_mode(t->channels[i]) == t->config.mode,
			      "mode %d was asked for and %d given", (int)t->config.mode,
			      (int)ob_block_channel_mode(t->channels[i]));
	}
	return 0;
}

void conform_close_channels(struct conform *t)
{
	for (unsigned i = 0; i < t->channel_count; i++) {
		ob_block_channel_close(t->channels[i]);
		t->channels[i] = NULL;
	}
	t->channel_count = 0;
}

static int setup(struct conform *t)
{
	uint64_t most = CONFORM_REGION_BYTES / t->limits.block_bytes, spare;
	int ret;

	CONFORM_CHECK(t, NULL, t->limits.block_count >= 64, "only %llu blocks",
		      (unsigned long long)t->limits.block_count);
	t->region_blocks = (uint32_t)MIN(most, t->limits.block_count);
	/* The first blocks, the last ones, or some between. */
	spare = t->limits.block_count - t->region_blocks;
	t->lba_first = random_percent(&t->random, 33) ? 0 : spare;
	if (random_percent(&t->random, 33))
		t->lba_first = random_below(&t->random, spare + 1);
	ret = ob_window_create(ob_device_machine(ob_block_device(t->block)), CONFORM_WINDOW_BYTES, &t->window);
	CONFORM_CHECK(t, NULL, ret == 0, "no window: %s", strerror(-ret));
	ret = ob_block_grant(t->block, t->window);
	CONFORM_CHECK(t, NULL, ret == 0, "the window cannot be granted: %s", strerror(-ret));
	t->plain = aligned_alloc(4096, CONFORM_WINDOW_BYTES);
	t->shadow = calloc(t->region_blocks, t->limits.block_bytes);
	t->known = calloc(t->region_blocks, 1);
	CONFORM_CHECK(t, NULL, t->plain != NULL && t->shadow != NULL && t->known != NULL, "no memory");
	memset(t->plain, 0, CONFORM_WINDOW_BYTES);
	return conform_open_channels(t);
}

static int run_checks(struct conform *t)
{
	if (!t->config.quiet)
		printf("%s: %s, %llu blocks of %u bytes, %u channels, seed %llu\n", ob_block_name(t->block),
		       ob_block_model(t->block), (unsigned long long)t->limits.block_count, t->limits.block_bytes,
		       t->channel_count, (unsigned long long)t->config.seed);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		uint64_t start_ns = ob_now_ns();

		if ((checks[i].threads && t->config.no_threads) || (checks[i].writes && t->limits.read_only))
			continue;
		t->check = checks[i].name;
		if (checks[i].run(t) != 0 || t->failed)
			return -1;
		if (!t->config.quiet)
			printf("%s: %s: passed in %llu ms\n", ob_block_name(t->block), t->check,
			       (unsigned long long)((ob_now_ns() - start_ns) / OB_NS_PER_MS));
	}
	return 0;
}

int conform_block(struct ob *ob, struct ob_block *block, const struct conform_config *config)
{
	struct conform t = {.ob = ob, .block = block, .config = *config, .check = "open"};
	int ret;

	t.random.state = config->seed;
	t.config.channels = MIN(MAX(config->channels, 1u), CONFORM_CHANNELS_MAX);
	if (t.config.requests == 0)
		t.config.requests = 10000;
	ob_block_limits(block, &t.limits);
	ret = setup(&t);
	if (ret == 0)
		ret = run_checks(&t);
	conform_close_channels(&t);
	ob_window_put(t.window);
	free(t.plain);
	free(t.shadow);
	free(t.known);
	return ret;
}
