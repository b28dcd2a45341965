/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a device tree: a .dtb as it is, a .dts as dtc compiles it. */
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

#define TREE_BYTES_MAX (1u << 20)

extern char **environ;

/* All of @fd, at most until the deadline. Returns how much, or negative errno. */
static ssize_t slurp(int fd, uint8_t *to, size_t max, uint64_t deadline_ns)
{
	size_t len = 0;

	while (len < max) {
		uint64_t now = model_host_now_ns(NULL);
		uint64_t left_ms = deadline_ns <= now ? 0 : (deadline_ns - now) / OB_NS_PER_MS + 1;
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&pfd, 1, (int)MIN(left_ms, 3600000u)) == 0)
			return -ETIMEDOUT;
		n = read(fd, to + len, max - len);
		if (n < 0 && errno != EINTR)
			return -EIO;
		if (n == 0)
			return (ssize_t)len;
		len += n > 0 ? (size_t)n : 0;
	}
	return -EFBIG;
}

static int start_dtc(const char *path, pid_t *pid, int *out)
{
	char *argv[] = {(char *)"dtc", (char *)"-q", (char *)"-I", (char *)"dts",           (char *)"-O",
			(char *)"dtb", (char *)"-o", (char *)"-",  (char *)(uintptr_t)path, NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], ret;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	ret = posix_spawnp(pid, "dtc", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (ret != 0) {
		close(fds[0]);
		return -ret;
	}
	*out = fds[0];
	return 0;
}

static ssize_t compile(struct ob *ob, const char *path, uint8_t *blob, uint64_t deadline_ns)
{
	int fd = -1, status = 0, ret;
	ssize_t len;
	pid_t pid;

	if (access(path, R_OK) != 0) {
		ret = -errno;
		ob_err(ob, "model: %s: %s", path, strerror(-ret));
		return ret;
	}
	ret = start_dtc(path, &pid, &fd);
	if (ret != 0) {
		ob_err(ob, "model: %s: dtc cannot be started (Debian: device-tree-compiler): %s", path, strerror(-ret));
		return ret == -ENOENT ? -ENOPKG : ret;
	}
	len = slurp(fd, blob, TREE_BYTES_MAX, deadline_ns);
	close(fd);
	if (len < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (len < 0 || status == 0)
		return len;
	ob_err(ob, "model: %s: dtc refused it", path);
	return -EINVAL;
}

static ssize_t load(struct ob *ob, const char *path, uint8_t *blob, uint64_t deadline_ns)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0) {
		len = -errno;
		ob_err(ob, "model: %s: %s", path, strerror((int)-len));
		return len;
	}
	len = slurp(fd, blob, TREE_BYTES_MAX, deadline_ns);
	close(fd);
	return len;
}

int model_tree_read(struct ob *ob, const char *path, uint64_t deadline_ns, void **out)
{
	uint8_t *blob = malloc(TREE_BYTES_MAX);
	size_t path_len = strlen(path);
	ssize_t len;
	int ret;

	if (blob == NULL)
		return -ENOMEM;
	if (path[path_len - 1] == 's')
		len = compile(ob, path, blob, deadline_ns);
	else
		len = load(ob, path, blob, deadline_ns);
	ret = len < 0 ? (int)len : 0;
	if (ret == 0 && fdt_check_full(blob, (size_t)len) != 0) {
		ob_err(ob, "model: %s: not a device tree blob", path);
		ret = -EINVAL;
	}
	if (ret != 0) {
		free(blob);
		return ret;
	}
	*out = blob;
	return 0;
}
