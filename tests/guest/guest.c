/* SPDX-License-Identifier: BSD-2-Clause */
/* See guest.h. */
#include "tests/guest/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/bed.h"

static struct bed_log kept;

void guest_log_keep(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
	bed_log_append(&kept, level, message);
}

void guest_log_clear(void)
{
	bed_log_close(&kept);
	bed_log_open(&kept);
}

bool guest_logged(const char *text)
{
	return bed_log_count(&kept, text) > 0;
}

struct reset_call {
	struct ob_device *dev;
	int result;
};

static void reset_task(void *arg)
{
	struct reset_call *call = arg;

	call->result = ob_device_reset(call->dev);
}

int guest_reset(struct ob *ob, struct ob_device *dev)
{
	struct reset_call call = {.dev = dev, .result = 1};
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "reset", reset_task, &call, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(60 * OB_NS_PER_S)), 0);
	return call.result;
}
