/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio network device in the world's machine, with a plug in it that connects both directions: what it sends it
 * receives, on the same pair of queues, in order, once there are buffers.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/net/inbox.h"
#include "sim/fault/fault.h"
#include "sim/machine/model.h"
#include "sim/view/view.h"

#define INBOX_BYTES   65536u /* all that the scenarios send at once, when nobody receives */
#define NET_FRAME_MAX 600u

struct net_device {
	struct vnet_model *vnet;
	struct vnet_inbox inbox;
	bool fresh;
};

static struct net_device *of(struct sim_device *dev)
{
	return dev->model;
}

/* ---- the wire ---- */

static void wire_send(void *arg, const struct vnet_frame *frame)
{
	struct net_device *d = of(arg);

	if (!vnet_inbox_put(&d->inbox, frame) && W.fault_on == 0) {
		report_begin("frame-lost",
			     "a frame of %u bytes finds no room on the wire: the driver receives too little",
			     frame->len_bytes);
		report_end();
	}
	d->fresh = true;
}

static bool wire_peek(void *arg, struct vnet_frame *out)
{
	return vnet_inbox_peek(&of(arg)->inbox, out);
}

static void wire_next(void *arg)
{
	vnet_inbox_next(&of(arg)->inbox);
}

static const struct vnet_wire_ops wire = {
	.send = wire_send,
	.peek = wire_peek,
	.next = wire_next,
};

/* ---- what it says falsely ---- */

static void used_change(void *arg, unsigned queue, uint16_t *id, uint32_t *written_bytes)
{
	(void)arg;
	(void)queue;
	if (fault_strike(SIM_FAULT_COMPLETION_BAD) == NULL)
		return;
	if (fault_draw(2) == 0)
		*id = (uint16_t)(0x4000 + fault_draw(0x4000));
	else
		*written_bytes = 0x10000u + (uint32_t)fault_draw(0x10000);
	W.fault_excuses |= FAULT_EXCUSE_NOTES;
}

/* ---- the type ---- */

static int net_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	const struct virtio_model_hooks hooks = {.arg = dev, .used = used_change};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct net_device *d = model_alloc(sizeof(*d));
	void *inbox = model_alloc(INBOX_BYTES);
	struct vnet_model_config c;
	int ret;

	if (d == NULL || inbox == NULL)
		return -ENOMEM;
	dev->model = d;
	vnet_inbox_init(&d->inbox, inbox, INBOX_BYTES);
	vnet_model_config_default(&c);
	memcpy(c.mac, mac, sizeof(c.mac));
	c.pairs = (uint16_t)MIN(W.config.queues, 4u);
	c.queue_size = 8;
	while (c.queue_size * 2u <= W.config.ring_entries)
		c.queue_size *= 2;
	c.msix_vectors = (uint16_t)(W.config.vectors != 0 ? W.config.vectors : 2u * c.pairs + 2);
	if (W.config.pin_interrupts)
		c.msix_vectors = 0;
	c.frame_max = NET_FRAME_MAX;
	c.ring_features = sim_ring_features();
	ret = vnet_model_create(&dev->host, &c, &wire, dev, &d->vnet);
	if (ret != 0)
		return ret;
	virtio_model_set_hooks(&d->vnet->virtio, &hooks);
	return virtio_model_function_init(&d->vnet->virtio, &dev->pci, bus, devfn);
}

static void net_destroy(struct sim_device *dev)
{
	vnet_model_destroy(of(dev)->vnet);
}

static bool net_run(struct sim_device *dev)
{
	struct net_device *d = of(dev);
	bool more = virtio_model_run(&d->vnet->virtio, 1);

	if (!d->fresh)
		return more;
	d->fresh = false;
	vnet_model_wake(d->vnet);
	return true;
}

static void net_event(struct sim_device *dev)
{
	(void)dev;
}

static const char *net_holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	return virtio_model_holds(&of(dev)->vnet->virtio, iova, len_bytes);
}

static void net_fail(struct sim_device *dev)
{
	unsigned excuses = W.fault_excuses;

	W.fault_excuses |= FAULT_EXCUSE_NOTES; /* the model says why it fails: not for this one */
	virtio_model_fail(&of(dev)->vnet->virtio, "a fault of its own");
	W.fault_excuses = excuses;
}

static void net_describe(struct sim_device *dev, char *text, size_t size)
{
	const struct vnet_model *m = of(dev)->vnet;

	snprintf(text, size, "status %#x, features %#llx; sent %llu, received %llu, on the wire %u", m->virtio.status,
		 (unsigned long long)m->virtio.accepted, (unsigned long long)m->stats.tx_frames,
		 (unsigned long long)m->stats.rx_frames, of(dev)->inbox.count);
}

static bool net_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	return virtio_model_register_name(&of(dev)->vnet->virtio, bar, offset, text, size);
}

static bool net_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	return virtio_model_memory_name(&of(dev)->vnet->virtio, iova, text, size);
}

const struct sim_device_type sim_virtio_net = {
	.name = "virtio-net",
	.help = "a virtio network device that has its own frames back",
	.create = net_create,
	.destroy = net_destroy,
	.run = net_run,
	.event = net_event,
	.holds = net_holds,
	.fail = net_fail,
	.describe = net_describe,
	.register_name = net_register_name,
	.memory_name = net_memory_name,
};
