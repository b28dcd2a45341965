/* SPDX-License-Identifier: BSD-2-Clause */
/* The allocator against a shadow: one byte per page says who has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "machine/arena.h"
#include "tests/random.h"

#define PAGE       4096ull
#define LOW_PAGES  600u
#define HIGH_PAGES 200u
#define HIGH_BASE  (4 * OB_GIB)
#define RANGES_MAX 128
#define STEPS      20000

struct range {
	uint64_t base, len_bytes;
};

struct shadow {
	uint8_t low[LOW_PAGES], high[HIGH_PAGES];
	struct range range[RANGES_MAX];
	size_t count;
};

static uint8_t *page_of(struct shadow *s, uint64_t address)
{
	uint64_t page = address / PAGE;

	if (page >= HIGH_BASE / PAGE) {
		page -= HIGH_BASE / PAGE;
		assert_true(page < HIGH_PAGES);
		return &s->high[page];
	}
	assert_true(page < LOW_PAGES);
	return &s->low[page];
}

/* Is there room for it? By looking at every page: first fit has to find what there is. */
static bool fits(const uint8_t *pages, size_t page_count, uint64_t base, uint64_t len_bytes, uint64_t align)
{
	size_t run = len_bytes / PAGE;

	for (size_t start = 0; start + run <= page_count; start++) {
		size_t n = 0;

		if (!IS_ALIGNED(base + start * PAGE, align))
			continue;
		while (n < run && pages[start + n] == 0)
			n++;
		if (n == run)
			return true;
	}
	return false;
}

static void take(struct machine_arena *a, struct shadow *s, struct random *rng)
{
	uint64_t len_bytes = random_size(rng, 64) * PAGE, align = PAGE << random_below(rng, 7), base;
	bool room = fits(s->low, LOW_PAGES, 0, len_bytes, align) ||
		    fits(s->high, HIGH_PAGES, HIGH_BASE, len_bytes, align);
	int ret = machine_arena_alloc(a, len_bytes, align, &base);

	assert_int_equal(ret, room ? 0 : -ENOMEM);
	if (ret < 0)
		return;
	assert_true(IS_ALIGNED(base, align));
	for (uint64_t p = base; p < base + len_bytes; p += PAGE) {
		assert_int_equal(*page_of(s, p), 0);
		*page_of(s, p) = 1;
	}
	s->range[s->count++] = (struct range){base, len_bytes};
}

static void give(struct machine_arena *a, struct shadow *s, size_t i)
{
	struct range r = s->range[i];

	machine_arena_free(a, r.base, r.len_bytes);
	for (uint64_t p = r.base; p < r.base + r.len_bytes; p += PAGE)
		*page_of(s, p) = 0;
	s->range[i] = s->range[--s->count];
}

static void test_arena_random_use_matches_shadow(void **state)
{
	struct random rng = {.state = 7};
	struct machine_arena a = {0};
	struct shadow *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->low[0] = 1; /* the arena starts at page 1 */
	assert_int_equal(machine_arena_add(&a, PAGE, (LOW_PAGES - 1) * PAGE), 0);
	assert_int_equal(machine_arena_add(&a, HIGH_BASE, HIGH_PAGES * PAGE), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		if (s->count == 0 || (s->count < RANGES_MAX && random_percent(&rng, 52)))
			take(&a, s, &rng);
		else
			give(&a, s, random_below(&rng, s->count));
		assert_int_equal(a.allocated_count, s->count);
	}
	while (s->count > 0)
		give(&a, s, s->count - 1);
	/* All of it came together again, and the two ranges did not. */
	assert_int_equal(a.free_count, 2);
	assert_int_equal(a.free[0].base, PAGE);
	assert_int_equal(a.free[0].len_bytes, (LOW_PAGES - 1) * PAGE);
	assert_int_equal(a.free[1].len_bytes, HIGH_PAGES * PAGE);
	assert_int_equal(a.allocated_bytes, 0);
	machine_arena_fini(&a);
	free(s);
}

static void test_arena_whole_range_is_usable(void **state)
{
	struct machine_arena a = {0};
	uint64_t base;

	assert_int_equal(machine_arena_add(&a, 16 * PAGE, 16 * PAGE), 0);
	assert_int_equal(machine_arena_alloc(&a, 17 * PAGE, PAGE, &base), -ENOMEM);
	assert_int_equal(machine_arena_alloc(&a, 16 * PAGE, 16 * PAGE, &base), 0);
	assert_int_equal(base, 16 * PAGE);
	assert_int_equal(machine_arena_alloc(&a, PAGE, PAGE, &base), -ENOMEM);
	machine_arena_free(&a, 16 * PAGE, 16 * PAGE);
	assert_int_equal(machine_arena_alloc(&a, PAGE, 32 * PAGE, &base), -ENOMEM);
	machine_arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_random_use_matches_shadow),
		cmocka_unit_test(test_arena_whole_range_is_usable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
