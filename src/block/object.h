/* SPDX-License-Identifier: BSD-2-Clause */
/* Between block.c and channel.c: the life of a device and of its channels. */
#ifndef OB_BLOCK_OBJECT_H
#define OB_BLOCK_OBJECT_H

#include "block/block.h"

static inline bool block_online(const struct ob_block *block)
{
	return __atomic_load_n(&block->online, __ATOMIC_ACQUIRE);
}

/* Take over what the device's limits are now. The channel's CPU. */
void block_resize_work(struct ob_work *work);

/* Tasks of CPU 0. */
void block_mutex_lock(struct ob_block *block);

/*
 * End all that is in flight, have the driver close its side, and let go of what belongs to the CPU. @gone: the device
 * was removed, -ENODEV rather than -ECANCELED. Task on CPU 0, block->mutex held.
 */
void block_channel_detach(struct block_channel *c, bool gone);

#endif
