/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control queue: VIRTIO 1.2 §5.1.6.5. One command at a time, in one piece, and one byte for the answer; CPU 0 looks for
 * it now and then, as nothing here is in a hurry.
 */
#include <errno.h>
#include <string.h>

#include "drivers/net/virtio_net/virtio_net.h"

#define PAUSE_MIN_NS (10 * OB_NS_PER_US)
#define PAUSE_MAX_NS (1 * OB_NS_PER_MS)
#define NO_ANSWER    0xffu /* what the answer's byte holds until the device writes it */

int vnet_control_create(struct vnet *v)
{
	struct ob_virtio_queue_config config = {
		.name = v->name, .index = VIRTIO_NET_CONTROL(v->config.pairs_max), .chain_max = 2, .size_max = 16};
	int ret;

	if (!vnet_has(v, VIRTIO_NET_F_CTRL_VQ))
		return 0;
	v->control.broken = false;
	ret = ob_dma_alloc(v->dev, VNET_CONTROL_MAX + OB_CACHE_LINE, 0, &v->control.dma);
	if (ret != 0)
		return ret;
	ret = ob_virtio_queue_create(v->dev, &config, &v->control.q);
	if (ret != 0)
		ob_dma_free(v->dev, &v->control.dma);
	return ret;
}

void vnet_control_destroy(struct vnet *v)
{
	ob_virtio_queue_destroy(v->control.q);
	v->control.q = NULL;
	ob_dma_free(v->dev, &v->control.dma);
}

/* ---- one command ---- */

/* Filled by whoever makes it; len_bytes may exceed the room, which then refuses it. */
struct command {
	uint8_t bytes[VNET_CONTROL_MAX];
	size_t len_bytes;
};

static void put(struct command *c, const void *from, size_t len_bytes)
{
	if (len_bytes <= sizeof(c->bytes) - MIN(c->len_bytes, sizeof(c->bytes)))
		memcpy(c->bytes + c->len_bytes, from, len_bytes);
	c->len_bytes += len_bytes;
}

static void put8(struct command *c, uint8_t value)
{
	put(c, &value, sizeof(value));
}

static void put_le16(struct command *c, unsigned value)
{
	ob_le16 wire = ob_cpu_to_le16((uint16_t)value);

	put(c, &wire, sizeof(wire));
}

static void put_le32(struct command *c, uint32_t value)
{
	ob_le32 wire = ob_cpu_to_le32(value);

	put(c, &wire, sizeof(wire));
}

static void begin(struct command *c, uint8_t class, uint8_t command)
{
	const struct virtio_net_control head = {class, command};

	c->len_bytes = 0;
	put(c, &head, sizeof(head));
}

static int wait_for_answer(struct vnet *v)
{
	uint64_t deadline_ns = ob_deadline(VNET_CONTROL_NS), pause_ns = PAUSE_MIN_NS;
	struct ob_virtio_used used;
	int ret;

	for (;;) {
		ret = ob_virtio_queue_take(v->control.q, &used, 1);
		if (ret != 0)
			break;
		if (v->ending)
			return -ENODEV;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(pause_ns));
		pause_ns = MIN(2 * pause_ns, PAUSE_MAX_NS);
	}
	return ret < 0 ? ret : used.len_bytes >= 1 ? 0 : -EPROTO;
}

/* 0; -EIO the device refuses; -EOPNOTSUPP no control queue; others: the device does not work, and is made anew. */
static int run(struct vnet *v, const struct command *c, const char *what)
{
	uint8_t *memory = v->control.dma.base, answer = NO_ANSWER;
	struct ob_dma_piece pieces[2] = {
		{v->control.dma.iova, c->len_bytes},
		{{v->control.dma.iova.addr + VNET_CONTROL_MAX}, 1},
	};
	int ret;

	if (v->control.q == NULL)
		return -EOPNOTSUPP;
	if (v->control.broken)
		return -EIO;
	if (c->len_bytes > VNET_CONTROL_MAX)
		return -E2BIG;
	ob_dma_copy(memory, c->bytes, c->len_bytes);
	ob_dma_copy(memory + VNET_CONTROL_MAX, &answer, 1);
	ret = ob_virtio_queue_add(v->control.q, pieces, 1, 1, 0);
	if (ret == 0) {
		ob_virtio_queue_kick(v->control.q);
		ret = wait_for_answer(v);
	}
	if (ret != 0) {
		ob_err(v->ob, "%s: %s: the control queue does not work (%d)", v->name, what, ret);
		v->control.broken = true;
		vnet_want(v, VNET_TODO_RESET);
		return ret;
	}
	ob_dma_copy(&answer, memory + VNET_CONTROL_MAX, 1);
	if (answer == VIRTIO_NET_OK)
		return 0;
	ob_warn(v->ob, "%s: the device refuses %s", v->name, what);
	return -EIO;
}

/* ---- the commands ---- */

static int rx_mode(struct vnet *v, uint8_t command, bool on, const char *what)
{
	struct command c;

	begin(&c, VIRTIO_NET_CTRL_RX, command);
	put8(&c, on);
	return run(v, &c, what);
}

static void put_table(struct command *c, const uint8_t (*addresses)[6], unsigned count)
{
	put_le32(c, count);
	put(c, addresses, (size_t)count * ETHERNET_ADDRESS_BYTES);
}

int vnet_control_filter(struct vnet *v, const struct ob_net_filter *filter)
{
	struct command c;
	int ret;

	if (!vnet_has(v, VIRTIO_NET_F_CTRL_RX))
		return 0;
	/* The tables first, so that nothing that was wanted before and after is missed in between. */
	begin(&c, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET);
	put_table(&c, filter->unicast, filter->unicast_count);
	put_table(&c, filter->multicast, filter->multicast_count);
	ret = run(v, &c, "a table of addresses");
	if (ret == 0)
		ret = rx_mode(v, VIRTIO_NET_CTRL_RX_ALLMULTI, filter->all_multicast, "all multicast");
	if (ret == 0)
		ret = rx_mode(v, VIRTIO_NET_CTRL_RX_PROMISC, filter->promiscuous, "promiscuous mode");
	return ret;
}

int vnet_control_vlan(struct vnet *v, unsigned vid, bool on)
{
	struct command c;

	/* The last one went, and a reset meanwhile has switched the filter off. */
	if (!vnet_has(v, VIRTIO_NET_F_CTRL_VLAN))
		return 0;
	begin(&c, VIRTIO_NET_CTRL_VLAN, on ? VIRTIO_NET_CTRL_VLAN_ADD : VIRTIO_NET_CTRL_VLAN_DEL);
	put_le16(&c, vid);
	return run(v, &c, "a VLAN");
}

int vnet_control_mac(struct vnet *v, const uint8_t mac[6])
{
	struct command c;

	begin(&c, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET);
	put(&c, mac, ETHERNET_ADDRESS_BYTES);
	return run(v, &c, "an address");
}

int vnet_control_announced(struct vnet *v)
{
	struct command c;

	begin(&c, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK);
	return run(v, &c, "the answer to its wish to be announced");
}

static int set_pairs(struct vnet *v)
{
	struct command c;

	begin(&c, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET);
	put_le16(&c, MAX(v->pair_count, 1u));
	return run(v, &c, "a number of queues");
}

static uint32_t hash_types(const struct vnet *v, uint32_t types)
{
	static const uint32_t wire[] = {
		[OB_HASH_IP4] = VIRTIO_NET_HASH_TYPE_IPV4,   [OB_HASH_TCP4] = VIRTIO_NET_HASH_TYPE_TCPV4,
		[OB_HASH_UDP4] = VIRTIO_NET_HASH_TYPE_UDPV4, [OB_HASH_IP6] = VIRTIO_NET_HASH_TYPE_IPV6,
		[OB_HASH_TCP6] = VIRTIO_NET_HASH_TYPE_TCPV6, [OB_HASH_UDP6] = VIRTIO_NET_HASH_TYPE_UDPV6,
	};
	uint32_t found = 0;

	for (unsigned i = OB_HASH_IP4; i <= OB_HASH_UDP6; i++)
		if ((types & BIT(i)) != 0)
			found |= wire[i];
	return found & v->config.hash_types;
}

/* RSS_CONFIG switches pairs on, too (§5.1.6.5.7.1). Channels that are not open take part in no table. */
int vnet_control_rss(struct vnet *v, const struct ob_net_rss *rss)
{
	unsigned pairs = MAX(v->pair_count, 1u);
	struct command c;

	begin(&c, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG);
	put_le32(&c, hash_types(v, rss->types));
	put_le16(&c, rss->table_count - 1);
	put_le16(&c, rss->unclassified % pairs);
	for (unsigned i = 0; i < rss->table_count; i++)
		put_le16(&c, rss->table[i] % pairs);
	put_le16(&c, pairs);
	put8(&c, (uint8_t)rss->key_bytes);
	put(&c, rss->key, rss->key_bytes);
	return run(v, &c, "its RSS configuration");
}

/* Without RSS the hash is still to be configured, by the same members (§5.1.6.5.6.4). */
static int hash_only(struct vnet *v)
{
	struct ob_net_rss rss;
	struct command c;

	ob_net_rss_default(v->net, 1, &rss);
	begin(&c, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG);
	put_le32(&c, v->config.hash_types & BITS(5, 0));
	for (unsigned i = 0; i < 4; i++)
		put_le16(&c, 0);
	put8(&c, (uint8_t)rss.key_bytes);
	put(&c, rss.key, rss.key_bytes);
	return run(v, &c, "its hash configuration");
}

/* Pairs before the hash: a device may take their command for the end of all that was said of hashes. */
static int tell_queues(struct vnet *v)
{
	struct ob_net_rss rss;
	int ret = 0;

	if (v->net != NULL && vnet_has(v, VIRTIO_NET_F_RSS) && ob_net_get_rss(v->net, &rss) == 0 && rss.types != 0)
		return vnet_control_rss(v, &rss);
	if (vnet_has(v, VIRTIO_NET_F_MQ) && v->control.q != NULL)
		ret = set_pairs(v);
	if (ret == 0 && v->net != NULL && vnet_has(v, VIRTIO_NET_F_HASH_REPORT))
		ret = hash_only(v);
	return ret;
}

static int tell_vlans(struct vnet *v)
{
	const uint64_t *bits;
	int ret = 0;

	if (!vnet_has(v, VIRTIO_NET_F_CTRL_VLAN))
		return 0;
	ob_net_vlans(v->net, &bits);
	for (unsigned vid = 0; vid <= VLAN_VID_MAX && ret == 0; vid++)
		if ((bits[vid / 64] & BIT64(vid % 64)) != 0)
			ret = vnet_control_vlan(v, vid, true);
	return ret;
}

int vnet_control_tell_all(struct vnet *v)
{
	static const struct ob_net_filter nothing_more;
	struct ob_net_filter filter = nothing_more;
	struct ob_net_info info;
	int ret;

	if (v->control.q == NULL)
		return 0;
	if (v->net != NULL) {
		ob_net_info(v->net, &info);
		ob_net_get_filter(v->net, &filter);
		if (vnet_has(v, VIRTIO_NET_F_CTRL_MAC_ADDR) && memcmp(info.mac, v->config.mac, sizeof(info.mac)) != 0) {
			ret = vnet_control_mac(v, info.mac);
			if (ret != 0)
				return ret;
		}
	}
	ret = vnet_control_filter(v, &filter);
	if (ret == 0)
		ret = tell_vlans(v);
	if (ret == 0)
		ret = tell_queues(v);
	return ret;
}
