/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in for the implementation of a machine that is closed, for those who still hold the machine. */
#include <errno.h>

#include "core/machine_core.h"

static const struct machine_bus gone_bus = {.kind = MACHINE_BUS_END};

static const struct machine_bus *gone_buses(struct machine *m)
{
	return &gone_bus;
}

static uint64_t gone_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	return UINT64_MAX >> (64 - 8 * size_bytes);
}

static void gone_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
		       uint64_t value)
{
}

static int gone_flush(struct machine *m)
{
	return -ENODEV;
}

static int gone_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			    uint64_t len_bytes, struct ob_region *out)
{
	return -ENODEV;
}

static void gone_region_close(struct machine *m, struct ob_region *region)
{
}

static int gone_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	return -ENODEV;
}

const struct machine_ops machine_gone_ops = {
	.buses = gone_buses,
	.read = gone_read,
	.write = gone_write,
	.flush = gone_flush,
	.region_open = gone_region_open,
	.region_close = gone_region_close,
	.dma_alloc = gone_dma_alloc,
};
