/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A "ferry": a small PCI device that copies memory. It does not exist; it is here to show how a driver is written and
 * tested before there is hardware. This is what would stand in its manual, and what the driver offers.
 *
 * Requests lie in a ring in memory. The driver fills an entry, its status last and zero, and writes the number of
 * entries that it has ever filled to TAIL. The device copies, writes the status, and sends message 0.
 */
#ifndef FERRY_H
#define FERRY_H

#include <assert.h>

#include <outboard/driver.h>

/* Registers of BAR 0, 32 bits each but for RING. */
#define FERRY_ID      0x00 /* FERRY_ID_VALUE */
#define FERRY_CONTROL 0x04 /* bit 0: run. The ring starts at entry 0 when it is set. */
#define FERRY_STATUS  0x08 /* bit 0: runs, and may reach memory */
#define FERRY_SIZE    0x0c /* entries in the ring, a power of two; before it runs */
#define FERRY_RING    0x10 /* 64 bits: where the ring is; before it runs */
#define FERRY_TAIL    0x18 /* entries filled, ever since it runs */

#define FERRY_ID_VALUE  0x79727246u
#define FERRY_RUN       1u
#define FERRY_BAR_BYTES 4096
#define FERRY_VENDOR    0x0b0du
#define FERRY_DEVICE    0xfe44u

struct ferry_entry {
	ob_le64 from, to;
	ob_le32 len_bytes;
	ob_le32 status; /* 0 until the device is done with it */
};
static_assert(sizeof(struct ferry_entry) == 24, "the layout of an entry");

#define FERRY_DONE   1u
#define FERRY_FAILED 2u /* with DONE: the bus refused */

extern const struct ob_driver ferry_driver;

/**
 * ferry_copy - have a ferry copy @len_bytes from @from to @to, both in @window, which was granted to it
 *
 * Context: a task of the device's CPU. Any number of tasks at a time.
 * Return: 0; -EIO the device could not; -EBUSY the ring is full; -ETIMEDOUT, and the device was stopped and started
 * again; -ENODEV; -EFAULT or -EACCES of the buffers.
 */
int ferry_copy(struct ob_device *dev, const struct ob_window *window, void *to, const void *from, uint32_t len_bytes,
	       uint64_t deadline_ns);

#endif
