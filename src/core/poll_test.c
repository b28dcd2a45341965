/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion by polling, interrupt and both, of a source that behaves like a device's queue. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "core/loop.h"
#include "tests/context.h"

/* A queue with an interrupt: an eventfd, written when something arrives while it is armed. */
struct source {
	struct ob_fd fd;
	struct ob_poll poll;
	struct ob_cpu *cpu;
	unsigned waiting; /* completions that nobody took */
	bool armed;
	unsigned interrupts, polls, disarms, largest;
	unsigned race;        /* as it is armed, so many have just arrived without interrupting */
	bool stop_self;       /* stop polling from within the completions, and spoil the memory */
	bool interrupted_off; /* the next disarming is interrupted, by the source itself */
};

static unsigned source_poll(void *arg, unsigned budget)
{
	struct source *s = arg;
	unsigned done = MIN(s->waiting, budget);

	s->waiting -= done;
	s->polls++;
	s->largest = MAX(s->largest, done);
	if (s->stop_self && done > 0) {
		ob_poll_stop(&s->poll);
		memset(&s->poll, 0x5a, sizeof(s->poll));
	}
	return done;
}

static bool source_arm(void *arg)
{
	struct source *s = arg;

	s->armed = true;
	s->waiting += s->race;
	s->race = 0;
	return s->waiting > 0;
}

static void source_disarm(void *arg)
{
	struct source *s = arg;

	s->armed = false;
	s->disarms++;
	if (s->interrupted_off) {
		s->interrupted_off = false;
		ob_poll_schedule(&s->poll);
	}
}

static const struct ob_poll_ops source_ops = {
	.poll = source_poll,
	.arm = source_arm,
	.disarm = source_disarm,
};

static void source_interrupt(struct ob_fd *fd)
{
	struct source *s = (struct source *)fd;

	if (os_eventfd_take(fd->fd)) {
		s->interrupts++;
		ob_poll_schedule(&s->poll);
	}
}

static void source_complete(struct source *s, unsigned count)
{
	const uint64_t one = 1;

	s->waiting += count;
	if (s->armed)
		assert_int_equal(write(s->fd.fd, &one, sizeof(one)), sizeof(one));
}

static void source_open(struct source *s, struct ob_cpu *cpu, const struct ob_poll_config *config)
{
	*s = (struct source){.fd = {eventfd(0, EFD_NONBLOCK), source_interrupt}, .cpu = cpu};
	assert_int_equal(ob_fd_add(cpu, &s->fd), 0);
	ob_poll_start(&s->poll, cpu, &source_ops, s, config);
}

static void source_close(struct source *s)
{
	ob_fd_remove(s->cpu, &s->fd);
	close(s->fd.fd);
}

/* ---- interrupt ---- */

static void test_interrupt_mode_polls_only_after_an_interrupt(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_INTERRUPT, .budget = 8};
	struct source s;
	struct context c;

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	assert_true(s.armed);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ob_cpu_turn(c.cpu, 0), 0);
	assert_int_equal(s.polls, 0);
	/* Fewer than the budget: one interrupt, one poll, armed again; all in one turn. */
	source_complete(&s, 5);
	assert_true(ob_cpu_turn(c.cpu, OB_NS_PER_S) >= 5);
	assert_int_equal(s.interrupts, 1);
	assert_int_equal(s.polls, 1);
	assert_int_equal(s.waiting, 0);
	assert_true(s.armed);
	/* More: it stays disarmed, at most the budget in each turn, until there is nothing left. */
	source_complete(&s, 20);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	assert_int_equal(s.waiting, 12);
	assert_false(s.armed);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	assert_int_equal(s.waiting, 4);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	assert_int_equal(s.waiting, 0);
	assert_true(s.armed);
	assert_int_equal(s.largest, 8);
	assert_int_equal(s.interrupts, 2);
	assert_int_equal(s.poll.stats.schedules, 2);
	assert_int_equal(s.poll.stats.completions, 25);
	turn_dry(c.cpu);
	assert_int_equal(s.polls, 4);
	ob_poll_stop(&s.poll);
	assert_false(s.armed);
	/* Stopped: neither an interrupt nor a turn polls. */
	s.waiting = 3;
	ob_poll_schedule(&s.poll);
	turn_dry(c.cpu);
	assert_int_equal(s.polls, 4);
	source_close(&s);
	context_close(&c);
}

static void test_interrupt_mode_arming_race_loses_nothing(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_INTERRUPT};
	struct source s;
	struct context c;

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	s.race = 2; /* arrives between the last poll and the arming, and never interrupts */
	source_complete(&s, 1);
	turn_dry(c.cpu);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.poll.stats.completions, 3);
	assert_int_equal(s.poll.stats.arm_races, 1);
	assert_int_equal(s.interrupts, 1);
	assert_true(s.armed);
	ob_poll_stop(&s.poll);
	source_close(&s);
	context_close(&c);
}

/* Scheduled by who waits, and inside that by its own interrupt: in the list once, and after stopping not at all. */
static void test_interrupt_mode_interrupt_inside_disarming_lists_once(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_INTERRUPT};
	struct source s;
	struct context c;

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	s.waiting = 2;
	s.interrupted_off = true;
	ob_poll_schedule(&s.poll);
	assert_false(s.interrupted_off);
	assert_int_equal(c.cpu->poll_count, 1);
	assert_ptr_equal(c.cpu->polls, &s.poll);
	assert_null(s.poll.next);
	turn_dry(c.cpu);
	assert_int_equal(s.waiting, 0);
	assert_true(s.armed);
	assert_int_equal(c.cpu->poll_count, 0);
	s.interrupted_off = true;
	ob_poll_stop(&s.poll);
	assert_int_equal(c.cpu->poll_count, 0);
	assert_null(c.cpu->polls);
	source_close(&s);
	context_close(&c);
}

static void test_interrupt_mode_started_with_work_takes_it(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_INTERRUPT};
	struct source s;
	struct context c;

	context_open(&c, 1);
	s = (struct source){.fd = {eventfd(0, EFD_NONBLOCK), source_interrupt}, .cpu = c.cpu, .waiting = 4};
	assert_int_equal(ob_fd_add(c.cpu, &s.fd), 0);
	ob_poll_start(&s.poll, c.cpu, &source_ops, &s, &config);
	turn_dry(c.cpu);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.interrupts, 0);
	assert_true(s.armed);
	ob_poll_stop(&s.poll);
	source_close(&s);
	context_close(&c);
}

/* One source that always has work must not keep another's interrupt from being seen. */
static void test_interrupt_mode_busy_source_leaves_room_for_another(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_INTERRUPT, .budget = 4};
	struct source busy, other;
	struct context c;

	context_open(&c, 1);
	source_open(&busy, c.cpu, &config);
	source_open(&other, c.cpu, &config);
	source_complete(&busy, 1000);
	for (unsigned i = 0; i < 10; i++) {
		source_complete(&other, 1);
		ob_cpu_turn(c.cpu, 0);
		assert_int_equal(other.waiting, 0);
		assert_true(busy.waiting > 0);
	}
	ob_poll_stop(&busy.poll);
	ob_poll_stop(&other.poll);
	source_close(&busy);
	source_close(&other);
	context_close(&c);
}

/* ---- polled ---- */

static void test_polled_mode_polls_each_turn_and_looks_once_a_millisecond(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_POLLED};
	uint64_t looks, start, ms;
	unsigned turns = 0;
	struct source s;
	struct context c;

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	assert_false(s.armed);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	looks = c.cpu->looks;
	start = ob_now_ns();
	/* It never sleeps, however long it may. */
	for (; turns < 2000 || ob_now_ns() - start < 5 * OB_NS_PER_MS; turns++)
		ob_cpu_turn(c.cpu, OB_NS_PER_S);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	turns++;
	ms = (ob_now_ns() - start) / OB_NS_PER_MS;
	assert_true(ms < 500);
	assert_int_equal(s.polls, turns + 1);
	assert_true(c.cpu->looks - looks <= ms + 1);
	assert_true(c.cpu->looks > looks);
	source_complete(&s, 100);
	assert_int_equal(ob_cpu_turn(c.cpu, 0), 64);
	assert_int_equal(ob_cpu_turn(c.cpu, 0), 36);
	assert_int_equal(s.interrupts, 0);
	ob_poll_stop(&s.poll);
	source_close(&s);
	context_close(&c);
}

static void test_polled_mode_sees_descriptors_in_time(void **state)
{
	const struct ob_poll_config polled = {.mode = OB_COMPLETION_POLLED};
	const struct ob_poll_config interrupt = {.mode = OB_COMPLETION_INTERRUPT};
	struct source s, other;
	struct context c;
	uint64_t start;

	context_open(&c, 1);
	source_open(&s, c.cpu, &polled);
	source_open(&other, c.cpu, &interrupt);
	source_complete(&other, 1);
	start = ob_now_ns();
	while (other.waiting && ob_now_ns() - start < OB_NS_PER_S)
		ob_cpu_turn(c.cpu, 0);
	assert_int_equal(other.waiting, 0);
	assert_true(other.armed);
	ob_poll_stop(&s.poll);
	ob_poll_stop(&other.poll);
	source_close(&s);
	source_close(&other);
	context_close(&c);
}

/* ---- hybrid ---- */

static void test_hybrid_mode_polls_for_its_window_then_arms(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_HYBRID, .window_ns = 20 * OB_NS_PER_MS};
	struct source s;
	struct context c;
	uint64_t start;

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	assert_true(s.armed);
	source_complete(&s, 1);
	start = ob_now_ns();
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	assert_int_equal(s.interrupts, 1);
	assert_int_equal(s.waiting, 0);
	assert_false(s.armed);
	/* In the window completions need no interrupt, and each opens it anew. */
	for (unsigned i = 0; i < 5; i++) {
		usleep(1000);
		source_complete(&s, 1);
		ob_cpu_turn(c.cpu, OB_NS_PER_S);
		assert_int_equal(s.waiting, 0);
	}
	if (ob_now_ns() - start < 20 * OB_NS_PER_MS) /* else the machine was too busy to tell */
		assert_int_equal(s.interrupts, 1);
	start = s.poll.idle_since_ns;
	while (!s.armed && ob_now_ns() - start < OB_NS_PER_S)
		ob_cpu_turn(c.cpu, 0); /* the one that arms would sleep */
	assert_true(s.armed);
	assert_true(ob_cpu_time_ns(c.cpu) - start >= 20 * OB_NS_PER_MS);
	/* And now it takes one again. */
	source_complete(&s, 1);
	ob_cpu_turn(c.cpu, OB_NS_PER_S);
	assert_int_equal(s.waiting, 0);
	assert_true(s.interrupts >= 2);
	ob_poll_stop(&s.poll);
	source_close(&s);
	context_close(&c);
}

static void test_hybrid_mode_arming_race_loses_nothing(void **state)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_HYBRID, .window_ns = 1};
	struct source s;
	struct context c;
	uint64_t start = ob_now_ns();

	context_open(&c, 1);
	source_open(&s, c.cpu, &config);
	s.race = 3;
	source_complete(&s, 1);
	while ((!s.armed || s.waiting) && ob_now_ns() - start < OB_NS_PER_S)
		ob_cpu_turn(c.cpu, 0);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.poll.stats.completions, 4);
	assert_true(s.poll.stats.arm_races >= 1);
	ob_poll_stop(&s.poll);
	source_close(&s);
	context_close(&c);
}

/* ---- hybrid, with a share of the CPU ---- */

#define EVERY_NS (500 * OB_NS_PER_US)

/* Something completes so often, by the CPU's own timer. */
struct stream {
	struct ob_timer timer; /* first */
	struct source *source;
};

static void stream_tick(struct ob_timer *timer)
{
	struct stream *stream = (struct stream *)timer;

	source_complete(stream->source, 1);
	ob_timer_start(timer, MAX(timer->expires_ns + EVERY_NS, ob_now_ns()));
}

/* Turns for so long; returns what the thread took of the CPU, in per cent. */
static double stream_run(struct context *c, struct source *s, unsigned cpu_percent, uint64_t time_ns)
{
	const struct ob_poll_config config = {.mode = OB_COMPLETION_HYBRID, .cpu_percent = cpu_percent};
	struct stream stream = {.source = s};
	uint64_t start, cpu_start;

	source_open(s, c->cpu, &config);
	assert_int_equal(c->cpu->share_count, 1);
	ob_timer_init(&stream.timer, c->cpu, stream_tick);
	ob_timer_start(&stream.timer, ob_deadline(EVERY_NS));
	start = ob_now_ns();
	cpu_start = os_thread_cpu_ns();
	while (ob_now_ns() - start < time_ns)
		ob_cpu_turn(c->cpu, 10 * OB_NS_PER_MS);
	cpu_start = os_thread_cpu_ns() - cpu_start;
	ob_timer_stop(&stream.timer);
	ob_poll_stop(&s->poll);
	assert_int_equal(c->cpu->share_count, 0);
	source_close(s);
	return 100.0 * (double)cpu_start / (double)(ob_now_ns() - start);
}

/* What others leave of the computer is not known here, so there is no least; what it is must be polled away. */
static void test_hybrid_mode_keeps_to_its_share(void **state)
{
	struct source s;
	struct context c;
	double least;

	context_open(&c, 1);
	least = stream_run(&c, &s, 1, 300 * OB_NS_PER_MS);
	assert_true(s.interrupts > s.poll.stats.completions / 2);
	for (unsigned percent = 30; percent <= 60; percent += 30) {
		double taken = stream_run(&c, &s, percent, 500 * OB_NS_PER_MS);

		if (taken > 1.1 * percent && taken > 2 * least)
			fail_msg("%u %%: took %.1f %%, interrupts alone %.1f %%", percent, taken, least);
		if (2 * least < percent)
			assert_true(s.interrupts < s.poll.stats.completions);
	}
	context_close(&c);
}

static void test_hybrid_mode_with_all_of_the_cpu_arms_once(void **state)
{
	struct source s;
	struct context c;

	context_open(&c, 1);
	stream_run(&c, &s, 100, 100 * OB_NS_PER_MS);
	assert_int_equal(s.interrupts, 1);
	assert_int_equal(s.poll.stats.arms, 1);
	context_close(&c);
}

/* ---- stopping ---- */

static void test_stop_from_within_completions_touches_nothing_afterwards(void **state)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_POLLED, OB_COMPLETION_INTERRUPT,
							OB_COMPLETION_HYBRID};
	struct source s, other;
	struct context c;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct ob_poll_config config = {.mode = modes[i]};
		const struct ob_poll_config polled = {.mode = OB_COMPLETION_POLLED};

		context_open(&c, 1);
		source_open(&s, c.cpu, &config);
		source_open(&other, c.cpu, &polled);
		s.stop_self = true;
		source_complete(&s, 1);
		c.cpu->look_ns = 0;
		ob_cpu_turn(c.cpu, 0);
		assert_int_equal(s.polls, 1);
		ob_cpu_turn(c.cpu, 0);
		assert_int_equal(s.polls, 1);
		for (size_t byte = 0; byte < sizeof(s.poll); byte++)
			assert_int_equal(((unsigned char *)&s.poll)[byte], 0x5a);
		assert_int_equal(other.polls, 2);
		assert_int_equal(c.cpu->poll_count, 1);
		assert_int_equal(c.cpu->busy_count, 1);
		ob_poll_stop(&other.poll);
		assert_null(c.cpu->polls);
		source_close(&s);
		source_close(&other);
		context_close(&c);
	}
}

/* Completions that stop a neighbour, before and behind in the list. */
struct neighbour {
	struct source s;
	struct ob_poll *victim;
};

static unsigned neighbour_poll(void *arg, unsigned budget)
{
	struct neighbour *n = arg;

	n->s.polls++;
	if (n->victim)
		ob_poll_stop(n->victim);
	n->victim = NULL;
	return 0;
}

static void test_stop_of_a_neighbour_keeps_the_list_whole(void **state)
{
	static const struct ob_poll_ops ops = {.poll = neighbour_poll, .arm = source_arm, .disarm = source_disarm};
	const struct ob_poll_config config = {.mode = OB_COMPLETION_POLLED};
	struct neighbour n[3];
	struct context c;

	for (unsigned killer = 0; killer < 3; killer++) {
		for (unsigned victim = 0; victim < 3; victim++) {
			context_open(&c, 1);
			memset(n, 0, sizeof(n));
			for (unsigned i = 0; i < 3; i++)
				ob_poll_start(&n[i].s.poll, c.cpu, &ops, &n[i], &config);
			n[killer].victim = &n[victim].s.poll;
			ob_cpu_turn(c.cpu, 0);
			ob_cpu_turn(c.cpu, 0);
			for (unsigned i = 0; i < 3; i++)
				assert_int_equal(n[i].s.polls, i != victim ? 2 : victim <= killer ? 1 : 0);
			assert_int_equal(c.cpu->poll_count, 2);
			for (unsigned i = 0; i < 3; i++)
				ob_poll_stop(&n[i].s.poll);
			assert_int_equal(c.cpu->poll_count, 0);
			assert_int_equal(c.cpu->busy_count, 0);
			context_close(&c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupt_mode_polls_only_after_an_interrupt),
		cmocka_unit_test(test_interrupt_mode_arming_race_loses_nothing),
		cmocka_unit_test(test_interrupt_mode_interrupt_inside_disarming_lists_once),
		cmocka_unit_test(test_interrupt_mode_started_with_work_takes_it),
		cmocka_unit_test(test_interrupt_mode_busy_source_leaves_room_for_another),
		cmocka_unit_test(test_polled_mode_polls_each_turn_and_looks_once_a_millisecond),
		cmocka_unit_test(test_polled_mode_sees_descriptors_in_time),
		cmocka_unit_test(test_hybrid_mode_polls_for_its_window_then_arms),
		cmocka_unit_test(test_hybrid_mode_arming_race_loses_nothing),
		cmocka_unit_test(test_hybrid_mode_keeps_to_its_share),
		cmocka_unit_test(test_hybrid_mode_with_all_of_the_cpu_arms_once),
		cmocka_unit_test(test_stop_from_within_completions_touches_nothing_afterwards),
		cmocka_unit_test(test_stop_of_a_neighbour_keeps_the_list_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
