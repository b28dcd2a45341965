/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slow path: requests that are split, bounced, followed by a flush, or that wait for room.
 *
 * Nothing here calls a done function: what ends is handed back to submit.c or put aside there.
 *
 * FUA on a device without it: all children are written, then one flush is sent when they have ended, for a flush covers
 * the writes that ended before it was submitted. Without a volatile cache there is nothing to flush.
 */
#include <errno.h>

#include "block/block.h"

/* Take a parent with an error out of the queue, send the flush where one is due. Whether the parent has ended. */
static bool parent_settle(struct block_channel *c, struct ob_block_request *parent)
{
	struct block_parent *p = block_parent(parent);

	if (parent->status != 0 && p->queued)
		block_queue_remove(c, parent);
	if (p->queued || p->children > 0)
		return false;
	if (parent->status == 0 && p->flush == BLOCK_FLUSH_AFTER) {
		if ((c->special & BLOCK_CLOSING) != 0) {
			parent->status = c->gone ? -ENODEV : -ECANCELED;
			return true;
		}
		p->flush = BLOCK_FLUSH_NOW;
		block_queue_push(c, parent);
		return false;
	}
	return true;
}

/* ---- feeding the driver ---- */

/* Returns false when the driver has no room: the child stalls. */
static bool child_send(struct block_channel *c, struct block_child *child)
{
	int ret = block_to_driver(c, &child->request, BLOCK_CHILD);

	if (ret == -EAGAIN) {
		c->stalled = child;
		return false;
	}
	if (ret != 0) {
		child->request.status = ret;
		block_defer_end(c, &child->request);
	}
	return true;
}

static bool stalled_send(struct block_channel *c)
{
	struct block_child *child = c->stalled;

	c->stalled = NULL;
	return child_send(c, child);
}

/* Out of the queue first: the driver may end it at once, which links it elsewhere. */
static bool request_send(struct block_channel *c)
{
	struct ob_block_request *request = block_queue_pop(c);
	int ret = block_to_driver(c, request, BLOCK_DRIVER);

	if (ret == -EAGAIN) {
		block_queue_push_front(c, request);
		return false;
	}
	if (ret != 0) {
		request->status = ret;
		block_defer_end(c, request);
	}
	return true;
}

static bool parent_send(struct block_channel *c, struct ob_block_request *parent)
{
	struct block_parent *p = block_parent(parent);
	struct block_child *child;

	if (!block_wait_hold(parent)) {
		/* Nobody waits for it any more; its memory may hold anything. */
		parent->status = -ECANCELED;
		if (parent_settle(c, parent))
			block_defer_end(c, parent);
		return true;
	}
	child = block_child_create(c, parent);
	block_wait_release(parent);
	if (child == NULL)
		return false;
	if (p->next_block == parent->block_count)
		block_queue_remove(c, parent);
	return child_send(c, child);
}

/* Returns whether the driver was given anything. */
static bool slow_run(struct block_channel *c)
{
	bool sent = false, room = true;

	if ((c->special & BLOCK_CLOSING) != 0)
		return false;
	while (room && (c->stalled != NULL || c->queue_first != NULL)) {
		if (c->stalled != NULL)
			room = stalled_send(c);
		else if (c->queue_first->state == BLOCK_PARENT)
			room = parent_send(c, c->queue_first);
		else
			room = request_send(c);
		sent = sent || room;
	}
	block_queue_update(c);
	return sent;
}

void block_slow_continue(struct block_channel *c)
{
	if (slow_run(c))
		ob_block_kick(&c->pub);
}

void block_retry(struct ob_timer *timer)
{
	block_slow_continue(container_of(timer, struct block_channel, retry));
}

void block_slow_start(struct block_channel *c, struct ob_block_request *request)
{
	const struct ob_block_limits *l = &c->limits;
	struct block_parent *p = block_parent(request);
	bool emulate = (request->flags & OB_BLOCK_FUA) != 0 && (!l->fua || request->op == OB_BLOCK_TRIM);

	*p = (struct block_parent){.flush = emulate && l->volatile_cache ? BLOCK_FLUSH_AFTER : BLOCK_FLUSH_NO};
	request->state = BLOCK_PARENT;
	block_queue_push(c, request);
	/* The caller kicks. */
	if (c->queue_first == request && c->stalled == NULL)
		slow_run(c);
}

/* ---- taking back ---- */

struct ob_block_request *block_child_end(struct block_channel *c, struct ob_block_request *request)
{
	struct block_child *child = (struct block_child *)(void *)request;
	struct ob_block_request *parent = request->parent;

	if (request->status == 0) {
		block_child_copy_out(child);
	} else if (parent->status == 0) {
		parent->status = request->status;
		parent->protocol_status = request->protocol_status;
	}
	block_child_destroy(c, child);
	return parent_settle(c, parent) ? parent : NULL;
}

/* ---- giving up ---- */

static void stalled_drop(struct block_channel *c)
{
	struct block_child *child = c->stalled;

	c->stalled = NULL;
	block_child_destroy(c, child);
}

/* Set the status of a parent that would still have sent something. */
static void parent_stop(struct block_channel *c, struct ob_block_request *parent, int status)
{
	struct block_parent *p = block_parent(parent);
	bool stalled = c->stalled != NULL && c->stalled->request.parent == parent;

	if (parent->status == 0 && (p->queued || stalled || p->flush != BLOCK_FLUSH_NO))
		parent->status = status;
	if (stalled)
		stalled_drop(c);
}

void block_parent_cancel(struct block_channel *c, struct ob_block_request *parent)
{
	parent_stop(c, parent, -ECANCELED);
	if (parent_settle(c, parent)) {
		block_defer_end(c, parent);
	} else if (c->pub.ops->cancel != NULL) {
		for (unsigned i = 0; i < c->child_count; i++) {
			struct block_child *child = &c->children[i];

			if (!child->used || child->request.parent != parent || child->request.state != BLOCK_CHILD)
				continue;
			c->special |= BLOCK_IN_DRIVER;
			c->pub.ops->cancel(&c->pub, &child->request);
			c->special &= (uint8_t)~BLOCK_IN_DRIVER;
		}
	}
	block_queue_update(c);
	block_slow_continue(c);
}

void block_queue_fail(struct block_channel *c, int status)
{
	struct ob_block_request *request;

	/* A stalled child's parent may have left the queue: its last child was made. */
	if (c->stalled != NULL) {
		struct ob_block_request *parent = c->stalled->request.parent;

		parent_stop(c, parent, status);
		if (!block_parent(parent)->queued && parent_settle(c, parent))
			block_defer_end(c, parent);
	}
	while ((request = block_queue_pop(c)) != NULL) {
		if (request->status == 0)
			request->status = status;
		if (request->state == BLOCK_WAITING || parent_settle(c, request))
			block_defer_end(c, request);
	}
}
