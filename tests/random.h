/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers for tests: small, seeded, the same everywhere. Not for anything that matters outside of tests. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 to count - 1; 0 when count is 0. */
static inline uint64_t random_below(struct random *r, uint64_t count)
{
	return count != 0 ? random_next(r) % count : 0;
}

/* first to last, both included. */
static inline uint64_t random_range(struct random *r, uint64_t first, uint64_t last)
{
	return first + random_below(r, last - first + 1);
}

static inline bool random_percent(struct random *r, unsigned percent)
{
	return random_below(r, 100) < percent;
}

/* 1 to most, small ones as likely as large ones. */
static inline uint64_t random_size(struct random *r, uint64_t most)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(most);
	uint64_t top = 1ull << random_below(r, bits);
	uint64_t size = random_range(r, top, 2 * top - 1);

	return size < most ? size : most;
}

static inline void random_fill(struct random *r, void *memory, size_t len_bytes)
{
	uint8_t *p = memory;

	while (len_bytes > 0) {
		uint64_t v = random_next(r);

		for (unsigned i = 0; i < 8 && len_bytes > 0; i++, len_bytes--, v >>= 8)
			*p++ = (uint8_t)v;
	}
}

#endif
