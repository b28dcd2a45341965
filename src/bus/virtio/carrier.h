/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of another bus that carries a virtio device; see carrier.c. */
#ifndef OB_BUS_VIRTIO_CARRIER_H
#define OB_BUS_VIRTIO_CARRIER_H

#include "bus/virtio/virtio.h"

/* What its driver has: first in the transport's own, which is ob_alloc()ed. */
struct virtio_carrier {
	struct ob_device *dev; /* set before virtio_carrier_add() */
	struct virtio_device *v;
};

/**
 * virtio_carrier_add - the virtio device that it carries: the last step of a probe
 *
 * Return: 0; -ENOMEM; -ENODEV. When it fails @c is as before.
 */
int virtio_carrier_add(struct virtio_carrier *c, const struct virtio_transport_ops *ops, uint32_t id,
		       uint64_t config_len);

/* For struct ob_driver; remove frees @c. */
void virtio_carrier_remove(struct ob_device *dev);
void virtio_carrier_shutdown(struct ob_device *dev);
int virtio_carrier_suspend(struct ob_device *dev, uint64_t deadline_ns);
int virtio_carrier_resume(struct ob_device *dev, uint64_t deadline_ns);

/* For struct virtio_transport_ops, whose device's transport is a struct virtio_carrier. */
void virtio_carrier_irq_release(struct virtio_device *v);
void virtio_carrier_irq_mask(struct virtio_device *v, unsigned vector, bool mask);
bool virtio_carrier_irq_level(struct virtio_device *v, unsigned vector);

/*
 * Feature bits, 32 at a time (§4.1.4.3, §4.2.2): the number of the half goes into the register at @select, its bits are
 * in the one at @value. 0; virtio_carrier_offered() says -ENODEV for a device that is gone.
 */
int virtio_carrier_offered(struct virtio_device *v, const struct ob_region *region, uint64_t select, uint64_t value,
			   uint64_t *features);
void virtio_carrier_accept(const struct ob_region *region, uint64_t select, uint64_t value, uint64_t features);
/* One field of the device's configuration, of 1, 2 or 4 bytes, in its own width (§4.1.3.1, §4.2.2.2). */
uint32_t virtio_carrier_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes);
void virtio_carrier_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint32_t value);

#endif
