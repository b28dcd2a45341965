/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Example 2: the fast way. 32 random reads are always under way, completions are polled, nothing is copied.
 *
 *	./polled_reader 'qemu:q35?nvme=disk.img' 2      reads for two seconds
 *
 * What makes it fast: the buffers lie in a window that the disk was granted, so the device writes into them directly;
 * the completion function submits the next read; and one kick (a doorbell) serves all that one poll brought.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

enum {
	DEPTH = 32,
	READ_BYTES = 4096
};

struct reader {
	struct ob_block_channel *channel;
	uint32_t read_blocks;
	uint64_t positions; /* where a read can start */
	uint64_t random, done, errors;
	bool stop;
	unsigned in_flight;
};

static uint64_t next_random(struct reader *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return r->random;
}

static void submit(struct reader *r, struct ob_block_request *request)
{
	request->lba = next_random(r) % r->positions * r->read_blocks;
	if (ob_block_submit(r->channel, request))
		r->errors++;
	else
		r->in_flight++;
}

/* Called by ob_block_poll() for each read that ended, exactly once. */
static void on_done(struct ob_block_request *request)
{
	struct reader *r = request->arg;

	r->in_flight--;
	r->done++;
	if (request->status)
		r->errors++;
	else if (!r->stop)
		submit(r, request);
}

static void read_for(struct reader *r, struct ob_cpu *cpu, uint64_t time_ns)
{
	uint64_t end = ob_deadline(time_ns), turn = 0;

	while (r->in_flight) {
		uint64_t now = ob_now_ns();

		r->stop = now >= end;
		ob_block_poll(r->channel, DEPTH);
		ob_block_kick(r->channel);
		/* Timeouts and resets are the loop's business: it needs a turn now and then. */
		if (now >= turn) {
			ob_cpu_turn(cpu, 0);
			ob_block_kick(r->channel);
			turn = now + 10 * OB_NS_PER_MS;
		}
	}
}

static int run(struct ob *ob, struct ob_machine *machine, struct ob_block *disk, uint64_t time_ns)
{
	static struct ob_block_request requests[DEPTH];
	static struct ob_segment segments[DEPTH];
	struct ob_block_channel_config config = {.depth = DEPTH, .poll.mode = OB_COMPLETION_POLLED};
	struct reader r = {.random = 88172645463325252ull};
	struct ob_block_limits limits;
	struct ob_window *window;
	int error;

	ob_block_limits(disk, &limits);
	r.read_blocks = READ_BYTES / limits.block_bytes;
	r.positions = limits.block_count / r.read_blocks;
	error = ob_block_channel_open(disk, &config, &r.channel);
	if (error)
		return error;
	/* Memory that devices reach, and the disk's right to use it. */
	error = ob_window_create(machine, DEPTH * READ_BYTES, &window);
	if (error)
		goto close;
	error = ob_block_grant(disk, window);
	if (error)
		goto put;
	for (unsigned i = 0; i < DEPTH; i++) {
		segments[i] = (struct ob_segment){window->base + i * READ_BYTES, READ_BYTES};
		requests[i] = (struct ob_block_request){
			.op = OB_BLOCK_READ,
			.block_count = r.read_blocks,
			.segments = &segments[i],
			.segment_count = 1,
			.window = window,
			.done = on_done,
			.arg = &r,
		};
		submit(&r, &requests[i]);
	}
	ob_block_kick(r.channel);
	read_for(&r, ob_cpu_get(ob, 0), time_ns);
	printf("%s: %llu reads of %d bytes, %.0f a second, %llu errors\n", ob_block_name(disk),
	       (unsigned long long)r.done, READ_BYTES, (double)r.done * 1e9 / (double)time_ns,
	       (unsigned long long)r.errors);
	error = r.errors ? -1 : 0;
put:
	ob_window_put(window); /* not before the last read has ended */
close:
	ob_block_channel_close(r.channel);
	return error;
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "model:";
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct ob_machine *machine = NULL;
	struct ob_block *disk = NULL;
	struct ob *ob;
	int error = ob_create(NULL, &ob);

	if (error)
		return EXIT_FAILURE;
	error = ob_machine_open(ob, uri, NULL, &machine);
	if (!error)
		disk = ob_block_find(ob, NULL);
	if (disk)
		error = run(ob, machine, disk, (seconds ? seconds : 1) * OB_NS_PER_S);
	if (error || !disk)
		fprintf(stderr, "%s: %s\n", uri, error ? strerror(-error) : "no block device");
	ob_block_put(disk);
	ob_machine_close(machine);
	ob_destroy(ob);
	return error || !disk ? EXIT_FAILURE : EXIT_SUCCESS;
}
