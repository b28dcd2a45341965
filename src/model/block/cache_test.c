/* SPDX-License-Identifier: BSD-2-Clause */
/* The volatile write cache: what a power cut takes, what a flush keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/model/model_machine.h"

#define UNIT  512u
#define BYTES (256u * 1024)

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
	free(memory);
}

static const struct model_host_ops host_ops = {.alloc = host_alloc, .free = host_free};
static struct model_host host = {&host_ops};

static struct backing *make(void)
{
	struct backing *under, *cache;

	assert_int_equal(backing_memory_create(BYTES, false, &under), 0);
	assert_int_equal(backing_cache_create(&host, under, UNIT, &cache), 0);
	return cache;
}

static void put(struct backing *b, uint64_t offset, uint8_t value, size_t len_bytes)
{
	uint8_t data[4096];

	memset(data, value, len_bytes);
	assert_int_equal(b->ops->write(b, offset, data, len_bytes), 0);
}

static uint8_t at(struct backing *b, uint64_t offset)
{
	uint8_t value;

	assert_int_equal(b->ops->read(b, offset, &value, 1), 0);
	return value;
}

static bool keep_even(void *arg, uint64_t offset)
{
	return offset / UNIT % 2 == 0;
}

static void test_power_cut_after_write_loses_what_was_not_flushed(void **state)
{
	struct backing *b = make();

	put(b, 0, 1, 4096);
	assert_int_equal(b->ops->flush(b), 0);
	put(b, 512, 2, 1024);
	assert_int_equal(at(b, 512), 2);
	assert_int_equal(at(b, 1535), 2);
	assert_int_equal(at(b, 1536), 1);
	assert_int_equal(backing_cache_dirty(b), 2);
	assert_int_equal(backing_cache_power_cut(b, NULL, NULL), 0);
	assert_int_equal(backing_cache_dirty(b), 0);
	assert_int_equal(at(b, 512), 1);
	assert_int_equal(at(b, 1535), 1);
	backing_destroy(b);
}

static void test_power_cut_with_luck_keeps_the_units_that_were_drawn(void **state)
{
	struct backing *b = make();

	put(b, 0, 3, 4096);
	assert_int_equal(backing_cache_power_cut(b, keep_even, NULL), 0);
	for (unsigned unit = 0; unit < 8; unit++)
		assert_int_equal(at(b, unit * UNIT + 7), unit % 2 == 0 ? 3 : 0);
	backing_destroy(b);
}

static void test_part_of_a_unit_keeps_the_rest_of_it(void **state)
{
	struct backing *b = make();

	put(b, 0, 5, 512);
	assert_int_equal(b->ops->flush(b), 0);
	put(b, 100, 6, 50);
	assert_int_equal(at(b, 99), 5);
	assert_int_equal(at(b, 100), 6);
	assert_int_equal(at(b, 150), 5);
	assert_int_equal(b->ops->zero(b, 120, 10, true), 0);
	assert_int_equal(at(b, 119), 6);
	assert_int_equal(at(b, 120), 0);
	assert_int_equal(at(b, 130), 6);
	assert_int_equal(b->ops->flush(b), 0);
	assert_int_equal(at(b, 120), 0);
	backing_destroy(b);
}

static void test_persist_is_for_its_range_and_no_more(void **state)
{
	struct backing *b = make();

	put(b, 0, 1, 2048);
	assert_int_equal(b->ops->persist(b, 512, 1024), 0);
	assert_int_equal(backing_cache_dirty(b), 2);
	put(b, 512, 2, 512); /* written again: volatile again */
	assert_int_equal(backing_cache_dirty(b), 3);
	assert_int_equal(at(b, 512), 2);
	assert_int_equal(backing_cache_power_cut(b, NULL, NULL), 0);
	assert_int_equal(at(b, 0), 0);
	assert_int_equal(at(b, 512), 1);
	assert_int_equal(at(b, 1024), 1);
	assert_int_equal(at(b, 1536), 0);
	backing_destroy(b);
}

static void test_many_units_are_all_found_again(void **state)
{
	struct backing *b = make();

	for (uint64_t i = 0; i < BYTES / UNIT; i++)
		put(b, (i * 193 % (BYTES / UNIT)) * UNIT, (uint8_t)(i * 193 % (BYTES / UNIT)), UNIT);
	assert_int_equal(backing_cache_dirty(b), BYTES / UNIT);
	for (uint64_t i = 0; i < BYTES / UNIT; i++)
		assert_int_equal(at(b, i * UNIT + 3), (uint8_t)i);
	assert_int_equal(b->ops->flush(b), 0);
	assert_int_equal(backing_cache_power_cut(b, NULL, NULL), 0);
	for (uint64_t i = 0; i < BYTES / UNIT; i++)
		assert_int_equal(at(b, i * UNIT + 3), (uint8_t)i);
	backing_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cut_after_write_loses_what_was_not_flushed),
		cmocka_unit_test(test_power_cut_with_luck_keeps_the_units_that_were_drawn),
		cmocka_unit_test(test_part_of_a_unit_keeps_the_rest_of_it),
		cmocka_unit_test(test_persist_is_for_its_range_and_no_more),
		cmocka_unit_test(test_many_units_are_all_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
