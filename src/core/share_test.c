/* SPDX-License-Identifier: BSD-2-Clause */
/* A hybrid's CPU share, on a clock of the test's own: what it comes to at which rate, and what it buys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "core/share.h"
#include "tests/random.h"

/* What a CPU does, in ns; as measured of a process that sleeps on an eventfd. */
#define WAKE_NS 4000 /* from the interrupt to the poll, and to bed again */
#define ARM_NS  1000
#define WORK_NS 500 /* for each arrival */

enum kind {
	REGULAR,
	POISSON,
	BURSTS, /* eight at a time */
	KIND_COUNT,
};

static const char *const kind_names[] = {"regular", "Poisson", "bursts"};

struct world {
	struct ob_poll_share share;
	struct random random;
	enum kind kind;
	uint64_t mean_ns; /* between arrivals */
	uint64_t now_ns, awake_ns, next_ns;
	unsigned arrivals, found; /* by polling */
};

/* -ln(x) for x in (0, 1], by the series of atanh: no libm for one test. */
static double minus_ln(double x)
{
	double sum = 0, halves = 0, y, term;

	for (; x < 0.5; x *= 2)
		halves += 0.69314718055994531;
	y = (1 - x) / (1 + x);
	term = y;
	for (unsigned i = 1; i < 30; i += 2, term *= y * y)
		sum += term / i;
	return 2 * sum + halves;
}

static void arrive(struct world *w)
{
	w->arrivals++;
	switch (w->kind) {
	case POISSON:
		w->next_ns += (uint64_t)((double)w->mean_ns *
					 minus_ln((double)((random_next(&w->random) >> 11) + 1) / 9007199254740992.0));
		break;
	case BURSTS:
		w->next_ns += w->arrivals % 8 == 0 ? 8 * w->mean_ns : 0;
		break;
	default:
		w->next_ns += w->mean_ns;
	}
}

static void work(struct world *w, uint64_t ns)
{
	w->now_ns += ns;
	w->awake_ns += ns;
}

/* Take what is there. Returns how long to poll then. */
static uint64_t take(struct world *w)
{
	while (w->next_ns <= w->now_ns) {
		arrive(w);
		work(w, WORK_NS);
	}
	return w->share.percent > 0 ? share_window(&w->share, w->now_ns, w->awake_ns) : 0;
}

/* Returns the share of the CPU in per cent. */
static double run(struct world *w, enum kind kind, unsigned rate, unsigned percent, uint64_t time_ns)
{
	*w = (struct world){.random = {rate}, .kind = kind, .mean_ns = OB_NS_PER_S / rate};
	if (percent > 0)
		share_start(&w->share, percent, 0, 0);
	arrive(w);
	while (w->now_ns < time_ns) {
		uint64_t window_ns;

		/* Asleep, unless something came while it went to bed. */
		w->now_ns = MAX(w->now_ns, w->next_ns);
		work(w, WAKE_NS);
		window_ns = take(w);
		while (window_ns > 0 && w->next_ns - w->now_ns <= window_ns && w->now_ns < time_ns) {
			w->found++;
			work(w, w->next_ns - w->now_ns);
			window_ns = take(w);
		}
		work(w, MIN(window_ns, time_ns) + ARM_NS);
	}
	return 100.0 * (double)w->awake_ns / (double)w->now_ns;
}

/* What interrupts take anyway is the least; above it the share is what was asked for, within a tenth. */
static void test_share_is_met_within_a_tenth_at_every_rate(void **state)
{
	static const unsigned rates[] = {300, 1000, 10000, 30000, 100000};
	static const unsigned percents[] = {5, 10, 25, 50, 75, 90};
	struct world w;

	for (unsigned kind = 0; kind < KIND_COUNT; kind++)
		for (size_t r = 0; r < ARRAY_SIZE(rates); r++)
			for (size_t p = 0; p < ARRAY_SIZE(percents); p++) {
				double least = run(&w, (enum kind)kind, rates[r], 0, 2 * OB_NS_PER_S);
				double wanted = MAX(least, (double)percents[p]);
				double got = run(&w, (enum kind)kind, rates[r], percents[p], 4 * OB_NS_PER_S);

				if (got < 0.9 * wanted || got > 1.1 * wanted)
					fail_msg("%s, %u a second, %u %%: took %.1f %%, interrupts alone %.1f %%",
						 kind_names[kind], rates[r], percents[p], got, least);
			}
}

/* Polling through whole gaps, it finds what the share pays for, also where nothing ever comes early in a gap. */
static void test_share_finds_arrivals_in_proportion(void **state)
{
	struct world w;

	for (unsigned percent = 20; percent <= 80; percent += 20) {
		double least = run(&w, REGULAR, 10000, 0, OB_NS_PER_S);
		double pays = 100 * (percent - least) / (100 - least);

		run(&w, REGULAR, 10000, percent, 4 * OB_NS_PER_S);
		assert_true(100.0 * w.found / w.arrivals > 0.9 * pays);
	}
}

static void test_share_of_all_polls_always(void **state)
{
	struct ob_poll_share s;

	share_start(&s, 100, 0, 0);
	assert_true(share_window(&s, 1000, 1000) == UINT64_MAX);
	share_start(&s, 1000, 0, 0);
	assert_int_equal(s.percent, 100);
}

/* An hour of silence is no credit for an hour of polling, and an hour of work no debt of one. */
static void test_share_forgets_what_was_long_ago(void **state)
{
	const uint64_t hour = 3600 * OB_NS_PER_S;
	uint64_t now = hour, awake = 0, asleep = 0;
	struct ob_poll_share s;

	share_start(&s, 10, 0, 0);
	while (share_window(&s, now, awake) > 0 && awake < OB_NS_PER_S) {
		now += OB_NS_PER_US;
		awake += OB_NS_PER_US;
	}
	assert_true(awake <= 30 * OB_NS_PER_MS);
	now += hour;
	awake += hour;
	share_window(&s, now, awake);
	while (share_window(&s, now, awake) == 0 && asleep < hour) {
		now += OB_NS_PER_MS;
		asleep += OB_NS_PER_MS;
	}
	assert_true(asleep <= 300 * OB_NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share_is_met_within_a_tenth_at_every_rate),
		cmocka_unit_test(test_share_finds_arrivals_in_proportion),
		cmocka_unit_test(test_share_of_all_polls_always),
		cmocka_unit_test(test_share_forgets_what_was_long_ago),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
