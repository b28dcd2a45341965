/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rule: no field of an entry is loaded twice. The device may write it in between, so what was checked need not be what
 * is used. It holds for entries that a device publishes (model/host.h), until their place is written again, and not for
 * loads that take in their last two bytes: that is where one looks whether they are there. One of eight bytes is looked at
 * whole.
 */
#include "sim/check/fetch.h"
#include "sim/fault/fault.h"

#define DONE_BYTES 2

SIM_STATE struct fetch check_fetches[FETCH_PLACES];

void check_fetch_reset(void)
{
	memset(check_fetches, 0, sizeof(check_fetches));
}

/* Of the eight bytes at @granule, those in the range. */
static uint8_t mask_of(uintptr_t granule, uintptr_t address, size_t len_bytes)
{
	uintptr_t start = MAX(granule * 8, address), end = MIN(granule * 8 + 8, address + len_bytes);

	return (uint8_t)(((1u << (end - start)) - 1) << (start - granule * 8));
}

void check_fetch_published(uintptr_t address, size_t len_bytes)
{
	uintptr_t done = address + len_bytes - DONE_BYTES;

	if (len_bytes <= 4)
		return;
	for (uintptr_t g = address / 8; g <= (address + len_bytes - 1) / 8; g++) {
		struct fetch *f = &check_fetches[g % FETCH_PLACES];

		*f = (struct fetch){.granule = g, .once = mask_of(g, address, len_bytes), .whole = len_bytes == 8};
		if (g == done / 8)
			f->done = mask_of(g, done, DONE_BYTES);
	}
}

static void complain(const struct fetch *f, uintptr_t address, uint32_t pc)
{
	char where[96];

	/* Told by phases that were never written, a driver comes to entries that it has had. */
	if ((W.fault_excuses & FAULT_EXCUSE_DMA) != 0)
		return;
	report_describe(address, where, sizeof(where));
	report_begin("double-fetch",
		     "%s, which the device wrote, is loaded again: what was found there need not be what is there now",
		     where);
	report_here(pc);
	report_text("loaded before at\n");
	report_pcs(&f->pc, 1);
	report_end();
}

/* Ranges longer than all that is known are looked up the other way round. */
static bool in_range(const struct fetch *f, uintptr_t address, size_t len_bytes)
{
	return f->granule != 0 && f->granule >= address / 8 && f->granule <= (address + len_bytes - 1) / 8;
}

static void loaded(struct fetch *f, uintptr_t address, size_t len_bytes, uint32_t pc)
{
	uint8_t mask = mask_of(f->granule, address, len_bytes);

	if ((mask & f->done) != 0 && len_bytes <= 4)
		return;
	/* Who loads all of it in one go looks again, too, and may do so until it is there. */
	if (f->whole && mask == f->once) {
		f->seen = mask;
		f->pc = pc;
		return;
	}
	mask &= (uint8_t)(f->once & ~f->done);
	if ((mask & f->seen) != 0)
		complain(f, address, pc);
	f->seen |= mask;
	f->pc = pc;
}

void check_fetch_loaded(uintptr_t address, size_t len_bytes, uint32_t pc)
{
	if (len_bytes > 8 * FETCH_PLACES) {
		for (unsigned i = 0; i < FETCH_PLACES; i++)
			if (in_range(&check_fetches[i], address, len_bytes))
				loaded(&check_fetches[i], address, len_bytes, pc);
		return;
	}
	for (uintptr_t g = address / 8; g <= (address + len_bytes - 1) / 8; g++)
		if (check_fetches[g % FETCH_PLACES].granule == g)
			loaded(&check_fetches[g % FETCH_PLACES], address, len_bytes, pc);
}

void check_fetch_stored(uintptr_t address, size_t len_bytes)
{
	if (len_bytes > 8 * FETCH_PLACES) {
		for (unsigned i = 0; i < FETCH_PLACES; i++)
			if (in_range(&check_fetches[i], address, len_bytes))
				check_fetches[i].granule = 0;
		return;
	}
	for (uintptr_t g = address / 8; g <= (address + len_bytes - 1) / 8; g++)
		if (check_fetches[g % FETCH_PLACES].granule == g)
			check_fetches[g % FETCH_PLACES].granule = 0;
}
