/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done to frames on the way out, by the device or by the class: checksums, segments, tags. */
#include "tests/conformance/net/suite.h"

static int one_checksum(struct suite *t, uint32_t len_bytes, bool ip6)
{
	uint32_t transport = make_tcp(t, t->out, len_bytes, ip6), got;
	struct ob_packet *frame, *arrived = NULL;

	open_checksum(t->out, len_bytes, transport, ip6);
	frame = make_packets(t, t->out, len_bytes, MIN(t->info.segments_max, 3u));
	SUITE_CHECK(t, frame != NULL, "no packets");
	frame->flags |= OB_PACKET_CSUM_PARTIAL;
	frame->csum_start = (uint16_t)transport;
	frame->csum_offset = TCP_CHECKSUM_OFFSET;
	if (suite_send(t, 0, frame) != 0)
		return -1;
	if (t->wire.kind == WIRE_LOOP) {
		got = suite_take(t, t->in, &arrived, SUITE_WAIT_NS);
		/* Whoever sent it back may leave open what we left open. */
		if (got != 0 && ob_packet_finish_csum(arrived) == 0)
			ob_packet_read(arrived, 0, t->in, got);
		ob_packet_put(arrived);
	} else {
		got = wire_take(t, t->in, SUITE_WAIT_NS);
	}
	SUITE_CHECK(t, got == len_bytes, "a frame of %u bytes arrived as one of %u", len_bytes, got);
	SUITE_CHECK(t, checksums_right(t->in, got, transport, ip6), "the checksum of a frame of %u bytes (%s) is wrong",
		    got, ip6 ? "IPv6" : "IPv4");
	memset(t->in + transport + TCP_CHECKSUM_OFFSET, 0, 2);
	memset(t->out + transport + TCP_CHECKSUM_OFFSET, 0, 2);
	SUITE_CHECK(t, memcmp(t->in, t->out, got) == 0, "more than the checksum was changed");
	return 0;
}

int check_checksum(struct suite *t)
{
	for (unsigned i = 0; i < 60; i++)
		if (one_checksum(t, (uint32_t)random_range(&t->random, 80, frame_max(t)), i % 2 != 0) != 0)
			return -1;
	return 0;
}

/* ---- segments ---- */

struct train {
	uint32_t transport, payload_offset, payload_bytes, done, segment_bytes;
	bool ip6;
};

/* One of the segments, in t->in: is it what stands in t->out next? */
static int next_segment(struct suite *t, struct train *train, uint32_t len_bytes)
{
	const struct tcp_header *whole = (const void *)(t->out + train->transport);
	const struct tcp_header *tcp = (const void *)(t->in + train->transport);
	const struct ip4_header *ip4 = (const void *)(t->in + ETHERNET_HEADER_BYTES);
	const struct ip6_header *six = (const void *)(t->in + ETHERNET_HEADER_BYTES);
	uint32_t bytes, said;

	SUITE_CHECK(t, len_bytes > train->payload_offset, "a segment of %u bytes after %u of %u bytes", len_bytes,
		    train->done, train->payload_bytes);
	said = train->ip6 ? (uint32_t)net_get16(six->payload_bytes) + train->transport
			  : (uint32_t)net_get16(ip4->total_bytes) + ETHERNET_HEADER_BYTES;
	SUITE_CHECK(t, said == len_bytes, "a segment of %u bytes says that it has %u", len_bytes, said);
	bytes = len_bytes - train->payload_offset;
	SUITE_CHECK(t, bytes <= train->segment_bytes && train->done + bytes <= train->payload_bytes,
		    "a segment with %u bytes of payload, of %u at most", bytes, train->segment_bytes);
	SUITE_CHECK(t, net_get32(tcp->sequence) == net_get32(whole->sequence) + train->done, "a wrong sequence number");
	SUITE_CHECK(t, (tcp->flags & TCP_PSH) == (train->done + bytes == train->payload_bytes ? TCP_PSH : 0),
		    "PSH belongs to the last segment");
	SUITE_CHECK(t, checksums_right(t->in, len_bytes, train->transport, train->ip6),
		    "a segment with a wrong checksum");
	SUITE_CHECK(t, memcmp(t->in + train->payload_offset, t->out + train->payload_offset + train->done, bytes) == 0,
		    "a segment's payload is not what was sent");
	train->done += bytes;
	return 0;
}

static int one_train(struct suite *t, bool ip6)
{
	struct train train = {.ip6 = ip6};
	uint32_t len_bytes = (uint32_t)random_range(&t->random, 3000, MIN(30000u, 1400 * t->info.segments_max));
	struct ob_packet *frame;

	train.transport = make_tcp(t, t->out, len_bytes, ip6);
	train.payload_offset = train.transport + (uint32_t)sizeof(struct tcp_header);
	train.payload_bytes = len_bytes - train.payload_offset;
	train.segment_bytes = (uint32_t)random_range(&t->random, 500, t->info.mtu - 60);
	open_checksum(t->out, len_bytes, train.transport, ip6);
	frame = make_packets(t, t->out, len_bytes, 1);
	SUITE_CHECK(t, frame != NULL, "no packets");
	frame->flags |= OB_PACKET_CSUM_PARTIAL | OB_PACKET_SEGMENT;
	frame->csum_start = (uint16_t)train.transport;
	frame->csum_offset = TCP_CHECKSUM_OFFSET;
	frame->gso = ip6 ? OB_GSO_TCP6 : OB_GSO_TCP4;
	frame->gso_bytes = (uint16_t)train.segment_bytes;
	frame->header_bytes = (uint16_t)train.payload_offset;
	if (suite_send(t, 0, frame) != 0)
		return -1;
	while (train.done < train.payload_bytes)
		if (next_segment(t, &train, wire_take(t, t->in, SUITE_WAIT_NS)) != 0)
			return -1;
	return 0;
}

int check_segments(struct suite *t)
{
	/* On a loop a train may come back as the train that it was. */
	for (unsigned i = 0; i < 20 && t->wire.kind != WIRE_LOOP; i++)
		if (one_train(t, i % 2 != 0) != 0)
			return -1;
	return 0;
}

/* ---- tags ---- */

int check_vlan(struct suite *t)
{
	for (unsigned i = 0; i < 20; i++) {
		uint16_t tci = (uint16_t)random_range(&t->random, 1, VLAN_VID_MAX);
		uint32_t len_bytes = (uint32_t)random_range(&t->random, 64, frame_max(t)), got;
		struct ob_packet *frame;

		make_frame(t, t->out, len_bytes, false);
		frame = make_packets(t, t->out, len_bytes, 1);
		SUITE_CHECK(t, frame != NULL, "no packets");
		frame->flags |= OB_PACKET_VLAN;
		frame->vlan_tci = tci;
		if (suite_send(t, 0, frame) != 0)
			return -1;
		got = wire_take(t, t->in, SUITE_WAIT_NS);
		SUITE_CHECK(t, got == len_bytes + VLAN_TAG_BYTES, "a frame of %u bytes and a tag arrived with %u",
			    len_bytes, got);
		SUITE_CHECK(t, net_get16(t->in + 12) == ETHERNET_TYPE_VLAN && net_get16(t->in + 14) == tci,
			    "the tag is not there");
		SUITE_CHECK(t, memcmp(t->in, t->out, 12) == 0 && memcmp(t->in + 16, t->out + 12, len_bytes - 12) == 0,
			    "what is around the tag was changed");
	}
	return 0;
}
