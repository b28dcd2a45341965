/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_path MODE SECONDS URI [BURSTS]: frames of 64 bytes through the first network interface, polled, in bursts of 32.
 *
 *	forward   what arrives is sent back as it is; BURSTS of our own begin it, for a far end that forwards too
 *	receive   what arrives is dropped
 *	send      as much as the far end takes
 *
 * Prints frames per second both ways, and the time of a fixed loop, which tells how much of the CPU was ours meanwhile.
 *
 * With 0 SECONDS it counts instead of timing: some bursts, each after a pause in which the far end can catch up, so that
 * they are full and nothing is polled in vain. bench_measured() is all that is to be counted then; callgrind tells it apart
 * by name (bench/net).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#define FRAME_BYTES 64u
#define BURST       32u
#define LOOP        2000000u
#define START_NS    (500 * OB_NS_PER_MS) /* for the far end to notice us */
#define CHUNK       2000u                /* bursts between looks at the clock */
#define COUNTED     400u                 /* bursts, without time */
#define PAUSE_NS    (4 * OB_NS_PER_MS)

enum mode {
	FORWARD,
	RECEIVE,
	SEND
};

struct bench {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_net *net;
	struct ob_net_channel *channel;
	struct ob_packet_pool *pool;
	enum mode mode;
	uint64_t received, sent, rounds;
};

void bench_measured(struct bench *b, uint64_t rounds);

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

/* All of them, however long the ring is full. */
static void send_all(struct bench *b, struct ob_packet **frames, unsigned count)
{
	unsigned done = 0;

	for (unsigned tries = 0; done < count && tries < 100000; tries++) {
		done += ob_net_send(b->channel, frames + done, count - done);
		ob_net_kick(b->channel);
	}
	for (unsigned i = done; i < count; i++)
		ob_packet_put(frames[i]);
	b->sent += done;
}

static void forward(struct bench *b)
{
	struct ob_packet *frames[BURST];
	unsigned count = ob_net_receive(b->channel, frames, BURST);

	if (count == 0)
		return;
	b->received += count;
	send_all(b, frames, count);
}

static void receive(struct bench *b)
{
	struct ob_packet *frames[BURST];
	unsigned count = ob_net_receive(b->channel, frames, BURST);

	b->received += count;
	ob_packet_put_burst(frames, count);
}

static const uint8_t headers[42] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 50};

static unsigned make_burst(struct bench *b, struct ob_packet **frames)
{
	if (ob_packet_alloc_burst(b->pool, frames, BURST) != 0)
		return 0;
	/* Headers of Ethernet, IPv4 and UDP, as whoever makes frames writes at the least. */
	for (unsigned i = 0; i < BURST; i++) {
		frames[i]->len_bytes = FRAME_BYTES;
		frames[i]->frame_bytes = FRAME_BYTES;
		memcpy(frames[i]->data, headers, sizeof(headers));
	}
	return BURST;
}

static void send_burst(struct bench *b)
{
	struct ob_packet *frames[BURST];

	if (make_burst(b, frames) != 0)
		send_all(b, frames, BURST);
}

__attribute__((noinline)) void bench_measured(struct bench *b, uint64_t rounds)
{
	switch (b->mode) {
	case FORWARD:
		while (rounds-- > 0)
			forward(b);
		break;
	case RECEIVE:
		while (rounds-- > 0)
			receive(b);
		break;
	case SEND:
		while (rounds-- > 0)
			send_burst(b);
		break;
	}
}

/* ---- around it ---- */

static int bench_open(struct bench *b, const char *uri)
{
	struct ob_config config = {.log = print_log, .log_level = OB_LOG_WARN};
	struct ob_net_channel_config channel = {.poll.mode = OB_COMPLETION_POLLED};
	struct ob_packet_pool_config pool = {.count = 4096};
	int ret = ob_create(&config, &b->ob);

	if (ret == 0)
		ret = ob_machine_open(b->ob, uri, NULL, &b->machine);
	if (ret != 0)
		return ret;
	b->net = ob_net_find(b->ob, NULL);
	if (b->net == NULL)
		return -ENODEV;
	/* As the peer that it is compared with: no offloads. */
	ret = ob_net_set_offloads(b->net, 0);
	pool.machine = b->machine;
	if (ret == 0)
		ret = ob_packet_pool_create(&pool, &b->pool);
	channel.pool = b->pool;
	if (ret == 0)
		ret = ob_net_channel_open(b->net, &channel, &b->channel);
	return ret;
}

static void turn_for(struct bench *b, uint64_t ns)
{
	uint64_t deadline_ns = ob_deadline(ns);

	while (ob_now_ns() < deadline_ns)
		ob_cpu_turn(ob_cpu_get(b->ob, 0), 0);
}

static void first_frames(struct bench *b, unsigned bursts)
{
	struct ob_packet *frames[BURST];

	for (unsigned i = 0; i < bursts && make_burst(b, frames) != 0; i++)
		send_all(b, frames, BURST);
}

/* How long a fixed number of dependent steps takes: a CPU that is shared shows. */
static double loop_ns(void)
{
	uint64_t start = ob_now_ns(), x = 1;

	for (unsigned i = 0; i < LOOP; i++) {
		x = x * 6364136223846793005u + 1;
		__asm__ volatile("" : "+r"(x));
	}
	return (double)(ob_now_ns() - start) / LOOP;
}

/* Returns how many frames bench_measured() passed. */
static uint64_t count(struct bench *b)
{
	b->received = b->sent = 0;
	for (unsigned i = 0; i < COUNTED; i++) {
		if (b->mode != SEND && ob_net_wait(b->channel, OB_NET_WAIT_RECEIVE, ob_deadline(OB_NS_PER_S)) != 0)
			break;
		turn_for(b, PAUSE_NS);
		bench_measured(b, 1);
	}
	return b->mode == SEND ? b->sent : b->received;
}

static void measure(struct bench *b, double seconds)
{
	uint64_t start, ns, deadline_ns;
	struct ob_net_stats stats;
	double before, after;

	bench_measured(b, CHUNK);
	before = loop_ns();
	b->received = b->sent = 0;
	start = ob_now_ns();
	deadline_ns = start + (uint64_t)(seconds * (double)OB_NS_PER_S);
	do {
		bench_measured(b, CHUNK);
		b->rounds += CHUNK;
		/* Timers and messages need turns. */
		ob_cpu_turn(ob_cpu_get(b->ob, 0), 0);
	} while (ob_now_ns() < deadline_ns);
	ns = ob_now_ns() - start;
	after = loop_ns();
	ob_net_stats(b->net, &stats);
	printf("received %.3f sent %.3f Mpps, %.1f a burst, %llu kicks, loop %.2f %.2f ns\n",
	       (double)b->received * 1000 / (double)ns, (double)b->sent * 1000 / (double)ns,
	       (double)(b->received + b->sent) / (double)b->rounds, (unsigned long long)stats.kicks, before, after);
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"forward", "receive", "send"};
	struct bench b = {.mode = FORWARD};
	unsigned mode = 0;
	int ret;

	while (argc >= 4 && mode < 3 && strcmp(argv[1], modes[mode]) != 0)
		mode++;
	if (argc < 4 || mode == 3) {
		fprintf(stderr, "usage: %s forward|receive|send SECONDS URI [BURSTS]\n", argv[0]);
		return 2;
	}
	b.mode = (enum mode)mode;
	ret = bench_open(&b, argv[3]);
	if (ret != 0) {
		fprintf(stderr, "%s: cannot start: %s\n", argv[0], strerror(-ret));
		return 1;
	}
	turn_for(&b, START_NS);
	first_frames(&b, argc > 4 ? (unsigned)strtoul(argv[4], NULL, 0) : 0);
	if (strtod(argv[2], NULL) > 0)
		measure(&b, strtod(argv[2], NULL));
	else
		printf("frames %llu\n", (unsigned long long)count(&b));
	ob_net_channel_close(b.channel);
	ob_packet_pool_put(b.pool);
	ob_net_put(b.net);
	ob_machine_close(b.machine);
	ob_destroy(b.ob);
	return b.received + b.sent == 0;
}
