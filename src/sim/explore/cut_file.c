/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a run: lines of a word and what it is about. It holds all that the run is made of but the program; the
 * hash tells whether that is still the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "sim/explore/cut.h"
#include "sim/explore/work.h"
#include "sim/fault/fault.h"

#define FIRST_LINE "# a run of outboard explore, made small; --replay-file brings it back\n"
#define NUMBER_MAX (1u << 28)

typedef unsigned long long ull;

/* ---- writing ---- */

/* "3 7-12 40" */
static void write_numbers(FILE *f, const struct cut_choices *c)
{
	for (uint32_t i = 0; i < c->count;) {
		uint32_t end = i;

		while (end + 1 < c->count && c->numbers[end + 1] == c->numbers[end] + 1)
			end++;
		fprintf(f, end > i ? " %u-%u" : " %u", c->numbers[i], c->numbers[end]);
		i = end + 1;
	}
}

/* The script itself: the file that it came from may change, or stay behind. */
static void write_script(FILE *f, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		fprintf(f, "script %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

int cut_write(const char *path, const struct explore *e, const struct explore_cut *cut,
	      const struct sim_scenario *scenario, uint64_t seed, const char *rule, uint64_t hash)
{
	FILE *f = fopen(path, "we");
	int error = 0;

	if (f == NULL)
		return -errno;
	fprintf(f, FIRST_LINE "scenario %s\nseed %llu\nstrategy %s\n%s%srule %s\nhash %016llx\n", scenario->name,
		(ull)seed, explore_strategy_names[e->strategy], e->calm ? "calm\n" : "",
		e->promises ? "promises\n" : "", rule, (ull)hash);
	for (unsigned i = 0; i < e->fault_count; i++)
		fprintf(f, "fault %s\n", e->faults[i]);
	if (e->script != NULL)
		write_script(f, e->script->text);
	if (cut->steps_max > 0)
		fprintf(f, "steps-max %llu\n", (ull)cut->steps_max);
	if (cut->load_max > 0)
		fprintf(f, "load-max %u\n", cut->load_max);
	if (cut->cpus_max > 0)
		fprintf(f, "cpus-max %u\n", cut->cpus_max);
	if (cut->channels_max > 0)
		fprintf(f, "channels-max %u\n", cut->channels_max);
	for (unsigned k = 0; k < SIM_CHOICE_COUNT && cut->planned; k++) {
		fputs(cut_choice_names[k], f);
		write_numbers(f, &cut->choices[k]);
		fputc('\n', f);
	}
	error = fflush(f) != 0 ? -errno : ferror(f) ? -EIO : 0;
	if (fclose(f) != 0 && error == 0)
		error = -errno;
	return error;
}

/* ---- reading ---- */

struct reader {
	struct explore *e;
	struct explore_cut *cut;
	const struct sim_scenario *scenario;
	const char *rule;
	bool seed_given;
};

static bool parse_limit(const char *text, unsigned *out)
{
	uint64_t n;

	if (parse_number(text, &n) != 0 || n == 0 || n > NUMBER_MAX)
		return false;
	*out = (unsigned)n;
	return true;
}

static bool add_range(struct cut_choices *c, uint64_t from, uint64_t to)
{
	uint32_t *numbers;

	if (from > to || to >= NUMBER_MAX || (c->count > 0 && from <= c->numbers[c->count - 1]))
		return false;
	numbers = realloc(c->numbers, (c->count + (size_t)(to - from) + 1) * sizeof(*numbers));
	if (numbers == NULL)
		return false;
	c->numbers = numbers;
	for (uint64_t i = from; i <= to; i++)
		numbers[c->count++] = (uint32_t)i;
	return true;
}

static bool parse_choices(char *text, struct cut_choices *c)
{
	char *save, *word;

	for (word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		char *dash = strchr(word, '-');
		uint64_t from, to;

		if (dash != NULL)
			*dash = '\0';
		if (parse_number(word, &from) != 0 || parse_number(dash != NULL ? dash + 1 : word, &to) != 0 ||
		    !add_range(c, from, to))
			return false;
	}
	return true;
}

static bool parse_strategy(const char *text, unsigned *out)
{
	for (unsigned i = 0; explore_strategy_names[i] != NULL; i++)
		if (strcmp(explore_strategy_names[i], text) == 0) {
			*out = i;
			return true;
		}
	return false;
}

static bool parse_scenario(struct reader *r, const char *text)
{
	for (unsigned i = 0; r->e->all[i] != NULL; i++)
		if (strcmp(r->e->all[i]->name, text) == 0)
			r->scenario = r->e->all[i];
	return r->scenario != NULL;
}

static bool add_script(struct explore *e, const char *line)
{
	size_t before = e->script_text != NULL ? strlen(e->script_text) : 0, len = strlen(line);
	char *text = realloc(e->script_text, before + len + 2);

	if (text == NULL)
		return false;
	memcpy(text + before, line, len);
	text[before + len] = '\n';
	text[before + len + 1] = '\0';
	e->script_text = text;
	return true;
}

static bool parse_line(struct reader *r, const char *word, char *value)
{
	for (unsigned k = 0; k < SIM_CHOICE_COUNT; k++)
		if (strcmp(word, cut_choice_names[k]) == 0) {
			r->cut->planned = true;
			return parse_choices(value, &r->cut->choices[k]);
		}
	if (strcmp(word, "scenario") == 0)
		return parse_scenario(r, value);
	if (strcmp(word, "seed") == 0)
		return r->seed_given = parse_number(value, &r->e->replay) == 0;
	if (strcmp(word, "strategy") == 0)
		return parse_strategy(value, &r->e->strategy);
	if (strcmp(word, "calm") == 0)
		return r->e->calm = true;
	if (strcmp(word, "promises") == 0)
		return r->e->promises = true;
	if (strcmp(word, "fault") == 0)
		return r->e->fault_count < EXPLORE_FAULT_MAX &&
		       (r->e->faults[r->e->fault_count++] = strdup(value)) != NULL;
	if (strcmp(word, "script") == 0)
		return add_script(r->e, value);
	if (strcmp(word, "rule") == 0)
		return true; /* for who reads it */
	if (strcmp(word, "hash") == 0)
		return r->e->hash_given = explore_parse_hash(value, &r->e->hash);
	if (strcmp(word, "steps-max") == 0)
		return parse_number(value, &r->cut->steps_max) == 0;
	if (strcmp(word, "load-max") == 0)
		return parse_limit(value, &r->cut->load_max);
	if (strcmp(word, "cpus-max") == 0)
		return parse_limit(value, &r->cut->cpus_max);
	if (strcmp(word, "channels-max") == 0)
		return parse_limit(value, &r->cut->channels_max);
	return false;
}

static int read_lines(struct reader *r, FILE *f, const char *path)
{
	char *line = NULL;
	size_t size = 0;
	int code = CLI_OK;
	ssize_t len;

	for (unsigned number = 1; code == CLI_OK && (len = getline(&line, &size, f)) >= 0; number++) {
		char *value;

		if (len > 0 && line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		value = line + strcspn(line, " ");
		if (*value != '\0')
			*value++ = '\0';
		if (!parse_line(r, line, value))
			code = cli_error(&r->e->cli, EXPLORE_CANNOT, "%s:%u: '%.60s %.60s' is nothing of a run", path,
					 number, line, value);
	}
	free(line);
	return code;
}

int cut_read(const char *path, struct explore *e, struct explore_cut *cut)
{
	struct reader r = {.e = e, .cut = cut};
	FILE *f = fopen(path, "re");
	int code;

	if (f == NULL)
		return cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", path, strerror(errno));
	errno = 0;
	code = read_lines(&r, f, path);
	if (code == CLI_OK && ferror(f))
		code = cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", path, strerror(errno));
	fclose(f);
	if (code == CLI_OK && (r.scenario == NULL || !r.seed_given))
		code = cli_error(&e->cli, EXPLORE_CANNOT, "%s: no scenario or no seed: not the file of a run", path);
	if (code == CLI_OK && cut_plan(cut) != 0)
		code = cli_error(&e->cli, EXPLORE_CANNOT, "%s: out of memory", path);
	if (code != CLI_OK)
		return code;
	e->scenarios[0] = r.scenario;
	e->scenario_count = 1;
	e->replay_given = true;
	e->cut = cut;
	return CLI_OK;
}
