/* SPDX-License-Identifier: BSD-2-Clause */
/* The waiting helpers when things do not go well: no time, no room, no device, no CPU, the wrong context. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/block.h"
#include "tests/ram_world.h"

static struct ram_world world;

#define SOON (20 * OB_NS_PER_MS)

static struct ram_block_config hanging(void)
{
	struct ram_block_config disk = ram_world_disk();

	disk.hang = true;
	return disk;
}

/* ---- the deadline passes ---- */

/* The buffer is freed at once: what still wrote to it would be found. */
static void read_hanging(void *arg)
{
	struct ram_world *w = arg;
	uint64_t start_ns = ob_now_ns();
	uint8_t *memory = malloc(4096);

	assert_non_null(memory);
	assert_int_equal(ob_block_read(w->channel, 0, 8, memory, NULL, start_ns + SOON), -ETIMEDOUT);
	assert_true(ob_now_ns() - start_ns >= SOON);
	assert_true(ob_now_ns() - start_ns < 100 * SOON);
	free(memory);
}

static void *read_thread(void *arg)
{
	read_hanging(arg);
	return NULL;
}

static void test_read_hanging_device_times_out_everywhere(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ob_task *task;
	pthread_t thread;

	ram_world_open(w, 2, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	read_hanging(w);
	assert_int_equal(w->ram->cancels, 1);
	/* In a task of the channel's CPU, and of another. */
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		assert_int_equal(ob_task_spawn(ob_cpu_get(w->ob, cpu), "read", read_hanging, w, &task), 0);
		assert_int_equal(ob_task_join(task, ob_deadline(10 * OB_NS_PER_S)), 0);
		assert_int_equal(w->ram->cancels, 2 + cpu);
	}
	/* On threads that are not the CPU's home. */
	assert_int_equal(ob_cpu_start(ob_cpu_get(w->ob, 0), -1), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_thread, w), 0);
	read_hanging(w);
	pthread_join(thread, NULL);
	assert_int_equal(w->ram->cancels, 5);
	ob_cpu_stop(ob_cpu_get(w->ob, 0));
	ram_world_close(w);
}

/* Not even the cancel helps: the caller goes, and so does its memory, all of it. What ends later must know. */
static void give_up(struct ram_world *w, enum ob_block_op op, uint32_t count, unsigned pieces)
{
	struct ob_segment *segments = calloc(pieces, sizeof(*segments));
	uint8_t *memory = malloc(count * 512);
	struct ob_block_request request = {
		.op = (uint8_t)op, .segment_count = (uint16_t)pieces, .block_count = count, .segments = segments};

	assert_non_null(segments);
	assert_non_null(memory);
	for (unsigned i = 0; i < pieces; i++)
		segments[i] = (struct ob_segment){.base = memory + i * count * 512 / pieces,
						  .len_bytes = count * 512 / pieces};
	memset(memory, 0x99, count * 512);
	assert_int_equal(ob_block_do(w->channel, &request, ob_deadline(SOON)), -ETIMEDOUT);
	memset(memory, 0x11, count * 512);
	free(memory);
	free(segments);
}

static void give_up_in_window(struct ram_world *w)
{
	struct ob_segment *segment = malloc(sizeof(*segment));
	struct ob_block_request request = {
		.op = OB_BLOCK_READ, .segment_count = 1, .block_count = 4, .segments = segment, .window = w->window};

	assert_non_null(segment);
	*segment = (struct ob_segment){.base = w->window->base, .len_bytes = 2048};
	assert_int_equal(ob_block_do(w->channel, &request, ob_deadline(SOON)), -ETIMEDOUT);
	free(segment);
}

static void test_do_deaf_device_is_given_up(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io io;

	disk.deaf = true;
	disk.limits.transfer_max_bytes = 4096;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 16, OB_COMPLETION_POLLED);
	block_channel(w->channel)->cancel_ns = SOON;
	give_up(w, OB_BLOCK_READ, 4, 2);
	give_up(w, OB_BLOCK_WRITE, 4, 4);
	/* The window's memory stays; the list does not. */
	give_up_in_window(w);
	/* More than fits the buffers, so that some was never sent. */
	give_up(w, OB_BLOCK_WRITE, 640, 4);
	assert_non_null(strstr(w->log, "gave up"));
	w->ram->config.hang = false;
	w->ram->config.deaf = false;
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 640, w->plain);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), 0);
	/* What was not the caller's any more was not written. */
	for (unsigned i = 0; i < 640 * 512; i++)
		assert_int_not_equal(w->plain[i], 0x11);
	ram_world_close(w);
}

static void *give_up_thread(void *arg)
{
	give_up(arg, OB_BLOCK_WRITE, 640, 4);
	return NULL;
}

/* The CPU that has the request is not turned any more, so it cannot even be cancelled; later it is turned again. */
static void test_do_cpu_that_stops_turning_is_given_up(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	pthread_t thread;
	struct ob_block_stats stats = {0};

	disk.limits.transfer_max_bytes = 4096;
	disk.late_polls_max = 1000;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 16, OB_COMPLETION_INTERRUPT);
	block_channel(w->channel)->cancel_ns = SOON;
	assert_int_equal(pthread_create(&thread, NULL, give_up_thread, w), 0);
	while (stats.bounces == 0) {
		ram_world_turn(w, 1);
		ob_block_stats(w->block, &stats);
	}
	pthread_join(thread, NULL);
	w->ram->config.late_polls_max = 0;
	for (unsigned i = 0; i < 3000; i++)
		ram_world_turn(w, 1);
	ob_block_stats(w->block, &stats);
	assert_int_equal(stats.ops[OB_BLOCK_WRITE], 1);
	assert_int_equal(stats.errors, 1);
	for (unsigned i = 0; i < 640 * 512; i++)
		assert_true(w->ram->media[i] == 0 || w->ram->media[i] == 0x99);
	ram_world_close(w);
}

static void *read_unturned(void *arg)
{
	struct ram_world *w = arg;

	assert_int_equal(ob_block_read(w->channel, 0, 8, w->plain, NULL, ob_deadline(SOON)), -ETIMEDOUT);
	return NULL;
}

static void test_read_cpu_that_nobody_turns_times_out(void **state)
{
	struct ram_world *w = &world;
	pthread_t thread;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	assert_int_equal(pthread_create(&thread, NULL, read_unturned, w), 0);
	pthread_join(thread, NULL);
	ram_world_turn(w, 20);
	assert_int_equal(w->ram->commands[OB_BLOCK_READ], 0);
	ram_world_close(w);
}

/* ---- no room ---- */

static void test_read_full_channel_waits_for_room(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io io;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 1, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 1, w->window->base);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ob_block_read(w->channel, 0, 1, w->plain, NULL, ob_deadline(SOON)), -ETIMEDOUT);
	w->ram->config.hang = false;
	/* Its interrupt was lost while it hung; a cancel makes it look. */
	assert_int_equal(ob_block_cancel(w->channel, &io.request), 0);
	assert_int_equal(ob_block_read(w->channel, 0, 1, w->plain, NULL, ob_deadline(OB_NS_PER_S)), 0);
	assert_int_equal(io.ends, 1);
	ram_world_close(w);
}

/* ---- wrong context ---- */

struct soft {
	struct ob_work work; /* first */
	int ret;
	bool ran;
};

static void soft_read(struct ob_work *work)
{
	struct soft *soft = (struct soft *)(void *)work;

	soft->ret = ob_block_read(world.channel, 0, 1, world.plain, NULL, ob_deadline(OB_NS_PER_S));
	soft->ran = true;
}

static void test_read_in_soft_context_is_deadlock(void **state)
{
	struct ram_world *w = &world;
	struct soft soft = {.ran = false};

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ob_work_init(&soft.work, soft_read);
	ob_cpu_post(ob_cpu_get(w->ob, 0), &soft.work);
	ram_world_turn(w, 5);
	assert_true(soft.ran);
	assert_int_equal(soft.ret, -EDEADLK);
	ram_world_close(w);
}

/* ---- the device goes ---- */

struct reader {
	struct ram_world *w;
	int ret;
	bool over;
};

static void reader_task(void *arg)
{
	struct reader *reader = arg;

	reader->ret = ob_block_read(reader->w->channel, 0, 8, reader->w->plain, NULL, ob_deadline(10 * OB_NS_PER_S));
	reader->over = true;
}

static void test_read_removed_device_is_nodev(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct reader reader = {.w = w};
	struct ob_task *task;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_POLLED);
	assert_int_equal(ob_task_spawn(ob_cpu_get(w->ob, 0), "reader", reader_task, &reader, &task), 0);
	ram_world_turn(w, 10);
	assert_false(reader.over);
	ram_block_remove(w->ram);
	assert_int_equal(ob_task_join(task, ob_deadline(OB_NS_PER_S)), 0);
	assert_int_equal(reader.ret, -ENODEV);
	ram_world_close(w);
}

/* ---- arguments ---- */

static void test_helpers_return_what_submit_does(void **state)
{
	struct ram_world *w = &world;
	uint64_t deadline_ns;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	deadline_ns = ob_deadline(OB_NS_PER_S);
	assert_int_equal(ob_block_read(w->channel, 8192, 1, w->plain, NULL, deadline_ns), -ERANGE);
	assert_int_equal(ob_block_read(w->channel, 0, 0, w->plain, NULL, deadline_ns), -EINVAL);
	assert_int_equal(ob_block_read(w->channel, 0, 1, NULL, NULL, deadline_ns), -EINVAL);
	assert_int_equal(ob_block_read(w->channel, 0, 1, w->plain, w->window, deadline_ns), -EFAULT);
	assert_int_equal(ob_block_write(w->channel, 0, 1, w->plain, NULL, 0x100, deadline_ns), -EINVAL);
	assert_int_equal(ob_block_write(w->channel, 0, 1, w->plain, NULL, 0x80, deadline_ns), -EINVAL);
	assert_int_equal(ob_block_write_zeroes(w->channel, 0, 1, OB_BLOCK_NO_TRIM, deadline_ns), 0);
	assert_int_equal(ob_block_trim(w->channel, 0, 1, deadline_ns), 0);
	assert_int_equal(ob_block_flush(w->channel, deadline_ns), 0);
	ram_world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_hanging_device_times_out_everywhere),
		cmocka_unit_test(test_do_deaf_device_is_given_up),
		cmocka_unit_test(test_do_cpu_that_stops_turning_is_given_up),
		cmocka_unit_test(test_read_cpu_that_nobody_turns_times_out),
		cmocka_unit_test(test_read_full_channel_waits_for_room),
		cmocka_unit_test(test_read_in_soft_context_is_deadlock),
		cmocka_unit_test(test_read_removed_device_is_nodev),
		cmocka_unit_test(test_helpers_return_what_submit_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
