/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU machine with nothing above it. */
#include "tests/qemu_raw.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/io.h"

static void keep(void *arg, enum ob_log_level level, const char *message)
{
	struct raw *r = arg;
	int n;

	pthread_mutex_lock(&r->lock);
	n = snprintf(r->log + r->log_len, sizeof(r->log) - r->log_len, "%s\n", message);
	if (n > 0 && (size_t)n < sizeof(r->log) - r->log_len)
		r->log_len += (size_t)n;
	pthread_mutex_unlock(&r->lock);
}

static void died(struct machine *m, const char *why)
{
	struct raw *r = m->core;

	if (r->deaths == 0)
		snprintf(r->why, sizeof(r->why), "%s", why);
	__atomic_fetch_add(&r->deaths, 1, __ATOMIC_RELEASE);
}

int raw_open(struct raw *r, const char *rest)
{
	struct ob_config config = {.log = keep, .log_arg = r, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {0};
	int ret;

	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	ret = ob_create(&config, &r->ob);
	if (ret < 0)
		return ret;
	ret = qemu_machine_type.open(r->ob, rest, &options, ob_deadline(20 * OB_NS_PER_S), &r->m);
	if (ret < 0)
		return ret;
	r->qemu = (struct qemu *)(void *)r->m;
	r->m->core = r;
	__atomic_store_n(&r->m->on_dead, died, __ATOMIC_RELEASE);
	return 0;
}

void raw_close(struct raw *r)
{
	if (r->m != NULL) {
		r->m->ops->shutdown(r->m);
		r->m->ops->close(r->m);
	}
	ob_destroy(r->ob);
	pthread_mutex_destroy(&r->lock);
	r->m = NULL;
	r->ob = NULL;
}

bool raw_logged(struct raw *r, const char *text)
{
	bool found;

	pthread_mutex_lock(&r->lock);
	found = strstr(r->log, text) != NULL;
	pthread_mutex_unlock(&r->lock);
	return found;
}

bool raw_wait_dead(struct raw *r, unsigned timeout_ms)
{
	for (unsigned i = 0; i < timeout_ms; i++) {
		if (__atomic_load_n(&r->deaths, __ATOMIC_ACQUIRE) > 0)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

uint64_t raw_read(struct raw *r, uint64_t address, unsigned size_bytes)
{
	return r->m->ops->read(r->m, MACHINE_SPACE_MEMORY, address, size_bytes);
}

void raw_write(struct raw *r, uint64_t address, unsigned size_bytes, uint64_t value)
{
	r->m->ops->write(r->m, MACHINE_SPACE_MEMORY, address, size_bytes, value);
}

static uint64_t config_address(struct raw *r, unsigned function, unsigned offset)
{
	return r->m->ops->buses(r->m)->u.pci.ecam_base + (function << 12) + offset;
}

uint32_t raw_config_read(struct raw *r, unsigned function, unsigned offset, unsigned size_bytes)
{
	return (uint32_t)raw_read(r, config_address(r, function, offset), size_bytes);
}

void raw_config_write(struct raw *r, unsigned function, unsigned offset, unsigned size_bytes, uint32_t value)
{
	raw_write(r, config_address(r, function, offset), size_bytes, value);
}

void raw_place(struct raw *r, unsigned function, uint32_t address)
{
	raw_config_write(r, function, 0x10, 4, address);
	raw_config_write(r, function, 0x04, 2, 0x6);
}

unsigned raw_capability(struct raw *r, unsigned function, uint8_t id)
{
	unsigned offset = raw_config_read(r, function, 0x34, 1);

	for (unsigned i = 0; i < 48 && offset != 0; i++) {
		if (raw_config_read(r, function, offset, 1) == id)
			return offset;
		offset = raw_config_read(r, function, offset + 1, 1);
	}
	return 0;
}

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

unsigned raw_count_fds(void)
{
	return count_entries("/proc/self/fd");
}

unsigned raw_count_threads(void)
{
	return count_entries("/proc/self/task");
}

bool raw_fired(int fd, unsigned timeout_ms)
{
	return io_wait(fd, POLLIN, ob_deadline(timeout_ms * OB_NS_PER_MS)) == 0 && io_event_take(fd);
}

uint64_t raw_elapsed_ms(uint64_t since_ns)
{
	return (ob_now_ns() - since_ns) / OB_NS_PER_MS;
}
