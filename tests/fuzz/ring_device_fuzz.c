/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's end of a virtqueue against a driver that lies in its memory: rings, descriptors, tables. */
#include "tests/fuzz/hostile.h"
#include "tests/fuzz/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len_bytes)
{
	ring_fuzz_run(false, bytes, len_bytes);
	return 0;
}
