/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspend and resume of the driver on the model machine, whose function has lost all its state when it comes back from
 * D3hot: under load, with commands that hang, channels that come and go, namespaces and controllers that change, and
 * devices that are taken away in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/pci.h>

#include "drivers/block/nvme/nvme.h"
#include "spec/pci.h"
#include "tests/block_bed.h"

#define DEVICE  "nvme0"
#define TIMEOUT (200 * OB_NS_PER_MS) /* of requests */
#define LONG    (30 * OB_NS_PER_S)   /* of tests */
#define SLOTS   64u
#define ROUNDS  20u

static struct bed bed;
static struct ob_device *dev;

static void open_uri(const char *uri, enum ob_completion_mode mode)
{
	bed_open(&bed, uri, NULL);
	bed_open_channel(&bed, mode, SLOTS, TIMEOUT);
	dev = ob_device_get(ob_block_device(bed.block));
}

static int open_bed(void **state)
{
	open_uri("model:", OB_COMPLETION_INTERRUPT);
	return 0;
}

static int close_bed(void **state)
{
	if (bed.ob == NULL)
		return 0;
	ob_device_put(dev);
	bed_close(&bed);
	return 0;
}

static struct nvme *controller(void)
{
	return ob_device_driver_data(dev);
}

static struct ob_block_stats stats(void)
{
	struct ob_block_stats s;

	ob_block_stats(bed.block, &s);
	return s;
}

static unsigned power_state(void)
{
	unsigned cap = ob_pci_find_capability(dev, PCI_CAP_ID_PM, 0);

	assert_int_not_equal(cap, 0);
	return FIELD_GET(PCI_PM_CTL_STATE, ob_pci_read(dev, cap + PCI_PM_CONTROL, 2));
}

static void suspend(void)
{
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_SUSPENDED);
}

static void resume(void)
{
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
}

/* ---- the device's side ---- */

static void test_suspended_device_is_shut_down_off_and_in_d3(void **state)
{
	suspend();
	assert_int_equal(power_state(), 3);
	assert_false(ob_pci_read(dev, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	/* The model says so of a controller that loses its power enabled. */
	assert_int_equal(bed_logged(&bed, "not shut down"), 0);
	assert_int_equal(bed_logged(&bed, "the shutdown did not complete"), 0);
	assert_int_equal(controller()->state, NVME_SUSPENDED);
	/* All that it knew is gone by the way back: the BAR as well. */
	resume();
	assert_int_equal(power_state(), 0);
	assert_true(ob_pci_read(dev, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	assert_int_equal(controller()->state, NVME_LIVE);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	/* Events, too, are asked for again. */
	bed_command(&bed, "resize " DEVICE " 1 32M");
	bed_turn_until(&bed, NULL, 100 * OB_NS_PER_MS);
	assert_int_equal(bed_logged(&bed, "its namespaces changed"), 1);
}

static void test_either_one_twice_does_nothing_more(void **state)
{
	resume();
	suspend();
	suspend();
	assert_int_equal(bed_logged(&bed, ": suspended"), 1);
	resume();
	resume();
	assert_int_equal(bed_logged(&bed, ": resumed"), 1);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

/* Its normal shutdown saves the cache, so even a loss of all power loses no data. */
static void test_power_lost_while_suspended_loses_nothing(void **state)
{
	uint8_t expected[512];

	open_uri("model:?nvme=8M&lossy", OB_COMPLETION_INTERRUPT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 7, 1), 0);
	memcpy(expected, bed_buffer(&bed, 0), sizeof(expected));
	suspend();
	bed_command(&bed, "power-cut " DEVICE);
	resume();
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 7, 1), 0);
	assert_memory_equal(bed_buffer(&bed, 0), expected, sizeof(expected));
}

static void test_function_that_keeps_its_state_resumes_too(void **state)
{
	open_uri("model:?nvme=8M&retain", OB_COMPLETION_INTERRUPT);
	suspend();
	resume();
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

/* ---- requests ---- */

static void test_request_submitted_meanwhile_waits_and_goes_on(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_FLUSH, 0, 0), 0);
	/* Longer than requests may take. */
	bed_turn_until(&bed, NULL, 3 * TIMEOUT);
	assert_int_equal(bed.busy, 2);
	assert_int_equal(stats().timeouts, 0);
	resume();
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), 0);
	assert_int_equal(bed_status(&bed, 1), 0);
	assert_int_equal(stats().reissues, 0);
	assert_int_equal(stats().resets, 0);
}

static void test_request_with_a_deadline_ends_by_it(void **state)
{
	uint8_t data[512];
	uint64_t start;

	suspend();
	start = ob_now_ns();
	assert_int_equal(ob_block_read(bed.channel, 0, 1, data, NULL, ob_deadline(100 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_true(ob_now_ns() - start < OB_NS_PER_S);
	resume();
	assert_int_equal(ob_block_read(bed.channel, 0, 1, data, NULL, ob_deadline(LONG)), 0);
}

static void test_request_cancelled_meanwhile_ends_at_once(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 8, 1), 0);
	assert_int_equal(ob_block_cancel(bed.channel, &bed.requests[0].request), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), -ECANCELED);
	resume();
}

/* What is in flight ends first. */
static void test_commands_in_flight_end_before_it_is_suspended(void **state)
{
	bed_command(&bed, "latency " DEVICE " 50ms");
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	suspend();
	assert_int_equal(bed.busy, 0);
	resume();
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_int_equal(stats().reissues, 0);
}

/* What has no answer is issued again, once for each time; and is none the worse for it. */
static void test_command_without_answer_is_issued_again_once(void **state)
{
	for (unsigned i = 1; i <= 2 * NVME_RETRY_MAX; i++) {
		if (i == 1) {
			bed_command(&bed, "fault " DEVICE " op=write lba=24 count=%u delay=hang", 2 * NVME_RETRY_MAX);
			assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_WRITE, 24, 1), 0);
			ob_block_kick(bed.channel);
		}
		assert_int_equal(ob_device_suspend(dev, ob_deadline(10 * OB_NS_PER_MS)), 0);
		resume();
		assert_int_equal(stats().reissues, i);
	}
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 1), 0);
	assert_int_equal(bed_logged(&bed, "have no answer"), 2 * NVME_RETRY_MAX);
}

static void load_run(const char *uri, enum ob_completion_mode mode)
{
	static struct bed_load load;

	open_uri(uri, mode);
	bed_load_start(&bed, &load, SLOTS - 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned turns = (unsigned)random_below(&load.random, 50); turns > 0; turns--)
			bed_load_turn(&bed, &load);
		suspend();
		for (unsigned turns = (unsigned)random_below(&load.random, 5); turns > 0; turns--)
			bed_load_turn(&bed, &load);
		resume();
	}
	bed_load_finish(&bed, &load, LONG);
	assert_int_equal(bed_logged(&bed, "controller reset"), 0);
	assert_int_equal(stats().reissues, 0);
	close_bed(NULL);
}

static void test_load_goes_on_over_many_suspensions(void **state)
{
	load_run("model:", OB_COMPLETION_INTERRUPT);
	load_run("model:", OB_COMPLETION_POLLED);
	load_run("model:", OB_COMPLETION_HYBRID);
	load_run("model:?nvme=8M&msix=0", OB_COMPLETION_INTERRUPT);
	load_run("model:?nvme=8M&threaded&latency=200us&shadow=0", OB_COMPLETION_INTERRUPT);
	load_run("model:?nvme=8M&threaded&latency=200us&port", OB_COMPLETION_POLLED);
}

/* ---- channels and calls ---- */

static void test_channel_opened_meanwhile_works_after_it(void **state)
{
	struct ob_block_channel *first = bed.channel;

	suspend();
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 16, TIMEOUT);
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 8, 1), 0);
	bed_turn_until(&bed, NULL, 20 * OB_NS_PER_MS);
	assert_int_equal(bed.busy, 1);
	resume();
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), 0);
	ob_block_channel_close(first);
}

static void test_channel_closed_meanwhile_ends_what_waits(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 8, 1), 0);
	ob_block_channel_close(bed.channel);
	bed.channel = NULL;
	assert_int_equal(bed.busy, 0);
	assert_int_equal(bed_status(&bed, 0), -ECANCELED);
	resume();
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 16, TIMEOUT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

static int answer;

static void ask(void *arg)
{
	struct ob_nvme_smart smart;

	answer = ob_nvme_smart(bed.block, &smart);
}

static bool answered(struct bed *b)
{
	return answer != 1;
}

static void test_call_made_meanwhile_waits(void **state)
{
	answer = 1;
	suspend();
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), -EBUSY);
	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.ob, 0), "test-ask", ask, NULL, NULL), 0);
	assert_false(bed_turn_until(&bed, answered, 50 * OB_NS_PER_MS));
	resume();
	assert_true(bed_turn_until(&bed, answered, LONG));
	assert_int_equal(answer, 0);
}

/* ---- what is another one afterwards ---- */

static bool is_offline(struct bed *b)
{
	return !ob_block_online(b->block);
}

static void test_namespace_that_vanished_gets_nothing(void **state)
{
	struct ob_block *other;

	open_uri("model:?nvme=8M&ns=8M", OB_COMPLETION_INTERRUPT);
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	bed_command(&bed, "detach " DEVICE " 1");
	resume();
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	bed_wait(&bed, LONG);
	assert_true(bed_status(&bed, 0) == -ENODEV || bed_status(&bed, 0) == -ECANCELED);
	assert_int_equal(bed_logged(&bed, "what waits for it is not issued"), 1);
	other = ob_block_find(bed.ob, "nvme0n2");
	assert_non_null(other);
	assert_true(ob_block_online(other));
	ob_block_put(other);
}

static void test_namespace_of_another_size_is_resized(void **state)
{
	suspend();
	bed_command(&bed, "resize " DEVICE " 1 96M");
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	resume();
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), 0);
	bed_turn_until(&bed, NULL, 100 * OB_NS_PER_MS);
	ob_block_limits(bed.block, &bed.limits);
	assert_int_equal(bed.limits.block_count, (96u << 20) / bed.limits.block_bytes);
}

/* ---- errors ---- */

static void test_controller_that_dies_suspended_is_given_up(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	bed_command(&bed, "fault " DEVICE " admin=%u count=1000 status=%u", NVME_ADMIN_IDENTIFY,
		    NVME_SC_INTERNAL_ERROR);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), -EIO);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), -EIO);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
}

/* Its turn does not come: nothing is done, neither here nor there. */
static void hold_lock(void *arg)
{
	struct nvme *n = arg;

	assert_int_equal(ob_mutex_lock(&n->lock, ob_deadline(LONG)), 0);
	ob_task_sleep(ob_deadline(300 * OB_NS_PER_MS));
	ob_mutex_unlock(&n->lock);
}

static void hold(void)
{
	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.ob, 0), "test-hold", hold_lock, controller(), NULL), 0);
	bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
}

static void test_deadline_that_passes_before_its_turn_changes_nothing(void **state)
{
	hold();
	assert_int_equal(ob_device_suspend(dev, ob_deadline(50 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	bed_turn_until(&bed, NULL, 400 * OB_NS_PER_MS);
	suspend();
	hold();
	assert_int_equal(ob_device_resume(dev, ob_deadline(50 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_SUSPENDED);
	bed_turn_until(&bed, NULL, 400 * OB_NS_PER_MS);
	resume();
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

static void test_suspended_device_is_unbound_and_bound_again(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	assert_int_equal(ob_device_unbind(dev), 0);
	assert_int_equal(bed.busy, 0);
	assert_int_not_equal(bed_status(&bed, 0), 0);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), -ENODEV);
	ob_block_channel_close(bed.channel);
	ob_block_put(bed.block);
	assert_int_equal(ob_device_bind(dev), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 16, TIMEOUT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

static void test_suspended_device_is_shut_down_without_a_complaint(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	assert_int_equal(ob_device_shutdown(dev), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), -ENODEV);
	assert_int_equal(bed_logged(&bed, "may be lost"), 0);
}

static void test_device_pulled_out_while_suspended_is_removed(void **state)
{
	open_uri("model:?nvme=8M&port", OB_COMPLETION_INTERRUPT);
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	bed_command(&bed, "unplug " DEVICE);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), -ENODEV);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), -ENODEV);
	for (unsigned i = 0; i < 1000 && ob_device_state(dev) != OB_DEVICE_GONE; i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_GONE);
}

static void test_machine_closed_while_suspended_leaks_nothing(void **state)
{
	suspend();
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
}

/* ---- a whole machine ---- */

static void test_machine_suspends_all_its_controllers(void **state)
{
	open_uri("model:?nvme=8M&port&nvme=8M", OB_COMPLETION_INTERRUPT);
	assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_SUSPENDED);
	assert_int_equal(bed_logged(&bed, ": suspended"), 2);
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 8, 1), 0);
	assert_int_equal(ob_machine_resume(bed.machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	assert_int_equal(bed_logged(&bed, ": resumed"), 2);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 0), 0);
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, open_bed, close_bed)
#define TEST_OWN(name) cmocka_unit_test_teardown(name, close_bed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_suspended_device_is_shut_down_off_and_in_d3),
		TEST(test_either_one_twice_does_nothing_more),
		TEST_OWN(test_power_lost_while_suspended_loses_nothing),
		TEST_OWN(test_function_that_keeps_its_state_resumes_too),
		TEST(test_request_submitted_meanwhile_waits_and_goes_on),
		TEST(test_request_with_a_deadline_ends_by_it),
		TEST(test_request_cancelled_meanwhile_ends_at_once),
		TEST(test_commands_in_flight_end_before_it_is_suspended),
		TEST(test_command_without_answer_is_issued_again_once),
		TEST_OWN(test_load_goes_on_over_many_suspensions),
		TEST(test_channel_opened_meanwhile_works_after_it),
		TEST(test_channel_closed_meanwhile_ends_what_waits),
		TEST(test_call_made_meanwhile_waits),
		TEST_OWN(test_namespace_that_vanished_gets_nothing),
		TEST(test_namespace_of_another_size_is_resized),
		TEST(test_controller_that_dies_suspended_is_given_up),
		TEST(test_deadline_that_passes_before_its_turn_changes_nothing),
		TEST(test_suspended_device_is_unbound_and_bound_again),
		TEST(test_suspended_device_is_shut_down_without_a_complaint),
		TEST_OWN(test_device_pulled_out_while_suspended_is_removed),
		TEST(test_machine_closed_while_suspended_leaks_nothing),
		TEST_OWN(test_machine_suspends_all_its_controllers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
