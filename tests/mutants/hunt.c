/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hunt for what a mutant breaks: from each of some starts, worlds of the default swarm one after the other until the
 * first report. hunt SCENARIO STARTS SEEDS [SECONDS]
 *
 * Prints a line for each start: its number, the seeds that it took (0: nothing was found), the rule, CPU seconds. Each
 * start is a process of its own, so that whatever a mutant does to the simulator ends with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/scenarios/scenarios.h"

#define START_STEP 1000003u /* between the first seeds of two starts */

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int hunt(const struct sim_scenario *scenario, unsigned start, uint64_t seeds, double seconds, uint64_t *tried)
{
	static struct sim_result result;
	uint64_t first = 1 + (uint64_t)start * START_STEP;

	if (sim_init() != 0)
		return 1;
	for (uint64_t i = 0; i < seeds && (seconds == 0 || cpu_seconds() < seconds); i++) {
		struct sim_config config = {0};

		*tried = i + 1;
		sim_swarm(scenario, first + i, &config);
		sim_run(scenario, &config, first + i, &result);
		if (!result.failed)
			continue;
		printf("%u %llu %s %.3f\n", start, (unsigned long long)(i + 1), result.rule, cpu_seconds());
		fflush(stdout);
		return 0;
	}
	printf("%u 0 - %.3f\n", start, cpu_seconds());
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	const struct sim_scenario *scenario = NULL;
	unsigned starts = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	/* Where the child is, for when it does not live to tell. */
	uint64_t *tried = mmap(NULL, sizeof(*tried), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; argc > 3 && sim_scenarios[i] != NULL; i++)
		if (strcmp(sim_scenarios[i]->name, argv[1]) == 0)
			scenario = sim_scenarios[i];
	if (tried == MAP_FAILED)
		return 1;
	if (scenario == NULL) {
		fprintf(stderr, "usage: hunt SCENARIO STARTS SEEDS [SECONDS]\n");
		return 2;
	}
	for (unsigned start = 0; start < starts; start++) {
		struct rusage before, after;
		int status;
		pid_t pid;

		getrusage(RUSAGE_CHILDREN, &before);
		pid = fork();
		if (pid == 0)
			_exit(hunt(scenario, start, strtoull(argv[3], NULL, 0), argc > 4 ? atof(argv[4]) : 0, tried));
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		getrusage(RUSAGE_CHILDREN, &after);
		/* It took the simulator with it. */
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			printf("%u %llu died %.3f\n", start, (unsigned long long)*tried,
			       (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec));
		fflush(stdout);
	}
	return 0;
}
