/* SPDX-License-Identifier: BSD-2-Clause */
/* The host and the hands of a hand-driven NVMe controller model. */
#include "tests/model_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/model/model_machine.h"

static struct rig *rig_of(struct model_host *host)
{
	return (struct rig *)(void *)host;
}

/* ---- host ---- */

static uint8_t *locate(struct rig *r, uint64_t iova, size_t len_bytes)
{
	if (r->refuse_all || iova < RIG_BASE || iova - RIG_BASE > RIG_BYTES ||
	    len_bytes > RIG_BYTES - (iova - RIG_BASE) || (iova < r->refuse_to && iova + len_bytes > r->refuse_from)) {
		r->refusals++;
		return NULL;
	}
	return r->memory + (iova - RIG_BASE);
}

static int host_read(struct model_host *host, uint64_t iova, void *to, size_t len_bytes)
{
	const uint8_t *from = locate(rig_of(host), iova, len_bytes);

	if (from == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	return 0;
}

static int host_write(struct model_host *host, uint64_t iova, const void *from, size_t len_bytes)
{
	uint8_t *to = locate(rig_of(host), iova, len_bytes);

	if (to == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	return 0;
}

static void host_fence(struct model_host *host)
{
}

static bool host_msix_enabled(struct model_host *host)
{
	return rig_of(host)->msix_on;
}

static void host_msix(struct model_host *host, unsigned vector)
{
	rig_of(host)->msix_count[vector]++;
}

static void host_intx(struct model_host *host, bool level)
{
	rig_of(host)->intx = level;
}

static uint64_t host_now(struct model_host *host)
{
	return rig_of(host)->now_ns;
}

static void host_schedule(struct model_host *host, uint64_t at_ns)
{
	rig_of(host)->due_ns = at_ns;
}

static void host_kick(struct model_host *host)
{
	rig_of(host)->kicked = true;
}

static void *host_alloc(struct model_host *host, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void host_free(struct model_host *host, void *memory)
{
	free(memory);
}

static void OB_PRINTF(2, 3) host_note(struct model_host *host, const char *format, ...)
{
	rig_of(host)->notes++;
}

static const struct model_host_ops host_ops = {
	.dma_read = host_read,
	.dma_look = host_read,
	.dma_write = host_write,
	.dma_publish = host_write,
	.dma_fence = host_fence,
	.msix_enabled = host_msix_enabled,
	.msix = host_msix,
	.intx = host_intx,
	.now_ns = host_now,
	.schedule = host_schedule,
	.kick = host_kick,
	.alloc = host_alloc,
	.free = host_free,
	.note = host_note,
};

static int make_backing(void *arg, uint64_t len_bytes, struct backing **out)
{
	return backing_memory_create(len_bytes, false, out);
}

/* ---- the rig ---- */

void rig_host_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->host.ops = &host_ops;
	r->memory = calloc(1, RIG_BYTES);
	assert_non_null(r->memory);
	r->next_free = RIG_BASE;
	r->page_bytes = RIG_PAGE;
	r->msix_on = true;
	r->due_ns = MODEL_NEVER;
	r->now_ns = 1000;
}

void rig_init(struct rig *r, const struct nvme_model_config *wanted)
{
	struct nvme_model_config config;
	struct backing *b;

	rig_host_init(r);
	if (wanted != NULL)
		config = *wanted;
	else
		nvme_model_config_default(&config);
	config.backing_create = make_backing;
	assert_int_equal(nvme_model_create(&r->host, &config, &r->n), 0);
	assert_int_equal(backing_memory_create(RIG_NS_BYTES, false, &b), 0);
	assert_int_equal(nvme_model_namespace_add(r->n, 1, b, 9, true, false), 0);
	assert_int_equal(backing_memory_create(RIG_NS_BYTES, false, &b), 0);
	assert_int_equal(nvme_model_namespace_add(r->n, 2, b, 12, true, false), 0);
}

void rig_fini(struct rig *r)
{
	nvme_model_destroy(r->n);
	rig_host_fini(r);
}

void rig_host_fini(struct rig *r)
{
	free(r->memory);
}

uint64_t rig_alloc(struct rig *r, size_t len_bytes)
{
	uint64_t at = ALIGN_UP(r->next_free, r->page_bytes);

	r->next_free = at + ALIGN_UP(len_bytes, RIG_PAGE);
	assert_true(r->next_free <= RIG_BASE + RIG_BYTES);
	memset(rig_at(r, at), 0, ALIGN_UP(len_bytes, RIG_PAGE));
	return at;
}

void *rig_at(struct rig *r, uint64_t iova)
{
	return r->memory + (iova - RIG_BASE);
}

uint32_t rig_read32(struct rig *r, uint64_t offset)
{
	return (uint32_t)nvme_model_read(r->n, offset, 4);
}

void rig_run(struct rig *r)
{
	for (unsigned i = 0; r->kicked && i < 1000; i++) {
		r->kicked = false;
		while (nvme_model_run(r->n, 16))
			;
	}
	assert_false(r->kicked);
}

void rig_write32(struct rig *r, uint64_t offset, uint32_t value)
{
	nvme_model_write(r->n, offset, 4, value);
	rig_run(r);
}

void rig_write64(struct rig *r, uint64_t offset, uint64_t value)
{
	nvme_model_write(r->n, offset, 8, value);
	rig_run(r);
}

void rig_advance(struct rig *r, uint64_t ns)
{
	uint64_t end = r->now_ns + ns;

	while (r->due_ns <= end) {
		r->now_ns = MAX(r->now_ns, r->due_ns);
		r->due_ns = MODEL_NEVER;
		nvme_model_event(r->n);
		rig_run(r);
	}
	r->now_ns = end;
}

uint32_t rig_enable(struct rig *r, unsigned page_shift)
{
	struct rig_queue *q = &r->q[0];
	uint64_t page = 1ull << page_shift;

	r->page_bytes = page;
	*q = (struct rig_queue){
		.sq = rig_alloc(r, page),
		.sq_count = RIG_ADMIN_DEPTH,
		.cq_count = RIG_ADMIN_DEPTH,
		.phase = true,
	};
	q->cq = rig_alloc(r, page);
	rig_write32(r, NVME_AQA,
		    FIELD_PREP(NVME_AQA_ASQS, q->sq_count - 1) | FIELD_PREP(NVME_AQA_ACQS, q->cq_count - 1));
	rig_write64(r, NVME_ASQ, q->sq);
	rig_write64(r, NVME_ACQ, q->cq);
	rig_write32(r, NVME_CC,
		    NVME_CC_EN | FIELD_PREP(NVME_CC_MPS, page_shift - 12) | FIELD_PREP(NVME_CC_IOSQES, NVME_SQE_SHIFT) |
			    FIELD_PREP(NVME_CC_IOCQES, NVME_CQE_SHIFT));
	return rig_read32(r, NVME_CSTS);
}

void rig_disable(struct rig *r)
{
	rig_write32(r, NVME_CC, 0);
	r->shadow = r->event = 0;
}

uint16_t rig_post(struct rig *r, unsigned qid, struct nvme_sqe *sqe)
{
	struct rig_queue *q = &r->q[qid];
	uint16_t cid = r->next_cid++;
	uint32_t cdw0 = ob_le32_to_cpu(sqe->cdw0) & ~NVME_CDW0_CID;

	sqe->cdw0 = ob_cpu_to_le32(cdw0 | FIELD_PREP(NVME_CDW0_CID, (uint32_t)cid));
	memcpy(rig_at(r, q->sq + q->tail * sizeof(*sqe)), sqe, sizeof(*sqe));
	q->tail = (q->tail + 1) % q->sq_count;
	return cid;
}

void rig_ring(struct rig *r, unsigned qid)
{
	r->doorbells++;
	rig_write32(r, NVME_SQTDBL(qid, 0), r->q[qid].tail);
}

bool rig_take(struct rig *r, unsigned qid, struct nvme_cqe *out)
{
	struct rig_queue *q = &r->q[qid];

	memcpy(out, rig_at(r, q->cq + q->head * sizeof(*out)), sizeof(*out));
	if (((ob_le16_to_cpu(out->status) & NVME_CQE_P) != 0) != q->phase)
		return false;
	if (++q->head == q->cq_count) {
		q->head = 0;
		q->phase = !q->phase;
	}
	return true;
}

void rig_ring_head(struct rig *r, unsigned qid)
{
	rig_write32(r, NVME_CQHDBL(qid, 0), r->q[qid].head);
}

uint16_t rig_status(const struct nvme_cqe *cqe)
{
	uint16_t field = ob_le16_to_cpu(cqe->status);

	return (uint16_t)(NVME_CQE_STATUS(field) | (field & NVME_CQE_DNR));
}

uint16_t rig_do(struct rig *r, unsigned qid, struct nvme_sqe *sqe, uint32_t *dw0)
{
	uint16_t cid = rig_post(r, qid, sqe);
	struct nvme_cqe cqe;

	rig_ring(r, qid);
	assert_true(rig_take(r, qid, &cqe));
	rig_ring_head(r, qid);
	assert_int_equal(ob_le16_to_cpu(cqe.cid), cid);
	assert_int_equal(ob_le16_to_cpu(cqe.sqid), qid);
	if (dw0 != NULL)
		*dw0 = ob_le32_to_cpu(cqe.dw0);
	return rig_status(&cqe);
}

struct nvme_sqe rig_sqe(uint8_t opcode, uint32_t nsid, uint64_t prp1, uint64_t prp2)
{
	struct nvme_sqe sqe;

	memset(&sqe, 0, sizeof(sqe));
	sqe.cdw0 = ob_cpu_to_le32(opcode);
	sqe.nsid = ob_cpu_to_le32(nsid);
	sqe.prp1 = ob_cpu_to_le64(prp1);
	sqe.prp2 = ob_cpu_to_le64(prp2);
	return sqe;
}

void rig_set(struct nvme_sqe *sqe, unsigned cdw, uint32_t value)
{
	ob_le32 *words[] = {&sqe->cdw10, &sqe->cdw11, &sqe->cdw12, &sqe->cdw13, &sqe->cdw14, &sqe->cdw15};

	*words[cdw - 10] = ob_cpu_to_le32(value);
}

uint16_t rig_create(struct rig *r, unsigned qid, uint32_t count, int vector)
{
	uint64_t sq = rig_alloc(r, count * sizeof(struct nvme_sqe));

	return rig_create_at(r, qid, count, vector, sq, rig_alloc(r, count * sizeof(struct nvme_cqe)));
}

uint16_t rig_create_at(struct rig *r, unsigned qid, uint32_t count, int vector, uint64_t sq, uint64_t cq)
{
	struct rig_queue *q = &r->q[qid];
	struct nvme_sqe sqe;
	uint16_t status;

	*q = (struct rig_queue){.sq = sq, .cq = cq, .sq_count = count, .cq_count = count, .phase = true};
	sqe = rig_sqe(NVME_ADMIN_CREATE_CQ, 0, q->cq, 0);
	rig_set(&sqe, 10, FIELD_PREP(NVME_QUEUE_QID, qid) | FIELD_PREP(NVME_QUEUE_QSIZE, count - 1));
	rig_set(&sqe, 11, NVME_CQ_PC | (vector >= 0 ? NVME_CQ_IEN | FIELD_PREP(NVME_CQ_IV, (uint32_t)vector) : 0));
	status = rig_do(r, 0, &sqe, NULL);
	if (status != 0)
		return status;
	sqe = rig_sqe(NVME_ADMIN_CREATE_SQ, 0, q->sq, 0);
	rig_set(&sqe, 10, FIELD_PREP(NVME_QUEUE_QID, qid) | FIELD_PREP(NVME_QUEUE_QSIZE, count - 1));
	rig_set(&sqe, 11, NVME_SQ_PC | FIELD_PREP(NVME_SQ_CQID, qid));
	return rig_do(r, 0, &sqe, NULL);
}

struct nvme_sqe rig_io(struct rig *r, uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t count, uint64_t prp1,
		       uint64_t prp2)
{
	struct nvme_sqe sqe = rig_sqe(opcode, nsid, prp1, prp2);

	rig_set(&sqe, 10, (uint32_t)lba);
	rig_set(&sqe, 11, (uint32_t)(lba >> 32));
	rig_set(&sqe, 12, count - 1);
	return sqe;
}
