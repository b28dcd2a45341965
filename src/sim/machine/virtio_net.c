/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio network device in the world's machine, with a plug in it that connects both directions: what it sends it
 * receives, on the same pair of queues, in order, once there are buffers.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/net/inbox.h"
#include "sim/fault/fault.h"
#include "sim/machine/virtio.h"
#include "sim/view/view.h"

#define INBOX_BYTES   65536u /* all that the scenarios send at once, when nobody receives */
#define NET_FRAME_MAX 600u

struct net_device {
	struct sim_virtio virtio; /* first */
	struct vnet_model *vnet;
	struct vnet_inbox inbox;
	bool fresh;
	uint64_t stalled_until_ns; /* it does nothing; NEVER: until it is reset */
};

static struct net_device *of(struct sim_device *dev)
{
	return dev->model;
}

/* ---- the wire ---- */

static void wire_send(void *arg, const struct vnet_frame *frame)
{
	struct net_device *d = of(arg);

	if (fault_strike(SIM_FAULT_FAIL) != NULL)
		return;
	if (!vnet_inbox_put(&d->inbox, frame) && W.fault_on == 0) {
		report_begin("frame-lost",
			     "a frame of %u bytes finds no room on the wire: the driver receives too little",
			     frame->len_bytes);
		report_end();
	}
	d->fresh = true;
}

static bool wire_peek(void *arg, struct vnet_frame *out)
{
	return vnet_inbox_peek(&of(arg)->inbox, out);
}

static void wire_next(void *arg)
{
	vnet_inbox_next(&of(arg)->inbox);
}

static const struct vnet_wire_ops wire = {
	.send = wire_send,
	.peek = wire_peek,
	.next = wire_next,
};

/* ---- what it says falsely ---- */

static bool garbles(void)
{
	if (fault_strike(SIM_FAULT_DATA) == NULL)
		return false;
	W.fault_excuses |= FAULT_EXCUSE_NOTES;
	return true;
}

/* Mostly what might be, and is not: nonsense in every field is soon found out. */
static void header_change(void *arg, unsigned pair, struct virtio_net_header_hash *header)
{
	static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP,
					VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 2};

	if (!garbles())
		return;
	switch (fault_draw(7)) {
	case 0:
		ob_le16_store(&header->header.num_buffers,
			      (uint16_t)(fault_draw(6) + fault_draw(2) * fault_draw(65536)));
		break;
	case 1:
	case 4:
	case 5:
		header->header.flags |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
		ob_le16_store(&header->header.csum_start, (uint16_t)fault_draw(fault_draw(2) == 0 ? 300 : 65536));
		ob_le16_store(&header->header.csum_offset, (uint16_t)fault_draw(fault_draw(2) == 0 ? 64 : 65536));
		break;
	case 2:
		header->header.flags |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header->header.gso_type = types[fault_draw(ARRAY_SIZE(types))];
		ob_le16_store(&header->header.gso_size, (uint16_t)(fault_draw(2) * fault_draw(2000)));
		ob_le16_store(&header->header.hdr_len, (uint16_t)fault_draw(65536));
		break;
	case 3:
		ob_le16_store(&header->hash_report, (uint16_t)fault_draw(16));
		ob_le32_store(&header->hash_value, (uint32_t)random_next(&W.random_fault));
		break;
	default:
		for (size_t i = 0; i < sizeof(*header); i++)
			((uint8_t *)header)[i] = (uint8_t)random_next(&W.random_fault);
	}
}

static void answer_change(void *arg, uint8_t *ack)
{
	if (fault_strike(SIM_FAULT_ADMIN_FAIL) != NULL)
		*ack = VIRTIO_NET_ERR;
	/* Few of them, or it never gets to frames. */
	if (garbles() && fault_draw(4) == 0)
		*ack = (uint8_t)random_next(&W.random_fault);
}

/* A device that only says that it is reset keeps queues of its last life that this one has none in the place of. */
static const struct sim_register registers[] = {
	{"device_status", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS, 1, true},
	SIM_VIRTIO_REGISTERS,
	{"mac", VIRTIO_MODEL_DEVICE, 6, false},
	{"status", VIRTIO_MODEL_DEVICE + offsetof(struct virtio_net_config, status), 2, false},
	{"max_virtqueue_pairs", VIRTIO_MODEL_DEVICE + offsetof(struct virtio_net_config, max_virtqueue_pairs), 2,
	 false},
	{"mtu", VIRTIO_MODEL_DEVICE + offsetof(struct virtio_net_config, mtu), 2, false},
	{.len_bytes = 0},
};

/* ---- a device that takes its time ---- */

static bool control_waits(const struct vnet_model *m)
{
	unsigned index = VIRTIO_NET_CONTROL(vnet_pairs_offered(m));

	return (m->virtio.pending[index / 64] & BIT64(index % 64)) != 0;
}

/* Nothing is done for a while, or ever: looked at whenever there is something to do. */
static bool stalls(struct sim_device *dev)
{
	struct net_device *d = of(dev);
	const struct fault_rule *r;
	bool control;

	if (d->stalled_until_ns > W.now_ns)
		return true;
	if (OB_LIKELY(W.fault_on == 0) || !virtio_model_works(&d->vnet->virtio))
		return false;
	control = control_waits(d->vnet);
	fault_count(FAULT_AT_COMMAND);
	fault_count(control ? FAULT_AT_ADMIN : FAULT_AT_IO);
	if (fault_strike(control ? SIM_FAULT_ADMIN_HANG : SIM_FAULT_HANG) != NULL) {
		d->stalled_until_ns = NEVER;
		return true;
	}
	r = fault_strike(control ? SIM_FAULT_ADMIN_SLOW : SIM_FAULT_SLOW);
	if (r == NULL)
		return false;
	d->stalled_until_ns = W.now_ns + fault_slowness_ns(r);
	dev->host.ops->schedule(&dev->host, d->stalled_until_ns);
	return true;
}

static void net_reset(struct sim_device *dev)
{
	of(dev)->stalled_until_ns = 0;
}

/* ---- the type ---- */

static int net_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	const struct vnet_model_hooks hooks = {.arg = dev, .header = header_change, .answer = answer_change};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct net_device *d = model_alloc(sizeof(*d));
	void *inbox = model_alloc(INBOX_BYTES);
	struct vnet_model_config c;
	int ret;

	if (d == NULL || inbox == NULL)
		return -ENOMEM;
	dev->model = d;
	vnet_inbox_init(&d->inbox, inbox, INBOX_BYTES);
	vnet_model_config_default(&c);
	memcpy(c.mac, mac, sizeof(c.mac));
	c.pairs = (uint16_t)MIN(W.config.queues, 4u);
	c.queue_size = 8;
	while (c.queue_size * 2u <= W.config.ring_entries)
		c.queue_size *= 2;
	c.msix_vectors = sim_msix_vectors(2u * c.pairs + 2);
	c.frame_max = NET_FRAME_MAX;
	c.ring_features = sim_ring_features();
	if (W.config.single_buffers)
		c.without |= BIT64(VIRTIO_NET_F_MRG_RXBUF);
	ret = vnet_model_create(&dev->host, &c, &wire, dev, &d->vnet);
	if (ret != 0)
		return ret;
	vnet_model_set_hooks(d->vnet, &hooks);
	d->virtio.reset = net_reset;
	return sim_virtio_function(dev, &d->vnet->virtio, bus, devfn);
}

static void net_destroy(struct sim_device *dev)
{
	vnet_model_destroy(of(dev)->vnet);
}

static bool net_run(struct sim_device *dev)
{
	struct net_device *d = of(dev);
	bool more;

	if (stalls(dev))
		return false;
	more = virtio_model_run(&d->vnet->virtio, 1);
	if (!d->fresh)
		return more;
	d->fresh = false;
	vnet_model_wake(d->vnet);
	return true;
}

/* It goes on. */
static void net_event(struct sim_device *dev)
{
	dev->host.ops->kick(&dev->host);
}

static const char *net_holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	return virtio_model_holds(&of(dev)->vnet->virtio, iova, len_bytes);
}

static void net_describe(struct sim_device *dev, char *text, size_t size)
{
	const struct vnet_model *m = of(dev)->vnet;

	snprintf(text, size, "status %#x, features %#llx; sent %llu, received %llu, on the wire %u", m->virtio.status,
		 (unsigned long long)m->virtio.accepted, (unsigned long long)m->stats.tx_frames,
		 (unsigned long long)m->stats.rx_frames, of(dev)->inbox.count);
}

/* Frames on the wire are what it has. */
static unsigned net_state(struct sim_device *dev)
{
	return virtio_model_state(&of(dev)->vnet->virtio, of(dev)->inbox.count);
}

const struct sim_device_type sim_virtio_net = {
	.name = "virtio-net",
	.help = "a virtio network device that has its own frames back",
	.create = net_create,
	.destroy = net_destroy,
	.run = net_run,
	.event = net_event,
	.holds = net_holds,
	.fail = sim_virtio_fail,
	.registers = registers,
	.describe = net_describe,
	.register_name = sim_virtio_register_name,
	.memory_name = sim_virtio_memory_name,
	.state = net_state,
	.state_name = virtio_model_state_name,
};
