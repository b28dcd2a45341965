/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspend and resume: the controller is shut down (NVM Express 1.4 §7.6.2) and disabled, and afterwards made anew as in
 * a reset (reset.c), whatever it has kept.
 *
 * Queues are frozen meanwhile: requests and channels come and go, and nothing reaches the device. What had no answer
 * when it was disabled is issued again, once.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define DRAIN_NS           (2 * OB_NS_PER_S) /* for what is in flight; the rest is issued again */
#define DRAIN_PAUSE_MIN_NS (20 * OB_NS_PER_US)
#define DRAIN_PAUSE_MAX_NS OB_NS_PER_MS

/* ---- on the queue's CPU ---- */

/* Take what was completed since it was frozen, count what the controller still has. */
static void drain(void *arg)
{
	struct nvme_queue *q = arg;

	q->unanswered = 0;
	if (q->state != NVME_QUEUE_FROZEN || q->broken || !q->created)
		return;
	if (nvme_queue_take(q, q->ring.mask + 1) > 0) {
		/* What it writes after nonsense is not to be trusted either. */
		q->broken = q->state == NVME_QUEUE_BROKEN;
		/* A level-triggered line drops by this. As in a freeze, it arrives before CPU 0 goes on. */
		nvme_ring_ack(&q->ring);
		(void)ob_mmio_read32(&q->nvme->regs, NVME_CSTS);
	}
	for (unsigned i = 0; i < q->depth; i++)
		q->unanswered += q->slots[i].request != NULL && (q->slots[i].expect & NVME_NOT_ISSUED) == 0;
}

/* ---- CPU 0 ---- */

static unsigned count_unanswered(const struct nvme *n)
{
	unsigned count = 0;

	list_for_each (node, &n->queues) {
		const struct nvme_queue *q = list_entry(node, struct nvme_queue, link);

		count += q->broken || q->silent ? 0 : q->unanswered;
	}
	/* Not those that nobody waits for: events, and what was given up. */
	for (unsigned i = 0; i < NVME_ADMIN_SLOTS; i++) {
		const struct nvme_admin_slot *slot = &n->admin.slots[i];

		count += slot->busy && slot->cmd != NULL && slot->cmd->done == NULL;
	}
	return count;
}

static void drain_all(struct nvme *n, uint64_t deadline_ns)
{
	uint64_t pause_ns = DRAIN_PAUSE_MIN_NS;

	for (;;) {
		unsigned unanswered;

		nvme_admin_poll(n);
		nvme_call_queues(n, drain);
		unanswered = count_unanswered(n);
		if (unanswered == 0 || nvme_is_gone(n))
			return;
		if (ob_now_ns() >= deadline_ns) {
			ob_warn(n->ob, "%s: %u commands have no answer as it is suspended", n->name, unanswered);
			return;
		}
		ob_task_sleep(ob_deadline(pause_ns));
		pause_ns = MIN(2 * pause_ns, DRAIN_PAUSE_MAX_NS);
	}
}

static int suspend_steps(struct nvme *n, uint64_t deadline_ns)
{
	int ret;

	nvme_freeze(n);
	drain_all(n, MIN(deadline_ns, ob_deadline(DRAIN_NS)));
	/* Its caches are saved with this. Failing that, they were flushed as far as anybody asked for. */
	if (nvme_shutdown_notify(n, NVME_CC_SHN_NORMAL) == -ENODEV)
		return -ENODEV;
	ret = nvme_disable(n);
	if (ret != 0)
		return ret;
	nvme_forget(n);
	return 0;
}

int nvme_suspend(struct nvme *n, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&n->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (n->state != NVME_LIVE || n->ending || nvme_is_gone(n)) {
		ret = -ENODEV;
		goto unlock;
	}
	n->state = NVME_SUSPENDING;
	n->reset_task = ob_task_current();
	ret = suspend_steps(n, deadline_ns);
	n->reset_task = NULL;
	if (ret == 0) {
		n->state = NVME_SUSPENDED;
	} else if (nvme_is_gone(n)) {
		ret = -ENODEV;
		nvme_die(n, ret);
	} else {
		ob_err(n->ob, "%s: cannot be suspended: %s", n->name, strerror(-ret));
		n->state = NVME_RESETTING;
		nvme_renew(n);
	}
unlock:
	ob_mutex_unlock(&n->lock);
	return ret;
}

int nvme_resume(struct nvme *n, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&n->lock, deadline_ns);

	if (ret != 0)
		return -EAGAIN;
	if (n->state == NVME_SUSPENDED && !n->ending) {
		n->state = NVME_RESUMING;
		ret = nvme_renew(n);
	} else {
		ret = -ENODEV;
	}
	ob_mutex_unlock(&n->lock);
	return ret;
}
