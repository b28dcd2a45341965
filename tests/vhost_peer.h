/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back-end in a thread of the test's process, which serves nothing: it takes what it is told, notes it, and
 * answers as the protocol says, or as the test says. It listens at a socket in a directory of its own, and takes one
 * connection after the other.
 */
#ifndef TESTS_VHOST_PEER_H
#define TESTS_VHOST_PEER_H

#include <pthread.h>

#include "vhost/message.h"

enum {
	VHOST_PEER_QUEUES = 8,
	VHOST_PEER_REQUESTS = 64, /* numbers of requests */
	VHOST_PEER_REGIONS = 32,
};

/* What it does instead of answering. */
enum vhost_peer_lie {
	VHOST_PEER_HONEST,
	VHOST_PEER_SILENT,
	VHOST_PEER_CLOSE,  /* hangs up */
	VHOST_PEER_REFUSE, /* says no, where it can */
	VHOST_PEER_OTHER,  /* answers another question */
	VHOST_PEER_NO_REPLY_FLAG,
	VHOST_PEER_VERSION,
	VHOST_PEER_SHORT, /* a payload of one byte less */
	VHOST_PEER_LONG,  /* … one byte more */
	VHOST_PEER_HUGE,  /* … more than there is */
	VHOST_PEER_FDS,   /* descriptors that nobody asked for */
	VHOST_PEER_HALF,  /* half a message, and the end */
	VHOST_PEER_LIES,
};

struct vhost_peer_queue {
	uint32_t size, base, enabled;
	struct vhost_user_address address;
	bool has_kick, has_call, has_err;
	int kick_fd, call_fd;
	unsigned rings_before; /* how many SET_VRING_NUM there were before its last SET_VRING_CALL */
};

/* Set by the test before a connection; the rest is noted. */
struct vhost_peer {
	char dir[32], path[48];
	uint64_t features, protocol; /* offered, VHOST_USER_F_PROTOCOL_FEATURES among the first */
	uint64_t queue_count, slot_count;
	uint32_t config_len; /* it refuses to read beyond this */
	uint8_t config[VHOST_USER_CONFIG_MAX];
	uint32_t stop_base[VHOST_PEER_QUEUES]; /* answered to GET_VRING_BASE */
	bool stop_other;                       /* … about another queue */
	uint64_t status;                       /* answered to GET_STATUS: these bits of what was set */
	uint64_t inflight_len;                 /* of the table that it gives; 0: none */
	uint64_t inflight_told;                /* … that it says it has; 0: the truth */
	bool inflight_no_fd;
	bool fills_kicks;     /* what it is kicked by it fills, and makes a descriptor that waits */
	unsigned slow_ms;     /* it thinks so long about every message */
	unsigned lie_request; /* which is not answered honestly: 0: none */
	enum vhost_peer_lie lie;
	/* noted; under the lock */
	pthread_mutex_t lock;
	unsigned connections; /* whose SET_OWNER came */
	unsigned count[VHOST_PEER_REQUESTS];
	uint64_t features_set, protocol_set, status_set;
	struct vhost_user_region region[VHOST_PEER_REGIONS];
	unsigned region_count;
	uint8_t *region_map[VHOST_PEER_REGIONS];
	struct vhost_peer_queue queue[VHOST_PEER_QUEUES];
	struct vhost_user_inflight inflight;
	int inflight_fd, backend_fd;
	struct vhost_user_config config_set;
	uint32_t flags_seen; /* of all messages */
	bool malformed;      /* a message was not as it should be */
	/* private */
	pthread_t thread;
	int listen_fd, fd, wake_fd;
	bool running, stop;
};

/* Everything is asserted by cmocka. */

/* A disk with REPLY_ACK, MQ, CONFIG, BACKEND_REQ and CONFIGURE_MEM_SLOTS; not listening yet. */
void vhost_peer_init(struct vhost_peer *p);
void vhost_peer_fini(struct vhost_peer *p);
/* Begin and end to listen; the end hangs up, and what it was told is forgotten, but for the counts. */
void vhost_peer_start(struct vhost_peer *p);
void vhost_peer_stop(struct vhost_peer *p);
/* How often it was asked this. */
unsigned vhost_peer_count(struct vhost_peer *p, unsigned request);
/* Until it has been asked so often; fails after a while. */
void vhost_peer_await(struct vhost_peer *p, unsigned request, unsigned count);
/* A region's memory by an address; NULL: it was not told of it. */
void *vhost_peer_at(struct vhost_peer *p, uint64_t guest_address, uint64_t len_bytes);

#endif
