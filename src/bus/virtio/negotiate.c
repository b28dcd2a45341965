/* SPDX-License-Identifier: BSD-2-Clause */
/* Status and features: VIRTIO 1.2 §2.1, §2.2, §2.4, §3.1. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"

#define RESET_SLEEP_MIN_NS (10 * OB_NS_PER_US)
#define RESET_SLEEP_MAX_NS OB_NS_PER_MS

/* What ring and bus can do, whatever the device is. */
#define RING_FEATURES                                                                               \
	(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1) |    \
	 BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER) | \
	 BIT64(VIRTIO_F_ORDER_PLATFORM) | BIT64(VIRTIO_F_NOTIFICATION_DATA) | BIT64(VIRTIO_F_RING_RESET))

static const char *name_of(const struct virtio_device *v)
{
	return ob_device_name(&v->dev);
}

int virtio_set_status(struct virtio_device *v, uint8_t status)
{
	int ret = v->ops->set_status(v, status);

	v->status = status;
	return ret;
}

/* Until the device has come to rest (§4.1.4.3.2: the driver waits for a read of 0). */
static int wait_reset(struct virtio_device *v, uint64_t deadline_ns)
{
	uint64_t sleep_ns = RESET_SLEEP_MIN_NS;

	for (;;) {
		uint64_t now = ob_now_ns();
		uint8_t status;
		int ret = v->ops->status(v, &status);

		if (ret != 0 || status == 0)
			return ret;
		if (now >= deadline_ns) {
			ob_err(ob_device_context(&v->dev), "%s: its status is %02x, and not 0, after a reset",
			       name_of(v), status);
			return -ETIMEDOUT;
		}
		ob_task_sleep(MIN(now + sleep_ns, deadline_ns));
		sleep_ns = MIN(2 * sleep_ns, RESET_SLEEP_MAX_NS);
	}
}

int virtio_reset(struct virtio_device *v, uint64_t deadline_ns)
{
	int ret = virtio_set_status(v, 0);

	if (ret == 0)
		ret = wait_reset(v, deadline_ns);
	if (v->ops->enable_dma != NULL)
		v->ops->enable_dma(v, false);
	v->dma_on = false;
	return ret;
}

/* The driver gives it up (§3.1.1). */
static int fail(struct virtio_device *v, int error)
{
	virtio_set_status(v, (uint8_t)(v->status | VIRTIO_STATUS_FAILED));
	return error;
}

/* "5, 9 and 13" */
static const char *bits_text(uint64_t bits, char *text, size_t room)
{
	size_t at = 0;

	text[0] = '\0';
	while (bits != 0 && at < room) {
		unsigned bit = (unsigned)__builtin_ctzll(bits);

		bits &= bits - 1;
		at += (size_t)snprintf(text + at, room - at, "%s%u", at == 0 ? "" : bits == 0 ? " and " : ", ", bit);
	}
	return text;
}

/* Up to the point where the device says whether it takes @features. */
static int agree(struct virtio_device *v, uint64_t features)
{
	struct ob *ob = ob_device_context(&v->dev);
	char text[256];
	uint8_t status;
	int ret = v->ops->accept(v, features);

	if (ret == -EOPNOTSUPP)
		goto refused;
	if (ret == 0)
		ret = virtio_set_status(v, (uint8_t)(v->status | VIRTIO_STATUS_FEATURES_OK));
	/* The device takes the bit away again if it cannot do with these alone (§3.1.1, step 6). */
	if (ret == 0)
		ret = v->ops->status(v, &status);
	if (ret != 0)
		return ret;
	if ((status & VIRTIO_STATUS_FEATURES_OK) != 0)
		return 0;
refused:
	ob_err(ob, "%s: it does not take features %s, which it offered", name_of(v),
	       bits_text(features, text, sizeof(text)));
	return fail(v, -EOPNOTSUPP);
}

/* Reset, and until the features are known that it offers. */
static int greet(struct virtio_device *v)
{
	int ret = virtio_reset(v, ob_deadline(VIRTIO_RESET_TIMEOUT_NS));

	if (ret == 0)
		ret = virtio_set_status(v, VIRTIO_STATUS_ACKNOWLEDGE);
	if (ret == 0)
		ret = virtio_set_status(v, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	if (ret == 0)
		ret = v->ops->offered(v, &v->offered);
	if (ret != 0)
		return ret;
	if ((v->offered & BIT64(VIRTIO_F_VERSION_1)) == 0) {
		ob_err(ob_device_context(&v->dev), "%s: it offers the legacy interface only (feature 32 is missing)",
		       name_of(v));
		return fail(v, -EOPNOTSUPP);
	}
	return 0;
}

int ob_virtio_negotiate(struct ob_device *dev, uint64_t wanted, uint64_t required)
{
	struct virtio_device *v = virtio_device_of(dev);
	struct ob *ob = ob_device_context(dev);
	uint64_t missing, features;
	char text[256];
	int ret;

	if (v == NULL)
		return -EINVAL;
	if (hooks_fail(ob, __func__))
		return -ENODEV;
	v->features = 0;
	ret = greet(v);
	if (ret != 0)
		return ret;
	missing = required & ~v->offered & ~VIRTIO_FEATURES_RESERVED;
	if (missing != 0) {
		ob_err(ob, "%s: it lacks feature%s %s, without which it cannot be driven", name_of(v),
		       IS_POWER_OF_2(missing) ? "" : "s", bits_text(missing, text, sizeof(text)));
		return fail(v, -EOPNOTSUPP);
	}
	features = v->offered & (((wanted | required) & ~VIRTIO_FEATURES_RESERVED) | RING_FEATURES | v->ops->features);
	if (v->ops->queue_reset == NULL)
		features &= ~BIT64(VIRTIO_F_RING_RESET);
	ret = agree(v, features);
	if (ret != 0)
		return ret;
	v->features = features;
	ob_debug(ob, "%s: features %016llx of %016llx, %s ring", name_of(v), (unsigned long long)features,
		 (unsigned long long)v->offered, ob_virtio_has(dev, VIRTIO_F_RING_PACKED) ? "packed" : "split");
	return 0;
}

uint64_t ob_virtio_features(const struct ob_device *dev)
{
	const struct virtio_device *v = virtio_device_of(dev);

	return v != NULL ? v->offered : 0;
}

bool ob_virtio_has(const struct ob_device *dev, unsigned bit)
{
	const struct virtio_device *v = virtio_device_of(dev);

	return v != NULL && bit < 64 && (v->features & BIT64(bit)) != 0;
}

bool ob_virtio_needs_reset(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);
	uint8_t status = 0;

	return v != NULL && v->ops->status(v, &status) == 0 && (status & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

int ob_virtio_start(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);
	uint8_t status;
	int ret;

	if (v == NULL || (v->status & VIRTIO_STATUS_FEATURES_OK) == 0)
		return -EINVAL;
	if (hooks_fail(ob_device_context(dev), __func__))
		return -ENODEV;
	ret = ob_device_enable_dma(dev, true);
	if (ret == 0)
		ret = virtio_set_status(v, (uint8_t)(v->status | VIRTIO_STATUS_DRIVER_OK));
	if (ret == 0)
		ret = v->ops->status(v, &status);
	if (ret != 0)
		return ret;
	if ((status & VIRTIO_STATUS_DRIVER_OK) == 0 || (status & VIRTIO_STATUS_NEEDS_RESET) != 0) {
		ob_err(ob_device_context(dev), "%s: it does not start, its status is %02x", name_of(v), status);
		return -EIO;
	}
	return 0;
}

int ob_virtio_reset(struct ob_device *dev, uint64_t deadline_ns)
{
	struct virtio_device *v = virtio_device_of(dev);

	return v != NULL ? virtio_reset(v, deadline_ns) : -EINVAL;
}

int ob_virtio_renew(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);
	uint64_t missing;
	char text[256];
	int ret;

	if (v == NULL || v->features == 0)
		return -EINVAL;
	if (hooks_fail(ob_device_context(dev), __func__))
		return -ENODEV;
	ret = greet(v);
	if (ret != 0)
		return ret;
	missing = v->features & ~v->offered;
	if (missing != 0) {
		ob_err(ob_device_context(dev), "%s: after a reset it no longer offers %s", name_of(v),
		       bits_text(missing, text, sizeof(text)));
		return fail(v, -EOPNOTSUPP);
	}
	ret = agree(v, v->features);
	if (ret == 0)
		ret = virtio_config_vector(v);
	list_for_each (node, &v->queues) {
		struct ob_virtio_queue *q = list_entry(node, struct ob_virtio_queue, link);

		if (ret != 0)
			break;
		virtqueue_driver_rewind(&q->ring);
		q->broken_said = false;
		ret = virtio_queue_enable(q);
	}
	return ret;
}
