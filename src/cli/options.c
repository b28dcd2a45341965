/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of command line options. */
#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- values ---- */

static int parse_digits(const char *text, const char **end, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	*end = p;
	*out = value;
	return p == text ? -EINVAL : 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t value;
	const char *end;
	int error = parse_digits(text, &end, &value);

	if (error)
		return error;
	for (; units->name; units++) {
		if (strcmp(end, units->name))
			continue;
		if (value > UINT64_MAX / units->factor)
			return -ERANGE;
		*out = value * units->factor;
		return 0;
	}
	return -EINVAL;
}

/* No "KB": to some it is 1000 and to some 1024. */
int parse_size(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{"", 1},
		{"B", 1},
		{"K", OB_KIB},
		{"k", OB_KIB},
		{"KiB", OB_KIB},
		{"M", OB_MIB},
		{"m", OB_MIB},
		{"MiB", OB_MIB},
		{"G", OB_GIB},
		{"g", OB_GIB},
		{"GiB", OB_GIB},
		{"T", 1024 * OB_GIB},
		{"t", 1024 * OB_GIB},
		{"TiB", 1024 * OB_GIB},
		{NULL, 0},
	};

	return parse_with_unit(text, units, out);
}

int parse_time(const char *text, uint64_t *out_ns)
{
	static const struct unit units[] = {
		{"", OB_NS_PER_S},
		{"s", OB_NS_PER_S},
		{"ms", OB_NS_PER_MS},
		{"us", OB_NS_PER_US},
		{"m", 60 * OB_NS_PER_S},
		{"h", 3600 * OB_NS_PER_S},
		{NULL, 0},
	};

	return parse_with_unit(text, units, out_ns);
}

int parse_number(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, {NULL, 0}};

	return parse_with_unit(text, units, out);
}

/* ---- the options of every verb ---- */

/* Global ones are one table whose targets are filled in here, because they live in struct cli. */
enum {
	GLOBAL_MAX = 8
};

static void global_table(struct cli *cli, struct option_def table[GLOBAL_MAX])
{
	const struct option_def defs[] = {
		{.name = "machine", .letter = 'M', .kind = OPTION_TEXT, .to = &cli->machine_uri},
		{.name = "qemu-arg",
		 .kind = OPTION_LIST,
		 .to = cli->qemu_args,
		 .max = CLI_QEMU_ARG_MAX,
		 .count = &cli->qemu_arg_count},
		{.name = "verbose", .letter = 'v', .kind = OPTION_COUNT, .to = &cli->verbose},
		{.name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .to = &cli->quiet},
		{.name = "help", .letter = 'h', .kind = OPTION_HELP},
		{.kind = OPTION_END},
	};

	static_assert(sizeof(defs) <= GLOBAL_MAX * sizeof(defs[0]), "room for all");
	memcpy(table, defs, sizeof(defs));
}

static const struct option_def *find_long(const struct option_def *table, const char *name, size_t len)
{
	for (; table && table->kind != OPTION_END; table++) {
		if (strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	}
	return NULL;
}

static const struct option_def *find_letter(const struct option_def *table, char letter)
{
	for (; table && table->kind != OPTION_END; table++) {
		if (table->letter == letter)
			return table;
	}
	return NULL;
}

static bool takes_value(const struct option_def *o)
{
	return o->kind != OPTION_FLAG && o->kind != OPTION_COUNT && o->kind != OPTION_HELP;
}

/* ---- storing ---- */

static int store_choice(struct cli *cli, const struct option_def *o, const char *value)
{
	char known[200] = "";

	for (unsigned i = 0; o->choices[i]; i++) {
		if (!strcmp(value, o->choices[i])) {
			*(unsigned *)o->to = i;
			return CLI_OK;
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "", o->choices[i]);
	}
	return cli_usage(cli, "--%s: '%s' is none of %s", o->name, value, known);
}

/* A limit in the unit in which a user would write it. */
static const char *limit_text(const struct option_def *o, uint64_t n, char text[32])
{
	if (!n)
		n = UINT64_MAX;
	if (o->kind == OPTION_TIME && n < OB_NS_PER_S)
		snprintf(text, 32, "%llums", (unsigned long long)(n / OB_NS_PER_MS));
	else
		snprintf(text, 32, "%llu%s", (unsigned long long)(o->kind == OPTION_TIME ? n / OB_NS_PER_S : n),
			 o->kind == OPTION_TIME ? "s" : "");
	return text;
}

static int store_quantity(struct cli *cli, const struct option_def *o, const char *value)
{
	uint64_t n = 0;
	char limit[32];
	const char *what;
	int error;

	if (o->kind == OPTION_SIZE) {
		error = parse_size(value, &n);
		what = "a size; write for example 4096, 64K or 1G";
	} else if (o->kind == OPTION_TIME) {
		error = parse_time(value, &n);
		what = "a time; write for example 10, 500ms or 2m";
	} else {
		error = parse_number(value, &n);
		what = "a number";
	}
	if (error == -ERANGE || (!error && o->max && n > o->max))
		return cli_usage(cli, "--%s: '%s' is too large; at most %s", o->name, value,
				 limit_text(o, o->max, limit));
	if (error)
		return cli_usage(cli, "--%s: '%s' is not %s", o->name, value, what);
	if (n < o->min)
		return cli_usage(cli, "--%s: '%s' is too small; at least %s", o->name, value,
				 limit_text(o, o->min, limit));
	if (o->kind == OPTION_NUMBER)
		*(unsigned *)o->to = (unsigned)n;
	else
		*(uint64_t *)o->to = n;
	return CLI_OK;
}

static int store(struct cli *cli, const struct option_def *o, const char *value, bool *help)
{
	if (o->given)
		*o->given = true;
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->to = true;
		return CLI_OK;
	case OPTION_COUNT:
		++*(unsigned *)o->to;
		return CLI_OK;
	case OPTION_HELP:
		*help = true;
		return CLI_OK;
	case OPTION_TEXT:
		*(const char **)o->to = value;
		return CLI_OK;
	case OPTION_LIST:
		if (*o->count == o->max)
			return cli_usage(cli, "--%s: at most %u of them", o->name, (unsigned)o->max);
		((const char **)o->to)[(*o->count)++] = value;
		return CLI_OK;
	case OPTION_CHOICE:
		return store_choice(cli, o, value);
	default:
		return store_quantity(cli, o, value);
	}
}

/* ---- walking ---- */

struct walk {
	struct cli *cli;
	const struct option_def *table;
	struct option_def global[GLOBAL_MAX];
	int argc, at;
	char **argv;
	bool help;
};

/* The option's value: behind '=' or the letter, or the next argument. */
static int value_of(struct walk *w, const struct option_def *o, const char *attached, const char **value)
{
	*value = attached;
	if (attached)
		return CLI_OK;
	if (w->at + 1 >= w->argc)
		return cli_usage(w->cli, "--%s needs a value", o->name);
	*value = w->argv[++w->at];
	return CLI_OK;
}

static int walk_long(struct walk *w, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	const struct option_def *o = find_long(w->table, text, len);
	const char *value = NULL;
	int code;

	if (!o)
		o = find_long(w->global, text, len);
	if (!o)
		return cli_usage(w->cli, "unknown option '--%.*s'", (int)len, text);
	if (!takes_value(o)) {
		if (equals)
			return cli_usage(w->cli, "--%s takes no value", o->name);
		return store(w->cli, o, NULL, &w->help);
	}
	code = value_of(w, o, equals ? equals + 1 : NULL, &value);
	return code ? code : store(w->cli, o, value, &w->help);
}

static int walk_letters(struct walk *w, const char *text)
{
	for (; *text; text++) {
		const struct option_def *o = find_letter(w->table, *text);
		const char *value = NULL;
		int code;

		if (!o)
			o = find_letter(w->global, *text);
		if (!o)
			return cli_usage(w->cli, "unknown option '-%c'", *text);
		if (takes_value(o)) {
			code = value_of(w, o, text[1] ? text + 1 : NULL, &value);
			return code ? code : store(w->cli, o, value, &w->help);
		}
		code = store(w->cli, o, NULL, &w->help);
		if (code)
			return code;
	}
	return CLI_OK;
}

static int walk_option(struct walk *w, const char *text)
{
	return text[1] == '-' ? walk_long(w, text + 2) : walk_letters(w, text + 1);
}

static bool is_option(const char *text)
{
	return text[0] == '-' && text[1];
}

int options_parse(struct cli *cli, const struct option_def *table, int argc, char **argv, struct arguments *out)
{
	struct walk w = {.cli = cli, .table = table, .argc = argc, .argv = argv};
	int code;

	global_table(cli, w.global);
	*out = (struct arguments){.operands = argv};
	for (; w.at < argc; w.at++) {
		char *text = argv[w.at];

		if (!strcmp(text, "--")) {
			out->rest = argv + w.at + 1;
			out->rest_count = argc - w.at - 1;
			break;
		}
		if (!is_option(text)) {
			argv[out->count++] = text; /* never overtakes w.at */
			continue;
		}
		code = walk_option(&w, text);
		if (code)
			return code;
	}
	out->help = w.help;
	return CLI_OK;
}

bool options_begin_apart(struct cli *cli, const struct option_def *table, const char *help, int argc, char **argv,
			 struct arguments *out, int *code)
{
	*code = options_parse(cli, table, argc, argv, out);
	if (*code == CLI_OK && out->help)
		fputs(help, stdout);
	return *code == CLI_OK && !out->help;
}

bool options_begin(struct cli *cli, const struct option_def *table, const char *help, int argc, char **argv,
		   struct arguments *out, int *code)
{
	bool goes_on = options_begin_apart(cli, table, help, argc, argv, out, code);

	if (goes_on)
		options_join_rest(out);
	return goes_on;
}

int options_parse_front(struct cli *cli, const struct option_def *table, int argc, char **argv, int *next, bool *help)
{
	struct walk w = {.cli = cli, .table = table, .argc = argc, .argv = argv};
	int code;

	global_table(cli, w.global);
	for (; w.at < argc && is_option(argv[w.at]); w.at++) {
		code = walk_option(&w, argv[w.at]);
		if (code)
			return code;
	}
	*next = w.at;
	*help = w.help;
	return CLI_OK;
}

void options_join_rest(struct arguments *args)
{
	for (int i = 0; i < args->rest_count; i++)
		args->operands[args->count++] = args->rest[i];
	args->rest = NULL;
	args->rest_count = 0;
}
