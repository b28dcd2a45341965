/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Models of PCI Express: a root complex with its bus, root ports with hot plug slots, and what all functions have in
 * common (configuration space, BARs, capabilities, MSI-X).
 *
 * Configuration accesses come one at a time; accesses to a function's registers, its interrupts and its DMA come under
 * that function's own lock, which the host takes (enter and leave), also for configuration writes that reach into it.
 */
#ifndef OB_MODEL_PCI_PCI_MODEL_H
#define OB_MODEL_PCI_PCI_MODEL_H

#include <outboard/types.h>

#include "base/list.h"
#include "spec/pci.h"

#define MODEL_PCI_D3HOT 3u
#define MODEL_PCI_DEAD  UINT64_MAX /* in live[]: no access gets through */

struct model_pci;
struct model_pci_root;

/* What a device model adds to a function. */
struct model_pci_ops {
	/* Its registers, but not the MSI-X table. @offset is in the BAR and the access does not leave it. */
	uint64_t (*read)(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes);
	void (*write)(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value);
	/* Back to the state after power-on: function-level reset, reset of the bus, power of the slot. */
	void (*reset)(struct model_pci *f);
	/* Bus mastering or the kind of interrupts may have changed. */
	void (*changed)(struct model_pci *f);
	/* It goes to D3hot. May be NULL. */
	void (*sleeps)(struct model_pci *f);
};

struct model_pci_root_ops {
	void (*enter)(struct model_pci_root *root, struct model_pci *f);
	void (*leave)(struct model_pci_root *root, struct model_pci *f);
	/* A message interrupt reached the root complex. */
	void (*message)(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data);
	/* One more (or less) holds the line of @pin 1..4 at the root bus's @slot. */
	void (*line)(struct model_pci_root *root, unsigned slot, unsigned pin, bool level);
	void *(*alloc)(struct model_pci_root *root, size_t len_bytes); /* zeroed */
	void (*free)(struct model_pci_root *root, void *memory);
};

struct model_pci_bus {
	struct model_pci_root *root;
	struct model_pci *bridge; /* that leads to it; NULL: the root bus */
	struct list functions;    /* struct model_pci.link */
};

struct model_pci_root {
	const struct model_pci_root_ops *ops;
	struct model_pci_bus bus; /* number 0 */
};

struct model_pci_id {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	uint8_t pin; /* 1..4; 0 none */
};

struct model_pci {
	struct list link;
	struct model_pci_bus *bus;
	const struct model_pci_ops *ops;
	void *model; /* that the operations are of; for whoever gave them */
	uint8_t devfn;
	bool present;
	bool is_bridge;
	struct model_pci_bus secondary; /* of a bridge */
	uint16_t slot_number;           /* of a root port with a slot; 0 none */

	uint8_t config[PCIE_CONFIG_LEN];
	uint8_t writable[PCIE_CONFIG_LEN]; /* bits that software writes */
	uint8_t clears[PCIE_CONFIG_LEN];   /* bits that writing 1 clears */
	uint8_t initial[PCIE_CONFIG_LEN];  /* what reset brings back; taken by model_pci_ready() */
	unsigned cap_end;                  /* first byte behind the last capability */
	unsigned cap_last, ext_last;
	unsigned pm_cap, express_cap, msix_cap; /* offsets; 0 none */
	struct {
		uint64_t len_bytes;
		bool is_64bit, prefetchable;
	} bar[PCI_BAR_COUNT_DEVICE];

	/* Derived at each configuration write anywhere in the tree; other threads read them (OB_READ_ONCE). */
	uint64_t live[PCI_BAR_COUNT_DEVICE]; /* where accesses get through to the BAR, or MODEL_PCI_DEAD */
	bool master;                         /* DMA and messages get through */

	unsigned msix_count, msix_bar;
	uint64_t msix_table_offset, msix_pba_offset;
	struct pci_msix_entry *msix_table;
	uint8_t *msix_pending;
	bool intx, intx_up; /* what the device wants; what the line got from it */
};

void model_pci_root_init(struct model_pci_root *root, const struct model_pci_root_ops *ops);
/* An absent function is not there yet: model_pci_plug() brings it. */
void model_pci_init(struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn, const struct model_pci_id *id,
		    const struct model_pci_ops *ops);
/* @len_bytes: a power of two of at least 4 KiB. */
void model_pci_add_bar(struct model_pci *f, unsigned bar, uint64_t len_bytes, bool is_64bit, bool prefetchable);
/* Capabilities: power management, PCI Express with function-level reset, MSI-X in @bar. */
void model_pci_add_pm(struct model_pci *f);
/* On its way back from D3hot the function keeps what it knew (No_Soft_Reset), instead of being reset. */
void model_pci_keep_state(struct model_pci *f);
void model_pci_add_express(struct model_pci *f, unsigned type);
int model_pci_add_msix(struct model_pci *f, unsigned count, unsigned bar, uint64_t table_offset, uint64_t pba_offset);
/* A device serial number (extended capability). */
void model_pci_add_serial(struct model_pci *f, uint64_t serial);
/* All is added: this is what reset brings back. The function is there from now on when @present. */
void model_pci_ready(struct model_pci *f, bool present);
void model_pci_fini(struct model_pci *f);

/* A type-1 root port; @slot_number 0: no hot plug slot. Its devices go on f->secondary. */
void model_pci_port_init(struct model_pci *f, struct model_pci_bus *bus, uint8_t devfn, uint16_t slot_number);
/* Device presence behind a port: the slot's status, and its interrupt when it @changed while somebody could look. */
void model_pci_port_presence(struct model_pci *port, bool present, bool changed);
void model_pci_port_written(struct model_pci *port, unsigned offset, unsigned size_bytes);
/* What passes through a bridge: bus number, memory address. */
bool model_pci_port_leads_to(const struct model_pci *port, unsigned bus);
bool model_pci_port_forwards(const struct model_pci *port, uint64_t address, uint64_t len_bytes);

/* Put a function there or take it away, as a hand on the machine does. */
void model_pci_plug(struct model_pci *f);
void model_pci_unplug(struct model_pci *f);

struct model_pci *model_pci_find(struct model_pci_root *root, uint16_t bdf);
uint32_t model_pci_config_read(struct model_pci_root *root, uint16_t bdf, unsigned offset, unsigned size_bytes);
void model_pci_config_write(struct model_pci_root *root, uint16_t bdf, unsigned offset, unsigned size_bytes,
			    uint32_t value);
/* The function and BAR that answer at @address now, or NULL. */
struct model_pci *model_pci_decode(struct model_pci_root *root, uint64_t address, unsigned *bar, uint64_t *offset);

/* Register access to a BAR, the MSI-X table and pending bits included. Function entered. */
uint64_t model_pci_bar_read(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes);
void model_pci_bar_write(struct model_pci *f, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value);

/* Interrupts of the device. Function entered. */
bool model_pci_msix_enabled(const struct model_pci *f);
void model_pci_msix_fire(struct model_pci *f, unsigned vector);
void model_pci_intx_set(struct model_pci *f, bool level);

/* For the files of this directory. */
uint32_t model_pci_get(const struct model_pci *f, unsigned offset, unsigned size_bytes);
void model_pci_set(struct model_pci *f, unsigned offset, unsigned size_bytes, uint32_t value);
void model_pci_allow(struct model_pci *f, unsigned offset, unsigned size_bytes, uint32_t writable, uint32_t clears);
unsigned model_pci_add_capability(struct model_pci *f, uint8_t id, unsigned len_bytes);
void model_pci_derive(struct model_pci_root *root);
/* 0 for D0 to 3 for D3hot. */
unsigned model_pci_power_state(const struct model_pci *f);
void model_pci_intx_update(struct model_pci *f);
void model_pci_msix_written(struct model_pci *f);
void model_pci_reset(struct model_pci *f);
void model_pci_reset_bus(struct model_pci_bus *bus);

#endif
