/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X: PCI 3.0 §6.8.2, PCIe 4.0 §7.7.2.
 *
 * Vectors start masked and are enabled here, before the driver makes its queues: some models (QEMU's nvme) look at what
 * is enabled when a queue is created.
 */
#include <errno.h>

#include "bus/pci/pci.h"

static void control_update(struct pci_function *fn, uint16_t clear, uint16_t set)
{
	uint16_t control = pci_read16(fn, fn->msix + PCI_MSIX_CONTROL);

	pci_write(fn, fn->msix + PCI_MSIX_CONTROL, 2, (control & ~clear) | set);
}

/*
 * The vector's own CPU masks it at any time, also amid a reset or the return of power, which write all entries from
 * CPU 0: whoever finds after its write that the wish has changed meanwhile writes again.
 */
static void write_mask(struct pci_function *fn, unsigned vector)
{
	uint64_t at = (uint64_t)vector * PCI_MSIX_ENTRY_LEN + PCI_MSIX_ENTRY_CONTROL;
	uint32_t now;

	do {
		now = __atomic_load_n(&fn->irq.masked[vector], __ATOMIC_SEQ_CST);
		ob_mmio_write32(&fn->irq.table, at, now);
	} while (__atomic_load_n(&fn->irq.masked[vector], __ATOMIC_SEQ_CST) != now);
}

static void write_entry(struct pci_function *fn, unsigned vector)
{
	const struct machine_msi *msi = &fn->irq.msi[vector];
	uint64_t at = (uint64_t)vector * PCI_MSIX_ENTRY_LEN;

	ob_mmio_write32(&fn->irq.table, at + PCI_MSIX_ENTRY_ADDRESS_LO, (uint32_t)msi->address);
	ob_mmio_write32(&fn->irq.table, at + PCI_MSIX_ENTRY_ADDRESS_HI, (uint32_t)(msi->address >> 32));
	ob_mmio_write32(&fn->irq.table, at + PCI_MSIX_ENTRY_DATA, msi->data);
	write_mask(fn, vector);
}

static void program(struct pci_function *fn)
{
	/* All masked while the entries change; enabled, as the table may be out of reach before (§6.8.2.1). */
	control_update(fn, 0, PCI_MSIX_CTL_ENABLE | PCI_MSIX_CTL_MASK_ALL);
	for (unsigned i = 0; i < fn->irq.count; i++)
		write_entry(fn, i);
	/* What is left of the table is nobody's. */
	for (unsigned i = fn->irq.count; i < fn->msix_entries; i++)
		ob_mmio_write32(&fn->irq.table, (uint64_t)i * PCI_MSIX_ENTRY_LEN + PCI_MSIX_ENTRY_CONTROL,
				PCI_MSIX_ENTRY_MASKED);
	ob_mmio_flush(&fn->irq.table);
	pci_command_update(fn, 0, PCI_COMMAND_INTX_OFF);
	control_update(fn, PCI_MSIX_CTL_MASK_ALL, 0);
}

static int open_table(struct pci_function *fn)
{
	struct machine *m = device_machine(&fn->dev);
	uint32_t table = pci_read32(fn, fn->msix + PCI_MSIX_TABLE);
	unsigned index = FIELD_GET(PCI_MSIX_BIR, table);
	uint64_t offset = table & PCI_MSIX_OFFSET, len = (uint64_t)fn->msix_entries * PCI_MSIX_ENTRY_LEN;
	int rc;

	/* Checked when it was found; a device may say something else by now. */
	if (index >= PCI_BAR_COUNT_DEVICE || !fn->bar[index].placed || fn->bar[index].io ||
	    fn->bar[index].len_bytes < len || offset > fn->bar[index].len_bytes - len)
		return -EOPNOTSUPP;
	rc = m->ops->region_open(m, &fn->dev, MACHINE_SPACE_MEMORY, fn->bar[index].base + offset, len, &fn->irq.table);
	if (rc == 0)
		fn->irq.table.dev = &fn->dev;
	return rc;
}

int pci_msix_alloc(struct pci_function *fn, unsigned min, unsigned max)
{
	struct machine *m = device_machine(&fn->dev);
	unsigned count = MIN(max, fn->msix_entries);
	int rc;

	if (count < min)
		return -ENOSPC;
	rc = pci_irq_alloc_state(fn, count);
	if (rc != 0)
		return rc;
	rc = pci_msi_take(fn, min, &count, false);
	if (rc != 0)
		goto free_state;
	if (fn->irq.msi[0].program) {
		rc = open_table(fn);
		if (rc != 0)
			goto free_msi;
	}
	for (unsigned i = 0; i < count; i++)
		fn->irq.masked[i] = PCI_MSIX_ENTRY_MASKED;
	fn->irq.kind = OB_IRQ_MSIX;
	fn->irq.count = count;
	if (fn->irq.msi[0].program)
		program(fn);
	return 0;

free_msi:
	m->ops->msi_free(m, &fn->dev, count, fn->irq.msi);
free_state:
	pci_irq_free_state(fn);
	return rc;
}

void pci_msix_release(struct pci_function *fn)
{
	struct machine *m = device_machine(&fn->dev);

	if (!fn->irq.msi[0].program)
		return;
	control_update(fn, PCI_MSIX_CTL_ENABLE, 0);
	if (m->ops->region_close != NULL)
		m->ops->region_close(m, &fn->irq.table);
}

void pci_msix_mask(struct pci_function *fn, unsigned vector, bool mask)
{
	if (!fn->irq.msi[vector].program)
		return;
	__atomic_store_n(&fn->irq.masked[vector], mask ? PCI_MSIX_ENTRY_MASKED : 0, __ATOMIC_SEQ_CST);
	write_mask(fn, vector);
}

void pci_msix_restore(struct pci_function *fn)
{
	if (fn->irq.msi[0].program)
		program(fn);
}
