/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspend and resume: the device is reset, and afterwards set up anew as in any reset (reset.c), whatever it has kept.
 *
 * Queues are frozen meanwhile: requests and channels come and go, and nothing reaches the device. What had no answer when
 * it was reset is issued again, once.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define DRAIN_NS           (2 * OB_NS_PER_S) /* for what is in flight; the rest is issued again */
#define DRAIN_PAUSE_MIN_NS (20 * OB_NS_PER_US)
#define DRAIN_PAUSE_MAX_NS OB_NS_PER_MS

/* On the queue's CPU: take what was answered since it was frozen, count what the device still has. */
static void drain(void *arg)
{
	struct vblk_queue *q = arg;

	q->unanswered = 0;
	if (q->state != VBLK_QUEUE_FROZEN || q->broken)
		return;
	/* What was added and not made known would never end. */
	ob_virtio_queue_kick(q->vq);
	vblk_queue_take(q, ob_virtio_queue_size(q->vq));
	q->broken = q->state == VBLK_QUEUE_BROKEN;
	for (unsigned i = 0; i < q->depth; i++)
		q->unanswered += q->slots[i].request != NULL && (q->slots[i].flags & VBLK_SLOT_WAITS) == 0;
}

static unsigned count_unanswered(const struct vblk *v)
{
	unsigned count = 0;

	for (unsigned i = 0; i < v->queue_count; i++) {
		const struct vblk_queue *q = v->queues[i];

		count += q->channel == NULL || q->broken || q->silent ? 0 : q->unanswered;
	}
	return count;
}

static void drain_all(struct vblk *v, uint64_t deadline_ns)
{
	uint64_t pause_ns = DRAIN_PAUSE_MIN_NS;

	for (;;) {
		unsigned unanswered;

		vblk_call_queues(v, drain);
		unanswered = count_unanswered(v);
		if (unanswered == 0 || vblk_is_gone(v))
			return;
		if (ob_now_ns() >= deadline_ns) {
			ob_warn(v->ob, "%s: %u requests have no answer as it is suspended", v->name, unanswered);
			return;
		}
		ob_task_sleep(ob_deadline(pause_ns));
		pause_ns = MIN(2 * pause_ns, DRAIN_PAUSE_MAX_NS);
	}
}

static int suspend_steps(struct vblk *v, uint64_t deadline_ns)
{
	int ret;

	vblk_freeze(v);
	drain_all(v, MIN(deadline_ns, ob_deadline(DRAIN_NS)));
	ret = vblk_quiesce(v);
	if (ret != 0)
		return ret;
	vblk_forget(v);
	return 0;
}

int vblk_suspend(struct vblk *v, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&v->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (v->state != VBLK_LIVE || v->ending || vblk_is_gone(v)) {
		ret = -ENODEV;
		goto unlock;
	}
	v->state = VBLK_SUSPENDING;
	ret = suspend_steps(v, deadline_ns);
	if (ret != 0)
		vblk_check_present(v);
	if (ret == 0) {
		v->state = VBLK_SUSPENDED;
	} else if (vblk_is_gone(v)) {
		ret = -ENODEV;
		vblk_die(v, ret);
	} else {
		ob_err(v->ob, "%s: cannot be suspended: %s", v->name, strerror(-ret));
		v->state = VBLK_RESETTING;
		vblk_renew(v);
	}
unlock:
	ob_mutex_unlock(&v->lock);
	return ret;
}

int vblk_resume(struct vblk *v, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&v->lock, deadline_ns);

	if (ret != 0)
		return -EAGAIN;
	if (v->state == VBLK_SUSPENDED && !v->ending) {
		v->state = VBLK_RESUMING;
		ret = vblk_renew(v);
	} else {
		ret = -ENODEV;
	}
	ob_mutex_unlock(&v->lock);
	return ret;
}
