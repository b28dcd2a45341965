/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The q35: a PC. Registers: Intel 82Q35 datasheet (316966) §5.1.
 *
 *	0xb0000000  configuration space (ECAM), 256 MiB
 *	0xc0000000  BARs of 32 bits, up to the doorbell
 *	0xfe000000  the doorbell device's registers
 *	0x4000000000 BARs of 64 bits, 256 GiB: above all memory, below 2^39, which every IOMMU can express
 */
#include <errno.h>

#include "base/bits.h"
#include "machine/qemu/board.h"
#include "spec/pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

#define MCH_IDS             0x29c08086u
#define MCH_PCIEXBAR        0x60 /* RW 8B: base, 256 MiB (length 0), bit 0 enables */
#define MCH_PCIEXBAR_ENABLE BIT(0)

#define ECAM_BASE   0xb0000000ull
#define MEM32_BASE  0xc0000000ull
#define MEM64_BASE  (256 * OB_GIB)
#define MEM64_BYTES (256 * OB_GIB)
#define IO_BASE     0x1000ull /* below are the chipset's own ports */
#define IO_END      0x10000ull
#define DOORBELL    0xfe000000u

static uint32_t config_read(struct qtest *q, unsigned slot, unsigned offset)
{
	qtest_write(q, MACHINE_SPACE_PORT, CONFIG_ADDRESS, 4, CONFIG_ENABLE | slot << 11 | offset);
	return (uint32_t)qtest_read(q, MACHINE_SPACE_PORT, CONFIG_DATA, 4);
}

static void config_write(struct qtest *q, unsigned slot, unsigned offset, uint32_t value)
{
	qtest_write(q, MACHINE_SPACE_PORT, CONFIG_ADDRESS, 4, CONFIG_ENABLE | slot << 11 | offset);
	qtest_write(q, MACHINE_SPACE_PORT, CONFIG_DATA, 4, value);
}

static int init(struct qtest *q)
{
	uint32_t ids = config_read(q, 0, PCI_VENDOR_ID);

	if (qemu_life_over(q->life))
		return -ENODEV;
	if (ids != MCH_IDS)
		return -EINVAL;
	/* The enabling half last, so that no half-written address is ever decoded. */
	config_write(q, 0, MCH_PCIEXBAR, 0);
	config_write(q, 0, MCH_PCIEXBAR + 4, (uint32_t)(ECAM_BASE >> 32));
	config_write(q, 0, MCH_PCIEXBAR, (uint32_t)ECAM_BASE | MCH_PCIEXBAR_ENABLE);
	return qtest_flush(q);
}

static unsigned intx_input(unsigned slot, unsigned pin)
{
	unsigned index = pin - 1;

	/*
	 * ICH9 routes each slot's pin to one of eight PIRQs, and PIRQ A..H to the I/O APIC's inputs 16..23. QEMU's reset
	 * state of D25IR..D29IR and D31IR routes INTA..D to PIRQ A..D; slot 30, the PCI bridge of old, goes to PIRQ
	 * E..H; the others rotate through E..H.
	 */
	if (slot == 30)
		return 20 + index;
	if (slot >= 25)
		return 16 + index;
	return 20 + (slot + index) % 4;
}

const struct qemu_board qemu_q35 = {
	.name = "q35",
	.binary = "qemu-system-x86_64",
	.package = "qemu-system-x86",
	/* The timers of an idle PC would send interrupt lines all the time. */
	.machine = "q35,accel=tcg,pit=off,hpet=off",
	.has_rom = true,
	/* Room for PCI below 4 GiB: QEMU's pc_q35_init(), max-ram-below-4g at its default. */
	.memory =
		{
			.skip_bytes = OB_MIB,
			.low_max_bytes = 0xb0000000ull,
			.low_part_bytes = 0x80000000ull,
			.high_base = 4 * OB_GIB,
			.note_offset = 0x1000,
		},
	.init = init,
	.config_read = config_read,
	.config_write = config_write,
	.doorbell_bar = DOORBELL,
	.host =
		{
			.bus_first = 0,
			.bus_last = 255,
			.ecam_base = ECAM_BASE,
			.has_cf8 = true,
			.io = {IO_BASE, IO_END - IO_BASE},
			.mem32 = {MEM32_BASE, DOORBELL - MEM32_BASE},
			.mem64 = {MEM64_BASE, MEM64_BYTES},
		},
	.controller_path = "/machine/q35/ioapic",
	.intx_input = intx_input,
};
