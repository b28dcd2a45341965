/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of a device tree as core and programs see it: the bus's operations and include/outboard/dt.h. */
#include <errno.h>
#include <libfdt.h>

#include "base/bits.h"
#include "bus/dt/dt.h"
#include "core/match.h"

static unsigned dt_match(struct ob_device *dev, const struct ob_match *match)
{
	struct match_ids ids = {
		.compatible = dt_device_of(dev)->compatible,
		.compatible_kind = OB_MATCH_DT,
	};

	return match_score(match, &ids);
}

static void dt_disable(struct ob_device *dev)
{
	struct dt_device *d = dt_device_of(dev);
	struct machine *m = device_machine(dev);

	for (unsigned i = 0; i < d->region_count; i++) {
		if (d->region[i].len_bytes != 0 && m->ops->region_close != NULL)
			m->ops->region_close(m, &d->region[i]);
		d->region[i] = (struct ob_region){0};
	}
}

static int dt_region(struct ob_device *dev, unsigned index, struct ob_region *out)
{
	struct dt_device *d = dt_device_of(dev);
	struct machine *m = device_machine(dev);
	int rc;

	if (index >= d->region_count || d->range[index].len_bytes == 0)
		return -ENXIO;
	if (d->region[index].len_bytes == 0) {
		rc = m->ops->region_open(m, dev, MACHINE_SPACE_MEMORY, d->range[index].address,
					 d->range[index].len_bytes, &d->region[index]);
		if (rc != 0) {
			d->region[index] = (struct ob_region){0};
			return rc;
		}
	}
	*out = d->region[index];
	return 0;
}

static void dt_release(struct ob_device *dev)
{
	struct dt_device *d = dt_device_of(dev);

	dt_host_put(d->host);
	ob_free(d->path);
	ob_free(d);
}

const struct bus_ops dt_bus_ops = {
	.name = "dt",
	.match = dt_match,
	.disable = dt_disable,
	.region = dt_region,
	.irq_alloc = dt_irq_alloc,
	.irq_release = dt_irq_release,
	.irq_mask = dt_irq_mask,
	.irq_level = dt_irq_level,
	.release = dt_release,
};

/* ---- what programs and drivers may ask ---- */

int ob_dt_info(const struct ob_device *dev, struct ob_dt_info *out)
{
	const struct dt_device *d = dt_device_of(dev);

	if (d == NULL)
		return -EINVAL;
	*out = (struct ob_dt_info){
		.path = d->path,
		.compatible = d->compatible,
		.region_count = d->region_count,
		.interrupt_count = d->interrupt_count,
	};
	return 0;
}

int ob_dt_region(const struct ob_device *dev, unsigned index, uint64_t *address, uint64_t *len_bytes)
{
	const struct dt_device *d = dt_device_of(dev);

	if (d == NULL)
		return -EINVAL;
	if (index >= d->region_count || d->range[index].len_bytes == 0)
		return -ENXIO;
	*address = d->range[index].address;
	*len_bytes = d->range[index].len_bytes;
	return 0;
}

int ob_dt_interrupt(const struct ob_device *dev, unsigned index, uint32_t *number, bool *edge)
{
	const struct dt_device *d = dt_device_of(dev);

	if (d == NULL)
		return -EINVAL;
	if (index >= d->interrupt_count || d->interrupt[index].controller == NULL)
		return -ENXIO;
	*number = d->interrupt[index].number;
	*edge = d->interrupt[index].edge;
	return 0;
}

const void *ob_dt_property(const struct ob_device *dev, const char *name, size_t *len_bytes)
{
	const struct dt_device *d = dt_device_of(dev);
	const void *value;
	int len;

	if (d == NULL)
		return NULL;
	value = fdt_getprop(d->host->blob, d->node, name, &len);
	if (value != NULL && len_bytes != NULL)
		*len_bytes = (size_t)len;
	return value;
}

int ob_dt_cell(const struct ob_device *dev, const char *name, unsigned index, uint32_t *out)
{
	size_t len_bytes;
	const fdt32_t *cells;

	if (dt_device_of(dev) == NULL)
		return -EINVAL;
	cells = ob_dt_property(dev, name, &len_bytes);
	if (cells == NULL)
		return -ENOENT;
	if (index >= len_bytes / sizeof(*cells))
		return -ENXIO;
	*out = fdt32_ld(cells + index);
	return 0;
}
