/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks: coroutines with a stack of their own on one CPU.
 *
 * A task and its fiber stay together: ended, they wait in the CPU's cache for the next body, so that a spawn seldom
 * maps memory. The fiber's outermost function is a loop over bodies. Ending is done by the loop, once it is off the
 * task's stack; only then may a joiner free it.
 */
#include <errno.h>

#include "core/loop.h"
#include "core/watch.h"

struct ob_task *ob_task_current(void)
{
	struct os_thread_data *self = os_thread_data();

	return self->context == CPU_CONTEXT_TASK ? ((struct ob_cpu *)self->cpu)->task : NULL;
}

/* ---- the loop's side ---- */

static void make_ready(struct ob_task *task)
{
	struct ob_cpu *cpu = task->cpu;

	task->state = TASK_READY;
	task->ready_next = NULL;
	if (cpu->ready_last)
		cpu->ready_last->ready_next = task;
	else
		cpu->ready_first = task;
	cpu->ready_last = task;
	cpu->ready_count++;
	cpu_touch(cpu);
}

/* Its end was seen by all who had to: keep it for the next, or free it. Any thread. */
static void task_recycle(struct ob_task *task)
{
	struct ob_cpu *cpu = task->cpu;
	bool keep;

	ob_lock(&cpu->task_lock);
	list_del(&task->link);
	keep = cpu->task_cached < TASK_CACHE_MAX;
	if (keep) {
		task->state = TASK_IDLE;
		list_add(&cpu->task_cache, &task->link);
		cpu->task_cached++;
	}
	ob_unlock(&cpu->task_lock);
	if (!keep) {
		os_fiber_destroy(task->fiber);
		os_free(task);
	}
}

static void task_finish(struct ob_task *task)
{
	if (task->detached)
		task_recycle(task);
	else if (__atomic_exchange_n(&task->end, TASK_END_DONE, __ATOMIC_ACQ_REL) == TASK_END_JOINED)
		ob_event_signal(&task->ended);
	/* A joiner that came first may have freed it by now, one that comes later will. */
}

unsigned tasks_run(struct ob_cpu *cpu, struct os_thread_data *self)
{
	unsigned count = cpu->ready_count; /* those that become ready on the way wait for the next turn */

	for (unsigned i = 0; i < count; i++) {
		struct ob_task *task = cpu->ready_first;

		cpu->ready_first = task->ready_next;
		if (!cpu->ready_first)
			cpu->ready_last = NULL;
		cpu->ready_count--;
		OB_TRACE(cpu, OB_TRACE_TASK_RUN, (uintptr_t)task, 0, 0);
		task->state = TASK_RUNNING;
		cpu->task = task;
		self->context = CPU_CONTEXT_TASK;
		os_fiber_switch(cpu->fiber, task->fiber, false);
		self->context = CPU_CONTEXT_SOFT;
		cpu->task = NULL;
		if (task->state == TASK_DONE)
			task_finish(task);
	}
	return count;
}

void task_wake(struct ob_task *task)
{
	if (task->state != TASK_WAITING)
		return;
	ob_timer_stop(&task->timer);
	make_ready(task);
}

static void task_timeout(struct ob_timer *timer)
{
	task_wake(container_of(timer, struct ob_task, timer));
}

/* ---- the task's side ---- */

static void switch_to_loop(struct ob_task *task)
{
	os_fiber_switch(task->fiber, task->cpu->fiber, false);
}

void task_wait(uint64_t deadline_ns)
{
	struct ob_task *task = ob_task_current();

	OB_TRACE(task->cpu, OB_TRACE_TASK_WAIT, (uintptr_t)task, deadline_ns, 0);
	task->state = TASK_WAITING;
	if (deadline_ns != UINT64_MAX)
		ob_timer_start(&task->timer, deadline_ns);
	switch_to_loop(task);
}

void ob_task_sleep(uint64_t until_ns)
{
	watch_wait(__func__, until_ns);
	assert(ob_task_current());
	/* At least once, also when the time has passed already: a loop of sleeps lets the rest of the CPU have its turns. */
	do
		task_wait(until_ns);
	while (ob_now_ns() < until_ns);
}

void ob_task_yield(void)
{
	struct ob_task *task = ob_task_current();

	watch_wait(__func__, 0);
	assert(task);
	make_ready(task);
	switch_to_loop(task);
}

static void task_main(void *arg)
{
	struct ob_task *task = arg;

	do {
		task->fn(task->arg);
		watch_task_end(task->name);
		task->state = TASK_DONE;
		switch_to_loop(task);
	} while (task->state != TASK_QUIT);
	os_fiber_switch(task->fiber, task->cpu->fiber, true);
}

/* ---- spawn and join ---- */

static struct ob_task *task_from_cache(struct ob_cpu *cpu)
{
	struct list *node;

	ob_lock(&cpu->task_lock);
	node = list_pop(&cpu->task_cache);
	if (node)
		cpu->task_cached--;
	ob_unlock(&cpu->task_lock);
	return node ? list_entry(node, struct ob_task, link) : NULL;
}

static struct ob_task *task_create(struct ob_cpu *cpu)
{
	struct ob_task *task = os_alloc(sizeof(*task), OB_CACHE_LINE);

	if (!task)
		return NULL;
	task->cpu = cpu;
	list_init(&task->link);
	ob_timer_init(&task->timer, cpu, task_timeout);
	if (os_fiber_create(&task->fiber, STACK_BYTES, task_main, task) < 0) {
		os_free(task);
		return NULL;
	}
	return task;
}

static void task_start(struct ob_work *work)
{
	make_ready(container_of(work, struct ob_task, start));
}

int ob_task_spawn(struct ob_cpu *cpu, const char *name, void (*fn)(void *arg), void *arg, struct ob_task **out)
{
	struct ob_task *task;

	if (hooks_fail(cpu->ob, "ob_task_spawn"))
		return -ENOMEM;
	task = task_from_cache(cpu);
	if (!task)
		task = task_create(cpu);
	if (!task)
		return -ENOMEM;
	task->name = name;
	task->fn = fn;
	task->arg = arg;
	task->state = TASK_READY;
	task->detached = !out;
	task->lock_next = NULL;
	__atomic_store_n(&task->end, TASK_END_OPEN, __ATOMIC_RELAXED);
	ob_lock(&cpu->task_lock);
	list_add_tail(&cpu->tasks, &task->link);
	ob_unlock(&cpu->task_lock);
	if (out)
		*out = task;
	if (ob_cpu_current() == cpu) {
		make_ready(task);
	} else {
		ob_work_init(&task->start, task_start);
		work_push(cpu, &task->start);
	}
	return 0;
}

int ob_task_join(struct ob_task *task, uint64_t deadline_ns)
{
	struct ob_cpu *here = ob_cpu_current();
	unsigned open = TASK_END_OPEN, joined = TASK_END_JOINED;
	int rc = 0;

	watch_wait(__func__, deadline_ns);
	if (here && cpu_context() != CPU_CONTEXT_TASK)
		return -EDEADLK;
	if (__atomic_load_n(&task->end, __ATOMIC_ACQUIRE) != TASK_END_DONE) {
		/* Who waits decides where the event lives; the exchange publishes it to the task's CPU. */
		ob_event_init(&task->ended, here ? here : task->cpu);
		if (__atomic_compare_exchange_n(&task->end, &open, TASK_END_JOINED, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			rc = ob_event_wait(&task->ended, deadline_ns);
	}
	if (rc < 0 &&
	    __atomic_compare_exchange_n(&task->end, &joined, TASK_END_OPEN, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return rc;
	/* It ended at the last moment: the signal is on its way, and must arrive before the event goes. */
	while (rc < 0)
		rc = ob_event_wait(&task->ended, ob_deadline(OB_NS_PER_S));
	task_recycle(task);
	return 0;
}

/* ---- the end ---- */

/* A fiber ends properly only on its own stack. Nobody turns the CPU any more. */
static void task_quit(struct ob_task *task)
{
	task->state = TASK_QUIT;
	os_fiber_switch(task->cpu->fiber, task->fiber, false);
	os_fiber_destroy(task->fiber);
	os_free(task);
}

static const char *state_name(enum task_state state)
{
	switch (state) {
	case TASK_READY:
		return "ready";
	case TASK_WAITING:
		return "waiting";
	case TASK_DONE:
		return "ended, but was not joined";
	default:
		return "running";
	}
}

void tasks_drop(struct ob_cpu *cpu)
{
	struct list *node;

	while ((node = list_pop(&cpu->tasks)) != NULL) {
		struct ob_task *task = list_entry(node, struct ob_task, link);

		ob_err(cpu->ob, "cpu %u: task \"%s\" is still %s at the end", cpu->index, task->name,
		       state_name(task->state));
		if (task->state == TASK_DONE) {
			task_quit(task);
		} else {
			os_fiber_destroy(task->fiber);
			os_free(task);
		}
	}
	while ((node = list_pop(&cpu->task_cache)) != NULL)
		task_quit(list_entry(node, struct ob_task, link));
}
