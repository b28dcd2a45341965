/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O path: a request becomes a chain of pieces (header, data, status), an answer ends a request; VIRTIO 1.2 §5.2.6.
 *
 * No lock, no allocation, no system call, no division. What was submitted is known from the slots, in memory that the
 * device cannot write; that a token is one of ours, and in flight, is the queue's to check.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define TAKE_MAX 32u

static_assert(VIRTIO_BLK_T_IN == OB_BLOCK_READ && VIRTIO_BLK_T_OUT == OB_BLOCK_WRITE, "types as they are");

/* For the trace, and for all but the simple requests. */
static const uint8_t types[OB_BLOCK_OP_COUNT] = {
	[OB_BLOCK_READ] = VIRTIO_BLK_T_IN,      [OB_BLOCK_WRITE] = VIRTIO_BLK_T_OUT,
	[OB_BLOCK_FLUSH] = VIRTIO_BLK_T_FLUSH,  [OB_BLOCK_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
	[OB_BLOCK_TRIM] = VIRTIO_BLK_T_DISCARD,
};

static inline bool trace_is_on(const struct vblk_queue *q)
{
	return OB_READ_ONCE(((const struct ob_cpu_head *)(const void *)q->cpu)->trace_on);
}

/* Type and priority in one store: the latter is zero. */
static inline void header_store(struct vblk_line *line, uint32_t type, uint64_t sector)
{
	ob_le32_pair_store(&line->header.type, type);
	ob_le64_store(&line->header.sector, sector);
}

/* ---- any request ---- */

/* The data's pieces, neighbours as one. How many, at most @max; or negative errno. */
static int data_pieces(const struct vblk_queue *q, const struct ob_block_request *request, struct ob_dma_piece *pieces,
		       unsigned max)
{
	enum ob_dma_rights rights = request->op == OB_BLOCK_READ ? OB_DMA_WRITE : OB_DMA_READ;
	unsigned count = 0;

	for (unsigned i = 0; i < request->segment_count; i++) {
		const struct ob_segment *s = &request->segments[i];
		struct ob_dma_piece *last = &pieces[count - 1];
		ob_iova iova;
		int ret = ob_window_iova(request->window, q->dma_index, s->base, s->len_bytes, rights, &iova);

		if (ret != 0)
			return ret;
		if (count > 0 && last->iova.addr + last->len_bytes == iova.addr &&
		    last->len_bytes + s->len_bytes <= VBLK_TRANSFER_MAX) {
			last->len_bytes += s->len_bytes;
			continue;
		}
		if (count == max)
			return -EINVAL;
		pieces[count++] = (struct ob_dma_piece){iova, s->len_bytes};
	}
	return (int)count;
}

static void range_store(const struct vblk_queue *q, struct vblk_line *line, const struct ob_block_request *request)
{
	uint32_t flags = 0;

	/* What is given back reads as zeroes too (§5.2.6.2). */
	if (request->op == OB_BLOCK_WRITE_ZEROES && (request->flags & OB_BLOCK_NO_TRIM) == 0 &&
	    q->vblk->info.zeroes_unmap)
		flags = VIRTIO_BLK_RANGE_UNMAP;
	ob_le64_store(&line->range.sector, request->lba << q->sector_shift);
	ob_le32_store(&line->range.num_sectors, request->block_count << q->sector_shift);
	ob_le32_store(&line->range.flags, flags);
}

/* What the device writes for it: what is read, and the status. */
static uint32_t in_bytes_of(const struct vblk_queue *q, const struct ob_block_request *request)
{
	return 1 +
	       (request->op == OB_BLOCK_READ ? request->block_count << (q->sector_shift + VIRTIO_BLK_SECTOR_SHIFT) : 0);
}

/* Put a slot's request into the ring. 0; -EAGAIN no room; -EPROTO; or why it cannot be put at all. */
static int issue(struct vblk_queue *q, unsigned index)
{
	const struct ob_block_request *request = q->slots[index].request;
	struct vblk_line *line = &q->lines[index];
	struct ob_dma_piece data[VBLK_SEGMENTS_MAX];
	uint64_t sector = 0;
	int count = 0;

	switch (request->op) {
	case OB_BLOCK_READ:
	case OB_BLOCK_WRITE:
		count = data_pieces(q, request, data, VBLK_SEGMENTS_MAX);
		if (count < 0)
			return count;
		sector = request->lba << q->sector_shift;
		break;
	case OB_BLOCK_WRITE_ZEROES:
	case OB_BLOCK_TRIM:
		range_store(q, line, request);
		data[count++] = (struct ob_dma_piece){
			{q->lines_iova.addr + index * sizeof(*line) + offsetof(struct vblk_line, range)},
			sizeof(line->range),
		};
		break;
	case OB_BLOCK_FLUSH:
		break;
	default:
		return -EOPNOTSUPP;
	}
	header_store(line, types[request->op], sector);
	q->slots[index].in_bytes = in_bytes_of(q, request);
	return ob_virtio_queue_add_framed(q->vq, index, data, (unsigned)count, request->op == OB_BLOCK_READ);
}

/* ---- down ---- */

/* The answer to the class when the ring did not take it. */
static int refused(struct vblk_queue *q, int error)
{
	if (error != -EPROTO)
		return error;
	vblk_queue_break(q, "the queue is broken");
	return 0; /* it waits for the reset */
}

static inline void slot_take(struct vblk_queue *q, struct vblk_slot *slot, struct ob_block_request *request,
			     uint8_t flags)
{
	q->free = slot->next;
	slot->request = request;
	slot->epoch = q->epoch;
	slot->flags = flags;
	slot->attempts = 0;
	request->tag = slot->index;
}

static void slot_give(struct vblk_queue *q, struct vblk_slot *slot)
{
	slot->request = NULL;
	slot->next = q->free;
	q->free = slot;
}

/* Whatever is not simple, or has no room. */
static VBLK_SLOW int submit_slow(struct vblk_queue *q, struct ob_block_request *request)
{
	struct vblk_slot *slot = q->free;
	int ret;

	if (q->state == VBLK_QUEUE_CLOSING || q->state == VBLK_QUEUE_DEAD)
		return -ENODEV;
	if (slot == NULL)
		return -EAGAIN;
	if (q->state != VBLK_QUEUE_LIVE) {
		slot_take(q, slot, request, VBLK_SLOT_WAITS); /* for the end of the reset */
		return 0;
	}
	slot_take(q, slot, request, 0);
	ret = issue(q, slot->index);
	if (ret == 0) {
		OB_TRACE(q->cpu, OB_TRACE_VBLK_SUBMIT, q->index, request->tag, types[request->op]);
		return 0;
	}
	ret = refused(q, ret);
	if (ret != 0)
		slot_give(q, slot);
	else
		slot->flags |= VBLK_SLOT_WAITS;
	return ret;
}

/* Of one segment, where the queue has nothing prepared for the slot. */
static __attribute__((noinline)) int submit_one(struct vblk_queue *q, struct ob_block_request *request, uint64_t addr)
{
	const struct ob_segment *s = request->segments;
	struct ob_dma_piece data = {{addr}, s->len_bytes};
	struct vblk_slot *slot = q->free;
	unsigned index = slot->index, write = request->op;
	int ret;

	header_store(slot->line, write, request->lba << q->sector_shift);
	ret = ob_virtio_queue_add_framed(q->vq, index, &data, 1, write == 0);
	if (OB_UNLIKELY(ret != 0))
		return ret == -EAGAIN ? ret : submit_slow(q, request);
	slot_take(q, slot, request, 0);
	slot->in_bytes = 1 + (write != 0 ? 0 : (uint32_t)s->len_bytes);
	OB_TRACE(q->cpu, OB_TRACE_VBLK_SUBMIT, q->index, index, write);
	return 0;
}

/* The trace is on: once more what submit_ready() says there, out of its way. */
static VBLK_SLOW int submit_traced(struct vblk_queue *q, const struct ob_block_request *request)
{
	OB_TRACE(q->cpu, OB_TRACE_VBLK_SUBMIT, q->index, request->tag, request->op);
	return 0;
}

/* A read or write of one segment. @op is a constant. */
static inline __attribute__((always_inline)) int submit_simple(struct vblk_queue *q, struct ob_block_request *request,
							       enum ob_block_op op)
{
	const struct ob_window *window = request->window;
	const struct ob_segment *segment = request->segments;
	struct vblk_slot *slot = q->free;
	ob_iova data;

	if (OB_UNLIKELY(q->state != VBLK_QUEUE_LIVE || slot == NULL))
		return submit_slow(q, request);
	/* The block class has found the segment inside the window, and the window granted with these rights. */
	data.addr = *(const uint64_t *)(const void *)((const uint8_t *)window + q->grant_offset) +
		    (uint64_t)((const uint8_t *)segment->base - window->base);
	if (OB_UNLIKELY(!ob_virtio_queue_framed_ready(slot->framed)))
		return submit_one(q, request, data.addr);
	ob_virtio_queue_put_framed(q->vq, slot->framed, data, (uint32_t)segment->len_bytes, op == OB_BLOCK_READ);
	header_store(slot->line, op, request->lba << q->sector_shift);
	q->free = slot->next;
	slot->request = request;
	slot->issued = q->fresh;
	request->tag = slot->index;
	return OB_UNLIKELY(trace_is_on(q)) ? submit_traced(q, request) : 0;
}

/* The first four bytes of a request in one: operation, no flags, one segment. A constant to the compiler. */
static inline uint32_t head_of(uint8_t op)
{
	const struct ob_block_request r = {.op = op, .segment_count = 1};
	uint32_t head;

	memcpy(&head, &r, sizeof(head));
	return head;
}

int vblk_io_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct vblk_queue *q = channel->driver_data;
	uint32_t head;

	memcpy(&head, request, sizeof(head));
	if (OB_LIKELY(head == head_of(OB_BLOCK_READ)))
		return submit_simple(q, request, OB_BLOCK_READ);
	if (head == head_of(OB_BLOCK_WRITE))
		return submit_simple(q, request, OB_BLOCK_WRITE);
	return submit_slow(q, request);
}

void vblk_queue_issue(struct vblk_queue *q)
{
	q->waiting = 0;
	for (unsigned i = 0; i < q->depth; i++) {
		struct vblk_slot *slot = &q->slots[i];
		int ret;

		if (slot->request == NULL || (slot->flags & VBLK_SLOT_WAITS) == 0)
			continue;
		ret = issue(q, i);
		if (ret == 0) {
			slot->flags &= (uint8_t)~VBLK_SLOT_WAITS;
			slot->epoch = q->epoch;
			OB_TRACE(q->cpu, OB_TRACE_VBLK_SUBMIT, q->index, i, types[slot->request->op]);
		} else if (ret == -EAGAIN) {
			q->waiting++;
		} else if (refused(q, ret) != 0) {
			vblk_slot_end(q, i, ret, 0);
		} else {
			return;
		}
	}
}

void vblk_io_kick(struct ob_block_channel *channel)
{
	struct vblk_queue *q = channel->driver_data;

	if (OB_UNLIKELY(!q->ticking)) {
		/* Runs while something is in flight, so an idle disk wakes nobody. */
		q->ticking = true;
		ob_timer_start(&q->tick, ob_deadline(q->tick_ns));
	}
	if (OB_UNLIKELY(q->state != VBLK_QUEUE_LIVE))
		return;
	ob_virtio_queue_kick(q->vq);
}

/* ---- up ---- */

void vblk_slot_end(struct vblk_queue *q, unsigned index, int status, uint8_t protocol_status)
{
	struct vblk_slot *slot = &q->slots[index];
	struct ob_block_request *request = slot->request;

	slot_give(q, slot);
	ob_block_end(q->channel, request, status, protocol_status);
}

void vblk_queue_break(struct vblk_queue *q, const char *why)
{
	q->count.nonsense++;
	if (q->state == VBLK_QUEUE_CLOSING || q->state == VBLK_QUEUE_DEAD || q->channel == NULL)
		return;
	OB_WRITE_ONCE(q->state, VBLK_QUEUE_BROKEN);
	ob_warn(q->vblk->ob, "%s queue %u: %s", q->vblk->name, q->index, why);
	vblk_want_reset(q->vblk, why);
}

static int status_error(uint8_t status)
{
	switch (status) {
	case VIRTIO_BLK_S_OK:
		return 0;
	case VIRTIO_BLK_S_UNSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO; /* IOERR, and what no device should say */
	}
}

/* A status, or an answer that is too short, or none of a request's. */
static VBLK_SLOW void end_slow(struct vblk_queue *q, uint32_t token, uint32_t len_bytes)
{
	struct vblk_slot *slot;
	uint32_t expected;
	uint8_t status;
	int error;

	if (token == VBLK_TOKEN_COMMAND) {
		q->completed--; /* it is none of the user's */
		vblk_command_ended(q->vblk, len_bytes);
		return;
	}
	slot = &q->slots[token];
	if (slot->request == NULL)
		return; /* the queue was given up meanwhile */
	status = OB_READ_ONCE(*slot->status);
	error = status_error(status);
	expected = slot->in_bytes != VBLK_IN_BYTES_ASK ? slot->in_bytes : in_bytes_of(q, slot->request);
	if (len_bytes < expected && error == 0) {
		/* What it does not say it wrote is not to be looked at (§2.7.8.2): neither the data nor the status. */
		if (q->count.short_answers++ == 0)
			ob_warn(q->vblk->ob, "%s queue %u: an answer of %u bytes where there are %u counts as an error",
				q->vblk->name, q->index, len_bytes, expected);
		error = -EIO;
	}
	if (error != 0)
		ob_debug(q->vblk->ob, "%s queue %u: %s of block %llu ended with status %u", q->vblk->name, q->index,
			 ob_block_op_name((enum ob_block_op)slot->request->op), (unsigned long long)slot->request->lba,
			 status);
	vblk_slot_end(q, token, error, status);
}

/* Whatever was answered; of it nothing more is known than that the queue takes it for an answer. */
static __attribute__((noinline)) unsigned take_any(struct vblk_queue *q, unsigned budget)
{
	struct ob_virtio_used used[TAKE_MAX];
	uint8_t state = q->state;
	unsigned done = 0;
	int count;

	do {
		count = ob_virtio_queue_take(q->vq, used, MIN(budget - done, TAKE_MAX));
		if (OB_UNLIKELY(count < 0)) {
			vblk_queue_break(q, "the device wrote nonsense into its ring");
			break;
		}
		for (int i = 0; i < count; i++) {
			struct ob_block_request *request;
			struct vblk_slot *slot;

			OB_TRACE(q->cpu, OB_TRACE_VBLK_COMPLETE, q->index, used[i].token, used[i].len_bytes);
			/* Before the slot is looked at: the token of a command is none. */
			if (OB_UNLIKELY(used[i].token >= q->depth)) {
				end_slow(q, used[i].token, used[i].len_bytes);
				continue;
			}
			slot = &q->slots[used[i].token];
			if (OB_UNLIKELY(used[i].len_bytes < slot->in_bytes ||
					OB_READ_ONCE(q->status[used[i].token]) != VIRTIO_BLK_S_OK)) {
				end_slow(q, used[i].token, used[i].len_bytes);
				continue;
			}
			request = slot->request;
			slot_give(q, slot);
			ob_block_end(q->channel, request, 0, 0);
		}
		done += (unsigned)count;
	} while (count == (int)TAKE_MAX && done < budget && OB_READ_ONCE(q->state) == state);
	return done;
}

/*
 * A done function may take answers itself, and the CPU may be away in it for so long that the queue was frozen, or given
 * up: then the requests of the rest of the batch have ended, and the memory of their status is gone.
 */
unsigned vblk_queue_take(struct vblk_queue *q, unsigned budget)
{
	uint8_t state = q->state;
	bool more = budget > 0;
	uint32_t slots[TAKE_MAX];
	unsigned done = 0;

	while (more && OB_LIKELY(!trace_is_on(q))) {
		unsigned count;

		/* What was answered as it should be. */
		count = ob_virtio_queue_take_framed(q->vq, slots, MIN(budget - done, TAKE_MAX));
		for (unsigned i = 0; i < count; i++) {
			struct vblk_slot *slot = &q->slots[slots[i]];
			struct ob_block_request *request = slot->request;

			if (OB_UNLIKELY(request == NULL))
				continue;
			if (OB_UNLIKELY(OB_READ_ONCE(*slot->status) != VIRTIO_BLK_S_OK)) {
				end_slow(q, slot->index, UINT32_MAX);
				continue;
			}
			slot_give(q, slot);
			ob_block_end(q->channel, request, 0, 0);
		}
		done += count;
		more = done < budget && OB_READ_ONCE(q->state) == state;
		if (count < TAKE_MAX)
			break;
	}
	if (more)
		done += take_any(q, budget - done);
	q->completed += done;
	if (OB_UNLIKELY(q->waiting > 0) && done > 0 && q->state == VBLK_QUEUE_LIVE) {
		vblk_queue_issue(q);
		ob_virtio_queue_kick(q->vq);
	}
	return done;
}

unsigned vblk_io_poll(struct ob_block_channel *channel, unsigned budget)
{
	struct vblk_queue *q = channel->driver_data;

	if (OB_UNLIKELY(q->state != VBLK_QUEUE_LIVE))
		return 0;
	return vblk_queue_take(q, budget);
}

/* Nothing makes a device give one request back. One that it has ends when it ends, or with the next reset. */
int vblk_io_cancel(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct vblk_queue *q = channel->driver_data;
	struct vblk_slot *slot;

	if (request->tag >= q->depth || q->slots[request->tag].request != request)
		return -ENOENT;
	slot = &q->slots[request->tag];
	if ((slot->flags & VBLK_SLOT_WAITS) != 0)
		vblk_slot_end(q, request->tag, -ECANCELED, 0);
	else
		slot->flags |= VBLK_SLOT_CANCELLED;
	return 0;
}
