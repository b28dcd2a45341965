/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network interfaces as objects: publish and unpublish for drivers, finding and reading for everybody, and being told of
 * events.
 *
 * Memory lives until the last put; being online is apart from that and ends in ob_net_unpublish(), on CPU 0.
 */
#include "net/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/cpu.h"
#include "spec/ethernet.h"

/* ---- finding ---- */

struct ob_net *ob_net_get(struct ob_net *net)
{
	if (net != NULL)
		__atomic_fetch_add(&net->refs, 1, __ATOMIC_RELAXED);
	return net;
}

void ob_net_put(struct ob_net *net)
{
	if (net == NULL || __atomic_sub_fetch(&net->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	ob_device_put(net->dev);
	ob_free(net);
}

struct ob_net *ob_net_next(struct ob *ob, struct ob_net *previous)
{
	uint64_t after = previous != NULL ? previous->order : 0;
	struct ob_net *found = NULL;

	ob_lock(&ob->lock);
	list_for_each (node, &ob->nets) {
		struct ob_net *net = list_entry(node, struct ob_net, link);

		if (net->order > after) {
			found = ob_net_get(net);
			break;
		}
	}
	ob_unlock(&ob->lock);
	ob_net_put(previous);
	return found;
}

static struct ob_net *find_locked(struct ob *ob, const char *name)
{
	list_for_each (node, &ob->nets) {
		struct ob_net *net = list_entry(node, struct ob_net, link);

		if (strcmp(net->name, name) == 0)
			return net;
	}
	return NULL;
}

static struct ob_net *first_choice_locked(struct ob *ob)
{
	struct ob_net *first = NULL;

	list_for_each (node, &ob->nets) {
		struct ob_net *net = list_entry(node, struct ob_net, link);

		if (ob_device_is_paravirtual(net->dev))
			return net;
		if (first == NULL)
			first = net;
	}
	return first;
}

struct ob_net *ob_net_find(struct ob *ob, const char *name)
{
	struct ob_net *found;

	ob_lock(&ob->lock);
	found = ob_net_get(name != NULL ? find_locked(ob, name) : first_choice_locked(ob));
	ob_unlock(&ob->lock);
	return found;
}

/* ---- reading ---- */

const char *ob_net_name(const struct ob_net *net)
{
	return net->name;
}

struct ob_device *ob_net_device(const struct ob_net *net)
{
	return net->dev;
}

bool ob_net_online(const struct ob_net *net)
{
	return net_online(net);
}

/* Reading locks, too. */
static struct ob_lock *lock_of(const struct ob_net *net)
{
	return (struct ob_lock *)(uintptr_t)&net->lock;
}

void ob_net_info(const struct ob_net *net, struct ob_net_info *out)
{
	ob_lock(lock_of(net));
	*out = net->info;
	ob_unlock(lock_of(net));
}

void ob_net_link(const struct ob_net *net, struct ob_net_link *out)
{
	ob_lock(lock_of(net));
	*out = net->now;
	ob_unlock(lock_of(net));
}

void ob_net_get_filter(const struct ob_net *net, struct ob_net_filter *out)
{
	ob_lock(lock_of(net));
	*out = net->filter;
	ob_unlock(lock_of(net));
}

int ob_net_get_rss(const struct ob_net *net, struct ob_net_rss *out)
{
	if ((net->info.abilities & OB_NET_CAN_RSS) == 0)
		return -EOPNOTSUPP;
	ob_lock(lock_of(net));
	*out = net->rss;
	ob_unlock(lock_of(net));
	return 0;
}

/* ---- being told ---- */

static void watch_work(struct ob_work *work)
{
	struct ob_net_watch *watch = container_of(work, struct ob_net_watch, work);
	unsigned events = __atomic_exchange_n(&watch->events, 0, __ATOMIC_ACQ_REL);

	if (events != 0)
		watch->fn(watch, events);
}

/* Under net->lock, so that a watch is not taken away meanwhile. */
static void watch_tell(struct ob_net_watch *watch, unsigned events)
{
	__atomic_fetch_or(&watch->events, events, __ATOMIC_ACQ_REL);
	ob_cpu_post(watch->cpu, &watch->work);
}

void ob_net_event(struct ob_net *net, unsigned events)
{
	ob_lock(&net->lock);
	for (struct ob_net_watch *watch = net->watches; watch != NULL; watch = watch->next)
		watch_tell(watch, events);
	ob_unlock(&net->lock);
}

void ob_net_watch(struct ob_net *net, struct ob_cpu *cpu, struct ob_net_watch *watch)
{
	ob_work_init(&watch->work, watch_work);
	watch->cpu = cpu;
	watch->net = ob_net_get(net);
	watch->events = 0;
	ob_lock(&net->lock);
	watch->next = net->watches;
	net->watches = watch;
	if (!net_online(net))
		watch_tell(watch, OB_NET_EVENT_GONE);
	ob_unlock(&net->lock);
}

static void nothing(void *arg)
{
	(void)arg;
}

void ob_net_unwatch(struct ob_net_watch *watch)
{
	struct ob_net *net = watch->net;

	if (net == NULL)
		return;
	ob_lock(&net->lock);
	for (struct ob_net_watch **link = &net->watches; *link != NULL; link = &(*link)->next) {
		if (*link == watch) {
			*link = watch->next;
			break;
		}
	}
	ob_unlock(&net->lock);
	/* What was posted before this call has run when the call has. On the CPU itself a yield is such a call. */
	while (__atomic_load_n(&watch->work.pending, __ATOMIC_ACQUIRE) && ob_cpu_current() == watch->cpu)
		ob_task_yield();
	if (ob_cpu_current() != watch->cpu)
		while (ob_cpu_call(watch->cpu, nothing, NULL, ob_deadline(NET_CALL_NS)) != 0 &&
		       __atomic_load_n(&watch->work.pending, __ATOMIC_ACQUIRE))
			ob_err(ob_cpu_context(watch->cpu), "%s: CPU %u does not answer, and is still to be told of it",
			       net->name, ob_cpu_index(watch->cpu));
	watch->net = NULL;
	ob_net_put(net);
}

/* ---- publishing ---- */

static bool ops_are_complete(const struct ob_net_ops *ops)
{
	return ops != NULL && ops->channel_open != NULL && ops->channel_close != NULL && ops->receive != NULL &&
	       ops->send != NULL && ops->kick != NULL && ops->reap != NULL && ops->ready != NULL &&
	       (ops->arm == NULL) == (ops->disarm == NULL);
}

static bool info_makes_sense(const struct ob_net_info *info)
{
	return (info->mac[0] & ETHERNET_GROUP) == 0 && info->mtu_min >= ETHERNET_MTU_MIN &&
	       info->mtu_min <= info->mtu && info->mtu <= info->mtu_max && info->channels_max >= 1 &&
	       info->channels_max <= OB_NET_CHANNELS_MAX && info->rx_depth_max > 0 && info->tx_depth_max > 0 &&
	       info->segments_max > 0 && info->rss_table_max <= OB_NET_RSS_TABLE_MAX &&
	       info->rss_key_bytes <= OB_NET_RSS_KEY_MAX && (info->offloads_on & ~info->offloads) == 0;
}

static struct ob_net *net_create(struct ob_device *dev, const struct ob_net_publish *publish)
{
	struct ob *ob = ob_device_context(dev);
	struct ob_net *net = hooks_fail(ob, "net_create") ? NULL : ob_alloc(sizeof(*net));

	if (net == NULL)
		return NULL;
	net->ob = ob;
	net->dev = ob_device_get(dev);
	net->refs = 1;
	net->ops = publish->ops;
	net->driver_data = publish->driver_data;
	net->info = publish->info;
	net->now = publish->link;
	ob_mutex_init(&net->mutex, "net");
	ob_lock_init(&net->lock, "net");
	list_init(&net->link);
	list_init(&net->channels);
	return net;
}

/* The time makes the order ascend even past interfaces that left the list. */
static uint64_t order_after_last(const struct ob *ob)
{
	uint64_t order = ob_now_ns();

	if (!list_empty(&ob->nets))
		order = MAX(order, list_entry(ob->nets.prev, struct ob_net, link)->order + 1);
	return MAX(order, 1u);
}

int ob_net_publish(struct ob_device *dev, const struct ob_net_publish *publish, struct ob_net **out)
{
	struct ob *ob = ob_device_context(dev);
	const uint8_t *mac = publish->info.mac;
	unsigned number = 0;
	struct ob_net *net;

	if (!ops_are_complete(publish->ops) || !info_makes_sense(&publish->info)) {
		ob_err(ob, "%s: what the driver says of the network interface makes no sense", ob_device_name(dev));
		return -EINVAL;
	}
	net = net_create(dev, publish);
	if (net == NULL)
		return -ENOMEM;
	ob_lock(&ob->lock);
	do {
		snprintf(net->name, sizeof(net->name), "net%u", number++);
	} while (find_locked(ob, net->name) != NULL);
	net->order = order_after_last(ob);
	net->online = true;
	list_add_tail(&ob->nets, &net->link);
	ob_unlock(&ob->lock);
	ob_info(ob, "%s: network interface %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, link %s", ob_device_name(dev),
		net->name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], publish->info.mtu,
		publish->link.up ? "up" : "down");
	*out = net;
	return 0;
}

static struct net_channel *first_channel(struct ob_net *net)
{
	struct net_channel *c = NULL;

	ob_lock(&net->lock);
	if (!list_empty(&net->channels))
		c = list_entry(net->channels.next, struct net_channel, link);
	ob_unlock(&net->lock);
	return c;
}

void ob_net_unpublish(struct ob_net *net)
{
	struct ob *ob;
	struct net_channel *c;

	if (net == NULL)
		return;
	ob = net->ob;
	ob_lock(&net->lock);
	__atomic_store_n(&net->online, false, __ATOMIC_RELEASE);
	net->now.up = false;
	ob_unlock(&net->lock);
	ob_lock(&ob->lock);
	list_del(&net->link);
	ob_unlock(&ob->lock);
	net_mutex_lock(net);
	/* Each detach takes its channel out of the list. */
	while ((c = first_channel(net)) != NULL)
		net_channel_detach(c);
	ob_mutex_unlock(&net->mutex);
	ob_net_event(net, OB_NET_EVENT_GONE);
	ob_info(ob, "%s: network interface %s is gone", ob_device_name(net->dev), net->name);
	ob_net_put(net);
}

/* ---- for drivers ---- */

void *ob_net_driver_data(const struct ob_net *net)
{
	return net->driver_data;
}

void ob_net_set_link(struct ob_net *net, const struct ob_net_link *link)
{
	bool news;

	ob_lock(&net->lock);
	news = net->now.up != link->up || net->now.speed_mbps != link->speed_mbps ||
	       net->now.full_duplex != link->full_duplex;
	net->now = *link;
	ob_unlock(&net->lock);
	if (!news)
		return;
	ob_info(net->ob, "%s: link %s", net->name, link->up ? "up" : "down");
	ob_net_event(net, OB_NET_EVENT_LINK);
}

struct ob_net_stats *ob_net_counters(struct ob_net *net)
{
	return &net->counters;
}

void ob_net_set_room(struct ob_net *net, uint32_t room_min)
{
	ob_lock(&net->lock);
	net->info.room_min = room_min;
	ob_unlock(&net->lock);
}

unsigned ob_net_vlans(const struct ob_net *net, const uint64_t **bits)
{
	*bits = net->vlans;
	return net->vlan_count;
}

void ob_net_made_mac(const struct ob_device *dev, uint8_t mac[6])
{
	const char *text[] = {ob_machine_uri(ob_device_machine(dev)), "|", ob_device_name(dev)};
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */

	for (size_t i = 0; i < ARRAY_SIZE(text); i++)
		for (const char *c = text[i]; *c != '\0'; c++)
			hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
	for (unsigned i = 0; i < ETHERNET_ADDRESS_BYTES; i++)
		mac[i] = (uint8_t)(hash >> 8 * i);
	mac[0] = (uint8_t)((mac[0] & ~ETHERNET_GROUP) | ETHERNET_LOCAL);
}
