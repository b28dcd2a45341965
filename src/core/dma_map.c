/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streaming mappings of buffers and of lists of them. What lies in a granted window is mapped as it is; anything else is
 * bounced through memory that the device has for as long, and counted.
 */
#include <errno.h>

#include <outboard/driver.h>

#include "base/bits.h"
#include "core/context.h"
#include "core/device.h"
#include "core/dma_block.h"
#include "core/machine_core.h"
#include "core/watch.h"

/* ---- one buffer ---- */

int ob_dma_map(struct ob_device *dev, struct ob_window *window, void *buffer, size_t len_bytes,
	       enum ob_dma_rights rights, struct ob_dma_map *out)
{
	struct dma_block *block;
	int rc;

	*out = (struct ob_dma_map){0};
	if (buffer == NULL || len_bytes == 0 || len_bytes > SIZE_MAX - (OB_CACHE_LINE - 1) || rights == 0)
		return -EFAULT;
	if (hooks_fail(dev->machine->ob, __func__))
		return -ENOMEM;
	if (device_is_gone(dev) || dev->dma_index < 0)
		return -ENODEV;
	if (window != NULL) {
		rc = ob_window_iova(window, (unsigned)dev->dma_index, buffer, len_bytes, rights, &out->iova);
		if (rc != 0)
			return rc;
	} else {
		rc = dma_block_new(dev, ALIGN_UP(len_bytes, (size_t)OB_CACHE_LINE), OB_CACHE_LINE, (unsigned)rights,
				   &block);
		if (rc != 0)
			return rc;
		block->bounce = true;
		if (rights & OB_DMA_READ)
			ob_dma_copy(block->dma.base, buffer, len_bytes);
		out->iova = block->dma.iova;
		out->bounce = block;
		ob_dma_count_bounce(dev, len_bytes);
	}
	__atomic_fetch_add(&dev->dma_stats.maps, 1, __ATOMIC_RELAXED);
	watch_map(dev, buffer, len_bytes, (unsigned)rights, out->iova.addr, window != NULL);
	out->buffer = buffer;
	out->len_bytes = len_bytes;
	out->rights = rights;
	return 0;
}

void ob_dma_unmap(struct ob_device *dev, struct ob_dma_map *map)
{
	struct dma_block *block = map->bounce;

	watch_unmap(dev, map->buffer, map->len_bytes, map->iova.addr, block == NULL);
	if (block != NULL) {
		if (map->rights & OB_DMA_WRITE)
			ob_dma_copy(map->buffer, block->dma.base, map->len_bytes);
		dma_block_delete(dev, block);
	}
	*map = (struct ob_dma_map){0};
}

/* ---- scatter-gather ---- */

/* The bytes of all segments; 0 when the list makes no sense. */
static size_t list_len(const struct ob_segment *segments, unsigned count)
{
	size_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t len = segments[i].len_bytes;

		if (segments[i].base == NULL || len == 0 || len > SIZE_MAX - (OB_CACHE_LINE - 1) - sum)
			return 0;
		sum += len;
	}
	return sum;
}

static int list_in_window(const struct ob_device *dev, const struct ob_window *window, unsigned piece_max,
			  struct ob_dma_list *list)
{
	for (unsigned i = 0; i < list->segment_count; i++) {
		const struct ob_segment *s = &list->segments[i];
		struct ob_dma_piece *last = list->piece_count > 0 ? &list->pieces[list->piece_count - 1] : NULL;
		ob_iova iova;
		int rc = ob_window_iova(window, (unsigned)dev->dma_index, s->base, s->len_bytes, list->rights, &iova);

		if (rc != 0)
			return rc;
		if (last != NULL && last->iova.addr + last->len_bytes == iova.addr) {
			last->len_bytes += s->len_bytes;
			continue;
		}
		if (list->piece_count == piece_max)
			return -E2BIG;
		list->pieces[list->piece_count++] = (struct ob_dma_piece){iova, s->len_bytes};
	}
	return 0;
}

static void list_copy(const struct ob_dma_list *list, bool to_bounce)
{
	struct dma_block *block = list->bounce;
	uint8_t *at = block->dma.base;

	for (unsigned i = 0; i < list->segment_count; i++) {
		const struct ob_segment *s = &list->segments[i];

		if (to_bounce)
			ob_dma_copy(at, s->base, s->len_bytes);
		else
			ob_dma_copy(s->base, at, s->len_bytes);
		at += s->len_bytes;
	}
}

static int list_bounced(struct ob_device *dev, unsigned piece_max, struct ob_dma_list *list)
{
	struct dma_block *block;
	int rc;

	if (piece_max == 0)
		return -E2BIG;
	rc = dma_block_new(dev, ALIGN_UP(list->len_bytes, (size_t)OB_CACHE_LINE), OB_CACHE_LINE, (unsigned)list->rights,
			   &block);
	if (rc != 0)
		return rc;
	block->bounce = true;
	list->bounce = block;
	if (list->rights & OB_DMA_READ)
		list_copy(list, true);
	list->pieces[0] = (struct ob_dma_piece){block->dma.iova, list->len_bytes};
	list->piece_count = 1;
	ob_dma_count_bounce(dev, list->len_bytes);
	return 0;
}

int ob_dma_map_list(struct ob_device *dev, struct ob_window *window, const struct ob_segment *segments, unsigned count,
		    enum ob_dma_rights rights, struct ob_dma_piece *pieces, unsigned piece_max, struct ob_dma_list *out)
{
	struct ob_dma_list list = {
		.pieces = pieces,
		.len_bytes = list_len(segments, count),
		.segments = segments,
		.segment_count = count,
		.rights = rights,
	};
	int rc;

	*out = (struct ob_dma_list){0};
	if (list.len_bytes == 0 || rights == 0)
		return -EFAULT;
	if (hooks_fail(dev->machine->ob, __func__))
		return -ENOMEM;
	if (device_is_gone(dev) || dev->dma_index < 0)
		return -ENODEV;
	rc = window != NULL ? list_in_window(dev, window, piece_max, &list) : list_bounced(dev, piece_max, &list);
	if (rc != 0)
		return rc;
	__atomic_fetch_add(&dev->dma_stats.maps, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < count; i++)
		watch_map(dev, segments[i].base, segments[i].len_bytes, (unsigned)rights, pieces[0].iova.addr,
			  window != NULL);
	*out = list;
	return 0;
}

void ob_dma_unmap_list(struct ob_device *dev, struct ob_dma_list *list)
{
	struct dma_block *block = list->bounce;

	for (unsigned i = 0; i < list->segment_count; i++)
		watch_unmap(dev, list->segments[i].base, list->segments[i].len_bytes, list->pieces[0].iova.addr,
			    block == NULL);
	if (block != NULL) {
		if (list->rights & OB_DMA_WRITE)
			list_copy(list, false);
		dma_block_delete(dev, block);
	}
	*list = (struct ob_dma_list){0};
}

void ob_dma_count_bounce(struct ob_device *dev, size_t len_bytes)
{
	__atomic_fetch_add(&dev->dma_stats.bounces, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&dev->dma_stats.bounced_bytes, len_bytes, __ATOMIC_RELAXED);
}
