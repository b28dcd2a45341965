/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Litmus tests of the world's weak memory: each shape of two sides and two words is run under many seeds; what comes
 * out must be allowed by the barriers that are in it, and all that is allowed must come out. The barriers are those of
 * outboard/mmio.h. What is stricter than real CPUs is named as such.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/litmus.h"

#define SEEDS 4000

/* Bit r1 << 1 | r2 of each outcome. */
#define OUTCOME(r1, r2) (1u << ((r1) << 1 | (r2)))

static unsigned outcomes(const struct litmus *shape)
{
	static struct sim_result result;
	struct sim_config config = {0};
	unsigned seen = 0;

	assert_int_equal(sim_init(), 0);
	litmus_select(shape);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		config.preempt_every = 1 + (unsigned)(seed % 8);
		config.drain_one_in = 2 + (unsigned)(seed % 5);
		/* Races are the subject here, not an error. */
		config.no_races = true;
		sim_run(&litmus_scenario, &config, seed, &result);
		if (result.failed)
			fail_msg("%s", result.report);
		seen |= OUTCOME(litmus_result(0), litmus_result(1));
	}
	return seen;
}

static void check(const struct litmus *shape, unsigned allowed)
{
	unsigned seen = outcomes(shape);

	if (seen != allowed)
		fail_msg("%s: outcomes %#x, allowed %#x", shape->name, seen, allowed);
}

#define ALL (OUTCOME(0, 0) | OUTCOME(0, 1) | OUTCOME(1, 0) | OUTCOME(1, 1))

static void test_store_buffering_without_barriers_all_outcomes(void **state)
{
	check(&store_buffering, ALL);
}

static void test_store_buffering_one_barrier_all_outcomes(void **state)
{
	check(&store_buffering_one_mb, ALL);
}

static void test_store_buffering_write_barriers_all_outcomes(void **state)
{
	check(&store_buffering_wmb, ALL);
}

static void test_store_buffering_both_barriers_never_both_old(void **state)
{
	check(&store_buffering_mb, ALL & ~OUTCOME(0, 0));
}

static void test_message_passing_without_barriers_all_outcomes(void **state)
{
	check(&message_passing, ALL);
}

static void test_message_passing_write_barrier_only_all_outcomes(void **state)
{
	check(&message_passing_wmb, ALL);
}

static void test_message_passing_read_barrier_only_all_outcomes(void **state)
{
	check(&message_passing_rmb, ALL);
}

static void test_message_passing_both_barriers_never_new_then_old(void **state)
{
	check(&message_passing_both, ALL & ~OUTCOME(1, 0));
}

/* Stricter than Arm and RISC-V, which allow 1,1: no load of ours sees what is stored after it. */
static void test_load_buffering_never_from_the_future(void **state)
{
	check(&load_buffering, ALL & ~OUTCOME(1, 1));
}

static void test_load_buffering_with_barriers_never_from_the_future(void **state)
{
	check(&load_buffering_mb, ALL & ~OUTCOME(1, 1));
}

/* One location: two loads never go back in time. */
static void test_coherence_never_new_then_old(void **state)
{
	check(&coherence, ALL & ~OUTCOME(1, 0));
}

static void test_device_message_without_read_barrier_all_outcomes(void **state)
{
	check(&device_message, ALL);
}

static void test_device_message_with_read_barrier_never_new_then_old(void **state)
{
	check(&device_message_rmb, ALL & ~OUTCOME(1, 0));
}

static void test_word_for_device_without_write_barrier_all_outcomes(void **state)
{
	check(&device_reads, ALL);
}

static void test_word_for_device_with_write_barrier_never_new_then_old(void **state)
{
	check(&device_reads_wmb, ALL & ~OUTCOME(1, 0));
}

static void test_doorbell_without_barrier_all_outcomes(void **state)
{
	check(&doorbell, ALL);
}

/* Orders stores among themselves, and not before a register write. */
static void test_doorbell_with_barrier_never_new_then_old(void **state)
{
	check(&doorbell_wmb, ALL & ~OUTCOME(1, 0));
}

static void test_device_store_buffering_without_barrier_all_outcomes(void **state)
{
	check(&device_store_buffering, ALL);
}

static void test_device_store_buffering_with_barrier_never_both_old(void **state)
{
	check(&device_store_buffering_mb, ALL & ~OUTCOME(0, 0));
}

/* ---- clocks: what is reported, whatever the values were ---- */

static const char *rule_found(const struct litmus *shape)
{
	static struct sim_result result;
	struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	litmus_select(shape);
	for (uint64_t seed = 1; seed <= 200; seed++) {
		sim_run(&litmus_scenario, &config, seed, &result);
		if (result.failed)
			return result.rule;
	}
	return "";
}

static void test_plain_message_no_order_is_a_race(void **state)
{
	assert_string_equal(rule_found(&plain_race), "data-race");
}

static void test_plain_message_release_acquire_is_silent(void **state)
{
	assert_string_equal(rule_found(&plain_ordered), "");
}

static void test_plain_message_relaxed_is_a_race(void **state)
{
	assert_string_equal(rule_found(&plain_relaxed), "data-race");
}

static void test_plain_message_fences_are_silent(void **state)
{
	assert_string_equal(rule_found(&plain_fences), "");
}

static void test_entry_before_doorbell_without_barrier_is_named(void **state)
{
	assert_string_equal(rule_found(&entry_doorbell), "write-barrier");
}

static void test_entry_before_doorbell_with_barrier_is_silent(void **state)
{
	assert_string_equal(rule_found(&entry_doorbell_wmb), "");
}

static void test_entry_after_done_bit_without_barrier_is_named(void **state)
{
	assert_string_equal(rule_found(&done_bit), "read-barrier");
}

static void test_entry_after_done_bit_with_barrier_is_silent(void **state)
{
	assert_string_equal(rule_found(&done_bit_rmb), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_buffering_without_barriers_all_outcomes),
		cmocka_unit_test(test_store_buffering_one_barrier_all_outcomes),
		cmocka_unit_test(test_store_buffering_write_barriers_all_outcomes),
		cmocka_unit_test(test_store_buffering_both_barriers_never_both_old),
		cmocka_unit_test(test_message_passing_without_barriers_all_outcomes),
		cmocka_unit_test(test_message_passing_write_barrier_only_all_outcomes),
		cmocka_unit_test(test_message_passing_read_barrier_only_all_outcomes),
		cmocka_unit_test(test_message_passing_both_barriers_never_new_then_old),
		cmocka_unit_test(test_load_buffering_never_from_the_future),
		cmocka_unit_test(test_load_buffering_with_barriers_never_from_the_future),
		cmocka_unit_test(test_coherence_never_new_then_old),
		cmocka_unit_test(test_device_message_without_read_barrier_all_outcomes),
		cmocka_unit_test(test_device_message_with_read_barrier_never_new_then_old),
		cmocka_unit_test(test_word_for_device_without_write_barrier_all_outcomes),
		cmocka_unit_test(test_word_for_device_with_write_barrier_never_new_then_old),
		cmocka_unit_test(test_doorbell_without_barrier_all_outcomes),
		cmocka_unit_test(test_doorbell_with_barrier_never_new_then_old),
		cmocka_unit_test(test_device_store_buffering_without_barrier_all_outcomes),
		cmocka_unit_test(test_device_store_buffering_with_barrier_never_both_old),
		cmocka_unit_test(test_plain_message_no_order_is_a_race),
		cmocka_unit_test(test_plain_message_release_acquire_is_silent),
		cmocka_unit_test(test_plain_message_relaxed_is_a_race),
		cmocka_unit_test(test_plain_message_fences_are_silent),
		cmocka_unit_test(test_entry_before_doorbell_without_barrier_is_named),
		cmocka_unit_test(test_entry_before_doorbell_with_barrier_is_silent),
		cmocka_unit_test(test_entry_after_done_bit_without_barrier_is_named),
		cmocka_unit_test(test_entry_after_done_bit_with_barrier_is_silent),
	};

	return cmocka_run_group_tests_name("sim/litmus", tests, NULL, NULL);
}
