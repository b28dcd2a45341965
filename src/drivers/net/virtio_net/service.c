/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's own task on CPU 0: resets that queues ask for, changes of the configuration, and a look now and then. */
#include <errno.h>

#include "drivers/net/virtio_net/virtio_net.h"

#define LOOK_NS   (60 * OB_NS_PER_S)
#define NO_IRQ_NS (500 * OB_NS_PER_MS) /* for the link, where changes do not interrupt */

static void count_on_cpu(void *arg)
{
	struct vnet_pair *p = arg;

	p->frames = p->channel->stats.rx_frames + p->channel->stats.tx_frames;
}

/* Frames of all pairs, both ways. */
static bool has_progressed(struct vnet *v)
{
	bool progress = false;

	list_for_each (node, &v->pairs) {
		struct vnet_pair *p = list_entry(node, struct vnet_pair, link);

		p->silent = false;
		vnet_call(p, count_on_cpu);
		progress |= p->frames != p->frames_seen;
		p->frames_seen = p->frames;
	}
	return progress;
}

static void reset(struct vnet *v)
{
	if (has_progressed(v) || ob_now_ns() - v->reset_ns > VNET_RESET_MEMORY_NS)
		v->resets_in_a_row = 0;
	v->reset_ns = ob_now_ns();
	if (++v->resets_in_a_row > VNET_RESETS_MAX) {
		vnet_die(v, "one reset after the other, and not a frame between them");
		return;
	}
	if (vnet_remake(v) != 0)
		return;
	ob_net_counters(v->net)->resets++;
	ob_info(v->ob, "%s: reset, and works again", v->name);
	ob_net_event(v->net, OB_NET_EVENT_RESET);
}

static void look_at_config(struct vnet *v)
{
	if (ob_virtio_needs_reset(v->dev)) {
		ob_warn(v->ob, "%s: the device asks for a reset", v->name);
		reset(v);
	}
	if (v->state == VNET_LIVE && vnet_link_read(v)) {
		ob_net_event(v->net, OB_NET_EVENT_ANNOUNCE);
		vnet_control_announced(v);
	}
}

static void service(void *arg)
{
	struct vnet *v = arg;

	while (!v->stopping) {
		int ret = ob_event_wait(&v->service_event, ob_deadline(v->irqs ? LOOK_NS : NO_IRQ_NS));
		uint32_t todo = __atomic_exchange_n(&v->pending, 0, __ATOMIC_ACQ_REL);
		int locked = v->stopping ? -ENODEV : vnet_lock(v);

		/* Somebody has it for long: the wish stands. */
		if (locked == -ETIMEDOUT && todo != 0)
			vnet_want(v, todo);
		if (locked != 0)
			continue;
		if (v->state == VNET_LIVE && (todo & VNET_TODO_RESET) != 0)
			reset(v);
		if (v->state == VNET_LIVE && (ret != 0 || (todo & VNET_TODO_CONFIG) != 0))
			look_at_config(v);
		vnet_unlock(v);
	}
}

int vnet_service_start(struct vnet *v)
{
	return ob_task_spawn(ob_device_cpu(v->dev), "virtio-net-service", service, v, &v->service);
}

void vnet_service_stop(struct vnet *v)
{
	if (v->service == NULL)
		return;
	v->stopping = true;
	ob_event_signal(&v->service_event);
	/* All that it waits for has a deadline. */
	while (ob_task_join(v->service, ob_deadline(VNET_LOCK_NS)) != 0)
		ob_warn(v->ob, "%s: still waiting for the service task", v->name);
	v->service = NULL;
}
