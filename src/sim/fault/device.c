/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a device as a whole, between two of its doings: it is pulled out, another one is put into its slot, its power
 * goes and comes back, it says that it cannot go on.
 */
#include "sim/fault/fault.h"
#include "sim/machine/model.h"

#define INSERT_MIN_NS (10 * OB_NS_PER_US)
#define INSERT_SHIFTS 12 /* up to 20 ms, more or less */
#define CUT_LATE_NS   OB_NS_PER_MS

static void device_stops(struct sim_device *dev)
{
	dev->kicked = false;
	dev->due_ns = NEVER;
	sim_device_derive_due();
}

/* Pulled out, as a wire comes loose between two packets. */
static void device_remove(struct sim_device *dev)
{
	const struct fault_rule *r;

	model_pci_unplug(&dev->pci);
	r = dev->port != NULL ? fault_strike(SIM_FAULT_INSERT) : NULL;
	if (r != NULL)
		dev->insert_ns = W.now_ns + (INSERT_MIN_NS << fault_draw(INSERT_SHIFTS));
	/* Its power is gone already. */
	dev->cut = NULL;
	dev->cut_ns = NEVER;
	device_stops(dev);
}

/* Another one of its kind is put into the slot: nothing is left of what was told to the one before. */
static void device_insert(struct sim_device *dev)
{
	static const struct fault_rule anew;

	dev->insert_ns = NEVER;
	W.power_cuts++;
	dev->stuck_count = 0;
	dev->ones_until_ns = dev->config_ones_until_ns = 0;
	if (dev->type->power_cut != NULL)
		dev->type->power_cut(dev, &anew);
	model_pci_plug(&dev->pci);
	device_stops(dev);
}

/* All of it starts from nothing again, its configuration space too: what was in flight is lost. */
static void device_power_cut(struct sim_device *dev)
{
	const struct fault_rule *r = dev->cut;

	dev->cut = NULL;
	dev->cut_ns = NEVER;
	W.power_cuts++;
	dev->type->power_cut(dev, r);
	model_pci_reset(&dev->pci);
	model_pci_derive(dev->pci.bus->root);
	if (dev->port != NULL)
		model_pci_port_presence(dev->port, true, true);
	device_stops(dev);
}

/* Now, or with the next command: what that one wrote may be there, and nobody is told. */
static bool power_is_cut(struct sim_device *dev)
{
	if (dev->cut != NULL)
		return dev->cut_ns <= W.now_ns || dev->cut_commands != W.commands;
	if (dev->type->power_cut != NULL)
		dev->cut = fault_look_at_device(SIM_FAULT_POWER_CUT);
	if (dev->cut == NULL || dev->cut->has_value || fault_draw(2) == 0)
		return dev->cut != NULL;
	dev->cut_commands = W.commands;
	dev->cut_ns = W.now_ns + CUT_LATE_NS;
	sim_device_derive_due();
	return false;
}

void fault_device_fail(struct sim_device *dev)
{
	unsigned excuses = W.fault_excuses;

	W.fault_excuses |= FAULT_EXCUSE_NOTES; /* the model says why it fails: not for this one */
	dev->type->fail(dev);
	W.fault_excuses = excuses;
}

/* Between two of the device's doings: does something befall it as a whole? */
static bool device_befallen(struct sim_device *dev)
{
	if (dev->insert_ns <= W.now_ns ||
	    (!dev->pci.present && dev->port != NULL && fault_look_at_device(SIM_FAULT_INSERT))) {
		device_insert(dev);
		return true;
	}
	if (!dev->pci.present)
		return false;
	if (fault_look_at_device(SIM_FAULT_REMOVE) != NULL) {
		device_remove(dev);
		return true;
	}
	if (power_is_cut(dev)) {
		device_power_cut(dev);
		return true;
	}
	if (dev->type->fail != NULL && fault_look_at_device(SIM_FAULT_FATAL) != NULL) {
		fault_device_fail(dev);
		return true;
	}
	return false;
}

bool fault_devices(struct sim_machine *m)
{
	bool any = false;

	for (unsigned i = 0; i < m->device_count && !any; i++)
		any = device_befallen(m->devices[i]);
	W.fault_commands = W.commands;
	if (W.fault_due_ns <= W.now_ns) {
		fault_derive_due();
		sim_device_derive_due();
	}
	return any;
}
