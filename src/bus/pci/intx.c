/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines: PCI 3.0 §2.2.6, through bridges BR 1.2 §9.1 and PCIe 4.0 §2.2.8.1. */
#include <errno.h>

#include "bus/pci/pci.h"

void pci_intx_swizzle(const struct pci_function *fn, unsigned *slot, unsigned *pin)
{
	*pin = fn->info.interrupt_pin;
	/* Each bridge turns the pins by the slot below it, so that neighbours do not all share one line. */
	for (; fn->bridge != NULL; fn = fn->bridge)
		*pin = (*pin - 1 + fn->info.slot) % 4 + 1;
	*slot = fn->info.slot;
}

static bool disable_bit_works(struct pci_function *fn)
{
	bool works;

	if (fn->quirks & PCI_QUIRK_NO_INTX_MASK)
		return false;
	/* Older than PCI 2.3: the bit does not exist and reads zero. */
	pci_command_update(fn, 0, PCI_COMMAND_INTX_OFF);
	works = (pci_read16(fn, PCI_COMMAND) & PCI_COMMAND_INTX_OFF) != 0;
	pci_command_update(fn, PCI_COMMAND_INTX_OFF, 0);
	return works;
}

int pci_intx_alloc(struct pci_function *fn)
{
	struct machine *m = device_machine(&fn->dev);
	unsigned slot, pin;
	int rc;

	if (m->ops->intx_open == NULL)
		return -EOPNOTSUPP;
	rc = pci_irq_alloc_state(fn, 1);
	if (rc != 0)
		return rc;
	pci_intx_swizzle(fn, &slot, &pin);
	rc = m->ops->intx_open(m, &fn->dev, slot, pin, &fn->irq.intx);
	if (rc != 0) {
		pci_irq_free_state(fn);
		return rc;
	}
	ob_free(fn->irq.msi);
	fn->irq.msi = NULL;
	fn->irq.fds[0] = fn->irq.intx.fd;
	fn->irq.kind = OB_IRQ_INTX;
	fn->irq.count = 1;
	fn->irq.intx_off_implemented = disable_bit_works(fn);
	/* Nobody listens before the vector is requested. */
	pci_intx_mask(fn, true);
	return 0;
}

void pci_intx_release(struct pci_function *fn)
{
	struct machine *m = device_machine(&fn->dev);

	pci_command_update(fn, 0, PCI_COMMAND_INTX_OFF);
	if (m->ops->intx_close != NULL)
		m->ops->intx_close(m, &fn->irq.intx);
}

void pci_intx_mask(struct pci_function *fn, bool mask)
{
	if (fn->irq.intx_off_implemented)
		pci_command_update(fn, mask ? 0 : PCI_COMMAND_INTX_OFF, mask ? PCI_COMMAND_INTX_OFF : 0);
}
