/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets and descriptors with deadlines. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "machine/qemu/io.h"

int qemu_io_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = ob_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec ts = {
			.tv_sec = (time_t)(left / OB_NS_PER_S > 3600 ? 3600 : left / OB_NS_PER_S),
			.tv_nsec = (long)(left % OB_NS_PER_S),
		};
		int r = ppoll(&p, 1, &ts, NULL);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (left == 0)
			return -ETIMEDOUT;
	}
}

/* What a socket's error means: the peer is gone, or something of ours is wrong. */
static int socket_error(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ENOTCONN ? -ENODEV : -error;
}

int qemu_io_send_fd(int fd, const void *data, size_t len_bytes, int pass_fd, uint64_t deadline_ns)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len_bytes};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	if (pass_fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &pass_fd, sizeof(int));
	}
	while (piece.iov_len > 0) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			piece.iov_base = (char *)piece.iov_base + n;
			piece.iov_len -= (size_t)n;
			/* The descriptor went with the first byte. */
			message.msg_control = NULL;
			message.msg_controllen = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* ETOOMANYREFS: too many descriptors under way; they get fewer as the peer reads. */
		if (errno != EAGAIN && errno != ETOOMANYREFS)
			return socket_error(errno);
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		if (errno == ETOOMANYREFS)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		else
			(void)qemu_io_wait(fd, POLLOUT, deadline_ns);
	}
	return 0;
}

int qemu_io_send(int fd, const void *data, size_t len_bytes, uint64_t deadline_ns)
{
	return qemu_io_send_fd(fd, data, len_bytes, -1, deadline_ns);
}

ssize_t qemu_io_receive(int fd, void *data, size_t max, uint64_t deadline_ns)
{
	for (;;) {
		ssize_t n = recv(fd, data, max, MSG_DONTWAIT);
		int ret;

		if (n > 0)
			return n;
		if (n == 0)
			return -ENODEV;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return socket_error(errno);
		ret = qemu_io_wait(fd, POLLIN, deadline_ns);
		if (ret < 0)
			return ret;
	}
}

int qemu_io_above_stdio(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (moved < 0)
		moved = -errno;
	close(fd);
	return moved;
}

int qemu_io_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ours = qemu_io_above_stdio(pair[0]);
	*theirs = qemu_io_above_stdio(pair[1]);
	if (*ours >= 0 && *theirs >= 0)
		return 0;
	qemu_io_close(ours);
	qemu_io_close(theirs);
	return -EMFILE;
}

int qemu_io_connect(const char *path, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

int qemu_io_memory_file(const char *name, uint64_t len_bytes, int *out)
{
	int fd = qemu_io_above_stdio(memfd_create(name, MFD_CLOEXEC)), ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len_bytes) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

void qemu_io_event_fire(int fd)
{
	uint64_t one = 1;

	/* It fails only when the count is full, and then it has fired. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool qemu_io_event_take(int fd)
{
	uint64_t count;
	ssize_t n;

	do
		n = read(fd, &count, sizeof(count));
	while (n < 0 && errno == EINTR);
	return n == sizeof(count);
}

void qemu_io_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
