/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio device of a vhost-user back-end: features, configuration, status. Queues are in queue.c.
 *
 * What the driver sees is not all that the back-end offers: what would need something from us that we do not do is left
 * out. While the back-end is away everything is answered from what is known, and told to the one that comes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_net.h"

/* ---- what it is ---- */

#define NET_F(name) BIT64(VIRTIO_NET_F_##name)
/* Bits of network devices that no disk has (VIRTIO 1.2 §5.1.3, §5.2.3). */
#define NET_ONLY (NET_F(CTRL_RX) | NET_F(CTRL_VLAN) | NET_F(GUEST_ANNOUNCE) | NET_F(MQ))
/*
 * What a network device does by its control queue, which a back-end does not serve, and what its driver reads from a
 * configuration that it may not have.
 */
#define NET_FRONTEND                                                                                         \
	(NET_F(CTRL_GUEST_OFFLOADS) | NET_F(MTU) | NET_F(STATUS) | NET_F(CTRL_VQ) | NET_F(CTRL_RX) |         \
	 NET_F(CTRL_VLAN) | NET_F(GUEST_ANNOUNCE) | NET_F(CTRL_MAC_ADDR) | NET_F(HASH_REPORT) | NET_F(RSS) | \
	 NET_F(STANDBY) | NET_F(SPEED_DUPLEX) | NET_F(CTRL_RX_EXTRA) | NET_F(NOTF_COAL))

/* Of ring and transport, what works between two processes. ACCESS_PLATFORM would be an IOMMU, which we are not. */
#define RING_FEATURES                                                                            \
	(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1) | \
	 BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_ORDER_PLATFORM))
/* Stopping one queue and starting it again is in the protocol, whether the back-end knows of the feature or not. */
#define OUR_FEATURES BIT64(VIRTIO_F_RING_RESET)

static uint32_t guess_type(const struct vu_machine *vm)
{
	if (vm->uri.type != 0)
		return vm->uri.type;
	if ((vm->link.features & NET_ONLY) != 0 || !vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIG))
		return VIRTIO_ID_NET;
	return VIRTIO_ID_BLOCK;
}

/*
 * The protocol does not tell what it is, so a person who is wrong about that is believed, unless the features cannot be such
 * a device's. All disks offer SEG_MAX and BLK_SIZE; of a network device the one is nothing without CTRL_VQ
 * (CTRL_GUEST_OFFLOADS), and the other one is of long ago (GSO, VIRTIO 1.2 §5.1.3.2).
 */
static int check_type(struct vu_machine *vm)
{
	const uint64_t of_disks = BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE);
	uint64_t features = vm->link.features;
	bool no_net = (features & (of_disks | NET_F(CTRL_VQ))) == of_disks;
	const char *what = NULL;

	if (vm->type == VIRTIO_ID_BLOCK && (features & NET_ONLY) != 0)
		what = "disk";
	else if (vm->type == VIRTIO_ID_NET && no_net)
		what = "network interface";
	if (what == NULL)
		return 0;
	snprintf(vm->link.why, sizeof(vm->link.why), "%s: by its features %#llx it is no %s", vm->uri.path,
		 (unsigned long long)features, what);
	return -EPROTO;
}

static uint64_t to_offer(const struct vu_machine *vm, const struct vu_link *link)
{
	uint64_t features = link->features & (~VIRTIO_FEATURES_RESERVED | RING_FEATURES);

	if (vm->type == VIRTIO_ID_NET) {
		features &= ~(NET_FRONTEND | NET_F(MAC));
		if (vm->uri.has_mac)
			features |= NET_F(MAC);
		/* Without a control queue it says how many pairs there are: each is switched on as it is set up. */
		if (link->queue_max < 2)
			features &= ~NET_F(MQ);
	}
	return (features | OUR_FEATURES) & ~vm->uri.without;
}

static unsigned count_queues(const struct vu_machine *vm, const struct vu_link *link)
{
	/* Where nobody tells the number a device has the queues that it must have; a network device counts pairs. */
	uint64_t count = link->queue_max != 0 ? link->queue_max : 1;
	uint64_t wanted = vm->uri.queues != 0 ? vm->uri.queues : VHOST_USER_QUEUES_MAX;

	count = MIN(MIN(count, wanted), (uint64_t)VHOST_USER_QUEUES_MAX);
	if (vm->type == VIRTIO_ID_NET)
		count = MIN(2 * count, (uint64_t)VHOST_USER_QUEUES_MAX);
	return (unsigned)count;
}

/* ---- configuration ---- */

/* Of a network device that has none, what the driver looks at (VIRTIO 1.2 §5.1.4). */
static void make_net_config(struct vu_machine *vm)
{
	struct virtio_net_config config = {
		.status = ob_cpu_to_le16(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = ob_cpu_to_le16((uint16_t)(vm->queue_count / 2)),
	};

	memcpy(config.mac, vm->uri.mac, sizeof(config.mac));
	vm->config_len = offsetof(struct virtio_net_config, max_virtqueue_pairs) + sizeof(config.max_virtqueue_pairs);
	memcpy(vm->config, &config, vm->config_len);
}

/*
 * A device has no more queues than we let it have, or pairs of them; and a network device's address is what the URI says,
 * where that says one.
 */
static void overlay_config(struct vu_machine *vm)
{
	bool net = vm->type == VIRTIO_ID_NET;
	unsigned offset = net ? offsetof(struct virtio_net_config, max_virtqueue_pairs)
			      : offsetof(struct virtio_blk_config, num_queues);
	unsigned most = net ? vm->queue_count / 2 : vm->queue_count;
	ob_le16 count;

	if (net && vm->uri.has_mac && vm->config_len >= sizeof(vm->uri.mac))
		memcpy(vm->config, vm->uri.mac, sizeof(vm->uri.mac));
	if ((!net && vm->type != VIRTIO_ID_BLOCK) || vm->config_len < offset + sizeof(count))
		return;
	memcpy(&count, vm->config + offset, sizeof(count));
	count = ob_cpu_to_le16((uint16_t)MIN(ob_le16_to_cpu(count), most));
	memcpy(vm->config + offset, &count, sizeof(count));
}

/* 0; -ENOENT: it has not so much of it; as vu_link_do(). */
static int read_config(struct vu_machine *vm, uint32_t len_bytes)
{
	struct vhost_message m, *reply;
	int ret;

	vhost_message_init(&m, VHOST_USER_GET_CONFIG, false);
	m.payload.config.len_bytes = len_bytes;
	m.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + len_bytes;
	ret = vu_link_do(&vm->link, &m, &reply);
	if (ret != 0)
		return ret;
	if (reply->header.len_bytes != m.header.len_bytes)
		return -ENOENT;
	memcpy(vm->config, reply->payload.config.data, len_bytes);
	vm->config_len = len_bytes;
	overlay_config(vm);
	return 0;
}

/*
 * How much configuration there is nobody tells: a back-end refuses to read what it has not. So ask for as much as this
 * device class has in some edition of the specification, the likely ones first, as QEMU asks for them.
 */
static int find_config(struct vu_machine *vm)
{
	static const uint8_t blk[] = {60, 56, 36, 24, 8, 0}, net[] = {24, 17, 12, 10, 8, 6, 0},
			     others[] = {128, 64, 32, 16, 8, 4, 0};
	const uint8_t *sizes = vm->type == VIRTIO_ID_BLOCK ? blk : vm->type == VIRTIO_ID_NET ? net : others;
	int ret = -ENOENT;

	if (!vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIG)) {
		if (vm->type == VIRTIO_ID_NET)
			make_net_config(vm);
		return 0;
	}
	/* VIRTIO 1.2 §5.2.4: zones (17) and secure erase (16) come behind the rest. */
	if (vm->type == VIRTIO_ID_BLOCK && (vm->link.features & BIT64(17)) != 0)
		ret = read_config(vm, 96);
	if (ret == -ENOENT && vm->type == VIRTIO_ID_BLOCK && (vm->link.features & BIT64(16)) != 0)
		ret = read_config(vm, 72);
	while (ret == -ENOENT && *sizes != 0)
		ret = read_config(vm, *sizes++);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- beginning and end ---- */

int vu_device_init(struct vu_machine *vm)
{
	static const char *const names[] = {[VIRTIO_ID_NET] = "net", [VIRTIO_ID_BLOCK] = "disk"};
	int ret;

	vm->type = guess_type(vm);
	ret = check_type(vm);
	if (ret != 0)
		return ret;
	vm->offered = to_offer(vm, &vm->link);
	vm->queue_count = count_queues(vm, &vm->link);
	ret = find_config(vm);
	if (ret != 0)
		return ret;
	vm->device = (struct machine_virtio_device){.name = "virtio0", .id = vm->type, .ops = &vu_device_ops};
	vm->buses[0] = (struct machine_bus){
		.kind = MACHINE_BUS_VIRTIO,
		.u.virtio = {.devices = &vm->device, .count = 1},
	};
	vm->buses[1].kind = MACHINE_BUS_END;
	ob_info(vm->machine.ob,
		"vhost-user: %s: a %s (virtio %u) with up to %u queues, features %#llx, protocol features %#llx",
		vm->uri.path, vm->type < ARRAY_SIZE(names) && names[vm->type] != NULL ? names[vm->type] : "device",
		vm->type, vm->queue_count, (unsigned long long)vm->link.features,
		(unsigned long long)vm->link.protocol);
	return 0;
}

int vu_device_check(struct vu_machine *vm, const struct vu_link *link, char *why, size_t why_bytes)
{
	uint64_t missing = vm->accepted & ~to_offer(vm, link);

	if (vm->has_accepted && missing != 0) {
		snprintf(why, why_bytes, "the back-end came back without features %#llx that are in use",
			 (unsigned long long)missing);
		return -EPROTO;
	}
	/* Not a feature that is used or not, but a fact: all writes would end with an error that does not tell why. */
	if (vm->type == VIRTIO_ID_BLOCK && (to_offer(vm, link) & ~vm->offered & BIT64(VIRTIO_BLK_F_RO)) != 0) {
		snprintf(why, why_bytes, "the back-end came back with a disk that is read-only now");
		return -EPROTO;
	}
	for (unsigned i = count_queues(vm, link); i < vm->queue_count; i++) {
		if (!vm->queue[i].set_up)
			continue;
		snprintf(why, why_bytes, "the back-end came back without queue %u, which is in use", i);
		return -EPROTO;
	}
	return 0;
}

void vu_device_signal(struct vu_machine *vm)
{
	io_event_fire(vm->config_fd);
}

/* ---- what the driver does with it ---- */

/*
 * The end of an operation that told the back-end something. That it is away is no error of the operation: its successor
 * will be told the same.
 */
static int finish(struct vu_machine *vm, int ret)
{
	if (ret != 0)
		vu_link_failed(vm, ret);
	switch (vm->state) {
	case VU_DEAD:
		return -ENODEV;
	case VU_LOST:
		return 0;
	default:
		return ret == -EREMOTEIO ? -EPROTO : ret;
	}
}

static int offered(struct machine *m, unsigned device, uint64_t *features)
{
	struct vu_machine *vm = vu_of(m);

	*features = vm->offered;
	return m->dead ? -ENODEV : 0;
}

static int set_status(struct vu_machine *vm, uint8_t status)
{
	if (!vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_STATUS))
		return 0;
	return vu_link_tell_u64(&vm->link, VHOST_USER_SET_STATUS, status);
}

/* VIRTIO 1.2 §3.1.1, steps 2 to 6. */
int vu_device_tell(struct vu_machine *vm)
{
	const uint8_t known = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
	uint64_t features = vm->accepted & (vm->link.features | ~OUR_FEATURES), status;
	int ret = set_status(vm, known);

	if (vm->type == VIRTIO_ID_NET)
		features &= ~NET_F(MAC) | vm->link.features;
	if (vm->link.has_protocol)
		features |= VHOST_USER_F_PROTOCOL_FEATURES;
	if (ret == 0)
		ret = vu_link_tell_u64(&vm->link, VHOST_USER_SET_FEATURES, features);
	if (ret == 0)
		ret = vu_link_settle(&vm->link);
	if (ret != 0 || !vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_STATUS))
		return ret;
	ret = set_status(vm, known | VIRTIO_STATUS_FEATURES_OK);
	if (ret == 0)
		ret = vu_link_ask_u64(&vm->link, VHOST_USER_GET_STATUS, &status);
	if (ret == 0 && (status & VIRTIO_STATUS_FEATURES_OK) == 0) {
		snprintf(vm->link.why, sizeof(vm->link.why), "the back-end does not accept features %#llx",
			 (unsigned long long)features);
		ret = -EREMOTEIO;
	}
	return ret;
}

static int accept(struct machine *m, unsigned device, uint64_t features)
{
	struct vu_machine *vm = vu_of(m);
	int ret = 0;

	pthread_mutex_lock(&vm->lock);
	vm->accepted = features;
	vm->has_accepted = true;
	if (vm->state == VU_UP)
		ret = vu_device_tell(vm);
	if (ret == -EREMOTEIO) {
		ob_err(m->ob, "vhost-user: %s: %s", vm->uri.path, vm->link.why);
		ret = -EOPNOTSUPP;
	} else {
		ret = finish(vm, ret);
	}
	pthread_mutex_unlock(&vm->lock);
	return ret;
}

static int reset(struct machine *m, unsigned device, uint64_t deadline_ns)
{
	struct vu_machine *vm = vu_of(m);
	int ret = vu_queues_stop(vm, deadline_ns);

	/* It works on: nothing may be taken from it. One that hangs is dead by now. */
	if (ret == -ETIMEDOUT && !m->dead)
		return ret;
	pthread_mutex_lock(&vm->lock);
	vm->started = vm->has_accepted = false;
	for (unsigned i = 0; i < vm->queue_count; i++) {
		vm->queue[i].set_up = vm->queue[i].served = false;
		vu_queue_silence(&vm->queue[i]);
	}
	vu_inflight_drop(vm);
	if (vm->state == VU_UP && ret == 0) {
		if (vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
			ret = vu_link_tell(&vm->link, VHOST_USER_RESET_DEVICE);
		if (ret == 0)
			ret = set_status(vm, 0);
	}
	ret = finish(vm, ret);
	/* Nothing is in flight any more, here or there. */
	__atomic_store_n(&vm->needs_reset, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&vm->lock);
	return ret;
}

static int start(struct machine *m, unsigned device)
{
	struct vu_machine *vm = vu_of(m);
	int ret = 0;

	pthread_mutex_lock(&vm->lock);
	vm->started = true;
	if (vm->state == VU_UP) {
		ret = vu_queues_tell(vm, false);
		if (ret == 0)
			ret = set_status(vm, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
						     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
	}
	ret = finish(vm, ret);
	pthread_mutex_unlock(&vm->lock);
	if (ret == 0)
		vu_queues_begin(vm);
	return ret;
}

static int config_read(struct machine *m, unsigned device, void *to, size_t *len_bytes)
{
	struct vu_machine *vm = vu_of(m);
	int ret = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->state == VU_UP && vm->config_len > 0 && vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIG))
		ret = read_config(vm, vm->config_len);
	/* That it had more once is its own matter. */
	ret = finish(vm, ret == -ENOENT ? 0 : ret);
	if (ret == 0) {
		*len_bytes = MIN(*len_bytes, (size_t)vm->config_len);
		memcpy(to, vm->config, *len_bytes);
	}
	pthread_mutex_unlock(&vm->lock);
	return ret;
}

static int config_write(struct machine *m, unsigned device, unsigned offset, const void *from, size_t len_bytes)
{
	struct vu_machine *vm = vu_of(m);
	struct vhost_message msg;
	int ret = 0;

	if (offset > vm->config_len || len_bytes > vm->config_len - offset)
		return -EINVAL;
	vhost_message_init(&msg, VHOST_USER_SET_CONFIG, false);
	msg.payload.config.offset = offset;
	msg.payload.config.len_bytes = (uint32_t)len_bytes;
	msg.payload.config.flags = VHOST_USER_CONFIG_WRITABLE;
	memcpy(msg.payload.config.data, from, len_bytes);
	msg.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + (uint32_t)len_bytes;
	pthread_mutex_lock(&vm->lock);
	if (vm->state == VU_UP && vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_CONFIG))
		ret = vu_link_do(&vm->link, &msg, NULL);
	ret = finish(vm, ret);
	pthread_mutex_unlock(&vm->lock);
	return ret;
}

/* ---- queues ---- */

static void doorbell_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	vu_queue_kick(region->context);
}

static uint64_t doorbell_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return UINT64_MAX >> (64 - 8 * size_bytes);
}

static const struct ob_region_ops doorbell_ops = {.read = doorbell_read, .write = doorbell_write};

static int queue_size(struct machine *m, unsigned device, unsigned queue, uint16_t *size)
{
	struct vu_machine *vm = vu_of(m);

	*size = queue < vm->queue_count ? vm->uri.queue_size : 0;
	return m->dead ? -ENODEV : 0;
}

static int queue_start(struct machine *m, unsigned device, unsigned queue, const struct machine_virtio_queue *config,
		       struct ob_region *doorbell, uint64_t *offset)
{
	struct vu_machine *vm = vu_of(m);
	struct vu_queue *q;
	int ret;

	if (queue >= vm->queue_count || config->size == 0 || config->size > vm->uri.queue_size)
		return -EINVAL;
	q = &vm->queue[queue];
	pthread_mutex_lock(&vm->lock);
	ret = vu_queue_open(q);
	if (ret != 0)
		goto unlock;
	vu_queue_silence(q);
	q->config = *config;
	q->set_up = true;
	q->served = false;
	*doorbell = (struct ob_region){.len_bytes = 4, .ops = &doorbell_ops, .context = q};
	*offset = 0;
	/* Otherwise it waits for start(). */
	if (vm->started && vm->state == VU_UP)
		ret = vu_queue_tell(vm, queue);
	ret = finish(vm, ret);
unlock:
	pthread_mutex_unlock(&vm->lock);
	if (ret == 0)
		vu_queues_begin(vm);
	return ret;
}

static int queue_stop(struct machine *m, unsigned device, unsigned queue, uint64_t deadline_ns)
{
	struct vu_machine *vm = vu_of(m);
	int ret;

	if (queue >= vm->queue_count)
		return -EINVAL;
	ret = vu_queue_stop(vm, queue, deadline_ns);
	/* It works on: nothing may be taken from it. One that hangs is dead by now. */
	if (ret == -ETIMEDOUT && !m->dead)
		return ret;
	pthread_mutex_lock(&vm->lock);
	vm->queue[queue].set_up = vm->queue[queue].served = false;
	vu_queue_silence(&vm->queue[queue]);
	ret = finish(vm, ret);
	pthread_mutex_unlock(&vm->lock);
	return ret;
}

static int irq_fd(struct machine *m, unsigned device, int queue)
{
	struct vu_machine *vm = vu_of(m);
	int ret;

	if (queue < 0)
		return vm->config_fd;
	if ((unsigned)queue >= vm->queue_count)
		return -ENOENT;
	pthread_mutex_lock(&vm->lock);
	ret = vu_queue_open(&vm->queue[queue]);
	pthread_mutex_unlock(&vm->lock);
	return ret == 0 ? vm->queue[queue].call_fd : ret;
}

static bool needs_reset(struct machine *m, unsigned device)
{
	return __atomic_load_n(&vu_of(m)->needs_reset, __ATOMIC_ACQUIRE);
}

const struct machine_virtio_ops vu_device_ops = {
	.offered = offered,
	.accept = accept,
	.reset = reset,
	.start = start,
	.config_read = config_read,
	.config_write = config_write,
	.queue_size = queue_size,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.irq_fd = irq_fd,
	.needs_reset = needs_reset,
};
