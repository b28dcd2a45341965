/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspend and resume: a device's driver first, then its power; and back the other way round. For a machine: what is
 * behind others first, and back in the opposite order.
 *
 * All of it runs in tasks of CPU 0, one at a time for each device (dev->lock). A suspended device is as online as one
 * that works: its driver keeps what users ask for.
 */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/device.h"
#include "core/machine_core.h"

static void device_set_state(struct ob_device *dev, enum ob_device_state state)
{
	__atomic_store_n(&dev->state, (int)state, __ATOMIC_RELEASE);
}

/* ---- one device ---- */

bool device_is_cut_off(struct ob_device *dev)
{
	for (const struct ob_device *p = dev->parent; p != NULL; p = p->parent)
		if (p->suspended)
			return true;
	return false;
}

static bool is_behind(const struct ob_device *dev, const struct ob_device *above)
{
	for (const struct ob_device *p = dev->parent; p != NULL; p = p->parent)
		if (p == above)
			return true;
	return false;
}

/* The name of a device behind @dev that works, or NULL. */
static const char *find_working(struct ob_device *dev)
{
	struct ob *ob = dev->machine->ob;
	const char *name = NULL;

	ob_lock(&ob->lock);
	list_for_each (node, &dev->machine->devices) {
		struct ob_device *d = list_entry(node, struct ob_device, link);

		if (is_behind(d, dev) && ob_device_driver_name(d) != NULL && !d->suspended)
			name = d->name;
	}
	ob_unlock(&ob->lock);
	return name;
}

/* Under dev->lock. */
static int may_suspend(struct ob_device *dev)
{
	struct ob *ob = dev->machine->ob;
	const char *working;

	if (device_is_gone(dev) || dev->was_shut)
		return -ENODEV;
	if (dev->driver == NULL)
		return -ENOENT;
	if (dev->driver->suspend == NULL || dev->driver->resume == NULL) {
		ob_err(ob, "%s: %s cannot suspend it", dev->name, dev->driver->name);
		return -EOPNOTSUPP;
	}
	working = find_working(dev);
	if (working != NULL) {
		ob_err(ob, "%s: not suspended, %s behind it works", dev->name, working);
		return -EBUSY;
	}
	return 0;
}

int device_power_up(struct ob_device *dev)
{
	int rc;

	if (!dev->unpowered)
		return 0;
	rc = dev->ops->resume != NULL ? dev->ops->resume(dev) : 0;
	dev->unpowered = false;
	if (rc == 0)
		return 0;
	/* Nothing answers where it was, or what answers is not it. */
	ob_device_mark_gone(dev, "it does not come back to power");
	return -ENODEV;
}

/*
 * Its driver is suspended. When the bus fails, all of it is undone, with time of its own: what the suspension had is
 * spent, perhaps. Where not even that does it, @still: the driver waits for another resume.
 */
static int power_down(struct ob_device *dev, bool *still)
{
	int rc = dev->ops->suspend != NULL ? dev->ops->suspend(dev) : 0;
	int undone;

	dev->unpowered = true;
	*still = rc == 0;
	if (rc == 0 || device_power_up(dev) != 0)
		return rc;
	undone = dev->driver->resume(dev, ob_deadline(DEVICE_BIND_TIMEOUT_NS));
	*still = undone == -EAGAIN;
	if (undone != 0)
		ob_err(dev->machine->ob, "%s: neither suspended nor resumed", dev->name);
	return rc;
}

int device_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	struct ob *ob = dev->machine->ob;
	int rc = ob_mutex_lock(&dev->lock, deadline_ns);
	bool still = false;

	if (rc != 0)
		return rc;
	if (dev->suspended && !dev->was_shut && !device_is_gone(dev))
		goto unlock;
	rc = may_suspend(dev);
	if (rc != 0)
		goto unlock;
	/* From now on nothing behind it comes up. */
	dev->suspended = true;
	rc = dev->driver->suspend(dev, deadline_ns);
	if (rc == 0)
		rc = power_down(dev, &still);
	dev->suspended = still;
	if (still)
		device_set_state(dev, OB_DEVICE_SUSPENDED);
	if (rc == 0) {
		ob_info(ob, "%s: suspended", dev->name);
	} else {
		if (device_is_gone(dev))
			rc = -ENODEV;
		ob_err(ob, "%s: not suspended: %s", dev->name, strerror(-rc));
	}
unlock:
	ob_mutex_unlock(&dev->lock);
	return rc;
}

int device_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	struct ob *ob = dev->machine->ob;
	int rc = ob_mutex_lock(&dev->lock, deadline_ns);

	if (rc != 0)
		return rc;
	if (device_is_gone(dev) || dev->driver == NULL || dev->was_shut)
		rc = -ENODEV;
	else if (device_is_cut_off(dev))
		rc = -EBUSY;
	if (rc != 0 || !dev->suspended)
		goto unlock;
	rc = device_power_up(dev);
	/* Of one that is gone the removal is under way, which ends what waits. */
	if (rc != 0)
		goto unlock;
	rc = dev->driver->resume(dev, deadline_ns);
	if (rc == -EAGAIN) {
		rc = -ETIMEDOUT;
		goto unlock;
	}
	dev->suspended = false;
	device_set_state(dev, OB_DEVICE_BOUND);
	if (rc == 0)
		ob_info(ob, "%s: resumed", dev->name);
	else
		ob_err(ob, "%s: not resumed: %s", dev->name, strerror(-rc));
unlock:
	ob_mutex_unlock(&dev->lock);
	return rc;
}

/* ---- a machine ---- */

/*
 * In the order in which they were found: nothing before what it is behind. @undo: only those that this suspension of
 * the machine has suspended. Under machine->mutex.
 */
static int resume_all(struct ob_machine *machine, bool undo, uint64_t deadline_ns)
{
	int first = 0;

	for (struct ob_device *dev = ob_device_next(machine, NULL); dev != NULL; dev = ob_device_next(machine, dev)) {
		int rc = 0;

		if (dev->suspended && (!undo || dev->suspended_by_machine))
			rc = device_resume(dev, deadline_ns);
		if (first == 0)
			first = rc;
	}
	return first;
}

static int suspend_one(struct ob_device *dev, uint64_t deadline_ns)
{
	int rc;

	if (ob_device_driver_name(dev) == NULL || dev->suspended)
		return 0;
	rc = device_suspend(dev, deadline_ns);
	/* One that failed and could not be undone at once, too. */
	dev->suspended_by_machine = dev->suspended;
	/* It went, or lost its driver, meanwhile: there is nothing to suspend. */
	if (rc == -ENOENT || (rc == -ENODEV && !machine_is_dead(dev->machine)))
		rc = 0;
	return rc;
}

static int machine_suspend(struct ob_machine *machine, struct ob_device *unused, uint64_t deadline_ns)
{
	int rc = ob_mutex_lock(&machine->mutex, deadline_ns);
	struct ob_device *dev;

	if (rc != 0)
		return rc;
	/* What an earlier suspension has done is not for this one to undo. */
	for (dev = ob_device_next(machine, NULL); dev != NULL; dev = ob_device_next(machine, dev))
		dev->suspended_by_machine = false;
	/* Last to first, so what is behind others comes before them. */
	for (uint64_t serial = UINT64_MAX; rc == 0 && (dev = device_before(machine, serial)) != NULL;) {
		serial = dev->serial;
		rc = suspend_one(dev, deadline_ns);
		ob_device_put(dev);
	}
	if (rc != 0)
		resume_all(machine, true, ob_deadline(DEVICE_BIND_TIMEOUT_NS));
	ob_mutex_unlock(&machine->mutex);
	return rc;
}

static int machine_resume(struct ob_machine *machine, struct ob_device *unused, uint64_t deadline_ns)
{
	int rc = ob_mutex_lock(&machine->mutex, deadline_ns);

	if (rc != 0)
		return rc;
	rc = resume_all(machine, false, deadline_ns);
	ob_mutex_unlock(&machine->mutex);
	return machine_is_dead(machine) ? -ENODEV : rc;
}

/* ---- from outside ---- */

static int suspend_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_suspend(dev, deadline_ns);
}

static int resume_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_resume(dev, deadline_ns);
}

int ob_device_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	return machine_run_task(dev->machine, dev, "device-suspend", suspend_task, deadline_ns);
}

int ob_device_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	return machine_run_task(dev->machine, dev, "device-resume", resume_task, deadline_ns);
}

int ob_machine_suspend(struct ob_machine *machine, uint64_t deadline_ns)
{
	return machine_run_task(machine, NULL, "machine-suspend", machine_suspend, deadline_ns);
}

int ob_machine_resume(struct ob_machine *machine, uint64_t deadline_ns)
{
	return machine_run_task(machine, NULL, "machine-resume", machine_resume, deadline_ns);
}
