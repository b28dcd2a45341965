/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes: between nbdkit's threads and a CPU of Outboard's. */
#include "serve/nbd/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"

#define SLOT_BYTES_MAX (256 * OB_KIB)
#define SLOT_BYTES_MIN (16 * OB_KIB)
/* Every request ends by the driver's own timeouts (timeout, abort, reset, once more); this is beyond them. */
#define WAIT_NS (600 * OB_NS_PER_S)

/* Between a request's end and a worker whose patience ends: whoever comes second sees the other. */
enum slot_state {
	SLOT_RUNNING,
	SLOT_ENDED,
	SLOT_ABANDONED,
};

static bool slot_move(struct slot *slot, unsigned to)
{
	unsigned from = SLOT_RUNNING;

	return __atomic_compare_exchange_n(&slot->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* ---- on the CPU ---- */

static void slot_end(struct slot *slot, int status)
{
	slot->status = status;
	if (slot_move(slot, SLOT_ENDED))
		ob_event_signal(&slot->ended);
	else
		lane_give(slot); /* its worker has left */
}

static void submit_pending(struct lane *lane)
{
	bool kick = false;

	while (lane->pending) {
		struct slot *slot = lane->pending;
		int error = ob_block_submit(lane->channel, &slot->request);

		if (error == -EAGAIN && lane->in_flight)
			break; /* on_done() comes back to it */
		lane->pending = slot->next;
		if (!lane->pending)
			lane->pending_end = &lane->pending;
		if (error) {
			slot_end(slot, error);
			continue;
		}
		lane->in_flight++;
		kick = true;
	}
	if (kick)
		ob_block_kick(lane->channel);
}

static void on_work(struct ob_work *work)
{
	struct lane *lane = container_of(work, struct lane, work);
	struct slot *newest = __atomic_exchange_n(&lane->queue, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;

	while (newest) {
		struct slot *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	*lane->pending_end = oldest;
	while (*lane->pending_end)
		lane->pending_end = &(*lane->pending_end)->next;
	submit_pending(lane);
}

static void on_done(struct ob_block_request *request)
{
	struct slot *slot = request->arg;
	struct lane *lane = slot->lane;

	lane->in_flight--;
	slot_end(slot, request->status);
	if (lane->pending) /* once per batch of completions */
		ob_cpu_post(lane->cpu, &lane->work);
}

/* ---- on nbdkit's threads ---- */

int lane_take(struct lane *lane, bool try, struct slot **out)
{
	uint64_t deadline_ns = ob_deadline(lane->wait_ns);
	const struct timespec until = {(time_t)(deadline_ns / OB_NS_PER_S), (long)(deadline_ns % OB_NS_PER_S)};
	struct slot *slot;
	int error = try ? -EAGAIN : 0;

	pthread_mutex_lock(&lane->mutex);
	while (!lane->free && !error)
		error = -pthread_cond_clockwait(&lane->freed, &lane->mutex, CLOCK_MONOTONIC, &until);
	slot = lane->free;
	if (slot)
		lane->free = slot->next;
	pthread_mutex_unlock(&lane->mutex);
	*out = slot;
	return slot ? 0 : error;
}

void lane_give(struct slot *slot)
{
	struct lane *lane = slot->lane;

	pthread_mutex_lock(&lane->mutex);
	slot->next = lane->free;
	lane->free = slot;
	pthread_cond_signal(&lane->freed);
	pthread_mutex_unlock(&lane->mutex);
}

void lane_start(struct slot *slot, size_t len_bytes)
{
	struct lane *lane = slot->lane;
	struct ob_block_request *request = &slot->request;

	slot->segment = (struct ob_segment){slot->buffer, len_bytes};
	request->segments = len_bytes ? &slot->segment : NULL;
	request->segment_count = len_bytes ? 1 : 0;
	request->window = len_bytes ? lane->window : NULL;
	request->done = on_done;
	request->arg = slot;
	__atomic_store_n(&slot->state, SLOT_RUNNING, __ATOMIC_RELAXED);
	slot->next = __atomic_load_n(&lane->queue, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&lane->queue, &slot->next, slot, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	ob_cpu_post(lane->cpu, &lane->work);
}

bool lane_wait(struct slot *slot, int *status)
{
	int error = ob_event_wait(&slot->ended, ob_deadline(slot->lane->wait_ns));

	if (error && slot_move(slot, SLOT_ABANDONED))
		return false;
	/* It ended at the last moment: its signal is on the way, and must not be left for the next request. */
	while (error)
		error = ob_event_wait(&slot->ended, ob_deadline(OB_NS_PER_S));
	*status = slot->status;
	return true;
}

/* ---- life ---- */

/* As large as may be; a machine's DMA memory can be small. */
static int open_window(struct lane *lane, struct ob_block *block)
{
	struct ob_block_limits limits;
	int error;

	ob_block_limits(block, &limits);
	lane->slot_bytes = SLOT_BYTES_MAX;
	if (limits.transfer_max_bytes && limits.transfer_max_bytes < lane->slot_bytes)
		lane->slot_bytes = limits.transfer_max_bytes;
	if (lane->slot_bytes < limits.block_bytes)
		return -EINVAL;
	do {
		lane->slot_bytes -= lane->slot_bytes % limits.block_bytes;
		error = ob_window_create(ob_device_machine(ob_block_device(block)), lane->slot_count * lane->slot_bytes,
					 &lane->window);
		if (!error)
			return ob_block_grant(block, lane->window);
		lane->slot_bytes /= 2;
	} while (error == -ENOMEM && lane->slot_bytes >= SLOT_BYTES_MIN && lane->slot_bytes >= limits.block_bytes);
	return error;
}

int lane_open(struct lane *lane, struct ob_block *block, const struct lane_config *config)
{
	struct ob_block_channel_config channel = {
		.cpu = config->cpu,
		.depth = config->depth,
		.poll = {.mode = config->mode},
	};
	int error;

	*lane = (struct lane){.cpu = config->cpu, .wait_ns = WAIT_NS};
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->freed, NULL);
	lane->pending_end = &lane->pending;
	ob_work_init(&lane->work, on_work);
	error = ob_block_channel_open(block, &channel, &lane->channel);
	if (error)
		goto fail;
	lane->slot_count = ob_block_channel_depth(lane->channel);
	if (lane->slot_count > config->depth)
		lane->slot_count = config->depth;
	lane->slots = calloc(lane->slot_count, sizeof(*lane->slots));
	error = lane->slots ? open_window(lane, block) : -ENOMEM;
	if (error)
		goto fail;
	for (unsigned i = 0; i < lane->slot_count; i++) {
		struct slot *slot = &lane->slots[i];

		slot->lane = lane;
		slot->buffer = lane->window->base + i * lane->slot_bytes;
		ob_event_init(&slot->ended, lane->cpu);
		lane_give(slot);
	}
	return 0;
fail:
	lane_close(lane);
	return error;
}

static void nothing(void *arg)
{
}

void lane_close(struct lane *lane)
{
	ob_block_channel_close(lane->channel); /* ends what is in flight, so the buffers may go */
	/* A completion may just have posted the work: let the CPU pass it. */
	if (lane->slots)
		ob_cpu_call(lane->cpu, nothing, NULL, ob_deadline(OB_NS_PER_S));
	if (lane->window)
		ob_window_put(lane->window);
	free(lane->slots);
	pthread_cond_destroy(&lane->freed);
	pthread_mutex_destroy(&lane->mutex);
	*lane = (struct lane){0};
}
