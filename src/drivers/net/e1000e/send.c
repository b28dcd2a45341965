/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending, with legacy descriptors. One for each part of a frame; the last one asks for its status.
 *
 * Frames are kept beside the ring, at their first descriptor. What the device is done with is given back when there is too
 * little room, and whenever somebody asks.
 */
#include <errno.h>

#include "drivers/net/e1000e/e1000e.h"

static uint32_t after(const struct e1000e_queue *q, uint32_t at)
{
	return at + 1 == q->tx_entries ? 0 : at + 1;
}

/* ---- giving back ---- */

static void give_back(const struct e1000e_queue *q, struct ob_packet *frame)
{
	if (OB_LIKELY(frame->pool->cpu == q->channel->cpu))
		ob_packet_put(frame);
	else
		ob_packet_put_any(frame);
}

static void pop(struct e1000e_queue *q)
{
	struct e1000e_sent *sent = &q->sent[q->tx_head];
	uint32_t next = after(q, sent->last);

	q->tx_used -= next > q->tx_head ? next - q->tx_head : next + q->tx_entries - q->tx_head;
	q->tx_head = next;
	give_back(q, sent->frame);
	sent->frame = NULL;
}

static uint64_t look(const struct e1000e_queue *q)
{
	return ob_le64_load(&q->tx_ring[q->sent[q->tx_head].last].command);
}

bool e1000e_tx_pending(const struct e1000e_queue *q)
{
	return q->tx_used > 0 && (look(q) & E1000E_TX_DD) != 0;
}

static unsigned reap(struct e1000e_queue *q)
{
	unsigned done = 0;

	while (q->tx_used > 0) {
		uint64_t status = look(q);

		if ((status & E1000E_TX_DD) == 0)
			break;
		if (OB_UNLIKELY((status & (E1000E_TX_EC | E1000E_TX_LC)) != 0))
			q->channel->stats.tx_dropped++;
		pop(q);
		done++;
	}
	q->tx_done += done;
	return done;
}

unsigned e1000e_reap(struct ob_net_channel *channel)
{
	return reap(channel->driver_data);
}

void e1000e_tx_drop(struct e1000e_queue *q)
{
	/* What it sent by then counts. */
	if (!q->broken)
		reap(q);
	while (q->tx_used > 0) {
		pop(q);
		q->channel->stats.tx_dropped++;
	}
	q->tx_head = q->tx_tail = q->tx_told = 0;
	q->tx_need = 1;
}

/* While the link is down nothing has to leave. */
void e1000e_tick(struct ob_timer *timer)
{
	struct e1000e_queue *q = container_of(timer, struct e1000e_queue, tick);

	q->ticking = false;
	if (!q->running)
		return;
	reap(q);
	if (q->tx_used == 0)
		return;
	q->ticks = q->tx_done != q->tx_done_seen || !OB_READ_ONCE(q->e->link_up) ? 0 : q->ticks + 1;
	q->tx_done_seen = q->tx_done;
	if (q->ticks > E1000E_TICKS_MAX) {
		e1000e_queue_break(q, "what was sent does not leave");
		return;
	}
	q->ticking = true;
	ob_timer_start(&q->tick, ob_cpu_time_ns(q->channel->cpu) + E1000E_TICK_NS);
}

static E1000E_COLD void tick_start(struct e1000e_queue *q)
{
	q->ticking = true;
	q->ticks = 0;
	q->tx_done_seen = q->tx_done;
	ob_timer_start(&q->tick, ob_cpu_time_ns(q->channel->cpu) + E1000E_TICK_NS);
}

/* ---- frames ---- */

/* A descriptor for each part, from the tail on; the device hears of them later. How many; 0: it cannot be sent. */
static unsigned place(struct e1000e_queue *q, const struct ob_packet *frame, uint32_t *last)
{
	uint32_t at = q->tx_tail, bytes = 0;
	unsigned count = 0;

	for (const struct ob_packet *part = frame; part != NULL; part = part->next) {
		uint64_t command = E1000E_TX_IFCS | FIELD_PREP(E1000E_TX_LENGTH, (uint64_t)part->len_bytes);
		ob_iova iova;

		if (part->len_bytes == 0)
			continue;
		if (count == frame->segments || part->len_bytes > q->frame_max || !ob_packet_check(part, 0) ||
		    ob_window_iova(part->pool->window, q->dma_index, part->data, part->len_bytes, OB_DMA_READ, &iova) !=
			    0)
			return 0;
		bytes += part->len_bytes;
		if (bytes == frame->frame_bytes)
			command |= E1000E_TX_EOP | E1000E_TX_RS;
		ob_le64_store(&q->tx_ring[at].address, iova.addr);
		ob_le64_store(&q->tx_ring[at].command, command);
		*last = at;
		at = after(q, at);
		count++;
	}
	return bytes == frame->frame_bytes ? count : 0;
}

static bool is_sendable(struct e1000e_queue *q, struct ob_packet *frame)
{
	return frame->frame_bytes >= E1000E_FRAME_TX_MIN && frame->frame_bytes <= q->frame_max &&
	       frame->segments <= E1000E_PARTS_MAX &&
	       (OB_LIKELY(frame->flags == 0) || ob_net_soft(q->channel, frame, 0) == 0);
}

/* There is room for it. */
static void send_one(struct e1000e_queue *q, struct ob_packet *frame)
{
	struct ob_net_stats *stats = &q->channel->stats;
	uint32_t last = 0;
	unsigned count = is_sendable(q, frame) ? place(q, frame, &last) : 0;

	if (OB_UNLIKELY(count == 0)) {
		stats->tx_refused++;
		give_back(q, frame);
		return;
	}
	q->sent[q->tx_tail] = (struct e1000e_sent){.frame = frame, .last = last};
	q->tx_tail = after(q, last);
	q->tx_used += count;
	stats->tx_frames++;
	stats->tx_bytes += frame->frame_bytes;
}

unsigned e1000e_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count)
{
	struct e1000e_queue *q = channel->driver_data;
	unsigned done;

	for (done = 0; done < count; done++) {
		uint32_t need = MIN((uint32_t)frames[done]->segments, E1000E_PARTS_MAX);

		if (OB_UNLIKELY(e1000e_tx_room(q) < need)) {
			reap(q);
			if (e1000e_tx_room(q) < need) {
				q->tx_need = need;
				break;
			}
		}
		q->tx_need = 1;
		send_one(q, frames[done]);
	}
	return done;
}

void e1000e_kick(struct ob_net_channel *channel)
{
	struct e1000e_queue *q = channel->driver_data;

	if (q->tx_tail != q->tx_told) {
		/* The write comes after the descriptors. */
		ob_mmio_write32(&q->e->regs, E1000E_TDT0, q->tx_tail);
		q->tx_told = q->tx_tail;
		channel->stats.kicks++;
	}
	if (OB_UNLIKELY(!q->ticking && q->tx_used != 0))
		tick_start(q);
}
