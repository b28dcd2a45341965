/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the model of a virtio disk: for the files of this directory. */
#ifndef OB_MODEL_BLOCK_VBLK_PRIVATE_H
#define OB_MODEL_BLOCK_VBLK_PRIVATE_H

#include "base/list.h"
#include "model/block/virtio_blk/vblk_model.h"

#define BOUNCE_BYTES (64u << 10)

/* A request from when it was taken until it is given back. */
struct request {
	struct list link; /* free, or held, by due_ns */
	uint16_t queue;
	struct virtqueue_chain chain;
	struct virtqueue_piece *pieces; /* piece_max of them */
	struct virtio_blk_header header;
	uint32_t data_bytes; /* without header and status */
	uint64_t due_ns;
};

struct vblk_model {
	struct virtio_model virtio; /* first */
	struct vblk_model_config config;
	struct vblk_model_hooks hooks;
	struct virtio_blk_config space;
	uint8_t writable[sizeof(struct virtio_blk_config)];
	struct backing *backing;
	uint32_t block_bytes;
	unsigned piece_max;
	struct request *requests; /* held_max of them, and one for what takes no time */
	struct virtqueue_piece *piece_memory;
	struct list held, free;
	unsigned in_flight;
	bool starved; /* a queue is paused for want of a request */
	uint8_t *bounce;
	struct virtio_blk_lifetime lifetime;
};

static inline struct vblk_model *of_virtio(struct virtio_model *v)
{
	return (struct vblk_model *)(void *)v;
}

/* request.c: execute, and give back with the status that came of it. */
void vblk_model_execute(struct vblk_model *m, struct request *r);
/* Where the header is read and the request is given a shape. False: it has none, and the device fails. */
bool vblk_model_take(struct vblk_model *m, struct request *r);
struct vblk_model_request vblk_model_view(const struct request *r);

#endif
