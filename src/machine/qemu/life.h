/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the QEMU behind a machine lives. Everything that talks to it asks here first, and says here when it learned
 * that QEMU is gone. The supervisor thread does what follows from that: see supervisor.h.
 */
#ifndef OB_MACHINE_QEMU_LIFE_H
#define OB_MACHINE_QEMU_LIFE_H

#include "machine/machine.h"

struct qemu_life {
	struct machine *machine; /* .dead is the flag */
	uint64_t wait_ns;        /* how long an answer may take before QEMU counts as hung */
	int fd;                  /* eventfd: the supervisor is to look */
	int buried_fd;           /* eventfd: readable for ever once .buried is set */
	bool watched;            /* there is a supervisor */
	bool hung;               /* __atomic: it still runs, so no last words are to be expected */
	bool buried;             /* __atomic: nothing of it writes to the memory any more, or it was given up */
	unsigned ended;          /* __atomic: someone wrote .why, or is about to */
	char why[160];           /* set before .dead */
};

static inline bool qemu_life_over(const struct qemu_life *life)
{
	return __atomic_load_n(&life->machine->dead, __ATOMIC_ACQUIRE);
}

/*
 * After the end: wait until the supervisor has killed and reaped it. Only then may somebody be told that a request has
 * ended: until then the device may still write to the request's buffer. Bounded; at once when nobody supervises.
 */
void qemu_life_await_burial(struct qemu_life *life);
void qemu_life_bury(struct qemu_life *life);

/* QEMU is gone. The first caller's reason counts. Any thread, with any lock held: it only marks and wakes. */
void qemu_life_end(struct qemu_life *life, const char *format, ...) OB_PRINTF(2, 3);

#endif
