/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus types that are built in. */
#include "bus/dt/dt.h"
#include "bus/pci/pci.h"

const struct bus_type *const bus_types[] = {
	&pci_bus_type,
	&dt_bus_type,
	NULL,
};
