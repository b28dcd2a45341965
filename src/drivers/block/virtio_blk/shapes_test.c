/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio disks of many shapes on the model machine: each must pass the conformance suite of block devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <outboard/outboard.h>

#include "base/bits.h"
#include "tests/conformance/block.h"

struct shape {
	const char *keys;
	enum ob_completion_mode mode;
	unsigned channels;
};

static const struct shape shapes[] = {
	{"serial=PLAIN", OB_COMPLETION_POLLED, 1},
	{"queues=4", OB_COMPLETION_INTERRUPT, 4},
	{"queues=4", OB_COMPLETION_HYBRID, 2},
	{"packed", OB_COMPLETION_POLLED, 2},
	{"packed", OB_COMPLETION_INTERRUPT, 2},
	{"packed&threaded", OB_COMPLETION_HYBRID, 2},
	{"indirect=0&event-index=0", OB_COMPLETION_INTERRUPT, 2},
	{"packed&indirect=0&event-index=0", OB_COMPLETION_INTERRUPT, 2},
	{"in-order", OB_COMPLETION_INTERRUPT, 2},
	{"packed&in-order&indirect=0", OB_COMPLETION_POLLED, 2},
	{"notification-data", OB_COMPLETION_INTERRUPT, 2},
	{"packed&notification-data&notify-config-data", OB_COMPLETION_POLLED, 2},
	{"queue-reset&threaded", OB_COMPLETION_INTERRUPT, 2},
	{"entries=8", OB_COMPLETION_INTERRUPT, 2},
	{"entries=4&indirect=0", OB_COMPLETION_HYBRID, 1},
	{"packed&entries=7&indirect=0", OB_COMPLETION_INTERRUPT, 1},
	{"segments=1", OB_COMPLETION_INTERRUPT, 1},
	{"segments=254", OB_COMPLETION_POLLED, 1},
	{"msix=0", OB_COMPLETION_INTERRUPT, 1},
	{"msix=1&threaded", OB_COMPLETION_INTERRUPT, 1},
	{"msix=2", OB_COMPLETION_INTERRUPT, 2},
	{"block=4096&latency=3us", OB_COMPLETION_INTERRUPT, 2},
	{"cache=0", OB_COMPLETION_POLLED, 1},
	{"lossy", OB_COMPLETION_INTERRUPT, 1},
	{"readonly", OB_COMPLETION_INTERRUPT, 1},
};

static void test_shape_passes_the_block_suite(void **state)
{
	const struct shape *s = *state;
	const struct conform_config config = {
		.channels = s->channels, .mode = s->mode, .seed = 11, .requests = 1000, .quiet = true};
	const struct ob_config context = {.cpu_count = s->channels};
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob *ob;
	char uri[128];

	snprintf(uri, sizeof(uri), "model:?virtio-blk=16M&%s", s->keys);
	assert_int_equal(ob_create(&context, &ob), 0);
	assert_int_equal(ob_machine_open(ob, uri, NULL, &machine), 0);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	if (conform_block(ob, block, &config) != 0)
		fail_msg("%s", uri);
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(shapes)];

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		tests[i] = (struct CMUnitTest){shapes[i].keys, test_shape_passes_the_block_suite, NULL, NULL,
					       (void *)(uintptr_t)&shapes[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
