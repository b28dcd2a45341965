/* SPDX-License-Identifier: BSD-2-Clause */
/* The root complex of a modelled machine: which function answers, and what gets through to it from above and below. */
#include "model/pci/pci_model.h"

void model_pci_root_init(struct model_pci_root *root, const struct model_pci_root_ops *ops)
{
	root->ops = ops;
	root->bus.root = root;
	root->bus.bridge = NULL;
	list_init(&root->bus.functions);
}

static struct model_pci *bus_find(struct model_pci_bus *bus, unsigned number, uint16_t bdf)
{
	list_for_each (node, &bus->functions) {
		struct model_pci *f = list_entry(node, struct model_pci, link);

		if (!f->present)
			continue;
		if (number == FIELD_GET(PCI_BDF_BUS, bdf)) {
			if (f->devfn == (bdf & 0xff))
				return f;
		} else if (f->is_bridge && model_pci_port_leads_to(f, FIELD_GET(PCI_BDF_BUS, bdf))) {
			return bus_find(&f->secondary, model_pci_get(f, PCI_BRIDGE_SECONDARY, 1), bdf);
		}
	}
	return NULL;
}

struct model_pci *model_pci_find(struct model_pci_root *root, uint16_t bdf)
{
	return bus_find(&root->bus, 0, bdf);
}

static uint64_t bar_address(const struct model_pci *f, unsigned bar)
{
	uint64_t address = model_pci_get(f, PCI_BAR(bar), 4) & PCI_BAR_MEM_ADDRESS;

	if (f->bar[bar].is_64bit)
		address |= (uint64_t)model_pci_get(f, PCI_BAR(bar + 1), 4) << 32;
	return address;
}

/* Do all bridges between the root and @f forward the range down? */
static bool path_forwards(const struct model_pci *f, uint64_t address, uint64_t len_bytes)
{
	for (const struct model_pci *b = f->bus->bridge; b != NULL; b = b->bus->bridge)
		if (!model_pci_port_forwards(b, address, len_bytes))
			return false;
	return true;
}

unsigned model_pci_power_state(const struct model_pci *f)
{
	return f->pm_cap == 0 ? 0 : FIELD_GET(PCI_PM_CTL_STATE, model_pci_get(f, f->pm_cap + PCI_PM_CONTROL, 2));
}

static void derive_function(struct model_pci *f, bool path_master, bool path_present)
{
	uint32_t command = model_pci_get(f, PCI_COMMAND, 2);
	bool on = path_present && f->present && model_pci_power_state(f) == 0;

	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		uint64_t address = bar_address(f, i);
		uint64_t live = MODEL_PCI_DEAD;

		if (on && f->bar[i].len_bytes != 0 && (command & PCI_COMMAND_MEMORY) != 0 && address != 0 &&
		    path_forwards(f, address, f->bar[i].len_bytes))
			live = address;
		OB_WRITE_ONCE(f->live[i], live);
	}
	OB_WRITE_ONCE(f->master, on && path_master && (command & PCI_COMMAND_MASTER) != 0);
	if (!f->is_bridge)
		return;
	list_for_each (node, &f->secondary.functions)
		derive_function(list_entry(node, struct model_pci, link), f->master, on);
}

void model_pci_derive(struct model_pci_root *root)
{
	list_for_each (node, &root->bus.functions)
		derive_function(list_entry(node, struct model_pci, link), true, true);
}

static struct model_pci *bus_decode(struct model_pci_bus *bus, uint64_t address, unsigned *bar, uint64_t *offset)
{
	list_for_each (node, &bus->functions) {
		struct model_pci *f = list_entry(node, struct model_pci, link);

		for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
			if (f->live[i] == MODEL_PCI_DEAD || address - f->live[i] >= f->bar[i].len_bytes)
				continue;
			*bar = i;
			*offset = address - f->live[i];
			return f;
		}
		if (f->is_bridge) {
			struct model_pci *below = bus_decode(&f->secondary, address, bar, offset);

			if (below != NULL)
				return below;
		}
	}
	return NULL;
}

struct model_pci *model_pci_decode(struct model_pci_root *root, uint64_t address, unsigned *bar, uint64_t *offset)
{
	return bus_decode(&root->bus, address, bar, offset);
}
