/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries that a device has published, and what of them was loaded: the quick part of check/fetch.c. */
#ifndef OB_SIM_CHECK_FETCH_H
#define OB_SIM_CHECK_FETCH_H

#include "sim/world.h"

#define FETCH_PLACES 256 /* a power of two */

/* Eight bytes of an entry; another's at the same place push them out. */
struct fetch {
	uintptr_t granule; /* address / 8; 0 none */
	uint32_t pc;       /* that loaded some of them */
	uint8_t once;      /* bytes that are to be loaded but once */
	uint8_t done;      /* bytes that tell of the entry: who loads them looks whether it is there */
	uint8_t seen;
	bool whole; /* written in one go, and may be looked at so */
};

extern struct fetch check_fetches[FETCH_PLACES];

void check_fetch_reset(void);
/* The device has written an entry there. */
void check_fetch_published(uintptr_t address, size_t len_bytes);
void check_fetch_loaded(uintptr_t address, size_t len_bytes, uint32_t pc);
void check_fetch_stored(uintptr_t address, size_t len_bytes);

static inline bool check_fetch_knows(uintptr_t address, size_t len_bytes)
{
	return len_bytes > 8 || check_fetches[address / 8 % FETCH_PLACES].granule == address / 8;
}

/* A CPU's access to DMA memory. */
static inline void check_fetch(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc)
{
	if (OB_LIKELY(!check_fetch_knows(address, len_bytes)))
		return;
	if (flags & ACCESS_WRITE)
		check_fetch_stored(address, len_bytes);
	else
		check_fetch_loaded(address, len_bytes, pc);
}

#endif
