/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: which controller a node's go to, which they are there (DT §2.4), and lines of the machine for them. */
#include <errno.h>
#include <libfdt.h>

#include "base/bits.h"
#include "bus/dt/dt.h"

#define CELLS_MAX 4

/* ---- what cells mean to a controller: Linux's Documentation/devicetree/bindings/interrupt-controller ---- */

#define GIC_SPI         0
#define GIC_PPI         1
#define GIC_FLAGS_EDGES BITS(1, 0) /* rising 1, falling 2; high 4, low 8 */

static int decode_gic(const uint32_t *cells, uint32_t *number, bool *edge)
{
	*edge = (cells[2] & GIC_FLAGS_EDGES) != 0;
	if (cells[0] == GIC_SPI && cells[1] < 1020 - 32) {
		*number = 32 + cells[1];
		return 0;
	}
	if (cells[0] == GIC_PPI && cells[1] < 16) {
		*number = 16 + cells[1];
		return 0;
	}
	return -EINVAL;
}

static int decode_plic(const uint32_t *cells, uint32_t *number, bool *edge)
{
	*number = cells[0];
	*edge = false;
	return cells[0] > 0 && cells[0] < 1024 ? 0 : -EINVAL;
}

static const struct dt_binding bindings[] = {
	{"arm,cortex-a7-gic", 3, decode_gic},  {"arm,cortex-a9-gic", 3, decode_gic},
	{"arm,cortex-a15-gic", 3, decode_gic}, {"arm,gic-400", 3, decode_gic},
	{"arm,gic-v3", 3, decode_gic},         {"sifive,plic-1.0.0", 1, decode_plic},
	{"riscv,plic0", 1, decode_plic},
};

static const struct dt_binding *binding_of(const void *blob, int node, unsigned cells)
{
	for (size_t i = 0; i < ARRAY_SIZE(bindings); i++)
		if (cells >= bindings[i].cells && fdt_node_check_compatible(blob, node, bindings[i].compatible) == 0)
			return &bindings[i];
	return NULL;
}

/* ---- controllers ---- */

int dt_controller_add(struct dt_walk *w)
{
	struct dt_host *host = w->host;
	int node = w->level[w->depth].node;
	uint32_t cells = dt_cell(host->blob, node, "#interrupt-cells", 0);
	struct dt_range range;

	if (fdt_getprop(host->blob, node, "interrupt-controller", NULL) == NULL || cells == 0 || cells > CELLS_MAX ||
	    host->controller_count == DT_CONTROLLERS_MAX)
		return 0;
	if (dt_reg(w, 0, &range) < 0)
		range.address = 0;
	host->controllers[host->controller_count++] = (struct dt_controller){
		.node = node,
		.phandle = fdt_get_phandle(host->blob, node),
		.cells = cells,
		.address = range.address,
		.binding = binding_of(host->blob, node, cells),
	};
	return 0;
}

static const struct dt_controller *find_phandle(const struct dt_host *host, uint32_t phandle)
{
	for (unsigned i = 0; i < host->controller_count && phandle != 0; i++)
		if (host->controllers[i].phandle == phandle)
			return &host->controllers[i];
	return NULL;
}

static const struct dt_controller *find_node(const struct dt_host *host, int node)
{
	for (unsigned i = 0; i < host->controller_count; i++)
		if (host->controllers[i].node == node)
			return &host->controllers[i];
	return NULL;
}

const struct dt_controller *dt_interrupt_parent(const struct dt_walk *w)
{
	const struct dt_level *level = &w->level[w->depth];
	const void *blob = w->host->blob;

	if (fdt_getprop(blob, level->node, "interrupt-parent", NULL) != NULL)
		return find_phandle(w->host, dt_cell(blob, level->node, "interrupt-parent", 0));
	return w->depth > 0 ? level[-1].controller : NULL;
}

/* A controller's children are its own unless they say otherwise; others' go where their parent's do. */
const struct dt_controller *dt_children_interrupt(const struct dt_walk *w)
{
	const struct dt_controller *self = find_node(w->host, w->level[w->depth].node);

	return self != NULL ? self : dt_interrupt_parent(w);
}

/* ---- a node's interrupts ---- */

static int decode(const struct dt_controller *c, const fdt32_t *p, struct dt_interrupt *out)
{
	uint32_t cells[CELLS_MAX];

	if (c->binding == NULL)
		return -ENXIO;
	for (unsigned i = 0; i < c->cells; i++)
		cells[i] = fdt32_ld(p + i);
	if (c->binding->decode(cells, &out->number, &out->edge) < 0)
		return -ENXIO;
	out->controller = c;
	return 0;
}

/* Each entry says which controller it is of; so they are as long as that one's are. */
static int extended_at(const struct dt_walk *w, const fdt32_t *p, unsigned left, unsigned index,
		       struct dt_interrupt *out)
{
	while (left > 0) {
		const struct dt_controller *c = find_phandle(w->host, fdt32_ld(p));

		/* What comes behind an unknown one cannot be told. */
		if (c == NULL || left - 1 < c->cells)
			return -ENXIO;
		if (index-- == 0)
			return decode(c, p + 1, out);
		p += 1 + c->cells;
		left -= 1 + c->cells;
	}
	return -ENOENT;
}

int dt_interrupt_at(const struct dt_walk *w, unsigned index, struct dt_interrupt *out)
{
	const void *blob = w->host->blob;
	int node = w->level[w->depth].node, len;
	const fdt32_t *p = fdt_getprop(blob, node, "interrupts-extended", &len);
	const struct dt_controller *c;

	*out = (struct dt_interrupt){0};
	if (p != NULL)
		return extended_at(w, p, (unsigned)len / sizeof(*p), index, out);
	p = fdt_getprop(blob, node, "interrupts", &len);
	if (p == NULL)
		return -ENOENT;
	c = dt_interrupt_parent(w);
	if (c == NULL)
		return -ENXIO;
	return (unsigned)len / sizeof(*p) / c->cells > index ? decode(c, p + index * c->cells, out) : -ENOENT;
}

/* ---- for core ---- */

static void close_lines(struct dt_device *d)
{
	struct machine *m = device_machine(&d->dev);

	while (d->line_count > 0) {
		d->line_count--;
		if (m->ops->intx_close != NULL)
			m->ops->intx_close(m, &d->line[d->line_count]);
	}
}

int dt_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, struct bus_irq_vectors *out)
{
	struct dt_device *d = dt_device_of(dev);
	struct machine *m = device_machine(dev);
	unsigned count = MIN(max, d->interrupt_count);
	uint32_t edges = 0;

	if (d->line_count != 0)
		return -EBUSY;
	if ((kinds & OB_IRQ_INTX) == 0 || count < min || m->ops->line_open == NULL)
		return -ENOSPC;
	for (unsigned i = 0; i < count; i++) {
		const struct dt_interrupt *irq = &d->interrupt[i];
		int rc = -ENOSPC;

		if (irq->controller != NULL)
			rc = m->ops->line_open(m, dev, irq->controller->address, irq->number, &d->line[i]);
		if (rc != 0) {
			close_lines(d);
			return rc;
		}
		d->fds[i] = d->line[i].fd;
		d->line_count++;
		edges |= irq->edge ? BIT(i) : 0;
	}
	*out = (struct bus_irq_vectors){.kind = OB_IRQ_INTX, .count = count, .fds = d->fds, .edges = edges};
	return 0;
}

void dt_irq_release(struct ob_device *dev)
{
	close_lines(dt_device_of(dev));
}

/* A line has no mask of its own here: core delivers nothing meanwhile, and looks at a level when it is unmasked. */
void dt_irq_mask(struct ob_device *dev, unsigned vector, bool mask)
{
}

bool dt_irq_level(struct ob_device *dev, unsigned vector)
{
	struct dt_device *d = dt_device_of(dev);
	struct machine *m = device_machine(dev);

	if (vector >= d->line_count || d->interrupt[vector].edge || m->ops->intx_level == NULL)
		return false;
	return m->ops->intx_level(m, &d->line[vector]);
}
