/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What messages must look like: a row for each request, after "Front-end message types" and "Back-end message types".
 * Where the text and what its peers send differ, both are let through.
 */
#include <errno.h>
#include <stdio.h>

#include "vhost/message.h"

/* A number of bytes or of descriptors. */
struct range {
	uint16_t min, max;
};

struct shape {
	const char *name; /* NULL: not known */
	struct range len_bytes, fds;
	bool has_reply;
	struct range reply_len_bytes, reply_fds;
	/* What lengths do not say; or NULL. */
	int (*check)(const struct vhost_message *m, char *why, size_t why_bytes);
};

#define NAMED(request) [VHOST_USER_##request] = {.name = #request
#define EXACTLY(n)                           \
	{                                    \
		(uint16_t)(n), (uint16_t)(n) \
	}
#define BYTES(member)    .len_bytes = EXACTLY(sizeof(((union vhost_user_payload *)0)->member))
#define FDS(low, high)   .fds = {low, high}
#define ANSWERED(member) .has_reply = true, .reply_len_bytes = EXACTLY(sizeof(((union vhost_user_payload *)0)->member))

static int check_memory(const struct vhost_message *m, char *why, size_t why_bytes)
{
	const struct vhost_user_memory *memory = &m->payload.memory;

	/* Some send room for all regions whatever their number. */
	if (m->header.len_bytes <
	    offsetof(struct vhost_user_memory, region) + memory->count * sizeof(memory->region[0]))
		return vhost_malformed(why, why_bytes, "SET_MEM_TABLE of %u bytes has %u regions", m->header.len_bytes,
				       memory->count);
	if (m->fd_count != memory->count)
		return vhost_malformed(why, why_bytes, "SET_MEM_TABLE has %u regions and %u descriptors", memory->count,
				       m->fd_count);
	return 0;
}

static int check_vring_fd(const struct vhost_message *m, char *why, size_t why_bytes)
{
	unsigned expected = (m->payload.u64 & VHOST_USER_VRING_NO_FD) != 0 ? 0 : 1;
	char name[32];

	if (m->fd_count != expected)
		return vhost_malformed(why, why_bytes, "%s for queue %u has %u descriptors and says %u",
				       vhost_request_name(VHOST_FRONTEND, m->header.request, name, sizeof(name)),
				       (unsigned)FIELD_GET(VHOST_USER_VRING_INDEX, m->payload.u64), m->fd_count,
				       expected);
	return 0;
}

static int check_config(const struct vhost_message *m, char *why, size_t why_bytes)
{
	const struct vhost_user_config *config = &m->payload.config;

	if (config->len_bytes > VHOST_USER_CONFIG_MAX || config->offset > VHOST_USER_CONFIG_MAX - config->len_bytes)
		return vhost_malformed(why, why_bytes, "%u bytes at %#x are not in configuration space",
				       config->len_bytes, config->offset);
	if (m->header.len_bytes != VHOST_USER_CONFIG_HEADER_BYTES + config->len_bytes)
		return vhost_malformed(why, why_bytes, "a message of %u bytes has %u bytes of configuration space",
				       m->header.len_bytes, config->len_bytes);
	return 0;
}

#define MEMORY_BYTES .len_bytes = {offsetof(struct vhost_user_memory, region), sizeof(struct vhost_user_memory)}
#define CONFIG_BYTES                                                             \
	{                                                                        \
		VHOST_USER_CONFIG_HEADER_BYTES, sizeof(struct vhost_user_config) \
	}
#define INFLIGHT_BYTES                                                            \
	{                                                                         \
		VHOST_USER_INFLIGHT_MIN_BYTES, sizeof(struct vhost_user_inflight) \
	}

/* clang-format off */
static const struct shape frontend_shapes[] = {
	NAMED(GET_FEATURES), ANSWERED(u64)},
	NAMED(SET_FEATURES), BYTES(u64)},
	NAMED(SET_OWNER)},
	NAMED(RESET_OWNER)},
	NAMED(SET_MEM_TABLE), MEMORY_BYTES, FDS(0, VHOST_USER_REGIONS_MAX), .check = check_memory},
	/* Without LOG_SHMFD a bare u64. */
	NAMED(SET_LOG_BASE), .len_bytes = {sizeof(uint64_t), sizeof(struct vhost_user_log)}, FDS(0, 1)},
	NAMED(SET_LOG_FD), .len_bytes = {0, sizeof(uint64_t)}, FDS(0, 1)},
	NAMED(SET_VRING_NUM), BYTES(state)},
	NAMED(SET_VRING_ADDR), BYTES(address)},
	NAMED(SET_VRING_BASE), BYTES(state)},
	NAMED(GET_VRING_BASE), BYTES(state), ANSWERED(state)},
	NAMED(SET_VRING_KICK), BYTES(u64), FDS(0, 1), .check = check_vring_fd},
	NAMED(SET_VRING_CALL), BYTES(u64), FDS(0, 1), .check = check_vring_fd},
	NAMED(SET_VRING_ERR), BYTES(u64), FDS(0, 1), .check = check_vring_fd},
	NAMED(GET_PROTOCOL_FEATURES), ANSWERED(u64)},
	NAMED(SET_PROTOCOL_FEATURES), BYTES(u64)},
	NAMED(GET_QUEUE_NUM), ANSWERED(u64)},
	NAMED(SET_VRING_ENABLE), BYTES(state)},
	NAMED(SEND_RARP), BYTES(u64)},
	NAMED(NET_SET_MTU), BYTES(u64)},
	NAMED(SET_BACKEND_REQ_FD), FDS(1, 1)},
	NAMED(IOTLB_MSG), BYTES(iotlb), ANSWERED(u64)},
	NAMED(SET_VRING_ENDIAN), BYTES(state)},
	/* An error is a reply of no bytes, or one without data. */
	NAMED(GET_CONFIG), .len_bytes = CONFIG_BYTES, .check = check_config, .has_reply = true,
		.reply_len_bytes = {0, sizeof(struct vhost_user_config)}},
	NAMED(SET_CONFIG), .len_bytes = CONFIG_BYTES, .check = check_config},
	/* A back-end may be unable to make one, and says so with a size of 0. */
	NAMED(GET_INFLIGHT_FD), .len_bytes = INFLIGHT_BYTES, .has_reply = true, .reply_len_bytes = INFLIGHT_BYTES,
		.reply_fds = {0, 1}},
	NAMED(SET_INFLIGHT_FD), .len_bytes = INFLIGHT_BYTES, FDS(1, 1)},
	NAMED(RESET_DEVICE)},
	NAMED(VRING_KICK), BYTES(state)},
	NAMED(GET_MAX_MEM_SLOTS), ANSWERED(u64)},
	NAMED(ADD_MEM_REG), BYTES(one_region), FDS(1, 1)},
	NAMED(REM_MEM_REG), BYTES(one_region), FDS(0, 1)},
	NAMED(SET_STATUS), BYTES(u64)},
	NAMED(GET_STATUS), ANSWERED(u64)},
};

static const struct shape backend_shapes[] = {
	NAMED(BACKEND_IOTLB_MSG), BYTES(iotlb)},
	NAMED(BACKEND_CONFIG_CHANGE_MSG)},
	NAMED(BACKEND_VRING_HOST_NOTIFIER_MSG), BYTES(area), FDS(0, 1)},
	NAMED(BACKEND_VRING_CALL), BYTES(state)},
	NAMED(BACKEND_VRING_ERR), BYTES(state)},
};
/* clang-format on */

static const struct shape *shape_of(enum vhost_side side, unsigned request)
{
	const struct shape *shapes = side == VHOST_FRONTEND ? frontend_shapes : backend_shapes;
	size_t count = side == VHOST_FRONTEND ? ARRAY_SIZE(frontend_shapes) : ARRAY_SIZE(backend_shapes);

	return request < count && shapes[request].name != NULL ? &shapes[request] : NULL;
}

const char *vhost_request_name(enum vhost_side side, unsigned request, char *buffer, size_t buffer_bytes)
{
	const struct shape *shape = shape_of(side, request);

	if (shape != NULL)
		return shape->name;
	snprintf(buffer, buffer_bytes, "request %u", request);
	return buffer;
}

bool vhost_request_has_reply(enum vhost_side side, unsigned request)
{
	const struct shape *shape = shape_of(side, request);

	return shape != NULL && shape->has_reply;
}

static bool is_in(const struct range *range, uint32_t n)
{
	return n >= range->min && n <= range->max;
}

int vhost_check_request(enum vhost_side side, const struct vhost_message *m, char *why, size_t why_bytes)
{
	const struct shape *shape = shape_of(side, m->header.request);

	if ((m->header.flags & VHOST_USER_FLAGS_REPLY) != 0)
		return vhost_malformed(why, why_bytes, "a reply where a request is expected (request %u)",
				       m->header.request);
	if (shape == NULL) {
		vhost_malformed(why, why_bytes, "request %u is not known", m->header.request);
		return -EOPNOTSUPP;
	}
	if (!is_in(&shape->len_bytes, m->header.len_bytes))
		return vhost_malformed(why, why_bytes, "%s has %u bytes", shape->name, m->header.len_bytes);
	if (!is_in(&shape->fds, m->fd_count))
		return vhost_malformed(why, why_bytes, "%s has %u descriptors", shape->name, m->fd_count);
	return shape->check != NULL ? shape->check(m, why, why_bytes) : 0;
}

/* The answer to a question about configuration space is about the same bytes. */
static int check_config_reply(const struct vhost_message *request, const struct vhost_message *reply, char *why,
			      size_t why_bytes)
{
	const struct vhost_user_config *asked = &request->payload.config, *told = &reply->payload.config;

	if (reply->header.len_bytes == 0)
		return 0;
	if (told->len_bytes == 0 && reply->header.len_bytes == VHOST_USER_CONFIG_HEADER_BYTES)
		return 0;
	if (told->len_bytes != asked->len_bytes || told->offset != asked->offset ||
	    reply->header.len_bytes != request->header.len_bytes)
		return vhost_malformed(
			why, why_bytes, "the reply to GET_CONFIG of %u bytes at %#x has %u bytes at %#x, %u in all",
			asked->len_bytes, asked->offset, told->len_bytes, told->offset, reply->header.len_bytes);
	return 0;
}

int vhost_check_reply(enum vhost_side side, const struct vhost_message *request, const struct vhost_message *reply,
		      char *why, size_t why_bytes)
{
	static const struct range acknowledgement = EXACTLY(sizeof(uint64_t)), none = {0, 0};
	const struct shape *shape = shape_of(side, request->header.request);
	bool own = shape != NULL && shape->has_reply;
	char name[32];

	vhost_request_name(side, request->header.request, name, sizeof(name));
	if ((reply->header.flags & VHOST_USER_FLAGS_REPLY) == 0 || reply->header.request != request->header.request)
		return vhost_malformed(why, why_bytes, "%s is answered by a %s of number %u",
				       shape != NULL ? shape->name : name,
				       (reply->header.flags & VHOST_USER_FLAGS_REPLY) != 0 ? "reply" : "request",
				       reply->header.request);
	if (!is_in(own ? &shape->reply_len_bytes : &acknowledgement, reply->header.len_bytes))
		return vhost_malformed(why, why_bytes, "the reply to %s has %u bytes",
				       shape != NULL ? shape->name : name, reply->header.len_bytes);
	if (!is_in(own ? &shape->reply_fds : &none, reply->fd_count))
		return vhost_malformed(why, why_bytes, "the reply to %s has %u descriptors",
				       shape != NULL ? shape->name : name, reply->fd_count);
	if (request->header.request == VHOST_USER_GET_CONFIG && side == VHOST_FRONTEND)
		return check_config_reply(request, reply, why, why_bytes);
	return 0;
}
