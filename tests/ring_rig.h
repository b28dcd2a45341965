/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ends of a virtqueue in one process, on memory whose addresses are not its pointers. */
#ifndef OB_TESTS_RING_RIG_H
#define OB_TESTS_RING_RIG_H

#include "virtqueue/device.h"
#include "virtqueue/driver.h"

#define RING_RIG_ADDRESS 0x7654000000ull /* of the memory's first byte, for the device */

struct ring_rig_config {
	uint64_t features;
	uint16_t size, chain_max, indirect_from;
	uint16_t device_chain_max;
	bool through_ops; /* the device has the memory not mapped */
	uint32_t frames;  /* slots of framed requests, 0: none */
};

struct ring_rig {
	struct ring_rig_config config;
	uint8_t *memory; /* ring, tables, then buffers */
	size_t memory_bytes, ring_bytes, table_bytes;
	void *shadow;
	struct ob_region doorbell;
	unsigned kicks;
	uint64_t kick_value, kick_offset;
	unsigned kick_bytes;
	struct virtqueue_driver driver;
	struct virtqueue_device device;
};

#define RING_RIG_BUFFER_BYTES 65536u
#define RING_RIG_FRAME_OUT    16u /* bytes of a frame's ends */
#define RING_RIG_FRAME_IN     1u

/* 0; negative errno of either end. */
int ring_rig_open(struct ring_rig *rig, const struct ring_rig_config *config);
void ring_rig_close(struct ring_rig *rig);
/* The device's end anew, as after a reset; what virtqueue_device_init() says. */
int ring_rig_device_init(struct ring_rig *rig);
/* As a driver of framed requests takes: what it can inline, then the general way. */
int ring_rig_take_framed(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max);
/* Pointer and address of byte @offset of the buffers. */
uint64_t ring_rig_buffer(const struct ring_rig *rig, size_t offset);
void *ring_rig_pointer(const struct ring_rig *rig, uint64_t address);

#endif
