/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets over VFIO: of the controller, and of the function, for which the kernel is asked through configuration space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "tests/guest/guest.h"

#define BLOCKS 8u

static struct ob *ob;
static struct ob_machine *machine;
static struct ob_block *block;
static struct ob_block_channel *channel;

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void open_channel(void)
{
	struct ob_block_channel_config config = {.poll.mode = OB_COMPLETION_INTERRUPT};

	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	assert_int_equal(ob_block_channel_open(block, &config, &channel), 0);
	assert_int_equal(ob_block_channel_mode(channel), OB_COMPLETION_INTERRUPT);
}

static void close_channel(void)
{
	ob_block_channel_close(channel);
	ob_block_put(block);
	channel = NULL;
	block = NULL;
}

static int set_up(void **state)
{
	struct ob_config config = {.log = print_log, .log_level = OB_LOG_WARN};

	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_machine_open(ob, getenv("OUTBOARD_MACHINE"), NULL, &machine), 0);
	return 0;
}

static int tear_down(void **state)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	return 0;
}

static void fill(uint8_t *data, size_t len_bytes, unsigned seed)
{
	for (size_t i = 0; i < len_bytes; i++)
		data[i] = (uint8_t)(i * 7 + seed);
}

static void write_blocks(unsigned seed)
{
	uint8_t data[BLOCKS * 512];

	fill(data, sizeof(data), seed);
	assert_int_equal(ob_block_write(channel, 40, BLOCKS, data, NULL, 0, ob_deadline(10 * OB_NS_PER_S)), 0);
}

static void check_blocks(unsigned seed)
{
	uint8_t data[BLOCKS * 512], want[BLOCKS * 512];

	fill(want, sizeof(want), seed);
	assert_int_equal(ob_block_read(channel, 40, BLOCKS, data, NULL, ob_deadline(10 * OB_NS_PER_S)), 0);
	assert_memory_equal(data, want, sizeof(want));
}

static void test_controller_reset_keeps_interrupts_and_data(void **state)
{
	open_channel();
	for (unsigned i = 0; i < 4; i++) {
		write_blocks(i);
		assert_int_equal(ob_nvme_reset(block, ob_deadline(10 * OB_NS_PER_S)), 0);
		check_blocks(i);
	}
	close_channel();
}

static void test_function_reset_keeps_the_function_usable(void **state)
{
	struct ob_device *dev;

	open_channel();
	write_blocks(99);
	dev = ob_device_get(ob_block_device(block));
	close_channel();
	assert_int_equal(ob_device_unbind(dev), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(guest_reset(ob, dev), 0);
		assert_int_equal(ob_device_bind(dev), 0);
		open_channel();
		check_blocks(99);
		close_channel();
		assert_int_equal(ob_device_unbind(dev), 0);
	}
	ob_device_put(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_controller_reset_keeps_interrupts_and_data, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_function_reset_keeps_the_function_usable, set_up, tear_down),
	};

	if (getenv("OUTBOARD_MACHINE") == NULL)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
