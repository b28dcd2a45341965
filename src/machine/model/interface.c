/* SPDX-License-Identifier: BSD-2-Clause */
/* The model machine's network devices. */
#include <errno.h>
#include <stdlib.h>

#include "machine/model/cable.h"

static bool vnet_run(void *model, unsigned budget)
{
	struct model_port *port = model;
	bool more;

	if (cable_fresh(port))
		vnet_model_wake(port->vnet);
	more = virtio_model_run(&port->vnet->virtio, budget);
	/* On a cable of its own, what it sent just now has come back. */
	if (!cable_fresh(port))
		return more;
	vnet_model_wake(port->vnet);
	return true;
}

/* Somebody sent it a frame. */
static void vnet_event(void *model)
{
	struct model_port *port = model;

	port->dev->host.ops->kick(&port->dev->host);
}

static void vnet_destroy(void *model)
{
	struct model_port *port = model;

	vnet_model_destroy(port->vnet);
	cable_leave(port);
	free(port);
}

const struct model_kind model_kind_vnet = {"virtio-net", vnet_run, vnet_event, vnet_destroy};

struct vnet_model *model_vnet(const struct model_device *dev)
{
	return dev->kind == &model_kind_vnet ? ((struct model_port *)dev->model)->vnet : NULL;
}

int model_device_create_vnet(struct model_machine *mm, struct model_pci_bus *bus, uint8_t devfn, const char *name,
			     const struct vnet_model_config *config, const char *cable, struct model_device **out)
{
	struct model_device *dev = model_device_new(mm, name);
	struct model_port *port = calloc(1, sizeof(*port));
	int ret = -ENOMEM;

	if (dev == NULL || port == NULL)
		goto free_both;
	port->dev = dev;
	ret = cable_join(mm, cable, port);
	if (ret != 0)
		goto free_both;
	ret = vnet_model_create(&dev->host, config, &cable_wire, port, &port->vnet);
	if (ret != 0)
		goto leave;
	ret = virtio_model_function_init(&port->vnet->virtio, &dev->pci, bus, devfn);
	if (ret != 0)
		goto destroy_model;
	dev->kind = &model_kind_vnet;
	dev->model = port;
	list_add_tail(&mm->devices, &dev->link);
	*out = dev;
	return 0;

destroy_model:
	vnet_model_destroy(port->vnet);
leave:
	cable_leave(port);
free_both:
	free(port);
	if (dev != NULL)
		pthread_mutex_destroy(&dev->lock);
	free(dev);
	return ret;
}
