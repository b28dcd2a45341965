/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of a ferry (ferry.h), for the simulation: registers, and one copy at a time, which takes a while. It is the
 * device's side of the manual and shares nothing else with the driver.
 */
#include <errno.h>
#include <stdio.h>

#include "ferry.h"
#include "sim/device.h"

#define COPY_NS  2000
#define COPY_MAX 4096
#define RING_MAX 64u

struct ferry_model {
	struct model_host *host;
	uint32_t control, size, tail, head;
	uint64_t ring;
	bool busy; /* a copy is under way */
	uint8_t buffer[COPY_MAX];
};

static struct ferry_model *of(struct sim_device *dev)
{
	return dev->model;
}

/* ---- registers ---- */

static uint64_t ferry_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	const struct ferry_model *m = f->model;

	switch (offset) {
	case FERRY_ID:
		return FERRY_ID_VALUE;
	case FERRY_CONTROL:
		return m->control;
	case FERRY_STATUS:
		return m->control & FERRY_RUN;
	case FERRY_SIZE:
		return m->size;
	case FERRY_RING:
		return m->ring;
	case FERRY_TAIL:
		return m->tail;
	default:
		return 0;
	}
}

static void start_one(struct ferry_model *m)
{
	if (m->busy || m->head == m->tail || (m->control & FERRY_RUN) == 0)
		return;
	m->busy = true;
	m->host->ops->schedule(m->host, m->host->ops->now_ns(m->host) + COPY_NS);
}

static void control_write(struct ferry_model *m, uint32_t value)
{
	if (value == m->control)
		return;
	m->control = value & FERRY_RUN;
	m->head = m->tail = 0;
	m->busy = false;
	m->host->ops->schedule(m->host, MODEL_NEVER);
	if (m->control != 0 && (m->size == 0 || m->size > RING_MAX || (m->size & (m->size - 1)) != 0))
		m->host->ops->note(m->host, "run with a ring of %u entries", m->size);
}

static void tail_write(struct ferry_model *m, uint32_t value)
{
	if ((m->control & FERRY_RUN) == 0 || value - m->head > m->size)
		m->host->ops->note(m->host, "tail %u written, head %u, %s", value, m->head,
				   m->control & FERRY_RUN ? "runs" : "halted");
	m->tail = value;
	start_one(m);
}

static void ferry_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct ferry_model *m = f->model;

	if (offset == FERRY_CONTROL)
		control_write(m, (uint32_t)value);
	else if (offset == FERRY_SIZE && m->control == 0)
		m->size = (uint32_t)value;
	else if (offset == FERRY_RING && m->control == 0)
		m->ring = value;
	else if (offset == FERRY_TAIL)
		tail_write(m, (uint32_t)value);
	else
		m->host->ops->note(m->host, "a write of %#llx to register %#llx", (unsigned long long)value,
				   (unsigned long long)offset);
}

static void ferry_reset(struct model_pci *f)
{
	control_write(f->model, 0);
}

static void ferry_changed(struct model_pci *f)
{
}

static const struct model_pci_ops ferry_ops = {
	.read = ferry_read,
	.write = ferry_write,
	.reset = ferry_reset,
	.changed = ferry_changed,
};

/* ---- copies ---- */

static uint32_t copy(struct ferry_model *m, const struct ferry_entry *entry)
{
	const struct model_host_ops *ops = m->host->ops;
	uint32_t len_bytes = ob_le32_to_cpu(entry->len_bytes);

	if (len_bytes > COPY_MAX || ops->dma_read(m->host, ob_le64_to_cpu(entry->from), m->buffer, len_bytes) != 0 ||
	    ops->dma_write(m->host, ob_le64_to_cpu(entry->to), m->buffer, len_bytes) != 0)
		return FERRY_DONE | FERRY_FAILED;
	return FERRY_DONE;
}

/* The time of a copy is over. Between any two of its accesses the driver may do something. */
static void ferry_event(struct sim_device *dev)
{
	struct ferry_model *m = of(dev);
	const struct model_host_ops *ops = m->host->ops;
	uint64_t at = m->ring + (m->head & (m->size - 1)) * sizeof(struct ferry_entry);
	struct ferry_entry entry;
	ob_le32 status;

	if (!m->busy || ops->dma_read(m->host, at, &entry, sizeof(entry)) != 0)
		return;
	status = ob_cpu_to_le32(copy(m, &entry));
	m->head++;
	m->busy = false;
	ops->dma_publish(m->host, at + offsetof(struct ferry_entry, status), &status, sizeof(status));
	ops->msix(m->host, 0);
	start_one(m);
}

static bool ferry_run(struct sim_device *dev)
{
	return false; /* it has no other work than what it scheduled */
}

static int ferry_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	const struct model_pci_id id = {.vendor = FERRY_VENDOR, .device = FERRY_DEVICE, .class_code = 0x088000};
	struct ferry_model *m = dev->host.ops->alloc(&dev->host, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->host = &dev->host;
	dev->model = m;
	model_pci_init(&dev->pci, bus, devfn, &id, &ferry_ops);
	dev->pci.model = m;
	model_pci_add_bar(&dev->pci, 0, FERRY_BAR_BYTES, true, false);
	model_pci_add_bar(&dev->pci, 2, 4096, true, false);
	model_pci_add_express(&dev->pci, PCIE_TYPE_RC_ENDPOINT);
	return model_pci_add_msix(&dev->pci, 1, 2, 0, 2048);
}

/* ---- in words, for reports and pictures ---- */

static void ferry_describe(struct sim_device *dev, char *text, size_t size)
{
	const struct ferry_model *m = of(dev);

	snprintf(text, size, "%s, %s; ring of %u entries, head %u, tail %u", m->control & FERRY_RUN ? "runs" : "halted",
		 m->busy ? "copies" : "idle", m->size, m->head, m->tail);
}

/* For names, and for faults that are about one of them. The driver believes STATUS when it gives memory back. */
static const struct sim_register registers[] = {
	{"ID", FERRY_ID, 4, false},
	{"CONTROL", FERRY_CONTROL, 4, false},
	{"STATUS", FERRY_STATUS, 4, true},
	{"SIZE", FERRY_SIZE, 4, false},
	{"RING", FERRY_RING, 8, false},
	{"TAIL", FERRY_TAIL, 4, false},
	{.len_bytes = 0},
};

static bool ferry_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	for (const struct sim_register *r = registers; bar == 0 && r->len_bytes != 0; r++)
		if (r->offset == offset) {
			snprintf(text, size, "%s", r->name);
			return true;
		}
	return false;
}

static bool ferry_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	const struct ferry_model *m = of(dev);
	uint64_t offset = iova - m->ring;

	if (m->size == 0 || offset >= m->size * sizeof(struct ferry_entry))
		return false;
	snprintf(text, size, "ring[%u]%s", (unsigned)(offset / sizeof(struct ferry_entry)),
		 offset % sizeof(struct ferry_entry) == offsetof(struct ferry_entry, status) ? ".status" : "");
	return true;
}

const struct sim_device_type ferry_type = {
	.name = "ferry",
	.help = "copies memory",
	.create = ferry_create,
	.run = ferry_run,
	.event = ferry_event,
	.registers = registers,
	.describe = ferry_describe,
	.register_name = ferry_register_name,
	.memory_name = ferry_memory_name,
};
