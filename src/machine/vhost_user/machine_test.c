/* SPDX-License-Identifier: BSD-2-Clause */
/* What a back-end is told, in which order and again, and what of it the driver sees. */
#include "tests/vhost_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPLIT  BIT64(VIRTIO_F_VERSION_1)
#define PACKED (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED))

/* ---- features ---- */

static void test_features_of_the_protocol_are_not_the_drivers(void **state)
{
	struct bench *b = *state;
	uint64_t features;

	/* NOTIFY_ON_EMPTY, LOG_ALL, PROTOCOL_FEATURES, ACCESS_PLATFORM, and one from beyond the reserved bits. */
	b->peer.features |= BIT64(24) | BIT64(26) | BIT64(33) | BIT64(50);
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->ops->offered(b->m, 0, &features), 0);
	assert_int_equal(features, BIT64(32) | BIT64(29) | BIT64(28) | BIT64(2) | BIT64(6) | BIT64(9) | BIT64(12) |
					   BIT64(50) | BIT64(VIRTIO_F_RING_RESET));
	assert_int_equal(b->m->ops->buses(b->m)[0].u.virtio.devices[0].id, VIRTIO_ID_BLOCK);
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT | BIT64(9) | BIT64(VIRTIO_F_RING_RESET)), 0);
	assert_int_equal(b->peer.features_set, SPLIT | BIT64(9) | BIT64(30));
	assert_int_equal(b->peer.protocol_set, b->peer.protocol);
	assert_false(b->peer.malformed);
}

static void test_packed_rings_are_offered_unless_the_uri_says_no(void **state)
{
	struct bench *b = *state;
	uint64_t features;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->ops->offered(b->m, 0, &features), 0);
	assert_true((features & BIT64(VIRTIO_F_RING_PACKED)) != 0);
	bench_close(b);
	assert_int_equal(bench_open(b, "?without=34"), 0);
	assert_int_equal(b->ops->offered(b->m, 0, &features), 0);
	assert_true((features & BIT64(VIRTIO_F_RING_PACKED)) == 0);
}

static void test_features_refused_are_an_error_of_the_negotiation(void **state)
{
	struct bench *b = *state;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_STATUS;
	b->peer.status = ~(uint64_t)VIRTIO_STATUS_FEATURES_OK;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT), -EOPNOTSUPP);
	b->peer.status = UINT64_MAX;
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT), 0);
	b->peer.lie_request = VHOST_USER_SET_FEATURES;
	b->peer.lie = VHOST_PEER_REFUSE;
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT), -EOPNOTSUPP);
	assert_false(b->m->dead);
}

static void test_network_device_keeps_what_needs_a_control_queue_out(void **state)
{
	struct bench *b = *state;
	uint64_t features;
	uint8_t config[64];
	size_t len = sizeof(config);

	b->peer.protocol &= ~VHOST_USER_PROTOCOL_F_CONFIG;
	b->peer.features = BIT64(32) | BIT64(30) | BIT64(0) | BIT64(5) | BIT64(15) | BIT64(16) | BIT64(17) | BIT64(22);
	b->peer.queue_count = 3;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?mac=52:54:00:00:00:09"), 0);
	assert_int_equal(b->m->ops->buses(b->m)[0].u.virtio.devices[0].id, VIRTIO_ID_NET);
	assert_int_equal(b->ops->offered(b->m, 0, &features), 0);
	assert_int_equal(features,
			 BIT64(32) | BIT64(0) | BIT64(5) | BIT64(15) | BIT64(22) | BIT64(VIRTIO_F_RING_RESET));
	assert_int_equal(b->vm->queue_count, 6); /* pairs */
	assert_int_equal(b->ops->config_read(b->m, 0, config, &len), 0);
	assert_int_equal(len, 10);
	assert_int_equal(config[5], 9);
	assert_int_equal(config[6], 1); /* the link is up */
	assert_int_equal(config[8], 3);
	/* The address is ours to know. */
	assert_int_equal(b->ops->accept(b->m, 0, features), 0);
	assert_int_equal(b->peer.features_set, BIT64(32) | BIT64(30) | BIT64(0) | BIT64(15) | BIT64(22) | BIT64(5));
	bench_close(b);
	b->peer.queue_count = 1;
	assert_int_equal(bench_open(b, "?type=net"), 0);
	assert_int_equal(b->ops->offered(b->m, 0, &features), 0);
	assert_int_equal(features, BIT64(32) | BIT64(0) | BIT64(15) | BIT64(VIRTIO_F_RING_RESET));
}

static void test_type_that_it_cannot_be_is_refused(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?type=net"), -EPROTO);
	assert_non_null(strstr(b->log, "it is no network interface"));
	/* Offloads by a control queue, and a disk that tells of its wear. */
	b->peer.features |= BIT64(17);
	assert_int_equal(bench_open(b, "?type=net"), 0);
	bench_close(b);
	b->peer.features = BIT64(32) | BIT64(30) | BIT64(2) | BIT64(15);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->m->ops->buses(b->m)[0].u.virtio.devices[0].id, VIRTIO_ID_BLOCK);
	bench_close(b);
	b->peer.features |= BIT64(22);
	assert_int_equal(bench_open(b, "?type=blk"), -EPROTO);
	assert_non_null(strstr(b->log, "it is no disk"));
}

static void test_device_without_queues_is_started(void **state)
{
	struct bench *b = *state;

	b->peer.protocol |= VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	b->peer.inflight_len = 4096;
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->ops->accept(b->m, 0, SPLIT), 0);
	assert_int_equal(b->ops->start(b->m, 0), 0);
	/* A table of requests for no queue is nothing that one may ask for. */
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_INFLIGHT_FD), 0);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_INFLIGHT_FD), 1);
}

/* ---- configuration ---- */

static void test_configuration_is_as_long_as_the_back_end_lets_read(void **state)
{
	static const struct {
		uint32_t has, expect;
	} cases[] = {{96, 60}, {60, 60}, {59, 56}, {36, 36}, {35, 24}, {8, 8}, {7, 0}};
	struct bench *b = *state;
	uint8_t config[256];

	vhost_peer_start(&b->peer);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = sizeof(config);

		b->peer.config_len = cases[i].has;
		assert_int_equal(bench_open(b, ""), 0);
		assert_int_equal(b->ops->config_read(b->m, 0, config, &len), 0);
		assert_int_equal(len, cases[i].expect);
		if (len > 36)
			assert_int_equal(config[34] | config[35] << 8, VHOST_PEER_QUEUES); /* no more than there are */
		for (size_t k = 0; k < len; k++)
			assert_true(config[k] == k + 1 || k == 34 || k == 35);
		bench_close(b);
	}
}

static void test_network_configuration_has_the_uris_address_and_pairs(void **state)
{
	struct bench *b = *state;
	uint8_t config[64];
	size_t len = sizeof(config);

	b->peer.config_len = 10;
	b->peer.features &= ~BIT64(2);
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?type=net&mac=52:54:00:00:00:09&queues=2"), 0);
	assert_int_equal(b->ops->config_read(b->m, 0, config, &len), 0);
	assert_int_equal(len, 10);
	assert_memory_equal(config, "\x52\x54\x00\x00\x00\x09", 6);
	assert_int_equal(config[8] | config[9] << 8, 2);
}

static void test_configuration_written_arrives(void **state)
{
	struct bench *b = *state;
	uint8_t byte = 1;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->ops->config_write(b->m, 0, 32, &byte, 1), 0);
	assert_int_equal(b->peer.config_set.offset, 32);
	assert_int_equal(b->peer.config_set.len_bytes, 1);
	assert_int_equal(b->peer.config_set.flags, 0);
	assert_int_equal(b->peer.config_set.data[0], 1);
	assert_int_equal(b->ops->config_write(b->m, 0, 60, &byte, 1), -EINVAL);
}

static void test_configuration_change_fires_and_is_acknowledged(void **state)
{
	struct bench *b = *state;
	struct vhost_receiver receiver;
	struct vhost_message m;
	int fd;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	fd = b->ops->irq_fd(b->m, 0, -1);
	assert_false(io_event_take(fd));
	vhost_message_init(&m, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, true);
	assert_int_equal(vhost_send(b->peer.backend_fd, &m, ob_deadline(BENCH_WAIT_NS)), 0);
	vhost_receiver_init(&receiver);
	assert_int_equal(vhost_receive(b->peer.backend_fd, &receiver, ob_deadline(BENCH_WAIT_NS), NULL, 0), 0);
	assert_int_equal(vhost_check_reply(VHOST_BACKEND, &m, &receiver.message, NULL, 0), 0);
	assert_int_equal(receiver.message.payload.u64, 0);
	assert_true(io_event_take(fd));
	/* What was not agreed on is not done, and said so. */
	vhost_message_init_state(&m, VHOST_USER_BACKEND_VRING_CALL, true, 0, 0);
	assert_int_equal(vhost_send(b->peer.backend_fd, &m, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(vhost_receive(b->peer.backend_fd, &receiver, ob_deadline(BENCH_WAIT_NS), NULL, 0), 0);
	assert_int_not_equal(receiver.message.payload.u64, 0);
	assert_false(io_event_take(fd));
	assert_false(b->m->dead);
	vhost_receiver_fini(&receiver);
}

/* ---- queues ---- */

static void check_queues(struct bench *b, uint32_t base)
{
	for (unsigned i = 0; i < BENCH_QUEUES; i++) {
		const struct vhost_peer_queue *q = &b->peer.queue[i];

		assert_int_equal(q->size, 16);
		assert_int_equal(q->base, base);
		assert_int_equal(q->address.index, i);
		assert_int_equal(q->address.flags, 0);
		assert_int_equal(q->address.descriptors, b->ring[i].iova);
		assert_int_equal(q->address.available, b->ring[i].iova + 1024);
		assert_int_equal(q->address.used, b->ring[i].iova + 2048);
		assert_true(q->has_kick && q->has_call && q->has_err);
		/* Named before any ring was described. */
		assert_int_equal(q->rings_before + BENCH_QUEUES, b->peer.count[VHOST_USER_SET_VRING_NUM]);
		assert_int_equal(q->enabled, (b->peer.features & BIT64(30)) != 0);
		/* One memory at two places. */
		*(uint32_t *)b->ring[i].base = 0xb0a7 + i;
		assert_int_equal(*(uint32_t *)vhost_peer_at(&b->peer, b->ring[i].iova, 4096), 0xb0a7 + i);
		*(uint32_t *)b->ring[i].base = 0;
	}
	assert_false(b->peer.malformed);
}

static void test_queues_are_told_whole(void **state)
{
	static const struct {
		uint64_t without, with, features;
	} cases[] = {
		{0, 0, SPLIT},
		{VHOST_USER_PROTOCOL_F_REPLY_ACK, 0, SPLIT},
		{VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS, 0, SPLIT},
		{UINT64_MAX, 0, SPLIT},
		{0, VHOST_USER_PROTOCOL_F_STATUS | VHOST_USER_PROTOCOL_F_RESET_DEVICE, SPLIT},
		{0, 0, PACKED},
	};
	struct bench *b = *state;
	uint64_t protocol = b->peer.protocol;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	vhost_peer_start(&b->peer);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool packed = cases[i].features == PACKED;

		b->peer.protocol = (protocol & ~cases[i].without) | cases[i].with;
		if (cases[i].without == UINT64_MAX)
			b->peer.protocol = VHOST_USER_PROTOCOL_F_MQ;
		b->peer.flags_seen = 0;
		memset(b->ring, 0, sizeof(b->ring));
		assert_int_equal(bench_open(b, "?type=blk"), 0);
		assert_int_equal(bench_run(b, cases[i].features), 0);
		check_queues(b, packed ? 0x80008000 : 0);
		assert_int_equal((b->peer.flags_seen & VHOST_USER_FLAGS_NEED_REPLY) != 0,
				 (b->peer.protocol & VHOST_USER_PROTOCOL_F_REPLY_ACK) != 0);
		if (cases[i].with != 0)
			assert_int_equal(b->peer.status_set, 15);
		assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
		assert_int_equal(b->peer.queue[1].enabled, 0);
		assert_int_equal(b->peer.status_set, 0);
		assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_RESET_DEVICE), i >= 4);
		/* And again from the beginning. */
		assert_int_equal(bench_run(b, cases[i].features), 0);
		check_queues(b, packed ? 0x80008000 : 0);
		bench_close(b);
	}
}

static void test_queues_without_protocol_features_are_told_whole(void **state)
{
	struct bench *b = *state;

	b->peer.features &= ~BIT64(30);
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?type=blk"), 0);
	assert_int_equal(b->vm->queue_count, 1);
	bench_close(b);
	b->peer.features &= ~BIT64(2);
	assert_int_equal(bench_open(b, "?type=net"), 0);
	assert_int_equal(b->vm->queue_count, 2);
	assert_int_equal(bench_run(b, SPLIT), 0);
	check_queues(b, 0);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_PROTOCOL_FEATURES), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_SET_VRING_ENABLE), 0);
	assert_int_equal(b->peer.features_set, SPLIT);
}

static void test_doorbell_and_call_are_eventfds(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	/* One that starts a ring. */
	assert_true(io_event_take(b->peer.queue[1].kick_fd));
	assert_false(io_event_take(b->peer.queue[1].kick_fd));
	ob_mmio_write16(&b->doorbell[1], 0, 1);
	assert_true(io_event_take(b->peer.queue[1].kick_fd));
	assert_true(io_event_take(b->peer.queue[0].kick_fd));
	io_event_fire(b->peer.queue[0].call_fd);
	assert_true(io_event_take(b->ops->irq_fd(b->m, 0, 0)));
	assert_false(io_event_take(b->ops->irq_fd(b->m, 0, 1)));
	assert_int_equal(b->ops->irq_fd(b->m, 0, VHOST_PEER_QUEUES), -ENOENT);
}

static void test_one_queue_stops_and_starts_alone(void **state)
{
	struct bench *b = *state;
	struct machine_virtio_queue config = {.size = 8};
	uint64_t offset;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(b->ops->queue_stop(b->m, 0, 1, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_VRING_BASE), 1);
	assert_int_equal(b->peer.queue[0].enabled, 1);
	assert_int_equal(b->peer.queue[1].enabled, 0);
	config.desc = b->ring[1].iova;
	config.driver = config.desc + 1024;
	config.device = config.desc + 2048;
	assert_int_equal(b->ops->queue_start(b->m, 0, 1, &config, &b->doorbell[1], &offset), 0);
	assert_int_equal(b->peer.queue[1].size, 8);
	assert_int_equal(b->peer.queue[1].enabled, 1);
	assert_int_equal(b->ops->queue_start(b->m, 0, VHOST_PEER_QUEUES, &config, &b->doorbell[1], &offset), -EINVAL);
	config.size = 2048;
	assert_int_equal(b->ops->queue_start(b->m, 0, 1, &config, &b->doorbell[1], &offset), -EINVAL);
}

/* ---- coming to rest ---- */

static void test_reset_waits_until_nothing_is_in_flight(void **state)
{
	struct bench *b = *state;
	uint64_t begin_ns;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	/* It took five requests, and answered three. */
	b->peer.stop_base[1] = 5;
	ob_le16_store(&bench_used(b, 1)->idx, 3);
	begin_ns = ob_now_ns();
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(30 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_true(ob_now_ns() - begin_ns >= 30 * OB_NS_PER_MS);
	assert_int_equal(bench_run(b, SPLIT), 0);
	ob_le16_store(&bench_used(b, 1)->idx, 5);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
}

/* Drivers try more than once; what the back-end has is its own until it has answered. */
static void test_reset_tried_again_waits_again(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	b->peer.stop_base[1] = 5;
	ob_le16_store(&bench_used(b, 1)->idx, 3);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(b->ops->queue_stop(b->m, 0, 1, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_GET_VRING_BASE), BENCH_QUEUES);
	ob_le16_store(&bench_used(b, 1)->idx, 5);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
}

static void test_memory_of_a_queue_that_is_not_at_rest_is_nobody_elses(void **state)
{
	struct machine_dma_memory memory;
	struct bench *b = *state;
	uint64_t before;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), 0);
	before = memory.iova;
	b->peer.stop_base[1] = 5;
	ob_le16_store(&bench_used(b, 1)->idx, 3);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(5 * OB_NS_PER_MS)), -ETIMEDOUT);
	b->m->ops->dma_free(b->m, &memory);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), 0);
	assert_int_not_equal(memory.iova, before);
	/* And again when it is. */
	before = memory.iova;
	ob_le16_store(&bench_used(b, 1)->idx, 5);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
	b->m->ops->dma_free(b->m, &memory);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), 0);
	assert_int_equal(memory.iova, before);
	b->m->ops->dma_free(b->m, &memory);
}

/* A back-end that hangs, or that closed the connection and lives on, has the memory for as long as it likes. */
static void test_memory_outlives_the_machine_and_is_nobody_elses(void **state)
{
	struct machine_dma_memory memory;
	struct bench *b = *state;
	uint8_t *late;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), 0);
	memset(memory.base, 0x11, memory.len_bytes);
	late = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, b->vm->memory.region[0].fd,
		    (off_t)(memory.iova - b->vm->memory.region[0].iova));
	assert_true(late != MAP_FAILED);
	b->peer.lie_request = VHOST_USER_GET_VRING_BASE;
	b->peer.lie = VHOST_PEER_SILENT;
	bench_be_impatient(b);
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	bench_await_dead(b);
	/* It is freed, and given to nobody. */
	b->m->ops->dma_free(b->m, &memory);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory), -ENODEV);
	bench_close(b);
	b->peer.lie = VHOST_PEER_HONEST;
	assert_int_equal(late[0], 0x11);
	memset(b->ring, 0, sizeof(b->ring));
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 8 * OB_MIB, 4096, &memory), 0);
	memset(late, 0x22, 4096);
	for (size_t i = 0; i < memory.len_bytes; i += 512)
		assert_int_equal(((uint8_t *)memory.base)[i], 0);
	munmap(late, 4096);
}

static void test_queue_that_is_not_given_up_is_the_end(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, SPLIT), 0);
	b->peer.lie_request = VHOST_USER_SET_VRING_ENABLE;
	b->peer.lie = VHOST_PEER_REFUSE;
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), -ENODEV);
	assert_true(b->m->dead);
}

static void test_reset_of_a_packed_ring_waits_for_what_the_base_says(void **state)
{
	struct bench *b = *state;

	b->peer.features |= BIT64(VIRTIO_F_RING_PACKED);
	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	assert_int_equal(bench_run(b, PACKED), 0);
	b->peer.stop_base[0] = 0x80058007;
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(10 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(bench_run(b, PACKED), 0);
	b->peer.stop_base[0] = 0x00070007;
	assert_int_equal(b->ops->reset(b->m, 0, ob_deadline(BENCH_WAIT_NS)), 0);
}

/* ---- memory ---- */

static void check_growth(struct bench *b, uint64_t protocol, unsigned region_max)
{
	struct machine_dma_memory memory[VHOST_PEER_REGIONS + 1];
	unsigned n = 0, left;

	b->peer.protocol = protocol;
	assert_int_equal(bench_open(b, "?memory=2M&type=blk"), 0);
	assert_int_equal(b->peer.region_count, 1);
	while (n < VHOST_PEER_REGIONS + 1 && b->m->ops->dma_alloc(b->m, 2 * OB_MIB, 4096, &memory[n]) == 0) {
		const uint8_t *bytes = memory[n].base;

		assert_true(bytes[0] == 0 && bytes[2 * OB_MIB - 1] == 0);
		memset(memory[n].base, (int)n + 1, memory[n].len_bytes);
		assert_int_equal(*(uint8_t *)vhost_peer_at(&b->peer, memory[n].iova, memory[n].len_bytes), n + 1);
		n++;
		assert_int_equal(b->peer.region_count, n);
	}
	assert_int_equal(n, region_max);
	/* Regions do not touch: nothing that begins in one ends in another. */
	for (unsigned i = 0; i < n; i++) {
		assert_null(vhost_peer_at(&b->peer, memory[i].iova, memory[i].len_bytes + 1));
		assert_null(vhost_peer_at(&b->peer, memory[i].iova + memory[i].len_bytes, 1));
	}
	for (unsigned i = n; i-- > 0;)
		b->m->ops->dma_free(b->m, &memory[i]);
	/* The first stays; and all do, where it would be told everything anew. Nobody waits for the peer to have heard. */
	left = (protocol & VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) != 0 ? 1 : n;
	for (unsigned i = 0; i < 2000 && __atomic_load_n(&b->peer.region_count, __ATOMIC_ACQUIRE) != left; i++)
		usleep(1000);
	assert_int_equal(b->peer.region_count, left);
	/* Fresh memory is zero, also where something was. */
	assert_int_equal(b->m->ops->dma_alloc(b->m, 2 * OB_MIB, 4096, &memory[0]), 0);
	assert_int_equal(*(uint8_t *)memory[0].base, 0);
	b->m->ops->dma_free(b->m, &memory[0]);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory[0]), 0);
	memset(memory[0].base, 0xff, 4096);
	b->m->ops->dma_free(b->m, &memory[0]);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4096, &memory[0]), 0);
	assert_int_equal(*(uint8_t *)memory[0].base, 0);
	assert_false(b->peer.malformed);
	bench_close(b);
}

static void test_memory_grows_and_shrinks_while_it_works(void **state)
{
	struct bench *b = *state;
	uint64_t protocol = b->peer.protocol;

	vhost_peer_start(&b->peer);
	b->peer.slot_count = 5;
	check_growth(b, protocol, 5);
	check_growth(b, protocol & ~VHOST_USER_PROTOCOL_F_REPLY_ACK, 5);
	check_growth(b, protocol & ~VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS, VHOST_USER_REGIONS_MAX);
	assert_int_equal(vhost_peer_count(&b->peer, VHOST_USER_SET_MEM_TABLE), 8);
}

static void test_memory_cannot_be_cut_off_by_the_back_end(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, ""), 0);
	/* The file that it was given. */
	assert_int_equal(ftruncate(b->vm->memory.region[0].fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(b->vm->memory.region[0].fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
}

static void test_memory_refused_is_not_there(void **state)
{
	struct bench *b = *state;
	struct machine_dma_memory memory;

	vhost_peer_start(&b->peer);
	assert_int_equal(bench_open(b, "?memory=2M"), 0);
	b->peer.lie_request = VHOST_USER_ADD_MEM_REG;
	b->peer.lie = VHOST_PEER_REFUSE;
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4 * OB_MIB, 4096, &memory), -ENOMEM);
	assert_false(b->m->dead);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 2 * OB_MIB, 4096, &memory), 0);
	b->m->ops->dma_free(b->m, &memory);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 0, 4096, &memory), -EINVAL);
	assert_int_equal(b->m->ops->dma_alloc(b->m, SIZE_MAX, 4096, &memory), -ENOMEM);
	assert_int_equal(b->m->ops->dma_alloc(b->m, 4096, 4 * OB_MIB, &memory), -ENOMEM);
}

static void test_huge_pages_that_are_not_there_are_said_so(void **state)
{
	struct bench *b = *state;

	vhost_peer_start(&b->peer);
	/* More than any machine that this runs on has to spare. */
	assert_true(bench_open(b, "?hugepages=on&memory=64G") < 0);
	assert_non_null(strstr(b->log, "huge pages"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_features_of_the_protocol_are_not_the_drivers),
		TEST(test_packed_rings_are_offered_unless_the_uri_says_no),
		TEST(test_features_refused_are_an_error_of_the_negotiation),
		TEST(test_network_device_keeps_what_needs_a_control_queue_out),
		TEST(test_type_that_it_cannot_be_is_refused),
		TEST(test_device_without_queues_is_started),
		TEST(test_configuration_is_as_long_as_the_back_end_lets_read),
		TEST(test_network_configuration_has_the_uris_address_and_pairs),
		TEST(test_configuration_written_arrives),
		TEST(test_configuration_change_fires_and_is_acknowledged),
		TEST(test_queues_are_told_whole),
		TEST(test_queues_without_protocol_features_are_told_whole),
		TEST(test_doorbell_and_call_are_eventfds),
		TEST(test_one_queue_stops_and_starts_alone),
		TEST(test_reset_waits_until_nothing_is_in_flight),
		TEST(test_reset_tried_again_waits_again),
		TEST(test_memory_of_a_queue_that_is_not_at_rest_is_nobody_elses),
		TEST(test_memory_outlives_the_machine_and_is_nobody_elses),
		TEST(test_queue_that_is_not_given_up_is_the_end),
		TEST(test_reset_of_a_packed_ring_waits_for_what_the_base_says),
		TEST(test_memory_grows_and_shrinks_while_it_works),
		TEST(test_memory_cannot_be_cut_off_by_the_back_end),
		TEST(test_memory_refused_is_not_there),
		TEST(test_huge_pages_that_are_not_there_are_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
