/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A computer that QEMU emulates: what is particular to it. Its host bridge as firmware would set it up, its memory's
 * addresses, and where its interrupt lines arrive. All registers over qtest.
 */
#ifndef OB_MACHINE_QEMU_BOARD_H
#define OB_MACHINE_QEMU_BOARD_H

#include "machine/qemu/qmp.h"
#include "machine/qemu/qtest.h"

#define QEMU_DOORBELL_SLOT 0x1e /* free, and out of the way of slots that QEMU gives out from 1 on */

/* Where the bytes of the memory file are in the machine. */
struct qemu_memory_map {
	uint64_t base;           /* the file's start */
	uint64_t skip_bytes;     /* not for DMA: what firmware, tables or address 0 make odd */
	uint64_t low_max_bytes;  /* a file of so many bytes or more is in two parts: */
	uint64_t low_part_bytes; /* the lower one's length; what is above it starts at … */
	uint64_t high_base;
	uint64_t note_offset; /* a free page in what is skipped, for who attaches */
};

struct qemu_board {
	const char *name;             /* as in "qemu:q35" */
	const char *binary, *package; /* of QEMU, and where Debian has it */
	const char *const *args;      /* QEMU's, NULL-terminated; the machine's options come with the wiring */
	const char *machine;          /* value of -machine, but for the memory */
	bool has_rom;                 /* its CPU wants firmware to be kept quiet */
	struct qemu_memory_map memory;
	uint64_t port_base;  /* I/O ports are memory from there on; 0: they are x86's */
	bool virtio_mmio;    /* it has places for virtio devices that are not on PCI */
	uint64_t tree_bytes; /* of memory from its start on hold the device tree; 0: there is none */
	/* Set the host bridge up. 0; -ENODEV QEMU is gone; -EINVAL it is another machine. */
	int (*init)(struct qtest *q);
	/* Configuration space of a slot of the root bus, before anybody enumerates; one of 32 bits. */
	uint32_t (*config_read)(struct qtest *q, unsigned slot, unsigned offset);
	void (*config_write)(struct qtest *q, unsigned slot, unsigned offset, uint32_t value);
	uint32_t doorbell_bar;        /* where the doorbell device's registers go */
	struct machine_pci_host host; /* for bus/pci, while the doorbell is not in use */
	/* Lines are seen at the inputs of this object; or of the one of that type below it. */
	const char *controller_path, *controller_type;
	/* The input behind @pin (1 INTA .. 4 INTD) of root-bus @slot. */
	unsigned (*intx_input)(unsigned slot, unsigned pin);
	/* The input that a device tree's interrupt number is. -ENOENT: none. NULL: there are none. */
	int (*line_input)(uint64_t controller, uint32_t number);
};

extern const struct qemu_board qemu_q35, qemu_virt;

/** qemu_board_find - by its name, of @len bytes; NULL: unknown */
const struct qemu_board *qemu_board_find(const char *name, size_t len);
/** qemu_board_map_doorbell - give it its address. 0; -ENODEV QEMU is gone; -ENOENT no such device */
int qemu_board_map_doorbell(const struct qemu_board *board, struct qtest *q);
/** qemu_board_describe - the host bridge for bus/pci; without the doorbell device when it is in use */
void qemu_board_describe(const struct qemu_board *board, bool doorbell, struct machine_pci_host *out);
/** qemu_board_controller - the object at whose inputs lines are seen. 0; -ENOENT there is none; what qmp_command() says */
int qemu_board_controller(const struct qemu_board *board, struct qmp *qmp, char *out, size_t out_bytes,
			  uint64_t deadline_ns);

#endif
