/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes of parts of blocks: what they write, what they leave, and who writes beside them at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bits.h"
#include "serve/vhost_user/server.h"
#include "spec/virtio.h"
#include "tests/ram_world.h"
#include "tests/random.h"
#include "tests/vhost_client.h"

#define ALL       (UINT64_MAX & ~BIT64(VIRTIO_F_RING_PACKED))
#define DATA      VHOST_CLIENT_DATA
#define BLOCK     4096u
#define SECTOR    512u
#define SECTORS   64u /* of the disk that is looked at */
#define QUEUES    4u
#define TOKENS    8u
#define TOKEN_MAX (16 * SECTOR) /* data of one request */
#define EPISODES  200u
#define ROUNDS    40u /* of an episode */

static struct ram_world world;
static struct vu_server *server;
static struct vhost_client client;
static struct random rnd;
static uint8_t expected[SECTORS * SECTOR];

static struct ram_block_config disk_of_blocks(void)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits = ram_block_limits(BLOCK, 1024);
	disk.limits.write_zeroes = disk.limits.trim = true;
	disk.limits.zeroes_max_blocks = disk.limits.trim_max_blocks = 64;
	return disk;
}

static void open_all(unsigned cpus, const struct ram_block_config *disk, struct vu_server_config config)
{
	ram_world_open(&world, cpus, disk);
	for (unsigned i = 1; i < cpus; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(world.ob, i), -1), 0);
	config.block = world.block;
	config.listen_fd = -1;
	assert_int_equal(vu_server_start(&config, &server), 0);
	vhost_client_open(&client, world.ob, server, -1);
	vhost_client_negotiate(&client, ALL);
	vhost_client_share(&client);
	for (unsigned i = 0; i < QUEUES; i++) {
		vhost_client_queue_prepare(&client, i, 64);
		vhost_client_queue_start(&client, i, 0);
	}
	rnd.state = 1;
	random_fill(&rnd, expected, sizeof(expected));
	memcpy(world.ram->media, expected, sizeof(expected));
}

static void close_all(unsigned cpus)
{
	vhost_client_close(&client);
	vu_server_stop(server);
	for (unsigned i = 1; i < cpus; i++)
		ob_cpu_stop(ob_cpu_get(world.ob, i));
	ram_world_close(&world);
}

static void test_every_part_is_written_and_nothing_around_it(void **state)
{
	struct ram_block_config disk = disk_of_blocks();

	open_all(1, &disk, (struct vu_server_config){0});
	for (unsigned sector = 0; sector < 17; sector++) {
		for (unsigned count = 1; count < 20; count++) {
			random_fill(&rnd, client.memory + DATA, count * SECTOR);
			memcpy(expected + sector * SECTOR, client.memory + DATA, count * SECTOR);
			assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, sector, DATA, count * SECTOR),
					 VIRTIO_BLK_S_OK);
			assert_memory_equal(world.ram->media, expected, sizeof(expected));
		}
	}
	/* The end of the disk, and what is beyond it. */
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 8191, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 8191, DATA, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 8193, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, UINT64_MAX, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 1, DATA, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 1, DATA, 100), VIRTIO_BLK_S_IOERR);
	close_all(1);
}

static void test_block_that_cannot_be_read_is_not_written(void **state)
{
	struct ram_block_config disk = disk_of_blocks();

	disk.bad_lba = 2;
	open_all(1, &disk, (struct vu_server_config){0});
	/* Its beginning, its end, and what a write before it and one behind it have in it. */
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 16, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 23, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 8, DATA, 9 * 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 23, DATA, 9 * 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(world.ram->commands[OB_BLOCK_WRITE], 0);
	assert_memory_equal(world.ram->media, expected, sizeof(expected));
	/* Others are as ever. */
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 25, DATA, 512), VIRTIO_BLK_S_OK);
	close_all(1);
}

static void test_part_is_durable_without_a_cache_and_refused_by_a_read_only_server(void **state)
{
	struct ram_block_config disk = disk_of_blocks();

	disk.limits.volatile_cache = disk.limits.flush = true;
	open_all(1, &disk, (struct vu_server_config){0});
	memset(client.memory + DATA, 0x42, 512);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 3, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_not_equal(world.ram->durable[3 * 512], 0x42);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_FLUSH, 0, DATA, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->durable[3 * 512], 0x42);
	close_all(1);
	open_all(1, &disk, (struct vu_server_config){.read_only = true});
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 3, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_memory_equal(world.ram->media, expected, sizeof(expected));
	close_all(1);
}

/* ---- beside others ---- */

struct io {
	bool busy, zeroes;
	unsigned sector, count;
};

static struct io ios[QUEUES][TOKENS];
static bool uncertain[SECTORS]; /* two wrote there at the same time: it may be either */

static bool is_busy(unsigned sector)
{
	for (unsigned i = 0; i < QUEUES * TOKENS; i++) {
		const struct io *io = &ios[i / TOKENS][i % TOKENS];

		if (io->busy && sector >= io->sector && sector - io->sector < io->count)
			return true;
	}
	return false;
}

static uint64_t data_of(unsigned queue, unsigned token)
{
	return DATA + (uint64_t)(queue * TOKENS + token) * TOKEN_MAX;
}

/*
 * Parts of blocks, whole blocks, and now and then zeroes. Of two that write a block at the same time each sector that only one
 * of them writes is his.
 */
static void begin(unsigned queue, unsigned token)
{
	struct io *io = &ios[queue][token];
	uint8_t *data = client.memory + data_of(queue, token);
	unsigned kind = (unsigned)random_below(&rnd, 8);

	io->zeroes = kind == 0;
	io->count = kind < 3 ? 8 : (unsigned)random_range(&rnd, 1, kind < 7 ? 3 : 16);
	io->sector = (unsigned)random_below(&rnd, SECTORS - io->count + 1);
	if (kind < 3)
		io->sector = ALIGN_DOWN(io->sector, 8u);
	for (unsigned i = io->sector; i < io->sector + io->count; i++)
		uncertain[i] = is_busy(i);
	io->busy = true;
	if (io->zeroes) {
		*(struct virtio_blk_range *)(void *)data = (struct virtio_blk_range){
			ob_cpu_to_le64(io->sector), ob_cpu_to_le32(io->count), ob_cpu_to_le32(0)};
		vhost_client_add(&client, queue, token, VIRTIO_BLK_T_WRITE_ZEROES, 0, data_of(queue, token), 16);
		return;
	}
	random_fill(&rnd, data, io->count * SECTOR);
	vhost_client_add(&client, queue, token, VIRTIO_BLK_T_OUT, io->sector, data_of(queue, token),
			 io->count * SECTOR);
}

static void take_all(unsigned queue)
{
	struct ob_virtio_used used;

	while (virtqueue_driver_take(&client.queue[queue].driver, &used, 1) > 0) {
		struct io *io = &ios[queue][used.token];

		client.queue[queue].in_flight--;
		assert_int_equal(*vhost_client_status(&client, queue, (unsigned)used.token), VIRTIO_BLK_S_OK);
		if (io->zeroes)
			memset(expected + io->sector * SECTOR, 0, io->count * SECTOR);
		else
			memcpy(expected + io->sector * SECTOR, client.memory + data_of(queue, (unsigned)used.token),
			       io->count * SECTOR);
		io->busy = false;
	}
}

static bool any_busy(void)
{
	for (unsigned i = 0; i < QUEUES * TOKENS; i++)
		if (ios[i / TOKENS][i % TOKENS].busy)
			return true;
	return false;
}

static void episode(void)
{
	uint64_t deadline_ns = ob_deadline(60 * OB_NS_PER_S);

	for (unsigned i = 0; i < ROUNDS || any_busy(); i++) {
		unsigned queue = (unsigned)random_below(&rnd, QUEUES), token = (unsigned)random_below(&rnd, TOKENS);

		if (i < ROUNDS && !ios[queue][token].busy)
			begin(queue, token);
		if (i >= ROUNDS || i % 4 == 0)
			ob_cpu_turn(client.cpu, 0);
		for (unsigned q = 0; q < QUEUES; q++)
			take_all(q);
		if (ob_now_ns() >= deadline_ns)
			fail_msg("requests do not end");
	}
	for (unsigned i = 0; i < SECTORS; i++) {
		if (uncertain[i])
			memcpy(expected + i * SECTOR, world.ram->media + i * SECTOR, SECTOR);
		uncertain[i] = false;
	}
	assert_memory_equal(world.ram->media, expected, sizeof(expected));
}

static void test_parts_leave_what_others_write_beside_them(void **state)
{
	struct ram_block_config disk = disk_of_blocks();

	disk.late_polls_max = 5;
	disk.inline_percent = 20;
	disk.reorder = true;
	for (unsigned cpus = 1; cpus <= 2; cpus++) {
		memset(ios, 0, sizeof(ios));
		open_all(cpus, &disk, (struct vu_server_config){.mode = OB_COMPLETION_POLLED});
		for (unsigned i = 0; i < EPISODES; i++)
			episode();
		close_all(cpus);
	}
}

static void test_server_that_stops_ends_what_waits_for_its_turn(void **state)
{
	struct ram_block_config disk = disk_of_blocks();

	disk.late_polls_max = 50;
	for (unsigned i = 0; i < 20; i++) {
		open_all(2, &disk, (struct vu_server_config){.mode = OB_COMPLETION_POLLED});
		for (unsigned token = 0; token < TOKENS; token++) {
			for (unsigned q = 0; q < QUEUES; q++)
				vhost_client_add(&client, q, token, VIRTIO_BLK_T_OUT, token * 7 + q, DATA, 512);
		}
		vhost_client_turn(&client, i);
		vu_server_stop(server);
		server = NULL;
		close_all(2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_part_is_written_and_nothing_around_it),
		cmocka_unit_test(test_block_that_cannot_be_read_is_not_written),
		cmocka_unit_test(test_part_is_durable_without_a_cache_and_refused_by_a_read_only_server),
		cmocka_unit_test(test_parts_leave_what_others_write_beside_them),
		cmocka_unit_test(test_server_that_stops_ends_what_waits_for_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
