/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the block class's tests. */
#include "tests/ram_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

unsigned ram_ends;

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	struct ram_world *w = arg;
	size_t len = strlen(w->log);

	snprintf(w->log + len, sizeof(w->log) - len, "%s\n", message);
}

struct ram_block_config ram_world_disk(void)
{
	return (struct ram_block_config){.limits = ram_block_limits(512, 8192), .seed = 1, .bad_lba = UINT64_MAX};
}

void ram_world_open(struct ram_world *w, unsigned cpus, const struct ram_block_config *disk)
{
	struct ob_config config = {.log = keep_log, .log_arg = w, .log_level = OB_LOG_WARN, .cpu_count = cpus};
	struct ram_block_config usual = ram_world_disk();

	memset(w, 0, sizeof(*w));
	assert_int_equal(ob_create(&config, &w->ob), 0);
	assert_int_equal(ram_machine_open(w->ob, &w->machine), 0);
	assert_int_equal(ram_block_create(w->machine, disk != NULL ? disk : &usual, &w->ram), 0);
	w->block = ob_block_get(w->ram->block);
	assert_int_equal(ob_window_create(w->machine, RAM_WORLD_BYTES, &w->window), 0);
	assert_int_equal(ob_block_grant(w->block, w->window), 0);
	w->plain = aligned_alloc(4096, RAM_WORLD_BYTES);
	assert_non_null(w->plain);
	memset(w->plain, 0, RAM_WORLD_BYTES);
	ram_ends = 0;
}

void ram_world_channel(struct ram_world *w, unsigned depth, enum ob_completion_mode mode)
{
	struct ob_block_channel_config config = {.depth = depth, .poll.mode = mode};

	assert_int_equal(ob_block_channel_open(w->block, &config, &w->channel), 0);
}

void ram_world_close(struct ram_world *w)
{
	ob_block_channel_close(w->channel);
	if (w->ram->violations != 0)
		print_error("the class broke its word: %s\n", w->ram->violation);
	assert_int_equal(w->ram->violations, 0);
	ob_block_put(w->block);
	ram_block_destroy(w->ram);
	ob_window_put(w->window);
	ob_machine_close(w->machine);
	ob_destroy(w->ob);
	free(w->plain);
}

static void io_done(struct ob_block_request *request)
{
	struct ram_io *io = (struct ram_io *)(void *)request;

	io->ends++;
	io->order = ++ram_ends;
}

void ram_io_init(struct ram_io *io, struct ram_world *w, enum ob_block_op op, uint64_t lba, uint32_t count,
		 void *memory)
{
	uint8_t *p = memory, *base = w->window->base;
	bool in_window = p >= base && p < base + RAM_WORLD_BYTES;

	memset(io, 0, sizeof(*io));
	io->world = w;
	io->segment = (struct ob_segment){.base = memory,
					  .len_bytes = (size_t)count * w->ram->config.limits.block_bytes};
	io->request = (struct ob_block_request){.op = (uint8_t)op,
						.segment_count = memory != NULL,
						.block_count = count,
						.lba = lba,
						.segments = memory != NULL ? &io->segment : NULL,
						.window = in_window ? w->window : NULL,
						.done = io_done};
}

void ram_io_submit(struct ram_io *io)
{
	assert_int_equal(ob_block_submit(io->world->channel, &io->request), 0);
}

int ram_io_wait(struct ram_io *io)
{
	uint64_t deadline_ns = ob_deadline(10 * OB_NS_PER_S);

	while (io->ends == 0 && ob_now_ns() < deadline_ns)
		ob_cpu_turn(ob_cpu_get(io->world->ob, 0), OB_NS_PER_MS);
	assert_int_equal(io->ends, 1);
	return io->request.status;
}

int ram_io_do(struct ram_world *w, enum ob_block_op op, uint64_t lba, uint32_t count, void *memory, unsigned flags)
{
	struct ram_io io;

	ram_io_init(&io, w, op, lba, count, memory);
	io.request.flags = (uint8_t)flags;
	ram_io_submit(&io);
	ob_block_kick(w->channel);
	return ram_io_wait(&io);
}

void ram_world_turn(struct ram_world *w, unsigned turns)
{
	while (turns-- > 0)
		ob_cpu_turn(ob_cpu_get(w->ob, 0), 0);
}

void ram_world_stats(struct ram_world *w, struct ob_block_stats *out)
{
	ob_block_stats(w->block, out);
}
