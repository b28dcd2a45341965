/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data races, by vector clocks. The device is a thread like the CPUs: what orders it with a CPU is a register access, an
 * interrupt, or a word in shared memory with a barrier on the CPU's side. So a missing barrier is reported whenever its
 * path runs, whatever the values were.
 *
 * For each 8 bytes the last few accesses are kept: who, when by its own clock, which bytes, from where.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "sim/fault/fault.h"
#include "sim/memory/promise.h"
#include "sim/memory/race.h"

#define SYNC_COUNT 16384u

struct sync {
	uintptr_t key;
	uint32_t generation;
	struct vclock clock;
};

struct granule *race_granules;
static struct sync syncs[SYNC_COUNT];

int race_map(void)
{
	race_granules = mmap(NULL, ARENA_BYTES / 8 * sizeof(*race_granules), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return race_granules == MAP_FAILED ? -ENOMEM : 0;
}

struct vclock *race_sync(uintptr_t address, bool make)
{
	uintptr_t key = address >> 2;
	unsigned i = (unsigned)(key * 2654435761u % SYNC_COUNT);

	for (unsigned probes = 0; probes < SYNC_COUNT; probes++, i = (i + 1) % SYNC_COUNT) {
		struct sync *s = &syncs[i];

		if (s->generation == W.generation && s->key == key)
			return &s->clock;
		if (s->generation == W.generation)
			continue;
		if (!make)
			return NULL;
		*s = (struct sync){.key = key, .generation = W.generation};
		return &s->clock;
	}
	report_begin("simulator", "more than %u words that synchronise", SYNC_COUNT);
	report_end();
}

void race_release(struct vclock *to)
{
	struct thread *t = W.current;

	promise_barrier();
	history_drain(t);
	vclock_join(to, &t->clock);
	t->clock.t[t->id]++;
}

void race_release_to(struct vclock *to)
{
	memset(to, 0, sizeof(*to));
	race_release(to);
}

void race_acquire_clock(const struct vclock *from)
{
	promise_barrier();
	vclock_join(&W.current->clock, from);
	if (W.buffered)
		weak_drain_acquired();
	weak_refresh(W.current->id);
}

void race_acquire(const struct vclock *from)
{
	race_acquire_clock(from);
	W.current->floor = W.order;
}

/* The access that was made before. */
struct before {
	uint32_t epoch, pc;
	unsigned thread, flags, context;
};

bool race_device_is_at(uintptr_t address)
{
	const struct granule *g = &race_granules[(address - ARENA_BASE) / 8];

	for (unsigned i = 0; i < RACE_CELLS; i++)
		if (g->generation[i] == W.generation && RACE_THREAD(g->who[i]) == THREAD_DEVICE &&
		    g->epoch[i] > W.current->clock.t[THREAD_DEVICE])
			return true;
	return false;
}

/* What rule is broken depends on who was at it, and on what was nearly done right. */
static const char *rule_of(const struct before *c, unsigned flags, const struct thread *who)
{
	bool with_device = c->thread == THREAD_DEVICE || who->id == THREAD_DEVICE;

	if (flags & ACCESS_FREE)
		return with_device ? "dma-freed-in-use" : "freed-in-use";
	if (!with_device)
		return "data-race";
	if (who->id == THREAD_DEVICE && (c->flags & ACCESS_WRITE) && c->epoch <= W.threads[c->thread].doorbell_epoch)
		return "write-barrier";
	if (c->thread == THREAD_DEVICE && (c->flags & ACCESS_WRITE) && !(flags & ACCESS_WRITE) &&
	    c->epoch <= W.views[who->id].pending.t[THREAD_DEVICE])
		return "read-barrier";
	return "dma-race";
}

static void race_report(const struct granule *g, unsigned place, uintptr_t address, unsigned flags, uint32_t pc,
			const struct thread *who)
{
	const struct before before = {
		.epoch = g->epoch[place],
		.pc = g->pc[place],
		.thread = RACE_THREAD(g->who[place]),
		.flags = RACE_FLAGS(g->who[place]),
		.context = RACE_CONTEXT(g->who[place]),
	};
	const struct before *c = &before;
	static const char *const contexts[] = {"plain", "hard", "soft", "task"};
	const char *verb = flags & ACCESS_FREE ? "freeing" : flags & ACCESS_WRITE ? "write" : "read";
	const char *rule = rule_of(c, flags, who);
	const char *hint = "";
	char where[96];

	/* A device that told what is not so may have been let at memory that is another's by now. */
	if ((W.fault_excuses & FAULT_EXCUSE_DMA) != 0 && (c->thread == THREAD_DEVICE || who->id == THREAD_DEVICE))
		return;
	if (strcmp(rule, "write-barrier") == 0)
		hint = ": no barrier between this store and the doorbell that told of it";
	else if (strcmp(rule, "read-barrier") == 0)
		hint = ": no read barrier between the word that told of it and this load";
	report_describe(address, where, sizeof(where));
	report_begin(rule, "%s of %s by %s is not ordered with the %s by %s%s", verb, where, who->name,
		     c->flags & ACCESS_WRITE ? "write" : "read", W.threads[c->thread].name, hint);
	if (who->id == THREAD_DEVICE)
		report_text("the device %s it, asked by its queues\n", flags & ACCESS_WRITE ? "writes" : "reads");
	else
		report_here(pc);
	if (c->thread == THREAD_DEVICE) {
		report_text("the device had %s it\n", c->flags & ACCESS_WRITE ? "written" : "read");
	} else {
		report_text("before that, %s in %s context, at\n", W.threads[c->thread].name, contexts[c->context & 3]);
		report_pcs(&c->pc, 1);
	}
	report_involve(c->thread, c->pc);
	report_end();
}

static bool conflicts(uint32_t one, uint32_t other)
{
	uint32_t flags = RACE_FLAGS(one | other);

	return (RACE_MASK(one) & RACE_MASK(other)) != 0 && (flags & ACCESS_WRITE) != 0 &&
	       (RACE_FLAGS(one & other) & ACCESS_MARKED) == 0;
}

/* Nobody's place, or that of an access which is ordered before us: the least loss. */
static unsigned place_for(const struct granule *g, uint32_t accessor, uint32_t pc, const struct thread *who)
{
	unsigned free = RACE_CELLS;

	for (unsigned i = 0; i < RACE_CELLS; i++) {
		if (g->generation[i] != W.generation)
			free = i;
		else if (((g->who[i] ^ accessor) & 0xffffff) == 0)
			return i;
	}
	for (unsigned i = 0; free == RACE_CELLS && i < RACE_CELLS; i++)
		if (RACE_THREAD(g->who[i]) == who->id || g->epoch[i] <= who->clock.t[RACE_THREAD(g->who[i])])
			free = i;
	return free < RACE_CELLS ? free : pc % RACE_CELLS;
}

void race_check_granule(struct granule *g, uint32_t accessor, uint32_t pc, uintptr_t address, const struct thread *who)
{
	unsigned place;

	for (unsigned i = 0; i < RACE_CELLS; i++) {
		if (g->generation[i] != W.generation)
			continue;
		if (RACE_THREAD(g->who[i]) == who->id) {
			if (OB_UNLIKELY(RACE_FLAGS(g->who[i] ^ accessor) & ACCESS_HARD))
				race_check_hard(g, i, accessor, pc, address);
			continue;
		}
		if (!conflicts(g->who[i], accessor))
			continue;
		if (OB_UNLIKELY(g->epoch[i] > who->clock.t[RACE_THREAD(g->who[i])]))
			race_report(g, i, address, RACE_FLAGS(accessor), pc, who);
	}
	place = place_for(g, accessor, pc, who);
	g->epoch[place] = who->clock.t[who->id];
	g->generation[place] = W.generation;
	g->who[place] = accessor;
	g->pc[place] = pc;
}

void race_check_range(uintptr_t address, size_t len_bytes, uint32_t accessor, uint32_t pc, const struct thread *who)
{
	while (len_bytes > 0) {
		unsigned from = address % 8, count = (unsigned)MIN(len_bytes, (size_t)(8 - from));
		uint32_t one = accessor | (((1u << count) - 1) << from) << 8;
		struct granule *g = &race_granules[(address - ARENA_BASE) / 8];

		if (!race_is_plain(g, one, pc, who))
			race_check_granule(g, one, pc, address, who);
		address += count;
		len_bytes -= count;
	}
}
