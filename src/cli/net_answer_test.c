/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that ask, and frames that are damaged in every way that a length or a checksum can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/net.h"
#include "spec/ethernet.h"

#define US         0x0a00020fu
#define THEM       0x0a000202u
#define ECHO_BYTES (ETHERNET_HEADER_BYTES + 20u + 8u + 56u)

static const struct net_host host = {.mac = {2, 0, 0, 0, 0, 1}, .address = US};
static const uint8_t their_mac[6] = {2, 0, 0, 0, 0, 2};
static uint8_t frame[128], before[128];

static void make_ethernet(unsigned type)
{
	memset(frame, 0, sizeof(frame));
	memset(frame, 0xff, 6);
	memcpy(frame + 6, their_mac, 6);
	net_put16(frame + 12, (uint16_t)type);
}

static struct arp_header *make_arp(void)
{
	struct arp_header *arp = (void *)(frame + ETHERNET_HEADER_BYTES);

	make_ethernet(ETHERNET_TYPE_ARP);
	net_put16(arp->hardware, ARP_ETHERNET);
	net_put16(arp->protocol, ETHERNET_TYPE_IP4);
	arp->hardware_bytes = 6;
	arp->protocol_bytes = 4;
	net_put16(arp->operation, ARP_REQUEST);
	memcpy(arp->sender_mac, their_mac, 6);
	net_put32(arp->sender_ip, THEM);
	net_put32(arp->target_ip, US);
	return arp;
}

static struct ip4_header *ip_header(void)
{
	return (void *)(frame + ETHERNET_HEADER_BYTES);
}

static struct icmp_header *icmp_header(void)
{
	return (void *)(frame + ETHERNET_HEADER_BYTES + 20);
}

static void sum_ip(void)
{
	net_put16(ip_header()->checksum, 0);
	net_put16(ip_header()->checksum, net_checksum(ip_header(), 20));
}

static void make_echo(void)
{
	make_ethernet(ETHERNET_TYPE_IP4);
	ip_header()->version_ihl = 0x45;
	net_put16(ip_header()->total_bytes, ECHO_BYTES - ETHERNET_HEADER_BYTES);
	ip_header()->ttl = 3;
	ip_header()->protocol = IP_PROTOCOL_ICMP;
	net_put32(ip_header()->source, THEM);
	net_put32(ip_header()->destination, US);
	sum_ip();
	icmp_header()->type = ICMP_ECHO;
	net_put16(icmp_header()->id, 77);
	net_put16(icmp_header()->sequence, 5);
	for (unsigned i = 0; i < 56; i++)
		frame[ECHO_BYTES - 56 + i] = (uint8_t)(i * 7);
	net_put16(icmp_header()->checksum, net_checksum(icmp_header(), 64));
}

/* No answer, and the frame is as it was. */
static void assert_silent(uint32_t len_bytes)
{
	memcpy(before, frame, sizeof(frame));
	assert_int_equal(net_answer(&host, frame, len_bytes), 0);
	assert_memory_equal(before, frame, sizeof(frame));
}

static void test_arp_request_for_us_is_answered(void **state)
{
	const struct arp_header *arp = make_arp();

	(void)state;
	assert_int_equal(net_answer(&host, frame, 60), 60);
	assert_memory_equal(frame, their_mac, 6);
	assert_memory_equal(frame + 6, host.mac, 6);
	assert_int_equal(net_get16(arp->operation), ARP_REPLY);
	assert_memory_equal(arp->sender_mac, host.mac, 6);
	assert_int_equal(net_get32(arp->sender_ip), US);
	assert_memory_equal(arp->target_mac, their_mac, 6);
	assert_int_equal(net_get32(arp->target_ip), THEM);
}

static void test_arp_for_others_or_damaged_is_passed_over(void **state)
{
	(void)state;
	net_put32(make_arp()->target_ip, US + 1);
	assert_silent(60);
	net_put16(make_arp()->operation, ARP_REPLY);
	assert_silent(60);
	make_arp()->hardware_bytes = 8;
	assert_silent(60);
	make_arp();
	for (uint32_t len = 0; len < ETHERNET_HEADER_BYTES + sizeof(struct arp_header); len++)
		assert_silent(len);
}

static void test_echo_request_is_answered_with_its_data(void **state)
{
	(void)state;
	make_echo();
	memcpy(before, frame, sizeof(frame));
	assert_int_equal(net_answer(&host, frame, ECHO_BYTES), ECHO_BYTES);
	assert_int_equal(icmp_header()->type, ICMP_ECHO_REPLY);
	assert_int_equal(net_checksum(icmp_header(), 64), 0);
	assert_int_equal(net_checksum(ip_header(), 20), 0);
	assert_int_equal(net_get32(ip_header()->source), US);
	assert_int_equal(net_get32(ip_header()->destination), THEM);
	assert_int_equal(ip_header()->ttl, 64);
	assert_memory_equal(frame, their_mac, 6);
	assert_memory_equal(frame + ECHO_BYTES - 60, before + ECHO_BYTES - 60, 60);
}

static void test_echo_damaged_or_for_others_is_passed_over(void **state)
{
	(void)state;
	for (uint32_t len = 0; len < ECHO_BYTES; len++) {
		make_echo();
		assert_silent(len);
	}
	for (unsigned at = ETHERNET_HEADER_BYTES; at < ECHO_BYTES; at++) {
		make_echo();
		frame[at] ^= 0x10; /* some checksum is wrong by it */
		assert_silent(ECHO_BYTES);
	}
	make_echo();
	net_put32(ip_header()->destination, US + 1);
	sum_ip();
	assert_silent(ECHO_BYTES);
	make_echo();
	net_put16(ip_header()->fragment, IP4_MORE_FRAGMENTS);
	sum_ip();
	assert_silent(ECHO_BYTES);
	make_echo();
	ip_header()->version_ihl = 0x4f; /* a header that is longer than the packet says it is */
	net_put16(ip_header()->total_bytes, 60);
	sum_ip();
	assert_silent(ECHO_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_request_for_us_is_answered),
		cmocka_unit_test(test_arp_for_others_or_damaged_is_passed_over),
		cmocka_unit_test(test_echo_request_is_answered_with_its_data),
		cmocka_unit_test(test_echo_damaged_or_for_others_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
