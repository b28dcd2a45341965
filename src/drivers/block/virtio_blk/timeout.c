/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that take too long. Nothing reads a clock per request: a timer of the queue ticks while requests are in flight,
 * each slot remembers the tick in which it was issued, and a request that is more than VBLK_TICKS old is late. First the
 * ring is looked at (an interrupt may have been lost); what is still late then can only be had back by a reset.
 */
#include <errno.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

static bool is_late(const struct vblk_queue *q, const struct vblk_slot *slot)
{
	return slot->request != NULL && (slot->flags & VBLK_SLOT_WAITS) == 0 &&
	       (uint16_t)(q->epoch - slot->epoch) > VBLK_TICKS;
}

static bool is_busy(const struct vblk_queue *q)
{
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			return true;
	return false;
}

static unsigned count_late(const struct vblk_queue *q)
{
	unsigned late = 0;

	for (unsigned i = 0; i < q->depth; i++)
		late += is_late(q, &q->slots[i]);
	return late;
}

/* A device that hangs makes all of a queue late: one line tells of them. */
static void report_late(struct vblk_queue *q, unsigned late)
{
	bool said = false;

	for (unsigned i = 0; i < q->depth; i++) {
		const struct vblk_slot *slot = &q->slots[i];

		if (!is_late(q, slot))
			continue;
		q->channel->stats.timeouts++;
		OB_TRACE(q->cpu, OB_TRACE_VBLK_TIMEOUT, q->index, i, 0);
		if (said)
			continue;
		said = true;
		ob_warn(q->vblk->ob, "%s queue %u: %s of block %llu is late%s", q->vblk->name, q->index,
			ob_block_op_name((enum ob_block_op)slot->request->op), (unsigned long long)slot->request->lba,
			late > 1 ? ", and so are others" : "");
	}
	vblk_want_reset(q->vblk, "a request did not end in time");
}

void vblk_queue_tick(struct ob_timer *timer)
{
	struct vblk_queue *q = container_of(timer, struct vblk_queue, tick);
	unsigned late, still;

	q->epoch++;
	if (q->state == VBLK_QUEUE_BROKEN) {
		/* Whatever became of the first wish. */
		vblk_want_reset(q->vblk, "a queue is broken");
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
		return;
	}
	if (q->state != VBLK_QUEUE_LIVE) {
		q->ticking = false; /* the end of the reset starts it again */
		return;
	}
	late = count_late(q);
	if (late > 0) {
		vblk_queue_take(q, ob_virtio_queue_size(q->vq));
		still = count_late(q);
		if (still < late && q->channel->mode != OB_COMPLETION_POLLED) {
			q->count.lost_interrupts += late - still;
			ob_warn(q->vblk->ob, "%s queue %u: %u answers lay there, and no interrupt came", q->vblk->name,
				q->index, late - still);
		}
		if (still > 0 && q->state == VBLK_QUEUE_LIVE)
			report_late(q, still);
	}
	q->ticking = is_busy(q);
	if (q->ticking)
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
}
