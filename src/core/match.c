/* SPDX-License-Identifier: BSD-2-Clause */
/* Match tables and the drivers of a context: match.h. */
#include "core/match.h"

#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/device.h"
#include "core/machine_core.h"

/* Room for this many more drivers each time that the table is full. */
#define DRIVERS_STEP 16u

/* Weights of ids: any one of them outweighs all that stand before it, and the widest class (24 bits). */
enum {
	SCORE_FITS = 1,
	SCORE_VENDOR = 32,
	SCORE_DEVICE = 64,
	SCORE_SUBVENDOR = 128,
	SCORE_SUBDEVICE = 256,
	SCORE_COMPATIBLE = 64, /* of the first string; each later one is worth one less */
};

/* Adds what an id is worth; false when it differs. */
static bool score_id(uint32_t row, uint32_t id, unsigned worth, unsigned *score)
{
	if (row == OB_ANY)
		return true;
	*score += worth;
	return row == id;
}

static unsigned score_pci_id(const struct ob_match *row, const struct match_ids *ids)
{
	unsigned score = SCORE_FITS;

	if (!ids->pci || !score_id(row->vendor, ids->vendor, SCORE_VENDOR, &score) ||
	    !score_id(row->device, ids->device, SCORE_DEVICE, &score) ||
	    !score_id(row->subvendor, ids->subvendor, SCORE_SUBVENDOR, &score) ||
	    !score_id(row->subdevice, ids->subdevice, SCORE_SUBDEVICE, &score))
		return 0;
	return score;
}

static unsigned score_pci_class(const struct ob_match *row, const struct match_ids *ids)
{
	if (!ids->pci || ((ids->class_code ^ row->class_code) & row->class_mask & 0xffffffu) != 0)
		return 0;
	return SCORE_FITS + (unsigned)__builtin_popcount(row->class_mask & 0xffffffu);
}

static unsigned score_virtio(const struct ob_match *row, const struct match_ids *ids)
{
	unsigned score = SCORE_FITS;

	if (!ids->virtio || !score_id(row->vendor, ids->vendor, SCORE_VENDOR, &score) ||
	    !score_id(row->device, ids->device, SCORE_DEVICE, &score))
		return 0;
	return score;
}

static unsigned score_compatible(const struct ob_match *row, const struct match_ids *ids)
{
	if (row->kind != ids->compatible_kind || ids->compatible == NULL || row->compatible == NULL)
		return 0;
	for (unsigned i = 0; ids->compatible[i] != NULL; i++)
		if (strcmp(ids->compatible[i], row->compatible) == 0)
			return i < SCORE_COMPATIBLE ? SCORE_COMPATIBLE - i : SCORE_FITS;
	return 0;
}

unsigned match_score(const struct ob_match *row, const struct match_ids *ids)
{
	switch (row->kind) {
	case OB_MATCH_PCI_ID:
		return score_pci_id(row, ids);
	case OB_MATCH_PCI_CLASS:
		return score_pci_class(row, ids);
	case OB_MATCH_VIRTIO:
		return score_virtio(row, ids);
	case OB_MATCH_DT:
	case OB_MATCH_ACPI:
		return score_compatible(row, ids);
	case OB_MATCH_END:
		break;
	}
	return 0;
}

bool ob_driver_fits_pci(uint32_t vendor, uint32_t device, uint32_t class_code)
{
	const struct match_ids ids = {
		.pci = true,
		.vendor = vendor,
		.device = device,
		.subvendor = OB_ANY,
		.subdevice = OB_ANY,
		.class_code = class_code,
	};

	for (const struct ob_driver *const *driver = builtin_drivers; *driver != NULL; driver++)
		for (const struct ob_match *row = (*driver)->match; row->kind != OB_MATCH_END; row++)
			if (match_score(row, &ids) > 0)
				return true;
	return false;
}

/* The table may move while a driver is registered, so each look at it is under the lock. */
static const struct ob_driver *driver_at(struct ob *ob, unsigned index)
{
	const struct ob_driver *driver;

	ob_lock(&ob->lock);
	driver = index < ob->driver_count ? ob->drivers[index] : NULL;
	ob_unlock(&ob->lock);
	return driver;
}

const struct ob_driver *match_driver(struct ob_device *dev, const struct ob_match **row)
{
	const struct ob_driver *best = NULL, *driver;
	unsigned best_score = 0;

	for (unsigned i = 0; (driver = driver_at(dev->machine->ob, i)) != NULL; i++) {
		for (const struct ob_match *m = driver->match; m->kind != OB_MATCH_END; m++) {
			unsigned score = dev->ops->match(dev, m);

			if (score > best_score) {
				best_score = score;
				best = driver;
				*row = m;
			}
		}
	}
	return best;
}

/* Under the lock. */
static bool driver_known(const struct ob *ob, const struct ob_driver *driver)
{
	for (unsigned i = 0; i < ob->driver_count; i++)
		if (strcmp(ob->drivers[i]->name, driver->name) == 0)
			return true;
	return false;
}

int ob_driver_register(struct ob *ob, const struct ob_driver *driver)
{
	const struct ob_driver **bigger = NULL, **old = NULL;
	unsigned room = 0;
	int rc = 0;

	/* The new table is allocated outside of the lock; whoever finds it too small by then tries again. */
	ob_lock(&ob->lock);
	while (!driver_known(ob, driver) && ob->driver_count % DRIVERS_STEP == 0 && room <= ob->driver_count) {
		room = ob->driver_count + DRIVERS_STEP;
		ob_unlock(&ob->lock);
		ob_free(bigger);
		bigger = ob_alloc(room * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		ob_lock(&ob->lock);
	}
	if (driver_known(ob, driver)) {
		rc = -EEXIST;
		goto unlock;
	}
	if (ob->driver_count % DRIVERS_STEP == 0) {
		if (ob->driver_count > 0)
			memcpy(bigger, ob->drivers, ob->driver_count * sizeof(*bigger));
		old = ob->drivers;
		ob->drivers = bigger;
		bigger = NULL;
	}
	ob->drivers[ob->driver_count++] = driver;
unlock:
	ob_unlock(&ob->lock);
	ob_free(bigger);
	ob_free(old);
	return rc;
}
