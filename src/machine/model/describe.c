/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices a model machine has, from the short form of its URI:
 *
 *	model:                        an NVMe controller with one namespace of 64 MiB of memory
 *	model:?nvme=1G&block=4096     key=value pairs; "nvme" begins another controller, "ns" another namespace of it
 *	model:machine.dts             a device tree (tree.c)
 *
 * docs/MODEL.md lists the keys.
 */
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

/* One controller, as far as the text told. */
struct nvme_desc {
	struct nvme_model_config config;
	struct model_namespace_desc ns[NAMESPACES_MAX];
	unsigned ns_count;
	bool threaded, port, absent;
};

struct parser {
	struct model_machine *mm;
	struct nvme_desc nvme;
	bool have_nvme;
	unsigned nvme_count, slot;
};

static int refuse(const struct parser *p, const char *key, const char *value, const char *why)
{
	ob_err(p->mm->machine.ob, "model: %s%s%s: %s (see docs/MODEL.md)", key, *value != '\0' ? "=" : "", value, why);
	return -EINVAL;
}

/* ---- building ---- */

static int nvme_finish(struct parser *p)
{
	struct model_machine *mm = p->mm;
	struct nvme_desc *d = &p->nvme;
	struct model_pci_bus *bus = &mm->root.bus;
	unsigned slot = p->slot;
	struct model_device *port, *dev;
	char name[MODEL_NAME_LEN], why[MODEL_WHY_LEN];
	int ret;

	if (!p->have_nvme)
		return 0;
	p->have_nvme = false;
	p->slot++;
	if (slot >= PCI_SLOTS_PER_BUS) {
		ob_err(mm->machine.ob, "model: there are slots for %u controllers", PCI_SLOTS_PER_BUS - FIRST_SLOT);
		return -ENOSPC;
	}
	ret = model_settings_agree(&d->config, why, sizeof(why));
	if (ret != 0) {
		ob_err(mm->machine.ob, "model: nvme%u: %s", p->nvme_count, why);
		return ret;
	}
	snprintf(name, sizeof(name), "port%u", p->nvme_count);
	if (d->port) {
		ret = model_device_create_port(mm, (uint8_t)(slot << 3), (uint16_t)(p->nvme_count + 1), name, &port);
		if (ret != 0)
			return ret;
		bus = &port->pci.secondary;
		slot = 0;
	}
	snprintf(name, sizeof(name), "nvme%u", p->nvme_count++);
	ret = model_device_create_nvme(mm, bus, (uint8_t)(slot << 3), name, &d->config, &dev);
	if (ret != 0)
		return ret;
	dev->threaded = d->threaded;
	for (unsigned i = 0; i < d->ns_count; i++) {
		ret = model_device_add_namespace(dev, &d->ns[i], why, sizeof(why));
		if (ret == 0)
			continue;
		ob_err(mm->machine.ob, "model: %s: namespace %" PRIu32 ": %s", name, d->ns[i].nsid, why);
		return ret;
	}
	model_device_ready(dev, !d->absent);
	return 0;
}

/* "64M", "null", "null:1T" or a file. */
static int namespace_begin(struct parser *p, const char *value)
{
	struct nvme_desc *d = &p->nvme;
	struct model_namespace_desc *ns = &d->ns[d->ns_count];

	if (d->ns_count == NAMESPACES_MAX) {
		ob_err(p->mm->machine.ob, "model: the short form has at most %u namespaces", NAMESPACES_MAX);
		return -ENOSPC;
	}
	*ns = (struct model_namespace_desc){
		.nsid = d->ns_count + 1,
		.block_bytes = 512,
		.len_bytes = DEFAULT_BYTES,
	};
	if (strcmp(value, "null") == 0 || strncmp(value, "null:", 5) == 0) {
		ns->null = true;
		if (value[4] == ':' && machine_text_size(value + 5, &ns->len_bytes) != 0)
			return refuse(p, "nvme", value, "a size such as null:1T is needed");
	} else if (*value != '\0' && machine_text_size(value, &ns->len_bytes) != 0) {
		ns->file = value;
		ns->len_bytes = 0;
	}
	d->ns_count++;
	return 0;
}

static int nvme_begin(struct parser *p, const char *value)
{
	int ret = nvme_finish(p);

	if (ret != 0)
		return ret;
	memset(&p->nvme, 0, sizeof(p->nvme));
	nvme_model_config_default(&p->nvme.config);
	snprintf(p->nvme.config.serial, sizeof(p->nvme.config.serial), "OUTBOARD%04u", p->nvme_count + 1);
	p->have_nvme = true;
	return namespace_begin(p, value);
}

/* ---- keys ---- */

static int set_switch(struct parser *p, const char *key, bool on)
{
	struct nvme_desc *d = &p->nvme;
	struct model_namespace_desc *ns = &d->ns[d->ns_count - 1];

	if (strcmp(key, "threaded") == 0)
		d->threaded = on;
	else if (strcmp(key, "port") == 0)
		d->port = on;
	else if (strcmp(key, "sgl") == 0)
		d->config.sgl = on;
	else if (strcmp(key, "shadow") == 0)
		d->config.shadow_doorbells = on;
	else if (strcmp(key, "cache") == 0)
		d->config.volatile_cache = on;
	else if (strcmp(key, "management") == 0)
		d->config.namespace_management = on;
	else if (strcmp(key, "legacy-cmb") == 0)
		d->config.cmb_legacy = on;
	else if (strcmp(key, "retain") == 0)
		d->config.retains = on;
	else if (strcmp(key, "absent") == 0)
		d->absent = on;
	else if (strcmp(key, "filled") == 0)
		ns->filled = on;
	else if (strcmp(key, "create") == 0)
		ns->create = on;
	else if (strcmp(key, "readonly") == 0)
		ns->read_only = on;
	else if (strcmp(key, "detached") == 0)
		ns->detached = on;
	else if (strcmp(key, "lossy") == 0)
		ns->lossy_cache = on;
	else
		return -ENOENT;
	return 0;
}

static int set_text(struct parser *p, const char *key, const char *value)
{
	struct nvme_model_config *c = &p->nvme.config;

	if (strlen(value) >= sizeof(c->serial))
		return refuse(p, key, value, "a text of at most 20 characters is needed");
	snprintf(c->serial, sizeof(c->serial), "%s", value);
	return 0;
}

/* What is neither a number of the controller's nor a switch. */
static int set_other(struct parser *p, const char *key, const char *value)
{
	struct nvme_desc *d = &p->nvme;
	struct model_namespace_desc *ns = &d->ns[d->ns_count - 1];
	uint64_t number;

	if (strcmp(key, "serial") == 0)
		return set_text(p, key, value);
	if (strcmp(key, "latency") == 0 || strcmp(key, "ready") == 0) {
		if (machine_text_time(value, *key == 'l' ? &d->config.latency_ns : &d->config.ready_ns) == 0)
			return 0;
		return refuse(p, key, value, "a time such as 10us is needed");
	}
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

static int set_key(struct parser *p, const char *key, const char *value)
{
	const struct model_setting *s = model_setting_find(key, NULL);
	char why[MODEL_WHY_LEN];
	uint64_t number = 1;
	int ret;

	if (strcmp(key, "nvme") == 0)
		return nvme_begin(p, value);
	if (!p->have_nvme) {
		ret = nvme_begin(p, "");
		if (ret != 0)
			return ret;
	}
	if (strcmp(key, "ns") == 0)
		return namespace_begin(p, value);
	if (s != NULL) {
		if (machine_text_size(value, &number) == 0 && model_setting_take(s, number, &p->nvme.config) == 0)
			return 0;
		model_setting_range(s, why, sizeof(why));
		return refuse(p, key, value, why);
	}
	ret = set_other(p, key, value);
	if (ret != -ENOENT)
		return ret;
	ret = *value != '\0' ? machine_text_size(value, &number) : 0;
	if (set_switch(p, key, number != 0) != 0)
		return refuse(p, key, value, "there is no such setting");
	return ret == 0 ? 0 : refuse(p, key, value, "1 or 0 is needed");
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
		ret = set_key(p, pair, value != NULL ? value : "");
		if (ret != 0)
			return ret;
	}
	return nvme_finish(p);
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
		ret = *text == '\0' ? nvme_begin(p, "") : 0;
		if (ret == 0)
			ret = parse_query(p, text);
	}
	free(text);
	free(p);
	return ret;
}
