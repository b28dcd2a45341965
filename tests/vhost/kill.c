/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-vhost-kill SERVER KILLS [SEED [OPTIONS]]: a load under which the server is killed and started again, so many times.
 * No request may fail, and no write be lost or come back: every sector tells which write it is from, a block that was written
 * is often written again as soon as that is answered, and each block that is read has to be the last that was written to it.
 * In the end so has every block, read through the driver and from the file. SERVER: qsd, or the path of our command; OPTIONS
 * go behind the socket's path. Exit status as of test-vhost-conformance.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <outboard/outboard.h>

#include "base/bits.h"
#include "tests/random.h"
#include "tests/vhost/server.h"

#define BLOCK_BYTES  4096u /* ours; the device's are smaller */
#define SECTOR_BYTES 512u
#define BLOCKS       2048u
#define BLOCKS_MAX   8u /* of a request */
#define CHANNELS     2u
#define DEPTH        32u
#define WAIT_NS      (30 * OB_NS_PER_S)
#define WORDS        (SECTOR_BYTES / sizeof(uint64_t))

struct slot {
	struct ob_block_request request;
	struct ob_segment segment;
	uint32_t first, count; /* blocks; count 0: a flush, which has none */
	bool busy;
	uint8_t *memory; /* of the window */
};

static struct {
	struct vhost_server server;
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_window *window;
	struct ob_block_channel *channel[CHANNELS];
	struct slot slot[CHANNELS][DEPTH];
	struct random random;
	uint64_t version[BLOCKS]; /* last written; 0: zeroes */
	bool held[BLOCKS];        /* by a request in flight */
	uint64_t next_version, ended, reads, writes;
	uint64_t last_end_ns, pause_ns; /* the longest without an answer */
	unsigned in_flight;
	bool failed, stop;
	FILE *log;
} t;

static int fail(const char *format, ...) OB_PRINTF(1, 2);
static int fail(const char *format, ...)
{
	va_list args;

	t.failed = true;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -1;
}

static void take_log(void *arg, enum ob_log_level level, const char *message)
{
	/* Kills are many, and each is told of; what else there is counts. */
	if (level == OB_LOG_ERROR || t.log != NULL)
		fprintf(t.log != NULL ? t.log : stderr, "%s\n", message);
}

/* ---- what is written, and whether it is there ---- */

static uint64_t word_of(uint32_t block, uint64_t version, unsigned word)
{
	struct random r = {.state = version * 0x10001 + block};

	/* The first two words of a sector say in clear what it is. */
	switch (word % WORDS) {
	case 0:
		return version;
	case 1:
		return (uint64_t)block << 32 | word;
	default:
		r.state += word;
		return random_next(&r);
	}
}

static void fill(uint8_t *memory, uint32_t block, uint64_t version)
{
	for (unsigned i = 0; i < BLOCK_BYTES / 8; i++) {
		uint64_t word = version != 0 ? word_of(block, version, i) : 0;

		memcpy(memory + 8 * (size_t)i, &word, 8);
	}
}

static int verify(const uint8_t *memory, uint32_t block, const char *where)
{
	uint64_t version = t.version[block];

	for (unsigned i = 0; i < BLOCK_BYTES / 8; i++) {
		uint64_t word, want = version != 0 ? word_of(block, version, i) : 0, found[2];

		memcpy(&word, memory + 8 * (size_t)i, 8);
		if (word == want)
			continue;
		memcpy(found, memory + i / WORDS * SECTOR_BYTES, 16);
		return fail("%s: block %u, sector %u: write %llu of block %llu, where %llu was the last", where, block,
			    (unsigned)(i / WORDS), (unsigned long long)found[0], (unsigned long long)(found[1] >> 32),
			    (unsigned long long)version);
	}
	return 0;
}

/* ---- the load ---- */

static void on_done(struct ob_block_request *request);

static void set_held(const struct slot *slot, bool held)
{
	for (uint32_t i = 0; i < slot->count; i++)
		t.held[slot->first + i] = held;
}

static bool is_free(uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (t.held[first + i])
			return false;
	return true;
}

static void submit(struct ob_block_channel *channel, struct slot *slot, enum ob_block_op op)
{
	struct ob_block_limits limits;
	uint32_t scale;
	int ret;

	ob_block_limits(t.block, &limits);
	scale = BLOCK_BYTES / limits.block_bytes;
	slot->segment = (struct ob_segment){slot->memory, slot->count * (size_t)BLOCK_BYTES};
	slot->request = (struct ob_block_request){
		.op = (uint8_t)op,
		.segment_count = op == OB_BLOCK_READ || op == OB_BLOCK_WRITE,
		.block_count = slot->count * scale,
		.lba = (uint64_t)slot->first * scale,
		.segments = &slot->segment,
		.window = t.window,
		.done = on_done,
		.arg = slot,
	};
	ret = ob_block_submit(channel, &slot->request);
	if (ret != 0) {
		fail("submitting: %s", strerror(-ret));
		return;
	}
	slot->busy = true;
	set_held(slot, true);
	t.in_flight++;
}

static void submit_write(struct ob_block_channel *channel, struct slot *slot)
{
	for (uint32_t i = 0; i < slot->count; i++) {
		t.version[slot->first + i] = ++t.next_version;
		fill(slot->memory + i * (size_t)BLOCK_BYTES, slot->first + i, t.next_version);
	}
	submit(channel, slot, OB_BLOCK_WRITE);
}

/* Something for a slot that has nothing to do. */
static void submit_any(struct ob_block_channel *channel, struct slot *slot)
{
	uint32_t count = (uint32_t)random_size(&t.random, BLOCKS_MAX), first;
	unsigned kind = (unsigned)random_below(&t.random, 100);

	slot->count = 0;
	if (kind == 0) {
		submit(channel, slot, OB_BLOCK_FLUSH);
		return;
	}
	first = (uint32_t)random_below(&t.random, BLOCKS - count + 1);
	if (!is_free(first, count))
		return; /* another turn, another try */
	slot->first = first;
	slot->count = count;
	if (kind < 60) {
		submit_write(channel, slot);
	} else if (kind < 63) {
		for (uint32_t i = 0; i < count; i++)
			t.version[first + i] = 0;
		submit(channel, slot, OB_BLOCK_WRITE_ZEROES);
	} else {
		submit(channel, slot, OB_BLOCK_READ);
	}
}

static void on_done(struct ob_block_request *request)
{
	struct slot *slot = request->arg;
	uint64_t now_ns = ob_now_ns();

	t.pause_ns = MAX(t.pause_ns, now_ns - t.last_end_ns);
	t.last_end_ns = now_ns;
	t.ended++;
	t.in_flight--;
	slot->busy = false;
	set_held(slot, false);
	if (request->status != 0) {
		fail("%s of %u blocks at %u: %s", ob_block_op_name((enum ob_block_op)request->op), slot->count,
		     slot->first, strerror(-request->status));
		return;
	}
	t.reads += request->op == OB_BLOCK_READ;
	t.writes += request->op == OB_BLOCK_WRITE;
	if (request->op == OB_BLOCK_READ)
		for (uint32_t i = 0; i < slot->count && !t.failed; i++)
			(void)verify(slot->memory + i * (size_t)BLOCK_BYTES, slot->first + i, "read");
	if (t.stop || t.failed)
		return;
	/* At once again, where a write of before that is still under way would do the most harm. */
	if (request->op == OB_BLOCK_WRITE && random_percent(&t.random, 50))
		submit_write(request->channel, slot);
}

static void turn(void)
{
	struct pollfd fds[CHANNELS];
	bool idle = true;

	for (unsigned c = 0; c < CHANNELS; c++) {
		for (unsigned i = 0; i < DEPTH && !t.stop && !t.failed; i++)
			if (!t.slot[c][i].busy)
				submit_any(t.channel[c], &t.slot[c][i]);
		ob_block_kick(t.channel[c]);
	}
	for (unsigned c = 0; c < CHANNELS; c++)
		if (ob_cpu_turn(ob_cpu_get(t.ob, c), 0) > 0)
			idle = false;
	/* The server needs a CPU, too. */
	for (unsigned c = 0; c < CHANNELS && idle; c++)
		fds[c] = (struct pollfd){.fd = ob_cpu_fd(ob_cpu_get(t.ob, c)), .events = POLLIN};
	if (idle)
		(void)poll(fds, CHANNELS, 1);
}

/* Until so many more requests have ended. */
static int run_requests(uint64_t count)
{
	uint64_t target = t.ended + count, deadline_ns = ob_deadline(WAIT_NS);

	while (t.ended < target && !t.failed) {
		turn();
		if (ob_now_ns() >= deadline_ns)
			return fail("nothing ends any more: %u requests in flight", t.in_flight);
	}
	return t.failed ? -1 : 0;
}

static int drain(void)
{
	uint64_t deadline_ns = ob_deadline(WAIT_NS);

	t.stop = true;
	while (t.in_flight > 0) {
		turn();
		if (ob_now_ns() >= deadline_ns)
			return fail("%u requests do not end", t.in_flight);
	}
	return t.failed ? -1 : 0;
}

/* ---- the end ---- */

static int verify_all(void)
{
	uint8_t block[BLOCK_BYTES];
	struct ob_block_limits limits;
	uint32_t scale;
	int ret = ob_block_flush(t.channel[0], ob_deadline(WAIT_NS));

	if (ret != 0)
		return fail("the last flush: %s", strerror(-ret));
	ob_block_limits(t.block, &limits);
	scale = BLOCK_BYTES / limits.block_bytes;
	for (uint32_t i = 0; i < BLOCKS; i++) {
		ret = ob_block_read(t.channel[0], (uint64_t)i * scale, scale, block, NULL, ob_deadline(WAIT_NS));
		if (ret != 0)
			return fail("reading block %u: %s", i, strerror(-ret));
		if (verify(block, i, "at the end") != 0)
			return -1;
	}
	return 0;
}

static int verify_file(void)
{
	uint8_t block[BLOCK_BYTES];

	for (uint32_t i = 0; i < BLOCKS; i++) {
		fill(block, i, t.version[i]);
		if (vhost_server_compare(&t.server, (uint64_t)i * BLOCK_BYTES, block, BLOCK_BYTES) != 0)
			return fail("the file's block %u is not write %llu", i, (unsigned long long)t.version[i]);
	}
	return 0;
}

/* ---- kills ---- */

static int kill_once(void)
{
	/* Under full load, or in the midst of coming back. */
	uint64_t load = random_size(&t.random, 2000);

	if (run_requests(load) != 0)
		return -1;
	vhost_server_kill(&t.server);
	for (uint64_t until_ns = ob_deadline(random_below(&t.random, 30 * OB_NS_PER_MS)); ob_now_ns() < until_ns;)
		turn();
	if (vhost_server_start(&t.server) != 0)
		return fail("the server cannot be started");
	return 0;
}

static unsigned restores(void)
{
	unsigned count = 0;
	char *text = NULL, *at;

	if (ob_machine_command(t.machine, "status", &text, ob_deadline(WAIT_NS)) == 0 &&
	    (at = strstr(text, "restored ")) != NULL)
		(void)sscanf(at, "restored %u", &count);
	ob_free(text);
	return count;
}

static int run_kills(unsigned kills)
{
	uint64_t begin_ns = ob_now_ns(), total_ns = 0, max_ns = 0;

	t.last_end_ns = begin_ns;
	for (unsigned i = 0; i < kills; i++) {
		t.pause_ns = 0;
		if (kill_once() != 0 || run_requests(200) != 0)
			return fail("… after kill %u of %u", i + 1, kills);
		total_ns += t.pause_ns;
		max_ns = MAX(max_ns, t.pause_ns);
	}
	if (drain() != 0 || verify_all() != 0)
		return -1;
	printf("%u kills, %u restores, in %.1f s: %llu requests, of which %llu writes and %llu reads; pauses %.0f ms, "
	       "at "
	       "most %.0f ms\n",
	       kills, restores(), (double)(ob_now_ns() - begin_ns) / 1e9, (unsigned long long)t.ended,
	       (unsigned long long)t.writes, (unsigned long long)t.reads, (double)total_ns / 1e6 / kills,
	       (double)max_ns / 1e6);
	/* One that was killed before it was told everything was not there: it had served some requests all the same. */
	return 2 * restores() >= kills ? 0 : fail("the back-end came back %u times after %u kills", restores(), kills);
}

/* ---- beginning and end ---- */

static int open_all(const char *options)
{
	struct ob_config config = {.log = take_log, .log_level = OB_LOG_INFO, .cpu_count = CHANNELS};
	char uri[160];
	int ret = ob_create(&config, &t.ob);

	snprintf(uri, sizeof(uri), "vhost-user:%s%s", t.server.socket, options);
	if (ret == 0)
		ret = ob_machine_open(t.ob, uri, NULL, &t.machine);
	if (ret != 0)
		return fail("%s: %s", uri, strerror(-ret));
	t.block = ob_block_find(t.ob, NULL);
	if (t.block == NULL)
		return fail("no disk");
	ret = ob_window_create(t.machine, (size_t)CHANNELS * DEPTH * BLOCKS_MAX * BLOCK_BYTES, &t.window);
	if (ret == 0)
		ret = ob_block_grant(t.block, t.window);
	for (unsigned c = 0; c < CHANNELS && ret == 0; c++) {
		struct ob_block_channel_config channel = {.cpu = ob_cpu_get(t.ob, c), .depth = DEPTH};

		ret = ob_block_channel_open(t.block, &channel, &t.channel[c]);
		for (unsigned i = 0; i < DEPTH; i++)
			t.slot[c][i].memory = (uint8_t *)t.window->base +
					      (c * DEPTH + i) * (size_t)BLOCKS_MAX * BLOCK_BYTES;
	}
	return ret == 0 ? 0 : fail("opening: %s", strerror(-ret));
}

static void close_all(void)
{
	for (unsigned c = 0; c < CHANNELS; c++)
		ob_block_channel_close(t.channel[c]);
	ob_block_put(t.block);
	ob_window_put(t.window);
	ob_machine_close(t.machine);
	ob_destroy(t.ob);
}

int main(int argc, char **argv)
{
	unsigned kills = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	int ret;

	if (argc < 3 || argc > 5 || kills == 0) {
		fprintf(stderr, "usage: %s qsd|COMMAND KILLS [SEED [?OPTIONS]]\n", argv[0]);
		return 2;
	}
	t.log = getenv("VHOST_KILL_LOG") != NULL ? fopen(getenv("VHOST_KILL_LOG"), "w") : NULL;
	t.random.state = seed;
	ret = vhost_server_init(&t.server, argv[1], (uint64_t)BLOCKS * BLOCK_BYTES, CHANNELS);
	if (ret == -ENOENT)
		return VHOST_SERVER_SKIP;
	if (ret == 0)
		ret = vhost_server_start(&t.server);
	if (ret == 0)
		ret = vhost_server_await(&t.server);
	if (ret == 0)
		ret = open_all(argc > 4 ? argv[4] : "");
	if (ret == 0)
		ret = run_kills(kills);
	close_all();
	vhost_server_kill(&t.server);
	if (ret == 0)
		ret = verify_file();
	vhost_server_fini(&t.server);
	if (t.log != NULL)
		fclose(t.log);
	printf("%s, seed %llu: %s\n", argv[1], (unsigned long long)seed, ret == 0 ? "passed" : "FAILED");
	return ret == 0 ? 0 : 1;
}
