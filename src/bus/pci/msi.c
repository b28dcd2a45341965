/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI: PCI 3.0 §6.8.1, PCIe 4.0 §7.7.1.
 *
 * Without per-vector masking there is no way to hold a message back that loses none: masking then does nothing here,
 * and core simply does not look at the vector's descriptor until it is unmasked.
 */
#include <errno.h>

#include "bus/pci/pci.h"

static uint16_t control(struct pci_function *fn)
{
	return pci_read16(fn, fn->msi + PCI_MSI_CONTROL);
}

/* The vectors share this word and their CPUs may change it at once: whoever finds a newer wish writes again. */
static void write_mask(struct pci_function *fn)
{
	uint16_t ctl = control(fn);
	unsigned offset = fn->msi + (ctl & PCI_MSI_CTL_64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	uint32_t mask;

	if (!(ctl & PCI_MSI_CTL_MASKABLE))
		return;
	do {
		mask = __atomic_load_n(&fn->irq.msi_mask, __ATOMIC_SEQ_CST);
		pci_write(fn, offset, 4, mask);
	} while (__atomic_load_n(&fn->irq.msi_mask, __ATOMIC_SEQ_CST) != mask);
}

static void program(struct pci_function *fn)
{
	const struct machine_msi *msi = &fn->irq.msi[0];
	uint16_t ctl = control(fn) & ~(PCI_MSI_CTL_ENABLE | PCI_MSI_CTL_ENABLED);

	pci_write(fn, fn->msi + PCI_MSI_CONTROL, 2, ctl);
	pci_write(fn, fn->msi + PCI_MSI_ADDRESS, 4, (uint32_t)msi->address);
	if (ctl & PCI_MSI_CTL_64)
		pci_write(fn, fn->msi + PCI_MSI_ADDRESS_HI, 4, (uint32_t)(msi->address >> 32));
	pci_write(fn, fn->msi + (ctl & PCI_MSI_CTL_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), 2, msi->data);
	write_mask(fn);
	pci_command_update(fn, 0, PCI_COMMAND_INTX_OFF);
	ctl |= FIELD_PREP(PCI_MSI_CTL_ENABLED, (unsigned)__builtin_ctz(fn->irq.count));
	pci_write(fn, fn->msi + PCI_MSI_CONTROL, 2, ctl | PCI_MSI_CTL_ENABLE);
}

/* Can the device say this message? 32 bits of address unless it has 64, 16 bits of data (§6.8.1.4), a whole block. */
static bool can_say(struct pci_function *fn, unsigned count)
{
	const struct machine_msi *msi = &fn->irq.msi[0];

	return (msi->address >> 32 == 0 || (control(fn) & PCI_MSI_CTL_64)) && msi->data + count - 1 <= 0xffff &&
	       (msi->data & (count - 1)) == 0;
}

int pci_msi_alloc(struct pci_function *fn, unsigned min, unsigned max)
{
	struct machine *m = device_machine(&fn->dev);
	unsigned count = 1;
	int rc;

	while (count * 2 <= MIN(max, fn->info.msi_vectors))
		count *= 2;
	if (count < min)
		return -ENOSPC;
	rc = pci_irq_alloc_state(fn, count);
	if (rc != 0)
		return rc;
	rc = pci_msi_take(fn, min, &count, true);
	if (rc != 0)
		goto free_state;
	if (fn->irq.msi[0].program && !can_say(fn, count)) {
		ob_warn(fn->host->ob, "pci %s: its MSI cannot send 0x%x to 0x%llx", fn->dev.name, fn->irq.msi[0].data,
			(unsigned long long)fn->irq.msi[0].address);
		rc = -EOPNOTSUPP;
		goto free_msi;
	}
	fn->irq.kind = OB_IRQ_MSI;
	fn->irq.count = count;
	fn->irq.msi_mask = 0xffffffffu;
	if (fn->irq.msi[0].program)
		program(fn);
	return 0;

free_msi:
	m->ops->msi_free(m, &fn->dev, count, fn->irq.msi);
free_state:
	pci_irq_free_state(fn);
	return rc;
}

void pci_msi_release(struct pci_function *fn)
{
	uint16_t ctl = control(fn);

	if (fn->irq.msi[0].program && ctl != 0xffff)
		pci_write(fn, fn->msi + PCI_MSI_CONTROL, 2, ctl & ~PCI_MSI_CTL_ENABLE);
}

void pci_msi_mask(struct pci_function *fn, unsigned vector, bool mask)
{
	if (!fn->irq.msi[0].program)
		return;
	if (mask)
		__atomic_fetch_or(&fn->irq.msi_mask, 1u << vector, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&fn->irq.msi_mask, ~(1u << vector), __ATOMIC_SEQ_CST);
	write_mask(fn);
}

void pci_msi_restore(struct pci_function *fn)
{
	if (fn->irq.msi[0].program)
		program(fn);
}
