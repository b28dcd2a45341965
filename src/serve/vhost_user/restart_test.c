/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server dies with requests in flight, and another one goes on for it. Dying is played: what the client's memory holds at
 * that moment is put back when the first server has ended in good order.
 */
#include "serve/vhost_user/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "io/io.h"
#include "tests/ram_world.h"
#include "tests/vhost_client.h"

#define ALL      (UINT64_MAX & ~BIT64(VIRTIO_F_RING_PACKED))
#define DATA     VHOST_CLIENT_DATA
#define SIZE     16u
#define REQUESTS 5u

static struct ram_world world;
static struct vu_server *server;
static struct vhost_client client;
static struct vhost_user_inflight inflight; /* what the server said of its table */
static int table_fd;
static uint8_t *table;

/* A moment of the client's. */
static struct {
	uint8_t memory[DATA], table[65536], shadow[65536];
	struct virtqueue_driver driver;
	size_t shadow_bytes;
} moment;

static void start_server(void)
{
	struct vu_server_config config = {.block = world.block, .listen_fd = -1};

	assert_int_equal(vu_server_start(&config, &server), 0);
}

static void get_table(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_GET_INFLIGHT_FD, false);
	m.header.len_bytes = sizeof(m.payload.inflight);
	m.payload.inflight = (struct vhost_user_inflight){.queue_count = 2, .queue_size = SIZE};
	assert_int_equal(vhost_client_ask(&client, &m), 0);
	assert_int_equal(client.reply.fd_count, 1);
	inflight = client.reply.payload.inflight;
	assert_in_range(inflight.len_bytes, 2 * SIZE * 16, sizeof(moment.table));
	table_fd = vhost_message_take_fd(&client.reply, 0);
	table = mmap(NULL, inflight.len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, table_fd, 0);
	assert_true(table != MAP_FAILED);
}

static void set_table(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_INFLIGHT_FD, false);
	m.header.len_bytes = sizeof(m.payload.inflight);
	m.payload.inflight = inflight;
	vhost_message_add_fd(&m, table_fd);
	assert_int_equal(vhost_client_do(&client, &m), 0);
}

static void keep_moment(void)
{
	moment.shadow_bytes = virtqueue_driver_shadow_bytes(client.features, SIZE);
	assert_true(moment.shadow_bytes <= sizeof(moment.shadow));
	memcpy(moment.memory, client.memory, DATA);
	memcpy(moment.table, table, inflight.len_bytes);
	memcpy(moment.shadow, client.queue[0].shadow, moment.shadow_bytes);
	moment.driver = client.queue[0].driver;
}

static void return_to_moment(void)
{
	memcpy(client.memory, moment.memory, DATA);
	memcpy(table, moment.table, inflight.len_bytes);
	memcpy(client.queue[0].shadow, moment.shadow, moment.shadow_bytes);
	client.queue[0].driver = moment.driver;
}

/* The disk in memory goes on when it is asked for something. */
static void move_disk(void)
{
	static struct vhost_client other;

	vhost_client_open(&other, world.ob, server, -1);
	vhost_client_negotiate(&other, ALL);
	vhost_client_share(&other);
	vhost_client_queue_prepare(&other, 0, SIZE);
	vhost_client_queue_start(&other, 0, 0);
	assert_int_equal(vhost_client_io(&other, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	vhost_client_close(&other);
}

static void restart(uint64_t features)
{
	uint32_t base = (features & BIT64(VIRTIO_F_RING_PACKED)) != 0 ? 0x80008000 : 0;
	uint8_t zero[512] = {0};

	ram_world_open(&world, 1, NULL);
	for (unsigned i = 0; i < 100; i++)
		memset(world.ram->media + 512 * i, (int)i + 1, 512);
	start_server();
	vhost_client_open(&client, world.ob, server, -1);
	vhost_client_negotiate(&client, features);
	get_table();
	set_table();
	vhost_client_share(&client);
	vhost_client_queue_prepare(&client, 0, SIZE);
	vhost_client_queue_start(&client, 0, base);
	/* Some that end, so that indexes are no longer those of the beginning; then some that do not. */
	for (unsigned i = 0; i < 21; i++)
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, i, DATA, 512), VIRTIO_BLK_S_OK);
	__atomic_store_n(&world.ram->config.hang, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(client.memory + DATA + 512 * i, 0, 512);
		vhost_client_add(&client, 0, i, VIRTIO_BLK_T_IN, 50 + i, DATA + 512 * i, 512);
	}
	vhost_client_turn(&client, 10);
	keep_moment();
	__atomic_store_n(&world.ram->config.hang, false, __ATOMIC_RELEASE);
	move_disk();
	vu_server_stop(server);
	return_to_moment();
	memset(client.memory + DATA, 0, 512 * REQUESTS);
	start_server();
	vhost_client_reconnect(&client, server);
	vhost_client_negotiate(&client, features);
	set_table();
	vhost_client_share(&client);
	vhost_client_queue_start(&client, 0, base);
	for (unsigned i = 0; i < REQUESTS; i++) {
		int token = vhost_client_take(&client, 0);

		assert_in_range(token, 0, REQUESTS - 1);
		assert_int_equal(*vhost_client_status(&client, 0, (unsigned)token), VIRTIO_BLK_S_OK);
		assert_int_equal(client.memory[DATA + 512 * (unsigned)token], 51 + token);
	}
	vhost_client_turn(&client, 100);
	/* A second end of one of them would break the ring. */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, i, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(client.memory[DATA], 40);
	assert_memory_not_equal(client.memory + DATA, zero, 512);
	munmap(table, inflight.len_bytes);
	close(table_fd);
	vhost_client_close(&client);
	vu_server_stop(server);
	ram_world_close(&world);
	assert_string_equal(world.log, "");
}

static void test_requests_in_flight_are_begun_again(void **state)
{
	restart(ALL);
	restart(BIT64(VIRTIO_F_VERSION_1));
}

static void test_requests_in_flight_of_a_packed_ring_are_begun_again(void **state)
{
	restart(ALL | BIT64(VIRTIO_F_RING_PACKED));
	restart(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED));
}

static void test_table_that_fits_nothing_is_refused(void **state)
{
	static const struct {
		uint64_t len_bytes, offset;
		uint16_t queue_count, queue_size;
		const char *why;
	} cases[] = {
		{0, 0, 2, SIZE, "are no table for 2 queues of 16"},
		{4096, 4, 2, SIZE, "are no table for 2 queues of 16"},
		{1ull << 40, 1ull << 40, 2, SIZE, "are not inside its file"},
		{4096, 0, 17, SIZE, "a table for 17 queues of 16"},
		{4096, 0, 0, SIZE, "a table for 0 queues of 16"},
		{1ull << 30, 0, 2, 4096, "a table for 2 queues of 4096"},
	};

	ram_world_open(&world, 1, NULL);
	start_server();
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhost_message m;

		world.log[0] = '\0';
		vhost_client_open(&client, world.ob, server, -1);
		vhost_client_negotiate(&client, ALL);
		get_table();
		munmap(table, inflight.len_bytes);
		vhost_message_init(&m, VHOST_USER_SET_INFLIGHT_FD, false);
		m.header.len_bytes = sizeof(m.payload.inflight);
		m.payload.inflight = (struct vhost_user_inflight){.len_bytes = cases[i].len_bytes,
								  .file_offset = cases[i].offset,
								  .queue_count = cases[i].queue_count,
								  .queue_size = cases[i].queue_size};
		vhost_message_add_fd(&m, table_fd);
		vhost_client_send(&client, &m);
		assert_true(vhost_client_is_dropped(&client));
		if (strstr(world.log, cases[i].why) == NULL)
			fail_msg("case %u: the log is \"%s\"", i, world.log);
		close(table_fd);
		vhost_client_close(&client);
	}
	vu_server_stop(server);
	ram_world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_in_flight_are_begun_again),
		cmocka_unit_test(test_requests_in_flight_of_a_packed_ring_are_begun_again),
		cmocka_unit_test(test_table_that_fits_nothing_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
