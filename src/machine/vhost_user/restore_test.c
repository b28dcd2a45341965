/* SPDX-License-Identifier: BSD-2-Clause */
/* A back-end that goes away: it comes back, it does not, it is another one, it hangs. */
#include "spec/virtio_blk.h"
#include "tests/vhost_bench.h"

#include <errno.h>
#include <unistd.h>

#define SPLIT  BIT64(VIRTIO_F_VERSION_1)
#define PACKED (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED))

static void run_machine(struct bench *b, const char *options, uint64_t features)
{
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, options), 0);
	assert_int_equal(bench_run(b, features), 0);
	for (unsigned i = 0; i < BENCH_QUEUES; i++)
		(void)io_event_take(b->ops->irq_fd(b->m, 0, (int)i));
	(void)io_event_take(b->ops->irq_fd(b->m, 0, -1));
}

static void restart(struct bench *b)
{
	vhost_peer_stop(&b->peer);
	vhost_peer_start(&b->peer);
	bench_await_restored(b, 1);
}

static void check_told(struct bench *b, unsigned index, uint32_t base)
{
	const struct vhost_peer_queue *q = &b->peer.queue[index];

	assert_int_equal(q->base, base);
	assert_int_equal(q->size, 16);
	assert_int_equal(q->address.descriptors, b->ring[index].iova);
	assert_int_equal(q->enabled, 1);
	assert_non_null(vhost_peer_at(&b->peer, b->ring[index].iova, 4096));
	/* What was made known to the dead one has to be found by this one. */
	assert_true(io_event_take(q->kick_fd));
}

/* What the dead one answered has to be found by the driver. */
static void check_called(struct bench *b)
{
	for (unsigned i = 0; i < BENCH_QUEUES; i++)
		assert_true(io_event_take(b->ops->irq_fd(b->m, 0, (int)i)));
}

/* ---- with a table of requests in flight ---- */

static void test_restart_with_a_table_goes_on_where_it_was(void **state)
{
	struct bench *b = *state;
	struct machine_dma_memory more;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 8192;
	run_machine(b, "?memory=2M", SPLIT | BIT64(9));
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_INFLIGHT_FD), 1);
	assert_int_equal(b->peer.inflight.queue_count, BENCH_QUEUES);
	assert_int_equal(b->peer.inflight.queue_size, 16);
	assert_int_equal(b->peer.inflight.len_bytes, 8192);
	assert_int_equal(pwrite(b->peer.inflight_fd, "mine", 4, 0), 4);
	ob_le16_store(&bench_used(b, 0)->idx, 1000);
	ob_le16_store(&bench_used(b, 1)->idx, 65535);
	vhost_peer_stop(&b->peer);
	/* While nobody is there the machine works, as far as it can. */
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4 * OB_MIB, 4096, &more), 0);
	memset(more.base, 0x5a, more.len_bytes);
	io_close(&b->peer.inflight_fd);
	vhost_peer_start(&b->peer);
	bench_await_restored(b, 1);
	assert_false(b->ops->needs_reset(b->m, 0));
	assert_int_equal(b->peer.features_set, SPLIT | BIT64(9) | BIT64(30));
	check_told(b, 0, 1000);
	check_told(b, 1, 65535);
	check_called(b);
	/* It is the old one's table. */
	{
		char text[4];

		assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_INFLIGHT_FD), 1);
		assert_int_equal(pread(b->peer.inflight_fd, text, 4, 0), 4);
		assert_memory_equal(text, "mine", 4);
	}
	assert_int_equal(b->peer.region_count, 2);
	assert_int_equal(*(uint8_t *)vhost_peer_at(&b->peer, more.iova, more.len_bytes), 0x5a);
	assert_int_equal(bench_status(b, "reset "), 0);
	/* After a reset there is another one. */
	assert_int_equal(b->ops->reset(b->m, 0, 0), -ETIMEDOUT); /* 1000 requests that nobody took */
	b->peer.stop_base[0] = 1000;
	b->peer.stop_base[1] = 65535;
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_INFLIGHT_FD), 2);
	assert_false(b->peer.malformed);
}

static void test_restart_of_a_packed_ring_goes_on_where_the_table_says(void **state)
{
	static const struct {
		uint32_t base;
		uint16_t flags;                         /* of the descriptor at old_used_index */
		struct vhost_user_packed_region region; /* last: its table has no length */
	} cases[] = {
		{0x80008000, 0, {.version = 0}},
		{0x80078007,
		 0,
		 {.version = 1, .used_index = 7, .old_used_index = 7, .used_wrap = 1, .old_used_wrap = 1}},
		{0x00030003, 0, {.version = 1, .used_index = 3, .old_used_index = 3}},
		/* A batch under way: the ring still has what the driver wrote, in either round … */
		{0x80078007,
		 VIRTQ_PACKED_F_AVAIL,
		 {.version = 1, .used_index = 9, .old_used_index = 7, .used_wrap = 1, .old_used_wrap = 1}},
		{0x000f000f,
		 VIRTQ_PACKED_F_USED,
		 {.version = 1, .used_index = 1, .old_used_index = 15, .used_wrap = 1}},
		/* … or the device's answer. */
		{0x80098009,
		 VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED,
		 {.version = 1, .used_index = 9, .old_used_index = 7, .used_wrap = 1, .old_used_wrap = 1}},
		{0x80018001, 0, {.version = 1, .used_index = 1, .old_used_index = 15, .used_wrap = 1}},
	};
	struct bench *b = *state;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 4096;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtq_packed_desc *ring;

		memset(b->ring, 0, sizeof(b->ring));
		run_machine(b, "", PACKED);
		ring = b->ring[1].base;
		ob_le16_store(&ring[cases[i].region.old_used_index].flags, cases[i].flags);
		/* Of the second of two queues. */
		assert_int_equal(pwrite(b->peer.inflight_fd, &cases[i].region, 32, 2048), 32);
		restart(b);
		check_told(b, 0, 0x80008000);
		check_told(b, 1, cases[i].base);
		check_called(b);
		bench_close(b);
		vhost_peer_stop(&b->peer);
	}
}

static void test_restart_with_a_table_of_nonsense_is_the_end(void **state)
{
	static const struct vhost_user_packed_region bad[] = {
		{.version = 2},
		{.version = 1, .used_index = 16, .old_used_index = 15},
		{.version = 1, .used_index = 15, .old_used_index = 16},
		{.version = 1, .used_wrap = 2},
		{.version = 1, .old_used_wrap = 2},
	};
	struct bench *b = *state;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 4096;
	for (unsigned i = 0; i <= ARRAY_SIZE(bad); i++) {
		memset(b->ring, 0, sizeof(b->ring));
		b->deaths = 0;
		b->log[0] = '\0';
		run_machine(b, "", PACKED);
		/* The last one is shorter than it was. */
		if (i < ARRAY_SIZE(bad))
			assert_int_equal(pwrite(b->peer.inflight_fd, &bad[i], 32, 2048), 32);
		else
			assert_int_equal(ftruncate(b->peer.inflight_fd, 2048), 0);
		vhost_peer_stop(&b->peer);
		vhost_peer_start(&b->peer);
		bench_await_dead(b);
		assert_non_null(strstr(b->log, "table of requests in flight"));
		bench_close(b);
		vhost_peer_stop(&b->peer);
	}
}

/* ---- without ---- */

static void test_restart_without_a_table_asks_for_a_reset(void **state)
{
	struct bench *b = *state;

	run_machine(b, "", SPLIT);
	ob_le16_store(&bench_used(b, 0)->idx, 7);
	restart(b);
	assert_true(b->ops->needs_reset(b->m, 0));
	assert_true(io_event_take(b->ops->irq_fd(b->m, 0, -1)));
	assert_int_equal(bench_status(b, "reset "), 1);
	/* Nobody serves a ring of which nobody knows what was taken. */
	assert_int_equal(b->peer.queue[0].size, 0);
	assert_int_equal(b->peer.region_count, 1);
	/* The driver's turn. */
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_false(b->ops->needs_reset(b->m, 0));
	ob_le16_store(&bench_used(b, 0)->idx, 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	check_told(b, 0, 0);
}

static void test_reset_while_it_is_away_needs_no_other(void **state)
{
	struct bench *b = *state;

	run_machine(b, "", SPLIT);
	vhost_peer_stop(&b->peer);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(bench_run(b, SPLIT | BIT64(6)), 0);
	vhost_peer_start(&b->peer);
	bench_await_restored(b, 1);
	assert_false(b->ops->needs_reset(b->m, 0));
	assert_int_equal(b->peer.features_set, SPLIT | BIT64(6) | BIT64(30));
	check_told(b, 0, 0);
	check_told(b, 1, 0);
}

static void *stop_soon(void *arg)
{
	(void)poll(NULL, 0, 20);
	vhost_peer_stop(arg);
	return NULL;
}

static void test_server_that_goes_while_it_is_waited_for_has_nothing_in_flight(void **state)
{
	struct bench *b = *state;
	pthread_t thread;
	uint64_t begin_ns;

	run_machine(b, "", SPLIT);
	b->peer.stop_base[0] = 3;
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, &b->peer), 0);
	begin_ns = ob_now_ns();
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(20 * OB_NS_PER_S)), 0);
	assert_true(ob_now_ns() - begin_ns < 10 * OB_NS_PER_S);
	pthread_join(thread, NULL);
}

static void test_restart_of_an_idle_machine_is_nothing(void **state)
{
	struct bench *b = *state;
	struct machine_dma_memory memory;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), 0);
	restart(b);
	assert_false(b->ops->needs_reset(b->m, 0));
	assert_int_equal(b->peer.features_set, 0);
	assert_non_null(vhost_peer_at(&b->peer, memory.iova, 4096));
}

static void test_error_of_a_ring_asks_for_a_reset(void **state)
{
	struct bench *b = *state;

	run_machine(b, "", SPLIT);
	io_event_fire(b->vm->error_fd); /* which the back-end has */
	assert_int_equal(io_wait(b->ops->irq_fd(b->m, 0, -1), POLLIN, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_true(b->ops->needs_reset(b->m, 0));
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_false(b->ops->needs_reset(b->m, 0));
}

/* ---- the end ---- */

static void test_nobody_comes_back_is_the_end_in_time(void **state)
{
	struct bench *b = *state;
	struct machine_dma_memory memory;
	uint64_t features, begin_ns;
	size_t len = 0;

	run_machine(b, "?reconnect=100ms", SPLIT);
	begin_ns = ob_now_ns();
	vhost_peer_stop(&b->peer);
	bench_await_dead(b);
	assert_in_range(ob_now_ns() - begin_ns, 100 * OB_NS_PER_MS, 4 * OB_NS_PER_S);
	assert_non_null(strstr(b->log, "did not come back within 100 ms"));
	assert_int_equal(b->ops->offered(b->m, 0, &features), -ENODEV);
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT), -ENODEV);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	assert_int_equal(b->ops->start(b->m, 0), -ENODEV);
	assert_int_equal(b->ops->config_read(b->m, 0, NULL, &len), -ENODEV);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), -ENODEV);
	ob_mmio_write16(&b->doorbell[0], 0, 0); /* into the void */
	b->m->ops->dma_free(b->m, &b->ring[0]);
	/* Whoever comes now comes too late. */
	vhost_peer_start(&b->peer);
	assert_true(b->m->dead);
}

static void test_reconnection_forbidden_is_the_end_at_once(void **state)
{
	struct bench *b = *state;

	run_machine(b, "?reconnect=0", SPLIT);
	vhost_peer_stop(&b->peer);
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_int_equal(b->peer.connections, 1);
}

static void test_another_device_that_comes_back_is_the_end(void **state)
{
	struct bench *b = *state;

	run_machine(b, "", SPLIT | BIT64(9));
	vhost_peer_stop(&b->peer);
	b->peer.features &= ~BIT64(9);
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "without features 0x200"));
	bench_close(b);
	vhost_peer_stop(&b->peer);

	b->deaths = 0;
	b->peer.features &= ~BIT64(VIRTIO_BLK_F_RO);
	memset(b->ring, 0, sizeof(b->ring));
	run_machine(b, "", SPLIT);
	vhost_peer_stop(&b->peer);
	b->peer.features |= BIT64(VIRTIO_BLK_F_RO);
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "a disk that is read-only now"));
	bench_close(b);
	vhost_peer_stop(&b->peer);
	b->peer.features &= ~BIT64(VIRTIO_BLK_F_RO);

	b->deaths = 0;
	b->peer.features |= BIT64(9);
	memset(b->ring, 0, sizeof(b->ring));
	run_machine(b, "", SPLIT);
	vhost_peer_stop(&b->peer);
	b->peer.queue_count = 1;
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "without queue 1"));
}

static void test_server_that_hangs_is_the_end_in_time(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns;

	run_machine(b, "", SPLIT);
	bench_be_impatient(b);
	b->peer.lie_request = VHOST_USER_GET_VRING_BASE;
	b->peer.lie = VHOST_PEER_SILENT;
	begin_ns = ob_now_ns();
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	assert_in_range(ob_now_ns() - begin_ns, 50 * OB_NS_PER_MS, 4 * OB_NS_PER_S);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "within 50 ms"));
	/* It gets no successor: nobody knows what it still does. */
	assert_int_equal(b->peer.connections, 1);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
}

/* Nobody asks it anything, and it says nothing. */
static void test_server_that_hangs_is_noticed_by_itself(void **state)
{
	struct bench *b = *state;
	unsigned before;
	uint64_t begin_ns;

	run_machine(b, "", SPLIT);
	pthread_mutex_lock(&b->vm->lock);
	b->vm->uri.answer_ns = b->vm->link.answer_ns = 200 * OB_NS_PER_MS;
	pthread_mutex_unlock(&b->vm->lock);
	vu_watch_wake(b->vm);
	before = vhost_peer_count(&b->peer, VHOST_USER_GET_FEATURES);
	vhost_peer_await(&b->peer, VHOST_USER_GET_FEATURES, before + 2);
	assert_false(b->m->dead);
	b->peer.lie_request = VHOST_USER_GET_FEATURES;
	b->peer.lie = VHOST_PEER_SILENT;
	begin_ns = ob_now_ns();
	bench_await_dead(b);
	assert_in_range(ob_now_ns() - begin_ns, 200 * OB_NS_PER_MS, 4 * OB_NS_PER_S);
	assert_non_null(strstr(b->log, "the back-end hangs: it does not answer within 200 ms"));
	assert_int_equal(b->peer.connections, 1);
}

static void test_question_whether_it_is_there_disturbs_no_other(void **state)
{
	struct bench *b = *state;
	uint8_t config[64];

	run_machine(b, "", SPLIT);
	for (unsigned i = 0; i < 100; i++) {
		size_t len = sizeof(config);

		pthread_mutex_lock(&b->vm->lock);
		if (!b->vm->link.asked)
			assert_int_equal(vu_link_ping(&b->vm->link), 0);
		pthread_mutex_unlock(&b->vm->lock);
		assert_int_equal(b->ops->config_read(b->m, 0, config, &len), 0);
		assert_int_equal(len, 60);
		assert_int_equal(config[0], 1);
	}
	assert_true(vhost_peer_count(&b->peer, VHOST_USER_GET_FEATURES) > 100);
	assert_false(b->vm->link.asked);
	assert_false(b->m->dead);
}

static void test_server_that_comes_and_goes_is_the_end_in_time(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns;
	unsigned count;

	run_machine(b, "?reconnect=200ms", SPLIT);
	vhost_peer_stop(&b->peer);
	b->peer.lie_request = VHOST_USER_ADD_MEM_REG;
	b->peer.lie = VHOST_PEER_CLOSE;
	begin_ns = ob_now_ns();
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_in_range(ob_now_ns() - begin_ns, 100 * OB_NS_PER_MS, 4 * OB_NS_PER_S);
	/* Not as fast as it can, either. */
	count = vhost_peer_count(&b->peer, VHOST_USER_ADD_MEM_REG);
	assert_in_range(count, 2, 20); /* one is of the first connection */
}

/* As though it had come @stayed_ns ago, and had the last one of use been away for all the time that there is. */
static void pretend(struct bench *b, uint64_t stayed_ns)
{
	pthread_mutex_lock(&b->vm->lock);
	b->vm->came_ns = ob_now_ns() - stayed_ns;
	b->vm->since_ns -= b->vm->uri.reconnect_ns;
	b->log[0] = '\0';
	pthread_mutex_unlock(&b->vm->lock);
}

static void test_servers_that_serve_nothing_are_the_end(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 8192;
	run_machine(b, "", SPLIT);
	ob_le16_store(&bench_used(b, 0)->idx, 7);
	begin_ns = ob_now_ns();
	for (unsigned i = 1; i <= 6; i++) {
		vhost_peer_stop(&b->peer);
		vhost_peer_start(&b->peer);
		bench_await_restored(b, i);
	}
	/* Ever more slowly: 10, 20, 40, 80, 160 ms. */
	assert_true(ob_now_ns() - begin_ns >= 310 * OB_NS_PER_MS);
	assert_false(b->m->dead);
	pretend(b, 0);
	vhost_peer_stop(&b->peer);
	vhost_peer_start(&b->peer);
	bench_await_dead(b);
	assert_non_null(strstr(b->log, "came back 6 times within 10000 ms, and was of no use"));
	assert_int_equal(b->peer.connections, 7);
}

static void check_servers_of_use(struct bench *b, bool packed)
{
	memset(b->ring, 0, sizeof(b->ring));
	run_machine(b, "", packed ? PACKED : SPLIT);
	for (unsigned i = 1; i <= 5; i++) {
		struct virtq_packed_desc *ring = b->ring[0].base;

		vhost_peer_stop(&b->peer);
		vhost_peer_start(&b->peer);
		bench_await_restored(b, i);
		if (packed) {
			/* It knew nothing of what was in flight: the driver begins anew. Then one request is answered. */
			assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
			ob_le16_store(&ring[0].flags, 0);
			assert_int_equal(bench_run(b, PACKED), 0);
			ob_le16_store(&ring[0].flags, VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED);
		} else {
			ob_le16_store(&bench_used(b, 1)->idx, (uint16_t)i);
		}
		/* Also where the queue was taken from it since. */
		if (i == 2) {
			b->peer.stop_base[1] = packed ? 0 : i;
			assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
			assert_int_equal(bench_run(b, packed ? PACKED : SPLIT), 0);
		}
		pretend(b, 0);
	}
	assert_false(b->m->dead);
	bench_close(b);
	vhost_peer_stop(&b->peer);
}

static void test_servers_that_answer_something_may_come_and_go(void **state)
{
	struct bench *b = *state;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	check_servers_of_use(b, true);
	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 8192;
	check_servers_of_use(b, false);
}

static void test_server_that_stays_is_back(void **state)
{
	struct bench *b = *state;

	run_machine(b, "", SPLIT);
	for (unsigned i = 1; i <= 3; i++) {
		vhost_peer_stop(&b->peer);
		vhost_peer_start(&b->peer);
		bench_await_restored(b, i);
		pretend(b, OB_NS_PER_S);
	}
	assert_false(b->m->dead);
}

static void test_close_while_it_is_away_does_not_wait(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns;

	run_machine(b, "?reconnect=1000", SPLIT);
	vhost_peer_stop(&b->peer);
	(void)poll(NULL, 0, 20);
	begin_ns = ob_now_ns();
	bench_close(b);
	assert_true(ob_now_ns() - begin_ns < OB_NS_PER_S);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_restart_with_a_table_goes_on_where_it_was),
		TEST(test_restart_of_a_packed_ring_goes_on_where_the_table_says),
		TEST(test_restart_with_a_table_of_nonsense_is_the_end),
		TEST(test_restart_without_a_table_asks_for_a_reset),
		TEST(test_reset_while_it_is_away_needs_no_other),
		TEST(test_server_that_goes_while_it_is_waited_for_has_nothing_in_flight),
		TEST(test_restart_of_an_idle_machine_is_nothing),
		TEST(test_error_of_a_ring_asks_for_a_reset),
		TEST(test_nobody_comes_back_is_the_end_in_time),
		TEST(test_reconnection_forbidden_is_the_end_at_once),
		TEST(test_another_device_that_comes_back_is_the_end),
		TEST(test_server_that_hangs_is_the_end_in_time),
		TEST(test_server_that_comes_and_goes_is_the_end_in_time),
		TEST(test_servers_that_serve_nothing_are_the_end),
		TEST(test_servers_that_answer_something_may_come_and_go),
		TEST(test_server_that_stays_is_back),
		TEST(test_server_that_hangs_is_noticed_by_itself),
		TEST(test_question_whether_it_is_there_disturbs_no_other),
		TEST(test_close_while_it_is_away_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
