/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine with nothing in it but memory: for tests of what lies above the buses. A device is added by hand and bound
 * to whatever driver the test registered.
 */
#ifndef TESTS_RAM_MACHINE_H
#define TESTS_RAM_MACHINE_H

#include <outboard/driver.h>

#define RAM_COMPATIBLE "test,ram" /* what its devices match, OB_MATCH_DT */

int ram_machine_open(struct ob *ob, struct ob_machine **out);
/* Add a device and bind it; @arg is the driver's. Returns what the bind returned; then the device was removed again. */
int ram_machine_add(struct ob_machine *machine, const char *name, void *arg, struct ob_device **out);
/* Unbind and remove. */
void ram_machine_remove(struct ob_device *dev);
void *ram_device_arg(struct ob_device *dev);
/* From now on it is of a kind made for virtual machines. */
void ram_device_make_paravirtual(struct ob_device *dev);

#endif
