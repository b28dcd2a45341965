/* SPDX-License-Identifier: BSD-2-Clause */
/* Channels: opening and what may fail in it, closing and removal under load, from tasks and threads. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "core/hooks.h"
#include "tests/ram_world.h"

static struct ram_world world;

/* ---- opening ---- */

static void test_open_without_config_has_defaults(void **state)
{
	struct ram_world *w = &world;

	ram_world_open(w, 1, NULL);
	assert_int_equal(ob_block_channel_open(w->block, NULL, &w->channel), 0);
	assert_int_equal(ob_block_channel_depth(w->channel), 128);
	assert_int_equal(ob_block_channel_mode(w->channel), OB_COMPLETION_INTERRUPT);
	assert_ptr_equal(ob_block_channel_block(w->channel), w->block);
	assert_ptr_equal(ob_block_channel_cpu(w->channel), ob_cpu_get(w->ob, 0));
	ram_world_close(w);
}

static void test_open_bad_config_is_invalid(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_channel_config config = {.bounce_buffers = 100000};

	ram_world_open(w, 1, NULL);
	assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), -EINVAL);
	config = (struct ob_block_channel_config){.poll.mode = (enum ob_completion_mode)7};
	assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), -EINVAL);
	w->ram->config.open_error = -ENOSPC;
	assert_int_equal(ob_block_channel_open(w->block, NULL, &w->channel), -ENOSPC);
	w->channel = NULL;
	ram_world_close(w);
}

static void test_open_driver_that_gives_too_much_is_held_to_the_wish(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;

	disk.depth_lie = 1000;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 16, OB_COMPLETION_INTERRUPT);
	assert_int_equal(ob_block_channel_depth(w->channel), 16);
	ram_world_close(w);
}

struct nth {
	unsigned count, fail;
};

static bool fail_nth(void *arg, const char *call)
{
	struct nth *nth = arg;

	return nth->count++ == nth->fail;
}

static void test_open_any_call_failing_leaves_nothing(void **state)
{
	struct ram_world *w = &world;
	struct nth nth = {0};
	struct ob_hooks hooks = {.arg = &nth, .fail = fail_nth};
	struct ob_block_channel_config config = {0};
	int ret = -1;

	ram_world_open(w, 2, NULL);
	config.cpu = ob_cpu_get(w->ob, 1);
	for (unsigned i = 0; ret != 0; i++) {
		assert_true(i < 100);
		nth = (struct nth){.fail = i};
		ob_set_hooks(w->ob, &hooks);
		ret = ob_block_channel_open(w->block, &config, &w->channel);
		ob_set_hooks(w->ob, NULL);
		if (ret == 0)
			assert_true(i >= 6); /* the calls were seen at all */
		assert_int_equal(w->ram->channels, ret == 0);
	}
	assert_true(nth.count <= nth.fail);
	ob_block_channel_close(w->channel);
	/* Closing must come through whatever fails. */
	ret = 0;
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), 0);
		nth = (struct nth){.fail = i};
		ob_set_hooks(w->ob, &hooks);
		ob_block_channel_close(w->channel);
		ob_set_hooks(w->ob, NULL);
	}
	w->channel = NULL;
	ram_world_turn(w, 20);
	ram_world_close(w);
}

static void test_publish_any_call_failing_leaves_nothing(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct nth nth = {0};
	struct ob_hooks hooks = {.arg = &nth, .fail = fail_nth};
	struct ram_block *ram;
	int ret = -1;

	ram_world_open(w, 1, NULL);
	disk.name = "ram1";
	for (unsigned i = 0; ret != 0; i++) {
		assert_true(i < 100);
		nth = (struct nth){.fail = i};
		ob_set_hooks(w->ob, &hooks);
		ret = ram_block_create(w->machine, &disk, &ram);
		ob_set_hooks(w->ob, NULL);
	}
	assert_true(nth.fail >= 1);
	ram_block_destroy(ram);
	ram_world_close(w);
}

/* ---- from elsewhere ---- */

static void open_and_close(void *arg)
{
	struct ram_world *w = arg;
	struct ob_block_channel_config config = {.cpu = ob_cpu_get(w->ob, 1)};
	struct ob_block_channel *channel;

	assert_int_equal(ob_block_channel_open(w->block, &config, &channel), 0);
	assert_int_equal(ob_block_read(channel, 0, 4, w->plain, NULL, ob_deadline(OB_NS_PER_S)), 0);
	ob_block_channel_close(channel);
}

static void *open_thread(void *arg)
{
	open_and_close(arg);
	return NULL;
}

static void test_open_from_task_and_thread_works(void **state)
{
	struct ram_world *w = &world;
	struct ob_task *task;
	pthread_t thread;

	ram_world_open(w, 2, NULL);
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		assert_int_equal(ob_task_spawn(ob_cpu_get(w->ob, cpu), "open", open_and_close, w, &task), 0);
		assert_int_equal(ob_task_join(task, ob_deadline(10 * OB_NS_PER_S)), 0);
	}
	assert_int_equal(ob_cpu_start(ob_cpu_get(w->ob, 0), -1), 0);
	assert_int_equal(ob_cpu_start(ob_cpu_get(w->ob, 1), -1), 0);
	assert_int_equal(pthread_create(&thread, NULL, open_thread, w), 0);
	open_and_close(w);
	pthread_join(thread, NULL);
	ob_cpu_stop(ob_cpu_get(w->ob, 0));
	ob_cpu_stop(ob_cpu_get(w->ob, 1));
	ram_world_close(w);
}

/* ---- requests in flight ---- */

#define IOS 10

/* Of every kind there is: at the driver, cut, waiting for buffers, waiting behind those. */
static void start_ios(struct ram_world *w, struct ram_io *ios)
{
	for (unsigned i = 0; i < IOS; i++) {
		ram_io_init(&ios[i], w, i % 3 == 0 ? OB_BLOCK_READ : OB_BLOCK_WRITE, i * 100, i % 2 != 0 ? 1 : 90,
			    (i % 3 == 2 ? w->plain : w->window->base) + i * 65536);
		ios[i].request.flags = i % 3 == 1 ? OB_BLOCK_FUA : 0;
		ram_io_submit(&ios[i]);
	}
	ob_block_kick(w->channel);
}

static struct ram_block_config hanging(void)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.transfer_max_bytes = 4096;
	disk.limits.fua = false;
	disk.hang = true;
	return disk;
}

static void test_close_in_flight_cancels_each_once(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io ios[IOS];

	for (unsigned depth = 10; depth <= 160; depth *= 4) {
		ram_world_open(w, 1, &disk);
		ram_world_channel(w, depth, OB_COMPLETION_INTERRUPT);
		start_ios(w, ios);
		ob_block_channel_close(w->channel);
		w->channel = NULL;
		for (unsigned i = 0; i < IOS; i++) {
			assert_int_equal(ios[i].ends, 1);
			assert_int_equal(ios[i].request.status, -ECANCELED);
		}
		ram_world_turn(w, 10);
		assert_int_equal(ram_ends, IOS);
		ram_world_close(w);
	}
}

static void submit_again(struct ob_block_request *request)
{
	struct ram_io *io = (struct ram_io *)(void *)request;

	io->ends++;
	assert_int_equal(ob_block_submit(io->world->channel, request), -ENODEV);
}

static void test_submit_while_closing_is_nodev(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io io;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 1, w->window->base);
	io.request.done = submit_again;
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	ob_block_channel_close(w->channel);
	w->channel = NULL;
	assert_int_equal(io.ends, 1);
	ram_world_close(w);
}

static void test_close_driver_that_keeps_requests_is_logged(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io io;

	disk.keep_on_close = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 20, w->plain);
	ram_io_submit(&io);
	ob_block_channel_close(w->channel);
	w->channel = NULL;
	assert_int_equal(io.ends, 1);
	assert_int_equal(io.request.status, -ECANCELED);
	assert_non_null(strstr(w->log, "kept"));
	ram_world_close(w);
}

static void test_removal_in_flight_ends_each_once_with_nodev(void **state)
{
	struct ram_block_config disk = hanging();
	struct ram_world *w = &world;
	struct ram_io ios[IOS], late;
	struct ob_block_request *reaped;
	struct ob_block_stats stats;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 32, OB_COMPLETION_HYBRID);
	start_ios(w, ios);
	ram_block_remove(w->ram);
	assert_false(ob_block_online(w->block));
	for (unsigned i = 0; i < IOS; i++) {
		assert_int_equal(ios[i].ends, 1);
		assert_int_equal(ios[i].request.status, -ENODEV);
	}
	/* The channel answers until it is closed. */
	ram_io_init(&late, w, OB_BLOCK_READ, 0, 1, w->window->base);
	assert_int_equal(ob_block_submit(w->channel, &late.request), -ENODEV);
	assert_int_equal(ob_block_cancel(w->channel, &ios[0].request), -ENOENT);
	ob_block_kick(w->channel);
	assert_int_equal(ob_block_poll(w->channel, 64), 0);
	assert_int_equal(ob_block_reap(w->channel, &reaped, 1), 0);
	assert_int_equal(ob_block_read(w->channel, 0, 1, w->plain, NULL, ob_deadline(OB_NS_PER_S)), -ENODEV);
	ob_block_stats(w->block, &stats);
	assert_int_equal(stats.errors, IOS);
	ram_world_close(w);
}

/* ---- removal while CPUs of their own submit ---- */

#define SUBMITTERS 3
#define SLOTS      16

struct submitter {
	struct ram_world *w;
	struct ob_block_channel *channel;
	struct submit_slot {
		struct ram_io io; /* first */
		struct submitter *submitter;
		bool busy;
	} slots[SLOTS];
	unsigned flying, wrong;
	uint64_t submitted, ended;
	bool saw_gone;
};

static void submitter_done(struct ob_block_request *request)
{
	struct submit_slot *slot = (struct submit_slot *)(void *)request;
	struct submitter *s = slot->submitter;

	if (!slot->busy || (request->status != 0 && request->status != -ENODEV))
		s->wrong++;
	slot->busy = false;
	s->flying--;
	s->ended++;
}

static void submitter_task(void *arg)
{
	struct submitter *s = arg;
	uint64_t deadline_ns = ob_deadline(20 * OB_NS_PER_S);

	while ((!s->saw_gone || s->flying > 0) && ob_now_ns() < deadline_ns) {
		for (unsigned i = 0; i < SLOTS && !s->saw_gone; i++) {
			struct submit_slot *slot = &s->slots[i];
			int ret;

			if (slot->busy)
				continue;
			slot->busy = true;
			ret = ob_block_submit(s->channel, &slot->io.request);
			s->saw_gone = ret == -ENODEV;
			if (ret != 0) {
				slot->busy = false;
				break;
			}
			s->flying++;
			s->submitted++;
		}
		ob_block_kick(s->channel);
		ob_task_yield();
	}
}

static void submitter_start(struct ram_world *w, struct submitter *s, unsigned index, struct ob_task **task)
{
	struct ob_block_channel_config config = {.cpu = ob_cpu_get(w->ob, 1 + index),
						 .poll.mode = (enum ob_completion_mode)(index % 3)};

	memset(s, 0, sizeof(*s));
	s->w = w;
	assert_int_equal(ob_block_channel_open(w->block, &config, &s->channel), 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct submit_slot *slot = &s->slots[i];
		uint8_t *memory = (i % 2 != 0 ? w->plain : w->window->base) + (index * SLOTS + i) * 65536;

		ram_io_init(&slot->io, w, OB_BLOCK_READ, i * 64, i % 3 != 0 ? 8 : 90, memory);
		slot->io.request.done = submitter_done;
		slot->submitter = s;
	}
	assert_int_equal(ob_task_spawn(config.cpu, "submitter", submitter_task, s, task), 0);
}

static void test_removal_under_threads_ends_each_once(void **state)
{
	static struct submitter submitters[SUBMITTERS];
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ob_task *tasks[SUBMITTERS];

	disk.limits.transfer_max_bytes = 8192;
	disk.late_polls_max = 4;
	disk.inline_percent = 10;
	for (unsigned round = 0; round < 20; round++) {
		disk.seed = round;
		ram_world_open(w, 1 + SUBMITTERS, &disk);
		for (unsigned i = 0; i < SUBMITTERS; i++)
			submitter_start(w, &submitters[i], i, &tasks[i]);
		for (unsigned i = 0; i < SUBMITTERS; i++)
			assert_int_equal(ob_cpu_start(ob_cpu_get(w->ob, 1 + i), -1), 0);
		ob_cpu_turn(ob_cpu_get(w->ob, 0), (round % 5) * OB_NS_PER_MS);
		ram_block_remove(w->ram);
		for (unsigned i = 0; i < SUBMITTERS; i++) {
			assert_int_equal(ob_task_join(tasks[i], ob_deadline(20 * OB_NS_PER_S)), 0);
			assert_true(submitters[i].saw_gone);
			assert_int_equal(submitters[i].flying, 0);
			assert_int_equal(submitters[i].wrong, 0);
			assert_true(submitters[i].submitted == submitters[i].ended);
			if (round % 2 != 0)
				ob_cpu_stop(ob_cpu_get(w->ob, 1 + i));
			ob_block_channel_close(submitters[i].channel);
			if (round % 2 == 0)
				ob_cpu_stop(ob_cpu_get(w->ob, 1 + i));
		}
		ram_world_close(w);
	}
}

static void test_close_leaves_unreaped_requests_with_their_status(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ob_block_request *reaped;
	struct ram_io io[4];

	disk.hang = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 8, OB_COMPLETION_INTERRUPT);
	for (unsigned i = 0; i < 4; i++) {
		ram_io_init(&io[i], w, OB_BLOCK_READ, i, 1, i < 3 ? w->window->base : w->plain);
		io[i].request.done = NULL;
		io[i].request.status = 77;
		ram_io_submit(&io[i]);
	}
	ob_block_kick(w->channel);
	/* One has ended before, and nobody has reaped it. */
	assert_int_equal(ob_block_cancel(w->channel, &io[0].request), 0);
	ram_world_turn(w, 5);
	assert_int_equal(io[0].request.status, -ECANCELED);
	ob_block_channel_close(w->channel);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(io[i].request.status, -ECANCELED);
		assert_null(io[i].request.channel);
		assert_null(io[i].request.next);
	}
	/* They are free to be used again. */
	w->ram->config.hang = false;
	ram_world_channel(w, 8, OB_COMPLETION_INTERRUPT);
	assert_int_equal(ob_block_cancel(w->channel, &io[1].request), -ENOENT);
	ram_io_submit(&io[1]);
	ob_block_kick(w->channel);
	ram_world_turn(w, 5);
	assert_int_equal(ob_block_reap(w->channel, &reaped, 1), 1);
	assert_ptr_equal(reaped, &io[1].request);
	assert_int_equal(reaped->status, 0);
	ram_world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_without_config_has_defaults),
		cmocka_unit_test(test_open_bad_config_is_invalid),
		cmocka_unit_test(test_open_driver_that_gives_too_much_is_held_to_the_wish),
		cmocka_unit_test(test_open_any_call_failing_leaves_nothing),
		cmocka_unit_test(test_publish_any_call_failing_leaves_nothing),
		cmocka_unit_test(test_open_from_task_and_thread_works),
		cmocka_unit_test(test_close_in_flight_cancels_each_once),
		cmocka_unit_test(test_submit_while_closing_is_nodev),
		cmocka_unit_test(test_close_driver_that_keeps_requests_is_logged),
		cmocka_unit_test(test_removal_in_flight_ends_each_once_with_nodev),
		cmocka_unit_test(test_removal_under_threads_ends_each_once),
		cmocka_unit_test(test_close_leaves_unreaped_requests_with_their_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
