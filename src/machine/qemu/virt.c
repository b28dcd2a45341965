/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's `virt` for 64-bit Arm: what it has it describes in a device tree at the start of its memory. Its addresses, as
 * that tree gives them (QEMU's docs/system/arm/virt):
 *
 *	0x08000000  the interrupt controller, a GICv2
 *	0x0a000000  32 places for virtio devices
 *	0x10000000  BARs of 32 bits, up to the doorbell
 *	0x3e000000  the doorbell device's registers
 *	0x3eff0000  I/O ports, 64 KiB
 *	0x40000000  memory
 *	0x4010000000 configuration space (ECAM), 256 MiB
 *	0x8000000000 BARs of 64 bits, 512 GiB
 *
 * Its CPU is powered off and stays so.
 */
#include <errno.h>

#include "base/bits.h"
#include "machine/qemu/board.h"
#include "spec/pci.h"

#define GIC_BASE      0x08000000ull
#define MEM32_BASE    0x10000000ull
#define DOORBELL      0x3e000000u
#define PORT_BASE     0x3eff0000ull
#define PORT_BYTES    0x10000ull
#define PORT_FIRST    0x1000ull /* address 0 is none to bus/pci */
#define MEMORY_BASE   0x40000000ull
#define TREE_BYTES    OB_MIB /* QEMU's FDT_MAX_SIZE */
#define ECAM_BASE     0x4010000000ull
#define MEM64_BASE    0x8000000000ull
#define MEM64_BYTES   0x8000000000ull
#define HOST_BRIDGE   0x00081b36u
#define INTX_FIRST    3 /* SPIs 3 to 6 */
#define GIC_SPI_FIRST 32
#define GIC_SPI_COUNT 256

static uint64_t config_address(unsigned slot, unsigned offset)
{
	return ECAM_BASE | slot << 15 | offset;
}

static uint32_t config_read(struct qtest *q, unsigned slot, unsigned offset)
{
	return (uint32_t)qtest_read(q, MACHINE_SPACE_MEMORY, config_address(slot, offset), 4);
}

static void config_write(struct qtest *q, unsigned slot, unsigned offset, uint32_t value)
{
	qtest_write(q, MACHINE_SPACE_MEMORY, config_address(slot, offset), 4, value);
}

static int init(struct qtest *q)
{
	uint32_t ids = config_read(q, 0, PCI_VENDOR_ID);

	if (qemu_life_over(q->life))
		return -ENODEV;
	return ids == HOST_BRIDGE ? 0 : -EINVAL;
}

/* As the tree's interrupt-map says. */
static unsigned intx_input(unsigned slot, unsigned pin)
{
	return INTX_FIRST + (slot + pin - 1) % 4;
}

/* The GIC's inputs as QEMU counts them are the SPIs (GICv2 architecture specification, §2.2.1: from 32 on). */
static int line_input(uint64_t controller, uint32_t number)
{
	if (controller != GIC_BASE || number < GIC_SPI_FIRST || number >= GIC_SPI_FIRST + GIC_SPI_COUNT)
		return -ENOENT;
	return (int)(number - GIC_SPI_FIRST);
}

/* Without the second its places are for drivers of 2014. */
static const char *const args[] = {"-cpu", "cortex-a57,start-powered-off=on", "-global",
				   "virtio-mmio.force-legacy=false", NULL};

const struct qemu_board qemu_virt = {
	.name = "virt",
	.binary = "qemu-system-aarch64",
	.package = "qemu-system-arm",
	.args = args,
	.machine = "virt,accel=tcg,gic-version=2",
	.memory =
		{
			.base = MEMORY_BASE,
			.skip_bytes = 2 * TREE_BYTES,
			.low_max_bytes = UINT64_MAX,
			.high_base = UINT64_MAX,
			.note_offset = TREE_BYTES,
		},
	.port_base = PORT_BASE,
	.virtio_mmio = true,
	.tree_bytes = TREE_BYTES,
	.init = init,
	.config_read = config_read,
	.config_write = config_write,
	.doorbell_bar = DOORBELL,
	.host =
		{
			.bus_first = 0,
			.bus_last = 255,
			.ecam_base = ECAM_BASE,
			.io = {PORT_FIRST, PORT_BYTES - PORT_FIRST},
			.mem32 = {MEM32_BASE, DOORBELL - MEM32_BASE},
			.mem64 = {MEM64_BASE, MEM64_BYTES},
		},
	.controller_path = "/machine/unattached",
	.controller_type = "child<arm_gic>",
	.intx_input = intx_input,
	.line_input = line_input,
};
