/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard doctor: what this computer lacks for drivers in user space, and how to get it. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <outboard/driver.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/output.h"
#include "host/host.h"

static const char help[] =
	"usage: outboard doctor [options] [ADDRESS]\n"
	"\n"
	"Says what this computer lacks for drivers in user space (IOMMU, modules, memory, devices that\n"
	"other drivers have), one line each, with the command that mends it behind an arrow. With an ADDRESS, a PCI\n"
	"device like 0000:01:00.0, that device only. It changes nothing.\n"
	"\n"
	"options:\n"
	"      --json      print JSON\n"
	"      --root DIR  look at a recorded computer instead of this one\n"
	"\n"
	"  outboard doctor\n"
	"  outboard doctor --json 0000:01:00.0\n"
	"\n"
	"exit codes: 0 all is well, 1 something is lacking\n";

static const char *const words[] = {"ok", "note", "BAD"};
static const char *const json_words[] = {"good", "note", "bad"};

static void print_one(const struct host_finding *f)
{
	printf("%-5s %-9s ", words[f->verdict], f->subject);
	if (f->device[0] != '\0')
		printf("%s: ", f->device);
	printf("%s%s%s\n", f->text, f->mend[0] != '\0' ? " -> " : "", f->mend);
}

static json_t *json_one(const struct host_finding *f)
{
	return json_pack("{s:s, s:s, s:s?, s:s, s:s?}", "subject", f->subject, "verdict", json_words[f->verdict],
			 "device", f->device[0] != '\0' ? f->device : NULL, "text", f->text, "mend",
			 f->mend[0] != '\0' ? f->mend : NULL);
}

static int report(const struct cli *cli, const struct host_finding *found, unsigned count, bool json)
{
	json_t *list = json ? json_array() : NULL;
	int code = CLI_OK;

	for (unsigned i = 0; i < count; i++) {
		if (found[i].verdict == HOST_BAD)
			code = CLI_FAILED;
		if (json)
			json_array_append_new(list, json_one(&found[i]));
		else if (!cli->quiet || found[i].verdict == HOST_BAD)
			print_one(&found[i]);
	}
	if (json && output_json(cli, list) != CLI_OK)
		return CLI_FAILED;
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static struct host_finding found[HOST_FINDINGS_MAX];
	const char *root = "";
	bool json = false;
	const struct option_def table[] = {
		{.name = "json", .kind = OPTION_FLAG, .to = &json},
		{.name = "root", .kind = OPTION_TEXT, .to = &root},
		{.kind = OPTION_END},
	};
	struct arguments args;
	struct stat st;
	struct host host;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one ADDRESS at most");
	if (root[0] != '\0' && (stat(root, &st) != 0 || !S_ISDIR(st.st_mode)))
		return cli_error(cli, CLI_USAGE, "%s: no directory of a recorded computer", root);
	host_init(&host, root);
	host.has_driver = ob_driver_fits_pci;
	return report(cli, found, host_examine(&host, args.count ? args.operands[0] : NULL, found), json);
}

const struct cli_verb cli_doctor = {
	.name = "doctor",
	.summary = "say what this computer lacks for drivers in user space",
	.help = help,
	.run = run,
};
