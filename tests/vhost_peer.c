/* SPDX-License-Identifier: BSD-2-Clause */
/* A back-end that does what a test says. */
#include "tests/vhost_peer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "io/io.h"

#define WAIT_NS (5 * OB_NS_PER_S)

void vhost_peer_init(struct vhost_peer *p)
{
	*p = (struct vhost_peer){
		/* VERSION_1, and bits of a disk: SEG_MAX, BLK_SIZE, FLUSH, MQ; and of the ring. */
		.features = BIT64(32) | BIT64(30) | BIT64(29) | BIT64(28) | BIT64(2) | BIT64(6) | BIT64(9) | BIT64(12),
		.protocol = VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |
			    VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_CONFIG |
			    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
		.queue_count = VHOST_PEER_QUEUES,
		.slot_count = VHOST_PEER_REGIONS,
		.config_len = 60,
		.status = UINT64_MAX,
		.inflight_fd = -1,
		.backend_fd = -1,
		.listen_fd = -1,
		.fd = -1,
		.dir = "/tmp/ob-vhost-XXXXXX",
	};
	for (unsigned i = 0; i < sizeof(p->config); i++)
		p->config[i] = (uint8_t)(i + 1);
	for (unsigned i = 0; i < VHOST_PEER_QUEUES; i++)
		p->queue[i].kick_fd = p->queue[i].call_fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
}

void vhost_peer_fini(struct vhost_peer *p)
{
	vhost_peer_stop(p);
	io_close(&p->inflight_fd);
	io_close(&p->wake_fd);
	pthread_mutex_destroy(&p->lock);
	rmdir(p->dir);
}

/* ---- what it is told ---- */

static void add_region(struct vhost_peer *p, const struct vhost_user_region *region, int fd)
{
	void *map = mmap(NULL, region->len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)region->file_offset);

	if (map == MAP_FAILED || p->region_count == VHOST_PEER_REGIONS) {
		p->malformed = true;
		return;
	}
	p->region[p->region_count] = *region;
	p->region_map[p->region_count++] = map;
}

static void drop_region(struct vhost_peer *p, unsigned i)
{
	munmap(p->region_map[i], p->region[i].len_bytes);
	p->region_count--;
	p->region[i] = p->region[p->region_count];
	p->region_map[i] = p->region_map[p->region_count];
}

static void remove_region(struct vhost_peer *p, const struct vhost_user_region *region)
{
	for (unsigned i = 0; i < p->region_count; i++) {
		if (memcmp(&p->region[i], region, sizeof(*region)) != 0)
			continue;
		drop_region(p, i);
		return;
	}
	p->malformed = true;
}

void *vhost_peer_at(struct vhost_peer *p, uint64_t guest_address, uint64_t len_bytes)
{
	for (unsigned i = 0; i < p->region_count; i++) {
		uint64_t offset = guest_address - p->region[i].guest_address;

		if (guest_address >= p->region[i].guest_address && offset < p->region[i].len_bytes &&
		    len_bytes <= p->region[i].len_bytes - offset)
			return p->region_map[i] + offset;
	}
	return NULL;
}

static void forget(struct vhost_peer *p)
{
	while (p->region_count > 0)
		drop_region(p, 0);
	for (unsigned i = 0; i < VHOST_PEER_QUEUES; i++) {
		io_close(&p->queue[i].kick_fd);
		io_close(&p->queue[i].call_fd);
		p->queue[i] = (struct vhost_peer_queue){.kick_fd = -1, .call_fd = -1};
	}
	io_close(&p->backend_fd);
	io_close(&p->fd);
	p->features_set = p->protocol_set = p->status_set = 0;
}

static void fill(int fd)
{
	uint64_t count = UINT64_MAX - 1;

	(void)io_event_take(fd);
	(void)fcntl(fd, F_SETFL, 0);
	(void)!write(fd, &count, sizeof(count));
}

static void take_vring_fd(struct vhost_peer *p, struct vhost_message *m, struct vhost_peer_queue *q)
{
	if (m->header.request == VHOST_USER_SET_VRING_KICK) {
		io_close(&q->kick_fd);
		q->kick_fd = vhost_message_take_fd(m, 0);
		if (p->fills_kicks)
			fill(q->kick_fd);
	} else if (m->header.request == VHOST_USER_SET_VRING_CALL) {
		io_close(&q->call_fd);
		q->call_fd = vhost_message_take_fd(m, 0);
		q->rings_before = p->count[VHOST_USER_SET_VRING_NUM];
	}
	q->has_kick |= m->header.request == VHOST_USER_SET_VRING_KICK;
	q->has_call |= m->header.request == VHOST_USER_SET_VRING_CALL;
	q->has_err |= m->header.request == VHOST_USER_SET_VRING_ERR;
}

static void note_queue(struct vhost_peer *p, struct vhost_message *m)
{
	uint32_t index = m->payload.state.index & 0xff;
	struct vhost_peer_queue *q = &p->queue[index % VHOST_PEER_QUEUES];

	p->malformed |= index >= VHOST_PEER_QUEUES;
	switch (m->header.request) {
	case VHOST_USER_SET_VRING_NUM:
		q->size = m->payload.state.value;
		break;
	case VHOST_USER_SET_VRING_BASE:
		q->base = m->payload.state.value;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		q->enabled = m->payload.state.value;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		q->address = m->payload.address;
		p->malformed |= vhost_peer_at(p, q->address.descriptors, 16) == NULL ||
				vhost_peer_at(p, q->address.used, 4) == NULL ||
				vhost_peer_at(p, q->address.available, 4) == NULL;
		break;
	default:
		take_vring_fd(p, m, q);
		break;
	}
}

static void note(struct vhost_peer *p, struct vhost_message *m)
{
	switch (m->header.request) {
	case VHOST_USER_SET_FEATURES:
		p->features_set = m->payload.u64;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		p->protocol_set = m->payload.u64;
		break;
	case VHOST_USER_SET_STATUS:
		p->status_set = m->payload.u64;
		break;
	case VHOST_USER_SET_OWNER:
		p->connections++;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		while (p->region_count > 0)
			drop_region(p, 0);
		for (unsigned i = 0; i < m->payload.memory.count; i++)
			add_region(p, &m->payload.memory.region[i], m->fds[i]);
		break;
	case VHOST_USER_ADD_MEM_REG:
		add_region(p, &m->payload.one_region.region, m->fds[0]);
		break;
	case VHOST_USER_REM_MEM_REG:
		remove_region(p, &m->payload.one_region.region);
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		io_close(&p->backend_fd);
		p->backend_fd = vhost_message_take_fd(m, 0);
		break;
	case VHOST_USER_SET_CONFIG:
		p->config_set = m->payload.config;
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		p->inflight = m->payload.inflight;
		io_close(&p->inflight_fd);
		p->inflight_fd = vhost_message_take_fd(m, 0);
		break;
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
	case VHOST_USER_SET_VRING_ADDR:
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		note_queue(p, m);
		break;
	default:
		break;
	}
}

/* ---- what it answers ---- */

static uint32_t answer_u64(struct vhost_message *m, uint64_t value)
{
	m->payload.u64 = value;
	return sizeof(m->payload.u64);
}

static uint32_t answer_inflight(struct vhost_peer *p, struct vhost_message *m, int *fd)
{
	if (p->inflight_len > 0 && !p->inflight_no_fd)
		assert_int_equal(io_memory_file("inflight", p->inflight_len, fd), 0);
	m->payload.inflight.len_bytes = p->inflight_told != 0 ? p->inflight_told : p->inflight_len;
	m->payload.inflight.file_offset = 0;
	return sizeof(m->payload.inflight);
}

static uint32_t answer_config(struct vhost_peer *p, struct vhost_message *m)
{
	struct vhost_user_config *c = &m->payload.config;

	if (c->offset + c->len_bytes > p->config_len)
		return 0;
	memcpy(c->data, p->config + c->offset, c->len_bytes);
	return VHOST_USER_CONFIG_HEADER_BYTES + c->len_bytes;
}

/* The payload's length; UINT32_MAX: no answer. A descriptor that goes along in *fd. */
static uint32_t answer(struct vhost_peer *p, struct vhost_message *m, int *fd)
{
	switch (m->header.request) {
	case VHOST_USER_GET_FEATURES:
		return answer_u64(m, p->features);
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		return answer_u64(m, p->protocol);
	case VHOST_USER_GET_QUEUE_NUM:
		return answer_u64(m, p->queue_count);
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		return answer_u64(m, p->slot_count);
	case VHOST_USER_GET_STATUS:
		return answer_u64(m, p->status_set & p->status);
	case VHOST_USER_GET_VRING_BASE:
		m->payload.state.value = p->stop_base[m->payload.state.index % VHOST_PEER_QUEUES];
		m->payload.state.index ^= p->stop_other;
		return sizeof(m->payload.state);
	case VHOST_USER_GET_CONFIG:
		return answer_config(p, m);
	case VHOST_USER_GET_INFLIGHT_FD:
		return answer_inflight(p, m, fd);
	default:
		return (m->header.flags & VHOST_USER_FLAGS_NEED_REPLY) != 0 ? answer_u64(m, 0) : UINT32_MAX;
	}
}

/* False: hang up. */
static bool lie(struct vhost_peer *p, struct vhost_message *m)
{
	struct {
		struct vhost_user_header header;
		uint8_t payload[1024];
	} wire = {.header = m->header};
	int fds[2] = {p->wake_fd, p->wake_fd};
	size_t len = sizeof(wire.header);

	memcpy(wire.payload, &m->payload, m->header.len_bytes);
	switch (p->lie) {
	case VHOST_PEER_SILENT:
		return true;
	case VHOST_PEER_REFUSE:
		memset(wire.payload, 1, 8);
		break;
	case VHOST_PEER_OTHER:
		wire.header.request ^= 1;
		break;
	case VHOST_PEER_NO_REPLY_FLAG:
		wire.header.flags &= ~VHOST_USER_FLAGS_REPLY;
		break;
	case VHOST_PEER_VERSION:
		wire.header.flags ^= 3;
		break;
	case VHOST_PEER_SHORT:
		wire.header.len_bytes--;
		break;
	case VHOST_PEER_LONG:
		wire.header.len_bytes++;
		break;
	case VHOST_PEER_HUGE:
		wire.header.len_bytes = 1000;
		break;
	case VHOST_PEER_HALF:
		(void)io_send(p->fd, &wire, len - 4, ob_deadline(WAIT_NS));
		return false;
	default:
		break;
	}
	if (p->lie == VHOST_PEER_CLOSE)
		return false;
	len += wire.header.len_bytes;
	(void)io_send_fds(p->fd, &wire, len, fds, p->lie == VHOST_PEER_FDS ? 2 : 0, ob_deadline(WAIT_NS));
	return true;
}

/* False: hang up. */
static bool serve(struct vhost_peer *p, struct vhost_message *m)
{
	char why[160];
	int fd = -1;
	uint32_t len;
	bool go_on = true;

	if (p->slow_ms != 0)
		usleep(1000 * p->slow_ms);
	pthread_mutex_lock(&p->lock);
	p->malformed |= vhost_check_request(VHOST_FRONTEND, m, why, sizeof(why)) != 0;
	p->flags_seen |= m->header.flags;
	if (!p->malformed)
		note(p, m);
	len = answer(p, m, &fd);
	vhost_message_close(m);
	if (len != UINT32_MAX)
		vhost_message_make_reply(m, len);
	if (m->header.request == p->lie_request && p->lie != VHOST_PEER_HONEST) {
		go_on = (len == UINT32_MAX && p->lie != VHOST_PEER_CLOSE) || lie(p, m);
	} else if (len != UINT32_MAX) {
		if (fd >= 0)
			vhost_message_add_fd(m, fd);
		(void)vhost_send(p->fd, m, ob_deadline(WAIT_NS));
		m->fd_count = 0;
	}
	io_close(&fd);
	/* Last: who sees the count sees what it did. */
	if (m->header.request < VHOST_PEER_REQUESTS)
		p->count[m->header.request]++;
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

/* ---- the thread ---- */

static void hang_up(struct vhost_peer *p, struct vhost_receiver *receiver)
{
	vhost_receiver_fini(receiver);
	vhost_receiver_init(receiver);
	pthread_mutex_lock(&p->lock);
	forget(p);
	pthread_mutex_unlock(&p->lock);
}

static void *run(void *arg)
{
	struct vhost_peer *p = arg;
	struct vhost_receiver receiver;

	vhost_receiver_init(&receiver);
	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd fds[] = {
			{.fd = p->wake_fd, .events = POLLIN},
			{.fd = p->fd >= 0 ? p->fd : p->listen_fd, .events = POLLIN},
		};
		int ret;

		(void)poll(fds, 2, -1);
		if (fds[1].revents == 0)
			continue;
		if (p->fd < 0) {
			pthread_mutex_lock(&p->lock);
			p->fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			pthread_mutex_unlock(&p->lock);
			continue;
		}
		ret = vhost_receive_some(p->fd, &receiver, NULL, 0);
		if (ret == 0 ? !serve(p, &receiver.message) : ret != -EAGAIN)
			hang_up(p, &receiver);
	}
	hang_up(p, &receiver);
	return NULL;
}

void vhost_peer_start(struct vhost_peer *p)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, p->path, strlen(p->path) + 1);
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(p->listen_fd >= 0);
	assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(p->listen_fd, 4), 0);
	p->stop = false;
	assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
	p->running = true;
}

void vhost_peer_stop(struct vhost_peer *p)
{
	if (!p->running)
		return;
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	io_event_fire(p->wake_fd);
	pthread_join(p->thread, NULL);
	(void)io_event_take(p->wake_fd);
	p->running = false;
	io_close(&p->listen_fd);
	unlink(p->path);
}

unsigned vhost_peer_count(struct vhost_peer *p, unsigned request)
{
	unsigned count;

	pthread_mutex_lock(&p->lock);
	count = p->count[request];
	pthread_mutex_unlock(&p->lock);
	return count;
}

void vhost_peer_await(struct vhost_peer *p, unsigned request, unsigned count)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);

	while (vhost_peer_count(p, request) < count) {
		if (ob_now_ns() >= deadline_ns)
			fail_msg("request %u came %u times, not %u", request, vhost_peer_count(p, request), count);
		usleep(200);
	}
}
