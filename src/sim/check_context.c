/* SPDX-License-Identifier: BSD-2-Clause */
/* Rule: hard context neither waits nor allocates (outboard/cpu.h). */
#include "sim/world.h"

static void complain(const char *rule, const char *what)
{
	report_begin(rule, "%s in hard context", what);
	report_here(0);
	report_end();
}

void check_may_wait(const char *what)
{
	if (W.on && W.current->data.context == CPU_CONTEXT_HARD)
		complain("hard-wait", what);
}

void check_may_allocate(const char *what)
{
	if (W.on && W.current->data.context == CPU_CONTEXT_HARD)
		complain("hard-allocation", what);
}
