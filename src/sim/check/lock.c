/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for locks (outboard/cpu.h): they are taken in one order, so that nobody waits in a circle; not in hard context,
 * which would wait for what it interrupted; not twice by the same; let go by who took them, before its end; an ob_lock
 * is never held across a wait.
 *
 * The order is a graph over the locks of a run: an edge from each that is held to the one that is wanted. A circle is
 * reported when its last edge is made, whether or not anybody got stuck in it this time. Who holds a lock is known by
 * his stack: a task, or a thread.
 */
#include <stdio.h>

#include "core/watch.h"
#include "sim/view/event.h"
#include "sim/world.h"

#define LOCKS_MAX  128
#define EDGES_MAX  256
#define TABLE_SIZE 256 /* a power of two, larger than LOCKS_MAX */

struct lock {
	const void *address; /* NULL: its memory holds another by now */
	const char *name;
	enum watch_lock_kind kind;
	const struct frames *holder; /* NULL: free */
	const struct thread *thread;
	const char *context;
	uint32_t pc[BLOCK_PCS]; /* where it was taken last */
};

struct edge {
	uint8_t from, to;
	const struct thread *thread;
	const char *context;
	uint32_t held_pc[BLOCK_PCS], wanted_pc[BLOCK_PCS];
};

SIM_STATE static struct {
	unsigned lock_count, edge_count, held_count;
	uint8_t table[TABLE_SIZE]; /* by address; 0: nothing, else the lock's index + 1 */
	uint64_t follows[LOCKS_MAX][LOCKS_MAX / 64];
	struct lock locks[LOCKS_MAX];
	struct edge edges[EDGES_MAX];
} order;

void check_lock_reset(void)
{
	memset(order.follows, 0, order.lock_count * sizeof(order.follows[0]));
	memset(order.table, 0, sizeof(order.table));
	order.lock_count = order.edge_count = order.held_count = 0;
}

/* ---- locks ---- */

static struct lock *find(const void *address, bool make)
{
	unsigned i = (unsigned)(((uintptr_t)address >> 3) * 2654435761u) % TABLE_SIZE;

	for (; order.table[i] != 0; i = (i + 1) % TABLE_SIZE)
		if (order.locks[order.table[i] - 1].address == address)
			return &order.locks[order.table[i] - 1];
	if (!make)
		return NULL;
	if (order.lock_count == LOCKS_MAX)
		sim_fail("simulator", "more than %u locks in a run", LOCKS_MAX);
	order.table[i] = (uint8_t)++order.lock_count;
	order.locks[order.lock_count - 1] = (struct lock){.address = address};
	return &order.locks[order.lock_count - 1];
}

static unsigned index_of(const struct lock *l)
{
	return (unsigned)(l - order.locks);
}

static void tell_taken(const struct lock *l)
{
	report_text("\"%s\" (%p) was taken by %s in %s context, at\n", l->name, l->address, l->thread->name,
		    l->context);
	report_pcs(l->pc, BLOCK_PCS);
	report_involve(l->thread->id, l->pc[0]);
}

static void OB_PRINTF(3, 4) complain(const char *rule, const struct lock *l, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_begin(rule, "%s \"%s\" (%p) %s", l->kind == WATCH_MUTEX ? "mutex" : "lock", l->name, l->address, text);
	report_here(0);
	if (l->thread != NULL)
		tell_taken(l);
	report_end();
}

/* ---- their order ---- */

static bool has_edge(unsigned from, unsigned to)
{
	return (order.follows[from][to / 64] & BIT64(to % 64)) != 0;
}

/* A way along edges, as the locks on it, @from the first; its length, or 0. */
static unsigned find_way(unsigned from, unsigned to, uint8_t *way)
{
	uint8_t queue[LOCKS_MAX], before[LOCKS_MAX];
	uint64_t seen[LOCKS_MAX / 64] = {0};
	unsigned first = 0, last = 0, len = 0;

	queue[last++] = (uint8_t)from;
	seen[from / 64] |= BIT64(from % 64);
	while (first < last) {
		unsigned at = queue[first++];

		if (at == to) {
			for (len = 1; at != from; len++)
				at = before[at];
			at = to;
			for (unsigned i = len; i-- > 0; at = before[at])
				way[i] = (uint8_t)at;
			return len;
		}
		for (unsigned next = 0; next < order.lock_count; next++) {
			if (!has_edge(at, next) || (seen[next / 64] & BIT64(next % 64)) != 0)
				continue;
			seen[next / 64] |= BIT64(next % 64);
			before[next] = (uint8_t)at;
			queue[last++] = (uint8_t)next;
		}
	}
	return 0;
}

static void tell_edge(unsigned from, unsigned to)
{
	for (unsigned i = 0; i < order.edge_count; i++) {
		const struct edge *e = &order.edges[i];

		if (e->from != from || e->to != to)
			continue;
		report_text("before that, %s in %s context took \"%s\" (%p) at\n", e->thread->name, e->context,
			    order.locks[to].name, order.locks[to].address);
		report_pcs(e->wanted_pc, BLOCK_PCS);
		report_text("with \"%s\" (%p) held since\n", order.locks[from].name, order.locks[from].address);
		report_pcs(e->held_pc, BLOCK_PCS);
		report_involve(e->thread->id, e->wanted_pc[0]);
		return;
	}
}

static void edge_add(const struct lock *held, const struct lock *wanted)
{
	unsigned from = index_of(held), to = index_of(wanted), len;
	uint8_t way[LOCKS_MAX];
	struct edge *e;

	if (has_edge(from, to))
		return;
	len = find_way(to, from, way);
	if (len > 0) {
		report_begin("lock-order",
			     "%s takes \"%s\" (%p) with \"%s\" (%p) held, and elsewhere it is the other way",
			     W.current->name, wanted->name, wanted->address, held->name, held->address);
		report_here(0);
		tell_taken(held);
		for (unsigned i = 0; i + 1 < len; i++)
			tell_edge(way[i], way[i + 1]);
		report_end();
	}
	order.follows[from][to / 64] |= BIT64(to % 64);
	if (order.edge_count == EDGES_MAX)
		return;
	e = &order.edges[order.edge_count++];
	*e = (struct edge){.from = (uint8_t)from, .to = (uint8_t)to, .thread = W.current};
	e->context = report_context(W.current);
	memcpy(e->held_pc, held->pc, sizeof(e->held_pc));
	memset(e->wanted_pc, 0, sizeof(e->wanted_pc));
	report_stack(e->wanted_pc, BLOCK_PCS);
}

/* ---- what core tells ---- */

void watch_lock_init(const void *address)
{
	struct lock *l = W.on ? find(address, false) : NULL;

	if (l != NULL && l->holder == NULL)
		l->address = NULL;
}

void watch_lock_want(const void *address, enum watch_lock_kind kind, const char *name)
{
	const struct frames *me = W.current->frames;
	struct lock *l;

	world_capture();
	l = W.on ? find(address, true) : NULL;
	if (l == NULL)
		return;
	l->kind = kind;
	l->name = name != NULL ? name : "?";
	if (W.current->data.context == CPU_CONTEXT_HARD)
		complain("hard-lock", l, "taken in hard context: whoever it interrupts may hold it");
	if (l->holder == me)
		complain("lock-twice", l, "taken by who has it already");
	for (unsigned i = 0; i < me->lock_count; i++)
		edge_add(&order.locks[me->locks[i]], l);
	W.current->frames->lock_wanted = true;
}

void watch_lock_taken(const void *address)
{
	struct frames *me = W.current->frames;
	struct lock *l = W.on ? find(address, false) : NULL;

	me->lock_wanted = false;
	if (l == NULL)
		return;
	if (me->lock_count == HELD_MAX)
		sim_fail("simulator", "more than %u locks held at a time", HELD_MAX);
	event_add(EVENT_LOCK, (uintptr_t)address, (uintptr_t)l->name)->pc = event_caller();
	l->holder = me;
	l->thread = W.current;
	l->context = report_context(W.current);
	memset(l->pc, 0, sizeof(l->pc));
	report_stack(l->pc, BLOCK_PCS);
	me->locks[me->lock_count++] = (uint8_t)index_of(l);
	order.held_count++;
}

void watch_lock_missed(const void *address)
{
	W.current->frames->lock_wanted = false;
}

void watch_lock_release(const void *address)
{
	struct frames *me = W.current->frames;
	struct lock *l;

	world_capture();
	l = W.on ? find(address, false) : NULL;
	if (l == NULL)
		return;
	if (l->holder != me)
		complain("lock-owner", l, l->holder == NULL ? "is let go, and nobody has it" : "is let go by another");
	for (unsigned i = me->lock_count; i-- > 0;) {
		if (me->locks[i] != index_of(l))
			continue;
		memmove(&me->locks[i], &me->locks[i + 1], me->lock_count - i - 1u);
		me->lock_count--;
		break;
	}
	event_add(EVENT_UNLOCK, (uintptr_t)address, (uintptr_t)l->name)->pc = event_caller();
	l->holder = NULL;
	order.held_count--;
}

/* ---- with a lock held ---- */

void check_lock_wait(const char *what)
{
	const struct frames *me = W.current->frames;

	if (OB_LIKELY(me->lock_count == 0) || me->lock_wanted)
		return;
	for (unsigned i = 0; i < me->lock_count; i++)
		if (order.locks[me->locks[i]].kind == WATCH_LOCK)
			complain("lock-across-wait", &order.locks[me->locks[i]], "is held across %s", what);
}

void watch_task_end(const char *name)
{
	const struct frames *me = W.current->frames;

	if (W.on && me->lock_count > 0)
		complain("lock-left", &order.locks[me->locks[0]], "is still held at the end of task \"%s\"", name);
}

void check_lock_freed(uintptr_t address, size_t len_bytes)
{
	for (unsigned i = 0; order.held_count > 0 && i < order.lock_count; i++) {
		const struct lock *l = &order.locks[i];

		if (l->holder != NULL && (uintptr_t)l->address - address < len_bytes)
			complain("lock-left", l, "is still held, and its memory is freed");
	}
}

void check_lock_end(void)
{
	for (unsigned i = 0; order.held_count > 0 && i < order.lock_count; i++)
		if (order.locks[i].holder != NULL)
			complain("lock-left", &order.locks[i], "is still held at the end");
}
