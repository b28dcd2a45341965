/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: one line on standard error. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/progress.h"

static const char *program(const struct cli *cli)
{
	return cli->program != NULL ? cli->program : "outboard";
}

static void message(const struct cli *cli, const char *format, va_list args, const char *hint)
{
	char text[1000];
	bool verb = cli->verb != NULL;

	vsnprintf(text, sizeof(text), format, args);
	progress_clear();
	fprintf(stderr, "%s: %s%s%s%s\n", program(cli), verb ? cli->verb : "", verb ? ": " : "", text, hint);
}

int cli_error(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message(cli, format, args, "");
	va_end(args);
	return code;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	char hint[120];
	va_list args;

	snprintf(hint, sizeof(hint), " (try '%s %s%s--help')", program(cli), cli->verb ? cli->verb : "",
		 cli->verb ? " " : "");
	va_start(args, format);
	message(cli, format, args, hint);
	va_end(args);
	return CLI_USAGE;
}
