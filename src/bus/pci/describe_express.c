/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI Express capability as text, its first version: PCIe 4.0 §7.5.3.2 to §7.5.3.14. */
#include "bus/pci/text.h"

static const char *const l0s_latency[] = {"<64ns", "<128ns", "<256ns", "<512ns", "<1us", "<2us", "<4us", "unlimited"};
static const char *const l1_latency[] = {"<1us", "<2us", "<4us", "<8us", "<16us", "<32us", "<64us", "unlimited"};

#define TYPE_BIT(type) (1u << PCIE_TYPE_##type)
/* Which types have what; everything that is not listed does not. */
#define WITH_LATENCY (TYPE_BIT(ENDPOINT) | TYPE_BIT(LEGACY))
#define WITH_BUTTONS (TYPE_BIT(ENDPOINT) | TYPE_BIT(LEGACY) | TYPE_BIT(UPSTREAM) | TYPE_BIT(TO_PCI_BRIDGE))
#define WITH_FLR     (TYPE_BIT(ENDPOINT) | TYPE_BIT(LEGACY) | TYPE_BIT(RC_ENDPOINT))
#define WITH_POWER   (TYPE_BIT(ENDPOINT) | TYPE_BIT(UPSTREAM) | TYPE_BIT(TO_PCI_BRIDGE))
#define WITH_RCB     (TYPE_BIT(ROOT_PORT) | TYPE_BIT(ENDPOINT) | TYPE_BIT(LEGACY) | TYPE_BIT(TO_PCI_BRIDGE))
#define WITH_SLOT    (TYPE_BIT(ROOT_PORT) | TYPE_BIT(DOWNSTREAM) | TYPE_BIT(FROM_PCI))
#define WITH_ROOT    (TYPE_BIT(ROOT_PORT) | TYPE_BIT(RC_EVENT))
#define WITHOUT_LINK (TYPE_BIT(RC_ENDPOINT) | TYPE_BIT(RC_EVENT))

static void describe_type(struct pci_text *t, uint16_t flags, unsigned type)
{
	static const char *const types[] = {
		[PCIE_TYPE_ENDPOINT] = "Endpoint",
		[PCIE_TYPE_LEGACY] = "Legacy Endpoint",
		[PCIE_TYPE_ROOT_PORT] = "Root Port",
		[PCIE_TYPE_UPSTREAM] = "Upstream Port",
		[PCIE_TYPE_DOWNSTREAM] = "Downstream Port",
		[PCIE_TYPE_TO_PCI_BRIDGE] = "PCI-Express to PCI/PCI-X Bridge",
		[PCIE_TYPE_FROM_PCI] = "PCI/PCI-X to PCI-Express Bridge",
		[PCIE_TYPE_RC_ENDPOINT] = "Root Complex Integrated Endpoint",
		[PCIE_TYPE_RC_EVENT] = "Root Complex Event Collector",
	};
	const char *name = pci_name_of(types, ARRAY_SIZE(types), type, NULL);

	pci_text_add(t, "Express (v%u) ", FIELD_GET(PCIE_FLAGS_VERSION, (unsigned)flags));
	if (name != NULL)
		pci_text_add(t, "%s", name);
	else
		pci_text_add(t, "Unknown type %u", type);
	if (WITH_SLOT & 1u << type)
		pci_text_add(t, " (Slot%c)", pci_sign(flags & PCIE_FLAGS_SLOT));
	pci_text_add(t, ", MSI %02x\n", FIELD_GET(PCIE_FLAGS_INTERRUPT, (unsigned)flags));
}

static void describe_device_caps(struct pci_text *t, uint32_t cap, unsigned type)
{
	static const struct pci_flag buttons[] = {
		{"AttnBtn", PCIE_DEVCAP_ATTN_BUTTON},
		{"AttnInd", PCIE_DEVCAP_ATTN_LED},
		{"PwrInd", PCIE_DEVCAP_POWER_LED},
		{NULL, 0},
	};
	unsigned bit = 1u << type;

	pci_text_add(t, "\t\tDevCap:\tMaxPayload %u bytes, PhantFunc %u", 128u << FIELD_GET(PCIE_DEVCAP_PAYLOAD, cap),
		     (1u << FIELD_GET(PCIE_DEVCAP_PHANTOM, cap)) - 1);
	if (WITH_LATENCY & bit)
		pci_text_add(t, ", Latency L0s %s, L1 %s", l0s_latency[FIELD_GET(PCIE_DEVCAP_L0S, cap)],
			     l1_latency[FIELD_GET(PCIE_DEVCAP_L1, cap)]);
	pci_text_add(t, "\n\t\t\tExtTag%c", pci_sign(cap & PCIE_DEVCAP_EXTTAG));
	if (WITH_BUTTONS & bit) {
		pci_text_add(t, " ");
		pci_text_flags(t, cap, buttons);
	}
	pci_text_add(t, " RBE%c", pci_sign(cap & PCIE_DEVCAP_ROLE_ERRORS));
	if (WITH_FLR & bit)
		pci_text_add(t, " FLReset%c", pci_sign(cap & PCIE_DEVCAP_FLR));
	if (WITH_POWER & bit) {
		pci_text_add(t, " SlotPowerLimit ");
		pci_text_watts(t, FIELD_GET(PCIE_DEVCAP_POWER_VALUE, cap), FIELD_GET(PCIE_DEVCAP_POWER_SCALE, cap));
	}
	pci_text_add(t, "\n");
}

static void describe_device(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type)
{
	static const struct pci_flag errors[] = {
		{"CorrErr", PCIE_DEVCTL_CORR},
		{"NonFatalErr", PCIE_DEVCTL_NONFATAL},
		{"FatalErr", PCIE_DEVCTL_FATAL},
		{"UnsupReq", PCIE_DEVCTL_UNSUP},
		{NULL, 0},
	};
	static const struct pci_flag control[] = {
		{"RlxdOrd", PCIE_DEVCTL_RELAXED},   {"ExtTag", PCIE_DEVCTL_EXTTAG},
		{"PhantFunc", PCIE_DEVCTL_PHANTOM}, {"AuxPwr", PCIE_DEVCTL_AUX_POWER},
		{"NoSnoop", PCIE_DEVCTL_NO_SNOOP},  {NULL, 0},
	};
	static const struct pci_flag status[] = {
		{"CorrErr", PCIE_DEVSTA_CORR},
		{"NonFatalErr", PCIE_DEVSTA_NONFATAL},
		{"FatalErr", PCIE_DEVSTA_FATAL},
		{"UnsupReq", PCIE_DEVSTA_UNSUP},
		{"AuxPwr", PCIE_DEVSTA_AUX_POWER},
		{"TransPend", PCIE_DEVSTA_PENDING},
		{NULL, 0},
	};
	uint32_t cap = pci_read32(fn, at + PCIE_DEVCAP);
	unsigned ctl = pci_read16(fn, at + PCIE_DEVCTL);

	describe_device_caps(t, cap, type);
	pci_text_add(t, "\t\tDevCtl:\t");
	pci_text_flags(t, ctl, errors);
	pci_text_add(t, "\n\t\t\t");
	pci_text_flags(t, ctl, control);
	if (type == PCIE_TYPE_TO_PCI_BRIDGE)
		pci_text_add(t, " BrConfRtry%c", pci_sign(ctl & PCIE_DEVCTL_BRIDGE_CRS));
	if ((WITH_FLR & 1u << type) && (cap & PCIE_DEVCAP_FLR))
		pci_text_add(t, " FLReset%c", pci_sign(ctl & PCIE_DEVCTL_FLR));
	pci_text_add(t, "\n\t\t\tMaxPayload %u bytes, MaxReadReq %u bytes\n",
		     128u << FIELD_GET(PCIE_DEVCTL_PAYLOAD, ctl), 128u << FIELD_GET(PCIE_DEVCTL_READ_REQ, ctl));
	pci_text_add(t, "\t\tDevSta:\t");
	pci_text_flags(t, pci_read16(fn, at + PCIE_DEVSTA), status);
	pci_text_add(t, "\n");
}

static void describe_link_caps(struct pci_text *t, uint32_t cap)
{
	static const struct pci_flag flags[] = {
		{"ClockPM", PCIE_LNKCAP_CLOCK_PM},      {"Surprise", PCIE_LNKCAP_SURPRISE},
		{"LLActRep", PCIE_LNKCAP_DL_ACTIVE},    {"BwNot", PCIE_LNKCAP_BW_NOTIFY},
		{"ASPMOptComp", PCIE_LNKCAP_ASPM_COMP}, {NULL, 0},
	};
	static const char *const aspm_names[] = {"not supported", "L0s", "L1", "L0s L1"};
	unsigned aspm = FIELD_GET(PCIE_LNKCAP_ASPM, cap);
	const char *speed = pci_link_speed(FIELD_GET(PCIE_LNKCAP_SPEED, cap));

	pci_text_add(t, "\t\tLnkCap:\tPort #%u, Speed %s, Width x%u, ASPM %s", FIELD_GET(PCIE_LNKCAP_PORT, cap),
		     speed != NULL ? speed : "unknown", FIELD_GET(PCIE_LNKCAP_WIDTH, cap), aspm_names[aspm]);
	if (aspm != 0)
		pci_text_add(t, ", Exit Latency ");
	if (aspm & 1)
		pci_text_add(t, "L0s %s", l0s_latency[FIELD_GET(PCIE_LNKCAP_L0S, cap)]);
	if (aspm & 2)
		pci_text_add(t, "%sL1 %s", aspm & 1 ? ", " : "", l1_latency[FIELD_GET(PCIE_LNKCAP_L1, cap)]);
	pci_text_add(t, "\n\t\t\t");
	pci_text_flags(t, cap, flags);
	pci_text_add(t, "\n");
}

/* How the link runs against what it can. A port may well lead to something slower. */
static const char *compare(unsigned type, unsigned is, unsigned can)
{
	if (is > can)
		return " (overdriven)";
	return is == can || (WITH_SLOT & 1u << type) ? "" : " (downgraded)";
}

static void describe_link(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type)
{
	static const struct pci_flag control[] = {
		{"ExtSynch", PCIE_LNKCTL_EXT_SYNC},    {"ClockPM", PCIE_LNKCTL_CLOCK_PM},
		{"AutWidDis", PCIE_LNKCTL_AUTO_WIDTH}, {"BWInt", PCIE_LNKCTL_BW_INT},
		{"AutBWInt", PCIE_LNKCTL_AUTO_BW_INT}, {NULL, 0},
	};
	static const struct pci_flag status[] = {
		{"TrErr", PCIE_LNKSTA_TRAIN_ERR},
		{"Train", PCIE_LNKSTA_TRAINING},
		{"SlotClk", PCIE_LNKSTA_SLOT_CLOCK},
		{"DLActive", PCIE_LNKSTA_DL_ACTIVE},
		{"BWMgmt", PCIE_LNKSTA_BW_MGMT},
		{"ABWMgmt", PCIE_LNKSTA_AUTO_BW},
		{NULL, 0},
	};
	static const char *const aspm[] = {"Disabled", "L0s Enabled", "L1 Enabled", "L0s L1 Enabled"};
	uint32_t cap = pci_read32(fn, at + PCIE_LNKCAP);
	unsigned ctl = pci_read16(fn, at + PCIE_LNKCTL), sta = pci_read16(fn, at + PCIE_LNKSTA);
	unsigned speed = FIELD_GET(PCIE_LNKSTA_SPEED, sta), width = FIELD_GET(PCIE_LNKSTA_WIDTH, sta);

	describe_link_caps(t, cap);
	pci_text_add(t, "\t\tLnkCtl:\tASPM %s;", aspm[FIELD_GET(PCIE_LNKCTL_ASPM, ctl)]);
	if (WITH_RCB & 1u << type)
		pci_text_add(t, " RCB %u bytes,", ctl & PCIE_LNKCTL_RCB ? 128 : 64);
	pci_text_add(t, " Disabled%c CommClk%c\n\t\t\t", pci_sign(ctl & PCIE_LNKCTL_DISABLE),
		     pci_sign(ctl & PCIE_LNKCTL_COMMCLK));
	pci_text_flags(t, ctl, control);
	pci_text_add(t, "\n\t\tLnkSta:\tSpeed %s%s, Width x%u%s\n\t\t\t",
		     pci_link_speed(speed) != NULL ? pci_link_speed(speed) : "unknown",
		     compare(type, speed, FIELD_GET(PCIE_LNKCAP_SPEED, cap)), width,
		     compare(type, width, FIELD_GET(PCIE_LNKCAP_WIDTH, cap)));
	pci_text_flags(t, sta, status);
	pci_text_add(t, "\n");
}

static void describe_slot(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag caps[] = {
		{"AttnBtn", PCIE_SLTCAP_ATTN_BUTTON},
		{"PwrCtrl", PCIE_SLTCAP_POWER_CTRL},
		{"MRL", PCIE_SLTCAP_MRL},
		{"AttnInd", PCIE_SLTCAP_ATTN_LED},
		{"PwrInd", PCIE_SLTCAP_POWER_LED},
		{"HotPlug", PCIE_SLTCAP_HOTPLUG},
		{"Surprise", PCIE_SLTCAP_SURPRISE},
		{NULL, 0},
	};
	static const struct pci_flag enables[] = {
		{"AttnBtn", PCIE_SLTCTL_ATTN_BUTTON},
		{"PwrFlt", PCIE_SLTCTL_POWER_FAULT},
		{"MRL", PCIE_SLTCTL_MRL},
		{"PresDet", PCIE_SLTCTL_PRESENCE},
		{"CmdCplt", PCIE_SLTCTL_CC_INT},
		{"HPIrq", PCIE_SLTCTL_HP_INT},
		{"LinkChg", PCIE_SLTCTL_LINK_CHANGE},
		{NULL, 0},
	};
	static const struct pci_flag status[] = {
		{"AttnBtn", PCIE_SLTSTA_ATTN_BUTTON},
		{"PowerFlt", PCIE_SLTSTA_POWER_FAULT},
		{"MRL", PCIE_SLTSTA_MRL_OPEN},
		{"CmdCplt", PCIE_SLTSTA_CC},
		{"PresDet", PCIE_SLTSTA_PRESENT},
		{"Interlock", PCIE_SLTSTA_INTERLOCK},
		{NULL, 0},
	};
	static const struct pci_flag changed[] = {
		{"MRL", PCIE_SLTSTA_MRL_CHANGE},
		{"PresDet", PCIE_SLTSTA_PRES_CHANGE},
		{"LinkState", PCIE_SLTSTA_LINK_CHANGE},
		{NULL, 0},
	};
	static const char *const led[] = {"Unknown", "On", "Blink", "Off"};
	uint32_t cap = pci_read32(fn, at + PCIE_SLTCAP);
	unsigned ctl = pci_read16(fn, at + PCIE_SLTCTL), sta = pci_read16(fn, at + PCIE_SLTSTA);

	pci_text_add(t, "\t\tSltCap:\t");
	pci_text_flags(t, cap, caps);
	pci_text_add(t, "\n\t\t\tSlot #%u, PowerLimit ", FIELD_GET(PCIE_SLTCAP_SLOT, cap));
	pci_text_watts(t, FIELD_GET(PCIE_SLTCAP_POWER_VALUE, cap), FIELD_GET(PCIE_SLTCAP_POWER_SCALE, cap));
	pci_text_add(t, "; Interlock%c NoCompl%c\n", pci_sign(cap & PCIE_SLTCAP_INTERLOCK),
		     pci_sign(cap & PCIE_SLTCAP_NO_CC));
	pci_text_add(t, "\t\tSltCtl:\tEnable: ");
	pci_text_flags(t, ctl, enables);
	pci_text_add(t, "\n\t\t\tControl: AttnInd %s, PwrInd %s, Power%c Interlock%c\n",
		     led[FIELD_GET(PCIE_SLTCTL_ATTN_LED, ctl)], led[FIELD_GET(PCIE_SLTCTL_POWER_LED, ctl)],
		     pci_sign(ctl & PCIE_SLTCTL_POWER_OFF), pci_sign(ctl & PCIE_SLTCTL_INTERLOCK));
	pci_text_add(t, "\t\tSltSta:\tStatus: ");
	pci_text_flags(t, sta, status);
	pci_text_add(t, "\n\t\t\tChanged: ");
	pci_text_flags(t, sta, changed);
	pci_text_add(t, "\n");
}

static void describe_root(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	static const struct pci_flag control[] = {
		{"ErrCorrectable", PCIE_ROOTCTL_CORR}, {"ErrNon-Fatal", PCIE_ROOTCTL_NONFATAL},
		{"ErrFatal", PCIE_ROOTCTL_FATAL},      {"PMEIntEna", PCIE_ROOTCTL_PME_INT},
		{"CRSVisible", PCIE_ROOTCTL_CRS},      {NULL, 0},
	};
	uint32_t status = pci_read32(fn, at + PCIE_ROOTSTA);

	pci_text_add(t, "\t\tRootCap: CRSVisible%c\n\t\tRootCtl: ",
		     pci_sign(pci_read16(fn, at + PCIE_ROOTCAP) & PCIE_ROOTCAP_CRS));
	pci_text_flags(t, pci_read16(fn, at + PCIE_ROOTCTL), control);
	pci_text_add(t, "\n\t\tRootSta: PME ReqID %04x, PMEStatus%c PMEPending%c\n",
		     FIELD_GET(PCIE_ROOTSTA_REQ_ID, status), pci_sign(status & PCIE_ROOTSTA_PME),
		     pci_sign(status & PCIE_ROOTSTA_PENDING));
}

void pci_describe_express(struct pci_text *t, const struct pci_function *fn, unsigned at)
{
	uint16_t flags = pci_read16(fn, at + PCIE_FLAGS);
	unsigned type = FIELD_GET(PCIE_FLAGS_TYPE, (unsigned)flags), bit = 1u << type;

	describe_type(t, flags, type);
	describe_device(t, fn, at, type);
	if (!(WITHOUT_LINK & bit))
		describe_link(t, fn, at, type);
	if ((WITH_SLOT & bit) && (flags & PCIE_FLAGS_SLOT))
		describe_slot(t, fn, at);
	if (WITH_ROOT & bit)
		describe_root(t, fn, at);
	if (FIELD_GET(PCIE_FLAGS_VERSION, (unsigned)flags) >= 2)
		pci_describe_express2(t, fn, at, type);
}
