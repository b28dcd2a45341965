/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of the virtio network device (VIRTIO 1.2 §5.1): queue pairs, offloads in both directions, mergeable buffers,
 * the control queue, receive filters, RSS with hash reports. What is at the other end of its wire is its owner's matter.
 *
 * It is strict: a header, a command or an offload that the driver may not use is noted, and answered as the clause says.
 */
#ifndef OB_MODEL_NET_VIRTIO_NET_VNET_MODEL_H
#define OB_MODEL_NET_VIRTIO_NET_VNET_MODEL_H

#include "model/virtio/virtio_model.h"
#include "spec/virtio_net.h"

#define VNET_MODEL_PAIRS_MAX  64u
#define VNET_MODEL_FRAME_MAX  65550u /* the longest frame that segments in one make */
#define VNET_MODEL_TABLE_MAX  64u /* addresses of each kind in its filter; with more it lets all of that kind through */
#define VNET_MODEL_RSS_TABLE  128u
#define VNET_MODEL_KEY_BYTES  40u
#define VNET_MODEL_CHAINS_MAX 128u /* that one frame may be spread over */
#define VNET_MODEL_PIECES_MAX 512u

/* A frame on the wire, without header. */
struct vnet_frame {
	const uint8_t *data;
	uint32_t len_bytes;
	/* as in the header, in CPU order */
	uint8_t flags, gso_type;
	uint16_t header_bytes, gso_bytes, csum_start, csum_offset;
	uint16_t pair; /* that it was sent on */
};

struct vnet_wire_ops {
	/* The driver sent it; it is gone when this returns. */
	void (*send)(void *arg, const struct vnet_frame *frame);
	/* The next frame for us, until next() says that we have it; false: none. */
	bool (*peek)(void *arg, struct vnet_frame *out);
	void (*next)(void *arg);
};

/* A world's way to be cruel, beside struct virtio_model_hooks. Any member may be NULL. */
struct vnet_model_hooks {
	void *arg;
	/* Change what is told of a frame for the driver. */
	void (*header)(void *arg, unsigned pair, struct virtio_net_header_hash *header);
	/* Change the answer to a control command that was carried out, or refused. */
	void (*answer)(void *arg, uint8_t *ack);
};

struct vnet_model_config {
	uint8_t mac[6];
	uint16_t pairs; /* 1 to VNET_MODEL_PAIRS_MAX */
	uint16_t queue_size;
	uint16_t mtu;
	uint64_t without;       /* feature bits of §5.1.3 that it does not offer, of those that it could */
	uint64_t ring_features; /* … and of rings that it does */
	uint32_t speed_mbps;    /* 0: it does not say */
	uint32_t frame_max;     /* the longest that it sends; at most VNET_MODEL_FRAME_MAX */
	uint16_t msix_vectors;  /* 0: the pin only */
	bool retains;           /* keeps its state in D3hot */
};

struct vnet_model_stats {
	uint64_t tx_frames, rx_frames;
	uint64_t tx_bad;      /* headers or lengths that make no sense */
	uint64_t rx_filtered; /* not for us */
	uint64_t rx_bad;      /* too long for what the driver can take */
	uint64_t commands, commands_refused;
};

/* Receive buffers that were taken and are not used yet: a frame may need several. */
struct vnet_held {
	struct virtqueue_chain chains[VNET_MODEL_CHAINS_MAX];
	uint16_t first_piece[VNET_MODEL_CHAINS_MAX + 1];
	struct virtqueue_piece pieces[VNET_MODEL_PIECES_MAX];
	unsigned count;
	uint64_t room_bytes;
};

/* What the driver told it by its control queue. */
struct vnet_settings {
	uint8_t mac[6];
	bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
	bool unicast_overflow, multicast_overflow;
	unsigned unicast_count, multicast_count;
	uint8_t unicast[VNET_MODEL_TABLE_MAX][6], multicast[VNET_MODEL_TABLE_MAX][6];
	uint64_t vlans[4096 / 64];
	uint64_t offloads; /* GUEST_* bits that are on */
	uint16_t pairs;    /* in use */
	bool rss;
	uint32_t hash_types;
	uint16_t table[VNET_MODEL_RSS_TABLE]; /* pairs */
	uint16_t table_mask, unclassified;
	uint8_t key[VNET_MODEL_KEY_BYTES];
};

struct vnet_model {
	struct virtio_model virtio; /* first */
	struct vnet_model_config config;
	const struct vnet_wire_ops *wire;
	void *wire_arg;
	struct vnet_model_hooks hooks;
	struct virtio_net_config space;
	uint8_t space_writable[sizeof(struct virtio_net_config)];
	struct vnet_settings settings;
	struct vnet_held *held; /* by pair */
	struct vnet_model_stats stats;
	uint8_t *frame;         /* config.frame_max: as it is sent, or received */
	uint8_t *segment;       /* … and one segment of it */
	unsigned segments_done; /* of the wire's next frame */
	bool link_up;
};

/** vnet_model_config_default - all that it can, one pair; the address is the caller's */
void vnet_model_config_default(struct vnet_model_config *config);
/** vnet_model_create - @config copied. 0; -EINVAL; -ENOMEM */
int vnet_model_create(struct model_host *host, const struct vnet_model_config *config, const struct vnet_wire_ops *wire,
		      void *wire_arg, struct vnet_model **out);
void vnet_model_destroy(struct vnet_model *m);
void vnet_model_set_hooks(struct vnet_model *m, const struct vnet_model_hooks *hooks);
/** vnet_model_wake - the wire has a frame: look, when the device is run next */
void vnet_model_wake(struct vnet_model *m);
/** vnet_model_set_link - pulled out, or put in */
void vnet_model_set_link(struct vnet_model *m, bool up);
/** vnet_model_announce - as after a migration: the driver is to tell the network where it is */
void vnet_model_announce(struct vnet_model *m);

static inline struct vnet_model *vnet_of(struct virtio_model *v)
{
	return (struct vnet_model *)(void *)v;
}

/* ---- for the files of this directory ---- */

static inline unsigned vnet_pairs_offered(const struct vnet_model *m)
{
	bool several = virtio_model_has(&m->virtio, VIRTIO_NET_F_MQ) || virtio_model_has(&m->virtio, VIRTIO_NET_F_RSS);

	return several ? m->config.pairs : 1;
}

static inline uint32_t vnet_header_bytes(const struct vnet_model *m)
{
	return virtio_model_has(&m->virtio, VIRTIO_NET_F_HASH_REPORT) ? sizeof(struct virtio_net_header_hash)
								      : sizeof(struct virtio_net_header);
}

/* model.c */
void vnet_settings_reset(struct vnet_model *m);
/* control.c: one command after the other; true: more. */
bool vnet_control_work(struct vnet_model *m, unsigned index, unsigned budget);
/* transmit.c */
bool vnet_transmit_work(struct vnet_model *m, unsigned index, unsigned budget);
/* receive.c */
bool vnet_receive_work(struct vnet_model *m, unsigned index, unsigned budget);
/* steer.c: is it for us? Which pair, and what is its hash? */
bool vnet_wanted(const struct vnet_model *m, const struct vnet_frame *frame);
unsigned vnet_steer(const struct vnet_model *m, const struct vnet_frame *frame, uint32_t *hash, uint16_t *report);
/* offload.c: make a checksum that was left open; cut a segment out of a frame. 0; -EINVAL its header makes no sense. */
int vnet_finish_csum(uint8_t *data, uint32_t len_bytes, uint32_t csum_start, uint32_t csum_offset);
/* The @index-th segment of @frame into @to, and its length; 0: there is none; negative: it cannot be cut. */
int64_t vnet_cut_segment(const struct vnet_frame *frame, unsigned index, uint8_t *to);

#endif
