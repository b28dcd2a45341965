/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A failing run made small: less load, fewer CPUs and channels, and of the random choices only those without which the
 * rule does not fire. Whatever is taken away, the run is made again; it is shorter when the same rule still fires.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/progress.h"
#include "sim/explore/cut.h"
#include "sim/explore/work.h"

#define TIME_NS    (30 * OB_NS_PER_S) /* unless --time says */
#define STEPS_MORE 1000000            /* than the run had that is made small */

struct minimiser {
	struct explore *e;
	const struct explore_failure *failure;
	const struct sim_scenario *scenario;
	struct explore_cut best, trial;
	struct explore_run best_run;
	struct progress progress;
	uint64_t start_ns, runs;
	int error;
};

static bool time_is_up(const struct minimiser *m)
{
	uint64_t limit = m->e->time_ns > 0 ? m->e->time_ns : TIME_NS;

	return m->error != 0 || cli_interrupted() || explore_now_ns() - m->start_ns > limit;
}

static void show(struct minimiser *m)
{
	if (progress_due(&m->progress))
		progress_text(&m->progress, "  minimising: %llu runs, %llu steps, %u requests, %u preemptions",
			      (unsigned long long)m->runs, (unsigned long long)m->best_run.steps, m->best_run.requests,
			      m->best_run.choices[SIM_CHOICE_PREEMPT]);
}

/* Does the rule fire in m->trial? Then that is the best so far. */
static bool works(struct minimiser *m)
{
	static struct sim_result result;
	struct explore_run run;

	m->error = cut_plan(&m->trial);
	if (m->error != 0)
		return false;
	m->e->cut = &m->trial;
	explore_run_scenario(m->e, m->scenario, m->failure->seed, &run, &result);
	m->e->cut = NULL;
	m->runs++;
	show(m);
	if (!result.failed || strcmp(result.rule, m->failure->rule) != 0)
		return false;
	cut_trim(&m->trial, run.choices);
	m->best_run = run;
	m->error = cut_copy(&m->best, &m->trial);
	return true;
}

static void begin(struct minimiser *m)
{
	m->error = cut_copy(&m->trial, &m->best);
}

/* ---- load, CPUs, channels ---- */

/* The first of many small ones that does; what the seed itself says comes last. */
static void shrink_load(struct minimiser *m)
{
	static const unsigned loads[] = {1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 0};
	static const unsigned few[] = {1, 2, 3, 0};
	unsigned steps = sizeof(loads) / sizeof(loads[0]);

	for (unsigned i = 0; i < steps && !(m->best.load_max > 0 && loads[i] >= m->best.load_max); i++)
		for (unsigned k = 0; k < 16; k++) {
			if (time_is_up(m))
				return;
			begin(m);
			m->trial.load_max = loads[i];
			m->trial.channels_max = few[k / 4];
			m->trial.cpus_max = few[k % 4];
			if (m->error == 0 && works(m))
				return;
		}
}

/* ---- choices ---- */

/* Without @count choices from @at on. */
static bool works_without(struct minimiser *m, enum sim_choice kind, uint32_t at, uint32_t count)
{
	struct cut_choices *c = &m->trial.choices[kind];

	begin(m);
	if (m->error != 0)
		return false;
	memmove(c->numbers + at, c->numbers + at + count, (c->count - at - count) * sizeof(*c->numbers));
	c->count -= count;
	return works(m);
}

/* All at once, then by halves, quarters, … as long as anything can go. */
static void shrink_choices(struct minimiser *m, enum sim_choice kind)
{
	const struct cut_choices *c = &m->best.choices[kind];

	for (uint32_t piece = c->count; piece > 0; piece = piece > 1 ? (piece + 1) / 2 : 0) {
		for (uint32_t at = 0; at < c->count && !time_is_up(m);) {
			uint32_t count = c->count - at < piece ? c->count - at : piece;

			if (!works_without(m, kind, at, count))
				at += count;
		}
		if (piece > c->count)
			piece = c->count + 1;
	}
}

static uint64_t size_of(const struct minimiser *m)
{
	uint64_t size = m->best_run.requests;

	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		size += m->best.choices[k].count;
	return size;
}

static void shrink(struct minimiser *m)
{
	/* What explains most comes first: a run without faults or late stores is another one to read. */
	static const enum sim_choice order[] = {SIM_CHOICE_FAULT,      SIM_CHOICE_STALL,    SIM_CHOICE_WARP,
						SIM_CHOICE_LATE_STORE, SIM_CHOICE_OLD_LOAD, SIM_CHOICE_INTERRUPT,
						SIM_CHOICE_PREEMPT};
	uint64_t before;

	shrink_load(m);
	begin(m);
	if (m->error == 0)
		m->error = cut_keep_all(&m->trial, m->best_run.choices);
	/* The same run as before, said in another way. */
	if (m->error != 0 || !works(m))
		return;
	do {
		before = size_of(m);
		for (unsigned i = 0; i < SIM_CHOICE_COUNT; i++)
			shrink_choices(m, order[i]);
		shrink_load(m);
	} while (size_of(m) < before && !time_is_up(m));
}

/* ---- what came of it ---- */

static void print_row(const char *what, uint64_t before, uint64_t after)
{
	if (before > 0 || after > 0)
		printf("  %-12s %10llu %10llu\n", what, (unsigned long long)before, (unsigned long long)after);
}

static void print_result(const struct minimiser *m)
{
	const struct explore_run *before = &m->failure->run, *after = &m->best_run;

	printf("made small in %llu runs, %.1f s      before      after\n", (unsigned long long)m->runs,
	       (double)(explore_now_ns() - m->start_ns) / 1e9);
	print_row("steps", before->steps, after->steps);
	print_row("requests", before->requests, after->requests);
	print_row("commands", before->commands, after->commands);
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		print_row(cut_choice_names[k], before->choices[k], m->best.choices[k].count);
}

static int finish(struct minimiser *m, const char *path, json_t **out)
{
	static struct explore_failure f;
	static struct sim_result result;
	char command[1000];
	int rc, code;

	m->error = cut_copy(&m->trial, &m->best);
	if (m->error == 0)
		m->error = cut_plan(&m->trial);
	if (m->error != 0)
		return cli_error(&m->e->cli, EXPLORE_CANNOT, "out of memory");
	m->e->cut = &m->trial;
	m->e->run_path = path;
	explore_run_scenario(m->e, m->scenario, m->failure->seed, &f.run, &result);
	code = explore_picture(m->e, m->scenario, m->failure->seed, EXPLORE_REPORTS);
	explore_replay_command(m->e, m->scenario, m->failure->seed, command, sizeof(command));
	m->e->cut = NULL;
	rc = cut_write(path, m->e, &m->trial, m->scenario, m->failure->seed, result.rule, f.run.hash);
	if (rc != 0)
		return cli_error(&m->e->cli, EXPLORE_CANNOT, "%s: %s", path, strerror(-rc));
	sim_report_symbols(&result);
	if (out != NULL) {
		*out = json_pack("{s:s, s:I, s:o, s:o, s:o, s:s}", "rule", result.rule, "runs", (json_int_t)m->runs,
				 "before", explore_json_counts(&m->failure->run, NULL), "after",
				 explore_json_counts(&m->best_run, &m->best), "report",
				 explore_json_text(result.report), "file", path);
		return code;
	}
	printf("%s", result.report);
	print_result(m);
	printf("replay: %s\n\n", command);
	return code;
}

int explore_minimise(struct explore *e, const struct explore_failure *failure, json_t **out)
{
	static struct minimiser m;
	char path[300];
	int code;

	m = (struct minimiser){
		.e = e,
		.failure = failure,
		.scenario = e->scenarios[failure->run.scenario],
		.best_run = failure->run,
		.start_ns = explore_now_ns(),
	};
	if (strcmp(failure->rule, "simulator") == 0)
		return cli_error(&e->cli, EXPLORE_CANNOT,
				 "a run that ends the simulator's process cannot be minimised");
	/* A run that never ends is not what is looked for, unless it is. */
	if (strcmp(failure->rule, "livelock") != 0)
		m.best.steps_max = 4 * failure->run.steps + STEPS_MORE;
	if (e->output != NULL)
		snprintf(path, sizeof(path), "%s", e->output);
	else
		snprintf(path, sizeof(path), "%s-%llu.run", m.scenario->name, (unsigned long long)failure->seed);
	progress_start(&m.progress, &e->cli);
	shrink(&m);
	progress_clear();
	if (m.best.planned)
		code = finish(&m, path, out);
	else
		code = cli_error(&e->cli, EXPLORE_CANNOT, "seed %llu does not fail by '%s' a second time",
				 (unsigned long long)failure->seed, failure->rule);
	cut_free(&m.best);
	cut_free(&m.trial);
	return code;
}
