/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happened in a run, event by event. The last EVENT_RING of them are always kept, as numbers; a run with
 * sim_config.record keeps all of them, and each access to memory too. They change nothing in the run: no draw, no hash.
 * steps.c puts them into words for a report, picture.c draws them.
 */
#ifndef OB_SIM_EVENT_H
#define OB_SIM_EVENT_H

#include "sim/world.h"

#define EVENT_RING  256u        /* a power of two, as the next */
#define EVENT_WHOLE (1u << 22u) /* of a recorded run at most; the last ones, that is */

enum event_kind {
	EVENT_NONE,
	EVENT_SWITCH,     /* a: to which thread; b: what it waits for, a string, or 0; flags: enum event_why */
	EVENT_WAKE,       /* a: which thread */
	EVENT_EXPIRED,    /* its time to sleep is over */
	EVENT_SPAWN,      /* a: which thread */
	EVENT_TASK,       /* a: what tells the task that goes on from others */
	EVENT_RAISE,      /* an interrupt; a: its descriptor */
	EVENT_TAKE,       /* … is seen by a CPU */
	EVENT_HARD_BEGIN, /* … in the midst of something */
	EVENT_HARD_END,   /* … */
	EVENT_POST,       /* a: address; b: value; link: number of the access; flags: enum posted_kind, EVENT_SEVERAL */
	EVENT_ARRIVE,     /* … at the device */
	EVENT_ANSWER,     /* … with its answer, which is known to the CPU */
	EVENT_BARRIER,    /* flags: enum event_barrier */
	EVENT_DMA_READ,   /* a: address; b: bytes */
	EVENT_DMA_WRITE,  /* …; flags: 1 for the word that tells of the rest */
	EVENT_COMMAND,    /* a, b: as the device's type has it; link: which device */
	EVENT_COMPLETION, /* … */
	EVENT_FAULT,      /* a: its name, a string */
	EVENT_VISIBLE, /* of stores: a: address; b: bytes, 0: in several places; flags: how many; link: the first one's step */
	EVENT_OLD,         /* a load finds what was overwritten; a: address; b: bytes; link: how many times more */
	EVENT_SEEN,        /* … finds what the device tells of its writes by */
	EVENT_LOCK,        /* a: address; b: name, or 0 */
	EVENT_UNLOCK,      /* … */
	EVENT_REQUEST,     /* a: address */
	EVENT_REQUEST_END, /* … */
	EVENT_ALLOC,       /* a: address; b: bytes */
	EVENT_FREE,        /* … */
	EVENT_MAP,         /* a: I/O address; b: bytes; flags: rights */
	EVENT_UNMAP,       /* … */
	EVENT_LOG,         /* a: which line */
	EVENT_READ,        /* recorded runs: a: address; b: bytes; flags: ACCESS_… */
	EVENT_WRITE,       /* … */
	EVENT_STATE,       /* of a device; a: before; b: now; link: which device */
	EVENT_REPORT,      /* a: the address that it is about, or 0 */
	EVENT_KINDS
};

#define EVENT_SEVERAL 0x80u /* of accesses to a device's memory, b: bytes */

enum event_why {
	EVENT_PREEMPTED,
	EVENT_STALLED,
	EVENT_WAITS,
	EVENT_YIELDS,
	EVENT_ENDED,
};

enum event_barrier {
	EVENT_DMA_WMB,
	EVENT_DMA_RMB,
	EVENT_DMA_MB,
	EVENT_MMIO_WMB,
	EVENT_MMIO_RMB,
	EVENT_FENCE,
};

struct event {
	uint64_t time_ns, a, b;
	uint32_t step, pc, link;
	uint8_t kind, thread, context, flags;
};

struct event_log {
	uint64_t count; /* all that happened; the last ones are kept */
};

extern struct event_log event_log;
extern struct event *event_buffer;
extern uint32_t event_mask;

void event_reset(bool whole);

/* By @thread. */
static inline struct event *event_of(const struct thread *thread, enum event_kind kind, uint64_t a, uint64_t b)
{
	struct event *e = &event_buffer[event_log.count++ & event_mask];

	*e = (struct event){
		.time_ns = W.now_ns,
		.a = a,
		.b = b,
		.step = (uint32_t)W.steps,
		.pc = thread->pc,
		.kind = (uint8_t)kind,
		.thread = (uint8_t)thread->id,
		.context = (uint8_t)thread->data.context,
	};
	return e;
}

static inline struct event *event_add(enum event_kind kind, uint64_t a, uint64_t b)
{
	return event_of(W.current, kind, a, b);
}

/* By who called the innermost instrumented function: for what core does for others. */
static inline uint32_t event_caller(void)
{
	const struct frames *f = W.current->frames;

	return f->depth > 0 && f->depth <= FRAME_MAX ? f->pc[f->depth - 1] & FRAME_PC : 0;
}

static inline bool event_records_all(void)
{
	return event_mask != EVENT_RING - 1;
}

/* How many are kept, and the @index-th of them, from the oldest. */
static inline unsigned event_kept(void)
{
	return (unsigned)MIN(event_log.count, (uint64_t)event_mask + 1);
}

static inline struct event *event_at(unsigned index)
{
	return &event_buffer[(event_log.count - event_kept() + index) & event_mask];
}

void event_switch(const struct thread *from, const struct thread *to);
void event_visible(unsigned thread, uintptr_t address, size_t len_bytes, uint32_t step, uint32_t pc);
void event_old(uintptr_t address, size_t len_bytes);

/* steps.c: @e in words, without time, thread and place. What follows of the same kind may be told with it. */
void event_text(const struct event *e, char *text, size_t size);
const char *event_barrier_name(unsigned barrier);
/* view.c: what lies at @address, by a device's own names where it has some. */
void event_memory(uintptr_t address, char *text, size_t size);
/* view.c: a device's own words for what happened to it, and its register's name. */
void event_device(const struct event *e, char *text, size_t size);
void event_register(const struct event *e, char *text, size_t size);
/* Does it touch the line of memory that the report is about? */
bool event_locks_matter(void);
/* Is the report about memory that a device shares, and the event about what CPUs share among themselves? */
bool event_is_elsewhere(const struct event *e);
bool event_is_near(const struct event *e);
/* Is it told with the one before it, as another piece of the same? */
bool event_continues(const struct event *e, const struct event *before);
void event_merge(struct event *into, const struct event *next);
/* Puts the last steps into the report. */
void event_tell_steps(void);

#endif
