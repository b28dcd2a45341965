/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that are a burden: they flood, read nothing, die with requests in flight, or try to keep a CPU. The others must not
 * notice, and what the disk has of somebody's memory stays until it has ended.
 */
#include "serve/vhost_user/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "io/io.h"
#include "tests/ram_world.h"
#include "tests/vhost_client.h"

#define ALL  (UINT64_MAX & ~BIT64(VIRTIO_F_RING_PACKED))
#define DATA VHOST_CLIENT_DATA

static struct ram_world world;
static struct vu_server *server;
static struct vhost_client client, witness;
static enum ob_completion_mode server_mode;

static void open_client(struct vhost_client *c)
{
	vhost_client_open(c, world.ob, server, -1);
	vhost_client_negotiate(c, ALL);
	vhost_client_share(c);
	vhost_client_queue_prepare(c, 0, 16);
	vhost_client_queue_start(c, 0, 0);
}

static void open_server(const struct ram_block_config *disk)
{
	struct vu_server_config config = {.listen_fd = -1, .depth = 4, .mode = server_mode};

	ram_world_open(&world, 1, disk);
	config.block = world.block;
	assert_int_equal(vu_server_start(&config, &server), 0);
}

static void close_server(void)
{
	vu_server_stop(server);
	ram_world_close(&world);
}

static struct vu_server_stats stats(void)
{
	struct vu_server_stats s;

	vu_server_stats(server, &s);
	return s;
}

/* ---- floods ---- */

static void test_client_that_reads_no_replies_is_dropped(void **state)
{
	struct vhost_message m;
	unsigned sent = 0;

	open_server(NULL);
	open_client(&witness);
	open_client(&client);
	vhost_message_init(&m, VHOST_USER_GET_FEATURES, false);
	while (sent < 100000 && vhost_send(client.fd, &m, 0) != -ENODEV) {
		vhost_client_turn(&client, 1);
		sent++;
	}
	assert_in_range(sent, 100, 99999);
	assert_non_null(strstr(world.log, "it does not read what it is answered"));
	assert_int_equal(vhost_client_io(&witness, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	vhost_client_close(&client);
	vhost_client_close(&witness);
	close_server();
}

/* Its requests come as fast as they end, on all its queues; the other one's end all the same, and not late. */
static void test_flood_of_requests_leaves_room_for_others(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	unsigned ended = 0;

	/* In this mode each queue is looked at in each turn, in the order in which they came. */
	server_mode = OB_COMPLETION_POLLED;
	disk.late_polls_max = 3;
	open_server(&disk);
	server_mode = OB_COMPLETION_INTERRUPT;
	open_client(&client);
	for (unsigned i = 1; i < VHOST_CLIENT_QUEUES; i++) {
		vhost_client_queue_prepare(&client, i, 16);
		vhost_client_queue_start(&client, i, 0);
	}
	open_client(&witness);
	for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
		for (unsigned j = 0; j < 4; j++)
			vhost_client_add(&client, i, j, VIRTIO_BLK_T_IN, j, DATA + 512 * j, 512);
	}
	for (unsigned round = 0; round < 100; round++) {
		unsigned turns = 0;

		vhost_client_add(&witness, 0, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
		while (*(volatile uint8_t *)vhost_client_status(&witness, 0, 0) == 0xff) {
			vhost_client_turn(&client, 1);
			assert_in_range(++turns, 1, 100);
			for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
				struct ob_virtio_used used;

				while (virtqueue_driver_take(&client.queue[i].driver, &used, 1) == 1) {
					ended++;
					vhost_client_add(&client, i, used.token, VIRTIO_BLK_T_IN, 0, DATA, 512);
				}
			}
		}
		assert_int_equal(vhost_client_take(&witness, 0), 0);
	}
	assert_true(ended > 100);
	vhost_client_close(&client);
	vhost_client_close(&witness);
	close_server();
}

/* Nor does it keep the CPU awake: it is called when there is room. */
static void test_queue_that_waits_for_room_lets_the_cpu_sleep(void **state)
{
	uint64_t start_ns;

	open_server(NULL);
	open_client(&client);
	__atomic_store_n(&world.ram->config.hang, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 7; i++)
		vhost_client_add(&client, 0, i, VIRTIO_BLK_T_IN, i, DATA + 512 * i, 512);
	vhost_client_turn(&client, 20);
	start_ns = ob_now_ns();
	ob_cpu_turn(client.cpu, 100 * OB_NS_PER_MS);
	assert_true(ob_now_ns() - start_ns >= 90 * OB_NS_PER_MS);
	ram_block_remove(world.ram);
	for (unsigned i = 0; i < 7; i++)
		assert_in_range(vhost_client_take(&client, 0), 0, 6);
	vhost_client_close(&client);
	close_server();
}

/* ---- death ---- */

static void test_memory_of_a_dead_client_stays_until_the_disk_is_done_with_it(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct ob_window *window;

	open_server(&disk);
	open_client(&witness);
	open_client(&client);
	__atomic_store_n(&world.ram->config.hang, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 3; i++)
		vhost_client_add(&client, 0, i, VIRTIO_BLK_T_IN, i, DATA + 512 * i, 512);
	vhost_client_turn(&client, 10);
	vhost_client_close(&client);
	assert_int_equal(stats().client_count, 2);
	vhost_client_turn(&witness, 1000);
	assert_int_equal(stats().client_count, 2);
	__atomic_store_n(&world.ram->config.hang, false, __ATOMIC_RELEASE);
	assert_int_equal(vhost_client_io(&witness, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	vhost_client_turn(&witness, 100);
	assert_int_equal(stats().client_count, 1);
	assert_int_equal(ob_window_create(world.machine, 4096, &window), 0);
	ob_window_put(window);
	vhost_client_close(&witness);
	close_server();
}

static void test_disk_that_goes_ends_requests_with_an_error(void **state)
{
	open_server(NULL);
	open_client(&client);
	ram_block_remove(world.ram);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
	vhost_client_close(&client);
	close_server();
}

/* ---- clients that there is no room for ---- */

static unsigned count_of(const char *words)
{
	unsigned count = 0;

	for (const char *at = world.log; (at = strstr(at, words)) != NULL; at++)
		count++;
	return count;
}

static void turn_for(uint64_t time_ns)
{
	uint64_t end_ns = ob_deadline(time_ns);

	while (ob_now_ns() < end_ns)
		ob_cpu_turn(ob_cpu_get(world.ob, 0), OB_NS_PER_MS);
}

static void test_client_without_a_descriptor_waits_and_is_told_of_once(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vu_server_config config = {0};
	struct rlimit limit, none;
	int peer;

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "ob-burden-%d", (int)getpid());
	config.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(config.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(config.listen_fd, 4), 0);
	ram_world_open(&world, 1, NULL);
	config.block = world.block;
	assert_int_equal(vu_server_start(&config, &server), 0);
	peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){(rlim_t)peer, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof(address)), 0);
	turn_for(350 * OB_NS_PER_MS);
	assert_int_equal(count_of("a client cannot be taken: Too many open files"), 1);
	assert_int_equal(stats().clients, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	turn_for(200 * OB_NS_PER_MS);
	assert_int_equal(stats().clients, 1);
	close(peer);
	close_server();
	close(config.listen_fd);
}

/* ---- a CPU that a client tries to keep ---- */

static void test_call_that_waits_is_interrupted(void **state)
{
	struct vu_server_config config = {.listen_fd = -1, .watchdog = true};
	const uint64_t full = UINT64_MAX - 1;
	uint64_t start_ns, signals;
	int call = eventfd(0, EFD_CLOEXEC); /* its writes wait */

	ram_world_open(&world, 2, NULL);
	assert_int_equal(ob_cpu_start(ob_cpu_get(world.ob, 1), -1), 0);
	config.block = world.block;
	assert_int_equal(vu_server_start(&config, &server), 0);
	vhost_client_open(&client, world.ob, server, -1);
	vhost_client_negotiate(&client, ALL);
	vhost_client_share(&client);
	/* Queue 1 is on CPU 1. */
	vhost_client_queue_prepare(&client, 1, 16);
	vhost_client_queue_start(&client, 1, 0);
	assert_int_equal(vhost_client_send_fd(&client, VHOST_USER_SET_VRING_CALL, 1, call), 0);
	assert_false(vhost_client_is_dropped(&client));
	/* What it was signalled for so far. */
	assert_true(read(call, &signals, sizeof(signals)) == sizeof(signals));
	assert_true(write(call, &full, sizeof(full)) == sizeof(full));
	virtqueue_driver_arm(&client.queue[1].driver);
	start_ns = ob_now_ns();
	vhost_client_add(&client, 1, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
	assert_int_equal(vhost_client_take(&client, 1), 0);
	while (stats().client_count != 0 && ob_now_ns() - start_ns < 5 * OB_NS_PER_S)
		ob_cpu_turn(client.cpu, OB_NS_PER_MS);
	assert_int_equal(stats().client_count, 0);
	assert_non_null(strstr(world.log, "queue 1: what it is to be signalled by takes no signal"));
	close(call);
	vhost_client_close(&client);
	vu_server_stop(server);
	ob_cpu_stop(ob_cpu_get(world.ob, 1));
	ram_world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_that_reads_no_replies_is_dropped),
		cmocka_unit_test(test_flood_of_requests_leaves_room_for_others),
		cmocka_unit_test(test_queue_that_waits_for_room_lets_the_cpu_sleep),
		cmocka_unit_test(test_memory_of_a_dead_client_stays_until_the_disk_is_done_with_it),
		cmocka_unit_test(test_disk_that_goes_ends_requests_with_an_error),
		cmocka_unit_test(test_client_without_a_descriptor_waits_and_is_told_of_once),
		cmocka_unit_test(test_call_that_waits_is_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
