/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conformance suite against the RAM disk, over random limits and tempers: late, out of order, ending inside submit,
 * out of room for no reason. Whatever the device is like, the class must behave the same.
 *
 * OUTBOARD_SEED=N runs one world, OUTBOARD_RUNS=N that many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/conformance/block.h"
#include "tests/ram_block.h"
#include "tests/ram_machine.h"

#define RUNS       12
#define DISK_BYTES (3u << 20)

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void run_world(uint64_t seed)
{
	struct random random = {.state = seed};
	struct ob_config context = {.log = print_log, .log_level = OB_LOG_WARN};
	struct conform_config config = {.seed = seed, .requests = 2000, .quiet = getenv("OUTBOARD_VERBOSE") == NULL};
	struct ram_block_config disk = {.seed = seed, .bad_lba = UINT64_MAX};
	struct ob_machine *machine;
	struct ram_block *ram;
	struct ob *ob;
	int ret;

	disk.limits = ram_block_random_limits(&random, DISK_BYTES);
	disk.depth_max = random_percent(&random, 30) ? (unsigned)random_size(&random, 64) : 0;
	disk.late_polls_max = random_percent(&random, 50) ? (unsigned)random_below(&random, 8) : 0;
	disk.inline_percent = random_percent(&random, 40) ? (unsigned)random_below(&random, 101) : 0;
	disk.full_percent = random_percent(&random, 30) ? (unsigned)random_below(&random, 60) : 0;
	disk.reorder = random_percent(&random, 70);
	config.channels = 1u << random_below(&random, 3);
	config.mode = (enum ob_completion_mode)random_below(&random, 3);
	context.cpu_count = 1 + (unsigned)random_below(&random, config.channels);

	assert_int_equal(ob_create(&context, &ob), 0);
	assert_int_equal(ram_machine_open(ob, &machine), 0);
	assert_int_equal(ram_block_create(machine, &disk, &ram), 0);
	ret = conform_block(ob, ram->block, &config);
	if (ram->violations != 0)
		fprintf(stderr, "the class broke its word %u times: %s\n", ram->violations, ram->violation);
	if (ret != 0 || ram->violations != 0)
		fprintf(stderr, "OUTBOARD_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(ram->violations, 0);
	assert_int_equal(ret, 0);
	ram_block_destroy(ram);
	ob_machine_close(machine);
	ob_destroy(ob);
}

static void test_conformance_random_devices_passed(void **state)
{
	const char *seed = getenv("OUTBOARD_SEED"), *runs = getenv("OUTBOARD_RUNS");
	unsigned count = runs != NULL ? (unsigned)strtoul(runs, NULL, 0) : RUNS;

	if (seed != NULL) {
		run_world(strtoull(seed, NULL, 0));
		return;
	}
	for (unsigned i = 1; i <= count; i++)
		run_world(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance_random_devices_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
