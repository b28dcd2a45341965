/* SPDX-License-Identifier: BSD-2-Clause */
/* The server with clients that keep the rules: messages, requests of each kind, rings of each kind, stopping and going on. */
#include "serve/vhost_user/server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "io/io.h"
#include "tests/ram_world.h"
#include "tests/vhost_client.h"

#define SPLIT  BIT64(VIRTIO_F_VERSION_1)
#define PACKED (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED))
#define ALL    (UINT64_MAX & ~BIT64(VIRTIO_F_RING_PACKED))
#define DATA   VHOST_CLIENT_DATA

static struct ram_world world;
static struct vu_server *server;
static struct vhost_client client;
static struct random rnd;

static void open_server(const struct ram_block_config *disk, struct vu_server_config config)
{
	ram_world_open(&world, 1, disk);
	config.block = world.block;
	config.listen_fd = -1;
	assert_int_equal(vu_server_start(&config, &server), 0);
	rnd.state = 1;
}

static void close_server(void)
{
	vu_server_stop(server);
	ram_world_close(&world);
}

static void open_client(uint64_t features)
{
	vhost_client_open(&client, world.ob, server, -1);
	vhost_client_negotiate(&client, features);
	vhost_client_share(&client);
	vhost_client_queue_prepare(&client, 0, 64);
	vhost_client_queue_start(&client, 0, (features & BIT64(VIRTIO_F_RING_PACKED)) != 0 ? 0x80008000 : 0);
}

static struct ram_block_config cached_disk(void)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.volatile_cache = disk.limits.flush = true;
	return disk;
}

/* ---- messages ---- */

static void get_config(struct vhost_client *c, struct virtio_blk_config *out)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_GET_CONFIG, false);
	memset(&m.payload.config, 0, sizeof(m.payload.config));
	m.payload.config.len_bytes = sizeof(*out);
	m.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + sizeof(*out);
	assert_int_equal(vhost_client_ask(c, &m), 0);
	assert_int_equal(c->reply.payload.config.len_bytes, sizeof(*out));
	memcpy(out, c->reply.payload.config.data, sizeof(*out));
}

static void test_configuration_is_the_disks(void **state)
{
	struct ram_block_config disk = cached_disk();
	struct virtio_blk_config config;

	disk.limits = ram_block_limits(4096, 1000);
	disk.limits.volatile_cache = disk.limits.flush = true;
	disk.limits.physical_bytes = 16384;
	open_server(&disk, (struct vu_server_config){.queue_max = 3});
	open_client(ALL);
	assert_true((client.features & BIT64(VIRTIO_BLK_F_FLUSH)) != 0);
	assert_true((client.features & BIT64(VIRTIO_BLK_F_MQ)) != 0);
	assert_true((client.features & BIT64(VIRTIO_BLK_F_RO)) == 0);
	get_config(&client, &config);
	assert_int_equal(ob_le64_to_cpu(config.capacity), 8000);
	assert_int_equal(ob_le32_to_cpu(config.blk_size), 4096);
	assert_int_equal(ob_le32_to_cpu(config.seg_max), 126);
	assert_int_equal(config.topology.physical_block_exp, 2);
	assert_int_equal(ob_le16_to_cpu(config.topology.min_io_size), 4);
	assert_int_equal(ob_le16_to_cpu(config.num_queues), 3);
	assert_int_equal(config.writeback, 1);
	vhost_client_close(&client);
	close_server();
}

static void resize_task(void *arg)
{
	ob_block_resize(world.block, *(uint64_t *)arg);
}

static void test_resize_is_told_and_seen(void **state)
{
	uint64_t blocks = 4096;
	struct virtio_blk_config config;
	struct vhost_receiver receiver;
	struct vhost_message m;
	struct ob_task *task;
	int pair[2];

	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	vhost_message_init(&m, VHOST_USER_SET_BACKEND_REQ_FD, false);
	vhost_message_add_fd(&m, pair[1]);
	assert_int_equal(vhost_client_do(&client, &m), 0);
	assert_int_equal(ob_task_spawn(client.cpu, "resize", resize_task, &blocks, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(OB_NS_PER_S)), 0);
	vhost_client_turn(&client, 10);
	vhost_receiver_init(&receiver);
	assert_int_equal(vhost_receive_some(pair[0], &receiver, NULL, 0), 0);
	assert_int_equal(receiver.message.header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	get_config(&client, &config);
	assert_int_equal(ob_le64_to_cpu(config.capacity), blocks);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, blocks, DATA, 512), VIRTIO_BLK_S_IOERR);
	close(pair[0]);
	close(pair[1]);
	vhost_client_close(&client);
	close_server();
}

/* ---- requests ---- */

/* Data of many shapes, over both regions, written and read back. */
static void check_data(unsigned rounds)
{
	static uint8_t expected[65536];

	for (unsigned i = 0; i < rounds; i++) {
		uint32_t len = 512 * (uint32_t)random_range(&rnd, 1, 64);
		uint64_t sector = random_below(&rnd, 8192 - len / 512);
		uint64_t from = DATA + random_below(&rnd, 2 * VHOST_CLIENT_REGION - DATA - len);
		uint64_t to = DATA + random_below(&rnd, 2 * VHOST_CLIENT_REGION - DATA - len);

		/* Across the hole it would be two pieces for the guest. */
		if ((from < VHOST_CLIENT_REGION && from + len > VHOST_CLIENT_REGION) ||
		    (to < VHOST_CLIENT_REGION && to + len > VHOST_CLIENT_REGION))
			continue;
		random_fill(&rnd, expected, len);
		memcpy(client.memory + from, expected, len);
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, sector, from, len), VIRTIO_BLK_S_OK);
		assert_memory_equal(world.ram->media + sector * 512, expected, len);
		memset(client.memory + to, 0, len);
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, sector, to, len), VIRTIO_BLK_S_OK);
		assert_memory_equal(client.memory + to, expected, len);
	}
}

static void test_data_is_what_was_written_on_all_rings_in_all_modes(void **state)
{
	static const uint64_t rings[] = {
		SPLIT,
		SPLIT | BIT64(VIRTIO_F_INDIRECT_DESC),
		SPLIT | BIT64(VIRTIO_F_EVENT_IDX),
		SPLIT | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_INDIRECT_DESC),
		PACKED,
		PACKED | BIT64(VIRTIO_F_INDIRECT_DESC),
		PACKED | BIT64(VIRTIO_F_EVENT_IDX),
		PACKED | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_INDIRECT_DESC),
	};
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};

	for (unsigned i = 0; i < ARRAY_SIZE(rings) * ARRAY_SIZE(modes); i++) {
		struct ram_block_config disk = ram_world_disk();

		disk.late_polls_max = 3;
		disk.reorder = true;
		open_server(&disk, (struct vu_server_config){.mode = modes[i % ARRAY_SIZE(modes)]});
		open_client(rings[i / ARRAY_SIZE(modes)]);
		assert_int_equal(client.features & ~VHOST_USER_F_PROTOCOL_FEATURES, rings[i / ARRAY_SIZE(modes)]);
		check_data(40);
		vhost_client_close(&client);
		close_server();
		assert_string_equal(world.log, "");
	}
}

/* Many at once, ended out of order; each ends once, with its own data. */
static void keep_busy(uint64_t features, unsigned depth, unsigned total)
{
	uint8_t seen[VHOST_CLIENT_REQUESTS] = {0};
	struct vu_server_config config = {.mode = OB_COMPLETION_INTERRUPT, .depth = 8};
	struct ram_block_config disk = ram_world_disk();
	unsigned started = 0, ended = 0;

	disk.late_polls_max = 5;
	disk.reorder = true;
	open_server(&disk, config);
	for (unsigned i = 0; i < 8192; i++)
		memset(world.ram->media + 512 * i, (int)(i * 7 + 1), 512);
	open_client(features);
	while (ended < total) {
		int token;

		for (unsigned i = 0; i < depth && started < total; i++) {
			if (seen[i])
				continue;
			seen[i] = 1;
			vhost_client_add(&client, 0, i, VIRTIO_BLK_T_IN, (started * 13) % 8192, DATA + 512 * i, 512);
			vhost_client_header(&client, 0, i)->reserved = ob_cpu_to_le32(started++);
		}
		token = vhost_client_take(&client, 0);
		assert_in_range(token, 0, VHOST_CLIENT_REQUESTS - 1);
		assert_int_equal(seen[token], 1);
		seen[token] = 0;
		ended++;
		assert_int_equal(*vhost_client_status(&client, 0, (unsigned)token), VIRTIO_BLK_S_OK);
		{
			uint32_t nth = ob_le32_to_cpu(vhost_client_header(&client, 0, (unsigned)token)->reserved);
			uint8_t wanted = (uint8_t)((nth * 13) % 8192 * 7 + 1);

			assert_int_equal(client.memory[DATA + 512 * (unsigned)token], wanted);
			assert_int_equal(client.memory[DATA + 512 * (unsigned)token + 511], wanted);
		}
	}
	vhost_client_close(&client);
	close_server();
}

static void test_many_requests_end_once_each(void **state)
{
	keep_busy(ALL, 20, 2000);
	keep_busy(ALL | BIT64(VIRTIO_F_RING_PACKED), 20, 2000);
}

static void write_range_at(unsigned index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	((struct virtio_blk_range *)(void *)(client.memory + DATA))[index] = (struct virtio_blk_range){
		ob_cpu_to_le64(sector), ob_cpu_to_le32(sectors), ob_cpu_to_le32(flags)};
}

static void write_range(uint64_t sector, uint32_t sectors, uint32_t flags)
{
	write_range_at(0, sector, sectors, flags);
}

static void test_discard_and_write_zeroes_take_their_ranges(void **state)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.trim = disk.limits.write_zeroes = true;
	disk.limits.trim_max_blocks = disk.limits.zeroes_max_blocks = 64;
	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	memset(world.ram->media, 0xaa, 4096 * 512);
	write_range(10, 20, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->media[10 * 512 - 1], 0xaa);
	assert_int_equal(world.ram->media[10 * 512], 0);
	assert_int_equal(world.ram->media[30 * 512 - 1], 0);
	assert_int_equal(world.ram->media[30 * 512], 0xaa);
	write_range(100, 20, VIRTIO_BLK_RANGE_UNMAP);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->media[100 * 512], 0);
	write_range(200, 20, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_OK);
	assert_true(world.ram->commands[OB_BLOCK_TRIM] > 0);
	/* Flags that mean nothing, or not here. */
	write_range(200, 20, VIRTIO_BLK_RANGE_UNMAP);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_UNSUPP);
	write_range(200, 20, 2);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_UNSUPP);
	/* More than were promised, less than one, and beyond the end. */
	write_range(8190, 20, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_IOERR);
	for (unsigned i = 0; i < 65; i++)
		write_range_at(i, 8 * i, 8, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 65 * 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 8), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 0), VIRTIO_BLK_S_IOERR);
	write_range(UINT64_MAX - 3, 20, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_IOERR);
	vhost_client_close(&client);
	close_server();
}

static void test_ranges_of_one_request_are_all_taken(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct virtio_blk_config config;

	disk.limits = ram_block_limits(4096, 1024);
	disk.limits.trim = disk.limits.write_zeroes = true;
	disk.limits.trim_max_blocks = disk.limits.zeroes_max_blocks = 64;
	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	get_config(&client, &config);
	assert_int_equal(ob_le32_to_cpu(config.max_discard_seg), 64);
	assert_int_equal(ob_le32_to_cpu(config.max_write_zeroes_seg), 64);
	memset(world.ram->media, 0xaa, 1024 * 4096);
	for (unsigned i = 0; i < 64; i++)
		write_range_at(i, 16 * i, 8, i % 2 != 0 ? VIRTIO_BLK_RANGE_UNMAP : 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 64 * 16), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(world.ram->media[i * 4096 + 100], i % 2 == 0 ? 0 : 0xaa);
	assert_int_equal(world.ram->commands[OB_BLOCK_WRITE_ZEROES], 64);
	/* Of a discard, parts of blocks stay: the first is no whole block, the next has one. */
	write_range_at(0, 1, 14, 0);
	write_range_at(1, 1, 15, 0);
	write_range_at(2, 32, 8, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 48), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->commands[OB_BLOCK_TRIM], 2);
	write_range_at(0, 1, 7, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->commands[OB_BLOCK_TRIM], 2);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_IOERR);
	/* One that is wrong: the ones before it are done, or, where flags are wrong, none. */
	write_range_at(0, 0, 8, 0);
	write_range_at(1, 8192, 8, 0);
	write_range_at(2, 8, 8, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 48), VIRTIO_BLK_S_IOERR);
	assert_int_equal(world.ram->commands[OB_BLOCK_TRIM], 3);
	write_range_at(1, 16, 8, 4);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 48), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(world.ram->commands[OB_BLOCK_TRIM], 3);
	vhost_client_close(&client);
	close_server();
}

static void test_requests_that_are_wrong_end_with_a_status(void **state)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.trim = false;
	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 8192, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 8191, DATA, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, UINT64_MAX, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 1ull << 55, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 100), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, 99, 0, DATA, 512), VIRTIO_BLK_S_UNSUPP);
	/* Not offered by this disk. */
	write_range(0, 8, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->commands[OB_BLOCK_READ], 1);
	assert_int_equal(world.ram->commands[OB_BLOCK_WRITE], 0);
	vhost_client_close(&client);
	close_server();
}

static void test_parts_of_blocks_are_read(void **state)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits = ram_block_limits(4096, 1024);
	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	memset(client.memory + DATA, 0x77, 8192);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 8, DATA, 8192), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->media[4096], 0x77);
	assert_int_equal(world.ram->media[3 * 4096 - 1], 0x77);
	assert_int_equal(world.ram->media[3 * 4096], 0);
	/* Every length at every sector, and nothing around it. */
	for (unsigned i = 0; i < 64 * 512; i++)
		world.ram->media[i] = (uint8_t)(i / 512 + i);
	for (unsigned sector = 0; sector < 17; sector++) {
		for (unsigned count = 1; count < 20; count++) {
			uint8_t *data = client.memory + DATA + 512;

			memset(data - 512, 0xee, (count + 2) * 512);
			assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, sector, DATA + 512, count * 512),
					 VIRTIO_BLK_S_OK);
			assert_memory_equal(data, world.ram->media + sector * 512, count * 512);
			assert_int_equal(data[-1], 0xee);
			assert_int_equal(data[count * 512], 0xee);
		}
	}
	/* The end of the disk, and what is beyond it. */
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 8191, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 8191, DATA, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 8193, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, UINT64_MAX, DATA, 512), VIRTIO_BLK_S_IOERR);
	vhost_client_close(&client);
	close_server();
}

static void test_read_only_disk_takes_no_write(void **state)
{
	struct ram_block_config disk = ram_world_disk();

	disk.limits.trim = disk.limits.write_zeroes = true;
	disk.limits.trim_max_blocks = disk.limits.zeroes_max_blocks = 64;
	open_server(&disk, (struct vu_server_config){.read_only = true});
	open_client(ALL);
	assert_true((client.features & BIT64(VIRTIO_BLK_F_RO)) != 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
	write_range(0, 8, 0);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_DISCARD, 0, DATA, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(world.ram->commands[OB_BLOCK_WRITE], 0);
	assert_int_equal(world.ram->commands[OB_BLOCK_TRIM], 0);
	assert_int_equal(world.ram->commands[OB_BLOCK_WRITE_ZEROES], 0);
	vhost_client_close(&client);
	close_server();
}

static void test_id_is_the_serial_number_padded(void **state)
{
	static const uint8_t zeroes[20];

	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	memset(client.memory + DATA, 0xff, 64);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_GET_ID, 0, DATA, 20), VIRTIO_BLK_S_OK);
	assert_string_equal((char *)client.memory + DATA, ob_block_serial(world.block));
	assert_memory_equal(client.memory + DATA + strlen(ob_block_serial(world.block)), zeroes,
			    20 - strlen(ob_block_serial(world.block)));
	assert_int_equal(client.memory[DATA + 20], 0xff);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_GET_ID, 0, DATA, 3), VIRTIO_BLK_S_OK);
	vhost_client_close(&client);
	close_server();
}

/* ---- what is durable when ---- */

static bool is_durable(uint64_t sector)
{
	return memcmp(world.ram->media + sector * 512, world.ram->durable + sector * 512, 512) == 0;
}

static void set_writeback(bool on)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_CONFIG, false);
	memset(&m.payload.config, 0, sizeof(m.payload.config));
	m.payload.config.offset = offsetof(struct virtio_blk_config, writeback);
	m.payload.config.len_bytes = 1;
	m.payload.config.data[0] = on;
	m.header.len_bytes = VHOST_USER_CONFIG_HEADER_BYTES + 1;
	assert_int_equal(vhost_client_do(&client, &m), 0);
}

static void test_write_is_durable_after_flush_or_without_a_cache(void **state)
{
	struct ram_block_config disk = cached_disk();

	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	memset(client.memory + DATA, 1, 512);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_OK);
	assert_false(is_durable(0));
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	assert_true(is_durable(0));
	/* Switched off, and on again. */
	set_writeback(false);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 1, DATA, 512), VIRTIO_BLK_S_OK);
	assert_true(is_durable(1));
	set_writeback(true);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 2, DATA, 512), VIRTIO_BLK_S_OK);
	assert_false(is_durable(2));
	vhost_client_close(&client);
	/* A driver that does not know of flush. */
	open_client(SPLIT);
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_OUT, 3, DATA, 512), VIRTIO_BLK_S_OK);
	assert_true(is_durable(3));
	vhost_client_close(&client);
	close_server();
}

/* ---- stopping and going on ---- */

static void stop_and_go(uint64_t features)
{
	uint32_t base;

	open_server(NULL, (struct vu_server_config){0});
	open_client(features);
	check_data(10);
	for (unsigned i = 0; i < 3; i++) {
		base = vhost_client_queue_stop(&client, 0);
		vhost_client_add(&client, 0, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
		vhost_client_turn(&client, 100);
		assert_int_equal(*vhost_client_status(&client, 0, 0), 0xff); /* nobody looks */
		vhost_client_queue_start(&client, 0, base);
		assert_int_equal(vhost_client_take(&client, 0), 0);
		check_data(10);
	}
	vhost_client_close(&client);
	close_server();
	assert_string_equal(world.log, "");
}

static void test_stopped_queue_goes_on_at_its_base(void **state)
{
	stop_and_go(ALL);
	stop_and_go(ALL | BIT64(VIRTIO_F_RING_PACKED));
}

/* Of what ended before, and of what another server may have left. */
static void test_client_is_signalled_when_a_queue_starts(void **state)
{
	uint32_t base;

	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	assert_true(io_event_take(client.queue[0].call_fd));
	assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	io_event_take(client.queue[0].call_fd);
	base = vhost_client_queue_stop(&client, 0);
	assert_false(io_event_take(client.queue[0].call_fd));
	vhost_client_queue_start(&client, 0, base);
	assert_true(io_event_take(client.queue[0].call_fd));
	vhost_client_close(&client);
	close_server();
}

/* As the driver asks for it, and not otherwise. */
static void test_signals_are_those_that_the_driver_wants(void **state)
{
	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	io_event_take(client.queue[0].call_fd);
	virtqueue_driver_disarm(&client.queue[0].driver);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, i, DATA, 512), VIRTIO_BLK_S_OK);
	vhost_client_turn(&client, 10);
	assert_false(io_event_take(client.queue[0].call_fd));
	for (unsigned i = 0; i < 20; i++) {
		assert_false(virtqueue_driver_arm(&client.queue[0].driver));
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, i, DATA, 512), VIRTIO_BLK_S_OK);
		vhost_client_turn(&client, 10);
		assert_true(io_event_take(client.queue[0].call_fd));
	}
	vhost_client_close(&client);
	close_server();
}

static void test_disabled_queue_is_not_looked_at(void **state)
{
	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	assert_int_equal(vhost_client_send_state(&client, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	vhost_client_turn(&client, 20);
	vhost_client_add(&client, 0, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
	vhost_client_turn(&client, 100);
	assert_int_equal(*vhost_client_status(&client, 0, 0), 0xff);
	assert_int_equal(vhost_client_send_state(&client, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(vhost_client_take(&client, 0), 0);
	vhost_client_close(&client);
	close_server();
}

static void test_memory_may_change_while_queues_run(void **state)
{
	struct vhost_user_region second = {
		.guest_address = VHOST_CLIENT_GUEST2,
		.user_address = vhost_client_user(VHOST_CLIENT_REGION),
		.len_bytes = VHOST_CLIENT_REGION,
		.file_offset = VHOST_CLIENT_REGION,
	};
	struct vhost_message m;

	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	for (unsigned i = 0; i < 5; i++) {
		check_data(5);
		vhost_client_share(&client);
		check_data(5);
		vhost_message_init(&m, VHOST_USER_REM_MEM_REG, false);
		m.header.len_bytes = sizeof(m.payload.one_region);
		m.payload.one_region = (struct vhost_user_one_region){.region = second};
		assert_int_equal(vhost_client_do(&client, &m), 0);
		assert_int_equal(vhost_client_io(&client, 0, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
		vhost_message_init(&m, VHOST_USER_ADD_MEM_REG, false);
		m.header.len_bytes = sizeof(m.payload.one_region);
		m.payload.one_region = (struct vhost_user_one_region){.region = second};
		vhost_message_add_fd(&m, client.memory_fd);
		assert_int_equal(vhost_client_do(&client, &m), 0);
	}
	vhost_client_close(&client);
	close_server();
	assert_string_equal(world.log, "");
}

static void test_reset_device_begins_anew(void **state)
{
	struct vhost_message m;

	open_server(NULL, (struct vu_server_config){0});
	open_client(ALL);
	check_data(5);
	vhost_message_init(&m, VHOST_USER_RESET_DEVICE, false);
	assert_int_equal(vhost_client_do(&client, &m), 0);
	vhost_client_negotiate(&client, ALL | BIT64(VIRTIO_F_RING_PACKED));
	vhost_client_queue_prepare(&client, 0, 32);
	vhost_client_queue_start(&client, 0, 0x80008000);
	check_data(5);
	vhost_client_close(&client);
	close_server();
}

/* ---- several clients, several queues, several CPUs ---- */

static void test_clients_have_queues_and_memory_of_their_own(void **state)
{
	static struct vhost_client others[3];
	struct vu_server_stats stats;

	open_server(NULL, (struct vu_server_config){.depth = 2});
	open_client(ALL);
	for (unsigned i = 0; i < 3; i++) {
		vhost_client_open(&others[i], world.ob, server, -1);
		vhost_client_negotiate(&others[i], i == 1 ? ALL | BIT64(VIRTIO_F_RING_PACKED) : ALL);
		vhost_client_share(&others[i]);
		vhost_client_queue_prepare(&others[i], 0, 16);
		vhost_client_queue_start(&others[i], 0, i == 1 ? 0x80008000 : 0);
	}
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 3; i++) {
			memset(others[i].memory + DATA, (int)(round + i), 512);
			vhost_client_add(&others[i], 0, 0, VIRTIO_BLK_T_OUT, i, DATA, 512);
		}
		check_data(1);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(vhost_client_take(&others[i], 0), 0);
			assert_int_equal(*vhost_client_status(&others[i], 0, 0), VIRTIO_BLK_S_OK);
		}
	}
	vu_server_stats(server, &stats);
	assert_int_equal(stats.client_count, 4);
	for (unsigned i = 0; i < 3; i++)
		vhost_client_close(&others[i]);
	vhost_client_close(&client);
	vu_server_stats(server, &stats);
	assert_int_equal(stats.client_count, 0);
	assert_int_equal(stats.dropped, 0);
	close_server();
}

static void test_queues_run_on_all_cpus(void **state)
{
	struct ram_block_config disk = ram_world_disk();
	struct vu_server_config config = {.listen_fd = -1, .mode = OB_COMPLETION_INTERRUPT, .watchdog = true};

	ram_world_open(&world, 3, &disk);
	for (unsigned i = 1; i < 3; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(world.ob, i), -1), 0);
	config.block = world.block;
	assert_int_equal(vu_server_start(&config, &server), 0);
	assert_int_equal(world.ram->channels, 3);
	vhost_client_open(&client, world.ob, server, -1);
	vhost_client_negotiate(&client, ALL);
	vhost_client_share(&client);
	for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
		vhost_client_queue_prepare(&client, i, 16);
		vhost_client_queue_start(&client, i, 0);
	}
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
			memset(client.memory + DATA + 4096 * i, (int)(round + i), 512);
			vhost_client_add(&client, i, 3, VIRTIO_BLK_T_OUT, i * 100 + round, DATA + 4096 * i, 512);
		}
		for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
			assert_int_equal(vhost_client_take(&client, i), 3);
			assert_int_equal(*vhost_client_status(&client, i, 3), VIRTIO_BLK_S_OK);
			assert_int_equal(world.ram->media[(i * 100 + round) * 512], (uint8_t)(round + i));
		}
	}
	for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++)
		vhost_client_queue_stop(&client, i);
	vhost_client_close(&client);
	vu_server_stop(server);
	for (unsigned i = 1; i < 3; i++)
		ob_cpu_stop(ob_cpu_get(world.ob, i));
	ram_world_close(&world);
}

static void test_stop_ends_clients_that_are_busy(void **state)
{
	struct ram_block_config disk = ram_world_disk();

	disk.late_polls_max = 50;
	open_server(&disk, (struct vu_server_config){0});
	open_client(ALL);
	for (unsigned i = 0; i < 10; i++)
		vhost_client_add(&client, 0, i, VIRTIO_BLK_T_IN, i, DATA + 512 * i, 512);
	vhost_client_turn(&client, 3);
	vu_server_stop(server);
	vhost_client_close(&client);
	ram_world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_is_the_disks),
		cmocka_unit_test(test_resize_is_told_and_seen),
		cmocka_unit_test(test_data_is_what_was_written_on_all_rings_in_all_modes),
		cmocka_unit_test(test_many_requests_end_once_each),
		cmocka_unit_test(test_discard_and_write_zeroes_take_their_ranges),
		cmocka_unit_test(test_requests_that_are_wrong_end_with_a_status),
		cmocka_unit_test(test_ranges_of_one_request_are_all_taken),
		cmocka_unit_test(test_parts_of_blocks_are_read),
		cmocka_unit_test(test_read_only_disk_takes_no_write),
		cmocka_unit_test(test_id_is_the_serial_number_padded),
		cmocka_unit_test(test_write_is_durable_after_flush_or_without_a_cache),
		cmocka_unit_test(test_stopped_queue_goes_on_at_its_base),
		cmocka_unit_test(test_client_is_signalled_when_a_queue_starts),
		cmocka_unit_test(test_signals_are_those_that_the_driver_wants),
		cmocka_unit_test(test_disabled_queue_is_not_looked_at),
		cmocka_unit_test(test_memory_may_change_while_queues_run),
		cmocka_unit_test(test_reset_device_begins_anew),
		cmocka_unit_test(test_clients_have_queues_and_memory_of_their_own),
		cmocka_unit_test(test_queues_run_on_all_cpus),
		cmocka_unit_test(test_stop_ends_clients_that_are_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
