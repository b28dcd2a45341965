/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QEMU machine: a board full of QEMU's devices, without a guest. Registers go over the qtest socket, memory is
 * shared, message interrupts arrive as eventfds through a doorbell device, lines are intercepted at the interrupt
 * controller.
 *
 * This file is the machine's interface; open.c brings it up and takes it down.
 */
#include <errno.h>
#include <unistd.h>

#include <outboard/log.h>

#include "machine/qemu/attach.h"
#include "machine/qemu/qemu.h"

static struct qemu *to_qemu(struct machine *m)
{
	return (struct qemu *)(void *)m;
}

static const struct machine_bus *qemu_buses(struct machine *m)
{
	return to_qemu(m)->buses;
}

/* Ports that are memory, where the board has no others. */
static void find_ports(const struct qemu *q, enum machine_space *space, uint64_t *address)
{
	if (*space == MACHINE_SPACE_PORT && q->uri.board->port_base != 0) {
		*space = MACHINE_SPACE_MEMORY;
		*address += q->uri.board->port_base;
	}
}

static uint64_t qemu_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	find_ports(to_qemu(m), &space, &address);
	return qtest_read(&to_qemu(m)->qtest, space, address, size_bytes);
}

static void qemu_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes,
		       uint64_t value)
{
	find_ports(to_qemu(m), &space, &address);
	qtest_write(&to_qemu(m)->qtest, space, address, size_bytes, value);
}

static int qemu_flush(struct machine *m)
{
	return qtest_flush(&to_qemu(m)->qtest);
}

static uint64_t memory_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return qtest_read(region->context, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes);
}

static void memory_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	qtest_write(region->context, MACHINE_SPACE_MEMORY, region->address + offset, size_bytes, value);
}

static uint64_t port_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return qtest_read(region->context, MACHINE_SPACE_PORT, region->address + offset, size_bytes);
}

static void port_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	qtest_write(region->context, MACHINE_SPACE_PORT, region->address + offset, size_bytes, value);
}

static void region_flush(const struct ob_region *region)
{
	(void)qtest_flush(region->context);
}

static const struct ob_region_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.flush = region_flush,
};

static const struct ob_region_ops port_ops = {
	.read = port_read,
	.write = port_write,
	.flush = region_flush,
};

static int qemu_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			    uint64_t len_bytes, struct ob_region *out)
{
	struct qemu *q = to_qemu(m);

	if (qemu_life_over(&q->life))
		return -ENODEV;
	find_ports(q, &space, &address);
	*out = (struct ob_region){
		.len_bytes = len_bytes,
		.ops = space == MACHINE_SPACE_PORT ? &port_ops : &memory_ops,
		.context = &q->qtest,
		.address = address,
		.dev = dev,
	};
	return 0;
}

static void qemu_region_close(struct machine *m, struct ob_region *region)
{
	*region = (struct ob_region){0};
}

static int qemu_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	return qemu_ram_alloc(&to_qemu(m)->ram, len_bytes, align_bytes, out);
}

static void qemu_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	qemu_ram_free(&to_qemu(m)->ram, memory);
}

static int qemu_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out)
{
	return -EOPNOTSUPP; /* QEMU sees its own memory only */
}

static int qemu_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous,
			  struct machine_msi *out)
{
	return ivshmem_alloc(&to_qemu(m)->ivshmem, count, contiguous, out);
}

static void qemu_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	ivshmem_free(&to_qemu(m)->ivshmem, count, msi);
}

static int qemu_intx_line_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin,
			       struct machine_intx *out)
{
	struct qemu *q = to_qemu(m);

	if (!q->uri.intx)
		return -EOPNOTSUPP;
	if (slot > 31 || pin < 1 || pin > 4)
		return -EINVAL;
	return qemu_intx_open(&q->intx, q->uri.board->intx_input(slot, pin), out);
}

static int qemu_line_open(struct machine *m, struct ob_device *dev, uint64_t controller, uint32_t number,
			  struct machine_intx *out)
{
	struct qemu *q = to_qemu(m);
	int input;

	if (!q->uri.intx || q->uri.board->line_input == NULL)
		return -EOPNOTSUPP;
	input = q->uri.board->line_input(controller, number);
	return input < 0 ? input : qemu_intx_open(&q->intx, (unsigned)input, out);
}

static void qemu_intx_line_close(struct machine *m, struct machine_intx *line)
{
	qemu_intx_close(&to_qemu(m)->intx, line);
}

static bool qemu_intx_line_level(struct machine *m, struct machine_intx *line)
{
	return qemu_intx_level(&to_qemu(m)->intx, line);
}

static int qemu_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns)
{
	return qmp_command(&to_qemu(m)->qmp, command, reply, deadline_ns);
}

const struct machine_ops qemu_machine_ops = {
	.shutdown = qemu_shutdown,
	.close = qemu_close,
	.buses = qemu_buses,
	.read = qemu_read,
	.write = qemu_write,
	.flush = qemu_flush,
	.region_open = qemu_region_open,
	.region_close = qemu_region_close,
	.dma_alloc = qemu_dma_alloc,
	.dma_free = qemu_dma_free,
	.dma_import = qemu_dma_import,
	.msi_alloc = qemu_msi_alloc,
	.msi_free = qemu_msi_free,
	.intx_open = qemu_intx_line_open,
	.line_open = qemu_line_open,
	.intx_close = qemu_intx_line_close,
	.intx_level = qemu_intx_line_level,
	.command = qemu_command,
};

const struct machine_type qemu_machine_type = {
	.scheme = "qemu",
	.help = "qemu:q35?nvme=FILE&device=...  devices of a QEMU that is started (or attach=DIR); virt: of its Arm "
		"board",
	.open = qemu_open,
	.attach_help = qemu_attach_help,
};
