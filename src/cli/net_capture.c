/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net capture: received frames into a pcapng file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/net.h"
#include "cli/output.h"
#include "cli/pcapng.h"

static const char help[] =
	"usage: outboard net capture [options] (FILE | --discard) [NET]\n"
	"\n"
	"Writes what comes in to FILE as pcapng, for tshark and Wireshark; '-' is standard output.\n"
	"\n"
	"  outboard net capture --count 100 out.pcapng\n"
	"  outboard net capture - | tshark -r -\n"
	"  outboard net capture --discard --mode polled --time 5     only count\n"
	"\n"
	"      --discard          keep nothing: how much comes in?\n"
	"      --snap SIZE        bytes kept of each frame (default 64K: all)\n"
	"      --own              only what is for this interface (default: everything)\n" NET_OPTION_HELP;

struct capture {
	struct net_port port;
	struct pcapng *file; /* NULL: discard */
	const char *path;
	uint64_t frames;
	uint64_t flushed_ns, looked_ns;
	bool to_stdout;
};

static int write_failed(struct cli *cli, const struct capture *c, int error)
{
	return cli_error(cli, CLI_FAILED, "%s: %s", c->to_stdout ? "standard output" : c->path, strerror(-error));
}

static bool output_failed(struct net_work *work, const struct capture *c, int error)
{
	if (error == -EINTR)
		work->done = true;
	else if (error == -EPIPE && c->to_stdout)
		work->code = CLI_PIPE;
	else
		work->code = write_failed(work->cli, c, error);
	return false;
}

/* With no frame to write, nothing would tell that whoever read has gone. */
static bool is_read(struct capture *c, uint64_t now_ns)
{
	struct pollfd fd = {.fd = STDOUT_FILENO};

	if (!c->to_stdout || now_ns - c->looked_ns < 100 * OB_NS_PER_MS)
		return true;
	c->looked_ns = now_ns;
	return poll(&fd, 1, 0) <= 0 || !(fd.revents & POLLERR);
}

static bool step(struct net_work *work, uint64_t now_ns)
{
	struct capture *c = work->arg;
	struct ob_packet *frames[OB_NET_BURST];
	uint64_t left = work->options->count != 0 ? work->options->count - c->frames : OB_NET_BURST;
	unsigned count = ob_net_receive(c->port.channel, frames, left < OB_NET_BURST ? (unsigned)left : OB_NET_BURST);
	int error = 0;

	for (unsigned i = 0; i < count && c->file != NULL && error == 0; i++)
		error = pcapng_frame(c->file, now_ns, PCAPNG_INBOUND, frames[i]);
	ob_packet_put_burst(frames, count);
	c->frames += count;
	/* Whoever reads along sees frames soon. */
	if (error == 0 && c->file != NULL && count == 0 && c->file->used > 0 &&
	    now_ns - c->flushed_ns > 100 * OB_NS_PER_MS) {
		error = pcapng_flush(c->file);
		c->flushed_ns = now_ns;
	}
	if (error == 0 && count == 0 && !is_read(c, now_ns))
		error = -EPIPE;
	if (error != 0)
		return output_failed(work, c, error);
	if (work->options->count != 0 && c->frames >= work->options->count)
		work->done = true;
	return count > 0;
}

/* The file is opened, and so emptied, only when the interface is known to be there. */
static int open_file(struct cli *cli, struct capture *c, uint32_t snap_bytes)
{
	int fd = STDOUT_FILENO;
	int error;

	c->file = calloc(1, sizeof(*c->file));
	if (!c->file)
		return cli_error(cli, CLI_FAILED, "out of memory");
	if (!c->to_stdout)
		fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	c->file->fd = -1;
	if (fd < 0)
		return cli_error(cli, CLI_FAILED, "%s: %s", c->path, strerror(errno));
	error = pcapng_begin(c->file, fd, ob_net_name(c->port.net), snap_bytes, ob_now_ns());
	return error ? write_failed(cli, c, error) : CLI_OK;
}

static int close_file(struct cli *cli, struct capture *c, int code)
{
	int error = 0;

	if (!c->file)
		return code;
	if (c->file->fd >= 0) {
		/* What came before the interface went is kept. */
		error = !code || code == CLI_IO ? pcapng_flush(c->file) : 0;
		if (!c->to_stdout && close(c->file->fd) && !error)
			error = -errno;
	}
	free(c->file);
	if (error == -EPIPE && c->to_stdout)
		return CLI_PIPE;
	return error ? write_failed(cli, c, error) : code;
}

static int capture(struct cli *cli, struct capture *c, const char *name, const struct net_options *o,
		   uint32_t snap_bytes, bool own)
{
	struct net_work work = {.cli = cli, .ports = {&c->port}, .options = o, .step = step, .arg = c};
	int code = net_port_open(&c->port, cli, name, o);

	if (!code && !own)
		code = net_promiscuous(&c->port);
	if (!code && c->path)
		code = open_file(cli, c, snap_bytes);
	if (!code)
		code = net_run(&work);
	code = close_file(cli, c, code);
	if (!code && !c->to_stdout)
		code = net_report(&work, "capture");
	net_port_close(&c->port);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct net_options o = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH};
	struct capture c = {.path = NULL};
	uint64_t snap_bytes = 65536;
	bool discard = false, own = false;
	const struct option_def table[] = {
		{.name = "discard", .kind = OPTION_FLAG, .to = &discard},
		{.name = "snap", .kind = OPTION_SIZE, .to = &snap_bytes, .min = 14, .max = PCAPNG_SNAP_MAX},
		{.name = "own", .kind = OPTION_FLAG, .to = &own},
		NET_OPTION_ROWS(&o),
		{.kind = OPTION_END},
	};
	struct arguments args;
	int next, code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	options_join_rest(&args);
	next = discard ? 0 : 1;
	if (args.count < next)
		return cli_usage(cli, "name a file for the frames, or say --discard");
	if (args.count > next + 1)
		return cli_usage(cli, "one interface at a time");
	if (!discard)
		c.path = args.operands[0];
	c.to_stdout = c.path && !strcmp(c.path, "-");
	if (c.to_stdout && isatty(STDOUT_FILENO))
		return cli_usage(cli, "standard output is a terminal: name a file, or pipe it into a program");
	if (c.to_stdout && o.json)
		return cli_usage(cli, "frames and JSON would mix on standard output: name a file");
	code = cli_open(cli, 1);
	if (!code)
		code = capture(cli, &c, args.count > next ? args.operands[next] : NULL, &o, (uint32_t)snap_bytes, own);
	return cli_close(cli, code);
}

const struct net_command net_capture = {.name = "capture", .verb = "net capture", .run = run};
