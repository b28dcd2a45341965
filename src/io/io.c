/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets and descriptors with deadlines. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "io/io.h"

#define PUNCH_FROM_BYTES (256 * OB_KIB) /* from here on, giving pages back beats clearing them */

int io_wait(int fd, short events, uint64_t deadline_ns)
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

/* Room for the descriptors of one message. */
union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(IO_FDS_MAX * sizeof(int))];
};

int io_send_fds(int fd, const void *data, size_t len_bytes, const int *fds, unsigned fd_count, uint64_t deadline_ns)
{
	union control control;
	struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len_bytes};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	assert(fd_count <= IO_FDS_MAX);
	if (fd_count > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	while (piece.iov_len > 0) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			piece.iov_base = (char *)piece.iov_base + n;
			piece.iov_len -= (size_t)n;
			/* The descriptors went with the first byte. */
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
			(void)io_wait(fd, POLLOUT, deadline_ns);
	}
	return 0;
}

int io_send_fd(int fd, const void *data, size_t len_bytes, int pass_fd, uint64_t deadline_ns)
{
	return io_send_fds(fd, data, len_bytes, &pass_fd, pass_fd >= 0 ? 1 : 0, deadline_ns);
}

int io_send(int fd, const void *data, size_t len_bytes, uint64_t deadline_ns)
{
	return io_send_fd(fd, data, len_bytes, -1, deadline_ns);
}

ssize_t io_receive(int fd, void *data, size_t max, uint64_t deadline_ns)
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
		ret = io_wait(fd, POLLIN, deadline_ns);
		if (ret < 0)
			return ret;
	}
}

/* The descriptors of a control message, as far as there is room; the others are closed. How many there was no room for. */
static unsigned take_fds(struct cmsghdr *header, int *fds, unsigned *fd_count, unsigned fd_max)
{
	unsigned count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int)), refused = 0;

	for (unsigned i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
		if (*fd_count < fd_max) {
			fds[(*fd_count)++] = fd;
			continue;
		}
		close(fd);
		refused++;
	}
	return refused;
}

ssize_t io_receive_fds(int fd, void *data, size_t max, int *fds, unsigned *fd_count, unsigned fd_max)
{
	union control control;
	struct iovec piece = {.iov_base = data, .iov_len = max};
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	unsigned refused = 0;
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : socket_error(errno);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			refused += take_fds(c, fds, fd_count, fd_max);
	if (n == 0)
		return -ENODEV;
	/* What did not fit into the control buffer the kernel has closed. It does that, too, where we may open no more. */
	return refused > 0 || (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : n;
}

void io_memory_clear(int fd, uint64_t offset, void *base, size_t len_bytes)
{
	/* By the file, not by MADV_REMOVE: an emulator of system calls that knows no such advice says that it has followed it. */
	if (len_bytes < PUNCH_FROM_BYTES ||
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len_bytes) != 0)
		memset(base, 0, len_bytes);
}

int io_above_stdio(int fd)
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

int io_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ours = io_above_stdio(pair[0]);
	*theirs = io_above_stdio(pair[1]);
	if (*ours >= 0 && *theirs >= 0)
		return 0;
	io_close(ours);
	io_close(theirs);
	return -EMFILE;
}

int io_connect(const char *path, int *out)
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

int io_memory_file(const char *name, uint64_t len_bytes, int *out)
{
	int fd = io_above_stdio(memfd_create(name, MFD_CLOEXEC)), ret;

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

void io_event_fire(int fd)
{
	uint64_t one = 1;

	/* It fails only when the count is full, and then it has fired. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Whether a read can be told not to wait: eventfds of Linux 5.8 and later can, those of some emulators cannot. */
static bool can_nowait(void)
{
	static int known; /* __atomic: 0 nobody has looked, 1 yes, -1 no */
	int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
	uint64_t count;
	struct iovec piece = {&count, sizeof(count)};

	if (answer == 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		answer = fd >= 0 && preadv2(fd, &piece, 1, -1, RWF_NOWAIT) < 0 && errno == EAGAIN ? 1 : -1;
		if (fd >= 0)
			close(fd);
		__atomic_store_n(&known, answer, __ATOMIC_RELAXED);
	}
	return answer > 0;
}

int io_event_take_what(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	uint64_t count;
	struct iovec piece = {&count, sizeof(count)};
	ssize_t n;

	if (OB_LIKELY(can_nowait())) {
		n = preadv2(fd, &piece, 1, -1, RWF_NOWAIT);
	} else if (poll(&look, 1, 0) == 1) {
		n = read(fd, &count, sizeof(count)); /* nothing better is to be had */
	} else {
		return -EAGAIN;
	}
	if (OB_LIKELY(n == sizeof(count)))
		return 0;
	return n >= 0 ? -EINVAL : errno == EINTR ? -EAGAIN : -errno;
}

bool io_event_take(int fd)
{
	return io_event_take_what(fd) == 0;
}

void io_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
