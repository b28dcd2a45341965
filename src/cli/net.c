/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net: picks the command; interfaces, addresses. */
#include "cli/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

static const char help[] =
	"usage: outboard net COMMAND [options] [NET]\n"
	"\n"
	"Uses a network interface from this process. Without NET it is the machine's only one, or the only\n"
	"paravirtual one (virtio) beside emulated cards.\n"
	"\n"
	"  outboard net info                              address, link, what it can do, what it counted\n"
	"  outboard net respond --address 10.0.2.15/24    answer ARP and ping\n"
	"  outboard net capture --count 100 out.pcapng    what comes in, for tshark and Wireshark\n"
	"  outboard net generate --size 64 --time 5       send UDP frames, and say how fast\n"
	"  outboard net forward net0 net1                 what comes in at one goes out at the other\n"
	"  outboard net bridge --tap tap0                 give it to the kernel as a TAP device\n"
	"\n"
	"'outboard net COMMAND --help' tells of each. Machines with an interface:\n"
	"\n"
	"  -M 'qemu:q35?virtio-net=user'                  QEMU's virtio-net, with QEMU's own small network\n"
	"  -M 'vhost-user:/run/vhost.sock?type=net'       a port of a DPDK or OVS switch\n";

const char *const net_mode_names[] = {"interrupt", "polled", "hybrid", NULL};
_Static_assert(OB_COMPLETION_INTERRUPT == 0 && OB_COMPLETION_POLLED == 1 && OB_COMPLETION_HYBRID == 2,
	       "net_mode_names");

static const struct net_command *const commands[] = {
	&net_info, &net_respond, &net_capture, &net_generate, &net_forward, &net_bridge,
};

/* ---- interfaces ---- */

static int no_net(struct cli *cli, const char *name)
{
	struct ob_net *net = NULL;
	char known[400] = "";
	unsigned count = 0;

	while ((net = ob_net_next(cli->ob, net)) != NULL)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", count++ ? ", " : "",
			 ob_net_name(net));
	if (!count)
		return cli_error(cli, CLI_NO_DEVICE, "machine '%s' has no network interface", cli->machine_uri);
	if (!name)
		return cli_usage(cli, "name an interface; there is %s", known);
	return cli_error(cli, CLI_NO_DEVICE, "no network interface '%s'; there is %s", name, known);
}

bool net_is_preferred(struct cli *cli, const struct ob_net *net, char *others, size_t len_bytes)
{
	struct ob_net *other = NULL;
	unsigned cards = 0, alike = 0;

	if (!ob_device_is_paravirtual(ob_net_device(net)))
		return false;
	if (others)
		*others = '\0';
	while ((other = ob_net_next(cli->ob, other)) != NULL) {
		const char *driver = ob_device_driver_name(ob_net_device(other));

		if (other == net)
			continue;
		if (ob_device_is_paravirtual(ob_net_device(other))) {
			alike++;
			continue;
		}
		if (others)
			snprintf(others + strlen(others), len_bytes - strlen(others), "%s%s by %s", cards ? ", " : "",
				 ob_net_name(other), driver ? driver : "none");
		cards++;
	}
	return cards && !alike;
}

static bool is_alone(struct cli *cli, const struct ob_net *net)
{
	struct ob_net *other = NULL;
	unsigned count = 0;

	while ((other = ob_net_next(cli->ob, other)) != NULL)
		count += other != net;
	return !count;
}

int net_find(struct cli *cli, const char *name, struct ob_net **out)
{
	struct ob_net *net = ob_net_find(cli->ob, name);

	if (!net)
		return no_net(cli, name);
	if (!name && !is_alone(cli, net) && !net_is_preferred(cli, net, NULL, 0)) {
		ob_net_put(net);
		return no_net(cli, NULL);
	}
	*out = net;
	return CLI_OK;
}

static int failed(const struct net_port *port, const char *what, int error)
{
	return cli_error(port->cli, cli_exit_of(error), "%s: %s: %s", ob_net_name(port->net), what, strerror(-error));
}

int net_port_open(struct net_port *port, struct cli *cli, const char *name, const struct net_options *o)
{
	return net_port_open_brought(port, cli, name, o, NULL, NULL);
}

int net_channel_open(struct net_port *port, const struct net_options *o,
		     void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count,
				      void *arg),
		     void *arg, struct ob_net_channel **out)
{
	const struct ob_net_channel_config config = {
		.pool = port->pool,
		.rx_depth = o->depth,
		.tx_depth = o->depth,
		.poll = {.mode = o->mode},
		.received = received,
		.arg = arg,
	};
	int error = ob_net_channel_open(port->net, &config, out);

	return error ? failed(port, "opening a channel", error) : CLI_OK;
}

int net_port_open_brought(struct net_port *port, struct cli *cli, const char *name, const struct net_options *o,
			  void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count,
					   void *arg),
			  void *arg)
{
	unsigned channels = o->channels ? o->channels : 1;
	struct ob_packet_pool_config pool = {.count = NET_POOL_PACKETS + 2 * o->depth * channels};
	int error;
	int code;

	*port = (struct net_port){.cli = cli};
	code = net_find(cli, name, &port->net);
	if (code)
		return code;
	pool.machine = ob_device_machine(ob_net_device(port->net));
	error = ob_packet_pool_create(&pool, &port->pool);
	if (error)
		return failed(port, "memory for packets", error);
	code = net_channel_open(port, o, received, arg, &port->channel);
	if (!code)
		ob_net_stats(port->net, &port->before);
	return code;
}

void net_port_close(struct net_port *port)
{
	ob_net_channel_close(port->channel);
	ob_packet_pool_put(port->pool);
	if (port->net)
		ob_net_put(port->net);
	*port = (struct net_port){.cli = port->cli};
}

int net_promiscuous(struct net_port *port)
{
	struct ob_net_filter filter;
	int error;

	ob_net_get_filter(port->net, &filter);
	filter.promiscuous = true;
	error = ob_net_set_filter(port->net, &filter);
	/* One that cannot be told lets everything through. */
	return error && error != -EOPNOTSUPP ? failed(port, "promiscuous reception", error) : CLI_OK;
}

/* ---- addresses ---- */

int net_parse_mac(const char *text, uint8_t mac[6])
{
	unsigned v[6];
	int end = -1;

	/* What is read as a number may have a sign, or blanks before it. */
	if (text[strspn(text, "0123456789abcdefABCDEF:")] != '\0')
		return -EINVAL;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 ||
	    text[end] != '\0')
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
	return 0;
}

int net_parse_address(const char *text, uint32_t *out)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return -EINVAL;
	*out = ntohl(address.s_addr);
	return 0;
}

int net_parse_prefix(const char *text, uint32_t *address, unsigned *prefix_bits)
{
	const char *slash = strchr(text, '/');
	char copy[TEXT_MAX];
	uint64_t bits = 24;

	if (slash && parse_number(slash + 1, &bits))
		return -EINVAL;
	if (bits < 1 || bits > 32 || snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(text, "/"), text) >= TEXT_MAX)
		return -EINVAL;
	*prefix_bits = (unsigned)bits;
	return net_parse_address(copy, address);
}

const char *net_mac_text(char *out, const uint8_t mac[6])
{
	snprintf(out, TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return out;
}

/* ---- the verb ---- */

static int run(struct cli *cli, int argc, char **argv)
{
	char known[100] = "";

	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
		fputs(help, stdout);
		return CLI_OK;
	}
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (argc && !strcmp(argv[0], commands[i]->name)) {
			cli->verb = commands[i]->verb;
			return commands[i]->run(cli, argc - 1, argv + 1);
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "",
			 commands[i]->name);
	}
	if (!argc)
		return cli_usage(cli, "say what: %s", known);
	return cli_usage(cli, "unknown command '%s'; there is %s", argv[0], known);
}

const struct cli_verb cli_net = {
	.name = "net",
	.summary = "network interfaces: info, respond, capture, generate, forward, bridge",
	.help = help,
	.run = run,
};
