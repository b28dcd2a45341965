/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices.
 *
 * A channel is one CPU's way into a block device (a queue pair). On it, in soft or task context of that CPU or on the
 * thread that turns it: fill a request, ob_block_submit() it, ob_block_kick() once per batch, and get each back exactly
 * once, by its done function, or by ob_block_reap() where it has none.
 *
 * The simple way: ob_block_read() and its relatives wait; in a task, or on any plain thread.
 */
#ifndef OUTBOARD_BLOCK_H
#define OUTBOARD_BLOCK_H

#include <outboard/dma.h>
#include <outboard/poll.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_block;
struct ob_work;
struct ob_block_channel;
struct ob_cpu;
struct ob_device;
struct ob_machine;

enum ob_block_op {
	OB_BLOCK_READ,
	OB_BLOCK_WRITE,
	OB_BLOCK_FLUSH,
	OB_BLOCK_WRITE_ZEROES,
	OB_BLOCK_TRIM,
	OB_BLOCK_COMPARE, /* -EILSEQ when the data differs */
	OB_BLOCK_OP_COUNT
};

/* Request flags. */
#define OB_BLOCK_FUA     0x1u /* durable when it ends; a device that lacks FUA gets a flush after the write instead */
#define OB_BLOCK_NO_TRIM 0x2u /* write zeroes: keep the blocks allocated */

struct ob_block_request {
	/* the caller's, unchanged until the request ends */
	uint8_t op; /* enum ob_block_op */
	uint8_t flags;
	uint16_t segment_count;            /* of data; 0 for flush, write zeroes, trim */
	uint32_t block_count;              /* of the device's blocks */
	uint64_t lba;                      /* first block */
	const struct ob_segment *segments; /* their lengths add up to block_count blocks */
	struct ob_window *window; /* that holds all segments, granted to the device; NULL: any memory, bounced */
	void (*done)(struct ob_block_request *request); /* soft context; may submit again; NULL: reap it */
	void *arg;
	/* the result, valid when the request has ended */
	int status;               /* 0 or negative errno */
	uint16_t protocol_status; /* the device's own (NVMe: SCT << 8 | SC); 0 when there is none */
	/* private */
	uint16_t state;
	uint32_t tag;
	struct ob_block_channel *channel;
	struct ob_block_request *next;
	struct ob_block_request *parent;
	uint64_t private_data[4]; /* class; drivers keep theirs by tag */
};

/* What the device can do. Byte values are per request as the device sees it; larger requests are split by the class. */
struct ob_block_limits {
	uint32_t block_bytes;    /* 512 or 4096 */
	uint32_t physical_bytes; /* that writes should be aligned to and a multiple of */
	uint32_t optimal_bytes;  /* for throughput; 0 unknown */
	uint64_t block_count;
	uint32_t transfer_max_bytes; /* one device command */
	uint16_t segment_max;        /* one device command */
	uint32_t segment_align;      /* address of data, a power of two; else it is bounced */
	uint32_t boundary_mask;      /* inner segment ends are multiples of mask + 1 (NVMe PRP: page - 1); 0: any */
	uint32_t zeroes_max_blocks, trim_max_blocks; /* one command; 0 not offered */
	uint32_t request_segment_max;                /* that ob_block_submit() takes in one request */
	bool read_only, volatile_cache, fua, flush, write_zeroes, trim, compare;
	bool trim_reads_zero; /* trimmed blocks read as zeroes */
	bool rotational;
};

struct ob_block_stats {
	uint64_t ops[OB_BLOCK_OP_COUNT];
	uint64_t bytes[OB_BLOCK_OP_COUNT];
	uint64_t errors;  /* ended with a status */
	uint64_t refused; /* misuse, stopped before the device */
	uint64_t splits, bounces, bounced_bytes;
	uint64_t timeouts, aborts, resets, reissues; /* of the driver */
};

/* ---- finding ---- */

/** ob_block_next - iterate the context's block devices; @previous is put, the result is held. NULL ends. */
struct ob_block *ob_block_next(struct ob *ob, struct ob_block *previous);
/** ob_block_find - by name ("nvme0n1"), or the first one when @name is NULL; held; NULL when there is none */
struct ob_block *ob_block_find(struct ob *ob, const char *name);
/** ob_block_get, ob_block_put - hold it once more, and let go; any context but hard. Returns @block; NULL may be put. */
struct ob_block *ob_block_get(struct ob_block *block);
void ob_block_put(struct ob_block *block);
/** ob_block_name, ob_block_device - "nvme0n1", and whose it is, not held: valid while the block device is held */
const char *ob_block_name(const struct ob_block *block);
struct ob_device *ob_block_device(const struct ob_block *block);
/** ob_block_model, ob_block_serial, ob_block_firmware - as the device says, trimmed, printable */
const char *ob_block_model(const struct ob_block *block);
const char *ob_block_serial(const struct ob_block *block);
const char *ob_block_firmware(const struct ob_block *block);
/** ob_block_online - false once it is removed */
bool ob_block_online(const struct ob_block *block);
/**
 * ob_block_watch - be told when the block device is removed, for whoever asks nothing of it meanwhile
 * @cpu:  where @work is called, in soft context: once, as the device goes offline, or at once when it is offline
 * @work: the caller's until it ran, or until the watch ended and @cpu has turned; NULL ends the watch
 *
 * There is one watch for each block device: a new one takes the place of the one before.
 * Context: any but hard.
 */
void ob_block_watch(struct ob_block *block, struct ob_cpu *cpu, struct ob_work *work);
/**
 * ob_block_watch_size - be told whenever the size has changed: ob_block_limits() has the new one
 *
 * Else as ob_block_watch(), of which it is independent. Changes that come close together may be told as one.
 */
void ob_block_watch_size(struct ob_block *block, struct ob_cpu *cpu, struct ob_work *work);
/** ob_block_limits - copied as they are now (a resize changes block_count) */
void ob_block_limits(const struct ob_block *block, struct ob_block_limits *out);
/** ob_block_stats - of all channels, those closed too. Any thread; the counts of running channels may lag. */
void ob_block_stats(const struct ob_block *block, struct ob_block_stats *out);
/** ob_block_grant - let the device use a window for I/O in both directions; 0 or negative errno of ob_window_grant() */
int ob_block_grant(struct ob_block *block, struct ob_window *window);

/* ---- channels ---- */

struct ob_block_channel_config {
	struct ob_cpu *cpu;         /* NULL: CPU 0 */
	unsigned depth;             /* requests outstanding; 0: 128; the device may give less */
	struct ob_poll_config poll; /* mode (default interrupt), budget, window */
	unsigned bounce_buffers;    /* 0: 8; each of transfer_max_bytes, at most 128 KiB */
	uint64_t timeout_ns;        /* per request, before abort and reset; 0: the driver's default (NVMe 30 s) */
};

/**
 * ob_block_channel_open - make a channel of @block for one CPU
 * @config: copied; NULL for the defaults
 *
 * Context: task, or a plain thread.
 * Return: 0; -ENODEV; -ENOSPC no queue left; -ENOMEM; -ETIMEDOUT; -EINVAL.
 */
int ob_block_channel_open(struct ob_block *block, const struct ob_block_channel_config *config,
			  struct ob_block_channel **out);
/**
 * ob_block_channel_close - requests still in flight end with -ECANCELED. Task, or a plain thread. NULL is fine.
 *
 * When it returns every request has ended. Those with a done function had it called. Those without, that ended in here
 * or were not reaped before, cannot be reaped any more: their status is valid from now on, and they are the caller's
 * again. Until then all requests stay where they are. (Should CPU 0 or the channel's CPU not answer for so long that
 * the log says the channel leaks, its requests must stay for ever.)
 */
void ob_block_channel_close(struct ob_block_channel *channel);
/** ob_block_channel_depth - requests that may be outstanding: what was wished for, or what the device has */
unsigned ob_block_channel_depth(const struct ob_block_channel *channel);
/** ob_block_channel_block, ob_block_channel_cpu - what it is of, and whose; not held, valid until it is closed */
struct ob_block *ob_block_channel_block(const struct ob_block_channel *channel);
struct ob_cpu *ob_block_channel_cpu(const struct ob_block_channel *channel);
/** ob_block_channel_mode - as it became: interrupt falls back to polled where no vector was to be had */
enum ob_completion_mode ob_block_channel_mode(const struct ob_block_channel *channel);

/**
 * ob_block_submit - hand one request to the device; it may start at once or at the next kick
 * @request: the caller's until it ends
 *
 * A request larger than the device takes is split, one in memory that the device cannot reach is bounced. Requests in
 * flight have no order among them; a flush covers the writes that had ended when it was submitted. No done function
 * runs inside submit, kick or cancel: what ends in there is handed out by the next poll or turn.
 *
 * Context: soft or task of the channel's CPU, or the thread that turns it; the I/O path.
 *
 * Return: 0, the request will end exactly once; or it never started: -EAGAIN full, -ENODEV gone,
 * -EINVAL unaligned, unknown operation or segments that do not add up, -ERANGE beyond the end, -E2BIG too many
 * segments, -EROFS, -EOPNOTSUPP, -EACCES no grant, -EFAULT outside the window.
 */
int ob_block_submit(struct ob_block_channel *channel, struct ob_block_request *request);
/** ob_block_kick - tell the device of all that was submitted. Same context. */
void ob_block_kick(struct ob_block_channel *channel);
/**
 * ob_block_poll - look for completions now, at most @budget; runs done functions
 *
 * No lock, no allocation, no system call. Timers, resets and messages need turns of the CPU as well: call ob_cpu_turn()
 * now and then (each 10 ms does). Not from a done function.
 * Return: how many requests ended.
 */
unsigned ob_block_poll(struct ob_block_channel *channel, unsigned budget);
/** ob_block_reap - take requests that ended and have no done function; returns how many. Owner CPU. */
unsigned ob_block_reap(struct ob_block_channel *channel, struct ob_block_request **requests, unsigned max);
/**
 * ob_block_cancel - try to end a request early
 *
 * It ends once all the same: with -ECANCELED, or as it would have.
 * Return: 0 asked; -ENOENT not in flight here.
 */
int ob_block_cancel(struct ob_block_channel *channel, struct ob_block_request *request);

/* ---- waiting helpers ---- */

/**
 * ob_block_do - submit one request and wait for its end
 * @request: its done function and argument are used by the helper
 *
 * Context: a task of the channel's CPU, or any plain thread.
 * Return: the status.
 */
int ob_block_do(struct ob_block_channel *channel, struct ob_block_request *request, uint64_t deadline_ns);

/**
 * ob_block_read, ob_block_write, ob_block_flush, ob_block_write_zeroes, ob_block_trim - one request, and wait for its end
 * @lba:         the first block
 * @block_count: of the device's blocks
 * @buffer:      block_count blocks in any memory; bounced unless @window holds it
 * @window:      that is granted to the device, or NULL
 * @flags:       OB_BLOCK_FUA, OB_BLOCK_NO_TRIM
 *
 * Context: as ob_block_do().
 * Return: 0, or negative errno as of ob_block_submit() and of a request's status; -ETIMEDOUT.
 */
int ob_block_read(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, void *buffer,
		  struct ob_window *window, uint64_t deadline_ns);
int ob_block_write(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, const void *buffer,
		   struct ob_window *window, unsigned flags, uint64_t deadline_ns);
int ob_block_flush(struct ob_block_channel *channel, uint64_t deadline_ns);
int ob_block_write_zeroes(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, unsigned flags,
			  uint64_t deadline_ns);
int ob_block_trim(struct ob_block_channel *channel, uint64_t lba, uint32_t block_count, uint64_t deadline_ns);

/** ob_block_op_name - "read", "write", … */
const char *ob_block_op_name(enum ob_block_op op);

#ifdef __cplusplus
}
#endif
#endif
