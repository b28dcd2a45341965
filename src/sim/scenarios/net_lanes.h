/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes of numbered frames over the channels of a network interface, and the machine around them: net_lanes.c. */
#ifndef OB_SIM_SCENARIOS_NET_LANES_H
#define OB_SIM_SCENARIOS_NET_LANES_H

#include <outboard/net.h>
#include <outboard/outboard.h>

#include "sim/scenarios/scenarios.h"

#define NET_LANES_MAX  3
#define NET_FRAMES_MAX 48
#define NET_AGAIN_MAX  16 /* more, once the device has slept */
#define NET_TIMEOUT_NS (60 * OB_NS_PER_S)

enum net_manner {
	NET_ALL,   /* each frame comes back, in order */
	NET_LOSSY, /* frames may be lost; those that come are in order, as they were */
	NET_ROUGH, /* … as long as the device has not lied, and nothing need work */
};

struct net_lane {
	struct ob_net *net;
	struct ob_packet_pool *pool;
	struct ob_packet_pool *spare;   /* another one to send from; or NULL */
	struct ob_net_channel *channel; /* of who opens and closes it */
	struct ob_net_channel *at;      /* … and of who sends and receives */
	struct ob_event finished;
	struct ob_task *task;
	unsigned index, left, sent, next; /* of frames: to be sent, sent, and the next to come back */
	unsigned first;                   /* that is waited for: those before it may be lost, or come late */
	unsigned again;                   /* so many are to be sent from there on */
	unsigned window;                  /* on the way at most */
	enum net_manner manner;
	bool full; /* the ring is: room is worth waiting for */
	bool stop; /* the task shall end; by OB_READ_ONCE() */
	uint8_t mac[6];
	uint8_t begun[NET_FRAMES_MAX + NET_AGAIN_MAX]; /* a place for each frame, for the rule that requests end once */
};

struct net_bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_net *net;
	struct net_lane *lanes;
	unsigned channels;
	bool tasks;
	uint32_t room; /* of a packet: less than a frame of the largest needs, where buffers may be merged */
};

/* A lane's channel, with pools of its own. 0 or negative errno */
int net_lane_open(const struct net_bed *b, unsigned index);
void net_lane_close(struct net_lane *l);
/* For ob_cpu_call(): send what there is. */
void net_lane_start(void *arg);
/* False: there is no interface, as faults may have it. */
bool net_bed_open(struct net_bed *b, const struct sim_config *config, enum net_manner manner);
void net_lanes_go(struct net_bed *b, enum net_manner manner);
void net_lanes_end(struct net_bed *b);
/* After NET_LOSSY: some more, and of these all come back. */
void net_lanes_again(struct net_bed *b);
/* All but the machine may be left of it. */
void net_bed_close(struct net_bed *b);
void net_pause(const struct net_bed *b, uint64_t ns);

#endif
