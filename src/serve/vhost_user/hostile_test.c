/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that lie. Each is dropped with one line in the log that says why, and another client, which is there all the while,
 * goes on.
 */
#include "serve/vhost_user/server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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
	struct vu_server_config config = {.listen_fd = -1, .depth = 4};

	ram_world_open(&world, 1, disk);
	config.block = world.block;
	assert_int_equal(vu_server_start(&config, &server), 0);
}

static void close_server(void)
{
	vu_server_stop(server);
	ram_world_close(&world);
}

static unsigned lines(void)
{
	unsigned count = 0;

	for (const char *p = world.log; *p != '\0'; p++)
		count += *p == '\n';
	return count;
}

static struct vu_server_stats stats(void)
{
	struct vu_server_stats s;

	vu_server_stats(server, &s);
	return s;
}

/* ---- what is sent ---- */

static struct vhost_user_region first_region(void)
{
	return (struct vhost_user_region){
		.guest_address = VHOST_CLIENT_GUEST,
		.user_address = VHOST_CLIENT_USER,
		.len_bytes = VHOST_CLIENT_REGION,
	};
}

static void add_region(struct vhost_user_region region, int fd)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_ADD_MEM_REG, false);
	m.header.len_bytes = sizeof(m.payload.one_region);
	m.payload.one_region = (struct vhost_user_one_region){.region = region};
	vhost_message_add_fd(&m, fd);
	vhost_client_send(&client, &m);
}

static void set_address(unsigned index, uint64_t descriptors, uint64_t available, uint64_t used, uint32_t flags)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_VRING_ADDR, false);
	m.header.len_bytes = sizeof(m.payload.address);
	m.payload.address = (struct vhost_user_address){
		.index = index,
		.flags = flags,
		.descriptors = descriptors,
		.available = available,
		.used = used,
	};
	vhost_client_send(&client, &m);
}

static void bare(unsigned request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, false);
	vhost_client_send(&client, &m);
}

/* ---- messages ---- */

static void say_nonsense(void)
{
	assert_true(write(client.fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
}

static void say_unknown(void)
{
	bare(199);
}

static void say_long(void)
{
	struct vhost_user_header header = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, UINT32_MAX};

	assert_true(write(client.fd, &header, sizeof(header)) == sizeof(header));
}

static void say_half(void)
{
	struct vhost_user_header header = {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8};

	assert_true(write(client.fd, &header, sizeof(header)) == sizeof(header));
	shutdown(client.fd, SHUT_WR);
}

static void say_unnegotiated(void)
{
	vhost_client_send_u64(&client, VHOST_USER_SET_PROTOCOL_FEATURES, 0);
	bare(VHOST_USER_RESET_DEVICE);
}

static void say_features(void)
{
	vhost_client_send_u64(&client, VHOST_USER_SET_FEATURES, client.features | BIT64(63));
}

static void say_features_while_running(void)
{
	vhost_client_send_u64(&client, VHOST_USER_SET_FEATURES, client.features & ~BIT64(VIRTIO_F_EVENT_IDX));
}

static void say_protocol_features(void)
{
	vhost_client_send_u64(&client, VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_F_PAGEFAULT);
}

static void say_config(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_GET_CONFIG, false);
	memset(&m.payload.config, 0, sizeof(m.payload.config));
	m.payload.config.offset = 250;
	m.payload.config.len_bytes = 16;
	m.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + 16;
	vhost_client_send(&client, &m);
}

static void say_capacity(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_CONFIG, false);
	memset(&m.payload.config, 0, sizeof(m.payload.config));
	m.payload.config.len_bytes = 8;
	m.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + 8;
	vhost_client_send(&client, &m);
}

static void say_backend_file(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_BACKEND_REQ_FD, false);
	vhost_message_add_fd(&m, client.memory_fd);
	vhost_client_send(&client, &m);
}

static void say_descriptors_for_nothing(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_GET_FEATURES, false);
	for (unsigned i = 0; i < VHOST_FDS_MAX; i++)
		vhost_message_add_fd(&m, client.memory_fd);
	vhost_client_send(&client, &m);
}

/* ---- memory ---- */

static void share_pipe(void)
{
	struct vhost_user_region region = first_region();
	int pair[2];

	region.guest_address = region.user_address = 0x800000000000;
	assert_int_equal(pipe(pair), 0);
	add_region(region, pair[0]);
	close(pair[0]);
	close(pair[1]);
}

static void share_disk_file(void)
{
	struct vhost_user_region region = first_region();
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	region.guest_address = region.user_address = 0x800000000000;
	region.len_bytes = 4096;
	assert_true(fd >= 0);
	add_region(region, fd);
	close(fd);
}

static void share_beyond_file(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address = region.user_address = 0x800000000000;
	region.len_bytes = 2 * VHOST_CLIENT_REGION + 1;
	add_region(region, client.memory_fd);
}

static void share_offset(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address = region.user_address = 0x800000000000;
	region.file_offset = UINT64_MAX - 4095;
	add_region(region, client.memory_fd);
}

static void share_nothing(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address = region.user_address = 0x800000000000;
	region.len_bytes = 0;
	add_region(region, client.memory_fd);
}

static void share_around_the_end(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address = UINT64_MAX - 4095;
	add_region(region, client.memory_fd);
}

static void share_overlapping(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address += VHOST_CLIENT_REGION - 1;
	region.user_address = 0x800000000000;
	add_region(region, client.memory_fd);
}

static void share_overlapping_user(void)
{
	struct vhost_user_region region = first_region();

	region.guest_address = 0x800000000000;
	region.user_address += 4096;
	add_region(region, client.memory_fd);
}

static void share_read_only(void)
{
	struct vhost_user_region region = first_region();
	int fd;

	region.guest_address = region.user_address = 0x800000000000;
	assert_int_equal(io_memory_file("sealed", VHOST_CLIENT_REGION, &fd), 0);
	close(fd);
	fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, VHOST_CLIENT_REGION), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	add_region(region, fd);
	close(fd);
}

static void share_too_often(void)
{
	struct vhost_user_region region = first_region();

	region.len_bytes = 4096;
	for (unsigned i = 0; i < 70; i++) {
		region.guest_address = region.user_address = 0x800000000000 + 4096 * i;
		add_region(region, client.memory_fd);
		vhost_client_turn(&client, 3);
	}
}

static void remove_unknown(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_REM_MEM_REG, false);
	m.header.len_bytes = sizeof(m.payload.one_region);
	m.payload.one_region = (struct vhost_user_one_region){.region = first_region()};
	m.payload.one_region.region.len_bytes--;
	vhost_client_send(&client, &m);
}

/* The one with the rings in it, which run. */
static void remove_rings(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_REM_MEM_REG, false);
	m.header.len_bytes = sizeof(m.payload.one_region);
	m.payload.one_region = (struct vhost_user_one_region){.region = first_region()};
	vhost_client_send(&client, &m);
}

static void truncate_memory(void)
{
	assert_int_equal(ftruncate(client.memory_fd, 0), 0);
	io_event_fire(client.queue[0].kick_fd);
}

/* ---- queues ---- */

static void queue_beyond(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_NUM, 16, 64);
}

static void queue_far_beyond(void)
{
	vhost_client_send_state(&client, VHOST_USER_GET_VRING_BASE, UINT32_MAX, 0);
}

static void queue_empty(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_NUM, 1, 0);
}

static void queue_huge(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_NUM, 1, 32768);
}

static void queue_resized_while_running(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_NUM, 0, 8);
}

static void queue_moved_while_running(void)
{
	set_address(0, VHOST_CLIENT_USER, VHOST_CLIENT_USER + 4096, VHOST_CLIENT_USER + 8192, 0);
}

static void queue_based_while_running(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_BASE, 0, 1);
}

static void queue_half_enabled(void)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_ENABLE, 0, 2);
}

static void queue_logged(void)
{
	set_address(1, VHOST_CLIENT_USER, VHOST_CLIENT_USER + 4096, VHOST_CLIENT_USER + 8192, 1);
}

/* Queue 1 with these numbers. */
static void start_queue(uint32_t size, uint32_t base, uint64_t descriptors, uint64_t available, uint64_t used, int kick)
{
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_NUM, 1, size);
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_BASE, 1, base);
	set_address(1, descriptors, available, used, 0);
	vhost_client_send_fd(&client, VHOST_USER_SET_VRING_KICK, 1, kick);
	vhost_client_send_state(&client, VHOST_USER_SET_VRING_ENABLE, 1, 1);
}

#define RING1 (VHOST_CLIENT_USER + VHOST_CLIENT_DATA / VHOST_CLIENT_QUEUES)

static void queue_nowhere(void)
{
	start_queue(64, 0, 0x1000, RING1, RING1 + 4096, client.queue[0].kick_fd);
}

/* Its last entries are behind the end of the first region. */
static void queue_at_the_edge(void)
{
	start_queue(64, 0, vhost_client_user(VHOST_CLIENT_REGION) - 512, RING1, RING1 + 4096, client.queue[0].kick_fd);
}

static void queue_unaligned(void)
{
	start_queue(64, 0, RING1 + 8, RING1 + 4096, RING1 + 8192, client.queue[0].kick_fd);
}

static void queue_not_power_of_2(void)
{
	start_queue(65, 0, RING1, RING1 + 4096, RING1 + 8192, client.queue[0].kick_fd);
}

static void queue_with_far_base(void)
{
	start_queue(64, 65, RING1, RING1 + 4096, RING1 + 8192, client.queue[0].kick_fd);
}

static void queue_kicked_by_file(void)
{
	start_queue(64, 0, RING1, RING1 + 4096, RING1 + 8192, client.memory_fd);
}

static void queue_kicked_by_pipe_end(void)
{
	int pair[2];

	assert_int_equal(pipe(pair), 0);
	close(pair[1]);
	start_queue(64, 0, RING1, RING1 + 4096, RING1 + 8192, pair[0]);
	close(pair[0]);
}

static void queue_called_by_pipe_end(void)
{
	int pair[2];

	assert_int_equal(pipe(pair), 0);
	vhost_client_send_fd(&client, VHOST_USER_SET_VRING_CALL, 0, pair[0]);
	close(pair[0]);
	close(pair[1]);
}

/* ---- rings ---- */

static struct virtq_desc *descriptors(void)
{
	return (void *)(client.memory + client.queue[0].ring);
}

static struct virtq_avail *avail_ring(void)
{
	return (void *)(client.memory + client.queue[0].ring + VIRTQ_DESC_BYTES(16u));
}

static void describe(unsigned index, uint64_t address, uint32_t len, uint16_t flags, uint16_t next)
{
	descriptors()[index] = (struct virtq_desc){ob_cpu_to_le64(address), ob_cpu_to_le32(len), ob_cpu_to_le16(flags),
						   ob_cpu_to_le16(next)};
}

static void show(uint16_t head, uint16_t count)
{
	for (unsigned i = 0; i < 16; i++)
		avail_ring()->ring[i] = ob_cpu_to_le16(head);
	ob_le16_store(&avail_ring()->idx, count);
	io_event_fire(client.queue[0].kick_fd);
}

static void ring_jumps(void)
{
	show(0, 17);
}

static void ring_head_beyond(void)
{
	show(16, 1);
}

static void ring_loops(void)
{
	describe(0, VHOST_CLIENT_GUEST, 16, VIRTQ_DESC_F_NEXT, 1);
	describe(1, VHOST_CLIENT_GUEST, 16, VIRTQ_DESC_F_NEXT, 0);
	show(0, 1);
}

static void ring_without_status(void)
{
	describe(0, VHOST_CLIENT_GUEST + DATA, 16, 0, 0);
	show(0, 1);
}

static void ring_with_half_a_header(void)
{
	describe(0, VHOST_CLIENT_GUEST + DATA, 15, VIRTQ_DESC_F_NEXT, 1);
	describe(1, VHOST_CLIENT_GUEST + DATA + 4096, 1, VIRTQ_DESC_F_WRITE, 0);
	show(0, 1);
}

static void ring_header_nowhere(void)
{
	describe(0, 0x10, 16, VIRTQ_DESC_F_NEXT, 1);
	describe(1, VHOST_CLIENT_GUEST + DATA + 4096, 1, VIRTQ_DESC_F_WRITE, 0);
	show(0, 1);
}

static void ring_status_nowhere(void)
{
	describe(0, VHOST_CLIENT_GUEST + DATA, 16, VIRTQ_DESC_F_NEXT, 1);
	describe(1, 0x10, 1, VIRTQ_DESC_F_WRITE, 0);
	show(0, 1);
}

/* Into the hole behind the first region. */
static void ring_data_nowhere(void)
{
	memset(client.memory + DATA, 0, 16);
	describe(0, VHOST_CLIENT_GUEST + DATA, 16, VIRTQ_DESC_F_NEXT, 1);
	describe(1, VHOST_CLIENT_GUEST + VHOST_CLIENT_REGION - 512, 1024, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 2);
	describe(2, VHOST_CLIENT_GUEST + DATA + 4096, 1, VIRTQ_DESC_F_WRITE, 0);
	show(0, 1);
}

static void ring_table_nowhere(void)
{
	describe(0, 0x1000, 64, VIRTQ_DESC_F_INDIRECT, 0);
	show(0, 1);
}

static const struct {
	const char *name;
	void (*act)(void);
	const char *why;
} cases[] = {
	{"nonsense", say_nonsense, "another protocol"},
	{"unknown request", say_unknown, "request 199: not a request that this server knows"},
	{"long message", say_long, "more than any"},
	{"half a message", say_half, "in the midst of a message"},
	{"not negotiated", say_unnegotiated, "RESET_DEVICE: what it needs was not negotiated"},
	{"features", say_features, "SET_FEATURES: 0x8000000000000000 are not offered"},
	{"features while running", say_features_while_running, "other features while queues are running"},
	{"protocol features", say_protocol_features, "SET_PROTOCOL_FEATURES: 0x100 are not offered"},
	{"configuration beyond the end", say_config, "16 bytes at 0xfa are not in configuration space"},
	{"capacity written", say_capacity, "SET_CONFIG: 8 bytes at 0 are not to be written"},
	{"backend channel is a file", say_backend_file, "SET_BACKEND_REQ_FD: it is no stream socket"},
	{"descriptors for nothing", say_descriptors_for_nothing, "descriptors"},
	{"memory is a pipe", share_pipe, "its file is none of memfd"},
	{"memory is a file on a disk", share_disk_file, "its file is none of memfd"},
	{"memory beyond its file", share_beyond_file, "are not inside its file of 0x800000"},
	{"memory at a huge offset", share_offset, "its addresses wrap around"},
	{"memory of no bytes", share_nothing, "it is empty"},
	{"memory around the end", share_around_the_end, "its addresses wrap around"},
	{"memory overlaps", share_overlapping, "it overlaps the one at 0x100000"},
	{"memory overlaps for the front-end", share_overlapping_user, "it overlaps that at 0x7f1230000000"},
	{"memory cannot be written", share_read_only, "cannot be mapped to be read and written"},
	{"memory in too many regions", share_too_often, "there are 64 regions already"},
	{"memory removed that is not there", remove_unknown, "REM_MEM_REG: there is no region of 0x3fffff bytes"},
	{"memory removed under the rings", remove_rings, "queue 0: its descriptor area, 256 bytes at 0x7f1230000000"},
	{"memory made shorter", truncate_memory, "has become shorter"},
	{"queue beyond", queue_beyond, "SET_VRING_NUM: queue 16 of 16"},
	{"queue far beyond", queue_far_beyond, "GET_VRING_BASE: queue 4294967295 of 16"},
	{"queue of no entries", queue_empty, "queue 1 with 0 entries"},
	{"queue too large", queue_huge, "queue 1 with 32768 entries"},
	{"queue resized while running", queue_resized_while_running, "SET_VRING_NUM: queue 0 is running"},
	{"queue moved while running", queue_moved_while_running, "SET_VRING_ADDR: queue 0 is running"},
	{"queue based while running", queue_based_while_running, "SET_VRING_BASE: queue 0 is running"},
	{"queue half enabled", queue_half_enabled, "neither on nor off"},
	{"queue logged", queue_logged, "nothing is logged"},
	{"queue nowhere", queue_nowhere, "queue 1: its descriptor area, 1024 bytes at 0x1000, is in no region"},
	{"queue unaligned", queue_unaligned, "queue 1: a part of the ring is not aligned"},
	{"queue of no power of 2", queue_not_power_of_2, "queue 1: a size that the ring cannot have"},
	{"queue with a far base", queue_with_far_base, "queue 1: a base that is farther"},
	{"queue kicked by a file", queue_kicked_by_file, "queue 1: what it is kicked by cannot be waited for"},
	{"queue kicked by a pipe", queue_kicked_by_pipe_end, "queue 1: it is kicked by something that is no eventfd"},
	{"queue called by a pipe", queue_called_by_pipe_end, "queue 0: what it is to be signalled by"},
	{"avail index jumps", ring_jumps, "queue 0: an avail index that jumps"},
	{"head beyond", ring_head_beyond, "queue 0: an entry of the avail ring that is no descriptor"},
	{"chain loops", ring_loops, "queue 0: a chain that is too long, or a loop"},
	{"no status", ring_without_status, "queue 0: a request without a header or without room for its status"},
	{"half a header", ring_with_half_a_header, "queue 0: a request without a header"},
	{"header nowhere", ring_header_nowhere, "queue 0: a request that lies in no region"},
	{"status nowhere", ring_status_nowhere, "queue 0: a request that lies in no region"},
	{"data nowhere", ring_data_nowhere, "queue 0: a request that lies in no region"},
	{"table nowhere", ring_table_nowhere, "queue 0: an indirect table that is not in memory"},
};

/* The second region of the client's memory follows the first in the front-end, so this queue only leaves the region. */
static void test_queue_across_two_regions_is_refused(void **state)
{
	open_server(NULL);
	open_client(&client);
	queue_at_the_edge();
	assert_true(vhost_client_is_dropped(&client));
	assert_non_null(
		strstr(world.log, "queue 1: its descriptor area, 1024 bytes at 0x7f12303ffe00, is in no region"));
	vhost_client_close(&client);
	close_server();
}

static void test_hostile_client_is_dropped_and_the_others_go_on(void **state)
{
	open_server(NULL);
	open_client(&witness);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned before;

		world.log[0] = '\0';
		open_client(&client);
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
		/* From its beginning again, for those that write the ring themselves. */
		vhost_client_queue_stop(&client, 0);
		vhost_client_queue_prepare(&client, 0, 16);
		vhost_client_queue_start(&client, 0, 0);
		before = (unsigned)stats().dropped;
		cases[i].act();
		if (!vhost_client_is_dropped(&client))
			fail_msg("%s: not dropped", cases[i].name);
		vhost_client_close(&client);
		if (strstr(world.log, cases[i].why) == NULL || lines() != 1)
			fail_msg("%s: the log is \"%s\"", cases[i].name, world.log);
		assert_int_equal(stats().dropped, before + 1);
		assert_int_equal(stats().client_count, 1);
		assert_int_equal(vhost_client_io(&witness, 0, VIRTIO_BLK_T_IN, i, DATA, 512), VIRTIO_BLK_S_OK);
	}
	vhost_client_close(&witness);
	close_server();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_client_is_dropped_and_the_others_go_on),
		cmocka_unit_test(test_queue_across_two_regions_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
