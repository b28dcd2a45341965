/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in memory, with any limits, that ends requests late, out of order, inside submit, or not at all; and that
 * checks all that the class promises its drivers. It tests the class, not a real driver.
 *
 * With a volatile cache it keeps a second copy, which only flush and FUA reach: what a power cut would leave.
 */
#ifndef TESTS_RAM_BLOCK_H
#define TESTS_RAM_BLOCK_H

#include <outboard/block_driver.h>

#include "tests/random.h"

struct ram_block_config {
	struct ob_block_limits limits;
	const char *name, *model; /* NULL: some */
	uint64_t seed;
	unsigned depth_max;      /* of a channel; 0: as wished */
	unsigned depth_lie;      /* what it says it gave; 0: the truth */
	unsigned late_polls_max; /* a request is ready after at most that many polls */
	unsigned inline_percent; /* end inside submit or kick */
	unsigned full_percent;   /* -EAGAIN though there is room */
	unsigned error_percent;  /* -EIO */
	bool reorder;
	bool hang;          /* nothing ends but by cancel or close */
	bool deaf;          /* cancel does nothing */
	bool keep_on_close; /* a bad driver: close ends nothing */
	int open_error;     /* of channel_open */
	uint64_t bad_lba;   /* -EIO there, protocol status RAM_BLOCK_BAD; UINT64_MAX: none */
	int bad_status;     /* instead of -EIO, unless 0 */
};

#define RAM_BLOCK_BAD 0x281

struct ram_block {
	struct ram_block_config config;
	struct ob_device *dev;
	struct ob_block *block;
	int publish_error;
	uint8_t *media;   /* what a read returns */
	uint8_t *durable; /* what a power cut leaves */
	/* __atomic */
	unsigned commands[OB_BLOCK_OP_COUNT];
	unsigned channels; /* open now */
	unsigned cancels;
	unsigned violations;
	char violation[200]; /* the first */
};

/* No limit that would cut anything: one command takes 1 MiB, 64 segments, any address. */
struct ob_block_limits ram_block_limits(uint32_t block_bytes, uint64_t block_count);
/* Any that a device may have. */
struct ob_block_limits ram_block_random_limits(struct random *r, uint64_t disk_bytes);

/* Returns the error of publishing; then there is nothing to destroy. */
int ram_block_create(struct ob_machine *machine, const struct ram_block_config *config, struct ram_block **out);
/* Remove the device, as if unplugged; the struct stays. */
void ram_block_remove(struct ram_block *ram);
void ram_block_destroy(struct ram_block *ram);

#endif
