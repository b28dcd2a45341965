/* SPDX-License-Identifier: BSD-2-Clause */
/* What interrupt handlers and the code that they interrupt do to each other is found, and what is right stays silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/hard.h"

#define SEEDS 1000

/* In how many worlds the rule was named. */
static unsigned worlds_with(const struct hard_case *c)
{
	static struct sim_result result;
	const struct sim_scenario scenario = {.name = c->name, .run = c->run};
	unsigned found = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_config config = {.preempt_hard = true, .preempt_every = 1 + (unsigned)(seed % 8)};

		config.loose_interrupts = seed % 3 == 0;
		sim_run(&scenario, &config, seed, &result);
		if (result.failed && strcmp(result.rule, c->rule) != 0) {
			sim_report_symbols(&result);
			fail_msg("%s: %s", c->name, result.report);
		}
		found += result.failed;
	}
	return found;
}

static void test_handler_mistake_is_named(void **state)
{
	assert_int_equal(sim_init(), 0);
	for (unsigned i = 0; i < hard_case_count; i++) {
		const struct hard_case *c = &hard_cases[i];
		unsigned found = worlds_with(c);

		if (c->rule[0] != '\0' && found == 0)
			fail_msg("%s: \"%s\" in none of %u worlds", c->name, c->rule, SEEDS);
		print_message("%s: \"%s\" in %u of %u worlds\n", c->name, c->rule, found, SEEDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handler_mistake_is_named),
	};

	return cmocka_run_group_tests_name("sim/hard", tests, NULL, NULL);
}
