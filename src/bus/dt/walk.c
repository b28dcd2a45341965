/* SPDX-License-Identifier: BSD-2-Clause */
/* A walk through a device tree that knows what lies above each node: the tree itself leads downwards only. */
#include <errno.h>
#include <libfdt.h>
#include <string.h>

#include "bus/dt/dt.h"

/* DT §2.3.5, the defaults. */
#define ADDRESS_CELLS 2
#define SIZE_CELLS    1

uint32_t dt_cell(const void *blob, int node, const char *name, uint32_t otherwise)
{
	int len;
	const void *p = fdt_getprop(blob, node, name, &len);

	return p != NULL && len == sizeof(fdt32_t) ? fdt32_ld(p) : otherwise;
}

static bool is_text(const char *value, int len, const char *text)
{
	return (size_t)len == strlen(text) + 1 && memcmp(value, text, (size_t)len) == 0;
}

/* DT §2.3.4; "ok" is of old. */
static bool is_off(const void *blob, int node)
{
	int len;
	const char *status = fdt_getprop(blob, node, "status", &len);

	return status != NULL && !is_text(status, len, "okay") && !is_text(status, len, "ok");
}

int dt_walk(struct dt_walk *w, int (*fn)(struct dt_walk *w))
{
	const void *blob = w->host->blob;
	int depth = 0, off = -1, ret = 0; /* off: the depth of a disabled node that we are in; -1: none */

	for (int node = 0; ret == 0 && node >= 0 && depth >= 0; node = fdt_next_node(blob, node, &depth)) {
		struct dt_level *level;

		if (off >= 0 && depth > off)
			continue;
		off = is_off(blob, node) ? depth : -1;
		if (depth >= DT_DEPTH_MAX) {
			w->too_deep = true;
			continue;
		}
		if (off >= 0)
			continue;
		w->depth = (unsigned)depth;
		level = &w->level[depth];
		*level = (struct dt_level){
			.node = node,
			.name = fdt_get_name(blob, node, NULL),
			.address_cells = dt_cell(blob, node, "#address-cells", ADDRESS_CELLS),
			.size_cells = dt_cell(blob, node, "#size-cells", SIZE_CELLS),
			.dev = depth > 0 ? level[-1].dev : NULL,
		};
		level->ranges = fdt_getprop(blob, node, "ranges", &level->ranges_bytes);
		level->controller = dt_children_interrupt(w);
		ret = fn(w);
	}
	return ret;
}

size_t dt_path(const struct dt_walk *w, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 1; i <= w->depth; i++) {
		size_t name_len = strlen(w->level[i].name);

		if (len + 1 + name_len >= size)
			return 0;
		out[len++] = '/';
		memcpy(out + len, w->level[i].name, name_len + 1);
		len += name_len;
	}
	return len;
}
