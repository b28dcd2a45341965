/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices a model machine has, from a device tree.
 *
 * The tree has a node compatible with "outboard,pci-host"; below it are "outboard,pcie-root-port", "outboard,virtio-blk",
 * "outboard,virtio-net" and "outboard,nvme", and below that "outboard,nvme-namespace". docs/MODEL.md has the bindings.
 */
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

struct tree {
	struct model_machine *mm;
	const void *blob;
	const char *path; /* of the file, for messages */
	unsigned nvme_count, vblk_count, vnet_count, port_count;
};

/* ---- properties ---- */

static int OB_PRINTF(3, 4) complain(const struct tree *t, int node, const char *format, ...)
{
	char where[128] = "?", what[MODEL_WHY_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	fdt_get_path(t->blob, node, where, sizeof(where));
	ob_err(t->mm->machine.ob, "model: %s: %s: %s", t->path, where, what);
	return -EINVAL;
}

static bool has(const struct tree *t, int node, const char *property)
{
	return fdt_getprop(t->blob, node, property, NULL) != NULL;
}

/* One or two cells. -ENOENT: there is no such property, and @out stays. */
static int number(const struct tree *t, int node, const char *property, uint64_t *out)
{
	int len;
	const fdt32_t *cells = fdt_getprop(t->blob, node, property, &len);

	if (cells == NULL)
		return -ENOENT;
	if (len != 4 && len != 8)
		return complain(t, node, "%s: a number of one or two cells is needed", property);
	*out = fdt32_to_cpu(cells[0]);
	if (len == 8)
		*out = *out << 32 | fdt32_to_cpu(cells[1]);
	return 0;
}

/* A number in a range; what is not there is as it was. */
static int number_in(const struct tree *t, int node, const char *property, uint64_t min, uint64_t max, uint64_t *value)
{
	int ret = number(t, node, property, value);

	if (ret == -ENOENT)
		return 0;
	if (ret == 0 && (*value < min || *value > max))
		return complain(t, node, "%s: a number from %" PRIu64 " to %" PRIu64 " is needed", property, min, max);
	return ret;
}

static const char *text(const struct tree *t, int node, const char *property)
{
	int len;
	const char *value = fdt_getprop(t->blob, node, property, &len);

	return value != NULL && len > 0 && value[len - 1] == '\0' ? value : NULL;
}

static void text_copy(const struct tree *t, int node, const char *property, char *to, size_t len)
{
	const char *value = text(t, node, property);

	if (value != NULL)
		snprintf(to, len, "%s", value);
}

enum kind {
	NUMBER,
	TEXT,
	SWITCH
};

struct property {
	const char *name;
	enum kind kind;
	unsigned len_max; /* of a text */
};

static const struct property host_properties[] = {{NULL, NUMBER, 0}};
static const struct property port_properties[] = {{"slot-number", NUMBER, 0}, {NULL, NUMBER, 0}};

/* … besides model_settings_nvme[] */
static const struct property nvme_properties[] = {
	{"serial", TEXT, 20},
	{"model-name", TEXT, 40},
	{"firmware", TEXT, 8},
	{"no-sgl", SWITCH, 0},
	{"no-shadow-doorbells", SWITCH, 0},
	{"no-write-cache", SWITCH, 0},
	{"no-namespace-management", SWITCH, 0},
	{"no-compare", SWITCH, 0},
	{"no-write-zeroes", SWITCH, 0},
	{"no-dataset-management", SWITCH, 0},
	{"threaded", SWITCH, 0},
	{"absent", SWITCH, 0},
	{"retain-state", SWITCH, 0},
	{"legacy-cmb", SWITCH, 0},
	{NULL, NUMBER, 0},
};

static const struct property namespace_properties[] = {
	{"size", NUMBER, 0},        {"block-size", NUMBER, 0}, {"file", TEXT, 4095},     {"null", SWITCH, 0},
	{"filled", SWITCH, 0},      {"create", SWITCH, 0},     {"read-only", SWITCH, 0}, {"detached", SWITCH, 0},
	{"lossy-cache", SWITCH, 0}, {NULL, NUMBER, 0},
};

/* … besides model_settings_vblk[] */
static const struct property vblk_properties[] = {
	{"serial", TEXT, 20},
	{"packed", SWITCH, 0},
	{"in-order", SWITCH, 0},
	{"notification-data", SWITCH, 0},
	{"notify-config-data", SWITCH, 0},
	{"queue-reset", SWITCH, 0},
	{"no-indirect", SWITCH, 0},
	{"no-event-index", SWITCH, 0},
	{"no-flush", SWITCH, 0},
	{"no-config-wce", SWITCH, 0},
	{"write-through", SWITCH, 0},
	{"no-discard", SWITCH, 0},
	{"no-write-zeroes", SWITCH, 0},
	{"no-lifetime", SWITCH, 0},
	{"no-topology", SWITCH, 0},
	{"threaded", SWITCH, 0},
	{"absent", SWITCH, 0},
	{"retain-state", SWITCH, 0},
	{"size", NUMBER, 0},
	{"block-size", NUMBER, 0},
	{"file", TEXT, 4095},
	{"null", SWITCH, 0},
	{"filled", SWITCH, 0},
	{"create", SWITCH, 0},
	{"read-only", SWITCH, 0},
	{"lossy-cache", SWITCH, 0},
	{NULL, NUMBER, 0},
};

/* … besides model_settings_vnet[] */
static const struct property vnet_properties[] = {
	{"cable", TEXT, 31},
	{"mac", TEXT, 17},
	{"packed", SWITCH, 0},
	{"in-order", SWITCH, 0},
	{"notification-data", SWITCH, 0},
	{"notify-config-data", SWITCH, 0},
	{"queue-reset", SWITCH, 0},
	{"no-indirect", SWITCH, 0},
	{"no-event-index", SWITCH, 0},
	{"no-checksums", SWITCH, 0},
	{"no-segments", SWITCH, 0},
	{"no-mergeable", SWITCH, 0},
	{"no-status", SWITCH, 0},
	{"no-rss", SWITCH, 0},
	{"no-steering", SWITCH, 0},
	{"no-vlan-filter", SWITCH, 0},
	{"no-control", SWITCH, 0},
	{"threaded", SWITCH, 0},
	{"absent", SWITCH, 0},
	{"retain-state", SWITCH, 0},
	{NULL, NUMBER, 0},
};

/* What any node may have; dtc wants the last three of a bridge, and they say nothing that the model could follow. */
static bool is_common(const char *name)
{
	static const char *const common[] = {"reg",    "compatible", "phandle",     "linux,phandle", "name",
					     "ranges", "bus-range",  "device_type", "status"};

	for (unsigned i = 0; i < ARRAY_SIZE(common); i++)
		if (strcmp(name, common[i]) == 0)
			return true;
	return *name == '#';
}

static int check_property(const struct tree *t, int node, const struct property *p, const char *value, int len)
{
	if (p->kind == SWITCH && len != 0)
		return complain(t, node, "%s: it is a switch and has no value; without it, it is off", p->name);
	if (p->kind == TEXT &&
	    (len < 1 || strnlen(value, (size_t)len) != (size_t)len - 1 || (unsigned)len - 1 > p->len_max))
		return complain(t, node, "%s: a text of at most %u characters is needed", p->name, p->len_max);
	return 0;
}

/* Does the binding have all that the node has? @settings: numbers that it may have too, or NULL. */
static int check_properties(const struct tree *t, int node, const struct property *list,
			    const struct model_setting *settings)
{
	int at, ret;

	fdt_for_each_property_offset(at, t->blob, node)
	{
		const struct property *p = list;
		const char *name;
		int len;
		const char *value = fdt_getprop_by_offset(t->blob, at, &name, &len);

		if (value == NULL)
			return complain(t, node, "it cannot be read");
		if (is_common(name) || (settings != NULL && model_setting_find(settings, NULL, name) != NULL))
			continue;
		while (p->name != NULL && strcmp(p->name, name) != 0)
			p++;
		if (p->name == NULL)
			return complain(t, node, "%s: there is no such property (see docs/MODEL.md)", name);
		ret = check_property(t, node, p, value, len);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static bool is(const struct tree *t, int node, const char *compatible)
{
	return fdt_node_check_compatible(t->blob, node, compatible) == 0;
}

/* The node's status says that it is not to be used. */
static bool is_off(const struct tree *t, int node)
{
	const char *status = text(t, node, "status");

	return status != NULL && strcmp(status, "okay") != 0 && strcmp(status, "ok") != 0;
}

/* Slot and function from the first cell of "reg" (IEEE 1275 PCI binding: bus 23:16, device 15:11, function 10:8). */
static int devfn_of(const struct tree *t, int node, uint8_t *devfn)
{
	int len;
	const fdt32_t *cells = fdt_getprop(t->blob, node, "reg", &len);

	if (cells == NULL || len < 4)
		return complain(t, node, "reg is missing");
	*devfn = (uint8_t)(fdt32_to_cpu(cells[0]) >> 8);
	return 0;
}

/* A function of the bus that nobody has yet; and only one slot is behind a port (PCIe §7.3.1). */
static int take_function(const struct tree *t, int node, const struct model_pci_bus *bus, uint8_t *devfn)
{
	int ret = devfn_of(t, node, devfn);
	unsigned slot = FIELD_GET(PCI_BDF_SLOT, *devfn), function = FIELD_GET(PCI_BDF_FUNCTION, *devfn);

	if (ret != 0)
		return ret;
	if (bus->bridge != NULL && slot != 0)
		return complain(t, node, "reg: slot %u: behind a port there is slot 0 only", slot);
	list_for_each (at, &bus->functions) {
		const struct model_pci *other = list_entry(at, struct model_pci, link);

		if (other->devfn == *devfn)
			return complain(t, node, "reg: slot %u, function %u is taken by %s", slot, function,
					container_of(other, struct model_device, pci)->name);
	}
	return 0;
}

/* Nobody looks for other functions where function 0 is not. */
static int check_functions(const struct tree *t, int node, const struct model_pci_bus *bus)
{
	list_for_each (at, &bus->functions) {
		const struct model_pci *f = list_entry(at, struct model_pci, link);
		bool first = false;

		list_for_each (other, &bus->functions)
			first |= list_entry(other, struct model_pci, link)->devfn == (f->devfn & ~7u);
		if (!first)
			return complain(t, node, "slot %u has a function %u and no function 0",
					FIELD_GET(PCI_BDF_SLOT, (unsigned)f->devfn),
					FIELD_GET(PCI_BDF_FUNCTION, (unsigned)f->devfn));
	}
	return 0;
}

/* ---- nodes ---- */

/* The namespace before @node that has the same id, or a negative number. */
static int twin_of(const struct tree *t, int node, uint64_t nsid)
{
	int child;

	fdt_for_each_subnode(child, t->blob, fdt_parent_offset(t->blob, node))
	{
		uint64_t other;

		if (child == node)
			return -FDT_ERR_NOTFOUND;
		if (number(t, child, "reg", &other) == 0 && other == nsid)
			return child;
	}
	return child;
}

/* What keeps the data, for namespaces and disks alike. */
static int read_data(const struct tree *t, int node, struct model_namespace_desc *out)
{
	struct model_namespace_desc ns = {
		.file = text(t, node, "file"),
		.null = has(t, node, "null"),
		.filled = has(t, node, "filled"),
		.create = has(t, node, "create"),
		.read_only = has(t, node, "read-only"),
		.detached = has(t, node, "detached"),
		.lossy_cache = has(t, node, "lossy-cache"),
	};
	uint64_t size = ns.file != NULL ? 0 : 64 * OB_MIB, block = 512;
	int ret = number_in(t, node, "size", 512, NVME_MODEL_CAPACITY_MAX, &size);

	if (ret == 0)
		ret = number_in(t, node, "block-size", 512, 4096, &block);
	if (ret != 0)
		return ret;
	if (block != 512 && block != 4096)
		return complain(t, node, "block-size: 512 or 4096 is needed");
	ns.len_bytes = size;
	ns.block_bytes = (uint32_t)block;
	*out = ns;
	return 0;
}

static int read_namespace(const struct tree *t, int node, uint32_t nsid_max, struct model_device *dev)
{
	struct model_namespace_desc ns;
	uint64_t nsid = 0;
	int ret = check_properties(t, node, namespace_properties, NULL), twin;
	char why[MODEL_WHY_LEN];

	if (ret == 0 && !has(t, node, "reg"))
		return complain(t, node, "reg is missing");
	if (ret == 0)
		ret = number_in(t, node, "reg", 1, nsid_max, &nsid);
	if (ret == 0)
		ret = read_data(t, node, &ns);
	if (ret != 0)
		return ret;
	twin = twin_of(t, node, nsid);
	if (twin >= 0)
		return complain(t, node, "reg: namespace %" PRIu64 " is %s already", nsid,
				fdt_get_name(t->blob, twin, NULL));
	ns.nsid = (uint32_t)nsid;
	ret = model_device_add_namespace(dev, &ns, why, sizeof(why));
	return ret == 0 ? 0 : complain(t, node, "%s", why), ret;
}

/* Numbers of a device's configuration. */
static int read_settings(const struct tree *t, int node, const struct model_setting *list, void *config)
{
	char why[MODEL_WHY_LEN];
	uint64_t value;

	for (const struct model_setting *s = list; s->property != NULL; s++) {
		int ret = number(t, node, s->property, &value);

		if (ret == -ENOENT)
			continue;
		if (ret != 0)
			return ret;
		if (model_setting_take(s, value, config) != 0) {
			model_setting_range(s, why, sizeof(why));
			return complain(t, node, "%s: %s", s->property, why);
		}
	}
	return 0;
}

static int read_config(const struct tree *t, int node, struct nvme_model_config *c)
{
	char why[MODEL_WHY_LEN];
	int ret = read_settings(t, node, model_settings_nvme, c);

	if (ret != 0)
		return ret;
	if (model_settings_agree(c, why, sizeof(why)) != 0)
		return complain(t, node, "%s", why);
	c->cmb_legacy = has(t, node, "legacy-cmb");
	c->retains = has(t, node, "retain-state");
	c->sgl = !has(t, node, "no-sgl");
	c->shadow_doorbells = !has(t, node, "no-shadow-doorbells");
	c->volatile_cache = !has(t, node, "no-write-cache");
	c->namespace_management = !has(t, node, "no-namespace-management");
	c->compare = !has(t, node, "no-compare");
	c->write_zeroes = !has(t, node, "no-write-zeroes");
	c->dataset_management = !has(t, node, "no-dataset-management");
	text_copy(t, node, "serial", c->serial, sizeof(c->serial));
	text_copy(t, node, "model-name", c->model, sizeof(c->model));
	text_copy(t, node, "firmware", c->firmware, sizeof(c->firmware));
	return 0;
}

static int read_nvme(struct tree *t, int node, struct model_pci_bus *bus)
{
	struct nvme_model_config config;
	struct model_device *dev;
	char name[MODEL_NAME_LEN];
	uint8_t devfn;
	int child, ret;

	nvme_model_config_default(&config);
	snprintf(config.serial, sizeof(config.serial), "OUTBOARD%04u", t->nvme_count + 1);
	ret = check_properties(t, node, nvme_properties, model_settings_nvme);
	if (ret == 0)
		ret = take_function(t, node, bus, &devfn);
	if (ret == 0)
		ret = read_config(t, node, &config);
	if (ret != 0)
		return ret;
	snprintf(name, sizeof(name), "nvme%u", t->nvme_count++);
	ret = model_device_create_nvme(t->mm, bus, devfn, name, &config, &dev);
	if (ret != 0)
		return complain(t, node, "%s", strerror(-ret));
	dev->threaded = has(t, node, "threaded");
	fdt_for_each_subnode(child, t->blob, node)
	{
		if (is_off(t, child))
			continue;
		if (!is(t, child, "outboard,nvme-namespace"))
			return complain(t, child, "is no outboard,nvme-namespace");
		ret = read_namespace(t, child, config.namespaces_max, dev);
		if (ret != 0)
			return ret;
	}
	model_device_ready(dev, !has(t, node, "absent"));
	return 0;
}

static uint64_t ring_features(const struct tree *t, int node, uint64_t features)
{
	static const char *const more[] = {"packed", "in-order", "notification-data", "notify-config-data",
					   "queue-reset"};

	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		if (has(t, node, more[i]))
			features |= model_ring_feature(more[i]);
	if (has(t, node, "no-indirect"))
		features &= ~model_ring_feature("indirect");
	if (has(t, node, "no-event-index"))
		features &= ~model_ring_feature("event-index");
	return features;
}

static int read_vblk(struct tree *t, int node, struct model_pci_bus *bus)
{
	struct vblk_model_config c;
	struct model_namespace_desc disk;
	struct model_device *dev;
	char name[MODEL_NAME_LEN], why[MODEL_WHY_LEN];
	uint8_t devfn;
	int ret;

	vblk_model_config_default(&c);
	snprintf(c.serial, sizeof(c.serial), "OUTBOARDV%04u", t->vblk_count + 1);
	ret = check_properties(t, node, vblk_properties, model_settings_vblk);
	if (ret == 0)
		ret = take_function(t, node, bus, &devfn);
	if (ret == 0)
		ret = read_settings(t, node, model_settings_vblk, &c);
	if (ret == 0)
		ret = read_data(t, node, &disk);
	if (ret != 0)
		return ret;
	c.ring_features = ring_features(t, node, c.ring_features);
	c.flush = !has(t, node, "no-flush");
	c.config_wce = !has(t, node, "no-config-wce");
	c.writeback = !has(t, node, "write-through");
	c.discard = !has(t, node, "no-discard");
	c.write_zeroes = !has(t, node, "no-write-zeroes");
	c.lifetime = !has(t, node, "no-lifetime");
	c.topology = !has(t, node, "no-topology");
	c.retains = has(t, node, "retain-state");
	c.read_only = disk.read_only;
	text_copy(t, node, "serial", c.serial, sizeof(c.serial));
	if (model_settings_agree_ring(c.ring_features, c.queue_size, why, sizeof(why)) != 0)
		return complain(t, node, "%s", why);
	snprintf(name, sizeof(name), "vblk%u", t->vblk_count++);
	ret = model_device_create_vblk(t->mm, bus, devfn, name, &c, &disk, &dev, why, sizeof(why));
	if (ret != 0)
		return complain(t, node, "%s", why), ret;
	dev->threaded = has(t, node, "threaded");
	model_device_ready(dev, !has(t, node, "absent"));
	return 0;
}

static int read_vnet_config(const struct tree *t, int node, struct vnet_model_config *c)
{
	const char *mac = text(t, node, "mac");
	char why[MODEL_WHY_LEN];
	int ret = read_settings(t, node, model_settings_vnet, c);

	if (ret != 0)
		return ret;
	if (mac != NULL && model_parse_mac(mac, c->mac) != 0)
		return complain(t, node, "mac: an address such as \"02:00:00:00:00:01\" is needed");
	for (const struct property *p = vnet_properties; p->name != NULL; p++)
		if (strncmp(p->name, "no-", 3) == 0 && has(t, node, p->name))
			c->without |= model_net_feature(p->name + 3);
	c->ring_features = ring_features(t, node, c->ring_features);
	c->retains = has(t, node, "retain-state");
	if (model_settings_agree_ring(c->ring_features, c->queue_size, why, sizeof(why)) != 0)
		return complain(t, node, "%s", why);
	return 0;
}

static int read_vnet(struct tree *t, int node, struct model_pci_bus *bus)
{
	const char *cable = text(t, node, "cable");
	const uint8_t mac[6] = {0x02, 0, 0, 0, 0, (uint8_t)(t->vnet_count + 1)};
	struct vnet_model_config c;
	struct model_device *dev;
	char name[MODEL_NAME_LEN];
	uint8_t devfn;
	int ret = check_properties(t, node, vnet_properties, model_settings_vnet);

	vnet_model_config_default(&c);
	memcpy(c.mac, mac, sizeof(c.mac));
	if (ret == 0)
		ret = take_function(t, node, bus, &devfn);
	if (ret == 0)
		ret = read_vnet_config(t, node, &c);
	if (ret != 0)
		return ret;
	snprintf(name, sizeof(name), "vnet%u", t->vnet_count++);
	ret = model_device_create_vnet(t->mm, bus, devfn, name, &c, cable != NULL ? cable : "", &dev);
	if (ret != 0)
		return complain(t, node, "%s", strerror(-ret)), ret;
	dev->threaded = has(t, node, "threaded");
	model_device_ready(dev, !has(t, node, "absent"));
	return 0;
}

/* A device on @bus. 1: it is none that there is. */
static int read_device(struct tree *t, int node, struct model_pci_bus *bus)
{
	if (is(t, node, "outboard,nvme"))
		return read_nvme(t, node, bus);
	if (is(t, node, "outboard,virtio-blk"))
		return read_vblk(t, node, bus);
	if (is(t, node, "outboard,virtio-net"))
		return read_vnet(t, node, bus);
	return 1;
}

static int read_port(struct tree *t, int node)
{
	uint64_t slot_number = t->port_count + 1;
	struct model_device *port;
	char name[MODEL_NAME_LEN];
	uint8_t devfn;
	int child, ret = check_properties(t, node, port_properties, NULL);

	if (ret == 0)
		ret = take_function(t, node, &t->mm->root.bus, &devfn);
	if (ret == 0)
		ret = number_in(t, node, "slot-number", 0, 8191, &slot_number);
	if (ret != 0)
		return ret;
	snprintf(name, sizeof(name), "port%u", t->port_count++);
	ret = model_device_create_port(t->mm, devfn, (uint16_t)slot_number, name, &port);
	if (ret != 0)
		return complain(t, node, "%s", strerror(-ret));
	fdt_for_each_subnode(child, t->blob, node)
	{
		if (is_off(t, child))
			continue;
		ret = read_device(t, child, &port->pci.secondary);
		if (ret > 0)
			return complain(t, child, "is no device that can be behind a port");
		if (ret != 0)
			return ret;
	}
	return check_functions(t, node, &port->pci.secondary);
}

static int read_tree(struct tree *t)
{
	int host = fdt_node_offset_by_compatible(t->blob, -1, "outboard,pci-host"), child, ret;

	if (host < 0) {
		ob_err(t->mm->machine.ob, "model: %s: no node is compatible with \"outboard,pci-host\"", t->path);
		return -EINVAL;
	}
	ret = check_properties(t, host, host_properties, NULL);
	if (ret != 0)
		return ret;
	fdt_for_each_subnode(child, t->blob, host)
	{
		if (is_off(t, child))
			continue;
		if (is(t, child, "outboard,pcie-root-port"))
			ret = read_port(t, child);
		else
			ret = read_device(t, child, &t->mm->root.bus);
		if (ret > 0)
			ret = complain(t, child, "is neither outboard,pcie-root-port nor a device");
		if (ret != 0)
			return ret;
	}
	return check_functions(t, host, &t->mm->root.bus);
}

int model_tree(struct model_machine *mm, const char *path, uint64_t deadline_ns)
{
	struct tree t = {.mm = mm, .path = path};
	void *blob;
	int ret = model_tree_read(mm->machine.ob, path, deadline_ns, &blob);

	if (ret != 0)
		return ret;
	t.blob = blob;
	ret = read_tree(&t);
	free(blob);
	return ret;
}
