/* SPDX-License-Identifier: BSD-2-Clause */
/* Controllers of many shapes on the model machine: each must pass the conformance suite of block devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "tests/conformance/block.h"

struct shape {
	const char *controller, *namespace;
	enum ob_completion_mode mode;
	unsigned channels;
};

static const struct shape shapes[] = {
	{"no-sgl; no-shadow-doorbells;", "", OB_COMPLETION_INTERRUPT, 2},
	{"no-sgl; mdts = <1>;", "block-size = <4096>;", OB_COMPLETION_POLLED, 1},
	{"mdts = <1>; queue-entries = <2>;", "", OB_COMPLETION_INTERRUPT, 1},
	{"queue-entries = <5>; queue-pairs = <1>; no-shadow-doorbells;", "", OB_COMPLETION_HYBRID, 1},
	{"doorbell-stride = <2>;", "", OB_COMPLETION_POLLED, 2},
	{"no-write-cache; no-compare; no-write-zeroes; no-dataset-management;", "", OB_COMPLETION_INTERRUPT, 1},
	{"msix-vectors = <1>;", "", OB_COMPLETION_INTERRUPT, 2},
	{"msix-vectors = <0>;", "", OB_COMPLETION_INTERRUPT, 1},
	{"threaded;", "block-size = <4096>;", OB_COMPLETION_INTERRUPT, 2},
	{"", "read-only;", OB_COMPLETION_INTERRUPT, 1},
	{"cmb-size = <0x40000>;", "", OB_COMPLETION_INTERRUPT, 2},
	{"cmb-size = <0x100000>; legacy-cmb; no-shadow-doorbells;", "", OB_COMPLETION_POLLED, 1},
};

static void write_tree(int fd, const struct shape *s)
{
	char text[1024];
	int len = snprintf(text, sizeof(text),
			   "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <0>; pci { compatible = "
			   "\"outboard,pci-host\"; #address-cells = <1>; #size-cells = <0>; nvme@1 { compatible = "
			   "\"outboard,nvme\"; reg = <1>; #address-cells = <1>; #size-cells = <0>; %s ns@1 { "
			   "compatible = \"outboard,nvme-namespace\"; reg = <1>; size = <0x4000000>; %s }; }; }; };\n",
			   s->controller, s->namespace);

	assert_true(len > 0 && (size_t)len < sizeof(text));
	assert_int_equal(write(fd, text, (size_t)len), len);
}

static void test_shape_passes_the_block_suite(void **state)
{
	const struct shape *s = *state;
	struct conform_config config = {
		.channels = s->channels, .mode = s->mode, .seed = 11, .requests = 1000, .quiet = true};
	char path[] = "/tmp/outboard-shape-XXXXXX.dts", uri[64];
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob *ob;
	int fd = mkstemps(path, 4);

	if (access("/usr/bin/dtc", X_OK) != 0)
		skip(); /* no device tree compiler */
	assert_true(fd >= 0);
	write_tree(fd, s);
	close(fd);
	snprintf(uri, sizeof(uri), "model:%s", path);
	assert_int_equal(ob_create(NULL, &ob), 0);
	assert_int_equal(ob_machine_open(ob, uri, NULL, &machine), 0);
	unlink(path);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	/* Its submission queues, then. */
	if (strstr(s->controller, "cmb-size") != NULL)
		assert_int_equal(ob_nvme_use_memory_buffer(block, true), 0);
	if (conform_block(ob, block, &config) != 0)
		fail_msg("{%s} {%s}", s->controller, s->namespace);
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
}

int main(void)
{
	struct CMUnitTest tests[sizeof(shapes) / sizeof(shapes[0])];

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		tests[i] = (struct CMUnitTest){shapes[i].controller[0] != '\0' ? shapes[i].controller : "plain",
					       test_shape_passes_the_block_suite, NULL, NULL, (void *)&shapes[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
