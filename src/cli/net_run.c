/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop around a command of outboard net, and what it says of it at the end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/net.h"
#include "cli/output.h"

/* Timers, events and messages get a turn of the CPU after so many steps, and a signal is seen at the latest after this. */
#define STEPS_PER_TURN 64u
#define WAIT_MAX_NS    (50 * OB_NS_PER_MS)

uint64_t net_cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * OB_NS_PER_S +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Nothing to do: sleep until a frame comes, or the time that the command named. Polled channels never sleep. */
static void rest(struct net_work *work, uint64_t now_ns)
{
	struct net_port *port = work->ports[0];
	struct ob_cpu *cpu = ob_net_channel_cpu(port->channel);
	uint64_t until_ns = now_ns + WAIT_MAX_NS;

	if (ob_net_channel_mode(port->channel) == OB_COMPLETION_POLLED) {
		ob_cpu_turn(cpu, 0);
		return;
	}
	if (work->wake_ns && work->wake_ns < until_ns)
		until_ns = work->wake_ns;
	if (work->end_ns < until_ns)
		until_ns = work->end_ns;
	/* Of two ports, a look at the other must not wait: the CPU's turn brings the frames of both. */
	if (work->ports[1] || work->brought)
		ob_cpu_turn(cpu, until_ns > now_ns ? until_ns - now_ns : 0);
	else if (until_ns > now_ns)
		ob_net_wait(port->channel, OB_NET_WAIT_RECEIVE, until_ns);
	else
		ob_cpu_turn(cpu, 0);
}

int net_gone(struct cli *cli, const struct ob_net *net)
{
	/* Of a machine that died, or a device that was given up, the library has said why. */
	if (__atomic_load_n(&cli->errors_logged, __ATOMIC_RELAXED) != 0)
		return CLI_IO;
	return cli_error(cli, CLI_IO, "%s: the interface is gone", ob_net_name(net));
}

static bool still_there(struct net_work *work)
{
	for (unsigned i = 0; i < 2; i++) {
		struct net_port *port = work->ports[i];

		if (port && !ob_net_online(port->net)) {
			work->code = net_gone(work->cli, port->net);
			return false;
		}
	}
	return true;
}

int net_run(struct net_work *work)
{
	struct ob_cpu *cpu = ob_net_channel_cpu(work->ports[0]->channel);
	unsigned steps = 0;

	work->start_ns = ob_now_ns();
	work->cpu_ns = net_cpu_ns();
	work->end_ns = work->options->time_ns ? ob_deadline(work->options->time_ns) : UINT64_MAX;
	while (!work->done && !work->code) {
		bool busy = work->step(work, ob_cpu_time_ns(cpu));

		if (busy && ++steps % STEPS_PER_TURN)
			continue;
		if (busy)
			ob_cpu_turn(cpu, 0);
		else
			rest(work, ob_cpu_time_ns(cpu));
		if (cli_interrupted() || ob_cpu_time_ns(cpu) >= work->end_ns || !still_there(work))
			break;
	}
	work->end_ns = ob_now_ns();
	work->cpu_ns = net_cpu_ns() - work->cpu_ns;
	/* A signal is how such a command is ended: what it found is reported all the same. */
	return work->code;
}

/* ---- the report ---- */

static double rate(const struct net_work *work, uint64_t count)
{
	uint64_t ns = work->end_ns - work->start_ns;

	return ns ? (double)count * 1e9 / (double)ns : 0;
}

static double cpu_percent(const struct net_work *work)
{
	return 100 * rate(work, work->cpu_ns) / 1e9;
}

static struct ob_net_stats since(const struct net_port *port)
{
	struct ob_net_stats now;

	ob_net_stats(port->net, &now);
	now.rx_frames -= port->before.rx_frames;
	now.rx_bytes -= port->before.rx_bytes;
	now.tx_frames -= port->before.tx_frames;
	now.tx_bytes -= port->before.tx_bytes;
	return now;
}

static json_t *json_port(const struct net_work *work, const struct net_port *port)
{
	struct ob_net_stats s = since(port);

	return json_pack("{s:s, s:I, s:I, s:f, s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "net", ob_net_name(port->net),
			 "rx_frames", (json_int_t)s.rx_frames, "rx_bytes", (json_int_t)s.rx_bytes, "rx_per_second",
			 rate(work, s.rx_frames), "tx_frames", (json_int_t)s.tx_frames, "tx_bytes",
			 (json_int_t)s.tx_bytes, "tx_per_second", rate(work, s.tx_frames), "rx_errors",
			 (json_int_t)s.rx_errors, "rx_no_packets", (json_int_t)s.rx_no_packets, "tx_refused",
			 (json_int_t)s.tx_refused, "kicks", (json_int_t)s.kicks);
}

static json_t *json_channels(const struct net_work *work)
{
	json_t *channels = json_array();

	for (unsigned i = 0; i < work->channel_count; i++)
		json_array_append_new(channels, json_integer((json_int_t)work->by_channel[i]));
	return channels;
}

static int report_json(const struct net_work *work, const char *what)
{
	json_t *ports = json_array();
	json_t *channels = work->by_channel ? json_channels(work) : NULL;

	for (unsigned i = 0; i < 2; i++)
		if (work->ports[i] && (!i || work->ports[i] != work->ports[0]))
			json_array_append_new(ports, json_port(work, work->ports[i]));
	return output_json(work->cli, json_pack("{s:s, s:s, s:s, s:f, s:f, s:o, s:o*}", "machine",
						work->cli->machine_uri, "command", what, "mode",
						net_mode_names[ob_net_channel_mode(work->ports[0]->channel)], "seconds",
						(double)(work->end_ns - work->start_ns) / 1e9, "cpu_percent",
						cpu_percent(work), "ports", ports, "channels", channels));
}

int net_report(const struct net_work *work, const char *what)
{
	char a[TEXT_MAX], b[TEXT_MAX];

	if (work->options->json)
		return report_json(work, what);
	for (unsigned i = 0; i < 2; i++) {
		const struct net_port *port = work->ports[i];
		struct ob_net_stats s;

		if (!port || (i && port == work->ports[0]))
			continue;
		s = since(port);
		printf("%s: received %llu frames, %s (%s/s); sent %llu frames, %s (%s/s)\n", ob_net_name(port->net),
		       (unsigned long long)s.rx_frames, text_size(a, s.rx_bytes),
		       text_count(b, rate(work, s.rx_frames)), (unsigned long long)s.tx_frames,
		       text_size((char[TEXT_MAX]){0}, s.tx_bytes),
		       text_count((char[TEXT_MAX]){0}, rate(work, s.tx_frames)));
		if (s.rx_errors || s.tx_refused || s.rx_no_packets)
			printf("  damaged %llu, refused %llu, no buffer %llu times\n", (unsigned long long)s.rx_errors,
			       (unsigned long long)s.tx_refused, (unsigned long long)s.rx_no_packets);
	}
	for (unsigned i = 0; i < work->channel_count; i++)
		printf("  channel %u: %llu frames\n", i, (unsigned long long)work->by_channel[i]);
	printf("  %.1f s, CPU %.0f %%\n", (double)(work->end_ns - work->start_ns) / 1e9, cpu_percent(work));
	return CLI_OK;
}
