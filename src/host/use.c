/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who would miss a PCI function: mounts, swap, volumes that are made of its disks, the default route, a process. A device
 * belongs to the function whose address stands in its path in sysfs; a disk of an NVMe subsystem with several
 * paths belongs to all of the subsystem's controllers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/host.h"
#include "host/sysfs.h"

#define STACK_MAX 8 /* bridges over bonds over cards: more is a loop */

/* The whole of a link, not its last part. */
static bool path_of(const struct host *host, const char *class, const char *name, char out[SYSFS_PATH_MAX])
{
	char path[SYSFS_PATH_MAX];
	ssize_t len;

	if (snprintf(path, sizeof(path), "%s/sys/class/%s/%s", host->root, class, name) >= (int)sizeof(path))
		return false;
	len = readlink(path, out, SYSFS_PATH_MAX - 1);
	if (len < 0)
		return false;
	out[len] = '\0';
	return true;
}

static bool is_below(const char *path, const char *pci)
{
	const char *at = strstr(path, pci);

	return at != NULL && at > path && at[-1] == '/' && at[strlen(pci)] == '/';
}

/* One of the controllers of the subsystem in this path. */
static bool is_controller_of(const struct host *host, const char *path, const char *pci)
{
	const char *at = strstr(path, "/nvme-subsystem/");
	char subsystem[HOST_NAME_LEN], controller[SYSFS_PATH_MAX], **names;
	bool found = false;

	if (at == NULL || sscanf(at, "/nvme-subsystem/%31[^/]", subsystem) != 1 ||
	    sysfs_list(host->root, &names, "/sys/class/nvme-subsystem/%s", subsystem) < 0)
		return false;
	for (char **name = names; *name != NULL && !found; name++)
		if (strncmp(*name, "nvme", 4) == 0 && path_of(host, "nvme", *name, controller))
			found = is_below(controller, pci);
	sysfs_list_free(names);
	return found;
}

/* ---- block devices ---- */

/* What is known of one function's block devices, and room for what is found. */
struct question {
	const struct host *host;
	const char *pci;
	char *mounts, *swaps, *out;
};

/* What comes behind @count words. */
static const char *skip_words(const char *line, const char *end, unsigned count)
{
	for (; count > 0 && line < end; count--) {
		const char *space = memchr(line, ' ', (size_t)(end - line));

		line = space != NULL ? space + 1 : end;
	}
	return line;
}

static bool is_word(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);

	return len > 0 && (size_t)(end - at) >= len && memcmp(at, word, len) == 0 &&
	       (at + len == end || at[len] == ' ');
}

/*
 * A line of mountinfo: id, parent, major:minor, root, mount point, options, …, "-", type, source, options. Some of it may
 * be very long. Some file systems show numbers of their own: then the source tells.
 */
static bool is_mounted(const struct question *q, const char *name, const char *numbers)
{
	char device[64];

	snprintf(device, sizeof(device), "/dev/%.40s", name);
	for (const char *line = q->mounts, *end; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		const char *point, *dash;

		end = strchrnul(line, '\n');
		point = skip_words(line, end, 4);
		dash = memmem(line, (size_t)(end - line), " - ", 3);
		if (!is_word(skip_words(line, end, 2), end, numbers) &&
		    (dash == NULL || !is_word(skip_words(dash + 3, end, 1), end, device)))
			continue;
		snprintf(q->out, HOST_TEXT_LEN, "%s is mounted on %.*s", device,
			 (int)MIN(skip_words(point, end, 1) - point - 1, 150), point);
		return true;
	}
	return false;
}

static bool is_swap(const struct question *q, const char *name)
{
	char device[64];

	snprintf(device, sizeof(device), "/dev/%.40s", name);
	for (const char *line = q->swaps, *end; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (strncmp(line, device, strlen(device)) != 0 || strchr(" \t", line[strlen(device)]) == NULL)
			continue;
		snprintf(q->out, HOST_TEXT_LEN, "%s is swap", device);
		return true;
	}
	return false;
}

static bool has_holder(const struct question *q, const char *name)
{
	char **holders;
	int count = sysfs_list(q->host->root, &holders, "/sys/class/block/%s/holders", name);

	if (count > 0)
		snprintf(q->out, HOST_TEXT_LEN, "/dev/%.40s is part of %.40s", name, holders[0]);
	sysfs_list_free(holders);
	return count > 0;
}

static bool is_used(const struct question *q, const char *name)
{
	char numbers[32];

	if (sysfs_read(q->host->root, numbers, sizeof(numbers), "/sys/class/block/%s/dev", name) < 0)
		numbers[0] = '\0';
	return is_mounted(q, name, numbers) || is_swap(q, name) || has_holder(q, name);
}

/* Whoever mounts, swaps or builds volumes claims the device for itself, also where no list that we can see names it. */
static bool is_claimed(const struct question *q, const char *name)
{
	char path[SYSFS_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/dev/%s", q->host->root, name);
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || errno != EBUSY)
		return false;
	snprintf(q->out, HOST_TEXT_LEN, "/dev/%.40s is in the kernel's use: mounted elsewhere, or part of a volume",
		 name);
	return true;
}

static bool is_of(const struct host *host, const char *class, const char *name, const char *pci)
{
	char path[SYSFS_PATH_MAX];

	return path_of(host, class, name, path) && (is_below(path, pci) || is_controller_of(host, path, pci));
}

/* The first of the function's block devices for which @ask says yes. 1; 0; negative errno. */
static int ask_all(const struct question *q, bool (*ask)(const struct question *q, const char *name))
{
	bool found = false;
	char **names;
	int ret = sysfs_list(q->host->root, &names, "/sys/class/block");

	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	for (char **name = names; *name != NULL && !found; name++)
		found = is_of(q->host, "block", *name, q->pci) && ask(q, *name);
	sysfs_list_free(names);
	return found;
}

/* A file that a kernel without the feature does not have: then there is none of it. */
static int read_list(const struct host *host, const char *path, char **out)
{
	int ret = sysfs_read_whole(host->root, out, "%s", path);

	if (ret != -ENOENT)
		return ret;
	*out = strdup("");
	return *out != NULL ? 0 : -ENOMEM;
}

static int block_user(const struct host *host, const char *pci, char *out)
{
	struct question q = {.host = host, .pci = pci, .out = out};
	/* Without the list of mounts nobody can say that there is none. */
	int ret = sysfs_read_whole(host->root, &q.mounts, "/proc/self/mountinfo");

	if (ret == 0)
		ret = read_list(host, "/proc/swaps", &q.swaps);
	if (ret == 0)
		ret = ask_all(&q, is_used);
	else
		snprintf(out, HOST_TEXT_LEN, "/proc/self/mountinfo or /proc/swaps: %s", strerror(-ret));
	free(q.mounts);
	free(q.swaps);
	return ret;
}

int host_pci_claimed(const struct host *host, const char *name, char *out)
{
	struct question q = {.host = host, .pci = name, .out = out};

	return ask_all(&q, is_claimed);
}

/* ---- network devices ---- */

/* The interface itself, or one that it is made of. */
static bool net_is_over(const struct host *host, const char *name, const char *pci, unsigned depth)
{
	char path[SYSFS_PATH_MAX], **entries;
	bool found;

	if (depth == STACK_MAX)
		return false;
	if (!path_of(host, "net", name, path))
		return false;
	found = is_below(path, pci);
	if (found || sysfs_list(host->root, &entries, "/sys/class/net/%s", name) < 0)
		return found;
	for (char **entry = entries; *entry != NULL && !found; entry++)
		if (strncmp(*entry, "lower_", 6) == 0)
			found = net_is_over(host, *entry + 6, pci, depth + 1);
	sysfs_list_free(entries);
	return found;
}

/* Interface, destination, gateway, flags, …, mask. */
static bool is_default_v4(const char *line, char name[HOST_NAME_LEN])
{
	char to[40], mask[16];

	return sscanf(line, "%31s %39s %*s %*s %*s %*s %*s %15s", name, to, mask) == 3 && strcmp(to, "00000000") == 0 &&
	       strcmp(mask, "00000000") == 0;
}

/* Destination, its length, …, interface; the loopback's entry refuses what has no route. */
static bool is_default_v6(const char *line, char name[HOST_NAME_LEN])
{
	char to[40], mask[16];

	return sscanf(line, "%39s %15s %*s %*s %*s %*s %*s %*s %*s %31s", to, mask, name) == 3 &&
	       strspn(to, "0") == 32 && strcmp(mask, "00") == 0 && strcmp(name, "lo") != 0;
}

/* 1; 0; negative errno. */
static int has_route(const struct host *host, const char *pci, const char *path,
		     bool (*is_default)(const char *line, char name[HOST_NAME_LEN]), char *out)
{
	char *routes, name[HOST_NAME_LEN];
	bool found = false;
	int ret = read_list(host, path, &routes);

	if (ret < 0) {
		snprintf(out, HOST_TEXT_LEN, "%s: %s", path, strerror(-ret));
		return ret;
	}
	for (const char *line = routes, *end; *line != '\0' && !found; line = *end != '\0' ? end + 1 : end) {
		end = strchrnul(line, '\n');
		found = is_default(line, name) && net_is_over(host, name, pci, 0);
	}
	if (found)
		snprintf(out, HOST_TEXT_LEN, "the default route goes over %s", name);
	free(routes);
	return found;
}

/* ---- processes ---- */

struct file_of {
	const char *path; /* this file; or one of this function's devices */
	const char *pci;
};

static bool is_wanted(const struct host *host, const char *target, const struct file_of *what)
{
	static const char *const classes[] = {"block", "nvme", "nvme-generic", "drm"};
	const char *name = strrchr(target, '/');

	if (what->path != NULL)
		return strcmp(target, what->path) == 0;
	if (name == NULL || strncmp(target, "/dev/", 5) != 0)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(classes); i++)
		if (is_of(host, classes[i], name + 1, what->pci))
			return true;
	return false;
}

/* Which of the process's files; @target: of SYSFS_PATH_MAX. */
static bool has_open(const struct host *host, const char *pid, const struct file_of *what, char *target)
{
	char path[SYSFS_PATH_MAX], **fds;
	bool found = false;

	/* What belongs to others only root sees. */
	if (sysfs_list(host->root, &fds, "/proc/%s/fd", pid) < 0)
		return false;
	for (char **fd = fds; *fd != NULL && !found; fd++) {
		ssize_t len = -1;

		if (snprintf(path, sizeof(path), "%s/proc/%s/fd/%s", host->root, pid, *fd) < (int)sizeof(path))
			len = readlink(path, target, SYSFS_PATH_MAX - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		found = is_wanted(host, target, what);
	}
	sysfs_list_free(fds);
	return found;
}

/* The first process but this one. 1; 0; negative errno. */
static int find_process(const struct host *host, const struct file_of *what, char *out)
{
	char target[SYSFS_PATH_MAX], comm[32], **pids;
	bool found = false;
	int ret = sysfs_list(host->root, &pids, "/proc");

	if (ret < 0)
		return ret;
	for (char **pid = pids; *pid != NULL && !found; pid++) {
		if (strspn(*pid, "0123456789") != strlen(*pid) || strlen(*pid) > 10 ||
		    (host->root[0] == '\0' && atoi(*pid) == getpid()) || !has_open(host, *pid, what, target))
			continue;
		found = true;
		if (sysfs_read(host->root, comm, sizeof(comm), "/proc/%s/comm", *pid) < 0)
			strcpy(comm, "?");
		snprintf(out, HOST_TEXT_LEN, "process %.10s (%s) has %.100s open", *pid, comm, target);
	}
	sysfs_list_free(pids);
	return found;
}

int host_holder(const struct host *host, const char *path, char *out)
{
	return find_process(host, &(struct file_of){.path = path}, out);
}

int host_pci_user(const struct host *host, const char *name, char *out)
{
	int ret;

	out[0] = '\0';
	ret = block_user(host, name, out);
	if (ret == 0)
		ret = has_route(host, name, "/proc/net/route", is_default_v4, out);
	if (ret == 0)
		ret = has_route(host, name, "/proc/net/ipv6_route", is_default_v6, out);
	if (ret == 0)
		ret = find_process(host, &(struct file_of){.pci = name}, out);
	return ret;
}
