/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for memory that devices reach: it is not taken away while a device has a use for it, whether or not the device
 * comes to it in this run; it is taken out of the device's reach before it is freed; and what a device is given is the
 * device's address of it, not the CPU's.
 */
#include "sim/fault/fault.h"
#include "sim/machine/model.h"

/* What a device has it for; NULL: nothing. One that is gone, or no bus master, has no use for any. */
const char *check_dma_held(uint64_t iova, size_t len_bytes, const char **device)
{
	if ((W.fault_excuses & FAULT_EXCUSE_DMA) != 0)
		return NULL; /* it told the driver that it had none */
	for (unsigned i = 0; sim_machine != NULL && i < sim_machine->device_count; i++) {
		struct sim_device *dev = sim_machine->devices[i];
		const char *what;

		if (!dev->pci.present || !dev->pci.master || dev->type->holds == NULL)
			continue;
		what = dev->type->holds(dev, iova, len_bytes);
		*device = dev->type->name;
		if (what != NULL)
			return what;
	}
	return NULL;
}

void check_dma_taken(uint64_t iova, size_t len_bytes, bool freed_granted)
{
	const char *device = NULL, *what = check_dma_held(iova, len_bytes, &device);

	if (what != NULL) {
		report_begin("dma-freed-in-use", "%zu bytes at %#llx are taken from %s, which has them for %s",
			     len_bytes, (unsigned long long)iova, device, what);
		report_here(0);
		report_end();
	}
	if (freed_granted) {
		report_begin("dma-stale-mapping", "%zu bytes are freed, and devices may still reach them at %#llx",
			     len_bytes, (unsigned long long)iova);
		report_here(0);
		report_end();
	}
}

void check_dma_address(uint64_t iova, const char *verb)
{
	char where[96];

	if (iova - ARENA_BASE >= ARENA_BYTES)
		return;
	report_describe((uintptr_t)iova, where, sizeof(where));
	report_begin("dma-cpu-address", "the device's %s %#llx: it was given the CPU's address of %s", verb,
		     (unsigned long long)iova, where);
	report_end();
}
