/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving out addresses: pure arithmetic over the functions' ranges, no access to any device.
 *
 * From the leaves up, every bridge's window becomes as long as what lies behind it needs; from the root down, ranges
 * are placed inside the window above them, those of the greatest alignment first. What is placed already stays: after a
 * hot plug only the new ranges look for gaps. When there is no room somewhere, the greatest BAR that asks for it goes
 * to the other memory space if it may, and without an address otherwise; then all that this round placed is placed
 * anew. So one greedy function does not cost its neighbours their addresses.
 */
#include "bus/pci/pci.h"

#define HOTPLUG_RESERVE (2 * OB_MIB) /* of each memory space, for what may be plugged in later */

static bool is_memory(enum pci_space space)
{
	return space != PCI_SPACE_IO;
}

/* May @fn have addresses above 4 GiB, all the way down to it? */
static bool prefetch_reaches(const struct pci_function *fn)
{
	if (fn->host->desc.mem64.len_bytes == 0)
		return false;
	for (const struct pci_function *b = fn->bridge; b != NULL; b = b->bridge) {
		if (!b->window_prefetch64)
			return false;
	}
	return true;
}

static bool io_reaches(const struct pci_function *fn)
{
	for (const struct pci_function *b = fn->bridge; b != NULL; b = b->bridge) {
		if (!b->window_io)
			return false;
	}
	return true;
}

static struct machine_range root_range(const struct pci_host *host, enum pci_space space)
{
	switch (space) {
	case PCI_SPACE_IO:
		return host->desc.io;
	case PCI_SPACE_MEMORY:
		return host->desc.mem32;
	default:
		return host->desc.mem64;
	}
}

/* Every range of a function, its windows behind its BARs; NULL behind the last. */
static struct pci_range *range_of(struct pci_function *fn, unsigned i)
{
	if (i < PCI_BAR_SLOTS)
		return &fn->bar[i];
	i -= PCI_BAR_SLOTS;
	return fn->is_bridge && i < PCI_SPACE_COUNT ? &fn->window[i] : NULL;
}

static bool is_window(const struct pci_function *fn, const struct pci_range *r)
{
	return r >= fn->window && r < fn->window + PCI_SPACE_COUNT;
}

static bool wants_place(const struct pci_range *r)
{
	return r->len_bytes != 0 && !r->placed && !r->failed;
}

/* The first gap for @r among what is placed below @bridge (NULL: the root bus). Its base, or UINT64_MAX. */
static uint64_t find_gap(struct pci_host *host, const struct pci_function *bridge, const struct pci_range *r)
{
	struct machine_range root = root_range(host, r->space);
	uint64_t base = bridge != NULL ? bridge->window[r->space].base : root.base;
	uint64_t len = bridge != NULL ? bridge->window[r->space].len_bytes : root.len_bytes, at;
	bool again = true;

	if (len == 0 || (bridge != NULL && !bridge->window[r->space].placed))
		return UINT64_MAX;
	at = ALIGN_UP(base, r->align);
	while (again) {
		if (at < base || at - base > len || r->len_bytes > len - (at - base))
			return UINT64_MAX;
		again = false;
		list_for_each (node, &host->functions) {
			struct pci_function *fn = list_entry(node, struct pci_function, link);
			const struct pci_range *other;

			if (fn->bridge != bridge)
				continue;
			for (unsigned i = 0; (other = range_of(fn, i)) != NULL; i++) {
				if (!other->placed || other->len_bytes == 0 ||
				    is_memory(other->space) != is_memory(r->space))
					continue;
				if (at < other->base + other->len_bytes && other->base < at + r->len_bytes) {
					/* Strictly upwards, so this ends. */
					at = ALIGN_UP(other->base + other->len_bytes, r->align);
					again = true;
				}
			}
		}
	}
	return at;
}

/* Of what is behind @bridge in @space and has no place, the one to be placed next: greatest alignment, then length. */
static struct pci_range *next_to_place(struct pci_host *host, const struct pci_function *bridge, enum pci_space space,
				       struct pci_function **owner)
{
	struct pci_range *best = NULL;

	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);
		struct pci_range *r;

		if (fn->bridge != bridge)
			continue;
		for (unsigned i = 0; (r = range_of(fn, i)) != NULL; i++) {
			if (!wants_place(r) || r->space != space)
				continue;
			if (best == NULL || r->align > best->align ||
			    (r->align == best->align && r->len_bytes > best->len_bytes)) {
				best = r;
				*owner = fn;
			}
		}
	}
	return best;
}

/* How long a window over all that is behind @bridge must be: the ranges one after another, greatest alignment first. */
static void size_window(struct pci_host *host, struct pci_function *bridge, enum pci_space space)
{
	struct pci_range *w = &bridge->window[space], *r;
	uint64_t unit = space == PCI_SPACE_IO ? PCI_BRIDGE_IO_UNIT : PCI_BRIDGE_MEMORY_UNIT, end = 0;
	struct pci_function *owner;

	w->align = unit;
	while ((r = next_to_place(host, bridge, space, &owner)) != NULL) {
		w->align = MAX(w->align, r->align);
		end = ALIGN_UP(end, r->align);
		if (end + r->len_bytes < end)
			end = UINT64_MAX / 2; /* more than there is: the window will find no place */
		else
			end += r->len_bytes;
		r->placed = true; /* counted; taken back below */
		r->fresh = true;
	}
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		for (unsigned i = 0; fn->bridge == bridge && (r = range_of(fn, i)) != NULL; i++) {
			if (r->space == space && r->fresh)
				r->placed = r->fresh = false;
		}
	}
	if (bridge->hotplug_slot && space != PCI_SPACE_IO && !w->failed)
		end = MAX(end, HOTPLUG_RESERVE);
	w->len_bytes = ALIGN_UP(end, unit);
}

static void size_windows(struct pci_host *host)
{
	/* Backwards: what is behind a bridge stands behind it in the list. */
	for (struct list *node = host->functions.prev; node != &host->functions; node = node->prev) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (!fn->is_bridge)
			continue;
		for (unsigned space = 0; space < PCI_SPACE_COUNT; space++) {
			struct pci_range *w = &fn->window[space];
			bool possible = space == PCI_SPACE_IO         ? fn->window_io && io_reaches(fn)
					: space == PCI_SPACE_PREFETCH ? fn->window_prefetch64 && prefetch_reaches(fn)
								      : true;

			if (w->placed)
				continue;
			if (possible)
				size_window(host, fn, (enum pci_space)space);
			else
				w->len_bytes = 0;
		}
	}
}

/* Which space a BAR goes to, before anything is placed. */
static void choose_space(struct pci_function *fn)
{
	bool above = prefetch_reaches(fn);

	for (unsigned i = 0; i < PCI_BAR_SLOTS; i++) {
		struct pci_range *bar = &fn->bar[i];

		if (bar->io || bar->placed || bar->moved || bar->len_bytes == 0)
			continue;
		bar->space = bar->is_64bit && bar->prefetchable && above ? PCI_SPACE_PREFETCH : PCI_SPACE_MEMORY;
	}
}

static bool is_behind(const struct pci_function *fn, const struct pci_function *bridge)
{
	for (const struct pci_function *b = fn->bridge; b != NULL; b = b->bridge) {
		if (b == bridge)
			return true;
	}
	return false;
}

/* May the BAR live in the other memory space? Not prefetchable ones above 4 GiB only without a bridge between. */
static bool move(struct pci_function *fn, struct pci_range *bar)
{
	if (bar->io || bar->moved || !bar->is_64bit)
		return false;
	if (bar->space == PCI_SPACE_MEMORY && !(prefetch_reaches(fn) && (bar->prefetchable || fn->bridge == NULL)))
		return false;
	bar->space = bar->space == PCI_SPACE_MEMORY ? PCI_SPACE_PREFETCH : PCI_SPACE_MEMORY;
	bar->moved = true;
	return true;
}

static void give_up(struct pci_function *fn, struct pci_range *bar)
{
	unsigned index = (unsigned)(bar - fn->bar);

	bar->failed = true;
	if (index == PCI_ROM_INDEX)
		ob_info(fn->host->ob, "pci %s: no room for the expansion ROM of 0x%llx bytes", fn->dev.name,
			(unsigned long long)bar->len_bytes);
	else
		ob_warn(fn->host->ob, "pci %s: no room for BAR %u of 0x%llx bytes, it stays without", fn->dev.name,
			index, (unsigned long long)bar->len_bytes);
}

/* @r of @owner found no place: take from what needs it. ROMs first, then the greatest BAR. */
static void make_room(struct pci_host *host, struct pci_function *owner, struct pci_range *r)
{
	struct pci_function *victim_fn = NULL;
	struct pci_range *victim = NULL;

	if (!is_window(owner, r)) {
		if (!move(owner, r))
			give_up(owner, r);
		return;
	}
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (!is_behind(fn, owner))
			continue;
		for (unsigned i = 0; i < PCI_BAR_SLOTS; i++) {
			struct pci_range *bar = &fn->bar[i];
			bool rom = i == PCI_ROM_INDEX;

			if (bar->len_bytes == 0 || bar->failed || bar->space != r->space ||
			    (bar->placed && !bar->fresh))
				continue;
			if (victim == NULL || rom || bar->len_bytes > victim->len_bytes) {
				victim = bar;
				victim_fn = fn;
			}
			if (rom)
				break;
		}
		if (victim != NULL && victim == &victim_fn->bar[PCI_ROM_INDEX])
			break;
	}
	if (victim == NULL) {
		/* Nothing but reserves for hot plug: those of the ports below go too. */
		list_for_each (node, &host->functions) {
			struct pci_function *fn = list_entry(node, struct pci_function, link);

			if (fn->is_bridge && is_behind(fn, owner))
				fn->window[r->space].failed = true;
		}
		r->failed = true;
		ob_info(host->ob, "pci %s: no room for a window to plug devices into", owner->dev.name);
	} else if (!move(victim_fn, victim)) {
		give_up(victim_fn, victim);
	}
}

/* Place what is behind @bridge; false: there was no room for something, and what is in its way changed. */
static bool place_behind(struct pci_host *host, struct pci_function *bridge)
{
	for (unsigned space = 0; space < PCI_SPACE_COUNT; space++) {
		struct pci_function *owner = NULL;
		struct pci_range *r;

		while ((r = next_to_place(host, bridge, (enum pci_space)space, &owner)) != NULL) {
			uint64_t at = find_gap(host, bridge, r);

			if (at == UINT64_MAX) {
				make_room(host, owner, r);
				return false;
			}
			r->base = at;
			r->placed = r->fresh = true;
		}
	}
	return true;
}

static bool place_all(struct pci_host *host)
{
	if (!place_behind(host, NULL))
		return false;
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);

		if (fn->is_bridge && !place_behind(host, fn))
			return false;
	}
	return true;
}

/* Forget what this round placed; @keep: it is final. */
static void end_round(struct pci_host *host, bool keep)
{
	list_for_each (node, &host->functions) {
		struct pci_function *fn = list_entry(node, struct pci_function, link);
		struct pci_range *r;

		for (unsigned i = 0; (r = range_of(fn, i)) != NULL; i++) {
			if (r->fresh && !keep)
				r->placed = false;
			r->fresh = false;
		}
	}
}

void pci_assign(struct pci_host *host)
{
	unsigned rounds = 1;

	list_for_each (node, &host->functions) {
		choose_space(list_entry(node, struct pci_function, link));
		/* Each failed round moves or gives up one range, and each range at most once. */
		rounds += 2 * (PCI_BAR_SLOTS + PCI_SPACE_COUNT);
	}
	for (; rounds > 0; rounds--) {
		bool done;

		size_windows(host);
		done = place_all(host);
		end_round(host, done);
		if (done)
			return;
	}
	ob_err(host->ob, "pci %s: addresses cannot be assigned", host->anchor.name);
}
