/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts in the midst of driver and class code, which promise to survive one anywhere. Core takes them between its
 * steps: its frames are never open, so it is not interrupted when a driver calls it either.
 *
 * Who is ordered with whom, on one CPU: nothing comes between the accesses of a handler, and all of it is seen behind it.
 * So only the interrupted code can go wrong, when it uses plainly what the handler uses too: it may be anywhere between
 * two of its accesses, and its compiler need not make one access of one. What keeps the two apart is in race_hard.c
 * (`hard_known`, `code_known`): the vector masked or not requested, words that the code marks, the interrupt that comes of
 * a register that the code wrote, and a function or task that core starts behind the handler.
 */
#include "core/os.h"
#include "sim/choice.h"
#include "sim/view/cover.h"
#include "sim/view/event.h"
#include "sim/world.h"

static void deliver(void (*fn)(struct ob_fd *fd), struct ob_fd *fd)
{
	struct thread *t = W.current;
	unsigned context = t->data.context;
	uint32_t pc = t->pc;

	t->interrupted = true;
	t->data.context = CPU_CONTEXT_HARD;
	W.mode = ACCESS_HARD;
	W.hard_preemptions++;
	/* The handler's accesses have a time of their own. */
	t->clock.t[t->id]++;
	world_mix(0x4a4d);
	event_add(EVENT_HARD_BEGIN, 0, 0);
	coverage_place(t->pc, COVERAGE_INTERRUPTED);
	fn(fd);
	world_capture();
	event_add(EVENT_HARD_END, 0, 0);
	t->clock.t[t->id]++;
	t->data.context = context;
	t->pc = pc;
	t->interrupted = false;
	W.mode = ACCESS_OPEN;
}

/* An interrupt that is pending on this CPU may come now. */
void world_interrupt(void)
{
	struct thread *t = W.current;

	if (!W.config.preempt_hard || t->data.context == CPU_CONTEXT_HARD || !random_one_in(&W.random_schedule, 4))
		return;
	for (unsigned i = 0; i < W.poller_count; i++) {
		struct os_poller *p = &W.pollers[i];

		if (!p->open || p->thread != t)
			continue;
		for (unsigned j = 0; j < p->fd_count; j++) {
			struct ob_fd *fd = p->fds[j].arg;

			if (world_fd_ready(p->fds[j].fd)) {
				if (choice_counts(SIM_CHOICE_INTERRUPT))
					deliver(fd->fn, fd);
				return;
			}
		}
	}
}

void __sanitizer_cov_trace_pc(void);

/*
 * Called at each basic block of drivers and classes, and there alone: so it marks their frames, at the first block, which
 * comes right behind __tsan_func_entry(). The last one may come behind __tsan_func_exit(), and a function that touches no
 * memory has neither: the frame on top is the caller's then, which may be core's.
 */
void __sanitizer_cov_trace_pc(void)
{
	struct thread *t = W.current;
	struct frames *f;
	bool first;

	if (OB_UNLIKELY(!W.on))
		return;
	world_capture();
	first = W.entered == W.steps;
	t->pc = WORLD_PC();
	coverage_place(WORLD_PC(), COVERAGE_REACHED);
	world_step(0xb10c);
	f = t->frames;
	if (OB_UNLIKELY(f->depth - 1u >= FRAME_MAX || t->data.cpu == NULL))
		return;
	if (first && !(f->pc[f->depth - 1] & FRAME_OPEN)) {
		f->pc[f->depth - 1] |= FRAME_OPEN;
		world_mode_update();
		/* Core calls a driver: the handlers before that have ended, and what they told of is known. */
		if (W.mode == ACCESS_OPEN && (f->depth == 1 || !(f->pc[f->depth - 2] & FRAME_OPEN)))
			t->hard_known = t->clock.t[t->id];
	}
	world_interrupt_maybe();
}

/* A vector of this CPU is masked, or no longer, or it comes or goes: no handler runs on the other side of this. */
void os_handlers_apart(void)
{
	struct thread *t = W.current;

	t->hard_known = t->code_known = t->clock.t[t->id]++;
}

/* The handler of an interrupt begins, which its device raised when it knew of @clock. */
void preempt_caused(const struct vclock *clock)
{
	struct thread *t = W.current;

	t->code_known = MAX(t->code_known, clock->t[t->id]);
}

/* A task goes on. */
void preempt_resumed(void)
{
	struct thread *t = W.current;

	t->hard_known = t->clock.t[t->id];
	world_mode_update();
}
