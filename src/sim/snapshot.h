/* SPDX-License-Identifier: BSD-2-Clause */
/* The world at a checkpoint, and back to it. */
#ifndef OB_SIM_SNAPSHOT_H
#define OB_SIM_SNAPSHOT_H

#include <stdbool.h>

/* Once per process. 0 or negative errno. Where the system's pages do not fit there are no snapshots, and no error. */
int snapshot_map(void);
/* What the world is now is what it will be brought back to. */
void snapshot_take(void);
/* Back; false: there is none. */
bool snapshot_restore(void);
/* The world is about to start from nothing. */
void snapshot_drop(void);
/* From the signal handler: true if @address was ours, and may be written to now. */
bool snapshot_fault(const void *address);

#endif
