/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of a modelled function: MSI-X with its table and pending bits (PCIe §7.7.2), and the pin (PCI §2.2.6). */
#include <errno.h>
#include <string.h>

#include "model/pci/pci_model.h"

/* ---- MSI-X ---- */

int model_pci_add_msix(struct model_pci *f, unsigned count, unsigned bar, uint64_t table_offset, uint64_t pba_offset)
{
	struct model_pci_root *root = f->bus->root;
	unsigned cap;

	if (count == 0 || count > PCI_MSIX_VECTORS_MAX || !IS_ALIGNED(table_offset | pba_offset, 8u) ||
	    table_offset + (uint64_t)count * PCI_MSIX_ENTRY_LEN > f->bar[bar].len_bytes ||
	    pba_offset + ALIGN_UP(count, 64u) / 8 > f->bar[bar].len_bytes)
		return -EINVAL;
	f->msix_table = root->ops->alloc(root, count * sizeof(*f->msix_table));
	f->msix_pending = root->ops->alloc(root, count);
	if (f->msix_table == NULL || f->msix_pending == NULL) {
		root->ops->free(root, f->msix_table);
		root->ops->free(root, f->msix_pending);
		f->msix_table = NULL;
		f->msix_pending = NULL;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < count; i++)
		f->msix_table[i].control = ob_cpu_to_le32(PCI_MSIX_ENTRY_MASKED);
	cap = model_pci_add_capability(f, PCI_CAP_ID_MSIX, PCI_MSIX_LEN);
	f->msix_cap = cap;
	f->msix_count = count;
	f->msix_bar = bar;
	f->msix_table_offset = table_offset;
	f->msix_pba_offset = pba_offset;
	model_pci_set(f, cap + PCI_MSIX_CONTROL, 2, FIELD_PREP(PCI_MSIX_CTL_TABLE_SIZE, count - 1));
	model_pci_allow(f, cap + PCI_MSIX_CONTROL, 2, PCI_MSIX_CTL_MASK_ALL | PCI_MSIX_CTL_ENABLE, 0);
	model_pci_set(f, cap + PCI_MSIX_TABLE, 4, (uint32_t)table_offset | bar);
	model_pci_set(f, cap + PCI_MSIX_PBA, 4, (uint32_t)pba_offset | bar);
	return 0;
}

static uint32_t msix_control(const struct model_pci *f)
{
	return f->msix_cap == 0 ? 0 : model_pci_get(f, f->msix_cap + PCI_MSIX_CONTROL, 2);
}

bool model_pci_msix_enabled(const struct model_pci *f)
{
	return (msix_control(f) & PCI_MSIX_CTL_ENABLE) != 0;
}

static void msix_send_if_open(struct model_pci *f, unsigned vector)
{
	const struct pci_msix_entry *entry = &f->msix_table[vector];
	struct model_pci_root *root = f->bus->root;
	uint64_t address;

	if ((msix_control(f) & PCI_MSIX_CTL_MASK_ALL) != 0 ||
	    (ob_le32_to_cpu(entry->control) & PCI_MSIX_ENTRY_MASKED) != 0) {
		f->msix_pending[vector] = 1;
		return;
	}
	f->msix_pending[vector] = 0;
	if (!OB_READ_ONCE(f->master))
		return; /* a message is a memory write: without bus mastering it is lost */
	address = (uint64_t)ob_le32_to_cpu(entry->address_hi) << 32 | ob_le32_to_cpu(entry->address_lo);
	root->ops->message(root, f, address, ob_le32_to_cpu(entry->data));
}

void model_pci_msix_fire(struct model_pci *f, unsigned vector)
{
	if (vector < f->msix_count && model_pci_msix_enabled(f))
		msix_send_if_open(f, vector);
}

/* What is pending goes out once nothing masks it any more. */
void model_pci_msix_written(struct model_pci *f)
{
	if (!model_pci_msix_enabled(f))
		return;
	for (unsigned i = 0; i < f->msix_count; i++)
		if (f->msix_pending[i])
			msix_send_if_open(f, i);
}

static bool in_msix_table(const struct model_pci *f, unsigned bar, uint64_t offset)
{
	return f->msix_count != 0 && bar == f->msix_bar &&
	       offset - f->msix_table_offset < (uint64_t)f->msix_count * PCI_MSIX_ENTRY_LEN;
}

static bool in_msix_pba(const struct model_pci *f, unsigned bar, uint64_t offset)
{
	return f->msix_count != 0 && bar == f->msix_bar &&
	       offset - f->msix_pba_offset < ALIGN_UP(f->msix_count, 64u) / 8;
}

static uint64_t pba_read(const struct model_pci *f, uint64_t offset, unsigned size_bytes)
{
	uint64_t value = 0;

	for (unsigned bit = 0; bit < size_bytes * 8; bit++) {
		uint64_t vector = offset * 8 + bit;

		if (vector < f->msix_count && f->msix_pending[vector])
			value |= 1ull << bit;
	}
	return value;
}

/* ---- registers ---- */

/* The table is accessed by 4 or 8 bytes, aligned (PCI 3.0 §6.8.2). */
static ob_le32 *msix_word(struct model_pci *f, uint64_t offset)
{
	return (ob_le32 *)(void *)f->msix_table + (offset - f->msix_table_offset) / 4;
}

uint64_t model_pci_bar_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	if (offset + size_bytes > f->bar[bar].len_bytes)
		return UINT64_MAX;
	if (in_msix_table(f, bar, offset)) {
		const ob_le32 *word = msix_word(f, offset);

		if (!IS_ALIGNED(offset, size_bytes) || size_bytes < 4)
			return UINT64_MAX;
		return ob_le32_to_cpu(word[0]) | (size_bytes == 8 ? (uint64_t)ob_le32_to_cpu(word[1]) << 32 : 0);
	}
	if (in_msix_pba(f, bar, offset))
		return pba_read(f, offset - f->msix_pba_offset, size_bytes);
	return f->ops->read(f, bar, offset, size_bytes);
}

void model_pci_bar_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	if (offset + size_bytes > f->bar[bar].len_bytes)
		return;
	if (in_msix_table(f, bar, offset)) {
		ob_le32 *word = msix_word(f, offset);

		if (!IS_ALIGNED(offset, size_bytes) || size_bytes < 4)
			return;
		word[0] = ob_cpu_to_le32((uint32_t)value);
		if (size_bytes == 8)
			word[1] = ob_cpu_to_le32((uint32_t)(value >> 32));
		model_pci_msix_written(f);
		return;
	}
	if (!in_msix_pba(f, bar, offset))
		f->ops->write(f, bar, offset, size_bytes, value);
}

/* ---- the pin ---- */

void model_pci_intx_update(struct model_pci *f)
{
	struct model_pci_root *root = f->bus->root;
	unsigned pin = model_pci_get(f, PCI_INTERRUPT_PIN, 1);
	uint32_t status = model_pci_get(f, PCI_STATUS, 2) & ~PCI_STATUS_INTX;
	bool wants = f->intx && pin != 0 && !model_pci_msix_enabled(f);
	bool up = wants && f->present && (model_pci_get(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF) == 0;
	unsigned slot = FIELD_GET(PCI_BDF_SLOT, f->devfn);

	/* The status bit shows what the device wants, whether or not the pin is disabled (PCIe §7.5.1.1.4). */
	model_pci_set(f, PCI_STATUS, 2, status | (wants ? PCI_STATUS_INTX : 0));
	if (up == f->intx_up)
		return;
	f->intx_up = up;
	/* Each bridge turns the pins by the slot below it (PCIe §2.2.8.1). */
	for (const struct model_pci *b = f->bus->bridge; b != NULL; b = b->bus->bridge) {
		pin = (pin - 1 + slot) % 4 + 1;
		slot = FIELD_GET(PCI_BDF_SLOT, b->devfn);
	}
	root->ops->line(root, slot, pin, up);
}

void model_pci_intx_set(struct model_pci *f, bool level)
{
	if (f->intx == level)
		return;
	f->intx = level;
	model_pci_intx_update(f);
}
