/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switching stacks with ucontext, where there is no assembler for the architecture. Thirty times slower: it also saves
 * the signal mask, which takes a system call.
 */
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "core/fiber.h"

/* What lies at the top of a new stack. A context that was left lies on its own stack instead. */
struct start {
	ucontext_t context;
	void (*entry)(void *arg);
	void *arg;
};

/* makecontext() passes ints: a pointer travels in two. */
static void start_main(unsigned high, unsigned low)
{
	struct start *start = (struct start *)(uintptr_t)((uint64_t)high << 32 | low);

	start->entry(start->arg);
}

void *fiber_arch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
	/* A stack has 64 KiB at least; makecontext() wants its bounds and these are as good as the real ones. */
	const size_t stack_bytes = 32 * 1024;
	struct start *start = (struct start *)top - 1;
	uint64_t address = (uint64_t)(uintptr_t)start;

	start->entry = entry;
	start->arg = arg;
	if (getcontext(&start->context) < 0)
		return NULL;
	start->context.uc_stack.ss_sp = (char *)start - stack_bytes;
	start->context.uc_stack.ss_size = stack_bytes;
	start->context.uc_link = NULL;
	makecontext(&start->context, (void (*)(void))start_main, 2, (unsigned)(address >> 32), (unsigned)address);
	return &start->context;
}

void fiber_arch_switch(void **save, void *load)
{
	ucontext_t here;

	*save = &here;
	swapcontext(&here, load);
}
