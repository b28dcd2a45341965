/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions as sysfs shows them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/host.h"
#include "host/sysfs.h"

#define DEVICES "/sys/bus/pci/devices"

static int write_to_system(struct host *host, const char *path, const char *text)
{
	return sysfs_write(host->root, text, "%s", path);
}

void host_init(struct host *host, const char *root)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	*host = (struct host){
		.root = root,
		.write = write_to_system,
		.memlock_bytes = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur,
		.is_root = geteuid() == 0,
	};
}

static int whole_name(const char *name, char out[HOST_NAME_LEN])
{
	unsigned segment = 0, bus, slot, function;
	int end = 0;

	if (sscanf(name, "%4x:%2x:%2x.%1x%n", &segment, &bus, &slot, &function, &end) != 4 || name[end] != '\0') {
		segment = 0;
		end = 0;
		if (sscanf(name, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 || name[end] != '\0')
			return -EINVAL;
	}
	if (slot > 31 || function > 7)
		return -EINVAL;
	snprintf(out, HOST_NAME_LEN, "%04x:%02x:%02x.%x", segment, bus, slot, function);
	return 0;
}

static unsigned number(const struct host *host, const char *name, const char *attribute)
{
	uint64_t value;

	return sysfs_read_number(host->root, &value, DEVICES "/%s/%s", name, attribute) == 0 ? (unsigned)value : 0;
}

int host_pci_read(const struct host *host, const char *name, struct host_pci *out)
{
	char group[HOST_NAME_LEN], found[HOST_NAME_LEN], **cdevs;
	int ret = whole_name(name, found);

	if (ret < 0)
		return ret;
	/* @name may be the one in @out. */
	*out = (struct host_pci){.group = -1};
	memcpy(out->name, found, sizeof(found));
	if (!sysfs_exists(host->root, DEVICES "/%s", out->name))
		return -ENODEV;
	out->vendor = number(host, out->name, "vendor");
	out->device = number(host, out->name, "device");
	out->class_code = number(host, out->name, "class");
	if (sysfs_link(host->root, out->driver, sizeof(out->driver), DEVICES "/%s/driver", out->name) != 0)
		out->driver[0] = '\0';
	if (sysfs_link(host->root, group, sizeof(group), DEVICES "/%s/iommu_group", out->name) == 0 &&
	    sscanf(group, "%d", &out->group) != 1)
		out->group = -1;
	if (sysfs_list(host->root, &cdevs, DEVICES "/%s/vfio-dev", out->name) > 0)
		snprintf(out->cdev, sizeof(out->cdev), "%.31s", cdevs[0]);
	else
		cdevs = NULL;
	sysfs_list_free(cdevs);
	return 0;
}

int host_pci_list(const struct host *host, struct host_pci **out)
{
	char **names;
	int found = sysfs_list(host->root, &names, DEVICES), count = 0;

	*out = NULL;
	if (found == -ENOENT)
		return 0;
	if (found < 0)
		return found;
	*out = calloc((size_t)found + 1, sizeof(**out));
	for (int i = 0; i < found && *out != NULL; i++)
		if (host_pci_read(host, names[i], &(*out)[count]) == 0)
			count++;
	sysfs_list_free(names);
	return *out != NULL ? count : -ENOMEM;
}

bool host_pci_is_ours(const struct host_pci *pci)
{
	return strstr(pci->driver, "vfio") != NULL;
}

bool host_pci_is_bridge(const struct host_pci *pci)
{
	return pci->class_code >> 16 == 0x06;
}
