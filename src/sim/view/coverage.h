/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What runs have come by: places of driver code, places where something came between, faults, states of devices.
 *
 * All of it is in one structure without pointers, which may lie in memory that processes share; what several have
 * collected is put together byte by byte. Collecting costs a look at one byte per basic block; what it means in lines of
 * the source is found out only for who asks, from the program itself and by the system's objdump.
 */
#ifndef OB_SIM_COVERAGE_H
#define OB_SIM_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COVERAGE_TEXT    (4u << 20) /* of a program at most; a power of two */
#define COVERAGE_DEVICES 16         /* in all scenarios that were run, those of another type counted anew */
#define COVERAGE_STATES  256
#define COVERAGE_FAULTS  64

/* Of a place. */
#define COVERAGE_REACHED     1u
#define COVERAGE_PREEMPTED   2u /* another thread ran in between */
#define COVERAGE_INTERRUPTED 4u /* an interrupt came there */

struct sim_coverage {
	uint8_t faults[COVERAGE_FAULTS]; /* that struck, by kind */
	struct {
		uint32_t type;   /* of device: where its struct sim_device_type lies; 0: no device */
		uint32_t number; /* in its scenario */
		uint8_t states[COVERAGE_STATES];
		uint8_t transitions[COVERAGE_STATES][COVERAGE_STATES / 8];
	} devices[COVERAGE_DEVICES];
	uint8_t places[COVERAGE_TEXT]; /* by return address, less the place where the program lies */
};

/* What it comes to. A total of 0: not known, since the program has no names or no line numbers. */
struct sim_coverage_figures {
	unsigned blocks, blocks_reached, blocks_preempted, blocks_interrupted;
	unsigned lines, lines_reached;
	unsigned faults, faults_struck;
	unsigned states, transitions; /* that were seen */
};

/** sim_coverage_into - where the runs of this process collect from now on; NULL: in memory of its own */
void sim_coverage_into(struct sim_coverage *coverage);
/** sim_coverage - where they do */
struct sim_coverage *sim_coverage(void);
/** sim_coverage_add - what @from has, @to has too */
void sim_coverage_add(struct sim_coverage *to, const struct sim_coverage *from);
/** sim_coverage_figures - count, in files that were used; a fraction of a second. Lines too if @lines says so */
void sim_coverage_figures(const struct sim_coverage *c, bool lines, struct sim_coverage_figures *out);
/** sim_coverage_print - a few lines for the summary of an exploration: the figures, and the faults that never struck */
void sim_coverage_print(const struct sim_coverage *c, FILE *f);
/**
 * sim_coverage_write - all of it: figures per file, states, and the sources with what was not reached marked
 *
 * Return: 0; -ENOENT the program has no line numbers, or objdump is not there; or what writing ended with.
 */
int sim_coverage_write(const struct sim_coverage *c, FILE *f);
/** sim_coverage_reached - was code of line @line of a source whose path ends with @file reached? -1: it has none */
int sim_coverage_reached(const struct sim_coverage *c, const char *file, unsigned line);

#endif
