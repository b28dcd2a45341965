/* SPDX-License-Identifier: BSD-2-Clause */
/* What a "qemu:" URI asks for, checked, as a structure. No side effects: files are not looked at here. */
#ifndef OB_MACHINE_QEMU_URI_H
#define OB_MACHINE_QEMU_URI_H

#include "machine/qemu/board.h"
#include "machine/qemu/strings.h"

#define QEMU_MEM_DEFAULT_BYTES (256 * OB_MIB)
#define QEMU_MEM_MIN_BYTES     (16 * OB_MIB)
#define QEMU_WAIT_DEFAULT_NS   (5 * OB_NS_PER_S)
#define QEMU_WAIT_MAX_NS       (3600 * OB_NS_PER_S)
#define QEMU_DISKS_MAX         256
#define QEMU_QUEUES_MAX        1024u /* of a virtio device */

/* A file behind nvme= or virtio-blk=. */
struct qemu_disk {
	const char *key; /* which of them */
	char *file;
	bool readonly;
};

/* A stream socket behind virtio-net=listen: or connect:, or e1000e= with these. */
struct qemu_stream {
	const char *key; /* which of them */
	char *path;
	bool listen;
};

struct qemu_uri {
	const struct qemu_board *board;
	uint64_t mem_bytes;
	char *binary;     /* NULL: the board's */
	char *attach_dir; /* NULL: start a QEMU */
	bool msi;
	bool intx;           /* may lines be used */
	bool intx_now;       /* intx=on: watch them from the start */
	uint64_t wait_ns;    /* how long QEMU may take for an answer */
	struct strings args; /* for QEMU's command line, in the URI's order */
	struct qemu_disk *disks;
	size_t disk_count;
	struct qemu_stream *streams;
	size_t stream_count;
	size_t net_count; /* of virtio-net= and e1000e= */
};

/*
 * @rest: after "qemu:". On an error @why has one line about it, and there is nothing to free.
 * 0; -EINVAL; -ENOMEM.
 */
int qemu_uri_parse(const char *rest, struct qemu_uri *out, char *why, size_t why_bytes);
void qemu_uri_fini(struct qemu_uri *uri);

#endif
