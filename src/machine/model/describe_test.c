/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions of model machines, short form and device tree: what they make, and the reason when they are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "core/device.h"
#include "machine/model/model_machine.h"

struct bed {
	struct ob *ob;
	struct ob_machine *om;
	char log[4096]; /* what was said, one line each */
};

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	struct bed *b = arg;
	size_t len = strlen(b->log);

	snprintf(b->log + len, sizeof(b->log) - len, "%s\n", message);
}

static int bed_open(struct bed *b, const char *uri)
{
	const struct ob_config config = {.log = keep_log, .log_arg = b, .log_level = OB_LOG_INFO};
	const struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	int ret;

	memset(b, 0, sizeof(*b));
	assert_int_equal(ob_create(&config, &b->ob), 0);
	ret = ob_machine_open(b->ob, uri, &options, &b->om);
	if (ret != 0)
		ob_destroy(b->ob);
	return ret;
}

static void bed_close(struct bed *b)
{
	ob_machine_close(b->om);
	ob_destroy(b->ob);
}

/* It is refused, and the log says why. */
static void refused(const char *uri, const char *why)
{
	struct bed b;

	if (bed_open(&b, uri) == 0)
		fail_msg("%s was taken", uri);
	if (strstr(b.log, why) == NULL)
		fail_msg("%s: \"%s\" is not in: %s", uri, why, b.log);
}

static struct model_device *device(struct bed *b, const char *name)
{
	return model_device_find(model_of(device_machine(ob_device_next(b->om, NULL))), name);
}

/* ---- memory ---- */

static void test_memory_is_zero_or_filled_with_what_does_not_repeat(void **state)
{
	struct backing *backing;
	struct bed b;

	assert_int_equal(bed_open(&b, "model:?nvme=1M&ns=1M&filled"), 0);
	backing = nvme_model_namespace_backing(device(&b, "nvme0")->nvme, 1);
	for (size_t i = 0; i < OB_MIB; i++)
		assert_int_equal(backing->memory[i], 0);
	backing = nvme_model_namespace_backing(device(&b, "nvme0")->nvme, 2);
	for (size_t page = 0; page < OB_MIB; page += 4096) {
		uint64_t word, last;

		memcpy(&word, backing->memory + page, sizeof(word));
		memcpy(&last, backing->memory + page + 4088, sizeof(last));
		assert_true(word != 0 && last != 0 && word != last);
		for (size_t other = 0; other < page; other += 4096)
			assert_memory_not_equal(backing->memory + page, backing->memory + other, 8);
	}
	bed_close(&b);
	refused("model:?nvme=null:1M&filled", "only memory can be filled");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zero_or_filled_with_what_does_not_repeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
