/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this computer lacks for drivers in user space. Each finding says one thing, and how it is mended.
 *
 * Sources: Linux's Documentation/driver-api/vfio.rst, admin-guide/kernel-parameters.rst, admin-guide/LSM/,
 * ABI/testing/sysfs-class-iommu and sysfs-kernel-iommu_groups.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/host.h"
#include "host/sysfs.h"

#define MEMLOCK_GOOD_BYTES (256 * OB_MIB)
#define GRUB               "/etc/default/grub"
#define UNSAFE             "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
#define VTD_ECAP_IR        BIT(3)

struct exam {
	const struct host *host;
	struct host_finding *out;
	unsigned count;
	const char *iommu_mend; /* NULL: it works */
};

static struct host_finding *find(struct exam *e, const char *subject, enum host_verdict verdict)
{
	struct host_finding *f = &e->out[e->count < HOST_FINDINGS_MAX - 1 ? e->count++ : HOST_FINDINGS_MAX - 1];

	*f = (struct host_finding){.subject = subject, .verdict = verdict};
	return f;
}

static void OB_PRINTF(4, 5) say(struct exam *e, const char *subject, enum host_verdict verdict, const char *format, ...)
{
	struct host_finding *f = find(e, subject, verdict);
	va_list args;

	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
}

/* How the finding before is mended. */
static void OB_PRINTF(2, 3) mend(struct exam *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(e->out[e->count - 1].mend, sizeof(e->out[0].mend), format, args);
	va_end(args);
}

static int count_entries(const struct host *host, const char *path)
{
	char **names;
	int count = sysfs_list(host->root, &names, "%s", path);

	sysfs_list_free(count >= 0 ? names : NULL);
	return count > 0 ? count : 0;
}

/* ---- the computer ---- */

static bool has_module(const struct host *host, const char *name)
{
	return sysfs_exists(host->root, "/sys/module/%s", name);
}

static void examine_iommu(struct exam *e)
{
	const struct host *host = e->host;
	int units = count_entries(host, "/sys/class/iommu"), groups = count_entries(host, "/sys/kernel/iommu_groups");
	bool intel = sysfs_exists(host->root, "/sys/firmware/acpi/tables/DMAR");
	bool amd = sysfs_exists(host->root, "/sys/firmware/acpi/tables/IVRS");
	const char *off, *on = amd ? "amd_iommu=on" : "intel_iommu=on";
	char line[4096];

	if (groups > 0) {
		say(e, "iommu", HOST_GOOD, "%d IOMMU%s, %d groups of devices", units, units == 1 ? "" : "s", groups);
		return;
	}
	if (!intel && !amd && units == 0) {
		say(e, "iommu", HOST_BAD, "no IOMMU: the firmware describes none");
		mend(e, "switch on VT-d, AMD-Vi or \"IOMMU\" in the firmware's setup");
		return;
	}
	if (sysfs_read(host->root, line, sizeof(line), "/proc/cmdline") < 0)
		line[0] = '\0';
	off = strstr(line, "intel_iommu=off") != NULL ? "intel_iommu=off"
	      : strstr(line, "amd_iommu=off") != NULL ? "amd_iommu=off"
	      : strstr(line, "iommu=off") != NULL     ? "iommu=off"
						      : NULL;
	if (off != NULL) {
		say(e, "iommu", HOST_BAD, "there is an IOMMU, but the kernel was told not to use it");
		if (sysfs_exists(host->root, GRUB))
			mend(e, "sed -i 's/\\b%s\\b//' " GRUB " && update-grub # and boot again", off);
		else
			mend(e, "take %s off the kernel's command line and boot again", off);
		return;
	}
	say(e, "iommu", HOST_BAD, "there is an IOMMU, but the kernel does not use it");
	if (sysfs_exists(host->root, GRUB))
		mend(e, "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&%s /' " GRUB " && update-grub # and boot again", on);
	else
		mend(e, "add %s to the kernel's command line and boot again", on);
}

/* Intel's say it in their extended capabilities, bit 3 (VT-d §11.4.3); of others nothing is known here. */
static bool knows_no_remapping(const struct host *host)
{
	char **units, text[32];
	bool known = false, remaps = false;

	if (sysfs_list(host->root, &units, "/sys/class/iommu") < 0)
		return false;
	for (char **unit = units; *unit != NULL; unit++) {
		if (sysfs_read(host->root, text, sizeof(text), "/sys/class/iommu/%s/intel-iommu/ecap", *unit) <= 0)
			continue;
		known = true;
		remaps |= (strtoull(text, NULL, 16) & VTD_ECAP_IR) != 0;
	}
	sysfs_list_free(units);
	return known && !remaps;
}

/* Without that a device could send any interrupt to any CPU: VFIO asks for it, unless it is told that all are trusted. */
static void examine_interrupts(struct exam *e)
{
	const struct host *host = e->host;
	char line[4096], unsafe[8];

	if (sysfs_read(host->root, line, sizeof(line), "/proc/cmdline") < 0)
		line[0] = '\0';
	if (!knows_no_remapping(host) && strstr(line, "intremap=off") == NULL && strstr(line, "nointremap") == NULL)
		return;
	if (sysfs_read(host->root, unsafe, sizeof(unsafe), UNSAFE) > 0 && unsafe[0] == 'Y') {
		say(e, "irqs", HOST_NOTE, "the IOMMU does not confine interrupts; all devices are trusted with them");
		return;
	}
	say(e, "irqs", HOST_BAD, "the IOMMU does not confine interrupts, so VFIO hands out no device");
	mend(e, has_module(host, "vfio_iommu_type1") ? "echo 1 >" UNSAFE
						     : "modprobe vfio_iommu_type1 allow_unsafe_interrupts=1");
}

static void examine_modules(struct exam *e)
{
	const struct host *host = e->host;
	bool type1 = has_module(host, "vfio_iommu_type1");
	bool iommufd = has_module(host, "iommufd") || sysfs_exists(host->root, "/dev/iommu");

	if (sysfs_exists(host->root, "/sys/bus/pci/drivers/vfio-pci")) {
		say(e, "modules", HOST_GOOD, "vfio-pci is loaded");
	} else {
		say(e, "modules", HOST_BAD, "vfio-pci is not loaded");
		mend(e, "modprobe vfio-pci");
	}
	if (type1 || iommufd) {
		say(e, "modules", HOST_GOOD, "DMA is mapped by %s%s%s", type1 ? "vfio_iommu_type1" : "",
		    type1 && iommufd ? " or " : "", iommufd ? "iommufd" : "");
	} else {
		say(e, "modules", HOST_BAD, "nothing is loaded that maps DMA");
		mend(e, "modprobe vfio_iommu_type1");
	}
}

static void examine_lockdown(struct exam *e)
{
	char modes[128], *mode;

	if (sysfs_read(e->host->root, modes, sizeof(modes), "/sys/kernel/security/lockdown") < 0)
		return;
	mode = strchr(modes, '[');
	if (mode == NULL)
		return;
	mode++;
	mode[strcspn(mode, "]")] = '\0';
	if (strcmp(mode, "none") == 0) {
		say(e, "lockdown", HOST_GOOD, "the kernel is not locked down");
		return;
	}
	/* VFIO goes on behind an IOMMU; what it cannot have is a way around one. */
	say(e, "lockdown", HOST_NOTE, "the kernel is locked down (%s): devices only behind an IOMMU", mode);
}

static void examine_memory(struct exam *e)
{
	const struct host *host = e->host;
	uint64_t total = 0, left = 0;

	if (host->memlock_bytes == UINT64_MAX || host->is_root) {
		say(e, "memlock", HOST_GOOD, "no limit on locked memory");
	} else if (host->memlock_bytes >= MEMLOCK_GOOD_BYTES) {
		say(e, "memlock", HOST_GOOD, "%llu MiB of memory may be locked",
		    (unsigned long long)(host->memlock_bytes / OB_MIB));
	} else {
		say(e, "memlock", HOST_BAD, "only %llu KiB of memory may be locked, and devices reach no other",
		    (unsigned long long)(host->memlock_bytes / OB_KIB));
		mend(e,
		     "echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/memlock.conf # and log in again");
	}
	(void)sysfs_read_number(host->root, &total, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	(void)sysfs_read_number(host->root, &left, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	if (left > 0) {
		say(e, "hugepages", HOST_GOOD, "%llu of %llu huge pages of 2 MiB are free", (unsigned long long)left,
		    (unsigned long long)total);
	} else {
		say(e, "hugepages", HOST_NOTE, "no huge page of 2 MiB is free; large windows go without%s",
		    total > 0 ? ": all are in use" : "");
		mend(e, "sysctl vm.nr_hugepages=%llu", (unsigned long long)total + 64);
	}
}

/* ---- one device ---- */

static void name_device(struct exam *e, const struct host_pci *pci)
{
	snprintf(e->out[e->count - 1].device, HOST_NAME_LEN, "%s", pci->name);
}

/* The group's other devices; true: a kernel driver has one of them. */
static bool name_sharers(const struct host *host, const struct host_pci *pci, char *out, size_t out_bytes)
{
	bool driven = false;
	char **names;
	size_t len = 0;

	out[0] = '\0';
	if (sysfs_list(host->root, &names, "/sys/kernel/iommu_groups/%d/devices", pci->group) < 0)
		return false;
	for (char **name = names; *name != NULL; name++) {
		struct host_pci other;

		if (strcmp(*name, pci->name) == 0 || host_pci_read(host, *name, &other) != 0 ||
		    host_pci_is_bridge(&other))
			continue;
		driven |= other.driver[0] != '\0' && !host_pci_is_ours(&other);
		if (len < out_bytes - 1)
			len += (size_t)snprintf(out + len, out_bytes - len, "%s%s (%s)", len > 0 ? ", " : "",
						other.name, other.driver[0] != '\0' ? other.driver : "no driver");
	}
	sysfs_list_free(names);
	return driven;
}

/* Who has the file open, and whether we may. */
static void examine_file(struct exam *e, const struct host_pci *pci, const char *path)
{
	char whole[SYSFS_PATH_MAX], user[HOST_TEXT_LEN];

	snprintf(whole, sizeof(whole), "%s%s", e->host->root, path);
	if (host_holder(e->host, path, user) > 0) {
		say(e, "device", HOST_NOTE, "%s has it, and it is in use: %.180s", pci->driver, user);
	} else if (access(whole, R_OK | W_OK) != 0) {
		say(e, "device", HOST_BAD, "%s has it, but this user may not open %s", pci->driver, path);
		mend(e, "sudo outboard bind --user $USER %s", pci->name);
	} else {
		say(e, "device", HOST_GOOD, "%s has it: --machine vfio:%s", pci->driver, pci->name);
	}
}

static void examine_held(struct exam *e, const struct host_pci *pci)
{
	const struct host *host = e->host;
	char group[64], cdev[64];

	snprintf(group, sizeof(group), "/dev/vfio/%d", pci->group);
	snprintf(cdev, sizeof(cdev), "/dev/vfio/devices/%s", pci->cdev);
	if (pci->cdev[0] != '\0' && sysfs_exists(host->root, "%s", cdev) && sysfs_exists(host->root, "/dev/iommu")) {
		examine_file(e, pci, cdev);
	} else if (sysfs_exists(host->root, "%s", group)) {
		examine_file(e, pci, group);
	} else {
		say(e, "device", HOST_BAD, "%s has it, but there is no %s", pci->driver, group);
		mend(e, "modprobe vfio_iommu_type1");
	}
	name_device(e, pci);
}

static void examine_driven(struct exam *e, const struct host_pci *pci)
{
	char user[HOST_TEXT_LEN];

	int ret = host_pci_user(e->host, pci->name, user);

	if (ret < 0) {
		say(e, "device", HOST_NOTE, "%s has it; whether it is in use nobody can say: %.150s", pci->driver,
		    user);
	} else if (ret > 0) {
		say(e, "device", HOST_NOTE, "in use by the kernel's driver %s: %.150s", pci->driver, user);
	} else {
		say(e, "device", HOST_NOTE, "%s has it", pci->driver[0] != '\0' ? pci->driver : "no driver");
		mend(e, "outboard bind %s", pci->name);
	}
	name_device(e, pci);
}

static void examine_device(struct exam *e, const struct host_pci *pci)
{
	char sharers[160];

	if (pci->group < 0) {
		say(e, "device", HOST_BAD, "behind no IOMMU");
		/* The same mends it, unless there is one for others. */
		if (e->iommu_mend != NULL)
			mend(e, "%s", e->iommu_mend);
		else
			mend(e, "try another slot: the firmware leaves this one out of the IOMMU's");
		name_device(e, pci);
		return;
	}
	if (host_pci_is_ours(pci))
		examine_held(e, pci);
	else
		examine_driven(e, pci);
	if (name_sharers(e->host, pci, sharers, sizeof(sharers))) {
		say(e, "group", HOST_NOTE, "shares IOMMU group %d with %s", pci->group, sharers);
		mend(e, "outboard bind --group %s", pci->name);
		name_device(e, pci);
	} else if (sharers[0] != '\0') {
		say(e, "group", HOST_GOOD, "shares IOMMU group %d with %s", pci->group, sharers);
		name_device(e, pci);
	}
}

unsigned host_examine(const struct host *host, const char *device, struct host_finding out[HOST_FINDINGS_MAX])
{
	struct exam e = {.host = host, .out = out};
	struct host_pci *all, one;
	unsigned known = 0;
	int count;

	examine_iommu(&e);
	e.iommu_mend = out[0].verdict == HOST_BAD ? out[0].mend : NULL;
	examine_interrupts(&e);
	examine_modules(&e);
	examine_lockdown(&e);
	examine_memory(&e);
	if (device != NULL) {
		if (host_pci_read(host, device, &one) == 0)
			examine_device(&e, &one);
		else
			say(&e, "device", HOST_BAD, "there is no PCI device %.60s", device);
		return e.count;
	}
	count = host_pci_list(host, &all);
	if (count < 0) {
		say(&e, "device", HOST_BAD, "PCI devices cannot be listed: %s", strerror(-count));
		mend(&e, "mount -t sysfs sysfs /sys");
		return e.count;
	}
	for (int i = 0; i < count; i++) {
		if (host->has_driver == NULL || !host->has_driver(all[i].vendor, all[i].device, all[i].class_code))
			continue;
		known++;
		examine_device(&e, &all[i]);
	}
	if (known == 0)
		say(&e, "device", HOST_NOTE, "no device here that there is a driver for");
	free(all);
	return e.count;
}
