/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The q35 chipset as firmware would set it up: memory-mapped configuration space, and the doorbell device of message
 * interrupts. It also says which addresses bus/pci may give out. All registers over qtest.
 *
 *	0xb0000000  configuration space (ECAM), 256 MiB
 *	0xc0000000  BARs of 32 bits, up to the doorbell
 *	0xfe000000  the doorbell device's registers
 *	0x4000000000 BARs of 64 bits, 256 GiB: above all memory, below 2^39, which every IOMMU can express
 */
#ifndef OB_MACHINE_QEMU_HOST_H
#define OB_MACHINE_QEMU_HOST_H

#include "machine/qemu/qtest.h"

/* 0; -ENODEV QEMU is gone; -EINVAL not a q35. */
int qemu_host_init(struct qtest *q);
/* Give the doorbell device its address. 0; -ENODEV QEMU is gone; -ENOENT no such device. */
int qemu_host_map_doorbell(struct qtest *q, uint64_t *bar);
/* The bus for bus/pci; without the doorbell device when it is in use. */
void qemu_host_describe(struct machine_pci_host *out, bool doorbell);

#endif
