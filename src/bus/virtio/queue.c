/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues of a virtio device: memory, the device's knowledge of them, and the I/O path, which is src/virtqueue's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"

#define RING_ALIGN 4096u

static struct ob *context_of(const struct ob_virtio_queue *q)
{
	return ob_device_context(&q->v->dev);
}

/* ---- setting up ---- */

int ob_virtio_queue_entries(struct ob_device *dev, unsigned index)
{
	struct virtio_device *v = virtio_device_of(dev);
	uint32_t size;
	int ret;

	if (v == NULL)
		return -EINVAL;
	ret = v->ops->queue_size(v, index, &size);
	if (ret != 0)
		return ret;
	if (size == 0)
		return -ENOENT;
	size = MIN(size, VIRTIO_QUEUE_SIZE_MAX);
	/* A split ring has a power of two of them (§2.7); a device that says otherwise gets less. */
	while (!ob_virtio_has(dev, VIRTIO_F_RING_PACKED) && !IS_POWER_OF_2(size))
		size &= size - 1;
	return (int)size;
}

int virtio_queue_enable(struct ob_virtio_queue *q)
{
	struct virtio_queue_setup *s = &q->setup;

	virtqueue_driver_areas(&q->ring, &s->desc, &s->driver, &s->device);
	return q->v->ops->queue_enable(q->v, s);
}

static int memory_alloc(struct ob_virtio_queue *q, struct virtqueue_driver_config *c)
{
	struct ob_device *dev = &q->v->dev;
	size_t table_bytes = virtqueue_driver_table_bytes(c->features, c->size, c->chain_max);
	int ret = ob_dma_alloc(dev, virtqueue_driver_ring_bytes(c->features, c->size), RING_ALIGN, &q->ring_memory);

	if (ret == 0 && table_bytes != 0)
		ret = ob_dma_alloc(dev, table_bytes, RING_ALIGN, &q->tables);
	if (ret != 0)
		return ret;
	q->shadow = hooks_fail(context_of(q), "ob_virtio_queue_shadow")
			    ? NULL
			    : ob_alloc(virtqueue_driver_shadow_bytes(c->features, c->size));
	c->ring = q->ring_memory.base;
	c->ring_iova = q->ring_memory.iova;
	c->tables = q->tables.base;
	c->tables_iova = q->tables.iova;
	c->shadow = q->shadow;
	return q->shadow != NULL ? 0 : -ENOMEM;
}

static void queue_free(struct ob_virtio_queue *q)
{
	ob_dma_free(&q->v->dev, &q->ring_memory);
	ob_dma_free(&q->v->dev, &q->tables);
	ob_free(q->shadow);
	ob_free(q);
}

/* How large, and is it still to be had? 0; -ENOENT; -EINVAL; -EBUSY. */
static int size_pick(struct virtio_device *v, const struct ob_virtio_queue_config *config, uint16_t *size)
{
	int entries = ob_virtio_queue_entries(&v->dev, config->index);

	if (entries < 0)
		return entries;
	list_for_each (node, &v->queues)
		if (list_entry(node, struct ob_virtio_queue, link)->config.index == config->index)
			return -EBUSY;
	if (config->size_max != 0 && config->size_max < (unsigned)entries)
		entries = (int)config->size_max;
	while (!ob_virtio_has(&v->dev, VIRTIO_F_RING_PACKED) && !IS_POWER_OF_2(entries))
		entries &= entries - 1;
	if (config->chain_max == 0 || config->chain_max > (unsigned)entries) {
		ob_err(ob_device_context(&v->dev), "%s: requests of %u pieces do not fit into its ring of %d",
		       ob_device_name(&v->dev), config->chain_max, entries);
		return -EINVAL;
	}
	*size = (uint16_t)entries;
	return 0;
}

int ob_virtio_queue_create(struct ob_device *dev, const struct ob_virtio_queue_config *config,
			   struct ob_virtio_queue **out)
{
	struct virtio_device *v = virtio_device_of(dev);
	struct virtqueue_driver_config c = {0};
	struct ob_virtio_queue *q;
	int ret;

	*out = NULL;
	if (v == NULL || v->features == 0 || config->index > UINT16_MAX)
		return -EINVAL;
	ret = size_pick(v, config, &c.size);
	if (ret != 0)
		return ret;
	q = hooks_fail(ob_device_context(dev), __func__) ? NULL : ob_alloc(sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->v = v;
	q->config = *config;
	snprintf(q->name, sizeof(q->name), "%s", config->name != NULL ? config->name : ob_device_name(dev));
	q->config.name = q->name;
	ob_work_init(&q->forward, virtio_queue_forward);
	c.features = v->features;
	c.chain_max = (uint16_t)config->chain_max;
	c.indirect_from = (uint16_t)MIN(config->indirect_from, UINT16_MAX);
	c.doorbell = &q->setup.doorbell;
	ret = memory_alloc(q, &c);
	if (ret == 0)
		ret = virtqueue_driver_init(&q->ring, &c);
	if (ret != 0)
		goto free;
	q->setup.index = config->index;
	q->setup.size = c.size;
	q->setup.vector = config->irq ? virtio_queue_vector(v, config->index) : VIRTIO_NO_VECTOR;
	q->setup.notify_id = (uint16_t)config->index;
	ret = virtio_queue_enable(q);
	if (ret != 0)
		goto free;
	q->ring.config.doorbell_offset = q->setup.doorbell_offset;
	q->ring.config.notify_id = q->setup.notify_id;
	q->ring.config.doorbell_wide = q->setup.doorbell_wide;
	list_add_tail(&v->queues, &q->link);
	*out = q;
	return 0;

free:
	/* What the device may know of it is of no consequence before it was started. */
	queue_free(q);
	return ret;
}

void ob_virtio_queue_destroy(struct ob_virtio_queue *q)
{
	if (q == NULL)
		return;
	ob_virtio_queue_unlisten(q);
	list_del(&q->link);
	queue_free(q);
}

int ob_virtio_queue_reset(struct ob_virtio_queue *q, uint64_t deadline_ns)
{
	struct virtio_device *v = q->v;
	int ret;

	if (!ob_virtio_has(&v->dev, VIRTIO_F_RING_RESET) || v->ops->queue_reset == NULL)
		return -EOPNOTSUPP;
	if (hooks_fail(context_of(q), __func__))
		return -ETIMEDOUT;
	ret = v->ops->queue_reset(v, q->setup.index, deadline_ns);
	if (ret != 0)
		return ret;
	virtqueue_driver_rewind(&q->ring);
	q->broken_said = false;
	return virtio_queue_enable(q);
}

/* ---- what it is ---- */

unsigned ob_virtio_queue_size(const struct ob_virtio_queue *q)
{
	return q->ring.size;
}

unsigned ob_virtio_queue_depth(const struct ob_virtio_queue *q, unsigned pieces)
{
	return virtqueue_driver_depth(&q->ring, pieces);
}

int ob_virtio_queue_frame(struct ob_virtio_queue *q, const struct ob_virtio_frame *frame)
{
	return virtqueue_driver_frame(&q->ring, frame);
}

struct ob_virtio_framed *ob_virtio_queue_framed(struct ob_virtio_queue *q, uint32_t slot)
{
	return virtqueue_driver_framed(&q->ring, slot);
}

void ob_virtio_queue_stats(const struct ob_virtio_queue *q, struct ob_virtio_queue_stats *out)
{
	const struct ob_virtio_queue_stats *s = &q->ring.stats;

	out->added = OB_READ_ONCE(s->added);
	out->taken = OB_READ_ONCE(q->ring.taken);
	out->kicks = OB_READ_ONCE(s->kicks);
	out->kicks_spared = OB_READ_ONCE(s->kicks_spared);
	out->protocol_errors = OB_READ_ONCE(s->protocol_errors);
}

unsigned ob_virtio_queue_in_flight(const struct ob_virtio_queue *q)
{
	return virtqueue_driver_in_flight(&q->ring);
}

bool ob_virtio_queue_is_broken(const struct ob_virtio_queue *q)
{
	return q->ring.broken;
}

/* ---- the I/O path ---- */

int ob_virtio_queue_add(struct ob_virtio_queue *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned in_count, uint32_t token)
{
	return virtqueue_driver_add(&q->ring, pieces, out_count, in_count, token);
}

unsigned ob_virtio_queue_add_singles(struct ob_virtio_queue *q, const struct ob_virtio_single *singles, unsigned count,
				     enum ob_dma_rights rights)
{
	return virtqueue_driver_add_singles(&q->ring, singles, count, rights);
}

unsigned ob_virtio_queue_add_buffers(struct ob_virtio_queue *q, const uint32_t *tokens, unsigned count, ob_iova base,
				     uint32_t stride, uint32_t len_bytes)
{
	return virtqueue_driver_add_buffers(&q->ring, tokens, count, base, stride, len_bytes);
}

bool ob_virtio_queue_pending(const struct ob_virtio_queue *q)
{
	return virtqueue_driver_pending(&q->ring);
}

void ob_virtio_queue_drop(struct ob_virtio_queue *q, void (*fn)(void *arg, uint32_t token), void *arg)
{
	virtqueue_driver_drop(&q->ring, fn, arg);
}

int ob_virtio_queue_add_framed(struct ob_virtio_queue *q, uint32_t slot, const struct ob_dma_piece *data,
			       unsigned count, bool in)
{
	return virtqueue_driver_add_framed(&q->ring, slot, data, count, in);
}

bool ob_virtio_queue_kick(struct ob_virtio_queue *q)
{
	uint64_t kicks = q->ring.stats.kicks;

	virtqueue_driver_kick(&q->ring);
	return q->ring.stats.kicks != kicks;
}

void ob_virtio_queue_nudge(struct ob_virtio_queue *q)
{
	virtqueue_driver_kick(&q->ring);
	if (!q->ring.broken)
		virtqueue_driver_notify(&q->ring);
}

static __attribute__((noinline, cold)) void say_broken(struct ob_virtio_queue *q)
{
	if (q->broken_said)
		return;
	q->broken_said = true;
	ob_warn(context_of(q), "%s: broken, with %u requests in flight: %s", q->name,
		virtqueue_driver_in_flight(&q->ring), q->ring.why);
}

int ob_virtio_queue_take(struct ob_virtio_queue *q, struct ob_virtio_used *used, unsigned max)
{
	int n = virtqueue_driver_take(&q->ring, used, max);

	if (OB_UNLIKELY(q->ring.broken))
		say_broken(q);
	return n;
}

unsigned ob_virtio_queue_take_framed(struct ob_virtio_queue *q, uint32_t *slots, unsigned max)
{
	return virtqueue_driver_take_framed(&q->ring, slots, max);
}

int ob_virtio_queue_take_singles(struct ob_virtio_queue *q, struct ob_virtio_used *used, unsigned max)
{
	int n = virtqueue_driver_take_singles(&q->ring, used, max);

	if (OB_UNLIKELY(q->ring.broken))
		say_broken(q);
	return n;
}

int ob_virtio_queue_take_tokens(struct ob_virtio_queue *q, uint32_t *tokens, unsigned max)
{
	int n = virtqueue_driver_take_tokens(&q->ring, tokens, max);

	if (OB_UNLIKELY(q->ring.broken))
		say_broken(q);
	return n;
}

bool ob_virtio_queue_arm(struct ob_virtio_queue *q)
{
	return virtqueue_driver_arm(&q->ring);
}

void ob_virtio_queue_disarm(struct ob_virtio_queue *q)
{
	virtqueue_driver_disarm(&q->ring);
}
