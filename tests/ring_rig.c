/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ends of a virtqueue in one process: ring_rig.h. */
#include "tests/ring_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void doorbell_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct ring_rig *rig = region->context;

	rig->kicks++;
	rig->kick_value = value;
	rig->kick_offset = offset;
	rig->kick_bytes = size_bytes;
}

static const struct ob_region_ops doorbell_ops = {.write = doorbell_write};

static void *reach(const struct ring_rig *rig, uint64_t addr, uint64_t len_bytes)
{
	uint64_t offset = addr - RING_RIG_ADDRESS;

	if (offset > rig->memory_bytes || len_bytes > rig->memory_bytes - offset)
		return NULL;
	return rig->memory + offset;
}

static void *rig_map(void *context, uint64_t addr, uint64_t len_bytes, bool write)
{
	(void)write;
	return reach(context, addr, len_bytes);
}

static int rig_read(void *context, uint64_t addr, void *to, size_t len_bytes)
{
	const void *from = reach(context, addr, len_bytes);

	if (from == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	return 0;
}

static int rig_write(void *context, uint64_t addr, const void *from, size_t len_bytes)
{
	void *to = reach(context, addr, len_bytes);

	if (to == NULL)
		return -EACCES;
	memcpy(to, from, len_bytes);
	return 0;
}

static void rig_fence(void *context)
{
	(void)context;
}

static const struct virtqueue_memory_ops mapped_ops = {.map = rig_map};
static const struct virtqueue_memory_ops copying_ops = {
	.read = rig_read, .look = rig_read, .write = rig_write, .publish = rig_write, .fence = rig_fence};

int ring_rig_device_init(struct ring_rig *rig)
{
	ob_iova desc, driver, device;
	struct virtqueue_device_config config = {
		.memory = rig->config.through_ops ? &copying_ops : &mapped_ops,
		.context = rig,
		.features = rig->config.features,
		.size = rig->config.size,
		.chain_max = rig->config.device_chain_max,
	};

	virtqueue_driver_areas(&rig->driver, &desc, &driver, &device);
	config.desc = desc.addr;
	config.driver = driver.addr;
	config.device = device.addr;
	return virtqueue_device_init(&rig->device, &config);
}

int ring_rig_open(struct ring_rig *rig, const struct ring_rig_config *config)
{
	struct virtqueue_driver_config d = {
		.features = config->features,
		.size = config->size,
		.chain_max = config->chain_max,
		.indirect_from = config->indirect_from,
		.doorbell = &rig->doorbell,
		.doorbell_offset = 0x40,
		.notify_id = 3,
	};
	int ret;

	memset(rig, 0, sizeof(*rig));
	rig->config = *config;
	rig->ring_bytes = ALIGN_UP(virtqueue_driver_ring_bytes(config->features, config->size), (size_t)4096);
	rig->table_bytes = virtqueue_driver_table_bytes(config->features, config->size, config->chain_max);
	rig->memory_bytes = ALIGN_UP(rig->ring_bytes + rig->table_bytes + RING_RIG_BUFFER_BYTES, (size_t)4096);
	rig->memory = aligned_alloc(4096, rig->memory_bytes);
	rig->shadow = aligned_alloc(
		OB_CACHE_LINE,
		ALIGN_UP(virtqueue_driver_shadow_bytes(config->features, config->size), (size_t)OB_CACHE_LINE));
	/* Neither end may rely on memory that nobody has written. */
	memset(rig->memory, 0xa5, rig->memory_bytes);
	memset(rig->shadow, 0xa5, virtqueue_driver_shadow_bytes(config->features, config->size));
	rig->doorbell = (struct ob_region){.ops = &doorbell_ops, .context = rig, .len_bytes = 4096};
	d.ring = rig->memory;
	d.ring_iova.addr = RING_RIG_ADDRESS;
	if (rig->table_bytes != 0) {
		d.tables = rig->memory + rig->ring_bytes;
		d.tables_iova.addr = RING_RIG_ADDRESS + rig->ring_bytes;
	}
	d.shadow = rig->shadow;
	ret = virtqueue_driver_init(&rig->driver, &d);
	if (ret == 0 && config->frames != 0) {
		struct ob_virtio_frame frame = {
			.slots = config->frames,
			.out = {ring_rig_buffer(rig, 0)},
			.out_bytes = RING_RIG_FRAME_OUT,
			.out_stride_bytes = 32,
			.in = {ring_rig_buffer(rig, 40000)},
			.in_bytes = RING_RIG_FRAME_IN,
			.in_stride_bytes = RING_RIG_FRAME_IN,
		};

		ret = virtqueue_driver_frame(&rig->driver, &frame);
	}
	return ret != 0 ? ret : ring_rig_device_init(rig);
}

void ring_rig_close(struct ring_rig *rig)
{
	free(rig->memory);
	free(rig->shadow);
}

int ring_rig_take_framed(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	uint32_t slots[64];
	int n = (int)virtqueue_driver_take_framed(q, slots, MIN(max, (unsigned)ARRAY_SIZE(slots))), more;

	for (int i = 0; i < n; i++)
		used[i] = (struct ob_virtio_used){slots[i], q->slots[3 * slots[i]].in_bytes};
	if ((unsigned)n == max)
		return n;
	more = virtqueue_driver_take(q, used + n, max - (unsigned)n);
	return more > 0 ? n + more : n > 0 ? n : more;
}

uint64_t ring_rig_buffer(const struct ring_rig *rig, size_t offset)
{
	return RING_RIG_ADDRESS + rig->ring_bytes + rig->table_bytes + offset;
}

void *ring_rig_pointer(const struct ring_rig *rig, uint64_t address)
{
	return rig->memory + (address - RING_RIG_ADDRESS);
}
