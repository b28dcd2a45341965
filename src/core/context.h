/* SPDX-License-Identifier: BSD-2-Clause */
/* The context: what hangs on it, by the part of core that owns it. */
#ifndef OB_CORE_CONTEXT_H
#define OB_CORE_CONTEXT_H

#include <outboard/outboard.h>

#include "base/list.h"
#include "core/hooks.h"

struct ob_driver;

struct ob {
	/* context.c: fixed after ob_create() */
	struct ob_config config;
	unsigned cpu_count;
	struct ob_cpu *cpus[OB_CPU_MAX];
	/* machine.c, device.c */
	struct ob_lock lock;                          /* the lists below, and every machine's list of devices */
	struct list machines;                         /* struct ob_machine.link */
	uint64_t dma_indexes[OB_DMA_DEVICE_MAX / 64]; /* a bit for each that a device has */
	const struct ob_driver **drivers;             /* registered, the built-in ones first */
	unsigned driver_count;
	unsigned abandoned; /* __atomic: machines that could not be closed, and still use the context */
	/* classes */
	struct list blocks; /* struct ob_block.link; under lock */
	struct list nets;   /* struct ob_net.link; under lock */
	/* hooks.c */
	struct ob_hooks hooks;
};

/* device.c: called by ob_create() and ob_destroy(). */
int devices_init(struct ob *ob);
void devices_fini(struct ob *ob);

#endif
