/* SPDX-License-Identifier: BSD-2-Clause */
/* A vhost-user machine and a peer that does what the test says; all calls on the test's own thread. */
#ifndef TESTS_VHOST_BENCH_H
#define TESTS_VHOST_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <outboard/outboard.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/machine.h"
#include "machine/vhost_user/vhost_user.h"
#include "spec/virtio.h"
#include "tests/vhost_peer.h"

#define BENCH_WAIT_NS (5 * OB_NS_PER_S)
#define BENCH_QUEUES  2

struct bench {
	struct ob *ob;
	struct vhost_peer peer;
	struct machine *m; /* NULL: not open */
	struct vu_machine *vm;
	const struct machine_virtio_ops *ops;
	char log[2048]; /* what was said, as much as there is room for */
	unsigned deaths;
	/* of each queue that was set up */
	struct machine_dma_memory ring[BENCH_QUEUES];
	struct ob_region doorbell[BENCH_QUEUES];
};

static inline void bench_log(void *arg, enum ob_log_level level, const char *message)
{
	struct bench *b = arg;
	size_t len = strlen(b->log);

	snprintf(b->log + len, sizeof(b->log) - len, "%s\n", message);
}

static inline void bench_on_dead(struct machine *m, const char *why)
{
	struct bench *b = m->core;

	bench_log(b, OB_LOG_ERROR, why);
	__atomic_fetch_add(&b->deaths, 1, __ATOMIC_RELEASE);
}

static inline int bench_set_up(void **state)
{
	static struct bench b;
	struct ob_config config = {.log = bench_log, .log_arg = &b, .log_level = OB_LOG_DEBUG};

	memset(&b, 0, sizeof(b));
	if (ob_create(&config, &b.ob) != 0)
		return -1;
	vhost_peer_init(&b.peer);
	*state = &b;
	return 0;
}

static inline void bench_close(struct bench *b)
{
	if (b->m == NULL)
		return;
	b->m->ops->shutdown(b->m);
	b->m->ops->close(b->m);
	b->m = NULL;
}

static inline int bench_tear_down(void **state)
{
	struct bench *b = *state;

	bench_close(b);
	vhost_peer_fini(&b->peer);
	ob_destroy(b->ob);
	return 0;
}

/* Open; @options: "?key=value" or "". What open() said. */
static inline int bench_open(struct bench *b, const char *options)
{
	struct ob_machine_options none = {0};
	char rest[160];
	int ret;

	snprintf(rest, sizeof(rest), "%s%s", b->peer.path, options);
	ret = vhost_user_machine_type.open(b->ob, rest, &none, ob_deadline(BENCH_WAIT_NS), &b->m);
	if (ret != 0)
		return ret;
	b->vm = vu_of(b->m);
	b->ops = b->m->ops->buses(b->m)[0].u.virtio.devices[0].ops;
	b->m->core = b;
	__atomic_store_n(&b->m->on_dead, bench_on_dead, __ATOMIC_SEQ_CST);
	return 0;
}

/* As the bus does: accept, queues, start. What failed first. */
static inline int bench_run(struct bench *b, uint64_t features)
{
	int ret = b->ops->accept(b->m, 0, features);

	for (unsigned i = 0; i < BENCH_QUEUES && ret == 0; i++) {
		struct machine_virtio_queue config = {.size = 16};
		uint64_t offset;

		if (b->ring[i].base == NULL)
			ret = b->m->ops->dma_alloc(b->m, 4096, 4096, &b->ring[i]);
		config.desc = b->ring[i].iova;
		config.driver = config.desc + 1024;
		config.device = config.desc + 2048;
		if (ret == 0)
			ret = b->ops->queue_start(b->m, 0, i, &config, &b->doorbell[i], &offset);
	}
	return ret == 0 ? b->ops->start(b->m, 0) : ret;
}

/* From here on 50 ms are too long for an answer. Before, a busy computer may take its time. */
static inline void bench_be_impatient(struct bench *b)
{
	b->vm->uri.answer_ns = b->vm->link.answer_ns = 50 * OB_NS_PER_MS;
}

static inline struct virtq_used *bench_used(struct bench *b, unsigned queue)
{
	return (struct virtq_used *)(void *)((uint8_t *)b->ring[queue].base + 2048);
}

static inline void bench_await_dead(struct bench *b)
{
	uint64_t deadline_ns = ob_deadline(BENCH_WAIT_NS);

	while (__atomic_load_n(&b->deaths, __ATOMIC_ACQUIRE) == 0) {
		if (ob_now_ns() >= deadline_ns)
			fail_msg("it does not die; log:\n%s", b->log);
		(void)poll(NULL, 0, 1);
	}
	assert_true(b->m->dead);
}

/* The number behind @word in what "status" says. */
static inline unsigned bench_status(struct bench *b, const char *word)
{
	char *text, *at;
	unsigned value = 0;

	assert_int_equal(b->m->ops->command(b->m, "status", &text, 0), 0);
	at = strstr(text, word);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(word), "%u", &value), 1);
	ob_free(text);
	return value;
}

static inline void bench_await_restored(struct bench *b, unsigned count)
{
	uint64_t deadline_ns = ob_deadline(BENCH_WAIT_NS);

	while (bench_status(b, "restored ") < count) {
		if (ob_now_ns() >= deadline_ns)
			fail_msg("it does not come back; log:\n%s", b->log);
		(void)poll(NULL, 0, 1);
	}
}

#endif
