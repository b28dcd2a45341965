/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets and descriptors with deadlines, and without SIGPIPE. Deadlines are absolute, in ns of ob_now_ns(). */
#ifndef OB_MACHINE_QEMU_IO_H
#define OB_MACHINE_QEMU_IO_H

#include <sys/types.h>

#include <outboard/types.h>

/* Until @fd is ready for @events (poll's). 0; -ETIMEDOUT. An error or a hang-up counts as ready. */
int qemu_io_wait(int fd, short events, uint64_t deadline_ns);

/* All of @data. 0; -ETIMEDOUT; -ENODEV the other side is gone. */
int qemu_io_send(int fd, const void *data, size_t len_bytes, uint64_t deadline_ns);
/* The same, with a descriptor going along; @pass_fd may be -1. */
int qemu_io_send_fd(int fd, const void *data, size_t len_bytes, int pass_fd, uint64_t deadline_ns);
/* What has arrived, at most @max bytes; waits for the first one. Bytes; -ETIMEDOUT; -ENODEV at the end. */
ssize_t qemu_io_receive(int fd, void *data, size_t max, uint64_t deadline_ns);

/* A connected pair of stream sockets, close-on-exec, ours non-blocking, none of them a standard stream. */
int qemu_io_pair(int *ours, int *theirs);
/* Connect to a UNIX socket. 0; -ENOENT, -ECONNREFUSED nobody there; negative errno. */
int qemu_io_connect(const char *path, int *out);
/* An anonymous file, close-on-exec, not a standard stream. */
int qemu_io_memory_file(const char *name, uint64_t len_bytes, int *out);
/* Move @fd out of the way of stdin, stdout and stderr, which a child replaces. The new one; @fd is closed. */
int qemu_io_above_stdio(int fd);
/* Count an eventfd up, or take what it counted: has it fired? It is non-blocking. */
void qemu_io_event_fire(int fd);
bool qemu_io_event_take(int fd);
/* Close and forget. */
void qemu_io_close(int *fd);

#endif
