/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP, QEMU's control protocol (docs/interop/qmp-spec in QEMU's sources). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "io/io.h"
#include "machine/qemu/qmp.h"

#define ANSWER_MAX_BYTES (64 * OB_MIB) /* a screen dump in base64 fits; more is not an answer */
#define LINES_MAX        100000        /* events before the answer */

int qmp_init(struct qmp *q, int fd, struct qemu_life *life)
{
	*q = (struct qmp){.fd = fd, .life = life};
	return -pthread_mutex_init(&q->lock, NULL);
}

void qmp_fini(struct qmp *q)
{
	free(q->received);
	pthread_mutex_destroy(&q->lock);
}

static int lock_until(struct qmp *q, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / OB_NS_PER_S),
		.tv_nsec = (long)(deadline_ns % OB_NS_PER_S),
	};

	return -pthread_mutex_clocklock(&q->lock, CLOCK_MONOTONIC, &until);
}

static int grow(struct qmp *q)
{
	size_t capacity = q->capacity_bytes > 0 ? 2 * q->capacity_bytes : 16 * OB_KIB;
	char *p;

	if (capacity > ANSWER_MAX_BYTES)
		return -EPROTO;
	p = realloc(q->received, capacity);
	if (p == NULL)
		return -ENOMEM;
	q->received = p;
	q->capacity_bytes = capacity;
	return 0;
}

static int lost(struct qmp *q, int error)
{
	if (error == -ENODEV)
		qemu_life_end(q->life, "QEMU closed its QMP connection");
	return error;
}

/* One line from QEMU as JSON; the caller decrefs it. 0; -ENODEV; -ETIMEDOUT; -EPROTO; -ENOMEM. */
static int receive(struct qmp *q, json_t **out, uint64_t deadline_ns)
{
	size_t seen_bytes = 0;
	char *newline;
	ssize_t n;
	int ret;

	while (q->received_bytes == seen_bytes ||
	       (newline = memchr(q->received + seen_bytes, '\n', q->received_bytes - seen_bytes)) == NULL) {
		seen_bytes = q->received_bytes;
		if (q->received_bytes == q->capacity_bytes) {
			ret = grow(q);
			if (ret < 0)
				return ret;
		}
		if (qemu_life_over(q->life))
			return -ENODEV;
		n = io_receive(q->fd, q->received + q->received_bytes, q->capacity_bytes - q->received_bytes,
			       deadline_ns);
		if (n < 0)
			return lost(q, (int)n);
		q->received_bytes += (size_t)n;
	}
	*out = json_loadb(q->received, (size_t)(newline - q->received), 0, NULL);
	q->received_bytes -= (size_t)(newline + 1 - q->received);
	memmove(q->received, newline + 1, q->received_bytes);
	return *out != NULL ? 0 : -EPROTO;
}

static int send_json(struct qmp *q, const json_t *command, uint64_t deadline_ns)
{
	char *text = json_dumps(command, JSON_COMPACT), *line;
	int len, ret;

	if (text == NULL)
		return -ENOMEM;
	len = asprintf(&line, "%s\n", text);
	free(text);
	if (len < 0)
		return -ENOMEM;
	ret = io_send(q->fd, line, (size_t)len, deadline_ns);
	if (ret == -ETIMEDOUT)
		q->broken = true;
	free(line);
	return lost(q, ret);
}

/* The answer to the command @id; what else comes is an event, or late for a command that was given up. */
static int receive_answer(struct qmp *q, unsigned long long id, json_t **out, uint64_t deadline_ns)
{
	for (unsigned i = 0; i < LINES_MAX; i++) {
		json_t *answer, *answer_id;
		int ret = receive(q, &answer, deadline_ns);

		if (ret < 0)
			return ret;
		answer_id = json_object_get(answer, "id");
		if (json_is_integer(answer_id) && (unsigned long long)json_integer_value(answer_id) == id) {
			*out = answer;
			return 0;
		}
		if (json_object_get(answer, "event") != NULL)
			ob_debug(q->life->machine->ob, "qemu: event %s",
				 json_string_value(json_object_get(answer, "event")));
		json_decref(answer);
	}
	return -EPROTO;
}

/* The answer's text, without our id, in memory for ob_free(). */
static int answer_text(json_t *answer, json_t *users_id, char **reply)
{
	char *text;
	size_t len_bytes;

	json_object_del(answer, "id");
	if (users_id != NULL)
		json_object_set(answer, "id", users_id);
	text = json_dumps(answer, JSON_COMPACT);
	if (text == NULL)
		return -ENOMEM;
	len_bytes = strlen(text) + 1;
	*reply = ob_alloc(len_bytes);
	if (*reply != NULL)
		memcpy(*reply, text, len_bytes);
	free(text);
	return *reply != NULL ? 0 : -ENOMEM;
}

/* @command is changed. Lock held. */
static int exchange(struct qmp *q, json_t *command, char **reply, uint64_t deadline_ns)
{
	json_t *answer = NULL, *users_id = json_incref(json_object_get(command, "id"));
	unsigned long long id = ++q->last_id;
	int ret = -ENOMEM;

	if (json_object_set_new(command, "id", json_integer((json_int_t)id)) == 0)
		ret = send_json(q, command, deadline_ns);
	if (ret == 0)
		ret = receive_answer(q, id, &answer, deadline_ns);
	if (ret < 0) {
		json_decref(users_id);
		return ret;
	}
	if (json_object_get(answer, "error") != NULL)
		ret = -EIO;
	if (reply != NULL && answer_text(answer, users_id, reply) < 0)
		ret = -ENOMEM;
	json_decref(answer);
	json_decref(users_id);
	return ret;
}

int qmp_command(struct qmp *q, const char *command, char **reply, uint64_t deadline_ns)
{
	json_t *json;
	int ret;

	if (reply != NULL)
		*reply = NULL;
	json = json_loads(command, 0, NULL);
	if (json == NULL || !json_is_object(json)) {
		json_decref(json);
		return -EINVAL;
	}
	ret = lock_until(q, deadline_ns);
	if (ret == 0) {
		ret = q->broken || qemu_life_over(q->life) ? -ENODEV : exchange(q, json, reply, deadline_ns);
		pthread_mutex_unlock(&q->lock);
	}
	json_decref(json);
	return ret;
}

int qmp_greet(struct qmp *q, uint64_t deadline_ns)
{
	json_t *greeting;
	int ret = receive(q, &greeting, deadline_ns);

	if (ret < 0)
		return ret;
	ret = json_object_get(greeting, "QMP") != NULL ? 0 : -EPROTO;
	json_decref(greeting);
	return ret == 0 ? qmp_command(q, "{\"execute\":\"qmp_capabilities\"}", NULL, deadline_ns) : ret;
}

void qmp_quit(struct qmp *q)
{
	static const char quit[] = "{\"execute\":\"quit\"}\n";

	/* A command that waits for its answer, on another thread, has the lock; signals end QEMU then. */
	if (pthread_mutex_trylock(&q->lock) != 0)
		return;
	if (!q->broken)
		(void)io_send(q->fd, quit, sizeof(quit) - 1, ob_deadline(100 * OB_NS_PER_MS));
	pthread_mutex_unlock(&q->lock);
}
