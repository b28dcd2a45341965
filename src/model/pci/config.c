/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration space of a modelled function: how it is laid out, read, written and reset.
 *
 * Writing is done by two masks per bit (writable; cleared by writing 1); what a write means is looked at afterwards.
 */
#include <string.h>

#include "model/pci/pci_model.h"

uint32_t model_pci_get(const struct model_pci *f, unsigned offset, unsigned size_bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		value |= (uint32_t)f->config[offset + i] << (8 * i);
	return value;
}

void model_pci_set(struct model_pci *f, unsigned offset, unsigned size_bytes, uint32_t value)
{
	for (unsigned i = 0; i < size_bytes; i++)
		f->config[offset + i] = (uint8_t)(value >> (8 * i));
}

void model_pci_allow(struct model_pci *f, unsigned offset, unsigned size_bytes, uint32_t writable, uint32_t clears)
{
	for (unsigned i = 0; i < size_bytes; i++) {
		f->writable[offset + i] = (uint8_t)(writable >> (8 * i));
		f->clears[offset + i] = (uint8_t)(clears >> (8 * i));
	}
}

/* ---- making a function ---- */

void model_pci_init(struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn, const struct model_pci_id *id,
		    const struct model_pci_ops *ops)
{
	memset(f, 0, sizeof(*f));
	list_init(&f->link);
	f->bus = bus;
	f->ops = ops;
	f->devfn = devfn;
	f->cap_end = PCI_CAP_FIRST;
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++)
		f->live[i] = MODEL_PCI_DEAD;
	model_pci_set(f, PCI_VENDOR_ID, 2, id->vendor);
	model_pci_set(f, PCI_DEVICE_ID, 2, id->device);
	model_pci_set(f, PCI_CLASS_REVISION, 4, id->class_code << 8 | id->revision);
	model_pci_set(f, PCI_INTERRUPT_PIN, 1, id->pin);
	model_pci_allow(f, PCI_COMMAND, 2,
			PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
				PCI_COMMAND_INTX_OFF,
			0);
	model_pci_allow(f, PCI_STATUS, 2, 0,
			PCI_STATUS_PARITY | PCI_STATUS_SIG_TABORT | PCI_STATUS_REC_TABORT | PCI_STATUS_REC_MABORT |
				PCI_STATUS_SIG_SERR | PCI_STATUS_DET_PARITY);
	model_pci_allow(f, PCI_CACHE_LINE, 1, 0xff, 0);
	model_pci_allow(f, PCI_INTERRUPT_LINE, 1, 0xff, 0);
	if (id->class_code == PCI_CLASS_PCI_BRIDGE)
		return;
	model_pci_set(f, PCI_SUBVENDOR, 2, id->subvendor);
	model_pci_set(f, PCI_SUBDEVICE, 2, id->subdevice);
}

void model_pci_add_bar(struct model_pci *f, unsigned bar, uint64_t len_bytes, bool is_64bit, bool prefetchable)
{
	uint32_t flags = FIELD_PREP(PCI_BAR_MEM_TYPE, is_64bit ? PCI_BAR_MEM_64 : PCI_BAR_MEM_32);
	uint64_t mask = ~(len_bytes - 1);

	f->bar[bar].len_bytes = len_bytes;
	f->bar[bar].is_64bit = is_64bit;
	f->bar[bar].prefetchable = prefetchable;
	/* Sizing reads back ones where an address may have them (PCI §6.2.5.1): the write mask does it all. */
	model_pci_set(f, PCI_BAR(bar), 4, flags | (prefetchable ? PCI_BAR_MEM_PREFETCH : 0));
	model_pci_allow(f, PCI_BAR(bar), 4, (uint32_t)mask & PCI_BAR_MEM_ADDRESS, 0);
	if (is_64bit)
		model_pci_allow(f, PCI_BAR(bar + 1), 4, (uint32_t)(mask >> 32), 0);
}

unsigned model_pci_add_capability(struct model_pci *f, uint8_t id, unsigned len_bytes)
{
	unsigned offset = f->cap_end;

	model_pci_set(f, f->cap_last != 0 ? f->cap_last + PCI_CAP_NEXT : PCI_CAP_POINTER, 1, offset);
	model_pci_set(f, offset + PCI_CAP_ID, 1, id);
	model_pci_set(f, PCI_STATUS, 2, model_pci_get(f, PCI_STATUS, 2) | PCI_STATUS_CAPS);
	f->cap_last = offset;
	f->cap_end = ALIGN_UP(offset + len_bytes, 4u);
	return offset;
}

void model_pci_add_pm(struct model_pci *f)
{
	unsigned cap = model_pci_add_capability(f, PCI_CAP_ID_PM, PCI_PM_LEN);

	f->pm_cap = cap;
	model_pci_set(f, cap + PCI_PM_CAPS, 2, FIELD_PREP(PCI_PM_CAPS_VERSION, 3));
	model_pci_allow(f, cap + PCI_PM_CONTROL, 2, PCI_PM_CTL_STATE, 0);
}

void model_pci_keep_state(struct model_pci *f)
{
	model_pci_set(f, f->pm_cap + PCI_PM_CONTROL, 2, PCI_PM_CTL_NO_RESET);
}

void model_pci_add_express(struct model_pci *f, unsigned type)
{
	unsigned cap = model_pci_add_capability(f, PCI_CAP_ID_EXPRESS, PCIE_CAP_LEN_V2);
	uint32_t link = FIELD_PREP(PCIE_LNKSTA_SPEED, 4) | FIELD_PREP(PCIE_LNKSTA_WIDTH, 4);
	bool endpoint = type != PCIE_TYPE_ROOT_PORT;

	f->express_cap = cap;
	model_pci_set(f, cap + PCIE_FLAGS, 2, FIELD_PREP(PCIE_FLAGS_VERSION, 2) | FIELD_PREP(PCIE_FLAGS_TYPE, type));
	model_pci_set(f, cap + PCIE_DEVCAP, 4,
		      FIELD_PREP(PCIE_DEVCAP_PAYLOAD, 1) | PCIE_DEVCAP_ROLE_ERRORS | PCIE_DEVCAP_EXTTAG |
			      (endpoint ? PCIE_DEVCAP_FLR : 0));
	model_pci_set(f, cap + PCIE_DEVCTL, 2, FIELD_PREP(PCIE_DEVCTL_READ_REQ, 2));
	model_pci_allow(f, cap + PCIE_DEVCTL, 2,
			PCIE_DEVCTL_CORR | PCIE_DEVCTL_NONFATAL | PCIE_DEVCTL_FATAL | PCIE_DEVCTL_UNSUP |
				PCIE_DEVCTL_RELAXED | PCIE_DEVCTL_PAYLOAD | PCIE_DEVCTL_EXTTAG | PCIE_DEVCTL_NO_SNOOP |
				PCIE_DEVCTL_READ_REQ | (endpoint ? PCIE_DEVCTL_FLR : 0),
			0);
	model_pci_allow(f, cap + PCIE_DEVSTA, 2, 0,
			PCIE_DEVSTA_CORR | PCIE_DEVSTA_NONFATAL | PCIE_DEVSTA_FATAL | PCIE_DEVSTA_UNSUP);
	if (type == PCIE_TYPE_RC_ENDPOINT)
		return; /* it has no link */
	model_pci_set(f, cap + PCIE_LNKCAP, 4, FIELD_PREP(PCIE_LNKCAP_SPEED, 4) | FIELD_PREP(PCIE_LNKCAP_WIDTH, 4));
	model_pci_set(f, cap + PCIE_LNKSTA, 2, link);
	model_pci_allow(f, cap + PCIE_LNKCTL, 2,
			PCIE_LNKCTL_ASPM | PCIE_LNKCTL_COMMCLK | (endpoint ? 0 : PCIE_LNKCTL_DISABLE), 0);
	model_pci_set(f, cap + PCIE_LNKCAP2, 4, FIELD_PREP(PCIE_LNKCAP2_SPEEDS, 0xf));
	model_pci_set(f, cap + PCIE_LNKCTL2, 2, FIELD_PREP(PCIE_LNKCTL2_SPEED, 4));
	model_pci_allow(f, cap + PCIE_LNKCTL2, 2, PCIE_LNKCTL2_SPEED, 0);
}

void model_pci_add_serial(struct model_pci *f, uint64_t serial)
{
	unsigned cap = PCIE_EXT_FIRST;

	model_pci_set(f, cap, 4, PCIE_EXT_HEADER(PCIE_EXT_ID_DSN, 1, 0));
	model_pci_set(f, cap + PCIE_DSN_LO, 4, (uint32_t)serial);
	model_pci_set(f, cap + PCIE_DSN_HI, 4, (uint32_t)(serial >> 32));
}

void model_pci_ready(struct model_pci *f, bool present)
{
	bool alone = true;

	/* Functions of one slot say so, the first of them at least (PCIe §7.5.1.1.9). */
	list_for_each (node, &f->bus->functions) {
		struct model_pci *other = list_entry(node, struct model_pci, link);

		if (FIELD_GET(PCI_BDF_SLOT, other->devfn) == FIELD_GET(PCI_BDF_SLOT, f->devfn)) {
			other->config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
			other->initial[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
			alone = false;
		}
	}
	if (!alone)
		f->config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
	memcpy(f->initial, f->config, sizeof(f->initial));
	f->present = present;
	list_add_tail(&f->bus->functions, &f->link);
	if (f->bus->bridge != NULL)
		model_pci_port_presence(f->bus->bridge, present, false);
	model_pci_derive(f->bus->root);
}

void model_pci_fini(struct model_pci *f)
{
	struct model_pci_root *root = f->bus->root;

	list_del(&f->link);
	root->ops->free(root, f->msix_table);
	root->ops->free(root, f->msix_pending);
	f->msix_table = NULL;
	f->msix_pending = NULL;
}

/* ---- reset ---- */

/* Entered. */
static void function_reset(struct model_pci *f)
{
	memcpy(f->config, f->initial, sizeof(f->config));
	for (unsigned i = 0; i < f->msix_count; i++) {
		memset(&f->msix_table[i], 0, sizeof(f->msix_table[i]));
		f->msix_table[i].control = ob_cpu_to_le32(PCI_MSIX_ENTRY_MASKED);
		f->msix_pending[i] = 0;
	}
	f->intx = false;
	model_pci_intx_update(f);
	if (f->ops != NULL && f->ops->reset != NULL)
		f->ops->reset(f);
}

void model_pci_reset(struct model_pci *f)
{
	struct model_pci_root *root = f->bus->root;

	root->ops->enter(root, f);
	function_reset(f);
	root->ops->leave(root, f);
	if (f->is_bridge)
		model_pci_reset_bus(&f->secondary);
}

void model_pci_reset_bus(struct model_pci_bus *bus)
{
	list_for_each (node, &bus->functions)
		model_pci_reset(list_entry(node, struct model_pci, link));
}

void model_pci_plug(struct model_pci *f)
{
	model_pci_reset(f);
	f->present = true;
	if (f->bus->bridge != NULL)
		model_pci_port_presence(f->bus->bridge, true, true);
	model_pci_derive(f->bus->root);
}

void model_pci_unplug(struct model_pci *f)
{
	f->present = false;
	model_pci_derive(f->bus->root); /* nothing gets through any more; then its state may go */
	model_pci_reset(f);
	if (f->bus->bridge != NULL)
		model_pci_port_presence(f->bus->bridge, false, true);
}

/* ---- access ---- */

/* PM §5.4.1: there is D0 and D3hot; whoever comes back from there begins as after a reset, or goes on as he was. */
static bool power_changed(struct model_pci *f, unsigned was)
{
	unsigned now = model_pci_power_state(f);

	if (now == was)
		return false;
	if (now != 0 && now != MODEL_PCI_D3HOT) {
		uint32_t control = model_pci_get(f, f->pm_cap + PCI_PM_CONTROL, 2) & ~PCI_PM_CTL_STATE;

		/* A state that it does not have: the write is discarded (PM §3.2.4). */
		model_pci_set(f, f->pm_cap + PCI_PM_CONTROL, 2, control | FIELD_PREP(PCI_PM_CTL_STATE, was));
		return false;
	}
	if (now == MODEL_PCI_D3HOT && f->ops != NULL && f->ops->sleeps != NULL)
		f->ops->sleeps(f);
	return now == 0 && (model_pci_get(f, f->pm_cap + PCI_PM_CONTROL, 2) & PCI_PM_CTL_NO_RESET) == 0;
}

static void function_written(struct model_pci *f, unsigned power_was)
{
	unsigned devctl = f->express_cap + PCIE_DEVCTL;

	if (power_changed(f, power_was) ||
	    (f->express_cap != 0 && (model_pci_get(f, devctl, 2) & PCIE_DEVCTL_FLR) != 0)) {
		function_reset(f);
		return;
	}
	if (f->msix_cap != 0)
		model_pci_msix_written(f);
	model_pci_intx_update(f);
	if (f->ops != NULL && f->ops->changed != NULL)
		f->ops->changed(f);
}

static bool access_is_natural(unsigned offset, unsigned size_bytes)
{
	return (size_bytes == 1 || size_bytes == 2 || size_bytes == 4) && IS_ALIGNED(offset, size_bytes) &&
	       offset + size_bytes <= PCIE_CONFIG_LEN;
}

uint32_t model_pci_config_read(struct model_pci_root *root, uint16_t bdf, unsigned offset, unsigned size_bytes)
{
	struct model_pci *f = model_pci_find(root, bdf);
	uint32_t value = UINT32_MAX;

	if (f != NULL && access_is_natural(offset, size_bytes)) {
		root->ops->enter(root, f);
		value = model_pci_get(f, offset, size_bytes);
		root->ops->leave(root, f);
	}
	return size_bytes >= 4 ? value : value & ((1u << (8 * size_bytes)) - 1);
}

void model_pci_config_write(struct model_pci_root *root, uint16_t bdf, unsigned offset, unsigned size_bytes,
			    uint32_t value)
{
	struct model_pci *f = model_pci_find(root, bdf);
	unsigned power_was;

	if (f == NULL || !access_is_natural(offset, size_bytes))
		return;
	root->ops->enter(root, f);
	power_was = model_pci_power_state(f);
	for (unsigned i = offset; i < offset + size_bytes; i++, value >>= 8) {
		uint8_t byte = (uint8_t)value;
		uint8_t kept = f->config[i] & (uint8_t)~f->writable[i] & (uint8_t) ~(f->clears[i] & byte);

		f->config[i] = kept | (byte & f->writable[i]);
	}
	/* Bus mastering must be derived before the device is told, and the device be told before it is let go. */
	model_pci_derive(root);
	function_written(f, power_was);
	root->ops->leave(root, f);
	if (f->is_bridge)
		model_pci_port_written(f, offset, size_bytes);
	model_pci_derive(root);
}
