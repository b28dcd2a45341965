/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hostile machine ("hostile:"): the NVMe model behind a PCI function, and between it and the driver a script that
 * changes what passes. In place of src/machine/.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/block/nvme/nvme_model.h"
#include "model/pci/pci_model.h"
#include "tests/fuzz/hostile.h"

#define MSI_ADDRESS   0xfee00000ull
#define MSI_MAX       64u
#define NVME_DEVFN    (2u << 3)
#define VECTORS       4u
#define DISK_BYTES    (64u << 10)
#define SLOTS         1024u /* of the devices' address space: 4 GiB each, none used twice */
#define SLOT_SHIFT    32
#define MEMORY_MAX    (64u << 20) /* what a driver may ask for at once */
#define RUN_BUDGET    64u
#define RUN_ROUNDS    64u
#define LATE_NS       (3 * OB_NS_PER_S)
#define EXTRA_IS_NEAR 4u

struct slot {
	uint8_t *base; /* NULL: free */
	size_t len_bytes;
	unsigned rights;
};

static struct {
	struct machine machine; /* first */
	struct machine_bus buses[2];
	struct model_pci_root root;
	struct model_host host;
	struct model_pci pci;
	struct nvme_model *nvme; /* NULL: closed */
	struct slot slots[SLOTS];
	unsigned slot_next;
	int msi_fds[MSI_MAX]; /* 0: free */
	int intx_fd;
	unsigned intx_users, intx_level;
	uint64_t due_ns;
	bool kicked, running, in_step;
} the;

/* ---- what a hostile device does of its own ---- */

static void rogue_write(const struct hostile_record *r)
{
	unsigned writable[SLOTS], count = 0;
	struct slot *s;

	for (unsigned i = 1; i < the.slot_next; i++)
		if (the.slots[i].base != NULL && (the.slots[i].rights & OB_DMA_WRITE) != 0)
			writable[count++] = i;
	if (count == 0 || !the.pci.master)
		return;
	s = &the.slots[writable[r->position % count]];
	/* Offsets near the start are where rings and tables have what matters. */
	hostile_change(r, s->base, s->len_bytes, (r->position / 16 * 4 + (r->value >> 16)) % s->len_bytes);
}

static void happen(const struct hostile_record *r)
{
	uint32_t nsid = 1 + (r->position & 1);

	switch (r->value % HOSTILE_EVENTS) {
	case HOSTILE_EVENT_DIE:
		nvme_model_fail(the.nvme, "asked to");
		break;
	case HOSTILE_EVENT_UNPLUG:
		if (the.pci.present)
			model_pci_unplug(&the.pci);
		break;
	case HOSTILE_EVENT_PLUG:
		if (!the.pci.present)
			model_pci_plug(&the.pci);
		break;
	case HOSTILE_EVENT_RESIZE:
		nvme_model_namespace_resize(the.nvme, nsid, MAX(r->position & 0xfe00u, 4096u));
		break;
	case HOSTILE_EVENT_DETACH:
		nvme_model_namespace_attach(the.nvme, nsid, false);
		break;
	case HOSTILE_EVENT_ATTACH:
		nvme_model_namespace_attach(the.nvme, nsid, true);
		break;
	case HOSTILE_EVENT_WARNING:
		nvme_model_set_warning(the.nvme, (uint8_t)r->position);
		break;
	case HOSTILE_EVENT_RESET:
		nvme_model_reset(the.nvme);
		break;
	default:
		break;
	}
}

/* Between two things that the device does: outside of the model. */
static void step(void)
{
	struct hostile_record *r;

	if (the.nvme == NULL || the.in_step)
		return;
	the.in_step = true;
	hostile_count(HOSTILE_SPURIOUS);
	while ((r = hostile_due(HOSTILE_SPURIOUS, 0, 0)) != NULL) {
		if ((r->op & 1) == 0 && the.msi_fds[r->position % MSI_MAX] != 0)
			hostile_fd_fire(the.msi_fds[r->position % MSI_MAX]);
		else if (the.intx_users != 0)
			hostile_fd_fire(the.intx_fd);
	}
	hostile_count(HOSTILE_ROGUE);
	while ((r = hostile_due(HOSTILE_ROGUE, 0, 0)) != NULL)
		rogue_write(r);
	hostile_count(HOSTILE_EVENT);
	while ((r = hostile_due(HOSTILE_EVENT, 0, 0)) != NULL)
		happen(r);
	the.in_step = false;
}

uint64_t hostile_device_due_ns(void)
{
	return the.nvme != NULL ? the.due_ns : UINT64_MAX;
}

void hostile_device_run(void)
{
	unsigned rounds = 0;

	if (the.nvme == NULL || the.running)
		return;
	the.running = true;
	step();
	if (the.due_ns <= ob_now_ns()) {
		the.due_ns = MODEL_NEVER;
		nvme_model_event(the.nvme);
	}
	while (the.kicked && rounds++ < RUN_ROUNDS) {
		the.kicked = false;
		if (nvme_model_run(the.nvme, RUN_BUDGET))
			the.kicked = true;
	}
	the.running = false;
}

/* ---- the model's host ---- */

static uint8_t *locate(uint64_t iova, size_t len_bytes, unsigned rights)
{
	uint64_t index = iova >> SLOT_SHIFT, offset = iova & ((1ull << SLOT_SHIFT) - 1);
	struct slot *s;

	if (index == 0 || index >= SLOTS || !the.pci.master)
		return NULL;
	s = &the.slots[index];
	if (s->base == NULL || (s->rights & rights) == 0 || offset > s->len_bytes || len_bytes > s->len_bytes - offset)
		return NULL;
	return s->base + offset;
}

static int host_dma_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	const uint8_t *from = locate(iova, len_bytes, OB_DMA_READ);

	if (from == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	return 0;
}

static int host_dma_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	enum hostile_kind kind = len_bytes == 4 ? HOSTILE_WORD : HOSTILE_DATA;
	uint8_t *to = locate(iova, len_bytes, OB_DMA_WRITE);
	struct hostile_record *r;

	if (to == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	hostile_count(kind);
	while (len_bytes > 0 && (r = hostile_due(kind, 0, 0)) != NULL)
		hostile_change(r, to, len_bytes, r->position % len_bytes);
	return 0;
}

static int host_dma_publish(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	uint8_t entry[sizeof(struct nvme_cqe)], *to = locate(iova, len_bytes, OB_DMA_WRITE), *next;
	struct hostile_record *r;
	enum hostile_kind kind;

	if (to == NULL || len_bytes != sizeof(entry))
		return -EACCES;
	hostile_progress();
	memcpy(entry, from, sizeof(entry));
	kind = entry[10] == 0 && entry[11] == 0 ? HOSTILE_ADMIN_CQE : HOSTILE_IO_CQE; /* SQID (§4.6) */
	hostile_count(kind);
	while ((r = hostile_due(kind, 0, 0)) != NULL)
		hostile_change(r, entry, sizeof(entry), r->position % sizeof(entry));
	memcpy(to, entry, sizeof(entry));
	hostile_count(HOSTILE_EXTRA);
	while ((r = hostile_due(HOSTILE_EXTRA, 0, 0)) != NULL) {
		uint64_t ahead = 1 + (r->position >> 8) % EXTRA_IS_NEAR;

		memcpy(entry, from, sizeof(entry));
		hostile_change(r, entry, sizeof(entry), r->position % sizeof(entry));
		next = locate(iova + ahead * sizeof(entry), sizeof(entry), OB_DMA_WRITE);
		if (next != NULL)
			memcpy(next, entry, sizeof(entry));
	}
	return 0;
}

static void host_dma_fence(struct model_host *host)
{
}

static bool host_msix_enabled(struct model_host *host)
{
	return model_pci_msix_enabled(&the.pci);
}

static void host_msix(struct model_host *host, unsigned vector)
{
	struct hostile_record *r;

	hostile_count(HOSTILE_VECTOR);
	r = hostile_due(HOSTILE_VECTOR, 0, 0);
	if (r != NULL)
		vector = r->position;
	model_pci_msix_fire(&the.pci, vector);
}

static void host_intx(struct model_host *host, bool level)
{
	model_pci_intx_set(&the.pci, level);
}

static uint64_t host_now_ns(struct model_host *host)
{
	return ob_now_ns();
}

static void host_schedule(struct model_host *host, uint64_t at_ns)
{
	the.due_ns = at_ns;
}

static void host_kick(struct model_host *host)
{
	the.kicked = true;
}

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
	free(memory);
}

/* What the model finds wrong with the driver may be by reason of a lie that the driver was told. */
static void OB_PRINTF(2, 3) host_note(struct model_host *host, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (hostile.applied == 0)
		hostile_fail("the driver offends an honest device: %s", line);
}

static const struct model_host_ops host_ops = {
	.dma_read = host_dma_read,
	.dma_look = host_dma_read,
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

static uint64_t command_delay(void *arg, const struct nvme_model_command *command)
{
	struct hostile_record *r;

	hostile_count(HOSTILE_DELAY);
	r = hostile_due(HOSTILE_DELAY, 0, 0);
	if (r == NULL)
		return 0;
	return r->value == 0 ? MODEL_NEVER : r->value % LATE_NS;
}

static const struct nvme_model_hooks hooks = {.delay_ns = command_delay};

/* ---- the function ---- */

static uint64_t bar_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	uint64_t value = nvme_model_read(the.nvme, offset, size_bytes);
	uint8_t bytes[8];
	struct hostile_record *r;

	hostile_count(HOSTILE_REGISTER);
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	while ((r = hostile_due(HOSTILE_REGISTER, (unsigned)offset, size_bytes)) != NULL)
		hostile_change(r, bytes, size_bytes, r->position - (size_t)offset);
	value = 0;
	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static struct model_pci_ops function_ops; /* the model's, with reads changed */

static void root_enter(struct model_pci_root *root, struct model_pci *f)
{
}

static void root_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data)
{
	if (address == MSI_ADDRESS && data < MSI_MAX && the.msi_fds[data] != 0)
		hostile_fd_fire(the.msi_fds[data]);
}

static void root_line(struct model_pci_root *root, unsigned slot, unsigned pin, bool level)
{
	the.intx_level += level ? 1 : -1u;
	if (level && the.intx_level == 1 && the.intx_users != 0)
		hostile_fd_fire(the.intx_fd);
}

static void *root_alloc(struct model_pci_root *root, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void root_free(struct model_pci_root *root, void *memory)
{
	free(memory);
}

static const struct model_pci_root_ops root_ops = {
	.enter = root_enter,
	.leave = root_enter,
	.message = root_message,
	.line = root_line,
	.alloc = root_alloc,
	.free = root_free,
};

/* ---- storage ---- */

static int add_namespace(uint32_t nsid, unsigned shift)
{
	struct backing *b;
	int ret = backing_plain_create(&the.host, DISK_BYTES, &b);

	if (ret != 0)
		return ret;
	ret = nvme_model_namespace_add(the.nvme, nsid, b, shift, true, false);
	if (ret != 0)
		backing_destroy(b);
	return ret;
}

/* ---- the machine's operations ---- */

static const struct machine_bus *hostile_buses(struct machine *m)
{
	return the.buses;
}

static int config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct hostile_record *r;
	uint8_t bytes[4];

	*value = model_pci_config_read(&the.root, bdf, offset, size_bytes);
	if (bdf != NVME_DEVFN || !the.pci.present)
		return 0;
	hostile_count(HOSTILE_CONFIG);
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(*value >> 8 * i);
	while ((r = hostile_due(HOSTILE_CONFIG, offset, size_bytes)) != NULL)
		hostile_change(r, bytes, size_bytes, r->position - (size_t)offset);
	*value = 0;
	for (unsigned i = 0; i < size_bytes; i++)
		*value |= (uint32_t)bytes[i] << 8 * i;
	return 0;
}

static int config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	model_pci_config_write(&the.root, bdf, offset, size_bytes, value);
	hostile_device_run();
	return 0;
}

static uint64_t hostile_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	struct model_pci *f;
	uint64_t offset, value = UINT64_MAX;
	unsigned bar;

	step();
	f = space == MACHINE_SPACE_MEMORY ? model_pci_decode(&the.root, address, &bar, &offset) : NULL;
	if (f != NULL)
		value = model_pci_bar_read(f, bar, offset, size_bytes);
	return size_bytes >= 8 ? value : value & ((1ull << 8 * size_bytes) - 1);
}

static void hostile_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
			  uint64_t value)
{
	struct model_pci *f;
	uint64_t offset;
	unsigned bar;

	f = space == MACHINE_SPACE_MEMORY ? model_pci_decode(&the.root, address, &bar, &offset) : NULL;
	if (f == NULL)
		return;
	model_pci_bar_write(f, bar, offset, size_bytes, value);
	hostile_device_run();
}

static int hostile_flush(struct machine *m)
{
	return 0;
}

static uint64_t region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	if (offset + size_bytes > region->len_bytes)
		hostile_fail("register read at %#llx, beyond its region", (unsigned long long)offset);
	return hostile_read(&the.machine, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes);
}

static void region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	if (offset + size_bytes > region->len_bytes)
		hostile_fail("register write at %#llx, beyond its region", (unsigned long long)offset);
	hostile_write(&the.machine, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes, value);
}

static const struct ob_region_ops region_ops = {.read = region_read, .write = region_write};

static bool is_inside(const struct machine_range *r, uint64_t address, uint64_t len_bytes)
{
	return len_bytes <= r->len_bytes && address - r->base <= r->len_bytes - len_bytes;
}

static int hostile_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			       uint64_t len_bytes, struct ob_region *out)
{
	if (space != MACHINE_SPACE_MEMORY)
		return -ENODEV;
	if (!is_inside(&the.buses[0].u.pci.mem32, address, len_bytes) &&
	    !is_inside(&the.buses[0].u.pci.mem64, address, len_bytes))
		hostile_fail("registers at %#llx, where no function may be", (unsigned long long)address);
	*out = (struct ob_region){.len_bytes = len_bytes, .ops = &region_ops, .address = address, .dev = dev};
	return 0;
}

static void hostile_region_close(struct machine *m, struct ob_region *region)
{
}

static int hostile_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	struct slot *s = &the.slots[the.slot_next];
	void *memory;

	if (len_bytes > MEMORY_MAX)
		hostile_fail("a lie made the driver ask for %zu bytes at once", len_bytes);
	if (the.slot_next == SLOTS || posix_memalign(&memory, MAX(align_bytes, (size_t)4096), len_bytes) != 0)
		return -ENOMEM;
	memset(memory, 0, len_bytes);
	*s = (struct slot){.base = memory, .len_bytes = len_bytes};
	*out = (struct machine_dma_memory){
		.base = memory,
		.iova = (uint64_t)the.slot_next++ << SLOT_SHIFT,
		.len_bytes = len_bytes,
		.cookie = s,
	};
	return 0;
}

static void hostile_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	struct slot *s = memory->cookie;

	if (s->base != memory->base)
		hostile_fail("DMA memory freed twice");
	free(s->base);
	*s = (struct slot){0};
}

static int hostile_dma_grant(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			     unsigned rights, uint64_t *iova)
{
	((struct slot *)memory->cookie)->rights |= rights;
	*iova = memory->iova;
	return 0;
}

static void hostile_dma_revoke(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			       uint64_t iova)
{
	((struct slot *)memory->cookie)->rights = 0;
}

static void hostile_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	for (unsigned i = 0; i < count; i++) {
		hostile_fd_close(msi[i].fd);
		the.msi_fds[msi[i].data] = 0;
	}
}

static int hostile_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous,
			     struct machine_msi *out)
{
	unsigned made = 0;

	for (unsigned data = 0; data < MSI_MAX && made < count; data++) {
		int fd = the.msi_fds[data] == 0 ? hostile_fd_open() : -1;

		if (fd < 0)
			continue;
		the.msi_fds[data] = fd;
		out[made++] = (struct machine_msi){.fd = fd, .program = true, .address = MSI_ADDRESS, .data = data};
	}
	if (made == count)
		return 0;
	hostile_msi_free(m, dev, made, out);
	return -ENOSPC;
}

static int hostile_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin,
			     struct machine_intx *out)
{
	if (slot >= PCI_SLOTS_PER_BUS || pin < 1 || pin > 4)
		return -EINVAL;
	if (the.intx_users == 0)
		the.intx_fd = hostile_fd_open();
	if (the.intx_fd < 0)
		return -ENOSPC;
	the.intx_users++;
	*out = (struct machine_intx){.fd = the.intx_fd};
	if (the.intx_level > 0)
		hostile_fd_fire(the.intx_fd);
	return 0;
}

static void hostile_intx_close(struct machine *m, struct machine_intx *line)
{
	if (--the.intx_users == 0)
		hostile_fd_close(line->fd);
}

static bool hostile_intx_level(struct machine *m, struct machine_intx *line)
{
	return the.intx_level != 0;
}

static void hostile_close(struct machine *m)
{
	struct nvme_model *nvme = the.nvme;

	model_pci_fini(&the.pci);
	the.nvme = NULL;
	nvme_model_destroy(nvme);
}

void hostile_machine_end(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (the.slots[i].base != NULL)
			hostile_fail("DMA memory of %zu bytes was not freed", the.slots[i].len_bytes);
}

static const struct machine_ops hostile_ops = {
	.close = hostile_close,
	.buses = hostile_buses,
	.read = hostile_read,
	.write = hostile_write,
	.flush = hostile_flush,
	.region_open = hostile_region_open,
	.region_close = hostile_region_close,
	.dma_alloc = hostile_dma_alloc,
	.dma_free = hostile_dma_free,
	.dma_grant = hostile_dma_grant,
	.dma_revoke = hostile_dma_revoke,
	.msi_alloc = hostile_msi_alloc,
	.msi_free = hostile_msi_free,
	.intx_open = hostile_intx_open,
	.intx_close = hostile_intx_close,
	.intx_level = hostile_intx_level,
};

static int create_nvme(unsigned flags)
{
	unsigned shift = (flags & HOSTILE_4K) != 0 ? 12 : 9;
	struct nvme_model_config c;
	int ret;

	nvme_model_config_default(&c);
	c.queue_pairs_max = VECTORS - 1;
	c.queue_entries_max = 32;
	c.msix_vectors = (flags & HOSTILE_PIN) != 0 ? 0 : VECTORS;
	c.mdts = 1;
	c.namespaces_max = 4;
	c.shadow_doorbells = (flags & HOSTILE_SHADOW) != 0;
	c.sgl = (flags & HOSTILE_SGL) != 0;
	c.doorbell_stride = (flags & HOSTILE_STRIDE) != 0 ? 1 : 0;
	ret = nvme_model_create(&the.host, &c, &the.nvme);
	if (ret != 0)
		return ret;
	nvme_model_set_hooks(the.nvme, &hooks);
	ret = nvme_model_function_init(the.nvme, &the.pci, &the.root.bus, NVME_DEVFN);
	function_ops = nvme_model_function_ops;
	function_ops.read = bar_read;
	the.pci.ops = &function_ops;
	model_pci_ready(&the.pci, true);
	if (ret == 0)
		ret = add_namespace(1, shift);
	if (ret == 0 && (flags & HOSTILE_TWO) != 0)
		ret = add_namespace(2, 12);
	return ret;
}

static int hostile_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
			struct machine **out)
{
	memset(&the, 0, sizeof(the));
	the.machine.ops = &hostile_ops;
	the.machine.ob = ob;
	the.host.ops = &host_ops;
	the.slot_next = 1;
	the.due_ns = MODEL_NEVER;
	model_pci_root_init(&the.root, &root_ops);
	the.buses[0] = (struct machine_bus){
		.kind = MACHINE_BUS_PCI,
		.u.pci =
			{
				.bus_last = 255,
				.config_read = config_read,
				.config_write = config_write,
				.mem32 = {0x80000000ull, 0x40000000ull},
				.mem64 = {0x8000000000ull, 0x4000000000ull},
			},
	};
	if (create_nvme(hostile.header[0]) != 0)
		hostile_fail("no device");
	*out = &the.machine;
	return 0;
}

/* ---- in place of src/machine/types.c ---- */

static const struct machine_type hostile_type = {.scheme = "hostile", .help = "hostile:", .open = hostile_open};

const struct machine_type *const machine_types[] = {&hostile_type, NULL};

const struct machine_type *machine_type_find(const char *uri, const char **rest)
{
	*rest = "";
	return &hostile_type;
}

int ob_machine_attach_help(const char *uri, char **text)
{
	return -EOPNOTSUPP;
}
