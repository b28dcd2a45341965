/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level-triggered lines of q35, seen where the chipset drives them into the I/O APIC.
 *
 * ICH9 routes each slot's pin to one of eight PIRQs, and PIRQ A..H to the I/O APIC's inputs 16..23. QEMU reports each
 * change of an input over qtest. Devices share inputs: each opener of a line has an eventfd of its own.
 */
#ifndef OB_MACHINE_QEMU_INTX_H
#define OB_MACHINE_QEMU_INTX_H

#include "base/list.h"
#include "machine/qemu/qtest.h"

#define INTX_INPUTS 24

struct qemu_intx {
	struct qtest *qtest; /* its lock guards level and lines */
	bool level[INTX_INPUTS];
	struct list lines[INTX_INPUTS]; /* struct intx_line.link */
	pthread_mutex_t lock;           /* what is below: starting once */
	bool listening;
	pthread_t listener;
	int stop_fd;
};

/* The I/O APIC input behind @pin (1 INTA .. 4 INTD) of root-bus @slot. */
unsigned qemu_intx_input(unsigned slot, unsigned pin);

int qemu_intx_init(struct qemu_intx *x, struct qtest *qtest);
/* End the listener; QEMU is dead, so nothing starts it again. */
void qemu_intx_stop(struct qemu_intx *x);
void qemu_intx_fini(struct qemu_intx *x);
/* Have QEMU report lines, and listen; once. 0; -ENODEV; -EIO; -ENOMEM. */
int qemu_intx_start(struct qemu_intx *x);
/* Starts it when it is not. 0; -EINVAL; -ENODEV; -EIO; -ENOMEM. */
int qemu_intx_open(struct qemu_intx *x, unsigned slot, unsigned pin, struct machine_intx *out);
void qemu_intx_close(struct qemu_intx *x, struct machine_intx *line);
bool qemu_intx_level(struct qemu_intx *x, struct machine_intx *line);

#endif
