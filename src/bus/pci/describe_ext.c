/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended capabilities as text: PCIe 4.0 §7.7 to §7.9. The longer ones are in describe_ext2.c. */
#include "bus/pci/text.h"

#define CXL_VENDOR 0x1e98u

static void describe_serial(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t half[] = {pci_read32(fn, at + PCIE_DSN_HI), pci_read32(fn, at + PCIE_DSN_LO)};

	pci_text_add(t, "Device Serial Number ");
	for (unsigned i = 0; i < 8; i++)
		pci_text_add(t, "%s%02x", i != 0 ? "-" : "", (half[i / 4] >> (24 - 8 * (i % 4))) & 0xff);
	pci_text_add(t, "\n");
}

static void describe_acs(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag flags[] = {
		{"SrcValid", PCIE_ACS_SOURCE},      {"TransBlk", PCIE_ACS_TRANSLATION},
		{"ReqRedir", PCIE_ACS_REQUEST},     {"CmpltRedir", PCIE_ACS_COMPLETION},
		{"UpstreamFwd", PCIE_ACS_UPSTREAM}, {"EgressCtrl", PCIE_ACS_EGRESS},
		{"DirectTrans", PCIE_ACS_DIRECT},   {NULL, 0},
	};

	pci_text_add(t, "Access Control Services\n\t\tACSCap:\t");
	pci_text_flags(t, pci_read16(fn, at + PCIE_ACS_CAPS), flags);
	pci_text_add(t, "\n\t\tACSCtl:\t");
	pci_text_flags(t, pci_read16(fn, at + PCIE_ACS_CONTROL), flags);
	pci_text_add(t, "\n");
}

static void describe_ari(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned caps = pci_read16(fn, at + PCIE_ARI_CAPS), ctl = pci_read16(fn, at + PCIE_ARI_CONTROL);

	pci_text_add(t, "Alternative Routing-ID Interpretation (ARI)\n\t\tARICap:\tMFVC%c ACS%c, Next Function: %u\n",
		     pci_sign(caps & PCIE_ARI_CAPS_MFVC), pci_sign(caps & PCIE_ARI_CAPS_ACS),
		     FIELD_GET(PCIE_ARI_CAPS_NEXT, caps));
	pci_text_add(t, "\t\tARICtl:\tMFVC%c ACS%c, Function Group: %u\n", pci_sign(ctl & PCIE_ARI_CTL_MFVC),
		     pci_sign(ctl & PCIE_ARI_CTL_ACS), FIELD_GET(PCIE_ARI_CTL_GROUP, ctl));
}

static void describe_ats(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned caps = pci_read16(fn, at + PCIE_ATS_CAPS), ctl = pci_read16(fn, at + PCIE_ATS_CONTROL);

	pci_text_add(t, "Address Translation Service (ATS)\n\t\tATSCap:\tInvalidate Queue Depth: %02x\n",
		     FIELD_GET(PCIE_ATS_CAPS_DEPTH, caps));
	pci_text_add(t, "\t\tATSCtl:\tEnable%c, Smallest Translation Unit: %02x\n", pci_sign(ctl & PCIE_ATS_CTL_ENABLE),
		     FIELD_GET(PCIE_ATS_CTL_STU, ctl));
}

static void describe_pri(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned ctl = pci_read16(fn, at + PCIE_PRI_CONTROL), sta = pci_read16(fn, at + PCIE_PRI_STATUS);

	pci_text_add(t, "Page Request Interface (PRI)\n\t\tPRICtl: Enable%c Reset%c\n",
		     pci_sign(ctl & PCIE_PRI_CTL_ENABLE), pci_sign(ctl & PCIE_PRI_CTL_RESET));
	pci_text_add(t, "\t\tPRISta: RF%c UPRGI%c Stopped%c\n", pci_sign(sta & PCIE_PRI_STA_FAILURE),
		     pci_sign(sta & PCIE_PRI_STA_INDEX), pci_sign(sta & PCIE_PRI_STA_STOPPED));
	pci_text_add(t, "\t\tPage Request Capacity: %08x, Page Request Allocation: %08x\n",
		     pci_read32(fn, at + PCIE_PRI_CAPACITY), pci_read32(fn, at + PCIE_PRI_ALLOCATION));
}

static void describe_pasid(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	unsigned caps = pci_read16(fn, at + PCIE_PASID_CAPS), ctl = pci_read16(fn, at + PCIE_PASID_CONTROL);

	pci_text_add(t, "Process Address Space ID (PASID)\n\t\tPASIDCap: Exec%c Priv%c, Max PASID Width: %02x\n",
		     pci_sign(caps & PCIE_PASID_EXEC), pci_sign(caps & PCIE_PASID_PRIV),
		     FIELD_GET(PCIE_PASID_CAPS_WIDTH, caps));
	pci_text_add(t, "\t\tPASIDCtl: Enable%c Exec%c Priv%c\n", pci_sign(ctl & PCIE_PASID_ENABLE),
		     pci_sign(ctl & PCIE_PASID_EXEC), pci_sign(ctl & PCIE_PASID_PRIV));
}

static uint64_t ltr_ns(unsigned word)
{
	/* Scales above 5 are not allowed, but a device may show one: 32^7 times 1023 still fits. */
	return (uint64_t)FIELD_GET(PCIE_LTR_VALUE, word) << (5 * FIELD_GET(PCIE_LTR_SCALE, word));
}

static void describe_ltr(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	pci_text_add(t, "Latency Tolerance Reporting\n\t\tMax snoop latency: %lluns\n",
		     (unsigned long long)ltr_ns(pci_read16(fn, at + PCIE_LTR_SNOOP)));
	pci_text_add(t, "\t\tMax no snoop latency: %lluns\n",
		     (unsigned long long)ltr_ns(pci_read16(fn, at + PCIE_LTR_NO_SNOOP)));
}

static void describe_tph(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const char *const tables[] = {"No steering table available",
					     "Steering table in TPH capability structure",
					     "Steering table in MSI-X table", "Reserved steering table location"};
	uint32_t caps = pci_read32(fn, at + PCIE_TPH_CAPS);

	pci_text_add(t, "Transaction Processing Hints\n");
	if (caps & PCIE_TPH_CAPS_VECTOR)
		pci_text_add(t, "\t\tInterrupt vector mode supported\n");
	if (caps & PCIE_TPH_CAPS_DEVICE)
		pci_text_add(t, "\t\tDevice specific mode supported\n");
	if (caps & PCIE_TPH_CAPS_EXT)
		pci_text_add(t, "\t\tExtended requester support\n");
	pci_text_add(t, "\t\t%s\n", tables[FIELD_GET(PCIE_TPH_CAPS_TABLE, caps)]);
}

static void describe_secondary(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t ctl = pci_read32(fn, at + PCIE_SEC_LNKCTL3), lanes = pci_read32(fn, at + PCIE_SEC_LANE_ERRORS);

	pci_text_add(t, "Secondary PCI Express\n\t\tLnkCtl3: LnkEquIntrruptEn%c PerformEqu%c\n\t\tLaneErrStat: ",
		     pci_sign(ctl & PCIE_SEC_LNKCTL3_EQINT), pci_sign(ctl & PCIE_SEC_LNKCTL3_EQ));
	if (lanes != 0) {
		pci_text_add(t, "LaneErr at lane:");
		for (unsigned i = 0; i < 32; i++) {
			if (lanes & BIT(i))
				pci_text_add(t, " %u", i);
		}
	} else {
		pci_text_add(t, "0");
	}
	pci_text_add(t, "\n");
}

static void describe_granularity(struct pci_text *t, const char *what, unsigned ns, const char *zero)
{
	pci_text_add(t, "\t\tPTM%s: ", what);
	if (ns == 0)
		pci_text_add(t, "%s\n", zero);
	else if (ns == 0xff)
		pci_text_add(t, "Greater than 254ns\n");
	else
		pci_text_add(t, "%uns\n", ns);
}

static void describe_ptm(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t caps = pci_read32(fn, at + PCIE_PTM_CAPS), ctl = pci_read32(fn, at + PCIE_PTM_CONTROL);

	pci_text_add(t, "Precision Time Measurement\n\t\tPTMCap: Requester:%c Responder:%c Root:%c\n",
		     pci_sign(caps & PCIE_PTM_CAPS_REQUESTER), pci_sign(caps & PCIE_PTM_CAPS_RESPONDER),
		     pci_sign(caps & PCIE_PTM_CAPS_ROOT));
	describe_granularity(t, "ClockGranularity", FIELD_GET(PCIE_PTM_GRANULARITY, caps), "Unimplemented");
	pci_text_add(t, "\t\tPTMControl: Enabled:%c RootSelected:%c\n", pci_sign(ctl & PCIE_PTM_CTL_ENABLE),
		     pci_sign(ctl & PCIE_PTM_CTL_ROOT));
	describe_granularity(t, "EffectiveGranularity", FIELD_GET(PCIE_PTM_GRANULARITY, ctl), "Unknown");
}

static void describe_vendor(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t header = pci_read32(fn, at + PCIE_VSEC_HEADER);

	pci_text_add(t, "Vendor Specific Information: ID=%04x Rev=%u Len=%03x <?>\n", FIELD_GET(PCIE_VSEC_ID, header),
		     FIELD_GET(PCIE_VSEC_REVISION, header), FIELD_GET(PCIE_VSEC_LEN, header));
}

static void describe_designated(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t header = pci_read32(fn, at + PCIE_VSEC_HEADER);
	unsigned vendor = FIELD_GET(PCIE_DVSEC_VENDOR, header);

	pci_text_add(t, "Designated Vendor-Specific: Vendor=%04x ID=%04x Rev=%u Len=%u%s\n", vendor,
		     pci_read16(fn, at + PCIE_DVSEC_ID), FIELD_GET(PCIE_VSEC_REVISION, header),
		     FIELD_GET(PCIE_VSEC_LEN, header), vendor == CXL_VENDOR ? ": CXL" : " <?>");
}

static void describe_doe(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint32_t caps = pci_read32(fn, at + PCIE_DOE_CAPS), sta = pci_read32(fn, at + PCIE_DOE_STATUS);

	pci_text_add(t, "Data Object Exchange\n\t\tDOECap: IntSup%c\n", pci_sign(caps & PCIE_DOE_CAPS_INT));
	if (caps & PCIE_DOE_CAPS_INT)
		pci_text_add(t, "\t\t\tInterrupt Message Number %03x\n", FIELD_GET(PCIE_DOE_CAPS_VECTOR, caps));
	pci_text_add(t, "\t\tDOECtl: IntEn%c\n", pci_sign(pci_read32(fn, at + PCIE_DOE_CONTROL) & PCIE_DOE_CTL_INT));
	pci_text_add(t, "\t\tDOESta: Busy%c IntSta%c Error%c ObjectReady%c\n", pci_sign(sta & PCIE_DOE_STA_BUSY),
		     pci_sign(sta & PCIE_DOE_STA_INT), pci_sign(sta & PCIE_DOE_STA_ERROR),
		     pci_sign(sta & PCIE_DOE_STA_READY));
}

/* Those of which there is nothing to say but the name. */
static const char *const plain_names[] = {
	[PCIE_EXT_ID_NULL] = "Null",
	[PCIE_EXT_ID_VC] = "Virtual Channel <?>",
	[PCIE_EXT_ID_POWER] = "Power Budgeting <?>",
	[PCIE_EXT_ID_RCLINK] = "Root Complex Link <?>",
	[PCIE_EXT_ID_RCILC] = "Root Complex Internal Link <?>",
	[PCIE_EXT_ID_RCEC] = "Root Complex Event Collector Endpoint Association <?>",
	[PCIE_EXT_ID_MFVC] = "Multi-Function Virtual Channel <?>",
	[PCIE_EXT_ID_VC9] = "Virtual Channel <?>",
	[PCIE_EXT_ID_RCRB] = "Root Complex Register Block <?>",
	[PCIE_EXT_ID_MRIOV] = "Multi-Root I/O Virtualization <?>",
	[PCIE_EXT_ID_MCAST] = "Multicast <?>",
	[PCIE_EXT_ID_REBAR] = "Physical Resizable BAR <?>",
	[PCIE_EXT_ID_DPA] = "Dynamic Power Allocation <?>",
	[PCIE_EXT_ID_PMUX] = "Protocol Multiplexing <?>",
	[PCIE_EXT_ID_LNR] = "LN Requester <?>",
	[PCIE_EXT_ID_MPHY] = "PCI Express over M_PHY <?>",
	[PCIE_EXT_ID_FRS] = "FRS Queueing <?>",
	[PCIE_EXT_ID_RTR] = "Readiness Time Reporting <?>",
	[PCIE_EXT_ID_VF_REBAR] = "Virtual Resizable BAR <?>",
	[PCIE_EXT_ID_DLF] = "Data Link Feature <?>",
	[PCIE_EXT_ID_PHY16] = "Physical Layer 16.0 GT/s <?>",
	[PCIE_EXT_ID_LMR] = "Lane Margining at the Receiver <?>",
	[PCIE_EXT_ID_HIERARCHY] = "Hierarchy ID <?>",
	[PCIE_EXT_ID_NPEM] = "Native PCIe Enclosure Management <?>",
};

struct decoder {
	uint16_t id;
	uint16_t len_bytes; /* with its header, as far as it is read */
	void (*describe)(struct pci_text *t, const struct pci_function *fn, unsigned at);
};

static const struct decoder decoders[] = {
	{PCIE_EXT_ID_AER, PCIE_AER_LEN_DEVICE, pci_describe_aer},
	{PCIE_EXT_ID_DSN, PCIE_DSN_LEN, describe_serial},
	{PCIE_EXT_ID_VENDOR, 8, describe_vendor},
	{PCIE_EXT_ID_ACS, 8, describe_acs},
	{PCIE_EXT_ID_ARI, PCIE_ARI_LEN, describe_ari},
	{PCIE_EXT_ID_ATS, 8, describe_ats},
	{PCIE_EXT_ID_SRIOV, PCIE_SRIOV_LEN, pci_describe_sriov},
	{PCIE_EXT_ID_PRI, 16, describe_pri},
	{PCIE_EXT_ID_TPH, 8, describe_tph},
	{PCIE_EXT_ID_LTR, 8, describe_ltr},
	{PCIE_EXT_ID_SECPCI, 12, describe_secondary},
	{PCIE_EXT_ID_PASID, 8, describe_pasid},
	{PCIE_EXT_ID_DPC, 12, pci_describe_dpc},
	{PCIE_EXT_ID_L1PM, 16, pci_describe_l1pm},
	{PCIE_EXT_ID_PTM, 12, describe_ptm},
	{PCIE_EXT_ID_DVSEC, 10, describe_designated},
	{PCIE_EXT_ID_DOE, 16, describe_doe},
};

void pci_describe_extended(struct pci_text *t, const struct pci_function *fn, const struct pci_capability *cap)
{
	const char *name = pci_name_of(plain_names, ARRAY_SIZE(plain_names), cap->id, NULL);

	pci_text_add(t, "\tCapabilities: [%03x v%u] ", cap->offset, cap->version);
	for (unsigned i = 0; i < ARRAY_SIZE(decoders); i++) {
		if (decoders[i].id != cap->id)
			continue;
		if (cap->offset + decoders[i].len_bytes <= PCIE_CONFIG_LEN)
			decoders[i].describe(t, fn, cap->offset);
		else
			pci_text_add(t, "Extended Capability ID %#02x <unreadable>\n", cap->id);
		return;
	}
	if (name != NULL)
		pci_text_add(t, "%s\n", name);
	else
		pci_text_add(t, "Extended Capability ID %#02x\n", cap->id);
}
