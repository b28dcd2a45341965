/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See probe_each.h. What is looked at: the failure comes back as an errno or is survived; no coherent memory is left;
 * memory that the device was told of is given back only when it is stopped, or was told that it is over; the next
 * try without failures works. What leaks in other ways, ASan tells.
 */
#include "tests/probe_each.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/outboard.h>

#include "core/hooks.h"

#define CALLS_MAX 500u

struct failing {
	const struct probe_subject *subject;
	unsigned at;            /* this call fails; 0: none */
	unsigned calls;         /* so far */
	char call[48];          /* that failed */
	unsigned leaks;         /* that core found, and said */
	unsigned checked, loud; /* frees of what the device was told of; those while it worked */
};

static bool call_fails(void *arg, const char *call)
{
	struct failing *f = arg;

	if (++f->calls != f->at)
		return false;
	strncpy(f->call, call, sizeof(f->call) - 1);
	return true;
}

static void dma_freed(void *arg, struct ob_device *dev, const struct ob_dma *dma)
{
	struct failing *f = arg;

	/* Without a driver it is core that frees what the driver left, and says so. */
	if (ob_device_driver_data(dev) == NULL || !f->subject->has(dev, dma))
		return;
	f->checked++;
	f->loud += f->subject->works(dev);
}

static void set_hooks(struct ob *ob, struct failing *f, unsigned at)
{
	struct ob_hooks hooks = {.arg = f, .fail = call_fails, .dma_freed = dma_freed};

	*f = (struct failing){.subject = f->subject, .at = at, .leaks = f->leaks};
	ob_set_hooks(ob, &hooks);
}

static struct ob_device *find_device(struct ob_machine *machine, const struct probe_subject *subject)
{
	struct ob_device *dev = NULL;

	while ((dev = ob_device_next(machine, dev)) != NULL)
		if (ob_device_bind(dev) == 0) {
			if (strcmp(ob_device_driver_name(dev), subject->driver) == 0)
				break;
		}
	assert_non_null(dev);
	assert_int_equal(ob_device_unbind(dev), 0);
	return dev;
}

static void see_leaks(void *arg, enum ob_log_level level, const char *message)
{
	unsigned *leaks = arg;

	if (strstr(message, "leaked") != NULL)
		__atomic_fetch_add(leaks, 1, __ATOMIC_RELAXED);
}

static void open_machine(const char *uri, const struct probe_subject *subject, struct failing *f, struct ob **ob,
			 struct ob_machine **machine)
{
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	struct ob_config config = {.log = see_leaks, .log_arg = &f->leaks};

	memset(f, 0, sizeof(*f));
	f->subject = subject;
	assert_int_equal(ob_create(&config, ob), 0);
	assert_int_equal(ob_machine_open(*ob, uri, &options, machine), 0);
}

static void read_one(struct ob *ob)
{
	struct ob_block *block = ob_block_find(ob, NULL);
	struct ob_block_channel *channel;
	uint8_t buffer[4096];

	assert_non_null(block);
	assert_int_equal(ob_block_channel_open(block, NULL, &channel), 0);
	assert_int_equal(ob_block_read(channel, 0, 1, buffer, NULL, ob_deadline(10 * OB_NS_PER_S)), 0);
	ob_block_channel_close(channel);
	ob_block_put(block);
}

static void expect_nothing_left(const struct ob_device *dev, const struct failing *f, unsigned at)
{
	struct ob_dma_stats stats;

	ob_dma_stats(dev, &stats);
	if (stats.coherent_bytes != 0 || f->loud != 0 || f->leaks != 0)
		fail_msg("call %u (%s) failing leaves %llu bytes, %u leaks, %u frees while it works", at, f->call,
			 (unsigned long long)stats.coherent_bytes, f->leaks, f->loud);
}

void probe_fail_each(const char *uri, const struct probe_subject *subject)
{
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *dev;
	static struct failing f;
	unsigned at, failed = 0, checked = 0;

	open_machine(uri, subject, &f, &ob, &machine);
	dev = find_device(machine, subject);
	for (at = 1; at < CALLS_MAX; at++) {
		int ret;

		set_hooks(ob, &f, at);
		ret = ob_device_bind(dev);
		failed += ret != 0;
		if (ret == 0) {
			bool done = f.calls < at;

			ob_set_hooks(ob, NULL);
			read_one(ob);
			set_hooks(ob, &f, 0);
			assert_int_equal(ob_device_unbind(dev), 0);
			expect_nothing_left(dev, &f, at);
			if (done)
				break;
			continue;
		}
		checked += f.checked;
		expect_nothing_left(dev, &f, at);
		assert_null(ob_device_driver_name(dev));
		assert_null(ob_block_find(ob, NULL));
	}
	assert_true(at < CALLS_MAX);
	assert_true(failed >= 10 && checked > failed / 2);
	ob_set_hooks(ob, NULL);
	assert_int_equal(ob_device_bind(dev), 0);
	read_one(ob);
	ob_device_put(dev);
	ob_machine_close(machine);
	ob_destroy(ob);
}

void channel_fail_each(const char *uri, const struct probe_subject *subject)
{
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob_block *block;
	struct ob_dma_stats before, after;
	static struct failing f;
	unsigned at, failed = 0;

	open_machine(uri, subject, &f, &ob, &machine);
	dev = find_device(machine, subject);
	assert_int_equal(ob_device_bind(dev), 0);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	ob_dma_stats(dev, &before);
	for (at = 1; at < CALLS_MAX; at++) {
		struct ob_block_channel *channel = NULL;
		int ret;

		set_hooks(ob, &f, at);
		ret = ob_block_channel_open(block, NULL, &channel);
		ob_set_hooks(ob, NULL);
		if (ret == 0)
			ob_block_channel_close(channel);
		failed += ret != 0;
		if (f.loud != 0)
			fail_msg("call %u (%s) failing frees memory that the device has", at, f.call);
		ob_dma_stats(dev, &after);
		if (after.coherent_bytes != before.coherent_bytes)
			fail_msg("call %u (%s) failing leaves %llu bytes", at, f.call,
				 (unsigned long long)(after.coherent_bytes - before.coherent_bytes));
		assert_true(subject->is_clean(dev));
		read_one(ob);
		if (f.calls < at)
			break;
	}
	assert_true(at < CALLS_MAX);
	assert_true(failed >= subject->channel_failures_min);
	ob_block_put(block);
	ob_device_put(dev);
	ob_machine_close(machine);
	ob_destroy(ob);
}
