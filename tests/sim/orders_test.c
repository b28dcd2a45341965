/* SPDX-License-Identifier: BSD-2-Clause */
/* What orders two sides keeps the race detector silent, and what does not is named, whatever the values were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/orders.h"

static const char *rule_found(const struct sides *sides)
{
	static struct sim_result result;
	struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	sides_select(sides);
	for (uint64_t seed = 1; seed <= 200; seed++) {
		sim_run(&sides_scenario, &config, seed, &result);
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
		cmocka_unit_test(test_plain_message_no_order_is_a_race),
		cmocka_unit_test(test_plain_message_release_acquire_is_silent),
		cmocka_unit_test(test_plain_message_relaxed_is_a_race),
		cmocka_unit_test(test_plain_message_fences_are_silent),
		cmocka_unit_test(test_entry_before_doorbell_without_barrier_is_named),
		cmocka_unit_test(test_entry_before_doorbell_with_barrier_is_silent),
		cmocka_unit_test(test_entry_after_done_bit_without_barrier_is_named),
		cmocka_unit_test(test_entry_after_done_bit_with_barrier_is_silent),
	};

	return cmocka_run_group_tests_name("sim/orders", tests, NULL, NULL);
}
