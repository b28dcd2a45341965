/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver is: a match table and a few functions. Includes all that driver code may use. */
#ifndef OUTBOARD_DRIVER_H
#define OUTBOARD_DRIVER_H

#include <outboard/cpu.h>
#include <outboard/device.h>
#include <outboard/dma.h>
#include <outboard/irq.h>
#include <outboard/log.h>
#include <outboard/machine.h>
#include <outboard/mmio.h>
#include <outboard/poll.h>
#include <outboard/trace.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ob_match_kind {
	OB_MATCH_END,
	OB_MATCH_PCI_ID,    /* vendor, device; subvendor and subdevice unless OB_ANY */
	OB_MATCH_PCI_CLASS, /* class_code under class_mask */
	OB_MATCH_DT,        /* compatible */
	OB_MATCH_ACPI,      /* _HID or _CID in compatible */
	OB_MATCH_VIRTIO,    /* virtio device id in device */
};

#define OB_ANY 0xffffffffu

/* One way in which a device may be found. All that a bus knows of a device is compared; the most exact row wins. */
struct ob_match {
	enum ob_match_kind kind;
	uint32_t vendor, device, subvendor, subdevice;
	uint32_t class_code, class_mask; /* 24 bits: base, sub, interface */
	const char *compatible;
	uintptr_t driver_data; /* the driver's own */
};

#define OB_PCI_ID(v, d)                                                  \
	{                                                                \
		OB_MATCH_PCI_ID, (v), (d), OB_ANY, OB_ANY, 0, 0, NULL, 0 \
	}
#define OB_PCI_CLASS(code, mask)                                                            \
	{                                                                                   \
		OB_MATCH_PCI_CLASS, OB_ANY, OB_ANY, OB_ANY, OB_ANY, (code), (mask), NULL, 0 \
	}
#define OB_MATCH_LAST                                   \
	{                                               \
		OB_MATCH_END, 0, 0, 0, 0, 0, 0, NULL, 0 \
	}

/* Static and const. All functions run in task context on CPU 0. */
struct ob_driver {
	const char *name;
	const struct ob_match *match; /* ends with OB_MATCH_LAST */
	/*
	 * Bring the device up. On failure everything is undone and the device is quiet. It goes online when this has
	 * returned 0: ob_device_get_online() says no before that, also for what probe published. -ENOMEDIUM: it is a place
	 * for a device, with none in it; that is no failure, and it stays without a driver.
	 */
	int (*probe)(struct ob_device *dev, const struct ob_match *match);
	/* Take it down; also called for a device that is gone. Every request has ended when it returns. */
	void (*remove)(struct ob_device *dev);
	/* Power is about to go: get the device to safety at once, while requests are in flight. remove follows. May be
	 * NULL. */
	void (*shutdown)(struct ob_device *dev);
	/*
	 * suspend - stop work and quiesce the device: no DMA and no register access after this, what it keeps in
	 * volatile memory is saved, and what users ask for waits. The bus then saves its own state and takes the power.
	 * @deadline_ns bounds the wait for what is in flight. On failure the device works on as before.
	 * Return: 0 or negative errno. NULL: the device cannot be suspended.
	 */
	int (*suspend)(struct ob_device *dev, uint64_t deadline_ns);
	/*
	 * resume - the device has power and the bus's state again, and may have lost all else: bring it up, go on with
	 * what waits. Return: 0; -EAGAIN nothing was done by the deadline, it stays suspended; or negative errno: the
	 * device is quiet and all requests have ended.
	 * remove and shutdown may be called for a suspended device in place of this; it has power again then.
	 */
	int (*resume)(struct ob_device *dev, uint64_t deadline_ns);
};

/** ob_driver_register - add a driver to the context; it is matched against devices found from now on. 0; -EEXIST;
 * -ENOMEM */
int ob_driver_register(struct ob *ob, const struct ob_driver *driver);

/** ob_driver_fits_pci - is there a built-in driver for a PCI function with these ids and this class? Any context. */
bool ob_driver_fits_pci(uint32_t vendor, uint32_t device, uint32_t class_code);

/** ob_device_set_driver_data, ob_device_driver_data - the driver's own pointer, from probe to the end of remove */
void ob_device_set_driver_data(struct ob_device *dev, void *data);
void *ob_device_driver_data(const struct ob_device *dev);

/** ob_device_cpu - the CPU on which the device's probe, remove and reset run: CPU 0 */
struct ob_cpu *ob_device_cpu(const struct ob_device *dev);

/**
 * ob_device_region - register region @index of the device (PCI: BAR number)
 * @out: filled; valid until the driver's remove returns. len is 0 where the device has no such region.
 *
 * Return: 0; -ENXIO no such region; -ENOMEM; -ENODEV.
 */
int ob_device_region(struct ob_device *dev, unsigned index, struct ob_region *out);

/**
 * ob_device_enable_dma - let the device be bus master, or not
 *
 * Switching it off is tried on a device that seems to be gone, too: registers may read all ones for a while.
 * Return: 0; -ENODEV, when it is switched on.
 */
int ob_device_enable_dma(struct ob_device *dev, bool enable);

/**
 * ob_device_reset - all that was set up in the device is lost, but for what the bus set up, which it puts back
 *
 * By the device's own means (PCI: a function-level reset), or where it has none by the machine's (VFIO: the kernel's).
 * Context: task.
 * Return: 0; -EOPNOTSUPP there is neither; -EBUSY others use what would be reset with it; -ENODEV; -ETIMEDOUT.
 */
int ob_device_reset(struct ob_device *dev);

/**
 * ob_device_is_present - is it still there, and still the one that was bound?
 *
 * Something is asked that cannot read all ones (PCI: the vendor id), and whether the device holds what the bus set up:
 * one that was without power for a while has lost what it held, and counts as gone. Not hard context.
 */
bool ob_device_is_present(struct ob_device *dev);

#ifdef __cplusplus
}
#endif
#endif
