/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: from zero to the scenario's end, or to the first report. */
#include "sim/world.h"
#include "sim/memory/history.h"
#include "sim/memory/promise.h"

#include <assert.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "core/fiber.h"
#include "sim/fault/fault.h"
#include "sim/snapshot.h"
#include "sim/view/event.h"

#define SIGNAL_STACK_BYTES (64 * 1024)
#define WATCHDOG_S         20 /* of CPU time without a step, or with very few: a loop that touches nothing */

SIM_STATE struct world W __attribute__((aligned(4096)));
uintptr_t world_text_base;
size_t world_text_bytes;

static sigjmp_buf run_end;
static uint32_t generations; /* of the race detector: one for each run */
static void *run_caller;     /* where the thread of the system waits for the run */

/* ---- a loop that touches nothing ---- */

/* 0: off. */
static void watchdog(time_t seconds)
{
	const struct itimerval watch = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_VIRTUAL, &watch, NULL);
}

void world_watched(void)
{
	W.watched = W.steps;
	watchdog(WATCHDOG_S);
}

/* ---- the way out ---- */

void world_end(void)
{
	W.on = false;
	siglongjmp(run_end, 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	if (number == SIGSEGV && snapshot_fault(info->si_addr))
		return;
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
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type == PT_LOAD)
			world_text_bytes = MAX(world_text_bytes, (size_t)(part->p_vaddr + part->p_memsz));
	}
	return 1;
}

static int watch_signals(void)
{
	static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
	static void *memory;
	stack_t stack = {.ss_size = SIGNAL_STACK_BYTES};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};

	memory = memory != NULL ? memory : malloc(stack.ss_size);
	stack.ss_sp = memory;
	if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (sigaction(numbers[i], &action, NULL) != 0)
			return -errno;
	return 0;
}

/* Called again it takes the signals back from whoever took them meanwhile: test libraries do. */
int sim_init(void)
{
	static bool done;
	int rc;

	if (done)
		return watch_signals();
	dl_iterate_phdr(find_text, NULL);
	rc = arena_map();
	if (rc == 0)
		rc = race_map();
	if (rc == 0)
		rc = snapshot_map();
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
	if (c->spin_patience == 0)
		c->spin_patience = 4;
	if (c->latency_max_ns == 0)
		c->latency_max_ns = 30 * OB_NS_PER_US;
	if (c->time_max_ns == 0)
		c->time_max_ns = 100 * OB_NS_PER_S;
	if (c->hard_steps_max == 0)
		c->hard_steps_max = 5000;
	if (c->steps_max == 0)
		c->steps_max = 20000000;
	if (c->queues == 0)
		c->queues = 4;
	if (c->ring_entries == 0)
		c->ring_entries = 64;
}

static void seed_streams(uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

	W.random_schedule = random_next(&x);
	W.random_memory = random_next(&x);
	W.random_fault = random_next(&x);
	W.random_scenario = random_next(&x);
}

static void reset(const struct sim_config *config, uint64_t seed, uint64_t stream_seed)
{
	uint64_t heap_used, dma_used;

	snapshot_drop();
	heap_used = W.heap_used;
	dma_used = W.dma_used;
	memset(&W, 0, offsetof(struct world, blocks));
	memset(&W.block_count, 0, sizeof(W) - offsetof(struct world, block_count));
	arena_forget(heap_used, dma_used);
	W.generation = ++generations;
	W.seed = seed;
	W.hash = stream_seed;
	W.config = *config;
	set_defaults(&W.config);
	seed_streams(stream_seed);
	W.loaded = -1;
	W.now_ns = OB_NS_PER_S;
	W.device_due_ns = NEVER;
	event_reset(W.config.record);
}

static void main_thread(void *arg)
{
	W.scenario->run(&W.config);
	world_capture();
	if (W.preparing) {
		report_begin("simulator", "scenario %s did not come to its checkpoint", W.scenario->name);
		report_end();
	}
	check_end();
	world_end();
}

static void start(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
		  uint64_t stream_seed, struct sim_result *out)
{
	struct thread *first;

	reset(config, seed, stream_seed);
	W.result = out;
	W.scenario = scenario;
	sched_init();
	iommu_reset();
	machine_reset();
	probe_reset();
	check_reset();
	history_reset();
	simdev_init();
	fault_begin();
	first = sched_spawn("main", main_thread, NULL);
	W.current = first;
	weak_load_view((int)first->id);
	W.preparing = scenario->shape != NULL;
	promise_begin();
	W.on = true;
	fiber_arch_switch(&run_caller, first->sp);
}

/*
 * Back from the caller with the part of the run that is its own. What came before is over for the race detector: all
 * threads know of it.
 */
void sim_checkpoint(void)
{
	if (!W.on || !W.preparing)
		return;
	world_capture();
	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++) {
		weak_drain_all(k);
		weak_refresh(k);
	}
	history_drain_everybody();
	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++)
		W.threads[k].floor = W.order;
	for (unsigned k = 1; k < W.thread_count; k++)
		vclock_join(&W.threads[0].clock, &W.threads[k].clock);
	for (unsigned k = 1; k < W.thread_count; k++)
		W.threads[k].clock = W.threads[0].clock;
	for (unsigned k = 0; k < W.thread_count; k++)
		W.threads[k].clock.t[k]++;
	W.preparing = W.on = false;
	W.steps_before = W.steps;
	W.commands_before = W.commands;
	fiber_arch_switch(&W.checkpoint_sp, run_caller);
}

static void go_on(const struct sim_config *config, uint64_t seed, struct sim_result *out)
{
	W.generation = ++generations;
	W.seed = seed;
	W.hash = (W.hash ^ seed) * 0x9e3779b97f4a7c15ull;
	W.config = *config;
	set_defaults(&W.config);
	seed_streams(seed);
	W.result = out;
	memset(W.choices, 0, sizeof(W.choices));
	W.requests_begun = 0;
	sched_init();
	fault_begin();
	promise_begin();
	W.on = true;
	fiber_arch_switch(&run_caller, W.checkpoint_sp);
}

/* One run, whose shape decides all up to the checkpoint, and whose seed decides the rest. */
static void run_from_checkpoint(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
				struct sim_result *out)
{
	static const struct sim_scenario *prepared;
	static struct sim_config shape_prepared;
	static uint64_t shape_seed_prepared;
	struct sim_config shape = {0};
	uint64_t shape_seed = seed / SIM_SHAPE_SEEDS;

	scenario->shape(config, &shape);
	shape.cpus_max = config->cpus_max;
	shape.channels_max = config->channels_max;
	shape.record = config->record;
	if (prepared == scenario && shape_seed == shape_seed_prepared &&
	    memcmp(&shape, &shape_prepared, sizeof(shape)) == 0 && !config->no_snapshot && snapshot_restore()) {
		go_on(config, seed, out);
		return;
	}
	prepared = NULL;
	start(scenario, &shape, seed, shape_seed, out);
	snapshot_take();
	prepared = scenario;
	shape_prepared = shape;
	shape_seed_prepared = shape_seed;
	go_on(config, seed, out);
}

static void run_once(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
		     struct sim_result *out)
{
	out->failed = false;
	out->rule[0] = out->report[0] = '\0';
	watchdog(WATCHDOG_S);
	if (sigsetjmp(run_end, 0) == 0) {
		if (scenario->shape != NULL)
			run_from_checkpoint(scenario, config, seed, out);
		else
			start(scenario, config, seed, seed, out);
	}
	W.on = false;
	watchdog(0);
	out->hash = W.hash;
	out->steps = W.steps - W.steps_before;
	out->switches = W.switches;
	out->now_ns = W.now_ns;
	out->commands = W.commands - W.commands_before;
	out->scheduled = W.hard_preemptions;
	out->requests = W.requests_begun;
	memcpy(out->choices, W.choices, sizeof(out->choices));
	memcpy(out->fault_counts, W.fault_counts, sizeof(out->fault_counts));
}

/* With promises, a second time with one; and once more without, if it was broken. */
void sim_run(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
	     struct sim_result *out)
{
	out->promised = false;
	if (config->promises)
		promise_record(seed);
	else
		promise_give_up();
	run_once(scenario, config, seed, out);
	if (!config->promises || out->failed || !promise_choose())
		return;
	run_once(scenario, config, seed, out);
	out->promised = W.promise == PROMISE_KEPT;
	promise_give_up();
	if (!out->promised)
		run_once(scenario, config, seed, out);
}

void sim_leave(void)
{
	world_capture();
	check_requests();
	world_end();
}

static unsigned at_most(unsigned limit, unsigned wanted)
{
	return limit > 0 && limit < wanted ? limit : wanted;
}

unsigned sim_load(unsigned wanted)
{
	return at_most(W.config.load_max, wanted);
}

unsigned sim_cpus(unsigned wanted)
{
	return at_most(W.config.cpus_max, wanted);
}

unsigned sim_channels(unsigned wanted)
{
	return at_most(W.config.channels_max, wanted);
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
	event_add(EVENT_LOG, W.log_count - 1, 0);
}
