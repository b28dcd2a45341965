/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of "vhost-user:" URIs. */
#include "machine/vhost_user/uri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "machine/text.h"
#include "spec/vhost_user.h"
#include "spec/virtio.h"

struct parser {
	struct vu_uri *uri;
	struct machine_text_why why;
};

static int set_type(struct parser *p, const char *value)
{
	uint64_t id = 0;

	if (strcmp(value, "blk") == 0)
		id = VIRTIO_ID_BLOCK;
	else if (strcmp(value, "net") == 0)
		id = VIRTIO_ID_NET;
	else if (machine_text_size(value, &id) != 0 || id == 0 || id > UINT16_MAX)
		return machine_text_refuse(&p->why, "type=%s is neither blk nor net nor a virtio device id", value);
	p->uri->type = (uint32_t)id;
	return 0;
}

static int set_queues(struct parser *p, const char *value)
{
	uint64_t n;
	int ret = machine_text_number("queues", value, 1, VHOST_USER_QUEUES_MAX, &n, &p->why);

	if (ret == 0)
		p->uri->queues = (unsigned)n;
	return ret;
}

static int set_queue_size(struct parser *p, const char *value)
{
	uint64_t n;
	int ret = machine_text_number("queue-size", value, 2, VU_QUEUE_SIZE_MAX, &n, &p->why);

	if (ret == 0 && !IS_POWER_OF_2(n))
		return machine_text_refuse(&p->why, "queue-size=%s is not a power of two", value);
	if (ret == 0)
		p->uri->queue_size = (uint16_t)n;
	return ret;
}

static int set_memory(struct parser *p, const char *value)
{
	uint64_t bytes;

	if (machine_text_size(value, &bytes) != 0 || bytes < OB_MIB || bytes > VU_MEMORY_MAX_BYTES ||
	    !IS_ALIGNED(bytes, OB_MIB))
		return machine_text_refuse(&p->why, "memory=%s is not a multiple of 1M from 1M to 64G", value);
	p->uri->memory_bytes = bytes;
	return 0;
}

static int set_hugepages(struct parser *p, const char *value)
{
	return machine_text_switch("hugepages", value, &p->uri->hugepages, &p->why);
}

/* "10s", "500ms"; a bare number is seconds. */
static int take_time(struct parser *p, const char *key, const char *value, bool zero, uint64_t *out)
{
	uint64_t ns;
	int ret = machine_text_time(value, &ns);

	if (ret == 0 && value[strspn(value, "0123456789")] == '\0')
		ns = ns <= VU_TIME_MAX_NS / OB_NS_PER_S ? ns * OB_NS_PER_S : UINT64_MAX;
	if (ret != 0 || ns > VU_TIME_MAX_NS || (ns == 0 && !zero))
		return machine_text_refuse(&p->why, "%s=%s is not a time like 10s, at most an hour", key, value);
	*out = ns;
	return 0;
}

static int set_reconnect(struct parser *p, const char *value)
{
	return take_time(p, "reconnect", value, true, &p->uri->reconnect_ns);
}

static int set_timeout(struct parser *p, const char *value)
{
	return take_time(p, "timeout", value, false, &p->uri->answer_ns);
}

static int set_mac(struct parser *p, const char *value)
{
	unsigned byte[6];
	int end = 0;

	if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5],
		   &end) != 6 ||
	    value[end] != '\0' || strlen(value) != 17 || (byte[0] & 1) != 0)
		return machine_text_refuse(&p->why, "mac=%s is not the address of a station, like 52:54:00:12:34:56",
					   value);
	for (unsigned i = 0; i < 6; i++)
		p->uri->mac[i] = (uint8_t)byte[i];
	p->uri->has_mac = true;
	return 0;
}

static int set_without(struct parser *p, const char *value)
{
	uint64_t n;
	int ret = machine_text_number("without", value, 0, 63, &n, &p->why);

	if (ret == 0)
		p->uri->without |= BIT64(n);
	return ret;
}

static const struct {
	const char *key;
	int (*set)(struct parser *p, const char *value);
} keys[] = {
	{"hugepages", set_hugepages},   {"mac", set_mac},       {"memory", set_memory},
	{"queue-size", set_queue_size}, {"queues", set_queues}, {"reconnect", set_reconnect},
	{"timeout", set_timeout},       {"type", set_type},     {"without", set_without},
};

static int parse_pair(struct parser *p, char *pair)
{
	char *value;
	int key = machine_text_key(pair, &keys[0].key, sizeof(keys[0]), ARRAY_SIZE(keys), &value, &p->why);

	return key < 0 ? key : keys[key].set(p, value);
}

static int parse_path(struct parser *p, char *path)
{
	if (machine_text_decode(path) < 0)
		return machine_text_refuse(
			&p->why, "'%s': a '%%' is not followed by two hex digits (write %%25 for a percent sign)",
			path);
	if (path[0] == '\0')
		return machine_text_refuse(&p->why, "the path of a socket is needed, as in vhost-user:/run/disk.sock");
	if (strlen(path) >= sizeof(p->uri->path))
		return machine_text_refuse(&p->why, "%s: longer than the %zu bytes that a socket's path may have", path,
					   sizeof(p->uri->path) - 1);
	memcpy(p->uri->path, path, strlen(path) + 1);
	return 0;
}

int vu_uri_parse(const char *rest, struct vu_uri *out, char *why, size_t why_bytes)
{
	struct parser p = {.uri = out, .why = {why, why_bytes}};
	char *text = strdup(rest), *next;
	int ret;

	*out = (struct vu_uri){
		.queue_size = VU_QUEUE_SIZE_DEFAULT,
		.memory_bytes = VU_MEMORY_DEFAULT_BYTES,
		.reconnect_ns = VU_RECONNECT_DEFAULT_NS,
		.answer_ns = VU_ANSWER_DEFAULT_NS,
	};
	snprintf(why, why_bytes, "out of memory");
	if (text == NULL)
		return -ENOMEM;
	next = strchr(text, '?');
	if (next != NULL)
		*next++ = '\0';
	ret = parse_path(&p, text);
	for (char *pair = next; ret == 0 && pair != NULL; pair = next) {
		next = strchr(pair, '&');
		if (next != NULL)
			*next++ = '\0';
		if (pair[0] != '\0')
			ret = parse_pair(&p, pair);
	}
	free(text);
	return ret;
}
