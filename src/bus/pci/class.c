/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of class codes: PCI Code and ID Assignment Specification 1.11 §1, in the words that lspci's users know. */
#include "bus/pci/text.h"

struct class_name {
	uint16_t code; /* base and sub-class */
	const char *name;
};

static const struct class_name classes[] = {
	{0x0000, "Non-VGA unclassified device"},
	{0x0001, "VGA compatible unclassified device"},
	{0x0100, "SCSI storage controller"},
	{0x0101, "IDE interface"},
	{0x0102, "Floppy disk controller"},
	{0x0103, "IPI bus controller"},
	{0x0104, "RAID bus controller"},
	{0x0105, "ATA controller"},
	{0x0106, "SATA controller"},
	{0x0107, "Serial Attached SCSI controller"},
	{0x0108, "Non-Volatile memory controller"},
	{0x0109, "Universal Flash Storage controller"},
	{0x0180, "Mass storage controller"},
	{0x0200, "Ethernet controller"},
	{0x0201, "Token ring network controller"},
	{0x0202, "FDDI network controller"},
	{0x0203, "ATM network controller"},
	{0x0204, "ISDN controller"},
	{0x0207, "Infiniband controller"},
	{0x0208, "Fabric controller"},
	{0x0280, "Network controller"},
	{0x0300, "VGA compatible controller"},
	{0x0301, "XGA compatible controller"},
	{0x0302, "3D controller"},
	{0x0380, "Display controller"},
	{0x0400, "Multimedia video controller"},
	{0x0401, "Multimedia audio controller"},
	{0x0402, "Computer telephony device"},
	{0x0403, "Audio device"},
	{0x0480, "Multimedia controller"},
	{0x0500, "RAM memory"},
	{0x0501, "FLASH memory"},
	{0x0502, "CXL"},
	{0x0580, "Memory controller"},
	{0x0600, "Host bridge"},
	{0x0601, "ISA bridge"},
	{0x0602, "EISA bridge"},
	{0x0603, "MicroChannel bridge"},
	{0x0604, "PCI bridge"},
	{0x0605, "PCMCIA bridge"},
	{0x0606, "NuBus bridge"},
	{0x0607, "CardBus bridge"},
	{0x0608, "RACEway bridge"},
	{0x0609, "Semi-transparent PCI-to-PCI bridge"},
	{0x060a, "InfiniBand to PCI host bridge"},
	{0x0680, "Bridge"},
	{0x0700, "Serial controller"},
	{0x0701, "Parallel controller"},
	{0x0702, "Multiport serial controller"},
	{0x0703, "Modem"},
	{0x0780, "Communication controller"},
	{0x0800, "PIC"},
	{0x0801, "DMA controller"},
	{0x0802, "Timer"},
	{0x0803, "RTC"},
	{0x0804, "PCI Hot-plug controller"},
	{0x0805, "SD Host controller"},
	{0x0806, "IOMMU"},
	{0x0880, "System peripheral"},
	{0x0900, "Keyboard controller"},
	{0x0901, "Digitizer Pen"},
	{0x0902, "Mouse controller"},
	{0x0980, "Input device controller"},
	{0x0c00, "FireWire (IEEE 1394)"},
	{0x0c03, "USB controller"},
	{0x0c04, "Fibre Channel"},
	{0x0c05, "SMBus"},
	{0x0c06, "InfiniBand"},
	{0x0c07, "IPMI Interface"},
	{0x0d80, "Wireless controller"},
	{0x1000, "Network and computing encryption device"},
	{0x1080, "Encryption controller"},
	{0x1180, "Signal processing controller"},
	{0x1200, "Processing accelerators"},
};

static const char *const bases[] = {
	[0x00] = "Unclassified device",
	[0x01] = "Mass storage controller",
	[0x02] = "Network controller",
	[0x03] = "Display controller",
	[0x04] = "Multimedia controller",
	[0x05] = "Memory controller",
	[0x06] = "Bridge",
	[0x07] = "Communication controller",
	[0x08] = "Generic system peripheral",
	[0x09] = "Input device controller",
	[0x0a] = "Docking station",
	[0x0b] = "Processor",
	[0x0c] = "Serial bus controller",
	[0x0d] = "Wireless controller",
	[0x0e] = "Intelligent controller",
	[0x0f] = "Satellite communications controller",
	[0x10] = "Encryption controller",
	[0x11] = "Signal processing controller",
	[0x12] = "Processing accelerators",
	[0x13] = "Non-Essential Instrumentation",
};

struct interface_name {
	uint32_t code;
	const char *name;
};

static const struct interface_name interfaces[] = {
	{0x010600, "Vendor specific"},
	{0x010601, "AHCI 1.0"},
	{0x010602, "Serial Storage Bus"},
	{0x010801, "NVMHCI"},
	{0x010802, "NVM Express"},
	{0x030000, "VGA controller"},
	{0x060400, "Normal decode"},
	{0x060401, "Subtractive decode"},
	{0x070000, "8250"},
	{0x070001, "16450"},
	{0x070002, "16550"},
	{0x0c0300, "UHCI"},
	{0x0c0310, "OHCI"},
	{0x0c0320, "EHCI"},
	{0x0c0330, "XHCI"},
	{0x0c0340, "USB4 Host Interface"},
	{0x0c0380, "Unspecified"},
	{0x0c03fe, "USB Device"},
};

const char *pci_class_find(uint32_t class_code)
{
	uint32_t base = FIELD_GET(PCI_CLASS_BASE, class_code);

	for (unsigned i = 0; i < ARRAY_SIZE(classes); i++) {
		if (classes[i].code == class_code >> 8)
			return classes[i].name;
	}
	return pci_name_of(bases, ARRAY_SIZE(bases), base, NULL);
}

const char *pci_interface_find(uint32_t class_code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(interfaces); i++) {
		if (interfaces[i].code == class_code)
			return interfaces[i].name;
	}
	return NULL;
}

const char *ob_pci_class_name(uint32_t class_code)
{
	const char *name = pci_class_find(class_code & 0xffffff);

	return name != NULL ? name : "Unknown class";
}
