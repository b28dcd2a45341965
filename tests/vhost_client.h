/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user-blk client that does what a test says, in the process of the server that it tests and on the thread that turns
 * the server's CPU 0. Its memory is one file, shared as two regions with a hole between them.
 */
#ifndef TESTS_VHOST_CLIENT_H
#define TESTS_VHOST_CLIENT_H

#include <outboard/outboard.h>

#include "serve/vhost_user/server.h"
#include "spec/virtio_blk.h"
#include "vhost/message.h"
#include "virtqueue/driver.h"

enum {
	VHOST_CLIENT_QUEUES = 4,
	VHOST_CLIENT_REGION = 4 << 20, /* bytes of each of the two */
	VHOST_CLIENT_DATA = 1 << 20,   /* what lies before it in the first region belongs to rings and headers */
	VHOST_CLIENT_REQUESTS = 64,    /* of a queue */
};

#define VHOST_CLIENT_GUEST  0x100000ull /* where the first region is for the guest; the second behind a hole as large */
#define VHOST_CLIENT_GUEST2 (VHOST_CLIENT_GUEST + 2 * VHOST_CLIENT_REGION)
#define VHOST_CLIENT_USER   0x7f1230000000ull

struct vhost_client_queue {
	struct virtqueue_driver driver;
	struct ob_region doorbell;
	void *shadow;
	uint64_t ring; /* offset in the memory */
	uint16_t size;
	int kick_fd, call_fd;
	unsigned kicks, in_flight;
};

struct vhost_client {
	struct ob_cpu *cpu; /* CPU 0 of the server's context */
	int fd, memory_fd;
	uint8_t *memory; /* both regions, without the hole */
	uint64_t features, protocol_features;
	struct vhost_message reply; /* the last one */
	struct vhost_client_queue queue[VHOST_CLIENT_QUEUES];
};

/* Everything is asserted by cmocka unless something is returned. */

/* Connected, and nothing said yet. @server: NULL: @fd is the socket. */
void vhost_client_open(struct vhost_client *c, struct ob *ob, struct vu_server *server, int fd);
void vhost_client_close(struct vhost_client *c);
/* The same client, with its memory and its queues' ends, on a new connection; nothing said yet. */
void vhost_client_reconnect(struct vhost_client *c, struct vu_server *server);

/* Send; 0 or what vhost_send() says: the server may have gone. */
int vhost_client_send(struct vhost_client *c, const struct vhost_message *m);
int vhost_client_send_u64(struct vhost_client *c, unsigned request, uint64_t value);
int vhost_client_send_state(struct vhost_client *c, unsigned request, uint32_t index, uint32_t value);
int vhost_client_send_fd(struct vhost_client *c, unsigned request, uint64_t value, int fd);
/* Send and wait for the reply, c->reply. 0; -ENODEV the server has hung up; -ETIMEDOUT. */
int vhost_client_ask(struct vhost_client *c, const struct vhost_message *m);
/* With REPLY_ACK: 0 it was done, 1 refused; negative as above. */
int vhost_client_do(struct vhost_client *c, struct vhost_message *m);
/* Has the server hung up by now? Turns until it has, or until it has answered that it has not. */
bool vhost_client_is_dropped(struct vhost_client *c);
void vhost_client_turn(struct vhost_client *c, unsigned turns);

/* Features, protocol features, memory; @features: of the device, as far as it has them. */
void vhost_client_negotiate(struct vhost_client *c, uint64_t features);
/* The message with both regions and their descriptors. */
void vhost_client_memory_table(struct vhost_client *c, struct vhost_message *m);
void vhost_client_share(struct vhost_client *c);
/* A queue from its beginning, or going on at @base of SET_VRING_BASE. */
void vhost_client_queue_prepare(struct vhost_client *c, unsigned index, uint16_t size);
void vhost_client_queue_start(struct vhost_client *c, unsigned index, uint32_t base);
/* SET_VRING_ADDR for a queue that was prepared. */
void vhost_client_addresses(const struct vhost_client *c, unsigned index, struct vhost_message *out);
/* GET_VRING_BASE */
uint32_t vhost_client_queue_stop(struct vhost_client *c, unsigned index);

/* Addresses of a byte of the memory: the guest's, the front-end's. */
uint64_t vhost_client_guest(uint64_t offset);
uint64_t vhost_client_user(uint64_t offset);

/* One request's memory: header and status are taken by @token, data is where the test says. */
struct virtio_blk_header *vhost_client_header(struct vhost_client *c, unsigned index, unsigned token);
uint8_t *vhost_client_status(struct vhost_client *c, unsigned index, unsigned token);
/* Add a request with @len bytes of data at @offset of the memory; kick. */
void vhost_client_add(struct vhost_client *c, unsigned index, uint32_t token, uint32_t type, uint64_t sector,
		      uint64_t offset, uint32_t len_bytes);
/* Take one that ended: its token; or -1: none after as many turns as it may take. */
int vhost_client_take(struct vhost_client *c, unsigned index);
/* One request from beginning to end; its status, or -1: it never ended. */
int vhost_client_io(struct vhost_client *c, unsigned index, uint32_t type, uint64_t sector, uint64_t offset,
		    uint32_t len_bytes);

#endif
