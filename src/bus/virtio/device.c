/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio devices on their bus: how they come and go with what carries them. */
#include <errno.h>
#include <string.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"
#include "core/machine_core.h"
#include "core/match.h"

static unsigned virtio_match(struct ob_device *dev, const struct ob_match *match)
{
	struct match_ids ids = {OB_ANY, virtio_device_of(dev)->id, OB_ANY, OB_ANY, OB_ANY, NULL, OB_MATCH_END, false,
				true};

	return match_score(match, &ids);
}

/* After its driver: whatever that has left, the device is quiet. */
static void virtio_disable(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v->status != 0 || v->dma_on)
		virtio_reset(v, ob_deadline(VIRTIO_RESET_TIMEOUT_NS));
	v->features = 0;
}

static int virtio_region(struct ob_device *dev, unsigned index, struct ob_region *out)
{
	return -ENXIO;
}

static int virtio_enable_dma(struct ob_device *dev, bool enable)
{
	struct virtio_device *v = virtio_device_of(dev);
	int ret = v->ops->enable_dma != NULL ? v->ops->enable_dma(v, enable) : 0;

	if (ret == 0 || !enable)
		v->dma_on = enable;
	return ret;
}

static int virtio_bus_reset(struct ob_device *dev)
{
	return virtio_reset(virtio_device_of(dev), ob_deadline(VIRTIO_RESET_TIMEOUT_NS));
}

static bool virtio_is_present(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (dev->parent != NULL && device_is_gone(dev->parent))
		return false;
	return v->ops->is_present == NULL || v->ops->is_present(v);
}

static int virtio_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds,
			    struct bus_irq_vectors *out)
{
	struct virtio_device *v = virtio_device_of(dev);

	return v->ops->irq_alloc != NULL ? v->ops->irq_alloc(v, min, max, kinds, out) : -ENOSPC;
}

static void virtio_irq_release(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v->ops->irq_release != NULL)
		v->ops->irq_release(v);
}

static void virtio_irq_mask(struct ob_device *dev, unsigned vector, bool mask)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v->ops->irq_mask != NULL)
		v->ops->irq_mask(v, vector, mask);
}

static bool virtio_irq_level(struct ob_device *dev, unsigned vector)
{
	struct virtio_device *v = virtio_device_of(dev);

	return v->ops->irq_level != NULL && v->ops->irq_level(v, vector);
}

static void virtio_release(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v->ops != NULL && v->ops->release != NULL)
		v->ops->release(v);
	ob_free(v);
}

const struct bus_ops virtio_bus_ops = {
	.name = "virtio",
	.paravirtual = true,
	.match = virtio_match,
	.disable = virtio_disable,
	.region = virtio_region,
	.enable_dma = virtio_enable_dma,
	.reset = virtio_bus_reset,
	.is_present = virtio_is_present,
	.irq_alloc = virtio_irq_alloc,
	.irq_release = virtio_irq_release,
	.irq_mask = virtio_irq_mask,
	.irq_level = virtio_irq_level,
	.release = virtio_release,
};

/* ---- for transports ---- */

struct virtio_device *virtio_device_create(struct ob_machine *machine, struct ob_device *parent, const char *name)
{
	struct virtio_device *v = hooks_fail(ob_machine_context(machine), __func__) ? NULL : ob_alloc(sizeof(*v));

	if (v == NULL)
		return NULL;
	device_init(&v->dev, &virtio_bus_ops, machine, parent, name);
	/* An IOMMU, or a table of grants, knows who carries it. */
	if (parent != NULL)
		v->dev.dma_dev = parent;
	list_init(&v->queues);
	ob_mutex_init(&v->config_lock, "virtio-config");
	return v;
}

int virtio_device_add(struct virtio_device *v)
{
	int ret = device_add(&v->dev);

	if (ret != 0)
		return ret;
	/* Here and not by the scan: whoever binds the parent by hand wants what it carries, too. That there is no driver for
	 * it, or that it gave up, is no fault of the transport's. */
	device_bind(&v->dev, ob_deadline(DEVICE_BIND_TIMEOUT_NS));
	return 0;
}

void virtio_device_remove(struct virtio_device *v)
{
	/* Its driver ends faster when it knows. */
	if (v->dev.parent != NULL && device_is_gone(v->dev.parent))
		device_set_gone(&v->dev);
	device_remove(&v->dev);
	ob_device_put(&v->dev);
}

void virtio_device_shutdown(struct virtio_device *v)
{
	int ret = device_shutdown(&v->dev, ob_deadline(DEVICE_BIND_TIMEOUT_NS));

	if (ret != 0)
		ob_err(ob_device_context(&v->dev), "%s: not shut down: %s", ob_device_name(&v->dev), strerror(-ret));
}

int virtio_device_lost(struct virtio_device *v, int error, const char *why)
{
	struct ob_device *carrier = v->dev.parent != NULL ? v->dev.parent : &v->dev;

	if (ob_device_is_present(carrier) && virtio_is_present(&v->dev))
		return error;
	ob_device_mark_gone(carrier, why);
	return -ENODEV;
}

/* ---- for drivers ---- */

uint32_t ob_virtio_id(const struct ob_device *dev)
{
	const struct virtio_device *v = virtio_device_of(dev);

	return v != NULL ? v->id : 0;
}
