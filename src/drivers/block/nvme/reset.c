/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Controller reset (NVM Express 1.4 §7.3.2) with everything that hangs on it, and giving a controller up.
 *
 * Queues are frozen on their own CPUs, the controller is disabled, what it had completed by then is taken, the rest waits
 * in its slots; the controller and its queues are made anew and what waits is issued again. It may be: until a request
 * has ended, it was in flight together with all that could touch the same blocks since, and NVMe gives no order among
 * such commands (§6.1). Reading, writing the same data, zeroing, deallocating and flushing twice do what once does, and
 * a compare that is repeated compares with data that it might have met the first time.
 *
 * Suspending (suspend.c) is the first half of a reset, and resuming is a whole one: what a controller still knows after
 * its time without power is its own business.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define RESET_TRIES    3u /* the last one with a function-level reset */
#define RESET_PAUSE_NS (20 * OB_NS_PER_MS)

enum step {
	STEP_FREEZE = 1,
	STEP_DISABLE,
	STEP_REWIND,
	STEP_ENABLE,
	STEP_QUEUES,
	STEP_THAW,
	STEP_DONE,
};

/* ---- on the queue's CPU ---- */

static void timers_stop(struct nvme_queue *q)
{
	ob_timer_stop(&q->tick);
	ob_timer_stop(&q->retry);
	q->ticking = false;
	q->retrying = false;
}

static void freeze(void *arg)
{
	struct nvme_queue *q = arg;

	q->progress = q->completed != q->completed_seen;
	q->completed_seen = q->completed;
	if (q->state != NVME_QUEUE_LIVE && q->state != NVME_QUEUE_BROKEN)
		return;
	q->broken = q->state == NVME_QUEUE_BROKEN;
	q->state = NVME_QUEUE_FROZEN;
	timers_stop(q);
	/*
	 * A doorbell that this CPU wrote may still be on its way, and CPU 0's write that disables the controller is not
	 * ordered after it: it would ring for a queue that is gone, or for the next one of that number. A read of the
	 * device arrives behind it (PCI Express 5.0 §2.4.1: reads do not pass posted writes).
	 */
	(void)ob_mmio_read32(&q->nvme->regs, NVME_CSTS);
}

/* The controller is quiet: what it completed counts, what it did not goes back to waiting. */
static void rewind_queue(void *arg)
{
	struct nvme_queue *q = arg;

	if (q->state == NVME_QUEUE_DEAD)
		return;
	if (!q->broken)
		nvme_queue_take(q, q->ring.mask + 1);
	q->broken = false;
	if (q->state == NVME_QUEUE_BROKEN)
		q->state = NVME_QUEUE_FROZEN; /* what it left at the end was nonsense; it is over now */
	for (unsigned i = 0; i < q->depth; i++) {
		struct nvme_slot *slot = &q->slots[i];

		if (slot->request == NULL || (slot->expect & NVME_NOT_ISSUED) != 0)
			continue;
		slot->expect = ((slot->expect + NVME_CID_STEP) & NVME_CID) | NVME_NOT_ISSUED;
		/* That it was suspended is not the request's fault. */
		slot->attempts += q->nvme->state == NVME_RESETTING;
		q->channel->stats.reissues++;
	}
	nvme_ring_rewind(&q->ring);
}

static void thaw(void *arg)
{
	struct nvme_queue *q = arg;

	/*
	 * One that is being closed was not made again, nor one whose namespace is gone; what waits in it ends with its
	 * close.
	 */
	if (q->state != NVME_QUEUE_FROZEN || !q->created)
		return;
	q->state = NVME_QUEUE_LIVE;
	q->channel->stats.resets += q->nvme->state == NVME_RESETTING;
	for (unsigned i = 0; i < q->depth; i++) {
		struct nvme_slot *slot = &q->slots[i];

		/* Those that done functions submit meanwhile are issued already. */
		if (slot->request == NULL || (slot->expect & NVME_NOT_ISSUED) == 0)
			continue;
		if ((slot->flags & NVME_SLOT_CANCELLED) != 0)
			nvme_slot_end(q, i, -ECANCELED, 0);
		else if (slot->attempts > NVME_RETRY_MAX)
			nvme_slot_end(q, i, -ETIMEDOUT, 0);
		else
			nvme_slot_issue(q, i);
	}
	nvme_io_kick(q->channel);
}

struct death {
	struct nvme_queue *q;
	int error;
};

static void end_all(struct nvme_queue *q, int error)
{
	if (q->state != NVME_QUEUE_CLOSING)
		q->state = NVME_QUEUE_DEAD;
	timers_stop(q);
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			nvme_slot_end(q, i, error, 0);
}

static void die_on_cpu(void *arg)
{
	const struct death *death = arg;

	end_all(death->q, death->error);
}

/* The CPU did not answer in time, and now it turns after all. */
static void die_late(struct ob_work *work)
{
	struct nvme_queue *q = container_of(work, struct nvme_queue, death);

	end_all(q, q->nvme->death);
}

/* Its CPU was away while the controller was reset, and is back: the queue has no counterpart in the controller. */
static void wake_late(struct ob_work *work)
{
	struct nvme_queue *q = container_of(work, struct nvme_queue, wake);

	if (q->state == NVME_QUEUE_FROZEN || q->state == NVME_QUEUE_BROKEN)
		nvme_want_reset(q->nvme, "a queue's CPU was away during a reset");
}

void nvme_queue_init_works(struct nvme_queue *q)
{
	ob_work_init(&q->death, die_late);
	ob_work_init(&q->wake, wake_late);
}

/* ---- CPU 0 ---- */

int nvme_call(struct nvme_queue *q, void (*fn)(void *arg), void *arg)
{
	return ob_cpu_call_firmly(q->cpu, fn, arg, ob_deadline(NVME_CALL_TIMEOUT_NS));
}

/*
 * A CPU that does not answer must not cost the others their disk: its queue is left out of this reset, and asks for
 * another one when the CPU is back. Until then the controller does not know the queue, so nothing is written by it; nor
 * may the CPU write its doorbells when it comes back amid its polling, so the queue is frozen from here.
 */
void nvme_call_queues(struct nvme *n, void (*fn)(void *arg))
{
	list_for_each (node, &n->queues) {
		struct nvme_queue *q = list_entry(node, struct nvme_queue, link);

		if (q->silent || n->ending || nvme_call(q, fn, q) == 0)
			continue;
		ob_err(n->ob, "%s queue %u: CPU %u does not answer, the reset goes on without it", n->name, q->ring.qid,
		       ob_cpu_index(q->cpu));
		q->silent = true;
		if (q->state == NVME_QUEUE_LIVE)
			OB_WRITE_ONCE(q->state, NVME_QUEUE_FROZEN);
		ob_cpu_post(q->cpu, &q->wake);
	}
}

void nvme_end_queues(struct nvme *n, int error)
{
	nvme_quiesce(n);
	n->state = NVME_DEAD;
	n->death = error;
	nvme_admin_cancel(n, error);
	list_for_each (node, &n->queues) {
		struct nvme_queue *q = list_entry(node, struct nvme_queue, link);
		struct death death = {q, error};

		q->created = false;
		if (nvme_call(q, die_on_cpu, &death) == 0)
			continue;
		ob_err(n->ob, "%s queue %u: CPU %u does not answer; its requests end when it does", n->name,
		       q->ring.qid, ob_cpu_index(q->cpu));
		ob_cpu_post(q->cpu, &q->death);
	}
	nvme_graveyard_clear(n);
}

void nvme_die(struct nvme *n, int error)
{
	if (nvme_is_gone(n))
		error = -ENODEV;
	ob_err(n->ob, "%s: given up: %s", n->name, strerror(-error));
	nvme_end_queues(n, error);
	nvme_todo(n, NVME_TODO_BURY);
}

static struct nvme_namespace *namespace_of(const struct nvme_queue *q)
{
	return ob_block_driver_data(q->channel->block);
}

/* Those that are in use, each once: nothing that was meant for one namespace may reach another. */
static int check_namespaces(struct nvme *n)
{
	list_for_each (node, &n->queues)
		namespace_of(list_entry(node, struct nvme_queue, link))->checked = false;
	list_for_each (node, &n->queues) {
		struct nvme_namespace *ns = namespace_of(list_entry(node, struct nvme_queue, link));
		int ret;

		if (ns->checked)
			continue;
		ret = nvme_namespace_holds(n, ns);
		if (ret < 0)
			return ret;
		ns->checked = true;
		ns->lost = ret == 0;
	}
	return 0;
}

static int recreate_queues(struct nvme *n)
{
	list_for_each (node, &n->queues) {
		struct nvme_queue *q = list_entry(node, struct nvme_queue, link);
		int ret;

		if (q->closing || q->silent || namespace_of(q)->lost)
			continue;
		if (q->ring.qid > n->queues_granted) {
			ob_err(n->ob, "%s: only %u queues after the reset, %u are in use", n->name, n->queues_granted,
			       q->ring.qid);
			return -EIO;
		}
		ret = nvme_queue_create(n, q);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static bool made_progress(const struct nvme *n)
{
	list_for_each (node, &n->queues)
		if (list_entry(node, struct nvme_queue, link)->progress)
			return true;
	return false;
}

static void trace_step(struct nvme *n, enum step step, int ret)
{
	OB_TRACE(n->cpu, OB_TRACE_NVME_RESET, n->instance, step, (uint32_t)ret);
}

/* @hard: a function-level reset in any case. */
static int disable_firmly(struct nvme *n, bool hard)
{
	int ret = nvme_disable(n);

	if (ret == -ENODEV || (ret == 0 && !hard))
		return ret;
	ob_warn(n->ob, "%s: function-level reset", n->name);
	ret = ob_device_reset(n->dev);
	if (ret == 0)
		ret = nvme_disable(n);
	/* What has no such reset makes do with being disabled. */
	return ret == -EOPNOTSUPP && n->quiet ? 0 : ret;
}

void nvme_freeze(struct nvme *n)
{
	list_for_each (node, &n->queues)
		list_entry(node, struct nvme_queue, link)->silent = false;
	nvme_call_queues(n, freeze);
	trace_step(n, STEP_FREEZE, 0);
}

void nvme_forget(struct nvme *n)
{
	/* Requests end from here on, and their memory goes back. That CSTS says "disabled" is not enough for that. */
	ob_device_enable_dma(n->dev, false);
	nvme_admin_hold_irq(n, true);
	nvme_admin_cancel(n, -ECANCELED);
	nvme_ring_rewind(&n->admin.ring);
	n->admin.masked = false;
	nvme_graveyard_clear(n);
	n->shadow_on = false;
	list_for_each (node, &n->queues)
		list_entry(node, struct nvme_queue, link)->created = false;
	nvme_call_queues(n, rewind_queue);
	nvme_admin_hold_irq(n, false);
	trace_step(n, STEP_REWIND, 0);
}

/* From a quiet controller to queues that work. */
static int revive(struct nvme *n)
{
	/* It may have been lost, with a function-level reset or otherwise. */
	int ret = ob_device_enable_dma(n->dev, true);

	if (ret == 0)
		ret = nvme_enable(n);
	trace_step(n, STEP_ENABLE, ret);
	if (ret != 0)
		return ret;
	if (n->ending)
		return -ENODEV;
	ret = nvme_configure(n);
	if (ret == 0)
		ret = check_namespaces(n);
	if (ret != 0)
		return ret;
	nvme_set_doorbell_buffers(n);
	ret = recreate_queues(n);
	trace_step(n, STEP_QUEUES, ret);
	if (ret != 0)
		return ret;
	nvme_call_queues(n, thaw);
	trace_step(n, STEP_THAW, 0);
	return 0;
}

static int reset_steps(struct nvme *n, bool hard)
{
	int ret;

	nvme_freeze(n);
	if (made_progress(n))
		n->resets_in_a_row = 0;
	/* Power goes. The controller as it is now, or as it is once it is enabled, can save what it holds. */
	if (n->ending)
		return -ENODEV;
	ret = disable_firmly(n, hard);
	trace_step(n, STEP_DISABLE, ret);
	if (ret != 0)
		return ret;
	nvme_forget(n);
	return revive(n);
}

int nvme_renew(struct nvme *n)
{
	uint64_t start_ns = ob_now_ns();
	int ret = 0;

	n->reset_task = ob_task_current();
	/* Wishes that were made before are fulfilled by this. */
	__atomic_fetch_and(&n->pending, ~NVME_TODO_RESET, __ATOMIC_ACQ_REL);
	for (unsigned try = 1; try <= RESET_TRIES; try++) {
		ret = reset_steps(n, try == RESET_TRIES);
		/* A register that reads zero where nobody answers tells less than the function's id. */
		if (ret == -ENODEV && !n->ending && !ob_device_is_present(n->dev))
			nvme_mark_gone(n, "its function does not answer");
		if (ret == 0 || nvme_is_gone(n) || n->ending)
			break;
		ob_warn(n->ob, "%s: reset failed: %s (%u of %u)", n->name, strerror(-ret), try, RESET_TRIES);
		ob_task_sleep(ob_deadline(RESET_PAUSE_NS));
	}
	n->reset_task = NULL;
	/* nvme_stop_abruptly() goes on from here. */
	if (n->ending)
		return -ENODEV;
	if (ret != 0) {
		nvme_die(n, nvme_is_gone(n) ? -ENODEV : -EIO);
		return ret;
	}
	n->state = NVME_LIVE;
	nvme_events_start(n);
	ob_info(n->ob, "%s: works again after %llu us", n->name,
		(unsigned long long)((ob_now_ns() - start_ns) / OB_NS_PER_US));
	nvme_todo(n, NVME_TODO_RESCAN | NVME_TODO_ABORT);
	trace_step(n, STEP_DONE, 0);
	return 0;
}

int nvme_reset(struct nvme *n, const char *why, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&n->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (n->state == NVME_LIVE && !n->ending) {
		ob_warn(n->ob, "%s: controller reset: %s", n->name, why != NULL ? why : "?");
		n->state = NVME_RESETTING;
		n->resets++;
		n->reset_ns = ob_now_ns();
		ret = nvme_renew(n);
	} else {
		ret = n->ending || n->state == NVME_DEAD || nvme_is_gone(n) ? -ENODEV : -EBUSY;
	}
	ob_mutex_unlock(&n->lock);
	return ret;
}
