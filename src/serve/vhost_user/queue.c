/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues on their CPU: taking requests, showing what ended, signals; starting and stopping them from the client's task.
 *
 * Order of death: no more is taken, what is in flight ends, and only then does anybody unmap the memory or close the
 * descriptors that the queue uses.
 */
#include "serve/vhost_user/queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "io/io.h"
#include "serve/vhost_user/blk.h"
#include "serve/vhost_user/call.h"
#include "serve/vhost_user/client.h"
#include "spec/virtio.h"

#define CALL_NS     OB_NS_PER_S
#define CALL_TRIES  60u
#define DRAIN_NS    (600 * OB_NS_PER_S) /* beyond the driver's own timeouts: timeout, abort, reset, once more */
#define POLL_BUDGET 32u

/* ---- taking requests: the lane's CPU ---- */

static void queue_fail(struct vu_queue *q, const char *why)
{
	if (q->broken)
		return;
	q->broken = true;
	if (q->error_fd >= 0)
		vu_call(q->lane, q->error_fd);
	vu_client_fail(q->client, "queue %u: %s", q->index, why);
}

static const char *ring_why(const struct vu_queue *q)
{
	return q->ring.why != NULL ? q->ring.why : "its ring makes no sense";
}

static bool is_hurt(struct vu_queue *q)
{
	if (OB_LIKELY(__atomic_load_n(&q->client->hurt, __ATOMIC_RELAXED) == 0))
		return false;
	queue_fail(q, "a file that it shares has become shorter, or its file system is full");
	return true;
}

static void serve_one(struct vu_queue *q, struct vu_request *r)
{
	const char *why = "";

	q->in_flight++;
	q->requests++;
	if (vu_blk_start(q, r, q->lane->pieces, &why) == 0)
		return;
	q->in_flight--;
	vu_lane_give(q->lane, r);
	queue_fail(q, why);
}

/* What was in flight when another server had this queue goes first. */
static int pop(struct vu_queue *q, struct vu_request *r)
{
	struct vu_lane *lane = q->lane;
	int ret = 0;

	if (OB_UNLIKELY(q->inflight.resumed_next < q->inflight.resumed_count))
		return vu_inflight_resume(&q->inflight, &q->ring, lane->pieces, VU_CHAIN_MAX, &r->chain, &r->slot);
	ret = virtqueue_device_pop(&q->ring, lane->pieces, VU_CHAIN_MAX, &r->chain);
	if (ret > 0)
		vu_inflight_take(&q->inflight, &q->ring, &r->chain, &r->slot);
	return ret;
}

/* Return: 1; 0 there is nothing, or no room for it; negative: broken. */
static int take_one(struct vu_queue *q)
{
	struct vu_request *r = vu_lane_take(q->lane, q);
	int ret;

	if (r == NULL)
		return 0;
	ret = pop(q, r);
	if (OB_LIKELY(ret > 0)) {
		serve_one(q, r);
		return 1;
	}
	vu_lane_give(q->lane, r);
	if (ret < 0)
		queue_fail(q, ring_why(q));
	return ret;
}

static unsigned queue_poll(void *arg, unsigned budget)
{
	struct vu_queue *q = arg;
	uint64_t before = q->in_flight;
	unsigned done = 0;

	if (OB_UNLIKELY(q->broken || is_hurt(q)))
		return 0;
	while (done < budget && !q->broken && take_one(q) > 0)
		done++;
	if (q->in_flight != before)
		ob_block_kick(q->lane->channel);
	return done;
}

static bool queue_arm(void *arg)
{
	struct vu_queue *q = arg;

	/* One that waits for a request is called when there is one; a kick would tell it nothing. */
	if (q->broken || q->is_waiting)
		return false;
	return q->inflight.resumed_next < q->inflight.resumed_count || virtqueue_device_arm(&q->ring);
}

static void queue_disarm(void *arg)
{
	struct vu_queue *q = arg;

	if (!q->broken)
		virtqueue_device_disarm(&q->ring);
}

static const struct ob_poll_ops queue_poll_ops = {.poll = queue_poll, .arm = queue_arm, .disarm = queue_disarm};

void vu_queue_wake(struct vu_queue *q)
{
	ob_poll_schedule(&q->poll);
}

/* Hard. */
static void queue_kicked(struct ob_fd *fd)
{
	struct vu_queue *q = container_of(fd, struct vu_queue, kick);

	if (OB_LIKELY(vu_take_kick(fd->fd) == 0)) {
		ob_poll_schedule(&q->poll);
		return;
	}
	ob_fd_remove(q->lane->cpu, fd);
	q->watched = false;
	queue_fail(q, "it is kicked by something that is no eventfd");
}

/* ---- what ended: the lane's CPU ---- */

static void show(struct vu_queue *q)
{
	int ret;

	if (q->broken)
		return;
	vu_inflight_begin(&q->inflight, &q->ring);
	ret = virtqueue_device_publish(&q->ring);
	vu_inflight_end(&q->inflight, &q->ring);
	if (ret != 0)
		queue_fail(q, ring_why(q));
}

static void signal_client(struct vu_queue *q)
{
	if (q->call_fd < 0 || q->broken)
		return;
	q->signals++;
	if (vu_call(q->lane, q->call_fd) != 0)
		queue_fail(q, "what it is to be signalled by takes no signal");
}

void vu_queue_flush(struct vu_queue *q)
{
	show(q);
	if (!q->broken && virtqueue_device_must_signal(&q->ring))
		signal_client(q);
	is_hurt(q);
	if (q->stopping && q->in_flight == 0)
		ob_event_signal(&q->drained);
}

void vu_queue_end(struct vu_request *r, uint8_t status)
{
	struct vu_queue *q = r->queue;
	int ret;

	*r->status = status;
	if (!q->broken && !vu_inflight_push(&q->inflight, r->slot, &r->chain))
		queue_fail(q, "it makes available what it has not got back");
	ret = q->broken ? 0 : virtqueue_device_push(&q->ring, &r->chain, r->chain.in_bytes);
	if (ret != 0)
		queue_fail(q, ring_why(q));
	if (vu_inflight_is_single(&q->inflight))
		show(q);
	q->in_flight--;
	if (r->changes)
		vu_part_leave(&q->lane->part);
	vu_lane_dirty(q->lane, q);
	vu_lane_give(q->lane, r);
}

/* ---- starting: the client's task ---- */

/* The queue's part of the table, or NULL: nothing is tracked. */
static int find_table(struct vu_queue *q, uint64_t features, void **out, char *why, size_t why_bytes)
{
	const struct vu_client *c = q->client;
	uint64_t stride = vu_inflight_stride(features, c->inflight_size);

	*out = NULL;
	if (c->inflight.base == NULL || q->index >= c->inflight_queues)
		return 0;
	/* Other features than those that the table was made for make it another table. */
	if (q->size > c->inflight_size || stride * c->inflight_queues > c->inflight_bytes) {
		snprintf(why, why_bytes, "its table of requests in flight is for queues of %u, in %llu bytes",
			 c->inflight_size, (unsigned long long)c->inflight_bytes);
		return -EINVAL;
	}
	*out = (uint8_t *)c->inflight.base + stride * q->index;
	return 0;
}

static int open_inflight(struct vu_queue *q, uint64_t features, char *why, size_t why_bytes)
{
	void *table;
	int ret = find_table(q, features, &table, why, why_bytes);

	if (ret != 0)
		return ret;
	ret = vu_inflight_start(&q->inflight, table, features, q->client->inflight_size, &q->ring, q->base);
	if (ret == -EPROTO && q->ring.why == NULL)
		snprintf(why, why_bytes, "its table of requests in flight makes no sense");
	else if (ret != 0)
		snprintf(why, why_bytes, "%s", q->ring.why != NULL ? q->ring.why : "a base that makes no sense");
	return ret;
}

static void *ring_map(void *context, uint64_t addr, uint64_t len_bytes, bool write)
{
	(void)write; /* all that is mapped may be read and written */
	return vu_memory_pointer(context, addr, len_bytes);
}

static const struct virtqueue_memory_ops ring_memory = {.map = ring_map};

static int ring_address(const struct vu_memory *memory, uint64_t user, uint64_t len_bytes, uint64_t *out,
			const char *what, char *why, size_t why_bytes)
{
	int ret = vu_memory_user_to_guest(memory, user, len_bytes, out);

	if (ret != 0)
		snprintf(why, why_bytes, "its %s, %llu bytes at %#llx, is in no region", what,
			 (unsigned long long)len_bytes, (unsigned long long)user);
	return ret;
}

static int open_ring(struct vu_queue *q, uint64_t features, char *why, size_t why_bytes)
{
	bool packed = (features & BIT64(VIRTIO_F_RING_PACKED)) != 0;
	const struct vhost_user_address *a = &q->address;
	struct virtqueue_device_config config = {
		.memory = &ring_memory,
		.context = (void *)(uintptr_t)q->memory,
		.features = features,
		.size = q->size,
		.chain_max = VU_CHAIN_MAX,
	};
	int ret;

	ret = ring_address(q->memory, a->descriptors, VIRTQ_DESC_BYTES((uint64_t)q->size), &config.desc,
			   "descriptor area", why, why_bytes);
	if (ret == 0)
		ret = ring_address(q->memory, a->available, packed ? 4 : VIRTQ_AVAIL_BYTES((uint64_t)q->size),
				   &config.driver, "driver area", why, why_bytes);
	if (ret == 0)
		ret = ring_address(q->memory, a->used, packed ? 4 : VIRTQ_USED_BYTES((uint64_t)q->size), &config.device,
				   "device area", why, why_bytes);
	if (ret != 0)
		return ret;
	ret = virtqueue_device_init(&q->ring, &config);
	if (ret != 0)
		snprintf(why, why_bytes, "%s", ring_why(q));
	return ret;
}

/* It runs soon, or the CPU is stuck for good. */
static int on_cpu(struct vu_queue *q, void (*fn)(void *arg), void *arg)
{
	for (unsigned i = 0; i < CALL_TRIES; i++) {
		int ret = ob_cpu_call(q->lane->cpu, fn, arg, ob_deadline(CALL_NS));

		if (ret == 0)
			return 0;
		if (ret != -ETIMEDOUT)
			ob_task_sleep(ob_deadline(OB_NS_PER_MS));
	}
	ob_err(ob_cpu_context(q->lane->cpu), "%s: queue %u: CPU %u does not answer", q->client->name, q->index,
	       ob_cpu_index(q->lane->cpu));
	return -ETIMEDOUT;
}

struct start {
	struct vu_queue *q;
	int ret;
};

/* A server that died may have shown what it did not signal any more: so its client is signalled in any case. */
static void start_on_cpu(void *arg)
{
	struct start *s = arg;
	struct vu_queue *q = s->q;
	struct ob_poll_config config = {.mode = q->client->server->config.mode, .budget = POLL_BUDGET};

	/* It has said that it does not kick. */
	if (q->kick_fd < 0)
		config.mode = OB_COMPLETION_POLLED;
	q->kick = (struct ob_fd){.fd = q->kick_fd, .fn = queue_kicked};
	if (config.mode != OB_COMPLETION_POLLED) {
		s->ret = ob_fd_add(q->lane->cpu, &q->kick);
		if (s->ret != 0)
			return;
		q->watched = true;
	}
	__atomic_fetch_add(&q->lane->queue_count, 1, __ATOMIC_RELAXED);
	ob_poll_start(&q->poll, q->lane->cpu, &queue_poll_ops, q, &config);
	signal_client(q);
}

int vu_queue_start(struct vu_queue *q, const struct vu_memory *memory, uint64_t features, char *why, size_t why_bytes)
{
	struct start s = {.q = q};
	int ret;

	q->memory = memory;
	q->broken = q->stopping = false;
	ret = open_ring(q, features, why, why_bytes);
	if (ret == 0)
		ret = open_inflight(q, features, why, why_bytes);
	if (ret != 0)
		return ret;
	ret = on_cpu(q, start_on_cpu, &s);
	if (ret == 0)
		ret = s.ret;
	if (ret == 0) {
		q->running = true;
		return 0;
	}
	vu_inflight_stop(&q->inflight);
	snprintf(why, why_bytes, "what it is kicked by cannot be waited for: %s", strerror(-ret));
	return ret;
}

/* ---- stopping: the client's task ---- */

static void stop_on_cpu(void *arg)
{
	struct vu_queue *q = arg;

	ob_poll_stop(&q->poll);
	if (q->watched)
		ob_fd_remove(q->lane->cpu, &q->kick);
	q->watched = false;
	vu_lane_leave(q->lane, q);
	__atomic_fetch_sub(&q->lane->queue_count, 1, __ATOMIC_RELAXED);
	q->stopping = true;
	/* Its flush tells when the last one has ended; also when none is in flight. */
	vu_lane_dirty(q->lane, q);
}

int vu_queue_drain(struct vu_queue *q)
{
	int ret;

	if (!q->running)
		return 0;
	ob_event_init(&q->drained, ob_cpu_get(ob_cpu_context(q->lane->cpu), 0));
	ret = on_cpu(q, stop_on_cpu, q);
	if (ret == 0)
		ret = ob_event_wait(&q->drained, ob_deadline(DRAIN_NS));
	if (ret != 0)
		return -ETIMEDOUT;
	q->running = false;
	q->base = virtqueue_device_base(&q->ring);
	vu_inflight_stop(&q->inflight);
	return 0;
}

struct set_call {
	struct vu_queue *q;
	int fd;
};

static void set_call_on_cpu(void *arg)
{
	struct set_call *s = arg;
	int old = s->q->call_fd;

	s->q->call_fd = s->fd;
	s->fd = old;
	if (s->q->running)
		signal_client(s->q);
}

int vu_queue_set_call(struct vu_queue *q, int fd)
{
	struct set_call s = {q, fd};
	int ret = 0;

	if (q->running)
		ret = on_cpu(q, set_call_on_cpu, &s);
	else
		set_call_on_cpu(&s);
	if (ret == 0)
		io_close(&s.fd);
	return ret;
}

/* ---- life ---- */

void vu_queue_init(struct vu_queue *q, struct vu_client *client, struct vu_lane *lane, unsigned index)
{
	*q = (struct vu_queue){
		.client = client,
		.lane = lane,
		.index = index,
		.kick_fd = -1,
		.call_fd = -1,
		.error_fd = -1,
	};
}

void vu_queue_forget(struct vu_queue *q)
{
	io_close(&q->kick_fd);
	io_close(&q->call_fd);
	io_close(&q->error_fd);
	vu_queue_init(q, q->client, q->lane, q->index);
}

bool vu_queue_is_complete(const struct vu_queue *q)
{
	return q->size != 0 && q->has_address && q->has_kick && q->enabled;
}
