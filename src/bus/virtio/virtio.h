/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio bus inside (VIRTIO 1.2 clauses 2 to 4): a virtio device, and what a transport does for one.
 *
 * A transport finds a device, fills struct virtio_device, and adds it to core; all that is common (negotiation,
 * configuration, queues, interrupts) is done here by means of its ops. What a class driver holds is the virtio device; its
 * parent is what carries it.
 */
#ifndef OB_BUS_VIRTIO_VIRTIO_H
#define OB_BUS_VIRTIO_VIRTIO_H

#include <outboard/irq.h>
#include <outboard/log.h>
#include <outboard/virtio.h>

#include "base/bits.h"
#include "base/list.h"
#include "core/device.h"
#include "spec/virtio.h"
#include "virtqueue/driver.h"

#define VIRTIO_RESET_TIMEOUT_NS (5 * OB_NS_PER_S)

struct virtio_device;

/* A queue, as its transport makes it known to the device. */
struct virtio_queue_setup {
	unsigned index;
	uint16_t size;
	ob_iova desc, driver, device; /* the three areas (§2.6) */
	uint16_t vector;              /* VIRTIO_NO_VECTOR: it does not interrupt */
	/* From the transport: where a notification is written. */
	struct ob_region doorbell;
	uint64_t doorbell_offset;
	uint16_t notify_id; /* what is written there: the queue's index, or what the device asked for (§4.1.5.2) */
	bool doorbell_wide; /* 32 bits, and not 16 */
};

/* Tasks of CPU 0, unless said otherwise. Return 0 or a negative errno; -ENODEV when the device does not answer. */
struct virtio_transport_ops {
	const char *name; /* "pci" */
	/* Feature bits of the transport that it can do (§6), of those that are neither ring nor device class. */
	uint64_t features;
	int (*status)(struct virtio_device *v, uint8_t *status);
	int (*set_status)(struct virtio_device *v, uint8_t status);
	int (*offered)(struct virtio_device *v, uint64_t *features);
	int (*accept)(struct virtio_device *v, uint64_t features);
	/* The configuration: one access of 1, 2 or 4 bytes inside config_len, as the device has it. */
	int (*generation)(struct virtio_device *v, uint32_t *generation);
	int (*config_read)(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t *value);
	int (*config_write)(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t value);
	/* *size 0: no such queue. */
	int (*queue_size)(struct virtio_device *v, unsigned index, uint32_t *size);
	int (*queue_enable)(struct virtio_device *v, struct virtio_queue_setup *setup);
	/* VIRTIO_F_RING_RESET: the queue is stopped when it returns 0. NULL: cannot. */
	int (*queue_reset)(struct virtio_device *v, unsigned index, uint64_t deadline_ns);
	/* Of configuration changes. */
	int (*config_vector)(struct virtio_device *v, uint16_t vector);
	/* As those of struct bus_ops. @mask and @level: any context, the vector's CPU. */
	int (*irq_alloc)(struct virtio_device *v, unsigned min, unsigned max, unsigned kinds,
			 struct bus_irq_vectors *out);
	void (*irq_release)(struct virtio_device *v);
	void (*irq_mask)(struct virtio_device *v, unsigned vector, bool mask);
	bool (*irq_level)(struct virtio_device *v, unsigned vector);
	/* Vector 1 + i is queue i's, whether it listens or not, and vector 0 the configuration's. */
	bool vectors_by_queue;
	/*
	 * Hard context. Which VIRTIO_ISR_* are up; takes the interrupt down. Only asked where the interrupt's kind is
	 * OB_IRQ_INTX; with the others the vector says it.
	 */
	uint32_t (*irq_take)(struct virtio_device *v);
	int (*enable_dma)(struct virtio_device *v, bool enable); /* NULL: nothing to do */
	bool (*is_present)(struct virtio_device *v);
	/* The last reference to the device is gone; it is freed by the bus after this. NULL: nothing to do. */
	void (*release)(struct virtio_device *v);
};

/* One interrupt vector and who listens to it; what it holds is changed on its CPU. */
struct virtio_vector {
	struct virtio_device *v;
	unsigned index;
	struct ob_irq *irq; /* NULL: nobody listens */
	struct ob_cpu *cpu;
	unsigned listeners;            /* CPU 0 */
	struct ob_virtio_queue *first; /* READ_ONCE in hard context; linked by next_listener */
};

struct virtio_device {
	struct ob_device dev; /* first */
	/* From the transport, before virtio_device_add(). */
	const struct virtio_transport_ops *ops;
	void *transport; /* its own */
	uint32_t id;
	uint32_t config_len; /* bytes of device configuration; 0: none */
	/* Ours. */
	uint64_t offered, features; /* features: negotiated; 0 before */
	uint8_t status;             /* as written */
	bool dma_on;
	struct list queues; /* struct ob_virtio_queue.link */
	/* interrupt.c */
	struct virtio_vector *vectors;
	unsigned vector_count, queue_vectors_given;
	enum ob_irq_kind irq_kind;
	uint32_t generation_seen;
	struct ob_mutex config_lock;
	void (*config_fn)(struct ob_device *dev, void *arg);
	void *config_arg;
};

/* queue.c makes them. */
struct ob_virtio_queue {
	struct virtqueue_driver ring; /* first, and first in it what drivers use inline */
	struct list link;             /* virtio_device.queues */
	struct virtio_device *v;
	char name[32];
	struct ob_virtio_queue_config config; /* its name is the one above */
	struct virtio_queue_setup setup;
	struct ob_dma ring_memory, tables;
	void *shadow;
	bool broken_said;
	/* interrupt.c: changed on the vector's CPU, and on the queue's */
	struct virtio_vector *vector; /* NULL: it does not listen */
	struct ob_virtio_queue *next_listener;
	struct ob_cpu *cpu;
	void (*listen_fn)(void *arg);
	void *listen_arg;
	struct ob_work forward; /* from the vector's CPU to ours */
	unsigned forwarded;     /* __atomic: it was posted and has not run */
};

extern const struct bus_ops virtio_bus_ops;
extern const struct bus_type virtio_bus_type; /* devices that a machine gives directly: MACHINE_BUS_VIRTIO */
extern const struct ob_driver virtio_pci_driver, virtio_mmio_driver;

static inline struct virtio_device *virtio_device_of(const struct ob_device *dev)
{
	return dev->ops == &virtio_bus_ops ? container_of(dev, struct virtio_device, dev) : NULL;
}

/**
 * virtio_device_create - a device of @parent (or of the machine, when that is NULL), not known to anybody yet
 * @name: "virtio@0000:00:04.0"
 *
 * The transport fills it, and then calls virtio_device_add(); or ob_device_put().
 * Return: it; NULL no memory.
 */
struct virtio_device *virtio_device_create(struct ob_machine *machine, struct ob_device *parent, const char *name);
/** virtio_device_add - make it known and bind its driver. Task on CPU 0, in the probe of the parent. 0; -ENODEV */
int virtio_device_add(struct virtio_device *v);
/** virtio_device_remove - the parent's driver is being removed: unbind it, for good. Consumes the reference. */
void virtio_device_remove(struct virtio_device *v);
/** virtio_device_shutdown - the parent's driver is being shut down */
void virtio_device_shutdown(struct virtio_device *v);
/* It does not answer: all ones, or a call that failed. Marks what carries it as gone, if it is. -ENODEV; or @error */
int virtio_device_lost(struct virtio_device *v, int error, const char *why);

/* ---- negotiate.c ---- */

int virtio_set_status(struct virtio_device *v, uint8_t status);
/* Status 0, and until it reads 0. Bus mastering is off then, whatever came of it. */
int virtio_reset(struct virtio_device *v, uint64_t deadline_ns);

/* ---- queue.c ---- */

/* Make the queue, which is empty, known to the device. */
int virtio_queue_enable(struct ob_virtio_queue *q);

/* ---- interrupt.c ---- */

/* Of ob_virtio_queue.forward. */
void virtio_queue_forward(struct ob_work *work);
/* The vector for a queue that may interrupt, or VIRTIO_NO_VECTOR. */
uint16_t virtio_queue_vector(struct virtio_device *v, unsigned index);
/* Tell the device the vector of configuration changes, if there is one. */
int virtio_config_vector(struct virtio_device *v);

#endif
