/* SPDX-License-Identifier: BSD-2-Clause */
/* What the device is: features, configuration (VIRTIO 1.2 §5.1.3, §5.1.4), which queue is what, reset. */
#include "model/net/virtio_net/vnet_model.h"

#include <errno.h>
#include <string.h>

#define QUEUE_SIZE  256u
#define MTU_DEFAULT 1500u
#define NET_CLASS   0x020000u /* a network controller, Ethernet */
#define CHAIN_MAX   64u

#define HASH_TYPES                                                                             \
	(VIRTIO_NET_HASH_TYPE_IPV4 | VIRTIO_NET_HASH_TYPE_TCPV4 | VIRTIO_NET_HASH_TYPE_UDPV4 | \
	 VIRTIO_NET_HASH_TYPE_IPV6 | VIRTIO_NET_HASH_TYPE_TCPV6 | VIRTIO_NET_HASH_TYPE_UDPV6)

static uint64_t features(const struct vnet_model_config *c)
{
	uint64_t f = BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_GUEST_CSUM) |
		     BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT64(VIRTIO_NET_F_MTU) | BIT64(VIRTIO_NET_F_MAC) |
		     BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN) |
		     BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) | BIT64(VIRTIO_NET_F_HOST_ECN) |
		     BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_CTRL_VQ) |
		     BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_VLAN) | BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		     BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		     BIT64(VIRTIO_NET_F_HASH_REPORT) | BIT64(VIRTIO_NET_F_RSS);

	if (c->pairs > 1)
		f |= BIT64(VIRTIO_NET_F_MQ);
	if (c->speed_mbps != 0)
		f |= BIT64(VIRTIO_NET_F_SPEED_DUPLEX);
	return (f & ~c->without) | c->ring_features;
}

static void fill_space(struct vnet_model *m)
{
	struct virtio_net_config *space = &m->space;

	memcpy(space->mac, m->config.mac, sizeof(space->mac));
	ob_le16_store(&space->status, m->link_up ? VIRTIO_NET_S_LINK_UP : 0);
	ob_le16_store(&space->max_virtqueue_pairs, m->config.pairs);
	ob_le16_store(&space->mtu, m->config.mtu);
	ob_le32_store(&space->speed, m->config.speed_mbps);
	space->duplex = VIRTIO_NET_DUPLEX_FULL;
	space->rss_max_key_size = VNET_MODEL_KEY_BYTES;
	if ((m->config.without & BIT64(VIRTIO_NET_F_RSS)) == 0)
		ob_le16_store(&space->rss_max_indirection_table_length, VNET_MODEL_RSS_TABLE);
	ob_le32_store(&space->supported_hash_types, HASH_TYPES);
}

/* What holds until the driver says something else. */
void vnet_settings_reset(struct vnet_model *m)
{
	m->settings = (struct vnet_settings){.pairs = 1};
	memcpy(m->settings.mac, m->config.mac, sizeof(m->settings.mac));
	m->settings.offloads = UINT64_MAX; /* all that are negotiated: §5.1.6.5.8 */
}

static void reset(struct virtio_model *v)
{
	struct vnet_model *m = vnet_of(v);

	vnet_settings_reset(m);
	memcpy(m->space.mac, m->config.mac, sizeof(m->space.mac));
	for (unsigned pair = 0; pair < m->config.pairs; pair++)
		m->held[pair].count = 0;
	m->segments_done = 0;
}

static void queue_reset(struct virtio_model *v, unsigned index)
{
	struct vnet_model *m = vnet_of(v);

	if (index % 2 == 0 && index / 2 < m->config.pairs)
		m->held[index / 2].count = 0;
}

static bool work(struct virtio_model *v, unsigned index, unsigned budget)
{
	struct vnet_model *m = vnet_of(v);

	if (index == VIRTIO_NET_CONTROL(vnet_pairs_offered(m)) && virtio_model_has(v, VIRTIO_NET_F_CTRL_VQ))
		return vnet_control_work(m, index, budget);
	if (index / 2 >= vnet_pairs_offered(m))
		return false;
	return index % 2 != 0 ? vnet_transmit_work(m, index, budget) : vnet_receive_work(m, index, budget);
}

static const struct virtio_model_ops ops = {
	.reset = reset,
	.queue_reset = queue_reset,
	.work = work,
};

static int init(struct vnet_model *m, struct model_host *host)
{
	const struct vnet_model_config *c = &m->config;
	const struct virtio_model_config config = {
		.id = VIRTIO_ID_NET,
		.class_code = NET_CLASS,
		.features = features(c),
		.queue_count = (uint16_t)(2 * c->pairs + 1),
		.queue_size = c->queue_size,
		.chain_max = CHAIN_MAX,
		.msix_vectors = c->msix_vectors,
		.retains = c->retains,
	};

	m->link_up = true;
	m->virtio.space = (uint8_t *)&m->space;
	m->virtio.space_writable = m->space_writable;
	m->virtio.space_bytes = sizeof(m->space);
	fill_space(m);
	vnet_settings_reset(m);
	return virtio_model_init(&m->virtio, host, &config, &ops);
}

void vnet_model_config_default(struct vnet_model_config *config)
{
	*config = (struct vnet_model_config){
		.pairs = 1,
		.queue_size = QUEUE_SIZE,
		.mtu = MTU_DEFAULT,
		.frame_max = VNET_MODEL_FRAME_MAX,
		.msix_vectors = 2 * VNET_MODEL_PAIRS_MAX + 2,
		.ring_features = BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX),
	};
}

int vnet_model_create(struct model_host *host, const struct vnet_model_config *config, const struct vnet_wire_ops *wire,
		      void *wire_arg, struct vnet_model **out)
{
	struct vnet_model *m;
	int ret = -ENOMEM;

	if (config->pairs < 1 || config->pairs > VNET_MODEL_PAIRS_MAX || (config->mac[0] & 1) != 0 ||
	    config->frame_max > VNET_MODEL_FRAME_MAX)
		return -EINVAL;
	m = host->ops->alloc(host, sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	m->virtio.host = host;
	m->config = *config;
	m->wire = wire;
	m->wire_arg = wire_arg;
	m->held = host->ops->alloc(host, config->pairs * sizeof(*m->held));
	m->frame = host->ops->alloc(host, m->config.frame_max);
	m->segment = host->ops->alloc(host, m->config.frame_max);
	if (m->held != NULL && m->frame != NULL && m->segment != NULL)
		ret = init(m, host);
	if (ret != 0) {
		host->ops->free(host, m->segment);
		host->ops->free(host, m->frame);
		host->ops->free(host, m->held);
		host->ops->free(host, m);
		return ret;
	}
	*out = m;
	return 0;
}

void vnet_model_destroy(struct vnet_model *m)
{
	struct model_host *host = m->virtio.host;

	virtio_model_fini(&m->virtio);
	host->ops->free(host, m->segment);
	host->ops->free(host, m->frame);
	host->ops->free(host, m->held);
	host->ops->free(host, m);
}

void vnet_model_set_hooks(struct vnet_model *m, const struct vnet_model_hooks *hooks)
{
	m->hooks = *hooks;
}

void vnet_model_wake(struct vnet_model *m)
{
	/* Whichever pair it is for: that is found out when it is taken. */
	for (unsigned pair = 0; pair < vnet_pairs_offered(m); pair++) {
		if (m->virtio.queues[VIRTIO_NET_RX(pair)].ready) {
			virtio_model_mark(&m->virtio, VIRTIO_NET_RX(pair));
			return;
		}
	}
}

static void set_status(struct vnet_model *m, uint16_t status)
{
	if (ob_le16_load(&m->space.status) == status)
		return;
	ob_le16_store(&m->space.status, status);
	virtio_model_config_changed(&m->virtio);
}

void vnet_model_set_link(struct vnet_model *m, bool up)
{
	uint16_t status = ob_le16_load(&m->space.status);

	m->link_up = up;
	set_status(m, (uint16_t)(up ? status | VIRTIO_NET_S_LINK_UP : status & ~VIRTIO_NET_S_LINK_UP));
}

void vnet_model_announce(struct vnet_model *m)
{
	set_status(m, (uint16_t)(ob_le16_load(&m->space.status) | VIRTIO_NET_S_ANNOUNCE));
}
