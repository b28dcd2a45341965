/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client: its connection, what it negotiated, its memory, its queues. It belongs to its task on CPU 0; what queues look
 * at is set while they stand still.
 */
#ifndef OB_SERVE_VHOST_USER_CLIENT_H
#define OB_SERVE_VHOST_USER_CLIENT_H

#include <outboard/outboard.h>

#include "base/list.h"
#include "serve/vhost_user/memory.h"
#include "serve/vhost_user/queue.h"
#include "serve/vhost_user/server.h"
#include "vhost/message.h"

enum {
	VU_QUEUE_SIZE_MAX = 1024,
	VU_WHY_MAX = 240,
};

struct vu_server {
	struct ob *ob;
	struct vu_server_config config;
	struct ob_block_limits limits; /* as it was opened; the size is asked for anew */
	struct vu_lane *lanes;
	unsigned lane_count;
	struct vu_parts *parts; /* NULL: a block is a sector */
	struct vu_watchdog *watchdog;
	/* CPU 0 */
	struct ob_fd listener;
	struct list clients;
	struct ob_work accepting, resized;
	struct ob_timer accept_again;
	bool stopping, listening;
	bool refusing;         /* the last one that wanted in could not be taken, which was said */
	bool stuck;            /* a client is: nothing of this is ever freed */
	struct ob_event empty; /* stopping, and the last client has left */
	struct vu_server_stats stats;
};

enum vu_failure {
	VU_FINE,
	VU_FAILING, /* somebody writes why */
	VU_FAILED,
};

struct vu_client {
	struct vu_server *server;
	struct list link; /* vu_server.clients */
	uint64_t number;
	char name[24];
	int fd, backend_fd; /* backend_fd: for our own requests; -1: none */
	struct ob_fd readable;
	bool watched;
	struct ob_event wake; /* something came, failed, or it is to end */
	struct vhost_receiver receiver;
	/* negotiated */
	uint64_t features, protocol_features;
	bool writeback; /* as the driver set it, with CONFIG_WCE */
	struct vu_memory *memory;
	unsigned hurt;              /* __atomic; guard.h */
	struct vu_mapping inflight; /* empty: nothing is tracked */
	uint64_t inflight_bytes;
	uint16_t inflight_queues, inflight_size;
	struct vu_queue *queues;
	unsigned queue_count;
	/* why it is dropped; any thread, by vu_client_fail() */
	unsigned failed; /* __atomic, enum vu_failure */
	char why[VU_WHY_MAX];
	bool stuck; /* a queue does not come to rest: nothing of this is ever freed */
};

/** vu_client_create - takes @fd and spawns the task. CPU 0. 0; -ENOMEM, and @fd is the caller's. */
int vu_client_create(struct vu_server *server, int fd);
/** vu_client_fail - it is to be dropped, for this reason if it is the first one. Any thread. Returns -EPROTO. */
int vu_client_fail(struct vu_client *client, const char *format, ...) OB_PRINTF(2, 3);
/** vu_client_resized - tell it that the disk's size has changed, if it wants to know. CPU 0. */
void vu_client_resized(struct vu_client *client);

/** vu_client_handle - one message, whole and well formed. The client's task. 0; negative: it is to be dropped */
int vu_client_handle(struct vu_client *client, struct vhost_message *m);
/** vu_client_halt - all queues come to rest. The client's task. 0; -ETIMEDOUT one does not: client->stuck */
int vu_client_halt(struct vu_client *client);

/* What queues ask of their client, on their own CPU. */

static inline bool vu_client_has(const struct vu_client *client, unsigned feature)
{
	return (client->features >> feature & 1) != 0;
}

static inline bool vu_client_is_read_only(const struct vu_client *client)
{
	return client->server->config.read_only || client->server->limits.read_only;
}

#endif
