/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and closing a channel, in a task of CPU 0, one at a time for each interface.
 *
 * The channel's own CPU alone touches its I/O state: the driver opens its gate there, and closing begins there.
 */
#include <errno.h>

#include "core/context.h"
#include "core/cpu.h"
#include "net/net.h"

/* ---- the gate ---- */

static unsigned receive_nothing(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max)
{
	return 0;
}

static unsigned send_nothing(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	return 0;
}

static void kick_nothing(struct ob_net_channel *channel)
{
}

/* Then frames go to the driver as they are. Fragments of UDP nobody cuts in software. */
static bool cuts_all(const struct net_channel *c)
{
	const uint32_t tso = OB_NET_TX_TSO4 | OB_NET_TX_TSO6 | OB_NET_TX_ECN;

	return (c->tx_offloads & tso) == tso && c->train.frame == NULL;
}

void ob_net_channel_gate(struct ob_net_channel *channel, bool open)
{
	struct net_channel *c = net_channel(channel);
	struct ob_net_info info;

	if (open) {
		/* It may have changed in a reset. */
		ob_net_info(channel->net, &info);
		c->tx_offloads = info.offloads & ~OB_NET_RX_ALL;
	}
	channel->receive = open ? channel->ops->receive : receive_nothing;
	channel->send = !open ? send_nothing : cuts_all(c) ? channel->ops->send : net_segment_send;
	channel->kick = open ? channel->ops->kick : kick_nothing;
	OB_WRITE_ONCE(c->open, open); /* the interrupt looks at it */
	/* What came or went meanwhile: a look at it, also by who waits. */
	if (open && c->started)
		ob_poll_schedule(&c->poll);
}

/* ---- closing ---- */

/*
 * Call @fn on the channel's CPU; here when that does not answer: nobody turns it, so nobody receives or sends there
 * either. Task on CPU 0.
 */
static void detach_call(struct net_channel *c, void (*fn)(void *arg))
{
	if (!c->leaked) {
		int ret = ob_cpu_call_firmly(c->pub.cpu, fn, c, ob_deadline(NET_CALL_NS));

		if (ret == 0)
			return;
		ob_err(c->pub.net->ob, "%s: CPU %u does not answer (%d); its channel goes on without it",
		       c->pub.net->name, ob_cpu_index(c->pub.cpu), ret);
		c->leaked = true; /* that CPU's lists may still lead to it */
	}
	fn(c);
}

static void stop_on_cpu(void *arg)
{
	struct net_channel *c = arg;
	bool started = c->started;

	ob_net_channel_gate(&c->pub, false);
	/* First no interrupt may schedule it any more. */
	OB_WRITE_ONCE(c->started, false);
	if (started && !c->leaked)
		ob_poll_stop(&c->poll);
	c->closing = true;
	net_train_drop(c);
	if (!c->leaked)
		net_channel_wake(c);
}

void net_channel_detach(struct net_channel *c)
{
	struct ob_net *net = c->pub.net;

	detach_call(c, stop_on_cpu);
	net->ops->channel_close(&c->pub);
	ob_lock(&net->lock);
	list_del(&c->link);
	net_stats_add(&net->closed, &c->pub.stats);
	ob_unlock(&net->lock);
	/* From here on ob_net_channel_close() frees it, from any thread. */
	__atomic_store_n(&c->detached, true, __ATOMIC_RELEASE);
}

static void channel_free(struct net_channel *c)
{
	struct ob_net *net = c->pub.net;

	if (c->leaked)
		return;
	ob_packet_pool_put(c->pub.pool);
	ob_free(c);
	ob_net_put(net);
}

/* ---- opening ---- */

static int make_pool(struct net_channel *c, uint32_t room_min)
{
	struct ob_packet_pool_config config = {
		.machine = ob_device_machine(c->pub.net->dev),
		.cpu = c->pub.cpu,
		.count = c->pub.rx_depth + c->pub.tx_depth + NET_POOL_SPARE,
		.packet_bytes = MAX(room_min, OB_PACKET_BYTES_DEFAULT),
	};

	return ob_packet_pool_create(&config, &c->pub.pool);
}

static void start_on_cpu(void *arg)
{
	struct net_channel *c = arg;
	struct ob_poll_config config = c->pub.poll;

	config.mode = c->pub.mode;
	/* The interrupt looks at it, and may come as soon as the poll is armed: inside the start. */
	OB_WRITE_ONCE(c->started, true);
	ob_poll_start(&c->poll, c->pub.cpu, &net_poll_ops, c, &config);
}

static int channel_open(struct net_call *call)
{
	struct net_channel *c = call->channel;
	struct ob_net *net = call->net;
	struct ob_net_info info;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	ob_net_info(net, &info);
	if (c->pub.pool == NULL) {
		ret = make_pool(c, info.room_min);
		if (ret != 0)
			return ret;
	} else if (c->pub.pool->room_bytes < info.room_min) {
		ob_err(net->ob, "%s: packets of %u bytes are too small to receive into: %u are needed", net->name,
		       c->pub.pool->room_bytes, info.room_min);
		return -EINVAL;
	}
	ret = ob_window_grant(c->pub.pool->window, net->dev, OB_DMA_BOTH);
	if (ret != 0)
		return ret;
	c->pub.dma_index = ob_device_dma_index(net->dev);
	if (net->ops->arm == NULL)
		c->pub.mode = OB_COMPLETION_POLLED;
	ret = net->ops->channel_open(net, &c->pub);
	if (ret != 0)
		return ret;
	ret = ob_cpu_call(c->pub.cpu, start_on_cpu, c, ob_deadline(NET_CALL_NS));
	ob_lock(&net->lock);
	list_add_tail(&net->channels, &c->link);
	ob_unlock(&net->lock);
	if (ret != 0)
		net_channel_detach(c);
	return ret;
}

static int channel_close(struct net_call *call)
{
	if (!call->channel->detached)
		net_channel_detach(call->channel);
	return 0;
}

static void open_abandoned(struct net_call *call)
{
	if (call->ret == 0) {
		net_mutex_lock(call->net);
		channel_close(call);
		ob_mutex_unlock(&call->net->mutex);
	}
	channel_free(call->channel);
}

static void close_abandoned(struct net_call *call)
{
	channel_free(call->channel);
}

static struct net_channel *channel_create(struct ob_net *net, const struct ob_net_channel_config *config)
{
	struct net_channel *c = hooks_fail(net->ob, "net_channel_create") ? NULL : ob_alloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->pub.ops = net->ops;
	c->pub.net = ob_net_get(net);
	c->pub.cpu = config->cpu;
	if (c->pub.cpu == NULL)
		c->pub.cpu = config->pool != NULL ? config->pool->cpu : ob_cpu_get(net->ob, 0);
	c->pub.pool = config->pool != NULL ? ob_packet_pool_get(config->pool) : NULL;
	c->pub.rx_depth = config->rx_depth != 0 ? config->rx_depth : NET_DEPTH_DEFAULT;
	c->pub.tx_depth = config->tx_depth != 0 ? config->tx_depth : NET_DEPTH_DEFAULT;
	c->pub.rx_depth = MIN(c->pub.rx_depth, net->info.rx_depth_max);
	c->pub.tx_depth = MIN(c->pub.tx_depth, net->info.tx_depth_max);
	c->pub.mode = config->poll.mode;
	c->pub.poll = config->poll;
	c->received = config->received;
	c->sendable = config->sendable;
	c->arg = config->arg;
	list_init(&c->link);
	ob_event_init(&c->event, c->pub.cpu);
	ob_net_channel_gate(&c->pub, false);
	return c;
}

int ob_net_channel_open(struct ob_net *net, const struct ob_net_channel_config *config, struct ob_net_channel **out)
{
	static const struct ob_net_channel_config defaults = {0};
	struct net_channel *c;
	struct net_call *call;
	bool goes_on;
	int ret;

	if (config == NULL)
		config = &defaults;
	if ((unsigned)config->poll.mode > OB_COMPLETION_HYBRID ||
	    (config->pool != NULL && config->cpu != NULL && config->cpu != config->pool->cpu))
		return -EINVAL;
	if (!net_online(net))
		return -ENODEV;
	c = channel_create(net, config);
	if (c == NULL)
		return -ENOMEM;
	call = net_call_new(net, channel_open);
	ret = -ENOMEM;
	if (call != NULL) {
		call->channel = c;
		call->abandoned = open_abandoned;
		ret = net_call_run(call, &goes_on);
		if (goes_on)
			return ret;
	}
	if (ret != 0) {
		channel_free(c);
		return ret;
	}
	*out = &c->pub;
	return 0;
}

/* Closing has nothing to fall back on, so for want of memory it waits a little. */
static int close_on_cpu0(struct net_channel *c, bool *goes_on)
{
	uint64_t deadline_ns = ob_deadline(NET_CALL_NS);
	int ret;

	for (;;) {
		struct net_call *call = net_call_new(c->pub.net, channel_close);

		ret = -ENOMEM;
		if (call != NULL) {
			call->channel = c;
			call->abandoned = close_abandoned;
			ret = net_call_run(call, goes_on);
		}
		if (ret != -ENOMEM || ob_now_ns() >= deadline_ns)
			return ret;
		event_await_memory(c->pub.net->ob);
	}
}

void ob_net_channel_close(struct ob_net_channel *channel)
{
	struct net_channel *c;
	bool goes_on = false;
	int ret = 0;

	if (channel == NULL)
		return;
	c = net_channel(channel);
	/* After a removal nothing is left to do, and the context itself may be gone. */
	if (!__atomic_load_n(&c->detached, __ATOMIC_ACQUIRE))
		ret = close_on_cpu0(c, &goes_on);
	if (ret == 0)
		channel_free(c);
	else if (!goes_on)
		ob_err(c->pub.net->ob, "%s: a channel cannot be closed here (%d); it leaks", c->pub.net->name, ret);
}

/* ---- reading ---- */

struct ob_net *ob_net_channel_net(const struct ob_net_channel *channel)
{
	return channel->net;
}

struct ob_cpu *ob_net_channel_cpu(const struct ob_net_channel *channel)
{
	return channel->cpu;
}

struct ob_packet_pool *ob_net_channel_pool(const struct ob_net_channel *channel)
{
	return channel->pool;
}

unsigned ob_net_channel_index(const struct ob_net_channel *channel)
{
	return channel->index;
}

unsigned ob_net_channel_rx_depth(const struct ob_net_channel *channel)
{
	return channel->rx_depth;
}

unsigned ob_net_channel_tx_depth(const struct ob_net_channel *channel)
{
	return channel->tx_depth;
}

enum ob_completion_mode ob_net_channel_mode(const struct ob_net_channel *channel)
{
	return channel->mode;
}
