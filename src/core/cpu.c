/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU's loop. One turn: what is polled, descriptors (hard), work (soft), timers, ready tasks; each bounded.
 *
 * Who sleeps where: a turn sleeps in its poller when it has nothing to do and may; a program that embeds the loop
 * sleeps on ob_cpu_fd(). Only then is `awake` 0, and only then does a poster make the system call that wakes. Both
 * sides publish first and look second (the poster its work, then awake; the loop awake, then the inbox), with
 * sequentially consistent accesses, so one of them sees the other.
 */
#include <errno.h>
#include <stdio.h>

#include "base/bits.h"
#include "core/loop.h"
#include "core/watch.h"

/* A thread of ob_cpu_start() looks up this often even when nothing wakes it. */
#define THREAD_SLEEP_NS (10 * OB_NS_PER_S)
#define AWAKE_EVERY_NS  OB_NS_PER_MS /* how often the thread's CPU clock is looked at, where somebody needs it */

uint64_t ob_now_ns(void)
{
	return os_now_ns();
}

struct ob_cpu *ob_cpu_get(struct ob *ob, unsigned index)
{
	return index < ob->cpu_count ? ob->cpus[index] : NULL;
}

unsigned ob_cpu_count(const struct ob *ob)
{
	return ob->cpu_count;
}

unsigned ob_cpu_index(const struct ob_cpu *cpu)
{
	return cpu->index;
}

struct ob *ob_cpu_context(const struct ob_cpu *cpu)
{
	return cpu->ob;
}

struct ob_cpu *ob_cpu_current(void)
{
	return os_thread_data()->cpu;
}

enum cpu_context cpu_context(void)
{
	return (enum cpu_context)os_thread_data()->context;
}

bool cpu_is_home(const struct ob_cpu *cpu)
{
	struct os_thread_data *self = os_thread_data();

	return self->context == CPU_CONTEXT_PLAIN && __atomic_load_n(&cpu->home, __ATOMIC_RELAXED) == self->id;
}

bool cpu_is_owned(const struct ob_cpu *cpu)
{
	return os_thread_data()->cpu == cpu || cpu_is_home(cpu);
}

void cpu_kick(struct ob_cpu *cpu)
{
	os_poller_wake(cpu->poller);
}

void cpu_touch(struct ob_cpu *cpu)
{
	if (cpu->raised || !__atomic_load_n(&cpu->embedded, __ATOMIC_RELAXED) || os_thread_data()->cpu == cpu)
		return;
	cpu->raised = true;
	os_poller_wake(cpu->poller);
}

/* ---- a turn ---- */

static bool has_work(const struct ob_cpu *cpu)
{
	return cpu->poll_count || cpu->work_first || cpu->ready_count || __atomic_load_n(&cpu->inbox, __ATOMIC_RELAXED);
}

/* How long a turn may sleep: not at all when there is something to do, and not past the next timer. */
static uint64_t sleep_limit(const struct ob_cpu *cpu, uint64_t timeout_ns)
{
	uint64_t now = cpu->head.now_ns;

	if (has_work(cpu))
		return 0;
	if (!cpu->timers)
		return timeout_ns;
	return cpu->timers->expires_ns <= now ? 0 : MIN(timeout_ns, cpu->timers->expires_ns - now);
}

/*
 * The thread's CPU clock is a system call: a look at it now and then puts right what is otherwise reckoned from the time
 * and the sleep, which does not see what the kernel does on the way there and back, nor other threads on this CPU.
 */
uint64_t cpu_awake_ns(struct ob_cpu *cpu)
{
	uint64_t now = cpu->head.now_ns, thread = os_thread_data()->id;

	if (now - cpu->awake_at_ns >= AWAKE_EVERY_NS || thread != cpu->awake_thread) {
		uint64_t taken_ns = os_thread_cpu_ns();

		if (thread == cpu->awake_thread)
			cpu->awake_ns += taken_ns - cpu->awake_thread_ns;
		cpu->awake_thread = thread;
		cpu->awake_thread_ns = taken_ns;
		cpu->awake_at_ns = now;
		cpu->slept_ns = 0;
	}
	return cpu->awake_ns + (now - cpu->awake_at_ns) - MIN(cpu->slept_ns, now - cpu->awake_at_ns);
}

static void woken(struct ob_cpu *cpu, uint64_t asleep_ns)
{
	cpu->head.now_ns = os_now_ns();
	if (asleep_ns > 0)
		cpu->slept_ns += cpu->head.now_ns - asleep_ns;
}

/* Look at the descriptors, sleeping at most @timeout_ns, and serve them in hard context. */
static unsigned look(struct ob_cpu *cpu, struct os_thread_data *self, uint64_t timeout_ns)
{
	uint64_t asleep_ns = 0;
	int count;

	if (timeout_ns > 0) {
		__atomic_exchange_n(&cpu->awake, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&cpu->inbox, __ATOMIC_SEQ_CST))
			timeout_ns = 0;
	}
	if (timeout_ns > 0 && cpu->share_count > 0)
		asleep_ns = os_now_ns();
	watch_sleep(timeout_ns > 0 ? &cpu->inbox : NULL);
	count = os_poller_wait(cpu->poller, cpu->ready, TURN_FDS, timeout_ns);
	watch_sleep(NULL);
	__atomic_store_n(&cpu->awake, 1, __ATOMIC_RELAXED);
	/* Before the inbox is emptied: see os_poller_clear(). */
	if (!cpu->raised)
		os_poller_clear(cpu->poller);
	if (timeout_ns > 0)
		woken(cpu, asleep_ns);
	cpu->look_ns = cpu->head.now_ns + LOOK_EVERY_NS;
	cpu->looks++;
	if (count <= 0)
		return 0;
	cpu->ready_fds = (unsigned)count;
	self->context = CPU_CONTEXT_HARD;
	for (unsigned i = 0; i < cpu->ready_fds; i++) {
		struct ob_fd *fd = cpu->ready[i].arg;

		if (fd) /* else removed by one before it */
			fd->fn(fd);
	}
	cpu->ready_fds = 0;
	self->context = CPU_CONTEXT_SOFT;
	return (unsigned)count;
}

/* The turn is over and somebody sleeps on the descriptor: readable now, at the next timer, or when others post. */
static void settle(struct ob_cpu *cpu)
{
	if (!has_work(cpu)) {
		cpu->raised = false;
		os_poller_clear(cpu->poller);
		os_poller_set_timer(cpu->poller, cpu->timers ? cpu->timers->expires_ns : UINT64_MAX);
		__atomic_exchange_n(&cpu->awake, 0, __ATOMIC_SEQ_CST);
		if (OB_LIKELY(!__atomic_load_n(&cpu->inbox, __ATOMIC_SEQ_CST)))
			return;
		__atomic_store_n(&cpu->awake, 1, __ATOMIC_RELAXED);
	}
	if (!cpu->raised) {
		cpu->raised = true;
		os_poller_wake(cpu->poller);
	}
}

static unsigned turn(struct ob_cpu *cpu, struct os_thread_data *self, uint64_t timeout_ns)
{
	unsigned done = 0;

	cpu->head.now_ns = os_now_ns();
	if (cpu->poll_count)
		done += polls_run(cpu, true);
	if (cpu->busy_count == 0 || cpu->head.now_ns >= cpu->look_ns) {
		cpu->poll_new = false;
		done += look(cpu, self, done == 0 && timeout_ns ? sleep_limit(cpu, timeout_ns) : 0);
		/* An interrupt's completions are taken in the turn that saw it. */
		if (cpu->poll_new)
			done += polls_run(cpu, false);
	}
	if (cpu->work_first || __atomic_load_n(&cpu->inbox, __ATOMIC_RELAXED))
		done += work_run(cpu);
	if (cpu->timers && cpu->timers->expires_ns <= cpu->head.now_ns)
		done += timers_run(cpu);
	if (cpu->ready_count)
		done += tasks_run(cpu, self);
	if (OB_UNLIKELY(__atomic_load_n(&cpu->embedded, __ATOMIC_RELAXED)))
		settle(cpu);
	if (done > 0)
		OB_TRACE(cpu, OB_TRACE_TURN, done, 0, 0);
	return done;
}

/* ---- who turns ---- */

bool cpu_enter(struct ob_cpu *cpu)
{
	uint64_t nobody = 0;

	return __atomic_compare_exchange_n(&cpu->runner, &nobody, os_thread_data()->id, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

bool cpu_is_inside(const struct ob_cpu *cpu)
{
	return __atomic_load_n(&cpu->runner, __ATOMIC_ACQUIRE) != 0;
}

void cpu_leave(struct ob_cpu *cpu)
{
	__atomic_store_n(&cpu->runner, 0, __ATOMIC_RELEASE);
}

int ob_cpu_turn(struct ob_cpu *cpu, uint64_t timeout_ns)
{
	struct os_thread_data *self = os_thread_data();
	unsigned done;

	if (self->context != CPU_CONTEXT_PLAIN)
		return -EDEADLK;
	if (!cpu_enter(cpu))
		return -EBUSY;
	if (OB_UNLIKELY(__atomic_load_n(&cpu->home, __ATOMIC_RELAXED) != self->id))
		__atomic_store_n(&cpu->home, self->id, __ATOMIC_RELAXED);
	self->cpu = cpu;
	self->context = CPU_CONTEXT_SOFT;
	done = turn(cpu, self, timeout_ns);
	self->context = CPU_CONTEXT_PLAIN;
	self->cpu = NULL;
	cpu_leave(cpu);
	return (int)MIN(done, (unsigned)INT32_MAX);
}

int ob_cpu_fd(struct ob_cpu *cpu)
{
	/* Readable at first, so that the program's first turn sets it right. */
	if (!__atomic_exchange_n(&cpu->embedded, true, __ATOMIC_SEQ_CST))
		cpu_kick(cpu);
	return os_poller_fd(cpu->poller);
}

static void thread_main(void *arg)
{
	struct ob_cpu *cpu = arg;
	struct os_thread_data *self = os_thread_data();

	/* The thread that started us claimed the loop for us. */
	__atomic_store_n(&cpu->runner, self->id, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->home, self->id, __ATOMIC_RELAXED);
	self->cpu = cpu;
	self->context = CPU_CONTEXT_SOFT;
	/* Whoever slept on the descriptor before, a waiting thread for one, turns it no longer. */
	__atomic_store_n(&cpu->embedded, false, __ATOMIC_RELAXED);
	cpu->raised = false;
	os_poller_set_timer(cpu->poller, UINT64_MAX);
	__atomic_store_n(&cpu->started, 1, __ATOMIC_RELEASE);
	os_futex_wake(&cpu->started);
	while (!__atomic_load_n(&cpu->stopping, __ATOMIC_ACQUIRE))
		turn(cpu, self, THREAD_SLEEP_NS);
	self->context = CPU_CONTEXT_PLAIN;
	self->cpu = NULL;
}

int ob_cpu_start(struct ob_cpu *cpu, int host)
{
	char name[16];
	int rc;

	if (!cpu_enter(cpu))
		return -EBUSY;
	snprintf(name, sizeof(name), "ob-cpu%u", cpu->index);
	__atomic_store_n(&cpu->stopping, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->started, 0, __ATOMIC_RELAXED);
	rc = os_thread_create(&cpu->thread, name, host, thread_main, cpu);
	if (rc < 0) {
		cpu_leave(cpu);
		return rc == -EINVAL ? -EINVAL : -EAGAIN;
	}
	/* It has its home when this returns; a created thread does start. */
	while (!__atomic_load_n(&cpu->started, __ATOMIC_ACQUIRE))
		os_futex_wait(&cpu->started, 0, ob_deadline(OB_NS_PER_S));
	return 0;
}

void ob_cpu_stop(struct ob_cpu *cpu)
{
	struct os_thread *thread = __atomic_exchange_n(&cpu->thread, NULL, __ATOMIC_ACQ_REL);

	if (!thread)
		return;
	__atomic_store_n(&cpu->stopping, 1, __ATOMIC_SEQ_CST);
	cpu_kick(cpu);
	os_thread_join(thread);
	__atomic_store_n(&cpu->home, os_thread_data()->id, __ATOMIC_RELAXED);
	cpu_leave(cpu);
}

/* ---- descriptors ---- */

int ob_fd_add(struct ob_cpu *cpu, struct ob_fd *fd)
{
	if (hooks_fail(cpu->ob, "ob_fd_add"))
		return -ENOMEM;
	return os_poller_add(cpu->poller, fd->fd, fd);
}

struct fd_removal {
	struct ob_cpu *cpu;
	struct ob_fd *fd;
};

/* It may be among those that are being served. Owner CPU. */
static void fd_forget(void *arg)
{
	struct fd_removal *removal = arg;

	for (unsigned i = 0; i < removal->cpu->ready_fds; i++)
		if (removal->cpu->ready[i].arg == removal->fd)
			removal->cpu->ready[i].arg = NULL;
}

void ob_fd_remove(struct ob_cpu *cpu, struct ob_fd *fd)
{
	uint64_t deadline_ns = ob_deadline(10 * OB_NS_PER_S);
	struct fd_removal removal = {cpu, fd};

	os_poller_remove(cpu->poller, fd->fd);
	if (ob_cpu_current() == cpu) {
		fd_forget(&removal);
		return;
	}
	/* Either nobody is inside the loop, and then nothing is being served, or who is inside gets to it. */
	do {
		if (cpu_enter(cpu)) {
			cpu_leave(cpu);
			return;
		}
		if (ob_cpu_call(cpu, fd_forget, &removal, ob_deadline(10 * OB_NS_PER_MS)) == 0)
			return;
	} while (ob_now_ns() < deadline_ns);
	ob_err(cpu->ob, "cpu %u: stuck: descriptor %d may still be served", cpu->index, fd->fd);
}

/* ---- life ---- */

int cpu_create(struct ob *ob, unsigned index, unsigned trace_events, struct ob_cpu **out)
{
	struct ob_cpu *cpu = os_alloc(sizeof(*cpu), OB_CACHE_LINE);
	int rc;

	if (!cpu)
		return -ENOMEM;
	cpu->ob = ob;
	cpu->index = index;
	cpu->head.now_ns = os_now_ns();
	cpu->awake = 1;
	cpu->home = os_thread_data()->id;
	ob_lock_init(&cpu->task_lock, "tasks of a cpu");
	list_init(&cpu->tasks);
	list_init(&cpu->task_cache);
	rc = os_poller_create(&cpu->poller);
	if (rc < 0)
		goto free_cpu;
	rc = os_fiber_adopt_thread(&cpu->fiber);
	if (rc < 0)
		goto destroy_poller;
	rc = trace_create(cpu, trace_events);
	if (rc < 0)
		goto destroy_fiber;
	*out = cpu;
	return 0;

destroy_fiber:
	os_fiber_destroy(cpu->fiber);
destroy_poller:
	os_poller_destroy(cpu->poller);
free_cpu:
	os_free(cpu);
	return rc;
}

void cpu_destroy(struct ob_cpu *cpu)
{
	if (!cpu)
		return;
	ob_cpu_stop(cpu);
	work_drop(cpu);
	tasks_drop(cpu);
	trace_destroy(cpu);
	os_fiber_destroy(cpu->fiber);
	os_poller_destroy(cpu->poller);
	os_free(cpu);
}
