/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller has of the host: memory that it may use of its own (rings, doorbell buffers, data of commands),
 * and completions that nobody took.
 */
#include "model/block/nvme/controller.h"

struct range {
	uint64_t start, len_bytes;
};

static bool overlaps(const struct range *r, uint64_t start, uint64_t len_bytes)
{
	return start < r->start + r->len_bytes && r->start < start + len_bytes;
}

/* The first page or descriptor, and the list or second page: enough to tell whose memory it is. */
static bool command_uses(const struct range *r, const struct slot *slot)
{
	uint64_t prp1 = ob_le64_to_cpu(slot->sqe.prp1);
	bool sgl = FIELD_GET(NVME_CDW0_PSDT, ob_le32_to_cpu(slot->sqe.cdw0)) != NVME_PSDT_PRP;

	return (prp1 != 0 && overlaps(r, prp1, 1)) || (!sgl && overlaps(r, ob_le64_to_cpu(slot->sqe.prp2), 1));
}

const char *nvme_model_holds(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes)
{
	const struct range r = {iova, len_bytes};

	if ((n->csts & NVME_CSTS_RDY) == 0)
		return NULL;
	for (unsigned i = 0; i < QUEUE_COUNT; i++) {
		if (n->sq[i].exists && overlaps(&r, n->sq[i].base, (uint64_t)n->sq[i].entry_count << NVME_SQE_SHIFT))
			return "a submission queue";
		if (n->cq[i].exists && overlaps(&r, n->cq[i].base, (uint64_t)n->cq[i].entry_count << NVME_CQE_SHIFT))
			return "a completion queue";
	}
	if (n->shadow_base != 0 && (overlaps(&r, n->shadow_base, 1) || overlaps(&r, n->event_base, 1)))
		return "the doorbell buffers";
	list_for_each (node, &n->delayed)
		if (command_uses(&r, list_entry(node, struct slot, link)))
			return "the data of a command that has not ended";
	return NULL;
}

bool nvme_model_unseen(const struct nvme_model *n, unsigned *qid)
{
	if ((n->csts & NVME_CSTS_RDY) == 0)
		return false;
	for (unsigned i = 0; i <= n->config.queue_pairs_max; i++) {
		const struct nvme_cq *cq = &n->cq[i];

		/* The head of a shadow doorbell lies in memory, and the controller has no reason to look there. */
		if (!cq->exists || !cq->interrupt || cq->shadow != 0 || cq->head == cq->tail)
			continue;
		*qid = i;
		return true;
	}
	return false;
}
