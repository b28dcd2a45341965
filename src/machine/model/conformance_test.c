/* SPDX-License-Identifier: BSD-2-Clause */
/* The block conformance suite with the NVMe driver on modelled controllers of many kinds, in every completion mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "tests/conformance/block.h"

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void conform(const char *uri, unsigned channels, enum ob_completion_mode mode)
{
	const struct ob_config context = {.log = print_log, .log_level = OB_LOG_WARN, .cpu_count = channels};
	const struct conform_config config = {
		.channels = channels, .mode = mode, .seed = 20, .requests = 1000, .quiet = true};
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob *ob;

	print_message("%s, %u channels, mode %d\n", uri, channels, (int)mode);
	assert_int_equal(ob_create(&context, &ob), 0);
	assert_int_equal(ob_machine_open(ob, uri, NULL, &machine), 0);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	assert_int_equal(conform_block(ob, block, &config), 0);
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
}

static void test_driver_on_default_model_conforms_in_every_mode(void **state)
{
	for (unsigned channels = 1; channels <= 4; channels *= 2)
		for (unsigned mode = OB_COMPLETION_INTERRUPT; mode <= OB_COMPLETION_HYBRID; mode++)
			conform("model:", channels, (enum ob_completion_mode)mode);
}

static void test_driver_on_models_of_many_kinds_conforms(void **state)
{
	static const char *const uris[] = {
		"model:?block=4096",        "model:?block=4096&port&threaded",
		"model:?threaded",          "model:?threaded&latency=5us",
		"model:?latency=2us",       "model:?sgl=0&shadow=0",
		"model:?shadow=0&stride=2", "model:?mdts=1&entries=16",
		"model:?cache=0",           "model:?nvme=8M&lossy",
		"model:?queues=2&msix=3",   "model:?ready=20ms",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(uris); i++)
		conform(uris[i], 2, (enum ob_completion_mode)(i % 3));
}

static void test_driver_on_model_without_msix_conforms_when_polled(void **state)
{
	conform("model:?msix=0", 1, OB_COMPLETION_POLLED);
	conform("model:?msix=0&threaded", 2, OB_COMPLETION_POLLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_driver_on_default_model_conforms_in_every_mode),
		cmocka_unit_test(test_driver_on_models_of_many_kinds_conforms),
		cmocka_unit_test(test_driver_on_model_without_msix_conforms_when_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
