/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: their room, their bytes across the packets that they are chained of, and the checksum that one leaves open. */
#include <errno.h>
#include <string.h>

#include "net/net.h"
#include "spec/ethernet.h"

struct ob_packet *ob_packet_get(struct ob_packet *packet)
{
	for (struct ob_packet *p = packet; p != NULL; p = p->next)
		p->refs++;
	return packet;
}

/* ---- room ---- */

uint32_t ob_packet_headroom(const struct ob_packet *packet)
{
	return (uint32_t)(packet->data - ob_packet_start(packet->pool, packet)) + packet->pool->headroom_bytes;
}

uint32_t ob_packet_tailroom(const struct ob_packet *packet)
{
	const struct ob_packet_pool *pool = packet->pool;

	return pool->headroom_bytes + pool->room_bytes - ob_packet_headroom(packet) - packet->len_bytes;
}

void *ob_packet_push(struct ob_packet *packet, uint32_t len_bytes)
{
	if (len_bytes > ob_packet_headroom(packet))
		return NULL;
	packet->data -= len_bytes;
	packet->len_bytes += len_bytes;
	packet->frame_bytes += len_bytes;
	return packet->data;
}

void *ob_packet_pull(struct ob_packet *packet, uint32_t len_bytes)
{
	if (len_bytes > packet->len_bytes)
		return NULL;
	packet->data += len_bytes;
	packet->len_bytes -= len_bytes;
	packet->frame_bytes -= len_bytes;
	return packet->data;
}

static struct ob_packet *last_part(struct ob_packet *packet)
{
	while (packet->next != NULL)
		packet = packet->next;
	return packet;
}

void *ob_packet_append(struct ob_packet *packet, uint32_t len_bytes)
{
	struct ob_packet *last = last_part(packet);
	void *at = last->data + last->len_bytes;

	if (len_bytes > ob_packet_tailroom(last))
		return NULL;
	last->len_bytes += len_bytes;
	if (last != packet)
		last->frame_bytes = last->len_bytes;
	packet->frame_bytes += len_bytes;
	return at;
}

int ob_packet_trim(struct ob_packet *packet, uint32_t frame_bytes)
{
	struct ob_packet *p = packet;
	uint32_t left = frame_bytes;
	uint16_t parts = 1;

	if (frame_bytes > packet->frame_bytes)
		return -EINVAL;
	for (; p->next != NULL && left > p->len_bytes; p = p->next) {
		left -= p->len_bytes;
		parts++;
	}
	p->len_bytes = left;
	ob_packet_put(p->next);
	p->next = NULL;
	packet->segments = parts;
	packet->frame_bytes = frame_bytes;
	return 0;
}

int ob_packet_chain(struct ob_packet *packet, struct ob_packet *tail)
{
	if (packet->segments > UINT16_MAX - tail->segments || packet->frame_bytes > UINT32_MAX - tail->frame_bytes)
		return -E2BIG;
	last_part(packet)->next = tail;
	packet->segments = (uint16_t)(packet->segments + tail->segments);
	packet->frame_bytes += tail->frame_bytes;
	return 0;
}

/* ---- bytes ---- */

/* The part that holds byte *@offset of the frame, which becomes an offset in the part. */
static struct ob_packet *part_at(const struct ob_packet *packet, uint32_t *offset)
{
	while (packet->next != NULL && *offset >= packet->len_bytes) {
		*offset -= packet->len_bytes;
		packet = packet->next;
	}
	return (struct ob_packet *)(uintptr_t)packet;
}

static bool is_inside(const struct ob_packet *packet, uint32_t offset, uint32_t len_bytes)
{
	return offset <= packet->frame_bytes && len_bytes <= packet->frame_bytes - offset;
}

int ob_packet_read(const struct ob_packet *packet, uint32_t offset, void *to, uint32_t len_bytes)
{
	uint8_t *at = to;

	if (!is_inside(packet, offset, len_bytes))
		return -ERANGE;
	for (const struct ob_packet *p = part_at(packet, &offset); len_bytes > 0; p = p->next) {
		uint32_t n = MIN(len_bytes, p->len_bytes - offset);

		ob_dma_copy(at, p->data + offset, n);
		at += n;
		len_bytes -= n;
		offset = 0;
	}
	return 0;
}

int ob_packet_write(struct ob_packet *packet, uint32_t offset, const void *from, uint32_t len_bytes)
{
	const uint8_t *at = from;

	if (!is_inside(packet, offset, len_bytes))
		return -ERANGE;
	for (struct ob_packet *p = part_at(packet, &offset); len_bytes > 0; p = p->next) {
		uint32_t n = MIN(len_bytes, p->len_bytes - offset);

		ob_dma_copy(p->data + offset, at, n);
		at += n;
		len_bytes -= n;
		offset = 0;
	}
	return 0;
}

/* A frame of @len_bytes in as few packets as it takes, filled with nothing yet. */
struct ob_packet *net_frame_alloc(struct ob_packet_pool *pool, uint32_t len_bytes)
{
	struct ob_packet *frame = NULL, **link = &frame;
	uint32_t left = len_bytes, parts = 0;

	do {
		struct ob_packet *p = parts < UINT16_MAX ? ob_packet_alloc(pool) : NULL;

		if (p == NULL) {
			ob_packet_put(frame);
			return NULL;
		}
		p->len_bytes = p->frame_bytes = MIN(left, pool->room_bytes);
		left -= p->len_bytes;
		*link = p;
		link = &p->next;
		parts++;
	} while (left > 0);
	frame->frame_bytes = len_bytes;
	frame->segments = (uint16_t)parts;
	return frame;
}

struct ob_packet *ob_packet_from(struct ob_packet_pool *pool, const void *data, uint32_t len_bytes)
{
	struct ob_packet *frame = net_frame_alloc(pool, len_bytes);

	if (frame != NULL)
		ob_packet_write(frame, 0, data, len_bytes);
	return frame;
}

static void copy_head(struct ob_packet *to, const struct ob_packet *from)
{
	to->flags = from->flags;
	to->csum_start = from->csum_start;
	to->csum_offset = from->csum_offset;
	to->gso_bytes = from->gso_bytes;
	to->header_bytes = from->header_bytes;
	to->vlan_tci = from->vlan_tci;
	to->gso = from->gso;
	to->hash_type = from->hash_type;
	to->hash = from->hash;
	to->time_ns = from->time_ns;
}

struct ob_packet *ob_packet_copy(struct ob_packet_pool *pool, const struct ob_packet *packet)
{
	struct ob_packet *frame = net_frame_alloc(pool, packet->frame_bytes);
	uint32_t offset = 0;

	if (frame == NULL)
		return NULL;
	for (const struct ob_packet *p = packet; p != NULL; p = p->next) {
		ob_packet_write(frame, offset, p->data, p->len_bytes);
		offset += p->len_bytes;
	}
	copy_head(frame, packet);
	return frame;
}

/* ---- checksum ---- */

/* Of the frame from @offset on. Parts may begin at odd places of it: then their bytes change sides (RFC 1071 §2). */
static uint16_t sum_from(const struct ob_packet *packet, uint32_t offset)
{
	const struct ob_packet *p = part_at(packet, &offset);
	uint64_t sum = 0;
	bool odd = false;

	for (; p != NULL; p = p->next) {
		uint32_t n = p->len_bytes - offset;
		uint16_t part = net_sum_fold(net_sum(0, p->data + offset, n));

		sum += odd ? (uint16_t)(part << 8 | part >> 8) : part;
		odd ^= (n & 1) != 0;
		offset = 0;
	}
	return net_sum_fold(sum);
}

int ob_packet_finish_csum(struct ob_packet *packet)
{
	uint32_t at = (uint32_t)packet->csum_start + packet->csum_offset;
	uint8_t field[2];
	uint16_t sum;

	if ((packet->flags & OB_PACKET_CSUM_PARTIAL) == 0)
		return 0;
	if (!is_inside(packet, at, sizeof(field)))
		return -EINVAL;
	sum = (uint16_t)~sum_from(packet, packet->csum_start);
	/* For UDP 0 would say that there is none; to TCP both are the same (RFC 768). */
	net_put16(field, sum != 0 ? sum : 0xffff);
	ob_packet_write(packet, at, field, sizeof(field));
	packet->flags &= ~OB_PACKET_CSUM_PARTIAL;
	return 0;
}
