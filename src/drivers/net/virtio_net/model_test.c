/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver between two modelled devices on one cable: offloads that frames come with, receive side scaling, hashes,
 * several pairs that come and go; and probes whose Nth call fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hooks.h"
#include "drivers/net/virtio_net/virtio_net.h"
#include "tests/context.h"
#include "tests/random.h"

#define PAIRS   4u
#define WAIT_NS (10 * OB_NS_PER_S)

static struct context context;
static struct ob_machine *machine;
static struct ob_net *left, *right;
static struct ob_net_channel *in[PAIRS], *out;
static struct ob_packet_pool *pool; /* of out */

static void world_open(const char *shape)
{
	char uri[128];

	context_open(&context, 1);
	snprintf(uri, sizeof(uri), "model:?virtio-net=a&queues=4%s&virtio-net=a", shape);
	assert_int_equal(ob_machine_open(context.ob, uri, NULL, &machine), 0);
	left = ob_net_find(context.ob, "net0");
	right = ob_net_find(context.ob, "net1");
	assert_non_null(left);
	assert_non_null(right);
}

static void open_channels(unsigned count)
{
	struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_POLLED};

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(ob_net_channel_open(left, &config, &in[i]), 0);
		assert_int_equal(ob_net_channel_index(in[i]), i);
	}
	assert_int_equal(ob_net_channel_open(right, &config, &out), 0);
	pool = ob_net_channel_pool(out);
}

static void world_close_channels(void)
{
	for (unsigned i = 0; i < PAIRS; i++) {
		ob_net_channel_close(in[i]);
		in[i] = NULL;
	}
	ob_net_channel_close(out);
	out = NULL;
}

static void world_close(void)
{
	world_close_channels();
	ob_net_put(left);
	ob_net_put(right);
	ob_machine_close(machine);
	context_close(&context);
}

/* The next frame of any of our channels, and which; NULL: none comes. */
static struct ob_packet *receive(unsigned *channel)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);
	struct ob_packet *frame;

	while (ob_now_ns() < deadline_ns) {
		for (unsigned i = 0; i < PAIRS; i++) {
			if (in[i] == NULL || ob_net_receive(in[i], &frame, 1) == 0)
				continue;
			if (channel != NULL)
				*channel = i;
			return frame;
		}
		ob_cpu_turn(context.cpu, 0);
	}
	fail_msg("no frame comes");
	return NULL;
}

static void send(struct ob_packet *frame)
{
	assert_int_equal(ob_net_send(out, &frame, 1), 1);
	ob_net_kick(out);
}

/* TCP over IPv4 from @source to @destination, with @payload bytes; the checksum is open. */
static struct ob_packet *make_tcp(uint32_t source, uint16_t source_port, uint32_t destination, uint16_t port,
				  uint32_t payload)
{
	static uint8_t bytes[32768];
	struct ip4_header *ip = (void *)(bytes + 14);
	struct tcp_header *tcp = (void *)(bytes + 34);
	struct ob_net_info info;
	struct ob_packet *frame;

	ob_net_info(left, &info);
	memset(bytes, 0, 54);
	memcpy(bytes, info.mac, 6);
	bytes[6] = 2;
	net_put16(bytes + 12, ETHERNET_TYPE_IP4);
	ip->version_ihl = 0x45;
	ip->ttl = 64;
	ip->protocol = IP_PROTOCOL_TCP;
	net_put16(ip->total_bytes, (uint16_t)(40 + payload));
	net_put32(ip->source, source);
	net_put32(ip->destination, destination);
	net_put16(ip->checksum, net_checksum(ip, sizeof(*ip)));
	net_put16(tcp->source, source_port);
	net_put16(tcp->destination, port);
	tcp->data_offset = 0x50;
	tcp->flags = TCP_ACK;
	net_put16(tcp->checksum, net_sum_fold(net_sum_pseudo4(ip, IP_PROTOCOL_TCP, 20 + payload)));
	for (uint32_t i = 0; i < payload; i++)
		bytes[54 + i] = (uint8_t)(i * 13 + (i >> 8));
	frame = ob_packet_from(pool, bytes, 54 + payload);
	assert_non_null(frame);
	frame->flags = OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = 34;
	frame->csum_offset = TCP_CHECKSUM_OFFSET;
	return frame;
}

static void check_tcp(const struct ob_packet *frame, uint32_t payload)
{
	static uint8_t bytes[32768];
	const struct ip4_header *ip = (const void *)(bytes + 14);

	assert_int_equal(frame->frame_bytes, 54 + payload);
	assert_int_equal(ob_packet_read(frame, 0, bytes, frame->frame_bytes), 0);
	assert_int_equal(
		net_sum_fold(net_sum(net_sum_pseudo4(ip, IP_PROTOCOL_TCP, 20 + payload), bytes + 34, 20 + payload)),
		0xffff);
	for (uint32_t i = 0; i < payload; i++)
		assert_int_equal(bytes[54 + i], (uint8_t)(i * 13 + (i >> 8)));
}

/* ---- offloads ---- */

static const char *const shapes[] = {"", "&packed", "&packed&in-order", "&in-order"};

static void test_open_checksums_come_open_only_when_asked_for(void **state)
{
	struct ob_packet *frame;

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		world_open(shapes[i]);
		open_channels(1);
		send(make_tcp(1, 2, 3, 4, 1000));
		frame = receive(NULL);
		assert_int_equal(frame->flags, 0);
		check_tcp(frame, 1000);
		ob_packet_put(frame);
		assert_int_equal(ob_net_set_offloads(left, OB_NET_RX_CSUM), 0);
		send(make_tcp(1, 2, 3, 4, 1000));
		frame = receive(NULL);
		assert_int_equal(frame->flags, OB_PACKET_CSUM_PARTIAL);
		assert_int_equal(frame->csum_start, 34);
		assert_int_equal(frame->csum_offset, TCP_CHECKSUM_OFFSET);
		assert_int_equal(ob_packet_finish_csum(frame), 0);
		check_tcp(frame, 1000);
		ob_packet_put(frame);
		world_close();
	}
}

static struct ob_packet *make_train(uint32_t payload)
{
	struct ob_packet *frame = make_tcp(1, 2, 3, 4, payload);

	frame->flags |= OB_PACKET_SEGMENT;
	frame->gso = OB_GSO_TCP4;
	frame->gso_bytes = 1000;
	frame->header_bytes = 54;
	return frame;
}

static void test_segments_come_in_one_only_when_asked_for(void **state)
{
	struct ob_packet *frame;

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		world_open(shapes[i]);
		open_channels(1);
		send(make_train(20000));
		for (unsigned k = 0; k < 20; k++) {
			frame = receive(NULL);
			assert_int_equal(frame->flags, 0);
			assert_int_equal(frame->frame_bytes, 1054);
			ob_packet_put(frame);
		}
		assert_int_equal(ob_net_set_offloads(left, OB_NET_RX_CSUM | OB_NET_RX_TSO4), 0);
		send(make_train(20000));
		frame = receive(NULL);
		assert_int_equal(frame->flags, OB_PACKET_CSUM_PARTIAL | OB_PACKET_SEGMENT);
		assert_int_equal(frame->gso, OB_GSO_TCP4);
		assert_int_equal(frame->gso_bytes, 1000);
		assert_true(frame->segments > 1);
		assert_int_equal(ob_packet_finish_csum(frame), 0);
		check_tcp(frame, 20000);
		ob_packet_put(frame);
		world_close();
	}
}

static void test_large_buffers_do_where_nothing_is_merged(void **state)
{
	struct ob_packet_pool_config config = {.count = 600, .packet_bytes = VIRTIO_NET_FRAME_GSO_BYTES};
	struct ob_net_channel_config channel = {.poll.mode = OB_COMPLETION_POLLED};
	struct ob_packet *frame;
	struct ob_net_info info;

	world_open("&mergeable=0");
	open_channels(1);
	ob_net_info(left, &info);
	assert_int_equal(info.room_min, 1518);
	/* The channel's packets would not do. */
	assert_int_equal(ob_net_set_offloads(left, OB_NET_RX_CSUM | OB_NET_RX_TSO4), -EBUSY);
	assert_true(strstr(context.last, "too small") != NULL);
	context.lines = 0;
	ob_net_channel_close(in[0]);
	in[0] = NULL;
	assert_int_equal(ob_net_set_offloads(left, OB_NET_RX_CSUM | OB_NET_RX_TSO4), 0);
	ob_net_info(left, &info);
	assert_int_equal(info.room_min, VIRTIO_NET_FRAME_GSO_BYTES);
	config.machine = machine;
	assert_int_equal(ob_packet_pool_create(&config, &channel.pool), 0);
	assert_int_equal(ob_net_channel_open(left, &channel, &in[0]), 0);
	ob_packet_pool_put(channel.pool);
	send(make_train(30000));
	frame = receive(NULL);
	assert_int_equal(frame->segments, 1);
	assert_int_equal(ob_packet_finish_csum(frame), 0);
	check_tcp(frame, 30000);
	ob_packet_put(frame);
	world_close();
}

/* ---- receive side scaling ---- */

static uint32_t hash_of(const struct ob_net_rss *rss, uint32_t source, uint16_t source_port, uint32_t destination,
			uint16_t port)
{
	uint8_t input[12];

	net_put32(input, source);
	net_put32(input + 4, destination);
	net_put16(input + 8, source_port);
	net_put16(input + 10, port);
	return ob_net_toeplitz(rss->key, rss->key_bytes, input, sizeof(input));
}

/* Flows of all kinds come where the hash and the table say; with the hash, if that is on. */
static void check_flows(const struct ob_net_rss *rss, unsigned channels, bool report)
{
	struct random random = {.state = 5};
	unsigned seen[PAIRS] = {0};

	for (unsigned i = 0; i < 200; i++) {
		uint32_t source = (uint32_t)random_next(&random), destination = (uint32_t)random_next(&random);
		uint16_t from = (uint16_t)random_next(&random), to = (uint16_t)random_next(&random);
		uint32_t hash = hash_of(rss, source, from, destination, to);
		struct ob_packet *frame;
		unsigned channel;

		send(make_tcp(source, from, destination, to, 100));
		frame = receive(&channel);
		assert_int_equal(channel, rss->table[hash % rss->table_count] % channels);
		assert_int_equal((frame->flags & OB_PACKET_HASH) != 0, report);
		if (report) {
			assert_int_equal(frame->hash, hash);
			assert_int_equal(frame->hash_type, OB_HASH_TCP4);
		}
		seen[channel]++;
		ob_packet_put(frame);
	}
	for (unsigned i = 0; i < channels; i++)
		assert_true(seen[i] > 0);
}

/*
 * Small buffers, of which the longest frame takes nearly all that the ring has. The device waits until it has so many, so
 * the few that are missing may not wait for more.
 */
static void test_frame_of_nearly_all_buffers_arrives(void **state)
{
	static const unsigned depths[] = {16, 4};

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		struct ob_packet_pool_config few = {.packet_bytes = 96, .count = 64};
		struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_POLLED, .rx_depth = depths[i]};
		uint8_t bytes[1514] = {0};
		struct ob_packet_pool *small;
		struct ob_net_info info;

		world_open("");
		few.machine = machine;
		assert_int_equal(ob_packet_pool_create(&few, &small), 0);
		config.pool = small;
		assert_int_equal(ob_net_channel_open(left, &config, &in[0]), 0);
		config = (struct ob_net_channel_config){.poll.mode = OB_COMPLETION_POLLED};
		assert_int_equal(ob_net_channel_open(right, &config, &out), 0);
		pool = ob_net_channel_pool(out);
		ob_net_info(left, &info);
		memcpy(bytes, info.mac, 6);
		for (unsigned before = 0; before < 8; before++) {
			for (unsigned n = 0; n <= before; n++) {
				uint32_t len_bytes = n < before ? 60 : sizeof(bytes);
				struct ob_packet *frame = ob_packet_from(pool, bytes, len_bytes);

				assert_non_null(frame);
				send(frame);
				frame = receive(NULL);
				assert_int_equal(frame->frame_bytes, len_bytes);
				ob_packet_put(frame);
			}
		}
		world_close_channels();
		ob_packet_pool_put(small);
		world_close();
	}
}

static void test_rss_deals_flows_out_as_its_table_says(void **state)
{
	struct ob_net_rss rss, back;
	struct ob_net_info info;

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		world_open(shapes[i]);
		open_channels(PAIRS);
		ob_net_info(left, &info);
		assert_true((info.abilities & OB_NET_CAN_RSS) != 0);
		ob_net_rss_default(left, PAIRS, &rss);
		assert_int_equal(ob_net_set_rss(left, &rss), 0);
		check_flows(&rss, PAIRS, false);
		/* With the hash in the header, and another table; it lasts over the reset that an offload needs. */
		for (unsigned k = 0; k < rss.table_count; k++)
			rss.table[k] = (uint16_t)(k * k % PAIRS % 3);
		assert_int_equal(ob_net_set_rss(left, &rss), 0);
		assert_int_equal(ob_net_set_offloads(left, OB_NET_RX_HASH), 0);
		assert_int_equal(ob_net_get_rss(left, &back), 0);
		assert_memory_equal(&back, &rss, sizeof(rss));
		for (unsigned k = 0; k < rss.table_count; k++)
			assert_true(rss.table[k] < 2);
		check_flows(&rss, 2, true);
		/* One channel less: the table is folded onto those that are there. */
		ob_net_channel_close(in[3]);
		in[3] = NULL;
		ob_net_rss_default(left, PAIRS, &rss);
		assert_int_equal(ob_net_set_rss(left, &rss), 0);
		check_flows(&rss, PAIRS - 1, true);
		world_close();
	}
}

static void test_channels_come_and_go_while_frames_pass(void **state)
{
	struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_POLLED};

	world_open("&packed");
	open_channels(1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 1; i < PAIRS; i++) {
			send(make_tcp(1, 2, 3, 4, 10 * i));
			ob_packet_put(receive(NULL));
			assert_int_equal(ob_net_channel_open(left, &config, &in[i]), 0);
		}
		assert_int_equal(ob_net_channel_open(left, &config, &in[0]), -ENOSPC);
		/* From the middle: the others move up. */
		ob_net_channel_close(in[1]);
		in[1] = in[3];
		in[3] = NULL;
		assert_int_equal(ob_net_channel_index(in[2]), 1);
		assert_int_equal(ob_net_channel_index(in[1]), 2);
		for (unsigned i = 1; i < 3; i++) {
			send(make_tcp(1, 2, 3, 4, 10 * i));
			ob_packet_put(receive(NULL));
			ob_net_channel_close(in[i]);
			in[i] = NULL;
		}
	}
	world_close();
}

/* ---- failing calls ---- */

struct failing {
	unsigned calls, nth;
};

static bool fail_nth(void *arg, const char *call)
{
	struct failing *f = arg;

	return ++f->calls == f->nth;
}

/* Whatever fails in a probe, nothing is left behind, and the next one works. */
static void test_probe_with_each_call_failing_leaves_nothing(void **state)
{
	struct failing failing = {0};
	const struct ob_hooks hooks = {.arg = &failing, .fail = fail_nth};
	struct ob_device *dev;
	unsigned failed = 0;

	world_open("");
	dev = ob_device_get(ob_net_device(left));
	ob_net_put(left);
	left = NULL;
	assert_int_equal(ob_device_unbind(dev), 0);
	for (failing.nth = 1; failing.nth < 1000; failing.nth++) {
		int ret;

		failing.calls = 0;
		ob_set_hooks(context.ob, &hooks);
		ret = ob_device_bind(dev);
		ob_set_hooks(context.ob, NULL);
		if (ret == 0 && failing.calls < failing.nth)
			break;
		failed += ret != 0;
		if (ret == 0)
			assert_int_equal(ob_device_unbind(dev), 0);
	}
	assert_true(failed >= 8 && failing.nth < 1000);
	context.lines = 0;
	left = ob_net_find(context.ob, "net0");
	assert_non_null(left);
	open_channels(1);
	send(make_tcp(1, 2, 3, 4, 100));
	ob_packet_put(receive(NULL));
	ob_device_put(dev);
	world_close();
}

/* The same for a channel: either it is there and works, or all is as before. */
static void test_channel_with_each_call_failing_leaves_the_others(void **state)
{
	struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_INTERRUPT};
	struct failing failing = {0};
	const struct ob_hooks hooks = {.arg = &failing, .fail = fail_nth};
	struct ob_net_link link;
	unsigned failed = 0;

	world_open("");
	open_channels(1);
	for (failing.nth = 1; failing.nth < 1000; failing.nth++) {
		int ret;

		failing.calls = 0;
		ob_set_hooks(context.ob, &hooks);
		ret = ob_net_channel_open(left, &config, &in[1]);
		ob_set_hooks(context.ob, NULL);
		ob_net_link(left, &link);
		assert_true(link.up);
		send(make_tcp(1, 2, 3, 4, 100));
		ob_packet_put(receive(NULL));
		if (ret == 0) {
			ob_net_channel_close(in[1]);
			in[1] = NULL;
		}
		failed += ret != 0;
		if (ret == 0 && failing.calls < failing.nth)
			break;
	}
	assert_true(failed >= 8 && failing.nth < 1000);
	context.lines = 0;
	world_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_checksums_come_open_only_when_asked_for),
		cmocka_unit_test(test_segments_come_in_one_only_when_asked_for),
		cmocka_unit_test(test_large_buffers_do_where_nothing_is_merged),
		cmocka_unit_test(test_frame_of_nearly_all_buffers_arrives),
		cmocka_unit_test(test_rss_deals_flows_out_as_its_table_says),
		cmocka_unit_test(test_channels_come_and_go_while_frames_pass),
		cmocka_unit_test(test_probe_with_each_call_failing_leaves_nothing),
		cmocka_unit_test(test_channel_with_each_call_failing_leaves_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
