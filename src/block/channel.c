/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and closing a channel: done by a task of CPU 0, one at a time for each device; other threads and tasks wait
 * for that task.
 *
 * The channel's own CPU alone touches its I/O state, so closing begins there (no more submissions, what waits ends),
 * goes on in the driver (what the device has ends), and is over when every done function has run.
 */
#include <errno.h>

#include "block/object.h"
#include "core/context.h"
#include "core/cpu.h"
#include "core/watch.h"

#define QUIET_POLL_NS (20 * OB_NS_PER_US)

/* A step on CPU 0 that somebody waits for. */
enum step_state {
	STEP_RUNNING,
	STEP_DONE,
	STEP_ABANDONED, /* the waiter's deadline passed: the step frees the channel */
};

/* ---- closing ---- */

/*
 * Call @fn on the channel's CPU; here when that does not answer, which is logged and ends the channel's life on that CPU
 * for good: for a detach alone. Task on CPU 0.
 */
static void detach_call(struct block_channel *c, void (*fn)(void *arg), void *arg)
{
	if (!c->cpu_silent) {
		int ret = ob_cpu_call_firmly(c->pub.cpu, fn, arg, ob_deadline(BLOCK_CALL_NS));

		if (ret == 0)
			return;
		/* Nobody turns that CPU, so nobody submits there either: going on without it is safe enough. */
		ob_err(c->pub.block->ob, "%s: CPU %u does not answer (%d); its channel goes on without it",
		       c->pub.block->name, ob_cpu_index(c->pub.cpu), ret);
		c->cpu_silent = true;
		c->leaked = true; /* that CPU's lists may still lead to it */
	}
	fn(arg);
}

static void stop_on_cpu(void *arg)
{
	struct block_channel *c = arg;

	c->special |= BLOCK_CLOSING;
	block_channel_gate(c);
	if (!c->cpu_silent)
		ob_timer_stop(&c->retry);
	block_queue_fail(c, c->gone ? -ENODEV : -ECANCELED);
}

static void stop_gone_on_cpu(void *arg)
{
	struct block_channel *c = arg;

	c->gone = true;
	stop_on_cpu(c);
}

/* The driver closed its side. What it has not ended by now it never will; children at least can be taken back. */
static void collect_lost_on_cpu(void *arg)
{
	struct block_channel *c = arg;

	for (unsigned i = 0; i < c->child_count; i++) {
		struct ob_block_request *request = &c->children[i].request;

		if (!c->children[i].used || request->state != BLOCK_CHILD)
			continue;
		c->lost++;
		ob_block_end(&c->pub, request, -ECANCELED, 0);
	}
}

struct quiet {
	struct block_channel *c;
	bool quiet;
};

static void look_on_cpu(void *arg)
{
	struct quiet *q = arg;

	q->quiet = q->c->ended_first == NULL && !q->c->posted &&
		   !__atomic_load_n(&q->c->resize_work.pending, __ATOMIC_ACQUIRE);
}

static void drain_on_cpu(void *arg)
{
	block_drain(arg, UINT32_MAX);
}

static void wait_quiet(struct block_channel *c)
{
	uint64_t deadline_ns = ob_deadline(BLOCK_QUIET_NS);
	struct quiet q = {.c = c};

	for (;;) {
		detach_call(c, look_on_cpu, &q);
		if (q.quiet)
			return;
		if (c->cpu_silent || ob_now_ns() >= deadline_ns)
			break;
		ob_task_sleep(ob_deadline(QUIET_POLL_NS));
	}
	c->leaked = true;
	detach_call(c, drain_on_cpu, c);
}

void block_channel_detach(struct block_channel *c, bool gone)
{
	struct ob_block *block = c->pub.block;
	unsigned lost;

	detach_call(c, gone ? stop_gone_on_cpu : stop_on_cpu, c);
	block->ops->channel_close(&c->pub);
	detach_call(c, collect_lost_on_cpu, c);
	wait_quiet(c);
	lost = c->lost + c->pub.depth - (unsigned)c->room;
	if (lost != 0) {
		watch_misuse("a driver closed a channel and did not end all its requests, so many", lost);
		ob_err(block->ob, "%s: the driver closed a channel and kept %u requests", block->name, lost);
	}
	ob_lock(&block->lock);
	list_del(&c->link);
	block_stats_add(&block->closed, c);
	ob_unlock(&block->lock);
	if (!c->leaked)
		block_pool_destroy(c);
	/* From here on ob_block_channel_close() frees it, from any thread. */
	__atomic_store_n(&c->detached, true, __ATOMIC_RELEASE);
}

static void channel_free(struct block_channel *c)
{
	struct ob_block *block = c->pub.block;

	/* A CPU that did not answer may come back to it, and a driver may have left its queue behind for that. */
	if (c->leaked)
		return;
	ob_free(c);
	ob_block_put(block);
}

/* ---- opening ---- */

static int open_locked(struct block_channel *c)
{
	struct ob_block *block = c->pub.block;
	struct ob_block_limits limits;
	unsigned wish;
	int ret;

	if (!block_online(block))
		return -ENODEV;
	ob_block_limits(block, &limits);
	block_channel_set_limits(c, &limits);
	ret = block_pool_create(c, c->bounce_wish);
	if (ret != 0)
		goto err_pool;
	wish = c->pub.depth;
	ret = block->ops->channel_open(block, &c->pub);
	if (ret != 0)
		goto err_pool;
	if (c->pub.depth == 0 || c->pub.depth > wish)
		c->pub.depth = wish;
	c->room = (int)c->pub.depth;
	ob_lock(&block->lock);
	list_add_tail(&block->channels, &c->link);
	ob_unlock(&block->lock);
	return 0;

err_pool:
	block_pool_destroy(c);
	return ret;
}

/* Tasks of CPU 0. */
static void open_step(struct block_channel *c)
{
	block_mutex_lock(c->pub.block);
	c->step_error = open_locked(c);
	ob_mutex_unlock(&c->pub.block->mutex);
}

static void close_step(struct block_channel *c)
{
	block_mutex_lock(c->pub.block);
	if (!c->detached)
		block_channel_detach(c, false);
	ob_mutex_unlock(&c->pub.block->mutex);
}

/* ---- having CPU 0 do it ---- */

static bool step_move(struct block_channel *c, int to)
{
	int from = STEP_RUNNING;

	return __atomic_compare_exchange_n(&c->step_state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void open_task(void *arg)
{
	struct block_channel *c = arg;

	open_step(c);
	if (step_move(c, STEP_DONE)) {
		ob_event_signal(&c->over);
		return;
	}
	if (c->step_error == 0)
		close_step(c);
	channel_free(c);
}

static void close_task(void *arg)
{
	struct block_channel *c = arg;

	close_step(c);
	if (step_move(c, STEP_DONE))
		ob_event_signal(&c->over);
	else
		channel_free(c);
}

/* Return: 0 the step ran; -ETIMEDOUT it still runs and frees the channel; other errors: it never started. */
static int run_on_cpu0(struct block_channel *c, void (*step)(struct block_channel *c), void (*task)(void *arg))
{
	struct ob *ob = c->pub.block->ob;
	struct ob_cpu *cpu0 = ob_cpu_get(ob, 0);
	enum cpu_context context = cpu_context();
	int ret;

	if (context == CPU_CONTEXT_TASK && ob_cpu_current() == cpu0) {
		step(c);
		return 0;
	}
	if (context == CPU_CONTEXT_SOFT || context == CPU_CONTEXT_HARD)
		return -EDEADLK;
	__atomic_store_n(&c->step_state, STEP_RUNNING, __ATOMIC_RELEASE);
	ob_event_init(&c->over, context == CPU_CONTEXT_TASK ? ob_cpu_current() : cpu0);
	ret = ob_task_spawn(cpu0, "block-channel", task, c, NULL);
	if (ret != 0)
		return ret;
	while (ob_event_wait(&c->over, ob_deadline(BLOCK_OPEN_NS)) != 0) {
		if (step_move(c, STEP_ABANDONED)) {
			ob_err(ob, "CPU 0 did not open or close a block channel in time; is it turned?");
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* Closing has nothing to fall back on, so for want of memory it waits a little. */
static int close_on_cpu0(struct block_channel *c)
{
	uint64_t deadline_ns = ob_deadline(BLOCK_CALL_NS);
	int ret;

	while ((ret = run_on_cpu0(c, close_step, close_task)) == -ENOMEM && ob_now_ns() < deadline_ns)
		event_await_memory(c->pub.block->ob);
	return ret;
}

static int channel_create(struct ob_block *block, const struct ob_block_channel_config *config,
			  struct block_channel **out)
{
	struct ob_cpu *cpu = config->cpu != NULL ? config->cpu : ob_cpu_get(block->ob, 0);
	struct block_channel *c;

	if (hooks_fail(block->ob, "block_channel_create"))
		return -ENOMEM;
	c = ob_alloc(sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->pub.ops = block->ops;
	c->submit = block->ops->submit;
	c->pub.block = ob_block_get(block);
	c->pub.cpu = cpu;
	c->pub.depth = config->depth != 0 ? MIN(config->depth, BLOCK_DEPTH_MAX) : BLOCK_DEPTH_DEFAULT;
	c->pub.mode = config->poll.mode;
	c->pub.poll = config->poll;
	c->pub.timeout_ns = config->timeout_ns;
	c->cancel_ns = BLOCK_CANCEL_NS;
	c->bounce_wish = config->bounce_buffers != 0 ? config->bounce_buffers : BLOCK_BOUNCE_DEFAULT;
	list_init(&c->link);
	ob_work_init(&c->work, block_work);
	ob_work_init(&c->resize_work, block_resize_work);
	ob_timer_init(&c->retry, cpu, block_retry);
	*out = c;
	return 0;
}

int ob_block_channel_open(struct ob_block *block, const struct ob_block_channel_config *config,
			  struct ob_block_channel **out)
{
	static const struct ob_block_channel_config defaults = {0};
	struct block_channel *c;
	int ret;

	if (config == NULL)
		config = &defaults;
	if ((unsigned)config->poll.mode > OB_COMPLETION_HYBRID || config->bounce_buffers > BLOCK_BOUNCE_MAX)
		return -EINVAL;
	if (!block_online(block))
		return -ENODEV;
	ret = channel_create(block, config, &c);
	if (ret != 0)
		return ret;
	ret = run_on_cpu0(c, open_step, open_task);
	if (ret == -ETIMEDOUT)
		return ret;
	if (ret == 0)
		ret = c->step_error;
	if (ret != 0) {
		channel_free(c);
		return ret;
	}
	*out = &c->pub;
	return 0;
}

/* What ended and was never reaped is its owner's from here on, with nothing in it that leads to the channel. */
static void release_unreaped(struct block_channel *c)
{
	struct ob_block_request *request;

	while ((request = c->reap_first) != NULL) {
		c->reap_first = request->next;
		request->next = NULL;
		request->channel = NULL;
	}
	c->reap_last = NULL;
}

void ob_block_channel_close(struct ob_block_channel *channel)
{
	struct block_channel *c;
	int ret = 0;

	if (channel == NULL)
		return;
	c = block_channel(channel);
	/* After a removal nothing is left to do, and the context itself may be gone. */
	if (!__atomic_load_n(&c->detached, __ATOMIC_ACQUIRE))
		ret = close_on_cpu0(c);
	if (ret == 0) {
		release_unreaped(c);
		channel_free(c);
	} else if (ret != -ETIMEDOUT) {
		ob_err(c->pub.block->ob, "%s: a channel cannot be closed here (%d); it leaks", c->pub.block->name, ret);
	}
}

/* ---- reading ---- */

unsigned ob_block_channel_depth(const struct ob_block_channel *channel)
{
	return channel->depth;
}

struct ob_block *ob_block_channel_block(const struct ob_block_channel *channel)
{
	return channel->block;
}

struct ob_cpu *ob_block_channel_cpu(const struct ob_block_channel *channel)
{
	return channel->cpu;
}

enum ob_completion_mode ob_block_channel_mode(const struct ob_block_channel *channel)
{
	return channel->mode;
}
