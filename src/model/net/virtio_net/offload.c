/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver left open and another one cannot take so: checksums, and segments in one (VIRTIO 1.2 §5.1.6.2). */
#include <errno.h>
#include <string.h>

#include "model/net/virtio_net/vnet_model.h"
#include "spec/ethernet.h"

int vnet_finish_csum(uint8_t *data, uint32_t len_bytes, uint32_t csum_start, uint32_t csum_offset)
{
	uint16_t sum;

	if (csum_start > len_bytes || csum_offset + 2 > len_bytes - csum_start)
		return -EINVAL;
	/* The field holds the pseudo header's sum, so it is summed like the rest. */
	sum = net_checksum(data + csum_start, len_bytes - csum_start);
	net_put16(data + csum_start + csum_offset, sum);
	return 0;
}

/* Where the payload begins: read from the frame, as the header's word for it is only a hint. 0: no TCP there. */
static uint32_t payload_offset(const struct vnet_frame *frame)
{
	uint32_t transport = frame->csum_start;
	const struct tcp_header *tcp;
	uint32_t bytes;

	if (transport < ETHERNET_HEADER_BYTES + sizeof(struct ip4_header) ||
	    transport + sizeof(*tcp) > frame->len_bytes)
		return 0;
	tcp = (const void *)(frame->data + transport);
	bytes = FIELD_GET(TCP_DATA_OFFSET, tcp->data_offset) * 4u;
	return bytes >= sizeof(*tcp) && transport + bytes <= frame->len_bytes ? transport + bytes : 0;
}

/* The IP header is the last thing before the transport header; for IPv6, it and its extensions are. */
static void fix_ip(const struct vnet_frame *frame, unsigned index, uint8_t *to, uint32_t len_bytes, bool six)
{
	uint32_t at = ETHERNET_HEADER_BYTES;

	if (net_get16(to + 12) == ETHERNET_TYPE_VLAN)
		at += VLAN_TAG_BYTES;
	if (six) {
		struct ip6_header *ip = (void *)(to + at);

		net_put16(ip->payload_bytes, (uint16_t)(len_bytes - at - sizeof(*ip)));
	} else {
		struct ip4_header *ip = (void *)(to + at);

		net_put16(ip->total_bytes, (uint16_t)(len_bytes - at));
		net_put16(ip->id, (uint16_t)(net_get16(ip->id) + index));
		net_put16(ip->checksum, 0);
		net_put16(ip->checksum, net_checksum(ip, frame->csum_start - at));
	}
}

/* The pseudo header's sum counted the whole frame's length; now it is the segment's. */
static void fix_tcp(const struct vnet_frame *frame, uint8_t *to, uint32_t len_bytes, uint32_t offset, bool first,
		    bool last)
{
	struct tcp_header *tcp = (void *)(to + frame->csum_start);
	uint32_t whole = frame->len_bytes - frame->csum_start, now = len_bytes - frame->csum_start;
	uint64_t sum = (uint64_t)net_get16(tcp->checksum) + (uint16_t)~net_sum_fold(whole) + net_sum_fold(now);

	net_put32(tcp->sequence, net_get32(tcp->sequence) + offset);
	if (!last)
		tcp->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (!first)
		tcp->flags &= (uint8_t)~TCP_CWR;
	net_put16(tcp->checksum, net_sum_fold(sum));
}

int64_t vnet_cut_segment(const struct vnet_frame *frame, unsigned index, uint8_t *to)
{
	uint32_t header = payload_offset(frame), offset, bytes;
	bool six = (frame->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6;
	uint64_t start = (uint64_t)index * frame->gso_bytes;

	if (header == 0 || frame->gso_bytes == 0 || frame->csum_offset != TCP_CHECKSUM_OFFSET)
		return -EINVAL;
	if (start >= frame->len_bytes - header)
		return 0;
	offset = (uint32_t)start;
	bytes = MIN(frame->len_bytes - header - offset, frame->gso_bytes);
	memcpy(to, frame->data, header);
	memcpy(to + header, frame->data + header + offset, bytes);
	fix_ip(frame, index, to, header + bytes, six);
	fix_tcp(frame, to, header + bytes, offset, index == 0, header + offset + bytes == frame->len_bytes);
	if (vnet_finish_csum(to, header + bytes, frame->csum_start, frame->csum_offset) != 0)
		return -EINVAL;
	return header + bytes;
}
