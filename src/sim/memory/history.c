/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Relaxed C11 atomics: a load may read an older value, a store may be seen late. As on Arm and RISC-V, which is weaker
 * than x86-64 and stronger than the C standard: there is one order in which stores become visible to all others
 * (multi-copy atomicity).
 *
 * Memory holds the newest value of each place. The last few before it are kept, each with the time from which and until
 * which it was the newest; that time counts stores (W.order). A load is made at some time between the thread's floor,
 * which acquires and fences raise, and now; and no earlier than what the thread has seen of this place before. So it may
 * read any value that was the newest then. Stores are visible at once, or wait with their thread and go in any order, but
 * for those to one place; whatever releases lets them go first. Both together are all that the reordering of loads and
 * stores can show, but for loads that are made after later stores (promise.c).
 *
 * A place whose memory is not what was stored here last was written plainly: its past is forgotten. What waited for too
 * long is not read any more: every store is seen in the end.
 */
#include "sim/memory/history.h"

#include "sim/choice.h"
#include "sim/memory/promise.h"
#include "sim/view/event.h"

#define PLACE_MAX   2048
#define INDEX_COUNT 4096u
#define PAST_MAX    4
#define LATE_MAX    4    /* stores of a thread that wait */
#define OLD_STEPS   4096 /* a value that was overwritten before that is not read */
#define LATE_STEPS  1024

struct past {
	uint64_t value, step; /* when it was overwritten */
	uint32_t from, until;
	struct vclock clock;
};

struct place {
	uintptr_t address;
	uint64_t value;
	uint32_t from;
	uint8_t size_bytes, past_count, past_next;
	uint32_t seen[THREAD_MAX];
	struct vclock clock; /* of the newest: what an acquire of it brings */
	struct past past[PAST_MAX];
};

struct late {
	uintptr_t address;
	uint64_t value, step;
	unsigned size_bytes;
	uint32_t pc;
	struct vclock clock;
};

SIM_STATE static struct place places[PLACE_MAX];
SIM_STATE static unsigned place_count;
SIM_STATE static uint16_t place_index[INDEX_COUNT]; /* 0: nobody's */
SIM_STATE static struct late late[THREAD_MAX][LATE_MAX];

void history_reset(void)
{
	place_count = 0;
	memset(place_index, 0, sizeof(place_index));
}

/* ---- places ---- */

static unsigned index_of(uintptr_t address)
{
	return (unsigned)((address >> 1) * 2654435761u >> 8) % INDEX_COUNT;
}

static void index_add(unsigned place)
{
	unsigned i = index_of(places[place].address);

	while (place_index[i] != 0)
		i = (i + 1) % INDEX_COUNT;
	place_index[i] = (uint16_t)(place + 1);
}

/* Memory that was freed is never used again, nor is its history. */
static void forget_the_freed(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < place_count; i++)
		if (arena_cells[(places[i].address - ARENA_BASE) / 8] == CELL_LIVE)
			places[kept++] = places[i];
	if (kept > PLACE_MAX * 3 / 4) {
		report_begin("simulator", "more than %u atomic words", kept);
		report_end();
	}
	place_count = kept;
	memset(place_index, 0, sizeof(place_index));
	for (unsigned i = 0; i < place_count; i++)
		index_add(i);
}

static struct place *place_at(uintptr_t address, bool make)
{
	unsigned i = index_of(address);

	for (; place_index[i] != 0; i = (i + 1) % INDEX_COUNT)
		if (places[place_index[i] - 1].address == address)
			return &places[place_index[i] - 1];
	if (!make)
		return NULL;
	if (place_count == PLACE_MAX)
		forget_the_freed();
	places[place_count] = (struct place){.address = address};
	index_add(place_count);
	return &places[place_count++];
}

/* Not what was stored here last: somebody stored plainly, and what is older is nobody's any more. */
static void place_check(struct place *p, unsigned size_bytes, uint64_t newest)
{
	if (OB_LIKELY(p->size_bytes == size_bytes && p->value == newest))
		return;
	p->size_bytes = (uint8_t)size_bytes;
	p->value = newest;
	p->past_count = p->past_next = 0;
}

static uint64_t memory_read(uintptr_t address, unsigned size_bytes)
{
	uint64_t value = 0;

	switch (size_bytes) {
	case 1:
		return *(const volatile uint8_t *)address; /* NOLINT */
	case 2:
		return *(const volatile uint16_t *)address; /* NOLINT */
	case 4:
		return *(const volatile uint32_t *)address; /* NOLINT */
	default:
		memcpy(&value, (const void *)address, size_bytes); /* NOLINT */
		return value;
	}
}

static void memory_write(uintptr_t address, unsigned size_bytes, uint64_t value)
{
	switch (size_bytes) {
	case 1:
		*(volatile uint8_t *)address = (uint8_t)value; /* NOLINT */
		break;
	case 2:
		*(volatile uint16_t *)address = (uint16_t)value; /* NOLINT */
		break;
	case 4:
		*(volatile uint32_t *)address = (uint32_t)value; /* NOLINT */
		break;
	default:
		*(volatile uint64_t *)address = value; /* NOLINT */
		break;
	}
}

/* ---- stores ---- */

/* From now on everybody may see it. */
static void make_visible(unsigned thread, uintptr_t address, unsigned size_bytes, uint64_t value,
			 const struct vclock *clock)
{
	struct place *p = place_at(address, true);
	uint64_t newest;

	newest = memory_read(address, size_bytes);
	place_check(p, size_bytes, newest);
	W.order++;
	if (!W.config.no_weak_memory) {
		p->past[p->past_next] = (struct past){newest, W.steps, p->from, W.order, p->clock};
		p->past_next = (p->past_next + 1) % PAST_MAX;
		p->past_count = (uint8_t)MIN(p->past_count + 1, PAST_MAX);
	}
	p->from = W.order;
	p->seen[thread] = W.order;
	p->value = value;
	p->clock = *clock;
	memory_write(address, size_bytes, value);
}

static void let_go(struct thread *t, unsigned index)
{
	struct late s = late[t->id][index];

	t->late_count--;
	memmove(&late[t->id][index], &late[t->id][index + 1], (t->late_count - index) * sizeof(s));
	world_mix_value(s.address);
	world_mix_value(s.value);
	event_visible(t->id, s.address, s.size_bytes, (uint32_t)s.step, s.pc);
	make_visible(t->id, s.address, s.size_bytes, s.value, &s.clock);
}

void history_drain(struct thread *t)
{
	while (t->late_count > 0)
		let_go(t, 0);
}

void history_drain_everybody(void)
{
	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++)
		history_drain(&W.threads[k]);
}

/* The current thread is about to see its own memory, not by an atomic access. */
void history_own_access(uintptr_t address, size_t len_bytes)
{
	struct thread *t = W.current;

	for (unsigned i = 0; i < t->late_count;) {
		const struct late *s = &late[t->id][i];

		if (s->address < address + len_bytes && address < s->address + s->size_bytes)
			let_go(t, i);
		else
			i++;
	}
}

/* One that waits becomes visible; of two to one place there is never more than one. */
void history_drain_some(void)
{
	unsigned k = (unsigned)random_below(&W.random_memory, W.thread_count);
	struct thread *t = &W.threads[k];

	if (t->late_count > 0)
		let_go(t, (unsigned)random_below(&W.random_memory, t->late_count));
}

static bool may_wait(const struct thread *t, int order)
{
	return order == __ATOMIC_RELAXED && !W.config.no_weak_memory && t->late_count < LATE_MAX &&
	       W.thread_count > 2 && random_one_in(&W.random_memory, 4) && choice_counts(SIM_CHOICE_LATE_STORE);
}

void history_promise(struct thread *t, uintptr_t address, unsigned size_bytes, uint64_t value)
{
	history_drain(t);
	make_visible(t->id, address, size_bytes, value, &t->release_fence);
}

void history_store(uintptr_t address, unsigned size_bytes, uint64_t value, int order)
{
	struct thread *t = W.current;
	struct vclock clock;

	if (OB_UNLIKELY(W.promise != PROMISE_OFF) &&
	    promise_store(address, size_bytes, value, order == __ATOMIC_RELAXED))
		return;

	if (order_releases(order)) {
		race_release_to(&clock);
		make_visible(t->id, address, size_bytes, value, &clock);
		if (order == __ATOMIC_SEQ_CST)
			t->sc_floor = W.order;
		return;
	}
	if (t->late_count > 0) {
		history_own_access(address, size_bytes);
		if (t->late_count > 0 && W.steps - late[t->id][0].step > LATE_STEPS)
			let_go(t, 0);
	}
	if (!may_wait(t, order)) {
		make_visible(t->id, address, size_bytes, value, &t->release_fence);
		return;
	}
	late[t->id][t->late_count++] = (struct late){address, value, W.steps, size_bytes, t->pc, t->release_fence};
}

void history_modify_begin(uintptr_t address, int order)
{
	struct thread *t = W.current;

	promise_barrier();
	if (t->late_count > 0 && order_releases(order))
		history_drain(t);
	else if (t->late_count > 0)
		history_own_access(address, 8);
}

void history_modify(uintptr_t address, unsigned size_bytes, uint64_t newest, uint64_t value, int order)
{
	struct thread *t = W.current;
	const struct place *p;
	struct vclock clock;

	history_load_newest(address, size_bytes, newest, order);
	/* It goes on with the release sequence that is there. */
	p = place_at(address, false);
	if (order_releases(order))
		race_release_to(&clock);
	else
		clock = t->release_fence;
	if (p != NULL)
		vclock_join(&clock, &p->clock);
	make_visible(t->id, address, size_bytes, value, &clock);
	/* Acquire and release at once order all before it with all behind it (Arm ARM B2.3, barrier-ordered-before). */
	if (order_acquires(order) && order_releases(order))
		t->floor = W.order;
	if (order == __ATOMIC_SEQ_CST)
		t->sc_floor = W.order;
}

/* ---- loads ---- */

static void has_read(struct place *p, uint32_t from, const struct vclock *clock, int order)
{
	struct thread *t = W.current;

	p->seen[t->id] = MAX(p->seen[t->id], from);
	t->loads_floor = MAX(t->loads_floor, from);
	if (order_acquires(order)) {
		t->floor = MAX(t->floor, from);
		race_acquire_clock(clock);
	} else {
		vclock_join(&t->acquire_pending, clock);
	}
}

void history_load_newest(uintptr_t address, unsigned size_bytes, uint64_t newest, int order)
{
	struct place *p = place_at(address, false);

	if (p == NULL)
		return;
	place_check(p, size_bytes, newest);
	has_read(p, p->from, &p->clock, order);
}

/* An older value that may still be read, or NULL for the newest. */
static const struct past *choose(const struct place *p, int order)
{
	const struct thread *t = W.current;
	uint32_t floor = MAX(t->floor, p->seen[t->id]);
	const struct past *found[PAST_MAX];
	unsigned count = 0;

	if (order == __ATOMIC_SEQ_CST)
		floor = MAX(floor, t->sc_floor);
	for (unsigned i = 0; i < p->past_count; i++)
		if (p->past[i].until > floor && W.steps - p->past[i].step < OLD_STEPS)
			found[count++] = &p->past[i];
	if (count == 0 || random_one_in(&W.random_memory, 2))
		return NULL;
	count = (unsigned)random_below(&W.random_memory, count);
	return choice_counts(SIM_CHOICE_OLD_LOAD) ? found[count] : NULL;
}

static uint64_t read_some(uintptr_t address, unsigned size_bytes, uint64_t newest, int order)
{
	const struct thread *t = W.current;
	const struct past *old;
	struct place *p;

	/* Its own store, which nobody else has seen yet: it tells of nobody. */
	for (unsigned i = t->late_count; i-- > 0;)
		if (late[t->id][i].address == address && late[t->id][i].size_bytes == size_bytes)
			return late[t->id][i].value;
	if (OB_UNLIKELY(t->late_count > 0)) {
		history_own_access(address, size_bytes);
		newest = memory_read(address, size_bytes);
	}
	p = place_at(address, false); /* not before: what becomes visible there may move places */
	if (p == NULL)
		return newest;
	place_check(p, size_bytes, newest);
	old = choose(p, order);
	if (old == NULL) {
		has_read(p, p->from, &p->clock, order);
		return newest;
	}
	world_mix_value(old->value);
	event_old(address, size_bytes);
	has_read(p, old->from, &old->clock, order);
	return old->value;
}

uint64_t history_load(uintptr_t address, unsigned size_bytes, uint64_t newest, int order)
{
	uint64_t value;

	if (OB_LIKELY(W.promise == PROMISE_OFF))
		return read_some(address, size_bytes, newest, order);
	promise_load_begin(address, size_bytes);
	value = read_some(address, size_bytes, memory_read(address, size_bytes), order);
	promise_load_end(address, size_bytes, value, order == __ATOMIC_RELAXED);
	return value;
}

void history_fence(int order)
{
	struct thread *t = W.current;

	promise_barrier();
	if (order_acquires(order))
		t->floor = MAX(t->floor, t->loads_floor);
	if (order_releases(order))
		history_drain(t);
	if (order == __ATOMIC_SEQ_CST)
		t->floor = W.order;
}
