/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: from zero to the scenario's end, or to the first report. */
#include "sim/world.h"

#include <assert.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "core/fiber.h"

#define SIGNAL_STACK_BYTES (64 * 1024)
#define WATCHDOG_S         20 /* of CPU time between two steps: a loop that touches nothing */

SIM_STATE struct world W __attribute__((aligned(4096)));
uintptr_t world_text_base;

static sigjmp_buf run_end;

/* ---- the way out ---- */

void world_end(void)
{
	W.on = false;
	siglongjmp(run_end, 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	if (!W.on) {
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	W.on = false;
	if (number == SIGVTALRM)
		report_begin("loop", "a loop without any access to memory does not end");
	else
		report_begin("crash", "signal %d at address %p", number, info->si_addr);
	report_here(0);
	report_end();
}

/* Instrumented code's assert() ends here: the C library's own would end the process. */
void __assert_fail(const char *expression, const char *file, unsigned int line, const char *function)
{
	if (!W.on) {
		fprintf(stderr, "%s:%u: %s: assertion failed: %s\n", file, line, function, expression);
		abort();
	}
	report_begin("assertion", "%s:%u: %s: assertion failed: %s", file, line, function, expression);
	report_here(WORLD_PC());
	report_end();
}

void sim_fail(const char *rule, const char *format, ...)
{
	char text[1024];
	va_list args;

	world_capture();
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_begin(rule, "%s", text);
	report_here(WORLD_PC());
	report_end();
}

/* ---- once per process ---- */

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	world_text_base = info->dlpi_addr; /* the program itself comes first */
	return 1;
}

static int watch_signals(void)
{
	static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
	stack_t stack = {.ss_size = SIGNAL_STACK_BYTES};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};

	stack.ss_sp = malloc(stack.ss_size);
	if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (sigaction(numbers[i], &action, NULL) != 0)
			return -errno;
	return 0;
}

int sim_init(void)
{
	static bool done;
	int rc;

	if (done)
		return 0;
	dl_iterate_phdr(find_text, NULL);
	rc = arena_map();
	if (rc == 0)
		rc = race_map();
	if (rc == 0)
		rc = watch_signals();
	done = rc == 0;
	return rc;
}

/* ---- one run ---- */

static void set_defaults(struct sim_config *c)
{
	if (c->preempt_every == 0)
		c->preempt_every = 64;
	if (c->pct_depth == 0)
		c->pct_depth = 3;
	if (c->steps_expected == 0)
		c->steps_expected = 20000;
	if (c->drain_one_in == 0)
		c->drain_one_in = 8;
	if (c->latency_max_ns == 0)
		c->latency_max_ns = 30 * OB_NS_PER_US;
	if (c->time_max_ns == 0)
		c->time_max_ns = 100 * OB_NS_PER_S;
	if (c->steps_max == 0)
		c->steps_max = 20000000;
	if (c->queues == 0)
		c->queues = 4;
}

static void reset(const struct sim_config *config, uint64_t seed)
{
	uint32_t generation = W.generation + 1;
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

	arena_reset();
	memset(&W, 0, offsetof(struct world, blocks));
	memset(&W.block_count, 0, sizeof(W) - offsetof(struct world, block_count));
	W.generation = generation;
	W.seed = seed;
	W.hash = seed;
	W.config = *config;
	set_defaults(&W.config);
	W.random_schedule = random_next(&x);
	W.random_memory = random_next(&x);
	W.random_fault = random_next(&x);
	W.random_scenario = random_next(&x);
	W.loaded = -1;
	W.now_ns = OB_NS_PER_S;
	W.device_due_ns = NEVER;
}

static void main_thread(void *arg)
{
	W.scenario->run(&W.config);
	world_capture();
	check_end();
	world_end();
}

void sim_run(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
	     struct sim_result *out)
{
	static void *here;
	struct itimerval watch = {.it_value.tv_sec = WATCHDOG_S};

	out->failed = false;
	out->rule[0] = out->report[0] = '\0';
	reset(config, seed);
	W.result = out;
	W.scenario = scenario;
	setitimer(ITIMER_VIRTUAL, &watch, NULL);
	sched_init();
	iommu_reset();
	machine_reset();
	probe_reset();
	simdev_init();
	if (sigsetjmp(run_end, 0) == 0) {
		struct thread *first = sched_spawn("main", main_thread, NULL);

		W.current = first;
		weak_load_view((int)first->id);
		W.on = true;
		fiber_arch_switch(&here, first->sp);
	}
	W.on = false;
	out->hash = W.hash;
	out->steps = W.steps;
	out->switches = W.switches;
	out->now_ns = W.now_ns;
	out->commands = W.commands;
	out->scheduled = W.hard_preemptions;
}

/* ---- what a seed decides ---- */

void sim_swarm(uint64_t seed, struct sim_config *c)
{
	static const unsigned rates[] = {4, 16, 64, 256, 1024};
	uint64_t x = seed ^ 0x5eed5eed5eed5eedull;

	c->strategy = random_one_in(&x, 3) ? SIM_PCT : SIM_RANDOM;
	c->preempt_every = rates[random_below(&x, ARRAY_SIZE(rates))];
	c->pct_depth = 3 + (unsigned)random_below(&x, 6);
	c->steps_expected = 2000u << random_below(&x, 6);
	c->stall_one_in = random_below(&x, 3) == 0 ? 2 + (unsigned)random_below(&x, 6) : 0;
	c->warp = random_one_in(&x, 2);
	c->drain_one_in = 2u << random_below(&x, 6);
	c->latency_max_ns = OB_NS_PER_US << random_below(&x, 8);
	c->preempt_hard = !random_one_in(&x, 4);
	c->loose_interrupts = random_one_in(&x, 3);
	c->pin_interrupts = random_one_in(&x, 6);
	c->shadow_doorbells = random_one_in(&x, 3);
	c->queues = 1 + (unsigned)random_below(&x, 4);
}

void sim_swarm_faults(uint64_t seed, struct sim_config *c)
{
	uint64_t x = seed ^ 0xfa017fa017fa017full;

	c->hang_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->slow_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->fail_one_in = random_one_in(&x, 3) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->interrupt_lost_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->interrupt_spurious_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 10) : 0;
	c->completion_bad_one_in = random_one_in(&x, 4) ? 2 + (unsigned)random_below(&x, 20) : 0;
	c->call_fails_one_in = random_one_in(&x, 4) ? 4u << random_below(&x, 7) : 0;
	c->remove_at_commands = random_one_in(&x, 5) ? 1 + random_below(&x, 40) : 0;
}

uint64_t sim_random(uint64_t count)
{
	return random_below(&W.random_scenario, count);
}

void sim_log(void *arg, int level, const char *message)
{
	snprintf(W.log[W.log_count++ % LOG_LINES], LOG_LEN, "%llu.%06llu %s",
		 (unsigned long long)(W.now_ns / OB_NS_PER_S),
		 (unsigned long long)(W.now_ns % OB_NS_PER_S / OB_NS_PER_US), message);
}
