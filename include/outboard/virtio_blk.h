/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a virtio disk offers beyond a block device: how worn it is, and a device reset.
 *
 * Both functions wait: call them in a task, or on a plain thread; in hard or soft context they answer -EDEADLK. What did not
 * end by the deadline may still be done by the device (-ETIMEDOUT). They answer -EOPNOTSUPP for a block device of another
 * driver, -ENODEV, -EBUSY while it is suspended.
 */
#ifndef OUTBOARD_VIRTIO_BLK_H
#define OUTBOARD_VIRTIO_BLK_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_block;

enum ob_virtio_blk_spare {
	OB_VIRTIO_BLK_SPARE_UNKNOWN,
	OB_VIRTIO_BLK_SPARE_NORMAL,
	OB_VIRTIO_BLK_SPARE_WARNING, /* 80 % of the reserve is used */
	OB_VIRTIO_BLK_SPARE_URGENT,  /* 90 % */
};

struct ob_virtio_blk_lifetime {
	enum ob_virtio_blk_spare spare; /* blocks in reserve */
	/* How much of their life cells of one bit (a) and of several (b) have had: 10 percent or less, …, 100; 110 more. */
	uint8_t used_percent_a, used_percent_b; /* 0: not known */
};

/**
 * ob_virtio_blk_lifetime - ask the disk how worn it is
 *
 * Return: 0; -EOPNOTSUPP it does not say; -EIO; and see above.
 * Spec: VIRTIO 1.2 §5.2.6 (GET_LIFETIME), which has JEDEC's eMMC in mind.
 */
int ob_virtio_blk_lifetime(struct ob_block *block, struct ob_virtio_blk_lifetime *out, uint64_t deadline_ns);
/** ob_virtio_blk_reset - device reset; requests in flight are issued again */
int ob_virtio_blk_reset(struct ob_block *block, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif
#endif
