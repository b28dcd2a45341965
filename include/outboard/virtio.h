/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices, for their class drivers, which do not know what carries them: PCI, MMIO or vhost-user (VIRTIO 1.2).
 *
 * A driver matches by OB_MATCH_VIRTIO. Its probe goes: ob_virtio_negotiate(); read the configuration;
 * ob_virtio_irq_alloc() unless it only polls; ob_virtio_queue_create() for every queue; ob_virtio_start(). Its remove:
 * ob_virtio_reset(), after which the device touches no memory any more; queues, interrupts. After a reset for another
 * reason, or in its resume: ob_virtio_renew() and ob_virtio_start().
 *
 * DMA is that of the virtio device: ob_dma_alloc() and ob_window_grant() take it as they take any other device.
 */
#ifndef OUTBOARD_VIRTIO_H
#define OUTBOARD_VIRTIO_H

#include <outboard/dma.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_cpu;
struct ob_device;

/* One row of a driver's match table, by virtio device id (§5). */
#define OB_VIRTIO_ID(id)                                                     \
	{                                                                    \
		OB_MATCH_VIRTIO, OB_ANY, (id), OB_ANY, OB_ANY, 0, 0, NULL, 0 \
	}

/* ---- the device: tasks of CPU 0, unless said otherwise ---- */

/** ob_virtio_id - the virtio device id (§5), e.g. 2 for a disk; 0 for what is no virtio device. Any context. */
uint32_t ob_virtio_id(const struct ob_device *dev);

/** ob_virtio_features - what the device offers, as it said when it was last asked: bit n is feature n. Any context. */
uint64_t ob_virtio_features(const struct ob_device *dev);

/**
 * ob_virtio_negotiate - reset the device and agree on features (§3.1.1, steps 1 to 6)
 * @wanted:   feature bits of the device class that the driver can use
 * @required: of which it cannot do without these
 *
 * VERSION_1 and the bits of ring and transport are not the driver's matter: they are added as they are offered, and their
 * bits in the arguments mean nothing.
 * Return: 0; -EOPNOTSUPP a feature is missing, or the device does not accept what it offered; a line in the log names
 * it; -ENODEV; -ETIMEDOUT it does not end its reset.
 */
int ob_virtio_negotiate(struct ob_device *dev, uint64_t wanted, uint64_t required);

/** ob_virtio_has - was feature @bit negotiated? Any context. */
bool ob_virtio_has(const struct ob_device *dev, unsigned bit);

/**
 * ob_virtio_config_read - read device configuration
 * @len_bytes: 1, 2, 4 or 8 at an offset that such a field has: one field, little endian in @to; anything else: an array
 *             of bytes
 *
 * Read again until the device did not change it meanwhile (§2.5.3), but not for ever.
 * Return: 0; -EINVAL beyond what the device has; -EAGAIN it never stood still; -ENODEV; -ETIMEDOUT.
 */
int ob_virtio_config_read(struct ob_device *dev, unsigned offset, void *to, size_t len_bytes);

/* A field of a device's configuration: 1, 2, 4 or 8 bytes, naturally aligned (those of 8 bytes: to 4). */
struct ob_virtio_field {
	uint16_t offset, size_bytes;
};

/** ob_virtio_config_fields - read @count fields as they were at one moment, into @values in CPU order; returns as above */
int ob_virtio_config_fields(struct ob_device *dev, const struct ob_virtio_field *fields, unsigned count,
			    uint64_t *values);

/** ob_virtio_config_write - write one field of 1, 2, 4 or 8 bytes, or an array of bytes. 0; -EINVAL; -ENODEV;
 * -ETIMEDOUT */
int ob_virtio_config_write(struct ob_device *dev, unsigned offset, const void *from, size_t len_bytes);

/**
 * ob_virtio_on_config - have @fn called when the device changed its configuration, or asks for a reset
 * @fn: task context on CPU 0; NULL: nothing any more, and none runs when this returns
 *
 * Needs ob_virtio_irq_alloc() before. Several changes may be one call.
 * Return: 0; -ENOSPC no interrupts; -ENOMEM; -ENODEV; -ETIMEDOUT.
 */
int ob_virtio_on_config(struct ob_device *dev, void (*fn)(struct ob_device *dev, void *arg), void *arg);

/** ob_virtio_needs_reset - has the device given up until it is reset (DEVICE_NEEDS_RESET, §2.1)? */
bool ob_virtio_needs_reset(struct ob_device *dev);

/**
 * ob_virtio_irq_alloc - interrupts for configuration changes and up to @queues queues
 * @kinds: ob_irq_kind bits that will do
 *
 * Fewer vectors will do as well: what has none of its own shares one. After ob_virtio_negotiate(), before any queue.
 * Return: how many vectors there are; -ENOSPC; -ENODEV; -EBUSY.
 */
int ob_virtio_irq_alloc(struct ob_device *dev, unsigned queues, unsigned kinds);
/** ob_virtio_irq_release - give them back; the device is reset, no queue listens */
void ob_virtio_irq_release(struct ob_device *dev);

/** ob_virtio_start - the device may work now: bus master, DRIVER_OK (§3.1.1, step 8). 0; -ENODEV; -EIO it refuses */
int ob_virtio_start(struct ob_device *dev);

/**
 * ob_virtio_reset - stop the device: it works on no queue and touches no memory when this has returned (§2.4)
 *
 * The queues still hold what was in flight until they are destroyed or the device is renewed. Bus mastering is off also
 * when it fails.
 * Return: 0; -ENODEV; -ETIMEDOUT the device does not end its reset.
 */
int ob_virtio_reset(struct ob_device *dev, uint64_t deadline_ns);

/**
 * ob_virtio_renew - after a reset, or with power again: the same features, and all queues set up anew, empty
 *
 * Nobody uses a queue meanwhile; tokens that were in flight are the driver's to add again. ob_virtio_start() follows.
 * Return: 0; -EOPNOTSUPP it offers less than before, or has smaller queues; -ENODEV; -ETIMEDOUT.
 */
int ob_virtio_renew(struct ob_device *dev);

/* ---- queues: create, destroy, listen and reset in tasks of CPU 0 ---- */

struct ob_virtio_queue;

struct ob_virtio_queue_config {
	const char *name;   /* copied, for the log: "vblk0 queue 1" */
	unsigned index;     /* the device's */
	unsigned size_max;  /* ring entries at most; 0: as many as the device has. Never more than it has. */
	unsigned chain_max; /* pieces of the longest request, at least 1 */
	/* Requests of so many pieces or more go through an indirect table, where that was negotiated; 0: the kit's choice. */
	unsigned indirect_from;
	bool irq; /* it may interrupt: wants a vector of those allocated */
};

/** ob_virtio_queue_entries - how many ring entries the device has for queue @index. After ob_virtio_negotiate(). The
 * number; -ENOENT no such queue; -ENODEV */
int ob_virtio_queue_entries(struct ob_device *dev, unsigned index);

/**
 * ob_virtio_queue_create - memory for one queue, made known to the device
 * @out: ob_virtio_queue_destroy() ends it
 *
 * Between ob_virtio_negotiate() and ob_virtio_start().
 * Return: 0; -ENOENT the device has no such queue; -EINVAL chains longer than its ring; -ENOMEM; -ENODEV; -EBUSY.
 */
int ob_virtio_queue_create(struct ob_device *dev, const struct ob_virtio_queue_config *config,
			   struct ob_virtio_queue **out);
/** ob_virtio_queue_destroy - the device is reset, or its queue is; NULL is fine */
void ob_virtio_queue_destroy(struct ob_virtio_queue *q);

/**
 * ob_virtio_queue_listen - have @fn called when the queue interrupts
 * @cpu: the queue's owner
 * @fn:  hard or soft context on @cpu: ob_poll_schedule() is what it should do. Also without need, when a vector is
 *       shared.
 *
 * The queue is not armed by this.
 * Return: 0; -ENOSPC it was created without interrupt, or there are none; -EBUSY; -ENOMEM; -ENODEV; -ETIMEDOUT.
 */
int ob_virtio_queue_listen(struct ob_virtio_queue *q, struct ob_cpu *cpu, void (*fn)(void *arg), void *arg);
/** ob_virtio_queue_unlisten - @fn does not run any more when this returns */
void ob_virtio_queue_unlisten(struct ob_virtio_queue *q);

/**
 * ob_virtio_queue_reset - stop one queue and set it up again, empty and not armed (VIRTIO_F_RING_RESET, §2.6.1)
 *
 * What was in flight does not come back. Context: task.
 * Return: 0; -EOPNOTSUPP not negotiated, or offered by a device that cannot: the queue is as it was; -ETIMEDOUT; -ENODEV.
 */
int ob_virtio_queue_reset(struct ob_virtio_queue *q, uint64_t deadline_ns);

/* What is fixed from creation; any context. */
unsigned ob_virtio_queue_size(const struct ob_virtio_queue *q); /* ring entries */
/* Requests of up to @pieces pieces that are sure to find room together; framed ones: of the slots below that number. */
unsigned ob_virtio_queue_depth(const struct ob_virtio_queue *q, unsigned pieces);

/*
 * Requests that all look alike: something to be read in front, data in the middle, something to be written at the end, as
 * those of a disk. The ends are the same for all requests of a slot, so that only what lies between them is told anew.
 */
struct ob_virtio_frame {
	uint32_t slots;
	uint32_t out_bytes, out_stride_bytes; /* what the device reads first, and from slot to slot */
	uint32_t in_bytes, in_stride_bytes;   /* what it writes last */
	ob_iova out, in;                      /* of slot 0 */
};

/**
 * ob_virtio_queue_frame - framed requests from now on, too
 * @frame: copied; with 0 slots: none any more, so that their memory may go
 *
 * Where the queue is empty, the device keeps no order and, in a packed ring, takes indirect tables, descriptors are set
 * aside for low slots; otherwise framed requests are as others. Task on CPU 0, while nobody else uses the queue.
 * Return: 0; -EINVAL.
 */
int ob_virtio_queue_frame(struct ob_virtio_queue *q, const struct ob_virtio_frame *frame);

struct ob_virtio_queue_stats {
	uint64_t added, taken;
	uint64_t kicks;           /* notifications sent */
	uint64_t kicks_spared;    /* … that the device did not want */
	uint64_t protocol_errors; /* the device lied; the queue is broken since */
};

/** ob_virtio_queue_stats - any thread; may lag */
void ob_virtio_queue_stats(const struct ob_virtio_queue *q, struct ob_virtio_queue_stats *out);

/* ---- for people ---- */

struct ob_virtio_info {
	uint32_t id;
	const char *transport;        /* "pci", "mmio"; "machine": the machine gives it, as vhost-user does */
	uint64_t offered, negotiated; /* feature bits; 0: no driver has asked yet */
	uint8_t status;               /* as it was written last (§2.1) */
	uint32_t config_bytes;        /* of device configuration that there may be */
	unsigned vectors;             /* interrupts that were allocated */
	bool packed;                  /* its rings are, and not split */
};

struct ob_virtio_queue_info {
	unsigned entries_max; /* that the device has for its ring */
	unsigned entries;     /* that it was set up with; 0: it is not in use, and the rest means nothing */
	bool interrupts;      /* somebody listens to it */
	bool broken;
	struct ob_virtio_queue_stats stats;
};

/** ob_virtio_info - how it is reached and what was agreed on. Any context. 0; -EINVAL no virtio device */
int ob_virtio_info(const struct ob_device *dev, struct ob_virtio_info *out);
/**
 * ob_virtio_queue_info - of queue @index, whether it is in use or not
 *
 * Context: a task of CPU 0, or the thread that turns it. Return: 0; -ENOENT no such queue; -EINVAL; -ENODEV.
 */
int ob_virtio_queue_info(struct ob_device *dev, unsigned index, struct ob_virtio_queue_info *out);
/** ob_virtio_feature_name - "MRG_RXBUF", of feature @bit of devices with virtio id @id; NULL: not known here */
const char *ob_virtio_feature_name(uint32_t id, unsigned bit);

/* ---- the I/O path: owner CPU, soft or task ---- */

/* A request that the device is done with. */
struct ob_virtio_used {
	uint32_t token;
	uint32_t len_bytes; /* that it says it wrote; never more than there was room for */
};

/**
 * ob_virtio_queue_add - one request
 * @pieces:    first @out_count that the device reads, then @in_count that it writes; copied. In all at least one, at most
 *             chain_max, none empty, less than 4 GiB together.
 * @token:     comes back with the request
 *
 * The device learns of it by the next ob_virtio_queue_kick().
 * Return: 0; -EAGAIN no room: kick, take, and try again; -EPROTO the queue is broken.
 */
int ob_virtio_queue_add(struct ob_virtio_queue *q, const struct ob_dma_piece *pieces, unsigned out_count,
			unsigned in_count, uint32_t token);

/* A request of one piece. */
struct ob_virtio_single {
	ob_iova iova;
	uint32_t len_bytes; /* not 0 */
	uint32_t token;
};

/**
 * ob_virtio_queue_add_singles - many requests of one piece each
 * @singles: @count of them; copied
 * @rights:  OB_DMA_READ: the device reads them all; OB_DMA_WRITE: it writes them
 *
 * As ob_virtio_queue_add() for each, for less.
 * Return: how many there was room for; 0 when the queue is broken.
 */
unsigned ob_virtio_queue_add_singles(struct ob_virtio_queue *q, const struct ob_virtio_single *singles, unsigned count,
				     enum ob_dma_rights rights);

/**
 * ob_virtio_queue_add_framed - one request of a slot; as ob_virtio_queue_add() with the slot's ends around the data
 * @slot:  no request of it is in flight; comes back as the token
 * @data:  of @count pieces, which may be none; chain_max counts the two ends, too
 * @in:    the device writes the data
 *
 * With one piece and a low slot number it costs a third of ob_virtio_queue_add(), so the slot that was free last should be
 * used first.
 */
int ob_virtio_queue_add_framed(struct ob_virtio_queue *q, uint32_t slot, const struct ob_dma_piece *data,
			       unsigned count, bool in);

/* Private: what every queue begins with, for the functions below. */
struct ob_virtio_slot {
	union {
		__extension__ struct {
			uint32_t token;
			uint32_t in_bytes; /* room for what the device writes */
		};
		uint64_t data_word; /* of a frame's second: its descriptor's, without a length, to be written */
		ob_le64 *data_desc; /* of a frame's third: the second's descriptor */
	};
	uint16_t entries; /* of the ring that it takes, framed: ids of the slot; 0: no such request */
	uint16_t bent;    /* framed: its descriptors are not as they were prepared */
	union {
		uint16_t last;      /* split: its last descriptor */
		uint16_t end_bytes; /* framed: what is written at the end */
	};
	union {
		uint16_t next_free; /* packed: id that is free after this one */
		uint16_t head;      /* framed: its own number */
	};
};

/* clang-format off */
#define OB_VIRTIO_LANE                                                                           \
	uint32_t avail; /* free running: of all requests (split), of framed ones (packed) */     \
	uint32_t mask;                                                                           \
	ob_le16 *lane_avail; /* split: the avail ring's entries; packed: a list of ours */       \
	uint64_t lane_write; /* what makes a data_word that of data to be written */
/* clang-format on */

struct ob_virtio_lane {
	OB_VIRTIO_LANE
};

/* What a slot's requests are written by; the driver keeps it. */
struct ob_virtio_framed {
	struct ob_virtio_slot three[3];
};

/**
 * ob_virtio_queue_framed - a slot's, for ob_virtio_queue_put_framed(), as long as the queue is there and has this frame
 *
 * Return: never NULL; for a slot without descriptors of its own one that is never ready.
 */
struct ob_virtio_framed *ob_virtio_queue_framed(struct ob_virtio_queue *q, uint32_t slot);

/** ob_virtio_queue_framed_ready - may ob_virtio_queue_put_framed() be used for the slot now? */
static inline bool ob_virtio_queue_framed_ready(const struct ob_virtio_framed *framed)
{
	return framed->three[0].entries == 0 && framed->three[0].bent == 0;
}

/**
 * ob_virtio_queue_put_framed - ob_virtio_queue_add_framed() for one piece of data, inline, where the slot is ready
 * @iova, @len_bytes: of the data
 */
static inline void ob_virtio_queue_put_framed(struct ob_virtio_queue *q, struct ob_virtio_framed *framed, ob_iova iova,
					      uint32_t len_bytes, bool in)
{
	struct ob_virtio_lane *lane = (struct ob_virtio_lane *)(void *)q;
	struct ob_virtio_slot *s = framed->three;
	ob_le64 *desc = s[2].data_desc;
	uint32_t at = lane->avail;

	/* The second of its three: address; then length and the rest of the word (§2.7.5, §2.8.7). */
	ob_le64_store(desc, iova.addr);
	ob_le32_16_16_store((ob_le32 *)(void *)(desc + 1), s[1].data_word + len_bytes - (in ? 0 : lane->lane_write));
	s->in_bytes = s->end_bytes + (in ? len_bytes : 0);
	s->entries = 3;
	ob_le16_store(&lane->lane_avail[at & lane->mask], s->head);
	lane->avail = at + 1;
}

/**
 * ob_virtio_queue_add_buffers - buffers for the device to write, alike and evenly spaced
 * @tokens:    @count of them: buffer n is at @base + n * @stride
 * @len_bytes: of each; not 0
 *
 * Return: how many there was room for; 0 when the queue is broken.
 */
unsigned ob_virtio_queue_add_buffers(struct ob_virtio_queue *q, const uint32_t *tokens, unsigned count, ob_iova base,
				     uint32_t stride, uint32_t len_bytes);

/** ob_virtio_queue_kick - make known what was added; one notification, if the device wants it: true */
bool ob_virtio_queue_kick(struct ob_virtio_queue *q);

/** ob_virtio_queue_nudge - a notification whatever the device wants, for one that seems to have missed something */
void ob_virtio_queue_nudge(struct ob_virtio_queue *q);

/**
 * ob_virtio_queue_take - what the device is done with
 * @used: room for @max
 *
 * What is written into the requests' memory may be read after this. When the device lies after it answered truly for
 * some, those come first.
 * Return: how many, 0 for none; -EPROTO the device lied: the queue is broken, and stays so until it is renewed or reset
 * (logged once).
 */
int ob_virtio_queue_take(struct ob_virtio_queue *q, struct ob_virtio_used *used, unsigned max);

/**
 * ob_virtio_queue_take_framed - ob_virtio_queue_take() for framed requests that were answered as they should be
 * @slots: whose; room for @max
 *
 * All that they had room for was written. Return: how many; less than @max: what there is besides, also when the device
 * lied, ob_virtio_queue_take() tells.
 */
unsigned ob_virtio_queue_take_framed(struct ob_virtio_queue *q, uint32_t *slots, unsigned max);

/** ob_virtio_queue_take_singles - the same, for less where there are many and the device keeps their order */
int ob_virtio_queue_take_singles(struct ob_virtio_queue *q, struct ob_virtio_used *used, unsigned max);

/** ob_virtio_queue_take_tokens - the same, for a queue whose requests the device only reads */
int ob_virtio_queue_take_tokens(struct ob_virtio_queue *q, uint32_t *tokens, unsigned max);

/** ob_virtio_queue_arm - let the next one interrupt; true: something is there already, which then need not. */
bool ob_virtio_queue_arm(struct ob_virtio_queue *q);
/** ob_virtio_queue_disarm - no interrupts, as far as the device heeds that (§2.7.7, §2.8.10). Hard context, too. */
void ob_virtio_queue_disarm(struct ob_virtio_queue *q);

/** ob_virtio_queue_pending - is there something to take? True also for a queue that broke. Owner CPU. */
bool ob_virtio_queue_pending(const struct ob_virtio_queue *q);
/**
 * ob_virtio_queue_drop - @fn for each request in flight, in no order; none is, afterwards
 *
 * For a device that is reset, whose queues are to be destroyed or renewed next. Owner CPU.
 */
void ob_virtio_queue_drop(struct ob_virtio_queue *q, void (*fn)(void *arg, uint32_t token), void *arg);

/** ob_virtio_queue_in_flight - requests added and not taken; owner CPU */
unsigned ob_virtio_queue_in_flight(const struct ob_virtio_queue *q);
/** ob_virtio_queue_is_broken - the device lied; owner CPU */
bool ob_virtio_queue_is_broken(const struct ob_virtio_queue *q);

#ifdef __cplusplus
}
#endif
#endif
