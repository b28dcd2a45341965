/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O path: judge a request, hand it to the driver, take it back, give it to its owner.
 *
 * ob_block_submit() settles the common case (read or write of one segment inside a granted window, within the limits)
 * with comparisons alone; everything else goes through block_check(). No lock, no allocation, no system call, no
 * division; one call through a pointer each way.
 *
 * Done functions never run inside submit, kick or cancel: what a driver ends in there is put aside and handed out by
 * the next poll or turn of the CPU. So a driver that completes inline cannot recurse through a done function that
 * submits.
 */
#include <errno.h>

#include "block/block.h"

static const uint8_t flags_allowed[OB_BLOCK_OP_COUNT] = {
	[OB_BLOCK_WRITE] = OB_BLOCK_FUA,
	[OB_BLOCK_WRITE_ZEROES] = OB_BLOCK_FUA | OB_BLOCK_NO_TRIM,
	[OB_BLOCK_TRIM] = OB_BLOCK_FUA,
};

static bool op_has_data(unsigned op)
{
	return op == OB_BLOCK_READ || op == OB_BLOCK_WRITE || op == OB_BLOCK_COMPARE;
}

/* What the device does with the request's memory. */
static enum ob_dma_rights op_rights(unsigned op)
{
	return op == OB_BLOCK_READ ? OB_DMA_WRITE : OB_DMA_READ;
}

/* ---- judging ---- */

static int check_op(const struct block_channel *c, const struct ob_block_request *r)
{
	const struct ob_block_limits *l = &c->limits;

	if (r->op >= OB_BLOCK_OP_COUNT || (r->flags & ~flags_allowed[r->op]) != 0)
		return -EINVAL;
	if (r->op == OB_BLOCK_FLUSH)
		return r->block_count != 0 || r->segment_count != 0 ? -EINVAL : 0;
	if ((r->op == OB_BLOCK_WRITE_ZEROES && !l->write_zeroes) || (r->op == OB_BLOCK_TRIM && !l->trim) ||
	    (r->op == OB_BLOCK_COMPARE && !l->compare))
		return -EOPNOTSUPP;
	if (l->read_only && r->op != OB_BLOCK_READ && r->op != OB_BLOCK_COMPARE)
		return -EROFS;
	if (r->block_count == 0 || (r->segment_count == 0) == op_has_data(r->op))
		return -EINVAL;
	if (r->lba >= c->block_count || r->block_count > c->block_count - r->lba)
		return -ERANGE;
	if (r->segment_count > l->request_segment_max)
		return -E2BIG;
	return 0;
}

static int check_segments(const struct block_channel *c, const struct ob_block_request *r, bool *fits)
{
	const struct ob_block_limits *l = &c->limits;
	uint64_t bytes = (uint64_t)r->block_count << c->block_shift;
	uint64_t length_mask = MIN(c->align_mask, l->block_bytes - 1);
	uint64_t sum = 0, previous_end = 0;

	if (r->segments == NULL)
		return -EINVAL;
	*fits = r->window != NULL && r->segment_count <= l->segment_max && bytes <= l->transfer_max_bytes;
	for (unsigned i = 0; i < r->segment_count; i++) {
		const struct ob_segment *s = &r->segments[i];
		ob_iova iova;
		int ret;

		if (s->len_bytes == 0 || s->base == NULL || s->len_bytes > bytes - sum)
			return -EINVAL;
		sum += s->len_bytes;
		if (r->window == NULL)
			continue;
		ret = ob_window_iova(r->window, c->pub.dma_index, s->base, s->len_bytes, op_rights(r->op), &iova);
		if (ret != 0)
			return ret;
		if ((iova.addr & c->align_mask) != 0 || (s->len_bytes & length_mask) != 0)
			*fits = false;
		if (i > 0 && ((iova.addr | previous_end) & l->boundary_mask) != 0)
			*fits = false;
		previous_end = iova.addr + s->len_bytes;
	}
	return sum == bytes ? 0 : -EINVAL;
}

int block_check(const struct block_channel *c, const struct ob_block_request *r, bool *fits)
{
	const struct ob_block_limits *l = &c->limits;
	int ret = check_op(c, r);

	*fits = true;
	if (ret != 0)
		return ret;
	if (op_has_data(r->op)) {
		ret = check_segments(c, r, fits);
		if (ret != 0)
			return ret;
	} else if (r->op == OB_BLOCK_WRITE_ZEROES) {
		*fits = r->block_count <= l->zeroes_max_blocks;
	} else if (r->op == OB_BLOCK_TRIM) {
		*fits = r->block_count <= l->trim_max_blocks;
	}
	/* No trim command carries FUA; and the driver of a device without it never sees the flag. */
	if ((r->flags & OB_BLOCK_FUA) != 0 && (!l->fua || r->op == OB_BLOCK_TRIM))
		*fits = false;
	return 0;
}

/* ---- going down ---- */

int block_to_driver(struct block_channel *c, struct ob_block_request *request)
{
	struct ob_block_channel *channel = &c->pub;
	int ret;

	request->state = BLOCK_DRIVER;
	channel->in_flight++;
	c->defer = BLOCK_DEFER_DRIVER;
	ret = channel->ops->submit(channel, request);
	c->defer = 0;
	if (OB_UNLIKELY(ret != 0)) {
		channel->in_flight--;
		request->state = BLOCK_WAITING;
	}
	return ret;
}

/* The driver did not take a request of the user's. */
static int submit_refused(struct block_channel *c, struct ob_block_request *request, int error)
{
	if (error == -EAGAIN) {
		block_queue_push(c, request);
		if (c->pub.in_flight == 0)
			ob_timer_start(&c->retry, ob_deadline(BLOCK_RETRY_NS));
		return 0;
	}
	c->users--;
	request->state = BLOCK_IDLE;
	return error;
}

static int submit_long(struct block_channel *c, struct ob_block_request *request)
{
	bool fits;
	int ret;

	if (c->closing)
		return -ENODEV;
	ret = block_check(c, request, &fits);
	if (ret != 0) {
		c->pub.stats.refused++;
		return ret;
	}
	if (c->users >= c->pub.depth)
		return -EAGAIN;
	request->channel = &c->pub;
	request->parent = NULL;
	request->status = 0;
	request->protocol_status = 0;
	OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_SUBMIT, (uintptr_t)request, request->op, request->lba);
	c->users++;
	if (request->op == OB_BLOCK_FLUSH && !c->limits.volatile_cache) {
		/* What has ended is durable already. */
		block_defer_end(c, request);
		return 0;
	}
	if (!fits) {
		block_slow_start(c, request);
		return 0;
	}
	if (c->waiting) {
		request->state = BLOCK_WAITING;
		block_queue_push(c, request);
		return 0;
	}
	ret = block_to_driver(c, request);
	return ret == 0 ? 0 : submit_refused(c, request, ret);
}

int ob_block_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct block_channel *c = block_channel(channel);
	const struct ob_segment *segment = request->segments;
	const struct ob_window *window = request->window;
	uint32_t count = request->block_count;
	unsigned op = request->op;
	ob_iova iova;
	int ret;

	/* A count of 0 wraps to more than any limit; fast_blocks never exceeds block_count. */
	if (OB_UNLIKELY(op > OB_BLOCK_WRITE || request->segment_count != 1 || window == NULL || segment == NULL ||
			(request->flags & c->slow_flags[op]) != 0 || count - 1 >= c->fast_blocks[op] ||
			request->lba > c->block_count - count || c->users >= channel->depth))
		return submit_long(c, request);
	if (OB_UNLIKELY(segment->len_bytes != (uint64_t)count << c->block_shift ||
			ob_window_iova(window, channel->dma_index, segment->base, segment->len_bytes, op_rights(op),
				       &iova) != 0 ||
			(iova.addr & c->align_mask) != 0))
		return submit_long(c, request);
	request->channel = channel;
	request->parent = NULL;
	OB_TRACE(channel->cpu, OB_TRACE_BLOCK_SUBMIT, (uintptr_t)request, op, request->lba);
	c->users++;
	ret = block_to_driver(c, request);
	return OB_LIKELY(ret == 0) ? 0 : submit_refused(c, request, ret);
}

void ob_block_kick(struct ob_block_channel *channel)
{
	struct block_channel *c = block_channel(channel);

	if (OB_UNLIKELY(c->closing))
		return;
	c->defer = BLOCK_DEFER_DRIVER;
	channel->ops->kick(channel);
	c->defer = 0;
}

/* ---- coming back ---- */

static inline void user_end(struct block_channel *c, struct ob_block_request *request)
{
	struct ob_block_stats *stats = &c->pub.stats;
	unsigned op = request->op;

	stats->ops[op]++;
	if (OB_LIKELY(request->status == 0))
		stats->bytes[op] += (uint64_t)request->block_count << c->block_shift;
	else
		stats->errors++;
	OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_DONE, (uintptr_t)request, (uint32_t)request->status, request->lba);
	request->state = BLOCK_IDLE;
	c->users--;
	c->ended++;
	if (OB_LIKELY(request->done != NULL)) {
		request->done(request);
		return;
	}
	request->next = NULL;
	if (c->reap_last != NULL)
		c->reap_last->next = request;
	else
		c->reap_first = request;
	c->reap_last = request;
}

static inline void complete(struct block_channel *c, struct ob_block_request *request)
{
	if (OB_UNLIKELY(request->parent != NULL))
		request = block_child_end(c, request);
	if (OB_LIKELY(request != NULL))
		user_end(c, request);
	if (OB_UNLIKELY(c->waiting))
		block_slow_continue(c);
}

static void ended_push(struct block_channel *c, struct ob_block_request *request)
{
	request->state = BLOCK_ENDED;
	request->next = NULL;
	if (c->ended_last != NULL)
		c->ended_last->next = request;
	else
		c->ended_first = request;
	c->ended_last = request;
}

void block_defer_end(struct block_channel *c, struct ob_block_request *request)
{
	ended_push(c, request);
	if (!c->posted) {
		c->posted = true;
		ob_cpu_post(c->pub.cpu, &c->work);
	}
}

bool block_drain(struct block_channel *c, unsigned budget)
{
	while (c->ended_first != NULL && budget-- > 0) {
		struct ob_block_request *request = c->ended_first;

		c->ended_first = request->next;
		if (c->ended_first == NULL)
			c->ended_last = NULL;
		complete(c, request);
	}
	return c->ended_first != NULL;
}

void block_work(struct ob_work *work)
{
	struct block_channel *c = container_of(work, struct block_channel, work);

	/* Until the last one is out, who closes waits for this work, so it may be posted again. */
	c->posted = block_drain(c, BLOCK_DRAIN_BUDGET);
	if (c->posted)
		ob_cpu_post(c->pub.cpu, &c->work);
}

static void end_twice(struct block_channel *c, const struct ob_block_request *request)
{
	ob_err(ob_cpu_context(c->pub.cpu), "%s: the driver ended a request that it does not have (%s, block %llu)",
	       ob_block_name(c->pub.block), ob_block_op_name((enum ob_block_op)request->op),
	       (unsigned long long)request->lba);
}

void ob_block_end(struct ob_block_channel *channel, struct ob_block_request *request, int status,
		  uint16_t protocol_status)
{
	struct block_channel *c = block_channel(channel);

	if (OB_UNLIKELY(request->state != BLOCK_DRIVER)) {
		end_twice(c, request);
		return;
	}
	channel->in_flight--;
	request->status = status;
	request->protocol_status = protocol_status;
	if (OB_UNLIKELY(c->defer != 0)) {
		if (c->gone && status == -ECANCELED)
			request->status = -ENODEV;
		block_defer_end(c, request);
		return;
	}
	complete(c, request);
}

unsigned ob_block_poll(struct ob_block_channel *channel, unsigned budget)
{
	struct block_channel *c = block_channel(channel);
	unsigned before = c->ended;

	if (OB_UNLIKELY(c->ended_first != NULL) && !c->closing)
		block_drain(c, budget);
	if (OB_LIKELY(!c->closing && c->ended - before < budget))
		channel->ops->poll(channel, budget - (c->ended - before));
	return c->ended - before;
}

unsigned ob_block_reap(struct ob_block_channel *channel, struct ob_block_request **requests, unsigned max)
{
	struct block_channel *c = block_channel(channel);
	unsigned count = 0;

	while (count < max && c->reap_first != NULL) {
		struct ob_block_request *request = c->reap_first;

		c->reap_first = request->next;
		if (c->reap_first == NULL)
			c->reap_last = NULL;
		request->next = NULL;
		requests[count++] = request;
	}
	return count;
}

int ob_block_cancel(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct block_channel *c = block_channel(channel);

	if (request->channel != channel || c->closing)
		return -ENOENT;
	switch (request->state) {
	case BLOCK_DRIVER:
		if (channel->ops->cancel == NULL)
			return 0;
		c->defer = BLOCK_DEFER_DRIVER;
		channel->ops->cancel(channel, request);
		c->defer = 0;
		return 0;
	case BLOCK_WAITING:
		if (!block_queue_remove(c, request))
			return -ENOENT;
		request->status = -ECANCELED;
		block_defer_end(c, request);
		block_slow_continue(c);
		return 0;
	case BLOCK_PARENT:
		block_parent_cancel(c, request);
		return 0;
	default:
		return -ENOENT;
	}
}
