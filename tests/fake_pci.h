/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI host in the test process, for the bus's own unit tests: functions that are nothing but configuration space,
 * with bridges that route by the bus numbers they were given. What is read, sized and enabled is the test's to set up,
 * lies included. Drivers are not tested on it.
 */
#ifndef TESTS_FAKE_PCI_H
#define TESTS_FAKE_PCI_H

#include <outboard/pci.h>

#include "core/device.h"
#include "spec/pci.h"

#define FAKE_FUNCTIONS_MAX 320
#define FAKE_BAR_BYTES     0x10000 /* what a region of a BAR really has behind it */

struct fake_function {
	struct fake_function *parent; /* the bridge it is behind; NULL on the root bus */
	uint8_t devfn;
	uint8_t config[PCIE_CONFIG_LEN];
	uint8_t writable[PCIE_CONFIG_LEN];
	bool absent;                   /* answers nothing */
	unsigned retries;              /* so often the vendor id reads as "try again" */
	bool sized_decoding;           /* a BAR held all ones while the function decoded */
	unsigned flr_offset, flr_mask; /* the register and bit that reset it; 0: none */
	unsigned resets, away;         /* away: reads of the vendor id after a reset that find nobody */
	unsigned intx_slot, intx_pin;
	uint8_t reset_config[PCIE_CONFIG_LEN];
};

struct fake_host {
	struct machine m; /* first */
	struct machine_bus bus[2];
	struct fake_function functions[FAKE_FUNCTIONS_MAX];
	unsigned count;
	bool conflict;    /* two bridges claimed one bus number */
	uint32_t cf8;     /* the address port */
	unsigned writes;  /* configuration writes */
	unsigned vectors; /* messages that may be had; contiguous ones in the same count */
	unsigned taken;
	bool no_program;
	bool resets;     /* the machine resets what cannot reset itself: to its reset_config, or */
	int reset_error; /* it fails so */
	_Alignas(4096) uint8_t memory[FAKE_BAR_BYTES]; /* behind every region */
	uint64_t region_address, region_bytes;
	unsigned regions_open, lines_open;
};

extern struct fake_host fake_host;
extern const struct machine_type fake_pci_type;

/* An empty host: 64 KiB of ports, 256 MiB below 4 GiB, 64 GiB above, buses 0 to 255. */
void fake_pci_reset(void);
/* A function with ids and a class; type 0 header, or type 1 by fake_pci_bridge(). */
struct fake_function *fake_pci_add(struct fake_function *parent, unsigned slot, unsigned function, unsigned vendor,
				   unsigned device, unsigned class_code);
struct fake_function *fake_pci_bridge(struct fake_function *parent, unsigned slot, unsigned function);
void fake_pci_set(struct fake_function *f, unsigned offset, unsigned size_bytes, uint32_t value, uint32_t writable);
uint32_t fake_pci_get(const struct fake_function *f, unsigned offset, unsigned size_bytes);
/* A memory BAR of @len_bytes; flags are PCI_BAR_* bits of the register. */
void fake_pci_bar(struct fake_function *f, unsigned index, uint64_t len_bytes, uint32_t flags);
/* Put a capability at @offset and hang it in behind the last one. */
void fake_pci_capability(struct fake_function *f, unsigned offset, unsigned id);
void fake_pci_extended(struct fake_function *f, unsigned offset, unsigned id, unsigned next);
/* PCI Express at 0x40 of @type, with FLR when wanted. */
void fake_pci_express(struct fake_function *f, unsigned type, bool flr);

/* ---- the machine over it ---- */

/* Opens "fake:" without binding; returns what that gave. Messages are kept. */
int fake_pci_open(struct ob **ob, struct ob_machine **machine);
void fake_pci_close(struct ob *ob, struct ob_machine *machine);
bool fake_pci_logged(const char *text);
/* By name, not held; NULL. */
struct ob_device *fake_pci_device(struct ob_machine *machine, const char *name);
/* Run in a task of CPU 0. */
void fake_pci_in_task(struct ob *ob, void (*fn)(void *arg), void *arg);

#endif
