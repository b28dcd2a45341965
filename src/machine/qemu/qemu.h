/* SPDX-License-Identifier: BSD-2-Clause */
/* The QEMU machine: what its parts hang on. */
#ifndef OB_MACHINE_QEMU_QEMU_H
#define OB_MACHINE_QEMU_QEMU_H

#include "machine/qemu/attach.h"
#include "machine/qemu/intx.h"
#include "machine/qemu/ivshmem.h"
#include "machine/qemu/life.h"
#include "machine/qemu/qmp.h"
#include "machine/qemu/qtest.h"
#include "machine/qemu/ram.h"
#include "machine/qemu/supervisor.h"
#include "machine/qemu/uri.h"

/* What QEMU gets from us under descriptor numbers; all of it anonymous, so nothing is left behind however we end. */
enum {
	QEMU_PASS_RAM,
	QEMU_PASS_ROM,
	QEMU_PASS_QTEST,
	QEMU_PASS_QMP,
	QEMU_PASS_IVSHMEM,
	QEMU_PASS_COUNT
};

struct qemu {
	struct machine machine;
	struct qemu_life life;
	struct qemu_uri uri;
	struct qemu_attachment attachment; /* to somebody else's QEMU */
	int qtest_fd, qmp_fd, ivshmem_fd;  /* our ends */
	unsigned peer;                     /* of the doorbell */
	struct qemu_ram ram;
	struct qemu_supervisor supervisor;
	struct qtest qtest;
	struct qmp qmp;
	struct ivshmem ivshmem;
	struct qemu_intx intx;
	uint8_t *tree; /* the device tree, as it was when we came; or NULL */
	struct machine_bus buses[3];
	/* What the supervisor's thread starts QEMU with. */
	struct {
		char path[512];
		struct strings line;
		int pass[QEMU_PASS_COUNT];
	} start;
	/* What there is to undo. */
	bool has_ram, has_supervisor, has_qtest, has_qmp, has_ivshmem, has_intx;
};

extern const struct machine_ops qemu_machine_ops;
extern const struct machine_type qemu_machine_type;

/* open.c */
int qemu_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
	      struct machine **out);
void qemu_shutdown(struct machine *m);
void qemu_close(struct machine *m);

#endif
