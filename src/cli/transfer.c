/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of requests on one channel. The thread of the command turns the channel's CPU while it waits. */
#include "cli/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (256 * OB_KIB)
#define TURN_NS     (50 * OB_NS_PER_MS) /* how soon a signal is seen */

int transfer_open(struct transfer *t, struct cli *cli, struct ob_block *block, unsigned depth)
{
	struct ob_block_channel_config config = {.depth = depth, .poll = {.mode = OB_COMPLETION_HYBRID}};
	int error;

	memset(t, 0, sizeof(*t));
	t->cli = cli;
	t->block = block;
	t->cpu = ob_cpu_get(cli->ob, 0);
	ob_block_limits(block, &t->limits);
	t->chunk_bytes = CHUNK_BYTES;
	if (t->limits.transfer_max_bytes && t->limits.transfer_max_bytes < t->chunk_bytes)
		t->chunk_bytes = t->limits.transfer_max_bytes / t->limits.block_bytes * t->limits.block_bytes;
	error = ob_block_channel_open(block, &config, &t->channel);
	if (error)
		return cli_io_error(cli, block, "opening a channel", 0, 0, error, 0);
	t->depth = ob_block_channel_depth(t->channel);
	if (t->depth > depth)
		t->depth = depth;
	t->slots = calloc(t->depth, sizeof(*t->slots));
	error = t->slots ? ob_window_create(ob_device_machine(ob_block_device(block)), t->depth * t->chunk_bytes,
					    &t->window)
			 : -ENOMEM;
	if (!error)
		error = ob_block_grant(block, t->window);
	if (error) {
		transfer_close(t);
		return cli_error(cli, cli_exit_of(error), "%s: %u buffers of %zu bytes: %s", ob_block_name(block),
				 t->depth, t->chunk_bytes, strerror(-error));
	}
	for (unsigned i = 0; i < t->depth; i++)
		t->slots[i].buffer = t->window->base + i * t->chunk_bytes;
	return CLI_OK;
}

void transfer_close(struct transfer *t)
{
	ob_block_channel_close(t->channel); /* what is in flight ends here, so the buffers may go */
	if (t->window)
		ob_window_put(t->window);
	free(t->slots);
	t->channel = NULL;
	t->window = NULL;
	t->slots = NULL;
}

struct transfer_slot *transfer_free_slot(struct transfer *t)
{
	unsigned index = t->first + t->busy;

	if (t->busy == t->depth)
		return NULL;
	return &t->slots[index < t->depth ? index : index - t->depth];
}

static void on_done(struct ob_block_request *request)
{
	struct transfer_slot *slot = request->arg;

	slot->ended = true;
}

int transfer_submit(struct transfer *t, enum ob_block_op op, uint64_t lba, uint32_t block_count, unsigned flags)
{
	struct transfer_slot *slot = transfer_free_slot(t);
	struct ob_block_request *request = &slot->request;
	int error;

	slot->ended = false;
	slot->segment = (struct ob_segment){slot->buffer, (size_t)block_count * t->limits.block_bytes};
	memset(request, 0, sizeof(*request));
	request->op = (uint8_t)op;
	request->flags = (uint8_t)flags;
	request->lba = lba;
	request->block_count = block_count;
	request->segments = &slot->segment;
	request->segment_count = 1;
	request->window = t->window;
	request->done = on_done;
	request->arg = slot;
	error = ob_block_submit(t->channel, request);
	if (error)
		return cli_io_error(t->cli, t->block, ob_block_op_name(op), lba * t->limits.block_bytes,
				    slot->segment.len_bytes, error, 0);
	t->busy++;
	return CLI_OK;
}

int transfer_wait(struct transfer *t, struct transfer_slot **oldest)
{
	struct transfer_slot *slot = &t->slots[t->first];
	const struct ob_block_request *request = &slot->request;

	*oldest = slot;
	ob_block_kick(t->channel);
	while (!slot->ended) { /* the driver's timeouts end every request */
		int n;

		if (cli_interrupted())
			return 128 + cli_interrupted();
		n = ob_cpu_turn(t->cpu, TURN_NS);
		if (n < 0)
			return cli_error(t->cli, CLI_FAILED, "turning the CPU: %s", strerror(-n));
	}
	if (!request->status)
		return CLI_OK;
	return cli_io_error(t->cli, t->block, ob_block_op_name((enum ob_block_op)request->op),
			    request->lba * t->limits.block_bytes, slot->segment.len_bytes, request->status,
			    request->protocol_status);
}

void transfer_release(struct transfer *t)
{
	t->first = t->first + 1 == t->depth ? 0 : t->first + 1;
	t->busy--;
}
