/* SPDX-License-Identifier: BSD-2-Clause */
/* What virtio devices in the world's machine have in common. */
#include "sim/machine/virtio.h"

#include "sim/fault/fault.h"

static struct sim_virtio *of(struct sim_device *dev)
{
	return dev->model;
}

/* ---- what it says falsely ---- */

/*
 * What it says of a request that is done is not so: another's number, or more bytes than there was room for. Who reads
 * another's number takes that one for done: what the device still does for it is then no mistake of the driver's.
 */
static void used_change(void *arg, unsigned queue, uint16_t *id, uint32_t *written_bytes)
{
	const struct fault_rule *r = fault_strike(SIM_FAULT_COMPLETION_BAD);

	if (r != NULL && fault_draw(2) == 0)
		*id |= (uint16_t)(1u << (7 + fault_draw(9))); /* more than any queue has */
	else if (r != NULL)
		*written_bytes += 1 + (uint32_t)fault_draw(1u << 16);
	r = fault_strike(SIM_FAULT_COMPLETION_FIELD);
	if (r == NULL)
		return;
	W.fault_excuses |= FAULT_EXCUSE_NOTES | FAULT_EXCUSE_DMA;
	if (fault_draw(4) == 0)
		*written_bytes = (uint32_t)fault_draw(fault_draw(2) == 0 ? 32 : 4096);
	else
		*id = (uint16_t)fault_draw(16);
}

static uint64_t config_change(void *arg, unsigned offset, unsigned size_bytes, uint64_t value)
{
	const struct fault_rule *r = fault_strike(SIM_FAULT_REGISTER);

	if (OB_LIKELY(r == NULL))
		return value;
	W.fault_excuses |= FAULT_EXCUSE_NOTES;
	return fault_draw(2) == 0 ? random_next(&W.random_fault) : fault_draw(4) - 1;
}

static const struct virtio_model_hooks hooks = {
	.used = used_change,
	.config = config_change,
};

/* ---- registers: what it pretends of its status ---- */

static uint64_t register_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	const struct sim_virtio *d = of(container_of(f, struct sim_device, pci));
	uint64_t value = virtio_model_function_ops.read(f, bar, offset, size_bytes);

	if (OB_LIKELY(!d->never_agrees && !d->never_resets) || offset != VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS)
		return value;
	return d->never_agrees ? value & ~(uint64_t)VIRTIO_STATUS_FEATURES_OK : value | VIRTIO_STATUS_ACKNOWLEDGE;
}

static void status_written(struct sim_device *dev, uint8_t status)
{
	struct sim_virtio *d = of(dev);

	if (status == 0) {
		fault_count(FAULT_AT_DISABLE);
		d->never_agrees = false;
		d->never_resets = fault_strike(SIM_FAULT_NOT_IDLE) != NULL;
		if (d->reset != NULL)
			d->reset(dev);
	} else if ((status & VIRTIO_STATUS_FEATURES_OK) != 0 && (status & VIRTIO_STATUS_DRIVER_OK) == 0) {
		fault_count(FAULT_AT_ENABLE);
		d->never_agrees = fault_strike(SIM_FAULT_NOT_READY) != NULL;
	}
}

static void register_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	if (OB_UNLIKELY(W.fault_on != 0 && offset == VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS))
		status_written(container_of(f, struct sim_device, pci), (uint8_t)value);
	virtio_model_function_ops.write(f, bar, offset, size_bytes, value);
}

static void function_reset(struct model_pci *f)
{
	struct sim_device *dev = container_of(f, struct sim_device, pci);
	struct sim_virtio *d = of(dev);

	d->never_agrees = d->never_resets = false;
	if (d->reset != NULL)
		d->reset(dev);
	virtio_model_function_ops.reset(f);
}

static void function_changed(struct model_pci *f)
{
	virtio_model_function_ops.changed(f);
}

static void function_sleeps(struct model_pci *f)
{
	virtio_model_function_ops.sleeps(f);
}

static const struct model_pci_ops function_ops = {
	.read = register_read,
	.write = register_write,
	.reset = function_reset,
	.changed = function_changed,
	.sleeps = function_sleeps,
};

int sim_virtio_function(struct sim_device *dev, struct virtio_model *virtio, struct model_pci_bus *bus, uint8_t devfn)
{
	int ret;

	of(dev)->virtio = virtio;
	virtio_model_set_hooks(virtio, &hooks);
	ret = virtio_model_function_init(virtio, &dev->pci, bus, devfn);
	dev->pci.ops = &function_ops;
	return ret;
}

/* ---- how it is ---- */

uint64_t sim_ring_features(void)
{
	uint64_t features = BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_ORDER_PLATFORM);

	features |= W.config.packed_rings ? BIT64(VIRTIO_F_RING_PACKED) : 0;
	features |= W.config.direct_rings ? 0 : BIT64(VIRTIO_F_INDIRECT_DESC);
	features |= W.config.event_flags ? 0 : BIT64(VIRTIO_F_EVENT_IDX);
	features |= W.config.ordered_rings ? BIT64(VIRTIO_F_IN_ORDER) : 0;
	return features;
}

void sim_virtio_fail(struct sim_device *dev)
{
	virtio_model_fail(of(dev)->virtio, "a fault of its own");
}

bool sim_virtio_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	return virtio_model_register_name(of(dev)->virtio, bar, offset, text, size);
}

bool sim_virtio_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	return virtio_model_memory_name(of(dev)->virtio, iova, text, size);
}
