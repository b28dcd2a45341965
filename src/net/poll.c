/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O path of a channel: frames that the program asks for, and those that are brought to it; waiting.
 *
 * The poller of a channel with a received function takes frames. That of one without looks only while somebody waits:
 * a frame that nobody waits for need not interrupt.
 */
#include <errno.h>

#include "net/net.h"

static unsigned wanted(const struct net_channel *c)
{
	return c->waits | (c->received != NULL ? OB_NET_WAIT_RECEIVE : 0) |
	       (c->full && (c->sendable != NULL || c->train.frame != NULL) ? OB_NET_WAIT_SEND : 0);
}

void net_channel_wake(struct net_channel *c)
{
	if (c->waits == 0)
		return;
	c->waits = 0;
	ob_event_signal(&c->event);
}

static unsigned bring(struct net_channel *c, unsigned budget)
{
	struct ob_packet *frames[OB_NET_BURST];
	unsigned done = 0, count, room;

	do {
		room = MIN(budget - done, OB_NET_BURST);
		count = c->pub.receive(&c->pub, frames, room);
		if (count > 0)
			c->received(&c->pub, frames, count, c->arg);
		done += count;
		/* The function may have closed the channel: then the poll is stopped, and c->received still there. */
	} while (count == room && done < budget);
	return done;
}

/* A channel that is shut for a while (a reset, suspended) makes who waits wait on. */
static unsigned ready_now(struct net_channel *c)
{
	bool whole;

	if (!c->open)
		return 0;
	/* Of a frame that is being cut, all segments have to go before all that was sent is done: so they first. */
	whole = net_train_go(c);
	return c->pub.ops->ready(&c->pub) & (whole ? UINT32_MAX : ~OB_NET_WAIT_SENT);
}

static unsigned net_poll(void *arg, unsigned budget)
{
	struct net_channel *c = arg;
	unsigned done = 0, ready;

	if (c->received != NULL)
		done = bring(c, budget);
	if (OB_LIKELY((c->waits == 0 && !c->full) || !c->open))
		return done;
	ready = ready_now(c);
	if ((ready & c->waits) != 0)
		net_channel_wake(c);
	if (c->full && (ready & OB_NET_WAIT_SEND) != 0) {
		c->full = false;
		if (!net_train_go(c))
			return done;
		if (c->sendable != NULL)
			c->sendable(&c->pub, c->arg);
	}
	return done;
}

static bool net_arm(void *arg)
{
	struct net_channel *c = arg;
	unsigned what = wanted(c);

	return what != 0 && c->open && c->pub.ops->arm(&c->pub, what);
}

static void net_disarm(void *arg)
{
	struct net_channel *c = arg;

	if (c->pub.ops->disarm != NULL && OB_READ_ONCE(c->open))
		c->pub.ops->disarm(&c->pub);
}

const struct ob_poll_ops net_poll_ops = {
	.poll = net_poll,
	.arm = net_arm,
	.disarm = net_disarm,
};

void ob_net_interrupt(struct ob_net_channel *channel)
{
	struct net_channel *c = net_channel(channel);

	OB_WRITE_ONCE(channel->stats.interrupts, OB_READ_ONCE(channel->stats.interrupts) + 1);
	if (OB_LIKELY(OB_READ_ONCE(c->started)))
		ob_poll_schedule(&c->poll);
}

/* ---- asking ---- */

unsigned ob_net_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max)
{
	return channel->receive(channel, frames, max);
}

static __attribute__((noinline, cold)) void note_full(struct net_channel *c)
{
	if (c->closing)
		return; /* for good; what it counted has been added up */
	c->pub.stats.tx_full++;
	c->full = true;
	/* So that the room to come interrupts. */
	if (c->sendable != NULL && c->started)
		ob_poll_schedule(&c->poll);
}

unsigned ob_net_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	unsigned taken = channel->send(channel, frames, count);

	if (OB_UNLIKELY(taken < count))
		note_full(net_channel(channel));
	return taken;
}

void ob_net_kick(struct ob_net_channel *channel)
{
	channel->kick(channel);
}

unsigned ob_net_reap(struct ob_net_channel *channel)
{
	return net_channel(channel)->open ? channel->ops->reap(channel) : 0;
}

int ob_net_wait(struct ob_net_channel *channel, unsigned what, uint64_t deadline_ns)
{
	struct net_channel *c = net_channel(channel);
	int ret = 0;

	while ((ready_now(c) & what) == 0) {
		if (c->closing)
			return -ENODEV;
		if (ret != 0)
			return ret;
		/* Look first, then sleep: the poller does both, and arms in between. */
		c->waits = what;
		ob_poll_schedule(&c->poll);
		ret = ob_event_wait(&c->event, deadline_ns);
		if (ret != 0 && c->waits == 0)
			ob_event_reset(&c->event);
		c->waits = 0;
	}
	return 0;
}
