/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes: the requests of one CPU, who gets them, and telling clients once per turn. */
#include "serve/vhost_user/lane.h"

#include <errno.h>

#include "base/list.h"
#include "serve/vhost_user/queue.h"

/* What ended in this turn is published together: one store, at most one signal for each queue. */
static void on_flush(struct ob_work *work)
{
	struct vu_lane *lane = container_of(work, struct vu_lane, flush);

	while (lane->dirty != NULL) {
		struct vu_queue *queue = lane->dirty;

		lane->dirty = queue->dirty_next;
		queue->is_dirty = false;
		vu_queue_flush(queue);
	}
}

void vu_lane_dirty(struct vu_lane *lane, struct vu_queue *queue)
{
	if (queue->is_dirty)
		return;
	if (lane->dirty == NULL)
		ob_cpu_post(lane->cpu, &lane->flush);
	queue->is_dirty = true;
	queue->dirty_next = lane->dirty;
	lane->dirty = queue;
}

/* ---- requests ---- */

static void join(struct vu_lane *lane, struct vu_queue *queue)
{
	if (queue->is_waiting)
		return;
	queue->is_waiting = true;
	queue->waiting_next = NULL;
	if (lane->waiting_last != NULL)
		lane->waiting_last->waiting_next = queue;
	else
		lane->waiting_first = queue;
	lane->waiting_last = queue;
}

void vu_lane_leave(struct vu_lane *lane, struct vu_queue *queue)
{
	struct vu_queue **link = &lane->waiting_first, *previous = NULL;

	if (!queue->is_waiting)
		return;
	while (*link != queue) {
		previous = *link;
		link = &previous->waiting_next;
	}
	*link = queue->waiting_next;
	if (lane->waiting_last == queue)
		lane->waiting_last = previous;
	queue->is_waiting = false;
	/* What was kept for it is the next one's. */
	if (lane->free != NULL && lane->waiting_first != NULL)
		vu_queue_wake(lane->waiting_first);
}

struct vu_request *vu_lane_take(struct vu_lane *lane, struct vu_queue *queue)
{
	struct vu_request *request = lane->free;

	if (request == NULL || (lane->waiting_first != NULL && lane->waiting_first != queue)) {
		join(lane, queue);
		return NULL;
	}
	lane->free = request->next;
	request->queue = queue;
	vu_lane_leave(lane, queue);
	return request;
}

void vu_lane_give(struct vu_lane *lane, struct vu_request *request)
{
	request->queue = NULL;
	request->next = lane->free;
	lane->free = request;
	if (lane->waiting_first != NULL)
		vu_queue_wake(lane->waiting_first);
}

/* ---- life ---- */

int vu_lane_open(struct vu_lane *lane, struct ob_block *block, const struct ob_block_channel_config *config)
{
	struct ob_block_limits limits;
	int ret;

	*lane = (struct vu_lane){.cpu = config->cpu};
	ob_work_init(&lane->flush, on_flush);
	ret = ob_block_channel_open(block, config, &lane->channel);
	if (ret != 0)
		return ret;
	lane->request_count = ob_block_channel_depth(lane->channel);
	lane->requests = ob_alloc(lane->request_count * sizeof(*lane->requests));
	ob_block_limits(block, &limits);
	lane->sink = ob_alloc(limits.block_bytes);
	if (lane->requests == NULL || lane->sink == NULL) {
		vu_lane_close(lane);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < lane->request_count; i++) {
		lane->requests[i].next = lane->free;
		lane->free = &lane->requests[i];
	}
	return 0;
}

static void nothing(void *arg)
{
}

void vu_lane_close(struct vu_lane *lane)
{
	ob_block_channel_close(lane->channel); /* ends what is in flight */
	/* A completion may just have posted the work: let the CPU pass it. */
	if (lane->requests != NULL)
		ob_cpu_call(lane->cpu, nothing, NULL, ob_deadline(OB_NS_PER_S));
	ob_free(lane->requests);
	ob_free(lane->sink);
	*lane = (struct vu_lane){0};
}
