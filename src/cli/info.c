/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard info: what a block device is, what it can do, and how it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/nvme.h>
#include <outboard/virtio_blk.h>

#include "cli/options.h"
#include "cli/output.h"

static const char help[] =
	"usage: outboard info [--json] [DISK...]\n"
	"\n"
	"Says of each disk: size, block size, limits, model, health, and what its controller offers.\n"
	"\n"
	"  outboard info\n"
	"  outboard info nvme0n1\n"
	"  outboard info --json | jq '.[0].smart.temperature_celsius'\n"
	"\n"
	"      --json   for programs\n";

#define ASK_NS (30 * OB_NS_PER_S)

/* All that is asked of one disk. */
struct facts {
	struct ob_block *block;
	struct ob_block_limits limits;
	struct ob_nvme_controller controller;
	struct ob_nvme_smart smart;
	struct ob_virtio_blk_lifetime lifetime;
	bool has_controller, has_smart, has_lifetime;
};

static int ask(struct cli *cli, struct ob_block *block, struct facts *f)
{
	int error;

	memset(f, 0, sizeof(*f));
	f->block = block;
	ob_block_limits(block, &f->limits);
	error = ob_nvme_controller(block, &f->controller);
	f->has_controller = !error;
	if (!error) {
		error = ob_nvme_smart(block, &f->smart);
		f->has_smart = !error;
	} else if (error == -EOPNOTSUPP) {
		error = ob_virtio_blk_lifetime(block, &f->lifetime, ob_deadline(ASK_NS));
		f->has_lifetime = !error;
	}
	if (error && error != -EOPNOTSUPP)
		return cli_io_error(cli, block, "asking the controller", 0, 0, error, 0);
	return CLI_OK;
}

/* The features by name, as text prints them and JSON lists them. */
struct feature {
	const char *name;
	bool on;
};

enum {
	FEATURE_MAX = 16
};

static unsigned features_of(const struct facts *f, struct feature out[FEATURE_MAX])
{
	const struct feature all[] = {
		{"read-only", f->limits.read_only},
		{"volatile-cache", f->limits.volatile_cache},
		{"flush", f->limits.flush},
		{"fua", f->limits.fua},
		{"write-zeroes", f->limits.write_zeroes},
		{"trim", f->limits.trim},
		{"trim-reads-zero", f->limits.trim && f->limits.trim_reads_zero},
		{"compare", f->limits.compare},
		{"rotational", f->limits.rotational},
		{"sgl", f->has_controller && f->controller.sgl},
		{"shadow-doorbells", f->has_controller && f->controller.shadow_doorbells},
		{"namespace-management", f->has_controller && f->controller.namespace_management},
	};
	unsigned count = 0;

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].on)
			out[count++] = all[i];
	}
	return count;
}

static const char *quirk_name(unsigned bit)
{
	const char *name = ob_nvme_quirk_name(bit);

	return name != NULL ? name : "?";
}

/* ---- text ---- */

static void print_controller(const struct ob_nvme_controller *c)
{
	char size[TEXT_MAX];

	printf("  controller   NVMe %u.%u.%u, vendor %04x:%04x, id %u, %u of %u namespaces\n", c->version >> 16,
	       c->version >> 8 & 0xff, c->version & 0xff, c->vendor, c->subvendor, c->controller_id, c->namespace_count,
	       c->namespace_max);
	printf("  queues       %u, depth up to %u, transfers up to %s\n", c->queue_count, c->queue_depth_max,
	       text_size(size, c->transfer_max_bytes));
	printf("  firmware     slot %u of %u is active\n", c->firmware_active, c->firmware_slots);
	for (unsigned i = 0; i < c->firmware_slots && i < 7; i++) {
		if (c->firmware_slot[i][0])
			printf("               slot %u: %s\n", i + 1, c->firmware_slot[i]);
	}
	if (c->quirks == 0)
		return;
	printf("  quirks      ");
	for (unsigned bit = 0; bit < 64; bit++) {
		if ((c->quirks >> bit & 1) != 0)
			printf(" %s", quirk_name(bit));
	}
	printf("\n");
}

static void print_smart(const struct ob_nvme_smart *s)
{
	char read[TEXT_MAX], written[TEXT_MAX];

	printf("  health       %s, %d C, %u %% used, spare %u %% (at least %u %%)\n",
	       s->critical_warning ? "WARNING" : "good", (int)s->temperature_kelvin - 273, s->percentage_used,
	       s->available_spare, s->spare_threshold);
	if (s->critical_warning)
		printf("  warning      0x%02x\n", s->critical_warning);
	printf("  lifetime     %s read, %s written, %llu hours on, %llu power cycles, %llu of them unsafe, "
	       "%llu media errors\n",
	       text_size(read, s->data_units_read * 512000), text_size(written, s->data_units_written * 512000),
	       (unsigned long long)s->power_on_hours, (unsigned long long)s->power_cycles,
	       (unsigned long long)s->unsafe_shutdowns, (unsigned long long)s->media_errors);
}

static const char *spare_name(enum ob_virtio_blk_spare spare)
{
	static const char *const names[] = {"unknown", "normal", "warning", "urgent"};

	return names[spare];
}

/* Of cells of one bit and of several; a disk may have but one kind, or not know. */
static void print_lifetime(const struct ob_virtio_blk_lifetime *l)
{
	printf("  health       spare %s", spare_name(l->spare));
	if (l->used_percent_a != 0)
		printf(", up to %u %% used (SLC)", l->used_percent_a);
	if (l->used_percent_b != 0)
		printf(", up to %u %% used (MLC)", l->used_percent_b);
	printf("\n");
}

static void print_facts(const struct facts *f)
{
	const struct ob_block_limits *l = &f->limits;
	struct feature features[FEATURE_MAX];
	unsigned count = features_of(f, features);
	char a[TEXT_MAX], b[TEXT_MAX];

	printf("%s\n", ob_block_name(f->block));
	printf("  device       %s, driver %s\n", ob_device_name(ob_block_device(f->block)),
	       ob_device_driver_name(ob_block_device(f->block)) ? ob_device_driver_name(ob_block_device(f->block))
								: "none");
	printf("  model        %s, serial %s%s%s\n", ob_block_model(f->block), ob_block_serial(f->block),
	       ob_block_firmware(f->block)[0] ? ", firmware " : "", ob_block_firmware(f->block));
	printf("  size         %s, %llu blocks of %u bytes (physical %u)\n",
	       text_size(a, l->block_count * l->block_bytes), (unsigned long long)l->block_count, l->block_bytes,
	       l->physical_bytes);
	printf("  one command  %s in %u segments; zeroes %u blocks, trim %u blocks\n",
	       text_size(b, l->transfer_max_bytes), l->segment_max, l->zeroes_max_blocks, l->trim_max_blocks);
	printf("  offers      ");
	for (unsigned i = 0; i < count; i++)
		printf(" %s", features[i].name);
	printf("%s\n", count ? "" : " nothing beyond reading and writing");
	if (f->has_controller)
		print_controller(&f->controller);
	if (f->has_smart)
		print_smart(&f->smart);
	if (f->has_lifetime)
		print_lifetime(&f->lifetime);
}

/* ---- JSON ---- */

static json_t *json_controller(const struct ob_nvme_controller *c)
{
	json_t *slots = json_array(), *quirks = json_array();
	char version[24];

	for (unsigned i = 0; i < c->firmware_slots && i < 7; i++)
		json_array_append_new(slots, json_string(c->firmware_slot[i]));
	for (unsigned bit = 0; bit < 64; bit++) {
		if ((c->quirks >> bit & 1) != 0)
			json_array_append_new(quirks, json_string(quirk_name(bit)));
	}
	snprintf(version, sizeof(version), "%u.%u.%u", c->version >> 16, c->version >> 8 & 0xff, c->version & 0xff);
	return json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:i, s:o, s:o}", "version", version, "vendor",
			 (int)c->vendor, "subvendor", (int)c->subvendor, "id", (int)c->controller_id, "namespaces",
			 (json_int_t)c->namespace_count, "namespaces_max", (json_int_t)c->namespace_max, "queues",
			 (json_int_t)c->queue_count, "queue_depth_max", (json_int_t)c->queue_depth_max,
			 "transfer_max_bytes", (json_int_t)c->transfer_max_bytes, "firmware_active",
			 (int)c->firmware_active, "firmware_slots", slots, "quirks", quirks);
}

static json_t *json_smart(const struct ob_nvme_smart *s)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "critical_warning", (int)s->critical_warning, "temperature_celsius",
			 (int)s->temperature_kelvin - 273, "available_spare_percent", (int)s->available_spare,
			 "spare_threshold_percent", (int)s->spare_threshold, "used_percent", (int)s->percentage_used,
			 "data_units_read", (json_int_t)s->data_units_read, "data_units_written",
			 (json_int_t)s->data_units_written, "host_reads", (json_int_t)s->host_reads, "host_writes",
			 (json_int_t)s->host_writes, "busy_minutes", (json_int_t)s->busy_minutes, "power_cycles",
			 (json_int_t)s->power_cycles, "power_on_hours", (json_int_t)s->power_on_hours,
			 "unsafe_shutdowns", (json_int_t)s->unsafe_shutdowns, "media_errors",
			 (json_int_t)s->media_errors, "error_log_entries", (json_int_t)s->error_log_entries);
}

static json_t *json_lifetime(const struct ob_virtio_blk_lifetime *l)
{
	return json_pack("{s:s, s:i, s:i}", "spare", spare_name(l->spare), "used_percent_slc", (int)l->used_percent_a,
			 "used_percent_mlc", (int)l->used_percent_b);
}

static json_t *json_facts(const struct facts *f)
{
	const struct ob_block_limits *l = &f->limits;
	struct feature features[FEATURE_MAX];
	unsigned count = features_of(f, features);
	json_t *offers = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(offers, json_string(features[i].name));
	return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:o, s:o, s:o, s:o}",
			 "name", ob_block_name(f->block), "device", ob_device_name(ob_block_device(f->block)), "driver",
			 ob_device_driver_name(ob_block_device(f->block)), "model", ob_block_model(f->block), "serial",
			 ob_block_serial(f->block), "firmware", ob_block_firmware(f->block), "bytes",
			 (json_int_t)(l->block_count * l->block_bytes), "blocks", (json_int_t)l->block_count,
			 "block_bytes", (json_int_t)l->block_bytes, "physical_bytes", (json_int_t)l->physical_bytes,
			 "transfer_max_bytes", (json_int_t)l->transfer_max_bytes, "segment_max", (int)l->segment_max,
			 "zeroes_max_blocks", (json_int_t)l->zeroes_max_blocks, "trim_max_blocks",
			 (json_int_t)l->trim_max_blocks, "offers", offers, "controller",
			 f->has_controller ? json_controller(&f->controller) : json_null(), "smart",
			 f->has_smart ? json_smart(&f->smart) : json_null(), "lifetime",
			 f->has_lifetime ? json_lifetime(&f->lifetime) : json_null());
}

/* ---- the verb ---- */

static int show(struct cli *cli, struct ob_block *block, json_t *list)
{
	struct facts facts;
	int code = ask(cli, block, &facts);

	if (code)
		return code;
	if (list)
		json_array_append_new(list, json_facts(&facts));
	else
		print_facts(&facts);
	return CLI_OK;
}

static int show_named(struct cli *cli, const struct arguments *args, json_t *list)
{
	int code = CLI_OK;

	for (int i = 0; i < args->count && !code; i++) {
		struct ob_block *block;

		code = cli_block(cli, args->operands[i], &block);
		if (code)
			break;
		code = show(cli, block, list);
		ob_block_put(block);
	}
	return code;
}

static int show_all(struct cli *cli, json_t *list)
{
	struct ob_block *block = NULL;
	unsigned count = 0;

	while ((block = ob_block_next(cli->ob, block)) != NULL) {
		int code = show(cli, block, list);

		count++;
		if (code) {
			ob_block_put(block);
			return code;
		}
	}
	if (!count)
		return cli_no_block(cli);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_def table[] = {
		{.name = "json", .kind = OPTION_FLAG, .to = &json},
		{.kind = OPTION_END},
	};
	json_t *list = NULL;
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	code = cli_open(cli, 1);
	if (!code) {
		list = json ? json_array() : NULL;
		code = args.count ? show_named(cli, &args, list) : show_all(cli, list);
	}
	if (!code && json)
		code = output_json(cli, list);
	else
		json_decref(list);
	return cli_close(cli, code);
}

const struct cli_verb cli_info = {
	.name = "info",
	.summary = "say what the disks are, what they can do and how they are",
	.help = help,
	.run = run,
};
