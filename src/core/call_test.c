/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of functions on other CPUs: where they run, what comes of them when nobody turns or no memory is left. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "core/cpu.h"
#include "core/hooks.h"
#include "tests/context.h"

struct call_test {
	struct ob_cpu *cpu, *on;
	enum cpu_context context;
	unsigned runs;
	int rc;
	uint64_t timeout_ns;
};

static void call_fn(void *arg)
{
	struct call_test *t = arg;

	t->on = ob_cpu_current();
	t->context = cpu_context();
	t->runs++;
}

static void call_task(void *arg)
{
	struct call_test *t = arg;

	t->rc = ob_cpu_call(t->cpu, call_fn, t, ob_deadline(t->timeout_ns));
}

static void run_task(struct ob_cpu *cpu, void (*fn)(void *arg), void *arg)
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(cpu, "test", fn, arg, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(10 * OB_NS_PER_S)), 0);
}

static void test_call_runs_on_the_other_cpu(void **state)
{
	struct call_test t = {.timeout_ns = 10 * OB_NS_PER_S};
	struct context c;

	context_open(&c, 2);
	t.cpu = ob_cpu_get(c.ob, 1);
	assert_int_equal(ob_cpu_start(t.cpu, -1), 0);
	/* From a task, from a plain thread, and from a task of the CPU itself. */
	run_task(c.cpu, call_task, &t);
	assert_int_equal(t.rc, 0);
	assert_ptr_equal(t.on, t.cpu);
	assert_int_equal(t.context, CPU_CONTEXT_SOFT);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(ob_cpu_call(t.cpu, call_fn, &t, ob_deadline(t.timeout_ns)), 0);
	run_task(t.cpu, call_task, &t);
	assert_int_equal(t.rc, 0);
	assert_int_equal(t.context, CPU_CONTEXT_TASK);
	assert_int_equal(t.runs, 202);
	context_close(&c);
}

/* No memory for the first so many calls. */
static bool fail_first(void *arg, const char *call)
{
	unsigned *left = arg;

	if (strcmp(call, "ob_cpu_call") != 0 || *left == 0)
		return false;
	--*left;
	return true;
}

static void call_firmly_task(void *arg)
{
	struct call_test *t = arg;

	t->rc = ob_cpu_call_firmly(t->cpu, call_fn, t, ob_deadline(t->timeout_ns));
}

static void test_call_without_memory_is_made_firmly_later(void **state)
{
	struct call_test t = {.timeout_ns = 10 * OB_NS_PER_S};
	unsigned left = 3;
	struct ob_hooks hooks = {.arg = &left, .fail = fail_first};
	struct context c;

	context_open(&c, 2);
	t.cpu = ob_cpu_get(c.ob, 1);
	assert_int_equal(ob_cpu_start(t.cpu, -1), 0);
	ob_set_hooks(c.ob, &hooks);
	run_task(c.cpu, call_firmly_task, &t);
	assert_int_equal(t.rc, 0);
	assert_int_equal(left, 0);
	left = 3;
	call_firmly_task(&t);
	assert_int_equal(t.rc, 0);
	assert_int_equal(left, 0);
	assert_int_equal(t.runs, 2);
	left = UINT_MAX;
	t.timeout_ns = 20 * OB_NS_PER_MS;
	call_firmly_task(&t);
	assert_int_equal(t.rc, -ENOMEM);
	assert_int_equal(t.runs, 2);
	ob_set_hooks(c.ob, NULL);
	context_close(&c);
}

static void *call_thread(void *arg)
{
	struct call_test *t = arg;

	call_task(t);
	return NULL;
}

static void test_call_to_a_cpu_that_nobody_turns_times_out(void **state)
{
	struct call_test t = {.timeout_ns = 5 * OB_NS_PER_MS};
	pthread_t thread;
	struct context c;

	context_open(&c, 2);
	t.cpu = ob_cpu_get(c.ob, 1);
	pthread_create(&thread, NULL, call_thread, &t);
	pthread_join(thread, NULL);
	assert_int_equal(t.rc, -ETIMEDOUT);
	/* And does not run later. */
	turn_dry(t.cpu);
	assert_int_equal(t.runs, 0);
	/* One more stays in the inbox for ob_destroy(). */
	pthread_create(&thread, NULL, call_thread, &t);
	pthread_join(thread, NULL);
	assert_int_equal(t.rc, -ETIMEDOUT);
	context_close(&c);
	assert_int_equal(t.runs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_runs_on_the_other_cpu),
		cmocka_unit_test(test_call_without_memory_is_made_firmly_later),
		cmocka_unit_test(test_call_to_a_cpu_that_nobody_turns_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
