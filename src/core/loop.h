/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of a CPU, shared by the files that make up its loop: cpu.c (turns), work.c (what other threads send),
 * poll.c, timer.c, task.c, event.c, trace.c. Nobody else includes it.
 */
#ifndef OB_CORE_LOOP_H
#define OB_CORE_LOOP_H

#include <assert.h>

#include "base/list.h"
#include "core/context.h"
#include "core/cpu.h"
#include "core/os.h"

/* What one turn does at most of each kind, so that none starves the others. */
#define TURN_FDS    64
#define TURN_WORK   256
#define TURN_TIMERS 256

#define LOOK_EVERY_NS  OB_NS_PER_MS /* at the descriptors, while channels are polled */
#define STACK_BYTES    (64 * OB_KIB)
#define TASK_CACHE_MAX 16 /* ended tasks that keep their stacks for the next, per CPU */

enum task_state {
	TASK_READY, /* in the ready list, or on its way to it */
	TASK_RUNNING,
	TASK_WAITING,
	TASK_DONE, /* its function returned */
	TASK_IDLE, /* in the cache */
	TASK_QUIT, /* its fiber is to end */
};

/* How a task's end and its joiner meet; __atomic: either may come first. */
enum task_end {
	TASK_END_OPEN,   /* neither */
	TASK_END_JOINED, /* somebody waits for ob_task.ended */
	TASK_END_DONE,
};

struct ob_task {
	struct list link; /* ob_cpu.tasks or task_cache; under task_lock */
	struct ob_cpu *cpu;
	struct os_fiber *fiber;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	/* owner CPU */
	enum task_state state;
	struct ob_task *ready_next;
	struct ob_timer timer;     /* the deadline of a wait */
	struct ob_task *lock_next; /* in ob_mutex */
	/* any thread */
	bool detached;
	unsigned end;
	struct ob_event ended;
	struct ob_work start; /* carries a task that another thread spawned */
};

struct ob_cpu {
	struct ob_cpu_head head;

	/* the loop's own; on the home thread also between turns */
	struct ob_poll *polls, *polls_last; /* to be polled at each turn */
	struct ob_poll *poll_next, *poll_running;
	unsigned poll_count;
	unsigned busy_count; /* of these, polled for being polled, or in a hybrid's window */
	bool poll_new;       /* something was scheduled since the last pass */
	bool raised;         /* the poller was woken to keep ob_cpu_fd() readable */
	uint64_t look_ns;    /* when to look at the descriptors next */
	struct ob_work *work_first, *work_last;
	struct ob_timer *timers; /* a pairing heap's root */
	struct ob_task *ready_first, *ready_last;
	unsigned ready_count;
	struct ob_task *task;   /* that runs now */
	struct os_fiber *fiber; /* the stack of the thread that turns */
	struct os_poller *poller;
	struct os_ready ready[TURN_FDS]; /* descriptors that are being served */
	unsigned ready_fds;
	uint64_t looks; /* at the descriptors; for tests */
	/* what polls with a share of the CPU go by */
	unsigned share_count;     /* of them */
	uint64_t awake_ns;        /* CPU time of the threads that turned this, up to … */
	uint64_t awake_at_ns;     /* … this time */
	uint64_t awake_thread_ns; /* what the thread's own clock said then */
	uint64_t awake_thread;    /* which thread */
	uint64_t slept_ns;        /* since then */

	/* trace.c */
	struct ob_trace_event *trace_events;
	uint64_t trace_mask, trace_head;

	/* fixed */
	struct ob *ob;
	unsigned index;

	/* threads: __atomic */
	_Alignas(OB_CACHE_LINE) struct ob_work *inbox; /* newest first */
	unsigned awake;    /* whoever posts need not wake: the inbox is looked at before the next sleep */
	bool embedded;     /* somebody sleeps on ob_cpu_fd() between turns */
	uint64_t runner;   /* the thread inside the loop, or 0 */
	uint64_t home;     /* the home thread */
	unsigned stopping; /* ob_cpu_stop() */
	unsigned started;  /* futex: the thread of ob_cpu_start() runs */
	struct os_thread *thread;
	struct ob_lock task_lock;
	struct list tasks, task_cache;
	unsigned task_cached;
};

/* May this thread touch what belongs to the CPU? Its loop runs here, or this is its home between turns. */
bool cpu_is_owned(const struct ob_cpu *cpu);
/* The home thread gave the CPU something to do between turns: whoever sleeps on ob_cpu_fd() must see it. */
void cpu_touch(struct ob_cpu *cpu);
/* Enter the loop without turning it; false when somebody is inside. */
bool cpu_enter(struct ob_cpu *cpu);
void cpu_leave(struct ob_cpu *cpu);
/* Make a sleeping CPU look around, from any thread. */
void cpu_kick(struct ob_cpu *cpu);

/* CPU time that the loop's thread has taken; within microseconds while share_count > 0. Owner CPU. */
uint64_t cpu_awake_ns(struct ob_cpu *cpu);

/* work.c */
void work_push(struct ob_cpu *cpu, struct ob_work *work);   /* any thread */
bool work_cancel(struct ob_cpu *cpu, struct ob_work *work); /* owner; false: it is not there */
unsigned work_run(struct ob_cpu *cpu);
void work_drop(struct ob_cpu *cpu); /* what nobody will run any more */

/* poll.c */
unsigned polls_run(struct ob_cpu *cpu, bool all); /* all, or only what is not polled for ever */

/* timer.c */
unsigned timers_run(struct ob_cpu *cpu);

/* task.c */
unsigned tasks_run(struct ob_cpu *cpu, struct os_thread_data *self);
void tasks_drop(struct ob_cpu *cpu);
/* Suspend the running task until task_wake() or the deadline; spurious returns are possible. */
void task_wait(uint64_t deadline_ns);
void task_wake(struct ob_task *task); /* owner CPU; nothing happens when it does not wait */

/* trace.c */
int trace_create(struct ob_cpu *cpu, unsigned events);
void trace_destroy(struct ob_cpu *cpu);

#endif
