/* SPDX-License-Identifier: BSD-2-Clause */
/* The suite's frame: the list of checks, opening, turning the CPU, telling what failed. */
#include <stdarg.h>

#include "tests/conformance/net/suite.h"

static const struct {
	const char *name;
	int (*run)(struct suite *t);
} checks[] = {
	{"info", check_info},
	{"sizes out", check_sizes_out},
	{"sizes in", check_sizes_in},
	{"scatter", check_scatter},
	{"order out", check_order_out},
	{"order in", check_order_in},
	{"full", check_full},
	{"starve", check_starve},
	{"references", check_references},
	{"refused", check_refused},
	{"checksum", check_checksum},
	{"segments", check_segments},
	{"vlan", check_vlan},
	{"filter", check_filter},
	{"mac", check_mac},
	{"stats", check_stats},
	{"close in flight", check_close_in_flight},
	{"reopen", check_reopen},
	{"channels", check_channels},
	{"order on all channels", check_order_channels},
	{"suspend", check_suspend},
	{"sizes in at the end", check_sizes_in},
};

int suite_fail(struct suite *t, const char *format, ...)
{
	va_list args;

	if (t->failed)
		return -1;
	t->failed = true;
	fprintf(stderr, "%s: %s failed: ", ob_net_name(t->net), t->check);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n  %u channels, mode %d, seed %llu\n", t->channel_count, (int)t->config.mode,
		(unsigned long long)t->config.seed);
	return -1;
}

/* ---- arrival ---- */

static void arrive(struct suite *t, struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	unsigned from = 0;

	while (from < t->channel_count && t->channels[from] != channel)
		from++;
	for (unsigned i = 0; i < count; i++) {
		unsigned at = (t->inbox_first + t->inbox_count) % SUITE_INBOX;

		if (t->inbox_count == SUITE_INBOX) {
			ob_packet_put(frames[i]);
			continue;
		}
		t->inbox[at] = frames[i];
		t->inbox_channel[at] = (uint8_t)from;
		t->inbox_count++;
	}
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	arrive(arg, channel, frames, count);
}

/* Each mode goes another way: asking, being called, and waiting. */
void suite_pump(struct suite *t)
{
	struct ob_packet *frames[OB_NET_BURST];

	for (unsigned i = 0; i < t->channel_count && t->config.mode != OB_COMPLETION_INTERRUPT; i++) {
		struct ob_net_channel *channel = t->channels[i];
		unsigned count = ob_net_receive(channel, frames, 1 + (unsigned)random_below(&t->random, OB_NET_BURST));

		if (count == 0 && t->config.mode == OB_COMPLETION_HYBRID && t->channel_count == 1 &&
		    ob_net_wait(channel, OB_NET_WAIT_RECEIVE, ob_deadline(OB_NS_PER_MS)) == 0)
			count = ob_net_receive(channel, frames, OB_NET_BURST);
		arrive(t, channel, frames, count);
	}
	if (t->wire.channel != NULL)
		ob_net_reap(t->wire.channel);
	ob_cpu_turn(t->cpu, t->config.mode == OB_COMPLETION_INTERRUPT ? OB_NS_PER_MS / 10 : 0);
}

/* ---- channels ---- */

int suite_open(struct suite *t, unsigned channels)
{
	const struct ob_packet_pool_config pool = {
		.machine = ob_device_machine(ob_net_device(t->net)),
		.count = SUITE_POOL,
	};
	struct ob_net_channel_config config = {
		.poll = {.mode = t->config.mode, .budget = 7},
		.received = t->config.mode == OB_COMPLETION_INTERRUPT ? received : NULL,
		.arg = t,
	};
	int ret = t->pool == NULL ? ob_packet_pool_create(&pool, &t->pool) : 0;

	SUITE_CHECK(t, ret == 0, "a pool: %s", strerror(-ret));
	config.pool = t->pool;
	while (t->channel_count < channels) {
		ret = ob_net_channel_open(t->net, &config, &t->channels[t->channel_count]);
		SUITE_CHECK(t, ret == 0, "channel %u: %s", t->channel_count, strerror(-ret));
		t->channel_count++;
	}
	return 0;
}

void suite_close(struct suite *t)
{
	while (t->channel_count > 0) {
		unsigned last = t->channel_count - 1;

		ob_net_channel_close(t->channels[last]);
		t->channel_count = last;
	}
	for (; t->inbox_count > 0; t->inbox_count--) {
		ob_packet_put(t->inbox[t->inbox_first]);
		t->inbox_first = (t->inbox_first + 1) % SUITE_INBOX;
	}
}

int suite_check_pool(struct suite *t)
{
	struct ob_packet_pool_stats s;

	suite_close(t);
	ob_packet_pool_stats(t->pool, &s);
	SUITE_CHECK(t, s.free == s.count, "%u of %u packets are missing with all channels closed", s.count - s.free,
		    s.count);
	return 0;
}

/* ---- all of it ---- */

static int run_checks(struct suite *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		t->check = checks[i].name;
		if (suite_open(t, 1) != 0 || checks[i].run(t) != 0 || suite_check_pool(t) != 0)
			return -1;
		if (!ob_net_online(t->net))
			return suite_fail(t, "the interface has gone offline");
	}
	return 0;
}

int suite_run(struct ob *ob, struct ob_net *net, const struct suite_config *config)
{
	struct suite *t = calloc(1, sizeof(*t));
	int ret = -1;

	if (t == NULL)
		return -1;
	t->ob = ob;
	t->net = net;
	t->cpu = ob_cpu_get(ob, 0);
	t->config = *config;
	t->random.state = config->seed;
	t->wire.fd = -1;
	t->check = "opening";
	ob_net_info(net, &t->info);
	if (wire_open(t) == 0)
		ret = run_checks(t);
	suite_close(t);
	wire_close(t);
	ob_packet_pool_put(t->pool);
	free(t);
	return ret;
}
