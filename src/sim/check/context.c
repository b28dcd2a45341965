/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for contexts (outboard/cpu.h): hard context neither waits nor allocates, soft context does not wait, nobody
 * waits with a lock held or without a deadline.
 */
#include "core/watch.h"
#include "sim/world.h"

static void complain(const char *rule, const char *what, const char *where)
{
	report_begin(rule, "%s%s", what, where);
	report_here(0);
	report_end();
}

void check_may_wait(const char *what)
{
	if (!W.on)
		return;
	if (W.current->data.context == CPU_CONTEXT_HARD)
		complain("hard-wait", what, " in hard context");
	check_lock_wait(what);
}

/* The CPU's loop sleeps in soft context as well; nothing that it calls may. */
void check_may_sleep(const char *what)
{
	check_may_wait(what);
	if (W.on && W.current->data.context == CPU_CONTEXT_SOFT && !W.current->frames->lock_wanted)
		complain("soft-wait", what, " in soft context");
}

void check_may_allocate(const char *what)
{
	if (W.on && W.current->data.context == CPU_CONTEXT_HARD)
		complain("hard-allocation", what, " in hard context");
}

/* Whether or not it has to wait this time. */
void watch_wait(const char *call, uint64_t deadline_ns)
{
	world_capture();
	check_may_sleep(call);
	if (W.on && deadline_ns == NEVER)
		complain("unbounded-wait", call, " without a deadline");
}
