/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TAP devices in front of an interface in memory: what is changed of the interface while there is one, and what becomes of
 * it when somebody deletes the device, sets it down, or gives it another MTU. In a network namespace of the test's own;
 * without the right to that it is skipped.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/tap.h>

#include "core/context.h"
#include "net/net.h"
#include "spec/ethernet.h"
#include "tests/context.h"
#include "tests/ram_machine.h"
#include "tests/ram_net.h"

static struct context context;
static struct ob_machine *machine;
static struct ram_net *ram;

static int setup(void **state)
{
	context_open(&context, 1);
	context.ob->config.log_level = OB_LOG_WARN;
	assert_int_equal(ram_machine_open(context.ob, &machine), 0);
	assert_int_equal(ram_net_create(machine, &ram), 0);
	/* As if it could make checksums. */
	ram->net->info.offloads |= OB_NET_TX_CSUM;
	ram->net->info.offloads_on = OB_NET_TX_CSUM;
	ram->offloads = OB_NET_TX_CSUM;
	return 0;
}

static int teardown(void **state)
{
	ram_net_destroy(ram);
	ob_machine_close(machine);
	context_close(&context);
	return 0;
}

/* One line, and this. */
static void said(const char *what)
{
	assert_int_equal(context.lines, 1);
	assert_non_null(strstr(context.last, what));
	context.lines = 0;
}

static void test_offloads_of_sending_stay_on_and_come_back(void **state)
{
	struct ob_net_info info;
	struct ob_tap *tap;

	assert_int_equal(ob_tap_create(ram->net, NULL, &tap), 0);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM | OB_NET_RX_CSUM);
	ob_tap_destroy(tap);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM);
	ob_net_info(ram->net, &info);
	assert_int_equal(info.offloads_on, OB_NET_TX_CSUM);
}

static void test_creation_that_fails_changes_nothing(void **state)
{
	const struct ob_tap_config config = {.name = "not/a/name"};
	unsigned told = ram->told;
	struct ob_tap *tap;

	assert_int_equal(ob_tap_create(ram->net, &config, &tap), -EINVAL);
	assert_int_equal(ram->told, told);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM);
	said("no name for an interface");
}

/* Its descriptor is readable for ever then. */
static void test_device_that_is_deleted_is_let_go(void **state)
{
	struct ob_cpu *cpu = ob_cpu_get(context.ob, 0);
	uint64_t begin_ns;
	struct ob_tap *tap;
	char command[64];

	assert_int_equal(ob_tap_create(ram->net, NULL, &tap), 0);
	snprintf(command, sizeof(command), "ip link del %s", ob_tap_name(tap));
	assert_true(ob_tap_online(tap));
	assert_int_equal(system(command), 0);
	/* It is noticed, and then there is nothing more to do. */
	for (unsigned i = 0; i < 20; i++)
		ob_cpu_turn(cpu, OB_NS_PER_MS);
	assert_false(ob_tap_online(tap));
	begin_ns = ob_now_ns();
	ob_cpu_turn(cpu, 50 * OB_NS_PER_MS);
	assert_true(ob_now_ns() - begin_ns >= 40 * OB_NS_PER_MS);
	ob_tap_destroy(tap);
	said("somebody deleted it");
}

/* ---- what others do to it ---- */

#define WAIT_NS (10 * OB_NS_PER_S)

/* Both sides of the TAP device: the kernel's, a packet socket on it, and the far end of the interface's wire. */
static struct bridge {
	struct ob_tap *tap;
	struct ram_net *far;
	struct ob_net_channel *channel; /* of the far end */
	int socket;
} bridge;

static void set(unsigned long what, int value)
{
	struct ifreq request = {.ifr_mtu = value};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ob_tap_name(bridge.tap));
	if (what == SIOCSIFFLAGS)
		request.ifr_flags = (short)value;
	assert_int_equal(ioctl(bridge.socket, what, &request), 0);
}

static void bridge_open(bool no_offloads)
{
	const struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_INTERRUPT};
	struct ob_tap_config tap = {.name = "obtap0", .no_offloads = no_offloads};
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = 0x0300 /* all, in network order */};
	FILE *six;

	assert_int_equal(ram_net_create(machine, &bridge.far), 0);
	ram_net_connect(ram, bridge.far);
	assert_int_equal(ob_net_channel_open(bridge.far->net, &config, &bridge.channel), 0);
	assert_int_equal(ob_tap_create(ram->net, &tap, &bridge.tap), 0);
	/* The kernel says nothing of its own on it. */
	six = fopen("/proc/sys/net/ipv6/conf/obtap0/disable_ipv6", "we");
	if (six != NULL) {
		fputs("1", six);
		fclose(six);
	}
	bridge.socket = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(bridge.socket >= 0);
	set(SIOCSIFFLAGS, IFF_UP);
	address.sll_ifindex = (int)if_nametoindex("obtap0");
	assert_int_equal(bind(bridge.socket, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void bridge_close(void)
{
	close(bridge.socket);
	ob_tap_destroy(bridge.tap);
	ob_net_channel_close(bridge.channel);
	ram_net_destroy(bridge.far);
	bridge = (struct bridge){.socket = -1};
}

static struct ob_tap_stats turn(void)
{
	struct ob_tap_stats stats;

	ob_cpu_turn(ob_cpu_get(context.ob, 0), OB_NS_PER_MS);
	ob_tap_stats(bridge.tap, &stats);
	return stats;
}

static void make_frame(uint8_t *frame, unsigned len_bytes, uint8_t seed)
{
	for (unsigned i = 0; i < len_bytes; i++)
		frame[i] = (uint8_t)(seed + i * 7 + (i >> 8));
	memset(frame, 0xff, 6);
	memset(frame + 6, 2, 6);
	net_put16(frame + 12, ETHERNET_TYPE_TEST);
}

/* From the far end into the kernel; false: it is dropped. */
static bool comes_in(unsigned len_bytes, uint8_t seed)
{
	uint64_t dropped = turn().to_kernel_dropped, deadline_ns = ob_deadline(WAIT_NS);
	uint8_t frame[2000], got[2000];
	struct ob_packet *packet;

	make_frame(frame, len_bytes, seed);
	packet = ob_packet_from(ob_net_channel_pool(bridge.channel), frame, len_bytes);
	assert_int_equal(ob_net_send(bridge.channel, &packet, 1), 1);
	ob_net_kick(bridge.channel);
	while (ob_now_ns() < deadline_ns) {
		ssize_t len = recv(bridge.socket, got, sizeof(got), 0);

		if (len == (ssize_t)len_bytes && memcmp(frame, got, len_bytes) == 0)
			return true;
		if (len < 0 && turn().to_kernel_dropped > dropped)
			return false;
		ob_net_reap(bridge.channel);
	}
	fail_msg("a frame to the kernel neither arrives nor is dropped");
	return false;
}

/* The next frame that is at the far end; its length. */
static unsigned await(uint8_t *frame)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);
	struct ob_packet *packet;
	unsigned len_bytes;

	while (ob_net_receive(bridge.channel, &packet, 1) == 0) {
		turn();
		assert_true(ob_now_ns() < deadline_ns);
	}
	len_bytes = packet->frame_bytes;
	assert_int_equal(ob_packet_read(packet, 0, frame, len_bytes), 0);
	ob_packet_put(packet);
	return len_bytes;
}

/* From the kernel to the far end; one that must arrive is sent behind it, so that nobody waits for what does not. */
static bool goes_out(unsigned len_bytes, uint8_t seed)
{
	uint8_t frame[9018], behind[64], got[9018];
	unsigned got_bytes;

	make_frame(frame, len_bytes, seed);
	make_frame(behind, sizeof(behind), (uint8_t)(seed + 100));
	assert_int_equal(send(bridge.socket, frame, len_bytes, 0), len_bytes);
	assert_int_equal(send(bridge.socket, behind, sizeof(behind), 0), sizeof(behind));
	got_bytes = await(got);
	if (got_bytes == sizeof(behind) && memcmp(got, behind, sizeof(behind)) == 0)
		return false;
	/* What is cut short would be worse than what is lost. */
	assert_int_equal(got_bytes, len_bytes);
	assert_memory_equal(got, frame, len_bytes);
	assert_int_equal(await(got), sizeof(behind));
	return true;
}

static void test_device_that_is_down_drops_and_goes_on(void **state)
{
	bridge_open(false);
	assert_true(comes_in(100, 1));
	assert_true(goes_out(100, 2));
	set(SIOCSIFFLAGS, 0);
	assert_false(comes_in(100, 3));
	assert_int_equal(turn().to_kernel_dropped, 1);
	assert_true(ob_tap_online(bridge.tap));
	set(SIOCSIFFLAGS, IFF_UP);
	assert_true(comes_in(1514, 4));
	assert_true(goes_out(1514, 5));
	assert_int_equal(context.lines, 0);
	bridge_close();
}

static void test_frames_of_a_longer_mtu_are_dropped_and_told_of_once(void **state)
{
	for (unsigned no_offloads = 0; no_offloads < 2; no_offloads++) {
		bridge_open(no_offloads != 0);
		set(SIOCSIFMTU, 9000);
		assert_true(goes_out(1514, 1));
		assert_false(goes_out(1519, 2));
		said("its MTU is more than the 1500 of");
		assert_false(goes_out(9014, 3));
		assert_int_equal(turn().from_kernel_dropped, 2);
		assert_true(goes_out(1514, 4));
		assert_true(comes_in(1514, 5));
		/* And shorter is fine. */
		set(SIOCSIFMTU, 600);
		assert_true(goes_out(614, 6));
		assert_int_equal(context.lines, 0);
		assert_int_equal(turn().from_kernel_dropped, 2);
		bridge_close();
	}
}

#define LONG_BYTES  65000u
#define LONG_FRAMES 200u

/* TCP of which the kernel's end leaves the segments open, as the header in front says. */
static void send_long(void)
{
	static struct {
		struct virtio_net_hdr open;
		uint8_t frame[LONG_BYTES];
	} out = {.open = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			  .hdr_len = 54,
			  .gso_size = 1448,
			  .csum_start = 34,
			  .csum_offset = 16}};
	struct ip4_header *ip = (void *)(out.frame + 14);

	memset(out.frame, 0xff, 6);
	net_put16(out.frame + 12, ETHERNET_TYPE_IP4);
	ip->version_ihl = 0x45;
	ip->protocol = IP_PROTOCOL_TCP;
	net_put16(ip->total_bytes, (uint16_t)(LONG_BYTES - 14));
	((struct tcp_header *)(void *)(out.frame + 34))->data_offset = 0x50;
	assert_int_equal(send(bridge.socket, &out, sizeof(out), 0), sizeof(out));
}

/* Times that there was no packet. */
static uint64_t empty(void)
{
	struct ob_packet_pool_stats stats;

	ob_packet_pool_stats(ob_net_channel_pool(ob_tap_channel(bridge.tap)), &stats);
	return stats.empty;
}

/* An interface that sends nothing for a while has all packets before its ring is full: that is waited for, not turned. */
static void test_packets_that_run_out_are_waited_for(void **state)
{
	const uint32_t can = OB_NET_TX_CSUM | OB_NET_TX_TSO4 | OB_NET_TX_TSO6 | OB_NET_TX_ECN;
	uint64_t deadline_ns = ob_deadline(WAIT_NS), end_ns, before;
	int bytes = 64 << 20, on = 1, ret;

	ram->net->info.offloads |= can;
	ram->net->info.offloads_on |= can;
	ram->can = can;
	bridge_open(false);
	ret = setsockopt(bridge.socket, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on));
	/* Nothing that emulates the kernel's calls for another processor knows the option. */
	if (ret != 0 && errno == ENOPROTOOPT) {
		bridge_close();
		puts("skipped: no PACKET_VNET_HDR here (qemu-user)");
		skip();
	}
	assert_int_equal(ret, 0);
	assert_int_equal(setsockopt(bridge.socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)), 0);
	ram->stuck = true;
	for (unsigned i = 0; i < LONG_FRAMES; i++)
		send_long();
	while (empty() == 0) {
		turn();
		assert_true(ob_now_ns() < deadline_ns);
	}
	assert_in_range(turn().from_kernel_frames, 128, LONG_FRAMES - 1);
	before = empty();
	for (end_ns = ob_deadline(300 * OB_NS_PER_MS); ob_now_ns() < end_ns;)
		turn();
	assert_in_range(empty() - before, 1, 10000);
	ram->stuck = false;
	while (turn().from_kernel_frames < LONG_FRAMES) {
		struct ob_packet *packet;

		while (ob_net_receive(bridge.channel, &packet, 1) > 0)
			ob_packet_put(packet);
		assert_true(ob_now_ns() < deadline_ns);
	}
	bridge_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offloads_of_sending_stay_on_and_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_creation_that_fails_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_that_is_deleted_is_let_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_that_is_down_drops_and_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_of_a_longer_mtu_are_dropped_and_told_of_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_packets_that_run_out_are_waited_for, setup, teardown),
	};

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		puts("skipped: no right to a network namespace, or no /dev/net/tun");
		return 77;
	}
	return cmocka_run_group_tests_name("serve/tap", tests, NULL, NULL);
}
