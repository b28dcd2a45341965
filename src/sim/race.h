/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the race detector: what is kept of accesses to each 8 bytes, and the quick part of looking at it. */
#ifndef OB_SIM_RACE_H
#define OB_SIM_RACE_H

#include "sim/world.h"

#define RACE_CELLS 4

/* One of each access that is kept, side by side: a look at all four takes a few instructions. */
typedef uint32_t race_lanes __attribute__((vector_size(4 * RACE_CELLS)));

struct granule {
	race_lanes epoch;      /* of the thread's own clock */
	race_lanes generation; /* of another run: nothing */
	race_lanes who;        /* RACE_WHO() */
	race_lanes pc;
};

/* Thread, which of the bytes, ACCESS_ flags, context. */
#define RACE_WHO(thread, mask, flags, context) \
	((uint32_t)(thread) | (uint32_t)(mask) << 8 | (uint32_t)(flags) << 16 | (uint32_t)(context) << 24)
#define RACE_THREAD(who)  ((who)&0xff)
#define RACE_MASK(who)    ((who) >> 8 & 0xff)
#define RACE_FLAGS(who)   ((who) >> 16 & 0xff)
#define RACE_CONTEXT(who) ((who) >> 24)

extern struct granule *race_granules; /* one per 8 bytes of the arena */

void race_check_granule(struct granule *g, uint32_t accessor, uint32_t pc, uintptr_t address, const struct thread *who);

/* race_hard.c: an access to a marked word of the heap; and one of driver code and one of a handler, on the same CPU. */
void race_mark(uintptr_t address, unsigned flags, struct thread *who);
void race_check_hard(const struct granule *g, unsigned place, uint32_t accessor, uint32_t pc, uintptr_t address);

/*
 * The same access by the same thread at the same time of its clock was looked at already. Whoever came in between
 * without being ordered has been reported; whoever was ordered behind it has moved that clock on.
 */
static inline bool race_is_known(const struct granule *g, uint32_t accessor, const struct thread *who)
{
	union {
		race_lanes lanes;
		uint64_t halves[RACE_CELLS / 2];
	} same;

	same.lanes = (race_lanes)(g->epoch == who->clock.t[who->id]) & (race_lanes)(g->generation == W.generation) &
		     (race_lanes)(g->who == accessor);
	return (same.halves[0] | same.halves[1]) != 0;
}

/* An access of @len_bytes, to @address of the arena. */
static inline void race_check(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc, struct thread *who)
{
	uint64_t offset = address - ARENA_BASE;
	uint32_t accessor = RACE_WHO(who->id, 0, flags, who->data.context);

	if (OB_UNLIKELY(W.config.no_races))
		return;
	if ((flags & ACCESS_MARKED) && (flags & (ACCESS_HARD | ACCESS_OPEN)) && offset < HEAP_BYTES)
		race_mark(address, flags, who);
	while (len_bytes > 0) {
		unsigned from = offset % 8, count = (unsigned)MIN(len_bytes, (size_t)(8 - from));
		uint32_t one = accessor | (((1u << count) - 1) << from) << 8;
		struct granule *g = &race_granules[offset / 8];

		if (!race_is_known(g, one, who))
			race_check_granule(g, one, pc, ARENA_BASE + offset, who);
		offset += count;
		len_bytes -= count;
	}
}

#endif
