/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of pci_check.h. They know the registers, not the code that wrote them. */
#include "tests/pci_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "spec/pci.h"

#define ITEMS_MAX 1024

struct item {
	struct ob_device *dev; /* not held: the machine does */
	const char *what;
	uint64_t first, last;
	bool io, is_window;
};

static struct item items[ITEMS_MAX];
static unsigned item_count;

static void add(struct ob_device *dev, const char *what, uint64_t base, uint64_t last, bool io, bool is_window)
{
	assert_true(item_count < ITEMS_MAX);
	items[item_count++] = (struct item){dev, what, base, last, io, is_window};
}

static void add_windows(struct ob_device *dev)
{
	uint32_t io = ob_pci_read(dev, PCI_BRIDGE_IO_BASE, 2), memory = ob_pci_read(dev, PCI_BRIDGE_MEMORY_BASE, 4);
	uint32_t prefetch = ob_pci_read(dev, PCI_BRIDGE_PREFETCH_BASE, 4);
	uint64_t base = (uint64_t)(io & 0xf0) << 8, last = (uint64_t)(io >> 8 & 0xf0) << 8 | 0xfff;

	if (io != 0 && base <= last)
		add(dev, "I/O window", base, last, true, true);
	base = (uint64_t)(memory & 0xfff0) << 16;
	last = (memory & 0xfff00000u) | 0xfffff;
	if (base <= last)
		add(dev, "memory window", base, last, false, true);
	if (prefetch == 0)
		return;
	base = (uint64_t)ob_pci_read(dev, PCI_BRIDGE_PREFETCH_BASE_HI, 4) << 32 | (uint64_t)(prefetch & 0xfff0) << 16;
	last = (uint64_t)ob_pci_read(dev, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4) << 32 | (prefetch & 0xfff00000u) | 0xfffff;
	if (base <= last)
		add(dev, "prefetchable window", base, last, false, true);
}

static void add_bars(struct ob_device *dev, const struct ob_pci_info *info, bool may_lack)
{
	for (unsigned i = 0; i < 6; i++) {
		const struct ob_pci_bar *bar = &info->bar[i];
		uint64_t written;

		if (bar->len_bytes == 0)
			continue;
		if (bar->address == 0) {
			if (!may_lack)
				fail_msg("%s: BAR %u has no address", ob_device_name(dev), i);
			continue;
		}
		assert_true(bar->address % bar->len_bytes == 0);
		written = ob_pci_read(dev, PCI_BAR(i), 4) & (bar->io ? PCI_BAR_IO_ADDRESS : PCI_BAR_MEM_ADDRESS);
		if (bar->is_64bit)
			written |= (uint64_t)ob_pci_read(dev, PCI_BAR(i) + 4, 4) << 32;
		if (written != bar->address)
			fail_msg("%s: BAR %u holds 0x%llx", ob_device_name(dev), i, (unsigned long long)written);
		add(dev, "BAR", bar->address, bar->address + bar->len_bytes - 1, bar->io, false);
	}
}

/* Is @inner inside some window of @bridge? */
static bool inside(const struct item *inner, struct ob_device *bridge)
{
	for (unsigned i = 0; i < item_count; i++) {
		const struct item *w = &items[i];

		if (w->dev == bridge && w->is_window && w->io == inner->io && w->first <= inner->first &&
		    inner->last <= w->last)
			return true;
	}
	return false;
}

static void check_buses(struct ob_device *dev, const struct ob_pci_info *info)
{
	struct ob_device *above = ob_device_parent(dev);
	struct ob_pci_info up;

	if (above != NULL) {
		assert_int_equal(ob_pci_info(above, &up), 0);
		assert_int_equal(info->bus, up.secondary_bus);
	}
	if (info->header_type != PCI_HEADER_BRIDGE || info->secondary_bus == 0)
		return;
	assert_int_equal(ob_pci_read(dev, PCI_BRIDGE_PRIMARY, 1), info->bus);
	assert_int_equal(ob_pci_read(dev, PCI_BRIDGE_SECONDARY, 1), info->secondary_bus);
	assert_int_equal(ob_pci_read(dev, PCI_BRIDGE_SUBORDINATE, 1), info->subordinate_bus);
	assert_true(info->secondary_bus > info->bus && info->subordinate_bus >= info->secondary_bus);
	if (above != NULL)
		assert_true(info->subordinate_bus <= up.subordinate_bus);
}

unsigned pci_check_tree(struct ob_machine *machine, bool bars_may_lack)
{
	unsigned count = 0;

	item_count = 0;
	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL; count++) {
		struct ob_pci_info info;

		assert_int_equal(ob_pci_info(dev, &info), 0);
		check_buses(dev, &info);
		add_bars(dev, &info, bars_may_lack);
		if (info.header_type == PCI_HEADER_BRIDGE)
			add_windows(dev);
	}
	for (unsigned i = 0; i < item_count; i++) {
		const struct item *a = &items[i];
		struct ob_device *above = ob_device_parent(a->dev);

		if (above != NULL && !inside(a, above))
			fail_msg("%s: %s 0x%llx is outside the windows of %s", ob_device_name(a->dev), a->what,
				 (unsigned long long)a->first, ob_device_name(above));
		for (unsigned j = i + 1; j < item_count; j++) {
			const struct item *b = &items[j];

			if (ob_device_parent(b->dev) == above && a->io == b->io && a->first <= b->last &&
			    b->first <= a->last)
				fail_msg("%s %s and %s %s overlap", ob_device_name(a->dev), a->what,
					 ob_device_name(b->dev), b->what);
		}
	}
	return count;
}
