/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: every kind of waiter against every kind of signaller, and the moments at which they meet. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/context.h"

#define SOON   ob_deadline(10 * OB_NS_PER_S)
#define ROUNDS 3000

static void test_event_counts_and_resets(void **state)
{
	struct ob_event event;
	struct context c;

	context_open(&c, 1);
	ob_event_init(&event, c.cpu);
	assert_int_equal(ob_event_wait(&event, 0), -ETIMEDOUT);
	for (unsigned i = 0; i < 3; i++)
		ob_event_signal(&event);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_event_wait(&event, 0), 0);
	assert_int_equal(ob_event_wait(&event, ob_deadline(OB_NS_PER_MS)), -ETIMEDOUT);
	ob_event_signal(&event);
	ob_event_signal(&event);
	ob_event_reset(&event);
	assert_int_equal(ob_event_wait(&event, 0), -ETIMEDOUT);
	context_close(&c);
}

/* ---- within one CPU ---- */

struct duet {
	struct ob_event there, back;
	unsigned rounds;
	int rc;
};

static void duet_answer(void *arg)
{
	struct duet *d = arg;

	for (unsigned i = 0; i < d->rounds; i++) {
		if (ob_event_wait(&d->there, SOON) < 0)
			return;
		ob_event_signal(&d->back);
	}
}

static void duet_ask(void *arg)
{
	struct duet *d = arg;

	for (unsigned i = 0; i < d->rounds && d->rc == 0; i++) {
		ob_event_signal(&d->there);
		d->rc = ob_event_wait(&d->back, SOON);
	}
}

static void test_event_between_tasks_goes_to_and_fro(void **state)
{
	struct duet d = {.rounds = ROUNDS};
	struct ob_task *a, *b;
	struct context c;

	context_open(&c, 1);
	ob_event_init(&d.there, c.cpu);
	ob_event_init(&d.back, c.cpu);
	assert_int_equal(ob_task_spawn(c.cpu, "answer", duet_answer, &d, &a), 0);
	assert_int_equal(ob_task_spawn(c.cpu, "ask", duet_ask, &d, &b), 0);
	assert_int_equal(ob_task_join(b, SOON), 0);
	assert_int_equal(ob_task_join(a, SOON), 0);
	assert_int_equal(d.rc, 0);
	context_close(&c);
}

/* Tasks of two CPUs, on two threads: each event belongs to the CPU of who waits. */
static void test_event_between_cpus_goes_to_and_fro(void **state)
{
	struct duet d = {.rounds = ROUNDS};
	struct ob_task *a, *b;
	struct context c;

	context_open(&c, 2);
	ob_event_init(&d.there, ob_cpu_get(c.ob, 1));
	ob_event_init(&d.back, c.cpu);
	assert_int_equal(ob_cpu_start(ob_cpu_get(c.ob, 1), -1), 0);
	assert_int_equal(ob_task_spawn(ob_cpu_get(c.ob, 1), "answer", duet_answer, &d, &a), 0);
	assert_int_equal(ob_task_spawn(c.cpu, "ask", duet_ask, &d, &b), 0);
	assert_int_equal(ob_task_join(b, SOON), 0);
	assert_int_equal(ob_task_join(a, SOON), 0);
	assert_int_equal(d.rc, 0);
	context_close(&c);
}

/* A plain thread without a CPU of its own sleeps on the word; one with CPUs turns them meanwhile. */
static void plain_duet(unsigned cpus, unsigned started)
{
	struct duet d = {.rounds = ROUNDS};
	struct ob_cpu *cpu;
	struct ob_task *a;
	struct context c;

	context_open(&c, cpus);
	cpu = ob_cpu_get(c.ob, cpus - 1);
	ob_event_init(&d.there, cpu);
	ob_event_init(&d.back, cpu);
	for (unsigned i = 0; i < started; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(c.ob, cpus - 1 - i), -1), 0);
	assert_int_equal(ob_task_spawn(cpu, "answer", duet_answer, &d, &a), 0);
	duet_ask(&d);
	assert_int_equal(ob_task_join(a, SOON), 0);
	assert_int_equal(d.rc, 0);
	context_close(&c);
}

static void test_event_to_a_plain_thread_that_sleeps(void **state)
{
	plain_duet(1, 1);
}

static void test_event_to_a_plain_thread_that_turns_its_cpu(void **state)
{
	plain_duet(1, 0);
}

static void test_event_to_a_plain_thread_that_turns_another_cpu(void **state)
{
	plain_duet(2, 1);
}

static void test_event_to_a_plain_thread_that_turns_several_cpus(void **state)
{
	plain_duet(3, 0);
}

static void test_event_to_a_plain_thread_with_several_cpus_and_one_apart(void **state)
{
	plain_duet(3, 1);
}

/* Waiting turns the thread's CPUs: their timers and tasks go on. */
static void tick_body(void *arg)
{
	unsigned *ticks = arg;

	for (;;) {
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
		if (++*ticks == 1000)
			return;
	}
}

static void test_event_wait_on_a_plain_thread_turns_all_its_cpus(void **state)
{
	unsigned ticks[2] = {990, 990};
	struct ob_event event;
	struct context c;

	context_open(&c, 2);
	ob_event_init(&event, c.cpu);
	assert_int_equal(ob_task_spawn(ob_cpu_get(c.ob, 0), "tick", tick_body, &ticks[0], NULL), 0);
	assert_int_equal(ob_task_spawn(ob_cpu_get(c.ob, 1), "tick", tick_body, &ticks[1], NULL), 0);
	for (unsigned i = 0; i < 50 && ticks[0] + ticks[1] < 2000; i++)
		assert_int_equal(ob_event_wait(&event, ob_deadline(100 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(ticks[0] + ticks[1], 2000);
	context_close(&c);
}

/* ---- waits that time out about when the signal comes ---- */

struct race {
	struct ob_cpu *cpu;
	struct ob_event *target; /* __atomic: published for the signaller, who takes it */
	unsigned stop;           /* __atomic */
	unsigned waits, timeouts, late;
	int bad;
};

/*
 * The life of an event on the stack: published, waited for, and when the time is up taken back. If the signaller has it
 * already its signal is on the way and is waited for; then the event goes.
 */
static void race_once(struct race *r, uint64_t timeout_ns)
{
	struct ob_event event, *mine = &event;
	int rc;

	memset(&event, 0xa5, sizeof(event));
	ob_event_init(&event, r->cpu);
	STORE(r->target, &event);
	rc = ob_event_wait(&event, ob_deadline(timeout_ns));
	r->waits++;
	if (rc == -ETIMEDOUT) {
		if (__atomic_compare_exchange_n(&r->target, &mine, NULL, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			r->timeouts++;
		} else {
			r->late++;
			rc = ob_event_wait(&event, SOON);
			if (rc < 0)
				r->bad = rc;
		}
	} else if (rc < 0) {
		r->bad = rc;
	}
	memset(&event, 0x5a, sizeof(event)); /* whoever still looks at it fails */
}

static void race_body(void *arg)
{
	struct race *r = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		race_once(r, i % 7 == 0 ? 0 : i % 128 * 250);
}

static void *race_signaller(void *arg)
{
	struct race *r = arg;
	unsigned i = 0;

	while (!LOAD(r->stop)) {
		struct ob_event *event = __atomic_exchange_n(&r->target, NULL, __ATOMIC_SEQ_CST);

		if (event)
			ob_event_signal(event);
		for (unsigned pause = ++i % 97; pause > 0; pause--)
			ob_cpu_relax();
		if (i % 512 == 0)
			usleep(1);
	}
	return NULL;
}

static void race_run(bool in_task, unsigned cpus, unsigned first_started)
{
	struct race r = {0};
	struct ob_task *task;
	pthread_t thread;
	struct context c;

	context_open(&c, cpus);
	r.cpu = c.cpu;
	for (unsigned i = first_started; i < cpus; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(c.ob, i), -1), 0);
	pthread_create(&thread, NULL, race_signaller, &r);
	if (in_task) {
		assert_int_equal(ob_task_spawn(c.cpu, "race", race_body, &r, &task), 0);
		assert_int_equal(ob_task_join(task, ob_deadline(60 * OB_NS_PER_S)), 0);
	} else {
		race_body(&r);
	}
	STORE(r.stop, 1);
	pthread_join(thread, NULL);
	assert_int_equal(r.bad, 0);
	assert_int_equal(r.waits, ROUNDS);
	context_close(&c);
}

static void test_event_on_a_tasks_stack_times_out_safely(void **state)
{
	race_run(true, 1, 1);
}

static void test_event_on_a_tasks_stack_on_a_started_cpu_times_out_safely(void **state)
{
	race_run(true, 1, 0);
}

static void test_event_on_a_plain_threads_stack_times_out_safely(void **state)
{
	race_run(false, 1, 1);
}

static void test_event_on_a_sleeping_threads_stack_times_out_safely(void **state)
{
	race_run(false, 1, 0);
}

/* ---- a signal that is on its way when the event is reset ---- */

static void *signal_thread(void *arg)
{
	ob_event_signal(arg);
	return NULL;
}

static void reset_body(void *arg)
{
	struct ob_event *event = arg;
	pthread_t thread;

	/* As if this task were waiting: the other thread's signal then travels by the inbox. */
	event->waiter = ob_task_current();
	event->count |= 1u << 29;
	pthread_create(&thread, NULL, signal_thread, event);
	pthread_join(thread, NULL);
	ob_event_reset(event);
	event->waiter = NULL;
	event->count = 0;
	memset(event, 0x5a, sizeof(*event));
}

static void test_event_reset_takes_back_a_signal_on_its_way(void **state)
{
	struct ob_event event;
	struct ob_task *task;
	struct context c;

	context_open(&c, 1);
	ob_event_init(&event, c.cpu);
	assert_int_equal(ob_task_spawn(c.cpu, "reset", reset_body, &event, &task), 0);
	assert_int_equal(ob_task_join(task, SOON), 0);
	turn_dry(c.cpu);
	assert_null(c.cpu->inbox);
	context_close(&c);
}

/* ---- a signaller that was stopped between its two steps ---- */

struct halfway {
	struct ob_event event;
	unsigned returned;
	int rc;
};

static void halfway_body(void *arg)
{
	struct halfway *h = arg;

	h->rc = ob_event_wait(&h->event, ob_deadline(2 * OB_NS_PER_MS));
	h->returned = 1;
}

static void turn_for(struct ob_cpu *cpu, uint64_t ns)
{
	for (uint64_t start = ob_now_ns(); ob_now_ns() - start < ns;)
		ob_cpu_turn(cpu, OB_NS_PER_MS);
}

static void test_event_half_signalled_keeps_its_waiter_past_the_deadline(void **state)
{
	struct halfway h = {.rc = 1};
	struct context c;

	context_open(&c, 1);
	ob_event_init(&h.event, c.cpu);
	assert_int_equal(ob_task_spawn(c.cpu, "wait", halfway_body, &h, NULL), 0);
	ob_cpu_turn(c.cpu, 0);
	/* The word is changed, POSTED and the count; the work is not in the inbox yet. */
	ADD(h.event.count, (1u << 28) + 1);
	turn_for(c.cpu, 10 * OB_NS_PER_MS);
	assert_int_equal(h.returned, 0);
	work_push(c.cpu, &h.event.work);
	turn_for(c.cpu, OB_NS_PER_MS);
	assert_int_equal(h.returned, 1);
	assert_int_equal(h.rc, 0);
	context_close(&c);
}

/* ---- many signallers ---- */

#define SIGNALLERS 3
#define SIGNALS    5000

static void *flood_thread(void *arg)
{
	for (unsigned i = 0; i < SIGNALS; i++) {
		ob_event_signal(arg);
		if (i % 1000 == 0)
			usleep(100);
	}
	return NULL;
}

struct drain {
	struct ob_event event;
	unsigned taken;
};

static void drain_body(void *arg)
{
	struct drain *d = arg;

	while (d->taken < SIGNALLERS * SIGNALS && ob_event_wait(&d->event, SOON) == 0)
		d->taken++;
}

static void test_event_signalled_by_many_threads_counts_each(void **state)
{
	pthread_t threads[SIGNALLERS];
	struct drain d = {.taken = 0};
	struct ob_task *task;
	struct context c;

	context_open(&c, 1);
	ob_event_init(&d.event, c.cpu);
	assert_int_equal(ob_cpu_start(c.cpu, -1), 0);
	assert_int_equal(ob_task_spawn(c.cpu, "drain", drain_body, &d, &task), 0);
	for (unsigned i = 0; i < SIGNALLERS; i++)
		pthread_create(&threads[i], NULL, flood_thread, &d.event);
	for (unsigned i = 0; i < SIGNALLERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(ob_task_join(task, SOON), 0);
	assert_int_equal(d.taken, SIGNALLERS * SIGNALS);
	context_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event_counts_and_resets),
		cmocka_unit_test(test_event_between_tasks_goes_to_and_fro),
		cmocka_unit_test(test_event_between_cpus_goes_to_and_fro),
		cmocka_unit_test(test_event_to_a_plain_thread_that_sleeps),
		cmocka_unit_test(test_event_to_a_plain_thread_that_turns_its_cpu),
		cmocka_unit_test(test_event_to_a_plain_thread_that_turns_another_cpu),
		cmocka_unit_test(test_event_to_a_plain_thread_that_turns_several_cpus),
		cmocka_unit_test(test_event_to_a_plain_thread_with_several_cpus_and_one_apart),
		cmocka_unit_test(test_event_wait_on_a_plain_thread_turns_all_its_cpus),
		cmocka_unit_test(test_event_on_a_tasks_stack_times_out_safely),
		cmocka_unit_test(test_event_on_a_tasks_stack_on_a_started_cpu_times_out_safely),
		cmocka_unit_test(test_event_on_a_plain_threads_stack_times_out_safely),
		cmocka_unit_test(test_event_on_a_sleeping_threads_stack_times_out_safely),
		cmocka_unit_test(test_event_reset_takes_back_a_signal_on_its_way),
		cmocka_unit_test(test_event_half_signalled_keeps_its_waiter_past_the_deadline),
		cmocka_unit_test(test_event_signalled_by_many_threads_counts_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
