/* SPDX-License-Identifier: BSD-2-Clause */
/* What a virtio device is, for people: how it is reached, its features by name, its queues (VIRTIO 1.2 §2.2, §5, §6). */
#include <errno.h>

#include "bus/virtio/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_net.h"

#define NAME(prefix, feature) [prefix##feature] = #feature

static const char *const ring_names[64] = {
	NAME(VIRTIO_F_, INDIRECT_DESC),     NAME(VIRTIO_F_, EVENT_IDX),   NAME(VIRTIO_F_, VERSION_1),
	NAME(VIRTIO_F_, ACCESS_PLATFORM),   NAME(VIRTIO_F_, RING_PACKED), NAME(VIRTIO_F_, IN_ORDER),
	NAME(VIRTIO_F_, ORDER_PLATFORM),    NAME(VIRTIO_F_, SR_IOV),      NAME(VIRTIO_F_, NOTIFICATION_DATA),
	NAME(VIRTIO_F_, NOTIF_CONFIG_DATA), NAME(VIRTIO_F_, RING_RESET),
};

static const char *const net_names[64] = {
	NAME(VIRTIO_NET_F_, CSUM),
	NAME(VIRTIO_NET_F_, GUEST_CSUM),
	NAME(VIRTIO_NET_F_, CTRL_GUEST_OFFLOADS),
	NAME(VIRTIO_NET_F_, MTU),
	NAME(VIRTIO_NET_F_, MAC),
	NAME(VIRTIO_NET_F_, GUEST_TSO4),
	NAME(VIRTIO_NET_F_, GUEST_TSO6),
	NAME(VIRTIO_NET_F_, GUEST_ECN),
	NAME(VIRTIO_NET_F_, GUEST_UFO),
	NAME(VIRTIO_NET_F_, HOST_TSO4),
	NAME(VIRTIO_NET_F_, HOST_TSO6),
	NAME(VIRTIO_NET_F_, HOST_ECN),
	NAME(VIRTIO_NET_F_, HOST_UFO),
	NAME(VIRTIO_NET_F_, MRG_RXBUF),
	NAME(VIRTIO_NET_F_, STATUS),
	NAME(VIRTIO_NET_F_, CTRL_VQ),
	NAME(VIRTIO_NET_F_, CTRL_RX),
	NAME(VIRTIO_NET_F_, CTRL_VLAN),
	NAME(VIRTIO_NET_F_, CTRL_RX_EXTRA),
	NAME(VIRTIO_NET_F_, GUEST_ANNOUNCE),
	NAME(VIRTIO_NET_F_, MQ),
	NAME(VIRTIO_NET_F_, CTRL_MAC_ADDR),
	NAME(VIRTIO_NET_F_, NOTF_COAL),
	NAME(VIRTIO_NET_F_, HASH_REPORT),
	NAME(VIRTIO_NET_F_, GUEST_HDRLEN),
	NAME(VIRTIO_NET_F_, RSS),
	NAME(VIRTIO_NET_F_, RSC_EXT),
	NAME(VIRTIO_NET_F_, STANDBY),
	NAME(VIRTIO_NET_F_, SPEED_DUPLEX),
};

static const char *const blk_names[64] = {
	NAME(VIRTIO_BLK_F_, SIZE_MAX),     NAME(VIRTIO_BLK_F_, SEG_MAX),      NAME(VIRTIO_BLK_F_, GEOMETRY),
	NAME(VIRTIO_BLK_F_, RO),           NAME(VIRTIO_BLK_F_, BLK_SIZE),     NAME(VIRTIO_BLK_F_, FLUSH),
	NAME(VIRTIO_BLK_F_, TOPOLOGY),     NAME(VIRTIO_BLK_F_, CONFIG_WCE),   NAME(VIRTIO_BLK_F_, MQ),
	NAME(VIRTIO_BLK_F_, DISCARD),      NAME(VIRTIO_BLK_F_, WRITE_ZEROES), NAME(VIRTIO_BLK_F_, LIFETIME),
	NAME(VIRTIO_BLK_F_, SECURE_ERASE),
};

const char *ob_virtio_feature_name(uint32_t id, unsigned bit)
{
	if (bit >= 64)
		return NULL;
	if (bit >= VIRTIO_F_FIRST_RESERVED && bit <= VIRTIO_F_LAST_RESERVED)
		return ring_names[bit];
	switch (id) {
	case VIRTIO_ID_NET:
		return net_names[bit];
	case VIRTIO_ID_BLOCK:
		return blk_names[bit];
	default:
		return NULL;
	}
}

int ob_virtio_info(const struct ob_device *dev, struct ob_virtio_info *out)
{
	const struct virtio_device *v = virtio_device_of(dev);

	if (v == NULL)
		return -EINVAL;
	*out = (struct ob_virtio_info){
		.id = v->id,
		.transport = v->ops->name,
		.offered = v->offered,
		.negotiated = v->features,
		.status = v->status,
		.config_bytes = v->config_len,
		.vectors = v->vector_count,
		.packed = (v->features & BIT64(VIRTIO_F_RING_PACKED)) != 0,
	};
	return 0;
}

static const struct ob_virtio_queue *queue_of(const struct virtio_device *v, unsigned index)
{
	list_for_each (node, &v->queues) {
		const struct ob_virtio_queue *q = list_entry(node, struct ob_virtio_queue, link);

		if (q->config.index == index)
			return q;
	}
	return NULL;
}

int ob_virtio_queue_info(struct ob_device *dev, unsigned index, struct ob_virtio_queue_info *out)
{
	struct virtio_device *v = virtio_device_of(dev);
	const struct ob_virtio_queue *q;
	int entries;

	if (v == NULL)
		return -EINVAL;
	entries = ob_virtio_queue_entries(dev, index);
	if (entries < 0)
		return entries;
	q = queue_of(v, index);
	*out = (struct ob_virtio_queue_info){.entries_max = (unsigned)entries};
	if (q == NULL)
		return 0;
	out->entries = ob_virtio_queue_size(q);
	out->interrupts = q->vector != NULL;
	out->broken = ob_virtio_queue_is_broken(q);
	ob_virtio_queue_stats(q, &out->stats);
	return 0;
}
