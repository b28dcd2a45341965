/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device reset (VIRTIO 1.2 §2.4) with everything that hangs on it, and giving a device up.
 *
 * Queues are frozen on their own CPUs, the device is stopped, what it had answered by then is taken, the rest waits in its
 * slots; the device and its queues are set up anew and what waits is issued again. It may be: the device gives no order
 * among requests in flight (§5.2.6.1), and reading, writing the same data, zeroing, discarding and flushing twice do what
 * once does.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define RESET_TRIES    3u
#define RESET_PAUSE_NS (20 * OB_NS_PER_MS)

enum step {
	STEP_FREEZE = 1,
	STEP_STOP,
	STEP_REWIND,
	STEP_RENEW,
	STEP_START,
	STEP_THAW,
	STEP_DONE,
};

/* ---- on the queue's CPU ---- */

static void timer_stop(struct vblk_queue *q)
{
	ob_timer_stop(&q->tick);
	q->ticking = false;
}

static void freeze(void *arg)
{
	struct vblk_queue *q = arg;

	q->progress = q->completed != q->completed_seen;
	q->completed_seen = q->completed;
	if (q->state != VBLK_QUEUE_LIVE && q->state != VBLK_QUEUE_BROKEN)
		return;
	q->broken = q->state == VBLK_QUEUE_BROKEN;
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_FROZEN);
	timer_stop(q);
	/*
	 * A notification that this CPU sent may still be on its way, and CPU 0's reset is not ordered after it: it would
	 * reach a device that knows no queues. A read of the device arrives behind it (PCI Express 5.0 §2.4.1).
	 */
	(void)ob_virtio_needs_reset(q->vblk->dev);
}

/* The device is quiet: what it answered counts, what it did not goes back to waiting. */
static void rewind_queue(void *arg)
{
	struct vblk_queue *q = arg;

	if (q->state == VBLK_QUEUE_DEAD)
		return;
	if (!q->broken)
		vblk_queue_take(q, ob_virtio_queue_size(q->vq));
	q->broken = false;
	if (q->state == VBLK_QUEUE_BROKEN)
		OB_WRITE_ONCE(q->state, VBLK_QUEUE_FROZEN); /* what it left at the end was nonsense; it is over now */
	for (unsigned i = 0; i < q->depth; i++) {
		struct vblk_slot *slot = &q->slots[i];

		if (slot->request == NULL || (slot->flags & VBLK_SLOT_WAITS) != 0)
			continue;
		slot->flags |= VBLK_SLOT_WAITS;
		/* That it was suspended is not the request's fault. */
		slot->attempts += q->vblk->state == VBLK_RESETTING;
		q->channel->stats.reissues++;
	}
}

static void thaw(void *arg)
{
	struct vblk_queue *q = arg;

	/* What waits in one that is being closed ends with its close. */
	if (q->state != VBLK_QUEUE_FROZEN)
		return;
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_LIVE);
	q->channel->stats.resets += q->vblk->state == VBLK_RESETTING;
	for (unsigned i = 0; i < q->depth; i++) {
		struct vblk_slot *slot = &q->slots[i];

		/* Those that done functions submit meanwhile are issued already. */
		if (slot->request == NULL || (slot->flags & VBLK_SLOT_WAITS) == 0)
			continue;
		if ((slot->flags & VBLK_SLOT_CANCELLED) != 0)
			vblk_slot_end(q, i, -ECANCELED, 0);
		else if (slot->attempts > VBLK_RETRY_MAX)
			vblk_slot_end(q, i, -ETIMEDOUT, 0);
	}
	vblk_queue_issue(q);
	vblk_io_kick(q->channel);
	/* The queue is as new, and was told nothing about interrupts. */
	ob_poll_schedule(&q->poll);
}

struct death {
	struct vblk_queue *q;
	int error;
};

static void end_all(struct vblk_queue *q, int error)
{
	if (q->state != VBLK_QUEUE_CLOSING)
		OB_WRITE_ONCE(q->state, VBLK_QUEUE_DEAD);
	timer_stop(q);
	for (unsigned i = 0; i < q->depth; i++)
		if (q->slots[i].request != NULL)
			vblk_slot_end(q, i, error, 0);
}

static void die_on_cpu(void *arg)
{
	const struct death *death = arg;

	end_all(death->q, death->error);
}

/* The CPU did not answer in time, and now it turns after all. */
static void die_late(struct ob_work *work)
{
	struct vblk_queue *q = container_of(work, struct vblk_queue, death);

	end_all(q, q->vblk->death);
}

/* Its CPU was away while the device was reset, and is back: what was in flight is so no more. */
static void wake_late(struct ob_work *work)
{
	struct vblk_queue *q = container_of(work, struct vblk_queue, wake);

	if (q->state == VBLK_QUEUE_FROZEN || q->state == VBLK_QUEUE_BROKEN)
		vblk_want_reset(q->vblk, "a queue's CPU was away during a reset");
}

void vblk_queue_init_works(struct vblk_queue *q)
{
	ob_work_init(&q->death, die_late);
	ob_work_init(&q->wake, wake_late);
}

/* ---- CPU 0 ---- */

int vblk_call(struct vblk_queue *q, void (*fn)(void *arg), void *arg)
{
	return ob_cpu_call_firmly(q->cpu, fn, arg, ob_deadline(VBLK_CALL_TIMEOUT_NS));
}

/*
 * A CPU that does not answer must not cost the others their disk: its queue is left out of this reset, and asks for
 * another one when the CPU is back. Until then nothing is added to it: it is frozen from here.
 */
void vblk_call_queues(struct vblk *v, void (*fn)(void *arg))
{
	for (unsigned i = 0; i < v->queue_count; i++) {
		struct vblk_queue *q = v->queues[i];

		if (q->channel == NULL || q->silent || v->ending || vblk_call(q, fn, q) == 0)
			continue;
		ob_err(v->ob, "%s queue %u: CPU %u does not answer, the reset goes on without it", v->name, q->index,
		       ob_cpu_index(q->cpu));
		q->silent = true;
		if (q->state == VBLK_QUEUE_LIVE)
			OB_WRITE_ONCE(q->state, VBLK_QUEUE_FROZEN);
		ob_cpu_post(q->cpu, &q->wake);
	}
}

void vblk_end_queues(struct vblk *v, int error)
{
	/* Nobody is to notify a device that was reset. */
	for (unsigned i = 0; i < v->queue_count; i++)
		v->queues[i]->silent = v->queues[i]->channel != NULL &&
				       vblk_call(v->queues[i], freeze, v->queues[i]) != 0;
	vblk_quiesce(v);
	v->state = VBLK_DEAD;
	v->death = error;
	vblk_command_cancel(v, error);
	for (unsigned i = 0; i < v->queue_count; i++) {
		struct vblk_queue *q = v->queues[i];
		struct death death = {q, error};

		if (q->channel == NULL || (!q->silent && vblk_call(q, die_on_cpu, &death) == 0))
			continue;
		ob_err(v->ob, "%s queue %u: CPU %u does not answer; its requests end when it does", v->name, q->index,
		       ob_cpu_index(q->cpu));
		ob_cpu_post(q->cpu, &q->death);
	}
	vblk_queues_reclaim(v);
}

void vblk_die(struct vblk *v, int error)
{
	if (vblk_is_gone(v))
		error = -ENODEV;
	ob_err(v->ob, "%s: given up: %s", v->name, strerror(-error));
	vblk_end_queues(v, error);
	vblk_todo(v, VBLK_TODO_BURY);
}

static void trace_step(struct vblk *v, enum step step, int ret)
{
	OB_TRACE(v->cpu, OB_TRACE_VBLK_RESET, v->instance, step, (uint32_t)ret);
}

static bool made_progress(const struct vblk *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		if (v->queues[i]->channel != NULL && v->queues[i]->progress)
			return true;
	return false;
}

void vblk_freeze(struct vblk *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		v->queues[i]->silent = false;
	vblk_call_queues(v, freeze);
	trace_step(v, STEP_FREEZE, 0);
}

void vblk_forget(struct vblk *v)
{
	vblk_command_cancel(v, -ECANCELED);
	vblk_queues_reclaim(v);
	vblk_call_queues(v, rewind_queue);
	trace_step(v, STEP_REWIND, 0);
}

/* It must be the one whose blocks are published. Nothing that was meant for one disk may reach another. */
static int check_identity(struct vblk *v)
{
	char id[VIRTIO_BLK_ID_BYTES + 1];
	int ret = vblk_read_id(v, id);

	if (ret != 0)
		return ret;
	/* As long as nobody says what it is now, it is what it was. */
	if (id[0] == '\0' || v->id[0] == '\0' || strcmp(id, v->id) == 0)
		return 0;
	ob_err(v->ob, "%s: came back from a reset as another disk, \"%s\"", v->name, id);
	return -EIO;
}

/* From a quiet device to queues that work. */
static int revive(struct vblk *v)
{
	uint64_t values[VBLK_FIELDS];
	struct vblk_info info;
	int ret = ob_virtio_renew(v->dev);

	trace_step(v, STEP_RENEW, ret);
	if (ret == 0)
		ret = vblk_read_config(v, values);
	if (ret == 0)
		ret = vblk_parse_config(v, v->features, values, &info);
	if (ret != 0)
		return ret;
	if (!vblk_info_holds(&v->info, &info)) {
		ob_err(v->ob, "%s: came back from a reset as a disk that can do less", v->name);
		return -EIO;
	}
	vblk_warn_smaller(v, &info);
	v->quiet = false;
	ret = ob_virtio_start(v->dev);
	trace_step(v, STEP_START, ret);
	if (ret == 0)
		ret = check_identity(v);
	if (ret != 0)
		return ret;
	if (v->ending)
		return -ENODEV;
	vblk_call_queues(v, thaw);
	trace_step(v, STEP_THAW, 0);
	return 0;
}

static int reset_steps(struct vblk *v)
{
	int ret;

	vblk_freeze(v);
	if (made_progress(v))
		v->resets_in_a_row = 0;
	if (v->ending)
		return -ENODEV;
	ret = vblk_quiesce(v);
	trace_step(v, STEP_STOP, ret);
	if (ret != 0)
		return ret;
	vblk_forget(v);
	return revive(v);
}

int vblk_renew(struct vblk *v)
{
	uint64_t start_ns = ob_now_ns();
	int ret = 0;

	/* Wishes that were made before are fulfilled by this. */
	__atomic_fetch_and(&v->pending, ~VBLK_TODO_RESET, __ATOMIC_ACQ_REL);
	for (unsigned try = 1; try <= RESET_TRIES; try++) {
		ret = reset_steps(v);
		if (ret != 0 && !v->ending)
			vblk_check_present(v);
		if (ret == 0 || vblk_is_gone(v) || v->ending)
			break;
		ob_warn(v->ob, "%s: reset failed: %s (%u of %u)", v->name, strerror(-ret), try, RESET_TRIES);
		ob_task_sleep(ob_deadline(RESET_PAUSE_NS));
	}
	/* vblk_stop_abruptly() goes on from here. */
	if (v->ending)
		return -ENODEV;
	if (ret != 0) {
		vblk_die(v, vblk_is_gone(v) ? -ENODEV : -EIO);
		return ret;
	}
	v->state = VBLK_LIVE;
	ob_info(v->ob, "%s: works again after %llu us", v->name,
		(unsigned long long)((ob_now_ns() - start_ns) / OB_NS_PER_US));
	vblk_todo(v, VBLK_TODO_CONFIG);
	trace_step(v, STEP_DONE, 0);
	return 0;
}

int vblk_reset(struct vblk *v, const char *why, uint64_t deadline_ns)
{
	int ret = ob_mutex_lock(&v->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (v->state == VBLK_LIVE && !v->ending) {
		ob_warn(v->ob, "%s: device reset: %s", v->name, why != NULL ? why : "?");
		v->state = VBLK_RESETTING;
		v->resets++;
		v->reset_ns = ob_now_ns();
		ret = vblk_renew(v);
	} else {
		ret = v->ending || v->state == VBLK_DEAD || vblk_is_gone(v) ? -ENODEV : -EBUSY;
	}
	ob_mutex_unlock(&v->lock);
	return ret;
}
