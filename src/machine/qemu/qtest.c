/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's qtest protocol. Format of the lines: QEMU's softmmu/qtest.c, "QTest protocol". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "io/io.h"
#include "machine/qemu/qtest.h"

#define POSTED_LOW     (QTEST_POSTED_MAX / 2) /* how far a full pipeline is let run down */
#define POSTED_GLANCE  16                     /* from here on answers are collected in passing */
#define LINE_MAX_BYTES 64

int qtest_init(struct qtest *q, int fd, struct qemu_life *life)
{
	*q = (struct qtest){.fd = fd, .life = life};
	return -pthread_mutex_init(&q->lock, NULL);
}

void qtest_fini(struct qtest *q)
{
	pthread_mutex_destroy(&q->lock);
}

void qtest_report(struct qtest *q)
{
	pthread_mutex_lock(&q->lock);
	if (q->refused > 0)
		ob_debug(q->life->machine->ob, "qemu: %u posted writes were refused", q->refused);
	pthread_mutex_unlock(&q->lock);
}

/*
 * Why nobody answers; after it all accesses fail at once. But this one, and all that wait for the lock, fail only when
 * QEMU is dead: the caller will take its requests for ended, and a QEMU that hangs may wake up.
 */
static int lost(struct qtest *q, int error)
{
	if (error == -ETIMEDOUT || error == -EPROTO)
		__atomic_store_n(&q->life->hung, true, __ATOMIC_RELEASE);
	if (error == -ETIMEDOUT)
		qemu_life_end(q->life, "QEMU hangs: no answer within %llu ms",
			      (unsigned long long)(q->life->wait_ns / OB_NS_PER_MS));
	else if (error == -EPROTO)
		qemu_life_end(q->life, "QEMU answers with something that is not qtest");
	else
		qemu_life_end(q->life, "QEMU closed its qtest connection");
	qemu_life_await_burial(q->life);
	return -ENODEV;
}

static bool is_over(struct qtest *q)
{
	if (OB_LIKELY(!qemu_life_over(q->life)))
		return false;
	qemu_life_await_burial(q->life);
	return true;
}

static uint64_t deadline(const struct qtest *q)
{
	return ob_deadline(q->life->wait_ns);
}

/* "IRQ raise 21": to the listener. Returns whether the line was one. */
static bool take_irq(struct qtest *q, const char *line)
{
	bool raised;

	if (strncmp(line, "IRQ ", 4) != 0)
		return false;
	line += 4;
	raised = strncmp(line, "raise ", 6) == 0;
	if (q->irq != NULL && (raised || strncmp(line, "lower ", 6) == 0))
		q->irq(q->irq_arg, (unsigned)strtoul(line + 6, NULL, 10), raised);
	return true;
}

/*
 * Take the whole lines that have arrived. Answers come in order, so the first ones belong to posted writes. When
 * @reply is given it gets the one that comes after all of these; returns whether it did. What stands behind that one
 * are interrupts: who waits for more to arrive would not hear of them, so they are taken, too.
 */
static bool take_lines(struct qtest *q, char *reply)
{
	char *line = q->received, *end = q->received + q->received_bytes, *newline;
	bool replied = false;

	while ((newline = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		*newline = '\0';
		if (take_irq(q, line)) {
			;
		} else if (q->posted > 0) {
			q->posted--;
			if (strncmp(line, "OK", 2) != 0)
				q->refused++;
		} else if (reply != NULL && !replied) {
			snprintf(reply, LINE_MAX_BYTES, "%.*s", LINE_MAX_BYTES - 1, line);
			replied = true;
		}
		line = newline + 1;
	}
	q->received_bytes = (size_t)(end - line);
	memmove(q->received, line, q->received_bytes);
	return replied;
}

/* Wait for more bytes. */
static int receive(struct qtest *q, uint64_t deadline_ns)
{
	ssize_t n;

	/* No line is that long: this is not QEMU, or it is out of its mind. */
	if (q->received_bytes == sizeof(q->received))
		return lost(q, -EPROTO);
	n = io_receive(q->fd, q->received + q->received_bytes, sizeof(q->received) - q->received_bytes, deadline_ns);
	if (n < 0)
		return lost(q, (int)n);
	q->received_bytes += (size_t)n;
	return 0;
}

static int drain_locked(struct qtest *q)
{
	ssize_t n;

	if (is_over(q))
		return -ENODEV;
	take_lines(q, NULL); /* makes room */
	if (q->received_bytes == sizeof(q->received))
		return lost(q, -EPROTO); /* no line is that long; and to ask for no bytes looks like the end */
	n = recv(q->fd, q->received + q->received_bytes, sizeof(q->received) - q->received_bytes, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return lost(q, -ENODEV);
	if (n > 0) {
		q->received_bytes += (size_t)n;
		take_lines(q, NULL);
	}
	return 0;
}

int qtest_drain(struct qtest *q)
{
	int ret;

	pthread_mutex_lock(&q->lock);
	ret = drain_locked(q);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

/* Until at most @max posted writes are without their answer. */
static int settle(struct qtest *q, unsigned max)
{
	uint64_t until_ns = deadline(q);
	int ret;

	for (;;) {
		if (is_over(q))
			return -ENODEV;
		take_lines(q, NULL);
		if (q->posted <= max)
			return 0;
		ret = receive(q, until_ns);
		if (ret < 0)
			return ret;
	}
}

int qtest_flush_locked(struct qtest *q)
{
	return settle(q, 0);
}

int qtest_flush(struct qtest *q)
{
	int ret;

	pthread_mutex_lock(&q->lock);
	ret = settle(q, 0);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

/* Send a line and wait for its own answer. */
static int ask(struct qtest *q, const char *line, size_t len_bytes, char reply[LINE_MAX_BYTES])
{
	uint64_t until_ns = deadline(q);
	int ret;

	if (is_over(q))
		return -ENODEV;
	ret = io_send(q->fd, line, len_bytes, until_ns);
	if (ret < 0)
		return lost(q, ret);
	while (!take_lines(q, reply)) {
		ret = receive(q, until_ns);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static char *put_hex(char *p, uint64_t v)
{
	unsigned digits = v != 0 ? (unsigned)(67 - __builtin_clzll(v)) / 4 : 1;

	*p++ = '0';
	*p++ = 'x';
	for (unsigned i = digits; i-- > 0; v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	return p + digits;
}

/* "writel 0xfe000000 0x1\n"; the value only when there is one. Returns its length. */
static size_t put_command(char line[LINE_MAX_BYTES], enum machine_space space, bool write, uint64_t address,
			  unsigned size_bytes, uint64_t value)
{
	static const char *const verb[2][2] = {{"read", "write"}, {"in", "out"}};
	const char *v = verb[space == MACHINE_SPACE_PORT][write];
	char *p = line;

	while (*v != '\0')
		*p++ = *v++;
	*p++ = size_bytes == 1 ? 'b' : size_bytes == 2 ? 'w' : size_bytes == 4 ? 'l' : 'q';
	*p++ = ' ';
	p = put_hex(p, address);
	if (write) {
		*p++ = ' ';
		p = put_hex(p, value);
	}
	*p++ = '\n';
	return (size_t)(p - line);
}

static uint64_t ones(unsigned size_bytes)
{
	return UINT64_MAX >> (64 - 8 * size_bytes);
}

uint64_t qtest_read(struct qtest *q, enum machine_space space, uint64_t address, unsigned size_bytes)
{
	char line[LINE_MAX_BYTES], reply[LINE_MAX_BYTES];
	size_t len_bytes;
	int ret;

	/* Ports are at most 32 bits wide. */
	if (space == MACHINE_SPACE_PORT && size_bytes == 8)
		return qtest_read(q, space, address, 4) | qtest_read(q, space, address + 4, 4) << 32;
	len_bytes = put_command(line, space, false, address, size_bytes, 0);
	pthread_mutex_lock(&q->lock);
	ret = ask(q, line, len_bytes, reply);
	pthread_mutex_unlock(&q->lock);
	if (ret < 0 || strncmp(reply, "OK ", 3) != 0)
		return ones(size_bytes);
	return strtoull(reply + 3, NULL, 16) & ones(size_bytes);
}

void qtest_write(struct qtest *q, enum machine_space space, uint64_t address, unsigned size_bytes, uint64_t value)
{
	char line[LINE_MAX_BYTES];
	size_t len_bytes;
	int ret;

	if (space == MACHINE_SPACE_PORT && size_bytes == 8) {
		qtest_write(q, space, address, 4, value & UINT32_MAX);
		qtest_write(q, space, address + 4, 4, value >> 32);
		return;
	}
	len_bytes = put_command(line, space, true, address, size_bytes, value & ones(size_bytes));
	pthread_mutex_lock(&q->lock);
	if (q->posted >= POSTED_GLANCE)
		(void)drain_locked(q);
	if (q->posted >= QTEST_POSTED_MAX)
		(void)settle(q, POSTED_LOW);
	if (!is_over(q)) {
		ret = io_send(q->fd, line, len_bytes, deadline(q));
		if (ret < 0)
			lost(q, ret);
		else
			q->posted++;
	}
	pthread_mutex_unlock(&q->lock);
}

int qtest_intercept(struct qtest *q, const char *path)
{
	char line[128], reply[LINE_MAX_BYTES];
	size_t path_len = strlen(path);
	int ret;

	if (path_len + 32 > sizeof(line))
		return -EINVAL;
	memcpy(line, "irq_intercept_in ", 17);
	memcpy(line + 17, path, path_len);
	line[17 + path_len] = '\n';
	pthread_mutex_lock(&q->lock);
	ret = ask(q, line, 18 + path_len, reply);
	pthread_mutex_unlock(&q->lock);
	if (ret < 0)
		return ret;
	return strncmp(reply, "OK", 2) == 0 ? 0 : -EIO;
}
