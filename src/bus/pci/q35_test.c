/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus on QEMU's q35 with bridges, root ports, a switch and a dozen devices (tests/data/pci-q35.args): what
 * enumeration made of it, judged by its own rules, by QEMU, by the registers behind the BARs, and by lspci's recording.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "bus/pci/pci_test_data.h"
#include "tests/lspci_text.h"
#include "tests/pci_check.h"

#define ARGS_MAX 128

static struct ob *ob;
static struct ob_machine *machine;

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

/* The lines of the file that are not comments. */
static void read_args(char *text, const char **args)
{
	unsigned count = 0;

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (line[0] == '#')
			continue;
		assert_true(count + 1 < ARGS_MAX);
		args[count++] = line;
	}
	args[count] = NULL;
}

static int open_machine(void **state)
{
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	char *text = lspci_read_file(PCI_TEST_DATA "/pci-q35.args");
	const char *args[ARGS_MAX];
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND, .args = args};

	read_args(text, args);
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_machine_open(ob, "qemu:q35", &options, &machine), 0);
	free(text);
	return 0;
}

static int close_machine(void **state)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	return 0;
}

/* All of it decodes from here on. */
static void enable_all(void *arg)
{
	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;) {
		if (dev->ops->enable(dev) != 0)
			*(bool *)arg = true;
	}
}

static void enable_in_task(void)
{
	struct ob_task *task;
	bool failed = false;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "enable", enable_all, &failed, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(20 * OB_NS_PER_S)), 0);
	assert_false(failed);
}

static void test_q35_tree_nests_and_does_not_overlap(void **state)
{
	struct ob_pci_info info;
	struct ob_device *dev;

	assert_int_equal(pci_check_tree(machine, false), 22);
	/* The NIC below the switch: three bridges above it. */
	dev = ob_device_find(machine, "0000:05:00.0");
	assert_non_null(dev);
	assert_int_equal(ob_pci_info(dev, &info), 0);
	assert_int_equal(info.device, 0x10d3);
	assert_string_equal(ob_device_name(ob_device_parent(dev)), "0000:04:00.0");
	assert_string_equal(ob_device_name(ob_device_parent(ob_device_parent(dev))), "0000:03:00.0");
	assert_string_equal(ob_device_name(ob_device_parent(ob_device_parent(ob_device_parent(dev)))), "0000:00:03.0");
	ob_device_put(dev);
	/* The empty port has a bus number and room. */
	dev = ob_device_find(machine, "0000:00:02.1");
	assert_int_equal(ob_pci_info(dev, &info), 0);
	assert_int_equal(info.secondary_bus, 2);
	assert_true(pci_function_of(dev)->window[PCI_SPACE_MEMORY].len_bytes >= OB_MIB);
	ob_device_put(dev);
}

/* ---- QEMU's own view ---- */

static unsigned compare_regions(const char *name, json_t *regions)
{
	struct ob_device *dev = ob_device_find(machine, name);
	struct ob_pci_info info;
	unsigned compared = 0;
	json_t *region;
	size_t i;

	/* The machine's own doorbell is not ours to see. */
	if (dev == NULL)
		return 0;
	assert_int_equal(ob_pci_info(dev, &info), 0);
	json_array_foreach(regions, i, region)
	{
		unsigned bar = (unsigned)json_integer_value(json_object_get(region, "bar"));
		uint64_t address = (uint64_t)json_integer_value(json_object_get(region, "address"));
		uint64_t size = (uint64_t)json_integer_value(json_object_get(region, "size"));
		bool io = strcmp(json_string_value(json_object_get(region, "type")), "io") == 0;

		/* 6 is the ROM: sized, disabled. Host and ISA bridges are left alone. */
		if (bar >= 6 || info.bar[bar].len_bytes == 0)
			continue;
		if (address != info.bar[bar].address || size != info.bar[bar].len_bytes || io != info.bar[bar].io)
			fail_msg("%s BAR %u: QEMU has 0x%llx, 0x%llx bytes; we have 0x%llx, 0x%llx bytes", name, bar,
				 (unsigned long long)address, (unsigned long long)size,
				 (unsigned long long)info.bar[bar].address,
				 (unsigned long long)info.bar[bar].len_bytes);
		compared++;
	}
	ob_device_put(dev);
	return compared;
}

static unsigned compare_devices(json_t *devices)
{
	unsigned compared = 0;
	json_t *device;
	size_t i;

	json_array_foreach(devices, i, device)
	{
		json_t *bridge = json_object_get(device, "pci_bridge");
		char name[32];

		snprintf(name, sizeof(name), "0000:%02x:%02x.%x",
			 (unsigned)json_integer_value(json_object_get(device, "bus")),
			 (unsigned)json_integer_value(json_object_get(device, "slot")),
			 (unsigned)json_integer_value(json_object_get(device, "function")));
		compared += compare_regions(name, json_object_get(device, "regions"));
		if (bridge != NULL)
			compared += compare_devices(json_object_get(bridge, "devices"));
	}
	return compared;
}

static void test_q35_bars_are_where_qemu_has_them(void **state)
{
	char *reply = NULL;
	unsigned compared = 0;
	json_t *root, *bus;
	size_t i;

	enable_in_task();
	assert_int_equal(
		ob_machine_command(machine, "{\"execute\":\"query-pci\"}", &reply, ob_deadline(10 * OB_NS_PER_S)), 0);
	root = json_loads(reply, 0, NULL);
	assert_non_null(root);
	json_array_foreach(json_is_array(root) ? root : json_object_get(root, "return"), i, bus)
		compared += compare_devices(json_object_get(bus, "devices"));
	assert_true(compared >= 22);
	json_decref(root);
	ob_free(reply);
}

/* ---- what is behind the BARs ---- */

struct answer {
	const char *name;
	unsigned bar, offset, size_bytes;
	uint32_t value;
};

static const struct answer answers[] = {
	{"0000:08:01.0", 0, 0, 4, 0x010000ed},      /* edu: identification */
	{"0000:01:00.0", 0, 8, 4, 0x00010400},      /* nvme: version */
	{"0000:00:06.0", 0, 0, 4, 0x01000040},      /* xHCI: capability length, version */
	{"0000:00:07.0", 0, 0, 2, 0x4401},          /* HDA: capabilities */
	{"0000:00:1f.2", 5, 0x10, 4, 0x00010000},   /* AHCI: version */
	{"0000:00:05.0", 2, 0x500, 2, 0xb0c5},      /* Bochs display: id */
	{"0000:05:00.0", 0, 0x5400, 4, 0x12005452}, /* e1000e: its MAC address */
	{"0000:06:00.0", 4, 18, 2, 1},              /* virtio-rng: number of queues */
	{"0000:00:09.0", 4, 18, 2, 3},              /* virtio-net: number of queues */
};

struct reading {
	unsigned index;
	int rc;
	uint32_t value;
};

static void read_answer(void *arg)
{
	struct reading *r = arg;
	const struct answer *a = &answers[r->index];
	struct ob_device *dev = ob_device_find(machine, a->name);
	struct ob_region region;

	r->rc = dev->ops->enable(dev);
	if (r->rc == 0)
		r->rc = dev->ops->region(dev, a->bar, &region);
	if (r->rc == 0)
		r->value = a->size_bytes == 4 ? ob_mmio_read32(&region, a->offset) : ob_mmio_read16(&region, a->offset);
	dev->ops->disable(dev);
	ob_device_put(dev);
}

static void test_q35_registers_behind_bars_answer(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		struct reading r = {.index = i};
		struct ob_task *task;

		assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "read", read_answer, &r, &task), 0);
		assert_int_equal(ob_task_join(task, ob_deadline(20 * OB_NS_PER_S)), 0);
		assert_int_equal(r.rc, 0);
		if (r.value != answers[i].value)
			fail_msg("%s BAR %u at 0x%x reads 0x%x, not 0x%x", answers[i].name, answers[i].bar,
				 answers[i].offset, r.value, answers[i].value);
	}
}

/* The e1000e's I/O BAR: an address port and a data port into the registers of its memory BAR. */
static void read_by_ports(void *arg)
{
	struct reading *r = arg;
	struct ob_device *dev = ob_device_find(machine, "0000:05:00.0");
	struct ob_region ports;

	r->rc = dev->ops->enable(dev);
	if (r->rc == 0)
		r->rc = dev->ops->region(dev, 2, &ports);
	if (r->rc == 0) {
		ob_mmio_write32(&ports, 0, 0x5400);
		r->value = ob_mmio_read32(&ports, 4);
	}
	dev->ops->disable(dev);
	ob_device_put(dev);
}

static void test_q35_io_bar_is_a_region_of_ports(void **state)
{
	struct reading r = {0};
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, 0), "read", read_by_ports, &r, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(20 * OB_NS_PER_S)), 0);
	assert_int_equal(r.rc, 0);
	assert_int_equal(r.value, 0x12005452);
}

/* ---- lspci's recording ---- */

static void test_q35_described_as_lspci_recorded_it(void **state)
{
	char *recorded = lspci_read_file(PCI_TEST_DATA "/pci-q35.lspci");
	unsigned count = 0, theirs_count = 0;

	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL; count++) {
		char *ours = ob_pci_describe(dev), *theirs = lspci_block(recorded, ob_device_name(dev));

		lspci_compare(ours, theirs, LSPCI_SAME_MACHINE);
		ob_free(ours);
		free(theirs);
	}
	for (const char *p = recorded; p != NULL; p = strstr(p, "\n\n")) {
		p += *p == '\n' ? 2 : 0;
		theirs_count += *p != 0;
	}
	assert_int_equal(count, theirs_count);
	free(recorded);
}

/* The very bytes that we see, through lspci. */
static void test_q35_described_as_lspci_reads_its_bytes(void **state)
{
	char path[] = "/tmp/outboard-q35-XXXXXX", command[128], *all;
	FILE *out;
	int fd;

	lspci_or_skip();
	fd = mkstemp(path);
	assert_true(fd >= 0);
	out = fdopen(fd, "w");
	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;) {
		unsigned len = pci_function_of(dev)->express != 0 ? PCIE_CONFIG_LEN : PCI_CONFIG_LEN;

		fprintf(out, "%s x\n", ob_device_name(dev));
		for (unsigned i = 0; i < len; i += 4) {
			uint32_t v = ob_pci_read(dev, i, 4);

			if (i % 16 == 0)
				fprintf(out, "%s%03x:", i != 0 ? "\n" : "", i);
			fprintf(out, " %02x %02x %02x %02x", v & 0xff, v >> 8 & 0xff, v >> 16 & 0xff, v >> 24);
		}
		fprintf(out, "\n\n");
	}
	fclose(out);
	snprintf(command, sizeof(command), "lspci -O hwdb.disable=1 -D -vv -nn -F %s 2>/dev/null", path);
	all = lspci_read_command(command);
	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;) {
		char *ours = ob_pci_describe(dev), *theirs = lspci_block(all, ob_device_name(dev));

		lspci_compare(ours, theirs, LSPCI_DUMP_OF_BARS);
		ob_free(ours);
		free(theirs);
	}
	free(all);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_q35_tree_nests_and_does_not_overlap),
		cmocka_unit_test(test_q35_described_as_lspci_recorded_it),
		cmocka_unit_test(test_q35_described_as_lspci_reads_its_bytes),
		cmocka_unit_test(test_q35_registers_behind_bars_answer),
		cmocka_unit_test(test_q35_io_bar_is_a_region_of_ports),
		cmocka_unit_test(test_q35_bars_are_where_qemu_has_them),
	};

	return cmocka_run_group_tests(tests, open_machine, close_machine);
}
