/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of a device tree: each node that is not disabled, says what it is compatible with, and has registers that CPUs
 * see. What has none of these is no device here: timers of a CPU, clocks, what hangs on a bus of its own kind.
 */
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "bus/dt/dt.h"
#include "core/machine_core.h"

/* ---- hosts ---- */

void dt_host_put(struct dt_host *host)
{
	if (__atomic_sub_fetch(&host->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	ob_free(host->blob);
	ob_free(host);
}

static int host_create(struct ob_machine *machine, const struct machine_bus *bus, struct dt_host **out)
{
	size_t len_bytes = bus->u.dt.len_bytes;
	struct dt_host *host;
	int bad;

	if (len_bytes > DT_BLOB_MAX) {
		ob_err(ob_machine_context(machine), "dt: a tree of %zu bytes is too large", len_bytes);
		return -EINVAL;
	}
	host = ob_alloc(sizeof(*host));
	if (host == NULL)
		return -ENOMEM;
	host->blob = ob_alloc(MAX(len_bytes, sizeof(struct fdt_header)));
	if (host->blob == NULL) {
		ob_free(host);
		return -ENOMEM;
	}
	host->refs = 1;
	host->ob = ob_machine_context(machine);
	host->source = bus->u.dt.blob;
	memcpy(host->blob, bus->u.dt.blob, len_bytes);
	bad = fdt_check_full(host->blob, len_bytes);
	if (bad != 0) {
		ob_err(host->ob, "dt: not a device tree: %s", fdt_strerror(bad));
		dt_host_put(host);
		return -EINVAL;
	}
	*out = host;
	return 0;
}

/* ---- devices ---- */

/* The node's own name, made to fit and to be the only one of the machine. */
static void name_device(struct ob_machine *machine, const struct dt_walk *w, char *out, size_t size)
{
	const char *name = w->level[w->depth].name;
	struct ob_device *same;

	snprintf(out, size, "%s", name);
	same = ob_device_find(machine, out);
	if (same == NULL && strlen(name) < size)
		return;
	if (same != NULL)
		ob_device_put(same);
	snprintf(out, size, "%.*s~%d", (int)size - 12, name, w->level[w->depth].node);
}

/* It is shown to people, and stands in JSON. */
static bool is_text(const char *s)
{
	while (*s > ' ' && *s < 0x7f)
		s++;
	return *s == '\0';
}

static void read_node(struct dt_device *d, const struct dt_walk *w)
{
	const void *blob = w->host->blob;

	for (unsigned i = 0, count = 0; count < DT_COMPATIBLES_MAX && i < DT_STRINGS_MAX; i++) {
		const char *compatible = fdt_stringlist_get(blob, d->node, "compatible", (int)i, NULL);

		if (compatible == NULL)
			break;
		if (is_text(compatible))
			d->compatible[count++] = compatible;
	}
	while (d->region_count < DT_REGIONS_MAX && dt_reg(w, d->region_count, &d->range[d->region_count]) != -ENOENT)
		d->region_count++;
	while (d->interrupt_count < DT_INTERRUPTS_MAX &&
	       dt_interrupt_at(w, d->interrupt_count, &d->interrupt[d->interrupt_count]) != -ENOENT) {
		d->interrupt_count++;
		/* Behind one that is not understood there is no next. */
		if (d->interrupt[d->interrupt_count - 1].controller == NULL)
			break;
	}
}

static bool is_device(const struct dt_walk *w)
{
	int node = w->level[w->depth].node, ret = -ENXIO;
	struct dt_range range;
	const char *first;

	first = w->depth > 0 ? fdt_stringlist_get(w->host->blob, node, "compatible", 0, NULL) : NULL;
	if (first == NULL || first[0] == '\0' || !is_text(first))
		return false;
	for (unsigned i = 0; i < DT_REGIONS_MAX && ret == -ENXIO; i++)
		ret = dt_reg(w, i, &range);
	return ret == 0;
}

static int add_device(struct dt_walk *w)
{
	struct dt_level *level = &w->level[w->depth];
	struct ob_machine *machine = w->arg;
	struct dt_device *d;
	char name[sizeof(d->dev.name)], path[DT_PATH_MAX];
	size_t path_len;
	int rc;

	if (!is_device(w))
		return 0;
	path_len = dt_path(w, path, sizeof(path));
	if (!is_text(path))
		return 0;
	if (path_len == 0 || w->host->device_count == DT_DEVICES_MAX) {
		w->too_deep = true;
		return 0;
	}
	name_device(machine, w, name, sizeof(name));
	d = ob_alloc(sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->path = ob_alloc(path_len + 1);
	if (d->path == NULL) {
		ob_free(d);
		return -ENOMEM;
	}
	memcpy(d->path, path, path_len + 1);
	device_init(&d->dev, &dt_bus_ops, machine, level->dev != NULL ? &level->dev->dev : NULL, name);
	d->host = w->host;
	__atomic_fetch_add(&w->host->refs, 1, __ATOMIC_RELAXED);
	d->node = level->node;
	read_node(d, w);
	rc = device_add(&d->dev);
	if (rc != 0) {
		ob_device_put(&d->dev);
		return rc;
	}
	w->host->device_count++;
	level->dev = d;
	ob_debug(w->host->ob, "dt %s: %s", d->path, d->compatible[0]);
	return 0;
}

/* A tree is what it is: the first look is the last one. */
static int dt_scan(struct ob_machine *machine, const struct machine_bus *bus)
{
	void **slot = machine_bus_data(machine, MACHINE_BUS_DT);
	struct dt_host *host = *slot;
	struct dt_walk *w;
	int rc;

	if (host != NULL) {
		if (host->source != bus->u.dt.blob)
			ob_warn(host->ob, "dt: a machine has one tree; another one is not looked at");
		return 0;
	}
	rc = host_create(machine, bus, &host);
	if (rc != 0)
		return rc;
	*slot = host;
	w = ob_alloc(sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->host = host;
	w->arg = machine;
	rc = dt_walk(w, dt_controller_add);
	if (rc == 0)
		rc = dt_walk(w, add_device);
	if (w->too_deep)
		ob_warn(host->ob, "dt: the tree is deeper or larger than what is looked at");
	ob_free(w);
	return rc;
}

static void dt_forget(struct ob_machine *machine)
{
	void **slot = machine_bus_data(machine, MACHINE_BUS_DT);

	if (*slot != NULL)
		dt_host_put(*slot);
	*slot = NULL;
}

const struct bus_type dt_bus_type = {.kind = MACHINE_BUS_DT, .scan = dt_scan, .forget = dt_forget};
