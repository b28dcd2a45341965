/* SPDX-License-Identifier: BSD-2-Clause */
/* What the class asks for: the channel, and what is to be told to the device. Tasks of CPU 0, but for readiness. */
#include <errno.h>

#include "core/hooks.h"
#include "drivers/net/e1000e/e1000e.h"

int e1000e_lock(struct e1000e *e)
{
	int ret = ob_mutex_lock(&e->lock, ob_deadline(E1000E_LOCK_NS));

	if (ret == 0 && (e->state == E1000E_DEAD || e->state == E1000E_REMOVING)) {
		ob_mutex_unlock(&e->lock);
		ret = -ENODEV;
	}
	return ret;
}

void e1000e_unlock(struct e1000e *e)
{
	ob_mutex_unlock(&e->lock);
}

void e1000e_want(struct e1000e *e, uint32_t todo)
{
	__atomic_fetch_or(&e->pending, todo, __ATOMIC_RELEASE);
	ob_event_signal(&e->service_event);
}

void e1000e_queue_break(struct e1000e_queue *q, const char *why)
{
	if (q->broken)
		return;
	q->broken = true;
	q->channel->stats.broken++;
	ob_warn(q->e->ob, "%s: %s: it will be reset", q->e->name, why);
	/* Nothing more is taken from it, nor given to it. */
	q->running = false;
	ob_net_channel_gate(q->channel, false);
	e1000e_want(q->e, E1000E_TODO_RESET);
}

uint32_t e1000e_frame_max(const struct e1000e *e)
{
	struct ob_net_info info;

	ob_net_info(e->net, &info);
	return info.mtu + OB_NET_FRAME_OVERHEAD;
}

/* ---- the channel ---- */

/* An entry stays empty, and a ring has whole blocks. */
static uint32_t entries_for(uint32_t depth)
{
	return ALIGN_UP(depth + 1, E1000E_RING_STEP);
}

static void queue_free(struct e1000e_queue *q)
{
	if (q->lost)
		return;
	ob_dma_free(q->e->dev, &q->tx_dma);
	ob_dma_free(q->e->dev, &q->rx_dma);
	ob_free(q->sent);
	ob_free(q->rx_packets);
	ob_free(q);
}

static int rings_create(struct e1000e_queue *q)
{
	struct e1000e *e = q->e;
	int ret;

	q->rx_packets = hooks_fail(e->ob, "e1000e_rx") ? NULL : ob_alloc(q->rx_entries * sizeof(*q->rx_packets));
	q->sent = hooks_fail(e->ob, "e1000e_sent") ? NULL : ob_alloc(q->tx_entries * sizeof(*q->sent));
	if (q->rx_packets == NULL || q->sent == NULL)
		return -ENOMEM;
	ret = ob_dma_alloc(e->dev, q->rx_entries * sizeof(*q->rx_ring), 0, &q->rx_dma);
	if (ret == 0)
		ret = ob_dma_alloc(e->dev, q->tx_entries * sizeof(*q->tx_ring), 0, &q->tx_dma);
	q->rx_ring = q->rx_dma.base;
	q->tx_ring = q->tx_dma.base;
	return ret;
}

static int queue_create(struct e1000e *e, struct ob_net_channel *channel, struct e1000e_queue **out)
{
	struct e1000e_queue *q = hooks_fail(e->ob, "e1000e_queue") ? NULL : ob_alloc(sizeof(*q));
	int ret;

	if (q == NULL)
		return -ENOMEM;
	q->e = e;
	q->channel = channel;
	q->pool = channel->pool;
	q->dma_index = channel->dma_index;
	q->rx_base = ob_packet_iova(q->pool, q->dma_index, q->pool->data);
	q->rx_depth = MIN(MAX(channel->rx_depth, 1u), E1000E_DEPTH_MAX);
	q->rx_entries = entries_for(q->rx_depth);
	q->rx_refill = MIN(MAX(q->rx_depth / 4, 1u), E1000E_REFILL);
	/* A frame of as many parts as may be has room in any. */
	q->tx_entries = entries_for(MIN(MAX(channel->tx_depth, E1000E_PARTS_MAX), E1000E_DEPTH_MAX));
	q->tx_need = 1;
	channel->rx_depth = q->rx_depth;
	channel->tx_depth = q->tx_entries - 1;
	ob_timer_init(&q->refill, channel->cpu, e1000e_refill_timer);
	ob_timer_init(&q->tick, channel->cpu, e1000e_tick);
	ret = rings_create(q);
	if (ret != 0) {
		queue_free(q);
		return ret;
	}
	*out = q;
	return 0;
}

/* While it is suspended it comes when that resumes. */
static int take_up(struct e1000e *e, struct e1000e_queue *q)
{
	int ret;

	e->q = q;
	if (e->state == E1000E_SUSPENDED)
		return 0;
	e1000e_unmake(e);
	e->state = E1000E_MAKING;
	ret = e1000e_make(e);
	if (ret == 0) {
		e->state = E1000E_LIVE;
		return 0;
	}
	/* As it was before. */
	e->q = NULL;
	e1000e_remake(e);
	return ret;
}

static int channel_open(struct ob_net *net, struct ob_net_channel *channel)
{
	struct e1000e *e = ob_net_driver_data(net);
	struct e1000e_queue *q;
	int ret = e1000e_lock(e);

	if (ret != 0)
		return ret;
	ret = e->q != NULL ? -ENOSPC : queue_create(e, channel, &q);
	if (ret != 0)
		goto unlock;
	channel->driver_data = q;
	ret = e1000e_irq_listen(q);
	if (ret == 0)
		ret = take_up(e, q);
	/* From now on it is looked at more often. */
	e1000e_want(e, 0);
	if (ret != 0) {
		e1000e_irq_unlisten(q);
		queue_free(q);
	}
unlock:
	e1000e_unlock(e);
	return ret;
}

static void channel_close(struct ob_net_channel *channel)
{
	struct e1000e_queue *q = channel->driver_data;
	struct e1000e *e = q->e;
	bool live;

	/* Whoever holds it has deadlines. */
	while (ob_mutex_lock(&e->lock, ob_deadline(E1000E_LOCK_NS)) != 0)
		ob_err(e->ob, "%s: a channel still waits to be closed", e->name);
	live = e->state == E1000E_LIVE;
	/* With its queue, so that its packets come back; then without. */
	e1000e_unmake(e);
	e->q = NULL;
	e1000e_irq_unlisten(q);
	if (live)
		e1000e_remake(e);
	e1000e_unlock(e);
	queue_free(q);
}

/* ---- readiness: owner CPU ---- */

static unsigned ready(struct ob_net_channel *channel)
{
	struct e1000e_queue *q = channel->driver_data;
	unsigned what = 0;

	e1000e_reap(channel);
	if (e1000e_rx_pending(q))
		what |= OB_NET_WAIT_RECEIVE;
	if (e1000e_tx_room(q) >= q->tx_need)
		what |= OB_NET_WAIT_SEND;
	if (q->tx_used == 0)
		what |= OB_NET_WAIT_SENT;
	return what;
}

/* Arm, then look: what comes after the look interrupts, as the mask's write does not clear what has come before. */
static bool arm(struct ob_net_channel *channel, unsigned what)
{
	struct e1000e_queue *q = channel->driver_data;
	bool receive = (what & OB_NET_WAIT_RECEIVE) != 0;
	bool send = (what & (OB_NET_WAIT_SEND | OB_NET_WAIT_SENT)) != 0;
	uint32_t causes = (receive ? q->e->rx_cause : 0) | (send ? q->e->tx_cause : 0);

	OB_WRITE_ONCE(q->armed, causes);
	ob_mmio_write32(&q->e->regs, E1000E_IMS, causes);
	return (receive && e1000e_rx_pending(q)) || (send && e1000e_tx_pending(q));
}

static void disarm(struct ob_net_channel *channel)
{
	struct e1000e_queue *q = channel->driver_data;
	uint32_t armed = OB_READ_ONCE(q->armed);

	if (armed == 0)
		return;
	OB_WRITE_ONCE(q->armed, 0);
	ob_mmio_write32(&q->e->regs, E1000E_IMC, armed);
}

/* ---- telling ---- */

/* One that is suspended is told all when it resumes. */
static int set_filter(struct ob_net *net, const struct ob_net_filter *filter)
{
	struct e1000e *e = ob_net_driver_data(net);
	int ret = e1000e_lock(e);

	if (ret != 0)
		return ret;
	if (e->state == E1000E_LIVE)
		e1000e_hw_filter(e, filter);
	e1000e_unlock(e);
	return 0;
}

static int set_vlan(struct ob_net *net, unsigned vid, bool on)
{
	struct e1000e *e = ob_net_driver_data(net);
	int ret = e1000e_lock(e);

	if (ret != 0)
		return ret;
	if (e->state == E1000E_LIVE)
		e1000e_hw_vlan(e, vid);
	e1000e_unlock(e);
	return 0;
}

static int set_mac(struct ob_net *net, const uint8_t mac[6])
{
	struct e1000e *e = ob_net_driver_data(net);
	int ret = e1000e_lock(e);

	if (ret != 0)
		return ret;
	if (e->state == E1000E_LIVE)
		e1000e_hw_mac(e, mac);
	e1000e_unlock(e);
	return 0;
}

static int set_mtu(struct ob_net *net, unsigned mtu)
{
	struct e1000e *e = ob_net_driver_data(net);
	int ret = e1000e_lock(e);

	if (ret != 0)
		return ret;
	if (e->state == E1000E_LIVE)
		ret = e1000e_remake(e);
	e1000e_unlock(e);
	return ret;
}

const struct ob_net_ops e1000e_ops = {
	.channel_open = channel_open,
	.channel_close = channel_close,
	.receive = e1000e_receive,
	.send = e1000e_send,
	.kick = e1000e_kick,
	.reap = e1000e_reap,
	.ready = ready,
	.arm = arm,
	.disarm = disarm,
	.set_filter = set_filter,
	.set_vlan = set_vlan,
	.set_mac = set_mac,
	.set_mtu = set_mtu,
};
