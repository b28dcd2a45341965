/* SPDX-License-Identifier: BSD-2-Clause */
/* See nvme_probe.h: what probe_each.c has to know of a controller. */
#include "tests/nvme_probe.h"

#include <string.h>

#include "drivers/block/nvme/nvme.h"
#include "tests/probe_each.h"

static bool is_same(const struct ob_dma *a, const struct ob_dma *b)
{
	return a->base != NULL && a->base == b->base;
}

/* By the commands in the admin ring, newest first: is there a queue at this address? */
static bool is_of_queue(const struct nvme *n, const struct ob_dma *dma)
{
	const struct nvme_ring *r = &n->admin.ring;
	uint64_t deleted[2] = {0, 0};

	for (uint32_t i = 1; i <= r->mask && r->sq != NULL; i++) {
		const struct nvme_sqe *sqe = &r->sq[(r->sq_tail - i) & r->mask];
		uint8_t opcode = (uint8_t)ob_le32_load(&sqe->cdw0);
		uint64_t qid = BIT64(FIELD_GET(NVME_QUEUE_QID, ob_le32_load(&sqe->cdw10)) % 64);

		if (opcode == NVME_ADMIN_DELETE_SQ || opcode == NVME_ADMIN_DELETE_CQ)
			deleted[opcode == NVME_ADMIN_DELETE_CQ] |= qid;
		else if ((opcode == NVME_ADMIN_CREATE_SQ || opcode == NVME_ADMIN_CREATE_CQ) &&
			 ob_le64_load(&sqe->prp1) == dma->iova.addr)
			return (deleted[opcode == NVME_ADMIN_CREATE_CQ] & qid) == 0;
	}
	return false;
}

/* The controller was told of it, and not that it is over: rings, doorbell buffers, data of admin commands. */
static bool is_with_device(struct ob_device *dev, const struct ob_dma *dma)
{
	const struct nvme *n = ob_device_driver_data(dev);

	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		const struct nvme_admin_slot *slot = &n->admin.slots[i];

		if (slot->busy && (is_same(&slot->data, dma) || (slot->cmd != NULL && is_same(&slot->cmd->data, dma))))
			return true;
	}
	if (n->shadow_on && (is_same(&n->shadow, dma) || is_same(&n->event_index, dma)))
		return true;
	return is_same(&n->admin.ring.sq_dma, dma) || is_same(&n->admin.ring.cq_dma, dma) || is_of_queue(n, dma);
}

static bool works(struct ob_device *dev)
{
	const struct nvme *n = ob_device_driver_data(dev);

	return (ob_mmio_read32(&n->regs, NVME_CC) & NVME_CC_EN) != 0 ||
	       (ob_mmio_read32(&n->regs, NVME_CSTS) & NVME_CSTS_RDY) != 0;
}

static bool is_clean(struct ob_device *dev)
{
	const struct nvme *n = ob_device_driver_data(dev);

	return n->qids_used[0] == 0 && n->qids_used[1] == 0 && n->vectors_used == 1;
}

static const struct probe_subject subject = {"nvme", is_with_device, works, is_clean, 5};

void nvme_probe_fail_each(const char *uri)
{
	probe_fail_each(uri, &subject);
}

void nvme_channel_fail_each(const char *uri)
{
	channel_fail_each(uri, &subject);
}
