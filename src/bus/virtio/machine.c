/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices that a machine gives directly (MACHINE_BUS_VIRTIO): there are no registers, so the status is kept here,
 * and what a register would do is a call.
 */
#include <errno.h>
#include <string.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"
#include "core/machine_core.h"

/* More than any device class has; what a machine says of its own is not to be trusted with our memory either. */
#define CONFIG_BYTES_MAX 512u

struct virtio_carried {
	struct machine *m;
	unsigned index; /* of the machine's devices */
	const struct machine_virtio_ops *ops;
	/* As it was at the last look, and how often that was news. */
	uint8_t config[CONFIG_BYTES_MAX];
	size_t config_len;
	uint32_t generation;
	int *fds;
};

static struct virtio_carried *carried_of(const struct virtio_device *v)
{
	return v->transport;
}

/* Its machine is dead, or did not understand. */
static int judge(struct virtio_device *v, int error)
{
	if (error == -ENODEV)
		ob_device_mark_gone(&v->dev, "its machine does not answer");
	return error;
}

/* ---- status, features, configuration ---- */

static int vm_status(struct virtio_device *v, uint8_t *status)
{
	struct virtio_carried *c = carried_of(v);

	*status = v->status;
	if (c->ops->needs_reset != NULL && c->ops->needs_reset(c->m, c->index))
		*status |= VIRTIO_STATUS_NEEDS_RESET;
	return 0;
}

static int vm_set_status(struct virtio_device *v, uint8_t status)
{
	struct virtio_carried *c = carried_of(v);
	uint8_t news = (uint8_t)(status & ~v->status);

	if (status == 0)
		return judge(v, c->ops->reset(c->m, c->index, ob_deadline(VIRTIO_RESET_TIMEOUT_NS)));
	return (news & VIRTIO_STATUS_DRIVER_OK) != 0 ? judge(v, c->ops->start(c->m, c->index)) : 0;
}

static int vm_offered(struct virtio_device *v, uint64_t *features)
{
	struct virtio_carried *c = carried_of(v);

	return judge(v, c->ops->offered(c->m, c->index, features));
}

static int vm_accept(struct virtio_device *v, uint64_t features)
{
	struct virtio_carried *c = carried_of(v);

	return judge(v, c->ops->accept(c->m, c->index, features));
}

/* All of it is fetched; what is read until the next call is this. */
static int vm_generation(struct virtio_device *v, uint32_t *generation)
{
	struct virtio_carried *c = carried_of(v);
	size_t len = sizeof(c->config);
	uint8_t now[CONFIG_BYTES_MAX] = {0};
	int ret = v->config_len != 0 ? c->ops->config_read(c->m, c->index, now, &len) : 0;

	if (ret != 0)
		return judge(v, ret);
	if (memcmp(now, c->config, sizeof(now)) != 0) {
		memcpy(c->config, now, sizeof(now));
		c->generation++;
	}
	*generation = c->generation;
	return 0;
}

static int vm_config_read(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct virtio_carried *c = carried_of(v);

	*value = 0;
	for (unsigned i = 0; i < size_bytes; i++)
		*value |= (uint32_t)c->config[offset + i] << 8 * i;
	return 0;
}

static int vm_config_write(struct virtio_device *v, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct virtio_carried *c = carried_of(v);
	uint8_t bytes[4];

	for (unsigned i = 0; i < size_bytes; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	return judge(v, c->ops->config_write(c->m, c->index, offset, bytes, size_bytes));
}

/* ---- queues ---- */

static int vm_queue_size(struct virtio_device *v, unsigned index, uint32_t *size)
{
	struct virtio_carried *c = carried_of(v);
	uint16_t entries = 0;
	int ret = c->ops->queue_size(c->m, c->index, index, &entries);

	*size = entries;
	return judge(v, ret);
}

static int vm_queue_enable(struct virtio_device *v, struct virtio_queue_setup *s)
{
	struct virtio_carried *c = carried_of(v);
	struct machine_virtio_queue queue = {
		.size = s->size, .desc = s->desc.addr, .driver = s->driver.addr, .device = s->device.addr};

	return judge(v, c->ops->queue_start(c->m, c->index, s->index, &queue, &s->doorbell, &s->doorbell_offset));
}

static int vm_queue_reset(struct virtio_device *v, unsigned index, uint64_t deadline_ns)
{
	struct virtio_carried *c = carried_of(v);

	if (c->ops->queue_stop == NULL)
		return -EOPNOTSUPP;
	return judge(v, c->ops->queue_stop(c->m, c->index, index, deadline_ns));
}

/* ---- interrupts: eventfds, which nothing can mask; core keeps what comes meanwhile ---- */

static int vm_irq_alloc(struct virtio_device *v, unsigned min, unsigned max, unsigned kinds,
			struct bus_irq_vectors *out)
{
	struct virtio_carried *c = carried_of(v);
	unsigned count = 0;

	if ((kinds & OB_IRQ_MSIX) == 0)
		return -ENOSPC;
	c->fds = ob_alloc(max * sizeof(*c->fds));
	if (c->fds == NULL)
		return -ENOMEM;
	c->fds[0] = c->ops->irq_fd(c->m, c->index, -1);
	for (count = 1; count < max; count++) {
		c->fds[count] = c->ops->irq_fd(c->m, c->index, (int)count - 1);
		if (c->fds[count] < 0)
			break;
	}
	/* Not for the configuration's alone. */
	if (count < 2 || count < min) {
		ob_free(c->fds);
		c->fds = NULL;
		return -ENOSPC;
	}
	*out = (struct bus_irq_vectors){.kind = OB_IRQ_MSIX, .count = count, .fds = c->fds};
	return 0;
}

static void vm_irq_release(struct virtio_device *v)
{
	struct virtio_carried *c = carried_of(v);

	ob_free(c->fds);
	c->fds = NULL;
}

static bool vm_is_present(struct virtio_device *v)
{
	return !OB_READ_ONCE(carried_of(v)->m->dead);
}

static void vm_release(struct virtio_device *v)
{
	ob_free(v->transport);
}

static const struct virtio_transport_ops machine_transport_ops = {
	.name = "machine",
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
	.irq_release = vm_irq_release,
	.vectors_by_queue = true,
	.is_present = vm_is_present,
	.release = vm_release,
};

/* ---- the bus ---- */

static int add_one(struct ob_machine *machine, const struct machine_virtio_device *desc, unsigned index)
{
	struct virtio_device *v = virtio_device_create(machine, NULL, desc->name);
	struct virtio_carried *c;
	size_t len = CONFIG_BYTES_MAX;
	int ret;

	if (v == NULL)
		return -ENOMEM;
	c = hooks_fail(ob_machine_context(machine), "virtio_carried_alloc") ? NULL : ob_alloc(sizeof(*c));
	if (c == NULL) {
		ob_device_put(&v->dev);
		return -ENOMEM;
	}
	v->ops = &machine_transport_ops;
	v->transport = c;
	v->id = desc->id;
	c->m = device_machine(&v->dev);
	c->index = index;
	c->ops = desc->ops;
	ret = c->ops->config_read(c->m, index, c->config, &len);
	if (ret == 0)
		v->config_len = (uint32_t)MIN(len, CONFIG_BYTES_MAX);
	/* Some cannot tell their configuration: drivers do with what the features say. */
	if (ret == -EOPNOTSUPP)
		ret = 0;
	if (ret == 0)
		ret = device_add(&v->dev);
	if (ret != 0)
		ob_device_put(&v->dev);
	return ret;
}

/* What a machine carries it carries for its life. */
static int virtio_scan(struct ob_machine *machine, const struct machine_bus *bus)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < bus->u.virtio.count; i++) {
		const struct machine_virtio_device *desc = &bus->u.virtio.devices[i];
		struct ob_device *known = ob_device_find(machine, desc->name);

		if (known == NULL)
			ret = add_one(machine, desc, i);
		else
			ob_device_put(known);
	}
	return ret;
}

const struct bus_type virtio_bus_type = {.kind = MACHINE_BUS_VIRTIO, .scan = virtio_scan};
