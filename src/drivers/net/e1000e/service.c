/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's own task on CPU 0: resets that the queue asks for, the link, counters, and a look now and then. */
#include <errno.h>

#include "drivers/net/e1000e/e1000e.h"

#define IDLE_NS   (60 * OB_NS_PER_S)
#define WATCH_NS  (1 * OB_NS_PER_S)    /* while there is a channel: is it still there? */
#define NO_IRQ_NS (500 * OB_NS_PER_MS) /* for the link, where changes do not interrupt */

static void count_on_cpu(void *arg)
{
	struct e1000e_queue *q = arg;

	q->frames = q->channel->stats.rx_frames + q->channel->stats.tx_frames;
}

static bool has_progressed(struct e1000e *e)
{
	uint64_t seen = e->frames_seen;

	if (e->q == NULL)
		return true;
	e->q->silent = false;
	e1000e_call(e->q, count_on_cpu);
	e->frames_seen = e->q->frames;
	return e->frames_seen != seen;
}

static void reset(struct e1000e *e)
{
	if (has_progressed(e) || ob_now_ns() - e->reset_ns > E1000E_RESET_MEMORY_NS)
		e->resets_in_a_row = 0;
	e->reset_ns = ob_now_ns();
	if (++e->resets_in_a_row > E1000E_RESETS_MAX) {
		e1000e_die(e, "one reset after the other, and not a frame between them");
		return;
	}
	if (e1000e_remake(e) != 0)
		return;
	ob_net_counters(e->net)->resets++;
	ob_info(e->ob, "%s: reset, and works again", e->name);
	ob_net_event(e->net, OB_NET_EVENT_RESET);
}

static void look(struct e1000e *e)
{
	struct ob_net_link link;

	if (e1000e_is_gone(e))
		return;
	e1000e_irq_arm_link(e);
	e1000e_hw_link(e, &link);
	ob_net_set_link(e->net, &link);
	e1000e_hw_count(e);
}

static void service(void *arg)
{
	struct e1000e *e = arg;

	while (!e->stopping) {
		uint64_t pause_ns = !e->irqs ? NO_IRQ_NS : e->q != NULL ? WATCH_NS : IDLE_NS;
		int ret = ob_event_wait(&e->service_event, ob_deadline(pause_ns));
		uint32_t todo = __atomic_exchange_n(&e->pending, 0, __ATOMIC_ACQ_REL);
		int locked = e->stopping ? -ENODEV : e1000e_lock(e);

		/* Somebody has it for long: the wish stands. */
		if (locked == -ETIMEDOUT && todo != 0)
			e1000e_want(e, todo);
		if (locked != 0)
			continue;
		if (e->state == E1000E_LIVE && (todo & E1000E_TODO_RESET) != 0)
			reset(e);
		if (e->state == E1000E_LIVE && (ret != 0 || (todo & E1000E_TODO_LINK) != 0))
			look(e);
		e1000e_unlock(e);
	}
}

int e1000e_service_start(struct e1000e *e)
{
	return ob_task_spawn(ob_device_cpu(e->dev), "e1000e-service", service, e, &e->service);
}

void e1000e_service_stop(struct e1000e *e)
{
	if (e->service == NULL)
		return;
	e->stopping = true;
	ob_event_signal(&e->service_event);
	/* All that it waits for has a deadline. */
	while (ob_task_join(e->service, ob_deadline(E1000E_LOCK_NS)) != 0)
		ob_warn(e->ob, "%s: still waiting for the service task", e->name);
	e->service = NULL;
}
