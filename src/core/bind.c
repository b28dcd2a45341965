/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binding: the best driver's probe, its removal, and what is tidied up after either.
 *
 * All of it runs in tasks of CPU 0, one at a time for each device (dev->lock). Order of death: no new uses, uses have
 * drained, the driver has quiesced the device, interrupts are given back, the bus has cut bus mastering, and only then
 * is memory freed that the driver may have leaked.
 */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/machine_core.h"
#include "core/match.h"
#include "core/watch.h"

#define DRAIN_SLEEP_MIN_NS (10 * OB_NS_PER_US)
#define DRAIN_SLEEP_MAX_NS OB_NS_PER_MS

static void device_set_state(struct ob_device *dev, enum ob_device_state state)
{
	__atomic_store_n(&dev->state, (int)state, __ATOMIC_RELEASE);
}

/* Wait until nobody uses the device; it is offline. 0; -ETIMEDOUT. */
static int device_drain(struct ob_device *dev, uint64_t deadline_ns)
{
	uint64_t sleep_ns = DRAIN_SLEEP_MIN_NS;

	while (device_uses(dev) != 0) {
		uint64_t now = ob_now_ns();

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(now + sleep_ns);
		sleep_ns = sleep_ns * 2 < DRAIN_SLEEP_MAX_NS ? sleep_ns * 2 : DRAIN_SLEEP_MAX_NS;
	}
	return 0;
}

/* The driver is done with the device, for better or worse: leave nothing of it. */
static void device_tidy(struct ob_device *dev, enum ob_device_state state)
{
	device_irq_cleanup(dev);
	if (dev->ops->disable != NULL)
		dev->ops->disable(dev);
	device_dma_detach(dev);
	dev->driver_data = NULL;
	dev->was_shut = false;
	dev->suspended = false;
	__atomic_store_n(&dev->driver, NULL, __ATOMIC_RELEASE);
	device_set_state(dev, device_is_gone(dev) ? OB_DEVICE_GONE : state);
}

/* Under dev->lock. */
static int device_probe(struct ob_device *dev, const struct ob_driver *driver, const struct ob_match *row)
{
	struct ob *ob = dev->machine->ob;
	int rc;

	device_set_state(dev, OB_DEVICE_PROBING);
	watch_device_bound(dev);
	__atomic_store_n(&dev->driver, driver, __ATOMIC_RELEASE);
	rc = device_dma_attach(dev);
	if (rc != 0)
		goto none;
	rc = dev->ops->enable != NULL ? dev->ops->enable(dev) : 0;
	if (rc != 0)
		goto tidy;
	/*
	 * Offline until it has come up: what probe publishes is found at once, and who held a use of the device then
	 * would still be inside the driver when a probe that fails frees its state.
	 */
	rc = driver->probe(dev, row);
	if (rc == -ENOMEDIUM) {
		device_tidy(dev, OB_DEVICE_FOUND);
		ob_debug(ob, "%s: nothing there for %s", dev->name, driver->name);
		return -ENOENT;
	}
	if (rc != 0)
		goto tidy;
	OB_WRITE_ONCE(dev->error, 0);
	device_set_state(dev, OB_DEVICE_BOUND);
	device_set_online(dev);
	ob_info(ob, "%s: bound to %s", dev->name, driver->name);
	return 0;

tidy:
	device_tidy(dev, OB_DEVICE_FAILED);
	goto failed;
none:
	__atomic_store_n(&dev->driver, NULL, __ATOMIC_RELEASE);
	device_set_state(dev, OB_DEVICE_FAILED);
failed:
	OB_WRITE_ONCE(dev->error, rc);
	ob_err(ob, "%s: %s cannot drive it: %s", dev->name, driver->name, strerror(-rc));
	return rc;
}

int device_bind(struct ob_device *dev, uint64_t deadline_ns)
{
	const struct ob_match *row = NULL;
	const struct ob_driver *driver;
	int rc = ob_mutex_lock(&dev->lock, deadline_ns);

	if (rc != 0)
		return rc;
	dev->bind_tried = !device_is_cut_off(dev);
	if (device_is_gone(dev)) {
		rc = -ENODEV;
	} else if (device_is_cut_off(dev)) {
		rc = -EBUSY;
	} else if (dev->driver == NULL) {
		driver = match_driver(dev, &row);
		rc = driver != NULL ? device_probe(dev, driver, row) : -ENOENT;
	}
	ob_mutex_unlock(&dev->lock);
	return rc;
}

enum haste {
	TAKE_ORDERLY,
	TAKE_AT_ONCE,  /* the driver gets the device to safety before its users are waited for */
	TAKE_FOR_GOOD, /* nothing but the deadline ends the wait for its users */
};

static int take_away(struct ob_device *dev, enum haste haste, uint64_t deadline_ns)
{
	struct ob *ob = dev->machine->ob;
	uint64_t drain_ns = ob_deadline(dev->machine->drain_ns);
	int rc = ob_mutex_lock(&dev->lock, deadline_ns);

	if (rc != 0)
		return rc;
	if (dev->driver == NULL)
		goto unlock;
	device_set_offline(dev);
	if (haste == TAKE_AT_ONCE && dev->driver->shutdown != NULL && !dev->was_shut) {
		dev->was_shut = true;
		device_power_up(dev);
		dev->driver->shutdown(dev);
	}
	rc = device_drain(dev, drain_ns < deadline_ns ? drain_ns : deadline_ns);
	if (rc != 0 && haste == TAKE_FOR_GOOD && drain_ns < deadline_ns) {
		ob_warn(ob, "%s: still used (%u times), waiting for its users", dev->name, device_uses(dev));
		rc = device_drain(dev, deadline_ns);
	}
	if (rc != 0) {
		/*
		 * To go on would pull the driver away under its users: it stays, online again unless it is gone; or
		 * shut down, for then there is nothing behind it that could serve anybody.
		 */
		ob_err(ob, "%s: still used (%u times), %s stays bound%s", dev->name, device_uses(dev),
		       dev->driver->name, dev->was_shut ? ", but offline: it is shut down" : "");
		if (!dev->was_shut && haste != TAKE_FOR_GOOD)
			device_set_online(dev);
		goto unlock;
	}
	ob_info(ob, "%s: removing %s", dev->name, dev->driver->name);
	device_set_state(dev, OB_DEVICE_REMOVING);
	device_power_up(dev);
	if (device_is_gone(dev))
		watch_device_told(dev);
	dev->driver->remove(dev);
	device_tidy(dev, OB_DEVICE_FOUND);
unlock:
	if (rc == 0 && device_is_gone(dev))
		device_set_state(dev, OB_DEVICE_GONE);
	ob_mutex_unlock(&dev->lock);
	return rc;
}

int device_unbind(struct ob_device *dev, uint64_t deadline_ns)
{
	return take_away(dev, TAKE_ORDERLY, deadline_ns);
}

int device_unbind_for_good(struct ob_device *dev, uint64_t deadline_ns)
{
	return take_away(dev, TAKE_FOR_GOOD, deadline_ns);
}

int device_shutdown(struct ob_device *dev, uint64_t deadline_ns)
{
	return take_away(dev, TAKE_AT_ONCE, deadline_ns);
}

/* ---- removal of a device that is gone, or is to go ---- */

/* Nobody drives it any more: the machine may let go of it. */
static void let_go(struct ob_device *dev)
{
	struct machine *m = device_machine(dev);
	struct ob_device *now;

	if (m->ops->release == NULL)
		return;
	/* A rescan may have been faster, and found it anew: then it is that one's. */
	now = ob_device_find(dev->machine, dev->name);
	if (now == NULL || now == dev)
		m->ops->release(m, dev->name);
	if (now != NULL)
		ob_device_put(now);
}

static void gone_task(void *arg)
{
	struct ob_device *dev = arg;
	struct ob_machine *machine = dev->machine;
	int rc = device_unbind(dev, ob_deadline(DEVICE_BIND_TIMEOUT_NS));

	if (rc != 0)
		ob_err(machine->ob, "%s: gone, but it cannot be taken away: %s", dev->name, strerror(-rc));
	else
		let_go(dev);
	ob_device_put(dev);
	machine_job_end(machine);
}

void device_gone_work(struct ob_work *work)
{
	struct ob_device *dev = container_of(work, struct ob_device, gone_work);

	/* The reference and the job of ob_device_mark_gone() go to the task. Without memory for one: again in the next
	 * turn. */
	if (ob_task_spawn(ob_device_cpu(dev), "device-gone", gone_task, dev, NULL) != 0)
		ob_cpu_post(ob_device_cpu(dev), work);
}

static void leave_task(void *arg)
{
	struct ob_device *dev = arg;
	struct ob_machine *machine = dev->machine;
	int rc = device_shutdown(dev, ob_deadline(DEVICE_BIND_TIMEOUT_NS));

	if (rc != 0) {
		/* Whoever asked may ask again. */
		ob_err(machine->ob, "%s: cannot leave: %s", dev->name, strerror(-rc));
	} else {
		device_set_gone(dev);
		__atomic_store_n(&dev->state, (int)OB_DEVICE_GONE, __ATOMIC_RELEASE);
		let_go(dev);
	}
	__atomic_store_n(&dev->leaving, false, __ATOMIC_RELEASE);
	ob_device_put(dev);
	machine_job_end(machine);
}

void device_leave_work(struct ob_work *work)
{
	struct ob_device *dev = container_of(work, struct ob_device, leave_work);

	if (ob_task_spawn(ob_device_cpu(dev), "device-leave", leave_task, dev, NULL) != 0)
		ob_cpu_post(ob_device_cpu(dev), work);
}

/* ---- from outside ---- */

static int bind_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_bind(dev, deadline_ns);
}

static int unbind_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_unbind(dev, deadline_ns);
}

static int shutdown_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_shutdown(dev, deadline_ns);
}

int ob_device_bind(struct ob_device *dev)
{
	return machine_run_task(dev->machine, dev, "device-bind", bind_task, ob_deadline(DEVICE_BIND_TIMEOUT_NS));
}

int ob_device_unbind(struct ob_device *dev)
{
	return machine_run_task(dev->machine, dev, "device-unbind", unbind_task, ob_deadline(DEVICE_BIND_TIMEOUT_NS));
}

int ob_device_shutdown(struct ob_device *dev)
{
	return machine_run_task(dev->machine, dev, "device-shutdown", shutdown_task,
				ob_deadline(DEVICE_BIND_TIMEOUT_NS));
}
