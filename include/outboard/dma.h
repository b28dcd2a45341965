/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that devices reach.
 *
 * A window is memory that devices may reach, and a capability: a device gets addresses in it only after a grant that
 * says whether it may read, write or both. Buffers inside a granted window need no lookup on the I/O path. Any other
 * memory is bounced, and the copy is counted.
 *
 * Coherent memory (ob_dma_alloc) is for rings and descriptors, shared for as long as it lives. A streaming mapping
 * (ob_dma_map) lends memory to the device for one transfer in one direction.
 */
#ifndef OUTBOARD_DMA_H
#define OUTBOARD_DMA_H

#include <errno.h>
#include <string.h>

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_device;
struct ob_machine;

/* Rights of a grant, and directions of a transfer, from the device's side. */
enum ob_dma_rights {
	OB_DMA_READ = 1,  /* the device reads memory: a disk write, a transmit */
	OB_DMA_WRITE = 2, /* the device writes memory */
	OB_DMA_BOTH = 3,
};

#define OB_DMA_DEVICE_MAX 256 /* devices of one context, of all its machines together, that do DMA */

struct ob_grant {
	uint64_t iova; /* where the window starts for this device */
	uint32_t rights;
};

/* The members are read inline on the I/O path; all others are private to the core. */
struct ob_window {
	uint8_t *base;
	size_t len_bytes;
	struct ob_machine *machine;
	struct ob_grant grant[OB_DMA_DEVICE_MAX]; /* by the device's DMA index */
};

/* One piece of a scatter-gather list. */
struct ob_segment {
	void *base;
	size_t len_bytes;
};

/**
 * ob_window_create - memory that the machine's devices can be given
 * @len_bytes: rounded up to pages
 * @out:       held; ob_window_put() ends it
 *
 * Page aligned and zeroed. No device may use it before ob_window_grant().
 * Context: task, or a plain thread.
 * Return: 0; -ENOMEM; -EINVAL; -ENODEV the machine is dead or closed.
 */
int ob_window_create(struct ob_machine *machine, size_t len_bytes, struct ob_window **out);

/**
 * ob_window_import - make the program's own memory a window
 * @base:      page aligned; stays the program's, and must stay mapped until the last put
 * @len_bytes: not 0
 * @out:       held; ob_window_put() ends it
 *
 * Context: task, or a plain thread.
 * Return: 0; -EOPNOTSUPP this machine's devices cannot reach such memory (it will be bounced); -EINVAL; -ENOMEM; -ENODEV.
 */
int ob_window_import(struct ob_machine *machine, void *base, size_t len_bytes, struct ob_window **out);

/** ob_window_get - hold it once more; returns @window */
struct ob_window *ob_window_get(struct ob_window *window);
/** ob_window_put - at the last put the grants are revoked and the memory goes. No transfer may be under way. */
void ob_window_put(struct ob_window *window);

/** ob_window_grant - let @dev use the window with @rights (more than it had, never less). 0; -ENODEV; -ENOMEM; -EINVAL
 */
int ob_window_grant(struct ob_window *window, struct ob_device *dev, enum ob_dma_rights rights);
/** ob_window_revoke - take the right away again; no transfer may be under way */
void ob_window_revoke(struct ob_window *window, struct ob_device *dev);

/**
 * ob_device_dma_index - the device's index into ob_window.grant; fixed while a driver is bound
 *
 * No two bound devices of a context share one, not even of different machines: so a window that belongs to another
 * machine has no grant where a device looks, and is refused like any other that was never granted.
 */
unsigned ob_device_dma_index(const struct ob_device *dev);

/**
 * ob_window_iova - the device's address of a buffer inside a window
 * @dma_index: of the device
 * @rights:    what the transfer does
 * @out:       the address
 *
 * Context: any; the I/O path.
 * Return: 0; -EACCES no grant with these rights; -EFAULT not inside the window.
 */
static inline int ob_window_iova(const struct ob_window *window, unsigned dma_index, const void *buffer,
				 size_t len_bytes, enum ob_dma_rights rights, ob_iova *out)
{
	size_t offset = (size_t)((const uint8_t *)buffer - window->base);
	const struct ob_grant *grant = &window->grant[dma_index];

	if (OB_UNLIKELY(offset > window->len_bytes || len_bytes > window->len_bytes - offset))
		return -EFAULT;
	if (OB_UNLIKELY((grant->rights & (uint32_t)rights) != (uint32_t)rights))
		return -EACCES;
	out->addr = grant->iova + offset;
	return 0;
}

/* ---- coherent memory ---- */

struct ob_dma {
	void *base; /* zeroed */
	ob_iova iova;
	size_t len_bytes;
};

/**
 * ob_dma_alloc - coherent memory for @dev
 * @len_bytes:   rounded up to cache lines
 * @align_bytes: a power of two; 0 for a cache line
 * @out:         the driver's; ob_dma_free() after the device is quiet
 *
 * Context: task.
 * Return: 0; -ENOMEM; -ENODEV; -EINVAL.
 */
int ob_dma_alloc(struct ob_device *dev, size_t len_bytes, size_t align_bytes, struct ob_dma *out);
/** ob_dma_free - the device must be quiet. An empty @dma is fine; it is emptied. */
void ob_dma_free(struct ob_device *dev, struct ob_dma *dma);

/* ---- streaming mappings ---- */

struct ob_dma_map {
	ob_iova iova;
	size_t len_bytes;
	/* private */
	void *buffer, *bounce;
	enum ob_dma_rights rights;
};

/**
 * ob_dma_map - lend @buffer to the device for one transfer
 * @window: that holds the buffer, or NULL: any memory, which is bounced
 * @rights: the direction
 *
 * From here to ob_dma_unmap() the buffer belongs to the device: the CPU writes none of it, and reads none that the device
 * may write. It lies on no stack; in a window, where the device writes, it shares no cache line with anything else.
 * Bouncing allocates: it is not for the I/O path.
 * Return: 0; -EACCES; -EFAULT; -ENOMEM; -ENODEV.
 */
int ob_dma_map(struct ob_device *dev, struct ob_window *window, void *buffer, size_t len_bytes,
	       enum ob_dma_rights rights, struct ob_dma_map *out);
/** ob_dma_unmap - the transfer is over; copies back what was bounced and written */
void ob_dma_unmap(struct ob_device *dev, struct ob_dma_map *map);

/* One run of device addresses. */
struct ob_dma_piece {
	ob_iova iova;
	size_t len_bytes;
};

struct ob_dma_list {
	struct ob_dma_piece *pieces; /* the caller's array */
	unsigned piece_count;        /* of it used */
	size_t len_bytes;
	/* private */
	const struct ob_segment *segments;
	unsigned segment_count;
	void *bounce;
	enum ob_dma_rights rights;
};

/**
 * ob_dma_map_list - lend the pieces of a scatter-gather list to the device for one transfer
 * @window:   that holds all segments, or NULL: any memory, bounced as a whole into one piece
 * @segments: of @count; the caller's, unchanged until ob_dma_unmap_list()
 * @rights:   the direction
 * @pieces:   room for @piece_max; what is contiguous for the device becomes one piece
 *
 * Nothing is mapped when it fails.
 * Return: 0; -E2BIG more than @piece_max pieces; -EACCES; -EFAULT; -ENOMEM; -ENODEV.
 */
int ob_dma_map_list(struct ob_device *dev, struct ob_window *window, const struct ob_segment *segments, unsigned count,
		    enum ob_dma_rights rights, struct ob_dma_piece *pieces, unsigned piece_max,
		    struct ob_dma_list *out);
/** ob_dma_unmap_list - the transfer is over; copies back what was bounced and written */
void ob_dma_unmap_list(struct ob_device *dev, struct ob_dma_list *list);

struct ob_dma_stats {
	uint64_t coherent_bytes; /* allocated now */
	uint64_t maps;           /* streaming mappings made */
	uint64_t bounces;        /* of which bounced */
	uint64_t bounced_bytes;
};

/** ob_dma_stats - what the device's DMA has cost so far. Any thread; may lag. */
void ob_dma_stats(const struct ob_device *dev, struct ob_dma_stats *out);
/** ob_dma_count_bounce - a class layer that bounces on its own counts it here */
void ob_dma_count_bounce(struct ob_device *dev, size_t len_bytes);

/* ---- copies ---- */

/* Between private and shared memory; the simulated build sees them. @to and @from do not overlap. */
#if defined(OB_SIMULATED)
void ob_dma_copy(void *to, const void *from, size_t len_bytes);
void ob_dma_zero(void *to, size_t len_bytes);
#else
static inline void ob_dma_copy(void *to, const void *from, size_t len_bytes)
{
	memcpy(to, from, len_bytes);
}
static inline void ob_dma_zero(void *to, size_t len_bytes)
{
	memset(to, 0, len_bytes);
}
#endif

#ifdef __cplusplus
}
#endif
#endif
