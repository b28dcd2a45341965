/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard explore: runs the program that has the simulation in it (src/sim/explore). That one parses the arguments,
 * and its exit code is the result.
 */
#include "cli/explore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/part.h"

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const char *const beside[] = {"../sim/explore", "../libexec", NULL};
	const char **args;
	char path[4200];
	int count = 0;

	if (!part_find(path, sizeof(path), "outboard-explore", beside, OB_EXPLORE, X_OK)) {
		if (wants_help(argc, argv)) {
			fputs(explore_help, stdout);
			return CLI_OK;
		}
		return cli_error(cli, CLI_NO_PROGRAM,
				 "this build has no outboard-explore: the simulation takes gcc, and no sanitizer "
				 "(CC=gcc meson setup build; ninja -C build)");
	}
	args = calloc((size_t)argc + cli->verbose + 3, sizeof(*args));
	if (!args)
		return cli_error(cli, CLI_FAILED, "out of memory");
	args[count++] = "outboard explore";
	if (cli->quiet)
		args[count++] = "--quiet";
	for (unsigned i = 0; i < cli->verbose; i++)
		args[count++] = "--verbose";
	for (int i = 0; i < argc; i++)
		args[count++] = argv[i];
	execv(path, (char *const *)args); /* it changes none of them */
	free(args);
	return cli_error(cli, CLI_NO_PROGRAM, "%s: %s", path, strerror(errno));
}

const struct cli_verb cli_explore = {
	.name = "explore",
	.summary = "take drivers through many simulated worlds, and report what breaks",
	.help = explore_help,
	.run = run,
};
