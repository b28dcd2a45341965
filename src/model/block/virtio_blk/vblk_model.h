/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of a virtio disk (VIRTIO 1.2 §5.2): what its host sees of it.
 *
 * It works requests off when it is run: a notification or a due time makes it ask for that by the host's kick and
 * schedule. One thread at a time may be inside. Without delays a request is taken, executed and given back in one go.
 */
#ifndef OB_MODEL_BLOCK_VBLK_MODEL_H
#define OB_MODEL_BLOCK_VBLK_MODEL_H

#include <outboard/types.h>

#include "model/block/backing.h"
#include "model/host.h"
#include "model/virtio/virtio_model.h"
#include "spec/virtio_blk.h"

#define VBLK_MODEL_SEG_MAX 254
#define VBLK_MODEL_HELD    512 /* requests that can take time at once, by default */

struct vblk_model;

/* One request as the hooks see it. */
struct vblk_model_request {
	uint16_t queue, id;
	uint32_t type;   /* VIRTIO_BLK_T_* */
	uint64_t sector; /* of what has one */
	uint32_t sector_count;
};

/* A world's way to be cruel. Any member may be NULL. */
struct vblk_model_hooks {
	void *arg;
	/* How much longer the request takes; MODEL_NEVER: it hangs until the device is reset. */
	uint64_t (*delay_ns)(void *arg, const struct vblk_model_request *request);
	/* End it with this status, not executed; VIRTIO_BLK_S_OK: execute it. */
	uint8_t (*fail)(void *arg, const struct vblk_model_request *request);
	/* It is about to be given back; change its status at will. */
	void (*ending)(void *arg, const struct vblk_model_request *request, uint8_t *status);
};

struct vblk_model_config {
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	uint16_t queues;     /* 1 to VIRTIO_MODEL_QUEUES_MAX */
	uint16_t queue_size; /* entries, at most */
	uint16_t seg_max;    /* 1 to VBLK_MODEL_SEG_MAX */
	uint32_t size_max;   /* bytes of a segment; 0: no word on it */
	uint16_t msix_vectors;
	uint16_t held_max;   /* requests that take time at once */
	uint64_t latency_ns; /* of each request */
	/* Rings: VIRTIO_F_* below bit 64 that are offered, of INDIRECT_DESC, EVENT_IDX, RING_PACKED, IN_ORDER, NOTIFICATION_DATA,
	 * NOTIF_CONFIG_DATA, RING_RESET, ACCESS_PLATFORM, ORDER_PLATFORM. */
	uint64_t ring_features;
	bool retains; /* keeps its state in D3hot */
	bool read_only, flush, config_wce, writeback, discard, write_zeroes, lifetime, topology;
};

/* Sensible values: split rings with all that makes them quick. */
void vblk_model_config_default(struct vblk_model_config *config);

/*
 * A disk on @backing, which it owns when it succeeds, with blocks of @block_bytes (512 or 4096).
 * 0; -EINVAL; -ENOMEM.
 */
int vblk_model_create(struct model_host *host, const struct vblk_model_config *config, struct backing *backing,
		      uint32_t block_bytes, struct vblk_model **out);
void vblk_model_destroy(struct vblk_model *m);

/* Its transport: the function, the registers, what is common to all virtio devices. */
struct virtio_model *vblk_model_virtio(struct vblk_model *m);
struct backing *vblk_model_backing(struct vblk_model *m);

/* Work, at most @budget requests; true when there is more. */
bool vblk_model_run(struct vblk_model *m, unsigned budget);
/* The scheduled time has come. */
void vblk_model_event(struct vblk_model *m);
/* Another size, and the driver is told. 0; errors of the backing. */
int vblk_model_resize(struct vblk_model *m, uint64_t len_bytes);
/* Power goes and comes back: as nvme_model_power_cut(). */
void vblk_model_power_cut(struct vblk_model *m, bool (*keep)(void *arg, uint64_t offset), void *arg);

void vblk_model_set_hooks(struct vblk_model *m, const struct vblk_model_hooks *hooks);
void vblk_model_set_latency(struct vblk_model *m, uint64_t latency_ns);
/* What GET_LIFETIME answers; its wear in tenths, as the spec has it. */
void vblk_model_set_lifetime(struct vblk_model *m, uint16_t pre_eol, uint16_t type_a, uint16_t type_b);
const char *vblk_model_holds(struct vblk_model *m, uint64_t iova, uint64_t len_bytes);

struct vblk_model_stats {
	uint64_t requests, completions, interrupts, notifications, dma_refused;
	unsigned in_flight;
};

void vblk_model_stats(const struct vblk_model *m, struct vblk_model_stats *out);

#endif
