/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenarios of a virtio network device: all frames come back, in order, as they were; with the device suspended meanwhile,
 * all leave, what comes back is in order and as it was, and afterwards all come back; and a rough life, of which all that is asked is that nothing breaks, nothing
 * is left and no packet is lost.
 */
#include <outboard/net.h>
#include <outboard/outboard.h>

#include "sim/device.h"
#include "sim/scenarios/net_lanes.h"

static void sleep_once(const struct net_bed *b)
{
	struct ob_device *dev = ob_net_device(b->net);

	net_pause(b, OB_NS_PER_US << sim_random(8));
	SIM_CHECK(ob_device_suspend(dev, ob_deadline(NET_TIMEOUT_NS)) == 0);
	if (sim_random(2) == 0)
		net_pause(b, OB_NS_PER_US << sim_random(12));
	SIM_CHECK(ob_device_resume(dev, ob_deadline(NET_TIMEOUT_NS)) == 0);
}

static void run_io(const struct sim_config *config)
{
	struct net_bed b = {.channels = 0};

	net_bed_open(&b, config, NET_ALL);
	net_lanes_go(&b, NET_ALL);
	net_lanes_end(&b);
	net_bed_close(&b);
}

/* On the channel's CPU, whose counters they are. */
static void check_left(void *arg)
{
	const struct net_lane *l = arg;
	struct ob_net_stats s;

	ob_net_channel_stats(l->channel, &s);
	if (s.tx_dropped > 0 || s.tx_refused > 0)
		sim_fail("lost-frame",
			 "lane %u: %llu frames were taken and dropped, %llu refused, and the device is sound", l->index,
			 (unsigned long long)s.tx_dropped, (unsigned long long)s.tx_refused);
}

/* What a channel took is on the wire before the device sleeps. */
static void check_all_left(const struct net_bed *b)
{
	for (unsigned i = 0; i < b->channels; i++)
		SIM_CHECK(ob_cpu_call(ob_net_channel_cpu(b->lanes[i].channel), check_left, &b->lanes[i],
				      ob_deadline(NET_TIMEOUT_NS)) == 0);
}

static void run_suspend(const struct sim_config *config)
{
	struct net_bed b = {.channels = 0};

	net_bed_open(&b, config, NET_LOSSY);
	net_lanes_go(&b, NET_LOSSY);
	for (unsigned times = 1 + (unsigned)sim_random(3); times > 0; times--)
		sleep_once(&b);
	net_lanes_end(&b);
	net_lanes_again(&b);
	net_lanes_end(&b);
	check_all_left(&b);
	net_bed_close(&b);
}

/* ---- a rough life ---- */

/* All of them, none, or any. */
static void set_offloads(struct ob_net *net)
{
	uint64_t mask = sim_random(3) == 0 ? UINT64_MAX : sim_random(1ull << 32);
	struct ob_net_info info;

	ob_net_info(net, &info);
	ob_net_set_offloads(net, info.offloads & (uint32_t)mask);
}

/* Whatever comes of it. */
static void tell(struct ob_net *net)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	static const unsigned mtus[] = {100, 1500, 3000};
	struct ob_net_filter filter = {.promiscuous = sim_random(2) == 0, .multicast_count = 1};
	struct ob_net_rss rss;

	switch (sim_random(6)) {
	case 0:
		filter.multicast[0][0] = 1;
		ob_net_set_filter(net, &filter);
		break;
	case 1:
		ob_net_set_vlan(net, (unsigned)sim_random(3), sim_random(2) == 0);
		break;
	case 2:
		ob_net_set_mac(net, mac);
		break;
	case 3:
		ob_net_set_mtu(net, mtus[sim_random(3)]);
		break;
	case 4:
		set_offloads(net);
		break;
	default:
		if (ob_net_get_rss(net, &rss) == 0) {
			ob_net_rss_default(net, 1 + (unsigned)sim_random(3), &rss);
			ob_net_set_rss(net, &rss);
		}
	}
}

/* It may be left without power. */
static void sleep_roughly(const struct net_bed *b)
{
	struct ob_device *dev = ob_net_device(b->net);

	ob_device_suspend(dev, ob_deadline(OB_NS_PER_US << sim_random(20)));
	if (sim_random(2) == 0)
		net_pause(b, OB_NS_PER_US << sim_random(16));
	if (sim_random(4) != 0)
		ob_device_resume(dev, ob_deadline(OB_NS_PER_US << sim_random(24)));
}

/* A channel ends, and perhaps another one begins, beside those that go on. */
static void change_channel(struct net_bed *b)
{
	unsigned index = (unsigned)sim_random(b->channels);
	struct net_lane *l = &b->lanes[index];

	net_lane_close(l);
	if (sim_random(4) == 0)
		return;
	OB_WRITE_ONCE(l->stop, false);
	if (net_lane_open(b, index) == 0 && !b->tasks)
		ob_cpu_call(ob_net_channel_cpu(l->channel), net_lane_start, l, ob_deadline(NET_TIMEOUT_NS));
}

static void start_again(const struct net_bed *b)
{
	const struct net_lane *l = &b->lanes[sim_random(b->channels)];

	if (l->channel != NULL && !b->tasks)
		ob_cpu_call(ob_net_channel_cpu(l->channel), net_lane_start, (void *)l, ob_deadline(NET_TIMEOUT_NS));
}

static void live(struct net_bed *b)
{
	if (sim_random(2) == 0)
		set_offloads(b->net);
	net_lanes_go(b, NET_ROUGH);
	for (unsigned rounds = (unsigned)sim_random(6); rounds > 0; rounds--) {
		net_pause(b, OB_NS_PER_US << sim_random(16));
		switch (sim_random(6)) {
		case 0:
			sleep_roughly(b);
			break;
		case 1:
			change_channel(b);
			break;
		case 2:
			sim_device_break();
			break;
		case 3:
			start_again(b);
			break;
		default:
			tell(b->net);
		}
	}
	net_lanes_end(b);
	if (sim_random(8) == 0)
		ob_device_shutdown(ob_net_device(b->net));
	if (sim_random(4) == 0) {
		ob_machine_close(b->machine);
		b->machine = NULL;
	}
}

static void run_rough(const struct sim_config *config)
{
	struct net_bed b = {.channels = 0};

	if (net_bed_open(&b, config, NET_ROUGH))
		live(&b);
	net_bed_close(&b);
}

/* A seed with the same faults as the other scenario's gets another world, from its beginning on. */
static void run_hostile(const struct sim_config *config)
{
	sim_wait_ns(1 + sim_random(OB_NS_PER_US));
	run_rough(config);
}

static const struct sim_device_type *const devices[] = {&sim_virtio_net, NULL};

const struct sim_scenario scenario_virtio_net = {
	.name = "virtio-net",
	.help = "frames over some channels, and back",
	.run = run_io,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_net_suspend = {
	.name = "virtio-net-suspend",
	.help = "the same, while the device is suspended and resumed",
	.run = run_suspend,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_net_rough = {
	.name = "virtio-net-rough",
	.help = "frames, settings, channels that come and go; a device that hangs, fails, vanishes",
	.run = run_rough,
	.devices = devices,
	.faults = DISK_FAULTS_ROUGH & ~DISK_FAULT(POWER_CUT),
};

const struct sim_scenario scenario_virtio_net_hostile = {
	.name = "virtio-net-hostile",
	.help = "virtio-net-rough on a device that also lies: in its rings, headers, answers, configuration",
	.run = run_hostile,
	.devices = devices,
	.faults = DISK_FAULTS_HOSTILE & ~DISK_FAULT(POWER_CUT),
};
