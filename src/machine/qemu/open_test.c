/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting and stopping QEMU, and everything that can be wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "machine/qemu/command_line.h"
#include "tests/qemu_raw.h"

#define DEADLINE ob_deadline(5 * OB_NS_PER_S)

static void test_open_twenty_times_leaves_nothing(void **state)
{
	unsigned fds = 0, threads = 0;
	struct raw r;

	for (unsigned i = 0; i <= 20; i++) {
		struct machine_dma_memory memory;
		struct machine_intx line;
		struct machine_msi msi[3];

		if (i == 1) { /* the first one warmed up whatever there is to warm up */
			fds = raw_count_fds();
			threads = raw_count_threads();
		}
		assert_int_equal(raw_open(&r, "q35?device=edu"), 0);
		assert_int_equal(r.m->ops->msi_alloc(r.m, NULL, 3, false, msi), 0);
		assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 1, &line), 0);
		assert_int_equal(r.m->ops->dma_alloc(r.m, 12345, 0, &memory), 0);
		/* Given back in one half of the runs, left to close in the other. */
		if (i % 2 == 0) {
			r.m->ops->msi_free(r.m, NULL, 3, msi);
			r.m->ops->intx_close(r.m, &line);
			r.m->ops->dma_free(r.m, &memory);
		}
		raw_close(&r);
		assert_int_equal(r.deaths, 0);
	}
	assert_int_equal(raw_count_fds(), fds);
	assert_int_equal(raw_count_threads(), threads);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_open_wrong_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		const char *rest;
		int error;
		const char *why;
	} wrong[] = {
		{"q35?nosuch=1", -EINVAL, "unknown key 'nosuch'"},
		{"q35?device=nosuch", -EINVAL, "QEMU refused its arguments: -device nosuch: 'nosuch' is not a valid"},
		{"q35?arg=--nosuch", -EINVAL, "QEMU refused its arguments: --nosuch: invalid option"},
		{"q35?device=edu,addr=1e", -EINVAL, "slot 30 function 0 not available"},
		{"q35?arg=-machine&arg=pc", -EINVAL, "QEMU refused its arguments"},
		{"q35?msi=off&arg=-machine&arg=pc", -EINVAL, "not a q35"},
		{"q35?binary=/nonexistent/qemu", -ENOPKG, "/nonexistent/qemu is not installed"},
		{"q35?binary=/etc/passwd", -EACCES, "/etc/passwd"},
		{"q35?binary=/bin/true", -ENODEV, "QEMU exited with status 0"},
		{"q35?nvme=/nonexistent.img", -ENOENT, "nvme=/nonexistent.img: No such file"},
		{"q35?nvme=/etc", -EINVAL, "neither a file nor a block device"},
		{"q35?virtio-net=connect:/nonexistent.sock", -ENOENT,
		 "connect:/nonexistent.sock: there is no such socket"},
		{"q35?virtio-net=connect:/etc/passwd", -ENOTSOCK, "connect:/etc/passwd: "},
		{"q35?virtio-net=listen:/nonexistent/sock", -ENOENT, "listen:/nonexistent/sock: No such file"},
		{"q35?virtio-net=listen:/etc&virtio-net=connect:/nonexistent.sock", -ENOENT, "there is no such socket"},
		{"q35?attach=/nonexistent", -ENOENT, "attach=/nonexistent"},
	};
	unsigned fds = raw_count_fds(), threads = raw_count_threads();
	struct raw r;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		int ret = raw_open(&r, wrong[i].rest);

		if (ret != wrong[i].error || !raw_logged(&r, wrong[i].why))
			fail_msg("%s: %d, log: %s", wrong[i].rest, ret, r.log);
		raw_close(&r);
	}
	assert_int_equal(raw_count_fds(), fds);
	assert_int_equal(raw_count_threads(), threads);
}

static void test_open_without_qemu_names_the_package(void **state)
{
	char *path = strdup(getenv("PATH"));
	struct raw r;

	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(raw_open(&r, ""), -ENOPKG);
	setenv("PATH", path, 1);
	free(path);
	assert_true(raw_logged(&r, "on Debian it is in the package qemu-system-x86"));
	raw_close(&r);
}

/* Root may write to everything, so somebody else looks. */
static int check_as_nobody(const char *rest)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct qemu_uri uri;
		char why[256];
		int ret = qemu_uri_parse(rest, &uri, why, sizeof(why));

		if (ret < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
			_exit(1);
		ret = qemu_check_files(&uri, why, sizeof(why));
		_exit(ret == -EACCES && strstr(why, "not writable (add ,readonly=on") != NULL ? 100 : ret != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_open_readonly_file_needs_readonly(void **state)
{
	char name[] = "/tmp/ob-qemu-test-XXXXXX", rest[128];
	int fd = mkstemp(name);
	struct raw r;

	assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0 && fchmod(fd, 0444) == 0);
	snprintf(rest, sizeof(rest), "?nvme=%s", name);
	assert_int_equal(check_as_nobody(rest), 100);
	snprintf(rest, sizeof(rest), "?nvme=%s,readonly=on", name);
	assert_int_equal(check_as_nobody(rest), 0);
	assert_int_equal(raw_open(&r, rest), 0);
	raw_close(&r);
	close(fd);
	unlink(name);
}

static void test_open_program_that_says_nothing_ends_at_deadline(void **state)
{
	char name[] = "/tmp/ob-qemu-test-XXXXXX", rest[128];
	static const char script[] = "#!/bin/sh\nexec sleep 60\n";
	int fd = mkstemp(name);
	struct ob_config config = {0};
	struct machine *m;
	struct ob *ob;
	uint64_t start_ns;

	assert_true(fd >= 0 && write(fd, script, sizeof(script) - 1) > 0 && fchmod(fd, 0700) == 0);
	close(fd);
	snprintf(rest, sizeof(rest), "?binary=%s", name);
	assert_int_equal(ob_create(&config, &ob), 0);
	start_ns = ob_now_ns();
	assert_int_equal(qemu_machine_type.open(ob, rest, NULL, ob_deadline(OB_NS_PER_S / 2), &m), -ETIMEDOUT);
	/* SIGTERM ends it, after the second that QMP's quit would have had. */
	assert_true(raw_elapsed_ms(start_ns) < 4000);
	ob_destroy(ob);
	unlink(name);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_open_extra_arguments_reach_qemu(void **state)
{
	static const char *const args[] = {"-device", "edu,addr=9", NULL};
	struct ob_machine_options options = {.args = args};
	struct ob_config config = {0};
	struct machine *m;
	struct raw r = {0};

	assert_int_equal(ob_create(&config, &r.ob), 0);
	assert_int_equal(qemu_machine_type.open(r.ob, "q35", &options, DEADLINE, &m), 0);
	r.m = m;
	assert_int_equal(raw_config_read(&r, 9 << 3, 0, 4), 0x11e81234);
	m->ops->close(m); /* without shutdown(), which it does itself then */
	ob_destroy(r.ob);
}

static void test_command_reply_and_refusal(void **state)
{
	char *reply;
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\n\"query-status\",\"id\":[7]}", &reply, DEADLINE), 0);
	assert_non_null(strstr(reply, "\"status\":\"running\""));
	assert_non_null(strstr(reply, "\"id\":[7]"));
	ob_free(reply);
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"nosuch\"}", &reply, DEADLINE), -EIO);
	assert_non_null(strstr(reply, "CommandNotFound"));
	ob_free(reply);
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"stop\"}", NULL, DEADLINE), 0); /* with an event */
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"cont\"}", NULL, DEADLINE), 0);
	assert_int_equal(r.m->ops->command(r.m, "stop", &reply, DEADLINE), -EINVAL);
	assert_null(reply);
	assert_int_equal(r.m->ops->command(r.m, "[1]", NULL, DEADLINE), -EINVAL);
	/* A long answer: some 100 KiB. */
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"query-qmp-schema\"}", &reply, DEADLINE), 0);
	assert_true(strlen(reply) > 50000);
	ob_free(reply);
	raw_close(&r);
}

/* A program that opens a machine and is killed takes QEMU along. */
static void test_parent_killed_qemu_dies(void **state)
{
	int report[2];
	pid_t child, qemu = -1;
	unsigned waits = 0;

	/* QEMU becomes ours when its parent is gone, so that we can see it end. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(report), 0);
	child = fork();
	if (child == 0) {
		struct raw r;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (raw_open(&r, "") == 0) {
			pid_t pid = r.qemu->supervisor.process.pid;

			if (write(report[1], &pid, sizeof(pid)) < 0)
				_exit(1);
		}
		pause();
		_exit(0);
	}
	close(report[1]);
	assert_int_equal(read(report[0], &qemu, sizeof(qemu)), sizeof(qemu));
	close(report[0]);
	assert_int_equal(kill(qemu, 0), 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (waitpid(qemu, NULL, WNOHANG) != qemu) {
		assert_true(waits++ < 2000);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void *open_in_thread(void *arg)
{
	return (void *)(intptr_t)raw_open(arg, "?device=edu");
}

/* PR_SET_PDEATHSIG looks at the thread that forked. */
static void test_opening_thread_ends_qemu_lives(void **state)
{
	pthread_t thread;
	void *ret;
	struct raw r;

	assert_int_equal(pthread_create(&thread, NULL, open_in_thread, &r), 0);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, 0);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	assert_int_equal(raw_config_read(&r, 1 << 3, 0, 4), 0x11e81234);
	assert_int_equal(r.deaths, 0);
	/* Its own process group: a ^C is for the program. */
	assert_int_equal(getpgid(r.qemu->supervisor.process.pid), r.qemu->supervisor.process.pid);
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_twenty_times_leaves_nothing),
		cmocka_unit_test(test_open_wrong_is_refused_and_leaves_nothing),
		cmocka_unit_test(test_open_without_qemu_names_the_package),
		cmocka_unit_test(test_open_readonly_file_needs_readonly),
		cmocka_unit_test(test_open_program_that_says_nothing_ends_at_deadline),
		cmocka_unit_test(test_open_extra_arguments_reach_qemu),
		cmocka_unit_test(test_command_reply_and_refusal),
		cmocka_unit_test(test_parent_killed_qemu_dies),
		cmocka_unit_test(test_opening_thread_ends_qemu_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
