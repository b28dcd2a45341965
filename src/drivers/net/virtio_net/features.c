/* SPDX-License-Identifier: BSD-2-Clause */
/* What to agree on with the device, and what it says of itself: VIRTIO 1.2 §5.1.3 and §5.1.4. */
#include <errno.h>
#include <string.h>

#include "drivers/net/virtio_net/virtio_net.h"

static const struct {
	uint32_t offload;
	uint64_t feature;
} offloads[] = {
	{OB_NET_TX_CSUM, VNET_F(CSUM)},        {OB_NET_TX_TSO4, VNET_F(HOST_TSO4)},
	{OB_NET_TX_TSO6, VNET_F(HOST_TSO6)},   {OB_NET_TX_ECN, VNET_F(HOST_ECN)},
	{OB_NET_TX_UFO, VNET_F(HOST_UFO)},     {OB_NET_RX_CSUM, VNET_F(GUEST_CSUM)},
	{OB_NET_RX_TSO4, VNET_F(GUEST_TSO4)},  {OB_NET_RX_TSO6, VNET_F(GUEST_TSO6)},
	{OB_NET_RX_ECN, VNET_F(GUEST_ECN)},    {OB_NET_RX_UFO, VNET_F(GUEST_UFO)},
	{OB_NET_RX_HASH, VNET_F(HASH_REPORT)},
};

/* A feature, and one of which it makes no sense without (§5.1.3.1). MQ without CTRL_VQ: see vnet_features_wanted(). */
static const struct {
	uint64_t feature, needs;
} dependencies[] = {
	{VNET_F(GUEST_TSO4), VNET_F(GUEST_CSUM)},
	{VNET_F(GUEST_TSO6), VNET_F(GUEST_CSUM)},
	{VNET_F(GUEST_ECN), VNET_F(GUEST_TSO4) | VNET_F(GUEST_TSO6)},
	{VNET_F(GUEST_UFO), VNET_F(GUEST_CSUM)},
	{VNET_F(HOST_TSO4), VNET_F(CSUM)},
	{VNET_F(HOST_TSO6), VNET_F(CSUM)},
	{VNET_F(HOST_ECN), VNET_F(HOST_TSO4) | VNET_F(HOST_TSO6)},
	{VNET_F(HOST_UFO), VNET_F(CSUM)},
	{VNET_F(CTRL_RX), VNET_F(CTRL_VQ)},
	{VNET_F(CTRL_VLAN), VNET_F(CTRL_VQ)},
	{VNET_F(GUEST_ANNOUNCE), VNET_F(CTRL_VQ)},
	{VNET_F(CTRL_MAC_ADDR), VNET_F(CTRL_VQ)},
	{VNET_F(RSS), VNET_F(CTRL_VQ)},
	{VNET_F(HASH_REPORT), VNET_F(CTRL_VQ)},
};

static uint64_t drop_unsupported(uint64_t features)
{
	for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++)
		if ((features & dependencies[i].needs) == 0)
			features &= ~dependencies[i].feature;
	return features;
}

/* Those that the device offers, with all that they need. */
static uint64_t usable(const struct vnet *v)
{
	return drop_unsupported(v->offered);
}

/* What users have set so far; before there are any: all for what is sent, nothing that changes what is received. */
static void settings(const struct vnet *v, struct ob_net_info *info)
{
	if (v->net != NULL) {
		ob_net_info(v->net, info);
		return;
	}
	*info = (struct ob_net_info){.mtu = OB_NET_MTU_DEFAULT, .offloads_on = ~OB_NET_RX_ALL};
}

static bool takes_segments(uint64_t features)
{
	return (features & (VNET_F(GUEST_TSO4) | VNET_F(GUEST_TSO6) | VNET_F(GUEST_UFO))) != 0;
}

/* The longest frame that may arrive (§5.1.6.3.1). */
static uint32_t rx_frame_max(uint64_t features, uint32_t mtu)
{
	if (takes_segments(features))
		return VIRTIO_NET_FRAME_GSO_BYTES;
	return MAX(VIRTIO_NET_FRAME_BYTES, mtu + OB_NET_FRAME_OVERHEAD);
}

uint64_t vnet_features_wanted(struct vnet *v)
{
	/*
	 * MQ asks for CTRL_VQ, by which pairs are switched on. Where a transport does that itself (vhost-user enables each
	 * queue), a device may offer MQ alone; it then only says how many pairs there are.
	 */
	uint64_t wanted = VNET_F(MAC) | VNET_F(STATUS) | VNET_F(MTU) | VNET_F(SPEED_DUPLEX) | VNET_F(CTRL_VQ) |
			  VNET_F(CTRL_RX) | VNET_F(CTRL_MAC_ADDR) | VNET_F(GUEST_ANNOUNCE) | VNET_F(MQ) | VNET_F(RSS);
	struct ob_net_info info;
	const uint64_t *bits;

	settings(v, &info);
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((info.offloads_on & offloads[i].offload) != 0)
			wanted |= offloads[i].feature;
	/* With it the device drops tagged frames of all VLANs that it was not told of. */
	if (v->net != NULL && ob_net_vlans(v->net, &bits) > 0)
		wanted |= VNET_F(CTRL_VLAN);
	wanted = drop_unsupported(wanted & usable(v));
	list_for_each (node, &v->pairs) {
		const struct vnet_pair *p = list_entry(node, struct vnet_pair, link);

		if (p->pool->room_bytes < rx_frame_max(wanted, info.mtu))
			wanted |= VNET_F(MRG_RXBUF) & v->offered;
	}
	return wanted;
}

uint32_t vnet_room_min(const struct vnet *v)
{
	struct ob_net_info info;
	uint64_t features = 0;

	if ((v->offered & VNET_F(MRG_RXBUF)) != 0)
		return VNET_RX_ROOM_MIN;
	settings(v, &info);
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((info.offloads_on & offloads[i].offload) != 0)
			features |= offloads[i].feature;
	return rx_frame_max(features & usable(v), info.mtu);
}

uint32_t vnet_rx_frame_max(const struct vnet *v)
{
	struct ob_net_info info;

	settings(v, &info);
	return rx_frame_max(v->features, info.mtu);
}

uint32_t vnet_offloads(const struct vnet *v)
{
	uint32_t on = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((v->features & offloads[i].feature) != 0)
			on |= offloads[i].offload;
	return on;
}

uint32_t vnet_frame_max(const struct vnet *v)
{
	struct ob_net_info info;

	settings(v, &info);
	return info.mtu + OB_NET_FRAME_OVERHEAD;
}

/* ---- configuration ---- */

#define FIELD(name)                                                                                     \
	{                                                                                               \
		offsetof(struct virtio_net_config, name), sizeof(((struct virtio_net_config *)0)->name) \
	}

/* One field, when one of @features was negotiated that it belongs to; else 0. */
static int read_field(struct vnet *v, uint64_t features, struct ob_virtio_field field, uint64_t *value)
{
	*value = 0;
	return (v->features & features) != 0 ? ob_virtio_config_fields(v->dev, &field, 1, value) : 0;
}

static int read_speed(struct vnet *v, struct vnet_config *out)
{
	static const struct ob_virtio_field fields[] = {FIELD(speed), FIELD(duplex)};
	uint64_t values[ARRAY_SIZE(fields)];
	int ret;

	out->speed_mbps = OB_NET_SPEED_UNKNOWN;
	out->full_duplex = true;
	if (!vnet_has(v, VIRTIO_NET_F_SPEED_DUPLEX))
		return 0;
	ret = ob_virtio_config_fields(v->dev, fields, ARRAY_SIZE(fields), values);
	if (ret != 0)
		return ret;
	if (values[0] <= VIRTIO_NET_SPEED_MAX)
		out->speed_mbps = (uint32_t)values[0];
	out->full_duplex = values[1] == VIRTIO_NET_DUPLEX_FULL;
	return 0;
}

static int read_mac(struct vnet *v, struct vnet_config *out)
{
	static const uint8_t none[ETHERNET_ADDRESS_BYTES];
	int ret;

	if (!vnet_has(v, VIRTIO_NET_F_MAC))
		return 0;
	ret = ob_virtio_config_read(v->dev, offsetof(struct virtio_net_config, mac), out->mac, sizeof(out->mac));
	if (ret != 0)
		return ret;
	out->has_mac = (out->mac[0] & ETHERNET_GROUP) == 0 && memcmp(out->mac, none, sizeof(none)) != 0;
	if (!out->has_mac)
		ob_warn(v->ob, "%s: its address is none that a device can have; making one up", v->name);
	return 0;
}

static int read_rss(struct vnet *v, struct vnet_config *out)
{
	static const struct ob_virtio_field fields[] = {
		FIELD(rss_max_key_size), FIELD(rss_max_indirection_table_length), FIELD(supported_hash_types)};
	uint64_t values[ARRAY_SIZE(fields)];
	int ret;

	/* Offered is enough (§2.5.2): the class is told before anybody asks for hashes. */
	if ((usable(v) & (VNET_F(RSS) | VNET_F(HASH_REPORT))) == 0)
		return 0;
	ret = ob_virtio_config_fields(v->dev, fields, ARRAY_SIZE(fields), values);
	if (ret != 0)
		return ret;
	/* There is a table only with RSS (§5.1.4); hashes alone are reported without one. */
	if ((usable(v) & VNET_F(RSS)) == 0)
		values[1] = 0;
	out->rss_key_max = (uint8_t)MIN(values[0], (uint64_t)OB_NET_RSS_KEY_MAX);
	out->rss_table_max = values[1] != 0;
	while (out->rss_table_max != 0 && 2u * out->rss_table_max <= MIN(values[1], (uint64_t)OB_NET_RSS_TABLE_MAX))
		out->rss_table_max = (uint16_t)(2 * out->rss_table_max);
	out->hash_types = (uint32_t)values[2];
	if (out->rss_key_max >= VIRTIO_NET_RSS_KEY_MIN && (values[1] != 0 || (usable(v) & VNET_F(RSS)) == 0))
		return 0;
	ob_err(v->ob, "%s: RSS with a key of %u bytes and a table of %llu makes no sense", v->name, out->rss_key_max,
	       (unsigned long long)values[1]);
	return -EIO;
}

int vnet_config_read(struct vnet *v, struct vnet_config *out)
{
	uint64_t pairs, mtu;
	int ret;

	*out = (struct vnet_config){.pairs_max = 1};
	ret = read_mac(v, out);
	if (ret == 0)
		ret = read_field(v, VNET_F(MQ) | VNET_F(RSS), (struct ob_virtio_field)FIELD(max_virtqueue_pairs),
				 &pairs);
	if (ret == 0)
		ret = read_field(v, VNET_F(MTU), (struct ob_virtio_field)FIELD(mtu), &mtu);
	if (ret == 0)
		ret = read_speed(v, out);
	if (ret == 0)
		ret = read_rss(v, out);
	if (ret != 0)
		return ret;
	if (vnet_has(v, VIRTIO_NET_F_MTU)) {
		if (mtu < VIRTIO_NET_MTU_MIN) {
			ob_err(v->ob, "%s: an MTU of %llu makes no sense", v->name, (unsigned long long)mtu);
			return -EIO;
		}
		out->mtu = (uint16_t)mtu;
	}
	if (vnet_has(v, VIRTIO_NET_F_MQ) || vnet_has(v, VIRTIO_NET_F_RSS)) {
		if (pairs == 0 || pairs > VIRTIO_NET_PAIRS_MAX) {
			ob_err(v->ob, "%s: %llu pairs of queues make no sense", v->name, (unsigned long long)pairs);
			return -EIO;
		}
		out->pairs_max = (uint16_t)pairs;
	}
	return 0;
}

/* ---- what the class is told ---- */

static uint32_t rss_types(uint32_t hash_types)
{
	static const struct {
		uint32_t hash;
		enum ob_hash type;
	} types[] = {
		{VIRTIO_NET_HASH_TYPE_IPV4, OB_HASH_IP4},   {VIRTIO_NET_HASH_TYPE_TCPV4, OB_HASH_TCP4},
		{VIRTIO_NET_HASH_TYPE_UDPV4, OB_HASH_UDP4}, {VIRTIO_NET_HASH_TYPE_IPV6, OB_HASH_IP6},
		{VIRTIO_NET_HASH_TYPE_TCPV6, OB_HASH_TCP6}, {VIRTIO_NET_HASH_TYPE_UDPV6, OB_HASH_UDP6},
	};
	uint32_t found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((hash_types & types[i].hash) != 0)
			found |= BIT(types[i].type);
	return found;
}

/* Frames that a channel can have in its queue. All pairs are alike, as far as anybody knows before they are set up. */
static unsigned depth_max(const struct vnet *v, unsigned queue)
{
	int entries = ob_virtio_queue_entries(v->dev, queue);

	return entries > 0 ? MIN((unsigned)entries, VNET_DEPTH_MAX) : VNET_DEPTH_MAX;
}

void vnet_info_fill(const struct vnet *v, struct ob_net_info *info)
{
	const struct vnet_config *config = &v->config;
	uint64_t can = usable(v);

	*info = (struct ob_net_info){
		.made_up_mac = !config->has_mac,
		.mtu_min = VIRTIO_NET_MTU_MIN,
		.mtu_max = config->mtu != 0 ? config->mtu : UINT16_MAX,
		.channels_max = MIN(config->pairs_max, VNET_PAIRS_MAX),
		.rx_depth_max = depth_max(v, 0),
		.tx_depth_max = depth_max(v, 1),
		.segments_max = VNET_CHAIN_MAX - 1,
	};
	info->mtu = config->mtu != 0 ? config->mtu : OB_NET_MTU_DEFAULT;
	if (config->has_mac)
		memcpy(info->mac, config->mac, sizeof(info->mac));
	else
		ob_net_made_mac(v->dev, info->mac);
	memcpy(info->permanent_mac, info->mac, sizeof(info->mac));
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((can & offloads[i].feature) != 0)
			info->offloads |= offloads[i].offload;
	info->offloads_on = info->offloads & ~OB_NET_RX_ALL;
	if ((can & VNET_F(CTRL_RX)) != 0)
		info->abilities |= OB_NET_CAN_FILTER | OB_NET_CAN_PROMISCUOUS;
	if ((can & VNET_F(CTRL_VLAN)) != 0)
		info->abilities |= OB_NET_CAN_VLAN_FILTER;
	if ((can & VNET_F(CTRL_MAC_ADDR)) != 0)
		info->abilities |= OB_NET_CAN_SET_MAC;
	if ((can & VNET_F(STATUS)) != 0)
		info->abilities |= OB_NET_CAN_LINK;
	if ((can & VNET_F(RSS)) != 0)
		info->abilities |= OB_NET_CAN_RSS;
	if ((can & (VNET_F(RSS) | VNET_F(HASH_REPORT))) != 0) {
		info->rss_table_max = config->rss_table_max;
		info->rss_key_bytes = config->rss_key_max;
		info->rss_types = rss_types(config->hash_types);
	}
	info->room_min = vnet_room_min(v);
}

bool vnet_link_read(struct vnet *v)
{
	struct ob_net_link link = {
		.up = true, .full_duplex = v->config.full_duplex, .speed_mbps = v->config.speed_mbps};
	uint64_t status;

	if (!vnet_has(v, VIRTIO_NET_F_STATUS) ||
	    read_field(v, VNET_F(STATUS), (struct ob_virtio_field)FIELD(status), &status) != 0)
		return false;
	link.up = (status & VIRTIO_NET_S_LINK_UP) != 0;
	if (read_speed(v, &v->config) == 0) {
		link.full_duplex = v->config.full_duplex;
		link.speed_mbps = v->config.speed_mbps;
	}
	ob_net_set_link(v->net, &link);
	return (status & VIRTIO_NET_S_ANNOUNCE) != 0 && vnet_has(v, VIRTIO_NET_F_GUEST_ANNOUNCE);
}
