/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The waiting helpers: for tasks, for the thread that turns the channel's CPU, and for any other plain thread, whose
 * request is submitted on the channel's CPU by a call.
 *
 * The request that travels is a copy on the heap, for the caller's own must not be touched once the caller has left. At
 * the deadline the request is cancelled, and its end awaited a second time. Should even that pass (a CPU that nobody
 * turns any more), the copy is abandoned: its end frees it, and the caller's memory is left alone from then on, but for
 * a window that the device may write to directly.
 */
#include <errno.h>
#include <string.h>

#include "block/block.h"
#include "core/cpu.h"

#define SUBMIT_RETRY_NS  (50 * OB_NS_PER_US) /* while the channel is full */
#define ABANDON_RETRY_NS (1 * OB_NS_PER_MS)  /* while a copy is under way */

enum wait_state {
	WAIT_RUNNING,
	WAIT_HELD, /* the channel's CPU copies to or from the caller's memory */
	WAIT_DONE,
	WAIT_ABANDONED,
};

struct block_wait {
	struct ob_block_request request; /* first */
	struct ob_event event;
	unsigned state; /* __atomic, enum wait_state */
	int ret;
	struct ob_segment segments[];
};

/* From one state to another; false when it is in a third. */
static bool wait_move(struct block_wait *w, unsigned from, unsigned to)
{
	return __atomic_compare_exchange_n(&w->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Soft, the channel's CPU. */
static void wait_done(struct ob_block_request *request)
{
	struct block_wait *w = (struct block_wait *)(void *)request;

	if (wait_move(w, WAIT_RUNNING, WAIT_DONE))
		ob_event_signal(&w->event);
	else
		ob_free(w);
}

bool block_wait_hold(const struct ob_block_request *request)
{
	return request->done != wait_done ||
	       wait_move((struct block_wait *)(uintptr_t)request, WAIT_RUNNING, WAIT_HELD);
}

void block_wait_release(const struct ob_block_request *request)
{
	if (request->done == wait_done)
		wait_move((struct block_wait *)(uintptr_t)request, WAIT_HELD, WAIT_RUNNING);
}

static struct block_wait *wait_create(struct ob_block_channel *channel, const struct ob_block_request *request)
{
	size_t list_bytes = request->segments != NULL ? request->segment_count * sizeof(*request->segments) : 0;
	struct block_wait *w = ob_alloc(sizeof(*w) + list_bytes);

	if (w == NULL)
		return NULL;
	w->request = *request;
	w->request.done = wait_done;
	if (request->segments != NULL) {
		memcpy(w->segments, request->segments, list_bytes);
		w->request.segments = w->segments;
	}
	w->request.channel = channel;
	ob_event_init(&w->event, ob_task_current() != NULL ? ob_cpu_current() : channel->cpu);
	return w;
}

/* ---- on the channel's CPU ---- */

static void submit_on_cpu(void *arg)
{
	struct block_wait *w = arg;
	struct ob_block_channel *channel = w->request.channel;

	w->ret = ob_block_submit(channel, &w->request);
	if (w->ret == 0)
		ob_block_kick(channel);
}

static void cancel_on_cpu(void *arg)
{
	struct block_wait *w = arg;

	ob_block_cancel(w->request.channel, &w->request);
}

static int call_on_cpu(struct ob_block_channel *channel, void (*fn)(void *arg), struct block_wait *w,
		       uint64_t deadline_ns)
{
	struct ob_cpu *cpu = channel->cpu;

	if (ob_task_current() != NULL ? ob_cpu_current() == cpu : cpu_is_home(cpu)) {
		fn(w);
		return 0;
	}
	return ob_cpu_call(cpu, fn, w, deadline_ns);
}

/* ---- waiting ---- */

static int wait_submit(struct ob_block_channel *channel, struct block_wait *w, uint64_t deadline_ns)
{
	for (;;) {
		int ret = call_on_cpu(channel, submit_on_cpu, w, deadline_ns);

		if (ret != 0 || w->ret != -EAGAIN)
			return ret != 0 ? ret : w->ret;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		/* Nobody signals yet: this lets the CPU go on for a while. */
		ob_event_wait(&w->event, MIN(deadline_ns, ob_deadline(SUBMIT_RETRY_NS)));
	}
}

/* The deadline passed. Returns the status, with *owned false when the request was abandoned. */
static int wait_cancel(struct ob_block_channel *channel, struct block_wait *w, bool *owned)
{
	uint64_t deadline_ns = ob_deadline(block_channel(channel)->cancel_ns);

	call_on_cpu(channel, cancel_on_cpu, w, deadline_ns);
	while (ob_event_wait(&w->event, deadline_ns) != 0) {
		if (wait_move(w, WAIT_RUNNING, WAIT_ABANDONED)) {
			*owned = false;
			ob_err(ob_cpu_context(channel->cpu), "%s: a cancelled request did not end; its caller gave up",
			       ob_block_name(channel->block));
			return -ETIMEDOUT;
		}
		/* Copying, or done with the signal on its way: both are short. */
		deadline_ns = ob_deadline(ABANDON_RETRY_NS);
	}
	return w->request.status == -ECANCELED ? -ETIMEDOUT : w->request.status;
}

int ob_block_do(struct ob_block_channel *channel, struct ob_block_request *request, uint64_t deadline_ns)
{
	enum cpu_context context = cpu_context();
	struct block_channel *c = block_channel(channel);
	struct block_wait *w;
	bool owned = true;
	int ret;

	if (context == CPU_CONTEXT_SOFT || context == CPU_CONTEXT_HARD)
		return -EDEADLK;
	if (__atomic_load_n(&c->detached, __ATOMIC_ACQUIRE))
		return -ENODEV;
	w = wait_create(channel, request);
	if (w == NULL)
		return -ENOMEM;
	ret = wait_submit(channel, w, deadline_ns);
	if (ret == 0) {
		if (ob_event_wait(&w->event, deadline_ns) == 0)
			ret = w->request.status;
		else
			ret = wait_cancel(channel, w, &owned);
	}
	request->status = ret;
	if (owned) {
		request->protocol_status = w->request.protocol_status;
		ob_free(w);
	}
	return ret;
}

/* ---- one operation each ---- */

static int do_data(struct ob_block_channel *channel, enum ob_block_op op, uint64_t lba, uint32_t block_count,
		   void *buffer, struct ob_window *window, unsigned flags, uint64_t deadline_ns)
{
	uint64_t bytes = (uint64_t)block_count << block_channel(channel)->block_shift;
	struct ob_segment segment = {.base = buffer, .len_bytes = (size_t)bytes};
	struct ob_block_request request = {.op = (uint8_t)op,
					   .flags = (uint8_t)flags,
					   .segment_count = 1,
					   .block_count = block_count,
					   .lba = lba,
					   .segments = &segment,
					   .window = window};

	if (flags > UINT8_MAX)
		return -EINVAL;
	return ob_block_do(channel, &request, deadline_ns);
}

static int do_range(struct ob_block_channel *channel, enum ob_block_op op, uint64_t lba, uint32_t block_count,
		    unsigned flags, uint64_t deadline_ns)
{
	struct ob_block_request request = {
		.op = (uint8_t)op, .flags = (uint8_t)flags, .block_count = block_count, .lba = lba};

	if (flags > UINT8_MAX)
		return -EINVAL;
	return ob_block_do(channel, &request, deadline_ns);
}

int ob_block_read(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, void *buffer,
		  struct ob_window *window, uint64_t deadline_ns)
{
	return do_data(channel, OB_BLOCK_READ, lba, block_count, buffer, window, 0, deadline_ns);
}

int ob_block_write(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, const void *buffer,
		   struct ob_window *window, unsigned flags, uint64_t deadline_ns)
{
	return do_data(channel, OB_BLOCK_WRITE, lba, block_count, (void *)(uintptr_t)buffer, window, flags,
		       deadline_ns);
}

int ob_block_flush(struct ob_block_channel *channel, uint64_t deadline_ns)
{
	return do_range(channel, OB_BLOCK_FLUSH, 0, 0, 0, deadline_ns);
}

int ob_block_write_zeroes(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, unsigned flags,
			  uint64_t deadline_ns)
{
	return do_range(channel, OB_BLOCK_WRITE_ZEROES, lba, block_count, flags, deadline_ns);
}

int ob_block_trim(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, uint64_t deadline_ns)
{
	return do_range(channel, OB_BLOCK_TRIM, lba, block_count, 0, deadline_ns);
}
