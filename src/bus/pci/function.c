/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI function as core and programs see it: the bus's operations and include/outboard/pci.h. */
#include <errno.h>

#include "bus/pci/pci.h"
#include "core/machine_core.h"
#include "core/watch.h"

/* How exact a row is: subsystem ids above ids above class; among classes, more bits above fewer. */
enum {
	MATCH_CLASS = 1, /* plus the bits of the mask, 24 at most */
	MATCH_ID = 100,
	MATCH_SUBVENDOR = 200,
	MATCH_SUBSYSTEM = 300,
};

static bool fits(uint32_t want, uint32_t is)
{
	return want == OB_ANY || want == is;
}

static unsigned pci_match(struct ob_device *dev, const struct ob_match *match)
{
	const struct ob_pci_info *info = &pci_function_of(dev)->info;

	switch (match->kind) {
	case OB_MATCH_PCI_ID:
		if (!fits(match->vendor, info->vendor) || !fits(match->device, info->device) ||
		    !fits(match->subvendor, info->subvendor) || !fits(match->subdevice, info->subdevice))
			return 0;
		if (match->subdevice != OB_ANY)
			return MATCH_SUBSYSTEM;
		if (match->subvendor != OB_ANY)
			return MATCH_SUBVENDOR;
		return match->device != OB_ANY ? MATCH_ID + 1 : MATCH_ID;
	case OB_MATCH_PCI_CLASS:
		if ((info->class_code & match->class_mask) != (match->class_code & match->class_mask))
			return 0;
		return MATCH_CLASS + (unsigned)__builtin_popcount(match->class_mask & 0xffffffu);
	default:
		return 0;
	}
}

/* ---- enabling ---- */

/* Decoding that the function's BARs need and can have; false: memory it needs has no address. */
static bool decoding(const struct pci_function *fn, uint16_t *bits)
{
	bool io_missing = false;

	*bits = 0;
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		const struct pci_range *bar = &fn->bar[i];

		if (bar->len_bytes == 0)
			continue;
		if (!bar->placed && !bar->io)
			return false;
		io_missing |= !bar->placed;
		*bits |= bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	/* A BAR without an address would decode at 0. Ports are a second way in: a function lives without them. */
	if (io_missing)
		*bits &= (uint16_t)~PCI_COMMAND_IO;
	return true;
}

static int pci_enable(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	uint16_t bits;
	int rc;

	if (fn->is_bridge || fn->untouchable)
		return 0;
	if (!decoding(fn, &bits)) {
		ob_err(fn->host->ob, "pci %s: a memory BAR has no address, it cannot be used", dev->name);
		return -ENOSPC;
	}
	rc = pci_power_on(fn);
	if (rc != 0)
		return rc;
	pci_command_update(fn, 0, bits);
	return 0;
}

static void pci_disable(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	struct machine *m = device_machine(dev);

	for (unsigned i = 0; i < ARRAY_SIZE(fn->region); i++) {
		if (fn->region[i].len_bytes != 0 && m->ops->region_close != NULL)
			m->ops->region_close(m, &fn->region[i]);
		fn->region[i] = (struct ob_region){0};
	}
	/* A bridge goes on forwarding for what is behind it. */
	if (!fn->is_bridge && !fn->untouchable)
		pci_command_update(fn, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
}

static int pci_region(struct ob_device *dev, unsigned index, struct ob_region *out)
{
	struct pci_function *fn = pci_function_of(dev);
	const struct pci_range *bar;
	struct machine *m = device_machine(dev);
	int rc;

	if (index >= PCI_BAR_COUNT_DEVICE)
		return -ENXIO;
	bar = &fn->bar[index];
	if (bar->len_bytes == 0 || !bar->placed)
		return -ENXIO;
	if (fn->region[index].len_bytes == 0) {
		rc = m->ops->region_open(m, dev, bar->io ? MACHINE_SPACE_PORT : MACHINE_SPACE_MEMORY, bar->base,
					 bar->len_bytes, &fn->region[index]);
		if (rc != 0) {
			fn->region[index] = (struct ob_region){0};
			return rc;
		}
	}
	*out = fn->region[index];
	return 0;
}

static int pci_enable_dma(struct ob_device *dev, bool enable)
{
	struct pci_function *fn = pci_function_of(dev);

	if (enable && pci_read16(fn, PCI_VENDOR_ID) == PCI_VENDOR_NONE)
		return -ENODEV;
	if (!fn->is_bridge)
		pci_command_update(fn, enable ? 0 : PCI_COMMAND_MASTER, enable ? PCI_COMMAND_MASTER : 0);
	return 0;
}

static bool holds(const struct pci_function *fn, unsigned offset, uint32_t base, uint32_t flags)
{
	uint32_t value = pci_read32(fn, offset);

	return value == UINT32_MAX || (value & ~flags) == base;
}

/* Its first memory BAR lies where the bus put it; all ones say nothing of what it holds. */
static bool holds_bar(const struct pci_function *fn)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		const struct pci_range *bar = &fn->bar[i];

		if (bar->len_bytes != 0 && bar->placed && !bar->io)
			return holds(fn, PCI_BAR(i), (uint32_t)bar->base, ~PCI_BAR_MEM_ADDRESS) &&
			       (!bar->is_64bit || holds(fn, PCI_BAR(i) + 4, (uint32_t)(bar->base >> 32), 0));
	}
	return true;
}

bool pci_is_intact(const struct pci_function *fn)
{
	uint32_t before = __atomic_load_n(&fn->reconfigured, __ATOMIC_SEQ_CST);
	uint32_t decode = __atomic_load_n(&fn->command, __ATOMIC_SEQ_CST) & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO);

	/* What decodes nothing has nothing to lose. */
	if (fn->is_bridge || fn->untouchable || decode == 0 || (before & 1) != 0)
		return true;
	/* Not the command register alone: masking the pin writes all of it, also after a power cut. */
	return ((pci_read16(fn, PCI_COMMAND) & decode) == decode && holds_bar(fn)) ||
	       __atomic_load_n(&fn->reconfigured, __ATOMIC_SEQ_CST) != before;
}

/* The one that was bound, with what it held: after a power cut there is a new one in its place. */
static bool pci_is_present(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);

	return pci_read16(fn, PCI_VENDOR_ID) == fn->info.vendor && pci_is_intact(fn);
}

static void pci_release(struct ob_device *dev)
{
	struct pci_function *fn = pci_function_of(dev);
	struct pci_host *host = fn->host;

	list_del(&fn->link);
	ob_free(fn);
	ob_device_put(&host->anchor);
}

const struct bus_ops pci_bus_ops = {
	.name = "pci",
	.match = pci_match,
	.enable = pci_enable,
	.disable = pci_disable,
	.region = pci_region,
	.enable_dma = pci_enable_dma,
	.reset = pci_reset,
	.suspend = pci_suspend,
	.resume = pci_resume,
	.is_present = pci_is_present,
	.irq_alloc = pci_irq_alloc,
	.irq_release = pci_irq_release,
	.irq_mask = pci_irq_mask,
	.irq_level = pci_irq_level,
	.release = pci_release,
};

const struct bus_type pci_bus_type = {.kind = MACHINE_BUS_PCI, .scan = pci_scan, .forget = pci_forget};

/* ---- what programs and drivers may ask ---- */

int ob_pci_info(const struct ob_device *dev, struct ob_pci_info *out)
{
	const struct pci_function *fn = pci_function_of(dev);

	if (fn == NULL)
		return -EINVAL;
	*out = fn->info;
	return 0;
}

uint32_t ob_pci_read(struct ob_device *dev, unsigned offset, unsigned size_bytes)
{
	struct pci_function *fn = pci_function_of(dev);

	watch_config(dev, offset);
	if (fn == NULL || device_is_gone(dev))
		return size_bytes == 1 ? 0xff : size_bytes == 2 ? 0xffff : 0xffffffffu;
	return pci_read(fn, offset, size_bytes);
}

void ob_pci_write(struct ob_device *dev, unsigned offset, unsigned size_bytes, uint32_t value)
{
	struct pci_function *fn = pci_function_of(dev);

	watch_config(dev, offset);
	if (fn == NULL || device_is_gone(dev))
		return;
	if (offset == PCI_COMMAND || offset == PCI_COMMAND + 1) {
		unsigned shift = 8 * (offset - PCI_COMMAND);
		uint32_t mask = (size_bytes == 1 ? 0xffu : 0xffffu) << shift, bits = value << shift;

		pci_command_update(fn, (uint16_t)(mask & ~bits), (uint16_t)(mask & bits));
		if (size_bytes < 4)
			return;
	}
	pci_write(fn, offset, size_bytes, value);
}

unsigned ob_pci_find_capability(struct ob_device *dev, uint8_t id, unsigned previous)
{
	struct pci_function *fn = pci_function_of(dev);

	return fn != NULL ? pci_capability_find(fn, id, previous) : 0;
}

unsigned ob_pci_find_extended_capability(struct ob_device *dev, uint16_t id, unsigned previous)
{
	struct pci_function *fn = pci_function_of(dev);

	return fn != NULL ? pci_extended_find(fn, id, previous) : 0;
}
