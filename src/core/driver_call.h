/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call to a device's driver, from outside of it: drivers build on it what they offer beside their class.
 *
 * It takes a use of the device, which holds off the driver's removal, and does its work in a task on CPU 0. The caller may
 * stop waiting before the task ends: what both need is in memory that belongs to neither's stack, the caller's data are
 * copied to it and from it.
 */
#ifndef OB_DRIVER_CALL_H
#define OB_DRIVER_CALL_H

#include <outboard/cpu.h>
#include <outboard/device.h>

#define DRIVER_CALL_NS (60 * OB_NS_PER_S) /* where the caller names no deadline */

/* What a driver's call begins with. */
struct driver_call {
	void *driver_data; /* of the device */
	uint64_t deadline_ns;
	/* private */
	struct ob_device *dev;
	const char *driver;
	int (*fn)(struct driver_call *call);
	int ret;
	int state; /* __atomic */
	struct ob_event over;
};

/*
 * A call to @fn, of @bytes that begin with a struct driver_call. -EOPNOTSUPP: the device has another driver; -ENODEV;
 * -ENOMEM; -EDEADLK in a handler or bottom half.
 */
int driver_call_new(struct ob_device *dev, const char *driver, int (*fn)(struct driver_call *call), size_t bytes,
		    uint64_t deadline_ns, struct driver_call **out);
/* Returns what the function does. *@pcall is NULL afterwards when it goes on without us; else it is to be freed. */
int driver_call_run(struct driver_call **pcall);
/* By the function: nobody waits for it any more. */
bool driver_call_is_abandoned(const struct driver_call *call);

#endif
