/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions that change hands, and those that must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/sysfs.h"
#include "tests/host_tree.h"

#define NVME "0000:01:00.0"

static struct host_tree tree;
static char why[HOST_TEXT_LEN];

static int set_up(void **state)
{
	host_tree_make(&tree);
	host_tree_dir(&tree, "/sys/bus/pci/drivers/vfio-pci");
	host_tree_pci(&tree, "0000:00:01.0", 0x060400, 7, "pcieport");
	host_tree_pci(&tree, NVME, 0x010802, 7, "nvme");
	host_tree_link(&tree, "/sys/class/block/nvme0n1",
		       "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1");
	host_tree_file(&tree, "/proc/self/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
	why[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	host_tree_remove(&tree);
	return 0;
}

static const char *driver_of(const char *name)
{
	static struct host_pci pci;

	assert_int_equal(host_pci_read(&tree.host, name, &pci), 0);
	return pci.driver;
}

static void refused(int error, const char *text)
{
	assert_int_equal(host_bind(&tree.host, NVME, false, why), error);
	assert_non_null(strstr(why, text));
	assert_string_equal(driver_of(NVME), "nvme");
	assert_int_equal(tree.writes, 0);
}

static void test_bind_and_unbind_restore_the_driver(void **state)
{
	host_tree_pci(&tree, NVME, 0x010802, 7, "special");
	assert_int_equal(host_bind(&tree.host, "01:00.0", false, why), 0);
	assert_string_equal(driver_of(NVME), "vfio-pci");
	assert_int_equal(host_bind(&tree.host, NVME, false, why), 0); /* once more is no error, */
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), 0);
	assert_string_equal(driver_of(NVME), "special"); /* nor does it forget what there was before */
	assert_false(sysfs_exists(tree.root, "/run/outboard/" NVME));
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), -EINVAL);
	assert_non_null(strstr(why, "belongs to special"));
}

static void test_unbind_without_a_note_lets_the_kernel_choose(void **state)
{
	host_tree_pci(&tree, NVME, 0x010802, 7, "vfio-pci");
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), 0);
	assert_string_equal(driver_of(NVME), "nvme");
}

static void test_bind_that_fails_leaves_it_as_it_was(void **state)
{
	char override[32];

	tree.refuses = true;
	host_tree_pci(&tree, NVME, 0x010802, 7, "special");
	assert_int_equal(host_bind(&tree.host, NVME, false, why), -EIO);
	assert_non_null(strstr(why, "does not take it; the kernel's log (dmesg) says why"));
	assert_string_equal(driver_of(NVME), "special");
	assert_false(sysfs_exists(tree.root, "/run/outboard/" NVME));
	assert_int_equal(
		sysfs_read(tree.root, override, sizeof(override), "/sys/bus/pci/devices/" NVME "/driver_override"), 0);
	tree.write_error = -EACCES;
	assert_int_equal(host_bind(&tree.host, NVME, false, why), -EPERM);
	assert_non_null(strstr(why, "only root"));
	assert_false(sysfs_exists(tree.root, "/run/outboard/" NVME));
}

static void test_bind_of_what_cannot_be_is_refused(void **state)
{
	assert_int_equal(host_bind(&tree.host, "x", false, why), -EINVAL);
	assert_non_null(strstr(why, "no PCI address"));
	assert_int_equal(host_bind(&tree.host, "01:00.0x", false, why), -EINVAL);
	assert_int_equal(host_bind(&tree.host, "0000:02:00.0", false, why), -ENODEV);
	assert_int_equal(host_bind(&tree.host, "0000:00:01.0", false, why), -EINVAL);
	assert_non_null(strstr(why, "bridge"));
	host_tree_pci(&tree, "0000:03:00.0", 0x010802, -1, "nvme");
	assert_int_equal(host_bind(&tree.host, "0000:03:00.0", false, why), -EINVAL);
	assert_non_null(strstr(why, "no IOMMU"));
	assert_int_equal(tree.writes, 0);
}

static void test_bind_without_vfio_pci_says_how_to_get_it(void **state)
{
	host_tree_remove(&tree);
	host_tree_make(&tree);
	host_tree_pci(&tree, NVME, 0x010802, 7, "nvme");
	/* Nor where nobody can say what is mounted. */
	refused(-ENOENT, "/proc/self/mountinfo");
	host_tree_file(&tree, "/proc/self/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
	refused(-ENOENT, "modprobe vfio-pci");
}

static void test_bind_mounted_is_refused(void **state)
{
	host_tree_file(&tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1/dev",
		       "259:1\n");
	host_tree_link(&tree, "/sys/class/block/nvme0n1p1",
		       "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1");
	host_tree_file(
		&tree, "/proc/self/mountinfo",
		"22 1 0:20 / / rw - tmpfs tmpfs rw\n30 22 259:1 / /home rw,relatime shared:1 - ext4 /dev/root rw\n");
	refused(-EBUSY, "/dev/nvme0n1p1 is mounted on /home");
}

/* btrfs shows numbers of its own: the name tells. Another disk's mount is nothing to us. */
static void test_bind_mounted_by_name_is_refused_and_others_are_not(void **state)
{
	host_tree_link(&tree, "/sys/class/block/nvme10n1",
		       "../../devices/pci0000:00/0000:00:02.0/0000:02:00.0/nvme/nvme10/nvme10n1");
	host_tree_file(&tree, "/proc/self/mountinfo", "30 22 0:55 / /srv rw - btrfs /dev/nvme10n1 rw\n");
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	assert_int_equal(host_pci_user(&tree.host, "0000:02:00.0", why), 1);
	/* Segments behind Intel's VMD have five digits. */
	host_tree_link(&tree, "/sys/class/block/nvme5n1",
		       "../../devices/pci0000:00/0000:00:0e.0/pci10000:00/10000:01:00.0/nvme/nvme5/nvme5n1");
	host_tree_file(&tree, "/proc/self/mountinfo", "30 22 0:55 / /srv rw - btrfs /dev/nvme5n1 rw\n");
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	host_tree_file(&tree, "/proc/self/mountinfo", "30 22 0:55 / /srv rw - btrfs /dev/nvme0n1 rw\n");
	refused(-EBUSY, "/dev/nvme0n1 is mounted on /srv");
}

/* Containers have thousands of mounts, and overlays long lines. */
static void test_bind_mounted_far_down_a_long_list_is_refused(void **state)
{
	size_t room = 1024 * 1024, len = 0;
	char *text = malloc(room);

	assert_non_null(text);
	while (len < room - 8192) {
		len += (size_t)sprintf(text + len, "30 22 0:55 / /var/lib/%zu rw - overlay overlay rw,lowerdir=", len);
		memset(text + len, 'x', 4000);
		len += 4000;
		text[len++] = '\n';
	}
	strcpy(text + len, "31 22 0:56 / /mnt\\040a rw shared:1 - btrfs /dev/nvme0n1 rw");
	host_tree_file(&tree, "/proc/self/mountinfo", text);
	refused(-EBUSY, "/dev/nvme0n1 is mounted on /mnt\\040a");
	/* What only looks like it is none: a mount point of that name, the start of a longer one. */
	strcpy(text + len, "31 22 0:56 / /dev/nvme0n1 rw - tmpfs /dev/nvme0n11 rw");
	host_tree_file(&tree, "/proc/self/mountinfo", text);
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	free(text);
}

static void test_bind_open_in_a_process_is_refused(void **state)
{
	host_tree_file(&tree, "/proc/77/comm", "dd\n");
	host_tree_link(&tree, "/proc/77/fd/0", "/dev/null");
	host_tree_link(&tree, "/proc/77/fd/1", "/dev/nvme0n10");
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	host_tree_link(&tree, "/proc/77/fd/3", "/dev/nvme0n1");
	refused(-EBUSY, "process 77 (dd) has /dev/nvme0n1 open");
	/* The controller's own file counts as well. */
	host_tree_link(&tree, "/proc/77/fd/3", "/dev/nvme0");
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	host_tree_link(&tree, "/sys/class/nvme/nvme0", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0");
	refused(-EBUSY, "process 77 (dd) has /dev/nvme0 open");
}

static void test_unbind_of_what_a_process_uses_is_refused_but_by_force(void **state)
{
	assert_int_equal(host_bind(&tree.host, NVME, false, why), 0);
	host_tree_file(&tree, "/proc/78/comm", "outboard\n");
	host_tree_link(&tree, "/proc/78/fd/5", "/dev/vfio/70");
	host_tree_link(&tree, "/proc/78/fd/6", "/dev/vfio/7");
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), -EBUSY);
	assert_non_null(strstr(why, "process 78 (outboard) has /dev/vfio/7 open"));
	assert_non_null(strstr(why, "--force"));
	assert_string_equal(driver_of(NVME), "vfio-pci");
	assert_int_equal(host_unbind(&tree.host, NVME, true, why), 0);
	assert_string_equal(driver_of(NVME), "nvme");
	/* By its own file. */
	assert_int_equal(host_bind(&tree.host, NVME, false, why), 0);
	host_tree_link(&tree, "/proc/78/fd/6", "/dev/vfio/devices/vfio3");
	host_tree_dir(&tree, "/sys/bus/pci/devices/" NVME "/vfio-dev/vfio3");
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), -EBUSY);
}

/* An unbind that was cut off left it without a driver; what it had is still known. */
static void test_unbind_of_what_was_left_over_finishes(void **state)
{
	host_tree_pci(&tree, NVME, 0x010802, 7, "special");
	assert_int_equal(host_bind(&tree.host, NVME, false, why), 0);
	assert_int_equal(tree.host.write(&tree.host, "/sys/bus/pci/drivers/vfio-pci/unbind", NVME), 0);
	assert_string_equal(driver_of(NVME), "");
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), 0);
	assert_string_equal(driver_of(NVME), "special");
	/* Of others without one we know nothing. */
	assert_int_equal(tree.host.write(&tree.host, "/sys/bus/pci/drivers/special/unbind", NVME), 0);
	assert_int_equal(host_unbind(&tree.host, NVME, false, why), -EINVAL);
	assert_non_null(strstr(why, "belongs to nobody"));
}

static void test_bind_of_a_group_is_all_or_none(void **state)
{
	host_tree_pci(&tree, "0000:01:00.1", 0x040300, 7, "snd_hda_intel");
	strcpy(tree.fussy, "0000:01:00.1");
	assert_int_equal(host_bind(&tree.host, NVME, true, why), -EIO);
	assert_string_equal(driver_of(NVME), "nvme");
	assert_string_equal(driver_of("0000:01:00.1"), "snd_hda_intel");
}

static void test_bind_with_swap_or_a_volume_is_refused(void **state)
{
	char held[] = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1/holders/dm-3";

	host_tree_file(&tree, "/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1  partition 1 0 -2\n");
	refused(-EBUSY, "/dev/nvme0n1 is swap");
	host_tree_file(&tree, "/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n10  partition 1 0 -2\n");
	host_tree_dir(&tree, held);
	refused(-EBUSY, "/dev/nvme0n1 is part of dm-3");
}

static void test_bind_of_a_path_of_a_mounted_subsystem_is_refused(void **state)
{
	host_tree_link(&tree, "/sys/class/block/nvme0n1", "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1");
	host_tree_dir(&tree, "/sys/class/nvme-subsystem/nvme-subsys0/nvme0");
	host_tree_link(&tree, "/sys/class/nvme/nvme0", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0");
	host_tree_file(&tree, "/proc/self/mountinfo", "30 22 259:0 / /var rw - ext4 /dev/nvme0n1 rw\n");
	refused(-EBUSY, "/dev/nvme0n1 is mounted on /var");
}

static void test_bind_under_the_default_route_is_refused(void **state)
{
	static const char head[] =
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
	char text[512];

	host_tree_link(&tree, "/sys/class/net/eth0", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/net/eth0");
	host_tree_link(&tree, "/sys/class/net/br0", "../../devices/virtual/net/br0");
	host_tree_dir(&tree, "/sys/devices/virtual/net/br0/lower_bond0");
	host_tree_link(&tree, "/sys/class/net/bond0", "../../devices/virtual/net/bond0");
	host_tree_dir(&tree, "/sys/devices/virtual/net/bond0/lower_eth0");
	snprintf(text, sizeof(text), "%seth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", head);
	host_tree_file(&tree, "/proc/net/route", text);
	assert_int_equal(host_pci_user(&tree.host, NVME, why), 0);
	snprintf(text, sizeof(text), "%sbr0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", head);
	host_tree_file(&tree, "/proc/net/route", text);
	refused(-EBUSY, "the default route goes over br0");
	host_tree_file(&tree, "/proc/net/route", head);
	host_tree_file(&tree, "/proc/net/ipv6_route",
		       "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		       "fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n");
	refused(-EBUSY, "the default route goes over eth0");
}

static void test_bind_takes_a_group_as_a_whole(void **state)
{
	host_tree_pci(&tree, "0000:01:00.1", 0x040300, 7, "snd_hda_intel");
	refused(-EBUSY, "shares its IOMMU group 7 with 0000:01:00.1 (snd_hda_intel)");
	assert_int_equal(host_bind(&tree.host, NVME, true, why), 0);
	assert_string_equal(driver_of(NVME), "vfio-pci");
	assert_string_equal(driver_of("0000:01:00.1"), "vfio-pci");
	assert_string_equal(driver_of("0000:00:01.0"), "pcieport"); /* bridges stay */
	assert_int_equal(host_unbind(&tree.host, "0000:01:00.1", false, why), 0);
	assert_string_equal(driver_of("0000:01:00.1"), "snd_hda_intel");
}

static void test_bind_of_a_group_with_a_used_member_is_refused(void **state)
{
	host_tree_pci(&tree, "0000:01:00.1", 0x020000, 7, "e1000e");
	host_tree_link(&tree, "/sys/class/net/eth0", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.1/net/eth0");
	host_tree_file(&tree, "/proc/net/route", "x\neth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	assert_int_equal(host_bind(&tree.host, NVME, true, why), -EBUSY);
	assert_non_null(strstr(why, "0000:01:00.1 is in use: the default route goes over eth0"));
	assert_int_equal(tree.writes, 0);
}

static void test_giving_to_nobody_known_is_refused(void **state)
{
	unsigned uid = 1;

	assert_int_equal(host_user_find("no such user here", &uid, why), -EINVAL);
	assert_non_null(strstr(why, "there is no user"));
	assert_int_equal(host_user_find("root", &uid, why), 0);
	assert_int_equal(uid, 0);
	assert_true(host_give_to_user(&tree.host, NVME, uid, why) < 0); /* no file for it */
	assert_non_null(strstr(why, "/dev/vfio/7"));
}

#define BIND_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BIND_TEST(test_bind_and_unbind_restore_the_driver),
		BIND_TEST(test_unbind_without_a_note_lets_the_kernel_choose),
		BIND_TEST(test_bind_that_fails_leaves_it_as_it_was),
		BIND_TEST(test_bind_of_what_cannot_be_is_refused),
		BIND_TEST(test_bind_without_vfio_pci_says_how_to_get_it),
		BIND_TEST(test_bind_mounted_is_refused),
		BIND_TEST(test_bind_mounted_by_name_is_refused_and_others_are_not),
		BIND_TEST(test_bind_mounted_far_down_a_long_list_is_refused),
		BIND_TEST(test_bind_open_in_a_process_is_refused),
		BIND_TEST(test_unbind_of_what_a_process_uses_is_refused_but_by_force),
		BIND_TEST(test_unbind_of_what_was_left_over_finishes),
		BIND_TEST(test_bind_of_a_group_is_all_or_none),
		BIND_TEST(test_bind_with_swap_or_a_volume_is_refused),
		BIND_TEST(test_bind_of_a_path_of_a_mounted_subsystem_is_refused),
		BIND_TEST(test_bind_under_the_default_route_is_refused),
		BIND_TEST(test_bind_takes_a_group_as_a_whole),
		BIND_TEST(test_bind_of_a_group_with_a_used_member_is_refused),
		BIND_TEST(test_giving_to_nobody_known_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
