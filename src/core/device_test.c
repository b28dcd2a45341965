/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines and devices: binding and its unwinding, "get if online" against removal, references that outlive the
 * machine, death under load. On the machine of tests/test_machine.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "base/bits.h"
#include "core/context.h"
#include "core/cpu.h"
#include "core/machine_core.h"
#include "tests/test_machine.h"

/* ---- a driver that takes some of everything ---- */

struct sample {
	struct ob_device *dev;
	struct ob_region region;
	struct ob_dma ring;
	struct ob_irq *irq[2];
	struct ob_window *window;
	struct ob_task *task;
};

static struct {
	int probe_error;
	bool leak;      /* fail, and undo nothing */
	bool wait_long; /* wait for a register that never changes */
	unsigned probes, removes;
	enum cpu_context context;
	const struct ob_match *row;
	char order[16]; /* names of the removed */
	bool dma_off_at_free;
} seen;

static enum ob_irq_result sample_hard(void *arg)
{
	return OB_IRQ_HANDLED;
}

static void sample_task(void *arg)
{
}

static int sample_irqs(struct sample *s)
{
	struct ob_irq_config config = {.name = "sample", .hard = sample_hard, .task = sample_task, .arg = s};

	for (unsigned v = 0; v < 2; v++) {
		int rc;

		/* The second lives on the last CPU. */
		config.cpu = ob_cpu_get(ob_device_context(s->dev),
					v == 0 ? 0 : ob_cpu_count(ob_device_context(s->dev)) - 1);
		rc = ob_irq_request(s->dev, v, &config, &s->irq[v]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void sample_free(struct sample *s)
{
	ob_device_enable_dma(s->dev, false);
	for (unsigned v = 0; v < 2; v++)
		ob_irq_free(s->irq[v]);
	ob_irq_release(s->dev);
	ob_window_put(s->window);
	ob_dma_free(s->dev, &s->ring);
	ob_free(s);
}

static int sample_bring_up(struct sample *s)
{
	struct ob_device *dev = s->dev;
	int rc = ob_device_region(dev, 1, &s->region);

	if (rc == 0 && (rc = ob_irq_alloc(dev, 2, 2, OB_IRQ_ANY, NULL)) > 0)
		rc = 0;
	if (rc == 0)
		rc = sample_irqs(s);
	if (rc == 0)
		rc = ob_dma_alloc(dev, 100, 0, &s->ring);
	if (rc == 0)
		rc = ob_window_create(ob_device_machine(dev), 5000, &s->window);
	if (rc == 0)
		rc = ob_window_grant(s->window, dev, OB_DMA_BOTH);
	if (rc == 0)
		rc = ob_device_enable_dma(dev, true);
	if (rc == 0 && seen.wait_long)
		rc = ob_mmio_wait32(&s->region, 8, 1, 1, ob_deadline(20 * OB_NS_PER_S), NULL);
	return rc != 0 ? rc : seen.probe_error;
}

static int sample_probe(struct ob_device *dev, const struct ob_match *row)
{
	struct sample *s = ob_alloc(sizeof(*s));
	int rc;

	seen.probes++;
	seen.context = cpu_context();
	seen.row = row;
	if (s == NULL)
		return -ENOMEM;
	s->dev = dev;
	rc = sample_bring_up(s);
	if (rc == 0) {
		ob_device_set_driver_data(dev, s);
		return 0;
	}
	if (seen.leak)
		ob_window_put(s->window); /* no device's: the core does not see it leak */
	if (seen.leak)
		ob_free(s);
	else
		sample_free(s);
	return rc;
}

static void sample_remove(struct ob_device *dev)
{
	size_t len = strlen(seen.order);

	seen.removes++;
	if (len < sizeof(seen.order) - 1)
		seen.order[len] = ob_device_name(dev)[0];
	sample_free(ob_device_driver_data(dev));
}

static const struct ob_match sample_match[] = {OB_PCI_ID(0x1234, 1), OB_PCI_CLASS(0x010802, 0xffffff), OB_MATCH_LAST};
static const struct ob_driver sample = {
	.name = "sample", .match = sample_match, .probe = sample_probe, .remove = sample_remove};

static struct ob *start(unsigned cpus)
{
	struct ob *ob = test_context(cpus);

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(ob_driver_register(ob, &sample), 0);
	for (unsigned i = 1; i < cpus; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(ob, i), -1), 0);
	return ob;
}

static void finish(struct ob *ob)
{
	ob_destroy(ob);
	assert_int_equal(test_setup.dma_live, 0);
	assert_int_equal(test_setup.grants_live, 0);
	assert_int_equal(test_setup.opens, test_setup.closes);
}

/* ---- open ---- */

static void test_open_unknown_scheme_names_the_known_ones(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;

	assert_int_equal(ob_machine_open(ob, "nothing:here", NULL, &machine), -ENOENT);
	assert_null(machine);
	assert_true(test_logged("nothing:here", "known are"));
	for (const struct machine_type *const *type = machine_types; *type != NULL; type++)
		assert_true(test_logged("known are", (*type)->scheme));
	assert_int_equal(ob_machine_open(ob, "nocolon", NULL, &machine), -EINVAL);
	assert_true(test_logged("nocolon", NULL));
	finish(ob);
}

static void test_open_binds_in_a_task_with_the_best_row(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_setup.iommu = true;
	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	assert_int_equal(seen.context, CPU_CONTEXT_TASK);
	assert_ptr_equal(seen.row, &sample_match[0]);
	assert_string_equal(ob_device_driver_name(dev), "sample");
	assert_string_equal(ob_device_bus_name(dev), "test");
	assert_int_equal(test_device_of(machine, "a")->enables, 1);
	ob_device_put(dev);
	assert_null(ob_device_find(machine, "b"));
	assert_int_equal(ob_machine_command(machine, "x", NULL, ob_deadline(1)), -EOPNOTSUPP);
	ob_machine_close(machine);
	assert_int_equal(seen.removes, 1);
	assert_int_equal(test_setup.forgets, 1);
	finish(ob);
}

static void test_open_scan_error_fails_the_open(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;

	test_setup.scan_error = -EPROTO;
	assert_int_equal(test_open(ob, 0, &machine), -EPROTO);
	finish(ob);
}

static void test_open_that_takes_too_long_ends_with_timeout(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;
	uint64_t before = ob_now_ns();
	struct ob_machine_options options = {.timeout_ns = 50 * OB_NS_PER_MS};

	seen.wait_long = true;
	test_add("a", 0x1234, 1, 2);
	test_add("b", 0x1234, 1, 2);
	assert_int_equal(machine_open(ob, &test_machine_type, "test:slow", "slow", &options, &machine), -ETIMEDOUT);
	assert_true(ob_now_ns() - before < 5 * OB_NS_PER_S);
	assert_int_equal(seen.probes, 1);
	finish(ob);
}

/* ---- bind and unbind ---- */

static void test_bind_unbind_by_hand_repeats(void **state)
{
	struct ob *ob = start(2);
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
	finish(ob);
}

static void bind_in_task(void *arg)
{
	struct ob_device *dev = arg;

	assert_int_equal(ob_device_bind(dev), 0);
	assert_int_equal(ob_device_unbind(dev), 0);
}

static void test_bind_from_tasks_of_any_cpu_runs_on_cpu_0(void **state)
{
	struct ob *ob = start(2);
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
	finish(ob);
}

static void test_close_unbinds_children_first(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;

	test_add("p", 0x1234, 1, 2);
	test_add("c", 0x1234, 1, 2)->parent = "p";
	test_add("g", 0x1234, 1, 2)->parent = "c";
	assert_int_equal(test_open(ob, 0, &machine), 0);
	assert_int_equal(seen.probes, 3);
	ob_machine_close(machine);
	assert_string_equal(seen.order, "gcp");
	finish(ob);
}

static void test_rescan_binds_only_what_is_new(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_int_equal(ob_device_unbind(dev), 0);
	ob_device_put(dev);
	test_add("b", 0x1234, 1, 2);
	assert_int_equal(ob_machine_rescan(machine), 0);
	assert_int_equal(seen.probes, 2);
	assert_int_equal(ob_device_state(&test_device_of(machine, "a")->dev), OB_DEVICE_FOUND);
	assert_int_equal(ob_device_state(&test_device_of(machine, "b")->dev), OB_DEVICE_BOUND);
	finish(ob);
}

/* ---- failing probes ---- */

static void dma_freed(void *arg, struct ob_device *dev, const struct ob_dma *dma)
{
	seen.dma_off_at_free = !((struct test_device *)(void *)dev)->dma_enabled;
}

static void test_probe_that_fails_and_leaks_is_cleaned_up_and_named(void **state)
{
	struct ob *ob = start(2);
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
	assert_true(seen.dma_off_at_free);
	assert_int_equal(test_setup.dma_live, 0);
	assert_false(test_device_of(machine, "a")->vectors_held);
	ob_device_put(dev);
	ob_machine_close(machine);
	finish(ob);
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
	struct ob *ob = start(2);
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
	finish(ob);
}

/* What takes a driver down may want for memory too: then it waits for it, or never begins. */
static void test_unbind_each_nth_call_failing_is_whole_or_not_begun(void **state)
{
	struct ob *ob = start(2);
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
	finish(ob);
}

static void test_enable_that_fails_is_undone(void **state)
{
	struct ob *ob = start(1);
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
	finish(ob);
}

/* ---- gone ---- */

static bool is_gone(void *arg)
{
	return ob_device_state(arg) == OB_DEVICE_GONE;
}

static void test_wait32_all_ones_confirmed_marks_gone(void **state)
{
	struct ob *ob = start(1);
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
	finish(ob);
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
	struct ob *ob = start(1);
	struct ob_machine *machine;
	struct wait_case c = {0};

	test_add("a", 0x4321, 1, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	c.td = test_device_of(machine, "a");
	test_in_task(ob, 0, wait_case_run, &c);
	assert_true(device_is_gone(&c.td->dev));
	ob_machine_close(machine);
	finish(ob);
}

static void test_mark_gone_removes_the_driver_once(void **state)
{
	struct ob *ob = start(1);
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
	finish(ob);
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
		struct ob *ob = start(1);
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
		finish(ob);
	}
}

static int unbind_soon(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_unbind(dev, deadline_ns);
}

static void test_unbind_waits_for_uses_and_gives_up_in_time(void **state)
{
	struct ob *ob = start(1);
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
	finish(ob);
}

/* ---- references ---- */

static void test_references_outlive_machine_and_context(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;
	struct ob_device *child, *lone;
	struct ob_window *window;

	test_add("p", 0x1234, 1, 2);
	test_add("c", 0x1234, 1, 2)->parent = "p";
	assert_int_equal(test_open(ob, 0, &machine), 0);
	child = ob_device_find(machine, "c");
	assert_int_equal(ob_window_create(machine, 4096, &window), 0);
	assert_int_equal(ob_window_grant(window, child, OB_DMA_BOTH), 0);
	ob_machine_close(machine);

	assert_false(ob_device_get_online(child));
	assert_int_equal(ob_device_state(child), OB_DEVICE_GONE);
	assert_string_equal(ob_device_name(ob_device_parent(child)), "p");
	assert_false(ob_device_is_present(child));
	assert_int_equal(ob_device_bind(child), -ENODEV);
	assert_int_equal(ob_window_grant(window, child, OB_DMA_BOTH), -ENODEV);
	assert_null(ob_device_next(ob_device_machine(child), NULL));
	lone = ob_device_next(ob_device_machine(child), ob_device_get(child));
	assert_null(lone);
	assert_int_equal(test_setup.shutdowns, 1);
	assert_int_equal(test_setup.closes, 0);
	ob_destroy(ob);
	memset(window->base, 0x5a, window->len_bytes);
	ob_window_put(window);
	assert_int_equal(test_setup.closes, 1);
	assert_int_equal(test_setup.dma_live, 0);
	ob_device_put(child);
}

static void remove_in_task(void *arg)
{
	device_remove(arg);
}

static void test_next_goes_on_after_a_removed_device(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 9, 2)->ids.class_code = 0;
	test_add("b", 0x1234, 9, 2)->ids.class_code = 0;
	test_add("d", 0x1234, 9, 2)->ids.class_code = 0;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_next(machine, ob_device_next(machine, NULL));
	assert_string_equal(ob_device_name(dev), "b");
	test_in_task(ob, 0, remove_in_task, dev);
	dev = ob_device_next(machine, dev);
	assert_string_equal(ob_device_name(dev), "d");
	assert_null(ob_device_next(machine, dev));
	ob_machine_close(machine);
	finish(ob);
}

static void test_destroy_closes_machines(void **state)
{
	struct ob *ob = start(2);
	struct ob_machine *machine;

	test_add("a", 0x1234, 1, 2);
	test_setup.no_shutdown = true;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	finish(ob);
	assert_int_equal(seen.removes, 1);
}

/* ---- death ---- */

static void *killer(void *arg)
{
	usleep(2000);
	test_machine_kill(arg, "killed");
	return NULL;
}

struct load {
	struct test_device *td;
	bool stop;
};

static void *load_thread(void *arg)
{
	struct load *load = arg;

	while (!__atomic_load_n(&load->stop, __ATOMIC_ACQUIRE)) {
		test_fire(load->td, 0);
		test_fire(load->td, 1);
		if (ob_device_get_online(&load->td->dev))
			ob_device_put_online(&load->td->dev);
	}
	return NULL;
}

static bool all_gone(void *arg)
{
	struct load *load = arg;

	return is_gone(&load[0].td->dev) && is_gone(&load[1].td->dev) && is_gone(&load[2].td->dev);
}

static void test_machine_death_under_load_removes_all(void **state)
{
	struct ob *ob = start(2);
	struct ob_machine *machine;
	struct load load[3] = {0};
	pthread_t threads[4];
	static const char *const names[] = {"a", "b", "c"};

	for (unsigned i = 0; i < 3; i++)
		test_add(names[i], 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	for (unsigned i = 0; i < 3; i++) {
		load[i].td = test_device_of(machine, names[i]);
		ob_device_get(&load[i].td->dev);
		pthread_create(&threads[i], NULL, load_thread, &load[i]);
	}
	pthread_create(&threads[3], NULL, killer, machine);
	assert_true(test_wait_until(ob, all_gone, load, 5000));
	assert_int_equal(ob_machine_rescan(machine), -ENODEV);
	for (unsigned i = 0; i < 3; i++)
		__atomic_store_n(&load[i].stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 3; i++)
		ob_device_put(&load[i].td->dev);
	assert_int_equal(seen.removes, 3);
	assert_true(test_logged("the machine is dead: killed", NULL));
	assert_string_equal(seen.order, "cba");
	ob_machine_close(machine);
	finish(ob);
}

static void test_close_right_after_death_is_clean(void **state)
{
	struct ob *ob = start(1);
	struct ob_machine *machine;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	test_machine_kill(machine, "killed");
	test_machine_kill(machine, "killed twice");
	assert_false(test_logged("killed twice", NULL));
	ob_device_mark_gone(&test_device_of(machine, "a")->dev, "as well");
	ob_machine_close(machine);
	assert_int_equal(seen.removes, 1);
	finish(ob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_unknown_scheme_names_the_known_ones),
		cmocka_unit_test(test_open_binds_in_a_task_with_the_best_row),
		cmocka_unit_test(test_open_scan_error_fails_the_open),
		cmocka_unit_test(test_open_that_takes_too_long_ends_with_timeout),
		cmocka_unit_test(test_bind_unbind_by_hand_repeats),
		cmocka_unit_test(test_bind_from_tasks_of_any_cpu_runs_on_cpu_0),
		cmocka_unit_test(test_close_unbinds_children_first),
		cmocka_unit_test(test_rescan_binds_only_what_is_new),
		cmocka_unit_test(test_probe_that_fails_and_leaks_is_cleaned_up_and_named),
		cmocka_unit_test(test_probe_each_nth_call_failing_leaks_nothing),
		cmocka_unit_test(test_unbind_each_nth_call_failing_is_whole_or_not_begun),
		cmocka_unit_test(test_enable_that_fails_is_undone),
		cmocka_unit_test(test_wait32_all_ones_confirmed_marks_gone),
		cmocka_unit_test(test_wait32_ends_as_it_should),
		cmocka_unit_test(test_mark_gone_removes_the_driver_once),
		cmocka_unit_test(test_get_online_against_mark_gone_never_sees_a_removed_driver),
		cmocka_unit_test(test_unbind_waits_for_uses_and_gives_up_in_time),
		cmocka_unit_test(test_references_outlive_machine_and_context),
		cmocka_unit_test(test_next_goes_on_after_a_removed_device),
		cmocka_unit_test(test_destroy_closes_machines),
		cmocka_unit_test(test_machine_death_under_load_removes_all),
		cmocka_unit_test(test_close_right_after_death_is_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
