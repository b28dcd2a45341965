/* SPDX-License-Identifier: BSD-2-Clause */
/* What the doctor says of computers that were recorded, and of others that lack one thing each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host_tree.h"

static struct host_tree tree;
static struct host_finding found[HOST_FINDINGS_MAX];
static unsigned count;

static int set_up(void **state)
{
	host_tree_make(&tree);
	return 0;
}

static int tear_down(void **state)
{
	host_tree_remove(&tree);
	return 0;
}

static void examine(const char *device)
{
	count = host_examine(&tree.host, device, found);
	for (unsigned i = 0; i < count; i++)
		/* What is bad can be mended, what is good need not. */
		assert_int_equal(found[i].verdict == HOST_BAD && found[i].mend[0] == '\0' &&
					 strncmp(found[i].text, "there is no PCI device", 22) != 0,
				 0);
}

static void expect(const char *subject, enum host_verdict verdict, const char *text, const char *mend)
{
	for (unsigned i = 0; i < count; i++) {
		const struct host_finding *f = &found[i];

		if (strcmp(f->subject, subject) == 0 && f->verdict == verdict && strstr(f->text, text) != NULL &&
		    (mend == NULL ? f->mend[0] == '\0' : strstr(f->mend, mend) != NULL))
			return;
	}
	for (unsigned i = 0; i < count; i++)
		print_message("%s %d: %s [%s]\n", found[i].subject, (int)found[i].verdict, found[i].text,
			      found[i].mend);
	fail_msg("no finding %s %d \"%s\"", subject, (int)verdict, text);
}

/* A Linux guest: two NVMe controllers, one mounted, one with vfio-pci; the default route over a network card. */
static void test_doctor_of_a_recorded_computer(void **state)
{
	char user[HOST_TEXT_LEN];

	host_tree_load(&tree, "host-q35.tree");
	examine(NULL);
	expect("iommu", HOST_GOOD, "1 IOMMU, 7 groups", NULL);
	expect("modules", HOST_GOOD, "vfio-pci is loaded", NULL);
	expect("modules", HOST_GOOD, "vfio_iommu_type1", NULL);
	expect("memlock", HOST_BAD, "8192 KiB", "sudo tee /etc/security/limits.d/memlock.conf");
	expect("hugepages", HOST_NOTE, "no huge page", "vm.nr_hugepages=64");
	expect("device", HOST_NOTE, "in use by the kernel's driver nvme: /dev/nvme0n1 is mounted on /mnt", NULL);
	expect("device", HOST_GOOD, "vfio-pci has it: --machine vfio:0000:02:00.0", NULL);
	assert_int_equal(host_pci_user(&tree.host, "0000:00:06.0", user), 1);
	assert_non_null(strstr(user, "default route goes over eth0"));
	examine("0000:00:06.0");
	expect("device", HOST_NOTE, "in use by the kernel's driver e1000e", NULL);
	examine("0000:77:00.0");
	expect("device", HOST_BAD, "there is no PCI device", NULL);
}

static void test_doctor_without_iommu_in_the_firmware(void **state)
{
	examine(NULL);
	expect("iommu", HOST_BAD, "no IOMMU", "firmware's setup");
	expect("modules", HOST_BAD, "vfio-pci is not loaded", "modprobe vfio-pci");
	expect("modules", HOST_BAD, "maps DMA", "modprobe vfio_iommu_type1");
	expect("device", HOST_NOTE, "no device here", NULL);
}

static void test_doctor_with_an_iommu_that_is_off(void **state)
{
	host_tree_file(&tree, "/sys/firmware/acpi/tables/DMAR", "");
	host_tree_file(&tree, "/proc/cmdline", "root=/dev/sda1 quiet\n");
	examine(NULL);
	expect("iommu", HOST_BAD, "does not use it", "intel_iommu=on");
	host_tree_file(&tree, "/proc/cmdline", "intel_iommu=off\n");
	examine(NULL);
	expect("iommu", HOST_BAD, "told not to", "take intel_iommu=off off");
	host_tree_file(&tree, "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"intel_iommu=off\"\n");
	examine(NULL);
	expect("iommu", HOST_BAD, "told not to", "sed -i 's/\\bintel_iommu=off\\b//' /etc/default/grub && update-grub");
	host_tree_file(&tree, "/proc/cmdline", "root=/dev/sda1\n");
	examine(NULL);
	expect("iommu", HOST_BAD, "does not use it",
	       "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on /' /etc/default/grub");
	/* What is behind none is mended by the same. */
	host_tree_pci(&tree, "0000:03:00.0", 0x010802, -1, NULL);
	examine("0000:03:00.0");
	expect("device", HOST_BAD, "behind no IOMMU", "intel_iommu=on");
}

static void test_doctor_knows_amd(void **state)
{
	host_tree_file(&tree, "/sys/firmware/acpi/tables/IVRS", "");
	examine(NULL);
	expect("iommu", HOST_BAD, "does not use it", "amd_iommu=on");
}

/* Interrupts that the IOMMU lets through: VFIO then hands out nothing, unless it is told to. */
static void test_doctor_of_interrupts_that_are_not_confined(void **state)
{
	host_tree_dir(&tree, "/sys/kernel/iommu_groups/0");
	host_tree_file(&tree, "/sys/class/iommu/dmar0/intel-iommu/ecap", "f00f42\n");
	examine(NULL);
	expect("iommu", HOST_GOOD, "1 groups", NULL);
	expect("irqs", HOST_BAD, "does not confine", "modprobe vfio_iommu_type1 allow_unsafe_interrupts=1");
	host_tree_file(&tree, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
	examine(NULL);
	expect("irqs", HOST_BAD, "does not confine", "echo 1 >/sys/module/vfio_iommu_type1/parameters");
	host_tree_file(&tree, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
	examine(NULL);
	expect("irqs", HOST_NOTE, "all devices are trusted", NULL);
	/* With remapping there is nothing to be said, unless it is switched off. */
	host_tree_file(&tree, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
	host_tree_file(&tree, "/sys/class/iommu/dmar0/intel-iommu/ecap", "f00f4a\n");
	examine(NULL);
	for (unsigned i = 0; i < count; i++)
		assert_string_not_equal(found[i].subject, "irqs");
	host_tree_file(&tree, "/proc/cmdline", "quiet intremap=off\n");
	examine(NULL);
	expect("irqs", HOST_BAD, "does not confine", "echo 1");
}

/* A device of ours: by its group or by its own file, free or in use, for this user or not. */
static void test_doctor_of_what_vfio_has(void **state)
{
	host_tree_pci(&tree, "0000:02:00.0", 0x010802, 4, "vfio-pci");
	host_tree_file(&tree, "/dev/vfio/4", "");
	examine(NULL);
	expect("device", HOST_GOOD, "--machine vfio:0000:02:00.0", NULL);
	host_tree_file(&tree, "/proc/78/comm", "qemu\n");
	host_tree_link(&tree, "/proc/78/fd/6", "/dev/vfio/4");
	examine(NULL);
	expect("device", HOST_NOTE, "in use: process 78 (qemu) has /dev/vfio/4 open", NULL);
	host_tree_dir(&tree, "/sys/bus/pci/devices/0000:02:00.0/vfio-dev/vfio1");
	host_tree_file(&tree, "/dev/vfio/devices/vfio1", "");
	host_tree_file(&tree, "/dev/iommu", "");
	examine(NULL);
	expect("device", HOST_GOOD, "--machine vfio:0000:02:00.0", NULL);
	host_tree_link(&tree, "/dev/vfio/devices/vfio1", "/nowhere/at/all"); /* to root, all files are open */
	examine(NULL);
	expect("device", HOST_BAD, "this user may not open /dev/vfio/devices/vfio1", "sudo outboard bind --user");
}

static void test_doctor_of_the_rest(void **state)
{
	host_tree_file(&tree, "/proc/self/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
	host_tree_pci(&tree, "0000:01:00.0", 0x010802, 3, "nvme");
	host_tree_pci(&tree, "0000:01:00.1", 0x040300, 3, "snd_hda_intel");
	host_tree_pci(&tree, "0000:02:00.0", 0x010802, 4, "vfio-pci");
	host_tree_pci(&tree, "0000:03:00.0", 0x010802, -1, NULL);
	host_tree_file(&tree, "/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	host_tree_file(&tree, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	host_tree_file(&tree, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "12\n");
	host_tree_dir(&tree, "/sys/module/iommufd");
	tree.host.memlock_bytes = UINT64_MAX;
	examine(NULL);
	expect("lockdown", HOST_NOTE, "integrity", NULL);
	expect("hugepages", HOST_GOOD, "12 of 512", NULL);
	expect("memlock", HOST_GOOD, "no limit", NULL);
	expect("modules", HOST_GOOD, "mapped by iommufd", NULL);
	expect("device", HOST_NOTE, "nvme has it", "outboard bind 0000:01:00.0");
	expect("group", HOST_NOTE, "group 3 with 0000:01:00.1 (snd_hda_intel)", "outboard bind --group 0000:01:00.0");
	expect("device", HOST_BAD, "no /dev/vfio/4", "modprobe vfio_iommu_type1");
	expect("device", HOST_BAD, "behind no IOMMU", "another slot"); /* there is one for the others */
}

#define DOCTOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DOCTOR_TEST(test_doctor_of_a_recorded_computer),
		DOCTOR_TEST(test_doctor_without_iommu_in_the_firmware),
		DOCTOR_TEST(test_doctor_with_an_iommu_that_is_off),
		DOCTOR_TEST(test_doctor_knows_amd),
		DOCTOR_TEST(test_doctor_of_interrupts_that_are_not_confined),
		DOCTOR_TEST(test_doctor_of_what_vfio_has),
		DOCTOR_TEST(test_doctor_of_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
