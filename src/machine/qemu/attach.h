/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QEMU that somebody else started. Its sockets are in one directory: qtest.sock, qmp.sock, ivshmem.sock and the
 * memory file ram. All sockets are QEMU's to listen on, so that we may come and go.
 */
#ifndef OB_MACHINE_QEMU_ATTACH_H
#define OB_MACHINE_QEMU_ATTACH_H

#include "machine/qemu/uri.h"

struct qemu_attachment {
	int qtest_fd, qmp_fd;
	int ivshmem_fd; /* -1: no message interrupts */
	bool again;     /* somebody was attached before */
};

/* Connect, also while QEMU is starting. 0; -ETIMEDOUT nobody there; negative errno; with the reason in @why. */
int qemu_attach(const struct qemu_uri *uri, struct qemu_attachment *out, uint64_t deadline_ns, char *why,
		size_t why_bytes);
/* The memory file, once QEMU runs. 0; negative errno with the reason in @why. */
int qemu_attach_ram(const struct qemu_uri *uri, int *fd, uint64_t *len_bytes, char *why, size_t why_bytes);
/*
 * Which peer of the doorbell we are, now that its memory is mapped: @note_at, a page of it that is not for DMA, keeps the
 * number of the last one. 0; -ENODEV; -ETIMEDOUT.
 */
int qemu_attach_peer(const struct qemu_attachment *a, void *note_at, unsigned *peer, uint64_t deadline_ns);
/* See ob_machine_attach_help(). */
int qemu_attach_help(const char *rest, char **text);

#endif
