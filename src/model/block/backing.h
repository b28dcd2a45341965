/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What holds the data of a block device's model, by byte ranges. The host provides it: memory, a file, nothing at all.
 *
 * A volatile write cache can be laid over a backing: what was written since the last flush is then lost by a power cut,
 * all of it or any part.
 */
#ifndef OB_MODEL_BLOCK_BACKING_H
#define OB_MODEL_BLOCK_BACKING_H

#include <outboard/types.h>

struct backing;
struct model_host;

struct backing_ops {
	/* All: 0 or negative errno (-EIO, -ENOSPC). Ranges are inside len_bytes. */
	int (*read)(struct backing *b, uint64_t offset, void *to, size_t len_bytes);
	int (*write)(struct backing *b, uint64_t offset, const void *from, size_t len_bytes);
	int (*flush)(struct backing *b);
	/* The range alone is on the medium, and no more of what is cached. NULL: flush does for it. */
	int (*persist)(struct backing *b, uint64_t offset, uint64_t len_bytes);
	/* Make the range read as zeroes; @deallocate: and give its storage back. */
	int (*zero)(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate);
	int (*resize)(struct backing *b, uint64_t len_bytes);
	void (*destroy)(struct backing *b);
};

struct backing {
	const struct backing_ops *ops;
	uint64_t len_bytes;
	uint8_t *memory; /* where the data is mapped as a whole, for transfers without a copy between; or NULL */
	bool discards;   /* no data at all: reads give what is in the buffer already, writes go nowhere */
};

/*
 * Plain memory of the host's, zeroed. For small disks in tests and worlds: natively a namespace gets sparse memory or a
 * file. It can be resized up to @len_bytes. 0; -ENOMEM.
 */
int backing_plain_create(struct model_host *host, uint64_t len_bytes, struct backing **out);

/*
 * Memory over @under that keeps writes until flush. It owns @under when it succeeds.
 * @unit_bytes: what is written wholly or not at all, a power of two
 */
int backing_cache_create(struct model_host *host, struct backing *under, uint32_t unit_bytes, struct backing **out);
/*
 * Power is gone: each unit that was not flushed is kept when keep() says so, otherwise lost. keep NULL: all are lost.
 * Only for a backing made by backing_cache_create(); -EINVAL for others. Returns 0, or the error of writing what was
 * kept.
 */
int backing_cache_power_cut(struct backing *cache, bool (*keep)(void *arg, uint64_t offset), void *arg);
/* Units not yet flushed. */
size_t backing_cache_dirty(const struct backing *cache);

static inline void backing_destroy(struct backing *b)
{
	if (b != NULL)
		b->ops->destroy(b);
}

#endif
