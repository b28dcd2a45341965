/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user machine: opened by the path of a back-end's socket, and closed. */
#include "machine/vhost_user/vhost_user.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"

/* ---- life ---- */

void vu_die(struct vu_machine *vm, const char *format, ...)
{
	va_list args;

	if (vm->state == VU_DEAD)
		return;
	vm->state = VU_DEAD;
	va_start(args, format);
	vsnprintf(vm->why, sizeof(vm->why), format, args);
	va_end(args);
	__atomic_store_n(&vm->machine.dead, true, __ATOMIC_RELEASE);
	vu_watch_wake(vm);
}

void vu_link_failed(struct vu_machine *vm, int error)
{
	if (vm->state != VU_UP)
		return;
	/* It is as it was, but for what it did not like. */
	if (error == -EREMOTEIO) {
		ob_err(vm->machine.ob, "vhost-user: %s: %s", vm->uri.path, vm->link.why);
		return;
	}
	/* Only one that has gone can be succeeded by another: one that hangs or raves may still write to the memory. */
	if (error != -ENODEV || vm->uri.reconnect_ns == 0 || !vm->watching) {
		vu_die(vm, "%s", vm->link.why);
		return;
	}
	snprintf(vm->why, sizeof(vm->why), "%s", vm->link.why);
	vm->state = VU_LOST;
	vu_restore_begin(vm);
	vu_watch_wake(vm);
}

static const struct machine_bus *vu_buses(struct machine *m)
{
	return vu_of(m)->buses;
}

/* The back-end sees the connection end, and stops. */
static void vu_shutdown(struct machine *m)
{
	struct vu_machine *vm = vu_of(m);

	vu_watch_stop(vm);
	pthread_mutex_lock(&vm->lock);
	vu_die(vm, "closed");
	vu_link_close(&vm->link);
	pthread_mutex_unlock(&vm->lock);
}

static void vu_close(struct machine *m)
{
	struct vu_machine *vm = vu_of(m);

	vu_shutdown(m);
	vu_inflight_drop(vm);
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		vu_queue_close(&vm->queue[i]);
	vu_memory_fini(vm);
	io_close(&vm->config_fd);
	io_close(&vm->error_fd);
	io_close(&vm->wake_fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

/* ---- what it has not ---- */

static uint64_t vu_read(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	return UINT64_MAX >> (64 - 8 * size_bytes);
}

static void vu_write(struct machine *m, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value)
{
}

static int vu_flush(struct machine *m)
{
	return m->dead ? -ENODEV : 0;
}

static int vu_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			  uint64_t len_bytes, struct ob_region *out)
{
	return -ENODEV;
}

static void vu_region_close(struct machine *m, struct ob_region *region)
{
}

/* ---- for a person ---- */

static char *text(const char *format, ...) OB_PRINTF(1, 2);
static char *text(const char *format, ...)
{
	va_list args;
	char buffer[512], *out;
	int len;

	va_start(args, format);
	len = vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	out = len < 0 ? NULL : ob_alloc((size_t)len + 1);
	if (out != NULL)
		memcpy(out, buffer, MIN((size_t)len, sizeof(buffer) - 1));
	return out;
}

static int vu_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns)
{
	static const char *const states[] = {[VU_UP] = "up", [VU_LOST] = "lost", [VU_DEAD] = "dead"};
	struct vu_machine *vm = vu_of(m);
	char *out;

	if (strcmp(command, "status") != 0) {
		out = text("there is one command: status");
		goto out;
	}
	pthread_mutex_lock(&vm->lock);
	out = text("state %s\nrestored %u\nreset %u\ninflight %s\nfeatures %#llx\nprotocol %#llx\n", states[vm->state],
		   vm->restore_count, vm->reset_count, vm->inflight.fd >= 0 ? "tracked" : "untracked",
		   (unsigned long long)vm->accepted, (unsigned long long)vm->link.protocol);
	pthread_mutex_unlock(&vm->lock);
out:
	if (out == NULL)
		return -ENOMEM;
	if (reply != NULL)
		*reply = out;
	else
		ob_free(out);
	return strcmp(command, "status") == 0 ? 0 : -EIO;
}

static const struct machine_ops vu_ops = {
	.shutdown = vu_shutdown,
	.close = vu_close,
	.buses = vu_buses,
	.read = vu_read,
	.write = vu_write,
	.flush = vu_flush,
	.region_open = vu_region_open,
	.region_close = vu_region_close,
	.dma_alloc = vu_dma_alloc,
	.dma_free = vu_dma_free,
	.command = vu_command,
};

/* ---- open ---- */

static int event_open(int *out)
{
	*out = io_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return *out >= 0 ? 0 : -EMFILE;
}

static int connect_and_describe(struct vu_machine *vm, uint64_t deadline_ns)
{
	int ret = vu_link_open(&vm->link, &vm->uri, deadline_ns);

	if (ret == 0)
		ret = vu_device_init(vm);
	if (ret != 0) {
		ob_err(vm->machine.ob, "vhost-user: %s", vm->link.why);
		return ret;
	}
	ret = vu_memory_init(vm);
	if (ret != 0)
		return ret;
	ret = vu_memory_tell(vm);
	vu_link_begun(&vm->link);
	if (ret != 0)
		ob_err(vm->machine.ob, "vhost-user: %s", vm->link.why);
	return ret;
}

static struct vu_machine *create(struct ob *ob)
{
	struct vu_machine *vm = calloc(1, sizeof(*vm));

	if (vm == NULL)
		return NULL;
	vm->machine.ops = &vu_ops;
	vm->machine.ob = ob;
	vm->config_fd = vm->error_fd = vm->wake_fd = vm->inflight.fd = -1;
	for (unsigned i = 0; i < VHOST_USER_QUEUES_MAX; i++)
		vm->queue[i].kick_fd = vm->queue[i].call_fd = -1;
	vu_link_init(&vm->link);
	pthread_mutex_init(&vm->lock, NULL);
	return vm;
}

static int vu_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		   struct machine **out)
{
	struct vu_machine *vm = create(ob);
	char why[256];
	int ret;

	if (vm == NULL)
		return -ENOMEM;
	ret = vu_uri_parse(rest, &vm->uri, why, sizeof(why));
	if (ret != 0) {
		ob_err(ob, "vhost-user: %s", why);
		goto close;
	}
	ret = event_open(&vm->config_fd);
	if (ret == 0)
		ret = event_open(&vm->error_fd);
	if (ret == 0)
		ret = event_open(&vm->wake_fd);
	if (ret == 0)
		ret = connect_and_describe(vm, deadline_ns);
	if (ret == 0)
		ret = vu_watch_start(vm);
	if (ret != 0)
		goto close;
	*out = &vm->machine;
	return 0;

close:
	vu_close(&vm->machine);
	return ret;
}

const struct machine_type vhost_user_machine_type = {
	.scheme = "vhost-user",
	.help = "vhost-user:SOCKET[?type=blk|net&queues=N&memory=SIZE&hugepages=on&reconnect=TIME]  a device that "
		"another "
		"process serves",
	.open = vu_open,
};
