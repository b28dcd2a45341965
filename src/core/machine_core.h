/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine inside core: its devices, windows and interrupt lines, and the calls that the files of core share.
 *
 * Memory and life are apart: struct ob_machine lives until the last reference (devices and windows hold some); the
 * machine's implementation behind it lives until it is closed and the last window is gone.
 */
#ifndef OB_CORE_MACHINE_CORE_H
#define OB_CORE_MACHINE_CORE_H

#include <outboard/cpu.h>
#include <outboard/dma.h>
#include <outboard/machine.h>

#include "base/list.h"
#include "core/device.h"
#include "machine/machine.h"

#define MACHINE_BUS_KINDS (MACHINE_BUS_VIRTIO + 1)

/* How long uses of a device may take to end, a removal to have its turn, and a machine to be taken apart. */
#define DEVICE_DRAIN_TIMEOUT_NS  (10 * OB_NS_PER_S)
#define DEVICE_BIND_TIMEOUT_NS   (30 * OB_NS_PER_S)
#define MACHINE_CLOSE_TIMEOUT_NS (60 * OB_NS_PER_S)

struct ob_machine {
	struct list link; /* ob.machines, under ob.lock; empty once it is closed */
	struct ob *ob;
	struct machine *m; /* &gone once it is closed */
	struct machine gone;
	char *uri;
	unsigned flags;
	unsigned refs;     /* __atomic: this memory */
	unsigned m_users;  /* __atomic: the open machine, and each window */
	bool dead;         /* __atomic: died or closed */
	bool why_said;     /* __atomic: its death or close was reported */
	unsigned jobs;     /* __atomic: removals under way on CPU 0 */
	unsigned stuck;    /* devices that were removed with a driver that nobody could take away; CPU 0 */
	uint64_t drain_ns; /* how long uses of a device may take to end, DEVICE_DRAIN_TIMEOUT_NS */
	struct ob_work dead_work;
	struct ob_mutex mutex; /* scan, bind all, take apart: tasks of CPU 0 */
	void *bus_data[MACHINE_BUS_KINDS];
	struct list devices; /* struct ob_device.link, parents first; under ob.lock */
	uint64_t device_serial;
	/* dma.c */
	struct ob_lock dma_lock;
	struct list windows;
	struct ob_device *dma_devices[OB_DMA_DEVICE_MAX]; /* by index, of this machine; bound ones */
	/* irq.c */
	struct ob_lock irq_lock;
	struct list irq_lines;
};

static inline bool machine_is_dead(const struct ob_machine *machine)
{
	return __atomic_load_n(&machine->dead, __ATOMIC_RELAXED);
}

/* ---- machine.c ---- */

struct ob_machine *machine_get(struct ob_machine *machine);
void machine_put(struct ob_machine *machine);
/* A use of the implementation behind it: false once it is closed. */
bool machine_use(struct ob_machine *machine);
void machine_unuse(struct ob_machine *machine);
/* A removal that goes on by itself on CPU 0; a close waits for all of them. Any context. */
void machine_job_begin(struct ob_machine *machine);
void machine_job_end(struct ob_machine *machine);
/* All of ob_machine_close() but the choice of the deadline. */
void machine_close(struct ob_machine *machine, uint64_t deadline_ns);
/* All of ob_machine_open() but the look-up of the scheme. */
int machine_open(struct ob *ob, const struct machine_type *type, const char *uri, const char *rest,
		 const struct ob_machine_options *options, struct ob_machine **out);

/* ---- machine_gone.c, machine_task.c ---- */

extern const struct machine_ops machine_gone_ops;

/*
 * Run @fn in a task of CPU 0 and wait for it: a plain call in a task of CPU 0, otherwise a task is spawned. @dev may be
 * NULL; both are held meanwhile. Return: what @fn returns; -ETIMEDOUT it goes on alone; -EDEADLK in hard or soft
 * context; -ENOMEM.
 */
typedef int (*machine_task_fn)(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns);
int machine_run_task(struct ob_machine *machine, struct ob_device *dev, const char *name, machine_task_fn fn,
		     uint64_t deadline_ns);

/* ---- device.c ---- */

/* Nothing answers any more: the device or its machine. Any context. */
bool device_is_gone(const struct ob_device *dev);
/* Offline and gone without a removal; true for the first to say so. Any context. */
bool device_set_gone(struct ob_device *dev);
/* An orderly removal while the device still works: shut down, unbound, then gone. Any context. */
void device_leave(struct ob_device *dev, const char *why);
/*
 * ob_device_mark_gone() for when the driver does not know yet: its shutdown ends what its users wait for, since nothing
 * will come from the device.
 */
void device_vanish(struct ob_device *dev, const char *why);
void device_set_online(struct ob_device *dev);
void device_set_offline(struct ob_device *dev);
/* Uses that are held now. */
unsigned device_uses(const struct ob_device *dev);
/* device_remove() with a deadline. 0; or the driver is stuck in it, and its memory stays. Task on CPU 0. */
int device_remove_until(struct ob_device *dev, uint64_t deadline_ns);
/* The last device of the machine that was added before @serial, held, or NULL. */
struct ob_device *device_before(struct ob_machine *machine, uint64_t serial);

/* ---- bind.c: tasks of CPU 0 ---- */

int device_bind(struct ob_device *dev, uint64_t deadline_ns);
int device_unbind(struct ob_device *dev, uint64_t deadline_ns);
/* The device is removed: its users are waited for until the deadline, and it does not go online again. */
int device_unbind_for_good(struct ob_device *dev, uint64_t deadline_ns);
/* The driver's shutdown first. Should users keep it bound all the same, it stays offline until it is unbound. */
int device_shutdown(struct ob_device *dev, uint64_t deadline_ns);
/* Works of dev->gone_work and dev->leave_work. */
void device_gone_work(struct ob_work *work);
void device_leave_work(struct ob_work *work);

/* ---- suspend.c: tasks of CPU 0 ---- */

int device_suspend(struct ob_device *dev, uint64_t deadline_ns);
int device_resume(struct ob_device *dev, uint64_t deadline_ns);
/* Power for a device that has none, with what the bus set up. Under dev->lock. 0; -ENODEV: it is marked as gone. */
int device_power_up(struct ob_device *dev);
/* Something that it is behind is suspended. */
bool device_is_cut_off(struct ob_device *dev);

/* ---- dma.c ---- */

void machine_dma_init(struct ob_machine *machine);
/* The device's place in the grants of windows, for as long as it is bound. 0; -ENOSPC. */
int device_dma_attach(struct ob_device *dev);
/* Free what the driver leaked, with a line each, and take back all grants. The device is quiet. */
void device_dma_detach(struct ob_device *dev);

/* ---- irq.c ---- */

void machine_irq_init(struct ob_machine *machine);
/* Free what the driver left, with a line each. */
void device_irq_cleanup(struct ob_device *dev);

#endif
