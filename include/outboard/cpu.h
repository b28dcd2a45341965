/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs, tasks, timers, events.
 *
 * A CPU is one event loop on one thread. What belongs to a CPU (queue pairs, timers, work, its trace ring) only that
 * CPU touches, so the I/O path takes no lock. A program lets Outboard run the loop on a thread of its own
 * (ob_cpu_start), or runs it itself: ob_cpu_turn() for one turn and ob_cpu_fd() to sleep on.
 *
 * Code runs in one of three contexts:
 *  - hard: an interrupt's top half. Acknowledge and schedule; never wait, never allocate.
 *  - soft: bottom halves, timers, work, completions. Never wait.
 *  - task: a stackful coroutine on one CPU. The only context that may wait, always with a deadline.
 * A plain thread is none of them; what it may call says so.
 *
 * Deadlines are absolute, in nanoseconds of ob_now_ns(). OB_FOREVER does not exist on purpose.
 *
 * A CPU has a home thread: the one that made the context, until ob_cpu_start() gives it a thread of its own or another
 * thread turns it. A plain thread that waits (ob_event_wait and all that builds on it) meanwhile turns the CPUs whose
 * home it is; for CPUs with another home it sleeps. So a program of one thread needs no loop at all, and a program of
 * several starts its CPUs.
 */
#ifndef OUTBOARD_CPU_H
#define OUTBOARD_CPU_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_cpu;
struct ob_task;

#define OB_CPU_MAX 64

/** ob_now_ns - monotonic time; virtual in a simulated build. Any context. */
uint64_t ob_now_ns(void);

/** ob_deadline - the time @timeout_ns from now, saturating */
static inline uint64_t ob_deadline(uint64_t timeout_ns)
{
	uint64_t now = ob_now_ns();

	return now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
}

/** ob_cpu_get - CPU @index of the context, or NULL when there is none. CPU 0 is where devices are probed and reset. */
struct ob_cpu *ob_cpu_get(struct ob *ob, unsigned index);
/** ob_cpu_count, ob_cpu_index, ob_cpu_context - fixed for the context's life; any context */
unsigned ob_cpu_count(const struct ob *ob);
unsigned ob_cpu_index(const struct ob_cpu *cpu);
struct ob *ob_cpu_context(const struct ob_cpu *cpu);

/* Every CPU starts with this; it is read inline. Written by the CPU's own loop, but for trace_on. */
struct ob_cpu_head {
	bool trace_on;
	uint64_t now_ns; /* ob_now_ns() at the start of the turn */
};

/** ob_cpu_time_ns - the time as the CPU's current turn began: no clock is read. For stamps on the I/O path. */
static inline uint64_t ob_cpu_time_ns(const struct ob_cpu *cpu)
{
	return ((const struct ob_cpu_head *)(const void *)cpu)->now_ns;
}

/** ob_cpu_current - the CPU whose loop runs on this thread now, or NULL on a plain thread */
struct ob_cpu *ob_cpu_current(void);

/**
 * ob_cpu_start - run the loop on a thread of Outboard's own until ob_cpu_stop()
 * @cpu:  not running
 * @host: host CPU number to pin the thread to, or -1
 *
 * Return: 0; -EBUSY it runs already, or a program turns it; -EAGAIN no thread to be had; -EINVAL no such host CPU.
 */
int ob_cpu_start(struct ob_cpu *cpu, int host);

/** ob_cpu_stop - end the thread of ob_cpu_start() after its current turn, and join it. A plain thread. */
void ob_cpu_stop(struct ob_cpu *cpu);

/**
 * ob_cpu_turn - one turn of the loop: poll what is polled, deliver interrupts, run timers, work and ready tasks
 * @cpu:        one thread at a time turns it
 * @timeout_ns: how long the turn may sleep when there is nothing to do; 0 never sleeps
 *
 * While some channel is polled a turn makes no system call, except a look at the CPU's descriptors once per
 * millisecond.
 * Context: a plain thread.
 * Return: the number of things done, 0 when idle; -EBUSY another thread is in its loop; -EDEADLK called from inside a
 * loop.
 */
int ob_cpu_turn(struct ob_cpu *cpu, uint64_t timeout_ns);

/**
 * ob_cpu_fd - a descriptor that is readable when the CPU has something to do
 *
 * For embedding into another event loop (epoll, libuv, GLib): poll it for reading, call ob_cpu_turn(cpu, 0) when it is
 * readable, until that returns 0. Timers of the CPU make it readable too. Valid for the CPU's life; do not read or
 * close it. ob_cpu_start() ends this: after ob_cpu_stop() ask for it once more.
 */
int ob_cpu_fd(struct ob_cpu *cpu);

/* ---- work: a function to be called once, in soft context, on a certain CPU ---- */

struct ob_work {
	void (*fn)(struct ob_work *work);
	/* private */
	struct ob_work *next;
	unsigned pending;
};

/** ob_work_init - before the first post, and never while it waits */
static inline void ob_work_init(struct ob_work *work, void (*fn)(struct ob_work *work))
{
	work->fn = fn;
	work->next = NULL;
	work->pending = 0;
}

/**
 * ob_cpu_post - have @work's function called on @cpu
 * @work: the caller's; must live until it ran. Posting it again while it waits is a no-op that returns false.
 *
 * Context: any, and any thread. The function sees all that the poster wrote before.
 */
bool ob_cpu_post(struct ob_cpu *cpu, struct ob_work *work);

/**
 * ob_cpu_call - run @fn once on @cpu, in soft context, and wait until it returned
 *
 * Called on @cpu itself it is a plain call.
 * Context: task, or a plain thread.
 * Return: 0; -ETIMEDOUT: it did not run and will not; -ENOMEM.
 */
int ob_cpu_call(struct ob_cpu *cpu, void (*fn)(void *arg), void *arg, uint64_t deadline_ns);

/**
 * ob_cpu_call_firmly - ob_cpu_call() for what has nothing to fall back on: for want of memory it is tried again
 *
 * Context: task, or a plain thread.
 * Return: 0; -ETIMEDOUT: it did not run and will not; -ENOMEM: nor was there any memory until @deadline_ns.
 */
int ob_cpu_call_firmly(struct ob_cpu *cpu, void (*fn)(void *arg), void *arg, uint64_t deadline_ns);

/* ---- descriptors: a function to be called when one is readable ---- */

struct ob_fd {
	int fd;
	/* hard context; level-triggered: it takes what makes it readable, or removes it */
	void (*fn)(struct ob_fd *fd);
};

/**
 * ob_fd_add - have @cpu wait for a descriptor, too
 * @fd: the caller's, until it is removed again
 *
 * While channels are polled the CPU looks at its descriptors once per millisecond, otherwise in each turn.
 * Context: any of @cpu; else a task, or a plain thread.
 * Return: 0; -ENOMEM; -EPERM no descriptor of a kind that can be waited for; -EEXIST @cpu waits for it already.
 */
int ob_fd_add(struct ob_cpu *cpu, struct ob_fd *fd);
/** ob_fd_remove - it was added to @cpu. Afterwards the function does not run. Same context. */
void ob_fd_remove(struct ob_cpu *cpu, struct ob_fd *fd);

/* ---- timers ---- */

struct ob_timer {
	void (*fn)(struct ob_timer *timer); /* soft context; may start the timer again */
	/* private */
	struct ob_cpu *cpu;
	uint64_t expires_ns;
	struct ob_timer *child, *sibling, *prev;
	bool queued;
};

/** ob_timer_init - prepare a timer of @cpu; only that CPU may start or stop it (soft or task context) */
void ob_timer_init(struct ob_timer *timer, struct ob_cpu *cpu, void (*fn)(struct ob_timer *timer));
/** ob_timer_start - (re)arm for the absolute time @expires_ns */
void ob_timer_start(struct ob_timer *timer, uint64_t expires_ns);
/** ob_timer_stop - disarm; afterwards the function does not run. Returns whether it was armed. */
bool ob_timer_stop(struct ob_timer *timer);

/* ---- tasks ---- */

/**
 * ob_task_spawn - start a coroutine on @cpu
 * @name: for reports; static
 * @fn:   its body
 * @out:  for ob_task_join(), which must then be called; or NULL: detached, it frees itself
 *
 * Context: any but hard, and any thread.
 * Return: 0; -ENOMEM.
 */
int ob_task_spawn(struct ob_cpu *cpu, const char *name, void (*fn)(void *arg), void *arg, struct ob_task **out);

/**
 * ob_task_join - wait for the task's end and free it
 *
 * Context: task, or a plain thread.
 * Return: 0; -ETIMEDOUT, the task goes on and must be joined again.
 */
int ob_task_join(struct ob_task *task, uint64_t deadline_ns);

/** ob_task_current - the running task, or NULL outside of one */
struct ob_task *ob_task_current(void);
/** ob_task_sleep - suspend the task until the time @until_ns. Task context. */
void ob_task_sleep(uint64_t until_ns);
/** ob_task_yield - let the rest of the CPU have a turn. Task context. */
void ob_task_yield(void);

/* ---- events: something that happens, and who waits for it ---- */

/*
 * A counting event of one CPU. Put it on the stack or into an object. A signal that a wait consumed has let go of the
 * event: it may be freed when as many waits returned 0 as there were signals. After a wait that timed out see to it
 * first that nobody signals any more, then call ob_event_reset(), which takes back what is on its way.
 */
struct ob_event {
	/* private */
	struct ob_cpu *cpu;
	unsigned count; /* signals not yet consumed, and who waits: event.c */
	struct ob_task *waiter;
	struct ob_work work;
};

/** ob_event_init - an event of @cpu: only tasks of that CPU, or plain threads, wait for it, one at a time */
void ob_event_init(struct ob_event *event, struct ob_cpu *cpu);
/** ob_event_signal - count one up and wake the waiter. Any context, any thread. */
void ob_event_signal(struct ob_event *event);
/**
 * ob_event_wait - consume one signal, waiting for it
 *
 * In a task it suspends the task. On a plain thread it turns the CPU's loop when nobody else does, and sleeps
 * otherwise.
 * Return: 0; -ETIMEDOUT; -EDEADLK called in soft or hard context.
 */
int ob_event_wait(struct ob_event *event, uint64_t deadline_ns);
/** ob_event_reset - forget the signals that were not consumed. Tasks of the event's CPU, or a plain thread. */
void ob_event_reset(struct ob_event *event);

/* ---- locks ---- */

/* For short critical sections between CPUs; never held across a wait; not in hard context. Not for the I/O path. */
struct ob_lock {
	unsigned word; /* private */
	const char *name;
};

/** ob_lock_init - @name: its class, for reports; static */
void ob_lock_init(struct ob_lock *lock, const char *name);
/** ob_lock, ob_unlock - soft or task context, or a plain thread */
void ob_lock(struct ob_lock *lock);
void ob_unlock(struct ob_lock *lock);

/* A lock for tasks of one CPU, which may be held across waits; first come, first served. */
struct ob_mutex {
	struct ob_task *owner;
	struct ob_task *first, *last; /* who waits */
	const char *name;
};

/** ob_mutex_init - @name: its class, for reports; static */
void ob_mutex_init(struct ob_mutex *mutex, const char *name);
/** ob_mutex_lock - Task context. Return: 0; -ETIMEDOUT. */
int ob_mutex_lock(struct ob_mutex *mutex, uint64_t deadline_ns);
/** ob_mutex_unlock - by the task that has it; the next one that waits gets it */
void ob_mutex_unlock(struct ob_mutex *mutex);

/* ---- memory ---- */

/** ob_alloc - zeroed memory of the kit's heap, aligned to a cache line; NULL when there is none. Not hard context. */
void *ob_alloc(size_t len_bytes);
/** ob_free - memory of ob_alloc(), and text that the library gave out; NULL is fine. Not hard context. */
void ob_free(void *memory);
/** ob_cpu_relax - one pause inside a bounded busy loop */
void ob_cpu_relax(void);

#ifdef __cplusplus
}
#endif
#endif
