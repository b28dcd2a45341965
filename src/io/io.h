/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets and descriptors with deadlines, and without SIGPIPE. Deadlines are absolute, in ns of ob_now_ns(). */
#ifndef OB_IO_IO_H
#define OB_IO_IO_H

#include <sys/types.h>

#include <outboard/types.h>

#define IO_FDS_MAX 8 /* descriptors of one message */

/* Until @fd is ready for @events (poll's). 0; -ETIMEDOUT. An error or a hang-up counts as ready. */
int io_wait(int fd, short events, uint64_t deadline_ns);

/* All of @data. 0; -ETIMEDOUT; -ENODEV the other side is gone. */
int io_send(int fd, const void *data, size_t len_bytes, uint64_t deadline_ns);
/* The same, with a descriptor going along; @pass_fd may be -1. */
int io_send_fd(int fd, const void *data, size_t len_bytes, int pass_fd, uint64_t deadline_ns);
/* The same, with up to IO_FDS_MAX descriptors. */
int io_send_fds(int fd, const void *data, size_t len_bytes, const int *fds, unsigned fd_count, uint64_t deadline_ns);
/* What has arrived, at most @max bytes; waits for the first one. Bytes; -ETIMEDOUT; -ENODEV at the end. */
ssize_t io_receive(int fd, void *data, size_t max, uint64_t deadline_ns);

/*
 * What has arrived, and descriptors that came with it, close-on-exec: they are put behind the *@fd_count that are in @fds,
 * which has room for @fd_max, and are the caller's whatever is returned. Does not wait. Bytes; -EAGAIN nothing; -ENODEV at
 * the end; -EMFILE more descriptors than there was room for, or than this process may open: what was too many is closed.
 */
ssize_t io_receive_fds(int fd, void *data, size_t max, int *fds, unsigned *fd_count, unsigned fd_max);

/* A connected pair of stream sockets, close-on-exec, ours non-blocking, none of them a standard stream. */
int io_pair(int *ours, int *theirs);
/* Connect to a UNIX socket. 0; -ENOENT, -ECONNREFUSED nobody there; negative errno. */
int io_connect(const char *path, int *out);
/* An anonymous file, close-on-exec, not a standard stream. */
int io_memory_file(const char *name, uint64_t len_bytes, int *out);
/*
 * Zero a page-aligned piece, at @base, of such a file that is mapped shared: fresh pages are zero and cost nothing until they
 * are touched, so a large piece gets fresh ones.
 */
void io_memory_clear(int fd, uint64_t offset, void *base, size_t len_bytes);
/* Move @fd out of the way of stdin, stdout and stderr, which a child replaces. The new one; @fd is closed. */
int io_above_stdio(int fd);
/*
 * Count an eventfd up, or take what it counted: has it fired? It is non-blocking. Who shares it can change that, and can
 * take its count between poll() and our look: taking does not wait all the same. Firing one that is full does.
 */
void io_event_fire(int fd);
bool io_event_take(int fd);
/* 0 taken; -EAGAIN nothing was counted; other negative errno: it is no eventfd. */
int io_event_take_what(int fd);
/* Close and forget. */
void io_close(int *fd);

#endif
