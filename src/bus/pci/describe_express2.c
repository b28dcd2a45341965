/* SPDX-License-Identifier: BSD-2-Clause */
/* What the second version of the PCI Express capability adds, as text: PCIe 4.0 §7.5.3.15 to §7.5.3.20. */
#include "bus/pci/text.h"

#define TYPE_BIT(type) (1u << PCIE_TYPE_##type)
#define PORTS          (TYPE_BIT(ROOT_PORT) | TYPE_BIT(UPSTREAM) | TYPE_BIT(DOWNSTREAM))
#define WITH_ARI       (TYPE_BIT(ROOT_PORT) | TYPE_BIT(DOWNSTREAM))
#define WITH_TPH       (TYPE_BIT(ROOT_PORT) | TYPE_BIT(ENDPOINT))
#define ENDPOINTS      (TYPE_BIT(ENDPOINT) | TYPE_BIT(LEGACY))
#define WITH_REQUESTS  (TYPE_BIT(ROOT_PORT) | ENDPOINTS | TYPE_BIT(RC_ENDPOINT))
#define WITH_DRS       (TYPE_BIT(ROOT_PORT) | TYPE_BIT(DOWNSTREAM) | TYPE_BIT(FROM_PCI))
#define WITHOUT_LINK   (TYPE_BIT(RC_ENDPOINT) | TYPE_BIT(RC_EVENT))

static bool has_memory_bar(const struct pci_function *fn)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		if (fn->bar[i].len_bytes != 0 && !fn->bar[i].io)
			return true;
	}
	return false;
}

static void describe_atomic_caps(struct pci_text *t, uint32_t cap, unsigned bit, bool completes)
{
	static const struct pci_flag sizes[] = {
		{"32bit", PCIE_DEVCAP2_ATOMIC_32},
		{"64bit", PCIE_DEVCAP2_ATOMIC_64},
		{"128bitCAS", PCIE_DEVCAP2_CAS_128},
		{NULL, 0},
	};

	completes |= (bit & TYPE_BIT(ROOT_PORT)) != 0;
	if (!(PORTS & bit) && !completes)
		return;
	pci_text_add(t, "\t\t\t AtomicOpsCap:");
	if (PORTS & bit)
		pci_text_add(t, " Routing%c", pci_sign(cap & PCIE_DEVCAP2_ATOMIC_ROUTE));
	if (completes) {
		pci_text_add(t, " ");
		pci_text_flags(t, cap, sizes);
	}
	pci_text_add(t, "\n");
}

static void describe_device_caps(struct pci_text *t, const struct pci_function *fn, uint32_t cap, unsigned bit)
{
	static const char *const ranges[] = {
		[0] = "Not Supported", [1] = "Range A",   [2] = "Range B",    [3] = "Range AB",
		[6] = "Range BC",      [7] = "Range ABC", [14] = "Range BCD", [15] = "Range ABCD",
	};
	static const char *const obff[] = {"Not Supported", "Via message", "Via WAKE#", "Via message/WAKE#"};
	static const char *const power[] = {"Not Supported", "Dev Specific", "Form Factor Dev Specific", "Reserved"};
	static const char *const lines[] = {"Not Supported", "64byte cachelines", "128byte cachelines", "Reserved"};
	static const char *const hints[] = {"TPHComp- ExtTPHComp-", "TPHComp+ ExtTPHComp-", "" /* reserved */,
					    "TPHComp+ ExtTPHComp+"};
	unsigned prefixes = FIELD_GET(PCIE_DEVCAP2_EETLP_MAX, cap);

	pci_text_add(t, "\t\tDevCap2: Completion Timeout: %s, TimeoutDis%c NROPrPrP%c LTR%c\n",
		     pci_name_of(ranges, ARRAY_SIZE(ranges), FIELD_GET(PCIE_DEVCAP2_TIMEOUT_RANGE, cap), "Unknown"),
		     pci_sign(cap & PCIE_DEVCAP2_TIMEOUT_OFF), pci_sign(cap & PCIE_DEVCAP2_NO_RO_PRPR),
		     pci_sign(cap & PCIE_DEVCAP2_LTR));
	pci_text_add(t, "\t\t\t 10BitTagComp%c 10BitTagReq%c OBFF %s, ExtFmt%c EETLPPrefix%c",
		     pci_sign(cap & PCIE_DEVCAP2_10BIT_TAG_COMP), pci_sign(cap & PCIE_DEVCAP2_10BIT_TAG_REQ),
		     obff[FIELD_GET(PCIE_DEVCAP2_OBFF, cap)], pci_sign(cap & PCIE_DEVCAP2_EXT_FMT),
		     pci_sign(cap & PCIE_DEVCAP2_EETLP));
	if (cap & PCIE_DEVCAP2_EETLP)
		pci_text_add(t, ", MaxEETLPPrefixes %u", prefixes != 0 ? prefixes : 4);
	pci_text_add(t, "\n\t\t\t EmergencyPowerReduction %s, EmergencyPowerReductionInit%c\n\t\t\t FRS%c",
		     power[FIELD_GET(PCIE_DEVCAP2_POWER_REDUCE, cap)], pci_sign(cap & PCIE_DEVCAP2_POWER_INIT),
		     pci_sign(cap & PCIE_DEVCAP2_FRS));
	if (bit & TYPE_BIT(ROOT_PORT))
		pci_text_add(t, " LN System CLS %s,", lines[FIELD_GET(PCIE_DEVCAP2_LN_SYSTEM, cap)]);
	if (WITH_TPH & bit)
		pci_text_add(t, " %s", hints[FIELD_GET(PCIE_DEVCAP2_TPH, cap)]);
	if (WITH_ARI & bit)
		pci_text_add(t, " ARIFwd%c", pci_sign(cap & PCIE_DEVCAP2_ARI));
	pci_text_add(t, "\n");
	describe_atomic_caps(t, cap, bit, has_memory_bar(fn));
}

static void describe_device_control(struct pci_text *t, unsigned ctl, unsigned bit)
{
	static const char *const timeouts[] = {
		[0] = "50us to 50ms", [1] = "50us to 100us", [2] = "1ms to 10ms",
		[5] = "16ms to 55ms", [6] = "65ms to 210ms", [9] = "260ms to 900ms",
		[10] = "1s to 3.5s",  [13] = "4s to 13s",    [14] = "17s to 64s",
	};
	static const char *const obff[] = {"Disabled", "Via message A", "Via message B", "Via WAKE#"};

	pci_text_add(t, "\t\tDevCtl2: Completion Timeout: %s, TimeoutDis%c LTR%c 10BitTagReq%c OBFF %s,",
		     pci_name_of(timeouts, ARRAY_SIZE(timeouts), FIELD_GET(PCIE_DEVCTL2_TIMEOUT_VALUE, ctl), "Unknown"),
		     pci_sign(ctl & PCIE_DEVCTL2_TIMEOUT_OFF), pci_sign(ctl & PCIE_DEVCTL2_LTR),
		     pci_sign(ctl & PCIE_DEVCTL2_10BIT_TAG), obff[FIELD_GET(PCIE_DEVCTL2_OBFF, ctl)]);
	if (WITH_ARI & bit)
		pci_text_add(t, " ARIFwd%c", pci_sign(ctl & PCIE_DEVCTL2_ARI));
	pci_text_add(t, "\n");
	if (!((WITH_REQUESTS | PORTS) & bit))
		return;
	pci_text_add(t, "\t\t\t AtomicOpsCtl:");
	if (WITH_REQUESTS & bit)
		pci_text_add(t, " ReqEn%c", pci_sign(ctl & PCIE_DEVCTL2_ATOMIC_REQ));
	if (PORTS & bit)
		pci_text_add(t, " EgressBlck%c", pci_sign(ctl & PCIE_DEVCTL2_ATOMIC_BLOCK));
	pci_text_add(t, "\n");
}

/* All speeds up to the greatest must be there (§8.2.1), so the greatest says it all. */
static const char *speeds_up_to(unsigned speeds)
{
	static const char *const names[] = {"2.5GT/s", "2.5-5GT/s", "2.5-8GT/s", "2.5-16GT/s", "2.5-32GT/s"};

	if (speeds >> ARRAY_SIZE(names) != 0)
		return "RsvdP";
	return speeds != 0 ? names[31 - __builtin_clz(speeds)] : "Unknown";
}

static void describe_link_control(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type)
{
	static const char *const margins[] = {
		"Normal Operating Range",
		"800-1200mV(full-swing)/400-700mV(half-swing)",
		"200-400mV(full-swing)/100-200mV(half-swing)",
		"200-400mV(full-swing)/100-200mV(half-swing)",
		"200-400mV(full-swing)/100-200mV(half-swing)",
		"200-400mV(full-swing)/100-200mV(half-swing)",
	};
	static const char *const presets[] = {
		"-6dB de-emphasis, 0dB preshoot",     "-3.5dB de-emphasis, 0dB preshoot",
		"-4.4dB de-emphasis, 0dB preshoot",   "-2.5dB de-emphasis, 0dB preshoot",
		"0dB de-emphasis, 0dB preshoot",      "0dB de-emphasis, 1.9dB preshoot",
		"0dB de-emphasis, 2.5dB preshoot",    "-6.0dB de-emphasis, 3.5dB preshoot",
		"-3.5dB de-emphasis, 3.5dB preshoot", "0dB de-emphasis, 3.5dB preshoot",
	};
	static const struct pci_flag flags[] = {
		{"Crosslink", PCIE_LNKCAP2_CROSSLINK},
		{"Retimer", PCIE_LNKCAP2_RETIMER},
		{"2Retimers", PCIE_LNKCAP2_RETIMER_2},
		{"DRS", PCIE_LNKCAP2_DRS},
		{NULL, 0},
	};
	uint32_t cap = pci_read32(fn, at + PCIE_LNKCAP2);
	unsigned ctl = pci_read16(fn, at + PCIE_LNKCTL2);
	const char *speed = pci_link_speed(FIELD_GET(PCIE_LNKCTL2_SPEED, ctl));

	if (cap != 0) {
		pci_text_add(t, "\t\tLnkCap2: Supported Link Speeds: %s, ",
			     speeds_up_to(FIELD_GET(PCIE_LNKCAP2_SPEEDS, cap)));
		pci_text_flags(t, cap, flags);
		pci_text_add(t, "\n");
	}
	/* 0 was never given a meaning; devices without a choice have it. */
	if (FIELD_GET(PCIE_LNKCTL2_SPEED, ctl) == 0)
		speed = pci_link_speed(1);
	pci_text_add(t, "\t\tLnkCtl2: Target Link Speed: %s, EnterCompliance%c SpeedDis%c",
		     speed != NULL ? speed : "Unknown", pci_sign(ctl & PCIE_LNKCTL2_COMPLIANCE),
		     pci_sign(ctl & PCIE_LNKCTL2_NO_AUTO));
	if (type == PCIE_TYPE_DOWNSTREAM)
		pci_text_add(t, ", Selectable De-emphasis: %s", ctl & PCIE_LNKCTL2_DEEMPHASIS ? "-3.5dB" : "-6dB");
	pci_text_add(t, "\n\t\t\t Transmit Margin: %s, EnterModifiedCompliance%c ComplianceSOS%c\n",
		     pci_name_of(margins, ARRAY_SIZE(margins), FIELD_GET(PCIE_LNKCTL2_MARGIN, ctl), "Unknown"),
		     pci_sign(ctl & PCIE_LNKCTL2_MOD_COMP), pci_sign(ctl & PCIE_LNKCTL2_COMP_SOS));
	pci_text_add(t, "\t\t\t Compliance Preset/De-emphasis: %s\n",
		     pci_name_of(presets, ARRAY_SIZE(presets), FIELD_GET(PCIE_LNKCTL2_COMP_DEEMPH, ctl), "Unknown"));
}

static void describe_link_status(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type)
{
	static const struct pci_flag first[] = {
		{"EqualizationComplete", PCIE_LNKSTA2_EQ_DONE},
		{"EqualizationPhase1", PCIE_LNKSTA2_EQ_PHASE1},
		{NULL, 0},
	};
	static const struct pci_flag second[] = {
		{"EqualizationPhase2", PCIE_LNKSTA2_EQ_PHASE2},
		{"EqualizationPhase3", PCIE_LNKSTA2_EQ_PHASE3},
		{"LinkEqualizationRequest", PCIE_LNKSTA2_EQ_REQUEST},
		{NULL, 0},
	};
	static const char *const crosslink[] = {"unsupported", "Upstream Port", "Downstream Port", "incomplete"};
	static const char *const component[] = {
		[0] = "Link Down - Not Determined",
		[1] = "Link Down - Not Present",
		[2] = "Link Down - Present",
		[4] = "Link Up - Present",
		[5] = "Link Up - Present and DRS Received",
	};
	unsigned sta = pci_read16(fn, at + PCIE_LNKSTA2);

	pci_text_add(t, "\t\tLnkSta2: Current De-emphasis Level: %s, ",
		     sta & PCIE_LNKSTA2_DEEMPHASIS ? "-3.5dB" : "-6dB");
	pci_text_flags(t, sta, first);
	pci_text_add(t, "\n\t\t\t ");
	pci_text_flags(t, sta, second);
	pci_text_add(t, "\n\t\t\t Retimer%c 2Retimers%c CrosslinkRes: %s", pci_sign(sta & PCIE_LNKSTA2_RETIMER),
		     pci_sign(sta & PCIE_LNKSTA2_RETIMER_2), crosslink[FIELD_GET(PCIE_LNKSTA2_CROSSLINK, sta)]);
	if ((WITH_DRS & 1u << type) && (pci_read32(fn, at + PCIE_LNKCAP2) & PCIE_LNKCAP2_DRS))
		pci_text_add(t, ", DRS%c\n\t\t\t DownstreamComp: %s\n", pci_sign(sta & PCIE_LNKSTA2_DRS),
			     pci_name_of(component, ARRAY_SIZE(component), FIELD_GET(PCIE_LNKSTA2_COMPONENT, sta),
					 "Reserved"));
	else
		pci_text_add(t, "\n");
}

void pci_describe_express2(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type)
{
	unsigned bit = 1u << type;

	if (at + PCIE_CAP_LEN_V2 > PCI_CONFIG_LEN)
		return;
	describe_device_caps(t, fn, pci_read32(fn, at + PCIE_DEVCAP2), bit);
	describe_device_control(t, pci_read16(fn, at + PCIE_DEVCTL2), bit);
	if (WITHOUT_LINK & bit)
		return;
	/* Of an endpoint's functions only the first has the link's settings (§7.5.3.19). */
	if (!(ENDPOINTS & bit) || (fn->info.slot == 0 && fn->info.function == 0))
		describe_link_control(t, fn, at, type);
	describe_link_status(t, fn, at, type);
}
