/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop: the order of a turn, fairness, who may turn, work from other threads, embedding. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bits.h"
#include "core/loop.h"
#include "tests/context.h"

/* ---- order and bounds of a turn ---- */

static char order[64];

static void note(char what)
{
	size_t len = strlen(order);

	if (len + 1 < sizeof(order)) {
		order[len] = what;
		order[len + 1] = '\0';
	}
}

static unsigned note_poll(void *arg, unsigned budget)
{
	assert_int_equal(cpu_context(), CPU_CONTEXT_SOFT);
	note('p');
	return 0;
}

static bool no_arm(void *arg)
{
	return false;
}

static void no_disarm(void *arg)
{
}

static const struct ob_poll_ops note_ops = {.poll = note_poll, .arm = no_arm, .disarm = no_disarm};

static void note_fd(struct ob_fd *fd)
{
	assert_int_equal(cpu_context(), CPU_CONTEXT_HARD);
	assert_true(os_eventfd_take(fd->fd));
	note('d');
}

static void note_work(struct ob_work *work)
{
	assert_int_equal(cpu_context(), CPU_CONTEXT_SOFT);
	note('w');
}

static void note_timer(struct ob_timer *timer)
{
	assert_int_equal(cpu_context(), CPU_CONTEXT_SOFT);
	note('t');
}

static void note_task(void *arg)
{
	assert_int_equal(cpu_context(), CPU_CONTEXT_TASK);
	note('k');
}

static void test_turn_with_everything_to_do_keeps_the_order(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_POLLED};
	struct ob_fd fd = {.fd = eventfd(1, EFD_NONBLOCK), .fn = note_fd};
	struct ob_timer timer;
	struct ob_poll poll;
	struct ob_work work;
	struct context c;

	context_open(&c, 1);
	order[0] = '\0';
	assert_int_equal(cpu_context(), CPU_CONTEXT_PLAIN);
	assert_null(ob_cpu_current());
	assert_int_equal(ob_task_spawn(c.cpu, "task", note_task, NULL, NULL), 0);
	ob_timer_init(&timer, c.cpu, note_timer);
	ob_timer_start(&timer, 0);
	ob_work_init(&work, note_work);
	ob_cpu_post(c.cpu, &work);
	assert_int_equal(ob_fd_add(c.cpu, &fd), 0);
	ob_poll_start(&poll, c.cpu, &note_ops, NULL, &config);
	/* The spawn and the work came by the inbox. */
	assert_int_equal(ob_cpu_turn(c.cpu, 0), 5);
	assert_string_equal(order, "pdwtk");
	ob_fd_remove(c.cpu, &fd);
	ob_poll_stop(&poll);
	close(fd.fd);
	assert_int_equal(cpu_context(), CPU_CONTEXT_PLAIN);
	context_close(&c);
}

struct flood {
	struct ob_work work;
	struct ob_cpu *cpu;
	unsigned runs;
	bool stop;
};

/* Work that always posts itself again. */
static void flood_work(struct ob_work *work)
{
	struct flood *f = (struct flood *)work;

	f->runs++;
	if (!f->stop)
		ob_cpu_post(f->cpu, work);
}

static void flood_task(void *arg)
{
	struct flood *f = arg;

	for (; !f->stop; f->runs++)
		ob_task_yield();
}

static void test_turn_with_endless_work_serves_all_kinds(void **state)
{
	struct ob_fd fd = {.fd = eventfd(0, EFD_NONBLOCK), .fn = note_fd};
	struct flood work = {0}, task = {0};
	struct ob_timer timer;
	struct context c;

	context_open(&c, 1);
	work.cpu = c.cpu;
	ob_work_init(&work.work, flood_work);
	ob_cpu_post(c.cpu, &work.work);
	assert_int_equal(ob_task_spawn(c.cpu, "flood", flood_task, &task, NULL), 0);
	ob_timer_init(&timer, c.cpu, note_timer);
	assert_int_equal(ob_fd_add(c.cpu, &fd), 0);
	for (unsigned i = 0; i < 10; i++) {
		const uint64_t one = 1;

		order[0] = '\0';
		ob_timer_start(&timer, 0);
		assert_int_equal(write(fd.fd, &one, sizeof(one)), sizeof(one));
		assert_true(ob_cpu_turn(c.cpu, OB_NS_PER_S) > 0);
		assert_string_equal(order, "dt");
		assert_int_equal(work.runs, i + 1);
		assert_int_equal(task.runs, i);
	}
	work.stop = task.stop = true;
	turn_dry(c.cpu);
	ob_fd_remove(c.cpu, &fd);
	close(fd.fd);
	context_close(&c);
}

static void test_turn_with_more_work_than_its_share_leaves_the_rest(void **state)
{
	static struct flood many[TURN_WORK + 10];
	struct context c;
	unsigned runs = 0;

	context_open(&c, 1);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = (struct flood){.stop = true};
		ob_work_init(&many[i].work, flood_work);
		assert_true(ob_cpu_post(c.cpu, &many[i].work));
		assert_false(ob_cpu_post(c.cpu, &many[i].work));
	}
	assert_int_equal(ob_cpu_turn(c.cpu, 0), TURN_WORK);
	assert_int_equal(many[TURN_WORK - 1].runs, 1);
	assert_int_equal(many[TURN_WORK].runs, 0);
	assert_int_equal(ob_cpu_turn(c.cpu, 0), 10);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		runs += many[i].runs;
	assert_int_equal(runs, ARRAY_SIZE(many));
	context_close(&c);
}

/* ---- descriptors ---- */

struct pair {
	struct ob_fd a, b;
	struct ob_cpu *cpu;
	unsigned served;
};

static struct pair pair;

static void pair_a(struct ob_fd *fd)
{
	pair.served++;
	ob_fd_remove(pair.cpu, &pair.b);
	ob_fd_remove(pair.cpu, &pair.a);
}

static void pair_b(struct ob_fd *fd)
{
	pair.served++;
	ob_fd_remove(pair.cpu, &pair.a);
	ob_fd_remove(pair.cpu, &pair.b);
}

static void test_fd_removed_by_one_before_it_is_not_served(void **state)
{
	struct context c;

	context_open(&c, 1);
	pair = (struct pair){
		.a = {eventfd(1, EFD_NONBLOCK), pair_a}, .b = {eventfd(1, EFD_NONBLOCK), pair_b}, .cpu = c.cpu};
	assert_int_equal(ob_fd_add(c.cpu, &pair.a), 0);
	assert_int_equal(ob_fd_add(c.cpu, &pair.b), 0);
	turn_dry(c.cpu);
	assert_int_equal(pair.served, 1);
	close(pair.a.fd);
	close(pair.b.fd);
	context_close(&c);
}

static unsigned level_served;

static void level_fd(struct ob_fd *fd)
{
	ADD(level_served, 1);
}

struct removal {
	struct ob_cpu *cpu;
	struct ob_fd *fd;
};

static void remove_task(void *arg)
{
	struct removal *r = arg;

	ob_fd_remove(r->cpu, r->fd);
	STORE(level_served, 0);
}

static void test_fd_removed_from_another_cpu_is_not_served_afterwards(void **state)
{
	struct ob_fd fd = {.fd = eventfd(1, EFD_NONBLOCK), .fn = level_fd};
	struct ob_task *task;
	struct removal r;
	struct context c;

	context_open(&c, 2);
	r = (struct removal){ob_cpu_get(c.ob, 1), &fd};
	assert_int_equal(ob_cpu_start(r.cpu, -1), 0);
	for (unsigned i = 0; i < 50; i++) {
		STORE(level_served, 0);
		assert_int_equal(ob_fd_add(r.cpu, &fd), 0);
		/* Level-triggered and never taken: it is served in each turn. */
		while (LOAD(level_served) < 3)
			ob_cpu_relax();
		assert_int_equal(ob_task_spawn(c.cpu, "remove", remove_task, &r, &task), 0);
		assert_int_equal(ob_task_join(task, ob_deadline(10 * OB_NS_PER_S)), 0);
		assert_int_equal(LOAD(level_served), 0);
	}
	close(fd.fd);
	context_close(&c);
}

/* ---- who turns ---- */

static unsigned hold, held;

static void hold_work(struct ob_work *work)
{
	STORE(held, 1);
	while (LOAD(hold))
		ob_cpu_relax();
}

static void *turner(void *arg)
{
	while (!LOAD(held))
		ob_cpu_turn(arg, 0);
	return NULL;
}

static void test_turn_while_another_thread_is_inside_is_busy(void **state)
{
	struct ob_work work;
	struct context c;
	pthread_t thread;

	context_open(&c, 1);
	STORE(hold, 1);
	STORE(held, 0);
	ob_work_init(&work, hold_work);
	ob_cpu_post(c.cpu, &work);
	assert_true(cpu_is_home(c.cpu));
	pthread_create(&thread, NULL, turner, c.cpu);
	while (!LOAD(held))
		ob_cpu_relax();
	assert_int_equal(ob_cpu_turn(c.cpu, 0), -EBUSY);
	assert_int_equal(ob_cpu_start(c.cpu, -1), -EBUSY);
	assert_false(cpu_is_home(c.cpu));
	STORE(hold, 0);
	pthread_join(thread, NULL);
	assert_int_equal(ob_cpu_turn(c.cpu, 0), 0);
	assert_true(cpu_is_home(c.cpu));
	context_close(&c);
}

static int inner_rc;

static void turn_work(struct ob_work *work)
{
	inner_rc = ob_cpu_turn(ob_cpu_current(), 0);
}

static void test_turn_from_inside_a_loop_is_refused(void **state)
{
	struct ob_work work;
	struct context c;

	context_open(&c, 1);
	ob_work_init(&work, turn_work);
	ob_cpu_post(c.cpu, &work);
	turn_dry(c.cpu);
	assert_int_equal(inner_rc, -EDEADLK);
	context_close(&c);
}

static void test_start_and_stop_moves_the_home(void **state)
{
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_cpu_start(c.cpu, 100000), -EINVAL);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(ob_cpu_start(c.cpu, i % 2 ? 0 : -1), 0);
		assert_int_equal(ob_cpu_start(c.cpu, -1), -EBUSY);
		assert_int_equal(ob_cpu_turn(c.cpu, 0), -EBUSY);
		assert_false(cpu_is_home(c.cpu));
		ob_cpu_stop(c.cpu);
		assert_true(cpu_is_home(c.cpu));
		assert_int_equal(ob_cpu_turn(c.cpu, 0), 0);
	}
	ob_cpu_stop(c.cpu);
	context_close(&c);
}

static void test_create_with_bad_configuration_is_refused(void **state)
{
	struct ob_config config = {.cpu_count = OB_CPU_MAX + 1};
	struct ob *ob = NULL;

	assert_int_equal(ob_create(&config, &ob), -EINVAL);
	config = (struct ob_config){.log_level = (enum ob_log_level)7};
	assert_int_equal(ob_create(&config, &ob), -EINVAL);
	assert_int_equal(ob_create(NULL, &ob), 0);
	assert_int_equal(ob_cpu_count(ob), 1);
	assert_null(ob_cpu_get(ob, 1));
	ob_destroy(ob);
	ob_destroy(NULL);
	assert_string_equal(ob_version(), OB_VERSION);
}

static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

/* Each descriptor that a context opens is refused in turn: all that came before is given back. */
static void test_create_without_descriptors_leaves_nothing(void **state)
{
	struct ob_config config = {.cpu_count = 2};
	struct rlimit before, limit;
	int first = next_fd(), rc = -EMFILE;
	unsigned failures = 0;
	struct ob *ob = NULL;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned n = 0; n < 20 && rc < 0; n++) {
		limit = before;
		limit.rlim_cur = (rlim_t)first + n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		rc = ob_create(&config, &ob);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (rc == 0)
			break;
		failures++;
		assert_int_equal(rc, -EMFILE);
		assert_int_equal(next_fd(), first);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(failures, 6); /* three for each CPU */
	ob_destroy(ob);
	assert_int_equal(next_fd(), first);
}

/* ---- work from other threads ---- */

#define POSTERS 3
#define POSTS   20000

struct post {
	struct ob_work work;
	struct ob_cpu *cpu;
	unsigned asked; /* what the poster wrote before */
	unsigned seen;
	unsigned runs;
};

static void post_work(struct ob_work *work)
{
	struct post *p = (struct post *)work;

	STORE(p->seen, LOAD(p->asked));
	ADD(p->runs, 1);
}

static void *poster(void *arg)
{
	struct post *p = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		/* Plain: post orders it, also when it returns false. */
		__atomic_store_n(&p->asked, i + 1, __ATOMIC_RELAXED);
		ob_cpu_post(p->cpu, &p->work);
		if (i % 1024 == 0)
			usleep(200); /* let the CPU fall asleep */
	}
	return NULL;
}

static void test_post_from_many_threads_loses_nothing(void **state)
{
	struct post posts[POSTERS] = {0};
	pthread_t threads[POSTERS];
	uint64_t deadline_ns;
	struct context c;

	context_open(&c, 1);
	assert_int_equal(ob_cpu_start(c.cpu, -1), 0);
	for (unsigned i = 0; i < POSTERS; i++) {
		posts[i].cpu = c.cpu;
		ob_work_init(&posts[i].work, post_work);
		pthread_create(&threads[i], NULL, poster, &posts[i]);
	}
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	deadline_ns = ob_deadline(5 * OB_NS_PER_S);
	for (unsigned i = 0; i < POSTERS; i++)
		while (LOAD(posts[i].seen) != POSTS)
			assert_true(ob_now_ns() < deadline_ns);
	context_close(&c);
}

/*
 * Each post comes as the CPU has run the one before and is about to sleep: it is seen by the look before the sleep, or
 * it wakes. A lost one sleeps for seconds.
 */
static void *answer_thread(void *arg)
{
	struct post *p = arg;

	for (unsigned i = 1; i <= POSTS; i++) {
		uint64_t deadline_ns = ob_deadline(5 * OB_NS_PER_S);

		STORE(p->asked, i);
		ob_cpu_post(p->cpu, &p->work);
		while (LOAD(p->seen) != i)
			if (ob_now_ns() > deadline_ns)
				return p;
		/* Shorter steps than ob_cpu_relax(): the moment that matters is some ten cycles long. */
		for (volatile unsigned pause = i % 397; pause > 0; pause--)
			;
	}
	return NULL;
}

static void test_post_as_the_cpu_falls_asleep_is_not_lost(void **state)
{
	struct post p = {0};
	pthread_t thread;
	struct context c;
	void *lost;

	context_open(&c, 1);
	p.cpu = c.cpu;
	ob_work_init(&p.work, post_work);
	assert_int_equal(ob_cpu_start(c.cpu, -1), 0);
	pthread_create(&thread, NULL, answer_thread, &p);
	pthread_join(thread, &lost);
	assert_null(lost);
	context_close(&c);
}

/* ---- embedding ---- */

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

static void *post_later(void *arg)
{
	struct post *p = arg;

	usleep(20000);
	ob_cpu_post(p->cpu, &p->work);
	return NULL;
}

static void test_fd_in_an_epoll_loop_tells_of_everything(void **state)
{
	struct ob_fd event = {.fd = eventfd(0, EFD_NONBLOCK), .fn = note_fd};
	struct epoll_event ready = {.events = EPOLLIN};
	struct post p = {0};
	struct ob_timer timer;
	const uint64_t one = 1;
	pthread_t thread;
	struct context c;
	uint64_t start;
	int fd, outer;

	context_open(&c, 1);
	fd = ob_cpu_fd(c.cpu);
	outer = epoll_create1(0);
	assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &ready), 0);
	turn_dry(c.cpu);
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 0);

	/* Work from another thread, while nobody is in the loop. */
	p.cpu = c.cpu;
	ob_work_init(&p.work, post_work);
	pthread_create(&thread, NULL, post_later, &p);
	assert_int_equal(epoll_wait(outer, &ready, 1, 5000), 1);
	turn_dry(c.cpu);
	pthread_join(thread, NULL);
	assert_int_equal(p.runs, 1);
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 0);

	/* A timer that was started between turns; it wakes for the first turn, and again when it is due. */
	ob_timer_init(&timer, c.cpu, note_timer);
	order[0] = '\0';
	start = ob_now_ns();
	ob_timer_start(&timer, start + 150 * OB_NS_PER_MS);
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 1);
	turn_dry(c.cpu);
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 0);
	assert_int_equal(epoll_wait(outer, &ready, 1, 5000), 1);
	turn_dry(c.cpu);
	assert_true(ob_now_ns() - start >= 150 * OB_NS_PER_MS);
	assert_string_equal(order, "t");
	assert_int_equal(epoll_wait(outer, &ready, 1, 20), 0);

	/* A descriptor of the CPU's. */
	assert_int_equal(ob_fd_add(c.cpu, &event), 0);
	assert_int_equal(write(event.fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 1);
	turn_dry(c.cpu);
	assert_int_equal(epoll_wait(outer, &ready, 1, 0), 0);
	ob_fd_remove(c.cpu, &event);
	close(event.fd);
	close(outer);
	context_close(&c);
}

static void test_fd_stays_readable_while_something_is_left(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_POLLED};
	struct flood task = {0};
	struct ob_poll poll;
	struct context c;
	int fd;

	context_open(&c, 1);
	fd = ob_cpu_fd(c.cpu);
	turn_dry(c.cpu);
	assert_false(is_readable(fd, 0));
	/* A task that yields for ever. */
	assert_int_equal(ob_task_spawn(c.cpu, "flood", flood_task, &task, NULL), 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(is_readable(fd, 0));
		assert_true(ob_cpu_turn(c.cpu, 0) > 0);
	}
	task.stop = true;
	turn_dry(c.cpu);
	assert_false(is_readable(fd, 0));
	/* A channel that is polled, started between turns and stopped there. */
	ob_poll_start(&poll, c.cpu, &note_ops, NULL, &config);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(is_readable(fd, 0));
		ob_cpu_turn(c.cpu, 0);
		usleep(300); /* over a look at the descriptors */
	}
	ob_poll_stop(&poll);
	turn_dry(c.cpu);
	assert_false(is_readable(fd, 0));
	context_close(&c);
}

static void test_fd_of_a_started_cpu_is_left_alone(void **state)
{
	struct flood task = {0};
	struct context c;
	int fd;

	context_open(&c, 1);
	fd = ob_cpu_fd(c.cpu);
	turn_dry(c.cpu);
	assert_int_equal(ob_cpu_start(c.cpu, -1), 0);
	/* Something is always left, and yet no turn pays for a descriptor that nobody sleeps on. */
	assert_int_equal(ob_task_spawn(c.cpu, "flood", flood_task, &task, NULL), 0);
	usleep(50000);
	assert_false(is_readable(fd, 0));
	ob_cpu_stop(c.cpu);
	assert_int_equal(ob_cpu_fd(c.cpu), fd);
	assert_true(is_readable(fd, 0));
	task.stop = true;
	turn_dry(c.cpu);
	assert_false(is_readable(fd, 0));
	context_close(&c);
}

/* A post that races with the end of a turn must make the descriptor readable. */
static void test_fd_embedded_loses_no_post(void **state)
{
	struct post p = {0};
	pthread_t thread;
	struct context c;
	int fd;

	context_open(&c, 1);
	fd = ob_cpu_fd(c.cpu);
	p.cpu = c.cpu;
	ob_work_init(&p.work, post_work);
	pthread_create(&thread, NULL, answer_thread, &p);
	while (LOAD(p.seen) < POSTS) {
		assert_true(is_readable(fd, 5000));
		while (ob_cpu_turn(c.cpu, 0) != 0)
			;
	}
	pthread_join(thread, NULL);
	context_close(&c);
}

/* ---- descriptors ---- */

/* Another process that has it, too, may have made it one whose reads wait, and have taken the count before us. */
static void test_eventfd_whose_reads_wait_is_not_waited_for(void **state)
{
	int fd = eventfd(2, EFD_CLOEXEC);

	assert_true(os_eventfd_take(fd));
	assert_false(os_eventfd_take(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turn_with_everything_to_do_keeps_the_order),
		cmocka_unit_test(test_eventfd_whose_reads_wait_is_not_waited_for),
		cmocka_unit_test(test_turn_with_endless_work_serves_all_kinds),
		cmocka_unit_test(test_turn_with_more_work_than_its_share_leaves_the_rest),
		cmocka_unit_test(test_fd_removed_by_one_before_it_is_not_served),
		cmocka_unit_test(test_fd_removed_from_another_cpu_is_not_served_afterwards),
		cmocka_unit_test(test_turn_while_another_thread_is_inside_is_busy),
		cmocka_unit_test(test_turn_from_inside_a_loop_is_refused),
		cmocka_unit_test(test_start_and_stop_moves_the_home),
		cmocka_unit_test(test_create_with_bad_configuration_is_refused),
		cmocka_unit_test(test_create_without_descriptors_leaves_nothing),
		cmocka_unit_test(test_post_from_many_threads_loses_nothing),
		cmocka_unit_test(test_post_as_the_cpu_falls_asleep_is_not_lost),
		cmocka_unit_test(test_fd_in_an_epoll_loop_tells_of_everything),
		cmocka_unit_test(test_fd_stays_readable_while_something_is_left),
		cmocka_unit_test(test_fd_of_a_started_cpu_is_left_alone),
		cmocka_unit_test(test_fd_embedded_loses_no_post),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
