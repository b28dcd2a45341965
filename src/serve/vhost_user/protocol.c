/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What messages mean ("Front-end message types" of the vhost-user protocol). Their form was checked (vhost/message.h); here
 * are the numbers in them, and their order.
 *
 * A queue runs from the moment when its size, its addresses, what kicks it and its being enabled are all known. The text has
 * it start at the first kick, but those that are available before it are as good as those behind it, and a front-end that
 * reconnects may not kick at all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bits.h"
#include "io/io.h"
#include "serve/vhost_user/blk.h"
#include "serve/vhost_user/client.h"
#include "spec/virtio.h"

/* Old QEMUs pass on what the guest has acknowledged of what they offer themselves; neither means anything here. */
#define F_NOTIFY_ON_EMPTY BIT64(24)
#define F_ANY_LAYOUT      BIT64(27)
#define TOLERATED         (F_NOTIFY_ON_EMPTY | F_ANY_LAYOUT)

#define RING_FEATURES                                                                            \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | \
	 BIT64(VIRTIO_F_RING_PACKED))

#define PROTOCOL_FEATURES                                                                                           \
	(VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK | VHOST_USER_PROTOCOL_F_BACKEND_REQ |           \
	 VHOST_USER_PROTOCOL_F_CONFIG | VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD | VHOST_USER_PROTOCOL_F_RESET_DEVICE | \
	 VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

/* ---- queues as a whole: the client's task ---- */

static int stop_queue(struct vu_client *c, struct vu_queue *q)
{
	if (vu_queue_drain(q) == 0)
		return 0;
	c->stuck = true;
	ob_err(c->server->ob, "vhost-user: %s: queue %u does not come to rest; its memory is never freed", c->name,
	       q->index);
	return vu_client_fail(c, "queue %u does not come to rest", q->index);
}

int vu_client_halt(struct vu_client *c)
{
	int ret = 0;

	for (unsigned i = 0; i < c->queue_count; i++) {
		if (stop_queue(c, &c->queues[i]) != 0)
			ret = -ETIMEDOUT;
	}
	return ret;
}

/* What is to run runs, what is not stands still. */
static int settle(struct vu_client *c)
{
	char why[VU_WHY_MAX] = "";

	for (unsigned i = 0; i < c->queue_count; i++) {
		struct vu_queue *q = &c->queues[i];
		bool wanted = vu_queue_is_complete(q) && c->memory->region_count > 0;
		int ret = 0;

		if (wanted && !q->running) {
			ret = vu_queue_start(q, c->memory, c->features, why, sizeof(why));
			if (ret != 0)
				return vu_client_fail(c, "queue %u: %s", i, why);
		} else if (!wanted && q->running) {
			ret = stop_queue(c, q);
		}
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* Is this a queue that there is, and does it stand still? NULL: the client is to be dropped. */
static struct vu_queue *queue_of(struct vu_client *c, const char *what, uint64_t index, bool at_rest)
{
	if (index >= c->queue_count) {
		vu_client_fail(c, "%s: queue %llu of %u", what, (unsigned long long)index, c->queue_count);
		return NULL;
	}
	if (at_rest && c->queues[index].running) {
		vu_client_fail(c, "%s: queue %llu is running", what, (unsigned long long)index);
		return NULL;
	}
	return &c->queues[index];
}

static bool any_running(const struct vu_client *c)
{
	for (unsigned i = 0; i < c->queue_count; i++) {
		if (c->queues[i].running)
			return true;
	}
	return false;
}

/* ---- replies ---- */

/* Whoever does not read what it asked for, until the socket's buffer is full, is not waited for. */
static int reply_fd(struct vu_client *c, struct vhost_message *m, uint32_t len_bytes, int fd)
{
	int ret;

	vhost_message_make_reply(m, len_bytes);
	if (fd >= 0)
		vhost_message_add_fd(m, fd);
	ret = vhost_send(c->fd, m, 0);
	m->fd_count = 0; /* it stays ours */
	if (ret == -ETIMEDOUT)
		return vu_client_fail(c, "it does not read what it is answered");
	if (ret == -ENODEV)
		return ret; /* it has left, and wanted no answer any more */
	return ret == 0 ? 0 : vu_client_fail(c, "it cannot be answered: %s", strerror(-ret));
}

static int reply(struct vu_client *c, struct vhost_message *m, uint32_t len_bytes)
{
	return reply_fd(c, m, len_bytes, -1);
}

static int reply_u64(struct vu_client *c, struct vhost_message *m, uint64_t value)
{
	vhost_message_close(m);
	m->payload.u64 = value;
	return reply(c, m, sizeof(m->payload.u64));
}

/* ---- features ---- */

static uint64_t offered(const struct vu_client *c)
{
	const struct vu_server *server = c->server;

	return vu_blk_features(&server->limits, server->config.read_only, c->queue_count) | RING_FEATURES |
	       VHOST_USER_F_PROTOCOL_FEATURES;
}

static int get_features(struct vu_client *c, struct vhost_message *m)
{
	return reply_u64(c, m, offered(c));
}

static int set_features(struct vu_client *c, struct vhost_message *m)
{
	uint64_t wanted = m->payload.u64 & ~TOLERATED, wrong = wanted & ~offered(c);

	if (wrong != 0)
		return vu_client_fail(c, "SET_FEATURES: %#llx are not offered", (unsigned long long)wrong);
	if (wanted != c->features && any_running(c))
		return vu_client_fail(c, "SET_FEATURES: other features while queues are running");
	c->features = wanted;
	/* "Ring states": who does not know of enabling needs not do it. */
	for (unsigned i = 0; i < c->queue_count && (wanted & VHOST_USER_F_PROTOCOL_FEATURES) == 0; i++)
		c->queues[i].enabled = true;
	return settle(c);
}

static int get_protocol_features(struct vu_client *c, struct vhost_message *m)
{
	return reply_u64(c, m, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vu_client *c, struct vhost_message *m)
{
	uint64_t wrong = m->payload.u64 & ~PROTOCOL_FEATURES;

	if (wrong != 0)
		return vu_client_fail(c, "SET_PROTOCOL_FEATURES: %#llx are not offered", (unsigned long long)wrong);
	c->protocol_features = m->payload.u64;
	return 0;
}

static int set_owner(struct vu_client *c, struct vhost_message *m)
{
	return 0;
}

static int reset_owner(struct vu_client *c, struct vhost_message *m)
{
	for (unsigned i = 0; i < c->queue_count; i++)
		c->queues[i].enabled = false;
	return settle(c);
}

static int reset_device(struct vu_client *c, struct vhost_message *m)
{
	int ret = vu_client_halt(c);

	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < c->queue_count; i++)
		vu_queue_forget(&c->queues[i]);
	c->features = 0;
	c->writeback = true;
	return 0;
}

static int get_queue_num(struct vu_client *c, struct vhost_message *m)
{
	return reply_u64(c, m, c->queue_count);
}

/* ---- memory ---- */

static int add_region(struct vu_client *c, const char *what, struct vhost_message *m, unsigned index,
		      const struct vhost_user_region *region)
{
	char why[VU_WHY_MAX] = "";
	int ret = vu_memory_add(c->memory, region, m->fds[index], why, sizeof(why));

	if (ret == 0)
		return 0;
	return vu_client_fail(c, "%s: the region of %#llx bytes at %#llx: %s", what,
			      (unsigned long long)region->len_bytes, (unsigned long long)region->guest_address, why);
}

/* Queues pause for it, and go on where they were if their rings are still there. */
static int set_mem_table(struct vu_client *c, struct vhost_message *m)
{
	int ret = vu_client_halt(c);

	if (ret != 0)
		return ret;
	vu_memory_clear(c->memory);
	for (unsigned i = 0; i < m->payload.memory.count && ret == 0; i++)
		ret = add_region(c, "SET_MEM_TABLE", m, i, &m->payload.memory.region[i]);
	return ret != 0 ? ret : settle(c);
}

static int get_max_mem_slots(struct vu_client *c, struct vhost_message *m)
{
	return reply_u64(c, m, VU_REGIONS_MAX);
}

static int add_mem_reg(struct vu_client *c, struct vhost_message *m)
{
	int ret = vu_client_halt(c);

	if (ret == 0)
		ret = add_region(c, "ADD_MEM_REG", m, 0, &m->payload.one_region.region);
	return ret != 0 ? ret : settle(c);
}

static int rem_mem_reg(struct vu_client *c, struct vhost_message *m)
{
	const struct vhost_user_region *region = &m->payload.one_region.region;
	int ret = vu_client_halt(c);

	if (ret != 0)
		return ret;
	if (vu_memory_remove(c->memory, region) != 0)
		return vu_client_fail(c, "REM_MEM_REG: there is no region of %#llx bytes at %#llx",
				      (unsigned long long)region->len_bytes, (unsigned long long)region->guest_address);
	return settle(c);
}

/* ---- queues ---- */

static int set_vring_num(struct vu_client *c, struct vhost_message *m)
{
	const struct vhost_user_state *state = &m->payload.state;
	struct vu_queue *q = queue_of(c, "SET_VRING_NUM", state->index, true);

	if (q == NULL)
		return -EPROTO;
	if (state->value == 0 || state->value > VU_QUEUE_SIZE_MAX)
		return vu_client_fail(c, "SET_VRING_NUM: queue %u with %u entries; at most %u", state->index,
				      state->value, VU_QUEUE_SIZE_MAX);
	q->size = (uint16_t)state->value;
	return 0;
}

static int set_vring_addr(struct vu_client *c, struct vhost_message *m)
{
	const struct vhost_user_address *address = &m->payload.address;
	struct vu_queue *q = queue_of(c, "SET_VRING_ADDR", address->index, false);

	if (q == NULL)
		return -EPROTO;
	if (address->flags != 0)
		return vu_client_fail(c, "SET_VRING_ADDR: flags %#x, but nothing is logged", address->flags);
	if (q->running && (q->address.descriptors != address->descriptors || q->address.used != address->used ||
			   q->address.available != address->available))
		return vu_client_fail(c, "SET_VRING_ADDR: queue %u is running", q->index);
	q->address = *address;
	q->has_address = true;
	return settle(c);
}

static int set_vring_base(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "SET_VRING_BASE", m->payload.state.index, true);

	if (q == NULL)
		return -EPROTO;
	q->base = m->payload.state.value;
	return 0;
}

/* It stops, for want of what kicks it. */
static int get_vring_base(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "GET_VRING_BASE", m->payload.state.index, false);
	int ret = q == NULL ? -EPROTO : stop_queue(c, q);

	if (ret != 0)
		return ret;
	q->has_kick = false;
	io_close(&q->kick_fd);
	m->payload.state.value = q->base;
	return reply(c, m, sizeof(m->payload.state));
}

static int set_vring_enable(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "SET_VRING_ENABLE", m->payload.state.index, false);

	if (q == NULL)
		return -EPROTO;
	if (m->payload.state.value > 1)
		return vu_client_fail(c, "SET_VRING_ENABLE: neither on nor off: %u", m->payload.state.value);
	q->enabled = m->payload.state.value != 0;
	return settle(c);
}

/* The descriptor of one of three messages: -1 when it says that there is none. */
static int take_vring_fd(struct vhost_message *m)
{
	return (m->payload.u64 & VHOST_USER_VRING_NO_FD) != 0 ? -1 : vhost_message_take_fd(m, 0);
}

static int set_vring_kick(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "SET_VRING_KICK", FIELD_GET(VHOST_USER_VRING_INDEX, m->payload.u64), false);
	int ret = q == NULL ? -EPROTO : stop_queue(c, q);

	if (ret != 0)
		return ret;
	io_close(&q->kick_fd);
	q->kick_fd = take_vring_fd(m);
	q->has_kick = true;
	return settle(c);
}

static int set_vring_call(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "SET_VRING_CALL", FIELD_GET(VHOST_USER_VRING_INDEX, m->payload.u64), false);

	if (q == NULL)
		return -EPROTO;
	if (vu_queue_set_call(q, take_vring_fd(m)) == 0)
		return 0;
	c->stuck = true;
	return vu_client_fail(c, "queue %u: its CPU does not answer", q->index);
}

static int set_vring_err(struct vu_client *c, struct vhost_message *m)
{
	struct vu_queue *q = queue_of(c, "SET_VRING_ERR", FIELD_GET(VHOST_USER_VRING_INDEX, m->payload.u64), false);
	int ret = q == NULL ? -EPROTO : stop_queue(c, q);

	if (ret != 0)
		return ret;
	io_close(&q->error_fd);
	q->error_fd = take_vring_fd(m);
	return settle(c);
}

/* ---- configuration ---- */

/* That it asks for no more than there may be was checked with the message's form. */
static int get_config(struct vu_client *c, struct vhost_message *m)
{
	struct vhost_user_config *config = &m->payload.config;
	union {
		struct virtio_blk_config blk;
		uint8_t bytes[VHOST_USER_CONFIG_MAX]; /* zeroes behind it: front-ends know of more fields than we */
	} now = {.bytes = {0}};
	struct ob_block_limits limits;

	ob_block_limits(c->server->config.block, &limits);
	vu_blk_config(&limits, c->queue_count, c->writeback, &now.blk);
	memcpy(config->data, now.bytes + config->offset, config->len_bytes);
	return reply(c, m, VHOST_USER_CONFIG_HEADER_BYTES + config->len_bytes);
}

static int set_config(struct vu_client *c, struct vhost_message *m)
{
	const struct vhost_user_config *config = &m->payload.config;
	int ret;

	if (config->offset != offsetof(struct virtio_blk_config, writeback) || config->len_bytes != 1 ||
	    !vu_client_has(c, VIRTIO_BLK_F_CONFIG_WCE))
		return vu_client_fail(c, "SET_CONFIG: %u bytes at %u are not to be written", config->len_bytes,
				      config->offset);
	/* Queues look at it. */
	ret = vu_client_halt(c);
	if (ret != 0)
		return ret;
	c->writeback = config->data[0] != 0;
	return settle(c);
}

static int set_backend_req_fd(struct vu_client *c, struct vhost_message *m)
{
	int fd = vhost_message_take_fd(m, 0), type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM) {
		io_close(&fd);
		return vu_client_fail(c, "SET_BACKEND_REQ_FD: it is no stream socket");
	}
	io_close(&c->backend_fd);
	c->backend_fd = fd;
	return 0;
}

void vu_client_resized(struct vu_client *c)
{
	const uint64_t needed = VHOST_USER_PROTOCOL_F_CONFIG | VHOST_USER_PROTOCOL_F_BACKEND_REQ;
	struct vhost_message m;
	int ret;

	if ((c->protocol_features & needed) != needed || c->backend_fd < 0)
		return;
	vhost_message_init(&m, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, false);
	ret = vhost_send(c->backend_fd, &m, 0);
	if (ret != 0)
		vu_client_fail(c, "it cannot be told of the new size: %s", strerror(-ret));
}

/* ---- requests in flight ---- */

static int check_table(struct vu_client *c, const char *what, const struct vhost_user_inflight *table)
{
	if (any_running(c))
		return vu_client_fail(c, "%s: queues are running", what);
	if (table->queue_count == 0 || table->queue_count > c->queue_count || table->queue_size == 0 ||
	    table->queue_size > VU_QUEUE_SIZE_MAX)
		return vu_client_fail(c, "%s: a table for %u queues of %u; at most %u of %u", what, table->queue_count,
				      table->queue_size, c->queue_count, VU_QUEUE_SIZE_MAX);
	return 0;
}

static int get_inflight_fd(struct vu_client *c, struct vhost_message *m)
{
	struct vhost_user_inflight *table = &m->payload.inflight;
	int fd, ret = check_table(c, "GET_INFLIGHT_FD", table);

	if (ret != 0)
		return ret;
	table->len_bytes = vu_inflight_stride(c->features, table->queue_size) * table->queue_count;
	table->file_offset = 0;
	ret = io_memory_file("vhost-user-inflight", table->len_bytes, &fd);
	if (ret != 0)
		return vu_client_fail(c, "GET_INFLIGHT_FD: %s", strerror(-ret));
	/* A front-end of the text's 20 bytes gets as many back. */
	ret = reply_fd(c, m, m->header.len_bytes, fd);
	io_close(&fd);
	return ret;
}

static int set_inflight_fd(struct vu_client *c, struct vhost_message *m)
{
	const struct vhost_user_inflight *table = &m->payload.inflight;
	char why[VU_WHY_MAX] = "";
	uint64_t needed;
	int ret = check_table(c, "SET_INFLIGHT_FD", table);

	if (ret != 0)
		return ret;
	needed = vu_inflight_stride(c->features, table->queue_size) * table->queue_count;
	if (table->len_bytes < needed || !IS_ALIGNED(table->file_offset, 8u))
		return vu_client_fail(c, "SET_INFLIGHT_FD: %llu bytes at %#llx are no table for %u queues of %u",
				      (unsigned long long)table->len_bytes, (unsigned long long)table->file_offset,
				      table->queue_count, table->queue_size);
	vu_unmap(&c->inflight);
	c->inflight_queues = c->inflight_size = 0;
	if (vu_map(m->fds[0], table->file_offset, needed, &c->hurt, &c->inflight, why, sizeof(why)) != 0)
		return vu_client_fail(c, "SET_INFLIGHT_FD: %s", why);
	c->inflight_bytes = needed;
	c->inflight_queues = table->queue_count;
	c->inflight_size = table->queue_size;
	return 0;
}

/* ---- all of them ---- */

static const struct handler {
	int (*fn)(struct vu_client *c, struct vhost_message *m);
	uint64_t needs; /* of protocol_features, all of these */
} handlers[] = {
	[VHOST_USER_GET_FEATURES] = {get_features, 0},
	[VHOST_USER_SET_FEATURES] = {set_features, 0},
	[VHOST_USER_SET_OWNER] = {set_owner, 0},
	[VHOST_USER_RESET_OWNER] = {reset_owner, 0},
	[VHOST_USER_SET_MEM_TABLE] = {set_mem_table, 0},
	[VHOST_USER_SET_VRING_NUM] = {set_vring_num, 0},
	[VHOST_USER_SET_VRING_ADDR] = {set_vring_addr, 0},
	[VHOST_USER_SET_VRING_BASE] = {set_vring_base, 0},
	[VHOST_USER_GET_VRING_BASE] = {get_vring_base, 0},
	[VHOST_USER_SET_VRING_KICK] = {set_vring_kick, 0},
	[VHOST_USER_SET_VRING_CALL] = {set_vring_call, 0},
	[VHOST_USER_SET_VRING_ERR] = {set_vring_err, 0},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {get_protocol_features, 0},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {set_protocol_features, 0},
	[VHOST_USER_GET_QUEUE_NUM] = {get_queue_num, 0},
	[VHOST_USER_SET_VRING_ENABLE] = {set_vring_enable, 0},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {set_backend_req_fd, VHOST_USER_PROTOCOL_F_BACKEND_REQ},
	[VHOST_USER_GET_CONFIG] = {get_config, VHOST_USER_PROTOCOL_F_CONFIG},
	[VHOST_USER_SET_CONFIG] = {set_config, VHOST_USER_PROTOCOL_F_CONFIG},
	[VHOST_USER_GET_INFLIGHT_FD] = {get_inflight_fd, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD},
	[VHOST_USER_SET_INFLIGHT_FD] = {set_inflight_fd, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD},
	[VHOST_USER_RESET_DEVICE] = {reset_device, VHOST_USER_PROTOCOL_F_RESET_DEVICE},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {get_max_mem_slots, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS},
	[VHOST_USER_ADD_MEM_REG] = {add_mem_reg, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS},
	[VHOST_USER_REM_MEM_REG] = {rem_mem_reg, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS},
};

static bool wants_ack(const struct vu_client *c, const struct vhost_message *m)
{
	return (m->header.flags & VHOST_USER_FLAGS_NEED_REPLY) != 0 &&
	       (c->protocol_features & VHOST_USER_PROTOCOL_F_REPLY_ACK) != 0 &&
	       !vhost_request_has_reply(VHOST_FRONTEND, m->header.request);
}

int vu_client_handle(struct vu_client *c, struct vhost_message *m)
{
	static const struct handler none = {NULL, 0};
	unsigned request = m->header.request;
	const struct handler *h = request < ARRAY_SIZE(handlers) ? &handlers[request] : &none;
	/* What is done may change what is negotiated. */
	bool ack = wants_ack(c, m);
	char name[32];
	int ret;

	if (h->fn == NULL)
		ret = vu_client_fail(c, "%s: not a request that this server knows",
				     vhost_request_name(VHOST_FRONTEND, request, name, sizeof(name)));
	else if ((h->needs & ~c->protocol_features) != 0)
		ret = vu_client_fail(c, "%s: what it needs was not negotiated",
				     vhost_request_name(VHOST_FRONTEND, request, name, sizeof(name)));
	else
		ret = h->fn(c, m);
	if (ack) {
		int sent = reply_u64(c, m, ret != 0);

		ret = ret != 0 ? ret : sent;
	}
	return ret;
}
