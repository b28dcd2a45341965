/* SPDX-License-Identifier: BSD-2-Clause */
/* What the class asks for: channels, and what is to be told to the device. Tasks of CPU 0. */
#include <errno.h>
#include <string.h>

#include "core/hooks.h"
#include "drivers/net/virtio_net/virtio_net.h"

int vnet_lock(struct vnet *v)
{
	int ret = ob_mutex_lock(&v->lock, ob_deadline(VNET_LOCK_NS));

	if (ret == 0 && (v->state == VNET_DEAD || v->state == VNET_REMOVING)) {
		ob_mutex_unlock(&v->lock);
		ret = -ENODEV;
	}
	return ret;
}

void vnet_unlock(struct vnet *v)
{
	ob_mutex_unlock(&v->lock);
}

void vnet_want(struct vnet *v, uint32_t todo)
{
	__atomic_fetch_or(&v->pending, todo, __ATOMIC_RELEASE);
	ob_event_signal(&v->service_event);
}

void vnet_pair_break(struct vnet_pair *p, const char *why)
{
	if (p->broken)
		return;
	p->broken = true;
	p->channel->stats.broken++;
	ob_warn(p->v->ob, "%s channel %u: %s: it will be reset", p->v->name, p->channel->index, why);
	/* Nothing more is taken from it, nor given to it. */
	p->running = false;
	ob_net_channel_gate(p->channel, false);
	vnet_want(p->v, VNET_TODO_RESET);
}

/* ---- channels ---- */

static struct vnet_pair *pair_create(struct vnet *v, struct ob_net_channel *channel)
{
	struct vnet_pair *p = hooks_fail(v->ob, "vnet_pair") ? NULL : ob_alloc(sizeof(*p));

	if (p == NULL)
		return NULL;
	p->v = v;
	p->channel = channel;
	p->pool = channel->pool;
	p->dma_index = channel->dma_index;
	p->rx_wish = vnet_entries_for(channel->rx_depth);
	p->tx_wish = vnet_entries_for(channel->tx_depth);
	p->pools[0].pool = ob_packet_pool_get(channel->pool);
	p->pools[0].iova = ob_packet_iova(channel->pool, channel->dma_index, NULL).addr;
	p->last_pool = &p->pools[0];
	ob_timer_init(&p->refill, channel->cpu, vnet_refill_timer);
	ob_timer_init(&p->tick, channel->cpu, vnet_tick);
	list_init(&p->link);
	return p;
}

void vnet_pair_free(struct vnet_pair *p)
{
	if (p->lost)
		return;
	ob_dma_free(p->v->dev, &p->headers_dma);
	for (unsigned i = 0; i < VNET_POOLS_MAX; i++)
		ob_packet_pool_put(p->pools[i].pool);
	ob_free(p->slow);
	ob_free(p);
}

static void pair_add(struct vnet_pair *p)
{
	list_add_tail(&p->v->pairs, &p->link);
	p->v->pair_count++;
}

static void pair_remove(struct vnet_pair *p)
{
	list_del(&p->link);
	p->v->pair_count--;
}

/* While it is suspended it comes with all others when that resumes. */
static int take_up(struct vnet *v, struct vnet_pair *p)
{
	int ret;

	pair_add(p);
	if (v->state == VNET_SUSPENDED)
		return 0;
	vnet_unmake(v);
	v->state = VNET_MAKING;
	ret = vnet_make(v);
	if (ret == 0) {
		v->state = VNET_LIVE;
		return 0;
	}
	/* As it was before. */
	pair_remove(p);
	vnet_remake(v);
	return ret;
}

static int channel_open(struct ob_net *net, struct ob_net_channel *channel)
{
	struct vnet *v = ob_net_driver_data(net);
	struct vnet_pair *p;
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	ret = -ENOSPC;
	if (v->pair_count >= MIN(v->config.pairs_max, VNET_PAIRS_MAX))
		goto unlock;
	ret = -ENOMEM;
	p = pair_create(v, channel);
	if (p == NULL)
		goto unlock;
	if (!v->irqs && v->state != VNET_SUSPENDED)
		channel->mode = OB_COMPLETION_POLLED;
	channel->driver_data = p;
	ret = take_up(v, p);
	if (ret != 0)
		vnet_pair_free(p);
unlock:
	vnet_unlock(v);
	return ret;
}

/* Whoever holds it has deadlines. */
static void lock_firmly(struct vnet *v)
{
	while (ob_mutex_lock(&v->lock, ob_deadline(VNET_LOCK_NS)) != 0)
		ob_err(v->ob, "%s: a channel still waits to be closed", v->name);
}

static void channel_close(struct ob_net_channel *channel)
{
	struct vnet_pair *p = channel->driver_data;
	struct vnet *v = p->v;
	bool live;

	lock_firmly(v);
	live = v->state == VNET_LIVE;
	/* With its pair, so that its packets come back; then without. */
	vnet_unmake(v);
	pair_remove(p);
	if (live)
		vnet_remake(v);
	vnet_unlock(v);
	vnet_pair_free(p);
}

/* ---- readiness ---- */

static unsigned ready(struct ob_net_channel *channel)
{
	struct vnet_pair *p = channel->driver_data;
	unsigned what = 0;

	vnet_reap(channel);
	if (ob_virtio_queue_pending(p->rx))
		what |= OB_NET_WAIT_RECEIVE;
	/* A frame of several parts may need more than one place: then something has to come back first. */
	if (p->tx_posted < p->tx_depth && (p->tx_posted == 0 || p->tx_short != p->tx_done + 1))
		what |= OB_NET_WAIT_SEND;
	if (p->tx_posted == 0)
		what |= OB_NET_WAIT_SENT;
	return what;
}

/* Arm, then look: what comes after the look interrupts. */
static bool arm(struct ob_net_channel *channel, unsigned what)
{
	struct vnet_pair *p = channel->driver_data;
	bool pending = false;

	if ((what & OB_NET_WAIT_RECEIVE) != 0)
		pending = ob_virtio_queue_arm(p->rx);
	if ((what & (OB_NET_WAIT_SEND | OB_NET_WAIT_SENT)) != 0)
		pending |= ob_virtio_queue_arm(p->tx);
	return pending;
}

static void disarm(struct ob_net_channel *channel)
{
	struct vnet_pair *p = channel->driver_data;

	ob_virtio_queue_disarm(p->rx);
	ob_virtio_queue_disarm(p->tx);
}

/* ---- telling ---- */

/* Do pools of open channels have the room that is needed now? */
static bool pools_do(const struct vnet *v)
{
	uint32_t room = vnet_room_min(v);

	list_for_each (node, &v->pairs)
		if (list_entry(node, struct vnet_pair, link)->pool->room_bytes < room)
			return false;
	return true;
}

/* One that is suspended is told all when it resumes. */
static int remake_if_live(struct vnet *v)
{
	if (!pools_do(v)) {
		ob_err(v->ob, "%s: the packets of its channels are too small for that", v->name);
		return -EBUSY;
	}
	if (v->state != VNET_LIVE)
		ob_net_set_room(v->net, vnet_room_min(v));
	return v->state == VNET_LIVE ? vnet_remake(v) : 0;
}

static int set_filter(struct ob_net *net, const struct ob_net_filter *filter)
{
	struct vnet *v = ob_net_driver_data(net);
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	if (v->state == VNET_LIVE)
		ret = vnet_control_filter(v, filter);
	vnet_unlock(v);
	return ret;
}

/* The first VLAN makes the device filter, and the last one lets it be (§5.1.6.5.3). */
static int set_vlan(struct ob_net *net, unsigned vid, bool on)
{
	struct vnet *v = ob_net_driver_data(net);
	const uint64_t *bits;
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	if ((ob_net_vlans(net, &bits) > 0) != vnet_has(v, VIRTIO_NET_F_CTRL_VLAN))
		ret = remake_if_live(v);
	else if (v->state == VNET_LIVE)
		ret = vnet_control_vlan(v, vid, on);
	vnet_unlock(v);
	return ret;
}

static int set_mac(struct ob_net *net, const uint8_t mac[6])
{
	struct vnet *v = ob_net_driver_data(net);
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	if (v->state == VNET_LIVE)
		ret = vnet_control_mac(v, mac);
	vnet_unlock(v);
	return ret;
}

static int set_mtu(struct ob_net *net, unsigned mtu)
{
	struct vnet *v = ob_net_driver_data(net);
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	ret = remake_if_live(v);
	vnet_unlock(v);
	return ret;
}

static int set_offloads(struct ob_net *net, uint32_t offloads)
{
	return set_mtu(net, 0);
}

static int set_rss(struct ob_net *net, const struct ob_net_rss *rss)
{
	struct vnet *v = ob_net_driver_data(net);
	int ret = vnet_lock(v);

	if (ret != 0)
		return ret;
	if (v->state == VNET_LIVE)
		ret = vnet_control_rss(v, rss);
	vnet_unlock(v);
	return ret;
}

const struct ob_net_ops vnet_ops = {
	.channel_open = channel_open,
	.channel_close = channel_close,
	.receive = vnet_receive,
	.send = vnet_send,
	.kick = vnet_kick,
	.reap = vnet_reap,
	.ready = ready,
	.arm = arm,
	.disarm = disarm,
	.set_filter = set_filter,
	.set_vlan = set_vlan,
	.set_mac = set_mac,
	.set_mtu = set_mtu,
	.set_offloads = set_offloads,
	.set_rss = set_rss,
};
