/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bridges: bus numbers and forwarding windows (PCI-to-PCI Bridge Architecture 1.2 §3.2.5, PCIe 4.0 §7.5.1.3).
 *
 * A window is closed when its base lies above its limit. Memory windows are 1 MiB units, I/O windows 4 KiB.
 */
#include "bus/pci/pci.h"

static uint64_t window_unit(enum pci_space space)
{
	return space == PCI_SPACE_IO ? PCI_BRIDGE_IO_UNIT : PCI_BRIDGE_MEMORY_UNIT;
}

static void set_window(struct pci_function *fn, enum pci_space space, uint64_t base, uint64_t limit)
{
	struct pci_range *w = &fn->window[space];

	w->space = space;
	w->align = window_unit(space);
	w->placed = base <= limit && limit != 0;
	w->base = w->placed ? base : 0;
	w->len_bytes = w->placed ? limit - base + 1 : 0;
}

/* Where the windows are, on a host that somebody else configured. */
static void read_windows(struct pci_function *fn)
{
	uint64_t base, limit;

	if (fn->window_io) {
		base = (uint64_t)(pci_read8(fn, PCI_BRIDGE_IO_BASE) & PCI_BRIDGE_IO_ADDRESS) << 8;
		limit = (uint64_t)(pci_read8(fn, PCI_BRIDGE_IO_LIMIT) & PCI_BRIDGE_IO_ADDRESS) << 8 | 0xfff;
		if (fn->window_io32) {
			base |= (uint64_t)pci_read16(fn, PCI_BRIDGE_IO_BASE_HI) << 16;
			limit |= (uint64_t)pci_read16(fn, PCI_BRIDGE_IO_LIMIT_HI) << 16;
		}
		set_window(fn, PCI_SPACE_IO, base, limit);
	}
	base = (uint64_t)(pci_read16(fn, PCI_BRIDGE_MEMORY_BASE) & PCI_BRIDGE_MEMORY_ADDRESS) << 16;
	limit = (uint64_t)(pci_read16(fn, PCI_BRIDGE_MEMORY_LIMIT) & PCI_BRIDGE_MEMORY_ADDRESS) << 16 | 0xfffff;
	set_window(fn, PCI_SPACE_MEMORY, base, limit);
	if (!fn->window_prefetch)
		return;
	base = (uint64_t)(pci_read16(fn, PCI_BRIDGE_PREFETCH_BASE) & PCI_BRIDGE_MEMORY_ADDRESS) << 16;
	limit = (uint64_t)(pci_read16(fn, PCI_BRIDGE_PREFETCH_LIMIT) & PCI_BRIDGE_MEMORY_ADDRESS) << 16 | 0xfffff;
	if (fn->window_prefetch64) {
		base |= (uint64_t)pci_read32(fn, PCI_BRIDGE_PREFETCH_BASE_HI) << 32;
		limit |= (uint64_t)pci_read32(fn, PCI_BRIDGE_PREFETCH_LIMIT_HI) << 32;
	}
	set_window(fn, PCI_SPACE_PREFETCH, base, limit);
}

void pci_bridge_read(struct pci_function *fn)
{
	uint8_t io = pci_read8(fn, PCI_BRIDGE_IO_BASE);
	uint16_t prefetch = pci_read16(fn, PCI_BRIDGE_PREFETCH_BASE);
	/* All zero is what a window that does not exist shows; read only, that is all there is to go by. */
	bool io_set = pci_read16(fn, PCI_BRIDGE_IO_BASE) != 0,
	     prefetch_set = pci_read32(fn, PCI_BRIDGE_PREFETCH_BASE) != 0;

	for (unsigned i = 0; i < PCI_SPACE_COUNT; i++)
		set_window(fn, (enum pci_space)i, 1, 0);
	fn->info.secondary_bus = pci_read8(fn, PCI_BRIDGE_SECONDARY);
	fn->info.subordinate_bus = pci_read8(fn, PCI_BRIDGE_SUBORDINATE);
	if (!fn->host->desc.assigned) {
		/* An optional window that does not exist reads zero whatever is written (§3.2.5.6, §3.2.5.9). */
		pci_write(fn, PCI_BRIDGE_IO_BASE, 1, 0xf0);
		pci_write(fn, PCI_BRIDGE_PREFETCH_BASE, 2, 0xfff0);
		io = pci_read8(fn, PCI_BRIDGE_IO_BASE);
		prefetch = pci_read16(fn, PCI_BRIDGE_PREFETCH_BASE);
		io_set = io != 0;
		prefetch_set = prefetch != 0;
	}
	fn->window_io = io_set;
	fn->window_io32 = fn->window_io && FIELD_GET(PCI_BRIDGE_IO_TYPE, (unsigned)io) == PCI_BRIDGE_IO_32;
	fn->window_prefetch = prefetch_set;
	fn->window_prefetch64 = fn->window_prefetch &&
				FIELD_GET(PCI_BRIDGE_PREFETCH_TYPE, (unsigned)prefetch) == PCI_BRIDGE_PREFETCH_64;
	if (fn->host->desc.assigned)
		read_windows(fn);
	else
		pci_bridge_close_windows(fn);
}

void pci_bridge_set_buses(struct pci_function *fn, unsigned primary, unsigned secondary, unsigned subordinate)
{
	pci_write(fn, PCI_BRIDGE_PRIMARY, 1, primary);
	pci_write(fn, PCI_BRIDGE_SECONDARY, 1, secondary);
	pci_write(fn, PCI_BRIDGE_SUBORDINATE, 1, subordinate);
	fn->info.secondary_bus = (uint8_t)secondary;
	fn->info.subordinate_bus = (uint8_t)subordinate;
}

/* 16 bits of base and limit: the address bits 31:20 each. */
static uint32_t memory_bits(uint64_t address)
{
	return (uint32_t)(address >> 16) & PCI_BRIDGE_MEMORY_ADDRESS;
}

static void write_io(struct pci_function *fn, uint64_t base, uint64_t limit)
{
	if (!fn->window_io)
		return;
	pci_write(fn, PCI_BRIDGE_IO_BASE, 1, (uint32_t)(base >> 8) & PCI_BRIDGE_IO_ADDRESS);
	pci_write(fn, PCI_BRIDGE_IO_LIMIT, 1, (uint32_t)(limit >> 8) & PCI_BRIDGE_IO_ADDRESS);
	if (fn->window_io32) {
		pci_write(fn, PCI_BRIDGE_IO_BASE_HI, 2, (uint32_t)(base >> 16));
		pci_write(fn, PCI_BRIDGE_IO_LIMIT_HI, 2, (uint32_t)(limit >> 16));
	}
}

static void write_memory(struct pci_function *fn, uint64_t base, uint64_t limit)
{
	pci_write(fn, PCI_BRIDGE_MEMORY_BASE, 2, memory_bits(base));
	pci_write(fn, PCI_BRIDGE_MEMORY_LIMIT, 2, memory_bits(limit));
}

static void write_prefetch(struct pci_function *fn, uint64_t base, uint64_t limit)
{
	if (!fn->window_prefetch)
		return;
	if (fn->window_prefetch64) {
		/* Shut while the halves disagree: the base far above any limit first. */
		pci_write(fn, PCI_BRIDGE_PREFETCH_BASE_HI, 4, 0xffffffffu);
		pci_write(fn, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4, (uint32_t)(limit >> 32));
	}
	pci_write(fn, PCI_BRIDGE_PREFETCH_LIMIT, 2, memory_bits(limit));
	pci_write(fn, PCI_BRIDGE_PREFETCH_BASE, 2, memory_bits(base));
	if (fn->window_prefetch64)
		pci_write(fn, PCI_BRIDGE_PREFETCH_BASE_HI, 4, (uint32_t)(base >> 32));
}

void pci_bridge_close_windows(struct pci_function *fn)
{
	write_io(fn, 0xf000, 0);
	write_memory(fn, 0xfff00000u, 0);
	write_prefetch(fn, 0xfff00000u, 0);
}

void pci_bridge_write(struct pci_function *fn)
{
	static void (*const write[PCI_SPACE_COUNT])(struct pci_function *, uint64_t, uint64_t) = {
		[PCI_SPACE_IO] = write_io,
		[PCI_SPACE_MEMORY] = write_memory,
		[PCI_SPACE_PREFETCH] = write_prefetch,
	};
	for (unsigned i = 0; i < PCI_SPACE_COUNT; i++) {
		const struct pci_range *w = &fn->window[i];

		if (w->placed && w->len_bytes != 0)
			write[i](fn, w->base, w->base + w->len_bytes - 1);
	}
	/* Bus master too: without it the bridge forwards nothing upwards, no DMA and no message (BR §3.2.4.3). */
	pci_command_update(fn, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}
