/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers that are built in. */
#include "core/device.h"

const struct ob_driver *const builtin_drivers[] = {
	NULL,
};
