/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames for the driver: VIRTIO 1.2 §5.1.6.3, §5.1.6.4. A frame that finds no buffers stays on the wire. One that the
 * driver cannot take as it is gets its checksum made, or is cut.
 */
#include <string.h>

#include "model/net/virtio_net/vnet_model.h"

/* May the driver be given this? By its features, and by what it has switched off since. */
static bool takes(const struct vnet_model *m, unsigned feature)
{
	return virtio_model_has(&m->virtio, feature) && (m->settings.offloads & BIT64(feature)) != 0;
}

static bool takes_segments(const struct vnet_model *m, uint8_t gso_type)
{
	unsigned feature = (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6 ? VIRTIO_NET_F_GUEST_TSO6
											    : VIRTIO_NET_F_GUEST_TSO4;

	return takes(m, feature) && ((gso_type & VIRTIO_NET_HDR_GSO_ECN) == 0 || takes(m, VIRTIO_NET_F_GUEST_ECN));
}

/* ---- buffers ---- */

/* Hold one more; false: the driver has given no more, or there are too many. */
static bool hold(struct vnet_model *m, unsigned pair)
{
	struct vnet_held *held = &m->held[pair];
	unsigned first = held->count != 0 ? held->first_piece[held->count] : 0;
	struct virtqueue_chain *chain = &held->chains[held->count];

	if (held->count == VNET_MODEL_CHAINS_MAX || VNET_MODEL_PIECES_MAX - first < 64)
		return false;
	if (!virtio_model_pop(&m->virtio, VIRTIO_NET_RX(pair), held->pieces + first, VNET_MODEL_PIECES_MAX - first,
			      chain))
		return false;
	if (chain->out_count != 0)
		m->virtio.host->ops->note(m->virtio.host, "a receive buffer with %u pieces that are to be read",
					  chain->out_count);
	held->first_piece[held->count] = (uint16_t)first;
	held->count++;
	held->first_piece[held->count] = (uint16_t)(first + chain->out_count + chain->in_count);
	if (held->count == 1)
		held->room_bytes = 0;
	held->room_bytes += chain->in_bytes;
	return true;
}

/* Enough to hold @bytes: 1; not yet: 0; never: -1. */
static int make_room(struct vnet_model *m, unsigned pair, uint64_t bytes)
{
	struct vnet_held *held = &m->held[pair];
	bool merge = virtio_model_has(&m->virtio, VIRTIO_NET_F_MRG_RXBUF);

	while (held->count == 0 || (merge && held->room_bytes < bytes)) {
		if (held->count == VNET_MODEL_CHAINS_MAX)
			return -1;
		if (!hold(m, pair))
			return held->count != 0 && VNET_MODEL_PIECES_MAX - held->first_piece[held->count] < 64 ? -1 : 0;
	}
	return held->room_bytes >= bytes ? 1 : -1;
}

/* ---- one frame into buffers ---- */

static void make_header(const struct vnet_frame *frame, uint32_t hash, uint16_t report, unsigned buffers,
			struct virtio_net_header_hash *to)
{
	*to = (struct virtio_net_header_hash){.header = {.flags = frame->flags, .gso_type = frame->gso_type}};
	ob_le16_store(&to->header.hdr_len, frame->header_bytes);
	ob_le16_store(&to->header.gso_size, frame->gso_bytes);
	ob_le16_store(&to->header.csum_start, frame->csum_start);
	ob_le16_store(&to->header.csum_offset, frame->csum_offset);
	ob_le16_store(&to->header.num_buffers, (uint16_t)buffers);
	ob_le32_store(&to->hash_value, hash);
	ob_le16_store(&to->hash_report, report);
}

/* Which buffers it takes is known before the header is: the first of them has the header. */
static unsigned buffers_for(const struct vnet_held *held, uint64_t bytes)
{
	unsigned count = 0;

	while (bytes > 0) {
		uint64_t part = MIN(bytes, held->chains[count].in_bytes);

		bytes -= part;
		count++;
	}
	return count;
}

static void fill_buffers(struct vnet_model *m, unsigned pair, const struct vnet_frame *frame, uint32_t hash,
			 uint16_t report)
{
	struct vnet_held *held = &m->held[pair];
	uint32_t header_bytes = vnet_header_bytes(m), done = 0;
	uint64_t left = (uint64_t)header_bytes + frame->len_bytes;
	unsigned count = buffers_for(held, left);
	struct virtio_net_header_hash header;

	make_header(frame, hash, report, count, &header);
	if (OB_UNLIKELY(m->hooks.header != NULL))
		m->hooks.header(m->hooks.arg, pair, &header);
	for (unsigned i = 0; i < count; i++) {
		const struct virtqueue_chain *chain = &held->chains[i];
		const struct virtqueue_piece *pieces = held->pieces + held->first_piece[i] + chain->out_count;
		uint32_t skip = i == 0 ? header_bytes : 0;
		uint32_t part = (uint32_t)MIN(left, chain->in_bytes) - skip;

		if (i == 0)
			virtio_model_scatter(&m->virtio, pieces, chain->in_count, 0, &header, header_bytes);
		virtio_model_scatter(&m->virtio, pieces, chain->in_count, skip, frame->data + done, part);
		virtio_model_push(&m->virtio, VIRTIO_NET_RX(pair), chain, skip + part);
		done += part;
		left -= skip + part;
	}
	virtio_model_settle(&m->virtio, VIRTIO_NET_RX(pair));
	/* What is left over is for the next one. */
	held->count -= count;
	held->room_bytes = 0;
	for (unsigned i = 0; i < held->count; i++) {
		unsigned pieces = held->first_piece[count + i + 1] - held->first_piece[count + i];
		unsigned to = i != 0 ? held->first_piece[i] : 0;

		held->chains[i] = held->chains[count + i];
		memmove(held->pieces + to, held->pieces + held->first_piece[count + i], pieces * sizeof(*held->pieces));
		held->first_piece[i] = (uint16_t)to;
		held->first_piece[i + 1] = (uint16_t)(to + pieces);
		held->room_bytes += held->chains[i].in_bytes;
	}
}

/* 1 delivered, or never to be; 0: no buffers now, and @pair is the one that lacks them. */
static int deliver(struct vnet_model *m, const struct vnet_frame *frame, unsigned *pair)
{
	uint32_t header_bytes = vnet_header_bytes(m), hash;
	uint16_t report;
	int room;

	*pair = vnet_steer(m, frame, &hash, &report);
	if (!m->virtio.queues[VIRTIO_NET_RX(*pair)].ready)
		return 1; /* dropped: nobody listens there */
	room = make_room(m, *pair, (uint64_t)header_bytes + frame->len_bytes);
	if (room == 0)
		return 0;
	if (room < 0 || m->held[*pair].chains[0].in_bytes < header_bytes) {
		m->stats.rx_bad++;
		return 1;
	}
	fill_buffers(m, *pair, frame, hash, report);
	m->stats.rx_frames++;
	return 1;
}

/* ---- what the driver can take ---- */

/* Into segments. How many of them there are buffers for is not known before: one that stalls goes on where it stopped. */
static int deliver_segments(struct vnet_model *m, const struct vnet_frame *frame, unsigned *pair)
{
	for (;;) {
		struct vnet_frame part = {.data = m->segment, .pair = frame->pair};
		int64_t bytes = vnet_cut_segment(frame, m->segments_done, m->segment);

		if (bytes <= 0) {
			m->stats.rx_bad += bytes < 0;
			m->segments_done = 0;
			return 1;
		}
		part.len_bytes = (uint32_t)bytes;
		if (deliver(m, &part, pair) == 0)
			return 0;
		m->segments_done++;
	}
}

static int deliver_any(struct vnet_model *m, const struct vnet_frame *frame, unsigned *pair)
{
	struct vnet_frame whole = *frame;

	if (frame->len_bytes > m->config.frame_max || !vnet_wanted(m, frame)) {
		m->stats.rx_filtered++;
		return 1;
	}
	if (frame->gso_type != VIRTIO_NET_HDR_GSO_NONE && !takes_segments(m, frame->gso_type))
		return deliver_segments(m, frame, pair);
	if ((frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || takes(m, VIRTIO_NET_F_GUEST_CSUM)) {
		/* Without that feature the flags must be zero (§5.1.6.4.1). */
		if (!takes(m, VIRTIO_NET_F_GUEST_CSUM))
			whole.flags = 0;
		return deliver(m, &whole, pair);
	}
	memcpy(m->segment, frame->data, frame->len_bytes);
	if (vnet_finish_csum(m->segment, frame->len_bytes, frame->csum_start, frame->csum_offset) != 0) {
		m->stats.rx_bad++;
		return 1;
	}
	whole = (struct vnet_frame){.data = m->segment, .len_bytes = frame->len_bytes, .pair = frame->pair};
	return deliver(m, &whole, pair);
}

bool vnet_receive_work(struct vnet_model *m, unsigned index, unsigned budget)
{
	struct vnet_frame frame;
	unsigned pair = index / 2;

	for (unsigned i = 0; i < budget; i++) {
		if (!m->link_up || !m->wire->peek(m->wire_arg, &frame)) {
			/* It has buffers, and need not tell of more: a frame is what we wait for. */
			virtio_model_pause(&m->virtio, index);
			return false;
		}
		if (deliver_any(m, &frame, &pair) == 0) {
			/* That queue's next notification is what we wait for. */
			if (VIRTIO_NET_RX(pair) != index) {
				virtio_model_pause(&m->virtio, index);
				virtio_model_mark(&m->virtio, VIRTIO_NET_RX(pair));
			}
			return false;
		}
		m->wire->next(m->wire_arg);
	}
	return true;
}
