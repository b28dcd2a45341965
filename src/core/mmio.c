/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a register; the accesses themselves are inline in outboard/mmio.h. */
#include <outboard/mmio.h>

#include <errno.h>

#include <outboard/cpu.h>
#include <outboard/driver.h>

#include "base/bits.h"
#include "core/machine_core.h"

#define WAIT_SLEEP_MIN_NS (10 * OB_NS_PER_US)
#define WAIT_SLEEP_MAX_NS OB_NS_PER_MS

/*
 * All ones is what a bus returns for a device that is not there (PCIe r5 §2.3.2 calls for it), but a register may
 * hold all ones rightly: something that cannot is asked before the device is given up.
 */
static bool is_lost(const struct ob_region *region, const char *why)
{
	if (region->dev == NULL || ob_device_is_present(region->dev))
		return false;
	ob_device_mark_gone(region->dev, why);
	return true;
}

int ob_mmio_wait32(const struct ob_region *region, uint64_t offset, uint32_t mask, uint32_t want, uint64_t deadline_ns,
		   uint32_t *value)
{
	uint64_t start_ns = ob_now_ns(), sleep_ns = WAIT_SLEEP_MIN_NS;

	for (;;) {
		/* The clock comes first: a task that was kept away past its deadline still gets one look after it. */
		uint64_t now = ob_now_ns();
		uint32_t v = ob_mmio_read32(region, offset);

		if (value != NULL)
			*value = v;
		if (v == UINT32_MAX && is_lost(region, "a register reads all ones"))
			return -ENODEV;
		if ((v & mask) == want)
			return 0;
		if (region->dev != NULL && device_is_gone(region->dev))
			return -ENODEV;
		if (now >= deadline_ns)
			return is_lost(region, "a register never changed") ? -ENODEV : -ETIMEDOUT;
		ob_task_sleep(now + sleep_ns < deadline_ns ? now + sleep_ns : deadline_ns);
		/* What takes long is looked for less often: the last look is late by a sixteenth at most. */
		sleep_ns = MIN(sleep_ns * 2, MAX(WAIT_SLEEP_MAX_NS, (now - start_ns) / 16));
	}
}
