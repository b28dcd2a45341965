/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk's requests (VIRTIO 1.2 §5.2) to the block class's, and its features and configuration from a disk's limits. */
#ifndef OB_SERVE_VHOST_USER_BLK_H
#define OB_SERVE_VHOST_USER_BLK_H

#include <outboard/outboard.h>

#include "serve/vhost_user/lane.h"
#include "spec/virtio_blk.h"

struct vu_queue;

/** vu_blk_features - what a disk with these limits offers */
uint64_t vu_blk_features(const struct ob_block_limits *limits, bool read_only, unsigned queues);
/** vu_blk_config - the configuration space; @writeback: what the client set */
void vu_blk_config(const struct ob_block_limits *limits, unsigned queues, bool writeback,
		   struct virtio_blk_config *out);

/**
 * vu_blk_start - begin the request whose @pieces the client has made available
 * @r:   its chain is set; ends by vu_queue_end(), in here or later
 * @why: what rule the client broke
 *
 * The lane's CPU. Return: 0; -EPROTO.
 */
int vu_blk_start(struct vu_queue *q, struct vu_request *r, const struct virtqueue_piece *pieces, const char **why);

/** vu_blk_submit - what was not let in at once (part.h) goes to the disk; the caller kicks. The lane's CPU */
void vu_blk_submit(struct vu_request *r);
/** vu_blk_end - vu_queue_end() with the status that this errno, or 0, is for the client */
void vu_blk_end(struct vu_request *r, int error);

#endif
