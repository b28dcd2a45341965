/* SPDX-License-Identifier: BSD-2-Clause */
/* The explorer's arguments. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/explore.h"
#include "cli/options.h"
#include "sim/explore/cut.h"
#include "sim/explore/work.h"

const char *const explore_strategy_names[] = {"swarm", "random", "pct", NULL};

static unsigned cpus_here(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return CPU_COUNT(&set) < EXPLORE_JOB_MAX ? (unsigned)CPU_COUNT(&set) : EXPLORE_JOB_MAX;
}

static int unknown_scenario(struct explore *e, const char *name)
{
	char known[400] = "";

	for (unsigned i = 0; e->all[i] != NULL; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "", e->all[i]->name);
	return cli_usage(&e->cli, "no scenario '%s'; there is %s", name, known);
}

static int choose(struct explore *e, const struct arguments *args)
{
	for (int i = 0; i < args->count; i++) {
		unsigned k = 0;

		while (e->all[k] != NULL && strcmp(e->all[k]->name, args->operands[i]) != 0)
			k++;
		if (e->all[k] == NULL)
			return unknown_scenario(e, args->operands[i]);
		if (e->scenario_count == EXPLORE_SCENARIO_MAX)
			return cli_usage(&e->cli, "at most %d scenarios", EXPLORE_SCENARIO_MAX);
		e->scenarios[e->scenario_count++] = e->all[k];
	}
	if (e->all[0] == NULL)
		return cli_error(&e->cli, EXPLORE_CANNOT, "there are no scenarios in this program");
	for (unsigned k = 0; args->count == 0 && e->all[k] != NULL && k < EXPLORE_SCENARIO_MAX; k++)
		e->scenarios[e->scenario_count++] = e->all[k];
	return CLI_OK;
}

bool explore_parse_hash(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 16);
	return *text != '\0' && strspn(text, "0123456789abcdef") == strlen(text) && strlen(text) <= 16;
}

/* The options that --replay-file gives by itself. */
static int read_run(struct explore *e, const char *path, bool seeds_given, const struct arguments *args)
{
	static struct explore_cut cut;

	if (seeds_given || e->time_ns > 0 || e->coverage_path != NULL)
		return cli_usage(&e->cli, "--replay-file runs one seed: --seeds, --time and --coverage go without");
	if (e->fault_count > 0 || e->script_path != NULL || args->count > 0 || e->replay_given || e->hash_given ||
	    e->calm || e->promises || e->strategy != EXPLORE_SWARM || e->minimise)
		return cli_usage(&e->cli, "--replay-file says all of the run by itself");
	e->run_path = path;
	return cut_read(path, e, &cut);
}

/* Options whose values do not tell. */
struct given {
	bool seed, seeds, jobs, run_file;
};

/* Whether @path could be written, before hours of work are done for it. It is not made or touched yet. */
static int check_output(const struct explore *e, const char *path)
{
	char directory[PATH_MAX];
	struct stat st;
	int error = 0;

	if (path == NULL)
		return CLI_OK;
	snprintf(directory, sizeof(directory), "%s", path);
	if (stat(path, &st) == 0)
		error = S_ISDIR(st.st_mode) ? EISDIR : access(path, W_OK) != 0 ? errno : 0;
	else if (access(dirname(directory), W_OK | X_OK) != 0)
		error = errno;
	return error == 0 ? CLI_OK : cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", path, strerror(error));
}

static int check_outputs(const struct explore *e)
{
	int code = check_output(e, e->coverage_path);

	if (code == CLI_OK)
		code = check_output(e, e->picture_path);
	/* The run's own name, which is not known yet, is one in this directory. */
	return code == CLI_OK && e->minimise ? check_output(e, e->output != NULL ? e->output : "./.run") : code;
}

/* What only an exploration looks at. */
static int check_one_seed(const struct explore *e, const struct given *given)
{
	const char *option = given->seed           ? "--seed"
			     : given->jobs         ? "--jobs"
			     : e->keep_going       ? "--keep-going"
			     : e->replay_check > 0 ? "--replay-check"
			     : e->trace            ? "--trace"
						   : NULL;

	return option == NULL ? CLI_OK : cli_usage(&e->cli, "%s is of an exploration, not of a replay", option);
}

static int check(struct explore *e, const struct given *given, const char *hash)
{
	bool seeds_given = given->seeds;
	uint64_t chunks;

	if (e->cli.machine_uri != NULL || e->cli.qemu_arg_count > 0)
		return cli_usage(&e->cli, "takes no machine: the scenarios have theirs");
	if (hash != NULL && !e->replay_given)
		return cli_usage(&e->cli, "--hash goes with --replay");
	if (e->replay_given && (seeds_given || (e->time_ns > 0 && !e->minimise)))
		return cli_usage(&e->cli, "--replay runs one seed: --seeds and --time go without");
	if (e->replay_given && e->coverage_path != NULL)
		return cli_usage(&e->cli, "--coverage is of an exploration, not of a replay");
	if (e->output != NULL && !e->minimise)
		return cli_usage(&e->cli, "--output goes with --minimise");
	if (e->picture_events > 0 && e->picture_path == NULL)
		return cli_usage(&e->cli, "--picture-events goes with --picture");
	if (given->run_file && e->list)
		return cli_usage(&e->cli, "--list goes alone");
	if ((e->replay_given || given->run_file) && check_one_seed(e, given) != CLI_OK)
		return CLI_USAGE;
	if (!seeds_given && e->time_ns > 0)
		e->seeds = INT64_MAX - e->seed;
	/* No more than there are chunks. */
	chunks = (e->seed % EXPLORE_CHUNK + e->seeds - 1) / EXPLORE_CHUNK + 1;
	if (chunks < e->jobs)
		e->jobs = (unsigned)chunks;
	e->hash_given = hash != NULL;
	if (hash != NULL && !explore_parse_hash(hash, &e->hash))
		return cli_usage(&e->cli, "--hash: '%s' is not a hash, as --replay prints it", hash);
	return CLI_OK;
}

static int print_help(const struct explore *e)
{
	const char *scenario = e->all[0] != NULL ? e->all[0]->name : "SCENARIO";

	if (e->cli.program == NULL)
		fputs(explore_help, stdout);
	else
		explore_print_help(e->cli.program, e->all[0] != NULL && e->all[1] != NULL ? e->all[1]->name : scenario,
				   scenario);
	return CLI_OK;
}

int explore_arguments(struct explore *e, int argc, char **argv, bool *done)
{
	const char *hash = NULL, *run_file = NULL;
	struct given given = {0};
	const struct option_def table[] = {
		{.name = "list", .kind = OPTION_FLAG, .to = &e->list},
		{.name = "seeds",
		 .kind = OPTION_LONG,
		 .to = &e->seeds,
		 .min = 1,
		 .max = INT64_MAX / 2,
		 .given = &given.seeds},
		{.name = "seed", .kind = OPTION_LONG, .to = &e->seed, .max = INT64_MAX / 2, .given = &given.seed},
		{.name = "time", .kind = OPTION_TIME, .to = &e->time_ns, .min = OB_NS_PER_MS},
		{.name = "jobs",
		 .letter = 'j',
		 .kind = OPTION_NUMBER,
		 .to = &e->jobs,
		 .min = 1,
		 .max = EXPLORE_JOB_MAX,
		 .given = &given.jobs},
		{.name = "keep-going", .letter = 'k', .kind = OPTION_FLAG, .to = &e->keep_going},
		{.name = "strategy", .kind = OPTION_CHOICE, .to = &e->strategy, .choices = explore_strategy_names},
		{.name = "calm", .kind = OPTION_FLAG, .to = &e->calm},
		{.name = "promises", .kind = OPTION_FLAG, .to = &e->promises},
		{.name = "fault",
		 .kind = OPTION_LIST,
		 .to = e->faults,
		 .max = EXPLORE_FAULT_MAX,
		 .count = &e->fault_count},
		{.name = "faults", .kind = OPTION_TEXT, .to = &e->script_path},
		{.name = "list-faults", .kind = OPTION_FLAG, .to = &e->list_faults},
		{.name = "replay", .kind = OPTION_LONG, .to = &e->replay, .max = INT64_MAX, .given = &e->replay_given},
		{.name = "hash", .kind = OPTION_TEXT, .to = &hash},
		{.name = "replay-file", .kind = OPTION_TEXT, .to = &run_file, .given = &given.run_file},
		{.name = "minimise", .letter = 'm', .kind = OPTION_FLAG, .to = &e->minimise},
		{.name = "output", .letter = 'o', .kind = OPTION_TEXT, .to = &e->output},
		{.name = "replay-check", .kind = OPTION_NUMBER, .to = &e->replay_check, .min = 1, .max = 1u << 30},
		{.name = "coverage", .kind = OPTION_TEXT, .to = &e->coverage_path},
		{.name = "picture", .kind = OPTION_TEXT, .to = &e->picture_path},
		{.name = "picture-events", .kind = OPTION_NUMBER, .to = &e->picture_events, .min = 10, .max = 2000},
		{.name = "trace", .kind = OPTION_FLAG, .to = &e->trace},
		{.name = "json", .kind = OPTION_FLAG, .to = &e->json},
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	e->jobs = cpus_here();
	*done = true;
	code = options_parse(&e->cli, table, argc, argv, &args);
	if (code != CLI_OK || args.help)
		return code != CLI_OK ? code : print_help(e);
	*done = e->list || e->list_faults;
	if (e->list_faults) {
		explore_faults_list();
		return CLI_OK;
	}
	options_join_rest(&args);
	code = choose(e, &args);
	if (code == CLI_OK)
		code = check(e, &given, hash);
	if (code == CLI_OK && run_file != NULL && !e->list)
		code = read_run(e, run_file, given.seeds, &args);
	if (code == CLI_OK && !e->list)
		code = explore_faults(e);
	if (code == CLI_OK && !e->list)
		code = check_outputs(e);
	for (unsigned i = 0; code == CLI_OK && e->list && i < e->scenario_count; i++)
		printf("%-18s %s\n", e->scenarios[i]->name, e->scenarios[i]->help);
	return code;
}

/* @word as a shell takes it: in quotes where it holds more than letters and what stands for itself. */
static void add_word(char *out, size_t size, const char *before, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
	size_t len = strlen(out);

	if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
		snprintf(out + len, size - len, "%s%s", before, word);
		return;
	}
	len += (size_t)snprintf(out + len, size - len, "%s'", before);
	for (; *word != '\0' && len + 6 < size; word++)
		len += (size_t)(*word == '\'' ? snprintf(out + len, size - len, "'\\''")
					      : snprintf(out + len, size - len, "%c", *word));
	if (len + 2 <= size)
		snprintf(out + len, size - len, "'");
}

/* The program; or the verb, whose two words are the command. */
static void add_command(char *out, size_t size, const char *command)
{
	out[0] = '\0';
	if (strcmp(command, EXPLORE_VERB) == 0)
		snprintf(out, size, "%s", command);
	else
		add_word(out, size, "", command);
}

void explore_replay_command(const struct explore *e, const struct sim_scenario *scenario, uint64_t seed, char *out,
			    size_t size)
{
	char number[32];

	add_command(out, size, e->command);
	if (e->cut != NULL) {
		add_word(out, size, " --replay-file ", e->run_path);
		return;
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)seed);
	add_word(out, size, " ", scenario->name);
	add_word(out, size, " --replay ", number);
	if (e->calm)
		add_word(out, size, " ", "--calm");
	if (e->promises)
		add_word(out, size, " ", "--promises");
	if (e->strategy != EXPLORE_SWARM)
		add_word(out, size, " --strategy ", explore_strategy_names[e->strategy]);
	for (unsigned i = 0; i < e->fault_count; i++)
		add_word(out, size, " --fault ", e->faults[i]);
	if (e->script_path != NULL)
		add_word(out, size, " --faults ", e->script_path);
}
