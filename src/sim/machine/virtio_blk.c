/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio disk in the world's machine: the native machine's model, a small disk, and what befalls its requests. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "model/block/virtio_blk/vblk_model.h"
#include "sim/machine/disk.h"
#include "sim/machine/virtio.h"
#include "sim/view/view.h"

#define BLOCK_BYTES 512u
#define SEGMENTS    6u
#define HELD        32u

struct vblk_device {
	struct sim_virtio virtio; /* first */
	struct vblk_model *vblk;
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

static void check_refusal(const struct vblk_model_request *request, uint8_t status)
{
	bool excused = sim_disk_refusal_is_excused();

	if (status == VIRTIO_BLK_S_OK || excused)
		return;
	report_begin("device-refused",
		     "the device refuses a request of type %u of queue %u, id %#x: %s; sector %llu, count %u",
		     request->type, request->queue, request->id,
		     status == VIRTIO_BLK_S_UNSUPP ? "it is none that was agreed on" : "it is none that can be",
		     (unsigned long long)request->sector, request->sector_count);
	report_end();
}

/* ---- what befalls a request ---- */

static uint64_t request_key(const struct vblk_model_request *request)
{
	return (uint64_t)request->queue << 48 | (uint64_t)request->id << 32 | request->type;
}

/* GET_ID and its like are to the driver what admin commands are. */
static bool is_io(const struct vblk_model_request *request)
{
	return request->type != VIRTIO_BLK_T_GET_ID && request->type != VIRTIO_BLK_T_GET_LIFETIME;
}

/* Called for each request, once, when it was taken. */
static uint64_t request_delay(void *arg, const struct vblk_model_request *request)
{
	view_command(arg, request_key(request), request->sector);
	return sim_disk_delay_ns(is_io(request));
}

static uint8_t request_failure(void *arg, const struct vblk_model_request *request)
{
	const struct fault_rule *r = sim_disk_failure(is_io(request));

	if (r == NULL)
		return VIRTIO_BLK_S_OK;
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

static const struct sim_register registers[] = {
	SIM_VIRTIO_REGISTERS,
	{"capacity", VIRTIO_MODEL_DEVICE, 8, true},
	{.len_bytes = 0},
};

/* ---- power ---- */

static void vblk_power_cut(struct sim_device *dev, const struct fault_rule *rule)
{
	unsigned of_eight = sim_disk_kept_of_eight(rule);

	vblk_model_power_cut(of(dev)->vblk, sim_disk_block_is_kept, &of_eight);
}

/* ---- the type ---- */

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
	c.msix_vectors = sim_msix_vectors(W.config.queues + 1);
	ret = sim_disk_create(dev, BLOCK_BYTES, &disk);
	if (ret == 0)
		ret = vblk_model_create(&dev->host, &c, disk, BLOCK_BYTES, &d->vblk);
	if (ret != 0)
		return ret;
	dev->model = d;
	own_hooks.arg = dev;
	vblk_model_set_hooks(d->vblk, &own_hooks);
	return sim_virtio_function(dev, virtio_of(dev), bus, devfn);
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
	.fail = sim_virtio_fail,
	.power_cut = vblk_power_cut,
	.registers = registers,
	.describe = vblk_describe,
	.register_name = sim_virtio_register_name,
	.memory_name = sim_virtio_memory_name,
	.command_text = vblk_command_text,
	.state = vblk_state,
	.state_name = virtio_model_state_name,
};
