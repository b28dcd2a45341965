/* SPDX-License-Identifier: BSD-2-Clause */
/* Splitting, bouncing, FUA by flush, the first error, and cancelling any of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ram_world.h"

static struct ram_world world;

/* A device that can do little: 4 KiB, 3 segments, dwords, pages. */
static struct ram_block_config narrow(void)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.transfer_max_bytes = 4096;
	disk.limits.segment_max = 3;
	disk.limits.segment_align = 4;
	disk.limits.boundary_mask = 4095;
	disk.limits.zeroes_max_blocks = 10;
	disk.limits.trim_max_blocks = 10;
	return disk;
}

struct expect {
	unsigned commands;
	unsigned splits, bounces;
};

/* Write @count blocks from @memory and check what became of it. */
static void expect_write(struct ram_world *w, uint32_t count, uint8_t *memory, struct expect expect)
{
	struct ob_block_stats before, after;
	struct random random = {.state = count};
	unsigned commands = w->ram->commands[OB_BLOCK_WRITE];

	random_fill(&random, memory, count * 512);
	ram_world_stats(w, &before);
	assert_int_equal(ram_io_do(w, OB_BLOCK_WRITE, 7, count, memory, 0), 0);
	ram_world_stats(w, &after);
	assert_memory_equal(w->ram->media + 7 * 512, memory, count * 512);
	assert_int_equal(w->ram->commands[OB_BLOCK_WRITE] - commands, expect.commands);
	assert_int_equal(after.splits - before.splits, expect.splits);
	assert_int_equal(after.bounces - before.bounces, expect.bounces);
	assert_int_equal(after.ops[OB_BLOCK_WRITE] - before.ops[OB_BLOCK_WRITE], 1);
	assert_int_equal(after.bytes[OB_BLOCK_WRITE] - before.bytes[OB_BLOCK_WRITE], count * 512);
	assert_int_equal(after.bounced_bytes - before.bounced_bytes, expect.bounces != 0 ? count * 512 : 0);
}

static void test_write_longer_than_transfer_is_split(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	expect_write(w, 8, w->window->base, (struct expect){1, 0, 0});
	expect_write(w, 9, w->window->base, (struct expect){2, 1, 0});
	expect_write(w, 8, w->window->base + 4, (struct expect){1, 0, 0});
	expect_write(w, 800, w->window->base, (struct expect){100, 1, 0});
	ram_world_close(w);
}

static void test_write_unreachable_memory_is_bounced_and_counted(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;
	struct ob_dma_stats before, after;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	ob_dma_stats(w->ram->dev, &before);
	expect_write(w, 8, w->window->base + 2, (struct expect){1, 0, 1});
	expect_write(w, 8, w->plain, (struct expect){1, 0, 1});
	/* More than there are buffers. */
	expect_write(w, 160, w->plain + 1, (struct expect){20, 1, 20});
	ob_dma_stats(w->ram->dev, &after);
	assert_int_equal(after.bounces - before.bounces, 22);
	assert_int_equal(after.bounced_bytes - before.bounced_bytes, 176 * 512);
	ram_world_close(w);
}

/* Cut 8 blocks into pieces of these lengths, each at a page of its own plus the offset. */
static void expect_pieces(struct ram_world *w, const size_t *lengths, const size_t *offsets, unsigned count,
			  struct expect expect)
{
	struct ob_segment pieces[16];
	struct ob_block_stats before, after;
	unsigned commands = w->ram->commands[OB_BLOCK_WRITE];
	struct ram_io io;
	size_t at = 0;

	ram_io_init(&io, w, OB_BLOCK_WRITE, 0, 0, w->window->base);
	for (unsigned i = 0; i < count; i++) {
		pieces[i] = (struct ob_segment){.base = w->window->base + i * 65536 + offsets[i],
						.len_bytes = lengths[i]};
		memset(pieces[i].base, (int)(0x40 + i), lengths[i]);
		at += lengths[i];
	}
	io.request.block_count = (uint32_t)(at / 512);
	io.request.segments = pieces;
	io.request.segment_count = (uint16_t)count;
	ram_world_stats(w, &before);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), 0);
	ram_world_stats(w, &after);
	at = 0;
	for (unsigned i = 0; i < count; i++) {
		assert_memory_equal(w->ram->media + at, pieces[i].base, lengths[i]);
		at += lengths[i];
	}
	assert_int_equal(w->ram->commands[OB_BLOCK_WRITE] - commands, expect.commands);
	assert_int_equal(after.bounces - before.bounces, expect.bounces);
	assert_int_equal(after.splits - before.splits, expect.splits);
}

static void test_write_pieces_follow_boundary_and_count(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	disk.limits.transfer_max_bytes = 65536;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	/* To a page's end, a page, from a page's start: in place. */
	expect_pieces(w, (size_t[]){1024, 4096, 1024}, (size_t[]){3072, 0, 0}, 3, (struct expect){1, 0, 0});
	/* The second begins, or the first ends, inside a page: too short to be sent alone, so copied. */
	expect_pieces(w, (size_t[]){1024, 1024}, (size_t[]){3072, 512}, 2, (struct expect){1, 0, 1});
	expect_pieces(w, (size_t[]){1024, 1024}, (size_t[]){0, 0}, 2, (struct expect){1, 0, 1});
	/* Long ones go alone and in place. */
	expect_pieces(w, (size_t[]){32768, 32768}, (size_t[]){512, 512}, 2, (struct expect){2, 1, 0});
	/* Four pages where three segments are the most. */
	expect_pieces(w, (size_t[]){8192, 8192, 8192, 32768}, (size_t[]){0, 0, 0, 0}, 4, (struct expect){2, 1, 0});
	/* Pieces that end inside blocks. */
	expect_pieces(w, (size_t[]){100, 412}, (size_t[]){3996, 0}, 2, (struct expect){1, 0, 0});
	expect_pieces(w, (size_t[]){101, 411}, (size_t[]){3995, 0}, 2, (struct expect){1, 0, 1});
	ram_world_close(w);
}

static void test_write_ragged_end_is_cut_back_to_blocks(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	disk.limits.transfer_max_bytes = 65536;
	disk.limits.boundary_mask = 0;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	/* Three segments are the most: the two small ones, or a part of one, wait for the next command. */
	expect_pieces(w, (size_t[]){16384, 100, 100, 312}, (size_t[]){0, 0, 0, 0}, 4, (struct expect){2, 1, 0});
	expect_pieces(w, (size_t[]){16384, 100, 612, 200, 112}, (size_t[]){0, 0, 0, 0, 0}, 5, (struct expect){2, 1, 0});
	ram_world_close(w);
}

static void test_ranges_longer_than_one_command_are_split(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	memset(w->ram->media, 0xff, 512 * 64);
	assert_int_equal(ram_io_do(w, OB_BLOCK_WRITE_ZEROES, 1, 25, NULL, 0), 0);
	assert_int_equal(w->ram->commands[OB_BLOCK_WRITE_ZEROES], 3);
	assert_int_equal(ram_io_do(w, OB_BLOCK_TRIM, 30, 30, NULL, 0), 0);
	assert_int_equal(w->ram->commands[OB_BLOCK_TRIM], 3);
	assert_int_equal(w->ram->media[511], 0xff);
	assert_int_equal(w->ram->media[512], 0);
	assert_int_equal(w->ram->media[26 * 512 - 1], 0);
	assert_int_equal(w->ram->media[26 * 512], 0xff);
	ram_world_close(w);
}

/* ---- FUA ---- */

static void fua(bool has_fua, bool cache, enum ob_block_op op, uint32_t count, unsigned flushes)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	disk.limits.fua = has_fua;
	disk.limits.volatile_cache = cache;
	disk.late_polls_max = 5;
	disk.reorder = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	memset(w->plain, 0x12, count * 512);
	memset(w->ram->media, 0xff, count * 512);
	assert_int_equal(ram_io_do(w, op, 0, count, op == OB_BLOCK_WRITE ? w->plain : NULL, OB_BLOCK_FUA), 0);
	assert_int_equal(w->ram->commands[OB_BLOCK_FLUSH], flushes);
	/* What has ended survives a power cut. */
	assert_memory_equal(w->ram->durable, w->ram->media, count * 512);
	assert_int_equal(w->ram->durable[0], op == OB_BLOCK_WRITE ? 0x12 : 0);
	ram_world_close(w);
}

static void test_fua_without_device_support_is_flushed(void **state)
{
	fua(true, true, OB_BLOCK_WRITE, 1, 0);
	fua(true, true, OB_BLOCK_WRITE, 99, 0);
	fua(false, true, OB_BLOCK_WRITE, 1, 1);
	fua(false, true, OB_BLOCK_WRITE, 99, 1);
	fua(false, false, OB_BLOCK_WRITE, 99, 0);
	fua(true, true, OB_BLOCK_WRITE_ZEROES, 25, 0);
	fua(false, true, OB_BLOCK_WRITE_ZEROES, 25, 1);
	/* No trim command carries FUA. */
	fua(true, true, OB_BLOCK_TRIM, 25, 1);
	fua(true, false, OB_BLOCK_TRIM, 25, 0);
}

static void test_fua_failed_write_is_not_flushed(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;

	disk.limits.fua = false;
	disk.bad_lba = 20;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 0, OB_COMPLETION_INTERRUPT);
	assert_int_equal(ram_io_do(w, OB_BLOCK_WRITE, 0, 32, w->window->base, OB_BLOCK_FUA), -EIO);
	assert_int_equal(w->ram->commands[OB_BLOCK_FLUSH], 0);
	ram_world_close(w);
}

/* ---- errors and cancelling ---- */

static void test_split_first_error_is_the_status(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;
	struct ram_io io;

	disk.bad_lba = 50;
	disk.late_polls_max = 3;
	disk.reorder = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 8, OB_COMPLETION_INTERRUPT);
	for (unsigned i = 0; i < 20; i++) {
		ram_io_init(&io, w, OB_BLOCK_READ, 0, 800, i % 2 != 0 ? w->plain : w->window->base);
		ram_io_submit(&io);
		ob_block_kick(w->channel);
		assert_int_equal(ram_io_wait(&io), -EIO);
		assert_int_equal(io.request.protocol_status, RAM_BLOCK_BAD);
		ram_world_turn(w, 20);
		assert_int_equal(io.ends, 1);
	}
	/* All fail; the first is the one that was reported. */
	w->ram->config = disk;
	w->ram->config.bad_lba = 0;
	w->ram->config.error_percent = 100;
	w->ram->config.late_polls_max = 0;
	w->ram->config.reorder = false;
	ram_io_init(&io, w, OB_BLOCK_READ, 0, 32, w->window->base);
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	assert_int_equal(ram_io_wait(&io), -EIO);
	assert_int_equal(io.request.protocol_status, RAM_BLOCK_BAD);
	/* After the error no more children were made. */
	assert_true(w->ram->commands[OB_BLOCK_READ] < 20 * 60);
	ram_world_close(w);
}

static void test_cancel_anywhere_ends_once(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;
	struct ram_io ios[6];

	disk.hang = true;
	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 8, OB_COMPLETION_INTERRUPT);
	ram_io_init(&ios[0], w, OB_BLOCK_READ, 0, 1, w->window->base);          /* the driver's */
	ram_io_init(&ios[1], w, OB_BLOCK_READ, 0, 16, w->window->base + 65536); /* a parent, all children out */
	ram_io_init(&ios[2], w, OB_BLOCK_READ, 0, 800, w->plain);               /* a parent in the queue */
	ram_io_init(&ios[3], w, OB_BLOCK_READ, 0, 1, w->window->base + 512);    /* waiting behind it */
	ram_io_init(&ios[4], w, OB_BLOCK_READ, 0, 16, w->plain + 524288);       /* a parent without children */
	for (unsigned i = 0; i < 5; i++)
		ram_io_submit(&ios[i]);
	ob_block_kick(w->channel);
	ram_world_turn(w, 5);
	assert_int_equal(ram_ends, 0);
	for (unsigned i = 5; i-- > 0;) {
		assert_int_equal(ob_block_cancel(w->channel, &ios[i].request), 0);
		assert_int_equal(ios[i].ends, 0);
		assert_int_equal(ram_io_wait(&ios[i]), -ECANCELED);
		assert_int_equal(ob_block_cancel(w->channel, &ios[i].request), -ENOENT);
	}
	assert_int_equal(ram_ends, 5);
	ram_io_init(&ios[5], w, OB_BLOCK_READ, 0, 1, w->window->base);
	assert_int_equal(ob_block_cancel(w->channel, &ios[5].request), -ENOENT);
	/* All children and buffers are back. */
	w->ram->config.hang = false;
	assert_int_equal(ram_io_do(w, OB_BLOCK_READ, 0, 800, w->plain, 0), 0);
	ram_world_close(w);
}

static void test_cancel_stalled_child_lets_others_go_on(void **state)
{
	struct ram_block_config disk = narrow();
	struct ram_world *w = &world;
	struct ram_io a, b;

	ram_world_open(w, 1, &disk);
	ram_world_channel(w, 8, OB_COMPLETION_INTERRUPT);
	w->ram->config.full_percent = 100;
	ram_io_init(&a, w, OB_BLOCK_WRITE, 0, 1, w->plain);
	ram_io_init(&b, w, OB_BLOCK_READ, 5, 20, w->plain + 65536);
	ram_io_submit(&a);
	ram_io_submit(&b);
	assert_int_equal(ob_block_cancel(w->channel, &a.request), 0);
	assert_int_equal(ram_io_wait(&a), -ECANCELED);
	assert_int_equal(b.ends, 0);
	w->ram->config.full_percent = 0;
	assert_int_equal(ram_io_wait(&b), 0);
	assert_int_equal(w->ram->commands[OB_BLOCK_WRITE], 0);
	ram_world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_longer_than_transfer_is_split),
		cmocka_unit_test(test_write_unreachable_memory_is_bounced_and_counted),
		cmocka_unit_test(test_write_pieces_follow_boundary_and_count),
		cmocka_unit_test(test_write_ragged_end_is_cut_back_to_blocks),
		cmocka_unit_test(test_ranges_longer_than_one_command_are_split),
		cmocka_unit_test(test_fua_without_device_support_is_flushed),
		cmocka_unit_test(test_fua_failed_write_is_not_flushed),
		cmocka_unit_test(test_split_first_error_is_the_status),
		cmocka_unit_test(test_cancel_anywhere_ends_once),
		cmocka_unit_test(test_cancel_stalled_child_lets_others_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
