/* SPDX-License-Identifier: BSD-2-Clause */
/* Admin commands: queues, abort, doorbell buffers, and the way to all others (NVMe 1.4 §5). */
#include "model/block/nvme/controller.h"

struct queue_fields {
	unsigned qid;
	uint32_t entry_count;
	uint32_t cdw11;
	uint64_t base;
};

static struct queue_fields queue_fields(const struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);

	return (struct queue_fields){
		.qid = FIELD_GET(NVME_QUEUE_QID, cdw10),
		.entry_count = FIELD_GET(NVME_QUEUE_QSIZE, cdw10) + 1,
		.cdw11 = ob_le32_to_cpu(cmd->sqe->cdw11),
		.base = ob_le64_to_cpu(cmd->sqe->prp1),
	};
}

/* What both kinds of queue must obey, in the order in which it is looked at. */
static uint16_t queue_check(const struct nvme_model *n, const struct queue_fields *q, unsigned limit, bool exists,
			    bool contiguous, unsigned entry_shift, unsigned wanted_shift)
{
	if (q->qid == 0 || q->qid > limit || exists)
		return FAIL(NVME_SC_INVALID_QID);
	if (q->entry_count < NVME_QUEUE_MIN || q->entry_count > n->config.queue_entries_max)
		return FAIL(NVME_SC_INVALID_QUEUE_SIZE);
	if (!contiguous || entry_shift != wanted_shift)
		return FAIL(NVME_SC_INVALID_FIELD); /* CAP.CQR; CC.IOSQES and CC.IOCQES are to be set before */
	if (q->base == 0)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (!IS_ALIGNED(q->base, page_bytes(n)))
		return FAIL(NVME_SC_INVALID_PRP_OFFSET);
	return NVME_SC_SUCCESS;
}

static uint16_t create_cq(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct model_host *host = n->host;
	struct queue_fields q = queue_fields(cmd);
	unsigned vector = FIELD_GET(NVME_CQ_IV, q.cdw11);
	bool exists = q.qid < QUEUE_COUNT && n->cq[q.qid].exists;
	uint16_t status = queue_check(n, &q, n->feature.cq_count, exists, (q.cdw11 & NVME_CQ_PC) != 0,
				      FIELD_GET(NVME_CC_IOCQES, n->cc), NVME_CQE_SHIFT);

	if (status != NVME_SC_SUCCESS)
		return status;
	if (!nvme_model_cmb_allows(n, q.base, (uint64_t)q.entry_count << NVME_CQE_SHIFT, NVME_CMBSZ_CQS))
		return FAIL(NVME_SC_INVALID_CMB_USE);
	/* The pin has one vector (§5.3). */
	if (vector != 0 && (vector >= n->config.msix_vectors || !host->ops->msix_enabled(host)))
		return FAIL(NVME_SC_INVALID_INTERRUPT_VECTOR);
	nvme_model_cq_start(n, q.qid, q.base, q.entry_count, (q.cdw11 & NVME_CQ_IEN) != 0, (uint16_t)vector);
	return NVME_SC_SUCCESS;
}

static uint16_t create_sq(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct queue_fields q = queue_fields(cmd);
	unsigned cqid = FIELD_GET(NVME_SQ_CQID, q.cdw11);
	bool exists = q.qid < QUEUE_COUNT && n->sq[q.qid].exists;
	uint16_t status;

	if (cqid == 0 || cqid >= QUEUE_COUNT || !n->cq[cqid].exists) {
		/* An id that no queue can have is another mistake than one that no queue has (§5.4). */
		return cqid > n->config.queue_pairs_max ? FAIL(NVME_SC_INVALID_QID) : FAIL(NVME_SC_INVALID_CQ);
	}
	status = queue_check(n, &q, n->feature.sq_count, exists, (q.cdw11 & NVME_SQ_PC) != 0,
			     FIELD_GET(NVME_CC_IOSQES, n->cc), NVME_SQE_SHIFT);
	if (status != NVME_SC_SUCCESS)
		return status;
	if (!nvme_model_cmb_allows(n, q.base, (uint64_t)q.entry_count << NVME_SQE_SHIFT, NVME_CMBSZ_SQS))
		return FAIL(NVME_SC_INVALID_CMB_USE);
	nvme_model_sq_start(n, q.qid, cqid, q.base, q.entry_count);
	return NVME_SC_SUCCESS;
}

static uint16_t delete_sq(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct queue_fields q = queue_fields(cmd);

	if (q.qid == 0 || q.qid >= QUEUE_COUNT || !n->sq[q.qid].exists)
		return FAIL(NVME_SC_INVALID_QID);
	nvme_model_sq_stop(n, q.qid);
	return NVME_SC_SUCCESS;
}

static uint16_t delete_cq(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct queue_fields q = queue_fields(cmd);

	if (q.qid == 0 || q.qid >= QUEUE_COUNT || !n->cq[q.qid].exists)
		return FAIL(NVME_SC_INVALID_QID);
	if (n->cq[q.qid].sq_count != 0)
		return FAIL(NVME_SC_INVALID_QUEUE_DELETION);
	nvme_model_cq_stop(n, q.qid);
	return NVME_SC_SUCCESS;
}

static uint16_t abort_command(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint32_t cdw10 = ob_le32_to_cpu(cmd->sqe->cdw10);
	unsigned sqid = FIELD_GET(NVME_ABORT_SQID, cdw10);

	cmd->dw0 = NVME_ABORT_NOT_ABORTED;
	if (sqid >= QUEUE_COUNT || !n->sq[sqid].exists)
		return FAIL(NVME_SC_INVALID_FIELD);
	if (nvme_model_abort(n, sqid, (uint16_t)FIELD_GET(NVME_ABORT_CID, cdw10)))
		cmd->dw0 = 0;
	return NVME_SC_SUCCESS;
}

static uint16_t doorbell_buffer(struct nvme_model *n, struct nvme_cmd *cmd)
{
	uint64_t shadow = ob_le64_to_cpu(cmd->sqe->prp1), event = ob_le64_to_cpu(cmd->sqe->prp2);

	if (!n->config.shadow_doorbells)
		return FAIL(NVME_SC_INVALID_OPCODE);
	if (shadow == 0 || event == 0 || !IS_ALIGNED(shadow, page_bytes(n)) || !IS_ALIGNED(event, page_bytes(n)))
		return FAIL(NVME_SC_INVALID_FIELD); /* §5.7 */
	nvme_model_shadow_set(n, shadow, event);
	return NVME_SC_SUCCESS;
}

uint16_t nvme_model_admin(struct nvme_model *n, struct nvme_cmd *cmd)
{
	if (FIELD_GET(NVME_CDW0_PSDT, ob_le32_to_cpu(cmd->sqe->cdw0)) != NVME_PSDT_PRP)
		return FAIL(NVME_SC_INVALID_FIELD);
	switch (cmd->opcode) {
	case NVME_ADMIN_DELETE_SQ:
		return delete_sq(n, cmd);
	case NVME_ADMIN_CREATE_SQ:
		return create_sq(n, cmd);
	case NVME_ADMIN_GET_LOG_PAGE:
		return nvme_model_get_log(n, cmd);
	case NVME_ADMIN_DELETE_CQ:
		return delete_cq(n, cmd);
	case NVME_ADMIN_CREATE_CQ:
		return create_cq(n, cmd);
	case NVME_ADMIN_IDENTIFY:
		return nvme_model_identify(n, cmd);
	case NVME_ADMIN_ABORT:
		return abort_command(n, cmd);
	case NVME_ADMIN_SET_FEATURES:
		return nvme_model_set_feature(n, cmd);
	case NVME_ADMIN_GET_FEATURES:
		return nvme_model_get_feature(n, cmd);
	case NVME_ADMIN_ASYNC_EVENT:
		return nvme_model_async_request(n, cmd);
	case NVME_ADMIN_NAMESPACE_MANAGE:
		return nvme_model_namespace_manage(n, cmd);
	case NVME_ADMIN_NAMESPACE_ATTACH:
		return nvme_model_namespace_attachment(n, cmd);
	case NVME_ADMIN_FIRMWARE_COMMIT:
		return nvme_model_firmware_commit(n, cmd);
	case NVME_ADMIN_FIRMWARE_DOWNLOAD:
		return nvme_model_firmware_download(n, cmd);
	case NVME_ADMIN_FORMAT:
		return nvme_model_format(n, cmd);
	case NVME_ADMIN_DOORBELL_BUFFER:
		return doorbell_buffer(n, cmd);
	default:
		return FAIL(NVME_SC_INVALID_OPCODE);
	}
}
