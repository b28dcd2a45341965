/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI bus inside: host bridges, functions, and what each part of the room offers the others.
 *
 * A function is read once, when it is found; what was read then (capabilities, BAR sizes, ids) is what everybody uses
 * afterwards, so that a device cannot change its story later.
 */
#ifndef OB_BUS_PCI_PCI_H
#define OB_BUS_PCI_PCI_H

#include <outboard/log.h>
#include <outboard/pci.h>

#include "base/bits.h"
#include "base/list.h"
#include "core/device.h"
#include "spec/pci.h"

enum pci_space {
	PCI_SPACE_IO,
	PCI_SPACE_MEMORY,   /* below 4 GiB */
	PCI_SPACE_PREFETCH, /* above it, for what bridges forward by their 64-bit prefetchable windows */
	PCI_SPACE_COUNT,
};

/* Addresses that a BAR or a bridge's window takes. len 0: there is none. */
struct pci_range {
	uint64_t base, len_bytes, align;
	enum pci_space space;
	bool io, is_64bit, prefetchable;
	bool placed; /* base is valid */
	bool fresh;  /* placed in the round under way: may be taken back */
	bool moved;  /* went to the other memory space, as its own was full */
	bool failed; /* there was no room anywhere */
};

#define PCI_ROM_INDEX  6u
#define PCI_BAR_SLOTS  7u
#define PCI_EXT_MAX    64u /* extended capabilities remembered; real functions have a dozen */
#define PCI_BRIDGE_MAX 32u /* bridges above a function: more is a loop or an attack */

struct pci_capability {
	uint16_t id, offset;
	uint8_t version;
};

struct pci_irq_state {
	enum ob_irq_kind kind; /* 0: no interrupts allocated */
	unsigned count;
	int *fds;
	struct machine_msi *msi;
	uint32_t *masked;          /* msix: the vector control as wished, by vector; __atomic */
	uint32_t msi_mask;         /* msi: the mask register as written */
	struct ob_region table;    /* msix */
	struct machine_intx intx;  /* intx */
	bool intx_off_implemented; /* intx: the command bit holds what is written to it */
};

/* What software set up in a function's configuration, besides BARs, command and interrupts, which are known anyway. */
struct pci_saved {
	uint16_t device_control, link_control, device_control2, link_control2;
	uint8_t cache_line, latency_timer, interrupt_line;
};

struct pci_function {
	struct ob_device dev; /* first */
	struct pci_host *host;
	struct pci_function *bridge; /* the one above; NULL on the root bus */
	struct list link;            /* pci_host.functions, bridges before what is behind them */
	uint16_t bdf;
	bool is_bridge, untouchable; /* a host or ISA bridge: neither sized nor enabled nor disabled */
	bool hotplug_slot;
	bool numbering;      /* a bridge whose buses are being looked for */
	bool lost;           /* the rescan under way misses it */
	uint32_t config_len; /* 256 or 4096 */
	struct ob_pci_info info;
	struct pci_range bar[PCI_BAR_SLOTS];
	struct pci_range window[PCI_SPACE_COUNT]; /* bridges */
	bool window_io, window_io32, window_prefetch, window_prefetch64;
	unsigned cap_count, ext_count;
	struct pci_capability cap[PCI_CAPS_PER_CONFIG], ext[PCI_EXT_MAX];
	unsigned express, msi, msix, af, pm;           /* offsets of usable capabilities, or 0 */
	unsigned msix_entries;                         /* of the table, as far as it lies in its BAR */
	unsigned msix_max;                             /* a quirk's limit; 0: none */
	uint64_t quirks;                               /* PCI_QUIRK_* */
	struct ob_region region[PCI_BAR_COUNT_DEVICE]; /* len 0: not opened; closed at disable */
	uint32_t command;      /* __atomic: the command register as we want it; changed by pci_command_update() */
	uint32_t reconfigured; /* __atomic: odd while the bus itself takes the configuration away and brings it back */
	struct pci_irq_state irq;
	struct pci_saved saved; /* of a function without power */
	bool saved_valid;
};

struct pci_host {
	struct ob_device anchor; /* never added; its references are the host's: one of the scan's, one per function */
	struct list link;        /* the machine's hosts */
	struct ob *ob;
	const struct machine_bus *bus; /* to know it again; its memory is the machine's, which may be gone */
	struct machine_pci_host desc;
	struct list functions;
	struct ob_lock lock; /* the address and data ports are two accesses */
};

extern const struct bus_ops pci_bus_ops;
extern const struct bus_type pci_bus_type; /* src/bus/types.c names it */

static inline struct pci_function *pci_function_of(const struct ob_device *dev)
{
	return dev->ops == &pci_bus_ops ? container_of(dev, struct pci_function, dev) : NULL;
}

/* ---- quirks.c ---- */
#define PCI_QUIRK_NO_FLR       BIT64(0)
#define PCI_QUIRK_NO_MSI       BIT64(1)
#define PCI_QUIRK_NO_INTX_MASK BIT64(2)
void pci_quirks_apply(struct pci_function *fn);

/* ---- config.c: one access of 1, 2 or 4 bytes; all ones when nothing answers or the access is malformed ---- */
uint32_t pci_host_read(struct pci_host *host, uint16_t bdf, unsigned offset, unsigned size_bytes);
void pci_host_write(struct pci_host *host, uint16_t bdf, unsigned offset, unsigned size_bytes, uint32_t value);
unsigned pci_host_config_len(const struct pci_host *host);
/* The configuration goes now, by what the bus does, and is back: pci_is_intact() does not mind that. */
static inline void pci_reconfigure_begin(struct pci_function *fn)
{
	__atomic_store_n(&fn->reconfigured, __atomic_load_n(&fn->reconfigured, __ATOMIC_RELAXED) | 1, __ATOMIC_SEQ_CST);
}

static inline void pci_reconfigure_end(struct pci_function *fn)
{
	uint32_t count = __atomic_load_n(&fn->reconfigured, __ATOMIC_RELAXED);

	__atomic_store_n(&fn->reconfigured, (count | 1) + 1, __ATOMIC_SEQ_CST);
}

/* Does it hold what the bus set up? Otherwise it was without power, or it is another one. Any CPU, soft or task. */
bool pci_is_intact(const struct pci_function *fn);
/* Clear and set bits of the command register. Any CPU, hard context too: interrupts are masked by it. */
void pci_command_update(struct pci_function *fn, uint16_t clear, uint16_t set);

static inline uint32_t pci_read(const struct pci_function *fn, unsigned offset, unsigned size_bytes)
{
	return pci_host_read(fn->host, fn->bdf, offset, size_bytes);
}

static inline void pci_write(const struct pci_function *fn, unsigned offset, unsigned size_bytes, uint32_t value)
{
	pci_host_write(fn->host, fn->bdf, offset, size_bytes, value);
}

static inline uint8_t pci_read8(const struct pci_function *fn, unsigned offset)
{
	return (uint8_t)pci_read(fn, offset, 1);
}

static inline uint16_t pci_read16(const struct pci_function *fn, unsigned offset)
{
	return (uint16_t)pci_read(fn, offset, 2);
}

static inline uint32_t pci_read32(const struct pci_function *fn, unsigned offset)
{
	return pci_read(fn, offset, 4);
}

/* ---- capability.c ---- */
/* Walk both chains once and remember what is there and usable. */
void pci_capabilities_read(struct pci_function *fn);
unsigned pci_capability_find(const struct pci_function *fn, uint8_t id, unsigned previous);
unsigned pci_extended_find(const struct pci_function *fn, uint16_t id, unsigned previous);
/* PCIE_TYPE_* of an express function */
unsigned pci_express_type(const struct pci_function *fn);

/* ---- bar.c ---- */
/* Size all BARs and the ROM, decoding off meanwhile; what they hold stays. */
void pci_bars_read(struct pci_function *fn);
/* Write what was placed into the BARs; unplaced ones get 0. */
void pci_bars_write(struct pci_function *fn);
/* The public description of the BARs from the ranges. */
void pci_bars_publish(struct pci_function *fn);
/* Length in bytes of a BAR from the bits that stuck, or 0 for nonsense. */
uint64_t pci_bar_len(uint64_t stuck, uint64_t address_mask);

/* ---- bridge.c ---- */
/* Which windows the bridge has; on hosts that others configured, where they are. */
void pci_bridge_read(struct pci_function *fn);
void pci_bridge_set_buses(struct pci_function *fn, unsigned primary, unsigned secondary, unsigned subordinate);
/* Write the windows as placed, closed where there is none, and let the bridge forward. */
void pci_bridge_write(struct pci_function *fn);
void pci_bridge_close_windows(struct pci_function *fn);

/* ---- assign.c: address arithmetic only, no access to any device ---- */
/* Place all ranges of the host's functions that have no place yet. */
void pci_assign(struct pci_host *host);

/* ---- scan.c ---- */
int pci_scan(struct ob_machine *machine, const struct machine_bus *bus);
void pci_forget(struct ob_machine *machine);

/* ---- irq.c, msix.c, msi.c, intx.c ---- */
int pci_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, struct bus_irq_vectors *out);
void pci_irq_release(struct ob_device *dev);
void pci_irq_mask(struct ob_device *dev, unsigned vector, bool mask);
bool pci_irq_level(struct ob_device *dev, unsigned vector);
/* Program the device again after a reset. */
void pci_irq_restore(struct pci_function *fn);
/* Room for the state of @count vectors. 0; -ENOMEM. */
int pci_irq_alloc_state(struct pci_function *fn, unsigned count);
void pci_irq_free_state(struct pci_function *fn);
/* Messages from the machine into the state: *count of them or fewer, at least @min. */
int pci_msi_take(struct pci_function *fn, unsigned min, unsigned *count, bool contiguous);

int pci_msix_alloc(struct pci_function *fn, unsigned min, unsigned max);
void pci_msix_release(struct pci_function *fn);
void pci_msix_mask(struct pci_function *fn, unsigned vector, bool mask);
void pci_msix_restore(struct pci_function *fn);
int pci_msi_alloc(struct pci_function *fn, unsigned min, unsigned max);
void pci_msi_release(struct pci_function *fn);
void pci_msi_mask(struct pci_function *fn, unsigned vector, bool mask);
void pci_msi_restore(struct pci_function *fn);
int pci_intx_alloc(struct pci_function *fn);
void pci_intx_release(struct pci_function *fn);
void pci_intx_mask(struct pci_function *fn, bool mask);
/* Slot and pin at the root bus of the function's pin 1..4. */
void pci_intx_swizzle(const struct pci_function *fn, unsigned *slot, unsigned *pin);

/* ---- reset.c ---- */
int pci_reset(struct ob_device *dev);
/* Wait until the function's vendor id reads as it was. Task. 0; -ETIMEDOUT; -ENODEV. */
int pci_wait_ready(struct pci_function *fn, uint64_t deadline_ns);
/* Until no request of the function is unanswered; not for ever. Task. */
void pci_wait_quiet(struct pci_function *fn);
/* What software set up, for a function that is about to lose it. */
void pci_save(struct pci_function *fn, struct pci_saved *s);
/* … and all of it again, with BARs, command and interrupts. */
void pci_restore(struct pci_function *fn, const struct pci_saved *s);

/* ---- power.c ---- */
int pci_suspend(struct ob_device *dev);
int pci_resume(struct ob_device *dev);
/* For its driver to come: whoever had it before may have left it without power. Task. 0; -ENODEV. */
int pci_power_on(struct pci_function *fn);

#endif
