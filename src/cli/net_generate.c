/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net generate: UDP frames, numbered, at a rate or as fast as it goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/net.h"
#include "cli/output.h"
#include "spec/ethernet.h"

static const char help[] =
	"usage: outboard net generate [options] [NET]\n"
	"\n"
	"Sends UDP frames that carry a number and a time, and says how many went. What comes in meanwhile is counted.\n"
	"\n"
	"  outboard net generate --size 64 --time 5 --mode polled\n"
	"  outboard net generate --rate 1000 --count 10000 --to 52:54:00:12:34:57 --destination 10.0.0.2\n"
	"\n"
	"      --size SIZE        bytes of a frame, without its check sequence (default 64)\n"
	"      --rate N           frames a second (default: as fast as it goes)\n"
	"      --to MAC           address to send to (default ff:ff:ff:ff:ff:ff)\n"
	"      --source IPV4      default 192.0.2.1\n"
	"      --destination IPV4 default 192.0.2.2\n"
	"      --port N           UDP port to send to (default 9, discard)\n"
	"      --flows N          so many source ports, in turn (default 1)\n" NET_OPTION_HELP;

#define UDP_OFFSET     (ETHERNET_HEADER_BYTES + sizeof(struct ip4_header))
#define PAYLOAD_OFFSET (UDP_OFFSET + sizeof(struct udp_header))
#define SOURCE_PORT    49152u /* the first of those that are nobody's: RFC 6335 §6 */
#define FLOWS_MAX      16384u
#define SIZE_MAX_BYTES 16384u

/* Behind the UDP header, in network order. */
struct payload {
	uint8_t number[8], sent_ns[8];
};

struct generate {
	struct net_port port;
	uint8_t frame[SIZE_MAX_BYTES];
	uint32_t frame_bytes;
	uint64_t rate;
	unsigned flows;
	uint64_t sent;
	struct ob_packet *unsent[OB_NET_BURST]; /* made, and not taken yet */
	unsigned unsent_first, unsent_count;
};

static void fill_frame(struct generate *g, const uint8_t to[6], const uint8_t from[6], uint32_t source,
		       uint32_t destination, unsigned port)
{
	struct ethernet_header *ethernet = (void *)g->frame;
	struct ip4_header *ip = (void *)(g->frame + ETHERNET_HEADER_BYTES);
	struct udp_header *udp = (void *)(g->frame + UDP_OFFSET);

	memcpy(ethernet->destination, to, ETHERNET_ADDRESS_BYTES);
	memcpy(ethernet->source, from, ETHERNET_ADDRESS_BYTES);
	net_put16(ethernet->type, ETHERNET_TYPE_IP4);
	ip->version_ihl = 0x45;
	net_put16(ip->total_bytes, (uint16_t)(g->frame_bytes - ETHERNET_HEADER_BYTES));
	net_put16(ip->fragment, IP4_DONT_FRAGMENT);
	ip->ttl = 64;
	ip->protocol = IP_PROTOCOL_UDP;
	net_put32(ip->source, source);
	net_put32(ip->destination, destination);
	net_put16(ip->checksum, net_checksum(ip, sizeof(*ip)));
	net_put16(udp->source, SOURCE_PORT);
	net_put16(udp->destination, (uint16_t)port);
	/* No checksum over UDP: RFC 768 allows that, and the number changes with each frame. */
	net_put16(udp->length, (uint16_t)(g->frame_bytes - UDP_OFFSET));
	for (uint32_t i = PAYLOAD_OFFSET + sizeof(struct payload); i < g->frame_bytes; i++)
		g->frame[i] = (uint8_t)i;
}

/* Also numbers that are odd: a frame may end inside the payload's head. */
static void make_frame(const struct generate *g, struct ob_packet *packet, uint64_t number, uint64_t now_ns)
{
	uint8_t *to = ob_packet_append(packet, g->frame_bytes);
	struct payload *payload = (void *)(to + PAYLOAD_OFFSET);

	memcpy(to, g->frame, g->frame_bytes);
	net_put32(payload->number, (uint32_t)(number >> 32));
	net_put32(payload->number + 4, (uint32_t)number);
	net_put32(payload->sent_ns, (uint32_t)(now_ns >> 32));
	net_put32(payload->sent_ns + 4, (uint32_t)now_ns);
	if (g->flows > 1)
		net_put16(((struct udp_header *)(void *)(to + UDP_OFFSET))->source,
			  (uint16_t)(SOURCE_PORT + number % g->flows));
}

static bool count_received(struct generate *g)
{
	struct ob_packet *frames[OB_NET_BURST];
	unsigned count = ob_net_receive(g->port.channel, frames, OB_NET_BURST);

	ob_packet_put_burst(frames, count);
	return count > 0;
}

/* How many may go now. */
static unsigned allowed(struct net_work *work, const struct generate *g, uint64_t now_ns)
{
	uint64_t n = OB_NET_BURST;

	if (g->rate != 0) {
		uint64_t elapsed_ns = now_ns > work->start_ns ? now_ns - work->start_ns : 0;
		uint64_t due = (uint64_t)((unsigned __int128)elapsed_ns * g->rate / OB_NS_PER_S) + 1;
		uint64_t gone = g->sent + g->unsent_count;

		n = due > gone ? due - gone : 0;
		work->wake_ns = work->start_ns + (uint64_t)((unsigned __int128)gone * OB_NS_PER_S / g->rate);
	}
	if (work->options->count != 0 && n > work->options->count - g->sent)
		n = work->options->count - g->sent;
	return n < OB_NET_BURST ? (unsigned)n : OB_NET_BURST;
}

static bool step(struct net_work *work, uint64_t now_ns)
{
	struct generate *g = work->arg;
	bool received = count_received(g);
	unsigned taken;

	if (g->unsent_count == 0) {
		unsigned n = allowed(work, g, now_ns);

		if (n == 0 || ob_packet_alloc_burst(g->port.pool, g->unsent, n) != 0) {
			ob_net_reap(g->port.channel);
			return received;
		}
		for (unsigned i = 0; i < n; i++)
			make_frame(g, g->unsent[i], g->sent + i, now_ns);
		g->unsent_first = 0;
		g->unsent_count = n;
	}
	taken = ob_net_send(g->port.channel, g->unsent + g->unsent_first, g->unsent_count);
	ob_net_kick(g->port.channel);
	g->unsent_first += taken;
	g->unsent_count -= taken;
	g->sent += taken;
	if (work->options->count != 0 && g->sent >= work->options->count)
		work->done = true;
	return taken > 0 || received;
}

/* Sent is what has left, not what waits in the ring. Sooner than a signal's grace is over. */
static int await_all(struct cli *cli, const struct generate *g)
{
	if (!ob_net_wait(g->port.channel, OB_NET_WAIT_SENT, ob_deadline(3 * OB_NS_PER_S)))
		return CLI_OK;
	if (!ob_net_online(g->port.net))
		return net_gone(cli, g->port.net);
	return cli_error(cli, CLI_IO, "%s: the device did not send all within 3 s", ob_net_name(g->port.net));
}

static int generate(struct cli *cli, struct generate *g, const char *name, const struct net_options *o,
		    const uint8_t to[6], const uint32_t addresses[2], unsigned udp_port)
{
	struct net_work work = {.cli = cli, .ports = {&g->port}, .options = o, .step = step, .arg = g};
	struct ob_net_info info;
	int code = net_port_open(&g->port, cli, name, o);
	int reported;

	if (code)
		goto close;
	ob_net_info(g->port.net, &info);
	if (g->frame_bytes > info.mtu + ETHERNET_HEADER_BYTES || g->frame_bytes > ob_packet_pool_room(g->port.pool)) {
		code = cli_usage(cli, "--size: %s takes frames of %u bytes at most", ob_net_name(g->port.net),
				 info.mtu + ETHERNET_HEADER_BYTES);
		goto close;
	}
	fill_frame(g, to, info.mac, addresses[0], addresses[1], udp_port);
	code = net_run(&work);
	ob_packet_put_burst(g->unsent + g->unsent_first, g->unsent_count);
	if (!code) {
		code = await_all(cli, g);
		reported = !code || ob_net_online(g->port.net) ? net_report(&work, "generate") : CLI_OK;
		code = code ? code : reported;
	}
close:
	net_port_close(&g->port);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct net_options o = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH};
	const char *to = "ff:ff:ff:ff:ff:ff", *source = "192.0.2.1", *destination = "192.0.2.2";
	struct generate *g;
	uint64_t size = 64, rate = 0;
	unsigned port = 9, flows = 1;
	const struct option_def table[] = {
		{.name = "size", .kind = OPTION_SIZE, .to = &size, .min = ETHERNET_FRAME_MIN, .max = SIZE_MAX_BYTES},
		{.name = "rate", .kind = OPTION_LONG, .to = &rate, .min = 1, .max = 1000000000},
		{.name = "to", .kind = OPTION_TEXT, .to = &to},
		{.name = "source", .kind = OPTION_TEXT, .to = &source},
		{.name = "destination", .kind = OPTION_TEXT, .to = &destination},
		{.name = "port", .kind = OPTION_NUMBER, .to = &port, .min = 1, .max = 65535},
		{.name = "flows", .kind = OPTION_NUMBER, .to = &flows, .min = 1, .max = FLOWS_MAX},
		NET_OPTION_ROWS(&o),
		{.kind = OPTION_END},
	};
	struct arguments args;
	uint32_t addresses[2];
	uint8_t mac[6];
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one interface at a time");
	if (net_parse_mac(to, mac))
		return cli_usage(cli, "--to: '%s' is no Ethernet address like 52:54:00:12:34:56", to);
	if (net_parse_address(source, &addresses[0]))
		return cli_usage(cli, "--source: '%s' is no IPv4 address", source);
	if (net_parse_address(destination, &addresses[1]))
		return cli_usage(cli, "--destination: '%s' is no IPv4 address", destination);
	g = calloc(1, sizeof(*g));
	if (!g)
		return cli_error(cli, CLI_FAILED, "out of memory");
	g->frame_bytes = (uint32_t)size;
	g->rate = rate;
	g->flows = flows;
	code = cli_open(cli, 1);
	if (!code)
		code = generate(cli, g, args.count ? args.operands[0] : NULL, &o, mac, addresses, port);
	free(g);
	return cli_close(cli, code);
}

const struct net_command net_generate = {.name = "generate", .verb = "net generate", .run = run};
