/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C11 atomics and fences as the compiler hands them to us. What an order promises, and nothing more, goes into the
 * clocks, so that a missing acquire or release shows as a data race. Which values are read is history.c's matter; in DMA
 * memory they are those of weak.c.
 */
#include "sim/memory/history.h"
#include "sim/view/event.h"

static void before(const volatile void *p, size_t len_bytes, unsigned flags, uint32_t pc)
{
	access_range((uintptr_t)p, len_bytes, flags | ACCESS_MARKED | ACCESS_ATOMIC, pc);
	/* To DMA memory it is yet to be made: what is captured before would be what was there. */
	if (!is_dma((uintptr_t)p))
		world_capture();
}

static void loaded(const volatile void *p, int order)
{
	const struct vclock *sync = race_sync((uintptr_t)p, false);

	if (sync == NULL || W.config.no_races)
		return;
	if (order_acquires(order))
		race_acquire(sync);
	else
		vclock_join(&W.current->acquire_pending, sync);
}

static void stored(const volatile void *p, int order, bool modified)
{
	struct vclock *sync = race_sync((uintptr_t)p, true);

	/* A store ends the release sequence that was there; a read-modify-write goes on with it. */
	if (!modified)
		memset(sync, 0, sizeof(*sync));
	if (order_releases(order))
		race_release(sync);
	else
		vclock_join(sync, &W.current->release_fence);
}

/* ---- the same for memory of both kinds ---- */

static uint64_t load(const volatile void *p, unsigned size_bytes, uint64_t newest, int order)
{
	if (!W.on)
		return newest;
	if (history_has((uintptr_t)p))
		return history_load((uintptr_t)p, size_bytes, newest, order);
	loaded(p, order);
	return newest;
}

/* True: the store has been made, or will be. */
static bool store(volatile void *p, unsigned size_bytes, uint64_t value, int order)
{
	if (!W.on || !history_has((uintptr_t)p))
		return false;
	history_store((uintptr_t)p, size_bytes, value, order);
	return true;
}

static void modify_begin(volatile void *p, int order)
{
	if (W.on)
		history_modify_begin((uintptr_t)p, order);
}

/* Memory still holds @newest; true: it holds @value now. */
static bool modify(volatile void *p, unsigned size_bytes, uint64_t newest, uint64_t value, int order)
{
	if (!W.on)
		return false;
	if (history_has((uintptr_t)p)) {
		history_modify((uintptr_t)p, size_bytes, newest, value, order);
		return true;
	}
	loaded(p, order);
	stored(p, order, true);
	return false;
}

static void failed_to_modify(const volatile void *p, unsigned size_bytes, uint64_t newest, int order)
{
	if (!W.on)
		return;
	if (history_has((uintptr_t)p))
		history_load_newest((uintptr_t)p, size_bytes, newest, order);
	else
		loaded(p, order);
}

#define RMW_FUNCTION(bits, name, expression)                                                                  \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order)  \
	{                                                                                                     \
		uint##bits##_t old, new;                                                                      \
		before(p, bits / 8, ACCESS_WRITE, WORLD_PC());                                                \
		modify_begin(p, order);                                                                       \
		old = *p;                                                                                     \
		new = (uint##bits##_t)(expression);                                                           \
		if (!modify(p, bits / 8, old, new, order))                                                    \
			*p = new;                                                                             \
		return old;                                                                                   \
	}

#define CAS_FUNCTION(bits, kind)                                                                                \
	int __tsan_atomic##bits##_compare_exchange_##kind(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failed);             \
	int __tsan_atomic##bits##_compare_exchange_##kind(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failed)              \
	{                                                                                                       \
		before(p, bits / 8, ACCESS_WRITE, WORLD_PC());                                                  \
		modify_begin(p, order);                                                                         \
		if (*p == *expected && !fails_spuriously(#kind)) {                                              \
			if (!modify(p, bits / 8, *p, v, order))                                                 \
				*p = v;                                                                         \
			return 1;                                                                               \
		}                                                                                               \
		*expected = *p;                                                                                 \
		failed_to_modify(p, bits / 8, *p, failed);                                                      \
		return 0;                                                                                       \
	}

#define ATOMIC_FUNCTIONS(bits)                                                                     \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order);    \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order)     \
	{                                                                                          \
		before(p, bits / 8, 0, WORLD_PC());                                                \
		return (uint##bits##_t)load(p, bits / 8, *p, order);                               \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order)  \
	{                                                                                          \
		before(p, bits / 8, ACCESS_WRITE, WORLD_PC());                                     \
		if (store(p, bits / 8, v, order))                                                  \
			return;                                                                    \
		*p = v;                                                                            \
		if (W.on)                                                                          \
			stored(p, order, false);                                                   \
	}                                                                                          \
	RMW_FUNCTION(bits, exchange, v)                                                            \
	RMW_FUNCTION(bits, fetch_add, old + v)                                                     \
	RMW_FUNCTION(bits, fetch_sub, old - v)                                                     \
	RMW_FUNCTION(bits, fetch_and, old &v)                                                      \
	RMW_FUNCTION(bits, fetch_or, old | v)                                                      \
	RMW_FUNCTION(bits, fetch_xor, old ^ v)                                                     \
	RMW_FUNCTION(bits, fetch_nand, ~(old & v))                                                 \
	CAS_FUNCTION(bits, strong)                                                                 \
	CAS_FUNCTION(bits, weak)

/* A weak one may fail for nothing, and somewhere it does. */
static bool fails_spuriously(const char *kind)
{
	return W.on && kind[0] == 'w' && random_one_in(&W.random_memory, 16);
}

ATOMIC_FUNCTIONS(8)
ATOMIC_FUNCTIONS(16)
ATOMIC_FUNCTIONS(32)
ATOMIC_FUNCTIONS(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_atomic_thread_fence(int order)
{
	struct thread *t = W.current;

	if (!W.on)
		return;
	world_capture();
	W.current->pc = WORLD_PC();
	world_step(0xfe9ce);
	event_add(EVENT_BARRIER, (uint64_t)order, 0)->flags = EVENT_FENCE;
	history_fence(order);
	if (order_acquires(order)) {
		race_acquire_clock(&t->acquire_pending);
		race_acquire_clock(&W.views[t->id].pending);
		weak_refresh(t->id);
	}
	if (order_releases(order)) {
		W.views[t->id].barrier++;
		t->release_fence = t->clock;
		W.views[t->id].release = t->clock;
		t->clock.t[t->id]++;
	}
	if (order == __ATOMIC_SEQ_CST)
		weak_drain_all(t->id);
}

void __tsan_atomic_signal_fence(int order)
{
}
