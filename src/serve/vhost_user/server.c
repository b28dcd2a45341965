/* SPDX-License-Identifier: BSD-2-Clause */
/* The server: its lanes, the listening socket, clients coming and all of them going. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/list.h"
#include "io/io.h"
#include "serve/vhost_user/call.h"
#include "serve/vhost_user/client.h"

#define DEPTH_DEFAULT  128u
#define QUEUES_DEFAULT 16u
#define ACCEPT_TURN    8u                   /* connections taken at once */
#define ACCEPT_WAIT_NS (100 * OB_NS_PER_MS) /* until the next look, when there are too many clients or descriptors */
#define STOP_NS        (700 * OB_NS_PER_S)  /* beyond what a queue may need to come to rest */
#define CALL_NS        (60 * OB_NS_PER_S)

static struct ob_cpu *cpu0(const struct vu_server *server)
{
	return ob_cpu_get(server->ob, 0);
}

/* ---- connections: CPU 0 ---- */

static void listen_again(struct vu_server *server)
{
	if (!server->listening && !server->stopping && ob_fd_add(cpu0(server), &server->listener) == 0)
		server->listening = true;
}

static void on_accept_again(struct ob_timer *timer)
{
	struct vu_server *server = container_of(timer, struct vu_server, accept_again);

	listen_again(server);
	if (!server->listening && !server->stopping)
		ob_timer_start(timer, ob_deadline(ACCEPT_WAIT_NS));
}

/* Whoever waits to be accepted does not make us turn in circles. */
static void pause_listening(struct vu_server *server)
{
	if (server->listening)
		ob_fd_remove(cpu0(server), &server->listener);
	server->listening = false;
	ob_timer_start(&server->accept_again, ob_deadline(ACCEPT_WAIT_NS));
}

static void accept_clients(struct ob_work *work)
{
	struct vu_server *server = container_of(work, struct vu_server, accepting);

	for (unsigned i = 0; i < ACCEPT_TURN && !server->stopping; i++) {
		int fd, ret;

		if (server->stats.client_count >= server->config.client_max) {
			pause_listening(server);
			return;
		}
		fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			break;
		ret = fd < 0 ? -errno : vu_client_create(server, fd);
		if (ret != 0) {
			/* The next looks find the same, until they do not. */
			if (!server->refusing)
				ob_warn(server->ob, "vhost-user: a client cannot be taken: %s", strerror(-ret));
			server->refusing = true;
			io_close(&fd);
			pause_listening(server);
			return;
		}
		server->refusing = false;
	}
	listen_again(server);
}

/* Hard. Until the work has run nobody looks at the socket. */
static void on_connection(struct ob_fd *fd)
{
	struct vu_server *server = container_of(fd, struct vu_server, listener);

	ob_fd_remove(cpu0(server), fd);
	server->listening = false;
	ob_cpu_post(cpu0(server), &server->accepting);
}

static void on_resized(struct ob_work *work)
{
	struct vu_server *server = container_of(work, struct vu_server, resized);

	list_for_each (node, &server->clients)
		vu_client_resized(list_entry(node, struct vu_client, link));
}

struct add {
	struct vu_server *server;
	int fd, ret;
};

static void add_on_cpu0(void *arg)
{
	struct add *add = arg;

	add->ret = add->server->stats.client_count < add->server->config.client_max
			   ? vu_client_create(add->server, add->fd)
			   : -EMFILE;
}

int vu_server_add(struct vu_server *server, int fd)
{
	struct add add = {server, fd, 0};
	int ret = ob_cpu_call(cpu0(server), add_on_cpu0, &add, ob_deadline(CALL_NS));

	return ret != 0 ? ret : add.ret;
}

void vu_server_stats(const struct vu_server *server, struct vu_server_stats *out)
{
	out->clients = __atomic_load_n(&server->stats.clients, __ATOMIC_RELAXED);
	out->dropped = __atomic_load_n(&server->stats.dropped, __ATOMIC_RELAXED);
	out->client_count = __atomic_load_n(&server->stats.client_count, __ATOMIC_RELAXED);
	out->requests = __atomic_load_n(&server->stats.requests, __ATOMIC_RELAXED);
	out->copied = __atomic_load_n(&server->stats.copied, __ATOMIC_RELAXED);
}

/* ---- life ---- */

static void start_on_cpu0(void *arg)
{
	struct vu_server *server = arg;

	ob_timer_init(&server->accept_again, cpu0(server), on_accept_again);
	if (server->listener.fd < 0)
		return;
	listen_again(server);
	if (!server->listening)
		ob_timer_start(&server->accept_again, ob_deadline(ACCEPT_WAIT_NS));
}

static int open_lanes(struct vu_server *server, unsigned count)
{
	for (; server->lane_count < count; server->lane_count++) {
		struct ob_block_channel_config config = {
			.cpu = ob_cpu_get(server->ob, server->lane_count),
			.depth = server->config.depth,
			.poll = {.mode = server->config.mode},
			/* What no window has is copied, each request on its own. */
			.bounce_buffers = server->config.depth,
		};
		int ret = vu_lane_open(&server->lanes[server->lane_count], server->config.block, &config);

		if (ret == -ENOSPC && server->lane_count > 0)
			return 0; /* the device has fewer queues than we have CPUs */
		if (ret != 0)
			return ret;
	}
	return 0;
}

static void server_free(struct vu_server *server)
{
	vu_watchdog_stop(server->watchdog);
	while (server->lane_count > 0)
		vu_lane_close(&server->lanes[--server->lane_count]);
	ob_free(server->lanes);
	ob_block_put(server->config.block);
	ob_free(server);
}

int vu_server_start(const struct vu_server_config *config, struct vu_server **out)
{
	struct ob *ob = ob_device_context(ob_block_device(config->block));
	unsigned lanes = config->cpu_count != 0 ? MIN(config->cpu_count, ob_cpu_count(ob)) : ob_cpu_count(ob);
	struct vu_server *server = ob_alloc(sizeof(*server));
	int ret;

	if (server == NULL)
		return -ENOMEM;
	server->ob = ob;
	server->config = *config;
	server->config.depth = config->depth != 0 ? config->depth : DEPTH_DEFAULT;
	server->config.queue_max = MIN(config->queue_max != 0 ? config->queue_max : QUEUES_DEFAULT, VU_QUEUES_MAX);
	server->config.client_max = config->client_max != 0 ? config->client_max : VU_CLIENTS_MAX;
	server->config.block = ob_block_get(config->block);
	ob_block_limits(config->block, &server->limits);
	server->listener = (struct ob_fd){.fd = config->listen_fd, .fn = on_connection};
	list_init(&server->clients);
	ob_work_init(&server->resized, on_resized);
	ob_work_init(&server->accepting, accept_clients);
	server->lanes = ob_alloc(lanes * sizeof(*server->lanes));
	ret = server->lanes != NULL ? open_lanes(server, lanes) : -ENOMEM;
	if (ret == 0 && server->limits.block_bytes > VIRTIO_BLK_SECTOR_BYTES)
		ret = vu_parts_create(server->lanes, server->lane_count, server->limits.block_bytes, &server->parts);
	if (ret == 0 && config->watchdog)
		ret = vu_watchdog_start(server->lanes, server->lane_count, &server->watchdog);
	if (ret == 0)
		ret = ob_cpu_call(cpu0(server), start_on_cpu0, server, ob_deadline(CALL_NS));
	if (ret != 0) {
		(void)vu_parts_destroy(server->parts);
		server_free(server);
		return ret;
	}
	ob_block_watch_size(config->block, cpu0(server), &server->resized);
	*out = server;
	return 0;
}

static void stop_on_cpu0(void *arg)
{
	struct vu_server *server = arg;

	server->stopping = true;
	ob_timer_stop(&server->accept_again);
	if (server->listening)
		ob_fd_remove(cpu0(server), &server->listener);
	server->listening = false;
	list_for_each (node, &server->clients)
		ob_event_signal(&list_entry(node, struct vu_client, link)->wake);
	if (list_empty(&server->clients))
		ob_event_signal(&server->empty);
}

static void nothing(void *arg)
{
}

void vu_server_stop(struct vu_server *server)
{
	int ret;

	if (server == NULL)
		return;
	ob_block_watch_size(server->config.block, NULL, NULL);
	ob_event_init(&server->empty, cpu0(server));
	ret = ob_cpu_call(cpu0(server), stop_on_cpu0, server, ob_deadline(CALL_NS));
	if (ret == 0)
		ret = ob_event_wait(&server->empty, ob_deadline(STOP_NS));
	/* Work that was posted before is run before this. */
	if (ret == 0)
		ret = ob_cpu_call(cpu0(server), nothing, NULL, ob_deadline(CALL_NS));
	if (ret == 0 && !server->stuck)
		ret = vu_parts_destroy(server->parts);
	if (ret != 0 || server->stuck) {
		ob_err(server->ob, "vhost-user: the server does not come to its end; its memory is never freed");
		return;
	}
	server_free(server);
}
