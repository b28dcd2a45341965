/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disk behind the plugin: a machine, a block device, a lane per CPU, and requests of any offset and length in
 * bytes. Where these are not whole blocks, what is around them is read first and written back, alone on those blocks.
 */
#ifndef OB_SERVE_NBD_DISK_H
#define OB_SERVE_NBD_DISK_H

#include <outboard/outboard.h>

#include "serve/nbd/lane.h"
#include "serve/nbd/range.h"

enum {
	DISK_ARGS_MAX = 128
};

struct disk_config {
	const char *machine, *device; /* device NULL: the first */
	const char *args[DISK_ARGS_MAX + 1];
	unsigned arg_count, cpus, depth;
	enum ob_completion_mode mode;
	void (*log)(void *arg, enum ob_log_level level, const char *text);
	enum ob_log_level log_level;
};

struct disk {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_block_limits limits; /* as they were when it was opened; the size is asked for anew */
	struct lane *lanes;
	unsigned lane_count, next_lane; /* atomic */
	struct range_table ranges;
};

/** disk_open - a plain thread; 0 or negative errno, with the reason in the log or in *what */
int disk_open(const struct disk_config *config, struct disk **out, const char **what);
void disk_close(struct disk *disk);
uint64_t disk_size(const struct disk *disk);
/** disk_lane - the next lane, for one more client */
struct lane *disk_lane(struct disk *disk);

/* All: 0 or negative errno. @fua: durable on return. */
int disk_read(struct disk *disk, struct lane *lane, void *buffer, uint64_t count, uint64_t offset);
int disk_write(struct disk *disk, struct lane *lane, const void *buffer, uint64_t count, uint64_t offset, bool fua);
int disk_zero(struct disk *disk, struct lane *lane, uint64_t count, uint64_t offset, bool may_trim, bool fua);
/** disk_trim - a hint: whole blocks only, the rest of an unaligned range keeps its data */
int disk_trim(struct disk *disk, struct lane *lane, uint64_t count, uint64_t offset, bool fua);
int disk_flush(struct disk *disk, struct lane *lane);

#endif
