/* SPDX-License-Identifier: BSD-2-Clause */
/* A device plugged into an empty root port of QEMU's, found by a rescan, used, and pulled out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "base/bits.h"
#include "spec/pci.h"
#include "tests/pci_check.h"

#define PORT    "0000:00:02.0"
#define PLUGGED "0000:01:00.0"
#define WAIT_NS (5 * OB_NS_PER_S)

static struct ob *ob;
static struct ob_machine *machine;
static unsigned probes, removes;
static uint32_t version;

static int test_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob_region regs;

	probes++;
	if (ob_device_region(dev, 0, &regs) != 0)
		return -1;
	version = ob_mmio_read32(&regs, 8);
	return 0;
}

static void test_remove(struct ob_device *dev)
{
	removes++;
}

static const struct ob_match test_match[] = {OB_PCI_ID(0x1b36, 0x0010), OB_MATCH_LAST};
static const struct ob_driver test_driver = {
	.name = "plugged", .match = test_match, .probe = test_probe, .remove = test_remove};

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

static void command(const char *text)
{
	char *reply = NULL;

	if (ob_machine_command(machine, text, &reply, ob_deadline(WAIT_NS)) != 0)
		fail_msg("%s: %s", text, reply != NULL ? reply : "no reply");
	ob_free(reply);
}

/* The port's slot control: power indicator and power. PCIe 4.0 §6.7.1. */
static void slot_control(struct ob_device *port, uint32_t value)
{
	unsigned express = ob_pci_find_capability(port, PCI_CAP_ID_EXPRESS, 0);

	assert_int_not_equal(express, 0);
	ob_pci_write(port, express + PCIE_SLTCTL, 2, value);
}

/* Rescan until @name is there, or is not. */
static void rescan_until(const char *name, bool there)
{
	uint64_t deadline = ob_deadline(WAIT_NS);

	for (;;) {
		struct ob_device *dev;

		assert_int_equal(ob_machine_rescan(machine), 0);
		dev = ob_device_find(machine, name);
		if (dev != NULL)
			ob_device_put(dev);
		if ((dev != NULL) == there)
			return;
		if (ob_now_ns() >= deadline)
			fail_msg("%s is %s", name, there ? "not there" : "still there");
	}
}

static void test_rescan_plugged_device_found_bound_and_gone_again(void **state)
{
	static const char *const args[] = {
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
		"-device", "pcie-root-port,id=rp0,bus=pcie.0,addr=2.0,chassis=1,slot=1",
		NULL,
	};
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {.args = args};
	struct ob_device *port, *held;
	struct ob_pci_info info;

	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &test_driver), 0);
	assert_int_equal(ob_machine_open(ob, "qemu:q35", &options, &machine), 0);
	port = ob_device_find(machine, PORT);
	assert_non_null(port);
	for (unsigned round = 1; round <= 2; round++) {
		command("{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"nvme\",\"id\":\"nv\",\"bus\":\"rp0\","
			"\"serial\":\"plugged\"}}");
		slot_control(port, FIELD_PREP(PCIE_SLTCTL_POWER_LED, PCIE_LED_ON));
		rescan_until(PLUGGED, true);
		assert_int_equal(probes, round);
		assert_int_equal(version, 0x00010400);
		/* It lives in what was reserved for it. */
		pci_check_tree(machine, false);
		held = ob_device_find(machine, PLUGGED);
		assert_int_equal(ob_pci_info(held, &info), 0);
		assert_int_not_equal(info.bar[0].address, 0);

		/* Power off: the device is gone for us, and QEMU takes it out. */
		command("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nv\"}}");
		slot_control(port, PCIE_SLTCTL_POWER_OFF | FIELD_PREP(PCIE_SLTCTL_POWER_LED, PCIE_LED_OFF));
		rescan_until(PLUGGED, false);
		assert_int_equal(removes, round);
		assert_int_equal(ob_device_state(held), OB_DEVICE_GONE);
		assert_false(ob_device_is_present(held));
		assert_int_equal(ob_pci_read(held, 0, 4), 0xffffffffu);
		ob_device_put(held);
	}
	ob_device_put(port);
	ob_machine_close(machine);
	ob_destroy(ob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rescan_plugged_device_found_bound_and_gone_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
