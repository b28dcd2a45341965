/* SPDX-License-Identifier: BSD-2-Clause */
/* Each rule names its mistake in every one of some worlds, and what is right stays silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>

#include "tests/sim/rules.h"
#include "tests/sim/rules_device.h"

#define SEEDS 20

static const struct rule_case *const rule_sets[] = {rules_basic, rules_lock, rules_lend, rules_durable,
						    rules_irq,   rules_pin,  rules_gone};

static void check_case(const struct rule_case *c, bool pin)
{
	static struct sim_result result;
	const struct sim_scenario scenario = {.name = c->name, .run = c->run, .devices = rules_devices};
	const struct sim_config config = {.steps_max = 200000, .pin_interrupts = pin};

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		sim_run(&scenario, &config, seed, &result);
		if (strcmp(result.rule, c->rule) != 0)
			fail_msg("%s, seed %llu: \"%s\", not \"%s\"\n%s", c->name, (unsigned long long)seed,
				 result.rule, c->rule, result.report);
		assert_int_equal(result.failed, c->rule[0] != '\0');
	}
}

static void test_rule_mistake_is_named(void **state)
{
	assert_int_equal(sim_init(), 0);
	for (unsigned set = 0; set < sizeof(rule_sets) / sizeof(rule_sets[0]); set++)
		for (const struct rule_case *c = rule_sets[set]; c->rule != NULL; c++)
			check_case(c, rule_sets[set] == rules_pin);
}

/* Nothing but the system's clock of CPU time ends it: not at twenty seconds here, so that this test has an end too. */
static void test_rule_loop_without_access_is_named(void **state)
{
	static struct sim_result result;
	const struct sim_scenario scenario = {.name = "loop", .run = rules_loop};
	const struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	sim_run(&scenario, &config, 1, &result);
	assert_string_equal(result.rule, "loop");
	assert_true(result.failed);
}

static void test_report_symbols_name_the_source(void **state)
{
	static struct sim_result result;
	struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	for (const struct rule_case *c = rules_basic; c->rule != NULL; c++) {
		const struct sim_scenario scenario = {.name = c->name, .run = c->run};

		if (strcmp(c->name, "double_free") != 0)
			continue;
		sim_run(&scenario, &config, 7, &result);
		sim_report_symbols(&result);
		/* Where it was freed the second time, and the first. */
		assert_non_null(strstr(result.report, "rules.c"));
		assert_non_null(strstr(result.report, "double_free"));
		assert_non_null(strstr(result.report, "freed before at"));
		assert_non_null(strstr(result.report, "seed 7"));
	}
}

/* Whoever goes on behind a run may take its time. */
static void test_watchdog_ends_with_the_run(void **state)
{
	static struct sim_result result;
	const struct sim_scenario scenario = {.name = "first", .run = rules_basic[0].run};
	const struct sim_config config = {0};
	struct itimerval left;

	assert_int_equal(sim_init(), 0);
	sim_run(&scenario, &config, 1, &result);
	assert_int_equal(getitimer(ITIMER_VIRTUAL, &left), 0);
	assert_int_equal(left.it_value.tv_sec, 0);
	assert_int_equal(left.it_value.tv_usec, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_mistake_is_named),
		cmocka_unit_test(test_rule_loop_without_access_is_named),
		cmocka_unit_test(test_report_symbols_name_the_source),
		cmocka_unit_test(test_watchdog_ends_with_the_run),
	};

	return cmocka_run_group_tests_name("sim/rules", tests, NULL, NULL);
}
