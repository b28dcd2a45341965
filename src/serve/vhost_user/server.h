/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as a vhost-user-blk server, on a UNIX socket that somebody else made. Any number of clients share the disk; each
 * has its own queues and memory, and none of them is trusted: whoever breaks the protocol's or the rings' rules is dropped
 * with one line in the log, and the others go on.
 *
 * Messages are handled by a task for each client on CPU 0, queues run on all lanes.
 */
#ifndef OB_SERVE_VHOST_USER_SERVER_H
#define OB_SERVE_VHOST_USER_SERVER_H

#include <outboard/outboard.h>

struct vu_server;

enum {
	VU_QUEUES_MAX = 64,  /* of one client */
	VU_CLIENTS_MAX = 64, /* what a server takes if it was not told otherwise */
};

struct vu_server_config {
	struct ob_block *block;
	int listen_fd; /* a listening UNIX socket; stays the caller's; -1: clients come by vu_server_add() */
	unsigned
		cpu_count; /* 0: all of the context. A lane, with a channel of the disk, for each; the device may give fewer */
	unsigned depth;               /* requests in flight per lane; 0: 128 */
	unsigned queue_max;           /* of a client; 0: 16 */
	unsigned client_max;          /* 0: VU_CLIENTS_MAX */
	enum ob_completion_mode mode; /* of the disk's channels, and of looking for requests */
	bool read_only;
	bool watchdog; /* have a thread see to it that no client keeps a CPU: where CPUs have threads of their own */
};

struct vu_server_stats {
	uint64_t clients, dropped; /* ever; that broke a rule */
	unsigned client_count;     /* now */
	uint64_t requests, copied; /* of clients that have left; of these with data that was copied */
};

/**
 * vu_server_start - serve @config->block, which is held until the stop
 * @config: copied
 *
 * A plain thread; CPUs with another home run. Return: 0; -ENOMEM; errors of ob_block_channel_open().
 */
int vu_server_start(const struct vu_server_config *config, struct vu_server **out);
/** vu_server_stop - drop all clients, each when its requests have ended. A plain thread. NULL is fine. */
void vu_server_stop(struct vu_server *server);
/** vu_server_add - one more client on this connected stream socket, which becomes the server's. 0; -ENOMEM; -EMFILE */
int vu_server_add(struct vu_server *server, int fd);
/** vu_server_stats - any thread; may lag */
void vu_server_stats(const struct vu_server *server, struct vu_server_stats *out);

#endif
