/* SPDX-License-Identifier: BSD-2-Clause */
/* See view.h. */
#include "sim/view.h"

#include <stdio.h>

void view_tell_devices(void)
{
}

void event_register(const struct event *e, char *text, size_t size)
{
	snprintf(text, size, "register %#llx", (unsigned long long)e->a);
}

void event_device(const struct event *e, char *text, size_t size)
{
	snprintf(text, size, "%#llx %#llx", (unsigned long long)e->a, (unsigned long long)e->b);
}

void event_memory(uintptr_t address, char *text, size_t size)
{
	const struct block *b = arena_block(address);

	if (b == NULL || address - ARENA_BASE >= STACK_OFFSET)
		snprintf(text, size, "%#llx", (unsigned long long)address);
	else
		snprintf(text, size, "%s[%u] at %llu", is_dma(address) ? "DMA" : "heap", b->len_bytes,
			 (unsigned long long)(address - b->address));
}
