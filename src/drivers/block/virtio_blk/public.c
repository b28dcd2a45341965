/* SPDX-License-Identifier: BSD-2-Clause */
/* What outboard/virtio_blk.h offers: calls (core/driver_call.h), for which the driver stays while they last. */
#include <errno.h>

#include <outboard/virtio_blk.h>

#include "core/driver_call.h"
#include "drivers/block/virtio_blk/virtio_blk.h"

#define RESET_SLICE_NS (250 * OB_NS_PER_MS)

struct call {
	struct driver_call base;
	struct ob_virtio_blk_lifetime lifetime;
};

static int call_new(struct ob_block *block, int (*fn)(struct driver_call *base), uint64_t deadline_ns,
		    struct driver_call **out)
{
	return ob_block_online(block) ? driver_call_new(ob_block_device(block), virtio_blk_driver.name, fn,
							sizeof(struct call), deadline_ns, out)
				      : -ENODEV;
}

/* ---- lifetime ---- */

/* What is reserved says nothing. */
static uint8_t percent_of(ob_le16 tenths)
{
	return ob_le16_to_cpu(tenths) <= 11 ? (uint8_t)(10 * ob_le16_to_cpu(tenths)) : 0;
}

static enum ob_virtio_blk_spare spare_of(ob_le16 info)
{
	switch (ob_le16_to_cpu(info)) {
	case VIRTIO_BLK_EOL_NORMAL:
		return OB_VIRTIO_BLK_SPARE_NORMAL;
	case VIRTIO_BLK_EOL_WARNING:
		return OB_VIRTIO_BLK_SPARE_WARNING;
	case VIRTIO_BLK_EOL_URGENT:
		return OB_VIRTIO_BLK_SPARE_URGENT;
	default:
		return OB_VIRTIO_BLK_SPARE_UNKNOWN;
	}
}

static int ask_lifetime(struct vblk *v, struct ob_virtio_blk_lifetime *out, uint64_t deadline_ns)
{
	struct virtio_blk_lifetime lifetime;
	int ret;

	if (v->state != VBLK_LIVE)
		return v->state == VBLK_SUSPENDED ? -EBUSY : -ENODEV;
	if ((v->features & BIT64(VIRTIO_BLK_F_LIFETIME)) == 0)
		return -EOPNOTSUPP;
	ret = vblk_command_run(v, VIRTIO_BLK_T_GET_LIFETIME, &lifetime, sizeof(lifetime),
			       MIN(deadline_ns, ob_deadline(VBLK_COMMAND_TIMEOUT_NS)));
	/* Its memory is the device's for as long as it has no answer. */
	if (ret == -ETIMEDOUT || ret == -EREMOTEIO)
		vblk_want_reset(v, "it was asked for its lifetime and does not answer");
	if (ret != 0)
		return ret == -EREMOTEIO ? -EIO : ret;
	out->spare = spare_of(lifetime.pre_eol_info);
	out->used_percent_a = percent_of(lifetime.device_lifetime_est_typ_a);
	out->used_percent_b = percent_of(lifetime.device_lifetime_est_typ_b);
	return 0;
}

static int lifetime_body(struct driver_call *base)
{
	struct vblk *v = base->driver_data;
	int ret = ob_mutex_lock(&v->lock, base->deadline_ns);

	if (ret != 0)
		return ret;
	ret = ask_lifetime(v, &container_of(base, struct call, base)->lifetime, base->deadline_ns);
	ob_mutex_unlock(&v->lock);
	return ret;
}

int ob_virtio_blk_lifetime(struct ob_block *block, struct ob_virtio_blk_lifetime *out, uint64_t deadline_ns)
{
	struct driver_call *call;
	int ret = call_new(block, lifetime_body, deadline_ns, &call);

	if (ret != 0)
		return ret;
	ret = driver_call_run(&call);
	if (ret == 0)
		*out = container_of(call, struct call, base)->lifetime;
	ob_free(call);
	return ret;
}

/* ---- reset ---- */

/* In slices, so that a device that is to lose its driver is not held until the lock comes free. */
static int reset_body(struct driver_call *base)
{
	struct vblk *v = base->driver_data;

	for (;;) {
		int ret = vblk_reset(v, "asked for", MIN(base->deadline_ns, ob_deadline(RESET_SLICE_NS)));

		if (ret != -ETIMEDOUT || v->state == VBLK_DEAD || ob_now_ns() >= base->deadline_ns)
			return ret;
		if (!ob_device_get_online(v->dev))
			return -ENODEV;
		ob_device_put_online(v->dev);
	}
}

int ob_virtio_blk_reset(struct ob_block *block, uint64_t deadline_ns)
{
	struct driver_call *call;
	int ret = call_new(block, reset_body, deadline_ns, &call);

	if (ret != 0)
		return ret;
	ret = driver_call_run(&call);
	ob_free(call);
	return ret;
}
