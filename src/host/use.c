/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who would miss a PCI function: mounts, swap, volumes that are made of its disks, the default route. A block or network
 * device belongs to the function whose address stands in its path in sysfs; a disk of an NVMe subsystem with several
 * paths belongs to all of the subsystem's controllers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static char *read_whole(const struct host *host, const char *path)
{
	size_t room = 256 * 1024;
	char *text = malloc(room);

	if (text != NULL && sysfs_read(host->root, text, room, "%s", path) < 0)
		text[0] = '\0';
	return text;
}

/* A line of mountinfo: id, parent, major:minor, root, mount point, …, " - ", type, source. */
static bool is_mounted(const char *mounts, const char *name, const char *numbers, char *out)
{
	char source[64], copy[SYSFS_PATH_MAX];

	snprintf(source, sizeof(source), " /dev/%.40s ", name);
	for (const char *line = mounts; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		char point[192], dev[32];

		line += *line == '\n';
		snprintf(copy, sizeof(copy), "%.*s ", (int)strcspn(line, "\n"), line);
		if (sscanf(copy, "%*s %*s %31s %*s %191s", dev, point) != 2)
			continue;
		if (strcmp(dev, numbers) == 0 || strstr(copy, source) != NULL) {
			snprintf(out, HOST_TEXT_LEN, "/dev/%.40s is mounted on %.150s", name, point);
			return true;
		}
	}
	return false;
}

static bool is_swap(const char *swaps, const char *name, char *out)
{
	char path[64];
	const char *at;

	snprintf(path, sizeof(path), "/dev/%.40s", name);
	at = strstr(swaps, path);
	if (at == NULL || (at[strlen(path)] != ' ' && at[strlen(path)] != '\t'))
		return false;
	snprintf(out, HOST_TEXT_LEN, "%s is swap", path);
	return true;
}

static bool has_holder(const struct host *host, const char *name, char *out)
{
	char **holders;
	int count = sysfs_list(host->root, &holders, "/sys/class/block/%s/holders", name);

	if (count <= 0)
		return false;
	snprintf(out, HOST_TEXT_LEN, "/dev/%.40s is part of %.40s", name, holders[0]);
	sysfs_list_free(holders);
	return true;
}

static int block_user(const struct host *host, const char *pci, char *out)
{
	char *mounts = read_whole(host, "/proc/self/mountinfo"), *swaps = read_whole(host, "/proc/swaps");
	char **names = NULL, path[SYSFS_PATH_MAX], numbers[32];
	bool used = false;
	int ret = mounts != NULL && swaps != NULL ? sysfs_list(host->root, &names, "/sys/class/block") : -ENOMEM;

	for (char **name = names; ret > 0 && *name != NULL && !used; name++) {
		if (!path_of(host, "block", *name, path) ||
		    (!is_below(path, pci) && !is_controller_of(host, path, pci)))
			continue;
		if (sysfs_read(host->root, numbers, sizeof(numbers), "/sys/class/block/%s/dev", *name) < 0)
			numbers[0] = '\0';
		used = is_mounted(mounts, *name, numbers, out) || is_swap(swaps, *name, out) ||
		       has_holder(host, *name, out);
	}
	sysfs_list_free(names);
	free(mounts);
	free(swaps);
	return ret < 0 && ret != -ENOENT ? ret : used;
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

static bool has_default_route(const struct host *host, const char *pci, char *out)
{
	char *v4 = read_whole(host, "/proc/net/route"), *v6 = read_whole(host, "/proc/net/ipv6_route");
	char name[HOST_NAME_LEN], to[40], mask[16];
	bool found = false;

	/* Interface, destination, gateway, flags, …, mask. */
	for (char *line = v4; line != NULL && *line != '\0' && !found; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%31s %39s %*s %*s %*s %*s %*s %15s", name, to, mask) == 3 &&
		    strcmp(to, "00000000") == 0 && strcmp(mask, "00000000") == 0)
			found = net_is_over(host, name, pci, 0);
	}
	/* Destination, its length, …, interface; the loopback's entry refuses what has no route. */
	for (char *line = v6; line != NULL && *line != '\0' && !found; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%39s %15s %*s %*s %*s %*s %*s %*s %*s %31s", to, mask, name) == 3 &&
		    strspn(to, "0") == 32 && strcmp(mask, "00") == 0 && strcmp(name, "lo") != 0)
			found = net_is_over(host, name, pci, 0);
	}
	if (found)
		snprintf(out, HOST_TEXT_LEN, "the default route goes over %s", name);
	free(v4);
	free(v6);
	return found;
}

int host_pci_user(const struct host *host, const char *name, char *out)
{
	int ret;

	out[0] = '\0';
	ret = block_user(host, name, out);
	return ret != 0 ? ret : has_default_route(host, name, out);
}
