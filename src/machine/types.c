/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine types that are built in. */
#include "machine/machine.h"

const struct machine_type *const machine_types[] = {
	NULL,
};
