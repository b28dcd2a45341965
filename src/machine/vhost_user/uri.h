/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a "vhost-user:" URI asks for: vhost-user:PATH?key=value&key=value, with percent-encoding (RFC 3986 §2.1) in all of
 * them.
 */
#ifndef OB_MACHINE_VHOST_USER_URI_H
#define OB_MACHINE_VHOST_USER_URI_H

#include <sys/un.h>

#include <outboard/types.h>

#define VU_MEMORY_DEFAULT_BYTES (64 * OB_MIB)
#define VU_MEMORY_MAX_BYTES     (64 * OB_GIB)
#define VU_RECONNECT_DEFAULT_NS (10 * OB_NS_PER_S)
#define VU_ANSWER_DEFAULT_NS    (5 * OB_NS_PER_S)
#define VU_TIME_MAX_NS          (3600 * OB_NS_PER_S)
#define VU_QUEUE_SIZE_DEFAULT   1024
#define VU_QUEUE_SIZE_MAX       32768 /* VIRTIO 1.2 §2.6 */

struct vu_uri {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uint32_t type;         /* virtio device id (VIRTIO 1.2 clause 5); 0: find out */
	unsigned queues;       /* at most; 0: as many as there are */
	uint16_t queue_size;   /* at most */
	uint64_t memory_bytes; /* of the first region */
	bool hugepages;
	uint64_t reconnect_ns; /* how long a server may be away; 0: it may not */
	uint64_t answer_ns;    /* how long it may take for an answer */
	uint64_t without;      /* feature bits that are not to be used */
	bool has_mac;
	uint8_t mac[6];
};

/** vu_uri_parse - @rest: after "vhost-user:". 0; -EINVAL and a line in @why; -ENOMEM */
int vu_uri_parse(const char *rest, struct vu_uri *out, char *why, size_t why_bytes);

#endif
