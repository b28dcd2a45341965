/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers that are built in. */
#include "core/device.h"
#include "drivers/block/nvme/nvme.h"

const struct ob_driver *const builtin_drivers[] = {
	&nvme_driver,
	NULL,
};
