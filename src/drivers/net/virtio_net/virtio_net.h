/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of virtio network devices: VIRTIO 1.2 §5.1.
 *
 * A channel is a pair of queues. A virtio device cannot take one queue's buffers back while it works, so whatever changes
 * the set of queues or the features (a channel that opens or closes, another MTU or offload, a queue that broke) makes the
 * device anew: all pairs stop, it is reset, negotiated and set up from what the class and the list of pairs say, and goes
 * on (make.c). Suspending is the first half of that.
 *
 * Who touches what: the device, the control queue and the list of pairs belong to CPU 0, under v->lock; a pair's queues
 * to its channel's CPU while it runs, and to CPU 0 while it does not.
 */
#ifndef OB_DRIVERS_VIRTIO_NET_H
#define OB_DRIVERS_VIRTIO_NET_H

#include <outboard/net_driver.h>
#include <outboard/virtio.h>

#include "base/bits.h"
#include "base/list.h"
#include "spec/ethernet.h"
#include "spec/virtio.h"
#include "spec/virtio_net.h"

#define VNET_SLOW __attribute__((noinline, cold)) /* kept out of the way of the I/O path */

#define VNET_PAIRS_MAX   16u
#define VNET_DEPTH_MAX   1024u
#define VNET_CHAIN_MAX   64u /* packets of one frame to send, and its header */
#define VNET_BURST       64u /* taken from a ring at once */
#define VNET_REFILL      32u /* buffers given to the device at once */
#define VNET_POOLS_MAX   64u /* from which one channel sends */
#define VNET_RX_ROOM_MIN 64u /* with mergeable buffers */
#define VNET_RESETS_MAX  5u  /* in a row, without a frame between them */
#define VNET_FRAME_MAX   (65535u + OB_NET_FRAME_OVERHEAD)
#define VNET_CONTROL_MAX 2048u /* bytes of the longest command */

#define VNET_RESET_NS        (5 * OB_NS_PER_S)
#define VNET_CALL_NS         (2 * OB_NS_PER_S) /* for a CPU to answer */
#define VNET_CONTROL_NS      (2 * OB_NS_PER_S) /* for the device to answer a command */
#define VNET_LOCK_NS         (60 * OB_NS_PER_S)
#define VNET_REFILL_RETRY_NS (1 * OB_NS_PER_MS)  /* while the pool is empty */
#define VNET_TICK_NS         (20 * OB_NS_PER_MS) /* for frames to leave, before the device is nudged */
#define VNET_RESET_MEMORY_NS (60 * OB_NS_PER_S)  /* resets further apart than this are not "in a row" */
#define VNET_DRAIN_NS        (50 * OB_NS_PER_MS) /* without a frame that leaves, before the device is made anew */
#define VNET_DRAIN_MAX_NS    (1 * OB_NS_PER_S)   /* … and in all */

#define VNET_F(bit) BIT64(VIRTIO_NET_F_##bit)

/* A frame of several parts, or one that others hold, or has a header of its own: by index in vnet_pair.slow. */
struct vnet_slow {
	struct ob_packet *frame;
	uint16_t next_free;
};

/* A token of the send queue: a plain packet is named by its pool's place in pools[] and its own place in the pool. */
#define VNET_TX_INDEX BITS(23, 0)
#define VNET_TX_POOL  BITS(29, 24)
#define VNET_TX_SLOW  BIT(31) /* index is one of slow[] */

static_assert(FIELD_MAX(VNET_TX_POOL) + 1 == VNET_POOLS_MAX && OB_PACKET_COUNT_MAX - 1 == FIELD_MAX(VNET_TX_INDEX),
	      "tokens name every packet");

struct vnet_pool {
	struct ob_packet_pool *pool; /* held; NULL: free */
	uint64_t iova;               /* to add to a pointer into it */
};

/* A pair of queues: one channel's. All but the last part belongs to the channel's CPU. */
struct vnet_pair {
	struct ob_virtio_queue *rx, *tx;
	struct ob_net_channel *channel;
	/* receiving */
	struct ob_packet_pool *pool;
	ob_iova rx_base;       /* of the first buffer, header included */
	uint32_t rx_bytes;     /* of each, header included */
	uint32_t header_bytes; /* in front of a frame */
	uint32_t rx_posted;    /* buffers that the device has */
	uint32_t rx_depth;
	uint32_t
		rx_refill; /* so many are given at once: a quarter of a small ring, at most VNET_REFILL; see rx_plan() */
	bool rx_plain;     /* no header needs to be read */
	bool merge;        /* num_buffers counts */
	bool refilling;    /* the timer is armed */
	uint32_t rx_offloads;
	struct ob_packet *partial, *partial_last; /* a frame whose buffers have not all been seen */
	unsigned partial_missing;
	struct virtio_net_header_hash partial_header;
	/* sending */
	uint32_t tx_posted; /* frames that the device has */
	uint32_t tx_depth;
	uint32_t frame_max;
	uint32_t tx_offloads;
	struct vnet_pool *last_pool; /* that was sent from last; never NULL */
	struct vnet_pool pools[VNET_POOLS_MAX];
	struct vnet_slow *slow; /* tx ring's size of them */
	uint16_t slow_free;     /* index, or slow_count: none */
	uint16_t slow_count;
	uint8_t *headers; /* VNET_HEADER_STRIDE for each; device reads */
	uint64_t headers_iova;
	unsigned dma_index;
	bool running;
	bool broken;                    /* asked for a reset */
	bool ticking;                   /* tick is armed */
	uint64_t tx_done, tx_done_seen; /* frames given back: ever, and when it ticked last */
	uint64_t tx_short;              /* tx_done + 1 when a frame of several parts found too little room */
	struct ob_timer refill, tick;
	struct vnet *v;
	/* CPU 0's */
	struct list link; /* vnet.pairs */
	struct ob_dma headers_dma;
	uint64_t frames, frames_seen; /* both ways, now and at the last reset */
	unsigned rx_wish, tx_wish;    /* ring entries */
	bool silent;                  /* its CPU did not answer */
	bool lost;                    /* … and may still touch it: never freed */
};

#define VNET_HEADER_STRIDE 32u

struct vnet_control {
	struct ob_virtio_queue *q;
	struct ob_dma dma; /* command, and behind it the byte of the answer */
	bool broken;       /* one had no answer: what comes now may be that one's, until the device is made anew */
};

enum vnet_state {
	VNET_STARTING,
	VNET_LIVE,
	VNET_MAKING,
	VNET_SUSPENDED,
	VNET_REMOVING,
	VNET_DEAD, /* given up; quiet */
};

/* vnet.pending: what the service task is to do */
#define VNET_TODO_RESET  BIT(0)
#define VNET_TODO_CONFIG BIT(1)

/* What the device said when it was last made, checked. */
struct vnet_config {
	uint8_t mac[6];
	bool has_mac;
	uint16_t pairs_max;
	uint16_t mtu; /* 0: it does not say */
	uint32_t speed_mbps;
	bool full_duplex;
	uint16_t rss_table_max;
	uint8_t rss_key_max;
	uint32_t hash_types;
};

struct vnet {
	struct ob *ob;
	struct ob_device *dev;
	struct ob_net *net; /* NULL before it is published */
	char name[32];      /* the device's, and then the interface's */
	int state;          /* enum vnet_state */
	struct ob_mutex lock;
	uint64_t offered;  /* feature bits of the class */
	uint64_t features; /* negotiated */
	struct vnet_config config;
	uint32_t header_bytes;
	struct list pairs; /* vnet_pair.link */
	unsigned pair_count;
	struct vnet_control control;
	bool irqs;  /* are allocated */
	bool quiet; /* reset, or gone: it touches no memory */
	/* service task */
	uint32_t pending; /* __atomic: VNET_TODO_* */
	struct ob_event service_event;
	struct ob_task *service;
	bool stopping;
	bool ending; /* it is being removed: nothing is waited for any more */
	unsigned resets_in_a_row;
	uint64_t reset_ns;
};

static inline bool vnet_has(const struct vnet *v, unsigned bit)
{
	return (v->features & BIT64(bit)) != 0;
}

/* Ring entries for so many frames or buffers. */
static inline unsigned vnet_entries_for(unsigned depth)
{
	unsigned entries = 1;

	while (entries < depth && entries < VNET_DEPTH_MAX)
		entries *= 2;
	return entries;
}

/* ---- features.c ---- */

/* What to negotiate, by what the class and the pairs say. */
uint64_t vnet_features_wanted(struct vnet *v);
/* Read and check the configuration; after negotiation. 0; -EIO nonsense; negative errno */
int vnet_config_read(struct vnet *v, struct vnet_config *out);
/* What is to be published. */
void vnet_info_fill(const struct vnet *v, struct ob_net_info *info);
/* Bytes that a packet must have room for: of a frame, or of any piece of one. */
uint32_t vnet_room_min(const struct vnet *v);
uint32_t vnet_frame_max(const struct vnet *v);
/* The longest that may arrive. */
uint32_t vnet_rx_frame_max(const struct vnet *v);
/* Which of OB_NET_TX_* and OB_NET_RX_* are agreed on. */
uint32_t vnet_offloads(const struct vnet *v);
/* Ask for the link, and tell the class. Returns whether the device wants to be announced. */
bool vnet_link_read(struct vnet *v);

/* ---- make.c: tasks of CPU 0, v->lock held ---- */

/* Stop all pairs, reset the device, take back what it had. */
void vnet_unmake(struct vnet *v);
/* From reset to DRIVER_OK, with all pairs, and told all. On failure it is quiet. 0 or negative errno */
int vnet_make(struct vnet *v);
/* Both; a device that cannot be made is given up. */
int vnet_remake(struct vnet *v);
/* Give it up. */
void vnet_die(struct vnet *v, const char *why);
/* @fn on the pair's CPU, if that answers; here when it does not. */
void vnet_call(struct vnet_pair *p, void (*fn)(void *arg));
/* Its memory goes. Nothing of it is with the device. */
void vnet_pair_free(struct vnet_pair *p);
/* A task's turn. 0; -ETIMEDOUT; -ENODEV it is being removed, or was given up */
int vnet_lock(struct vnet *v);
void vnet_unlock(struct vnet *v);

/* ---- channel.c ---- */

extern const struct ob_net_ops vnet_ops;

/* Have CPU 0 do what VNET_TODO_* say. Any context. */
void vnet_want(struct vnet *v, uint32_t todo);
/* A queue is not to be trusted any more. Owner CPU. */
void vnet_pair_break(struct vnet_pair *p, const char *why);

/* ---- receive.c, send.c: owner CPU ---- */

unsigned vnet_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max);
void vnet_refill(struct vnet_pair *p);
void vnet_refill_timer(struct ob_timer *timer);
unsigned vnet_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
void vnet_kick(struct ob_net_channel *channel);
unsigned vnet_reap(struct ob_net_channel *channel);
/* Has anything left since it ticked last? */
void vnet_tick(struct ob_timer *timer);
/* Give a frame of the send queue back; @token as it was added. */
void vnet_tx_end(struct vnet_pair *p, uint32_t token);

/* ---- control.c: tasks of CPU 0, v->lock held ---- */

int vnet_control_create(struct vnet *v);
void vnet_control_destroy(struct vnet *v);
/* Everything that the class knows, after DRIVER_OK. 0 or negative errno */
int vnet_control_tell_all(struct vnet *v);
int vnet_control_filter(struct vnet *v, const struct ob_net_filter *filter);
int vnet_control_vlan(struct vnet *v, unsigned vid, bool on);
int vnet_control_mac(struct vnet *v, const uint8_t mac[6]);
int vnet_control_rss(struct vnet *v, const struct ob_net_rss *rss);
int vnet_control_announced(struct vnet *v);

/* ---- service.c ---- */

int vnet_service_start(struct vnet *v);
void vnet_service_stop(struct vnet *v);

extern const struct ob_driver virtio_net_driver;

#endif
