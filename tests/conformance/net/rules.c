/* SPDX-License-Identifier: BSD-2-Clause */
/* What the class promises: of rings that are full, pools that are empty, references, refusals, counts, ends. */
#include "tests/conformance/net/suite.h"

int check_info(struct suite *t)
{
	struct ob_net_link link;

	SUITE_CHECK(t, (t->info.mac[0] & ETHERNET_GROUP) == 0, "its address is a group's");
	SUITE_CHECK(t, net_get32(t->info.mac) != 0, "it has no address");
	SUITE_CHECK(t, t->info.mtu >= ETHERNET_MTU_MIN && t->info.mtu <= t->info.mtu_max, "an MTU of %u, %u at most",
		    t->info.mtu, t->info.mtu_max);
	SUITE_CHECK(t, t->info.channels_max >= 1 && t->info.rx_depth_max >= 1 && t->info.tx_depth_max >= 1,
		    "no channels, or rings without room");
	SUITE_CHECK(t, t->info.segments_max >= 1, "frames of no parts");
	ob_net_link(t->net, &link);
	SUITE_CHECK(t, link.up, "the link is down");
	return 0;
}

/* Frames that wait in the ring, as nobody was told of them. */
int check_full(struct suite *t)
{
	unsigned depth = ob_net_channel_tx_depth(t->channels[0]);
	unsigned sent = 0, arrived = 0;
	int ret;

	if (depth > SUITE_POOL / 2)
		return 0;
	make_frame(t, t->out, 64, false);
	for (;;) {
		struct ob_packet *frame = make_packets(t, t->out, 64, 1);

		SUITE_CHECK(t, frame != NULL, "no packet after %u", sent);
		if (ob_net_send(t->channels[0], &frame, 1) == 0) {
			ob_packet_put(frame);
			break;
		}
		sent++;
		SUITE_CHECK(t, sent < SUITE_POOL / 2, "a ring of %u takes %u frames and more", depth, sent);
		/* On a loop the peer may have room for less than we. */
		if (t->wire.kind == WIRE_LOOP && sent == depth / 2)
			break;
	}
	SUITE_CHECK(t, t->wire.kind == WIRE_LOOP || sent >= depth, "a ring of %u took only %u frames", depth, sent);
	ob_net_kick(t->channels[0]);
	t->sent += sent;
	t->sent_bytes += 64 * sent;
	ret = ob_net_wait(t->channels[0], OB_NET_WAIT_SEND, ob_deadline(SUITE_WAIT_NS));
	SUITE_CHECK(t, ret == 0, "no room after the kick: %s", strerror(-ret));
	while (arrived < sent && wire_take(t, t->in, SUITE_WAIT_NS) == 64)
		arrived++;
	SUITE_CHECK(t, arrived == sent, "%u of %u frames arrived", arrived, sent);
	ret = ob_net_wait(t->channels[0], OB_NET_WAIT_SENT, ob_deadline(SUITE_WAIT_NS));
	SUITE_CHECK(t, ret == 0, "it is never done with all: %s", strerror(-ret));
	return 0;
}

/* With no packet left to receive into, nothing breaks; and with packets again, frames come again. */
int check_starve(struct suite *t)
{
	static struct ob_packet *held[SUITE_POOL];
	unsigned count = 0, arrived = 0;
	uint32_t len_bytes = 0;

	if (t->wire.kind == WIRE_LOOP)
		return 0; /* nothing to send with, either */
	while (count < SUITE_POOL && (held[count] = ob_packet_alloc(t->pool)) != NULL)
		count++;
	/* More than the ring held when the packets were taken. */
	for (unsigned i = 0; i < ob_net_channel_rx_depth(t->channels[0]) + 50; i++) {
		make_frame(t, t->out, 64, true);
		if (i < 50 && wire_put(t, t->out, 64) != 0)
			return -1;
		suite_pump(t);
	}
	while (suite_take(t, t->in, NULL, SUITE_QUIET_NS) != 0)
		arrived++;
	SUITE_CHECK(t, arrived <= 50, "%u frames arrived of 50", arrived);
	ob_packet_put_burst(held, count);
	for (unsigned i = 0; i < 200 && len_bytes == 0; i++) {
		make_frame(t, t->out, 99, true);
		if (wire_put(t, t->out, 99) != 0)
			return -1;
		while ((len_bytes = suite_take(t, t->in, NULL, SUITE_QUIET_NS)) == 64)
			;
	}
	SUITE_CHECK(t, len_bytes == 99, "with packets again, no frame comes");
	while (suite_take(t, t->in, NULL, SUITE_QUIET_NS) != 0)
		;
	return 0;
}

/* A frame that we keep a reference to may be sent, again and at once, and is the same afterwards. */
int check_references(struct suite *t)
{
	struct ob_packet *frame;

	make_frame(t, t->out, 200, false);
	frame = make_packets(t, t->out, 200, MIN(t->info.segments_max, 3u));
	SUITE_CHECK(t, frame != NULL, "no packets");
	for (unsigned i = 0; i < 20; i++)
		if (suite_send(t, 0, ob_packet_get(frame)) != 0)
			return -1;
	for (unsigned i = 0; i < 20; i++) {
		SUITE_CHECK(t, wire_take(t, t->in, SUITE_WAIT_NS) == 200,
			    "the frame that was sent 20 times arrived %u times", i);
		SUITE_CHECK(t, memcmp(t->in, t->out, 200) == 0, "a frame that is still held arrived changed");
	}
	SUITE_CHECK(t, ob_net_wait(t->channels[0], OB_NET_WAIT_SENT, ob_deadline(SUITE_WAIT_NS)) == 0,
		    "the device is never done");
	ob_net_reap(t->channels[0]);
	SUITE_CHECK(t, frame->refs == 1, "%u references are left, not ours alone", frame->refs);
	SUITE_CHECK(t, ob_packet_read(frame, 0, t->in, 200) == 0 && memcmp(t->in, t->out, 200) == 0,
		    "a frame that is still held was changed");
	ob_packet_put(frame);
	return 0;
}

static int refuse(struct suite *t, struct ob_packet *frame, const char *what)
{
	struct ob_net_stats before, after;

	ob_net_stats(t->net, &before);
	SUITE_CHECK(t, frame != NULL, "no packets");
	SUITE_CHECK(t, ob_net_send(t->channels[0], &frame, 1) == 1, "%s: it was not taken", what);
	ob_net_kick(t->channels[0]);
	ob_net_stats(t->net, &after);
	SUITE_CHECK(t, after.tx_refused == before.tx_refused + 1, "%s: it was not counted as refused", what);
	SUITE_CHECK(t, wire_take(t, t->in, SUITE_QUIET_NS) == 0, "%s: it was sent", what);
	return 0;
}

int check_refused(struct suite *t)
{
	const struct ob_packet_pool_config config = {
		.machine = ob_device_machine(ob_net_device(t->net)),
		.count = 8,
	};
	struct ob_packet_pool *stranger;
	struct ob_packet *frame;
	int ret = ob_packet_pool_create(&config, &stranger);

	SUITE_CHECK(t, ret == 0, "a pool: %s", strerror(-ret));
	make_frame(t, t->out, 4096, false);
	ret = refuse(t, ob_packet_from(stranger, t->out, 64), "a frame of a pool that was not granted");
	ob_packet_pool_put(stranger);
	if (ret != 0)
		return -1;
	make_frame(t, t->out, t->info.mtu + 300, false);
	if (refuse(t, make_packets(t, t->out, t->info.mtu + 300, 1), "a frame that is too long") != 0)
		return -1;
	if (t->info.segments_max < 1000) {
		frame = NULL;
		for (unsigned i = 0; i <= t->info.segments_max; i++) {
			struct ob_packet *part = make_packets(t, t->out + i, 1, 1);

			SUITE_CHECK(t, part != NULL, "no packets");
			if (frame == NULL)
				frame = part;
			else
				ob_packet_chain(frame, part);
		}
		if (refuse(t, frame, "a frame of too many parts") != 0)
			return -1;
	}
	frame = make_packets(t, t->out, 64, 1);
	SUITE_CHECK(t, frame != NULL, "no packets");
	frame->flags |= OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = 63;
	frame->csum_offset = 16;
	return refuse(t, frame, "a checksum beyond the frame's end");
}

int check_stats(struct suite *t)
{
	struct ob_net_stats before, after;
	uint64_t bytes = 0;

	ob_net_stats(t->net, &before);
	for (unsigned i = 0; i < 50; i++) {
		uint32_t len_bytes = (uint32_t)random_range(&t->random, 60, frame_max(t));

		make_frame(t, t->out, len_bytes, true);
		bytes += len_bytes;
		if (wire_put(t, t->out, len_bytes) != 0)
			return -1;
		SUITE_CHECK(t, suite_take(t, t->in, NULL, SUITE_WAIT_NS) == len_bytes, "a frame did not arrive");
	}
	ob_net_stats(t->net, &after);
	SUITE_CHECK(t, after.rx_frames - before.rx_frames == 50, "50 frames arrived, %llu were counted",
		    (unsigned long long)(after.rx_frames - before.rx_frames));
	SUITE_CHECK(t, after.rx_bytes - before.rx_bytes == bytes, "%llu bytes arrived, %llu were counted",
		    (unsigned long long)bytes, (unsigned long long)(after.rx_bytes - before.rx_bytes));
	before = after;
	for (unsigned i = 0; i < 50; i++) {
		make_frame(t, t->out, 100, false);
		if (suite_send(t, 0, make_packets(t, t->out, 100, 1)) != 0)
			return -1;
		SUITE_CHECK(t, wire_take(t, t->in, SUITE_WAIT_NS) == 100, "a frame did not arrive");
	}
	ob_net_wait(t->channels[0], OB_NET_WAIT_SENT, ob_deadline(SUITE_WAIT_NS));
	ob_net_stats(t->net, &after);
	SUITE_CHECK(t, after.tx_frames - before.tx_frames == 50 && after.tx_bytes - before.tx_bytes == 5000,
		    "50 frames of 100 bytes were sent, %llu of %llu in all were counted",
		    (unsigned long long)(after.tx_frames - before.tx_frames),
		    (unsigned long long)(after.tx_bytes - before.tx_bytes));
	return 0;
}

/* ---- ends ---- */

/* All packets are back when it has returned: suite_check_pool() sees to that. */
int check_close_in_flight(struct suite *t)
{
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 40; i++) {
			struct ob_packet *frame;

			make_frame(t, t->out, 300, false);
			frame = make_packets(t, t->out, 300, 1);
			if (frame != NULL && ob_net_send(t->channels[0], &frame, 1) == 0)
				ob_packet_put(frame);
			make_frame(t, t->out, 64, true);
			if (t->wire.kind != WIRE_LOOP && i < 20 && wire_put(t, t->out, 64) != 0)
				return -1;
		}
		if (round % 2 == 0)
			ob_net_kick(t->channels[0]);
		if (suite_check_pool(t) != 0 || suite_open(t, 1) != 0)
			return -1;
	}
	while (wire_take(t, t->in, SUITE_QUIET_NS) != 0)
		;
	while (suite_take(t, t->in, NULL, SUITE_QUIET_NS) != 0)
		;
	return 0;
}

int check_reopen(struct suite *t)
{
	for (unsigned i = 0; i < 20; i++) {
		if (suite_check_pool(t) != 0 || suite_open(t, 1) != 0)
			return -1;
		make_frame(t, t->out, 80, true);
		if (wire_put(t, t->out, 80) != 0)
			return -1;
		SUITE_CHECK(t, suite_take(t, t->in, NULL, SUITE_WAIT_NS) == 80,
			    "after opening it for the %u. time no frame comes", i + 2);
	}
	return 0;
}
