/* SPDX-License-Identifier: BSD-2-Clause */
/* Namespaces: made, resized, attached and formatted, by commands and from outside (NVMe 1.4 §5.19, §5.20, §5.23). */
#include <errno.h>
#include <string.h>

#include "model/block/nvme/controller.h"

bool nvme_model_nsid_is_valid(const struct nvme_model *n, uint32_t nsid)
{
	return nsid != 0 && nsid <= n->config.namespaces_max;
}

struct nvme_ns *nvme_model_namespace(const struct nvme_model *n, uint32_t nsid)
{
	/* One comparison serves both ends: 0 wraps to the largest. */
	return nsid - 1 < n->config.namespaces_max ? n->ns[nsid - 1] : NULL;
}

struct backing *nvme_model_namespace_backing(struct nvme_model *n, uint32_t nsid)
{
	struct nvme_ns *ns = nvme_model_namespace(n, nsid);

	return ns == NULL ? NULL : ns->backing;
}

void nvme_model_namespaces_flush(struct nvme_model *n)
{
	for (uint32_t i = 0; i < n->config.namespaces_max; i++)
		if (n->ns[i] != NULL && n->ns[i]->backing->ops->flush(n->ns[i]->backing) != 0)
			n->media_errors++;
}

int nvme_model_namespace_add(struct nvme_model *n, uint32_t nsid, struct backing *backing, unsigned lba_shift,
			     bool attached, bool read_only)
{
	struct model_host *host = n->host;
	struct nvme_ns *ns;

	if (!nvme_model_nsid_is_valid(n, nsid) || (lba_shift != 9 && lba_shift != 12) ||
	    backing->len_bytes >> lba_shift == 0 || backing->len_bytes > NVME_MODEL_CAPACITY_MAX)
		return -EINVAL;
	if (n->ns[nsid - 1] != NULL)
		return -EEXIST;
	ns = host->ops->alloc(host, sizeof(*ns));
	if (ns == NULL)
		return -ENOMEM;
	ns->nsid = nsid;
	ns->attached = attached;
	ns->read_only = read_only;
	ns->lba_shift = lba_shift;
	ns->backing = backing;
	ns->block_count = backing->len_bytes >> lba_shift;
	n->capacity_used += backing->len_bytes;
	n->ns[nsid - 1] = ns;
	return 0;
}

static void namespace_free(struct nvme_model *n, struct nvme_ns *ns)
{
	struct model_host *host = n->host;

	n->ns[ns->nsid - 1] = NULL;
	n->capacity_used -= ns->backing->len_bytes;
	backing_destroy(ns->backing);
	host->ops->free(host, ns);
}

/* ---- from outside ---- */

int nvme_model_namespace_resize(struct nvme_model *n, uint32_t nsid, uint64_t len_bytes)
{
	struct nvme_ns *ns = nvme_model_namespace(n, nsid);
	uint64_t old;
	int ret;

	if (ns == NULL)
		return -ENOENT;
	if (len_bytes >> ns->lba_shift == 0 || len_bytes > NVME_MODEL_CAPACITY_MAX)
		return -EINVAL;
	old = ns->backing->len_bytes;
	ret = ns->backing->ops->resize(ns->backing, len_bytes);
	if (ret != 0)
		return ret;
	n->capacity_used += len_bytes - old;
	ns->block_count = len_bytes >> ns->lba_shift;
	nvme_model_event_namespace(n, nsid);
	return 0;
}

int nvme_model_namespace_attach(struct nvme_model *n, uint32_t nsid, bool attached)
{
	struct nvme_ns *ns = nvme_model_namespace(n, nsid);

	if (ns == NULL)
		return -ENOENT;
	if (ns->attached != attached) {
		ns->attached = attached;
		nvme_model_event_namespace(n, nsid);
	}
	return 0;
}

/* ---- namespace management ---- */

static uint32_t free_nsid(const struct nvme_model *n)
{
	for (uint32_t i = 0; i < n->config.namespaces_max; i++)
		if (n->ns[i] == NULL)
			return i + 1;
	return 0;
}

static uint16_t namespace_create(struct nvme_model *n, struct nvme_cmd *cmd)
{
	const struct nvme_identify_namespace *id = (const struct nvme_identify_namespace *)(void *)n->transfer;
	const struct nvme_model_config *c = &n->config;
	uint16_t status = nvme_model_from_host(n, cmd, n->transfer, NVME_IDENTIFY_DATA_BYTES);
	uint64_t blocks = ob_le64_to_cpu(id->nsze);
	unsigned format = FIELD_GET(NVME_FLBAS_FORMAT, id->flbas);
	uint32_t nsid = free_nsid(n);
	struct backing *backing;

	if (status != NVME_SC_SUCCESS)
		return status;
	if (format >= FORMAT_COUNT || (id->flbas & NVME_FLBAS_EXTENDED) != 0)
		return FAIL(NVME_SC_INVALID_FORMAT);
	if (id->dps != 0)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (ob_le64_to_cpu(id->ncap) != blocks)
		return blocks < ob_le64_to_cpu(id->ncap) ? FAIL(NVME_SC_INVALID_FIELD)
							 : FAIL(NVME_SC_THIN_PROVISIONING_UNSUPPORTED);
	if (nsid == 0)
		return FAIL(NVME_SC_NAMESPACE_ID_UNAVAILABLE);
	if (blocks == 0)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (c->capacity_bytes < n->capacity_used || c->backing_create == NULL ||
	    blocks > (c->capacity_bytes - n->capacity_used) >> FORMAT_SHIFT(format) ||
	    c->backing_create(c->backing_arg, blocks << FORMAT_SHIFT(format), &backing) != 0)
		return FAIL(NVME_SC_NAMESPACE_CAPACITY);
	if (nvme_model_namespace_add(n, nsid, backing, FORMAT_SHIFT(format), false, false) != 0) {
		backing_destroy(backing);
		return FAIL(NVME_SC_INTERNAL_ERROR);
	}
	n->ns[nsid - 1]->nmic = id->nmic & 1;
	cmd->dw0 = nsid;
	return NVME_SC_SUCCESS;
}

static uint16_t namespace_delete(struct nvme_model *n, struct nvme_cmd *cmd)
{
	bool all = cmd->nsid == NVME_NSID_ALL;

	if (!all && !nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (!all && nvme_model_namespace(n, cmd->nsid) == NULL)
		return FAIL(NVME_SC_INVALID_FIELD);
	for (uint32_t i = 0; i < n->config.namespaces_max; i++) {
		struct nvme_ns *ns = n->ns[i];

		if (ns == NULL || (!all && ns->nsid != cmd->nsid))
			continue;
		if (ns->attached)
			nvme_model_event_namespace(n, ns->nsid);
		namespace_free(n, ns);
	}
	return NVME_SC_SUCCESS;
}

uint16_t nvme_model_namespace_manage(struct nvme_model *n, struct nvme_cmd *cmd)
{
	if (!n->config.namespace_management)
		return FAIL(NVME_SC_INVALID_OPCODE);
	switch (FIELD_GET(NVME_NS_SEL, ob_le32_to_cpu(cmd->sqe->cdw10))) {
	case NVME_NS_CREATE:
		return namespace_create(n, cmd);
	case NVME_NS_DELETE:
		return namespace_delete(n, cmd);
	default:
		return FAIL(NVME_SC_INVALID_FIELD);
	}
}

/* ---- attachment ---- */

uint16_t nvme_model_namespace_attachment(struct nvme_model *n, struct nvme_cmd *cmd)
{
	const struct nvme_controller_list *list = (const struct nvme_controller_list *)(void *)n->transfer;
	unsigned select = FIELD_GET(NVME_NS_SEL, ob_le32_to_cpu(cmd->sqe->cdw10));
	struct nvme_ns *ns = nvme_model_namespace(n, cmd->nsid);
	uint16_t status;

	if (!n->config.namespace_management)
		return FAIL(NVME_SC_INVALID_OPCODE);
	if (select != NVME_NS_ATTACH && select != NVME_NS_DETACH)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (!nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (ns == NULL)
		return FAIL(NVME_SC_INVALID_FIELD);
	status = nvme_model_from_host(n, cmd, n->transfer, NVME_IDENTIFY_DATA_BYTES);
	if (status != NVME_SC_SUCCESS)
		return status;
	/* The one controller is number 0. */
	if (ob_le16_to_cpu(list->count) != 1 || ob_le16_to_cpu(list->id[0]) != 0)
		return FAIL(NVME_SC_INVALID_CONTROLLER_LIST);
	if (select == NVME_NS_ATTACH && ns->attached)
		return FAIL(NVME_SC_NAMESPACE_ATTACHED);
	if (select == NVME_NS_DETACH && !ns->attached)
		return FAIL(NVME_SC_NAMESPACE_NOT_ATTACHED);
	ns->attached = select == NVME_NS_ATTACH;
	nvme_model_event_namespace(n, ns->nsid);
	return NVME_SC_SUCCESS;
}

/* ---- format ---- */

static uint16_t format_one(struct nvme_model *n, struct nvme_ns *ns, unsigned format)
{
	struct backing *b = ns->backing;
	bool changed = ns->lba_shift != FORMAT_SHIFT(format);

	if (ns->read_only)
		return FAIL(NVME_SC_NAMESPACE_WRITE_PROTECTED);
	if (b->len_bytes >> FORMAT_SHIFT(format) == 0)
		return FAIL(NVME_SC_INVALID_FORMAT);
	if (b->ops->zero(b, 0, b->len_bytes, true) != 0 || b->ops->flush(b) != 0)
		return NVME_SC_WRITE_FAULT;
	ns->lba_shift = FORMAT_SHIFT(format);
	ns->block_count = b->len_bytes >> ns->lba_shift;
	if (changed)
		nvme_model_event_namespace(n, ns->nsid);
	return NVME_SC_SUCCESS;
}

uint16_t nvme_model_format(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);
	unsigned format = FIELD_GET(NVME_FORMAT_LBAF, cdw10);
	bool all = cmd->nsid == NVME_NSID_ALL;
	uint16_t status = NVME_SC_SUCCESS;

	if (!all && !nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (!all && nvme_model_namespace(n, cmd->nsid) == NULL)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (format >= FORMAT_COUNT || (cdw10 & NVME_FORMAT_MSET) != 0 || FIELD_GET(NVME_FORMAT_PI, cdw10) != 0)
		return FAIL(NVME_SC_INVALID_FORMAT);
	if (FIELD_GET(NVME_FORMAT_SES, cdw10) > 1)
		return FAIL(NVME_SC_INVALID_FIELD); /* no cryptographic erase (FNA) */
	for (uint32_t i = 0; i < n->config.namespaces_max && status == NVME_SC_SUCCESS; i++)
		if (n->ns[i] != NULL && (all || n->ns[i]->nsid == cmd->nsid))
			status = format_one(n, n->ns[i], format);
	return status;
}
