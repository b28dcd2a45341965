/* SPDX-License-Identifier: BSD-2-Clause */
/* What certain controllers get wrong, as a table. General rows first; all rows that fit count. */
#include <outboard/nvme.h>

#include "drivers/block/nvme/nvme.h"

static const struct quirk rows[] = {
	{0x1b36, 0x0010, OB_ANY, OB_ANY, NULL, NVME_QUIRK_NO_FUA | NVME_QUIRK_CMB_AT_BAR, 0,
	 "QEMU takes FUA and ignores it, and the base of its memory buffer with legacy-cmb"},
	{0x8086, 0x5845, OB_ANY, OB_ANY, NULL,
	 NVME_QUIRK_NO_NAMESPACE_LIST | NVME_QUIRK_NO_WRITE_ZEROES | NVME_QUIRK_NO_FUA, 0,
	 "QEMU before 5.2 lacks the active namespace list"},
	{0x8086, 0xf1a5, OB_ANY, OB_ANY, NULL, NVME_QUIRK_NO_WRITE_ZEROES, 0, "Intel 600p: write zeroes is not usable"},
	{0x1bb1, 0x0100, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300,
	 "Seagate Nytro: CSTS must rest after a disable"},
	{0x1c58, 0x0003, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300, "HGST: CSTS must rest after a disable"},
	{0x1c58, 0x0023, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300,
	 "WDC SN200: CSTS must rest after a disable"},
	{0x1c5f, 0x0540, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300,
	 "Memblaze Pblaze4: CSTS must rest after a disable"},
	{0x144d, 0xa821, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300,
	 "Samsung PM1725: CSTS must rest after a disable"},
	{0x144d, 0xa822, OB_ANY, OB_ANY, NULL, NVME_QUIRK_DELAY_READY, 2300,
	 "Samsung PM1725a: CSTS must rest after a disable"},
	{0x15b7, 0x2001, OB_ANY, OB_ANY, NULL, NVME_QUIRK_NO_WRITE_ZEROES, 0,
	 "SanDisk Skyhawk: write zeroes is not usable"},
	{0x1c5c, 0x1504, OB_ANY, OB_ANY, NULL, NVME_QUIRK_NO_WRITE_ZEROES, 0,
	 "SK Hynix PC400: write zeroes is not usable"},
};

const char *ob_nvme_quirk_name(unsigned bit)
{
	static const struct {
		enum nvme_quirk_flag flag;
		const char *name;
	} names[] = {
		{NVME_QUIRK_DELAY_READY, "slow-to-disable"},
		{NVME_QUIRK_NO_WRITE_ZEROES, "no-write-zeroes"},
		{NVME_QUIRK_NO_NAMESPACE_LIST, "no-namespace-list"},
		{NVME_QUIRK_NO_FUA, "no-fua"},
		{NVME_QUIRK_NO_IDS, "no-ids"},
		{NVME_QUIRK_NO_SHADOW, "no-shadow-doorbells"},
		{NVME_QUIRK_NO_SGL, "no-sgl"},
		{NVME_QUIRK_CMB_AT_BAR, "cmb-at-bar"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (bit < 64 && BIT64(bit) == names[i].flag)
			return names[i].name;
	}
	return NULL;
}

/* Called with the ids that the bus knows, and again when the firmware revision is known. */
void nvme_quirks_find(struct nvme *n)
{
	struct quirk_found found;
	uint64_t before = n->quirks;

	quirk_lookup(rows, ARRAY_SIZE(rows), &n->ids, &found);
	n->quirks = found.flags;
	n->quirk_value = found.value;
	if (found.flags != before && found.reason != NULL)
		ob_debug(n->ob, "%s: quirk: %s", n->name, found.reason);
}
