/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volatile write cache over a backing: units written since the last flush are kept in a hash table, in memory only.
 * A power cut loses them, or writes back those that the caller draws, which is what real devices do: any subset of what
 * was not flushed may have reached the medium.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "model/block/backing.h"
#include "model/host.h"

struct unit {
	struct unit *next;  /* in its bucket */
	struct unit *newer; /* in the order of first writing */
	uint64_t offset;
	bool clean; /* as on the medium */
	uint8_t data[];
};

struct cache {
	struct backing base;
	struct model_host *host; /* its memory */
	struct backing *under;
	uint32_t unit_bytes;
	size_t count, bucket_count; /* buckets: a power of two */
	size_t clean_count;
	struct unit **buckets;
	struct unit *oldest, **newest;
};

static struct unit **cache_bucket(const struct cache *c, uint64_t offset)
{
	uint64_t hash = (offset / c->unit_bytes) * 0x9e3779b97f4a7c15ull;

	return &c->buckets[(hash >> 32) & (c->bucket_count - 1)];
}

static struct unit *cache_find(const struct cache *c, uint64_t offset)
{
	struct unit *u = *cache_bucket(c, offset);

	while (u != NULL && u->offset != offset)
		u = u->next;
	return u;
}

/* More buckets when they get long; when there is no memory for that, they stay long. */
static void cache_grow(struct cache *c)
{
	struct unit **old = c->buckets;
	struct unit **fresh;

	if (c->count < c->bucket_count * 2)
		return;
	fresh = c->host->ops->alloc(c->host, c->bucket_count * 4 * sizeof(struct unit *));
	if (fresh == NULL)
		return;
	c->buckets = fresh;
	c->bucket_count *= 4;
	for (struct unit *u = c->oldest; u != NULL; u = u->newer) {
		struct unit **bucket = cache_bucket(c, u->offset);

		u->next = *bucket;
		*bucket = u;
	}
	c->host->ops->free(c->host, old);
}

/* The unit at @offset for writing, filled from below when it is new and @fill. */
static int cache_unit(struct cache *c, uint64_t offset, bool fill, struct unit **out)
{
	struct unit *u = cache_find(c, offset);
	struct unit **bucket;
	int ret;

	if (u != NULL && u->clean) {
		u->clean = false;
		c->clean_count--;
	}
	if (u == NULL) {
		u = c->host->ops->alloc(c->host, sizeof(*u) + c->unit_bytes);
		if (u == NULL)
			return -EIO;
		ret = fill ? c->under->ops->read(c->under, offset, u->data, c->unit_bytes) : 0;
		if (ret != 0) {
			c->host->ops->free(c->host, u);
			return ret;
		}
		cache_grow(c);
		bucket = cache_bucket(c, offset);
		u->offset = offset;
		u->clean = false;
		u->next = *bucket;
		u->newer = NULL;
		*bucket = u;
		*c->newest = u;
		c->newest = &u->newer;
		c->count++;
	}
	*out = u;
	return 0;
}

/* How much of [offset, offset + len) lies in the unit that holds @offset. */
static size_t cache_part(const struct cache *c, uint64_t offset, uint64_t len_bytes)
{
	return (size_t)MIN(len_bytes, c->unit_bytes - offset % c->unit_bytes);
}

static int cache_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	struct cache *c = (struct cache *)b;
	int ret = c->under->ops->read(c->under, offset, to, len_bytes);

	for (size_t done = 0, part; ret == 0 && done < len_bytes && c->count != 0; done += part) {
		uint64_t at = offset + done;
		const struct unit *u = cache_find(c, ALIGN_DOWN(at, (uint64_t)c->unit_bytes));

		part = cache_part(c, at, len_bytes - done);
		if (u != NULL)
			memcpy((uint8_t *)to + done, u->data + at % c->unit_bytes, part);
	}
	return ret;
}

static int cache_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	struct cache *c = (struct cache *)b;

	for (size_t done = 0, part; done < len_bytes; done += part) {
		uint64_t at = offset + done;
		struct unit *u;
		int ret;

		part = cache_part(c, at, len_bytes - done);
		ret = cache_unit(c, ALIGN_DOWN(at, (uint64_t)c->unit_bytes), part != c->unit_bytes, &u);
		if (ret != 0)
			return ret;
		if (from != NULL)
			memcpy(u->data + at % c->unit_bytes, (const uint8_t *)from + done, part);
		else
			memset(u->data + at % c->unit_bytes, 0, part);
	}
	return 0;
}

static int cache_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	/* As volatile as a write: after a power cut the old data may be back. */
	return cache_write(b, offset, NULL, (size_t)len_bytes);
}

static void cache_drop(struct cache *c)
{
	struct unit *next;

	for (struct unit *u = c->oldest; u != NULL; u = next) {
		next = u->newer;
		c->host->ops->free(c->host, u);
	}
	memset(c->buckets, 0, c->bucket_count * sizeof(struct unit *));
	c->oldest = NULL;
	c->newest = &c->oldest;
	c->count = c->clean_count = 0;
}

static int cache_write_back(struct cache *c, bool (*keep)(void *arg, uint64_t offset), void *arg)
{
	for (struct unit *u = c->oldest; u != NULL; u = u->newer) {
		int ret;

		if (u->clean || (keep != NULL && !keep(arg, u->offset)))
			continue;
		ret = c->under->ops->write(c->under, u->offset, u->data, c->unit_bytes);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int cache_flush(struct backing *b)
{
	struct cache *c = (struct cache *)b;
	int ret = cache_write_back(c, NULL, NULL);

	if (ret != 0)
		return ret;
	cache_drop(c);
	return c->under->ops->flush(c->under);
}

static int cache_persist(struct backing *b, uint64_t offset, uint64_t len_bytes)
{
	struct cache *c = (struct cache *)b;

	for (uint64_t at = ALIGN_DOWN(offset, (uint64_t)c->unit_bytes); at < offset + len_bytes; at += c->unit_bytes) {
		struct unit *u = cache_find(c, at);
		int ret;

		if (u == NULL || u->clean)
			continue;
		ret = c->under->ops->write(c->under, at, u->data, c->unit_bytes);
		if (ret != 0)
			return ret;
		u->clean = true;
		c->clean_count++;
	}
	return 0;
}

static int cache_resize(struct backing *b, uint64_t len_bytes)
{
	struct cache *c = (struct cache *)b;
	int ret = cache_flush(b);

	if (ret == 0)
		ret = c->under->ops->resize(c->under, len_bytes);
	if (ret == 0)
		b->len_bytes = len_bytes;
	return ret;
}

static void cache_destroy(struct backing *b)
{
	struct cache *c = (struct cache *)b;

	/* The machine is put away in order, which is not a power cut. */
	cache_flush(b);
	cache_drop(c);
	backing_destroy(c->under);
	c->host->ops->free(c->host, c->buckets);
	c->host->ops->free(c->host, c);
}

static const struct backing_ops cache_ops = {
	.read = cache_read,
	.write = cache_write,
	.flush = cache_flush,
	.persist = cache_persist,
	.zero = cache_zero,
	.resize = cache_resize,
	.destroy = cache_destroy,
};

int backing_cache_create(struct model_host *host, struct backing *under, uint32_t unit_bytes, struct backing **out)
{
	struct cache *c;

	if (!IS_POWER_OF_2(unit_bytes) || under->len_bytes % unit_bytes != 0)
		return -EINVAL;
	c = host->ops->alloc(host, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->bucket_count = 256;
	c->buckets = host->ops->alloc(host, c->bucket_count * sizeof(struct unit *));
	if (c->buckets == NULL) {
		host->ops->free(host, c);
		return -ENOMEM;
	}
	c->host = host;
	c->base.ops = &cache_ops;
	c->base.len_bytes = under->len_bytes;
	c->under = under;
	c->unit_bytes = unit_bytes;
	c->newest = &c->oldest;
	*out = &c->base;
	return 0;
}

int backing_cache_power_cut(struct backing *cache, bool (*keep)(void *arg, uint64_t offset), void *arg)
{
	struct cache *c = (struct cache *)cache;
	int ret = 0;

	if (cache->ops != &cache_ops)
		return -EINVAL;
	if (keep != NULL)
		ret = cache_write_back(c, keep, arg);
	cache_drop(c);
	return ret;
}

size_t backing_cache_dirty(const struct backing *cache)
{
	return cache->ops == &cache_ops
		       ? ((const struct cache *)cache)->count - ((const struct cache *)cache)->clean_count
		       : 0;
}
