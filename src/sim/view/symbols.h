/* SPDX-License-Identifier: BSD-2-Clause */
/* Places of the program as lines of its source. By the system's addr2line, and slow: for who reads, not for a run. */
#ifndef OB_SIM_SYMBOLS_H
#define OB_SIM_SYMBOLS_H

#include <stdint.h>

struct symbol {
	char all[384];   /* "function at file:line", and what it was inlined into */
	char place[128]; /* the same for the innermost one that is not a header's */
};

/* @pcs: return addresses, less the place where the program lies; at most some hundred. Without a name: the number. */
void symbols_find(const uint32_t *pcs, unsigned count, struct symbol *out);

#endif
