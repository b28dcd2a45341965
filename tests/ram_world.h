/* SPDX-License-Identifier: BSD-2-Clause */
/* A context, the memory-only machine, one RAM disk, a channel and a window: what the block class's tests stand on. */
#ifndef TESTS_RAM_WORLD_H
#define TESTS_RAM_WORLD_H

#include <outboard/outboard.h>

#include "tests/ram_block.h"
#include "tests/ram_machine.h"

#define RAM_WORLD_BYTES (4u << 20) /* of the window, and of plain memory */

struct ram_world {
	struct ob *ob;
	struct ob_machine *machine;
	struct ram_block *ram;
	struct ob_block *block;           /* held */
	struct ob_block_channel *channel; /* or NULL */
	struct ob_window *window;
	uint8_t *plain;
	char log[4096]; /* the messages, one per line */
};

/* A request with its data, and how often it ended. */
struct ram_io {
	struct ob_block_request request; /* first */
	struct ob_segment segment;
	struct ram_world *world;
	unsigned ends, order; /* order: counts all ends of the world */
};

/* Everything is asserted, so these return nothing. @disk: NULL for 512-byte blocks without limits. */
void ram_world_open(struct ram_world *w, unsigned cpus, const struct ram_block_config *disk);
void ram_world_channel(struct ram_world *w, unsigned depth, enum ob_completion_mode mode);
void ram_world_close(struct ram_world *w);
struct ram_block_config ram_world_disk(void);

/* One segment of @memory; in the window when it lies there. */
void ram_io_init(struct ram_io *io, struct ram_world *w, enum ob_block_op op, uint64_t lba, uint32_t count,
		 void *memory);
void ram_io_submit(struct ram_io *io);
/* Turn CPU 0 until it ended; returns the status. */
int ram_io_wait(struct ram_io *io);
/* All three. */
int ram_io_do(struct ram_world *w, enum ob_block_op op, uint64_t lba, uint32_t count, void *memory, unsigned flags);
void ram_world_turn(struct ram_world *w, unsigned turns);
void ram_world_stats(struct ram_world *w, struct ob_block_stats *out);
extern unsigned ram_ends; /* of all requests */

#endif
