/* SPDX-License-Identifier: BSD-2-Clause */
/* Take a scenario through many worlds: explore [SCENARIO] [--seed N] [--seeds N] [--time S] [--trace] [--keep-going]. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/scenarios/scenarios.h"

struct options {
	const struct sim_scenario *scenario;
	uint64_t seed, seeds;
	double time_s;
	bool trace, keep_going, swarm;
	struct sim_config config;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int usage(void)
{
	fprintf(stderr, "usage: explore [SCENARIO] [--seed FIRST] [--seeds COUNT] [--time SECONDS] [--trace]\n"
			"               [--keep-going] [--calm] [--time-max-ms VIRTUAL]\nscenarios:\n");
	for (size_t i = 0; sim_scenarios[i] != NULL; i++)
		fprintf(stderr, "  %-12s %s\n", sim_scenarios[i]->name, sim_scenarios[i]->help);
	return 2;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},        {"seeds", required_argument, NULL, 'n'},
		{"time", required_argument, NULL, 't'},        {"trace", no_argument, NULL, 'v'},
		{"keep-going", no_argument, NULL, 'k'},        {"calm", no_argument, NULL, 'c'},
		{"time-max-ms", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			o->seeds = strtoull(optarg, NULL, 0);
		else if (c == 't')
			o->time_s = strtod(optarg, NULL);
		else if (c == 'm')
			o->config.time_max_ns = strtoull(optarg, NULL, 0) * OB_NS_PER_MS;
		else if (c == 'v')
			o->trace = true;
		else if (c == 'k')
			o->keep_going = true;
		else if (c == 'c')
			o->swarm = false;
		else
			return -EINVAL;
	}
	for (size_t i = 0; optind < argc && sim_scenarios[i] != NULL; i++)
		if (strcmp(sim_scenarios[i]->name, argv[optind]) == 0) {
			o->scenario = sim_scenarios[i];
			return 0;
		}
	return optind < argc ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	static struct sim_result result;
	struct options o = {.scenario = sim_scenarios[0], .seed = 1, .seeds = 1000, .swarm = true};
	uint64_t runs = 0, failures = 0, steps = 0, commands = 0, hash = 0, hard = 0;
	double start = cpu_seconds(), took;

	if (parse(argc, argv, &o) != 0)
		return usage();
	if (sim_init() != 0) {
		fprintf(stderr, "explore: the world's memory cannot be mapped\n");
		return 1;
	}
	for (; runs < o.seeds && (o.time_s == 0 || cpu_seconds() - start < o.time_s); runs++) {
		struct sim_config config = o.config;

		if (o.swarm)
			sim_swarm(o.scenario, o.seed + runs, &config);
		sim_run(o.scenario, &config, o.seed + runs, &result);
		steps += result.steps;
		commands += result.commands;
		hard += result.scheduled;
		hash = hash * 31 + result.hash;
		if (o.trace)
			printf("seed %llu hash %016llx steps %llu switches %llu commands %llu %llu us %s\n",
			       (unsigned long long)(o.seed + runs), (unsigned long long)result.hash,
			       (unsigned long long)result.steps, (unsigned long long)result.switches,
			       (unsigned long long)result.commands, (unsigned long long)result.now_ns / 1000 - 1000000,
			       result.failed ? result.rule : "");
		if (!result.failed)
			continue;
		failures++;
		if (failures == 1 || !o.keep_going) {
			sim_report_symbols(&result);
			printf("%s", result.report);
		} else {
			printf("seed %llu: %.200s\n", (unsigned long long)(o.seed + runs), result.report);
		}
		if (!o.keep_going) {
			runs++;
			break;
		}
	}
	took = cpu_seconds() - start;
	printf("%s: %llu runs, %llu failed; hash %016llx; %.1f s, %.0f runs/s, %.0f commands/s, %.1f million steps/s; "
	       "%llu interrupts inside driver code\n",
	       o.scenario->name, (unsigned long long)runs, (unsigned long long)failures, (unsigned long long)hash, took,
	       (double)runs / took, (double)commands / took, (double)steps / took / 1e6, (unsigned long long)hard);
	return failures != 0;
}
