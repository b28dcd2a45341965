/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's own task on CPU 0: does what queues, interrupts and timers may not, because it waits. It also looks at the
 * status once a second while channels are open, so that a dead device is noticed before requests time out; and where
 * nobody tells of changes of the configuration, it looks for those too.
 */
#include <errno.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define IDLE_NS (60 * OB_NS_PER_S)

/* ---- talking to it ---- */

void vblk_todo(struct vblk *v, uint32_t what)
{
	__atomic_fetch_or(&v->pending, what, __ATOMIC_RELEASE);
	ob_event_signal(&v->service_event);
}

void vblk_want_reset(struct vblk *v, const char *why)
{
	__atomic_store_n(&v->reset_why, why, __ATOMIC_RELEASE);
	vblk_todo(v, VBLK_TODO_RESET);
}

/* ---- gone ---- */

bool vblk_is_gone(const struct vblk *v)
{
	return __atomic_load_n(&v->gone, __ATOMIC_ACQUIRE);
}

void vblk_mark_gone(struct vblk *v, const char *why)
{
	if (__atomic_exchange_n(&v->gone, true, __ATOMIC_ACQ_REL))
		return;
	ob_err(v->ob, "%s: the device is gone: %s", v->name, why);
	ob_device_mark_gone(v->dev, why);
}

bool vblk_check_present(struct vblk *v)
{
	if (vblk_is_gone(v))
		return false;
	if (ob_device_is_present(v->dev))
		return true;
	vblk_mark_gone(v, "it does not answer");
	return false;
}

/* The device went away: everybody gets an answer now, and the core will call remove. */
static void handle_gone(struct vblk *v)
{
	if (v->state == VBLK_DEAD || ob_mutex_lock(&v->lock, ob_deadline(VBLK_LOCK_TIMEOUT_NS)) != 0)
		return;
	if (v->state != VBLK_DEAD)
		vblk_die(v, -ENODEV);
	ob_mutex_unlock(&v->lock);
}

/* ---- resets ---- */

static void give_up(struct vblk *v, const char *why)
{
	if (ob_mutex_lock(&v->lock, ob_deadline(VBLK_LOCK_TIMEOUT_NS)) != 0) {
		vblk_want_reset(v, why);
		return;
	}
	/* A reset for another reason may have been the one that helped. */
	if (v->state == VBLK_LIVE && v->resets_in_a_row > VBLK_RESETS_MAX) {
		ob_err(v->ob, "%s: %u resets in a row, and not one request completed: giving it up", v->name,
		       VBLK_RESETS_MAX);
		vblk_die(v, -EIO);
	}
	ob_mutex_unlock(&v->lock);
}

static void automatic_reset(struct vblk *v)
{
	const char *why = __atomic_load_n(&v->reset_why, __ATOMIC_ACQUIRE);

	/* One that runs for another reason may be past the queue that asks: then it takes another. */
	if (v->state != VBLK_LIVE && v->state != VBLK_RESETTING && v->state != VBLK_RESUMING)
		return;
	if (ob_now_ns() - v->reset_ns > VBLK_RESET_MEMORY_NS)
		v->resets_in_a_row = 0;
	if (++v->resets_in_a_row > VBLK_RESETS_MAX) {
		give_up(v, why);
		return;
	}
	/* It did not get to it, the lock was taken: the wish stands. */
	if (vblk_reset(v, why, ob_deadline(VBLK_RESET_TIMEOUT_NS)) == -ETIMEDOUT && v->state == VBLK_LIVE) {
		v->resets_in_a_row--;
		vblk_want_reset(v, why);
	}
}

/* ---- the configuration ---- */

/* Its size may change while it works; nothing else that we build on may (§5.2.5.1). */
static void look_at_config(struct vblk *v)
{
	uint64_t values[VBLK_FIELDS];
	struct vblk_info info;
	int ret;

	if (v->state != VBLK_LIVE || ob_mutex_lock(&v->lock, ob_deadline(VBLK_LOCK_TIMEOUT_NS)) != 0)
		return;
	ret = v->state == VBLK_LIVE ? vblk_read_config(v, values) : -EBUSY;
	ob_mutex_unlock(&v->lock);
	if (ret != 0 || vblk_parse_config(v, v->features, values, &info) != 0)
		return;
	if (!vblk_info_holds(&v->info, &info))
		ob_warn(v->ob, "%s: more than its size changed, which is not looked at", v->name);
	if (info.block_bytes != v->info.block_bytes || info.block_count == v->info.block_count)
		return;
	vblk_warn_smaller(v, &info);
	v->info.block_count = info.block_count;
	if (v->block != NULL)
		ob_block_resize(v->block, info.block_count);
	else if (vblk_publish(v) != 0)
		v->info.block_count = 0; /* another look, another try */
}

/* One interrupt tells of both: a change, and that it has given up. */
static void look_at_status(struct vblk *v)
{
	if (v->state == VBLK_LIVE && vblk_check_present(v) && ob_virtio_needs_reset(v->dev))
		vblk_want_reset(v, "it says that it needs one");
}

static void watch(struct vblk *v)
{
	bool busy = false;

	if (v->state != VBLK_LIVE)
		return;
	if (!v->told)
		look_at_config(v);
	for (unsigned i = 0; i < v->queue_count; i++)
		busy |= v->queues[i]->channel != NULL;
	if (busy)
		look_at_status(v);
}

/* ---- the task ---- */

static uint64_t next_look(const struct vblk *v)
{
	for (unsigned i = 0; i < v->queue_count; i++)
		if (v->queues[i]->channel != NULL)
			return ob_deadline(VBLK_WATCH_NS);
	return ob_deadline(v->told ? IDLE_NS : VBLK_WATCH_NS);
}

static void service(void *arg)
{
	struct vblk *v = arg;

	while (!v->stopping) {
		int ret = ob_event_wait(&v->service_event, next_look(v));
		uint32_t todo = __atomic_exchange_n(&v->pending, 0, __ATOMIC_ACQ_REL);

		if (v->stopping)
			break;
		if (v->state == VBLK_STARTING && !vblk_is_gone(v)) {
			/* Probe still works with the device, and signals when it is done: nothing gets lost till then. */
			__atomic_fetch_or(&v->pending, todo, __ATOMIC_RELEASE);
			continue;
		}
		if (ret != 0)
			watch(v);
		if ((todo & VBLK_TODO_CONFIG) != 0)
			look_at_status(v);
		if ((todo & VBLK_TODO_RESET) != 0)
			automatic_reset(v);
		if (vblk_is_gone(v))
			handle_gone(v);
		if ((todo & VBLK_TODO_BURY) != 0 && v->block != NULL) {
			ob_block_unpublish(v->block);
			v->block = NULL;
		}
		if ((todo & VBLK_TODO_CONFIG) != 0)
			look_at_config(v);
	}
}

int vblk_service_start(struct vblk *v)
{
	return ob_task_spawn(v->cpu, "vblk-service", service, v, &v->service);
}

void vblk_service_stop(struct vblk *v)
{
	if (v->service == NULL)
		return;
	v->stopping = true;
	ob_event_signal(&v->service_event);
	/* All that it waits for has a deadline. */
	while (ob_task_join(v->service, ob_deadline(VBLK_RESET_TIMEOUT_NS)) != 0)
		ob_warn(v->ob, "%s: still waiting for the service task", v->name);
	v->service = NULL;
}
