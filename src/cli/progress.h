/* SPDX-License-Identifier: BSD-2-Clause */
/* One line on standard error that says how far long work is: on a terminal only, four times a second. */
#ifndef OB_CLI_PROGRESS_H
#define OB_CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
	bool on;
	uint64_t start_ns, next_ns;
};

void progress_start(struct progress *p, const struct cli *cli);
/** progress_due - is it time for another line? Reads the clock; false at once when off. */
bool progress_due(struct progress *p);
/** progress_bytes - "42.1 %  1.2 GiB of 2.9 GiB  310.0 MiB/s  6 s left"; @total 0: not known */
void progress_bytes(struct progress *p, uint64_t done, uint64_t total);
/** progress_text - any line */
void progress_text(struct progress *p, const char *format, ...) OB_PRINTF(2, 3);
/** progress_clear - take the line away; what follows starts in an empty one. Any thread. */
void progress_clear(void);

#endif
