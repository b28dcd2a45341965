/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel's queue: requests and parents that wait for room in the driver, a free child or a bounce buffer, first
 * come first served. While it holds anything the straight way is shut, so that nothing overtakes for ever.
 */
#include "block/block.h"

void block_queue_update(struct block_channel *c)
{
	bool waiting = c->queue_first != NULL || c->stalled != NULL;

	if (waiting == ((c->special & BLOCK_WAITS) != 0))
		return;
	c->special ^= BLOCK_WAITS;
	block_channel_gate(c);
}

void block_queue_push(struct block_channel *c, struct ob_block_request *request)
{
	request->next = NULL;
	if (c->queue_last != NULL)
		c->queue_last->next = request;
	else
		c->queue_first = request;
	c->queue_last = request;
	if (request->state == BLOCK_PARENT)
		block_parent(request)->queued = true;
	block_queue_update(c);
}

void block_queue_push_front(struct block_channel *c, struct ob_block_request *request)
{
	request->next = c->queue_first;
	c->queue_first = request;
	if (c->queue_last == NULL)
		c->queue_last = request;
	block_queue_update(c);
}

bool block_queue_remove(struct block_channel *c, struct ob_block_request *request)
{
	struct ob_block_request **link = &c->queue_first, *previous = NULL;

	while (*link != NULL && *link != request) {
		previous = *link;
		link = &previous->next;
	}
	if (*link == NULL)
		return false;
	*link = request->next;
	if (c->queue_last == request)
		c->queue_last = previous;
	request->next = NULL;
	if (request->state == BLOCK_PARENT)
		block_parent(request)->queued = false;
	block_queue_update(c);
	return true;
}

struct ob_block_request *block_queue_pop(struct block_channel *c)
{
	struct ob_block_request *request = c->queue_first;

	if (request != NULL)
		block_queue_remove(c, request);
	return request;
}
