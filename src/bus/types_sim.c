/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus types of the simulated build, in place of types.c: those that its machine has. */
#include "bus/pci/pci.h"
#include "bus/virtio/virtio.h"

const struct bus_type *const bus_types[] = {
	&pci_bus_type,
	&virtio_bus_type,
	NULL,
};

const struct ob_driver *const bus_drivers[] = {
	&virtio_pci_driver,
	NULL,
};
