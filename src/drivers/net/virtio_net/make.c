/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making the device: from reset to DRIVER_OK and beyond (VIRTIO 1.2 §3.1.1, §5.1.5), with the pairs that there are; and
 * unmaking it.
 *
 * Pairs stop and start on their own CPUs. In between they are CPU 0's: the device is reset, so nothing that it had will
 * ever be used, and packets go back to their pools.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/hooks.h"
#include "drivers/net/virtio_net/virtio_net.h"

#define DRAIN_PAUSE_NS (100 * OB_NS_PER_US)

/* ---- on the pair's CPU ---- */

static void stop_on_cpu(void *arg)
{
	struct vnet_pair *p = arg;

	p->running = false;
	ob_net_channel_gate(p->channel, false);
	if (!p->silent) {
		ob_timer_stop(&p->refill);
		ob_timer_stop(&p->tick);
	}
	p->refilling = p->ticking = false;
}

static void start_on_cpu(void *arg)
{
	struct vnet_pair *p = arg;

	p->broken = false;
	p->running = true;
	vnet_refill(p);
	ob_net_channel_gate(p->channel, true);
}

static void reap_on_cpu(void *arg)
{
	struct vnet_pair *p = arg;

	if (p->tx != NULL && !p->broken)
		vnet_reap(p->channel);
}

static void drop_rx(void *arg, uint32_t token)
{
	struct vnet_pair *p = arg;

	ob_packet_pool_push_index(p->pool, token);
}

static void drop_tx(void *arg, uint32_t token)
{
	struct vnet_pair *p = arg;

	p->channel->stats.tx_dropped++;
	vnet_tx_end(p, token);
}

/* The device is reset. What it sent by then counts; what it received is lost with the rest. */
static void drop_on_cpu(void *arg)
{
	struct vnet_pair *p = arg;

	if (p->tx != NULL) {
		reap_on_cpu(p);
		ob_virtio_queue_drop(p->tx, drop_tx, p);
	}
	if (p->rx != NULL)
		ob_virtio_queue_drop(p->rx, drop_rx, p);
	ob_packet_put(p->partial);
	p->partial = NULL;
	p->tx_posted = 0;
	p->rx_posted = 0;
}

/* ---- CPU 0 ---- */

void vnet_call(struct vnet_pair *p, void (*fn)(void *arg))
{
	if (!p->silent) {
		int ret = ob_cpu_call_firmly(p->channel->cpu, fn, p, ob_deadline(VNET_CALL_NS));

		if (ret == 0)
			return;
		/* Nobody turns it, so nobody receives or sends there: going on without it is safe enough. */
		ob_err(p->v->ob, "%s channel %u: CPU %u does not answer (%d)", p->v->name, p->channel->index,
		       ob_cpu_index(p->channel->cpu), ret);
		p->silent = p->lost = true;
	}
	fn(p);
}

static void for_each_pair(struct vnet *v, void (*fn)(void *arg))
{
	list_for_each (node, &v->pairs)
		vnet_call(list_entry(node, struct vnet_pair, link), fn);
}

static uint32_t frames_left(const struct vnet *v)
{
	uint32_t left = 0;

	list_for_each (node, &v->pairs) {
		const struct vnet_pair *p = list_entry(node, struct vnet_pair, link);

		left += p->tx == NULL || p->broken || p->silent ? 0 : p->tx_posted;
	}
	return left;
}

/* Frames that were sent deserve a moment to leave, and those of a device that is slow another one. */
static void drain(struct vnet *v)
{
	uint64_t end_ns = ob_deadline(VNET_DRAIN_MAX_NS), stalled_ns = 0;
	uint32_t before = UINT32_MAX, left;

	for (;;) {
		for_each_pair(v, reap_on_cpu);
		left = frames_left(v);
		if (left == 0)
			return;
		if (left < before)
			stalled_ns = MIN(ob_deadline(VNET_DRAIN_NS), end_ns);
		before = left;
		if (ob_now_ns() >= stalled_ns)
			return;
		ob_task_sleep(ob_deadline(DRAIN_PAUSE_NS));
	}
}

static void queues_destroy(struct vnet *v)
{
	list_for_each (node, &v->pairs) {
		struct vnet_pair *p = list_entry(node, struct vnet_pair, link);

		ob_virtio_queue_destroy(p->rx);
		ob_virtio_queue_destroy(p->tx);
		p->rx = p->tx = NULL;
	}
	vnet_control_destroy(v);
	if (v->irqs) {
		ob_virtio_on_config(v->dev, NULL, NULL);
		ob_virtio_irq_release(v->dev);
	}
	v->irqs = false;
}

void vnet_unmake(struct vnet *v)
{
	bool worked = v->state == VNET_LIVE && !v->quiet;
	int ret;

	list_for_each (node, &v->pairs)
		list_entry(node, struct vnet_pair, link)->silent = false;
	for_each_pair(v, stop_on_cpu);
	if (worked)
		drain(v);
	/*
	 * Should it not end its reset: bus mastering is off in any case; a machine without that keeps what we free. Of one
	 * that is gone, somebody else tells.
	 */
	ret = v->quiet ? 0 : ob_virtio_reset(v->dev, ob_deadline(VNET_RESET_NS));
	if (ret != 0 && ret != -ENODEV)
		ob_warn(v->ob, "%s: it did not answer to a reset: %s", v->name, strerror(-ret));
	v->quiet = true;
	for_each_pair(v, drop_on_cpu);
	queues_destroy(v);
}

/* ---- making ---- */

static void heard_of_config(struct ob_device *dev, void *arg)
{
	vnet_want(arg, VNET_TODO_CONFIG);
}

/* Without interrupts channels are polled, and the link's changes are seen by the service task. */
static int take_irqs(struct vnet *v)
{
	int ret = ob_virtio_irq_alloc(v->dev, MAX(2 * v->pair_count, 1u), OB_IRQ_ANY);

	if (ret == -ENOSPC)
		return 0;
	if (ret < 0)
		return ret;
	v->irqs = true;
	return ob_virtio_on_config(v->dev, heard_of_config, v);
}

static void interrupted(void *arg)
{
	ob_net_interrupt(arg);
}

static int queue_create(struct vnet_pair *p, unsigned index, unsigned size, unsigned chain_max,
			struct ob_virtio_queue **out)
{
	bool irq = p->v->irqs && p->channel->mode != OB_COMPLETION_POLLED;
	struct ob_virtio_queue_config config = {.index = index, .size_max = size, .chain_max = chain_max, .irq = irq};
	char name[48];
	int entries, ret;

	entries = ob_virtio_queue_entries(p->v->dev, index);
	if (entries < 0)
		return entries;
	config.chain_max = MIN(config.chain_max, MIN((unsigned)entries, size));
	snprintf(name, sizeof(name), "%s queue %u", p->v->name, index);
	config.name = name;
	ret = ob_virtio_queue_create(p->v->dev, &config, out);
	if (ret == 0 && irq)
		ret = ob_virtio_queue_listen(*out, p->channel->cpu, interrupted, p->channel);
	return ret;
}

static int slow_create(struct vnet_pair *p, unsigned count)
{
	struct vnet *v = p->v;
	int ret;

	if (p->slow != NULL && p->slow_count == count)
		return 0;
	ob_free(p->slow);
	ob_dma_free(v->dev, &p->headers_dma);
	p->slow_count = 0; /* what fails below leaves none of any size */
	p->slow = hooks_fail(v->ob, "vnet_slow") ? NULL : ob_alloc(count * sizeof(*p->slow));
	if (p->slow == NULL)
		return -ENOMEM;
	ret = ob_dma_alloc(v->dev, (size_t)count * VNET_HEADER_STRIDE, 0, &p->headers_dma);
	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < count; i++)
		p->slow[i].next_free = (uint16_t)(i + 1);
	p->slow_count = (uint16_t)count;
	p->slow_free = 0;
	p->headers = p->headers_dma.base;
	p->headers_iova = p->headers_dma.iova.addr;
	return 0;
}

/* Buffers that the longest frame takes. */
static unsigned rx_need(const struct vnet_pair *p)
{
	return p->merge ? (vnet_rx_frame_max(p->v) + p->header_bytes + p->rx_bytes - 1) / p->rx_bytes : 1;
}

/*
 * A device that has too few buffers for a frame waits for more, and nothing comes back from it meanwhile. So the few that
 * the ring may lack until it is filled up again must not be among those that a frame takes.
 */
static void rx_plan(struct vnet_pair *p)
{
	unsigned need = rx_need(p), most = MIN(MAX(p->rx_depth / 4, 1u), VNET_REFILL);

	p->rx_refill = p->rx_depth > need ? MIN(p->rx_depth - need + 1, most) : 1;
	if (need > p->rx_depth)
		ob_warn(p->v->ob, "%s channel %u: its ring has %u buffers of %u bytes; the longest frames take %u",
			p->v->name, p->channel->index, p->rx_depth, p->rx_bytes, need);
}

static int pair_make(struct vnet_pair *p, unsigned index)
{
	struct ob_net_channel *channel = p->channel;
	uint32_t on = vnet_offloads(p->v);
	struct vnet *v = p->v;
	int ret;

	channel->index = index;
	p->header_bytes = v->header_bytes;
	p->merge = vnet_has(v, VIRTIO_NET_F_MRG_RXBUF);
	p->rx_bytes = p->pool->room_bytes + p->header_bytes;
	ret = queue_create(p, VIRTIO_NET_RX(index), MAX(p->rx_wish, vnet_entries_for(rx_need(p))), 1, &p->rx);
	if (ret == 0)
		ret = queue_create(p, VIRTIO_NET_TX(index), p->tx_wish, VNET_CHAIN_MAX, &p->tx);
	if (ret == 0)
		ret = slow_create(p, ob_virtio_queue_size(p->tx));
	if (ret != 0)
		return ret;
	channel->rx_depth = p->rx_depth = ob_virtio_queue_size(p->rx);
	rx_plan(p);
	channel->tx_depth = p->tx_depth = ob_virtio_queue_size(p->tx);
	p->rx_offloads = on & OB_NET_RX_ALL;
	p->rx_plain = !p->merge && p->rx_offloads == 0;
	p->tx_offloads = on & ~OB_NET_RX_ALL;
	p->frame_max = vnet_frame_max(v);
	p->rx_base = ob_packet_iova(p->pool, p->dma_index, p->pool->data - p->header_bytes);
	return 0;
}

static int pairs_make(struct vnet *v)
{
	unsigned index = 0;

	if (v->pair_count > v->config.pairs_max) {
		ob_err(v->ob, "%s: it has %u pairs of queues now, and %u are in use", v->name, v->config.pairs_max,
		       v->pair_count);
		return -ENOSPC;
	}
	list_for_each (node, &v->pairs) {
		int ret = pair_make(list_entry(node, struct vnet_pair, link), index++);

		if (ret != 0)
			return ret;
	}
	return 0;
}

static int agree(struct vnet *v)
{
	int ret = 0;

	/* What to ask for depends on what there is. */
	if (v->offered == 0)
		ret = ob_virtio_negotiate(v->dev, 0, 0);
	v->offered = ob_virtio_features(v->dev) & ~VIRTIO_FEATURES_RESERVED;
	if (ret == 0)
		ret = ob_virtio_negotiate(v->dev, vnet_features_wanted(v), 0);
	if (ret != 0)
		return ret;
	v->features = 0;
	for (unsigned bit = 0; bit < 64; bit++)
		if (ob_virtio_has(v->dev, bit))
			v->features |= BIT64(bit);
	v->header_bytes = vnet_has(v, VIRTIO_NET_F_HASH_REPORT) ? sizeof(struct virtio_net_header_hash)
								: sizeof(struct virtio_net_header);
	return vnet_config_read(v, &v->config);
}

int vnet_make(struct vnet *v)
{
	int ret = v->ending ? -ENODEV : agree(v);

	if (ret == 0)
		ret = take_irqs(v);
	if (ret == 0)
		ret = pairs_make(v);
	if (ret == 0)
		ret = vnet_control_create(v);
	if (ret == 0) {
		v->quiet = false;
		ret = ob_virtio_start(v->dev);
	}
	if (ret == 0)
		ret = vnet_control_tell_all(v);
	if (ret != 0) {
		vnet_unmake(v);
		return ret;
	}
	for_each_pair(v, start_on_cpu);
	return 0;
}

void vnet_die(struct vnet *v, const char *why)
{
	const struct ob_net_link down = {.up = false};

	ob_err(v->ob, "%s: given up: %s", v->name, why);
	vnet_unmake(v);
	v->state = VNET_DEAD;
	if (v->net != NULL)
		ob_net_set_link(v->net, &down);
}

int vnet_remake(struct vnet *v)
{
	int ret;

	vnet_unmake(v);
	v->state = VNET_MAKING;
	ret = vnet_make(v);
	if (ret != 0) {
		vnet_die(v, strerror(-ret));
		return ret;
	}
	v->state = VNET_LIVE;
	if (v->net != NULL) {
		ob_net_set_room(v->net, vnet_room_min(v));
		/* It may have changed meanwhile, and a wish to be announced may be new. */
		vnet_want(v, VNET_TODO_CONFIG);
	}
	return 0;
}
