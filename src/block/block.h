/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block class inside: the device object, the channel, and the children into which a request is cut.
 *
 * A request goes one of three ways. Straight: it fits the device's limits and is the driver's from submit to end.
 * Waiting: it fits, but the driver had no room; it queues in the channel. Slow: it is a parent, whose children are cut
 * to the limits, bounced where that is needed, and handed to the driver; a parent ends when its last child has.
 */
#ifndef OB_BLOCK_BLOCK_H
#define OB_BLOCK_BLOCK_H

#include <assert.h>

#include <outboard/block_driver.h>

#include "base/bits.h"
#include "base/list.h"

#define BLOCK_DEPTH_DEFAULT      128u
#define BLOCK_DEPTH_MAX          65535u
#define BLOCK_SEGMENTS_DEFAULT   1024u /* that one request of the user may have */
#define BLOCK_CHILDREN_MIN       4u
#define BLOCK_CHILDREN_MAX       64u
#define BLOCK_CHILD_SEGMENTS_MAX 64u
#define BLOCK_BOUNCE_DEFAULT     8u
#define BLOCK_BOUNCE_MAX         1024u
#define BLOCK_BOUNCE_BYTES_MAX   (128u * 1024u)
#define BLOCK_DIRECT_BYTES_MIN   (16u * 1024u) /* shorter pieces of a ragged list are cheaper copied than sent alone */
#define BLOCK_DRAIN_BUDGET       64u
#define BLOCK_RETRY_NS           (1 * OB_NS_PER_MS)  /* a driver without room and without a request to end */
#define BLOCK_CALL_NS            (5 * OB_NS_PER_S)   /* for a CPU to answer a call */
#define BLOCK_QUIET_NS           (10 * OB_NS_PER_S)  /* for ended requests to be handed out */
#define BLOCK_OPEN_NS            (120 * OB_NS_PER_S) /* for CPU 0 to open or close; drivers have shorter deadlines */
#define BLOCK_CANCEL_NS          (30 * OB_NS_PER_S)  /* for a cancelled request to end */

/* Where a request is: ob_block_request.state. */
enum block_state {
	BLOCK_IDLE,    /* the caller's */
	BLOCK_DRIVER,  /* the driver's, as the user gave it */
	BLOCK_CHILD,   /* a child, the driver's */
	BLOCK_WAITING, /* in the channel's queue as it is */
	BLOCK_PARENT,  /* cut into children */
	BLOCK_ENDED,   /* has its status; the done function is still to be called */
};

/* What block_request.private_data holds while the request is a parent. */
struct block_parent {
	uint64_t segment_offset; /* cursor: in segments[segment] */
	uint32_t next_block;     /* cursor: blocks handed to children so far */
	uint32_t children;       /* of them not ended yet */
	uint16_t segment;        /* cursor */
	uint8_t flush;           /* enum block_flush */
	bool queued;             /* in the channel's queue */
	bool cut;                /* counted as a split */
};

enum block_flush {
	BLOCK_FLUSH_NO,
	BLOCK_FLUSH_AFTER, /* when all children ended well */
	BLOCK_FLUSH_NOW,   /* the next child is the flush */
};

static_assert(sizeof(struct block_parent) <= sizeof(((struct ob_block_request *)0)->private_data), "parent state fits");

static inline struct block_parent *block_parent(struct ob_block_request *request)
{
	return (struct block_parent *)(void *)request->private_data;
}

/* One command's worth of a parent. */
struct block_child {
	struct ob_block_request request; /* first */
	struct ob_segment *segments;     /* the channel's child_segments of them */
	void *bounce;                    /* buffer, or NULL: the parent's own memory */
	uint64_t copy_offset;            /* bounced: where the parent's cursor was */
	uint16_t copy_segment;
	bool used;
	struct block_child *next; /* free list */
};

struct ob_block {
	struct list link; /* ob->blocks; ob->lock */
	uint64_t order;   /* ascending in that list: an iterator goes on after a block that has left it */
	struct ob *ob;    /* valid while online */
	struct ob_device *dev;
	unsigned refs; /* __atomic */
	bool online;   /* __atomic; CPU 0 writes */
	const struct ob_block_ops *ops;
	void *driver_data;
	struct ob_mutex mutex; /* open, close, unpublish, resize: one at a time; tasks of CPU 0 */
	struct ob_lock lock;   /* the rest */
	struct ob_block_limits limits;
	struct ob_work *watch; /* for watch_cpu, when it is removed; NULL: nobody watches */
	struct ob_cpu *watch_cpu;
	struct ob_work *size_watch; /* likewise, when its size has changed */
	struct ob_cpu *size_watch_cpu;
	struct list channels; /* block_channel.link */
	struct ob_block_stats closed;
	char name[32];
	char model[64], serial[64], firmware[32];
};

/* Bits of block_channel.special: why the end of a request needs more than its done function. */
#define BLOCK_IN_DRIVER 0x1u /* inside the driver's submit, kick or cancel: what ends is put aside */
#define BLOCK_CLOSING   0x2u /* no more submissions; what ends is put aside, for tasks end requests now */
#define BLOCK_WAITS     0x4u /* the queue is not empty, or a child is stalled: there may be room now */

/* Owner CPU only, but for what open and close do before and after its life. */
struct block_channel {
	struct ob_block_channel pub; /* first */
	/* the I/O path's: copies of the limits */
	uint64_t block_count;
	uint32_t fast_blocks[2]; /* read, write: the most that go straight; 0: all take the long way */
	uint64_t align_mask;     /* of addresses */
	int (*submit)(struct ob_block_channel *channel, struct ob_block_request *request);
	struct ob_block_request *submitting; /* the last one given to the driver */
	uint64_t blocks[OB_BLOCK_OP_COUNT];  /* done well: stats.bytes, before they are multiplied */
	uint32_t rights_offset;              /* in struct ob_window: of the device's rights */
	int room;                            /* for requests of the user: depth less those that have not ended */
	uint32_t ended;                      /* of the user's requests; a poll counts by the difference */
	uint8_t block_shift;
	uint8_t special; /* BLOCK_IN_DRIVER, … */
	bool gone;       /* closing, because the device was removed */
	struct ob_block_request *reap_first, *reap_last;
	/* the slow path's */
	struct ob_block_limits limits;
	struct ob_block_request *queue_first, *queue_last;
	struct ob_block_request *ended_first, *ended_last; /* BLOCK_ENDED */
	struct block_child *stalled;                       /* built, and the driver had no room */
	struct block_child *free_children;
	struct block_child *children; /* child_count of them */
	struct ob_segment *child_segment_memory;
	unsigned child_count;
	unsigned child_segments;
	void **free_bounce; /* stack of free buffers */
	unsigned free_bounce_count, bounce_count;
	uint32_t bounce_bytes; /* of one; a multiple of the block size */
	struct ob_window *bounce_window;
	struct ob_work work;        /* hands out what ended inside the driver */
	struct ob_timer retry;      /* goes on when the driver has nothing that could end */
	bool posted;                /* work is on its way */
	struct ob_work resize_work; /* the device's size changed */
	/* open and close */
	struct list link;     /* block->channels; block->lock */
	struct ob_event over; /* the step that runs on CPU 0 */
	int step_state;       /* __atomic, enum step_state of channel.c */
	int step_error;
	unsigned bounce_wish;
	uint64_t cancel_ns; /* for a cancelled request to end, before its waiting caller gives up */
	unsigned lost;      /* children that the driver never ended */
	bool cpu_silent;    /* the owner CPU did not answer; CPU 0 went on without it */
	bool leaked;        /* some CPU may still touch it: never freed */
	bool detached;      /* __atomic: the driver's side is gone, and all that belongs to a CPU */
};

static inline struct block_channel *block_channel(struct ob_block_channel *channel)
{
	return (struct block_channel *)(void *)channel;
}

/* ---- limits.c ---- */

/* Refuse nonsense, fill in defaults, round down to blocks. 0 or -EINVAL. */
int block_limits_normalise(struct ob_block_limits *limits);
/* A device's string: trimmed, printable, terminated. */
void block_text(char *to, size_t size, const char *from);
/* Recompute the channel's copies from @limits. Owner CPU, or before the channel is used. */
void block_channel_set_limits(struct block_channel *c, const struct ob_block_limits *limits);
/* Open or shut the straight way, as the channel's state says. */
void block_channel_gate(struct block_channel *c);

/* ---- submit.c ---- */

/* Judge a request. 0, and whether it fits the device as it is; or the errno of ob_block_submit(). */
int block_check(const struct block_channel *c, const struct ob_block_request *request, bool *fits);
/* To the driver, as @state says: 0; -EAGAIN no room, -ENODEV: then it is BLOCK_WAITING. */
int block_to_driver(struct block_channel *c, struct ob_block_request *request, enum block_state state);
/* End a request (the user's or a child) from the work or the next poll, not from here. */
void block_defer_end(struct block_channel *c, struct ob_block_request *request);
/* Hand out at most @budget of those. Soft. Returns whether some are left. */
bool block_drain(struct block_channel *c, unsigned budget);
void block_work(struct ob_work *work);

/* ---- slow.c ---- */

void block_slow_start(struct block_channel *c, struct ob_block_request *request);
/* Make children and feed the driver until it is full or nothing waits; then kick. Never calls a done function. */
void block_slow_continue(struct block_channel *c);
void block_retry(struct ob_timer *timer);
/* A child is back. Returns its parent when that has ended with it, else NULL. */
struct ob_block_request *block_child_end(struct block_channel *c, struct ob_block_request *request);
/* Cancel a parent: no more children; those that the driver has are cancelled there. */
void block_parent_cancel(struct block_channel *c, struct ob_block_request *parent);
/* All that waits ends with @status, as far as the driver has none of it. */
void block_queue_fail(struct block_channel *c, int status);

/* ---- queue.c ---- */

void block_queue_push(struct block_channel *c, struct ob_block_request *request);
void block_queue_push_front(struct block_channel *c, struct ob_block_request *request);
struct ob_block_request *block_queue_pop(struct block_channel *c);
/* False: it was not there. */
bool block_queue_remove(struct block_channel *c, struct ob_block_request *request);
/* Set waiting, and the gate with it. */
void block_queue_update(struct block_channel *c);

/* ---- child.c ---- */

int block_pool_create(struct block_channel *c, unsigned bounce_buffers);
void block_pool_destroy(struct block_channel *c);
/* The next child of the parent at the head of the queue. NULL: no child or no bounce buffer free. */
struct block_child *block_child_create(struct block_channel *c, struct ob_block_request *parent);
void block_child_destroy(struct block_channel *c, struct block_child *child);
/* A bounced read's data to where it belongs. */
void block_child_copy_out(const struct block_child *child);

/* ---- wait.c ---- */

/*
 * Around a copy from or to the caller's memory: a waiting helper that has given up took its memory with it. False: do
 * not touch it. Always true for other requests.
 */
bool block_wait_hold(const struct ob_block_request *request);
void block_wait_release(const struct ob_block_request *request);

/* ---- stats.c ---- */

void block_stats_add(struct ob_block_stats *sum, const struct block_channel *c);

#endif
