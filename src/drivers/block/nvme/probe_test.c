/* SPDX-License-Identifier: BSD-2-Clause */
/* Failures during probe and channel open, each in turn, on the model machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/nvme_probe.h"

static void test_probe_each_call_failing_leaves_nothing(void **state)
{
	nvme_probe_fail_each("model:");
	nvme_probe_fail_each("model:?nvme=8M&shadow=1");
}

static void test_channel_open_each_call_failing_leaves_nothing(void **state)
{
	nvme_channel_fail_each("model:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_each_call_failing_leaves_nothing),
		cmocka_unit_test(test_channel_open_each_call_failing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
