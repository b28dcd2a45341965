/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Litmus shapes as data: some sides, each a few accesses and barriers in a row, on words that start at 0. litmus.c has
 * them and runs them, instrumented as a driver is; litmus_test.c judges what comes out.
 */
#ifndef TESTS_SIM_LITMUS_H
#define TESTS_SIM_LITMUS_H

#include "sim/sim.h"

#define SHAPE_SIDES 4
#define SHAPE_OPS   5
#define SHAPE_WORDS 4
#define SHAPE_REGS  4

enum shape_op_kind {
	OP_NONE, /* the end */
	OP_NOTHING,
	OP_STORE,     /* word, value */
	OP_STORE_REG, /* word, register */
	OP_LOAD,      /* word, register */
	OP_ADD,       /* word, register: a read-modify-write */
	OP_IF,        /* register: go on only if it is not 0 */
	OP_FENCE,     /* C11 */
	OP_DMA_WMB,
	OP_DMA_RMB,
	OP_DMA_MB,
	OP_MMIO_WMB,
	OP_MMIO_RMB,
};

struct shape_op {
	enum shape_op_kind kind;
	unsigned word, arg;
	int order; /* C11 */
};

enum shape_memory {
	SHAPE_DMA,    /* words of shared memory by ob_le32_load() and ob_le32_store(); word 3 is a register */
	SHAPE_ATOMIC, /* C11 atomics on the heap */
};

struct shape {
	const char *name;
	enum shape_memory memory;
	bool weak;     /* what no interleaving gives may come out */
	bool promised; /* … but only when stores are made before earlier loads */
	bool last_is_device;
	unsigned finals; /* a bit for each word whose last value counts */
	struct shape_op sides[SHAPE_SIDES][SHAPE_OPS];
};

extern const struct shape shapes[];
extern const unsigned shape_count;

struct shape_outcome {
	uint8_t regs[SHAPE_REGS], words[SHAPE_WORDS];
};

extern const struct sim_scenario shape_scenario;
/* What the scenario runs from now on, and what came out. */
void shape_select(const struct shape *shape);
void shape_result(struct shape_outcome *out);

#endif
