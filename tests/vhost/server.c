/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that serves a disk over vhost-user. */
#include "tests/vhost/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "io/io.h"

#define START_NS (20 * OB_NS_PER_S)

static bool is_qsd(const struct vhost_server *s)
{
	return strcmp(s->program, "qsd") == 0;
}

int vhost_server_init(struct vhost_server *s, const char *program, uint64_t disk_bytes, unsigned queues)
{
	int fd, ret = 0;

	*s = (struct vhost_server){.program = program, .dir = "/tmp/ob-vhost-XXXXXX", .queues = queues};
	if (is_qsd(s) ? system("command -v qemu-storage-daemon >/dev/null") != 0 : access(program, X_OK) != 0) {
		fprintf(stderr, "%s: there is no such program\n", is_qsd(s) ? "qemu-storage-daemon" : program);
		return -ENOENT;
	}
	if (mkdtemp(s->dir) == NULL)
		return -errno;
	snprintf(s->disk, sizeof(s->disk), "%s/disk", s->dir);
	snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
	fd = open(s->disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)disk_bytes) != 0) {
		ret = -errno;
		fprintf(stderr, "%s: %s\n", s->disk, strerror(errno));
	}
	io_close(&fd);
	return ret;
}

/* In the child. */
static void become(const struct vhost_server *s)
{
	char blockdev[128], export[256], model[96], queues[16];

	snprintf(blockdev, sizeof(blockdev), "file,node-name=d,filename=%s,discard=unmap", s->disk);
	snprintf(export, sizeof(export),
		 "vhost-user-blk,id=e,node-name=d,writable=on,num-queues=%u,addr.type=unix,addr.path=%s", s->queues,
		 s->socket);
	snprintf(model, sizeof(model), "model:?nvme=%s", s->disk);
	snprintf(queues, sizeof(queues), "%u", s->queues);
	/* The disk of a test is no concern of whoever watches it. */
	if (is_qsd(s))
		execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev", blockdev, "--export", export, NULL);
	else
		execl(s->program, s->program, "-q", "-M", model, "serve", "vhost-user", "--unix", s->socket, "--queues",
		      queues, NULL);
	fprintf(stderr, "%s: %s\n", s->program, strerror(errno));
	_exit(127);
}

int vhost_server_start(struct vhost_server *s)
{
	pid_t parent = getpid(), pid;
	int log_fd;

	unlink(s->socket);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		s->pid = pid;
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	log_fd = open(getenv("VHOST_SERVER_LOG") != NULL ? getenv("VHOST_SERVER_LOG") : "/dev/null",
		      O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (log_fd >= 0) {
		dup2(log_fd, STDOUT_FILENO);
		dup2(log_fd, STDERR_FILENO);
	}
	become(s);
	return 0;
}

int vhost_server_await(struct vhost_server *s)
{
	uint64_t deadline_ns = ob_deadline(START_NS);

	for (;;) {
		int fd, status, ret = io_connect(s->socket, &fd);

		if (ret == 0) {
			io_close(&fd);
			return 0;
		}
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			fprintf(stderr, "%s: it has ended, status %#x\n", s->program, (unsigned)status);
			s->pid = 0;
			return -ECHILD;
		}
		if (ob_now_ns() >= deadline_ns) {
			fprintf(stderr, "%s: does not listen: %s\n", s->program, strerror(-ret));
			return -ETIMEDOUT;
		}
		(void)poll(NULL, 0, 2);
	}
}

void vhost_server_kill(struct vhost_server *s)
{
	if (s->pid == 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void vhost_server_fini(struct vhost_server *s)
{
	vhost_server_kill(s);
	unlink(s->socket);
	unlink(s->disk);
	rmdir(s->dir);
}

int vhost_server_compare(const struct vhost_server *s, uint64_t offset, const void *want, size_t len_bytes)
{
	uint8_t have[65536];
	int fd = open(s->disk, O_RDONLY | O_CLOEXEC);
	int ret = fd >= 0 ? 0 : -1;

	for (size_t done = 0; done < len_bytes && ret == 0;) {
		size_t n = MIN(sizeof(have), len_bytes - done);

		if (pread(fd, have, n, (off_t)(offset + done)) != (ssize_t)n) {
			fprintf(stderr, "%s: %s\n", s->disk, strerror(errno));
			ret = -1;
		} else if (memcmp(have, (const uint8_t *)want + done, n) != 0) {
			fprintf(stderr, "%s: is not what was written, within %zu bytes at %llu\n", s->disk, n,
				(unsigned long long)(offset + done));
			ret = -1;
		}
		done += n;
	}
	io_close(&fd);
	return ret;
}
