/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on a controller that somebody else wrote: QEMU's. Errors of single blocks, commands that hang, namespaces
 * that come and go, a controller that loses its bus, a QEMU that is stopped or killed under load.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/pci.h>

#include "core/machine_core.h"
#include "machine/qemu/qemu.h"
#include "spec/nvme.h"
#include "tests/block_bed.h"
#include "tests/nvme_probe.h"

#define TIMEOUT    (300 * OB_NS_PER_MS) /* of requests */
#define LONG       (60 * OB_NS_PER_S)   /* of tests */
#define DISK_BYTES (64ll << 20)
#define LOAD       48u

static struct bed bed;
static char disk[2][64];

static void make_disks(void)
{
	for (unsigned i = 0; i < 2; i++) {
		int fd;

		strcpy(disk[i], "/tmp/outboard-nvme-XXXXXX");
		fd = mkstemp(disk[i]);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
		close(fd);
	}
}

static int setup(void **state)
{
	make_disks();
	*state = &bed;
	return 0;
}

static int teardown(void **state)
{
	bed_close(&bed);
	for (unsigned i = 0; i < 2; i++)
		unlink(disk[i]);
	return 0;
}

static void open_plain(const char *more, enum ob_completion_mode mode, uint64_t timeout_ns)
{
	char uri[256];

	snprintf(uri, sizeof(uri), "qemu:q35?nvme=%s,id=nv%s", disk[0], more);
	bed_open(&bed, uri, NULL);
	bed_open_channel(&bed, mode, 64, timeout_ns);
}

/* throttle over raw over blkdebug over the file: errors for single sectors, and commands that hang. */
static void open_faulty(const char *rules)
{
	char file[128], debug[512];
	const char *args[] = {
		"-blockdev", file,
		"-blockdev", debug,
		"-blockdev", "driver=raw,file=bd,node-name=r0",
		"-object",   "throttle-group,id=tg",
		"-blockdev", "driver=throttle,throttle-group=tg,file=r0,node-name=t0",
		"-device",   "nvme,id=nv,drive=t0,serial=faulty",
		NULL,
	};

	snprintf(file, sizeof(file), "driver=file,filename=%s,node-name=f0", disk[0]);
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

static pid_t qemu_pid(struct bed *b)
{
	return ((struct qemu *)(void *)b->machine->m)->supervisor.process.pid;
}

static struct ob_block_stats stats(struct bed *b)
{
	struct ob_block_stats s;

	ob_block_stats(b->block, &s);
	return s;
}

static void submit_load(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(bed_submit(&bed, i, i % 2 == 0 ? OB_BLOCK_READ : OB_BLOCK_WRITE, i * 8, 8), 0);
	ob_block_kick(bed.channel);
}

static void expect_all(unsigned count, int status)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(bed_status(&bed, i), status);
}

/* ---- errors of the medium ---- */

static void test_error_at_one_sector_fails_that_read_alone(void **state)
{
	open_faulty(",inject-error.0.event=read_aio,inject-error.0.errno=5,inject-error.0.sector=800"
		    ",inject-error.0.iotype=read");
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 800, 1), -EIO);
	assert_int_equal(bed.requests[0].request.protocol_status, NVME_SC_UNRECOVERED_READ);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 796, 8), -EIO);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 799, 1), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 801, 1), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 800, 8), 0);
	assert_int_equal(stats(&bed).resets, 0);
	assert_int_equal(stats(&bed).errors, 2);
}

static void test_no_space_fails_one_write(void **state)
{
	open_faulty(",set-state.0.event=write_aio,set-state.0.state=1,set-state.0.new_state=2"
		    ",inject-error.0.event=write_aio,inject-error.0.state=2,inject-error.0.errno=28"
		    ",inject-error.0.once=on");
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 0, 8), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 8, 8), -EIO);
	assert_int_equal(bed.requests[0].request.protocol_status, NVME_SC_WRITE_FAULT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 8, 8), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 8, 8), 0);
}

/* ---- commands that hang ---- */

static bool was_reset(struct bed *b)
{
	return bed_logged(b, "works again") > 0;
}

static void test_hung_commands_are_aborted_and_reset(void **state)
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
	expect_all(8, 0);
	assert_true(stats(&bed).timeouts >= 1);
	assert_true(stats(&bed).aborts >= 1);
	/* QEMU ends what it holds while it is being disabled, so there need not be anything to issue again. */
	assert_true(stats(&bed).resets >= 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(((uint8_t *)bed_buffer(&bed, i))[0], 0x11);
}

static void test_commands_that_stay_hung_end_in_bounded_time(void **state)
{
	uint64_t start;

	open_faulty("");
	throttle(1);
	start = ob_now_ns();
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i * 8, 8), 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 40; i++)
		assert_true(bed_status(&bed, i) == 0 || bed_status(&bed, i) == -ETIMEDOUT ||
			    bed_status(&bed, i) == -EIO || bed_status(&bed, i) == -ENODEV);
	assert_true(ob_now_ns() - start < 30 * OB_NS_PER_S);
	throttle(0);
}

/* ---- the controller ---- */

static void test_reset_under_load_answers_every_request_once(void **state)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};

	for (unsigned m = 0; m < 3; m++) {
		open_plain("", modes[m], TIMEOUT * 10);
		for (unsigned round = 0; round < 8; round++) {
			submit_load(LOAD);
			assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
			bed_wait(&bed, LONG);
			expect_all(LOAD, 0);
		}
		assert_int_equal(stats(&bed).resets, 8);
		bed_close(&bed);
	}
}

static void test_bus_master_lost_is_cured_by_a_reset(void **state)
{
	struct ob_device *dev;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT);
	dev = ob_block_device(bed.block);
	ob_pci_write(dev, 4, 2, ob_pci_read(dev, 4, 2) & ~4u);
	submit_load(LOAD);
	bed_wait(&bed, LONG);
	expect_all(LOAD, 0);
	assert_true(bed_logged(&bed, "fatal status") > 0);
	assert_true(stats(&bed).resets > 0);
}

static void test_vanished_interrupts_are_made_up_for(void **state)
{
	struct ob_device *dev;
	unsigned msix;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT);
	dev = ob_block_device(bed.block);
	msix = ob_pci_find_capability(dev, 0x11, 0);
	assert_true(msix != 0);
	/* The function mask: what completes interrupts nobody. */
	ob_pci_write(dev, msix + 2, 2, ob_pci_read(dev, msix + 2, 2) | 0x4000);
	submit_load(LOAD);
	bed_wait(&bed, LONG);
	expect_all(LOAD, 0);
	assert_true(bed_logged(&bed, "no interrupt came") > 0);
	assert_int_equal(stats(&bed).resets, 0);
}

static void test_line_interrupt_serves_admin_and_requests(void **state)
{
	open_plain("&msi=off&intx=on", OB_COMPLETION_INTERRUPT, TIMEOUT * 10);
	assert_int_equal(ob_block_channel_mode(bed.channel), OB_COMPLETION_INTERRUPT);
	for (unsigned round = 0; round < 5; round++) {
		submit_load(LOAD);
		bed_wait(&bed, LONG);
		expect_all(LOAD, 0);
		/* Idle: this QEMU leaves its line up for ever when a reset meets completions that were not taken. */
		bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
		assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
	}
	assert_int_equal(stats(&bed).timeouts, 0);
	assert_int_equal(bed_logged(&bed, "storm"), 0);
}

static void test_health_warning_is_logged(void **state)
{
	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT);
	bed_command(&bed, "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/nv\","
			  "\"property\":\"smart_critical_warning\",\"value\":4}}");
	for (unsigned i = 0; i < 500 && bed_logged(&bed, "critical warning 0x4") == 0; i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_int_equal(bed_logged(&bed, "critical warning 0x4"), 1);
}

/* ---- namespaces ---- */

static int attach(uint32_t nsid, bool attached)
{
	static struct nvme_controller_list list;
	struct ob_nvme_admin command = {
		.opcode = NVME_ADMIN_NAMESPACE_ATTACH,
		.nsid = nsid,
		.cdw10 = attached ? NVME_NS_ATTACH : NVME_NS_DETACH,
		.data = &list,
		.len_bytes = sizeof(list),
		.to_device = true,
	};

	ob_le16_store(&list.count, 1);
	return ob_nvme_admin(bed.block, &command, ob_deadline(5 * OB_NS_PER_S));
}

static bool has_block(const char *name)
{
	struct ob_block *block = ob_block_find(bed.ob, name);

	ob_block_put(block);
	return block != NULL;
}

static bool has_two(struct bed *b)
{
	return has_block("nvme0n2");
}

static bool has_one(struct bed *b)
{
	return !has_two(b);
}

static void test_namespaces_come_and_go(void **state)
{
	char drives[2][200];
	const char *args[] = {
		"-blockdev", drives[0],
		"-blockdev", drives[1],
		"-device",   "nvme-subsys,id=ss0",
		"-device",   "nvme,id=nv,serial=s,subsys=ss0",
		"-device",   "nvme-ns,drive=d0,bus=nv,nsid=1",
		"-device",   "nvme-ns,drive=d1,bus=nv,nsid=2,logical_block_size=4096,physical_block_size=4096",
		NULL,
	};
	struct ob_block_channel *channel;
	struct ob_block_limits limits;
	struct ob_block *second;
	uint8_t buffer[4096];

	for (unsigned i = 0; i < 2; i++)
		snprintf(drives[i], sizeof(drives[i]), "driver=file,filename=%s,node-name=d%u", disk[i], i);
	bed_open(&bed, "qemu:q35", args);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	assert_string_equal(ob_block_name(bed.block), "nvme0n1");
	second = ob_block_find(bed.ob, "nvme0n2");
	assert_non_null(second);
	ob_block_limits(second, &limits);
	assert_int_equal(limits.block_bytes, 4096);
	assert_int_equal(ob_block_channel_open(second, NULL, &channel), 0);
	assert_int_equal(ob_block_read(channel, 5, 1, buffer, NULL, ob_deadline(5 * OB_NS_PER_S)), 0);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(attach(2, false), 0);
		assert_true(bed_turn_until(&bed, has_one, LONG));
		assert_false(ob_block_online(second));
		assert_int_equal(ob_block_read(channel, 5, 1, buffer, NULL, ob_deadline(5 * OB_NS_PER_S)), -ENODEV);
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
		ob_block_channel_close(channel);
		ob_block_put(second);
		assert_int_equal(attach(2, true), 0);
		assert_true(bed_turn_until(&bed, has_two, LONG));
		second = ob_block_find(bed.ob, "nvme0n2");
		assert_int_equal(ob_block_channel_open(second, NULL, &channel), 0);
		assert_int_equal(ob_block_read(channel, 5, 1, buffer, NULL, ob_deadline(5 * OB_NS_PER_S)), 0);
	}
	ob_block_channel_close(channel);
	ob_block_put(second);
}

/* ---- data ---- */

/* PRPs cannot express pieces that end inside pages: no bounce and no split means that an SGL did. */
static void test_ragged_pieces_go_by_sgl(void **state)
{
	struct ob_segment pieces[8];
	struct ob_block_request r = {
		.op = OB_BLOCK_WRITE, .lba = 40, .block_count = 8, .segments = pieces, .segment_count = 8};
	struct ob_nvme_controller c;
	uint8_t *base;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT * 10);
	assert_int_equal(ob_nvme_controller(bed.block, &c), 0);
	assert_true(c.sgl);
	assert_true(c.shadow_doorbells);
	base = bed.window->base;
	r.window = bed.window;
	for (unsigned i = 0; i < 8; i++) {
		pieces[i] = (struct ob_segment){base + i * 8192 + 4 * i, i % 2 == 0 ? 508 : 516};
		memset(pieces[i].base, (int)(0xa0 + i), pieces[i].len_bytes);
	}
	assert_int_equal(ob_block_do(bed.channel, &r, ob_deadline(LONG)), 0);
	for (unsigned i = 0; i < 8; i++)
		memset(pieces[i].base, 0, pieces[i].len_bytes);
	r.op = OB_BLOCK_READ;
	assert_int_equal(ob_block_do(bed.channel, &r, ob_deadline(LONG)), 0);
	for (unsigned i = 0; i < 8; i++)
		for (size_t j = 0; j < pieces[i].len_bytes; j++)
			assert_int_equal(((uint8_t *)pieces[i].base)[j], 0xa0 + i);
	assert_int_equal(stats(&bed).bounces + stats(&bed).splits, 0);
}

/* ---- QEMU itself ---- */

static bool is_offline(struct bed *b)
{
	return !ob_block_online(b->block);
}

static void test_qemu_killed_under_load_ends_all_with_enodev(void **state)
{
	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT * 100);
	submit_load(LOAD);
	kill(qemu_pid(&bed), SIGKILL);
	bed_wait(&bed, 20 * OB_NS_PER_S);
	for (unsigned i = 0; i < LOAD; i++)
		assert_true(bed_status(&bed, i) == -ENODEV || bed_status(&bed, i) == 0);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 0, 1), -ENODEV);
}

static void test_qemu_stopped_under_load_ends_all(void **state)
{
	pid_t pid;

	open_plain("&timeout=2", OB_COMPLETION_POLLED, TIMEOUT);
	pid = qemu_pid(&bed);
	submit_load(LOAD);
	bed_wait(&bed, LONG);
	kill(pid, SIGSTOP);
	submit_load(LOAD);
	bed_wait(&bed, LONG);
	expect_all(LOAD, -ENODEV);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	bed_close(&bed);
	assert_int_equal(kill(pid, 0), -1);
}

static void test_qemu_stopped_for_a_moment_loses_nothing(void **state)
{
	pid_t pid;

	open_plain("", OB_COMPLETION_INTERRUPT, 10 * OB_NS_PER_S);
	pid = qemu_pid(&bed);
	for (unsigned round = 0; round < 5; round++) {
		submit_load(LOAD);
		kill(pid, SIGSTOP);
		usleep(50000);
		kill(pid, SIGCONT);
		bed_wait(&bed, LONG);
		expect_all(LOAD, 0);
	}
	assert_int_equal(stats(&bed).resets, 0);
}

/* ---- suspended ---- */

static void suspend_under_load(const char *more, enum ob_completion_mode mode)
{
	static struct bed_load load;
	struct ob_device *dev;

	open_plain(more, mode, 20 * OB_NS_PER_S);
	dev = ob_block_device(bed.block);
	bed_load_start(&bed, &load, LOAD);
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned turns = (unsigned)random_below(&load.random, 100); turns > 0; turns--)
			bed_load_turn(&bed, &load);
		assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
		for (unsigned turns = (unsigned)random_below(&load.random, 5); turns > 0; turns--)
			bed_load_turn(&bed, &load);
		assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	}
	bed_load_finish(&bed, &load, LONG);
	assert_int_equal(bed_logged(&bed, ": resumed"), 10);
	assert_int_equal(bed_logged(&bed, "controller reset"), 0);
	assert_int_equal(stats(&bed).reissues, 0);
	bed_close(&bed);
}

static void test_suspended_under_load_it_loses_nothing(void **state)
{
	suspend_under_load("", OB_COMPLETION_INTERRUPT);
	suspend_under_load("", OB_COMPLETION_HYBRID);
	suspend_under_load("", OB_COMPLETION_POLLED);
}

static void test_qemu_killed_while_suspended_ends_all_with_enodev(void **state)
{
	struct ob_device *dev;

	open_plain("", OB_COMPLETION_INTERRUPT, TIMEOUT);
	dev = ob_block_device(bed.block);
	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	for (unsigned i = 0; i < LOAD; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	kill(qemu_pid(&bed), SIGKILL);
	bed_wait(&bed, LONG);
	expect_all(LOAD, -ENODEV);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), -ENODEV);
}

/* ---- several CPUs ---- */

struct reader {
	struct ob_block *block;
	struct ob_cpu *cpu;
	unsigned reads, errors;
	bool stop; /* __atomic */
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct ob_block_channel_config config = {.cpu = r->cpu, .timeout_ns = 20 * OB_NS_PER_S};
	struct ob_block_channel *channel;
	uint8_t buffer[4096];

	if (ob_block_channel_open(r->block, &config, &channel) != 0) {
		r->errors = 1;
		return NULL;
	}
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		r->errors += ob_block_read(channel, r->reads % 1000, 8, buffer, NULL, ob_deadline(LONG)) != 0;
		r->reads++;
	}
	ob_block_channel_close(channel);
	return NULL;
}

static void test_resets_and_sleeps_while_other_cpus_work_disturb_nobody(void **state)
{
	struct reader readers[3];
	pthread_t threads[3];
	char uri[128];

	snprintf(uri, sizeof(uri), "qemu:q35?nvme=%s", disk[0]);
	assert_int_equal(bed_try_open(&bed, uri, NULL, 4), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(bed.ob, i), -1), 0);
	for (unsigned i = 0; i < 3; i++) {
		readers[i] = (struct reader){.block = bed.block, .cpu = ob_cpu_get(bed.ob, i + 1)};
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		usleep(20000);
		assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
		assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
		assert_int_equal(ob_machine_resume(bed.machine, ob_deadline(LONG)), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		__atomic_store_n(&readers[i].stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].errors, 0);
		assert_true(readers[i].reads > 20);
	}
	assert_true(stats(&bed).resets >= 20);
	for (unsigned i = 0; i < 4; i++)
		ob_cpu_stop(ob_cpu_get(bed.ob, i));
}

/* ---- probe ---- */

static void test_probe_each_call_failing_leaves_nothing(void **state)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "qemu:q35?nvme=%s", disk[0]);
	nvme_probe_fail_each(uri);
	nvme_channel_fail_each(uri);
}

#define NVME_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NVME_TEST(test_error_at_one_sector_fails_that_read_alone),
		NVME_TEST(test_no_space_fails_one_write),
		NVME_TEST(test_hung_commands_are_aborted_and_reset),
		NVME_TEST(test_commands_that_stay_hung_end_in_bounded_time),
		NVME_TEST(test_reset_under_load_answers_every_request_once),
		NVME_TEST(test_bus_master_lost_is_cured_by_a_reset),
		NVME_TEST(test_vanished_interrupts_are_made_up_for),
		NVME_TEST(test_line_interrupt_serves_admin_and_requests),
		NVME_TEST(test_health_warning_is_logged),
		NVME_TEST(test_namespaces_come_and_go),
		NVME_TEST(test_ragged_pieces_go_by_sgl),
		NVME_TEST(test_qemu_killed_under_load_ends_all_with_enodev),
		NVME_TEST(test_qemu_stopped_under_load_ends_all),
		NVME_TEST(test_qemu_stopped_for_a_moment_loses_nothing),
		NVME_TEST(test_suspended_under_load_it_loses_nothing),
		NVME_TEST(test_qemu_killed_while_suspended_ends_all_with_enodev),
		NVME_TEST(test_resets_and_sleeps_while_other_cpus_work_disturb_nobody),
		NVME_TEST(test_probe_each_call_failing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
