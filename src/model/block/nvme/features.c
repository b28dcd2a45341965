/* SPDX-License-Identifier: BSD-2-Clause */
/* Features (NVMe 1.4 §5.14, §5.21). None of them can be saved: each comes back as its default after a reset. */
#include <string.h>

#include "model/block/nvme/controller.h"

#define SELECT_CURRENT      0
#define SELECT_DEFAULT      1
#define SELECT_SAVED        2
#define SELECT_CAPABILITIES 3

#define CAPABILITY_NAMESPACE  BIT(1)
#define CAPABILITY_CHANGEABLE BIT(2)

#define TEMPERATURE_SENSOR BITS(19, 16) /* feature 04h, CDW11 */
#define TEMPERATURE_KIND   BITS(21, 20)
#define TEMPERATURE_UNDER  1
#define TEMPERATURE_ALL    0xf
#define VECTOR_INDEX       BITS(15, 0) /* feature 09h, CDW11 */
#define VECTOR_NO_COALESCE BIT(16)
#define POWER_STATE        BITS(4, 0) /* feature 02h, CDW11 */
#define TIMESTAMP_BYTES    8
#define TIMESTAMP_MASK     BITS64(47, 0)

void nvme_model_features_reset(struct nvme_model *n)
{
	struct features *f = &n->feature;
	uint64_t base = f->timestamp_base, set_ns = f->timestamp_set_ns;

	*f = (struct features){
		.arbitration = 7, /* no limit to a burst */
		.write_cache = n->config.volatile_cache ? NVME_VWC_ENABLE : 0,
		.temperature_over = 343,
		.sq_count = n->config.queue_pairs_max,
		.cq_count = n->config.queue_pairs_max,
		.timestamp_base = base,
		.timestamp_set_ns = set_ns,
	};
}

/* Capabilities of a feature, or 0 when there is no such feature. */
static uint32_t feature_capabilities(const struct nvme_model *n, unsigned fid)
{
	switch (fid) {
	case NVME_FEATURE_ARBITRATION:
	case NVME_FEATURE_POWER:
	case NVME_FEATURE_TEMPERATURE:
	case NVME_FEATURE_QUEUE_COUNT:
	case NVME_FEATURE_INTERRUPT_COALESCING:
	case NVME_FEATURE_INTERRUPT_VECTOR:
	case NVME_FEATURE_WRITE_ATOMICITY:
	case NVME_FEATURE_ASYNC_EVENT:
	case NVME_FEATURE_TIMESTAMP:
		return CAPABILITY_CHANGEABLE;
	case NVME_FEATURE_ERROR_RECOVERY:
		return CAPABILITY_CHANGEABLE | CAPABILITY_NAMESPACE;
	case NVME_FEATURE_VOLATILE_WRITE_CACHE:
		return n->config.volatile_cache ? CAPABILITY_CHANGEABLE : 0;
	default:
		return 0;
	}
}

static uint16_t nsid_check(const struct nvme_model *n, const struct nvme_cmd *cmd, uint32_t capabilities, bool set)
{
	bool per_namespace = (capabilities & CAPABILITY_NAMESPACE) != 0;

	if (!per_namespace) {
		if (set && cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL)
			return FAIL(NVME_SC_FEATURE_NOT_NAMESPACE_SPECIFIC);
		return NVME_SC_SUCCESS;
	}
	if (cmd->nsid == NVME_NSID_ALL)
		return set ? NVME_SC_SUCCESS : FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	if (!nvme_model_nsid_is_valid(n, cmd->nsid))
		return FAIL(NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	return nvme_model_namespace(n, cmd->nsid) != NULL ? NVME_SC_SUCCESS : FAIL(NVME_SC_INVALID_FIELD);
}

/* ---- set ---- */

static uint16_t set_queue_count(struct nvme_model *n, struct nvme_cmd *cmd, uint32_t value)
{
	uint32_t sq = FIELD_GET(NVME_QUEUE_COUNT_SQ, value), cq = FIELD_GET(NVME_QUEUE_COUNT_CQ, value);
	uint32_t max = n->config.queue_pairs_max;

	for (unsigned i = 1; i < QUEUE_COUNT; i++)
		if (nvme_model_queue_exists(n, i))
			return FAIL(NVME_SC_COMMAND_SEQUENCE_ERROR);
	if (sq == 0xffff || cq == 0xffff)
		return FAIL(NVME_SC_INVALID_FIELD);
	n->feature.sq_count = (uint16_t)MIN(sq + 1, max);
	n->feature.cq_count = (uint16_t)MIN(cq + 1, max);
	cmd->dw0 = FIELD_PREP(NVME_QUEUE_COUNT_SQ, n->feature.sq_count - 1u) |
		   FIELD_PREP(NVME_QUEUE_COUNT_CQ, n->feature.cq_count - 1u);
	return NVME_SC_SUCCESS;
}

static uint16_t set_temperature(struct nvme_model *n, uint32_t value)
{
	unsigned sensor = FIELD_GET(TEMPERATURE_SENSOR, value), kind = FIELD_GET(TEMPERATURE_KIND, value);
	uint16_t kelvin = (uint16_t)FIELD_GET(NVME_TEMPERATURE_TMPTH, value);

	if (kind > TEMPERATURE_UNDER || (sensor != 0 && sensor != TEMPERATURE_ALL))
		return FAIL(NVME_SC_INVALID_FIELD); /* there is the composite sensor only */
	if (kind == TEMPERATURE_UNDER)
		n->feature.temperature_under = kelvin;
	else
		n->feature.temperature_over = kelvin;
	nvme_model_event_temperature(n);
	return NVME_SC_SUCCESS;
}

static uint16_t set_vector(struct nvme_model *n, uint32_t value)
{
	uint32_t vector = FIELD_GET(VECTOR_INDEX, value);

	if (vector >= MAX((uint32_t)n->config.msix_vectors, 1u))
		return FAIL(NVME_SC_INVALID_FIELD);
	/* The admin vector is never coalesced. */
	if (vector != 0)
		n->feature.vector[vector] = value & (VECTOR_INDEX | VECTOR_NO_COALESCE);
	return NVME_SC_SUCCESS;
}

static uint16_t set_timestamp(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct model_host *host = n->host;
	ob_le64 value;
	uint16_t status = nvme_model_from_host(n, cmd, &value, TIMESTAMP_BYTES);

	if (status != NVME_SC_SUCCESS)
		return status;
	n->feature.timestamp_base = ob_le64_to_cpu(value) & TIMESTAMP_MASK;
	n->feature.timestamp_set_ns = host->ops->now_ns(host);
	n->feature.timestamp_origin = 1; /* set by the host */
	return NVME_SC_SUCCESS;
}

static uint16_t set_write_cache(struct nvme_model *n, uint32_t value)
{
	if ((n->feature.write_cache & ~value & NVME_VWC_ENABLE) != 0)
		nvme_model_namespaces_flush(n); /* what it holds must not be lost when it goes */
	n->feature.write_cache = value & NVME_VWC_ENABLE;
	return NVME_SC_SUCCESS;
}

static uint16_t set_value(struct nvme_model *n, struct nvme_cmd *cmd, unsigned fid, uint32_t value)
{
	switch (fid) {
	case NVME_FEATURE_ARBITRATION:
		n->feature.arbitration = value;
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_POWER:
		if (FIELD_GET(POWER_STATE, value) != 0)
			return FAIL(NVME_SC_INVALID_FIELD); /* NPSS is 0 */
		n->feature.power = value;
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_TEMPERATURE:
		return set_temperature(n, value);
	case NVME_FEATURE_ERROR_RECOVERY:
		n->feature.error_recovery = value & 0xffff;
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_VOLATILE_WRITE_CACHE:
		return set_write_cache(n, value);
	case NVME_FEATURE_QUEUE_COUNT:
		return set_queue_count(n, cmd, value);
	case NVME_FEATURE_INTERRUPT_COALESCING:
		n->feature.coalescing = value & (NVME_COALESCE_THR | NVME_COALESCE_TIME);
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_INTERRUPT_VECTOR:
		return set_vector(n, value);
	case NVME_FEATURE_WRITE_ATOMICITY:
		n->feature.atomicity = value & BIT(0);
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_ASYNC_EVENT:
		n->feature.async = value;
		return NVME_SC_SUCCESS;
	default:
		return set_timestamp(n, cmd);
	}
}

uint16_t nvme_model_set_feature(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);
	unsigned fid = FIELD_GET(NVME_FEATURE_FID, cdw10);
	uint32_t capabilities = feature_capabilities(n, fid);
	uint16_t status;

	if (capabilities == 0)
		return FAIL(NVME_SC_INVALID_FIELD);
	if ((cdw10 & NVME_FEATURE_SAVE) != 0)
		return FAIL(NVME_SC_FEATURE_NOT_SAVEABLE);
	status = nsid_check(n, cmd, capabilities, true);
	return status != NVME_SC_SUCCESS ? status : set_value(n, cmd, fid, ob_le32_to_cpu(cmd->sqe->cdw11));
}

/* ---- get ---- */

static uint16_t get_timestamp(struct nvme_model *n, struct nvme_cmd *cmd, const struct features *f)
{
	struct model_host *host = n->host;
	uint64_t passed_ms = (host->ops->now_ns(host) - f->timestamp_set_ns) / OB_NS_PER_MS;
	uint64_t value = ((f->timestamp_base + passed_ms) & TIMESTAMP_MASK) | (uint64_t)(f->timestamp_origin << 1)
										      << 48;
	ob_le64 field = ob_cpu_to_le64(value);

	return nvme_model_to_host(n, cmd, &field, TIMESTAMP_BYTES);
}

static uint16_t get_value(struct nvme_model *n, struct nvme_cmd *cmd, unsigned fid, const struct features *f)
{
	uint32_t cdw11 = ob_le32_to_cpu(cmd->sqe->cdw11);

	switch (fid) {
	case NVME_FEATURE_ARBITRATION:
		cmd->dw0 = f->arbitration;
		break;
	case NVME_FEATURE_POWER:
		cmd->dw0 = f->power;
		break;
	case NVME_FEATURE_TEMPERATURE:
		if (FIELD_GET(TEMPERATURE_SENSOR, cdw11) == 0)
			cmd->dw0 = FIELD_GET(TEMPERATURE_KIND, cdw11) == TEMPERATURE_UNDER ? f->temperature_under
											   : f->temperature_over;
		break;
	case NVME_FEATURE_ERROR_RECOVERY:
		cmd->dw0 = f->error_recovery;
		break;
	case NVME_FEATURE_VOLATILE_WRITE_CACHE:
		cmd->dw0 = f->write_cache;
		break;
	case NVME_FEATURE_QUEUE_COUNT:
		cmd->dw0 = FIELD_PREP(NVME_QUEUE_COUNT_SQ, f->sq_count - 1u) |
			   FIELD_PREP(NVME_QUEUE_COUNT_CQ, f->cq_count - 1u);
		break;
	case NVME_FEATURE_INTERRUPT_COALESCING:
		cmd->dw0 = f->coalescing;
		break;
	case NVME_FEATURE_INTERRUPT_VECTOR:
		if (FIELD_GET(VECTOR_INDEX, cdw11) >= MAX((uint32_t)n->config.msix_vectors, 1u))
			return FAIL(NVME_SC_INVALID_FIELD);
		cmd->dw0 = f->vector[FIELD_GET(VECTOR_INDEX, cdw11)] | FIELD_GET(VECTOR_INDEX, cdw11);
		if (FIELD_GET(VECTOR_INDEX, cdw11) == 0)
			cmd->dw0 |= VECTOR_NO_COALESCE;
		break;
	case NVME_FEATURE_WRITE_ATOMICITY:
		cmd->dw0 = f->atomicity;
		break;
	case NVME_FEATURE_ASYNC_EVENT:
		cmd->dw0 = f->async;
		break;
	default:
		return get_timestamp(n, cmd, f);
	}
	return NVME_SC_SUCCESS;
}

uint16_t nvme_model_get_feature(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);
	unsigned fid = FIELD_GET(NVME_FEATURE_FID, cdw10), select = FIELD_GET(NVME_FEATURE_SEL, cdw10);
	uint32_t capabilities = feature_capabilities(n, fid);
	struct features kept;
	uint16_t status;

	if (capabilities == 0)
		return FAIL(NVME_SC_INVALID_FIELD);
	status = nsid_check(n, cmd, capabilities, false);
	if (status != NVME_SC_SUCCESS)
		return status;
	switch (select) {
	case SELECT_CURRENT:
		return get_value(n, cmd, fid, &n->feature);
	case SELECT_DEFAULT:
	case SELECT_SAVED: /* nothing can be saved: then it is the default (§7.8) */
		kept = n->feature;
		nvme_model_features_reset(n);
		status = get_value(n, cmd, fid, &n->feature);
		n->feature = kept;
		return status;
	case SELECT_CAPABILITIES:
		cmd->dw0 = capabilities;
		return NVME_SC_SUCCESS;
	default:
		return FAIL(NVME_SC_INVALID_FIELD);
	}
}
