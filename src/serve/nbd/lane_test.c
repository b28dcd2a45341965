/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes and the disk on them, over a disk in memory that hangs or fails: slots come back, and nobody waits for ever. */
#include "serve/nbd/lane.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/nbd/disk.h"
#include "tests/ram_world.h"

static struct ram_world world;
static struct disk disk;
static struct lane lane;

static int set_up(void **state)
{
	struct ram_block_config config = ram_world_disk();
	struct lane_config wish = {.depth = 1, .mode = OB_COMPLETION_POLLED};

	config.bad_lba = 7;
	config.bad_status = -ETIMEDOUT;
	ram_world_open(&world, 1, &config);
	wish.cpu = ob_cpu_get(world.ob, 0);
	assert_int_equal(ob_cpu_start(wish.cpu, -1), 0);
	assert_int_equal(lane_open(&lane, world.block, &wish), 0);
	assert_int_equal(lane.slot_count, 1);
	lane.wait_ns = 100 * OB_NS_PER_MS;
	disk = (struct disk){.ob = world.ob, .block = world.block, .lanes = &lane, .lane_count = 1};
	ob_block_limits(world.block, &disk.limits);
	range_table_init(&disk.ranges);
	return 0;
}

static int tear_down(void **state)
{
	lane_close(&lane);
	range_table_fini(&disk.ranges);
	ram_world_close(&world);
	return 0;
}

static void test_status_of_a_driver_that_timed_out_returns_the_slot(void **state)
{
	uint8_t data[1024];

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(disk_read(&disk, &lane, data, 512, 7 * 512), -ETIMEDOUT);
		assert_int_equal(disk_write(&disk, &lane, data, 100, 7 * 512, false), -ETIMEDOUT);
		assert_int_equal(disk_write(&disk, &lane, data, 512, 7 * 512, false), -ETIMEDOUT);
		assert_int_equal(disk_zero(&disk, &lane, 512, 7 * 512, false, false), -ETIMEDOUT);
	}
	assert_int_equal(disk_read(&disk, &lane, data, 512, 0), 0);
}

static void test_request_that_does_not_end_keeps_nobody_for_ever(void **state)
{
	uint64_t start_ns = ob_now_ns();
	uint8_t data[1024];
	int error = -1;

	__atomic_store_n(&world.ram->config.hang, true, __ATOMIC_RELEASE);
	assert_int_equal(disk_read(&disk, &lane, data, 512, 0), -ETIMEDOUT);
	/* The only slot is still the device's. */
	assert_int_equal(disk_read(&disk, &lane, data, 512, 0), -ETIMEDOUT);
	assert_int_equal(disk_write(&disk, &lane, data, 100, 0, false), -ETIMEDOUT);
	assert_int_equal(disk_flush(&disk, &lane), -ETIMEDOUT);
	assert_true(ob_now_ns() - start_ns < 5 * OB_NS_PER_S);
	/* It comes back by itself. */
	__atomic_store_n(&world.ram->config.hang, false, __ATOMIC_RELEASE);
	for (unsigned i = 0; error && i < 20; i++)
		error = disk_read(&disk, &lane, data, 512, 0);
	assert_int_equal(error, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(disk_write(&disk, &lane, data, 700, i, false), 0);
}

static void test_close_with_an_abandoned_request_is_clean(void **state)
{
	uint8_t data[512];

	__atomic_store_n(&world.ram->config.hang, true, __ATOMIC_RELEASE);
	assert_int_equal(disk_read(&disk, &lane, data, 512, 0), -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status_of_a_driver_that_timed_out_returns_the_slot, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_request_that_does_not_end_keeps_nobody_for_ever, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_close_with_an_abandoned_request_is_clean, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
