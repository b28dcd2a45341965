/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and drivers, as applications and drivers see them.
 *
 * A bus finds devices; the core matches them against the drivers' tables; a bound driver publishes class objects.
 * A device is reference-counted: memory lives until the last put. Being online is apart from that: a removed device
 * goes offline at once, and ob_device_get_online() then fails.
 */
#ifndef OUTBOARD_DEVICE_H
#define OUTBOARD_DEVICE_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_device;
struct ob_machine;

enum ob_device_state {
	OB_DEVICE_FOUND,   /* no driver */
	OB_DEVICE_PROBING, /* a driver's probe is running */
	OB_DEVICE_BOUND,
	OB_DEVICE_SUSPENDED, /* bound, and without power: what users ask for waits */
	OB_DEVICE_FAILED,    /* the driver's probe failed; ob_device_error() says how */
	OB_DEVICE_REMOVING,
	OB_DEVICE_GONE, /* surprise-removed or dead; only references keep it */
};

/** ob_device_next - iterate a machine's devices, parents before children; @previous is put, the result is held. NULL
 * ends. */
struct ob_device *ob_device_next(struct ob_machine *machine, struct ob_device *previous);
/** ob_device_find - the device named @name ("0000:00:04.0"), held; or NULL */
struct ob_device *ob_device_find(struct ob_machine *machine, const char *name);

/** ob_device_get, ob_device_put - hold the memory; any context. Returns @dev. */
struct ob_device *ob_device_get(struct ob_device *dev);
void ob_device_put(struct ob_device *dev);

/** ob_device_get_online - take a use of the device if it is online, atomically; false when it is gone. Any context. */
bool ob_device_get_online(struct ob_device *dev);
/** ob_device_put_online - give the use back */
void ob_device_put_online(struct ob_device *dev);

/* What a device is; valid while it is held. Any context. */
const char *ob_device_name(const struct ob_device *dev);
const char *ob_device_bus_name(const struct ob_device *dev); /* "pci" */
/*
 * Is it of a kind made for virtual machines (virtio)? Where there is an emulated card beside it, that costs an exit for each
 * register, and this is to be preferred.
 */
bool ob_device_is_paravirtual(const struct ob_device *dev);
struct ob_device *ob_device_parent(const struct ob_device *dev);
struct ob_machine *ob_device_machine(const struct ob_device *dev);
struct ob *ob_device_context(const struct ob_device *dev);
enum ob_device_state ob_device_state(const struct ob_device *dev);
int ob_device_error(const struct ob_device *dev);               /* negative errno of the last probe, or 0 */
const char *ob_device_driver_name(const struct ob_device *dev); /* NULL when unbound */

/** ob_device_bind - match and probe now. A plain thread or a task. Return: 0; -ENOENT no driver; probe's errno. */
int ob_device_bind(struct ob_device *dev);
/** ob_device_unbind - remove the driver; requests in flight end first. Return: 0; -ETIMEDOUT. */
int ob_device_unbind(struct ob_device *dev);
/**
 * ob_device_shutdown - power is about to go: the device saves what it must, at once, then the driver is removed
 *
 * The hasty way (NVMe: abrupt shutdown). Requests in flight end with -ENODEV or as the device answered. With time left,
 * ob_device_unbind() and ob_machine_close() end them first and shut down normally.
 * Context: task, or a plain thread.
 * Return: 0; -ETIMEDOUT.
 */
int ob_device_shutdown(struct ob_device *dev);
/**
 * ob_device_suspend - stop the device's work, save what it holds, and let it have no power
 * @dev:         held; bound to a driver
 * @deadline_ns: for its turn, and for what is in flight to end; each later step has a bound of its own
 *
 * It stays online: channels stay open, and what is submitted or asked for meanwhile waits until ob_device_resume(), its
 * own deadline, its cancellation, or the end of its channel or device. A suspended device may be unbound, shut down or
 * pulled out. One that is suspended already is left as it is.
 * Context: task, or a plain thread.
 * Return: 0; -ENOENT no driver; -EOPNOTSUPP its driver cannot; -EBUSY a device behind it works; -ENODEV gone; -ETIMEDOUT;
 * -ENOMEM; or what the driver met. Unless it is gone it works on as before then.
 * Spec: PCI Bus Power Management Interface 1.2 §5.4.1 (D3hot).
 */
int ob_device_suspend(struct ob_device *dev, uint64_t deadline_ns);
/**
 * ob_device_resume - power again, its state made anew, and on with what waits
 * @dev:         held; one that is not suspended is left as it is
 * @deadline_ns: for its turn; each later step has a bound of its own
 *
 * What was in flight when it was suspended, and not answered, is issued again.
 * Context: task, or a plain thread.
 * Return: 0; -EBUSY a device that it is behind is suspended; -ENODEV it is gone, or has no driver; -ETIMEDOUT nothing was
 * done; -ENOMEM; or why the driver gave it up: then all that waited has ended with an error.
 */
int ob_device_resume(struct ob_device *dev, uint64_t deadline_ns);
/** ob_device_mark_gone - the device stopped answering (all-ones, confirmed): offline now, removal follows. Any context.
 */
void ob_device_mark_gone(struct ob_device *dev, const char *why);

#ifdef __cplusplus
}
#endif
#endif
