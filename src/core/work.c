/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work: functions to be called on a CPU, posted from any thread.
 *
 * The inbox is a stack that any thread pushes onto with one compare-and-swap and that the owner takes whole with one
 * exchange: no ABA, no lock. The owner turns it round, so that work runs in the order in which it was posted.
 */
#include <errno.h>

#include "core/loop.h"
#include "core/watch.h"

void work_push(struct ob_cpu *cpu, struct ob_work *work)
{
	struct ob_work *first = __atomic_load_n(&cpu->inbox, __ATOMIC_RELAXED);

	do {
		work->next = first;
	} while (!__atomic_compare_exchange_n(&cpu->inbox, &first, work, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	/* From here on the work may have run and be gone. */
	if (!__atomic_load_n(&cpu->awake, __ATOMIC_SEQ_CST))
		cpu_kick(cpu);
}

bool ob_cpu_post(struct ob_cpu *cpu, struct ob_work *work)
{
	/* Release, also when it waits already: the function that then runs acquires this and sees what we wrote. */
	if (__atomic_exchange_n(&work->pending, 1, __ATOMIC_ACQ_REL))
		return false;
	work_push(cpu, work);
	return true;
}

/* Move the inbox to the end of the CPU's own list. */
static void work_take(struct ob_cpu *cpu)
{
	struct ob_work *newest, *oldest = NULL, *last;

	if (!__atomic_load_n(&cpu->inbox, __ATOMIC_RELAXED))
		return;
	newest = last = __atomic_exchange_n(&cpu->inbox, NULL, __ATOMIC_ACQUIRE);
	while (newest) {
		struct ob_work *older = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	if (cpu->work_last)
		cpu->work_last->next = oldest;
	else
		cpu->work_first = oldest;
	cpu->work_last = last;
}

static struct ob_work *work_pop(struct ob_cpu *cpu)
{
	struct ob_work *work = cpu->work_first;

	if (!work)
		return NULL;
	cpu->work_first = work->next;
	if (!cpu->work_first)
		cpu->work_last = NULL;
	work->next = NULL;
	return work;
}

/* What is posted from here on waits for the next turn. */
unsigned work_run(struct ob_cpu *cpu)
{
	struct ob_work *work;
	unsigned done = 0;

	work_take(cpu);
	while (done < TURN_WORK && (work = work_pop(cpu)) != NULL) {
		__atomic_exchange_n(&work->pending, 0, __ATOMIC_ACQ_REL);
		work->fn(work);
		done++;
	}
	return done;
}

bool work_cancel(struct ob_cpu *cpu, struct ob_work *work)
{
	struct ob_work *previous = NULL;

	work_take(cpu);
	for (struct ob_work *w = cpu->work_first; w; previous = w, w = w->next) {
		if (w != work)
			continue;
		if (previous)
			previous->next = w->next;
		else
			cpu->work_first = w->next;
		if (cpu->work_last == w)
			cpu->work_last = previous;
		w->next = NULL;
		__atomic_store_n(&w->pending, 0, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/* ---- calls ---- */

enum call_state {
	CALL_WAITING,
	CALL_RUNNING,
	CALL_CANCELLED,
};

/* On the heap: a call that nobody waits for any more stays in the inbox until the CPU comes to it. */
struct call {
	struct ob_work work;
	void (*fn)(void *arg);
	void *arg;
	unsigned state; /* __atomic, enum call_state */
	struct ob_event done;
};

static void call_work(struct ob_work *work)
{
	struct call *call = container_of(work, struct call, work);
	unsigned state = CALL_WAITING;

	if (!__atomic_compare_exchange_n(&call->state, &state, CALL_RUNNING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		os_free(call);
		return;
	}
	call->fn(call->arg);
	ob_event_signal(&call->done); /* the caller frees it */
}

int ob_cpu_call(struct ob_cpu *cpu, void (*fn)(void *arg), void *arg, uint64_t deadline_ns)
{
	struct ob_cpu *here = ob_cpu_current();
	unsigned state = CALL_WAITING;
	struct call *call;
	int rc;

	if (here == cpu) {
		fn(arg);
		return 0;
	}
	watch_wait(__func__, deadline_ns);
	if (here && cpu_context() != CPU_CONTEXT_TASK)
		return -EDEADLK;
	if (hooks_fail(cpu->ob, "ob_cpu_call"))
		return -ENOMEM;
	call = os_alloc(sizeof(*call), OB_CACHE_LINE);
	if (!call)
		return -ENOMEM;
	ob_work_init(&call->work, call_work);
	call->fn = fn;
	call->arg = arg;
	ob_event_init(&call->done, here ? here : cpu);
	ob_cpu_post(cpu, &call->work);
	rc = ob_event_wait(&call->done, deadline_ns);
	if (rc < 0 && __atomic_compare_exchange_n(&call->state, &state, CALL_CANCELLED, false, __ATOMIC_ACQ_REL,
						  __ATOMIC_ACQUIRE))
		return rc; /* call_work() frees it */
	/* Too late to take it back: it runs, in soft context, so it ends soon. */
	while (rc < 0)
		rc = ob_event_wait(&call->done, ob_deadline(OB_NS_PER_S));
	os_free(call);
	return 0;
}

int ob_cpu_call_firmly(struct ob_cpu *cpu, void (*fn)(void *arg), void *arg, uint64_t deadline_ns)
{
	int rc;

	while ((rc = ob_cpu_call(cpu, fn, arg, deadline_ns)) == -ENOMEM && ob_now_ns() < deadline_ns)
		event_await_memory(cpu->ob);
	return rc;
}

void work_drop(struct ob_cpu *cpu)
{
	struct ob_work *work;

	work_take(cpu);
	while ((work = work_pop(cpu)) != NULL) {
		/* Whatever else it is belongs to somebody who may be gone. */
		if (work->fn == call_work)
			os_free(container_of(work, struct call, work));
	}
}
