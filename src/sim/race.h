/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the race detector: what is kept of accesses to each 8 bytes, and the quick part of looking at it. */
#ifndef OB_SIM_RACE_H
#define OB_SIM_RACE_H

#include "sim/world.h"

#define RACE_CELLS 4

struct cell {
	uint32_t epoch, generation;
	uint8_t thread, mask, flags, context;
	uint32_t pc;
};

struct granule {
	struct cell cells[RACE_CELLS];
};

extern struct granule *race_granules; /* one per 8 bytes of the arena */

void race_check_granule(struct granule *g, uint8_t mask, unsigned flags, uint32_t pc, uintptr_t address,
			const struct thread *who);

/*
 * The same access by the same thread at the same time of its clock was looked at already. Whoever came in between
 * without being ordered has been reported; whoever was ordered behind it has moved that clock on.
 */
static inline bool race_is_known(const struct granule *g, uint8_t mask, unsigned flags, const struct thread *who)
{
	const struct cell now = {
		.epoch = who->clock.t[who->id],
		.generation = W.generation,
		.thread = (uint8_t)who->id,
		.mask = mask,
		.flags = (uint8_t)flags,
		.context = (uint8_t)who->data.context,
	};
	const uint64_t *wanted = (const uint64_t *)(const void *)&now;

	for (unsigned i = 0; i < RACE_CELLS; i++) {
		const uint64_t *c = (const uint64_t *)(const void *)&g->cells[i];

		if (c[0] == wanted[0] && (uint32_t)c[1] == (uint32_t)wanted[1])
			return true;
	}
	return false;
}

/* An access of @len_bytes, to @address of the arena. */
static inline void race_check(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc,
			      const struct thread *who)
{
	uint64_t offset = address - ARENA_BASE;

	if (OB_UNLIKELY(W.config.no_races))
		return;
	while (len_bytes > 0) {
		unsigned from = offset % 8, count = (unsigned)MIN(len_bytes, (size_t)(8 - from));
		uint8_t mask = (uint8_t)(((1u << count) - 1) << from);
		struct granule *g = &race_granules[offset / 8];

		if (!race_is_known(g, mask, flags, who))
			race_check_granule(g, mask, flags, pc, ARENA_BASE + offset, who);
		offset += count;
		len_bytes -= count;
	}
}

#endif
