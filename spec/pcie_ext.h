/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI Express extended capabilities, in configuration space from 0x100 on: PCIe 4.0 §7.6.3 and what the clauses name.
 * spec/pci.h includes this and has the rest.
 */
#ifndef SPEC_PCIE_EXT_H
#define SPEC_PCIE_EXT_H

#include "base/bits.h"

/* ---- extended capabilities: PCIe §7.6.3 ---- */

#define PCIE_EXT_FIRST   0x100u
#define PCIE_EXT_ID      BITS(15, 0)
#define PCIE_EXT_VERSION BITS(19, 16)
#define PCIE_EXT_NEXT    BITS(31, 20) /* bits 1:0 reserved */
#define PCIE_EXT_HEADER(id, version, next)                                    \
	((uint32_t)(id) | FIELD_PREP(PCIE_EXT_VERSION, (uint32_t)(version)) | \
	 FIELD_PREP(PCIE_EXT_NEXT, (uint32_t)(next)))

#define PCIE_EXT_ID_NULL      0x00u
#define PCIE_EXT_ID_AER       0x01u
#define PCIE_EXT_ID_VC        0x02u
#define PCIE_EXT_ID_DSN       0x03u /* device serial number */
#define PCIE_EXT_ID_POWER     0x04u
#define PCIE_EXT_ID_RCLINK    0x05u
#define PCIE_EXT_ID_RCILC     0x06u
#define PCIE_EXT_ID_RCEC      0x07u
#define PCIE_EXT_ID_MFVC      0x08u
#define PCIE_EXT_ID_VC9       0x09u
#define PCIE_EXT_ID_RCRB      0x0au
#define PCIE_EXT_ID_VENDOR    0x0bu
#define PCIE_EXT_ID_ACS       0x0du
#define PCIE_EXT_ID_ARI       0x0eu
#define PCIE_EXT_ID_ATS       0x0fu
#define PCIE_EXT_ID_SRIOV     0x10u
#define PCIE_EXT_ID_MRIOV     0x11u
#define PCIE_EXT_ID_MCAST     0x12u
#define PCIE_EXT_ID_PRI       0x13u
#define PCIE_EXT_ID_REBAR     0x15u
#define PCIE_EXT_ID_DPA       0x16u
#define PCIE_EXT_ID_TPH       0x17u
#define PCIE_EXT_ID_LTR       0x18u
#define PCIE_EXT_ID_SECPCI    0x19u
#define PCIE_EXT_ID_PMUX      0x1au
#define PCIE_EXT_ID_PASID     0x1bu
#define PCIE_EXT_ID_LNR       0x1cu
#define PCIE_EXT_ID_DPC       0x1du
#define PCIE_EXT_ID_L1PM      0x1eu
#define PCIE_EXT_ID_PTM       0x1fu
#define PCIE_EXT_ID_MPHY      0x20u
#define PCIE_EXT_ID_FRS       0x21u
#define PCIE_EXT_ID_RTR       0x22u
#define PCIE_EXT_ID_DVSEC     0x23u
#define PCIE_EXT_ID_VF_REBAR  0x24u
#define PCIE_EXT_ID_DLF       0x25u
#define PCIE_EXT_ID_PHY16     0x26u
#define PCIE_EXT_ID_LMR       0x27u
#define PCIE_EXT_ID_HIERARCHY 0x28u
#define PCIE_EXT_ID_NPEM      0x29u
#define PCIE_EXT_ID_DOE       0x2eu

/* Advanced error reporting: PCIe §7.8.4. */
#define PCIE_AER_UNCOR_STATUS     0x04u /* RW1C 4B */
#define PCIE_AER_UNCOR_MASK       0x08u /* RW 4B */
#define PCIE_AER_UNCOR_SEVERITY   0x0cu /* RW 4B */
#define PCIE_AER_UNC_DLP          BIT(4)
#define PCIE_AER_UNC_SURPRISE     BIT(5)
#define PCIE_AER_UNC_POISONED     BIT(12)
#define PCIE_AER_UNC_FLOW         BIT(13)
#define PCIE_AER_UNC_COMP_TIMEOUT BIT(14)
#define PCIE_AER_UNC_COMP_ABORT   BIT(15)
#define PCIE_AER_UNC_UNEXP_COMP   BIT(16)
#define PCIE_AER_UNC_OVERFLOW     BIT(17)
#define PCIE_AER_UNC_MALFORMED    BIT(18)
#define PCIE_AER_UNC_ECRC         BIT(19)
#define PCIE_AER_UNC_UNSUPPORTED  BIT(20)
#define PCIE_AER_UNC_ACS          BIT(21)
#define PCIE_AER_COR_STATUS       0x10u /* RW1C 4B */
#define PCIE_AER_COR_MASK         0x14u /* RW 4B */
#define PCIE_AER_COR_RECEIVER     BIT(0)
#define PCIE_AER_COR_BAD_TLP      BIT(6)
#define PCIE_AER_COR_BAD_DLLP     BIT(7)
#define PCIE_AER_COR_ROLLOVER     BIT(8)
#define PCIE_AER_COR_TIMEOUT      BIT(12)
#define PCIE_AER_COR_ADV_NONFATAL BIT(13)
#define PCIE_AER_CONTROL          0x18u /* RW 4B */
#define PCIE_AER_CTL_FIRST        BITS(4, 0)
#define PCIE_AER_CTL_GEN_CAP      BIT(5)
#define PCIE_AER_CTL_GEN_EN       BIT(6)
#define PCIE_AER_CTL_CHECK_CAP    BIT(7)
#define PCIE_AER_CTL_CHECK_EN     BIT(8)
#define PCIE_AER_CTL_MULTI_CAP    BIT(9)
#define PCIE_AER_CTL_MULTI_EN     BIT(10)
#define PCIE_AER_CTL_PREFIX       BIT(11)
#define PCIE_AER_CTL_TIMEOUT_LOG  BIT(12)
#define PCIE_AER_HEADER_LOG       0x1cu /* RO 16B */
#define PCIE_AER_ROOT_COMMAND     0x2cu /* RW 4B */
#define PCIE_AER_ROOTCMD_COR      BIT(0)
#define PCIE_AER_ROOTCMD_NONFATAL BIT(1)
#define PCIE_AER_ROOTCMD_FATAL    BIT(2)
#define PCIE_AER_ROOT_STATUS      0x30u /* RW1C 4B */
#define PCIE_AER_ROOTSTA_COR      BIT(0)
#define PCIE_AER_ROOTSTA_MULTCOR  BIT(1)
#define PCIE_AER_ROOTSTA_UNCOR    BIT(2)
#define PCIE_AER_ROOTSTA_MULTUNC  BIT(3)
#define PCIE_AER_ROOTSTA_FIRSTFAT BIT(4)
#define PCIE_AER_ROOTSTA_NONFATAL BIT(5)
#define PCIE_AER_ROOTSTA_FATAL    BIT(6)
#define PCIE_AER_ROOTSTA_MESSAGE  BITS(31, 27)
#define PCIE_AER_COR_SOURCE       0x34u /* RO 2B */
#define PCIE_AER_UNCOR_SOURCE     0x36u /* RO 2B */
#define PCIE_AER_LEN_DEVICE       0x2cu
#define PCIE_AER_LEN_ROOT         0x38u

/* Device serial number: PCIe §7.9.3; an EUI-64, low dword first. */
#define PCIE_DSN_LO  0x04u
#define PCIE_DSN_HI  0x08u
#define PCIE_DSN_LEN 0x0cu

/* Access control services: PCIe §7.7.8. */
#define PCIE_ACS_CAPS        0x04u /* RO 2B */
#define PCIE_ACS_CONTROL     0x06u /* RW 2B */
#define PCIE_ACS_SOURCE      BIT(0)
#define PCIE_ACS_TRANSLATION BIT(1)
#define PCIE_ACS_REQUEST     BIT(2)
#define PCIE_ACS_COMPLETION  BIT(3)
#define PCIE_ACS_UPSTREAM    BIT(4)
#define PCIE_ACS_EGRESS      BIT(5)
#define PCIE_ACS_DIRECT      BIT(6)

/* Alternative routing id: PCIe §7.8.7. */
#define PCIE_ARI_CAPS      0x04u /* RO 2B */
#define PCIE_ARI_CAPS_MFVC BIT(0)
#define PCIE_ARI_CAPS_ACS  BIT(1)
#define PCIE_ARI_CAPS_NEXT BITS(15, 8)
#define PCIE_ARI_CONTROL   0x06u /* RW 2B */
#define PCIE_ARI_CTL_MFVC  BIT(0)
#define PCIE_ARI_CTL_ACS   BIT(1)
#define PCIE_ARI_CTL_GROUP BITS(6, 4)
#define PCIE_ARI_LEN       8u

/* Address translation services: PCIe 5.0 §10.5.1. */
#define PCIE_ATS_CAPS       0x04u /* RO 2B */
#define PCIE_ATS_CAPS_DEPTH BITS(4, 0)
#define PCIE_ATS_CONTROL    0x06u /* RW 2B */
#define PCIE_ATS_CTL_STU    BITS(4, 0)
#define PCIE_ATS_CTL_ENABLE BIT(15)

/* Page request interface: PCIe 5.0 §10.5.2. */
#define PCIE_PRI_CONTROL     0x04u /* RW 2B */
#define PCIE_PRI_CTL_ENABLE  BIT(0)
#define PCIE_PRI_CTL_RESET   BIT(1)
#define PCIE_PRI_STATUS      0x06u /* RW1C 2B */
#define PCIE_PRI_STA_FAILURE BIT(0)
#define PCIE_PRI_STA_INDEX   BIT(1)
#define PCIE_PRI_STA_STOPPED BIT(8)
#define PCIE_PRI_STA_PASID   BIT(15)
#define PCIE_PRI_CAPACITY    0x08u /* RO 4B */
#define PCIE_PRI_ALLOCATION  0x0cu /* RW 4B */

/* PASID: PCIe 5.0 §7.8.8. */
#define PCIE_PASID_CAPS       0x04u /* RO 2B */
#define PCIE_PASID_EXEC       BIT(1)
#define PCIE_PASID_PRIV       BIT(2)
#define PCIE_PASID_CAPS_WIDTH BITS(12, 8)
#define PCIE_PASID_CONTROL    0x06u /* RW 2B */
#define PCIE_PASID_ENABLE     BIT(0)

/* Single-root I/O virtualisation: SR-IOV 1.1 §3.3, PCIe 5.0 §9.3.3. */
#define PCIE_SRIOV_CAPS        0x04u /* RO 4B */
#define PCIE_SRIOV_CAPS_MIGR   BIT(0)
#define PCIE_SRIOV_CAPS_ARI    BIT(1) /* ARI capable hierarchy preserved */
#define PCIE_SRIOV_CAPS_TAG10  BIT(2)
#define PCIE_SRIOV_CAPS_MSGNUM BITS(31, 21)
#define PCIE_SRIOV_CONTROL     0x08u /* RW 2B */
#define PCIE_SRIOV_CTL_ENABLE  BIT(0)
#define PCIE_SRIOV_CTL_MIGR    BIT(1)
#define PCIE_SRIOV_CTL_MIGRINT BIT(2)
#define PCIE_SRIOV_CTL_MSE     BIT(3)
#define PCIE_SRIOV_CTL_ARI     BIT(4)
#define PCIE_SRIOV_CTL_TAG10   BIT(5)
#define PCIE_SRIOV_STATUS      0x0au /* RW1C 2B */
#define PCIE_SRIOV_STA_MIGR    BIT(0)
#define PCIE_SRIOV_INITIAL_VFS 0x0cu /* RO 2B */
#define PCIE_SRIOV_TOTAL_VFS   0x0eu /* RO 2B */
#define PCIE_SRIOV_NUM_VFS     0x10u /* RW 2B */
#define PCIE_SRIOV_DEPENDENCY  0x12u /* RO 1B */
#define PCIE_SRIOV_FIRST       0x14u /* RO 2B */
#define PCIE_SRIOV_STRIDE      0x16u /* RO 2B */
#define PCIE_SRIOV_VF_DEVICE   0x1au /* RO 2B */
#define PCIE_SRIOV_PAGES       0x1cu /* RO 4B */
#define PCIE_SRIOV_PAGE_SIZE   0x20u /* RW 4B */
#define PCIE_SRIOV_BAR(n)      (0x24u + 4u * (n))
#define PCIE_SRIOV_MIGRATION   0x3cu /* RO 4B */
#define PCIE_SRIOV_MIGR_BIR    BITS(2, 0)
#define PCIE_SRIOV_LEN         0x40u

/* Latency tolerance reporting: PCIe §7.8.2. */
#define PCIE_LTR_SNOOP    0x04u /* RW 2B */
#define PCIE_LTR_NO_SNOOP 0x06u /* RW 2B */
#define PCIE_LTR_VALUE    BITS(9, 0)
#define PCIE_LTR_SCALE    BITS(12, 10) /* unit is 32^n ns */

/* Vendor specific, and designated vendor specific: PCIe §7.9.5, §7.9.6. */
#define PCIE_VSEC_HEADER   0x04u /* RO 4B */
#define PCIE_VSEC_ID       BITS(15, 0)
#define PCIE_VSEC_REVISION BITS(19, 16)
#define PCIE_VSEC_LEN      BITS(31, 20)
#define PCIE_DVSEC_VENDOR  BITS(15, 0) /* of the first header; revision and length as above */
#define PCIE_DVSEC_ID      0x08u       /* RO 2B */

/* TLP processing hints: PCIe §7.9.13. */
#define PCIE_TPH_CAPS        0x04u /* RO 4B */
#define PCIE_TPH_CAPS_VECTOR BIT(1)
#define PCIE_TPH_CAPS_DEVICE BIT(2)
#define PCIE_TPH_CAPS_EXT    BIT(8)
#define PCIE_TPH_CAPS_TABLE  BITS(10, 9)

/* Secondary PCI Express: PCIe §7.7.3. */
#define PCIE_SEC_LNKCTL3       0x04u /* RW 4B */
#define PCIE_SEC_LNKCTL3_EQ    BIT(0)
#define PCIE_SEC_LNKCTL3_EQINT BIT(1)
#define PCIE_SEC_LANE_ERRORS   0x08u /* RW1C 4B, a bit per lane */

/* L1 PM substates: PCIe §7.8.3. */
#define PCIE_L1PM_CAPS        0x04u /* RO 4B */
#define PCIE_L1PM_PCI_L12     BIT(0)
#define PCIE_L1PM_PCI_L11     BIT(1)
#define PCIE_L1PM_ASPM_L12    BIT(2)
#define PCIE_L1PM_ASPM_L11    BIT(3)
#define PCIE_L1PM_CAPS_L1PM   BIT(4)
#define PCIE_L1PM_COMMON_MODE BITS(15, 8) /* of both, in us */
#define PCIE_L1PM_CAPS_SCALE  BITS(17, 16)
#define PCIE_L1PM_CAPS_VALUE  BITS(23, 19)
#define PCIE_L1PM_CONTROL1    0x08u /* RW 4B */
#define PCIE_L1PM_CTL1_LTR    BITS(25, 16)
#define PCIE_L1PM_CTL1_SCALE  BITS(31, 29) /* unit is 32^n ns */
#define PCIE_L1PM_CONTROL2    0x0cu        /* RW 4B */
#define PCIE_L1PM_CTL2_SCALE  BITS(1, 0)
#define PCIE_L1PM_CTL2_VALUE  BITS(7, 3)

/* Precision time measurement: PCIe §7.9.16. */
#define PCIE_PTM_CAPS           0x04u /* RO 4B */
#define PCIE_PTM_CAPS_REQUESTER BIT(0)
#define PCIE_PTM_CAPS_RESPONDER BIT(1)
#define PCIE_PTM_CAPS_ROOT      BIT(2)
#define PCIE_PTM_CONTROL        0x08u /* RW 4B */
#define PCIE_PTM_CTL_ENABLE     BIT(0)
#define PCIE_PTM_CTL_ROOT       BIT(1)
#define PCIE_PTM_GRANULARITY    BITS(15, 8) /* of both, in ns */

/* Downstream port containment: PCIe §7.9.15. */
#define PCIE_DPC_CAPS           0x04u /* RO 2B */
#define PCIE_DPC_CAPS_INT       BITS(4, 0)
#define PCIE_DPC_CAPS_RP        BIT(5)
#define PCIE_DPC_CAPS_POISON    BIT(6)
#define PCIE_DPC_CAPS_SOFTWARE  BIT(7)
#define PCIE_DPC_CAPS_LOG       BITS(11, 8)
#define PCIE_DPC_CAPS_DL_ACTIVE BIT(12)
#define PCIE_DPC_CONTROL        0x06u /* RW 2B */
#define PCIE_DPC_CTL_TRIGGER    BITS(1, 0)
#define PCIE_DPC_CTL_COMPLETION BIT(2)
#define PCIE_DPC_CTL_INT        BIT(3)
#define PCIE_DPC_CTL_ERR_COR    BIT(4)
#define PCIE_DPC_CTL_POISON     BIT(5)
#define PCIE_DPC_CTL_SOFTWARE   BIT(6)
#define PCIE_DPC_CTL_DL_ACTIVE  BIT(7)
#define PCIE_DPC_STATUS         0x08u /* RW1C 2B */
#define PCIE_DPC_STA_TRIGGER    BIT(0)
#define PCIE_DPC_STA_REASON     BITS(2, 1)
#define PCIE_DPC_STA_INT        BIT(3)
#define PCIE_DPC_STA_BUSY       BIT(4)
#define PCIE_DPC_STA_REASON_EXT BITS(6, 5)
#define PCIE_DPC_STA_FIRST      BITS(12, 8)
#define PCIE_DPC_SOURCE         0x0au /* RO 2B */

/* Data object exchange: PCIe 6.0 §7.9.24. */
#define PCIE_DOE_CAPS        0x04u /* RO 4B */
#define PCIE_DOE_CAPS_INT    BIT(0)
#define PCIE_DOE_CAPS_VECTOR BITS(11, 1)
#define PCIE_DOE_CONTROL     0x08u /* RW 4B */
#define PCIE_DOE_CTL_INT     BIT(1)
#define PCIE_DOE_STATUS      0x0cu /* RW1C 4B */
#define PCIE_DOE_STA_BUSY    BIT(0)
#define PCIE_DOE_STA_INT     BIT(1)
#define PCIE_DOE_STA_ERROR   BIT(2)
#define PCIE_DOE_STA_READY   BIT(31)

#endif
