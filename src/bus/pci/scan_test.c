/* SPDX-License-Identifier: BSD-2-Clause */
/* Enumeration over made-up hosts: trees, what devices may lie about, rescans, hosts that others configured. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "bus/pci/pci.h"
#include "tests/fake_pci.h"
#include "tests/pci_check.h"

static struct ob *ob;
static struct ob_machine *machine;

static int setup(void **state)
{
	fake_pci_reset();
	return 0;
}

static struct ob_pci_info info_of(const char *name)
{
	struct ob_device *dev = fake_pci_device(machine, name);
	struct ob_pci_info info;

	if (dev == NULL)
		fail_msg("%s was not found", name);
	assert_int_equal(ob_pci_info(dev, &info), 0);
	return info;
}

static struct pci_function *function_of(const char *name)
{
	return pci_function_of(fake_pci_device(machine, name));
}

/* ---- trees ---- */

static void test_scan_nested_bridges_numbers_in_depth_first_order(void **state)
{
	struct fake_function *a = fake_pci_bridge(NULL, 2, 0), *b = fake_pci_bridge(NULL, 3, 0);
	struct fake_function *a1 = fake_pci_bridge(a, 0, 0), *a2 = fake_pci_bridge(a, 1, 0);

	fake_pci_bar(fake_pci_add(a1, 0, 0, 0x1234, 1, 0x020000), 0, 0x4000, 0);
	fake_pci_bar(fake_pci_add(a2, 0, 0, 0x1234, 2, 0x020000), 0, 0x100000, 0);
	fake_pci_bar(fake_pci_add(b, 5, 0, 0x1234, 3, 0x020000), 0, 0x20, PCI_BAR_IO);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(pci_check_tree(machine, false), 7);
	assert_int_equal(info_of("0000:00:02.0").secondary_bus, 1);
	assert_int_equal(info_of("0000:00:02.0").subordinate_bus, 3);
	assert_int_equal(info_of("0000:01:01.0").secondary_bus, 3);
	assert_int_equal(info_of("0000:00:03.0").secondary_bus, 4);
	assert_int_equal(info_of("0000:03:00.0").device, 2);
	assert_ptr_equal(ob_device_parent(fake_pci_device(machine, "0000:04:05.0")),
			 fake_pci_device(machine, "0000:00:03.0"));
	fake_pci_close(ob, machine);
}

static void check_access(bool extended)
{
	struct fake_function *bridge = fake_pci_bridge(NULL, 2, 0),
			     *f = fake_pci_add(bridge, 3, 1, 0x1234, 1, 0x020000);

	fake_pci_add(bridge, 3, 0, 0x1234, 2, 0x020000)->config[PCI_HEADER_TYPE] = PCI_HEADER_MULTI;
	fake_pci_bar(f, 0, 0x4000, 0);
	fake_pci_express(f, PCIE_TYPE_ENDPOINT, false);
	fake_pci_extended(f, 0x100, PCIE_EXT_ID_DSN, 0);
	fake_host.bus[0].u.pci.config_read = NULL;
	fake_host.bus[0].u.pci.config_write = NULL;
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(pci_check_tree(machine, false), 3);
	struct ob_device *dev = fake_pci_device(machine, "0000:01:03.1");

	assert_non_null(dev);
	assert_int_equal(ob_pci_find_extended_capability(dev, PCIE_EXT_ID_DSN, 0), extended ? 0x100 : 0);
	assert_int_equal(ob_pci_read(dev, 0x100, 2), extended ? PCIE_EXT_ID_DSN : 0xffff);
	ob_pci_write(dev, PCI_INTERRUPT_LINE, 1, 0x5a);
	assert_int_equal(f->config[PCI_INTERRUPT_LINE], 0x5a);
	assert_int_equal(ob_pci_read(dev, PCI_INTERRUPT_LINE, 1), 0x5a);
	fake_pci_close(ob, machine);
}

static void test_config_by_ecam_reaches_all_of_it(void **state)
{
	fake_host.bus[0].u.pci.ecam_base = 0xb0000000u;
	check_access(true);
}

static void test_config_by_ports_reaches_the_first_256_bytes(void **state)
{
	fake_host.bus[0].u.pci.has_cf8 = true;
	check_access(false);
}

static void test_scan_stale_bus_numbers_two_bridges_claim_one_bus_resolved(void **state)
{
	struct fake_function *a = fake_pci_bridge(NULL, 2, 0), *b = fake_pci_bridge(NULL, 3, 0);

	/* What ran before left both with the same bus. */
	fake_pci_set(a, PCI_BRIDGE_PRIMARY, 4, 0x00030100, 0xffffffffu);
	fake_pci_set(b, PCI_BRIDGE_PRIMARY, 4, 0x00030100, 0xffffffffu);
	fake_pci_add(a, 0, 0, 0x1234, 1, 0x020000);
	fake_pci_add(b, 0, 0, 0x1234, 2, 0x020000);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(info_of("0000:01:00.0").device, 1);
	assert_int_equal(info_of("0000:02:00.0").device, 2);
	fake_pci_close(ob, machine);
}

static void test_scan_prefetchable_64bit_goes_above_4g_where_bridges_allow(void **state)
{
	struct fake_function *wide = fake_pci_bridge(NULL, 2, 0), *narrow = fake_pci_bridge(NULL, 3, 0);
	uint32_t flags = PCI_BAR_MEM_PREFETCH | FIELD_PREP(PCI_BAR_MEM_TYPE, PCI_BAR_MEM_64);

	/* Only 32 bits of prefetchable window. */
	fake_pci_set(narrow, PCI_BRIDGE_PREFETCH_BASE, 4, 0, 0xfff0fff0u);
	fake_pci_bar(fake_pci_add(wide, 0, 0, 0x1234, 1, 0x030000), 0, OB_GIB, flags);
	fake_pci_bar(fake_pci_add(narrow, 0, 0, 0x1234, 2, 0x030000), 2, 16 * OB_MIB, flags);
	fake_pci_bar(fake_pci_add(NULL, 4, 0, 0x1234, 3, 0x030000), 4, 4 * OB_GIB, flags);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, false);
	assert_true(info_of("0000:01:00.0").bar[0].address >= 0x1000000000ull);
	assert_true(info_of("0000:02:00.0").bar[2].address < 0x100000000ull);
	assert_true(info_of("0000:00:04.0").bar[4].address >= 0x1000000000ull);
	fake_pci_close(ob, machine);
}

static void test_scan_hotplug_port_empty_gets_bus_and_reserve(void **state)
{
	struct fake_function *port = fake_pci_bridge(NULL, 2, 0);

	fake_pci_express(port, PCIE_TYPE_ROOT_PORT, false);
	fake_pci_set(port, 0x40 + PCIE_FLAGS, 2, 2 | PCIE_FLAGS_SLOT | FIELD_PREP(PCIE_FLAGS_TYPE, PCIE_TYPE_ROOT_PORT),
		     0);
	fake_pci_set(port, 0x40 + PCIE_SLTCAP, 4, PCIE_SLTCAP_HOTPLUG, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, false);
	assert_int_equal(info_of("0000:00:02.0").secondary_bus, 1);
	assert_true(function_of("0000:00:02.0")->window[PCI_SPACE_MEMORY].len_bytes >= OB_MIB);
	assert_true(function_of("0000:00:02.0")->window[PCI_SPACE_PREFETCH].len_bytes >= OB_MIB);

	/* Something is plugged in: it fits into the reserve, and nobody else moves. */
	struct fake_function *nic = fake_pci_add(port, 0, 0, 0x1234, 9, 0x020000);

	fake_pci_bar(nic, 0, 0x20000, 0);
	assert_int_equal(ob_machine_rescan(machine), 0);
	pci_check_tree(machine, false);
	assert_int_equal(info_of("0000:01:00.0").device, 9);

	/* And out again. */
	nic->absent = true;
	assert_int_equal(ob_machine_rescan(machine), 0);
	assert_null(fake_pci_device(machine, "0000:01:00.0"));
	assert_true(fake_pci_logged("0000:01:00.0: [1234:0009] is gone"));
	fake_pci_close(ob, machine);
}

static void test_rescan_other_device_in_the_same_place_replaces_it(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct ob_device *held;

	fake_pci_bar(f, 0, 0x1000, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	held = ob_device_find(machine, "0000:00:02.0");
	fake_pci_set(f, PCI_DEVICE_ID, 2, 7, 0);
	assert_int_equal(ob_machine_rescan(machine), 0);
	assert_int_equal(info_of("0000:00:02.0").device, 7);
	assert_int_equal(ob_device_state(held), OB_DEVICE_GONE);
	assert_int_equal(ob_pci_read(held, 0, 4), 0xffffffffu);
	assert_true(info_of("0000:00:02.0").bar[0].address != 0);
	fake_pci_close(ob, machine);
	/* What a program holds outlives the machine. */
	ob_device_put(held);
}

static void test_scan_host_and_isa_bridges_left_alone(void **state)
{
	struct fake_function *host = fake_pci_add(NULL, 0, 0, 0x8086, 0x29c0, PCI_CLASS_HOST);
	struct fake_function *isa = fake_pci_add(NULL, 31, 0, 0x8086, 0x2918, PCI_CLASS_ISA);

	fake_pci_set(host, PCI_COMMAND, 2, 0x0107, 0xffff);
	fake_pci_set(isa, PCI_COMMAND, 2, 0x0107, 0xffff);
	fake_pci_bar(host, 0, 0x1000, 0);
	fake_pci_set(host, PCI_BAR(0), 4, 0xfed00000u, 0xfffff000u);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(fake_pci_get(host, PCI_COMMAND, 2), 0x0107);
	assert_int_equal(fake_pci_get(isa, PCI_COMMAND, 2), 0x0107);
	assert_int_equal(fake_pci_get(host, PCI_BAR(0), 4), 0xfed00000u);
	assert_int_equal(info_of("0000:00:00.0").bar[0].len_bytes, 0);
	fake_pci_close(ob, machine);
}

static void test_scan_hidden_function_not_listed_not_written(void **state)
{
	static const uint16_t hidden[] = {PCI_BDF(0, 4, 0)};
	struct fake_function *f = fake_pci_add(NULL, 4, 0, 0x1af4, 0x1110, 0x050000);

	fake_host.bus[0].u.pci.hidden = hidden;
	fake_host.bus[0].u.pci.hidden_count = 1;
	fake_pci_set(f, PCI_COMMAND, 2, 7, 0xffff);
	fake_pci_bar(f, 0, 0x1000, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(pci_check_tree(machine, false), 0);
	assert_int_equal(fake_host.writes, 0);
	assert_int_equal(fake_pci_get(f, PCI_COMMAND, 2), 7);
	fake_pci_close(ob, machine);
}

/* ---- no room ---- */

static void test_assign_too_large_bar_stays_without_and_neighbours_have_theirs(void **state)
{
	struct fake_function *bridge = fake_pci_bridge(NULL, 2, 0);

	fake_pci_bar(fake_pci_add(bridge, 0, 0, 0x1234, 1, 0x030000), 0, OB_GIB, 0);
	fake_pci_bar(fake_pci_add(bridge, 1, 0, 0x1234, 2, 0x020000), 0, OB_MIB, 0);
	fake_pci_bar(fake_pci_add(NULL, 3, 0, 0x1234, 3, 0x020000), 0, 16 * OB_MIB, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, true);
	assert_int_equal(info_of("0000:01:00.0").bar[0].address, 0);
	assert_true(info_of("0000:01:01.0").bar[0].address != 0);
	assert_true(info_of("0000:00:03.0").bar[0].address != 0);
	assert_true(fake_pci_logged("0000:01:00.0: no room for BAR 0 of 0x40000000"));
	assert_false(fake_pci_logged("0000:01:01.0: no room"));
	fake_pci_close(ob, machine);
}

static void test_assign_window_starts_where_its_largest_bar_can(void **state)
{
	fake_host.bus[0].u.pci.mem32.base += OB_MIB;
	fake_pci_bar(fake_pci_add(fake_pci_bridge(NULL, 2, 0), 0, 0, 0x1234, 1, 0x030000), 0, 16 * OB_MIB, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, false);
	assert_false(fake_pci_logged("no room"));
	fake_pci_close(ob, machine);
}

static void test_assign_64bit_bar_moves_above_4g_when_below_is_full(void **state)
{
	/* Not prefetchable, so it starts below; directly at the root nothing speaks against the other side. */
	fake_pci_bar(fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x030000), 0, OB_GIB,
		     FIELD_PREP(PCI_BAR_MEM_TYPE, PCI_BAR_MEM_64));
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, false);
	assert_true(info_of("0000:00:02.0").bar[0].address >= 0x1000000000ull);
	fake_pci_close(ob, machine);
}

static void test_assign_more_ports_than_room_reserves_give_way(void **state)
{
	fake_host.bus[0].u.pci.mem32.len_bytes = 4 * OB_MIB;
	for (unsigned i = 0; i < 8; i++) {
		struct fake_function *port = fake_pci_bridge(NULL, 2 + i, 0);

		fake_pci_express(port, PCIE_TYPE_ROOT_PORT, false);
		fake_pci_set(port, 0x40 + PCIE_FLAGS, 2,
			     2 | PCIE_FLAGS_SLOT | FIELD_PREP(PCIE_FLAGS_TYPE, PCIE_TYPE_ROOT_PORT), 0);
		fake_pci_set(port, 0x40 + PCIE_SLTCAP, 4, PCIE_SLTCAP_HOTPLUG, 0);
	}
	fake_pci_bar(fake_pci_add(&fake_host.functions[7], 0, 0, 0x1234, 1, 0x020000), 0, OB_MIB, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, true);
	assert_true(fake_pci_logged("no room for a window"));
	fake_pci_close(ob, machine);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void test_assign_random_trees_nest_and_do_not_overlap(void **state)
{
	for (uint32_t seed = 1; seed <= 60; seed++) {
		uint32_t r = seed * 2654435761u;
		struct fake_function *bridges[8] = {NULL};
		unsigned bridge_count = 1;

		fake_pci_reset();
		for (unsigned i = 0; i < 40; i++) {
			struct fake_function *parent = bridges[next_random(&r) % bridge_count], *f;

			if (bridge_count < 8 && next_random(&r) % 4 == 0) {
				f = bridges[bridge_count++] = fake_pci_bridge(parent, i % 32, i / 32);
				if (next_random(&r) % 3 == 0)
					fake_pci_set(f, PCI_BRIDGE_PREFETCH_BASE, 4, 0, 0);
			} else {
				f = fake_pci_add(parent, i % 32, i / 32, 0x1234, i, 0x020000);
				for (unsigned bar = 0; bar < 6; bar += 2) {
					unsigned shift = 4 + next_random(&r) % 18, kind = next_random(&r) % 5;

					if (kind == 0)
						fake_pci_bar(f, bar, 1u << (shift % 7 + 2), PCI_BAR_IO);
					else if (kind < 4)
						fake_pci_bar(f, bar, 1ull << shift, kind == 1 ? 0 : kind == 2 ? 4 : 12);
				}
			}
			/* The second functions of a slot are only seen with the bit in the first. */
			f->config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
		}
		assert_int_equal(fake_pci_open(&ob, &machine), 0);
		pci_check_tree(machine, true);
		fake_pci_close(ob, machine);
	}
}

/* ---- lies ---- */

static void test_scan_odd_headers_left_out_and_logged(void **state)
{
	fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000)->config[PCI_HEADER_TYPE] = 0x7f;
	fake_pci_add(NULL, 3, 0, 0x1234, 2, 0x060700)->config[PCI_HEADER_TYPE] = PCI_HEADER_CARDBUS;
	fake_pci_add(NULL, 4, 0, 0x0000, 0x0000, 0x020000);
	fake_pci_add(NULL, 5, 0, 0xffff, 0x1234, 0x020000);
	fake_pci_add(NULL, 6, 0, 0x1234, 3, 0x020000)->config[PCI_INTERRUPT_PIN] = 9;
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(pci_check_tree(machine, false), 1);
	assert_true(fake_pci_logged("0000:00:02.0: [1234:0001] has header type 0x7f, left out"));
	assert_true(fake_pci_logged("0000:00:03.0: [1234:0002] has header type 0x02, left out"));
	assert_true(fake_pci_logged("interrupt pin 9 does not exist"));
	assert_int_equal(info_of("0000:00:06.0").interrupt_pin, 0);
	fake_pci_close(ob, machine);
}

static void test_scan_retry_status_waits_and_gives_up_in_the_end(void **state)
{
	uint64_t start = ob_now_ns();

	fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000)->retries = 3;
	fake_pci_add(NULL, 3, 0, 0x1234, 2, 0x020000)->retries = UINT32_MAX;
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(pci_check_tree(machine, false), 1);
	assert_true(fake_pci_logged("00:03.0 asks for a retry for ever"));
	assert_true(ob_now_ns() - start < 3 * OB_NS_PER_S);
	fake_pci_close(ob, machine);
}

static void test_bar_nonsense_ignored_and_logged(void **state)
{
	struct fake_function *f = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);

	fake_pci_set(f, PCI_BAR(0), 4, 0, 0xf0f00000u);                  /* bits with a hole */
	fake_pci_set(f, PCI_BAR(1), 4, 6, 0xfffff000u);                  /* reserved type */
	fake_pci_set(f, PCI_BAR(2), 4, 0xffffffffu, 0);                  /* all ones */
	fake_pci_set(f, PCI_BAR(3), 4, PCI_BAR_IO, 0x0000ffe0u);         /* 16 bits of ports: fine */
	fake_pci_set(f, PCI_BAR(4), 4, PCI_BAR_MEM_PREFETCH, ~0xfffffu); /* fine */
	fake_pci_set(f, PCI_BAR(5), 4, 4, 0xfffff000u);                  /* 64 bits, the last */
	fake_pci_set(f, PCI_ROM, 4, 0, 0xffff0000u);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	pci_check_tree(machine, false);

	struct ob_pci_info info = info_of("0000:00:02.0");

	assert_int_equal(info.bar[0].len_bytes, 0);
	assert_int_equal(info.bar[1].len_bytes, 0);
	assert_int_equal(info.bar[2].len_bytes, 0);
	assert_int_equal(info.bar[3].len_bytes, 0x20);
	assert_int_equal(info.bar[4].len_bytes, OB_MIB);
	assert_int_equal(info.bar[5].len_bytes, 0);
	assert_int_equal(info.rom.len_bytes, 0x10000);
	assert_int_equal(fake_pci_get(f, PCI_ROM, 4) & PCI_ROM_ENABLE, 0);
	assert_true(fake_pci_logged("BAR 0: length of memory is no power of two"));
	assert_true(fake_pci_logged("BAR 1: reserved memory type"));
	assert_true(fake_pci_logged("BAR 2: reads all ones"));
	assert_true(fake_pci_logged("BAR 5: 64 bits, but it is the last one"));
	fake_pci_close(ob, machine);
}

static void test_bar_len_bits_that_stick_gives_length_or_nonsense(void **state)
{
	assert_int_equal(pci_bar_len(0xfffff000u, PCI_BAR_MEM_ADDRESS), 0x1000);
	assert_int_equal(pci_bar_len(0xfffffff8u, PCI_BAR_MEM_ADDRESS), 0x10);
	assert_int_equal(pci_bar_len(0x80000000u, PCI_BAR_MEM_ADDRESS), 0x80000000u);
	assert_int_equal(pci_bar_len(0, PCI_BAR_MEM_ADDRESS), 0);
	assert_int_equal(pci_bar_len(0x7ffff000u, PCI_BAR_MEM_ADDRESS), 0);
	assert_int_equal(pci_bar_len(0xffff0ff0u, PCI_BAR_MEM_ADDRESS), 0);
	assert_true(pci_bar_len(0xffffff0000000000ull, 0xfffffffffffffff0ull) == 1ull << 40);
	assert_true(pci_bar_len(0x00ffff0000000000ull, 0xfffffffffffffff0ull) == 0);
}

static void test_capability_chain_loops_and_strays_bounded(void **state)
{
	struct fake_function *loop = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct fake_function *low = fake_pci_add(NULL, 3, 0, 0x1234, 2, 0x020000);
	struct fake_function *gone = fake_pci_add(NULL, 4, 0, 0x1234, 3, 0x020000);
	struct fake_function *end = fake_pci_add(NULL, 5, 0, 0x1234, 4, 0x020000);

	fake_pci_capability(loop, 0x40, PCI_CAP_ID_PM);
	fake_pci_capability(loop, 0x50, PCI_CAP_ID_VENDOR);
	loop->config[0x51] = 0x40;
	fake_pci_capability(low, 0x40, PCI_CAP_ID_PM);
	low->config[0x41] = 0x10;
	fake_pci_capability(gone, 0x40, PCI_CAP_ID_PM);
	gone->config[0x41] = 0x80;
	fake_pci_set(gone, 0x80, 2, 0xffff, 0);
	/* MSI with 64 bits and masks needs 24 bytes: there are 8 left. */
	fake_pci_capability(end, 0xf8, PCI_CAP_ID_MSI);
	fake_pci_set(end, 0xf8 + PCI_MSI_CONTROL, 2, PCI_MSI_CTL_64 | PCI_MSI_CTL_MASKABLE, 0);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_true(fake_pci_logged("0000:00:02.0: capability chain loops at 0x40"));
	assert_true(fake_pci_logged("0000:00:03.0: capability chain points into the header at 0x10"));
	assert_true(fake_pci_logged("0000:00:04.0: capability at 0x80 reads all ones"));
	assert_true(fake_pci_logged("0000:00:05.0: capability 05 at 0xf8 does not fit"));
	assert_int_equal(info_of("0000:00:05.0").msi_vectors, 0);
	assert_int_equal(ob_pci_find_capability(fake_pci_device(machine, "0000:00:02.0"), PCI_CAP_ID_VENDOR, 0), 0x50);
	assert_int_equal(ob_pci_find_capability(fake_pci_device(machine, "0000:00:02.0"), PCI_CAP_ID_VENDOR, 0x50), 0);
	assert_int_equal(ob_pci_find_capability(fake_pci_device(machine, "0000:00:03.0"), PCI_CAP_ID_PM, 0), 0x40);
	fake_pci_close(ob, machine);
}

static void test_extended_chain_loops_and_strays_bounded(void **state)
{
	struct fake_function *loop = fake_pci_add(NULL, 2, 0, 0x1234, 1, 0x020000);
	struct fake_function *low = fake_pci_add(NULL, 3, 0, 0x1234, 2, 0x020000);
	struct fake_function *many = fake_pci_add(NULL, 4, 0, 0x1234, 3, 0x020000);

	fake_pci_express(loop, PCIE_TYPE_ENDPOINT, false);
	fake_pci_extended(loop, 0x100, PCIE_EXT_ID_AER, 0x200);
	fake_pci_extended(loop, 0x200, PCIE_EXT_ID_DSN, 0x100);
	fake_pci_express(low, PCIE_TYPE_ENDPOINT, false);
	fake_pci_extended(low, 0x100, PCIE_EXT_ID_ARI, 0x40);
	fake_pci_express(many, PCIE_TYPE_ENDPOINT, false);
	for (unsigned offset = 0x100; offset < 0xffc; offset += 4)
		fake_pci_extended(many, offset, PCIE_EXT_ID_VENDOR, offset + 4);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_true(fake_pci_logged("0000:00:02.0: extended capability chain loops at 0x100"));
	assert_true(fake_pci_logged("0000:00:03.0: extended capability chain leaves its space at 0x040"));
	assert_true(fake_pci_logged("0000:00:04.0: more than 64 extended capabilities"));
	assert_int_equal(ob_pci_find_extended_capability(fake_pci_device(machine, "0000:00:02.0"), PCIE_EXT_ID_DSN, 0),
			 0x200);
	fake_pci_close(ob, machine);
}

static void test_scan_space_full_of_random_bytes_ends(void **state)
{
	for (uint32_t seed = 1; seed <= 200; seed++) {
		uint32_t r = seed * 2654435761u;

		fake_pci_reset();
		for (unsigned i = 0; i < 6; i++) {
			struct fake_function *f = fake_pci_add(NULL, i + 1, 0, 0x1234, i, 0x020000);

			for (unsigned b = 4; b < sizeof(f->config); b++) {
				f->config[b] = (uint8_t)next_random(&r);
				f->writable[b] = (uint8_t)next_random(&r);
			}
			f->config[PCI_HEADER_TYPE] = next_random(&r) & 0x81;
		}
		assert_int_equal(fake_pci_open(&ob, &machine), 0);
		for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;) {
			char *text = ob_pci_describe(dev);

			assert_non_null(text);
			ob_free(text);
		}
		/* Bits that stick as they like break the rule of sizing, not us. */
		for (unsigned i = 0; i < fake_host.count; i++)
			fake_host.functions[i].sized_decoding = false;
		fake_host.conflict = false;
		fake_pci_close(ob, machine);
	}
}

/* ---- configured by others ---- */

static void test_scan_assigned_host_reads_and_changes_nothing(void **state)
{
	struct fake_function *bridge = fake_pci_bridge(NULL, 2, 0),
			     *f = fake_pci_add(bridge, 0, 0, 0x1234, 1, 0x020000);
	struct fake_function before[2];

	fake_host.bus[0].u.pci.assigned = true;
	fake_pci_set(bridge, PCI_BRIDGE_PRIMARY, 4, 0x00050500, 0xffffffffu);
	fake_pci_set(bridge, PCI_BRIDGE_MEMORY_BASE, 4, 0xfe10fe00u, 0xfff0fff0u);
	fake_pci_set(bridge, PCI_COMMAND, 2, 7, 0x0547);
	fake_pci_bar(f, 0, 0x4000, 0);
	fake_pci_set(f, PCI_BAR(0), 4, 0xfe008000u, 0xffffc000u);
	fake_pci_set(f, PCI_COMMAND, 2, 6, 0x0547);
	memcpy(before, fake_host.functions, sizeof(before));
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_int_equal(info_of("0000:05:00.0").bar[0].address, 0xfe008000u);
	assert_int_equal(info_of("0000:05:00.0").bar[0].len_bytes, 0x4000);
	assert_int_equal(function_of("0000:00:02.0")->window[PCI_SPACE_MEMORY].base, 0xfe000000u);
	assert_int_equal(function_of("0000:00:02.0")->window[PCI_SPACE_MEMORY].len_bytes, 2 * OB_MIB);
	for (unsigned i = 0; i < 2; i++)
		assert_memory_equal(before[i].config, fake_host.functions[i].config, PCIE_CONFIG_LEN);
	fake_pci_close(ob, machine);
}

static void test_scan_assigned_bus_numbers_in_a_circle_not_followed(void **state)
{
	struct fake_function *bridge = fake_pci_bridge(NULL, 2, 0);

	fake_host.bus[0].u.pci.assigned = true;
	fake_host.bus[0].u.pci.bus_first = 3;
	fake_pci_set(bridge, PCI_BRIDGE_PRIMARY, 4, 0x00030303, 0xffffffffu);
	assert_int_equal(fake_pci_open(&ob, &machine), 0);
	assert_non_null(fake_pci_device(machine, "0000:03:02.0"));
	assert_true(fake_pci_logged("does not fit below bus 03, not followed"));
	fake_pci_close(ob, machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan_nested_bridges_numbers_in_depth_first_order, setup),
		cmocka_unit_test_setup(test_config_by_ecam_reaches_all_of_it, setup),
		cmocka_unit_test_setup(test_config_by_ports_reaches_the_first_256_bytes, setup),
		cmocka_unit_test_setup(test_scan_stale_bus_numbers_two_bridges_claim_one_bus_resolved, setup),
		cmocka_unit_test_setup(test_scan_prefetchable_64bit_goes_above_4g_where_bridges_allow, setup),
		cmocka_unit_test_setup(test_scan_hotplug_port_empty_gets_bus_and_reserve, setup),
		cmocka_unit_test_setup(test_rescan_other_device_in_the_same_place_replaces_it, setup),
		cmocka_unit_test_setup(test_scan_host_and_isa_bridges_left_alone, setup),
		cmocka_unit_test_setup(test_scan_hidden_function_not_listed_not_written, setup),
		cmocka_unit_test_setup(test_assign_too_large_bar_stays_without_and_neighbours_have_theirs, setup),
		cmocka_unit_test_setup(test_assign_window_starts_where_its_largest_bar_can, setup),
		cmocka_unit_test_setup(test_assign_64bit_bar_moves_above_4g_when_below_is_full, setup),
		cmocka_unit_test_setup(test_assign_more_ports_than_room_reserves_give_way, setup),
		cmocka_unit_test_setup(test_assign_random_trees_nest_and_do_not_overlap, setup),
		cmocka_unit_test_setup(test_scan_odd_headers_left_out_and_logged, setup),
		cmocka_unit_test_setup(test_scan_retry_status_waits_and_gives_up_in_the_end, setup),
		cmocka_unit_test_setup(test_bar_nonsense_ignored_and_logged, setup),
		cmocka_unit_test(test_bar_len_bits_that_stick_gives_length_or_nonsense),
		cmocka_unit_test_setup(test_capability_chain_loops_and_strays_bounded, setup),
		cmocka_unit_test_setup(test_extended_chain_loops_and_strays_bounded, setup),
		cmocka_unit_test_setup(test_scan_space_full_of_random_bytes_ends, setup),
		cmocka_unit_test_setup(test_scan_assigned_host_reads_and_changes_nothing, setup),
		cmocka_unit_test_setup(test_scan_assigned_bus_numbers_in_a_circle_not_followed, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
