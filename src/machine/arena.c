/* SPDX-License-Identifier: BSD-2-Clause */
/* Which ranges of an address space are free. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "machine/arena.h"

static uint64_t extent_end(const struct machine_extent *e)
{
	return e->base + e->len_bytes;
}

/*
 * Each range that is out splits free space once more at most, so with this much room neither machine_arena_alloc() nor
 * machine_arena_free() of what is out then has to grow the table.
 */
static int reserve(struct machine_arena *a, size_t added_count, size_t allocated_count)
{
	size_t need = added_count + allocated_count + 1, capacity = MAX(a->capacity, 16u);
	struct machine_extent *table;

	if (need <= a->capacity)
		return 0;
	while (capacity < need)
		capacity *= 2;
	table = realloc(a->free, capacity * sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	a->free = table;
	a->capacity = capacity;
	return 0;
}

static void remove_at(struct machine_arena *a, size_t i)
{
	memmove(&a->free[i], &a->free[i + 1], (a->free_count - i - 1) * sizeof(a->free[0]));
	a->free_count--;
}

static void insert_at(struct machine_arena *a, size_t i, uint64_t base, uint64_t len_bytes)
{
	assert(a->free_count < a->capacity);
	memmove(&a->free[i + 1], &a->free[i], (a->free_count - i) * sizeof(a->free[0]));
	a->free[i] = (struct machine_extent){.base = base, .len_bytes = len_bytes};
	a->free_count++;
}

/* Put a range into the table, merged with its neighbours. */
static void give(struct machine_arena *a, uint64_t base, uint64_t len_bytes)
{
	size_t i = 0;

	while (i < a->free_count && a->free[i].base < base)
		i++;
	assert(i == 0 || extent_end(&a->free[i - 1]) <= base);
	assert(i == a->free_count || base + len_bytes <= a->free[i].base);
	if (i > 0 && extent_end(&a->free[i - 1]) == base) {
		a->free[i - 1].len_bytes += len_bytes;
		if (i < a->free_count && extent_end(&a->free[i - 1]) == a->free[i].base) {
			a->free[i - 1].len_bytes += a->free[i].len_bytes;
			remove_at(a, i);
		}
	} else if (i < a->free_count && base + len_bytes == a->free[i].base) {
		a->free[i].base = base;
		a->free[i].len_bytes += len_bytes;
	} else {
		insert_at(a, i, base, len_bytes);
	}
}

int machine_arena_add(struct machine_arena *a, uint64_t base, uint64_t len_bytes)
{
	int ret = reserve(a, a->added_count + 1, a->allocated_count);

	if (ret < 0)
		return ret;
	a->added_count++;
	if (len_bytes > 0)
		give(a, base, len_bytes);
	return 0;
}

int machine_arena_alloc(struct machine_arena *a, uint64_t len_bytes, uint64_t align_bytes, uint64_t *base)
{
	int ret = reserve(a, a->added_count, a->allocated_count + 1);

	assert(len_bytes > 0 && IS_POWER_OF_2(align_bytes));
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < a->free_count; i++) {
		struct machine_extent *e = &a->free[i];
		uint64_t gap = ALIGN_UP(e->base, align_bytes) - e->base, end = extent_end(e);

		if (gap > e->len_bytes || e->len_bytes - gap < len_bytes)
			continue;
		*base = e->base + gap;
		e->len_bytes = gap;
		if (end > *base + len_bytes)
			insert_at(a, i + 1, *base + len_bytes, end - *base - len_bytes);
		if (gap == 0)
			remove_at(a, i);
		a->allocated_count++;
		a->allocated_bytes += len_bytes;
		return 0;
	}
	return -ENOMEM;
}

void machine_arena_free(struct machine_arena *a, uint64_t base, uint64_t len_bytes)
{
	assert(a->allocated_count > 0 && a->allocated_bytes >= len_bytes);
	give(a, base, len_bytes);
	a->allocated_count--;
	a->allocated_bytes -= len_bytes;
}

void machine_arena_fini(struct machine_arena *a)
{
	free(a->free);
	*a = (struct machine_arena){0};
}
