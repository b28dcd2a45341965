/* SPDX-License-Identifier: BSD-2-Clause */
/* Identify: what the controller and its namespaces are (NVMe 1.4 §5.15). */
#include <string.h>

#include "model/block/nvme/controller.h"

/* ASCII, padded with spaces, not ended. */
static void text_fill(uint8_t *field, size_t field_len, const char *text)
{
	size_t len = strnlen(text, field_len);

	memset(field, ' ', field_len);
	memcpy(field, text, len);
}

static void capacity_fill(ob_le64 field[2], uint64_t bytes)
{
	field[0] = ob_cpu_to_le64(bytes);
	field[1] = ob_cpu_to_le64(0);
}

static uint16_t optional_admin(const struct nvme_model_config *c)
{
	return (uint16_t)(NVME_OACS_FORMAT | NVME_OACS_FIRMWARE | (c->namespace_management ? NVME_OACS_NAMESPACE : 0) |
			  (c->shadow_doorbells ? NVME_OACS_DOORBELL_BUFFER : 0));
}

static uint16_t optional_commands(const struct nvme_model_config *c)
{
	return (uint16_t)((c->compare ? NVME_ONCS_COMPARE : 0) | (c->dataset_management ? NVME_ONCS_DSM : 0) |
			  (c->write_zeroes ? NVME_ONCS_WRITE_ZEROES : 0) | NVME_ONCS_SAVE_SELECT | NVME_ONCS_TIMESTAMP);
}

static void identify_controller(const struct nvme_model *n, struct nvme_identify_controller *id)
{
	const struct nvme_model_config *c = &n->config;

	id->vid = ob_cpu_to_le16(c->vendor);
	id->ssvid = ob_cpu_to_le16(c->subvendor);
	text_fill(id->sn, sizeof(id->sn), c->serial);
	text_fill(id->mn, sizeof(id->mn), c->model);
	text_fill(id->fr, sizeof(id->fr), n->firmware_slot[n->firmware_active - 1]);
	id->rab = 6;
	id->mdts = c->mdts;
	id->ver = ob_cpu_to_le32(n->vs);
	id->rtd3e = ob_cpu_to_le32((uint32_t)MIN(c->shutdown_ns / OB_NS_PER_US, (uint64_t)UINT32_MAX));
	id->oaes = ob_cpu_to_le32(NVME_OAES_NAMESPACE | NVME_OAES_FIRMWARE);
	id->cntrltype = 1;
	id->oacs = ob_cpu_to_le16(optional_admin(c));
	id->acl = c->abort_limit;
	id->aerl = c->aer_limit;
	id->frmw = (uint8_t)(FIELD_PREP(NVME_FRMW_SLOTS, c->firmware_slots) | NVME_FRMW_NO_RESET);
	id->lpa = NVME_LPA_EFFECTS | NVME_LPA_EXTENDED;
	id->elpe = ERROR_LOG_MAX - 1;
	id->wctemp = ob_cpu_to_le16(343);
	id->cctemp = ob_cpu_to_le16(353);
	capacity_fill(id->tnvmcap, c->capacity_bytes);
	capacity_fill(id->unvmcap, c->capacity_bytes - MIN(n->capacity_used, c->capacity_bytes));
	id->fwug = 1;
	id->sqes = (uint8_t)(FIELD_PREP(NVME_QES_MIN, NVME_SQE_SHIFT) | FIELD_PREP(NVME_QES_MAX, NVME_SQE_SHIFT));
	id->cqes = (uint8_t)(FIELD_PREP(NVME_QES_MIN, NVME_CQE_SHIFT) | FIELD_PREP(NVME_QES_MAX, NVME_CQE_SHIFT));
	id->nn = ob_cpu_to_le32(c->namespaces_max);
	id->oncs = ob_cpu_to_le16(optional_commands(c));
	id->vwc = (uint8_t)(FIELD_PREP(NVME_VWC_FLUSH_ALL, 3) | (c->volatile_cache ? NVME_VWC_PRESENT : 0));
	id->sgls = ob_cpu_to_le32(c->sgl ? FIELD_PREP(NVME_SGLS_SUPPORT, NVME_SGLS_ANY) | NVME_SGLS_BIT_BUCKET : 0);
	memcpy(id->subnqn, "nqn.2026-01.org.outboard:", 25);
	memcpy(id->subnqn + 25, c->serial, strnlen(c->serial, sizeof(c->serial) - 1));
	id->psd[0].mp = ob_cpu_to_le16(2500);
}

static void identify_namespace(const struct nvme_ns *ns, struct nvme_identify_namespace *id)
{
	uint64_t blocks = ob_cpu_to_le64(ns->block_count).raw;

	id->nsze.raw = id->ncap.raw = id->nuse.raw = blocks;
	id->flbas = (uint8_t)FIELD_PREP(NVME_FLBAS_FORMAT, FORMAT_OF_SHIFT(ns->lba_shift));
	id->nmic = ns->nmic;
	id->nsattr = ns->read_only ? NVME_NSATTR_PROTECTED : 0;
	capacity_fill(id->nvmcap, ns->block_count << ns->lba_shift);
	/* A name that stays with the namespace; big endian. */
	memcpy(id->eui64, "\x52\x54\x00\x4f\x42", 5);
	id->eui64[6] = (uint8_t)(ns->nsid >> 8);
	id->eui64[7] = (uint8_t)ns->nsid;
}

/* What all namespaces have in common: also what nsid ffffffff asks for. */
static void identify_formats(struct nvme_identify_namespace *id)
{
	id->nlbaf = FORMAT_COUNT - 1;
	id->dlfeat = (uint8_t)(FIELD_PREP(NVME_DLFEAT_READ, NVME_DLFEAT_READ_ZEROES) | NVME_DLFEAT_ZEROES_DEALLOC);
	for (unsigned i = 0; i < FORMAT_COUNT; i++)
		id->lbaf[i] = ob_cpu_to_le32(FIELD_PREP(NVME_LBAF_LBADS, FORMAT_SHIFT(i)));
}

static uint16_t fill_namespace(struct nvme_model *n, const struct nvme_cmd *cmd, bool allocated)
{
	struct nvme_identify_namespace *id = (struct nvme_identify_namespace *)(void *)n->transfer;
	const struct nvme_ns *ns = nvme_model_namespace(n, cmd->nsid);

	if (cmd->nsid == NVME_NSID_ALL && n->config.namespace_management && !allocated) {
		identify_formats(id);
		return NVME_SC_SUCCESS;
	}
	if (!nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (ns == NULL || (!ns->attached && !allocated))
		return NVME_SC_SUCCESS; /* an inactive id: all zero */
	identify_formats(id);
	identify_namespace(ns, id);
	return NVME_SC_SUCCESS;
}

static uint16_t fill_namespace_list(struct nvme_model *n, const struct nvme_cmd *cmd, bool allocated)
{
	struct nvme_namespace_list *list = (struct nvme_namespace_list *)(void *)n->transfer;
	unsigned count = 0;

	if (cmd->nsid >= NVME_NSID_ALL - 1)
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	for (uint32_t i = 0; i < n->config.namespaces_max && count < NVME_NAMESPACE_LIST_MAX; i++) {
		const struct nvme_ns *ns = n->ns[i];

		if (ns != NULL && ns->nsid > cmd->nsid && (ns->attached || allocated))
			list->nsid[count++] = ob_cpu_to_le32(ns->nsid);
	}
	return NVME_SC_SUCCESS;
}

static uint16_t fill_descriptors(struct nvme_model *n, const struct nvme_cmd *cmd)
{
	struct nvme_namespace_descriptor *d = (struct nvme_namespace_descriptor *)(void *)n->transfer;
	const struct nvme_ns *ns = nvme_model_namespace(n, cmd->nsid);
	struct nvme_identify_namespace id = {0};

	if (!nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (ns == NULL || !ns->attached)
		return FAIL(NVME_SC_INVALID_FIELD);
	identify_namespace(ns, &id);
	d->nidt = NVME_NIDT_EUI64;
	d->nidl = sizeof(id.eui64);
	memcpy(d + 1, id.eui64, sizeof(id.eui64));
	return NVME_SC_SUCCESS;
}

/* There is one controller, with id 0. */
static uint16_t fill_controller_list(struct nvme_model *n, const struct nvme_cmd *cmd, bool of_namespace)
{
	struct nvme_controller_list *list = (struct nvme_controller_list *)(void *)n->transfer;
	uint32_t from = FIELD_GET(NVME_IDENTIFY_CNTID, ob_le32_to_cpu(cmd->sqe->cdw10));
	const struct nvme_ns *ns = nvme_model_namespace(n, cmd->nsid);

	if (of_namespace && !nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (from == 0 && (!of_namespace || (ns != NULL && ns->attached)))
		list->count = ob_cpu_to_le16(1);
	return NVME_SC_SUCCESS;
}

uint16_t nvme_model_identify(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cns = FIELD_GET(NVME_IDENTIFY_CNS, ob_le32_to_cpu(cmd->sqe->cdw10));
	bool management = n->config.namespace_management;
	uint16_t status = NVME_SC_SUCCESS;

	memset(n->transfer, 0, NVME_IDENTIFY_DATA_BYTES);
	if (cns >= NVME_CNS_ALLOCATED_NAMESPACES && !management)
		return FAIL(NVME_SC_INVALID_FIELD);
	switch (cns) {
	case NVME_CNS_NAMESPACE:
	case NVME_CNS_ALLOCATED_NAMESPACE:
		status = fill_namespace(n, cmd, cns == NVME_CNS_ALLOCATED_NAMESPACE);
		break;
	case NVME_CNS_CONTROLLER:
		identify_controller(n, (struct nvme_identify_controller *)(void *)n->transfer);
		break;
	case NVME_CNS_ACTIVE_NAMESPACES:
	case NVME_CNS_ALLOCATED_NAMESPACES:
		status = fill_namespace_list(n, cmd, cns == NVME_CNS_ALLOCATED_NAMESPACES);
		break;
	case NVME_CNS_NAMESPACE_DESCRIPTORS:
		status = fill_descriptors(n, cmd);
		break;
	case NVME_CNS_ATTACHED_CONTROLLERS:
	case NVME_CNS_CONTROLLERS:
		status = fill_controller_list(n, cmd, cns == NVME_CNS_ATTACHED_CONTROLLERS);
		break;
	default:
		return FAIL(NVME_SC_INVALID_FIELD);
	}
	return status != NVME_SC_SUCCESS ? status : nvme_model_to_host(n, cmd, n->transfer, NVME_IDENTIFY_DATA_BYTES);
}
