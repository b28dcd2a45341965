/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all models of virtio devices have in common: status, features, queues, configuration, interrupts, and their PCI
 * function (VIRTIO 1.2 clauses 2 to 4.1). A class of devices adds its configuration and what its queues' requests mean.
 *
 * Driver and device are checked against the specification here: what a driver must not do is noted, and what cannot be
 * gone on with makes the device ask for a reset. One thread at a time may be inside.
 */
#ifndef OB_MODEL_VIRTIO_VIRTIO_MODEL_H
#define OB_MODEL_VIRTIO_VIRTIO_MODEL_H

#include <outboard/types.h>

#include "model/host.h"
#include "model/pci/pci_model.h"
#include "spec/virtio.h"
#include "virtqueue/device.h"

#define VIRTIO_MODEL_QUEUES_MAX 256
#define VIRTIO_MODEL_MSIX_MAX   256

/* The function's BAR, and what is where in it. */
#define VIRTIO_MODEL_BAR        0
#define VIRTIO_MODEL_BAR_BYTES  0x8000u
#define VIRTIO_MODEL_COMMON     0x0000u
#define VIRTIO_MODEL_ISR        0x1000u
#define VIRTIO_MODEL_DEVICE     0x2000u
#define VIRTIO_MODEL_NOTIFY     0x3000u
#define VIRTIO_MODEL_MSIX_TABLE 0x4000u
#define VIRTIO_MODEL_MSIX_PBA   0x5000u
#define VIRTIO_MODEL_MULTIPLIER 4u

struct virtio_model;

/* What a class of devices is. */
struct virtio_model_ops {
	/* All that is under way is forgotten; the queues are stopped already. */
	void (*reset)(struct virtio_model *v);
	/* The same for one queue (VIRTIO_F_RING_RESET). */
	void (*queue_reset)(struct virtio_model *v, unsigned index);
	/* The driver wrote these bytes of the configuration, which it may. May be NULL. */
	void (*configured)(struct virtio_model *v, unsigned offset, unsigned len_bytes);
	/* Take requests from a queue, at most @budget. True: it goes on when it is run again, whoever kicks. */
	bool (*work)(struct virtio_model *v, unsigned index, unsigned budget);
};

struct virtio_model_config {
	uint16_t id;         /* virtio device id */
	uint32_t class_code; /* of the PCI function */
	uint64_t features;   /* offered; VERSION_1 is added */
	uint16_t queue_count;
	uint16_t queue_size;   /* the largest; a power of two where rings are split */
	uint16_t chain_max;    /* the longest chain that is taken; 0: a ring's length */
	uint16_t msix_vectors; /* 0: the pin only */
	bool retains;          /* keeps its state in D3hot */
};

/* A world's way to be cruel. Any member may be NULL. */
struct virtio_model_hooks {
	void *arg;
	/* Change what is told of a request that is done: id and written bytes. */
	void (*used)(void *arg, unsigned queue, uint16_t *id, uint32_t *written_bytes);
	/* Change a field of the configuration as it is read. */
	uint64_t (*config)(void *arg, unsigned offset, unsigned size_bytes, uint64_t value);
};

struct virtio_model_stats {
	uint64_t requests, completions, interrupts, notifications, dma_refused;
};

struct virtio_model_queue {
	struct virtqueue_device vq;
	uint64_t desc, driver, device;
	uint16_t size, vector;
	bool enabled;
	bool ready;  /* vq is set up */
	bool paused; /* by its class, which marks it when it can go on */
	bool dirty;  /* requests were given back since the last look at interrupts */
};

/* Embedded first by a class's model. */
struct virtio_model {
	struct model_host *host;
	const struct virtio_model_ops *ops;
	struct virtio_model_config config;
	struct virtio_model_hooks hooks;
	struct virtio_model_stats stats;
	uint8_t *space;                /* the class's configuration, little endian */
	const uint8_t *space_writable; /* a byte for each: may the driver write it? */
	unsigned space_bytes;
	struct model_pci *function;
	/* registers */
	uint64_t accepted; /* features, as the driver writes them; final with FEATURES_OK */
	uint32_t device_select, driver_select;
	uint16_t queue_select, config_vector;
	uint8_t status, generation, isr;
	uint64_t pending[VIRTIO_MODEL_QUEUES_MAX / 64];
	struct virtio_model_queue *queues; /* config.queue_count of them */
	uint64_t accesses_refused;
};

/* 0; -EINVAL; -ENOMEM. @v is zeroed, but for space and its length. */
int virtio_model_init(struct virtio_model *v, struct model_host *host, const struct virtio_model_config *config,
		      const struct virtio_model_ops *ops);
void virtio_model_fini(struct virtio_model *v);

/* The device as a PCI function; as nvme_model_function_init(). */
int virtio_model_function_init(struct virtio_model *v, struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn);
/* Its operations; f->model is the struct virtio_model. */
extern const struct model_pci_ops virtio_model_function_ops;

/* Work, at most @budget requests; true when there is more. */
bool virtio_model_run(struct virtio_model *v, unsigned budget);
/* Function-level reset. */
void virtio_model_reset(struct virtio_model *v);
void virtio_model_set_hooks(struct virtio_model *v, const struct virtio_model_hooks *hooks);
/* The device has had enough: it works no more, and says so (DEVICE_NEEDS_RESET). */
void virtio_model_fail(struct virtio_model *v, const char *why);
/* Which of its own purposes it has memory of the host for; or NULL. */
const char *virtio_model_holds(const struct virtio_model *v, uint64_t iova, uint64_t len_bytes);

/* describe.c: in words, for who looks for a driver's bug; as nvme_model_describe() and its relatives. */
#define VIRTIO_MODEL_STATES 96
void virtio_model_describe(const struct virtio_model *v, unsigned in_flight, char *text, size_t size);
bool virtio_model_register_name(const struct virtio_model *v, unsigned bar, uint64_t offset, char *text, size_t size);
bool virtio_model_memory_name(const struct virtio_model *v, uint64_t iova, char *text, size_t size);
unsigned virtio_model_state(const struct virtio_model *v, unsigned in_flight);
void virtio_model_state_name(unsigned state, char *text, size_t size);

/* ---- for the classes ---- */

bool virtio_model_has(const struct virtio_model *v, unsigned feature);
/* Started, and not failed. */
bool virtio_model_works(const struct virtio_model *v);
/* The next request: true; false none, or the queue is broken and the device with it. */
bool virtio_model_pop(struct virtio_model *v, unsigned index, struct virtqueue_piece *pieces, unsigned piece_max,
		      struct virtqueue_chain *chain);
/* Give a request back. virtio_model_settle() makes it seen. */
void virtio_model_push(struct virtio_model *v, unsigned index, const struct virtqueue_chain *chain,
		       uint32_t written_bytes);
/* What was given back is seen, and the driver interrupted if it wants that. */
void virtio_model_settle(struct virtio_model *v, unsigned index);
/* From within work: nothing more can be taken from the queue until it is marked. */
void virtio_model_pause(struct virtio_model *v, unsigned index);
/* Have the queue worked again, as what kept it from going on is over. */
void virtio_model_mark(struct virtio_model *v, unsigned index);
/* The class changed its configuration: another generation, and an interrupt. */
void virtio_model_config_changed(struct virtio_model *v);

/* Bytes between a request's pieces and us, from @skip bytes on. 0; -EACCES; -EINVAL there are not as many. */
int virtio_model_gather(struct virtio_model *v, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
			void *to, size_t len_bytes);
int virtio_model_scatter(struct virtio_model *v, const struct virtqueue_piece *pieces, unsigned count, uint64_t skip,
			 const void *from, size_t len_bytes);

/* ---- for the files of this directory ---- */

uint64_t virtio_model_common_read(struct virtio_model *v, unsigned offset, unsigned size_bytes);
void virtio_model_common_write(struct virtio_model *v, unsigned offset, unsigned size_bytes, uint32_t value);
void virtio_model_notified(struct virtio_model *v, unsigned slot, unsigned size_bytes, uint32_t value);
void virtio_model_queue_stop(struct virtio_model *v, unsigned index);
/* Set up for use; the device is started. */
void virtio_model_queue_start(struct virtio_model *v, unsigned index);
void virtio_model_interrupt(struct virtio_model *v, uint16_t vector, uint8_t cause);
/* The pin as it should be. */
void virtio_model_pin_update(struct virtio_model *v);

#endif
