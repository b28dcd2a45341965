/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's life: its task, which waits for messages, and its end. */
#include "serve/vhost_user/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "io/io.h"

#define IDLE_NS (3600 * OB_NS_PER_S) /* just some deadline: whoever is silent may be */
/* Messages that one client has handled before the rest of CPU 0 gets a turn. */
#define MESSAGES_TURN 8u

static struct ob_cpu *cpu0(const struct vu_client *c)
{
	return ob_cpu_get(c->server->ob, 0);
}

int vu_client_fail(struct vu_client *c, const char *format, ...)
{
	unsigned fine = VU_FINE;
	va_list args;

	if (!__atomic_compare_exchange_n(&c->failed, &fine, VU_FAILING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return -EPROTO;
	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	__atomic_store_n(&c->failed, VU_FAILED, __ATOMIC_RELEASE);
	ob_event_signal(&c->wake);
	return -EPROTO;
}

static bool has_failed(const struct vu_client *c)
{
	return __atomic_load_n(&c->failed, __ATOMIC_ACQUIRE) != VU_FINE;
}

/* ---- waiting ---- */

/* Hard. The task reads; until it waits again nobody looks at the socket. */
static void on_readable(struct ob_fd *fd)
{
	struct vu_client *c = container_of(fd, struct vu_client, readable);

	ob_fd_remove(cpu0(c), fd);
	c->watched = false;
	ob_event_signal(&c->wake);
}

static void wait_for_message(struct vu_client *c)
{
	int ret = ob_fd_add(cpu0(c), &c->readable);

	if (ret != 0) {
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
		return;
	}
	c->watched = true;
	ob_event_wait(&c->wake, ob_deadline(IDLE_NS));
	if (c->watched)
		ob_fd_remove(cpu0(c), &c->readable);
	c->watched = false;
}

/* ---- messages ---- */

static int take_message(struct vu_client *c)
{
	struct vhost_message *m = &c->receiver.message;
	char why[VU_WHY_MAX] = "";
	int ret = vhost_receive_some(c->fd, &c->receiver, why, sizeof(why));

	if (ret == -EAGAIN || (ret == -ENODEV && c->receiver.have_bytes == 0))
		return ret;
	if (ret == -ENODEV)
		return vu_client_fail(c, "it left in the midst of a message");
	if (ret == 0)
		ret = vhost_check_request(VHOST_FRONTEND, m, why, sizeof(why));
	if (ret != 0 && ret != -EOPNOTSUPP)
		return vu_client_fail(c, "%s", why[0] != '\0' ? why : strerror(-ret));
	ret = vu_client_handle(c, m);
	vhost_message_close(m);
	return ret;
}

static void serve(struct vu_client *c)
{
	unsigned count = 0;

	while (!has_failed(c) && !c->server->stopping) {
		int ret = take_message(c);

		if (ret == -EAGAIN)
			wait_for_message(c);
		else if (ret != 0)
			break;
		else if (++count % MESSAGES_TURN == 0)
			ob_task_yield();
	}
}

/* ---- life ---- */

static void add_up(struct vu_client *c, uint64_t *requests, uint64_t *copied)
{
	for (unsigned i = 0; i < c->queue_count; i++) {
		*requests += c->queues[i].requests;
		*copied += c->queues[i].copied;
	}
}

static void say_goodbye(struct vu_client *c, uint64_t requests, uint64_t copied)
{
	struct vu_server *server = c->server;

	/* Somebody may be writing the reason at this moment, but no longer than that. */
	while (__atomic_load_n(&c->failed, __ATOMIC_ACQUIRE) == VU_FAILING)
		ob_task_yield();
	if (has_failed(c)) {
		__atomic_fetch_add(&server->stats.dropped, 1, __ATOMIC_RELAXED);
		ob_warn(server->ob, "vhost-user: %s: dropped: %s", c->name, c->why);
		return;
	}
	ob_info(server->ob, "vhost-user: %s: has left after %llu requests, %llu of them with data that was copied",
		c->name, (unsigned long long)requests, (unsigned long long)copied);
}

static void client_free(struct vu_client *c)
{
	for (unsigned i = 0; i < c->queue_count; i++)
		vu_queue_forget(&c->queues[i]);
	vu_unmap(&c->inflight);
	vu_memory_clear(c->memory);
	vhost_receiver_fini(&c->receiver);
	io_close(&c->backend_fd);
	ob_event_reset(&c->wake);
	ob_free(c->memory);
	ob_free(c->queues);
	ob_free(c);
}

static void client_main(void *arg)
{
	struct vu_client *c = arg;
	struct vu_server *server = c->server;
	uint64_t requests = 0, copied = 0;

	serve(c);
	vu_client_halt(c);
	/* The peer sees the end when nothing of its memory is used any more. */
	io_close(&c->fd);
	add_up(c, &requests, &copied);
	say_goodbye(c, requests, copied);
	list_del(&c->link);
	server->stats.requests += requests;
	server->stats.copied += copied;
	__atomic_fetch_sub(&server->stats.client_count, 1, __ATOMIC_RELAXED);
	if (c->stuck)
		server->stuck = true;
	else
		client_free(c);
	if (server->stopping && list_empty(&server->clients))
		ob_event_signal(&server->empty);
}

static int client_new(struct vu_server *server, struct vu_client **out)
{
	struct vu_client *c = ob_alloc(sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->memory = ob_alloc(sizeof(*c->memory));
	c->queues = ob_alloc(server->config.queue_max * sizeof(*c->queues));
	if (c->memory == NULL || c->queues == NULL) {
		ob_free(c->memory);
		ob_free(c->queues);
		ob_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

int vu_client_create(struct vu_server *server, int fd)
{
	struct vu_client *c;
	int ret = client_new(server, &c);

	if (ret != 0)
		return ret;
	c->server = server;
	c->number = server->stats.clients + 1;
	snprintf(c->name, sizeof(c->name), "client %llu", (unsigned long long)c->number);
	c->fd = fd;
	c->backend_fd = -1;
	c->readable = (struct ob_fd){.fd = fd, .fn = on_readable};
	c->writeback = true;
	c->queue_count = server->config.queue_max;
	c->memory->block = server->config.block;
	c->memory->hurt = &c->hurt;
	vhost_receiver_init(&c->receiver);
	ob_event_init(&c->wake, cpu0(c));
	/* A client's queues lie side by side, and clients begin at different lanes. */
	for (unsigned i = 0; i < c->queue_count; i++)
		vu_queue_init(&c->queues[i], c, &server->lanes[(c->number - 1 + i) % server->lane_count], i);
	list_add_tail(&server->clients, &c->link);
	ret = ob_task_spawn(cpu0(c), "vhost-user client", client_main, c, NULL);
	if (ret != 0) {
		list_del(&c->link);
		client_free(c);
		return ret;
	}
	server->stats.clients++;
	__atomic_fetch_add(&server->stats.client_count, 1, __ATOMIC_RELAXED);
	ob_info(server->ob, "vhost-user: %s: is here", c->name);
	return 0;
}
