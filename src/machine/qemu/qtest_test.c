/* SPDX-License-Identifier: BSD-2-Clause */
/* The qtest client against a peer that answers in odd pieces, late, wrongly, or not at all. No QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "io/io.h"
#include "machine/qemu/qtest.h"

struct bench {
	struct machine machine;
	struct qemu_life life;
	struct qtest qtest;
	int ours, theirs;
	unsigned raises, lowers, last_line;
};

static void on_irq(void *arg, unsigned line, bool raised)
{
	struct bench *b = arg;

	b->last_line = line;
	b->raises += raised;
	b->lowers += !raised;
}

static int set_up(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	if (ob_create(NULL, &b.machine.ob) < 0 || io_pair(&b.ours, &b.theirs) < 0)
		return -1;
	b.life = (struct qemu_life){.machine = &b.machine, .wait_ns = 100 * OB_NS_PER_MS};
	b.life.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (qtest_init(&b.qtest, b.ours, &b.life) < 0)
		return -1;
	b.qtest.irq = on_irq;
	b.qtest.irq_arg = &b;
	*state = &b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	qtest_fini(&b->qtest);
	io_close(&b->ours);
	io_close(&b->theirs);
	io_close(&b->life.fd);
	ob_destroy(b->machine.ob);
	return 0;
}

static void say(struct bench *b, const char *text)
{
	assert_int_equal(send(b->theirs, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect_sent(struct bench *b, const char *text)
{
	char sent[256];
	ssize_t n = recv(b->theirs, sent, sizeof(sent) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	sent[n] = '\0';
	assert_string_equal(sent, text);
}

static void test_commands_have_the_protocols_form(void **state)
{
	struct bench *b = *state;

	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0xfe00000c, 4, 0x1000f);
	expect_sent(b, "writel 0xfe00000c 0x1000f\n");
	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, UINT64_MAX, 8, UINT64_MAX);
	expect_sent(b, "writeq 0xffffffffffffffff 0xffffffffffffffff\n");
	qtest_write(&b->qtest, MACHINE_SPACE_PORT, 0xcf8, 2, 0);
	expect_sent(b, "outw 0xcf8 0x0\n");
	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0x10, 1, 0x1ff);
	expect_sent(b, "writeb 0x10 0xff\n");
	say(b, "OK\nOK\nFAIL what\nOK\nOK 0x0000000000000012\n");
	assert_int_equal(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0x20, 4), 0x12);
	expect_sent(b, "readl 0x20\n");
	assert_int_equal(b->qtest.posted, 0);
	assert_int_equal(b->qtest.refused, 1);
}

static void test_interrupt_lines_may_stand_anywhere(void **state)
{
	struct bench *b = *state;

	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1);
	say(b, "IRQ raise 21\nOK\nIRQ lower 21\nIRQ raise 2");
	assert_int_equal(qtest_flush(&b->qtest), 0);
	assert_int_equal(b->raises, 1);
	assert_int_equal(b->lowers, 1);
	say(b, "3\n");
	assert_int_equal(qtest_drain(&b->qtest), 0);
	assert_int_equal(b->raises, 2);
	assert_int_equal(b->last_line, 23);
}

/* Nothing more is to be read from the socket then, so nobody would come for it. */
static void test_interrupt_right_behind_an_answer_is_heard_at_once(void **state)
{
	struct bench *b = *state;

	say(b, "OK 0x7\nIRQ raise 17\nIRQ lower 17\nIRQ raise 17\n");
	assert_int_equal(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4), 7);
	assert_int_equal(b->raises, 2);
	assert_int_equal(b->lowers, 1);
}

static void test_silence_is_death_at_the_deadline(void **state)
{
	struct bench *b = *state;
	uint64_t start_ns = ob_now_ns();

	say(b, "OK 0x"); /* half an answer is none */
	assert_true(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 2) == 0xffff);
	assert_true(ob_now_ns() - start_ns >= 100 * OB_NS_PER_MS);
	assert_true(ob_now_ns() - start_ns < 1000 * OB_NS_PER_MS);
	assert_true(b->machine.dead);
	assert_string_equal(b->life.why, "QEMU hangs: no answer within 100 ms");
	assert_true(io_event_take(b->life.fd));
}

static void test_chatter_does_not_extend_the_deadline(void **state)
{
	struct bench *b = *state;
	uint64_t start_ns = ob_now_ns();
	pid_t child = fork();

	if (child == 0) {
		io_close(&b->ours); /* so that it ends with us */
		for (;;) {
			if (send(b->theirs, "IRQ raise 1\n", 12, MSG_NOSIGNAL) < 0)
				_exit(0);
			usleep(1000);
		}
	}
	io_close(&b->theirs);
	assert_true(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4) == UINT32_MAX);
	assert_true(ob_now_ns() - start_ns < 1000 * OB_NS_PER_MS);
	io_close(&b->ours);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void test_garbage_without_a_line_end_is_death(void **state)
{
	struct bench *b = *state;
	char garbage[8192];

	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(send(b->theirs, garbage, sizeof(garbage), MSG_NOSIGNAL), sizeof(garbage));
	assert_true(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4) == UINT32_MAX);
	assert_true(b->machine.dead);
	assert_string_equal(b->life.why, "QEMU answers with something that is not qtest");
}

static void test_unasked_answers_are_ignored(void **state)
{
	struct bench *b = *state;

	say(b, "OK\nFAIL\n\nnonsense\n");
	assert_int_equal(qtest_drain(&b->qtest), 0);
	say(b, "ERR no\n");
	assert_true(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4) == UINT32_MAX);
	assert_false(b->machine.dead);
	say(b, "IRQ raise 4294967999\nIRQ raise\nIRQ \nOK 0xfffffffff\n");
	assert_true(qtest_read(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4) == UINT32_MAX);
	assert_false(b->machine.dead);
}

static void test_hang_up_is_death(void **state)
{
	struct bench *b = *state;

	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1);
	io_close(&b->theirs);
	assert_int_equal(qtest_flush(&b->qtest), -ENODEV);
	assert_string_equal(b->life.why, "QEMU closed its qtest connection");
	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1); /* and no SIGPIPE */
	assert_int_equal(qtest_drain(&b->qtest), -ENODEV);
}

static void test_posted_writes_are_bounded(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < QTEST_POSTED_MAX; i++)
		qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1);
	assert_false(b->machine.dead);
	assert_int_equal(b->qtest.posted, QTEST_POSTED_MAX);
	for (unsigned i = 0; i < QTEST_POSTED_MAX / 2; i++)
		say(b, "OK\n");
	qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1);
	assert_int_equal(b->qtest.posted, QTEST_POSTED_MAX / 2 + 1);
	for (unsigned i = 0; i <= QTEST_POSTED_MAX; i++)
		qtest_write(&b->qtest, MACHINE_SPACE_MEMORY, 0, 4, 1);
	assert_true(b->machine.dead);
}

static void test_endless_line_in_passing_is_no_qtest(void **state)
{
	struct bench *b = *state;
	char junk[sizeof(b->qtest.received)];

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(send(b->theirs, junk, sizeof(junk), 0), sizeof(junk));
	while (b->qtest.received_bytes < sizeof(junk))
		assert_int_equal(qtest_drain(&b->qtest), 0);
	assert_int_equal(qtest_drain(&b->qtest), -ENODEV);
	assert_string_equal(b->life.why, "QEMU answers with something that is not qtest");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands_have_the_protocols_form, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interrupt_lines_may_stand_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interrupt_right_behind_an_answer_is_heard_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_silence_is_death_at_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chatter_does_not_extend_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage_without_a_line_end_is_death, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unasked_answers_are_ignored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hang_up_is_death, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_posted_writes_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_endless_line_in_passing_is_no_qtest, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
