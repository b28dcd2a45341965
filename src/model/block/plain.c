/* SPDX-License-Identifier: BSD-2-Clause */
/* A backing of plain memory. */
#include <errno.h>
#include <string.h>

#include "model/block/backing.h"
#include "model/host.h"

struct plain {
	struct backing base;
	struct model_host *host;
	uint64_t len_max_bytes;
};

static int plain_read(struct backing *b, uint64_t offset, void *to, size_t len_bytes)
{
	memcpy(to, b->memory + offset, len_bytes);
	return 0;
}

static int plain_write(struct backing *b, uint64_t offset, const void *from, size_t len_bytes)
{
	memcpy(b->memory + offset, from, len_bytes);
	return 0;
}

static int plain_flush(struct backing *b)
{
	return 0;
}

static int plain_zero(struct backing *b, uint64_t offset, uint64_t len_bytes, bool deallocate)
{
	memset(b->memory + offset, 0, (size_t)len_bytes);
	return 0;
}

static int plain_resize(struct backing *b, uint64_t len_bytes)
{
	if (len_bytes > ((struct plain *)b)->len_max_bytes)
		return -ENOSPC;
	b->len_bytes = len_bytes;
	return 0;
}

static void plain_destroy(struct backing *b)
{
	struct model_host *host = ((struct plain *)b)->host;

	host->ops->free(host, b->memory);
	host->ops->free(host, b);
}

static const struct backing_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.flush = plain_flush,
	.zero = plain_zero,
	.resize = plain_resize,
	.destroy = plain_destroy,
};

int backing_plain_create(struct model_host *host, uint64_t len_bytes, struct backing **out)
{
	struct plain *p = host->ops->alloc(host, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->base.ops = &plain_ops;
	p->base.len_bytes = p->len_max_bytes = len_bytes;
	p->host = host;
	p->base.memory = host->ops->alloc(host, len_bytes);
	if (p->base.memory == NULL) {
		host->ops->free(host, p);
		return -ENOMEM;
	}
	*out = &p->base;
	return 0;
}
