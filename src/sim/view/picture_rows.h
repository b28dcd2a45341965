/* SPDX-License-Identifier: BSD-2-Clause */
/* A picture before it is drawn: what is shown, in which lane, and how far down. */
#ifndef OB_SIM_PICTURE_ROWS_H
#define OB_SIM_PICTURE_ROWS_H

#include "sim/view/event.h"
#include "sim/view/picture.h"
#include "sim/view/symbols.h"

#define ROW_HEIGHT   19.0
#define SMALL_HEIGHT 13.0 /* of what is only told in passing */
#define SIDE_HEIGHT  35.0 /* of the report's two sides */
#define GAP_HEIGHT   16.0 /* of time in which nothing happens */
#define GAP_NS       1000u

/* Lanes by thread, and one for memory. */
#define LANE_MEMORY THREAD_MAX
#define LANE_COUNT  (THREAD_MAX + 1)

struct picture_row {
	struct event e;
	unsigned count;  /* of events like it, one after the other */
	uint64_t gap_ns; /* nothing happened for so long before; 0: less than GAP_NS */
	double top, height;
	int side;             /* of the report: 1 where it happened, 2 the other; 0: neither */
	unsigned first, last; /* events, counted as by event_at() */
	const struct symbol *place;
};

/* Where a thread ran. */
struct picture_bar {
	uint8_t thread, context;
	bool inner; /* an interrupt in the midst of something, or the device inside of a CPU's access */
	double top, bottom;
};

struct picture {
	struct picture_row *rows;
	unsigned row_count;
	struct picture_bar *bars;
	unsigned bar_count, bar_max;
	struct symbol *symbols;
	bool shown[LANE_COUNT];
	double height; /* of all rows */
};

/** picture_collect - the last @max events that say something. 0; -ENODATA; -ENOMEM */
int picture_collect(struct picture *p, unsigned max);
void picture_free(struct picture *p);
/** picture_row_of - the row that shows event @index, or the one before it; -1: it is above the first one */
int picture_row_of(const struct picture *p, unsigned index);
/** picture_height_at - how far down @step is */
double picture_height_at(const struct picture *p, uint32_t step);

/** picture_has_memory - is it about memory, which has a lane? */
bool picture_has_memory(const struct event *e);
/** picture_text - the words of a row in its thread's lane; memory's name stands in memory's own */
void picture_text(const struct picture_row *row, char *text, size_t size);

#endif
