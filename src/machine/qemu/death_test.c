/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU that dies, hangs or hangs up: every call ends, and says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/qemu_raw.h"

#define DEADLINE ob_deadline(5 * OB_NS_PER_S)

static pid_t pid_of(struct raw *r)
{
	return r->qemu->supervisor.process.pid;
}

/* Everything answers, with nothing, at once. */
static void expect_dead(struct raw *r)
{
	const struct machine_ops *ops = r->m->ops;
	uint64_t start_ns = ob_now_ns();
	struct machine_intx line;
	struct machine_msi msi;
	struct ob_region region;

	for (unsigned i = 0; i < 1000; i++) {
		assert_true(raw_read(r, 0x200000, 8) == UINT64_MAX);
		assert_true(raw_read(r, 0x200000, 1) == UINT8_MAX);
		assert_true(ops->read(r->m, MACHINE_SPACE_PORT, 0xcfc, 4) == UINT32_MAX);
		raw_write(r, 0x200000, 4, 0);
		assert_int_equal(ops->flush(r->m), -ENODEV);
	}
	assert_int_equal(ops->region_open(r->m, NULL, MACHINE_SPACE_MEMORY, 0, 4096, &region), -ENODEV);
	assert_int_equal(ops->msi_alloc(r->m, NULL, 1, false, &msi), -ENODEV);
	assert_int_equal(ops->intx_open(r->m, NULL, 1, 1, &line), -ENODEV);
	assert_int_equal(ops->command(r->m, "{\"execute\":\"query-status\"}", NULL, DEADLINE), -ENODEV);
	assert_true(raw_elapsed_ms(start_ns) < 500);
}

static void test_killed_when_idle_is_noticed(void **state)
{
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	kill(pid_of(&r), SIGKILL);
	assert_true(raw_wait_dead(&r, 2000));
	assert_string_equal(r.why, "QEMU was killed by signal 9 (Killed)");
	expect_dead(&r);
	raw_close(&r);
	assert_int_equal(r.deaths, 1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_quit_is_death_with_a_status(void **state)
{
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"quit\"}", NULL, DEADLINE), 0);
	assert_true(raw_wait_dead(&r, 2000));
	assert_string_equal(r.why, "QEMU exited with status 0");
	expect_dead(&r);
	raw_close(&r);
}

struct load {
	struct raw *r;
	unsigned stop; /* __atomic */
	uint64_t reads, longest_ns;
};

static void *read_on_and_on(void *arg)
{
	struct load *load = arg;

	while (!__atomic_load_n(&load->stop, __ATOMIC_ACQUIRE)) {
		uint64_t start_ns = ob_now_ns(), took_ns;

		(void)raw_read(load->r, 0x200000, 4);
		raw_write(load->r, 0x200000, 4, 1);
		took_ns = ob_now_ns() - start_ns;
		if (took_ns > load->longest_ns)
			load->longest_ns = took_ns;
		load->reads++;
	}
	return NULL;
}

static void run_load(struct raw *r, int signal, uint64_t max_ms)
{
	struct load load[2] = {{.r = r}, {.r = r}};
	pthread_t thread[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_on_and_on, &load[i]), 0);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	kill(pid_of(r), signal);
	assert_true(raw_wait_dead(r, 4000));
	for (unsigned i = 0; i < 2; i++)
		__atomic_store_n(&load[i].stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		assert_true(load[i].reads > 10);
		assert_true(load[i].longest_ns < max_ms * OB_NS_PER_MS);
	}
	expect_dead(r);
}

static void test_killed_under_load_ends_every_access(void **state)
{
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	run_load(&r, SIGKILL, 500);
	raw_close(&r);
}

static void test_stopped_under_load_is_declared_dead_and_killed(void **state)
{
	pid_t pid;
	struct raw r;

	assert_int_equal(raw_open(&r, "?timeout=1"), 0);
	pid = pid_of(&r);
	/* One thread waits for the answer, the other one for the first: both have their deadline. */
	run_load(&r, SIGSTOP, 2500);
	assert_string_equal(r.why, "QEMU hangs: no answer within 1000 ms");
	/* It must not wake up later and write to the memory. */
	assert_int_equal(kill(pid, 0), -1);
	raw_close(&r);
}

/* Whoever is told that QEMU is gone may free what its devices wrote to. */
static void test_stopped_is_dead_before_an_access_says_so(void **state)
{
	pid_t pid;
	struct raw r;

	assert_int_equal(raw_open(&r, "?timeout=1"), 0);
	pid = pid_of(&r);
	kill(pid, SIGSTOP);
	assert_true(raw_read(&r, 0x200000, 4) == UINT32_MAX);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	raw_close(&r);
}

static void test_stopped_posted_writes_end(void **state)
{
	uint64_t start_ns;
	struct raw r;

	assert_int_equal(raw_open(&r, "?timeout=1"), 0);
	kill(pid_of(&r), SIGSTOP);
	start_ns = ob_now_ns();
	for (unsigned i = 0; i < 10000; i++)
		raw_write(&r, 0x200000, 4, i);
	assert_true(raw_elapsed_ms(start_ns) >= 900 && raw_elapsed_ms(start_ns) < 3000);
	assert_true(raw_wait_dead(&r, 2000));
	expect_dead(&r);
	raw_close(&r);
}

static void test_stopped_command_times_out_and_late_answer_is_skipped(void **state)
{
	char *reply = NULL;
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	kill(pid_of(&r), SIGSTOP);
	assert_int_equal(
		r.m->ops->command(r.m, "{\"execute\":\"query-version\"}", &reply, ob_deadline(200 * OB_NS_PER_MS)),
		-ETIMEDOUT);
	assert_null(reply);
	kill(pid_of(&r), SIGCONT);
	assert_int_equal(r.m->ops->command(r.m, "{\"execute\":\"query-status\"}", &reply, DEADLINE), 0);
	assert_non_null(strstr(reply, "running"));
	ob_free(reply);
	assert_int_equal(r.deaths, 0);
	raw_close(&r);
}

static void test_stopped_when_closed_is_killed(void **state)
{
	uint64_t start_ns;
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	kill(pid_of(&r), SIGSTOP);
	start_ns = ob_now_ns();
	raw_close(&r);
	assert_true(raw_elapsed_ms(start_ns) < 5000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_closed_socket_is_death(void **state)
{
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	/* What QEMU's closing its end looks like from here. */
	shutdown(r.qemu->qtest_fd, SHUT_RD);
	assert_true(raw_wait_dead(&r, 2000));
	assert_string_equal(r.why, "QEMU closed its qtest connection");
	expect_dead(&r);
	raw_close(&r);
}

static void test_killed_with_an_open_line_ends_the_listener(void **state)
{
	struct machine_intx line;
	struct raw r;

	assert_int_equal(raw_open(&r, "?device=edu&intx=on"), 0);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 1, &line), 0);
	kill(pid_of(&r), SIGKILL);
	assert_true(raw_wait_dead(&r, 2000));
	assert_false(r.m->ops->intx_level(r.m, &line));
	r.m->ops->intx_close(r.m, &line);
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_when_idle_is_noticed),
		cmocka_unit_test(test_quit_is_death_with_a_status),
		cmocka_unit_test(test_killed_under_load_ends_every_access),
		cmocka_unit_test(test_stopped_under_load_is_declared_dead_and_killed),
		cmocka_unit_test(test_stopped_is_dead_before_an_access_says_so),
		cmocka_unit_test(test_stopped_posted_writes_end),
		cmocka_unit_test(test_stopped_command_times_out_and_late_answer_is_skipped),
		cmocka_unit_test(test_stopped_when_closed_is_killed),
		cmocka_unit_test(test_closed_socket_is_death),
		cmocka_unit_test(test_killed_with_an_open_line_ends_the_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
