/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's end of a virtqueue: memory, beginning, doorbell; VIRTIO 1.2 §2.6 to §2.9. The layouts have their own files. */
#include "virtqueue/driver.h"

#include <errno.h>

#include "virtqueue/layout.h"

/* A table costs the device a look-up, and us a line of its own; up to so many pieces the ring is the better place. */
#define DIRECT_MAX 7u

static bool has(uint64_t features, unsigned bit)
{
	return (features & BIT64(bit)) != 0;
}

/*
 * Where the driver's and the device's areas begin, and the end; each on a cache line of its own. The used ring's entries
 * follow four bytes of it, and are to be read whole: so it begins at such a place that they are aligned to 8.
 */
static void layout(uint64_t features, unsigned size, size_t *driver, size_t *device, size_t *end)
{
	bool packed = has(features, VIRTIO_F_RING_PACKED);
	size_t driver_bytes = packed ? sizeof(struct virtq_event) : VIRTQ_AVAIL_BYTES((size_t)size);
	size_t device_bytes = packed ? sizeof(struct virtq_event) : VIRTQ_USED_BYTES((size_t)size);

	*driver = ALIGN_UP((size_t)16 * size, (size_t)OB_CACHE_LINE);
	*device = ALIGN_UP(*driver + driver_bytes, (size_t)OB_CACHE_LINE) +
		  (packed ? 0 : sizeof(uint64_t) - offsetof(struct virtq_used, ring));
	*end = ALIGN_UP(*device + device_bytes, (size_t)OB_CACHE_LINE);
}

size_t virtqueue_driver_ring_bytes(uint64_t features, unsigned size)
{
	size_t driver, device, end;

	layout(features, size, &driver, &device, &end);
	return end;
}

static uint32_t table_bytes(unsigned chain_max)
{
	return ALIGN_UP(chain_max * (uint32_t)sizeof(struct virtq_desc), (uint32_t)OB_CACHE_LINE);
}

size_t virtqueue_driver_table_bytes(uint64_t features, unsigned size, unsigned chain_max)
{
	if (!has(features, VIRTIO_F_INDIRECT_DESC) || chain_max < 2)
		return 0;
	return (size_t)table_bytes(chain_max) * size;
}

/* Split: what follows a descriptor. Packed: the list of frames that were put, so long that its index is masked. */
static uint32_t next_mask(bool packed, unsigned size)
{
	uint32_t mask = size - 1;

	for (unsigned shift = 1; packed && shift < 16; shift *= 2)
		mask |= mask >> shift;
	return mask;
}

static size_t next_bytes(bool packed, unsigned size)
{
	return ALIGN_UP((next_mask(packed, size) + 1) * sizeof(uint16_t), (size_t)OB_CACHE_LINE);
}

size_t virtqueue_driver_shadow_bytes(uint64_t features, unsigned size)
{
	return next_bytes(has(features, VIRTIO_F_RING_PACKED), size) + size * sizeof(struct ob_virtio_slot);
}

int virtqueue_driver_init(struct virtqueue_driver *q, const struct virtqueue_driver_config *config)
{
	size_t driver, device, end;

	*q = (struct virtqueue_driver){.config = *config, .size = config->size, .chain_max = config->chain_max};
	q->packed = has(config->features, VIRTIO_F_RING_PACKED);
	q->event_idx = has(config->features, VIRTIO_F_EVENT_IDX);
	q->in_order = has(config->features, VIRTIO_F_IN_ORDER);
	q->notify_data = has(config->features, VIRTIO_F_NOTIFICATION_DATA);
	if (q->size == 0 || q->size > VIRTIO_QUEUE_SIZE_MAX || (!q->packed && !IS_POWER_OF_2(q->size)))
		return -EINVAL;
	/* Neither in the ring nor in a table may a chain be longer than the ring (§2.7.5.3.1, §2.8.17). */
	if (q->chain_max == 0 || q->chain_max > q->size)
		return -EINVAL;
	q->mask = next_mask(q->packed, q->size);
	layout(config->features, q->size, &driver, &device, &end);
	q->desc = config->ring;
	q->avail_ring = (void *)((uint8_t *)config->ring + driver);
	q->used_ring = (const void *)((uint8_t *)config->ring + device);
	q->driver_event = (void *)((uint8_t *)config->ring + driver);
	q->device_event = (const void *)((uint8_t *)config->ring + device);
	q->next = config->shadow;
	q->lane_avail = q->packed ? config->shadow : q->avail_ring->ring;
	q->lane_write = q->packed ? virtqueue_word(0, 0, VIRTQ_DESC_F_WRITE) : virtqueue_word(0, VIRTQ_DESC_F_WRITE, 0);
	q->slots = (void *)((uint8_t *)config->shadow + next_bytes(q->packed, q->size));
	q->direct_max = q->chain_max;
	if (config->tables != NULL) {
		q->tables = config->tables;
		q->tables_iova = config->tables_iova.addr;
		q->table_bytes = table_bytes(q->chain_max);
		/* A request of one piece gains nothing by a table. */
		q->direct_max = MIN(q->chain_max,
				    config->indirect_from != 0 ? MAX(config->indirect_from, 2u) - 1 : DIRECT_MAX);
	}
	virtqueue_driver_rewind(q);
	return 0;
}

void virtqueue_driver_rewind(struct virtqueue_driver *q)
{
	ob_dma_zero(q->config.ring, virtqueue_driver_ring_bytes(q->config.features, q->size));
	for (unsigned i = 0; i < q->size; i++)
		q->slots[i].entries = 0;
	q->broken = false;
	q->batch = false;
	q->avail = q->told = q->used = 0;
	q->in_flight = 0;
	q->order_head = 0;
	q->why = NULL;
	virtqueue_frames_place(q);
	if (q->packed)
		virtqueue_packed_rewind(q);
	else
		virtqueue_split_rewind(q);
	/* Before the device is told of the ring, by a register write that orders itself or by a message. */
	ob_dma_wmb();
}

void virtqueue_driver_areas(const struct virtqueue_driver *q, ob_iova *desc, ob_iova *driver, ob_iova *device)
{
	size_t driver_at, device_at, end;
	uint64_t base = q->config.ring_iova.addr;

	layout(q->config.features, q->size, &driver_at, &device_at, &end);
	*desc = (ob_iova){base};
	*driver = (ob_iova){base + driver_at};
	*device = (ob_iova){base + device_at};
}

unsigned virtqueue_driver_depth(const struct virtqueue_driver *q, unsigned pieces)
{
	unsigned direct, rest = (unsigned)q->size - q->frame_end;

	if (pieces == 0 || pieces > q->chain_max)
		return 0;
	/* The longest that go into the ring itself; where there are tables, as long as half of it stays free for those. */
	direct = MIN(pieces, q->direct_max);
	rest = (rest - q->direct_low) / direct + q->direct_low;
	/* A slot with descriptors of its own needs no other where they suffice, or hold a table's. */
	return rest + (pieces <= 3 || q->tables != NULL ? q->frame_count : 0u);
}

int virtqueue_driver_break(struct virtqueue_driver *q, const char *why)
{
	q->broken = true;
	/* Nothing fits any more, so that adding need not ask. */
	q->free_entries = 0;
	virtqueue_frames_end(q);
	q->why = why;
	q->stats.protocol_errors++;
	return -EPROTO;
}

void virtqueue_driver_notify(struct virtqueue_driver *q)
{
	const struct virtqueue_driver_config *c = &q->config;
	uint32_t value = c->notify_id;

	q->stats.kicks++;
	if (OB_UNLIKELY(q->notify_data)) {
		/* Where the next descriptor will be (§2.9). */
		if (q->packed)
			value |= FIELD_PREP(VIRTIO_NOTIFY_OFFSET, (uint32_t)q->place) |
				 ((q->avail_flags & VIRTQ_PACKED_F_AVAIL) != 0 ? VIRTIO_NOTIFY_WRAP : 0);
		else
			value |= FIELD_PREP(VIRTIO_NOTIFY_INDEX, (uint32_t)q->avail);
	}
	if (q->notify_data || c->doorbell_wide)
		ob_mmio_write32(c->doorbell, c->doorbell_offset, value);
	else
		ob_mmio_write16(c->doorbell, c->doorbell_offset, (uint16_t)value);
}
