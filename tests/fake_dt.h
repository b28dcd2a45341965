/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine in the test process that has a device tree and nothing behind it but what the test puts there: for the bus's
 * own unit tests, and those of what stands on it. The tree is written with the functions below, or is any bytes.
 */
#ifndef TESTS_FAKE_DT_H
#define TESTS_FAKE_DT_H

#include <outboard/outboard.h>

#include "core/machine_core.h"

#define FAKE_DT_BYTES     0x80000
#define FAKE_LINES        8
#define FAKE_MEMORY       0x123456000ull
#define FAKE_MEMORY_BYTES 0x40000

struct fake_line {
	uint64_t controller;
	uint32_t number;
	int fd;
	bool level;
	unsigned asked; /* for its level */
};

struct fake_dt {
	struct machine m; /* first */
	struct machine_bus bus[2];
	uint8_t blob[FAKE_DT_BYTES];
	/* What registers do; @address is the machine's. NULL: they read as the low half of their address. */
	uint64_t (*read)(uint64_t address, unsigned size_bytes);
	void (*write)(uint64_t address, unsigned size_bytes, uint64_t value);
	bool no_lines; /* the machine has none */
	struct fake_line lines[FAKE_LINES];
	unsigned line_count, lines_open, regions_open;
	uint64_t region_address, region_bytes; /* of the last that was opened */
	size_t memory_used;
	unsigned memory_pieces;
	_Alignas(4096) uint8_t memory[FAKE_MEMORY_BYTES]; /* for DMA, from FAKE_MEMORY on; given out once */
};

extern struct fake_dt fake_dt;
extern const struct machine_type fake_dt_type;

/* ---- writing a tree: begin, nodes and properties, end ---- */

/* The root has two cells of address and of size, and its interrupts go to phandle 1, unless @plain. */
void fake_dt_begin(bool plain);
void fake_dt_end(void);
void fake_dt_node(const char *name);
void fake_dt_up(void);
/* Cells, the last of which is FAKE_DT_LAST. */
#define FAKE_DT_LAST 0x5a5a5a5au
void fake_dt_cells(const char *name, ...);
/* Strings, as they stand in the tree: separated by NUL, and one more at the end that the literal has. */
#define fake_dt_text(name, literal) fake_dt_bytes(name, literal, sizeof(literal))
void fake_dt_bytes(const char *name, const void *value, size_t len_bytes);
/* A GICv2 at 0x8000000, phandle 1. */
void fake_dt_gic(void);

/* ---- opening it ---- */

/* What machine_open() says; the drivers end with NULL. */
int fake_dt_open(const struct ob_driver *const *drivers, struct ob **ob, struct ob_machine **machine);
/* … and nothing is left. */
void fake_dt_close(struct ob *ob, struct ob_machine *machine);
/* How many devices there are. */
unsigned fake_dt_count(struct ob_machine *machine);
/* Not held; NULL. */
struct ob_device *fake_dt_device(struct ob_machine *machine, const char *name);
bool fake_dt_logged(const char *text);
/* Let the line rise or fall. */
void fake_dt_set(uint32_t number, bool level);

#endif
