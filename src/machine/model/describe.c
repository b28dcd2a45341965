/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices a model machine has, from the short form of its URI:
 *
 *	model:                        an NVMe controller with one namespace of 64 MiB of memory
 *	model:?nvme=1G&block=4096     key=value pairs; "nvme" begins another controller, "ns" another namespace of it
 *	model:?virtio-blk=1G&packed   … and "virtio-blk" a virtio disk
 *	model:?virtio-net=A&queues=4  … and "virtio-net" a network device, on the cable A
 *	model:machine.dts             a device tree (tree.c)
 *
 * docs/MODEL.md lists the keys.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"
#include "machine/text.h"

#define DEFAULT_BYTES  (64 * OB_MIB)
#define NAMESPACES_MAX 32
#define FIRST_SLOT     1u
#define SERIAL_BYTES   21u

static_assert(sizeof(((struct nvme_model_config *)0)->serial) == SERIAL_BYTES, "serial");
static_assert(sizeof(((struct vblk_model_config *)0)->serial) == SERIAL_BYTES, "serial");

struct parser;

/* A kind of device. */
struct form {
	const char *key;  /* that begins one */
	const char *name; /* of the devices, with a number behind it */
	const struct model_setting *settings;
	void (*defaults)(struct parser *p);
	int (*set_switch)(struct parser *p, const char *key, bool on); /* -ENOENT: it has none of that name */
	int (*create)(struct parser *p, struct model_pci_bus *bus, uint8_t devfn, const char *name,
		      struct model_device **out, char *why, size_t len);
	unsigned ns_max;
};

enum {
	FORM_NVME,
	FORM_VBLK,
	FORM_VNET,
	FORMS
};

struct parser {
	struct model_machine *mm;
	/* The device that the text is about, as far as it told. */
	const struct form *form; /* NULL: none yet */
	union {
		struct nvme_model_config nvme;
		struct vblk_model_config vblk;
		struct vnet_model_config vnet;
	} config;
	const char *cable; /* of a network device */
	char *serial;      /* of config: 21 bytes; NULL: it has none */
	uint64_t *latency_ns;
	struct model_namespace_desc ns[NAMESPACES_MAX];
	unsigned ns_count;
	bool threaded, port, absent;
	/* so far */
	unsigned counts[FORMS], device_count, slot;
};

static int refuse(const struct parser *p, const char *key, const char *value, const char *why)
{
	ob_err(p->mm->machine.ob, "model: %s%s%s: %s (see docs/MODEL.md)", key, *value != '\0' ? "=" : "", value, why);
	return -EINVAL;
}

/* ---- kinds ---- */

static void nvme_defaults(struct parser *p)
{
	struct nvme_model_config *c = &p->config.nvme;

	nvme_model_config_default(c);
	snprintf(c->serial, sizeof(c->serial), "OUTBOARD%04u", p->counts[FORM_NVME] + 1);
	p->serial = c->serial;
	p->latency_ns = &c->latency_ns;
}

static int nvme_switch(struct parser *p, const char *key, bool on)
{
	struct nvme_model_config *c = &p->config.nvme;

	if (strcmp(key, "sgl") == 0)
		c->sgl = on;
	else if (strcmp(key, "shadow") == 0)
		c->shadow_doorbells = on;
	else if (strcmp(key, "cache") == 0)
		c->volatile_cache = on;
	else if (strcmp(key, "management") == 0)
		c->namespace_management = on;
	else if (strcmp(key, "legacy-cmb") == 0)
		c->cmb_legacy = on;
	else if (strcmp(key, "retain") == 0)
		c->retains = on;
	else if (strcmp(key, "detached") == 0)
		p->ns[p->ns_count - 1].detached = on;
	else
		return -ENOENT;
	return 0;
}

static int nvme_create(struct parser *p, struct model_pci_bus *bus, uint8_t devfn, const char *name,
		       struct model_device **out, char *why, size_t len)
{
	int ret = model_settings_agree(&p->config.nvme, why, len);

	if (ret != 0)
		return ret;
	snprintf(why, len, "%s", strerror(ENOMEM));
	ret = model_device_create_nvme(p->mm, bus, devfn, name, &p->config.nvme, out);
	for (unsigned i = 0; ret == 0 && i < p->ns_count; i++) {
		char reason[MODEL_WHY_LEN];

		ret = model_device_add_namespace(*out, &p->ns[i], reason, sizeof(reason));
		if (ret != 0)
			snprintf(why, len, "namespace %" PRIu32 ": %s", p->ns[i].nsid, reason);
	}
	return ret;
}

static void vblk_defaults(struct parser *p)
{
	struct vblk_model_config *c = &p->config.vblk;

	vblk_model_config_default(c);
	snprintf(c->serial, sizeof(c->serial), "OUTBOARDV%04u", p->counts[FORM_VBLK] + 1);
	p->serial = c->serial;
	p->latency_ns = &c->latency_ns;
}

static int vblk_switch(struct parser *p, const char *key, bool on)
{
	struct vblk_model_config *c = &p->config.vblk;
	uint64_t bit = model_ring_feature(key);

	if (bit != 0)
		c->ring_features = on ? c->ring_features | bit : c->ring_features & ~bit;
	else if (strcmp(key, "cache") == 0)
		c->flush = c->config_wce = c->writeback = on;
	else if (strcmp(key, "retain") == 0)
		c->retains = on;
	else
		return -ENOENT;
	return 0;
}

static int vblk_create(struct parser *p, struct model_pci_bus *bus, uint8_t devfn, const char *name,
		       struct model_device **out, char *why, size_t len)
{
	int ret = model_settings_agree_ring(p->config.vblk.ring_features, p->config.vblk.queue_size, why, len);

	p->config.vblk.read_only = p->ns[0].read_only;
	if (ret != 0)
		return ret;
	return model_device_create_vblk(p->mm, bus, devfn, name, &p->config.vblk, &p->ns[0], out, why, len);
}

static void vnet_defaults(struct parser *p)
{
	struct vnet_model_config *c = &p->config.vnet;
	const uint8_t mac[6] = {0x02, 0, 0, 0, 0, (uint8_t)(p->counts[FORM_VNET] + 1)}; /* locally administered */

	vnet_model_config_default(c);
	memcpy(c->mac, mac, sizeof(c->mac));
	p->serial = NULL;
	p->latency_ns = NULL;
}

static int vnet_switch(struct parser *p, const char *key, bool on)
{
	struct vnet_model_config *c = &p->config.vnet;
	uint64_t ring = model_ring_feature(key), net = model_net_feature(key);

	if (ring != 0)
		c->ring_features = on ? c->ring_features | ring : c->ring_features & ~ring;
	else if (net != 0)
		c->without = on ? c->without & ~net : c->without | net;
	else if (strcmp(key, "retain") == 0)
		c->retains = on;
	else
		return -ENOENT;
	return 0;
}

static int vnet_create(struct parser *p, struct model_pci_bus *bus, uint8_t devfn, const char *name,
		       struct model_device **out, char *why, size_t len)
{
	int ret = model_settings_agree_ring(p->config.vnet.ring_features, p->config.vnet.queue_size, why, len);

	if (ret != 0)
		return ret;
	ret = model_device_create_vnet(p->mm, bus, devfn, name, &p->config.vnet, p->cable, out);
	if (ret != 0)
		snprintf(why, len, "%s", strerror(-ret));
	return ret;
}

static const struct form forms[FORMS] = {
	[FORM_NVME] = {"nvme", "nvme", model_settings_nvme, nvme_defaults, nvme_switch, nvme_create, NAMESPACES_MAX},
	[FORM_VBLK] = {"virtio-blk", "vblk", model_settings_vblk, vblk_defaults, vblk_switch, vblk_create, 1},
	[FORM_VNET] = {"virtio-net", "vnet", model_settings_vnet, vnet_defaults, vnet_switch, vnet_create, 0},
};

/* ---- building ---- */

static int device_finish(struct parser *p)
{
	struct model_machine *mm = p->mm;
	struct model_pci_bus *bus = &mm->root.bus;
	const struct form *form = p->form;
	unsigned slot = p->slot;
	struct model_device *port, *dev;
	char name[MODEL_NAME_LEN], why[MODEL_WHY_LEN];
	int ret;

	if (form == NULL)
		return 0;
	p->form = NULL;
	p->slot++;
	if (slot >= PCI_SLOTS_PER_BUS) {
		ob_err(mm->machine.ob, "model: there are slots for %u devices", PCI_SLOTS_PER_BUS - FIRST_SLOT);
		return -ENOSPC;
	}
	if (p->port) {
		snprintf(name, sizeof(name), "port%u", p->device_count);
		ret = model_device_create_port(mm, (uint8_t)(slot << 3), (uint16_t)(p->device_count + 1), name, &port);
		if (ret != 0)
			return ret;
		bus = &port->pci.secondary;
		slot = 0;
	}
	p->device_count++;
	snprintf(name, sizeof(name), "%s%u", form->name, p->counts[form - forms]++);
	ret = form->create(p, bus, (uint8_t)(slot << 3), name, &dev, why, sizeof(why));
	if (ret != 0) {
		ob_err(mm->machine.ob, "model: %s: %s", name, why);
		return ret;
	}
	dev->threaded = p->threaded;
	model_device_ready(dev, !p->absent);
	return 0;
}

/* "64M", "null", "null:1T" or a file. */
static int namespace_begin(struct parser *p, const char *value)
{
	struct model_namespace_desc *ns = &p->ns[p->ns_count];

	if (p->ns_count == p->form->ns_max) {
		ob_err(p->mm->machine.ob, "model: the short form has at most %u namespaces", p->form->ns_max);
		return -ENOSPC;
	}
	*ns = (struct model_namespace_desc){
		.nsid = p->ns_count + 1,
		.block_bytes = 512,
		.len_bytes = DEFAULT_BYTES,
	};
	if (strcmp(value, "null") == 0 || strncmp(value, "null:", 5) == 0) {
		ns->null = true;
		if (value[4] == ':' && machine_text_size(value + 5, &ns->len_bytes) != 0)
			return refuse(p, p->form->key, value, "a size such as null:1T is needed");
	} else if (*value != '\0' && machine_text_size(value, &ns->len_bytes) != 0) {
		ns->file = value;
		ns->len_bytes = 0;
	}
	p->ns_count++;
	return 0;
}

static int device_begin(struct parser *p, const struct form *form, const char *value)
{
	int ret = device_finish(p);

	if (ret != 0)
		return ret;
	p->form = form;
	p->ns_count = 0;
	p->threaded = p->port = p->absent = false;
	form->defaults(p);
	p->cable = value;
	return form->ns_max != 0 ? namespace_begin(p, value) : 0;
}

/* ---- keys ---- */

/* Of what keeps its data. */
static int set_data_switch(struct parser *p, const char *key, bool on)
{
	struct model_namespace_desc *ns;

	if (p->form->ns_max == 0)
		return -ENOENT;
	ns = &p->ns[p->ns_count - 1];
	if (strcmp(key, "filled") == 0)
		ns->filled = on;
	else if (strcmp(key, "create") == 0)
		ns->create = on;
	else if (strcmp(key, "readonly") == 0)
		ns->read_only = on;
	else if (strcmp(key, "lossy") == 0)
		ns->lossy_cache = on;
	else
		return -ENOENT;
	return 0;
}

static int set_switch(struct parser *p, const char *key, bool on)
{
	if (strcmp(key, "threaded") == 0)
		p->threaded = on;
	else if (strcmp(key, "port") == 0)
		p->port = on;
	else if (strcmp(key, "absent") == 0)
		p->absent = on;
	else if (set_data_switch(p, key, on) != 0)
		return p->form->set_switch(p, key, on);
	return 0;
}

static int set_data(struct parser *p, const char *key, const char *value)
{
	struct model_namespace_desc *ns = &p->ns[p->ns_count - 1];
	uint64_t number;

	if (strcmp(key, "size") == 0) {
		if (machine_text_size(value, &ns->len_bytes) == 0)
			return 0;
		return refuse(p, key, value, "a size such as 64M is needed");
	}
	if (strcmp(key, "block") == 0) {
		if (machine_text_size(value, &number) != 0 || (number != 512 && number != 4096))
			return refuse(p, key, value, "512 or 4096 is needed");
		ns->block_bytes = (uint32_t)number;
		return 0;
	}
	return -ENOENT;
}

/* What is neither a number of the device's nor a switch. */
static int set_other(struct parser *p, const char *key, const char *value)
{
	if (strcmp(key, "mac") == 0 && p->form == &forms[FORM_VNET]) {
		if (model_parse_mac(value, p->config.vnet.mac) == 0)
			return 0;
		return refuse(p, key, value, "an address such as 02:00:00:00:00:01 is needed");
	}
	if (p->form->ns_max == 0)
		return -ENOENT;
	if (strcmp(key, "serial") == 0) {
		if (strlen(value) >= SERIAL_BYTES)
			return refuse(p, key, value, "a text of at most 20 characters is needed");
		snprintf(p->serial, SERIAL_BYTES, "%s", value);
		return 0;
	}
	if (strcmp(key, "latency") == 0 || (strcmp(key, "ready") == 0 && p->form == &forms[FORM_NVME])) {
		if (machine_text_time(value, *key == 'l' ? p->latency_ns : &p->config.nvme.ready_ns) == 0)
			return 0;
		return refuse(p, key, value, "a time such as 10us is needed");
	}
	return set_data(p, key, value);
}

static int set_number(struct parser *p, const struct model_setting *s, const char *key, const char *value)
{
	char why[MODEL_WHY_LEN];
	uint64_t number;

	if (machine_text_size(value, &number) == 0 && model_setting_take(s, number, &p->config) == 0)
		return 0;
	model_setting_range(s, why, sizeof(why));
	return refuse(p, key, value, why);
}

static int set_key(struct parser *p, const char *key, const char *value)
{
	const struct model_setting *s;
	uint64_t number = 1;
	int ret;

	for (unsigned i = 0; i < FORMS; i++)
		if (strcmp(key, forms[i].key) == 0)
			return device_begin(p, &forms[i], value);
	if (p->form == NULL) {
		ret = device_begin(p, &forms[FORM_NVME], "");
		if (ret != 0)
			return ret;
	}
	if (strcmp(key, "ns") == 0 && p->form->ns_max > 1)
		return namespace_begin(p, value);
	s = model_setting_find(p->form->settings, key, NULL);
	if (s != NULL)
		return set_number(p, s, key, value);
	ret = set_other(p, key, value);
	if (ret != -ENOENT)
		return ret;
	ret = *value != '\0' ? machine_text_size(value, &number) : 0;
	if (set_switch(p, key, number != 0) != 0) {
		char why[MODEL_WHY_LEN];

		snprintf(why, sizeof(why), "there is no such setting of %s", p->form->key);
		return refuse(p, key, value, why);
	}
	return ret == 0 && number <= 1 ? 0 : refuse(p, key, value, "1 or 0 is needed");
}

/* @text is cut up. */
static int parse_query(struct parser *p, char *text)
{
	char *save;

	for (char *pair = strtok_r(text, "&", &save); pair != NULL; pair = strtok_r(NULL, "&", &save)) {
		char *value = strchr(pair, '=');
		int ret;

		if (value != NULL)
			*value++ = '\0';
		else
			value = pair + strlen(pair);
		if (machine_text_decode(pair) != 0 || machine_text_decode(value) != 0)
			return refuse(p, pair, value, "a '%' is not followed by two hex digits; %25 is a percent sign");
		ret = set_key(p, pair, value);
		if (ret != 0)
			return ret;
	}
	return device_finish(p);
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

int model_describe(struct model_machine *mm, const char *rest, uint64_t deadline_ns)
{
	struct parser *p;
	char *text;
	int ret = -ENOMEM;

	if (ends_with(rest, ".dts") || ends_with(rest, ".dtb"))
		return model_tree(mm, rest, deadline_ns);
	if (*rest != '\0' && *rest != '?') {
		ob_err(mm->machine.ob, "model: %s: neither a device tree (.dts, .dtb) nor ?key=value", rest);
		return -EINVAL;
	}
	p = calloc(1, sizeof(*p));
	text = strdup(*rest == '?' ? rest + 1 : rest);
	if (p != NULL && text != NULL) {
		p->mm = mm;
		p->slot = FIRST_SLOT;
		ret = *text == '\0' ? device_begin(p, &forms[FORM_NVME], "") : 0;
		if (ret == 0)
			ret = parse_query(p, text);
	}
	free(text);
	free(p);
	return ret;
}
