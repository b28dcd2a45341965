/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over MMIO: VIRTIO 1.2 §4.2. Registers at an address that a device tree tells, version 2; the legacy interface,
 * version 1, is refused. One interrupt line for everything.
 *
 * A driver of devices of a device tree that publishes no class object but a device on the virtio bus. A board has many
 * places for devices and few devices: an empty one is passed over.
 */
#include <errno.h>

#include "bus/virtio/carrier.h"
#include "core/hooks.h"

#define TAKE_TURNS           4
#define QUEUE_RESET_SLEEP_NS (100 * OB_NS_PER_US)

struct virtio_mmio {
	struct virtio_carrier carrier; /* first; the node */
	struct ob_region region;
	bool edge; /* its line */
};

static struct virtio_mmio *mmio_of(const struct virtio_device *v)
{
	return v->transport;
}

static uint32_t get(const struct virtio_mmio *p, unsigned offset)
{
	return ob_mmio_read32(&p->region, offset);
}

static void put(const struct virtio_mmio *p, unsigned offset, uint32_t value)
{
	ob_mmio_write32(&p->region, offset, value);
}

/* ---- status, features, configuration ---- */

static int vm_status(struct virtio_device *v, uint8_t *status)
{
	uint32_t value = get(mmio_of(v), VIRTIO_MMIO_STATUS);

	*status = (uint8_t)value;
	return value > UINT8_MAX ? virtio_device_lost(v, -EIO, "its status makes no sense") : 0;
}

static int vm_set_status(struct virtio_device *v, uint8_t status)
{
	put(mmio_of(v), VIRTIO_MMIO_STATUS, status);
	return 0;
}

static int vm_offered(struct virtio_device *v, uint64_t *features)
{
	return virtio_carrier_offered(v, &mmio_of(v)->region, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
				      VIRTIO_MMIO_DEVICE_FEATURES, features);
}

static int vm_accept(struct virtio_device *v, uint64_t features)
{
	virtio_carrier_accept(&mmio_of(v)->region, VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_DRIVER_FEATURES,
			      features);
	return 0;
}

static int vm_generation(struct virtio_device *v, uint32_t *generation)
{
	*generation = get(mmio_of(v), VIRTIO_MMIO_CONFIG_GENERATION);
	return *generation == UINT32_MAX ? virtio_device_lost(v, 0, "its generation reads all ones") : 0;
}

static int vm_config_read(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	*value = virtio_carrier_read(&mmio_of(v)->region, VIRTIO_MMIO_CONFIG + offset, size_bytes);
	return 0;
}

static int vm_config_write(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t value)
{
	virtio_carrier_write(&mmio_of(v)->region, VIRTIO_MMIO_CONFIG + offset, size_bytes, value);
	return 0;
}

/* ---- queues: §4.2.3.2 ---- */

static int vm_queue_size(struct virtio_device *v, unsigned index, uint32_t *size)
{
	struct virtio_mmio *p = mmio_of(v);

	put(p, VIRTIO_MMIO_QUEUE_SEL, index);
	*size = get(p, VIRTIO_MMIO_QUEUE_NUM_MAX);
	return *size == UINT32_MAX ? virtio_device_lost(v, -EIO, "a queue's size reads all ones") : 0;
}

static void put64(const struct virtio_mmio *p, unsigned offset, uint64_t value)
{
	put(p, offset, (uint32_t)value);
	put(p, offset + 4, (uint32_t)(value >> 32));
}

static int vm_queue_enable(struct virtio_device *v, struct virtio_queue_setup *s)
{
	struct virtio_mmio *p = mmio_of(v);

	put(p, VIRTIO_MMIO_QUEUE_SEL, s->index);
	if (get(p, VIRTIO_MMIO_QUEUE_READY) != 0)
		return virtio_device_lost(v, -EBUSY, "a queue is ready before it was set up");
	if (get(p, VIRTIO_MMIO_QUEUE_NUM_MAX) < s->size)
		return virtio_device_lost(v, -EOPNOTSUPP, "a queue's size is not what it was");
	put(p, VIRTIO_MMIO_QUEUE_NUM, s->size);
	put64(p, VIRTIO_MMIO_QUEUE_DESC_LOW, s->desc.addr);
	put64(p, VIRTIO_MMIO_QUEUE_DRIVER_LOW, s->driver.addr);
	put64(p, VIRTIO_MMIO_QUEUE_DEVICE_LOW, s->device.addr);
	put(p, VIRTIO_MMIO_QUEUE_READY, 1);
	s->doorbell = p->region;
	s->doorbell_offset = VIRTIO_MMIO_QUEUE_NOTIFY;
	s->doorbell_wide = true;
	return 0;
}

/*
 * §4.2.2: it reads 1 until the device has let go of the queue, which is not ready then. One where neither is so has not the
 * register: QEMU (7.2) offers this on MMIO all the same. Its queue was not touched, and goes on.
 */
static int vm_queue_reset(struct virtio_device *v, unsigned index, uint64_t deadline_ns)
{
	struct virtio_mmio *p = mmio_of(v);

	put(p, VIRTIO_MMIO_QUEUE_SEL, index);
	put(p, VIRTIO_MMIO_QUEUE_RESET, 1);
	for (;;) {
		uint64_t now = ob_now_ns();
		uint32_t reset, ready;

		/* The selector is one for all queues, and somebody else may have turned meanwhile. */
		put(p, VIRTIO_MMIO_QUEUE_SEL, index);
		reset = get(p, VIRTIO_MMIO_QUEUE_RESET);
		ready = get(p, VIRTIO_MMIO_QUEUE_READY);
		if (reset == 0)
			return ready == 0 ? 0 : -EOPNOTSUPP;
		if (now >= deadline_ns || reset == UINT32_MAX)
			return virtio_device_lost(v, -ETIMEDOUT, "a queue does not end its reset");
		ob_task_sleep(MIN(now + QUEUE_RESET_SLEEP_NS, deadline_ns));
	}
}

/* ---- the interrupt: the node's ---- */

static int vm_irq_alloc(struct virtio_device *v, unsigned min, unsigned max, unsigned kinds,
			struct bus_irq_vectors *out)
{
	struct virtio_mmio *p = mmio_of(v);
	struct ob_device *dev = p->carrier.dev;
	int ret = dev->ops->irq_alloc(dev, min, 1, kinds & OB_IRQ_INTX, out);

	p->edge = ret == 0 && (out->edges & 1) != 0;
	return ret;
}

/*
 * What is acknowledged takes the line down when nothing else is up (§4.2.2.1). Where the line is triggered by edges it
 * has to go down, or there is no next edge: again, until the device has nothing to say.
 */
static uint32_t vm_irq_take(struct virtio_device *v)
{
	struct virtio_mmio *p = mmio_of(v);
	uint32_t taken = 0;

	for (unsigned i = 0; i < (p->edge ? TAKE_TURNS : 1); i++) {
		uint32_t isr = get(p, VIRTIO_MMIO_INTERRUPT_STATUS);

		/* Of a device that is gone: not its interrupt. */
		if (isr == 0 || isr == UINT32_MAX)
			break;
		put(p, VIRTIO_MMIO_INTERRUPT_ACK, isr);
		taken |= isr;
	}
	return taken;
}

static bool vm_is_present(struct virtio_device *v)
{
	struct virtio_mmio *p = mmio_of(v);

	return get(p, VIRTIO_MMIO_MAGIC) == VIRTIO_MMIO_MAGIC_VALUE && get(p, VIRTIO_MMIO_DEVICE_ID) == v->id;
}

static const struct virtio_transport_ops virtio_mmio_ops = {
	.name = "mmio",
	.status = vm_status,
	.set_status = vm_set_status,
	.offered = vm_offered,
	.accept = vm_accept,
	.generation = vm_generation,
	.config_read = vm_config_read,
	.config_write = vm_config_write,
	.queue_size = vm_queue_size,
	.queue_enable = vm_queue_enable,
	.queue_reset = vm_queue_reset,
	.irq_alloc = vm_irq_alloc,
	.irq_release = virtio_carrier_irq_release,
	.irq_mask = virtio_carrier_irq_mask,
	.irq_level = virtio_carrier_irq_level,
	.irq_take = vm_irq_take,
	.is_present = vm_is_present,
};

/* ---- the driver ---- */

/* §4.2.2.2: what is not ours to drive is left alone, and an empty place is not worth a word. */
static int identify(struct virtio_mmio *p, uint32_t *id)
{
	struct ob *ob = ob_device_context(p->carrier.dev);
	const char *name = ob_device_name(p->carrier.dev);
	uint32_t magic, version;

	if (p->region.len_bytes < VIRTIO_MMIO_CONFIG) {
		ob_err(ob, "%s: its registers are only %llu bytes", name, (unsigned long long)p->region.len_bytes);
		return -EIO;
	}
	magic = get(p, VIRTIO_MMIO_MAGIC);
	if (magic != VIRTIO_MMIO_MAGIC_VALUE) {
		ob_err(ob, "%s: no virtio device: it begins with %08x", name, magic);
		return -ENODEV;
	}
	*id = get(p, VIRTIO_MMIO_DEVICE_ID);
	if (*id == 0)
		return -ENOMEDIUM;
	version = get(p, VIRTIO_MMIO_VERSION);
	if (version != VIRTIO_MMIO_VERSION_MODERN) {
		if (version == VIRTIO_MMIO_VERSION_LEGACY)
			ob_err(ob, "%s: it has the legacy interface only (version 1, not 2), which is not supported",
			       name);
		else
			ob_err(ob, "%s: its interface is of an unknown version, %u", name, version);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int virtio_mmio_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct virtio_mmio *p = hooks_fail(ob, "virtio_mmio_alloc") ? NULL : ob_alloc(sizeof(*p));
	uint32_t id;
	int ret;

	if (p == NULL)
		return -ENOMEM;
	p->carrier.dev = dev;
	ret = ob_device_region(dev, 0, &p->region);
	if (ret == 0)
		ret = identify(p, &id);
	if (ret == 0)
		ret = virtio_carrier_add(&p->carrier, &virtio_mmio_ops, id, p->region.len_bytes - VIRTIO_MMIO_CONFIG);
	if (ret != 0)
		ob_free(p);
	return ret;
}

static const struct ob_match virtio_mmio_match[] = {
	{.kind = OB_MATCH_DT, .compatible = "virtio,mmio"},
	OB_MATCH_LAST,
};

const struct ob_driver virtio_mmio_driver = {
	.name = "virtio-mmio",
	.match = virtio_mmio_match,
	.probe = virtio_mmio_probe,
	.remove = virtio_carrier_remove,
	.shutdown = virtio_carrier_shutdown,
	.suspend = virtio_carrier_suspend,
	.resume = virtio_carrier_resume,
};
