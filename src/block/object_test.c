/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices as objects: what may be published, finding, resizing, and outliving machine and context. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "tests/ram_world.h"

static struct ram_world world;

/* ---- publishing ---- */

static int publish(struct ram_world *w, const struct ram_block_config *config)
{
	struct ram_block *ram;
	int ret = ram_block_create(w->machine, config, &ram);

	if (ret == 0)
		ram_block_destroy(ram);
	return ret;
}

#define REFUSED(change)                                    \
	do {                                               \
		struct ram_block_config d = good;          \
		change;                                    \
		assert_int_equal(publish(w, &d), -EINVAL); \
	} while (0)

static void test_publish_nonsense_is_refused(void **state)
{
	struct ram_block_config good = ram_world_disk();
	struct ram_world *w = &world;

	ram_world_open(w, 1, NULL);
	good.name = "other";
	assert_int_equal(publish(w, &good), 0);
	REFUSED(d.limits.block_bytes = 0);
	REFUSED(d.limits.block_bytes = 256);
	REFUSED(d.limits.block_bytes = 520);
	REFUSED(d.limits.block_bytes = 131072; d.limits.transfer_max_bytes = 1 << 20);
	REFUSED(d.limits.block_count = 0);
	REFUSED(d.limits.block_count = UINT64_MAX);
	REFUSED(d.limits.block_count = UINT64_MAX / 512);
	REFUSED(d.limits.transfer_max_bytes = 0);
	REFUSED(d.limits.transfer_max_bytes = 511);
	REFUSED(d.limits.segment_max = 0);
	REFUSED(d.limits.segment_align = 3);
	REFUSED(d.limits.segment_align = 1 << 20);
	REFUSED(d.limits.boundary_mask = 4096);
	REFUSED(d.limits.volatile_cache = true; d.limits.flush = false);
	REFUSED(d.name = "");
	assert_non_null(strstr(w->log, "make no sense"));
	ram_world_close(w);
}

static void test_publish_hints_are_mended(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ob_block_limits limits;
	struct ram_world *w = &world;

	disk.limits.transfer_max_bytes = 5000;
	disk.limits.physical_bytes = 700;
	disk.limits.optimal_bytes = 1000;
	disk.limits.segment_align = 0;
	disk.limits.zeroes_max_blocks = 0;
	disk.limits.trim = false;
	ram_world_open(w, 1, &disk);
	ob_block_limits(w->block, &limits);
	assert_int_equal(limits.transfer_max_bytes, 4608);
	assert_int_equal(limits.physical_bytes, 512);
	assert_int_equal(limits.optimal_bytes, 0);
	assert_int_equal(limits.segment_align, 1);
	assert_false(limits.write_zeroes);
	assert_int_equal(limits.trim_max_blocks, 0);
	assert_int_equal(limits.request_segment_max, 1024);
	ram_world_close(w);
}

static void test_publish_strings_are_trimmed_and_printable(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;

	disk.model = "  A\x1b[2J \x80 disk    ";
	ram_world_open(w, 1, &disk);
	assert_string_equal(ob_block_model(w->block), "A?[2J ? disk");
	assert_string_equal(ob_block_serial(w->block), "0001");
	assert_string_equal(ob_block_firmware(w->block), "1.0");
	assert_string_equal(ob_block_name(w->block), "ram0");
	ram_world_close(w);
}

static void test_publish_same_name_exists(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;

	ram_world_open(w, 1, NULL);
	assert_int_equal(publish(w, &disk), -EEXIST);
	ram_world_close(w);
}

/* ---- finding ---- */

static void test_next_goes_on_past_removed_blocks(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ram_world *w = &world;
	struct ram_block *more[2];
	struct ob_block *b;

	ram_world_open(w, 1, NULL);
	disk.name = "ram1";
	assert_int_equal(ram_block_create(w->machine, &disk, &more[0]), 0);
	disk.name = "ram2";
	assert_int_equal(ram_block_create(w->machine, &disk, &more[1]), 0);
	b = ob_block_next(w->ob, NULL);
	assert_string_equal(ob_block_name(b), "ram0");
	b = ob_block_next(w->ob, b);
	assert_string_equal(ob_block_name(b), "ram1");
	ram_block_destroy(more[0]);
	assert_false(ob_block_online(b));
	b = ob_block_next(w->ob, b);
	assert_string_equal(ob_block_name(b), "ram2");
	assert_null(ob_block_next(w->ob, b));

	b = ob_block_find(w->ob, "ram2");
	assert_ptr_equal(b, more[1]->block);
	assert_ptr_equal(ob_block_device(b), more[1]->dev);
	ob_block_put(b);
	b = ob_block_find(w->ob, NULL);
	assert_ptr_equal(b, w->block);
	ob_block_put(b);
	assert_null(ob_block_find(w->ob, "ram1"));
	ram_block_destroy(more[1]);
	ram_world_close(w);
}

/* ---- being told of the end ---- */

static unsigned told;

static void watch_told(struct ob_work *work)
{
	told++;
}

static void test_watch_tells_of_the_end_once(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ob_work first, second;
	struct ram_world *w = &world;
	struct ob_cpu *cpu;
	struct ram_block *ram;
	struct ob_block *b;

	ob_work_init(&first, watch_told);
	ob_work_init(&second, watch_told);
	ram_world_open(w, 1, NULL);
	cpu = ob_cpu_get(w->ob, 0);
	disk.name = "ram1";
	assert_int_equal(ram_block_create(w->machine, &disk, &ram), 0);
	b = ob_block_find(w->ob, "ram1");
	told = 0;
	/* The second in place of the first. */
	ob_block_watch(b, cpu, &first);
	ob_block_watch(b, cpu, &second);
	while (ob_cpu_turn(cpu, 0) != 0)
		;
	assert_int_equal(told, 0);
	ram_block_destroy(ram);
	while (ob_cpu_turn(cpu, 0) != 0)
		;
	assert_int_equal(told, 1);
	/* Too late, so at once. */
	ob_block_watch(b, cpu, &first);
	while (ob_cpu_turn(cpu, 0) != 0)
		;
	assert_int_equal(told, 2);
	ob_block_put(b);
	/* A watch that ended says nothing. */
	ob_block_watch(w->block, cpu, &first);
	ob_block_watch(w->block, NULL, NULL);
	ram_world_close(w);
	assert_int_equal(told, 2);
}

/* ---- changing and going ---- */

static void resize_task(void *arg)
{
	ob_block_resize(world.block, *(uint64_t *)arg);
}

static void resize(struct ram_world *w, uint64_t block_count)
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(w->ob, 0), "resize", resize_task, &block_count, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(OB_NS_PER_S)), 0);
}

static void test_resize_reaches_open_channels(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_limits limits;
	struct ram_io io;

	ram_world_open(w, 1, NULL);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ram_io_init(&io, w, OB_BLOCK_READ, 100, 2, w->window->base);
	resize(w, 101);
	ob_block_limits(w->block, &limits);
	assert_int_equal(limits.block_count, 101);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -ERANGE);
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 100, 1, w->window->base, 0), 0);
	resize(w, UINT64_MAX);
	assert_non_null(strstr(w->log, "impossible"));
	assert_int_equal(ob_block_submit(w->channel, &io.request), -ERANGE);
	resize(w, 1);
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 0, 1, w->window->base, 0), 0);
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 8, w->window->base);
	assert_int_equal(ob_block_submit(w->channel, &io.request), -ERANGE);
	resize(w, 8192);
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 8190, 2, w->window->base, 0), 0);
	ram_world_close(w);
}

static void test_stats_keep_closed_channels(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_stats stats;

	ram_world_open(w, 1, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
		assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 0, 2, w->plain, 0), 0);
		ob_block_channel_close(w->channel);
		w->channel = NULL;
		ob_block_stats(w->block, &stats);
		assert_int_equal(stats.ops[OB_BLOCK_READ], i);
		assert_int_equal(stats.bounced_bytes, i * 1024);
	}
	ram_world_close(w);
}

static void test_held_objects_outlive_machine_and_context(void **state)
{
	struct ram_world *w = &world;
	struct ob_block *block;
	struct ob_block_channel *channel, *other;
	struct ob_block_limits limits;
	struct ob_block_stats stats;
	struct ob_window *window;
	struct ram_io io;

	ram_world_open(w, 1, NULL);
	block = ob_block_get(w->block);
	window = ob_window_get(w->window);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	channel = w->channel;
	w->channel = NULL;
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 1, window->base);
	ram_world_close(w);
	/* The context is gone. */
	assert_false(ob_block_online(block));
	assert_string_equal(ob_block_name(block), "ram0");
	ob_block_limits(block, &limits);
	assert_int_equal(limits.block_bytes, 512);
	ob_block_stats(block, &stats);
	assert_int_equal(ob_block_grant(block, window), -ENODEV);
	assert_int_equal(ob_block_channel_open(block, NULL, &other), -ENODEV);
	assert_int_equal(ob_block_submit(channel, &io.request), -ENODEV);
	assert_int_equal(ob_block_do(channel, &io.request, UINT64_MAX), -ENODEV);
	assert_int_equal(ob_block_poll(channel, 64), 0);
	assert_int_equal(ob_block_cancel(channel, &io.request), -ENOENT);
	ob_block_kick(channel);
	ob_block_channel_close(channel);
	ob_window_put(window);
	ob_block_put(block);
}

struct away {
	struct ob_work work;
	bool there, back; /* __atomic */
};

/* A CPU that does not turn. */
static void stay_away(struct ob_work *work)
{
	struct away *away = container_of(work, struct away, work);

	__atomic_store_n(&away->there, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&away->back, __ATOMIC_ACQUIRE))
		usleep(100);
}

static void test_watch_of_the_size_tells_of_each_change(void **state)
{
	struct ram_world *w = &world;
	struct ob_work first;
	struct ob_cpu *cpu;

	ob_work_init(&first, watch_told);
	ram_world_open(w, 1, NULL);
	cpu = ob_cpu_get(w->ob, 0);
	told = 0;
	ob_block_watch_size(w->block, cpu, &first);
	for (unsigned i = 1; i <= 3; i++) {
		resize(w, 100 + i);
		while (ob_cpu_turn(cpu, 0) != 0)
			;
		assert_int_equal(told, i);
	}
	resize(w, UINT64_MAX); /* not taken */
	ob_block_watch_size(w->block, NULL, NULL);
	resize(w, 8192);
	while (ob_cpu_turn(cpu, 0) != 0)
		;
	assert_int_equal(told, 3);
	ram_world_close(w);
}

static void test_resize_does_not_give_up_a_cpu_that_is_away(void **state)
{
	struct ram_world *w = &world;
	struct ob_block_channel_config config = {0};
	struct away away = {0};
	uint64_t start_ns;

	ram_world_open(w, 2, NULL);
	config.cpu = ob_cpu_get(w->ob, 1);
	assert_int_equal(ob_cpu_start(config.cpu, -1), 0);
	assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), 0);
	ob_work_init(&away.work, stay_away);
	ob_cpu_post(config.cpu, &away.work);
	while (!__atomic_load_n(&away.there, __ATOMIC_ACQUIRE))
		usleep(100);
	start_ns = ob_now_ns();
	resize(w, 100);
	assert_true(ob_now_ns() - start_ns < OB_NS_PER_S);
	__atomic_store_n(&away.back, true, __ATOMIC_RELEASE);
	assert_int_equal(ob_block_read(w->channel, 99, 1, w->plain, NULL, ob_deadline(OB_NS_PER_S)), 0);
	assert_int_equal(ob_block_read(w->channel, 100, 1, w->plain, NULL, ob_deadline(OB_NS_PER_S)), -ERANGE);
	assert_false(block_channel(w->channel)->cpu_silent);
	assert_false(block_channel(w->channel)->leaked);
	assert_null(strstr(w->log, "does not answer"));
	ram_world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish_nonsense_is_refused),
		cmocka_unit_test(test_publish_hints_are_mended),
		cmocka_unit_test(test_publish_strings_are_trimmed_and_printable),
		cmocka_unit_test(test_publish_same_name_exists),
		cmocka_unit_test(test_next_goes_on_past_removed_blocks),
		cmocka_unit_test(test_watch_tells_of_the_end_once),
		cmocka_unit_test(test_resize_reaches_open_channels),
		cmocka_unit_test(test_watch_of_the_size_tells_of_each_change),
		cmocka_unit_test(test_resize_does_not_give_up_a_cpu_that_is_away),
		cmocka_unit_test(test_stats_keep_closed_channels),
		cmocka_unit_test(test_held_objects_outlive_machine_and_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
