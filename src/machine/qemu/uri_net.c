/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net=WIRE[,property=value...], e1000e=WIRE[,property=value...]: a network device of QEMU's, and what is at the
 * other end of its wire.
 *
 *	user                  QEMU's own small network, with a router at 10.0.2.2
 *	tap:NAME              a TAP device of the kernel
 *	dgram:OURS:THEIRS     UNIX datagram sockets, one frame each: QEMU's, and the one it sends to
 *	listen:PATH           a UNIX stream socket, a 32-bit length before each frame; or connect:PATH
 *	hub:N                 all that say the same number are on one cable
 *
 * The properties are the device's, but for queues=N, which is the TAP device's too; only virtio-net has it.
 */
#include "machine/qemu/uri_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/qemu/properties.h"
#include "machine/text.h"

#define TAP_NAME_MAX 15 /* Linux's IFNAMSIZ - 1 */

struct net_wish {
	const char *key; /* of the URI */
	bool virtio;
	bool has_id, has_legacy, has_rom;
	uint64_t queues; /* 0: nothing */
};

/* QEMU's options end at a comma; a doubled one is a comma. */
static char *quote(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *to = out;

	for (; out != NULL && *text != '\0'; text++) {
		if (*text == ',')
			*to++ = ',';
		*to++ = *text;
	}
	if (out != NULL)
		*to = '\0';
	return out;
}

/* ---- the wire ---- */

static int add_dgram(struct qemu_uri *uri, const char *paths, const struct net_wish *wish, size_t index,
		     const struct machine_text_why *why)
{
	const char *colon = strchr(paths, ':');
	char *both, *theirs;

	if (colon == NULL || colon == paths || colon[1] == '\0')
		return machine_text_refuse(why, "%s=dgram:%s is not OURS:THEIRS, two paths of sockets", wish->key,
					   paths);
	both = quote(paths);
	if (both == NULL)
		return -ENOMEM;
	theirs = strchr(both, ':');
	*theirs++ = '\0';
	strings_add(&uri->args, "dgram,id=net%zu,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s", index,
		    both, theirs);
	free(both);
	return 0;
}

static int note_stream(struct qemu_uri *uri, const char *key, const char *path, bool listen)
{
	struct qemu_stream *streams = realloc(uri->streams, (uri->stream_count + 1) * sizeof(*streams));
	char *copy = strdup(path);

	if (streams != NULL)
		uri->streams = streams;
	if (streams == NULL || copy == NULL) {
		free(copy);
		return -ENOMEM;
	}
	streams[uri->stream_count++] = (struct qemu_stream){.key = key, .path = copy, .listen = listen};
	return 0;
}

static int add_stream(struct qemu_uri *uri, const char *key, const char *path, bool listen, size_t index)
{
	char *quoted = quote(path);

	if (quoted == NULL || note_stream(uri, key, path, listen) < 0) {
		free(quoted);
		return -ENOMEM;
	}
	strings_add(&uri->args, "stream,id=net%zu,server=%s,addr.type=unix,addr.path=%s", index, listen ? "on" : "off",
		    quoted);
	free(quoted);
	return 0;
}

/* QEMU cuts longer names short, and then it is another device. */
static int add_tap(struct qemu_uri *uri, const char *name, const struct net_wish *wish, size_t index,
		   const struct machine_text_why *why)
{
	char *quoted, queues[24] = "";

	if (strlen(name) > TAP_NAME_MAX || strpbrk(name, "/%") != NULL)
		return machine_text_refuse(why,
					   "%s=tap:%s: no name for an interface: 1 to 15 characters, no '/' or '%%'",
					   wish->key, name);
	quoted = quote(name);
	if (quoted == NULL)
		return -ENOMEM;
	if (wish->queues > 1)
		snprintf(queues, sizeof(queues), ",queues=%u", (unsigned)wish->queues);
	strings_add(&uri->args, "tap,id=net%zu,ifname=%s,script=no,downscript=no%s", index, quoted, queues);
	free(quoted);
	return 0;
}

static int add_wire(struct qemu_uri *uri, const char *wire, const struct net_wish *wish, size_t index,
		    const struct machine_text_why *why)
{
	const char *value = strchr(wire, ':');
	size_t len = value != NULL ? (size_t)(value - wire) : strlen(wire);
	uint64_t hub;

	strings_add(&uri->args, "-netdev");
	if (strcmp(wire, "user") == 0) {
		strings_add(&uri->args, "user,id=net%zu", index);
		return 0;
	}
	if (value == NULL || value[1] == '\0')
		return machine_text_refuse(
			why,
			"%s=%s: say what it is connected to: user, tap:NAME, dgram:OURS:THEIRS, listen:PATH, "
			"connect:PATH, hub:N",
			wish->key, wire);
	value++;
	if (len == 5 && strncmp(wire, "dgram", len) == 0)
		return add_dgram(uri, value, wish, index, why);
	if (len == 6 && strncmp(wire, "listen", len) == 0)
		return add_stream(uri, wish->key, value, true, index);
	if (len == 7 && strncmp(wire, "connect", len) == 0)
		return add_stream(uri, wish->key, value, false, index);
	if (len == 3 && strncmp(wire, "tap", len) == 0)
		return add_tap(uri, value, wish, index, why);
	if (len == 3 && strncmp(wire, "hub", len) == 0 && machine_text_size(value, &hub) == 0 && hub < 1000) {
		strings_add(&uri->args, "hubport,id=net%zu,hubid=%u", index, (unsigned)hub);
		return 0;
	}
	return machine_text_refuse(
		why, "%s=%s: known are user, tap:NAME, dgram:OURS:THEIRS, listen:PATH, connect:PATH, hub:N", wish->key,
		wire);
}

/* ---- the device ---- */

struct net_look {
	struct net_wish *wish;
	const struct machine_text_why *why;
};

/* What is ours is taken out; which of our defaults the user sets himself is noted. */
static int take_property(void *arg, const char *property)
{
	const struct net_look *look = arg;
	struct net_wish *wish = look->wish;
	int ret;

	wish->has_id = wish->has_id || strncmp(property, "id=", 3) == 0;
	wish->has_legacy = wish->has_legacy || strncmp(property, "disable-legacy=", 15) == 0;
	wish->has_rom = wish->has_rom || strncmp(property, "romfile=", 8) == 0;
	if (strncmp(property, "queues=", 7) != 0)
		return 0;
	ret = machine_text_number("queues", property + 7, 1, QEMU_QUEUES_MAX, &wish->queues, look->why);
	return ret < 0 ? ret : 1;
}

/* Firmware that nobody runs needs no file of it. */
static void add_virtio(struct qemu_uri *uri, const struct net_wish *wish, const char *properties, size_t index)
{
	bool mmio = uri->board->virtio_mmio;
	char id[32] = "", queues[64] = "";

	if (!wish->has_id)
		snprintf(id, sizeof(id), ",id=vnet%zu", index);
	/* A vector for each queue, one for the control queue and one for the configuration; PCI has them. */
	if (wish->queues > 1 && mmio)
		snprintf(queues, sizeof(queues), ",mq=on");
	else if (wish->queues > 1)
		snprintf(queues, sizeof(queues), ",mq=on,vectors=%u", 2 * (unsigned)wish->queues + 2);
	strings_add(&uri->args, "%s,netdev=net%zu%s%s%s%s%s%s", mmio ? "virtio-net-device" : "virtio-net-pci", index,
		    id, mmio || wish->has_legacy ? "" : ",disable-legacy=on",
		    mmio || wish->has_rom ? "" : ",romfile=", queues, properties[0] != '\0' ? "," : "", properties);
}

static void add_e1000e(struct qemu_uri *uri, const struct net_wish *wish, const char *properties, size_t index)
{
	char id[32] = "";

	if (!wish->has_id)
		snprintf(id, sizeof(id), ",id=nic%zu", index);
	strings_add(&uri->args, "e1000e,netdev=net%zu%s%s%s%s", index, id,
		    wish->has_rom ? "" : ",romfile=", properties[0] != '\0' ? "," : "", properties);
}

int qemu_uri_net(struct qemu_uri *uri, const char *key, const char *value, const struct machine_text_why *why)
{
	struct net_wish wish = {.key = key, .virtio = strcmp(key, "virtio-net") == 0};
	char *wire = strdup(value), *properties;
	char none[] = "";
	size_t index = uri->net_count;
	int ret;

	if (wire == NULL)
		return -ENOMEM;
	properties = strchr(wire, ',');
	if (properties != NULL)
		*properties++ = '\0';
	else
		properties = none;
	ret = qemu_properties_take(properties, take_property, &(struct net_look){&wish, why});
	if (ret == 0 && wish.queues > 1 && !wish.virtio)
		ret = machine_text_refuse(why, "%s=%s: it has one queue", key, wire);
	if (ret == 0 && wish.queues > 1 && strncmp(wire, "tap:", 4) != 0)
		ret = machine_text_refuse(why, "%s=%s: only a TAP device has several queues", key, wire);
	if (ret == 0)
		ret = add_wire(uri, wire, &wish, index, why);
	if (ret == 0) {
		strings_add(&uri->args, "-device");
		(wish.virtio ? add_virtio : add_e1000e)(uri, &wish, properties, index);
	}
	uri->net_count++;
	free(wire);
	return ret;
}
