/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree bus inside. DT: Devicetree Specification 0.4.
 *
 * A tree is not trusted: libfdt checks that it is one, all its numbers are checked where they are used, and there are
 * limits to all that it may ask for. It is read once; a tree does not change.
 */
#ifndef OB_BUS_DT_DT_H
#define OB_BUS_DT_DT_H

#include <outboard/dt.h>

#include "core/device.h"

#define DT_BLOB_MAX        (4 * OB_MIB)
#define DT_DEPTH_MAX       16 /* what lies deeper is passed over */
#define DT_PATH_MAX        1024
#define DT_DEVICES_MAX     4096
#define DT_COMPATIBLES_MAX 16
#define DT_STRINGS_MAX     64 /* of compatible, to choose from */
#define DT_REGIONS_MAX     8
#define DT_RANGES_MAX      64 /* of a bus, that are looked at */
#define DT_INTERRUPTS_MAX  16
#define DT_CONTROLLERS_MAX 16

struct dt_range {
	uint64_t address, len_bytes; /* len 0: CPUs do not see it */
};

/* How a controller's cells name an interrupt. */
struct dt_binding {
	const char *compatible;
	unsigned cells; /* at least so many */
	/* 0; -EINVAL */
	int (*decode)(const uint32_t *cells, uint32_t *number, bool *edge);
};

struct dt_controller {
	int node;
	uint32_t phandle; /* 0: none */
	unsigned cells;
	uint64_t address;
	const struct dt_binding *binding; /* NULL: unknown */
};

struct dt_interrupt {
	const struct dt_controller *controller; /* NULL: it cannot be had */
	uint32_t number;
	bool edge;
};

/* A machine's tree. */
struct dt_host {
	unsigned refs; /* __atomic: the machine's, and one per device */
	struct ob *ob;
	const void *source; /* what the machine gave, to know it again */
	void *blob;         /* a copy of it */
	unsigned controller_count, device_count;
	struct dt_controller controllers[DT_CONTROLLERS_MAX];
};

struct dt_device {
	struct ob_device dev; /* first */
	struct dt_host *host;
	int node;
	char *path;
	unsigned region_count, interrupt_count, line_count;
	const char *compatible[DT_COMPATIBLES_MAX + 1]; /* within the blob */
	struct dt_range range[DT_REGIONS_MAX];
	struct ob_region region[DT_REGIONS_MAX]; /* len 0: not opened; closed at disable */
	struct dt_interrupt interrupt[DT_INTERRUPTS_MAX];
	struct machine_intx line[DT_INTERRUPTS_MAX];
	int fds[DT_INTERRUPTS_MAX];
};

extern const struct bus_ops dt_bus_ops;
extern const struct bus_type dt_bus_type; /* src/bus/types.c names it */

static inline struct dt_device *dt_device_of(const struct ob_device *dev)
{
	return dev->ops == &dt_bus_ops ? container_of(dev, struct dt_device, dev) : NULL;
}

/* ---- walk.c ---- */

/* A node on the way from the root to the one that is looked at. */
struct dt_level {
	int node;
	const char *name;
	const void *ranges;                     /* how its children's addresses are handed on; NULL: they are not */
	int ranges_bytes;                       /* 0: as they are */
	unsigned address_cells, size_cells;     /* of its children */
	const struct dt_controller *controller; /* where its children's interrupts go; NULL: nowhere */
	struct dt_device *dev;                  /* what it is, or what it is in; NULL */
};

struct dt_walk {
	struct dt_host *host;
	unsigned depth; /* level[depth] is the node that is looked at */
	struct dt_level level[DT_DEPTH_MAX];
	bool too_deep; /* something was passed over */
	void *arg;
};

/* Call @fn for each node that is not disabled, parents first, until it says anything but 0. The tree is checked. */
int dt_walk(struct dt_walk *w, int (*fn)(struct dt_walk *w));
/* A property's cell, or @otherwise when it is not a property of one cell. */
uint32_t dt_cell(const void *blob, int node, const char *name, uint32_t otherwise);
/* Into @out; 0: it has none that fits into @size. */
size_t dt_path(const struct dt_walk *w, char *out, size_t size);

/* ---- reg.c ---- */

/* Entry @index of the node's reg, as CPUs see it. 0; -ENOENT the list is shorter; -ENXIO no CPU sees it. */
int dt_reg(const struct dt_walk *w, unsigned index, struct dt_range *out);

/* ---- interrupt.c ---- */

/* Into the host's table, when the node is an interrupt controller. 0: go on */
int dt_controller_add(struct dt_walk *w);
/* Where the node's own interrupts go. */
const struct dt_controller *dt_interrupt_parent(const struct dt_walk *w);
/* Where its children's go, unless they say otherwise. */
const struct dt_controller *dt_children_interrupt(const struct dt_walk *w);
/* Entry @index of its interrupts. 0; -ENOENT the list is shorter; -ENXIO it cannot be had. */
int dt_interrupt_at(const struct dt_walk *w, unsigned index, struct dt_interrupt *out);

int dt_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, struct bus_irq_vectors *out);
void dt_irq_release(struct ob_device *dev);
void dt_irq_mask(struct ob_device *dev, unsigned vector, bool mask);
bool dt_irq_level(struct ob_device *dev, unsigned vector);

/* ---- scan.c ---- */
void dt_host_put(struct dt_host *host);

#endif
