/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user messages through a socket pair: whole, in pieces, malformed, with too few and too many descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "io/io.h"
#include "vhost/message.h"

#define WAIT_NS (2 * OB_NS_PER_S)

struct bench {
	int ours, theirs;
	struct vhost_receiver r;
	char why[160];
};

static int set_up(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	vhost_receiver_init(&b.r);
	if (io_pair(&b.ours, &b.theirs) < 0)
		return -1;
	*state = &b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	vhost_receiver_fini(&b->r);
	io_close(&b->ours);
	io_close(&b->theirs);
	return 0;
}

/* How many descriptors this process has open. */
static unsigned open_count(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void send_raw(struct bench *b, const void *data, size_t len_bytes, unsigned fd_count)
{
	int fds[IO_FDS_MAX];

	for (unsigned i = 0; i < fd_count; i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(io_send_fds(b->theirs, data, len_bytes, fds, fd_count, ob_deadline(WAIT_NS)), 0);
}

static int receive(struct bench *b)
{
	return vhost_receive(b->ours, &b->r, ob_deadline(WAIT_NS), b->why, sizeof(b->why));
}

static void test_message_sent_arrives_whole(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	vhost_message_init_state(&m, VHOST_USER_SET_VRING_NUM, true, 3, 256);
	assert_int_equal(vhost_send(b->theirs, &m, ob_deadline(WAIT_NS)), 0);
	vhost_message_init_u64(&m, VHOST_USER_SET_FEATURES, false, 0x123456789abcdef0);
	assert_int_equal(vhost_send(b->theirs, &m, ob_deadline(WAIT_NS)), 0);
	assert_int_equal(receive(b), 0);
	assert_int_equal(b->r.message.header.request, VHOST_USER_SET_VRING_NUM);
	assert_int_equal(b->r.message.header.flags, 1 | 1u << 3);
	assert_int_equal(b->r.message.payload.state.index, 3);
	assert_int_equal(b->r.message.payload.state.value, 256);
	assert_int_equal(vhost_check_request(VHOST_FRONTEND, &b->r.message, b->why, sizeof(b->why)), 0);
	assert_int_equal(receive(b), 0);
	assert_int_equal(b->r.message.payload.u64, 0x123456789abcdef0);
	assert_int_equal(vhost_receive_some(b->ours, &b->r, b->why, sizeof(b->why)), -EAGAIN);
}

static void test_message_in_single_bytes_arrives_whole(void **state)
{
	struct bench *b = *state;
	struct {
		struct vhost_user_header header;
		uint32_t payload[2];
	} wire = {{VHOST_USER_SET_VRING_BASE, 1, 8}, {7, 99}};

	for (size_t i = 0; i + 1 < sizeof(wire); i++) {
		send_raw(b, (uint8_t *)&wire + i, 1, 0);
		assert_int_equal(vhost_receive_some(b->ours, &b->r, b->why, sizeof(b->why)), -EAGAIN);
	}
	send_raw(b, (uint8_t *)&wire + sizeof(wire) - 1, 1, 0);
	assert_int_equal(vhost_receive_some(b->ours, &b->r, b->why, sizeof(b->why)), 0);
	assert_int_equal(b->r.message.payload.state.index, 7);
	assert_int_equal(b->r.message.payload.state.value, 99);
}

static void test_descriptors_received_are_closed_on_exec_and_owned(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;
	unsigned before = open_count();
	int fd;

	vhost_message_init(&m, VHOST_USER_SET_MEM_TABLE, false);
	m.payload.memory.count = 3;
	m.header.len_bytes = 8 + 3 * sizeof(struct vhost_user_region);
	for (unsigned i = 0; i < 3; i++)
		vhost_message_add_fd(&m, STDERR_FILENO);
	assert_int_equal(vhost_send(b->theirs, &m, ob_deadline(WAIT_NS)), 0);
	assert_int_equal(receive(b), 0);
	assert_int_equal(b->r.message.fd_count, 3);
	assert_int_equal(open_count(), before + 3);
	assert_int_equal(vhost_check_request(VHOST_FRONTEND, &b->r.message, b->why, sizeof(b->why)), 0);
	fd = vhost_message_take_fd(&b->r.message, 1);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(vhost_message_take_fd(&b->r.message, 1), -1);
	assert_int_equal(vhost_message_take_fd(&b->r.message, 3), -1);
	/* What nobody took goes as the next message begins; what was taken stays. */
	assert_int_equal(vhost_receive_some(b->ours, &b->r, b->why, sizeof(b->why)), -EAGAIN);
	assert_int_equal(open_count(), before + 1);
	io_close(&fd);
}

static void test_descriptors_too_many_end_in_eproto_and_leak_none(void **state)
{
	struct bench *b = *state;
	struct vhost_user_header header = {VHOST_USER_SET_OWNER, 1, 0};
	unsigned before = open_count();

	/* Each piece of the header brings some: twelve in all. */
	send_raw(b, &header, 4, 6);
	assert_int_equal(vhost_receive_some(b->ours, &b->r, b->why, sizeof(b->why)), -EAGAIN);
	send_raw(b, (uint8_t *)&header + 4, 8, 6);
	assert_int_equal(receive(b), -EPROTO);
	assert_non_null(strstr(b->why, "descriptors"));
	vhost_receiver_fini(&b->r);
	assert_int_equal(open_count(), before);
}

static void test_header_malformed_ends_in_eproto(void **state)
{
	static const struct vhost_user_header bad[] = {
		{VHOST_USER_SET_OWNER, 0, 0}, /* no version */
		{VHOST_USER_SET_OWNER, 2, 0},
		{VHOST_USER_SET_FEATURES, 1, sizeof(union vhost_user_payload) + 1},
		{VHOST_USER_SET_FEATURES, 1, UINT32_MAX},
	};
	struct bench *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		send_raw(b, &bad[i], sizeof(bad[i]), 0);
		b->why[0] = '\0';
		assert_int_equal(receive(b), -EPROTO);
		assert_string_not_equal(b->why, "");
		/* Nor does it read on. */
		assert_int_equal(receive(b), -EPROTO);
		vhost_receiver_init(&b->r);
	}
}

static void test_peer_silent_or_gone_ends_with_an_error(void **state)
{
	struct bench *b = *state;
	struct vhost_user_header header = {VHOST_USER_SET_FEATURES, 1, 8};
	struct vhost_message m;

	assert_int_equal(vhost_receive(b->ours, &b->r, ob_deadline(10 * OB_NS_PER_MS), NULL, 0), -ETIMEDOUT);
	send_raw(b, &header, sizeof(header), 1);
	assert_int_equal(vhost_receive(b->ours, &b->r, ob_deadline(10 * OB_NS_PER_MS), NULL, 0), -ETIMEDOUT);
	io_close(&b->theirs);
	assert_int_equal(vhost_receive(b->ours, &b->r, ob_deadline(WAIT_NS), NULL, 0), -ENODEV);
	assert_int_not_equal(b->r.have_bytes, 0);
	vhost_message_init(&m, VHOST_USER_SET_OWNER, false);
	assert_int_equal(vhost_send(b->ours, &m, ob_deadline(WAIT_NS)), -ENODEV);
}

static void test_send_to_a_full_socket_has_a_deadline(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;
	int ret;

	vhost_message_init_u64(&m, VHOST_USER_SET_FEATURES, false, 0);
	do
		ret = vhost_send(b->ours, &m, ob_deadline(10 * OB_NS_PER_MS));
	while (ret == 0);
	assert_int_equal(ret, -ETIMEDOUT);
}

/* ---- shapes ---- */

static int check(struct vhost_message *m, char *why)
{
	why[0] = '\0';
	return vhost_check_request(VHOST_FRONTEND, m, why, 160);
}

static void test_request_with_wrong_length_or_descriptors_is_refused(void **state)
{
	struct bench *b = *state;

	/* One byte less or more than right, and one descriptor, for every request. */
	for (unsigned request = 1; request <= VHOST_USER_GET_STATUS; request++) {
		struct vhost_message m;
		unsigned accepted = 0;

		for (uint32_t len = 0; len <= sizeof(m.payload); len++) {
			for (unsigned fds = 0; fds <= VHOST_FDS_MAX; fds++) {
				int ret;

				vhost_message_init(&m, request, false);
				m.header.len_bytes = len;
				m.fd_count = fds;
				ret = check(&m, b->why);
				if (ret == -EOPNOTSUPP)
					goto next;
				assert_true(ret == 0 || ret == -EPROTO);
				assert_int_equal(b->why[0] != '\0', ret != 0);
				accepted += ret == 0;
			}
		}
		assert_true(accepted > 0);
		/* All but the table of memory and the log, of which there are two forms, are of one or two lengths. */
		if (request != VHOST_USER_SET_MEM_TABLE && request != VHOST_USER_SET_LOG_BASE &&
		    request != VHOST_USER_SET_LOG_FD)
			assert_in_range(accepted, 1, 5);
	next:;
	}
	/* Numbers that are none. */
	for (unsigned request = VHOST_USER_GET_STATUS + 1; request != 0; request *= 2) {
		struct vhost_message m;

		vhost_message_init(&m, request, false);
		assert_int_equal(check(&m, b->why), -EOPNOTSUPP);
	}
}

static void test_memory_table_that_contradicts_itself_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_MEM_TABLE, false);
	m.payload.memory.count = 2;
	m.header.len_bytes = 8 + 2 * 32;
	m.fd_count = 2;
	assert_int_equal(check(&m, b->why), 0);
	m.fd_count = 1;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.fd_count = 3;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.fd_count = 2;
	m.header.len_bytes = 8 + 2 * 32 - 1;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.header.len_bytes = 8 + 8 * 32;
	m.payload.memory.count = 9;
	m.fd_count = 8;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.payload.memory.count = UINT32_MAX;
	assert_int_equal(check(&m, b->why), -EPROTO);
}

static void test_vring_descriptor_flag_that_lies_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	for (unsigned request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++) {
		vhost_message_init_u64(&m, request, false, 5);
		assert_int_equal(check(&m, b->why), -EPROTO);
		m.fd_count = 1;
		assert_int_equal(check(&m, b->why), 0);
		m.payload.u64 |= VHOST_USER_VRING_NO_FD;
		assert_int_equal(check(&m, b->why), -EPROTO);
		m.fd_count = 0;
		assert_int_equal(check(&m, b->why), 0);
	}
}

static void test_config_beyond_its_message_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_CONFIG, false);
	m.payload.config.offset = 32;
	m.payload.config.len_bytes = 4;
	m.header.len_bytes = 16;
	assert_int_equal(check(&m, b->why), 0);
	m.payload.config.len_bytes = 5;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.payload.config.len_bytes = 4;
	m.payload.config.offset = 253;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.payload.config.offset = UINT32_MAX;
	assert_int_equal(check(&m, b->why), -EPROTO);
	m.payload.config = (struct vhost_user_config){.len_bytes = UINT32_MAX};
	assert_int_equal(check(&m, b->why), -EPROTO);
}

static int answer(struct vhost_message *request, struct vhost_message *reply, char *why)
{
	return vhost_check_reply(VHOST_FRONTEND, request, reply, why, 160);
}

static void test_reply_to_another_question_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_message request, reply;

	vhost_message_init(&request, VHOST_USER_GET_FEATURES, false);
	vhost_message_init_u64(&reply, VHOST_USER_GET_FEATURES, false, 1);
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO); /* no reply at all */
	vhost_message_make_reply(&reply, 8);
	assert_int_equal(answer(&request, &reply, b->why), 0);
	reply.header.request = VHOST_USER_GET_STATUS;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	reply.header.request = VHOST_USER_GET_FEATURES;
	reply.header.len_bytes = 4;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	reply.header.len_bytes = 8;
	reply.fd_count = 1;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	/* An acknowledgement is a u64, whatever was asked. */
	vhost_message_init_state(&request, VHOST_USER_SET_VRING_NUM, true, 0, 8);
	vhost_message_init_u64(&reply, VHOST_USER_SET_VRING_NUM, false, 0);
	vhost_message_make_reply(&reply, 8);
	assert_int_equal(answer(&request, &reply, b->why), 0);
	reply.header.len_bytes = 16;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
}

static void test_reply_about_other_config_bytes_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_message request, reply;

	vhost_message_init(&request, VHOST_USER_GET_CONFIG, false);
	request.payload.config.offset = 8;
	request.payload.config.len_bytes = 8;
	request.header.len_bytes = 20;
	reply = request;
	vhost_message_make_reply(&reply, 20);
	assert_int_equal(answer(&request, &reply, b->why), 0);
	reply.payload.config.offset = 0;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	reply.payload.config.offset = 8;
	reply.payload.config.len_bytes = 16;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	reply.payload.config.len_bytes = 8;
	reply.header.len_bytes = 268;
	assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	for (uint32_t len = 1; len < 12; len++) {
		reply.header.len_bytes = len;
		assert_int_equal(answer(&request, &reply, b->why), -EPROTO);
	}
	reply.header.len_bytes = 0;
	assert_int_equal(answer(&request, &reply, b->why), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_message_sent_arrives_whole),
		TEST(test_message_in_single_bytes_arrives_whole),
		TEST(test_descriptors_received_are_closed_on_exec_and_owned),
		TEST(test_descriptors_too_many_end_in_eproto_and_leak_none),
		TEST(test_header_malformed_ends_in_eproto),
		TEST(test_peer_silent_or_gone_ends_with_an_error),
		TEST(test_send_to_a_full_socket_has_a_deadline),
		TEST(test_request_with_wrong_length_or_descriptors_is_refused),
		TEST(test_memory_table_that_contradicts_itself_is_refused),
		TEST(test_vring_descriptor_flag_that_lies_is_refused),
		TEST(test_config_beyond_its_message_is_refused),
		TEST(test_reply_to_another_question_is_refused),
		TEST(test_reply_about_other_config_bytes_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
