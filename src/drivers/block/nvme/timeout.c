/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that take too long. Nothing reads a clock per request: a timer of the queue ticks while requests are in
 * flight, each slot remembers the tick in which it was issued, and a request that is more than NVME_TICKS old is late.
 * First the completion queue is looked at (an interrupt may have been lost); then the command is aborted (§5.1), which
 * the service task does; and when it does not end within NVME_GRACE_TICKS after that, the controller is reset.
 */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

#define ABORTS_PER_CALL 16u

static bool is_issued(const struct nvme_slot *slot)
{
	return slot->request != NULL && (slot->expect & NVME_NOT_ISSUED) == 0;
}

static unsigned age(const struct nvme_queue *q, const struct nvme_slot *slot)
{
	return (uint16_t)(q->epoch - slot->epoch);
}

static bool is_busy(const struct nvme_queue *q)
{
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			return true;
	return false;
}

static unsigned count_late(const struct nvme_queue *q)
{
	unsigned late = 0;

	for (unsigned i = 0; i < q->depth; i++)
		late += is_issued(&q->slots[i]) && age(q, &q->slots[i]) > NVME_TICKS;
	return late;
}

static void find_late(struct nvme_queue *q)
{
	bool abort = false, reset = false;

	for (unsigned i = 0; i < q->depth; i++) {
		struct nvme_slot *slot = &q->slots[i];

		if (!is_issued(slot) || age(q, slot) <= NVME_TICKS)
			continue;
		if ((slot->flags & NVME_SLOT_LATE) == 0) {
			slot->flags |= NVME_SLOT_LATE;
			q->channel->stats.timeouts++;
			abort = true;
			OB_TRACE(q->cpu, OB_TRACE_NVME_TIMEOUT, q->ring.qid, slot->expect, 0);
			ob_warn(q->nvme->ob, "%s queue %u: %s of block %llu (id %#x) is late, aborting it",
				q->nvme->name, q->ring.qid, ob_block_op_name((enum ob_block_op)slot->request->op),
				(unsigned long long)slot->request->lba, slot->expect);
		} else if (age(q, slot) > NVME_TICKS + NVME_GRACE_TICKS) {
			reset = true;
		}
	}
	if (abort) {
		__atomic_store_n(&q->wants_abort, true, __ATOMIC_RELEASE);
		nvme_todo(q->nvme, NVME_TODO_ABORT);
	}
	if (reset)
		nvme_want_reset(q->nvme, "a command did not end after it was aborted");
}

void nvme_queue_tick(struct ob_timer *timer)
{
	struct nvme_queue *q = container_of(timer, struct nvme_queue, tick);
	unsigned late, still;

	q->epoch++;
	if (q->state == NVME_QUEUE_BROKEN) {
		/* Whatever became of the first wish. */
		nvme_want_reset(q->nvme, "a queue is broken");
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
		return;
	}
	if (q->state != NVME_QUEUE_LIVE) {
		q->ticking = false; /* the end of the reset starts it again */
		return;
	}
	late = count_late(q);
	if (late > 0) {
		nvme_queue_take(q, q->ring.mask + 1);
		still = count_late(q);
		if (still < late && q->channel->mode != OB_COMPLETION_POLLED) {
			q->count.lost_interrupts += late - still;
			ob_warn(q->nvme->ob, "%s queue %u: %u completions lay there, and no interrupt came",
				q->nvme->name, q->ring.qid, late - still);
		}
		if (still > 0 && q->state == NVME_QUEUE_LIVE)
			find_late(q);
	}
	q->ticking = is_busy(q);
	if (q->ticking)
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
}

void nvme_retry_at(struct nvme_queue *q, uint64_t due_ns)
{
	if (q->retrying && q->retry_ns <= due_ns)
		return;
	q->retrying = true;
	q->retry_ns = due_ns;
	ob_timer_start(&q->retry, due_ns);
}

void nvme_queue_retry(struct ob_timer *timer)
{
	struct nvme_queue *q = container_of(timer, struct nvme_queue, retry);
	uint64_t now = ob_now_ns();

	q->retrying = false;
	if (q->state != NVME_QUEUE_LIVE)
		return;
	for (unsigned i = 0; i < q->depth; i++) {
		if ((q->slots[i].flags & NVME_SLOT_RETRY) == 0)
			continue;
		if (q->slots[i].due_ns <= now)
			nvme_slot_issue(q, i);
		else
			nvme_retry_at(q, q->slots[i].due_ns);
	}
	nvme_io_kick(q->channel);
}

/* ---- service task ---- */

struct abort_list {
	struct nvme_queue *q;
	unsigned count;
	bool more;
	uint16_t cid[ABORTS_PER_CALL];
};

/* On the queue's CPU. */
static void collect_aborts(void *arg)
{
	struct abort_list *list = arg;
	struct nvme_queue *q = list->q;

	if (q->state != NVME_QUEUE_LIVE)
		return;
	for (unsigned i = 0; i < q->depth; i++) {
		struct nvme_slot *slot = &q->slots[i];

		if (!is_issued(slot) || (slot->flags & (NVME_SLOT_LATE | NVME_SLOT_CANCELLED)) == 0 ||
		    (slot->flags & NVME_SLOT_ABORTED) != 0)
			continue;
		if (list->count == ABORTS_PER_CALL) {
			list->more = true;
			return;
		}
		slot->flags |= NVME_SLOT_ABORTED;
		q->channel->stats.aborts++;
		list->cid[list->count++] = (uint16_t)slot->expect;
	}
}

/* One after the other, so the controller's limit (ACL) is kept. False: no more aborts make sense now. */
static bool abort_queue(struct nvme *n, struct nvme_queue *q)
{
	struct abort_list list = {.q = q};

	if (nvme_call(q, collect_aborts, &list) != 0)
		return true; /* when its CPU is back, its tick asks again */
	for (unsigned i = 0; i < list.count; i++) {
		struct nvme_command cmd = {
			.opcode = NVME_ADMIN_ABORT,
			.cdw10 = FIELD_PREP(NVME_ABORT_SQID, q->ring.qid) |
				 FIELD_PREP(NVME_ABORT_CID, (uint32_t)list.cid[i]),
		};

		/* Aborted or not, the command itself still ends, or does not; the tick sees to the latter. */
		if (nvme_admin_run(n, &cmd, ob_deadline(NVME_ABORT_TIMEOUT_NS)) != 0)
			return false;
		ob_debug(n->ob, "%s queue %u: abort of id %#x: %s", n->name, q->ring.qid, list.cid[i],
			 cmd.status != 0                              ? ob_nvme_status_text(cmd.status)
			 : (cmd.result & NVME_ABORT_NOT_ABORTED) != 0 ? "not aborted"
								      : "aborted");
	}
	if (list.more) {
		__atomic_store_n(&q->wants_abort, true, __ATOMIC_RELEASE);
		nvme_todo(n, NVME_TODO_ABORT);
	}
	return true;
}

void nvme_abort_late(struct nvme *n)
{
	uint32_t csts;

	if (n->state != NVME_LIVE || nvme_read_status(n, &csts) != 0)
		return;
	if ((csts & NVME_CSTS_CFS) != 0) {
		nvme_want_reset(n, "fatal status");
		return;
	}
	/* The lock keeps queues from being freed; it comes free within bounds, or the next tick asks again. */
	if (ob_mutex_lock(&n->lock, ob_deadline(NVME_LOCK_TIMEOUT_NS)) != 0)
		return;
	list_for_each (node, &n->queues) {
		struct nvme_queue *q = list_entry(node, struct nvme_queue, link);

		if (n->state == NVME_LIVE && __atomic_exchange_n(&q->wants_abort, false, __ATOMIC_ACQ_REL) &&
		    !q->closing && !abort_queue(n, q))
			break;
	}
	ob_mutex_unlock(&n->lock);
}
