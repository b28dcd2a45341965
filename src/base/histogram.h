/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of latencies with three significant digits in fixed memory.
 *
 * Log-linear buckets: values below 2048 have a bucket each; above, every power of two is cut into 1024 buckets, so a
 * bucket is at most 1/1024 of its value wide. Recording is a handful of instructions and never allocates. Values from
 * HISTOGRAM_LIMIT (18 minutes in nanoseconds) on share the last bucket; the maximum is kept exactly.
 *
 * Not thread-safe: one per CPU, merged at the end.
 */
#ifndef OB_BASE_HISTOGRAM_H
#define OB_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_HALF_BITS  10u /* log2 of the buckets per power of two */
#define HISTOGRAM_LIMIT_BITS 40u
#define HISTOGRAM_LIMIT      (1ull << HISTOGRAM_LIMIT_BITS)
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_LIMIT_BITS - HISTOGRAM_HALF_BITS + 1u) << HISTOGRAM_HALF_BITS)

struct histogram {
	uint64_t count; /* of values recorded */
	uint64_t sum;
	uint64_t min, max; /* exact; valid when count is not 0 */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value: its exponent picks 1024 of them, its ten bits after the leading one pick the one. */
static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value >= HISTOGRAM_LIMIT)
		value = HISTOGRAM_LIMIT - 1;
	if (value < 2ull << HISTOGRAM_HALF_BITS)
		return (unsigned)value;
	shift = 63u - HISTOGRAM_HALF_BITS - (unsigned)__builtin_clzll(value);
	return (shift << HISTOGRAM_HALF_BITS) + (unsigned)(value >> shift);
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
	h->buckets[histogram_bucket(value)]++;
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	if (value < h->min)
		h->min = value;
}

/** histogram_init - empty it; needed before the first record */
void histogram_init(struct histogram *h);
/** histogram_merge - add all of @from to @to */
void histogram_merge(struct histogram *to, const struct histogram *from);
/**
 * histogram_percentile - the smallest value that this fraction of all recorded values does not exceed
 * @fraction_ppm: parts per million: 500000 is the median, 999000 is p99.9
 *
 * Exact below 2048, at most 1/1024 too high above, never above the maximum. 0 when empty.
 */
uint64_t histogram_percentile(const struct histogram *h, uint32_t fraction_ppm);
/** histogram_mean - rounded to nearest; 0 when empty */
uint64_t histogram_mean(const struct histogram *h);

#endif
