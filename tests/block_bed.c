/* SPDX-License-Identifier: BSD-2-Clause */
/* See block_bed.h. */
#include "tests/block_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define TURN_NS OB_NS_PER_MS

unsigned bed_logged(struct bed *b, const char *text)
{
	return bed_log_count(&b->log, text);
}

int bed_try_open(struct bed *b, const char *uri, const char *const *args, unsigned cpus)
{
	struct ob_config config = {
		.log = bed_log_append, .log_arg = &b->log, .log_level = OB_LOG_DEBUG, .cpu_count = cpus};
	struct ob_machine_options options = {.args = args};
	int ret;

	memset(b, 0, sizeof(*b));
	bed_log_open(&b->log);
	assert_int_equal(ob_create(&config, &b->ob), 0);
	ret = ob_machine_open(b->ob, uri, &options, &b->machine);
	if (ret != 0) {
		ob_destroy(b->ob);
		bed_log_close(&b->log);
		memset(b, 0, sizeof(*b));
	}
	return ret;
}

void bed_open(struct bed *b, const char *uri, const char *const *args)
{
	assert_int_equal(bed_try_open(b, uri, args, 1), 0);
	b->block = ob_block_find(b->ob, NULL);
	if (b->block == NULL)
		fail_msg("no block device:\n%s", b->log.text);
	ob_block_limits(b->block, &b->limits);
}

void bed_open_channel(struct bed *b, enum ob_completion_mode mode, unsigned depth, uint64_t timeout_ns)
{
	struct ob_block_channel_config config = {.depth = depth, .poll = {.mode = mode}, .timeout_ns = timeout_ns};

	assert_int_equal(ob_block_channel_open(b->block, &config, &b->channel), 0);
	if (b->window == NULL)
		assert_int_equal(ob_window_create(b->machine, (size_t)BED_REQUESTS * BED_BUFFER, &b->window), 0);
	assert_int_equal(ob_block_grant(b->block, b->window), 0);
}

void bed_close(struct bed *b)
{
	if (b->ob == NULL)
		return;
	ob_block_channel_close(b->channel);
	assert_int_equal(b->busy, 0);
	ob_block_put(b->block);
	ob_window_put(b->window);
	ob_machine_close(b->machine);
	/* Core looks at what a driver leaves behind. */
	assert_int_equal(bed_logged(b, "leaked"), 0);
	ob_destroy(b->ob);
	bed_log_close(&b->log);
	memset(b, 0, sizeof(*b));
}

void *bed_buffer(struct bed *b, unsigned index)
{
	return b->window->base + (size_t)index * BED_BUFFER;
}

static void ended(struct ob_block_request *request)
{
	struct bed_request *r = (struct bed_request *)(void *)request;

	assert_true(r->busy);
	assert_int_equal(++r->ends, 1);
	r->busy = false;
	r->bed->busy--;
}

int bed_submit(struct bed *b, unsigned index, enum ob_block_op op, uint64_t lba, uint32_t blocks)
{
	struct bed_request *r = &b->requests[index];
	bool data = op == OB_BLOCK_READ || op == OB_BLOCK_WRITE || op == OB_BLOCK_COMPARE;
	int ret;

	assert_false(r->busy);
	memset(r, 0, sizeof(*r));
	r->bed = b;
	r->request.op = (uint8_t)op;
	r->request.lba = lba;
	r->request.block_count = blocks;
	r->request.done = ended;
	if (data) {
		r->segment = (struct ob_segment){bed_buffer(b, index), (size_t)blocks * b->limits.block_bytes};
		assert_true(r->segment.len_bytes <= BED_BUFFER);
		r->request.segments = &r->segment;
		r->request.segment_count = 1;
		r->request.window = b->window;
		if (op == OB_BLOCK_WRITE)
			memset(r->segment.base, (int)(0x11 + index), r->segment.len_bytes);
	}
	r->busy = true;
	b->busy++;
	ret = ob_block_submit(b->channel, &r->request);
	if (ret != 0) {
		r->busy = false;
		b->busy--;
	}
	return ret;
}

static void turn(struct bed *b)
{
	if (b->channel != NULL)
		ob_block_kick(b->channel);
	ob_cpu_turn(ob_cpu_get(b->ob, 0), TURN_NS);
}

static bool idle(struct bed *b)
{
	return b->busy == 0;
}

bool bed_turn_until(struct bed *b, bool (*condition)(struct bed *b), uint64_t timeout_ns)
{
	uint64_t deadline_ns = ob_deadline(timeout_ns);

	while (condition == NULL || !condition(b)) {
		if (ob_now_ns() >= deadline_ns)
			return false;
		turn(b);
	}
	return true;
}

void bed_wait(struct bed *b, uint64_t timeout_ns)
{
	if (!bed_turn_until(b, idle, timeout_ns))
		fail_msg("%u requests have not ended:\n%s", b->busy, b->log.text);
}

int bed_status(const struct bed *b, unsigned index)
{
	return b->requests[index].request.status;
}

int bed_do(struct bed *b, enum ob_block_op op, uint64_t lba, uint32_t blocks)
{
	int ret = bed_submit(b, 0, op, lba, blocks);

	if (ret != 0)
		return ret;
	bed_wait(b, 60 * OB_NS_PER_S);
	return bed_status(b, 0);
}

/* ---- a load ---- */

void bed_load_start(struct bed *b, struct bed_load *load, unsigned requests)
{
	assert_true(requests <= BED_REQUESTS);
	bed_wait(b, 60 * OB_NS_PER_S);
	memset(b->requests, 0, sizeof(b->requests));
	memset(load, 0, sizeof(*load));
	load->random.state = 4711;
	load->requests = requests;
}

static void load_check(struct bed *b, const struct bed_load *load, unsigned index)
{
	const struct bed_request *r = &b->requests[index];

	if (r->ends == 0)
		return;
	assert_int_equal(bed_status(b, index), 0);
	if (r->request.op == OB_BLOCK_READ && load->value[index] != 0)
		assert_int_equal(*(const uint32_t *)bed_buffer(b, index), load->value[index]);
}

void bed_load_turn(struct bed *b, struct bed_load *load)
{
	for (unsigned i = 0; i < load->requests; i++) {
		bool write = random_percent(&load->random, 50);

		if (b->requests[i].busy)
			continue;
		load_check(b, load, i);
		assert_int_equal(bed_submit(b, i, write ? OB_BLOCK_WRITE : OB_BLOCK_READ, i, 1), 0);
		/* The device is told of it by the kick. */
		if (write)
			load->value[i] = ++load->next;
		*(uint32_t *)bed_buffer(b, i) = write ? load->next : 0;
	}
	ob_block_kick(b->channel);
	ob_cpu_turn(ob_cpu_get(b->ob, 0), 0);
}

void bed_load_finish(struct bed *b, struct bed_load *load, uint64_t timeout_ns)
{
	bed_wait(b, timeout_ns);
	for (unsigned i = 0; i < load->requests; i++) {
		load_check(b, load, i);
		assert_int_equal(bed_submit(b, i, OB_BLOCK_READ, i, 1), 0);
	}
	bed_wait(b, timeout_ns);
	for (unsigned i = 0; i < load->requests; i++)
		load_check(b, load, i);
}

/* ---- the machine ---- */

void bed_command(struct bed *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	bed_machine_command(b->machine, format, args);
	va_end(args);
}
