/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's log says of blocked DMA. VFIO tells a process nothing of it, so this is the only place from which a
 * device and an address can be had. The texts are those of Linux's intel-iommu and amd_iommu drivers, 4.19 to 6.12.
 */
#ifndef OB_MACHINE_VFIO_KERNEL_LOG_H
#define OB_MACHINE_VFIO_KERNEL_LOG_H

#include <outboard/types.h>

struct vfio_fault {
	uint16_t segment; /* 0 where the text has none */
	uint16_t bdf;
	uint64_t address;
	bool write; /* the device wrote */
};

/** kernel_log_fault - is this line about blocked DMA? */
bool kernel_log_fault(const char *line, struct vfio_fault *out);

#endif
