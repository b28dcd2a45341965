/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events. All that signalling needs is in one word, so that a signal is one atomic step and may be its last look at the
 * event: as soon as the waiter sees it, it may return and take the event's memory with it.
 *
 *  - the count of signals;
 *  - who waits: a task; a plain thread asleep on the word; or a plain thread that turns CPUs, and which CPU to wake;
 *  - POSTED: another thread's signal found a task waiting, and carries event.work to the task's CPU to wake it. Until
 * the work has run the waiter does not go, not even when its time is up.
 */
#include <errno.h>

#include "base/bits.h"
#include "core/loop.h"
#include "core/watch.h"

#define NO_MEMORY_RETRY_NS OB_NS_PER_MS

#define EVENT_COUNT  BITS(21, 0)
#define EVENT_CPU    BITS(27, 22) /* with TURNS */
#define EVENT_POSTED BIT(28)
#define EVENT_TASK   BIT(29)
#define EVENT_SLEEPS BIT(30)
#define EVENT_TURNS  BIT(31)
#define EVENT_WAITER (EVENT_CPU | EVENT_TASK | EVENT_SLEEPS | EVENT_TURNS)

_Static_assert(FIELD_MAX(EVENT_CPU) >= OB_CPU_MAX - 1, "a CPU's index fits");

static unsigned event_load(struct ob_event *event)
{
	return __atomic_load_n(&event->count, __ATOMIC_ACQUIRE);
}

static bool event_change(struct ob_event *event, unsigned *old, unsigned new)
{
	return __atomic_compare_exchange_n(&event->count, old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

/* The work of a signal from elsewhere, on the event's CPU. */
static void event_work(struct ob_work *work)
{
	struct ob_event *event = container_of(work, struct ob_event, work);

	__atomic_fetch_and(&event->count, ~EVENT_POSTED, __ATOMIC_SEQ_CST);
	if (event->waiter)
		task_wake(event->waiter);
}

void ob_event_init(struct ob_event *event, struct ob_cpu *cpu)
{
	event->cpu = cpu;
	event->count = 0;
	event->waiter = NULL;
	ob_work_init(&event->work, event_work);
}

void ob_event_signal(struct ob_event *event)
{
	struct ob_cpu *cpu = event->cpu, *here = ob_cpu_current();
	struct ob_task *waiter = here == cpu ? event->waiter : NULL;
	unsigned old = event_load(event), new;
	bool post;

	do {
		if ((old & EVENT_COUNT) == EVENT_COUNT)
			return; /* four million signals that nobody took */
		post = here != cpu && (old & EVENT_TASK) && !(old & EVENT_POSTED);
		new = old + 1;
		if (post)
			new |= EVENT_POSTED;
	} while (!event_change(event, &old, new));
	/* Only with our POSTED pending is the event still ours to touch. */
	if (post)
		work_push(cpu, &event->work);
	else if (waiter && !(old & EVENT_POSTED))
		task_wake(waiter);
	if (old & EVENT_SLEEPS)
		os_futex_wake(&event->count); /* by address only */
	if (old & EVENT_TURNS) {
		struct ob_cpu *turned = cpu->ob->cpus[FIELD_GET(EVENT_CPU, old)];

		if (turned != here) /* a turn returns to the waiter by itself */
			cpu_kick(turned);
	}
}

/* Take one signal if one is there. The waiter's mark goes with it. */
static bool event_consume(struct ob_event *event)
{
	unsigned old = event_load(event);

	do {
		if ((old & EVENT_POSTED) || !(old & EVENT_COUNT))
			return false;
	} while (!event_change(event, &old, (old - 1) & ~EVENT_WAITER));
	return true;
}

/* Say who waits, unless a signal came first. @word: the event's word from here on. */
static bool event_announce(struct ob_event *event, unsigned waiter, unsigned *word)
{
	unsigned old = event_load(event);

	do {
		if (old & (EVENT_POSTED | EVENT_COUNT))
			return false;
		*word = (old & ~EVENT_WAITER) | waiter;
	} while (!event_change(event, &old, *word));
	return true;
}

static int wait_in_task(struct ob_event *event, uint64_t deadline_ns)
{
	int rc = 0;

	if (event->cpu != ob_cpu_current())
		return -EDEADLK;
	while (!event_consume(event)) {
		unsigned word;

		if (ob_now_ns() >= deadline_ns && event_announce(event, 0, &word)) {
			rc = -ETIMEDOUT;
			break;
		}
		event->waiter = ob_task_current();
		if (event_announce(event, EVENT_TASK, &word))
			task_wait(deadline_ns);
		else if (event_load(event) & EVENT_POSTED) /* arrives within a turn */
			task_wait(ob_deadline(OB_NS_PER_S));
		event->waiter = NULL;
	}
	return rc;
}

struct homes {
	struct ob_cpu *cpus[OB_CPU_MAX];
	unsigned count;
};

/* Turn the CPUs whose home this thread is, or sleep until one of them or the event has something. */
static void turn_homes(const struct homes *homes, struct ob_event *event, uint64_t timeout_ns)
{
	int fds[OB_CPU_MAX];
	bool idle = true;

	if (homes->count == 1) {
		if (ob_cpu_turn(homes->cpus[0], timeout_ns) < 0)
			ob_cpu_relax(); /* another thread just took it: it becomes its home */
		return;
	}
	for (unsigned i = 0; i < homes->count; i++) {
		fds[i] = ob_cpu_fd(homes->cpus[i]);
		if (ob_cpu_turn(homes->cpus[i], 0) != 0)
			idle = false;
	}
	if (idle && timeout_ns > 0 && !(event_load(event) & EVENT_COUNT))
		os_fds_wait(fds, homes->count, timeout_ns);
}

static int wait_in_thread(struct ob_event *event, uint64_t deadline_ns)
{
	struct ob *ob = event->cpu->ob;

	while (!event_consume(event)) {
		struct homes homes = {.count = 0};
		unsigned waiter = EVENT_SLEEPS, word;
		uint64_t now;

		for (unsigned i = 0; i < ob->cpu_count; i++)
			if (cpu_is_home(ob->cpus[i]))
				homes.cpus[homes.count++] = ob->cpus[i];
		if (homes.count > 0)
			waiter = EVENT_TURNS | FIELD_PREP(EVENT_CPU, homes.cpus[0]->index);
		if (!event_announce(event, waiter, &word))
			continue;
		now = ob_now_ns();
		if (homes.count > 0)
			turn_homes(&homes, event, now < deadline_ns ? deadline_ns - now : 0);
		else
			os_futex_wait(&event->count, word, deadline_ns);
		if (ob_now_ns() >= deadline_ns && event_announce(event, 0, &word))
			return -ETIMEDOUT;
	}
	return 0;
}

int ob_event_wait(struct ob_event *event, uint64_t deadline_ns)
{
	watch_wait(__func__, deadline_ns);
	switch (cpu_context()) {
	case CPU_CONTEXT_TASK:
		return wait_in_task(event, deadline_ns);
	case CPU_CONTEXT_PLAIN:
		return wait_in_thread(event, deadline_ns);
	default:
		return -EDEADLK;
	}
}

void event_await_memory(struct ob *ob)
{
	uint64_t until_ns = ob_deadline(NO_MEMORY_RETRY_NS);
	struct ob_event never;

	if (cpu_context() == CPU_CONTEXT_TASK) {
		ob_task_sleep(until_ns);
		return;
	}
	ob_event_init(&never, ob->cpus[0]);
	ob_event_wait(&never, until_ns);
}

void ob_event_reset(struct ob_event *event)
{
	uint64_t deadline_ns = ob_deadline(OB_NS_PER_S);
	unsigned old = event_load(event);

	/* What another thread has set off is taken back. Between its two steps it is not in the inbox yet. */
	while ((old & EVENT_POSTED) && cpu_is_owned(event->cpu) && ob_now_ns() < deadline_ns) {
		if (work_cancel(event->cpu, &event->work))
			__atomic_fetch_and(&event->count, ~EVENT_POSTED, __ATOMIC_SEQ_CST);
		else
			ob_cpu_relax();
		old = event_load(event);
	}
	while (!event_change(event, &old, old & ~EVENT_COUNT))
		;
}
