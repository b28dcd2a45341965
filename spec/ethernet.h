/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands at the beginning of frames: Ethernet (IEEE 802.3-2018 §3), VLAN tags (IEEE 802.1Q-2018 §9), ARP (RFC 826),
 * IPv4 (RFC 791), IPv6 (RFC 8200), ICMP (RFC 792), ICMPv6 (RFC 4443, 4861), UDP (RFC 768), TCP (RFC 9293).
 *
 * Headers begin at odd places, so nothing here may be aligned: all fields are arrays of bytes, read and written in
 * network order by net_get16() and its relatives.
 */
#ifndef SPEC_ETHERNET_H
#define SPEC_ETHERNET_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"

/* ---- bytes in network order ---- */

static inline uint16_t net_get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t net_get32(const uint8_t *from)
{
	return (uint32_t)net_get16(from) << 16 | net_get16(from + 2);
}

static inline void net_put16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static inline void net_put32(uint8_t *to, uint32_t value)
{
	net_put16(to, (uint16_t)(value >> 16));
	net_put16(to + 2, (uint16_t)value);
}

/* ---- Ethernet: IEEE 802.3 §3.1.1 ---- */

#define ETHERNET_ADDRESS_BYTES 6u
#define ETHERNET_HEADER_BYTES  14u
#define ETHERNET_FRAME_MIN     60u /* without the frame check sequence */
#define ETHERNET_MTU           1500u
#define ETHERNET_MTU_MIN       68u     /* that IPv4 needs: RFC 791 §3.2 */
#define ETHERNET_GROUP         BIT(0)  /* in the first byte of an address: multicast */
#define ETHERNET_LOCAL         BIT(1)  /* … locally administered */
#define ETHERNET_TYPE_MIN      0x0600u /* smaller: a length */
#define ETHERNET_TYPE_IP4      0x0800u
#define ETHERNET_TYPE_ARP      0x0806u
#define ETHERNET_TYPE_RARP     0x8035u
#define ETHERNET_TYPE_VLAN     0x8100u /* C-VLAN tag: 802.1Q §9.5 */
#define ETHERNET_TYPE_SVLAN    0x88a8u /* S-VLAN tag */
#define ETHERNET_TYPE_IP6      0x86ddu
#define ETHERNET_TYPE_TEST     0x88b5u /* for local experiments: IEEE 802 §9.2.4 */

struct ethernet_header {
	uint8_t destination[ETHERNET_ADDRESS_BYTES];
	uint8_t source[ETHERNET_ADDRESS_BYTES];
	uint8_t type[2];
};
static_assert(sizeof(struct ethernet_header) == ETHERNET_HEADER_BYTES, "IEEE 802.3 §3.1.1");

/* Behind the source address; the type that was there follows it. */
struct vlan_tag {
	uint8_t tpid[2]; /* ETHERNET_TYPE_VLAN */
	uint8_t tci[2];
};
static_assert(sizeof(struct vlan_tag) == 4, "802.1Q §9.3");
#define VLAN_TAG_BYTES    4u
#define VLAN_TAG_OFFSET   12u /* in the frame */
#define VLAN_TCI_VID      BITS(11, 0)
#define VLAN_TCI_DEI      BIT(12)
#define VLAN_TCI_PRIORITY BITS(15, 13)
#define VLAN_VID_MAX      4094u /* 4095 is reserved: 802.1Q table 9-2 */

/* ---- ARP and RARP: RFC 826, RFC 903 ---- */

struct arp_header {          /* for Ethernet and IPv4 */
	uint8_t hardware[2]; /* ARP_ETHERNET */
	uint8_t protocol[2]; /* ETHERNET_TYPE_IP4 */
	uint8_t hardware_bytes, protocol_bytes;
	uint8_t operation[2];
	uint8_t sender_mac[6];
	uint8_t sender_ip[4];
	uint8_t target_mac[6];
	uint8_t target_ip[4];
};
static_assert(sizeof(struct arp_header) == 28, "RFC 826");
#define ARP_ETHERNET        1u
#define ARP_REQUEST         1u
#define ARP_REPLY           2u
#define ARP_REVERSE_REQUEST 3u /* RFC 903 */

/* ---- IP ---- */

#define IP_PROTOCOL_ICMP   1u
#define IP_PROTOCOL_TCP    6u
#define IP_PROTOCOL_UDP    17u
#define IP_PROTOCOL_ICMPV6 58u

struct ip4_header { /* RFC 791 §3.1 */
	uint8_t version_ihl;
	uint8_t tos;
	uint8_t total_bytes[2];
	uint8_t id[2];
	uint8_t fragment[2];
	uint8_t ttl;
	uint8_t protocol;
	uint8_t checksum[2];
	uint8_t source[4];
	uint8_t destination[4];
};
static_assert(sizeof(struct ip4_header) == 20, "RFC 791 §3.1");
#define IP4_VERSION         BITS(7, 4) /* 4 */
#define IP4_IHL             BITS(3, 0) /* header, in 4 bytes */
#define IP4_DONT_FRAGMENT   BIT(14)
#define IP4_MORE_FRAGMENTS  BIT(13)
#define IP4_FRAGMENT_OFFSET BITS(12, 0) /* in 8 bytes */

struct ip6_header { /* RFC 8200 §3 */
	uint8_t version_class_flow[4];
	uint8_t payload_bytes[2];
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t source[16];
	uint8_t destination[16];
};
static_assert(sizeof(struct ip6_header) == 40, "RFC 8200 §3");
#define IP6_VERSION BITS(31, 28) /* 6 */

/* The extension headers that a packet's transport header may stand behind: RFC 8200 §4, RFC 7045. */
#define IP6_NEXT_HOP_BY_HOP  0u
#define IP6_NEXT_ROUTING     43u
#define IP6_NEXT_FRAGMENT    44u
#define IP6_NEXT_NONE        59u
#define IP6_NEXT_DESTINATION 60u
#define IP6_EXTENSION_UNIT   8u /* the second byte of an extension: its length in these, without the first */
#define IP6_EXTENSION_MAX    8u /* that we look at */

/* ---- transport ---- */

struct icmp_header { /* RFC 792; RFC 4443 §2.1 */
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t id[2]; /* echo */
	uint8_t sequence[2];
};
static_assert(sizeof(struct icmp_header) == 8, "RFC 792");
#define ICMP_ECHO_REPLY      0u
#define ICMP_ECHO            8u
#define ICMPV6_ECHO          128u
#define ICMPV6_ECHO_REPLY    129u
#define ICMPV6_SOLICITATION  135u /* neighbour: RFC 4861 §4.3 */
#define ICMPV6_ADVERTISEMENT 136u

struct udp_header { /* RFC 768 */
	uint8_t source[2];
	uint8_t destination[2];
	uint8_t length[2];   /* header and data */
	uint8_t checksum[2]; /* 0: none (IPv4) */
};
static_assert(sizeof(struct udp_header) == 8, "RFC 768");
#define UDP_CHECKSUM_OFFSET 6u

struct tcp_header { /* RFC 9293 §3.1 */
	uint8_t source[2];
	uint8_t destination[2];
	uint8_t sequence[4];
	uint8_t acknowledgement[4];
	uint8_t data_offset; /* TCP_DATA_OFFSET */
	uint8_t flags;
	uint8_t window[2];
	uint8_t checksum[2];
	uint8_t urgent[2];
};
static_assert(sizeof(struct tcp_header) == 20, "RFC 9293 §3.1");
#define TCP_DATA_OFFSET     BITS(7, 4) /* header, in 4 bytes */
#define TCP_CHECKSUM_OFFSET 16u
#define TCP_FIN             BIT(0)
#define TCP_SYN             BIT(1)
#define TCP_RST             BIT(2)
#define TCP_PSH             BIT(3)
#define TCP_ACK             BIT(4)
#define TCP_CWR             BIT(7) /* RFC 3168 §6.1 */

/* ---- the Internet checksum: RFC 1071 ---- */

/*
 * net_sum - add @len_bytes at @data to a running sum; all pieces but the last are of even length
 * net_sum_fold - the sum as 16 bits; its complement is the checksum
 */
static inline uint64_t net_sum(uint64_t sum, const void *data, size_t len_bytes)
{
	const uint8_t *p = data;

	for (; len_bytes >= 4; len_bytes -= 4, p += 4)
		sum += net_get32(p);
	if (len_bytes >= 2) {
		sum += net_get16(p);
		p += 2;
	}
	if ((len_bytes & 1) != 0)
		sum += (uint32_t)*p << 8;
	return sum;
}

static inline uint16_t net_sum_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t net_checksum(const void *data, size_t len_bytes)
{
	return (uint16_t)~net_sum_fold(net_sum(0, data, len_bytes));
}

/* The pseudo headers: RFC 793 §3.1, RFC 8200 §8.1. */
static inline uint64_t net_sum_pseudo4(const struct ip4_header *ip, uint8_t protocol, uint32_t len_bytes)
{
	return net_sum(net_sum(0, ip->source, sizeof(ip->source)), ip->destination, sizeof(ip->destination)) +
	       protocol + len_bytes;
}

static inline uint64_t net_sum_pseudo6(const struct ip6_header *ip, uint8_t protocol, uint32_t len_bytes)
{
	return net_sum(net_sum(0, ip->source, sizeof(ip->source)), ip->destination, sizeof(ip->destination)) +
	       protocol + len_bytes;
}

#endif
