/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bed for tests of NIC drivers on a whole machine: context, machine, an interface, a channel; and, at the other end of
 * its wire, this process: two Unix sockets on which each frame is a datagram.
 *
 * The test's thread is the home of all CPUs and turns them while it waits. Checks are cmocka's.
 */
#ifndef TESTS_NET_BED_H
#define TESTS_NET_BED_H

#include <outboard/net.h>
#include <outboard/outboard.h>

#include "tests/bed.h"

#define NET_BED_FRAMES 1024u /* that a received function keeps */

struct net_bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_net *net;
	struct ob_net_channel *channel;
	struct ob_packet *frames[NET_BED_FRAMES]; /* brought so far; they are given back at the end */
	unsigned frame_count;
	int wire;
	char dir[32], ours[64], theirs[64]; /* the wire's ends */
	struct bed_log log;
};

/* The wire's two ends, for a machine to be told of: b->ours and b->theirs. */
void net_bed_wire(struct net_bed *b);
/* A context of @cpus, the machine, and its first interface. Returns what ob_machine_open() says. */
int net_bed_try_open(struct net_bed *b, const char *uri, unsigned cpus);
/* qemu:q35 with a virtio interface at the wire; @properties are the device's, each with a comma in front. */
void net_bed_open_qemu(struct net_bed *b, const char *properties, unsigned cpus);
/* With a received function or without. The pool is the channel's own. */
void net_bed_channel(struct net_bed *b, enum ob_completion_mode mode, bool bring);
void net_bed_close(struct net_bed *b);

/* The other end. Sending waits until the wire takes it; receiving turns CPU 0 meanwhile, 0: nothing in @timeout_ns. */
void net_bed_put(struct net_bed *b, const void *frame, size_t len_bytes);
size_t net_bed_get(struct net_bed *b, void *frame, size_t size, uint64_t timeout_ns);

/* Frames with a number and a pattern, of any length from 64 bytes on. */
void net_bed_fill(uint8_t *frame, size_t len_bytes, uint32_t number, const uint8_t destination[6]);
/* Fails the test when it is not the one. */
void net_bed_check(const uint8_t *frame, size_t len_bytes, uint32_t number);

/* Our end. Sending turns until it is taken. */
void net_bed_send(struct net_bed *b, const void *frame, size_t len_bytes);
/* Turn until @count frames were brought, or until so many arrived at a channel without a function; false: in time not. */
bool net_bed_receive(struct net_bed *b, unsigned count, uint64_t timeout_ns);
void net_bed_turn(struct net_bed *b, uint64_t for_ns);
/* Frame @index that was brought, as bytes. */
size_t net_bed_read(struct net_bed *b, unsigned index, uint8_t *to, size_t size);
/* Give back what was brought. */
void net_bed_clear(struct net_bed *b);

struct ob_net_stats net_bed_stats(struct net_bed *b);
/* The machine's own language; must work. */
void net_bed_command(struct net_bed *b, const char *format, ...) OB_PRINTF(2, 3);
unsigned net_bed_logged(struct net_bed *b, const char *text);

#endif
