/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard attach-help: what to start oneself so that a machine can attach to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

static const char help[] = "usage: outboard --machine URI attach-help\n"
			   "\n"
			   "Prints the commands that start by hand what the machine of this URI then attaches to.\n"
			   "\n"
			   "  outboard -M 'qemu:q35?attach=/tmp/m&nvme=disk.img' attach-help\n";

static int run(struct cli *cli, int argc, char **argv)
{
	const struct option_def table[] = {{.kind = OPTION_END}};
	struct arguments args;
	char *text = NULL;
	int error, code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count)
		return cli_usage(cli, "takes no arguments: the machine is --machine URI");
	error = ob_machine_attach_help(cli->machine_uri, &text);
	if (error == -EOPNOTSUPP)
		return cli_error(cli, CLI_FAILED, "machine '%s' is nothing to attach to", cli->machine_uri);
	if (error == -ENOENT)
		return cli_error(cli, CLI_NO_DEVICE, "machine '%s': there is no such machine; see outboard-machine(7)",
				 cli->machine_uri);
	if (error == -EINVAL)
		return cli_usage(cli, "machine '%s': not understood, or without attach=DIR; see outboard-machine(7)",
				 cli->machine_uri);
	if (error)
		return cli_error(cli, CLI_FAILED, "%s", strerror(-error));
	printf("%s%s", text, text[0] && text[strlen(text) - 1] != '\n' ? "\n" : "");
	ob_free(text);
	return CLI_OK;
}

const struct cli_verb cli_attach_help = {
	.name = "attach-help",
	.summary = "how to start by hand what a machine attaches to",
	.help = help,
	.run = run,
};
