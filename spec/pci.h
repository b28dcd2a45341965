/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI and PCI Express configuration space: the header, the capabilities and their fields.
 *
 * "PCI" is the PCI Local Bus Specification 3.0, "BR" the PCI-to-PCI Bridge Architecture 1.2, "PM" the PCI Power
 * Management Interface 1.2, "PCIe" the PCI Express Base Specification 4.0, which restates the older ones. Widths are in
 * bytes; offsets of a capability's registers are from its start. Bits only: no code.
 */
#ifndef SPEC_PCI_H
#define SPEC_PCI_H

#include <assert.h>
#include <outboard/types.h>

#include "base/bits.h"

/* ---- addressing ---- */

#define PCI_BUS_MAX            255u
#define PCI_SLOTS_PER_BUS      32u
#define PCI_FUNCTIONS_PER_SLOT 8u
#define PCI_BDF(bus, slot, fn) ((uint16_t)(((bus) << 8) | ((slot) << 3) | (fn))) /* PCIe §2.2.6.2 requester id */
#define PCI_BDF_BUS            BITS(15, 8)
#define PCI_BDF_SLOT           BITS(7, 3)
#define PCI_BDF_FUNCTION       BITS(2, 0)
#define PCI_CONFIG_LEN         0x100u  /* PCI §6.1 */
#define PCIE_CONFIG_LEN        0x1000u /* PCIe §7.2 */

/* Configuration mechanism #1, PCI §3.2.2.3.2: 32-bit ports. */
#define PCI_CF8_ADDRESS  0xcf8u
#define PCI_CF8_DATA     0xcfcu
#define PCI_CF8_ENABLE   BIT(31)
#define PCI_CF8_BDF      BITS(23, 8)
#define PCI_CF8_REGISTER BITS(7, 2)

/* ECAM, PCIe §7.2.2: 4 KiB per function, from the base of bus 0. */
#define PCI_ECAM_BDF_SHIFT 12
#define PCI_ECAM_BUS_LEN   (1u << 20)

/* ---- header, common part: PCI §6.1, PCIe §7.5.1.1 ---- */

#define PCI_VENDOR_ID         0x00u /* RO 2B */
#define PCI_VENDOR_NONE       0xffffu
#define PCI_VENDOR_CRS        0x0001u /* PCIe §2.3.2: configuration request retry, seen by software */
#define PCI_DEVICE_ID         0x02u   /* RO 2B */
#define PCI_COMMAND           0x04u   /* RW 2B, PCIe §7.5.1.1.3 */
#define PCI_COMMAND_IO        BIT(0)
#define PCI_COMMAND_MEMORY    BIT(1)
#define PCI_COMMAND_MASTER    BIT(2)
#define PCI_COMMAND_SPECIAL   BIT(3)
#define PCI_COMMAND_MWI       BIT(4) /* memory write and invalidate */
#define PCI_COMMAND_VGA_SNOOP BIT(5)
#define PCI_COMMAND_PARITY    BIT(6)
#define PCI_COMMAND_STEPPING  BIT(7)
#define PCI_COMMAND_SERR      BIT(8)
#define PCI_COMMAND_FAST_B2B  BIT(9)
#define PCI_COMMAND_INTX_OFF  BIT(10)
#define PCI_STATUS            0x06u /* RO and RW1C 2B, PCIe §7.5.1.1.4 */
#define PCI_STATUS_INTX       BIT(3)
#define PCI_STATUS_CAPS       BIT(4)
#define PCI_STATUS_66MHZ      BIT(5)
#define PCI_STATUS_UDF        BIT(6)
#define PCI_STATUS_FAST_B2B   BIT(7)
#define PCI_STATUS_PARITY     BIT(8) /* master data parity error */
#define PCI_STATUS_DEVSEL     BITS(10, 9)
#define PCI_DEVSEL_FAST       0u
#define PCI_DEVSEL_MEDIUM     1u
#define PCI_DEVSEL_SLOW       2u
#define PCI_STATUS_SIG_TABORT BIT(11)
#define PCI_STATUS_REC_TABORT BIT(12)
#define PCI_STATUS_REC_MABORT BIT(13)
#define PCI_STATUS_SIG_SERR   BIT(14)
#define PCI_STATUS_DET_PARITY BIT(15)
#define PCI_REVISION          0x08u /* RO 1B */
#define PCI_CLASS             0x09u /* RO 3B: interface, sub-class, base class */
#define PCI_CLASS_REVISION    0x08u /* both as one 4B word */
#define PCI_CACHE_LINE        0x0cu /* RW 1B, in 4-byte words */
#define PCI_LATENCY_TIMER     0x0du /* RW 1B; 0 on PCIe */
#define PCI_HEADER_TYPE       0x0eu /* RO 1B, PCIe §7.5.1.1.9 */
#define PCI_HEADER_TYPE_MASK  BITS(6, 0)
#define PCI_HEADER_MULTI      BIT(7)
#define PCI_HEADER_DEVICE     0u
#define PCI_HEADER_BRIDGE     1u
#define PCI_HEADER_CARDBUS    2u
#define PCI_BIST              0x0fu /* RW 1B */
#define PCI_BIST_CAPABLE      BIT(7)
#define PCI_BIST_START        BIT(6)
#define PCI_BIST_CODE         BITS(3, 0)
#define PCI_BAR(n)            (0x10u + 4u * (n)) /* RW 4B */
#define PCI_CAP_POINTER       0x34u              /* RO 1B; bits 1:0 reserved */
#define PCI_CAP_FIRST         0x40u              /* capabilities lie at or above this: PCI §6.7 */
#define PCI_INTERRUPT_LINE    0x3cu              /* RW 1B, software's own */
#define PCI_INTERRUPT_PIN     0x3du              /* RO 1B: 0 none, 1..4 INTA..INTD */

/* ---- base address registers: PCI §6.2.5.1, PCIe §7.5.1.2.1 ---- */

#define PCI_BAR_IO             BIT(0)
#define PCI_BAR_IO_ADDRESS     0xfffffffcu
#define PCI_BAR_MEM_TYPE       BITS(2, 1)
#define PCI_BAR_MEM_32         0u
#define PCI_BAR_MEM_1M         1u /* below 1 MiB: obsolete */
#define PCI_BAR_MEM_64         2u
#define PCI_BAR_MEM_PREFETCH   BIT(3)
#define PCI_BAR_MEM_ADDRESS    0xfffffff0u
#define PCI_BAR_COUNT_DEVICE   6u
#define PCI_BAR_COUNT_BRIDGE   2u
#define PCI_BAR_LEN_MIN_MEMORY 0x10u
#define PCI_BAR_LEN_MIN_IO     0x04u

#define PCI_ROM_ENABLE  BIT(0)
#define PCI_ROM_ADDRESS 0xfffff800u

/* ---- header type 0: PCI §6.1, PCIe §7.5.1.2 ---- */

#define PCI_CARDBUS_CIS 0x28u /* RO 4B */
#define PCI_SUBVENDOR   0x2cu /* RO 2B */
#define PCI_SUBDEVICE   0x2eu /* RO 2B */
#define PCI_ROM         0x30u /* RW 4B */
#define PCI_MIN_GNT     0x3eu /* RO 1B, in 250 ns */
#define PCI_MAX_LAT     0x3fu /* RO 1B, in 250 ns */

/* ---- header type 1: BR §3.2, PCIe §7.5.1.3 ---- */

#define PCI_BRIDGE_PRIMARY            0x18u /* RW 1B */
#define PCI_BRIDGE_SECONDARY          0x19u /* RW 1B */
#define PCI_BRIDGE_SUBORDINATE        0x1au /* RW 1B */
#define PCI_BRIDGE_SECONDARY_LATENCY  0x1bu /* RW 1B */
#define PCI_BRIDGE_IO_BASE            0x1cu /* RW 1B, BR §3.2.5.6 */
#define PCI_BRIDGE_IO_LIMIT           0x1du /* RW 1B */
#define PCI_BRIDGE_IO_TYPE            BITS(3, 0)
#define PCI_BRIDGE_IO_16              0u
#define PCI_BRIDGE_IO_32              1u
#define PCI_BRIDGE_IO_ADDRESS         BITS(7, 4) /* address bits 15:12 */
#define PCI_BRIDGE_IO_UNIT            0x1000u
#define PCI_BRIDGE_SECONDARY_STATUS   0x1eu       /* RW1C 2B; bits as in PCI_STATUS, bit 14 is received SERR */
#define PCI_BRIDGE_MEMORY_BASE        0x20u       /* RW 2B */
#define PCI_BRIDGE_MEMORY_LIMIT       0x22u       /* RW 2B */
#define PCI_BRIDGE_MEMORY_ADDRESS     BITS(15, 4) /* address bits 31:20 */
#define PCI_BRIDGE_MEMORY_UNIT        0x100000u
#define PCI_BRIDGE_PREFETCH_BASE      0x24u /* RW 2B */
#define PCI_BRIDGE_PREFETCH_LIMIT     0x26u /* RW 2B */
#define PCI_BRIDGE_PREFETCH_TYPE      BITS(3, 0)
#define PCI_BRIDGE_PREFETCH_32        0u
#define PCI_BRIDGE_PREFETCH_64        1u
#define PCI_BRIDGE_PREFETCH_BASE_HI   0x28u /* RW 4B */
#define PCI_BRIDGE_PREFETCH_LIMIT_HI  0x2cu /* RW 4B */
#define PCI_BRIDGE_IO_BASE_HI         0x30u /* RW 2B */
#define PCI_BRIDGE_IO_LIMIT_HI        0x32u /* RW 2B */
#define PCI_BRIDGE_ROM                0x38u /* RW 4B */
#define PCI_BRIDGE_CONTROL            0x3eu /* RW 2B, BR §3.2.5.18 */
#define PCI_BRIDGE_CTL_PARITY         BIT(0)
#define PCI_BRIDGE_CTL_SERR           BIT(1)
#define PCI_BRIDGE_CTL_ISA            BIT(2)
#define PCI_BRIDGE_CTL_VGA            BIT(3)
#define PCI_BRIDGE_CTL_VGA16          BIT(4)
#define PCI_BRIDGE_CTL_MASTER_ABORT   BIT(5)
#define PCI_BRIDGE_CTL_RESET          BIT(6)
#define PCI_BRIDGE_CTL_FAST_B2B       BIT(7)
#define PCI_BRIDGE_CTL_DISCARD_1      BIT(8)
#define PCI_BRIDGE_CTL_DISCARD_2      BIT(9)
#define PCI_BRIDGE_CTL_DISCARD_STATUS BIT(10)
#define PCI_BRIDGE_CTL_DISCARD_SERR   BIT(11)

/* ---- class codes (PCI Code and ID Assignment 1.11), 24 bits: base, sub, interface ---- */

#define PCI_CLASS_BASE       BITS(23, 16)
#define PCI_CLASS_SUB        BITS(15, 8)
#define PCI_CLASS_INTERFACE  BITS(7, 0)
#define PCI_CLASS_SATA_AHCI  0x010601u
#define PCI_CLASS_NVME       0x010802u
#define PCI_CLASS_ETHERNET   0x020000u
#define PCI_CLASS_VGA        0x030000u
#define PCI_CLASS_HDA        0x040300u
#define PCI_CLASS_HOST       0x060000u
#define PCI_CLASS_ISA        0x060100u
#define PCI_CLASS_PCI_BRIDGE 0x060400u
#define PCI_CLASS_XHCI       0x0c0330u
#define PCI_CLASS_SMBUS      0x0c0500u

/* ---- capabilities: PCI §6.7, ids in PCI Code and ID Assignment 1.11 §2 ---- */

#define PCI_CAP_ID           0x00u /* RO 1B */
#define PCI_CAP_NEXT         0x01u /* RO 1B; bits 1:0 reserved */
#define PCI_CAP_NEXT_MASK    0xfcu
#define PCI_CAP_ID_PM        0x01u
#define PCI_CAP_ID_AGP       0x02u
#define PCI_CAP_ID_VPD       0x03u
#define PCI_CAP_ID_SLOTID    0x04u
#define PCI_CAP_ID_MSI       0x05u
#define PCI_CAP_ID_CHSWP     0x06u
#define PCI_CAP_ID_PCIX      0x07u
#define PCI_CAP_ID_HT        0x08u
#define PCI_CAP_ID_VENDOR    0x09u
#define PCI_CAP_ID_DEBUG     0x0au
#define PCI_CAP_ID_CCRC      0x0bu
#define PCI_CAP_ID_HOTPLUG   0x0cu
#define PCI_CAP_ID_SSVID     0x0du
#define PCI_CAP_ID_AGP3      0x0eu
#define PCI_CAP_ID_SECURE    0x0fu
#define PCI_CAP_ID_EXPRESS   0x10u
#define PCI_CAP_ID_MSIX      0x11u
#define PCI_CAP_ID_SATA      0x12u
#define PCI_CAP_ID_AF        0x13u
#define PCI_CAP_ID_EA        0x14u
#define PCI_CAP_LEN_MIN      4u
#define PCI_CAPS_PER_CONFIG  ((PCI_CONFIG_LEN - PCI_CAP_FIRST) / PCI_CAP_LEN_MIN)
#define PCIE_CAPS_PER_CONFIG ((PCIE_CONFIG_LEN - PCI_CONFIG_LEN) / PCI_CAP_LEN_MIN)

/* Power management: PM §3.2, PCIe §7.5.2. */
#define PCI_PM_CAPS            0x02u /* RO 2B */
#define PCI_PM_CAPS_VERSION    BITS(2, 0)
#define PCI_PM_CAPS_CLOCK      BIT(3)
#define PCI_PM_CAPS_DSI        BIT(5)
#define PCI_PM_CAPS_AUX        BITS(8, 6)
#define PCI_PM_CAPS_D1         BIT(9)
#define PCI_PM_CAPS_D2         BIT(10)
#define PCI_PM_CAPS_PME_D0     BIT(11)
#define PCI_PM_CAPS_PME_D1     BIT(12)
#define PCI_PM_CAPS_PME_D2     BIT(13)
#define PCI_PM_CAPS_PME_D3HOT  BIT(14)
#define PCI_PM_CAPS_PME_D3COLD BIT(15)
#define PCI_PM_CONTROL         0x04u /* RW 2B */
#define PCI_PM_CTL_STATE       BITS(1, 0)
#define PCI_PM_CTL_NO_RESET    BIT(3)
#define PCI_PM_CTL_PME         BIT(8)
#define PCI_PM_CTL_DATA_SELECT BITS(12, 9)
#define PCI_PM_CTL_DATA_SCALE  BITS(14, 13)
#define PCI_PM_CTL_PME_STATUS  BIT(15) /* RW1C */
#define PCI_PM_BRIDGE          0x06u   /* RO 1B */
#define PCI_PM_BRIDGE_B3       BIT(6)
#define PCI_PM_BRIDGE_BPCC     BIT(7)
#define PCI_PM_LEN             8u

/* MSI: PCI §6.8.1, PCIe §7.7.1. */
#define PCI_MSI_CONTROL       0x02u /* RW 2B */
#define PCI_MSI_CTL_ENABLE    BIT(0)
#define PCI_MSI_CTL_CAPABLE   BITS(3, 1) /* log2 of vectors */
#define PCI_MSI_CTL_ENABLED   BITS(6, 4)
#define PCI_MSI_CTL_64        BIT(7)
#define PCI_MSI_CTL_MASKABLE  BIT(8)
#define PCI_MSI_LOG2_MAX      5u
#define PCI_MSI_ADDRESS       0x04u /* RW 4B; bits 1:0 zero */
#define PCI_MSI_ADDRESS_HI    0x08u /* RW 4B, with _64 */
#define PCI_MSI_DATA_32       0x08u /* RW 2B */
#define PCI_MSI_DATA_64       0x0cu /* RW 2B */
#define PCI_MSI_MASK_32       0x0cu /* RW 4B, with _MASKABLE */
#define PCI_MSI_MASK_64       0x10u
#define PCI_MSI_PENDING_32    0x10u /* RO 4B, with _MASKABLE */
#define PCI_MSI_PENDING_64    0x14u
#define PCI_MSI_LEN_32        0x0au
#define PCI_MSI_LEN_64        0x0eu
#define PCI_MSI_LEN_32_MASKED 0x14u
#define PCI_MSI_LEN_64_MASKED 0x18u

/* MSI-X: PCI §6.8.2, PCIe §7.7.2. */
#define PCI_MSIX_CONTROL        0x02u       /* RW 2B */
#define PCI_MSIX_CTL_TABLE_SIZE BITS(10, 0) /* RO: vectors - 1 */
#define PCI_MSIX_CTL_MASK_ALL   BIT(14)
#define PCI_MSIX_CTL_ENABLE     BIT(15)
#define PCI_MSIX_TABLE          0x04u /* RO 4B */
#define PCI_MSIX_PBA            0x08u /* RO 4B */
#define PCI_MSIX_BIR            BITS(2, 0)
#define PCI_MSIX_OFFSET         BITS(31, 3) /* in place: the low bits read as zero */
#define PCI_MSIX_LEN            0x0cu
#define PCI_MSIX_VECTORS_MAX    2048u

struct pci_msix_entry {
	ob_le32 address_lo, address_hi, data, control;
};
static_assert(sizeof(struct pci_msix_entry) == 16, "PCIe §7.7.2: four dwords");
static_assert(offsetof(struct pci_msix_entry, control) == 12, "vector control is the last dword");
#define PCI_MSIX_ENTRY_LEN        16u
#define PCI_MSIX_ENTRY_ADDRESS_LO 0x0u /* RW 4B */
#define PCI_MSIX_ENTRY_ADDRESS_HI 0x4u /* RW 4B */
#define PCI_MSIX_ENTRY_DATA       0x8u /* RW 4B */
#define PCI_MSIX_ENTRY_CONTROL    0xcu /* RW 4B */
#define PCI_MSIX_ENTRY_MASKED     BIT(0)

/* Subsystem ids of a bridge: BR §5.2.1 (1.2 ECN). */
#define PCI_SSVID_VENDOR 0x04u /* RO 2B */
#define PCI_SSVID_DEVICE 0x06u /* RO 2B */
#define PCI_SSVID_LEN    8u

/* Slot identification: BR §13. */
#define PCI_SLOTID_SLOT    0x02u /* RO 1B */
#define PCI_SLOTID_SLOTS   BITS(4, 0)
#define PCI_SLOTID_FIRST   BIT(5)
#define PCI_SLOTID_CHASSIS 0x03u /* RO 1B */

/* Debug port of an EHCI: EHCI 1.0 appendix C. */
#define PCI_DEBUG_PORT   0x02u /* RO 2B */
#define PCI_DEBUG_OFFSET BITS(12, 0)
#define PCI_DEBUG_BAR    BITS(15, 13) /* 1 is BAR 0 */

/* Vendor specific: PCI Code and ID Assignment §2. */
#define PCI_VENDOR_CAP_LEN 0x02u /* RO 1B, of the whole capability */

/* SATA: Serial ATA Revision 3.0, "Serial ATA Capability" registers; AHCI 1.3 index-data pair. */
#define PCI_SATA_REVISION   0x02u /* RO 2B: BCD major in 7:4, minor in 3:0 */
#define PCI_SATA_REV_MINOR  BITS(3, 0)
#define PCI_SATA_REV_MAJOR  BITS(7, 4)
#define PCI_SATA_BAR        0x04u /* RO 4B */
#define PCI_SATA_BAR_WHERE  BITS(3, 0)
#define PCI_SATA_BAR_OFFSET BITS(23, 4) /* in dwords */
#define PCI_SATA_IN_CONFIG  0xfu        /* _BAR_WHERE: the pair lies in configuration space */
#define PCI_SATA_BAR_FIRST  4u          /* _BAR_WHERE of BAR 0 */

/* Advanced features: PCI Advanced Capabilities ECN (2006). */
#define PCI_AF_LEN        0x02u /* RO 1B */
#define PCI_AF_CAPS       0x03u /* RO 1B */
#define PCI_AF_CAPS_TP    BIT(0)
#define PCI_AF_CAPS_FLR   BIT(1)
#define PCI_AF_CONTROL    0x04u /* RW 1B */
#define PCI_AF_CTL_FLR    BIT(0)
#define PCI_AF_STATUS     0x05u /* RO 1B */
#define PCI_AF_STATUS_TP  BIT(0)
#define PCI_AF_CAP_LENGTH 6u

/* ---- PCI Express capability: PCIe §7.5.3 ---- */

#define PCIE_FLAGS              0x02u /* RO 2B, §7.5.3.2 */
#define PCIE_FLAGS_VERSION      BITS(3, 0)
#define PCIE_FLAGS_TYPE         BITS(7, 4)
#define PCIE_TYPE_ENDPOINT      0x0u
#define PCIE_TYPE_LEGACY        0x1u
#define PCIE_TYPE_ROOT_PORT     0x4u
#define PCIE_TYPE_UPSTREAM      0x5u
#define PCIE_TYPE_DOWNSTREAM    0x6u
#define PCIE_TYPE_TO_PCI_BRIDGE 0x7u
#define PCIE_TYPE_FROM_PCI      0x8u
#define PCIE_TYPE_RC_ENDPOINT   0x9u
#define PCIE_TYPE_RC_EVENT      0xau
#define PCIE_FLAGS_SLOT         BIT(8)
#define PCIE_FLAGS_INTERRUPT    BITS(13, 9)

#define PCIE_DEVCAP             0x04u /* RO 4B, §7.5.3.3 */
#define PCIE_DEVCAP_PAYLOAD     BITS(2, 0)
#define PCIE_DEVCAP_PHANTOM     BITS(4, 3)
#define PCIE_DEVCAP_EXTTAG      BIT(5)
#define PCIE_DEVCAP_L0S         BITS(8, 6)
#define PCIE_DEVCAP_L1          BITS(11, 9)
#define PCIE_DEVCAP_ATTN_BUTTON BIT(12)
#define PCIE_DEVCAP_ATTN_LED    BIT(13)
#define PCIE_DEVCAP_POWER_LED   BIT(14)
#define PCIE_DEVCAP_ROLE_ERRORS BIT(15)
#define PCIE_DEVCAP_POWER_VALUE BITS(25, 18)
#define PCIE_DEVCAP_POWER_SCALE BITS(27, 26)
#define PCIE_DEVCAP_FLR         BIT(28)

#define PCIE_DEVCTL            0x08u /* RW 2B, §7.5.3.4 */
#define PCIE_DEVCTL_CORR       BIT(0)
#define PCIE_DEVCTL_NONFATAL   BIT(1)
#define PCIE_DEVCTL_FATAL      BIT(2)
#define PCIE_DEVCTL_UNSUP      BIT(3)
#define PCIE_DEVCTL_RELAXED    BIT(4)
#define PCIE_DEVCTL_PAYLOAD    BITS(7, 5)
#define PCIE_DEVCTL_EXTTAG     BIT(8)
#define PCIE_DEVCTL_PHANTOM    BIT(9)
#define PCIE_DEVCTL_AUX_POWER  BIT(10)
#define PCIE_DEVCTL_NO_SNOOP   BIT(11)
#define PCIE_DEVCTL_READ_REQ   BITS(14, 12)
#define PCIE_DEVCTL_FLR        BIT(15) /* WO; a bridge to PCI has retry enable here */
#define PCIE_DEVCTL_BRIDGE_CRS BIT(15)

#define PCIE_DEVSTA           0x0au /* RW1C 2B, §7.5.3.5 */
#define PCIE_DEVSTA_CORR      BIT(0)
#define PCIE_DEVSTA_NONFATAL  BIT(1)
#define PCIE_DEVSTA_FATAL     BIT(2)
#define PCIE_DEVSTA_UNSUP     BIT(3)
#define PCIE_DEVSTA_AUX_POWER BIT(4)
#define PCIE_DEVSTA_PENDING   BIT(5)

#define PCIE_LNKCAP           0x0cu /* RO 4B, §7.5.3.6 */
#define PCIE_LNKCAP_SPEED     BITS(3, 0)
#define PCIE_LNKCAP_WIDTH     BITS(9, 4)
#define PCIE_LNKCAP_ASPM      BITS(11, 10)
#define PCIE_LNKCAP_L0S       BITS(14, 12)
#define PCIE_LNKCAP_L1        BITS(17, 15)
#define PCIE_LNKCAP_CLOCK_PM  BIT(18)
#define PCIE_LNKCAP_SURPRISE  BIT(19)
#define PCIE_LNKCAP_DL_ACTIVE BIT(20)
#define PCIE_LNKCAP_BW_NOTIFY BIT(21)
#define PCIE_LNKCAP_ASPM_COMP BIT(22)
#define PCIE_LNKCAP_PORT      BITS(31, 24)

#define PCIE_LNKCTL             0x10u /* RW 2B, §7.5.3.7 */
#define PCIE_LNKCTL_ASPM        BITS(1, 0)
#define PCIE_LNKCTL_RCB         BIT(3)
#define PCIE_LNKCTL_DISABLE     BIT(4)
#define PCIE_LNKCTL_RETRAIN     BIT(5)
#define PCIE_LNKCTL_COMMCLK     BIT(6)
#define PCIE_LNKCTL_EXT_SYNC    BIT(7)
#define PCIE_LNKCTL_CLOCK_PM    BIT(8)
#define PCIE_LNKCTL_AUTO_WIDTH  BIT(9)
#define PCIE_LNKCTL_BW_INT      BIT(10)
#define PCIE_LNKCTL_AUTO_BW_INT BIT(11)

#define PCIE_LNKSTA            0x12u /* RO and RW1C 2B, §7.5.3.8 */
#define PCIE_LNKSTA_SPEED      BITS(3, 0)
#define PCIE_LNKSTA_WIDTH      BITS(9, 4)
#define PCIE_LNKSTA_TRAIN_ERR  BIT(10) /* 1.x */
#define PCIE_LNKSTA_TRAINING   BIT(11)
#define PCIE_LNKSTA_SLOT_CLOCK BIT(12)
#define PCIE_LNKSTA_DL_ACTIVE  BIT(13)
#define PCIE_LNKSTA_BW_MGMT    BIT(14)
#define PCIE_LNKSTA_AUTO_BW    BIT(15)

#define PCIE_SLTCAP             0x14u /* RO 4B, §7.5.3.9 */
#define PCIE_SLTCAP_ATTN_BUTTON BIT(0)
#define PCIE_SLTCAP_POWER_CTRL  BIT(1)
#define PCIE_SLTCAP_MRL         BIT(2)
#define PCIE_SLTCAP_ATTN_LED    BIT(3)
#define PCIE_SLTCAP_POWER_LED   BIT(4)
#define PCIE_SLTCAP_SURPRISE    BIT(5)
#define PCIE_SLTCAP_HOTPLUG     BIT(6)
#define PCIE_SLTCAP_POWER_VALUE BITS(14, 7)
#define PCIE_SLTCAP_POWER_SCALE BITS(16, 15)
#define PCIE_SLTCAP_INTERLOCK   BIT(17)
#define PCIE_SLTCAP_NO_CC       BIT(18)
#define PCIE_SLTCAP_SLOT        BITS(31, 19)

#define PCIE_SLTCTL             0x18u /* RW 2B, §7.5.3.10 */
#define PCIE_SLTCTL_ATTN_BUTTON BIT(0)
#define PCIE_SLTCTL_POWER_FAULT BIT(1)
#define PCIE_SLTCTL_MRL         BIT(2)
#define PCIE_SLTCTL_PRESENCE    BIT(3)
#define PCIE_SLTCTL_CC_INT      BIT(4)
#define PCIE_SLTCTL_HP_INT      BIT(5)
#define PCIE_SLTCTL_ATTN_LED    BITS(7, 6)
#define PCIE_SLTCTL_POWER_LED   BITS(9, 8)
#define PCIE_LED_ON             1u
#define PCIE_LED_BLINK          2u
#define PCIE_LED_OFF            3u
#define PCIE_SLTCTL_POWER_OFF   BIT(10)
#define PCIE_SLTCTL_INTERLOCK   BIT(11)
#define PCIE_SLTCTL_LINK_CHANGE BIT(12)

#define PCIE_SLTSTA             0x1au /* RW1C and RO 2B, §7.5.3.11 */
#define PCIE_SLTSTA_ATTN_BUTTON BIT(0)
#define PCIE_SLTSTA_POWER_FAULT BIT(1)
#define PCIE_SLTSTA_MRL_CHANGE  BIT(2)
#define PCIE_SLTSTA_PRES_CHANGE BIT(3)
#define PCIE_SLTSTA_CC          BIT(4)
#define PCIE_SLTSTA_MRL_OPEN    BIT(5)
#define PCIE_SLTSTA_PRESENT     BIT(6)
#define PCIE_SLTSTA_INTERLOCK   BIT(7)
#define PCIE_SLTSTA_LINK_CHANGE BIT(8)

#define PCIE_ROOTCTL          0x1cu /* RW 2B, §7.5.3.12 */
#define PCIE_ROOTCTL_CORR     BIT(0)
#define PCIE_ROOTCTL_NONFATAL BIT(1)
#define PCIE_ROOTCTL_FATAL    BIT(2)
#define PCIE_ROOTCTL_PME_INT  BIT(3)
#define PCIE_ROOTCTL_CRS      BIT(4)
#define PCIE_ROOTCAP          0x1eu /* RO 2B, §7.5.3.13 */
#define PCIE_ROOTCAP_CRS      BIT(0)
#define PCIE_ROOTSTA          0x20u /* RW1C 4B, §7.5.3.14 */
#define PCIE_ROOTSTA_REQ_ID   BITS(15, 0)
#define PCIE_ROOTSTA_PME      BIT(16)
#define PCIE_ROOTSTA_PENDING  BIT(17)

#define PCIE_DEVCAP2                0x24u /* RO 4B, §7.5.3.15 */
#define PCIE_DEVCAP2_TIMEOUT_RANGE  BITS(3, 0)
#define PCIE_DEVCAP2_TIMEOUT_OFF    BIT(4)
#define PCIE_DEVCAP2_ARI            BIT(5)
#define PCIE_DEVCAP2_ATOMIC_ROUTE   BIT(6)
#define PCIE_DEVCAP2_ATOMIC_32      BIT(7)
#define PCIE_DEVCAP2_ATOMIC_64      BIT(8)
#define PCIE_DEVCAP2_CAS_128        BIT(9)
#define PCIE_DEVCAP2_NO_RO_PRPR     BIT(10)
#define PCIE_DEVCAP2_LTR            BIT(11)
#define PCIE_DEVCAP2_TPH            BITS(13, 12)
#define PCIE_DEVCAP2_LN_SYSTEM      BITS(15, 14)
#define PCIE_DEVCAP2_10BIT_TAG_COMP BIT(16)
#define PCIE_DEVCAP2_10BIT_TAG_REQ  BIT(17)
#define PCIE_DEVCAP2_OBFF           BITS(19, 18)
#define PCIE_DEVCAP2_EXT_FMT        BIT(20)
#define PCIE_DEVCAP2_EETLP          BIT(21)
#define PCIE_DEVCAP2_EETLP_MAX      BITS(23, 22)
#define PCIE_DEVCAP2_POWER_REDUCE   BITS(25, 24)
#define PCIE_DEVCAP2_POWER_INIT     BIT(26)
#define PCIE_DEVCAP2_FRS            BIT(31)

#define PCIE_DEVCTL2               0x28u /* RW 2B, §7.5.3.16 */
#define PCIE_DEVCTL2_TIMEOUT_VALUE BITS(3, 0)
#define PCIE_DEVCTL2_TIMEOUT_OFF   BIT(4)
#define PCIE_DEVCTL2_ARI           BIT(5)
#define PCIE_DEVCTL2_ATOMIC_REQ    BIT(6)
#define PCIE_DEVCTL2_ATOMIC_BLOCK  BIT(7)
#define PCIE_DEVCTL2_IDO_REQ       BIT(8)
#define PCIE_DEVCTL2_IDO_COMP      BIT(9)
#define PCIE_DEVCTL2_LTR           BIT(10)
#define PCIE_DEVCTL2_POWER_REDUCE  BIT(11)
#define PCIE_DEVCTL2_10BIT_TAG     BIT(12)
#define PCIE_DEVCTL2_OBFF          BITS(14, 13)
#define PCIE_DEVCTL2_EETLP_BLOCK   BIT(15)

#define PCIE_LNKCAP2             0x2cu /* RO 4B, §7.5.3.18 */
#define PCIE_LNKCAP2_SPEEDS      BITS(7, 1)
#define PCIE_LNKCAP2_CROSSLINK   BIT(8)
#define PCIE_LNKCAP2_RETIMER     BIT(23)
#define PCIE_LNKCAP2_RETIMER_2   BIT(24)
#define PCIE_LNKCAP2_DRS         BIT(31)
#define PCIE_LNKCTL2             0x30u /* RW 2B, §7.5.3.19 */
#define PCIE_LNKCTL2_SPEED       BITS(3, 0)
#define PCIE_LNKCTL2_COMPLIANCE  BIT(4)
#define PCIE_LNKCTL2_NO_AUTO     BIT(5)
#define PCIE_LNKCTL2_DEEMPHASIS  BIT(6)
#define PCIE_LNKCTL2_MARGIN      BITS(9, 7)
#define PCIE_LNKCTL2_MOD_COMP    BIT(10)
#define PCIE_LNKCTL2_COMP_SOS    BIT(11)
#define PCIE_LNKCTL2_COMP_DEEMPH BITS(15, 12)
#define PCIE_LNKSTA2             0x32u /* RO 2B, §7.5.3.20 */
#define PCIE_LNKSTA2_DEEMPHASIS  BIT(0)
#define PCIE_LNKSTA2_EQ_DONE     BIT(1)
#define PCIE_LNKSTA2_EQ_PHASE1   BIT(2)
#define PCIE_LNKSTA2_EQ_PHASE2   BIT(3)
#define PCIE_LNKSTA2_EQ_PHASE3   BIT(4)
#define PCIE_LNKSTA2_EQ_REQUEST  BIT(5)
#define PCIE_LNKSTA2_RETIMER     BIT(6)
#define PCIE_LNKSTA2_RETIMER_2   BIT(7)
#define PCIE_LNKSTA2_CROSSLINK   BITS(9, 8)
#define PCIE_LNKSTA2_COMPONENT   BITS(14, 12)
#define PCIE_LNKSTA2_DRS         BIT(15)

#define PCIE_CAP_LEN_V1        0x14u /* endpoint; a root port has 0x24 */
#define PCIE_CAP_LEN_V2        0x3cu
#define PCIE_FLR_WAIT_NS       (100u * 1000000ull)  /* PCIe §6.6.2: after it, configuration must answer */
#define PCIE_RESET_CRS_WAIT_NS (1000u * 1000000ull) /* PCIe §6.6.1: a device may answer with retry for this long */

/* ---- the header as a whole, to check the offsets above against each other ---- */

struct pci_header_device {
	ob_le16 vendor, device, command, status;
	uint8_t revision, class_code[3], cache_line, latency_timer, header_type, bist;
	ob_le32 bar[6], cardbus_cis;
	ob_le16 subvendor, subdevice;
	ob_le32 rom;
	uint8_t cap_pointer, reserved[7], interrupt_line, interrupt_pin, min_gnt, max_lat;
};
static_assert(sizeof(struct pci_header_device) == 0x40, "PCI §6.1");
static_assert(offsetof(struct pci_header_device, header_type) == PCI_HEADER_TYPE, "PCI §6.1");
static_assert(offsetof(struct pci_header_device, bar) == PCI_BAR(0), "PCI §6.1");
static_assert(offsetof(struct pci_header_device, subvendor) == PCI_SUBVENDOR, "PCI §6.1");
static_assert(offsetof(struct pci_header_device, rom) == PCI_ROM, "PCI §6.1");
static_assert(offsetof(struct pci_header_device, cap_pointer) == PCI_CAP_POINTER, "PCI §6.1");
static_assert(offsetof(struct pci_header_device, interrupt_pin) == PCI_INTERRUPT_PIN, "PCI §6.1");

struct pci_header_bridge {
	ob_le16 vendor, device, command, status;
	uint8_t revision, class_code[3], cache_line, latency_timer, header_type, bist;
	ob_le32 bar[2];
	uint8_t primary, secondary, subordinate, secondary_latency, io_base, io_limit;
	ob_le16 secondary_status, memory_base, memory_limit, prefetch_base, prefetch_limit;
	ob_le32 prefetch_base_hi, prefetch_limit_hi;
	ob_le16 io_base_hi, io_limit_hi;
	uint8_t cap_pointer, reserved[3];
	ob_le32 rom;
	uint8_t interrupt_line, interrupt_pin;
	ob_le16 control;
};
static_assert(sizeof(struct pci_header_bridge) == 0x40, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, primary) == PCI_BRIDGE_PRIMARY, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, io_base) == PCI_BRIDGE_IO_BASE, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, memory_base) == PCI_BRIDGE_MEMORY_BASE, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, prefetch_limit_hi) == PCI_BRIDGE_PREFETCH_LIMIT_HI, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, cap_pointer) == PCI_CAP_POINTER, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, rom) == PCI_BRIDGE_ROM, "BR §3.2");
static_assert(offsetof(struct pci_header_bridge, control) == PCI_BRIDGE_CONTROL, "BR §3.2");

#include "pcie_ext.h" /* the extended capabilities */

#endif
