/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the simulated build is told of, because accesses to memory alone would not show it: locks, waits, loans of memory
 * to devices, interrupt handlers. Natively all of this is nothing. src/sim/check_*.c judge it.
 */
#ifndef OB_CORE_WATCH_H
#define OB_CORE_WATCH_H

#include <outboard/types.h>

#if defined(OB_SIMULATED)
#define WATCH(declaration) declaration
#else
#define WATCH(declaration)                                       \
	static inline __attribute__((always_inline)) declaration \
	{                                                        \
	}
#endif

enum watch_lock_kind {
	WATCH_LOCK,  /* ob_lock: short, between CPUs, never held across a wait */
	WATCH_MUTEX, /* ob_mutex: between tasks, may be held across waits */
};

/* clang-format off */

/* A lock is new, even if its memory held one before. */
WATCH(void watch_lock_init(const void *lock));
/* Somebody is about to take it, and may have to wait; then has it, or has given up. */
WATCH(void watch_lock_want(const void *lock, enum watch_lock_kind kind, const char *name));
WATCH(void watch_lock_taken(const void *lock));
WATCH(void watch_lock_missed(const void *lock));
/* Its holder is about to let go of it. */
WATCH(void watch_lock_release(const void *lock));
/* A task's body has returned. */
WATCH(void watch_task_end(const char *name));

/* @call was called, which waits until @deadline_ns at the latest, if it has to. */
WATCH(void watch_wait(const char *call, uint64_t deadline_ns));

/* clang-format on */

#undef WATCH
#endif
