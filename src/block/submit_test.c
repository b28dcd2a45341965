/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O path: what goes straight, what is counted, what waits, and that nothing recurses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "tests/ram_world.h"

static struct ram_world world;

static unsigned commands(const struct ram_world *w, enum ob_block_op op)
{
	return w->ram->commands[op];
}

/* ---- straight ---- */

static void test_submit_fitting_read_goes_straight(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_stats stats;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	memset(w->ram->media, 0x77, 4096);
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 0, 8, w->window->base, 0), 0);
	assert_int_equal(w->window->base[4095], 0x77);
	ram_world_stats(w, &stats);
	assert_int_equal(commands(w, OB_BLOCK_READ), 1);
	assert_int_equal(stats.ops[OB_BLOCK_READ], 1);
	assert_int_equal(stats.bytes[OB_BLOCK_READ], 4096);
	assert_int_equal(stats.splits + stats.bounces + stats.errors + stats.refused, 0);
	ram_world_close(w);
}

static void test_submit_failed_read_counts_error_without_bytes(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ob_block_stats stats;
	struct ram_io io;

	disk.bad_lba = 3;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 3, 1, w->window->base);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), -EIO);
	assert_int_equal(io.request.protocol_status, RAM_BLOCK_BAD);
	ram_world_stats(w, &stats);
	assert_int_equal(stats.ops[OB_BLOCK_READ], 1);
	assert_int_equal(stats.bytes[OB_BLOCK_READ], 0);
	assert_int_equal(stats.errors, 1);
	ram_world_close(w);
}

static void test_submit_read_only_device_refuses_changes(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ob_block_stats stats;
	struct ram_io io;

	disk.limits.read_only = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_WRITE, 0, 1, w->window->base);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EROFS);
	ram_io_init(&io, w, OB_BLOCK_WRITE, 0, 1, w->plain);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EROFS);
	ram_io_init(&io, w, OB_BLOCK_TRIM, 0, 1, NULL);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EROFS);
	ram_io_init(&io, w, OB_BLOCK_WRITE_ZEROES, 0, 1, NULL);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EROFS);
	ram_world_stats(w, &stats);
	assert_int_equal(stats.refused, 4);
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 0, 1, w->window->base, 0), 0);
	ram_world_close(w);
}

static void test_end_second_time_is_refused_and_logged(void **state)
{
	struct ram_world *w = &world;
	struct ram_io io;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 1, w->window->base);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), 0);
	ob_block_end(w->channel, &io.request, -EIO, 0);
	ram_world_turn(w, 5);
	assert_int_equal(io.ends, 1);
	assert_int_equal(io.request.status, 0);
	assert_non_null(strstr(w->log, "does not have"));
	ram_world_close(w);
}

/* ---- full ---- */

static void test_submit_full_channel_is_again_and_recovers(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ram_io ios[5];

	disk.depth_max = 4;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 64, OB_COMPLETION_INTERRUPT);
	assert_int_equal(ob_block_channel_depth(w->channel), 4);
	for (unsigned i = 0; i < 5; i++) {
		ram_io_init(&ios[i], w, OB_BLOCK_READ, i, 1, w->window->base + i * 512);
		assert_int_equal(ob_block_submit(w->channel, &ios[i].request), i < 4 ? 0 : -EAGAIN);
	}
	ob_block_kick(w->channel);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ram_io_wait(&ios[i]), 0);
	assert_int_equal(ios[4].ends, 0);
	ram_io_submit(&ios[4]);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&ios[4]), 0);
	ram_world_close(w);
}

static void test_submit_driver_without_room_keeps_order(void **state)
{
	struct ram_world *w = &world;
	struct ram_io ios[8];

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 64, OB_COMPLETION_INTERRUPT);
	/* No room and nothing in flight whose end would tell of some: the channel tries again by itself. */
	w->ram->config.full_percent = 100;
	for (unsigned i = 0; i < 8; i++) {
		ram_io_init(&ios[i], w, OB_BLOCK_READ, i, 1, (i % 3 == 2 ? w->plain : w->window->base) + i * 512);
		ram_io_submit(&ios[i]);
	}
	ob_block_kick(w->channel);
	/* Long enough for a few tries. */
	for (uint64_t until_ns = ob_deadline(5 * OB_NS_PER_MS); ob_now_ns() < until_ns;)
		ob_cpu_turn(ob_cpu_get(w->ob, 0), OB_NS_PER_MS);
	assert_int_equal(ram_ends, 0);
	w->ram->config.full_percent = 0;
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(ram_io_wait(&ios[i]), 0);
		assert_int_equal(ios[i].order, i + 1);
	}
	ram_world_close(w);
}

/* What could go straight must not overtake for ever what waits for a buffer. */
static void test_submit_behind_waiting_request_waits(void **state)
{
	struct ob_block_channel_config config = {.bounce_buffers = 1};
	struct ram_world *w = &world;
	struct ram_io ios[4];

	ram_world_open(w, 1, NULL);
	assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), 0);
	for (unsigned i = 0; i < 4; i++) {
		ram_io_init(&ios[i], w, OB_BLOCK_READ, i, 1, (i < 2 ? w->plain : w->window->base) + i * 4096);
		/* The common case, and one that is judged at length. */
		if (i == 3)
			ios[i].request.op = OB_BLOCK_COMPARE;
		ram_io_submit(&ios[i]);
	}
	ob_block_kick(w->channel);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(ram_io_wait(&ios[i]), 0);
		assert_int_equal(ios[i].order, i + 1);
	}
	ram_world_close(w);
}

static void test_submit_memory_across_window_ends_is_fault(void **state)
{
	struct ram_world *w = &world;
	uint8_t *base, *end;
	struct ram_io io;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	base = w->window->base;
	end = base + w->window->len_bytes;
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 2, base);
	io.segment.base = end - 512;
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EFAULT);
	io.segment.base = base - 512;
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EFAULT);
	io.segment.base = end;
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EFAULT);
	io.segment.base = end - 1024;
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), 0);
	ram_world_close(w);
}

/* ---- forms of ending ---- */

static void test_reap_without_done_gives_each_once(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_request *reaped[8];
	struct ram_io ios[5];
	unsigned count = 0, looks = 0;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	for (unsigned i = 0; i < 5; i++) {
		ram_io_init(&ios[i], w, OB_BLOCK_READ, i, 1, w->window->base + i * 512);
		ios[i].request.done = NULL;
		ram_io_submit(&ios[i]);
	}
	ob_block_kick(w->channel);
	assert_int_equal(ob_block_poll(w->channel, 3), 3);
	assert_int_equal(ob_block_poll(w->channel, 64), 2);
	assert_int_equal(ob_block_poll(w->channel, 64), 0);
	for (; looks < 9 && count < 5; looks++)
		count += ob_block_reap(w->channel, &reaped[count], 2);
	assert_int_equal(count, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_ptr_equal(reaped[i], &ios[i].request);
	assert_int_equal(ob_block_reap(w->channel, reaped, 8), 0);
	ram_world_close(w);
}

/* A request that submits itself again from its done function. */
struct chain {
	struct ram_io io; /* first */
	unsigned left, depth, depth_max;
	bool kick;
};

static void chain_done(struct ob_block_request *request)
{
	struct chain *chain = (struct chain *)(void *)request;

	assert_int_equal(request->status, 0);
	chain->depth++;
	chain->depth_max = MAX(chain->depth_max, chain->depth);
	if (chain->left > 0) {
		chain->left--;
		ram_io_submit(&chain->io);
		if (chain->kick)
			ob_block_kick(chain->io.world->channel);
	} else {
		chain->io.ends++;
	}
	chain->depth--;
}

static void test_done_submitting_to_inline_device_does_not_recurse(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;

	disk.inline_percent = 100;
	ram_world_open(w, 1, &disk);
	for (unsigned form = 0; form < 4; form++) {
		struct chain chain = {.left = 20000, .kick = form % 2 != 0};

		ram_world_channel(w, 0, form < 2 ? OB_COMPLETION_POLLED : OB_COMPLETION_INTERRUPT);
		/* Form 3 takes the slow path as well. */
		ram_io_init(&chain.io, w, OB_BLOCK_READ, 0, 1, form == 3 ? w->plain : w->window->base);
		chain.io.request.done = chain_done;
		ram_io_submit(&chain.io);
		assert_int_equal(chain.left, 20000);
		ob_block_kick(w->channel);
		assert_int_equal(chain.left, 20000);
		for (unsigned i = 0; form == 0 && i < 100; i++)
			assert_true(ob_block_poll(w->channel, 32) <= 32);
		assert_int_equal(ram_io_wait(&chain.io), 0);
		assert_int_equal(chain.depth_max, 1);
		ob_block_channel_close(w->channel);
		w->channel = NULL;
	}
	ram_world_close(w);
}

static void test_flush_without_cache_ends_at_once_not_inside_submit(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ram_io io;

	disk.limits.volatile_cache = false;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	ram_io_init(&io, w, OB_BLOCK_FLUSH, 0, 0, NULL);
	ram_io_submit(&io);
	assert_int_equal(io.ends, 0);
	assert_int_equal(ob_block_poll(w->channel, 1), 1);
	assert_int_equal(io.ends, 1);
	assert_int_equal(io.request.status, 0);
	assert_int_equal(commands(w, OB_BLOCK_FLUSH), 0);
	ram_world_close(w);
}

/* ---- windows ---- */

static void test_submit_window_of_another_machine_is_refused(void **state)
{
	struct ram_world *w = &world;
	struct ob_machine *other;
	struct ram_block *ram;
	struct ram_block_config disk = ram_world_disk();
	struct ob_window *window;
	struct ram_io io;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	assert_int_equal(ram_machine_open(w->ob, &other), 0);
	disk.name = "ram9";
	assert_int_equal(ram_block_create(other, &disk, &ram), 0);
	assert_int_equal(ob_window_create(other, 4096, &window), 0);
	assert_int_equal(ob_block_grant(ram->block, window), 0);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 8, window->base);
	io.request.window = window;
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EACCES);
	io.request.op = OB_BLOCK_WRITE;
	assert_int_equal(ob_block_submit(w->channel, &io.request), -EACCES);
	assert_int_equal(commands(w, OB_BLOCK_READ) + commands(w, OB_BLOCK_WRITE), 0);
	ob_window_put(window);
	ram_block_destroy(ram);
	ob_machine_close(other);
	ram_world_close(w);
}

/* ---- traces ---- */

static void test_trace_shows_submit_done_bounce_split(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ob_trace_event *events = calloc(4096, sizeof(*events));
	unsigned seen[OB_TRACE_ID_COUNT] = {0};
	size_t count;

	assert_non_null(events);
	disk.limits.transfer_max_bytes = 4096;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	ob_trace_enable(w->ob, true);
	assert_int_equal(ram_io_do(w, OB_BLOCK_WRITE, 0, 16, w->plain, 0), 0);
	ob_trace_enable(w->ob, false);
	count = ob_trace_read(w->ob, events, 4096, NULL);
	for (size_t i = 0; i < count; i++)
		seen[events[i].id]++;
	assert_int_equal(seen[OB_TRACE_BLOCK_SUBMIT], 1);
	assert_int_equal(seen[OB_TRACE_BLOCK_DONE], 1);
	assert_int_equal(seen[OB_TRACE_BLOCK_BOUNCE], 2);
	assert_int_equal(seen[OB_TRACE_BLOCK_SPLIT], 1);
	free(events);
	ram_world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_submit_fitting_read_goes_straight),
		cmocka_unit_test(test_submit_failed_read_counts_error_without_bytes),
		cmocka_unit_test(test_submit_read_only_device_refuses_changes),
		cmocka_unit_test(test_end_second_time_is_refused_and_logged),
		cmocka_unit_test(test_submit_full_channel_is_again_and_recovers),
		cmocka_unit_test(test_submit_driver_without_room_keeps_order),
		cmocka_unit_test(test_submit_behind_waiting_request_waits),
		cmocka_unit_test(test_submit_memory_across_window_ends_is_fault),
		cmocka_unit_test(test_reap_without_done_gives_each_once),
		cmocka_unit_test(test_done_submitting_to_inline_device_does_not_recurse),
		cmocka_unit_test(test_flush_without_cache_ends_at_once_not_inside_submit),
		cmocka_unit_test(test_submit_window_of_another_machine_is_refused),
		cmocka_unit_test(test_trace_shows_submit_done_bounce_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
