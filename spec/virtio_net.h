/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio network devices: VIRTIO 1.2 §5.1. All fields are little endian. */
#ifndef SPEC_VIRTIO_NET_H
#define SPEC_VIRTIO_NET_H

#include <assert.h>
#include <stddef.h>

#include <outboard/types.h>

#include "base/bits.h"

/* ---- feature bits: §5.1.3 ---- */

#define VIRTIO_NET_F_CSUM                0 /* takes frames with a partial checksum */
#define VIRTIO_NET_F_GUEST_CSUM          1 /* the driver does */
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2 /* … and can change that */
#define VIRTIO_NET_F_MTU                 3 /* config.mtu */
#define VIRTIO_NET_F_MAC                 5 /* config.mac */
#define VIRTIO_NET_F_GUEST_TSO4          7 /* the driver takes segments in one */
#define VIRTIO_NET_F_GUEST_TSO6          8
#define VIRTIO_NET_F_GUEST_ECN           9
#define VIRTIO_NET_F_GUEST_UFO           10
#define VIRTIO_NET_F_HOST_TSO4           11 /* the device does */
#define VIRTIO_NET_F_HOST_TSO6           12
#define VIRTIO_NET_F_HOST_ECN            13
#define VIRTIO_NET_F_HOST_UFO            14
#define VIRTIO_NET_F_MRG_RXBUF           15 /* a frame may be in several buffers */
#define VIRTIO_NET_F_STATUS              16 /* config.status */
#define VIRTIO_NET_F_CTRL_VQ             17
#define VIRTIO_NET_F_CTRL_RX             18 /* promiscuous, all multicast, MAC tables */
#define VIRTIO_NET_F_CTRL_VLAN           19
#define VIRTIO_NET_F_CTRL_RX_EXTRA       20
#define VIRTIO_NET_F_GUEST_ANNOUNCE      21
#define VIRTIO_NET_F_MQ                  22
#define VIRTIO_NET_F_CTRL_MAC_ADDR       23
#define VIRTIO_NET_F_NOTF_COAL           53 /* interrupts of queues may be held back */
#define VIRTIO_NET_F_HASH_REPORT         57 /* the header has the hash */
#define VIRTIO_NET_F_GUEST_HDRLEN        59
#define VIRTIO_NET_F_RSS                 60
#define VIRTIO_NET_F_RSC_EXT             61
#define VIRTIO_NET_F_STANDBY             62
#define VIRTIO_NET_F_SPEED_DUPLEX        63 /* config.speed and duplex */

/* ---- queues: §5.1.2; N pairs, N of MQ or RSS or 1 ---- */

#define VIRTIO_NET_RX(pair)       (2u * (pair))
#define VIRTIO_NET_TX(pair)       (2u * (pair) + 1)
#define VIRTIO_NET_CONTROL(pairs) (2u * (pairs))
#define VIRTIO_NET_PAIRS_MAX      0x8000u

/* ---- configuration: §5.1.4 ---- */

struct virtio_net_config {
	uint8_t mac[6];              /* MAC */
	ob_le16 status;              /* STATUS */
	ob_le16 max_virtqueue_pairs; /* MQ or RSS */
	ob_le16 mtu;                 /* MTU */
	ob_le32 speed;               /* SPEED_DUPLEX: Mbit/s, up to 7FFFFFFFh */
	uint8_t duplex;              /* 0 half, 1 full */
	uint8_t rss_max_key_size;    /* RSS or HASH_REPORT */
	ob_le16 rss_max_indirection_table_length;
	ob_le32 supported_hash_types;
};
static_assert(sizeof(struct virtio_net_config) == 24 && offsetof(struct virtio_net_config, speed) == 12 &&
		      offsetof(struct virtio_net_config, supported_hash_types) == 20,
	      "§5.1.4");
#define VIRTIO_NET_S_LINK_UP     BIT(0)
#define VIRTIO_NET_S_ANNOUNCE    BIT(1)
#define VIRTIO_NET_SPEED_MAX     0x7fffffffu /* more: unknown */
#define VIRTIO_NET_DUPLEX_FULL   1u
#define VIRTIO_NET_MTU_MIN       68u
#define VIRTIO_NET_RSS_KEY_MIN   40u  /* §5.1.4.1 */
#define VIRTIO_NET_RSS_TABLE_MIN 128u /* §5.1.4.1 */

/* ---- the header in front of each frame: §5.1.6 ---- */

struct virtio_net_header {
	uint8_t flags;
	uint8_t gso_type;
	ob_le16 hdr_len;
	ob_le16 gso_size;
	ob_le16 csum_start;
	ob_le16 csum_offset;
	ob_le16 num_buffers;
};
static_assert(sizeof(struct virtio_net_header) == 12 && offsetof(struct virtio_net_header, num_buffers) == 10,
	      "§5.1.6");

struct virtio_net_header_hash { /* with HASH_REPORT */
	struct virtio_net_header header;
	ob_le32 hash_value;
	ob_le16 hash_report;
	ob_le16 padding;
};
static_assert(sizeof(struct virtio_net_header_hash) == 20, "§5.1.6");

#define VIRTIO_NET_HDR_F_NEEDS_CSUM BIT(0)
#define VIRTIO_NET_HDR_F_DATA_VALID BIT(1)
#define VIRTIO_NET_HDR_F_RSC_INFO   BIT(2)

#define VIRTIO_NET_HDR_GSO_NONE  0u
#define VIRTIO_NET_HDR_GSO_TCPV4 1u
#define VIRTIO_NET_HDR_GSO_UDP   3u
#define VIRTIO_NET_HDR_GSO_TCPV6 4u
#define VIRTIO_NET_HDR_GSO_ECN   0x80u /* beside one of the TCP ones */

/* Frames without MRG_RXBUF have to fit one buffer: §5.1.6.3.1. */
#define VIRTIO_NET_FRAME_GSO_BYTES 65550u /* with one of GUEST_TSO4, TSO6, UFO: the frame, without the header */
#define VIRTIO_NET_FRAME_BYTES     1514u

/* §5.1.6.4.3 */
#define VIRTIO_NET_HASH_REPORT_NONE     0u
#define VIRTIO_NET_HASH_REPORT_IPV4     1u
#define VIRTIO_NET_HASH_REPORT_TCPV4    2u
#define VIRTIO_NET_HASH_REPORT_UDPV4    3u
#define VIRTIO_NET_HASH_REPORT_IPV6     4u
#define VIRTIO_NET_HASH_REPORT_TCPV6    5u
#define VIRTIO_NET_HASH_REPORT_UDPV6    6u
#define VIRTIO_NET_HASH_REPORT_IPV6_EX  7u
#define VIRTIO_NET_HASH_REPORT_TCPV6_EX 8u
#define VIRTIO_NET_HASH_REPORT_UDPV6_EX 9u

/* §5.1.6.4.1 */
#define VIRTIO_NET_HASH_TYPE_IPV4  BIT(0)
#define VIRTIO_NET_HASH_TYPE_TCPV4 BIT(1)
#define VIRTIO_NET_HASH_TYPE_UDPV4 BIT(2)
#define VIRTIO_NET_HASH_TYPE_IPV6  BIT(3)
#define VIRTIO_NET_HASH_TYPE_TCPV6 BIT(4)
#define VIRTIO_NET_HASH_TYPE_UDPV6 BIT(5)

/* ---- the control queue: §5.1.6.5 ---- */

struct virtio_net_control {
	uint8_t class;
	uint8_t command;
	/* its data, and behind that, written by the device: */
};
#define VIRTIO_NET_OK  0u
#define VIRTIO_NET_ERR 1u

#define VIRTIO_NET_CTRL_RX          0u /* one byte: on or off */
#define VIRTIO_NET_CTRL_RX_PROMISC  0u
#define VIRTIO_NET_CTRL_RX_ALLMULTI 1u
#define VIRTIO_NET_CTRL_RX_ALLUNI   2u /* from here on with CTRL_RX_EXTRA */
#define VIRTIO_NET_CTRL_RX_NOMULTI  3u
#define VIRTIO_NET_CTRL_RX_NOUNI    4u
#define VIRTIO_NET_CTRL_RX_NOBCAST  5u

#define VIRTIO_NET_CTRL_MAC           1u
#define VIRTIO_NET_CTRL_MAC_TABLE_SET 0u /* two tables, unicast and multicast: le32 count, addresses */
#define VIRTIO_NET_CTRL_MAC_ADDR_SET  1u /* 6 bytes, with CTRL_MAC_ADDR */

#define VIRTIO_NET_CTRL_VLAN     2u
#define VIRTIO_NET_CTRL_VLAN_ADD 0u /* le16 */
#define VIRTIO_NET_CTRL_VLAN_DEL 1u

#define VIRTIO_NET_CTRL_ANNOUNCE     3u
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK 0u

#define VIRTIO_NET_CTRL_MQ              4u
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET 0u /* le16 */
#define VIRTIO_NET_CTRL_MQ_RSS_CONFIG   1u
#define VIRTIO_NET_CTRL_MQ_HASH_CONFIG  2u

#define VIRTIO_NET_CTRL_GUEST_OFFLOADS     5u
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0u /* le64: feature bits GUEST_* that shall be on */

#define VIRTIO_NET_CTRL_NOTF_COAL        6u
#define VIRTIO_NET_CTRL_NOTF_COAL_TX_SET 0u
#define VIRTIO_NET_CTRL_NOTF_COAL_RX_SET 1u

/* RSS_CONFIG and HASH_CONFIG: the members behind the table stand where the table ends (§5.1.6.5.6.4, §5.1.6.5.7.1). */
struct virtio_net_rss_head {
	ob_le32 hash_types;
	ob_le16 indirection_table_mask;
	ob_le16 unclassified_queue;
	/* le16 indirection_table[mask + 1]; le16 max_tx_vq; u8 hash_key_length; u8 key[] */
};
static_assert(sizeof(struct virtio_net_rss_head) == 8, "§5.1.6.5.7.1");

#endif
