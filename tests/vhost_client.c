/* SPDX-License-Identifier: BSD-2-Clause */
/* The scripted client: vhost_client.h. */
#include "tests/vhost_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "io/io.h"

#define PATIENCE_NS  (10 * OB_NS_PER_S)
#define QUEUE_BYTES  (VHOST_CLIENT_DATA / VHOST_CLIENT_QUEUES)
#define HEADER_SPACE 64u /* header, and the status at its end */
#define RING_BYTES   (QUEUE_BYTES - HEADER_SPACE * VHOST_CLIENT_REQUESTS)

/* ---- addresses ---- */

uint64_t vhost_client_guest(uint64_t offset)
{
	return offset < VHOST_CLIENT_REGION ? VHOST_CLIENT_GUEST + offset
					    : VHOST_CLIENT_GUEST2 + offset - VHOST_CLIENT_REGION;
}

uint64_t vhost_client_user(uint64_t offset)
{
	return VHOST_CLIENT_USER + offset;
}

static uint64_t header_offset(const struct vhost_client_queue *q, unsigned token)
{
	return q->ring + RING_BYTES + HEADER_SPACE * token;
}

struct virtio_blk_header *vhost_client_header(struct vhost_client *c, unsigned index, unsigned token)
{
	return (void *)(c->memory + header_offset(&c->queue[index], token));
}

uint8_t *vhost_client_status(struct vhost_client *c, unsigned index, unsigned token)
{
	return c->memory + header_offset(&c->queue[index], token) + HEADER_SPACE - 1;
}

/* ---- life ---- */

void vhost_client_open(struct vhost_client *c, struct ob *ob, struct vu_server *server, int fd)
{
	int pair[2] = {fd, -1};

	memset(c, 0, sizeof(*c));
	c->cpu = ob_cpu_get(ob, 0);
	if (server != NULL) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		assert_int_equal(vu_server_add(server, pair[1]), 0);
	}
	c->fd = pair[0];
	c->memory_fd = memfd_create("client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(c->memory_fd >= 0);
	assert_int_equal(ftruncate(c->memory_fd, 2 * VHOST_CLIENT_REGION), 0);
	c->memory = mmap(NULL, 2 * VHOST_CLIENT_REGION, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory_fd, 0);
	assert_true(c->memory != MAP_FAILED);
	for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
		c->queue[i].ring = (uint64_t)QUEUE_BYTES * i;
		c->queue[i].kick_fd = c->queue[i].call_fd = -1;
	}
}

void vhost_client_close(struct vhost_client *c)
{
	for (unsigned i = 0; i < VHOST_CLIENT_QUEUES; i++) {
		io_close(&c->queue[i].kick_fd);
		io_close(&c->queue[i].call_fd);
		free(c->queue[i].shadow);
	}
	vhost_message_close(&c->reply);
	io_close(&c->fd);
	munmap(c->memory, 2 * VHOST_CLIENT_REGION);
	io_close(&c->memory_fd);
	vhost_client_turn(c, 100);
}

void vhost_client_reconnect(struct vhost_client *c, struct vu_server *server)
{
	int pair[2];

	io_close(&c->fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(vu_server_add(server, pair[1]), 0);
	c->fd = pair[0];
}

void vhost_client_turn(struct vhost_client *c, unsigned turns)
{
	while (turns-- > 0)
		ob_cpu_turn(c->cpu, 0);
}

/* ---- messages ---- */

int vhost_client_send(struct vhost_client *c, const struct vhost_message *m)
{
	return vhost_send(c->fd, m, ob_deadline(OB_NS_PER_S));
}

int vhost_client_send_u64(struct vhost_client *c, unsigned request, uint64_t value)
{
	struct vhost_message m;

	vhost_message_init_u64(&m, request, false, value);
	return vhost_client_send(c, &m);
}

int vhost_client_send_state(struct vhost_client *c, unsigned request, uint32_t index, uint32_t value)
{
	struct vhost_message m;

	vhost_message_init_state(&m, request, false, index, value);
	return vhost_client_send(c, &m);
}

int vhost_client_send_fd(struct vhost_client *c, unsigned request, uint64_t value, int fd)
{
	struct vhost_message m;

	vhost_message_init_u64(&m, request, false, value);
	vhost_message_add_fd(&m, fd);
	return vhost_client_send(c, &m);
}

int vhost_client_ask(struct vhost_client *c, const struct vhost_message *m)
{
	uint64_t deadline_ns = ob_deadline(PATIENCE_NS);
	struct vhost_receiver receiver;
	int ret = vhost_client_send(c, m);

	if (ret != 0)
		return ret;
	vhost_message_close(&c->reply);
	vhost_receiver_init(&receiver);
	do {
		ob_cpu_turn(c->cpu, OB_NS_PER_MS);
		ret = vhost_receive_some(c->fd, &receiver, NULL, 0);
	} while (ret == -EAGAIN && ob_now_ns() < deadline_ns);
	if (ret == 0)
		c->reply = receiver.message;
	else
		vhost_receiver_fini(&receiver);
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

int vhost_client_do(struct vhost_client *c, struct vhost_message *m)
{
	int ret;

	m->header.flags |= VHOST_USER_FLAGS_NEED_REPLY;
	ret = vhost_client_ask(c, m);
	return ret != 0 ? ret : c->reply.payload.u64 != 0;
}

bool vhost_client_is_dropped(struct vhost_client *c)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_GET_FEATURES, false);
	for (unsigned i = 0; i < 4; i++) {
		int ret = vhost_client_ask(c, &m);

		if (ret != 0)
			return ret != -ETIMEDOUT;
		/* What it answers to may be what came before. */
	}
	return false;
}

static uint64_t ask_u64(struct vhost_client *c, unsigned request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, false);
	assert_int_equal(vhost_client_ask(c, &m), 0);
	return c->reply.payload.u64;
}

void vhost_client_memory_table(struct vhost_client *c, struct vhost_message *m)
{
	vhost_message_init(m, VHOST_USER_SET_MEM_TABLE, false);
	m->payload.memory.count = 2;
	m->payload.memory.reserved = 0;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t offset = (uint64_t)VHOST_CLIENT_REGION * i;

		m->payload.memory.region[i] = (struct vhost_user_region){
			.guest_address = vhost_client_guest(offset),
			.user_address = vhost_client_user(offset),
			.len_bytes = VHOST_CLIENT_REGION,
			.file_offset = offset,
		};
		vhost_message_add_fd(m, c->memory_fd);
	}
	m->header.len_bytes = offsetof(struct vhost_user_memory, region) + 2 * sizeof(struct vhost_user_region);
}

void vhost_client_share(struct vhost_client *c)
{
	struct vhost_message m;

	vhost_client_memory_table(c, &m);
	assert_int_equal(vhost_client_do(c, &m), 0);
}

void vhost_client_negotiate(struct vhost_client *c, uint64_t features)
{
	struct vhost_message m;

	c->features = ask_u64(c, VHOST_USER_GET_FEATURES) & (features | VHOST_USER_F_PROTOCOL_FEATURES);
	c->protocol_features = ask_u64(c, VHOST_USER_GET_PROTOCOL_FEATURES);
	assert_int_equal(vhost_client_send_u64(c, VHOST_USER_SET_PROTOCOL_FEATURES, c->protocol_features), 0);
	vhost_message_init(&m, VHOST_USER_SET_OWNER, false);
	assert_int_equal(vhost_client_send(c, &m), 0);
	vhost_message_init_u64(&m, VHOST_USER_SET_FEATURES, false, c->features);
	assert_int_equal(vhost_client_do(c, &m), 0);
}

/* ---- queues ---- */

static void doorbell_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct vhost_client_queue *q = region->context;

	q->kicks++;
	io_event_fire(q->kick_fd);
}

static const struct ob_region_ops doorbell_ops = {.write = doorbell_write};

void vhost_client_queue_prepare(struct vhost_client *c, unsigned index, uint16_t size)
{
	struct vhost_client_queue *q = &c->queue[index];
	size_t ring_bytes = virtqueue_driver_ring_bytes(c->features, size);
	size_t shadow_bytes = virtqueue_driver_shadow_bytes(c->features, size);
	size_t table_bytes = virtqueue_driver_table_bytes(c->features, size, 8);
	struct virtqueue_driver_config config = {
		.features = c->features,
		.size = size,
		.chain_max = 8,
		.ring = c->memory + q->ring,
		.ring_iova = {vhost_client_guest(q->ring)},
		.doorbell = &q->doorbell,
		.notify_id = (uint16_t)index,
	};

	q->size = size;
	q->in_flight = 0;
	assert_true(ALIGN_UP(ring_bytes, 4096u) + table_bytes <= RING_BYTES);
	if (table_bytes != 0) {
		config.tables = c->memory + q->ring + ALIGN_UP(ring_bytes, 4096u);
		config.tables_iova.addr = vhost_client_guest(q->ring + ALIGN_UP(ring_bytes, 4096u));
	}
	free(q->shadow);
	q->shadow = aligned_alloc(OB_CACHE_LINE, ALIGN_UP(shadow_bytes, (size_t)OB_CACHE_LINE));
	assert_non_null(q->shadow);
	config.shadow = q->shadow;
	q->doorbell = (struct ob_region){.len_bytes = 8, .ops = &doorbell_ops, .context = q};
	memset(c->memory + q->ring, 0, RING_BYTES);
	assert_int_equal(virtqueue_driver_init(&q->driver, &config), 0);
	if (q->kick_fd < 0)
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->call_fd < 0)
		q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void vhost_client_addresses(const struct vhost_client *c, unsigned index, struct vhost_message *out)
{
	ob_iova desc, driver, device;

	virtqueue_driver_areas(&c->queue[index].driver, &desc, &driver, &device);
	vhost_message_init(out, VHOST_USER_SET_VRING_ADDR, false);
	out->header.len_bytes = sizeof(out->payload.address);
	out->payload.address = (struct vhost_user_address){
		.index = index,
		.descriptors = desc.addr - VHOST_CLIENT_GUEST + VHOST_CLIENT_USER,
		.available = driver.addr - VHOST_CLIENT_GUEST + VHOST_CLIENT_USER,
		.used = device.addr - VHOST_CLIENT_GUEST + VHOST_CLIENT_USER,
	};
}

void vhost_client_queue_start(struct vhost_client *c, unsigned index, uint32_t base)
{
	struct vhost_client_queue *q = &c->queue[index];
	struct vhost_message m;

	assert_int_equal(vhost_client_send_state(c, VHOST_USER_SET_VRING_NUM, index, q->size), 0);
	assert_int_equal(vhost_client_send_state(c, VHOST_USER_SET_VRING_BASE, index, base), 0);
	vhost_client_addresses(c, index, &m);
	assert_int_equal(vhost_client_send(c, &m), 0);
	assert_int_equal(vhost_client_send_fd(c, VHOST_USER_SET_VRING_KICK, index, q->kick_fd), 0);
	assert_int_equal(vhost_client_send_fd(c, VHOST_USER_SET_VRING_CALL, index, q->call_fd), 0);
	vhost_message_init_state(&m, VHOST_USER_SET_VRING_ENABLE, false, index, 1);
	assert_int_equal(vhost_client_do(c, &m), 0);
}

uint32_t vhost_client_queue_stop(struct vhost_client *c, unsigned index)
{
	struct vhost_message m;

	vhost_message_init_state(&m, VHOST_USER_GET_VRING_BASE, false, index, 0);
	assert_int_equal(vhost_client_ask(c, &m), 0);
	assert_int_equal(c->reply.payload.state.index, index);
	return c->reply.payload.state.value;
}

/* ---- requests ---- */

void vhost_client_add(struct vhost_client *c, unsigned index, uint32_t token, uint32_t type, uint64_t sector,
		      uint64_t offset, uint32_t len_bytes)
{
	struct vhost_client_queue *q = &c->queue[index];
	struct virtio_blk_header *header = vhost_client_header(c, index, token);
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	unsigned count = 0;
	struct ob_dma_piece pieces[3];

	header->type = ob_cpu_to_le32(type);
	header->sector = ob_cpu_to_le64(sector);
	*vhost_client_status(c, index, token) = 0xff;
	pieces[count++] = (struct ob_dma_piece){{vhost_client_guest(header_offset(q, token))}, sizeof(*header)};
	if (len_bytes != 0)
		pieces[count++] = (struct ob_dma_piece){{vhost_client_guest(offset)}, len_bytes};
	pieces[count++] = (struct ob_dma_piece){{vhost_client_guest(header_offset(q, token) + HEADER_SPACE - 1)}, 1};
	assert_int_equal(virtqueue_driver_add(&q->driver, pieces, in ? 1 : count - 1, in ? count - 1 : 1, token), 0);
	virtqueue_driver_kick(&q->driver);
	q->in_flight++;
}

int vhost_client_take(struct vhost_client *c, unsigned index)
{
	struct vhost_client_queue *q = &c->queue[index];
	uint64_t deadline_ns = ob_deadline(PATIENCE_NS);
	struct ob_virtio_used used;
	int ret;

	for (;;) {
		ret = virtqueue_driver_take(&q->driver, &used, 1);
		if (ret != 0 || ob_now_ns() >= deadline_ns)
			break;
		ob_cpu_turn(c->cpu, OB_NS_PER_MS);
	}
	if (ret <= 0)
		return -1;
	q->in_flight--;
	return (int)used.token;
}

int vhost_client_io(struct vhost_client *c, unsigned index, uint32_t type, uint64_t sector, uint64_t offset,
		    uint32_t len_bytes)
{
	vhost_client_add(c, index, 0, type, sector, offset, len_bytes);
	return vhost_client_take(c, index) == 0 ? *vhost_client_status(c, index, 0) : -1;
}
