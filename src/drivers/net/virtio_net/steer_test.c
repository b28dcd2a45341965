/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several pairs of queues on QEMU's device, behind a TAP device of the kernel that has as many queues: frames of all kinds
 * come in on the channel that the Toeplitz hash and the table name, and carry that hash when it is asked for (VIRTIO 1.2
 * §5.1.6.4.3); without RSS they come where frames of their flow were last sent (§5.1.6.5.6, "automatic receive steering").
 *
 * The kernel's end is a packet socket on the TAP device, in a network namespace of the test's own; without the right to
 * that it is skipped.
 */
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/net/virtio_net/virtio_net.h"
#include "tests/net_bed.h"
#include "tests/random.h"

#define PAIRS   4u
#define TAP     "obsteer"
#define WAIT_NS (20 * OB_NS_PER_S)
#define FLOWS   160u
#define MARK_AT 100u /* of a frame's number, behind all headers */
#define FRAME   128u

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56}; /* QEMU's first */
static const uint8_t other[6] = {0x52, 0x54, 0, 0x99, 0x99, 0x99};

static struct net_bed bed;
static struct ob_net_channel *channels[PAIRS];
static struct ob_packet *arrived; /* the last one that a received function got */
static struct ob_net_channel *arrived_on;
static struct random random_numbers;
static int wire = -1;

/* ---- the kernel's end ---- */

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	/* A kernel without IPv6 has nothing to say by it. */
	if (file == NULL)
		return;
	fputs(text, file);
	fclose(file);
}

/* Up, with nothing of the kernel's own on it. */
static void wire_open(void)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = 0x0300 /* ETH_P_ALL, network order */};
	struct ifreq request = {.ifr_name = TAP};

	write_text("/proc/sys/net/ipv6/conf/" TAP "/disable_ipv6", "1");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(wire >= 0);
	assert_int_equal(ioctl(wire, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(wire, SIOCSIFFLAGS, &request), 0);
	address.sll_ifindex = (int)if_nametoindex(TAP);
	assert_int_equal(bind(wire, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* Until the kernel has it: the device's queue may be full, or its carrier not up yet. */
static void wire_put(const uint8_t *frame)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);

	while (send(wire, frame, FRAME, 0) != (ssize_t)FRAME) {
		assert_true(errno == EAGAIN || errno == ENOBUFS || errno == ENETDOWN || errno == ENXIO);
		assert_true(ob_now_ns() < deadline_ns);
		net_bed_turn(&bed, OB_NS_PER_MS);
	}
}

static void wire_await(uint32_t mark)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);
	uint8_t frame[2048];

	do {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(wire, frame, sizeof(frame), 0, (struct sockaddr *)&from, &len);

		/* It hears what it sends itself, too. */
		if (n == (ssize_t)FRAME && from.sll_pkttype != PACKET_OUTGOING && net_get32(frame + MARK_AT) == mark)
			return;
		if (n < 0)
			net_bed_turn(&bed, 100 * OB_NS_PER_US);
	} while (ob_now_ns() < deadline_ns);
	fail_msg("frame %u did not leave", mark);
}

/* ---- flows ---- */

struct flow {
	uint8_t frame[FRAME];
	uint8_t input[36]; /* of the hash, in the order of §5.1.6.4.3 */
	unsigned input_bytes;
	enum ob_hash type;
};

static void put_noise(uint8_t *to, unsigned len_bytes)
{
	for (unsigned i = 0; i < len_bytes; i++)
		to[i] = (uint8_t)random_next(&random_numbers);
}

/* With two ports behind the addresses for TCP and UDP. */
static void make_ports(struct flow *f, unsigned at, uint8_t protocol)
{
	if (protocol != IP_PROTOCOL_TCP && protocol != IP_PROTOCOL_UDP)
		return;
	put_noise(f->frame + at, 4);
	memcpy(f->input + f->input_bytes, f->frame + at, 4);
	f->input_bytes += 4;
	if (protocol == IP_PROTOCOL_TCP)
		f->frame[at + offsetof(struct tcp_header, data_offset)] = 5 << 4;
	else
		net_put16(f->frame + at + offsetof(struct udp_header, length), (uint16_t)(FRAME - at));
}

static void make_ip4(struct flow *f, uint8_t protocol)
{
	struct ip4_header *ip = (void *)(f->frame + ETHERNET_HEADER_BYTES);

	net_put16(f->frame + 12, ETHERNET_TYPE_IP4);
	*ip = (struct ip4_header){.version_ihl = 0x45, .ttl = 9, .protocol = protocol};
	net_put16(ip->total_bytes, FRAME - ETHERNET_HEADER_BYTES);
	put_noise(ip->source, 4);
	put_noise(ip->destination, 4);
	net_put16(ip->checksum, net_checksum(ip, sizeof(*ip)));
	memcpy(f->input, ip->source, 8);
	f->input_bytes = 8;
	make_ports(f, ETHERNET_HEADER_BYTES + sizeof(*ip), protocol);
}

static void make_ip6(struct flow *f, uint8_t protocol)
{
	struct ip6_header *ip = (void *)(f->frame + ETHERNET_HEADER_BYTES);

	net_put16(f->frame + 12, ETHERNET_TYPE_IP6);
	*ip = (struct ip6_header){.version_class_flow = {0x60}, .next_header = protocol, .hop_limit = 9};
	net_put16(ip->payload_bytes, FRAME - ETHERNET_HEADER_BYTES - sizeof(*ip));
	put_noise(ip->source, 16);
	put_noise(ip->destination, 16);
	memcpy(f->input, ip->source, 32);
	f->input_bytes = 32;
	make_ports(f, ETHERNET_HEADER_BYTES + sizeof(*ip), protocol);
}

/* One after the other of each kind, the last of which is none that is hashed. */
static void make_flow(struct flow *f, uint32_t mark)
{
	static const enum ob_hash types[] = {OB_HASH_TCP4, OB_HASH_UDP4, OB_HASH_IP4, OB_HASH_TCP6,
					     OB_HASH_UDP6, OB_HASH_IP6,  OB_HASH_NONE};
	static const uint8_t protocols[] = {
		[OB_HASH_IP4] = 253, /* for experiments: RFC 3692 */
		[OB_HASH_TCP4] = IP_PROTOCOL_TCP,
		[OB_HASH_UDP4] = IP_PROTOCOL_UDP,
		[OB_HASH_IP6] = 253,
		[OB_HASH_TCP6] = IP_PROTOCOL_TCP,
		[OB_HASH_UDP6] = IP_PROTOCOL_UDP,
	};

	*f = (struct flow){.type = types[mark % ARRAY_SIZE(types)]};
	memcpy(f->frame, mac, 6);
	memcpy(f->frame + 6, other, 6);
	net_put16(f->frame + 12, ETHERNET_TYPE_TEST);
	if (f->type >= OB_HASH_IP6)
		make_ip6(f, protocols[f->type]);
	else if (f->type != OB_HASH_NONE)
		make_ip4(f, protocols[f->type]);
	net_put32(f->frame + MARK_AT, mark);
}

/* ---- our end ---- */

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	for (unsigned i = 0; i < count; i++) {
		ob_packet_put(arrived);
		arrived = frames[i];
		arrived_on = channel;
	}
}

static void open_bed(const char *properties, enum ob_completion_mode mode)
{
	const struct ob_net_channel_config config = {.poll.mode = mode, .received = received};
	char uri[256];

	memset(&bed, 0, sizeof(bed));
	random_numbers.state = 11;
	snprintf(uri, sizeof(uri), "qemu:q35?virtio-net=tap:" TAP ",queues=%u%s", PAIRS, properties);
	assert_int_equal(net_bed_try_open(&bed, uri, 1), 0);
	if (bed.net == NULL)
		fail_msg("no interface:\n%s", bed.log.text);
	wire_open();
	for (unsigned i = 0; i < PAIRS; i++)
		assert_int_equal(ob_net_channel_open(bed.net, &config, &channels[i]), 0);
}

static int teardown(void **state)
{
	ob_packet_put(arrived);
	arrived = NULL;
	for (unsigned i = 0; i < PAIRS; i++) {
		ob_net_channel_close(channels[i]);
		channels[i] = NULL;
	}
	if (wire >= 0)
		close(wire);
	wire = -1;
	net_bed_close(&bed);
	return 0;
}

/* The channel that the frame with this number came in on; it is in arrived. */
static unsigned await(uint32_t mark)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);

	do {
		ob_packet_put(arrived);
		arrived = NULL;
		while (arrived == NULL && ob_now_ns() < deadline_ns)
			ob_cpu_turn(ob_cpu_get(bed.ob, 0), OB_NS_PER_MS);
		if (arrived == NULL)
			fail_msg("frame %u did not come\n%s", mark, bed.log.text);
	} while (arrived->frame_bytes != FRAME || net_get32(arrived->data + MARK_AT) != mark);
	return ob_net_channel_index(arrived_on);
}

static void check_hash(const struct flow *f, uint32_t hash, bool reported)
{
	if (!reported || f->type == OB_HASH_NONE) {
		assert_int_equal(arrived->flags & OB_PACKET_HASH, 0);
		return;
	}
	assert_int_equal(arrived->flags & OB_PACKET_HASH, OB_PACKET_HASH);
	assert_int_equal(arrived->hash_type, f->type);
	assert_int_equal(arrived->hash, hash);
}

/* All of them come where the table says, and all channels that it names get some. */
static void check_steering(const struct ob_net_rss *rss, bool reported)
{
	unsigned seen[PAIRS] = {0}, named[PAIRS] = {0};

	for (uint32_t mark = 0; mark < FLOWS; mark++) {
		struct flow f;
		uint32_t hash;
		unsigned channel;

		make_flow(&f, mark);
		hash = ob_net_toeplitz(rss->key, rss->key_bytes, f.input, f.input_bytes);
		wire_put(f.frame);
		channel = await(mark);
		assert_memory_equal(arrived->data, f.frame, FRAME);
		if (f.type != OB_HASH_NONE)
			assert_int_equal(channel, rss->table[hash % rss->table_count]);
		else
			assert_int_equal(channel, rss->unclassified);
		check_hash(&f, hash, reported);
		seen[channel]++;
	}
	for (unsigned i = 0; i < rss->table_count; i++)
		named[rss->table[i]]++;
	for (unsigned i = 0; i < PAIRS; i++)
		assert_int_equal(seen[i] > 0, named[i] > 0 || rss->unclassified == i);
}

static void steer(const char *properties, enum ob_completion_mode mode)
{
	struct ob_net_info info;
	struct ob_net_rss rss;

	open_bed(properties, mode);
	ob_net_info(bed.net, &info);
	assert_int_equal(info.channels_max, PAIRS);
	assert_true((info.abilities & OB_NET_CAN_RSS) != 0);
	ob_net_rss_default(bed.net, PAIRS, &rss);
	rss.unclassified = 2;
	assert_int_equal(ob_net_set_rss(bed.net, &rss), 0);
	check_steering(&rss, false);
	/* Another key, another table that leaves one channel out; and the hash, for which the device is made anew. */
	for (unsigned i = 0; i < rss.key_bytes; i++)
		rss.key[i] = (uint8_t)(rss.key[i] * 5 + i);
	for (unsigned i = 0; i < rss.table_count; i++)
		rss.table[i] = (uint16_t)(1 + i / 5 % (PAIRS - 1));
	rss.unclassified = 3;
	assert_int_equal(ob_net_set_rss(bed.net, &rss), 0);
	assert_int_equal(ob_net_set_offloads(bed.net, info.offloads_on | OB_NET_RX_HASH), 0);
	check_steering(&rss, true);
	assert_int_equal(ob_device_suspend(ob_net_device(bed.net), ob_deadline(WAIT_NS)), 0);
	assert_int_equal(ob_device_resume(ob_net_device(bed.net), ob_deadline(WAIT_NS)), 0);
	check_steering(&rss, true);
	assert_int_equal(net_bed_stats(&bed).rx_errors + net_bed_stats(&bed).broken, 0);
	teardown(NULL);
}

static void test_flows_come_where_hash_and_table_say(void **state)
{
	steer(",rss=on,hash=on", OB_COMPLETION_POLLED);
	steer(",rss=on,hash=on,packed=on", OB_COMPLETION_INTERRUPT);
}

static void test_hash_is_reported_without_steering(void **state)
{
	struct ob_net_info info;
	struct ob_net_rss rss;

	open_bed(",hash=on", OB_COMPLETION_HYBRID);
	ob_net_info(bed.net, &info);
	assert_int_equal(info.abilities & OB_NET_CAN_RSS, 0);
	assert_int_equal(info.offloads & OB_NET_RX_HASH, OB_NET_RX_HASH);
	assert_int_equal(ob_net_set_offloads(bed.net, info.offloads_on | OB_NET_RX_HASH), 0);
	ob_net_rss_default(bed.net, 1, &rss);
	for (uint32_t mark = 0; mark < FLOWS; mark++) {
		struct flow f;

		make_flow(&f, mark);
		wire_put(f.frame);
		await(mark);
		check_hash(&f, ob_net_toeplitz(rss.key, rss.key_bytes, f.input, f.input_bytes), true);
	}
}

/* ---- several pairs, and no table ---- */

static void send_from(unsigned channel, const uint8_t *frame)
{
	struct ob_packet *packet = ob_packet_from(ob_net_channel_pool(channels[channel]), frame, FRAME);

	assert_non_null(packet);
	assert_int_equal(ob_net_send(channels[channel], &packet, 1), 1);
	ob_net_kick(channels[channel]);
}

/* The same flow, from the other side. */
static void turn_round(const struct flow *f, uint8_t *out)
{
	struct ip4_header *ip = (void *)(out + ETHERNET_HEADER_BYTES);
	uint8_t *ports = out + ETHERNET_HEADER_BYTES + sizeof(*ip);
	uint8_t keep[4];

	memcpy(out, f->frame, FRAME);
	memcpy(out, other, 6);
	memcpy(out + 6, mac, 6);
	memcpy(keep, ip->source, 4);
	memcpy(ip->source, ip->destination, 4);
	memcpy(ip->destination, keep, 4);
	memcpy(keep, ports, 2);
	memcpy(ports, ports + 2, 2);
	memcpy(ports + 2, keep, 2);
}

/* A pair that the device does not take part in would neither send nor receive: MQ_VQ_PAIRS_SET switched all on. */
static void test_flow_comes_back_on_the_pair_that_sent(void **state)
{
	static const char *const rings[] = {"", ",packed=on"};

	for (unsigned r = 0; r < ARRAY_SIZE(rings); r++) {
		open_bed(rings[r], OB_COMPLETION_INTERRUPT);
		assert_true(vnet_has(ob_net_driver_data(bed.net), VIRTIO_NET_F_MQ));
		for (uint32_t mark = 1; mark <= 60; mark++) {
			unsigned channel = mark * 7 / 3 % PAIRS;
			struct flow f = {.input_bytes = 0};
			uint8_t sent[FRAME];

			memcpy(f.frame, mac, 6);
			memcpy(f.frame + 6, other, 6);
			make_ip4(&f, IP_PROTOCOL_TCP);
			net_put32(f.frame + MARK_AT, mark);
			turn_round(&f, sent);
			send_from(channel, sent);
			wire_await(mark);
			wire_put(f.frame);
			assert_int_equal(await(mark), channel);
		}
		/* With one left, what was for the others comes there. */
		for (unsigned i = 1; i < PAIRS; i++) {
			ob_net_channel_close(channels[i]);
			channels[i] = NULL;
		}
		for (uint32_t mark = 100; mark < 120; mark++) {
			struct flow f;

			make_flow(&f, mark);
			wire_put(f.frame);
			await(mark);
		}
		teardown(NULL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_flows_come_where_hash_and_table_say, teardown),
		cmocka_unit_test_teardown(test_hash_is_reported_without_steering, teardown),
		cmocka_unit_test_teardown(test_flow_comes_back_on_the_pair_that_sent, teardown),
	};

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		puts("skipped: no right to a network namespace, or no /dev/net/tun");
		return 77;
	}
	return cmocka_run_group_tests_name("virtio-net/steer", tests, NULL, NULL);
}
