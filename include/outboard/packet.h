/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets and the pools that they come from.
 *
 * A pool is a number of buffers of one size inside a window, and for each of them a packet that describes what the
 * buffer holds. The description lies outside of the window, where no device can write. A frame is a packet, or several
 * that are chained by next: the head speaks for the whole frame.
 *
 * A pool belongs to one CPU, like a channel: only there may packets be taken from it, changed, referred to and given
 * back; any channel of that CPU may receive into its buffers or send them. A frame may visit another CPU: then it is that
 * CPU's until it was given back with ob_packet_put_any(). No lock, no allocation, no system call in all of that.
 *
 * Whoever holds a reference to a packet may read it. Only one who holds the last reference may write to it. Sending a
 * frame passes one reference of each of its packets to the channel, which gives it back when the device is done.
 */
#ifndef OUTBOARD_PACKET_H
#define OUTBOARD_PACKET_H

#include <outboard/dma.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_cpu;
struct ob_machine;
struct ob_packet_pool;

/* ob_packet.flags. Received: what the device says of the frame. To send: what it shall do. In the head only. */
#define OB_PACKET_CSUM_GOOD    0x01u /* received: the device has checked the transport checksum, and it is right */
#define OB_PACKET_CSUM_BAD     0x02u /* received: … and it is wrong */
#define OB_PACKET_CSUM_PARTIAL 0x04u /* from csum_start on the checksum is still to be made: ob_packet_finish_csum() */
#define OB_PACKET_SEGMENT      0x08u /* several segments in one (TSO, LRO): gso_*; goes with CSUM_PARTIAL when sent */
#define OB_PACKET_VLAN         0x10u /* vlan_tci is the tag; the frame itself does not hold it */
#define OB_PACKET_HASH         0x20u /* received: hash and hash_type are valid */
#define OB_PACKET_TIME         0x40u /* received: time_ns is when the device saw it */

enum ob_gso {
	OB_GSO_NONE,
	OB_GSO_TCP4,
	OB_GSO_TCP6,
	OB_GSO_UDP, /* IPv4 fragments */
};
#define OB_GSO_ECN 0x80u /* beside one of these: TCP, and CWR is set in the first segment only */

/* What a hash was made of, and what to make it of: ob_packet.hash_type, and bits 1 << OB_HASH_… of ob_net_rss.types. */
enum ob_hash {
	OB_HASH_NONE,
	OB_HASH_IP4,
	OB_HASH_TCP4,
	OB_HASH_UDP4,
	OB_HASH_IP6,
	OB_HASH_TCP6,
	OB_HASH_UDP6,
};

/* One cache line. */
struct ob_packet {
	uint8_t *data;        /* first byte of this packet's part of the frame */
	uint32_t len_bytes;   /* of this part */
	uint32_t frame_bytes; /* head: of all parts */
	/* the next three are set and compared as one word */
	uint32_t flags;    /* head: OB_PACKET_* */
	uint16_t segments; /* head: packets in the frame */
	uint16_t refs;
	struct ob_packet *next; /* next part of the frame, or NULL */
	struct ob_packet_pool *pool;
	uint16_t csum_start;   /* CSUM_PARTIAL: sum from this offset in the frame to its end … */
	uint16_t csum_offset;  /* … and store at csum_start + csum_offset; the pseudo header's sum is there already */
	uint16_t gso_bytes;    /* SEGMENT: payload of each segment */
	uint16_t header_bytes; /* SEGMENT: Ethernet, IP and transport headers; a device's hint where it was received */
	uint16_t vlan_tci;
	uint8_t gso;       /* enum ob_gso, OB_GSO_ECN */
	uint8_t hash_type; /* enum ob_hash */
	uint32_t hash;
	uint64_t time_ns; /* of the device's clock */
};

/* ---- pools ---- */

#define OB_PACKET_BYTES_DEFAULT 2048u /* room for a frame in one buffer, behind the headroom */
#define OB_PACKET_HEADROOM      128u  /* default; drivers put their headers there */
#define OB_PACKET_COUNT_MAX     (1u << 24)

/* Zero means the default everywhere. */
struct ob_packet_pool_config {
	struct ob_machine *machine; /* whose memory; not needed when there is a window */
	struct ob_cpu *cpu;         /* the owner; NULL: CPU 0 */
	unsigned count;             /* packets; 0: 4096 */
	uint32_t packet_bytes;      /* room in each buffer behind the headroom; 0: OB_PACKET_BYTES_DEFAULT */
	uint32_t headroom_bytes;    /* 0: OB_PACKET_HEADROOM; rounded up to a cache line */
	/*
	 * The buffers lie in this window from window_offset on, stride_bytes each (0: as close as is good; the least is
	 * headroom and room together), so that an application finds them in memory of its own. NULL: the pool makes one.
	 */
	struct ob_window *window;
	size_t window_offset;
	uint32_t stride_bytes;
};

struct ob_packet_pool_stats {
	uint64_t remote; /* packets that other CPUs gave back */
	uint64_t empty;  /* times that there were too few packets */
	unsigned count, free;
};

/**
 * ob_packet_pool_create - make a pool
 * @config: copied; what is not needed is NULL or 0
 * @out:    held; ob_packet_pool_put() ends it
 *
 * No device may use it before ob_net_grant_pool(); a channel's own pool is granted when the channel is opened.
 * Context: task, or a plain thread.
 * Return: 0; -EINVAL; -ENOMEM; -ENODEV the machine is dead.
 */
int ob_packet_pool_create(const struct ob_packet_pool_config *config, struct ob_packet_pool **out);
/** ob_packet_pool_get - hold it once more; returns @pool. Any thread. */
struct ob_packet_pool *ob_packet_pool_get(struct ob_packet_pool *pool);
/**
 * ob_packet_pool_put - at the last put the memory goes. Task, or a plain thread. NULL is fine.
 *
 * Packets that are still out by then would point nowhere: their pool is never freed, and the log says so.
 */
void ob_packet_pool_put(struct ob_packet_pool *pool);
/** ob_packet_pool_cpu, ob_packet_pool_window - whose it is, and where its buffers lie; not held, valid as the pool is */
struct ob_cpu *ob_packet_pool_cpu(const struct ob_packet_pool *pool);
struct ob_window *ob_packet_pool_window(const struct ob_packet_pool *pool);
/** ob_packet_pool_room - bytes that a new packet can hold behind its headroom */
uint32_t ob_packet_pool_room(const struct ob_packet_pool *pool);
/** ob_packet_pool_stats - any thread; may lag while the owner CPU runs */
void ob_packet_pool_stats(const struct ob_packet_pool *pool, struct ob_packet_pool_stats *out);

/* ---- packets: owner CPU of their pool, soft or task, or the thread that turns it ---- */

/** ob_packet_alloc - an empty packet, alone, one reference, data behind the headroom; NULL: the pool is empty */
struct ob_packet *ob_packet_alloc(struct ob_packet_pool *pool);
/** ob_packet_alloc_burst - @count of them or none. Return: 0; -EAGAIN the pool has fewer. */
int ob_packet_alloc_burst(struct ob_packet_pool *pool, struct ob_packet **packets, unsigned count);
/** ob_packet_get - one more reference to every packet of the frame; returns @packet */
struct ob_packet *ob_packet_get(struct ob_packet *packet);
/** ob_packet_put - give one reference to every packet of the frame back. NULL is fine. */
void ob_packet_put(struct ob_packet *packet);
/** ob_packet_put_burst - the same for @count frames */
void ob_packet_put_burst(struct ob_packet **packets, unsigned count);
/** ob_packet_put_any - the same from any thread; the owner CPU has them back when it next runs out of packets */
void ob_packet_put_any(struct ob_packet *packet);

/* Room before and behind the data of this one packet. */
uint32_t ob_packet_headroom(const struct ob_packet *packet);
uint32_t ob_packet_tailroom(const struct ob_packet *packet);
/** ob_packet_push - @len_bytes more in front of the frame. Return: the new first byte, or NULL: no such headroom. */
void *ob_packet_push(struct ob_packet *packet, uint32_t len_bytes);
/** ob_packet_pull - @len_bytes less in front. Return: the new first byte, or NULL: the first part is shorter. */
void *ob_packet_pull(struct ob_packet *packet, uint32_t len_bytes);
/** ob_packet_append - @len_bytes more at the end of the frame's last part. Return: where they begin, or NULL: no room. */
void *ob_packet_append(struct ob_packet *packet, uint32_t len_bytes);
/** ob_packet_trim - cut the frame to @frame_bytes; parts that become empty are given back. 0; -EINVAL it is shorter. */
int ob_packet_trim(struct ob_packet *packet, uint32_t frame_bytes);
/** ob_packet_chain - put the frame @tail behind the frame @packet. Return: 0; -E2BIG more than 65535 parts. */
int ob_packet_chain(struct ob_packet *packet, struct ob_packet *tail);
/** ob_packet_read - copy out of the frame, across its parts. Return: 0; -ERANGE beyond its end. */
int ob_packet_read(const struct ob_packet *packet, uint32_t offset, void *to, uint32_t len_bytes);
/** ob_packet_write - copy into the frame, as long as it is. Return: 0; -ERANGE. */
int ob_packet_write(struct ob_packet *packet, uint32_t offset, const void *from, uint32_t len_bytes);
/**
 * ob_packet_from - a frame that holds a copy of @data, of as many packets as that takes
 *
 * Return: the frame, or NULL: the pool has too few packets.
 */
struct ob_packet *ob_packet_from(struct ob_packet_pool *pool, const void *data, uint32_t len_bytes);
/** ob_packet_copy - a copy of the whole frame, with what its head says, in packets of @pool; or NULL */
struct ob_packet *ob_packet_copy(struct ob_packet_pool *pool, const struct ob_packet *packet);
/**
 * ob_packet_finish_csum - make the checksum that CSUM_PARTIAL leaves open, and take the flag away
 *
 * Return: 0, also when nothing was open; -EINVAL the offsets do not fit the frame.
 */
int ob_packet_finish_csum(struct ob_packet *packet);

#ifdef __cplusplus
}
#endif
#endif
