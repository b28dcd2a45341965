/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio disks (VIRTIO 1.2 §5.2), whatever carries them. */
#include <errno.h>

#include "core/hooks.h"
#include "drivers/block/virtio_blk/virtio_blk.h"

static int vblk_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct vblk *v = hooks_fail(ob, "vblk_alloc") ? NULL : ob_alloc(sizeof(*v));
	int ret;

	if (v == NULL)
		return -ENOMEM;
	v->ob = ob;
	v->dev = dev;
	v->cpu = ob_device_cpu(dev);
	v->quiet = true; /* it is no bus master yet */
	vblk_pick_name(v);
	ob_device_set_driver_data(dev, v);
	ret = vblk_start(v);
	if (ret == 0)
		return 0;
	ob_device_set_driver_data(dev, NULL);
	ob_free(v);
	return ret;
}

static void vblk_remove(struct ob_device *dev)
{
	struct vblk *v = ob_device_driver_data(dev);

	vblk_stop(v);
	ob_device_set_driver_data(dev, NULL);
	ob_free(v);
}

static void vblk_shutdown(struct ob_device *dev)
{
	vblk_stop_abruptly(ob_device_driver_data(dev));
}

static int vblk_suspend_device(struct ob_device *dev, uint64_t deadline_ns)
{
	return vblk_suspend(ob_device_driver_data(dev), deadline_ns);
}

static int vblk_resume_device(struct ob_device *dev, uint64_t deadline_ns)
{
	return vblk_resume(ob_device_driver_data(dev), deadline_ns);
}

static const struct ob_match vblk_match[] = {
	OB_VIRTIO_ID(VIRTIO_ID_BLOCK),
	OB_MATCH_LAST,
};

const struct ob_driver virtio_blk_driver = {
	.name = "virtio-blk",
	.match = vblk_match,
	.probe = vblk_probe,
	.remove = vblk_remove,
	.shutdown = vblk_shutdown,
	.suspend = vblk_suspend_device,
	.resume = vblk_resume_device,
};
