/* SPDX-License-Identifier: BSD-2-Clause */
/* Mistakes with locks and with waiting. */
#include <outboard/outboard.h>

#include "core/cpu.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/os.h"
#include "tests/sim/rules.h"

#define LONG_NS (50 * OB_NS_PER_US)

static struct ob_lock left, right;
static struct ob_mutex outer, inner;
static struct ob_cpu *the_cpu;

static void locks_init(void)
{
	ob_lock_init(&left, "left");
	ob_lock_init(&right, "right");
	ob_mutex_init(&outer, "outer");
	ob_mutex_init(&inner, "inner");
}

void rules_in_task(void (*fn)(void *arg), void *arg)
{
	const struct ob_config config = {.cpu_count = 1};
	struct ob_task *task;
	struct ob *ob;

	SIM_CHECK(ob_create(&config, &ob) == 0);
	the_cpu = ob_cpu_get(ob, 0);
	locks_init();
	SIM_CHECK(ob_task_spawn(the_cpu, "test", fn, arg, &task) == 0);
	SIM_CHECK(ob_task_join(task, ob_deadline(OB_NS_PER_S)) == 0);
	ob_destroy(ob);
}

/* ---- order ---- */

static void both(struct ob_lock *first, struct ob_lock *second)
{
	ob_lock(first);
	ob_lock(second);
	ob_unlock(second);
	ob_unlock(first);
}

static void other_way(void *arg)
{
	both(&right, &left);
}

static void same_way(void *arg)
{
	both(&left, &right);
}

/* One after the other: nobody is ever stuck. */
static void order_crossed(const struct sim_config *config)
{
	locks_init();
	both(&left, &right);
	sim_spawn("other", other_way, NULL);
	sim_join_all();
}

static void order_kept(const struct sim_config *config)
{
	locks_init();
	sim_spawn("other", same_way, NULL);
	both(&left, &right);
	sim_join_all();
}

static void circle_of_three(const struct sim_config *config)
{
	struct ob_lock third;

	locks_init();
	ob_lock_init(&third, "third");
	both(&left, &right);
	both(&right, &third);
	both(&third, &left);
}

/* Another lock in the same memory has an order of its own. */
static void order_of_a_new_lock(const struct sim_config *config)
{
	locks_init();
	both(&left, &right);
	ob_lock_init(&left, "new");
	both(&right, &left);
}

static void both_mutexes(struct ob_mutex *first, struct ob_mutex *second)
{
	SIM_CHECK(ob_mutex_lock(first, ob_deadline(LONG_NS)) == 0);
	SIM_CHECK(ob_mutex_lock(second, ob_deadline(LONG_NS)) == 0);
	ob_mutex_unlock(second);
	ob_mutex_unlock(first);
}

static void mutexes_crossed(void *arg)
{
	both_mutexes(&outer, &inner);
	both_mutexes(&inner, &outer);
}

static void mutexes_kept(void *arg)
{
	both_mutexes(&outer, &inner);
	both_mutexes(&outer, &inner);
}

static void mutex_order_crossed(const struct sim_config *config)
{
	rules_in_task(mutexes_crossed, NULL);
}

static void mutex_order_kept(const struct sim_config *config)
{
	rules_in_task(mutexes_kept, NULL);
}

/* ---- holders ---- */

static void lock_twice(const struct sim_config *config)
{
	locks_init();
	ob_lock(&left);
	ob_lock(&left);
}

static void takes_left(void *arg)
{
	ob_lock(&left);
	ob_unlock(&right);
}

static void unlocked_by_another(const struct sim_config *config)
{
	locks_init();
	ob_lock(&right);
	sim_spawn("other", takes_left, NULL);
	sim_wait_ns(LONG_NS);
}

static void unlocked_twice(const struct sim_config *config)
{
	locks_init();
	ob_lock(&right);
	ob_unlock(&right);
	ob_unlock(&right);
}

static void lock_kept(const struct sim_config *config)
{
	locks_init();
	ob_lock(&left);
}

static void keeps_mutex(void *arg)
{
	SIM_CHECK(ob_mutex_lock(&outer, ob_deadline(LONG_NS)) == 0);
}

static void mutex_kept(const struct sim_config *config)
{
	rules_in_task(keeps_mutex, NULL);
}

static void freed_locked(const struct sim_config *config)
{
	struct ob_lock *lock = ob_alloc(sizeof(*lock));

	ob_lock_init(lock, "freed");
	ob_lock(lock);
	ob_free(lock);
}

static void takes_lock(void *arg)
{
	ob_lock(&left);
	ob_unlock(&left);
}

static void locked_in_hard(const struct sim_config *config)
{
	locks_init();
	takes_lock(NULL);
	irq_run_hard(takes_lock, NULL);
}

/* Under contention too: who waits for the lock breaks no rule about waiting. */
static void contends(void *arg)
{
	for (unsigned i = 0; i < 20; i++) {
		ob_lock(&left);
		sim_random(2);
		both(&right, arg);
		ob_unlock(&left);
	}
}

static void contended(const struct sim_config *config)
{
	static struct ob_lock third;

	locks_init();
	ob_lock_init(&third, "third");
	sim_spawn("other", contends, &third);
	sim_spawn("another", contends, &third);
	contends(&third);
	sim_join_all();
}

/* ---- waiting ---- */

static void sleeps_locked(void *arg)
{
	ob_lock(&left);
	ob_task_sleep(ob_deadline(LONG_NS));
	ob_unlock(&left);
}

static void lock_across_sleep(const struct sim_config *config)
{
	rules_in_task(sleeps_locked, NULL);
}

static void sleeps_with_mutex(void *arg)
{
	keeps_mutex(NULL);
	ob_task_sleep(ob_deadline(LONG_NS));
	ob_mutex_unlock(&outer);
}

static void mutex_across_sleep(const struct sim_config *config)
{
	rules_in_task(sleeps_with_mutex, NULL);
}

static void locks_mutex_locked(void *arg)
{
	ob_lock(&left);
	keeps_mutex(NULL);
	ob_mutex_unlock(&outer);
	ob_unlock(&left);
}

static void lock_across_mutex(const struct sim_config *config)
{
	rules_in_task(locks_mutex_locked, NULL);
}

static void waits(struct ob_work *work)
{
	struct ob_event event;

	ob_event_init(&event, ob_cpu_current());
	ob_event_wait(&event, ob_deadline(LONG_NS));
}

static void posts_waiter(void *arg)
{
	struct ob_work work;

	ob_work_init(&work, arg);
	ob_cpu_post(ob_cpu_current(), &work);
	ob_task_sleep(ob_deadline(LONG_NS));
}

static void soft_wait(const struct sim_config *config)
{
	rules_in_task(posts_waiter, waits);
}

static void does_nothing(struct ob_work *work)
{
}

static void soft_work(const struct sim_config *config)
{
	rules_in_task(posts_waiter, does_nothing);
}

/* Work for a CPU that sleeps. */
static void hands_over(bool tells)
{
	const struct ob_config config = {.cpu_count = 1};
	struct ob_work work;
	struct ob *ob;

	SIM_CHECK(ob_create(&config, &ob) == 0);
	SIM_CHECK(ob_cpu_start(ob_cpu_get(ob, 0), -1) == 0);
	sim_wait_ns(LONG_NS);
	ob_work_init(&work, does_nothing);
	if (tells)
		ob_cpu_post(ob_cpu_get(ob, 0), &work);
	else
		__atomic_store_n(&ob_cpu_get(ob, 0)->inbox, &work, __ATOMIC_RELEASE);
	sim_wait_ns(LONG_NS);
	ob_destroy(ob);
}

static void posted_untold(const struct sim_config *config)
{
	hands_over(false);
}

static void posted(const struct sim_config *config)
{
	hands_over(true);
}

static void relaxes(void *arg)
{
	ob_cpu_relax();
}

static void hard_relax(const struct sim_config *config)
{
	irq_run_hard(relaxes, NULL);
}

static void sleeps_for_ever(void *arg)
{
	struct ob_event event;

	ob_event_init(&event, ob_cpu_current());
	ob_event_signal(&event);
	/* It would not even have to wait. */
	ob_event_wait(&event, UINT64_MAX);
}

static void unbounded_wait(const struct sim_config *config)
{
	rules_in_task(sleeps_for_ever, NULL);
}

/* ---- more than the world keeps count of: it says so ---- */

static struct ob_lock *locks_make(unsigned count)
{
	struct ob_lock *locks = ob_alloc(count * sizeof(*locks));

	for (unsigned i = 0; i < count; i++)
		ob_lock_init(&locks[i], "one of many");
	return locks;
}

static void take_all(unsigned count)
{
	struct ob_lock *locks = locks_make(count);

	for (unsigned i = 0; i < count; i++)
		ob_lock(&locks[i]);
	for (unsigned i = count; i-- > 0;)
		ob_unlock(&locks[i]);
	ob_free(locks);
}

static void eight_held(const struct sim_config *config)
{
	take_all(8);
}

static void nine_held(const struct sim_config *config)
{
	take_all(9);
}

static void too_many_locks(const struct sim_config *config)
{
	struct ob_lock *locks = locks_make(129);

	for (unsigned i = 0; i < 129; i++) {
		ob_lock(&locks[i]);
		ob_unlock(&locks[i]);
	}
	ob_free(locks);
}

const struct rule_case rules_lock[] = {
	{"lock-order", "order_crossed", order_crossed},
	{"", "order_kept", order_kept},
	{"lock-order", "circle_of_three", circle_of_three},
	{"", "order_of_a_new_lock", order_of_a_new_lock},
	{"lock-order", "mutex_order_crossed", mutex_order_crossed},
	{"", "mutex_order_kept", mutex_order_kept},
	{"lock-twice", "lock_twice", lock_twice},
	{"lock-owner", "unlocked_by_another", unlocked_by_another},
	{"lock-owner", "unlocked_twice", unlocked_twice},
	{"lock-left", "lock_kept", lock_kept},
	{"lock-left", "mutex_kept", mutex_kept},
	{"lock-left", "freed_locked", freed_locked},
	{"hard-lock", "locked_in_hard", locked_in_hard},
	{"", "contended", contended},
	{"lock-across-wait", "lock_across_sleep", lock_across_sleep},
	{"", "mutex_across_sleep", mutex_across_sleep},
	{"lock-across-wait", "lock_across_mutex", lock_across_mutex},
	{"soft-wait", "soft_wait", soft_wait},
	{"", "soft_work", soft_work},
	{"hard-wait", "hard_relax", hard_relax},
	{"unbounded-wait", "unbounded_wait", unbounded_wait},
	{"lost-wakeup", "posted_untold", posted_untold},
	{"", "posted", posted},
	{"", "eight_held", eight_held},
	{"simulator", "nine_held", nine_held},
	{"simulator", "too_many_locks", too_many_locks},
	{0},
};
