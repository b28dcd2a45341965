/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Channels: one I/O queue pair each (NVM Express 1.4 §5.3 to §5.6), made in a task on CPU 0 and then handed to the
 * channel's CPU, which alone touches it from there on until it is handed back.
 */
#include <errno.h>
#include <stdio.h>

#include "drivers/block/nvme/nvme.h"

#define DEPTH_DEFAULT 128u
#define TICK_MIN_NS   OB_NS_PER_MS
#define LAZY_ENTRIES  64u /* of a ring that is polled, at least: a page of commands */

/* ---- completion: interrupt, polling ---- */

static unsigned poll_take(void *arg, unsigned budget)
{
	struct nvme_queue *q = arg;

	/* Not before the second poll: what arms again after the first has spared two register writes. */
	if (q->mask_irq && !q->masked) {
		if (q->polled)
			ob_irq_mask(q->irq);
		q->masked = q->polled;
		q->polled = true;
	}
	return OB_LIKELY(q->state == NVME_QUEUE_LIVE) ? nvme_queue_take(q, budget) : 0;
}

static bool poll_arm(void *arg)
{
	struct nvme_queue *q = arg;

	/* The device knows of all that was taken: it may interrupt only when a ring goes from empty to not empty. */
	if (q->ring.cq_pos != q->ring.cq_told && q->state == NVME_QUEUE_LIVE)
		nvme_ring_ack(&q->ring);
	/* Unmask, then look: what comes after the look interrupts. */
	if (q->masked)
		ob_irq_unmask(q->irq);
	q->masked = q->polled = false;
	return q->state == NVME_QUEUE_LIVE && nvme_ring_pending(&q->ring);
}

/* An interrupt that comes all the same finds the queue being polled, or stopped. */
static void poll_disarm(void *arg)
{
}

static const struct ob_poll_ops poll_ops = {
	.poll = poll_take,
	.arm = poll_arm,
	.disarm = poll_disarm,
};

static enum ob_irq_result queue_hard(void *arg)
{
	struct nvme_queue *q = arg;

	if (OB_LIKELY(OB_READ_ONCE(q->polling)))
		ob_poll_schedule(&q->poll);
	return OB_IRQ_HANDLED;
}

/* ---- ids ---- */

static int take_qid(struct nvme *n)
{
	for (unsigned qid = 1; qid <= n->queue_max; qid++) {
		uint64_t *word = &n->qids_used[qid / 64];

		if ((*word & BIT64(qid % 64)) == 0) {
			*word |= BIT64(qid % 64);
			return (int)qid;
		}
	}
	return -ENOSPC;
}

static void give_qid(struct nvme *n, unsigned qid)
{
	n->qids_used[qid / 64] &= ~BIT64(qid % 64);
}

/* ---- memory ---- */

uint32_t nvme_list_bytes(const struct nvme *n)
{
	uint32_t need = n->info.transfer_max_bytes / NVME_PAGE_BYTES * sizeof(ob_le64);
	uint32_t bytes = n->info.sgl ? 1024 : 64;

	while (bytes < need)
		bytes *= 2;
	return bytes;
}

static uint32_t ring_entries(const struct nvme *n, unsigned depth, enum ob_completion_mode mode)
{
	/* A ring holds one less than its entries (§4.1.1). */
	uint32_t wanted = MAX(depth + 1, mode == OB_COMPLETION_INTERRUPT ? NVME_QUEUE_MIN : LAZY_ENTRIES);
	uint32_t entries = NVME_QUEUE_MIN;

	while (entries < wanted && entries < n->entries_max)
		entries *= 2;
	return entries;
}

static int queue_alloc(struct nvme *n, struct ob_block_channel *channel, unsigned qid, struct nvme_queue **out)
{
	const struct nvme_namespace *ns = ob_block_driver_data(channel->block);
	uint32_t depth = MIN(channel->depth != 0 ? channel->depth : DEPTH_DEFAULT, NVME_DEPTH_MAX);
	uint32_t entries = ring_entries(n, depth, channel->mode);
	struct nvme_queue *q = nvme_alloc(n, sizeof(*q));
	uint32_t slot_count = 1;
	int ret = -ENOMEM;

	if (q == NULL)
		return -ENOMEM;
	q->depth = MIN(depth, entries - 1);
	q->list_bytes = nvme_list_bytes(n);
	while (slot_count < q->depth)
		slot_count *= 2;
	q->slots = nvme_alloc(n, slot_count * sizeof(*q->slots));
	if (q->slots == NULL)
		goto free_memory;
	ret = nvme_ring_init(n, &q->ring, qid, entries);
	if (ret != 0)
		goto free_memory;
	nvme_cmb_take(n, &q->ring);
	ret = ob_dma_alloc(n->dev, (size_t)q->depth * q->list_bytes, NVME_PAGE_BYTES, &q->lists_dma);
	if (ret != 0)
		goto fini_ring;
	for (unsigned i = 0; i < slot_count; i++)
		q->slots[i].expect = i | NVME_NOT_ISSUED;
	for (unsigned i = q->depth; i > 0; i--) {
		q->slots[i - 1].next = q->free;
		q->free = &q->slots[i - 1];
	}
	q->tag_mask = slot_count - 1;
	q->grant_offset = (uint32_t)offsetof(struct ob_window, grant[channel->dma_index].iova);
	q->lists = q->lists_dma.base;
	q->lists_iova = q->lists_dma.iova;
	q->nsid_high = (uint64_t)ns->nsid << 32;
	q->dma_index = channel->dma_index;
	q->sgl = n->info.sgl;
	q->deallocate_zeroes = ns->info.deallocate_zeroes;
	q->cpu = channel->cpu;
	q->channel = channel;
	q->nvme = n;
	q->tick_ns = MAX((channel->timeout_ns != 0 ? channel->timeout_ns : NVME_IO_TIMEOUT_NS) / NVME_TICKS,
			 TICK_MIN_NS);
	list_init(&q->link);
	nvme_queue_init_works(q);
	*out = q;
	return 0;

fini_ring:
	nvme_cmb_give(n, &q->ring);
	nvme_ring_fini(n, &q->ring);
free_memory:
	ob_free(q->slots);
	ob_free(q);
	return ret;
}

void nvme_queue_free(struct nvme *n, struct nvme_queue *q)
{
	ob_dma_free(n->dev, &q->lists_dma);
	nvme_cmb_give(n, &q->ring);
	nvme_ring_fini(n, &q->ring);
	ob_free(q->slots);
	ob_free(q);
}

void nvme_graveyard_clear(struct nvme *n)
{
	struct list *node;

	while ((node = list_pop(&n->graveyard)) != NULL) {
		struct nvme_queue *q = list_entry(node, struct nvme_queue, link);

		give_qid(n, q->ring.qid);
		nvme_queue_free(n, q);
	}
}

/* ---- vectors ---- */

/* A vector of its own, or on CPU 0 a share in the admin queue's, makes the channel interrupt-driven. Else it is polled. */
static int take_vector(struct nvme *n, struct nvme_queue *q, struct ob_block_channel *channel)
{
	struct ob_irq_config config = {.cpu = q->cpu, .hard = queue_hard, .arg = q};
	char name[32];
	unsigned vector = 1;
	int ret;

	if (channel->mode == OB_COMPLETION_POLLED)
		return 0;
	while (vector < n->vector_count && (n->vectors_used & BIT64(vector)) != 0)
		vector++;
	if (vector >= n->vector_count || n->irq_kind == OB_IRQ_INTX) {
		q->shared = nvme_admin_share_irq(n, q);
		if (q->shared)
			return 0;
		ob_info(n->ob, "%s queue %u: no vector left, polled", n->name, q->ring.qid);
		channel->mode = OB_COMPLETION_POLLED;
		return 0;
	}
	snprintf(name, sizeof(name), "%s queue %u", n->name, q->ring.qid);
	config.name = name;
	ret = ob_irq_request(n->dev, vector, &config, &q->irq);
	if (ret != 0)
		return ret;
	q->vector = vector;
	q->mask_irq = channel->mode == OB_COMPLETION_HYBRID;
	n->vectors_used |= BIT64(vector);
	return 0;
}

static void give_vector(struct nvme *n, struct nvme_queue *q)
{
	if (q->shared)
		nvme_admin_unshare_irq(n, q);
	q->shared = false;
	ob_irq_free(q->irq);
	q->irq = NULL;
	if (q->vector != 0)
		n->vectors_used &= ~BIT64(q->vector);
	q->vector = 0;
}

/* ---- the controller's side ---- */

static int create_cq(struct nvme *n, const struct nvme_queue *q)
{
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_CREATE_CQ,
		.prp1 = q->ring.cq_dma.iova.addr,
		.cdw10 = FIELD_PREP(NVME_QUEUE_QID, q->ring.qid) | FIELD_PREP(NVME_QUEUE_QSIZE, q->ring.mask),
		.cdw11 = NVME_CQ_PC |
			 (q->vector != 0 || q->shared ? NVME_CQ_IEN | FIELD_PREP(NVME_CQ_IV, q->vector) : 0),
	};

	return nvme_admin_do(n, &cmd, "creating a completion queue");
}

static int create_sq(struct nvme *n, const struct nvme_queue *q)
{
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_CREATE_SQ,
		.prp1 = q->ring.sq_address,
		.cdw10 = FIELD_PREP(NVME_QUEUE_QID, q->ring.qid) | FIELD_PREP(NVME_QUEUE_QSIZE, q->ring.mask),
		.cdw11 = NVME_SQ_PC | FIELD_PREP(NVME_SQ_CQID, q->ring.qid),
	};

	return nvme_admin_do(n, &cmd, "creating a submission queue");
}

static int delete_one(struct nvme *n, const struct nvme_queue *q, uint8_t opcode)
{
	struct nvme_command cmd = {
		.opcode = opcode,
		.cdw10 = FIELD_PREP(NVME_QUEUE_QID, q->ring.qid),
	};

	return nvme_admin_do(n, &cmd, "deleting a queue");
}

int nvme_queue_create(struct nvme *n, struct nvme_queue *q)
{
	int ret;

	nvme_ring_set_shadow(n, &q->ring);
	/*
	 * While nobody waits for its interrupt, the device needs to know of free entries only before it runs out of them
	 * (§4.6): a quarter of the ring in one doorbell. A line that is shared drops by each.
	 */
	q->ring.cq_lag = q->channel->mode == OB_COMPLETION_INTERRUPT || q->shared ? 0 : q->ring.mask / 4;
	q->created = true; /* from here on the device may know its memory, also when it does not answer */
	ret = create_cq(n, q);
	if (ret != 0) {
		q->created = ret == -ETIMEDOUT;
		return ret;
	}
	ret = create_sq(n, q);
	if (ret != 0 && ret != -ETIMEDOUT && delete_one(n, q, NVME_ADMIN_DELETE_CQ) == 0)
		q->created = false;
	return ret;
}

/* The submission queue first: its completion queue must be without users (§5.5, §5.6). */
int nvme_queue_delete(struct nvme *n, struct nvme_queue *q)
{
	int ret = delete_one(n, q, NVME_ADMIN_DELETE_SQ);

	if (ret == 0)
		ret = delete_one(n, q, NVME_ADMIN_DELETE_CQ);
	if (ret == 0)
		q->created = false;
	return ret;
}

/* Under n->lock. The memory of a queue that the device may still use waits until the device is quiet. */
static void queue_dispose(struct nvme *n, struct nvme_queue *q)
{
	list_del(&q->link);
	give_vector(n, q);
	if (q->created && !n->quiet && !nvme_is_gone(n)) {
		list_add_tail(&n->graveyard, &q->link);
		nvme_want_reset(n, "a queue could not be deleted");
		/* Its id stays taken until then: the reset frees it. */
		return;
	}
	give_qid(n, q->ring.qid);
	nvme_queue_free(n, q);
}

/* ---- open and close: tasks on CPU 0 ---- */

static void queue_start(void *arg)
{
	struct nvme_queue *q = arg;
	struct ob_poll_config config = q->channel->poll;

	config.mode = q->channel->mode;
	ob_timer_init(&q->tick, q->cpu, nvme_queue_tick);
	ob_timer_init(&q->retry, q->cpu, nvme_queue_retry);
	/* While it is suspended no queue can be made; this one comes with all others when it resumes. */
	q->state = q->created ? NVME_QUEUE_LIVE : NVME_QUEUE_FROZEN;
	ob_poll_start(&q->poll, q->cpu, &poll_ops, q, &config);
	OB_WRITE_ONCE(q->polling, true); /* the interrupt looks at it */
}

static void queue_stop(void *arg)
{
	struct nvme_queue *q = arg;

	q->state = NVME_QUEUE_CLOSING;
	if (q->polling) {
		OB_WRITE_ONCE(q->polling, false);
		ob_poll_stop(&q->poll);
	}
	ob_timer_stop(&q->tick);
	ob_timer_stop(&q->retry);
}

/* The device has let go of the queue: what it completed counts, the rest ends here. */
static void queue_finish(void *arg)
{
	struct nvme_queue *q = arg;
	int error = nvme_is_gone(q->nvme) ? -ENODEV : -ECANCELED;

	nvme_queue_take(q, q->ring.mask + 1);
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			nvme_slot_end(q, i, error, 0);
}

static int channel_open(struct ob_block *block, struct ob_block_channel *channel)
{
	struct nvme_namespace *ns = ob_block_driver_data(block);
	struct nvme *n = ns->nvme;
	struct nvme_queue *q;
	int ret = ob_mutex_lock(&n->lock, ob_deadline(NVME_LOCK_TIMEOUT_NS));
	int qid;

	if (ret != 0)
		return ret;
	ret = nvme_is_gone(n) || n->ending || n->state == NVME_DEAD ? -ENODEV : 0;
	if (ret != 0)
		goto unlock;
	ret = qid = take_qid(n);
	if (ret < 0)
		goto unlock;
	ret = queue_alloc(n, channel, (unsigned)qid, &q);
	if (ret != 0) {
		give_qid(n, (unsigned)qid);
		goto unlock;
	}
	ret = take_vector(n, q, channel);
	if (ret != 0)
		goto dispose;
	nvme_ring_rewind(&q->ring);
	ret = n->state == NVME_SUSPENDED ? 0 : nvme_queue_create(n, q);
	if (ret != 0)
		goto dispose;
	/* Before the start: a poll of the other CPU comes through the channel at once. */
	channel->driver_data = q;
	channel->depth = q->depth;
	ret = nvme_call(q, queue_start, q);
	if (ret != 0) {
		if (q->created)
			nvme_queue_delete(n, q);
		goto dispose;
	}
	list_add_tail(&n->queues, &q->link);
	/* The watch begins with the first channel. */
	ob_event_signal(&n->service_event);
	goto unlock;

dispose:
	queue_dispose(n, q);
unlock:
	ob_mutex_unlock(&n->lock);
	return ret;
}

/* Whoever holds it has deadlines. */
static void lock_firmly(struct nvme *n, const struct nvme_queue *q)
{
	while (ob_mutex_lock(&n->lock, ob_deadline(NVME_LOCK_TIMEOUT_NS)) != 0)
		ob_err(n->ob, "%s queue %u: still waiting to be closed", n->name, q->ring.qid);
}

/*
 * Nobody turns that CPU. Its lists still lead to the queue's timers and poll, so the queue is lost rather than freed; its
 * requests end from here. The block class does the same with its side.
 *
 * The CPU may come back, in a done function that nvme_queue_take() called or at its next poll: the interrupt and the
 * rings are gone by then, and perhaps the whole device. What it looks at first is the next completion; so that the I/O
 * path needs no test for this, the queue gets a completion ring of one entry, which never completes anything.
 */
static void leave_rings(struct nvme_queue *q)
{
	q->mask_irq = q->masked = false;
	OB_WRITE_ONCE(q->state, NVME_QUEUE_DEAD);
	/* The phase that is not awaited: with one entry the position's lowest bit is the round. */
	ob_le16_store(&q->never.status, (q->ring.cq_pos & 1) != 0 ? NVME_CQE_P : 0);
	OB_WRITE_ONCE(q->ring.cq, &q->never);
	OB_WRITE_ONCE(q->ring.mask, 0);
}

static void abandon(struct nvme *n, struct nvme_queue *q)
{
	ob_err(n->ob, "%s queue %u: CPU %u does not answer, the queue is left behind", n->name, q->ring.qid,
	       ob_cpu_index(q->cpu));
	leave_rings(q);
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			nvme_slot_end(q, i, nvme_is_gone(n) ? -ENODEV : -ECANCELED, 0);
	list_del(&q->link);
	give_vector(n, q);
}

/* Of a controller that is being shut down: not before may requests end whose memory it uses. */
static void wait_for_end(const struct nvme *n)
{
	uint64_t deadline_ns = ob_deadline(2 * NVME_ENDING_NS);

	while (n->ending && n->state != NVME_DEAD && ob_now_ns() < deadline_ns)
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
}

static void channel_close(struct ob_block_channel *channel)
{
	struct nvme_queue *q = channel->driver_data;
	struct nvme *n = q->nvme;
	int ret;

	q->closing = true;
	ret = nvme_call(q, queue_stop, q);
	lock_firmly(n, q);
	if (q->created && !nvme_is_gone(n) && n->state != NVME_DEAD && nvme_queue_delete(n, q) != 0) {
		/* The device may still be at the requests' memory. A reset, or the end of the controller, stops it. */
		ob_mutex_unlock(&n->lock);
		nvme_reset(n, "a queue could not be deleted", ob_deadline(NVME_RESET_TIMEOUT_NS));
		wait_for_end(n);
		lock_firmly(n, q);
	}
	if (ret == 0)
		ret = nvme_call(q, queue_finish, q);
	if (ret == 0)
		queue_dispose(n, q);
	else
		abandon(n, q);
	ob_mutex_unlock(&n->lock);
}

const struct ob_block_ops nvme_block_ops = {
	.channel_open = channel_open,
	.channel_close = channel_close,
	.submit = nvme_io_submit,
	.kick = nvme_io_kick,
	.poll = nvme_io_poll,
	.cancel = nvme_io_cancel,
};
