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

static void new_record(uint8_t *r, unsigned *seed)
{
	static const uint16_t positions[] = {8, 10, 12, 14, 16, 64, 256, 512, 4096};
	unsigned position = below(seed, positions[below(seed, ARRAY_SIZE(positions))]);
	unsigned skip = below(seed, below(seed, 4) == 0 ? 8 * SKIP_MAX : SKIP_MAX);

	r[0] = (uint8_t)(1 + below(seed, HOSTILE_KINDS - 1));
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
