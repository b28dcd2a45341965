/* SPDX-License-Identifier: BSD-2-Clause */
/* The q35 chipset as firmware would set it up. Registers: Intel 82Q35 datasheet (316966) §5.1, and ivshmem-spec. */
#include <errno.h>

#include "base/bits.h"
#include "machine/qemu/command_line.h"
#include "machine/qemu/host.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

#define PCI_IDS              0x00
#define PCI_COMMAND          0x04
#define PCI_COMMAND_MEMORY   BIT(1)
#define PCI_BAR0             0x10
#define MCH_IDS              0x29c08086u
#define MCH_PCIEXBAR         0x60 /* RW 8B: base, 256 MiB (length 0), bit 0 enables */
#define MCH_PCIEXBAR_ENABLE  BIT(0)
#define IVSHMEM_IDS          0x11101af4u
#define IVSHMEM_BAR0_ADDRESS 0xfe000000u

#define ECAM_BASE   0xb0000000ull
#define MEM32_BASE  0xc0000000ull
#define MEM64_BASE  (256 * OB_GIB)
#define MEM64_BYTES (256 * OB_GIB)
#define IO_BASE     0x1000ull /* below are the chipset's own ports */
#define IO_END      0x10000ull

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

int qemu_host_init(struct qtest *q)
{
	uint32_t ids = config_read(q, 0, PCI_IDS);

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

int qemu_host_map_doorbell(struct qtest *q, uint64_t *bar)
{
	uint32_t ids = config_read(q, QEMU_DOORBELL_SLOT, PCI_IDS);

	if (qemu_life_over(q->life))
		return -ENODEV;
	if (ids != IVSHMEM_IDS)
		return -ENOENT;
	config_write(q, QEMU_DOORBELL_SLOT, PCI_BAR0, IVSHMEM_BAR0_ADDRESS);
	config_write(q, QEMU_DOORBELL_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY);
	*bar = IVSHMEM_BAR0_ADDRESS;
	return qtest_flush(q);
}

void qemu_host_describe(struct machine_pci_host *out, bool doorbell)
{
	static const uint16_t hidden[] = {QEMU_DOORBELL_SLOT << 3};

	*out = (struct machine_pci_host){
		.bus_first = 0,
		.bus_last = 255,
		.ecam_base = ECAM_BASE,
		.has_cf8 = true,
		.io = {IO_BASE, IO_END - IO_BASE},
		.mem32 = {MEM32_BASE, IVSHMEM_BAR0_ADDRESS - MEM32_BASE},
		.mem64 = {MEM64_BASE, MEM64_BYTES},
		.hidden = hidden,
		.hidden_count = doorbell ? ARRAY_SIZE(hidden) : 0,
	};
}
