/* SPDX-License-Identifier: BSD-2-Clause */
/* The option parser: values, mixing, and what it says about mistakes. */
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* In place of the command's: keep the message. */
static char said[1000];

int cli_usage(const struct cli *cli, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return CLI_USAGE;
}

static struct cli cli;
static struct {
	bool json, size_given;
	unsigned depth, mode, loud;
	uint64_t size, time;
	const char *file;
} got;
static const char *const modes[] = {"slow", "fast", NULL};
static const struct option_def table[] = {
	{.name = "json", .letter = 'j', .kind = OPTION_FLAG, .to = &got.json},
	{.name = "depth", .letter = 'd', .kind = OPTION_NUMBER, .to = &got.depth, .min = 1, .max = 64},
	{.name = "size", .kind = OPTION_SIZE, .to = &got.size, .given = &got.size_given},
	{.name = "time", .kind = OPTION_TIME, .to = &got.time, .min = OB_NS_PER_MS},
	{.name = "mode", .kind = OPTION_CHOICE, .to = &got.mode, .choices = modes},
	{.name = "file", .letter = 'f', .kind = OPTION_TEXT, .to = &got.file},
	{.kind = OPTION_END},
};

/* "a b c" split at blanks; @args' operands point into static memory. */
static int parse(const char *line, struct arguments *args)
{
	static char text[500], *argv[40];
	int argc = 0;

	memset(&got, 0, sizeof(got));
	memset(&cli, 0, sizeof(cli));
	said[0] = '\0';
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_parse(&cli, table, argc, argv, args);
}

static void test_options_all_kinds_are_stored(void **state)
{
	struct arguments args;

	assert_int_equal(parse("--json --depth 8 --size=64K --time 500ms --mode fast -f x", &args), CLI_OK);
	assert_true(got.json && got.size_given);
	assert_int_equal(got.depth, 8);
	assert_int_equal(got.size, 65536);
	assert_int_equal(got.time, 500 * OB_NS_PER_MS);
	assert_int_equal(got.mode, 1);
	assert_string_equal(got.file, "x");
	assert_int_equal(args.count, 0);
}

static void test_options_mixed_with_operands_keep_their_order(void **state)
{
	struct arguments args;

	assert_int_equal(parse("one -jd4 two -fname - three", &args), CLI_OK);
	assert_int_equal(args.count, 4);
	assert_string_equal(args.operands[0], "one");
	assert_string_equal(args.operands[1], "two");
	assert_string_equal(args.operands[2], "-");
	assert_string_equal(args.operands[3], "three");
	assert_int_equal(got.depth, 4);
	assert_string_equal(got.file, "name");
}

static void test_options_after_double_dash_are_rest(void **state)
{
	struct arguments args;

	assert_int_equal(parse("one -- --json two", &args), CLI_OK);
	assert_false(got.json);
	assert_int_equal(args.count, 1);
	assert_int_equal(args.rest_count, 2);
	assert_string_equal(args.rest[0], "--json");
	options_join_rest(&args);
	assert_int_equal(args.count, 3);
	assert_string_equal(args.operands[1], "--json");
	assert_string_equal(args.operands[2], "two");
}

static void test_options_global_ones_are_known_everywhere(void **state)
{
	struct arguments args;

	assert_int_equal(parse("one --machine qemu:q35 -vv --qemu-arg -device --qemu-arg=edu -q --help", &args),
			 CLI_OK);
	assert_string_equal(cli.machine_uri, "qemu:q35");
	assert_int_equal(cli.verbose, 2);
	assert_true(cli.quiet && args.help);
	assert_int_equal(cli.qemu_arg_count, 2);
	assert_string_equal(cli.qemu_args[0], "-device");
	assert_string_equal(cli.qemu_args[1], "edu");
	assert_null(cli.qemu_args[2]);
}

static void test_options_front_stops_at_first_operand(void **state)
{
	char a[] = "--depth", b[] = "3", c[] = "verb", d[] = "--json";
	char *argv[] = {a, b, c, d, NULL};
	bool help = false;
	int next = 0;

	memset(&got, 0, sizeof(got));
	assert_int_equal(options_parse_front(&cli, table, 4, argv, &next, &help), CLI_OK);
	assert_int_equal(next, 2);
	assert_int_equal(got.depth, 3);
	assert_false(got.json || help);
}

static void test_options_mistakes_are_named(void **state)
{
	static const struct {
		const char *line, *message;
	} mistakes[] = {
		{"--nothing", "unknown option '--nothing'"},
		{"--jso", "unknown option '--jso'"},
		{"-jx", "unknown option '-x'"},
		{"--json=1", "--json takes no value"},
		{"--depth", "--depth needs a value"},
		{"-d", "--depth needs a value"},
		{"--depth 0", "--depth: '0' is too small; at least 1"},
		{"--depth 65", "--depth: '65' is too large; at most 64"},
		{"--depth 4x", "--depth: '4x' is not a number"},
		{"--depth -1", "--depth: '-1' is not a number"},
		{"--depth 18446744073709551616", "--depth: '18446744073709551616' is too large; at most 64"},
		{"--size 4KB", "--size: '4KB' is not a size; write for example 4096, 64K or 1G"},
		{"--size 99999999T", "--size: '99999999T' is too large; at most 18446744073709551615"},
		{"--size=", "--size: '' is not a size; write for example 4096, 64K or 1G"},
		{"--time 0", "--time: '0' is too small; at least 1ms"},
		{"--time 1d", "--time: '1d' is not a time; write for example 10, 500ms or 2m"},
		{"--mode quick", "--mode: 'quick' is none of slow, fast"},
	};
	struct arguments args;

	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		assert_int_equal(parse(mistakes[i].line, &args), CLI_USAGE);
		assert_string_equal(said, mistakes[i].message);
	}
}

static void test_options_too_many_qemu_args_are_refused(void **state)
{
	static char option[] = "--qemu-arg=x", *argv[CLI_QEMU_ARG_MAX + 2];
	struct arguments args;

	memset(&cli, 0, sizeof(cli));
	for (int i = 0; i <= CLI_QEMU_ARG_MAX; i++)
		argv[i] = option;
	assert_int_equal(options_parse(&cli, table, CLI_QEMU_ARG_MAX, argv, &args), CLI_OK);
	cli.qemu_arg_count = 0;
	assert_int_equal(options_parse(&cli, table, CLI_QEMU_ARG_MAX + 1, argv, &args), CLI_USAGE);
}

static void test_parse_size_units_are_powers_of_1024(void **state)
{
	uint64_t n;

	assert_int_equal(parse_size("0", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_size("18446744073709551615", &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(parse_size("18446744073709551616", &n), -ERANGE);
	assert_int_equal(parse_size("3MiB", &n), 0);
	assert_int_equal(n, 3 * OB_MIB);
	assert_int_equal(parse_size("16777216T", &n), -ERANGE);
	assert_int_equal(parse_size("16777215T", &n), 0);
	assert_int_equal(parse_size("", &n), -EINVAL);
	assert_int_equal(parse_size("K", &n), -EINVAL);
	assert_int_equal(parse_size(" 4", &n), -EINVAL);
	assert_int_equal(parse_size("0x10", &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_all_kinds_are_stored),
		cmocka_unit_test(test_options_mixed_with_operands_keep_their_order),
		cmocka_unit_test(test_options_after_double_dash_are_rest),
		cmocka_unit_test(test_options_global_ones_are_known_everywhere),
		cmocka_unit_test(test_options_front_stops_at_first_operand),
		cmocka_unit_test(test_options_mistakes_are_named),
		cmocka_unit_test(test_options_too_many_qemu_args_are_refused),
		cmocka_unit_test(test_parse_size_units_are_powers_of_1024),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
