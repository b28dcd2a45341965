/* SPDX-License-Identifier: BSD-2-Clause */
/* Which nodes are devices, where their registers are, what interrupts they have; and trees that are none, or lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/dt.h>

#include "base/bits.h"
#include "bus/dt/dt.h"
#include "tests/fake_dt.h"

#define L FAKE_DT_LAST

/* A node with registers at @address, 4 KiB. */
static void plain_node(const char *name, const char *compatible, uint32_t address)
{
	fake_dt_node(name);
	if (compatible != NULL)
		fake_dt_bytes("compatible", compatible, strlen(compatible) + 1);
	fake_dt_cells("reg", 0, address, 0, 0x1000, L);
}

static void expect_region(const struct ob_device *dev, unsigned index, uint64_t address, uint64_t len_bytes)
{
	uint64_t got_address = 0, got_len = 0;

	assert_int_equal(ob_dt_region(dev, index, &got_address, &got_len), 0);
	assert_int_equal(got_address, address);
	assert_int_equal(got_len, len_bytes);
}

static void expect_interrupt(const struct ob_device *dev, unsigned index, uint32_t number, bool edge)
{
	uint32_t got_number = 0;
	bool got_edge = !edge;

	assert_int_equal(ob_dt_interrupt(dev, index, &got_number, &got_edge), 0);
	assert_int_equal(got_number, number);
	assert_int_equal(got_edge, edge);
}

static void expect_no_region(const struct ob_device *dev, unsigned index)
{
	uint64_t address, len_bytes;

	assert_int_equal(ob_dt_region(dev, index, &address, &len_bytes), -ENXIO);
}

static void test_devices_are_enabled_nodes_with_registers(void **state)
{
	struct ob_machine *machine;
	struct ob_dt_info info;
	struct ob_device *dev;
	struct ob *ob;

	fake_dt_begin(false);
	fake_dt_node("chosen");
	fake_dt_up();
	fake_dt_node("clock");
	fake_dt_text("compatible", "fixed-clock");
	fake_dt_up();
	plain_node("nameless@1000", NULL, 0x1000);
	fake_dt_up();
	plain_node("off@2000", "a,b", 0x2000);
	fake_dt_text("status", "disabled");
	plain_node("below@3000", "a,b", 0x3000);
	fake_dt_up();
	fake_dt_up();
	plain_node("oka@4000", "a,b", 0x4000);
	fake_dt_text("status", "oka");
	fake_dt_up();
	plain_node("fail@4800", "a,b", 0x4800);
	fake_dt_text("status", "fail");
	fake_dt_up();
	plain_node("ok@5000", "a,b", 0x5000);
	fake_dt_text("status", "ok");
	fake_dt_up();
	fake_dt_node("uart@6000");
	fake_dt_text("compatible", "x,uart-2\0x,uart");
	fake_dt_cells("reg", 0, 0x6000, 0, 0x20, 1, 0x7000, 0, 0x10, L);
	fake_dt_text("status", "okay");
	fake_dt_text("label", "hello");
	fake_dt_cells("many", 7, 8, 9, L);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), 2);
	assert_non_null(fake_dt_device(machine, "ok@5000"));
	dev = fake_dt_device(machine, "uart@6000");
	assert_non_null(dev);
	assert_string_equal(ob_device_bus_name(dev), "dt");
	assert_int_equal(ob_dt_info(dev, &info), 0);
	assert_string_equal(info.path, "/uart@6000");
	assert_string_equal(info.compatible[0], "x,uart-2");
	assert_string_equal(info.compatible[1], "x,uart");
	assert_null(info.compatible[2]);
	assert_int_equal(info.region_count, 2);
	assert_int_equal(info.interrupt_count, 0);
	expect_region(dev, 0, 0x6000, 0x20);
	expect_region(dev, 1, 0x100007000, 0x10);
	expect_no_region(dev, 2);
	fake_dt_close(ob, machine);
}

static void test_properties_are_there_to_be_read(void **state)
{
	struct ob_machine *machine;
	struct ob_device *dev;
	size_t len_bytes;
	uint32_t cell;
	struct ob *ob;

	fake_dt_begin(false);
	plain_node("d@1000", "a,b", 0x1000);
	fake_dt_text("label", "hello");
	fake_dt_cells("many", 7, 8, 9, L);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	dev = ob_device_get(fake_dt_device(machine, "d@1000"));
	assert_string_equal(ob_dt_property(dev, "label", &len_bytes), "hello");
	assert_int_equal(len_bytes, 6);
	assert_null(ob_dt_property(dev, "absent", &len_bytes));
	assert_int_equal(ob_dt_cell(dev, "many", 2, &cell), 0);
	assert_int_equal(cell, 9);
	assert_int_equal(ob_dt_cell(dev, "many", 3, &cell), -ENXIO);
	assert_int_equal(ob_dt_cell(dev, "absent", 0, &cell), -ENOENT);
	/* The tree stays for who holds the device. */
	ob_machine_close(machine);
	assert_string_equal(ob_dt_property(dev, "label", NULL), "hello");
	ob_device_put(dev);
	ob_destroy(ob);
}

static void test_names_are_the_nodes_and_one_each(void **state)
{
	static const char longer[] = "a-node-whose-name-is-long-enough@12345678";
	struct ob_machine *machine;
	struct ob_dt_info info;
	struct ob_device *dev = NULL;
	unsigned same = 0, cut = 0;
	struct ob *ob;

	fake_dt_begin(false);
	for (unsigned i = 0; i < 3; i++) {
		char bus[16];

		snprintf(bus, sizeof(bus), "bus%u", i);
		fake_dt_node(bus);
		fake_dt_cells("#address-cells", 2, L);
		fake_dt_cells("#size-cells", 2, L);
		fake_dt_bytes("ranges", "", 0);
		plain_node("same@1000", "a,b", 0x1000);
		fake_dt_up();
		plain_node(longer, "a,b", 0x1000);
		fake_dt_up();
		fake_dt_up();
	}
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), 6);
	while ((dev = ob_device_next(machine, dev)) != NULL) {
		assert_int_equal(ob_dt_info(dev, &info), 0);
		assert_ptr_equal(fake_dt_device(machine, ob_device_name(dev)), dev);
		same += strncmp(ob_device_name(dev), "same@1000", 9) == 0;
		cut += strncmp(ob_device_name(dev), longer, 19) == 0;
	}
	assert_int_equal(same, 3);
	assert_int_equal(cut, 3);
	fake_dt_close(ob, machine);
}

/* What stands in a device's node is its child; what is on a bus that is none has the next device above, or nothing. */
static void test_parents_are_devices(void **state)
{
	struct ob_machine *machine;
	struct ob_device *outer, *inner;
	struct ob *ob;

	fake_dt_begin(false);
	plain_node("outer@1000", "a,b", 0x1000);
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 2, L);
	fake_dt_bytes("ranges", "", 0);
	fake_dt_node("between");
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 2, L);
	fake_dt_bytes("ranges", "", 0);
	plain_node("inner@1800", "a,b", 0x1800);
	fake_dt_up();
	fake_dt_up();
	fake_dt_up();
	plain_node("beside@9000", "a,b", 0x9000);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	outer = fake_dt_device(machine, "outer@1000");
	inner = fake_dt_device(machine, "inner@1800");
	assert_ptr_equal(ob_device_parent(inner), outer);
	assert_null(ob_device_parent(outer));
	assert_null(ob_device_parent(fake_dt_device(machine, "beside@9000")));
	fake_dt_close(ob, machine);
}

/* ---- addresses ---- */

/* A bus of one cell each at the root: its first range is 0x1000.. to 0x40000000.., 64 KiB; the second wraps around. */
static void begin_bus(void)
{
	fake_dt_begin(false);
	fake_dt_node("soc");
	fake_dt_cells("#address-cells", 1, L);
	fake_dt_cells("#size-cells", 1, L);
	fake_dt_cells("ranges", 0x1000, 0, 0x40000000, 0x10000, 0x80000, 0xffffffff, 0xfffff000, 0x10000, L);
}

static int open_bus(struct ob **ob, struct ob_machine **machine)
{
	fake_dt_up();
	fake_dt_end();
	return fake_dt_open(NULL, ob, machine);
}

static void bus_node(const char *name, uint32_t address, uint32_t len_bytes)
{
	fake_dt_node(name);
	fake_dt_text("compatible", "a,b");
	fake_dt_cells("reg", address, len_bytes, L);
	fake_dt_up();
}

static void test_addresses_are_handed_on_by_buses(void **state)
{
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob *ob;

	begin_bus();
	bus_node("first", 0x1000, 0x100);
	bus_node("last", 0x10ff0, 0x10);
	bus_node("beyond", 0x10ff0, 0x11);
	bus_node("before", 0xff0, 0x20);
	bus_node("nowhere", 0x20000, 0x10);
	bus_node("empty", 0x2000, 0);
	bus_node("at-the-end", 0x80000, 0x1000);
	bus_node("over-the-end", 0x80000, 0x1001);
	bus_node("behind-the-end", 0x81000, 0x10);
	bus_node("wraps", 0xfffffff0, 0x20);
	fake_dt_node("two");
	fake_dt_text("compatible", "a,b");
	fake_dt_cells("reg", 0x20000, 0x10, 0x2000, 0x10, 0x3000, L); /* the third is cut off */
	fake_dt_up();
	/* One more bus below, which turns two cells into one. */
	fake_dt_node("sub");
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 1, L);
	fake_dt_cells("ranges", 7, 0, 0x4000, 0x1000, L);
	fake_dt_node("deep");
	fake_dt_text("compatible", "a,b");
	fake_dt_cells("reg", 7, 0x234, 4, L);
	fake_dt_up();
	fake_dt_up();
	/* A range near the top, and registers that reach from it to the very end. */
	fake_dt_up();
	fake_dt_node("top");
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 2, L);
	fake_dt_cells("ranges", 0xffffffff, 0xffff0000, 0, 0x50000000, 0, 0xf800, L);
	fake_dt_node("too-long");
	fake_dt_text("compatible", "a,b");
	fake_dt_cells("reg", 0xffffffff, 0xfffff000, 0, 0x1000, L);
	fake_dt_up();
	assert_int_equal(open_bus(&ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), 5);
	expect_region(fake_dt_device(machine, "first"), 0, 0x40000000, 0x100);
	expect_region(fake_dt_device(machine, "last"), 0, 0x4000fff0, 0x10);
	expect_region(fake_dt_device(machine, "at-the-end"), 0, 0xfffffffffffff000, 0x1000);
	expect_region(fake_dt_device(machine, "deep"), 0, 0x40003234, 4);
	dev = fake_dt_device(machine, "two");
	expect_no_region(dev, 0);
	expect_region(dev, 1, 0x40001000, 0x10);
	expect_no_region(dev, 2);
	fake_dt_close(ob, machine);
}

/* No ranges: no way through. Cells that no CPU has: PCI's three, and those of buses without sizes. */
static void test_addresses_that_no_cpu_sees(void **state)
{
	static const struct {
		uint32_t address_cells, size_cells;
		bool ranges;
	} bad[] = {{2, 2, false}, {3, 2, true},          {1, 0, true},          {4, 1, true},
		   {0, 0, true},  {0xffffffff, 1, true}, {1, 0xffffffff, true}, {2, 3, true}};
	struct ob_machine *machine;
	struct ob *ob;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_dt_begin(false);
		fake_dt_node("bus");
		fake_dt_cells("#address-cells", bad[i].address_cells, L);
		fake_dt_cells("#size-cells", bad[i].size_cells, L);
		if (bad[i].ranges)
			fake_dt_bytes("ranges", "", 0);
		fake_dt_node("d");
		fake_dt_text("compatible", "a,b");
		fake_dt_cells("reg", 0, 0x1000, 0, 0x1000, 0, 0x1000, L);
		fake_dt_up();
		fake_dt_up();
		fake_dt_end();
		assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
		assert_int_equal(fake_dt_count(machine), 0);
		fake_dt_close(ob, machine);
	}
}

/* DT §2.3.5: two cells of address and one of size where a bus does not say. */
static void test_cells_have_defaults(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	fake_dt_begin(true);
	fake_dt_node("d");
	fake_dt_text("compatible", "a,b");
	fake_dt_cells("reg", 1, 0x1000, 0x10, L);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	expect_region(fake_dt_device(machine, "d"), 0, 0x100001000, 0x10);
	fake_dt_close(ob, machine);
}

/* ---- interrupts ---- */

static void test_interrupts_of_a_gic(void **state)
{
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob_dt_info info;
	uint32_t number;
	struct ob *ob;
	bool edge;

	fake_dt_begin(false);
	plain_node("a@1000", "a,b", 0x1000);
	fake_dt_cells("interrupts", 0, 5, 4, 0, 987, 1, 1, 13, 8, 0, 0, 2, 0, 7, L); /* the last is cut off */
	fake_dt_up();
	plain_node("bad@2000", "a,b", 0x2000);
	fake_dt_cells("interrupts", 0, 988, 4, 0, 1, 4, L);
	fake_dt_up();
	plain_node("worse@3000", "a,b", 0x3000);
	fake_dt_cells("interrupts", 2, 1, 4, L);
	fake_dt_up();
	fake_dt_gic(); /* behind those who use it */
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	dev = fake_dt_device(machine, "a@1000");
	assert_int_equal(ob_dt_info(dev, &info), 0);
	assert_int_equal(info.interrupt_count, 4);
	expect_interrupt(dev, 0, 37, false);
	expect_interrupt(dev, 1, 1019, true);
	expect_interrupt(dev, 2, 29, false);
	expect_interrupt(dev, 3, 32, true);
	assert_int_equal(ob_dt_interrupt(dev, 4, &number, &edge), -ENXIO);
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "bad@2000"), 0, &number, &edge), -ENXIO);
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "worse@3000"), 0, &number, &edge), -ENXIO);
	fake_dt_close(ob, machine);
}

static void plic(uint32_t phandle, const char *name, const char *compatible)
{
	fake_dt_node(name);
	fake_dt_bytes("compatible", compatible, strlen(compatible) + 1);
	fake_dt_cells("#interrupt-cells", 1, L);
	fake_dt_cells("phandle", phandle, L);
	fake_dt_bytes("interrupt-controller", "", 0);
	fake_dt_up();
}

static void test_interrupts_find_their_controller(void **state)
{
	struct ob_machine *machine;
	struct ob_device *dev;
	uint32_t number;
	struct ob *ob;
	bool edge;

	fake_dt_begin(false);
	fake_dt_gic();
	plic(2, "plic", "sifive,plic-1.0.0");
	plic(3, "other", "x,controller");
	plain_node("own@1000", "a,b", 0x1000);
	fake_dt_cells("interrupt-parent", 2, L);
	fake_dt_cells("interrupts", 9, 0, L);
	fake_dt_up();
	plain_node("nobody@2000", "a,b", 0x2000);
	fake_dt_cells("interrupt-parent", 77, L);
	fake_dt_cells("interrupts", 9, L);
	fake_dt_up();
	plain_node("unknown@3000", "a,b", 0x3000);
	fake_dt_cells("interrupt-parent", 3, L);
	fake_dt_cells("interrupts", 9, L);
	fake_dt_up();
	plain_node("extended@4000", "a,b", 0x4000);
	fake_dt_cells("interrupts-extended", 1, 0, 6, 4, 2, 11, 1, 1, 3, 1, 77, 1, 1, 0, 6, 4, L);
	fake_dt_cells("interrupts", 0, 1, 4, L);
	fake_dt_up();
	plain_node("cut@4800", "a,b", 0x4800);
	fake_dt_cells("interrupts-extended", 1, 0, 6, L);
	fake_dt_up();
	/* What is inside of a controller is its own. */
	plain_node("inner-plic@6000", "riscv,plic0", 0x6000);
	fake_dt_cells("#interrupt-cells", 1, L);
	fake_dt_bytes("interrupt-controller", "", 0);
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 2, L);
	fake_dt_bytes("ranges", "", 0);
	plain_node("part@6800", "a,b", 0x6800);
	fake_dt_cells("interrupts", 33, L);
	fake_dt_up();
	fake_dt_up();
	fake_dt_node("bus");
	fake_dt_cells("#address-cells", 2, L);
	fake_dt_cells("#size-cells", 2, L);
	fake_dt_bytes("ranges", "", 0);
	fake_dt_cells("interrupt-parent", 2, L);
	plain_node("inherits@5000", "a,b", 0x5000);
	fake_dt_cells("interrupts", 12, L);
	fake_dt_up();
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	expect_interrupt(fake_dt_device(machine, "own@1000"), 0, 9, false);
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "own@1000"), 1, &number, &edge),
			 -ENXIO); /* 0 is none */
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "nobody@2000"), 0, &number, &edge), -ENXIO);
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "unknown@3000"), 0, &number, &edge), -ENXIO);
	dev = fake_dt_device(machine, "extended@4000");
	expect_interrupt(dev, 0, 38, false);
	expect_interrupt(dev, 1, 11, false);
	expect_interrupt(dev, 2, 19, true);
	assert_int_equal(ob_dt_interrupt(dev, 3, &number, &edge), -ENXIO);
	assert_int_equal(ob_dt_interrupt(fake_dt_device(machine, "cut@4800"), 0, &number, &edge), -ENXIO);
	expect_interrupt(fake_dt_device(machine, "part@6800"), 0, 33, false);
	expect_interrupt(fake_dt_device(machine, "inherits@5000"), 0, 12, false);
	fake_dt_close(ob, machine);
}

/* ---- trees that ask for too much, and what is no tree ---- */

static void test_limits_hold(void **state)
{
	struct ob_machine *machine;
	struct ob_dt_info info;
	struct ob_device *dev;
	struct ob *ob;
	char name[32];

	fake_dt_begin(false);
	for (unsigned i = 0; i < DT_DEVICES_MAX + 10; i++) {
		snprintf(name, sizeof(name), "d@%x", 0x100000 + i);
		fake_dt_node(name);
		fake_dt_text("compatible", "x");
		fake_dt_cells("reg", 0, 0x100000 + i, 0, 1, L);
		fake_dt_up();
	}
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), DT_DEVICES_MAX);
	assert_true(fake_dt_logged("deeper or larger than what is looked at"));
	fake_dt_close(ob, machine);

	fake_dt_begin(false);
	for (unsigned i = 0; i < 40; i++) {
		plain_node("n", "a,b", 0x1000);
		fake_dt_cells("#address-cells", 2, L);
		fake_dt_cells("#size-cells", 2, L);
		fake_dt_bytes("ranges", "", 0);
	}
	for (unsigned i = 0; i < 40; i++)
		fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), DT_DEPTH_MAX - 1);
	assert_true(fake_dt_logged("deeper or larger than what is looked at"));
	fake_dt_close(ob, machine);

	fake_dt_begin(false);
	fake_dt_gic();
	fake_dt_node("much");
	fake_dt_text("compatible",
		     "1\0002\0003\0004\0005\0006\0007\0008\0009\00010\00011\00012\00013\00014\00015\00016\00017\00018");
	fake_dt_cells("reg", 0, 1, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 4, 0, 1, 0, 5, 0, 1, 0, 6, 0, 1, 0, 7, 0, 1, 0, 8,
		      0, 1, 0, 9, 0, 1, L);
	fake_dt_cells("interrupts", 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0,
		      1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, 0, 1, 4, L);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	dev = fake_dt_device(machine, "much");
	assert_int_equal(ob_dt_info(dev, &info), 0);
	assert_int_equal(info.region_count, DT_REGIONS_MAX);
	assert_int_equal(info.interrupt_count, DT_INTERRUPTS_MAX);
	assert_string_equal(info.compatible[DT_COMPATIBLES_MAX - 1], "16");
	assert_null(info.compatible[DT_COMPATIBLES_MAX]);
	fake_dt_close(ob, machine);
}

/* Names go to people's terminals and into JSON. */
static void test_names_that_are_no_text_are_passed_over(void **state)
{
	struct ob_machine *machine;
	struct ob_dt_info info;
	struct ob *ob;

	fake_dt_begin(false);
	plain_node("\x1b[2J", "a,b", 0x1000);
	fake_dt_up();
	plain_node("a@1000", "\xff\xfe", 0x1000);
	fake_dt_up();
	fake_dt_node("b@2000");
	fake_dt_text("compatible", "x,y\0\x1b[2J\0x,z");
	fake_dt_cells("reg", 0, 0x2000, 0, 0x1000, L);
	fake_dt_up();
	fake_dt_end();
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), 0);
	assert_int_equal(fake_dt_count(machine), 1);
	assert_int_equal(ob_dt_info(fake_dt_device(machine, "b@2000"), &info), 0);
	assert_string_equal(info.compatible[0], "x,y");
	assert_string_equal(info.compatible[1], "x,z");
	assert_null(info.compatible[2]);
	fake_dt_close(ob, machine);
}

static void test_what_is_no_tree_is_refused(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	fake_dt_begin(false);
	fake_dt_end();
	fake_dt.blob[0] = 0;
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), -EINVAL);
	assert_true(fake_dt_logged("dt: not a device tree: FDT_ERR_BADMAGIC"));
	fake_dt_begin(false);
	fake_dt_end();
	fake_dt.bus[0].u.dt.len_bytes = DT_BLOB_MAX + 1;
	assert_int_equal(fake_dt_open(NULL, &ob, &machine), -EINVAL);
	assert_true(fake_dt_logged("is too large"));
}

static void write_a_bit_of_everything(void)
{
	begin_bus();
	bus_node("first", 0x1000, 0x100);
	fake_dt_node("two");
	fake_dt_text("compatible", "a,b\0c,d");
	fake_dt_text("status", "okay");
	fake_dt_cells("reg", 0x20000, 0x10, 0x2000, 0x10, L);
	fake_dt_cells("interrupts", 0, 5, 4, 1, 13, 8, L);
	fake_dt_up();
	fake_dt_up();
	fake_dt_gic();
	plain_node("x@4000", "a,b", 0x4000);
	fake_dt_cells("interrupts-extended", 1, 0, 6, 4, L);
	fake_dt_up();
	fake_dt_end();
}

/* Cut off anywhere, or with any byte changed: refused, or read as what it says then. The sanitizers look on. */
static void test_broken_trees_are_borne(void **state)
{
	static const uint8_t values[] = {0x00, 0xff, 0x01, 0x7f};
	static uint8_t whole[FAKE_DT_BYTES];
	struct ob_machine *machine;
	unsigned opened = 0, refused = 0;
	size_t len_bytes;
	struct ob *ob;

	write_a_bit_of_everything();
	len_bytes = fake_dt.bus[0].u.dt.len_bytes;
	memcpy(whole, fake_dt.blob, len_bytes);
	for (size_t i = 0; i < len_bytes; i++) {
		for (size_t k = 0; k <= ARRAY_SIZE(values); k++) {
			memcpy(fake_dt.blob, whole, len_bytes);
			fake_dt.bus[0].u.dt.len_bytes = len_bytes;
			if (k == ARRAY_SIZE(values))
				fake_dt.bus[0].u.dt.len_bytes = i;
			else
				fake_dt.blob[i] = values[k];
			if (fake_dt_open(NULL, &ob, &machine) != 0) {
				refused++;
				continue;
			}
			opened++;
			fake_dt_close(ob, machine);
		}
	}
	assert_true(refused > len_bytes && opened > len_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_are_enabled_nodes_with_registers),
		cmocka_unit_test(test_properties_are_there_to_be_read),
		cmocka_unit_test(test_names_are_the_nodes_and_one_each),
		cmocka_unit_test(test_parents_are_devices),
		cmocka_unit_test(test_addresses_are_handed_on_by_buses),
		cmocka_unit_test(test_addresses_that_no_cpu_sees),
		cmocka_unit_test(test_cells_have_defaults),
		cmocka_unit_test(test_interrupts_of_a_gic),
		cmocka_unit_test(test_interrupts_find_their_controller),
		cmocka_unit_test(test_limits_hold),
		cmocka_unit_test(test_names_that_are_no_text_are_passed_over),
		cmocka_unit_test(test_what_is_no_tree_is_refused),
		cmocka_unit_test(test_broken_trees_are_borne),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
