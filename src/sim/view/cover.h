/* SPDX-License-Identifier: BSD-2-Clause */
/* Coverage, for the files of the world: what runs come by is marked here. */
#ifndef OB_SIM_COVER_H
#define OB_SIM_COVER_H

#include "sim/view/coverage.h"
#include "sim/world.h"

extern struct sim_coverage *coverage;

/* @what happened at @pc. Written only when it is new: the memory may be shared. */
static inline void coverage_place(uint32_t pc, unsigned what)
{
	uint8_t *place = &coverage->places[MIN(pc, COVERAGE_TEXT - 1)];

	if (OB_UNLIKELY((*place & what) != what))
		*place |= (uint8_t)what;
}

static inline void coverage_fault(unsigned kind)
{
	coverage->faults[kind % COVERAGE_FAULTS] = 1;
}

/* A device went from state @before to @now. */
void coverage_state(unsigned device, const void *type, unsigned before, unsigned now);

/* ---- coverage_lines.c: the program's blocks and lines ---- */

/* A basic block of driver code. */
struct code_block {
	/* Less the place where the program lies: from @at to the next one's, or to @end of the function. */
	uint64_t at, end;
	uint64_t ret;  /* where the call that marks it returns to */
	unsigned file; /* index; UINT_MAX: none */
	uint8_t seen;  /* COVERAGE_… */
};

#define LINE_NONE   0u
#define LINE_MISSED 1u
#define LINE_SEEN   2u

struct code_file {
	char *path; /* as the compiler was told */
	unsigned lines, lines_reached, blocks, blocks_reached;
	unsigned line_end; /* above the last that has code */
	uint64_t at;       /* where some of its code lies */
	uint8_t *line;     /* by number: LINE_… */
};

struct code_map {
	struct code_block *blocks; /* by address */
	unsigned block_count;
	struct code_file *files; /* with at least one block */
	unsigned file_count;
};

/** code_map_make - of this program, with what @c has of it. 0; -ENOENT no names; -ENOMEM */
int code_map_make(const struct sim_coverage *c, struct code_map *map);
/** code_map_lines - … and the lines. 0; -ENOENT no line numbers, or no objdump; -ENOMEM */
int code_map_lines(struct code_map *map);
void code_map_free(struct code_map *map);

#endif
