/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of an NVMe 1.4 controller: what its host sees of it.
 *
 * It works commands off when it is run: a doorbell or a due time makes it ask for that by the host's kick and schedule.
 * One thread at a time may be inside. Without delays a command is fetched, executed and completed in one go.
 */
#ifndef OB_MODEL_BLOCK_NVME_MODEL_H
#define OB_MODEL_BLOCK_NVME_MODEL_H

#include <outboard/types.h>

#include "model/block/backing.h"
#include "model/host.h"
#include "model/pci/pci_model.h"
#include "spec/nvme.h"

#define NVME_MODEL_QUEUES_MAX   255  /* I/O queue pairs */
#define NVME_MODEL_NAMESPACES   1024 /* NN at most */
#define NVME_MODEL_FW_SLOTS     7
#define NVME_MODEL_BAR_BYTES    0x4000u
#define NVME_MODEL_MSIX_TABLE   0x2000u
#define NVME_MODEL_MSIX_PBA     0x3000u
#define NVME_MODEL_MSIX_MAX     256
#define NVME_MODEL_CMB_BAR      2
#define NVME_MODEL_CMB_MAX      (256u << 20)
#define NVME_MODEL_CAPACITY_MAX (1ull << 50)

struct nvme_model;

/* One command as the hooks see it. */
struct nvme_model_command {
	uint16_t sqid, cid;
	uint8_t opcode;
	uint32_t nsid;
	uint64_t lba; /* of I/O commands that have one */
	uint32_t block_count;
};

/* A world's way to be cruel. Any member may be NULL. */
struct nvme_model_hooks {
	void *arg;
	/* How much longer the command takes; MODEL_NEVER: it hangs until it is aborted or the controller reset. */
	uint64_t (*delay_ns)(void *arg, const struct nvme_model_command *command);
	/* End it with this status, not executed; 0: execute it. As in the completion entry without the phase bit. */
	uint16_t (*fail)(void *arg, const struct nvme_model_command *command);
	/* Change the completion entry at will before it is written. */
	void (*completion)(void *arg, const struct nvme_model_command *command, struct nvme_cqe *cqe);
	/* Change what an admin command returns in memory before it is written: identify data, logs, features. */
	void (*data)(void *arg, void *data, uint32_t len_bytes);
};

struct nvme_model_config {
	char serial[21], model[41], firmware[9];
	uint16_t vendor, subvendor;
	uint16_t queue_pairs_max;       /* I/O queues, 1 to NVME_MODEL_QUEUES_MAX */
	uint32_t queue_entries_max;     /* 2 to 65536 */
	uint16_t msix_vectors;          /* that the function has; 0: the pin only */
	bool retains;                   /* … keeps its state in D3hot */
	uint8_t mdts;                   /* as in identify; 0: no limit */
	uint8_t doorbell_stride;        /* CAP.DSTRD, 0 to 2 */
	uint8_t page_shift_max;         /* 12 to 16 */
	uint8_t firmware_slots;         /* 1 to 7 */
	uint8_t abort_limit, aer_limit; /* 0's based, as in identify */
	uint32_t namespaces_max;        /* NN */
	bool sgl, shadow_doorbells, volatile_cache, namespace_management, compare, write_zeroes, dataset_management;
	/* Controller memory buffer: 0 none, or a multiple of 4 KiB; what may lie in it, as in CMBSZ. */
	uint32_t cmb_bytes, cmb_uses;
	bool cmb_legacy;         /* as before NVMe 1.4: addressed by its BAR, no CMBMSC */
	uint64_t capacity_bytes; /* of the subsystem, for namespace management */
	uint64_t latency_ns;     /* of each I/O command */
	uint64_t ready_ns, shutdown_ns;
	/* Storage for a namespace that is created by command. NULL: there is none to be had. */
	int (*backing_create)(void *arg, uint64_t len_bytes, struct backing **out);
	void *backing_arg;
};

/* Sensible values, one I/O queue pair per likely CPU. */
void nvme_model_config_default(struct nvme_model_config *config);

/* 0; -EINVAL; -ENOMEM. */
int nvme_model_create(struct model_host *host, const struct nvme_model_config *config, struct nvme_model **out);
/* The namespaces' backings go too. */
void nvme_model_destroy(struct nvme_model *n);

/* Add a namespace; it owns @backing when it succeeds. 0; -EINVAL id or size; -EEXIST. */
int nvme_model_namespace_add(struct nvme_model *n, uint32_t nsid, struct backing *backing, unsigned lba_shift,
			     bool attached, bool read_only);
/* What happens to a namespace from outside, with its event. 0; -ENOENT; errors of the backing. */
int nvme_model_namespace_resize(struct nvme_model *n, uint32_t nsid, uint64_t len_bytes);
int nvme_model_namespace_attach(struct nvme_model *n, uint32_t nsid, bool attached);
struct backing *nvme_model_namespace_backing(struct nvme_model *n, uint32_t nsid);

/*
 * The controller as a PCI function: @f on @bus at @devfn, with its registers, capabilities and vectors. It is there once
 * the namespaces are added and model_pci_ready() is called. 0; -ENOMEM.
 */
int nvme_model_function_init(struct nvme_model *n, struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn);
/* Its operations; f->model is the controller. For who puts others before them. */
extern const struct model_pci_ops nvme_model_function_ops;

/* Register access. */
uint64_t nvme_model_read(struct nvme_model *n, uint64_t offset, unsigned size_bytes);
void nvme_model_write(struct nvme_model *n, uint64_t offset, unsigned size_bytes, uint64_t value);
/* Work, at most @budget commands; true when there is more. */
bool nvme_model_run(struct nvme_model *n, unsigned budget);
/* The scheduled time has come. */
void nvme_model_event(struct nvme_model *n);
/* Function-level reset; power stays. */
void nvme_model_reset(struct nvme_model *n);
/* The function goes to D3hot, from where it may not come back as it was. */
void nvme_model_sleep(struct nvme_model *n);
/* MSI-X was switched on or off. */
void nvme_model_interrupts_changed(struct nvme_model *n);
/*
 * Power goes and comes back: what the volatile caches held is lost, but for what keep() says (see
 * backing_cache_power_cut()).
 */
void nvme_model_power_cut(struct nvme_model *n, bool (*keep)(void *arg, uint64_t offset), void *arg);

void nvme_model_set_hooks(struct nvme_model *n, const struct nvme_model_hooks *hooks);
void nvme_model_set_latency(struct nvme_model *n, uint64_t latency_ns);
/* Health: raises the events that belong to it. */
void nvme_model_set_temperature(struct nvme_model *n, uint16_t kelvin);
void nvme_model_set_warning(struct nvme_model *n, uint8_t critical_warning);
/* The controller dies: CSTS.CFS. */
void nvme_model_fail(struct nvme_model *n, const char *why);

/*
 * Which of its own purposes the controller has memory of the host for, now that it is to be taken away: a name for a
 * message, or NULL, it has none. Of a command's data the beginnings are known.
 */
const char *nvme_model_holds(const struct nvme_model *n, uint64_t iova, uint64_t len_bytes);
/* A completion queue that interrupts, and has entries that its head says nobody took; false: none. */
bool nvme_model_unseen(const struct nvme_model *n, unsigned *qid);

struct nvme_model_stats {
	uint64_t commands, completions, interrupts, doorbells, dma_refused;
	unsigned in_flight;
};

void nvme_model_stats(const struct nvme_model *n, struct nvme_model_stats *out);

/*
 * describe.c: in words, for who looks for a driver's bug. All of the state, in lines; the registers' and queues' names,
 * false when it has none; a command's name.
 */
void nvme_model_describe(const struct nvme_model *n, char *text, size_t size);
bool nvme_model_register_name(const struct nvme_model *n, unsigned bar, uint64_t offset, char *text, size_t size);
bool nvme_model_memory_name(const struct nvme_model *n, uint64_t iova, char *text, size_t size);
const char *nvme_model_command_name(unsigned sqid, uint8_t opcode);
/* The state as a number, which says what a test has come through: mode, queues, commands, events. */
#define NVME_MODEL_STATES 256
unsigned nvme_model_state(const struct nvme_model *n);
void nvme_model_state_name(unsigned state, char *text, size_t size);

#endif
