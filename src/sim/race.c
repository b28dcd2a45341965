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

#include "sim/race.h"

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

	vclock_join(to, &t->clock);
	t->clock.t[t->id]++;
}

void race_acquire(const struct vclock *from)
{
	vclock_join(&W.current->clock, from);
	if (W.buffered)
		weak_drain_acquired();
	weak_refresh(W.current->id);
}

/* What rule is broken depends on who was at it, and on what was nearly done right. */
static const char *rule_of(const struct cell *c, unsigned flags, const struct thread *who)
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

static void race_report(const struct cell *c, uintptr_t address, unsigned flags, uint32_t pc, const struct thread *who)
{
	static const char *const contexts[] = {"plain", "hard", "soft", "task"};
	const char *verb = flags & ACCESS_FREE ? "freeing" : flags & ACCESS_WRITE ? "write" : "read";
	const char *rule = rule_of(c, flags, who);
	const char *hint = "";
	char where[96];

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

void race_check_granule(struct granule *g, uint8_t mask, unsigned flags, uint32_t pc, uintptr_t address,
			const struct thread *who)
{
	const struct cell now = {
		.epoch = who->clock.t[who->id],
		.generation = W.generation,
		.thread = (uint8_t)who->id,
		.mask = mask,
		.flags = (uint8_t)flags,
		.context = (uint8_t)who->data.context,
		.pc = pc,
	};
	struct cell *slot = NULL, *empty = NULL;

	for (unsigned i = 0; i < RACE_CELLS; i++) {
		struct cell *c = &g->cells[i];

		if (c->generation != now.generation) {
			empty = c;
			continue;
		}
		if (c->thread == now.thread) {
			if (c->mask == mask && c->flags == now.flags)
				slot = c;
			continue;
		}
		if ((c->mask & mask) == 0 || !((c->flags | flags) & ACCESS_WRITE) || (c->flags & flags & ACCESS_MARKED))
			continue;
		if (OB_UNLIKELY(c->epoch > who->clock.t[c->thread]))
			race_report(c, address, flags, pc, who);
	}
	if (slot == NULL)
		slot = empty;
	/* Full: one that is ordered before us is the least loss. */
	for (unsigned i = 0; slot == NULL && i < RACE_CELLS; i++)
		if (g->cells[i].thread == now.thread || g->cells[i].epoch <= who->clock.t[g->cells[i].thread])
			slot = &g->cells[i];
	if (slot == NULL)
		slot = &g->cells[pc % RACE_CELLS];
	*slot = now;
}
