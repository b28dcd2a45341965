/* SPDX-License-Identifier: BSD-2-Clause */
/* The two rings of a queue pair and their doorbells: NVM Express 1.4 §4.1, §4.6, §7.13. Admin and I/O queues alike. */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

int nvme_ring_init(struct nvme *n, struct nvme_ring *r, unsigned qid, uint32_t entries)
{
	int ret;

	/* Page aligned, as the admin queue's must be and those of I/O queues with CC.MPS 0 (§3.1.9, §5.3). */
	ret = ob_dma_alloc(n->dev, (size_t)entries * sizeof(struct nvme_sqe), NVME_PAGE_BYTES, &r->sq_dma);
	if (ret != 0)
		return ret;
	ret = ob_dma_alloc(n->dev, (size_t)entries * sizeof(struct nvme_cqe), NVME_PAGE_BYTES, &r->cq_dma);
	if (ret != 0)
		goto free_sq;
	r->sq = r->sq_dma.base;
	r->cq = r->cq_dma.base;
	r->mask = entries - 1;
	r->qid = (uint16_t)qid;
	r->sqid_high = (uint32_t)qid << 16;
	r->sq_doorbell = NVME_SQTDBL(qid, n->dstrd);
	r->cq_doorbell = NVME_CQHDBL(qid, n->dstrd);
	r->regs = &n->regs;
	r->sq_address = r->sq_dma.iova.addr;
	return 0;

free_sq:
	ob_dma_free(n->dev, &r->sq_dma);
	return ret;
}

void nvme_ring_fini(struct nvme *n, struct nvme_ring *r)
{
	ob_dma_free(n->dev, &r->cq_dma);
	ob_dma_free(n->dev, &r->sq_dma);
}

void nvme_ring_rewind(struct nvme_ring *r)
{
	/* Phase bits must read 0 before the device's first round (§4.6). */
	ob_dma_zero(r->cq_dma.base, r->cq_dma.len_bytes);
	ob_dma_zero(r->sq_dma.base, r->sq_dma.len_bytes);
	r->sq_tail = 0;
	r->sq_told = 0;
	OB_WRITE_ONCE(r->cq_pos, 0);
	r->cq_told = 0;
	/* Seen before the queue is made known, by a register write or by a command in another ring. */
	ob_dma_wmb();
}

void nvme_ring_set_shadow(const struct nvme *n, struct nvme_ring *r)
{
	uint8_t *shadow = n->shadow.base;
	uint8_t *event = n->event_index.base;

	/* Not the admin queue: controllers differ in whether they take part with it, and its registers are cheap enough. */
	if (!n->shadow_on || r->qid == 0) {
		r->shadow_sq = r->shadow_cq = NULL;
		r->event_sq = r->event_cq = NULL;
		return;
	}
	r->shadow_sq = (ob_le32 *)(void *)(shadow + NVME_SHADOW_SQ(r->qid, n->dstrd));
	r->shadow_cq = (ob_le32 *)(void *)(shadow + NVME_SHADOW_CQ(r->qid, n->dstrd));
	r->event_sq = (const ob_le32 *)(void *)(event + NVME_SHADOW_SQ(r->qid, n->dstrd));
	r->event_cq = (const ob_le32 *)(void *)(event + NVME_SHADOW_CQ(r->qid, n->dstrd));
	/*
	 * What an earlier queue of this id left there would be taken for entries of this one, or keep us from ringing.
	 * The device looks only once it knows of the queue, by a command whose doorbell comes after these stores.
	 */
	ob_le32_store(r->shadow_sq, 0);
	ob_le32_store(r->shadow_cq, 0);
	ob_le32_store((ob_le32 *)(void *)(event + NVME_SHADOW_SQ(r->qid, n->dstrd)), 0);
	ob_le32_store((ob_le32 *)(void *)(event + NVME_SHADOW_CQ(r->qid, n->dstrd)), 0);
}

/* Returns whether the register must be written as well: the move from told to value passed the event index (§7.13). */
bool nvme_shadow_update(ob_le32 *shadow, const ob_le32 *event, uint32_t value, uint32_t told, uint32_t mask)
{
	uint32_t index;

	/* Ring entries before the shadow that tells of them. */
	ob_dma_wmb();
	ob_le32_store(shadow, value);
	/*
	 * The shadow before the look at the event index; the device writes its index and then looks at the shadow. So
	 * one of the two sees the other's word, and no update is lost.
	 */
	ob_dma_mb();
	index = ob_le32_load(event);
	return ((value - index - 1) & mask) < ((value - told) & mask);
}
