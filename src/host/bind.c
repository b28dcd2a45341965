/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function changes hands: from the kernel's driver to vfio-pci and back. Which driver it had is written down in
 * /run/outboard, so that it gets that one again, whoever asks.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "host/sysfs.h"

#define DRIVERS "/sys/bus/pci/drivers"
#define NOTES   "/run/outboard"
#define VFIO    "vfio-pci"

static int put(struct host *host, const char *text, const char *format, const char *name, const char *last)
{
	char path[SYSFS_PATH_MAX];

	snprintf(path, sizeof(path), format, name, last);
	return host->write(host, path, text);
}

static int set_override(struct host *host, const char *name, const char *driver)
{
	/* An empty line takes it away. */
	return put(host, driver[0] != '\0' ? driver : "\n", "/sys/bus/pci/devices/%s/%s", name, "driver_override");
}

static int detach(struct host *host, const struct host_pci *pci)
{
	return pci->driver[0] == '\0' ? 0 : put(host, pci->name, DRIVERS "/%s/%s", pci->driver, "unbind");
}

static int probe(struct host *host, const char *name)
{
	return host->write(host, "/sys/bus/pci/drivers_probe", name);
}

static int failed(char *why, int error, const char *name, const char *what)
{
	if (error == -EACCES || error == -EPERM)
		snprintf(why, HOST_TEXT_LEN, "%s: %s: only root may do this", name, what);
	else
		snprintf(why, HOST_TEXT_LEN, "%s: %s: %s", name, what, strerror(-error));
	return error == -EACCES ? -EPERM : error;
}

/* ---- what is written down ---- */

static void note_driver(struct host *host, const struct host_pci *pci)
{
	char path[SYSFS_PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s" NOTES, host->root);
	(void)mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s" NOTES "/%s", host->root, pci->name);
	f = fopen(path, "we");
	if (f == NULL)
		return; /* then the kernel chooses, which is the same in nearly all cases */
	fprintf(f, "%s\n", pci->driver);
	fclose(f);
}

static void noted_driver(const struct host *host, const char *name, char out[HOST_NAME_LEN])
{
	if (sysfs_read(host->root, out, HOST_NAME_LEN, NOTES "/%s", name) < 0)
		out[0] = '\0';
}

static void forget_driver(const struct host *host, const char *name)
{
	char path[SYSFS_PATH_MAX];

	snprintf(path, sizeof(path), "%s" NOTES "/%s", host->root, name);
	(void)unlink(path);
}

/* ---- bind ---- */

static int check(const struct host *host, const struct host_pci *pci, char *why)
{
	char user[HOST_TEXT_LEN];
	int ret;

	if (host_pci_is_bridge(pci)) {
		snprintf(why, HOST_TEXT_LEN, "%s is a bridge: other devices are behind it", pci->name);
		return -EINVAL;
	}
	if (pci->group < 0) {
		snprintf(why, HOST_TEXT_LEN, "%s is behind no IOMMU; 'outboard doctor' says how to get one", pci->name);
		return -EINVAL;
	}
	ret = host_pci_user(host, pci->name, user);
	if (ret < 0)
		return failed(why, ret, pci->name, "who uses it");
	if (ret > 0) {
		snprintf(why, HOST_TEXT_LEN, "%s is in use: %.180s", pci->name, user);
		return -EBUSY;
	}
	return 0;
}

/* The group's other devices: bind them, too, or say why not. */
static int check_group(const struct host *host, const struct host_pci *pci, bool with_group, char *why)
{
	char **names;
	int ret = 0;

	if (sysfs_list(host->root, &names, "/sys/kernel/iommu_groups/%d/devices", pci->group) < 0)
		return 0;
	for (char **name = names; *name != NULL && ret == 0; name++) {
		struct host_pci other;

		if (strcmp(*name, pci->name) == 0 || host_pci_read(host, *name, &other) != 0 ||
		    host_pci_is_bridge(&other) || host_pci_is_ours(&other))
			continue;
		if (with_group) {
			ret = check(host, &other, why);
		} else if (other.driver[0] != '\0') {
			snprintf(why, HOST_TEXT_LEN,
				 "%s shares its IOMMU group %d with %s (%s): all or none; --group takes them all",
				 pci->name, pci->group, other.name, other.driver);
			ret = -EBUSY;
		}
	}
	sysfs_list_free(names);
	return ret;
}

static int take(struct host *host, const char *name, char *why)
{
	struct host_pci pci;
	int ret = host_pci_read(host, name, &pci);

	if (ret < 0 || host_pci_is_ours(&pci))
		return ret;
	note_driver(host, &pci);
	ret = set_override(host, pci.name, VFIO);
	if (ret < 0)
		return failed(why, ret, pci.name, "choosing its driver");
	ret = detach(host, &pci);
	if (ret == 0)
		ret = probe(host, pci.name);
	if (ret == 0 && host_pci_read(host, pci.name, &pci) == 0 && strcmp(pci.driver, VFIO) == 0)
		return 0;
	if (ret == 0)
		ret = -EIO;
	/* As it was. */
	(void)set_override(host, pci.name, "");
	(void)probe(host, pci.name);
	forget_driver(host, pci.name);
	return failed(why, ret, pci.name, "vfio-pci does not take it");
}

static int take_group(struct host *host, int group, char *why)
{
	char **names;
	int ret = sysfs_list(host->root, &names, "/sys/kernel/iommu_groups/%d/devices", group);

	if (ret < 0)
		return failed(why, ret, "its IOMMU group", "its devices");
	ret = 0;
	for (char **name = names; *name != NULL && ret == 0; name++) {
		struct host_pci pci;

		if (host_pci_read(host, *name, &pci) == 0 && !host_pci_is_bridge(&pci))
			ret = take(host, *name, why);
	}
	sysfs_list_free(names);
	return ret;
}

static int find(const struct host *host, const char *name, struct host_pci *pci, char *why)
{
	int ret = host_pci_read(host, name, pci);

	if (ret == -EINVAL)
		snprintf(why, HOST_TEXT_LEN, "\"%.60s\" is no PCI address like 0000:01:00.0", name);
	else if (ret < 0)
		snprintf(why, HOST_TEXT_LEN, "there is no PCI device %.60s", name);
	return ret;
}

int host_bind(struct host *host, const char *name, bool with_group, char *why)
{
	struct host_pci pci;
	int ret = find(host, name, &pci, why);

	if (ret == 0)
		ret = check(host, &pci, why);
	if (ret == 0)
		ret = check_group(host, &pci, with_group, why);
	if (ret < 0)
		return ret;
	if (!sysfs_exists(host->root, DRIVERS "/" VFIO)) {
		snprintf(why, HOST_TEXT_LEN, "vfio-pci is not loaded: modprobe vfio-pci");
		return -ENOENT;
	}
	return with_group ? take_group(host, pci.group, why) : take(host, pci.name, why);
}

int host_unbind(struct host *host, const char *name, char *why)
{
	char driver[HOST_NAME_LEN];
	struct host_pci pci;
	int ret = find(host, name, &pci, why);

	if (ret < 0)
		return ret;
	if (!host_pci_is_ours(&pci)) {
		snprintf(why, HOST_TEXT_LEN, "%s belongs to %s, not to vfio-pci", pci.name,
			 pci.driver[0] != '\0' ? pci.driver : "nobody");
		return -EINVAL;
	}
	noted_driver(host, pci.name, driver);
	ret = set_override(host, pci.name, driver);
	if (ret == 0)
		ret = detach(host, &pci);
	if (ret == 0)
		ret = probe(host, pci.name);
	/* It has its driver; from now on the kernel chooses again. */
	(void)set_override(host, pci.name, "");
	if (ret < 0)
		return failed(why, ret, pci.name, "giving it back");
	forget_driver(host, pci.name);
	if (driver[0] != '\0' && (host_pci_read(host, pci.name, &pci) != 0 || strcmp(pci.driver, driver) != 0)) {
		snprintf(why, HOST_TEXT_LEN, "%s: %s, which it had, does not take it", pci.name, driver);
		return -EIO;
	}
	return 0;
}

int host_give_to_user(const struct host *host, const char *name, const char *user, char *why)
{
	const struct passwd *entry = getpwnam(user);
	char path[SYSFS_PATH_MAX];
	struct host_pci pci;
	int ret = find(host, name, &pci, why);

	if (ret < 0)
		return ret;
	if (entry == NULL) {
		snprintf(why, HOST_TEXT_LEN, "there is no user %.60s", user);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "%s/dev/vfio/%d", host->root, pci.group);
	if (chown(path, entry->pw_uid, (gid_t)-1) < 0)
		return failed(why, -errno, pci.name, path);
	if (pci.cdev[0] == '\0')
		return 0;
	snprintf(path, sizeof(path), "%s/dev/vfio/devices/%s", host->root, pci.cdev);
	return chown(path, entry->pw_uid, (gid_t)-1) < 0 && errno != ENOENT ? failed(why, -errno, pci.name, path) : 0;
}
