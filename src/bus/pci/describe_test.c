/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptions against lspci, byte for byte: the recorded machine (tests/data/pci-q35.*, see tools/record-lspci), and,
 * where lspci is installed, what it says of configuration spaces full of random capabilities.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "bus/pci/pci_test_data.h"
#include "tests/fake_pci.h"
#include "tests/lspci_text.h"

static struct ob *ob;
static struct ob_machine *machine;

/* ---- the recorded machine ---- */

/* One function of a hex dump into the fake host; which bridge it is behind follows from the bus numbers. */
static struct fake_function *add_dumped(FILE *dump, const char *title)
{
	unsigned bus, slot, function, offset, b[16];
	struct fake_function *f, *parent = NULL;
	char line[256];

	assert_int_equal(sscanf(title, "%*x:%x:%x.%x", &bus, &slot, &function), 3);
	for (unsigned i = 0; bus != 0 && i < fake_host.count; i++) {
		f = &fake_host.functions[i];
		if ((f->config[PCI_HEADER_TYPE] & 0x7f) == 1 && f->config[PCI_BRIDGE_SECONDARY] == bus)
			parent = f;
	}
	assert_true(bus == 0 || parent != NULL);
	f = fake_pci_add(parent, slot, function, 0, 0, 0);
	memset(f->writable, 0, sizeof(f->writable));
	while (fgets(line, sizeof(line), dump) != NULL && line[0] != '\n') {
		assert_int_equal(sscanf(line, "%x: %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x", &offset, &b[0],
					&b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7], &b[8], &b[9], &b[10], &b[11],
					&b[12], &b[13], &b[14], &b[15]),
				 17);
		assert_true(offset + 16 <= sizeof(f->config));
		for (unsigned i = 0; i < 16; i++)
			f->config[offset + i] = (uint8_t)b[i];
	}
	fake_pci_set(f, PCI_COMMAND, 2, fake_pci_get(f, PCI_COMMAND, 2), 0xffff);
	return f;
}

/* The bytes do not say how long BARs are; the recorded text does. */
static void set_lengths(struct fake_function *f, const char *text)
{
	for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n')) {
		uint64_t len;
		unsigned index;
		char unit = 0;
		const char *size;

		line += *line == '\n';
		size = strstr(line, "[size=");
		if (size == NULL || (strchr(line, '\n') != NULL && size > strchr(line, '\n')))
			continue;
		len = strtoull(size + 6, NULL, 10);
		sscanf(size, "[size=%*u%c", &unit);
		len <<= unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
		if (sscanf(line, "\tRegion %u:", &index) == 1) {
			uint32_t old = fake_pci_get(f, PCI_BAR(index), 4);

			fake_pci_set(f, PCI_BAR(index), 4, old,
				     (uint32_t) ~(len - 1) & (old & 1 ? PCI_BAR_IO_ADDRESS : PCI_BAR_MEM_ADDRESS));
			if (!(old & 1) && (old & 6) == 4)
				fake_pci_set(f, PCI_BAR(index) + 4, 4, fake_pci_get(f, PCI_BAR(index) + 4, 4),
					     (uint32_t)(~(len - 1) >> 32));
		} else if (strncmp(line, "\tExpansion ROM", 14) == 0) {
			fake_pci_set(f, PCI_ROM, 4, fake_pci_get(f, PCI_ROM, 4), (uint32_t) ~(len - 1));
		}
	}
}

static void test_describe_recorded_machine_as_lspci_did(void **state)
{
	char *recorded = lspci_read_file(PCI_TEST_DATA "/pci-q35.lspci");
	FILE *dump = fopen(PCI_TEST_DATA "/pci-q35.hex", "r");
	unsigned count = 0;
	char title[256];

	assert_non_null(dump);
	fake_pci_reset();
	fake_host.bus[0].u.pci.assigned = true;
	while (fgets(title, sizeof(title), dump) != NULL) {
		struct fake_function *f = add_dumped(dump, title);
		char *text = lspci_block(recorded, title);

		set_lengths(f, text);
		free(text);
	}
	fclose(dump);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL; count++) {
		char *ours = ob_pci_describe(dev), *theirs = lspci_block(recorded, ob_device_name(dev));

		/* The same bytes: only what lspci has from the kernel may differ. */
		lspci_compare(ours, theirs, LSPCI_SAME_BYTES);
		ob_free(ours);
		free(theirs);
	}
	assert_int_equal(count, fake_host.count);
	assert_true(count >= 22);
	fake_pci_close(ob, machine);
	free(recorded);
}

/* ---- random capabilities, lspci beside us ---- */

struct random_capability {
	unsigned id, len_bytes, version;
};

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void fill(struct fake_function *f, unsigned offset, unsigned len_bytes, uint32_t *r)
{
	/* Sparse, dense or random bits: each shows other lines. */
	unsigned kind = next_random(r) % 4;

	for (unsigned i = 0; i < len_bytes; i++) {
		uint8_t byte = (uint8_t)next_random(r);

		if (kind == 0)
			byte &= (uint8_t)next_random(r) & (uint8_t)next_random(r);
		else if (kind == 1)
			byte |= (uint8_t)next_random(r) | (uint8_t)next_random(r);
		f->config[offset + i] = byte;
	}
}

static const struct random_capability standard[] = {
	{PCI_CAP_ID_PM, 8, 0},      {PCI_CAP_ID_SLOTID, 4, 0}, {PCI_CAP_ID_MSI, 24, 0},   {PCI_CAP_ID_VENDOR, 20, 0},
	{PCI_CAP_ID_DEBUG, 4, 0},   {PCI_CAP_ID_CCRC, 4, 0},   {PCI_CAP_ID_MSIX, 12, 0},  {PCI_CAP_ID_SATA, 8, 0},
	{PCI_CAP_ID_HOTPLUG, 4, 0}, {PCI_CAP_ID_AF, 8, 0},     {PCI_CAP_ID_SECURE, 4, 0}, {0x15, 4, 0},
};

/* Data object exchange is not among them: lspci 3.9 takes its error bit from the wrong place (PCIe 6.0 §7.9.24.4). */
static const struct random_capability extended[] = {
	{PCIE_EXT_ID_AER, 0x48, 2},
	{PCIE_EXT_ID_DSN, 12, 1},
	{PCIE_EXT_ID_POWER, 16, 1},
	{PCIE_EXT_ID_VENDOR, 16, 1},
	{PCIE_EXT_ID_ACS, 8, 1},
	{PCIE_EXT_ID_ARI, 8, 1},
	{PCIE_EXT_ID_ATS, 8, 1},
	{PCIE_EXT_ID_SRIOV, 64, 1},
	{PCIE_EXT_ID_PRI, 16, 1},
	{PCIE_EXT_ID_TPH, 12, 1},
	{PCIE_EXT_ID_LTR, 8, 1},
	{PCIE_EXT_ID_PASID, 8, 1},
	{PCIE_EXT_ID_DPC, 16, 1},
	{PCIE_EXT_ID_L1PM, 16, 1},
	{PCIE_EXT_ID_PTM, 12, 1},
	{PCIE_EXT_ID_DVSEC, 16, 1},
	{PCIE_EXT_ID_DLF, 12, 1},
	{PCIE_EXT_ID_MPHY, 8, 1},
	{0x2a, 8, 1},
	{PCIE_EXT_ID_LMR, 8, 3},
};

static void add_random(unsigned slot, uint32_t *r)
{
	static const unsigned types[] = {0, 1, 4, 5, 6, 7, 8, 9, 10, 3, 0, 4};
	unsigned type = types[next_random(r) % ARRAY_SIZE(types)], at = 0x40 + 0x3c, ext = 0x100;
	bool bridge = type >= 4 && type <= 8;
	struct fake_function *f = bridge ? fake_pci_bridge(NULL, slot, 0)
					 : fake_pci_add(NULL, slot, 0, 0x1b36, 0x0010, 0x010802);
	unsigned count = next_random(r) % 5;

	fake_pci_set(f, PCI_COMMAND, 2, next_random(r) & 0x07ff, 0xffff);
	fake_pci_set(f, PCI_STATUS, 2, (next_random(r) & 0xffef) | PCI_STATUS_CAPS, 0);
	fake_pci_set(f, PCI_REVISION, 1, next_random(r) & 3, 0);
	fake_pci_set(f, PCI_CACHE_LINE, 2, next_random(r), 0);
	fake_pci_set(f, PCI_INTERRUPT_PIN, 1, next_random(r) % 5, 0);
	if (bridge) {
		fill(f, PCI_BRIDGE_SECONDARY_STATUS, 2, r);
		fake_pci_set(f, PCI_BRIDGE_PRIMARY, 4, next_random(r) & 0xff000000u, 0);
		fake_pci_set(f, PCI_BRIDGE_CONTROL, 2, next_random(r) & 0xfff, 0);
		fake_pci_set(f, PCI_BRIDGE_IO_BASE, 2, (next_random(r) & 0xf0f0) | 0x1000, 0);
		fake_pci_set(f, PCI_BRIDGE_MEMORY_BASE, 4, next_random(r) & 0xfff0fff0u, 0);
		fake_pci_set(f, PCI_BRIDGE_PREFETCH_BASE, 4, (next_random(r) & 0xfff0fff0u) | 0x10001, 0);
		fake_pci_set(f, PCI_BRIDGE_PREFETCH_BASE_HI, 4, next_random(r) & 1, 0);
		fake_pci_set(f, PCI_BRIDGE_PREFETCH_LIMIT_HI, 4, next_random(r) & 1, 0);
	} else {
		fake_pci_set(f, PCI_SUBVENDOR, 4, next_random(r) & 1 ? 0x11001af4 : next_random(r), 0);
		fake_pci_set(f, PCI_MIN_GNT, 2, next_random(r) & 0x0303, 0);
	}
	fake_pci_capability(f, 0x40, PCI_CAP_ID_EXPRESS);
	fill(f, 0x42, 0x3a, r);
	fake_pci_set(f, 0x40 + PCIE_FLAGS, 2, (next_random(r) & 0x3f00) | type << 4 | (1 + next_random(r) % 2), 0);
	while (count-- > 0) {
		const struct random_capability *c = &standard[next_random(r) % ARRAY_SIZE(standard)];

		fake_pci_capability(f, at, c->id);
		fill(f, at + 2, c->len_bytes - 2, r);
		at += c->len_bytes;
	}
	for (count = 1 + next_random(r) % 6; count > 0; count--) {
		const struct random_capability *c = &extended[next_random(r) % ARRAY_SIZE(extended)];

		fill(f, ext + 4, c->len_bytes - 4, r);
		/* BARs of virtual functions: one of each kind, as random flags are not what lspci is judged by. */
		if (c->id == PCIE_EXT_ID_SRIOV)
			for (unsigned i = 0; i < 6; i++)
				fake_pci_set(f, ext + PCIE_SRIOV_BAR(i), 4,
					     i == 1   ? 0xfe00000cu
					     : i == 3 ? 0xd0000000u
						      : 0,
					     0);
		/* Scales above 5 are reserved; lspci's arithmetic overflows there. */
		if (c->id == PCIE_EXT_ID_LTR)
			fake_pci_set(f, ext + PCIE_LTR_SNOOP, 4, next_random(r) & 0x17ff17ff, 0);
		fake_pci_extended(f, ext, c->id, count > 1 ? ext + c->len_bytes : 0);
		fake_pci_set(f, ext + 2, 1, (fake_pci_get(f, ext + 2, 1) & 0xf0) | c->version, 0);
		ext += c->len_bytes;
	}
}

static void write_dump(const char *path)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	for (unsigned n = 0; n < fake_host.count; n++) {
		const struct fake_function *f = &fake_host.functions[n];

		fprintf(out, "0000:00:%02x.%x x\n", f->devfn >> 3, f->devfn & 7);
		for (unsigned i = 0; i < sizeof(f->config); i++) {
			if (i % 16 == 0)
				fprintf(out, "%03x:", i);
			fprintf(out, " %02x%s", f->config[i], i % 16 == 15 ? "\n" : "");
		}
		fprintf(out, "\n");
	}
	fclose(out);
}

static void test_describe_random_capabilities_as_lspci_does(void **state)
{
	char path[] = "/tmp/outboard-lspci-XXXXXX", command[128];
	int fd;

	lspci_or_skip();
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	snprintf(command, sizeof(command), "lspci -O hwdb.disable=1 -D -vv -nn -F %s 2>/dev/null", path);
	for (uint32_t seed = 1; seed <= 30; seed++) {
		uint32_t r = seed * 2654435761u;
		char *all;

		fake_pci_reset();
		fake_host.bus[0].u.pci.assigned = true;
		for (unsigned slot = 0; slot < 32; slot++)
			add_random(slot, &r);
		write_dump(path);
		all = lspci_read_command(command);
		assert_int_equal(fake_pci_open(&ob, &machine), 0);
		for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;) {
			char *ours = ob_pci_describe(dev), *theirs = lspci_block(all, ob_device_name(dev));

			lspci_compare(ours, theirs, LSPCI_DUMP);
			ob_free(ours);
			free(theirs);
		}
		fake_pci_close(ob, machine);
		free(all);
	}
	unlink(path);
}

static void test_class_name_known_and_unknown(void **state)
{
	assert_string_equal(ob_pci_class_name(PCI_CLASS_NVME), "Non-Volatile memory controller");
	assert_string_equal(ob_pci_class_name(0x01ff00), "Mass storage controller");
	assert_string_equal(ob_pci_class_name(0xfe0000), "Unknown class");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe_recorded_machine_as_lspci_did),
		cmocka_unit_test(test_describe_random_capabilities_as_lspci_does),
		cmocka_unit_test(test_class_name_known_and_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
