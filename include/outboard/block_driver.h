/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block class from a driver's side: publish a block device, open channels, take requests, end them.
 *
 * What reaches a driver has been checked and cut to its limits: aligned, in range, at most transfer_max_bytes and
 * segment_max segments that respect boundary_mask and segment_align, all inside a window that is granted. FUA reaches
 * it only when limits.fua is set; the class sends a flush otherwise.
 */
#ifndef OUTBOARD_BLOCK_DRIVER_H
#define OUTBOARD_BLOCK_DRIVER_H

#include <outboard/block.h>
#include <outboard/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_block_ops {
	/*
	 * channel_open - make the driver's side of a channel: a queue pair on channel->cpu. Task on CPU 0.
	 * Sets channel->driver_data, depth (at most what is there), and mode. The driver starts its ob_poll itself, on
	 * channel->cpu. Return: 0; -ENOSPC; -ENOMEM; -ENODEV; -ETIMEDOUT.
	 */
	int (*channel_open)(struct ob_block *block, struct ob_block_channel *channel);
	/* channel_close - end what is in flight with -ECANCELED, on channel->cpu; free all. Task on CPU 0. */
	void (*channel_close)(struct ob_block_channel *channel);
	/*
	 * submit - 0, or -EAGAIN full (kick was not needed to make room), -ENODEV. Owner CPU.
	 * Until its end the request's tag and next are the driver's; its other members are not.
	 */
	int (*submit)(struct ob_block_channel *channel, struct ob_block_request *request);
	void (*kick)(struct ob_block_channel *channel);
	unsigned (*poll)(struct ob_block_channel *channel, unsigned budget);
	/* cancel - ask the device to give a request back early; it ends through ob_block_end(). Owner CPU. */
	int (*cancel)(struct ob_block_channel *channel, struct ob_block_request *request);
};

/* Read by drivers; the class fills it. The first members are the I/O path's. */
struct ob_block_channel {
	const struct ob_block_ops *ops;
	void *driver_data;
	struct ob_block *block;
	struct ob_cpu *cpu;
	unsigned depth;     /* in: wished; out: given */
	unsigned dma_index; /* of the device, for ob_window_iova() */
	enum ob_completion_mode mode;
	struct ob_poll_config poll;
	uint64_t timeout_ns; /* 0: the driver's default */
	struct ob_block_stats stats;
};

struct ob_block_info {
	const char *name;                      /* "nvme0n1"; copied */
	const char *model, *serial, *firmware; /* copied; from the device, so not yet trusted */
	struct ob_block_limits limits;
	const struct ob_block_ops *ops;
	void *driver_data;
};

/** ob_block_publish - make a block device of @dev visible. Task. 0; -EEXIST; -EINVAL limits that make no sense; -ENOMEM
 */
int ob_block_publish(struct ob_device *dev, const struct ob_block_info *info, struct ob_block **out);
/**
 * ob_block_unpublish - take it away: offline at once, all channels closed (driver's channel_close), last driver put
 *
 * Task on CPU 0. Afterwards no function of the driver is called for it. Open channels answer -ENODEV.
 */
void ob_block_unpublish(struct ob_block *block);
/** ob_block_resize - the device has another size now; channels of other CPUs take it over at their next turn. Task. */
void ob_block_resize(struct ob_block *block, uint64_t block_count);
/** ob_block_driver_data - as it was published */
void *ob_block_driver_data(const struct ob_block *block);

/**
 * ob_block_end - a request of @channel has ended
 * @status:          0 or negative errno
 * @protocol_status: of the device
 *
 * Calls done, which may submit again; later, when the driver is inside its submit, kick, cancel or channel_close. Owner
 * CPU, soft.
 */
void ob_block_end(struct ob_block_channel *channel, struct ob_block_request *request, int status,
		  uint16_t protocol_status);

#ifdef __cplusplus
}
#endif
#endif
