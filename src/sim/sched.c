/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of the world, virtual time, and who runs next.
 *
 * Time moves a little with each step and jumps when nobody can run. That alone would let a preempted thread go on
 * before anything that takes time has happened, so a preemption may also put the thread to sleep for a drawn time
 * (a stall), or move time on to when the device has something to do (a warp).
 */
#include <stdio.h>

#include "core/fiber.h"
#include "sim/choice.h"
#include "sim/memory/promise.h"
#include "sim/view/event.h"
#include "sim/world.h"

#define STACK_BYTES   (256 * 1024)
#define CANARY        0xc0de57acc0de57acull
#define CALM          4096  /* steps between decisions that nobody asked for */
#define FAIR          30000 /* steps after which a strict priority gives way */
#define FAIR_PLANNED  2000  /* … and preemptions that do not count */
#define STALLS_MAX    20
#define SPIN_NS       20
#define SPIN_SHIFT    8
#define WORKS         500 /* own steps since it looked at the clock last */
#define SPIN_JUMP_NS  (100 * OB_NS_PER_US)
#define WARP_MAX_NS   OB_NS_PER_MS
#define PRIORITY_BASE 1000000

const char sched_stall[] = "the end of a stall";

SIM_STATE static uint64_t *stack_bottom[THREAD_MAX];

/* ---- reports ---- */

static void tell_frames(const struct frames *f)
{
	uint32_t pcs[8];
	unsigned count = 0;

	for (unsigned depth = MIN(f->depth, (unsigned)FRAME_MAX); depth > 0 && count < ARRAY_SIZE(pcs);)
		pcs[count++] = f->pc[--depth] & FRAME_PC;
	report_pcs(pcs, count);
}

void sched_tell_threads(void)
{
	for (unsigned i = 0; i < W.thread_count; i++) {
		const struct thread *t = &W.threads[i];

		if (t->state == THREAD_DONE)
			continue;
		report_text("%s (%s): %s%s\n", t->name, report_context(t),
			    t->state == THREAD_WAITING ? "waits for " : "runs",
			    t->state == THREAD_WAITING ? t->wait_what : "");
		if (i == THREAD_DEVICE)
			continue;
		tell_frames(t->frames);
		if (t->frames == &t->own_frames)
			continue;
		report_text("    below that task:\n");
		tell_frames(&t->own_frames);
	}
}

static void check_limits(void)
{
	if (OB_UNLIKELY(W.steps - W.watched >= WATCH_STEPS))
		world_watched();
	if (W.now_ns - OB_NS_PER_S > W.config.time_max_ns) {
		report_begin("hang", "not finished after %llu virtual ms",
			     (unsigned long long)(W.config.time_max_ns / OB_NS_PER_MS));
		sched_tell_threads();
		report_end();
	}
	if (W.steps > W.config.steps_max) {
		report_begin("livelock", "not finished after %llu steps", (unsigned long long)W.steps);
		sched_tell_threads();
		report_end();
	}
}

/* ---- time ---- */

static void expire(void)
{
	for (unsigned i = 0; i < W.thread_count; i++) {
		struct thread *t = &W.threads[i];

		if (t->state == THREAD_WAITING && t->wake_ns <= W.now_ns) {
			t->state = THREAD_RUNNABLE;
			t->timed_out = true;
			event_of(t, EVENT_EXPIRED, 0, 0);
		}
	}
}

static uint64_t next_wake(void)
{
	uint64_t at = NEVER;

	for (unsigned i = 0; i < W.thread_count; i++)
		if (W.threads[i].state == THREAD_WAITING)
			at = MIN(at, W.threads[i].wake_ns);
	return at;
}

/* Nobody can run: on to the next time at which somebody will. What is buffered does not stay so for that long. */
static void jump(void)
{
	uint64_t at = next_wake();

	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++)
		weak_drain_all(k);
	history_drain_everybody();
	if (at == NEVER) {
		report_begin("deadlock", "all threads wait, and nothing will wake one");
		sched_tell_threads();
		report_end();
	}
	check_sleep();
	check_irq_asleep(at);
	W.now_ns = MAX(W.now_ns, at);
	check_limits();
	expire();
}

void sched_progress(void)
{
	W.progress++;
}

uint64_t sched_own_steps(const struct thread *t)
{
	return t->ran_steps + (t == W.current ? W.steps - W.ran_since : 0);
}

/* Another has something to do that is not to look at the clock: however long it is kept away, no time is to be skipped. */
static bool others_work(void)
{
	for (unsigned i = THREAD_MAIN; i < W.thread_count; i++) {
		const struct thread *t = &W.threads[i];

		if (t != W.current && t->state == THREAD_RUNNABLE && sched_own_steps(t) - t->clock_steps > WORKS)
			return true;
	}
	return false;
}

/* A clock that is read again and again while nothing happens runs faster: somebody spins. */
uint64_t os_now_ns(void)
{
	world_capture();
	if (!W.on)
		return W.now_ns;
	if (W.progress_seen != W.progress) {
		W.progress_seen = W.progress;
		W.spins = 0;
	}
	W.spins++;
	W.current->clock_steps = sched_own_steps(W.current);
	W.now_ns += (uint64_t)SPIN_NS << MIN(W.spins / 4, (unsigned)SPIN_SHIFT);
	/* Not in a task: between taking a deadline and looking at it no such time passes, and the CPU's others wait. */
	if (W.spins > W.config.spin_patience && W.current->data.context != CPU_CONTEXT_TASK) {
		uint64_t at = next_wake(), by = SPIN_JUMP_NS << MIN(W.spins / 256, (unsigned)SPIN_SHIFT);

		if (at > W.now_ns && !others_work())
			W.now_ns = MIN(at, W.now_ns + by);
		history_drain_everybody();
		W.decide_at = MIN(W.decide_at, W.steps + 1);
		if (W.config.strategy == SIM_PCT)
			W.current->priority = --W.priority_low;
	}
	world_step(0x71e);
	return W.now_ns;
}

/* Threads of the world do not compete: what one is not asleep for, it has. */
uint64_t os_thread_cpu_ns(void)
{
	return W.now_ns;
}

/* ---- who is next ---- */

static void set_next_decision(void)
{
	uint64_t in = CALM;

	if (W.config.strategy == SIM_RANDOM)
		in = 1 + random_below(&W.random_schedule, 2ull * W.config.preempt_every - 1);
	for (unsigned i = 0; W.config.strategy == SIM_PCT && i < W.change_count; i++)
		if (W.change_points[i] > W.steps)
			in = MIN(in, W.change_points[i] - W.steps);
	W.decide_at = W.steps + in;
}

/* @others: not the current one, unless it is the only one. */
static struct thread *pick(bool others)
{
	struct thread *ready[THREAD_MAX], *best;
	unsigned count;

	for (;;) {
		expire();
		count = 0;
		for (unsigned i = 0; i < W.thread_count; i++)
			if (W.threads[i].state == THREAD_RUNNABLE && !(others && &W.threads[i] == W.current))
				ready[count++] = &W.threads[i];
		if (count > 0)
			break;
		if (W.current->state == THREAD_RUNNABLE)
			return W.current;
		jump();
	}
	if (W.config.strategy != SIM_PCT)
		return ready[random_below(&W.random_schedule, count)];
	best = ready[0];
	for (unsigned i = 1; i < count; i++)
		if (ready[i]->priority > best->priority)
			best = ready[i];
	return best;
}

static void switch_to(struct thread *to)
{
	struct thread *from = W.current;

	set_next_decision();
	if (to == from)
		return;
	world_capture();
	if (stack_bottom[from->id] != NULL && *stack_bottom[from->id] != CANARY) {
		report_begin("stack-overflow", "the stack of %s is too small", from->name);
		report_end();
	}
	event_switch(from, to);
	W.current = to;
	world_mode_update();
	W.switches++;
	from->ran_steps += W.steps - W.ran_since;
	W.ran_since = W.steps;
	world_mix(0x5317c4 + to->id);
	if (to->id != THREAD_DEVICE)
		weak_load_view((int)to->id);
	if (W.buffered > 0 && random_one_in(&W.random_memory, W.config.drain_one_in))
		weak_drain_some();
	if (from->late_count > 0 && random_one_in(&W.random_memory, W.config.drain_one_in))
		history_drain_some();
	fiber_arch_switch(&from->sp, to->sp);
}

static bool stall(void)
{
	struct thread *t = W.current;
	uint64_t for_ns;

	if (W.config.stall_one_in == 0 || W.stalls >= STALLS_MAX || t->id == THREAD_DEVICE ||
	    !random_one_in(&W.random_schedule, W.config.stall_one_in))
		return false;
	for_ns = OB_NS_PER_US << random_below(&W.random_schedule, 14);
	if (!choice_counts(SIM_CHOICE_STALL))
		return false;
	W.stalls++;
	t->state = THREAD_WAITING;
	t->wait_on = NULL;
	t->wait_what = sched_stall;
	history_drain(t);
	t->wake_ns = W.now_ns + for_ns;
	world_mix(for_ns);
	return true;
}

static void warp(void)
{
	const struct thread *device = &W.threads[THREAD_DEVICE];

	if (W.config.warp && device->state == THREAD_WAITING && device->wake_ns != NEVER &&
	    device->wake_ns > W.now_ns && device->wake_ns - W.now_ns < WARP_MAX_NS &&
	    random_one_in(&W.random_schedule, 2) && choice_counts(SIM_CHOICE_WARP))
		W.now_ns = device->wake_ns;
}

/* Somebody else, unless that choice does not count; a thread that then runs on for long gives way all the same. */
static struct thread *pick_at_random(void)
{
	struct thread *to = pick(false);

	if (to == W.current || W.current->state != THREAD_RUNNABLE || choice_counts(SIM_CHOICE_PREEMPT) ||
	    W.steps - W.ran_since > FAIR_PLANNED)
		return to;
	return W.current;
}

void sched_decide(void)
{
	bool random = W.config.strategy == SIM_RANDOM, preempt = random;

	check_limits();
	if (OB_UNLIKELY(W.current->hard_since != 0))
		check_irq_running();
	expire();
	if (W.config.strategy == SIM_PCT) {
		for (unsigned i = 0; i < W.change_count; i++)
			preempt |= W.change_points[i] == W.steps && choice_counts(SIM_CHOICE_PREEMPT);
		if (preempt || W.steps - W.ran_since > FAIR)
			W.current->priority = --W.priority_low;
	}
	if (W.buffered > 0 && random_one_in(&W.random_memory, W.config.drain_one_in)) {
		world_capture();
		weak_drain_some();
	}
	if (preempt && !stall())
		warp();
	switch_to(random ? pick_at_random() : pick(false));
}

void sched_yield_now(void)
{
	W.now_ns += 100;
	if (W.config.strategy == SIM_PCT)
		W.current->priority = --W.priority_low;
	history_drain_everybody();
	check_limits();
	W.yields = true;
	switch_to(pick(true));
	W.yields = false;
}

/* ---- waiting ---- */

bool sched_wait(const void *on, uint64_t wake_ns, const char *what)
{
	struct thread *t = W.current;

	world_capture();
	promise_barrier();
	history_drain(t);
	sched_progress();
	t->state = THREAD_WAITING;
	t->spin_what = 0;
	t->wait_on = on;
	t->wait_what = what;
	t->wake_ns = wake_ns;
	t->timed_out = false;
	switch_to(pick(false));
	return t->timed_out;
}

static void wake(struct thread *t)
{
	event_add(EVENT_WAKE, t->id, 0);
	t->state = THREAD_RUNNABLE;
	t->timed_out = false;
	sched_progress();
	if (W.config.strategy == SIM_PCT)
		W.decide_at = W.steps + 1;
}

void sched_wake(const void *on)
{
	for (unsigned i = 0; i < W.thread_count; i++)
		if (W.threads[i].state == THREAD_WAITING && W.threads[i].wait_on == on && on != NULL)
			wake(&W.threads[i]);
}

/* The device sleeps at most until then. */
void sched_wake_device(uint64_t at_ns)
{
	struct thread *t = &W.threads[THREAD_DEVICE];

	if (t->state != THREAD_WAITING)
		return;
	t->wake_ns = MIN(t->wake_ns, at_ns);
	if (t->wake_ns <= W.now_ns)
		wake(t);
}

/* ---- threads ---- */

static void thread_entry(void *arg)
{
	struct thread *t = arg;

	t->fn(t->arg);
	world_capture();
	history_drain(t);
	t->state = THREAD_DONE;
	sched_wake(t);
	switch_to(pick(false));
}

struct thread *sched_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
	uint8_t *stack = arena_stack(STACK_BYTES);
	struct thread *t;

	if (W.thread_count == THREAD_MAX || stack == NULL)
		return NULL;
	t = &W.threads[W.thread_count];
	*t = (struct thread){.id = W.thread_count, .state = THREAD_RUNNABLE, .wake_ns = NEVER, .fn = fn, .arg = arg};
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->frames = &t->own_frames;
	t->data.id = ++W.next_thread_id;
	t->priority = PRIORITY_BASE + (int64_t)random_below(&W.random_schedule, PRIORITY_BASE);
	t->floor = W.order;
	if (W.current != NULL) {
		history_drain(W.current);
		t->floor = W.order;
		t->clock = W.current->clock;
		W.current->clock.t[W.current->id]++;
	}
	t->clock.t[t->id] = 1;
	stack_bottom[t->id] = (uint64_t *)(void *)stack;
	*stack_bottom[t->id] = CANARY;
	t->sp = fiber_arch_prepare(stack + STACK_BYTES, thread_entry, t);
	W.thread_count++;
	if (W.current != NULL)
		event_add(EVENT_SPAWN, t->id, 0);
	return t;
}

void sched_init(void)
{
	W.priority_low = PRIORITY_BASE - 1000;
	W.change_count = 0;
	if (W.config.strategy == SIM_PCT) {
		W.change_count = MIN(W.config.pct_depth - 1, (unsigned)ARRAY_SIZE(W.change_points));
		for (unsigned i = 0; i < W.change_count; i++)
			W.change_points[i] = W.steps + 1 + random_below(&W.random_schedule, W.config.steps_expected);
	}
	set_next_decision();
}
