/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that the driver sends: VIRTIO 1.2 §5.1.6.2. */
#include "model/net/virtio_net/vnet_model.h"

/* The header, in CPU order; false: the driver may not say that. */
static bool parse_header(const struct vnet_model *m, const struct virtio_net_header *header, struct vnet_frame *frame)
{
	const struct virtio_model *v = &m->virtio;

	frame->flags = header->flags;
	frame->gso_type = header->gso_type;
	frame->header_bytes = ob_le16_load(&header->hdr_len);
	frame->gso_bytes = ob_le16_load(&header->gso_size);
	frame->csum_start = ob_le16_load(&header->csum_start);
	frame->csum_offset = ob_le16_load(&header->csum_offset);
	if ((frame->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 || ob_le16_load(&header->num_buffers) != 0)
		return false;
	if ((frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 &&
	    (!virtio_model_has(v, VIRTIO_NET_F_CSUM) ||
	     (uint32_t)frame->csum_start + frame->csum_offset + 2 > frame->len_bytes))
		return false;
	if ((frame->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0 && !virtio_model_has(v, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (frame->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if (!virtio_model_has(v, VIRTIO_NET_F_HOST_TSO4))
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (!virtio_model_has(v, VIRTIO_NET_F_HOST_TSO6))
			return false;
		break;
	default:
		return false;
	}
	return frame->gso_bytes != 0 && (frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
}

static void transmit_one(struct vnet_model *m, unsigned pair, const struct virtqueue_piece *pieces,
			 const struct virtqueue_chain *chain)
{
	uint32_t header_bytes = vnet_header_bytes(m);
	struct model_host *host = m->virtio.host;
	struct vnet_frame frame = {.data = m->frame, .pair = (uint16_t)pair};
	struct virtio_net_header header;
	uint64_t len_bytes = chain->out_bytes - MIN(chain->out_bytes, header_bytes);

	frame.len_bytes = (uint32_t)MIN(len_bytes, m->config.frame_max);
	if (len_bytes < 14 || len_bytes > m->config.frame_max || chain->in_count != 0) {
		m->stats.tx_bad++;
		host->ops->note(host, "a frame of %llu bytes to be sent, with %u pieces to be written",
				(unsigned long long)len_bytes, chain->in_count);
		return;
	}
	if (virtio_model_gather(&m->virtio, pieces, chain->out_count, 0, &header, sizeof(header)) != 0 ||
	    virtio_model_gather(&m->virtio, pieces, chain->out_count, header_bytes, m->frame, frame.len_bytes) != 0) {
		m->stats.tx_bad++;
		return;
	}
	if (!parse_header(m, &header, &frame)) {
		m->stats.tx_bad++;
		host->ops->note(
			host, "a header that the driver may not write: flags %#x, segments %#x of %u bytes, %u buffers",
			frame.flags, frame.gso_type, frame.gso_bytes, ob_le16_load(&header.num_buffers));
		return;
	}
	if (!m->link_up)
		return;
	m->stats.tx_frames++;
	m->wire->send(m->wire_arg, &frame);
}

bool vnet_transmit_work(struct vnet_model *m, unsigned index, unsigned budget)
{
	struct virtqueue_piece pieces[64];
	struct virtqueue_chain chain;

	for (unsigned i = 0; i < budget; i++) {
		if (!virtio_model_pop(&m->virtio, index, pieces, ARRAY_SIZE(pieces), &chain))
			return false;
		transmit_one(m, index / 2, pieces, &chain);
		virtio_model_push(&m->virtio, index, &chain, 0);
	}
	return true;
}
