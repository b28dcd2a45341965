/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on a disk that somebody else wrote: QEMU's. Errors of single blocks, requests that hang, a disk that changes
 * its size, resets and sleep under load, a QEMU that is stopped or killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/pci.h>

#include "core/machine_core.h"
#include "drivers/block/virtio_blk/virtio_blk.h"
#include "machine/qemu/qemu.h"
#include "tests/block_bed.h"
#include "tests/vblk_probe.h"

#define TIMEOUT    (300 * OB_NS_PER_MS) /* of requests */
#define LONG       (60 * OB_NS_PER_S)   /* of tests */
#define DISK_BYTES (16ll << 20)
#define BLOCKS     (DISK_BYTES / 512)
#define LOAD       48u

static struct bed bed;
static char disk[64];

static int setup(void **state)
{
	int fd;

	strcpy(disk, "/tmp/outboard-vblk-XXXXXX");
	fd = mkstemp(disk);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	bed_close(&bed);
	unlink(disk);
	return 0;
}

static void open_plain(const char *more, enum ob_completion_mode mode, uint64_t timeout_ns)
{
	char uri[256];

	snprintf(uri, sizeof(uri), "qemu:q35?virtio-blk=%s%s", disk, more);
	bed_open(&bed, uri, NULL);
	bed_open_channel(&bed, mode, 64, timeout_ns);
}

/* throttle over raw over blkdebug over the file: errors for single sectors, and requests that hang. */
static void open_faulty(const char *rules)
{
	char file[128], debug[512];
	const char *args[] = {
		"-blockdev",
		file,
		"-blockdev",
		debug,
		"-blockdev",
		"driver=raw,file=bd,node-name=r0",
		"-object",
		"throttle-group,id=tg",
		"-blockdev",
		"driver=throttle,throttle-group=tg,file=r0,node-name=t0",
		"-device",
		"virtio-blk-pci,id=vb,drive=t0,serial=faulty,disable-legacy=on,werror=report,rerror=report,"
		"request-merging=off",
		NULL,
	};

	snprintf(file, sizeof(file), "driver=file,filename=%s,node-name=f0", disk);
	snprintf(debug, sizeof(debug), "driver=blkdebug,image=f0,node-name=bd%s", rules);
	bed_open(&bed, "qemu:q35", args);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
}

static void throttle(unsigned iops)
{
	bed_command(&bed,
		    "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/objects/tg\",\"property\":\"limits\","
		    "\"value\":{\"iops-total\":%u,\"iops-total-max\":%u}}}",
		    iops, iops);
}

static pid_t qemu_pid(void)
{
	return ((struct qemu *)(void *)bed.machine->m)->supervisor.process.pid;
}

static struct vblk *driver(void)
{
	return ob_block_driver_data(bed.block);
}

static struct ob_block_stats stats(void)
{
	struct ob_block_stats s;

	ob_block_stats(bed.block, &s);
	return s;
}

static void submit_load(void)
{
	for (unsigned i = 0; i < LOAD; i++)
		assert_int_equal(bed_submit(&bed, i, i % 2 == 0 ? OB_BLOCK_READ : OB_BLOCK_WRITE, i * 8, 8), 0);
	ob_block_kick(bed.channel);
}

static void expect_all(int status)
{
	for (unsigned i = 0; i < LOAD; i++)
		assert_int_equal(bed_status(&bed, i), status);
}

/* ---- errors of the medium ---- */

static void test_error_at_one_sector_fails_that_read_alone(void **state)
{
	open_faulty(",inject-error.0.event=read_aio,inject-error.0.errno=5,inject-error.0.sector=800"
		    ",inject-error.0.iotype=read");
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 800, 1), -EIO);
	assert_int_equal(bed.requests[0].request.protocol_status, VIRTIO_BLK_S_IOERR);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 796, 8), -EIO);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 792, 8), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 800, 1), 0);
	assert_int_equal(stats().resets, 0);
}

static void test_no_space_fails_one_write(void **state)
{
	open_faulty(",set-state.0.event=write_aio,set-state.0.state=1,set-state.0.new_state=2"
		    ",inject-error.0.event=write_aio,inject-error.0.state=2,inject-error.0.errno=28"
		    ",inject-error.0.once=on");
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 0, 8), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 8, 8), -EIO);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 8, 8), 0);
}

static bool was_reset(struct bed *b)
{
	return bed_logged(b, "works again") > 0;
}

static void test_hung_requests_are_had_back_by_a_reset(void **state)
{
	open_faulty("");
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, i * 8, 8), 0);
	throttle(1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i * 8, 8), 0);
	assert_true(bed_turn_until(&bed, was_reset, LONG));
	throttle(0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_true(stats().timeouts >= 1 && stats().resets >= 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(((uint8_t *)bed_buffer(&bed, i))[0], 0x11);
}

/* ---- what it is ---- */

static void test_read_only_disk_refuses_writes(void **state)
{
	open_plain(",readonly=on", OB_COMPLETION_INTERRUPT, TIMEOUT);
	assert_true(bed.limits.read_only);
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_WRITE, 0, 1), -EROFS);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

static void test_disk_is_what_its_properties_say(void **state)
{
	open_plain(",queues=3,serial=TWENTYCHARACTERS0000,logical_block_size=1024,physical_block_size=4096,"
		   "opt_io_size=65536,discard=off,write-zeroes=off,seg-max-adjust=on,queue-size=16",
		   OB_COMPLETION_POLLED, TIMEOUT);
	assert_string_equal(ob_block_serial(bed.block), "TWENTYCHARACTERS0000");
	assert_int_equal(bed.limits.block_bytes, 1024);
	assert_int_equal(bed.limits.block_count, BLOCKS / 2);
	assert_int_equal(bed.limits.physical_bytes, 4096);
	assert_int_equal(bed.limits.optimal_bytes, 65536);
	assert_int_equal(bed.limits.segment_max, 14);
	assert_false(bed.limits.trim || bed.limits.write_zeroes);
	assert_true(bed.limits.volatile_cache);
	assert_int_equal(driver()->queue_count, 3);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, BLOCKS / 2 - 1, 1), 0);
}

static uint64_t blocks_wanted;

static bool has_its_size(struct bed *b)
{
	struct ob_block_limits limits;

	ob_block_limits(b->block, &limits);
	return limits.block_count == blocks_wanted;
}

static void resize(uint64_t blocks)
{
	blocks_wanted = blocks;
	bed_command(&bed, "{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"disk0\",\"size\":%llu}}",
		    (unsigned long long)blocks * 512);
	assert_true(bed_turn_until(&bed, has_its_size, LONG));
}

static void change_size(const char *more, enum ob_completion_mode mode)
{
	open_plain(more, mode, TIMEOUT);
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, BLOCKS, 1), -ERANGE);
	resize(2 * BLOCKS);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 2 * BLOCKS - 1, 1), 0);
	resize(BLOCKS / 2);
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, BLOCKS / 2, 1), -ERANGE);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, BLOCKS / 2 - 1, 1), 0);
	bed_close(&bed);
}

static void test_change_of_size_is_noticed(void **state)
{
	change_size("", OB_COMPLETION_INTERRUPT);
	change_size(",vectors=0", OB_COMPLETION_INTERRUPT);     /* by the pin */
	change_size("&msi=off&intx=off", OB_COMPLETION_POLLED); /* by nothing but looking */
}

/* ---- resets, sleep ---- */

static bool is_idle(struct bed *b)
{
	return b->busy == 0 && driver()->state == VBLK_LIVE;
}

static void test_reset_under_load_answers_every_request_once(void **state)
{
	static const char *const rings[] = {"", ",packed=on"};

	for (unsigned m = OB_COMPLETION_INTERRUPT; m <= OB_COMPLETION_HYBRID; m++) {
		open_plain(rings[m % 2], (enum ob_completion_mode)m, TIMEOUT * 10);
		for (unsigned round = 0; round < 8; round++) {
			submit_load();
			vblk_want_reset(driver(), "a test");
			bed_turn_until(&bed, NULL, OB_NS_PER_MS);
			assert_true(bed_turn_until(&bed, is_idle, LONG));
			expect_all(0);
		}
		assert_int_equal(stats().resets, 8);
		bed_close(&bed);
	}
}

static void test_sleep_under_load_loses_nothing(void **state)
{
	struct bed_load load;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT * 10);
	bed_load_start(&bed, &load, LOAD);
	for (unsigned round = 0; round < 6; round++) {
		uint64_t until_ns = ob_deadline(20 * OB_NS_PER_MS);

		while (ob_now_ns() < until_ns)
			bed_load_turn(&bed, &load);
		assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
		bed_load_turn(&bed, &load);
		assert_int_equal(ob_machine_resume(bed.machine, ob_deadline(LONG)), 0);
	}
	bed_load_finish(&bed, &load, LONG);
	assert_int_equal(stats().errors + stats().resets, 0);
}

static void test_vanished_interrupts_are_made_up_for(void **state)
{
	struct ob_device *dev;
	unsigned msix;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT);
	dev = ob_device_parent(ob_block_device(bed.block));
	msix = ob_pci_find_capability(dev, 0x11, 0);
	assert_true(msix != 0);
	/* The function mask: what completes interrupts nobody. */
	ob_pci_write(dev, msix + 2, 2, ob_pci_read(dev, msix + 2, 2) | 0x4000);
	submit_load();
	bed_wait(&bed, LONG);
	expect_all(0);
	assert_true(bed_logged(&bed, "no interrupt came") > 0);
	assert_int_equal(stats().resets, 0);
}

/* ---- QEMU ---- */

static bool is_offline(struct bed *b)
{
	return ob_block_channel_open(b->block, NULL, NULL) == -ENODEV;
}

static void test_qemu_killed_under_load_ends_all_with_enodev(void **state)
{
	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT * 100);
	submit_load();
	kill(qemu_pid(), SIGKILL);
	bed_wait(&bed, 20 * OB_NS_PER_S);
	for (unsigned i = 0; i < LOAD; i++)
		assert_true(bed_status(&bed, i) == -ENODEV || bed_status(&bed, i) == 0);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
}

static void test_qemu_stopped_under_load_ends_all(void **state)
{
	open_plain("&timeout=2", OB_COMPLETION_POLLED, TIMEOUT);
	submit_load();
	bed_wait(&bed, LONG);
	kill(qemu_pid(), SIGSTOP);
	submit_load();
	bed_wait(&bed, LONG);
	expect_all(-ENODEV);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
}

static void test_each_call_failing_leaves_nothing(void **state)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "qemu:q35?virtio-blk=%s,queues=2", disk);
	vblk_probe_fail_each(uri);
	vblk_channel_fail_each(uri);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_error_at_one_sector_fails_that_read_alone),
		TEST(test_no_space_fails_one_write),
		TEST(test_hung_requests_are_had_back_by_a_reset),
		TEST(test_read_only_disk_refuses_writes),
		TEST(test_disk_is_what_its_properties_say),
		TEST(test_change_of_size_is_noticed),
		TEST(test_reset_under_load_answers_every_request_once),
		TEST(test_sleep_under_load_loses_nothing),
		TEST(test_vanished_interrupts_are_made_up_for),
		TEST(test_qemu_killed_under_load_ends_all_with_enodev),
		TEST(test_qemu_stopped_under_load_ends_all),
		TEST(test_each_call_failing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
