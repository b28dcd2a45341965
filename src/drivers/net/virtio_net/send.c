/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: VIRTIO 1.2 §5.1.6.2.
 *
 * A plain frame (one packet, nobody else's, nothing to be done for it) is one piece: its header, all zeroes, goes into the
 * headroom before it. It is named to the ring by its place in its pool, so it needs no place of ours. Every other frame
 * gets one in slow[], which also has room for a header where the headroom is not ours to write to.
 *
 * What the device is done with is given back when the ring gets full, before a burst.
 */
#include <errno.h>

#include "drivers/net/virtio_net/virtio_net.h"

/* ---- giving back ---- */

static void give_back(const struct vnet_pair *p, struct ob_packet *frame)
{
	if (OB_LIKELY(frame->pool->cpu == p->channel->cpu))
		ob_packet_put(frame);
	else
		ob_packet_put_any(frame);
}

void vnet_tx_end(struct vnet_pair *p, uint32_t token)
{
	struct ob_packet_pool *pool;

	if ((token & VNET_TX_SLOW) != 0) {
		uint32_t index = FIELD_GET(VNET_TX_INDEX, token);
		struct vnet_slow *slow = &p->slow[index];

		give_back(p, slow->frame);
		slow->frame = NULL;
		slow->next_free = p->slow_free;
		p->slow_free = (uint16_t)index;
		return;
	}
	pool = p->pools[FIELD_GET(VNET_TX_POOL, token)].pool;
	if (OB_LIKELY(pool->cpu == p->channel->cpu))
		ob_packet_pool_push(pool, &pool->packets[FIELD_GET(VNET_TX_INDEX, token)]);
	else
		ob_packet_put_any(&pool->packets[FIELD_GET(VNET_TX_INDEX, token)]);
}

/* At most @max frames. Plain packets of the channel's own pool, which is pools[0], are pushed without a look at them. */
static unsigned reap(struct vnet_pair *p, unsigned max)
{
	struct ob_virtio_used used[VNET_BURST];
	struct ob_packet_pool *own = p->pools[0].pool;
	unsigned done = 0;

	while (done < max) {
		int n = ob_virtio_queue_take(p->tx, used, MIN(max - done, VNET_BURST));

		if (OB_UNLIKELY(n < 0))
			vnet_pair_break(p, "its send queue");
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			uint32_t token = used[i].token;

			if (OB_LIKELY(token <= FIELD_MAX(VNET_TX_INDEX)))
				ob_packet_pool_push(own, &own->packets[token]);
			else
				vnet_tx_end(p, token);
		}
		p->tx_posted -= (unsigned)n;
		done += (unsigned)n;
		if (n < (int)VNET_BURST)
			break;
	}
	return done;
}

unsigned vnet_reap(struct ob_net_channel *channel)
{
	return reap(channel->driver_data, UINT32_MAX);
}

/* ---- pools ---- */

/* The place of @pool among those that this channel sends from; NULL: not granted, or too many. */
static VNET_SLOW struct vnet_pool *find_pool(struct vnet_pair *p, struct ob_packet_pool *pool)
{
	const struct ob_grant *grant = &pool->window->grant[p->dma_index];
	struct vnet_pool *entry = p->pools;

	while (entry < p->pools + VNET_POOLS_MAX && entry->pool != NULL && entry->pool != pool)
		entry++;
	if (entry == p->pools + VNET_POOLS_MAX)
		return NULL;
	if (entry->pool == NULL) {
		if ((__atomic_load_n(&grant->rights, __ATOMIC_ACQUIRE) & OB_DMA_READ) == 0)
			return NULL;
		entry->pool = ob_packet_pool_get(pool);
		entry->iova = grant->iova - (uint64_t)(uintptr_t)pool->window->base;
	}
	p->last_pool = entry;
	return entry;
}

static inline struct vnet_pool *pool_of(struct vnet_pair *p, struct ob_packet_pool *pool)
{
	return OB_LIKELY(p->last_pool->pool == pool) ? p->last_pool : find_pool(p, pool);
}

/* ---- frames that are not plain ---- */

static const uint8_t gso_types[] = {
	[OB_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
	[OB_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
	[OB_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
	[OB_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP,
};

static void make_header(const struct ob_packet *frame, struct virtio_net_header_hash *out)
{
	*out = (struct virtio_net_header_hash){0};
	if ((frame->flags & OB_PACKET_CSUM_PARTIAL) != 0) {
		out->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out->header.csum_start = ob_cpu_to_le16(frame->csum_start);
		out->header.csum_offset = ob_cpu_to_le16(frame->csum_offset);
	}
	if ((frame->flags & OB_PACKET_SEGMENT) != 0) {
		out->header.gso_type = gso_types[frame->gso & ~OB_GSO_ECN];
		if ((frame->gso & OB_GSO_ECN) != 0)
			out->header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		out->header.gso_size = ob_cpu_to_le16(frame->gso_bytes);
		out->header.hdr_len = ob_cpu_to_le16(frame->header_bytes);
	}
}

/* Where the header goes: before the data if nobody else reads that, else into the slot's own. Returns the pieces used. */
static unsigned place_header(struct vnet_pair *p, const struct ob_packet *frame, uint32_t index,
			     struct ob_dma_piece *pieces)
{
	struct virtio_net_header_hash header;
	uint32_t before = ob_packet_headroom(frame);
	uint8_t *at = p->headers + (size_t)index * VNET_HEADER_STRIDE;

	make_header(frame, &header);
	if (frame->refs == 1 && before >= p->header_bytes) {
		ob_dma_copy(frame->data - p->header_bytes, &header, p->header_bytes);
		pieces[0].iova.addr -= p->header_bytes;
		pieces[0].len_bytes += p->header_bytes;
		return 0;
	}
	ob_dma_copy(at, &header, p->header_bytes);
	pieces[-1].iova.addr = p->headers_iova + (uint64_t)index * VNET_HEADER_STRIDE;
	pieces[-1].len_bytes = p->header_bytes;
	return 1;
}

/* The frame's parts. Returns how many pieces they are; 0: some part is not inside its buffer, or of no granted pool. */
static unsigned place_parts(struct vnet_pair *p, const struct ob_packet *frame, struct ob_dma_piece *pieces)
{
	uint32_t bytes = 0;
	unsigned count = 0;

	for (const struct ob_packet *part = frame; part != NULL; part = part->next) {
		const struct vnet_pool *pool = pool_of(p, part->pool);

		if (pool == NULL || count == VNET_CHAIN_MAX - 1 || !ob_packet_check(part, 0))
			return 0;
		bytes += part->len_bytes;
		if (part->len_bytes == 0 && part != frame)
			continue;
		pieces[count].iova.addr = pool->iova + (uint64_t)(uintptr_t)part->data;
		pieces[count++].len_bytes = part->len_bytes;
	}
	return bytes == frame->frame_bytes && frame->len_bytes != 0 ? count : 0;
}

static bool is_sendable(const struct vnet_pair *p, const struct ob_packet *frame)
{
	uint32_t max = (frame->flags & OB_PACKET_SEGMENT) != 0 ? VNET_FRAME_MAX : p->frame_max;

	return frame->frame_bytes >= ETHERNET_HEADER_BYTES && frame->frame_bytes <= max;
}

/* 0 taken, or refused and given back; -EAGAIN no room. */
static VNET_SLOW int send_slow(struct vnet_pair *p, struct ob_packet *frame)
{
	struct ob_dma_piece pieces[1 + VNET_CHAIN_MAX], *first = pieces + 1;
	uint32_t index;
	unsigned count, own_header;
	int ret;

	/* Frames of many parts empty a pool long before the ring is full. */
	reap(p, VNET_BURST);
	index = p->slow_free;
	if (index == p->slow_count)
		return -EAGAIN;
	if (!is_sendable(p, frame) || (frame->flags != 0 && ob_net_soft(p->channel, frame, p->tx_offloads) != 0))
		goto refuse;
	count = place_parts(p, frame, first);
	if (count == 0)
		goto refuse;
	own_header = place_header(p, frame, index, first);
	ret = ob_virtio_queue_add(p->tx, first - own_header, count + own_header, 0, VNET_TX_SLOW | index);
	if (ret == -EINVAL)
		goto refuse;
	if (ret != 0)
		return -EAGAIN;
	p->slow_free = p->slow[index].next_free;
	p->slow[index].frame = frame;
	p->channel->stats.tx_frames++;
	p->channel->stats.tx_bytes += frame->frame_bytes;
	p->tx_posted++;
	return 0;

refuse:
	p->channel->stats.tx_refused++;
	give_back(p, frame);
	return 0;
}

/* ---- the usual ---- */

/* Of constant lengths, so that no call comes of it. */
static inline void zero_header(uint8_t *at, uint32_t header_bytes)
{
	ob_dma_zero(at, sizeof(struct virtio_net_header));
	if (OB_UNLIKELY(header_bytes != sizeof(struct virtio_net_header)))
		ob_dma_zero(at + sizeof(struct virtio_net_header),
			    sizeof(struct virtio_net_header_hash) - sizeof(struct virtio_net_header));
}

/* Plain frames from @frames on, of one pool, until one is not. Returns how many there are; not sent yet. */
static unsigned gather(struct vnet_pair *p, struct ob_packet **frames, unsigned count, struct ob_virtio_single *out,
		       uint64_t *bytes)
{
	const struct vnet_pool *entry = pool_of(p, frames[0]->pool);
	struct ob_packet_pool *pool = frames[0]->pool;
	uint32_t header_bytes = p->header_bytes, most = p->frame_max - ETHERNET_HEADER_BYTES;
	uint32_t name;
	uint64_t sum = 0;
	unsigned i;

	if (OB_UNLIKELY(entry == NULL))
		return 0;
	name = FIELD_PREP(VNET_TX_POOL, (uint32_t)(entry - p->pools));
	for (i = 0; i < count; i++) {
		struct ob_packet *packet = frames[i];
		uint8_t *data = packet->data;

		if (OB_UNLIKELY(!ob_packet_is_plain(packet) || packet->pool != pool ||
				packet->len_bytes - ETHERNET_HEADER_BYTES > most ||
				!ob_packet_check(packet, header_bytes)))
			break;
		sum += packet->len_bytes;
		zero_header(data - header_bytes, header_bytes);
		out[i].iova.addr = entry->iova + (uint64_t)(uintptr_t)(data - header_bytes);
		out[i].len_bytes = packet->len_bytes + header_bytes;
		out[i].token = name | (uint32_t)(packet - pool->packets);
	}
	*bytes = sum;
	return i;
}

static uint64_t bytes_of(const struct ob_virtio_single *singles, unsigned count, uint32_t header_bytes)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += singles[i].len_bytes - header_bytes;
	return sum;
}

unsigned vnet_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	struct vnet_pair *p = channel->driver_data;
	struct ob_virtio_single singles[VNET_REFILL];
	unsigned done = 0;

	if (OB_UNLIKELY(p->tx_posted + count > p->tx_depth))
		reap(p, p->tx_posted);
	while (done < count) {
		uint64_t bytes;
		unsigned n = gather(p, frames + done, MIN(count - done, VNET_REFILL), singles, &bytes), added;

		if (OB_LIKELY(n > 0)) {
			added = ob_virtio_queue_add_singles(p->tx, singles, n, OB_DMA_READ);
			if (OB_UNLIKELY(added < n))
				bytes = bytes_of(singles, added, p->header_bytes);
			p->tx_posted += added;
			channel->stats.tx_frames += added;
			channel->stats.tx_bytes += bytes;
			done += added;
			if (OB_UNLIKELY(added < n))
				break;
		} else if (send_slow(p, frames[done]) == 0) {
			done++;
		} else {
			break;
		}
	}
	return done;
}

void vnet_kick(struct ob_net_channel *channel)
{
	struct vnet_pair *p = channel->driver_data;

	ob_virtio_queue_kick(p->tx);
}
