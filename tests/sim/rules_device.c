/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device of the rules' tests: it moves bytes between memory and a register, and raises interrupts when told. Not
 * instrumented, as no model is.
 */
#include "tests/sim/rules_device.h"

#include <stdio.h>

#include "sim/machine/model.h"

#define BAR_BYTES   0x4000u
#define MSIX_TABLE  0x2000u
#define MSIX_PBA    0x3000u
#define TRANSFER_NS 2000

struct model {
	uint32_t cause, mask;
	uint64_t address;
	uint32_t length; /* as written; 0: nothing to do */
};

static struct model *of(struct sim_device *dev)
{
	return dev->model;
}

static void update(struct sim_device *dev, uint32_t before)
{
	struct model *m = of(dev);
	uint32_t fresh = m->cause & ~m->mask & ~before;

	if (dev->host.ops->msix_enabled(&dev->host)) {
		for (unsigned v = 0; v < RULES_VECTORS; v++)
			if (fresh & (1u << v))
				dev->host.ops->msix(&dev->host, v);
		return;
	}
	dev->host.ops->intx(&dev->host, (m->cause & ~m->mask) != 0);
}

static uint64_t bar_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	struct model *m = of(f->model);

	switch (offset) {
	case RULES_CAUSE:
		return m->cause;
	case RULES_MASK:
		return m->mask;
	default:
		return 0;
	}
}

static void bar_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct sim_device *dev = f->model;
	struct model *m = of(dev);
	uint32_t before = m->cause & ~m->mask;

	switch (offset) {
	case RULES_CAUSE:
		m->cause &= ~(uint32_t)value;
		break;
	case RULES_MASK:
		m->mask = (uint32_t)value;
		break;
	case RULES_RAISE:
		m->cause |= (uint32_t)value;
		break;
	case RULES_ADDRESS:
		m->address = value;
		break;
	case RULES_LENGTH:
		m->length = (uint32_t)value;
		dev->host.ops->schedule(&dev->host, W.now_ns + TRANSFER_NS);
		break;
	default:
		break;
	}
	update(dev, before);
}

static void transfer(struct sim_device *dev)
{
	struct model *m = of(dev);
	uint32_t before = m->cause & ~m->mask, len_bytes = m->length & ~RULES_WRITE;
	uint8_t bytes[4096] = {0};

	if (m->length == 0)
		return;
	if (m->length & RULES_WRITE)
		dev->host.ops->dma_write(&dev->host, m->address, bytes, MIN(len_bytes, (uint32_t)sizeof(bytes)));
	else
		dev->host.ops->dma_read(&dev->host, m->address, bytes, MIN(len_bytes, (uint32_t)sizeof(bytes)));
	m->length = 0;
	m->cause |= 1;
	W.commands++;
	update(dev, before);
}

static const char *holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	const struct model *m = of(dev);

	return m->length != 0 && m->address - iova < len_bytes ? "its transfer" : NULL;
}

static bool unseen(struct sim_device *dev, char *text, size_t size)
{
	const struct model *m = of(dev);

	snprintf(text, size, "cause %#x", m->cause);
	return (m->cause & ~m->mask) != 0 && (m->cause & RULES_UNSEEN) != 0;
}

static void reset(struct model_pci *f)
{
	struct sim_device *dev = f->model;

	*of(dev) = (struct model){0};
	dev->host.ops->intx(&dev->host, false);
}

static void changed(struct model_pci *f)
{
}

static bool run(struct sim_device *dev)
{
	return false;
}

static int create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	static const struct model_pci_ops ops = {
		.read = bar_read, .write = bar_write, .reset = reset, .changed = changed};
	const struct model_pci_id id = {
		.vendor = RULES_VENDOR,
		.device = RULES_DEVICE,
		.class_code = 0xff0000,
		.pin = 1,
	};

	dev->model = dev->host.ops->alloc(&dev->host, sizeof(struct model));
	model_pci_init(&dev->pci, bus, devfn, &id, &ops);
	dev->pci.model = dev;
	model_pci_add_bar(&dev->pci, 0, BAR_BYTES, true, false);
	model_pci_add_pm(&dev->pci);
	model_pci_add_express(&dev->pci, PCIE_TYPE_RC_ENDPOINT);
	if (W.config.pin_interrupts)
		return 0;
	return model_pci_add_msix(&dev->pci, RULES_VECTORS, 0, MSIX_TABLE, MSIX_PBA);
}

void rules_device_unplug(void *arg)
{
	model_pci_unplug(&sim_machine->devices[0]->pci);
}

static const struct sim_device_type type = {
	.name = "rules",
	.help = "the device of the rules' tests",
	.create = create,
	.run = run,
	.event = transfer,
	.holds = holds,
	.unseen = unseen,
};

const struct sim_device_type *const rules_devices[] = {&type, NULL};
