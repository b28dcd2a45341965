/* SPDX-License-Identifier: BSD-2-Clause */
/* The device of the rules' tests, and how a test gets at it. */
#ifndef TESTS_SIM_RULES_DEVICE_H
#define TESTS_SIM_RULES_DEVICE_H

#include <outboard/driver.h>
#include <outboard/outboard.h>

#include "sim/sim.h"

#define RULES_VENDOR  0x1b36u
#define RULES_DEVICE  0x00ffu
#define RULES_VECTORS 2

/* Registers. */
#define RULES_CAUSE   0x00 /* why it interrupts; writing 1 clears; the pin is up while any is set that is not masked */
#define RULES_MASK    0x04
#define RULES_RAISE   0x08 /* sets causes; cause 0 and 1 are message 0 and 1 */
#define RULES_ADDRESS 0x10 /* 8 bytes */
#define RULES_LENGTH  0x18 /* starts a transfer, which ends with cause 0 */
#define RULES_WRITE   0x80000000u
#define RULES_UNSEEN  0x80000000u /* a cause that it waits for somebody to see */

extern const struct sim_device_type *const rules_devices[];

/* What a test's driver has of the device. */
struct rules_device {
	struct ob_device *dev;
	struct ob_region regs;
	struct ob_machine *machine;
	struct ob_irq *irq;
	struct ob_window *window;
	unsigned vectors;
	unsigned count; /* of interrupts */
};

/* Run @body in the probe of a driver of the device, which may do DMA; then remove it, and end it all. */
void rules_with_device(void (*body)(struct rules_device *d));
/* … with @remove in its remove, and @after on the first thread when it is unbound. Both may be NULL. */
void rules_with_driver(void (*body)(struct rules_device *d), void (*remove)(struct rules_device *d),
		       void (*after)(struct rules_device *d));
/* A transfer, and its end. */
void rules_transfer(struct rules_device *d, ob_iova iova, uint32_t len_bytes, bool write);
void rules_transfer_wait(struct rules_device *d);
/* As a hand on the machine does; the device's thread does it, for sim_device_set(). */
void rules_device_unplug(void *arg);

#endif
