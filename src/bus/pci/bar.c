/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base address registers and the expansion ROM: how long they are (PCI 3.0 §6.2.5.1), and writing where they are.
 *
 * Sizing writes all ones and reads what sticks. Decoding is off meanwhile, or the function would answer at the top of
 * memory; the old values come back afterwards.
 */
#include "bus/pci/pci.h"

uint64_t pci_bar_len(uint64_t stuck, uint64_t address_mask)
{
	uint64_t bits = stuck & address_mask, len;

	if (bits == 0)
		return 0;
	/* Only the bits above the length stick: the lowest one that does is the length, and all above it do too. */
	len = FIELD_LOWEST(bits);
	return bits == (address_mask & ~(len - 1)) ? len : 0;
}

static uint32_t probe32(struct pci_function *fn, unsigned offset, uint32_t ones, uint32_t old)
{
	uint32_t stuck;

	pci_write(fn, offset, 4, ones);
	stuck = pci_read32(fn, offset);
	pci_write(fn, offset, 4, old);
	return stuck;
}

static void nonsense(struct pci_function *fn, unsigned index, const char *what)
{
	ob_warn(fn->host->ob, "pci %s: BAR %u: %s, ignored", fn->dev.name, index, what);
}

static void read_io_bar(struct pci_function *fn, unsigned index, uint32_t old)
{
	struct pci_range *bar = &fn->bar[index];
	uint32_t stuck = probe32(fn, PCI_BAR(index), 0xffffffffu, old) & PCI_BAR_IO_ADDRESS;

	/* Upper halves that read zero: 16 bits of address are enough for x86 (PCI §6.2.5.1). */
	if (stuck != 0 && (stuck & 0xffff0000u) == 0)
		stuck |= 0xffff0000u;
	bar->len_bytes = pci_bar_len(stuck, PCI_BAR_IO_ADDRESS);
	if (stuck != 0 && bar->len_bytes == 0)
		nonsense(fn, index, "length of I/O ports is no power of two");
	bar->io = true;
	bar->space = PCI_SPACE_IO;
	bar->base = old & PCI_BAR_IO_ADDRESS;
}

/* Returns how many registers the BAR takes. */
static unsigned read_memory_bar(struct pci_function *fn, unsigned index, unsigned count, uint32_t old)
{
	struct pci_range *bar = &fn->bar[index];
	unsigned type = FIELD_GET(PCI_BAR_MEM_TYPE, old), offset = PCI_BAR(index);
	uint64_t stuck, mask = PCI_BAR_MEM_ADDRESS;

	if (type != PCI_BAR_MEM_32 && type != PCI_BAR_MEM_1M && type != PCI_BAR_MEM_64) {
		nonsense(fn, index, "reserved memory type");
		return 1;
	}
	bar->is_64bit = type == PCI_BAR_MEM_64;
	if (bar->is_64bit && index + 1 >= count) {
		nonsense(fn, index, "64 bits, but it is the last one");
		return 1;
	}
	stuck = probe32(fn, offset, 0xffffffffu, old);
	bar->base = old & PCI_BAR_MEM_ADDRESS;
	if (bar->is_64bit) {
		uint32_t old_hi = pci_read32(fn, offset + 4);

		stuck |= (uint64_t)probe32(fn, offset + 4, 0xffffffffu, old_hi) << 32;
		mask |= 0xffffffffull << 32;
		bar->base |= (uint64_t)old_hi << 32;
	}
	bar->len_bytes = pci_bar_len(stuck, mask);
	if ((stuck & mask) != 0 && bar->len_bytes == 0)
		nonsense(fn, index, "length of memory is no power of two");
	bar->prefetchable = (old & PCI_BAR_MEM_PREFETCH) != 0;
	bar->space = PCI_SPACE_MEMORY;
	return bar->is_64bit ? 2 : 1;
}

static void read_rom(struct pci_function *fn)
{
	unsigned offset = fn->is_bridge ? PCI_BRIDGE_ROM : PCI_ROM;
	struct pci_range *rom = &fn->bar[PCI_ROM_INDEX];
	uint32_t old = pci_read32(fn, offset), stuck;

	if (old == 0xffffffffu)
		return;
	/* The enable bit stays off. */
	stuck = probe32(fn, offset, PCI_ROM_ADDRESS, old & ~PCI_ROM_ENABLE);
	rom->len_bytes = pci_bar_len(stuck, PCI_ROM_ADDRESS);
	if ((stuck & PCI_ROM_ADDRESS) != 0 && rom->len_bytes == 0)
		ob_warn(fn->host->ob, "pci %s: length of the expansion ROM is no power of two, ignored", fn->dev.name);
	rom->base = old & PCI_ROM_ADDRESS;
	rom->space = PCI_SPACE_MEMORY;
	rom->prefetchable = true;
	if (fn->host->desc.assigned)
		pci_write(fn, offset, 4, old);
}

void pci_bars_read(struct pci_function *fn)
{
	unsigned count = fn->is_bridge ? PCI_BAR_COUNT_BRIDGE : PCI_BAR_COUNT_DEVICE, index = 0;
	uint16_t command = pci_read16(fn, PCI_COMMAND);

	if (fn->untouchable)
		return;
	pci_write(fn, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	while (index < count) {
		uint32_t old = pci_read32(fn, PCI_BAR(index));

		if (old == 0xffffffffu) {
			nonsense(fn, index, "reads all ones");
			index++;
		} else if (old & PCI_BAR_IO) {
			read_io_bar(fn, index, old);
			index++;
		} else {
			index += read_memory_bar(fn, index, count, old);
		}
	}
	read_rom(fn);
	pci_write(fn, PCI_COMMAND, 2, command);
	for (unsigned i = 0; i < PCI_BAR_SLOTS; i++) {
		struct pci_range *bar = &fn->bar[i];

		bar->align = bar->len_bytes;
		bar->placed = fn->host->desc.assigned && bar->len_bytes != 0 && bar->base != 0;
		if (!fn->host->desc.assigned)
			bar->base = 0;
	}
}

void pci_bars_write(struct pci_function *fn)
{
	unsigned count = fn->is_bridge ? PCI_BAR_COUNT_BRIDGE : PCI_BAR_COUNT_DEVICE;
	const struct pci_range *rom = &fn->bar[PCI_ROM_INDEX];

	if (fn->untouchable)
		return;
	for (unsigned i = 0; i < count; i++) {
		const struct pci_range *bar = &fn->bar[i];
		uint64_t base = bar->placed ? bar->base : 0;

		if (bar->len_bytes == 0)
			continue;
		pci_write(fn, PCI_BAR(i), 4, (uint32_t)base);
		if (bar->is_64bit)
			pci_write(fn, PCI_BAR(i) + 4, 4, (uint32_t)(base >> 32));
	}
	if (rom->len_bytes != 0)
		pci_write(fn, fn->is_bridge ? PCI_BRIDGE_ROM : PCI_ROM, 4, rom->placed ? (uint32_t)rom->base : 0);
}

static struct ob_pci_bar publish(const struct pci_range *r)
{
	return (struct ob_pci_bar){
		.address = r->placed ? r->base : 0,
		.len_bytes = r->len_bytes,
		.io = r->io,
		.is_64bit = r->is_64bit,
		.prefetchable = r->prefetchable,
	};
}

void pci_bars_publish(struct pci_function *fn)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fn->info.bar); i++)
		fn->info.bar[i] = publish(&fn->bar[i]);
	fn->info.rom = publish(&fn->bar[PCI_ROM_INDEX]);
}
