/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines: opening, rescanning, closing, what outlives them, and their death under load. On the machine of
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

#include "core/machine_core.h"
#include "tests/sample_driver.h"
#include "tests/test_machine.h"

/* ---- open ---- */

static void test_open_unknown_scheme_names_the_known_ones(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;

	assert_int_equal(ob_machine_open(ob, "nothing:here", NULL, &machine), -ENOENT);
	assert_null(machine);
	assert_true(test_logged("nothing:here", "known are"));
	for (const struct machine_type *const *type = machine_types; *type != NULL; type++)
		assert_true(test_logged("known are", (*type)->scheme));
	assert_int_equal(ob_machine_open(ob, "nocolon", NULL, &machine), -EINVAL);
	assert_true(test_logged("nocolon", NULL));
	sample_finish(ob);
}

static void test_open_binds_in_a_task_with_the_best_row(void **state)
{
	struct ob *ob = sample_start(1);
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
	sample_finish(ob);
}

static void test_open_scan_error_fails_the_open(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;

	test_setup.scan_error = -EPROTO;
	assert_int_equal(test_open(ob, 0, &machine), -EPROTO);
	sample_finish(ob);
}

static void test_open_that_takes_too_long_ends_with_timeout(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	uint64_t before = ob_now_ns();
	struct ob_machine_options options = {.timeout_ns = 50 * OB_NS_PER_MS};

	seen.wait_long = true;
	test_add("a", 0x1234, 1, 2);
	test_add("b", 0x1234, 1, 2);
	assert_int_equal(machine_open(ob, &test_machine_type, "test:slow", "slow", &options, &machine), -ETIMEDOUT);
	assert_true(ob_now_ns() - before < 5 * OB_NS_PER_S);
	assert_int_equal(seen.probes, 1);
	sample_finish(ob);
}

static void test_close_unbinds_children_first(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;

	test_add("p", 0x1234, 1, 2);
	test_add("c", 0x1234, 1, 2)->parent = "p";
	test_add("g", 0x1234, 1, 2)->parent = "c";
	assert_int_equal(test_open(ob, 0, &machine), 0);
	assert_int_equal(seen.probes, 3);
	ob_machine_close(machine);
	assert_string_equal(seen.order, "gcp");
	sample_finish(ob);
}

static void test_rescan_binds_only_what_is_new(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	dev = ob_device_find(machine, "a");
	assert_int_equal(ob_device_unbind(dev), 0);
	ob_device_put(dev);
	test_add("b", 0x1234, 1, 2);
	/* The machine is asked first, not at the first scan but at each after it. */
	assert_int_equal(test_setup.rescans, 0);
	test_setup.rescan_error = -ETIMEDOUT;
	assert_int_equal(ob_machine_rescan(machine), -ETIMEDOUT);
	assert_int_equal(seen.probes, 1);
	test_setup.rescan_error = 0;
	assert_int_equal(ob_machine_rescan(machine), 0);
	assert_int_equal(test_setup.rescans, 2);
	assert_int_equal(seen.probes, 2);
	assert_int_equal(ob_device_state(&test_device_of(machine, "a")->dev), OB_DEVICE_FOUND);
	assert_int_equal(ob_device_state(&test_device_of(machine, "b")->dev), OB_DEVICE_BOUND);
	sample_finish(ob);
}

/* ---- references ---- */

static void test_references_outlive_machine_and_context(void **state)
{
	struct ob *ob = sample_start(1);
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
	struct ob *ob = sample_start(1);
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
	sample_finish(ob);
}

static void test_destroy_closes_machines(void **state)
{
	struct ob *ob = sample_start(2);
	struct ob_machine *machine;

	test_add("a", 0x1234, 1, 2);
	test_setup.no_shutdown = true;
	assert_int_equal(test_open(ob, 0, &machine), 0);
	sample_finish(ob);
	assert_int_equal(seen.removes, 1);
}

/* ---- death ---- */

static bool is_gone(void *arg)
{
	return ob_device_state(arg) == OB_DEVICE_GONE;
}

static void *killer(void *arg)
{
	usleep(2000);
	test_machine_kill(arg, "killed");
	return NULL;
}

static void *kill_now(void *arg)
{
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
	struct ob *ob = sample_start(2);
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
	sample_finish(ob);
}

static void test_close_right_after_death_is_clean(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	test_machine_kill(machine, "killed");
	test_machine_kill(machine, "killed twice");
	assert_false(test_logged("killed twice", NULL));
	ob_device_mark_gone(&test_device_of(machine, "a")->dev, "as well");
	ob_machine_close(machine);
	assert_int_equal(seen.removes, 1);
	sample_finish(ob);
}
/* CPU 0 on a thread of its own: death, removal and close meet in every order. */
static void test_close_races_with_death_and_removal(void **state)
{
	for (unsigned round = 0; round < 40; round++) {
		struct ob *ob = sample_start(2);
		struct ob_machine *machine;
		struct ob_device *dev;
		pthread_t thread;

		assert_int_equal(ob_cpu_start(ob_cpu_get(ob, 0), -1), 0);
		test_add("a", 0x1234, 1, 2);
		test_add("b", 0x1234, 1, 2);
		assert_int_equal(test_open(ob, 0, &machine), 0);
		dev = ob_device_find(machine, "b");
		/* From another thread than the close's, but not after it: that is the machine's side of the bargain. */
		if (round % 2 == 0) {
			pthread_create(&thread, NULL, kill_now, machine);
			pthread_join(thread, NULL);
		} else {
			ob_device_mark_gone(dev, "race");
		}
		ob_machine_close(machine);
		ob_device_put(dev);
		assert_int_equal(seen.removes, 2);
		sample_finish(ob);
	}
}

static bool no_tasks_for_work(void *arg, const char *call)
{
	return cpu_context() == CPU_CONTEXT_SOFT && strcmp(call, "ob_task_spawn") == 0 &&
	       ob_now_ns() < *(const uint64_t *)arg;
}

static void test_close_waits_for_a_removal_that_has_no_memory_yet(void **state)
{
	struct ob *ob = sample_start(1);
	uint64_t until = ob_deadline(20 * OB_NS_PER_MS);
	struct ob_hooks hooks = {.arg = &until, .fail = no_tasks_for_work};
	struct ob_machine *machine;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	ob_set_hooks(ob, &hooks);
	ob_device_mark_gone(&test_device_of(machine, "a")->dev, "no memory");
	ob_machine_close(machine);
	assert_true(ob_now_ns() >= until);
	assert_int_equal(seen.removes, 1);
	sample_finish(ob);
}

/* ---- users who do not let go ---- */

static void *let_go_later(void *arg)
{
	usleep(200000);
	ob_device_put_online(arg);
	return NULL;
}

static void test_close_waits_for_users_until_its_own_deadline(void **state)
{
	struct ob *ob = sample_start(1);
	struct ob_machine *machine;
	struct ob_device *dev;
	pthread_t thread;

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	machine->drain_ns = 10 * OB_NS_PER_MS;
	dev = ob_device_find(machine, "a");
	assert_true(ob_device_get_online(dev));
	pthread_create(&thread, NULL, let_go_later, dev);
	ob_machine_close(machine);
	pthread_join(thread, NULL);
	assert_true(test_logged("a: still used (1 times), waiting for its users", NULL));
	assert_int_equal(seen.removes, 1);
	assert_int_equal(test_setup.closes, 1);
	ob_device_put(dev);
	sample_finish(ob);
}

/* What is left behind for good; here, so that it is not taken for a leak. */
static struct {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *dev;
} left;

static void test_close_with_a_user_who_stays_stops_the_far_side(void **state)
{
	struct ob *ob = sample_start(2);

	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &left.machine), 0);
	left.ob = ob;
	left.dev = ob_device_find(left.machine, "a");
	assert_true(ob_device_get_online(left.dev));
	machine_close(left.machine, ob_deadline(50 * OB_NS_PER_MS));
	assert_true(test_logged("cannot be closed, its memory stays", NULL));
	assert_int_equal(seen.removes, 0);
	assert_int_equal(test_setup.shutdowns, 1);
	assert_int_equal(test_setup.closes, 0);
	assert_false(ob_device_get_online(left.dev));
	/* Who still has it finds memory, and says nothing to somebody who has left. */
	ob_destroy(ob);
	test_log_clear();
	ob_err(ob_device_context(left.dev), "a late word");
	assert_false(test_logged("a late word", NULL));
	ob_device_put_online(left.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_unknown_scheme_names_the_known_ones),
		cmocka_unit_test(test_open_binds_in_a_task_with_the_best_row),
		cmocka_unit_test(test_open_scan_error_fails_the_open),
		cmocka_unit_test(test_open_that_takes_too_long_ends_with_timeout),
		cmocka_unit_test(test_close_unbinds_children_first),
		cmocka_unit_test(test_rescan_binds_only_what_is_new),
		cmocka_unit_test(test_references_outlive_machine_and_context),
		cmocka_unit_test(test_next_goes_on_after_a_removed_device),
		cmocka_unit_test(test_destroy_closes_machines),
		cmocka_unit_test(test_machine_death_under_load_removes_all),
		cmocka_unit_test(test_close_right_after_death_is_clean),
		cmocka_unit_test(test_close_races_with_death_and_removal),
		cmocka_unit_test(test_close_waits_for_a_removal_that_has_no_memory_yet),
		cmocka_unit_test(test_close_waits_for_users_until_its_own_deadline),
		cmocka_unit_test(test_close_with_a_user_who_stays_stops_the_far_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
