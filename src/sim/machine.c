/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world's machine ("sim:"): one NVMe controller on a PCI bus, as the run's configuration describes it. All of its
 * accesses go through device.c, all of its DMA through iommu.c; the model itself is the native machine's.
 */
#include "machine/machine.h"

#include <errno.h>
#include <stdio.h>

#include "model/block/nvme/nvme_model.h"
#include "model/pci/pci_model.h"
#include "sim/iommu.h"

#define MSI_ADDRESS 0xfee00000ull
#define NVME_SLOT   2
#define NVME_DEVICE 0x0010u
#define DISK_BYTES  (64u << 10)
#define MEM32_BASE  0x80000000ull
#define MEM32_LEN   0x40000000ull
#define MEM64_BASE  0x8000000000ull
#define MEM64_LEN   0x4000000000ull

struct sim_machine {
	struct machine machine; /* first */
	struct machine_bus buses[2];
	struct model_pci_root root;
	struct model_host host;
	struct model_pci pci;
	struct nvme_model *nvme;
	int intx_fd;
	unsigned intx_level;
	int msi_fds[WORLD_FDS];
};

SIM_STATE static struct sim_machine *the_machine;

void machine_reset(void)
{
	the_machine = NULL;
}

/* ---- the model's host ---- */

static struct sim_machine *of_host(struct model_host *host)
{
	return container_of(host, struct sim_machine, host);
}

static int host_dma_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	return of_host(host)->pci.master ? iommu_read(iova, to, len_bytes) : -EACCES;
}

static int host_dma_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	return of_host(host)->pci.master ? iommu_write(iova, from, len_bytes) : -EACCES;
}

static int host_dma_publish(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	W.commands++;
	return of_host(host)->pci.master ? iommu_publish(iova, from, len_bytes) : -EACCES;
}

static void host_dma_fence(struct model_host *host)
{
	simdev_step(6);
}

static bool host_msix_enabled(struct model_host *host)
{
	return model_pci_msix_enabled(&of_host(host)->pci);
}

static void host_msix(struct model_host *host, unsigned vector)
{
	simdev_step(7);
	model_pci_msix_fire(&of_host(host)->pci, vector);
}

static void host_intx(struct model_host *host, bool level)
{
	model_pci_intx_set(&of_host(host)->pci, level);
}

static uint64_t host_now_ns(struct model_host *host)
{
	return W.now_ns;
}

static void host_schedule(struct model_host *host, uint64_t at_ns)
{
	W.device_due_ns = at_ns;
	sched_wake_device(at_ns);
}

static void host_kick(struct model_host *host)
{
	W.device_kicked = true;
	sched_wake_device(W.now_ns);
}

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return model_alloc(len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
}

static void OB_PRINTF(2, 3) host_note(struct model_host *host, const char *format, ...)
{
	char line[LOG_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* All that the model complains of is a driver's mistake. */
	report_begin("device-protocol", "the device says: %s", line);
	report_end();
}

static const struct model_host_ops host_ops = {
	.dma_read = host_dma_read,
	.dma_write = host_dma_write,
	.dma_publish = host_dma_publish,
	.dma_fence = host_dma_fence,
	.msix_enabled = host_msix_enabled,
	.msix = host_msix,
	.intx = host_intx,
	.now_ns = host_now_ns,
	.schedule = host_schedule,
	.kick = host_kick,
	.alloc = host_alloc,
	.free = host_free,
	.note = host_note,
};

/* ---- the function ---- */

static uint64_t bar_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	return nvme_model_read(the_machine->nvme, offset, size_bytes);
}

static void bar_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	nvme_model_write(the_machine->nvme, offset, size_bytes, value);
}

static void function_reset(struct model_pci *f)
{
	nvme_model_reset(the_machine->nvme);
}

static void function_changed(struct model_pci *f)
{
	nvme_model_interrupts_changed(the_machine->nvme);
}

static const struct model_pci_ops function_ops = {
	.read = bar_read,
	.write = bar_write,
	.reset = function_reset,
	.changed = function_changed,
};

static void root_enter(struct model_pci_root *root, struct model_pci *f)
{
}

static bool strikes(unsigned one_in)
{
	return one_in > 0 && random_one_in(&W.random_fault, one_in);
}

static void message_fire(uint32_t data)
{
	if (data < WORLD_FDS && the_machine->msi_fds[data] != 0)
		world_fd_fire(the_machine->msi_fds[data]);
}

static void root_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data)
{
	if (address != MSI_ADDRESS)
		return;
	if (!strikes(W.config.interrupt_lost_one_in))
		message_fire(data);
	if (strikes(W.config.interrupt_spurious_one_in))
		message_fire((uint32_t)random_below(&W.random_fault, W.config.queues + 1));
}

static void root_line(struct model_pci_root *root, unsigned slot, unsigned pin, bool level)
{
	the_machine->intx_level += level ? 1 : -1u;
	if (level && the_machine->intx_level == 1 && the_machine->intx_fd != 0)
		world_fd_fire(the_machine->intx_fd);
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
	.message = root_message,
	.line = root_line,
	.alloc = root_alloc,
	.free = root_free,
};

/* ---- on the device's thread ---- */

void machine_access(struct posted *a)
{
	struct sim_machine *m = the_machine;
	struct model_pci *f;
	uint64_t offset;
	unsigned bar;

	if (a->kind == POSTED_PROBE)
		probe_access(a);
	if (m == NULL || a->kind == POSTED_NOTHING || a->kind == POSTED_PROBE)
		return;
	switch (a->kind) {
	case POSTED_CONFIG_READ:
		a->value = model_pci_config_read(&m->root, (uint16_t)(a->offset >> 16), a->offset & 0xffff,
						 a->size_bytes);
		return;
	case POSTED_CONFIG_WRITE:
		model_pci_config_write(&m->root, (uint16_t)(a->offset >> 16), a->offset & 0xffff, a->size_bytes,
				       (uint32_t)a->value);
		return;
	case POSTED_LINE:
		a->value = m->intx_level;
		return;
	default:
		break;
	}
	f = model_pci_decode(&m->root, a->offset, &bar, &offset);
	if (a->kind == POSTED_READ)
		a->value = f != NULL ? model_pci_bar_read(f, bar, offset, a->size_bytes) : UINT64_MAX;
	else if (f != NULL)
		model_pci_bar_write(f, bar, offset, a->size_bytes, a->value);
}

/* ---- faults, and how long a command takes: they end in any order ---- */

static bool befalls(const struct nvme_model_command *command, unsigned one_in)
{
	return command->sqid != 0 && strikes(one_in);
}

static uint64_t command_delay(void *arg, const struct nvme_model_command *command)
{
	if (befalls(command, W.config.hang_one_in))
		return MODEL_NEVER;
	if (befalls(command, W.config.slow_one_in))
		return OB_NS_PER_US << random_below(&W.random_fault, 15);
	if (random_one_in(&W.random_fault, 4))
		return 0;
	return 1 + random_below(&W.random_fault, command->sqid == 0 ? 5 * OB_NS_PER_US : W.config.latency_max_ns);
}

static uint16_t command_failure(void *arg, const struct nvme_model_command *command)
{
	static const uint16_t statuses[] = {NVME_SC_INTERNAL_ERROR, NVME_SC_DATA_TRANSFER_ERROR,
					    NVME_SC_NAMESPACE_NOT_READY};

	if (!befalls(command, W.config.fail_one_in))
		return 0;
	return statuses[random_below(&W.random_fault, ARRAY_SIZE(statuses))];
}

/* One of its fields is what it cannot be, and the right one never comes: the driver must not believe it. */
static void command_lie(void *arg, const struct nvme_model_command *command, struct nvme_cqe *cqe)
{
	if (!befalls(command, W.config.completion_bad_one_in))
		return;
	switch (random_below(&W.random_fault, 4)) {
	case 0:
		cqe->sqid = ob_cpu_to_le16((uint16_t)(command->sqid + 1 + random_below(&W.random_fault, 100)));
		break;
	case 1:
		cqe->sqhd = ob_cpu_to_le16((uint16_t)(0x8000 + random_below(&W.random_fault, 0x8000)));
		break;
	case 2: /* an earlier life of the same tag */
		cqe->cid = ob_cpu_to_le16(command->cid ^ 0x8000);
		break;
	default:
		cqe->cid = ob_cpu_to_le16((uint16_t)(command->cid | 0x1f));
		break;
	}
}

static const struct nvme_model_hooks hooks = {
	.delay_ns = command_delay,
	.fail = command_failure,
	.completion = command_lie,
};

/* Pulled out. Between two of the model's doings, as a wire comes loose between two packets. */
static bool pull_out(struct sim_machine *m)
{
	if (W.config.remove_at_commands == 0 || W.commands < W.config.remove_at_commands || !m->pci.present)
		return false;
	model_pci_unplug(&m->pci);
	W.device_kicked = false;
	W.device_due_ns = NEVER;
	world_mix(0x9011ed);
	return true;
}

/* Something that the device does of its own; false: it has nothing to do. */
bool machine_work(void)
{
	struct sim_machine *m = the_machine;

	if (probe_work())
		return true;
	if (m == NULL)
		return false;
	if (pull_out(m))
		return true;
	if (W.device_kicked) {
		W.device_kicked = false;
		if (nvme_model_run(m->nvme, 1))
			W.device_kicked = true;
		return true;
	}
	if (W.device_due_ns <= W.now_ns) {
		W.device_due_ns = NEVER;
		nvme_model_event(m->nvme);
		return true;
	}
	return false;
}

/* ---- a disk's storage ---- */

static int disk_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	memcpy(to, b->memory + offset, len_bytes);
	return 0;
}

static int disk_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	memcpy(b->memory + offset, from, len_bytes);
	return 0;
}

static int disk_flush(struct backing *b)
{
	return 0;
}

static int disk_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	memset(b->memory + offset, 0, len_bytes);
	return 0;
}

static int disk_resize(struct backing *b, uint64_t len_bytes)
{
	return -ENOSPC;
}

static void disk_destroy(struct backing *b)
{
}

static const struct backing_ops disk_ops = {
	.read = disk_read,
	.write = disk_write,
	.flush = disk_flush,
	.zero = disk_zero,
	.resize = disk_resize,
	.destroy = disk_destroy,
};

static struct backing *disk_create(void)
{
	struct backing *b = model_alloc(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->ops = &disk_ops;
	b->len_bytes = DISK_BYTES;
	b->memory = model_alloc(DISK_BYTES);
	return b->memory != NULL ? b : NULL;
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

static int sim_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous,
			 struct machine_msi *out)
{
	struct sim_machine *sm = (struct sim_machine *)(void *)m;
	unsigned made = 0;

	world_capture();
	for (unsigned data = 0; data < WORLD_FDS && made < count; data++) {
		int fd = sm->msi_fds[data] == 0 ? world_fd_open() : -1;

		if (fd < 0)
			continue;
		sm->msi_fds[data] = fd;
		out[made++] = (struct machine_msi){.fd = fd, .program = true, .address = MSI_ADDRESS, .data = data};
	}
	return made == count ? 0 : -ENOSPC;
}

static void sim_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	struct sim_machine *sm = (struct sim_machine *)(void *)m;

	world_capture();
	for (unsigned i = 0; i < count; i++) {
		world_fd_close(msi[i].fd);
		sm->msi_fds[msi[i].data] = 0;
	}
}

static int sim_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin,
			 struct machine_intx *out)
{
	struct sim_machine *sm = (struct sim_machine *)(void *)m;
	int fd = world_fd_open();

	world_capture();
	if (fd < 0)
		return -ENOSPC;
	sm->intx_fd = fd;
	*out = (struct machine_intx){.fd = fd};
	if (sm->intx_level > 0)
		world_fd_fire(fd);
	return 0;
}

static void sim_intx_close(struct machine *m, struct machine_intx *line)
{
	world_capture();
	world_fd_close(line->fd);
	((struct sim_machine *)(void *)m)->intx_fd = 0;
}

static bool sim_intx_level(struct machine *m, struct machine_intx *line)
{
	struct posted access = {.kind = POSTED_LINE};

	world_capture();
	return simdev_ask_ordered(&access) != 0;
}

static void sim_close(struct machine *m)
{
	struct sim_machine *sm = (struct sim_machine *)(void *)m;

	world_capture();
	simdev_flush();
	if (sm->nvme != NULL)
		nvme_model_destroy(sm->nvme);
	the_machine = NULL;
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

static int nvme_create(struct sim_machine *m)
{
	const struct model_pci_id id = {
		.device = NVME_DEVICE,
		.vendor = 0x1b36,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class_code = NVME_PCI_CLASS,
		.pin = 1,
	};
	struct nvme_model_config c;
	struct backing *disk = disk_create();
	int ret;

	if (disk == NULL)
		return -ENOMEM;
	nvme_model_config_default(&c);
	c.queue_pairs_max = (uint16_t)W.config.queues;
	c.queue_entries_max = 64;
	c.msix_vectors = W.config.pin_interrupts ? 0 : (uint16_t)(W.config.queues + 1);
	c.mdts = 2;
	c.shadow_doorbells = W.config.shadow_doorbells;
	c.namespaces_max = 4;
	ret = nvme_model_create(&m->host, &c, &m->nvme);
	if (ret != 0)
		return ret;
	nvme_model_set_hooks(m->nvme, &hooks);
	model_pci_init(&m->pci, &m->root.bus, NVME_SLOT << 3, &id, &function_ops);
	model_pci_add_bar(&m->pci, NVME_PCI_BAR, NVME_MODEL_BAR_BYTES, true, false);
	model_pci_add_pm(&m->pci);
	model_pci_add_express(&m->pci, PCIE_TYPE_RC_ENDPOINT);
	if (c.msix_vectors != 0)
		ret = model_pci_add_msix(&m->pci, c.msix_vectors, NVME_PCI_BAR, NVME_MODEL_MSIX_TABLE,
					 NVME_MODEL_MSIX_PBA);
	if (ret == 0)
		ret = nvme_model_namespace_add(m->nvme, 1, disk, 9, true, false);
	if (ret == 0)
		model_pci_ready(&m->pci, true);
	return ret;
}

static int sim_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		    struct machine **out)
{
	struct sim_machine *m = model_alloc(sizeof(*m));
	int ret;

	world_capture();
	if (m == NULL)
		return -ENOMEM;
	m->machine.ops = &sim_ops;
	m->machine.ob = ob;
	m->host.ops = &host_ops;
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
	the_machine = m;
	ret = nvme_create(m);
	if (ret != 0) {
		the_machine = NULL;
		return ret;
	}
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
