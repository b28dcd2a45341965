/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The class over interfaces in memory: channels in all modes, waiting, telling the device, being told, outliving machine
 * and context; what the class does in software; hashes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/net.h"
#include "spec/ethernet.h"
#include "tests/context.h"
#include "tests/ram_machine.h"
#include "tests/ram_net.h"

#define SECOND ob_deadline(OB_NS_PER_S)

static struct context context;
static struct ob_machine *machine;
static struct ram_net *left, *right;
static struct ob_net_channel *a, *b;

struct inbox {
	struct ob_packet *frames[512];
	unsigned count, calls, sendable;
};
static struct inbox inbox;

static void world_open(unsigned cpus)
{
	context_open(&context, cpus);
	assert_int_equal(ram_machine_open(context.ob, &machine), 0);
	assert_int_equal(ram_net_create(machine, &left), 0);
	assert_int_equal(ram_net_create(machine, &right), 0);
	ram_net_connect(left, right);
	memset(&inbox, 0, sizeof(inbox));
	a = b = NULL;
}

static void world_close(void)
{
	ob_packet_put_burst(inbox.frames, inbox.count);
	ob_net_channel_close(a);
	ob_net_channel_close(b);
	ram_net_destroy(left);
	ram_net_destroy(right);
	ob_machine_close(machine);
	context_close(&context);
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	struct inbox *in = arg;

	assert_true(count > 0 && count <= OB_NET_BURST && in->count + count <= 512);
	memcpy(in->frames + in->count, frames, count * sizeof(*frames));
	in->count += count;
	in->calls++;
}

static void sendable(struct ob_net_channel *channel, void *arg)
{
	((struct inbox *)arg)->sendable++;
}

static void open_both(enum ob_completion_mode mode, bool bring)
{
	struct ob_net_channel_config config = {.poll.mode = mode, .arg = &inbox, .tx_depth = 64};

	assert_int_equal(ob_net_channel_open(left->net, &config, &a), 0);
	config.received = bring ? received : NULL;
	assert_int_equal(ob_net_channel_open(right->net, &config, &b), 0);
}

static struct ob_packet *numbered(struct ob_net_channel *channel, uint32_t number)
{
	uint8_t bytes[64] = {0};
	struct ob_packet *frame;

	net_put32(bytes + ETHERNET_HEADER_BYTES, number);
	frame = ob_packet_from(ob_net_channel_pool(channel), bytes, sizeof(bytes));
	assert_non_null(frame);
	return frame;
}

static void send_numbered(struct ob_net_channel *channel, uint32_t first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct ob_packet *frame = numbered(channel, first + i);

		assert_int_equal(ob_net_send(channel, &frame, 1), 1);
	}
	ob_net_kick(channel);
}

static uint32_t number_of(const struct ob_packet *frame)
{
	assert_int_equal(frame->frame_bytes, 64);
	return net_get32(frame->data + ETHERNET_HEADER_BYTES);
}

/* ---- channels ---- */

static void test_frames_are_brought_once_in_order_in_all_modes(void **state)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};

	for (unsigned m = 0; m < 3; m++) {
		world_open(1);
		open_both(modes[m], true);
		assert_int_equal(ob_net_channel_mode(b), modes[m]);
		for (unsigned round = 0; round < 5; round++) {
			uint64_t deadline_ns = SECOND;

			send_numbered(a, 40 * round, 40);
			while (inbox.count < 40 * (round + 1) && ob_now_ns() < deadline_ns)
				ob_cpu_turn(context.cpu, OB_NS_PER_MS);
			assert_int_equal(inbox.count, 40 * (round + 1));
		}
		for (unsigned i = 0; i < inbox.count; i++)
			assert_int_equal(number_of(inbox.frames[i]), i);
		world_close();
	}
}

static void test_frames_nobody_waits_for_interrupt_nobody(void **state)
{
	struct ob_packet *frames[64];
	struct ob_net_stats stats;

	world_open(1);
	open_both(OB_COMPLETION_INTERRUPT, false);
	send_numbered(a, 0, 40);
	turn_dry(context.cpu);
	ob_net_channel_stats(b, &stats);
	assert_int_equal(stats.interrupts, 0);
	assert_int_equal(ob_net_receive(b, frames, 64), 40);
	ob_packet_put_burst(frames, 40);
	assert_int_equal(ob_net_receive(b, frames, 64), 0);
	world_close();
}

struct later {
	struct ob_timer timer;
	struct ob_net_channel *channel;
};

static void send_later(struct ob_timer *timer)
{
	send_numbered(container_of(timer, struct later, timer)->channel, 7, 1);
}

static void test_wait_ends_with_the_frame_or_at_its_deadline(void **state)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED};
	struct ob_packet *frame;
	struct later later;

	for (unsigned m = 0; m < 2; m++) {
		world_open(1);
		open_both(modes[m], false);
		assert_int_equal(ob_net_wait(b, OB_NET_WAIT_RECEIVE, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
		for (unsigned round = 0; round < 3; round++) {
			later.channel = a;
			ob_timer_init(&later.timer, context.cpu, send_later);
			ob_timer_start(&later.timer, ob_deadline(3 * OB_NS_PER_MS));
			assert_int_equal(ob_net_wait(b, OB_NET_WAIT_RECEIVE, SECOND), 0);
			assert_int_equal(ob_net_receive(b, &frame, 1), 1);
			assert_int_equal(number_of(frame), 7);
			ob_packet_put(frame);
		}
		world_close();
	}
}

static void test_full_ring_takes_the_rest_when_there_is_room(void **state)
{
	struct ob_net_channel_config config = {.arg = &inbox, .tx_depth = 32, .sendable = sendable};
	struct ob_packet *frames[40];
	struct ob_net_stats stats;

	world_open(1);
	assert_int_equal(ob_net_channel_open(left->net, &config, &a), 0);
	assert_int_equal(ob_net_channel_tx_depth(a), 32);
	for (unsigned i = 0; i < 40; i++)
		frames[i] = numbered(a, i);
	left->stuck = true;
	assert_int_equal(ob_net_send(a, frames, 40), 32);
	ob_net_kick(a);
	turn_dry(context.cpu);
	assert_int_equal(inbox.sendable, 0);
	assert_int_equal(ob_net_wait(a, OB_NET_WAIT_SEND, ob_deadline(OB_NS_PER_MS)), -ETIMEDOUT);
	left->stuck = false;
	ob_net_kick(a);
	turn_dry(context.cpu);
	assert_int_equal(inbox.sendable, 1);
	assert_int_equal(ob_net_send(a, frames + 32, 8), 8);
	ob_net_kick(a);
	assert_int_equal(ob_net_wait(a, OB_NET_WAIT_SENT, SECOND), 0);
	ob_net_reap(a);
	ob_net_channel_stats(a, &stats);
	assert_int_equal(stats.tx_frames, 40);
	assert_int_equal(stats.tx_full, 1);
	world_close();
}

static void test_close_with_frames_unsent_brings_packets_home(void **state)
{
	struct ob_packet_pool_config config = {.count = 64};
	struct ob_net_channel_config channel = {0};
	struct ob_packet_pool_stats stats;
	struct ob_net_stats net;

	world_open(1);
	config.machine = machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(left->net, &channel, &a), 0);
	left->stuck = true;
	send_numbered(a, 0, 20);
	ob_net_channel_close(a);
	a = NULL;
	ob_packet_pool_stats(channel.pool, &stats);
	assert_int_equal(stats.free, 64);
	ob_net_stats(left->net, &net);
	assert_int_equal(net.tx_dropped, 20);
	ob_packet_pool_put(channel.pool);
	world_close();
}

static void test_channels_beyond_the_device_and_bad_configs_are_refused(void **state)
{
	struct ob_packet_pool_config small = {.packet_bytes = 64, .count = 16};
	struct ob_net_channel_config config = {.poll.mode = (enum ob_completion_mode)9};
	struct ob_net_channel *channels[RAM_NET_CHANNELS], *more;

	world_open(2);
	assert_int_equal(ob_net_channel_open(left->net, &config, &more), -EINVAL);
	small.machine = machine;
	config = (struct ob_net_channel_config){.cpu = ob_cpu_get(context.ob, 1)};
	assert_int_equal(ob_packet_pool_create(&small, &config.pool), 0);
	assert_int_equal(ob_net_channel_open(left->net, &config, &more), -EINVAL);
	config.cpu = NULL;
	ob_net_set_room(left->net, 65);
	assert_int_equal(ob_net_channel_open(left->net, &config, &more), -EINVAL);
	assert_non_null(strstr(context.last, "too small"));
	context.lines = 0;
	ob_net_set_room(left->net, 64);
	for (unsigned i = 0; i < RAM_NET_CHANNELS; i++)
		assert_int_equal(ob_net_channel_open(left->net, &config, &channels[i]), 0);
	assert_int_equal(ob_net_channel_open(left->net, &config, &more), -ENOSPC);
	for (unsigned i = 0; i < RAM_NET_CHANNELS; i++)
		ob_net_channel_close(channels[i]);
	ob_packet_pool_put(config.pool);
	world_close();
}

/* ---- forwarding: frames of one channel's pool leave through another interface ---- */

static void forward(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	assert_int_equal(ob_net_send(*(struct ob_net_channel **)arg, frames, count), count);
	ob_net_kick(*(struct ob_net_channel **)arg);
}

static void test_frames_are_forwarded_without_a_copy_after_a_grant(void **state)
{
	struct ob_net_channel_config config = {.received = forward, .arg = &b};
	struct ob_net_channel_config end = {.received = received, .arg = &inbox};
	struct ob_net_stats stats;

	world_open(1);
	ram_net_connect(left, left);
	ram_net_connect(right, right);
	assert_int_equal(ob_net_channel_open(left->net, &config, &a), 0);
	assert_int_equal(ob_net_channel_open(right->net, &end, &b), 0);
	send_numbered(a, 0, 10);
	turn_dry(context.cpu);
	assert_int_equal(inbox.count, 0);
	ob_net_channel_stats(b, &stats);
	assert_int_equal(stats.tx_refused, 10);
	assert_int_equal(ob_net_grant_pool(right->net, ob_net_channel_pool(a)), 0);
	send_numbered(a, 10, 10);
	turn_dry(context.cpu);
	assert_int_equal(inbox.count, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(number_of(inbox.frames[i]), 10 + i);
	ob_net_reap(b);
	world_close();
}

/* ---- telling ---- */

static void test_filter_is_checked_kept_and_taken_back(void **state)
{
	struct ob_net_filter filter = {.unicast_count = 1, .unicast = {{2, 0, 0, 0, 0, 1}}}, now;

	world_open(1);
	assert_int_equal(ob_net_set_filter(left->net, &filter), 0);
	assert_int_equal(left->told, 1);
	ob_net_get_filter(left->net, &now);
	assert_memory_equal(&now, &filter, sizeof(now));
	filter.unicast[0][0] = 3;
	assert_int_equal(ob_net_set_filter(left->net, &filter), -EINVAL);
	filter.unicast[0][0] = 2;
	filter.multicast_count = 1;
	assert_int_equal(ob_net_set_filter(left->net, &filter), -EINVAL);
	filter.multicast_count = OB_NET_FILTER_MAX + 1;
	assert_int_equal(ob_net_set_filter(left->net, &filter), -EINVAL);
	filter.multicast_count = 0;
	filter.promiscuous = true;
	left->answer = -EIO;
	assert_int_equal(ob_net_set_filter(left->net, &filter), -EIO);
	ob_net_get_filter(left->net, &now);
	assert_false(now.promiscuous);
	world_close();
}

static void test_vlans_are_counted_once_each(void **state)
{
	const uint64_t *bits;

	world_open(1);
	assert_int_equal(ob_net_set_vlan(left->net, 4095, true), -EINVAL);
	assert_int_equal(ob_net_set_vlan(left->net, 4094, true), 0);
	assert_int_equal(ob_net_set_vlan(left->net, 4094, true), 0);
	assert_int_equal(left->told, 1);
	assert_int_equal(ob_net_vlans(left->net, &bits), 1);
	assert_int_equal(bits[63], BIT64(62));
	left->answer = -EIO;
	assert_int_equal(ob_net_set_vlan(left->net, 4094, false), -EIO);
	assert_int_equal(ob_net_vlans(left->net, &bits), 1);
	left->answer = 0;
	assert_int_equal(ob_net_set_vlan(left->net, 4094, false), 0);
	assert_int_equal(ob_net_vlans(left->net, &bits), 0);
	world_close();
}

static void test_mac_mtu_offloads_are_checked_and_kept(void **state)
{
	static const uint8_t group[6] = {1}, none[6], good[6] = {2, 1, 2, 3, 4, 5};
	struct ob_net_info info;

	world_open(1);
	assert_int_equal(ob_net_set_mac(left->net, group), -EINVAL);
	assert_int_equal(ob_net_set_mac(left->net, none), -EINVAL);
	assert_int_equal(ob_net_set_mac(left->net, good), 0);
	assert_int_equal(ob_net_set_mtu(left->net, 67), -EINVAL);
	assert_int_equal(ob_net_set_mtu(left->net, 9001), -EINVAL);
	assert_int_equal(ob_net_set_mtu(left->net, 9000), 0);
	assert_int_equal(ob_net_set_offloads(left->net, OB_NET_RX_TSO4), -EOPNOTSUPP);
	assert_int_equal(ob_net_set_offloads(left->net, OB_NET_TX_CSUM), -EOPNOTSUPP);
	assert_int_equal(ob_net_set_offloads(left->net, OB_NET_RX_CSUM), 0);
	assert_int_equal(left->offloads, OB_NET_RX_CSUM);
	left->answer = -EIO;
	assert_int_equal(ob_net_set_mtu(left->net, 1400), -EIO);
	assert_int_equal(ob_net_set_offloads(left->net, 0), -EIO);
	ob_net_info(left->net, &info);
	assert_memory_equal(info.mac, good, 6);
	assert_int_equal(info.mtu, 9000);
	assert_int_equal(info.offloads_on, OB_NET_RX_CSUM);
	world_close();
}

static void test_rss_nonsense_is_refused(void **state)
{
	struct ob_net_rss rss, now;

	world_open(1);
	ob_net_rss_default(left->net, 3, &rss);
	assert_int_equal(rss.table_count, 128);
	assert_int_equal(rss.table[5], 2);
	assert_int_equal(ob_net_set_rss(left->net, &rss), 0);
	assert_int_equal(ob_net_get_rss(left->net, &now), 0);
	assert_memory_equal(&now, &rss, sizeof(now));
	rss.table[127] = RAM_NET_CHANNELS;
	assert_int_equal(ob_net_set_rss(left->net, &rss), -EINVAL);
	rss.table[127] = 0;
	rss.table_count = 96;
	assert_int_equal(ob_net_set_rss(left->net, &rss), -EINVAL);
	rss.table_count = 64;
	rss.key_bytes = 41;
	assert_int_equal(ob_net_set_rss(left->net, &rss), -EINVAL);
	rss.key_bytes = 40;
	rss.types = 1u << OB_HASH_UDP6;
	assert_int_equal(ob_net_set_rss(left->net, &rss), -EOPNOTSUPP);
	world_close();
}

/* ---- being told ---- */

struct told {
	struct ob_net_watch watch; /* first */
	unsigned events, calls;
};

static void note(struct ob_net_watch *watch, unsigned events)
{
	struct told *told = (struct told *)(void *)watch;

	told->events |= events;
	told->calls++;
}

static void test_watches_hear_of_links_and_the_end(void **state)
{
	struct told one = {.watch.fn = note}, two = {.watch.fn = note}, late = {.watch.fn = note};
	struct ob_net_link link = {.up = true};
	struct ob_net *net;

	world_open(1);
	net = ob_net_get(left->net);
	ob_net_watch(net, context.cpu, &one.watch);
	ob_net_watch(net, context.cpu, &two.watch);
	ob_net_set_link(net, &link);
	turn_dry(context.cpu);
	assert_int_equal(one.calls, 0);
	link.up = false;
	ob_net_set_link(net, &link);
	ob_net_event(net, OB_NET_EVENT_ANNOUNCE);
	turn_dry(context.cpu);
	assert_int_equal(one.events, OB_NET_EVENT_LINK | OB_NET_EVENT_ANNOUNCE);
	assert_int_equal(one.calls, 1);
	assert_int_equal(two.events, one.events);
	ob_net_link(net, &link);
	assert_false(link.up);
	ob_net_unwatch(&two.watch);
	ram_net_destroy(left);
	turn_dry(context.cpu);
	assert_true((one.events & OB_NET_EVENT_GONE) != 0);
	assert_false((two.events & OB_NET_EVENT_GONE) != 0);
	assert_false(ob_net_online(net));
	ob_net_watch(net, context.cpu, &late.watch);
	turn_dry(context.cpu);
	assert_int_equal(late.events, OB_NET_EVENT_GONE);
	ob_net_unwatch(&one.watch);
	ob_net_unwatch(&late.watch);
	ob_net_put(net);
	assert_int_equal(ram_net_create(machine, &left), 0);
	world_close();
}

static void test_names_are_the_lowest_that_are_free(void **state)
{
	struct ob_net *net;

	world_open(1);
	assert_string_equal(ob_net_name(left->net), "net0");
	assert_string_equal(ob_net_name(right->net), "net1");
	ram_net_destroy(left);
	assert_int_equal(ram_net_create(machine, &left), 0);
	assert_string_equal(ob_net_name(left->net), "net0");
	net = ob_net_find(context.ob, "net1");
	assert_ptr_equal(net, right->net);
	ob_net_put(net);
	assert_null(ob_net_find(context.ob, "net2"));
	net = ob_net_next(context.ob, NULL);
	assert_ptr_equal(net, right->net);
	net = ob_net_next(context.ob, net);
	assert_ptr_equal(net, left->net);
	assert_null(ob_net_next(context.ob, net));
	world_close();
}

static void test_paravirtual_interface_is_the_first_choice(void **state)
{
	struct ob_net *net;

	world_open(1);
	net = ob_net_find(context.ob, NULL);
	assert_ptr_equal(net, left->net);
	ob_net_put(net);
	ram_device_make_paravirtual(right->dev);
	net = ob_net_find(context.ob, NULL);
	assert_ptr_equal(net, right->net);
	ob_net_put(net);
	ram_device_make_paravirtual(left->dev);
	net = ob_net_find(context.ob, NULL);
	assert_ptr_equal(net, left->net);
	ob_net_put(net);
	world_close();
}

static void test_channel_outlives_device_and_answers_nothing(void **state)
{
	struct ob_packet *frame;
	struct ob_net *net;

	world_open(1);
	open_both(OB_COMPLETION_INTERRUPT, false);
	frame = numbered(a, 1);
	net = ob_net_get(left->net);
	ram_net_destroy(left);
	assert_int_equal(ob_net_send(a, &frame, 1), 0);
	assert_int_equal(ob_net_receive(a, &frame, 1), 0);
	assert_int_equal(ob_net_wait(a, OB_NET_WAIT_RECEIVE, SECOND), -ENODEV);
	assert_int_equal(ob_net_reap(a), 0);
	ob_packet_put(frame);
	assert_int_equal(ob_net_channel_open(net, NULL, &b), -ENODEV);
	assert_int_equal(ob_net_set_mtu(net, 1400), -ENODEV);
	ob_net_put(net);
	assert_int_equal(ram_net_create(machine, &left), 0);
	world_close();
}

/* ---- in software ---- */

static struct ob_packet *arrived(void)
{
	struct ob_packet *frame;

	ob_net_kick(a);
	assert_int_equal(ob_net_receive(b, &frame, 1), 1);
	return frame;
}

static void test_tag_is_put_behind_the_addresses(void **state)
{
	static const uint8_t bytes[] = "ABCDEFGHIJKL\x08\x00payload";
	uint8_t tagged[sizeof(bytes) + 4];
	struct ob_packet *frame;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	frame = ob_packet_from(ob_net_channel_pool(a), bytes, sizeof(bytes));
	frame->flags = OB_PACKET_VLAN;
	frame->vlan_tci = 0x2abc;
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	frame = arrived();
	assert_int_equal(frame->frame_bytes, sizeof(tagged));
	ob_packet_read(frame, 0, tagged, sizeof(tagged));
	assert_memory_equal(tagged, "ABCDEFGHIJKL\x81\x00\x2a\xbc\x08\x00payload", sizeof(tagged));
	ob_packet_put(frame);
	assert_int_equal(a->stats.soft_vlans, 1);
	world_close();
}

static void test_partial_checksum_with_tag_is_finished(void **state)
{
	uint8_t bytes[60] = {0};
	struct ob_packet *frame;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	for (unsigned i = 34; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(3 * i);
	frame = ob_packet_from(ob_net_channel_pool(a), bytes, sizeof(bytes));
	frame->flags = OB_PACKET_VLAN | OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = 34;
	frame->csum_offset = 6;
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	frame = arrived();
	assert_int_equal(frame->frame_bytes, 64);
	/* What was in the field counts in the sum, and the sum takes its place. */
	assert_int_equal(net_get16(frame->data + 44), net_checksum(bytes + 34, 26));
	ob_packet_put(frame);
	world_close();
}

static void test_offloads_that_make_no_sense_are_refused(void **state)
{
	struct ob_packet *frame, *kept;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	frame = numbered(a, 1);
	frame->flags = OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = 63;
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	frame = numbered(a, 1);
	frame->flags = OB_PACKET_SEGMENT | OB_PACKET_CSUM_PARTIAL;
	frame->gso = OB_GSO_TCP4;
	frame->gso_bytes = 20;
	frame->csum_start = 34;
	frame->csum_offset = 16;
	frame->header_bytes = 54;
	assert_int_equal(ob_net_soft(a, frame, OB_NET_TX_CSUM | OB_NET_TX_TSO4), 0);
	assert_int_equal(ob_net_soft(a, frame, OB_NET_TX_CSUM | OB_NET_TX_TSO6), -EOPNOTSUPP);
	frame->gso = OB_GSO_TCP4 | OB_GSO_ECN;
	assert_int_equal(ob_net_soft(a, frame, OB_NET_TX_CSUM | OB_NET_TX_TSO4), -EOPNOTSUPP);
	frame->gso = 99;
	assert_int_equal(ob_net_soft(a, frame, ~0u), -EINVAL);
	frame->gso = OB_GSO_TCP4;
	frame->header_bytes = 65;
	assert_int_equal(ob_net_soft(a, frame, ~0u), -EINVAL);
	ob_packet_put(frame);
	/* Somebody else holds it: it may not be changed. */
	frame = kept = ob_packet_get(numbered(a, 1));
	frame->flags = OB_PACKET_VLAN;
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	ob_packet_put(kept);
	assert_int_equal(a->stats.tx_refused, 2);
	world_close();
}

/* A frame of TCP over IPv4 whose payload counts up; the pseudo header's sum is in its place. */
static struct ob_packet *make_train(uint32_t payload_bytes, uint16_t gso_bytes)
{
	static uint8_t bytes[4096];
	struct ip4_header *ip = (void *)(bytes + 14);
	struct tcp_header *tcp = (void *)(bytes + 34);
	struct ob_packet *frame;

	memset(bytes, 0, sizeof(bytes));
	net_put16(bytes + 12, ETHERNET_TYPE_IP4);
	ip->version_ihl = 0x45;
	ip->protocol = IP_PROTOCOL_TCP;
	net_put16(ip->total_bytes, (uint16_t)(40 + payload_bytes));
	net_put16(ip->id, 100);
	net_put32(ip->source, 0x0a000001);
	net_put32(ip->destination, 0x0a000002);
	net_put32(tcp->sequence, 0xffffff00);
	tcp->data_offset = 0x50;
	tcp->flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR;
	for (uint32_t i = 0; i < payload_bytes; i++)
		bytes[54 + i] = (uint8_t)(i + (i >> 8));
	frame = ob_packet_from(ob_net_channel_pool(a), bytes, 54 + payload_bytes);
	assert_non_null(frame);
	frame->flags = OB_PACKET_SEGMENT | OB_PACKET_CSUM_PARTIAL;
	frame->gso = OB_GSO_TCP4;
	frame->gso_bytes = gso_bytes;
	frame->header_bytes = 54;
	frame->csum_start = 34;
	frame->csum_offset = TCP_CHECKSUM_OFFSET;
	return frame;
}

static void check_segment(const struct ob_packet *frame, unsigned index, uint32_t offset, uint32_t bytes, bool last)
{
	const struct ip4_header *ip = (const void *)(frame->data + 14);
	const struct tcp_header *tcp = (const void *)(frame->data + 34);

	assert_int_equal(frame->frame_bytes, 54 + bytes);
	assert_int_equal(net_get16(ip->total_bytes), 40 + bytes);
	assert_int_equal(net_get16(ip->id), 100 + index);
	assert_int_equal(net_checksum(ip, sizeof(*ip)), 0);
	assert_int_equal(net_get32(tcp->sequence), 0xffffff00 + offset);
	assert_int_equal(tcp->flags, TCP_ACK | (last ? TCP_PSH | TCP_FIN : 0) | (index == 0 ? TCP_CWR : 0));
	assert_int_equal(net_sum_fold(net_sum(net_sum_pseudo4(ip, IP_PROTOCOL_TCP, 20 + bytes), tcp, 20 + bytes)),
			 0xffff);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(frame->data[54 + i], (uint8_t)(offset + i + ((offset + i) >> 8)));
}

static void test_segments_are_cut_with_headers_of_their_own(void **state)
{
	struct ob_packet *frame, *frames[8];

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	frame = make_train(1001, 300);
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	ob_net_kick(a);
	assert_int_equal(ob_net_receive(b, frames, 8), 4);
	for (unsigned i = 0; i < 4; i++)
		check_segment(frames[i], i, 300 * i, i < 3 ? 300 : 101, i == 3);
	ob_packet_put_burst(frames, 4);
	assert_int_equal(a->stats.soft_segments, 1);
	assert_int_equal(a->stats.soft_csums, 4);
	assert_int_equal(a->stats.tx_refused, 0);
	world_close();
}

/* Each is taken, and counted as refused. */
static void refused(struct ob_packet *frame)
{
	struct ob_net_stats before, after;

	ob_net_channel_stats(a, &before);
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	ob_net_channel_stats(a, &after);
	assert_int_equal(after.tx_refused, before.tx_refused + 1);
}

static void test_segments_that_cannot_be_cut_are_refused(void **state)
{
	struct ob_packet *frame;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	frame = make_train(1000, 0);
	refused(frame);
	frame = make_train(1000, 100);
	frame->gso = OB_GSO_TCP6;
	refused(frame);
	frame = make_train(1000, 100);
	frame->gso = OB_GSO_UDP;
	refused(frame);
	frame = make_train(1000, 100);
	frame->csum_start = 33;
	refused(frame);
	frame = make_train(1000, 100);
	frame->csum_offset = 6;
	refused(frame);
	frame = make_train(1000, 100);
	frame->flags = OB_PACKET_SEGMENT;
	refused(frame);
	for (unsigned words = 0; words < 5; words++) {
		frame = make_train(1000, 100);
		frame->data[46] = (uint8_t)(words << 4);
		refused(frame);
	}
	refused(make_train(0, 100));
	world_close();
}

static void test_segments_wait_for_room(void **state)
{
	struct ob_packet *frame, *frames[128];
	unsigned count = 0;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	left->stuck = true;
	send_numbered(a, 0, 60);
	/* Ten segments, and room for four. */
	frame = make_train(1000, 100);
	assert_int_equal(ob_net_send(a, &frame, 1), 1);
	left->stuck = false;
	ob_net_kick(a);
	/* All that was in the ring is done; the rest of the segments is not. */
	left->stuck = true;
	assert_int_equal(ob_net_wait(a, OB_NET_WAIT_SENT, ob_deadline(10 * OB_NS_PER_MS)), -ETIMEDOUT);
	left->stuck = false;
	ob_net_kick(a);
	turn_dry(context.cpu);
	for (unsigned i = 0; i < 20; i++) {
		ob_net_kick(a);
		ob_cpu_turn(context.cpu, 0);
		count += ob_net_receive(b, frames + count, 128 - count);
	}
	assert_int_equal(count, 70);
	for (unsigned i = 0; i < 10; i++)
		check_segment(frames[60 + i], i, 100 * i, 100, i == 9);
	ob_packet_put_burst(frames, count);
	world_close();
}

static void test_announce_is_a_rarp_of_our_own(void **state)
{
	struct ob_net_info info;
	struct ob_packet *frame;

	world_open(1);
	open_both(OB_COMPLETION_POLLED, false);
	ob_net_info(left->net, &info);
	assert_int_equal(ob_net_announce(a), 0);
	frame = arrived();
	assert_int_equal(frame->frame_bytes, ETHERNET_FRAME_MIN);
	assert_memory_equal(frame->data, "\xff\xff\xff\xff\xff\xff", 6);
	assert_memory_equal(frame->data + 6, info.mac, 6);
	assert_int_equal(net_get16(frame->data + 12), ETHERNET_TYPE_RARP);
	assert_memory_equal(frame->data + 22, info.mac, 6);
	ob_packet_put(frame);
	world_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_are_brought_once_in_order_in_all_modes),
		cmocka_unit_test(test_frames_nobody_waits_for_interrupt_nobody),
		cmocka_unit_test(test_wait_ends_with_the_frame_or_at_its_deadline),
		cmocka_unit_test(test_full_ring_takes_the_rest_when_there_is_room),
		cmocka_unit_test(test_close_with_frames_unsent_brings_packets_home),
		cmocka_unit_test(test_channels_beyond_the_device_and_bad_configs_are_refused),
		cmocka_unit_test(test_frames_are_forwarded_without_a_copy_after_a_grant),
		cmocka_unit_test(test_filter_is_checked_kept_and_taken_back),
		cmocka_unit_test(test_vlans_are_counted_once_each),
		cmocka_unit_test(test_mac_mtu_offloads_are_checked_and_kept),
		cmocka_unit_test(test_rss_nonsense_is_refused),
		cmocka_unit_test(test_watches_hear_of_links_and_the_end),
		cmocka_unit_test(test_names_are_the_lowest_that_are_free),
		cmocka_unit_test(test_paravirtual_interface_is_the_first_choice),
		cmocka_unit_test(test_channel_outlives_device_and_answers_nothing),
		cmocka_unit_test(test_tag_is_put_behind_the_addresses),
		cmocka_unit_test(test_partial_checksum_with_tag_is_finished),
		cmocka_unit_test(test_offloads_that_make_no_sense_are_refused),
		cmocka_unit_test(test_segments_are_cut_with_headers_of_their_own),
		cmocka_unit_test(test_segments_that_cannot_be_cut_are_refused),
		cmocka_unit_test(test_segments_wait_for_room),
		cmocka_unit_test(test_announce_is_a_rarp_of_our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
