/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded streams: SplitMix64. Each subject draws from one of its own, so that a draw more in one shifts no other. */
#ifndef OB_SIM_RANDOM_H
#define OB_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 … @count - 1; @count at most 2^32. */
static inline uint64_t random_below(uint64_t *state, uint64_t count)
{
	return ((random_next(state) >> 32) * count) >> 32;
}

static inline bool random_one_in(uint64_t *state, unsigned count)
{
	return random_below(state, count) == 0;
}

#endif
