/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Channels: each has a queue of the device while it is open. They come and go in tasks on CPU 0; in between the queue is
 * its CPU's alone.
 *
 * The device takes no queue away while it works. So a queue that is closed is emptied, and when that does not end, the
 * device is reset; what belongs to other queues is issued again then.
 */
#include <errno.h>
#include <stdio.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define DEPTH_DEFAULT      128u
#define TICK_MIN_NS        OB_NS_PER_MS
#define SIMPLE_PIECES      3u /* header, one segment, status */
#define EMPTY_PAUSE_MIN_NS (20 * OB_NS_PER_US)
#define EMPTY_PAUSE_MAX_NS OB_NS_PER_MS

/* ---- completion: interrupt, polling ---- */

static unsigned poll_take(void *arg, unsigned budget)
{
	struct vblk_queue *q = arg;

	return OB_LIKELY(q->state == VBLK_QUEUE_LIVE) ? vblk_queue_take(q, budget) : 0;
}

static bool poll_arm(void *arg)
{
	struct vblk_queue *q = arg;

	/* A queue that is frozen is CPU 0's: the thaw schedules a poll, which comes here again. */
	return q->state == VBLK_QUEUE_LIVE && ob_virtio_queue_arm(q->vq);
}

static void poll_disarm(void *arg)
{
	struct vblk_queue *q = arg;

	if (OB_READ_ONCE(q->state) == VBLK_QUEUE_LIVE)
		ob_virtio_queue_disarm(q->vq);
}

static const struct ob_poll_ops poll_ops = {
	.poll = poll_take,
	.arm = poll_arm,
	.disarm = poll_disarm,
};

static void queue_interrupt(void *arg)
{
	struct vblk_queue *q = arg;

	if (OB_LIKELY(OB_READ_ONCE(q->polling)))
		ob_poll_schedule(&q->poll);
}

/* ---- memory ---- */

/* Header and status of each slot are told to the queue once; it may hold fewer requests for that. */
static int queue_frame(struct vblk_queue *q, uint32_t depth)
{
	struct ob_virtio_frame frame = {
		.slots = depth,
		.out = {q->lines_iova.addr + offsetof(struct vblk_line, header)},
		.out_bytes = sizeof(struct virtio_blk_header),
		.out_stride_bytes = sizeof(struct vblk_line),
		.in = q->status_iova,
		.in_bytes = 1,
		.in_stride_bytes = 1,
	};

	return ob_virtio_queue_frame(q->vq, &frame);
}

static int queue_alloc(struct vblk *v, struct vblk_queue *q, struct ob_block_channel *channel)
{
	uint32_t depth = MIN(channel->depth != 0 ? channel->depth : DEPTH_DEFAULT, VBLK_DEPTH_MAX);
	size_t lines_bytes;
	int ret;

	depth = MIN(depth, ob_virtio_queue_depth(q->vq, SIMPLE_PIECES));
	lines_bytes = ALIGN_UP(depth * sizeof(struct vblk_line), OB_CACHE_LINE);
	q->slots = vblk_alloc(v, depth * sizeof(*q->slots));
	if (q->slots == NULL)
		return -ENOMEM;
	ret = ob_dma_alloc(v->dev, lines_bytes + depth, OB_CACHE_LINE, &q->dma);
	if (ret != 0)
		goto free_slots;
	q->lines = q->dma.base;
	q->lines_iova = q->dma.iova;
	q->status = (uint8_t *)q->dma.base + lines_bytes;
	q->status_iova.addr = q->dma.iova.addr + lines_bytes;
	ret = queue_frame(q, depth);
	if (ret != 0)
		goto free_memory;
	depth = MIN(depth, ob_virtio_queue_depth(q->vq, SIMPLE_PIECES));
	q->free = NULL;
	for (unsigned i = depth; i > 0; i--) {
		struct vblk_slot *slot = &q->slots[i - 1];

		slot->index = i - 1;
		slot->line = &q->lines[i - 1];
		slot->status = &q->status[i - 1];
		slot->framed = ob_virtio_queue_framed(q->vq, i - 1);
		slot->next = q->free;
		q->free = slot;
	}
	q->depth = depth;
	q->waiting = 0;
	q->fresh_in_bytes = VBLK_IN_BYTES_ASK;
	q->epoch = q->fresh_zero = 0;
	q->dma_index = channel->dma_index;
	q->grant_offset = (uint32_t)offsetof(struct ob_window, grant[channel->dma_index].iova);
	q->sector_shift = v->info.sector_shift;
	q->cpu = channel->cpu;
	q->channel = channel;
	q->tick_ns = MAX((channel->timeout_ns != 0 ? channel->timeout_ns : VBLK_IO_TIMEOUT_NS) / VBLK_TICKS,
			 TICK_MIN_NS);
	q->ticking = q->polling = q->broken = false;
	q->closing = q->silent = false;
	vblk_queue_init_works(q);
	return 0;

free_memory:
	ob_dma_free(v->dev, &q->dma);
free_slots:
	ob_free(q->slots);
	q->slots = NULL;
	return ret;
}

void vblk_queue_clear(struct vblk *v, struct vblk_queue *q)
{
	static const struct ob_virtio_frame none;

	ob_virtio_queue_frame(q->vq, &none);
	ob_dma_free(v->dev, &q->dma);
	ob_free(q->slots);
	q->slots = q->free = NULL;
	q->depth = 0;
	q->channel = NULL;
	q->cpu = v->cpu;
	q->taken = false;
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_FREE);
}

void vblk_queues_reclaim(struct vblk *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		if (v->queues[i]->taken && v->queues[i]->channel == NULL)
			vblk_queue_clear(v, v->queues[i]);
}

/* ---- open: a task on CPU 0 ---- */

/* A vector of its own, or a share in one, makes the channel interrupt-driven. Else it is polled. */
static int take_interrupt(struct vblk *v, struct vblk_queue *q, struct ob_block_channel *channel)
{
	int ret;

	if (channel->mode == OB_COMPLETION_POLLED)
		return 0;
	ret = v->vector_count == 0 ? -ENOSPC : ob_virtio_queue_listen(q->vq, q->cpu, queue_interrupt, q);
	if (ret == -ENOSPC || ret == -EBUSY || ret == -EINVAL) {
		/* Those that share a vector share its CPU. */
		ob_info(v->ob, "%s queue %u: no vector for CPU %u, polled", v->name, q->index, ob_cpu_index(q->cpu));
		channel->mode = OB_COMPLETION_POLLED;
		return 0;
	}
	q->listens = ret == 0;
	return ret;
}

static void give_interrupt(struct vblk_queue *q)
{
	if (q->listens)
		ob_virtio_queue_unlisten(q->vq);
	q->listens = false;
}

static void queue_start(void *arg)
{
	struct vblk_queue *q = arg;
	struct ob_poll_config config = q->channel->poll;

	config.mode = q->channel->mode;
	ob_timer_init(&q->tick, q->cpu, vblk_queue_tick);
	/* While it is suspended nothing goes to the device; this one starts with all others when it resumes. */
	OB_WRITE_ONCE(q->state, q->vblk->state == VBLK_SUSPENDED ? VBLK_QUEUE_FROZEN : VBLK_QUEUE_LIVE);
	ob_poll_start(&q->poll, q->cpu, &poll_ops, q, &config);
	OB_WRITE_ONCE(q->polling, true); /* the interrupt looks at it */
}

static struct vblk_queue *find_free(struct vblk *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		if (!v->queues[i]->taken)
			return v->queues[i];
	return NULL;
}

static int channel_open(struct ob_block *block, struct ob_block_channel *channel)
{
	struct vblk *v = ob_block_driver_data(block);
	struct vblk_queue *q;
	int ret = ob_mutex_lock(&v->lock, ob_deadline(VBLK_LOCK_TIMEOUT_NS));

	if (ret != 0)
		return ret;
	ret = vblk_is_gone(v) || v->ending || v->state == VBLK_DEAD ? -ENODEV : 0;
	q = ret == 0 ? find_free(v) : NULL;
	if (q == NULL) {
		ret = ret != 0 ? ret : -ENOSPC;
		goto unlock;
	}
	ret = queue_alloc(v, q, channel);
	if (ret != 0)
		goto unlock;
	q->taken = true;
	ret = take_interrupt(v, q, channel);
	if (ret != 0)
		goto free_queue;
	/* Before the start: a poll of the other CPU comes through the channel at once. */
	channel->driver_data = q;
	channel->depth = q->depth;
	ret = vblk_call(q, queue_start, q);
	if (ret != 0)
		goto give_interrupt;
	/* The watch begins with the first channel. */
	ob_event_signal(&v->service_event);
	goto unlock;

give_interrupt:
	give_interrupt(q);
free_queue:
	vblk_queue_clear(v, q);
unlock:
	ob_mutex_unlock(&v->lock);
	return ret;
}

/* ---- close: a task on CPU 0 ---- */

static void queue_stop(void *arg)
{
	struct vblk_queue *q = arg;

	if (q->polling) {
		OB_WRITE_ONCE(q->polling, false);
		ob_poll_stop(&q->poll);
	}
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_CLOSING);
	ob_timer_stop(&q->tick);
	q->ticking = false;
}

static int end_error(const struct vblk_queue *q)
{
	return vblk_is_gone(q->vblk) ? -ENODEV : -ECANCELED;
}

/* The device touches nothing. */
static bool is_still(const struct vblk *v)
{
	return v->quiet || vblk_is_gone(v) || v->state == VBLK_DEAD;
}

/* What was answered counts, what the device never got ends here, and the rest is counted. */
static void queue_empty(void *arg)
{
	struct vblk_queue *q = arg;

	/* What was added and not made known would never end. */
	if (!is_still(q->vblk))
		ob_virtio_queue_kick(q->vq);
	/* Of one that was given up all have ended, whatever it answers. */
	if (q->vblk->state != VBLK_DEAD)
		vblk_queue_take(q, ob_virtio_queue_size(q->vq));
	q->unanswered = 0;
	for (unsigned i = 0; i < q->depth; i++) {
		struct vblk_slot *slot = &q->slots[i];

		if (slot->request != NULL && (slot->flags & VBLK_SLOT_WAITS) != 0)
			vblk_slot_end(q, i, end_error(q), 0);
		q->unanswered += slot->request != NULL;
	}
}

/* The device answers all that it has. 0; -ETIMEDOUT; or the CPU does not answer. */
static int run_empty(struct vblk *v, struct vblk_queue *q)
{
	uint64_t deadline_ns = ob_deadline(VBLK_EMPTY_NS), pause_ns = EMPTY_PAUSE_MIN_NS;

	for (;;) {
		int ret = vblk_call(q, queue_empty, q);

		if (ret != 0 || q->unanswered == 0)
			return ret;
		if (is_still(v) || ob_virtio_queue_is_broken(q->vq) || ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(pause_ns));
		pause_ns = MIN(2 * pause_ns, EMPTY_PAUSE_MAX_NS);
	}
}

static void queue_finish(void *arg)
{
	struct vblk_queue *q = arg;

	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			vblk_slot_end(q, i, end_error(q), 0);
}

/* Whoever holds it has deadlines. */
static void lock_firmly(struct vblk *v, const struct vblk_queue *q)
{
	while (ob_mutex_lock(&v->lock, ob_deadline(VBLK_LOCK_TIMEOUT_NS)) != 0)
		ob_err(v->ob, "%s queue %u: still waiting to be closed", v->name, q->index);
}

/* Of a device that is being shut down: not before may requests end whose memory it uses. */
static void wait_for_end(const struct vblk *v)
{
	uint64_t deadline_ns = ob_deadline(2 * VBLK_STOP_TIMEOUT_NS);

	while (v->ending && v->state != VBLK_DEAD && ob_now_ns() < deadline_ns)
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
}

/* Under v->lock. The device has let go of all that was given to it when this returns true. */
static bool take_back(struct vblk *v, struct vblk_queue *q, bool answers)
{
	int ret = answers ? run_empty(v, q) : -ETIMEDOUT;

	if (ret != 0 && !is_still(v)) {
		ob_mutex_unlock(&v->lock);
		ret = vblk_reset(v, "a queue that is closed does not run empty", ob_deadline(VBLK_RESET_TIMEOUT_NS));
		wait_for_end(v);
		lock_firmly(v, q);
	}
	/* Registers that read all ones may be those of a device that is there all the time, and still at this memory. */
	if (ret != 0 && vblk_is_gone(v) && !v->quiet)
		vblk_die(v, -ENODEV);
	return ret == 0 || is_still(v);
}

/*
 * Nobody turns that CPU. Its lists still lead to the queue's timer and poll, so the queue is lost rather than freed; its
 * requests end from here. The block class does the same with its side.
 *
 * The CPU may come back in a done function that vblk_queue_take() called. The batch that it is in then ends without
 * requests: no answer is long enough for these slots, and behind them it sees the state.
 */
static void abandon(struct vblk *v, struct vblk_queue *q)
{
	struct vblk_queue *heir = vblk_alloc(v, sizeof(*heir));

	ob_err(v->ob, "%s queue %u: CPU %u does not answer, the queue is left behind", v->name, q->index,
	       ob_cpu_index(q->cpu));
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_DEAD);
	queue_finish(q);
	for (unsigned i = 0; i < q->depth; i++)
		q->slots[i].in_bytes = VBLK_IN_BYTES_ASK;
	ob_dma_free(v->dev, &q->dma);
	if (heir == NULL)
		return; /* it stays taken */
	heir->vblk = v;
	heir->index = q->index;
	heir->vq = q->vq;
	vblk_queue_clear(v, heir);
	v->queues[q->index] = heir;
}

static void channel_close(struct ob_block_channel *channel)
{
	struct vblk_queue *q = channel->driver_data;
	struct vblk *v = q->vblk;
	bool free;
	int ret;

	q->closing = true;
	ret = vblk_call(q, queue_stop, q);
	lock_firmly(v, q);
	free = take_back(v, q, ret == 0);
	ret = vblk_call(q, queue_finish, q);
	give_interrupt(q);
	if (ret != 0) {
		abandon(v, q);
	} else if (free) {
		vblk_queue_clear(v, q);
	} else {
		/* The device may still be at its memory: that waits until the device is quiet. */
		q->channel = NULL;
		vblk_want_reset(v, "a queue was closed while the device worked on it");
	}
	ob_mutex_unlock(&v->lock);
}

const struct ob_block_ops vblk_block_ops = {
	.channel_open = channel_open,
	.channel_close = channel_close,
	.submit = vblk_io_submit,
	.kick = vblk_io_kick,
	.poll = vblk_io_poll,
	.cancel = vblk_io_cancel,
};
