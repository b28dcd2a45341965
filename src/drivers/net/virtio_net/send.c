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
#include <string.h>

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
		ob_packet_pool_push_index(pool, FIELD_GET(VNET_TX_INDEX, token));
	else
		ob_packet_put_any(&pool->packets[FIELD_GET(VNET_TX_INDEX, token)]);
}

/*
 * Tokens come right onto the stack of the channel's own pool, which is pools[0]: those of its plain packets are what belongs
 * there. Where one is something else, all are taken off again and looked at.
 */
static VNET_SLOW void sort_out(struct vnet_pair *p, const uint32_t *found, unsigned count)
{
	uint32_t tokens[VNET_BURST];

	memcpy(tokens, found, count * sizeof(*tokens));
	for (unsigned i = 0; i < count; i++)
		vnet_tx_end(p, tokens[i]);
}

/* At most VNET_BURST of what the device is done with. */
static unsigned reap_some(struct vnet_pair *p)
{
	struct ob_packet_pool *own = p->pools[0].pool;
	uint32_t *top = own->free + own->free_count, spare[VNET_BURST], all = 0;
	unsigned room = own->count - own->free_count;
	int n;

	/* Packets of other pools need no place there. */
	if (OB_UNLIKELY(room < VNET_BURST))
		top = spare;
	n = ob_virtio_queue_take_tokens(p->tx, top, VNET_BURST);
	if (OB_UNLIKELY(n <= 0)) {
		if (n < 0)
			vnet_pair_break(p, "its send queue");
		return 0;
	}
	for (int i = 0; i < n; i++)
		all |= top[i];
	if (OB_LIKELY(all <= FIELD_MAX(VNET_TX_INDEX) && top != spare))
		own->free_count += (unsigned)n;
	else
		sort_out(p, top, (unsigned)n);
	p->tx_posted -= (unsigned)n;
	p->tx_done += (unsigned)n;
	return (unsigned)n;
}

static unsigned reap(struct vnet_pair *p, unsigned max)
{
	unsigned done = 0, n;

	do {
		n = reap_some(p);
		done += n;
	} while (n == VNET_BURST && done < max);
	return done;
}

unsigned vnet_reap(struct ob_net_channel *channel)
{
	return reap(channel->driver_data, UINT32_MAX);
}

/*
 * Some devices miss what they were not told of because they did not ask for it: QEMU's, when its back-end was busy for a
 * while, goes on with a packed ring but leaves the event index where it was. So frames that lie for long get them a
 * notification that they did not ask for.
 */
void vnet_tick(struct ob_timer *timer)
{
	struct vnet_pair *p = container_of(timer, struct vnet_pair, tick);

	p->ticking = false;
	if (!p->running)
		return;
	reap(p, p->tx_posted);
	if (p->tx_posted == 0 || p->broken)
		return;
	if (p->tx_done == p->tx_done_seen)
		ob_virtio_queue_nudge(p->tx);
	p->tx_done_seen = p->tx_done;
	p->ticking = true;
	ob_timer_start(&p->tick, ob_cpu_time_ns(p->channel->cpu) + VNET_TICK_NS);
}

static VNET_SLOW void tick_start(struct vnet_pair *p)
{
	p->ticking = true;
	p->tx_done_seen = p->tx_done;
	ob_timer_start(&p->tick, ob_cpu_time_ns(p->channel->cpu) + VNET_TICK_NS);
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

static int refuse(struct vnet_pair *p, struct ob_packet *frame)
{
	p->channel->stats.tx_refused++;
	give_back(p, frame);
	return 0;
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
		return refuse(p, frame);
	count = place_parts(p, frame, first);
	if (count == 0)
		return refuse(p, frame);
	own_header = place_header(p, frame, index, first);
	ret = ob_virtio_queue_add(p->tx, first - own_header, count + own_header, 0, VNET_TX_SLOW | index);
	if (ret == -EINVAL)
		return refuse(p, frame);
	if (ret != 0)
		return -EAGAIN;
	p->slow_free = p->slow[index].next_free;
	p->slow[index].frame = frame;
	p->channel->stats.tx_frames++;
	p->channel->stats.tx_bytes += frame->frame_bytes;
	p->tx_posted++;
	return 0;
}

/* ---- the usual ---- */

/*
 * A header that went this way before is clear, and while nobody writes to it its line stays in the caches of both. Where a
 * device wrote it the look is not in vain either: lines that are read come side by side, those that are only written come
 * one after the other.
 */
static inline __attribute__((always_inline)) bool is_clear(const uint8_t *header, uint32_t header_bytes)
{
	uint32_t any = 0, word;

	for (uint32_t at = 0; at < header_bytes; at += sizeof(word)) {
		memcpy(&word, header + at, sizeof(word));
		any |= word;
	}
	return any == 0;
}

static_assert(sizeof(struct virtio_net_header) % 4 == 0 && sizeof(struct virtio_net_header_hash) % 4 == 0,
	      "headers are whole words");

/*
 * Plain frames from @frames on, of one pool, until one is not. Returns how many there are; not sent yet. @header_bytes is
 * a constant where this is used, so that no call comes of the zeroing.
 */
static inline __attribute__((always_inline)) unsigned gather(struct vnet_pair *p, struct ob_packet **frames,
							     unsigned count, struct ob_virtio_single *out,
							     uint64_t *bytes, uint32_t header_bytes)
{
	struct ob_packet_pool *pool = frames[0]->pool;
	const struct vnet_pool *entry = pool_of(p, pool);
	const struct ob_packet *packets = pool->packets;
	/* Data begins at least a header behind its buffer, and ends in it: one comparison for both ends. */
	const uint8_t *first = pool->data - pool->headroom_bytes + header_bytes;
	size_t room = (size_t)pool->headroom_bytes + pool->room_bytes - header_bytes, stride = pool->stride_bytes;
	uint32_t most = MIN(p->frame_max, (uint32_t)room) - ETHERNET_HEADER_BYTES, name;
	uint64_t sum = 0, iova;
	unsigned i;

	if (OB_UNLIKELY(entry == NULL))
		return 0;
	name = FIELD_PREP(VNET_TX_POOL, (uint32_t)(entry - p->pools));
	iova = entry->iova - header_bytes;
	for (i = 0; i < count; i++) {
		struct ob_packet *packet = frames[i];
		uint8_t *data = packet->data;
		uint32_t len_bytes = packet->len_bytes, index;

		if (OB_UNLIKELY(!ob_packet_is_plain(packet) || packet->pool != pool ||
				len_bytes - ETHERNET_HEADER_BYTES > most))
			break;
		index = (uint32_t)(packet - packets);
		if (OB_UNLIKELY((size_t)(data - (first + index * stride)) > room - len_bytes))
			break;
		sum += len_bytes;
		if (!is_clear(data - header_bytes, header_bytes))
			ob_dma_zero(data - header_bytes, header_bytes);
		out[i].iova.addr = iova + (uint64_t)(uintptr_t)data;
		out[i].len_bytes = len_bytes + header_bytes;
		out[i].token = name | index;
	}
	*bytes = sum;
	return i;
}

static unsigned gather_any(struct vnet_pair *p, struct ob_packet **frames, unsigned count, struct ob_virtio_single *out,
			   uint64_t *bytes)
{
	if (OB_LIKELY(p->header_bytes == sizeof(struct virtio_net_header)))
		return gather(p, frames, count, out, bytes, sizeof(struct virtio_net_header));
	return gather(p, frames, count, out, bytes, sizeof(struct virtio_net_header_hash));
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

	if (OB_UNLIKELY(p->tx_posted + count > p->tx_depth)) {
		reap(p, p->tx_posted);
		/* A frame takes one entry at least. */
		count = MIN(count, p->tx_depth - p->tx_posted);
	}
	while (done < count) {
		uint64_t bytes;
		unsigned n = gather_any(p, frames + done, MIN(count - done, VNET_REFILL), singles, &bytes), added;

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
			p->tx_short = p->tx_done + 1;
			break;
		}
	}
	return done;
}

void vnet_kick(struct ob_net_channel *channel)
{
	struct vnet_pair *p = channel->driver_data;

	channel->stats.kicks += ob_virtio_queue_kick(p->tx);
	if (OB_UNLIKELY(!p->ticking && p->tx_posted != 0))
		tick_start(p);
}
