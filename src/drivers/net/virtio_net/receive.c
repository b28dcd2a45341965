/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving: VIRTIO 1.2 §5.1.6.3 and §5.1.6.4.
 *
 * A buffer is named to the ring by its packet's place in the pool, so nothing has to be kept for it. The device writes its
 * header into the headroom, right before the data. Where no feature makes the header say anything it is not looked at;
 * else it is copied once, and the copy checked.
 */
#include <errno.h>

#include "drivers/net/virtio_net/virtio_net.h"

/* ---- buffers for the device ---- */

/* The timer looks again: nobody says when packets come back to a pool. */
static VNET_SLOW void refill_starved(struct vnet_pair *p)
{
	p->channel->stats.rx_no_packets++;
	if (p->refilling)
		return;
	p->refilling = true;
	ob_timer_start(&p->refill, ob_cpu_time_ns(p->channel->cpu) + VNET_REFILL_RETRY_NS);
}

/* At most VNET_REFILL. Returns how many the device got. */
static unsigned post(struct vnet_pair *p, unsigned wish)
{
	struct ob_packet_pool *pool = p->pool;
	const uint32_t *indexes;
	unsigned count = ob_packet_pool_top(pool, wish, &indexes);

	count = ob_virtio_queue_add_buffers(p->rx, indexes, count, p->rx_base, pool->stride_bytes, p->rx_bytes);
	ob_packet_pool_pop(pool, count);
	p->rx_posted += count;
	return count;
}

void vnet_refill(struct vnet_pair *p)
{
	while (p->rx_posted < p->rx_depth) {
		unsigned wish = MIN(p->rx_depth - p->rx_posted, VNET_REFILL);

		if (OB_UNLIKELY(post(p, wish) < wish)) {
			refill_starved(p);
			break;
		}
	}
	p->channel->stats.kicks += ob_virtio_queue_kick(p->rx);
}

void vnet_refill_timer(struct ob_timer *timer)
{
	struct vnet_pair *p = container_of(timer, struct vnet_pair, refill);

	p->refilling = false;
	if (p->running)
		vnet_refill(p);
}

/* ---- what the header says ---- */

static const uint8_t hash_types[] = {
	[VIRTIO_NET_HASH_REPORT_NONE] = OB_HASH_NONE,     [VIRTIO_NET_HASH_REPORT_IPV4] = OB_HASH_IP4,
	[VIRTIO_NET_HASH_REPORT_TCPV4] = OB_HASH_TCP4,    [VIRTIO_NET_HASH_REPORT_UDPV4] = OB_HASH_UDP4,
	[VIRTIO_NET_HASH_REPORT_IPV6] = OB_HASH_IP6,      [VIRTIO_NET_HASH_REPORT_TCPV6] = OB_HASH_TCP6,
	[VIRTIO_NET_HASH_REPORT_UDPV6] = OB_HASH_UDP6,    [VIRTIO_NET_HASH_REPORT_IPV6_EX] = OB_HASH_IP6,
	[VIRTIO_NET_HASH_REPORT_TCPV6_EX] = OB_HASH_TCP6, [VIRTIO_NET_HASH_REPORT_UDPV6_EX] = OB_HASH_UDP6,
};

/* The offload that a device must have been granted to send such a frame; 0: no such type. */
static uint32_t gso_offload(uint8_t type, uint8_t *gso)
{
	uint8_t ecn = type & VIRTIO_NET_HDR_GSO_ECN;

	*gso = ecn != 0 ? OB_GSO_ECN : 0;
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		*gso |= OB_GSO_TCP4;
		return OB_NET_RX_TSO4 | (ecn != 0 ? OB_NET_RX_ECN : 0);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		*gso |= OB_GSO_TCP6;
		return OB_NET_RX_TSO6 | (ecn != 0 ? OB_NET_RX_ECN : 0);
	case VIRTIO_NET_HDR_GSO_UDP:
		*gso |= OB_GSO_UDP;
		return ecn == 0 ? OB_NET_RX_UFO : 0;
	default:
		return 0;
	}
}

static bool read_segments(const struct vnet_pair *p, struct ob_packet *frame, const struct virtio_net_header *h)
{
	uint32_t need = gso_offload(h->gso_type, &frame->gso);

	frame->gso_bytes = ob_le16_to_cpu(h->gso_size);
	/* A hint at best (§5.1.6.4.2). */
	frame->header_bytes = (uint16_t)MIN((uint32_t)ob_le16_to_cpu(h->hdr_len), frame->frame_bytes);
	frame->flags |= OB_PACKET_SEGMENT;
	return need != 0 && (need & ~p->rx_offloads) == 0 && frame->gso_bytes != 0 &&
	       (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
}

/* False: it makes no sense. Flags that were not agreed on mean nothing (§5.1.6.4.2). */
static bool read_header(const struct vnet_pair *p, struct ob_packet *frame, const struct virtio_net_header_hash *h)
{
	if ((p->rx_offloads & OB_NET_RX_CSUM) != 0) {
		if ((h->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
			frame->csum_start = ob_le16_to_cpu(h->header.csum_start);
			frame->csum_offset = ob_le16_to_cpu(h->header.csum_offset);
			if ((uint32_t)frame->csum_start + frame->csum_offset + 2 > frame->frame_bytes)
				return false;
			frame->flags |= OB_PACKET_CSUM_PARTIAL;
		} else if ((h->header.flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0) {
			frame->flags |= OB_PACKET_CSUM_GOOD;
		}
		if (h->header.gso_type != VIRTIO_NET_HDR_GSO_NONE && !read_segments(p, frame, &h->header))
			return false;
	}
	if ((p->rx_offloads & OB_NET_RX_HASH) != 0) {
		uint16_t report = ob_le16_to_cpu(h->hash_report);

		frame->hash_type = report < ARRAY_SIZE(hash_types) ? hash_types[report] : OB_HASH_NONE;
		frame->hash = ob_le32_to_cpu(h->hash_value);
		if (frame->hash_type != OB_HASH_NONE)
			frame->flags |= OB_PACKET_HASH;
	}
	return true;
}

/* ---- frames with a header to be read ---- */

static void drop(struct vnet_pair *p, struct ob_packet *frame)
{
	p->channel->stats.rx_errors++;
	ob_packet_put(frame);
}

/* One more buffer of the frame that is under way. True: it was the last. */
static bool add_part(struct vnet_pair *p, struct ob_packet *part, uint32_t bytes)
{
	struct ob_packet *frame = p->partial;

	/* No header here: the part begins where a header would. */
	ob_packet_reset(part, ob_packet_start(p->pool, part) - p->header_bytes, bytes);
	p->partial_last->next = part;
	p->partial_last = part;
	frame->frame_bytes += bytes;
	frame->segments++;
	return --p->partial_missing == 0;
}

/* The first buffer of a frame. True: it is complete. */
static bool begin_frame(struct vnet_pair *p, struct ob_packet *packet, uint32_t bytes, struct ob_packet **out)
{
	uint8_t *data = ob_packet_start(p->pool, packet);
	struct virtio_net_header_hash header;
	uint16_t buffers;

	*out = packet;
	ob_packet_reset(packet, data, bytes - p->header_bytes);
	if (OB_UNLIKELY(bytes < p->header_bytes)) {
		packet->len_bytes = packet->frame_bytes = 0;
		drop(p, packet);
		return false;
	}
	ob_dma_copy(&header, data - p->header_bytes, p->header_bytes);
	if (p->merge) {
		buffers = ob_le16_to_cpu(header.header.num_buffers);
		if (OB_UNLIKELY(buffers == 0 || buffers > p->rx_depth)) {
			drop(p, packet);
			vnet_pair_break(p, "a frame in no buffer, or in more than it was given");
			return false;
		}
		if (buffers > 1) {
			p->partial = p->partial_last = packet;
			p->partial_missing = buffers - 1u;
			p->partial_header = header;
			return false;
		}
	}
	if (OB_UNLIKELY(packet->frame_bytes < ETHERNET_HEADER_BYTES || !read_header(p, packet, &header))) {
		drop(p, packet);
		return false;
	}
	return true;
}

static bool end_frame(struct vnet_pair *p, struct ob_packet **out)
{
	struct ob_packet *frame = p->partial;

	p->partial = NULL;
	*out = frame;
	if (frame->frame_bytes >= ETHERNET_HEADER_BYTES && read_header(p, frame, &p->partial_header))
		return true;
	drop(p, frame);
	return false;
}

static unsigned take_headed(struct vnet_pair *p, const struct ob_virtio_used *used, unsigned count,
			    struct ob_packet **frames, uint64_t *bytes)
{
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++) {
		struct ob_packet *packet = &p->pool->packets[used[i].token];
		bool complete;

		if (p->partial != NULL)
			complete = add_part(p, packet, used[i].len_bytes) && end_frame(p, &frames[done]);
		else
			complete = begin_frame(p, packet, used[i].len_bytes, &frames[done]);
		if (complete)
			*bytes += frames[done++]->frame_bytes;
	}
	return done;
}

/* ---- frames without ---- */

static unsigned take_plain(struct vnet_pair *p, const struct ob_virtio_used *used, unsigned count,
			   struct ob_packet **frames, uint64_t *bytes)
{
	struct ob_packet *packets = p->pool->packets;
	uint8_t *data = p->pool->data;
	size_t stride = p->pool->stride_bytes;
	uint32_t header_bytes = p->header_bytes, most = p->rx_bytes - header_bytes - ETHERNET_HEADER_BYTES;
	uint64_t sum = 0;
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t index = used[i].token, len_bytes = used[i].len_bytes - header_bytes;
		struct ob_packet *packet = &packets[index];

		/* Less than the headers wraps to more than any length. */
		if (OB_UNLIKELY(len_bytes - ETHERNET_HEADER_BYTES > most)) {
			ob_packet_reset(packet, data, 0);
			drop(p, packet);
			continue;
		}
		ob_packet_reset(packet, data + index * stride, len_bytes);
		sum += len_bytes;
		frames[done++] = packet;
	}
	*bytes += sum;
	return done;
}

/* A frame of several buffers may take more of them than frames are asked for. */
static unsigned receive_headed(struct vnet_pair *p, struct ob_packet **frames, unsigned max, uint64_t *bytes)
{
	struct ob_virtio_used used[VNET_BURST];
	unsigned done = 0;

	while (done < max) {
		int n = ob_virtio_queue_take_singles(p->rx, used, MIN(max - done, VNET_BURST));

		if (n < 0)
			vnet_pair_break(p, "its receive queue");
		if (n <= 0)
			break;
		p->rx_posted -= (unsigned)n;
		done += take_headed(p, used, (unsigned)n, frames + done, bytes);
	}
	return done;
}

static unsigned receive_plain(struct vnet_pair *p, struct ob_packet **frames, unsigned max, uint64_t *bytes)
{
	struct ob_virtio_used used[VNET_BURST];
	int n = ob_virtio_queue_take_singles(p->rx, used, MIN(max, VNET_BURST));

	if (OB_UNLIKELY(n <= 0)) {
		if (n < 0)
			vnet_pair_break(p, "its receive queue");
		return 0;
	}
	p->rx_posted -= (unsigned)n;
	return take_plain(p, used, (unsigned)n, frames, bytes);
}

unsigned vnet_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max)
{
	struct vnet_pair *p = channel->driver_data;
	uint64_t bytes = 0;
	unsigned count;

	if (OB_LIKELY(p->rx_plain))
		count = receive_plain(p, frames, max, &bytes);
	else
		count = receive_headed(p, frames, max, &bytes);
	channel->stats.rx_frames += count;
	channel->stats.rx_bytes += bytes;
	if (p->rx_depth - p->rx_posted >= p->rx_refill && OB_LIKELY(!p->broken))
		vnet_refill(p);
	return count;
}
