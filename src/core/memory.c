/* SPDX-License-Identifier: BSD-2-Clause */
/* The kit's heap. What is allocated is a cache line's multiple away from everything else. */
#include "core/loop.h"

void *ob_alloc(size_t len_bytes)
{
	struct ob_cpu *cpu = ob_cpu_current();

	/* A plain thread has no context whose hook could be asked. */
	if (cpu && hooks_fail(cpu->ob, "ob_alloc"))
		return NULL;
	return os_alloc(len_bytes, OB_CACHE_LINE);
}

void ob_free(void *memory)
{
	os_free(memory);
}
