/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames for the suite: noise, and TCP whose checksums can be told right from wrong. */
#include "tests/conformance/net/suite.h"

static const uint8_t their_mac[6] = {0x52, 0x54, 0, 0xaa, 0xbb, 0xcc};

uint32_t frame_max(const struct suite *t)
{
	return t->info.mtu + ETHERNET_HEADER_BYTES;
}

void make_frame(struct suite *t, uint8_t *frame, uint32_t len_bytes, bool to_us)
{
	struct ethernet_header *ethernet = (void *)frame;

	random_fill(&t->random, frame, len_bytes);
	/* On a loop, what is sent must be wanted back. */
	memcpy(ethernet->destination, to_us || t->wire.kind == WIRE_LOOP ? t->info.mac : their_mac, 6);
	memcpy(ethernet->source, to_us ? their_mac : t->info.mac, 6);
	net_put16(ethernet->type, ETHERNET_TYPE_TEST);
}

struct ob_packet *make_packets(struct suite *t, const uint8_t *frame, uint32_t len_bytes, unsigned parts)
{
	uint32_t room = ob_packet_pool_room(t->pool);
	struct ob_packet *head = NULL;

	while (len_bytes > 0) {
		uint32_t odd = parts > 1 ? (uint32_t)random_below(&t->random, 64) : 0;
		uint32_t most = MIN(room - odd, len_bytes);
		uint32_t bytes = parts > 1 ? (uint32_t)random_range(&t->random, 1,
								    MAX(1u, MIN(most, 2 * len_bytes / parts)))
					   : most;
		struct ob_packet *part = ob_packet_alloc(t->pool);

		if (part == NULL) {
			ob_packet_put(head);
			return NULL;
		}
		ob_packet_append(part, odd + bytes);
		if (odd > 0)
			ob_packet_pull(part, odd);
		memcpy(part->data, frame, bytes);
		frame += bytes;
		len_bytes -= bytes;
		if (parts > 1)
			parts--;
		if (head == NULL)
			head = part;
		else
			ob_packet_chain(head, part);
	}
	return head;
}

uint32_t make_tcp(struct suite *t, uint8_t *frame, uint32_t len_bytes, bool ip6)
{
	struct ip4_header *ip4 = (void *)(frame + ETHERNET_HEADER_BYTES);
	struct ip6_header *six = (void *)(frame + ETHERNET_HEADER_BYTES);
	uint32_t transport = ETHERNET_HEADER_BYTES + (uint32_t)(ip6 ? sizeof(*six) : sizeof(*ip4));
	struct tcp_header *tcp = (void *)(frame + transport);

	make_frame(t, frame, len_bytes, false);
	net_put16(frame + 12, ip6 ? ETHERNET_TYPE_IP6 : ETHERNET_TYPE_IP4);
	if (ip6) {
		net_put32(six->version_class_flow, 0x60000000u);
		net_put16(six->payload_bytes, (uint16_t)(len_bytes - transport));
		six->next_header = IP_PROTOCOL_TCP;
		six->hop_limit = 64;
	} else {
		memset(ip4, 0, sizeof(*ip4));
		ip4->version_ihl = 0x45;
		net_put16(ip4->total_bytes, (uint16_t)(len_bytes - ETHERNET_HEADER_BYTES));
		net_put16(ip4->id, (uint16_t)random_next(&t->random));
		net_put16(ip4->fragment, IP4_DONT_FRAGMENT);
		ip4->ttl = 64;
		ip4->protocol = IP_PROTOCOL_TCP;
		net_put32(ip4->source, 0x0a000001);
		net_put32(ip4->destination, 0x0a000002);
		net_put16(ip4->checksum, net_checksum(ip4, sizeof(*ip4)));
	}
	tcp->data_offset = 0x50;
	tcp->flags = TCP_ACK | TCP_PSH;
	net_put16(tcp->urgent, 0);
	net_put16(tcp->checksum, 0);
	return transport;
}

static uint64_t pseudo_sum(const uint8_t *frame, uint32_t len_bytes, uint32_t transport, bool ip6)
{
	const void *ip = frame + ETHERNET_HEADER_BYTES;

	return ip6 ? net_sum_pseudo6(ip, IP_PROTOCOL_TCP, len_bytes - transport)
		   : net_sum_pseudo4(ip, IP_PROTOCOL_TCP, len_bytes - transport);
}

void open_checksum(uint8_t *frame, uint32_t len_bytes, uint32_t transport, bool ip6)
{
	struct tcp_header *tcp = (void *)(frame + transport);

	net_put16(tcp->checksum, net_sum_fold(pseudo_sum(frame, len_bytes, transport, ip6)));
}

bool checksums_right(const uint8_t *frame, uint32_t len_bytes, uint32_t transport, bool ip6)
{
	uint64_t sum = pseudo_sum(frame, len_bytes, transport, ip6);

	if (!ip6 && net_checksum(frame + ETHERNET_HEADER_BYTES, sizeof(struct ip4_header)) != 0)
		return false;
	return net_sum_fold(net_sum(sum, frame + transport, len_bytes - transport)) == 0xffff;
}
