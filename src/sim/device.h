/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device models in the world's machine. A kind of device is a struct sim_device_type; a scenario names the ones that its
 * machine has. Whoever tests a driver of his own writes a model (src/model/host.h says what it is given) and a type for
 * it beside his scenario, and changes nothing here.
 *
 * Models run on the device's thread of the world, all of them, one at a time; they are not instrumented.
 */
#ifndef OB_SIM_DEVICE_H
#define OB_SIM_DEVICE_H

#include "model/host.h"
#include "model/pci/pci_model.h"
#include "sim/sim.h"

#define SIM_DEVICE_STATES 256

/* A register, for faults that are about one. */
struct sim_register {
	const char *name;
	uint64_t offset;
	unsigned len_bytes; /* 0: the end of the table */
	bool is_trusted;    /* drivers build on what it says where their memory is concerned */
};

/* A register that keeps its value, whatever is written to it. */
struct sim_stuck {
	uint64_t offset, value;
	unsigned len_bytes;
};

/* A device of the machine. */
struct sim_device {
	struct model_host host; /* first; what the model is given */
	struct model_pci pci;
	const struct sim_device_type *type;
	void *model;                            /* the type's */
	uint64_t due_ns;                        /* it asked to be called then; NEVER */
	bool kicked;                            /* it asked to be run */
	unsigned state;                         /* as of when view_states() last looked */
	uint64_t seen_at[PCI_BAR_COUNT_DEVICE]; /* where its BARs have been; MODEL_PCI_DEAD: nowhere yet */

	struct model_pci *port;       /* with its slot; NULL: at the root bus */
	uint64_t insert_ns;           /* it is out, and comes back then; NEVER */
	const struct fault_rule *cut; /* its power is about to go, by this: at the next command or at @cut_ns */
	uint64_t cut_ns, cut_commands;
	uint64_t ones_until_ns, config_ones_until_ns;
	struct sim_stuck stuck[4];
	unsigned stuck_count;
};

struct fault_rule;

struct sim_device_type {
	const char *name, *help;
	/*
	 * Make dev->model and its function: model_pci_init(&dev->pci, bus, devfn, …) with the operations that register
	 * accesses go to, and its capabilities. Memory comes from dev->host and is gone with the run. 0 or negative
	 * errno.
	 */
	int (*create)(struct sim_device *dev, struct model_pci_bus *bus, uint8_t devfn);
	/* The machine is closed. May be NULL. */
	void (*destroy)(struct sim_device *dev);
	/* It was kicked: do one thing; true when there is more. */
	bool (*run)(struct sim_device *dev);
	/* The time that it scheduled has come. */
	void (*event)(struct sim_device *dev);
	/* What it has this memory for, which the driver is about to take away; NULL: nothing. May be NULL. */
	const char *(*holds)(struct sim_device *dev, uint64_t iova, uint64_t len_bytes);
	/* What it has told and no CPU has taken note of, though interrupts are on; false: nothing. May be NULL. */
	bool (*unseen)(struct sim_device *dev, char *text, size_t size);
	/*
	 * Faults of the device as a whole; NULL: it does not have them. It says that it cannot go on, and what its model
	 * complains of meanwhile is excused; power goes, and comes back at once.
	 */
	void (*fail)(struct sim_device *dev);
	void (*power_cut)(struct sim_device *dev, const struct fault_rule *rule);
	const struct sim_register *registers; /* or NULL */
	/* For reports, pictures and figures; any may be NULL. The lines say what state it is in, and what it does. */
	void (*describe)(struct sim_device *dev, char *text, size_t size);
	/* What it calls a register, an address that it may reach; false: nothing of its own. */
	bool (*register_name)(struct sim_device *dev, unsigned bar, uint64_t offset, char *text, size_t size);
	bool (*memory_name)(struct sim_device *dev, uint64_t iova, char *text, size_t size);
	/* What view_command() and view_completion() told of, in words. */
	void (*command_text)(struct sim_device *dev, bool completed, uint64_t a, uint64_t b, char *text, size_t size);
	/* Its state as a number below SIM_DEVICE_STATES, and such a number in words. Often called: it must be cheap. */
	unsigned (*state)(struct sim_device *dev);
	void (*state_name)(unsigned state, char *text, size_t size);
};

extern const struct sim_device_type sim_nvme, sim_virtio_blk, sim_virtio_net;

#endif
