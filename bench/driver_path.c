/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * driver_path OUTSTANDING PAIRS BATCH BATCHES [URI [tsc]]: reads of 4 KiB, polled, in batches, on several queue pairs in turn.
 *
 * OUTSTANDING requests hang in each queue pair all the while. bench_measured() is all that is to be counted; run under
 * callgrind it is told apart from the rest by name (bench/instructions). Run by itself it prints the time per request,
 * device included.
 *
 * "tsc": it also counts itself, where the time stamp counter counts instructions, which is so under QEMU's -icount with
 * shift=0: from the first submission behind the kick, and the poll that takes the batch when all of it has ended. The
 * wait between the two is not counted. With this program's own loop, which callgrind's count leaves out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/outboard.h>

#define READ_BYTES  4096u
#define PAIRS_MAX   64
#define BATCH_MAX   64
#define HELD_MAX    64
#define HELD_LBA    7u /* the first block of what hangs */
#define WARM_UP     64
#define WAIT_US     1000 /* for a batch to end */
#define DEFAULT_URI "model:?nvme=null:1G"

struct lane {
	struct ob_block_channel *channel;
	struct ob_block_request requests[BATCH_MAX], held[HELD_MAX];
	struct ob_segment segments[BATCH_MAX], held_segment;
	unsigned done, failed, cancelled;
};

struct bench {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_window *window;
	unsigned outstanding, pairs, batch, batches, blocks;
	struct lane lanes[PAIRS_MAX];
};

void bench_measured(struct bench *b);

#if defined(__x86_64__)
static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}
#else
static uint64_t tsc(void)
{
	return 0;
}
#endif

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void request_done(struct ob_block_request *request)
{
	struct lane *lane = request->arg;

	lane->done++;
	lane->failed += request->status != 0;
}

static void held_done(struct ob_block_request *request)
{
	struct lane *lane = request->arg;

	lane->cancelled++;
}

__attribute__((noinline)) static int run_batch(struct bench *b, struct lane *lane)
{
	lane->done = 0;
	for (unsigned i = 0; i < b->batch; i++)
		if (ob_block_submit(lane->channel, &lane->requests[i]) != 0)
			return -1;
	ob_block_kick(lane->channel);
	for (unsigned tries = 0; lane->done < b->batch; tries++) {
		ob_block_poll(lane->channel, b->batch);
		if (tries > 1000000)
			return -1;
	}
	return 0;
}

__attribute__((noinline)) void bench_measured(struct bench *b)
{
	for (unsigned i = 0; i < b->batches; i++) {
		struct lane *lane = &b->lanes[i % b->pairs];

		if (run_batch(b, lane) != 0) {
			lane->failed++;
			return;
		}
	}
}

/* ---- by the time stamp counter ---- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Counts of one batch each; what a timer's interrupt fell into is among the largest. Returns how many there are. */
static unsigned count_batches(struct bench *b, uint64_t *counts)
{
	struct lane *lane = &b->lanes[0];
	unsigned n = 0;

	for (unsigned i = 0; i < b->batches; i++) {
		uint64_t start = tsc(), submitted;

		lane->done = 0;
		for (unsigned j = 0; j < b->batch; j++)
			if (ob_block_submit(lane->channel, &lane->requests[j]) != 0)
				return 0;
		ob_block_kick(lane->channel);
		submitted = tsc() - start;
		usleep(WAIT_US);
		start = tsc();
		ob_block_poll(lane->channel, b->batch);
		if (lane->done == b->batch)
			counts[n++] = submitted + tsc() - start;
		while (lane->done < b->batch)
			ob_block_poll(lane->channel, b->batch);
	}
	return n;
}

static void print_counts(struct bench *b)
{
	uint64_t *counts = calloc(b->batches, sizeof(*counts));
	unsigned n = counts != NULL ? count_batches(b, counts) : 0;

	if (n > 0) {
		qsort(counts, n, sizeof(*counts), compare_u64);
		printf("by the time stamp counter %.1f median, %.1f least, of %u batches\n",
		       (double)counts[n / 2] / b->batch, (double)counts[0] / b->batch, n);
	}
	free(counts);
}

/* ---- around it ---- */

static void request_fill(struct bench *b, struct ob_block_request *r, struct ob_segment *segment, size_t offset,
			 uint64_t lba)
{
	segment->base = b->window->base + offset;
	segment->len_bytes = READ_BYTES;
	r->op = OB_BLOCK_READ;
	r->segments = segment;
	r->segment_count = 1;
	r->block_count = b->blocks;
	r->lba = lba;
	r->window = b->window;
}

static int lane_open(struct bench *b, unsigned index)
{
	struct ob_block_channel_config config = {
		.depth = 256,
		.poll = {.mode = OB_COMPLETION_POLLED},
		.timeout_ns = 3600 * OB_NS_PER_S,
	};
	struct lane *lane = &b->lanes[index];
	int ret = ob_block_channel_open(b->block, &config, &lane->channel);

	if (ret != 0)
		return ret;
	for (unsigned i = 0; i < b->batch; i++) {
		size_t slot = (size_t)index * BATCH_MAX + i;

		request_fill(b, &lane->requests[i], &lane->segments[i], slot * READ_BYTES, (100 + slot) * b->blocks);
		lane->requests[i].done = request_done;
		lane->requests[i].arg = lane;
	}
	for (unsigned i = 0; i < b->outstanding && ret == 0; i++) {
		request_fill(b, &lane->held[i], &lane->held_segment, 0, HELD_LBA);
		lane->held[i].done = held_done;
		lane->held[i].arg = lane;
		ret = ob_block_submit(lane->channel, &lane->held[i]);
	}
	ob_block_kick(lane->channel);
	return ret;
}

static int bench_open(struct bench *b, const char *uri)
{
	struct ob_config config = {.log = print_log, .log_level = OB_LOG_ERROR};
	struct ob_block_limits limits;
	char command[128];
	int ret = ob_create(&config, &b->ob);

	if (ret == 0)
		ret = ob_machine_open(b->ob, uri, NULL, &b->machine);
	if (ret != 0)
		return ret;
	b->block = ob_block_find(b->ob, NULL);
	if (b->block == NULL)
		return -ENODEV;
	ob_block_limits(b->block, &limits);
	b->blocks = READ_BYTES / limits.block_bytes;
	ret = ob_window_create(b->machine, (size_t)b->pairs * BATCH_MAX * READ_BYTES, &b->window);
	if (ret == 0)
		ret = ob_block_grant(b->block, b->window);
	if (ret == 0 && b->outstanding != 0) {
		snprintf(command, sizeof(command), "fault %s op=read lba=%u count=%u delay=hang",
			 strcmp(ob_block_name(b->block), "vblk0") == 0 ? "vblk0" : "nvme0", HELD_LBA,
			 b->outstanding * b->pairs);
		ret = ob_machine_command(b->machine, command, NULL, ob_deadline(OB_NS_PER_S));
	}
	for (unsigned i = 0; i < b->pairs && ret == 0; i++)
		ret = lane_open(b, i);
	return ret;
}

static unsigned bench_close(struct bench *b)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < b->pairs; i++) {
		ob_block_channel_close(b->lanes[i].channel);
		lost += b->lanes[i].failed + (b->lanes[i].cancelled != b->outstanding);
	}
	ob_window_put(b->window);
	ob_block_put(b->block);
	ob_machine_close(b->machine);
	ob_destroy(b->ob);
	return lost;
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	uint64_t start, ns;
	unsigned batches;
	int ret;

	if (argc < 5 || b == NULL) {
		fprintf(stderr, "usage: %s OUTSTANDING PAIRS BATCH BATCHES [URI [tsc]]\n", argv[0]);
		return 2;
	}
	b->outstanding = (unsigned)strtoul(argv[1], NULL, 0);
	b->pairs = (unsigned)strtoul(argv[2], NULL, 0);
	b->batch = (unsigned)strtoul(argv[3], NULL, 0);
	batches = (unsigned)strtoul(argv[4], NULL, 0);
	if (b->outstanding > HELD_MAX || b->pairs == 0 || b->pairs > PAIRS_MAX || b->batch == 0 ||
	    b->batch > BATCH_MAX) {
		fprintf(stderr, "%s: out of range\n", argv[0]);
		return 2;
	}
	ret = bench_open(b, argc > 5 ? argv[5] : DEFAULT_URI);
	if (ret != 0) {
		fprintf(stderr, "%s: cannot start: %s\n", argv[0], strerror(-ret));
		return 1;
	}
	b->batches = WARM_UP;
	for (unsigned i = 0; i < b->batches; i++)
		if (run_batch(b, &b->lanes[i % b->pairs]) != 0)
			break;
	b->batches = batches;
	start = ob_now_ns();
	bench_measured(b);
	ns = ob_now_ns() - start;
	printf("requests %u ns %.1f\n", batches * b->batch, (double)ns / ((double)batches * b->batch));
	if (argc > 6 && strcmp(argv[6], "tsc") == 0)
		print_counts(b);
	ret = bench_close(b) != 0;
	if (ret != 0)
		fprintf(stderr, "%s: requests failed or were lost\n", argv[0]);
	free(b);
	return ret;
}
