/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines, seen where they arrive at the board's interrupt controller. QEMU reports each change of an input over
 * qtest. Devices share inputs: each opener of a line has an eventfd of its own.
 */
#ifndef OB_MACHINE_QEMU_INTX_H
#define OB_MACHINE_QEMU_INTX_H

#include "base/list.h"
#include "machine/qemu/qtest.h"

#define INTX_INPUTS 256

struct qemu_intx {
	struct qtest *qtest; /* its lock guards level and lines */
	bool level[INTX_INPUTS];
	struct list lines[INTX_INPUTS]; /* struct intx_line.link */
	pthread_mutex_t lock;           /* what is below: starting once */
	char controller[128];           /* the QOM path of the one whose inputs they are */
	bool listening;
	pthread_t listener;
	int stop_fd;
};

int qemu_intx_init(struct qemu_intx *x, struct qtest *qtest);
/* End the listener; QEMU is dead, so nothing starts it again. */
void qemu_intx_stop(struct qemu_intx *x);
void qemu_intx_fini(struct qemu_intx *x);
/* Have QEMU report lines, and listen; once. 0; -ENODEV; -EIO; -ENOMEM. */
int qemu_intx_start(struct qemu_intx *x);
/* Starts it when it is not. 0; -EINVAL; -ENODEV; -EIO; -ENOMEM. */
int qemu_intx_open(struct qemu_intx *x, unsigned input, struct machine_intx *out);
void qemu_intx_close(struct qemu_intx *x, struct machine_intx *line);
bool qemu_intx_level(struct qemu_intx *x, struct machine_intx *line);

#endif
