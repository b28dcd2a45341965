/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children: one command's worth of a request that the device cannot take as it is. They and their bounce buffers are
 * made when the channel opens; on the I/O path they are only taken and given back.
 *
 * A piece of data goes in place when the device can reach it as the limits say, and bounced otherwise; so does a piece
 * that a ragged list would make too short to be worth a command.
 */
#include <errno.h>

#include "block/block.h"
#include "core/context.h"

/* ---- the cursor over a parent's data ---- */

static void cursor_advance(const struct ob_block_request *parent, uint16_t *segment, uint64_t *offset, uint64_t bytes)
{
	while (bytes > 0 && *segment < parent->segment_count) {
		uint64_t rest = parent->segments[*segment].len_bytes - *offset;

		if (bytes < rest) {
			*offset += bytes;
			return;
		}
		bytes -= rest;
		*offset = 0;
		(*segment)++;
	}
}

/* Drop the end of a list so that @bytes becomes whole blocks. */
static uint32_t trim_to_blocks(struct block_child *child, uint32_t bytes, uint32_t block_bytes)
{
	uint32_t excess = bytes & (block_bytes - 1);
	uint16_t *count = &child->request.segment_count;

	bytes -= excess;
	while (excess > 0) {
		struct ob_segment *last = &child->segments[*count - 1];

		if (last->len_bytes > excess) {
			last->len_bytes -= excess;
			break;
		}
		excess -= (uint32_t)last->len_bytes;
		(*count)--;
	}
	return bytes;
}

/* Collect what the device can take in place from the cursor on. Returns bytes of whole blocks; 0: none. */
static uint32_t collect_in_place(const struct block_channel *c, struct ob_block_request *parent,
				 struct block_child *child, uint32_t bytes_max)
{
	const struct ob_block_limits *l = &c->limits;
	const struct block_parent *p = block_parent(parent);
	enum ob_dma_rights rights = parent->op == OB_BLOCK_READ ? OB_DMA_WRITE : OB_DMA_READ;
	uint64_t length_mask = MIN(c->align_mask, l->block_bytes - 1), offset = p->segment_offset, end = 0;
	uint32_t total = 0;

	child->request.segment_count = 0;
	for (unsigned i = p->segment; i < parent->segment_count && total < bytes_max; i++, offset = 0) {
		const struct ob_segment *s = &parent->segments[i];
		uint8_t *base = (uint8_t *)s->base + offset;
		size_t len_bytes = MIN(s->len_bytes - offset, bytes_max - total);
		ob_iova iova;

		if (child->request.segment_count == c->child_segments ||
		    ob_window_iova(parent->window, c->pub.dma_index, base, len_bytes, rights, &iova) != 0)
			break;
		if ((iova.addr & c->align_mask) != 0 || (len_bytes & length_mask) != 0)
			break;
		if (total > 0 && ((iova.addr | end) & l->boundary_mask) != 0)
			break;
		child->segments[child->request.segment_count++] = (struct ob_segment){.base = base,
										      .len_bytes = len_bytes};
		total += (uint32_t)len_bytes;
		end = iova.addr + len_bytes;
	}
	return trim_to_blocks(child, total, l->block_bytes);
}

/* ---- bouncing ---- */

static void bounce_copy(const struct block_child *child, bool in)
{
	const struct ob_block_request *parent = child->request.parent;
	uint8_t *bounce = child->bounce;
	uint64_t offset = child->copy_offset, rest = child->segments[0].len_bytes;

	for (unsigned i = child->copy_segment; rest > 0 && i < parent->segment_count; i++, offset = 0) {
		uint8_t *memory = (uint8_t *)parent->segments[i].base + offset;
		size_t len_bytes = MIN(parent->segments[i].len_bytes - offset, rest);

		if (in)
			ob_dma_copy(bounce, memory, len_bytes);
		else
			ob_dma_copy(memory, bounce, len_bytes);
		bounce += len_bytes;
		rest -= len_bytes;
	}
}

void block_child_copy_out(const struct block_child *child)
{
	const struct ob_block_request *parent = child->request.parent;

	if (child->bounce == NULL || child->request.op != OB_BLOCK_READ || !block_wait_hold(parent))
		return;
	bounce_copy(child, false);
	block_wait_release(parent);
}

static void bounce(struct block_channel *c, struct ob_block_request *parent, struct block_child *child, uint32_t bytes)
{
	const struct block_parent *p = block_parent(parent);

	child->bounce = c->free_bounce[--c->free_bounce_count];
	child->copy_segment = p->segment;
	child->copy_offset = p->segment_offset;
	child->segments[0] = (struct ob_segment){.base = child->bounce, .len_bytes = bytes};
	child->request.segment_count = 1;
	child->request.window = c->bounce_window;
	if (parent->op != OB_BLOCK_READ)
		bounce_copy(child, true);
	c->pub.stats.bounces++;
	c->pub.stats.bounced_bytes += bytes;
	ob_dma_count_bounce(c->pub.block->dev, bytes);
	OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_BOUNCE, (uintptr_t)parent, bytes, 0);
}

/* ---- making one ---- */

/* Returns how many blocks, 0: no bounce buffer is free. */
static uint32_t fill_data(struct block_channel *c, struct ob_block_request *parent, struct block_child *child)
{
	struct block_parent *p = block_parent(parent);
	uint64_t rest = (uint64_t)(parent->block_count - p->next_block) << c->block_shift;
	uint32_t most = (uint32_t)MIN(rest, (uint64_t)c->limits.transfer_max_bytes), bytes = 0;

	child->request.window = parent->window;
	child->request.segments = child->segments;
	if (parent->window != NULL)
		bytes = collect_in_place(c, parent, child, most);
	if (bytes < most && bytes < BLOCK_DIRECT_BYTES_MIN) {
		if (c->free_bounce_count == 0)
			return 0;
		bytes = MIN(most, c->bounce_bytes);
		bounce(c, parent, child, bytes);
	}
	cursor_advance(parent, &p->segment, &p->segment_offset, bytes);
	return bytes >> c->block_shift;
}

static uint32_t fill_range(const struct block_channel *c, struct ob_block_request *parent)
{
	uint32_t rest = parent->block_count - block_parent(parent)->next_block;

	return MIN(rest, parent->op == OB_BLOCK_TRIM ? c->limits.trim_max_blocks : c->limits.zeroes_max_blocks);
}

static void count_cut(struct block_channel *c, struct ob_block_request *parent)
{
	struct block_parent *p = block_parent(parent);

	if (p->cut || p->next_block == parent->block_count)
		return;
	p->cut = true;
	c->pub.stats.splits++;
	OB_TRACE(c->pub.cpu, OB_TRACE_BLOCK_SPLIT, (uintptr_t)parent, parent->block_count, 0);
}

static void fill_flush(struct ob_block_request *request)
{
	request->op = OB_BLOCK_FLUSH;
	request->flags = 0;
	request->lba = 0;
	request->block_count = 0;
}

struct block_child *block_child_create(struct block_channel *c, struct ob_block_request *parent)
{
	struct block_parent *p = block_parent(parent);
	struct block_child *child = c->free_children;
	struct ob_block_request *request;

	if (child == NULL)
		return NULL;
	request = &child->request;
	*request = (struct ob_block_request){.op = parent->op,
					     .flags = parent->flags,
					     .lba = parent->lba + p->next_block,
					     .channel = &c->pub,
					     .parent = parent};
	child->bounce = NULL;
	if (!c->limits.fua || parent->op == OB_BLOCK_TRIM)
		request->flags &= (uint8_t)~OB_BLOCK_FUA;
	if (p->flush == BLOCK_FLUSH_NOW) {
		fill_flush(request);
		p->flush = BLOCK_FLUSH_NO;
	} else if (parent->segment_count == 0) {
		request->block_count = fill_range(c, parent);
	} else {
		request->block_count = fill_data(c, parent, child);
		if (request->block_count == 0)
			return NULL;
	}
	c->free_children = child->next;
	child->used = true;
	p->next_block += request->block_count;
	p->children++;
	count_cut(c, parent);
	return child;
}

void block_child_destroy(struct block_channel *c, struct block_child *child)
{
	if (child->bounce != NULL)
		c->free_bounce[c->free_bounce_count++] = child->bounce;
	child->bounce = NULL;
	child->used = false;
	child->request.state = BLOCK_IDLE;
	child->next = c->free_children;
	c->free_children = child;
	block_parent(child->request.parent)->children--;
}

/* ---- the pool ---- */

static void *pool_alloc(struct block_channel *c, const char *what, size_t len_bytes)
{
	return hooks_fail(ob_cpu_context(c->pub.cpu), what) ? NULL : ob_alloc(len_bytes);
}

static int create_bounce_buffers(struct block_channel *c, unsigned count)
{
	struct ob_device *dev = c->pub.block->dev;
	uint32_t align = MAX(c->limits.segment_align, 4096u);
	size_t stride, first;
	ob_iova iova;
	int ret;

	c->bounce_bytes = ALIGN_DOWN(MIN(c->limits.transfer_max_bytes, BLOCK_BOUNCE_BYTES_MAX), c->limits.block_bytes);
	stride = ALIGN_UP((size_t)c->bounce_bytes, align);
	c->free_bounce = pool_alloc(c, "block_bounce_list", count * sizeof(*c->free_bounce));
	if (c->free_bounce == NULL)
		return -ENOMEM;
	ret = ob_window_create(ob_device_machine(dev), stride * count + align, &c->bounce_window);
	if (ret != 0)
		return ret;
	ret = ob_window_grant(c->bounce_window, dev, OB_DMA_BOTH);
	if (ret != 0)
		return ret;
	c->pub.dma_index = ob_device_dma_index(dev);
	c->rights_offset = (uint32_t)offsetof(struct ob_window, grant[c->pub.dma_index].rights);
	ret = ob_window_iova(c->bounce_window, c->pub.dma_index, c->bounce_window->base, stride * count, OB_DMA_BOTH,
			     &iova);
	if (ret != 0)
		return ret;
	/* It is the device's address that must be aligned. */
	first = (size_t)(ALIGN_UP(iova.addr, align) - iova.addr);
	for (unsigned i = 0; i < count; i++)
		c->free_bounce[i] = c->bounce_window->base + first + i * stride;
	c->bounce_count = c->free_bounce_count = count;
	return 0;
}

/* What was made before a failure stays until block_pool_destroy(). */
int block_pool_create(struct block_channel *c, unsigned bounce_buffers)
{
	c->child_count = MIN(MAX(c->pub.depth, BLOCK_CHILDREN_MIN), BLOCK_CHILDREN_MAX);
	c->child_segments = MIN(c->limits.segment_max, BLOCK_CHILD_SEGMENTS_MAX);
	c->children = pool_alloc(c, "block_children", c->child_count * sizeof(*c->children));
	if (c->children == NULL)
		return -ENOMEM;
	c->child_segment_memory = pool_alloc(c, "block_child_segments",
					     (size_t)c->child_count * c->child_segments * sizeof(struct ob_segment));
	if (c->child_segment_memory == NULL)
		return -ENOMEM;
	for (unsigned i = c->child_count; i-- > 0;) {
		struct block_child *child = &c->children[i];

		child->segments = &c->child_segment_memory[(size_t)i * c->child_segments];
		child->next = c->free_children;
		c->free_children = child;
	}
	return create_bounce_buffers(c, bounce_buffers);
}

void block_pool_destroy(struct block_channel *c)
{
	if (c->bounce_window != NULL)
		ob_window_put(c->bounce_window);
	ob_free(c->free_bounce);
	ob_free(c->child_segment_memory);
	ob_free(c->children);
	c->bounce_window = NULL;
	c->free_bounce = NULL;
	c->child_segment_memory = NULL;
	c->children = NULL;
	c->free_children = NULL;
}
