/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network interfaces in memory, for tests of the NIC class: what one sends arrives at its peer, or at itself. The device
 * does no offloads, takes frames of several parts, interrupts when it is armed, and writes down what the class told it.
 */
#ifndef TESTS_RAM_NET_H
#define TESTS_RAM_NET_H

#include <outboard/net_driver.h>

#define RAM_NET_FIFO     1024u
#define RAM_NET_CHANNELS 4u
#define RAM_NET_FRAME    65553u

struct ram_frame {
	uint32_t len_bytes;
	uint8_t bytes[RAM_NET_FRAME];
};

struct ram_net_channel {
	struct ram_net *ram;
	struct ob_net_channel *channel;
	struct ob_packet **sent; /* tx_depth of them, the first sent_count used, not yet given back */
	unsigned sent_count, done_count;
	/* under the lock of all */
	struct ram_frame *fifo[RAM_NET_FIFO];
	unsigned head, tail;
	bool armed;
	unsigned armed_for;
	struct ob_work interrupt;
};

struct ram_net {
	struct ob_device *dev;
	struct ob_net *net;
	struct ram_net *peer;
	struct ram_net_channel *channels[RAM_NET_CHANNELS];
	unsigned channel_count;
	uint64_t missed;
	bool stuck;    /* nothing that is sent is ever done */
	int answer;    /* to what the class tells it */
	unsigned told; /* times */
	uint32_t offloads;
	uint32_t can; /* OB_NET_TX_*: what frames leave open it passes on; at first nothing */
};

/* Published on @machine, the peer of itself. */
int ram_net_create(struct ob_machine *machine, struct ram_net **out);
void ram_net_destroy(struct ram_net *ram);
/* What one sends the other receives. */
void ram_net_connect(struct ram_net *a, struct ram_net *b);

#endif
