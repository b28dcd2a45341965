/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: lists, references, and whether one is online. Binding is in bind.c.
 *
 * The word `online` holds all that "get if online" must see at once: bit 31 offline (no driver, or it is being taken
 * away), bit 30 gone (never comes back), and the uses below them.
 */
#include "core/device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/machine_core.h"

#define ONLINE_OFFLINE (1u << 31)
#define ONLINE_GONE    (1u << 30)
#define ONLINE_USES    (ONLINE_GONE - 1)

void device_init(struct ob_device *dev, const struct bus_ops *ops, struct ob_machine *machine, struct ob_device *parent,
		 const char *name)
{
	memset(dev, 0, sizeof(*dev));
	list_init(&dev->link);
	list_init(&dev->dma);
	dev->ops = ops;
	dev->machine = machine_get(machine);
	dev->parent = parent != NULL ? ob_device_get(parent) : NULL;
	dev->dma_dev = dev;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->refs = 1;
	dev->online = ONLINE_OFFLINE;
	dev->state = OB_DEVICE_FOUND;
	dev->dma_index = -1;
	ob_work_init(&dev->gone_work, device_gone_work);
	ob_work_init(&dev->leave_work, device_leave_work);
	ob_mutex_init(&dev->lock, "device");
}

int device_add(struct ob_device *dev)
{
	struct ob_machine *machine = dev->machine;
	int rc = 0;

	ob_lock(&machine->ob->lock);
	if (machine_is_dead(machine)) {
		rc = -ENODEV;
	} else {
		dev->serial = ++machine->device_serial;
		list_add_tail(&machine->devices, &dev->link);
	}
	ob_unlock(&machine->ob->lock);
	return rc;
}

int device_remove_until(struct ob_device *dev, uint64_t deadline_ns)
{
	struct ob *ob = dev->machine->ob;
	int rc = device_unbind_for_good(dev, deadline_ns);
	bool listed;

	if (rc != 0) {
		dev->machine->stuck++;
		ob_err(ob, "%s: its driver cannot be taken away: %s", dev->name, strerror(-rc));
	}
	device_set_gone(dev);
	if (rc == 0)
		__atomic_store_n(&dev->state, (int)OB_DEVICE_GONE, __ATOMIC_RELEASE);
	/* Its bus and the machine's end may both come for it; the reference is one. */
	ob_lock(&ob->lock);
	listed = !list_empty(&dev->link);
	list_del(&dev->link);
	ob_unlock(&ob->lock);
	/* A driver that is stuck in its remove still uses the device: then the memory stays. */
	if (rc == 0 && listed)
		ob_device_put(dev);
	return rc;
}

void device_remove(struct ob_device *dev)
{
	device_remove_until(dev, ob_deadline(MACHINE_CLOSE_TIMEOUT_NS));
}

struct machine *device_machine(const struct ob_device *dev)
{
	return dev->machine->m;
}

/* ---- lists ---- */

struct ob_device *ob_device_next(struct ob_machine *machine, struct ob_device *previous)
{
	uint64_t after = previous != NULL ? previous->serial : 0;
	struct ob_device *found = NULL;

	ob_lock(&machine->ob->lock);
	if (previous != NULL && !list_empty(&previous->link)) {
		if (previous->link.next != &machine->devices)
			found = list_entry(previous->link.next, struct ob_device, link);
	} else {
		/* @previous was removed meanwhile: go on behind its place. */
		list_for_each (node, &machine->devices) {
			struct ob_device *dev = list_entry(node, struct ob_device, link);

			if (dev->serial > after) {
				found = dev;
				break;
			}
		}
	}
	if (found != NULL)
		ob_device_get(found);
	ob_unlock(&machine->ob->lock);
	if (previous != NULL)
		ob_device_put(previous);
	return found;
}

struct ob_device *ob_device_find(struct ob_machine *machine, const char *name)
{
	struct ob_device *found = NULL;

	ob_lock(&machine->ob->lock);
	list_for_each (node, &machine->devices) {
		struct ob_device *dev = list_entry(node, struct ob_device, link);

		if (strcmp(dev->name, name) == 0) {
			found = ob_device_get(dev);
			break;
		}
	}
	ob_unlock(&machine->ob->lock);
	return found;
}

struct ob_device *device_before(struct ob_machine *machine, uint64_t serial)
{
	struct ob_device *found = NULL;

	ob_lock(&machine->ob->lock);
	for (struct list *node = machine->devices.prev; node != &machine->devices; node = node->prev) {
		struct ob_device *dev = list_entry(node, struct ob_device, link);

		if (dev->serial < serial) {
			found = ob_device_get(dev);
			break;
		}
	}
	ob_unlock(&machine->ob->lock);
	return found;
}

/* ---- references ---- */

struct ob_device *ob_device_get(struct ob_device *dev)
{
	unsigned before = __atomic_fetch_add(&dev->refs, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	(void)before;
	return dev;
}

void ob_device_put(struct ob_device *dev)
{
	/* The release of the last reference drops the parent's, which may be that one's last: a loop, not a recursion.
	 */
	while (dev != NULL) {
		struct ob_device *parent = dev->parent;
		struct ob_machine *machine = dev->machine;
		unsigned before = __atomic_fetch_sub(&dev->refs, 1, __ATOMIC_ACQ_REL);

		assert(before > 0);
		if (before != 1)
			return;
		dev->ops->release(dev);
		machine_put(machine);
		dev = parent;
	}
}

/* ---- online ---- */

bool ob_device_get_online(struct ob_device *dev)
{
	uint32_t word = __atomic_load_n(&dev->online, __ATOMIC_RELAXED);

	if (machine_is_dead(dev->machine))
		return false;
	do {
		if (word & (ONLINE_OFFLINE | ONLINE_GONE))
			return false;
		assert((word & ONLINE_USES) != ONLINE_USES);
	} while (!__atomic_compare_exchange_n(&dev->online, &word, word + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return true;
}

void ob_device_put_online(struct ob_device *dev)
{
	uint32_t before = __atomic_fetch_sub(&dev->online, 1, __ATOMIC_RELEASE);

	assert((before & ONLINE_USES) != 0);
	(void)before;
}

bool device_is_gone(const struct ob_device *dev)
{
	return (__atomic_load_n(&dev->online, __ATOMIC_RELAXED) & ONLINE_GONE) != 0 || machine_is_dead(dev->machine);
}

bool device_set_gone(struct ob_device *dev)
{
	return (__atomic_fetch_or(&dev->online, ONLINE_OFFLINE | ONLINE_GONE, __ATOMIC_ACQ_REL) & ONLINE_GONE) == 0;
}

void device_set_online(struct ob_device *dev)
{
	uint32_t word = __atomic_load_n(&dev->online, __ATOMIC_RELAXED);

	do {
		if (word & ONLINE_GONE)
			return;
	} while (!__atomic_compare_exchange_n(&dev->online, &word, word & ~ONLINE_OFFLINE, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

void device_set_offline(struct ob_device *dev)
{
	__atomic_fetch_or(&dev->online, ONLINE_OFFLINE, __ATOMIC_ACQ_REL);
}

unsigned device_uses(const struct ob_device *dev)
{
	return __atomic_load_n(&dev->online, __ATOMIC_ACQUIRE) & ONLINE_USES;
}

void ob_device_mark_gone(struct ob_device *dev, const char *why)
{
	machine_job_begin(dev->machine);
	if (!device_set_gone(dev)) {
		machine_job_end(dev->machine);
		return;
	}
	ob_err(dev->machine->ob, "%s: gone: %s", dev->name, why);
	/* Only the first comes here, so the work is idle. It holds the device until its task ends. */
	ob_device_get(dev);
	ob_cpu_post(ob_device_cpu(dev), &dev->gone_work);
}

/* Under a job, which goes to the task, or ends here when one is under way. */
static void post_leave(struct ob_device *dev)
{
	if (__atomic_exchange_n(&dev->leaving, true, __ATOMIC_ACQ_REL)) {
		machine_job_end(dev->machine);
		return;
	}
	/* Nobody else posts the work while the device is leaving. It holds the device until its task ends. */
	ob_device_get(dev);
	ob_cpu_post(ob_device_cpu(dev), &dev->leave_work);
}

void device_leave(struct ob_device *dev, const char *why)
{
	machine_job_begin(dev->machine);
	if (device_is_gone(dev) || OB_READ_ONCE(dev->leaving)) {
		machine_job_end(dev->machine);
		return;
	}
	ob_warn(dev->machine->ob, "%s: leaves: %s", dev->name, why);
	post_leave(dev);
}

void device_vanish(struct ob_device *dev, const char *why)
{
	machine_job_begin(dev->machine);
	if (!device_set_gone(dev)) {
		machine_job_end(dev->machine);
		return;
	}
	ob_err(dev->machine->ob, "%s: gone: %s", dev->name, why);
	post_leave(dev);
}

/* ---- what a device is ---- */

const char *ob_device_name(const struct ob_device *dev)
{
	return dev->name;
}

const char *ob_device_bus_name(const struct ob_device *dev)
{
	return dev->ops->name;
}

bool ob_device_is_paravirtual(const struct ob_device *dev)
{
	return dev->ops->paravirtual;
}

struct ob_device *ob_device_parent(const struct ob_device *dev)
{
	return dev->parent;
}

struct ob_machine *ob_device_machine(const struct ob_device *dev)
{
	return dev->machine;
}

struct ob *ob_device_context(const struct ob_device *dev)
{
	return dev->machine->ob;
}

enum ob_device_state ob_device_state(const struct ob_device *dev)
{
	return (enum ob_device_state)__atomic_load_n(&dev->state, __ATOMIC_ACQUIRE);
}

int ob_device_error(const struct ob_device *dev)
{
	return OB_READ_ONCE(dev->error);
}

const char *ob_device_driver_name(const struct ob_device *dev)
{
	const struct ob_driver *driver = __atomic_load_n(&dev->driver, __ATOMIC_ACQUIRE);

	return driver != NULL ? driver->name : NULL;
}

void ob_device_set_driver_data(struct ob_device *dev, void *data)
{
	dev->driver_data = data;
}

void *ob_device_driver_data(const struct ob_device *dev)
{
	return dev->driver_data;
}

struct ob_cpu *ob_device_cpu(const struct ob_device *dev)
{
	return dev->machine->ob->cpus[0];
}

/* ---- what a driver asks of its bus ---- */

int ob_device_region(struct ob_device *dev, unsigned index, struct ob_region *out)
{
	int rc;

	memset(out, 0, sizeof(*out));
	if (hooks_fail(dev->machine->ob, __func__))
		return -ENOMEM;
	if (device_is_gone(dev))
		return -ENODEV;
	rc = dev->ops->region(dev, index, out);
	out->dev = dev;
	return rc;
}

int ob_device_enable_dma(struct ob_device *dev, bool enable)
{
	/* Switching it off must not fail for want of anything: an unwinding driver does it. */
	if (enable && hooks_fail(dev->machine->ob, __func__))
		return -ENODEV;
	if (device_is_gone(dev) && enable)
		return -ENODEV;
	/* One that was taken for gone may yet be there: whoever frees its memory must be able to rely on this. */
	return dev->ops->enable_dma != NULL ? dev->ops->enable_dma(dev, enable) : 0;
}

/* The caller's driver keeps its own requests away meanwhile; dev->lock may be held by its probe or remove. */
int ob_device_reset(struct ob_device *dev)
{
	if (hooks_fail(dev->machine->ob, __func__))
		return -ETIMEDOUT;
	if (device_is_gone(dev))
		return -ENODEV;
	return dev->ops->reset != NULL ? dev->ops->reset(dev) : -EOPNOTSUPP;
}

bool ob_device_is_present(struct ob_device *dev)
{
	if (device_is_gone(dev))
		return false;
	return dev->ops->is_present == NULL || dev->ops->is_present(dev);
}
