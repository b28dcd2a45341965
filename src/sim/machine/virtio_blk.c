/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio disk in the world's machine: the native machine's model, a small disk, and what befalls its requests. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "model/block/virtio_blk/vblk_model.h"
#include "sim/fault/fault.h"
#include "sim/machine/model.h"
#include "sim/view/view.h"

#define DISK_BYTES  (64u << 10)
#define BLOCK_BYTES 512u
#define SEGMENTS    6u
#define HELD        32u

/* What the device adds to the model: what it pretends of its status. */
struct vblk_device {
	struct vblk_model *vblk;
	bool never_agrees, never_resets;
};

static struct vblk_device *of(struct sim_device *dev)
{
	return dev->model;
}

static struct virtio_model *virtio_of(struct sim_device *dev)
{
	return vblk_model_virtio(of(dev)->vblk);
}

/* ---- what a driver must not say ---- */

/* The end that comes next was drawn as a fault. */
SIM_STATE static bool injected;

static void check_refusal(const struct vblk_model_request *request, uint8_t status)
{
	bool drawn = injected || (W.fault_excuses & FAULT_EXCUSE_NOTES) != 0;

	injected = false;
	if (status == VIRTIO_BLK_S_OK || drawn || sim_fault_count(SIM_FAULT_CONFIG_ONES) > 0)
		return;
	report_begin("device-refused",
		     "the device refuses a request of type %u of queue %u, id %#x: %s; sector %llu, count %u",
		     request->type, request->queue, request->id,
		     status == VIRTIO_BLK_S_UNSUPP ? "it is none that was agreed on" : "it is none that can be",
		     (unsigned long long)request->sector, request->sector_count);
	report_end();
}

/* ---- how long a request takes, and what befalls it: they end in any order ---- */

static uint64_t request_key(const struct vblk_model_request *request)
{
	return (uint64_t)request->queue << 48 | (uint64_t)request->id << 32 | request->type;
}

/* GET_ID and its like are to the driver what admin commands are. */
static bool is_io(const struct vblk_model_request *request)
{
	return request->type != VIRTIO_BLK_T_GET_ID && request->type != VIRTIO_BLK_T_GET_LIFETIME;
}

static const struct fault_rule *befalls(const struct vblk_model_request *request, enum sim_fault io,
					enum sim_fault admin)
{
	return fault_strike(is_io(request) ? io : admin);
}

/* Called for each request, once, when it was taken. */
static uint64_t request_delay(void *arg, const struct vblk_model_request *request)
{
	const struct fault_rule *r;

	view_command(arg, request_key(request), request->sector);
	fault_count(FAULT_AT_COMMAND);
	fault_count(is_io(request) ? FAULT_AT_IO : FAULT_AT_ADMIN);
	if (befalls(request, SIM_FAULT_HANG, SIM_FAULT_ADMIN_HANG) != NULL)
		return MODEL_NEVER;
	r = befalls(request, SIM_FAULT_SLOW, SIM_FAULT_ADMIN_SLOW);
	if (r != NULL)
		return r->has_value ? r->value : OB_NS_PER_US << fault_draw(15);
	if (random_one_in(&W.random_fault, 4))
		return 0;
	return 1 + fault_draw(is_io(request) ? W.config.latency_max_ns : 5 * OB_NS_PER_US);
}

static uint8_t request_failure(void *arg, const struct vblk_model_request *request)
{
	const struct fault_rule *r = befalls(request, SIM_FAULT_FAIL, SIM_FAULT_ADMIN_FAIL);

	if (r == NULL)
		return VIRTIO_BLK_S_OK;
	injected = true;
	return r->has_value && r->value != 0 ? (uint8_t)r->value : (uint8_t)(1 + fault_draw(3));
}

static void request_ending(void *arg, const struct vblk_model_request *request, uint8_t *status)
{
	view_completion(arg, request_key(request), *status);
	check_refusal(request, *status);
	if (OB_UNLIKELY(W.fault_on != 0) && fault_strike(SIM_FAULT_DATA) != NULL) {
		W.fault_excuses |= FAULT_EXCUSE_NOTES;
		*status = (uint8_t)random_next(&W.random_fault);
	}
}

static const struct vblk_model_hooks hooks = {
	.delay_ns = request_delay,
	.fail = request_failure,
	.ending = request_ending,
};

/*
 * What it says of a request that is done is not so: another's number, or more bytes than there was room for. Who reads
 * another's number takes that one for done: what the device still does for it is then no mistake of the driver's.
 */
static void used_change(void *arg, unsigned queue, uint16_t *id, uint32_t *written_bytes)
{
	const struct fault_rule *r = fault_strike(SIM_FAULT_COMPLETION_BAD);

	if (r != NULL && fault_draw(2) == 0)
		*id |= (uint16_t)(1u << (7 + fault_draw(9))); /* more than any queue has */
	else if (r != NULL)
		*written_bytes += 1 + (uint32_t)fault_draw(1u << 16);
	r = fault_strike(SIM_FAULT_COMPLETION_FIELD);
	if (r == NULL)
		return;
	W.fault_excuses |= FAULT_EXCUSE_NOTES | FAULT_EXCUSE_DMA;
	if (fault_draw(4) == 0)
		*written_bytes = (uint32_t)fault_draw(4096);
	else
		*id = (uint16_t)fault_draw(16);
}

static uint64_t config_change(void *arg, unsigned offset, unsigned size_bytes, uint64_t value)
{
	const struct fault_rule *r = fault_strike(SIM_FAULT_REGISTER);

	if (OB_LIKELY(r == NULL))
		return value;
	W.fault_excuses |= FAULT_EXCUSE_NOTES;
	return fault_draw(2) == 0 ? random_next(&W.random_fault) : fault_draw(4) - 1;
}

static const struct virtio_model_hooks virtio_hooks = {
	.used = used_change,
	.config = config_change,
};

/* ---- registers: what it pretends of its status ---- */

static const struct sim_register registers[] = {
	{"device_feature", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_DEVICE_FEATURE, 4, true},
	{"num_queues", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_NUM_QUEUES, 2, false},
	{"device_status", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS, 1, false},
	{"config_generation", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_GENERATION, 1, false},
	{"queue_size", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_QUEUE_SIZE, 2, true},
	{"queue_enable", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_QUEUE_ENABLE, 2, false},
	{"capacity", VIRTIO_MODEL_DEVICE, 8, true},
	{.len_bytes = 0},
};

static uint64_t register_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes)
{
	const struct vblk_device *d = of(container_of(f, struct sim_device, pci));
	uint64_t value = virtio_model_function_ops.read(f, bar, offset, size_bytes);

	if (OB_LIKELY(!d->never_agrees && !d->never_resets) || offset != VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS)
		return value;
	return d->never_agrees ? value & ~(uint64_t)VIRTIO_STATUS_FEATURES_OK : value | VIRTIO_STATUS_ACKNOWLEDGE;
}

static void status_written(struct vblk_device *d, uint8_t status)
{
	if (status == 0) {
		fault_count(FAULT_AT_DISABLE);
		d->never_agrees = false;
		d->never_resets = fault_strike(SIM_FAULT_NOT_IDLE) != NULL;
	} else if ((status & VIRTIO_STATUS_FEATURES_OK) != 0 && (status & VIRTIO_STATUS_DRIVER_OK) == 0) {
		fault_count(FAULT_AT_ENABLE);
		d->never_agrees = fault_strike(SIM_FAULT_NOT_READY) != NULL;
	}
}

static void register_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct vblk_device *d = of(container_of(f, struct sim_device, pci));

	if (OB_UNLIKELY(W.fault_on != 0 && offset == VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS))
		status_written(d, (uint8_t)value);
	virtio_model_function_ops.write(f, bar, offset, size_bytes, value);
}

static void function_reset(struct model_pci *f)
{
	struct vblk_device *d = of(container_of(f, struct sim_device, pci));

	d->never_agrees = d->never_resets = false;
	virtio_model_function_ops.reset(f);
}

static void function_changed(struct model_pci *f)
{
	virtio_model_function_ops.changed(f);
}

static void function_sleeps(struct model_pci *f)
{
	virtio_model_function_ops.sleeps(f);
}

static const struct model_pci_ops function_ops = {
	.read = register_read,
	.write = register_write,
	.reset = function_reset,
	.changed = function_changed,
	.sleeps = function_sleeps,
};

/* ---- power ---- */

/* Blocks that were written and not flushed are there, or as they were: all, none, or any of them. */
static bool unit_is_kept(void *arg, uint64_t offset)
{
	const unsigned *of_eight = arg;

	return fault_draw(8) < *of_eight;
}

static void vblk_power_cut(struct sim_device *dev, const struct fault_rule *rule)
{
	static const unsigned shares[] = {0, 8, 4};
	unsigned of_eight = rule->has_value ? shares[rule->value] : (unsigned)fault_draw(9);

	vblk_model_power_cut(of(dev)->vblk, unit_is_kept, &of_eight);
}

static void vblk_fail(struct sim_device *dev)
{
	unsigned excuses = W.fault_excuses;

	W.fault_excuses |= FAULT_EXCUSE_NOTES; /* the model says why it fails: not for this one */
	virtio_model_fail(virtio_of(dev), "a fault of its own");
	W.fault_excuses = excuses;
}

/* ---- the type ---- */

uint64_t sim_ring_features(void)
{
	uint64_t features = BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_ORDER_PLATFORM);

	features |= W.config.packed_rings ? BIT64(VIRTIO_F_RING_PACKED) : 0;
	features |= W.config.direct_rings ? 0 : BIT64(VIRTIO_F_INDIRECT_DESC);
	features |= W.config.event_flags ? 0 : BIT64(VIRTIO_F_EVENT_IDX);
	features |= W.config.ordered_rings ? BIT64(VIRTIO_F_IN_ORDER) : 0;
	return features;
}

static int vblk_create(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn)
{
	struct vblk_device *d = model_alloc(sizeof(*d));
	struct vblk_model_hooks own_hooks = hooks;
	struct vblk_model_config c;
	struct backing *disk;
	int ret;

	if (d == NULL)
		return -ENOMEM;
	vblk_model_config_default(&c);
	c.queues = (uint16_t)W.config.queues;
	c.queue_size = (uint16_t)MAX(W.config.ring_entries, 8u);
	c.seg_max = SEGMENTS;
	c.held_max = HELD;
	c.ring_features = sim_ring_features();
	c.msix_vectors = W.config.vectors != 0 ? (uint16_t)W.config.vectors : (uint16_t)(W.config.queues + 1);
	if (W.config.pin_interrupts)
		c.msix_vectors = 0;
	ret = backing_plain_create(&dev->host, DISK_BYTES, &disk);
	if (ret == 0 && W.config.lossy)
		ret = backing_cache_create(&dev->host, disk, BLOCK_BYTES, &disk);
	if (ret == 0)
		ret = vblk_model_create(&dev->host, &c, disk, BLOCK_BYTES, &d->vblk);
	if (ret != 0)
		return ret;
	dev->model = d;
	own_hooks.arg = dev;
	vblk_model_set_hooks(d->vblk, &own_hooks);
	virtio_model_set_hooks(virtio_of(dev), &virtio_hooks);
	ret = virtio_model_function_init(virtio_of(dev), &dev->pci, bus, devfn);
	dev->pci.ops = &function_ops;
	return ret;
}

static void vblk_destroy(struct sim_device *dev)
{
	vblk_model_destroy(of(dev)->vblk);
}

static bool vblk_run(struct sim_device *dev)
{
	return vblk_model_run(of(dev)->vblk, 1);
}

static void vblk_event(struct sim_device *dev)
{
	vblk_model_event(of(dev)->vblk);
}

static const char *vblk_holds(struct sim_device *dev, uint64_t iova, uint64_t len_bytes)
{
	return vblk_model_holds(of(dev)->vblk, iova, len_bytes);
}

/* ---- its own view ---- */

static unsigned in_flight(struct sim_device *dev)
{
	struct vblk_model_stats stats;

	vblk_model_stats(of(dev)->vblk, &stats);
	return stats.in_flight;
}

static void vblk_describe(struct sim_device *dev, char *text, size_t size)
{
	virtio_model_describe(virtio_of(dev), in_flight(dev), text, size);
}

static bool vblk_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size)
{
	return virtio_model_register_name(virtio_of(dev), bar, offset, text, size);
}

static bool vblk_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size)
{
	return virtio_model_memory_name(virtio_of(dev), iova, text, size);
}

static const char *type_name(uint32_t type)
{
	static const char *const names[] = {
		[VIRTIO_BLK_T_IN] = "read",
		[VIRTIO_BLK_T_OUT] = "write",
		[VIRTIO_BLK_T_FLUSH] = "flush",
		[VIRTIO_BLK_T_GET_ID] = "get id",
		[VIRTIO_BLK_T_GET_LIFETIME] = "get lifetime",
		[VIRTIO_BLK_T_DISCARD] = "discard",
		[VIRTIO_BLK_T_WRITE_ZEROES] = "write zeroes",
	};

	return type < ARRAY_SIZE(names) && names[type] != NULL ? names[type] : "unknown request";
}

static void vblk_command_text(struct sim_device *dev, bool completed, uint64_t a, uint64_t b, char *text, size_t size)
{
	unsigned queue = (unsigned)(a >> 48), id = (unsigned)(a >> 32) & 0xffff;
	uint32_t type = (uint32_t)a;

	if (completed)
		snprintf(text, size, "completes id %#x of queue %u, %s: status %llu", id, queue, type_name(type),
			 (unsigned long long)b);
	else if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT)
		snprintf(text, size, "takes id %#x of queue %u, %s of sector %llu", id, queue, type_name(type),
			 (unsigned long long)b);
	else
		snprintf(text, size, "takes id %#x of queue %u, %s", id, queue, type_name(type));
}

static unsigned vblk_state(struct sim_device *dev)
{
	return virtio_model_state(virtio_of(dev), in_flight(dev));
}

static_assert(VIRTIO_MODEL_STATES <= SIM_DEVICE_STATES, "states");

const struct sim_device_type sim_virtio_blk = {
	.name = "virtio-blk",
	.help = "a virtio disk of 64 KiB, with rings of either layout",
	.create = vblk_create,
	.destroy = vblk_destroy,
	.run = vblk_run,
	.event = vblk_event,
	.holds = vblk_holds,
	.fail = vblk_fail,
	.power_cut = vblk_power_cut,
	.registers = registers,
	.describe = vblk_describe,
	.register_name = vblk_register_name,
	.memory_name = vblk_memory_name,
	.command_text = vblk_command_text,
	.state = vblk_state,
	.state_name = virtio_model_state_name,
};
