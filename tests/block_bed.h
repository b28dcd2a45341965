/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bed for tests of disks' drivers on a whole machine: context, machine, first disk, a channel, requests in flight.
 *
 * The test's thread is the home of all CPUs and turns CPU 0 while it waits. Checks are cmocka's.
 */
#ifndef TESTS_BLOCK_BED_H
#define TESTS_BLOCK_BED_H

#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "tests/bed.h"
#include "tests/random.h"

#define BED_REQUESTS 256u
#define BED_BUFFER   4096u /* of each request */
#define BED_NAMES    16u

struct bed_request {
	struct ob_block_request request; /* first */
	struct ob_segment segment;
	struct bed *bed;
	bool busy;
	unsigned ends; /* since it was submitted */
};

struct bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct ob_block_limits limits;
	struct bed_request requests[BED_REQUESTS];
	unsigned busy;
	struct bed_log log;
};

/* A context of @cpus, and the machine. Returns what ob_machine_open() says; all is undone then. */
int bed_try_open(struct bed *b, const char *uri, const char *const *args, unsigned cpus);
/* The same, which must work, and the first block device. */
void bed_open(struct bed *b, const char *uri, const char *const *args);
void bed_open_channel(struct bed *b, enum ob_completion_mode mode, unsigned depth, uint64_t timeout_ns);
/* Closes what is open; nothing when the bed is not. */
void bed_close(struct bed *b);

/* Submit request @index: @blocks from @lba, with its own buffer filled by a pattern of @index where it writes. */
int bed_submit(struct bed *b, unsigned index, enum ob_block_op op, uint64_t lba, uint32_t blocks);
void *bed_buffer(struct bed *b, unsigned index);
/* Turn until nothing is in flight; fails the test after @timeout_ns. */
void bed_wait(struct bed *b, uint64_t timeout_ns);
/* Turn for so long, or until @condition is true. */
bool bed_turn_until(struct bed *b, bool (*condition)(struct bed *b), uint64_t timeout_ns);
/* One request, alone. Returns its status. */
int bed_do(struct bed *b, enum ob_block_op op, uint64_t lba, uint32_t blocks);
int bed_status(const struct bed *b, unsigned index);

/* A load whose data is checked: each request has a block of its own, which it writes and reads. */
struct bed_load {
	struct random random;
	unsigned requests;
	uint32_t value[BED_REQUESTS]; /* that was written last; 0: none yet */
	uint32_t next;
};

void bed_load_start(struct bed *b, struct bed_load *load, unsigned requests);
/* One turn of the CPU; what has ended is looked at and submitted again. */
void bed_load_turn(struct bed *b, struct bed_load *load);
/* Wait for all, and read every block once more. */
void bed_load_finish(struct bed *b, struct bed_load *load, uint64_t timeout_ns);

/* The machine's own language; must work. The reply, to be freed with ob_free(), or NULL for nothing. */
void bed_command(struct bed *b, const char *format, ...) OB_PRINTF(2, 3);
/* How often @text stands in the log. */
unsigned bed_logged(struct bed *b, const char *text);

#endif
