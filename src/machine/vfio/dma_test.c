/* SPDX-License-Identifier: BSD-2-Clause */
/* Which device addresses are given out, of what a kernel reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"

static struct vfio_domain domain;
static uint64_t page;

static int set_up(void **state)
{
	domain = (struct vfio_domain){.fd = -1};
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static int tear_down(void **state)
{
	machine_arena_fini(&domain.arena);
	return 0;
}

/* All that there is, in one piece: where it begins, and that nothing is left. */
static void expect(uint64_t first, uint64_t end)
{
	uint64_t base;

	assert_int_equal(machine_arena_alloc(&domain.arena, end - first + page, page, &base), -ENOMEM);
	assert_int_equal(machine_arena_alloc(&domain.arena, end - first, page, &base), 0);
	assert_int_equal(base, first);
	assert_int_equal(machine_arena_alloc(&domain.arena, 1, 1, &base), -ENOMEM);
}

static void test_range_low_addresses_are_left_out(void **state)
{
	/* A descriptor of zeroes must fault. */
	assert_int_equal(vfio_dma_add_range(&domain, 0, 16 * OB_MIB - 1), 0);
	expect(OB_MIB, 16 * OB_MIB);
}

static void test_range_is_cut_to_whole_pages(void **state)
{
	assert_int_equal(vfio_dma_add_range(&domain, 2 * OB_MIB + 1, 4 * OB_MIB + 5), 0);
	expect(2 * OB_MIB + page, 4 * OB_MIB);
}

static void test_range_of_nothing_whole_gives_nothing(void **state)
{
	uint64_t base;

	assert_int_equal(vfio_dma_add_range(&domain, 0, OB_MIB - 1), 0);
	assert_int_equal(vfio_dma_add_range(&domain, 2 * OB_MIB, 2 * OB_MIB + page - 2), 0);
	assert_int_equal(vfio_dma_add_range(&domain, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(vfio_dma_add_range(&domain, UINT64_MAX - page + 2, UINT64_MAX), 0);
	assert_int_equal(machine_arena_alloc(&domain.arena, page, page, &base), -ENOMEM);
}

/* The last page of 64 bits would end at 0. */
static void test_range_up_to_the_end_does_not_wrap(void **state)
{
	uint64_t top = 0 - page;

	assert_int_equal(vfio_dma_add_range(&domain, top - 4 * page, UINT64_MAX), 0);
	expect(top - 4 * page, top);
}

/* As an x86's: a hole for message interrupts. What is asked for never lies across it. */
static void test_ranges_with_a_hole_are_two(void **state)
{
	uint64_t base;

	assert_int_equal(vfio_dma_add_range(&domain, 0xfe000000, 0xfedfffff), 0);
	assert_int_equal(vfio_dma_add_range(&domain, 0xfef00000, 0xffffffff), 0);
	assert_int_equal(machine_arena_alloc(&domain.arena, 18 * OB_MIB, page, &base), -ENOMEM);
	assert_int_equal(machine_arena_alloc(&domain.arena, 14 * OB_MIB, page, &base), 0);
	assert_int_equal(base, 0xfe000000);
	assert_int_equal(machine_arena_alloc(&domain.arena, 2 * OB_MIB, 2 * OB_MIB, &base), 0);
	assert_int_equal(base, 0xff000000);
}

#define DMA_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DMA_TEST(test_range_low_addresses_are_left_out),     DMA_TEST(test_range_is_cut_to_whole_pages),
		DMA_TEST(test_range_of_nothing_whole_gives_nothing), DMA_TEST(test_range_up_to_the_end_does_not_wrap),
		DMA_TEST(test_ranges_with_a_hole_are_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
