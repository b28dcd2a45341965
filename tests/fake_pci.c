/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI host of the bus's unit tests: fake_pci.h. */
#include "tests/fake_pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "core/machine_core.h"

#define LOG_MAX 400

struct fake_host fake_host;

static char log_lines[LOG_MAX][200];
static unsigned log_count;

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	snprintf(log_lines[log_count++ % LOG_MAX], sizeof(log_lines[0]), "%s", message);
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

bool fake_pci_logged(const char *text)
{
	for (unsigned i = 0; i < log_count && i < LOG_MAX; i++) {
		if (strstr(log_lines[i], text) != NULL)
			return true;
	}
	return false;
}

/* ---- configuration space ---- */

uint32_t fake_pci_get(const struct fake_function *f, unsigned offset, unsigned size_bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		value |= (uint32_t)f->config[offset + i] << (8 * i);
	return value;
}

void fake_pci_set(struct fake_function *f, unsigned offset, unsigned size_bytes, uint32_t value, uint32_t writable)
{
	for (unsigned i = 0; i < size_bytes; i++) {
		f->config[offset + i] = (uint8_t)(value >> (8 * i));
		f->writable[offset + i] = (uint8_t)(writable >> (8 * i));
	}
}

static bool is_bridge(const struct fake_function *f)
{
	return (f->config[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) == PCI_HEADER_BRIDGE;
}

/* The function that an access reaches, the way hardware routes it: down through what claims the bus. */
static struct fake_function *route(uint16_t bdf)
{
	unsigned bus = bdf >> 8, here = fake_host.bus[0].u.pci.bus_first;
	struct fake_function *parent = NULL;

	while (bus != here) {
		struct fake_function *next = NULL;

		for (unsigned i = 0; i < fake_host.count; i++) {
			struct fake_function *f = &fake_host.functions[i];

			if (f->parent != parent || f->absent || !is_bridge(f))
				continue;
			if (f->config[PCI_BRIDGE_SECONDARY] == 0 || bus < f->config[PCI_BRIDGE_SECONDARY] ||
			    bus > f->config[PCI_BRIDGE_SUBORDINATE])
				continue;
			if (next != NULL)
				fake_host.conflict = true;
			next = f;
		}
		if (next == NULL || next == parent)
			return NULL;
		parent = next;
		here = parent->config[PCI_BRIDGE_SECONDARY];
	}
	for (unsigned i = 0; i < fake_host.count; i++) {
		struct fake_function *f = &fake_host.functions[i];

		if (f->parent == parent && f->devfn == (bdf & 0xff) && !f->absent)
			return f;
	}
	return NULL;
}

static int config_read(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t *value)
{
	struct fake_function *f = route(bdf);

	*value = 0xffffffffu;
	if (f == NULL)
		return 0;
	if (offset == PCI_VENDOR_ID && f->away > 0) {
		f->away--;
		return 0;
	}
	if (offset == PCI_VENDOR_ID && f->retries > 0) {
		f->retries--;
		*value = 0xffff0001u;
		return 0;
	}
	*value = fake_pci_get(f, offset, size_bytes);
	return 0;
}

static int config_write(struct machine *m, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct fake_function *f = route(bdf);

	fake_host.writes++;
	if (f == NULL)
		return 0;
	if (f->flr_offset != 0 && offset == f->flr_offset && (value & f->flr_mask)) {
		memcpy(f->config, f->reset_config, sizeof(f->config));
		f->resets++;
		f->away = 3;
		return 0;
	}
	if (offset >= PCI_BAR(0) && offset < PCI_BAR(6) && value == 0xffffffffu &&
	    (f->config[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)))
		f->sized_decoding = true;
	for (unsigned i = 0; i < size_bytes; i++) {
		uint8_t mask = f->writable[offset + i];

		f->config[offset + i] = (f->config[offset + i] & ~mask) | ((value >> (8 * i)) & mask);
	}
	return 0;
}

/* ---- setting it up ---- */

struct fake_function *fake_pci_add(struct fake_function *parent, unsigned slot, unsigned function, unsigned vendor,
				   unsigned device, unsigned class_code)
{
	struct fake_function *f = &fake_host.functions[fake_host.count++];

	assert_true(fake_host.count <= FAKE_FUNCTIONS_MAX);
	memset(f, 0, sizeof(*f));
	f->parent = parent;
	f->devfn = (uint8_t)(slot << 3 | function);
	fake_pci_set(f, PCI_VENDOR_ID, 4, vendor | device << 16, 0);
	fake_pci_set(f, PCI_CLASS_REVISION, 4, class_code << 8, 0);
	fake_pci_set(f, PCI_COMMAND, 2, 0, 0x0547);
	fake_pci_set(f, PCI_INTERRUPT_LINE, 1, 0, 0xff);
	return f;
}

struct fake_function *fake_pci_bridge(struct fake_function *parent, unsigned slot, unsigned function)
{
	struct fake_function *f = fake_pci_add(parent, slot, function, 0x1b36, 0x000c, PCI_CLASS_PCI_BRIDGE);

	f->config[PCI_HEADER_TYPE] = PCI_HEADER_BRIDGE;
	fake_pci_set(f, PCI_BRIDGE_PRIMARY, 4, 0, 0xffffffffu);
	fake_pci_set(f, PCI_BRIDGE_IO_BASE, 2, 0, 0xf0f0);
	fake_pci_set(f, PCI_BRIDGE_MEMORY_BASE, 4, 0, 0xfff0fff0u);
	fake_pci_set(f, PCI_BRIDGE_PREFETCH_BASE, 4, 0x00010001u, 0xfff0fff0u);
	fake_pci_set(f, PCI_BRIDGE_PREFETCH_BASE_HI, 4, 0, 0xffffffffu);
	fake_pci_set(f, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4, 0, 0xffffffffu);
	return f;
}

void fake_pci_bar(struct fake_function *f, unsigned index, uint64_t len_bytes, uint32_t flags)
{
	uint64_t mask = ~(len_bytes - 1);

	if (flags & PCI_BAR_IO) {
		fake_pci_set(f, PCI_BAR(index), 4, flags, (uint32_t)mask & PCI_BAR_IO_ADDRESS);
		return;
	}
	fake_pci_set(f, PCI_BAR(index), 4, flags, (uint32_t)mask & PCI_BAR_MEM_ADDRESS);
	if (FIELD_GET(PCI_BAR_MEM_TYPE, flags) == PCI_BAR_MEM_64)
		fake_pci_set(f, PCI_BAR(index) + 4, 4, 0, (uint32_t)(mask >> 32));
}

void fake_pci_capability(struct fake_function *f, unsigned offset, unsigned id)
{
	unsigned link = PCI_CAP_POINTER;

	f->config[PCI_STATUS] |= PCI_STATUS_CAPS;
	while (f->config[link] != 0)
		link = f->config[link] + PCI_CAP_NEXT;
	f->config[link] = (uint8_t)offset;
	fake_pci_set(f, offset, 2, id, 0);
}

void fake_pci_extended(struct fake_function *f, unsigned offset, unsigned id, unsigned next)
{
	fake_pci_set(f, offset, 4, PCIE_EXT_HEADER(id, 1, next), 0);
}

void fake_pci_express(struct fake_function *f, unsigned type, bool flr)
{
	fake_pci_capability(f, 0x40, PCI_CAP_ID_EXPRESS);
	fake_pci_set(f, 0x40 + PCIE_FLAGS, 2, 2 | FIELD_PREP(PCIE_FLAGS_TYPE, type), 0);
	fake_pci_set(f, 0x40 + PCIE_DEVCAP, 4, flr ? PCIE_DEVCAP_FLR : 0, 0);
	fake_pci_set(f, 0x40 + PCIE_DEVCTL, 2, 0, 0x7fff);
	if (flr) {
		f->flr_offset = 0x40 + PCIE_DEVCTL;
		f->flr_mask = PCIE_DEVCTL_FLR;
	}
}

/* ---- the machine ---- */

static const struct machine_bus *fake_buses(struct machine *m)
{
	return fake_host.bus;
}

/* The function and offset that a memory or port access means as configuration access; false: none. */
static bool decode(enum machine_space space, uint64_t address, uint16_t *bdf, unsigned *offset)
{
	uint64_t ecam = fake_host.bus[0].u.pci.ecam_base;

	if (space == MACHINE_SPACE_MEMORY && ecam != 0 && address >= ecam && address < ecam + (256u << 20)) {
		*bdf = (uint16_t)((address - ecam) >> 12);
		*offset = (address - ecam) & 0xfff;
		return true;
	}
	if (space == MACHINE_SPACE_PORT && address >= 0xcfc && address < 0xd00 && (fake_host.cf8 & 1u << 31)) {
		*bdf = (uint16_t)(fake_host.cf8 >> 8);
		*offset = (fake_host.cf8 & 0xfc) + (address & 3);
		return true;
	}
	return false;
}

static uint64_t fake_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	uint32_t value = 0xffffffffu;
	unsigned offset;
	uint16_t bdf;

	if (decode(space, address, &bdf, &offset))
		config_read(m, bdf, offset, size_bytes, &value);
	return value;
}

static void fake_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
		       uint64_t value)
{
	unsigned offset;
	uint16_t bdf;

	if (space == MACHINE_SPACE_PORT && address == 0xcf8 && size_bytes == 4)
		fake_host.cf8 = (uint32_t)value;
	else if (decode(space, address, &bdf, &offset))
		config_write(m, bdf, offset, size_bytes, (uint32_t)value);
}

static int fake_flush(struct machine *m)
{
	return 0;
}

static int fake_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			    uint64_t len_bytes, struct ob_region *out)
{
	fake_host.regions_open++;
	fake_host.region_address = address;
	fake_host.region_bytes = len_bytes;
	*out = (struct ob_region){.base = fake_host.memory, .len_bytes = len_bytes, .address = address};
	return 0;
}

static void fake_region_close(struct machine *m, struct ob_region *region)
{
	fake_host.regions_open--;
}

static int fake_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous,
			  struct machine_msi *out)
{
	if (fake_host.taken + count > fake_host.vectors)
		return -ENOSPC;
	for (unsigned i = 0; i < count; i++)
		out[i] = (struct machine_msi){
			.fd = 100 + (int)i,
			.program = !fake_host.no_program,
			.address = 0x1fee00000ull,
			.data = 64 + i,
		};
	fake_host.taken += count;
	return 0;
}

static void fake_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	fake_host.taken -= count;
}

static int fake_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin,
			  struct machine_intx *out)
{
	struct ob_pci_info info;
	struct fake_function *f;

	assert_int_equal(ob_pci_info(dev, &info), 0);
	f = route(PCI_BDF(info.bus, info.slot, info.function));
	f->intx_slot = slot;
	f->intx_pin = pin;
	fake_host.lines_open++;
	out->fd = 99;
	return 0;
}

static void fake_intx_close(struct machine *m, struct machine_intx *line)
{
	fake_host.lines_open--;
}

static void fake_close(struct machine *m)
{
}

static int fake_reset(struct machine *m, struct ob_device *dev, uint64_t deadline_ns)
{
	struct pci_function *fn = pci_function_of(dev);

	if (!fake_host.resets)
		return -EOPNOTSUPP;
	for (unsigned i = 0; i < fake_host.count && fake_host.reset_error == 0; i++) {
		struct fake_function *f = &fake_host.functions[i];

		if (f->parent != NULL || f->devfn != (fn->bdf & 0xff))
			continue;
		memcpy(f->config, f->reset_config, sizeof(f->config));
		f->resets++;
	}
	return fake_host.reset_error;
}

static const struct machine_ops fake_ops = {
	.reset = fake_reset,
	.close = fake_close,
	.buses = fake_buses,
	.read = fake_read,
	.write = fake_write,
	.flush = fake_flush,
	.region_open = fake_region_open,
	.region_close = fake_region_close,
	.msi_alloc = fake_msi_alloc,
	.msi_free = fake_msi_free,
	.intx_open = fake_intx_open,
	.intx_close = fake_intx_close,
};

static int fake_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		     struct machine **out)
{
	fake_host.m = (struct machine){.ops = &fake_ops, .ob = ob};
	*out = &fake_host.m;
	return 0;
}

const struct machine_type fake_pci_type = {.scheme = "fake", .help = "", .open = fake_open};

void fake_pci_reset(void)
{
	memset(&fake_host, 0, sizeof(fake_host));
	fake_host.vectors = 64;
	fake_host.bus[0].kind = MACHINE_BUS_PCI;
	fake_host.bus[0].u.pci = (struct machine_pci_host){
		.bus_last = 255,
		.config_read = config_read,
		.config_write = config_write,
		.io = {0x1000, 0xf000},
		.mem32 = {0xe0000000u, 0x10000000u},
		.mem64 = {0x1000000000ull, 64 * OB_GIB},
	};
}

int fake_pci_open(struct ob **ob, struct ob_machine **machine)
{
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	int rc;

	log_count = 0;
	memset(log_lines, 0, sizeof(log_lines));
	assert_int_equal(ob_create(&config, ob), 0);
	rc = machine_open(*ob, &fake_pci_type, "fake:", "", &options, machine);
	if (rc != 0) {
		ob_destroy(*ob);
		*ob = NULL;
	}
	return rc;
}

void fake_pci_close(struct ob *ob, struct ob_machine *machine)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	assert_int_equal(fake_host.regions_open, 0);
	assert_int_equal(fake_host.lines_open, 0);
	assert_int_equal(fake_host.taken, 0);
	assert_false(fake_host.conflict);
	for (unsigned i = 0; i < fake_host.count; i++)
		assert_false(fake_host.functions[i].sized_decoding);
}

struct ob_device *fake_pci_device(struct ob_machine *machine, const char *name)
{
	struct ob_device *dev = ob_device_find(machine, name);

	if (dev != NULL)
		ob_device_put(dev);
	return dev;
}

void fake_pci_in_task(struct ob *ob, void (*fn)(void *arg), void *arg)
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "test", fn, arg, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(20 * OB_NS_PER_S)), 0);
}
