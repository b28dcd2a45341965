/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus types that are built in. */
#include "core/device.h"

const struct bus_type *const bus_types[] = {
	NULL,
};
