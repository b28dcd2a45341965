/* SPDX-License-Identifier: BSD-2-Clause */
/* C11 atomics on the heap and on stacks: which store a load reads, and when a store is seen. */
#ifndef OB_SIM_HISTORY_H
#define OB_SIM_HISTORY_H

#include "sim/world.h"

static inline bool order_acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
	       order == __ATOMIC_SEQ_CST;
}

static inline bool order_releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

/* Is @address kept here? DMA memory has its own machinery (weak.c), and what no run owns has none. */
static inline bool history_has(uintptr_t address)
{
	return address - ARENA_BASE < ARENA_BYTES && !is_dma(address);
}

void history_reset(void);
/* @newest is what memory holds. Returns what the current thread reads. */
uint64_t history_load(uintptr_t address, unsigned size_bytes, uint64_t newest, int order);
void history_store(uintptr_t address, unsigned size_bytes, uint64_t value, int order);
/* A read-modify-write: the first before memory is read, the second with the value to write there. */
void history_modify_begin(uintptr_t address, int order);
void history_modify(uintptr_t address, unsigned size_bytes, uint64_t newest, uint64_t value, int order);
/* A compare-exchange that failed has read the newest value. */
void history_load_newest(uintptr_t address, unsigned size_bytes, uint64_t newest, int order);
void history_fence(int order);

#endif
