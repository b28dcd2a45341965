/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quirks: what a device gets wrong, as data. The rows live with the bus or the driver that acts on them; this is only
 * the lookup. A row names a device by its ids and the start of its firmware revision, each of which may be open.
 */
#ifndef OB_CORE_QUIRK_H
#define OB_CORE_QUIRK_H

#include <outboard/driver.h>
#include <outboard/types.h>

/* The flags and the meaning of value are the table's own. */
struct quirk {
	uint32_t vendor, device, subvendor, subdevice; /* OB_ANY: open */
	const char *firmware;                          /* how the revision begins; NULL: open */
	uint64_t flags;
	uint32_t value;     /* 0: none */
	const char *reason; /* for the log: what the device does */
};

/* What is known of a device; OB_ANY or NULL where it is not known, which then fits open rows only. */
struct quirk_ids {
	uint32_t vendor, device, subvendor, subdevice;
	const char *firmware;
};

struct quirk_found {
	uint64_t flags;     /* of all rows that fit */
	uint32_t value;     /* of the last row that fits and has one */
	const char *reason; /* of the last row that fits; NULL: none did */
	unsigned rows;      /* how many fit */
};

/**
 * quirk_lookup - collect what a table says of a device
 * @rows: @row_count of them; general rows first, since a later value wins
 *
 * Context: any.
 */
void quirk_lookup(const struct quirk *rows, unsigned row_count, const struct quirk_ids *ids, struct quirk_found *out);

#endif
