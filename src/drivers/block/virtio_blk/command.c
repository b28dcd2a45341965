/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of our own, which are no I/O: GET_ID and GET_LIFETIME (VIRTIO 1.2 §5.2.6). They go through queue 0, on the CPU
 * that has it; while none has it, or it is frozen, it is CPU 0 that looks for the answer.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define PAUSE_MIN_NS (20 * OB_NS_PER_US)
#define PAUSE_MAX_NS OB_NS_PER_MS

int vblk_command_init(struct vblk *v)
{
	return ob_dma_alloc(v->dev, sizeof(struct vblk_command_memory), OB_CACHE_LINE, &v->command.dma);
}

void vblk_command_fini(struct vblk *v)
{
	ob_event_reset(&v->command.event);
	ob_dma_free(v->dev, &v->command.dma);
}

/* On the CPU that has the queue, or in its place. */
static void command_add(void *arg)
{
	struct vblk *v = arg;
	struct vblk_command *c = &v->command;
	struct vblk_command_memory *m = c->dma.base;
	uint64_t iova = c->dma.iova.addr;
	const struct ob_dma_piece pieces[] = {
		{{iova + offsetof(struct vblk_command_memory, header)}, sizeof(m->header)},
		{{iova + offsetof(struct vblk_command_memory, data)}, c->len_bytes},
		{{iova + offsetof(struct vblk_command_memory, status)}, 1},
	};

	ob_le32_pair_store(&m->header.type, c->type);
	ob_le64_store(&m->header.sector, 0);
	c->error = ob_virtio_queue_add(v->queues[0]->vq, pieces, 1, 2, VBLK_TOKEN_COMMAND);
	c->busy = c->error == 0;
	if (c->busy)
		ob_virtio_queue_kick(v->queues[0]->vq);
}

void vblk_command_ended(struct vblk *v, uint32_t len_bytes)
{
	struct vblk_command *c = &v->command;
	const struct vblk_command_memory *m = c->dma.base;

	c->status = OB_READ_ONCE(m->status);
	c->error = len_bytes > c->len_bytes ? 0 : -EIO; /* it does not say that it wrote the status */
	__atomic_store_n(&c->ended, true, __ATOMIC_RELEASE);
	ob_event_signal(&c->event);
}

void vblk_command_cancel(struct vblk *v, int error)
{
	struct vblk_command *c = &v->command;

	c->busy = false;
	if (__atomic_load_n(&c->ended, __ATOMIC_ACQUIRE))
		return;
	c->error = error;
	__atomic_store_n(&c->ended, true, __ATOMIC_RELEASE);
	ob_event_signal(&c->event);
}

/*
 * Whoever has a live queue takes its answers; of one that is at rest we do. There is nothing else in it: nobody has it, or
 * the device has just been reset.
 */
static bool is_ours(const struct vblk_queue *q)
{
	return OB_READ_ONCE(q->state) != VBLK_QUEUE_LIVE;
}

static int wait_for_answer(struct vblk *v, uint64_t deadline_ns)
{
	struct vblk_command *c = &v->command;
	struct vblk_queue *q = v->queues[0];
	uint64_t pause_ns = PAUSE_MIN_NS;
	struct ob_virtio_used used;

	while (!__atomic_load_n(&c->ended, __ATOMIC_ACQUIRE)) {
		if (vblk_is_gone(v))
			return -ENODEV;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		if (is_ours(q) && ob_virtio_queue_take(q->vq, &used, 1) == 1)
			vblk_command_ended(v, used.len_bytes);
		if (ob_virtio_queue_is_broken(q->vq))
			return -EIO;
		if (ob_event_wait(&c->event, MIN(deadline_ns, ob_deadline(pause_ns))) == 0)
			break;
		/* It will not answer then. */
		if (pause_ns == PAUSE_MAX_NS && vblk_check_present(v) && ob_virtio_needs_reset(v->dev))
			return -EREMOTEIO;
		pause_ns = MIN(2 * pause_ns, PAUSE_MAX_NS);
	}
	return 0;
}

static int submit(struct vblk *v, uint64_t deadline_ns)
{
	struct vblk_command *c = &v->command;
	struct vblk_queue *q = v->queues[0];

	for (;;) {
		int ret;

		if (is_ours(q))
			command_add(v);
		else if ((ret = vblk_call(q, command_add, v)) != 0)
			return ret;
		if (c->error != -EAGAIN)
			return c->error;
		if (vblk_is_gone(v) || ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(PAUSE_MAX_NS)); /* the ring is full */
	}
}

int vblk_command_run(struct vblk *v, uint32_t type, void *data, uint32_t len_bytes, uint64_t deadline_ns)
{
	struct vblk_command *c = &v->command;
	const struct vblk_command_memory *m = c->dma.base;
	int ret;

	if (c->busy)
		return -EBUSY; /* its memory is the device's until it answers, or is reset */
	ob_event_reset(&c->event);
	c->type = type;
	c->len_bytes = len_bytes;
	c->ended = false;
	ret = submit(v, deadline_ns);
	if (ret == 0)
		ret = wait_for_answer(v, deadline_ns);
	if (ret != 0)
		return ret;
	c->busy = false;
	if (c->error != 0)
		return c->error;
	if (c->status != VIRTIO_BLK_S_OK)
		return c->status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
	ob_dma_copy(data, m->data, len_bytes);
	return 0;
}

int vblk_read_id(struct vblk *v, char id[VIRTIO_BLK_ID_BYTES + 1])
{
	int ret = vblk_command_run(v, VIRTIO_BLK_T_GET_ID, id, VIRTIO_BLK_ID_BYTES,
				   ob_deadline(VBLK_COMMAND_TIMEOUT_NS));

	if (ret != 0)
		id[0] = '\0';
	id[VIRTIO_BLK_ID_BYTES] = '\0';
	for (char *c = id; *c != '\0'; c++)
		*c = *c >= ' ' && *c <= '~' ? *c : '?';
	/* Not every device has one. */
	if ((ret == -EOPNOTSUPP || ret == -EIO) && !ob_virtio_queue_is_broken(v->queues[0]->vq))
		return 0;
	return ret;
}
