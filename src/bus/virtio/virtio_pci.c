/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over PCI: VIRTIO 1.2 §4.1.
 *
 * A driver of PCI functions that publishes no class object but a device on the virtio bus, which has a driver of its own.
 * The legacy interface is refused; a transitional device is used by its modern one.
 */
#include <errno.h>
#include <stdio.h>

#include <outboard/pci.h>

#include "bus/virtio/virtio_pci.h"
#include "core/hooks.h"
#include "core/machine_core.h"

#define QUEUE_RESET_SLEEP_NS (100 * OB_NS_PER_US)

static struct virtio_pci *pci_of(const struct virtio_device *v)
{
	return v->transport;
}

/* ---- the common configuration: each field in its own width (§4.1.3.1) ---- */

static uint8_t read8(const struct virtio_pci *p, unsigned field)
{
	return ob_mmio_read8(&p->common.region, p->common.offset + field);
}

static uint16_t read16(const struct virtio_pci *p, unsigned field)
{
	return ob_mmio_read16(&p->common.region, p->common.offset + field);
}

static void write8(const struct virtio_pci *p, unsigned field, uint8_t value)
{
	ob_mmio_write8(&p->common.region, p->common.offset + field, value);
}

static void write16(const struct virtio_pci *p, unsigned field, uint16_t value)
{
	ob_mmio_write16(&p->common.region, p->common.offset + field, value);
}

static void write32(const struct virtio_pci *p, unsigned field, uint32_t value)
{
	ob_mmio_write32(&p->common.region, p->common.offset + field, value);
}

static void write64(const struct virtio_pci *p, unsigned field, uint64_t value)
{
	write32(p, field, (uint32_t)value);
	write32(p, field + 4, (uint32_t)(value >> 32));
}

/* ---- status, features, configuration ---- */

static int vp_status(struct virtio_device *v, uint8_t *status)
{
	*status = read8(pci_of(v), VIRTIO_COMMON_STATUS);
	return *status == UINT8_MAX ? virtio_device_lost(v, 0, "its status reads all ones") : 0;
}

static int vp_set_status(struct virtio_device *v, uint8_t status)
{
	write8(pci_of(v), VIRTIO_COMMON_STATUS, status);
	return 0;
}

static int vp_offered(struct virtio_device *v, uint64_t *features)
{
	const struct virtio_pci_window *w = &pci_of(v)->common;

	return virtio_carrier_offered(v, &w->region, w->offset + VIRTIO_COMMON_DEVICE_FEATURE_SELECT,
				      w->offset + VIRTIO_COMMON_DEVICE_FEATURE, features);
}

static int vp_accept(struct virtio_device *v, uint64_t features)
{
	const struct virtio_pci_window *w = &pci_of(v)->common;

	virtio_carrier_accept(&w->region, w->offset + VIRTIO_COMMON_DRIVER_FEATURE_SELECT,
			      w->offset + VIRTIO_COMMON_DRIVER_FEATURE, features);
	return 0;
}

static int vp_generation(struct virtio_device *v, uint32_t *generation)
{
	*generation = read8(pci_of(v), VIRTIO_COMMON_GENERATION);
	return *generation == UINT8_MAX ? virtio_device_lost(v, 0, "its generation reads all ones") : 0;
}

static int vp_config_read(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct virtio_pci_window *w = &pci_of(v)->config;

	*value = virtio_carrier_read(&w->region, w->offset + offset, size_bytes);
	return 0;
}

static int vp_config_write(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct virtio_pci_window *w = &pci_of(v)->config;

	virtio_carrier_write(&w->region, w->offset + offset, size_bytes, value);
	return 0;
}

/* ---- queues: §4.1.5.1.3 ---- */

static int vp_queue_size(struct virtio_device *v, unsigned index, uint32_t *size)
{
	struct virtio_pci *p = pci_of(v);

	*size = 0;
	if (index >= read16(p, VIRTIO_COMMON_NUM_QUEUES))
		return 0;
	write16(p, VIRTIO_COMMON_QUEUE_SELECT, (uint16_t)index);
	*size = read16(p, VIRTIO_COMMON_QUEUE_SIZE);
	return *size == UINT16_MAX ? virtio_device_lost(v, -EIO, "a queue's size reads all ones") : 0;
}

/* Where its notifications go: checked against the area, since the offset is the device's word (§4.1.4.4.1). */
static int doorbell_find(struct virtio_device *v, struct virtio_queue_setup *s)
{
	struct virtio_pci *p = pci_of(v);
	uint64_t offset = (uint64_t)read16(p, VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET) * p->notify_multiplier;
	unsigned width = ob_virtio_has(&v->dev, VIRTIO_F_NOTIFICATION_DATA) ? 4 : 2;

	if (offset + width > p->notify.len_bytes || !IS_ALIGNED(p->notify.offset + offset, width)) {
		ob_err(ob_device_context(p->carrier.dev), "%s: queue %u is notified beyond the notification area",
		       ob_device_name(p->carrier.dev), s->index);
		return virtio_device_lost(v, -EIO, "a queue's notification offset makes no sense");
	}
	s->doorbell = p->notify.region;
	s->doorbell_offset = p->notify.offset + offset;
	if (ob_virtio_has(&v->dev, VIRTIO_F_NOTIF_CONFIG_DATA))
		s->notify_id = read16(p, VIRTIO_COMMON_QUEUE_NOTIFY_DATA);
	return 0;
}

static int vp_queue_enable(struct virtio_device *v, struct virtio_queue_setup *s)
{
	struct virtio_pci *p = pci_of(v);
	uint16_t size;
	int ret;

	write16(p, VIRTIO_COMMON_QUEUE_SELECT, (uint16_t)s->index);
	size = read16(p, VIRTIO_COMMON_QUEUE_SIZE);
	/* All ones: what is written now may be lost, and the size would stay what it was. */
	if (size < s->size || size == UINT16_MAX)
		return virtio_device_lost(v, -EOPNOTSUPP, "a queue's size is not what it was");
	write16(p, VIRTIO_COMMON_QUEUE_SIZE, s->size);
	if (v->irq_kind == OB_IRQ_MSIX) {
		write16(p, VIRTIO_COMMON_QUEUE_VECTOR, s->vector);
		/* A device that has no room for the vector says so here (§4.1.5.1.2.2). */
		if (read16(p, VIRTIO_COMMON_QUEUE_VECTOR) != s->vector)
			return virtio_device_lost(v, -EBUSY, "a queue does not take its vector");
	}
	write64(p, VIRTIO_COMMON_QUEUE_DESC, s->desc.addr);
	write64(p, VIRTIO_COMMON_QUEUE_DRIVER, s->driver.addr);
	write64(p, VIRTIO_COMMON_QUEUE_DEVICE, s->device.addr);
	ret = doorbell_find(v, s);
	if (ret != 0)
		return ret;
	write16(p, VIRTIO_COMMON_QUEUE_ENABLE, 1);
	return 0;
}

/* Until the device has let go of it (§4.1.4.3.2: both fields are 0 then). */
static int vp_queue_reset(struct virtio_device *v, unsigned index, uint64_t deadline_ns)
{
	struct virtio_pci *p = pci_of(v);

	write16(p, VIRTIO_COMMON_QUEUE_SELECT, (uint16_t)index);
	write16(p, VIRTIO_COMMON_QUEUE_RESET, 1);
	for (;;) {
		uint64_t now = ob_now_ns();
		uint16_t reset, enabled;

		/* The selector is one for all queues, and somebody else may have turned meanwhile. */
		write16(p, VIRTIO_COMMON_QUEUE_SELECT, (uint16_t)index);
		reset = read16(p, VIRTIO_COMMON_QUEUE_RESET);
		enabled = read16(p, VIRTIO_COMMON_QUEUE_ENABLE);
		if (reset == 0 && enabled == 0)
			return 0;
		if (now >= deadline_ns || reset == UINT16_MAX)
			return virtio_device_lost(v, -ETIMEDOUT, "a queue does not end its reset");
		ob_task_sleep(MIN(now + QUEUE_RESET_SLEEP_NS, deadline_ns));
	}
}

/* ---- interrupts: the function's ---- */

static int vp_config_vector(struct virtio_device *v, uint16_t vector)
{
	struct virtio_pci *p = pci_of(v);

	if (v->irq_kind != OB_IRQ_MSIX)
		return 0;
	write16(p, VIRTIO_COMMON_CONFIG_VECTOR, vector);
	if (read16(p, VIRTIO_COMMON_CONFIG_VECTOR) != vector)
		return virtio_device_lost(v, -EBUSY, "the configuration does not take its vector");
	return 0;
}

/* Plain MSI is no way for these devices to interrupt (§4.1.5.1.2). */
static int vp_irq_alloc(struct virtio_device *v, unsigned min, unsigned max, unsigned kinds,
			struct bus_irq_vectors *out)
{
	struct ob_device *dev = pci_of(v)->carrier.dev;

	return dev->ops->irq_alloc(dev, min, max, kinds & (OB_IRQ_MSIX | OB_IRQ_INTX), out);
}

static uint32_t vp_irq_take(struct virtio_device *v)
{
	struct virtio_pci *p = pci_of(v);
	uint8_t isr = ob_mmio_read8(&p->isr.region, p->isr.offset);

	/* Of a device that is gone: not its interrupt. */
	return isr == UINT8_MAX ? 0 : isr;
}

static int vp_enable_dma(struct virtio_device *v, bool enable)
{
	return ob_device_enable_dma(pci_of(v)->carrier.dev, enable);
}

static bool vp_is_present(struct virtio_device *v)
{
	return ob_device_is_present(pci_of(v)->carrier.dev);
}

static const struct virtio_transport_ops virtio_pci_ops = {
	.name = "pci",
	.features = BIT64(VIRTIO_F_NOTIF_CONFIG_DATA),
	.status = vp_status,
	.set_status = vp_set_status,
	.offered = vp_offered,
	.accept = vp_accept,
	.generation = vp_generation,
	.config_read = vp_config_read,
	.config_write = vp_config_write,
	.queue_size = vp_queue_size,
	.queue_enable = vp_queue_enable,
	.queue_reset = vp_queue_reset,
	.config_vector = vp_config_vector,
	.irq_alloc = vp_irq_alloc,
	.irq_release = virtio_carrier_irq_release,
	.irq_mask = virtio_carrier_irq_mask,
	.irq_level = virtio_carrier_irq_level,
	.irq_take = vp_irq_take,
	.enable_dma = vp_enable_dma,
	.is_present = vp_is_present,
};

/* ---- the driver ---- */

/* §4.1.2: modern ids tell the device's; of transitional ones it is in the subsystem's. */
static uint32_t virtio_id_of(struct ob_device *dev)
{
	struct ob_pci_info info;

	if (ob_pci_info(dev, &info) != 0)
		return 0;
	if (info.device <= VIRTIO_PCI_TRANSITIONAL_LAST)
		return info.subdevice;
	return info.device - VIRTIO_PCI_DEVICE(0);
}

static int virtio_pci_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct virtio_pci *p = hooks_fail(ob, "virtio_pci_alloc") ? NULL : ob_alloc(sizeof(*p));
	int ret;

	if (p == NULL)
		return -ENOMEM;
	p->carrier.dev = dev;
	ret = virtio_pci_windows(p);
	if (ret == 0)
		ret = virtio_carrier_add(&p->carrier, &virtio_pci_ops, virtio_id_of(dev), p->config.len_bytes);
	if (ret != 0)
		ob_free(p);
	return ret;
}

#define ROW(device)   OB_PCI_ID(VIRTIO_PCI_VENDOR, (device))
#define ROWS4(first)  ROW(first), ROW((first) + 1), ROW((first) + 2), ROW((first) + 3)
#define ROWS16(first) ROWS4(first), ROWS4((first) + 4), ROWS4((first) + 8), ROWS4((first) + 12)
#define ROWS64(first) ROWS16(first), ROWS16((first) + 16), ROWS16((first) + 32), ROWS16((first) + 48)

static const struct ob_match virtio_pci_match[] = {
	ROWS64(VIRTIO_PCI_TRANSITIONAL_FIRST),
	ROWS64(VIRTIO_PCI_DEVICE(0)),
	OB_MATCH_LAST,
};
static_assert(VIRTIO_PCI_TRANSITIONAL_FIRST + 63 == VIRTIO_PCI_TRANSITIONAL_LAST &&
		      VIRTIO_PCI_DEVICE(63) == VIRTIO_PCI_DEVICE_LAST,
	      "VIRTIO §4.1.2");

const struct ob_driver virtio_pci_driver = {
	.name = "virtio-pci",
	.match = virtio_pci_match,
	.probe = virtio_pci_probe,
	.remove = virtio_carrier_remove,
	.shutdown = virtio_carrier_shutdown,
	.suspend = virtio_carrier_suspend,
	.resume = virtio_carrier_resume,
};
