/* SPDX-License-Identifier: BSD-2-Clause */
/* Every fallible call of a disk driver's probe, and of opening a channel, failing in turn. */
#ifndef TESTS_PROBE_EACH_H
#define TESTS_PROBE_EACH_H

#include <outboard/driver.h>

/* What is particular to a driver. */
struct probe_subject {
	const char *driver;
	/* Of a bound device: was the device told of this memory, and not yet that it is over? Is it at work? */
	bool (*has)(struct ob_device *dev, const struct ob_dma *dma);
	bool (*works)(struct ob_device *dev);
	/* Without a channel: nothing is taken that only channels take. */
	bool (*is_clean)(struct ob_device *dev);
	unsigned channel_failures_min; /* calls whose failure refuses a channel */
};

/* On the first such device of the machine. Checks are cmocka's. */
void probe_fail_each(const char *uri, const struct probe_subject *subject);
void channel_fail_each(const char *uri, const struct probe_subject *subject);

#endif
