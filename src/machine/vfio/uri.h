/* SPDX-License-Identifier: BSD-2-Clause */
/* What a "vfio:" URI asks for: "0000:01:00.0[,0000:02:00.0…][?backend=group|iommufd]". Nothing is looked at here. */
#ifndef OB_MACHINE_VFIO_URI_H
#define OB_MACHINE_VFIO_URI_H

#include <outboard/types.h>

#define VFIO_DEVICES_MAX 16

enum vfio_backend_choice {
	VFIO_BACKEND_AUTO, /* iommufd where the kernel has it for the device */
	VFIO_BACKEND_GROUP,
	VFIO_BACKEND_IOMMUFD,
};

/* Where a PCI function is. */
struct vfio_address {
	uint16_t segment;
	uint16_t bdf; /* bus << 8 | slot << 3 | function */
};

struct vfio_uri {
	struct vfio_address device[VFIO_DEVICES_MAX];
	unsigned device_count;
	enum vfio_backend_choice backend;
};

/** vfio_uri_parse - @rest: after "vfio:". On an error @why has one line about it. 0; -EINVAL. */
int vfio_uri_parse(const char *rest, struct vfio_uri *out, char *why, size_t why_bytes);
/** vfio_address_parse - "0000:01:00.0" or "01:00.0", up to @end or the text's end. 0; -EINVAL. */
int vfio_address_parse(const char *text, const char *end, struct vfio_address *out);

#endif
