/* SPDX-License-Identifier: BSD-2-Clause */
/* What a person sees of a run: the steps that led to a report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/scenarios/scenarios.h"
#include "tests/sim/view.h"

static struct sim_result result;

/* The @nth line of @text that holds @what; NULL: there are fewer. */
static const char *line_with(const char *text, const char *what)
{
	const char *at = strstr(text, what);

	if (at == NULL)
		fail_msg("\"%s\" is not in:\n%s", what, text);
	while (at > text && at[-1] != '\n')
		at--;
	return at;
}

static const char *steps_of(const char *report)
{
	return line_with(report, "the steps that led there");
}

static void test_report_steps_tell_the_story_in_order(void **state)
{
	static const char *const story[] = {
		"writes the doorbell = 0x2a",
		"the doorbell = 0x2a arrives",
		"device       reads DMA memory",
		"device       writes DMA memory",
		"sees that the device wrote DMA memory",
	};
	struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const char *at;

		sim_run(&view_no_barrier, &config, seed, &result);
		assert_string_equal(result.rule, "read-barrier");
		at = steps_of(result.report);
		for (size_t i = 0; i < sizeof(story) / sizeof(story[0]); i++)
			at = line_with(at, story[i]);
		line_with(steps_of(result.report), "store to DMA memory of 12 bytes at 0, 4 bytes, becomes visible");
		line_with(steps_of(result.report), "ob_mmio_wmb");
	}
}

static void test_report_steps_name_source_lines(void **state)
{
	struct sim_config config = {0};
	const char *line;

	assert_int_equal(sim_init(), 0);
	sim_run(&view_no_barrier, &config, 1, &result);
	assert_non_null(strstr(line_with(result.report, "writes the doorbell"), " @"));
	sim_report_symbols(&result);
	line = line_with(result.report, "writes the doorbell");
	assert_in_range(strcspn(strstr(line, "ask at view.c:") + 14, "\n"), 2, 3);
	line = line_with(result.report, "sees that the device wrote");
	assert_ptr_equal(line_with(line, "ask at view.c:"), line);
}

/* Recording a run whole shows its accesses as well, and changes nothing. */
static void test_recorded_run_is_the_same_run(void **state)
{
	const struct sim_scenario *const scenarios[] = {&view_barrier, &scenario_nvme_io, &scenario_nvme_small};

	assert_int_equal(sim_init(), 0);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		for (uint64_t seed = 1; seed <= 10; seed++) {
			struct sim_config config = {0};
			uint64_t hash;

			sim_swarm(scenarios[i], seed, &config);
			sim_run(scenarios[i], &config, seed, &result);
			hash = result.hash;
			config.record = true;
			sim_run(scenarios[i], &config, seed, &result);
			assert_false(result.failed);
			assert_int_equal(result.hash, hash);
		}
	}
}

static void test_recorded_report_shows_the_load(void **state)
{
	struct sim_config config = {.record = true};

	assert_int_equal(sim_init(), 0);
	sim_run(&view_no_barrier, &config, 3, &result);
	line_with(steps_of(result.report), "loads DMA memory of 12 bytes at 8, 4 bytes");
	config.record = false;
	sim_run(&view_no_barrier, &config, 3, &result);
	assert_null(strstr(result.report, "loads DMA memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_steps_tell_the_story_in_order),
		cmocka_unit_test(test_report_steps_name_source_lines),
		cmocka_unit_test(test_recorded_run_is_the_same_run),
		cmocka_unit_test(test_recorded_report_shows_the_load),
	};

	return cmocka_run_group_tests_name("sim/view", tests, NULL, NULL);
}
