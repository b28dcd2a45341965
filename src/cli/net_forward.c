/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard net forward: what comes in at one interface goes out at the other, both ways; with one, back to where it came
 * from. Between interfaces of one machine nothing is copied: each may read the other's buffers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "cli/output.h"

static const char help[] =
	"usage: outboard net forward [options] [NET [NET]]\n"
	"\n"
	"Passes frames on between two interfaces; with one, it sends them back to where they came from.\n"
	"\n"
	"  outboard -M 'qemu:q35?virtio-net=user&virtio-net=tap:tap0' net forward net0 net1\n"
	"  outboard -M 'vhost-user:/run/vhost.sock?type=net' net forward --mode polled --time 5\n"
	"  outboard -M 'vhost-user:/run/a?type=net' net forward --to 'vhost-user:/run/b?type=net'\n"
	"\n"
	"      --to URI           the second interface is the one of this machine; its frames are "
	"copied\n" NET_OPTION_HELP;

/* One port, and where its frames go. */
struct side {
	struct forward *f;
	struct net_port *to;
};

/*
 * One port is asked for its frames. Of two, only a poller that never sleeps can ask: a channel that nobody waits at does not
 * interrupt. So else their frames are brought.
 */
struct forward {
	struct net_port ports[2];
	struct side sides[2];
	bool brought, open; /* … and both ports are there */
	bool moved;         /* since the last step */
	struct ob_machine *second_machine;
	bool copies;
	uint64_t passed;
	uint64_t dropped; /* the other side had no room, or there was no packet for the copy */
};

/* Into the other machine's memory. What finds no packet is dropped. */
static unsigned copy_burst(struct ob_packet_pool *pool, struct ob_packet **frames, unsigned count)
{
	unsigned copied = 0;

	for (unsigned i = 0; i < count; i++) {
		struct ob_packet *copy = ob_packet_copy(pool, frames[i]);

		ob_packet_put(frames[i]);
		if (copy != NULL)
			frames[copied++] = copy;
	}
	return copied;
}

static void pass_on(struct forward *f, struct net_port *to, struct ob_packet **frames, unsigned count)
{
	unsigned ready = count;
	unsigned sent;

	if (f->copies)
		ready = copy_burst(to->pool, frames, count);
	sent = ob_net_send(to->channel, frames, ready);
	if (sent < ready) {
		/* Once more, as the device has had a moment to make room. */
		ob_net_kick(to->channel);
		sent += ob_net_send(to->channel, frames + sent, ready - sent);
	}
	ob_net_kick(to->channel);
	ob_packet_put_burst(frames + sent, ready - sent);
	f->passed += sent;
	f->dropped += count - sent;
}

static unsigned pass(struct forward *f, struct net_port *from, struct net_port *to)
{
	struct ob_packet *frames[OB_NET_BURST];
	unsigned count = ob_net_receive(from->channel, frames, OB_NET_BURST);

	if (count > 0)
		pass_on(f, to, frames, count);
	return count;
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	struct side *side = arg;

	(void)channel;
	side->f->moved = true;
	/* The other one is not there yet, or no more. */
	if (side->f->open)
		pass_on(side->f, side->to, frames, count);
	else
		ob_packet_put_burst(frames, count);
}

static bool step(struct net_work *work, uint64_t now_ns)
{
	struct forward *f = work->arg;
	unsigned count;

	(void)now_ns;
	if (f->brought) {
		count = f->moved;
		f->moved = false;
	} else if (work->ports[1] == NULL) {
		count = pass(f, &f->ports[0], &f->ports[0]);
	} else {
		count = pass(f, &f->ports[0], &f->ports[1]);
		count += pass(f, &f->ports[1], &f->ports[0]);
	}
	if (work->options->count != 0 && f->passed >= work->options->count)
		work->done = true;
	return count > 0;
}

/* Each device may read what the other received. */
static int share_buffers(struct cli *cli, struct forward *f)
{
	for (unsigned i = 0; i < 2; i++) {
		int error = ob_net_grant_pool(f->ports[i].net, f->ports[!i].pool);

		if (error)
			return cli_error(cli, cli_exit_of(error), "%s: use of the other's buffers: %s",
					 ob_net_name(f->ports[i].net), strerror(-error));
	}
	return CLI_OK;
}

/* The interface of the other machine: the first that the first machine does not have. */
static int open_second_machine(struct cli *cli, struct forward *f, const char *uri, const char **name)
{
	int error = ob_machine_open(cli->ob, uri, NULL, &f->second_machine);
	struct ob_net *net = NULL;

	if (error)
		return cli_open_failed(cli, uri, error);
	f->copies = true;
	while ((net = ob_net_next(cli->ob, net)) != NULL) {
		if (ob_device_machine(ob_net_device(net)) != f->second_machine)
			continue;
		*name = ob_net_name(net);
		ob_net_put(net);
		return CLI_OK;
	}
	return cli_error(cli, CLI_NO_DEVICE, "machine '%s' has no network interface", uri);
}

static int open_port(struct cli *cli, struct forward *f, unsigned index, const char *name, const struct net_options *o)
{
	int code;

	f->sides[index] = (struct side){f, &f->ports[!index]};
	code = net_port_open_brought(&f->ports[index], cli, name, o, f->brought ? received : NULL, &f->sides[index]);
	return code ? code : net_promiscuous(&f->ports[index]);
}

static int forward(struct cli *cli, struct forward *f, char **names, int count, const struct net_options *o,
		   const char *second_uri)
{
	struct net_work work = {.cli = cli, .ports = {&f->ports[0]}, .options = o, .step = step, .arg = f};
	const char *second = count > 1 ? names[1] : NULL;
	int code;

	f->brought = (second || second_uri) && o->mode != OB_COMPLETION_POLLED;
	code = open_port(cli, f, 0, count ? names[0] : NULL, o);
	if (!code && second_uri)
		code = open_second_machine(cli, f, second_uri, &second);
	if (!code && second) {
		work.ports[1] = &f->ports[1];
		code = open_port(cli, f, 1, second, o);
		if (!code && !f->copies)
			code = share_buffers(cli, f);
	}
	f->open = !code;
	if (!code)
		code = net_run(&work);
	f->open = false;
	if (!code)
		code = net_report(&work, "forward");
	if (!code && !o->json)
		printf("  %llu passed on, %llu dropped\n", (unsigned long long)f->passed,
		       (unsigned long long)f->dropped);
	/* Each may have the other's packets in its ring. */
	ob_net_channel_close(f->ports[0].channel);
	ob_net_channel_close(f->ports[1].channel);
	f->ports[0].channel = f->ports[1].channel = NULL;
	net_port_close(&f->ports[1]);
	net_port_close(&f->ports[0]);
	ob_machine_close(f->second_machine);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct net_options o = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH};
	struct forward f = {.copies = false};
	const char *second_uri = NULL;
	const struct option_def table[] = {
		{.name = "to", .kind = OPTION_TEXT, .to = &second_uri},
		NET_OPTION_ROWS(&o),
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 2)
		return cli_usage(cli, "two interfaces at most");
	if (args.count == 2 && second_uri)
		return cli_usage(cli, "the second interface is that of --to, or the second operand, not both");
	if (args.count == 2 && !strcmp(args.operands[0], args.operands[1]))
		args.count = 1;
	code = cli_open(cli, 1);
	if (!code)
		code = forward(cli, &f, args.operands, args.count, &o, second_uri);
	return cli_close(cli, code);
}

const struct net_command net_forward = {.name = "forward", .verb = "net forward", .run = run};
