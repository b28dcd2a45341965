/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard devices: the tree of what was found, and what drives it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/dt.h>
#include <outboard/pci.h>
#include <outboard/virtio.h>

#include "cli/devices.h"
#include "cli/net.h"
#include "cli/options.h"
#include "cli/output.h"

static const char help[] =
	"usage: outboard devices [-v] [--json] [DEVICE...]\n"
	"\n"
	"Lists the machine's devices as a tree: address, kind, ids, driver, and what the driver "
	"published. Neighbours of\n"
	"one kind that nobody drives are one line.\n"
	"\n"
	"  outboard devices\n"
	"  outboard devices -v 0000:00:03.0     one PCI function in full, as lspci -vv shows it\n"
	"  outboard devices --json | jq -r '.devices[].name'\n"
	"\n"
	"  -v, --verbose   PCI functions in full, virtio devices, and what a device tree says of others\n"
	"      --json      for programs\n";

/* The devices, held, in the order of the tree; what is below a device follows it. */
struct found {
	struct ob_device **devices;
	unsigned *depths;
	unsigned count, capacity;
};

struct devices_options {
	bool full, json;
};

static const char *state_name(enum ob_device_state state)
{
	switch (state) {
	case OB_DEVICE_FOUND:
		return "found";
	case OB_DEVICE_PROBING:
		return "probing";
	case OB_DEVICE_BOUND:
		return "bound";
	case OB_DEVICE_SUSPENDED:
		return "suspended";
	case OB_DEVICE_FAILED:
		return "failed";
	case OB_DEVICE_REMOVING:
		return "removing";
	case OB_DEVICE_GONE:
		return "gone";
	}
	return "unknown";
}

static int found_add(struct found *f, struct ob_device *dev)
{
	if (f->count == f->capacity) {
		unsigned capacity = f->capacity ? 2 * f->capacity : 32;
		struct ob_device **devices = realloc(f->devices, capacity * sizeof(*devices));

		if (!devices)
			return -ENOMEM;
		f->devices = devices;
		f->capacity = capacity;
	}
	f->devices[f->count++] = ob_device_get(dev);
	return 0;
}

static void found_free(struct found *f)
{
	for (unsigned i = 0; i < f->count; i++)
		ob_device_put(f->devices[i]);
	free(f->devices);
	free(f->depths);
}

/* Depth first; parents come before children in the library's order already, so one pass per level is enough. */
static void order(const struct found *all, const struct ob_device *parent, unsigned depth, struct found *out)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (ob_device_parent(all->devices[i]) != parent || out->count == out->capacity)
			continue;
		out->devices[out->count] = all->devices[i];
		out->depths[out->count++] = depth;
		order(all, all->devices[i], depth + 1, out);
	}
}

static int find_all(struct cli *cli, struct found *out)
{
	struct found all = {0};
	struct ob_device *dev = NULL;
	int error = 0;

	*out = (struct found){0};
	while ((dev = ob_device_next(cli->machine, dev)) != NULL) {
		error = found_add(&all, dev);
		if (error) {
			ob_device_put(dev);
			goto fail;
		}
	}
	out->capacity = all.count;
	out->devices = calloc(all.count + 1u, sizeof(struct ob_device *));
	out->depths = calloc(all.count + 1u, sizeof(unsigned));
	if (!out->devices || !out->depths)
		goto fail;
	order(&all, NULL, 0, out);
	free(all.devices); /* its references are out's now */
	return CLI_OK;
fail:
	found_free(&all);
	found_free(out);
	*out = (struct found){0};
	return cli_error(cli, CLI_FAILED, "out of memory");
}

/* ---- text ---- */

/* VIRTIO 1.2 §5, of those that are met. */
static const char *virtio_name(uint32_t id)
{
	static const char *const names[] = {
		[1] = "network", [2] = "block",     [3] = "console",      [4] = "entropy source",
		[5] = "balloon", [8] = "SCSI host", [9] = "9P",           [16] = "GPU",
		[18] = "input",  [19] = "socket",   [20] = "crypto",      [23] = "IOMMU",
		[24] = "memory", [25] = "sound",    [26] = "file system", [27] = "pmem",
	};

	return id < sizeof(names) / sizeof(names[0]) && names[id] ? names[id] : "device";
}

static void print_kind(const struct ob_device *dev)
{
	struct ob_pci_info pci;
	struct ob_dt_info dt;

	if (!ob_pci_info(dev, &pci))
		printf("  %s [%04x:%04x]", ob_pci_class_name(pci.class_code), pci.vendor, pci.device);
	else if (!ob_dt_info(dev, &dt))
		printf("  %s", dt.compatible[0]);
	else if (ob_virtio_id(dev))
		printf("  virtio %s [%u]", virtio_name(ob_virtio_id(dev)), ob_virtio_id(dev));
	else
		printf("  %s", ob_device_bus_name(dev));
}

static void print_driver(const struct ob_device *dev)
{
	const char *driver = ob_device_driver_name(dev);
	int error = ob_device_error(dev);

	if (driver)
		printf("  driver %s", driver);
	if (ob_device_state(dev) == OB_DEVICE_FAILED)
		printf("  failed: %s", strerror(-error));
	else if (ob_device_state(dev) != OB_DEVICE_FOUND && ob_device_state(dev) != OB_DEVICE_BOUND)
		printf("  %s", state_name(ob_device_state(dev)));
}

static void print_blocks(struct cli *cli, const struct ob_device *dev, unsigned indent)
{
	struct ob_block_limits limits;
	struct ob_block *b = NULL;
	char size[TEXT_MAX];

	while ((b = ob_block_next(cli->ob, b)) != NULL) {
		if (ob_block_device(b) != dev)
			continue;
		ob_block_limits(b, &limits);
		printf("%*s%s  %s, blocks of %u%s  %s %s\n", (int)indent, "", ob_block_name(b),
		       text_size(size, limits.block_count * limits.block_bytes), limits.block_bytes,
		       limits.read_only ? ", read only" : "", ob_block_model(b), ob_block_serial(b));
	}
}

static void print_nets(struct cli *cli, const struct ob_device *dev, unsigned indent)
{
	struct ob_net_info info;
	struct ob_net_link link;
	struct ob_net *n = NULL;

	while ((n = ob_net_next(cli->ob, n)) != NULL) {
		if (ob_net_device(n) != dev)
			continue;
		ob_net_info(n, &info);
		ob_net_link(n, &link);
		printf("%*s%s  %02x:%02x:%02x:%02x:%02x:%02x, link %s%s\n", (int)indent, "", ob_net_name(n),
		       info.mac[0], info.mac[1], info.mac[2], info.mac[3], info.mac[4], info.mac[5],
		       link.up ? "up" : "down",
		       net_is_preferred(cli, n, NULL, 0) ? ", preferred: it is paravirtual" : "");
	}
}

/* What a device tree says of it, in full. */
static void print_dt(const struct ob_device *dev, unsigned indent)
{
	struct ob_dt_info dt;
	uint64_t address, len_bytes;
	uint32_t number;
	bool edge;

	if (ob_dt_info(dev, &dt))
		return;
	printf("%*sPath: %s\n%*sCompatible:", (int)indent, "", dt.path, (int)indent, "");
	for (unsigned i = 0; dt.compatible[i]; i++)
		printf("%s %s", i ? "," : "", dt.compatible[i]);
	printf("\n");
	for (unsigned i = 0; i < dt.region_count; i++)
		if (!ob_dt_region(dev, i, &address, &len_bytes))
			printf("%*sRegion %u: memory at %llx, %llu bytes\n", (int)indent, "", i,
			       (unsigned long long)address, (unsigned long long)len_bytes);
	for (unsigned i = 0; i < dt.interrupt_count; i++)
		if (!ob_dt_interrupt(dev, i, &number, &edge))
			printf("%*sInterrupt %u: %u, by %s\n", (int)indent, "", i, number, edge ? "edges" : "level");
}

static void print_device(struct cli *cli, struct ob_device *dev, unsigned depth, const struct devices_options *options)
{
	char *text = options->full ? ob_pci_describe(dev) : NULL;

	if (text) {
		printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
		ob_free(text);
		return;
	}
	printf("%*s%s", (int)(2 * depth), "", ob_device_name(dev));
	print_kind(dev);
	print_driver(dev);
	printf("\n");
	if (options->full) {
		print_dt(dev, 2 * depth + 4);
		devices_print_virtio(cli, dev, 2 * depth + 4);
	}
	print_blocks(cli, dev, 2 * depth + 4);
	print_nets(cli, dev, 2 * depth + 4);
}

/* How many from @first on are of one kind in one place, and nobody drives them: a board has dozens of places for one. */
static unsigned count_alike(const struct found *f, unsigned first)
{
	struct ob_dt_info dt, next;
	unsigned i = first;

	if (ob_dt_info(f->devices[first], &dt))
		return 1;
	for (; i < f->count; i++) {
		const struct ob_device *dev = f->devices[i];

		if (f->depths[i] != f->depths[first] || ob_device_state(dev) != OB_DEVICE_FOUND ||
		    ob_dt_info(dev, &next) || strcmp(next.compatible[0], dt.compatible[0]) != 0)
			break;
	}
	return i > first ? i - first : 1;
}

/* The number of devices that its line is about. */
static unsigned print_next(struct cli *cli, const struct found *f, unsigned i, const struct devices_options *options)
{
	unsigned alike = options->full ? 1 : count_alike(f, i);

	if (alike < 3) {
		print_device(cli, f->devices[i], f->depths[i], options);
		return 1;
	}
	printf("%*s%s to %s", (int)(2 * f->depths[i]), "", ob_device_name(f->devices[i]),
	       ob_device_name(f->devices[i + alike - 1]));
	print_kind(f->devices[i]);
	printf("  %u without a driver\n", alike);
	return alike;
}

/* ---- JSON ---- */

static json_t *json_pci(const struct ob_device *dev)
{
	struct ob_pci_info pci;
	json_t *o, *bars;

	if (ob_pci_info(dev, &pci))
		return json_null();
	o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:b, s:i, s:i}", "vendor", (int)pci.vendor, "device",
		      (int)pci.device, "subvendor", (int)pci.subvendor, "subdevice", (int)pci.subdevice, "class",
		      (int)pci.class_code, "class_name", ob_pci_class_name(pci.class_code), "revision",
		      (int)pci.revision, "express", (int)pci.express, "msix_vectors", (int)pci.msix_vectors,
		      "msi_vectors", (int)pci.msi_vectors);
	bars = json_array();
	for (unsigned i = 0; i < 6; i++) {
		const struct ob_pci_bar *bar = &pci.bar[i];

		if (bar->len_bytes)
			json_array_append_new(bars,
					      json_pack("{s:i, s:I, s:I, s:b, s:b, s:b}", "index", (int)i, "address",
							(json_int_t)bar->address, "bytes", (json_int_t)bar->len_bytes,
							"io", (int)bar->io, "64bit", (int)bar->is_64bit, "prefetchable",
							(int)bar->prefetchable));
	}
	json_object_set_new(o, "bars", bars);
	return o;
}

static json_t *json_dt(const struct ob_device *dev)
{
	json_t *compatible = json_array(), *regions = json_array(), *interrupts = json_array();
	uint64_t address, len_bytes;
	struct ob_dt_info dt;
	uint32_t number;
	bool edge;

	if (ob_dt_info(dev, &dt)) {
		json_decref(compatible);
		json_decref(regions);
		json_decref(interrupts);
		return json_null();
	}
	for (unsigned i = 0; dt.compatible[i]; i++)
		json_array_append_new(compatible, json_string(dt.compatible[i]));
	for (unsigned i = 0; i < dt.region_count; i++)
		if (!ob_dt_region(dev, i, &address, &len_bytes))
			json_array_append_new(regions, json_pack("{s:i, s:I, s:I}", "index", (int)i, "address",
								 (json_int_t)address, "bytes", (json_int_t)len_bytes));
	for (unsigned i = 0; i < dt.interrupt_count; i++)
		if (!ob_dt_interrupt(dev, i, &number, &edge))
			json_array_append_new(interrupts, json_pack("{s:i, s:i, s:b}", "index", (int)i, "number",
								    (int)number, "edge", (int)edge));
	return json_pack("{s:s, s:o, s:o, s:o}", "path", dt.path, "compatible", compatible, "regions", regions,
			 "interrupts", interrupts);
}

static json_t *json_device(struct cli *cli, struct ob_device *dev)
{
	struct ob_device *parent = ob_device_parent(dev);
	const char *driver = ob_device_driver_name(dev);
	json_t *blocks = json_array(), *nets = json_array();
	struct ob_block *b = NULL;
	struct ob_net *n = NULL;

	while ((b = ob_block_next(cli->ob, b)) != NULL) {
		if (ob_block_device(b) == dev)
			json_array_append_new(blocks, json_string(ob_block_name(b)));
	}
	while ((n = ob_net_next(cli->ob, n)) != NULL) {
		if (ob_net_device(n) == dev)
			json_array_append_new(nets, json_string(ob_net_name(n)));
	}
	return json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "name", ob_device_name(dev),
			 "bus", ob_device_bus_name(dev), "parent", parent ? ob_device_name(parent) : NULL, "state",
			 state_name(ob_device_state(dev)), "driver", driver, "error", ob_device_error(dev), "pci",
			 json_pci(dev), "dt", json_dt(dev), "virtio",
			 ob_virtio_id(dev) ? json_integer(ob_virtio_id(dev)) : json_null(), "virtio_info",
			 devices_json_virtio(cli, dev), "block", blocks, "net", nets);
}

/* ---- the verb ---- */

static bool wanted(const struct ob_device *dev, const struct arguments *args)
{
	for (int i = 0; i < args->count; i++) {
		if (!strcmp(args->operands[i], ob_device_name(dev)))
			return true;
	}
	return !args->count;
}

static int check_names(struct cli *cli, const struct arguments *args)
{
	for (int i = 0; i < args->count; i++) {
		struct ob_device *dev = ob_device_find(cli->machine, args->operands[i]);

		if (!dev)
			return cli_error(cli, CLI_NO_DEVICE, "no device '%s'; 'outboard devices' lists them",
					 args->operands[i]);
		ob_device_put(dev);
	}
	return CLI_OK;
}

static int show(struct cli *cli, const struct arguments *args, const struct devices_options *options)
{
	json_t *devices = options->json ? json_array() : NULL;
	struct found found;
	int code = find_all(cli, &found);

	if (code) {
		json_decref(devices);
		return code;
	}
	for (unsigned i = 0; i < found.count && !options->json && !args->count;)
		i += print_next(cli, &found, i, options);
	for (unsigned i = 0; i < found.count && (options->json || args->count); i++) {
		if (!wanted(found.devices[i], args))
			continue;
		if (options->json)
			json_array_append_new(devices, json_device(cli, found.devices[i]));
		else
			print_device(cli, found.devices[i], 0, options);
	}
	if (options->json)
		code = output_json(
			cli, json_pack("{s:s, s:o}", "machine", ob_machine_uri(cli->machine), "devices", devices));
	else if (!found.count)
		printf("no devices\n");
	found_free(&found);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct devices_options options = {0};
	const struct option_def table[] = {
		{.name = "verbose", .letter = 'v', .kind = OPTION_FLAG, .to = &options.full},
		{.name = "json", .kind = OPTION_FLAG, .to = &options.json},
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	code = cli_open(cli, 1);
	if (!code)
		code = check_names(cli, &args);
	if (!code)
		code = show(cli, &args, &options);
	return cli_close(cli, code);
}

const struct cli_verb cli_devices = {
	.name = "devices",
	.summary = "list what the machine has, and what drives it",
	.help = help,
	.run = run,
};
