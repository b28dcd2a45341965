/* SPDX-License-Identifier: BSD-2-Clause */
/* Every fallible call of probe, and of opening a channel, failing in turn, on modelled disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/vblk_probe.h"

static void test_probe_each_call_failing_leaves_nothing(void **state)
{
	vblk_probe_fail_each("model:?virtio-blk=8M&queues=2");
	vblk_probe_fail_each("model:?virtio-blk=8M&queues=1&packed&msix=0");
}

static void test_channel_each_call_failing_leaves_nothing(void **state)
{
	vblk_channel_fail_each("model:?virtio-blk=8M&queues=2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_each_call_failing_leaves_nothing),
		cmocka_unit_test(test_channel_each_call_failing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
