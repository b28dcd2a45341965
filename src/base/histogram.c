/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of the histogram that is not on anybody's hot path: merging and percentiles. */
#include "base/histogram.h"

#include <string.h>

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	to->count += from->count;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
	if (from->min < to->min)
		to->min = from->min;
}

/* The highest value that falls into a bucket. */
static uint64_t bucket_last(unsigned bucket)
{
	unsigned shift;
	uint64_t mantissa;

	if (bucket < 2u << HISTOGRAM_HALF_BITS)
		return bucket;
	shift = (bucket >> HISTOGRAM_HALF_BITS) - 1;
	mantissa = bucket - ((uint64_t)shift << HISTOGRAM_HALF_BITS);
	return ((mantissa + 1) << shift) - 1;
}

/* ceil(count * ppm / 10^6) without overflow, at least 1. */
static uint64_t rank_of(uint64_t count, uint32_t fraction_ppm)
{
	const uint64_t million = 1000000;
	uint64_t rank;

	if (fraction_ppm >= million)
		return count;
	rank = count / million * fraction_ppm + (count % million * fraction_ppm + million - 1) / million;
	return rank ? rank : 1;
}

uint64_t histogram_percentile(const struct histogram *h, uint32_t fraction_ppm)
{
	uint64_t rank, seen = 0;

	if (!h->count)
		return 0;
	rank = rank_of(h->count, fraction_ppm);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen >= rank) {
			uint64_t value = bucket_last(i);

			return value < h->max ? value : h->max;
		}
	}
	return h->max; /* in the last bucket, which has no end */
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->count ? (h->sum + h->count / 2) / h->count : 0;
}
