/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net respond: an address that can be pinged. */
#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "cli/output.h"

static const char help[] = "usage: outboard net respond --address IPV4 [options] [NET]\n"
			   "\n"
			   "Answers ARP requests for an address, and echo requests (ping), until it is stopped.\n"
			   "\n"
			   "  outboard -M 'vhost-user:/run/vhost.sock?type=net' net respond --address 10.0.0.2\n"
			   "  outboard net respond --address 10.0.2.15 --time 1m --json\n"
			   "\n"
			   "      --address IPV4     the address that is answered for\n" NET_OPTION_HELP;

struct respond {
	struct net_port port;
	struct net_host host;
	uint64_t answered, passed_over;
};

/* In one part, and nobody else's: the answer is made in it. Else in a copy. */
static struct ob_packet *writable(struct respond *r, struct ob_packet *frame)
{
	struct ob_packet *copy;

	if (frame->segments == 1 && frame->refs == 1)
		return frame;
	copy = ob_packet_copy(r->port.pool, frame);
	ob_packet_put(frame);
	return copy;
}

static bool step(struct net_work *work, uint64_t now_ns)
{
	struct respond *r = work->arg;
	struct ob_packet *frames[OB_NET_BURST], *answers[OB_NET_BURST];
	unsigned count = ob_net_receive(r->port.channel, frames, OB_NET_BURST);
	unsigned answer_count = 0;
	unsigned sent;

	(void)now_ns;
	for (unsigned i = 0; i < count; i++) {
		struct ob_packet *frame = writable(r, frames[i]);

		if (frame != NULL && frame->segments == 1 && net_answer(&r->host, frame->data, frame->len_bytes) != 0) {
			frame->flags = 0;
			answers[answer_count++] = frame;
			continue;
		}
		r->passed_over++;
		ob_packet_put(frame);
	}
	if (answer_count == 0)
		return count > 0;
	sent = ob_net_send(r->port.channel, answers, answer_count);
	ob_net_kick(r->port.channel);
	/* Nobody waits for an answer for which there is no room. */
	ob_packet_put_burst(answers + sent, answer_count - sent);
	r->answered += sent;
	if (work->options->count != 0 && r->answered >= work->options->count) {
		work->done = true;
		ob_net_wait(r->port.channel, OB_NET_WAIT_SENT, ob_deadline(OB_NS_PER_S));
	}
	return true;
}

static int respond(struct cli *cli, const char *name, const struct net_options *o, uint32_t address)
{
	struct respond r = {.host.address = address};
	struct net_work work = {.cli = cli, .ports = {&r.port}, .options = o, .step = step, .arg = &r};
	struct ob_net_info info;
	char mac[TEXT_MAX];
	int code = net_port_open(&r.port, cli, name, o);

	if (code)
		goto close;
	ob_net_info(r.port.net, &info);
	memcpy(r.host.mac, info.mac, sizeof(r.host.mac));
	if (!cli->quiet)
		fprintf(stderr, "outboard: %s (%s) answers for %u.%u.%u.%u\n", ob_net_name(r.port.net),
			net_mac_text(mac, info.mac), address >> 24, address >> 16 & 255, address >> 8 & 255,
			address & 255);
	code = net_run(&work);
	if (!code)
		code = net_report(&work, "respond");
	if (!code && !o->json)
		printf("  %llu answered, %llu asked nothing of us\n", (unsigned long long)r.answered,
		       (unsigned long long)r.passed_over);
close:
	net_port_close(&r.port);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct net_options o = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH};
	const char *text = NULL;
	const struct option_def table[] = {
		{.name = "address", .kind = OPTION_TEXT, .to = &text},
		NET_OPTION_ROWS(&o),
		{.kind = OPTION_END},
	};
	struct arguments args;
	unsigned prefix_bits;
	uint32_t address;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one interface at a time");
	if (!text)
		return cli_usage(cli, "say for which address: --address 10.0.2.15");
	if (net_parse_prefix(text, &address, &prefix_bits))
		return cli_usage(cli, "--address: '%s' is no IPv4 address", text);
	code = cli_open(cli, 1);
	if (!code)
		code = respond(cli, args.count ? args.operands[0] : NULL, &o, address);
	return cli_close(cli, code);
}

const struct net_command net_respond = {.name = "respond", .verb = "net respond", .run = run};
