/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NIC class from a driver's side: publish an interface, open channels, bring frames and take them, give packets back.
 *
 * The class checks what programs ask for, keeps it (filter, VLANs, RSS, offloads, MTU) for the driver to read whenever it
 * makes its device anew, polls channels by interrupt or without, and does in software what a device cannot do for a frame.
 * What is done for each frame a driver does itself, in bursts, with the inline functions below.
 */
#ifndef OUTBOARD_NET_DRIVER_H
#define OUTBOARD_NET_DRIVER_H

#include <outboard/driver.h>
#include <outboard/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pools from inside ---- */

/* The first members are the I/O path's; owner CPU, but for remote. */
struct ob_packet_pool {
	uint32_t *free; /* a stack of places in packets: free_count of count */
	uint32_t free_count;
	uint32_t stride_bytes;
	uint8_t *data;             /* where the data of packet 0 begins by default, behind its headroom */
	struct ob_packet *packets; /* count of them */
	uint32_t headroom_bytes;   /* before data … */
	uint32_t room_bytes;       /* … and from there on */
	struct ob_window *window;
	struct ob_cpu *cpu;
	struct ob_packet *remote; /* __atomic: a stack of those that other CPUs gave back */
	uint32_t count;
	uint64_t empty, remote_given;
	unsigned refs;                /* __atomic */
	struct ob_packet_rear *rears; /* of each packet: what the I/O path does not look at */
};

struct ob_packet_rear {
	struct ob_packet *next; /* in pool.remote */
	unsigned puts;          /* __atomic: references that other CPUs gave back */
};

/* As ob_packet.flags, segments and refs stand in one word: no flags, one part, one reference. */
static inline uint64_t ob_packet_plain(void)
{
	const struct {
		uint32_t flags;
		uint16_t segments, refs;
	} plain = {0, 1, 1};
	uint64_t word;

	memcpy(&word, &plain, sizeof(word));
	return word;
}

/** ob_packet_is_plain - nothing to do for it, alone in its frame, the last reference */
static inline bool ob_packet_is_plain(const struct ob_packet *packet)
{
	uint64_t word;

	memcpy(&word, &packet->flags, sizeof(word));
	return word == ob_packet_plain();
}

/** ob_packet_start - where the data of a new packet begins */
static inline uint8_t *ob_packet_start(const struct ob_packet_pool *pool, const struct ob_packet *packet)
{
	return pool->data + (size_t)(packet - pool->packets) * pool->stride_bytes;
}

/** ob_packet_reset - make it a new packet again, that holds @len_bytes at @data; its own reference */
static inline void ob_packet_reset(struct ob_packet *packet, uint8_t *data, uint32_t len_bytes)
{
	const uint64_t plain = ob_packet_plain();

	packet->data = data;
	packet->len_bytes = len_bytes;
	packet->frame_bytes = len_bytes;
	memcpy(&packet->flags, &plain, sizeof(plain));
	packet->next = NULL;
}

/** ob_packet_pool_collect - take what other CPUs gave back. Owner CPU. Returns how many are free now. */
unsigned ob_packet_pool_collect(struct ob_packet_pool *pool);

/**
 * ob_packet_pool_top - @count packets (or fewer) that may be taken
 * @indexes: their places in pool->packets stand here, until ob_packet_pool_pop(); not yet reset
 *
 * Return: how many.
 */
static inline unsigned ob_packet_pool_top(struct ob_packet_pool *pool, unsigned count, const uint32_t **indexes)
{
	unsigned have = pool->free_count;

	if (OB_UNLIKELY(have < count)) {
		have = ob_packet_pool_collect(pool);
		if (have < count)
			count = have;
	}
	*indexes = pool->free + (have - count);
	return count;
}

/** ob_packet_pool_pop - take so many of those */
static inline void ob_packet_pool_pop(struct ob_packet_pool *pool, unsigned count)
{
	pool->free_count -= count;
}

/** ob_packet_pool_push_index - give a packet back that nobody else refers to and that is no longer chained. Owner CPU. */
static inline void ob_packet_pool_push_index(struct ob_packet_pool *pool, uint32_t index)
{
	pool->free[pool->free_count++] = index;
}
static inline void ob_packet_pool_push(struct ob_packet_pool *pool, const struct ob_packet *packet)
{
	ob_packet_pool_push_index(pool, (uint32_t)(packet - pool->packets));
}

/** ob_packet_iova - where the device finds @data of a packet of @pool; the pool is granted to it */
static inline ob_iova ob_packet_iova(const struct ob_packet_pool *pool, unsigned dma_index, const void *data)
{
	ob_iova iova;

	iova.addr = pool->window->grant[dma_index].iova + (uint64_t)((const uint8_t *)data - pool->window->base);
	return iova;
}

/** ob_packet_check - is the data of this one packet inside its buffer? With @before bytes more in front of it. */
static inline bool ob_packet_check(const struct ob_packet *packet, uint32_t before)
{
	const struct ob_packet_pool *pool = packet->pool;
	size_t offset = (size_t)(packet->data - (ob_packet_start(pool, packet) - pool->headroom_bytes));
	size_t bytes = (size_t)pool->headroom_bytes + pool->room_bytes;

	return OB_LIKELY(offset >= before && offset <= bytes && packet->len_bytes <= bytes - offset);
}

/* ---- channels ---- */

struct ob_net_ops {
	/*
	 * channel_open - make the driver's side of a channel, on channel->cpu. Task on CPU 0.
	 * Sets channel->driver_data, rx_depth and tx_depth (at most what is there) and mode. No frame comes before
	 * ob_net_channel_gate(). Return: 0; -ENOSPC; -ENOMEM; -ENODEV; -ETIMEDOUT; -EINVAL.
	 */
	int (*channel_open)(struct ob_net *net, struct ob_net_channel *channel);
	/* channel_close - the device lets go of all its packets; give them back on channel->cpu; free all. Task, CPU 0. */
	void (*channel_close)(struct ob_net_channel *channel);
	/* The I/O path, owner CPU; as ob_net_receive(), ob_net_send(), ob_net_kick() and ob_net_reap() say. */
	unsigned (*receive)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max);
	unsigned (*send)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
	void (*kick)(struct ob_net_channel *channel);
	unsigned (*reap)(struct ob_net_channel *channel);
	/* Which of OB_NET_WAIT_* are the case. Owner CPU. */
	unsigned (*ready)(struct ob_net_channel *channel);
	/* Interrupt when one of @what is the case. True: it is already. Owner CPU, soft. NULL: always polled. */
	bool (*arm)(struct ob_net_channel *channel, unsigned what);
	void (*disarm)(struct ob_net_channel *channel); /* hard too */

	/*
	 * Tell the device. Tasks on CPU 0, one at a time. The class has checked the values and keeps them: what
	 * ob_net_info(), ob_net_get_filter() and so on answer is what the device shall be told, now or in a later reset.
	 * It takes them back when an errno is returned. NULL: -EOPNOTSUPP; set_filter: it lets all through.
	 */
	int (*set_filter)(struct ob_net *net, const struct ob_net_filter *filter);
	int (*set_vlan)(struct ob_net *net, unsigned vid, bool on);
	int (*set_mac)(struct ob_net *net, const uint8_t mac[6]);
	int (*set_mtu)(struct ob_net *net, unsigned mtu);
	int (*set_offloads)(struct ob_net *net, uint32_t offloads);
	int (*set_rss)(struct ob_net *net, const struct ob_net_rss *rss);
};

/* Read by drivers; the class fills it. The first members are the I/O path's. */
struct ob_net_channel {
	unsigned (*receive)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned max);
	unsigned (*send)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count);
	void (*kick)(struct ob_net_channel *channel);
	void *driver_data;
	struct ob_packet_pool *pool; /* to receive into */
	struct ob_net_stats stats;   /* the driver's to count in, but for soft_* */
	const struct ob_net_ops *ops;
	struct ob_net *net;
	struct ob_cpu *cpu;
	unsigned index;              /* the driver may change it as others close; channel->cpu reads */
	unsigned rx_depth, tx_depth; /* in: wished; out: given */
	unsigned dma_index;          /* of the device */
	enum ob_completion_mode mode;
	struct ob_poll_config poll;
};

/** ob_net_channel_gate - frames may pass now, or no more (the device is being reset). Owner CPU, after channel_open. */
void ob_net_channel_gate(struct ob_net_channel *channel, bool open);
/** ob_net_interrupt - of this channel. Hard or soft, owner CPU. */
void ob_net_interrupt(struct ob_net_channel *channel);

/* ---- interfaces ---- */

struct ob_net_publish {
	struct ob_net_info
		info; /* from the device, so checked: sizes, the MAC, counts; mtu and offloads_on as they are */
	struct ob_net_link link;
	const struct ob_net_ops *ops;
	void *driver_data;
};

/** ob_net_publish - make an interface of @dev visible, as "net0" or the next free name. Task. 0; -EINVAL; -ENOMEM */
int ob_net_publish(struct ob_device *dev, const struct ob_net_publish *publish, struct ob_net **out);
/**
 * ob_net_unpublish - take it away: offline at once, all channels closed (driver's channel_close), last driver put
 *
 * Task on CPU 0. Afterwards no function of the driver is called for it. Open channels receive and take nothing.
 */
void ob_net_unpublish(struct ob_net *net);
/** ob_net_driver_data - as it was published */
void *ob_net_driver_data(const struct ob_net *net);
/** ob_net_set_link - the link is like this now; watchers are told when that is new. Soft or task, CPU 0. */
void ob_net_set_link(struct ob_net *net, const struct ob_net_link *link);
/** ob_net_event - tell watchers of OB_NET_EVENT_*. Soft or task, CPU 0. */
void ob_net_event(struct ob_net *net, unsigned events);
/** ob_net_counters - what the driver counts for the device as a whole. CPU 0. */
struct ob_net_stats *ob_net_counters(struct ob_net *net);
/** ob_net_set_room - what ob_net_info.room_min is now. CPU 0, task. */
void ob_net_set_room(struct ob_net *net, uint32_t room_min);
/** ob_net_made_mac - an address for a device that has none: locally administered, the same at each start */
void ob_net_made_mac(const struct ob_device *dev, uint8_t mac[6]);
/** ob_net_vlans - the VLANs that are let through: a bit each of 4096, in 64 words; their number. CPU 0. */
unsigned ob_net_vlans(const struct ob_net *net, const uint64_t **bits);

/**
 * ob_net_soft - do in software what the device does not do for a frame that is to be sent
 * @can: OB_NET_TX_* that the device does
 *
 * Not for the usual frame: one whose head has flags. The checksum is made, the tag put in. What cannot be done so is
 * refused; a frame to be segmented, which the device cannot, has been cut by the class before.
 * Return: 0; -EINVAL its offsets or sizes make no sense; -EOPNOTSUPP it is to be segmented, and @can does not say that.
 */
int ob_net_soft(struct ob_net_channel *channel, struct ob_packet *frame, uint32_t can);

#ifdef __cplusplus
}
#endif
#endif
