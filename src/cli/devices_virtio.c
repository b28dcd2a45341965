/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard devices, of virtio devices: how each is reached, what it offers and what was agreed on, its queues. */
#include "cli/devices.h"

#include <stdio.h>
#include <string.h>

#include <outboard/virtio.h>

#include "cli/output.h"

#define QUEUES_MAX 65536u /* a queue's index has 16 bits */
#define LINE_MAX   100u

/* "vhost-user", of a machine whose URI begins with that. */
static const char *transport_text(const struct cli *cli, const struct ob_virtio_info *info, char *out)
{
	if (!strcmp(info->transport, "machine"))
		snprintf(out, TEXT_MAX, "%.*s", (int)strcspn(cli->machine_uri, ":"), cli->machine_uri);
	else if (!strcmp(info->transport, "pci"))
		snprintf(out, TEXT_MAX, "PCI");
	else
		snprintf(out, TEXT_MAX, "MMIO");
	return out;
}

static const char *feature_text(uint32_t id, unsigned bit, char *out)
{
	const char *name = ob_virtio_feature_name(id, bit);

	if (name)
		snprintf(out, TEXT_MAX, "%s", name);
	else
		snprintf(out, TEXT_MAX, "bit%u", bit);
	return out;
}

/* In the manner of lspci: all that it offers, with a + what is in use. */
static void print_features(const struct ob_virtio_info *info, unsigned indent)
{
	unsigned column = (unsigned)printf("%*sFeatures:", (int)indent, "");
	char name[TEXT_MAX];

	if (!info->offered)
		printf(" not known, nobody has asked for them");
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(info->offered >> bit & 1))
			continue;
		if (column + strlen(feature_text(info->id, bit, name)) + 2 > LINE_MAX)
			column = (unsigned)printf("\n%*s", (int)indent + 3, "") - 1;
		column += (unsigned)printf(" %s%c", name, info->negotiated >> bit & 1 ? '+' : '-');
	}
	putchar('\n');
}

static void print_queue(const struct ob_virtio_info *info, const struct ob_virtio_queue_info *q, unsigned index,
			unsigned indent)
{
	printf("%*sQueue %u: %s ring of %u, at most %u, %s, %llu buffers added, %llu back%s\n", (int)indent, "", index,
	       info->packed ? "packed" : "split", q->entries, q->entries_max,
	       q->interrupts ? "interrupts" : "no interrupt", (unsigned long long)q->stats.added,
	       (unsigned long long)q->stats.taken, q->broken ? ", broken" : "");
}

/* Neighbours of one size that nobody uses are one line: a port of a switch may have hundreds. */
static void print_unused(unsigned first, unsigned count, unsigned entries_max, unsigned indent)
{
	if (count == 1)
		printf("%*sQueue %u: at most %u, not in use\n", (int)indent, "", first, entries_max);
	else if (count > 1)
		printf("%*sQueues %u to %u: at most %u each, not in use\n", (int)indent, "", first, first + count - 1,
		       entries_max);
}

static void print_queues(struct ob_device *dev, const struct ob_virtio_info *info, unsigned indent)
{
	unsigned unused_count = 0, unused_max = 0, i;
	struct ob_virtio_queue_info q;

	for (i = 0; i < QUEUES_MAX && !ob_virtio_queue_info(dev, i, &q); i++) {
		if (!q.entries && (!unused_count || q.entries_max == unused_max)) {
			unused_max = q.entries_max;
			unused_count++;
			continue;
		}
		print_unused(i - unused_count, unused_count, unused_max, indent);
		unused_count = !q.entries;
		unused_max = q.entries_max;
		if (q.entries)
			print_queue(info, &q, i, indent);
	}
	print_unused(i - unused_count, unused_count, unused_max, indent);
}

void devices_print_virtio(struct cli *cli, struct ob_device *dev, unsigned indent)
{
	struct ob_virtio_info info;
	char text[TEXT_MAX];

	if (ob_virtio_info(dev, &info))
		return;
	printf("%*sTransport: %s, %u interrupt%s, %u bytes of configuration\n", (int)indent, "",
	       transport_text(cli, &info, text), info.vectors, info.vectors == 1 ? "" : "s", info.config_bytes);
	print_features(&info, indent);
	print_queues(dev, &info, indent);
}

/* ---- JSON ---- */

static json_t *json_features(uint32_t id, uint64_t features)
{
	json_t *names = json_array();
	char name[TEXT_MAX];

	for (unsigned bit = 0; bit < 64; bit++)
		if (features >> bit & 1)
			json_array_append_new(names, json_string(feature_text(id, bit, name)));
	return names;
}

static json_t *json_queues(struct ob_device *dev)
{
	struct ob_virtio_queue_info q;
	json_t *queues = json_array();

	for (unsigned i = 0; i < QUEUES_MAX && !ob_virtio_queue_info(dev, i, &q); i++)
		json_array_append_new(queues,
				      json_pack("{s:i, s:i, s:i, s:b, s:b, s:I, s:I}", "index", (int)i, "entries_max",
						(int)q.entries_max, "entries", (int)q.entries, "interrupts",
						(int)q.interrupts, "broken", (int)q.broken, "added",
						(json_int_t)q.stats.added, "taken", (json_int_t)q.stats.taken));
	return queues;
}

json_t *devices_json_virtio(struct cli *cli, struct ob_device *dev)
{
	struct ob_virtio_info info;
	char text[TEXT_MAX];

	if (ob_virtio_info(dev, &info))
		return json_null();
	return json_pack("{s:s, s:i, s:i, s:i, s:b, s:o, s:o, s:o}", "transport", transport_text(cli, &info, text),
			 "status", (int)info.status, "vectors", (int)info.vectors, "config_bytes",
			 (int)info.config_bytes, "packed", (int)info.packed, "offered",
			 json_features(info.id, info.offered), "negotiated", json_features(info.id, info.negotiated),
			 "queues", json_queues(dev));
}
