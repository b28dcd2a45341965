/* SPDX-License-Identifier: BSD-2-Clause */
/* What virtio devices in the world's machine have in common: how their rings are, and what they say falsely. */
#ifndef OB_SIM_VIRTIO_H
#define OB_SIM_VIRTIO_H

#include "model/virtio/virtio_model.h"
#include "sim/machine/model.h"

/* What a device adds to its model: what it pretends of its status. The first of sim_device.model. */
struct sim_virtio {
	struct virtio_model *virtio;
	void (*reset)(struct sim_device *dev); /* the driver resets it; may be NULL */
	bool never_agrees, never_resets;
};

/* For struct sim_register. */
#define SIM_VIRTIO_REGISTERS                                                                     \
	{"device_feature", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_DEVICE_FEATURE, 4, true},         \
		{"num_queues", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_NUM_QUEUES, 2, false},        \
		{"device_status", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_STATUS, 1, false},         \
		{"config_generation", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_GENERATION, 1, false}, \
		{"queue_size", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_QUEUE_SIZE, 2, true},         \
	{                                                                                        \
		"queue_enable", VIRTIO_MODEL_COMMON + VIRTIO_COMMON_QUEUE_ENABLE, 2, false       \
	}

/* What its rings are offered with, as the seed says. */
uint64_t sim_ring_features(void);
/* Its PCI function, which lies as the faults say. As virtio_model_function_init(). */
int sim_virtio_function(struct sim_device *dev, struct virtio_model *virtio, struct model_pci_bus *bus, uint8_t devfn);
/* Of its struct sim_device_type. It fails by saying that it needs a reset. */
void sim_virtio_fail(struct sim_device *dev);
bool sim_virtio_register_name(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size);
bool sim_virtio_memory_name(struct sim_device *dev, uint64_t iova, char *text, size_t size);

#endif
