/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard bind and unbind: a PCI device changes hands between the kernel's driver and vfio-pci. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "host/host.h"

static const char bind_help[] =
	"usage: outboard bind [options] ADDRESS...\n"
	"\n"
	"Takes PCI devices from the kernel's drivers and gives them to vfio-pci, so that --machine vfio:ADDRESS can\n"
	"have them. A device that is in use is refused: a mounted file system, swap, a volume, the default route, a\n"
	"process that has it open.\n"
	"\n"
	"options:\n"
	"      --group      the other devices of the IOMMU group, too\n"
	"      --user NAME  let this user open it without privileges\n"
	"\n"
	"  outboard bind 0000:01:00.0\n"
	"  outboard bind --user alice 0000:01:00.0\n"
	"\n"
	"Needs root. exit codes: 0 done, 1 not possible, 3 no such device\n";

static const char unbind_help[] =
	"usage: outboard unbind [options] ADDRESS...\n"
	"\n"
	"Takes PCI devices from vfio-pci and gives them back to the drivers that they had. A device that a process\n"
	"uses is refused.\n"
	"\n"
	"options:\n"
	"      --force  have the kernel ask such a process to leave, and wait for it (15 s)\n"
	"\n"
	"  outboard unbind 0000:01:00.0\n"
	"\n"
	"Needs root. exit codes: 0 done, 1 not possible, 3 no such device\n";

static int failed(const struct cli *cli, int error, const char *why)
{
	return cli_error(cli, error == -ENODEV ? CLI_NO_DEVICE : CLI_FAILED, "%s", why);
}

/* true: go on. */
static bool addresses(struct cli *cli, const struct option_def *table, int argc, char **argv, const char *help,
		      struct arguments *args, int *code)
{
	if (!options_begin(cli, table, help, argc, argv, args, code))
		return false;
	if (!args->count)
		*code = cli_usage(cli, "which device? An ADDRESS is like 0000:01:00.0");
	return args->count != 0;
}

static int run_bind(struct cli *cli, int argc, char **argv)
{
	bool group = false;
	const char *user = NULL;
	const struct option_def table[] = {
		{.name = "group", .kind = OPTION_FLAG, .to = &group},
		{.name = "user", .kind = OPTION_TEXT, .to = &user},
		{.kind = OPTION_END},
	};
	char why[HOST_TEXT_LEN];
	struct arguments args;
	struct host host;
	unsigned uid = 0;
	int code;

	if (!addresses(cli, table, argc, argv, bind_help, &args, &code))
		return code;
	host_init(&host, "");
	if (user && host_user_find(user, &uid, why) < 0)
		return cli_error(cli, CLI_FAILED, "%s", why);
	for (int i = 0; i < args.count; i++) {
		int ret = host_bind(&host, args.operands[i], group, why);

		if (ret == 0 && user)
			ret = host_give_to_user(&host, args.operands[i], uid, why);
		if (ret < 0)
			return failed(cli, ret, why);
	}
	return CLI_OK;
}

static int run_unbind(struct cli *cli, int argc, char **argv)
{
	bool force = false;
	const struct option_def table[] = {
		{.name = "force", .kind = OPTION_FLAG, .to = &force},
		{.kind = OPTION_END},
	};
	char why[HOST_TEXT_LEN];
	struct arguments args;
	struct host host;
	int code;

	if (!addresses(cli, table, argc, argv, unbind_help, &args, &code))
		return code;
	host_init(&host, "");
	for (int i = 0; i < args.count; i++) {
		int ret = host_unbind(&host, args.operands[i], force, why);

		if (ret < 0)
			return failed(cli, ret, why);
	}
	return CLI_OK;
}

const struct cli_verb cli_bind = {
	.name = "bind",
	.summary = "take a PCI device from the kernel's driver, for vfio:",
	.help = bind_help,
	.run = run_bind,
};

const struct cli_verb cli_unbind = {
	.name = "unbind",
	.summary = "give a PCI device back to the kernel's driver",
	.help = unbind_help,
	.run = run_unbind,
};
