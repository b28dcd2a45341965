/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to a vhost-user back-end: reaching it, agreeing on the protocol, questions and answers.
 *
 * The back-end is not trusted, and it is not waited for beyond the deadline. Not thread-safe.
 */
#ifndef OB_MACHINE_VHOST_USER_LINK_H
#define OB_MACHINE_VHOST_USER_LINK_H

#include "machine/vhost_user/uri.h"
#include "vhost/message.h"

#define VU_WHY_MAX 192

struct vu_link {
	int fd;            /* -1: not connected */
	int backend_fd;    /* our end of the back-end's channel, or -1 */
	uint64_t features; /* offered, without those of the protocol */
	bool has_protocol; /* VHOST_USER_F_PROTOCOL_FEATURES */
	uint64_t protocol; /* agreed: VHOST_USER_PROTOCOL_F_* */
	uint64_t queue_max, slot_max;
	uint64_t answer_ns; /* for one answer */
	uint64_t begin_ns;  /* until when there has to be agreement; UINT64_MAX: there is */
	uint64_t until_ns;  /* what was asked last has to be answered */
	uint64_t heard_ns;  /* when the last answer came */
	bool asked;         /* by vu_link_ping(), at asked_ns, and the answer is still to come */
	uint64_t asked_ns;
	struct vhost_receiver receiver;
	char why[VU_WHY_MAX]; /* in words, what the last error was */
};

/** vu_link_init - not connected */
void vu_link_init(struct vu_link *link);
/**
 * vu_link_open - connect, and agree on the protocol
 *
 * All of it, and what is asked after it until vu_link_begun(), takes at most twice the time that one answer may take.
 *
 * A plain thread or a task. Nothing is left open when it fails.
 * Return: 0; -ENOENT, -ECONNREFUSED nobody is there; -ENOTSOCK; -EACCES; -ENODEV it went away; -EPROTO; -ETIMEDOUT;
 * link->why says more.
 */
int vu_link_open(struct vu_link *link, const struct vu_uri *uri, uint64_t deadline_ns);
/** vu_link_begun - all is told that belongs to the beginning */
void vu_link_begun(struct vu_link *link);
/** vu_link_close - any number of times */
void vu_link_close(struct vu_link *link);

static inline bool vu_link_has(const struct vu_link *link, uint64_t protocol_feature)
{
	return (link->protocol & protocol_feature) != 0;
}

/**
 * vu_link_do - send one message, and wait for what comes back, if something does
 * @m:     with REPLY_ACK, an acknowledgement is asked for where it has no reply of its own
 * @reply: set to the reply, which stands until the next call; NULL: there is none that the caller wants
 *
 * Return: 0; -ENODEV the back-end is gone; -ETIMEDOUT it hangs; -EPROTO it answers nonsense; -EREMOTEIO it refuses; then
 * only the connection is of use still. link->why says more.
 */
int vu_link_do(struct vu_link *link, struct vhost_message *m, struct vhost_message **reply);
/** vu_link_tell, vu_link_tell_state - such a message without descriptors; returns as vu_link_do() */
int vu_link_tell(struct vu_link *link, unsigned request);
int vu_link_tell_u64(struct vu_link *link, unsigned request, uint64_t value);
int vu_link_tell_state(struct vu_link *link, unsigned request, uint32_t index, uint32_t value);
/** vu_link_ask_u64 - a question that is answered by a number */
int vu_link_ask_u64(struct vu_link *link, unsigned request, uint64_t *value);
/**
 * vu_link_ping - ask whether the back-end is there, and do not wait
 *
 * Questions may be asked before its answer has come. Return: 0; -ENODEV; -ETIMEDOUT it does not even read.
 */
int vu_link_ping(struct vu_link *link);
/** vu_link_pong - has it answered? 0 yes; -EAGAIN not yet; -ETIMEDOUT, -ENODEV, -EPROTO */
int vu_link_pong(struct vu_link *link);
/** vu_link_settle - all that was told before has been taken in, also without REPLY_ACK */
int vu_link_settle(struct vu_link *link);

#endif
