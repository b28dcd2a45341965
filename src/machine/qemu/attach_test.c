/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU that was started by the shell commands we print: attach, use, leave it running, attach again. */
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/qemu_raw.h"

#define BAR      0xd0000000u
#define VIRT_BAR 0x20000000u

struct outside {
	char dir[64], rest[128];
	pid_t shell; /* and its process group; 0: none */
};

static struct outside outside; /* one at a time; a test that fails leaves it to tear_down() */

static void start(struct outside *o, const char *board, const char *more)
{
	char uri[160], *text;

	snprintf(o->dir, sizeof(o->dir), "/tmp/ob-qemu-test-XXXXXX");
	assert_non_null(mkdtemp(o->dir));
	snprintf(o->rest, sizeof(o->rest), "%s?attach=%s&timeout=10%s", board, o->dir, more);
	snprintf(uri, sizeof(uri), "qemu:%s&device=edu&mem=64M", o->rest);
	assert_int_equal(ob_machine_attach_help(uri, &text), 0);
	o->shell = fork();
	if (o->shell == 0) {
		setpgid(0, 0);
		execl("/bin/sh", "sh", "-c", text, NULL);
		_exit(127);
	}
	(void)setpgid(o->shell, o->shell);
	ob_free(text);
}

static void stop(struct outside *o)
{
	char command[128];

	if (o->shell == 0)
		return;
	kill(-o->shell, SIGKILL);
	waitpid(o->shell, NULL, 0);
	o->shell = 0;
	snprintf(command, sizeof(command), "rm -rf %s", o->dir);
	assert_int_equal(system(command), 0);
}

static void use(struct raw *r, bool msi)
{
	uint32_t bar = r->qemu->uri.board == &qemu_q35 ? BAR : VIRT_BAR;
	struct machine_dma_memory memory;
	struct machine_intx line;
	struct machine_msi vector[20];

	assert_int_equal(raw_config_read(r, 1 << 3, 0, 4), 0x11e81234);
	raw_place(r, 1 << 3, bar);
	assert_int_equal(r->qemu->ram.len_bytes, 64 * OB_MIB);
	assert_int_equal(r->m->ops->dma_alloc(r->m, OB_MIB, 0, &memory), 0);
	raw_write(r, memory.iova + 8, 4, 0x01020304);
	assert_int_equal(r->m->ops->flush(r->m), 0);
	assert_memory_equal((uint8_t *)memory.base + 8, "\4\3\2\1", 4);
	assert_int_equal(r->m->ops->msi_alloc(r->m, NULL, 20, false, vector), msi ? 0 : -EOPNOTSUPP);
	if (msi) {
		raw_write(r, vector[19].address, 4, vector[19].data);
		assert_true(raw_fired(vector[19].fd, 2000));
	}
	assert_int_equal(r->m->ops->intx_open(r->m, NULL, 1, 1, &line), 0);
	raw_write(r, bar + 0x60, 4, 1);
	assert_true(raw_fired(line.fd, 2000));
	raw_write(r, bar + 0x64, 4, 1);
	assert_false(r->m->ops->intx_level(r->m, &line));
}

static int tear_down(void **state)
{
	stop(&outside);
	return 0;
}

static void attach_three_times(const char *board, const char *more, bool msi)
{
	struct outside *o = &outside;
	struct raw r;
	unsigned fds = raw_count_fds();

	start(o, board, more);
	for (unsigned i = 0; i < 3; i++) {
		int ret = raw_open(&r, o->rest);

		if (ret != 0)
			fail_msg("attach %u: %d, log: %s", i, ret, r.log);
		use(&r, msi);
		raw_close(&r);
		assert_int_equal(kill(o->shell, 0), 0);
		assert_int_equal(raw_count_fds(), fds);
	}
	stop(o);
}

static void test_attach_again_and_again_with_messages(void **state)
{
	attach_three_times("q35", "", true);
}

static void test_attach_again_and_again_without_messages(void **state)
{
	attach_three_times("q35", "&msi=off", false);
}

static void test_attach_again_and_again_to_an_arm_board(void **state)
{
	attach_three_times("virt", "", true);
}

static void test_attached_qemu_dies(void **state)
{
	struct outside *o = &outside;
	struct raw r;

	start(o, "q35", "");
	assert_int_equal(raw_open(&r, o->rest), 0);
	stop(o);
	assert_true(raw_wait_dead(&r, 2000));
	assert_string_equal(r.why, "QEMU closed its qtest connection");
	assert_true(raw_read(&r, BAR, 4) == UINT32_MAX);
	assert_int_equal(r.m->ops->flush(r.m), -ENODEV);
	raw_close(&r);
}

static void *ask_and_wait(void *arg)
{
	struct raw *r = arg;

	return (void *)(intptr_t)r->m->ops->command(r->m, "{\"execute\":\"query-status\"}", NULL,
						    ob_deadline(60 * OB_NS_PER_S));
}

/* It cannot be killed, so it is cut off: that ends all waits. */
static void test_attached_qemu_hangs_is_cut_off(void **state)
{
	uint64_t start_ns;
	struct outside *o = &outside;
	pthread_t thread;
	struct raw r;
	void *ret;

	start(o, "q35", "&timeout=1");
	assert_int_equal(raw_open(&r, o->rest), 0);
	kill(-o->shell, SIGSTOP);
	start_ns = ob_now_ns();
	assert_int_equal(pthread_create(&thread, NULL, ask_and_wait, &r), 0);
	assert_true(raw_read(&r, BAR, 4) == UINT32_MAX);
	assert_true(raw_wait_dead(&r, 2000));
	assert_string_equal(r.why, "QEMU hangs: no answer within 1000 ms");
	pthread_join(thread, &ret);
	assert_int_equal((int)(intptr_t)ret, -ENODEV);
	assert_true(raw_elapsed_ms(start_ns) < 5000);
	raw_close(&r);
	stop(o);
}

static void test_second_program_is_turned_away(void **state)
{
	struct outside *o = &outside;
	struct raw first, second;
	char rest[256];

	start(o, "q35", "");
	assert_int_equal(raw_open(&first, o->rest), 0);
	snprintf(rest, sizeof(rest), "q35?attach=%s&timeout=1&msi=off", o->dir);
	/* The first one's connection stands; ours waits in line. */
	assert_int_equal(raw_open(&second, rest), -ETIMEDOUT);
	assert_true(raw_logged(&second, "is another program attached to it?"));
	raw_close(&second);
	use(&first, true);
	raw_close(&first);
	stop(o);
}

static void test_nobody_there_times_out(void **state)
{
	char dir[] = "/tmp/ob-qemu-test-XXXXXX", rest[128];
	uint64_t start_ns = ob_now_ns();
	struct raw r;

	assert_non_null(mkdtemp(dir));
	snprintf(rest, sizeof(rest), "q35?attach=%s&timeout=1", dir);
	assert_int_equal(raw_open(&r, rest), -ETIMEDOUT);
	assert_true(raw_elapsed_ms(start_ns) < 3000);
	assert_true(raw_logged(&r, "no QEMU answers there"));
	raw_close(&r);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_attach_again_and_again_with_messages, tear_down),
		cmocka_unit_test_teardown(test_attach_again_and_again_without_messages, tear_down),
		cmocka_unit_test_teardown(test_attach_again_and_again_to_an_arm_board, tear_down),
		cmocka_unit_test_teardown(test_attached_qemu_dies, tear_down),
		cmocka_unit_test_teardown(test_attached_qemu_hangs_is_cut_off, tear_down),
		cmocka_unit_test_teardown(test_second_program_is_turned_away, tear_down),
		cmocka_unit_test_teardown(test_nobody_there_times_out, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
