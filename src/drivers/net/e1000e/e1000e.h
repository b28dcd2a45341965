/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of the Intel 82574L: one channel, extended receive and legacy transmit descriptors, no offloads.
 *
 * A channel is the device's queue 0 each way. Whatever changes the queue (a channel that opens or closes, another MTU, a
 * queue that broke) resets the device and makes it anew from what the class says (make.c); suspending is the first half of
 * that. Filters and addresses are registers, written as they are asked for.
 *
 * Who touches what: the device belongs to CPU 0, under e->lock; the queue, its tail registers and its interrupt's mask to
 * its channel's CPU while it runs, and to CPU 0 while it does not.
 */
#ifndef OB_DRIVERS_E1000E_H
#define OB_DRIVERS_E1000E_H

#include <outboard/net_driver.h>

#include "base/bits.h"
#include "base/list.h"
#include "spec/e1000e.h"
#include "spec/ethernet.h"

#define E1000E_COLD __attribute__((noinline, cold)) /* kept out of the way of the I/O path */

#define E1000E_DEPTH_MAX  1024u
#define E1000E_PARTS_MAX  32u  /* packets of one frame to send */
#define E1000E_REFILL     32u  /* buffers given to the device at once */
#define E1000E_ROOM_MIN   256u /* the smallest buffer that the device knows */
#define E1000E_MTU_MAX    9000u
#define E1000E_RESETS_MAX 5u /* in a row, without a frame between them */

#define E1000E_RESET_NS        (1 * OB_NS_PER_S)
#define E1000E_MASTER_NS       (100 * OB_NS_PER_MS) /* for requests under way, before a reset */
#define E1000E_CALL_NS         (2 * OB_NS_PER_S)    /* for a CPU to answer */
#define E1000E_LOCK_NS         (60 * OB_NS_PER_S)
#define E1000E_DRAIN_NS        (50 * OB_NS_PER_MS) /* for what was sent, before the device is made anew */
#define E1000E_REFILL_RETRY_NS (1 * OB_NS_PER_MS)  /* while the pool is empty */
#define E1000E_TICK_NS         (20 * OB_NS_PER_MS) /* how often sending is looked at … */
#define E1000E_TICKS_MAX       100u                /* … and found not to go on, before the device is reset */
#define E1000E_RESET_MEMORY_NS (60 * OB_NS_PER_S)  /* resets further apart than this are not "in a row" */

/* A frame that the device has, at its first descriptor. */
struct e1000e_sent {
	struct ob_packet *frame;
	uint32_t last; /* its last descriptor, which says when it is done */
};

/* The channel's. All but the last part belongs to its CPU. */
struct e1000e_queue {
	struct ob_net_channel *channel;
	struct e1000e *e;
	/* receiving */
	struct e1000e_rx_desc *rx_ring;
	uint32_t *rx_packets; /* by descriptor: the packet's place in the pool */
	struct ob_packet_pool *pool;
	ob_iova rx_base;   /* of packet 0's data */
	uint32_t rx_bytes; /* of each buffer, as the device was told */
	uint32_t rx_entries, rx_depth;
	uint32_t rx_head, rx_tail, rx_told; /* next to be done; next to be given; what RDT says */
	uint32_t rx_posted, rx_refill;
	uint32_t frame_max;
	struct ob_packet *partial, *partial_last; /* a frame whose end has not been seen */
	bool skipping;                            /* … and that is too long: up to its end nothing is kept */
	bool refilling;                           /* the timer is armed */
	/* sending */
	struct e1000e_tx_desc *tx_ring;
	struct e1000e_sent *sent; /* by descriptor */
	uint32_t tx_entries;
	uint32_t tx_head, tx_tail, tx_told;
	uint32_t tx_used; /* descriptors that the device has */
	uint32_t tx_need; /* what the frame needs that found too little room; 1 otherwise */
	uint64_t tx_done, tx_done_seen;
	unsigned ticks; /* without one more done */
	bool ticking;
	unsigned dma_index;
	bool running;
	bool broken;    /* asked for a reset */
	uint32_t armed; /* causes that may interrupt; the handler's too */
	struct ob_timer refill, tick;
	/* CPU 0's */
	struct ob_irq *irq; /* its own; NULL: polled, or the device's */
	struct ob_dma rx_dma, tx_dma;
	uint64_t frames; /* both ways, now */
	bool silent;     /* its CPU did not answer */
	bool lost;       /* … and may still touch it: never freed */
};

enum e1000e_state {
	E1000E_STARTING,
	E1000E_LIVE,
	E1000E_MAKING,
	E1000E_SUSPENDED,
	E1000E_REMOVING,
	E1000E_DEAD, /* given up; quiet */
};

/* e1000e.pending: what the service task is to do */
#define E1000E_TODO_RESET BIT(0)
#define E1000E_TODO_LINK  BIT(1)

struct e1000e {
	struct ob *ob;
	struct ob_device *dev;
	struct ob_net *net; /* NULL before it is published */
	char name[32];
	struct ob_region regs;
	int state; /* enum e1000e_state */
	struct ob_mutex lock;
	uint8_t mac[6]; /* the permanent one */
	bool made_up_mac;
	uint32_t rctl;          /* as it was written last */
	bool quiet;             /* reset, or gone: no DMA, and no register is touched. The handlers look at it. */
	bool link_up;           /* the queue looks at it */
	struct e1000e_queue *q; /* NULL: no channel */
	/* interrupts */
	enum ob_irq_kind irq_kind;
	bool irqs;                   /* are allocated */
	struct ob_irq *irq;          /* the link's; without MSI-X the queue's, too */
	struct e1000e_queue *shared; /* the queue that the device's interrupt is for; the handler looks at it */
	uint32_t rx_cause, tx_cause, link_causes;
	/* service task */
	uint32_t pending; /* __atomic: E1000E_TODO_* */
	struct ob_event service_event;
	struct ob_task *service;
	bool stopping;
	bool ending; /* it is being removed: nothing is waited for any more */
	unsigned resets_in_a_row;
	uint64_t reset_ns, frames_seen;
};

/* ---- hardware.c: tasks of CPU 0, e->lock held ---- */

/* Nobody answers, and that is confirmed: then it is marked, once. */
bool e1000e_is_gone(struct e1000e *e);
/* It stops, forgets and touches no memory. 0; -ENODEV; -ETIMEDOUT */
int e1000e_hw_reset(struct e1000e *e);
/* The address that it has of its own; after a reset. */
void e1000e_hw_read_mac(struct e1000e *e);
/* Everything but the queue, as the class says. */
void e1000e_hw_setup(struct e1000e *e);
/* The queue's rings, empty; and start. */
void e1000e_hw_start(struct e1000e *e);
void e1000e_hw_filter(struct e1000e *e, const struct ob_net_filter *filter);
void e1000e_hw_vlan(struct e1000e *e, unsigned vid);
void e1000e_hw_mac(struct e1000e *e, const uint8_t mac[6]);
void e1000e_hw_link(struct e1000e *e, struct ob_net_link *out);
/* Add what it counted since to the interface's. */
void e1000e_hw_count(struct e1000e *e);
/* The largest buffer that it can be told of, of at most @room_bytes; and RCTL's bits for it. */
uint32_t e1000e_buffer_bytes(uint32_t room_bytes, uint32_t *rctl);

/* ---- irq.c: tasks of CPU 0 ---- */

/* What there is of interrupts; none is no failure. 0; -ENODEV; -ENOMEM */
int e1000e_irq_init(struct e1000e *e);
void e1000e_irq_fini(struct e1000e *e);
/* For the queue; its channel becomes polled where there is none. 0 or negative errno */
int e1000e_irq_listen(struct e1000e_queue *q);
void e1000e_irq_unlisten(struct e1000e_queue *q);
/* Let the link's changes interrupt, from now on. */
void e1000e_irq_arm_link(struct e1000e *e);

/* ---- make.c: tasks of CPU 0, e->lock held ---- */

/* Stop the queue, reset the device, take back what it had. */
void e1000e_unmake(struct e1000e *e);
/* From a reset to traffic. On failure it is quiet. 0 or negative errno */
int e1000e_make(struct e1000e *e);
/* Both; a device that cannot be made is given up. */
int e1000e_remake(struct e1000e *e);
void e1000e_die(struct e1000e *e, const char *why);
/* @fn on the queue's CPU, if that answers; here when it does not. */
void e1000e_call(struct e1000e_queue *q, void (*fn)(void *arg));
/* A task's turn. 0; -ETIMEDOUT; -ENODEV it is being removed, or was given up */
int e1000e_lock(struct e1000e *e);
void e1000e_unlock(struct e1000e *e);

/* ---- channel.c ---- */

extern const struct ob_net_ops e1000e_ops;

/* Have CPU 0 do what E1000E_TODO_* say. Any context. */
void e1000e_want(struct e1000e *e, uint32_t todo);
/* The queue is not to be trusted any more. Owner CPU. */
void e1000e_queue_break(struct e1000e_queue *q, const char *why);
/* Frames of at most so many bytes, at the MTU that there is. */
uint32_t e1000e_frame_max(const struct e1000e *e);

/* ---- receive.c, send.c: owner CPU ---- */

unsigned e1000e_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max);
void e1000e_refill(struct e1000e_queue *q);
void e1000e_refill_timer(struct ob_timer *timer);
bool e1000e_rx_pending(const struct e1000e_queue *q);
/* The device is reset: all buffers go back, and the ring is empty. */
void e1000e_rx_drop(struct e1000e_queue *q);
unsigned e1000e_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
void e1000e_kick(struct ob_net_channel *channel);
unsigned e1000e_reap(struct ob_net_channel *channel);
bool e1000e_tx_pending(const struct e1000e_queue *q);
void e1000e_tx_drop(struct e1000e_queue *q);
/* Has anything left since it ticked last? */
void e1000e_tick(struct ob_timer *timer);

static inline uint32_t e1000e_tx_room(const struct e1000e_queue *q)
{
	return q->tx_entries - 1 - q->tx_used; /* head and tail that are equal mean an empty ring */
}

/* ---- service.c ---- */

int e1000e_service_start(struct e1000e *e);
void e1000e_service_stop(struct e1000e *e);

extern const struct ob_driver e1000e_driver;

#endif
