/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's command line: a board without a guest, whose CPU does nothing, so that all that happens is ours. */
#ifndef OB_MACHINE_QEMU_COMMAND_LINE_H
#define OB_MACHINE_QEMU_COMMAND_LINE_H

#include "machine/qemu/uri.h"

#define QEMU_ROM_BYTES 65536

/* How QEMU reaches what we share with it: files by name, sockets as options of -chardev. */
struct qemu_wiring {
	char ram[256], rom[256];
	char qtest[256], qmp[256], ivshmem[256]; /* ivshmem empty: no message interrupts */
};

/* The firmware of an x86: CLI, HLT, and back, at the reset vector. */
void qemu_rom(uint8_t rom[QEMU_ROM_BYTES]);

/* @extra: more arguments, NULL-terminated, or NULL. out->failed: no memory. */
void qemu_command_line(const struct qemu_uri *uri, const struct qemu_wiring *wiring, const char *const *extra,
		       struct strings *out);

/*
 * The files and sockets of nvme=, virtio-blk=, virtio-net= and e1000e= are there and can be opened as asked. 0; -ENOENT, -EACCES,
 * -ENOTSOCK, -EINVAL with the reason in @why.
 */
int qemu_check_files(const struct qemu_uri *uri, char *why, size_t why_bytes);

#endif
