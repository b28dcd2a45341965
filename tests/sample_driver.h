/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver for core's tests that takes some of everything the kit has, and what happened to it. */
#ifndef TESTS_SAMPLE_DRIVER_H
#define TESTS_SAMPLE_DRIVER_H

#include <outboard/driver.h>

#include "core/cpu.h"

/* Cleared by sample_start(). */
struct sample_seen {
	/* what the test asks for */
	int probe_error;
	bool leak;      /* fail, and undo nothing */
	bool wait_long; /* wait for a register that never changes */
	/* what happened */
	unsigned probes, removes; /* __atomic */
	enum cpu_context context;
	const struct ob_match *row;
	char order[16]; /* first letters of the removed */
};
extern struct sample_seen seen;

/* Rows: ids 0x1234:1, then the class of NVMe. */
extern const struct ob_match sample_match[];
extern const struct ob_driver sample_driver;

/* A context with the driver registered; CPUs but the first run on threads. */
struct ob *sample_start(unsigned cpus);
/* Destroys it; nothing is left at the machine. */
void sample_finish(struct ob *ob);

#endif
