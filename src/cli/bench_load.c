/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load of `outboard bench`: per CPU one thread, one channel and a fixed number of requests that are submitted again
 * as they end. The first worker is the command's own thread. With a rate, requests are
 * submitted when they are due instead, by a timer or, polled, by a look at the clock in each step. Nothing is allocated and no lock taken after the start.
 */
#include "cli/bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "cli/output.h"
#include "cli/progress.h"

#define POLL_BUDGET    64
#define IDLE_POLLS     32 /* polled: between two looks at the clock, where nothing ends; it may be a system call */
#define TURN_PERIOD_NS (OB_NS_PER_MS)      /* polled: timers and messages get a turn so often */
#define TURN_SLEEP_NS  (10 * OB_NS_PER_MS) /* interrupt: how soon the end is seen */
#define JOIN_SLEEP_NS  OB_NS_PER_MS        /* … that of another worker, when some have ended */
#define DRAIN_NS       (120 * OB_NS_PER_S) /* longer than any driver's timeout and reset */

struct bench;

struct item {
	struct ob_block_request request;
	struct ob_segment segment;
	uint64_t start_ns;
	struct item *next; /* parked, or resting */
};

struct worker {
	struct bench *bench;
	struct ob_cpu *cpu;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct item *items;
	unsigned depth, in_flight;
	struct item *parked; /* the channel was full */
	bool polled, unkicked, stopping;
	/* with a rate */
	uint64_t period_ns, due_ns; /* 0: what ends is followed by the next */
	struct item *resting;       /* not in flight */
	struct ob_timer pacer;      /* at due_ns; not polled, nor while all are in flight */
	bool starved;               /* all are in flight, and one is or was due */
	struct histogram *late;
	uint64_t now_ns; /* one look at the clock serves what ends in one step; 0: nobody has looked yet */
	unsigned idle;   /* polled: polls since then that found nothing */
	uint64_t random;
	uint64_t lba, lba_first, lba_end; /* sequential */
	uint64_t ended;                   /* read by the thread that shows progress */
	uint64_t stopped_ns;
	uint64_t loop_ns; /* CPU time of the loop until then */
	struct histogram *read, *write;
	/* the first failure */
	int error;
	struct ob_block_request failed;
	pthread_t thread;
	bool started, joined;
	unsigned finished; /* atomic */
};

struct bench {
	struct cli *cli;
	struct ob_block *block;
	const struct bench_config *config;
	struct ob_block_limits limits;
	uint32_t blocks;    /* per request */
	uint64_t positions; /* that a request can be at */
	uint64_t end_ns;
	unsigned stop; /* atomic */
	struct worker *workers;
	struct progress progress;
	uint64_t shown_ended, shown_ns;
};

static bool stopping(const struct bench *b)
{
	return __atomic_load_n(&b->stop, __ATOMIC_RELAXED);
}

static void stop_all(struct bench *b)
{
	__atomic_store_n(&b->stop, 1u, __ATOMIC_RELAXED);
}

/* splitmix64 */
static uint64_t next_random(struct worker *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t next_lba(struct worker *w, uint64_t random)
{
	const struct bench *b = w->bench;
	uint64_t lba;

	if (!b->config->sequential)
		return (uint64_t)(((unsigned __int128)random * b->positions) >> 64) * b->blocks;
	lba = w->lba;
	w->lba += b->blocks;
	if (w->lba + b->blocks > w->lba_end)
		w->lba = w->lba_first;
	return lba;
}

static void failed(struct worker *w, const struct ob_block_request *request, int error)
{
	if (!w->error) {
		w->error = error;
		w->failed = *request;
	}
	stop_all(w->bench);
}

static void submit(struct worker *w, struct item *item)
{
	int error = ob_block_submit(w->channel, &item->request);

	if (error == -EAGAIN) {
		item->next = w->parked;
		w->parked = item;
		return;
	}
	if (error) {
		failed(w, &item->request, error);
		return;
	}
	w->in_flight++;
	w->unkicked = true;
}

static uint64_t step_time(struct worker *w)
{
	if (w->now_ns == 0)
		w->now_ns = ob_now_ns();
	return w->now_ns;
}

static void start_item(struct worker *w, struct item *item)
{
	uint64_t random = next_random(w);
	uint64_t percent = ((random & 0xffffffff) * 100) >> 32;

	item->request.op = percent < w->bench->config->read_percent ? OB_BLOCK_READ : OB_BLOCK_WRITE;
	item->request.lba = next_lba(w, next_random(w));
	item->start_ns = step_time(w);
	submit(w, item);
}

/* Submit what is due, as far as there are requests. */
static void pace(struct worker *w, uint64_t now)
{
	while (w->due_ns <= now && w->resting && !w->stopping) {
		struct item *item = w->resting;

		w->resting = item->next;
		histogram_record(w->late, now - w->due_ns);
		w->due_ns += w->period_ns;
		start_item(w, item);
	}
	/* Without one at rest, the next that ends goes on. */
	w->starved = !w->resting;
	if (!w->polled && !w->starved && !w->stopping)
		ob_timer_start(&w->pacer, w->due_ns);
}

static void pacer_fired(struct ob_timer *timer)
{
	struct worker *w = (struct worker *)(void *)((char *)timer - offsetof(struct worker, pacer));

	pace(w, step_time(w));
}

static void rest(struct worker *w, struct item *item)
{
	item->next = w->resting;
	w->resting = item;
}

static void on_done(struct ob_block_request *request)
{
	struct item *item = (struct item *)(void *)request; /* its first member */
	struct worker *w = request->arg;
	uint64_t now = step_time(w);

	w->in_flight--;
	if (request->status) {
		/* Cancelled by the close after a signal is no failure. */
		if (!cli_interrupted())
			failed(w, request, request->status);
		return;
	}
	if (w->stopping)
		return; /* what ends after the time is over does not count */
	histogram_record(request->op == OB_BLOCK_READ ? w->read : w->write, now - item->start_ns);
	OB_WRITE_ONCE(w->ended, w->ended + 1);
	if (w->period_ns == 0) {
		start_item(w, item);
		return;
	}
	rest(w, item);
	if (w->starved || w->due_ns <= now)
		pace(w, now);
}

static void unpark(struct worker *w)
{
	struct item *item = w->parked;

	w->parked = NULL;
	while (item) {
		struct item *next = item->next;

		submit(w, item);
		item = next;
	}
}

static void kick(struct worker *w)
{
	if (OB_UNLIKELY(w->parked != NULL) && !w->stopping)
		unpark(w);
	if (!w->unkicked)
		return;
	w->unkicked = false;
	ob_block_kick(w->channel);
}

static void show(struct bench *b)
{
	uint64_t ended = 0, now = ob_now_ns();
	uint64_t left = b->end_ns > now ? b->end_ns - now : 0;
	char rate[TEXT_MAX];

	for (unsigned i = 0; i < b->config->cpus; i++)
		ended += OB_READ_ONCE(b->workers[i].ended);
	if (b->shown_ns)
		text_count(rate, (double)(ended - b->shown_ended) * 1e9 / (double)(now - b->shown_ns));
	else
		text_count(rate, 0);
	progress_text(&b->progress, "  %s IOPS  %.0f s left", rate, (double)left / 1e9);
	b->shown_ended = ended;
	b->shown_ns = now;
}

/* One step of a worker's loop; returns the time, or 0 when it did not look at the clock. */
static uint64_t step(struct worker *w, uint64_t *turned_ns)
{
	uint64_t now;

	w->now_ns = 0;
	if (!w->polled) {
		ob_cpu_turn(w->cpu, TURN_SLEEP_NS);
		kick(w);
		return ob_cpu_time_ns(w->cpu);
	}
	ob_block_poll(w->channel, POLL_BUDGET);
	if (w->period_ns > 0)
		pace(w, step_time(w));
	kick(w);
	if (w->now_ns == 0 && ++w->idle < IDLE_POLLS)
		return 0;
	w->idle = 0;
	now = step_time(w);
	if (now - *turned_ns >= TURN_PERIOD_NS) {
		*turned_ns = now;
		w->now_ns = 0; /* what ends in the turn was submitted since, perhaps by an exit that took long */
		ob_cpu_turn(w->cpu, 0);
		kick(w);
	}
	return now;
}

static void drain(struct worker *w)
{
	uint64_t turned_ns = 0, deadline = ob_deadline(DRAIN_NS);

	while (w->in_flight && !cli_interrupted() && step(w, &turned_ns) < deadline)
		;
	if (w->in_flight && !cli_interrupted())
		failed(w, &w->items[0].request, -ETIMEDOUT);
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * OB_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void start_load(struct worker *w)
{
	struct bench *b = w->bench;

	if (b->config->rate == 0) {
		for (unsigned i = 0; i < w->depth; i++)
			start_item(w, &w->items[i]);
		return;
	}
	/* A request is due at a nanosecond, not within fifty microseconds of it. */
	prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
	for (unsigned i = w->depth; i > 0; i--)
		rest(w, &w->items[i - 1]);
	w->period_ns = OB_NS_PER_S * b->config->cpus / b->config->rate;
	w->due_ns = ob_now_ns() + w->period_ns * (uint64_t)(w - b->workers) / b->config->cpus;
	ob_timer_init(&w->pacer, w->cpu, pacer_fired);
	if (!w->polled)
		ob_timer_start(&w->pacer, w->due_ns);
}

static void work(struct worker *w)
{
	struct bench *b = w->bench;
	uint64_t now, turned_ns = 0;

	w->loop_ns = thread_cpu_ns();
	w->polled = ob_block_channel_mode(w->channel) == OB_COMPLETION_POLLED;
	w->now_ns = 0;
	start_load(w);
	do {
		kick(w);
		now = step(w, &turned_ns);
		if (w == b->workers && progress_due(&b->progress))
			show(b);
		if (cli_interrupted())
			stop_all(b);
	} while (now < b->end_ns && !stopping(b));
	w->stopping = true;
	w->stopped_ns = ob_now_ns(); /* the last turn may have slept */
	w->loop_ns = thread_cpu_ns() - w->loop_ns;
	if (w->period_ns > 0)
		ob_timer_stop(&w->pacer);
	drain(w);
	__atomic_store_n(&w->finished, 1u, __ATOMIC_RELEASE);
}

static void *thread_main(void *arg)
{
	struct worker *w = arg;

	ob_cpu_turn(w->cpu, 0); /* makes this thread the CPU's home */
	work(w);
	return NULL;
}

/* ---- setting up and taking down ---- */

static int open_buffers(struct worker *w)
{
	const struct bench *b = w->bench;
	size_t size = b->config->size_bytes;
	int error = ob_window_create(ob_device_machine(ob_block_device(b->block)), w->depth * size, &w->window);

	if (!error)
		error = ob_block_grant(b->block, w->window);
	if (error)
		return error;
	for (size_t at = 0; b->config->read_percent < 100 && at + 8 <= w->window->len_bytes; at += 8) {
		uint64_t random = next_random(w);

		memcpy(w->window->base + at, &random, 8);
	}
	for (unsigned i = 0; i < w->depth; i++) {
		struct item *item = &w->items[i];

		item->segment = (struct ob_segment){w->window->base + i * size, size};
		item->request.block_count = b->blocks;
		item->request.segments = &item->segment;
		item->request.segment_count = 1;
		item->request.window = w->window;
		item->request.done = on_done;
		item->request.arg = w;
	}
	return 0;
}

static int open_worker(struct bench *b, unsigned index)
{
	struct worker *w = &b->workers[index];
	struct ob_block_channel_config config = {
		.cpu = ob_cpu_get(b->cli->ob, index),
		.depth = b->config->depth,
		.poll = {.mode = (enum ob_completion_mode)b->config->mode, .cpu_percent = b->config->cpu_share},
	};
	uint64_t slice = b->positions / b->config->cpus;
	int error;

	w->bench = b;
	w->cpu = config.cpu;
	w->random = 0x6f7574626f617264ull + index;
	w->lba_first = w->lba = index * slice * b->blocks;
	w->lba_end = w->lba_first + (slice ? slice : 1) * b->blocks;
	w->read = malloc(sizeof(*w->read));
	w->write = malloc(sizeof(*w->write));
	w->late = malloc(sizeof(*w->late));
	if (!w->read || !w->write || !w->late)
		return -ENOMEM;
	histogram_init(w->late);
	histogram_init(w->read);
	histogram_init(w->write);
	error = ob_block_channel_open(b->block, &config, &w->channel);
	if (error)
		return error;
	w->depth = ob_block_channel_depth(w->channel);
	if (w->depth > b->config->depth)
		w->depth = b->config->depth;
	w->items = calloc(w->depth, sizeof(*w->items));
	return w->items ? open_buffers(w) : -ENOMEM;
}

static void close_worker(struct worker *w)
{
	ob_block_channel_close(w->channel);
	if (w->window)
		ob_window_put(w->window);
	free(w->items);
	free(w->read);
	free(w->write);
	free(w->late);
}

static uint64_t time_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * OB_NS_PER_S + (uint64_t)t->tv_usec * OB_NS_PER_US;
}

/* True: its thread has ended, and its CPU is turned by this one. */
static bool join_worker(struct worker *w)
{
	if (!w->started)
		return true;
	if (!w->joined) {
		if (!__atomic_load_n(&w->finished, __ATOMIC_ACQUIRE))
			return false;
		pthread_join(w->thread, NULL);
		w->joined = true;
	}
	ob_cpu_turn(w->cpu, 0);
	return true;
}

/*
 * The other workers may need CPU 0 until they end: a reset runs there. It asks the CPUs of those that have ended, too, so
 * these are turned on, here, until all channels are closed.
 */
static void join_workers(struct bench *b)
{
	bool joined;

	do {
		joined = true;
		for (unsigned i = 1; i < b->config->cpus; i++)
			joined &= join_worker(&b->workers[i]);
		if (!joined)
			ob_cpu_turn(b->workers[0].cpu, JOIN_SLEEP_NS);
	} while (!joined);
}

static int run_workers(struct bench *b, struct bench_result *result)
{
	struct rusage before, after;
	uint64_t start_ns;
	int error = 0;

	progress_start(&b->progress, b->cli);
	getrusage(RUSAGE_SELF, &before);
	start_ns = ob_now_ns();
	b->end_ns = start_ns + b->config->time_ns;
	for (unsigned i = 1; i < b->config->cpus && !error; i++) {
		struct worker *w = &b->workers[i];

		error = -pthread_create(&w->thread, NULL, thread_main, w);
		w->started = !error;
	}
	if (error)
		stop_all(b);
	else
		work(&b->workers[0]);
	getrusage(RUSAGE_SELF, &after);
	join_workers(b);
	progress_clear();
	for (unsigned i = 0; i < b->config->cpus; i++) {
		if (b->workers[i].stopped_ns > start_ns + result->elapsed_ns)
			result->elapsed_ns = b->workers[i].stopped_ns - start_ns;
	}
	result->user_ns = time_of(&after.ru_utime) - time_of(&before.ru_utime);
	result->system_ns = time_of(&after.ru_stime) - time_of(&before.ru_stime);
	return error;
}

static int collect(struct bench *b, struct bench_result *result)
{
	histogram_init(&result->read);
	histogram_init(&result->write);
	histogram_init(&result->late);
	result->mode = ob_block_channel_mode(b->workers[0].channel);
	result->depth = b->workers[0].depth;
	for (unsigned i = 0; i < b->config->cpus; i++) {
		const struct worker *w = &b->workers[i];

		histogram_merge(&result->read, w->read);
		histogram_merge(&result->write, w->write);
		histogram_merge(&result->late, w->late);
		result->loops_ns += w->loop_ns;
		if (w->error)
			return cli_io_error(b->cli, b->block, ob_block_op_name((enum ob_block_op)w->failed.op),
					    w->failed.lba * b->limits.block_bytes, b->config->size_bytes, w->error,
					    w->failed.protocol_status);
	}
	return cli_interrupted() ? 128 + cli_interrupted() : CLI_OK;
}

int bench_run(struct cli *cli, struct ob_block *block, const struct bench_config *config, struct bench_result *result)
{
	struct bench b = {.cli = cli, .block = block, .config = config};
	int error = 0, code;

	ob_block_limits(block, &b.limits);
	b.blocks = (uint32_t)(config->size_bytes / b.limits.block_bytes);
	b.positions = b.limits.block_count / b.blocks;
	b.workers = calloc(config->cpus, sizeof(*b.workers));
	if (!b.workers)
		return cli_error(cli, CLI_FAILED, "out of memory");
	for (unsigned i = 0; i < config->cpus && !error; i++) {
		error = open_worker(&b, i);
		if (error == -ENOSPC)
			code = cli_error(cli, CLI_USAGE, "%s has queues for %u CPU%s only; see --cpus",
					 ob_block_name(block), i, i == 1 ? "" : "s");
		else if (error)
			code = cli_error(cli, cli_exit_of(error), "%s: channel %u of %u, depth %u: %s",
					 ob_block_name(block), i + 1, config->cpus, config->depth, strerror(-error));
	}
	if (!error) {
		error = run_workers(&b, result);
		code = error ? cli_error(cli, CLI_FAILED, "starting a thread: %s", strerror(-error))
			     : collect(&b, result);
	}
	for (unsigned i = 0; i < config->cpus; i++)
		close_worker(&b.workers[i]);
	free(b.workers);
	return code;
}
