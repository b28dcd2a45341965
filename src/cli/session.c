/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing the machine for a verb; the trace around it; what the library says, and exit codes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/nvme.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"

enum cli_exit cli_exit_of(int error)
{
	switch (error) {
	case 0:
		return CLI_OK;
	case -ENOMEM:
	case -EMFILE:
	case -EINTR:
		return CLI_FAILED;
	case -ENOENT:
		return CLI_NO_DEVICE;
	default:
		return CLI_IO;
	}
}

int cli_io_error(const struct cli *cli, struct ob_block *block, const char *what, uint64_t offset, uint64_t len_bytes,
		 int error, uint16_t protocol_status)
{
	const char *driver = ob_device_driver_name(ob_block_device(block));
	char detail[120] = "", len[TEXT_MAX];

	if (protocol_status && driver && !strcmp(driver, "nvme"))
		snprintf(detail, sizeof(detail), " (NVMe status %u/0x%02x: %s)", protocol_status >> 8,
			 protocol_status & 0xff, ob_nvme_status_text(protocol_status));
	if (len_bytes)
		cli_error(cli, CLI_IO, "%s: %s of %s at byte %llu: %s%s", ob_block_name(block), what,
			  text_size(len, len_bytes), (unsigned long long)offset, strerror(-error), detail);
	else
		cli_error(cli, CLI_IO, "%s: %s: %s%s", ob_block_name(block), what, strerror(-error), detail);
	return cli_exit_of(error);
}

static void on_log(void *arg, enum ob_log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	struct cli *cli = arg;

	if (level == OB_LOG_ERROR)
		__atomic_fetch_add(&cli->errors_logged, 1, __ATOMIC_RELAXED);
	progress_clear();
	fprintf(stderr, "outboard: %s: %s\n", (unsigned)level < 4 ? names[level] : "debug", text);
}

/* ---- the machine ---- */

static enum ob_log_level log_level(const struct cli *cli)
{
	int level = (cli->quiet ? OB_LOG_ERROR : OB_LOG_WARN) + (int)cli->verbose;

	return level > OB_LOG_DEBUG ? OB_LOG_DEBUG : (enum ob_log_level)level;
}

int cli_open_failed(struct cli *cli, const char *uri, int error)
{
	/* The library has said why, in more detail than an errno holds. */
	if (!__atomic_load_n(&cli->errors_logged, __ATOMIC_RELAXED)) {
		if (error == -EINVAL)
			cli_error(cli, CLI_USAGE, "machine '%s': not understood; see outboard-machine(7)", uri);
		else if (error == -ENOENT)
			cli_error(cli, CLI_NO_DEVICE, "machine '%s': there is no such machine; see outboard-machine(7)",
				  uri);
		else
			cli_error(cli, CLI_NO_DEVICE, "machine '%s': %s", uri, strerror(-error));
	}
	switch (error) {
	case -EINVAL:
		return CLI_USAGE;
	case -ENOMEM:
		return CLI_FAILED;
	case -ENOPKG:
		return CLI_NO_PROGRAM;
	default:
		return CLI_NO_DEVICE;
	}
}

/* Before the work, which may take long and cannot always be done again. */
static int open_trace(struct cli *cli)
{
	if (!cli->trace || !cli->trace_output)
		return CLI_OK;
	cli->trace_file = fopen(cli->trace_output, "we");
	if (!cli->trace_file)
		return cli_error(cli, CLI_FAILED, "trace: %s: %s", cli->trace_output, strerror(errno));
	return CLI_OK;
}

int cli_open(struct cli *cli, unsigned cpu_count)
{
	struct ob_config config = {
		.log = on_log,
		.log_arg = cli,
		.log_level = log_level(cli),
		.cpu_count = cpu_count,
		.trace_events_per_cpu = cli->trace ? cli->trace_events : 0,
	};
	struct ob_machine_options options = {.args = cli->qemu_arg_count ? cli->qemu_args : NULL};
	int code = open_trace(cli), error;

	if (code)
		return code;
	error = ob_create(&config, &cli->ob);
	if (error)
		return cli_error(cli, CLI_FAILED, "cannot start: %s", strerror(-error));
	if (cli->trace)
		ob_trace_enable(cli->ob, true);
	error = ob_machine_open(cli->ob, cli->machine_uri, &options, &cli->machine);
	if (error)
		return cli_open_failed(cli, cli->machine_uri, error);
	if (cli_interrupted())
		return 128 + cli_interrupted();
	return CLI_OK;
}

/* ---- the trace ---- */

static void print_events(FILE *f, const struct ob_trace_event *events, size_t count, uint64_t lost)
{
	char line[200];

	if (lost)
		fprintf(f, "# %llu earlier events were overwritten; --events N keeps more\n", (unsigned long long)lost);
	for (size_t i = 0; i < count; i++) {
		ob_trace_format(&events[i], line, sizeof(line));
		fprintf(f, "%s\n", line);
	}
}

static int dump_trace(struct cli *cli)
{
	size_t max = (size_t)cli->trace_events * 2 * ob_cpu_count(cli->ob), count;
	struct ob_trace_event *events = calloc(max, sizeof(*events));
	FILE *f = cli->trace_file;
	uint64_t lost = 0;
	int error;

	if (!events)
		return cli_error(cli, CLI_FAILED, "trace: out of memory");
	ob_trace_enable(cli->ob, false);
	count = ob_trace_read(cli->ob, events, max, &lost);
	print_events(f ? f : stdout, events, count, lost);
	free(events);
	if (!f) {
		output_flush(); /* output_finish() says what failed */
		return CLI_OK;
	}
	cli->trace_file = NULL;
	errno = 0;
	error = fflush(f) || ferror(f) ? errno : 0;
	if (fclose(f) && !error)
		error = errno;
	if (!error)
		return CLI_OK;
	return cli_error(cli, CLI_FAILED, "trace: %s: %s", cli->trace_output, strerror(error));
}

int cli_close(struct cli *cli, int status)
{
	int traced = CLI_OK;

	progress_clear();
	if (cli->ob && cli->trace)
		traced = dump_trace(cli);
	if (cli->trace_file)
		fclose(cli->trace_file);
	cli->trace_file = NULL;
	ob_machine_close(cli->machine);
	ob_destroy(cli->ob);
	cli->machine = NULL;
	cli->ob = NULL;
	return status ? status : traced;
}

/* ---- block devices ---- */

int cli_no_block(struct cli *cli)
{
	struct ob_net *net = ob_net_find(cli->ob, NULL);

	ob_net_put(net);
	return cli_error(cli, CLI_NO_DEVICE, "machine '%s' has no block device%s", cli->machine_uri,
			 net ? "; for network interfaces there is 'outboard net'" : "");
}

static int no_block(struct cli *cli, const char *name)
{
	struct ob_block *b = NULL;
	char known[400] = "";
	unsigned count = 0;

	while ((b = ob_block_next(cli->ob, b)) != NULL)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", count++ ? ", " : "",
			 ob_block_name(b));
	if (!count)
		return cli_no_block(cli);
	return cli_error(cli, CLI_NO_DEVICE, "no block device '%s'; there is %s", name, known);
}

int cli_block(struct cli *cli, const char *name, struct ob_block **out)
{
	*out = ob_block_find(cli->ob, name);
	return *out ? CLI_OK : no_block(cli, name);
}
