/* SPDX-License-Identifier: BSD-2-Clause */
/* A child process that dies with us: started, watched by descriptor, ended. */
#ifndef OB_MACHINE_QEMU_PROCESS_H
#define OB_MACHINE_QEMU_PROCESS_H

#include <sys/types.h>

#include <outboard/types.h>

struct qemu_process {
	pid_t pid;
	int pidfd;     /* readable when it has ended */
	int stderr_fd; /* what it prints, standard output too; non-blocking */
};

/* Where the program is: @name itself when it has a slash, else found in PATH. 0; -ENOENT; -EACCES. */
int qemu_process_find(const char *name, char *path, size_t path_bytes);
/*
 * Start it. It gets /dev/null as input, its own process group, and @pass_fds under the same numbers. It is killed when
 * the calling thread ends: call it from one that lives long enough. 0; negative errno, also exec's.
 */
int qemu_process_start(struct qemu_process *p, const char *path, char *const *argv, const int *pass_fds,
		       size_t pass_count, uint64_t deadline_ns);
void qemu_process_signal(const struct qemu_process *p, int signal);
/* Has it ended? Then @how says so ("QEMU exited with status 1"), and it is no more. */
bool qemu_process_reap(struct qemu_process *p, char *how, size_t how_bytes);
void qemu_process_close(struct qemu_process *p);

#endif
