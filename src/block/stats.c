/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of a block device: the sum over its channels, and over those that were closed. */
#include "block/block.h"

/* Words that a running channel counts up on its own CPU; torn sums are fine, torn words are not. */
void block_stats_add(struct ob_block_stats *sum, const struct block_channel *c)
{
	const struct ob_block_stats *s = &c->pub.stats;

	for (unsigned op = 0; op < OB_BLOCK_OP_COUNT; op++) {
		sum->ops[op] += OB_READ_ONCE(s->ops[op]);
		sum->bytes[op] += OB_READ_ONCE(c->blocks[op]) << c->block_shift;
	}
	sum->errors += OB_READ_ONCE(s->errors);
	sum->refused += OB_READ_ONCE(s->refused);
	sum->splits += OB_READ_ONCE(s->splits);
	sum->bounces += OB_READ_ONCE(s->bounces);
	sum->bounced_bytes += OB_READ_ONCE(s->bounced_bytes);
	sum->timeouts += OB_READ_ONCE(s->timeouts);
	sum->aborts += OB_READ_ONCE(s->aborts);
	sum->resets += OB_READ_ONCE(s->resets);
	sum->reissues += OB_READ_ONCE(s->reissues);
}

void ob_block_stats(const struct ob_block *block, struct ob_block_stats *out)
{
	struct ob_lock *lock = (struct ob_lock *)&block->lock;

	ob_lock(lock);
	*out = block->closed;
	list_for_each (node, &block->channels)
		block_stats_add(out, list_entry(node, struct block_channel, link));
	ob_unlock(lock);
}

const char *ob_block_op_name(enum ob_block_op op)
{
	static const char *const names[OB_BLOCK_OP_COUNT] = {
		[OB_BLOCK_READ] = "read",   [OB_BLOCK_WRITE] = "write",
		[OB_BLOCK_FLUSH] = "flush", [OB_BLOCK_WRITE_ZEROES] = "write-zeroes",
		[OB_BLOCK_TRIM] = "trim",   [OB_BLOCK_COMPARE] = "compare",
	};

	return (unsigned)op < OB_BLOCK_OP_COUNT ? names[op] : "unknown";
}
