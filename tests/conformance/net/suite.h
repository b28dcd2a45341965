/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The suite that every network driver must pass. It knows the NIC class, and a wire: somebody at the other end who gets
 * what the interface sends and can send to it. It knows no driver.
 */
#ifndef TESTS_CONFORMANCE_NET_SUITE_H
#define TESTS_CONFORMANCE_NET_SUITE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/net.h>
#include <outboard/outboard.h>

#include "base/bits.h"
#include "spec/ethernet.h"
#include "tests/random.h"

#define SUITE_WAIT_NS  (20 * OB_NS_PER_S)
#define SUITE_QUIET_NS (100 * OB_NS_PER_MS) /* what has not come by then is not coming */
#define SUITE_FRAME    65600u
#define SUITE_INBOX    4096u
#define SUITE_CHANNELS 4u
#define SUITE_POOL     2048u

struct suite;

/* How the other end of the wire is reached. */
enum wire_kind {
	WIRE_SOCKET, /* a datagram socket per frame */
	WIRE_LOOP,   /* what is sent comes back; nobody else is there */
	WIRE_PEER,   /* another interface of ours */
};

struct wire {
	enum wire_kind kind;
	int fd;
	const char *path; /* of a socket: the other end's */
	struct ob_net *net;
	struct ob_net_channel *channel;
	struct ob_packet_pool *pool;
	uint64_t lost; /* that it had no room for */
};

struct suite_config {
	enum ob_completion_mode mode;
	uint64_t seed;
	enum wire_kind wire;
	const char *ours, *theirs; /* the paths of a socket */
};

struct suite {
	struct ob *ob;
	struct ob_net *net;
	struct ob_cpu *cpu;
	struct suite_config config;
	struct ob_net_info info;
	struct random random;
	struct wire wire;
	struct ob_packet_pool *pool;
	struct ob_net_channel *channels[SUITE_CHANNELS];
	unsigned channel_count;
	/* what arrived, in order, and on which channel */
	struct ob_packet *inbox[SUITE_INBOX];
	uint8_t inbox_channel[SUITE_INBOX];
	unsigned inbox_first, inbox_count;
	uint64_t sent, sent_bytes;
	const char *check;
	bool failed;
	uint8_t out[SUITE_FRAME], in[SUITE_FRAME]; /* a frame as it should be, and as it is */
};

/* Say what went wrong. Returns -1. */
int suite_fail(struct suite *t, const char *format, ...) OB_PRINTF(2, 3);

#define SUITE_CHECK(t, condition, ...)                       \
	do {                                                 \
		if (!(condition))                            \
			return suite_fail((t), __VA_ARGS__); \
	} while (0)

/* ---- suite.c ---- */

/* All checks on one interface. 0, or -1 and said so. */
int suite_run(struct ob *ob, struct ob_net *net, const struct suite_config *config);
int suite_open(struct suite *t, unsigned channels);
void suite_close(struct suite *t);
/* A turn of the CPU; what has arrived is put into the inbox. */
void suite_pump(struct suite *t);
/* Are all packets back but those that the channels receive into? */
int suite_check_pool(struct suite *t);

/* ---- wire.c: frames at either end ---- */

int wire_open(struct suite *t);
void wire_close(struct suite *t);
/* Send from the other end. 0; -1 and said so. */
int wire_put(struct suite *t, const uint8_t *frame, uint32_t len_bytes);
/* The next frame that arrived at the other end: its length; 0: none within @timeout_ns. */
uint32_t wire_take(struct suite *t, uint8_t *frame, uint64_t timeout_ns);
/* The next one that arrived here: its length, and a copy; 0: none. @packet: the frame itself, or NULL. */
uint32_t suite_take(struct suite *t, uint8_t *frame, struct ob_packet **packet, uint64_t timeout_ns);
/* Send one frame from here; it is the channel's. 0; -1 and said so. */
int suite_send(struct suite *t, unsigned channel, struct ob_packet *frame);

/* ---- frames.c ---- */

/* A frame of @len_bytes for the interface (or from it), with noise in it. */
void make_frame(struct suite *t, uint8_t *frame, uint32_t len_bytes, bool to_us);
uint32_t frame_max(const struct suite *t);
/* The same in packets: parts of random lengths at odd addresses when @parts is above 1. */
struct ob_packet *make_packets(struct suite *t, const uint8_t *frame, uint32_t len_bytes, unsigned parts);
/* Headers of TCP over IPv4 or IPv6, with everything but checksums; returns where the transport header begins. */
uint32_t make_tcp(struct suite *t, uint8_t *frame, uint32_t len_bytes, bool ip6);
/* The pseudo header's sum in the transport checksum's place. */
void open_checksum(uint8_t *frame, uint32_t len_bytes, uint32_t transport, bool ip6);
/* Is the transport checksum right, and the IPv4 header's? */
bool checksums_right(const uint8_t *frame, uint32_t len_bytes, uint32_t transport, bool ip6);

/* ---- the checks ---- */

int check_info(struct suite *t);
int check_sizes_out(struct suite *t);
int check_sizes_in(struct suite *t);
int check_scatter(struct suite *t);
int check_order_out(struct suite *t);
int check_order_in(struct suite *t);
int check_order_channels(struct suite *t);
int check_full(struct suite *t);
int check_starve(struct suite *t);
int check_references(struct suite *t);
int check_refused(struct suite *t);
int check_checksum(struct suite *t);
int check_segments(struct suite *t);
int check_vlan(struct suite *t);
int check_filter(struct suite *t);
int check_mac(struct suite *t);
int check_stats(struct suite *t);
int check_close_in_flight(struct suite *t);
int check_reopen(struct suite *t);
int check_channels(struct suite *t);
int check_suspend(struct suite *t);

#endif
