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

static inline bool race_any(race_lanes lanes)
{
	union {
		race_lanes lanes;
		uint64_t halves[RACE_CELLS / 2];
	} u = {.lanes = lanes};

	return (u.halves[0] | u.halves[1]) != 0;
}

static inline race_lanes race_blend(race_lanes where, uint32_t value, race_lanes others)
{
	return (where & value) | (others & ~where);
}

/*
 * Most accesses need no closer look; false: this one does.
 *
 * The same access by the same thread at the same time of its clock was looked at already. Whoever came in between
 * without being ordered has been reported; whoever was ordered behind it has moved that clock on. And where only this
 * thread has been there is nobody to be ordered with.
 */
static inline bool race_is_plain(struct granule *g, uint32_t accessor, uint32_t pc, const struct thread *who)
{
	uint32_t epoch = who->clock.t[who->id];
	race_lanes live = (race_lanes)(g->generation == W.generation);
	race_lanes differs = g->who ^ accessor;
	race_lanes same = live & (race_lanes)((differs & 0xffffff) == 0);

	if (race_any(same & (race_lanes)(g->epoch == epoch) & (race_lanes)(differs == 0)))
		return true;
	if (race_any(live & (race_lanes)((differs & RACE_WHO(0xff, 0, ACCESS_HARD, 0)) != 0)) || !race_any(same))
		return false;
	g->epoch = race_blend(same, epoch, g->epoch);
	g->who = race_blend(same, accessor, g->who);
	g->pc = race_blend(same, pc, g->pc);
	return true;
}

void race_check_range(uintptr_t address, size_t len_bytes, uint32_t accessor, uint32_t pc, const struct thread *who);

/* An access of @len_bytes, to @address of the arena. */
static inline void race_check(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc, struct thread *who)
{
	uint64_t offset = address - ARENA_BASE;
	uint32_t accessor = RACE_WHO(who->id, 0, flags, who->data.context);
	struct granule *g = &race_granules[offset / 8];

	if (OB_UNLIKELY(W.config.no_races))
		return;
	if ((flags & ACCESS_MARKED) && (flags & (ACCESS_HARD | ACCESS_OPEN)) && offset < HEAP_BYTES)
		race_mark(address, flags, who);
	if (OB_UNLIKELY(offset % 8 + len_bytes > 8)) {
		race_check_range(address, len_bytes, accessor, pc, who);
		return;
	}
	accessor |= (((1u << len_bytes) - 1) << offset % 8) << 8;
	if (!race_is_plain(g, accessor, pc, who))
		race_check_granule(g, accessor, pc, address, who);
}

#endif
