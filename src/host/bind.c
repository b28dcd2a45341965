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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "host/sysfs.h"

#define DRIVERS "/sys/bus/pci/drivers"
#define NOTES   "/run/outboard"
#define VFIO    "vfio-pci"

#define DETACH_TRIES 750 /* of 20 ms: 15 s; the kernel asks each 10 s */

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

static void note_driver(const struct host *host, const char *name, const char *driver)
{
	char path[SYSFS_PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s" NOTES, host->root);
	(void)mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s" NOTES "/%s", host->root, name);
	f = fopen(path, "we");
	if (f == NULL)
		return; /* then the kernel chooses, which is the same in nearly all cases */
	fprintf(f, "%s\n", driver);
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
	if (ret == 0)
		ret = host_pci_claimed(host, pci->name, user);
	if (ret < 0)
		return failed(why, ret, pci->name, user[0] != '\0' ? user : "who uses it");
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

/* To the driver that it had, or whichever the kernel chooses; it has none now. Does it have it? */
static int offer(struct host *host, const char *name, const char *driver)
{
	struct host_pci pci;
	int ret = set_override(host, name, driver);

	if (ret == 0)
		ret = probe(host, name);
	/* From now on the kernel chooses again. */
	(void)set_override(host, name, "");
	if (ret == 0)
		ret = host_pci_read(host, name, &pci);
	if (ret == 0 && driver[0] != '\0' && strcmp(pci.driver, driver) != 0)
		ret = -EIO;
	return ret;
}

static int take(struct host *host, const char *name, char *why)
{
	struct host_pci pci;
	char driver[HOST_NAME_LEN];
	int ret = host_pci_read(host, name, &pci);

	if (ret < 0 || host_pci_is_ours(&pci))
		return ret;
	memcpy(driver, pci.driver, sizeof(driver));
	note_driver(host, pci.name, driver);
	ret = set_override(host, pci.name, VFIO);
	if (ret < 0) {
		forget_driver(host, pci.name);
		return failed(why, ret, pci.name, "choosing its driver");
	}
	ret = detach(host, &pci);
	if (ret == 0)
		ret = probe(host, pci.name);
	if (ret == 0 && host_pci_read(host, pci.name, &pci) == 0 && strcmp(pci.driver, VFIO) == 0)
		return 0;
	/* As it was. */
	(void)offer(host, pci.name, driver);
	forget_driver(host, pci.name);
	if (ret < 0)
		return failed(why, ret, pci.name, "vfio-pci does not take it");
	snprintf(why, HOST_TEXT_LEN, "%s: vfio-pci does not take it; the kernel's log (dmesg) says why", pci.name);
	return -EIO;
}

/* The kernel waits until whoever has it has let go, for as long as that takes: so another process asks for it. */
static int detach_in_time(struct host *host, const struct host_pci *pci, char *why)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return failed(why, -errno, pci->name, "another process");
	if (pid == 0)
		_exit(-detach(host, pci) & 0xff);
	for (unsigned i = 0; i < DETACH_TRIES; i++) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0
				       ? 0
				       : failed(why, WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO, pci->name,
						"taking it from vfio-pci");
		nanosleep(&pause, NULL);
	}
	snprintf(why, HOST_TEXT_LEN,
		 "%s: its user was asked and has not let go of it; when it has, 'outboard unbind %s'", pci->name,
		 pci->name);
	return -ETIMEDOUT;
}

static int give_back(struct host *host, const char *name, char *why)
{
	char driver[HOST_NAME_LEN];
	struct host_pci pci;
	int ret = host_pci_read(host, name, &pci);

	if (ret < 0)
		return failed(why, ret, name, "giving it back");
	noted_driver(host, pci.name, driver);
	ret = pci.driver[0] != '\0' ? detach_in_time(host, &pci, why) : 0;
	if (ret == -ETIMEDOUT)
		note_driver(host, pci.name, driver); /* for the next time, when it has none */
	if (ret < 0)
		return ret;
	ret = offer(host, pci.name, driver);
	if (ret == -EIO)
		snprintf(why, HOST_TEXT_LEN, "%s: %s, which it had, does not take it; 'modprobe %s' may help", pci.name,
			 driver, driver);
	else if (ret < 0)
		return failed(why, ret, pci.name, "giving it back");
	forget_driver(host, pci.name);
	return ret;
}

/* All of them, or none. */
static int take_group(struct host *host, int group, char *why)
{
	char **names, ignored[HOST_TEXT_LEN];
	int ret = sysfs_list(host->root, &names, "/sys/kernel/iommu_groups/%d/devices", group), taken = 0;
	bool *ours = ret >= 0 ? calloc((size_t)ret + 1, sizeof(*ours)) : NULL;
	struct host_pci pci;

	if (ret >= 0 && ours == NULL)
		ret = -ENOMEM;
	if (ret < 0) {
		sysfs_list_free(names);
		return failed(why, ret, "its IOMMU group", "its devices");
	}
	ret = 0;
	for (; names[taken] != NULL && ret == 0; taken++) {
		if (host_pci_read(host, names[taken], &pci) != 0 || host_pci_is_bridge(&pci) || host_pci_is_ours(&pci))
			continue;
		ret = take(host, names[taken], why);
		ours[taken] = ret == 0;
	}
	while (ret < 0 && taken-- > 0)
		if (ours[taken])
			(void)give_back(host, names[taken], ignored);
	sysfs_list_free(names);
	free(ours);
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

/* Who has it open by its group or by its own file. */
static int check_free(const struct host *host, const struct host_pci *pci, char *why)
{
	char path[64], user[HOST_TEXT_LEN];
	int ret;

	snprintf(path, sizeof(path), "/dev/vfio/%d", pci->group);
	ret = host_holder(host, path, user);
	if (ret == 0 && pci->cdev[0] != '\0') {
		snprintf(path, sizeof(path), "/dev/vfio/devices/%.31s", pci->cdev);
		ret = host_holder(host, path, user);
	}
	if (ret <= 0)
		return 0; /* who cannot know that has no right to what follows, either */
	snprintf(why, HOST_TEXT_LEN, "%s is in use: %.120s; end it, or ask it to leave with --force", pci->name, user);
	return -EBUSY;
}

int host_unbind(struct host *host, const char *name, bool force, char *why)
{
	struct host_pci pci;
	int ret = find(host, name, &pci, why);

	if (ret < 0)
		return ret;
	/* One without a driver that we took once was left over. */
	if (!host_pci_is_ours(&pci) && (pci.driver[0] != '\0' || !sysfs_exists(host->root, NOTES "/%s", pci.name))) {
		snprintf(why, HOST_TEXT_LEN, "%s belongs to %s, not to vfio-pci", pci.name,
			 pci.driver[0] != '\0' ? pci.driver : "nobody");
		return -EINVAL;
	}
	if (!force && pci.driver[0] != '\0')
		ret = check_free(host, &pci, why);
	return ret < 0 ? ret : give_back(host, pci.name, why);
}

int host_user_find(const char *user, unsigned *uid, char *why)
{
	const struct passwd *entry = getpwnam(user);

	if (entry == NULL) {
		snprintf(why, HOST_TEXT_LEN, "there is no user %.60s", user);
		return -EINVAL;
	}
	*uid = entry->pw_uid;
	return 0;
}

int host_give_to_user(const struct host *host, const char *name, unsigned uid, char *why)
{
	char path[SYSFS_PATH_MAX];
	struct host_pci pci;
	int ret = find(host, name, &pci, why);

	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "%s/dev/vfio/%d", host->root, pci.group);
	if (chown(path, uid, (gid_t)-1) < 0)
		return failed(why, -errno, pci.name, path);
	if (pci.cdev[0] == '\0')
		return 0;
	snprintf(path, sizeof(path), "%s/dev/vfio/devices/%s", host->root, pci.cdev);
	return chown(path, uid, (gid_t)-1) < 0 && errno != ENOENT ? failed(why, -errno, pci.name, path) : 0;
}
