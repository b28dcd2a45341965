/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng: blocks of a type, a length, a body padded to 32 bits, and the length again; in this computer's byte order. */
#include "cli/pcapng.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "cli/output.h"

#define BLOCK_SECTION       0x0a0d0d0au
#define BLOCK_INTERFACE     1u
#define BLOCK_STATISTICS    5u
#define BLOCK_PACKET        6u /* "enhanced packet" */
#define BYTE_ORDER_MAGIC    0x1a2b3c4du
#define LINK_ETHERNET       1u
#define OPTION_END_MARK     0u
#define OPTION_APPLICATION  4u /* of the section: what wrote it */
#define OPTION_IF_NAME      2u
#define OPTION_IF_MAC       6u
#define OPTION_IF_SPEED     8u /* bits a second */
#define OPTION_IF_TSRESOL   9u
#define OPTION_EPB_FLAGS    2u
#define OPTION_EPB_HASH     3u
#define OPTION_EPB_LOST     4u
#define OPTION_EPB_QUEUE    6u
#define OPTION_ISB_BEGIN    2u
#define OPTION_ISB_END      3u
#define OPTION_ISB_RECEIVED 4u
#define OPTION_ISB_MISSED   5u
#define OPTION_ISB_OS_LOST  7u
#define OPTION_ISB_TO_USER  8u

#define FLAGS_DIRECTION BITS(1, 0)
#define FLAGS_RECEPTION BITS(4, 2)
#define HASH_TOEPLITZ   5u

#define FRAME_EXTRA 128u /* bytes of a packet block around the frame, and more */

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

static uint64_t stamp_of(const struct pcapng *p, uint64_t ns)
{
	return ns + p->wall_ns;
}

static void put_interface(struct pcapng *p, const struct pcapng_interface *interface)
{
	const struct {
		struct block_head block;
		uint16_t link, reserved;
		uint32_t snap_bytes;
	} described = {{BLOCK_INTERFACE, 0}, LINK_ETHERNET, 0, interface->snap_bytes};
	const uint8_t nanoseconds = 9; /* stamps count 10^-9 s */
	const uint64_t speed = interface->speed_mbps * 1000000ull;
	size_t start = p->used;

	put(p, &described, sizeof(described));
	put_option(p, OPTION_IF_NAME, interface->name, (uint16_t)strlen(interface->name));
	put_option(p, OPTION_IF_MAC, interface->mac, 6);
	if (speed != 0)
		put_option(p, OPTION_IF_SPEED, &speed, sizeof(speed));
	put_option(p, OPTION_IF_TSRESOL, &nanoseconds, 1);
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, start);
}

/* Where what is written next goes, if that is a file of which we write the end. */
static int64_t offset_of(int fd)
{
	struct stat file;
	off_t at;

	if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || (fcntl(fd, F_GETFL) & O_APPEND) != 0)
		return -1;
	at = lseek(fd, 0, SEEK_CUR);
	return at >= file.st_size ? (int64_t)at : -1;
}

int pcapng_begin(struct pcapng *p, int fd, const struct pcapng_interface *interface, uint64_t now_ns)
{
	static const char application[] = "outboard";
	const struct {
		struct block_head block;
		uint32_t magic;
		uint16_t major, minor;
		int64_t section_bytes; /* -1: to the end of the file */
	} section = {{BLOCK_SECTION, 0}, BYTE_ORDER_MAGIC, 1, 0, -1};

	p->fd = fd;
	p->snap_bytes = interface->snap_bytes;
	p->wall_ns = wall_clock_ns() - now_ns;
	p->begin_ns = now_ns;
	p->frames = p->bytes = p->kept = p->used = 0;
	p->offset = offset_of(fd);
	p->error = 0;
	put(p, &section, sizeof(section));
	put_option(p, OPTION_APPLICATION, application, sizeof(application) - 1);
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, 0);
	put_interface(p, interface);
	return pcapng_flush(p);
}

static void put_about(struct pcapng *p, const struct pcapng_about *about, const struct ob_packet *frame)
{
	uint32_t flags = (uint32_t)(FIELD_PREP(FLAGS_DIRECTION, about->direction) |
				    FIELD_PREP(FLAGS_RECEPTION, about->reception));

	put_option(p, OPTION_EPB_FLAGS, &flags, sizeof(flags));
	if ((frame->flags & OB_PACKET_HASH) != 0) {
		/* Bytes, not a number: the highest one first, as tables of such hashes are printed. */
		const uint8_t hash[] = {HASH_TOEPLITZ, (uint8_t)(frame->hash >> 24), (uint8_t)(frame->hash >> 16),
					(uint8_t)(frame->hash >> 8), (uint8_t)frame->hash};

		put_option(p, OPTION_EPB_HASH, hash, sizeof(hash));
	}
	if (about->lost != 0)
		put_option(p, OPTION_EPB_LOST, &about->lost, sizeof(about->lost));
	put_option(p, OPTION_EPB_QUEUE, &about->queue, sizeof(about->queue));
	put_option(p, OPTION_END_MARK, NULL, 0);
}

int pcapng_frame(struct pcapng *p, const struct pcapng_about *about, const struct ob_packet *frame)
{
	const struct ob_packet *first = frame;
	uint64_t stamp = stamp_of(p, about->stamp_ns);
	uint32_t left = frame->frame_bytes < p->snap_bytes ? frame->frame_bytes : p->snap_bytes;
	const struct packet_head head = {
		.block = {BLOCK_PACKET, 0},
		.stamp_high = (uint32_t)(stamp >> 32),
		.stamp_low = (uint32_t)stamp,
		.captured_bytes = left,
		.original_bytes = frame->frame_bytes,
	};
	size_t start;

	if (p->error == 0 && left + FRAME_EXTRA > sizeof(p->buffer) - p->used)
		pcapng_flush(p);
	if (p->error != 0)
		return p->error;
	p->frames++;
	p->bytes += frame->frame_bytes;
	start = p->used;
	put(p, &head, sizeof(head));
	for (; frame != NULL && left > 0; frame = frame->next) {
		uint32_t part = frame->len_bytes < left ? frame->len_bytes : left;

		put(p, frame->data, part);
		left -= part;
	}
	pad(p);
	put_about(p, about, first);
	end_block(p, start);
	return 0;
}

/* Stamps in options have the higher half first, as those of packets. */
static void put_stamp(struct pcapng *p, uint16_t code, uint64_t ns)
{
	uint64_t stamp = stamp_of(p, ns);
	const uint32_t halves[] = {(uint32_t)(stamp >> 32), (uint32_t)stamp};

	put_option(p, code, halves, sizeof(halves));
}

int pcapng_end(struct pcapng *p, const struct pcapng_counts *counts, uint64_t now_ns)
{
	uint64_t stamp = stamp_of(p, now_ns);
	const struct {
		struct block_head block;
		uint32_t interface, stamp_high, stamp_low;
	} head = {{BLOCK_STATISTICS, 0}, 0, (uint32_t)(stamp >> 32), (uint32_t)stamp};
	size_t start;

	if (p->error == 0 && FRAME_EXTRA > sizeof(p->buffer) - p->used)
		pcapng_flush(p);
	if (p->error != 0)
		return 0;
	start = p->used;
	put(p, &head, sizeof(head));
	put_stamp(p, OPTION_ISB_BEGIN, p->begin_ns);
	put_stamp(p, OPTION_ISB_END, now_ns);
	put_option(p, OPTION_ISB_RECEIVED, &counts->received, sizeof(counts->received));
	if (counts->missed != 0)
		put_option(p, OPTION_ISB_MISSED, &counts->missed, sizeof(counts->missed));
	put_option(p, OPTION_ISB_OS_LOST, &counts->damaged, sizeof(counts->damaged));
	put_option(p, OPTION_ISB_TO_USER, &counts->delivered, sizeof(counts->delivered));
	put_option(p, OPTION_END_MARK, NULL, 0);
	end_block(p, start);
	return pcapng_flush(p);
}

/* The frames among the first @bytes of the buffer; *@whole: where the last of the blocks that are in them ends. */
static uint64_t count_frames(const struct pcapng *p, size_t bytes, size_t *whole)
{
	struct block_head block;
	uint64_t frames = 0;

	for (*whole = 0; *whole < bytes; *whole += block.len_bytes) {
		memcpy(&block, p->buffer + *whole, sizeof(block));
		if (block.len_bytes > bytes - *whole)
			break;
		frames += block.type == BLOCK_PACKET;
	}
	return frames;
}

/* Readers complain of half a frame at the end, and rightly. */
static void cut(struct pcapng *p)
{
	int64_t at = p->offset < 0 ? -1 : (int64_t)lseek(p->fd, 0, SEEK_CUR);
	size_t whole;

	if (at < p->offset || at < 0)
		return;
	p->kept += count_frames(p, (size_t)(at - p->offset), &whole);
	if (ftruncate(p->fd, p->offset + (int64_t)whole) == 0)
		lseek(p->fd, p->offset + (int64_t)whole, SEEK_SET);
}

int pcapng_flush(struct pcapng *p)
{
	size_t whole;

	if (p->error != 0)
		return p->error;
	p->error = write_all(p->fd, p->buffer, p->used);
	if (p->error != 0) {
		cut(p);
		return p->error;
	}
	p->kept += count_frames(p, p->used, &whole);
	if (p->offset >= 0)
		p->offset += (int64_t)p->used;
	p->used = 0;
	return 0;
}
