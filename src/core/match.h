/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matching devices with drivers: how exactly a row of a match table fits what a bus knows of a device, and which
 * driver of a context fits best. Buses use match_score() for their bus_ops.match.
 */
#ifndef OB_CORE_MATCH_H
#define OB_CORE_MATCH_H

#include <outboard/driver.h>

/* What a bus knows of a device; OB_ANY where it does not know. */
struct match_ids {
	uint32_t vendor, device, subvendor, subdevice;
	uint32_t class_code;           /* 24 bits */
	const char *const *compatible; /* DT: as listed, most specific first; ACPI: _HID, then _CIDs; NULL-terminated */
	enum ob_match_kind compatible_kind; /* OB_MATCH_DT or OB_MATCH_ACPI */
	bool pci, virtio;                   /* whose number spaces vendor and device are of */
};

/**
 * match_score - how exactly @row fits
 *
 * Ids count more than classes, more ids more than fewer, a class with more bits more than one with fewer, an earlier
 * compatible string more than a later one. Return: 0 it does not fit; larger is more exact.
 */
unsigned match_score(const struct ob_match *row, const struct match_ids *ids);

/** match_driver - the best driver for @dev and its row, or NULL; of equals the first registered */
const struct ob_driver *match_driver(struct ob_device *dev, const struct ob_match **row);

#endif
