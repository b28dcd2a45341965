/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's functions: probe, remove, suspend, resume. Registers are in BAR 0, the device is found by its id. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/hooks.h"
#include "drivers/net/e1000e/e1000e.h"

static int publish(struct e1000e *e)
{
	struct ob_net_publish publish = {
		.info = {.made_up_mac = e->made_up_mac,
			 .mtu = ETHERNET_MTU,
			 .mtu_min = ETHERNET_MTU_MIN,
			 .mtu_max = E1000E_MTU_MAX,
			 .abilities = OB_NET_CAN_FILTER | OB_NET_CAN_PROMISCUOUS | OB_NET_CAN_VLAN_FILTER |
				      OB_NET_CAN_SET_MAC | OB_NET_CAN_LINK,
			 .channels_max = 1,
			 .rx_depth_max = E1000E_DEPTH_MAX,
			 .tx_depth_max = E1000E_DEPTH_MAX,
			 .segments_max = E1000E_PARTS_MAX,
			 .room_min = E1000E_ROOM_MIN},
		.ops = &e1000e_ops,
		.driver_data = e,
	};
	int ret;

	memcpy(publish.info.mac, e->mac, sizeof(e->mac));
	memcpy(publish.info.permanent_mac, e->mac, sizeof(e->mac));
	e1000e_hw_link(e, &publish.link);
	ret = ob_net_publish(e->dev, &publish, &e->net);
	if (ret == 0)
		snprintf(e->name, sizeof(e->name), "%s", ob_net_name(e->net));
	return ret;
}

static int start(struct e1000e *e)
{
	int ret;

	ret = ob_device_region(e->dev, E1000E_PCI_BAR, &e->regs);
	if (ret != 0)
		return ret;
	if (e->regs.len_bytes < E1000E_BAR_BYTES) {
		ob_err(e->ob, "%s: a register region of %llu bytes is too small", e->name,
		       (unsigned long long)e->regs.len_bytes);
		return -EIO;
	}
	ret = e1000e_irq_init(e);
	if (ret != 0)
		return ret;
	ret = e1000e_make(e);
	if (ret != 0)
		goto release;
	ret = publish(e);
	if (ret != 0)
		goto unmake;
	e->state = E1000E_LIVE;
	ret = e1000e_service_start(e);
	if (ret != 0)
		goto unpublish;
	return 0;

unpublish:
	/* Quiet first, and told to the interface while there is one. */
	e1000e_unmake(e);
	e->state = E1000E_REMOVING;
	ob_net_unpublish(e->net);
unmake:
	e1000e_unmake(e);
release:
	e1000e_irq_fini(e);
	return ret;
}

static int e1000e_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob *ob = ob_device_context(dev);
	struct e1000e *e = hooks_fail(ob, "e1000e_alloc") ? NULL : ob_alloc(sizeof(*e));
	int ret;

	if (e == NULL)
		return -ENOMEM;
	e->ob = ob;
	e->dev = dev;
	e->quiet = true; /* it is no bus master yet */
	snprintf(e->name, sizeof(e->name), "%s", ob_device_name(dev));
	ob_mutex_init(&e->lock, "e1000e");
	ob_event_init(&e->service_event, ob_device_cpu(dev));
	ob_device_set_driver_data(dev, e);
	ret = start(e);
	if (ret != 0) {
		ob_device_set_driver_data(dev, NULL);
		ob_free(e);
	}
	return ret;
}

/* Quiet first, so that the end of the channel needs no reset of its own. */
static void quiesce(struct e1000e *e)
{
	/* Whoever has the lock comes to an end: the device may be gone, and answers nothing. */
	e->ending = true;
	while (ob_mutex_lock(&e->lock, ob_deadline(E1000E_LOCK_NS)) != 0)
		ob_warn(e->ob, "%s: still waiting for its turn to be removed", e->name);
	e1000e_unmake(e);
	e->state = E1000E_REMOVING;
	ob_mutex_unlock(&e->lock);
}

static void e1000e_remove(struct ob_device *dev)
{
	struct e1000e *e = ob_device_driver_data(dev);

	quiesce(e);
	e1000e_service_stop(e);
	ob_net_unpublish(e->net);
	e1000e_irq_fini(e);
	ob_device_set_driver_data(dev, NULL);
	ob_free(e);
}

static void e1000e_shutdown(struct ob_device *dev)
{
	quiesce(ob_device_driver_data(dev));
}

static int e1000e_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	struct e1000e *e = ob_device_driver_data(dev);
	int ret = ob_mutex_lock(&e->lock, deadline_ns);

	if (ret != 0)
		return ret;
	if (e->state == E1000E_LIVE) {
		e1000e_unmake(e);
		e->state = E1000E_SUSPENDED;
	} else {
		ret = -ENODEV;
	}
	ob_mutex_unlock(&e->lock);
	return ret;
}

static int e1000e_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	struct e1000e *e = ob_device_driver_data(dev);
	int ret = ob_mutex_lock(&e->lock, deadline_ns);

	if (ret != 0)
		return -EAGAIN;
	ret = e->state == E1000E_SUSPENDED ? e1000e_remake(e) : -ENODEV;
	ob_mutex_unlock(&e->lock);
	return ret;
}

static const struct ob_match e1000e_match[] = {
	OB_PCI_ID(E1000E_PCI_VENDOR, E1000E_PCI_82574L),
	OB_MATCH_LAST,
};

const struct ob_driver e1000e_driver = {
	.name = "e1000e",
	.match = e1000e_match,
	.probe = e1000e_probe,
	.remove = e1000e_remove,
	.shutdown = e1000e_shutdown,
	.suspend = e1000e_suspend,
	.resume = e1000e_resume,
};
