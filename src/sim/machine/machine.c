/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world's machine ("sim:"): a PCI bus with the devices that the scenario names, one NVMe controller unless it says
 * otherwise. All accesses to them go through machine/thread.c, all of their DMA through iommu.c.
 */
#include "machine/machine.h"

#include <errno.h>
#include <stdio.h>

#include "sim/fault/fault.h"
#include "sim/machine/iommu.h"
#include "sim/machine/model.h"
#include "sim/view/view.h"

#define MEM32_BASE 0x80000000ull
#define MEM32_LEN  0x40000000ull
#define MEM64_BASE 0x8000000000ull
#define MEM64_LEN  0x4000000000ull

SIM_STATE struct sim_machine *sim_machine;

void machine_reset(void)
{
	sim_machine = NULL;
}

/* ---- the root complex ---- */

static void root_enter(struct model_pci_root *root, struct model_pci *f)
{
}

static void *root_alloc(struct model_pci_root *root, size_t len_bytes)
{
	return model_alloc(len_bytes);
}

static void root_free(struct model_pci_root *root, void *memory)
{
}

static const struct model_pci_root_ops root_ops = {
	.enter = root_enter,
	.leave = root_enter,
	.message = sim_message,
	.line = sim_line_set,
	.alloc = root_alloc,
	.free = root_free,
};

/* ---- on the device's thread ---- */

/* Ports are nobody's device. */
static struct sim_device *device_of(const struct model_pci *f)
{
	for (unsigned i = 0; i < sim_machine->device_count; i++)
		if (&sim_machine->devices[i]->pci == f)
			return sim_machine->devices[i];
	return NULL;
}

static void access_config(struct sim_machine *m, struct posted *a)
{
	uint16_t bdf = (uint16_t)(a->offset >> 16);
	unsigned offset = a->offset & 0xffff;
	struct sim_device *dev = NULL;

	if (OB_UNLIKELY(W.fault_on != 0))
		dev = device_of(model_pci_find(&m->root, bdf));
	if (a->kind == POSTED_CONFIG_READ) {
		uint32_t value = model_pci_config_read(&m->root, bdf, offset, a->size_bytes);

		a->value = dev != NULL ? fault_config_read(dev, offset, a->size_bytes, value) : value;
	} else if (dev == NULL || fault_config_write(dev)) {
		model_pci_config_write(&m->root, bdf, offset, a->size_bytes, (uint32_t)a->value);
		view_addresses();
	}
}

static void access_registers(struct sim_machine *m, struct posted *a)
{
	struct sim_device *dev = NULL;
	struct model_pci *f;
	uint64_t offset = 0;
	unsigned bar = 0;

	f = model_pci_decode(&m->root, a->offset, &bar, &offset);
	if (OB_UNLIKELY(W.fault_on != 0 && f != NULL))
		dev = device_of(f);
	if (a->kind == POSTED_READ) {
		a->value = f != NULL ? model_pci_bar_read(f, bar, offset, a->size_bytes) : UINT64_MAX;
		if (dev != NULL)
			a->value = fault_register_read(dev, bar, offset, a->size_bytes, a->value);
	} else if (f != NULL && (dev == NULL || fault_register_write(dev, bar, offset))) {
		model_pci_bar_write(f, bar, offset, a->size_bytes, a->value);
	}
}

void machine_access(struct posted *a)
{
	struct sim_machine *m = sim_machine;

	if (a->kind == POSTED_PROBE)
		probe_access(a);
	if (m == NULL || a->kind == POSTED_NOTHING || a->kind == POSTED_PROBE)
		return;
	switch (a->kind) {
	case POSTED_CONFIG_READ:
	case POSTED_CONFIG_WRITE:
		access_config(m, a);
		return;
	case POSTED_LINE:
		a->value = ((const struct sim_line *)(uintptr_t)a->offset)->level; /* NOLINT */
		return;
	default:
		access_registers(m, a);
		return;
	}
}

/* ---- the machine's operations ---- */

static const struct machine_bus *sim_buses(struct machine *m)
{
	return ((struct sim_machine *)(void *)m)->buses;
}

static int config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct posted access = {.kind = POSTED_CONFIG_READ, .size_bytes = (uint8_t)size_bytes};

	access.offset = (uint64_t)bdf << 16 | offset;
	world_capture();
	*value = (uint32_t)simdev_ask_ordered(&access);
	return 0;
}

static int config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct posted access = {.kind = POSTED_CONFIG_WRITE, .size_bytes = (uint8_t)size_bytes, .value = value};

	access.offset = (uint64_t)bdf << 16 | offset;
	world_capture();
	simdev_ask_ordered(&access); /* configuration writes are not posted */
	return 0;
}

static uint64_t sim_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	struct posted access = {.kind = POSTED_READ, .size_bytes = (uint8_t)size_bytes, .offset = address};

	world_capture();
	return space == MACHINE_SPACE_MEMORY ? simdev_ask(&access) : UINT64_MAX;
}

static void sim_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
		      uint64_t value)
{
	struct posted access = {.kind = POSTED_WRITE, .size_bytes = (uint8_t)size_bytes, .offset = address};

	world_capture();
	access.value = value;
	if (space == MACHINE_SPACE_MEMORY)
		simdev_post(&access);
}

static int sim_flush(struct machine *m)
{
	world_capture();
	simdev_flush();
	return 0;
}

static uint64_t region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return sim_read(NULL, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes);
}

static void region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	sim_write(NULL, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes, value);
}

static const struct ob_region_ops region_ops = {.read = region_read, .write = region_write};

static int sim_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			   uint64_t len_bytes, struct ob_region *out)
{
	world_capture();
	if (space != MACHINE_SPACE_MEMORY)
		return -ENODEV;
	*out = (struct ob_region){.len_bytes = len_bytes, .ops = &region_ops, .address = address, .dev = dev};
	return 0;
}

static void sim_region_close(struct machine *m, struct ob_region *region)
{
}

static int sim_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	return iommu_alloc(len_bytes, align_bytes, out);
}

static void sim_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	iommu_free(memory);
}

static int sim_dma_grant(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			 unsigned rights, uint64_t *iova)
{
	return iommu_grant(memory, rights, iova);
}

static void sim_dma_revoke(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			   uint64_t iova)
{
	iommu_revoke(memory);
}

static void sim_close(struct machine *m)
{
	struct sim_machine *sm = (struct sim_machine *)(void *)m;

	world_capture();
	simdev_flush();
	for (unsigned i = 0; i < sm->device_count; i++)
		if (sm->devices[i]->type->destroy != NULL)
			sm->devices[i]->type->destroy(sm->devices[i]);
	sim_machine = NULL;
	W.device_kicked = false;
	W.device_due_ns = NEVER;
}

static const struct machine_ops sim_ops = {
	.close = sim_close,
	.buses = sim_buses,
	.read = sim_read,
	.write = sim_write,
	.flush = sim_flush,
	.region_open = sim_region_open,
	.region_close = sim_region_close,
	.dma_alloc = sim_dma_alloc,
	.dma_free = sim_dma_free,
	.dma_grant = sim_dma_grant,
	.dma_revoke = sim_dma_revoke,
	.msi_alloc = sim_msi_alloc,
	.msi_free = sim_msi_free,
	.intx_open = sim_intx_open,
	.intx_close = sim_intx_close,
	.intx_level = sim_intx_level,
};

static int sim_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		    struct machine **out)
{
	static const struct sim_device_type *const usual[] = {&sim_nvme, NULL};
	const struct sim_device_type *const *types = W.scenario->devices != NULL ? W.scenario->devices : usual;
	struct sim_machine *m = model_alloc(sizeof(*m));
	int ret = 0;

	world_capture();
	if (m == NULL)
		return -ENOMEM;
	m->machine.ops = &sim_ops;
	m->machine.ob = ob;
	model_pci_root_init(&m->root, &root_ops);
	m->buses[0] = (struct machine_bus){
		.kind = MACHINE_BUS_PCI,
		.u.pci =
			{
				.bus_last = 255,
				.config_read = config_read,
				.config_write = config_write,
				.mem32 = {MEM32_BASE, MEM32_LEN},
				.mem64 = {MEM64_BASE, MEM64_LEN},
			},
	};
	sim_machine = m;
	W.last_machine = m;
	for (unsigned i = 0; types[i] != NULL && ret == 0; i++)
		ret = sim_device_create(m, types[i]);
	if (ret != 0) {
		sim_machine = NULL;
		return ret;
	}
	sim_device_derive_due();
	*out = &m->machine;
	return 0;
}

static const struct machine_type sim_machine_type = {
	.scheme = "sim",
	.help = "sim: — the deterministic world",
	.open = sim_open,
};

/* ---- in place of src/machine/types.c ---- */

const struct machine_type *const machine_types[] = {&sim_machine_type, NULL};

const struct machine_type *machine_type_find(const char *uri, const char **rest)
{
	size_t scheme_len = strcspn(uri, ":");

	if (scheme_len != strlen(sim_machine_type.scheme) || strncmp(uri, sim_machine_type.scheme, scheme_len) != 0)
		return NULL;
	*rest = uri[scheme_len] == ':' ? uri + scheme_len + 1 : uri + scheme_len;
	return &sim_machine_type;
}
