/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a device tree tells of: what stands in their node.
 *
 * All of it works on devices whose bus is "dt" and answers -EINVAL, or NULL, for others. Any context. What is returned is
 * valid while the device is held.
 */
#ifndef OUTBOARD_DT_H
#define OUTBOARD_DT_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_device;

struct ob_dt_info {
	const char *path;              /* "/soc/serial@9000000" */
	const char *const *compatible; /* most specific first; NULL-terminated */
	unsigned region_count;         /* entries of reg */
	unsigned interrupt_count;
};

/** ob_dt_info - what was found; 0; -EINVAL not a device of a device tree */
int ob_dt_info(const struct ob_device *dev, struct ob_dt_info *out);

/** ob_dt_region - where entry @index of reg is, as CPUs see it. 0; -EINVAL; -ENXIO there is none, or no CPU sees it */
int ob_dt_region(const struct ob_device *dev, unsigned index, uint64_t *address, uint64_t *len_bytes);

/**
 * ob_dt_interrupt - interrupt @index, as its controller numbers them (a GIC: from 16 on those of a CPU, from 32 on others)
 *
 * Return: 0; -EINVAL; -ENXIO there is none, or its controller is not known.
 */
int ob_dt_interrupt(const struct ob_device *dev, unsigned index, uint32_t *number, bool *edge);

/** ob_dt_property - a property's value as it stands in the tree, cells big endian; NULL: there is none */
const void *ob_dt_property(const struct ob_device *dev, const char *name, size_t *len_bytes);
/** ob_dt_cell - cell @index of a property. 0; -EINVAL; -ENOENT no such property; -ENXIO it is shorter */
int ob_dt_cell(const struct ob_device *dev, const char *name, unsigned index, uint32_t *out);

#ifdef __cplusplus
}
#endif
#endif
