/* SPDX-License-Identifier: BSD-2-Clause */
/* The explorer: what it does with a table of scenarios and its arguments. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "sim/explore/work.h"

struct exploration {
	struct explore *e;
	struct explore_summary summary;
	struct progress progress;
	json_t *reports;               /* NULL: for people */
	struct explore_failure *first; /* that is to be made small */
	uint64_t start_ns;
};

static struct explore_failure *failure_of(struct explore_chunk *chunk, uint64_t seed)
{
	for (unsigned i = 0; i < chunk->failure_count; i++)
		if (chunk->failures[i].seed == seed)
			return &chunk->failures[i];
	return NULL;
}

/* The first of each rule in full: places become source lines, which takes its time. */
static void tell(struct exploration *x, struct explore_failure *f)
{
	static struct sim_result result;
	bool first = explore_count_rule(&x->summary, f->rule, f->seed);

	if (first) {
		memcpy(result.report, f->report, sizeof(result.report));
		sim_report_symbols(&result);
		memcpy(f->report, result.report, sizeof(f->report));
	}
	if (x->summary.reports == 1)
		*x->first = *f;
	if (x->reports != NULL)
		json_array_append_new(x->reports, explore_json_failure(x->e, f));
	else
		explore_print_failure(x->e, f, first);
}

static bool take(void *arg, struct explore_chunk *chunk)
{
	struct exploration *x = arg;
	unsigned ended = atomic_load(&chunk->at);

	x->summary.replays += chunk->replays;
	x->summary.replays_other += chunk->replays_other;
	if (chunk->replays_other > 0)
		x->summary.other_seed = chunk->other_seed;
	for (unsigned i = 0; i < ended; i++) {
		const struct explore_run *run = &chunk->runs[i];
		struct explore_failure *f = run->failed ? failure_of(chunk, chunk->first + i) : NULL;

		explore_count_run(&x->summary, run);
		if (x->e->trace && x->reports == NULL)
			explore_print_run(x->e, run, chunk->first + i, f != NULL ? f->rule : NULL);
		if (f == NULL)
			continue;
		tell(x, f);
		if (!x->e->keep_going)
			return false;
	}
	return true;
}

static bool moment(void *arg)
{
	struct exploration *x = arg;
	const struct explore *e = x->e;
	uint64_t now = explore_now_ns();
	double seconds = (double)(now - x->start_ns) / 1e9;

	if (progress_due(&x->progress))
		progress_text(&x->progress, "  %llu runs, %.0f runs/s, %llu reports, %.0f s",
			      (unsigned long long)x->summary.runs, (double)x->summary.runs / seconds,
			      (unsigned long long)x->summary.reports, seconds);
	return !cli_interrupted() && (e->time_ns == 0 || now - x->start_ns < e->time_ns);
}

static double cpu_seconds(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* After a first report that was the last one, jobs had run more seeds than were counted: how many is chance. */
static void cover(struct exploration *x)
{
	x->summary.covered = x->e->keep_going || x->summary.reports == 0;
	if (x->summary.covered)
		sim_coverage_figures(sim_coverage(), x->e->coverage_path != NULL, &x->summary.coverage);
}

static int write_coverage(struct explore *e, int code)
{
	FILE *f = fopen(e->coverage_path, "we");
	int rc = f != NULL ? sim_coverage_write(sim_coverage(), f) : -errno;

	if (f != NULL && fclose(f) != 0 && rc == 0)
		rc = -errno;
	if (rc == -ENOENT && f != NULL)
		return cli_error(&e->cli, EXPLORE_CANNOT,
				 "no coverage of lines: it takes objdump, and a build with -g");
	return rc == 0 ? code : cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", e->coverage_path, strerror(-rc));
}

static int explore_all(struct explore *e)
{
	static struct explore_failure first;
	struct exploration x = {
		.e = e,
		.first = &first,
		.start_ns = explore_now_ns(),
		.reports = e->json ? json_array() : NULL,
	};
	const struct explore_summary *s = &x.summary;
	json_t *minimised = NULL;
	int rc, code;

	progress_start(&x.progress, &e->cli);
	rc = explore_jobs(e, take, moment, &x);
	x.summary.seconds = (double)(explore_now_ns() - x.start_ns) / 1e9;
	x.summary.cpu_seconds = cpu_seconds(RUSAGE_CHILDREN);
	progress_clear();
	code = s->reports > 0 ? EXPLORE_REPORTS : EXPLORE_SILENT;
	if (s->replays_other > 0)
		code = cli_error(&e->cli, EXPLORE_CANNOT,
				 "%llu seeds went another way the second time, %llu among them",
				 (unsigned long long)s->replays_other, (unsigned long long)s->other_seed);
	if (rc != 0)
		code = cli_error(&e->cli, EXPLORE_CANNOT, "jobs: %s", strerror(-rc));
	cover(&x);
	if (e->coverage_path != NULL && rc == 0)
		code = write_coverage(e, code);
	if (!e->json)
		explore_print_summary(e, s);
	/* Whatever else went wrong: a report is worth it. The worse of the codes counts. */
	if (e->minimise && s->reports > 0 && !cli_interrupted()) {
		rc = explore_minimise(e, &first, e->json ? &minimised : NULL);
		code = rc > code ? rc : code;
	} else if (s->reports > 0 && strcmp(first.rule, "simulator") != 0) {
		code = explore_picture(e, e->scenarios[first.run.scenario], first.seed, code);
	}
	if (e->json && output_json(&e->cli, json_pack("{s:o, s:o, s:o*}", "reports", x.reports, "summary",
						      explore_json_summary(e, s), "minimised", minimised)) != CLI_OK)
		code = EXPLORE_CANNOT;
	return code;
}

static int replay_json(struct explore *e, const struct explore_failure *f, int code)
{
	json_t *report = explore_json_failure(e, f), *minimised = NULL;

	if (e->hash_given)
		json_object_set_new(report, "identical", json_boolean(e->hash == f->run.hash));
	if (e->minimise && code == EXPLORE_REPORTS)
		code = explore_minimise(e, f, &minimised);
	if (minimised != NULL)
		json_object_set_new(report, "minimised", minimised);
	return output_json(&e->cli, report) == CLI_OK ? code : EXPLORE_CANNOT;
}

static int replay(struct explore *e)
{
	static struct explore_failure f;
	static struct sim_result result;
	int code = EXPLORE_SILENT;

	f.seed = e->replay;
	e->record = true; /* then the steps are told with each access to the memory that it is about */
	explore_seed(e, e->replay, &f.run, &result);
	e->record = false;
	if (result.failed) {
		code = EXPLORE_REPORTS;
		memcpy(f.rule, result.rule, sizeof(f.rule));
		sim_report_symbols(&result);
		memcpy(f.report, result.report, sizeof(f.report));
	}
	if (e->hash_given && e->hash != f.run.hash)
		code = cli_error(&e->cli, EXPLORE_CANNOT, "another trace: %016llx, not %016llx; was it the same build?",
				 (unsigned long long)f.run.hash, (unsigned long long)e->hash);
	if (!e->minimise || code != EXPLORE_REPORTS)
		code = explore_picture(e, e->scenarios[f.run.scenario], e->replay, code);
	if (e->json)
		return replay_json(e, &f, code);
	printf("%s", result.report);
	explore_print_run(e, &f.run, e->replay, result.failed ? f.rule : "no report");
	if (e->hash_given && code != EXPLORE_CANNOT)
		printf("the same trace\n");
	return e->minimise && code == EXPLORE_REPORTS ? explore_minimise(e, &f, NULL) : code;
}

int sim_explore_main(int argc, char **argv, const struct sim_scenario *const scenarios[])
{
	static struct explore e;
	bool done = false;
	int code, rc;

	e = (struct explore){.command = argv[0], .all = scenarios, .seed = 1, .seeds = 1000};
	if (strcmp(argv[0], EXPLORE_VERB) == 0)
		e.cli.verb = "explore";
	else
		e.cli.program = basename(argv[0]); /* string.h's: it changes nothing */
	output_begin();
	cli_catch_signals();
	code = explore_arguments(&e, argc - 1, argv + 1, &done);
	if (code == CLI_OK && !done) {
		rc = sim_init();
		if (rc != 0)
			code = cli_error(&e.cli, EXPLORE_CANNOT, "the world's memory cannot be mapped: %s",
					 strerror(-rc));
		else
			code = e.replay_given ? replay(&e) : explore_all(&e);
	}
	rc = output_finish(&e.cli, CLI_OK);
	if (rc != CLI_OK)
		code = rc == CLI_PIPE ? CLI_PIPE : EXPLORE_CANNOT;
	return cli_interrupted() ? 128 + cli_interrupted() : code;
}
