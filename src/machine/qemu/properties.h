/* SPDX-License-Identifier: BSD-2-Clause */
/* The properties of a device of QEMU's as a URI has them: "a=b,c=d". */
#ifndef OB_MACHINE_QEMU_PROPERTIES_H
#define OB_MACHINE_QEMU_PROPERTIES_H

/*
 * Take out of @properties what is not for QEMU.
 * @take: says of each property: 0, it stays; 1, it is taken; negative errno, which ends it
 */
int qemu_properties_take(char *properties, int (*take)(void *arg, const char *property), void *arg);

#endif
