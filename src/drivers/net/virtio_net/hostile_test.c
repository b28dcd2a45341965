/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that lies about frames: the test is the back-end of a vhost-user machine, and puts into the driver's buffers
 * whatever it likes. What makes no sense is counted and dropped, or leads to a reset, and what comes after it is received.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/net/virtio_net/virtio_net.h"
#include "tests/context.h"
#include "tests/vhost_peer.h"
#include "virtqueue/device.h"

#define WAIT_NS (10 * OB_NS_PER_S)
#define FRAME   100u /* bytes of a good one */
#define ALL_RX  (OB_NET_RX_CSUM | OB_NET_RX_TSO4)
#define HDR     ((uint32_t)sizeof(struct virtio_net_header))

static struct context context;
static struct vhost_peer peer;
static struct ob_machine *machine;
static struct ob_net *net;
static struct ob_net_channel *channel;
static struct virtqueue_device rx; /* our end of the receive queue */

/* ---- the device's end ---- */

static void *map(void *arg, uint64_t addr, uint64_t len_bytes, bool write)
{
	return vhost_peer_at(&peer, addr, len_bytes);
}

/* Rings are named by the front-end's own addresses, everything else by those of its guest. */
static uint64_t to_guest(uint64_t user)
{
	for (unsigned i = 0; i < peer.region_count; i++)
		if (user - peer.region[i].user_address < peer.region[i].len_bytes)
			return user - peer.region[i].user_address + peer.region[i].guest_address;
	fail_msg("a ring at %llx, where there is no memory", (unsigned long long)user);
	return 0;
}

static void take_queue(void)
{
	static const struct virtqueue_memory_ops ops = {.map = map};
	const struct vhost_peer_queue *q = &peer.queue[VIRTIO_NET_RX(0)];
	struct virtqueue_device_config config = {.memory = &ops,
						 .features = peer.features_set,
						 .size = (uint16_t)q->size,
						 .desc = to_guest(q->address.descriptors),
						 .driver = to_guest(q->address.available),
						 .device = to_guest(q->address.used)};

	assert_int_equal(virtqueue_device_init(&rx, &config), 0);
}

/* A buffer of the driver's with @written bytes said to be in it; @bytes of what is at @from really are. */
static void give(const void *from, uint32_t bytes, uint32_t written)
{
	struct virtqueue_piece pieces[4];
	struct virtqueue_chain chain;

	assert_int_equal(virtqueue_device_pop(&rx, pieces, 4, &chain), 1);
	assert_int_equal(chain.in_count, 1);
	assert_true(bytes <= pieces[0].len_bytes);
	memcpy(vhost_peer_at(&peer, pieces[0].addr, pieces[0].len_bytes), from, bytes);
	assert_int_equal(virtqueue_device_push(&rx, &chain, written), 0);
	assert_int_equal(virtqueue_device_publish(&rx), 0);
	/* Where it stands, for whoever stops it. */
	pthread_mutex_lock(&peer.lock);
	peer.stop_base[VIRTIO_NET_RX(0)] = virtqueue_device_base(&rx);
	pthread_mutex_unlock(&peer.lock);
}

/* One frame with this header, in one buffer. */
static void give_frame(const struct virtio_net_header *header, uint32_t frame_bytes)
{
	uint8_t bytes[2000] = {0};

	memcpy(bytes, header, HDR);
	memset(bytes + HDR, 0x5a, frame_bytes);
	give(bytes, HDR + frame_bytes, HDR + frame_bytes);
}

static struct virtio_net_header plain(void)
{
	return (struct virtio_net_header){.num_buffers = ob_cpu_to_le16(1)};
}

/* ---- the world ---- */

static void world_open(uint64_t features, uint32_t offloads, uint32_t packet_bytes)
{
	struct ob_packet_pool_config pool = {.count = 1024, .packet_bytes = packet_bytes};
	struct ob_net_channel_config config = {.poll.mode = OB_COMPLETION_POLLED, .rx_depth = 64};
	char uri[96];

	context_open(&context, 1);
	vhost_peer_init(&peer);
	peer.protocol = VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK;
	peer.queue_count = 1;
	peer.features = BIT64(VIRTIO_F_VERSION_1) | VHOST_USER_F_PROTOCOL_FEATURES | features;
	vhost_peer_start(&peer);
	snprintf(uri, sizeof(uri), "vhost-user:%s?type=net", peer.path);
	assert_int_equal(ob_machine_open(context.ob, uri, NULL, &machine), 0);
	net = ob_net_find(context.ob, NULL);
	assert_non_null(net);
	assert_int_equal(ob_net_set_offloads(net, offloads), 0);
	pool.machine = machine;
	assert_int_equal(ob_packet_pool_create(&pool, &config.pool), 0);
	assert_int_equal(ob_net_channel_open(net, &config, &channel), 0);
	ob_packet_pool_put(config.pool);
	take_queue();
	context.lines = 0;
}

static void world_close(void)
{
	ob_net_channel_close(channel);
	ob_net_put(net);
	ob_machine_close(machine);
	vhost_peer_fini(&peer);
	context.lines = 0;
	context_close(&context);
}

static struct ob_net_stats stats(void)
{
	struct ob_net_stats s;

	ob_net_stats(net, &s);
	return s;
}

/* A good frame, which arrives. */
static void expect_good(void)
{
	struct virtio_net_header header = plain();
	struct ob_packet *frame;

	give_frame(&header, FRAME);
	assert_int_equal(ob_net_receive(channel, &frame, 1), 1);
	assert_int_equal(frame->frame_bytes, FRAME);
	assert_int_equal(frame->segments, 1);
	for (unsigned i = 0; i < FRAME; i++)
		assert_int_equal(frame->data[i], 0x5a);
	ob_packet_put(frame);
}

/* What was given is dropped and counted, and the queue goes on. */
static void expect_dropped(void)
{
	uint64_t before = stats().rx_errors;
	struct ob_packet *frame;

	assert_int_equal(ob_net_receive(channel, &frame, 1), 0);
	assert_int_equal(stats().rx_errors, before + 1);
	assert_int_equal(stats().broken, 0);
	expect_good();
}

/* The device is reset, and works again. */
static void expect_reset(void)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS), before = stats().resets;
	struct ob_packet *frame;

	assert_int_equal(ob_net_receive(channel, &frame, 1), 0);
	while (stats().resets == before && ob_now_ns() < deadline_ns)
		ob_cpu_turn(context.cpu, OB_NS_PER_MS);
	assert_int_equal(stats().resets, before + 1);
	turn_dry(context.cpu);
	take_queue();
	expect_good();
}

/* ---- lengths ---- */

static void test_frames_that_are_too_short_are_dropped(void **state)
{
	static const uint64_t features[] = {0, VNET_F(MRG_RXBUF), VNET_F(GUEST_CSUM)};
	static const uint32_t lengths[] = {0, 1, HDR - 1, HDR, HDR + 1, HDR + ETHERNET_HEADER_BYTES - 1};

	for (unsigned f = 0; f < ARRAY_SIZE(features); f++) {
		/* Small packets make it merge. */
		world_open(features[f], features[f] == VNET_F(GUEST_CSUM) ? OB_NET_RX_CSUM : 0,
			   features[f] == VNET_F(MRG_RXBUF) ? 1024 : 2048);
		for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
			struct virtio_net_header header = plain();

			give(&header, HDR, lengths[i]);
			expect_dropped();
		}
		world_close();
	}
}

/* ---- buffers of one frame ---- */

static void test_frames_in_no_buffer_or_too_many_reset_the_device(void **state)
{
	static const uint16_t counts[] = {0, 65, 0xffff};
	struct virtio_net_header header = plain();

	world_open(VNET_F(MRG_RXBUF), 0, 256);
	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		header.num_buffers = ob_cpu_to_le16(counts[i]);
		give_frame(&header, FRAME);
		expect_reset();
	}
	world_close();
}

static void test_parts_of_a_frame_may_come_late(void **state)
{
	struct virtio_net_header header = plain();
	struct ob_packet *frame;
	uint8_t bytes[200];

	world_open(VNET_F(MRG_RXBUF), 0, 256);
	memset(bytes, 0x33, sizeof(bytes));
	for (unsigned parts = 2; parts <= 64; parts += 31) {
		header.num_buffers = ob_cpu_to_le16((uint16_t)parts);
		give_frame(&header, FRAME);
		for (unsigned i = 1; i < parts; i++) {
			assert_int_equal(ob_net_receive(channel, &frame, 1), 0);
			give(bytes, sizeof(bytes), sizeof(bytes));
		}
		assert_int_equal(ob_net_receive(channel, &frame, 1), 1);
		assert_int_equal(frame->segments, parts);
		assert_int_equal(frame->frame_bytes, FRAME + (parts - 1) * sizeof(bytes));
		ob_packet_put(frame);
		expect_good();
	}
	/* One that never ends goes with its channel. */
	give_frame(&header, FRAME);
	assert_int_equal(ob_net_receive(channel, &frame, 1), 0);
	world_close();
}

/* ---- headers ---- */

static void test_headers_that_make_no_sense_drop_the_frame(void **state)
{
	static const struct {
		uint8_t flags, gso_type;
		uint16_t hdr_len, gso_size, csum_start, csum_offset;
	} lies[] = {
		/* checksums beyond the frame */
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, FRAME - 1, 0},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 0, FRAME - 1},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 0xffff, 0xffff},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, FRAME - 35},
		/* segments of no known kind, of none that was agreed on, without a size, with the checksum made */
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 2, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, 0x7f, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_ECN, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV6, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 0, 34, 16},
		{0, VIRTIO_NET_HDR_GSO_TCPV4, 54, 50, 34, 16},
		{VIRTIO_NET_HDR_F_DATA_VALID, VIRTIO_NET_HDR_GSO_TCPV4, 54, 50, 34, 16},
	};

	world_open(VNET_F(MRG_RXBUF) | VNET_F(GUEST_CSUM) | VNET_F(GUEST_TSO4), ALL_RX, 2048);
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		struct virtio_net_header header = plain();

		header.flags = lies[i].flags;
		header.gso_type = lies[i].gso_type;
		header.hdr_len = ob_cpu_to_le16(lies[i].hdr_len);
		header.gso_size = ob_cpu_to_le16(lies[i].gso_size);
		header.csum_start = ob_cpu_to_le16(lies[i].csum_start);
		header.csum_offset = ob_cpu_to_le16(lies[i].csum_offset);
		give_frame(&header, FRAME);
		expect_dropped();
	}
	world_close();
}

static void test_headers_at_the_edge_of_sense_are_taken(void **state)
{
	struct virtio_net_header header = plain();
	struct ob_packet *frame;

	world_open(VNET_F(MRG_RXBUF) | VNET_F(GUEST_CSUM) | VNET_F(GUEST_TSO4), ALL_RX, 2048);
	header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header.csum_start = ob_cpu_to_le16(FRAME - 2);
	header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header.gso_size = ob_cpu_to_le16(1);
	header.hdr_len = ob_cpu_to_le16(0xffff);
	give_frame(&header, FRAME);
	assert_int_equal(ob_net_receive(channel, &frame, 1), 1);
	assert_int_equal(frame->flags, OB_PACKET_CSUM_PARTIAL | OB_PACKET_SEGMENT);
	assert_int_equal(frame->header_bytes, FRAME);
	assert_int_equal(ob_packet_finish_csum(frame), 0);
	ob_packet_put(frame);
	/* Bits that mean nothing. */
	header = plain();
	header.flags = VIRTIO_NET_HDR_F_DATA_VALID | 0xf8;
	give_frame(&header, FRAME);
	assert_int_equal(ob_net_receive(channel, &frame, 1), 1);
	assert_int_equal(frame->flags, OB_PACKET_CSUM_GOOD);
	ob_packet_put(frame);
	world_close();
	/* Where nothing was agreed on, nothing in the header means anything. */
	world_open(VNET_F(GUEST_CSUM), 0, 2048);
	memset(&header, 0xff, sizeof(header));
	give_frame(&header, FRAME);
	assert_int_equal(ob_net_receive(channel, &frame, 1), 1);
	assert_int_equal(frame->flags, 0);
	ob_packet_put(frame);
	world_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_that_are_too_short_are_dropped),
		cmocka_unit_test(test_frames_in_no_buffer_or_too_many_reset_the_device),
		cmocka_unit_test(test_parts_of_a_frame_may_come_late),
		cmocka_unit_test(test_headers_that_make_no_sense_drop_the_frame),
		cmocka_unit_test(test_headers_at_the_edge_of_sense_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
