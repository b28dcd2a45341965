/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of iommufd's interface is used here: Linux's uapi <linux/iommufd.h> and the additions to <linux/vfio.h> of Linux
 * 6.6. The headers that the oldest supported distributions install are older than that, so the numbers stand here; they
 * are fixed for ever.
 */
#ifndef OB_MACHINE_VFIO_IOMMUFD_ABI_H
#define OB_MACHINE_VFIO_IOMMUFD_ABI_H

#include <linux/ioctl.h>
#include <stdint.h>

#define IOMMUFD_DESTROY     _IO(';', 0x80)
#define IOMMUFD_IOAS_ALLOC  _IO(';', 0x81)
#define IOMMUFD_IOAS_RANGES _IO(';', 0x84)
#define IOMMUFD_IOAS_MAP    _IO(';', 0x85)
#define IOMMUFD_IOAS_UNMAP  _IO(';', 0x86)

#define VFIO_CDEV_BIND   _IO(';', 118)
#define VFIO_CDEV_ATTACH _IO(';', 119)

struct iommufd_ioas_alloc {
	uint32_t size, flags;
	uint32_t ioas; /* out */
};

struct iommufd_range {
	uint64_t first, last;
};

struct iommufd_ioas_ranges {
	uint32_t size, ioas;
	uint32_t count; /* in: room, out: how many there are */
	uint32_t reserved;
	uint64_t ranges;    /* address of an array */
	uint64_t alignment; /* out: of addresses */
};

#define IOMMUFD_MAP_FIXED 1u
#define IOMMUFD_MAP_WRITE 2u /* by the device */
#define IOMMUFD_MAP_READ  4u

struct iommufd_ioas_map {
	uint32_t size, flags, ioas, reserved;
	uint64_t base, len_bytes, iova;
};

struct iommufd_ioas_unmap {
	uint32_t size, ioas;
	uint64_t iova, len_bytes; /* len out: how much was unmapped */
};

struct vfio_cdev_bind {
	uint32_t size, flags;
	int32_t iommufd;
	uint32_t device; /* out */
};

struct vfio_cdev_attach {
	uint32_t size, flags;
	uint32_t ioas;
};

_Static_assert(sizeof(struct iommufd_ioas_alloc) == 12, "layout");
_Static_assert(sizeof(struct iommufd_ioas_ranges) == 32, "layout");
_Static_assert(sizeof(struct iommufd_ioas_map) == 40, "layout");
_Static_assert(sizeof(struct iommufd_ioas_unmap) == 24, "layout");
_Static_assert(sizeof(struct vfio_cdev_bind) == 16, "layout");
_Static_assert(sizeof(struct vfio_cdev_attach) == 12, "layout");

#endif
