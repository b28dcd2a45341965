/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace of some seeds of each scenario, one line each, for comparing. It needs
 * nothing but the C library, so it runs wherever qemu-user does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim/scenarios/scenarios.h"

#define SEEDS 10

int main(int argc, char **argv)
{
	static struct sim_result result;
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned failures = 0;

	if (sim_init() != 0) {
		fprintf(stderr, "traces: the world's memory cannot be mapped\n");
		return 1;
	}
	for (const struct sim_scenario *const *s = sim_scenarios; *s != NULL; s++) {
		for (uint64_t seed = first; seed < first + SEEDS; seed++) {
			struct sim_config config = {0};

			sim_swarm(*s, seed, &config);
			sim_run(*s, &config, seed, &result);
			failures += result.failed;
			printf("seed %llu of %s: hash %016llx steps %llu %s\n", (unsigned long long)seed, (*s)->name,
			       (unsigned long long)result.hash, (unsigned long long)result.steps, result.rule);
		}
	}
	return failures != 0;
}
