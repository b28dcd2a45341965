/* SPDX-License-Identifier: BSD-2-Clause */
/* A store that no callback tells of, as assembler or somebody else's library makes it. */
#include "tests/sim/rules.h"

void rules_store_unseen(uint8_t *at)
{
	*(volatile uint8_t *)at = 0xa5;
}
