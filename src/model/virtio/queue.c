/* SPDX-License-Identifier: BSD-2-Clause */
/* The queues of a modelled virtio device, and its interrupts (VIRTIO 1.2 §2.3, §2.6 to §2.9, §4.1.5). */
#include <errno.h>
#include <string.h>

#include "model/virtio/virtio_model.h"

/* ---- memory, as the rings are reached ---- */

static int memory_read(void *context, uint64_t addr, void *to, size_t len_bytes)
{
	struct virtio_model *v = context;

	return v->host->ops->dma_read(v->host, addr, to, len_bytes);
}

static int memory_look(void *context, uint64_t addr, void *to, size_t len_bytes)
{
	struct virtio_model *v = context;

	return v->host->ops->dma_look(v->host, addr, to, len_bytes);
}

static int memory_write(void *context, uint64_t addr, const void *from, size_t len_bytes)
{
	struct virtio_model *v = context;

	return v->host->ops->dma_write(v->host, addr, from, len_bytes);
}

static int memory_publish(void *context, uint64_t addr, const void *from, size_t len_bytes)
{
	struct virtio_model *v = context;

	return v->host->ops->dma_publish(v->host, addr, from, len_bytes);
}

static void memory_fence(void *context)
{
	struct virtio_model *v = context;

	v->host->ops->dma_fence(v->host);
}

static const struct virtqueue_memory_ops memory_ops = {
	.read = memory_read,
	.look = memory_look,
	.write = memory_write,
	.publish = memory_publish,
	.fence = memory_fence,
};

/* ---- start and stop ---- */

void virtio_model_queue_stop(struct virtio_model *v, unsigned index)
{
	struct virtio_model_queue *q = &v->queues[index];

	*q = (struct virtio_model_queue){.size = v->config.queue_size, .vector = VIRTIO_NO_VECTOR};
	v->pending[index / 64] &= ~BIT64(index % 64);
}

void virtio_model_queue_start(struct virtio_model *v, unsigned index)
{
	struct virtio_model_queue *q = &v->queues[index];
	const struct virtqueue_device_config config = {
		.memory = &memory_ops,
		.context = v,
		.features = v->accepted,
		.desc = q->desc,
		.driver = q->driver,
		.device = q->device,
		.size = q->size,
		.chain_max = v->config.chain_max,
	};

	if (virtqueue_device_init(&q->vq, &config) != 0) {
		virtio_model_fail(v, q->vq.why != NULL ? q->vq.why : "a queue cannot be set up");
		return;
	}
	q->ready = true;
	/* The driver may have filled it before it started the device, and then need not notify. */
	virtio_model_mark(v, index);
}

void virtio_model_mark(struct virtio_model *v, unsigned index)
{
	struct virtio_model_queue *q = &v->queues[index];

	if (!q->ready)
		return;
	q->paused = false;
	v->pending[index / 64] |= BIT64(index % 64);
	v->host->ops->kick(v->host);
}

void virtio_model_pause(struct virtio_model *v, unsigned index)
{
	v->queues[index].paused = true;
}

/* What the driver writes to notify: the queue's number, or what it was told to write, and where it stands (§4.1.5.2). */
void virtio_model_notified(struct virtio_model *v, unsigned slot, unsigned size_bytes, uint32_t value)
{
	bool with_data = virtio_model_has(v, VIRTIO_F_NOTIFICATION_DATA);
	struct model_host *host = v->host;

	v->stats.notifications++;
	if (size_bytes != (with_data ? 4 : 2) || slot >= v->config.queue_count ||
	    FIELD_GET(VIRTIO_NOTIFY_QUEUE, value) != slot) {
		host->ops->note(host, "a notification of %u bytes, %#x, for queue %u", size_bytes, value, slot);
		return;
	}
	if ((v->status & VIRTIO_STATUS_DRIVER_OK) == 0 || !v->queues[slot].enabled) {
		host->ops->note(host, "queue %u is notified, which is not %s", slot,
				v->queues[slot].enabled ? "started" : "enabled");
		return;
	}
	/* One that is paused is looked at when it can go on. */
	if (!v->queues[slot].paused)
		virtio_model_mark(v, slot);
}

/* ---- requests ---- */

bool virtio_model_works(const struct virtio_model *v)
{
	return (v->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) == VIRTIO_STATUS_DRIVER_OK;
}

static void broken(struct virtio_model *v, const struct virtio_model_queue *q, int error)
{
	if (error == -EACCES)
		v->stats.dma_refused++;
	virtio_model_fail(v, q->vq.why != NULL ? q->vq.why : "a queue is broken");
}

bool virtio_model_pop(struct virtio_model *v, unsigned index, struct virtqueue_piece *pieces, unsigned piece_max,
		      struct virtqueue_chain *chain)
{
	struct virtio_model_queue *q = &v->queues[index];
	int ret;

	if (!q->ready || !virtio_model_works(v))
		return false;
	ret = virtqueue_device_pop(&q->vq, pieces, piece_max, chain);
	if (ret < 0)
		broken(v, q, ret);
	v->stats.requests += ret > 0;
	return ret > 0;
}

void virtio_model_push(struct virtio_model *v, unsigned index, const struct virtqueue_chain *chain,
		       uint32_t written_bytes)
{
	struct virtio_model_queue *q = &v->queues[index];
	struct virtqueue_chain told = *chain;
	int ret;

	if (!q->ready || !virtio_model_works(v))
		return;
	if (OB_UNLIKELY(v->hooks.used != NULL)) {
		v->hooks.used(v->hooks.arg, index, &told.id, &written_bytes);
		told.in_bytes = MAX(told.in_bytes, written_bytes); /* our own end has no objection */
	}
	ret = virtqueue_device_push(&q->vq, &told, written_bytes);
	if (ret != 0)
		broken(v, q, ret);
	q->dirty = true;
	v->stats.completions++;
}

void virtio_model_settle(struct virtio_model *v, unsigned index)
{
	struct virtio_model_queue *q = &v->queues[index];
	int ret;

	if (!q->dirty || !q->ready)
		return;
	q->dirty = false;
	ret = virtqueue_device_publish(&q->vq);
	if (ret != 0)
		broken(v, q, ret);
	else if (virtqueue_device_must_signal(&q->vq))
		virtio_model_interrupt(v, q->vector, VIRTIO_ISR_QUEUE);
}

/* One queue that was kicked; true: there is more. */
static bool work_one(struct virtio_model *v, unsigned index, unsigned budget)
{
	struct virtio_model_queue *q = &v->queues[index];
	bool more;

	virtqueue_device_disarm(&q->vq);
	more = v->ops->work(v, index, budget);
	virtio_model_settle(v, index);
	if (q->paused)
		more = false;
	else if (!more && virtio_model_works(v) && q->ready)
		more = virtqueue_device_arm(&q->vq);
	if (q->ready && q->vq.broken)
		broken(v, q, 0);
	if (!more || !virtio_model_works(v))
		v->pending[index / 64] &= ~BIT64(index % 64);
	return more;
}

bool virtio_model_run(struct virtio_model *v, unsigned budget)
{
	bool more = false;

	for (unsigned word = 0; word < ARRAY_SIZE(v->pending); word++) {
		uint64_t bits = v->pending[word];

		while (bits != 0 && virtio_model_works(v)) {
			unsigned bit = (unsigned)__builtin_ctzll(bits);

			bits &= bits - 1;
			more |= work_one(v, word * 64 + bit, budget);
		}
	}
	return more && virtio_model_works(v);
}

/* ---- interrupts ---- */

static bool uses_pin(const struct virtio_model *v)
{
	return v->config.msix_vectors == 0 || !v->host->ops->msix_enabled(v->host);
}

void virtio_model_pin_update(struct virtio_model *v)
{
	v->host->ops->intx(v->host, uses_pin(v) && v->isr != 0);
}

void virtio_model_interrupt(struct virtio_model *v, uint16_t vector, uint8_t cause)
{
	struct model_host *host = v->host;

	v->stats.interrupts++;
	if (uses_pin(v)) {
		v->isr |= cause;
		virtio_model_pin_update(v);
	} else if (vector != VIRTIO_NO_VECTOR) {
		host->ops->msix(host, vector);
	}
}

/* ---- data ---- */

/* The piece that @skip leads into, and how far. */
static unsigned find_piece(const struct virtqueue_piece *pieces, unsigned count, uint64_t *skip)
{
	unsigned i = 0;

	while (i < count && *skip >= pieces[i].len_bytes)
		*skip -= pieces[i++].len_bytes;
	return i;
}

static int transfer(struct virtio_model *v, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
		    uint8_t *to, const uint8_t *from, size_t len_bytes)
{
	const struct model_host_ops *ops = v->host->ops;

	for (unsigned i = find_piece(pieces, count, &skip); len_bytes > 0; i++, skip = 0) {
		size_t part;
		int ret;

		if (i >= count)
			return -EINVAL;
		part = MIN(len_bytes, pieces[i].len_bytes - skip);
		ret = to != NULL ? ops->dma_read(v->host, pieces[i].addr + skip, to, part)
				 : ops->dma_write(v->host, pieces[i].addr + skip, from, part);
		if (ret != 0) {
			v->stats.dma_refused++;
			return ret;
		}
		if (to != NULL)
			to += part;
		else
			from += part;
		len_bytes -= part;
	}
	return 0;
}

int virtio_model_gather(struct virtio_model *v, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
			void *to, size_t len_bytes)
{
	return transfer(v, pieces, count, skip, to, NULL, len_bytes);
}

int virtio_model_scatter(struct virtio_model *v, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
			 const void *from, size_t len_bytes)
{
	return transfer(v, pieces, count, skip, NULL, from, len_bytes);
}

/* ---- what it has of the host ---- */

static bool overlaps(uint64_t start, uint64_t len_bytes, uint64_t other, uint64_t other_bytes)
{
	return start < other + other_bytes && other < start + len_bytes;
}

const char *virtio_model_holds(const struct virtio_model *v, uint64_t iova, uint64_t len_bytes)
{
	bool packed = virtio_model_has(v, VIRTIO_F_RING_PACKED);

	if ((v->status & VIRTIO_STATUS_DRIVER_OK) == 0)
		return NULL;
	for (unsigned i = 0; i < v->config.queue_count; i++) {
		const struct virtio_model_queue *q = &v->queues[i];
		uint64_t driver = packed ? sizeof(struct virtq_event) : VIRTQ_AVAIL_BYTES(q->size);
		uint64_t device = packed ? sizeof(struct virtq_event) : VIRTQ_USED_BYTES(q->size);

		if (!q->enabled)
			continue;
		if (overlaps(iova, len_bytes, q->desc, VIRTQ_DESC_BYTES((uint64_t)q->size)) ||
		    overlaps(iova, len_bytes, q->driver, driver) || overlaps(iova, len_bytes, q->device, device))
			return "a queue";
	}
	return NULL;
}
