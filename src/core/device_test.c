/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: binding and its unwinding, waiting for registers, "get if online" against removal. On the machine of
 * tests/test_machine.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "core/context.h"
#include "core/machine_core.h"
#include "tests/sample_driver.h"
#include "tests/test_machine.h"

/* ---- bind and unbind ---- */

static void test_bind_unbind_by_hand_repeats(void **state)
{
	struct ob *ob = sample_start(2);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 1, 2);
	test_add("x", 0x4321, 1, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_int_equal(ob_device_state(dev), OB_DEVICE_FOUND);
	assert_false(ob_device_get_online(dev));
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(ob_device_bind(dev), 0);
		assert_int_equal(ob_device_bind(dev), 0);
		assert_int_equal(seen.probes, i);
		assert_true(ob_device_get_online(dev));
		ob_device_put_online(dev);
		assert_int_equal(ob_device_unbind(dev), 0);
		assert_int_equal(ob_device_unbind(dev), 0);
		assert_int_equal(seen.removes, i);
		assert_int_equal(ob_device_state(dev), OB_DEVICE_FOUND);
		assert_false(ob_device_get_online(dev));
	}
	ob_device_put(dev);
	dev = ob_device_find(machine, "x");
	assert_int_equal(ob_device_bind(dev), -ENOENT);
	ob_device_put(dev);
	assert_false(test_logged("leaked", NULL));
	ob_machine_close(machine);
	sample_finish(ob);
}

/* ---- when a device goes online ---- */

static struct {
	int result;
	bool was_online;
} early;

/* What a user would do who finds something that probe has just published. */
static int early_probe(struct ob_device *dev, const struct ob_match *match)
{
	early.was_online = ob_device_get_online(dev);
	if (early.was_online)
		ob_device_put_online(dev);
	return early.result;
}

static void early_remove(struct ob_device *dev)
{
}

static unsigned shutdowns;

static void early_shutdown(struct ob_device *dev)
{
	shutdowns++;
}

static void test_probe_runs_offline_so_nobody_uses_what_it_undoes(void **state)
{
	static const struct ob_match match[] = {OB_PCI_ID(0x7777, 1), OB_MATCH_LAST};
	static const struct ob_driver driver = {
		.name = "early", .match = match, .probe = early_probe, .remove = early_remove};
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	assert_int_equal(ob_driver_register(ob, &driver), 0);
	test_add("a", 0x7777, 1, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	dev = ob_device_find(machine, "a");
	early.result = -EIO;
	assert_int_equal(ob_device_bind(dev), -EIO);
	assert_false(early.was_online);
	assert_false(ob_device_get_online(dev));
	early.result = 0;
	assert_int_equal(ob_device_bind(dev), 0);
	assert_false(early.was_online);
	assert_true(ob_device_get_online(dev));
	ob_device_put_online(dev);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

static void bind_in_task(void *arg)
{
	struct ob_device *dev = arg;

	assert_int_equal(ob_device_bind(dev), 0);
	assert_int_equal(ob_device_unbind(dev), 0);
}

static void test_bind_from_tasks_of_any_cpu_runs_on_cpu_0(void **state)
{
	struct ob *ob = sample_start(2);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	dev = ob_device_find(machine, "a");
	test_in_task(ob, 0, bind_in_task, dev);
	test_in_task(ob, 1, bind_in_task, dev);
	assert_int_equal(seen.probes, 2);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

/* ---- failing probes ---- */

static bool dma_off_at_free;

static void dma_freed(void *arg, struct ob_device *dev, const struct ob_dma *dma)
{
	dma_off_at_free = !((struct test_device *)(void *)dev)->dma_enabled;
}

static void test_probe_that_fails_and_leaks_is_cleaned_up_and_named(void **state)
{
	struct ob *ob = sample_start(2);
	struct ob_hooks hooks = {.dma_freed = dma_freed};
	struct ob_machine *machine;
	struct ob_device *dev;

	test_setup.iommu = true;
	seen.probe_error = -EPROTO;
	seen.leak = true;
	ob_set_hooks(ob, &hooks);
	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_int_equal(ob_device_state(dev), OB_DEVICE_FAILED);
	assert_int_equal(ob_device_error(dev), -EPROTO);
	assert_null(ob_device_driver_name(dev));
	assert_true(test_logged("a: sample leaked DMA memory of 128 bytes", NULL));
	assert_true(test_logged("a: vector 1 (sample) was still requested", NULL));
	assert_true(dma_off_at_free);
	assert_int_equal(test_setup.dma_live, 0);
	assert_false(test_device_of(machine, "a")->vectors_held);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

struct nth {
	unsigned calls, fail_at;
	char call[32];
};

static bool fail_nth(void *arg, const char *call)
{
	struct nth *nth = arg;

	/* Calls come from two CPUs. */
	if (__atomic_add_fetch(&nth->calls, 1, __ATOMIC_SEQ_CST) != nth->fail_at)
		return false;
	snprintf(nth->call, sizeof(nth->call), "%s", call);
	return true;
}

static void test_probe_each_nth_call_failing_leaks_nothing(void **state)
{
	struct ob *ob = sample_start(2);
	struct nth nth = {0};
	struct ob_hooks hooks = {.arg = &nth, .fail = fail_nth};
	struct ob_machine *machine;
	struct ob_device *dev;
	unsigned n;
	int rc = -1;

	test_setup.iommu = true;
	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	dev = ob_device_find(machine, "a");
	for (n = 1; n < 100; n++) {
		nth = (struct nth){.fail_at = n};
		ob_set_hooks(ob, &hooks);
		rc = ob_device_bind(dev);
		ob_set_hooks(ob, NULL);
		if (nth.call[0] == '\0')
			break;
		assert_true(rc < 0);
		assert_int_equal(test_setup.dma_live, 0);
		assert_int_equal(test_setup.grants_live, 0);
		assert_false(test_device_of(machine, "a")->vectors_held);
		assert_false(test_device_of(machine, "a")->dma_enabled);
		assert_false(test_logged("leaked", NULL));
	}
	assert_int_equal(rc, 0);
	assert_true(n > 10);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

/* What takes a driver down may want for memory too: then it waits for it, or never begins. */
static void test_unbind_each_nth_call_failing_is_whole_or_not_begun(void **state)
{
	struct ob *ob = sample_start(2);
	struct nth nth = {0};
	struct ob_hooks hooks = {.arg = &nth, .fail = fail_nth};
	struct ob_machine *machine;
	struct ob_device *dev;
	unsigned n;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = &test_device_of(machine, "a")->dev;
	for (n = 1; n < 20; n++) {
		int rc;

		nth = (struct nth){.fail_at = n};
		ob_set_hooks(ob, &hooks);
		rc = ob_device_unbind(dev);
		ob_set_hooks(ob, NULL);
		if (nth.call[0] == '\0')
			break;
		if (rc != 0)
			assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
		else
			assert_int_equal(ob_device_bind(dev), 0);
		assert_false(test_logged("does not let go", NULL));
	}
	assert_in_range(n, 3, 19);
	ob_machine_close(machine);
	sample_finish(ob);
}

static void test_enable_that_fails_is_undone(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct test_device *td;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	td = test_device_of(machine, "a");
	td->enable_error = -EIO;
	assert_int_equal(ob_device_bind(&td->dev), -EIO);
	assert_int_equal(seen.probes, 0);
	assert_int_equal(td->disables, 1);
	assert_int_equal(td->dev.dma_index, -1);
	ob_machine_close(machine);
	sample_finish(ob);
}

/* ---- gone ---- */

static bool is_gone(void *arg)
{
	return ob_device_state(arg) == OB_DEVICE_GONE;
}

static void test_wait32_all_ones_confirmed_marks_gone(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct test_device *td;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, OB_MACHINE_NO_BIND, &machine), 0);
	td = test_device_of(machine, "a");
	td->absent = true;
	seen.wait_long = true;
	assert_int_equal(ob_device_bind(&td->dev), -ENODEV);
	assert_true(test_logged("a: gone", "all ones"));
	assert_true(test_wait_until(ob, is_gone, &td->dev, 1000));
	assert_int_equal(ob_device_bind(&td->dev), -ENODEV);
	ob_machine_close(machine);
	sample_finish(ob);
}

struct wait_case {
	struct test_device *td;
	struct ob_region region;
	uint32_t value;
	int rc;
};

static void wait_case_run(void *arg)
{
	struct wait_case *c = arg;

	assert_int_equal(ob_device_region(&c->td->dev, 0, &c->region), 0);
	/* All ones, but the device is there. */
	memset(c->td->regs, 0xff, 4);
	assert_int_equal(ob_mmio_wait32(&c->region, 0, 1, 0, ob_deadline(3 * OB_NS_PER_MS), &c->value), -ETIMEDOUT);
	assert_int_equal(c->value, UINT32_MAX);
	assert_int_equal(ob_mmio_wait32(&c->region, 0, 0xf0, 0xf0, ob_deadline(OB_NS_PER_S), NULL), 0);
	/* A deadline that is past already still has its look. */
	assert_int_equal(ob_mmio_wait32(&c->region, 4, 0xff, 0, 0, NULL), 0);
	/* It went without a word: noticed at the deadline. */
	c->td->absent = true;
	assert_int_equal(ob_mmio_wait32(&c->region, 4, 1, 1, ob_deadline(3 * OB_NS_PER_MS), NULL), -ENODEV);
}

static void test_wait32_ends_as_it_should(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct wait_case c = {0};

	test_add("a", 0x4321, 1, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	c.td = test_device_of(machine, "a");
	test_in_task(ob, 0, wait_case_run, &c);
	assert_true(device_is_gone(&c.td->dev));
	ob_machine_close(machine);
	sample_finish(ob);
}

static void test_mark_gone_removes_the_driver_once(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	ob_device_mark_gone(dev, "pulled");
	assert_false(ob_device_get_online(dev));
	ob_device_mark_gone(dev, "pulled again");
	assert_true(test_wait_until(ob, is_gone, dev, 1000));
	assert_int_equal(seen.removes, 1);
	assert_true(test_logged("a: gone: pulled", NULL));
	assert_false(test_logged("pulled again", NULL));
	assert_int_equal(ob_device_bind(dev), -ENODEV);
	ob_machine_close(machine);
	ob_device_put(dev);
	sample_finish(ob);
}

struct race {
	struct ob_device *dev;
	bool stop;
	unsigned used, refused;
	bool after_remove;
};

/* Uses the driver's data while it holds the device online, as a class object would. */
static void *race_user(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		if (!ob_device_get_online(race->dev)) {
			race->refused++;
			continue;
		}
		if (__atomic_load_n(&seen.removes, __ATOMIC_SEQ_CST) != 0)
			race->after_remove = true;
		race->used++;
		ob_device_put_online(race->dev);
	}
	return NULL;
}

static void *race_marker(void *arg)
{
	usleep(300);
	ob_device_mark_gone(arg, "race");
	return NULL;
}

static void test_get_online_against_mark_gone_never_sees_a_removed_driver(void **state)
{
	for (unsigned round = 0; round < 30; round++) {
		struct ob *ob = sample_start(1);
		struct race race[2] = {0};
		struct ob_machine *machine;
		pthread_t threads[3];

		test_add("a", 0x1234, 1, 2);
		assert_int_equal(test_open(ob, 0, &machine), 0);
		for (unsigned i = 0; i < 2; i++) {
			race[i].dev = &test_device_of(machine, "a")->dev;
			pthread_create(&threads[i], NULL, race_user, &race[i]);
		}
		pthread_create(&threads[2], NULL, race_marker, race[0].dev);
		assert_true(test_wait_until(ob, is_gone, race[0].dev, 5000));
		for (unsigned i = 0; i < 2; i++)
			__atomic_store_n(&race[i].stop, true, __ATOMIC_RELEASE);
		for (unsigned i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		assert_false(race[0].after_remove || race[1].after_remove);
		assert_int_equal(seen.removes, 1);
		ob_machine_close(machine);
		sample_finish(ob);
	}
}

static int unbind_soon(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_unbind(dev, deadline_ns);
}

static void test_unbind_waits_for_uses_and_gives_up_in_time(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;
	uint64_t before;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = &test_device_of(machine, "a")->dev;
	assert_true(ob_device_get_online(dev));
	before = ob_now_ns();
	assert_int_equal(machine_run_task(machine, dev, "unbind", unbind_soon, before + 20 * OB_NS_PER_MS), -ETIMEDOUT);
	assert_true(ob_now_ns() - before >= 20 * OB_NS_PER_MS);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	assert_true(ob_device_get_online(dev));
	ob_device_put_online(dev);
	ob_device_put_online(dev);
	assert_int_equal(ob_device_unbind(dev), 0);
	ob_machine_close(machine);
	sample_finish(ob);
}

static int shut_down_soon(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_shutdown(dev, deadline_ns);
}

static void test_shutdown_of_a_used_device_leaves_it_offline(void **state)
{
	static const struct ob_match match[] = {OB_PCI_ID(0x7777, 1), OB_MATCH_LAST};
	static const struct ob_driver driver = {.name = "early",
						.match = match,
						.probe = early_probe,
						.remove = early_remove,
						.shutdown = early_shutdown};
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	early.result = 0;
	shutdowns = 0;
	assert_int_equal(ob_driver_register(ob, &driver), 0);
	test_add("a", 0x7777, 1, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_true(ob_device_get_online(dev));
	assert_int_equal(machine_run_task(machine, dev, "shutdown", shut_down_soon, ob_deadline(10 * OB_NS_PER_MS)),
			 -ETIMEDOUT);
	assert_true(test_logged("a: still used (1 times), early stays bound, but offline", NULL));
	assert_false(ob_device_get_online(dev));
	/* Nor does a removal that has to be given up bring it back, nor is it shut down twice. */
	assert_int_equal(machine_run_task(machine, dev, "unbind", unbind_soon, ob_deadline(10 * OB_NS_PER_MS)),
			 -ETIMEDOUT);
	assert_false(ob_device_get_online(dev));
	ob_device_put_online(dev);
	assert_int_equal(ob_device_shutdown(dev), 0);
	assert_int_equal(shutdowns, 1);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_FOUND);
	assert_int_equal(ob_device_bind(dev), 0);
	assert_true(ob_device_get_online(dev));
	ob_device_put_online(dev);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

static bool is_released(void *arg)
{
	return __atomic_load_n(&test_setup.releases, __ATOMIC_ACQUIRE) == *(unsigned *)arg;
}

static void test_removal_that_was_asked_for_shuts_down_and_lets_go(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;
	unsigned want = 2;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	/* What no bus found, nobody has to be asked for. */
	test_machine_removal(machine, "b", MACHINE_REMOVAL_ASKED);
	assert_int_equal(test_setup.releases, 1);
	/* While it is used it stays, and whoever asked asks again. */
	machine->drain_ns = 20 * OB_NS_PER_MS;
	assert_true(ob_device_get_online(dev));
	test_machine_removal(machine, "a", MACHINE_REMOVAL_ASKED);
	test_machine_removal(machine, "a", MACHINE_REMOVAL_ASKED);
	assert_false(test_wait_until(ob, is_released, &want, 200));
	assert_true(test_logged("a: cannot leave", NULL));
	assert_int_equal(seen.removes, 0);
	ob_device_put_online(dev);
	test_machine_removal(machine, "a", MACHINE_REMOVAL_ASKED);
	assert_true(test_wait_until(ob, is_released, &want, 2000));
	assert_int_equal(seen.removes, 1);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_GONE);
	assert_false(ob_device_get_online(dev));
	/* Once it has left, nothing more comes of it. */
	test_machine_removal(machine, "a", MACHINE_REMOVAL_ASKED);
	test_machine_removal(machine, "a", MACHINE_REMOVAL_GONE);
	ob_cpu_turn(ob_cpu_get(ob, 0), 0);
	assert_int_equal(test_setup.releases, 2);
	ob_device_put(dev);
	ob_machine_close(machine);
	sample_finish(ob);
}

/* While the old one leaves, a scan finds the device anew. */
static int find_anew(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	int rc = ob_mutex_lock(&dev->lock, deadline_ns);

	assert_int_equal(rc, 0);
	device_leave(dev, "the test wants it");
	ob_task_sleep(ob_deadline(5 * OB_NS_PER_MS)); /* it waits for its turn now */
	ob_lock(&machine->ob->lock);
	list_del(&dev->link);
	ob_unlock(&machine->ob->lock);
	test_machine_of(machine)->devices[0] = NULL;
	for (const struct machine_bus *bus = machine->m->ops->buses(machine->m); bus->kind != MACHINE_BUS_END; bus++)
		rc = bus_types[0]->scan(machine, bus);
	ob_mutex_unlock(&dev->lock);
	return rc;
}

static void test_removal_of_one_that_was_found_anew_keeps_the_new_one(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *old, *anew;
	unsigned want = 1;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	old = ob_device_find(machine, "a");
	assert_int_equal(machine_run_task(machine, old, "anew", find_anew, ob_deadline(OB_NS_PER_S)), 0);
	assert_false(test_wait_until(ob, is_released, &want, 200));
	assert_int_equal(ob_device_state(old), OB_DEVICE_GONE);
	assert_int_equal(seen.removes, 1);
	anew = ob_device_find(machine, "a");
	assert_ptr_not_equal(anew, old);
	/* Asked itself, it leaves. */
	test_machine_removal(machine, "a", MACHINE_REMOVAL_ASKED);
	assert_true(test_wait_until(ob, is_released, &want, 2000));
	ob_device_put(anew);
	ob_device_put(old); /* ours, */
	ob_device_put(old); /* and the list's */
	ob_machine_close(machine);
	sample_finish(ob);
}

static void test_removal_of_what_is_gone_lets_go_after_the_driver(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	unsigned want = 1;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	test_machine_removal(machine, "a", MACHINE_REMOVAL_GONE);
	assert_int_equal(test_setup.releases, 0);
	assert_true(test_wait_until(ob, is_released, &want, 2000));
	assert_int_equal(seen.removes, 1);
	ob_machine_close(machine);
	sample_finish(ob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bind_unbind_by_hand_repeats),
		cmocka_unit_test(test_probe_runs_offline_so_nobody_uses_what_it_undoes),
		cmocka_unit_test(test_bind_from_tasks_of_any_cpu_runs_on_cpu_0),
		cmocka_unit_test(test_probe_that_fails_and_leaks_is_cleaned_up_and_named),
		cmocka_unit_test(test_probe_each_nth_call_failing_leaks_nothing),
		cmocka_unit_test(test_unbind_each_nth_call_failing_is_whole_or_not_begun),
		cmocka_unit_test(test_enable_that_fails_is_undone),
		cmocka_unit_test(test_wait32_all_ones_confirmed_marks_gone),
		cmocka_unit_test(test_wait32_ends_as_it_should),
		cmocka_unit_test(test_mark_gone_removes_the_driver_once),
		cmocka_unit_test(test_get_online_against_mark_gone_never_sees_a_removed_driver),
		cmocka_unit_test(test_unbind_waits_for_uses_and_gives_up_in_time),
		cmocka_unit_test(test_shutdown_of_a_used_device_leaves_it_offline),
		cmocka_unit_test(test_removal_that_was_asked_for_shuts_down_and_lets_go),
		cmocka_unit_test(test_removal_of_one_that_was_found_anew_keeps_the_new_one),
		cmocka_unit_test(test_removal_of_what_is_gone_lets_go_after_the_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
