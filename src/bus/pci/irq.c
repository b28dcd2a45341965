/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of a function: which kind it gets, and what the kinds have in common. */
#include <errno.h>

#include "bus/pci/pci.h"

int pci_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, struct bus_irq_vectors *out)
{
	struct pci_function *fn = pci_function_of(dev);
	int rc = -ENOSPC;

	if (fn->irq.count != 0)
		return -EBUSY;
	if (min == 0 || max < min)
		return -EINVAL;
	if (pci_read16(fn, PCI_VENDOR_ID) == PCI_VENDOR_NONE)
		return -ENODEV;
	/* The best first: a vector each, then several of one block, then the one shared line. */
	if ((kinds & OB_IRQ_MSIX) && fn->msix != 0)
		rc = pci_msix_alloc(fn, min, max);
	if (rc != 0 && rc != -ENODEV && (kinds & OB_IRQ_MSI) && fn->msi != 0)
		rc = pci_msi_alloc(fn, min, max);
	if (rc != 0 && rc != -ENODEV && (kinds & OB_IRQ_INTX) && min == 1 && fn->info.interrupt_pin != 0)
		rc = pci_intx_alloc(fn);
	if (rc != 0)
		return rc;
	*out = (struct bus_irq_vectors){.kind = fn->irq.kind, .count = fn->irq.count, .fds = fn->irq.fds};
	return 0;
}

void pci_irq_release(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	struct machine *m = device_machine(dev);

	if (fn->irq.count == 0)
		return;
	if (fn->irq.kind == OB_IRQ_MSIX)
		pci_msix_release(fn);
	else if (fn->irq.kind == OB_IRQ_MSI)
		pci_msi_release(fn);
	else
		pci_intx_release(fn);
	if (fn->irq.msi != NULL)
		m->ops->msi_free(m, dev, fn->irq.count, fn->irq.msi);
	pci_irq_free_state(fn);
}

void pci_irq_mask(struct ob_device *dev, unsigned vector, bool mask)
{
	struct pci_function *fn = pci_function_of(dev);

	if (vector >= fn->irq.count)
		return;
	if (fn->irq.kind == OB_IRQ_MSIX)
		pci_msix_mask(fn, vector, mask);
	else if (fn->irq.kind == OB_IRQ_MSI)
		pci_msi_mask(fn, vector, mask);
	else
		pci_intx_mask(fn, mask);
}

bool pci_irq_level(struct ob_device *dev, unsigned vector)
{
	struct pci_function *fn = pci_function_of(dev);
	struct machine *m = device_machine(dev);

	if (fn->irq.kind != OB_IRQ_INTX || m->ops->intx_level == NULL)
		return false;
	return m->ops->intx_level(m, &fn->irq.intx);
}

void pci_irq_restore(struct pci_function *fn)
{
	if (fn->irq.count == 0)
		return;
	if (fn->irq.kind == OB_IRQ_MSIX)
		pci_msix_restore(fn);
	else if (fn->irq.kind == OB_IRQ_MSI)
		pci_msi_restore(fn);
}

/* ---- shared by the kinds ---- */

int pci_irq_alloc_state(struct pci_function *fn, unsigned count)
{
	fn->irq.fds = ob_alloc(count * sizeof(*fn->irq.fds));
	fn->irq.msi = ob_alloc(count * sizeof(*fn->irq.msi));
	fn->irq.masked = ob_alloc(count * sizeof(*fn->irq.masked));
	if (fn->irq.fds == NULL || fn->irq.msi == NULL || fn->irq.masked == NULL) {
		pci_irq_free_state(fn);
		return -ENOMEM;
	}
	return 0;
}

void pci_irq_free_state(struct pci_function *fn)
{
	ob_free(fn->irq.fds);
	ob_free(fn->irq.msi);
	ob_free(fn->irq.masked);
	fn->irq = (struct pci_irq_state){0};
}

int pci_msi_take(struct pci_function *fn, unsigned min, unsigned *count, bool contiguous)
{
	struct machine *m = device_machine(&fn->dev);
	int rc = -EOPNOTSUPP;

	if (m->ops->msi_alloc == NULL)
		return -EOPNOTSUPP;
	/* The machine says no to a number, not how many it has: fewer and fewer, a block always a power of two. */
	for (unsigned n = *count; n >= min && n != 0; n = contiguous ? n / 2 : MIN(n - 1, MAX(min, n / 2))) {
		rc = m->ops->msi_alloc(m, &fn->dev, n, contiguous, fn->irq.msi);
		if (rc == 0) {
			*count = n;
			for (unsigned i = 0; i < n; i++)
				fn->irq.fds[i] = fn->irq.msi[i].fd;
			return 0;
		}
		if (rc != -ENOSPC)
			return rc;
	}
	return rc;
}
