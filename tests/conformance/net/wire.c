/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames at both ends of the wire. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/conformance/net/suite.h"

/* ---- here ---- */

int suite_send(struct suite *t, unsigned channel, struct ob_packet *frame)
{
	uint64_t deadline_ns = ob_deadline(SUITE_WAIT_NS);
	uint32_t len_bytes = frame->frame_bytes;

	while (ob_net_send(t->channels[channel], &frame, 1) == 0) {
		ob_net_kick(t->channels[channel]);
		suite_pump(t);
		if (ob_now_ns() > deadline_ns) {
			ob_packet_put(frame);
			return suite_fail(t, "no room to send for %llu s", SUITE_WAIT_NS / OB_NS_PER_S);
		}
	}
	ob_net_kick(t->channels[channel]);
	t->sent++;
	t->sent_bytes += len_bytes;
	return 0;
}

uint32_t suite_take(struct suite *t, uint8_t *frame, struct ob_packet **packet, uint64_t timeout_ns)
{
	uint64_t deadline_ns = ob_deadline(timeout_ns);
	struct ob_packet *p;
	uint32_t len_bytes;

	while (t->inbox_count == 0) {
		suite_pump(t);
		if (t->inbox_count == 0 && ob_now_ns() > deadline_ns)
			return 0;
	}
	p = t->inbox[t->inbox_first];
	t->inbox_first = (t->inbox_first + 1) % SUITE_INBOX;
	t->inbox_count--;
	len_bytes = p->frame_bytes;
	if (len_bytes > SUITE_FRAME || ob_packet_read(p, 0, frame, len_bytes) != 0) {
		suite_fail(t, "a frame that says it has %u bytes in %u parts, and has not", len_bytes, p->segments);
		len_bytes = 0;
	}
	if (packet != NULL)
		*packet = p;
	else
		ob_packet_put(p);
	return len_bytes;
}

/* ---- the other end ---- */

static int open_socket(struct suite *t)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int size = 4 << 20;

	t->wire.path = t->config.theirs;
	t->wire.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	SUITE_CHECK(t, t->wire.fd >= 0, "socket: %s", strerror(errno));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", t->config.ours);
	unlink(t->config.ours);
	SUITE_CHECK(t, bind(t->wire.fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s: %s", t->config.ours,
		    strerror(errno));
	setsockopt(t->wire.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

/* The interface after ours. */
static int open_peer(struct suite *t)
{
	struct ob_net_filter filter = {.promiscuous = true};
	struct ob_packet_pool_config pool = {.count = SUITE_POOL};
	struct ob_net_channel_config config = {.poll = {.mode = OB_COMPLETION_POLLED}};
	int ret;

	t->wire.net = ob_net_next(t->ob, ob_net_get(t->net));
	SUITE_CHECK(t, t->wire.net != NULL, "there is no second interface at the other end");
	pool.machine = ob_device_machine(ob_net_device(t->wire.net));
	ret = ob_packet_pool_create(&pool, &t->wire.pool);
	SUITE_CHECK(t, ret == 0, "a pool for the other end: %s", strerror(-ret));
	config.pool = t->wire.pool;
	ret = ob_net_channel_open(t->wire.net, &config, &t->wire.channel);
	SUITE_CHECK(t, ret == 0, "a channel at the other end: %s", strerror(-ret));
	ret = ob_net_set_filter(t->wire.net, &filter);
	SUITE_CHECK(t, ret == 0 || ret == -EOPNOTSUPP, "the other end's filter: %s", strerror(-ret));
	return 0;
}

int wire_open(struct suite *t)
{
	t->wire.kind = t->config.wire;
	switch (t->wire.kind) {
	case WIRE_SOCKET:
		return open_socket(t);
	case WIRE_PEER:
		return open_peer(t);
	default:
		return 0;
	}
}

void wire_close(struct suite *t)
{
	if (t->wire.fd >= 0) {
		close(t->wire.fd);
		unlink(t->config.ours);
	}
	ob_net_channel_close(t->wire.channel);
	ob_packet_pool_put(t->wire.pool);
	if (t->wire.net != NULL)
		ob_net_put(t->wire.net);
}

static int put_socket(struct suite *t, const uint8_t *frame, uint32_t len_bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t deadline_ns = ob_deadline(SUITE_WAIT_NS);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", t->wire.path);
	while (sendto(t->wire.fd, frame, len_bytes, 0, (struct sockaddr *)&address, sizeof(address)) < 0) {
		SUITE_CHECK(t, errno == EAGAIN || errno == ENOBUFS, "sending from the other end: %s", strerror(errno));
		SUITE_CHECK(t, ob_now_ns() < deadline_ns, "the interface takes nothing from the wire any more");
		suite_pump(t);
	}
	return 0;
}

static int put_by(struct suite *t, struct ob_net_channel *channel, struct ob_packet_pool *pool, const uint8_t *frame,
		  uint32_t len_bytes)
{
	uint64_t deadline_ns = ob_deadline(SUITE_WAIT_NS);
	struct ob_packet *packet;

	while ((packet = ob_packet_from(pool, frame, len_bytes)) == NULL) {
		SUITE_CHECK(t, ob_now_ns() < deadline_ns, "no packet for the other end");
		ob_net_reap(channel);
		suite_pump(t);
	}
	while (ob_net_send(channel, &packet, 1) == 0) {
		if (ob_now_ns() > deadline_ns) {
			ob_packet_put(packet);
			return suite_fail(t, "the other end cannot send");
		}
		ob_net_kick(channel);
		suite_pump(t);
	}
	ob_net_kick(channel);
	return 0;
}

int wire_put(struct suite *t, const uint8_t *frame, uint32_t len_bytes)
{
	switch (t->wire.kind) {
	case WIRE_SOCKET:
		return put_socket(t, frame, len_bytes);
	case WIRE_PEER:
		return put_by(t, t->wire.channel, t->wire.pool, frame, len_bytes);
	default:
		t->sent++;
		t->sent_bytes += len_bytes;
		return put_by(t, t->channels[0], t->pool, frame, len_bytes);
	}
}

static uint32_t take_socket(struct suite *t, uint8_t *frame)
{
	ssize_t len = recv(t->wire.fd, frame, SUITE_FRAME, 0);

	return len > 0 ? (uint32_t)len : 0;
}

static uint32_t take_peer(struct suite *t, uint8_t *frame)
{
	struct ob_packet *packet;
	uint32_t len_bytes;

	if (ob_net_receive(t->wire.channel, &packet, 1) == 0)
		return 0;
	len_bytes = packet->frame_bytes;
	if (len_bytes > SUITE_FRAME || ob_packet_read(packet, 0, frame, len_bytes) != 0)
		len_bytes = 0;
	ob_packet_put(packet);
	return len_bytes;
}

uint32_t wire_take(struct suite *t, uint8_t *frame, uint64_t timeout_ns)
{
	uint64_t deadline_ns = ob_deadline(timeout_ns);
	uint32_t len_bytes;

	if (t->wire.kind == WIRE_LOOP)
		return suite_take(t, frame, NULL, timeout_ns);
	do {
		len_bytes = t->wire.kind == WIRE_SOCKET ? take_socket(t, frame) : take_peer(t, frame);
		if (len_bytes == 0)
			suite_pump(t);
	} while (len_bytes == 0 && ob_now_ns() < deadline_ns);
	return len_bytes;
}
