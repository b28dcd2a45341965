/* SPDX-License-Identifier: BSD-2-Clause */
/* Tasks: spawn, join, sleep, yield; what is left at the end; mutexes; locks; failing calls. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/bits.h"
#include "core/loop.h"
#include "tests/context.h"

#define SOON ob_deadline(10 * OB_NS_PER_S)

static void add_one(void *arg)
{
	ADD(*(unsigned *)arg, 1);
}

static void test_spawn_many_reuses_stacks(void **state)
{
	struct ob_task *tasks[40];
	unsigned runs = 0;
	struct context c;

	context_open(&c, 1);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 40; i++)
			assert_int_equal(ob_task_spawn(c.cpu, "add", add_one, &runs, i % 2 ? &tasks[i] : NULL), 0);
		for (unsigned i = 1; i < 40; i += 2)
			assert_int_equal(ob_task_join(tasks[i], SOON), 0);
	}
	assert_int_equal(runs, 800);
	assert_int_equal(c.cpu->task_cached, TASK_CACHE_MAX);
	context_close(&c);
}

/* ---- sleep and yield ---- */

struct sleeper {
	uint64_t until_ns, woke_ns;
	unsigned place;
	unsigned *places;
};

static void sleep_body(void *arg)
{
	struct sleeper *s = arg;

	ob_task_sleep(s->until_ns);
	s->woke_ns = ob_now_ns();
	s->place = (*s->places)++;
}

static void test_sleep_wakes_in_the_order_of_times(void **state)
{
	static const unsigned ms[] = {12, 3, 9, 0, 6};
	struct sleeper sleepers[ARRAY_SIZE(ms)];
	struct ob_task *tasks[ARRAY_SIZE(ms)];
	unsigned places = 0;
	struct context c;
	uint64_t start;

	context_open(&c, 1);
	start = ob_deadline(60 * OB_NS_PER_MS); /* all sleep before the first wakes, on a busy host too */
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		sleepers[i] = (struct sleeper){.until_ns = start + ms[i] * OB_NS_PER_MS, .places = &places};
		assert_int_equal(ob_task_spawn(c.cpu, "sleep", sleep_body, &sleepers[i], &tasks[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++)
		assert_int_equal(ob_task_join(tasks[i], SOON), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		assert_true(sleepers[i].woke_ns >= sleepers[i].until_ns);
		assert_int_equal(sleepers[i].place, (12 - ms[i]) == 0 ? 4 : ms[i] / 3);
	}
	context_close(&c);
}

struct yielder {
	char *trail;
	char name;
};

static void yield_body(void *arg)
{
	struct yielder *y = arg;

	for (unsigned i = 0; i < 3; i++) {
		strncat(y->trail, &y->name, 1);
		ob_task_yield();
	}
}

static void test_yield_takes_turns(void **state)
{
	char trail[16] = "";
	struct yielder a = {trail, 'a'}, b = {trail, 'b'};
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_task_spawn(c.cpu, "a", yield_body, &a, NULL), 0);
	assert_int_equal(ob_task_spawn(c.cpu, "b", yield_body, &b, NULL), 0);
	turn_dry(c.cpu);
	assert_string_equal(trail, "ababab");
	context_close(&c);
}

/* ---- join ---- */

static void until_set(void *arg)
{
	while (!LOAD(*(unsigned *)arg))
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
}

static void test_join_that_times_out_can_be_repeated(void **state)
{
	struct ob_task *task;
	unsigned flag = 0;
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_task_spawn(c.cpu, "wait", until_set, &flag, &task), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_task_join(task, ob_deadline(3 * OB_NS_PER_MS)), -ETIMEDOUT);
	STORE(flag, 1);
	assert_int_equal(ob_task_join(task, SOON), 0);
	context_close(&c);
}

struct joiner {
	struct ob_cpu *cpu;
	unsigned runs, joins, failures;
};

/* Tasks on another CPU, joined with deadlines about as long as they take: both outcomes, at the worst moments. */
static void join_body(void *arg)
{
	struct joiner *j = arg;

	for (unsigned i = 0; i < 500; i++) {
		struct ob_task *task;
		int rc;

		if (ob_task_spawn(j->cpu, "remote", add_one, &j->runs, &task) < 0) {
			j->failures++;
			continue;
		}
		do {
			rc = ob_task_join(task, ob_deadline(i % 64 * 500));
			if (rc < 0 && rc != -ETIMEDOUT)
				j->failures++;
		} while (rc == -ETIMEDOUT);
		j->joins++;
	}
}

static void *join_thread(void *arg)
{
	join_body(arg);
	return NULL;
}

static void test_join_races_with_the_end_on_another_cpu(void **state)
{
	struct joiner from_task = {0}, from_thread = {0};
	struct ob_task *task;
	pthread_t thread;
	struct context c;

	context_open(&c, 2);
	from_task.cpu = from_thread.cpu = ob_cpu_get(c.ob, 1);
	assert_int_equal(ob_cpu_start(from_task.cpu, -1), 0);
	pthread_create(&thread, NULL, join_thread, &from_thread);
	assert_int_equal(ob_task_spawn(c.cpu, "join", join_body, &from_task, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(60 * OB_NS_PER_S)), 0);
	pthread_join(thread, NULL);
	assert_int_equal(from_task.joins, 500);
	assert_int_equal(from_thread.joins, 500);
	assert_int_equal(from_task.failures + from_thread.failures, 0);
	assert_int_equal(from_task.runs + from_thread.runs, 1000);
	context_close(&c);
}

static int soft_rc[2];

static void join_work(struct ob_work *work)
{
	struct ob_event event;

	ob_event_init(&event, ob_cpu_current());
	soft_rc[0] = ob_event_wait(&event, SOON);
	soft_rc[1] = ob_task_join(NULL, SOON);
}

static void test_wait_in_soft_context_is_refused(void **state)
{
	struct ob_work work;
	struct context c;

	context_open(&c, 1);
	ob_work_init(&work, join_work);
	ob_cpu_post(c.cpu, &work);
	turn_dry(c.cpu);
	assert_int_equal(soft_rc[0], -EDEADLK);
	assert_int_equal(soft_rc[1], -EDEADLK);
	context_close(&c);
}

/* ---- the end ---- */

static void test_destroy_reports_and_frees_what_is_left(void **state)
{
	unsigned never = 0, runs = 0;
	struct ob_task *task;
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_task_spawn(c.cpu, "waits", until_set, &never, NULL), 0);
	assert_int_equal(ob_task_spawn(c.cpu, "unjoined", add_one, &runs, &task), 0);
	ob_cpu_turn(c.cpu, 0);
	assert_int_equal(runs, 1);
	assert_int_equal(ob_task_spawn(c.cpu, "unborn", add_one, &runs, NULL), 0);
	ob_destroy(c.ob);
	assert_int_equal(c.lines, 3);
	assert_non_null(strstr(c.first, "\"waits\" is still waiting"));
	assert_non_null(strstr(c.last, "\"unborn\" is still ready"));
	assert_int_equal(runs, 1);
}

/* ---- mutexes ---- */

struct contender {
	struct ob_mutex *mutex;
	char *trail;
	char name;
	uint64_t timeout_ns, hold_ns;
	int rc;
};

static void mutex_body(void *arg)
{
	struct contender *m = arg;

	m->rc = ob_mutex_lock(m->mutex, ob_deadline(m->timeout_ns));
	if (m->rc < 0)
		return;
	assert_ptr_equal(m->mutex->owner, ob_task_current());
	strncat(m->trail, &m->name, 1);
	ob_task_sleep(ob_deadline(m->hold_ns));
	ob_mutex_unlock(m->mutex);
}

static void test_mutex_is_first_come_first_served_and_times_out(void **state)
{
	char trail[16] = "";
	struct ob_mutex mutex;
	struct contender m[] = {
		{&mutex, trail, 'a', OB_NS_PER_S, 150 * OB_NS_PER_MS, 1},
		{&mutex, trail, 'b', 2 * OB_NS_PER_MS, 0, 1}, /* gives up, from the middle of the queue's front */
		{&mutex, trail, 'c', 5 * OB_NS_PER_S, OB_NS_PER_MS, 1},
		{&mutex, trail, 'd', 5 * OB_NS_PER_S, OB_NS_PER_MS, 1},
		{&mutex, trail, 'e', 2 * OB_NS_PER_MS, 0, 1}, /* gives up, from the end */
	};
	struct ob_task *tasks[ARRAY_SIZE(m)];
	struct context c;

	context_open(&c, 1);
	ob_mutex_init(&mutex, "test");
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		assert_int_equal(ob_task_spawn(c.cpu, "mutex", mutex_body, &m[i], &tasks[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		assert_int_equal(ob_task_join(tasks[i], SOON), 0);
	assert_string_equal(trail, "acd");
	assert_int_equal(m[1].rc, -ETIMEDOUT);
	assert_int_equal(m[4].rc, -ETIMEDOUT);
	assert_null(mutex.owner);
	assert_null(mutex.first);
	assert_null(mutex.last);
	context_close(&c);
}

/* ---- locks ---- */

static struct {
	struct ob_lock lock;
	uint64_t plain; /* guarded */
	unsigned inside, together;
} locked;

static void *lock_thread(void *arg)
{
	for (unsigned i = 0; i < 50000; i++) {
		ob_lock(&locked.lock);
		locked.plain++;
		if (ADD(locked.inside, 1) != 1)
			ADD(locked.together, 1);
		if (i % 8192 == 0)
			usleep(500); /* long enough for others to fall asleep on it */
		ADD(locked.inside, -1);
		ob_unlock(&locked.lock);
	}
	return NULL;
}

static void test_lock_between_threads_excludes(void **state)
{
	pthread_t threads[3];

	ob_lock_init(&locked.lock, "test");
	locked.plain = 0;
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, lock_thread, NULL);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(locked.plain, 150000);
	assert_int_equal(locked.together, 0);
	assert_int_equal(locked.lock.word, 0);
}

/* ---- failing calls and memory ---- */

static bool fail_named(void *arg, const char *call)
{
	return strcmp(arg, call) == 0;
}

static void alloc_body(void *arg)
{
	*(void **)arg = ob_alloc(100);
}

static void test_hook_makes_calls_fail(void **state)
{
	struct ob_hooks hooks = {.arg = (void *)(uintptr_t) "ob_alloc", .fail = fail_named};
	void *memory = &hooks;
	unsigned runs = 0;
	struct context c;

	context_open(&c, 2);
	ob_set_hooks(c.ob, &hooks);
	assert_int_equal(ob_task_spawn(c.cpu, "alloc", alloc_body, &memory, NULL), 0);
	turn_dry(c.cpu);
	assert_null(memory);
	hooks.arg = (void *)(uintptr_t) "ob_task_spawn";
	ob_set_hooks(c.ob, &hooks);
	assert_int_equal(ob_task_spawn(c.cpu, "add", add_one, &runs, NULL), -ENOMEM);
	hooks.arg = (void *)(uintptr_t) "ob_cpu_call";
	ob_set_hooks(c.ob, &hooks);
	assert_int_equal(ob_cpu_call(ob_cpu_get(c.ob, 1), add_one, &runs, SOON), -ENOMEM);
	ob_set_hooks(c.ob, NULL);
	assert_int_equal(ob_task_spawn(c.cpu, "alloc", alloc_body, &memory, NULL), 0);
	turn_dry(c.cpu);
	assert_non_null(memory);
	assert_int_equal((uintptr_t)memory % OB_CACHE_LINE, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(((unsigned char *)memory)[i], 0);
	ob_free(memory);
	assert_int_equal(runs, 0);
	context_close(&c);
}

/* ---- registers across switches ---- */

static double fold(double seed, unsigned rounds)
{
	double a = seed, b = seed + 1, d = seed + 2, e = seed + 3;

	for (unsigned i = 0; i < rounds; i++) {
		a = a * 1.5 - b;
		b = b * 0.5 + d;
		d = d - e * 0.25;
		e = e + a * 0.125;
		if (ob_task_current())
			ob_task_yield();
	}
	return a + b + d + e;
}

struct folder {
	double seed, result;
};

static void fold_body(void *arg)
{
	struct folder *f = arg;

	f->result = fold(f->seed, 20);
}

static void test_switch_keeps_floating_point_registers(void **state)
{
	struct folder folders[4];
	struct context c;

	context_open(&c, 1);
	for (unsigned i = 0; i < 4; i++) {
		folders[i].seed = i * 3.25;
		assert_int_equal(ob_task_spawn(c.cpu, "fold", fold_body, &folders[i], NULL), 0);
	}
	turn_dry(c.cpu);
	for (unsigned i = 0; i < 4; i++)
		assert_true(folders[i].result == fold(folders[i].seed, 20));
	context_close(&c);
}

/* A task that started on one thread goes on on another: whose data it sees must follow. */
struct wanderer {
	unsigned go, at;
	struct ob_cpu *seen[2];
	uint64_t threads[2];
};

static void wander_body(void *arg)
{
	struct wanderer *w = arg;

	for (unsigned i = 0; i < 2; i++) {
		w->seen[i] = ob_cpu_current();
		w->threads[i] = os_thread_data()->id;
		STORE(w->at, i + 1);
		while (LOAD(w->go) <= i)
			ob_task_yield();
	}
}

static void test_task_moves_with_its_cpu_to_another_thread(void **state)
{
	struct wanderer w = {0};
	struct ob_task *task;
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_task_spawn(c.cpu, "wander", wander_body, &w, &task), 0);
	ob_cpu_turn(c.cpu, 0);
	assert_int_equal(LOAD(w.at), 1);
	assert_int_equal(ob_cpu_start(c.cpu, -1), 0);
	STORE(w.go, 2);
	assert_int_equal(ob_task_join(task, SOON), 0);
	assert_ptr_equal(w.seen[0], c.cpu);
	assert_ptr_equal(w.seen[1], c.cpu);
	assert_true(w.threads[0] != w.threads[1]);
	context_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spawn_many_reuses_stacks),
		cmocka_unit_test(test_sleep_wakes_in_the_order_of_times),
		cmocka_unit_test(test_yield_takes_turns),
		cmocka_unit_test(test_join_that_times_out_can_be_repeated),
		cmocka_unit_test(test_join_races_with_the_end_on_another_cpu),
		cmocka_unit_test(test_wait_in_soft_context_is_refused),
		cmocka_unit_test(test_destroy_reports_and_frees_what_is_left),
		cmocka_unit_test(test_mutex_is_first_come_first_served_and_times_out),
		cmocka_unit_test(test_lock_between_threads_excludes),
		cmocka_unit_test(test_hook_makes_calls_fail),
		cmocka_unit_test(test_switch_keeps_floating_point_registers),
		cmocka_unit_test(test_task_moves_with_its_cpu_to_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
