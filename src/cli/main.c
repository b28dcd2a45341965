/* SPDX-License-Identifier: BSD-2-Clause */
/* The `outboard` command: picks the verb. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

static const struct cli_verb *const verbs[] = {
	&cli_devices, &cli_info,  &cli_read,   &cli_write, &cli_bench,  &cli_serve,       &cli_net,
	&cli_explore, &cli_trace, &cli_doctor, &cli_bind,  &cli_unbind, &cli_attach_help,
};

static const char help_top[] = "usage: outboard [options] VERB [arguments]\n"
			       "\n"
			       "Drives devices from this process, without the kernel's drivers.\n"
			       "\n"
			       "  outboard devices                        what is there\n"
			       "  outboard info                           the disks: size, limits, health\n"
			       "  outboard bench --depth 32 --time 5      how fast the first disk is\n"
			       "  outboard read nvme0n1 disk.img          copy a disk to a file\n"
			       "  outboard --machine 'qemu:q35?nvme=disk.img' serve nbd --unix /tmp/s\n"
			       "\n"
			       "verbs:\n";

static const char help_options[] =
	"\n"
	"options of every verb:\n"
	"  -M, --machine URI   what provides the hardware (default: $OUTBOARD_MACHINE, else model:)\n"
	"        model:                       models inside this process\n"
	"        qemu:q35?nvme=disk.img       a QEMU that is started for its devices\n"
	"        vfio:0000:01:00.0            a device of this computer that vfio-pci holds\n"
	"        vhost-user:/tmp/disk.sock    a device that another process serves, e.g. qemu-storage-daemon\n"
	"      --qemu-arg ARG  one more argument for QEMU; may be repeated\n"
	"  -v, --verbose       say more; twice: debug\n"
	"  -q, --quiet         no progress, no warnings\n"
	"  -V, --version       print the version\n"
	"  -h, --help          this; 'outboard VERB --help' for one verb\n"
	"\n"
	"exit codes: 0 done, 1 failed here, 2 wrong use, 3 no such device, 4 device failed, 5 a program is missing\n";

const struct cli_verb *cli_find_verb(const char *name)
{
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	}
	return NULL;
}

static int print_help(void)
{
	fputs(help_top, stdout);
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		printf("  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs(help_options, stdout);
	return CLI_OK;
}

static int unknown_verb(const struct cli *cli, const char *name)
{
	char known[200] = "";

	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "", verbs[i]->name);
	return cli_usage(cli, "unknown verb '%s'; there is %s", name, known);
}

/* "outboard help bench" is "outboard bench --help". */
static int help_verb(struct cli *cli, const char *name)
{
	const struct cli_verb *verb;

	if (!name || !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
		return print_help();
	verb = cli_find_verb(name);
	if (!verb)
		return unknown_verb(cli, name);
	fputs(verb->help, stdout);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *verb;
	bool help = false, version = false;
	const struct option_def table[] = {
		{.name = "version", .letter = 'V', .kind = OPTION_FLAG, .to = &version},
		{.kind = OPTION_END},
	};
	int next = 0;
	int code = options_parse_front(cli, table, argc, argv, &next, &help);

	if (code)
		return code;
	if (help)
		return print_help();
	if (version) {
		printf("outboard %s\n", ob_version());
		return CLI_OK;
	}
	if (next == argc)
		return cli_usage(cli, "say what to do, for example 'outboard devices'");
	if (!strcmp(argv[next], "help"))
		return help_verb(cli, next + 1 < argc ? argv[next + 1] : NULL);
	verb = cli_find_verb(argv[next]);
	if (!verb)
		return unknown_verb(cli, argv[next]);
	cli->verb = verb->name;
	return verb->run(cli, argc - next - 1, argv + next + 1);
}

int main(int argc, char **argv)
{
	const char *machine = getenv("OUTBOARD_MACHINE");
	struct cli cli = {
		.machine_uri = machine && *machine ? machine : "model:",
		.trace_events = 65536,
	};
	int code;

	output_begin();
	cli_catch_signals();
	code = run(&cli, argc > 0 ? argc - 1 : 0, argv + 1);
	code = output_finish(&cli, code);
	if (cli_interrupted())
		return 128 + cli_interrupted();
	return code;
}
