/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges: who waits for whom; and read-modify-write by many threads that loses nothing. */
#include "serve/nbd/range.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static struct range_table table;

static int set_up(void **state)
{
	range_table_init(&table);
	return 0;
}

static int tear_down(void **state)
{
	range_table_fini(&table);
	return 0;
}

struct locker {
	struct range range;
	uint64_t first, last;
	bool alone;
	unsigned locked; /* atomic */
	pthread_t thread;
};

static void *lock_in_thread(void *arg)
{
	struct locker *l = arg;

	assert_int_equal(range_lock(&table, &l->range, l->first, l->last, l->alone, UINT64_MAX / 2), 0);
	__atomic_store_n(&l->locked, 1u, __ATOMIC_RELEASE);
	return NULL;
}

static void start(struct locker *l, uint64_t first, uint64_t last, bool alone)
{
	*l = (struct locker){.first = first, .last = last, .alone = alone};
	assert_int_equal(pthread_create(&l->thread, NULL, lock_in_thread, l), 0);
}

/* How many wait, once there are @expected of them or a second has passed. */
static unsigned waiting(unsigned expected)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 1000; i++) {
		const struct timespec pause = {0, 1000000};

		pthread_mutex_lock(&table.mutex);
		n = table.waiting;
		pthread_mutex_unlock(&table.mutex);
		if (n == expected)
			break;
		nanosleep(&pause, NULL);
	}
	return n;
}

static void test_range_shared_overlapping_do_not_wait(void **state)
{
	struct range a, b;

	assert_int_equal(range_lock(&table, &a, 0, 10, false, UINT64_MAX / 2), 0);
	assert_int_equal(range_lock(&table, &b, 5, 15, false, UINT64_MAX / 2), 0);
	range_unlock(&table, &a);
	range_unlock(&table, &b);
}

static void test_range_alone_elsewhere_does_not_wait(void **state)
{
	struct range a, b, c;

	assert_int_equal(range_lock(&table, &a, 0, 4, false, UINT64_MAX / 2), 0);
	assert_int_equal(range_lock(&table, &b, 5, 5, true, UINT64_MAX / 2), 0);
	assert_int_equal(range_lock(&table, &c, 6, 9, false, UINT64_MAX / 2), 0);
	range_unlock(&table, &b);
	range_unlock(&table, &a);
	range_unlock(&table, &c);
}

static void test_range_alone_waits_for_shared_and_shared_for_alone(void **state)
{
	struct range shared;
	struct locker alone, later;

	assert_int_equal(range_lock(&table, &shared, 0, 5, false, UINT64_MAX / 2), 0);
	start(&alone, 5, 5, true);
	assert_int_equal(waiting(1), 1);
	/* It came after the one that waits, so it does not overtake. */
	start(&later, 4, 6, false);
	assert_int_equal(waiting(2), 2);
	assert_int_equal(__atomic_load_n(&alone.locked, __ATOMIC_ACQUIRE), 0);
	range_unlock(&table, &shared);
	pthread_join(alone.thread, NULL);
	assert_int_equal(waiting(1), 1);
	assert_int_equal(__atomic_load_n(&later.locked, __ATOMIC_ACQUIRE), 0);
	range_unlock(&table, &alone.range);
	pthread_join(later.thread, NULL);
	range_unlock(&table, &later.range);
	assert_true(list_empty(&table.ranges));
	assert_int_equal(table.alone_count, 0);
}

/* Each thread adds to its own byte of the same blocks, by read, pause and write back of the whole block. */
enum {
	THREADS = 4,
	ROUNDS = 3000,
	BLOCKS = 3
};

static uint8_t blocks[BLOCKS][THREADS];

static void *modify(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned at = (i + me) % BLOCKS;
		struct range range;
		uint8_t copy[THREADS];

		assert_int_equal(range_lock(&table, &range, at, at, true, UINT64_MAX / 2), 0);
		for (unsigned b = 0; b < THREADS; b++)
			copy[b] = blocks[at][b];
		copy[me]++;
		if (i % 64 == 0)
			nanosleep(&(struct timespec){0, 1000}, NULL);
		for (unsigned b = 0; b < THREADS; b++)
			blocks[at][b] = copy[b];
		range_unlock(&table, &range);
	}
	return NULL;
}

static void test_range_alone_by_many_threads_loses_nothing(void **state)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, modify, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned b = 0; b < BLOCKS; b++)
			assert_int_equal(blocks[b][i], (uint8_t)(ROUNDS / BLOCKS));
	}
}

static void test_range_that_is_not_freed_in_time_is_given_up(void **state)
{
	struct range a, b, c;

	assert_int_equal(range_lock(&table, &a, 0, 10, true, UINT64_MAX / 2), 0);
	assert_int_equal(range_lock(&table, &b, 5, 15, true, 1), -ETIMEDOUT);
	/* It leaves nothing that others would wait for. */
	assert_int_equal(range_lock(&table, &c, 11, 15, true, 1), 0);
	range_unlock(&table, &c);
	range_unlock(&table, &a);
	assert_int_equal(range_lock(&table, &b, 5, 15, true, 1), 0);
	range_unlock(&table, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_range_shared_overlapping_do_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_range_alone_elsewhere_does_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_range_alone_waits_for_shared_and_shared_for_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_range_alone_by_many_threads_loses_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_range_that_is_not_freed_in_time_is_given_up, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
