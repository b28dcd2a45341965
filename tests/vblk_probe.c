/* SPDX-License-Identifier: BSD-2-Clause */
/* See vblk_probe.h: what probe_each.c has to know of a virtio disk. */
#include "tests/vblk_probe.h"

#include "bus/virtio/virtio.h"
#include "drivers/block/virtio_blk/virtio_blk.h"
#include "tests/probe_each.h"

/* All but what belongs to a channel, of which the device has nothing left when it is closed. */
static bool is_with_device(struct ob_device *dev, const struct ob_dma *dma)
{
	const struct vblk *v = ob_device_driver_data(dev);

	for (unsigned i = 0; i < v->queue_count; i++)
		if (v->queues[i]->dma.base != NULL && v->queues[i]->dma.base == dma->base)
			return ob_virtio_queue_in_flight(v->queues[i]->vq) > 0;
	return true;
}

static bool works(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);
	uint8_t status;

	return v->ops->status(v, &status) == 0 && (status & VIRTIO_STATUS_DRIVER_OK) != 0;
}

static bool is_clean(struct ob_device *dev)
{
	const struct vblk *v = ob_device_driver_data(dev);

	for (unsigned i = 0; i < v->queue_count; i++)
		if (v->queues[i]->taken || v->queues[i]->listens)
			return false;
	return true;
}

static const struct probe_subject subject = {"virtio-blk", is_with_device, works, is_clean, 3};

void vblk_probe_fail_each(const char *uri)
{
	probe_fail_each(uri, &subject);
}

void vblk_channel_fail_each(const char *uri)
{
	channel_fail_each(uri, &subject);
}
