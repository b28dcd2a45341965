/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine that is only memory; device addresses differ from the process's, so that a mix-up shows. */
#include "tests/ram_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "core/machine_core.h"

#define IOVA_FLIP 0x5000000000000000ull /* page bits are kept */

struct ram_device {
	struct ob_device dev; /* first */
	void *arg;
};

/* ---- the machine ---- */

static void ram_close(struct machine *m)
{
	free(m);
}

static const struct machine_bus *ram_buses(struct machine *m)
{
	static const struct machine_bus none = {.kind = MACHINE_BUS_END};

	return &none;
}

static int ram_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	align_bytes = MAX(align_bytes, (size_t)4096);
	out->len_bytes = ALIGN_UP(len_bytes, align_bytes);
	out->base = aligned_alloc(align_bytes, out->len_bytes);
	if (out->base == NULL)
		return -ENOMEM;
	memset(out->base, 0, out->len_bytes);
	out->iova = (uintptr_t)out->base ^ IOVA_FLIP;
	return 0;
}

static void ram_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	free(memory->base);
}

static const struct machine_ops ram_ops = {
	.close = ram_close,
	.buses = ram_buses,
	.dma_alloc = ram_dma_alloc,
	.dma_free = ram_dma_free,
};

static int ram_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		    struct machine **out)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->ops = &ram_ops;
	m->ob = ob;
	*out = m;
	return 0;
}

int ram_machine_open(struct ob *ob, struct ob_machine **out)
{
	static const struct machine_type type = {.scheme = "ram", .help = "memory only", .open = ram_open};

	return machine_open(ob, &type, "ram:", "", NULL, out);
}

/* ---- devices ---- */

static unsigned ram_match(struct ob_device *dev, const struct ob_match *match)
{
	return match->kind == OB_MATCH_DT && strcmp(match->compatible, RAM_COMPATIBLE) == 0;
}

static void ram_release(struct ob_device *dev)
{
	free(dev);
}

static const struct bus_ops ram_bus = {.name = "ram", .match = ram_match, .release = ram_release};
static const struct bus_ops ram_virtual_bus = {
	.name = "ram",
	.paravirtual = true,
	.match = ram_match,
	.release = ram_release,
};

static int add_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	int ret = device_add(dev);

	return ret != 0 ? ret : device_bind(dev, deadline_ns);
}

static int remove_task(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	device_remove(dev);
	return 0;
}

int ram_machine_add(struct ob_machine *machine, const char *name, void *arg, struct ob_device **out)
{
	struct ram_device *ram = calloc(1, sizeof(*ram));
	int ret;

	if (ram == NULL)
		return -ENOMEM;
	device_init(&ram->dev, &ram_bus, machine, NULL, name);
	ram->arg = arg;
	ret = machine_run_task(machine, &ram->dev, "ram-add", add_task, ob_deadline(10 * OB_NS_PER_S));
	if (ret == 0)
		*out = &ram->dev;
	else if (list_empty(&ram->dev.link)) /* nobody else has it yet */
		ob_device_put(&ram->dev);
	else
		ram_machine_remove(&ram->dev);
	return ret;
}

void ram_machine_remove(struct ob_device *dev)
{
	machine_run_task(dev->machine, dev, "ram-remove", remove_task, ob_deadline(60 * OB_NS_PER_S));
}

void *ram_device_arg(struct ob_device *dev)
{
	return container_of(dev, struct ram_device, dev)->arg;
}

void ram_device_make_paravirtual(struct ob_device *dev)
{
	dev->ops = &ram_virtual_bus;
}
