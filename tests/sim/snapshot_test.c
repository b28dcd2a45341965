/* SPDX-License-Identifier: BSD-2-Clause */
/* A run that starts from a snapshot is the run that came all the way: same trace, whatever ran before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/scenarios/scenarios.h"

#define RUNS 600 /* of three shapes */

static uint64_t run(uint64_t seed, bool no_snapshot)
{
	static struct sim_result result;
	struct sim_config config = {.no_snapshot = no_snapshot};

	sim_swarm(&scenario_nvme_small, seed, &config);
	sim_run(&scenario_nvme_small, &config, seed, &result);
	if (result.failed)
		fail_msg("%s", result.report);
	return result.hash;
}

static void test_run_from_snapshot_same_trace_as_whole_run(void **state)
{
	static uint64_t hashes[RUNS];

	assert_int_equal(sim_init(), 0);
	for (uint64_t seed = 0; seed < RUNS; seed++)
		hashes[seed] = run(seed, false);
	for (uint64_t seed = 0; seed < RUNS; seed += 7)
		assert_true(run(seed, true) == hashes[seed]);
	for (uint64_t seed = RUNS; seed-- > 0;)
		assert_true(run(seed, false) == hashes[seed]);
}

/* Another scenario in between takes the memory that was kept. */
static void test_run_from_snapshot_after_another_scenario_same_trace(void **state)
{
	static struct sim_result result;
	struct sim_config config = {0};
	uint64_t hash;

	assert_int_equal(sim_init(), 0);
	hash = run(5, false);
	assert_true(run(6, false) != hash);
	sim_run(&scenario_nvme_io, &config, 5, &result);
	assert_false(result.failed);
	assert_true(run(5, false) == hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_from_snapshot_same_trace_as_whole_run),
		cmocka_unit_test(test_run_from_snapshot_after_another_scenario_same_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
