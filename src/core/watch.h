/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the simulated build is told of, because accesses to memory alone would not show it: locks, waits, loans of memory
 * to devices, interrupt handlers, mistakes that a driver gets away with. Natively all of this is nothing.
 * src/sim/check_*.c judge it.
 */
#ifndef OB_CORE_WATCH_H
#define OB_CORE_WATCH_H

#include <outboard/types.h>

#if defined(OB_SIMULATED)
#define WATCH(declaration) declaration;
#else
#define WATCH(declaration)                                       \
	static inline __attribute__((always_inline)) declaration \
	{                                                        \
	}
#endif

struct ob_block_request;
struct ob_device;

enum watch_lock_kind {
	WATCH_LOCK,  /* ob_lock: short, between CPUs, never held across a wait */
	WATCH_MUTEX, /* ob_mutex: between tasks, may be held across waits */
};

/* clang-format off */

/* A lock is new, even if its memory held one before. */
WATCH(void watch_lock_init(const void *lock))
/* Somebody is about to take it, and may have to wait; then has it, or has given up. */
WATCH(void watch_lock_want(const void *lock, enum watch_lock_kind kind, const char *name))
WATCH(void watch_lock_taken(const void *lock))
WATCH(void watch_lock_missed(const void *lock))
/* Its holder is about to let go of it. */
WATCH(void watch_lock_release(const void *lock))
/* A task's body has returned. */
WATCH(void watch_task_end(const char *name))

/* @call was called, which waits until @deadline_ns at the latest, if it has to. */
WATCH(void watch_wait(const char *call, uint64_t deadline_ns))

/*
 * A buffer is lent to @dev, which reaches it at @iova: @direct, or in a copy. It comes back; all of them before the
 * device's driver has ended.
 */
WATCH(void watch_map(const struct ob_device *dev, const void *buffer, size_t len_bytes, unsigned rights, uint64_t iova,
		     bool direct))
WATCH(void watch_unmap(const struct ob_device *dev, const void *buffer, size_t len_bytes, uint64_t iova, bool direct))
/* Before a driver's probe; before its remove, for a device that is gone; after its end. */
WATCH(void watch_device_bound(const struct ob_device *dev))
WATCH(void watch_device_told(const struct ob_device *dev))
WATCH(void watch_device_unbound(const struct ob_device *dev))
WATCH(void watch_config(const struct ob_device *dev, unsigned offset))
/*
 * A request's segments are lent to the device with @dma_index, and come back with @status; @refused: the driver did not
 * take it.
 */
WATCH(void watch_request_down(const struct ob_block_request *request, unsigned dma_index))
WATCH(void watch_request_up(const struct ob_block_request *request, int status, bool refused))
/* This thread goes to sleep unless it finds work in @inbox; NULL: it is awake again. */
WATCH(void watch_sleep(const void *inbox))
/* A driver asked for what it cannot have; it is refused, and need not notice. */
WATCH(void watch_misuse(const char *what, uint64_t value))
/* Around a hard handler. */
WATCH(void watch_hard_begin(const char *name))
WATCH(void watch_hard_end(const char *name))
/* @line was delivered: whether somebody was asked for it, answered for it, whether it is a level and still up. */
WATCH(void watch_delivered(const void *line, const char *name, bool asked, bool answered, bool level, bool up))

/* clang-format on */

#undef WATCH
#endif
