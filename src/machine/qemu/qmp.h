/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP, QEMU's control protocol: JSON objects, one per line. Commands are answered by id; events are skipped. */
#ifndef OB_MACHINE_QEMU_QMP_H
#define OB_MACHINE_QEMU_QMP_H

#include <pthread.h>

#include "machine/qemu/life.h"

struct qmp {
	struct qemu_life *life;
	int fd;
	pthread_mutex_t lock;
	unsigned long long last_id;
	char *received; /* what is not yet a whole line */
	size_t received_bytes, capacity_bytes;
	bool broken; /* half a command was sent: nothing more can be said */
};

/* @fd stays the caller's. */
int qmp_init(struct qmp *q, int fd, struct qemu_life *life);
void qmp_fini(struct qmp *q);
/* Wait for the greeting and leave the negotiation mode. 0; -ENODEV; -ETIMEDOUT; -EPROTO. */
int qmp_greet(struct qmp *q, uint64_t deadline_ns);
/*
 * One command; @reply (or NULL) gets the whole answer as text for ob_free(), for -EIO too.
 * 0; -EINVAL not a JSON object; -EIO refused; -ENODEV; -ETIMEDOUT; -ENOMEM.
 */
int qmp_command(struct qmp *q, const char *command, char **reply, uint64_t deadline_ns);
/* Ask QEMU to end, and do not wait for an answer. */
void qmp_quit(struct qmp *q);

#endif
