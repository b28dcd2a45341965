/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver's state: the controller, its queues, its namespaces; NVM Express 1.4.
 *
 * Who touches what: a controller, the admin queue and the list of namespaces belong to CPU 0; a queue pair to the CPU
 * of its channel. CPU 0 asks a queue's CPU by ob_cpu_call(); a queue tells CPU 0 by a bit in nvme.pending and a signal.
 */
#ifndef OB_DRIVERS_NVME_H
#define OB_DRIVERS_NVME_H

#include <outboard/block_driver.h>
#include <outboard/nvme.h>

#include "base/list.h"
#include "core/quirk.h"
#include "spec/nvme.h"

#define NVME_SLOW __attribute__((noinline, cold)) /* kept out of the way of the I/O path */

#define NVME_PAGE_BYTES     4096u /* memory page: CC.MPS 0 */
#define NVME_TRANSFER_MAX   (1u << 20)
#define NVME_ADMIN_ENTRIES  32u
#define NVME_AER_MAX        4u
#define NVME_QUEUES_WISHED  64u /* queue pairs that we ask the controller for */
#define NVME_VECTORS_MAX    33u
#define NVME_NAMESPACES_MAX 256u
#define NVME_ADMIN_DATA_MAX (64u * 1024)
#define NVME_RETRY_MAX      3u /* times that a request is issued again, for whatever reason */
#define NVME_RESETS_MAX     5u /* resets in a row with no request completed between them */
#define NVME_STRAYS_MAX     16u
#define NVME_SHARED_MAX     8u /* channels that the admin queue's interrupt serves */
#define NVME_NAME_MAX       16

#define NVME_ADMIN_TIMEOUT_NS (10 * OB_NS_PER_S)
#define NVME_IO_TIMEOUT_NS    (30 * OB_NS_PER_S)
#define NVME_ABORT_TIMEOUT_NS (2 * OB_NS_PER_S)
#define NVME_CALL_TIMEOUT_NS  (2 * OB_NS_PER_S) /* for a CPU to answer a call */
#define NVME_LOCK_TIMEOUT_NS  (300 * OB_NS_PER_S)
#define NVME_RESET_TIMEOUT_NS (150 * OB_NS_PER_S)
#define NVME_WATCH_NS         (1 * OB_NS_PER_S)
#define NVME_RETRY_DELAY_NS   (10 * OB_NS_PER_MS)
#define NVME_RESET_MEMORY_NS  (60 * OB_NS_PER_S) /* resets further apart than this are not "in a row" */
#define NVME_ENDING_NS        (30 * OB_NS_PER_S) /* for what runs, once power is about to go */
#define NVME_QUIET_NS         (2 * OB_NS_PER_S)  /* without async events, after a storm of them */
#define NVME_TICKS            8u                 /* of the queue's timer in one timeout */
#define NVME_GRACE_TICKS      2u                 /* for an abort to show */

/* A tag is an index into slots; a command id is a tag and the tag's generation, so that a late answer is told apart. */
#define NVME_TAG        BITS(9, 0)
#define NVME_GENERATION BITS(15, 10)
#define NVME_CID_STEP   FIELD_PREP(NVME_GENERATION, 1)
#define NVME_CID        BITS(15, 0)
#define NVME_NOT_ISSUED BIT(16) /* in nvme_slot.expect: no answer from the device can equal this */
#define NVME_DEPTH_MAX  1023u   /* so that no id is FFFFh, which stands for "no command" (§5.14.1.1) */

static_assert(NVME_DEPTH_MAX <= FIELD_MAX(NVME_TAG), "tags fit");

enum nvme_quirk_flag {
	NVME_QUIRK_DELAY_READY = 1,       /* CSTS is not to be read for a while after CC.EN was cleared */
	NVME_QUIRK_NO_WRITE_ZEROES = 2,   /* offered and broken, or slow beyond use */
	NVME_QUIRK_NO_NAMESPACE_LIST = 4, /* identify with CNS 2 is not understood */
	NVME_QUIRK_NO_FUA = 8,            /* accepted and ignored: a flush must follow */
	NVME_QUIRK_NO_IDS = 16,           /* EUI64 and NGUID are not unique */
	NVME_QUIRK_NO_SHADOW = 32,        /* doorbell buffers do not work */
	NVME_QUIRK_NO_SGL = 64,
	NVME_QUIRK_CMB_AT_BAR = 128, /* its memory buffer is where its BAR is, whatever CMBMSC says */
};

/* ---- queue pairs ---- */

enum nvme_queue_state {
	NVME_QUEUE_LIVE,
	NVME_QUEUE_FROZEN,  /* a reset runs, or it is suspended: requests are kept and issued at its end */
	NVME_QUEUE_BROKEN,  /* the device wrote nonsense: as frozen, the reset is asked for */
	NVME_QUEUE_CLOSING, /* no more requests */
	NVME_QUEUE_DEAD,    /* the controller is gone or given up */
};

/* nvme_slot.flags */
#define NVME_SLOT_LATE      BIT(0) /* beyond its time: an abort was asked for */
#define NVME_SLOT_CANCELLED BIT(1) /* the user wants it back */
#define NVME_SLOT_ABORTED   BIT(2) /* the abort command was sent */
#define NVME_SLOT_RETRY     BIT(3) /* not issued: waits for the retry timer */

/* One request of a queue. */
struct nvme_slot {
	struct ob_block_request *request; /* NULL: free */
	union {
		struct nvme_slot *next; /* free: the next free one */
		uint64_t due_ns;        /* NVME_SLOT_RETRY: not before */
	};
	uint32_t expect; /* command id that the device answers with; NVME_NOT_ISSUED beside it: none */
	uint16_t epoch;  /* of the queue, when it was issued */
	uint8_t flags;
	uint8_t attempts; /* issued again so many times */
};
static_assert(sizeof(struct nvme_slot) == 24, "no padding");

struct nvme;

/* The rings of a queue pair. What each request needs is in the first cache line. */
struct nvme_ring {
	struct nvme_sqe *sq;               /* device reads */
	const struct nvme_cqe *cq;         /* device writes */
	uint32_t mask;                     /* entries - 1, both rings */
	uint32_t sq_tail;                  /* next entry to fill */
	uint32_t sq_told;                  /* tail that the device knows */
	uint32_t cq_pos;                   /* completions taken, running on: & mask the entry, & (mask + 1) the phase */
	uint32_t cq_told;                  /* of cq_pos */
	uint32_t cq_lag;                   /* completions that may be taken before the device is told; 0: none */
	uint32_t sqid_high;                /* qid << 16, as it stands beside the head in a completion */
	uint32_t sq_doorbell, cq_doorbell; /* register offsets */
	uint16_t qid;
	const struct ob_region *regs;
	/* once in a batch, or less */
	ob_le32 *shadow_sq, *shadow_cq;     /* NULL: no doorbell buffers */
	const ob_le32 *event_sq, *event_cq; /* device writes */
	const struct ob_region *cmb;        /* the submission ring is there, sq a copy; NULL: sq is it */
	uint64_t cmb_offset;                /* … in the region */
	uint64_t sq_address;                /* for the device */
	struct ob_dma sq_dma, cq_dma;
};
static_assert(offsetof(struct nvme_ring, shadow_sq) == OB_CACHE_LINE, "the hot part is one line");

#define NVME_CMB_PAGES_MAX 1024u

/* Where the controller memory buffer is, as its registers say. */
struct nvme_cmb_place {
	unsigned bar;
	uint64_t offset, len_bytes; /* in the BAR */
	bool queues;                /* submission queues may lie in it */
};

struct nvme_cmb {
	bool wanted; /* for queues that are made from now on */
	bool on;     /* the controller was told; stays so */
	struct nvme_cmb_place place;
	struct ob_region region; /* the BAR */
	uint64_t address;        /* where the controller finds the buffer */
	uint64_t used[NVME_CMB_PAGES_MAX / 64];
};

/*
 * An I/O queue pair: one channel's. All but the last part belongs to the channel's CPU. What each request needs is in the
 * first two cache lines, and in its slot.
 */
struct nvme_queue {
	struct nvme_slot *slots; /* depth of them, and more up to a power of two, which are never used */
	struct nvme_slot *free;  /* stack */
	uint64_t nsid_high;      /* namespace id << 32, as it stands beside CDW0 */
	uint32_t tag_mask;
	uint32_t grant_offset; /* of our grant in a window: no index to scale */
	struct ob_block_channel *channel;
	struct ob_cpu *cpu;
	uint64_t completed; /* answers taken, for the judgement on resets */
	uint16_t epoch;     /* ticks so far */
	uint8_t state;      /* enum nvme_queue_state */
	bool ticking;       /* tick is armed */
	uint32_t depth;
	struct nvme_ring ring;
	unsigned dma_index;
	bool mask_irq; /* hybrid: to be masked while polling … */
	bool masked;   /* … and is */
	bool polled;   /* … was polled once since it was armed */
	bool polling;  /* poll is started */
	bool retrying; /* retry is armed */
	bool broken;   /* was, when it was frozen: what its ring holds is not to be trusted */
	bool sgl;      /* the controller takes SGLs */
	bool deallocate_zeroes;
	uint8_t *lists; /* list_bytes for each tag: PRP list, SGL segment or DSM range; device reads */
	ob_iova lists_iova;
	uint32_t list_bytes; /* a power of two, at most a page */
	struct ob_irq *irq;
	uint64_t tick_ns;
	uint64_t retry_ns; /* what retry is armed for */
	struct ob_timer tick, retry;
	struct ob_poll poll;
	struct {
		uint64_t lost_interrupts, strays, nonsense;
	} count;
	struct nvme *nvme;
	struct ob_dma lists_dma;
	/* CPU 0's */
	struct list link;    /* nvme.queues, or nvme.graveyard */
	unsigned vector;     /* 0: none of its own */
	bool shared;         /* interrupts by the admin queue's vector */
	bool created;        /* the controller has it */
	bool closing;        /* channel_close is at it */
	bool wants_abort;    /* __atomic */
	bool silent;         /* its CPU did not answer in the reset that runs, or ran last */
	uint32_t unanswered; /* commands that the controller had when it was looked at; written in drain */
	bool progress;       /* something completed since the last reset; written in freeze */
	uint64_t completed_seen;
	struct ob_work death, wake; /* for a CPU that did not answer a call */
	struct nvme_cqe never;      /* the ring of a queue that was left behind */
};
static_assert(offsetof(struct nvme_queue, ring) == OB_CACHE_LINE, "the hot part is one line");

/* ---- admin queue ---- */

/* One admin command; lives on the stack of the task that waits for it, or in the controller (async events). */
struct nvme_command {
	uint8_t opcode;
	uint32_t nsid;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	uint64_t prp1, prp2;
	/* result */
	uint32_t result;
	uint16_t field;  /* the completion's status field without phase */
	uint16_t status; /* SCT << 8 | SC */
	int error;       /* 0; -ECANCELED by a reset; -ENODEV */
	bool ended;
	/* private */
	bool user;  /* of the public API: given up when the device goes offline */
	bool taken; /* the device has it */
	unsigned slot;
	struct ob_dma data; /* goes to the slot when the wait is given up */
	struct ob_event event;
	void (*done)(struct nvme *n, struct nvme_command *cmd); /* instead of event; soft or task, CPU 0 */
};

struct nvme_admin_slot {
	struct nvme_command *cmd; /* NULL: nobody waits */
	uint32_t expect;
	bool busy;          /* the device has it */
	struct ob_dma data; /* of a command that nobody waits for any more: freed when it ends */
};

struct nvme_admin {
	struct nvme_ring ring;
	struct nvme_admin_slot slots[NVME_ADMIN_ENTRIES - 1];
	struct ob_irq *irq;
	bool polled; /* no interrupt */
	bool masked; /* INTx: until the queue that holds the line is gone */
	uint64_t lost_interrupts, strays;
};

#define NVME_ADMIN_SLOTS (NVME_ADMIN_ENTRIES - 1)

/* ---- namespaces ---- */

struct nvme_namespace_info { /* what identify said, checked */
	uint64_t block_count;
	uint32_t block_bytes;
	uint32_t physical_bytes, optimal_bytes;
	uint8_t nguid[16], eui64[8];
	bool read_only, reads_zeroes, deallocate_zeroes;
};

struct nvme_namespace {
	struct list link; /* nvme.namespaces */
	struct nvme *nvme;
	uint32_t nsid;
	struct nvme_namespace_info info;
	struct ob_block *block;
	bool seen; /* in the scan that runs */
	/* by the reset that runs, or ran last; under nvme.lock */
	bool checked;
	bool lost; /* gone, or another: the next scan takes it away */
};

/* ---- controller ---- */

enum nvme_state {
	NVME_STARTING,
	NVME_LIVE,
	NVME_RESETTING,
	NVME_SUSPENDING,
	NVME_SUSPENDED, /* disabled, perhaps without power: requests wait in their slots */
	NVME_RESUMING,
	NVME_STOPPING,
	NVME_DEAD, /* given up; quiet */
};

/* nvme.pending: what the service task is to do */
#define NVME_TODO_ABORT  BIT(0) /* some queue has wants_abort */
#define NVME_TODO_RESET  BIT(1)
#define NVME_TODO_EVENT  BIT(2) /* async events are in events[] */
#define NVME_TODO_RESCAN BIT(3)
#define NVME_TODO_BURY   BIT(4) /* dead: take the namespaces away */

/* What identify controller said, checked. */
struct nvme_controller_info {
	char model[41], serial[21], firmware[9];
	uint16_t vendor, subvendor, controller_id;
	uint32_t namespace_max;
	uint32_t transfer_max_bytes;
	uint32_t shutdown_us;
	uint32_t oaes;
	uint16_t oacs, oncs;
	uint16_t crdt[3]; /* in 100 ms */
	uint8_t aborts_max, aers_max;
	uint8_t firmware_slots;
	uint8_t log_attributes;
	uint8_t firmware_granularity; /* in 4 KiB; 0 unknown */
	bool volatile_cache, sgl;
};

struct nvme {
	struct ob *ob;
	struct ob_device *dev;
	struct ob_cpu *cpu; /* CPU 0 */
	struct ob_region regs;
	char name[NVME_NAME_MAX];
	unsigned instance;
	int state;   /* enum nvme_state; CPU 0 writes */
	bool gone;   /* __atomic */
	bool ending; /* power goes: what runs ends soon, and nothing makes the controller live again */
	bool quiet;  /* the device does no DMA: EN and RDY are 0, or it is no bus master, or gone */
	uint64_t cap;
	uint32_t version;
	uint32_t dstrd;
	uint32_t entries_max;
	uint64_t ready_ns; /* CAP.TO */
	struct quirk_ids ids;
	uint64_t quirks;
	uint32_t quirk_value;
	struct nvme_controller_info info;
	struct nvme_admin admin;
	struct ob_mutex lock; /* reset, and making and deleting queues: one at a time */

	/* vectors: 0 is the admin queue's */
	unsigned vector_count; /* 0: none */
	enum ob_irq_kind irq_kind;
	uint64_t vectors_used;
	/* Where vectors are lacking, channels of CPU 0 share the admin queue's. Read by its interrupt. */
	struct nvme_queue *shared[NVME_SHARED_MAX];

	/* queue pairs */
	unsigned queue_max; /* highest qid that was granted */
	unsigned queues_granted;
	uint64_t qids_used[2];
	struct list queues;                /* nvme_queue.link; changed under lock */
	struct list graveyard;             /* queues whose memory the device may still use */
	struct ob_dma shadow, event_index; /* empty: none */
	bool shadow_on;                    /* the controller was told of them */
	struct nvme_cmb cmb;               /* under lock */

	/* namespaces: the service task's, before it starts probe's, after its end remove's */
	struct list namespaces;
	unsigned namespace_count;
	uint64_t rescan_ns;    /* when to scan again, as the last scan did not learn all; 0: not */
	unsigned rescan_tries; /* so far */

	/* service task */
	uint32_t pending; /* __atomic: NVME_TODO_* */
	struct ob_event service_event;
	struct ob_task *service;
	bool stopping;
	const char *reset_why; /* for the log; __atomic */
	int death;             /* why the controller was given up */
	unsigned resets_in_a_row;
	uint64_t resets, reset_ns;
	struct ob_task *reset_task; /* the one that may use the admin queue now */

	/* async events */
	struct nvme_command aer[NVME_AER_MAX]; /* ended: not with the device */
	unsigned aer_count;
	uint32_t events[NVME_AER_MAX];
	unsigned event_count;
	unsigned event_storm; /* batches in quick succession */
	uint64_t event_ns;
	uint64_t events_ns; /* when they are asked for again after a storm; 0: they are not off */
};

/* ---- ring.c: both kinds of queue ---- */

int nvme_ring_init(struct nvme *n, struct nvme_ring *r, unsigned qid, uint32_t entries);
void nvme_ring_fini(struct nvme *n, struct nvme_ring *r);
/* Zero the rings and start over; the device does not know them (yet, or any more). */
void nvme_ring_rewind(struct nvme_ring *r);
/* Use the doorbell buffers, or not, as the controller does; before the queue is created. */
void nvme_ring_set_shadow(const struct nvme *n, struct nvme_ring *r);
/* Doorbells that go through the shadow; noinline parts of the inline ones below. */
bool nvme_shadow_update(ob_le32 *shadow, const ob_le32 *event, uint32_t value, uint32_t told, uint32_t mask);

/* Entries that the device is about to be told of, to where it looks for them. Owner CPU. */
void nvme_ring_copy_out(struct nvme_ring *r);

/* Has the device posted an entry that was not taken yet? Hard context too: one word of ours decides. */
static inline bool nvme_ring_pending(const struct nvme_ring *r)
{
	uint32_t pos = OB_READ_ONCE(r->cq_pos);
	uint16_t field = ob_le16_load(&r->cq[pos & r->mask].status);

	/* The phase of the first round is 1, as the ring starts zeroed (§4.6). */
	return ((field & NVME_CQE_P) != 0) == ((pos & (r->mask + 1)) == 0);
}

/* Tell the device of all entries up to sq_tail. */
static inline void nvme_ring_kick(struct nvme_ring *r)
{
	uint32_t tail = r->sq_tail;

	if (tail == r->sq_told)
		return;
	if (OB_UNLIKELY(r->cmb != NULL))
		nvme_ring_copy_out(r);
	/* The entries are visible before the device is told of them (§4.1). */
	if (OB_UNLIKELY(r->shadow_sq != NULL) &&
	    !nvme_shadow_update(r->shadow_sq, r->event_sq, tail, r->sq_told, r->mask)) {
		r->sq_told = tail;
		return;
	}
	ob_mmio_wmb();
	ob_mmio_write32_relaxed(r->regs, r->sq_doorbell, tail);
	r->sq_told = tail;
}

/* Give the entries up to cq_pos back: at least one. */
static inline void nvme_ring_ack(struct nvme_ring *r)
{
	uint32_t head = r->cq_pos & r->mask;

	/*
	 * The loads of the entries come before this store by control dependency: each entry's words were compared, and
	 * we got here by the outcome.
	 */
	if (OB_UNLIKELY(r->shadow_cq != NULL) &&
	    !nvme_shadow_update(r->shadow_cq, r->event_cq, head, r->cq_told & r->mask, r->mask)) {
		r->cq_told = r->cq_pos;
		return;
	}
	ob_mmio_wmb();
	ob_mmio_write32_relaxed(r->regs, r->cq_doorbell, head);
	r->cq_told = r->cq_pos;
}

/* ---- controller.c ---- */

/* Ask the service task to do NVME_TODO_*; any context, any CPU. */
void nvme_todo(struct nvme *n, uint32_t what);
void nvme_want_reset(struct nvme *n, const char *why);
bool nvme_is_gone(const struct nvme *n);
void nvme_mark_gone(struct nvme *n, const char *why);
/* CSTS; all ones that are confirmed mark the device as gone: -ENODEV. */
int nvme_read_status(struct nvme *n, uint32_t *csts);
int nvme_read_capabilities(struct nvme *n);
/* CC.EN = 0 and wait for RDY = 0. Afterwards n->quiet says whether DMA has ended. */
int nvme_disable(struct nvme *n);
/* The same, by harder means in turn: disable, function-level reset, no bus master. n->quiet afterwards. */
void nvme_quiesce(struct nvme *n);
int nvme_enable(struct nvme *n);
/* Shutdown, NVME_CC_SHN_NORMAL or _ABRUPT as @how; then nothing works until nvme_disable(). */
int nvme_shutdown_notify(struct nvme *n, uint32_t how);
/* Identify and ask for queue pairs: what follows each enable. */
int nvme_configure(struct nvme *n);
void nvme_set_doorbell_buffers(struct nvme *n);

/* ---- cmb.c ---- */

/* Pure: check what the registers say; @regs_bytes of BAR 0 are registers. 0; -ENOENT there is none; -EIO nonsense. */
int nvme_cmb_parse(uint32_t cmbloc, uint32_t cmbsz, uint32_t regs_bytes, struct nvme_cmb_place *out);
/* Pure: does it share its BAR's bytes with the @len_bytes that an MSI-X capability's register says are at @where? */
bool nvme_cmb_meets(const struct nvme_cmb_place *place, uint32_t where, uint64_t len_bytes);
/* From now on queues go there, or not. Under n->lock. 0; -EOPNOTSUPP; -ENODEV. */
int nvme_cmb_use(struct nvme *n, bool on);
/* After a reset, before the controller is enabled. 0; -EIO it is another one; -ENODEV. */
int nvme_cmb_restore(struct nvme *n);
/* A place for the submission ring, if that is wanted and there is one; and back. */
bool nvme_cmb_take(struct nvme *n, struct nvme_ring *r);
void nvme_cmb_give(struct nvme *n, struct nvme_ring *r);

/* ---- start.c ---- */

/* Everything from registers to namespaces, and back. */
int nvme_start(struct nvme *n);
void nvme_stop(struct nvme *n);
/* Power is about to go; nvme_stop() follows. */
void nvme_stop_abruptly(struct nvme *n);
/* The lowest free number, and the name that goes with it. */
void nvme_pick_name(struct nvme *n);
/* ob_alloc(), which tests can make fail. */
void *nvme_alloc(struct nvme *n, size_t len_bytes);

/* ---- identify.c ---- */

/* Pure: check raw data, fill @out. Messages go to the log under the controller's name. 0; -EOPNOTSUPP; -EIO. */
int nvme_parse_controller(struct nvme *n, const struct nvme_identify_controller *id, struct nvme_controller_info *out);
/* -EOPNOTSUPP a format that we do not do; -EIO nonsense; -ENOENT not active. */
int nvme_parse_namespace(struct nvme *n, uint32_t nsid, const struct nvme_identify_namespace *id,
			 struct nvme_namespace_info *out);
int nvme_identify_controller(struct nvme *n, struct nvme_controller_info *out);

/* ---- admin.c ---- */

int nvme_admin_init(struct nvme *n);
/* The device is quiet. */
void nvme_admin_fini(struct nvme *n);
/* Interrupt or not, for the vectors that there are. */
int nvme_admin_start_irq(struct nvme *n);
void nvme_admin_stop_irq(struct nvme *n);
/** nvme_admin_hold_irq - no handler runs until it is let go of; CPU 0 */
void nvme_admin_hold_irq(struct nvme *n, bool hold);
/* A queue of CPU 0 that shares the vector; false: no room. */
bool nvme_admin_share_irq(struct nvme *n, struct nvme_queue *q);
void nvme_admin_unshare_irq(struct nvme *n, struct nvme_queue *q);
/* The driver is not being removed. */
bool nvme_is_online(const struct nvme *n);
/* Issue and wait. Return: 0, whatever the status; -ETIMEDOUT; -ECANCELED by a reset; -ENODEV; -EBUSY no slot. */
int nvme_admin_run(struct nvme *n, struct nvme_command *cmd, uint64_t deadline_ns);
/* The same, with the status as errno; failures are logged. */
int nvme_admin_do(struct nvme *n, struct nvme_command *cmd, const char *what);
/* With data to or from @buffer (CPU memory). */
int nvme_admin_run_data(struct nvme *n, struct nvme_command *cmd, void *buffer, size_t len_bytes, bool to_device,
			uint64_t deadline_ns);
int nvme_identify(struct nvme *n, unsigned cns, uint32_t nsid, void *buffer, uint16_t *status);
struct nvme_command nvme_log_command(uint8_t page, uint32_t nsid, uint64_t offset, size_t len_bytes);
int nvme_get_log(struct nvme *n, uint8_t page, uint32_t nsid, uint64_t offset, void *buffer, size_t len_bytes,
		 uint16_t *status);
/* Issue without waiting; cmd->done is called. 0; -EBUSY; -ENODEV. */
int nvme_admin_post(struct nvme *n, struct nvme_command *cmd);
unsigned nvme_admin_poll(struct nvme *n);
/* Everything in flight ends with @error. The device is quiet: memory is freed. */
void nvme_admin_cancel(struct nvme *n, int error);

/* ---- queue.c, channel.c ---- */

extern const struct ob_block_ops nvme_block_ops;

int nvme_io_submit(struct ob_block_channel *channel, struct ob_block_request *request);
void nvme_io_kick(struct ob_block_channel *channel);
unsigned nvme_io_poll(struct ob_block_channel *channel, unsigned budget);
int nvme_io_cancel(struct ob_block_channel *channel, struct ob_block_request *request);
/* Take completions whatever the state; owner CPU. */
unsigned nvme_queue_take(struct nvme_queue *q, unsigned budget);
/* Issue what a slot holds, or end it when that is not possible. Owner CPU. */
void nvme_slot_issue(struct nvme_queue *q, unsigned tag);
/* Take the slot's request out and end it. Owner CPU, soft. */
void nvme_slot_end(struct nvme_queue *q, unsigned tag, int status, uint16_t protocol_status);
void nvme_slot_retry(struct nvme_queue *q, unsigned tag, uint64_t delay_ns);
void nvme_queue_break(struct nvme_queue *q, const char *why);
/* Memory of a queue that the device no longer uses. */
void nvme_queue_free(struct nvme *n, struct nvme_queue *q);
/* All of it that waited for that. The device is quiet. */
void nvme_graveyard_clear(struct nvme *n);
/* For each tag. */
uint32_t nvme_list_bytes(const struct nvme *n);
/* Create CQ, create SQ; delete SQ, delete CQ. CPU 0. */
int nvme_queue_create(struct nvme *n, struct nvme_queue *q);
int nvme_queue_delete(struct nvme *n, struct nvme_queue *q);

/* ---- timeout.c ---- */

void nvme_queue_tick(struct ob_timer *timer);
void nvme_queue_retry(struct ob_timer *timer);
/* Have the timer come at @due_ns, or sooner when it is armed for that. Owner CPU. */
void nvme_retry_at(struct nvme_queue *q, uint64_t due_ns);
/* Service task: send aborts for what is late or cancelled. */
void nvme_abort_late(struct nvme *n);

/* ---- reset.c ---- */

/* Controller reset with everything that belongs to it. 0; -ENODEV; or why the controller was given up. */
int nvme_reset(struct nvme *n, const char *why, uint64_t deadline_ns);
/* Give the controller up: quiesce, end all requests with @error. Under n->lock. */
void nvme_die(struct nvme *n, int error);
/*
 * The parts of a reset; under n->lock, in a state that says so. Freeze: no queue posts or takes any more. Forget: the
 * controller is quiet and knows no queue; what it did not answer waits in its slots. Renew: from whatever state it is
 * in to a controller that works, with as many tries as it takes; or it is given up.
 */
void nvme_freeze(struct nvme *n);
void nvme_forget(struct nvme *n);
int nvme_renew(struct nvme *n);
/* @fn on each queue's CPU, but for those whose CPU does not answer. */
void nvme_call_queues(struct nvme *n, void (*fn)(void *arg));
/* Quiet the controller and end all that is in flight, each queue's on its own CPU. n->lock, or nobody else is there. */
void nvme_end_queues(struct nvme *n, int error);
void nvme_queue_init_works(struct nvme_queue *q);
/* @fn on the queue's CPU, within NVME_CALL_TIMEOUT_NS. Task on CPU 0. 0; -ETIMEDOUT; -ENOMEM. */
int nvme_call(struct nvme_queue *q, void (*fn)(void *arg), void *arg);

/* ---- suspend.c ---- */

/* Let what is in flight end, until @deadline_ns at most, save, disable. 0; negative errno: it works on, or is dead. */
int nvme_suspend(struct nvme *n, uint64_t deadline_ns);
/* 0; negative errno: it was given up, or nothing was done as its turn did not come. */
int nvme_resume(struct nvme *n, uint64_t deadline_ns);

/* ---- data.c: PRP and SGL ---- */

/* Where a command's data is, for the data pointer of its SQE. */
struct nvme_data_pointer {
	uint64_t word[2];
	uint32_t psdt; /* for CDW0 */
};

/* A list that the device reads. */
struct nvme_list {
	void *base;
	ob_iova iova;
	uint32_t len_bytes;
};

/* 0; -EINVAL: PRPs cannot express this list, or it is too long; or the errno of ob_window_iova(). */
int nvme_prp_build(const struct nvme_list *list, const struct ob_block_request *request, unsigned dma_index,
		   enum ob_dma_rights rights, struct nvme_data_pointer *out);
int nvme_sgl_build(const struct nvme_list *list, const struct ob_block_request *request, unsigned dma_index,
		   enum ob_dma_rights rights, struct nvme_data_pointer *out);

/* ---- namespace.c ---- */

/* Find what is there; publish, unpublish, resize. Service task, or probe. */
int nvme_rescan(struct nvme *n);
void nvme_namespaces_remove(struct nvme *n);
/*
 * After a reset, before requests are issued again: is it still there and the same? What is not is left to the next
 * scan. Return: 1; 0; negative errno when nobody answered.
 */
int nvme_namespace_holds(struct nvme *n, const struct nvme_namespace *ns);

/* ---- event.c ---- */

void nvme_events_start(struct nvme *n);
void nvme_events_handle(struct nvme *n);
/* After a storm. Service task. */
void nvme_events_resume(struct nvme *n);

/* ---- service.c ---- */

int nvme_service_start(struct nvme *n);
void nvme_service_stop(struct nvme *n);

/* ---- status.c ---- */

/* What a status means to a caller, and whether the same command may do better later. */
int nvme_status_error(uint16_t status);
/* What came of an admin command, for the log: what nvme_admin_run() returned and, if that is 0, the status. */
const char *nvme_answer_text(int ret, uint16_t status);
bool nvme_status_transient(uint16_t status);

/* ---- quirks.c ---- */

/* By n->ids. */
void nvme_quirks_find(struct nvme *n);

/* The one driver. */
extern const struct ob_driver nvme_driver;

#endif
