/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio block driver's state: VIRTIO 1.2 clause 5.2.
 *
 * Who touches what: the device, its list of queues and commands belong to CPU 0; a queue to the CPU of the channel that
 * has it, and to CPU 0 while none has, or while it is frozen. CPU 0 asks a queue's CPU by ob_cpu_call(); a queue tells
 * CPU 0 by a bit in vblk.pending and a signal.
 *
 * All queues are made before the device starts, for it takes none later (§3.1.1); a channel takes one that is free.
 */
#ifndef OB_DRIVERS_VIRTIO_BLK_H
#define OB_DRIVERS_VIRTIO_BLK_H

#include <outboard/block_driver.h>
#include <outboard/virtio.h>

#include "base/bits.h"
#include "base/list.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"

#define VBLK_SLOW __attribute__((noinline, cold)) /* kept out of the way of the I/O path */

#define VBLK_TRANSFER_MAX (1u << 20)
#define VBLK_SEGMENTS_MAX 64u
#define VBLK_QUEUES_MAX   64u
#define VBLK_RING_MAX     1024u
#define VBLK_DEPTH_MAX    1024u
#define VBLK_RETRY_MAX    3u /* times that a request is issued again because of a reset */
#define VBLK_RESETS_MAX   5u /* resets in a row with no request completed between them */
#define VBLK_NAME_MAX     16

#define VBLK_IO_TIMEOUT_NS      (30 * OB_NS_PER_S)
#define VBLK_COMMAND_TIMEOUT_NS (10 * OB_NS_PER_S)
#define VBLK_CALL_TIMEOUT_NS    (2 * OB_NS_PER_S) /* for a CPU to answer a call */
#define VBLK_LOCK_TIMEOUT_NS    (300 * OB_NS_PER_S)
#define VBLK_STOP_TIMEOUT_NS    (10 * OB_NS_PER_S) /* for the device to end its reset: it ends its transfers first */
#define VBLK_RESET_TIMEOUT_NS   (150 * OB_NS_PER_S)
#define VBLK_WATCH_NS           (1 * OB_NS_PER_S)
#define VBLK_RESET_MEMORY_NS    (60 * OB_NS_PER_S) /* resets further apart than this are not "in a row" */
#define VBLK_EMPTY_NS           (1 * OB_NS_PER_S)  /* for a queue that is closed to run empty */
#define VBLK_TICKS              8u                 /* of the queue's timer in one timeout */

/* What the driver can use of a device. */
#define VBLK_FEATURES                                                                              \
	(BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_RO) |     \
	 BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_TOPOLOGY) | \
	 BIT64(VIRTIO_BLK_F_CONFIG_WCE) | BIT64(VIRTIO_BLK_F_MQ) | BIT64(VIRTIO_BLK_F_DISCARD) |   \
	 BIT64(VIRTIO_BLK_F_WRITE_ZEROES) | BIT64(VIRTIO_BLK_F_LIFETIME))

/* ---- queues ---- */

enum vblk_queue_state {
	VBLK_QUEUE_FREE, /* no channel has it */
	VBLK_QUEUE_LIVE,
	VBLK_QUEUE_FROZEN,  /* a reset runs, or it is suspended: requests are kept and issued at its end */
	VBLK_QUEUE_BROKEN,  /* the device wrote nonsense: as frozen, the reset is asked for */
	VBLK_QUEUE_CLOSING, /* no more requests */
	VBLK_QUEUE_DEAD,    /* the device is gone or given up */
};

/* vblk_slot.flags */
#define VBLK_SLOT_WAITS     BIT(0) /* the device does not have it */
#define VBLK_SLOT_CANCELLED BIT(1) /* the user wants it back */

/* What the device reads of a slot besides data. */
struct vblk_line {
	struct virtio_blk_header header;
	struct virtio_blk_range range; /* of discard and write zeroes */
};
static_assert(sizeof(struct vblk_line) == 32, "two to a cache line");

/* One request of a queue. */
struct vblk_slot {
	struct ob_block_request *request; /* NULL: free */
	union {
		struct vblk_slot *next; /* free: the next free one */
		struct {
			uint32_t in_bytes; /* that the device writes, the status with them; or VBLK_IN_BYTES_ASK */
			uint16_t epoch;    /* of the queue, when it was issued */
			uint8_t flags;
			uint8_t attempts; /* issued again so many times */
		};
		uint64_t issued; /* these four as one: vblk_queue.fresh */
	};
	/* What never changes, so that nobody has to compute it. */
	struct vblk_line *line;
	struct ob_virtio_framed *framed;
	const uint8_t *status;
	uint32_t index;
} __attribute__((aligned(OB_CACHE_LINE)));
static_assert(sizeof(struct vblk_slot) == OB_CACHE_LINE, "a shift, and one line to touch");

/* In the place of a length: more than any answer has, so that it is looked at closely; the request tells what it was. */
#define VBLK_IN_BYTES_ASK UINT32_MAX

struct vblk;

struct vblk_queue {
	/* the I/O path's */
	struct ob_virtio_queue *vq;
	struct vblk_slot *slots; /* depth of them */
	struct vblk_slot *free;  /* stack */
	struct vblk_line *lines; /* by slot; device reads */
	const uint8_t *status;   /* by slot; device writes */
	ob_iova lines_iova, status_iova;
	union {
		struct {
			uint32_t fresh_in_bytes; /* VBLK_IN_BYTES_ASK */
			uint16_t epoch;
			uint16_t fresh_zero;
		};
		uint64_t fresh; /* what a slot has that was issued just now, in one word */
	};
	uint32_t grant_offset; /* of our grant in a window: no index to scale */
	uint32_t depth;
	unsigned dma_index;
	uint8_t state; /* enum vblk_queue_state; the interrupt reads it */
	uint8_t sector_shift;
	bool ticking;     /* tick is armed */
	bool polling;     /* poll is started */
	bool broken;      /* was, when it was frozen: what its ring holds is not to be trusted */
	uint32_t waiting; /* slots with VBLK_SLOT_WAITS, while it is live: the ring had no room */
	struct ob_cpu *cpu;
	struct ob_block_channel *channel;
	uint64_t tick_ns;
	struct ob_timer tick;
	struct ob_poll poll;
	uint64_t completed; /* answers taken, for the judgement on resets */
	struct {
		uint64_t lost_interrupts, nonsense, short_answers;
	} count;
	struct vblk *vblk;
	unsigned index;
	struct ob_dma dma; /* lines and status */
	/* CPU 0's */
	bool taken;          /* some channel has it, or had it and the device may still be at its memory */
	bool closing;        /* channel_close is at it */
	bool listens;        /* to its interrupt */
	bool silent;         /* its CPU did not answer in the reset that runs, or ran last */
	bool left;           /* its channel is gone, its CPU never answered: the CPU may still look here */
	bool progress;       /* something completed since the last reset; written in freeze */
	uint32_t unanswered; /* requests that the device had when it was looked at; written in drain */
	uint64_t completed_seen;
	struct ob_work death, wake; /* for a CPU that did not answer a call */
};

static_assert(offsetof(struct vblk_slot, epoch) - offsetof(struct vblk_slot, issued) ==
		      offsetof(struct vblk_queue, epoch) - offsetof(struct vblk_queue, fresh),
	      "slots take it over as it is");

/* ---- the device ---- */

/* What its configuration says, checked. */
struct vblk_info {
	uint64_t block_count;
	uint32_t block_bytes, physical_bytes, optimal_bytes;
	uint32_t transfer_max_bytes;
	uint32_t discard_blocks, zeroes_blocks; /* of one request; 0: not offered */
	uint16_t segment_max;
	uint16_t queue_count;
	uint8_t sector_shift; /* sectors in a block */
	bool read_only, flush, writeback, zeroes_unmap;
};

/* The fields that we read, in CPU order; 0 where the device has none. */
enum vblk_field {
	VBLK_CAPACITY,
	VBLK_SIZE_MAX,
	VBLK_SEG_MAX,
	VBLK_BLK_SIZE,
	VBLK_PHYSICAL_EXP,
	VBLK_MIN_IO,
	VBLK_OPT_IO,
	VBLK_WRITEBACK,
	VBLK_NUM_QUEUES,
	VBLK_DISCARD_SECTORS,
	VBLK_DISCARD_SEG,
	VBLK_ZEROES_SECTORS,
	VBLK_ZEROES_SEG,
	VBLK_ZEROES_UNMAP,
	VBLK_FIELDS,
};

enum vblk_state {
	VBLK_STARTING,
	VBLK_LIVE,
	VBLK_RESETTING,
	VBLK_SUSPENDING,
	VBLK_SUSPENDED, /* reset, perhaps without power: requests wait in their slots */
	VBLK_RESUMING,
	VBLK_STOPPING,
	VBLK_DEAD, /* given up; quiet */
};

/* vblk.pending: what the service task is to do */
#define VBLK_TODO_RESET  BIT(0)
#define VBLK_TODO_CONFIG BIT(1) /* it says that its configuration changed */
#define VBLK_TODO_BURY   BIT(2) /* dead: take the block device away */

/* A request of our own, GET_ID or GET_LIFETIME: one at a time, on queue 0. */
struct vblk_command {
	uint32_t type;
	uint32_t len_bytes; /* of its data */
	uint8_t status;
	int error;  /* 0: it was answered, with this status */
	bool busy;  /* the device has it */
	bool ended; /* written by the queue's CPU, before the event */
	struct ob_event event;
	struct ob_dma dma; /* struct vblk_command_memory */
};

struct vblk_command_memory {
	struct virtio_blk_header header; /* device reads */
	uint8_t padding[OB_CACHE_LINE - sizeof(struct virtio_blk_header)];
	uint8_t data[OB_CACHE_LINE - 1]; /* device writes these */
	uint8_t status;
};
static_assert(offsetof(struct vblk_command_memory, data) == OB_CACHE_LINE, "what is read and what is written apart");

#define VBLK_TOKEN_COMMAND UINT32_MAX

struct vblk {
	struct ob *ob;
	struct ob_device *dev;
	struct ob_cpu *cpu; /* CPU 0 */
	char name[VBLK_NAME_MAX];
	unsigned instance;
	int state;   /* enum vblk_state; CPU 0 writes */
	bool gone;   /* __atomic */
	bool ending; /* power goes: what runs ends soon, and nothing makes the device live again */
	bool quiet;  /* the device does no DMA */
	uint64_t features;
	struct vblk_info info;
	bool smaller; /* than info says, and that was said */
	char id[VIRTIO_BLK_ID_BYTES + 1];
	struct ob_block *block; /* NULL: none yet, as it holds nothing */
	struct ob_mutex lock;   /* reset, opening and closing, commands: one at a time */
	struct vblk_command command;

	struct vblk_queue *queues[VBLK_QUEUES_MAX]; /* queue_count of them; each by itself, as one may have to stay */
	unsigned queue_count;
	unsigned vector_count; /* 0: none */
	bool told;             /* of changes of the configuration */

	/* service task */
	uint32_t pending; /* __atomic: VBLK_TODO_* */
	struct ob_event service_event;
	struct ob_task *service;
	bool stopping;
	const char *reset_why; /* for the log; __atomic */
	int death;             /* why the device was given up */
	unsigned resets_in_a_row;
	uint64_t resets, reset_ns;
};

/* ---- config.c ---- */

/* The device's configuration as it is now. 0; or the errno of ob_virtio_config_fields(). */
int vblk_read_config(struct vblk *v, uint64_t values[VBLK_FIELDS]);
/* Pure: check it. 0; -EOPNOTSUPP; -EIO nonsense. */
int vblk_parse_config(struct vblk *v, uint64_t features, const uint64_t values[VBLK_FIELDS], struct vblk_info *out);
/* Does what was built on @a hold with @b? */
bool vblk_info_holds(const struct vblk_info *a, const struct vblk_info *b);
/* Say it, once, if the disk has become smaller: requests that end with an error behind its end do not tell. */
void vblk_warn_smaller(struct vblk *v, const struct vblk_info *now);
void vblk_fill_limits(const struct vblk_info *info, struct ob_block_limits *l);

/* ---- queue.c: the I/O path ---- */

int vblk_io_submit(struct ob_block_channel *channel, struct ob_block_request *request);
void vblk_io_kick(struct ob_block_channel *channel);
unsigned vblk_io_poll(struct ob_block_channel *channel, unsigned budget);
int vblk_io_cancel(struct ob_block_channel *channel, struct ob_block_request *request);
/* Take answers whatever the state; owner CPU. */
unsigned vblk_queue_take(struct vblk_queue *q, unsigned budget);
/* Take the slot's request out and end it. Owner CPU, soft. */
void vblk_slot_end(struct vblk_queue *q, unsigned index, int status, uint8_t protocol_status);
/* Issue what waits, as far as there is room. Owner CPU. */
void vblk_queue_issue(struct vblk_queue *q);
void vblk_queue_break(struct vblk_queue *q, const char *why);

/* ---- channel.c ---- */

extern const struct ob_block_ops vblk_block_ops;

/* A queue as no channel has it. */
void vblk_queue_clear(struct vblk *v, struct vblk_queue *q);
/* The device is quiet: memory of closed queues that it might have been at is free now. */
void vblk_queues_reclaim(struct vblk *v);

/* ---- timeout.c ---- */

void vblk_queue_tick(struct ob_timer *timer);

/* ---- command.c ---- */

int vblk_command_init(struct vblk *v);
/* The device is quiet. */
void vblk_command_fini(struct vblk *v);
/*
 * Under v->lock, or alone: a request of our own, whose data comes to @data. Return: 0; -EIO, -EOPNOTSUPP by its status;
 * -ETIMEDOUT; -ENODEV; -EBUSY an earlier one has no answer yet; -ECANCELED by a reset; -EREMOTEIO it needs a reset.
 */
int vblk_command_run(struct vblk *v, uint32_t type, void *data, uint32_t len_bytes, uint64_t deadline_ns);
/* The answer, by whoever took it from queue 0. */
void vblk_command_ended(struct vblk *v, uint32_t len_bytes);
/* The device is quiet, or forgot it. */
void vblk_command_cancel(struct vblk *v, int error);
/* Its text, or an empty one. 0; or as vblk_command_run() when that is not for want of the command. */
int vblk_read_id(struct vblk *v, char id[VIRTIO_BLK_ID_BYTES + 1]);

/* ---- start.c ---- */

int vblk_start(struct vblk *v);
void vblk_stop(struct vblk *v);
/* Power is about to go; vblk_stop() follows. */
void vblk_stop_abruptly(struct vblk *v);
void vblk_pick_name(struct vblk *v);
/* ob_alloc(), which tests can make fail. */
void *vblk_alloc(struct vblk *v, size_t len_bytes);
/* The device stops, by whatever means it takes; v->quiet afterwards. */
int vblk_quiesce(struct vblk *v);
/* It answers the bus, or is marked as gone. */
bool vblk_check_present(struct vblk *v);
/* Publish it when it has any blocks; it may be that only a later change brings some. */
int vblk_publish(struct vblk *v);

/* ---- reset.c ---- */

/* Reset with everything that belongs to it. 0; -ENODEV; or why the device was given up. */
int vblk_reset(struct vblk *v, const char *why, uint64_t deadline_ns);
/* Give the device up: quiesce, end all requests with @error. Under v->lock. */
void vblk_die(struct vblk *v, int error);
/* The parts of a reset; under v->lock, in a state that says so. As those of nvme_freeze() and its relatives. */
void vblk_freeze(struct vblk *v);
void vblk_forget(struct vblk *v);
int vblk_renew(struct vblk *v);
/* @fn on the CPU of each queue that a channel has, but for those whose CPU does not answer. */
void vblk_call_queues(struct vblk *v, void (*fn)(void *arg));
/* Quiet the device and end all that is in flight, each queue's on its own CPU. v->lock, or nobody else is there. */
void vblk_end_queues(struct vblk *v, int error);
void vblk_queue_init_works(struct vblk_queue *q);
/* @fn on the queue's CPU, within VBLK_CALL_TIMEOUT_NS. Task on CPU 0. 0; -ETIMEDOUT; -ENOMEM. */
int vblk_call(struct vblk_queue *q, void (*fn)(void *arg), void *arg);

/* ---- suspend.c ---- */

int vblk_suspend(struct vblk *v, uint64_t deadline_ns);
int vblk_resume(struct vblk *v, uint64_t deadline_ns);

/* ---- service.c ---- */

/* Ask the service task to do VBLK_TODO_*; any context, any CPU. */
void vblk_todo(struct vblk *v, uint32_t what);
void vblk_want_reset(struct vblk *v, const char *why);
bool vblk_is_gone(const struct vblk *v);
void vblk_mark_gone(struct vblk *v, const char *why);
int vblk_service_start(struct vblk *v);
void vblk_service_stop(struct vblk *v);

/* The one driver. */
extern const struct ob_driver virtio_blk_driver;

#endif
