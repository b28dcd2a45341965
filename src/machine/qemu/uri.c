/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a "qemu:" URI asks for: qemu:BOARD?key=value&key=value, with percent-encoding (RFC 3986 §2.1) in keys and values.
 *
 * nvme=FILE[,property=value...] is short for a -blockdev over FILE and a -device nvme on it, virtio-blk=FILE[,...] for
 * one and a -device virtio-blk-pci, or virtio-blk-device where the board has places for virtio. The properties are the
 * device's, but for readonly=on, which is the file's, and queues=N, which is how the URI spells virtio-blk's
 * num-queues=N. virtio-net= and e1000e= are in uri_net.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"
#include "machine/qemu/properties.h"
#include "machine/qemu/ram.h"
#include "machine/qemu/uri.h"
#include "machine/qemu/uri_net.h"
#include "machine/text.h"

struct parser {
	struct qemu_uri *uri;
	struct machine_text_why why;
};

static int set_mem(struct parser *p, const char *value)
{
	uint64_t bytes;

	if (machine_text_size(value, &bytes) < 0)
		return machine_text_refuse(&p->why, "mem=%s is not a size like 256M", value);
	if (bytes < QEMU_MEM_MIN_BYTES || bytes > QEMU_RAM_MAX_BYTES || !IS_ALIGNED(bytes, OB_MIB))
		return machine_text_refuse(&p->why, "mem=%s is not a multiple of 1M from 16M to 64G", value);
	p->uri->mem_bytes = bytes;
	return 0;
}

static int set_timeout(struct parser *p, const char *value)
{
	uint64_t seconds;

	if (machine_text_size(value, &seconds) < 0 || seconds < 1 || seconds > QEMU_WAIT_MAX_NS / OB_NS_PER_S)
		return machine_text_refuse(&p->why, "timeout=%s is not a number of seconds from 1 to 3600", value);
	p->uri->wait_ns = seconds * OB_NS_PER_S;
	return 0;
}

static int set_msi(struct parser *p, const char *value)
{
	return machine_text_switch("msi", value, &p->uri->msi, &p->why);
}

static int set_intx(struct parser *p, const char *value)
{
	int ret = machine_text_switch("intx", value, &p->uri->intx, &p->why);

	p->uri->intx_now = p->uri->intx;
	return ret;
}

static int set_text(struct parser *p, const char *key, const char *value, char **out)
{
	if (value[0] == '\0')
		return machine_text_refuse(&p->why, "%s= needs a value", key);
	free(*out);
	*out = strdup(value);
	return *out != NULL ? 0 : -ENOMEM;
}

static int set_binary(struct parser *p, const char *value)
{
	return set_text(p, "binary", value, &p->uri->binary);
}

static int set_attach(struct parser *p, const char *value)
{
	return set_text(p, "attach", value, &p->uri->attach_dir);
}

static int add_option(struct parser *p, const char *key, const char *value)
{
	if (value[0] == '\0')
		return machine_text_refuse(&p->why, "%s= needs a value", key);
	strings_add(&p->uri->args, "-%s", key);
	strings_add(&p->uri->args, "%s", value);
	return 0;
}

static int add_device(struct parser *p, const char *value)
{
	return add_option(p, "device", value);
}

static int add_blockdev(struct parser *p, const char *value)
{
	return add_option(p, "blockdev", value);
}

static int add_drive(struct parser *p, const char *value)
{
	return add_option(p, "drive", value);
}

static int add_object(struct parser *p, const char *value)
{
	return add_option(p, "object", value);
}

static int add_global(struct parser *p, const char *value)
{
	return add_option(p, "global", value);
}

static int add_arg(struct parser *p, const char *value)
{
	strings_add(&p->uri->args, "%s", value);
	return 0;
}

/* The file name ends at a comma that is not doubled, as in QEMU's own options. In place; the rest, or NULL. */
static char *cut_file(char *value)
{
	char *to = value, *from = value;

	while (*from != '\0' && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	if (*from == '\0')
		from = NULL;
	*to = '\0';
	return from != NULL ? from + 1 : NULL;
}

/* A kind of disk. */
struct disk_kind {
	const char *key, *device, *id;
	const char *defaults; /* properties that we set, unless the user does */
};

static const struct disk_kind disk_nvme = {"nvme", "nvme", "nvme", ""};
/* Transitional by default: its modern half is all that a driver of ours looks at. */
static const struct disk_kind disk_virtio_pci = {"virtio-blk", "virtio-blk-pci", "vblk", ",disable-legacy=on"};
static const struct disk_kind disk_virtio_mmio = {"virtio-blk", "virtio-blk-device", "vblk", ""};

/* What a user says of a disk. */
struct disk_wish {
	bool readonly, has_id, has_serial, has_legacy;
	uint64_t queues; /* 0: nothing */
};

/* A disk whose properties are looked at. */
struct disk_look {
	struct parser *p;
	const struct disk_kind *kind;
	struct disk_wish *wish;
};

/* What is ours is taken out; which of our defaults the user sets himself is noted. */
static int take_property(void *arg, const char *property)
{
	const struct disk_look *look = arg;
	struct disk_wish *wish = look->wish;
	int ret;

	wish->has_id = wish->has_id || strncmp(property, "id=", 3) == 0;
	wish->has_serial = wish->has_serial || strncmp(property, "serial=", 7) == 0;
	wish->has_legacy = wish->has_legacy || strncmp(property, "disable-legacy=", 15) == 0;
	if (strncmp(property, "readonly=", 9) == 0)
		ret = machine_text_switch("readonly", property + 9, &wish->readonly, &look->p->why);
	else if (look->kind != &disk_nvme && strncmp(property, "queues=", 7) == 0)
		ret = machine_text_number("queues", property + 7, 1, QEMU_QUEUES_MAX, &wish->queues, &look->p->why);
	else
		return 0;
	return ret < 0 ? ret : 1;
}

static int add_blockdev_json(struct parser *p, const char *key, const char *file, bool readonly, size_t index)
{
	char node[32], *text;
	json_t *json;

	snprintf(node, sizeof(node), "disk%zu", index);
	json = json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:s, s:s, s:b}}", "driver", "raw", "node-name", node, "discard",
			 "unmap", "read-only", readonly, "file", "driver", "file", "filename", file, "discard", "unmap",
			 "read-only", readonly);
	if (json == NULL)
		return machine_text_refuse(&p->why, "%s=: the file's name is not UTF-8", key);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (text == NULL)
		return -ENOMEM;
	strings_add(&p->uri->args, "-blockdev");
	strings_add(&p->uri->args, "%s", text);
	free(text);
	return 0;
}

static void add_disk_device(struct parser *p, const struct disk_kind *kind, const struct disk_wish *wish,
			    const char *properties, size_t index)
{
	char id[32] = "", serial[32] = "", queues[32] = "";

	if (!wish->has_id)
		snprintf(id, sizeof(id), ",id=%s%zu", kind->id, index);
	if (!wish->has_serial)
		snprintf(serial, sizeof(serial), ",serial=outboard%zu", index);
	if (wish->queues != 0)
		snprintf(queues, sizeof(queues), ",num-queues=%u", (unsigned)wish->queues);
	strings_add(&p->uri->args, "-device");
	strings_add(&p->uri->args, "%s,drive=disk%zu%s%s%s%s%s%s", kind->device, index, id, serial,
		    wish->has_legacy ? "" : kind->defaults, queues,
		    properties != NULL && properties[0] != '\0' ? "," : "", properties != NULL ? properties : "");
}

static int add_disk(struct parser *p, const struct disk_kind *kind, const char *value)
{
	struct disk_wish wish = {0};
	size_t index = p->uri->disk_count;
	char *file = strdup(value), *properties;
	struct qemu_disk *disks;
	int ret = 0;

	if (file == NULL)
		return -ENOMEM;
	properties = cut_file(file);
	if (file[0] == '\0')
		ret = machine_text_refuse(&p->why, "%s= needs a file", kind->key);
	else if (index == QEMU_DISKS_MAX)
		ret = machine_text_refuse(&p->why, "more than %u disks", QEMU_DISKS_MAX);
	if (ret == 0 && properties != NULL)
		ret = qemu_properties_take(properties, take_property, &(struct disk_look){p, kind, &wish});
	if (ret == 0)
		ret = add_blockdev_json(p, kind->key, file, wish.readonly, index);
	disks = ret == 0 ? realloc(p->uri->disks, (index + 1) * sizeof(*disks)) : NULL;
	if (disks == NULL) {
		free(file);
		return ret < 0 ? ret : -ENOMEM;
	}
	add_disk_device(p, kind, &wish, properties, index);
	p->uri->disks = disks;
	disks[p->uri->disk_count++] = (struct qemu_disk){.key = kind->key, .file = file, .readonly = wish.readonly};
	return 0;
}

static int add_nvme(struct parser *p, const char *value)
{
	return add_disk(p, &disk_nvme, value);
}

static int add_virtio_blk(struct parser *p, const char *value)
{
	return add_disk(p, p->uri->board->virtio_mmio ? &disk_virtio_mmio : &disk_virtio_pci, value);
}

static int add_netdev(struct parser *p, const char *value)
{
	return add_option(p, "netdev", value);
}

static int add_virtio_net(struct parser *p, const char *value)
{
	return qemu_uri_net(p->uri, "virtio-net", value, &p->why);
}

static int add_e1000e(struct parser *p, const char *value)
{
	return qemu_uri_net(p->uri, "e1000e", value, &p->why);
}

static const struct {
	const char *key;
	int (*set)(struct parser *p, const char *value);
} keys[] = {
	{"arg", add_arg},
	{"attach", set_attach},
	{"binary", set_binary},
	{"blockdev", add_blockdev},
	{"device", add_device},
	{"drive", add_drive},
	{"e1000e", add_e1000e},
	{"global", add_global},
	{"intx", set_intx},
	{"mem", set_mem},
	{"msi", set_msi},
	{"netdev", add_netdev},
	{"nvme", add_nvme},
	{"object", add_object},
	{"timeout", set_timeout},
	{"virtio-blk", add_virtio_blk},
	{"virtio-net", add_virtio_net},
};

static int parse_pair(struct parser *p, char *pair)
{
	char *value;
	int key = machine_text_key(pair, &keys[0].key, sizeof(keys[0]), ARRAY_SIZE(keys), &value, &p->why);

	return key < 0 ? key : keys[key].set(p, value);
}

int qemu_uri_parse(const char *rest, struct qemu_uri *out, char *why, size_t why_bytes)
{
	struct parser p = {.uri = out, .why = {why, why_bytes}};
	size_t name_len = strcspn(rest, "?");
	char *text, *pair, *next;
	int ret = 0;

	*out = (struct qemu_uri){
		.mem_bytes = QEMU_MEM_DEFAULT_BYTES,
		.msi = true,
		.intx = true,
		.wait_ns = QEMU_WAIT_DEFAULT_NS,
	};
	snprintf(why, why_bytes, "out of memory");
	out->board = name_len != 0 ? qemu_board_find(rest, name_len) : &qemu_q35;
	if (out->board == NULL)
		return machine_text_refuse(&p.why, "unknown machine '%.*s'; known: q35, virt", (int)name_len, rest);
	text = strdup(rest[name_len] == '?' ? rest + name_len + 1 : "");
	if (text == NULL)
		return -ENOMEM;
	for (pair = text; ret == 0 && pair != NULL; pair = next) {
		next = strchr(pair, '&');
		if (next != NULL)
			*next++ = '\0';
		if (pair[0] != '\0')
			ret = parse_pair(&p, pair);
	}
	free(text);
	if (ret == 0 && out->args.failed)
		ret = -ENOMEM;
	if (ret < 0)
		qemu_uri_fini(out);
	return ret;
}

void qemu_uri_fini(struct qemu_uri *uri)
{
	for (size_t i = 0; i < uri->disk_count; i++)
		free(uri->disks[i].file);
	free(uri->disks);
	for (size_t i = 0; i < uri->stream_count; i++)
		free(uri->streams[i].path);
	free(uri->streams);
	free(uri->binary);
	free(uri->attach_dir);
	strings_fini(&uri->args);
	*uri = (struct qemu_uri){0};
}
