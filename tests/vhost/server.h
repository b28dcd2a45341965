/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that serves a disk over vhost-user, to be started and killed: qemu-storage-daemon, or our own command. The disk
 * is a file, the same from start to start; it and the socket are in a directory of their own.
 */
#ifndef TESTS_VHOST_SERVER_H
#define TESTS_VHOST_SERVER_H

#include <sys/types.h>

#include <outboard/types.h>

#define VHOST_SERVER_SKIP 77 /* what a program answers when there is no such server here */

struct vhost_server {
	const char *program; /* "qsd", or the path of our command */
	char dir[32], disk[48], socket[48];
	unsigned queues;
	pid_t pid; /* 0: not running */
};

/* A sparse disk of @disk_bytes. 0; -ENOENT there is no such program; negative errno, and said so. */
int vhost_server_init(struct vhost_server *s, const char *program, uint64_t disk_bytes, unsigned queues);
/* Started; it may not listen yet. It ends with the thread that calls this. 0; negative errno, and said so. */
int vhost_server_start(struct vhost_server *s);
/* Until it listens. 0; -ETIMEDOUT; -ECHILD it has ended. */
int vhost_server_await(struct vhost_server *s);
/* Killed, and gone when this returns. */
void vhost_server_kill(struct vhost_server *s);
void vhost_server_fini(struct vhost_server *s);
/* Is the file as @want? At @offset. 0; -1 it is not, and said so. */
int vhost_server_compare(const struct vhost_server *s, uint64_t offset, const void *want, size_t len_bytes);

#endif
