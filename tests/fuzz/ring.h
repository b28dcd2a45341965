/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue of which one end is real and the other lies: both ends work as they should, as a script of bytes says, and
 * between their steps it writes what it likes into the memory that the liar may write.
 *
 * The script is a header and steps of four bytes. All zeroes, or nothing, is an honest other end.
 */
#ifndef TESTS_FUZZ_RING_H
#define TESTS_FUZZ_RING_H

#include "tests/ring_rig.h"

#define RING_FUZZ_HEADER 4u
#define RING_FUZZ_STEP   4u
#define RING_FUZZ_STEPS  400u
#define RING_FUZZ_TOKENS 64u

enum ring_fuzz_step {
	RING_FUZZ_ADD,
	RING_FUZZ_ADD_FRAMED,
	RING_FUZZ_ADD_SINGLES,
	RING_FUZZ_KICK,
	RING_FUZZ_POP,
	RING_FUZZ_PUSH,
	RING_FUZZ_PUBLISH,
	RING_FUZZ_TAKE,
	RING_FUZZ_ARM,
	RING_FUZZ_DISARM,
	RING_FUZZ_POKE8, /* into the ring, at a place that the step tells */
	RING_FUZZ_POKE16,
	RING_FUZZ_POKE_DESC, /* a field of a descriptor or of a used entry, by index */
	RING_FUZZ_POKE_INDEX,
	RING_FUZZ_POKE_TABLE, /* what indirect descriptors may point to */
	RING_FUZZ_RESET,
	RING_FUZZ_KINDS
};

/* What the driver's end was given, by token. */
struct ring_fuzz_given {
	bool in_flight;
	uint32_t in_bytes;
};

struct ring_fuzz {
	struct ring_rig rig;
	bool device_lies; /* else the driver does */
	bool lied;
	struct ring_fuzz_given given[RING_FUZZ_TOKENS];
	unsigned in_flight;
	struct virtqueue_chain taken[RING_FUZZ_TOKENS];
	unsigned taken_count;
};

/* One run. */
void ring_fuzz_run(bool device_lies, const uint8_t *bytes, size_t len_bytes);

#endif
