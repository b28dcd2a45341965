/* SPDX-License-Identifier: BSD-2-Clause */
/* How requests end: when the channel is full, cancelled, closed under them; and the helpers that wait, from everywhere. */
#include <pthread.h>

#include "tests/conformance/conform.h"

#define READ_BYTES 8192u

struct one {
	struct ob_block_request request; /* first */
	struct ob_segment segment;
	unsigned ends;
	unsigned *all_ends;
	bool asked; /* to be cancelled */
};

static void one_done(struct ob_block_request *request)
{
	struct one *one = (struct one *)(void *)request;

	one->ends++;
	(*one->all_ends)++;
}

/* Reads, so that whatever becomes of them the disk stays as it is. Every second one bounces. */
static void one_init(struct conform *t, struct one *one, unsigned index, unsigned *all_ends)
{
	uint32_t count = MIN(MAX(1u, READ_BYTES / t->limits.block_bytes), t->region_blocks);
	bool in_window = index % 2 == 0;

	one->segment = (struct ob_segment){.base = conform_memory(t, in_window, index * READ_BYTES * 8),
					   .len_bytes = conform_bytes(t, count)};
	one->request = (struct ob_block_request){.op = OB_BLOCK_READ,
						 .segment_count = 1,
						 .block_count = count,
						 .lba = t->lba_first +
							random_below(&t->random, t->region_blocks - count + 1),
						 .segments = &one->segment,
						 .window = in_window ? t->window : NULL,
						 .done = one_done};
	one->ends = 0;
	one->asked = false;
	one->all_ends = all_ends;
}

static int check_ends(struct conform *t, const struct one *ones, unsigned count, bool all_asked)
{
	for (unsigned i = 0; i < count; i++) {
		const struct one *one = &ones[i];

		CONFORM_CHECK(t, &one->request, one->ends == 1, "ended %u times", one->ends);
		CONFORM_CHECK(t, &one->request,
			      one->request.status == 0 ||
				      (one->request.status == -ECANCELED && (one->asked || all_asked)),
			      "status %d, %s", one->request.status, one->asked ? "cancelled" : "not cancelled");
	}
	return 0;
}

/* ---- full ---- */

int conform_full(struct conform *t)
{
	struct one ones[CONFORM_DEPTH + 1];
	struct ob_block_channel *channel = conform_channel(t);
	unsigned depth = ob_block_channel_depth(channel), ends = 0;

	for (unsigned i = 0; i <= depth; i++) {
		int ret;

		one_init(t, &ones[i], i, &ends);
		ret = ob_block_submit(channel, &ones[i].request);
		CONFORM_CHECK(t, &ones[i].request, ret == (i < depth ? 0 : -EAGAIN), "number %u of %u returned %d",
			      i + 1, depth, ret);
	}
	CONFORM_CHECK(t, NULL, ends == 0, "done functions ran inside submit");
	ob_block_kick(channel);
	if (conform_until(t, &ones[0].request, &ends, depth) != 0)
		return -1;
	return check_ends(t, ones, depth, false);
}

/* ---- cancel ---- */

static int cancel_some(struct conform *t, struct ob_block_channel *channel, struct one *ones, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct one *one = &ones[i];
		bool ended = one->ends != 0;
		int ret;

		if (!random_percent(&t->random, 50))
			continue;
		ret = ob_block_cancel(channel, &one->request);
		one->asked = one->asked || ret == 0;
		CONFORM_CHECK(t, &one->request, ret == 0 || ret == -ENOENT, "cancel returned %d", ret);
		CONFORM_CHECK(t, &one->request, !ended || ret == -ENOENT, "a request that has ended can be cancelled");
		CONFORM_CHECK(t, &one->request, one->ends == ended, "its done function ran inside cancel");
	}
	return 0;
}

int conform_cancel(struct conform *t)
{
	struct one ones[CONFORM_DEPTH];

	for (unsigned round = 0; round < 12; round++) {
		struct ob_block_channel *channel = conform_channel(t);
		unsigned depth = ob_block_channel_depth(channel), ends = 0;

		for (unsigned i = 0; i < depth; i++) {
			one_init(t, &ones[i], i, &ends);
			CONFORM_CHECK(t, &ones[i].request, ob_block_submit(channel, &ones[i].request) == 0, "refused");
		}
		/* Before the device knows of them, while it works on them, twice, and when they have ended. */
		if (round % 3 == 0 && cancel_some(t, channel, ones, depth) != 0)
			return -1;
		ob_block_kick(channel);
		if (round % 3 == 1)
			conform_pump(t);
		if (cancel_some(t, channel, ones, depth) != 0 || conform_until(t, NULL, &ends, depth) != 0)
			return -1;
		for (unsigned i = 0; i < 5; i++)
			conform_pump(t);
		if (cancel_some(t, channel, ones, depth) != 0 || check_ends(t, ones, depth, false) != 0)
			return -1;
	}
	return 0;
}

/* ---- close ---- */

int conform_close_in_flight(struct conform *t)
{
	struct one ones[CONFORM_DEPTH];

	for (unsigned round = 0; round < 3; round++) {
		unsigned last = t->channel_count - 1, depth = ob_block_channel_depth(t->channels[last]), ends = 0;
		struct ob_block_channel_config config = {.cpu = ob_block_channel_cpu(t->channels[last]),
							 .depth = CONFORM_DEPTH,
							 .poll.mode = t->config.mode};
		int ret;

		for (unsigned i = 0; i < depth; i++) {
			one_init(t, &ones[i], i, &ends);
			CONFORM_CHECK(t, &ones[i].request, ob_block_submit(t->channels[last], &ones[i].request) == 0,
				      "refused");
		}
		if (round != 0)
			ob_block_kick(t->channels[last]);
		if (round == 2)
			conform_pump(t);
		ob_block_channel_close(t->channels[last]);
		t->channel_count--;
		if (check_ends(t, ones, depth, true) != 0)
			return -1;
		ret = ob_block_channel_open(t->block, &config, &t->channels[last]);
		CONFORM_CHECK(t, NULL, ret == 0, "the channel does not open again: %s", strerror(-ret));
		t->channel_count++;
	}
	return 0;
}

/* ---- helpers ---- */

struct helper {
	struct conform *t;
	struct ob_block_channel *channel;
	uint32_t block;
	uint64_t seed;
	uint8_t *memory; /* of its own */
	unsigned over;   /* __atomic */
};

#define HELPER_BYTES 65536u

static int help(struct helper *h)
{
	struct conform *t = h->t;
	struct random random = {.state = h->seed};
	uint32_t count = MAX(1u, HELPER_BYTES / t->limits.block_bytes);
	size_t bytes = conform_bytes(t, count);
	uint64_t lba = t->lba_first + h->block;
	uint8_t *back = h->memory + bytes;
	int ret;

	for (unsigned i = 0; i < 4; i++) {
		random_fill(&random, h->memory, bytes);
		memset(back, 0, bytes);
		ret = ob_block_write(h->channel, lba, count, h->memory, NULL, i % 2 != 0 ? OB_BLOCK_FUA : 0,
				     ob_deadline(CONFORM_WAIT_NS));
		CONFORM_CHECK(t, NULL, ret == 0, "write: %s", strerror(-ret));
		ret = ob_block_flush(h->channel, ob_deadline(CONFORM_WAIT_NS));
		CONFORM_CHECK(t, NULL, ret == 0, "flush: %s", strerror(-ret));
		ret = ob_block_read(h->channel, lba, count, back, NULL, ob_deadline(CONFORM_WAIT_NS));
		CONFORM_CHECK(t, NULL, ret == 0, "read: %s", strerror(-ret));
		CONFORM_CHECK(t, NULL, memcmp(h->memory, back, bytes) == 0, "read back something else");
		/* Too late before it began: it may succeed, but must be over when it returns. */
		ret = ob_block_read(h->channel, lba, count, back, NULL, ob_now_ns());
		CONFORM_CHECK(t, NULL, ret == 0 || ret == -ETIMEDOUT, "a read without time: %s", strerror(-ret));
	}
	memcpy(t->shadow + conform_bytes(t, h->block), h->memory, bytes);
	memset(t->known + h->block, 1, count);
	ret = ob_block_read(h->channel, t->limits.block_count, 1, back, NULL, ob_deadline(CONFORM_WAIT_NS));
	CONFORM_CHECK(t, NULL, ret == -ERANGE, "a read past the end returned %d", ret);
	ret = ob_block_trim(h->channel, lba, 0, ob_deadline(CONFORM_WAIT_NS));
	CONFORM_CHECK(t, NULL, ret == (t->limits.trim ? -EINVAL : -EOPNOTSUPP), "a trim of nothing returned %d", ret);
	return 0;
}

static void help_task(void *arg)
{
	struct helper *h = arg;

	help(h);
	__atomic_store_n(&h->over, 1, __ATOMIC_RELEASE);
}

static void *help_thread(void *arg)
{
	help_task(arg);
	return NULL;
}

/* A foreign thread while this one, the home of the CPUs, turns them. */
static int help_beside(struct helper *h)
{
	uint64_t deadline_ns = ob_deadline(CONFORM_WAIT_NS);
	pthread_t thread;

	CONFORM_CHECK(h->t, NULL, pthread_create(&thread, NULL, help_thread, h) == 0, "no thread");
	while (!__atomic_load_n(&h->over, __ATOMIC_ACQUIRE) && ob_now_ns() < deadline_ns)
		conform_pump(h->t);
	CONFORM_CHECK(h->t, NULL, __atomic_load_n(&h->over, __ATOMIC_ACQUIRE) != 0, "a foreign thread hangs");
	pthread_join(thread, NULL);
	return h->t->failed ? -1 : 0;
}

/* This thread is the foreign one while the CPU has its own. */
static int help_across(struct helper *h)
{
	struct ob_cpu *cpu = ob_block_channel_cpu(h->channel);
	int ret = ob_cpu_start(cpu, -1);

	CONFORM_CHECK(h->t, NULL, ret == 0, "the CPU does not start: %s", strerror(-ret));
	ret = help(h);
	ob_cpu_stop(cpu);
	return ret;
}

static int help_in_task(struct helper *h)
{
	struct ob_task *task;
	int ret = ob_task_spawn(ob_block_channel_cpu(h->channel), "helper", help_task, h, &task);

	CONFORM_CHECK(h->t, NULL, ret == 0, "no task: %s", strerror(-ret));
	ret = ob_task_join(task, ob_deadline(CONFORM_WAIT_NS));
	CONFORM_CHECK(h->t, NULL, ret == 0, "a task hangs");
	return h->t->failed ? -1 : 0;
}

int conform_helpers(struct conform *t)
{
	static int (*const ways[])(struct helper * h) = {help, help_in_task, help_beside, help_across};
	uint32_t count = MAX(1u, HELPER_BYTES / t->limits.block_bytes);
	int ret = 0;

	CONFORM_CHECK(t, NULL, count <= t->region_blocks, "too small a disk");
	for (size_t i = 0; i < ARRAY_SIZE(ways) && ret == 0; i++) {
		struct helper h = {.t = t,
				   .channel = conform_channel(t),
				   .block = (uint32_t)random_below(&t->random, t->region_blocks - count + 1),
				   .seed = random_next(&t->random)};

		/* Not from the window: what is freed too early shows under a sanitizer. */
		h.memory = malloc(2 * conform_bytes(t, count));
		CONFORM_CHECK(t, NULL, h.memory != NULL, "no memory");
		ret = ways[i](&h);
		free(h.memory);
	}
	return ret;
}
