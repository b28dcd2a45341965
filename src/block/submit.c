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
#include <string.h>

#include "block/block.h"
#include "core/watch.h"

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

static inline int to_driver(struct block_channel *c, struct ob_block_request *request, enum block_state state)
{
	int ret;

	/* Both in one store. */
	request->protocol_status = 0;
	request->state = (uint16_t)state;
	/* Kept there rather than in a register across the call, where only a refusal needs it. */
	c->submitting = request;
	c->special |= BLOCK_IN_DRIVER;
	watch_request_down(request, c->pub.dma_index);
	ret = c->submit(&c->pub, request);
	if (OB_UNLIKELY(ret != 0))
		watch_request_up(request, ret, true);
	c->special &= (uint8_t)~BLOCK_IN_DRIVER;
	return ret;
}

/* The driver may have nothing whose end would tell of room, so somebody must ask again. */
static int driver_refused(struct block_channel *c, int error)
{
	struct ob_block_request *request = c->submitting;

	request->state = BLOCK_WAITING;
	if (error == -EAGAIN)
		ob_timer_start(&c->retry, ob_cpu_time_ns(c->pub.cpu) + BLOCK_RETRY_NS);
	return error;
}

int block_to_driver(struct block_channel *c, struct ob_block_request *request, enum block_state state)
{
	int ret = to_driver(c, request, state);

	return OB_LIKELY(ret == 0) ? 0 : driver_refused(c, ret);
}

/* The driver did not take a request of the user's. */
static __attribute__((noinline)) int submit_refused(struct block_channel *c, int error)
{
	struct ob_block_request *request = c->submitting;

	if (driver_refused(c, error) == -EAGAIN) {
		request->parent = NULL;
		block_queue_push(c, request);
		return 0;
	}
	c->room++;
	request->state = BLOCK_IDLE;
	return error;
}

static __attribute__((noinline)) int submit_long(struct block_channel *c, struct ob_block_request *request)
{
	bool fits;
	int ret;

	if ((c->special & BLOCK_CLOSING) != 0)
		return -ENODEV;
	ret = block_check(c, request, &fits);
	if (ret != 0) {
		c->pub.stats.refused++;
		return ret;
	}
	if (c->room == 0)
		return -EAGAIN;
	request->channel = &c->pub;
	request->parent = NULL;
	request->status = 0;
	OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_SUBMIT, (uintptr_t)request, request->op, request->lba);
	c->room--;
	if (request->op == OB_BLOCK_FLUSH && !c->limits.volatile_cache) {
		/* What has ended is durable already. */
		block_defer_end(c, request);
		return 0;
	}
	if (!fits) {
		block_slow_start(c, request);
		return 0;
	}
	if ((c->special & BLOCK_WAITS) != 0) {
		request->state = BLOCK_WAITING;
		block_queue_push(c, request);
		return 0;
	}
	ret = to_driver(c, request, BLOCK_DRIVER);
	return ret == 0 ? 0 : submit_refused(c, ret);
}

static inline bool trace_is_on(const struct block_channel *c)
{
	return OB_READ_ONCE(((const struct ob_cpu_head *)(const void *)c->pub.cpu)->trace_on);
}

/* The first four bytes of a request in one: operation, no flags, so many segments. A constant to the compiler. */
static inline uint32_t head_of(uint8_t op, uint16_t segment_count)
{
	const struct ob_block_request r = {.op = op, .segment_count = segment_count};
	uint32_t head;

	memcpy(&head, &r, sizeof(head));
	return head;
}

/*
 * A read or write of one segment: may it go straight? Settled without computing the device's address: that is the
 * driver's to do. @blocks_max never exceeds block_count; a count of 0 wraps to more than any limit.
 */
static inline bool goes_straight(const struct block_channel *c, const struct ob_block_request *request,
				 uint32_t blocks_max, enum ob_dma_rights rights)
{
	const struct ob_segment *segment = request->segments;
	const struct ob_window *window = request->window;
	uint32_t count = request->block_count;
	size_t offset;

	if (OB_UNLIKELY(count - 1 >= blocks_max || request->lba > c->block_count - count || segment == NULL ||
			window == NULL))
		return false;
	if (OB_UNLIKELY(segment->len_bytes != (uint64_t)count << c->block_shift))
		return false;
	offset = (size_t)((const uint8_t *)segment->base - window->base);
	return OB_LIKELY(offset < window->len_bytes && segment->len_bytes <= window->len_bytes - offset &&
			 (*(const uint32_t *)(const void *)((const uint8_t *)window + c->rights_offset) &
			  (uint32_t)rights) != 0 &&
			 ((uintptr_t)segment->base & c->align_mask) == 0);
}

int ob_block_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct block_channel *c = block_channel(channel);
	uint32_t head;
	bool straight;
	int ret;

	static_assert(offsetof(struct ob_block_request, op) == 0 && offsetof(struct ob_block_request, flags) == 1 &&
			      offsetof(struct ob_block_request, segment_count) == 2,
		      "the head is these three");
	memcpy(&head, request, sizeof(head));
	if (head == head_of(OB_BLOCK_READ, 1))
		straight = goes_straight(c, request, c->fast_blocks[OB_BLOCK_READ], OB_DMA_WRITE);
	else if (head == head_of(OB_BLOCK_WRITE, 1))
		straight = goes_straight(c, request, c->fast_blocks[OB_BLOCK_WRITE], OB_DMA_READ);
	else
		straight = false;
	if (OB_UNLIKELY(!straight || trace_is_on(c)))
		return submit_long(c, request);
	/* The subtraction is the test. */
	if (OB_UNLIKELY(--c->room < 0)) {
		c->room = 0;
		return -EAGAIN;
	}
	request->channel = channel;
	ret = to_driver(c, request, BLOCK_DRIVER);
	if (OB_UNLIKELY(ret != 0))
		ret = submit_refused(c, ret);
	return ret;
}

void ob_block_kick(struct ob_block_channel *channel)
{
	struct block_channel *c = block_channel(channel);

	if (OB_UNLIKELY((c->special & BLOCK_CLOSING) != 0))
		return;
	c->special |= BLOCK_IN_DRIVER;
	channel->ops->kick(channel);
	c->special &= (uint8_t)~BLOCK_IN_DRIVER;
}

/* ---- coming back ---- */

static inline void count_end(struct block_channel *c, const struct ob_block_request *request, int status)
{
	struct ob_block_stats *stats = &c->pub.stats;
	unsigned op = request->op;

	stats->ops[op]++;
	c->ended++;
	if (OB_LIKELY(status == 0))
		c->blocks[op] += request->block_count;
	else
		stats->errors++;
}

static void reap_push(struct block_channel *c, struct ob_block_request *request)
{
	request->next = NULL;
	if (c->reap_last != NULL)
		c->reap_last->next = request;
	else
		c->reap_first = request;
	c->reap_last = request;
}

/* To its owner; the last look at it. */
static inline void hand_out(struct block_channel *c, struct ob_block_request *request)
{
	c->room++;
	if (OB_LIKELY(request->done != NULL))
		request->done(request);
	else
		reap_push(c, request);
}

/* A request with its status, of the user or a child. */
static void complete(struct block_channel *c, struct ob_block_request *request)
{
	if (request->parent != NULL)
		request = block_child_end(c, request);
	if (request != NULL) {
		count_end(c, request, request->status);
		OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_DONE, (uintptr_t)request, (uint32_t)request->status, request->lba);
		request->state = BLOCK_IDLE;
		hand_out(c, request);
	}
	if ((c->special & BLOCK_WAITS) != 0)
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

static void end_nobodys(struct block_channel *c, const struct ob_block_request *request)
{
	watch_misuse("a driver ends a request that it does not have, of block", request->lba);
	ob_err(ob_cpu_context(c->pub.cpu), "%s: the driver ended a request that it does not have (%s, block %llu)",
	       ob_block_name(c->pub.block), ob_block_op_name((enum ob_block_op)request->op),
	       (unsigned long long)request->lba);
}

/* A child, an end that has to wait, one that makes room for others, or none at all. */
static __attribute__((noinline)) void end_long(struct block_channel *c, struct ob_block_request *request, int status,
					       uint16_t protocol_status)
{
	request->state++; /* as the driver gave it back */
	if (request->state == BLOCK_DRIVER) {
		request->parent = NULL;
	} else if (request->state != BLOCK_CHILD) {
		end_nobodys(c, request);
		return;
	}
	watch_request_up(request, status, false);
	request->status = c->gone && status == -ECANCELED ? -ENODEV : status;
	request->protocol_status = protocol_status;
	if ((c->special & (BLOCK_IN_DRIVER | BLOCK_CLOSING)) != 0)
		block_defer_end(c, request);
	else
		complete(c, request);
}

void ob_block_end(struct ob_block_channel *channel, struct ob_block_request *request, int status,
		  uint16_t protocol_status)
{
	struct block_channel *c = block_channel(channel);

	/* From BLOCK_DRIVER to BLOCK_IDLE, and the test in the same step. */
	static_assert(BLOCK_IDLE == 0 && BLOCK_DRIVER == 1, "one down");
	if (OB_UNLIKELY(--request->state != BLOCK_IDLE || c->special != 0 || trace_is_on(c))) {
		end_long(c, request, status, protocol_status);
		return;
	}
	watch_request_up(request, status, false);
	request->status = status;
	request->protocol_status = protocol_status;
	count_end(c, request, status);
	hand_out(c, request);
}

unsigned ob_block_poll(struct ob_block_channel *channel, unsigned budget)
{
	struct block_channel *c = block_channel(channel);
	uint32_t before = c->ended;
	unsigned ended = 0;

	if (OB_UNLIKELY((c->special & BLOCK_CLOSING) != 0))
		return 0;
	if (OB_UNLIKELY(c->ended_first != NULL)) {
		block_drain(c, budget);
		ended = c->ended - before;
	}
	if (OB_LIKELY(ended < budget))
		channel->ops->poll(channel, budget - ended);
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

	if (request->channel != channel || (c->special & BLOCK_CLOSING) != 0)
		return -ENOENT;
	switch (request->state) {
	case BLOCK_DRIVER:
		if (channel->ops->cancel == NULL)
			return 0;
		c->special |= BLOCK_IN_DRIVER;
		channel->ops->cancel(channel, request);
		c->special &= (uint8_t)~BLOCK_IN_DRIVER;
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
