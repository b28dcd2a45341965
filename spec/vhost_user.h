/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user protocol: messages, features, shared tables. From QEMU's "Vhost-user Protocol" (docs/interop/vhost-user),
 * whose sections are named below. The front-end drives the rings and shares its memory; the back-end serves them.
 *
 * Numbers are in the CPU's own byte order: both ends run on one machine. Not here: logging for live migration, postcopy,
 * crypto and GPU messages, but for their numbers where a peer may use them.
 */
#ifndef OB_SPEC_VHOST_USER_H
#define OB_SPEC_VHOST_USER_H

#include <assert.h>

#include <outboard/types.h>

#include "base/bits.h"

/* ---- header ("Message Specification") ---- */

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t len_bytes; /* of the payload that follows */
};
static_assert(sizeof(struct vhost_user_header) == 12, "vhost-user header");

#define VHOST_USER_FLAGS_VERSION    BITS(1, 0) /* 1 */
#define VHOST_USER_FLAGS_REPLY      BIT(2)     /* set in every reply */
#define VHOST_USER_FLAGS_NEED_REPLY BIT(3)     /* REPLY_ACK: a u64 is to come back, 0 for success */
#define VHOST_USER_VERSION          1

/* ---- requests of the front-end ("Front-end message types"); payload → reply ---- */

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,    /* - → u64 */
	VHOST_USER_SET_FEATURES = 2,    /* u64 */
	VHOST_USER_SET_OWNER = 3,       /* - */
	VHOST_USER_RESET_OWNER = 4,     /* -; deprecated: some drop the connection's state */
	VHOST_USER_SET_MEM_TABLE = 5,   /* memory, a descriptor for each region */
	VHOST_USER_SET_LOG_BASE = 6,    /* log, 1 descriptor → - */
	VHOST_USER_SET_LOG_FD = 7,      /* -, 1 descriptor */
	VHOST_USER_SET_VRING_NUM = 8,   /* state: the ring's size */
	VHOST_USER_SET_VRING_ADDR = 9,  /* address */
	VHOST_USER_SET_VRING_BASE = 10, /* state: where to go on, VHOST_USER_BASE_* */
	VHOST_USER_GET_VRING_BASE = 11, /* state → state; stops the ring */
	VHOST_USER_SET_VRING_KICK = 12, /* u64, VHOST_USER_VRING_*; 1 descriptor; the first kick starts the ring */
	VHOST_USER_SET_VRING_CALL = 13, /* the same */
	VHOST_USER_SET_VRING_ERR = 14,  /* the same */
	VHOST_USER_GET_PROTOCOL_FEATURES = 15, /* - → u64 */
	VHOST_USER_SET_PROTOCOL_FEATURES = 16, /* u64 */
	VHOST_USER_GET_QUEUE_NUM = 17,         /* - → u64; F_MQ */
	VHOST_USER_SET_VRING_ENABLE = 18,      /* state: 0 or 1; F_PROTOCOL_FEATURES */
	VHOST_USER_SEND_RARP = 19,             /* u64: 6 bytes of MAC; F_RARP */
	VHOST_USER_NET_SET_MTU = 20,           /* u64; F_NET_MTU */
	VHOST_USER_SET_BACKEND_REQ_FD = 21, /* -, 1 descriptor: a socket for requests of the back-end; F_BACKEND_REQ */
	VHOST_USER_IOTLB_MSG = 22,          /* iotlb → u64; VIRTIO_F_ACCESS_PLATFORM */
	VHOST_USER_SET_VRING_ENDIAN = 23,   /* state; legacy devices */
	VHOST_USER_GET_CONFIG = 24,         /* config → config; nothing at all: an error; F_CONFIG */
	VHOST_USER_SET_CONFIG = 25,         /* config; F_CONFIG */
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD =
		31, /* inflight: queues and their size → inflight, 1 descriptor; F_INFLIGHT_SHMFD */
	VHOST_USER_SET_INFLIGHT_FD = 32,   /* inflight, 1 descriptor */
	VHOST_USER_RESET_DEVICE = 34,      /* -; F_RESET_DEVICE */
	VHOST_USER_VRING_KICK = 35,        /* state; F_INBAND_NOTIFICATIONS */
	VHOST_USER_GET_MAX_MEM_SLOTS = 36, /* - → u64; F_CONFIGURE_MEM_SLOTS */
	VHOST_USER_ADD_MEM_REG = 37,       /* one region, 1 descriptor; F_CONFIGURE_MEM_SLOTS */
	VHOST_USER_REM_MEM_REG = 38,       /* one region; 1 descriptor is to be borne and closed */
	VHOST_USER_SET_STATUS = 39,        /* u64: the virtio device status; F_STATUS */
	VHOST_USER_GET_STATUS = 40,        /* - → u64 */
};

/* ---- requests of the back-end ("Back-end message types"), over the socket of SET_BACKEND_REQ_FD ---- */

enum vhost_user_backend_request {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,               /* iotlb */
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,       /* -; F_CONFIG */
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3, /* area, up to 1 descriptor; F_HOST_NOTIFIER */
	VHOST_USER_BACKEND_VRING_CALL = 4,              /* state; F_INBAND_NOTIFICATIONS */
	VHOST_USER_BACKEND_VRING_ERR = 5,               /* the same */
};

/* ---- features ---- */

#define VHOST_USER_F_PROTOCOL_FEATURES BIT64(30) /* among the device's feature bits; no driver may see it */
#define VHOST_F_LOG_ALL                BIT64(26) /* likewise */

/* "Protocol features" */
#define VHOST_USER_PROTOCOL_F_MQ                   BIT64(0)
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD            BIT64(1)
#define VHOST_USER_PROTOCOL_F_RARP                 BIT64(2)
#define VHOST_USER_PROTOCOL_F_REPLY_ACK            BIT64(3)
#define VHOST_USER_PROTOCOL_F_NET_MTU              BIT64(4)
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ          BIT64(5)
#define VHOST_USER_PROTOCOL_F_CROSS_ENDIAN         BIT64(6)
#define VHOST_USER_PROTOCOL_F_CRYPTO_SESSION       BIT64(7)
#define VHOST_USER_PROTOCOL_F_PAGEFAULT            BIT64(8)
#define VHOST_USER_PROTOCOL_F_CONFIG               BIT64(9)
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD      BIT64(10)
#define VHOST_USER_PROTOCOL_F_HOST_NOTIFIER        BIT64(11)
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD       BIT64(12)
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE         BIT64(13)
#define VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS BIT64(14)
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS  BIT64(15)
#define VHOST_USER_PROTOCOL_F_STATUS               BIT64(16)

/* ---- payloads ("Payload") ---- */

#define VHOST_USER_REGIONS_MAX 8   /* of one SET_MEM_TABLE, and so descriptors of one message */
#define VHOST_USER_CONFIG_MAX  256 /* bytes of configuration space in one message */
#define VHOST_USER_QUEUES_MAX  256 /* an index is 8 bits where a descriptor goes along */

/* SET_VRING_KICK, _CALL, _ERR */
#define VHOST_USER_VRING_INDEX BITS(7, 0)
#define VHOST_USER_VRING_NO_FD BIT(8) /* no descriptor: poll the ring */

/*
 * What SET_VRING_BASE and GET_VRING_BASE tell of a ring: of a split one the available index; of a packed one where the
 * next available and the next used descriptor are, each with its wrap counter.
 */
#define VHOST_USER_BASE_SPLIT_AVAIL      BITS(15, 0)
#define VHOST_USER_BASE_PACKED_AVAIL     BITS(14, 0)
#define VHOST_USER_BASE_PACKED_WRAP      BIT(15)
#define VHOST_USER_BASE_PACKED_USED      BITS(30, 16)
#define VHOST_USER_BASE_PACKED_USED_WRAP BIT(31)

struct vhost_user_state {
	uint32_t index, value;
};
static_assert(sizeof(struct vhost_user_state) == 8, "vring state description");

/* Addresses of the first three are the front-end's own: of its process, or of the IOMMU with VIRTIO_F_ACCESS_PLATFORM. */
struct vhost_user_address {
	uint32_t index;
	uint32_t flags;       /* bit 0: log writes to the used ring */
	uint64_t descriptors; /* packed: the ring */
	uint64_t used;        /* packed: the device's event suppression */
	uint64_t available;   /* packed: the driver's event suppression */
	uint64_t log;
};
static_assert(sizeof(struct vhost_user_address) == 40, "vring address description");

struct vhost_user_region {
	uint64_t guest_address; /* what descriptors in rings have */
	uint64_t len_bytes;
	uint64_t user_address; /* what vhost_user_address has */
	uint64_t file_offset;
};
static_assert(sizeof(struct vhost_user_region) == 32, "memory region");

struct vhost_user_memory {
	uint32_t count;
	uint32_t reserved;
	struct vhost_user_region region[VHOST_USER_REGIONS_MAX];
};
static_assert(offsetof(struct vhost_user_memory, region) == 8, "memory regions description");

struct vhost_user_one_region {
	uint64_t reserved;
	struct vhost_user_region region;
};
static_assert(sizeof(struct vhost_user_one_region) == 40, "single memory region description");

struct vhost_user_log {
	uint64_t len_bytes, file_offset;
};
static_assert(sizeof(struct vhost_user_log) == 16, "log description");

struct vhost_user_iotlb {
	uint64_t iova, len_bytes, user_address;
	uint8_t permissions, type, reserved[6];
};
static_assert(sizeof(struct vhost_user_iotlb) == 32, "IOTLB message");

struct vhost_user_config {
	uint32_t offset, len_bytes, flags;
	uint8_t data[VHOST_USER_CONFIG_MAX]; /* of it len_bytes */
};
#define VHOST_USER_CONFIG_HEADER_BYTES 12
#define VHOST_USER_CONFIG_WRITABLE     0 /* flags of SET_CONFIG: what the driver may write */
#define VHOST_USER_CONFIG_MIGRATION    1
static_assert(offsetof(struct vhost_user_config, data) == VHOST_USER_CONFIG_HEADER_BYTES, "device config space");

struct vhost_user_area {
	uint64_t index; /* VHOST_USER_VRING_* */
	uint64_t len_bytes, file_offset;
};
static_assert(sizeof(struct vhost_user_area) == 24, "vring area description");

/* The text counts 20 bytes; QEMU, DPDK and SPDK send a C structure of 24. */
struct vhost_user_inflight {
	uint64_t len_bytes, file_offset;
	uint16_t queue_count, queue_size;
	uint8_t padding[4];
};
#define VHOST_USER_INFLIGHT_MIN_BYTES 20
static_assert(sizeof(struct vhost_user_inflight) == 24, "inflight description");

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_state state;
	struct vhost_user_address address;
	struct vhost_user_memory memory;
	struct vhost_user_one_region one_region;
	struct vhost_user_log log;
	struct vhost_user_iotlb iotlb;
	struct vhost_user_config config;
	struct vhost_user_area area;
	struct vhost_user_inflight inflight;
};

/* ---- the buffer of requests in flight ("Inflight I/O tracking"): one region for each queue ---- */

#define VHOST_USER_INFLIGHT_VERSION 1
#define VHOST_USER_INFLIGHT_ALIGN   64 /* of each queue's region, as QEMU's and SPDK's back-ends lay them out */

struct vhost_user_split_entry {
	uint8_t inflight; /* heads only */
	uint8_t padding[5];
	uint16_t next;    /* in the list of the last batch */
	uint64_t counter; /* the order of fetching; heads only */
};
static_assert(sizeof(struct vhost_user_split_entry) == 16, "DescStateSplit");

struct vhost_user_split_region {
	uint64_t features; /* 0 */
	uint16_t version;  /* 0: not initialised */
	uint16_t entry_count;
	uint16_t last_batch_head;
	uint16_t used_index; /* of the used ring, after the last batch */
	struct vhost_user_split_entry entry[];
};
static_assert(sizeof(struct vhost_user_split_region) == 16, "QueueRegionSplit");

struct vhost_user_packed_entry {
	uint8_t inflight; /* heads only */
	uint8_t padding;
	uint16_t next;    /* free entry */
	uint16_t last;    /* entry of the chain; heads only */
	uint16_t count;   /* of the chain; heads only */
	uint64_t counter; /* the order of fetching; heads only */
	uint16_t id, flags;
	uint32_t len_bytes;
	uint64_t address;
};
static_assert(sizeof(struct vhost_user_packed_entry) == 32, "DescStatePacked");

struct vhost_user_packed_region {
	uint64_t features; /* 0 */
	uint16_t version;  /* 0: not initialised */
	uint16_t entry_count;
	uint16_t free_head, old_free_head;
	uint16_t used_index, old_used_index;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[10];
	struct vhost_user_packed_entry entry[];
};
/* The text has 7 bytes of padding; the C compiler that lays it out aligns the entries. */
static_assert(offsetof(struct vhost_user_packed_region, entry) == 32, "QueueRegionPacked");

#endif
