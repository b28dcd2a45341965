/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Power of a function: PCI Bus Power Management Interface 1.2 §5.4 and §5.6, PCIe 4.0 §5.3.1.
 *
 * D3hot and D0 only. On the way back a function may have lost all that software set up (No_Soft_Reset clear), or even
 * its power for a while; so all of it is written again in any case. Bridges keep their power: they forward for others.
 */
#include <errno.h>

#include "bus/pci/pci.h"
#include "core/machine_core.h"

#define D0    0u
#define D3HOT 3u

#define CHANGE_NS (10 * OB_NS_PER_MS) /* to and from D3hot: no access before it has passed (PM §5.6.1) */

static unsigned power_state(const struct pci_function *fn)
{
	return FIELD_GET(PCI_PM_CTL_STATE, (unsigned)pci_read16(fn, fn->pm + PCI_PM_CONTROL));
}

/* 0; -ENODEV nothing answers; -EIO it is in another state. */
static int set_power_state(struct pci_function *fn, unsigned state)
{
	uint16_t control = pci_read16(fn, fn->pm + PCI_PM_CONTROL);
	int rc;

	/* Nobody answers. As a value to write back it would be D3hot with everything else on. */
	if (control == UINT16_MAX)
		return -ENODEV;
	/* Writing 1 would clear what woke it. */
	control &= (uint16_t) ~(PCI_PM_CTL_STATE | PCI_PM_CTL_PME_STATUS);
	pci_write(fn, fn->pm + PCI_PM_CONTROL, 2, control | FIELD_PREP(PCI_PM_CTL_STATE, state));
	ob_task_sleep(ob_deadline(CHANGE_NS));
	rc = pci_wait_ready(fn, ob_deadline(PCIE_RESET_CRS_WAIT_NS));
	if (rc != 0) {
		ob_err(fn->host->ob, "pci %s: does not answer after its change to D%u", fn->dev.name, state);
		return -ENODEV;
	}
	if (power_state(fn) == state)
		return 0;
	ob_err(fn->host->ob, "pci %s: is in D%u, D%u was asked for", fn->dev.name, power_state(fn), state);
	return -EIO;
}

static void save(struct pci_function *fn)
{
	pci_save(fn, &fn->saved);
	fn->saved_valid = true;
}

int pci_suspend(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	int rc;

	if (fn->is_bridge || fn->untouchable)
		return 0;
	fn->saved_valid = false;
	if (pci_read16(fn, PCI_VENDOR_ID) != fn->info.vendor)
		return -ENODEV;
	save(fn);
	pci_command_update(fn, PCI_COMMAND_MASTER, 0);
	pci_wait_quiet(fn);
	pci_reconfigure_begin(fn);
	if (fn->pm == 0)
		return 0;
	rc = set_power_state(fn, D3HOT);
	if (rc != -EIO)
		return rc;
	pci_reconfigure_end(fn);
	/* It has none but D0, then. Its driver may have it back as it was. */
	return -EOPNOTSUPP;
}

int pci_resume(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	int rc = 0;

	if (fn->is_bridge || fn->untouchable)
		return 0;
	/* It did not answer when it was to be suspended: what it has lost since, nobody knows. */
	if (!fn->saved_valid)
		return -ENODEV;
	if (fn->pm != 0)
		rc = set_power_state(fn, D0);
	if (rc == 0) {
		pci_restore(fn, &fn->saved);
		fn->saved_valid = false;
		pci_reconfigure_end(fn);
	}
	return rc;
}

int pci_power_on(struct pci_function *fn)
{
	if (fn->pm == 0 || pci_read16(fn, PCI_VENDOR_ID) != fn->info.vendor || power_state(fn) == D0)
		return 0;
	save(fn);
	return pci_resume(&fn->dev);
}
