/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: contexts of the handlers, vectors on CPUs, lines that devices share, storms. On the machine of
 * tests/test_machine.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>

#include "core/cpu.h"
#include "core/device.h"
#include "core/irq.h"
#include "tests/test_machine.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)

/* One interrupt, and what its handlers saw. */
struct seen {
	struct test_device *td;
	unsigned vector, cpu;
	enum ob_irq_result answer;
	bool with_task, no_soft;
	bool lower; /* INTx: the hard handler takes the line down, and answers NONE when it was not up */
	uint32_t storm_max;
	uint64_t task_ns;          /* how long its task handler takes; 0: a millisecond */
	unsigned hard, soft, task; /* __atomic */
	unsigned task_begun;       /* __atomic */
	bool wrong;                /* a context or CPU that should not be */
	struct ob_irq *irq;
	int rc;
};

static void check(struct seen *s, enum cpu_context context)
{
	if (cpu_context() != context || ob_cpu_index(ob_cpu_current()) != s->cpu)
		__atomic_store_n(&s->wrong, true, __ATOMIC_SEQ_CST);
}

static enum ob_irq_result hard(void *arg)
{
	struct seen *s = arg;

	check(s, CPU_CONTEXT_HARD);
	__atomic_fetch_add(&s->hard, 1, __ATOMIC_SEQ_CST);
	if (s->lower) {
		bool mine = LOAD(s->td->asserted);

		test_level(s->td, false);
		return mine ? OB_IRQ_HANDLED : OB_IRQ_NONE;
	}
	return s->answer;
}

static void soft(void *arg)
{
	struct seen *s = arg;

	check(s, CPU_CONTEXT_SOFT);
	__atomic_fetch_add(&s->soft, 1, __ATOMIC_SEQ_CST);
}

static void task(void *arg)
{
	struct seen *s = arg;

	check(s, CPU_CONTEXT_TASK);
	__atomic_fetch_add(&s->task_begun, 1, __ATOMIC_SEQ_CST);
	ob_task_sleep(ob_deadline(s->task_ns != 0 ? s->task_ns : OB_NS_PER_MS)); /* a task may */
	__atomic_fetch_add(&s->task, 1, __ATOMIC_SEQ_CST);
}

struct fixture {
	struct ob *ob;
	struct ob_machine *machine;
	struct test_device *a, *b;
};

static void start(struct fixture *f, unsigned cpus, unsigned vectors)
{
	f->ob = test_context(cpus);
	assert_int_equal(ob_driver_register(f->ob, &test_plain_driver), 0);
	test_add("a", 0x1234, 1, vectors);
	test_add("b", 0x1234, 2, vectors);
	assert_int_equal(test_open(f->ob, 0, &f->machine), 0);
	f->a = test_device_of(f->machine, "a");
	f->b = test_device_of(f->machine, "b");
	for (unsigned i = 1; i < cpus; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(f->ob, i), -1), 0);
}

static void finish(struct fixture *f)
{
	ob_machine_close(f->machine);
	ob_destroy(f->ob);
	assert_int_equal(test_setup.closes, 1);
}

static void request_task(void *arg)
{
	struct seen *s = arg;
	struct ob_device *dev = &s->td->dev;
	struct ob_irq_config config = {
		.name = "seen",
		.cpu = ob_cpu_get(ob_device_context(dev), s->cpu),
		.hard = hard,
		.soft = s->no_soft ? NULL : soft,
		.task = s->with_task ? task : NULL,
		.arg = s,
		.storm_max = s->storm_max,
	};

	if (dev->irqs == NULL)
		assert_true(ob_irq_alloc(dev, 1, TEST_VECTORS_MAX, OB_IRQ_ANY, NULL) > 0);
	s->rc = ob_irq_request(dev, s->vector, &config, &s->irq);
}

static void request(struct fixture *f, struct seen *s)
{
	test_in_task(f->ob, 0, request_task, s);
	assert_int_equal(s->rc, 0);
}

static void free_task(void *arg)
{
	struct seen *s = arg;

	ob_irq_free(s->irq);
	s->irq = NULL;
}

static void release_task(void *arg)
{
	ob_irq_release(arg);
}

static void give_back(struct fixture *f, struct seen *s, bool last)
{
	test_in_task(f->ob, 0, free_task, s);
	if (last)
		test_in_task(f->ob, 0, release_task, &s->td->dev);
	assert_false(s->wrong);
}

static bool some_hard(void *arg)
{
	return LOAD(((struct seen *)arg)->hard) > 0;
}

static bool some_soft(void *arg)
{
	return LOAD(((struct seen *)arg)->soft) > 0;
}

static bool some_task(void *arg)
{
	return LOAD(((struct seen *)arg)->task) > 0;
}

static bool task_begun(void *arg)
{
	return LOAD(((struct seen *)arg)->task_begun) > 0;
}

static bool never(void *arg)
{
	return false;
}

/* ---- contexts and CPUs ---- */

static void test_handlers_run_in_their_contexts_on_their_cpu(void **state)
{
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		struct seen h, s, t;
		struct ob_irq_stats stats;
		struct fixture f;

		start(&f, 2, 3);
		h = (struct seen){.td = f.a, .vector = 0, .cpu = cpu, .answer = OB_IRQ_HANDLED};
		s = (struct seen){.td = f.a, .vector = 1, .cpu = cpu, .answer = OB_IRQ_SOFT};
		t = (struct seen){.td = f.a, .vector = 2, .cpu = cpu, .answer = OB_IRQ_TASK, .with_task = true};
		request(&f, &h);
		request(&f, &s);
		request(&f, &t);
		for (unsigned v = 0; v < 3; v++)
			test_fire(f.a, v);
		assert_true(test_wait_until(f.ob, some_hard, &h, 2000));
		assert_true(test_wait_until(f.ob, some_soft, &s, 2000));
		assert_true(test_wait_until(f.ob, some_task, &t, 2000));
		assert_int_equal(h.soft + h.task + s.task + t.soft, 0);
		ob_irq_stats(t.irq, &stats);
		assert_int_equal(stats.delivered, 1);
		assert_int_equal(stats.handled, 1);
		assert_int_equal(stats.task_runs, 1);
		assert_int_equal(stats.spurious, 0);
		ob_irq_stats(s.irq, &stats);
		assert_int_equal(stats.soft_runs, 1);
		assert_string_equal(ob_irq_name(s.irq), "seen");
		give_back(&f, &h, false);
		give_back(&f, &s, false);
		give_back(&f, &t, true);
		finish(&f);
	}
}

static void *fire_thread(void *arg)
{
	struct seen *s = arg;

	for (unsigned i = 0; i < 2000; i++)
		test_fire(s->td, s->vector);
	return NULL;
}

static void test_vectors_stay_on_their_cpus_under_load_and_free_is_final(void **state)
{
	struct seen seen[4];
	pthread_t threads[4];
	unsigned after[4];
	struct fixture f;

	start(&f, 3, 4);
	for (unsigned v = 0; v < 4; v++) {
		seen[v] = (struct seen){.td = f.a, .vector = v, .cpu = v % 3, .answer = OB_IRQ_SOFT};
		request(&f, &seen[v]);
		pthread_create(&threads[v], NULL, fire_thread, &seen[v]);
	}
	for (unsigned v = 0; v < 4; v++)
		assert_true(test_wait_until(f.ob, some_soft, &seen[v], 2000));
	/* Freed while they fire: nothing runs afterwards. */
	for (unsigned v = 0; v < 4; v++) {
		give_back(&f, &seen[v], v == 3);
		after[v] = LOAD(seen[v].hard) + LOAD(seen[v].soft);
	}
	for (unsigned v = 0; v < 4; v++)
		pthread_join(threads[v], NULL);
	test_wait_until(f.ob, never, NULL, 10);
	for (unsigned v = 0; v < 4; v++)
		assert_int_equal(after[v], LOAD(seen[v].hard) + LOAD(seen[v].soft));
	finish(&f);
}

static void test_bad_requests_are_refused(void **state)
{
	struct seen s;
	struct ob_irq *second;
	struct ob_irq_config config = {.hard = hard};
	struct fixture f;

	start(&f, 1, 2);
	assert_int_equal(ob_irq_alloc(&f.a->dev, 0, 1, OB_IRQ_ANY, NULL), -EINVAL);
	assert_int_equal(ob_irq_alloc(&f.a->dev, 2, 1, OB_IRQ_ANY, NULL), -EINVAL);
	assert_int_equal(ob_irq_alloc(&f.a->dev, 3, 3, OB_IRQ_ANY, NULL), -ENOSPC);
	assert_int_equal(ob_irq_request(&f.a->dev, 0, &config, &second), -EINVAL);
	s = (struct seen){.td = f.a, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	assert_int_equal(ob_irq_alloc(&f.a->dev, 1, 1, OB_IRQ_ANY, NULL), -EBUSY);
	assert_int_equal(ob_irq_request(&f.a->dev, 0, &config, &second), -EBUSY);
	assert_int_equal(ob_irq_request(&f.a->dev, 2, &config, &second), -EINVAL);
	config.hard = NULL;
	assert_int_equal(ob_irq_request(&f.a->dev, 1, &config, &second), -EINVAL);
	give_back(&f, &s, true);
	finish(&f);
}

static void mask_fn(void *arg)
{
	ob_irq_mask(((struct seen *)arg)->irq);
}

static void unmask_fn(void *arg)
{
	ob_irq_unmask(((struct seen *)arg)->irq);
}

static void test_masked_interrupt_is_delivered_at_unmask(void **state)
{
	struct seen s;
	struct fixture f;

	start(&f, 1, 1);
	s = (struct seen){.td = f.a, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	test_in_task(f.ob, 0, mask_fn, &s);
	test_fire(f.a, 0);
	test_wait_until(f.ob, never, NULL, 5);
	assert_int_equal(s.hard, 0);
	test_in_task(f.ob, 0, unmask_fn, &s);
	assert_true(test_wait_until(f.ob, some_hard, &s, 1000));
	/* One that was on its way already, past the device's mask. */
	s.hard = 0;
	test_in_task(f.ob, 0, mask_fn, &s);
	test_fire_past_mask(f.a, 0);
	test_wait_until(f.ob, never, NULL, 5);
	assert_int_equal(s.hard, 0);
	test_in_task(f.ob, 0, unmask_fn, &s);
	assert_true(test_wait_until(f.ob, some_hard, &s, 1000));
	assert_int_equal(s.hard, 1);
	give_back(&f, &s, true);
	finish(&f);
}

/* ---- INTx ---- */

static void share_line(bool own_fds)
{
	struct seen a, b;
	struct ob_irq_stats stats;
	struct fixture f;

	start(&f, 1, 0);
	test_setup.own_line_fds = own_fds;
	a = (struct seen){.td = f.a, .lower = true};
	b = (struct seen){.td = f.b, .lower = true, .storm_max = 20};
	request(&f, &a);
	request(&f, &b);
	for (unsigned i = 1; i <= 300; i++) {
		test_level(f.a, true);
		while (LOAD(f.a->asserted))
			ob_cpu_turn(ob_cpu_get(f.ob, 0), OB_NS_PER_MS);
		ob_irq_stats(a.irq, &stats);
		assert_int_equal(stats.handled, i);
	}
	/* Three hundred interrupts that were not its own are no storm of b's. */
	ob_irq_stats(b.irq, &stats);
	assert_int_equal(stats.handled, 0);
	if (own_fds)
		assert_true(stats.spurious > 100);
	else
		assert_int_equal(stats.spurious, 300);
	assert_false(stats.stormed);
	/* Both at once: the line rises once, and both are served. */
	test_level(f.a, true);
	test_level(f.b, true);
	while (LOAD(f.a->asserted) || LOAD(f.b->asserted))
		ob_cpu_turn(ob_cpu_get(f.ob, 0), OB_NS_PER_MS);
	ob_irq_stats(b.irq, &stats);
	assert_int_equal(stats.handled, 1);
	give_back(&f, &a, true);
	/* The other goes on. */
	test_level(f.b, true);
	while (LOAD(f.b->asserted))
		ob_cpu_turn(ob_cpu_get(f.ob, 0), OB_NS_PER_MS);
	give_back(&f, &b, true);
	finish(&f);
}

static void test_shared_line_each_device_answers_for_itself(void **state)
{
	share_line(false);
}

static void test_shared_line_with_an_eventfd_each_works_as_well(void **state)
{
	share_line(true);
}

static void test_level_that_stays_up_is_delivered_again(void **state)
{
	struct seen s;
	struct fixture f;

	start(&f, 1, 0);
	s = (struct seen){.td = f.a, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	test_level(f.a, true);
	/* One turn delivers a bounded number, the next goes on without a new edge. */
	while (s.hard == 0)
		ob_cpu_turn(ob_cpu_get(f.ob, 0), OB_NS_PER_MS);
	assert_true(s.hard > 1 && s.hard <= 32);
	while (s.hard < 200)
		ob_cpu_turn(ob_cpu_get(f.ob, 0), OB_NS_PER_MS);
	test_level(f.a, false);
	test_wait_until(f.ob, never, NULL, 5);
	s.hard = 0;
	test_wait_until(f.ob, never, NULL, 5);
	assert_int_equal(s.hard, 0);
	give_back(&f, &s, true);
	finish(&f);
}

static void test_shared_line_on_another_cpu_is_refused(void **state)
{
	struct seen a, b;
	struct fixture f;

	start(&f, 2, 0);
	a = (struct seen){.td = f.a, .lower = true};
	b = (struct seen){.td = f.b, .lower = true, .cpu = 1};
	request(&f, &a);
	test_in_task(f.ob, 0, request_task, &b);
	assert_int_equal(b.rc, -EINVAL);
	assert_true(test_logged("b: seen shares a line", "CPU 0"));
	test_in_task(f.ob, 0, release_task, &f.b->dev);
	give_back(&f, &a, true);
	finish(&f);
}

/* ---- storms ---- */

static bool stormed(void *arg)
{
	struct ob_irq_stats stats;

	ob_irq_stats(((struct seen *)arg)->irq, &stats);
	return stats.stormed;
}

static bool calm(void *arg)
{
	return !stormed(arg);
}

/* A storm's whole life: masked and named, the neighbour lives, polled, recovered. */
static void check_storm(struct fixture *f, struct seen *s, struct seen *neighbour, const char *why)
{
	uint64_t masked_at = ob_now_ns();
	struct ob_irq_stats stats;
	unsigned before;

	assert_true(test_masked(s->td, s->vector));
	assert_true(test_logged("a: interrupt storm on vector", "(seen)"));
	assert_true(test_logged("interrupt storm", why));
	/* Others live. */
	neighbour->hard = 0;
	if (neighbour->lower)
		test_level(neighbour->td, true);
	else
		test_fire(neighbour->td, neighbour->vector);
	assert_true(test_wait_until(f->ob, some_hard, neighbour, 1000));
	assert_true(calm(neighbour));
	/* Its own handler is polled, at a low rate. */
	before = LOAD(s->hard);
	test_wait_until(f->ob, never, NULL, 200);
	assert_in_range(LOAD(s->hard) - before, 5, 25);
	assert_true(test_wait_until(f->ob, calm, s, 3000));
	assert_true(ob_now_ns() - masked_at > 500 * OB_NS_PER_MS);
	assert_false(test_masked(s->td, s->vector));
	assert_true(test_logged("is quiet, delivered again", NULL));
	ob_irq_stats(s->irq, &stats);
	assert_int_equal(stats.storms, 1);
}

static void test_storm_by_rate_is_masked_named_and_recovers(void **state)
{
	struct seen s, other;
	struct fixture f;

	start(&f, 1, 2);
	s = (struct seen){.td = f.a, .answer = OB_IRQ_HANDLED, .storm_max = 20};
	other = (struct seen){.td = f.a, .vector = 1, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	request(&f, &other);
	for (unsigned i = 0; i < 1000 && !stormed(&s); i++) {
		test_fire(f.a, 0);
		ob_cpu_turn(ob_cpu_get(f.ob, 0), 0);
	}
	assert_true(stormed(&s));
	assert_int_equal(s.hard, 21);
	check_storm(&f, &s, &other, "21 deliveries within its window");
	s.hard = 0;
	test_fire(f.a, 0);
	assert_true(test_wait_until(f.ob, some_hard, &s, 1000));
	give_back(&f, &s, false);
	give_back(&f, &other, true);
	finish(&f);
}

static void test_storm_of_unanswered_interrupts_is_masked(void **state)
{
	struct seen s, other;
	struct fixture f;

	start(&f, 2, 2);
	s = (struct seen){.td = f.a, .cpu = 1, .answer = OB_IRQ_NONE};
	other = (struct seen){.td = f.a, .vector = 1, .cpu = 1, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	request(&f, &other);
	for (unsigned i = 0; i < 20000 && !stormed(&s); i++) {
		test_fire(f.a, 0);
		usleep(20);
	}
	assert_true(stormed(&s));
	assert_int_equal(LOAD(s.hard), 100);
	check_storm(&f, &s, &other, "100 deliveries in a row that nobody answered for");
	/* It ends while it storms: nothing is left behind. */
	for (unsigned i = 0; i < 20000 && !stormed(&s); i++) {
		test_fire(f.a, 0);
		usleep(20);
	}
	assert_true(stormed(&s));
	give_back(&f, &s, false);
	give_back(&f, &other, true);
	finish(&f);
}

static void storm_on_line(bool own_fds, enum ob_irq_result answer, const char *why)
{
	struct seen s, other;
	struct fixture f;

	start(&f, 1, 0);
	test_setup.own_line_fds = own_fds;
	/* a holds the line up and knows nothing of it. b is asked first. */
	other = (struct seen){.td = f.b, .lower = true};
	s = (struct seen){.td = f.a, .answer = answer};
	request(&f, &other);
	request(&f, &s);
	test_level(f.a, true);
	assert_true(test_wait_until(f.ob, stormed, &s, 2000));
	assert_true(calm(&other));
	/* It calms down by itself. */
	test_level(f.a, false);
	check_storm(&f, &s, &other, why);
	give_back(&f, &s, true);
	give_back(&f, &other, true);
	finish(&f);
}

static void test_storm_on_a_shared_line_masks_the_culprit_only(void **state)
{
	storm_on_line(false, OB_IRQ_NONE, "100 deliveries in a row that nobody answered for");
	storm_on_line(false, OB_IRQ_HANDLED, "1000 deliveries in a row that left the line up");
}

static void test_storm_on_a_shared_line_with_an_eventfd_each_masks_the_culprit_only(void **state)
{
	storm_on_line(true, OB_IRQ_NONE, "100 deliveries in a row that nobody answered for");
	storm_on_line(true, OB_IRQ_HANDLED, "1000 deliveries in a row that left the line up");
}

static void test_level_that_never_goes_down_is_a_storm(void **state)
{
	struct seen s;
	struct fixture f;

	start(&f, 1, 0);
	s = (struct seen){.td = f.a, .answer = OB_IRQ_HANDLED};
	request(&f, &s);
	test_level(f.a, true);
	assert_true(test_wait_until(f.ob, stormed, &s, 2000));
	assert_true(test_logged("interrupt storm", "left the line up"));
	/* Still up after the quiet second: again, and again it is noticed. */
	assert_true(test_wait_until(f.ob, calm, &s, 3000));
	assert_true(test_wait_until(f.ob, stormed, &s, 2000));
	give_back(&f, &s, true);
	finish(&f);
}

static void test_free_waits_for_a_task_handler_that_takes_long(void **state)
{
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		struct fixture f;
		struct seen t;

		start(&f, 2, 1);
		t = (struct seen){.td = f.a,
				  .cpu = cpu,
				  .answer = OB_IRQ_TASK,
				  .with_task = true,
				  .task_ns = 1200 * OB_NS_PER_MS};
		request(&f, &t);
		test_fire(f.a, 0);
		assert_true(test_wait_until(f.ob, task_begun, &t, 2000));
		test_in_task(f.ob, 0, free_task, &t);
		assert_int_equal(LOAD(t.task), 1);
		assert_true(test_logged("its task handler on CPU", "still runs"));
		test_in_task(f.ob, 0, release_task, &t.td->dev);
		finish(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handlers_run_in_their_contexts_on_their_cpu),
		cmocka_unit_test(test_vectors_stay_on_their_cpus_under_load_and_free_is_final),
		cmocka_unit_test(test_bad_requests_are_refused),
		cmocka_unit_test(test_masked_interrupt_is_delivered_at_unmask),
		cmocka_unit_test(test_shared_line_each_device_answers_for_itself),
		cmocka_unit_test(test_shared_line_with_an_eventfd_each_works_as_well),
		cmocka_unit_test(test_level_that_stays_up_is_delivered_again),
		cmocka_unit_test(test_shared_line_on_another_cpu_is_refused),
		cmocka_unit_test(test_storm_by_rate_is_masked_named_and_recovers),
		cmocka_unit_test(test_storm_of_unanswered_interrupts_is_masked),
		cmocka_unit_test(test_storm_on_a_shared_line_masks_the_culprit_only),
		cmocka_unit_test(test_storm_on_a_shared_line_with_an_eventfd_each_masks_the_culprit_only),
		cmocka_unit_test(test_level_that_never_goes_down_is_a_storm),
		cmocka_unit_test(test_free_waits_for_a_task_handler_that_takes_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
