/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks for tests and simulation: make the Nth fallible call fail, and watch DMA memory being freed.
 *
 * Every function of the kit that a probe calls and that can fail asks hooks_fail() first, with its own name.
 */
#ifndef OB_CORE_HOOKS_H
#define OB_CORE_HOOKS_H

#include <outboard/dma.h>

struct ob;

struct ob_hooks {
	void *arg;
	bool (*fail)(void *arg, const char *call); /* true: the call fails as if it had run out of what it needs */
	void (*dma_freed)(void *arg, struct ob_device *dev, const struct ob_dma *dma); /* before it is given back */
};

/* NULL takes them away. Set while nothing runs. */
void ob_set_hooks(struct ob *ob, const struct ob_hooks *hooks);
bool hooks_fail(struct ob *ob, const char *call);

#endif
