/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookup in quirk tables: quirk.h. */
#include "core/quirk.h"

#include <string.h>

static bool id_fits(uint32_t row, uint32_t id)
{
	return row == OB_ANY || row == id;
}

static bool row_fits(const struct quirk *row, const struct quirk_ids *ids)
{
	if (!id_fits(row->vendor, ids->vendor) || !id_fits(row->device, ids->device) ||
	    !id_fits(row->subvendor, ids->subvendor) || !id_fits(row->subdevice, ids->subdevice))
		return false;
	if (row->firmware == NULL)
		return true;
	return ids->firmware != NULL && strncmp(ids->firmware, row->firmware, strlen(row->firmware)) == 0;
}

void quirk_lookup(const struct quirk *rows, unsigned row_count, const struct quirk_ids *ids, struct quirk_found *out)
{
	*out = (struct quirk_found){0};
	for (unsigned i = 0; i < row_count; i++) {
		if (!row_fits(&rows[i], ids))
			continue;
		out->flags |= rows[i].flags;
		if (rows[i].value != 0)
			out->value = rows[i].value;
		out->reason = rows[i].reason;
		out->rows++;
	}
}
