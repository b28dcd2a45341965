/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device inside core, and what a bus must provide for one. Buses embed struct ob_device first in their own.
 */
#ifndef OB_CORE_DEVICE_H
#define OB_CORE_DEVICE_H

#include <outboard/cpu.h>
#include <outboard/device.h>
#include <outboard/driver.h>

#include "base/list.h"
#include "machine/machine.h"

struct ob_machine;
struct ob_irq;

/* How many vectors a device got, and how to work each. */
struct bus_irq_vectors {
	enum ob_irq_kind kind;
	unsigned count;
	/* fds[i] fires for vector i. Owned by the machine. */
	int *fds;
	uint32_t edges; /* intx: bit i: vector i is triggered by edges, and nobody asks for its level */
};

struct bus_ops {
	const char *name; /* "pci" */
	bool paravirtual; /* its devices are made for virtual machines: no card has to be emulated for them */
	/* Does this device fit the row? 0 no; larger is more exact. */
	unsigned (*match)(struct ob_device *dev, const struct ob_match *match);
	/* Before probe: memory decoding on; after remove: off, bus master off, regions closed. */
	int (*enable)(struct ob_device *dev);
	void (*disable)(struct ob_device *dev);
	int (*region)(struct ob_device *dev, unsigned index, struct ob_region *out);
	int (*enable_dma)(struct ob_device *dev, bool enable);
	int (*reset)(struct ob_device *dev);
	/*
	 * Save what the bus set up, bus master off, lowest power; and back, but for bus mastering, which the driver
	 * asks for. The device is quiet. Either may be NULL: nothing to do. 0; -ENODEV; -ETIMEDOUT.
	 */
	int (*suspend)(struct ob_device *dev);
	int (*resume)(struct ob_device *dev);
	bool (*is_present)(struct ob_device *dev);
	/* Task. Fills @out; count is between min and max. */
	int (*irq_alloc)(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds,
			 struct bus_irq_vectors *out);
	void (*irq_release)(struct ob_device *dev);
	/* Owner CPU of the vector; hard context too (a storm masks from there). */
	void (*irq_mask)(struct ob_device *dev, unsigned vector, bool mask);
	/* intx only: is our line still up? */
	bool (*irq_level)(struct ob_device *dev, unsigned vector);
	/* The last reference is gone: free the bus's struct. */
	void (*release)(struct ob_device *dev);
};

struct ob_device {
	struct list link; /* machine's devices, parents first */
	uint64_t serial;  /* its place in the list, also once it is out of it */
	const struct bus_ops *ops;
	struct ob_machine *machine;
	struct ob_device *parent; /* held; NULL at the root */
	/* Whose transfers its are for the machine: the one above that carries it; itself unless its bus says otherwise. */
	struct ob_device *dma_dev;
	char name[32];
	unsigned refs;   /* __atomic: memory */
	uint32_t online; /* __atomic: bit 31 offline, bit 30 gone for good, low bits: uses */
	int state;       /* enum ob_device_state; CPU 0 writes */
	int error;
	int dma_index; /* -1: not bound */
	const struct ob_driver *driver;
	void *driver_data;
	struct bus_irq_vectors vectors;
	struct ob_irq **irqs; /* by vector */
	struct list dma;      /* coherent allocations, for the leak check */
	struct ob_dma_stats dma_stats;
	struct ob_work gone_work;
	struct ob_work leave_work;
	bool leaving;              /* __atomic: an orderly removal is under way */
	bool bind_tried;           /* a rescan binds only what is new */
	bool was_shut;             /* its driver's shutdown ran: offline until it is unbound; under lock */
	bool suspended;            /* its driver is; CPU 0 */
	bool suspended_by_machine; /* … together with all others; under machine->mutex */
	bool unpowered;            /* … and the bus took its power; under lock */
	struct ob_mutex lock;      /* bind, unbind, suspend, resume: one at a time; tasks of CPU 0 */
};

/** device_init - the embedded part; one reference, which core takes over at device_add(); state FOUND */
void device_init(struct ob_device *dev, const struct bus_ops *ops, struct ob_machine *machine, struct ob_device *parent,
		 const char *name);
/** device_add - put it into the machine's list; it may be bound from now on. Task on CPU 0. */
int device_add(struct ob_device *dev);
/** device_remove - unbind, take out of the list, drop core's reference. Task on CPU 0. Children first. */
void device_remove(struct ob_device *dev);
struct machine *device_machine(const struct ob_device *dev);

/* What core calls to find devices on one kind of bus. src/bus/ defines the table bus_types[]; core walks it. */
struct bus_type {
	enum machine_bus_kind kind;
	/* Find what is there and device_add() what is new; remove what is gone. Task on CPU 0. */
	int (*scan)(struct ob_machine *machine, const struct machine_bus *bus);
	/* Free what scan keeps per machine; all of its devices are removed. */
	void (*forget)(struct ob_machine *machine);
};

extern const struct bus_type *const bus_types[];        /* src/bus/types.c, NULL-terminated */
extern const struct ob_driver *const bus_drivers[];     /* the same: transports that carry another bus */
extern const struct ob_driver *const builtin_drivers[]; /* src/drivers/builtin.c, NULL-terminated */

/** machine_bus_data - a slot per machine and bus kind for the bus's own state */
void **machine_bus_data(struct ob_machine *machine, enum machine_bus_kind kind);

#endif
