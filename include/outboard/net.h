/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network interfaces.
 *
 * A channel is one CPU's way into a network interface: a queue to receive from and one to send to. On it, in soft or task
 * context of that CPU or on the thread that turns it, frames come and go in bursts: ob_net_receive() hands out what has
 * arrived, ob_net_send() takes what is to go, ob_net_kick() tells the device once per batch.
 *
 * Received frames come in one of two ways. With a function in the channel's configuration they are brought to it, as the
 * mode says: at each turn of the CPU, by interrupt, or both. Without one the program asks: ob_net_receive() whenever it
 * likes, and ob_net_wait() when there was nothing.
 *
 * A frame that is received or sent begins with its Ethernet header and ends without the frame check sequence.
 */
#ifndef OUTBOARD_NET_H
#define OUTBOARD_NET_H

#include <outboard/cpu.h>
#include <outboard/packet.h>
#include <outboard/poll.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_device;
struct ob_net;
struct ob_net_channel;

#define OB_NET_MTU_DEFAULT    1500u
#define OB_NET_SPEED_UNKNOWN  0u
#define OB_NET_FILTER_MAX     64u /* unicast, and as many multicast addresses */
#define OB_NET_RSS_KEY_MAX    64u
#define OB_NET_RSS_TABLE_MAX  512u
#define OB_NET_CHANNELS_MAX   64u
#define OB_NET_FRAME_OVERHEAD 18u /* that the MTU does not count: Ethernet header and one VLAN tag */

/* What a device can do for frames (info.offloads), and what it shall do (ob_net_set_offloads()). */
#define OB_NET_TX_CSUM 0x0001u /* frames with CSUM_PARTIAL; without it the class makes them, and counts them */
#define OB_NET_TX_TSO4 0x0002u /* frames with SEGMENT: OB_GSO_TCP4, … */
#define OB_NET_TX_TSO6 0x0004u
#define OB_NET_TX_ECN  0x0008u
#define OB_NET_TX_UFO  0x0010u
#define OB_NET_TX_VLAN 0x0020u /* puts vlan_tci into the frame; without it the class does */
#define OB_NET_RX_CSUM 0x0100u /* frames may come with CSUM_GOOD, CSUM_BAD or CSUM_PARTIAL */
#define OB_NET_RX_TSO4 0x0200u /* frames may come with SEGMENT, and be up to 64 KiB long */
#define OB_NET_RX_TSO6 0x0400u
#define OB_NET_RX_ECN  0x0800u
#define OB_NET_RX_UFO  0x1000u
#define OB_NET_RX_VLAN 0x2000u /* takes the tag out of the frame, into vlan_tci */
#define OB_NET_RX_HASH 0x4000u /* frames come with hash and hash_type */
#define OB_NET_RX_TIME 0x8000u /* frames come with time_ns */
#define OB_NET_RX_ALL  0xff00u

/* What a device can be told, in ob_net_info.abilities. */
#define OB_NET_CAN_FILTER      0x01u /* addresses: without it ob_net_set_filter() leaves the device as it is */
#define OB_NET_CAN_PROMISCUOUS 0x02u
#define OB_NET_CAN_VLAN_FILTER 0x04u
#define OB_NET_CAN_SET_MAC     0x08u
#define OB_NET_CAN_RSS         0x10u
#define OB_NET_CAN_OFFLOADS    0x20u /* ob_net_set_offloads() without a pause in traffic */
#define OB_NET_CAN_LINK        0x40u /* it tells of its link; without it the link is taken to be up */

struct ob_net_info {
	uint8_t mac[6];           /* as it is now */
	uint8_t permanent_mac[6]; /* as the device said first; made up where it has none */
	bool made_up_mac;
	uint16_t mtu;              /* as it is now; ob_net_set_mtu() */
	uint16_t mtu_max, mtu_min; /* of the device */
	uint32_t offloads;         /* OB_NET_TX_*, OB_NET_RX_* that there are */
	uint32_t offloads_on;      /* … of them on */
	uint32_t abilities;        /* OB_NET_CAN_* */
	unsigned channels_max;
	unsigned rx_depth_max, tx_depth_max; /* frames, for channels */
	unsigned segments_max;               /* packets of one frame to send; less than the channel's tx_depth, too */
	uint32_t room_min;                   /* bytes that packets to receive into need; depends on MTU and offloads */
	unsigned rss_table_max, rss_key_bytes; /* 0: no RSS */
	uint32_t rss_types;                    /* 1 << OB_HASH_… that it can make */
};

struct ob_net_link {
	bool up;
	bool full_duplex;
	uint32_t speed_mbps; /* OB_NET_SPEED_UNKNOWN: it does not say */
};

/* Sums over all channels, those closed too. */
struct ob_net_stats {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_errors;     /* frames that made no sense: lengths, headers */
	uint64_t rx_no_packets; /* times that the pool had too few to receive into */
	uint64_t rx_missed;     /* that the device had no room for, where it says */
	uint64_t tx_refused; /* taken and dropped: too long, too many parts, no grant, an offload that makes no sense */
	uint64_t tx_dropped; /* taken, and lost in a reset, a removal or the end of the channel */
	uint64_t tx_full;    /* times that a burst was not taken whole */
	uint64_t soft_csums; /* checksums that the class made for want of TX_CSUM */
	uint64_t soft_vlans;
	uint64_t soft_segments; /* frames that the class cut for want of TX_TSO* */
	uint64_t kicks, interrupts;
	uint64_t resets, broken; /* of the device; queues on which it wrote nonsense */
};

/* ---- finding ---- */

/** ob_net_next - iterate the context's network interfaces; @previous is put, the result is held. NULL ends. */
struct ob_net *ob_net_next(struct ob *ob, struct ob_net *previous);
/**
 * ob_net_find - by name ("net0"); held; NULL when there is none
 *
 * When @name is NULL the one to use if nothing is said: the first paravirtual one (ob_device_is_paravirtual()), or where
 * all are cards the first of them.
 */
struct ob_net *ob_net_find(struct ob *ob, const char *name);
/** ob_net_get, ob_net_put - hold it once more, and let go; any context but hard. Returns @net; NULL may be put. */
struct ob_net *ob_net_get(struct ob_net *net);
void ob_net_put(struct ob_net *net);
/** ob_net_name, ob_net_device - "net0", and whose it is, not held: valid while the interface is held */
const char *ob_net_name(const struct ob_net *net);
struct ob_device *ob_net_device(const struct ob_net *net);
/** ob_net_online - false once it is removed */
bool ob_net_online(const struct ob_net *net);
/** ob_net_info, ob_net_link - copied as they are now. Any thread. */
void ob_net_info(const struct ob_net *net, struct ob_net_info *out);
void ob_net_link(const struct ob_net *net, struct ob_net_link *out);
/** ob_net_stats - any thread; the counts of running channels may lag */
void ob_net_stats(const struct ob_net *net, struct ob_net_stats *out);

/* ---- being told ---- */

#define OB_NET_EVENT_LINK     0x1u /* ob_net_link() answers something else */
#define OB_NET_EVENT_ANNOUNCE 0x2u /* it moved: tell the network where it is now, e.g. by ob_net_announce() */
#define OB_NET_EVENT_RESET    0x4u /* it was reset; what was in flight is lost */
#define OB_NET_EVENT_GONE     0x8u /* it is offline; nothing follows */

struct ob_net_watch {
	/* soft context; @events: all since it was last called */
	void (*fn)(struct ob_net_watch *watch, unsigned events);
	/* private */
	struct ob_work work;
	struct ob_cpu *cpu;
	struct ob_net *net;
	struct ob_net_watch *next;
	unsigned events;
};

/**
 * ob_net_watch - be told of events
 * @watch: fn is set; the caller's, until ob_net_unwatch()
 * @cpu:   where it is called; at once for one that is offline
 *
 * There may be several. Context: any but hard.
 */
void ob_net_watch(struct ob_net *net, struct ob_cpu *cpu, struct ob_net_watch *watch);
/** ob_net_unwatch - when it returns, fn does not run, nor will. Task, or a plain thread; not from fn itself. */
void ob_net_unwatch(struct ob_net_watch *watch);

/* ---- telling the device: task, or a plain thread ---- */

/*
 * All of these answer 0; -EDEADLK in soft or hard context; -EINVAL; -EOPNOTSUPP; -ENODEV; -ETIMEDOUT; -ENOMEM; -EIO the
 * device refused. They last, also over resets; a suspended device hears of them when it resumes.
 */

/* What to receive. All that is for this interface's own address, and broadcasts, comes in any case. */
struct ob_net_filter {
	bool promiscuous;   /* everything */
	bool all_multicast; /* all with the group bit */
	unsigned unicast_count, multicast_count;
	uint8_t unicast[OB_NET_FILTER_MAX][6]; /* more addresses */
	uint8_t multicast[OB_NET_FILTER_MAX][6];
};

/**
 * ob_net_set_filter - what to receive from now on, in place of what it was
 * @filter: copied
 *
 * A device that filters less finely lets more through; one that cannot filter lets all through.
 */
int ob_net_set_filter(struct ob_net *net, const struct ob_net_filter *filter);
/** ob_net_get_filter - as it is now; at first: nothing more than the own address and broadcasts */
void ob_net_get_filter(const struct ob_net *net, struct ob_net_filter *out);
/**
 * ob_net_set_vlan - let frames of VLAN @vid (0..4094) through, or not
 *
 * Until the first one is named, all frames come, of whatever VLAN; and again when the last one has been taken away.
 * -EOPNOTSUPP: the device does not filter, all come.
 */
int ob_net_set_vlan(struct ob_net *net, unsigned vid, bool on);
/** ob_net_set_mac - another address; not one with the group bit */
int ob_net_set_mac(struct ob_net *net, const uint8_t mac[6]);
/** ob_net_set_mtu - the longest payload to send and to receive; buffers of open channels must do (-EBUSY) */
int ob_net_set_mtu(struct ob_net *net, unsigned mtu);
/**
 * ob_net_set_offloads - which of info.offloads shall be on
 *
 * At first all of OB_NET_TX_* are, and none of OB_NET_RX_*: frames come as they were on the wire.
 */
int ob_net_set_offloads(struct ob_net *net, uint32_t offloads);

struct ob_net_rss {
	uint32_t types; /* 1 << OB_HASH_…; a frame that fits several is hashed by the most exact; 0: no steering */
	unsigned key_bytes;
	unsigned table_count;                 /* a power of two */
	uint16_t table[OB_NET_RSS_TABLE_MAX]; /* index of a channel: hash modulo table_count chooses */
	uint16_t unclassified;                /* where frames go that no type fits */
	uint8_t key[OB_NET_RSS_KEY_MAX];
};

/** ob_net_set_rss - how frames are dealt out to channels; ob_net_rss_default() makes one */
int ob_net_set_rss(struct ob_net *net, const struct ob_net_rss *rss);
/** ob_net_get_rss - as it is now; -EOPNOTSUPP */
int ob_net_get_rss(const struct ob_net *net, struct ob_net_rss *out);
/** ob_net_rss_default - all types, the table round robin over @channels, the key of the Toeplitz hash's specification */
void ob_net_rss_default(const struct ob_net *net, unsigned channels, struct ob_net_rss *out);
/** ob_net_toeplitz - the hash that such hardware makes of @input */
uint32_t ob_net_toeplitz(const uint8_t *key, unsigned key_bytes, const uint8_t *input, unsigned input_bytes);

/** ob_net_grant_pool - let the device read and write the pool's buffers: to send frames of another channel's pool */
int ob_net_grant_pool(struct ob_net *net, struct ob_packet_pool *pool);

/* ---- channels ---- */

#define OB_NET_BURST 32u /* a good size */

/* Zero means the default everywhere. */
struct ob_net_channel_config {
	struct ob_cpu *cpu;          /* NULL: the pool's, or CPU 0 */
	struct ob_packet_pool *pool; /* to receive into, of the same CPU; NULL: the channel makes one */
	unsigned rx_depth, tx_depth; /* frames; 0: 256; rounded up to what the device has */
	struct ob_poll_config poll;  /* mode (default interrupt), budget in frames, window */
	/*
	 * Frames have come. Soft; the callee has their references, and may send from here. Frames of one call belong to
	 * nobody else. NULL: ob_net_receive() and ob_net_wait().
	 */
	void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg);
	/* After a burst that was not taken whole: there is room now. Soft. May be NULL. */
	void (*sendable)(struct ob_net_channel *channel, void *arg);
	void *arg;
};

/**
 * ob_net_channel_open - make a channel of @net for one CPU
 * @config: copied; NULL for the defaults
 *
 * On some devices traffic of the other channels pauses meanwhile, and what arrives then is lost.
 * Context: task, or a plain thread.
 * Return: 0; -ENODEV; -ENOSPC no queue left; -ENOMEM; -ETIMEDOUT; -EINVAL, also for a pool of another CPU, or with too
 * little room for a frame where the device needs it in one buffer.
 */
int ob_net_channel_open(struct ob_net *net, const struct ob_net_channel_config *config, struct ob_net_channel **out);
/**
 * ob_net_channel_close - what was not sent yet is dropped; its packets are back in their pools when it returns
 *
 * Task, or a plain thread. NULL is fine.
 */
void ob_net_channel_close(struct ob_net_channel *channel);
/** ob_net_channel_net, ob_net_channel_cpu, ob_net_channel_pool - not held, valid until it is closed */
struct ob_net *ob_net_channel_net(const struct ob_net_channel *channel);
struct ob_cpu *ob_net_channel_cpu(const struct ob_net_channel *channel);
struct ob_packet_pool *ob_net_channel_pool(const struct ob_net_channel *channel);
/** ob_net_channel_index - its place among the device's channels, as RSS tables name it; may change as others close */
unsigned ob_net_channel_index(const struct ob_net_channel *channel);
/** ob_net_channel_rx_depth, ob_net_channel_tx_depth - frames in its rings, as they became */
unsigned ob_net_channel_rx_depth(const struct ob_net_channel *channel);
unsigned ob_net_channel_tx_depth(const struct ob_net_channel *channel);
/** ob_net_channel_mode - as it became: interrupt falls back to polled where no vector was to be had */
enum ob_completion_mode ob_net_channel_mode(const struct ob_net_channel *channel);
/** ob_net_channel_stats - of this one. Any thread. */
void ob_net_channel_stats(const struct ob_net_channel *channel, struct ob_net_stats *out);

/**
 * ob_net_receive - take frames that have arrived
 * @frames: @max of them; the caller has their references
 *
 * Context: soft or task of the channel's CPU, or the thread that turns it; the I/O path: no lock, no allocation, no
 * system call but for a doorbell that the device asks for. Not for channels with a received function.
 * Return: how many; 0 also for one that is closed, suspended or gone.
 */
unsigned ob_net_receive(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max);
/**
 * ob_net_send - hand frames to the device, in order; they may go at once or at the next kick
 * @frames: @count; those that were taken are the channel's
 *
 * A frame that can never be sent is taken, given back and counted (tx_refused): too long, more parts than segments_max,
 * a pool that was not granted. Same context as ob_net_receive().
 * Return: how many were taken: less than @count when the ring is full, the link's device suspended, or gone.
 */
unsigned ob_net_send(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
/** ob_net_kick - tell the device of all that was sent. Same context. */
void ob_net_kick(struct ob_net_channel *channel);
/** ob_net_reap - have packets that are sent come back to their pools now; sending does it too. Returns how many frames. */
unsigned ob_net_reap(struct ob_net_channel *channel);

#define OB_NET_WAIT_RECEIVE 0x1u /* a frame is there */
#define OB_NET_WAIT_SEND    0x2u /* the ring has room */
#define OB_NET_WAIT_SENT    0x4u /* the device is done with all that was sent */

/**
 * ob_net_wait - wait until one of @what is the case
 *
 * Context: a task of the channel's CPU, or the thread that turns it.
 * Return: 0; -ETIMEDOUT; -ENODEV it is gone; -EDEADLK.
 */
int ob_net_wait(struct ob_net_channel *channel, unsigned what, uint64_t deadline_ns);

/**
 * ob_net_announce - send what tells switches where this address is now (RARP, as machines do that moved)
 *
 * Same context as ob_net_send(). Return: 0; -EAGAIN no packet, or the ring is full.
 */
int ob_net_announce(struct ob_net_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
