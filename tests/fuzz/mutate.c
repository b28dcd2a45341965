/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer's mutations, and ours that know what a script looks like: whole records come, go, move and get sensible
 * numbers, so that most of them hit something.
 */
#include "base/bits.h"
#include "tests/fuzz/hostile.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#define SKIP_MAX 48u /* events in a run, about */

static uint32_t below(unsigned *seed, uint32_t n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 12) % n;
}

/* Where there is something that a driver looks at. */
static unsigned new_position(enum hostile_kind kind, unsigned *seed)
{
	/* Identify controller from VID on, identify namespace from NSZE on, log pages (NVMe 1.4 §5.15.2, §5.14.1). */
	static const uint16_t data[] = {0,   1,   2,   4,   7,   8,   16,  24,  25,  26,  27,  29,  30,
					33,  72,  74,  77,  78,  80,  84,  88,  92,  96,  100, 104, 120,
					128, 130, 134, 256, 258, 259, 260, 261, 262, 263, 264, 512, 513,
					514, 516, 518, 520, 522, 524, 525, 526, 530, 536};
	static const uint16_t registers[] = {0, 2, 3, 4, 5, 6, 7, 8, 10, 0x1c, 0x1d, 0x14, 0x0c, 0x10, 0x38, 0x3c};
	static const uint16_t config[] = {0,    2,    4,    6,    9,    0x0b, 0x0e, 0x10, 0x13,  0x14,  0x18,
					  0x30, 0x34, 0x3d, 0x40, 0x41, 0x42, 0x44, 0x48, 0x49,  0x4a,  0x4c,
					  0x50, 0x54, 0x84, 0x85, 0x86, 0x88, 0x8c, 0x90, 0x100, 0x102, 0x103};

	switch (kind) {
	case HOSTILE_DATA:
		return data[below(seed, ARRAY_SIZE(data))];
	case HOSTILE_REGISTER:
		return registers[below(seed, ARRAY_SIZE(registers))];
	case HOSTILE_CONFIG:
		return config[below(seed, ARRAY_SIZE(config))];
	default:
		return below(seed, below(seed, 2) == 0 ? 16 : 4096);
	}
}

static void new_record(uint8_t *r, unsigned *seed)
{
	enum hostile_kind kind = (enum hostile_kind)(1 + below(seed, HOSTILE_KINDS - 1));
	unsigned position = new_position(kind, seed);
	unsigned skip = below(seed, below(seed, 4) == 0 ? 8 * SKIP_MAX : SKIP_MAX);

	/* Few answers bring much: the first ones are identify data. */
	if (kind == HOSTILE_DATA)
		skip = below(seed, 12);
	if (kind == HOSTILE_REGISTER || kind == HOSTILE_CONFIG)
		skip = below(seed, below(seed, 2) == 0 ? 4 : SKIP_MAX);
	r[0] = (uint8_t)kind;
	r[1] = below(seed, 8) == 0 ? 255 : (uint8_t)(below(seed, 3) * below(seed, 8));
	r[2] = (uint8_t)skip;
	r[3] = (uint8_t)(skip >> 8);
	r[4] = (uint8_t)position;
	r[5] = (uint8_t)(position >> 8);
	r[6] = (uint8_t)below(seed, 16);
	r[7] = 0;
	for (unsigned i = 8; i < HOSTILE_RECORD; i++)
		r[i] = below(seed, 3) != 0 ? 0 : (uint8_t)below(seed, 256);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	size_t count, at;

	if (size < HOSTILE_HEADER || max_size < HOSTILE_HEADER + HOSTILE_RECORD || below(&seed, 2) != 0)
		return LLVMFuzzerMutate(data, size, max_size);
	count = (size - HOSTILE_HEADER) / HOSTILE_RECORD;
	size = HOSTILE_HEADER + count * HOSTILE_RECORD;
	at = HOSTILE_HEADER + (count == 0 ? 0 : below(&seed, (uint32_t)count)) * HOSTILE_RECORD;
	switch (below(&seed, 6)) {
	case 0: /* how the run is set up */
		data[below(&seed, HOSTILE_HEADER)] = (uint8_t)below(&seed, 256);
		return size;
	case 1: /* one less */
		if (count <= 1)
			break;
		memmove(data + at, data + at + HOSTILE_RECORD, size - at - HOSTILE_RECORD);
		return size - HOSTILE_RECORD;
	case 2: /* another moment */
		if (count == 0)
			break;
		data[at + 2] = (uint8_t)below(&seed, SKIP_MAX);
		return size;
	case 3: /* another place */
		if (count == 0)
			break;
		data[at + 4] = (uint8_t)(data[at + 4] + 1 - below(&seed, 3));
		return size;
	case 4: /* another record in its place */
		if (count == 0)
			break;
		new_record(data + at, &seed);
		return size;
	default:
		break;
	}
	if (size + HOSTILE_RECORD > max_size)
		return LLVMFuzzerMutate(data, size, max_size);
	new_record(data + size, &seed);
	return size + HOSTILE_RECORD;
}
