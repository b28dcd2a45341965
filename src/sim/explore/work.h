/* SPDX-License-Identifier: BSD-2-Clause */
/* What the explorer's files share: what was asked, a run's outcome, and the chunks of seeds that jobs work on. */
#ifndef OB_SIM_EXPLORE_WORK_H
#define OB_SIM_EXPLORE_WORK_H

#include <assert.h>
#include <jansson.h>
#include <stdatomic.h>

#include "cli/cli.h"
#include "sim/explore/explore.h"
#include "sim/view/coverage.h"

#define EXPLORE_SCENARIO_MAX 32
#define EXPLORE_JOB_MAX      64
#define EXPLORE_FAULT_MAX    64 /* options */
#define EXPLORE_CHUNK        64 /* seeds that a job takes at once */

#define EXPLORE_VERB "outboard explore" /* what the command calls this program when it runs it */

/* Exit codes, as outboard-explore(1) says: the command's own, but that "failed" means reports here. */
#define EXPLORE_SILENT  CLI_OK
#define EXPLORE_REPORTS CLI_FAILED
#define EXPLORE_CANNOT  CLI_USAGE

/* What the options are for, in the order of --strategy. */
enum explore_strategy {
	EXPLORE_SWARM,
	EXPLORE_RANDOM,
	EXPLORE_PCT,
};

struct explore_cut;

struct explore {
	struct cli cli; /* for messages */
	const char *command;
	const struct sim_scenario *const *all;
	const struct sim_scenario *scenarios[EXPLORE_SCENARIO_MAX]; /* that were chosen */
	unsigned scenario_count;
	uint64_t seed, seeds, time_ns, replay;
	unsigned jobs, strategy, replay_check, picture_events;
	bool list_faults, replay_given, hash_given, keep_going, trace, json, list, calm, promises, minimise;
	bool record;   /* runs keep all that happens, for a picture */
	uint64_t hash; /* that the replay is expected to have */
	const char *faults[EXPLORE_FAULT_MAX], *script_path;
	char *script_text; /* in place of the file: a run that was made small has its script with it */
	unsigned fault_count;
	uint64_t faults_set; /* bits of those that have a rate in place of the seed's: */
	unsigned fault_one_in[SIM_FAULT_COUNT];
	struct sim_fault_script *script;
	const char *coverage_path;     /* all of it goes there; NULL: figures only */
	const char *picture_path;      /* of the first failing run, or the one that is replayed; NULL: none */
	const char *output;            /* of --minimise; NULL: made of the run's name */
	const struct explore_cut *cut; /* what runs have less than their seeds say; or NULL */
	const char *run_path;          /* the file that says so */
};

static_assert(SIM_SHAPE_SEEDS % EXPLORE_CHUNK == 0, "the seeds of a chunk may start from one world that is up");

/* What is kept of each run. */
struct explore_run {
	uint64_t hash, steps, switches, commands, now_ns;
	uint32_t requests, choices[SIM_CHOICE_COUNT];
	uint32_t faults[SIM_FAULT_COUNT]; /* how often each struck */
	uint8_t scenario;                 /* index of those that were chosen */
	bool failed;
};

struct explore_failure {
	uint64_t seed;
	struct explore_run run;
	char rule[SIM_RULE_LEN];
	char report[SIM_REPORT_LEN];
};

/* Consecutive seeds: shared between the parent, who hands them out, and a job, who fills in what came of them. */
struct explore_chunk {
	uint64_t first;
	unsigned count;
	atomic_uint at; /* runs that have ended; the next one is under way */
	unsigned failure_count;
	bool second;                     /* seeds are run once more */
	unsigned replays, replays_other; /* so many; those of them that went another way */
	uint64_t other_seed;             /* the last of these */
	struct explore_run runs[EXPLORE_CHUNK];
	struct explore_failure failures[EXPLORE_CHUNK];
};

/* ---- arguments.c ---- */

extern const char *const explore_strategy_names[];

/** explore_parse_hash - false: @text is none */
bool explore_parse_hash(const char *text, uint64_t *out);
/** explore_arguments - CLI_OK; or an exit code after a message; *@done: nothing is left to do */
int explore_arguments(struct explore *e, int argc, char **argv, bool *done);
/** explore_replay_command - how to bring @seed of a scenario back */
void explore_replay_command(const struct explore *e, const struct sim_scenario *scenario, uint64_t seed, char *out,
			    size_t size);

/* ---- faults.c ---- */

/** explore_faults - what --fault and --faults say; CLI_OK, or an exit code after a message */
int explore_faults(struct explore *e);
void explore_faults_apply(const struct explore *e, const struct sim_scenario *scenario, struct sim_config *config);
void explore_faults_list(void);

/* ---- run.c ---- */

/** explore_run_scenario - one run of @scenario; all of @run but which of those chosen it was */
void explore_run_scenario(const struct explore *e, const struct sim_scenario *scenario, uint64_t seed,
			  struct explore_run *run, struct sim_result *result);
/** explore_seed - one run of the scenario that @seed is for */
void explore_seed(const struct explore *e, uint64_t seed, struct explore_run *run, struct sim_result *result);
/** explore_chunk_run - the seeds of @chunk that are left; until one fails, unless told to go on; or until *@stop */
void explore_chunk_run(const struct explore *e, struct explore_chunk *chunk, const atomic_bool *stop);
/** explore_scenario_of - the index of the one that @seed is for, among those that were chosen */
unsigned explore_scenario_of(const struct explore *e, uint64_t seed);
/** explore_now_ns - real time; the kit's is the world's in this program */
uint64_t explore_now_ns(void);

/* ---- picture.c ---- */

/** explore_picture - of that run, as it is with e->cut, if one is asked for. @code; or EXPLORE_CANNOT after a message */
int explore_picture(struct explore *e, const struct sim_scenario *scenario, uint64_t seed, int code);

/* ---- jobs.c ---- */

/**
 * explore_jobs - hand out all seeds, in chunks
 * @take:   gets each chunk that was worked on, whole or in part, in the order of the seeds; false: enough
 * @moment: called a few times a second; false: enough
 *
 * What the runs came by is in sim_coverage() then. A job that dies is reported as a failure of the seed that it was at, and another one takes its place.
 * Return: 0 or negative errno.
 */
int explore_jobs(struct explore *e, bool (*take)(void *arg, struct explore_chunk *chunk), bool (*moment)(void *arg),
		 void *arg);

/* ---- minimise.c ---- */

/** explore_minimise - make a failing run small, write it to a file, and say so; or into *@out. An exit code */
int explore_minimise(struct explore *e, const struct explore_failure *failure, json_t **out);

/* ---- summary.c ---- */

#define EXPLORE_RULE_MAX 64

struct explore_rule {
	char name[SIM_RULE_LEN];
	uint64_t reports, first_seed;
};

struct explore_summary {
	uint64_t runs, reports, steps, switches, requests, commands, hash, replays, replays_other;
	uint64_t choices[SIM_CHOICE_COUNT], faults[SIM_FAULT_COUNT];
	uint64_t other_seed; /* one of replays_other */
	struct explore_rule rules[EXPLORE_RULE_MAX];
	unsigned rule_count;
	double seconds, cpu_seconds;
	bool covered; /* the figures are of these runs and no others */
	struct sim_coverage_figures coverage;
};

/** explore_count_run - one more, in the order of the seeds */
void explore_count_run(struct explore_summary *s, const struct explore_run *run);
/** explore_count_rule - one more report; true: the first of its rule */
bool explore_count_rule(struct explore_summary *s, const char *rule, uint64_t seed);
void explore_print_run(const struct explore *e, const struct explore_run *run, uint64_t seed, const char *rule);
/** explore_print_failure - in full, or in one line */
void explore_print_failure(const struct explore *e, const struct explore_failure *f, bool whole);
void explore_print_summary(const struct explore *e, const struct explore_summary *s);
/** explore_json_counts - of a run; of its choices those that are left of @cut, unless it is NULL */
json_t *explore_json_counts(const struct explore_run *run, const struct explore_cut *cut);
/** explore_json_text - @text, as much of it as JSON can hold */
json_t *explore_json_text(const char *text);
json_t *explore_json_failure(const struct explore *e, const struct explore_failure *f);
json_t *explore_json_summary(const struct explore *e, const struct explore_summary *s);

#endif
