/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common configuration of a modelled virtio device and what writing it starts: negotiation, queues, reset (VIRTIO 1.2
 * §2.1, §2.2, §3.1, §4.1.4.3).
 */
#include <errno.h>
#include <string.h>

#include "model/virtio/virtio_model.h"

int virtio_model_init(struct virtio_model *v, struct model_host *host, const struct virtio_model_config *config,
		      const struct virtio_model_ops *ops)
{
	bool packed = (config->features & BIT64(VIRTIO_F_RING_PACKED)) != 0;

	if (config->queue_count == 0 || config->queue_count > VIRTIO_MODEL_QUEUES_MAX || config->queue_size == 0 ||
	    config->queue_size > VIRTIO_QUEUE_SIZE_MAX || (!packed && !IS_POWER_OF_2(config->queue_size)) ||
	    config->msix_vectors > VIRTIO_MODEL_MSIX_MAX)
		return -EINVAL;
	v->host = host;
	v->ops = ops;
	v->config = *config;
	v->config.features |= BIT64(VIRTIO_F_VERSION_1);
	v->config_vector = VIRTIO_NO_VECTOR;
	v->queues = host->ops->alloc(host, config->queue_count * sizeof(*v->queues));
	if (v->queues == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < config->queue_count; i++)
		virtio_model_queue_stop(v, i);
	return 0;
}

void virtio_model_fini(struct virtio_model *v)
{
	v->host->ops->free(v->host, v->queues);
	v->queues = NULL;
}

void virtio_model_set_hooks(struct virtio_model *v, const struct virtio_model_hooks *hooks)
{
	v->hooks = hooks != NULL ? *hooks : (struct virtio_model_hooks){0};
}

bool virtio_model_has(const struct virtio_model *v, unsigned feature)
{
	return (v->status & VIRTIO_STATUS_FEATURES_OK) != 0 && (v->accepted & BIT64(feature)) != 0;
}

void virtio_model_reset(struct virtio_model *v)
{
	for (unsigned i = 0; i < v->config.queue_count; i++)
		virtio_model_queue_stop(v, i);
	v->status = 0;
	v->accepted = 0;
	v->device_select = v->driver_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_NO_VECTOR;
	v->isr = 0;
	v->ops->reset(v);
	virtio_model_pin_update(v);
}

void virtio_model_fail(struct virtio_model *v, const char *why)
{
	struct model_host *host = v->host;

	/* One that was just reset has nothing that could have gone wrong. */
	if (v->status == 0 || (v->status & VIRTIO_STATUS_NEEDS_RESET) != 0)
		return;
	host->ops->note(host, "it needs a reset: %s", why);
	v->status |= VIRTIO_STATUS_NEEDS_RESET;
	/* A driver that never started it is not to be interrupted (§2.1.2). */
	if ((v->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		virtio_model_interrupt(v, v->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_model_config_changed(struct virtio_model *v)
{
	v->generation++;
	if ((v->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		virtio_model_interrupt(v, v->config_vector, VIRTIO_ISR_CONFIG);
}

/* ---- status ---- */

static const char *features_are_refused(const struct virtio_model *v)
{
	if ((v->accepted & ~v->config.features) != 0)
		return "features are accepted that were not offered";
	if ((v->accepted & BIT64(VIRTIO_F_VERSION_1)) == 0)
		return "VERSION_1 is not accepted";
	return NULL;
}

static void start(struct virtio_model *v)
{
	for (unsigned i = 0; i < v->config.queue_count; i++)
		if (v->queues[i].enabled)
			virtio_model_queue_start(v, i);
}

static void status_write(struct virtio_model *v, uint8_t value)
{
	struct model_host *host = v->host;
	uint8_t added = value & (uint8_t)~v->status;
	const char *why;

	if (value == 0) {
		virtio_model_reset(v);
		return;
	}
	if ((v->status & ~(value | VIRTIO_STATUS_NEEDS_RESET)) != 0)
		host->ops->note(host, "status %#x takes back bits of %#x", value, v->status);
	if ((added & VIRTIO_STATUS_FEATURES_OK) != 0) {
		why = features_are_refused(v);
		if (why != NULL) {
			host->ops->note(host, "%s", why);
			value &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
		}
	}
	if ((added & VIRTIO_STATUS_DRIVER_OK) != 0 && (value & VIRTIO_STATUS_FEATURES_OK) == 0) {
		host->ops->note(host, "it is started without an agreement on features");
		value &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	}
	v->status = (uint8_t)(value | (v->status & VIRTIO_STATUS_NEEDS_RESET));
	if ((added & VIRTIO_STATUS_DRIVER_OK) != 0 && (v->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		start(v);
}

/* ---- queues ---- */

static struct virtio_model_queue *selected(struct virtio_model *v)
{
	return v->queue_select < v->config.queue_count ? &v->queues[v->queue_select] : NULL;
}

static void enable_write(struct virtio_model *v, struct virtio_model_queue *q, uint32_t value)
{
	bool packed = virtio_model_has(v, VIRTIO_F_RING_PACKED);
	struct model_host *host = v->host;
	uint64_t misaligned = q->desc % VIRTQ_DESC_ALIGN +
			      q->driver % (packed ? VIRTQ_EVENT_ALIGN : VIRTQ_AVAIL_ALIGN) +
			      q->device % (packed ? VIRTQ_EVENT_ALIGN : VIRTQ_USED_ALIGN);

	if (value != 1 || q->enabled || (v->status & VIRTIO_STATUS_FEATURES_OK) == 0 || q->desc == 0 || misaligned) {
		host->ops->note(host, "queue %u cannot be enabled now, or so", v->queue_select);
		return;
	}
	q->enabled = true;
	if ((v->status & VIRTIO_STATUS_DRIVER_OK) == 0)
		return;
	if (virtio_model_has(v, VIRTIO_F_RING_RESET))
		virtio_model_queue_start(v, v->queue_select);
	else
		host->ops->note(host, "queue %u is enabled when the device works already", v->queue_select);
}

static void size_write(struct virtio_model *v, struct virtio_model_queue *q, uint32_t value)
{
	struct model_host *host = v->host;
	bool packed = virtio_model_has(v, VIRTIO_F_RING_PACKED);

	if (value == 0 || value > v->config.queue_size || (!packed && !IS_POWER_OF_2(value)))
		host->ops->note(host, "queue %u cannot have %u entries", v->queue_select, value);
	else
		q->size = (uint16_t)value;
}

static void queue_reset_write(struct virtio_model *v, struct virtio_model_queue *q, uint32_t value)
{
	struct model_host *host = v->host;
	uint16_t vector = q->vector;

	if (value != 1 || !q->enabled || !virtio_model_has(v, VIRTIO_F_RING_RESET)) {
		host->ops->note(host, "queue %u cannot be reset", v->queue_select);
		return;
	}
	v->ops->queue_reset(v, v->queue_select);
	virtio_model_queue_stop(v, v->queue_select);
	q->vector = vector; /* it is no part of what is reset, as is known so far */
}

static void half_write(uint64_t *to, bool high, uint32_t value)
{
	if (high)
		*to = (*to & UINT32_MAX) | (uint64_t)value << 32;
	else
		*to = (*to & ~(uint64_t)UINT32_MAX) | value;
}

static void queue_write(struct virtio_model *v, unsigned offset, uint32_t value)
{
	struct virtio_model_queue *q = selected(v);
	struct model_host *host = v->host;

	if (q == NULL) {
		host->ops->note(host, "there is no queue %u to be written to", v->queue_select);
		return;
	}
	/* An enabled queue is as it is, but for its vector (§4.1.4.3.2). */
	if (q->enabled && offset != VIRTIO_COMMON_QUEUE_VECTOR && offset != VIRTIO_COMMON_QUEUE_ENABLE &&
	    offset != VIRTIO_COMMON_QUEUE_RESET) {
		host->ops->note(host, "queue %u is enabled and written to at %#x", v->queue_select, offset);
		return;
	}
	switch (offset) {
	case VIRTIO_COMMON_QUEUE_SIZE:
		size_write(v, q, value);
		break;
	case VIRTIO_COMMON_QUEUE_VECTOR:
		q->vector = value < v->config.msix_vectors ? (uint16_t)value : VIRTIO_NO_VECTOR;
		break;
	case VIRTIO_COMMON_QUEUE_ENABLE:
		enable_write(v, q, value);
		break;
	case VIRTIO_COMMON_QUEUE_RESET:
		queue_reset_write(v, q, value);
		break;
	case VIRTIO_COMMON_QUEUE_DESC:
	case VIRTIO_COMMON_QUEUE_DESC + 4:
		half_write(&q->desc, offset % 8 != 0, value);
		break;
	case VIRTIO_COMMON_QUEUE_DRIVER:
	case VIRTIO_COMMON_QUEUE_DRIVER + 4:
		half_write(&q->driver, offset % 8 != 0, value);
		break;
	default:
		half_write(&q->device, offset % 8 != 0, value);
		break;
	}
}

static uint64_t queue_read(struct virtio_model *v, unsigned offset)
{
	struct virtio_model_queue *q = selected(v);

	if (q == NULL)
		return 0; /* a size of 0: there is no such queue */
	switch (offset) {
	case VIRTIO_COMMON_QUEUE_SIZE:
		return q->size;
	case VIRTIO_COMMON_QUEUE_VECTOR:
		return q->vector;
	case VIRTIO_COMMON_QUEUE_ENABLE:
		return q->enabled;
	case VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET:
	case VIRTIO_COMMON_QUEUE_NOTIFY_DATA:
		return v->queue_select;
	case VIRTIO_COMMON_QUEUE_DESC:
		return (uint32_t)q->desc;
	case VIRTIO_COMMON_QUEUE_DESC + 4:
		return q->desc >> 32;
	case VIRTIO_COMMON_QUEUE_DRIVER:
		return (uint32_t)q->driver;
	case VIRTIO_COMMON_QUEUE_DRIVER + 4:
		return q->driver >> 32;
	case VIRTIO_COMMON_QUEUE_DEVICE:
		return (uint32_t)q->device;
	case VIRTIO_COMMON_QUEUE_DEVICE + 4:
		return q->device >> 32;
	default:
		return 0; /* a queue's reset has ended when the write that asked for it has */
	}
}

/* ---- access ---- */

/* The width in which a field is accessed (§4.1.3.1). */
static unsigned width_of(unsigned offset)
{
	if (offset == VIRTIO_COMMON_STATUS || offset == VIRTIO_COMMON_GENERATION)
		return 1;
	if (offset < VIRTIO_COMMON_CONFIG_VECTOR ||
	    (offset >= VIRTIO_COMMON_QUEUE_DESC && offset < VIRTIO_COMMON_QUEUE_NOTIFY_DATA))
		return 4;
	return 2;
}

static bool is_field(struct virtio_model *v, unsigned offset, unsigned size_bytes)
{
	struct model_host *host = v->host;

	if (offset < VIRTIO_COMMON_BYTES_MAX && size_bytes == width_of(offset) && offset % size_bytes == 0)
		return true;
	host->ops->note(host, "there is no field of %u bytes at %#x of the common configuration", size_bytes, offset);
	return false;
}

uint64_t virtio_model_common_read(struct virtio_model *v, unsigned offset, unsigned size_bytes)
{
	if (!is_field(v, offset, size_bytes))
		return 0;
	switch (offset) {
	case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
		return v->device_select;
	case VIRTIO_COMMON_DEVICE_FEATURE:
		return v->device_select < 2 ? (uint32_t)(v->config.features >> (32 * v->device_select)) : 0;
	case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
		return v->driver_select;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		return v->driver_select < 2 ? (uint32_t)(v->accepted >> (32 * v->driver_select)) : 0;
	case VIRTIO_COMMON_CONFIG_VECTOR:
		return v->config_vector;
	case VIRTIO_COMMON_NUM_QUEUES:
		return v->config.queue_count;
	case VIRTIO_COMMON_STATUS:
		return v->status;
	case VIRTIO_COMMON_GENERATION:
		return v->generation;
	case VIRTIO_COMMON_QUEUE_SELECT:
		return v->queue_select;
	default:
		return queue_read(v, offset);
	}
}

static void features_write(struct virtio_model *v, uint32_t value)
{
	struct model_host *host = v->host;

	if ((v->status & VIRTIO_STATUS_FEATURES_OK) != 0)
		host->ops->note(host, "features are written after the agreement on them");
	else if (v->driver_select < 2)
		half_write(&v->accepted, v->driver_select == 1, value);
}

void virtio_model_common_write(struct virtio_model *v, unsigned offset, unsigned size_bytes, uint32_t value)
{
	if (!is_field(v, offset, size_bytes))
		return;
	switch (offset) {
	case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
		v->device_select = value;
		break;
	case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
		v->driver_select = value;
		break;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		features_write(v, value);
		break;
	case VIRTIO_COMMON_CONFIG_VECTOR:
		v->config_vector = value < v->config.msix_vectors ? (uint16_t)value : VIRTIO_NO_VECTOR;
		break;
	case VIRTIO_COMMON_STATUS:
		status_write(v, (uint8_t)value);
		break;
	case VIRTIO_COMMON_QUEUE_SELECT:
		v->queue_select = (uint16_t)value;
		break;
	case VIRTIO_COMMON_DEVICE_FEATURE:
	case VIRTIO_COMMON_NUM_QUEUES:
	case VIRTIO_COMMON_GENERATION:
	case VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET:
	case VIRTIO_COMMON_QUEUE_NOTIFY_DATA:
		break; /* read-only */
	default:
		queue_write(v, offset, value);
		break;
	}
}
