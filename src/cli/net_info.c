/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net info: what an interface is, can do, and has counted. */
#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "cli/output.h"

static const char help[] = "usage: outboard net info [--json] [NET]\n"
			   "\n"
			   "Prints what network interfaces are there: address, link, MTU, offloads, queues, counts.\n"
			   "\n"
			   "  outboard -M 'qemu:q35?virtio-net=user' net info\n"
			   "  outboard net info --json net0 | jq .interfaces[0].mac\n"
			   "\n"
			   "      --json             for programs\n";

static const struct {
	uint32_t bit;
	const char *name;
} offloads[] =
	{
		{OB_NET_TX_CSUM, "tx-csum"}, {OB_NET_TX_TSO4, "tx-tso4"}, {OB_NET_TX_TSO6, "tx-tso6"},
		{OB_NET_TX_ECN, "tx-ecn"},   {OB_NET_TX_UFO, "tx-ufo"},   {OB_NET_TX_VLAN, "tx-vlan"},
		{OB_NET_RX_CSUM, "rx-csum"}, {OB_NET_RX_TSO4, "rx-tso4"}, {OB_NET_RX_TSO6, "rx-tso6"},
		{OB_NET_RX_ECN, "rx-ecn"},   {OB_NET_RX_UFO, "rx-ufo"},   {OB_NET_RX_VLAN, "rx-vlan"},
		{OB_NET_RX_HASH, "rx-hash"}, {OB_NET_RX_TIME, "rx-time"},
},
  abilities[] = {
	  {OB_NET_CAN_FILTER, "address filter"},
	  {OB_NET_CAN_PROMISCUOUS, "promiscuous"},
	  {OB_NET_CAN_VLAN_FILTER, "vlan filter"},
	  {OB_NET_CAN_SET_MAC, "another address"},
	  {OB_NET_CAN_RSS, "rss"},
	  {OB_NET_CAN_LINK, "link state"},
};

enum {
	OFFLOADS = sizeof(offloads) / sizeof(offloads[0]),
	ABILITIES = sizeof(abilities) / sizeof(abilities[0]),
};

/* ---- text ---- */

static void print_link(const struct ob_net *net)
{
	struct ob_net_link link;

	ob_net_link(net, &link);
	printf("  link        %s", link.up ? "up" : "down");
	if (link.speed_mbps != OB_NET_SPEED_UNKNOWN)
		printf(", %u Mbit/s, %s duplex", link.speed_mbps, link.full_duplex ? "full" : "half");
	putchar('\n');
}

static void print_net(struct cli *cli, const struct ob_net *net)
{
	struct ob_device *dev = ob_net_device(net);
	const char *driver = ob_device_driver_name(dev);
	struct ob_net_info info;
	struct ob_net_stats s;
	char mac[TEXT_MAX], others[400];
	const char *comma = "";

	ob_net_info(net, &info);
	ob_net_stats(net, &s);
	printf("%s: %s by %s\n", ob_net_name(net), ob_device_name(dev), driver ? driver : "-");
	printf("  address     %s%s\n", net_mac_text(mac, info.mac), info.made_up_mac ? " (made up: it has none)" : "");
	if (net_is_preferred(cli, net, others, sizeof(others)))
		printf("  preferred   to %s: it is paravirtual, no card is emulated for it\n", others);
	print_link(net);
	printf("  MTU         %u (%u to %u)\n", info.mtu, info.mtu_min, info.mtu_max);
	printf("  channels    up to %u, of %u frames to receive and %u to send\n", info.channels_max, info.rx_depth_max,
	       info.tx_depth_max);
	printf("  offloads    ");
	for (unsigned i = 0; i < OFFLOADS; i++) {
		if (!(info.offloads & offloads[i].bit))
			continue;
		printf("%s%s%s", comma, offloads[i].name, info.offloads_on & offloads[i].bit ? "" : " (off)");
		comma = ", ";
	}
	printf("%s\n  can         ", *comma ? "" : "none");
	comma = "";
	for (unsigned i = 0; i < ABILITIES; i++) {
		if (!(info.abilities & abilities[i].bit))
			continue;
		printf("%s%s", comma, abilities[i].name);
		comma = ", ";
	}
	printf("%s\n  counted     %llu frames received, %llu sent\n", *comma ? "" : "nothing of its own",
	       (unsigned long long)s.rx_frames, (unsigned long long)s.tx_frames);
}

/* ---- JSON ---- */

static json_t *json_net(struct cli *cli, const struct ob_net *net)
{
	struct ob_device *dev = ob_net_device(net);
	const char *driver = ob_device_driver_name(dev);
	json_t *names = json_array();
	struct ob_net_info info;
	struct ob_net_link link;
	struct ob_net_stats s;
	char mac[TEXT_MAX];

	ob_net_info(net, &info);
	ob_net_link(net, &link);
	ob_net_stats(net, &s);
	for (unsigned i = 0; i < OFFLOADS; i++)
		if (info.offloads & offloads[i].bit)
			json_array_append_new(names, json_string(offloads[i].name));
	return json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:I, s:I}", "name",
			 ob_net_name(net), "paravirtual", ob_device_is_paravirtual(dev), "preferred",
			 net_is_preferred(cli, net, NULL, 0), "device", ob_device_name(dev), "driver",
			 driver ? driver : "", "mac", net_mac_text(mac, info.mac), "link_up", link.up, "speed_mbps",
			 (int)link.speed_mbps, "mtu", (int)info.mtu, "mtu_max", (int)info.mtu_max, "channels_max",
			 (int)info.channels_max, "rx_depth_max", (int)info.rx_depth_max, "tx_depth_max",
			 (int)info.tx_depth_max, "offloads", names, "rx_frames", (json_int_t)s.rx_frames, "tx_frames",
			 (json_int_t)s.tx_frames);
}

static int show(struct cli *cli, const char *name, bool json)
{
	struct ob_net *net = NULL;
	json_t *list = json_array();
	unsigned count = 0;

	while ((net = ob_net_next(cli->ob, net)) != NULL) {
		if (name && strcmp(name, ob_net_name(net)))
			continue;
		if (json)
			json_array_append_new(list, json_net(cli, net));
		else
			print_net(cli, net);
		count++;
	}
	if (!count) {
		json_decref(list);
		return net_find(cli, name, &net);
	}
	if (json)
		return output_json(cli, json_pack("{s:s, s:o}", "machine", cli->machine_uri, "interfaces", list));
	json_decref(list);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_def table[] = {
		{.name = "json", .kind = OPTION_FLAG, .to = &json},
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one interface at a time");
	code = cli_open(cli, 1);
	if (!code)
		code = show(cli, args.count ? args.operands[0] : NULL, json);
	return cli_close(cli, code);
}

const struct net_command net_info = {.name = "info", .verb = "net info", .run = run};
