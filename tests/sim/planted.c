/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenarios. Instrumented, as a driver is. */
#include "tests/sim/planted.h"

#include <outboard/cpu.h>

#define ROUNDS_MAX  40
#define THREADS_MAX 3
#define DIES_ONE_IN 100

static unsigned *counter, rounds;

/*
 * Each access is atomic, so there is no race; but what others add between the two is lost. Both read and write: such
 * accesses see the newest value, so it takes a preemption.
 */
static void add(void *arg)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned seen;

		sim_request_begin(&seen);
		seen = __atomic_fetch_add(counter, 0, __ATOMIC_ACQ_REL);
		__atomic_exchange_n(counter, seen + 1, __ATOMIC_ACQ_REL);
		sim_request_end(&seen);
	}
}

static void add_whole(void *arg)
{
	for (unsigned i = 0; i < rounds; i++)
		__atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL);
}

static void count(void (*side)(void *arg))
{
	unsigned threads = sim_cpus(2 + (unsigned)sim_random(THREADS_MAX - 1)), got;

	rounds = sim_load(1 + (unsigned)sim_random(ROUNDS_MAX));
	counter = ob_alloc(sizeof(*counter));
	for (unsigned i = 0; i < threads; i++)
		sim_spawn("adder", side, NULL);
	sim_join_all();
	got = *counter;
	ob_free(counter);
	if (got != threads * rounds)
		sim_fail("lost-update", "%u, not %u", got, threads * rounds);
}

static void run_lost_update(const struct sim_config *config)
{
	count(add);
}

static void run_fine(const struct sim_config *config)
{
	count(add_whole);
}

static void run_dies(const struct sim_config *config)
{
	if (sim_random(DIES_ONE_IN) == 0)
		planted_die();
	count(add_whole);
}

static void run_varies(const struct sim_config *config)
{
	for (unsigned i = planted_count() % 7; i > 0; i--)
		sim_wait_ns(1000);
}

static void run_garbage(const struct sim_config *config)
{
	sim_fail("garbage", "the device calls itself \xff\xfe");
}

static void run_unlucky(const struct sim_config *config)
{
	for (unsigned i = 1; i <= 8; i++)
		if (sim_call_fails("planted"))
			sim_fail("call-failed", "call %u", i);
}

static const char **said;

static void say(void *arg)
{
	for (unsigned i = 0; i < rounds; i++) {
		__atomic_store_n(said, i % 2 == 0 ? "one thing" : "another", __ATOMIC_RELEASE);
		(void)__atomic_load_n(said, __ATOMIC_ACQUIRE);
	}
}

static void run_words(const struct sim_config *config)
{
	rounds = sim_load(ROUNDS_MAX);
	said = ob_alloc(sizeof(*said));
	for (unsigned i = sim_cpus(2); i > 0; i--)
		sim_spawn("speaker", say, NULL);
	sim_join_all();
	ob_free(said);
}

const struct sim_scenario planted_words = {
	.name = "words",
	.help = "threads that hand each other what lies in the program",
	.run = run_words,
};
const struct sim_scenario planted_fine = {.name = "fine", .help = "nothing is wrong", .run = run_fine};
const struct sim_scenario planted_lost_update = {
	.name = "lost-update",
	.help = "threads that add to one counter, and lose some",
	.run = run_lost_update,
};
const struct sim_scenario planted_garbage = {
	.name = "garbage",
	.help = "a report that is not UTF-8",
	.run = run_garbage,
};
const struct sim_scenario planted_varies = {
	.name = "varies",
	.help = "what it does depends on more than its seed",
	.run = run_varies,
};
const struct sim_scenario planted_unlucky = {
	.name = "unlucky",
	.help = "fails where a call of the kit does",
	.run = run_unlucky,
	.faults = SIM_FAULT_BIT(SIM_FAULT_CALL),
};
const struct sim_scenario planted_dies = {.name = "dies", .help = "ends the process now and then", .run = run_dies};
