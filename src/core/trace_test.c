/* SPDX-License-Identifier: BSD-2-Clause */
/* Trace rings and log messages. */
#include "base/bits.h"
#include "core/loop.h"
#include "tests/context.h"

#define RING 64 /* context_open() asks for so many */

static void emit(struct ob_cpu *cpu, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++)
		OB_TRACE(cpu, OB_TRACE_NVME_COMPLETE, i, i + 1, i + 2);
}

static void test_trace_off_keeps_nothing(void **state)
{
	struct ob_trace_event events[RING];
	uint64_t lost = 1;
	struct context c;

	context_open(&c, 1);
	emit(c.cpu, 0, 10);
	assert_int_equal(ob_trace_read(c.ob, events, RING, &lost), 0);
	assert_int_equal(lost, 0);
	ob_trace_enable(c.ob, true);
	emit(c.cpu, 10, 3);
	ob_trace_enable(c.ob, false);
	emit(c.cpu, 20, 3);
	assert_int_equal(ob_trace_read(c.ob, events, RING, NULL), 3);
	assert_int_equal(events[2].a, 12);
	assert_int_equal(events[2].b, 13);
	assert_int_equal(events[2].c, 14);
	assert_int_equal(events[2].id, OB_TRACE_NVME_COMPLETE);
	context_close(&c);
}

static void test_trace_full_ring_overwrites_the_oldest(void **state)
{
	struct ob_trace_event events[2 * RING];
	uint64_t lost;
	struct context c;

	context_open(&c, 1);
	ob_trace_enable(c.ob, true);
	emit(c.cpu, 0, RING);
	assert_int_equal(ob_trace_read(c.ob, events, 2 * RING, &lost), RING);
	assert_int_equal(lost, 0);
	emit(c.cpu, RING, 3 * RING + 5);
	assert_int_equal(ob_trace_read(c.ob, events, 2 * RING, &lost), RING);
	assert_int_equal(lost, 3 * RING + 5);
	for (unsigned i = 0; i < RING; i++)
		assert_int_equal(events[i].a, 3 * RING + 5 + i);
	/* Fewer than there are: the oldest. */
	assert_int_equal(ob_trace_read(c.ob, events, 2, NULL), 2);
	assert_int_equal(events[0].a, 3 * RING + 5);
	context_close(&c);
}

static void test_trace_of_several_cpus_is_merged_by_time(void **state)
{
	struct ob_trace_event events[3 * RING];
	struct context c;

	context_open(&c, 3);
	ob_trace_enable(c.ob, true);
	for (unsigned i = 0; i < 30; i++)
		emit(ob_cpu_get(c.ob, (i * 7) % 3), i, 1);
	assert_int_equal(ob_trace_read(c.ob, events, ARRAY_SIZE(events), NULL), 30);
	for (unsigned i = 1; i < 30; i++)
		assert_true(events[i].time_ns >= events[i - 1].time_ns);
	context_close(&c);
}

static void test_trace_format_names_point_and_words(void **state)
{
	struct ob_trace_event event = {.time_ns = 12 * OB_NS_PER_S + 34,
				       .a = 1,
				       .b = 77,
				       .c = 0xffff888812345678,
				       .id = OB_TRACE_NVME_COMPLETE};
	char text[128], little[8];
	int len;

	event.cpu = 2;
	len = ob_trace_format(&event, text, sizeof(text));
	assert_string_equal(text, "12.000000034 cpu2 nvme-complete queue=1 cid=77 status=0xffff888812345678");
	assert_int_equal(len, strlen(text));
	assert_int_equal(ob_trace_format(&event, little, sizeof(little)), len);
	assert_string_equal(little, "12.0000");
	assert_int_equal(ob_trace_format(&event, NULL, 0), len);
	event.id = OB_TRACE_ID_COUNT;
	ob_trace_format(&event, text, sizeof(text));
	assert_string_equal(text, "12.000000034 cpu2 ?");
	event.id = OB_TRACE_TURN;
	ob_trace_format(&event, text, sizeof(text));
	assert_string_equal(text, "12.000000034 cpu2 turn work=1");
}

static void ignore_timer(struct ob_timer *timer)
{
}

static void test_trace_of_a_turn_counts_its_work(void **state)
{
	struct ob_trace_event events[RING];
	struct ob_timer timer;
	struct context c;

	context_open(&c, 1);
	ob_trace_enable(c.ob, true);
	ob_cpu_turn(c.cpu, 0); /* nothing done, nothing told */
	ob_timer_init(&timer, c.cpu, ignore_timer);
	ob_timer_start(&timer, 1);
	ob_cpu_turn(c.cpu, 0);
	assert_int_equal(ob_trace_read(c.ob, events, RING, NULL), 2);
	assert_int_equal(events[0].id, OB_TRACE_TIMER);
	assert_int_equal(events[1].id, OB_TRACE_TURN);
	assert_int_equal(events[1].a, 1);
	context_close(&c);
}

/* ---- log ---- */

struct lines {
	unsigned count;
	enum ob_log_level level;
	char text[2000];
};

static void keep_line(void *arg, enum ob_log_level level, const char *message)
{
	struct lines *l = arg;

	l->count++;
	l->level = level;
	snprintf(l->text, sizeof(l->text), "%s", message);
}

static void test_log_passes_levels_up_to_the_configured(void **state)
{
	for (int level = OB_LOG_ERROR; level <= OB_LOG_DEBUG; level++) {
		struct lines l = {.count = 0};
		struct ob_config config = {.log = keep_line, .log_arg = &l, .log_level = (enum ob_log_level)level};
		struct ob *ob;

		assert_int_equal(ob_create(&config, &ob), 0);
		l.count = 0;
		ob_err(ob, "error %d", 1);
		ob_warn(ob, "warning %d", 2);
		ob_info(ob, "information %d", 3);
		ob_debug(ob, "detail %d", 4);
		assert_int_equal(l.count, level + 1);
		assert_int_equal(l.level, level);
		ob_destroy(ob);
	}
}

static void test_log_message_is_one_bounded_line(void **state)
{
	struct lines l = {.count = 0};
	struct ob_config config = {.log = keep_line, .log_arg = &l};
	char text[3000];
	struct ob *ob;

	assert_int_equal(ob_create(&config, &ob), 0);
	ob_err(ob, "model \"%s\"", "a\nb\033[31m");
	assert_string_equal(l.text, "model \"a b [31m\"");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ob_err(ob, "%s", text);
	assert_int_equal(strlen(l.text), 1023);
	ob_destroy(ob);
	/* Without a callback nothing happens. */
	assert_int_equal(ob_create(NULL, &ob), 0);
	ob_err(ob, "nobody hears");
	ob_destroy(ob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_off_keeps_nothing),
		cmocka_unit_test(test_trace_full_ring_overwrites_the_oldest),
		cmocka_unit_test(test_trace_of_several_cpus_is_merged_by_time),
		cmocka_unit_test(test_trace_format_names_point_and_words),
		cmocka_unit_test(test_trace_of_a_turn_counts_its_work),
		cmocka_unit_test(test_log_passes_levels_up_to_the_configured),
		cmocka_unit_test(test_log_message_is_one_bounded_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
