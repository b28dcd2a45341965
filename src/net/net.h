/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NIC class inside: the interface, its channels, and the calls that CPU 0 does for everybody.
 *
 * What tells a device something (filters, offloads, opening and closing of channels) is done by tasks of CPU 0, one at a
 * time for each interface (net->mutex). What is read by anybody is under net->lock. A channel's frames are its own CPU's.
 */
#ifndef OB_NET_NET_H
#define OB_NET_NET_H

#include <assert.h>

#include <outboard/net_driver.h>

#include "base/bits.h"
#include "base/list.h"

#define NET_DEPTH_DEFAULT 256u
#define NET_BUFFER_MAX    (1u << 20) /* bytes of one packet's buffer */
#define NET_POOL_SPARE    512u       /* packets of a pool that a channel makes, beyond those in its rings */
#define NET_NAME_MAX      16
#define NET_VLAN_WORDS    64u

#define NET_CALL_NS (5 * OB_NS_PER_S)   /* for a CPU to answer a call */
#define NET_STEP_NS (120 * OB_NS_PER_S) /* for CPU 0 to do what it is asked for; drivers have shorter deadlines */
#define NET_LOCK_NS (300 * OB_NS_PER_S)
#define NET_PEEK_NS (20 * OB_NS_PER_US) /* between looks at a channel that has nothing to wake who waits */

struct ob_net {
	struct list link; /* ob->nets; ob->lock */
	uint64_t order;   /* ascending in that list: an iterator goes on after one that has left it */
	struct ob *ob;    /* valid while online */
	struct ob_device *dev;
	unsigned refs; /* __atomic */
	bool online;   /* __atomic; CPU 0 writes */
	const struct ob_net_ops *ops;
	void *driver_data;
	struct ob_mutex mutex; /* open, close, unpublish, what tells the device: one at a time; tasks of CPU 0 */
	struct ob_lock lock;   /* the rest */
	struct ob_net_info info;
	struct ob_net_link now;
	struct ob_net_filter filter;
	struct ob_net_rss rss;
	uint64_t vlans[NET_VLAN_WORDS];
	unsigned vlan_count;
	struct ob_net_watch *watches;
	struct list channels; /* net_channel.link */
	struct ob_net_stats closed;
	struct ob_net_stats counters; /* of the driver, for the device as a whole */
	char name[NET_NAME_MAX];
};

/* Where the parts of a frame begin that is to be cut into segments. */
struct net_train_shape {
	uint32_t ip, transport, payload;
	bool six;
};

/* One that the device cannot cut, and how far we are with it: segment.c. */
struct net_train {
	struct ob_packet *frame;   /* NULL: none */
	struct ob_packet *segment; /* made, and not taken yet; or NULL */
	unsigned index;            /* of the segment that is due */
	struct net_train_shape shape;
};

/* Owner CPU only, but for what open and close do before and after its life. */
struct net_channel {
	struct ob_net_channel pub; /* first */
	void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg);
	void (*sendable)(struct ob_net_channel *channel, void *arg);
	void *arg;
	struct ob_poll poll;
	bool started;   /* poll is */
	bool open;      /* the gate */
	bool closing;   /* for good */
	bool full;      /* a burst was not taken whole, and nobody was told of room since */
	unsigned waits; /* OB_NET_WAIT_* that somebody waits for */
	struct ob_event event;
	uint32_t tx_offloads; /* OB_NET_TX_* of the device, as of when the gate was opened */
	struct net_train train;
	/* open and close */
	struct list link; /* net->channels; net->lock */
	bool leaked;      /* its CPU did not answer: that may still touch it */
	bool detached;    /* __atomic: the driver's side is gone, and all that belongs to a CPU */
};

static inline struct net_channel *net_channel(struct ob_net_channel *channel)
{
	return (struct net_channel *)(void *)channel;
}

static inline bool net_online(const struct ob_net *net)
{
	return __atomic_load_n(&net->online, __ATOMIC_ACQUIRE);
}

/* One reference to this one packet. Owner CPU. */
static inline void net_packet_drop(struct ob_packet *packet)
{
	assert(packet->refs > 0);
	if (packet->refs > 1)
		packet->refs--;
	else
		ob_packet_pool_push(packet->pool, packet);
}

/* ---- call.c ---- */

/* Something that CPU 0 does in a task, and somebody waits for. On the heap: who waits may give up. */
struct net_call {
	int (*fn)(struct net_call *call);
	/* Nobody waits any more: what the call made or holds goes. May be NULL. */
	void (*abandoned)(struct net_call *call);
	struct ob_net *net; /* held */
	struct net_channel *channel;
	union {
		struct ob_net_filter filter;
		struct ob_net_rss rss;
		struct {
			unsigned vid;
			bool on;
		} vlan;
		uint8_t mac[6];
		unsigned mtu;
		uint32_t offloads;
		struct ob_packet_pool *pool;
	};
	/* private */
	int ret;
	int state; /* __atomic */
	struct ob_event over;
};

/* @net is held by it. NULL: no memory. */
struct net_call *net_call_new(struct ob_net *net, int (*fn)(struct net_call *call));
/* Run it, and free it. Return: what fn says; -EDEADLK; -ENOMEM; -ETIMEDOUT and *@goes_on: it goes on alone. */
int net_call_run(struct net_call *call, bool *goes_on);
/* Tasks of CPU 0. */
void net_mutex_lock(struct ob_net *net);

/* ---- channel.c ---- */

/* The driver closes its side. Task on CPU 0, net->mutex held. */
void net_channel_detach(struct net_channel *c);

/* ---- poll.c ---- */

extern const struct ob_poll_ops net_poll_ops;
/* Wake who waits, whatever for. Owner CPU. */
void net_channel_wake(struct net_channel *c);

/* ---- stats.c ---- */

void net_stats_add(struct ob_net_stats *sum, const struct ob_net_stats *stats);

/* ---- packet.c ---- */

/* A frame of @len_bytes, of as many packets as that takes, with nothing in it; NULL: the pool has too few. */
struct ob_packet *net_frame_alloc(struct ob_packet_pool *pool, uint32_t len_bytes);

/* ---- segment.c: for devices that do not cut frames themselves; owner CPU ---- */

/* In place of the driver's send. */
unsigned net_segment_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
/* Go on with what was begun; true: nothing is left of it. */
bool net_train_go(struct net_channel *c);
void net_train_drop(struct net_channel *c);

#endif
