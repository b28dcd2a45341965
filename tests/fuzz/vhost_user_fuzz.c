/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user server against a client that says and writes what the fuzzer's bytes tell it: messages with descriptors of
 * many kinds, rings, requests, the size of its memory's file. One thread turns the server's CPU.
 *
 * Whatever the client does: memory stays whole (the sanitizers look), and when it has left nothing of it remains. Every
 * few runs an honest client is served by the same server, and must not notice.
 *
 * A script is a header of four bytes and steps of a byte and its arguments; where bytes end, zeroes follow.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/outboard.h>

#include "base/bits.h"
#include "serve/vhost_user/guard.h"
#include "serve/vhost_user/server.h"
#include "tests/fuzz/hostile.h"
#include "tests/ram_block.h"
#include "tests/ram_machine.h"
#include "tests/vhost_client.h"

#define DISK_BYTES (512u * 512u)
#define LEAVE_NS   (10 * OB_NS_PER_S)
#define PROMPT     2u /* polls until a request of the disk ends, at most */
#define LATE       200u
#define RING_BYTES 16384u /* that scripts write to: the beginning of the first queue's */

bool hostile_verbose;

enum step {
	STEP_TURN,    /* count */
	STEP_RAW,     /* request, flags, length, descriptor, bytes: a message of any kind */
	STEP_STATE,   /* request, index, value of 32 bits */
	STEP_U64,     /* request, value, descriptor */
	STEP_ADDRESS, /* index, three offsets of 16 bits, in units of 16 bytes; something to add */
	STEP_REGION,  /* request, address, length, offset, descriptor */
	STEP_SHARE,   /* the usual table */
	STEP_START,   /* queue, size: as an honest client does */
	STEP_WRITE,   /* offset of 16 bits, length, bytes: into the ring */
	STEP_REQUEST, /* queue, token, type, sector of 16 bits, offset of 16 bits, length of 16 bits: a whole request */
	STEP_KICK,    /* queue */
	STEP_TAKE,    /* queue */
	STEP_TRUNCATE, /* memory to so many units of 64 KiB */
	STEP_INFLIGHT, /* GET, or SET of what was got, with changes */
	STEP_TABLE,    /* offset of 16 bits, length, bytes: into the table of requests in flight */
	STEP_SLOW,     /* the disk takes its time for what comes now, or does not */
	STEP_NOISE,    /* length, bytes: not even messages */
	STEP_COUNT
};

/* What a descriptor may be. */
enum kind {
	FD_NONE,
	FD_MEMORY,
	FD_EVENT,
	FD_PIPE,
	FD_SOCKET,
	FD_NULL,
	FD_TABLE,
	FD_KIND_COUNT
};

static struct {
	struct ob *ob;
	struct ob_machine *machine;
	struct ram_block *rams[2], *ram; /* of blocks of 512 and of 4096 bytes; the one that is served */
	struct vu_server *server;
	struct vhost_client client;
	const uint8_t *data;
	size_t len_bytes;
	int fds[FD_KIND_COUNT];
	uint8_t *table;
	struct vhost_user_inflight inflight;
	unsigned runs, guard, hurt; /* we may touch what we have made shorter ourselves */
} run;

static void fuzz_fail(const char *what)
{
	fprintf(stderr, "hostile: %s\n", what);
	abort();
}

static uint8_t byte(void)
{
	if (run.len_bytes == 0)
		return 0;
	run.len_bytes--;
	return *run.data++;
}

static uint16_t word(void)
{
	uint16_t low = byte();

	return (uint16_t)(low | byte() << 8);
}

static uint32_t dword(void)
{
	uint32_t low = word();

	return low | (uint32_t)word() << 16;
}

static uint64_t qword(void)
{
	uint64_t low = dword();

	return low | (uint64_t)dword() << 32;
}

static void bytes(void *to, size_t count)
{
	for (size_t i = 0; i < count; i++)
		((uint8_t *)to)[i] = byte();
}

static void on_log(void *arg, enum ob_log_level level, const char *message)
{
	if (hostile_verbose)
		fprintf(stderr, "%u %s\n", (unsigned)level, message);
	if (strstr(message, "never freed") != NULL || strstr(message, "does not answer") != NULL)
		fuzz_fail(message);
}

static void turn(unsigned count)
{
	while (count-- > 0)
		ob_cpu_turn(run.client.cpu, 0);
}

/* ---- once ---- */

static void open_disk(uint32_t block_bytes, const char *name, struct ram_block **out)
{
	struct ram_block_config disk = {
		.limits = ram_block_limits(block_bytes, DISK_BYTES / block_bytes),
		.name = name,
		.seed = 1,
		.bad_lba = UINT64_MAX,
		.late_polls_max = PROMPT,
		.reorder = true,
	};

	disk.limits.volatile_cache = disk.limits.flush = true;
	if (ram_block_create(run.machine, &disk, out) != 0)
		fuzz_fail("no disk");
}

static void open_world(void)
{
	struct ob_config config = {.log = on_log, .log_level = OB_LOG_INFO};
	int pair[2];

	if (ob_create(&config, &run.ob) != 0 || ram_machine_open(run.ob, &run.machine) != 0)
		fuzz_fail("no world");
	open_disk(512, "fine", &run.rams[0]);
	open_disk(4096, "coarse", &run.rams[1]);
	run.fds[FD_NONE] = -1;
	run.fds[FD_EVENT] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) != 0)
		fuzz_fail("no pipe");
	run.fds[FD_PIPE] = pair[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		fuzz_fail("no socket");
	run.fds[FD_SOCKET] = pair[0];
	run.fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* ---- steps ---- */

static int a_descriptor(void)
{
	unsigned kind = byte() % FD_KIND_COUNT;

	return kind == FD_MEMORY ? run.client.memory_fd : run.fds[kind];
}

static void add_descriptor(struct vhost_message *m)
{
	int fd = a_descriptor();

	if (fd >= 0)
		vhost_message_add_fd(m, fd);
}

static void send_message(struct vhost_message *m)
{
	vhost_send(run.client.fd, m, 0);
	turn(2);
}

static void step_raw(void)
{
	struct vhost_message m;
	unsigned request = byte() % 44, flags = byte(), len = byte();

	vhost_message_init(&m, request, (flags & 1) != 0);
	m.header.len_bytes = MIN(len, (unsigned)sizeof(m.payload));
	memset(&m.payload, 0, sizeof(m.payload));
	for (unsigned i = flags >> 1 & 3; i > 0; i--)
		add_descriptor(&m);
	bytes(&m.payload, m.header.len_bytes);
	if ((flags & 8) != 0)
		m.header.len_bytes += flags >> 4;
	send_message(&m);
}

static void step_state(void)
{
	static const uint8_t requests[] = {VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					   VHOST_USER_GET_VRING_BASE, VHOST_USER_SET_VRING_ENABLE};
	struct vhost_message m;
	uint8_t request = requests[byte() % sizeof(requests)], index = byte();

	vhost_message_init_state(&m, request, false, index, dword());
	send_message(&m);
}

static void step_u64(void)
{
	static const uint8_t requests[] = {VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					   VHOST_USER_SET_VRING_ERR, VHOST_USER_SET_FEATURES,
					   VHOST_USER_SET_PROTOCOL_FEATURES};
	struct vhost_message m;
	uint8_t request = requests[byte() % sizeof(requests)];

	vhost_message_init_u64(&m, request, false, request == VHOST_USER_SET_FEATURES ? qword() : dword());
	if (request != VHOST_USER_SET_FEATURES && request != VHOST_USER_SET_PROTOCOL_FEATURES)
		add_descriptor(&m);
	send_message(&m);
}

static void step_address(void)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_VRING_ADDR, false);
	m.header.len_bytes = sizeof(m.payload.address);
	m.payload.address = (struct vhost_user_address){.index = byte()};
	m.payload.address.descriptors = VHOST_CLIENT_USER + 16ull * word();
	m.payload.address.available = VHOST_CLIENT_USER + 16ull * word();
	m.payload.address.used = VHOST_CLIENT_USER + 16ull * word();
	m.payload.address.descriptors += byte();
	send_message(&m);
}

static void step_region(void)
{
	static const uint8_t requests[] = {VHOST_USER_ADD_MEM_REG, VHOST_USER_REM_MEM_REG};
	struct vhost_message m;

	vhost_message_init(&m, requests[byte() % sizeof(requests)], false);
	m.header.len_bytes = sizeof(m.payload.one_region);
	m.payload.one_region.reserved = 0;
	m.payload.one_region.region.guest_address = (uint64_t)word() << 16;
	m.payload.one_region.region.user_address = m.payload.one_region.region.guest_address + VHOST_CLIENT_USER;
	m.payload.one_region.region.len_bytes = (uint64_t)word() << 10;
	m.payload.one_region.region.file_offset = (uint64_t)word() << 8;
	add_descriptor(&m);
	send_message(&m);
}

static void say(struct vhost_message *m)
{
	m->header.flags |= VHOST_USER_FLAGS_NEED_REPLY;
	send_message(m);
}

/* As vhost_client_negotiate() and its like, without belief in an answer. */
static void negotiate(uint64_t features, uint64_t protocol_features)
{
	struct vhost_message m;

	run.client.features = features;
	vhost_client_send_u64(&run.client, VHOST_USER_SET_PROTOCOL_FEATURES, protocol_features);
	vhost_message_init_u64(&m, VHOST_USER_SET_FEATURES, false, features);
	say(&m);
}

static void step_share(void)
{
	struct vhost_message m;

	vhost_client_memory_table(&run.client, &m);
	say(&m);
}

static void step_start(void)
{
	static const uint16_t sizes[] = {16, 8, 32, 64};
	unsigned index = byte() % VHOST_CLIENT_QUEUES;
	struct vhost_client_queue *q = &run.client.queue[index];
	struct vhost_message m;
	uint32_t base;

	vhost_client_queue_prepare(&run.client, index, sizes[byte() % ARRAY_SIZE(sizes)]);
	base = (run.client.features & BIT64(VIRTIO_F_RING_PACKED)) != 0 ? 0x80008000 : 0;
	vhost_client_send_state(&run.client, VHOST_USER_SET_VRING_NUM, index, q->size);
	vhost_client_send_state(&run.client, VHOST_USER_SET_VRING_BASE, index, base);
	vhost_client_addresses(&run.client, index, &m);
	vhost_client_send(&run.client, &m);
	vhost_client_send_fd(&run.client, VHOST_USER_SET_VRING_KICK, index, q->kick_fd);
	vhost_client_send_fd(&run.client, VHOST_USER_SET_VRING_CALL, index, q->call_fd);
	vhost_client_send_state(&run.client, VHOST_USER_SET_VRING_ENABLE, index, 1);
	turn(4);
}

static void step_write(uint8_t *memory, size_t memory_bytes)
{
	size_t offset = word(), len = byte() % 64;

	for (size_t i = 0; i < len; i++) {
		uint8_t value = byte();

		if (memory != NULL && offset + i < memory_bytes)
			memory[offset + i] = value;
	}
}

/* The rings of the queues that were started, in the driver's way; what the script wrote may have broken them. */
static void step_request(void)
{
	unsigned index = byte() % VHOST_CLIENT_QUEUES, token = byte() % VHOST_CLIENT_REQUESTS;
	struct vhost_client_queue *q = &run.client.queue[index];
	static const uint8_t types[] = {VIRTIO_BLK_T_IN,
					VIRTIO_BLK_T_OUT,
					VIRTIO_BLK_T_FLUSH,
					VIRTIO_BLK_T_GET_ID,
					VIRTIO_BLK_T_DISCARD,
					VIRTIO_BLK_T_WRITE_ZEROES,
					99};
	uint32_t type = types[byte() % sizeof(types)], sector = word(), offset = word(), len = word();
	struct virtio_blk_header *header;
	struct ob_dma_piece pieces[3];
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	unsigned count = 0;

	if (q->shadow == NULL)
		return;
	header = vhost_client_header(&run.client, index, token);
	header->type = ob_cpu_to_le32(type);
	header->sector = ob_cpu_to_le64(sector);
	pieces[count++] = (struct ob_dma_piece){{vhost_client_guest((uint64_t)((uint8_t *)header - run.client.memory))},
						sizeof(*header)};
	if (len != 0)
		pieces[count++] = (struct ob_dma_piece){{VHOST_CLIENT_GUEST + 64ull * offset}, len};
	pieces[count++] = (struct ob_dma_piece){{pieces[0].iova.addr + 63}, 1};
	virtqueue_driver_add(&q->driver, pieces, in ? 1 : count - 1, in ? count - 1 : 1, token);
	virtqueue_driver_kick(&q->driver);
}

static void step_kick(void)
{
	int fd = run.client.queue[byte() % VHOST_CLIENT_QUEUES].kick_fd;
	const uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
	turn(4);
}

static void step_take(void)
{
	struct vhost_client_queue *q = &run.client.queue[byte() % VHOST_CLIENT_QUEUES];
	struct ob_virtio_used used;

	turn(8);
	while (q->shadow != NULL && virtqueue_driver_take(&q->driver, &used, 1) == 1)
		;
}

static void step_inflight(void)
{
	struct vhost_receiver receiver;
	struct vhost_message m;
	bool set = (byte() & 1) != 0;

	vhost_message_init(&m, set ? VHOST_USER_SET_INFLIGHT_FD : VHOST_USER_GET_INFLIGHT_FD, false);
	m.header.len_bytes = sizeof(m.payload.inflight);
	m.payload.inflight = run.inflight;
	m.payload.inflight.queue_count = byte() % 8;
	m.payload.inflight.queue_size = byte();
	m.payload.inflight.len_bytes += byte();
	if (set && run.fds[FD_TABLE] >= 0)
		vhost_message_add_fd(&m, run.fds[FD_TABLE]);
	send_message(&m);
	if (set)
		return;
	/* Of what has been answered so far the last one with a descriptor is it. */
	vhost_receiver_init(&receiver);
	while (vhost_receive_some(run.client.fd, &receiver, NULL, 0) == 0) {
		if (receiver.message.fd_count != 1 || run.fds[FD_TABLE] >= 0)
			continue;
		run.inflight = receiver.message.payload.inflight;
		run.fds[FD_TABLE] = vhost_message_take_fd(&receiver.message, 0);
		run.table = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, run.fds[FD_TABLE], 0);
	}
	vhost_receiver_fini(&receiver);
}

static void step_truncate(void)
{
	if (ftruncate(run.client.memory_fd, (off_t)byte() << 16) == 0)
		turn(2);
}

static void step_noise(void)
{
	uint8_t noise[64];
	size_t len = byte() % sizeof(noise);

	bytes(noise, len);
	send(run.client.fd, noise, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	turn(2);
}

static void one_step(void)
{
	switch (byte() % STEP_COUNT) {
	case STEP_TURN:
		turn(byte());
		break;
	case STEP_RAW:
		step_raw();
		break;
	case STEP_STATE:
		step_state();
		break;
	case STEP_U64:
		step_u64();
		break;
	case STEP_ADDRESS:
		step_address();
		break;
	case STEP_REGION:
		step_region();
		break;
	case STEP_SHARE:
		step_share();
		break;
	case STEP_START:
		step_start();
		break;
	case STEP_WRITE:
		step_write(run.client.memory, RING_BYTES);
		break;
	case STEP_REQUEST:
		step_request();
		break;
	case STEP_KICK:
		step_kick();
		break;
	case STEP_TAKE:
		step_take();
		break;
	case STEP_TRUNCATE:
		step_truncate();
		break;
	case STEP_INFLIGHT:
		step_inflight();
		break;
	case STEP_TABLE:
		/* The table is as long as the server said; pages behind its end do not exist. */
		step_write(run.table, MIN(run.inflight.len_bytes, 4096u));
		break;
	case STEP_SLOW:
		run.ram->config.late_polls_max = (byte() & 1) != 0 ? LATE : PROMPT;
		break;
	case STEP_NOISE:
		step_noise();
		break;
	default:
		break;
	}
}

/* ---- a run ---- */

static unsigned clients(void)
{
	struct vu_server_stats stats;

	vu_server_stats(run.server, &stats);
	return stats.client_count;
}

static void start_server(enum ob_completion_mode mode)
{
	struct vu_server_config config = {
		.block = run.ram->block,
		.listen_fd = -1,
		.depth = 4,
		.queue_max = VHOST_CLIENT_QUEUES,
		.mode = mode,
	};

	if (vu_server_start(&config, &run.server) != 0)
		fuzz_fail("the server does not start");
}

static void open_client(void)
{
	vhost_client_open(&run.client, run.ob, run.server, -1);
	if (vu_guard_add(run.client.memory, 2 * VHOST_CLIENT_REGION, 4096, &run.hurt, &run.guard) != 0)
		fuzz_fail("no guard");
}

static void end_client(void)
{
	run.ram->config.late_polls_max = PROMPT;
	if (run.table != NULL)
		munmap(run.table, 65536);
	if (run.fds[FD_TABLE] >= 0)
		close(run.fds[FD_TABLE]);
	run.table = NULL;
	run.fds[FD_TABLE] = -1;
	vu_guard_remove(run.guard);
	vhost_client_close(&run.client);
	/* By the clock: a CPU that polls looks at its descriptors once in a while only. */
	for (uint64_t deadline_ns = ob_deadline(LEAVE_NS); clients() != 0;) {
		if (ob_now_ns() > deadline_ns)
			fuzz_fail("the client does not leave");
		turn(1);
	}
}

static void serve_honest(void)
{
	open_client();
	vhost_client_negotiate(&run.client, UINT64_MAX & ~BIT64(VIRTIO_F_RING_PACKED));
	vhost_client_share(&run.client);
	vhost_client_queue_prepare(&run.client, 0, 16);
	vhost_client_queue_start(&run.client, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		if (vhost_client_io(&run.client, 0, VIRTIO_BLK_T_IN, i, VHOST_CLIENT_DATA, 512) != VIRTIO_BLK_S_OK)
			fuzz_fail("an honest client is not served");
	}
	end_client();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[4];

	if (run.ob == NULL)
		open_world();
	run.data = data;
	run.len_bytes = size;
	bytes(header, sizeof(header));
	run.ram = run.rams[header[0] >> 1 & 1];
	start_server(header[0] & 1 ? OB_COMPLETION_HYBRID : OB_COMPLETION_INTERRUPT);
	run.fds[FD_TABLE] = -1;
	open_client();
	if ((header[1] & 1) != 0) {
		uint64_t features = BIT64(VIRTIO_F_VERSION_1) | VHOST_USER_F_PROTOCOL_FEATURES |
				    BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_INDIRECT_DESC) |
				    BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_CONFIG_WCE) |
				    BIT64(VIRTIO_BLK_F_DISCARD) | BIT64(VIRTIO_BLK_F_WRITE_ZEROES) |
				    ((header[1] & 2) != 0 ? BIT64(VIRTIO_F_RING_PACKED) : 0);
		negotiate(features, 0xb229); /* MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT, RESET_DEVICE, MEM_SLOTS */
		if ((header[1] & 4) != 0)
			step_share();
	}
	while (run.len_bytes > 0)
		one_step();
	turn(4);
	end_client();
	if (run.runs++ % 16 == 0)
		serve_honest();
	vu_server_stop(run.server);
	if (run.ram->violations != 0)
		fuzz_fail(run.ram->violation);
	return 0;
}
