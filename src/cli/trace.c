/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard trace: runs another verb with trace points on, and prints the events when it has ended (session.c). */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

static const char help[] =
	"usage: outboard trace [--output FILE] [--events N] VERB [arguments]\n"
	"\n"
	"Runs VERB with all trace points on, then prints what happened, one event per line, oldest first.\n"
	"\n"
	"  outboard trace info nvme0n1 | less\n"
	"  outboard trace --output events read --count 64K nvme0n1 /dev/null\n"
	"  outboard trace --output - bench --time 10ms | grep nvme-doorbell | wc -l\n"
	"\n"
	"  -o, --output FILE   where the events go (default, or '-': standard output)\n"
	"      --events N      kept per CPU; older ones are overwritten (default 65536)\n";

static int run(struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *verb;
	const struct option_def table[] = {
		{.name = "output", .letter = 'o', .kind = OPTION_TEXT, .to = &cli->trace_output},
		{.name = "events", .kind = OPTION_NUMBER, .to = &cli->trace_events, .min = 16, .max = 1 << 24},
		{.kind = OPTION_END},
	};
	bool wants_help = false;
	int next = 0;
	int code = options_parse_front(cli, table, argc, argv, &next, &wants_help);

	if (code)
		return code;
	if (wants_help) {
		fputs(help, stdout);
		return CLI_OK;
	}
	if (next == argc)
		return cli_usage(cli, "name the verb to trace, for example 'outboard trace info'");
	verb = cli_find_verb(argv[next]);
	if (!verb || verb == &cli_trace || verb == &cli_serve || verb == &cli_explore || verb == &cli_attach_help ||
	    verb == &cli_doctor || verb == &cli_bind || verb == &cli_unbind)
		return cli_usage(cli, "cannot trace '%s'; it traces devices, info, read, write, bench, net",
				 argv[next]);
	if (cli->trace_output && !strcmp(cli->trace_output, "-"))
		cli->trace_output = NULL;
	cli->trace = true;
	cli->verb = verb->name;
	return verb->run(cli, argc - next - 1, argv + next + 1);
}

const struct cli_verb cli_trace = {
	.name = "trace",
	.summary = "run another verb and print what happened, event by event",
	.help = help,
	.run = run,
};
