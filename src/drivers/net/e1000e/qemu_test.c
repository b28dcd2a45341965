/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on QEMU's device, with this process at the other end of its wire: what the conformance suite does not ask.
 * Interrupts of both kinds, long frames in small buffers, filters that are too long for the device, the link, descriptors
 * that make no sense (the test writes them into the ring in the device's place), resets, removal.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <outboard/pci.h>

#include "core/hooks.h"
#include "core/machine_core.h"
#include "drivers/net/e1000e/e1000e.h"
#include "machine/qemu/qemu.h"
#include "spec/pci.h"
#include "tests/net_bed.h"

#define LONG  (20 * OB_NS_PER_S)
#define SHORT (150 * OB_NS_PER_MS) /* for what must not come */
#define JUMBO 9014u

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56}; /* QEMU's first */
static const uint8_t other[6] = {0x52, 0x54, 0, 0x99, 0x99, 0x99};

static struct net_bed bed;

static int teardown(void **state)
{
	net_bed_close(&bed);
	return 0;
}

/* @more: of the URI, with what comes in front of it. */
static void open_bed(const char *more, unsigned cpus)
{
	char uri[512];

	memset(&bed, 0, sizeof(bed));
	net_bed_wire(&bed);
	snprintf(uri, sizeof(uri), "qemu:q35?e1000e=dgram:%s:%s%s", bed.theirs, bed.ours, more);
	assert_int_equal(net_bed_try_open(&bed, uri, cpus), 0);
	if (bed.net == NULL)
		fail_msg("no interface:\n%s", bed.log.text);
}

static struct e1000e *nic(void)
{
	return ob_net_driver_data(bed.net);
}

static struct e1000e_queue *queue(void)
{
	return bed.channel->driver_data;
}

static void put(uint32_t number, size_t len_bytes, const uint8_t *destination)
{
	uint8_t frame[JUMBO];

	net_bed_fill(frame, len_bytes, number, destination);
	net_bed_put(&bed, frame, len_bytes);
}

/* Frame @number is what comes next. */
static void expect(uint32_t number, size_t len_bytes)
{
	uint8_t frame[JUMBO];

	assert_true(net_bed_receive(&bed, 1, LONG));
	assert_int_equal(net_bed_read(&bed, 0, frame, sizeof(frame)), len_bytes);
	net_bed_check(frame, len_bytes, number);
	net_bed_clear(&bed);
}

static void both_ways(unsigned count, size_t most)
{
	uint8_t frame[JUMBO];

	for (unsigned i = 0; i < count; i++) {
		size_t len_bytes = 64 + (i * 997) % (most - 63);

		put(i, len_bytes, mac);
		expect(i, len_bytes);
		net_bed_fill(frame, len_bytes, i, other);
		net_bed_send(&bed, frame, len_bytes);
		assert_int_equal(net_bed_get(&bed, frame, sizeof(frame), LONG), len_bytes);
		net_bed_check(frame, len_bytes, i);
	}
}

/* Has it been reset so often? */
static void await_resets(uint64_t count)
{
	uint64_t deadline_ns = ob_deadline(LONG);

	while (net_bed_stats(&bed).resets < count && ob_now_ns() < deadline_ns)
		net_bed_turn(&bed, OB_NS_PER_MS);
	assert_int_equal(net_bed_stats(&bed).resets, count);
}

/* ---- frames ---- */

static uint64_t interrupts_within(uint64_t time_ns)
{
	uint64_t before = net_bed_stats(&bed).interrupts;

	net_bed_turn(&bed, time_ns);
	return net_bed_stats(&bed).interrupts - before;
}

static void test_interrupts_of_both_kinds_bring_frames(void **state)
{
	static const struct {
		const char *more;
		enum ob_irq_kind kind;
	} kinds[] = {{"", OB_IRQ_MSIX}, {"&msi=off", OB_IRQ_INTX}};
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_HYBRID,
							OB_COMPLETION_POLLED};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		open_bed(kinds[k].more, 1);
		assert_true(nic()->irqs);
		assert_int_equal(nic()->irq_kind, kinds[k].kind);
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			struct ob_net_stats stats;

			net_bed_channel(&bed, modes[m], true);
			assert_int_equal(ob_net_channel_mode(bed.channel), modes[m]);
			both_ways(50, 1514);
			ob_net_channel_stats(bed.channel, &stats);
			assert_int_equal(stats.rx_frames, 50);
			assert_int_equal(stats.tx_frames, 50);
			assert_int_equal(stats.interrupts > 0, modes[m] != OB_COMPLETION_POLLED);
			assert_true(interrupts_within(SHORT) <= 2);
			assert_int_equal(stats.rx_errors + stats.tx_refused + stats.broken, 0);
			ob_net_channel_close(bed.channel);
			bed.channel = NULL;
		}
		assert_int_equal(net_bed_logged(&bed, "storm"), 0);
		net_bed_close(&bed);
	}
}

static void test_sending_interrupts_who_waits_for_room(void **state)
{
	struct ob_packet *frame;
	uint8_t bytes[100];
	unsigned sent = 0;

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, false);
	net_bed_fill(bytes, sizeof(bytes), 1, other);
	for (;;) {
		frame = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, sizeof(bytes));
		assert_non_null(frame);
		if (ob_net_send(bed.channel, &frame, 1) == 0)
			break;
		sent++;
	}
	ob_packet_put(frame);
	assert_int_equal(sent, ob_net_channel_tx_depth(bed.channel));
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SEND, ob_deadline(SHORT)), -ETIMEDOUT);
	ob_net_kick(bed.channel);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(LONG)), 0);
	while (net_bed_get(&bed, bytes, sizeof(bytes), SHORT) != 0)
		sent--;
	assert_int_equal(sent, 0);
}

static void test_frame_that_leaves_late_interrupts_who_waits_for_it(void **state)
{
	static const char *const kinds[] = {"", "&msi=off"};
	uint8_t frame[100];
	uint32_t tctl;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		open_bed(kinds[i], 1);
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, false);
		tctl = ob_mmio_read32(&nic()->regs, E1000E_TCTL);
		ob_mmio_write32(&nic()->regs, E1000E_TCTL, 0);
		net_bed_fill(frame, sizeof(frame), 1, other);
		net_bed_send(&bed, frame, sizeof(frame));
		assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(SHORT)), -ETIMEDOUT);
		assert_int_equal(net_bed_stats(&bed).interrupts, 0);
		ob_mmio_write32(&nic()->regs, E1000E_TCTL, tctl);
		assert_int_equal(interrupts_within(SHORT), 1);
		assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_SENT, ob_deadline(LONG)), 0);
		assert_int_equal(net_bed_get(&bed, frame, sizeof(frame), LONG), sizeof(frame));
		net_bed_close(&bed);
	}
}

static void test_long_frames_arrive_in_chains(void **state)
{
	static const uint32_t rooms[] = {256, 700, 2048, 16384};
	struct ob_packet_pool_config config = {.count = 2048};
	struct ob_net_channel_config channel = {0};
	struct ob_packet *frame;
	uint8_t bytes[JUMBO];
	bool fits;

	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		uint32_t rctl, buffer = e1000e_buffer_bytes(rooms[i], &rctl);

		open_bed("", 1);
		config.machine = bed.machine;
		config.packet_bytes = rooms[i];
		assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
		assert_int_equal(ob_net_channel_open(bed.net, &channel, &bed.channel), 0);
		/* Too long, until it is let in. */
		put(1, 1700, mac);
		assert_int_equal(ob_net_set_mtu(bed.net, 9000), 0);
		for (size_t len_bytes = 60; len_bytes <= JUMBO; len_bytes = len_bytes == 60 ? 1800 : len_bytes + 7214) {
			put(2, len_bytes, mac);
			assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), 0);
			/* The others of its descriptors may come a moment later. */
			while (ob_net_receive(bed.channel, &frame, 1) == 0)
				net_bed_turn(&bed, OB_NS_PER_MS);
			assert_int_equal(frame->frame_bytes, len_bytes);
			assert_int_equal(frame->segments, DIV_ROUND_UP(len_bytes, buffer));
			assert_int_equal(ob_packet_read(frame, 0, bytes, (uint32_t)len_bytes), 0);
			net_bed_check(bytes, len_bytes, 2);
			ob_packet_put(frame);
		}
		net_bed_fill(bytes, JUMBO, 3, other);
		frame = ob_packet_from(channel.pool, bytes, JUMBO);
		assert_non_null(frame);
		fits = frame->segments <= E1000E_PARTS_MAX;
		assert_int_equal(fits, rooms[i] > 256);
		assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
		ob_net_kick(bed.channel);
		assert_int_equal(net_bed_get(&bed, bytes, sizeof(bytes), fits ? LONG : SHORT), fits ? JUMBO : 0);
		net_bed_check(bytes, JUMBO, 3);
		assert_int_equal(net_bed_stats(&bed).tx_refused, !fits);
		ob_packet_pool_put(channel.pool);
		net_bed_close(&bed);
	}
}

static void test_frame_whose_chain_is_longer_than_it_says_is_refused(void **state)
{
	struct ob_packet *frame, *part;
	uint8_t bytes[200];

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_POLLED, false);
	net_bed_fill(bytes, sizeof(bytes), 1, other);
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, 100);
	part = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, 100);
	ob_packet_chain(frame, part);
	frame->segments = 1;
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	/* … or shorter; or too short at all. */
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, 100);
	frame->frame_bytes = 101;
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), bytes, E1000E_FRAME_TX_MIN - 1);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 1);
	ob_net_kick(bed.channel);
	assert_int_equal(net_bed_get(&bed, bytes, sizeof(bytes), SHORT), 0);
	assert_int_equal(net_bed_stats(&bed).tx_refused, 3);
}

/* ---- filters ---- */

static bool arrives(const uint8_t *destination)
{
	bool came;

	put(1, 100, destination);
	came = net_bed_receive(&bed, 1, SHORT);
	net_bed_clear(&bed);
	return came;
}

static void test_more_addresses_than_fit_let_all_through(void **state)
{
	struct ob_net_filter filter = {.unicast_count = E1000E_RA_COUNT - 1};

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	for (unsigned i = 0; i < OB_NET_FILTER_MAX; i++)
		memcpy(filter.unicast[i], (uint8_t[6]){0x02, 0, 0, 0, 7, (uint8_t)i}, 6);
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_true(arrives(filter.unicast[E1000E_RA_COUNT - 2]));
	assert_false(arrives(filter.unicast[E1000E_RA_COUNT - 1]));
	filter.unicast_count = E1000E_RA_COUNT;
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_true(arrives(filter.unicast[E1000E_RA_COUNT - 1]));
	filter.unicast_count = 0;
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_false(arrives(filter.unicast[0]));
	assert_true(arrives(mac));
}

static bool vlan_arrives(unsigned vid)
{
	uint8_t frame[100];
	bool came;

	net_bed_fill(frame, sizeof(frame), 1, mac);
	net_put16(frame + 12, ETHERNET_TYPE_VLAN);
	net_put16(frame + 14, (uint16_t)vid);
	net_bed_put(&bed, frame, sizeof(frame));
	came = net_bed_receive(&bed, 1, SHORT);
	net_bed_clear(&bed);
	return came;
}

static void test_vlans_are_filtered_from_the_first_to_the_last(void **state)
{
	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	assert_true(vlan_arrives(5));
	assert_int_equal(ob_net_set_vlan(bed.net, 5, true), 0);
	assert_int_equal(ob_net_set_vlan(bed.net, 4094, true), 0);
	assert_true(vlan_arrives(5));
	assert_true(vlan_arrives(4094));
	assert_false(vlan_arrives(37));
	assert_true(arrives(mac));
	/* It lasts. */
	e1000e_queue_break(queue(), "the test");
	await_resets(1);
	assert_true(vlan_arrives(4094));
	assert_false(vlan_arrives(37));
	assert_int_equal(ob_net_set_vlan(bed.net, 5, false), 0);
	assert_false(vlan_arrives(5));
	assert_int_equal(ob_net_set_vlan(bed.net, 4094, false), 0);
	assert_true(vlan_arrives(37));
}

/* ---- the link ---- */

static bool link_becomes(bool up)
{
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_link link;

	do {
		net_bed_turn(&bed, OB_NS_PER_MS);
		ob_net_link(bed.net, &link);
	} while (link.up != up && ob_now_ns() < deadline_ns);
	return link.up == up && (!up || (link.full_duplex && link.speed_mbps == 1000));
}

static void test_link_interrupts_when_it_goes_down_and_up(void **state)
{
	static const char *const kinds[] = {"", "&msi=off"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		open_bed(kinds[i], 1);
		/* Without a channel nobody looks for a minute: it is the interrupt that tells. */
		for (unsigned round = 0; round < 3; round++) {
			assert_true(link_becomes(true));
			net_bed_command(&bed,
					"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"nic0\",\"up\":false}}");
			assert_true(link_becomes(false));
			net_bed_command(&bed,
					"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"nic0\",\"up\":true}}");
			assert_true(link_becomes(true));
		}
		net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
		both_ways(20, 1514);
		net_bed_close(&bed);
	}
}

/* ---- nonsense ---- */

/* A descriptor as a device would have written it, in the next one's place. */
static void pretend(unsigned ahead, uint64_t status, uint32_t bytes)
{
	struct e1000e_queue *q = queue();

	ob_le64_store(&q->rx_ring[(q->rx_head + ahead) % q->rx_entries].status,
		      E1000E_RX_DD | status | FIELD_PREP(E1000E_RX_LENGTH, (uint64_t)bytes));
}

static void test_lengths_that_no_buffer_has_lead_to_a_reset(void **state)
{
	struct ob_packet *frames[4];

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_POLLED, false);
	for (unsigned i = 0; i < 3; i++) {
		/* Behind something good, which is kept or dropped but never lost. */
		pretend(0, i < 2 ? E1000E_RX_EOP : 0, 100);
		pretend(1, i == 0 ? 0 : E1000E_RX_EOP, i == 0 ? 0 : i == 1 ? 2049 : 65535);
		assert_int_equal(ob_net_receive(bed.channel, frames, 4), i < 2);
		if (i < 2)
			ob_packet_put(frames[0]);
		assert_int_equal(ob_net_receive(bed.channel, frames, 4), 0);
		assert_int_equal(net_bed_stats(&bed).broken, i + 1);
		await_resets(i + 1);
	}
	ob_net_channel_close(bed.channel);
	bed.channel = NULL;
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(20, 1514);
}

static void test_frames_that_make_no_sense_are_dropped(void **state)
{
	static const struct {
		uint64_t status;
		uint32_t bytes;
	} wrong[] = {
		{0, 0},    {0, 13},   {E1000E_RX_CE, 100},  {E1000E_RX_SE, 100},  {E1000E_RX_SEQ, 100},
		{0, 1519}, {0, 2048}, {E1000E_RX_CXE, 100}, {E1000E_RX_RXE, 100},
	};
	unsigned count = 0;

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	for (; count < ARRAY_SIZE(wrong); count++)
		pretend(count, E1000E_RX_EOP | wrong[count].status, wrong[count].bytes);
	/* One that does not end for long: it is dropped once, and what follows is whole. */
	for (unsigned i = 0; i < 3; i++)
		pretend(count + i, 0, 2048);
	pretend(count + 3, E1000E_RX_EOP, 100);
	pretend(count + 4, 0, 1000);
	pretend(count + 5, E1000E_RX_EOP, 0);
	ob_net_interrupt(bed.channel);
	assert_true(net_bed_receive(&bed, 1, LONG));
	net_bed_turn(&bed, SHORT);
	assert_int_equal(bed.frame_count, 1);
	assert_int_equal(bed.frames[0]->frame_bytes, 1000);
	assert_int_equal(net_bed_stats(&bed).rx_errors, ARRAY_SIZE(wrong) + 1);
	assert_int_equal(net_bed_stats(&bed).broken, 0);
	net_bed_clear(&bed);
	/* The device knows nothing of these: it goes on where it was. */
	e1000e_queue_break(queue(), "the test");
	await_resets(1);
	both_ways(20, 1514);
}

static void test_frames_that_do_not_leave_lead_to_a_reset(void **state)
{
	uint8_t frame[100];

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	ob_mmio_write32(&nic()->regs, E1000E_TCTL, 0);
	net_bed_fill(frame, sizeof(frame), 1, other);
	net_bed_send(&bed, frame, sizeof(frame));
	await_resets(1);
	assert_true(net_bed_logged(&bed, "does not leave") > 0);
	assert_int_equal(net_bed_stats(&bed).tx_dropped, 1);
	both_ways(20, 1514);
}

static void test_resets_without_a_frame_between_them_end(void **state)
{
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_link link;

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	while (net_bed_logged(&bed, "given up") == 0 && ob_now_ns() < deadline_ns) {
		e1000e_queue_break(queue(), "the test");
		net_bed_turn(&bed, OB_NS_PER_MS);
	}
	assert_int_equal(net_bed_stats(&bed).resets, E1000E_RESETS_MAX);
	ob_net_link(bed.net, &link);
	assert_false(link.up);
	assert_int_equal(ob_net_set_mtu(bed.net, 1400), -ENODEV);
}

/* ---- life ---- */

static void test_suspended_device_hears_of_everything_when_it_resumes(void **state)
{
	struct ob_net_filter filter = {.promiscuous = true};
	struct ob_packet *frame;
	struct ob_device *dev;

	open_bed("", 1);
	dev = ob_net_device(bed.net);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(10, 1514);
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	frame = ob_packet_from(ob_net_channel_pool(bed.channel), mac, 6);
	assert_int_equal(ob_net_send(bed.channel, &frame, 1), 0);
	ob_packet_put(frame);
	assert_int_equal(ob_net_set_filter(bed.net, &filter), 0);
	assert_int_equal(ob_net_set_mtu(bed.net, 2000), 0);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	both_ways(10, 2014);
	assert_true(arrives(other));
	/* A channel that closes and one that opens while it is suspended. */
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	ob_net_channel_close(bed.channel);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	both_ways(10, 2014);
}

static void test_removal_under_load_brings_all_packets_home(void **state)
{
	struct ob_packet_pool_config config = {.count = 1024};
	struct ob_net_channel_config channel = {0};
	struct ob_packet_pool_stats stats;
	struct ob_packet *frames[64];
	struct ob_device *dev;

	open_bed("", 1);
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

/* The slot's power goes, and nobody says so: the service task finds out. */
static void test_device_that_lost_its_power_is_gone(void **state)
{
	const uint32_t off = PCIE_SLTCTL_POWER_OFF | FIELD_PREP(PCIE_SLTCTL_POWER_LED, PCIE_LED_OFF);
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_packet_pool_config config = {.count = 1024};
	struct ob_net_channel_config channel = {0};
	struct ob_packet_pool_stats stats;
	struct ob_device *port;
	unsigned express;
	char uri[512];

	memset(&bed, 0, sizeof(bed));
	net_bed_wire(&bed);
	snprintf(uri, sizeof(uri),
		 "qemu:q35?global=ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"
		 "&device=pcie-root-port,id=port0,bus=pcie.0,addr=2.0,chassis=1,slot=1&e1000e=dgram:%s:%s,bus=port0",
		 bed.theirs, bed.ours);
	assert_int_equal(net_bed_try_open(&bed, uri, 1), 0);
	assert_non_null(bed.net);
	config.machine = bed.machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &channel, &bed.channel), 0);
	net_bed_command(&bed, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nic0\"}}");
	port = ob_device_find(bed.machine, "0000:00:02.0");
	assert_non_null(port);
	express = ob_pci_find_capability(port, PCI_CAP_ID_EXPRESS, 0);
	assert_int_not_equal(express, 0);
	ob_pci_write(port, express + PCIE_SLTCTL, 2, off);
	ob_device_put(port);
	while (ob_net_online(bed.net) && ob_now_ns() < deadline_ns)
		net_bed_turn(&bed, OB_NS_PER_MS);
	assert_false(ob_net_online(bed.net));
	assert_true(net_bed_logged(&bed, "its status is nobody's") > 0);
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), -ENODEV);
	ob_packet_pool_stats(channel.pool, &stats);
	assert_int_equal(stats.free, config.count);
	ob_packet_pool_put(channel.pool);
}

static void test_killed_qemu_ends_everything(void **state)
{
	uint64_t deadline_ns = ob_deadline(LONG);

	open_bed("", 1);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(10, 1514);
	kill(((struct qemu *)(void *)bed.machine->m)->supervisor.process.pid, SIGKILL);
	while (ob_net_online(bed.net) && ob_now_ns() < deadline_ns)
		net_bed_turn(&bed, OB_NS_PER_MS);
	assert_false(ob_net_online(bed.net));
	assert_int_equal(ob_net_wait(bed.channel, OB_NET_WAIT_RECEIVE, ob_deadline(LONG)), -ENODEV);
}

static void count_frames(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	ob_packet_put_burst(frames, count);
	__atomic_fetch_add((unsigned *)arg, count, __ATOMIC_RELAXED);
}

static void test_channel_of_another_cpu_has_its_own_vector(void **state)
{
	unsigned came = 0;
	struct ob_net_channel_config config = {.received = count_frames, .arg = &came};
	uint64_t deadline_ns = ob_deadline(LONG);
	struct ob_net_channel *channel;
	struct ob_net_stats stats;

	open_bed("", 2);
	config.cpu = ob_cpu_get(bed.ob, 1);
	assert_int_equal(ob_cpu_start(config.cpu, -1), 0);
	assert_int_equal(ob_net_channel_open(bed.net, &config, &channel), 0);
	assert_int_equal(ob_net_channel_mode(channel), OB_COMPLETION_INTERRUPT);
	for (unsigned i = 0; i < 20; i++)
		put(i, 100, mac);
	while (__atomic_load_n(&came, __ATOMIC_RELAXED) < 20 && ob_now_ns() < deadline_ns)
		net_bed_turn(&bed, OB_NS_PER_MS);
	assert_int_equal(came, 20);
	ob_net_channel_close(channel);
	ob_net_stats(bed.net, &stats);
	assert_true(stats.interrupts > 0);
	assert_int_equal(stats.rx_errors, 0);
	ob_cpu_stop(config.cpu);
	assert_int_equal(net_bed_logged(&bed, "does not answer"), 0);
}

static void test_both_drivers_bind_on_one_machine(void **state)
{
	struct ob_net *first, *second;

	open_bed("&virtio-net=user", 1);
	first = ob_net_next(bed.ob, NULL);
	assert_string_equal(ob_device_driver_name(ob_net_device(first)), "e1000e");
	second = ob_net_next(bed.ob, first);
	assert_non_null(second);
	assert_string_equal(ob_device_driver_name(ob_net_device(second)), "virtio-net");
	ob_net_put(second);
}

/* ---- failing calls ---- */

struct nth {
	unsigned left;
	bool failed;
};

static bool fail_nth(void *arg, const char *call)
{
	struct nth *nth = arg;

	if (nth->left == 0 || --nth->left > 0)
		return false;
	nth->failed = true;
	return true;
}

static void test_each_call_of_probe_and_open_may_fail(void **state)
{
	struct nth nth = {0};
	const struct ob_hooks hooks = {.arg = &nth, .fail = fail_nth};
	struct ob_net_channel_config config = {0};
	unsigned refused = 0;
	struct ob_device *dev;

	open_bed("", 1);
	dev = ob_device_get(ob_net_device(bed.net));
	for (unsigned i = 1;; i++) {
		int ret;

		ob_net_put(bed.net);
		bed.net = NULL;
		assert_int_equal(ob_device_unbind(dev), 0);
		nth = (struct nth){.left = i};
		ob_set_hooks(bed.ob, &hooks);
		ret = ob_device_bind(dev);
		if (ret == 0) {
			bed.net = ob_net_find(bed.ob, NULL);
			ret = ob_net_channel_open(bed.net, &config, &bed.channel);
			if (ret == 0)
				ob_net_channel_close(bed.channel);
			bed.channel = NULL;
		}
		ob_set_hooks(bed.ob, NULL);
		refused += ret != 0;
		if (!nth.failed)
			break;
		if (bed.net == NULL)
			assert_int_equal(ob_device_bind(dev), 0);
		else
			ob_net_put(bed.net);
		bed.net = ob_net_find(bed.ob, NULL);
	}
	assert_true(refused >= 8);
	ob_device_put(dev);
	net_bed_channel(&bed, OB_COMPLETION_INTERRUPT, true);
	both_ways(10, 1514);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_interrupts_of_both_kinds_bring_frames, teardown),
		cmocka_unit_test_teardown(test_sending_interrupts_who_waits_for_room, teardown),
		cmocka_unit_test_teardown(test_frame_that_leaves_late_interrupts_who_waits_for_it, teardown),
		cmocka_unit_test_teardown(test_long_frames_arrive_in_chains, teardown),
		cmocka_unit_test_teardown(test_frame_whose_chain_is_longer_than_it_says_is_refused, teardown),
		cmocka_unit_test_teardown(test_more_addresses_than_fit_let_all_through, teardown),
		cmocka_unit_test_teardown(test_vlans_are_filtered_from_the_first_to_the_last, teardown),
		cmocka_unit_test_teardown(test_link_interrupts_when_it_goes_down_and_up, teardown),
		cmocka_unit_test_teardown(test_lengths_that_no_buffer_has_lead_to_a_reset, teardown),
		cmocka_unit_test_teardown(test_frames_that_make_no_sense_are_dropped, teardown),
		cmocka_unit_test_teardown(test_frames_that_do_not_leave_lead_to_a_reset, teardown),
		cmocka_unit_test_teardown(test_resets_without_a_frame_between_them_end, teardown),
		cmocka_unit_test_teardown(test_suspended_device_hears_of_everything_when_it_resumes, teardown),
		cmocka_unit_test_teardown(test_removal_under_load_brings_all_packets_home, teardown),
		cmocka_unit_test_teardown(test_device_that_lost_its_power_is_gone, teardown),
		cmocka_unit_test_teardown(test_killed_qemu_ends_everything, teardown),
		cmocka_unit_test_teardown(test_channel_of_another_cpu_has_its_own_vector, teardown),
		cmocka_unit_test_teardown(test_both_drivers_bind_on_one_machine, teardown),
		cmocka_unit_test_teardown(test_each_call_of_probe_and_open_may_fail, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
