/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI and PCIe functions: configuration space, capabilities, what a function is made of.
 *
 * All of it works on devices whose bus is "pci" and answers -EINVAL for others. Not for hard context: configuration
 * access may be slow.
 */
#ifndef OUTBOARD_PCI_H
#define OUTBOARD_PCI_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_device;

struct ob_pci_bar {
	uint64_t address;   /* as assigned; 0 when not */
	uint64_t len_bytes; /* 0: no such BAR */
	bool io, is_64bit, prefetchable;
};

struct ob_pci_info {
	uint16_t segment;
	uint8_t bus, slot, function;
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;           /* 24 bits */
	uint8_t revision, header_type; /* header type without the multi-function bit */
	bool multifunction, express;
	uint8_t interrupt_pin;                  /* 1 = INTA; 0 none */
	uint8_t secondary_bus, subordinate_bus; /* bridges */
	struct ob_pci_bar bar[6];
	struct ob_pci_bar rom;
	uint16_t msix_vectors, msi_vectors; /* 0: no such capability; after quirks */
	bool flr;
};

/** ob_pci_info - what enumeration found; 0; -EINVAL not a PCI device */
int ob_pci_info(const struct ob_device *dev, struct ob_pci_info *out);

/** ob_pci_read - @size_bytes 1, 2 or 4, naturally aligned; all ones when the function is gone */
uint32_t ob_pci_read(struct ob_device *dev, unsigned offset, unsigned size_bytes);
/** ob_pci_write - decoding, bus mastering, interrupts and BARs are the bus's: ask core for those, do not write them */
void ob_pci_write(struct ob_device *dev, unsigned offset, unsigned size_bytes, uint32_t value);

/** ob_pci_find_capability - offset of the first capability @id after @previous (0: from the start), or 0 */
unsigned ob_pci_find_capability(struct ob_device *dev, uint8_t id, unsigned previous);
/** ob_pci_find_extended_capability - the same in extended configuration space, PCI Express's */
unsigned ob_pci_find_extended_capability(struct ob_device *dev, uint16_t id, unsigned previous);

/** ob_pci_class_name - "Non-Volatile memory controller"; never NULL */
const char *ob_pci_class_name(uint32_t class_code);

/** ob_pci_describe - one function in full, as text in the manner of lspci -vv; to be freed with ob_free(); NULL no
 * memory */
char *ob_pci_describe(struct ob_device *dev);

#ifdef __cplusplus
}
#endif
#endif
