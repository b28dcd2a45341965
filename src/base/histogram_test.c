/* SPDX-License-Identifier: BSD-2-Clause */
/* The histogram against the sorted samples themselves. */
#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	SAMPLES = 20000
};

static struct histogram one, two, whole;
static uint64_t samples[SAMPLES];

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Spread over all magnitudes: latencies are. */
static void fill(uint64_t seed, unsigned bits)
{
	for (unsigned i = 0; i < SAMPLES; i++)
		samples[i] = next_random(&seed) >> (64 - 1 - next_random(&seed) % bits);
}

static void check_percentiles(struct histogram *h)
{
	static const uint32_t ppm[] = {0, 1, 1000, 250000, 500000, 900000, 990000, 999000, 999900, 999999, 1000000};

	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	for (unsigned i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		uint64_t rank = ((uint64_t)SAMPLES * ppm[i] + 999999) / 1000000;
		uint64_t exact = samples[rank ? rank - 1 : 0];
		uint64_t value = histogram_percentile(h, ppm[i]);

		assert_true(value >= exact);
		assert_true(value - exact <= exact / 1024);
	}
	assert_int_equal(h->min, samples[0]);
	assert_int_equal(h->max, samples[SAMPLES - 1]);
}

static void test_histogram_percentile_random_matches_sorted(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		histogram_init(&whole);
		fill(seed, 8 + (unsigned)seed);
		for (unsigned i = 0; i < SAMPLES; i++)
			histogram_record(&whole, samples[i]);
		assert_int_equal(whole.count, SAMPLES);
		check_percentiles(&whole);
	}
}

static void test_histogram_percentile_small_values_exact(void **state)
{
	histogram_init(&whole);
	for (unsigned i = 1; i <= 2000; i++)
		histogram_record(&whole, i);
	assert_int_equal(histogram_percentile(&whole, 500000), 1000);
	assert_int_equal(histogram_percentile(&whole, 990000), 1980);
	assert_int_equal(histogram_percentile(&whole, 999000), 1998);
	assert_int_equal(histogram_percentile(&whole, 1000000), 2000);
	assert_int_equal(histogram_mean(&whole), 1001); /* 1000.5 rounded */
}

static void test_histogram_merge_two_halves_equals_whole(void **state)
{
	histogram_init(&one);
	histogram_init(&two);
	fill(42, 36);
	for (unsigned i = 0; i < SAMPLES; i++)
		histogram_record(i % 3 ? &one : &two, samples[i]);
	histogram_merge(&one, &two);
	assert_int_equal(one.count, SAMPLES);
	check_percentiles(&one);
}

static void test_histogram_empty_gives_zero(void **state)
{
	histogram_init(&whole);
	assert_int_equal(histogram_percentile(&whole, 500000), 0);
	assert_int_equal(histogram_mean(&whole), 0);
	histogram_init(&two);
	histogram_merge(&whole, &two);
	assert_int_equal(whole.count, 0);
}

/* Beyond the range values are counted, and the maximum is still exact. */
static void test_histogram_record_beyond_limit_keeps_maximum(void **state)
{
	histogram_init(&whole);
	histogram_record(&whole, 5);
	histogram_record(&whole, HISTOGRAM_LIMIT - 1);
	histogram_record(&whole, HISTOGRAM_LIMIT);
	histogram_record(&whole, UINT64_MAX / 4);
	assert_int_equal(histogram_percentile(&whole, 250000), 5);
	assert_int_equal(histogram_percentile(&whole, 1000000), UINT64_MAX / 4);
	assert_int_equal(whole.buckets[HISTOGRAM_BUCKETS - 1], 3);
}

/* Buckets are monotonic and leave no gap at the powers of two. */
static void test_histogram_bucket_is_monotonic_and_dense(void **state)
{
	unsigned previous = histogram_bucket(0);

	assert_int_equal(previous, 0);
	for (unsigned shift = 0; shift < HISTOGRAM_LIMIT_BITS; shift++) {
		for (uint64_t v = (1ull << shift) > 3 ? (1ull << shift) - 3 : 1; v < (1ull << shift) + 3; v++) {
			unsigned before = histogram_bucket(v - 1), at = histogram_bucket(v);

			assert_true(at == before || at == before + 1);
		}
	}
	assert_int_equal(histogram_bucket(HISTOGRAM_LIMIT - 1), HISTOGRAM_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histogram_percentile_random_matches_sorted),
		cmocka_unit_test(test_histogram_percentile_small_values_exact),
		cmocka_unit_test(test_histogram_merge_two_halves_equals_whole),
		cmocka_unit_test(test_histogram_empty_gives_zero),
		cmocka_unit_test(test_histogram_record_beyond_limit_keeps_maximum),
		cmocka_unit_test(test_histogram_bucket_is_monotonic_and_dense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
