/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers to ARP requests (RFC 826) and ICMP echo requests (RFC 792) for one IPv4 address, made in place. What comes in
 * is anybody's: every length is checked against the frame, and a checksum that is wrong gets no answer. Fragments get
 * none either.
 */
#include <string.h>

#include "cli/net.h"
#include "spec/ethernet.h"

static void turn_around(const struct net_host *host, struct ethernet_header *ethernet)
{
	memcpy(ethernet->destination, ethernet->source, ETHERNET_ADDRESS_BYTES);
	memcpy(ethernet->source, host->mac, ETHERNET_ADDRESS_BYTES);
}

static uint32_t answer_arp(const struct net_host *host, uint8_t *frame, uint32_t len_bytes)
{
	struct arp_header *arp = (void *)(frame + ETHERNET_HEADER_BYTES);
	uint32_t bytes = ETHERNET_HEADER_BYTES + sizeof(*arp);

	if (len_bytes < bytes || net_get16(arp->hardware) != ARP_ETHERNET ||
	    net_get16(arp->protocol) != ETHERNET_TYPE_IP4 || arp->hardware_bytes != 6 || arp->protocol_bytes != 4 ||
	    net_get16(arp->operation) != ARP_REQUEST || net_get32(arp->target_ip) != host->address)
		return 0;
	net_put16(arp->operation, ARP_REPLY);
	memcpy(arp->target_mac, arp->sender_mac, sizeof(arp->target_mac));
	memcpy(arp->target_ip, arp->sender_ip, sizeof(arp->target_ip));
	memcpy(arp->sender_mac, host->mac, sizeof(arp->sender_mac));
	net_put32(arp->sender_ip, host->address);
	turn_around(host, (void *)frame);
	return len_bytes;
}

/* The bytes of the echo message behind the IP header, or 0 when this is none that is for us. */
static uint32_t echo_bytes(const struct net_host *host, const uint8_t *frame, uint32_t len_bytes, uint32_t *ip_bytes)
{
	const struct ip4_header *ip = (const void *)(frame + ETHERNET_HEADER_BYTES);
	uint32_t header, total;

	if (len_bytes < ETHERNET_HEADER_BYTES + sizeof(*ip) || FIELD_GET(IP4_VERSION, ip->version_ihl) != 4)
		return 0;
	header = (uint32_t)FIELD_GET(IP4_IHL, ip->version_ihl) * 4;
	total = net_get16(ip->total_bytes);
	if (header < sizeof(*ip) || total < header + sizeof(struct icmp_header) ||
	    total > len_bytes - ETHERNET_HEADER_BYTES || net_checksum(ip, header) != 0)
		return 0;
	if (ip->protocol != IP_PROTOCOL_ICMP || net_get32(ip->destination) != host->address ||
	    (net_get16(ip->fragment) & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET)) != 0)
		return 0;
	*ip_bytes = header;
	return total - header;
}

static uint32_t answer_echo(const struct net_host *host, uint8_t *frame, uint32_t len_bytes)
{
	struct ip4_header *ip = (void *)(frame + ETHERNET_HEADER_BYTES);
	uint32_t ip_bytes = 0;
	uint32_t bytes = echo_bytes(host, frame, len_bytes, &ip_bytes);
	struct icmp_header *icmp = (void *)((uint8_t *)ip + ip_bytes);

	if (bytes == 0 || icmp->type != ICMP_ECHO || icmp->code != 0 || net_checksum(icmp, bytes) != 0)
		return 0;
	icmp->type = ICMP_ECHO_REPLY;
	net_put16(icmp->checksum, 0);
	net_put16(icmp->checksum, net_checksum(icmp, bytes));
	memcpy(ip->destination, ip->source, sizeof(ip->destination));
	net_put32(ip->source, host->address);
	ip->ttl = 64;
	net_put16(ip->checksum, 0);
	net_put16(ip->checksum, net_checksum(ip, ip_bytes));
	turn_around(host, (void *)frame);
	return len_bytes;
}

uint32_t net_answer(const struct net_host *host, uint8_t *frame, uint32_t len_bytes)
{
	const struct ethernet_header *ethernet = (const void *)frame;

	if (len_bytes < ETHERNET_HEADER_BYTES)
		return 0;
	switch (net_get16(ethernet->type)) {
	case ETHERNET_TYPE_ARP:
		return answer_arp(host, frame, len_bytes);
	case ETHERNET_TYPE_IP4:
		return answer_echo(host, frame, len_bytes);
	default:
		return 0;
	}
}
