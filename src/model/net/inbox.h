/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames on a wire that wait for a device: first in, first out, in a fixed amount of memory. Not thread-safe. */
#ifndef OB_MODEL_NET_INBOX_H
#define OB_MODEL_NET_INBOX_H

#include "model/net/virtio_net/vnet_model.h"

struct vnet_inbox {
	uint8_t *bytes; /* the owner's */
	uint32_t size_bytes;
	uint32_t head, tail; /* offsets; head is the next frame's */
	uint32_t count;
	uint64_t put, dropped;
};

/** vnet_inbox_init - @bytes: aligned to 8, @size_bytes a multiple of 8 */
void vnet_inbox_init(struct vnet_inbox *inbox, void *bytes, uint32_t size_bytes);
/** vnet_inbox_put - a copy of the frame; false: there is no room, it is lost and counted */
bool vnet_inbox_put(struct vnet_inbox *inbox, const struct vnet_frame *frame);
/** vnet_inbox_peek - the oldest frame, until vnet_inbox_next(); false: none */
bool vnet_inbox_peek(const struct vnet_inbox *inbox, struct vnet_frame *out);
void vnet_inbox_next(struct vnet_inbox *inbox);

#endif
