/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices over VFIO that come back: from a reset that is not their own, from the kernel that wanted them, from an error of
 * their link. To be run in the guest (again.job): OUTBOARD_MACHINE has a disk behind port0, an e1000e and an edu.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>
#include <outboard/pci.h>

#include "tests/guest/guest.h"

#define BLOCKS      8u
#define E1000_RDBAL 0x2800 /* 82574 datasheet §10.2.5.5: RW, zero after a reset */
#define EDU_LIVE    0x04   /* QEMU's docs/specs/edu: holds the complement of what is written */

static struct ob *ob;
static struct ob_machine *machine;

static void turn(uint64_t timeout_ns)
{
	ob_cpu_turn(ob_cpu_get(ob, 0), timeout_ns);
}

/* ---- drivers of nothing but registers ---- */

static struct ob_region regs;

static int regs_probe(struct ob_device *dev, const struct ob_match *match)
{
	return ob_device_region(dev, 0, &regs);
}

static void regs_remove(struct ob_device *dev)
{
}

/* The e1000e has a driver of its own; a row with more ids goes before that. */
static const struct ob_match regs_match[] = {
	{OB_MATCH_PCI_ID, 0x8086, 0x10d3, 0x8086, OB_ANY, 0, 0, NULL, 0},
	OB_PCI_ID(0x1234, 0x11e8),
	OB_MATCH_LAST,
};
static const struct ob_driver regs_driver = {
	.name = "registers", .match = regs_match, .probe = regs_probe, .remove = regs_remove};

static int set_up(void **state)
{
	struct ob_config config = {.log = guest_log_keep, .log_level = OB_LOG_INFO};

	guest_log_clear();
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &regs_driver), 0);
	return 0;
}

/* The device that @variable names alone. */
static struct ob_device *open_one(const char *variable)
{
	const char *name = getenv(variable);
	struct ob_device *dev;
	char uri[64];

	assert_non_null(name);
	snprintf(uri, sizeof(uri), "vfio:%s", name);
	assert_int_equal(ob_machine_open(ob, uri, NULL, &machine), 0);
	dev = ob_device_find(machine, name);
	assert_non_null(dev);
	return dev;
}

static int tear_down(void **state)
{
	ob_machine_close(machine);
	machine = NULL;
	ob_destroy(ob);
	return 0;
}

/* ---- resets ---- */

/* It has no function-level reset; the kernel resets the bus that it is on. */
static void test_reset_without_flr_is_the_kernels(void **state)
{
	struct ob_device *dev = open_one("E1000E");
	struct ob_pci_info before, after;

	assert_int_equal(ob_pci_info(dev, &before), 0);
	assert_false(before.flr);
	for (unsigned i = 0; i < 3; i++) {
		ob_mmio_write32(&regs, E1000_RDBAL, 0x12345670);
		assert_int_equal(ob_mmio_read32(&regs, E1000_RDBAL), 0x12345670);
		assert_int_equal(guest_reset(ob, dev), 0);
		assert_int_equal(ob_mmio_read32(&regs, E1000_RDBAL), 0);
	}
	assert_int_equal(ob_pci_info(dev, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(ob_device_is_present(dev));
	ob_device_put(dev);
}

static void test_reset_that_nobody_has_is_refused(void **state)
{
	struct ob_device *dev = open_one("EDU");

	ob_mmio_write32(&regs, EDU_LIVE, 0x1234);
	assert_int_equal(guest_reset(ob, dev), -EOPNOTSUPP);
	assert_true(guest_logged("cannot be reset: it has no function-level reset, and the machine has no other"));
	/* And it works on. */
	assert_int_equal(ob_mmio_read32(&regs, EDU_LIVE), ~0x1234u);
	ob_device_put(dev);
}

/* ---- leaving and coming back ---- */

static void sysfs_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * In another program: the kernel lets it wait until the device is given back. Not in a mere child, which has our files open.
 */
static pid_t take_away(const char *name)
{
	char command[128];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	snprintf(command, sizeof(command), "echo %s >/sys/bus/pci/drivers/vfio-pci/unbind", name);
	execlp("sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static void await_gone(struct ob_device *dev)
{
	uint64_t deadline = ob_deadline(60 * OB_NS_PER_S);

	while (ob_device_state(dev) != OB_DEVICE_GONE && ob_now_ns() < deadline)
		turn(OB_NS_PER_MS);
	assert_int_equal(ob_device_state(dev), OB_DEVICE_GONE);
}

static void await_end(pid_t pid)
{
	uint64_t deadline = ob_deadline(60 * OB_NS_PER_S);
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		assert_true(ob_now_ns() < deadline);
		turn(OB_NS_PER_MS);
	}
	assert_int_equal(status, 0);
}

static unsigned count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void use_disk(bool do_write, unsigned seed)
{
	struct ob_block_channel_config config = {.poll.mode = OB_COMPLETION_INTERRUPT};
	uint8_t data[BLOCKS * 512], want[BLOCKS * 512];
	uint64_t deadline = ob_deadline(10 * OB_NS_PER_S);
	struct ob_block_channel *channel;
	struct ob_block *block = ob_block_find(ob, NULL);

	assert_non_null(block);
	assert_int_equal(ob_block_channel_open(block, &config, &channel), 0);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + seed);
	if (do_write)
		assert_int_equal(ob_block_write(channel, 40, BLOCKS, want, NULL, 0, deadline), 0);
	assert_int_equal(ob_block_read(channel, 40, BLOCKS, data, NULL, deadline), 0);
	assert_memory_equal(data, want, sizeof(want));
	ob_block_channel_close(channel);
	ob_block_put(block);
}

static struct ob_device *rescan(void)
{
	struct ob_device *dev;

	assert_int_equal(ob_machine_rescan(machine), 0);
	dev = ob_device_find(machine, getenv("NVME"));
	assert_true(dev == NULL || ob_device_state(dev) == OB_DEVICE_BOUND);
	return dev;
}

static void test_asked_for_and_given_back_it_is_taken_again(void **state)
{
	struct ob_device *dev = open_one("NVME");
	unsigned files = 0;

	use_disk(true, 99);
	for (unsigned i = 0; i < 3; i++) {
		pid_t child = take_away(getenv("NVME"));

		await_gone(dev);
		await_end(child);
		ob_device_put(dev);
		assert_true(guest_logged("leaves: the kernel wants it back"));
		/* While nobody offers it, a rescan says why there is nothing. */
		assert_null(rescan());
		assert_true(guest_logged("has no driver; 'outboard bind"));
		if (i == 0)
			files = count_files();
		assert_int_equal(count_files(), files);
		sysfs_write("/sys/bus/pci/drivers_probe", getenv("NVME")); /* its driver_override is still there */
		dev = rescan();
		assert_non_null(dev);
		use_disk(false, 99);
	}
	ob_device_put(dev);
}

/* QEMU's monitor is asked by what this prints (tools/guest/boot). Of corrected errors QEMU 7.2 tells the kernel nothing. */
static void inject(const char *error)
{
	printf("@host {\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":"
	       "\"pcie_aer_inject_error %s\"}}\n",
	       error);
	fflush(stdout);
}

static void lost_and_found(const char *error)
{
	struct ob_device *dev = open_one("NVME");
	uint64_t deadline;

	use_disk(true, 6);
	inject(error);
	await_gone(dev);
	ob_device_put(dev);
	assert_true(guest_logged("gone: PCI Express error"));
	/* The kernel resets the link meanwhile; then it may be had again. */
	deadline = ob_deadline(60 * OB_NS_PER_S);
	while ((dev = rescan()) == NULL) {
		assert_true(ob_now_ns() < deadline);
		turn(100 * OB_NS_PER_MS);
	}
	use_disk(false, 6);
	ob_device_put(dev);
}

static void test_fatal_link_error_then_it_is_taken_again(void **state)
{
	lost_and_found("port0 DLP");
}

static void test_nonfatal_link_error_then_it_is_taken_again(void **state)
{
	lost_and_found("port0 UNSUP");
}

#define AGAIN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGAIN_TEST(test_reset_without_flr_is_the_kernels),
		AGAIN_TEST(test_reset_that_nobody_has_is_refused),
		AGAIN_TEST(test_asked_for_and_given_back_it_is_taken_again),
		AGAIN_TEST(test_fatal_link_error_then_it_is_taken_again),
		AGAIN_TEST(test_nonfatal_link_error_then_it_is_taken_again),
	};

	if (getenv("NVME") == NULL)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
