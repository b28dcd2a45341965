/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection to a vhost-user back-end. The order of the first messages is QEMU's, which all back-ends know. */
#include "machine/vhost_user/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <outboard/cpu.h>

#include "io/io.h"

/* What we can do. A back-end that has not all of these is served as well. */
#define WANTED                                                                                                      \
	(VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK | VHOST_USER_PROTOCOL_F_BACKEND_REQ |           \
	 VHOST_USER_PROTOCOL_F_CONFIG | VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD | VHOST_USER_PROTOCOL_F_RESET_DEVICE | \
	 VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | VHOST_USER_PROTOCOL_F_STATUS)

void vu_link_init(struct vu_link *link)
{
	memset(link, 0, sizeof(*link));
	link->fd = link->backend_fd = -1;
	link->begin_ns = UINT64_MAX;
	vhost_receiver_init(&link->receiver);
}

void vu_link_close(struct vu_link *link)
{
	vhost_receiver_fini(&link->receiver);
	io_close(&link->fd);
	io_close(&link->backend_fd);
	link->asked = false;
}

static int fail(struct vu_link *link, int error, const char *format, ...) OB_PRINTF(3, 4);
static int fail(struct vu_link *link, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(link->why, sizeof(link->why), format, args);
	va_end(args);
	return error;
}

/* ---- questions and answers ---- */

/* What became of the message, in words. */
static int explain(struct vu_link *link, const struct vhost_message *m, int error)
{
	char buffer[32];
	const char *name = vhost_request_name(VHOST_FRONTEND, m->header.request, buffer, sizeof(buffer));

	switch (error) {
	case -ENODEV:
		return fail(link, error, "the back-end closed the connection (at %s)", name);
	case -ETIMEDOUT:
		if (link->until_ns == link->begin_ns)
			return fail(link, error, "the back-end takes more than %llu ms to begin (at %s)",
				    (unsigned long long)(2 * link->answer_ns / OB_NS_PER_MS), name);
		return fail(link, error, "the back-end does not answer %s within %llu ms%s", name,
			    (unsigned long long)(link->answer_ns / OB_NS_PER_MS),
			    link->begin_ns != UINT64_MAX && m->header.request == VHOST_USER_GET_FEATURES
				    ? "; does it serve somebody else?"
				    : "");
	case -EPROTO:
		return error; /* it was said */
	case -EREMOTEIO:
		return fail(link, error, "the back-end refuses %s (%llu)", name,
			    (unsigned long long)link->receiver.message.payload.u64);
	default:
		return fail(link, error, "%s: %s", name, strerror(-error));
	}
}

static int hangs(struct vu_link *link)
{
	return fail(link, -ETIMEDOUT, "the back-end hangs: it does not answer within %llu ms whether it is there",
		    (unsigned long long)(link->answer_ns / OB_NS_PER_MS));
}

/* What vu_link_ping() asked comes before the answer to anything else. As vu_link_do(). */
static int take_pong(struct vu_link *link, int received)
{
	struct vhost_message question;
	int ret = received;

	vhost_message_init(&question, VHOST_USER_GET_FEATURES, false);
	if (ret == 0)
		ret = vhost_check_reply(VHOST_FRONTEND, &question, &link->receiver.message, link->why,
					sizeof(link->why));
	if (ret != 0)
		return ret == -ETIMEDOUT ? hangs(link) : explain(link, &question, ret);
	link->asked = false;
	link->heard_ns = ob_now_ns();
	return 0;
}

int vu_link_ping(struct vu_link *link)
{
	struct vhost_message m;
	int ret;

	vhost_message_init(&m, VHOST_USER_GET_FEATURES, false);
	/* Sockets have room for far more than one question; one that is full is not read from. */
	ret = vhost_send(link->fd, &m, 0);
	if (ret == -ETIMEDOUT)
		return fail(link, ret, "the back-end reads nothing of what it is told");
	if (ret != 0)
		return explain(link, &m, ret);
	link->asked = true;
	link->asked_ns = ob_now_ns();
	return 0;
}

int vu_link_pong(struct vu_link *link)
{
	int ret = vhost_receive_some(link->fd, &link->receiver, link->why, sizeof(link->why));

	if (ret != -EAGAIN)
		return take_pong(link, ret);
	/* Looked at last: it may be we who were held up. */
	if (ob_now_ns() - link->asked_ns < link->answer_ns)
		return -EAGAIN;
	return hangs(link);
}

int vu_link_do(struct vu_link *link, struct vhost_message *m, struct vhost_message **reply)
{
	bool own = vhost_request_has_reply(VHOST_FRONTEND, m->header.request);
	struct vhost_message *r = &link->receiver.message;
	int ret;

	if (link->fd < 0)
		return fail(link, -ENODEV, "there is no connection");
	if (!own && vu_link_has(link, VHOST_USER_PROTOCOL_F_REPLY_ACK))
		m->header.flags |= VHOST_USER_FLAGS_NEED_REPLY;
	link->until_ns = MIN(ob_deadline(link->answer_ns), link->begin_ns);
	ret = vhost_send(link->fd, m, link->until_ns);
	if (ret != 0)
		return explain(link, m, ret);
	if (!own && (m->header.flags & VHOST_USER_FLAGS_NEED_REPLY) == 0)
		return 0;
	if (link->asked) {
		ret = take_pong(link,
				vhost_receive(link->fd, &link->receiver, link->until_ns, link->why, sizeof(link->why)));
		if (ret != 0)
			return ret;
	}
	ret = vhost_receive(link->fd, &link->receiver, link->until_ns, link->why, sizeof(link->why));
	if (ret == 0)
		ret = vhost_check_reply(VHOST_FRONTEND, m, r, link->why, sizeof(link->why));
	if (ret != 0)
		return explain(link, m, ret);
	link->heard_ns = ob_now_ns();
	if (!own && r->payload.u64 != 0)
		return explain(link, m, -EREMOTEIO);
	if (reply != NULL)
		*reply = r;
	return 0;
}

int vu_link_tell(struct vu_link *link, unsigned request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, false);
	return vu_link_do(link, &m, NULL);
}

int vu_link_tell_u64(struct vu_link *link, unsigned request, uint64_t value)
{
	struct vhost_message m;

	vhost_message_init_u64(&m, request, false, value);
	return vu_link_do(link, &m, NULL);
}

int vu_link_tell_state(struct vu_link *link, unsigned request, uint32_t index, uint32_t value)
{
	struct vhost_message m;

	vhost_message_init_state(&m, request, false, index, value);
	return vu_link_do(link, &m, NULL);
}

int vu_link_ask_u64(struct vu_link *link, unsigned request, uint64_t *value)
{
	struct vhost_message m, *reply;
	int ret;

	vhost_message_init(&m, request, false);
	ret = vu_link_do(link, &m, &reply);
	if (ret == 0)
		*value = reply->payload.u64;
	return ret;
}

int vu_link_settle(struct vu_link *link)
{
	uint64_t features;

	/* Messages are taken in one after the other, so the answer to this one comes behind them all. */
	return vu_link_has(link, VHOST_USER_PROTOCOL_F_REPLY_ACK)
		       ? 0
		       : vu_link_ask_u64(link, VHOST_USER_GET_FEATURES, &features);
}

/* ---- the beginning ---- */

/* Why nobody could be reached: what connect() says is the same for a socket without a server and for a file. */
static int explain_connect(struct vu_link *link, const char *path, int error)
{
	struct stat st;

	switch (error) {
	case -ENOENT:
		return fail(link, error, "%s: there is no such socket", path);
	case -EACCES:
		return fail(link, error, "%s: no permission to connect to it", path);
	case -ECONNREFUSED:
		if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
			return fail(link, -ENOTSOCK, "%s is not a socket", path);
		return fail(link, error, "%s: nobody listens there", path);
	case -EPROTOTYPE:
		return fail(link, error, "%s is a socket of another kind than vhost-user's", path);
	default:
		return fail(link, error, "%s: %s", path, strerror(-error));
	}
}

static int give_backend_channel(struct vu_link *link)
{
	struct vhost_message m;
	int theirs, ret = io_pair(&link->backend_fd, &theirs);

	if (ret != 0)
		return fail(link, ret, "a pair of sockets: %s", strerror(-ret));
	vhost_message_init(&m, VHOST_USER_SET_BACKEND_REQ_FD, false);
	vhost_message_add_fd(&m, theirs);
	ret = vu_link_do(link, &m, NULL);
	io_close(&theirs);
	return ret;
}

static int agree(struct vu_link *link)
{
	uint64_t features = 0, protocol = 0;
	int ret = vu_link_ask_u64(link, VHOST_USER_GET_FEATURES, &features);

	if (ret != 0)
		return ret;
	link->has_protocol = (features & VHOST_USER_F_PROTOCOL_FEATURES) != 0;
	link->features = features & ~(VHOST_USER_F_PROTOCOL_FEATURES | VHOST_F_LOG_ALL);
	link->slot_max = VHOST_USER_REGIONS_MAX;
	link->queue_max = 0;
	if (link->has_protocol) {
		ret = vu_link_ask_u64(link, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol);
		protocol &= WANTED;
		if (ret == 0)
			ret = vu_link_tell_u64(link, VHOST_USER_SET_PROTOCOL_FEATURES, protocol);
		if (ret == 0)
			link->protocol = protocol;
	}
	if (ret == 0 && vu_link_has(link, VHOST_USER_PROTOCOL_F_MQ))
		ret = vu_link_ask_u64(link, VHOST_USER_GET_QUEUE_NUM, &link->queue_max);
	if (ret == 0 && vu_link_has(link, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		ret = vu_link_ask_u64(link, VHOST_USER_GET_MAX_MEM_SLOTS, &link->slot_max);
	if (ret == 0 && vu_link_has(link, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		ret = give_backend_channel(link);
	if (ret == 0)
		ret = vu_link_tell(link, VHOST_USER_SET_OWNER);
	if (ret == 0 && link->slot_max == 0)
		ret = fail(link, -EPROTO, "the back-end takes no memory at all");
	return ret;
}

void vu_link_begun(struct vu_link *link)
{
	link->begin_ns = UINT64_MAX;
}

int vu_link_open(struct vu_link *link, const struct vu_uri *uri, uint64_t deadline_ns)
{
	uint64_t now_ns = ob_now_ns();
	int ret;

	vu_link_init(link);
	/* Somebody who does not speak the protocol is found out by his silence, which must not cost all the time there is. */
	link->answer_ns = uri->answer_ns;
	if (deadline_ns > now_ns && deadline_ns - now_ns < link->answer_ns)
		link->answer_ns = deadline_ns - now_ns;
	link->begin_ns = now_ns + 2 * link->answer_ns;
	link->heard_ns = now_ns;
	ret = io_connect(uri->path, &link->fd);
	if (ret != 0)
		return explain_connect(link, uri->path, ret);
	ret = agree(link);
	if (ret == -EPROTO && link->heard_ns == now_ns) {
		char why[sizeof(link->why)];

		memcpy(why, link->why, sizeof(why));
		fail(link, ret, "whoever serves it does not speak vhost-user: %.*s", VU_WHY_MAX - 60, why);
	}
	link->answer_ns = uri->answer_ns;
	if (ret != 0)
		vu_link_close(link);
	return ret;
}
