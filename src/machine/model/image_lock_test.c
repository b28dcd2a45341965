/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may use an image beside whom. That QEMU sees it alike is shown by tests/cli/verbs.sh. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/model/model_machine.h"

static char path[] = "/tmp/outboard-image-XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static int open_image(bool read_only)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* What the second hears who comes while the first is there, and when the first is gone. */
static void pair(bool first_reads, bool second_reads, int expected)
{
	int first = open_image(first_reads), second = open_image(second_reads);

	assert_int_equal(image_lock(first, first_reads), 0);
	assert_int_equal(image_lock(second, second_reads), expected);
	close(second);
	close(first);
	second = open_image(second_reads);
	assert_int_equal(image_lock(second, second_reads), 0);
	close(second);
}

static void test_two_writers_exclude_each_other(void **state)
{
	pair(false, false, -EBUSY);
}

static void test_reader_and_writer_exclude_each_other(void **state)
{
	pair(true, false, -EBUSY);
	pair(false, true, -EBUSY);
}

static void test_readers_share(void **state)
{
	pair(true, true, 0);
}

/* Locks of the process would be its own and let the second in, and would go with the first descriptor that is closed. */
static void test_lock_stays_while_another_descriptor_is_closed(void **state)
{
	int first = open_image(false), other = open_image(false);

	assert_int_equal(image_lock(first, false), 0);
	close(other);
	other = open_image(false);
	assert_int_equal(image_lock(other, false), -EBUSY);
	close(other);
	close(first);
}

static void test_file_that_cannot_be_locked_is_used_without(void **state)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(image_lock(-1, false), -EBADF);
	assert_int_equal(image_lock(ends[0], true), 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_writers_exclude_each_other),
		cmocka_unit_test(test_reader_and_writer_exclude_each_other),
		cmocka_unit_test(test_readers_share),
		cmocka_unit_test(test_lock_stays_while_another_descriptor_is_closed),
		cmocka_unit_test(test_file_that_cannot_be_locked_is_used_without),
	};

	return cmocka_run_group_tests_name("machine/model/image_lock", tests, setup, teardown);
}
