/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread per machine that starts QEMU, reads what it prints, and notices its end.
 *
 * The thread is QEMU's parent as the kernel sees it: QEMU is killed when this thread ends, so never when some thread of
 * the program does. When QEMU is gone or counts as hung it is killed first, so that nothing writes to the machine's
 * memory any more, then its sockets are shut, which ends every wait on them, and then core is told. Whoever noticed
 * waits for that (life.h) before an answer of its own could make a driver take its requests for ended.
 *
 * A QEMU that we are attached to is not ours to kill: there only the sockets are shut. Should it hang and wake up again
 * its devices go on with what they had, and may write to buffers whose requests ended with -ENODEV long ago.
 */
#ifndef OB_MACHINE_QEMU_SUPERVISOR_H
#define OB_MACHINE_QEMU_SUPERVISOR_H

#include <pthread.h>

#include "machine/qemu/life.h"
#include "machine/qemu/process.h"

struct qmp;

struct qemu_supervisor_config {
	const char *path; /* the program; NULL: attached to a QEMU that is somebody else's */
	char *const *argv;
	const int *pass_fds;
	size_t pass_count;
	int sockets[2]; /* ours: qtest, whose end means QEMU's; QMP */
};

struct qemu_supervisor {
	struct qemu_life *life;
	struct qemu_supervisor_config config; /* path, argv, pass_fds: only until it is started */
	pthread_t thread;
	pthread_mutex_t lock; /* what is below up to the blank line */
	pthread_cond_t changed;
	bool started; /* or not, see error */
	bool ended;   /* the process is no more */
	int error;
	char first_line[256]; /* the first error that QEMU printed */
	char how[96];         /* how it ended by itself; empty when it did not */

	/* the thread's own, but that process is read after it started */
	struct qemu_process process;
	uint64_t deadline_ns; /* for the start */
	bool buried;          /* the end was handled */
	bool told;            /* core knows */
	char line[512];
	size_t line_bytes;

	unsigned closing; /* __atomic: the end is wanted */
	unsigned stop;    /* __atomic: the thread is to return */
	bool stuck;       /* the thread did not start in time */
};

/*
 * 0: QEMU runs, or there is nothing to start; negative errno, also exec's. When it sets .stuck the thread did not even
 * answer in time: then all that it was given must stay.
 */
int qemu_supervisor_start(struct qemu_supervisor *s, struct qemu_life *life,
			  const struct qemu_supervisor_config *config, uint64_t deadline_ns);
/* Wait for the process's end. 0; -ETIMEDOUT. */
int qemu_supervisor_wait(struct qemu_supervisor *s, uint64_t deadline_ns);
/* End a QEMU that we started, first in order (@qmp, or NULL), then by force; end the thread. */
void qemu_supervisor_stop(struct qemu_supervisor *s, struct qmp *qmp);

#endif
