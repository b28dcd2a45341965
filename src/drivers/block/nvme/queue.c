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

/* The eight words of an entry, stored one by one: a copy from a local would read back what was just stored in parts. */
#define SQE_CDW0_NSID 0
#define SQE_DPTR      3
#define SQE_CDW10     5
#define SQE_CDW12     6
#define SQE_CDW14     7

static inline struct nvme_list slot_list(const struct nvme_queue *q, unsigned tag)
{
	uint64_t offset = (uint64_t)tag * q->list_bytes;

	return (struct nvme_list){q->lists + offset, {q->lists_iova.addr + offset}, q->list_bytes};
}

/* What one page or two hold: no list. False: look closer. */
static inline bool data_is_simple(const struct nvme_queue *q, const struct ob_block_request *request,
				  enum ob_dma_rights rights, struct nvme_data_pointer *out)
{
	const struct ob_segment *s = request->segments;
	ob_iova iova;
	uint64_t in_page, first;

	if (OB_UNLIKELY(request->segment_count != 1 ||
			ob_window_iova(request->window, q->dma_index, s->base, s->len_bytes, rights, &iova) != 0))
		return false;
	in_page = iova.addr & (NVME_PAGE_BYTES - 1);
	first = NVME_PAGE_BYTES - in_page; /* what PRP1 covers */
	if (OB_UNLIKELY(s->len_bytes > first + NVME_PAGE_BYTES))
		return false;
	out->word[0] = iova.addr;
	out->word[1] = s->len_bytes > first ? iova.addr + first : 0;
	out->psdt = NVME_PSDT_PRP;
	return true;
}

/* PRP wherever it can express the request, as every controller takes it; SGL for the rest, where it is offered. */
static NVME_SLOW int data_build(const struct nvme_queue *q, const struct ob_block_request *request, unsigned tag,
				enum ob_dma_rights rights, struct nvme_data_pointer *out)
{
	struct nvme_list list = slot_list(q, tag);
	int ret = nvme_prp_build(&list, request, q->dma_index, rights, out);

	if (ret == -EINVAL && q->sgl)
		ret = nvme_sgl_build(&list, request, q->dma_index, rights, out);
	return ret;
}

static inline void sqe_store(struct nvme_queue *q, uint32_t cdw0, const struct nvme_data_pointer *data, uint64_t cdw10,
			     uint64_t cdw12)
{
	struct nvme_ring *r = &q->ring;
	ob_le64 *word = (ob_le64 *)(void *)&r->sq[r->sq_tail];

	ob_le64_store(&word[SQE_CDW0_NSID], (uint64_t)q->nsid << 32 | cdw0);
	ob_le64_store(&word[1], 0);
	ob_le64_store(&word[2], 0);
	ob_le64_store(&word[SQE_DPTR], data->word[0]);
	ob_le64_store(&word[SQE_DPTR + 1], data->word[1]);
	ob_le64_store(&word[SQE_CDW10], cdw10);
	ob_le64_store(&word[SQE_CDW12], cdw12);
	ob_le64_store(&word[SQE_CDW14], 0);
	r->sq_tail = (r->sq_tail + 1) & r->mask;
}

/* Read and write; the block class has checked ranges and counts. */
static inline int issue_data(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag, uint32_t cid,
			     unsigned opcode, enum ob_dma_rights rights)
{
	struct nvme_data_pointer data;
	uint64_t cdw12 = request->block_count - 1;

	if (OB_UNLIKELY(!data_is_simple(q, request, rights, &data))) {
		int ret = data_build(q, request, tag, rights, &data);

		if (ret != 0)
			return ret;
	}
	if (OB_UNLIKELY((request->flags & OB_BLOCK_FUA) != 0))
		cdw12 |= NVME_RW_FUA;
	sqe_store(q, FIELD_PREP(NVME_CDW0_CID, cid) | FIELD_PREP(NVME_CDW0_PSDT, data.psdt) | opcode, &data,
		  request->lba, cdw12);
	return 0;
}

static NVME_SLOW int issue_other(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag,
				 uint32_t cid)
{
	struct nvme_data_pointer none = {{0, 0}, NVME_PSDT_PRP};
	uint32_t cdw0 = FIELD_PREP(NVME_CDW0_CID, cid);
	uint64_t cdw12 = (uint64_t)request->block_count - 1;
	struct nvme_list list = slot_list(q, tag);
	struct nvme_dsm_range *range = list.base;

	switch (request->op) {
	case OB_BLOCK_FLUSH:
		sqe_store(q, cdw0 | NVME_CMD_FLUSH, &none, 0, 0);
		return 0;
	case OB_BLOCK_COMPARE:
		return issue_data(q, request, tag, cid, NVME_CMD_COMPARE, OB_DMA_READ);
	case OB_BLOCK_WRITE_ZEROES:
		if ((request->flags & OB_BLOCK_FUA) != 0)
			cdw12 |= NVME_RW_FUA;
		/* Deallocated blocks of this namespace read as zeroes, so the device may drop them (§6.17). */
		if ((request->flags & OB_BLOCK_NO_TRIM) == 0 && q->deallocate_zeroes)
			cdw12 |= NVME_RW_DEAC;
		sqe_store(q, cdw0 | NVME_CMD_WRITE_ZEROES, &none, request->lba, cdw12);
		return 0;
	case OB_BLOCK_TRIM:
		ob_le32_store(&range->attributes, 0);
		ob_le32_store(&range->length, request->block_count);
		ob_le64_store(&range->slba, request->lba);
		none.word[0] = list.iova.addr;
		/* One range; the count is 0's based. */
		sqe_store(q, cdw0 | NVME_CMD_DSM, &none, (uint64_t)NVME_DSM_AD << 32, 0);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static inline int issue(struct nvme_queue *q, const struct ob_block_request *request, unsigned tag, uint32_t cid)
{
	if (OB_LIKELY(request->op == OB_BLOCK_READ))
		return issue_data(q, request, tag, cid, NVME_CMD_READ, OB_DMA_WRITE);
	if (OB_LIKELY(request->op == OB_BLOCK_WRITE))
		return issue_data(q, request, tag, cid, NVME_CMD_WRITE, OB_DMA_READ);
	return issue_other(q, request, tag, cid);
}

/* ---- down ---- */

/* The queue takes nothing now: keep the request for the end of the reset, or refuse it. */
static NVME_SLOW int submit_closed(struct nvme_queue *q, struct ob_block_request *request)
{
	unsigned tag;

	if (q->state == NVME_QUEUE_CLOSING || q->state == NVME_QUEUE_DEAD)
		return -ENODEV;
	if (q->free_count == 0)
		return -EAGAIN;
	tag = q->free_tags[--q->free_count];
	request->tag = tag;
	q->slots[tag].request = request;
	return 0;
}

int nvme_io_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct nvme_queue *q = channel->driver_data;
	struct nvme_slot *slot;
	uint32_t cid;
	unsigned tag;
	int ret;

	if (OB_UNLIKELY(q->state != NVME_QUEUE_LIVE))
		return submit_closed(q, request);
	if (OB_UNLIKELY(q->free_count == 0))
		return -EAGAIN;
	tag = q->free_tags[q->free_count - 1];
	slot = &q->slots[tag];
	cid = slot->expect & NVME_CID;
	ret = issue(q, request, tag, cid);
	if (OB_UNLIKELY(ret != 0))
		return ret;
	q->free_count--;
	slot->request = request;
	slot->expect = cid;
	slot->epoch = q->epoch;
	request->tag = tag;
	OB_TRACE(q->cpu, OB_TRACE_NVME_SUBMIT, q->ring.qid, cid, request->op);
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
	OB_TRACE(q->cpu, OB_TRACE_NVME_SUBMIT, q->ring.qid, cid, slot->request->op);
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
static inline struct ob_block_request *slot_free(struct nvme_queue *q, unsigned tag)
{
	struct nvme_slot *slot = &q->slots[tag];
	struct ob_block_request *request = slot->request;

	slot->request = NULL;
	slot->expect = ((slot->expect + NVME_CID_STEP) & NVME_CID) | NVME_NOT_ISSUED;
	q->free_tags[q->free_count++] = (uint16_t)tag;
	return request;
}

void nvme_slot_end(struct nvme_queue *q, unsigned tag, int status, uint16_t protocol_status)
{
	struct nvme_slot *slot = &q->slots[tag];
	struct ob_block_request *request = slot_free(q, tag);

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
	if (!q->retrying) {
		q->retrying = true;
		ob_timer_start(&q->retry, ob_deadline(delay_ns));
	}
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
	q->state = NVME_QUEUE_BROKEN;
	ob_warn(q->nvme->ob, "%s queue %u: %s", q->nvme->name, q->ring.qid, why);
	nvme_want_reset(q->nvme, why);
}

/* An answer that belongs to no command in flight. Late and duplicate ones are dropped; a heap of them is a sick device. */
static NVME_SLOW bool stray(struct nvme_queue *q, uint32_t sq_word, uint32_t cid)
{
	unsigned tag = FIELD_GET(NVME_TAG, cid);

	if ((sq_word ^ (uint32_t)q->ring.qid << 16) > q->ring.mask) {
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
		unsigned tag;

		if (((field & NVME_CQE_P) != 0) != ((pos & (r->mask + 1)) == 0))
			break;
		/* The phase before the rest of the entry, and before the data (§4.6). */
		ob_dma_rmb();
		sq_word = ob_le32_load((const ob_le32 *)(const void *)&cqe->sqhd); /* head, queue id << 16 */
		cid = ob_le16_load(&cqe->cid);
		OB_WRITE_ONCE(r->cq_pos, pos + 1);
		done++;
		tag = FIELD_GET(NVME_TAG, cid);
		slot = &q->slots[tag];
		if (OB_UNLIKELY((sq_word ^ (uint32_t)r->qid << 16) > r->mask || tag >= q->depth ||
				slot->expect != cid)) {
			if (!stray(q, sq_word, cid))
				break;
			continue;
		}
		OB_TRACE(q->cpu, OB_TRACE_NVME_COMPLETE, r->qid, cid, NVME_CQE_STATUS(field));
		if (OB_UNLIKELY((field & ~NVME_CQE_P) != 0 || slot->flags != 0 || slot->attempts != 0)) {
			end_slow(q, tag, field);
			continue;
		}
		ob_block_end(q->channel, slot_free(q, tag), 0, 0);
	}
	if (done > 0) {
		q->completed += done;
		if (OB_LIKELY(q->state == NVME_QUEUE_LIVE))
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
	struct nvme_slot *slot;

	if (request->tag >= q->depth || q->slots[request->tag].request != request)
		return -ENOENT;
	slot = &q->slots[request->tag];
	if ((slot->expect & NVME_NOT_ISSUED) != 0) {
		nvme_slot_end(q, request->tag, -ECANCELED, 0);
		return 0;
	}
	slot->flags |= NVME_SLOT_CANCELLED;
	__atomic_store_n(&q->wants_abort, true, __ATOMIC_RELEASE);
	nvme_todo(q->nvme, NVME_TODO_ABORT);
	return 0;
}
