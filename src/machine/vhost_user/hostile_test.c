/* SPDX-License-Identifier: BSD-2-Clause */
/* Back-ends that lie, and what is no back-end at all: each ends with a reason, in time, and leaves nothing behind. */
#include "tests/vhost_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SPLIT BIT64(VIRTIO_F_VERSION_1)

static unsigned open_count(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- what is no back-end ---- */

static void test_path_that_leads_nowhere_is_explained(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	assert_int_equal(bench_open(b, ""), -ENOENT);
	assert_non_null(strstr(b->log, "there is no such socket"));

	fd = open(b->peer.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(bench_open(b, ""), -ENOTSOCK);
	assert_non_null(strstr(b->log, "is not a socket"));
	unlink(b->peer.path);

	/* A socket whose server is gone; and one of another kind. */
	memcpy(address.sun_path, b->peer.path, strlen(b->peer.path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(bench_open(b, ""), -ECONNREFUSED);
	assert_non_null(strstr(b->log, "nobody listens there"));
	unlink(b->peer.path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(bench_open(b, ""), -EPROTOTYPE);
	assert_non_null(strstr(b->log, "of another kind"));
	close(fd);
	unlink(b->peer.path);
}

static void test_path_that_may_not_be_used_is_explained(void **state)
{
	struct bench *b = *state;
	uid_t before = geteuid();

	vhost_peer_start(&b->peer);
	assert_int_equal(chmod(b->peer.dir, 0700), 0);
	assert_int_equal(chmod(b->peer.path, 0600), 0);
	if (before != 0 || seteuid(65534) != 0)
		skip(); /* only somebody else is refused, and only root can be somebody else */
	assert_int_equal(bench_open(b, ""), -EACCES);
	assert_int_equal(seteuid(before), 0);
	assert_non_null(strstr(b->log, "no permission"));
}

struct stranger {
	int listen_fd;
	const char *says;
};

static void *greet(void *arg)
{
	struct stranger *s = arg;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	char byte;

	(void)io_send(fd, s->says, strlen(s->says), ob_deadline(BENCH_WAIT_NS));
	/* Until the other one has left. */
	while (recv(fd, &byte, 1, 0) > 0)
		;
	close(fd);
	return NULL;
}

static void test_stranger_that_says_nothing_is_left_in_time(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t begin_ns = ob_now_ns();

	/* The kernel takes the connection, and nobody reads. */
	memcpy(address.sun_path, b->peer.path, strlen(b->peer.path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(bench_open(b, "?timeout=30ms"), -ETIMEDOUT);
	assert_true(ob_now_ns() - begin_ns < 2 * OB_NS_PER_S);
	assert_non_null(strstr(b->log, "does not answer GET_FEATURES within 30 ms"));
	close(fd);
	unlink(b->peer.path);
}

static void test_server_of_another_protocol_is_said_so(void **state)
{
	static const char *const greetings[] = {"NBDMAGICIHAVEOPT", "HTTP/1.1 400 Bad Request\r\n\r\n"};
	struct bench *b = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;

	memcpy(address.sun_path, b->peer.path, strlen(b->peer.path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(greetings); i++) {
		struct stranger stranger = {fd, greetings[i]};

		b->log[0] = '\0';
		assert_int_equal(pthread_create(&thread, NULL, greet, &stranger), 0);
		assert_int_equal(bench_open(b, ""), -EPROTO);
		pthread_join(thread, NULL);
		assert_non_null(strstr(b->log, "does not speak vhost-user"));
	}
	close(fd);
	unlink(b->peer.path);
}

/* Each answer comes in time, and all of them do not. */
static void test_server_that_never_gets_to_an_end_is_left_in_time(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns = ob_now_ns();

	b->peer.slow_ms = 120;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?timeout=500ms"), -ETIMEDOUT);
	assert_in_range(ob_now_ns() - begin_ns, OB_NS_PER_S, 4 * OB_NS_PER_S);
	assert_non_null(strstr(b->log, "takes more than 1000 ms to begin"));
	/* What comes after the beginning has its own time. */
	assert_int_equal(bench_open(b, "?timeout=4s"), 0);
	assert_int_equal(b->vm->link.begin_ns, UINT64_MAX);
}

/* ---- lies ---- */

/* The ways in which a question may be answered wrongly; what is not answered can only be left by hanging up. */
static void check_lie(struct bench *b, unsigned request, enum vhost_peer_lie lie, bool at_open)
{
	unsigned before = open_count();
	int ret;

	b->log[0] = '\0';
	b->deaths = 0;
	memset(b->ring, 0, sizeof(b->ring));
	vhost_peer_start(&b->peer);
	b->peer.lie = at_open ? lie : VHOST_PEER_HONEST;
	b->peer.lie_request = request;
	ret = bench_open(b, at_open && lie == VHOST_PEER_SILENT ? "?timeout=100ms&reconnect=0" : "?reconnect=0");
	if (!at_open) {
		assert_int_equal(ret, 0);
		b->peer.lie = lie;
		if (lie == VHOST_PEER_SILENT)
			bench_be_impatient(b);
		ret = bench_run(b, SPLIT);
		if (ret == 0 && !b->m->dead)
			ret = b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS));
	}
	if (b->m != NULL && lie != VHOST_PEER_REFUSE && lie != VHOST_PEER_HONEST)
		bench_await_dead(b);
	else if (lie != VHOST_PEER_HONEST)
		assert_true(ret < 0);
	assert_true(b->log[0] != '\0');
	bench_close(b);
	vhost_peer_stop(&b->peer);
	io_close(&b->peer.inflight_fd);
	assert_int_equal(open_count(), before);
}

static void test_every_lie_at_every_question_ends_with_a_reason(void **state)
{
	static const unsigned opening[] = {
		VHOST_USER_GET_FEATURES,      VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_GET_QUEUE_NUM,
		VHOST_USER_GET_MAX_MEM_SLOTS, VHOST_USER_SET_BACKEND_REQ_FD,    VHOST_USER_SET_OWNER,
		VHOST_USER_GET_CONFIG,        VHOST_USER_ADD_MEM_REG,
	};
	static const unsigned running[] = {
		VHOST_USER_SET_FEATURES,    VHOST_USER_SET_STATUS,       VHOST_USER_GET_STATUS,
		VHOST_USER_SET_VRING_NUM,   VHOST_USER_SET_VRING_BASE,   VHOST_USER_SET_VRING_ADDR,
		VHOST_USER_SET_VRING_ERR,   VHOST_USER_SET_VRING_CALL,   VHOST_USER_SET_VRING_KICK,
		VHOST_USER_GET_VRING_BASE,  VHOST_USER_SET_VRING_ENABLE, VHOST_USER_RESET_DEVICE,
		VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_SET_INFLIGHT_FD,
	};
	struct bench *b = *state;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_STATUS | VHOST_USER_PROTOCOL_F_RESET_DEVICE |
			    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 4096;
	for (enum vhost_peer_lie lie = VHOST_PEER_SILENT; lie < VHOST_PEER_LIES; lie++) {
		/* Any features, and any number, are an answer that can be right. */
		bool may_be_right = lie == VHOST_PEER_REFUSE;

		for (unsigned i = 0; i < ARRAY_SIZE(opening); i++)
			if (!may_be_right || i >= 4)
				check_lie(b, opening[i],
					  opening[i] == VHOST_USER_GET_CONFIG && may_be_right ? VHOST_PEER_SHORT : lie,
					  true);
		for (unsigned i = 0; i < ARRAY_SIZE(running); i++)
			if (!may_be_right ||
			    (running[i] != VHOST_USER_GET_STATUS && running[i] != VHOST_USER_GET_VRING_BASE &&
			     running[i] != VHOST_USER_GET_INFLIGHT_FD))
				check_lie(b, running[i], lie, false);
	}
}

static void test_numbers_beyond_reason_are_clipped_or_refused(void **state)
{
	struct bench *b = *state;
	uint16_t size;

	vhost_peer_start(&b->peer);
	b->peer.queue_count = UINT64_MAX;
	b->peer.slot_count = UINT64_MAX;
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->vm->queue_count, VHOST_USER_QUEUES_MAX);
	assert_int_equal(b->ops->queue_size(b->m, 0, 255, &size), 0);
	assert_int_equal(size, 1024);
	assert_int_equal(b->ops->queue_size(b->m, 0, 256, &size), 0);
	assert_int_equal(size, 0);
	bench_close(b);
	b->peer.slot_count = 0;
	assert_int_equal(bench_open(b, ""), -EPROTO);
	assert_non_null(strstr(b->log, "no memory at all"));
}

static void test_table_of_requests_that_is_not_what_it_says_is_the_end(void **state)
{
	struct bench *b = *state;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	for (unsigned i = 0; i < 3; i++) {
		b->log[0] = '\0';
		b->deaths = 0;
		memset(b->ring, 0, sizeof(b->ring));
		b->peer.inflight_len = 4096;
		b->peer.inflight_told = i == 0 ? 4097 : i == 1 ? UINT64_MAX : 0;
		b->peer.inflight_no_fd = i == 2;
		vhost_peer_start(&b->peer);
		assert_int_equal(bench_open(b, ""), 0);
		assert_int_equal(bench_run(b, SPLIT), -ENODEV);
		bench_await_dead(b);
		assert_non_null(strstr(b->log, "table of requests in flight"));
		bench_close(b);
		vhost_peer_stop(&b->peer);
	}
	/* None at all is no lie. */
	b->peer.inflight_len = b->peer.inflight_told = 0;
	memset(b->ring, 0, sizeof(b->ring));
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_SET_INFLIGHT_FD), 0);
}

static void test_answer_about_another_queue_is_the_end(void **state)
{
	struct bench *b = *state;

	b->peer.stop_other = true;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "is answered for queue"));
}

static void test_answer_before_the_question_is_the_end(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	vhost_message_init_state(&m, VHOST_USER_GET_VRING_BASE, false, 0, 0);
	vhost_message_make_reply(&m, sizeof(m.payload.state));
	pthread_mutex_lock(&b->peer.lock);
	assert_int_equal(vhost_send(b->peer.fd, &m, ob_deadline(BENCH_WAIT_NS)), 0);
	pthread_mutex_unlock(&b->peer.lock);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "is answered by"));
}

static void test_rubbish_on_the_back_ends_channel_is_the_end(void **state)
{
	static const struct vhost_user_header bad[] = {
		{VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 2, 0}, /* of another protocol */
		{VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 1, 100000},
		{VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 1, 8},
		{VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 5, 0}, /* a reply */
	};
	uint64_t payload = 0;
	struct bench *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned before = open_count();

		b->deaths = 0;
		vhost_peer_start(&b->peer);
		assert_int_equal(bench_open(b, ""), 0);
		assert_int_equal(io_send(b->peer.backend_fd, &bad[i], sizeof(bad[i]), ob_deadline(BENCH_WAIT_NS)), 0);
		(void)io_send(b->peer.backend_fd, &payload, sizeof(payload), ob_deadline(BENCH_WAIT_NS));
		bench_await_dead(b);
		bench_close(b);
		vhost_peer_stop(&b->peer);
		assert_int_equal(open_count(), before);
	}
}

static void test_flood_on_the_back_ends_channel_stops_nothing(void **state)
{
	struct bench *b = *state;
	struct vhost_message m;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	vhost_message_init(&m, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, false);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(vhost_send(b->peer.backend_fd, &m, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	/* Its end is the end of news, and of nothing else. */
	shutdown(b->peer.backend_fd, SHUT_RDWR);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_false(b->m->dead);
}

/* Both ends of an eventfd are one thing: what the back-end makes of it is true for us. */
static void test_eventfds_that_are_made_to_wait_keep_nobody(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	struct bench *b = *state;
	uint64_t begin_ns;
	int kick;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	/* One that is empty, and is read from. */
	assert_int_equal(fcntl(b->peer.queue[0].call_fd, F_SETFL, 0), 0);
	assert_false(io_event_take(b->ops->irq_fd(b->m, 0, 0)));
	/* One that is full, and is written to. */
	kick = dup(b->peer.queue[1].kick_fd);
	assert_true(io_event_take(kick));
	assert_int_equal(fcntl(kick, F_SETFL, 0), 0);
	assert_true(write(kick, &full, sizeof(full)) == sizeof(full));
	begin_ns = ob_now_ns();
	ob_mmio_write16(&b->doorbell[1], 0, 1);
	assert_true(ob_now_ns() - begin_ns < BENCH_WAIT_NS);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "has filled what queue 1 is kicked by"));
	/* No more of that. */
	(void)io_event_take(kick);
	assert_true(write(kick, &full, sizeof(full)) == sizeof(full));
	ob_mmio_write16(&b->doorbell[1], 0, 1);
	close(kick);
}

/* What is held while queues begin must not be what the watcher needs to see it. */
static void test_eventfds_that_are_full_from_the_beginning_keep_nobody(void **state)
{
	struct bench *b = *state;

	b->peer.fills_kicks = true;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?timeout=1s"), 0);
	(void)bench_run(b, SPLIT);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "has filled what queue 0 is kicked by"));
}

/* … nor when it is the watcher itself that kicks: it ends no later than the machine. */
static void test_eventfds_of_one_that_comes_back_full_keep_nobody(void **state)
{
	struct bench *b = *state;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 4096;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	vhost_peer_stop(&b->peer);
	b->peer.fills_kicks = true;
	vhost_peer_start(&b->peer);
	vhost_peer_await(&b->peer, VHOST_USER_SET_VRING_ENABLE, 2 * BENCH_QUEUES);
}

/* What the watcher works while @fd is filled again whenever somebody has read it, in percent of a CPU. */
static unsigned busy_percent(struct bench *b, int fd, uint64_t count)
{
	const uint64_t time_ns = 300 * OB_NS_PER_MS, end_ns = ob_deadline(time_ns);
	struct timespec before, after;
	unsigned reads = 0;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(b->vm->watcher, &clock), 0);
	assert_int_equal(clock_gettime(clock, &before), 0);
	while (ob_now_ns() < end_ns) {
		if (io_wait(fd, POLLIN, 0) == 0)
			continue;
		assert_true(write(fd, &count, sizeof(count)) == sizeof(count));
		reads++;
	}
	assert_int_equal(clock_gettime(clock, &after), 0);
	assert_in_range(reads, 2, UINT_MAX);
	return (unsigned)(((uint64_t)(after.tv_sec - before.tv_sec) * OB_NS_PER_S + (uint64_t)after.tv_nsec -
			   (uint64_t)before.tv_nsec) *
			  100 / time_ns);
}

static void test_eventfds_that_are_filled_again_do_not_keep_the_thread_busy(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	struct bench *b = *state;
	struct vu_queue *q;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_in_range(busy_percent(b, b->vm->error_fd, 1), 0, 10);
	/* A kick that never ends, as far as the watcher can see. */
	q = &b->vm->queue[1];
	(void)io_event_take(q->kick_fd);
	assert_true(write(q->kick_fd, &full, sizeof(full)) == sizeof(full));
	__atomic_fetch_add(&q->kick_begun, 1, __ATOMIC_RELEASE);
	vu_watch_wake(b->vm);
	bench_await_dead(b);
	assert_in_range(busy_percent(b, q->kick_fd, full), 0, 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_path_that_leads_nowhere_is_explained),
		TEST(test_path_that_may_not_be_used_is_explained),
		TEST(test_stranger_that_says_nothing_is_left_in_time),
		TEST(test_server_of_another_protocol_is_said_so),
		TEST(test_server_that_never_gets_to_an_end_is_left_in_time),
		TEST(test_every_lie_at_every_question_ends_with_a_reason),
		TEST(test_numbers_beyond_reason_are_clipped_or_refused),
		TEST(test_table_of_requests_that_is_not_what_it_says_is_the_end),
		TEST(test_answer_about_another_queue_is_the_end),
		TEST(test_answer_before_the_question_is_the_end),
		TEST(test_rubbish_on_the_back_ends_channel_is_the_end),
		TEST(test_eventfds_that_are_made_to_wait_keep_nobody),
		TEST(test_eventfds_that_are_full_from_the_beginning_keep_nobody),
		TEST(test_eventfds_of_one_that_comes_back_full_keep_nobody),
		TEST(test_eventfds_that_are_filled_again_do_not_keep_the_thread_busy),
		TEST(test_flood_on_the_back_ends_channel_stops_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
