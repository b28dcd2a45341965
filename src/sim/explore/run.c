/* SPDX-License-Identifier: BSD-2-Clause */
/* One run: what its seed decides, and what is kept of it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/explore/cut.h"
#include "sim/explore/work.h"
#include "sim/random.h"

uint64_t explore_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * OB_NS_PER_S + (uint64_t)t.tv_nsec;
}

/*
 * In turn, so that few seeds have seen all of them. Scenarios that start from a world which is up pay for it: it is made
 * anew each time.
 */
unsigned explore_scenario_of(const struct explore *e, uint64_t seed)
{
	return (unsigned)(seed % e->scenario_count);
}

static void configure(const struct explore *e, const struct sim_scenario *scenario, uint64_t seed,
		      struct sim_config *config)
{
	memset(config, 0, sizeof(*config));
	if (!e->calm)
		sim_swarm(scenario, seed, config);
	if (e->strategy != EXPLORE_SWARM)
		config->strategy = e->strategy == EXPLORE_PCT ? SIM_PCT : SIM_RANDOM;
	config->promises = e->promises;
	explore_faults_apply(e, scenario, config);
	if (e->cut != NULL)
		cut_apply(e->cut, config);
}

void explore_run_scenario(const struct explore *e, const struct sim_scenario *scenario, uint64_t seed,
			  struct explore_run *run, struct sim_result *result)
{
	struct sim_config config;

	configure(e, scenario, seed, &config);
	config.record = e->record;
	sim_run(scenario, &config, seed, result);
	*run = (struct explore_run){
		.hash = result->hash,
		.steps = result->steps,
		.switches = result->switches,
		.commands = result->commands,
		.now_ns = result->now_ns,
		.requests = result->requests,
		.failed = result->failed,
	};
	memcpy(run->choices, result->choices, sizeof(run->choices));
	memcpy(run->faults, result->fault_counts, sizeof(run->faults));
}

void explore_seed(const struct explore *e, uint64_t seed, struct explore_run *run, struct sim_result *result)
{
	unsigned index = explore_scenario_of(e, seed);

	explore_run_scenario(e, e->scenarios[index], seed, run, result);
	run->scenario = (uint8_t)index;
}

/*
 * Every nth seed once more, the last one first: what ran before it is another seed than the first time. A trace that
 * depends on anything but the seed shows.
 */
static void replay_some(const struct explore *e, struct explore_chunk *chunk, struct sim_result *result,
			const atomic_bool *stop)
{
	for (unsigned i = atomic_load(&chunk->at); i-- > 0 && !atomic_load(stop);) {
		struct explore_run again;

		/* What ended its process would do it again. */
		if ((chunk->first + i - e->seed) % e->replay_check != 0 || chunk->runs[i].hash == 0)
			continue;
		explore_seed(e, chunk->first + i, &again, result);
		chunk->replays++;
		if (again.hash == chunk->runs[i].hash && again.failed == chunk->runs[i].failed)
			continue;
		chunk->replays_other++;
		chunk->other_seed = chunk->first + i;
	}
}

void explore_chunk_run(const struct explore *e, struct explore_chunk *chunk, const atomic_bool *stop)
{
	static struct sim_result result;

	for (unsigned i = atomic_load(&chunk->at); i < chunk->count && !atomic_load(stop); i++) {
		explore_seed(e, chunk->first + i, &chunk->runs[i], &result);
		if (result.failed) {
			struct explore_failure *f = &chunk->failures[chunk->failure_count++];

			f->seed = chunk->first + i;
			f->run = chunk->runs[i];
			memcpy(f->rule, result.rule, sizeof(f->rule));
			memcpy(f->report, result.report, sizeof(f->report));
		}
		atomic_store(&chunk->at, i + 1);
		if (result.failed && !e->keep_going)
			break;
	}
	chunk->second = e->replay_check > 0;
	if (chunk->second)
		replay_some(e, chunk, &result, stop);
}
