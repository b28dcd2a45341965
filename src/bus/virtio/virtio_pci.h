/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI transport inside: VIRTIO 1.2 §4.1. */
#ifndef OB_BUS_VIRTIO_VIRTIO_PCI_H
#define OB_BUS_VIRTIO_VIRTIO_PCI_H

#include "bus/virtio/carrier.h"

/* A structure of the device's: a part of a BAR that a capability names. */
struct virtio_pci_window {
	struct ob_region region; /* of the whole BAR */
	uint64_t offset, len_bytes;
};

struct virtio_pci {
	struct virtio_carrier carrier;                        /* first; the function */
	struct virtio_pci_window common, notify, isr, config; /* config: len_bytes 0: there is none */
	uint32_t notify_multiplier;
};

/* What a vendor capability says, unchecked. */
struct virtio_pci_cap {
	uint8_t type, bar, len;
	uint32_t offset, length, extra;
};

/* ---- virtio_pci_cap.c ---- */

/**
 * virtio_pci_windows - find the structures that the device must have, and open their regions
 *
 * Return: 0; -EOPNOTSUPP it has none of them: a legacy device; -EIO one is missing or makes no sense; each with a line in
 * the log; or the errno of ob_device_region().
 */
int virtio_pci_windows(struct virtio_pci *p);

#endif
