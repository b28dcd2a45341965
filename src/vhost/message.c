/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages as bytes and descriptors. What each must look like is in check.c. */
#include "vhost/message.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"

static_assert(VHOST_FDS_MAX <= IO_FDS_MAX, "descriptors of one message");

void vhost_message_init(struct vhost_message *m, unsigned request, bool need_reply)
{
	memset(m, 0, sizeof(*m));
	m->header.request = request;
	m->header.flags = VHOST_USER_VERSION | (need_reply ? VHOST_USER_FLAGS_NEED_REPLY : 0);
}

void vhost_message_init_u64(struct vhost_message *m, unsigned request, bool need_reply, uint64_t value)
{
	vhost_message_init(m, request, need_reply);
	m->payload.u64 = value;
	m->header.len_bytes = sizeof(m->payload.u64);
}

void vhost_message_init_state(struct vhost_message *m, unsigned request, bool need_reply, uint32_t index,
			      uint32_t value)
{
	vhost_message_init(m, request, need_reply);
	m->payload.state = (struct vhost_user_state){index, value};
	m->header.len_bytes = sizeof(m->payload.state);
}

void vhost_message_add_fd(struct vhost_message *m, int fd)
{
	assert(m->fd_count < VHOST_FDS_MAX);
	m->fds[m->fd_count++] = fd;
}

void vhost_message_make_reply(struct vhost_message *m, uint32_t len_bytes)
{
	assert(len_bytes <= sizeof(m->payload));
	m->header.flags = VHOST_USER_VERSION | VHOST_USER_FLAGS_REPLY;
	m->header.len_bytes = len_bytes;
	m->fd_count = 0;
}

int vhost_message_take_fd(struct vhost_message *m, unsigned index)
{
	int fd;

	if (index >= m->fd_count)
		return -1;
	fd = m->fds[index];
	m->fds[index] = -1;
	return fd;
}

void vhost_message_close(struct vhost_message *m)
{
	for (unsigned i = 0; i < m->fd_count; i++)
		io_close(&m->fds[i]);
	m->fd_count = 0;
}

int vhost_send(int fd, const struct vhost_message *m, uint64_t deadline_ns)
{
	/* The header and the payload are one run of bytes. */
	static_assert(offsetof(struct vhost_message, header) == 0, "header first");
	uint8_t bytes[sizeof(m->header) + sizeof(m->payload)];

	assert(m->header.len_bytes <= sizeof(m->payload));
	memcpy(bytes, &m->header, sizeof(m->header));
	memcpy(bytes + sizeof(m->header), &m->payload, m->header.len_bytes);
	return io_send_fds(fd, bytes, sizeof(m->header) + m->header.len_bytes, m->fds, m->fd_count, deadline_ns);
}

/* ---- reception ---- */

void vhost_receiver_init(struct vhost_receiver *r)
{
	memset(r, 0, sizeof(*r));
}

void vhost_receiver_fini(struct vhost_receiver *r)
{
	vhost_message_close(&r->message);
	r->have_bytes = 0;
}

int vhost_malformed(char *why, size_t why_bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (why != NULL)
		vsnprintf(why, why_bytes, format, args);
	va_end(args);
	return -EPROTO;
}

static int check_header(const struct vhost_user_header *header, char *why, size_t why_bytes)
{
	if (FIELD_GET(VHOST_USER_FLAGS_VERSION, header->flags) != VHOST_USER_VERSION)
		return vhost_malformed(why, why_bytes,
				       "a message of another protocol: request %#x, flags %#x, %#x bytes",
				       header->request, header->flags, header->len_bytes);
	if (header->len_bytes > sizeof(union vhost_user_payload))
		return vhost_malformed(why, why_bytes, "request %u has %u bytes, more than any", header->request,
				       header->len_bytes);
	return 0;
}

/* The bytes that are still to come of what is known: of the header, or of the whole message. */
static size_t missing(const struct vhost_receiver *r)
{
	size_t header_bytes = sizeof(r->message.header);

	return r->have_bytes < header_bytes ? header_bytes - r->have_bytes
					    : header_bytes + r->message.header.len_bytes - r->have_bytes;
}

static uint8_t *place(struct vhost_receiver *r)
{
	struct vhost_message *m = &r->message;

	return r->have_bytes < sizeof(m->header) ? (uint8_t *)&m->header + r->have_bytes
						 : (uint8_t *)&m->payload + (r->have_bytes - sizeof(m->header));
}

int vhost_receive_some(int fd, struct vhost_receiver *r, char *why, size_t why_bytes)
{
	struct vhost_message *m = &r->message;

	/* The last one was handed out: what was left in it is not wanted any more. */
	if (r->is_whole) {
		vhost_receiver_fini(r);
		vhost_receiver_init(r);
	}
	for (;;) {
		ssize_t n;
		int ret = r->have_bytes < sizeof(m->header) ? 0 : check_header(&m->header, why, why_bytes);

		if (ret < 0)
			return ret;
		r->is_whole = missing(r) == 0;
		if (r->is_whole)
			return 0;
		n = io_receive_fds(fd, place(r), missing(r), m->fds, &m->fd_count, VHOST_FDS_MAX);
		if (n == -EMFILE)
			return vhost_malformed(why, why_bytes,
					       "more descriptors than a message has, or than may be open");
		if (n < 0)
			return (int)n;
		r->have_bytes += (size_t)n;
	}
}

int vhost_receive(int fd, struct vhost_receiver *r, uint64_t deadline_ns, char *why, size_t why_bytes)
{
	for (;;) {
		int ret = vhost_receive_some(fd, r, why, why_bytes);

		if (ret != -EAGAIN)
			return ret;
		ret = io_wait(fd, POLLIN, deadline_ns);
		if (ret < 0)
			return ret;
	}
}
