/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Example 3: Outboard inside a program that has an event loop already. The loop here is epoll; the program's own event
 * is a timer that ticks while the disk works.
 *
 * A CPU has one descriptor, ob_cpu_fd(), that is readable when there is something to do: completions, timers, messages
 * of other threads. The program polls it among its own, and gives the CPU turns until there is nothing left. Nothing
 * here ever blocks in Outboard once the disk is open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <outboard/outboard.h>

enum {
	CHUNK_BYTES = 65536,
	CHUNKS = 64
};

struct program {
	struct ob_cpu *cpu;
	struct ob_block *disk;
	struct ob_block_channel *channel;
	struct ob_block_request request;
	struct ob_segment segment;
	unsigned char buffer[CHUNK_BYTES];
	uint32_t chunk_blocks;
	uint64_t end_lba, bytes;
	unsigned ticks, chunks;
	int error;
	bool finished;
};

static void next_chunk(struct program *p)
{
	p->error = ob_block_submit(p->channel, &p->request);
	if (p->error)
		p->finished = true;
	else
		ob_block_kick(p->channel);
}

/* Runs inside ob_cpu_turn(): do something short, submit more. */
static void on_done(struct ob_block_request *request)
{
	struct program *p = request->arg;

	p->error = request->status;
	p->bytes += request->status ? 0 : CHUNK_BYTES;
	request->lba += p->chunk_blocks;
	if (request->status || ++p->chunks == CHUNKS || request->lba + p->chunk_blocks > p->end_lba)
		p->finished = true;
	else
		next_chunk(p);
}

static int add(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return fd < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The program's loop: it knows of Outboard only that one descriptor. */
static int loop(struct program *p)
{
	const struct itimerspec every_ms = {{0, 1000000}, {0, 1000000}};
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	int ready = add(epoll, timer) || add(epoll, ob_cpu_fd(p->cpu)) ? -1 : 0;

	timerfd_settime(timer, 0, &every_ms, NULL);
	next_chunk(p);
	while (ready >= 0 && !p->finished) {
		struct epoll_event events[2];
		uint64_t expired;

		ready = epoll_wait(epoll, events, 2, 10000);
		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == timer)
				p->ticks += read(timer, &expired, sizeof(expired)) > 0;
			else
				while (ob_cpu_turn(p->cpu, 0) > 0)
					;
		}
		if (!ready)
			break; /* ten seconds of silence */
	}
	close(timer);
	close(epoll);
	return p->finished ? p->error : -1;
}

static int open_disk(struct program *p)
{
	struct ob_block_channel_config config = {.cpu = p->cpu, .poll.mode = OB_COMPLETION_INTERRUPT};
	struct ob_block_limits limits;
	int error = ob_block_channel_open(p->disk, &config, &p->channel);

	if (error)
		return error;
	ob_block_limits(p->disk, &limits);
	p->chunk_blocks = CHUNK_BYTES / limits.block_bytes;
	p->end_lba = limits.block_count;
	p->segment = (struct ob_segment){p->buffer, CHUNK_BYTES};
	p->request = (struct ob_block_request){
		.op = OB_BLOCK_READ,
		.block_count = p->chunk_blocks,
		.segments = &p->segment,
		.segment_count = 1,
		.done = on_done,
		.arg = p,
	};
	return 0;
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "model:";
	static struct program p;
	struct ob_machine *machine = NULL;
	struct ob *ob;
	int error = ob_create(NULL, &ob);

	if (error)
		return EXIT_FAILURE;
	p.cpu = ob_cpu_get(ob, 0);
	error = ob_machine_open(ob, uri, NULL, &machine);
	if (!error && !(p.disk = ob_block_find(ob, NULL)))
		error = -1;
	if (!error)
		error = open_disk(&p);
	if (!error)
		error = loop(&p);
	if (error)
		fprintf(stderr, "%s: %s\n", uri, error == -1 ? "no disk, or no answer" : strerror(-error));
	else
		printf("%s: %llu bytes read, %u ticks of the program's own meanwhile\n", ob_block_name(p.disk),
		       (unsigned long long)p.bytes, p.ticks);
	ob_block_channel_close(p.channel);
	ob_block_put(p.disk);
	ob_machine_close(machine);
	ob_destroy(ob);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
