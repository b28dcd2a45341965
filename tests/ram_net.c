/* SPDX-License-Identifier: BSD-2-Clause */
/* Interfaces in memory. */
#include "tests/ram_net.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "core/cpu.h"
#include "tests/ram_machine.h"

static pthread_mutex_t wire = PTHREAD_MUTEX_INITIALIZER;

/* ---- the wire ---- */

static bool is_ready(const struct ram_net_channel *q, unsigned what)
{
	return ((what & OB_NET_WAIT_RECEIVE) != 0 && q->head != q->tail) ||
	       ((what & (OB_NET_WAIT_SEND | OB_NET_WAIT_SENT)) != 0 && q->done_count > 0);
}

/* Under the lock. */
static void interrupt_if_armed(struct ram_net_channel *q)
{
	if (!q->armed || !is_ready(q, q->armed_for))
		return;
	q->armed = false;
	ob_cpu_post(q->channel->cpu, &q->interrupt);
}

static void interrupt_work(struct ob_work *work)
{
	ob_net_interrupt(container_of(work, struct ram_net_channel, interrupt)->channel);
}

static void deliver(struct ram_net *to, struct ram_frame *frame)
{
	struct ram_net_channel *q = NULL;

	if (to->channel_count > 0)
		q = to->channels[frame->bytes[5] % to->channel_count];
	if (q == NULL || q->tail - q->head == RAM_NET_FIFO) {
		to->missed++;
		free(frame);
		return;
	}
	q->fifo[q->tail++ % RAM_NET_FIFO] = frame;
	interrupt_if_armed(q);
}

/* ---- the I/O path ---- */

static unsigned ram_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max)
{
	struct ram_net_channel *q = channel->driver_data;
	unsigned count = 0;

	pthread_mutex_lock(&wire);
	while (count < max && q->head != q->tail) {
		struct ram_frame *frame = q->fifo[q->head % RAM_NET_FIFO];
		struct ob_packet *packet = ob_packet_from(channel->pool, frame->bytes, frame->len_bytes);

		if (packet == NULL) {
			channel->stats.rx_no_packets++;
			break;
		}
		q->head++;
		channel->stats.rx_frames++;
		channel->stats.rx_bytes += frame->len_bytes;
		frames[count++] = packet;
		free(frame);
	}
	pthread_mutex_unlock(&wire);
	return count;
}

static bool is_fit(const struct ob_net_channel *channel, const struct ob_packet *frame)
{
	if (frame->frame_bytes > RAM_NET_FRAME)
		return false;
	for (const struct ob_packet *p = frame; p != NULL; p = p->next)
		if (p->pool->window->grant[channel->dma_index].rights == 0)
			return false;
	return true;
}

static unsigned ram_reap(struct ob_net_channel *channel)
{
	struct ram_net_channel *q = channel->driver_data;
	unsigned count = q->done_count;

	for (unsigned i = 0; i < count; i++) {
		if (ob_packet_pool_cpu(q->sent[i]->pool) == channel->cpu)
			ob_packet_put(q->sent[i]);
		else
			ob_packet_put_any(q->sent[i]);
	}
	memmove(q->sent, q->sent + count, (q->sent_count - count) * sizeof(*q->sent));
	q->sent_count -= count;
	q->done_count = 0;
	return count;
}

static unsigned ram_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	struct ram_net_channel *q = channel->driver_data;
	unsigned taken = 0;

	ram_reap(channel);
	for (; taken < count && q->sent_count < channel->tx_depth; taken++) {
		struct ob_packet *frame = frames[taken];

		if (!is_fit(channel, frame) || (frame->flags != 0 && ob_net_soft(channel, frame, q->ram->can) != 0)) {
			channel->stats.tx_refused++;
			ob_packet_put(frame);
			continue;
		}
		q->sent[q->sent_count++] = frame;
		channel->stats.tx_frames++;
		channel->stats.tx_bytes += frame->frame_bytes;
	}
	return taken;
}

static void ram_kick(struct ob_net_channel *channel)
{
	struct ram_net_channel *q = channel->driver_data;

	channel->stats.kicks++;
	if (q->ram->stuck)
		return;
	pthread_mutex_lock(&wire);
	for (; q->done_count < q->sent_count; q->done_count++) {
		const struct ob_packet *packet = q->sent[q->done_count];
		struct ram_frame *frame = malloc(sizeof(*frame));

		frame->len_bytes = packet->frame_bytes;
		ob_packet_read(packet, 0, frame->bytes, frame->len_bytes);
		deliver(q->ram->peer, frame);
	}
	interrupt_if_armed(q);
	pthread_mutex_unlock(&wire);
}

static unsigned ram_ready(struct ob_net_channel *channel)
{
	struct ram_net_channel *q = channel->driver_data;
	unsigned ready = 0;

	pthread_mutex_lock(&wire);
	if (q->head != q->tail)
		ready |= OB_NET_WAIT_RECEIVE;
	pthread_mutex_unlock(&wire);
	if (q->sent_count - q->done_count < channel->tx_depth)
		ready |= OB_NET_WAIT_SEND;
	if (q->sent_count == q->done_count)
		ready |= OB_NET_WAIT_SENT;
	return ready;
}

static bool ram_arm(struct ob_net_channel *channel, unsigned what)
{
	struct ram_net_channel *q = channel->driver_data;
	bool ready;

	pthread_mutex_lock(&wire);
	ready = is_ready(q, what);
	q->armed = !ready;
	q->armed_for = what;
	pthread_mutex_unlock(&wire);
	return ready;
}

static void ram_disarm(struct ob_net_channel *channel)
{
	struct ram_net_channel *q = channel->driver_data;

	pthread_mutex_lock(&wire);
	q->armed = false;
	pthread_mutex_unlock(&wire);
}

/* ---- channels ---- */

static void open_gate(void *arg)
{
	ob_net_channel_gate(arg, true);
}

static int ram_channel_open(struct ob_net *net, struct ob_net_channel *channel)
{
	struct ram_net *ram = ob_net_driver_data(net);
	struct ram_net_channel *q;
	int ret;

	if (ram->channel_count == RAM_NET_CHANNELS)
		return -ENOSPC;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->ram = ram;
	q->channel = channel;
	q->sent = calloc(channel->tx_depth, sizeof(struct ob_packet *));
	ob_work_init(&q->interrupt, interrupt_work);
	channel->driver_data = q;
	ret = ob_cpu_call(channel->cpu, open_gate, channel, ob_deadline(OB_NS_PER_S));
	if (ret != 0) {
		free(q->sent);
		free(q);
		return ret;
	}
	pthread_mutex_lock(&wire);
	channel->index = ram->channel_count;
	ram->channels[ram->channel_count++] = q;
	pthread_mutex_unlock(&wire);
	return 0;
}

static void give_back(void *arg)
{
	struct ram_net_channel *q = arg;

	q->channel->stats.tx_dropped += q->sent_count - q->done_count;
	q->done_count = q->sent_count;
	ram_reap(q->channel);
}

static void ram_channel_close(struct ob_net_channel *channel)
{
	struct ram_net_channel *q = channel->driver_data;
	struct ram_net *ram = q->ram;

	pthread_mutex_lock(&wire);
	ram->channels[channel->index] = ram->channels[--ram->channel_count];
	ram->channels[channel->index]->channel->index = channel->index;
	pthread_mutex_unlock(&wire);
	/* The work that was posted runs before a call does, and on this CPU before the task goes on. */
	while (ob_cpu_current() == channel->cpu && __atomic_load_n(&q->interrupt.pending, __ATOMIC_ACQUIRE))
		ob_task_yield();
	if (ob_cpu_call(channel->cpu, give_back, q, ob_deadline(OB_NS_PER_S)) != 0)
		give_back(q);
	while (q->head != q->tail)
		free(q->fifo[q->head++ % RAM_NET_FIFO]);
	free(q->sent);
	free(q);
}

/* ---- what it is told ---- */

static int answer(struct ob_net *net)
{
	struct ram_net *ram = ob_net_driver_data(net);

	ram->told++;
	return ram->answer;
}

static int ram_set_filter(struct ob_net *net, const struct ob_net_filter *filter)
{
	return answer(net);
}

static int ram_set_vlan(struct ob_net *net, unsigned vid, bool on)
{
	return answer(net);
}

static int ram_set_mac(struct ob_net *net, const uint8_t mac[6])
{
	return answer(net);
}

static int ram_set_mtu(struct ob_net *net, unsigned mtu)
{
	return answer(net);
}

static int ram_set_offloads(struct ob_net *net, uint32_t offloads)
{
	((struct ram_net *)ob_net_driver_data(net))->offloads = offloads;
	return answer(net);
}

static int ram_set_rss(struct ob_net *net, const struct ob_net_rss *rss)
{
	return answer(net);
}

static const struct ob_net_ops ram_ops = {
	.channel_open = ram_channel_open,
	.channel_close = ram_channel_close,
	.receive = ram_receive,
	.send = ram_send,
	.kick = ram_kick,
	.reap = ram_reap,
	.ready = ram_ready,
	.arm = ram_arm,
	.disarm = ram_disarm,
	.set_filter = ram_set_filter,
	.set_vlan = ram_set_vlan,
	.set_mac = ram_set_mac,
	.set_mtu = ram_set_mtu,
	.set_offloads = ram_set_offloads,
	.set_rss = ram_set_rss,
};

/* ---- the driver ---- */

static int ram_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ram_net *ram = ram_device_arg(dev);
	struct ob_net_publish publish = {
		.info = {.mtu = 1500,
			 .mtu_min = 68,
			 .mtu_max = 9000,
			 .offloads = OB_NET_RX_CSUM,
			 .abilities = OB_NET_CAN_FILTER | OB_NET_CAN_VLAN_FILTER | OB_NET_CAN_SET_MAC | OB_NET_CAN_RSS,
			 .channels_max = RAM_NET_CHANNELS,
			 .rx_depth_max = 256,
			 .tx_depth_max = 256,
			 .segments_max = 64,
			 .rss_table_max = 128,
			 .rss_key_bytes = 40,
			 .rss_types = 1u << OB_HASH_IP4 | 1u << OB_HASH_TCP4},
		.link = {.up = true},
		.ops = &ram_ops,
		.driver_data = ram,
	};

	ob_net_made_mac(dev, publish.info.mac);
	memcpy(publish.info.permanent_mac, publish.info.mac, sizeof(publish.info.mac));
	ob_device_set_driver_data(dev, ram);
	return ob_net_publish(dev, &publish, &ram->net);
}

static void ram_remove(struct ob_device *dev)
{
	struct ram_net *ram = ob_device_driver_data(dev);

	ob_net_unpublish(ram->net);
	ob_device_set_driver_data(dev, NULL);
}

static const struct ob_match ram_match[] = {
	{.kind = OB_MATCH_DT, .compatible = RAM_COMPATIBLE},
	OB_MATCH_LAST,
};

static const struct ob_driver ram_driver = {
	.name = "ram-net", .match = ram_match, .probe = ram_probe, .remove = ram_remove};

int ram_net_create(struct ob_machine *machine, struct ram_net **out)
{
	static unsigned number;
	struct ram_net *ram = calloc(1, sizeof(*ram));
	char name[16];
	int ret;

	if (ram == NULL)
		return -ENOMEM;
	ram->peer = ram;
	ret = ob_driver_register(ob_machine_context(machine), &ram_driver);
	snprintf(name, sizeof(name), "wire%u", number++);
	if (ret == 0 || ret == -EEXIST)
		ret = ram_machine_add(machine, name, ram, &ram->dev);
	if (ret != 0) {
		free(ram);
		return ret;
	}
	*out = ram;
	return 0;
}

void ram_net_destroy(struct ram_net *ram)
{
	ram_machine_remove(ram->dev);
	free(ram);
}

void ram_net_connect(struct ram_net *a, struct ram_net *b)
{
	a->peer = b;
	b->peer = a;
}
