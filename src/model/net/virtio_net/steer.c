/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which frames are for the driver (VIRTIO 1.2 §5.1.6.5.1 to §5.1.6.5.3), and on which pair they come: by the table of its
 * receive side scaling (§5.1.6.4.3, §5.1.6.5.7), or by the pair that the frame was sent on.
 */
#include <string.h>

#include "model/net/virtio_net/vnet_model.h"
#include "spec/ethernet.h"

/* ---- filters ---- */

static bool listed(const uint8_t (*table)[6], unsigned count, const uint8_t *mac)
{
	for (unsigned i = 0; i < count; i++)
		if (memcmp(table[i], mac, 6) == 0)
			return true;
	return false;
}

static bool address_wanted(const struct vnet_settings *s, const uint8_t *mac)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (memcmp(mac, broadcast, 6) == 0)
		return !s->no_broadcast;
	if ((mac[0] & ETHERNET_GROUP) != 0)
		return !s->no_multicast &&
		       (s->all_multicast || s->multicast_overflow || listed(s->multicast, s->multicast_count, mac));
	if (s->no_unicast)
		return false;
	return memcmp(mac, s->mac, 6) == 0 || s->all_unicast || s->unicast_overflow ||
	       listed(s->unicast, s->unicast_count, mac);
}

bool vnet_wanted(const struct vnet_model *m, const struct vnet_frame *frame)
{
	const struct vnet_settings *s = &m->settings;
	bool tagged = frame->len_bytes >= ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES &&
		      net_get16(frame->data + VLAN_TAG_OFFSET) == ETHERNET_TYPE_VLAN;

	if (frame->len_bytes < ETHERNET_HEADER_BYTES)
		return false;
	if (!virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_RX))
		return true;
	if (tagged && virtio_model_has(&m->virtio, VIRTIO_NET_F_CTRL_VLAN)) {
		unsigned vid = FIELD_GET(VLAN_TCI_VID, net_get16(frame->data + VLAN_TAG_OFFSET + 2));

		if ((s->vlans[vid / 64] & BIT64(vid % 64)) == 0)
			return false;
	}
	return s->promiscuous || address_wanted(s, frame->data);
}

/* ---- hash ---- */

struct tuple {
	uint8_t input[36]; /* addresses, ports */
	unsigned address_bytes;
	bool tcp, udp;
};

static bool parse_ip4(const uint8_t *ip, uint32_t len_bytes, struct tuple *t)
{
	const struct ip4_header *h = (const void *)ip;
	uint32_t header_bytes;

	if (len_bytes < sizeof(*h) || FIELD_GET(IP4_VERSION, h->version_ihl) != 4)
		return false;
	header_bytes = FIELD_GET(IP4_IHL, h->version_ihl) * 4u;
	memcpy(t->input, h->source, 4);
	memcpy(t->input + 4, h->destination, 4);
	t->address_bytes = 8;
	/* A fragment is hashed by its addresses alone (§5.1.6.4.3.1). */
	if (header_bytes < sizeof(*h) || len_bytes < header_bytes + 4 ||
	    (net_get16(h->fragment) & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET)) != 0)
		return true;
	t->tcp = h->protocol == IP_PROTOCOL_TCP;
	t->udp = h->protocol == IP_PROTOCOL_UDP;
	memcpy(t->input + 8, ip + header_bytes, 4);
	return true;
}

static bool parse_ip6(const uint8_t *ip, uint32_t len_bytes, struct tuple *t)
{
	const struct ip6_header *h = (const void *)ip;

	if (len_bytes < sizeof(*h) || (h->version_class_flow[0] >> 4) != 6)
		return false;
	memcpy(t->input, h->source, 16);
	memcpy(t->input + 16, h->destination, 16);
	t->address_bytes = 32;
	if (len_bytes < sizeof(*h) + 4)
		return true;
	t->tcp = h->next_header == IP_PROTOCOL_TCP;
	t->udp = h->next_header == IP_PROTOCOL_UDP;
	memcpy(t->input + 32, ip + sizeof(*h), 4);
	return true;
}

/* The Toeplitz hash: for each set bit of the input, the 32 bits of the key that stand there. */
static uint32_t toeplitz(const uint8_t *key, const uint8_t *input, unsigned bytes)
{
	uint32_t window = net_get32(key), hash = 0;

	for (unsigned bit = 0; bit < bytes * 8; bit++) {
		unsigned next = bit + 32;

		if ((input[bit / 8] & (0x80u >> bit % 8)) != 0)
			hash ^= window;
		window = window << 1 | ((key[next / 8] >> (7 - next % 8)) & 1);
	}
	return hash;
}

/* The most exact of the kinds that the driver asked for. */
static bool hash_frame(const struct vnet_settings *s, const struct vnet_frame *frame, uint32_t *hash, uint16_t *report)
{
	const uint8_t *at = frame->data + ETHERNET_HEADER_BYTES;
	uint32_t left = frame->len_bytes - ETHERNET_HEADER_BYTES;
	uint16_t type = net_get16(frame->data + 12);
	struct tuple t = {.address_bytes = 0};
	bool six;

	if (type == ETHERNET_TYPE_VLAN && left >= VLAN_TAG_BYTES) {
		type = net_get16(at + 2);
		at += VLAN_TAG_BYTES;
		left -= VLAN_TAG_BYTES;
	}
	six = type == ETHERNET_TYPE_IP6;
	if (!(type == ETHERNET_TYPE_IP4 && parse_ip4(at, left, &t)) && !(six && parse_ip6(at, left, &t)))
		return false;
	if (t.tcp && (s->hash_types & (six ? VIRTIO_NET_HASH_TYPE_TCPV6 : VIRTIO_NET_HASH_TYPE_TCPV4)) != 0)
		*report = six ? VIRTIO_NET_HASH_REPORT_TCPV6 : VIRTIO_NET_HASH_REPORT_TCPV4;
	else if (t.udp && (s->hash_types & (six ? VIRTIO_NET_HASH_TYPE_UDPV6 : VIRTIO_NET_HASH_TYPE_UDPV4)) != 0)
		*report = six ? VIRTIO_NET_HASH_REPORT_UDPV6 : VIRTIO_NET_HASH_REPORT_UDPV4;
	else if ((s->hash_types & (six ? VIRTIO_NET_HASH_TYPE_IPV6 : VIRTIO_NET_HASH_TYPE_IPV4)) != 0)
		*report = six ? VIRTIO_NET_HASH_REPORT_IPV6 : VIRTIO_NET_HASH_REPORT_IPV4;
	else
		return false;
	if (*report != VIRTIO_NET_HASH_REPORT_IPV4 && *report != VIRTIO_NET_HASH_REPORT_IPV6)
		t.address_bytes += 4;
	*hash = toeplitz(s->key, t.input, t.address_bytes);
	return true;
}

unsigned vnet_steer(const struct vnet_model *m, const struct vnet_frame *frame, uint32_t *hash, uint16_t *report)
{
	const struct vnet_settings *s = &m->settings;
	bool hashed;

	*hash = 0;
	*report = VIRTIO_NET_HASH_REPORT_NONE;
	hashed = hash_frame(s, frame, hash, report);
	if (s->rss)
		return hashed ? s->table[*hash & s->table_mask] : s->unclassified;
	return frame->pair < s->pairs ? frame->pair : frame->pair % s->pairs;
}
