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
#include "spec/ethernet.h"

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
	"      --channels N       receive by so many channels, that flows are dealt out to (default 1)\n"
	"      --own              only what is for this interface (default: everything)\n" NET_OPTION_HELP;

#define CHANNELS_MAX 16u

/* One of the channels; the first is the port's. */
struct lane {
	struct capture *c;
	struct ob_net_channel *channel;
	uint32_t index;
	uint64_t lost; /* frames that it told of so far */
};

struct capture {
	struct net_port port;
	struct lane lanes[CHANNELS_MAX];
	uint64_t by_channel[CHANNELS_MAX];
	unsigned lane_count;
	uint64_t count_max;  /* 0: no end */
	bool open;           /* what comes before the file is there, or after it, is not captured */
	bool moved;          /* frames were brought since the last step */
	int error;           /* of writing them */
	struct pcapng *file; /* NULL: discard */
	const char *path;
	uint64_t frames;
	uint64_t flushed_ns, looked_ns;
	uint8_t mac[ETHERNET_ADDRESS_BYTES]; /* of the interface */
	struct ob_net_stats before;          /* as the file began */
	bool to_stdout;
};

static int write_failed(struct cli *cli, const struct capture *c, int error)
{
	char kept[64] = "";

	if (c->file && c->file->kept)
		snprintf(kept, sizeof(kept), "; the first %llu frames are in it", (unsigned long long)c->file->kept);
	return cli_error(cli, CLI_FAILED, "%s: %s%s", c->to_stdout ? "standard output" : c->path, strerror(-error),
			 kept);
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
	struct pollfd fd = {.fd = c->file ? c->file->fd : -1};

	if (!c->file || now_ns - c->looked_ns < 100 * OB_NS_PER_MS)
		return true;
	c->looked_ns = now_ns;
	return poll(&fd, 1, 0) <= 0 || !(fd.revents & POLLERR);
}

static enum pcapng_reception reception(const struct capture *c, const struct ob_packet *frame)
{
	static const uint8_t everybody[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t to[ETHERNET_ADDRESS_BYTES];

	if (ob_packet_read(frame, 0, to, sizeof(to)))
		return PCAPNG_ANYBODY;
	if (!memcmp(to, everybody, sizeof(to)))
		return PCAPNG_BROADCAST;
	if (to[0] & ETHERNET_GROUP)
		return PCAPNG_MULTICAST;
	return memcmp(to, c->mac, sizeof(to)) ? PCAPNG_PROMISCUOUS : PCAPNG_UNICAST;
}

/* Frames that were lost on their way to this channel since it was last asked, as far as driver and device tell. */
static uint64_t newly_lost(struct lane *lane)
{
	uint64_t before = lane->lost;
	struct ob_net_stats s;

	ob_net_channel_stats(lane->channel, &s);
	lane->lost = s.rx_errors + s.rx_missed;
	return lane->lost - before;
}

/* What is beyond the number that was asked for is not counted. */
static void take(struct lane *lane, struct ob_packet **frames, unsigned count, uint64_t now_ns)
{
	struct capture *c = lane->c;
	struct pcapng_about about = {.stamp_ns = now_ns, .direction = PCAPNG_INBOUND, .queue = lane->index};

	if (c->open && c->file)
		about.lost = newly_lost(lane);
	for (unsigned i = 0; i < count && c->open && !c->error && (!c->count_max || c->frames < c->count_max); i++) {
		if (c->file) {
			about.reception = reception(c, frames[i]);
			c->error = pcapng_frame(c->file, &about, frames[i]);
			about.lost = 0;
		}
		c->frames++;
		c->by_channel[lane->index]++;
	}
	ob_packet_put_burst(frames, count);
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	struct lane *lane = arg;

	lane->c->moved = true;
	lane->channel = channel; /* it may come before it is said to be open */
	take(lane, frames, count, ob_cpu_time_ns(ob_net_channel_cpu(channel)));
}

static bool receive(struct net_work *work, struct capture *c, uint64_t now_ns)
{
	struct ob_packet *frames[OB_NET_BURST];
	uint64_t left;
	unsigned count;
	bool any = c->moved;

	c->moved = false;
	for (unsigned i = 0; i < c->lane_count && !work->brought; i++) {
		left = c->count_max ? c->count_max - c->frames : OB_NET_BURST;
		count = ob_net_receive(c->lanes[i].channel, frames,
				       left < OB_NET_BURST ? (unsigned)left : OB_NET_BURST);
		if (count)
			take(&c->lanes[i], frames, count, now_ns);
		any |= count > 0;
	}
	return any;
}

static bool step(struct net_work *work, uint64_t now_ns)
{
	struct capture *c = work->arg;
	bool any = receive(work, c, now_ns);
	int error = c->error;

	/* Whoever reads along sees frames soon. */
	if (error == 0 && c->file != NULL && !any && c->file->used > 0 && now_ns - c->flushed_ns > 100 * OB_NS_PER_MS) {
		error = pcapng_flush(c->file);
		c->flushed_ns = now_ns;
	}
	if (error == 0 && !any && !is_read(c, now_ns))
		error = -EPIPE;
	if (error != 0)
		return output_failed(work, c, error);
	if (c->count_max != 0 && c->frames >= c->count_max)
		work->done = true;
	return any;
}

/* ---- channels ---- */

/* By RSS, where the device has it; else as it likes. */
static int deal_out(struct cli *cli, const struct capture *c)
{
	struct ob_net_info info;
	struct ob_net_rss rss;
	int error;

	ob_net_info(c->port.net, &info);
	if (c->lane_count < 2 || !(info.abilities & OB_NET_CAN_RSS))
		return CLI_OK;
	ob_net_rss_default(c->port.net, c->lane_count, &rss);
	error = ob_net_set_rss(c->port.net, &rss);
	return error ? cli_error(cli, cli_exit_of(error), "%s: dealing out flows: %s", ob_net_name(c->port.net),
				 strerror(-error))
		     : CLI_OK;
}

/* The file has each frame's hash, where the device makes one. That comes before the other channels: it pauses them all. */
static int ask_for_hashes(struct cli *cli, const struct capture *c, const struct ob_net_info *info)
{
	int error;

	if (!c->path || !(info->offloads & ~info->offloads_on & OB_NET_RX_HASH))
		return CLI_OK;
	error = ob_net_set_offloads(c->port.net, info->offloads_on | OB_NET_RX_HASH);
	return error ? cli_error(cli, cli_exit_of(error), "%s: hashes of what comes in: %s", ob_net_name(c->port.net),
				 strerror(-error))
		     : CLI_OK;
}

/* Several are not waited for one by one: the CPU's turns bring what comes in, unless it is polled. */
static int open_channels(struct cli *cli, struct capture *c, struct net_work *work, const char *name)
{
	const struct net_options *o = work->options;
	struct ob_net_info info;
	int code;

	work->brought = o->channels > 1 && o->mode != OB_COMPLETION_POLLED;
	for (uint32_t i = 0; i < o->channels; i++)
		c->lanes[i] = (struct lane){.c = c, .index = i};
	code = net_port_open_brought(&c->port, cli, name, o, work->brought ? received : NULL, &c->lanes[0]);
	if (code)
		return code;
	c->lanes[0].channel = c->port.channel;
	c->lane_count = 1;
	ob_net_info(c->port.net, &info);
	if (o->channels > info.channels_max)
		return cli_usage(cli, "--channels: %s has %u at most", ob_net_name(c->port.net), info.channels_max);
	memcpy(c->mac, info.mac, sizeof(c->mac));
	code = ask_for_hashes(cli, c, &info);
	while (!code && c->lane_count < o->channels) {
		struct lane *lane = &c->lanes[c->lane_count];

		code = net_channel_open(&c->port, o, work->brought ? received : NULL, lane, &lane->channel);
		c->lane_count += !code;
	}
	return code ? code : deal_out(cli, c);
}

static void close_channels(struct capture *c)
{
	while (c->lane_count > 1)
		ob_net_channel_close(c->lanes[--c->lane_count].channel);
	net_port_close(&c->port);
}

/* ---- the file ---- */

/* The file is opened, and so emptied, only when the interface is known to be there. */
static int open_file(struct cli *cli, struct capture *c, uint32_t snap_bytes)
{
	struct pcapng_interface interface = {ob_net_name(c->port.net), c->mac, 0, snap_bytes};
	struct ob_net_link link;
	int fd = STDOUT_FILENO;
	int error;

	c->file = calloc(1, sizeof(*c->file));
	if (!c->file)
		return cli_error(cli, CLI_FAILED, "out of memory");
	if (!c->to_stdout)
		fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	c->file->fd = -1;
	/* A FIFO that nobody read from, until the user had enough of it. */
	if (fd < 0 && errno == EINTR && cli_interrupted())
		return CLI_FAILED;
	if (fd < 0)
		return cli_error(cli, CLI_FAILED, "%s: %s", c->path, strerror(errno));
	ob_net_stats(c->port.net, &c->before);
	for (unsigned i = 0; i < c->lane_count; i++)
		newly_lost(&c->lanes[i]);
	ob_net_link(c->port.net, &link);
	interface.speed_mbps = link.speed_mbps;
	error = pcapng_begin(c->file, fd, &interface, ob_now_ns());
	return error ? write_failed(cli, c, error) : CLI_OK;
}

static struct pcapng_counts counts_of(const struct capture *c)
{
	const struct ob_net_stats *before = &c->before;
	struct ob_net_stats now;

	ob_net_stats(c->port.net, &now);
	return (struct pcapng_counts){
		.received = now.rx_frames + now.rx_errors - before->rx_frames - before->rx_errors,
		.missed = now.rx_missed - before->rx_missed,
		.damaged = now.rx_errors - before->rx_errors,
		.delivered = c->frames,
	};
}

static int close_file(struct cli *cli, struct capture *c, int code)
{
	struct pcapng_counts counts;
	int error = 0;

	if (!c->file)
		return code;
	if (c->file->fd >= 0) {
		counts = counts_of(c);
		/* What came before the interface went is kept. */
		error = !code || code == CLI_IO ? pcapng_end(c->file, &counts, ob_now_ns()) : 0;
		if (!c->to_stdout && close(c->file->fd) && !error)
			error = -errno;
	}
	if (error == -EPIPE && c->to_stdout)
		code = CLI_PIPE;
	else if (error && error != -EINTR)
		code = write_failed(cli, c, error);
	free(c->file);
	c->file = NULL;
	return code;
}

static int capture(struct cli *cli, struct capture *c, const char *name, const struct net_options *o,
		   uint32_t snap_bytes, bool own)
{
	struct net_work work = {.cli = cli, .ports = {&c->port}, .options = o, .step = step, .arg = c};
	int code = open_channels(cli, c, &work, name);

	c->count_max = o->count;
	if (!code && !own)
		code = net_promiscuous(&c->port);
	if (!code && c->path)
		code = open_file(cli, c, snap_bytes);
	c->open = !code;
	if (!code)
		code = net_run(&work);
	c->open = false;
	code = close_file(cli, c, code);
	if (c->lane_count > 1) {
		work.by_channel = c->by_channel;
		work.channel_count = c->lane_count;
	}
	if (!code && !c->to_stdout)
		code = net_report(&work, "capture");
	close_channels(c);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct net_options o = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH, .channels = 1};
	struct capture c = {.path = NULL};
	uint64_t snap_bytes = 65536;
	bool discard = false, own = false;
	const struct option_def table[] = {
		{.name = "discard", .kind = OPTION_FLAG, .to = &discard},
		{.name = "snap", .kind = OPTION_SIZE, .to = &snap_bytes, .min = 14, .max = PCAPNG_SNAP_MAX},
		{.name = "channels", .kind = OPTION_NUMBER, .to = &o.channels, .min = 1, .max = CHANNELS_MAX},
		{.name = "own", .kind = OPTION_FLAG, .to = &own},
		NET_OPTION_ROWS(&o),
		{.kind = OPTION_END},
	};
	struct arguments args;
	int next, code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	next = discard ? 0 : 1;
	if (args.count < next)
		return cli_usage(cli, "name a file for the frames, or say --discard");
	if (args.count > next + 1)
		return cli_usage(cli, "one interface at a time");
	if (!discard)
		c.path = args.operands[0];
	if (c.path && !*c.path)
		return cli_usage(cli, "the file needs a name");
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
