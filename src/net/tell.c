/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling an interface's device something: the values are checked here, kept here, and handed to the driver by a task of
 * CPU 0. A driver that makes its device anew reads them again, so they are in place before it is told, and taken back when
 * it says no.
 */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "net/net.h"
#include "spec/ethernet.h"

static int run(struct net_call *call)
{
	bool goes_on;

	return net_call_run(call, &goes_on);
}

/* A call to tell @net something, or why not. */
static int call_new(struct ob_net *net, int (*fn)(struct net_call *call), struct net_call **out)
{
	if (!net_online(net))
		return -ENODEV;
	*out = net_call_new(net, fn);
	return *out != NULL ? 0 : -ENOMEM;
}

/* ---- filters ---- */

static bool filter_makes_sense(const struct ob_net_filter *filter)
{
	if (filter->unicast_count > OB_NET_FILTER_MAX || filter->multicast_count > OB_NET_FILTER_MAX)
		return false;
	for (unsigned i = 0; i < filter->unicast_count; i++)
		if ((filter->unicast[i][0] & ETHERNET_GROUP) != 0)
			return false;
	for (unsigned i = 0; i < filter->multicast_count; i++)
		if ((filter->multicast[i][0] & ETHERNET_GROUP) == 0)
			return false;
	return true;
}

static void keep_filter(struct ob_net *net, const struct ob_net_filter *filter)
{
	ob_lock(&net->lock);
	net->filter = *filter;
	ob_unlock(&net->lock);
}

static int set_filter(struct net_call *call)
{
	struct ob_net *net = call->net;
	struct ob_net_filter old = net->filter;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	keep_filter(net, &call->filter);
	ret = net->ops->set_filter != NULL ? net->ops->set_filter(net, &call->filter) : 0;
	if (ret != 0)
		keep_filter(net, &old);
	return ret;
}

int ob_net_set_filter(struct ob_net *net, const struct ob_net_filter *filter)
{
	struct net_call *call;
	int ret;

	if (!filter_makes_sense(filter))
		return -EINVAL;
	ret = call_new(net, set_filter, &call);
	if (ret != 0)
		return ret;
	call->filter = *filter;
	return run(call);
}

static void flip_vlan(struct ob_net *net, unsigned vid, bool on)
{
	net->vlans[vid / 64] ^= BIT64(vid % 64);
	net->vlan_count += on ? 1u : ~0u;
}

static int set_vlan(struct net_call *call)
{
	struct ob_net *net = call->net;
	unsigned vid = call->vlan.vid;
	bool on = call->vlan.on;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	if (((net->vlans[vid / 64] & BIT64(vid % 64)) != 0) == on)
		return 0;
	flip_vlan(net, vid, on);
	ret = net->ops->set_vlan(net, vid, on);
	if (ret != 0)
		flip_vlan(net, vid, !on);
	return ret;
}

int ob_net_set_vlan(struct ob_net *net, unsigned vid, bool on)
{
	struct net_call *call;
	int ret;

	if (vid > VLAN_VID_MAX)
		return -EINVAL;
	if (net->ops->set_vlan == NULL || (net->info.abilities & OB_NET_CAN_VLAN_FILTER) == 0)
		return -EOPNOTSUPP;
	ret = call_new(net, set_vlan, &call);
	if (ret != 0)
		return ret;
	call->vlan.vid = vid;
	call->vlan.on = on;
	return run(call);
}

/* ---- address, MTU, offloads ---- */

static void keep_mac(struct ob_net *net, const uint8_t mac[6])
{
	ob_lock(&net->lock);
	memcpy(net->info.mac, mac, ETHERNET_ADDRESS_BYTES);
	ob_unlock(&net->lock);
}

static int set_mac(struct net_call *call)
{
	struct ob_net *net = call->net;
	uint8_t old[ETHERNET_ADDRESS_BYTES];
	int ret;

	if (!net_online(net))
		return -ENODEV;
	memcpy(old, net->info.mac, sizeof(old));
	keep_mac(net, call->mac);
	ret = net->ops->set_mac(net, call->mac);
	if (ret != 0)
		keep_mac(net, old);
	return ret;
}

int ob_net_set_mac(struct ob_net *net, const uint8_t mac[6])
{
	static const uint8_t none[ETHERNET_ADDRESS_BYTES];
	struct net_call *call;
	int ret;

	if ((mac[0] & ETHERNET_GROUP) != 0 || memcmp(mac, none, sizeof(none)) == 0)
		return -EINVAL;
	if (net->ops->set_mac == NULL || (net->info.abilities & OB_NET_CAN_SET_MAC) == 0)
		return -EOPNOTSUPP;
	ret = call_new(net, set_mac, &call);
	if (ret != 0)
		return ret;
	memcpy(call->mac, mac, ETHERNET_ADDRESS_BYTES);
	return run(call);
}

static void keep_mtu(struct ob_net *net, unsigned mtu)
{
	ob_lock(&net->lock);
	net->info.mtu = (uint16_t)mtu;
	ob_unlock(&net->lock);
}

static int set_mtu(struct net_call *call)
{
	struct ob_net *net = call->net;
	unsigned old = net->info.mtu;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	keep_mtu(net, call->mtu);
	ret = net->ops->set_mtu(net, call->mtu);
	if (ret != 0)
		keep_mtu(net, old);
	return ret;
}

int ob_net_set_mtu(struct ob_net *net, unsigned mtu)
{
	struct net_call *call;
	int ret;

	if (mtu < net->info.mtu_min || mtu > net->info.mtu_max)
		return -EINVAL;
	if (net->ops->set_mtu == NULL)
		return -EOPNOTSUPP;
	ret = call_new(net, set_mtu, &call);
	if (ret != 0)
		return ret;
	call->mtu = mtu;
	return run(call);
}

static void keep_offloads(struct ob_net *net, uint32_t on)
{
	ob_lock(&net->lock);
	net->info.offloads_on = on;
	ob_unlock(&net->lock);
}

static int set_offloads(struct net_call *call)
{
	struct ob_net *net = call->net;
	uint32_t old = net->info.offloads_on;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	keep_offloads(net, call->offloads);
	ret = net->ops->set_offloads(net, call->offloads);
	if (ret != 0)
		keep_offloads(net, old);
	return ret;
}

int ob_net_set_offloads(struct ob_net *net, uint32_t offloads)
{
	struct net_call *call;
	int ret;

	if (net->ops->set_offloads == NULL || (offloads & ~net->info.offloads) != 0)
		return -EOPNOTSUPP;
	ret = call_new(net, set_offloads, &call);
	if (ret != 0)
		return ret;
	call->offloads = offloads;
	return run(call);
}

/* ---- RSS ---- */

static int rss_judge(const struct ob_net *net, const struct ob_net_rss *rss)
{
	const struct ob_net_info *info = &net->info;

	if (rss->key_bytes == 0 || rss->key_bytes > info->rss_key_bytes || !IS_POWER_OF_2(rss->table_count) ||
	    rss->table_count > info->rss_table_max || rss->unclassified >= info->channels_max)
		return -EINVAL;
	for (unsigned i = 0; i < rss->table_count; i++)
		if (rss->table[i] >= info->channels_max)
			return -EINVAL;
	return (rss->types & ~info->rss_types) != 0 ? -EOPNOTSUPP : 0;
}

static void keep_rss(struct ob_net *net, const struct ob_net_rss *rss)
{
	ob_lock(&net->lock);
	net->rss = *rss;
	ob_unlock(&net->lock);
}

static int set_rss(struct net_call *call)
{
	struct ob_net *net = call->net;
	struct ob_net_rss old = net->rss;
	int ret;

	if (!net_online(net))
		return -ENODEV;
	keep_rss(net, &call->rss);
	ret = net->ops->set_rss(net, &call->rss);
	if (ret != 0)
		keep_rss(net, &old);
	return ret;
}

int ob_net_set_rss(struct ob_net *net, const struct ob_net_rss *rss)
{
	struct net_call *call;
	int ret;

	if (net->ops->set_rss == NULL || (net->info.abilities & OB_NET_CAN_RSS) == 0)
		return -EOPNOTSUPP;
	ret = rss_judge(net, rss);
	if (ret == 0)
		ret = call_new(net, set_rss, &call);
	if (ret != 0)
		return ret;
	call->rss = *rss;
	return run(call);
}

/* ---- pools ---- */

int ob_net_grant_pool(struct ob_net *net, struct ob_packet_pool *pool)
{
	if (!net_online(net))
		return -ENODEV;
	return ob_window_grant(pool->window, net->dev, OB_DMA_BOTH);
}
