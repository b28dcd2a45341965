/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers: an intrusive pairing heap per CPU. Starting one is O(1), taking one out O(log n) amortised, and nothing is
 * allocated. Among timers of the same time the one that was started first comes first, most of the time: do not count
 * on it.
 *
 * `prev` is the left sibling, or the parent of a first child; the root has neither.
 */
#include "core/loop.h"

/* Two roots become one; @a wins a tie. */
static struct ob_timer *merge(struct ob_timer *a, struct ob_timer *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (b->expires_ns < a->expires_ns) {
		struct ob_timer *t = a;

		a = b;
		b = t;
	}
	b->prev = a;
	b->sibling = a->child;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	a->sibling = NULL;
	a->prev = NULL;
	return a;
}

/* Children of a root that goes become one heap: pairs from the left, then all from the right. */
static struct ob_timer *merge_children(struct ob_timer *first)
{
	struct ob_timer *pairs = NULL, *root = NULL;

	while (first) {
		struct ob_timer *a = first, *b = a->sibling, *pair;

		first = b ? b->sibling : NULL;
		a->sibling = a->prev = NULL;
		if (b)
			b->sibling = b->prev = NULL;
		pair = merge(a, b);
		pair->sibling = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct ob_timer *next = pairs->sibling;

		pairs->sibling = NULL;
		root = merge(root, pairs);
		pairs = next;
	}
	return root;
}

static void heap_remove(struct ob_cpu *cpu, struct ob_timer *timer)
{
	struct ob_timer *rest = merge_children(timer->child);

	if (cpu->timers == timer) {
		cpu->timers = rest;
	} else {
		if (timer->prev->child == timer)
			timer->prev->child = timer->sibling;
		else
			timer->prev->sibling = timer->sibling;
		if (timer->sibling)
			timer->sibling->prev = timer->prev;
		cpu->timers = merge(cpu->timers, rest);
	}
	timer->child = timer->sibling = timer->prev = NULL;
	timer->queued = false;
}

void ob_timer_init(struct ob_timer *timer, struct ob_cpu *cpu, void (*fn)(struct ob_timer *timer))
{
	*timer = (struct ob_timer){.fn = fn, .cpu = cpu};
}

void ob_timer_start(struct ob_timer *timer, uint64_t expires_ns)
{
	struct ob_cpu *cpu = timer->cpu;

	assert(cpu_is_owned(cpu));
	if (timer->queued)
		heap_remove(cpu, timer);
	timer->expires_ns = expires_ns;
	timer->queued = true;
	cpu->timers = merge(cpu->timers, timer);
	if (cpu->timers == timer)
		cpu_touch(cpu);
}

bool ob_timer_stop(struct ob_timer *timer)
{
	if (!timer->queued)
		return false;
	assert(cpu_is_owned(timer->cpu));
	heap_remove(timer->cpu, timer);
	return true;
}

/* A timer that starts itself again for a time that has passed is bounded by the turn's share like all others. */
unsigned timers_run(struct ob_cpu *cpu)
{
	unsigned done = 0;

	while (done < TURN_TIMERS && cpu->timers && cpu->timers->expires_ns <= cpu->head.now_ns) {
		struct ob_timer *timer = cpu->timers;

		heap_remove(cpu, timer);
		OB_TRACE(cpu, OB_TRACE_TIMER, (uintptr_t)timer, cpu->head.now_ns - timer->expires_ns, 0);
		timer->fn(timer);
		done++;
	}
	return done;
}
