/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Enumeration: who is there, bus numbers, and what a rescan finds gone or new.
 *
 * Everything is found first, then all addresses are assigned, and only then core learns of the devices: a driver never
 * sees a bus half set up. Ids and header types are the device's word and bounded here.
 */
#include <errno.h>
#include <stdio.h>

#include "bus/pci/pci.h"
#include "core/machine_core.h"

#define RETRY_SLEEP_NS (10 * OB_NS_PER_MS)

static int scan_bus(struct pci_host *host, struct pci_function *bridge, unsigned bus, unsigned depth);

/* ---- hosts ---- */

static void host_release(struct ob_device *dev)
{
	ob_free(container_of(dev, struct pci_host, anchor));
}

static const struct bus_ops host_ops = {.name = "pci-host", .release = host_release};

static struct pci_host *host_find(struct ob_machine *machine, const struct machine_bus *bus)
{
	struct list *hosts = *machine_bus_data(machine, MACHINE_BUS_PCI);

	if (hosts == NULL)
		return NULL;
	list_for_each (node, hosts) {
		struct pci_host *host = list_entry(node, struct pci_host, link);

		if (host->bus == bus)
			return host;
	}
	return NULL;
}

static int host_create(struct ob_machine *machine, const struct machine_bus *bus, struct pci_host **out)
{
	void **slot = machine_bus_data(machine, MACHINE_BUS_PCI);
	struct list *hosts = *slot;
	struct pci_host *host = ob_alloc(sizeof(*host));
	char name[32];

	if (host == NULL)
		return -ENOMEM;
	if (hosts == NULL) {
		hosts = ob_alloc(sizeof(*hosts));
		if (hosts == NULL) {
			ob_free(host);
			return -ENOMEM;
		}
		list_init(hosts);
		*slot = hosts;
	}
	snprintf(name, sizeof(name), "pci%04x:%02x", bus->u.pci.segment, bus->u.pci.bus_first);
	device_init(&host->anchor, &host_ops, machine, NULL, name);
	host->ob = ob_machine_context(machine);
	host->bus = bus;
	host->desc = bus->u.pci;
	list_init(&host->functions);
	ob_lock_init(&host->lock, "pci-config");
	list_add_tail(hosts, &host->link);
	*out = host;
	return 0;
}

/* All devices are removed; functions that a program still holds keep the host's memory. */
void pci_forget(struct ob_machine *machine)
{
	void **slot = machine_bus_data(machine, MACHINE_BUS_PCI);
	struct list *hosts = *slot, *node;

	if (hosts == NULL)
		return;
	while ((node = list_pop(hosts)) != NULL) {
		struct pci_host *host = list_entry(node, struct pci_host, link);

		while (list_pop(&host->functions) != NULL)
			;
		ob_device_put(&host->anchor);
	}
	ob_free(hosts);
	*slot = NULL;
}

/* ---- one function ---- */

/* The first dword of a function, waited for while it asks for a retry; all ones: nobody. */
static uint32_t read_ids(struct pci_host *host, uint16_t bdf)
{
	uint64_t deadline = ob_deadline(PCIE_RESET_CRS_WAIT_NS);
	uint32_t ids = pci_host_read(host, bdf, PCI_VENDOR_ID, 4);

	while ((ids & 0xffff) == PCI_VENDOR_CRS) {
		if (ob_now_ns() >= deadline) {
			ob_warn(host->ob, "pci %s: %02x:%02x.%x asks for a retry for ever, left out", host->anchor.name,
				bdf >> 8, (bdf >> 3) & 31, bdf & 7);
			return 0xffffffffu;
		}
		ob_task_sleep(ob_now_ns() + RETRY_SLEEP_NS);
		ids = pci_host_read(host, bdf, PCI_VENDOR_ID, 4);
	}
	/* Empty slots of old host bridges read zero. No vendor has the id 0xffff: virtual functions show it (SR-IOV
	 * §3.4.1.1) and are reached through their physical one. */
	return ids == 0 || (ids & 0xffff) == PCI_VENDOR_NONE ? 0xffffffffu : ids;
}

static bool is_hidden(const struct pci_host *host, uint16_t bdf)
{
	for (unsigned i = 0; i < host->desc.hidden_count; i++) {
		if (host->desc.hidden[i] == bdf)
			return true;
	}
	return false;
}

static struct pci_function *find_function(struct pci_host *host, uint16_t bdf)
{
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (fn->bdf == bdf)
			return fn;
	}
	return NULL;
}

static void read_ids_and_class(struct pci_function *fn, uint32_t ids)
{
	uint32_t class_revision = pci_read32(fn, PCI_CLASS_REVISION);
	uint8_t type = pci_read8(fn, PCI_HEADER_TYPE);

	fn->info = (struct ob_pci_info){
		.segment = fn->host->desc.segment,
		.bus = (uint8_t)FIELD_GET(PCI_BDF_BUS, (unsigned)fn->bdf),
		.slot = (uint8_t)FIELD_GET(PCI_BDF_SLOT, (unsigned)fn->bdf),
		.function = (uint8_t)FIELD_GET(PCI_BDF_FUNCTION, (unsigned)fn->bdf),
		.vendor = (uint16_t)ids,
		.device = (uint16_t)(ids >> 16),
		.class_code = class_revision >> 8,
		.revision = (uint8_t)class_revision,
		.header_type = type & PCI_HEADER_TYPE_MASK,
		.multifunction = (type & PCI_HEADER_MULTI) != 0,
		.interrupt_pin = pci_read8(fn, PCI_INTERRUPT_PIN),
	};
	if (fn->info.interrupt_pin > 4) {
		ob_warn(fn->host->ob, "pci %s: interrupt pin %u does not exist, ignored", fn->dev.name,
			fn->info.interrupt_pin);
		fn->info.interrupt_pin = 0;
	}
}

static void read_subsystem(struct pci_function *fn)
{
	unsigned ssvid;

	if (!fn->is_bridge) {
		fn->info.subvendor = pci_read16(fn, PCI_SUBVENDOR);
		fn->info.subdevice = pci_read16(fn, PCI_SUBDEVICE);
		return;
	}
	ssvid = pci_capability_find(fn, PCI_CAP_ID_SSVID, 0);
	if (ssvid != 0 && ssvid + PCI_SSVID_LEN <= PCI_CONFIG_LEN) {
		fn->info.subvendor = pci_read16(fn, ssvid + PCI_SSVID_VENDOR);
		fn->info.subdevice = pci_read16(fn, ssvid + PCI_SSVID_DEVICE);
	}
}

/* Vectors whose table entry lies in the BAR that the device names. */
static void read_msix(struct pci_function *fn)
{
	uint32_t table, offset, index;
	unsigned entries;

	if (fn->msix == 0)
		return;
	entries = FIELD_GET(PCI_MSIX_CTL_TABLE_SIZE, (unsigned)pci_read16(fn, fn->msix + PCI_MSIX_CONTROL)) + 1;
	table = pci_read32(fn, fn->msix + PCI_MSIX_TABLE);
	index = FIELD_GET(PCI_MSIX_BIR, table);
	offset = table & PCI_MSIX_OFFSET;
	if (index >= PCI_BAR_COUNT_DEVICE || fn->bar[index].io || fn->bar[index].len_bytes <= offset) {
		ob_warn(fn->host->ob, "pci %s: MSI-X table at offset 0x%x of BAR %u, which has none, ignored",
			fn->dev.name, offset, index);
		fn->msix = 0;
		return;
	}
	fn->msix_entries = (unsigned)MIN(entries, (fn->bar[index].len_bytes - offset) / PCI_MSIX_ENTRY_LEN);
	if (fn->msix_entries < entries)
		ob_warn(fn->host->ob, "pci %s: MSI-X table of %u vectors leaves its BAR, using %u", fn->dev.name,
			entries, fn->msix_entries);
	if (fn->msix_max != 0)
		fn->msix_entries = MIN(fn->msix_entries, fn->msix_max);
	if (fn->msix_entries == 0)
		fn->msix = 0;
	fn->info.msix_vectors = (uint16_t)fn->msix_entries;
}

/* Host bridges and the way to ISA keep what they have: the machine depends on them. */
static bool must_not_be_touched(const struct pci_function *fn)
{
	uint32_t base_sub = fn->info.class_code >> 8;

	return base_sub == PCI_CLASS_HOST >> 8 || base_sub == PCI_CLASS_ISA >> 8;
}

static int function_create(struct pci_host *host, struct pci_function *bridge, uint16_t bdf, uint32_t ids,
			   struct pci_function **out)
{
	struct pci_function *fn = ob_alloc(sizeof(*fn));
	char name[32];

	if (fn == NULL)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", host->desc.segment, bdf >> 8, (bdf >> 3) & 31, bdf & 7);
	device_init(&fn->dev, &pci_bus_ops, ob_device_machine(&host->anchor), bridge != NULL ? &bridge->dev : NULL,
		    name);
	ob_device_get(&host->anchor);
	list_init(&fn->link);
	fn->host = host;
	fn->bridge = bridge;
	fn->bdf = bdf;
	fn->config_len = pci_host_config_len(host);
	read_ids_and_class(fn, ids);
	if (fn->info.header_type != PCI_HEADER_DEVICE && fn->info.header_type != PCI_HEADER_BRIDGE) {
		ob_warn(host->ob, "pci %s: [%04x:%04x] has header type 0x%02x, left out", name, fn->info.vendor,
			fn->info.device, fn->info.header_type);
		ob_device_put(&fn->dev);
		return -ENODEV;
	}
	fn->is_bridge = fn->info.header_type == PCI_HEADER_BRIDGE;
	fn->untouchable = must_not_be_touched(fn);
	pci_capabilities_read(fn);
	read_subsystem(fn);
	pci_quirks_apply(fn);
	fn->command = pci_read16(fn, PCI_COMMAND);
	/* Quiet until a driver wants it: what ran before us may have left it decoding and doing DMA. */
	if (!host->desc.assigned && !fn->untouchable)
		pci_command_update(fn, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	pci_bars_read(fn);
	read_msix(fn);
	if (fn->is_bridge) {
		pci_bridge_read(fn);
		if (!host->desc.assigned)
			pci_bridge_set_buses(fn, 0, 0, 0);
	}
	list_add_tail(&host->functions, &fn->link);
	*out = fn;
	return 0;
}

/* ---- buses ---- */

/* The greatest bus number below @bridge, its own range included. */
static unsigned bus_limit(const struct pci_host *host, const struct pci_function *bridge)
{
	return bridge != NULL ? bridge->info.subordinate_bus : host->desc.bus_last;
}

/* The first bus number of @bridge's parent that nobody has, or 0. */
static unsigned bus_take(struct pci_host *host, const struct pci_function *bridge)
{
	unsigned first = bridge->bridge != NULL ? bridge->bridge->info.secondary_bus + 1u : host->desc.bus_first + 1u;
	unsigned limit = bus_limit(host, bridge->bridge);

	for (unsigned bus = first; bus <= limit; bus++) {
		bool taken = false;

		list_for_each (node, &host->functions) {
			const struct pci_function *fn = list_entry(node, struct pci_function, link);

			/* A bridge that is being scanned holds all that is left, but has given no more than its bridges
			 * have. */
			if (fn == bridge || !fn->is_bridge || fn->info.secondary_bus == 0 || fn->numbering)
				continue;
			if (bus >= fn->info.secondary_bus && bus <= fn->info.subordinate_bus)
				taken = true;
		}
		if (!taken)
			return bus;
	}
	return 0;
}

/* Give the new bridge its numbers and look behind it. */
static int scan_new_bridge(struct pci_host *host, struct pci_function *fn, unsigned depth)
{
	unsigned secondary, used;
	int rc;

	secondary = bus_take(host, fn);
	if (secondary == 0) {
		ob_warn(host->ob, "pci %s: no bus number left for what is behind it", fn->dev.name);
		pci_bridge_set_buses(fn, 0, 0, 0);
		return 0;
	}
	/* While looking, everything up to the limit goes this way. */
	pci_bridge_set_buses(fn, fn->info.bus, secondary, bus_limit(host, fn->bridge));
	fn->numbering = true;
	rc = scan_bus(host, fn, secondary, depth + 1);
	fn->numbering = false;
	used = secondary;
	list_for_each (node, &host->functions) {
		const struct pci_function *below = list_entry(node, struct pci_function, link);

		if (below->bridge == fn && below->is_bridge)
			used = MAX(used, below->info.subordinate_bus);
	}
	pci_bridge_set_buses(fn, fn->info.bus, secondary, used);
	return rc;
}

static int scan_bridge(struct pci_host *host, struct pci_function *fn, unsigned depth)
{
	bool is_new = list_empty(&fn->dev.link);

	if (depth >= PCI_BRIDGE_MAX) {
		ob_warn(host->ob, "pci %s: more than %u bridges in a row, not followed", fn->dev.name, PCI_BRIDGE_MAX);
		return 0;
	}
	if (is_new && !host->desc.assigned)
		return scan_new_bridge(host, fn, depth);
	/* Numbers that do not grow downwards would lead in a circle. */
	if (fn->info.secondary_bus <= fn->info.bus || fn->info.subordinate_bus < fn->info.secondary_bus ||
	    fn->info.subordinate_bus > bus_limit(host, fn->bridge)) {
		if (fn->info.secondary_bus != 0)
			ob_warn(host->ob,
				"pci %s: secondary bus %02x to %02x does not fit below bus %02x, not followed",
				fn->dev.name, fn->info.secondary_bus, fn->info.subordinate_bus, fn->info.bus);
		return 0;
	}
	return scan_bus(host, fn, fn->info.secondary_bus, depth + 1);
}

/* One function. @multi: there may be others in the slot. */
static int scan_function(struct pci_host *host, struct pci_function *bridge, uint16_t bdf, bool *multi)
{
	struct pci_function *fn;
	uint32_t ids;
	int rc;

	if (is_hidden(host, bdf)) {
		*multi = true;
		return 0;
	}
	ids = read_ids(host, bdf);
	if (ids == 0xffffffffu)
		return 0;
	fn = find_function(host, bdf);
	if (fn == NULL) {
		rc = function_create(host, bridge, bdf, ids, &fn);
		if (rc == -ENODEV)
			return 0;
		if (rc != 0)
			return rc;
	}
	*multi = fn->info.multifunction;
	return 0;
}

/* How many slots the bus below @bridge has: a link leads to one device (PCIe §7.3.1), other buses have 32. */
static unsigned slots_behind(const struct pci_function *bridge)
{
	unsigned type;

	if (bridge == NULL || bridge->express == 0)
		return PCI_SLOTS_PER_BUS;
	type = pci_express_type(bridge);
	return type == PCIE_TYPE_ROOT_PORT || type == PCIE_TYPE_DOWNSTREAM ? 1 : PCI_SLOTS_PER_BUS;
}

static int scan_bus(struct pci_host *host, struct pci_function *bridge, unsigned bus, unsigned depth)
{
	unsigned slots = slots_behind(bridge);
	int rc;

	for (unsigned slot = 0; slot < slots; slot++) {
		bool multi = false;

		for (unsigned function = 0; function < PCI_FUNCTIONS_PER_SLOT; function++) {
			rc = scan_function(host, bridge, PCI_BDF(bus, slot, function), &multi);
			if (rc != 0)
				return rc;
			/* Function 0 is always there when any is, and says whether there are more (PCI §6.2.1). */
			if (function == 0 && !multi)
				break;
		}
	}
	/* Only now behind the bridges: until each was found and closed, two might answer for one bus number. */
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (fn->bridge != bridge || !fn->is_bridge)
			continue;
		rc = scan_bridge(host, fn, depth);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- a whole scan ---- */

/* Is what we know at this address still there, and the same? */
static bool still_there(struct pci_function *fn)
{
	uint32_t ids = pci_read32(fn, PCI_VENDOR_ID);

	if (device_is_gone(&fn->dev) || (ids & 0xffff) != fn->info.vendor || ids >> 16 != fn->info.device ||
	    (fn->bridge != NULL && fn->bridge->lost))
		return false;
	if (pci_is_intact(fn))
		return true;
	ob_warn(fn->host->ob, "pci %s: has lost its configuration: it was without power, or is another one",
		fn->dev.name);
	return false;
}

/* Take out what is gone, what is behind a bridge before the bridge. */
static void remove_lost(struct pci_host *host)
{
	struct list *node, *prev;

	list_for_each (forward, &host->functions) {
		struct pci_function *fn = list_entry(forward, struct pci_function, link);

		fn->lost = !still_there(fn);
	}
	for (node = host->functions.prev; node != &host->functions; node = prev) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		prev = node->prev;
		if (!fn->lost)
			continue;
		ob_info(host->ob, "pci %s: [%04x:%04x] is gone", fn->dev.name, fn->info.vendor, fn->info.device);
		list_del(&fn->link);
		device_set_gone(&fn->dev);
		if (list_empty(&fn->dev.link))
			ob_device_put(&fn->dev);
		else
			device_remove(&fn->dev);
	}
}

static void write_addresses(struct pci_host *host)
{
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (!list_empty(&fn->dev.link))
			continue; /* known from before: it keeps what it has */
		if (!host->desc.assigned) {
			pci_bars_write(fn);
			if (fn->is_bridge)
				pci_bridge_write(fn);
		}
		pci_bars_publish(fn);
	}
}

/* Drop what was found but never given to core. */
static void drop_new(struct pci_host *host)
{
	struct list *node, *prev;

	for (node = host->functions.prev; node != &host->functions; node = prev) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		prev = node->prev;
		if (list_empty(&fn->dev.link)) {
			list_del(&fn->link);
			ob_device_put(&fn->dev);
		}
	}
}

int pci_scan(struct ob_machine *machine, const struct machine_bus *bus)
{
	struct pci_host *host = host_find(machine, bus);
	int rc;

	if (host == NULL) {
		rc = host_create(machine, bus, &host);
		if (rc != 0)
			return rc;
	}
	if (OB_READ_ONCE(device_machine(&host->anchor)->dead))
		return -ENODEV;
	remove_lost(host);
	rc = scan_bus(host, NULL, host->desc.bus_first, 0);
	if (rc != 0)
		goto drop;
	if (!host->desc.assigned)
		pci_assign(host);
	write_addresses(host);
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (!list_empty(&fn->dev.link))
			continue;
		rc = device_add(&fn->dev);
		if (rc != 0)
			goto drop;
		ob_debug(host->ob, "pci %s: [%04x:%04x] class %06x", fn->dev.name, fn->info.vendor, fn->info.device,
			 fn->info.class_code);
	}
	return 0;

drop:
	drop_new(host);
	return rc;
}
