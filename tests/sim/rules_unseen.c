/* SPDX-License-Identifier: BSD-2-Clause */
/* What no callback tells of: a store, as assembler or somebody else's library makes it, and a loop that touches nothing. */
#include <sys/time.h>

#include "tests/sim/rules.h"

void rules_store_unseen(uint8_t *at)
{
	*(volatile uint8_t *)at = 0xa5;
}

void rules_loop(const struct sim_config *config)
{
	const struct itimerval soon = {.it_value.tv_usec = 100000};

	setitimer(ITIMER_VIRTUAL, &soon, NULL);
	for (;;)
		__asm__ volatile(""); /* an empty one the compiler may take for one that ends */
}
