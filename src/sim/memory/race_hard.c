/* SPDX-License-Identifier: BSD-2-Clause */
/* Races of an interrupt handler with the code that it came into, on the same CPU; preempt.c tells what orders them. */
#include "sim/memory/race.h"

/* A word of the heap that drivers or handlers access as OB_WRITE_ONCE() or an atomic does: who wrote it last. */
#define MARK_COUNT 1024u

struct mark {
	uintptr_t address;
	uint32_t generation, epoch;
	uint8_t thread, side; /* ACCESS_HARD, or 0: the code */
};

static struct mark marks[MARK_COUNT]; /* of this generation, as the race detector's memory */

/* It tells handlers of what was done before it was written, and the code of what they did. */
void race_mark(uintptr_t address, unsigned flags, struct thread *who)
{
	unsigned i = (unsigned)((address >> 2) * 2654435761u % MARK_COUNT), probes = 0;
	uint8_t side = flags & ACCESS_HARD;
	struct mark *m;

	for (m = &marks[i]; m->generation == W.generation && (m->address != address || m->thread != who->id);
	     m = &marks[i = (i + 1) % MARK_COUNT]) {
		if (++probes < MARK_COUNT)
			continue;
		/* No room to know better. */
		who->code_known = who->hard_known = who->clock.t[who->id];
		return;
	}
	if (m->generation == W.generation && m->side != side && (!(flags & ACCESS_WRITE) || (flags & ACCESS_ATOMIC))) {
		uint32_t *known = side ? &who->code_known : &who->hard_known;

		*known = MAX(*known, m->epoch);
	}
	/* What comes after it has a later time. */
	if (flags & ACCESS_WRITE)
		*m = (struct mark){address, W.generation, who->clock.t[who->id]++, (uint8_t)who->id, side};
}

static void complain(unsigned before, uint32_t before_pc, unsigned now, uint32_t pc, uintptr_t address)
{
	static const char code[] = "code that it interrupts", handler[] = "an interrupt handler";
	bool hard = (RACE_FLAGS(now) & ACCESS_HARD) != 0;
	const struct thread *t = W.current;
	char where[96];

	report_describe(address, where, sizeof(where));
	report_begin("data-race", "%s of %s by %s is not ordered with the %s by %s on the same CPU",
		     RACE_FLAGS(now) & ACCESS_WRITE ? "write" : "read", where, hard ? handler : code,
		     RACE_FLAGS(before) & ACCESS_WRITE ? "write" : "read", hard ? code : handler);
	report_here(pc);
	report_text("before that, %s in %s context, at\n", t->name, report_context_name(RACE_CONTEXT(before)));
	report_pcs(&before_pc, 1);
	report_text("what a hard handler uses is marked in the code that it may interrupt, or used with the vector "
		    "masked\n");
	report_involve(RACE_THREAD(before), before_pc);
	report_end();
}

/* Of what is kept at @place and what is made now, the one is the handler's. */
void race_check_hard(const struct granule *g, unsigned place, uint32_t accessor, uint32_t pc, uintptr_t address)
{
	const struct thread *t = W.current;
	uint32_t before = g->who[place];
	bool hard = (RACE_FLAGS(accessor) & ACCESS_HARD) != 0;
	unsigned code = RACE_FLAGS(hard ? before : accessor);

	/* Both use the same stack, one after the other. */
	if ((RACE_MASK(before) & RACE_MASK(accessor)) == 0 || address >= ARENA_BASE + STACK_OFFSET)
		return;
	if ((code & (ACCESS_OPEN | ACCESS_MARKED)) == ACCESS_OPEN && (RACE_FLAGS(before | accessor) & ACCESS_WRITE) &&
	    g->epoch[place] > (hard ? t->code_known : t->hard_known))
		complain(before, g->pc[place], accessor, pc, address);
}
