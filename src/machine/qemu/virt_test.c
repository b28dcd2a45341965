/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's Arm board: memory, ports, configuration space, and interrupts of PCI and of what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/bits.h"
#include "spec/pci.h"
#include "tests/qemu_raw.h"

#define WAIT_MS  2000
#define QUIET_MS 20

/* As the board's device tree gives them. */
#define GIC       0x08000000ull
#define UART      0x09000000ull /* a PL011, Arm DDI 0183 §3.2 */
#define UART_DR   0x00
#define UART_IMSC 0x38
#define UART_ICR  0x44
#define UART_TX   BIT(5)
#define UART_IRQ  33 /* SPI 1 */

#define EDU_RAISE 0x60
#define EDU_ACK   0x64

static void test_buses_are_pci_and_a_device_tree(void **state)
{
	const struct machine_bus *bus;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt"), 0);
	bus = r.m->ops->buses(r.m);
	assert_int_equal(bus[0].kind, MACHINE_BUS_PCI);
	assert_int_equal(bus[1].kind, MACHINE_BUS_DT);
	assert_int_equal(bus[2].kind, MACHINE_BUS_END);
	assert_memory_equal(bus[1].u.dt.blob, "\xd0\x0d\xfe\xed", 4);
	assert_true(bus[1].u.dt.len_bytes > 4096);
	raw_close(&r);
}

/* All of it is the devices' and ours, but for the tree; nothing that is given out touches that. */
static void test_memory_is_shared_and_the_tree_stays(void **state)
{
	struct machine_dma_memory memory, all;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt?mem=64M"), 0);
	assert_int_equal(r.m->ops->dma_alloc(r.m, 62 * OB_MIB, 0, &all), 0);
	assert_true(all.iova == 0x40000000 + 2 * OB_MIB);
	assert_int_equal(r.m->ops->dma_alloc(r.m, 4096, 0, &memory), -ENOMEM);
	memset(all.base, 0xa5, all.len_bytes);
	assert_int_equal(raw_read(&r, 0x40000000, 4), 0xedfe0dd0);
	assert_int_equal(raw_read(&r, all.iova, 4), 0xa5a5a5a5);
	raw_write(&r, all.iova + all.len_bytes - 4, 4, 0x01020304);
	assert_int_equal(r.m->ops->flush(r.m), 0);
	assert_memory_equal((uint8_t *)all.base + all.len_bytes - 4, "\4\3\2\1", 4);
	raw_close(&r);
}

static void test_large_memory_is_one_piece(void **state)
{
	struct machine_dma_memory memory;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt?mem=6G"), 0);
	assert_int_equal(r.m->ops->dma_alloc(r.m, 5 * OB_GIB, 0, &memory), 0);
	raw_write(&r, memory.iova + 5 * OB_GIB - 4, 4, 0x01020304);
	assert_int_equal(r.m->ops->flush(r.m), 0);
	assert_memory_equal((uint8_t *)memory.base + 5 * OB_GIB - 4, "\4\3\2\1", 4);
	raw_close(&r);
}

/* A serial port's scratch register: what is written is there. */
static void test_ports_are_those_of_its_pci_host(void **state)
{
	const unsigned function = 1 << 3;
	const uint64_t port = 0x1400;
	struct ob_region region;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt?device=pci-serial,addr=1"), 0);
	raw_config_write(&r, function, PCI_BAR(0), 4, (uint32_t)port | 1);
	raw_config_write(&r, function, PCI_COMMAND, 2, PCI_COMMAND_IO);
	r.m->ops->write(r.m, MACHINE_SPACE_PORT, port + 7, 1, 0x5a);
	assert_int_equal(r.m->ops->read(r.m, MACHINE_SPACE_PORT, port + 7, 1), 0x5a);
	assert_int_equal(r.m->ops->region_open(r.m, NULL, MACHINE_SPACE_PORT, port, 8, &region), 0);
	assert_int_equal(ob_mmio_read8(&region, 7), 0x5a);
	r.m->ops->region_close(r.m, &region);
	raw_close(&r);
}

static void uart_raise(struct raw *r)
{
	raw_write(r, UART + UART_IMSC, 4, UART_TX);
	raw_write(r, UART + UART_DR, 4, 'x');
}

static void test_line_of_a_device_that_is_not_pci(void **state)
{
	struct machine_intx line, shared, other;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt"), 0);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, UART_IRQ, &line), 0);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, UART_IRQ + 1, &other), 0);
	assert_false(raw_fired(line.fd, QUIET_MS));
	uart_raise(&r);
	assert_true(raw_fired(line.fd, WAIT_MS));
	assert_true(r.m->ops->intx_level(r.m, &line));
	/* Whoever comes now is told that it is up. */
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, UART_IRQ, &shared), 0);
	assert_true(raw_fired(shared.fd, WAIT_MS));
	raw_write(&r, UART + UART_ICR, 4, UART_TX);
	assert_false(r.m->ops->intx_level(r.m, &line));
	uart_raise(&r);
	assert_true(raw_fired(line.fd, WAIT_MS));
	assert_true(raw_fired(shared.fd, WAIT_MS));
	assert_false(raw_fired(other.fd, QUIET_MS));
	r.m->ops->intx_close(r.m, &line);
	r.m->ops->intx_close(r.m, &shared);
	raw_close(&r);
}

static void test_lines_that_there_are_not(void **state)
{
	struct machine_intx line;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt"), 0);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC + 0x1000, UART_IRQ, &line), -ENOENT);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, 31, &line), -ENOENT); /* of a CPU */
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, 32 + 256, &line), -ENOENT);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 32, 1, &line), -EINVAL);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 0, &line), -EINVAL);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 5, &line), -EINVAL);
	raw_close(&r);
	assert_int_equal(raw_open(&r, "virt?intx=off"), 0);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, UART_IRQ, &line), -EOPNOTSUPP);
	raw_close(&r);
	assert_int_equal(raw_open(&r, "q35"), 0);
	assert_int_equal(r.m->ops->line_open(r.m, NULL, GIC, UART_IRQ, &line), -EOPNOTSUPP);
	raw_close(&r);
}

/* A line for each slot's pin; and with more CPUs, the interrupt controller has another place among QEMU's objects. */
static void test_pins_of_every_slot(void **state)
{
	const uint32_t bar = 0x20000000;
	struct machine_intx line;
	struct raw r;

	assert_int_equal(raw_open(&r, "virt?device=edu,addr=1&device=edu,addr=2&device=edu,addr=3&device=edu,addr=4&"
				      "arg=-smp&arg=2"),
			 0);
	for (unsigned slot = 1; slot <= 4; slot++) {
		raw_place(&r, slot << 3, bar + slot * OB_MIB);
		assert_int_equal(r.m->ops->intx_open(r.m, NULL, slot, 1, &line), 0);
		assert_false(raw_fired(line.fd, QUIET_MS));
		raw_write(&r, bar + slot * OB_MIB + EDU_RAISE, 4, 1);
		assert_true(raw_fired(line.fd, WAIT_MS));
		raw_write(&r, bar + slot * OB_MIB + EDU_ACK, 4, 1);
		assert_false(r.m->ops->intx_level(r.m, &line));
		r.m->ops->intx_close(r.m, &line);
	}
	raw_close(&r);
}

static void test_messages_arrive(void **state)
{
	struct machine_msi msi[20];
	struct raw r;

	assert_int_equal(raw_open(&r, "virt"), 0);
	assert_int_equal(r.m->ops->msi_alloc(r.m, NULL, 20, false, msi), 0);
	for (unsigned i = 0; i < 20; i++) {
		raw_write(&r, msi[i].address, 4, msi[i].data);
		assert_true(raw_fired(msi[i].fd, WAIT_MS));
	}
	raw_close(&r);
}

static void test_other_board_is_refused(void **state)
{
	struct raw r;

	assert_int_equal(raw_open(&r, "virt?msi=off&arg=-machine&arg=sbsa-ref,accel=tcg"), -EINVAL);
	assert_true(raw_logged(&r, "not a virt") || raw_logged(&r, "QEMU refused its arguments"));
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buses_are_pci_and_a_device_tree),
		cmocka_unit_test(test_memory_is_shared_and_the_tree_stays),
		cmocka_unit_test(test_large_memory_is_one_piece),
		cmocka_unit_test(test_ports_are_those_of_its_pci_host),
		cmocka_unit_test(test_line_of_a_device_that_is_not_pci),
		cmocka_unit_test(test_lines_that_there_are_not),
		cmocka_unit_test(test_pins_of_every_slot),
		cmocka_unit_test(test_messages_arrive),
		cmocka_unit_test(test_other_board_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
