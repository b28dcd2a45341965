/* SPDX-License-Identifier: BSD-2-Clause */
/* What PCI functions get wrong below their drivers: resets that hang them, interrupts that cannot be masked. */
#include "bus/pci/pci.h"
#include "core/quirk.h"

static const struct quirk rows[] = {
	{0x1022, 0x1487, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_FLR, 0, "a function-level reset hangs it"}, /* HD audio */
	{0x1022, 0x148c, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_FLR, 0, "a function-level reset hangs it"}, /* USB 3 */
	{0x1022, 0x149c, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_FLR, 0, "a function-level reset hangs it"}, /* USB 3 */
	{0x8086, 0x1502, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_FLR, 0, "a function-level reset hangs it"}, /* 82579LM */
	{0x8086, 0x1503, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_FLR, 0, "a function-level reset hangs it"}, /* 82579V */
	{0x1425, 0x0030, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_INTX_MASK, 0, "interrupt disable does nothing"}, /* T310 */
	{0x10ec, 0x8169, OB_ANY, OB_ANY, NULL, PCI_QUIRK_NO_INTX_MASK, 0, "interrupt disable does nothing"},
};

void pci_quirks_apply(struct pci_function *fn)
{
	struct quirk_ids ids = {
		.vendor = fn->info.vendor,
		.device = fn->info.device,
		.subvendor = fn->info.subvendor,
		.subdevice = fn->info.subdevice,
	};
	struct quirk_found found;

	quirk_lookup(rows, ARRAY_SIZE(rows), &ids, &found);
	fn->quirks = found.flags;
	if (found.rows == 0)
		return;
	ob_warn(fn->host->ob, "pci %s: [%04x:%04x] %s", fn->dev.name, ids.vendor, ids.device, found.reason);
	if (found.flags & PCI_QUIRK_NO_FLR)
		fn->info.flr = false;
	if (found.flags & PCI_QUIRK_NO_MSI) {
		fn->msi = fn->msix = 0;
		fn->info.msi_vectors = 0;
	}
	/* A value is the most vectors that work. */
	if (found.value != 0)
		fn->msix_max = found.value;
}
