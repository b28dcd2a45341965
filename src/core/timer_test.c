/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers: against a sorted reference, and what a function may do to its own and to others. */
#include <stdlib.h>

#include "tests/context.h"

#define TIMERS 400
#define STEPS  10000

static struct {
	uint64_t expires[TIMERS]; /* 0: not armed */
	struct ob_timer timers[TIMERS];
	unsigned fired;
	uint64_t last;
} ref;

static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Each fires when it is the earliest of those that are armed, and never early. */
static void ref_fire(struct ob_timer *timer)
{
	size_t i = (size_t)(timer - ref.timers);

	assert_true(ref.expires[i] != 0);
	assert_true(ref.expires[i] <= ob_now_ns());
	for (size_t j = 0; j < TIMERS; j++)
		if (ref.expires[j])
			assert_true(ref.expires[i] <= ref.expires[j]);
	ref.expires[i] = 0;
	ref.fired++;
}

static void test_timer_random_starts_and_stops_fires_in_order(void **state)
{
	struct context c;
	unsigned starts = 0, stops = 0;

	context_open(&c, 1);
	memset(&ref, 0, sizeof(ref));
	for (size_t i = 0; i < TIMERS; i++)
		ob_timer_init(&ref.timers[i], c.cpu, ref_fire);
	for (unsigned step = 0; step < STEPS; step++) {
		size_t i = next_random() % TIMERS;

		if (next_random() % 3) {
			/* Some in the past, many at the same time, some far off. */
			ref.expires[i] = ob_now_ns() + (next_random() % 64) * 20000 - 100000;
			ob_timer_start(&ref.timers[i], ref.expires[i]);
			starts++;
		} else {
			assert_int_equal(ob_timer_stop(&ref.timers[i]), ref.expires[i] != 0);
			ref.expires[i] = 0;
			stops++;
		}
		if (step % 16 == 0)
			ob_cpu_turn(c.cpu, 0);
	}
	for (uint64_t end = ob_deadline(5 * OB_NS_PER_S); ob_now_ns() < end;) {
		size_t armed = 0;

		for (size_t j = 0; j < TIMERS; j++)
			armed += ref.expires[j] != 0;
		if (armed == 0)
			break;
		ob_cpu_turn(c.cpu, OB_NS_PER_MS);
	}
	for (size_t j = 0; j < TIMERS; j++)
		assert_int_equal(ref.expires[j], 0);
	assert_true(ref.fired > TIMERS && starts > stops);
	context_close(&c);
}

struct repeat {
	struct ob_timer timer, other;
	unsigned fired, other_fired;
	unsigned again;
};

static void repeat_fire(struct ob_timer *timer)
{
	struct repeat *r = (struct repeat *)timer;

	r->fired++;
	ob_timer_stop(&r->other);
	if (r->fired < r->again)
		ob_timer_start(timer, 0);
}

static void other_fire(struct ob_timer *timer)
{
	((struct repeat *)((char *)timer - offsetof(struct repeat, other)))->other_fired++;
}

static void test_timer_function_stops_another_that_is_due(void **state)
{
	struct repeat r = {.again = 1};
	struct context c;

	context_open(&c, 1);
	ob_timer_init(&r.timer, c.cpu, repeat_fire);
	ob_timer_init(&r.other, c.cpu, other_fire);
	ob_timer_start(&r.other, 2);
	ob_timer_start(&r.timer, 1);
	turn_dry(c.cpu);
	assert_int_equal(r.fired, 1);
	assert_int_equal(r.other_fired, 0);
	assert_false(ob_timer_stop(&r.timer));
	context_close(&c);
}

static void count_work(struct ob_work *work);

static struct {
	struct ob_work work;
	unsigned runs;
} counter;

static void count_work(struct ob_work *work)
{
	counter.runs++;
}

static void test_timer_that_restarts_itself_at_once_leaves_room_for_others(void **state)
{
	struct repeat r = {.again = 100000};
	struct context c;
	unsigned turns = 0;

	context_open(&c, 1);
	ob_timer_init(&r.timer, c.cpu, repeat_fire);
	ob_timer_init(&r.other, c.cpu, other_fire);
	ob_timer_start(&r.timer, 0);
	counter.runs = 0;
	ob_work_init(&counter.work, count_work);
	for (; turns < 100; turns++) {
		assert_true(ob_cpu_post(c.cpu, &counter.work));
		assert_true(ob_cpu_turn(c.cpu, OB_NS_PER_S) > 1);
		assert_int_equal(counter.runs, turns + 1);
	}
	assert_true(r.fired >= turns && r.fired < r.again);
	ob_timer_stop(&r.timer);
	context_close(&c);
}

static void test_timer_sleeping_turn_wakes_on_time(void **state)
{
	struct repeat r = {.again = 1};
	struct context c;
	uint64_t start, took;

	context_open(&c, 1);
	ob_timer_init(&r.timer, c.cpu, repeat_fire);
	ob_timer_init(&r.other, c.cpu, other_fire);
	start = ob_now_ns();
	ob_timer_start(&r.timer, start + 20 * OB_NS_PER_MS);
	while (!r.fired && ob_now_ns() < start + 5 * OB_NS_PER_S)
		ob_cpu_turn(c.cpu, 5 * OB_NS_PER_S);
	took = ob_now_ns() - start;
	assert_int_equal(r.fired, 1);
	assert_true(took >= 20 * OB_NS_PER_MS);
	assert_true(took < OB_NS_PER_S);
	context_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_random_starts_and_stops_fires_in_order),
		cmocka_unit_test(test_timer_function_stops_another_that_is_due),
		cmocka_unit_test(test_timer_that_restarts_itself_at_once_leaves_room_for_others),
		cmocka_unit_test(test_timer_sleeping_turn_wakes_on_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
