/* SPDX-License-Identifier: BSD-2-Clause */
/* Rule: a driver asks core and classes only for what it may have. They refuse the rest, and the driver may not notice. */
#include "core/watch.h"

#include "sim/world.h"

void watch_misuse(const char *what, uint64_t value)
{
	world_capture();
	report_begin("misuse", "%s (%#llx)", what, (unsigned long long)value);
	report_here(WORLD_PC());
	report_end();
}
