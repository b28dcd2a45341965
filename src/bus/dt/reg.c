/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: reg, and how the buses above a node hand them on (DT §2.3.6, §2.3.8). */
#include <errno.h>
#include <libfdt.h>

#include "base/bits.h"
#include "bus/dt/dt.h"

/* A number of @cells cells; those of three are PCI's, which no CPU sees as they are. */
static bool take(const fdt32_t **p, unsigned cells, uint64_t *out)
{
	*out = 0;
	if (cells > 2)
		return false;
	while (cells-- > 0)
		*out = *out << 32 | fdt32_ld((*p)++);
	return true;
}

/* Does the part of @inner bytes at @address lie in the range? Nothing wraps around. */
static bool within(const struct dt_range *part, uint64_t base, uint64_t len_bytes)
{
	return part->address >= base && part->address - base < len_bytes &&
	       part->len_bytes <= len_bytes - (part->address - base);
}

/* From the addresses of @bus's children to those of the bus that it is on itself. */
static int translate(const struct dt_level *bus, struct dt_range *range)
{
	const struct dt_level *above = bus - 1;
	unsigned cells = bus->address_cells + above->address_cells + bus->size_cells, count;
	const fdt32_t *p = bus->ranges;

	if (p == NULL)
		return -ENXIO; /* DT §2.3.8: there is no way through */
	if (bus->ranges_bytes == 0)
		return 0; /* the addresses are the same */
	if (bus->address_cells > 2 || above->address_cells > 2 || bus->size_cells > 2 || cells == 0)
		return -ENXIO;
	count = MIN((unsigned)bus->ranges_bytes / sizeof(*p) / cells, DT_RANGES_MAX);
	for (unsigned i = 0; i < count; i++) {
		uint64_t from, to, len_bytes;

		if (!take(&p, bus->address_cells, &from) || !take(&p, above->address_cells, &to) ||
		    !take(&p, bus->size_cells, &len_bytes))
			return -ENXIO;
		if (!within(range, from, len_bytes))
			continue;
		range->address = range->address - from + to;
		return range->address >= to && range->address + (range->len_bytes - 1) >= range->address ? 0 : -ENXIO;
	}
	return -ENXIO;
}

int dt_reg(const struct dt_walk *w, unsigned index, struct dt_range *out)
{
	const struct dt_level *level = &w->level[w->depth], *parent = level - 1;
	const void *blob = w->host->blob;
	unsigned cells;
	const fdt32_t *p;
	int len, ret = 0;

	*out = (struct dt_range){0};
	p = w->depth > 0 ? fdt_getprop(blob, level->node, "reg", &len) : NULL;
	if (p == NULL)
		return -ENOENT;
	if (parent->address_cells > 3 || parent->size_cells > 2)
		return -ENOENT; /* nothing that is told apart */
	cells = parent->address_cells + parent->size_cells;
	if (cells == 0 || (unsigned)len / sizeof(*p) / cells <= index)
		return -ENOENT;
	p += index * cells;
	if (!take(&p, parent->address_cells, &out->address) || !take(&p, parent->size_cells, &out->len_bytes))
		ret = -ENXIO;
	if (out->len_bytes == 0 || out->address + (out->len_bytes - 1) < out->address)
		ret = -ENXIO;
	for (const struct dt_level *bus = parent; ret == 0 && bus > w->level; bus--)
		ret = translate(bus, out);
	if (ret < 0)
		*out = (struct dt_range){0};
	return ret;
}
