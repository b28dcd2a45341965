/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segmentation for devices that have none: a frame that is to go out as several (TCP over IPv4 or IPv6) is cut here, into
 * packets of its own pool. It is taken at once, and its segments go as there are packets and room for them.
 */
#include <errno.h>

#include "net/net.h"
#include "spec/ethernet.h"

#define TCP_HEADERS_MAX 256u /* Ethernet, a tag, IP and TCP, with all of their options */

/* ---- one segment ---- */

static int shape_of(const struct ob_packet *frame, struct net_train_shape *out)
{
	struct ethernet_header ethernet;
	struct tcp_header tcp;
	uint8_t type[2];

	out->ip = ETHERNET_HEADER_BYTES;
	out->transport = frame->csum_start;
	out->six = (frame->gso & ~OB_GSO_ECN) == OB_GSO_TCP6;
	if (ob_packet_read(frame, 0, &ethernet, sizeof(ethernet)) != 0 ||
	    ob_packet_read(frame, out->transport, &tcp, sizeof(tcp)) != 0)
		return -EINVAL;
	type[0] = ethernet.type[0];
	type[1] = ethernet.type[1];
	if (net_get16(type) == ETHERNET_TYPE_VLAN) {
		out->ip += VLAN_TAG_BYTES;
		if (ob_packet_read(frame, out->ip - 2, type, sizeof(type)) != 0)
			return -EINVAL;
	}
	out->payload = out->transport + FIELD_GET(TCP_DATA_OFFSET, tcp.data_offset) * 4u;
	if (net_get16(type) != (out->six ? ETHERNET_TYPE_IP6 : ETHERNET_TYPE_IP4) ||
	    out->transport < out->ip + (out->six ? sizeof(struct ip6_header) : sizeof(struct ip4_header)) ||
	    out->payload < out->transport + sizeof(tcp) || out->payload >= frame->frame_bytes ||
	    out->payload > TCP_HEADERS_MAX || frame->csum_offset != TCP_CHECKSUM_OFFSET)
		return -EINVAL;
	return 0;
}

/* The headers of the segment that has @bytes of payload from @offset on; they are those of the whole so far. */
static void fix_headers(uint8_t *headers, const struct net_train_shape *shape, unsigned index, uint32_t offset,
			uint32_t bytes, bool last)
{
	struct tcp_header *tcp = (void *)(headers + shape->transport);
	uint32_t end = shape->payload + bytes, tcp_bytes = end - shape->transport;
	uint64_t sum;

	if (shape->six) {
		struct ip6_header *ip = (void *)(headers + shape->ip);

		net_put16(ip->payload_bytes, (uint16_t)(end - shape->ip - sizeof(*ip)));
		sum = net_sum_pseudo6(ip, IP_PROTOCOL_TCP, tcp_bytes);
	} else {
		struct ip4_header *ip = (void *)(headers + shape->ip);

		net_put16(ip->total_bytes, (uint16_t)(end - shape->ip));
		net_put16(ip->id, (uint16_t)(net_get16(ip->id) + index));
		net_put16(ip->checksum, 0);
		net_put16(ip->checksum, net_checksum(ip, shape->transport - shape->ip));
		sum = net_sum_pseudo4(ip, IP_PROTOCOL_TCP, tcp_bytes);
	}
	net_put32(tcp->sequence, net_get32(tcp->sequence) + offset);
	/* What ends the whole is said in the last, what begins it in the first (RFC 3168 §6.1.2 of CWR). */
	if (!last)
		tcp->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (index != 0)
		tcp->flags &= (uint8_t)~TCP_CWR;
	net_put16(tcp->checksum, net_sum_fold(sum));
}

/* NULL: no packets now. */
static struct ob_packet *cut(const struct ob_packet *frame, const struct net_train_shape *shape, unsigned index)
{
	uint32_t payload = frame->frame_bytes - shape->payload, offset = index * frame->gso_bytes;
	uint32_t bytes = MIN(payload - offset, frame->gso_bytes), at = shape->payload + offset;
	struct ob_packet *segment = net_frame_alloc(frame->pool, shape->payload + bytes);
	uint8_t headers[TCP_HEADERS_MAX];
	uint32_t skip = shape->payload;

	if (segment == NULL)
		return NULL;
	ob_packet_read(frame, 0, headers, shape->payload);
	fix_headers(headers, shape, index, offset, bytes, offset + bytes == payload);
	ob_packet_write(segment, 0, headers, shape->payload);
	for (struct ob_packet *p = segment; p != NULL; p = p->next) {
		uint32_t from = MIN(skip, p->len_bytes), n = p->len_bytes - from;

		skip -= from;
		ob_packet_read(frame, at, p->data + from, n);
		at += n;
	}
	segment->flags = OB_PACKET_CSUM_PARTIAL | (frame->flags & OB_PACKET_VLAN);
	segment->csum_start = frame->csum_start;
	segment->csum_offset = frame->csum_offset;
	segment->vlan_tci = frame->vlan_tci;
	return segment;
}

/* ---- the frame that is being cut ---- */

static bool device_can(const struct net_channel *c, const struct ob_packet *frame)
{
	unsigned gso = frame->gso & ~OB_GSO_ECN;
	uint32_t need = gso == OB_GSO_TCP4 ? OB_NET_TX_TSO4 : gso == OB_GSO_TCP6 ? OB_NET_TX_TSO6 : OB_NET_TX_UFO;

	if ((frame->gso & OB_GSO_ECN) != 0)
		need |= OB_NET_TX_ECN;
	return (need & ~c->tx_offloads) == 0;
}

/* Of frames that the device cannot cut: it is ours now. False: it is none that can be cut. */
static bool train_begin(struct net_channel *c, struct ob_packet *frame)
{
	unsigned gso = frame->gso & ~OB_GSO_ECN;

	if ((gso != OB_GSO_TCP4 && gso != OB_GSO_TCP6) || frame->gso_bytes == 0 ||
	    (frame->flags & OB_PACKET_CSUM_PARTIAL) == 0 || shape_of(frame, &c->train.shape) != 0)
		return false;
	c->train.frame = frame;
	c->train.index = 0;
	c->pub.stats.soft_segments++;
	return true;
}

static void train_end(struct net_channel *c)
{
	ob_packet_put(c->train.segment);
	ob_packet_put(c->train.frame);
	c->train.segment = c->train.frame = NULL;
}

bool net_train_go(struct net_channel *c)
{
	struct net_train *t = &c->train;
	bool any = false;

	while (t->frame != NULL) {
		if (t->segment == NULL)
			t->segment = cut(t->frame, &t->shape, t->index);
		if (t->segment == NULL || c->pub.ops->send(&c->pub, &t->segment, 1) == 0)
			break;
		any = true;
		t->segment = NULL;
		t->index++;
		if ((uint64_t)t->index * t->frame->gso_bytes >= t->frame->frame_bytes - t->shape.payload)
			train_end(c);
	}
	if (any)
		c->pub.ops->kick(&c->pub);
	if (t->frame == NULL)
		return true;
	/* The poller goes on when there is room. */
	c->full = true;
	if (c->started)
		ob_poll_schedule(&c->poll);
	return false;
}

void net_train_drop(struct net_channel *c)
{
	if (c->train.frame == NULL)
		return;
	c->pub.stats.tx_dropped++;
	train_end(c);
}

unsigned net_segment_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	struct net_channel *c = net_channel(channel);
	unsigned done = 0;

	if (c->train.frame != NULL && !net_train_go(c))
		return 0;
	while (done < count) {
		unsigned run = 0, sent;

		while (done + run < count &&
		       ((frames[done + run]->flags & OB_PACKET_SEGMENT) == 0 || device_can(c, frames[done + run])))
			run++;
		if (run > 0) {
			sent = channel->ops->send(channel, frames + done, run);
			done += sent;
			if (sent < run)
				break;
			continue;
		}
		if (!train_begin(c, frames[done])) {
			channel->stats.tx_refused++;
			ob_packet_put(frames[done++]);
			continue;
		}
		done++;
		if (!net_train_go(c))
			break;
	}
	return done;
}
