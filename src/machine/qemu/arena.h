/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which ranges of an address space are free: first fit, lowest address first. It hands out numbers and touches no
 * memory. Not thread-safe. Freeing cannot fail.
 */
#ifndef OB_MACHINE_QEMU_ARENA_H
#define OB_MACHINE_QEMU_ARENA_H

#include <outboard/types.h>

struct qemu_extent {
	uint64_t base, len_bytes;
};

struct qemu_arena {
	struct qemu_extent *free; /* by address; neighbours are merged */
	size_t free_count, capacity;
	size_t added_count;     /* qemu_arena_add() calls */
	size_t allocated_count; /* ranges that are out */
	uint64_t allocated_bytes;
};

/** qemu_arena_add - a range to give out; @base and @len_bytes multiples of the unit that callers use. 0; -ENOMEM. */
int qemu_arena_add(struct qemu_arena *a, uint64_t base, uint64_t len_bytes);
/** qemu_arena_alloc - @align_bytes a power of two. 0; -ENOMEM no such range, or no memory for the books. */
int qemu_arena_alloc(struct qemu_arena *a, uint64_t len_bytes, uint64_t align_bytes, uint64_t *base);
/** qemu_arena_free - exactly what qemu_arena_alloc() gave. Anything that overlaps free space is a bug of ours: an
 * assert. */
void qemu_arena_free(struct qemu_arena *a, uint64_t base, uint64_t len_bytes);
void qemu_arena_fini(struct qemu_arena *a);

#endif
