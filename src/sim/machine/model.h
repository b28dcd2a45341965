/* SPDX-License-Identifier: BSD-2-Clause */
/* The world's machine ("sim:"), as its files share it: what device.h has of devices, and what they stand in. */
#ifndef OB_SIM_MODEL_H
#define OB_SIM_MODEL_H

#include "machine/machine.h"
#include "sim/device.h"
#include "sim/world.h"

#define SIM_DEVICES_MAX 4
#define SIM_LATE_MAX    32
#define SIM_FIRST_SLOT  2
#define SIM_MSI_ADDRESS 0xfee00000ull

/* The line of a pin at the root bus. */
struct sim_line {
	int fd;
	unsigned users; /* 0: nobody listens */
	unsigned level; /* how many hold it */
};

/* An interrupt on its way. */
struct sim_late {
	uint64_t due_ns;
	int fd;
};

struct sim_machine {
	struct machine machine; /* first */
	struct machine_bus buses[2];
	struct model_pci_root root;
	struct sim_device *devices[SIM_DEVICES_MAX];
	unsigned device_count;
	struct sim_line lines[SIM_DEVICES_MAX][4]; /* by slot and pin, from 0 */
	int msi_fds[WORLD_FDS];                    /* by the message's data; 0: free */
	struct sim_late late[SIM_LATE_MAX];        /* in no order */
	unsigned late_count;
};

extern struct sim_machine *sim_machine; /* NULL: closed */

/* host.c: what a model is given, and its work */
int sim_device_create(struct sim_machine *m, const struct sim_device_type *type);

/* When the device's thread has something to do next. */
void sim_device_derive_due(void);

/* fault/device.c: true: something befell one of them */
bool fault_devices(struct sim_machine *m);
/* It says that it cannot go on, which is no mistake of its driver's. */
void fault_device_fail(struct sim_device *dev);

/* fault/bus.c: what the CPU reads in place of @value; does a write arrive? */
uint64_t fault_register_read(struct sim_device *dev, unsigned bar, uint64_t offset, unsigned size_bytes,
			     uint64_t value);
bool fault_register_write(struct sim_device *dev, unsigned bar, uint64_t offset);
uint32_t fault_config_read(struct sim_device *dev, unsigned offset, unsigned size_bytes, uint32_t value);
bool fault_config_write(struct sim_device *dev);

/* interrupt.c */
/* One that was late has its time; true: there was one. */
bool sim_interrupt_due(struct sim_machine *m);
uint64_t sim_interrupt_due_ns(const struct sim_machine *m);
/* How many vectors a device with MSI-X has, of which its driver could use @usual; 0: it has no MSI-X. */
uint16_t sim_msix_vectors(unsigned usual);
void sim_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data);
void sim_line_set(struct model_pci_root *root, unsigned slot, unsigned pin, bool level);
int sim_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous, struct machine_msi *out);
void sim_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi);
int sim_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin, struct machine_intx *out);
void sim_intx_close(struct machine *m, struct machine_intx *line);
bool sim_intx_level(struct machine *m, struct machine_intx *line);

#endif
