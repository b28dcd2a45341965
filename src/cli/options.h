/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command line options: a table per verb, one parser, messages that name the argument and the way out.
 *
 * --name VALUE, --name=VALUE, -x VALUE, -xVALUE; options and operands mix; "--" ends the options. The options of every
 * verb (--machine and its like) are accepted anywhere; a verb's own option of the same letter wins.
 */
#ifndef OB_CLI_OPTIONS_H
#define OB_CLI_OPTIONS_H

#include "cli/cli.h"

enum option_kind {
	OPTION_END,
	OPTION_FLAG,   /* bool */
	OPTION_COUNT,  /* unsigned: how often it was given */
	OPTION_TEXT,   /* const char * */
	OPTION_LIST,   /* const char *[max]: one more each time; *count of them */
	OPTION_NUMBER, /* unsigned, min..max */
	OPTION_LONG,   /* uint64_t, min..max */
	OPTION_SIZE,   /* uint64_t bytes, min..max; K M G T are powers of 1024 */
	OPTION_TIME,   /* uint64_t ns, min..max; ms s m h, seconds without */
	OPTION_CHOICE, /* unsigned: index into choices */
	OPTION_HELP,
};

struct option_def {
	const char *name;
	char letter; /* or 0 */
	enum option_kind kind;
	void *to;
	uint64_t min, max;          /* max 0: no limit */
	const char *const *choices; /* NULL-terminated */
	bool *given;                /* or NULL */
	unsigned *count;            /* of a list */
};

struct arguments {
	char **operands; /* within the argv that was parsed */
	int count;
	bool help;   /* --help was there */
	char **rest; /* after "--"; NULL-terminated; NULL when there was no "--" */
	int rest_count;
};

/**
 * options_parse - fill what the table points to
 * @argv: reordered
 *
 * Return: CLI_OK, or CLI_USAGE after one line on standard error.
 */
int options_parse(struct cli *cli, const struct option_def *table, int argc, char **argv, struct arguments *out);

/**
 * options_begin - what a verb begins with: options_parse(), and @help on standard output when it was asked for
 * @out:  what follows "--" are operands, too
 * @code: what the verb returns, if that is all
 *
 * Return: true: go on.
 */
bool options_begin(struct cli *cli, const struct option_def *table, const char *help, int argc, char **argv,
		   struct arguments *out, int *code);

/** options_begin_apart - the same, for a verb that takes what follows "--" as something else: it stays in @out->rest */
bool options_begin_apart(struct cli *cli, const struct option_def *table, const char *help, int argc, char **argv,
			 struct arguments *out, int *code);

/** options_parse_front - only those before the first operand, which is argv[*next] (or argc) */
int options_parse_front(struct cli *cli, const struct option_def *table, int argc, char **argv, int *next, bool *help);

/** options_join_rest - what follows "--" are operands too */
void options_join_rest(struct arguments *args);

/** parse_size, parse_time, parse_number - the whole of @text, or -EINVAL; -ERANGE beyond 64 bits */
int parse_size(const char *text, uint64_t *out);
int parse_time(const char *text, uint64_t *out_ns);
int parse_number(const char *text, uint64_t *out);

#endif
