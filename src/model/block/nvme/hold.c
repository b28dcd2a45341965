/* SPDX-License-Identifier: BSD-2-Clause */
/* What memory of the host the controller may use of its own: its rings, its doorbell buffers, data of commands it has. */
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
