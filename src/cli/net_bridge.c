/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard net bridge: the kernel's TCP/IP through our driver, by a TAP device. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/tap.h>

#include "cli/net.h"
#include "cli/output.h"

static const char help[] =
	"usage: outboard net bridge [--tap NAME] [--address IPV4/BITS] [options] [NET]\n"
	"\n"
	"Makes a TAP device of the kernel whose frames go through our driver, until it is stopped. The kernel's own\n"
	"TCP/IP then runs on it. It takes root, or CAP_NET_ADMIN.\n"
	"\n"
	"  outboard -M 'qemu:q35?virtio-net=user' net bridge --tap tap0 --address 10.0.2.15/24\n"
	"  ip netns exec test outboard net bridge --tap tap0 --address 10.0.0.2/24\n"
	"\n"
	"      --tap NAME         how it is called (default: the kernel finds a name)\n"
	"      --address A/BITS   its address; without one it stays down: 'ip link set tap0 up'\n"
	"      --no-offloads      whole frames only: no open checksums or segments\n"
	"      --time TIME        stop after so long: 5, 500ms, 2m (default: Ctrl-C)\n"
	"      --mode MODE        interrupt, polled or hybrid (default hybrid)\n"
	"      --depth N          frames in each ring (default 1024)\n"
	"      --json             figures for programs\n";

struct bridge_options {
	const char *name, *address_text;
	bool no_offloads;
	struct net_options net;
};

static int bridge_failed(struct cli *cli, int error)
{
	bool ours = error == -ENOENT || error == -EBUSY || error == -EPERM; /* the kernel's answer, not the device's */
	enum cli_exit code = error == -EINVAL ? CLI_USAGE : ours ? CLI_FAILED : cli_exit_of(error);

	/* The library has said why. */
	return cli->errors_logged ? (int)code : cli_error(cli, code, "TAP device: %s", strerror(-error));
}

static int report(struct cli *cli, const struct bridge_options *o, const struct ob_tap *tap, uint64_t elapsed_ns,
		  uint64_t cpu_ns)
{
	double seconds = (double)elapsed_ns / 1e9, cpu = elapsed_ns ? 100 * (double)cpu_ns / (double)elapsed_ns : 0;
	struct ob_tap_stats s;
	char a[TEXT_MAX], b[TEXT_MAX];

	ob_tap_stats(tap, &s);
	if (o->net.json)
		return output_json(cli,
				   json_pack("{s:s, s:s, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "machine",
					     cli->machine_uri, "tap", ob_tap_name(tap), "seconds", seconds,
					     "cpu_percent", cpu, "to_kernel_frames", (json_int_t)s.to_kernel_frames,
					     "to_kernel_bytes", (json_int_t)s.to_kernel_bytes, "to_kernel_dropped",
					     (json_int_t)s.to_kernel_dropped, "from_kernel_frames",
					     (json_int_t)s.from_kernel_frames, "from_kernel_bytes",
					     (json_int_t)s.from_kernel_bytes, "from_kernel_dropped",
					     (json_int_t)s.from_kernel_dropped));
	printf("%s: to the kernel %llu frames, %s, %llu dropped; from it %llu frames, %s, %llu dropped\n  %.1f s, CPU "
	       "%.0f %%\n",
	       ob_tap_name(tap), (unsigned long long)s.to_kernel_frames, text_size(a, s.to_kernel_bytes),
	       (unsigned long long)s.to_kernel_dropped, (unsigned long long)s.from_kernel_frames,
	       text_size(b, s.from_kernel_bytes), (unsigned long long)s.from_kernel_dropped, seconds, cpu);
	return CLI_OK;
}

static int turn(struct cli *cli, const struct bridge_options *o, struct ob_net *net, struct ob_tap *tap)
{
	struct ob_cpu *cpu = ob_net_channel_cpu(ob_tap_channel(tap));
	uint64_t start_ns = ob_now_ns(), start_cpu_ns = net_cpu_ns();
	uint64_t end_ns = o->net.time_ns ? ob_deadline(o->net.time_ns) : UINT64_MAX;

	while (!cli_interrupted() && ob_now_ns() < end_ns) {
		ob_cpu_turn(cpu, 50 * OB_NS_PER_MS);
		if (!ob_net_online(net))
			return net_gone(cli, net);
		if (!ob_tap_online(tap))
			return CLI_FAILED; /* the library has said why */
	}
	return report(cli, o, tap, ob_now_ns() - start_ns, net_cpu_ns() - start_cpu_ns);
}

static int bridge(struct cli *cli, const char *name, const struct bridge_options *o, uint32_t address,
		  unsigned prefix_bits)
{
	struct ob_tap_config config = {
		.name = o->name,
		.depth = o->net.depth,
		.poll = {.mode = o->net.mode},
		.no_offloads = o->no_offloads,
	};
	struct ob_tap *tap = NULL;
	struct ob_net *net;
	int code = net_find(cli, name, &net);
	int error;

	if (code)
		return code;
	error = ob_tap_create(net, &config, &tap);
	if (error) {
		code = bridge_failed(cli, error);
		goto put;
	}
	error = o->address_text ? ob_tap_set_address(tap, address, prefix_bits) : 0;
	if (error)
		code = cli_error(cli, CLI_FAILED, "%s: address %s: %s", ob_tap_name(tap), o->address_text,
				 strerror(-error));
	if (!code && !cli->quiet)
		fprintf(stderr, "outboard: %s is %s%s\n", ob_net_name(net), ob_tap_name(tap),
			o->address_text ? "" : ", and down");
	if (!code)
		code = turn(cli, o, net, tap);
	ob_tap_destroy(tap);
put:
	ob_net_put(net);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct bridge_options o = {.net = {.mode = OB_COMPLETION_HYBRID, .depth = NET_DEPTH}};
	const struct option_def table[] = {
		{.name = "tap", .kind = OPTION_TEXT, .to = &o.name},
		{.name = "address", .kind = OPTION_TEXT, .to = &o.address_text},
		{.name = "no-offloads", .kind = OPTION_FLAG, .to = &o.no_offloads},
		NET_OPTION_ROWS(&o.net),
		{.kind = OPTION_END},
	};
	struct arguments args;
	uint32_t address = 0;
	unsigned prefix_bits = 0;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one interface at a time");
	if (o.net.count)
		return cli_usage(cli, "--count: a bridge has no number of frames after which it ends; see --time");
	if (o.address_text && net_parse_prefix(o.address_text, &address, &prefix_bits))
		return cli_usage(cli, "--address: '%s' is no IPv4 address like 10.0.2.15/24", o.address_text);
	code = cli_open(cli, 1);
	if (!code)
		code = bridge(cli, args.count ? args.operands[0] : NULL, &o, address, prefix_bits);
	return cli_close(cli, code);
}

const struct net_command net_bridge = {.name = "bridge", .verb = "net bridge", .run = run};
