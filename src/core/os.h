/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What core takes from the operating system. os_linux.c implements it; a simulated build brings its own (src/sim/).
 * Nothing above core, and nothing in core outside of os_*.c, calls the system for these.
 */
#ifndef OB_CORE_OS_H
#define OB_CORE_OS_H

#include <outboard/types.h>

uint64_t os_now_ns(void);
uint64_t os_thread_cpu_ns(void); /* CPU time that this thread has taken */

void *os_alloc(size_t len_bytes, size_t align_bytes); /* zeroed; NULL: none */
void os_free(void *memory);

/* ---- readiness of descriptors; one poller per CPU ---- */
struct os_poller;
struct os_ready {
	void *arg;
};

int os_poller_create(struct os_poller **out);
void os_poller_destroy(struct os_poller *p);
int os_poller_fd(struct os_poller *p);
int os_poller_add(struct os_poller *p, int fd, void *arg); /* readable, level-triggered */
void os_poller_remove(struct os_poller *p, int fd);
/* At most @max ready ones; sleeps at most @timeout_ns. Returns how many, or negative errno. */
int os_poller_wait(struct os_poller *p, struct os_ready *ready, unsigned max, uint64_t timeout_ns);
/* Make os_poller_fd() readable at @when_ns too; UINT64_MAX: never. Skips the system call when nothing changes. */
void os_poller_set_timer(struct os_poller *p, uint64_t when_ns);
/*
 * Make the poller return and os_poller_fd() readable, from any thread, until os_poller_clear(). Waking it again
 * meanwhile makes no system call; nor does clearing it when nothing woke it.
 */
void os_poller_wake(struct os_poller *p);
void os_poller_clear(struct os_poller *p);
/* Sleep until one of @count (at most 64) descriptors of os_poller_fd() is readable, or @timeout_ns passed. */
void os_fds_wait(const int *fds, unsigned count, uint64_t timeout_ns);

/* An eventfd: returns whether it had fired, and clears it. Does not wait, whatever others make of the descriptor. */
bool os_eventfd_take(int fd);

/*
 * No interrupt handler that runs before this on the CPU also runs behind it, or the other way: for the simulated build,
 * whose interrupts come in the midst of drivers.
 */
#if defined(OB_SIMULATED)
void os_handlers_apart(void);
#else
static inline void os_handlers_apart(void)
{
}
#endif

/* ---- threads ---- */
struct os_thread;
int os_thread_create(struct os_thread **out, const char *name, int host_cpu, void (*fn)(void *arg), void *arg);
void os_thread_join(struct os_thread *t);
/*
 * What core keeps of each thread; zero at first, but for the id, which is unique and never used again. A pointer to it
 * must not be kept across a switch of fibers: a task may go on on another thread.
 */
struct os_thread_data {
	uint64_t id;
	void *cpu;
	unsigned context;
};

struct os_thread_data *os_thread_data(void);

/* Sleep while *word == value, at most until deadline_ns; wake all sleepers. */
void os_futex_wait(unsigned *word, unsigned value, uint64_t deadline_ns);
void os_futex_wake(unsigned *word);

/* ---- stackful contexts ---- */
struct os_fiber;
/* A fiber that starts in fn(arg) at its first switch; stack_bytes plus a guard page. fn must not return. */
int os_fiber_create(struct os_fiber **out, size_t stack_bytes, void (*fn)(void *arg), void *arg);
/* One for the thread's own stack. */
int os_fiber_adopt_thread(struct os_fiber **out);
void os_fiber_destroy(struct os_fiber *f);
/* Leave @from, continue @to. @last: @from will never run again. */
void os_fiber_switch(struct os_fiber *from, struct os_fiber *to, bool last);

#endif
