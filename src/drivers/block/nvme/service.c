/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's own task on CPU 0: does what queues, interrupts and timers may not, because it waits. It also looks
 * at CSTS once a second while channels are open, so that a dead controller is noticed before requests time out.
 */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

#define IDLE_NS   (60 * OB_NS_PER_S)
#define POLLED_NS (200 * OB_NS_PER_MS) /* for async events, without interrupts */

static void watch(struct nvme *n)
{
	uint32_t csts;

	if (n->state != NVME_LIVE)
		return;
	nvme_admin_poll(n);
	if (list_empty(&n->queues) || nvme_read_status(n, &csts) != 0)
		return;
	if ((csts & NVME_CSTS_CFS) != 0)
		nvme_want_reset(n, "fatal status");
	else if ((csts & NVME_CSTS_RDY) == 0)
		nvme_want_reset(n, "it is not ready any more");
}

/* The device went away: everybody gets an answer now, and the core will call remove. */
static void handle_gone(struct nvme *n)
{
	if (n->state == NVME_DEAD || ob_mutex_lock(&n->lock, ob_deadline(NVME_LOCK_TIMEOUT_NS)) != 0)
		return;
	if (n->state != NVME_DEAD)
		nvme_die(n, -ENODEV);
	ob_mutex_unlock(&n->lock);
}

static void give_up(struct nvme *n, const char *why)
{
	if (ob_mutex_lock(&n->lock, ob_deadline(NVME_LOCK_TIMEOUT_NS)) != 0) {
		nvme_want_reset(n, why);
		return;
	}
	/* A reset for another reason may have been the one that helped. */
	if (n->state == NVME_LIVE && n->resets_in_a_row > NVME_RESETS_MAX) {
		ob_err(n->ob, "%s: %u resets in a row, and not one request completed: giving it up", n->name,
		       NVME_RESETS_MAX);
		nvme_die(n, -EIO);
	}
	ob_mutex_unlock(&n->lock);
}

static void automatic_reset(struct nvme *n)
{
	const char *why = __atomic_load_n(&n->reset_why, __ATOMIC_ACQUIRE);

	/* One that runs for another reason may be past the queue that asks: then it takes another. */
	if (n->state != NVME_LIVE && n->state != NVME_RESETTING && n->state != NVME_RESUMING)
		return;
	if (ob_now_ns() - n->reset_ns > NVME_RESET_MEMORY_NS)
		n->resets_in_a_row = 0;
	if (++n->resets_in_a_row > NVME_RESETS_MAX) {
		give_up(n, why);
		return;
	}
	/* It did not get to it, the lock was taken: the wish stands. */
	if (nvme_reset(n, why, ob_deadline(NVME_RESET_TIMEOUT_NS)) == -ETIMEDOUT && n->state == NVME_LIVE) {
		n->resets_in_a_row--;
		nvme_want_reset(n, why);
	}
}

static uint64_t next_look(const struct nvme *n)
{
	uint64_t idle = n->admin.polled ? POLLED_NS : list_empty(&n->queues) ? IDLE_NS : NVME_WATCH_NS;
	uint64_t until = ob_deadline(idle);

	if (n->state != NVME_LIVE)
		return until;
	if (n->events_ns != 0)
		until = MIN(until, n->events_ns);
	return n->rescan_ns != 0 ? MIN(until, n->rescan_ns) : until;
}

static void look_at_namespaces(struct nvme *n, bool asked)
{
	if (n->state != NVME_LIVE)
		return;
	if (asked)
		n->rescan_tries = 0;
	if (asked || (n->rescan_ns != 0 && ob_now_ns() >= n->rescan_ns))
		nvme_rescan(n);
}

static void service(void *arg)
{
	struct nvme *n = arg;

	while (!n->stopping) {
		int ret = ob_event_wait(&n->service_event, next_look(n));
		uint32_t todo = __atomic_exchange_n(&n->pending, 0, __ATOMIC_ACQ_REL);

		if (n->stopping)
			break;
		if (n->state == NVME_STARTING && !nvme_is_gone(n)) {
			/* Probe still works with the controller, and signals when it is done: nothing gets lost till then. */
			__atomic_fetch_or(&n->pending, todo, __ATOMIC_RELEASE);
			continue;
		}
		if (ret != 0)
			watch(n);
		if ((todo & NVME_TODO_RESET) != 0)
			automatic_reset(n);
		if ((todo & NVME_TODO_ABORT) != 0)
			nvme_abort_late(n);
		if (nvme_is_gone(n))
			handle_gone(n);
		if ((todo & NVME_TODO_BURY) != 0)
			nvme_namespaces_remove(n);
		if ((todo & NVME_TODO_EVENT) != 0)
			nvme_events_handle(n);
		if (n->state == NVME_LIVE && n->events_ns != 0 && ob_now_ns() >= n->events_ns)
			nvme_events_resume(n);
		look_at_namespaces(n, (todo & NVME_TODO_RESCAN) != 0);
	}
}

int nvme_service_start(struct nvme *n)
{
	return ob_task_spawn(n->cpu, "nvme-service", service, n, &n->service);
}

void nvme_service_stop(struct nvme *n)
{
	if (n->service == NULL)
		return;
	n->stopping = true;
	ob_event_signal(&n->service_event);
	/* All that it waits for has a deadline. */
	while (ob_task_join(n->service, ob_deadline(NVME_RESET_TIMEOUT_NS)) != 0)
		ob_warn(n->ob, "%s: still waiting for the service task", n->name);
	n->service = NULL;
}
