/* SPDX-License-Identifier: BSD-2-Clause */
/* What the explorer says: lines for people, JSON for programs. outboard-explore(1) documents both. */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "sim/explore/cut.h"
#include "sim/explore/work.h"
#include "sim/fault/fault.h"

typedef unsigned long long ull;

/* ---- counting ---- */

void explore_count_run(struct explore_summary *s, const struct explore_run *run)
{
	s->runs++;
	s->reports += run->failed;
	s->steps += run->steps;
	s->switches += run->switches;
	s->requests += run->requests;
	s->commands += run->commands;
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		s->choices[k] += run->choices[k];
	for (unsigned k = 0; k < SIM_FAULT_COUNT; k++)
		s->faults[k] += run->faults[k];
	s->hash = s->hash * 31 + run->hash;
}

bool explore_count_rule(struct explore_summary *s, const char *rule, uint64_t seed)
{
	unsigned i = 0;

	while (i < s->rule_count && strcmp(s->rules[i].name, rule) != 0)
		i++;
	if (i == EXPLORE_RULE_MAX)
		return false;
	if (i == s->rule_count) {
		snprintf(s->rules[i].name, sizeof(s->rules[i].name), "%s", rule);
		s->rules[i].first_seed = seed;
		s->rule_count++;
	}
	return ++s->rules[i].reports == 1;
}

/* ---- for people ---- */

void explore_print_run(const struct explore *e, const struct explore_run *run, uint64_t seed, const char *rule)
{
	progress_clear();
	printf("seed %llu hash %016llx steps %llu switches %llu commands %llu %llu us %s%s%s\n", (ull)seed,
	       (ull)run->hash, (ull)run->steps, (ull)run->switches, (ull)run->commands,
	       run->now_ns > OB_NS_PER_S ? (ull)(run->now_ns - OB_NS_PER_S) / 1000 : 0,
	       e->scenarios[run->scenario]->name, rule != NULL ? " " : "", rule != NULL ? rule : "");
}

void explore_print_failure(const struct explore *e, const struct explore_failure *f, bool whole)
{
	char command[1000];

	progress_clear();
	explore_replay_command(e, e->scenarios[f->run.scenario], f->seed, command, sizeof(command));
	if (whole)
		printf("%sreplay: %s\n\n", f->report, command);
	else
		printf("%.*s (replay: %s)\n", (int)strcspn(f->report, "\n"), f->report, command);
}

static void print_scenarios(const struct explore *e)
{
	for (unsigned i = 0; i < e->scenario_count; i++)
		printf("%s%s", i ? ", " : "", e->scenarios[i]->name);
}

static void print_faults(const struct explore_summary *s)
{
	const char *before = "  faults that struck: ";

	for (unsigned k = 0; k < SIM_FAULT_COUNT; k++) {
		if (s->faults[k] == 0)
			continue;
		printf("%s%s %llu", before, sim_fault_kinds[k].name, (ull)s->faults[k]);
		before = ", ";
	}
	if (before[0] == ',')
		printf("\n");
}

static void print_coverage(const struct sim_coverage_figures *c)
{
	if (c->blocks > 0)
		printf("  driver code: %u of %u basic blocks, %u of them preempted, %u interrupted\n",
		       c->blocks_reached, c->blocks, c->blocks_preempted, c->blocks_interrupted);
	if (c->lines > 0)
		printf("  driver lines: %u of %u, %.1f %%\n", c->lines_reached, c->lines,
		       100.0 * c->lines_reached / c->lines);
	printf("  states of devices: %u, %u transitions; %u of %u kinds of faults\n", c->states, c->transitions,
	       c->faults_struck, c->faults);
}

void explore_print_summary(const struct explore *e, const struct explore_summary *s)
{
	double took = s->cpu_seconds > 0 ? s->cpu_seconds : 1e-9;
	char runs[TEXT_MAX], runs_cpu[TEXT_MAX], commands[TEXT_MAX], steps[TEXT_MAX];

	progress_clear();
	for (unsigned i = 0; i < s->rule_count; i++)
		printf("  %-20s %llu reports, the first with seed %llu\n", s->rules[i].name, (ull)s->rules[i].reports,
		       (ull)s->rules[i].first_seed);
	print_scenarios(e);
	printf(": %llu runs, %llu reports, seeds %llu to %llu, hash %016llx\n", (ull)s->runs, (ull)s->reports,
	       (ull)e->seed, (ull)(e->seed + s->runs - (s->runs > 0)), (ull)s->hash);
	printf("  %llu steps, %llu switches, %llu requests, %llu commands\n ", (ull)s->steps, (ull)s->switches,
	       (ull)s->requests, (ull)s->commands);
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		printf(" %llu %s%s", (ull)s->choices[k], cut_choice_names[k], k + 1 < SIM_CHOICE_COUNT ? "," : "\n");
	print_faults(s);
	if (s->covered)
		print_coverage(&s->coverage);
	if (e->replay_check > 0)
		printf("  %llu seeds run twice, %llu of them identical (%.1f %%)\n", (ull)s->replays,
		       (ull)(s->replays - s->replays_other),
		       s->replays > 0 ? 100.0 * (double)(s->replays - s->replays_other) / (double)s->replays : 100.0);
	printf("  %.1f s, %.1f s of CPU, %u jobs: %s runs/s; per CPU second %s runs, %s commands, %s steps\n",
	       s->seconds, s->cpu_seconds, e->jobs, text_count(runs, (double)s->runs / s->seconds),
	       text_count(runs_cpu, (double)s->runs / took), text_count(commands, (double)s->commands / took),
	       text_count(steps, (double)s->steps / took));
}

/* ---- for programs ---- */

/* A report quotes what devices and drivers said: that need not be UTF-8. */
json_t *explore_json_text(const char *text)
{
	static char plain[SIM_REPORT_LEN];
	json_t *string = json_string(text);

	if (string != NULL)
		return string;
	snprintf(plain, sizeof(plain), "%s", text);
	for (char *c = plain; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(plain);
}

json_t *explore_json_counts(const struct explore_run *run, const struct explore_cut *cut)
{
	json_t *counts = json_pack("{s:I, s:I, s:I, s:I}", "steps", (json_int_t)run->steps, "switches",
				   (json_int_t)run->switches, "requests", (json_int_t)run->requests, "commands",
				   (json_int_t)run->commands);

	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		json_object_set_new(counts, cut_choice_names[k],
				    json_integer(cut != NULL ? cut->choices[k].count : run->choices[k]));
	return counts;
}

json_t *explore_json_failure(const struct explore *e, const struct explore_failure *f)
{
	char command[1000], hash[20];

	explore_replay_command(e, e->scenarios[f->run.scenario], f->seed, command, sizeof(command));
	snprintf(hash, sizeof(hash), "%016llx", (ull)f->run.hash);
	return json_pack("{s:s, s:I, s:s, s:s, s:o, s:o, s:s}", "scenario", e->scenarios[f->run.scenario]->name, "seed",
			 (json_int_t)f->seed, "rule", f->rule, "hash", hash, "counts",
			 explore_json_counts(&f->run, NULL), "report", explore_json_text(f->report), "replay", command);
}

static json_t *json_rules(const struct explore_summary *s)
{
	json_t *rules = json_object();

	for (unsigned i = 0; i < s->rule_count; i++)
		json_object_set_new(rules, s->rules[i].name,
				    json_pack("{s:I, s:I}", "reports", (json_int_t)s->rules[i].reports, "first_seed",
					      (json_int_t)s->rules[i].first_seed));
	return rules;
}

static json_t *json_totals(const struct explore_summary *s)
{
	json_t *counts = json_pack("{s:I, s:I, s:I, s:I}", "steps", (json_int_t)s->steps, "switches",
				   (json_int_t)s->switches, "requests", (json_int_t)s->requests, "commands",
				   (json_int_t)s->commands);

	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		json_object_set_new(counts, cut_choice_names[k], json_integer((json_int_t)s->choices[k]));
	return counts;
}

static json_t *json_faults(const struct explore_summary *s)
{
	json_t *faults = json_object();

	for (unsigned k = 0; k < SIM_FAULT_COUNT; k++)
		if (s->faults[k] > 0)
			json_object_set_new(faults, sim_fault_kinds[k].name, json_integer((json_int_t)s->faults[k]));
	return faults;
}

static json_t *json_coverage(const struct sim_coverage_figures *c)
{
	json_t *coverage = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "blocks", (json_int_t)c->blocks,
				     "blocks_reached", (json_int_t)c->blocks_reached, "blocks_preempted",
				     (json_int_t)c->blocks_preempted, "blocks_interrupted",
				     (json_int_t)c->blocks_interrupted, "device_states", (json_int_t)c->states,
				     "device_transitions", (json_int_t)c->transitions);

	if (c->lines > 0) {
		json_object_set_new(coverage, "lines", json_integer(c->lines));
		json_object_set_new(coverage, "lines_reached", json_integer(c->lines_reached));
	}
	return coverage;
}

json_t *explore_json_summary(const struct explore *e, const struct explore_summary *s)
{
	json_t *scenarios = json_array();
	char hash[20];

	for (unsigned i = 0; i < e->scenario_count; i++)
		json_array_append_new(scenarios, json_string(e->scenarios[i]->name));
	snprintf(hash, sizeof(hash), "%016llx", (ull)s->hash);
	return json_pack("{s:o, s:I, s:I, s:I, s:o, s:s, s:o, s:o, s:o*, s:I, s:I, s:f, s:f, s:i}", "scenarios",
			 scenarios, "first_seed", (json_int_t)e->seed, "runs", (json_int_t)s->runs, "reports",
			 (json_int_t)s->reports, "rules", json_rules(s), "hash", hash, "counts", json_totals(s),
			 "faults", json_faults(s), "coverage", s->covered ? json_coverage(&s->coverage) : NULL,
			 "replays", (json_int_t)s->replays, "replays_identical",
			 (json_int_t)(s->replays - s->replays_other), "seconds", s->seconds, "cpu_seconds",
			 s->cpu_seconds, "jobs", (int)e->jobs);
}
