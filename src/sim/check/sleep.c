/* SPDX-License-Identifier: BSD-2-Clause */
/* Rule: no CPU sleeps with work that others have given it. Looked at when all sleep, so that nobody is about to wake it. */
#include "core/watch.h"

#include "sim/check/check.h"
#include "sim/world.h"

void watch_sleep(const void *inbox)
{
	world_capture();
	W.current->inbox = inbox;
}

void check_sleep(void)
{
	const struct thread *sleeper = NULL;

	for (unsigned i = THREAD_MAIN; i < W.thread_count; i++) {
		const struct thread *t = &W.threads[i];

		if (t->state == THREAD_WAITING && t->wait_what == sched_stall)
			return;
		if (t->state == THREAD_WAITING && t->inbox != NULL && *t->inbox != NULL)
			sleeper = t;
	}
	if (OB_LIKELY(sleeper == NULL))
		return;
	report_begin("lost-wakeup", "%s sleeps, and has work that another CPU has given it", sleeper->name);
	sched_tell_threads();
	report_end();
}
