/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of an interface: the sum over its channels, over those that were closed, and the driver's own. */
#include "net/net.h"

/* Words that a running channel counts up on its own CPU; torn sums are fine, torn words are not. */
void net_stats_add(struct ob_net_stats *sum, const struct ob_net_stats *stats)
{
	static_assert(sizeof(*sum) % sizeof(uint64_t) == 0, "all of them are counters");
	const uint64_t *from = (const uint64_t *)(const void *)stats;
	uint64_t *to = (uint64_t *)(void *)sum;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += OB_READ_ONCE(from[i]);
}

void ob_net_stats(const struct ob_net *net, struct ob_net_stats *out)
{
	struct ob_lock *lock = (struct ob_lock *)(uintptr_t)&net->lock;

	ob_lock(lock);
	*out = net->closed;
	net_stats_add(out, &net->counters);
	list_for_each (node, &net->channels)
		net_stats_add(out, &list_entry(node, struct net_channel, link)->pub.stats);
	ob_unlock(lock);
}

void ob_net_channel_stats(const struct ob_net_channel *channel, struct ob_net_stats *out)
{
	*out = (struct ob_net_stats){0};
	net_stats_add(out, &channel->stats);
}
