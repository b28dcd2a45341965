/* SPDX-License-Identifier: BSD-2-Clause */
/* A mapped file that is made shorter while it is used. */
#include "serve/vhost_user/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u

static uint8_t *map_file(size_t len_bytes, int *fd)
{
	uint8_t *base;

	*fd = memfd_create("guard", MFD_CLOEXEC);
	assert_true(*fd >= 0);
	assert_int_equal(ftruncate(*fd, (off_t)len_bytes), 0);
	base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_true(base != MAP_FAILED);
	return base;
}

static void test_truncated_file_reads_as_zeroes_and_is_reported(void **state)
{
	unsigned hurt = 0, guard;
	int fd;
	uint8_t *base = map_file(4 * PAGE, &fd);
	volatile uint8_t *bytes = base;

	assert_int_equal(vu_guard_add(base, 4 * PAGE, PAGE, &hurt, &guard), 0);
	bytes[0] = 1;
	bytes[3 * PAGE] = 2;
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(hurt, 0);
	assert_int_equal(bytes[3 * PAGE], 0);
	assert_int_equal(hurt, 1);
	bytes[2 * PAGE + 5] = 7;
	assert_int_equal(bytes[2 * PAGE + 5], 7);
	assert_int_equal(bytes[0], 1);
	vu_guard_remove(guard);
	munmap(base, 4 * PAGE);
	close(fd);
}

/* What is not guarded still ends the process, guarded ranges or not. */
static void test_sigbus_elsewhere_ends_the_process(void **state)
{
	unsigned hurt = 0, guard;
	int fd, other_fd, status;
	uint8_t *base = map_file(PAGE, &fd), *other = map_file(2 * PAGE, &other_fd);
	pid_t pid;

	/* As it is without a test runner's own handler. */
	signal(SIGBUS, SIG_DFL);
	assert_int_equal(vu_guard_add(base, PAGE, PAGE, &hurt, &guard), 0);
	assert_int_equal(ftruncate(other_fd, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(10);
		_exit(*(volatile uint8_t *)other == 99 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	assert_int_equal(hurt, 0);
	vu_guard_remove(guard);
	munmap(base, PAGE);
	munmap(other, 2 * PAGE);
	close(fd);
	close(other_fd);
}

static void test_guard_of_nothing_is_refused(void **state)
{
	unsigned hurt = 0, guard;

	assert_int_equal(vu_guard_add(NULL, PAGE, PAGE, &hurt, &guard), -EINVAL);
	assert_int_equal(vu_guard_add((void *)64, PAGE, PAGE, &hurt, &guard), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated_file_reads_as_zeroes_and_is_reported),
		cmocka_unit_test(test_sigbus_elsewhere_ends_the_process),
		cmocka_unit_test(test_guard_of_nothing_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
