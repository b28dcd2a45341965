/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user messages on a socket, for both ends: framing, descriptors, deadlines, and what a message of each kind must look
 * like. The bits are in spec/vhost_user.h; what messages mean is the ends' own matter.
 *
 * The peer is not trusted. A message that is whole and was checked has the payload and the descriptors that its request
 * calls for, and lengths and counts inside it that agree with the message's own length; indexes, addresses and sizes are
 * still any number.
 */
#ifndef OB_VHOST_MESSAGE_H
#define OB_VHOST_MESSAGE_H

#include "spec/vhost_user.h"

#define VHOST_FDS_MAX VHOST_USER_REGIONS_MAX

/* Who asks: their requests have numbers of their own. */
enum vhost_side {
	VHOST_FRONTEND,
	VHOST_BACKEND,
};

struct vhost_message {
	struct vhost_user_header header;
	union vhost_user_payload payload; /* of it header.len_bytes */
	int fds[VHOST_FDS_MAX];           /* of which fd_count; of a received one the receiver's, to take or to close */
	unsigned fd_count;
};

/* Where the reception of a message stands. */
struct vhost_receiver {
	struct vhost_message message;
	size_t have_bytes;
	bool is_whole;
};

/** vhost_message_init - without payload and descriptors. @need_reply: with REPLY_ACK, and no reply of its own. */
void vhost_message_init(struct vhost_message *m, unsigned request, bool need_reply);
/** vhost_message_init_u64, vhost_message_init_state - with such a payload */
void vhost_message_init_u64(struct vhost_message *m, unsigned request, bool need_reply, uint64_t value);
void vhost_message_init_state(struct vhost_message *m, unsigned request, bool need_reply, uint32_t index,
			      uint32_t value);
/** vhost_message_add_fd - it goes along and stays the sender's */
void vhost_message_add_fd(struct vhost_message *m, int fd);
/** vhost_message_make_reply - turn a request into its reply with a payload of @len_bytes, which is already there */
void vhost_message_make_reply(struct vhost_message *m, uint32_t len_bytes);
/** vhost_message_take_fd - the descriptor at @index becomes the caller's; -1: there is none, or it was taken */
int vhost_message_take_fd(struct vhost_message *m, unsigned index);
/** vhost_message_close - close what nobody took. Any number of times. */
void vhost_message_close(struct vhost_message *m);

/**
 * vhost_send - one message, whole
 * @fd:       a stream socket
 * @deadline_ns: for all of it
 *
 * Return: 0; -ETIMEDOUT part of it may be out, so the connection is of no more use; -ENODEV the peer is gone; negative
 * errno.
 */
int vhost_send(int fd, const struct vhost_message *m, uint64_t deadline_ns);

/** vhost_receiver_init - nothing has been received */
void vhost_receiver_init(struct vhost_receiver *r);
/** vhost_receiver_fini - close what came along and was not taken */
void vhost_receiver_fini(struct vhost_receiver *r);
/**
 * vhost_receive_some - as much of a message as has arrived; does not wait
 * @r:   its .message is whole once this returns 0; the next call begins the next one
 * @why: a line about a malformed message; or NULL
 *
 * The header's version and length were checked then, nothing else.
 * Return: 0 whole; -EAGAIN not yet; -ENODEV the end, which is clean when r->have_bytes is 0; -EPROTO malformed; negative
 * errno.
 */
int vhost_receive_some(int fd, struct vhost_receiver *r, char *why, size_t why_bytes);
/** vhost_receive - the same, waits for a whole message. -ETIMEDOUT, too. */
int vhost_receive(int fd, struct vhost_receiver *r, uint64_t deadline_ns, char *why, size_t why_bytes);

/** vhost_malformed - say in @why, which may be NULL, what is wrong with a message. -EPROTO */
int vhost_malformed(char *why, size_t why_bytes, const char *format, ...) OB_PRINTF(3, 4);
/** vhost_request_name - "SET_MEM_TABLE", or "request N" in @buffer */
const char *vhost_request_name(enum vhost_side side, unsigned request, char *buffer, size_t buffer_bytes);
/** vhost_request_has_reply - one of its own, whether or not REPLY_ACK asks for one */
bool vhost_request_has_reply(enum vhost_side side, unsigned request);
/**
 * vhost_check_request - does it look like what its number says?
 * @side: who sent it
 *
 * Return: 0; -EPROTO; -EOPNOTSUPP a number that is not known, with a payload and descriptors that may be anything. @why: a
 * line.
 */
int vhost_check_request(enum vhost_side side, const struct vhost_message *m, char *why, size_t why_bytes);
/**
 * vhost_check_reply - does @reply answer @request?
 * @side: who sent the request
 *
 * GET_CONFIG may be answered by nothing at all, which is for the caller to see. The value of an acknowledgement is, too.
 * Return: 0; -EPROTO, with a line in @why.
 */
int vhost_check_reply(enum vhost_side side, const struct vhost_message *request, const struct vhost_message *reply,
		      char *why, size_t why_bytes);

#endif
