/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Namespaces: which there are (NVM Express 1.4 §5.15.2.3), and what each is as a block device. A scan is the only thing
 * that publishes, resizes and takes away; it runs in probe and after that in the service task.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define TRIM_MAX_BLOCKS   (1u << 30)
#define ZEROES_MAX_BLOCKS 65536u               /* NLB has 16 bits, 0's based */
#define RESCANS_MAX       8u                   /* that a scan which did not learn all asks for */
#define RESCAN_PAUSE_NS   (100 * OB_NS_PER_MS) /* before the first of them; then twice as long each time */

struct scan {
	uint32_t nsid[NVME_NAMESPACES_MAX];
	unsigned count;
	bool unsure; /* something was not learnt, which may be told later */
	union {
		struct nvme_namespace_list list;
		struct nvme_identify_namespace namespace;
	} data;
};

/* ---- which ---- */

static void scan_all(struct nvme *n, struct scan *s)
{
	unsigned max = MIN(n->info.namespace_max, NVME_NAMESPACES_MAX);

	if (n->info.namespace_max > max)
		ob_warn(n->ob, "%s: of %u namespaces the first %u are looked at", n->name, n->info.namespace_max, max);
	for (s->count = 0; s->count < max; s->count++)
		s->nsid[s->count] = s->count + 1;
}

/* One list of at most 1024 ids, ascending, ended by 0. True: there may be more. */
static bool scan_take_list(struct nvme *n, struct scan *s)
{
	uint32_t last = s->count > 0 ? s->nsid[s->count - 1] : 0;

	for (unsigned i = 0; i < NVME_NAMESPACE_LIST_MAX; i++) {
		uint32_t nsid = ob_le32_to_cpu(s->data.list.nsid[i]);

		if (nsid == 0)
			return false;
		if (nsid <= last || nsid > n->info.namespace_max) {
			ob_warn(n->ob, "%s: the list of namespaces is not in order at id %u, the rest is ignored",
				n->name, nsid);
			return false;
		}
		if (s->count == NVME_NAMESPACES_MAX) {
			ob_warn(n->ob, "%s: more than %u namespaces, the rest is ignored", n->name,
				NVME_NAMESPACES_MAX);
			return false;
		}
		s->nsid[s->count++] = last = nsid;
	}
	return true;
}

static int scan_ids(struct nvme *n, struct scan *s)
{
	uint16_t status = 0;
	bool more = true;

	if (n->version < NVME_VERSION(1, 1, 0) || (n->quirks & NVME_QUIRK_NO_NAMESPACE_LIST) != 0) {
		scan_all(n, s);
		return 0;
	}
	while (more) {
		uint32_t after = s->count > 0 ? s->nsid[s->count - 1] : 0;
		int ret = nvme_identify(n, NVME_CNS_ACTIVE_NAMESPACES, after, &s->data, &status);

		if (status != 0 && s->count == 0 && (n->state == NVME_STARTING || !nvme_status_transient(status))) {
			/* Old devices lack the list. Once there are namespaces, nothing but an answer takes them away. */
			s->unsure |= nvme_status_transient(status);
			scan_all(n, s);
			return 0;
		}
		if (ret != 0)
			return ret;
		more = scan_take_list(n, s);
	}
	return 0;
}

/* ---- as a block device ---- */

static void fill_limits(const struct nvme *n, const struct nvme_namespace_info *info, struct ob_block_limits *l)
{
	uint16_t oncs = n->info.oncs;
	bool sgl = n->info.sgl;

	memset(l, 0, sizeof(*l));
	l->block_bytes = info->block_bytes;
	l->physical_bytes = info->physical_bytes;
	l->optimal_bytes = info->optimal_bytes;
	l->block_count = info->block_count;
	l->transfer_max_bytes = n->info.transfer_max_bytes;
	/* PRP: each inner segment is whole pages, and the first may start inside one. */
	l->segment_max = (uint16_t)(sgl ? nvme_list_bytes(n) / sizeof(struct nvme_sgl)
					: n->info.transfer_max_bytes / NVME_PAGE_BYTES + 1);
	l->segment_align = 4; /* PRP1 and SGL with dword support (§4.3, §4.4) */
	l->boundary_mask = sgl ? 0 : NVME_PAGE_BYTES - 1;
	l->write_zeroes = (oncs & NVME_ONCS_WRITE_ZEROES) != 0 && (n->quirks & NVME_QUIRK_NO_WRITE_ZEROES) == 0;
	l->trim = (oncs & NVME_ONCS_DSM) != 0;
	l->compare = (oncs & NVME_ONCS_COMPARE) != 0;
	l->zeroes_max_blocks = l->write_zeroes ? ZEROES_MAX_BLOCKS : 0;
	l->trim_max_blocks = l->trim ? TRIM_MAX_BLOCKS : 0;
	l->read_only = info->read_only;
	l->volatile_cache = n->info.volatile_cache;
	l->fua = (n->quirks & NVME_QUIRK_NO_FUA) == 0;
	l->flush = true;
	l->trim_reads_zero = l->trim && info->reads_zeroes;
}

static int namespace_publish(struct nvme *n, uint32_t nsid, const struct nvme_namespace_info *info)
{
	struct nvme_namespace *ns = nvme_alloc(n, sizeof(*ns));
	struct ob_block_info block = {
		.model = n->info.model,
		.serial = n->info.serial,
		.firmware = n->info.firmware,
		.ops = &nvme_block_ops,
		.driver_data = ns,
	};
	char name[32];
	int ret;

	if (ns == NULL)
		return -ENOMEM;
	ns->nvme = n;
	ns->nsid = nsid;
	ns->info = *info;
	ns->seen = true;
	snprintf(name, sizeof(name), "%sn%u", n->name, nsid);
	block.name = name;
	fill_limits(n, info, &block.limits);
	ret = ob_block_publish(n->dev, &block, &ns->block);
	if (ret != 0) {
		ob_free(ns);
		return ret;
	}
	list_add_tail(&n->namespaces, &ns->link);
	n->namespace_count++;
	return 0;
}

static void namespace_remove(struct nvme *n, struct nvme_namespace *ns)
{
	/* All channels are closed when this returns, and nobody comes in any more. */
	ob_block_unpublish(ns->block);
	list_del(&ns->link);
	n->namespace_count--;
	ob_free(ns);
}

void nvme_namespaces_remove(struct nvme *n)
{
	while (!list_empty(&n->namespaces))
		namespace_remove(n, list_entry(n->namespaces.next, struct nvme_namespace, link));
}

/* ---- changes ---- */

static struct nvme_namespace *find(struct nvme *n, uint32_t nsid)
{
	list_for_each (node, &n->namespaces) {
		struct nvme_namespace *ns = list_entry(node, struct nvme_namespace, link);

		if (ns->nsid == nsid)
			return ns;
	}
	return NULL;
}

/* Same id, other contents: identity or format. Channels that are open must not go on with it. */
static bool is_another(const struct nvme_namespace_info *a, const struct nvme_namespace_info *b)
{
	return a->block_bytes != b->block_bytes || a->read_only != b->read_only ||
	       memcmp(a->nguid, b->nguid, sizeof(a->nguid)) != 0 || memcmp(a->eui64, b->eui64, sizeof(a->eui64)) != 0;
}

/* It is in the list, and nobody says what it is now: then it is what it was. */
static int scan_later(struct scan *s, struct nvme_namespace *ns)
{
	s->unsure = true;
	if (ns != NULL)
		ns->seen = true;
	return 0;
}

int nvme_namespace_holds(struct nvme *n, const struct nvme_namespace *ns)
{
	struct nvme_identify_namespace *id = nvme_alloc(n, sizeof(*id));
	struct nvme_namespace_info info;
	uint16_t status = 0;
	int ret;

	if (id == NULL)
		return -ENOMEM;
	ret = nvme_identify(n, NVME_CNS_NAMESPACE, ns->nsid, id, &status);
	if (status != 0) {
		/* As in a scan: as long as nobody says what it is now, it is what it was. */
		ret = status != NVME_SC_INVALID_NAMESPACE_OR_FORMAT;
	} else if (ret == 0) {
		ret = nvme_parse_namespace(n, ns->nsid, id, &info);
		ret = ret == -EIO || (ret == 0 && !is_another(&ns->info, &info));
	}
	ob_free(id);
	if (ret == 0)
		ob_warn(n->ob, "%s: namespace %u is gone or another one now; what waits for it is not issued", n->name,
			ns->nsid);
	return ret;
}

static int scan_one(struct nvme *n, struct scan *s, uint32_t nsid)
{
	struct nvme_namespace *ns = find(n, nsid);
	struct nvme_namespace_info info;
	uint16_t status = 0;
	int ret = nvme_identify(n, NVME_CNS_NAMESPACE, nsid, &s->data, &status);

	if (status != 0) {
		ob_warn(n->ob, "%s: identify namespace %u: %s", n->name, nsid, ob_nvme_status_text(status));
		return status == NVME_SC_INVALID_NAMESPACE_OR_FORMAT ? 0 : scan_later(s, ns);
	}
	if (ret != 0)
		return ret;
	ret = nvme_parse_namespace(n, nsid, &s->data.namespace, &info);
	if (ret == -EIO)
		return scan_later(s, ns);
	if (ret != 0)
		return 0; /* said why; not active is no news */
	if (ns != NULL && is_another(&ns->info, &info)) {
		ob_warn(n->ob, "%s: namespace %u is another one now", n->name, nsid);
		namespace_remove(n, ns);
		ns = NULL;
	}
	if (ns == NULL)
		return namespace_publish(n, nsid, &info);
	ns->seen = true;
	if (ns->info.block_count != info.block_count)
		ob_block_resize(ns->block, info.block_count);
	ns->info = info;
	return 0;
}

static void remove_unseen(struct nvme *n)
{
	list_for_each_safe (node, &n->namespaces) {
		struct nvme_namespace *ns = list_entry(node, struct nvme_namespace, link);

		if (!ns->seen) {
			ob_info(n->ob, "%s: namespace %u is gone", n->name, ns->nsid);
			namespace_remove(n, ns);
		}
	}
}

/* Whatever the device says of them now: their queues were not made again. */
static void remove_lost(struct nvme *n)
{
	list_for_each_safe (node, &n->namespaces) {
		struct nvme_namespace *ns = list_entry(node, struct nvme_namespace, link);

		if (ns->lost)
			namespace_remove(n, ns);
	}
}

static void rescan_later(struct nvme *n)
{
	if (n->rescan_tries >= RESCANS_MAX) {
		ob_warn(n->ob, "%s: some namespaces remain unknown until the next change", n->name);
		return;
	}
	n->rescan_ns = ob_deadline(RESCAN_PAUSE_NS << n->rescan_tries++);
}

int nvme_rescan(struct nvme *n)
{
	struct scan *s = nvme_alloc(n, sizeof(*s));
	int ret;

	n->rescan_ns = 0;
	remove_lost(n);
	if (s == NULL) {
		rescan_later(n);
		return -ENOMEM;
	}
	ret = scan_ids(n, s);
	if (ret != 0)
		goto out;
	list_for_each (node, &n->namespaces)
		list_entry(node, struct nvme_namespace, link)->seen = false;
	for (unsigned i = 0; i < s->count; i++) {
		ret = scan_one(n, s, s->nsid[i]);
		if (ret != 0)
			goto out;
	}
	remove_unseen(n);
	if (n->namespace_count == 0)
		ob_info(n->ob, "%s: no namespaces", n->name);
out:
	if (ret != 0)
		ob_warn(n->ob, "%s: the scan for namespaces failed: %s", n->name, strerror(-ret));
	if (ret != 0 || s->unsure)
		rescan_later(n);
	ob_free(s);
	return ret;
}
