/* SPDX-License-Identifier: BSD-2-Clause */
/* The control queue: VIRTIO 1.2 §5.1.6.5. A command is carried out whole, or refused and changes nothing. */
#include <errno.h>
#include <string.h>

#include "model/net/virtio_net/vnet_model.h"

#define COMMAND_MAX 4096u

struct command {
	uint8_t class, command;
	const uint8_t *data;
	uint32_t len_bytes;
};

/* Fields of commands stand at any place. */
static uint16_t get16(const uint8_t *p)
{
	ob_le16 v;

	memcpy(&v, p, sizeof(v));
	return ob_le16_to_cpu(v);
}

static uint32_t get32(const uint8_t *p)
{
	ob_le32 v;

	memcpy(&v, p, sizeof(v));
	return ob_le32_to_cpu(v);
}

static uint64_t get64(const uint8_t *p)
{
	ob_le64 v;

	memcpy(&v, p, sizeof(v));
	return ob_le64_to_cpu(v);
}

/* ---- receive filters ---- */

static int set_mode(struct vnet_model *m, const struct command *c)
{
	struct vnet_settings *s = &m->settings;
	bool *const modes[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &s->promiscuous, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &s->all_multicast,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &s->all_unicast,  [VIRTIO_NET_CTRL_RX_NOMULTI] = &s->no_multicast,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &s->no_unicast,    [VIRTIO_NET_CTRL_RX_NOBCAST] = &s->no_broadcast,
	};
	unsigned feature = c->command >= VIRTIO_NET_CTRL_RX_ALLUNI ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX;

	if (c->command >= ARRAY_SIZE(modes) || c->len_bytes != 1 || !virtio_model_has(&m->virtio, feature))
		return -EINVAL;
	*modes[c->command] = c->data[0] != 0;
	return 0;
}

/* One of the two tables; how many bytes it takes, or 0: it does not fit. More than we have room for let all in. */
static uint32_t take_table(const uint8_t *data, uint32_t len_bytes, uint8_t (*table)[6], unsigned *count,
			   bool *overflow)
{
	uint32_t entries;

	if (len_bytes < 4)
		return 0;
	entries = get32(data);
	if (entries > (len_bytes - 4) / 6)
		return 0;
	*overflow = entries > VNET_MODEL_TABLE_MAX;
	*count = *overflow ? 0 : entries;
	memcpy(table, data + 4, *count * 6);
	return 4 + entries * 6;
}

static int set_tables(struct vnet_model *m, const struct command *c)
{
	struct vnet_settings s = m->settings;
	uint32_t unicast, multicast;

	unicast = take_table(c->data, c->len_bytes, s.unicast, &s.unicast_count, &s.unicast_overflow);
	if (unicast == 0)
		return -EINVAL;
	multicast = take_table(c->data + unicast, c->len_bytes - unicast, s.multicast, &s.multicast_count,
			       &s.multicast_overflow);
	if (multicast == 0 || unicast + multicast != c->len_bytes)
		return -EINVAL;
	m->settings = s;
	return 0;
}

static int set_mac(struct vnet_model *m, const struct command *c)
{
	if (c->command == VIRTIO_NET_CTRL_MAC_TABLE_SET && virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_RX))
		return set_tables(m, c);
	if (c->command != VIRTIO_NET_CTRL_MAC_ADDR_SET || c->len_bytes != 6 ||
	    !virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR))
		return -EINVAL;
	memcpy(m->settings.mac, c->data, 6);
	memcpy(m->space.mac, c->data, 6);
	return 0;
}

static int set_vlan(struct vnet_model *m, const struct command *c)
{
	uint64_t *word;
	unsigned vid;

	if (c->command > VIRTIO_NET_CTRL_VLAN_DEL || c->len_bytes != 2 ||
	    !virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_VLAN))
		return -EINVAL;
	vid = get16(c->data);
	if (vid >= 4096)
		return -EINVAL;
	word = &m->settings.vlans[vid / 64];
	*word = c->command == VIRTIO_NET_CTRL_VLAN_ADD ? *word | BIT64(vid % 64) : *word & ~BIT64(vid % 64);
	return 0;
}

/* ---- pairs and steering ---- */

static int set_pairs(struct vnet_model *m, const struct command *c)
{
	unsigned pairs = c->len_bytes == 2 ? get16(c->data) : 0;

	if (pairs < 1 || pairs > m->config.pairs || !virtio_model_has(&m->virtio, VIRTIO_NET_F_MQ))
		return -EINVAL;
	m->settings.pairs = (uint16_t)pairs;
	m->settings.rss = false;
	m->settings.hash_types = 0; /* as QEMU does: hashes are to be asked for again */
	return 0;
}

/* The head, the table, the number of transmit queues, the key: §5.1.6.5.7.1. For HASH_CONFIG the table has one entry. */
static int set_hash(struct vnet_model *m, const struct command *c, bool steer)
{
	struct vnet_settings s = m->settings;
	uint32_t table_bytes, at = sizeof(struct virtio_net_rss_head);
	unsigned mask, pairs, key_bytes;

	if (!virtio_model_has(&m->virtio, steer ? VIRTIO_NET_F_RSS : VIRTIO_NET_F_HASH_REPORT) || c->len_bytes < at + 2)
		return -EINVAL;
	s.hash_types = get32(c->data);
	mask = get16(c->data + 4);
	if ((mask & (mask + 1)) != 0 || mask >= VNET_MODEL_RSS_TABLE)
		return -EINVAL;
	s.table_mask = (uint16_t)mask;
	s.unclassified = get16(c->data + 6);
	table_bytes = (mask + 1) * 2;
	if (c->len_bytes < at + table_bytes + 3)
		return -EINVAL;
	for (unsigned i = 0; i <= mask; i++)
		s.table[i] = get16(c->data + at + 2 * i);
	at += table_bytes;
	pairs = get16(c->data + at);
	key_bytes = c->data[at + 2];
	at += 3;
	if (key_bytes > VNET_MODEL_KEY_BYTES || c->len_bytes != at + key_bytes || (key_bytes == 0 && s.hash_types != 0))
		return -EINVAL;
	memset(s.key, 0, sizeof(s.key));
	memcpy(s.key, c->data + at, key_bytes);
	if (steer) {
		if (pairs < 1 || pairs > m->config.pairs || s.unclassified >= m->config.pairs)
			return -EINVAL;
		for (unsigned i = 0; i <= mask; i++)
			if (s.table[i] >= m->config.pairs)
				return -EINVAL;
		s.pairs = (uint16_t)pairs;
		s.rss = s.hash_types != 0;
	}
	m->settings = s;
	return 0;
}

static int set_queues(struct vnet_model *m, const struct command *c)
{
	switch (c->command) {
	case VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET:
		return set_pairs(m, c);
	case VIRTIO_NET_CTRL_MQ_RSS_CONFIG:
		return set_hash(m, c, true);
	case VIRTIO_NET_CTRL_MQ_HASH_CONFIG:
		return set_hash(m, c, false);
	default:
		return -EINVAL;
	}
}

/* ---- the rest ---- */

static int acknowledge(struct vnet_model *m, const struct command *c)
{
	if (c->command != VIRTIO_NET_CTRL_ANNOUNCE_ACK || c->len_bytes != 0 ||
	    !virtio_model_has(&m->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return -EINVAL;
	ob_le16_store(&m->space.status, (uint16_t)(ob_le16_load(&m->space.status) & ~VIRTIO_NET_S_ANNOUNCE));
	return 0;
}

static int set_offloads(struct vnet_model *m, const struct command *c)
{
	const uint64_t all = BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) |
			     BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN) |
			     BIT64(VIRTIO_NET_F_GUEST_UFO);
	uint64_t wanted = c->len_bytes == 8 ? get64(c->data) : UINT64_MAX;

	/* Only what was negotiated may be switched on (§5.1.6.5.8.1). */
	if (c->command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    (wanted & ~(m->virtio.accepted & all)) != 0)
		return -EINVAL;
	m->settings.offloads = wanted;
	return 0;
}

static int obey(struct vnet_model *m, const struct command *c)
{
	switch (c->class) {
	case VIRTIO_NET_CTRL_RX:
		return set_mode(m, c);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(m, c);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(m, c);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return acknowledge(m, c);
	case VIRTIO_NET_CTRL_MQ:
		return set_queues(m, c);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(m, c);
	default:
		return -EINVAL;
	}
}

static void control_one(struct vnet_model *m, const struct virtqueue_piece *pieces, const struct virtqueue_chain *chain,
			uint32_t *written_bytes)
{
	struct model_host *host = m->virtio.host;
	uint8_t bytes[COMMAND_MAX], ack = VIRTIO_NET_ERR;
	struct command c;

	*written_bytes = 0;
	if (chain->in_bytes < 1) {
		host->ops->note(host, "a control command without room for its answer");
		return;
	}
	m->stats.commands++;
	if (chain->out_bytes >= 2 && chain->out_bytes <= sizeof(bytes) &&
	    virtio_model_gather(&m->virtio, pieces, chain->out_count, 0, bytes, (size_t)chain->out_bytes) == 0) {
		c = (struct command){bytes[0], bytes[1], bytes + 2, (uint32_t)chain->out_bytes - 2};
		if (obey(m, &c) == 0)
			ack = VIRTIO_NET_OK;
		else
			host->ops->note(host, "control command %u.%u with %u bytes is refused", c.class, c.command,
					c.len_bytes);
	}
	m->stats.commands_refused += ack != VIRTIO_NET_OK;
	if (OB_UNLIKELY(m->hooks.answer != NULL))
		m->hooks.answer(m->hooks.arg, &ack);
	if (virtio_model_scatter(&m->virtio, pieces + chain->out_count, chain->in_count, 0, &ack, 1) == 0)
		*written_bytes = 1;
}

bool vnet_control_work(struct vnet_model *m, unsigned index, unsigned budget)
{
	struct virtqueue_piece pieces[64];
	struct virtqueue_chain chain;

	for (unsigned i = 0; i < budget; i++) {
		uint32_t written_bytes;

		if (!virtio_model_pop(&m->virtio, index, pieces, ARRAY_SIZE(pieces), &chain))
			return false;
		control_one(m, pieces, &chain, &written_bytes);
		virtio_model_push(&m->virtio, index, &chain, written_bytes);
	}
	return true;
}
