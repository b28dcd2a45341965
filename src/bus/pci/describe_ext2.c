/* SPDX-License-Identifier: BSD-2-Clause */
/* The longer extended capabilities as text: errors, virtual functions, link power states, containment. */
#include "bus/pci/text.h"

/* ---- advanced error reporting: PCIe 4.0 §7.8.4 ---- */

static const struct pci_flag uncorrectable[] = {
	{"DLP", PCIE_AER_UNC_DLP},
	{"SDES", PCIE_AER_UNC_SURPRISE},
	{"TLP", PCIE_AER_UNC_POISONED},
	{"FCP", PCIE_AER_UNC_FLOW},
	{"CmpltTO", PCIE_AER_UNC_COMP_TIMEOUT},
	{"CmpltAbrt", PCIE_AER_UNC_COMP_ABORT},
	{"UnxCmplt", PCIE_AER_UNC_UNEXP_COMP},
	{"RxOF", PCIE_AER_UNC_OVERFLOW},
	{"MalfTLP", PCIE_AER_UNC_MALFORMED},
	{"ECRC", PCIE_AER_UNC_ECRC},
	{"UnsupReq", PCIE_AER_UNC_UNSUPPORTED},
	{"ACSViol", PCIE_AER_UNC_ACS},
	{NULL, 0},
};

static const struct pci_flag correctable[] = {
	{"RxErr", PCIE_AER_COR_RECEIVER},
	{"BadTLP", PCIE_AER_COR_BAD_TLP},
	{"BadDLLP", PCIE_AER_COR_BAD_DLLP},
	{"Rollover", PCIE_AER_COR_ROLLOVER},
	{"Timeout", PCIE_AER_COR_TIMEOUT},
	{"AdvNonFatalErr", PCIE_AER_COR_ADV_NONFATAL},
	{NULL, 0},
};

static void describe_errors(struct pci_text *t, const char *what, uint32_t value, const struct pci_flag *flags)
{
	pci_text_add(t, "\t\t%s:\t", what);
	pci_text_flags(t, value, flags);
	pci_text_add(t, "\n");
}

static void describe_aer_root(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag command[] = {
		{"CERptEn", PCIE_AER_ROOTCMD_COR},
		{"NFERptEn", PCIE_AER_ROOTCMD_NONFATAL},
		{"FERptEn", PCIE_AER_ROOTCMD_FATAL},
		{NULL, 0},
	};
	static const struct pci_flag first[] = {
		{"CERcvd", PCIE_AER_ROOTSTA_COR},
		{"MultCERcvd", PCIE_AER_ROOTSTA_MULTCOR},
		{"UERcvd", PCIE_AER_ROOTSTA_UNCOR},
		{"MultUERcvd", PCIE_AER_ROOTSTA_MULTUNC},
		{NULL, 0},
	};
	static const struct pci_flag second[] = {
		{"FirstFatal", PCIE_AER_ROOTSTA_FIRSTFAT},
		{"NonFatalMsg", PCIE_AER_ROOTSTA_NONFATAL},
		{"FatalMsg", PCIE_AER_ROOTSTA_FATAL},
		{NULL, 0},
	};
	uint32_t status = pci_read32(fn, at + PCIE_AER_ROOT_STATUS);

	pci_text_add(t, "\t\tRootCmd: ");
	pci_text_flags(t, pci_read32(fn, at + PCIE_AER_ROOT_COMMAND), command);
	pci_text_add(t, "\n\t\tRootSta: ");
	pci_text_flags(t, status, first);
	pci_text_add(t, "\n\t\t\t ");
	pci_text_flags(t, status, second);
	pci_text_add(t, " IntMsg %u\n", FIELD_GET(PCIE_AER_ROOTSTA_MESSAGE, status));
	pci_text_add(t, "\t\tErrorSrc: ERR_COR: %04x ERR_FATAL/NONFATAL: %04x\n",
		     pci_read16(fn, at + PCIE_AER_COR_SOURCE), pci_read16(fn, at + PCIE_AER_UNCOR_SOURCE));
}

void pci_describe_aer(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t ctl = pci_read32(fn, at + PCIE_AER_CONTROL);
	unsigned type = fn->express != 0 ? pci_express_type(fn) : PCIE_TYPE_ENDPOINT;

	pci_text_add(t, "Advanced Error Reporting\n");
	describe_errors(t, "UESta", pci_read32(fn, at + PCIE_AER_UNCOR_STATUS), uncorrectable);
	describe_errors(t, "UEMsk", pci_read32(fn, at + PCIE_AER_UNCOR_MASK), uncorrectable);
	describe_errors(t, "UESvrt", pci_read32(fn, at + PCIE_AER_UNCOR_SEVERITY), uncorrectable);
	describe_errors(t, "CESta", pci_read32(fn, at + PCIE_AER_COR_STATUS), correctable);
	describe_errors(t, "CEMsk", pci_read32(fn, at + PCIE_AER_COR_MASK), correctable);
	pci_text_add(t, "\t\tAERCap:\tFirst Error Pointer: %02x, ECRCGenCap%c ECRCGenEn%c ECRCChkCap%c ECRCChkEn%c\n",
		     FIELD_GET(PCIE_AER_CTL_FIRST, ctl), pci_sign(ctl & PCIE_AER_CTL_GEN_CAP),
		     pci_sign(ctl & PCIE_AER_CTL_GEN_EN), pci_sign(ctl & PCIE_AER_CTL_CHECK_CAP),
		     pci_sign(ctl & PCIE_AER_CTL_CHECK_EN));
	pci_text_add(t, "\t\t\tMultHdrRecCap%c MultHdrRecEn%c TLPPfxPres%c HdrLogCap%c\n",
		     pci_sign(ctl & PCIE_AER_CTL_MULTI_CAP), pci_sign(ctl & PCIE_AER_CTL_MULTI_EN),
		     pci_sign(ctl & PCIE_AER_CTL_PREFIX), pci_sign(ctl & PCIE_AER_CTL_TIMEOUT_LOG));
	pci_text_add(t, "\t\tHeaderLog:");
	for (unsigned i = 0; i < 4; i++)
		pci_text_add(t, " %08x", pci_read32(fn, at + PCIE_AER_HEADER_LOG + 4 * i));
	pci_text_add(t, "\n");
	if ((type == PCIE_TYPE_ROOT_PORT || type == PCIE_TYPE_RC_EVENT) && at + PCIE_AER_LEN_ROOT <= PCIE_CONFIG_LEN)
		describe_aer_root(t, fn, at);
}

/* ---- single-root I/O virtualisation: PCIe 5.0 §9.3.3 ---- */

static void describe_vf_bars(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		uint32_t bar = pci_read32(fn, at + PCIE_SRIOV_BAR(i));
		bool is_64 = FIELD_GET(PCI_BAR_MEM_TYPE, bar) == PCI_BAR_MEM_64;
		unsigned index = i;

		if (bar == 0 || bar == 0xffffffffu)
			continue;
		pci_text_add(t, "\t\tRegion %u: Memory at ", index);
		if (is_64) {
			/* A last BAR of 64 bits has no upper half: the device is wrong, and shown so. */
			i++;
			pci_text_add(t, "%08x", i < PCI_BAR_COUNT_DEVICE ? pci_read32(fn, at + PCIE_SRIOV_BAR(i)) : 0);
		}
		pci_text_add(t, "%08x (%s-bit, %sprefetchable)\n", bar & PCI_BAR_MEM_ADDRESS, is_64 ? "64" : "32",
			     bar & PCI_BAR_MEM_PREFETCH ? "" : "non-");
	}
}

void pci_describe_sriov(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag control[] = {
		{"Enable", PCIE_SRIOV_CTL_ENABLE},
		{"Migration", PCIE_SRIOV_CTL_MIGR},
		{"Interrupt", PCIE_SRIOV_CTL_MIGRINT},
		{"MSE", PCIE_SRIOV_CTL_MSE},
		{"ARIHierarchy", PCIE_SRIOV_CTL_ARI},
		{"10BitTagReq", PCIE_SRIOV_CTL_TAG10},
		{NULL, 0},
	};
	uint32_t caps = pci_read32(fn, at + PCIE_SRIOV_CAPS), migration = pci_read32(fn, at + PCIE_SRIOV_MIGRATION);

	pci_text_add(t, "Single Root I/O Virtualization (SR-IOV)\n");
	pci_text_add(t, "\t\tIOVCap:\tMigration%c 10BitTagReq%c Interrupt Message Number: %03x\n",
		     pci_sign(caps & PCIE_SRIOV_CAPS_MIGR), pci_sign(caps & PCIE_SRIOV_CAPS_TAG10),
		     FIELD_GET(PCIE_SRIOV_CAPS_MSGNUM, caps));
	pci_text_add(t, "\t\tIOVCtl:\t");
	pci_text_flags(t, pci_read16(fn, at + PCIE_SRIOV_CONTROL), control);
	pci_text_add(t, "\n\t\tIOVSta:\tMigration%c\n",
		     pci_sign(pci_read16(fn, at + PCIE_SRIOV_STATUS) & PCIE_SRIOV_STA_MIGR));
	pci_text_add(t, "\t\tInitial VFs: %u, Total VFs: %u, Number of VFs: %u, Function Dependency Link: %02x\n",
		     pci_read16(fn, at + PCIE_SRIOV_INITIAL_VFS), pci_read16(fn, at + PCIE_SRIOV_TOTAL_VFS),
		     pci_read16(fn, at + PCIE_SRIOV_NUM_VFS), pci_read8(fn, at + PCIE_SRIOV_DEPENDENCY));
	pci_text_add(t, "\t\tVF offset: %u, stride: %u, Device ID: %04x\n", pci_read16(fn, at + PCIE_SRIOV_FIRST),
		     pci_read16(fn, at + PCIE_SRIOV_STRIDE), pci_read16(fn, at + PCIE_SRIOV_VF_DEVICE));
	pci_text_add(t, "\t\tSupported Page Size: %08x, System Page Size: %08x\n",
		     pci_read32(fn, at + PCIE_SRIOV_PAGES), pci_read32(fn, at + PCIE_SRIOV_PAGE_SIZE));
	describe_vf_bars(t, fn, at);
	pci_text_add(t, "\t\tVF Migration: offset: %08x, BIR: %u\n", migration & ~PCIE_SRIOV_MIGR_BIR,
		     FIELD_GET(PCIE_SRIOV_MIGR_BIR, migration));
}

/* ---- L1 PM substates: PCIe 4.0 §7.8.3 ---- */

static void describe_power_on(struct pci_text *t, unsigned value, unsigned scale)
{
	static const unsigned unit_us[] = {2, 10, 100};

	if (scale < ARRAY_SIZE(unit_us))
		pci_text_add(t, "%uus", value * unit_us[scale]);
	else
		pci_text_add(t, "<error>");
}

void pci_describe_l1pm(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag states[] = {
		{"PCI-PM_L1.2", PCIE_L1PM_PCI_L12},
		{"PCI-PM_L1.1", PCIE_L1PM_PCI_L11},
		{"ASPM_L1.2", PCIE_L1PM_ASPM_L12},
		{"ASPM_L1.1", PCIE_L1PM_ASPM_L11},
		{NULL, 0},
	};
	uint32_t caps = pci_read32(fn, at + PCIE_L1PM_CAPS), ctl1 = pci_read32(fn, at + PCIE_L1PM_CONTROL1);
	uint32_t ctl2 = pci_read32(fn, at + PCIE_L1PM_CONTROL2);
	unsigned scale = FIELD_GET(PCIE_L1PM_CTL1_SCALE, ctl1);

	pci_text_add(t, "L1 PM Substates\n\t\tL1SubCap: ");
	pci_text_flags(t, caps, states);
	pci_text_add(t, " L1_PM_Substates%c\n", pci_sign(caps & PCIE_L1PM_CAPS_L1PM));
	/* Only L1.2 has times. */
	if (caps & (PCIE_L1PM_PCI_L12 | PCIE_L1PM_ASPM_L12)) {
		pci_text_add(t, "\t\t\t  PortCommonModeRestoreTime=%uus PortTPowerOnTime=",
			     FIELD_GET(PCIE_L1PM_COMMON_MODE, caps));
		describe_power_on(t, FIELD_GET(PCIE_L1PM_CAPS_VALUE, caps), FIELD_GET(PCIE_L1PM_CAPS_SCALE, caps));
		pci_text_add(t, "\n");
	}
	pci_text_add(t, "\t\tL1SubCtl1: ");
	pci_text_flags(t, ctl1, states);
	pci_text_add(t, "\n");
	if (caps & (PCIE_L1PM_PCI_L12 | PCIE_L1PM_ASPM_L12)) {
		pci_text_add(t, "\t\t\t   T_CommonMode=%uus", FIELD_GET(PCIE_L1PM_COMMON_MODE, ctl1));
		if (caps & PCIE_L1PM_ASPM_L12) {
			pci_text_add(t, " LTR1.2_Threshold=");
			if (scale <= 5)
				pci_text_add(t, "%lluns",
					     (unsigned long long)FIELD_GET(PCIE_L1PM_CTL1_LTR, ctl1) << (5 * scale));
			else
				pci_text_add(t, "<error>");
		}
		pci_text_add(t, "\n");
	}
	pci_text_add(t, "\t\tL1SubCtl2:");
	if (caps & (PCIE_L1PM_PCI_L12 | PCIE_L1PM_ASPM_L12)) {
		pci_text_add(t, " T_PwrOn=");
		describe_power_on(t, FIELD_GET(PCIE_L1PM_CTL2_VALUE, ctl2), FIELD_GET(PCIE_L1PM_CTL2_SCALE, ctl2));
	}
	pci_text_add(t, "\n");
}

/* ---- downstream port containment: PCIe 4.0 §7.9.15 ---- */

void pci_describe_dpc(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned caps = pci_read16(fn, at + PCIE_DPC_CAPS), ctl = pci_read16(fn, at + PCIE_DPC_CONTROL);
	unsigned sta = pci_read16(fn, at + PCIE_DPC_STATUS);

	pci_text_add(t, "Downstream Port Containment\n\t\tDpcCap:\tINT Msg #%u, RPExt%c PoisonedTLP%c SwTrigger%c ",
		     FIELD_GET(PCIE_DPC_CAPS_INT, caps), pci_sign(caps & PCIE_DPC_CAPS_RP),
		     pci_sign(caps & PCIE_DPC_CAPS_POISON), pci_sign(caps & PCIE_DPC_CAPS_SOFTWARE));
	pci_text_add(t, "RP PIO Log %u, DL_ActiveErr%c\n", FIELD_GET(PCIE_DPC_CAPS_LOG, caps),
		     pci_sign(caps & PCIE_DPC_CAPS_DL_ACTIVE));
	pci_text_add(t, "\t\tDpcCtl:\tTrigger:%x Cmpl%c INT%c ErrCor%c PoisonedTLP%c SwTrigger%c DL_ActiveErr%c\n",
		     FIELD_GET(PCIE_DPC_CTL_TRIGGER, ctl), pci_sign(ctl & PCIE_DPC_CTL_COMPLETION),
		     pci_sign(ctl & PCIE_DPC_CTL_INT), pci_sign(ctl & PCIE_DPC_CTL_ERR_COR),
		     pci_sign(ctl & PCIE_DPC_CTL_POISON), pci_sign(ctl & PCIE_DPC_CTL_SOFTWARE),
		     pci_sign(ctl & PCIE_DPC_CTL_DL_ACTIVE));
	pci_text_add(t, "\t\tDpcSta:\tTrigger%c Reason:%02x INT%c RPBusy%c TriggerExt:%02x RP PIO ErrPtr:%02x\n",
		     pci_sign(sta & PCIE_DPC_STA_TRIGGER), FIELD_GET(PCIE_DPC_STA_REASON, sta),
		     pci_sign(sta & PCIE_DPC_STA_INT), pci_sign(sta & PCIE_DPC_STA_BUSY),
		     FIELD_GET(PCIE_DPC_STA_REASON_EXT, sta), FIELD_GET(PCIE_DPC_STA_FIRST, sta));
	pci_text_add(t, "\t\tSource:\t%04x\n", pci_read16(fn, at + PCIE_DPC_SOURCE));
}
