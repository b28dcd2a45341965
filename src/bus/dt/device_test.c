/* SPDX-License-Identifier: BSD-2-Clause */
/* Drivers of a device tree's devices: who gets which, their registers, and interrupts by level and by edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/driver.h>
#include <outboard/dt.h>

#include "base/bits.h"
#include "tests/fake_dt.h"

#define L        FAKE_DT_LAST
#define EDGE_IRQ 40
#define HIGH_IRQ 41

static struct seen {
	int probe_error;
	unsigned probes;
	const struct ob_match *row;
	struct ob_region region;
	struct ob_irq *irqs[2];
	unsigned hard[2];
	bool hold; /* leave the level up */
} seen;

static enum ob_irq_result hard(void *arg)
{
	unsigned vector = (unsigned)(uintptr_t)arg;

	seen.hard[vector]++;
	if (!seen.hold)
		fake_dt_set(vector == 0 ? EDGE_IRQ : HIGH_IRQ, false);
	return OB_IRQ_HANDLED;
}

static int probe(struct ob_device *dev, const struct ob_match *row)
{
	enum ob_irq_kind kind;
	int count;

	seen.probes++;
	seen.row = row;
	if (seen.probe_error != 0)
		return seen.probe_error;
	assert_int_equal(ob_device_region(dev, 0, &seen.region), 0);
	assert_int_equal(ob_device_region(dev, 1, &seen.region), -ENXIO);
	assert_int_equal(ob_device_region(dev, 0, &seen.region), 0);
	assert_int_equal(ob_irq_alloc(dev, 1, 4, OB_IRQ_MSIX | OB_IRQ_MSI, &kind), -ENOSPC);
	assert_int_equal(ob_irq_alloc(dev, 3, 4, OB_IRQ_ANY, &kind), -ENOSPC);
	count = ob_irq_alloc(dev, 1, 4, OB_IRQ_ANY, &kind);
	if (count < 0)
		return count;
	assert_int_equal(count, 2);
	assert_int_equal(kind, OB_IRQ_INTX);
	for (unsigned i = 0; i < 2; i++) {
		struct ob_irq_config config = {.name = "test", .hard = hard, .arg = (void *)(uintptr_t)i};

		assert_int_equal(ob_irq_request(dev, i, &config, &seen.irqs[i]), 0);
	}
	return 0;
}

static void take_down(struct ob_device *dev)
{
	if (seen.probe_error != 0)
		return;
	for (unsigned i = 0; i < 2; i++)
		ob_irq_free(seen.irqs[i]);
	ob_irq_release(dev);
}

static const struct ob_match rows[] = {
	{.kind = OB_MATCH_DT, .compatible = "x,thing"},
	{.kind = OB_MATCH_DT, .compatible = "x,thing-2"},
	OB_MATCH_LAST,
};
static const struct ob_driver driver = {.name = "thing", .match = rows, .probe = probe, .remove = take_down};
static const struct ob_driver *const drivers[] = {&driver, NULL};

static void begin(void)
{
	memset(&seen, 0, sizeof(seen));
	fake_dt_begin(false);
	fake_dt_gic();
	fake_dt_node("thing@3000");
	fake_dt_text("compatible", "x,thing-2\0x,thing");
	fake_dt_cells("reg", 0, 0x3000, 0, 0x200, L);
	fake_dt_cells("interrupts", 0, EDGE_IRQ - 32, 1, 0, HIGH_IRQ - 32, 4, L);
	fake_dt_up();
	fake_dt_end();
}

static void turn(struct ob *ob)
{
	for (unsigned i = 0; i < 20; i++)
		ob_cpu_turn(ob_cpu_get(ob, 0), 0);
}

static void test_bound_by_the_most_exact_string_with_its_registers(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	begin();
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
	assert_int_equal(ob_device_state(fake_dt_device(machine, "thing@3000")), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_state(fake_dt_device(machine, "intc@8000000")), OB_DEVICE_FOUND);
	assert_ptr_equal(seen.row, &rows[1]);
	assert_int_equal(fake_dt.region_address, 0x3000);
	assert_int_equal(fake_dt.region_bytes, 0x200);
	assert_int_equal(fake_dt.regions_open, 1);
	assert_int_equal(ob_mmio_read32(&seen.region, 0x10), 0x3010);
	assert_int_equal(fake_dt.lines_open, 2);
	assert_int_equal(fake_dt.lines[0].controller, 0x8000000);
	/* What a tree tells of is fixed. */
	assert_int_equal(ob_machine_rescan(machine), 0);
	assert_int_equal(fake_dt_count(machine), 2);
	assert_int_equal(seen.probes, 1);
	fake_dt_close(ob, machine);
}

static void test_level_is_delivered_until_it_is_down(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	begin();
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
	fake_dt_set(HIGH_IRQ, true);
	turn(ob);
	assert_int_equal(seen.hard[1], 1);
	assert_int_equal(seen.hard[0], 0);
	seen.hold = true;
	fake_dt_set(HIGH_IRQ, true);
	turn(ob);
	assert_true(seen.hard[1] > 3);
	fake_dt_set(HIGH_IRQ, false);
	turn(ob);
	/* What came and went while it was masked is not there any more; what is still up is. */
	seen.hold = false;
	seen.hard[1] = 0;
	ob_irq_mask(seen.irqs[1]);
	fake_dt_set(HIGH_IRQ, true);
	turn(ob);
	assert_int_equal(seen.hard[1], 0);
	ob_irq_unmask(seen.irqs[1]);
	turn(ob);
	assert_int_equal(seen.hard[1], 1);
	fake_dt_close(ob, machine);
}

/* Once for each edge; its level is of no account, and one that came while it was masked is not lost. */
static void test_edge_is_delivered_once(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	begin();
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
	seen.hold = true;
	fake_dt_set(EDGE_IRQ, true);
	turn(ob);
	assert_int_equal(seen.hard[0], 1);
	fake_dt_set(EDGE_IRQ, false);
	ob_irq_mask(seen.irqs[0]);
	fake_dt_set(EDGE_IRQ, true);
	fake_dt_set(EDGE_IRQ, false);
	turn(ob);
	assert_int_equal(seen.hard[0], 1);
	ob_irq_unmask(seen.irqs[0]);
	turn(ob);
	assert_int_equal(seen.hard[0], 2);
	assert_int_equal(fake_dt.lines[0].asked, 0);
	fake_dt_close(ob, machine);
}

static void test_empty_place_is_no_failure(void **state)
{
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob *ob;

	begin();
	seen.probe_error = -ENOMEDIUM;
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
	dev = fake_dt_device(machine, "thing@3000");
	assert_int_equal(seen.probes, 1);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_FOUND);
	assert_int_equal(ob_device_error(dev), 0);
	assert_null(ob_device_driver_name(dev));
	assert_false(fake_dt_logged("thing"));
	/* Somebody may have put something into it. */
	assert_int_equal(ob_device_bind(dev), -ENOENT);
	seen.probe_error = 0;
	assert_int_equal(ob_device_bind(dev), 0);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_BOUND);
	fake_dt_close(ob, machine);
}

static void test_machine_without_lines_fails_the_driver(void **state)
{
	struct ob_machine *machine;
	struct ob *ob;

	begin();
	fake_dt.no_lines = true;
	assert_int_equal(fake_dt_open(drivers, &ob, &machine), 0);
	assert_int_equal(ob_device_state(fake_dt_device(machine, "thing@3000")), OB_DEVICE_FAILED);
	assert_true(fake_dt_logged("thing cannot drive it: Operation not supported"));
	fake_dt_close(ob, machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_by_the_most_exact_string_with_its_registers),
		cmocka_unit_test(test_level_is_delivered_until_it_is_down),
		cmocka_unit_test(test_edge_is_delivered_once),
		cmocka_unit_test(test_empty_place_is_no_failure),
		cmocka_unit_test(test_machine_without_lines_fails_the_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
