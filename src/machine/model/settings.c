/* SPDX-License-Identifier: BSD-2-Clause */
/* A modelled device's numbers: what the short form and the device tree call them, and what they may be. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

#define FIELD(member) offsetof(struct nvme_model_config, member), sizeof(((struct nvme_model_config *)0)->member)
#define NET(member)   offsetof(struct vnet_model_config, member), sizeof(((struct vnet_model_config *)0)->member)
#define DISK(member)  offsetof(struct vblk_model_config, member), sizeof(((struct vblk_model_config *)0)->member)

const struct model_setting model_settings_nvme[] = {
	{"queues", "queue-pairs", FIELD(queue_pairs_max), 1, NVME_MODEL_QUEUES_MAX, 1},
	{"entries", "queue-entries", FIELD(queue_entries_max), 2, NVME_QUEUE_MAX, 1},
	{"msix", "msix-vectors", FIELD(msix_vectors), 0, NVME_MODEL_MSIX_MAX, 1},
	{"mdts", "mdts", FIELD(mdts), 0, NVME_MDTS_MAX, 1},
	{"stride", "doorbell-stride", FIELD(doorbell_stride), 0, 2, 1},
	{"cmb", "cmb-size", FIELD(cmb_bytes), 0, NVME_MODEL_CMB_MAX, 4096},
	{NULL, "cmb-uses", FIELD(cmb_uses), 0, 0x1f, 1},
	{NULL, "page-shift-max", FIELD(page_shift_max), 12, 16, 1},
	{NULL, "namespaces-max", FIELD(namespaces_max), 1, NVME_MODEL_NAMESPACES, 1},
	{NULL, "capacity", FIELD(capacity_bytes), 0, NVME_MODEL_CAPACITY_MAX, 1},
	{NULL, "latency-ns", FIELD(latency_ns), 0, UINT64_MAX, 1},
	{NULL, "ready-ns", FIELD(ready_ns), 0, UINT64_MAX, 1},
	{NULL, "shutdown-ns", FIELD(shutdown_ns), 0, UINT64_MAX, 1},
	{NULL, NULL, 0, 0, 0, 0, 0},
};

const struct model_setting model_settings_vblk[] = {
	{"queues", "queues", DISK(queues), 1, VIRTIO_MODEL_QUEUES_MAX, 1},
	{"entries", "queue-entries", DISK(queue_size), 1, VIRTIO_QUEUE_SIZE_MAX, 1},
	{"msix", "msix-vectors", DISK(msix_vectors), 0, VIRTIO_MODEL_MSIX_MAX, 1},
	{"segments", "segments-max", DISK(seg_max), 1, VBLK_MODEL_SEG_MAX, 1},
	{NULL, "segment-bytes", DISK(size_max), 0, UINT32_MAX, 1},
	{NULL, "latency-ns", DISK(latency_ns), 0, UINT64_MAX, 1},
	{NULL, NULL, 0, 0, 0, 0, 0},
};

const struct model_setting model_settings_vnet[] = {
	{"queues", "queue-pairs", NET(pairs), 1, VNET_MODEL_PAIRS_MAX, 1},
	{"entries", "queue-entries", NET(queue_size), 2, VIRTIO_QUEUE_SIZE_MAX, 1},
	{"msix", "msix-vectors", NET(msix_vectors), 0, VIRTIO_MODEL_MSIX_MAX, 1},
	{"mtu", "mtu", NET(mtu), VIRTIO_NET_MTU_MIN, 65535, 1},
	{"speed", "speed-mbps", NET(speed_mbps), 0, VIRTIO_NET_SPEED_MAX, 1},
	{NULL, NULL, 0, 0, 0, 0, 0},
};

const struct model_setting *model_setting_find(const struct model_setting *list, const char *key, const char *property)
{
	for (const struct model_setting *s = list; s->property != NULL; s++)
		if ((key != NULL && s->key != NULL && strcmp(s->key, key) == 0) ||
		    (property != NULL && strcmp(s->property, property) == 0))
			return s;
	return NULL;
}

void model_setting_range(const struct model_setting *s, char *why, size_t len)
{
	if (s->step != 1)
		snprintf(why, len, "a multiple of %" PRIu64 " up to %" PRIu64 " is needed", s->step, s->max);
	else
		snprintf(why, len, "a number from %" PRIu64 " to %" PRIu64 " is needed", s->min, s->max);
}

int model_setting_take(const struct model_setting *s, uint64_t value, void *config)
{
	uint8_t *field = (uint8_t *)config + s->offset;
	uint32_t value32 = (uint32_t)value;
	uint16_t value16 = (uint16_t)value;
	uint8_t value8 = (uint8_t)value;

	if (value < s->min || value > s->max || value % s->step != 0)
		return -EINVAL;
	memcpy(field,
	       s->size == 8   ? (const void *)&value
	       : s->size == 4 ? (const void *)&value32
	       : s->size == 2 ? (const void *)&value16
			      : (const void *)&value8,
	       s->size);
	return 0;
}

int model_settings_agree(const struct nvme_model_config *c, char *why, size_t len)
{
	/* Doorbells end where the MSI-X table begins. */
	unsigned room = 0;

	while (room < NVME_MODEL_QUEUES_MAX && NVME_CQHDBL(room + 1, c->doorbell_stride) + 4 <= NVME_MODEL_MSIX_TABLE)
		room++;
	if (c->queue_pairs_max <= room)
		return 0;
	snprintf(why, len, "there is room for the doorbells of %u queue pairs with a stride of %u, not of %u", room,
		 c->doorbell_stride, c->queue_pairs_max);
	return -EINVAL;
}

int model_settings_agree_ring(uint64_t ring_features, unsigned queue_size, char *why, size_t len)
{
	bool packed = (ring_features & BIT64(VIRTIO_F_RING_PACKED)) != 0;

	if (packed || IS_POWER_OF_2(queue_size))
		return 0;
	snprintf(why, len, "split rings have a power of two of entries, not %u", queue_size);
	return -EINVAL;
}

uint64_t model_net_feature(const char *name)
{
	static const struct {
		const char *name;
		uint64_t bits;
	} names[] = {
		{"checksums", BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_GUEST_CSUM)},
		{"segments", BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) |
				     BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(VIRTIO_NET_F_GUEST_TSO4) |
				     BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN)},
		{"mergeable", BIT64(VIRTIO_NET_F_MRG_RXBUF)},
		{"status", BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE)},
		{"rss", BIT64(VIRTIO_NET_F_RSS) | BIT64(VIRTIO_NET_F_HASH_REPORT)},
		{"steering", BIT64(VIRTIO_NET_F_RSS)},
		{"vlan-filter", BIT64(VIRTIO_NET_F_CTRL_VLAN)},
		/* Without the queue there is nothing that it would be for. */
		{"control", BIT64(VIRTIO_NET_F_CTRL_VQ) | BIT64(VIRTIO_NET_F_CTRL_RX) |
				    BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT64(VIRTIO_NET_F_CTRL_VLAN) |
				    BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
				    BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT64(VIRTIO_NET_F_MQ) |
				    BIT64(VIRTIO_NET_F_RSS) | BIT64(VIRTIO_NET_F_HASH_REPORT)},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].bits;
	return 0;
}

int model_parse_mac(const char *text, uint8_t mac[6])
{
	unsigned v[6];
	int end = -1;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 ||
	    text[end] != '\0' || (v[0] & 1) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
	return 0;
}

uint64_t model_ring_feature(const char *name)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {
		{"packed", VIRTIO_F_RING_PACKED},
		{"indirect", VIRTIO_F_INDIRECT_DESC},
		{"event-index", VIRTIO_F_EVENT_IDX},
		{"in-order", VIRTIO_F_IN_ORDER},
		{"notification-data", VIRTIO_F_NOTIFICATION_DATA},
		{"notify-config-data", VIRTIO_F_NOTIF_CONFIG_DATA},
		{"queue-reset", VIRTIO_F_RING_RESET},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return BIT64(names[i].bit);
	return 0;
}
