/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the transports have in common whose device is one of another bus: that one's driver carries the virtio device,
 * lends it its interrupts, and takes it along.
 */
#include "bus/virtio/carrier.h"

#include <errno.h>
#include <stdio.h>

#include <outboard/driver.h>

#include "core/machine_core.h"

/* ---- registers of the device's configuration ---- */

uint32_t virtio_carrier_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	if (size_bytes == 1)
		return ob_mmio_read8(region, offset);
	if (size_bytes == 2)
		return ob_mmio_read16(region, offset);
	return ob_mmio_read32(region, offset);
}

void virtio_carrier_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint32_t value)
{
	if (size_bytes == 1)
		ob_mmio_write8(region, offset, (uint8_t)value);
	else if (size_bytes == 2)
		ob_mmio_write16(region, offset, (uint16_t)value);
	else
		ob_mmio_write32(region, offset, value);
}

/* ---- features ---- */

int virtio_carrier_offered(struct virtio_device *v, const struct ob_region *region, uint64_t select, uint64_t value,
			   uint64_t *features)
{
	uint32_t half[2];

	for (unsigned i = 0; i < 2; i++) {
		ob_mmio_write32(region, select, i);
		half[i] = ob_mmio_read32(region, value);
	}
	*features = (uint64_t)half[1] << 32 | half[0];
	return *features == UINT64_MAX ? virtio_device_lost(v, 0, "its features read all ones") : 0;
}

void virtio_carrier_accept(const struct ob_region *region, uint64_t select, uint64_t value, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		ob_mmio_write32(region, select, i);
		ob_mmio_write32(region, value, (uint32_t)(features >> 32 * i));
	}
}

/* ---- interrupts ---- */

static struct ob_device *carrier_of(const struct virtio_device *v)
{
	const struct virtio_carrier *c = v->transport;

	return c->dev;
}

void virtio_carrier_irq_release(struct virtio_device *v)
{
	carrier_of(v)->ops->irq_release(carrier_of(v));
}

void virtio_carrier_irq_mask(struct virtio_device *v, unsigned vector, bool mask)
{
	carrier_of(v)->ops->irq_mask(carrier_of(v), vector, mask);
}

bool virtio_carrier_irq_level(struct virtio_device *v, unsigned vector)
{
	return carrier_of(v)->ops->irq_level(carrier_of(v), vector);
}

/* ---- its driver ---- */

int virtio_carrier_add(struct virtio_carrier *c, const struct virtio_transport_ops *ops, uint32_t id,
		       uint64_t config_len)
{
	struct ob_device *dev = c->dev;
	struct virtio_device *v;
	char name[sizeof(dev->name)];
	int ret;

	snprintf(name, sizeof(name), "virtio@%.24s", ob_device_name(dev));
	v = virtio_device_create(ob_device_machine(dev), dev, name);
	if (v == NULL)
		return -ENOMEM;
	v->ops = ops;
	v->transport = c;
	v->id = id;
	v->config_len = (uint32_t)MIN(config_len, UINT16_MAX);
	c->v = v;
	ob_device_get(&v->dev);
	ob_device_set_driver_data(dev, c);
	ret = virtio_device_add(v);
	if (ret == 0)
		return 0;
	ob_device_set_driver_data(dev, NULL);
	v->ops = NULL;
	ob_device_put(&v->dev);
	ob_device_put(&v->dev);
	return ret;
}

void virtio_carrier_remove(struct ob_device *dev)
{
	struct virtio_carrier *c = ob_device_driver_data(dev);

	virtio_device_remove(c->v);
	ob_device_set_driver_data(dev, NULL);
	ob_free(c);
}

void virtio_carrier_shutdown(struct ob_device *dev)
{
	struct virtio_carrier *c = ob_device_driver_data(dev);

	virtio_device_shutdown(c->v);
}

/* What it carries was suspended before, and is resumed behind it: there is nothing of ours to keep. */
int virtio_carrier_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	return 0;
}

int virtio_carrier_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	return 0;
}
