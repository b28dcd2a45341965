/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capability chains (PCI 3.0 §6.7, PCIe 4.0 §7.6.3), walked once and remembered.
 *
 * A device may lie: chains loop, point into the header or end in all ones. The walk is bounded by what has room in
 * configuration space, visits no offset twice, and says in the log what it did not follow.
 */
#include "bus/pci/pci.h"

static bool visited(const struct pci_capability *list, unsigned count, unsigned offset)
{
	for (unsigned i = 0; i < count; i++) {
		if (list[i].offset == offset)
			return true;
	}
	return false;
}

static void walk_standard(struct pci_function *fn)
{
	struct ob *ob = fn->host->ob;
	unsigned offset;

	if (!(pci_read16(fn, PCI_STATUS) & PCI_STATUS_CAPS))
		return;
	offset = pci_read8(fn, PCI_CAP_POINTER) & PCI_CAP_NEXT_MASK;
	while (offset != 0) {
		uint16_t header;

		if (offset < PCI_CAP_FIRST || visited(fn->cap, fn->cap_count, offset)) {
			ob_warn(ob, "pci %s: capability chain %s at 0x%02x, not followed", fn->dev.name,
				offset < PCI_CAP_FIRST ? "points into the header" : "loops", offset);
			return;
		}
		if (fn->cap_count == ARRAY_SIZE(fn->cap))
			return; /* unreachable: there are no more offsets */
		header = pci_read16(fn, offset);
		if (header == 0xffff) {
			ob_warn(ob, "pci %s: capability at 0x%02x reads all ones", fn->dev.name, offset);
			return;
		}
		fn->cap[fn->cap_count++] = (struct pci_capability){.id = header & 0xff, .offset = (uint16_t)offset};
		offset = (header >> 8) & PCI_CAP_NEXT_MASK;
	}
}

static void walk_extended(struct pci_function *fn)
{
	struct ob *ob = fn->host->ob;
	unsigned offset = PCIE_EXT_FIRST;

	while (offset != 0) {
		uint32_t header;

		if (offset < PCIE_EXT_FIRST || visited(fn->ext, fn->ext_count, offset)) {
			ob_warn(ob, "pci %s: extended capability chain %s at 0x%03x, not followed", fn->dev.name,
				offset < PCIE_EXT_FIRST ? "leaves its space" : "loops", offset);
			return;
		}
		header = pci_read32(fn, offset);
		/* All zero: no extended capabilities at all (PCIe §7.6.2). */
		if (header == 0)
			return;
		if (header == 0xffffffffu) {
			if (offset != PCIE_EXT_FIRST)
				ob_warn(ob, "pci %s: extended capability at 0x%03x reads all ones", fn->dev.name,
					offset);
			return;
		}
		if (fn->ext_count == ARRAY_SIZE(fn->ext)) {
			ob_warn(ob, "pci %s: more than %u extended capabilities, the rest is ignored", fn->dev.name,
				PCI_EXT_MAX);
			return;
		}
		fn->ext[fn->ext_count++] = (struct pci_capability){
			.id = (uint16_t)FIELD_GET(PCIE_EXT_ID, header),
			.version = (uint8_t)FIELD_GET(PCIE_EXT_VERSION, header),
			.offset = (uint16_t)offset,
		};
		offset = FIELD_GET(PCIE_EXT_NEXT, header) & ~3u;
	}
}

static unsigned find(const struct pci_capability *list, unsigned count, unsigned id, unsigned previous)
{
	bool passed = previous == 0;

	for (unsigned i = 0; i < count; i++) {
		if (passed && list[i].id == id)
			return list[i].offset;
		if (list[i].offset == previous)
			passed = true;
	}
	return 0;
}

unsigned pci_capability_find(const struct pci_function *fn, uint8_t id, unsigned previous)
{
	return find(fn->cap, fn->cap_count, id, previous);
}

unsigned pci_extended_find(const struct pci_function *fn, uint16_t id, unsigned previous)
{
	return find(fn->ext, fn->ext_count, id, previous);
}

unsigned pci_express_type(const struct pci_function *fn)
{
	return FIELD_GET(PCIE_FLAGS_TYPE, (unsigned)pci_read16(fn, fn->express + PCIE_FLAGS));
}

/* The first capability @id whose @len_bytes lie in configuration space, or 0. */
static unsigned usable(struct pci_function *fn, uint8_t id, unsigned len_bytes)
{
	unsigned offset = pci_capability_find(fn, id, 0);

	if (offset != 0 && offset + len_bytes > PCI_CONFIG_LEN) {
		ob_warn(fn->host->ob, "pci %s: capability %02x at 0x%02x does not fit, ignored", fn->dev.name, id,
			offset);
		return 0;
	}
	return offset;
}

static void read_msi(struct pci_function *fn)
{
	static const unsigned len[2][2] = {{PCI_MSI_LEN_32, PCI_MSI_LEN_32_MASKED},
					   {PCI_MSI_LEN_64, PCI_MSI_LEN_64_MASKED}};
	unsigned offset = usable(fn, PCI_CAP_ID_MSI, PCI_MSI_LEN_32), log2;
	uint16_t control;

	if (offset == 0)
		return;
	control = pci_read16(fn, offset + PCI_MSI_CONTROL);
	if (usable(fn, PCI_CAP_ID_MSI, len[!!(control & PCI_MSI_CTL_64)][!!(control & PCI_MSI_CTL_MASKABLE)]) == 0)
		return;
	log2 = FIELD_GET(PCI_MSI_CTL_CAPABLE, (unsigned)control);
	if (log2 > PCI_MSI_LOG2_MAX) {
		ob_warn(fn->host->ob, "pci %s: reserved number of MSI vectors (2^%u), using one", fn->dev.name, log2);
		log2 = 0;
	}
	fn->msi = offset;
	fn->info.msi_vectors = (uint16_t)(1u << log2);
}

void pci_capabilities_read(struct pci_function *fn)
{
	walk_standard(fn);
	fn->express = usable(fn, PCI_CAP_ID_EXPRESS, PCIE_CAP_LEN_V1);
	if (fn->express != 0 && fn->config_len == PCIE_CONFIG_LEN)
		walk_extended(fn);
	fn->af = usable(fn, PCI_CAP_ID_AF, PCI_AF_CAP_LENGTH);
	fn->pm = usable(fn, PCI_CAP_ID_PM, PCI_PM_LEN);
	fn->msix = usable(fn, PCI_CAP_ID_MSIX, PCI_MSIX_LEN);
	read_msi(fn);
	fn->info.express = fn->express != 0;
	if (fn->express != 0) {
		uint16_t flags = pci_read16(fn, fn->express + PCIE_FLAGS);

		fn->info.flr = (pci_read32(fn, fn->express + PCIE_DEVCAP) & PCIE_DEVCAP_FLR) != 0;
		if ((flags & PCIE_FLAGS_SLOT) && fn->express + PCIE_SLTSTA + 2 <= PCI_CONFIG_LEN)
			fn->hotplug_slot = (pci_read32(fn, fn->express + PCIE_SLTCAP) & PCIE_SLTCAP_HOTPLUG) != 0;
	}
	if (!fn->info.flr && fn->af != 0)
		fn->info.flr = (pci_read8(fn, fn->af + PCI_AF_CAPS) & PCI_AF_CAPS_FLR) != 0;
}
