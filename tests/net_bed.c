/* SPDX-License-Identifier: BSD-2-Clause */
/* See net_bed.h. */
#include "tests/net_bed.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "spec/ethernet.h"

#define PUT_NS    (10 * OB_NS_PER_S)
#define NUMBER_AT ETHERNET_HEADER_BYTES

unsigned net_bed_logged(struct net_bed *b, const char *text)
{
	return bed_log_count(&b->log, text);
}

/* ---- the wire ---- */

void net_bed_wire(struct net_bed *b)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int bytes = 1 << 20;

	strcpy(b->dir, "/tmp/outboard-net-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->ours, sizeof(b->ours), "%s/ours", b->dir);
	snprintf(b->theirs, sizeof(b->theirs), "%s/theirs", b->dir);
	b->wire = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(b->wire >= 0);
	strcpy(address.sun_path, b->ours);
	assert_int_equal(bind(b->wire, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(b->wire, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void unwire(struct net_bed *b)
{
	if (b->wire <= 0)
		return;
	close(b->wire);
	unlink(b->ours);
	unlink(b->theirs);
	rmdir(b->dir);
	b->wire = 0;
}

void net_bed_put(struct net_bed *b, const void *frame, size_t len_bytes)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	uint64_t deadline_ns = ob_deadline(PUT_NS);

	strcpy(to.sun_path, b->theirs);
	while (sendto(b->wire, frame, len_bytes, 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
		if (errno != EAGAIN && errno != ENOBUFS)
			fail_msg("the wire takes no frame: %s", strerror(errno));
		assert_true(ob_now_ns() < deadline_ns);
		net_bed_turn(b, OB_NS_PER_MS);
	}
}

size_t net_bed_get(struct net_bed *b, void *frame, size_t size, uint64_t timeout_ns)
{
	uint64_t deadline_ns = ob_deadline(timeout_ns);

	for (;;) {
		ssize_t n = recv(b->wire, frame, size, 0);

		if (n >= 0)
			return (size_t)n;
		if (ob_now_ns() >= deadline_ns)
			return 0;
		net_bed_turn(b, 100 * OB_NS_PER_US);
	}
}

/* ---- frames ---- */

void net_bed_fill(uint8_t *frame, size_t len_bytes, uint32_t number, const uint8_t destination[6])
{
	static const uint8_t source[6] = {0x02, 0, 0, 0, 0xff, 0x01};

	memcpy(frame, destination, 6);
	memcpy(frame + 6, source, 6);
	net_put16(frame + 12, ETHERNET_TYPE_TEST);
	net_put32(frame + NUMBER_AT, number);
	for (size_t i = NUMBER_AT + 4; i < len_bytes; i++)
		frame[i] = (uint8_t)(i * 31 + (i >> 8) + number * 7);
}

void net_bed_check(const uint8_t *frame, size_t len_bytes, uint32_t number)
{
	assert_int_equal(net_get16(frame + 12), ETHERNET_TYPE_TEST);
	assert_int_equal(net_get32(frame + NUMBER_AT), number);
	for (size_t i = NUMBER_AT + 4; i < len_bytes; i++)
		if (frame[i] != (uint8_t)(i * 31 + (i >> 8) + number * 7))
			fail_msg("byte %zu of frame %u, of %zu bytes, is another", i, number, len_bytes);
}

/* ---- open, close ---- */

int net_bed_try_open(struct net_bed *b, const char *uri, unsigned cpus)
{
	struct ob_config config = {
		.log = bed_log_append, .log_arg = &b->log, .log_level = OB_LOG_DEBUG, .cpu_count = cpus};
	int ret;

	bed_log_open(&b->log);
	assert_int_equal(ob_create(&config, &b->ob), 0);
	ret = ob_machine_open(b->ob, uri, NULL, &b->machine);
	if (ret == 0)
		b->net = ob_net_find(b->ob, NULL);
	return ret;
}

void net_bed_open_qemu(struct net_bed *b, const char *properties, unsigned cpus)
{
	char uri[512];

	memset(b, 0, sizeof(*b));
	net_bed_wire(b);
	snprintf(uri, sizeof(uri), "qemu:q35?virtio-net=dgram:%s:%s%s", b->theirs, b->ours, properties);
	assert_int_equal(net_bed_try_open(b, uri, cpus), 0);
	if (b->net == NULL)
		fail_msg("no interface:\n%s", b->log.text);
}

static void bring(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	struct net_bed *b = arg;

	assert_true(b->frame_count + count <= NET_BED_FRAMES);
	memcpy(b->frames + b->frame_count, frames, count * sizeof(*frames));
	b->frame_count += count;
}

void net_bed_channel(struct net_bed *b, enum ob_completion_mode mode, bool brought)
{
	struct ob_net_channel_config config = {.poll.mode = mode, .received = brought ? bring : NULL, .arg = b};

	assert_int_equal(ob_net_channel_open(b->net, &config, &b->channel), 0);
}

void net_bed_clear(struct net_bed *b)
{
	ob_packet_put_burst(b->frames, b->frame_count);
	b->frame_count = 0;
}

void net_bed_close(struct net_bed *b)
{
	if (b->ob == NULL)
		return;
	net_bed_clear(b);
	ob_net_channel_close(b->channel);
	ob_net_put(b->net);
	ob_machine_close(b->machine);
	/* Core looks at what a driver leaves behind. */
	if (net_bed_logged(b, "leak") != 0)
		fail_msg("%s", b->log.text);
	ob_destroy(b->ob);
	unwire(b);
	bed_log_close(&b->log);
	memset(b, 0, sizeof(*b));
}

/* ---- our end ---- */

void net_bed_turn(struct net_bed *b, uint64_t for_ns)
{
	uint64_t deadline_ns = ob_deadline(for_ns);

	do {
		ob_cpu_turn(ob_cpu_get(b->ob, 0), for_ns);
	} while (ob_now_ns() < deadline_ns);
}

void net_bed_send(struct net_bed *b, const void *frame, size_t len_bytes)
{
	uint64_t deadline_ns = ob_deadline(PUT_NS);
	struct ob_packet *packet;

	for (;;) {
		packet = ob_packet_from(ob_net_channel_pool(b->channel), frame, (uint32_t)len_bytes);
		if (packet != NULL && ob_net_send(b->channel, &packet, 1) == 1)
			break;
		ob_packet_put(packet);
		assert_true(ob_now_ns() < deadline_ns);
		ob_net_kick(b->channel);
		net_bed_turn(b, 100 * OB_NS_PER_US);
		ob_net_reap(b->channel);
	}
	ob_net_kick(b->channel);
}

bool net_bed_receive(struct net_bed *b, unsigned count, uint64_t timeout_ns)
{
	uint64_t deadline_ns = ob_deadline(timeout_ns);

	while (b->frame_count < count && ob_now_ns() < deadline_ns)
		ob_cpu_turn(ob_cpu_get(b->ob, 0), OB_NS_PER_MS);
	return b->frame_count >= count;
}

size_t net_bed_read(struct net_bed *b, unsigned index, uint8_t *to, size_t size)
{
	const struct ob_packet *frame = b->frames[index];

	assert_true(index < b->frame_count && frame->frame_bytes <= size);
	assert_int_equal(ob_packet_read(frame, 0, to, frame->frame_bytes), 0);
	return frame->frame_bytes;
}

struct ob_net_stats net_bed_stats(struct net_bed *b)
{
	struct ob_net_stats stats;

	ob_net_stats(b->net, &stats);
	return stats;
}

void net_bed_command(struct net_bed *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	bed_machine_command(b->machine, format, args);
	va_end(args);
}
