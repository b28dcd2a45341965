/* SPDX-License-Identifier: BSD-2-Clause */
/* What a device cannot do for a frame that is to be sent: checksums and VLAN tags. And the frame that announces us. */
#include <errno.h>
#include <string.h>

#include "net/net.h"
#include "spec/ethernet.h"

/* ---- judging ---- */

static uint32_t gso_offload(uint8_t gso)
{
	uint32_t ecn = (gso & OB_GSO_ECN) != 0 ? OB_NET_TX_ECN : 0;

	switch (gso & ~OB_GSO_ECN) {
	case OB_GSO_TCP4:
		return OB_NET_TX_TSO4 | ecn;
	case OB_GSO_TCP6:
		return OB_NET_TX_TSO6 | ecn;
	case OB_GSO_UDP:
		return ecn == 0 ? OB_NET_TX_UFO : 0;
	default:
		return 0;
	}
}

static int judge(const struct ob_packet *frame, uint32_t can)
{
	uint32_t need;

	if ((frame->flags & OB_PACKET_CSUM_PARTIAL) != 0 &&
	    (uint32_t)frame->csum_start + frame->csum_offset + 2 > frame->frame_bytes)
		return -EINVAL;
	if ((frame->flags & OB_PACKET_SEGMENT) == 0)
		return 0;
	need = gso_offload(frame->gso);
	if (need == 0 || frame->gso_bytes == 0 || frame->header_bytes > frame->frame_bytes ||
	    (frame->flags & OB_PACKET_CSUM_PARTIAL) == 0)
		return -EINVAL;
	return (need & ~can) != 0 ? -EOPNOTSUPP : 0;
}

/* ---- doing ---- */

/* The tag comes behind the addresses; all offsets move. */
static int put_tag(struct ob_packet *frame)
{
	uint8_t tag[VLAN_TAG_BYTES];
	uint8_t *data;

	if (frame->len_bytes < ETHERNET_HEADER_BYTES || ob_packet_push(frame, VLAN_TAG_BYTES) == NULL)
		return -EINVAL;
	data = frame->data;
	/* Byte by byte upwards: the new place overlaps the old one. */
	for (unsigned i = 0; i < VLAN_TAG_OFFSET; i++)
		data[i] = data[i + VLAN_TAG_BYTES];
	net_put16(tag, ETHERNET_TYPE_VLAN);
	net_put16(tag + 2, frame->vlan_tci);
	ob_dma_copy(data + VLAN_TAG_OFFSET, tag, sizeof(tag));
	frame->csum_start = (uint16_t)(frame->csum_start + VLAN_TAG_BYTES);
	frame->header_bytes = (uint16_t)(frame->header_bytes + VLAN_TAG_BYTES);
	frame->flags &= ~OB_PACKET_VLAN;
	return 0;
}

int ob_net_soft(struct ob_net_channel *channel, struct ob_packet *frame, uint32_t can)
{
	bool tag = (frame->flags & OB_PACKET_VLAN) != 0 && (can & OB_NET_TX_VLAN) == 0;
	bool csum = (frame->flags & OB_PACKET_CSUM_PARTIAL) != 0 && (can & OB_NET_TX_CSUM) == 0;
	int ret = judge(frame, can);

	if (ret != 0 || (!tag && !csum))
		return ret;
	/* Somebody else reads it. */
	for (const struct ob_packet *p = frame; p != NULL; p = p->next)
		if (p->refs > 1)
			return -EINVAL;
	if (tag) {
		ret = put_tag(frame);
		if (ret != 0)
			return ret;
		channel->stats.soft_vlans++;
	}
	if (csum) {
		ret = ob_packet_finish_csum(frame);
		channel->stats.soft_csums++;
	}
	return ret;
}

/* ---- announcing ---- */

int ob_net_announce(struct ob_net_channel *channel)
{
	struct {
		struct ethernet_header ethernet;
		struct arp_header arp;
		uint8_t padding[ETHERNET_FRAME_MIN - ETHERNET_HEADER_BYTES - sizeof(struct arp_header)];
	} frame = {.arp = {.hardware_bytes = ETHERNET_ADDRESS_BYTES, .protocol_bytes = 4}};
	struct ob_packet *packet;
	struct ob_net_info info;

	ob_net_info(channel->net, &info);
	memset(frame.ethernet.destination, 0xff, sizeof(frame.ethernet.destination));
	memcpy(frame.ethernet.source, info.mac, sizeof(info.mac));
	net_put16(frame.ethernet.type, ETHERNET_TYPE_RARP);
	net_put16(frame.arp.hardware, ARP_ETHERNET);
	net_put16(frame.arp.protocol, ETHERNET_TYPE_IP4);
	net_put16(frame.arp.operation, ARP_REVERSE_REQUEST);
	memcpy(frame.arp.sender_mac, info.mac, sizeof(info.mac));
	memcpy(frame.arp.target_mac, info.mac, sizeof(info.mac));
	packet = ob_packet_from(channel->pool, &frame, sizeof(frame));
	if (packet == NULL)
		return -EAGAIN;
	if (ob_net_send(channel, &packet, 1) == 0) {
		ob_packet_put(packet);
		return -EAGAIN;
	}
	ob_net_kick(channel);
	return 0;
}
