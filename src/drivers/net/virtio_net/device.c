/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's functions: probe, remove, suspend, resume. */
#include <errno.h>
#include <stdio.h>

#include "core/hooks.h"
#include "drivers/net/virtio_net/virtio_net.h"

static int publish(struct vnet *v)
{
	struct ob_net_publish publish = {
		.link = {.up = true, .full_duplex = v->config.full_duplex, .speed_mbps = v->config.speed_mbps},
		.ops = &vnet_ops,
		.driver_data = v,
	};
	int ret;

	vnet_info_fill(v, &publish.info);
	ret = ob_net_publish(v->dev, &publish, &v->net);
	if (ret == 0)
		snprintf(v->name, sizeof(v->name), "%s", ob_net_name(v->net));
	return ret;
}

static int vnet_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct vnet *v = hooks_fail(ob, "vnet_alloc") ? NULL : ob_alloc(sizeof(*v));
	int ret;

	if (v == NULL)
		return -ENOMEM;
	v->ob = ob;
	v->dev = dev;
	v->quiet = true;
	snprintf(v->name, sizeof(v->name), "%s", ob_device_name(dev));
	ob_mutex_init(&v->lock, "virtio-net");
	list_init(&v->pairs);
	ob_event_init(&v->service_event, ob_device_cpu(dev));
	ob_device_set_driver_data(dev, v);
	ret = vnet_make(v);
	if (ret != 0)
		goto forget;
	ret = publish(v);
	if (ret != 0)
		goto unmake;
	v->state = VNET_LIVE;
	ret = vnet_service_start(v);
	if (ret != 0)
		goto unpublish;
	vnet_want(v, VNET_TODO_CONFIG);
	return 0;

unpublish:
	v->state = VNET_REMOVING;
	ob_net_unpublish(v->net);
unmake:
	vnet_unmake(v);
forget:
	ob_device_set_driver_data(dev, NULL);
	ob_free(v);
	return ret;
}

/* Quiet first, so that the end of each channel needs no reset of its own. */
static void quiesce(struct vnet *v)
{
	/* Whoever has the lock comes to an end: the device may be gone, and answers nothing. */
	v->ending = true;
	while (ob_mutex_lock(&v->lock, ob_deadline(VNET_LOCK_NS)) != 0)
		ob_warn(v->ob, "%s: still waiting for its turn to be removed", v->name);
	vnet_unmake(v);
	v->state = VNET_REMOVING;
	ob_mutex_unlock(&v->lock);
}

static void vnet_remove(struct ob_device *dev)
{
	struct vnet *v = ob_device_driver_data(dev);

	quiesce(v);
	vnet_service_stop(v);
	ob_net_unpublish(v->net);
	ob_device_set_driver_data(dev, NULL);
	ob_free(v);
}

static void vnet_shutdown(struct ob_device *dev)
{
	quiesce(ob_device_driver_data(dev));
}

static int vnet_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	struct vnet *v = ob_device_driver_data(dev);
	int ret = ob_mutex_lock(&v->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (v->state == VNET_LIVE) {
		vnet_unmake(v);
		v->state = VNET_SUSPENDED;
	} else {
		ret = -ENODEV;
	}
	ob_mutex_unlock(&v->lock);
	return ret;
}

static int vnet_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	struct vnet *v = ob_device_driver_data(dev);
	int ret = ob_mutex_lock(&v->lock, deadline_ns);

	if (ret != 0)
		return -EAGAIN;
	ret = v->state == VNET_SUSPENDED ? vnet_remake(v) : -ENODEV;
	ob_mutex_unlock(&v->lock);
	return ret;
}

static const struct ob_match vnet_match[] = {
	OB_VIRTIO_ID(VIRTIO_ID_NET),
	OB_MATCH_LAST,
};

const struct ob_driver virtio_net_driver = {
	.name = "virtio-net",
	.match = vnet_match,
	.probe = vnet_probe,
	.remove = vnet_remove,
	.shutdown = vnet_shutdown,
	.suspend = vnet_suspend,
	.resume = vnet_resume,
};
