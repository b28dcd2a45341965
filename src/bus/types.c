/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus types that are built in, and the drivers by which one bus carries another. */
#include "bus/dt/dt.h"
#include "bus/pci/pci.h"
#include "bus/virtio/virtio.h"

const struct bus_type *const bus_types[] = {
	&pci_bus_type,
	&dt_bus_type,
	&virtio_bus_type,
	NULL,
};

const struct ob_driver *const bus_drivers[] = {
	&virtio_pci_driver,
	&virtio_mmio_driver,
	NULL,
};
