/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function-level reset: PCIe 4.0 §6.6.2, and the same by the Advanced Features capability; and for a function that has
 * none, the machine's.
 *
 * It takes away everything that software set up, so what the bus set up comes back afterwards: BARs, command, the
 * express controls, interrupts. The driver's own registers are its own business.
 */
#include <errno.h>

#include "bus/pci/pci.h"
#include "core/machine_core.h"

#define PENDING_WAIT_NS (500 * OB_NS_PER_MS)
#define POLL_NS         (5 * OB_NS_PER_MS)
#define OUTSIDE_WAIT_NS (10 * OB_NS_PER_S)

static bool has_v2(const struct pci_function *fn)
{
	return fn->express != 0 && fn->express + PCIE_CAP_LEN_V2 <= PCI_CONFIG_LEN &&
	       FIELD_GET(PCIE_FLAGS_VERSION, (unsigned)pci_read16(fn, fn->express + PCIE_FLAGS)) >= 2;
}

void pci_save(struct pci_function *fn, struct pci_saved *s)
{
	s->cache_line = pci_read8(fn, PCI_CACHE_LINE);
	s->latency_timer = pci_read8(fn, PCI_LATENCY_TIMER);
	s->interrupt_line = pci_read8(fn, PCI_INTERRUPT_LINE);
	if (fn->express != 0) {
		s->device_control = pci_read16(fn, fn->express + PCIE_DEVCTL) & ~PCIE_DEVCTL_FLR;
		s->link_control = pci_read16(fn, fn->express + PCIE_LNKCTL);
	}
	if (has_v2(fn)) {
		s->device_control2 = pci_read16(fn, fn->express + PCIE_DEVCTL2);
		s->link_control2 = pci_read16(fn, fn->express + PCIE_LNKCTL2);
	}
}

void pci_restore(struct pci_function *fn, const struct pci_saved *s)
{
	pci_write(fn, PCI_CACHE_LINE, 1, s->cache_line);
	pci_write(fn, PCI_LATENCY_TIMER, 1, s->latency_timer);
	pci_write(fn, PCI_INTERRUPT_LINE, 1, s->interrupt_line);
	if (fn->express != 0) {
		pci_write(fn, fn->express + PCIE_DEVCTL, 2, s->device_control);
		pci_write(fn, fn->express + PCIE_LNKCTL, 2, s->link_control);
	}
	if (has_v2(fn)) {
		pci_write(fn, fn->express + PCIE_DEVCTL2, 2, s->device_control2);
		pci_write(fn, fn->express + PCIE_LNKCTL2, 2, s->link_control2);
	}
	pci_bars_write(fn);
	/* Not yet a master: the vectors come first, or an early message would go where the reset left them. */
	pci_write(fn, PCI_COMMAND, 2, __atomic_load_n(&fn->command, __ATOMIC_RELAXED) & ~PCI_COMMAND_MASTER);
	pci_irq_restore(fn);
	pci_command_update(fn, 0, 0);
}

static bool is_pending(const struct pci_function *fn)
{
	if (fn->express != 0)
		return pci_read16(fn, fn->express + PCIE_DEVSTA) & PCIE_DEVSTA_PENDING;
	return fn->af != 0 && (pci_read8(fn, fn->af + PCI_AF_STATUS) & PCI_AF_STATUS_TP);
}

void pci_wait_quiet(struct pci_function *fn)
{
	uint64_t deadline = ob_deadline(PENDING_WAIT_NS);

	while (is_pending(fn)) {
		if (ob_now_ns() >= deadline) {
			ob_warn(fn->host->ob, "pci %s: transactions are still pending", fn->dev.name);
			return;
		}
		ob_task_sleep(ob_now_ns() + POLL_NS);
	}
}

int pci_wait_ready(struct pci_function *fn, uint64_t deadline_ns)
{
	for (;;) {
		uint16_t vendor = pci_read16(fn, PCI_VENDOR_ID);

		if (vendor == fn->info.vendor)
			return 0;
		if (device_is_gone(&fn->dev))
			return -ENODEV;
		if (ob_now_ns() >= deadline_ns)
			return vendor == PCI_VENDOR_NONE ? -ENODEV : -ETIMEDOUT;
		ob_task_sleep(ob_now_ns() + POLL_NS);
	}
}

/* By the function itself. */
static int reset_function(struct pci_function *fn, const struct pci_saved *saved)
{
	bool by_express = fn->express != 0 && (pci_read32(fn, fn->express + PCIE_DEVCAP) & PCIE_DEVCAP_FLR);

	if (by_express)
		pci_write(fn, fn->express + PCIE_DEVCTL, 2, saved->device_control | PCIE_DEVCTL_FLR);
	else
		pci_write(fn, fn->af + PCI_AF_CONTROL, 1, PCI_AF_CTL_FLR);
	ob_task_sleep(ob_deadline(PCIE_FLR_WAIT_NS));
	return 0;
}

/* By what is around it: the bus it is on, its power. That is the machine's. */
static int reset_from_outside(struct pci_function *fn)
{
	struct machine *m = device_machine(&fn->dev);

	return m->ops->reset(m, &fn->dev, ob_deadline(OUTSIDE_WAIT_NS));
}

static int no_reset(const struct pci_function *fn)
{
	ob_warn(fn->host->ob, "pci %s: cannot be reset: it has no function-level reset, and the machine has no other",
		fn->dev.name);
	return -EOPNOTSUPP;
}

int pci_reset(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	struct pci_saved saved = {0};
	int rc, reset_rc;

	if (fn->is_bridge || fn->untouchable)
		return -EOPNOTSUPP;
	if (!fn->info.flr && device_machine(dev)->ops->reset == NULL)
		return no_reset(fn);
	if (pci_read16(fn, PCI_VENDOR_ID) != fn->info.vendor)
		return -ENODEV;
	pci_save(fn, &saved);
	pci_reconfigure_begin(fn);
	/* No new transactions, and the old ones answered: a completion that comes after the reset has no owner. */
	pci_write(fn, PCI_COMMAND, 2, PCI_COMMAND_INTX_OFF);
	pci_wait_quiet(fn);
	reset_rc = fn->info.flr ? reset_function(fn, &saved) : reset_from_outside(fn);
	rc = reset_rc != -ENODEV ? pci_wait_ready(fn, ob_deadline(PCIE_RESET_CRS_WAIT_NS)) : -ENODEV;
	if (rc != 0) {
		ob_err(fn->host->ob, "pci %s: does not answer after its reset", dev->name);
		return rc;
	}
	/* Also when there was none: what was switched off above comes back. */
	pci_restore(fn, &saved);
	pci_reconfigure_end(fn);
	return reset_rc == -EOPNOTSUPP ? no_reset(fn) : reset_rc;
}
