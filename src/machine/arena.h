/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which ranges of an address space are free: first fit, lowest address first. It hands out numbers and touches no
 * memory. Not thread-safe. Freeing cannot fail.
 */
#ifndef OB_MACHINE_ARENA_H
#define OB_MACHINE_ARENA_H

#include <outboard/types.h>

struct machine_extent {
	uint64_t base, len_bytes;
};

struct machine_arena {
	struct machine_extent *free; /* by address; neighbours are merged */
	size_t free_count, capacity;
	size_t added_count;     /* machine_arena_add() calls */
	size_t allocated_count; /* ranges that are out */
	uint64_t allocated_bytes;
};

/** arena_add - a range to give out; @base and @len_bytes multiples of the unit that callers use. 0; -ENOMEM. */
int machine_arena_add(struct machine_arena *a, uint64_t base, uint64_t len_bytes);
/** arena_alloc - @align_bytes a power of two. 0; -ENOMEM no such range, or no memory for the books. */
int machine_arena_alloc(struct machine_arena *a, uint64_t len_bytes, uint64_t align_bytes, uint64_t *base);
/** arena_free - exactly what machine_arena_alloc() gave. Anything that overlaps free space is a bug of ours: an
 * assert. */
void machine_arena_free(struct machine_arena *a, uint64_t base, uint64_t len_bytes);
void machine_arena_fini(struct machine_arena *a);

#endif
