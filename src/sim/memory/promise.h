/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores that are made before an earlier load: load buffering. promise.c tells how. */
#ifndef OB_SIM_PROMISE_H
#define OB_SIM_PROMISE_H

#include "sim/world.h"

/* Of W.promise. */
enum promise_state {
	PROMISE_OFF,
	PROMISE_RECORDS, /* the first run looks for stores that might have come earlier */
	PROMISE_WAITS,   /* the second run is not at the load yet */
	PROMISE_MADE,    /* others see the store, which has not been made */
	PROMISE_KEPT,
	PROMISE_BROKEN,
};

/* By sim_run(): around its runs. */
void promise_record(uint64_t seed);
bool promise_choose(void); /* is there one to make in the next run? */
void promise_give_up(void);
/* At the start of a run: what it does about promises. */
void promise_begin(void);

/* Of the current thread, while W.promise is not off: it is about to load, and has. @weak: no order comes with it. */
void promise_load_begin(uintptr_t address, size_t len_bytes);
void promise_load_end(uintptr_t address, size_t len_bytes, uint64_t value, bool weak);
/* It stores. True: that was promised, and has been seen already. @weak: no order comes with it, and it is marked. */
bool promise_store(uintptr_t address, size_t len_bytes, uint64_t value, bool weak);
/* What orders loads with the stores behind them; and what orders stores alone. */
void promise_barrier_made(void);
void promise_store_barrier_made(void);

static inline void promise_barrier(void)
{
	if (OB_UNLIKELY(W.promise != PROMISE_OFF))
		promise_barrier_made();
}

/* weak.c, history.c: @value becomes visible to all but the thread itself. False: not possible now. */
bool weak_promise(unsigned thread, uintptr_t address, size_t len_bytes, uint64_t value);
void history_promise(struct thread *t, uintptr_t address, unsigned size_bytes, uint64_t value);

#endif
