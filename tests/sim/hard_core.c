/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands for core in the tests of handlers: instrumented, and without a call at each basic block. */
#include "tests/sim/hard.h"

void hard_core_call(void (*fn)(unsigned value), unsigned *count)
{
	fn(*count);
	(*count)++;
	fn(*count);
	(*count)++;
}
