/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus types of the simulated build, in place of types.c: those that its machine has. */
#include "bus/pci/pci.h"

const struct bus_type *const bus_types[] = {
	&pci_bus_type,
	NULL,
};
