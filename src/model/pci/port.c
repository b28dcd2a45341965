/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI Express root port: a type-1 header that forwards by bus number and memory windows, and a hot plug slot (PCIe
 * §6.7) with presence detection, power control and attention button.
 */
#include "model/pci/pci_model.h"

/* Red Hat's generic PCIe root port: what drivers and users know from other virtual machines. */
#define PORT_VENDOR 0x1b36u
#define PORT_DEVICE 0x000cu

#define SLOT_EVENTS                                                                                             \
	(PCIE_SLTSTA_ATTN_BUTTON | PCIE_SLTSTA_POWER_FAULT | PCIE_SLTSTA_MRL_CHANGE | PCIE_SLTSTA_PRES_CHANGE | \
	 PCIE_SLTSTA_CC | PCIE_SLTSTA_LINK_CHANGE)

static void port_add_slot(struct model_pci *f, uint16_t slot_number)
{
	unsigned cap = f->express_cap;

	f->slot_number = slot_number;
	model_pci_set(f, cap + PCIE_FLAGS, 2, model_pci_get(f, cap + PCIE_FLAGS, 2) | PCIE_FLAGS_SLOT);
	model_pci_set(f, cap + PCIE_LNKCAP, 4,
		      model_pci_get(f, cap + PCIE_LNKCAP, 4) | PCIE_LNKCAP_DL_ACTIVE | PCIE_LNKCAP_SURPRISE);
	model_pci_set(f, cap + PCIE_SLTCAP, 4,
		      PCIE_SLTCAP_ATTN_BUTTON | PCIE_SLTCAP_POWER_CTRL | PCIE_SLTCAP_ATTN_LED | PCIE_SLTCAP_POWER_LED |
			      PCIE_SLTCAP_SURPRISE | PCIE_SLTCAP_HOTPLUG | PCIE_SLTCAP_NO_CC |
			      FIELD_PREP(PCIE_SLTCAP_SLOT, (uint32_t)slot_number));
	model_pci_set(f, cap + PCIE_SLTCTL, 2,
		      FIELD_PREP(PCIE_SLTCTL_ATTN_LED, PCIE_LED_OFF) | FIELD_PREP(PCIE_SLTCTL_POWER_LED, PCIE_LED_OFF));
	model_pci_allow(f, cap + PCIE_SLTCTL, 2,
			PCIE_SLTCTL_ATTN_BUTTON | PCIE_SLTCTL_POWER_FAULT | PCIE_SLTCTL_MRL | PCIE_SLTCTL_PRESENCE |
				PCIE_SLTCTL_CC_INT | PCIE_SLTCTL_HP_INT | PCIE_SLTCTL_ATTN_LED | PCIE_SLTCTL_POWER_LED |
				PCIE_SLTCTL_POWER_OFF | PCIE_SLTCTL_LINK_CHANGE,
			0);
	model_pci_allow(f, cap + PCIE_SLTSTA, 2, 0, SLOT_EVENTS);
}

void model_pci_port_init(struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn, uint16_t slot_number)
{
	static const struct model_pci_id id = {
		.vendor = PORT_VENDOR,
		.device = PORT_DEVICE,
		.class_code = PCI_CLASS_PCI_BRIDGE,
		.pin = 1,
	};

	model_pci_init(f, bus, devfn, &id, NULL);
	f->is_bridge = true;
	f->secondary.root = bus->root;
	f->secondary.bridge = f;
	list_init(&f->secondary.functions);
	model_pci_set(f, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
	model_pci_allow(f, PCI_BRIDGE_PRIMARY, 4, 0x00ffffff, 0);
	model_pci_allow(f, PCI_BRIDGE_SECONDARY_STATUS, 2, 0, 0xf900);
	/* No I/O window: base and limit are fixed to zero (BR §3.2.5.6). */
	model_pci_allow(f, PCI_BRIDGE_MEMORY_BASE, 4,
			PCI_BRIDGE_MEMORY_ADDRESS | (uint32_t)PCI_BRIDGE_MEMORY_ADDRESS << 16, 0);
	model_pci_set(f, PCI_BRIDGE_PREFETCH_BASE, 4, PCI_BRIDGE_PREFETCH_64 | PCI_BRIDGE_PREFETCH_64 << 16);
	model_pci_allow(f, PCI_BRIDGE_PREFETCH_BASE, 4,
			PCI_BRIDGE_MEMORY_ADDRESS | (uint32_t)PCI_BRIDGE_MEMORY_ADDRESS << 16, 0);
	model_pci_allow(f, PCI_BRIDGE_PREFETCH_BASE_HI, 4, UINT32_MAX, 0);
	model_pci_allow(f, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4, UINT32_MAX, 0);
	model_pci_allow(f, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_RESET,
			0);
	model_pci_add_pm(f);
	model_pci_keep_state(f);
	model_pci_add_express(f, PCIE_TYPE_ROOT_PORT);
	if (slot_number != 0)
		port_add_slot(f, slot_number);
}

bool model_pci_port_leads_to(const struct model_pci *port, unsigned bus)
{
	unsigned secondary = model_pci_get(port, PCI_BRIDGE_SECONDARY, 1);

	return secondary != 0 && bus >= secondary && bus <= model_pci_get(port, PCI_BRIDGE_SUBORDINATE, 1);
}

bool model_pci_port_forwards(const struct model_pci *port, uint64_t address, uint64_t len_bytes)
{
	uint64_t unit = PCI_BRIDGE_MEMORY_UNIT, last = address + len_bytes - 1;
	uint64_t base = (uint64_t)(model_pci_get(port, PCI_BRIDGE_MEMORY_BASE, 2) & PCI_BRIDGE_MEMORY_ADDRESS) << 16;
	uint64_t limit = (uint64_t)(model_pci_get(port, PCI_BRIDGE_MEMORY_LIMIT, 2) & PCI_BRIDGE_MEMORY_ADDRESS) << 16;

	if ((model_pci_get(port, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) == 0)
		return false;
	if (base <= limit && address >= base && last < limit + unit)
		return true;
	base = (uint64_t)(model_pci_get(port, PCI_BRIDGE_PREFETCH_BASE, 2) & PCI_BRIDGE_MEMORY_ADDRESS) << 16 |
	       (uint64_t)model_pci_get(port, PCI_BRIDGE_PREFETCH_BASE_HI, 4) << 32;
	limit = (uint64_t)(model_pci_get(port, PCI_BRIDGE_PREFETCH_LIMIT, 2) & PCI_BRIDGE_MEMORY_ADDRESS) << 16 |
		(uint64_t)model_pci_get(port, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4) << 32;
	return base <= limit && address >= base && last < limit + unit;
}

/* ---- the slot ---- */

/* The pin is up while an enabled event is in the status (PCIe §6.7.3.4). */
static void slot_interrupt(struct model_pci *port)
{
	uint32_t control = model_pci_get(port, port->express_cap + PCIE_SLTCTL, 2);
	uint32_t status = model_pci_get(port, port->express_cap + PCIE_SLTSTA, 2);
	uint32_t enabled = control & (PCIE_SLTCTL_ATTN_BUTTON | PCIE_SLTCTL_POWER_FAULT | PCIE_SLTCTL_MRL |
				      PCIE_SLTCTL_PRESENCE | PCIE_SLTCTL_CC_INT);

	/* Control and status have the same bit for the same event up to command completed; link change is apart. */
	if ((control & PCIE_SLTCTL_LINK_CHANGE) != 0)
		enabled |= PCIE_SLTSTA_LINK_CHANGE;
	model_pci_intx_set(port, (control & PCIE_SLTCTL_HP_INT) != 0 && (status & enabled) != 0);
}

void model_pci_port_presence(struct model_pci *port, bool present, bool changed)
{
	struct model_pci_root *root = port->bus->root;
	unsigned cap = port->express_cap;
	uint32_t link, slot, initial;

	root->ops->enter(root, port);
	link = model_pci_get(port, cap + PCIE_LNKSTA, 2) & ~PCIE_LNKSTA_DL_ACTIVE;
	slot = model_pci_get(port, cap + PCIE_SLTSTA, 2);
	initial = slot & ~(SLOT_EVENTS | PCIE_SLTSTA_PRESENT);
	if (port->slot_number != 0) {
		if (changed)
			slot |= PCIE_SLTSTA_PRES_CHANGE | PCIE_SLTSTA_LINK_CHANGE;
		slot = (slot & ~PCIE_SLTSTA_PRESENT) | (present ? PCIE_SLTSTA_PRESENT : 0);
		model_pci_set(port, cap + PCIE_SLTSTA, 2, slot);
		model_pci_set(port, cap + PCIE_LNKSTA, 2, link | (present ? PCIE_LNKSTA_DL_ACTIVE : 0));
		/* Presence outlives a reset of the port. */
		initial |= present ? PCIE_SLTSTA_PRESENT : 0;
		port->initial[cap + PCIE_SLTSTA] = (uint8_t)initial;
		slot_interrupt(port);
	}
	root->ops->leave(root, port);
}

static void port_power(struct model_pci *port, bool on)
{
	list_for_each (node, &port->secondary.functions) {
		struct model_pci *f = list_entry(node, struct model_pci, link);

		if (f->present == on)
			continue;
		f->present = on;
		model_pci_derive(port->bus->root);
		model_pci_reset(f);
	}
}

void model_pci_port_written(struct model_pci *port, unsigned offset, unsigned size_bytes)
{
	unsigned end = offset + size_bytes, sltctl = port->express_cap + PCIE_SLTCTL;
	uint32_t status, control;

	if (offset <= PCI_BRIDGE_CONTROL && end > PCI_BRIDGE_CONTROL &&
	    (model_pci_get(port, PCI_BRIDGE_CONTROL, 2) & PCI_BRIDGE_CTL_RESET) != 0)
		model_pci_reset_bus(&port->secondary);
	if (port->slot_number == 0 || offset >= sltctl + 4 || end <= sltctl)
		return;
	status = model_pci_get(port, port->express_cap + PCIE_SLTSTA, 2);
	control = model_pci_get(port, sltctl, 2);
	if ((status & PCIE_SLTSTA_PRESENT) != 0)
		port_power(port, (control & PCIE_SLTCTL_POWER_OFF) == 0);
	slot_interrupt(port);
}
