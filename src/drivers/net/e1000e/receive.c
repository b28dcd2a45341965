/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving, with extended descriptors.
 *
 * What a descriptor held is overwritten when it comes back, so the packets' places in their pool are kept beside the ring,
 * where the device cannot write. A frame that is longer than a buffer fills several, and becomes a chain.
 */
#include "drivers/net/e1000e/e1000e.h"

/* ---- buffers for the device ---- */

/* The timer looks again: nobody says when packets come back to a pool. */
static E1000E_COLD void starve(struct e1000e_queue *q)
{
	q->channel->stats.rx_no_packets++;
	if (q->refilling)
		return;
	q->refilling = true;
	ob_timer_start(&q->refill, ob_cpu_time_ns(q->channel->cpu) + E1000E_REFILL_RETRY_NS);
}

/* Returns how many the device is to get; it hears of them when the tail is written. */
static unsigned post(struct e1000e_queue *q, unsigned wish)
{
	struct ob_packet_pool *pool = q->pool;
	const uint32_t *indexes;
	unsigned count = ob_packet_pool_top(pool, wish, &indexes);

	for (unsigned i = 0; i < count; i++) {
		struct e1000e_rx_desc *desc = &q->rx_ring[q->rx_tail];

		ob_le64_store(&desc->address, q->rx_base.addr + (uint64_t)indexes[i] * pool->stride_bytes);
		ob_le64_store(&desc->status, 0);
		q->rx_packets[q->rx_tail] = indexes[i];
		q->rx_tail = q->rx_tail + 1 == q->rx_entries ? 0 : q->rx_tail + 1;
	}
	ob_packet_pool_pop(pool, count);
	q->rx_posted += count;
	return count;
}

void e1000e_refill(struct e1000e_queue *q)
{
	while (q->rx_posted < q->rx_depth) {
		unsigned wish = MIN(q->rx_depth - q->rx_posted, E1000E_REFILL);

		if (OB_UNLIKELY(post(q, wish) < wish)) {
			starve(q);
			break;
		}
	}
	if (q->rx_tail == q->rx_told)
		return;
	/* The write comes after the descriptors. */
	ob_mmio_write32(&q->e->regs, E1000E_RDT0, q->rx_tail);
	q->rx_told = q->rx_tail;
	q->channel->stats.kicks++;
}

void e1000e_refill_timer(struct ob_timer *timer)
{
	struct e1000e_queue *q = container_of(timer, struct e1000e_queue, refill);

	q->refilling = false;
	if (q->running)
		e1000e_refill(q);
}

static uint32_t next_packet(struct e1000e_queue *q)
{
	uint32_t index = q->rx_packets[q->rx_head];

	q->rx_head = q->rx_head + 1 == q->rx_entries ? 0 : q->rx_head + 1;
	q->rx_posted--;
	return index;
}

void e1000e_rx_drop(struct e1000e_queue *q)
{
	while (q->rx_posted > 0)
		ob_packet_pool_push_index(q->pool, next_packet(q));
	ob_packet_put(q->partial);
	q->partial = NULL;
	q->skipping = false;
	q->rx_head = q->rx_tail = q->rx_told = 0;
}

/* ---- frames ---- */

static uint64_t look(const struct e1000e_queue *q)
{
	return ob_le64_load(&q->rx_ring[q->rx_head].status);
}

bool e1000e_rx_pending(const struct e1000e_queue *q)
{
	return q->rx_posted > 0 && (look(q) & E1000E_RX_DD) != 0;
}

static E1000E_COLD void drop(struct e1000e_queue *q, struct ob_packet *frame)
{
	q->channel->stats.rx_errors++;
	ob_packet_put(frame);
}

/* One more buffer of the frame that is under way; one that is too long is let go, and what is left of it skipped. */
static void add_part(struct e1000e_queue *q, uint32_t index, uint32_t bytes)
{
	struct ob_packet *part = &q->pool->packets[index], *frame = q->partial;

	/* Nothing but the frame check sequence, which is not kept, may have been in it. */
	if (bytes == 0 || q->skipping) {
		ob_packet_pool_push_index(q->pool, index);
		return;
	}
	ob_packet_reset(part, ob_packet_start(q->pool, part), bytes);
	if (frame == NULL) {
		q->partial = q->partial_last = part;
		return;
	}
	q->partial_last->next = part;
	q->partial_last = part;
	frame->frame_bytes += bytes;
	frame->segments++;
	if (OB_UNLIKELY(frame->frame_bytes > q->frame_max)) {
		drop(q, frame);
		q->partial = NULL;
		q->skipping = true;
	}
}

/* What is there when the frame has ended; NULL: nothing to be kept. */
static struct ob_packet *end_frame(struct e1000e_queue *q, uint64_t status)
{
	struct ob_packet *frame = q->partial;
	bool skipped = q->skipping;

	q->partial = NULL;
	q->skipping = false;
	if (OB_LIKELY(frame != NULL && frame->frame_bytes >= ETHERNET_HEADER_BYTES &&
		      frame->frame_bytes <= q->frame_max && (status & E1000E_RX_ERRORS) == 0))
		return frame;
	if (!skipped)
		drop(q, frame);
	return NULL;
}

/* The next descriptor that is done. False: none is. */
static bool take(struct e1000e_queue *q, struct ob_packet **out)
{
	uint64_t status;
	uint32_t bytes;

	*out = NULL;
	if (q->rx_posted == 0)
		return false;
	status = look(q);
	if ((status & E1000E_RX_DD) == 0)
		return false;
	/* The frame after the word that says that it is there, before which the device writes it. */
	ob_dma_rmb();
	bytes = (uint32_t)FIELD_GET(E1000E_RX_LENGTH, status);
	if (OB_UNLIKELY(bytes > q->rx_bytes || (bytes == 0 && (status & E1000E_RX_EOP) == 0))) {
		e1000e_queue_break(q, "a length that no buffer has");
		return false;
	}
	add_part(q, next_packet(q), bytes);
	if ((status & E1000E_RX_EOP) != 0)
		*out = end_frame(q, status);
	return true;
}

unsigned e1000e_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max)
{
	struct e1000e_queue *q = channel->driver_data;
	uint64_t bytes = 0;
	unsigned done = 0;

	/* Each takes a descriptor, and none is given before the end. */
	while (done < max && take(q, &frames[done]))
		if (frames[done] != NULL)
			bytes += frames[done++]->frame_bytes;
	channel->stats.rx_frames += done;
	channel->stats.rx_bytes += bytes;
	if (q->rx_depth - q->rx_posted >= q->rx_refill && OB_LIKELY(!q->broken))
		e1000e_refill(q);
	return done;
}
