/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities of the first 256 bytes as text: PCI 3.0 §6.7 and the specifications that add to it. */
#include "bus/pci/text.h"

#define VENDOR_VIRTIO        0x1af4u
#define VIRTIO_DEVICE_FIRST  0x1000u /* virtio 1.2 §4.1.2 */
#define VIRTIO_DEVICE_LAST   0x107fu
#define VIRTIO_CAP_LEN       16u /* virtio 1.2 §4.1.4, struct virtio_pci_cap */
#define VIRTIO_CAP_TYPE      3u
#define VIRTIO_CAP_BAR       4u
#define VIRTIO_CAP_OFFSET    8u
#define VIRTIO_CAP_BYTES     12u
#define VIRTIO_CAP_MULTIPLY  16u
#define VIRTIO_CAP_IS_NOTIFY 2u

static void describe_pm(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const unsigned aux_ma[] = {0, 55, 100, 160, 220, 270, 320, 375};
	static const struct pci_flag flags[] = {
		{"PMEClk", PCI_PM_CAPS_CLOCK},
		{"DSI", PCI_PM_CAPS_DSI},
		{"D1", PCI_PM_CAPS_D1},
		{"D2", PCI_PM_CAPS_D2},
		{NULL, 0},
	};
	unsigned caps = pci_read16(fn, at + PCI_PM_CAPS), control = pci_read16(fn, at + PCI_PM_CONTROL);
	unsigned bridge = pci_read8(fn, at + PCI_PM_BRIDGE);

	pci_text_add(t, "Power Management version %u\n\t\tFlags: ", FIELD_GET(PCI_PM_CAPS_VERSION, caps));
	pci_text_flags(t, caps, flags);
	pci_text_add(t, " AuxCurrent=%umA PME(D0%c,D1%c,D2%c,D3hot%c,D3cold%c)\n",
		     aux_ma[FIELD_GET(PCI_PM_CAPS_AUX, caps)], pci_sign(caps & PCI_PM_CAPS_PME_D0),
		     pci_sign(caps & PCI_PM_CAPS_PME_D1), pci_sign(caps & PCI_PM_CAPS_PME_D2),
		     pci_sign(caps & PCI_PM_CAPS_PME_D3HOT), pci_sign(caps & PCI_PM_CAPS_PME_D3COLD));
	pci_text_add(t, "\t\tStatus: D%u NoSoftRst%c PME-Enable%c DSel=%u DScale=%u PME%c\n",
		     FIELD_GET(PCI_PM_CTL_STATE, control), pci_sign(control & PCI_PM_CTL_NO_RESET),
		     pci_sign(control & PCI_PM_CTL_PME), FIELD_GET(PCI_PM_CTL_DATA_SELECT, control),
		     FIELD_GET(PCI_PM_CTL_DATA_SCALE, control), pci_sign(control & PCI_PM_CTL_PME_STATUS));
	/* The bit says that D3 does not lead to B3. */
	if (bridge != 0)
		pci_text_add(t, "\t\tBridge: PM%c B3%c\n", pci_sign(bridge & PCI_PM_BRIDGE_BPCC),
			     pci_sign(~bridge & PCI_PM_BRIDGE_B3));
}

static void describe_msi(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned control = pci_read16(fn, at + PCI_MSI_CONTROL);
	bool is_64 = control & PCI_MSI_CTL_64;

	pci_text_add(t, "MSI: Enable%c Count=%u/%u Maskable%c 64bit%c\n\t\tAddress: ",
		     pci_sign(control & PCI_MSI_CTL_ENABLE), 1u << FIELD_GET(PCI_MSI_CTL_ENABLED, control),
		     1u << FIELD_GET(PCI_MSI_CTL_CAPABLE, control), pci_sign(control & PCI_MSI_CTL_MASKABLE),
		     pci_sign(is_64));
	if (is_64)
		pci_text_add(t, "%08x", pci_read32(fn, at + PCI_MSI_ADDRESS_HI));
	pci_text_add(t, "%08x  Data: %04x\n", pci_read32(fn, at + PCI_MSI_ADDRESS),
		     pci_read16(fn, at + (is_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32)));
	if (control & PCI_MSI_CTL_MASKABLE)
		pci_text_add(t, "\t\tMasking: %08x  Pending: %08x\n",
			     pci_read32(fn, at + (is_64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32)),
			     pci_read32(fn, at + (is_64 ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32)));
}

static void describe_msix(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned control = pci_read16(fn, at + PCI_MSIX_CONTROL);
	uint32_t table = pci_read32(fn, at + PCI_MSIX_TABLE), pba = pci_read32(fn, at + PCI_MSIX_PBA);

	pci_text_add(t, "MSI-X: Enable%c Count=%u Masked%c\n", pci_sign(control & PCI_MSIX_CTL_ENABLE),
		     FIELD_GET(PCI_MSIX_CTL_TABLE_SIZE, control) + 1, pci_sign(control & PCI_MSIX_CTL_MASK_ALL));
	pci_text_add(t, "\t\tVector table: BAR=%u offset=%08x\n", FIELD_GET(PCI_MSIX_BIR, table),
		     table & PCI_MSIX_OFFSET);
	pci_text_add(t, "\t\tPBA: BAR=%u offset=%08x\n", FIELD_GET(PCI_MSIX_BIR, pba), pba & PCI_MSIX_OFFSET);
}

static void describe_virtio(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned len)
{
	static const char *const types[] = {NULL, "CommonCfg", "Notify", "ISR", "DeviceCfg"};
	unsigned type = pci_read8(fn, at + VIRTIO_CAP_TYPE);

	pci_text_add(t, "VirtIO: %s\n\t\tBAR=%u offset=%08x size=%08x",
		     pci_name_of(types, ARRAY_SIZE(types), type, "<unknown>"), pci_read8(fn, at + VIRTIO_CAP_BAR),
		     pci_read32(fn, at + VIRTIO_CAP_OFFSET), pci_read32(fn, at + VIRTIO_CAP_BYTES));
	if (type == VIRTIO_CAP_IS_NOTIFY && len >= VIRTIO_CAP_MULTIPLY + 4)
		pci_text_add(t, " multiplier=%08x", pci_read32(fn, at + VIRTIO_CAP_MULTIPLY));
	pci_text_add(t, "\n");
}

static void describe_vendor(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned len = pci_read8(fn, at + PCI_VENDOR_CAP_LEN);

	pci_text_add(t, "Vendor Specific Information: ");
	if (fn->info.vendor == VENDOR_VIRTIO && fn->info.device >= VIRTIO_DEVICE_FIRST &&
	    fn->info.device <= VIRTIO_DEVICE_LAST && len >= VIRTIO_CAP_LEN)
		describe_virtio(t, fn, at, len);
	else
		pci_text_add(t, "Len=%02x <?>\n", len);
}

static void describe_ssvid(struct pci_text *t, const struct pci_function *fn, unsigned at,
			   const struct pci_names *names)
{
	unsigned vendor = pci_read16(fn, at + PCI_SSVID_VENDOR), device = pci_read16(fn, at + PCI_SSVID_DEVICE);

	pci_text_add(t, "Subsystem: ");
	if (names->subsystem[0] != 0)
		pci_text_add(t, "%s %s", names->subvendor, names->subsystem);
	else if (names->subvendor[0] != 0)
		pci_text_add(t, "%s Device", names->subvendor);
	else
		pci_text_add(t, "Device");
	pci_text_add(t, " [%04x:%04x]\n", vendor, device);
}

static void describe_sata(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned revision = pci_read16(fn, at + PCI_SATA_REVISION);
	uint32_t bar = pci_read32(fn, at + PCI_SATA_BAR);
	unsigned where = FIELD_GET(PCI_SATA_BAR_WHERE, bar);

	pci_text_add(t, "SATA HBA v%u.%u", FIELD_GET(PCI_SATA_REV_MAJOR, revision),
		     FIELD_GET(PCI_SATA_REV_MINOR, revision));
	if (where == PCI_SATA_IN_CONFIG)
		pci_text_add(t, " InCfgSpace\n");
	else if (where >= PCI_SATA_BAR_FIRST && where < PCI_SATA_BAR_FIRST + PCI_BAR_COUNT_DEVICE)
		pci_text_add(t, " BAR%u Offset=%08x\n", where - PCI_SATA_BAR_FIRST,
			     FIELD_GET(PCI_SATA_BAR_OFFSET, bar));
	else
		pci_text_add(t, " BAR??%u\n", where);
}

static void describe_af(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned caps = pci_read8(fn, at + PCI_AF_CAPS);

	pci_text_add(t, "PCI Advanced Features\n\t\tAFCap: TP%c FLR%c\n\t\tAFCtrl: FLR%c\n\t\tAFStatus: TP%c\n",
		     pci_sign(caps & PCI_AF_CAPS_TP), pci_sign(caps & PCI_AF_CAPS_FLR),
		     pci_sign(pci_read8(fn, at + PCI_AF_CONTROL) & PCI_AF_CTL_FLR),
		     pci_sign(pci_read8(fn, at + PCI_AF_STATUS) & PCI_AF_STATUS_TP));
}

static void describe_slot_id(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned slot = pci_read8(fn, at + PCI_SLOTID_SLOT);

	pci_text_add(t, "Slot ID: %u slots, First%c, chassis %02x\n", FIELD_GET(PCI_SLOTID_SLOTS, slot),
		     pci_sign(slot & PCI_SLOTID_FIRST), pci_read8(fn, at + PCI_SLOTID_CHASSIS));
}

static void describe_debug_port(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned port = pci_read16(fn, at + PCI_DEBUG_PORT);

	pci_text_add(t, "Debug port: BAR=%u offset=%04x\n", FIELD_GET(PCI_DEBUG_BAR, port),
		     FIELD_GET(PCI_DEBUG_OFFSET, port));
}

/* Those of which there is nothing to say but the name. */
static const char *plain_name(unsigned id)
{
	static const char *const names[] = {
		[PCI_CAP_ID_AGP] = "AGP <?>",
		[PCI_CAP_ID_VPD] = "Vital Product Data",
		[PCI_CAP_ID_CHSWP] = "CompactPCI hot-swap <?>",
		[PCI_CAP_ID_PCIX] = "PCI-X <?>",
		[PCI_CAP_ID_HT] = "HyperTransport <?>",
		[PCI_CAP_ID_CCRC] = "CompactPCI central resource control <?>",
		[PCI_CAP_ID_HOTPLUG] = "Hot-plug capable",
		[PCI_CAP_ID_AGP3] = "AGP3 <?>",
		[PCI_CAP_ID_SECURE] = "Secure device <?>",
		[PCI_CAP_ID_EA] = "Enhanced Allocation (EA) <?>",
	};

	return pci_name_of(names, ARRAY_SIZE(names), id, NULL);
}

void pci_describe_capability(struct pci_text *t, const struct pci_function *fn, const struct pci_capability *cap,
			     const struct pci_names *names)
{
	unsigned at = cap->offset;
	const char *name = plain_name(cap->id);

	pci_text_add(t, "\tCapabilities: [%02x] ", at);
	switch (cap->id) {
	case PCI_CAP_ID_PM:
		describe_pm(t, fn, at);
		break;
	case PCI_CAP_ID_SLOTID:
		describe_slot_id(t, fn, at);
		break;
	case PCI_CAP_ID_MSI:
		describe_msi(t, fn, at);
		break;
	case PCI_CAP_ID_VENDOR:
		describe_vendor(t, fn, at);
		break;
	case PCI_CAP_ID_DEBUG:
		describe_debug_port(t, fn, at);
		break;
	case PCI_CAP_ID_SSVID:
		describe_ssvid(t, fn, at, names);
		break;
	case PCI_CAP_ID_EXPRESS:
		pci_describe_express(t, fn, at);
		break;
	case PCI_CAP_ID_MSIX:
		describe_msix(t, fn, at);
		break;
	case PCI_CAP_ID_SATA:
		describe_sata(t, fn, at);
		break;
	case PCI_CAP_ID_AF:
		describe_af(t, fn, at);
		break;
	default:
		if (name != NULL)
			pci_text_add(t, "%s\n", name);
		else
			pci_text_add(t, "Capability ID 0x%02x [%04x]\n", cap->id, pci_read16(fn, at + 2));
	}
}
