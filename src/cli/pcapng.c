/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng: blocks of a type, a length, a body padded to 32 bits, and the length again; in this computer's byte order. */
#include "cli/pcapng.h"

#include <string.h>
#include <time.h>

#include "cli/output.h"

#define BLOCK_SECTION      0x0a0d0d0au
#define BLOCK_INTERFACE    1u
#define BLOCK_PACKET       6u /* "enhanced packet" */
#define BYTE_ORDER_MAGIC   0x1a2b3c4du
#define LINK_ETHERNET      1u
#define OPTION_END_MARK    0u
#define OPTION_IF_NAME     2u
#define OPTION_IF_TSRESOL  9u
#define OPTION_EPB_FLAGS   2u
#define OPTION_EPB_QUEUE   6u
#define OPTION_APPLICATION 4u /* of the section: what wrote it */

#define FRAME_EXTRA 64u /* bytes of a packet block around the frame, and more */

struct block_head {
	uint32_t type, len_bytes;
};

struct packet_head {
	struct block_head block;
	uint32_t interface, stamp_high, stamp_low, captured_bytes, original_bytes;
};

struct option {
	uint16_t code, len_bytes;
};

static void put(struct pcapng *p, const void *data, size_t len_bytes)
{
	if (len_bytes > 0)
		memcpy(p->buffer + p->used, data, len_bytes);
	p->used += len_bytes;
}

static void pad(struct pcapng *p)
{
	while (p->used % 4 != 0)
		p->buffer[p->used++] = 0;
}

static void put_option(struct pcapng *p, uint16_t code, const void *value, uint16_t len_bytes)
{
	const struct option option = {code, len_bytes};

	put(p, &option, sizeof(option));
	put(p, value, len_bytes);
	pad(p);
}

/* The block that began at @start is whole: its length stands at both ends. */
static void end_block(struct pcapng *p, size_t start)
{
	uint32_t len_bytes = (uint32_t)(p->used - start + sizeof(len_bytes));

	memcpy(p->buffer + start + offsetof(struct block_head, len_bytes), &len_bytes, sizeof(len_bytes));
	put(p, &len_bytes, sizeof(len_bytes));
}

static uint64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * OB_NS_PER_S + (uint64_t)now.tv_nsec;
}

int pcapng_begin(struct pcapng *p, int fd, const char *interface, uint32_t snap_bytes, uint64_t now_ns)
{
	static const char application[] = "outboard";
	const struct {
		struct block_head block;
		uint32_t magic;
		uint16_t major, minor;
		int64_t section_bytes; /* -1: to the end of the file */
	} section = {{BLOCK_SECTION, 0}, BYTE_ORDER_MAGIC, 1, 0, -1};
	const struct {
		struct block_head block;
		uint16_t link, reserved;
		uint32_t snap_bytes;
	} described = {{BLOCK_INTERFACE, 0}, LINK_ETHERNET, 0, snap_bytes};
	const uint8_t nanoseconds = 9; /* stamps count 10^-9 s */
	size_t start;

	p->fd = fd;
	p->snap_bytes = snap_bytes;
	p->wall_ns = wall_clock_ns() - now_ns;
	p->frames = p->bytes = p->used = 0;
	put(p, &section, sizeof(section));
	put_option(p, OPTION_APPLICATION, application, sizeof(application) - 1);
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, 0);
	start = p->used;
	put(p, &described, sizeof(described));
	put_option(p, OPTION_IF_NAME, interface, (uint16_t)strlen(interface));
	put_option(p, OPTION_IF_TSRESOL, &nanoseconds, 1);
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, start);
	return pcapng_flush(p);
}

int pcapng_frame(struct pcapng *p, uint64_t stamp_ns, enum pcapng_direction direction, uint32_t queue,
		 const struct ob_packet *frame)
{
	uint64_t stamp = stamp_ns + p->wall_ns;
	uint32_t flags = direction;
	uint32_t left = frame->frame_bytes < p->snap_bytes ? frame->frame_bytes : p->snap_bytes;
	const struct packet_head head = {
		.block = {BLOCK_PACKET, 0},
		.stamp_high = (uint32_t)(stamp >> 32),
		.stamp_low = (uint32_t)stamp,
		.captured_bytes = left,
		.original_bytes = frame->frame_bytes,
	};
	size_t start;

	p->frames++;
	p->bytes += frame->frame_bytes;
	if (left + FRAME_EXTRA > sizeof(p->buffer) - p->used) {
		int error = pcapng_flush(p);

		if (error != 0)
			return error;
	}
	start = p->used;
	put(p, &head, sizeof(head));
	for (; frame != NULL && left > 0; frame = frame->next) {
		uint32_t part = frame->len_bytes < left ? frame->len_bytes : left;

		put(p, frame->data, part);
		left -= part;
	}
	pad(p);
	put_option(p, OPTION_EPB_FLAGS, &flags, sizeof(flags));
	put_option(p, OPTION_EPB_QUEUE, &queue, sizeof(queue));
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, start);
	return 0;
}

int pcapng_flush(struct pcapng *p)
{
	int error = write_all(p->fd, p->buffer, p->used);

	p->used = 0;
	return error;
}
