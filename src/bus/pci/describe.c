/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function as text, line by line what `lspci -D -vv -nn` shows of it, so that people and scripts who know the one can
 * read the other. What lspci learns from a kernel (IRQ numbers, drivers, slots) is not in it.
 */
#include "bus/pci/text.h"

static const struct pci_flag command_flags[] = {
	{"I/O", PCI_COMMAND_IO},           {"Mem", PCI_COMMAND_MEMORY},
	{"BusMaster", PCI_COMMAND_MASTER}, {"SpecCycle", PCI_COMMAND_SPECIAL},
	{"MemWINV", PCI_COMMAND_MWI},      {"VGASnoop", PCI_COMMAND_VGA_SNOOP},
	{"ParErr", PCI_COMMAND_PARITY},    {"Stepping", PCI_COMMAND_STEPPING},
	{"SERR", PCI_COMMAND_SERR},        {"FastB2B", PCI_COMMAND_FAST_B2B},
	{"DisINTx", PCI_COMMAND_INTX_OFF}, {NULL, 0},
};

static const char *const devsel[] = {"fast", "medium", "slow"};

static void describe_ids(struct pci_text *t, const char *vendor, const char *device, unsigned vendor_id,
			 unsigned device_id)
{
	if (device[0] != 0)
		pci_text_add(t, "%s %s", vendor, device);
	else if (vendor[0] != 0)
		pci_text_add(t, "%s Device", vendor);
	else
		pci_text_add(t, "Device");
	pci_text_add(t, " [%04x:%04x]\n", vendor_id, device_id);
}

static void describe_header(struct pci_text *t, const struct pci_function *fn, const struct pci_names *names)
{
	const struct ob_pci_info *info = &fn->info;
	const char *class_name = pci_class_find(info->class_code), *interface = pci_interface_find(info->class_code);
	unsigned interface_code = FIELD_GET(PCI_CLASS_INTERFACE, info->class_code);

	pci_text_add(t, "%s %s [%04x]: ", fn->dev.name, class_name != NULL ? class_name : "Class",
		     info->class_code >> 8);
	describe_ids(t, names->vendor, names->device, info->vendor, info->device);
	if (t->failed)
		return;
	t->len--; /* the line goes on */
	if (info->revision != 0)
		pci_text_add(t, " (rev %02x)", info->revision);
	if (interface != NULL)
		pci_text_add(t, " (prog-if %02x [%s])", interface_code, interface);
	else if (interface_code != 0)
		pci_text_add(t, " (prog-if %02x)", interface_code);
	pci_text_add(t, "\n");
	if (info->subvendor != 0 && info->subvendor != PCI_VENDOR_NONE) {
		pci_text_add(t, "\tSubsystem: ");
		describe_ids(t, names->subvendor, names->subsystem, info->subvendor, info->subdevice);
	}
}

static void describe_status(struct pci_text *t, uint16_t status)
{
	static const struct pci_flag first[] = {
		{"Cap", PCI_STATUS_CAPS},         {"66MHz", PCI_STATUS_66MHZ},   {"UDF", PCI_STATUS_UDF},
		{"FastB2B", PCI_STATUS_FAST_B2B}, {"ParErr", PCI_STATUS_PARITY}, {NULL, 0},
	};
	static const struct pci_flag second[] = {
		{">TAbort", PCI_STATUS_SIG_TABORT},
		{"<TAbort", PCI_STATUS_REC_TABORT},
		{"<MAbort", PCI_STATUS_REC_MABORT},
		{">SERR", PCI_STATUS_SIG_SERR},
		{"<PERR", PCI_STATUS_DET_PARITY},
		{"INTx", PCI_STATUS_INTX},
		{NULL, 0},
	};

	pci_text_add(t, "\tStatus: ");
	pci_text_flags(t, status, first);
	pci_text_add(t, " DEVSEL=%s ",
		     pci_name_of(devsel, ARRAY_SIZE(devsel), FIELD_GET(PCI_STATUS_DEVSEL, (unsigned)status), "??"));
	pci_text_flags(t, status, second);
	pci_text_add(t, "\n");
}

static void describe_latency(struct pci_text *t, const struct pci_function *fn)
{
	unsigned cache_line = pci_read8(fn, PCI_CACHE_LINE), min = 0, max = 0;

	pci_text_add(t, "\tLatency: %u", pci_read8(fn, PCI_LATENCY_TIMER));
	if (!fn->is_bridge) {
		min = pci_read8(fn, PCI_MIN_GNT);
		max = pci_read8(fn, PCI_MAX_LAT);
	}
	if (min != 0 || max != 0) {
		pci_text_add(t, " (");
		if (min != 0)
			pci_text_add(t, "%uns min", min * 250);
		pci_text_add(t, min != 0 && max != 0 ? ", " : "");
		if (max != 0)
			pci_text_add(t, "%uns max", max * 250);
		pci_text_add(t, ")");
	}
	if (cache_line != 0)
		pci_text_add(t, ", Cache Line Size: %u bytes", cache_line * 4);
	pci_text_add(t, "\n");
}

static void describe_regions(struct pci_text *t, const struct pci_function *fn, uint16_t command)
{
	for (unsigned i = 0; i < PCI_BAR_COUNT_DEVICE; i++) {
		const struct pci_range *bar = &fn->bar[i];
		bool decoded = command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);

		if (bar->len_bytes == 0)
			continue;
		pci_text_add(t, "\tRegion %u: %s at ", i, bar->io ? "I/O ports" : "Memory");
		if (bar->placed)
			pci_text_add(t, bar->io ? "%04llx" : "%08llx", (unsigned long long)bar->base);
		else
			pci_text_add(t, "<unassigned>");
		if (!bar->io)
			pci_text_add(t, " (%s, %sprefetchable)", bar->is_64bit ? "64-bit" : "32-bit",
				     bar->prefetchable ? "" : "non-");
		if (!decoded)
			pci_text_add(t, " [disabled]");
		pci_text_size(t, bar->len_bytes);
		pci_text_add(t, "\n");
	}
}

static void describe_rom(struct pci_text *t, const struct pci_function *fn)
{
	const struct pci_range *rom = &fn->bar[PCI_ROM_INDEX];
	unsigned offset = fn->is_bridge ? PCI_BRIDGE_ROM : PCI_ROM;

	if (rom->len_bytes == 0)
		return;
	pci_text_add(t, "\tExpansion ROM at ");
	if (rom->placed)
		pci_text_add(t, "%08llx", (unsigned long long)rom->base);
	else
		pci_text_add(t, "<unassigned>");
	if (!(pci_read32(fn, offset) & PCI_ROM_ENABLE))
		pci_text_add(t, " [disabled]");
	pci_text_size(t, rom->len_bytes);
	pci_text_add(t, "\n");
}

static void describe_function(struct pci_text *t, const struct pci_function *fn)
{
	uint16_t command = pci_read16(fn, PCI_COMMAND);
	struct pci_names names;

	pci_names_find(&fn->info, &names);
	describe_header(t, fn, &names);
	pci_text_add(t, "\tControl: ");
	pci_text_flags(t, command, command_flags);
	pci_text_add(t, "\n");
	describe_status(t, pci_read16(fn, PCI_STATUS));
	if (command & PCI_COMMAND_MASTER)
		describe_latency(t, fn);
	if (fn->info.interrupt_pin != 0)
		pci_text_add(t, "\tInterrupt: pin %c\n", 'A' + fn->info.interrupt_pin - 1);
	describe_regions(t, fn, command);
	if (fn->is_bridge)
		pci_describe_bridge(t, fn);
	else
		describe_rom(t, fn);
	for (unsigned i = 0; i < fn->cap_count; i++)
		pci_describe_capability(t, fn, &fn->cap[i], &names);
	for (unsigned i = 0; i < fn->ext_count; i++)
		pci_describe_extended(t, fn, &fn->ext[i]);
}

/* ---- bridges ---- */

static void describe_window(struct pci_text *t, const char *what, const struct pci_range *w, unsigned bits)
{
	pci_text_add(t, "\t%s behind bridge:", what);
	if (w->placed && w->len_bytes != 0) {
		int digits = (int)bits / 4;

		pci_text_add(t, " %0*llx-%0*llx", digits, (unsigned long long)w->base, digits,
			     (unsigned long long)(w->base + w->len_bytes - 1));
		pci_text_size(t, w->len_bytes);
	} else {
		pci_text_add(t, " [disabled]");
	}
	pci_text_add(t, " [%u-bit]\n", bits);
}

void pci_describe_bridge(struct pci_text *t, const struct pci_function *fn)
{
	static const struct pci_flag first[] = {
		{"66MHz", PCI_STATUS_66MHZ},
		{"FastB2B", PCI_STATUS_FAST_B2B},
		{"ParErr", PCI_STATUS_PARITY},
		{NULL, 0},
	};
	static const struct pci_flag second[] = {
		{">TAbort", PCI_STATUS_SIG_TABORT}, {"<TAbort", PCI_STATUS_REC_TABORT},
		{"<MAbort", PCI_STATUS_REC_MABORT}, {"<SERR", PCI_STATUS_SIG_SERR},
		{"<PERR", PCI_STATUS_DET_PARITY},   {NULL, 0},
	};
	static const struct pci_flag control[] = {
		{"Parity", PCI_BRIDGE_CTL_PARITY},
		{"SERR", PCI_BRIDGE_CTL_SERR},
		{"NoISA", PCI_BRIDGE_CTL_ISA},
		{"VGA", PCI_BRIDGE_CTL_VGA},
		{"VGA16", PCI_BRIDGE_CTL_VGA16},
		{"MAbort", PCI_BRIDGE_CTL_MASTER_ABORT},
		{">Reset", PCI_BRIDGE_CTL_RESET},
		{"FastB2B", PCI_BRIDGE_CTL_FAST_B2B},
		{NULL, 0},
	};
	static const struct pci_flag timers[] = {
		{"PriDiscTmr", PCI_BRIDGE_CTL_DISCARD_1},
		{"SecDiscTmr", PCI_BRIDGE_CTL_DISCARD_2},
		{"DiscTmrStat", PCI_BRIDGE_CTL_DISCARD_STATUS},
		{"DiscTmrSERREn", PCI_BRIDGE_CTL_DISCARD_SERR},
		{NULL, 0},
	};
	uint16_t status = pci_read16(fn, PCI_BRIDGE_SECONDARY_STATUS);
	uint16_t bridge_control = pci_read16(fn, PCI_BRIDGE_CONTROL);

	pci_text_add(t, "\tBus: primary=%02x, secondary=%02x, subordinate=%02x, sec-latency=%u\n",
		     pci_read8(fn, PCI_BRIDGE_PRIMARY), fn->info.secondary_bus, fn->info.subordinate_bus,
		     pci_read8(fn, PCI_BRIDGE_SECONDARY_LATENCY));
	if (fn->window_io)
		describe_window(t, "I/O", &fn->window[PCI_SPACE_IO], fn->window_io32 ? 32 : 16);
	describe_window(t, "Memory", &fn->window[PCI_SPACE_MEMORY], 32);
	if (fn->window_prefetch)
		describe_window(t, "Prefetchable memory", &fn->window[PCI_SPACE_PREFETCH],
				fn->window_prefetch64 ? 64 : 32);
	pci_text_add(t, "\tSecondary status: ");
	pci_text_flags(t, status, first);
	pci_text_add(t, " DEVSEL=%s ",
		     pci_name_of(devsel, ARRAY_SIZE(devsel), FIELD_GET(PCI_STATUS_DEVSEL, (unsigned)status), "??"));
	pci_text_flags(t, status, second);
	pci_text_add(t, "\n");
	describe_rom(t, fn);
	pci_text_add(t, "\tBridgeCtl: ");
	pci_text_flags(t, bridge_control, control);
	pci_text_add(t, "\n\t\t");
	pci_text_flags(t, bridge_control, timers);
	pci_text_add(t, "\n");
}

char *ob_pci_describe(struct ob_device *dev)
{
	const struct pci_function *fn = pci_function_of(dev);
	struct pci_text t = {0};

	if (fn == NULL)
		return NULL;
	describe_function(&t, fn);
	if (t.failed) {
		ob_free(t.text);
		return NULL;
	}
	return t.text;
}
