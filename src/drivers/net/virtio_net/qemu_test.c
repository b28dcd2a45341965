/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on a device that somebody else wrote: QEMU's, with this process at the other end of its wire. Frames both
 * ways in all modes and over both rings, frames in several buffers, filters, VLANs, the link, resets, suspend, removal.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/machine_core.h"
#include "drivers/net/virtio_net/virtio_net.h"
#include "machine/qemu/qemu.h"
#include "tests/net_bed.h"

#define LONG  (20 * OB_NS_PER_S)
#define SHORT (150 * OB_NS_PER_MS) /* for what must not come */

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56}; /* QEMU's first */
static const uint8_t other[6] = {0x52, 0x54, 0, 0x99, 0x99, 0x99};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[6] = {0x01, 0, 0x5e, 1, 2, 3};

static struct net_bed bed;

static int teardown(void **state)
{
	net_bed_close(&bed);
	return 0;
}

static struct vnet *vnet_of(struct net_bed *b)
{
	return ob_net_driver_data(b->net);
}

/* ---- both ways ---- */

static void put_numbered(uint32_t number, size_t len_bytes, const uint8_t *destination)
{
	uint8_t frame[9100];

	net_bed_fill(frame, len_bytes, number, destination);
	net_bed_put(&bed, frame, len_bytes);
}

/* @count frames to us and from us, of all lengths up to @most. */
static void both_ways(unsigned count, size_t most)
{
	uint8_t frame[9100];
	unsigned before = bed.frame_count;

	for (unsigned i = 0; i < count; i++)
		put_numbered(i, 64 + (i * 97) % (most - 63), mac);
	assert_true(net_bed_receive(&bed, before + count, LONG));
	for (unsigned i = 0; i < count; i++) {
		size_t len_bytes = net_bed_read(&bed, before + i, frame, sizeof(frame));

		assert_int_equal(len_bytes, 64 + (i * 97) % (most - 63));
		net_bed_check(frame, len_bytes, i);
	}
	net_bed_clear(&bed);
	for (unsigned i = 0; i < count; i++) {
		size_t len_bytes = 64 + (i * 101) % (most - 63), got;

		net_bed_fill(frame, len_bytes, i, other);
		net_bed_send(&bed, frame, len_bytes);
		got = net_bed_get(&bed, frame, sizeof(frame), LONG);
		assert_int_equal(got, len_bytes);
		net_bed_check(frame, got, i);
	}
}

static void test_frames_both_ways_in_all_modes_over_both_rings(void **state)
{
	static const char *const rings[] = {"", ",packed=on", ",packed=on,event_idx=off,indirect_desc=off",
					    ",event_idx=off,indirect_desc=off", ",packed=on,vectors=0"};
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};

	for (size_t r = 0; r < ARRAY_SIZE(rings); r++) {
		net_bed_open_qemu(&bed, rings[r], 1);
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			struct ob_net_stats stats;

			net_bed_channel(&bed, modes[m], true);
			assert_int_equal(ob_net_channel_mode(bed.channel), modes[m]);
			assert_int_equal(vnet_of(&bed)->features & BIT64(VIRTIO_NET_F_MRG_RXBUF), 0);
			both_ways(400, 1514);
			ob_net_channel_stats(bed.channel, &stats);
			assert_int_equal(stats.rx_frames, 400);
			assert_int_equal(stats.tx_frames, 400);
			assert_true(modes[m] == OB_COMPLETION_POLLED || stats.interrupts > 0);
			assert_int_equal(stats.rx_errors + stats.tx_refused + stats.broken, 0);
			ob_net_channel_close(bed.channel);
			bed.channel = NULL;
		}
		net_bed_close(&bed);
	}
}

static void test_waiting_without_a_function_in_both_modes(void **state)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED};
	struct ob_packet *frames[4];
	uint8_t bytes[1514];

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		net_bed_open_qemu(&bed, "", 1);
		net_bed_channel(&bed, modes[m], false);
		assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(SHORT)), -ETIMEDOUT);
		for (unsigned i = 0; i < 50; i++) {
			put_numbered(i, 100, mac);
			assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), 0);
			assert_int_equal(ob_net_receive(bed.channel, frames, 4), 1);
			net_bed_check(frames[0]->data, frames[0]->frame_bytes, i);
			ob_packet_put(frames[0]);
			net_bed_fill(bytes, sizeof(bytes), i, other);
			net_bed_send(&bed, bytes, sizeof(bytes));
			assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(LONG)), 0);
			assert_int_equal(net_bed_get(&bed, bytes, sizeof(bytes), LONG), sizeof(bytes));
		}
		net_bed_close(&bed);
	}
}

/* ---- frames in several buffers, and of several packets ---- */

static void test_jumbo_frames_arrive_in_merged_buffers(void **state)
{
	static const char *const rings[] = {"", ",packed=on"};
	struct ob_net_info info;
	unsigned parts = 0;
	uint8_t frame[9100];

	for (size_t r = 0; r < ARRAY_SIZE(rings); r++) {
		net_bed_open_qemu(&bed, rings[r], 1);
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
		assert_int_equal(ob_net_set_mtu(bed.net, 9000), 0);
		ob_net_info(bed.net, &info);
		assert_int_equal(info.mtu, 9000);
		assert_true(vnet_has(vnet_of(&bed), VIRTIO_NET_F_MRG_RXBUF));
		both_ways(200, 9014);
		put_numbered(7, 9014, mac);
		assert_true(net_bed_receive(&bed, 1, LONG));
		parts = bed.frames[0]->segments;
		assert_int_equal(parts, 5);
		net_bed_check(frame, net_bed_read(&bed, 0, frame, sizeof(frame)), 7);
		assert_int_equal(net_bed_stats(&bed).rx_errors, 0);
		net_bed_close(&bed);
	}
}

static void test_small_packets_make_the_device_merge(void **state)
{
	struct ob_packet_pool_config config = {.packet_bytes = 256, .count = 2048};
	struct ob_net_channel_config channel = {0};
	struct ob_packet *frame;

	net_bed_open_qemu(&bed, "", 1);
	config.machine = bed.machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &channel, &bed.channel), 0);
	put_numbered(1, 1500, mac);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), 0);
	assert_int_equal(ob_net_receive(bed.channel, &frame, 1), 1);
	assert_int_equal(frame->frame_bytes, 1500);
	assert_int_equal(frame->segments, 6);
	ob_packet_put(frame);
	ob_packet_pool_put(channel.pool);
}

static void test_frames_of_many_parts_and_shared_ones_leave_whole(void **state)
{
	static const char *const rings[] = {"", ",packed=on", ",indirect_desc=off"};
	uint8_t bytes[1514], back[1514];
	struct ob_packet *frame, *kept;
	struct ob_packet_pool *pool;

	for (size_t r = 0; r < ARRAY_SIZE(rings); r++) {
		net_bed_open_qemu(&bed, rings[r], 1);
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
		pool = ob_net_channel_pool(bed.channel);
		net_bed_fill(bytes, sizeof(bytes), 3, other);
		for (unsigned round = 0; round < 300; round++) {
			unsigned step = 30 + round % 700;

			frame = NULL;
			for (unsigned at = 0; at < sizeof(bytes); at += step) {
				unsigned left = (unsigned)sizeof(bytes) - at;
				struct ob_packet *part = ob_packet_from(pool, bytes + at, MIN(step, left));

				assert_non_null(part);
				if (frame == NULL)
					frame = part;
				else
					assert_int_equal(ob_packet_chain(frame, part), 0);
			}
			/* With a second holder the header may not go into the headroom. */
			kept = round % 2 == 0 ? ob_packet_get(frame) : NULL;
			assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
			ob_net_kick(bed.channel);
			assert_int_equal(net_bed_get(&bed, back, sizeof(back), LONG), sizeof(back));
			assert_memory_equal(back, bytes, sizeof(back));
			ob_packet_put(kept);
		}
		assert_int_equal(net_bed_stats(&bed).tx_refused, 0);
		net_bed_close(&bed);
	}
}

static void test_unsendable_frames_are_refused_and_given_back(void **state)
{
	struct ob_packet_pool_config config = {.count = 8};
	struct ob_packet_pool *pool, *foreign;
	struct ob_packet_pool_stats stats;
	struct ob_packet *frame;
	uint8_t bytes[2000] = {0};

	net_bed_open_qemu(&bed, "", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	pool = ob_net_channel_pool(bed.channel);
	config.machine = bed.machine;
	assert_int_equal(ob_packet_pool_create(&config, &foreign), 0);
	frame = ob_packet_from(pool, bytes, 13);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	frame = ob_packet_from(pool, bytes, 1519);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	frame = ob_packet_from(foreign, bytes, 100);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	frame = ob_packet_from(pool, bytes, 100);
	frame->len_bytes = 99;
	frame->segments = 2;
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	frame = ob_packet_from(pool, bytes, 100);
	frame->data -= 4096;
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	assert_int_equal(net_bed_stats(&bed).tx_refused, 5);
	/* What is granted leaves, from there too. */
	assert_int_equal(ob_net_grant_pool(bed.net, foreign), 0);
	frame = ob_packet_from(foreign, bytes, 1518);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	ob_net_kick(bed.channel);
	assert_int_equal(net_bed_get(&bed, bytes, sizeof(bytes), LONG), 1518);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(LONG)), 0);
	ob_net_reap(bed.channel);
	ob_packet_pool_stats(foreign, &stats);
	assert_int_equal(stats.free, 8);
	ob_packet_pool_put(foreign);
}

/* ---- an empty pool, a full ring ---- */

static void test_pool_that_runs_dry_recovers(void **state)
{
	struct ob_packet_pool_config config = {.count = 40};
	struct ob_net_channel_config channel = {0};
	struct ob_packet *held[40];
	unsigned count = 0;
	uint64_t deadline_ns;

	net_bed_open_qemu(&bed, "", 1);
	config.machine = bed.machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &channel, &bed.channel), 0);
	for (unsigned i = 0; i < 40; i++)
		put_numbered(i, 100, mac);
	deadline_ns = ob_deadline(LONG);
	while (count < 40 && ob_now_ns() < deadline_ns) {
		count += ob_net_receive(bed.channel, held + count, 40 - count);
		net_bed_turn(&bed, OB_NS_PER_MS);
	}
	assert_int_equal(count, 40);
	assert_null(ob_packet_alloc(channel.pool));
	/* Nothing is left for the device; then everything. */
	ob_packet_put_burst(held, 40);
	net_bed_turn(&bed, 10 * OB_NS_PER_MS);
	put_numbered(77, 100, mac);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), 0);
	assert_int_equal(ob_net_receive(bed.channel, held, 1), 1);
	net_bed_check(held[0]->data, 100, 77);
	ob_packet_put(held[0]);
	assert_true(net_bed_stats(&bed).rx_no_packets > 0);
	ob_packet_pool_put(channel.pool);
}

/* ---- filters ---- */

static bool arrives(const uint8_t *destination)
{
	bool came;

	net_bed_clear(&bed);
	put_numbered(1, 100, destination);
	/* One that comes in any case, behind it. */
	put_numbered(2, 100, mac);
	assert_true(net_bed_receive(&bed, 1, LONG));
	came = net_get32(bed.frames[0]->data + 14) == 1;
	assert_true(net_bed_receive(&bed, came ? 2 : 1, LONG));
	return came;
}

static void test_filters_let_through_what_is_asked_for(void **state)
{
	struct ob_net_filter filter = {0};
	uint8_t mine[6] = {0x02, 1, 2, 3, 4, 5};
	struct ob_net_info info;

	net_bed_open_qemu(&bed, "", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	ob_net_info(bed.net, &info);
	assert_memory_equal(info.mac, mac, 6);
	assert_true((info.abilities & OB_NET_CAN_FILTER) != 0);
	assert_true(arrives(broadcast));
	assert_false(arrives(other));
	assert_false(arrives(group));
	filter.promiscuous = true;
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_true(arrives(other));
	assert_true(arrives(group));
	filter.promiscuous = false;
	filter.all_multicast = true;
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_false(arrives(other));
	assert_true(arrives(group));
	filter.all_multicast = false;
	filter.unicast_count = filter.multicast_count = 1;
	memcpy(filter.unicast[0], other, 6);
	memcpy(filter.multicast[0], group, 6);
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_true(arrives(other));
	assert_true(arrives(group));
	/* They last over a reset. */
	assert_int_equal(ob_net_set_mtu(bed.net, 1400), 0);
	assert_true(arrives(other));
	assert_true(arrives(group));
	assert_int_equal(ob_net_set_mac(bed.net, mine), 0);
	net_bed_clear(&bed);
	put_numbered(9, 100, mine);
	assert_true(net_bed_receive(&bed, 1, LONG));
	assert_int_equal(net_get32(bed.frames[0]->data + 14), 9);
}

static bool vlan_arrives(unsigned vid)
{
	uint8_t frame[100];
	bool came;

	net_bed_clear(&bed);
	net_bed_fill(frame, sizeof(frame), 1, mac);
	net_put16(frame + 12, ETHERNET_TYPE_VLAN);
	net_put16(frame + 14, (uint16_t)vid);
	net_bed_put(&bed, frame, sizeof(frame));
	put_numbered(2, 100, mac);
	assert_true(net_bed_receive(&bed, 1, LONG));
	came = net_get16(bed.frames[0]->data + 12) == ETHERNET_TYPE_VLAN;
	assert_true(net_bed_receive(&bed, came ? 2 : 1, LONG));
	return came;
}

static void test_vlans_are_filtered_from_the_first_to_the_last(void **state)
{
	struct ob_packet *frame;
	uint8_t bytes[200];

	net_bed_open_qemu(&bed, "", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	assert_true(vlan_arrives(5));
	assert_int_equal(ob_net_set_vlan(bed.net, 7, true), 0);
	assert_false(vlan_arrives(5));
	assert_true(vlan_arrives(7));
	assert_int_equal(ob_net_set_vlan(bed.net, 5, true), 0);
	assert_true(vlan_arrives(5));
	assert_int_equal(ob_net_set_vlan(bed.net, 7, false), 0);
	assert_false(vlan_arrives(7));
	assert_int_equal(ob_net_set_vlan(bed.net, 5, false), 0);
	assert_true(vlan_arrives(5));
	assert_true(vlan_arrives(7));
	/* A tag to be put in on the way out. */
	net_bed_fill(bytes, 100, 1, other);
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, 100);
	frame->flags = OB_PACKET_VLAN;
	frame->vlan_tci = 0x6123;
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	ob_net_kick(bed.channel);
	assert_int_equal(net_bed_get(&bed, bytes, sizeof(bytes), LONG), 104);
	assert_int_equal(net_get16(bytes + 12), ETHERNET_TYPE_VLAN);
	assert_int_equal(net_get16(bytes + 14), 0x6123);
	assert_int_equal(net_get16(bytes + 16), ETHERNET_TYPE_TEST);
}

/* ---- the link ---- */

static unsigned events;

static void note(struct ob_net_watch *watch, unsigned what)
{
	events |= what;
}

static bool link_becomes(bool up)
{
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_link link;

	do {
		net_bed_turn(&bed, OB_NS_PER_MS);
		ob_net_link(bed.net, &link);
	} while (link.up != up && ob_now_ns() < deadline_ns);
	return link.up == up;
}

static void test_link_goes_down_and_up(void **state)
{
	static const char *const vectors[] = {"", ",vectors=0"};
	struct ob_net_watch watch = {.fn = note};
	struct ob_net_info info;

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		net_bed_open_qemu(&bed, vectors[i], 1);
		events = 0;
		ob_net_watch(bed.net, ob_cpu_get(bed.ob, 0), &watch);
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
		ob_net_info(bed.net, &info);
		assert_true((info.abilities & OB_NET_CAN_LINK) != 0);
		assert_true(link_becomes(true));
		net_bed_command(&bed, "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"vnet0\",\"up\":false}}");
		assert_true(link_becomes(false));
		net_bed_turn(&bed, OB_NS_PER_MS);
		assert_true((events & OB_NET_EVENT_LINK) != 0);
		events = 0;
		net_bed_command(&bed, "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"vnet0\",\"up\":true}}");
		assert_true(link_becomes(true));
		net_bed_turn(&bed, OB_NS_PER_MS);
		assert_true((events & OB_NET_EVENT_LINK) != 0);
		both_ways(20, 1514);
		ob_net_unwatch(&watch);
		net_bed_close(&bed);
	}
}

static void test_wish_to_be_announced_is_told_and_answered(void **state)
{
	struct ob_net_watch watch = {.fn = note};
	uint64_t deadline_ns;
	uint8_t frame[64];

	net_bed_open_qemu(&bed, "", 1);
	events = 0;
	ob_net_watch(bed.net, ob_cpu_get(bed.ob, 0), &watch);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(1, 100);
	net_bed_command(&bed, "{\"execute\":\"announce-self\",\"arguments\":{\"initial\":50,\"max\":50,\"rounds\":2,"
			      "\"step\":50}}");
	deadline_ns = ob_deadline(LONG);
	while ((events & OB_NET_EVENT_ANNOUNCE) == 0 && ob_now_ns() < deadline_ns)
		net_bed_turn(&bed, OB_NS_PER_MS);
	assert_true((events & OB_NET_EVENT_ANNOUNCE) != 0);
	/* QEMU itself says it as well; ours is one more of the same kind. */
	while (net_bed_get(&bed, frame, sizeof(frame), 100 * OB_NS_PER_MS) != 0)
		;
	assert_int_equal(ob_net_announce(bed.channel), 0);
	assert_int_equal(net_bed_get(&bed, frame, sizeof(frame), LONG), 60);
	assert_int_equal(net_get16(frame + 12), ETHERNET_TYPE_RARP);
	assert_memory_equal(frame + 6, mac, 6);
	ob_net_unwatch(&watch);
}

/* ---- life ---- */

static void test_reset_after_nonsense_goes_on(void **state)
{
	struct vnet_pair *p;
	uint64_t deadline_ns;

	for (unsigned packed = 0; packed < 2; packed++) {
		net_bed_open_qemu(&bed, packed ? ",packed=on" : "", 1);
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
		both_ways(50, 1514);
		p = bed.channel->driver_data;
		vnet_pair_break(p, "the test");
		deadline_ns = ob_deadline(LONG);
		while (net_bed_logged(&bed, "works again") == 0 && ob_now_ns() < deadline_ns)
			net_bed_turn(&bed, OB_NS_PER_MS);
		assert_int_equal(net_bed_stats(&bed).resets, 1);
		both_ways(50, 1514);
		net_bed_close(&bed);
	}
}

static void test_resets_without_a_frame_between_them_end(void **state)
{
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_link link;

	net_bed_open_qemu(&bed, "", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	while (net_bed_logged(&bed, "given up") == 0 && ob_now_ns() < deadline_ns) {
		vnet_pair_break(bed.channel->driver_data, "the test");
		net_bed_turn(&bed, OB_NS_PER_MS);
	}
	assert_int_equal(net_bed_stats(&bed).resets, VNET_RESETS_MAX);
	ob_net_link(bed.net, &link);
	assert_false(link.up);
	assert_int_equal(ob_net_set_mtu(bed.net, 1400), -ENODEV);
}

static void test_suspend_and_resume_keep_everything(void **state)
{
	struct ob_net_filter filter = {.promiscuous = true};
	struct ob_device *dev;
	struct ob_packet *frame;

	net_bed_open_qemu(&bed, "", 1);
	dev = ob_net_device(bed.net);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(50, 1514);
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), mac, 6);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 0);
	ob_packet_put(frame);
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_int_equal(ob_net_set_mtu(bed.net, 2000), 0);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	both_ways(50, 1514);
	assert_true(arrives(other));
	/* A channel that closes and one that opens while it is suspended. */
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	net_bed_clear(&bed);
	ob_net_channel_close(bed.channel);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	both_ways(50, 1514);
}

static void test_removal_under_load_brings_all_packets_home(void **state)
{
	struct ob_packet_pool_config config = {.count = 1024};
	struct ob_net_channel_config channel = {0};
	struct ob_packet_pool_stats stats;
	struct ob_packet *frames[64];
	struct ob_device *dev;

	net_bed_open_qemu(&bed, "", 1);
	config.machine = bed.machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &channel, &bed.channel), 0);
	dev = ob_device_get(ob_net_device(bed.net));
	assert_int_equal(ob_packet_alloc_burst(channel.pool, frames, 64), 0);
	for (unsigned i = 0; i < 64; i++)
		memset(ob_packet_append(frames[i], 100), 0, 100);
	assert_int_equal(ob_net_send(bed.channel, frames, 64), 64);
	ob_net_kick(bed.channel);
	assert_int_equal(ob_device_unbind(dev), 0);
	assert_int_equal(ob_net_receive(bed.channel, frames, 64), 0);
	assert_false(ob_net_online(bed.net));
	ob_packet_pool_stats(channel.pool, &stats);
	assert_int_equal(stats.free, 1024);
	ob_packet_pool_put(channel.pool);
	assert_int_equal(ob_device_bind(dev), 0);
	ob_device_put(dev);
}

static void test_killed_qemu_ends_everything(void **state)
{
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_packet *frames[64];

	net_bed_open_qemu(&bed, "", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(50, 1514);
	kill(((struct qemu *)(void *)bed.machine->m)->supervisor.process.pid, SIGKILL);
	while (ob_net_online(bed.net) && ob_now_ns() < deadline_ns) {
		if (ob_packet_alloc_burst(ob_net_channel_pool(bed.channel), frames, 1) == 0 &&
		    ob_net_send(bed.channel, frames, 1) == 0)
			ob_packet_put(frames[0]);
		ob_net_kick(bed.channel);
		net_bed_turn(&bed, OB_NS_PER_MS);
	}
	assert_false(ob_net_online(bed.net));
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), -ENODEV);
}

/* Another CPU's channel, with a thread of its own. */
static void test_channel_of_another_cpu_works(void **state)
{
	struct ob_net_channel_config config = {0};
	struct ob_net_channel *channel;
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_stats stats;

	net_bed_open_qemu(&bed, "", 2);
	config.cpu = ob_cpu_get(bed.ob, 1);
	assert_int_equal(ob_cpu_start(config.cpu, -1), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &config, &channel), 0);
	for (unsigned i = 0; i < 20; i++)
		put_numbered(i, 100, mac);
	net_bed_turn(&bed, OB_NS_PER_MS);
	ob_net_channel_close(channel);
	ob_net_stats(bed.net, &stats);
	assert_int_equal(stats.rx_errors, 0);
	assert_true(ob_now_ns() < deadline_ns);
	ob_cpu_stop(config.cpu);
	assert_int_equal(net_bed_logged(&bed, "does not answer"), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_frames_both_ways_in_all_modes_over_both_rings, teardown),
		cmocka_unit_test_teardown(test_waiting_without_a_function_in_both_modes, teardown),
		cmocka_unit_test_teardown(test_jumbo_frames_arrive_in_merged_buffers, teardown),
		cmocka_unit_test_teardown(test_small_packets_make_the_device_merge, teardown),
		cmocka_unit_test_teardown(test_frames_of_many_parts_and_shared_ones_leave_whole, teardown),
		cmocka_unit_test_teardown(test_unsendable_frames_are_refused_and_given_back, teardown),
		cmocka_unit_test_teardown(test_pool_that_runs_dry_recovers, teardown),
		cmocka_unit_test_teardown(test_filters_let_through_what_is_asked_for, teardown),
		cmocka_unit_test_teardown(test_vlans_are_filtered_from_the_first_to_the_last, teardown),
		cmocka_unit_test_teardown(test_link_goes_down_and_up, teardown),
		cmocka_unit_test_teardown(test_wish_to_be_announced_is_told_and_answered, teardown),
		cmocka_unit_test_teardown(test_reset_after_nonsense_goes_on, teardown),
		cmocka_unit_test_teardown(test_resets_without_a_frame_between_them_end, teardown),
		cmocka_unit_test_teardown(test_suspend_and_resume_keep_everything, teardown),
		cmocka_unit_test_teardown(test_removal_under_load_brings_all_packets_home, teardown),
		cmocka_unit_test_teardown(test_killed_qemu_ends_everything, teardown),
		cmocka_unit_test_teardown(test_channel_of_another_cpu_works, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
