/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues: doorbells, fetching, completing, interrupts (NVMe 1.4 §4.1, §4.6, §7.5, §7.13).
 *
 * Everything that the host writes is checked: a tail beyond its queue is an async event, a queue in memory that cannot
 * be read is the controller's end. A command is fetched only when its completion will have room, unless it takes time:
 * then the completion waits for room.
 */
#include <string.h>

#include "model/block/nvme/controller.h"

bool nvme_model_queue_exists(const struct nvme_model *n, unsigned qid)
{
	return qid < QUEUE_COUNT && (n->sq[qid].exists || n->cq[qid].exists);
}

/* ---- slots ---- */

struct slot *nvme_model_slot_get(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
	struct list *node = list_pop(&n->free_slots);
	struct slot *slot;

	if (node == NULL)
		return NULL;
	slot = list_entry(node, struct slot, link);
	slot->sq = sq;
	slot->sqe = *sqe;
	return slot;
}

void nvme_model_slot_put(struct nvme_model *n, struct slot *slot)
{
	list_del(&slot->link);
	list_add(&n->free_slots, &slot->link);
}

static void slots_drop(struct nvme_model *n, struct list *head, const struct nvme_sq *sq)
{
	list_for_each_safe (node, head) {
		struct slot *slot = list_entry(node, struct slot, link);

		if (sq == NULL || slot->sq == sq)
			nvme_model_slot_put(n, slot);
	}
}

/* ---- start and stop ---- */

static uint64_t shadow_of(uint64_t base, uint32_t offset, unsigned qid)
{
	/* The admin queue keeps to its registers: many drivers do not know it in the buffers. */
	return base == 0 || qid == 0 ? 0 : base + offset;
}

static void shadow_locate(struct nvme_model *n, unsigned qid)
{
	unsigned stride = n->config.doorbell_stride;

	n->sq[qid].shadow = shadow_of(n->shadow_base, NVME_SHADOW_SQ(qid, stride), qid);
	n->sq[qid].event = shadow_of(n->event_base, NVME_SHADOW_SQ(qid, stride), qid);
	n->cq[qid].shadow = shadow_of(n->shadow_base, NVME_SHADOW_CQ(qid, stride), qid);
	n->cq[qid].event = shadow_of(n->event_base, NVME_SHADOW_CQ(qid, stride), qid);
}

void nvme_model_sq_start(struct nvme_model *n, unsigned qid, unsigned cqid, uint64_t base, uint32_t entry_count)
{
	n->sq[qid] = (struct nvme_sq){
		.exists = true,
		.qid = (uint16_t)qid,
		.entry_count = entry_count,
		.base = base,
		.cq = &n->cq[cqid],
	};
	n->cq[cqid].sq_count++;
	shadow_locate(n, qid);
}

void nvme_model_cq_start(struct nvme_model *n, unsigned qid, uint64_t base, uint32_t entry_count, bool interrupt,
			 uint16_t vector)
{
	n->cq[qid] = (struct nvme_cq){
		.exists = true,
		.phase = true,
		.interrupt = interrupt,
		.qid = (uint16_t)qid,
		.vector = vector,
		.entry_count = entry_count,
		.base = base,
	};
	list_init(&n->cq[qid].waiting);
	n->cq_end = MAX(n->cq_end, qid + 1);
	shadow_locate(n, qid);
}

void nvme_model_sq_stop(struct nvme_model *n, unsigned qid)
{
	struct nvme_sq *sq = &n->sq[qid];

	/* What it had under way ends before the queue does (§5.6). */
	list_for_each_safe (node, &n->delayed) {
		struct slot *slot = list_entry(node, struct slot, link);

		if (slot->sq != sq)
			continue;
		n->in_flight--;
		nvme_model_complete(n, sq, &slot->sqe, NVME_SC_ABORTED_SQ_DELETION, 0);
		nvme_model_slot_put(n, slot);
	}
	sq->exists = false;
	sq->cq->sq_count--;
	n->sq_pending[qid / 64] &= ~BIT64(qid % 64);
}

void nvme_model_cq_stop(struct nvme_model *n, unsigned qid)
{
	slots_drop(n, &n->cq[qid].waiting, NULL);
	n->cq[qid].exists = false;
	n->cq_notify[qid / 64] &= ~BIT64(qid % 64);
	nvme_model_interrupts_update(n);
}

void nvme_model_queues_stop(struct nvme_model *n)
{
	slots_drop(n, &n->delayed, NULL);
	slots_drop(n, &n->async_requests, NULL);
	n->async_count = 0;
	n->in_flight = 0;
	for (unsigned i = 0; i < QUEUE_COUNT; i++) {
		slots_drop(n, &n->cq[i].waiting, NULL);
		n->sq[i].exists = n->cq[i].exists = false;
	}
	memset(n->sq_pending, 0, sizeof(n->sq_pending));
	memset(n->cq_notify, 0, sizeof(n->cq_notify));
	n->shadow_base = n->event_base = 0;
	n->cq_end = 0;
}

/* ---- doorbells ---- */

static void sq_mark(struct nvme_model *n, const struct nvme_sq *sq)
{
	n->sq_pending[sq->qid / 64] |= BIT64(sq->qid % 64);
}

/* More room in @cq: what waited for it goes on. */
static void cq_roomier(struct nvme_model *n, struct nvme_cq *cq)
{
	if (!cq->full && list_empty(&cq->waiting))
		return;
	cq->full = false;
	for (unsigned i = 0; i < QUEUE_COUNT; i++)
		if (n->sq[i].exists && n->sq[i].cq == cq)
			sq_mark(n, &n->sq[i]);
}

/* How many entries of a ring of @count lie from @from up to @to. */
static uint32_t ring_distance(uint32_t from, uint32_t to, uint32_t count)
{
	return to >= from ? to - from : to + count - from;
}

/* A head may only move over entries that were posted. */
static bool cq_take_head(struct nvme_model *n, struct nvme_cq *cq, uint32_t head)
{
	if (head >= cq->entry_count ||
	    ring_distance(cq->head, head, cq->entry_count) > ring_distance(cq->head, cq->tail, cq->entry_count))
		return false;
	cq->head = head;
	return true;
}

static bool shadow_read(struct nvme_model *n, uint64_t iova, uint32_t *value)
{
	ob_le32 word;

	if (nvme_model_dma_look(n, iova, &word, sizeof(word)) != 0) {
		nvme_model_fail(n, "the shadow doorbells cannot be read");
		return false;
	}
	*value = ob_le32_to_cpu(word);
	return true;
}

/*
 * What the host wrote to the shadow after a register may overtake the register: then the register's value is old, and a
 * queue that took it would go backwards. The shadow is never older than the register (§7.13).
 */
static bool doorbell_newest(struct nvme_model *n, uint64_t shadow, uint32_t *value)
{
	return shadow == 0 || shadow_read(n, shadow, value);
}

void nvme_model_doorbell(struct nvme_model *n, uint64_t offset, uint32_t value)
{
	struct model_host *host = n->host;
	uint32_t index = (uint32_t)(offset >> (2 + n->config.doorbell_stride));
	unsigned qid = index / 2;
	bool is_cq = index % 2 != 0, ok;

	n->stats.doorbells++;
	if ((n->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) != NVME_CSTS_RDY)
		return;
	if (offset != (uint64_t)index << (2 + n->config.doorbell_stride) || qid >= QUEUE_COUNT ||
	    !(is_cq ? n->cq[qid].exists : n->sq[qid].exists)) {
		host->ops->note(host, "doorbell of no queue: offset %#llx", (unsigned long long)(NVME_DBS + offset));
		nvme_model_event_raise(n, NVME_EVENT_ERROR, NVME_EVENT_ERROR_DOORBELL, NVME_LOG_ERROR);
		host->ops->kick(host);
		return;
	}
	if (is_cq) {
		struct nvme_cq *cq = &n->cq[qid];

		ok = value < cq->entry_count && doorbell_newest(n, cq->shadow, &value) && cq_take_head(n, cq, value);
		if (ok) {
			cq_roomier(n, cq);
			if (n->config.msix_vectors == 0 || !host->ops->msix_enabled(host))
				nvme_model_interrupts_update(n);
		}
	} else {
		struct nvme_sq *sq = &n->sq[qid];

		ok = value < sq->entry_count && doorbell_newest(n, sq->shadow, &value) && value < sq->entry_count;
		if (ok) {
			sq->tail = value;
			sq_mark(n, sq);
		}
	}
	if (!ok) {
		host->ops->note(host, "%s %u: doorbell value %u is out of range", is_cq ? "CQ" : "SQ", qid, value);
		nvme_model_event_raise(n, NVME_EVENT_ERROR, NVME_EVENT_ERROR_DOORBELL_VALUE, NVME_LOG_ERROR);
	}
	host->ops->kick(host);
}

/* ---- shadow doorbells ---- */

void nvme_model_shadow_set(struct nvme_model *n, uint64_t shadow, uint64_t event)
{
	n->shadow_base = shadow;
	n->event_base = event;
	for (unsigned qid = 1; qid < QUEUE_COUNT; qid++)
		shadow_locate(n, qid);
}

/* Ask for a register write when the shadow moves past @value (§7.13). */
static void event_index_write(struct nvme_model *n, uint64_t iova, uint32_t value)
{
	struct model_host *host = n->host;
	ob_le32 word = ob_cpu_to_le32(value);

	if (nvme_model_dma_write(n, iova, &word, sizeof(word)) != 0)
		nvme_model_fail(n, "the doorbells' event indices cannot be written");
	/* The index is out before the shadow is looked at again, or a doorbell falls between the two. */
	host->ops->dma_fence(host);
}

static void sq_look(struct nvme_model *n, struct nvme_sq *sq)
{
	uint32_t tail;

	if (sq->shadow == 0 || !shadow_read(n, sq->shadow, &tail))
		return;
	if (tail < sq->entry_count)
		sq->tail = tail;
	else
		nvme_model_event_raise(n, NVME_EVENT_ERROR, NVME_EVENT_ERROR_DOORBELL_VALUE, NVME_LOG_ERROR);
}

/* The queue is worked off. Is it still so after the host was asked to ring? */
static bool sq_is_idle(struct nvme_model *n, struct nvme_sq *sq)
{
	if (sq->shadow == 0)
		return true;
	event_index_write(n, sq->event, sq->tail);
	sq_look(n, sq);
	return sq->head == sq->tail;
}

static bool cq_has_room(const struct nvme_cq *cq)
{
	return (cq->tail + 1 == cq->entry_count ? 0 : cq->tail + 1) != cq->head;
}

static bool cq_make_room(struct nvme_model *n, struct nvme_cq *cq)
{
	uint32_t head;

	if (OB_LIKELY(cq_has_room(cq)))
		return true;
	if (cq->shadow != 0) {
		event_index_write(n, cq->event, cq->head);
		if (shadow_read(n, cq->shadow, &head) && cq_take_head(n, cq, head) && cq_has_room(cq))
			return true;
	}
	cq->full = true;
	return false;
}

/* ---- completing ---- */

static struct nvme_model_command command_view(const struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
	uint32_t cdw0 = ob_le32_to_cpu(sqe->cdw0);

	return (struct nvme_model_command){
		.sqid = sq->qid,
		.cid = (uint16_t)FIELD_GET(NVME_CDW0_CID, cdw0),
		.opcode = (uint8_t)FIELD_GET(NVME_CDW0_OPC, cdw0),
		.nsid = ob_le32_to_cpu(sqe->nsid),
		.lba = (uint64_t)ob_le32_to_cpu(sqe->cdw11) << 32 | ob_le32_to_cpu(sqe->cdw10),
		.block_count = FIELD_GET(NVME_RW_NLB, ob_le32_to_cpu(sqe->cdw12)) + 1,
	};
}

/* There is room. */
static void cq_post(struct nvme_model *n, struct nvme_cq *cq, const struct nvme_sq *sq, const struct nvme_sqe *sqe,
		    uint16_t status, uint32_t dw0)
{
	struct nvme_cqe cqe = {
		.dw0 = ob_cpu_to_le32(dw0),
		.sqhd = ob_cpu_to_le16((uint16_t)sq->head),
		.sqid = ob_cpu_to_le16(sq->qid),
		.cid = ob_cpu_to_le16(sqe_cid(sqe)),
		.status = ob_cpu_to_le16((uint16_t)(status << 1 | (cq->phase ? NVME_CQE_P : 0))),
	};

	if (OB_UNLIKELY(n->hooks.completion != NULL)) {
		struct nvme_model_command view = command_view(sq, sqe);

		n->hooks.completion(n->hooks.arg, &view, &cqe);
	}
	if (nvme_model_dma_publish(n, cq->base + ((uint64_t)cq->tail << NVME_CQE_SHIFT), &cqe, sizeof(cqe)) != 0) {
		n->stats.dma_refused++;
		nvme_model_fail(n, "a completion queue cannot be written");
		return;
	}
	n->stats.completions++;
	if (++cq->tail == cq->entry_count) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	cq->notify = true;
	n->cq_notify[cq->qid / 64] |= BIT64(cq->qid % 64);
}

void nvme_model_complete(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe, uint16_t status,
			 uint32_t dw0)
{
	struct nvme_cq *cq = sq->cq;
	struct slot *slot;

	if (list_empty(&cq->waiting) && cq_make_room(n, cq)) {
		cq_post(n, cq, sq, sqe, status, dw0);
		return;
	}
	cq->full = true;
	slot = nvme_model_slot_get(n, sq, sqe);
	if (slot == NULL) {
		nvme_model_fail(n, "completions pile up");
		return;
	}
	slot->status = status;
	slot->dw0 = dw0;
	list_add_tail(&cq->waiting, &slot->link);
}

/* Post what waited, as far as there is room. */
static bool cq_drain(struct nvme_model *n, struct nvme_cq *cq)
{
	while (!list_empty(&cq->waiting)) {
		struct slot *slot = list_entry(cq->waiting.next, struct slot, link);

		if (!cq_make_room(n, cq))
			return false;
		cq_post(n, cq, slot->sq, &slot->sqe, slot->status, slot->dw0);
		nvme_model_slot_put(n, slot);
	}
	return true;
}

/* ---- interrupts ---- */

/* The pin: up while a queue with interrupts has entries that the host has not taken, unless masked (§7.5.1). */
void nvme_model_interrupts_update(struct nvme_model *n)
{
	struct model_host *host = n->host;
	bool up = false;

	if (n->config.msix_vectors == 0 || !host->ops->msix_enabled(host)) {
		for (unsigned i = 0; i < n->cq_end && !up; i++) {
			struct nvme_cq *cq = &n->cq[i];
			uint32_t head;

			if (!cq->exists || !cq->interrupt)
				continue;
			if (cq->head != cq->tail && cq->shadow != 0) {
				/* The host may have moved on in the shadow; have it tell when it does. */
				event_index_write(n, cq->event, cq->head);
				if (shadow_read(n, cq->shadow, &head))
					cq_take_head(n, cq, head);
			}
			up = cq->head != cq->tail && (cq->vector >= 32 || (n->intms & BIT(cq->vector)) == 0);
		}
	}
	host->ops->intx(host, up);
}

void nvme_model_interrupts_changed(struct nvme_model *n)
{
	nvme_model_interrupts_update(n);
}

static void notify_queues(struct nvme_model *n)
{
	struct model_host *host = n->host;
	bool pin = n->config.msix_vectors == 0 || !host->ops->msix_enabled(host);
	bool any = false;

	for (unsigned word = 0; word < ARRAY_SIZE(n->cq_notify); word++) {
		while (n->cq_notify[word] != 0) {
			unsigned qid = word * 64 + (unsigned)__builtin_ctzll(n->cq_notify[word]);
			struct nvme_cq *cq = &n->cq[qid];

			n->cq_notify[word] &= n->cq_notify[word] - 1;
			cq->notify = false;
			if (!cq->interrupt)
				continue;
			any = true;
			n->stats.interrupts++;
			if (!pin)
				host->ops->msix(host, cq->vector);
		}
	}
	if (pin && any)
		nvme_model_interrupts_update(n);
}

/* ---- executing ---- */

static void execute(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
	uint32_t cdw0 = ob_le32_to_cpu(sqe->cdw0);
	struct nvme_cmd cmd = {
		.sqe = sqe,
		.sq = sq,
		.opcode = (uint8_t)FIELD_GET(NVME_CDW0_OPC, cdw0),
		.nsid = ob_le32_to_cpu(sqe->nsid),
		.lba = UINT64_MAX,
	};
	uint16_t status = NVME_SC_SUCCESS;

	if (OB_UNLIKELY(n->hooks.fail != NULL)) {
		struct nvme_model_command view = command_view(sq, sqe);

		status = n->hooks.fail(n->hooks.arg, &view);
	}
	if (OB_LIKELY(status == NVME_SC_SUCCESS)) {
		if (OB_UNLIKELY(FIELD_GET(NVME_CDW0_FUSE, cdw0) != 0))
			status = FAIL(NVME_SC_INVALID_FIELD); /* no fused operations (FUSES is 0) */
		else
			status = sq->qid != 0 ? nvme_model_io(n, &cmd) : nvme_model_admin(n, &cmd);
	}
	if (status == STATUS_PENDING)
		return;
	if (OB_UNLIKELY(status != NVME_SC_SUCCESS)) {
		nvme_model_log_error(n, &cmd, status);
		status |= MORE;
	}
	nvme_model_complete(n, sq, sqe, status, cmd.dw0);
}

static uint64_t command_delay(struct nvme_model *n, const struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
	uint64_t latency = sq->qid != 0 ? n->config.latency_ns : 0, more;
	struct nvme_model_command view;

	if (OB_LIKELY(n->hooks.delay_ns == NULL))
		return latency;
	view = command_view(sq, sqe);
	more = n->hooks.delay_ns(n->hooks.arg, &view);
	return more > MODEL_NEVER - latency ? MODEL_NEVER : latency + more;
}

/* Keep the command for later, in order of time; false: no slot is free, the entry must stay where it is. */
static bool delay(struct nvme_model *n, struct nvme_sq *sq, const struct nvme_sqe *sqe, uint64_t delay_ns)
{
	struct model_host *host = n->host;
	struct slot *slot = nvme_model_slot_get(n, sq, sqe);
	uint64_t now = host->ops->now_ns(host);
	struct list *after;

	if (slot == NULL)
		return false;
	slot->due_ns = delay_ns > MODEL_NEVER - now ? MODEL_NEVER : now + delay_ns;
	for (after = n->delayed.prev; after != &n->delayed; after = after->prev)
		if (list_entry(after, struct slot, link)->due_ns <= slot->due_ns)
			break;
	list_add(after, &slot->link);
	n->in_flight++;
	return true;
}

bool nvme_model_abort(struct nvme_model *n, unsigned sqid, uint16_t cid)
{
	list_for_each (node, &n->delayed) {
		struct slot *slot = list_entry(node, struct slot, link);

		if (slot->sq->qid != sqid || sqe_cid(&slot->sqe) != cid)
			continue;
		n->in_flight--;
		nvme_model_complete(n, slot->sq, &slot->sqe, NVME_SC_ABORT_REQUESTED, 0);
		nvme_model_slot_put(n, slot);
		return true;
	}
	return false;
}

static void run_due(struct nvme_model *n)
{
	struct model_host *host = n->host;
	uint64_t now;

	if (OB_LIKELY(list_empty(&n->delayed)))
		return;
	now = host->ops->now_ns(host);
	for (unsigned i = 0; i < SLOT_COUNT && !list_empty(&n->delayed); i++) {
		struct slot *slot = list_entry(n->delayed.next, struct slot, link);

		if (slot->due_ns > now)
			break;
		list_del(&slot->link);
		n->in_flight--;
		execute(n, slot->sq, &slot->sqe);
		nvme_model_slot_put(n, slot);
	}
}

/* One queue's turn: at most @budget commands. Returns how many. */
static unsigned sq_run(struct nvme_model *n, struct nvme_sq *sq, unsigned budget)
{
	struct nvme_sqe entries[FETCH_MAX];
	unsigned count = MIN(ring_distance(sq->head, sq->tail, sq->entry_count), MIN(budget, (unsigned)FETCH_MAX));
	unsigned done;

	count = MIN(count, sq->entry_count - sq->head); /* a fetch does not go around */
	if (sq->qid == 0)
		count = MIN(count, 1u); /* the next may depend on what this one does */
	if (nvme_model_dma_read(n, sq->base + ((uint64_t)sq->head << NVME_SQE_SHIFT), entries,
				count * sizeof(entries[0])) != 0) {
		n->stats.dma_refused++;
		nvme_model_fail(n, "a submission queue cannot be read");
		return 0;
	}
	for (done = 0; done < count; done++) {
		const struct nvme_sqe *sqe = &entries[done];
		uint64_t delay_ns = command_delay(n, sq, sqe);

		if (delay_ns == 0 && !cq_make_room(n, sq->cq))
			break;
		if (delay_ns != 0 && !delay(n, sq, sqe, delay_ns))
			break;
		if (++sq->head == sq->entry_count)
			sq->head = 0;
		n->stats.commands++;
		if (done + 1 < count)
			nvme_model_io_ahead(n, &entries[done + 1]);
		if (delay_ns == 0)
			execute(n, sq, sqe);
		if (OB_UNLIKELY((n->csts & (NVME_CSTS_CFS | NVME_CSTS_RDY)) != NVME_CSTS_RDY))
			return 0;
	}
	return done;
}

/* Give each queue that has something a turn. Returns whether something is left to do now. */
static bool run_queues(struct nvme_model *n, unsigned budget)
{
	bool more = false;

	for (unsigned word = 0; word < ARRAY_SIZE(n->sq_pending); word++) {
		for (uint64_t bits = n->sq_pending[word]; bits != 0; bits &= bits - 1) {
			unsigned qid = word * 64 + (unsigned)__builtin_ctzll(bits);
			struct nvme_sq *sq = &n->sq[qid];
			unsigned done;

			if (!sq->exists || !cq_drain(n, sq->cq)) {
				n->sq_pending[word] &= ~BIT64(qid % 64); /* a doorbell brings it back */
				continue;
			}
			sq_look(n, sq);
			if (sq->head == sq->tail) {
				n->sq_pending[word] &= ~BIT64(qid % 64);
				if (!sq_is_idle(n, sq))
					sq_mark(n, sq);
				more |= sq->head != sq->tail;
				continue;
			}
			done = sq_run(n, sq, budget);
			if ((n->csts & (NVME_CSTS_CFS | NVME_CSTS_RDY)) != NVME_CSTS_RDY)
				return false;
			if (done != 0 || !(sq->cq->full || list_empty(&n->free_slots))) {
				more = true;
				continue;
			}
			n->starved |= !sq->cq->full;
			n->sq_pending[word] &= ~BIT64(qid % 64);
		}
	}
	return more;
}

/* Slots are free again: queues that had to stop for want of one go on. */
static void feed_queues(struct nvme_model *n)
{
	n->starved = false;
	for (unsigned i = 0; i < QUEUE_COUNT; i++)
		if (n->sq[i].exists)
			sq_mark(n, &n->sq[i]);
}

bool nvme_model_run(struct nvme_model *n, unsigned budget)
{
	bool more = false;

	if ((n->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY) {
		run_due(n);
		if (OB_UNLIKELY(n->starved && !list_empty(&n->free_slots)))
			feed_queues(n);
		for (unsigned done = 0; done < budget; done += FETCH_MAX) {
			more = run_queues(n, FETCH_MAX);
			if (!more)
				break;
		}
		if (!list_empty(&n->delayed))
			nvme_model_reschedule(n);
	}
	notify_queues(n);
	return more;
}
