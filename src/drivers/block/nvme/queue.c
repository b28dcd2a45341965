/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O path: a request becomes a submission queue entry, a completion queue entry ends a request; NVM Express 1.4
 * §4.1 to §4.6, clause 6.
 *
 * No lock, no allocation, no system call, no division. What was submitted is known from the slots, in memory that the
 * device cannot write; the rings are written for the device and only completions are read from it.
 */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

static_assert(NVME_CMD_READ == 2 - OB_BLOCK_READ && NVME_CMD_WRITE == 2 - OB_BLOCK_WRITE, "opcodes by subtraction");

/* For the trace. */
static const uint8_t opcodes[OB_BLOCK_OP_COUNT] = {
	[OB_BLOCK_READ] = NVME_CMD_READ,   [OB_BLOCK_WRITE] = NVME_CMD_WRITE,
	[OB_BLOCK_FLUSH] = NVME_CMD_FLUSH, [OB_BLOCK_WRITE_ZEROES] = NVME_CMD_WRITE_ZEROES,
	[OB_BLOCK_TRIM] = NVME_CMD_DSM,    [OB_BLOCK_COMPARE] = NVME_CMD_COMPARE,
};

static inline struct nvme_list slot_list(const struct nvme_queue *q, unsigned tag)
{
	uint64_t offset = (uint64_t)tag * q->list_bytes;

	return (struct nvme_list){q->lists + offset, {q->lists_iova.addr + offset}, q->list_bytes};
}

/*
 * An entry is stored word by word, two fields of 32 bits at once: a copy from a local would read back what was just stored
 * in parts. CDW2 and 3, MPTR, CDW14 and 15 are zero in all that we issue: they are zeroed with the ring and stay so.
 */
static inline void sqe_store(struct nvme_queue *q, uint32_t cdw0, uint64_t dptr0, uint64_t dptr1, uint64_t cdw10,
			     uint64_t cdw12)
{
	struct nvme_ring *r = &q->ring;
	struct nvme_sqe *sqe = &r->sq[r->sq_tail];

	ob_le32_pair_store(&sqe->cdw0, q->nsid_high | cdw0);
	ob_le64_store(&sqe->prp1, dptr0);
	ob_le64_store(&sqe->prp2, dptr1);
	ob_le32_pair_store(&sqe->cdw10, cdw10);
	ob_le32_pair_store(&sqe->cdw12, cdw12);
	r->sq_tail = (r->sq_tail + 1) & r->mask;
}

/* ---- any request ---- */

/* PRP wherever it can express the request, as every controller takes it; SGL for the rest, where it is offered. */
static int data_build(const struct nvme_queue *q, const struct ob_block_request *request, unsigned tag,
		      enum ob_dma_rights rights, struct nvme_data_pointer *out)
{
	struct nvme_list list = slot_list(q, tag);
	int ret = nvme_prp_build(&list, request, q->dma_index, rights, out);

	if (ret == -EINVAL && q->sgl)
		ret = nvme_sgl_build(&list, request, q->dma_index, rights, out);
	return ret;
}

static int issue_data(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag, uint32_t cdw0,
		      enum ob_dma_rights rights)
{
	struct nvme_data_pointer data;
	uint64_t cdw12 = request->block_count - 1;
	int ret = data_build(q, request, tag, rights, &data);

	if (ret != 0)
		return ret;
	if ((request->flags & OB_BLOCK_FUA) != 0)
		cdw12 |= NVME_RW_FUA;
	sqe_store(q, cdw0 | FIELD_PREP(NVME_CDW0_PSDT, data.psdt), data.word[0], data.word[1], request->lba, cdw12);
	return 0;
}

static void issue_zeroes(struct nvme_queue *q, const struct ob_block_request *request, uint32_t cdw0)
{
	uint64_t cdw12 = request->block_count - 1;

	if ((request->flags & OB_BLOCK_FUA) != 0)
		cdw12 |= NVME_RW_FUA;
	/* Deallocated blocks of this namespace read as zeroes, so the device may drop them (§6.17). */
	if ((request->flags & OB_BLOCK_NO_TRIM) == 0 && q->deallocate_zeroes)
		cdw12 |= NVME_RW_DEAC;
	sqe_store(q, cdw0 | NVME_CMD_WRITE_ZEROES, 0, 0, request->lba, cdw12);
}

static void issue_trim(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag, uint32_t cdw0)
{
	struct nvme_list list = slot_list(q, tag);
	struct nvme_dsm_range *range = list.base;

	ob_le32_store(&range->attributes, 0);
	ob_le32_store(&range->length, request->block_count);
	ob_le64_store(&range->slba, request->lba);
	/* One range; the count is 0's based. */
	sqe_store(q, cdw0 | NVME_CMD_DSM, list.iova.addr, 0, (uint64_t)NVME_DSM_AD << 32, 0);
}

/* Write the command for a request; the block class has checked ranges and counts. */
static int issue(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag, uint32_t cid)
{
	uint32_t cdw0 = FIELD_PREP(NVME_CDW0_CID, cid);

	switch (request->op) {
	case OB_BLOCK_READ:
		return issue_data(q, request, tag, cdw0 | NVME_CMD_READ, OB_DMA_WRITE);
	case OB_BLOCK_WRITE:
		return issue_data(q, request, tag, cdw0 | NVME_CMD_WRITE, OB_DMA_READ);
	case OB_BLOCK_COMPARE:
		return issue_data(q, request, tag, cdw0 | NVME_CMD_COMPARE, OB_DMA_READ);
	case OB_BLOCK_FLUSH:
		sqe_store(q, cdw0 | NVME_CMD_FLUSH, 0, 0, 0, 0);
		return 0;
	case OB_BLOCK_WRITE_ZEROES:
		issue_zeroes(q, request, cdw0);
		return 0;
	case OB_BLOCK_TRIM:
		issue_trim(q, request, tag, cdw0);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* ---- down ---- */

/* The queue takes nothing now: keep the request for the end of the reset, or refuse it. */
static NVME_SLOW int submit_closed(struct nvme_queue *q, struct ob_block_request *request)
{
	struct nvme_slot *slot = q->free;

	if (q->state == NVME_QUEUE_CLOSING || q->state == NVME_QUEUE_DEAD)
		return -ENODEV;
	if (slot == NULL)
		return -EAGAIN;
	q->free = slot->next;
	slot->request = request;
	request->tag = slot->expect & NVME_CID;
	return 0;
}

static inline void slot_take(struct nvme_queue *q, struct nvme_slot *slot, uint32_t cid,
			     struct ob_block_request *request)
{
	q->free = slot->next;
	slot->request = request;
	slot->expect = cid;
	slot->epoch = q->epoch;
	request->tag = cid;
}

/* Whatever is not simple, or has no room. */
static NVME_SLOW int submit_slow(struct nvme_queue *q, struct ob_block_request *request)
{
	struct nvme_slot *slot = q->free;
	uint32_t cid;
	int ret;

	if (q->state != NVME_QUEUE_LIVE)
		return submit_closed(q, request);
	if (slot == NULL)
		return -EAGAIN;
	cid = slot->expect & NVME_CID;
	ret = issue(q, request, FIELD_GET(NVME_TAG, cid), cid);
	if (ret != 0)
		return ret;
	slot_take(q, slot, cid, request);
	OB_TRACE(q->cpu, OB_TRACE_NVME_SUBMIT, q->ring.qid, cid, opcodes[request->op]);
	return 0;
}

int nvme_io_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct nvme_queue *q = channel->driver_data;
	const struct ob_segment *s = request->segments;
	const struct ob_window *window = request->window;
	struct nvme_slot *slot = q->free;
	struct nvme_ring *r = &q->ring;
	uint64_t prp1, prp2 = 0, last;
	struct nvme_sqe *sqe;
	uint32_t cid;

	/* Simple: read or write of one segment in at most two pages, which needs no list. */
	if (OB_UNLIKELY(q->state != NVME_QUEUE_LIVE || slot == NULL || request->segment_count != 1 ||
			request->op > OB_BLOCK_WRITE || request->flags != 0))
		return submit_slow(q, request);
	/* The block class has found the segment inside the window, and the window granted with these rights. */
	prp1 = *(const uint64_t *)(const void *)((const uint8_t *)window + q->grant_offset) +
	       (uint64_t)((const uint8_t *)s->base - window->base);
	last = prp1 + s->len_bytes - 1;
	if (OB_UNLIKELY((prp1 ^ last) >= NVME_PAGE_BYTES)) {
		prp2 = last & ~(uint64_t)(NVME_PAGE_BYTES - 1);
		if (prp2 - prp1 > NVME_PAGE_BYTES)
			return submit_slow(q, request);
	}
	cid = slot->expect & NVME_CID;
	slot_take(q, slot, cid, request);
	/* As sqe_store(), each load beside its store: few registers are live. */
	sqe = &r->sq[r->sq_tail];
	r->sq_tail = (r->sq_tail + 1) & r->mask;
	ob_le64_store(&sqe->prp1, prp1);
	ob_le64_store(&sqe->prp2, prp2);
	ob_le32_pair_store(&sqe->cdw0, q->nsid_high | (FIELD_PREP(NVME_CDW0_CID, cid) + 2u - request->op));
	ob_le32_pair_store(&sqe->cdw10, request->lba);
	ob_le32_pair_store(&sqe->cdw12, request->block_count - 1);
	OB_TRACE(q->cpu, OB_TRACE_NVME_SUBMIT, r->qid, cid, opcodes[request->op]);
	return 0;
}

void nvme_slot_issue(struct nvme_queue *q, unsigned tag)
{
	struct nvme_slot *slot = &q->slots[tag];
	uint32_t cid = slot->expect & NVME_CID;
	int ret;

	slot->flags &= (uint8_t) ~(NVME_SLOT_RETRY | NVME_SLOT_LATE | NVME_SLOT_ABORTED);
	ret = issue(q, slot->request, tag, cid);
	if (ret != 0) {
		nvme_slot_end(q, tag, ret, 0);
		return;
	}
	slot->expect = cid;
	slot->epoch = q->epoch;
	OB_TRACE(q->cpu, OB_TRACE_NVME_SUBMIT, q->ring.qid, cid, opcodes[slot->request->op]);
}

void nvme_io_kick(struct ob_block_channel *channel)
{
	struct nvme_queue *q = channel->driver_data;

	if (OB_UNLIKELY(!q->ticking)) {
		/* Runs while something is in flight, so an idle disk wakes nobody. */
		q->ticking = true;
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
	}
	if (OB_UNLIKELY(q->state != NVME_QUEUE_LIVE))
		return;
	nvme_ring_kick(&q->ring);
	OB_TRACE(q->cpu, OB_TRACE_NVME_DOORBELL, q->ring.qid, q->ring.sq_tail, 0);
}

/* ---- up ---- */

/* Free the tag; its next command has another id. Returns the request. */
static inline struct ob_block_request *slot_free(struct nvme_queue *q, struct nvme_slot *slot)
{
	struct ob_block_request *request = slot->request;

	slot->request = NULL;
	slot->expect = ((slot->expect + NVME_CID_STEP) & NVME_CID) | NVME_NOT_ISSUED;
	slot->next = q->free;
	q->free = slot;
	return request;
}

void nvme_slot_end(struct nvme_queue *q, unsigned tag, int status, uint16_t protocol_status)
{
	struct nvme_slot *slot = &q->slots[tag];
	struct ob_block_request *request = slot_free(q, slot);

	slot->flags = 0;
	slot->attempts = 0;
	ob_block_end(q->channel, request, status, protocol_status);
}

void nvme_slot_retry(struct nvme_queue *q, unsigned tag, uint64_t delay_ns)
{
	struct nvme_slot *slot = &q->slots[tag];

	/* The id that was answered is spent. */
	slot->expect = ((slot->expect + NVME_CID_STEP) & NVME_CID) | NVME_NOT_ISSUED;
	slot->flags = (uint8_t)((slot->flags & NVME_SLOT_CANCELLED) | NVME_SLOT_RETRY);
	slot->attempts++;
	q->channel->stats.reissues++;
	slot->due_ns = ob_deadline(delay_ns);
	nvme_retry_at(q, slot->due_ns);
}

/* How long the controller asks to wait before a retry (§4.6, figure 126): CRD selects one of three times. */
static uint64_t retry_delay(const struct nvme_queue *q, uint16_t field)
{
	unsigned crd = FIELD_GET(NVME_CQE_CRD, field);
	uint64_t delay_ns = crd != 0 ? q->nvme->info.crdt[crd - 1] * 100 * OB_NS_PER_MS : 0;

	return MIN(MAX(delay_ns, NVME_RETRY_DELAY_NS), NVME_IO_TIMEOUT_NS);
}

/* A command ended with a status, or was late, cancelled or issued more than once. */
static NVME_SLOW void end_slow(struct nvme_queue *q, unsigned tag, uint16_t field)
{
	struct nvme_slot *slot = &q->slots[tag];
	uint16_t status = NVME_CQE_STATUS(field);
	int error = nvme_status_error(status);
	bool again = nvme_status_transient(status) && (field & NVME_CQE_DNR) == 0;

	if (status == NVME_SC_ABORT_REQUESTED && (slot->flags & NVME_SLOT_ABORTED) != 0) {
		/* Our abort took it: the user's wish, or too late, which deserves another try. */
		again = (slot->flags & NVME_SLOT_CANCELLED) == 0;
		error = again ? -ETIMEDOUT : -ECANCELED;
	}
	if (status == NVME_SC_ABORTED_SQ_DELETION && q->state == NVME_QUEUE_CLOSING)
		again = false;
	if (again && (slot->flags & NVME_SLOT_CANCELLED) == 0 && slot->attempts < NVME_RETRY_MAX &&
	    (q->state == NVME_QUEUE_LIVE || q->state == NVME_QUEUE_FROZEN)) {
		nvme_slot_retry(q, tag, retry_delay(q, field));
		return;
	}
	if (status != 0)
		ob_debug(q->nvme->ob, "%s queue %u: %s of block %llu ended with %03x (%s)", q->nvme->name, q->ring.qid,
			 ob_block_op_name((enum ob_block_op)slot->request->op), (unsigned long long)slot->request->lba,
			 status, ob_nvme_status_text(status));
	nvme_slot_end(q, tag, error, status);
}

void nvme_queue_break(struct nvme_queue *q, const char *why)
{
	q->count.nonsense++;
	if (q->state == NVME_QUEUE_CLOSING)
		return;
	q->state = NVME_QUEUE_BROKEN;
	ob_warn(q->nvme->ob, "%s queue %u: %s", q->nvme->name, q->ring.qid, why);
	nvme_want_reset(q->nvme, why);
}

/* An answer that belongs to no command in flight. Late and duplicate ones are dropped; a heap of them is a sick device. */
static NVME_SLOW bool stray(struct nvme_queue *q, uint32_t sq_word, uint32_t cid)
{
	unsigned tag = FIELD_GET(NVME_TAG, cid);

	if ((sq_word ^ q->ring.sqid_high) > q->ring.mask) {
		nvme_queue_break(q, "a completion names another queue, or a head beyond the ring");
		return false;
	}
	if (tag >= q->depth) {
		nvme_queue_break(q, "a completion has an id that was never used");
		return false;
	}
	q->count.strays++;
	if (q->count.strays % NVME_STRAYS_MAX == 0) {
		nvme_queue_break(q, "too many completions of commands that are not in flight");
		return false;
	}
	ob_warn(q->nvme->ob, "%s queue %u: a completion for id %#x, which is not in flight, is dropped", q->nvme->name,
		q->ring.qid, cid);
	return true;
}

unsigned nvme_queue_take(struct nvme_queue *q, unsigned budget)
{
	struct nvme_ring *r = &q->ring;
	unsigned done = 0;

	while (done < budget) {
		uint32_t pos = r->cq_pos;
		const struct nvme_cqe *cqe = &r->cq[pos & r->mask];
		uint16_t field = ob_le16_load(&cqe->status);
		uint32_t sq_word, cid;
		struct nvme_slot *slot;

		if (((field & NVME_CQE_P) != 0) != ((pos & (r->mask + 1)) == 0))
			break;
		/* The phase before the rest of the entry, and before the data (§4.6). */
		ob_dma_rmb();
		sq_word = ob_le16_pair_load(&cqe->sqhd); /* head, queue id << 16 */
		cid = ob_le16_load(&cqe->cid);
		OB_WRITE_ONCE(r->cq_pos, pos + 1);
		done++;
		/* Ids beyond our tags land on a slot that expects another one. */
		slot = &q->slots[cid & q->tag_mask];
		if (OB_UNLIKELY((sq_word ^ r->sqid_high) > r->mask || slot->expect != cid)) {
			if (!stray(q, sq_word, cid))
				break;
			continue;
		}
		OB_TRACE(q->cpu, OB_TRACE_NVME_COMPLETE, r->qid, cid, NVME_CQE_STATUS(field));
		if (OB_UNLIKELY((field & ~NVME_CQE_P) != 0 || slot->flags != 0 || slot->attempts != 0)) {
			end_slow(q, FIELD_GET(NVME_TAG, cid), field);
			continue;
		}
		ob_block_end(q->channel, slot_free(q, slot), 0, 0);
	}
	if (done > 0) {
		q->completed += done;
		if (OB_LIKELY(q->state == NVME_QUEUE_LIVE) && r->cq_pos - r->cq_told > r->cq_lag)
			nvme_ring_ack(r);
	}
	return done;
}

unsigned nvme_io_poll(struct ob_block_channel *channel, unsigned budget)
{
	struct nvme_queue *q = channel->driver_data;

	if (OB_UNLIKELY(q->state != NVME_QUEUE_LIVE))
		return 0;
	return nvme_queue_take(q, budget);
}

int nvme_io_cancel(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct nvme_queue *q = channel->driver_data;
	unsigned tag = FIELD_GET(NVME_TAG, request->tag);
	struct nvme_slot *slot;

	if (tag >= q->depth || q->slots[tag].request != request)
		return -ENOENT;
	slot = &q->slots[tag];
	if ((slot->expect & NVME_NOT_ISSUED) != 0) {
		nvme_slot_end(q, tag, -ECANCELED, 0);
		return 0;
	}
	slot->flags |= NVME_SLOT_CANCELLED;
	__atomic_store_n(&q->wants_abort, true, __ATOMIC_RELEASE);
	nvme_todo(q->nvme, NVME_TODO_ABORT);
	return 0;
}
