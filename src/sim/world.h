/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a run, and what the files of the world share. All of it belongs to one thread of the system and starts
 * from zero at each run. None of this code is instrumented.
 */
#ifndef OB_SIM_WORLD_H
#define OB_SIM_WORLD_H

#include <stdarg.h>
#include <string.h>

#include "base/bits.h"
#include "core/cpu.h"
#include "core/os.h"
#include "sim/check/check.h"
#include "sim/random.h"
#include "sim/sim.h"

/*
 * Memory at a fixed place, so that a seed gives the same addresses in every process. DMA memory exists twice: at its
 * address as the CPU that runs now sees it, and MASTER_OFFSET above that as the device sees it.
 */
#define ARENA_BASE    0x100000000000ull
#define HEAP_BYTES    (64ull << 20)
#define DMA_OFFSET    HEAP_BYTES
#define DMA_BYTES     (64ull << 20)
#define STACK_OFFSET  (DMA_OFFSET + DMA_BYTES)
#define STACK_AREA    (128ull << 20)
#define ARENA_BYTES   (STACK_OFFSET + STACK_AREA)
#define MASTER_OFFSET (1ull << 32)
#define MODEL_BASE    (ARENA_BASE + (2ull << 32)) /* what models and the world itself allocate in a run */
#define MODEL_BYTES   (256ull << 20)

#define NEVER      UINT64_MAX
#define STEP_NS    2
#define THREAD_MAX 8 /* the device and the program's first thread among them */

enum {
	THREAD_DEVICE,
	THREAD_MAIN
};

/* ---- clocks of the race detector ---- */

struct vclock {
	uint32_t t[THREAD_MAX];
};

static inline void vclock_join(struct vclock *to, const struct vclock *from)
{
	for (unsigned i = 0; i < THREAD_MAX; i++)
		to->t[i] = MAX(to->t[i], from->t[i]);
}

/* ---- threads ---- */

#define FRAME_MAX 48

/*
 * A stack: return addresses of instrumented functions, less the place where the program lies; and what it holds. The top
 * bit tells frames of drivers and classes on a CPU, where an interrupt may come: __sanitizer_cov_trace_pc() sets it.
 */
#define FRAME_OPEN BIT(31)
#define FRAME_PC   (FRAME_OPEN - 1)
#define HELD_MAX   8 /* locks, at the same time */

struct frames {
	unsigned depth;
	uint32_t pc[FRAME_MAX];
	uint8_t locks[HELD_MAX], lock_count; /* check/lock.c */
	bool lock_wanted;
};

static inline bool frames_open(const struct frames *f)
{
	return f->depth - 1u < FRAME_MAX && (f->pc[f->depth - 1] & FRAME_OPEN) != 0;
}

enum thread_state {
	THREAD_NONE,
	THREAD_RUNNABLE,
	THREAD_WAITING,
	THREAD_DONE,
};

struct thread {
	void *sp;
	enum thread_state state;
	unsigned id;
	uint32_t pc; /* of its last access or call of the kit, less the place where the program lies */
	char name[16];
	uint64_t wake_ns;    /* waiting: at most until then */
	const void *wait_on; /* waiting: for this */
	const char *wait_what;
	const void *const *inbox; /* a CPU's that goes to sleep: what others have given it; NULL */
	bool timed_out;
	int64_t priority;
	struct frames *frames, own_frames;
	struct os_thread_data data;
	void (*fn)(void *arg);
	void *arg;
	uint64_t ran_steps;    /* before it was switched to last */
	uint64_t clock_steps;  /* own steps when it looked at the clock last */
	uint64_t hard_since;   /* own steps when its hard handler began, and 1; 0: none runs. check/irq.c */
	const char *hard_name; /* … and what it is called */
	uintptr_t spin_what;   /* check/gone.c */
	uint32_t spin_pc;
	unsigned spins;
	bool interrupted; /* runs a hard handler in the midst of driver code */
	/*
	 * By the own clock: up to when what handlers did is known to the code that they interrupt, and up to when what
	 * that code did is known to the handler that runs now.
	 */
	uint32_t hard_known, code_known;
	struct vclock clock;
	/* Times of W.order: no load is earlier; … if it is sequentially consistent; … once a fence acquires. history.c */
	uint32_t floor, sc_floor, loads_floor;
	unsigned late_count;           /* stores that wait there */
	struct vclock release_fence;   /* what a relaxed store after a release fence carries */
	struct vclock acquire_pending; /* what an acquire fence will bring */
	uint32_t doorbell_epoch;       /* own clock when it last wrote a register that has arrived */
};

/* ---- weak memory: weak.c ---- */

#define STORE_MAX   48
#define STORE_BYTES 64
#define STALE_MAX   256 /* a power of two */

/* A store that its CPU has made and that nobody else sees yet. */
struct store {
	uintptr_t address;
	uint8_t len_bytes, thread;
	bool captured; /* value[] is known: the store itself comes after its callback */
	bool marked;
	uint32_t barrier; /* how many write barriers came before it */
	uint32_t epoch, step, pc;
	uint8_t value[STORE_BYTES];
	struct vclock release; /* what who reads it may acquire */
};

/*
 * Bytes of which a CPU still sees what was there before others wrote. Each granule has its place by its address; of two
 * that would share one, the second is not stale.
 */
struct stale {
	uintptr_t granule;
	uint8_t mask;
	uint8_t old[8];
};

struct view {
	struct store stores[STORE_MAX];
	unsigned store_count;
	struct stale stale[STALE_MAX];
	uint64_t stale_places[STALE_MAX / 64];
	unsigned stale_count;
	uint32_t barrier, mmio_barrier;
	struct vclock release;      /* as of the last barrier between stores */
	struct vclock mmio_release; /* as of the last barrier before register writes */
	struct vclock pending;      /* seen in shared memory, not ordered by a read barrier yet */
	struct vclock mmio_pending; /* … in a register */
};

/* ---- heap: arena.c ---- */

#define BLOCK_MAX 16384
#define BLOCK_PCS 4
#define CELL_LIVE 1
#define CELL_GONE 2
/* … and lent to a device: to be read by it, to be written, or both or different in parts. check/lend.c */
#define CELL_LENT_READ  3
#define CELL_LENT_WRITE 4
#define CELL_LENT_MIXED 5
#define WORLD_FDS       64
#define POLLER_MAX      16
#define POLLER_FDS      16
#define POSTED_MAX      64
#define REQUEST_MAX     1024
#define LOG_LINES       24
#define LOG_LEN         160
#define FAULT_RULES     64

struct block {
	uintptr_t address;
	uint32_t len_bytes;
	bool live;
	uint8_t thread;
	uint32_t pc[BLOCK_PCS], freed_pc[BLOCK_PCS];
};

/* An eventfd. */
struct event_source {
	bool open, heard;
	uint64_t count;
	struct vclock clock;
};

struct os_poller {
	bool open, woken;
	struct vclock clock;
	struct {
		int fd;
		void *arg;
	} fds[POLLER_FDS];
	unsigned fd_count;
	uint64_t timer_ns;
	struct thread *thread; /* that turned it last */
};

/* An access to the device that is on its way. */
enum posted_kind {
	POSTED_WRITE,
	POSTED_READ,
	POSTED_CONFIG_READ,
	POSTED_CONFIG_WRITE,
	POSTED_LINE,
	POSTED_NOTHING, /* a flush */
	POSTED_PROBE,
};

struct posted {
	enum posted_kind kind;
	uint8_t size_bytes, thread;
	uint64_t offset, value;
	struct vclock clock;
	uint32_t epoch, number;
	bool *done;
	uint64_t *result;
};

/* What faults strike, and what a script counts. */
enum fault_thing {
	FAULT_AT_COMMAND, /* of any queue */
	FAULT_AT_IO,
	FAULT_AT_ADMIN,
	FAULT_AT_COMPLETION,
	FAULT_AT_INTERRUPT,
	FAULT_AT_READ, /* of a register */
	FAULT_AT_CONFIG,
	FAULT_AT_ENABLE,
	FAULT_AT_DISABLE,
	FAULT_AT_CALL,
	FAULT_THINGS
};

/* ---- the world ---- */

struct world {
	bool on; /* inside a run, on one of its fibers */
	bool capture_due;
	bool yields;  /* the current thread gives way of itself */
	uint8_t mode; /* ACCESS_HARD, ACCESS_OPEN or nothing: of the current thread's accesses */
	uint64_t steps, decide_at, now_ns, hash;
	uint64_t entered; /* steps when a function was entered last */
	uint64_t watched; /* steps when the watchdog was last told that there are some */
	struct sim_config config;
	uint64_t seed;
	uint64_t random_schedule, random_memory, random_fault, random_scenario;
	uint32_t generation;

	struct thread threads[THREAD_MAX];
	unsigned thread_count;
	struct thread *current;
	uint64_t next_thread_id, switches, progress, progress_seen;
	unsigned spins, stalls;
	uint64_t change_points[16];
	unsigned change_count;
	int64_t priority_low;
	uint64_t ran_since;

	uint32_t order;  /* atomic stores that became visible */
	uint8_t promise; /* enum promise_state */
	struct view views[THREAD_MAX];
	int loaded;                /* the thread whose view is in memory; -1 none */
	unsigned buffered;         /* stores in all views */
	struct view *capture_view; /* … in which some are to be captured */

	uint64_t heap_used, dma_used, stack_used, model_used;
	struct block blocks[BLOCK_MAX];
	unsigned block_count;
	uint64_t live_bytes;

	struct event_source fds[WORLD_FDS];
	unsigned fd_count;
	unsigned fds_fired; /* and were not taken yet */
	struct os_poller pollers[POLLER_MAX];
	unsigned poller_count;

	struct posted posted[POSTED_MAX];
	unsigned posted_first, posted_count;
	uint32_t posted_number;
	bool device_inside; /* the model runs, or is interrupted */
	uint64_t device_due_ns;
	bool device_kicked;
	uint64_t commands, hard_preemptions;
	uint32_t choices[SIM_CHOICE_COUNT]; /* that came up: choice.h */
	uint32_t requests_begun;

	bool device_breaks; /* as the scenario wants it */
	uint64_t fault_on;  /* bit of each kind that may strike */
	unsigned fault_counts[SIM_FAULT_COUNT];
	uint64_t fault_seen[FAULT_THINGS]; /* how many of each there were that a fault may strike */
	uint16_t fault_left[FAULT_RULES];  /* of the script's lines: how often they may strike yet */
	uint64_t fault_last[FAULT_RULES];  /* … and of those of every so many, at how many they struck last */
	uint64_t fault_due_ns;             /* a line of the script waits for this time */
	uint64_t fault_start_ns;           /* which times in the script count from */
	uint64_t fault_commands;           /* when faults of the whole device were last looked at */
	unsigned power_cuts;               /* that are over */
	unsigned fault_excuses;            /* FAULT_EXCUSE_* */

	const void *requests[REQUEST_MAX];
	unsigned request_count;
	char log[LOG_LINES][LOG_LEN];
	unsigned log_count;

	/* what the report's steps are about */
	uint64_t about_address;
	uint32_t about_threads; /* one bit each */
	struct report_side {
		unsigned thread;
		uint32_t pc;
	} sides[2];
	unsigned side_count;
	void *last_machine; /* its devices can be asked for names when it is closed: their memory is there until the end */

	struct sim_result *result;
	const struct sim_scenario *scenario;
	void *checkpoint_sp; /* of the thread that waits there for the part that differs */
	uint64_t steps_before, commands_before;
	bool preparing; /* what comes before the checkpoint */
};

/*
 * All that a run changes, and that does not lie in the arena, stands in one section: snapshot.c keeps it and brings it
 * back. It is zero when a run starts from nothing, or has a reset function that sim_run() calls.
 */
#define SIM_STATE __attribute__((section("sim_state")))

extern struct world W;

static inline void world_mix(uint64_t x)
{
	W.hash = (W.hash ^ x) * 0x9e3779b97f4a7c15ull;
	W.hash ^= W.hash >> 29;
}

/* world.c */
extern uintptr_t world_text_base; /* the program's own image */
extern size_t world_text_bytes;
/* What memory held, or the address of it. Where the system puts the program is no part of a run. */
static inline void world_mix_value(uint64_t x)
{
	world_mix(x - world_text_base < world_text_bytes ? 0x9e7 : x);
}
#define WORLD_PC() ((uint32_t)((uintptr_t)__builtin_return_address(0) - world_text_base))
void world_end(void) __attribute__((noreturn)); /* leave the run at once */
#define WATCH_STEPS 0x40000u                    /* so often, or more seldom, the watchdog is told */
void world_watched(void);

/* sched.c */
extern const char sched_stall[]; /* what a thread waits for that was stalled */
void sched_init(void);           /* from here on as the configuration says */
struct thread *sched_spawn(const char *name, void (*fn)(void *arg), void *arg);
void sched_decide(void);
/* Sleep until sched_wake(@on) or @wake_ns; true when the time ran out. */
uint64_t sched_own_steps(const struct thread *t);
void sched_tell_threads(void); /* into a report */
bool sched_wait(const void *on, uint64_t wake_ns, const char *what);
void sched_wake(const void *on);
void sched_wake_device(uint64_t at_ns);
void sched_yield_now(void);
void sched_progress(void);

/* Each access and each call of the kit is a step: the only places where anything else may happen. */
static inline void world_step(uint64_t what)
{
	W.steps++;
	W.now_ns += STEP_NS;
	world_mix(what);
	if (OB_UNLIKELY(W.steps >= W.decide_at))
		sched_decide();
}

/* arena.c */
int arena_map(void);
/* Nothing lies behind what is used now; as much as that was used before. */
void arena_forget(uint64_t heap_used, uint64_t dma_used);
extern uint8_t *arena_cells; /* one per 8 bytes */
uint8_t *arena_dma_alloc(size_t len_bytes, size_t align_bytes);
void arena_dma_free(void *base, size_t len_bytes);
void *arena_stack(size_t len_bytes);
void *model_alloc(size_t len_bytes);
void arena_complain(uintptr_t address, unsigned flags, uint32_t pc) __attribute__((noreturn));
/* An access to cells that are not just live; returns when it is right all the same. */
void arena_judge(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc);
struct block *arena_block(uintptr_t address);

static inline bool is_dma(uintptr_t address)
{
	return address - ARENA_BASE - DMA_OFFSET < DMA_BYTES;
}

static inline uint8_t *master(uintptr_t address)
{
	return (uint8_t *)(address + MASTER_OFFSET); /* NOLINT */
}

/* weak.c */
void weak_capture_now(void);
void weak_load_view(int thread);
void weak_store(uintptr_t address, size_t len_bytes, bool marked);
void weak_before_load(uintptr_t address, size_t len_bytes);
const struct vclock *weak_clock(unsigned thread, uintptr_t pair, uintptr_t address, size_t len_bytes);
void weak_drain_some(void);
void weak_drain_all(unsigned thread);
void weak_drain_before(unsigned thread, uint32_t barrier);
void weak_drain_acquired(void);
void weak_refresh(unsigned thread);
void weak_device_write(uintptr_t address, const void *from, size_t len_bytes, bool late_likely);
void weak_check_drift(void);

static inline void world_capture(void)
{
	if (OB_UNLIKELY(W.capture_due))
		weak_capture_now();
}

/* race.c */
#define ACCESS_WRITE  1u
#define ACCESS_MARKED 2u /* volatile, atomic, or a word that a device reads or writes whole */
#define ACCESS_DEVICE 4u
#define ACCESS_FREE   8u
#define ACCESS_ATOMIC 16u /* its order is known, and dealt with apart */
#define ACCESS_HARD   32u /* by an interrupt handler that came into driver code */
#define ACCESS_OPEN   64u /* by driver code, where such a handler may come */
int race_map(void);
struct vclock *race_sync(uintptr_t address, bool make);
void race_release(struct vclock *to);    /* joins it */
void race_release_to(struct vclock *to); /* becomes it */
void race_acquire(const struct vclock *from);
/* … as an atomic load does it, which brings the loads behind it no further than what it read. */
void race_acquire_clock(const struct vclock *from);

/* history.c: atomic stores that were made, and that nobody else sees yet. */
void history_drain(struct thread *t);
void history_drain_everybody(void);
void history_drain_some(void);
void history_own_access(uintptr_t address, size_t len_bytes);
bool race_device_is_at(uintptr_t address); /* with an access that is not ordered before the current thread */

/* access.c */
void access_range(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc);

/* report.c */
const char *report_context(const struct thread *t);
const char *report_context_name(unsigned context);
/* Parts of a report are put together, then report_end() ends the run. */
void report_begin(const char *rule, const char *format, ...) OB_PRINTF(2, 3);
void report_text(const char *format, ...) OB_PRINTF(1, 2);
void report_pcs(const uint32_t *pcs, unsigned count); /* innermost first */
void report_here(uint32_t pc);                        /* the current thread, its context, its stack */
/* Whom and what the steps are to be about, besides the current thread and what report_describe() was asked for. */
void report_involve(unsigned thread, uint32_t pc);
void report_end(void) __attribute__((noreturn));
unsigned report_stack(uint32_t *pcs, unsigned max); /* of the current thread, innermost first */
void report_describe(uintptr_t address, char *text, size_t size);

/* machine/thread.c */
void simdev_init(void);
void simdev_post(const struct posted *access);
uint64_t simdev_ask(struct posted *access);
uint64_t simdev_ask_ordered(struct posted *access); /* … and what the device did before is known */
void simdev_flush(void);
void simdev_step(uint64_t what);

/* iommu.c, machine.c */
void iommu_reset(void);
void machine_reset(void);
void machine_access(struct posted *access);
bool machine_work(void);

/* probe.c */
void probe_reset(void);
bool probe_work(void);
void probe_access(struct posted *access);

/* os_sim.c */
int world_fd_open(void);
void world_fd_close(int fd);
void world_fd_fire(int fd);
bool world_fd_heard(int fd); /* somebody has waited for it, some time */
bool world_fd_ready(int fd);

/* preempt.c */
void world_interrupt(void);
void preempt_caused(const struct vclock *clock);
void preempt_resumed(void);

/* Between two accesses of a driver or a class, which promise to survive an interrupt anywhere. */
static inline void world_interrupt_maybe(void)
{
	if (OB_UNLIKELY(W.fds_fired != 0) && W.mode == ACCESS_OPEN)
		world_interrupt();
}

/* The frame on top, or the thread, is another one. */
static inline void world_mode_update(void)
{
	const struct thread *t = W.current;

	W.mode = t->interrupted ? ACCESS_HARD : frames_open(t->frames) ? ACCESS_OPEN : 0;
}

#endif
