/* SPDX-License-Identifier: BSD-2-Clause */
/* Keeping events: see event.h. Nothing is put into words here, and nothing is looked up. */
#include "sim/view/event.h"
#include "sim/view/cover.h"

#include <sys/mman.h>

#define VISIBLE_PAGE 4096

SIM_STATE struct event_log event_log;
SIM_STATE static struct event ring[EVENT_RING];
static struct event *whole; /* from its start to event_log.count it is as the state says */

struct event *event_buffer = ring;
uint32_t event_mask = EVENT_RING - 1;

void event_reset(bool record)
{
	if (record && whole == NULL) {
		void *map = mmap(NULL, EVENT_WHOLE * sizeof(*whole), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		whole = map == MAP_FAILED ? NULL : map;
	}
	event_log.count = 0;
	/* Without the memory for all, the last ones must do. */
	event_buffer = record && whole != NULL ? whole : ring;
	event_mask = event_buffer == ring ? EVENT_RING - 1 : EVENT_WHOLE - 1;
}

void event_switch(const struct thread *from, const struct thread *to)
{
	enum event_why why = EVENT_PREEMPTED;
	const char *what = NULL;
	struct event *e;

	if (from->state == THREAD_DONE) {
		why = EVENT_ENDED;
	} else if (from->state == THREAD_WAITING) {
		why = from->wait_what == sched_stall ? EVENT_STALLED : EVENT_WAITS;
		what = from->wait_what;
	} else if (W.yields) {
		why = EVENT_YIELDS;
	}
	W.yields = false;
	if (why <= EVENT_STALLED && frames_open(from->frames))
		coverage_place(from->pc, COVERAGE_PREEMPTED);
	e = event_of(from, EVENT_SWITCH, to->id, (uintptr_t)what);
	e->flags = (uint8_t)why;
}

static struct event *last(void)
{
	return event_log.count > 0 ? &event_buffer[(event_log.count - 1) & event_mask] : NULL;
}

/* Stores to one page that become visible one after the other are one event. */
void event_visible(unsigned thread, uintptr_t address, size_t len_bytes, uint32_t step, uint32_t pc)
{
	struct event *e = last();

	if (e != NULL && e->kind == EVENT_VISIBLE && e->thread == thread && e->step == (uint32_t)W.steps &&
	    e->a / VISIBLE_PAGE == address / VISIBLE_PAGE) {
		uint64_t end = MAX(e->a + e->b, address + len_bytes);

		e->a = MIN(e->a, address);
		e->b = end - e->a;
		e->link = MIN(e->link, step);
		e->flags = (uint8_t)MIN(e->flags + 1u, 255u);
		return;
	}
	e = event_of(&W.threads[thread], EVENT_VISIBLE, address, len_bytes);
	e->link = step;
	e->pc = pc;
	e->flags = 1;
}

/* Who polls a word finds it old many times. */
void event_old(uintptr_t address, size_t len_bytes)
{
	struct event *e = last();

	if (e != NULL && e->kind == EVENT_OLD && e->thread == W.current->id && e->a == address) {
		e->link++;
		return;
	}
	event_add(EVENT_OLD, address, len_bytes);
}
