/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's end of a virtqueue against a device that lies in the ring's memory. */
#include "tests/fuzz/hostile.h"
#include "tests/fuzz/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len_bytes)
{
	ring_fuzz_run(true, bytes, len_bytes);
	return 0;
}
