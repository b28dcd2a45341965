/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making the device: from a reset to traffic, with the queue if there is one; and unmaking it.
 *
 * The queue stops and starts on its own CPU. In between it is CPU 0's: the device is reset, so nothing that it had will
 * ever be used, and packets go back to their pools.
 */
#include <errno.h>
#include <string.h>

#include "drivers/net/e1000e/e1000e.h"

#define DRAIN_PAUSE_NS (100 * OB_NS_PER_US)

/* ---- on the queue's CPU ---- */

static void stop_on_cpu(void *arg)
{
	struct e1000e_queue *q = arg;

	q->running = false;
	ob_net_channel_gate(q->channel, false);
	OB_WRITE_ONCE(q->armed, 0);
	if (!q->silent) {
		ob_timer_stop(&q->refill);
		ob_timer_stop(&q->tick);
	}
	q->refilling = q->ticking = false;
}

static void reap_on_cpu(void *arg)
{
	struct e1000e_queue *q = arg;

	if (!q->broken)
		e1000e_reap(q->channel);
}

static void drop_on_cpu(void *arg)
{
	e1000e_tx_drop(arg);
	e1000e_rx_drop(arg);
}

static void start_on_cpu(void *arg)
{
	struct e1000e_queue *q = arg;

	q->broken = false;
	q->running = true;
	e1000e_refill(q);
	ob_net_channel_gate(q->channel, true);
}

/* ---- CPU 0 ---- */

void e1000e_call(struct e1000e_queue *q, void (*fn)(void *arg))
{
	if (!q->silent) {
		int ret = ob_cpu_call_firmly(q->channel->cpu, fn, q, ob_deadline(E1000E_CALL_NS));

		if (ret == 0)
			return;
		/* Nobody turns it, so nobody receives or sends there: going on without it is safe enough. */
		ob_err(q->e->ob, "%s: CPU %u of its channel does not answer (%d)", q->e->name,
		       ob_cpu_index(q->channel->cpu), ret);
		q->silent = q->lost = true;
	}
	fn(q);
}

/* Frames that were sent deserve a moment to leave. */
static void drain(struct e1000e_queue *q)
{
	uint64_t deadline_ns = ob_deadline(E1000E_DRAIN_NS);

	for (;;) {
		e1000e_call(q, reap_on_cpu);
		/* What it was not told of stays in any case. */
		if (q->tx_used == 0 || q->tx_head == q->tx_told || q->broken || q->silent || ob_now_ns() >= deadline_ns)
			return;
		ob_task_sleep(ob_deadline(DRAIN_PAUSE_NS));
	}
}

void e1000e_unmake(struct e1000e *e)
{
	bool worked = e->state == E1000E_LIVE && !e->quiet;
	struct e1000e_queue *q = e->q;
	int ret = 0;

	if (q != NULL) {
		q->silent = false;
		e1000e_call(q, stop_on_cpu);
		if (worked)
			drain(q);
	}
	if (!e->quiet) {
		if (e->net != NULL)
			e1000e_hw_count(e);
		/* The handlers touch no register any more. */
		OB_WRITE_ONCE(e->quiet, true);
		ret = e1000e_hw_reset(e);
	}
	/* Of one that is gone, somebody else tells. */
	if (ret != 0 && ret != -ENODEV)
		ob_warn(e->ob, "%s: it did not end its reset: %s", e->name, strerror(-ret));
	if (q != NULL)
		e1000e_call(q, drop_on_cpu);
}

static void queue_prepare(struct e1000e_queue *q)
{
	uint32_t rctl;

	q->frame_max = e1000e_frame_max(q->e);
	q->rx_bytes = e1000e_buffer_bytes(q->pool->room_bytes, &rctl);
	ob_dma_zero(q->rx_ring, q->rx_dma.len_bytes);
	ob_dma_zero(q->tx_ring, q->tx_dma.len_bytes);
}

int e1000e_make(struct e1000e *e)
{
	struct ob_net_link link;
	int ret = e->ending ? -ENODEV : e1000e_hw_reset(e);

	if (ret == 0 && e->net == NULL)
		e1000e_hw_read_mac(e);
	if (ret == 0)
		ret = ob_device_enable_dma(e->dev, true);
	if (ret != 0)
		return ret;
	e1000e_hw_setup(e);
	if (e->q != NULL) {
		queue_prepare(e->q);
		e1000e_hw_start(e);
	}
	OB_WRITE_ONCE(e->quiet, false);
	e1000e_irq_arm_link(e);
	e1000e_hw_link(e, &link);
	if (e->net != NULL)
		ob_net_set_link(e->net, &link);
	if (e->q != NULL)
		e1000e_call(e->q, start_on_cpu);
	return 0;
}

void e1000e_die(struct e1000e *e, const char *why)
{
	const struct ob_net_link down = {.up = false};

	ob_err(e->ob, "%s: given up: %s", e->name, why);
	e1000e_unmake(e);
	e->state = E1000E_DEAD;
	if (e->net != NULL)
		ob_net_set_link(e->net, &down);
}

int e1000e_remake(struct e1000e *e)
{
	int ret;

	e1000e_unmake(e);
	e->state = E1000E_MAKING;
	ret = e1000e_make(e);
	if (ret != 0) {
		e1000e_die(e, strerror(-ret));
		return ret;
	}
	e->state = E1000E_LIVE;
	return 0;
}
