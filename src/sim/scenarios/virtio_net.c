/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenario: frames through the virtio-net driver, on some channels on as many CPUs, over a wire that brings each back on
 * the pair it was sent on. All of them come back, in order, as they were; or, with the device suspended meanwhile, what
 * comes back is in order and as it was.
 */
#include <outboard/net.h>
#include <outboard/outboard.h>

#include "sim/device.h"
#include "sim/scenarios/scenarios.h"

#define CHANNELS_MAX 3
#define RING         8
#define POOL         40
#define ROOM         256
#define WORDS_MAX    24
#define FRAMES_MAX   48
#define HEADER       16 /* Ethernet's, and two bytes, so that words are aligned */
#define TIMEOUT_NS   (60 * OB_NS_PER_S)

struct lane {
	struct ob_net *net;
	struct ob_packet_pool *pool;
	struct ob_net_channel *channel;
	struct ob_event finished;
	struct ob_task *task;
	unsigned index, left, sent, next; /* of frames: to be sent, sent, and the next to come back */
	unsigned window;                  /* on the way at most */
	bool lossy;                       /* frames may be lost */
	bool full;                        /* the ring is: room is worth waiting for */
	uint8_t mac[6];
	uint8_t begun[FRAMES_MAX]; /* a place for each frame, for the rule that requests end once */
};

static uint64_t word_of(unsigned lane, unsigned frame, unsigned word)
{
	return 0x0101010101010101ull * (frame + 1) + ((uint64_t)lane << 32) + word;
}

static unsigned words_of(unsigned frame)
{
	return 6 + frame * 7 % (WORDS_MAX - 6);
}

/* ---- sending ---- */

static void fill(const struct lane *l, struct ob_packet *packet, unsigned frame, unsigned first, unsigned count)
{
	uint64_t *words = ob_packet_append(packet, count * 8);

	for (unsigned i = 0; i < count; i++)
		words[i] = word_of(l->index, frame, first + i);
}

/* In one part or in two. NULL: the pool is empty for now. */
static struct ob_packet *make(const struct lane *l, unsigned frame)
{
	unsigned words = words_of(frame), head = sim_random(3) == 0 ? 2 : words;
	struct ob_packet *packet = ob_packet_alloc(l->pool), *tail;
	uint8_t *header;

	if (packet == NULL)
		return NULL;
	header = ob_packet_append(packet, HEADER);
	for (unsigned i = 0; i < 6; i++) {
		header[i] = l->mac[i];
		header[6 + i] = l->mac[i];
	}
	header[12] = 0x88;
	header[13] = 0xb5;
	header[14] = (uint8_t)frame;
	header[15] = (uint8_t)l->index;
	fill(l, packet, frame, 0, head);
	if (head == words)
		return packet;
	tail = ob_packet_alloc(l->pool);
	if (tail == NULL) {
		ob_packet_put(packet);
		return NULL;
	}
	fill(l, tail, frame, head, words - head);
	SIM_CHECK(ob_packet_chain(packet, tail) == 0);
	return packet;
}

static void send_some(struct lane *l)
{
	bool any = false;

	l->full = false;
	while (l->left > 0 && (l->lossy || l->sent - l->next < l->window)) {
		struct ob_packet *packet = make(l, l->sent);

		if (packet == NULL)
			break;
		if (ob_net_send(l->channel, &packet, 1) == 0) {
			ob_packet_put(packet);
			l->full = true;
			break;
		}
		if (!l->lossy)
			sim_request_begin(&l->begun[l->sent]);
		l->sent++;
		l->left--;
		any = true;
		if (sim_random(4) == 0)
			ob_net_kick(l->channel);
	}
	if (any)
		ob_net_kick(l->channel);
}

/* ---- receiving ---- */

static void check_words(const struct ob_packet *frame, unsigned lane, unsigned number)
{
	unsigned words = words_of(number);

	if (frame->frame_bytes != HEADER + words * 8)
		sim_fail("wrong-data", "frame %u has %u bytes, not %u", number, frame->frame_bytes, HEADER + words * 8);
	for (unsigned i = 0; i < words; i++) {
		uint64_t value;

		SIM_CHECK(ob_packet_read(frame, HEADER + i * 8, &value, 8) == 0);
		if (value != word_of(lane, number, i))
			sim_fail("wrong-data", "word %u of frame %u: %#llx, not %#llx", i, number,
				 (unsigned long long)value, (unsigned long long)word_of(lane, number, i));
	}
}

/*
 * When a channel closes, the pairs of queues are numbered anew: what it still had on the wire comes to another. When all
 * is waited for, nothing is on the wire then.
 */
static bool is_strangers(const struct lane *l, const uint8_t *header)
{
	return l->lossy && header[15] != l->index && header[15] < CHANNELS_MAX && header[14] < FRAMES_MAX;
}

static void check(struct lane *l, const struct ob_packet *frame)
{
	uint8_t header[HEADER];
	unsigned number;

	if (ob_packet_read(frame, 0, header, HEADER) != 0)
		sim_fail("wrong-data", "a frame of %u bytes", frame->frame_bytes);
	number = header[14];
	if (is_strangers(l, header)) {
		check_words(frame, header[15], number);
		return;
	}
	if (number >= l->sent || number < l->next || (!l->lossy && number != l->next) || header[15] != l->index)
		sim_fail("wrong-order", "frame %u of lane %u where frame %u of lane %u is due, of %u", number,
			 header[15], l->next, l->index, l->sent);
	check_words(frame, l->index, number);
	if (!l->lossy)
		sim_request_end(&l->begun[number]);
	l->next = number + 1;
}

static void take(struct lane *l, struct ob_packet **frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		check(l, frames[i]);
	ob_packet_put_burst(frames, count);
	send_some(l);
	if (l->left == 0 && l->next == l->sent)
		ob_event_signal(&l->finished);
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	(void)channel;
	take(arg, frames, count);
}

static void sendable(struct ob_net_channel *channel, void *arg)
{
	(void)channel;
	send_some(arg);
}

/* Asking, and waiting when there is nothing. */
static void lane_task(void *arg)
{
	struct lane *l = arg;
	struct ob_packet *frames[4];

	send_some(l);
	while (l->left > 0 || l->next < l->sent) {
		unsigned count = ob_net_receive(l->channel, frames, 1 + (unsigned)sim_random(4));

		if (count > 0) {
			take(l, frames, count);
		} else if (l->lossy && l->left == 0) {
			break;
		} else {
			ob_net_wait(l->channel, l->full ? OB_NET_WAIT_RECEIVE | OB_NET_WAIT_SEND : OB_NET_WAIT_RECEIVE,
				    ob_deadline(l->lossy ? 50 * OB_NS_PER_US : TIMEOUT_NS));
			send_some(l);
		}
	}
	ob_event_signal(&l->finished);
}

static void lane_start(void *arg)
{
	send_some(arg);
}

/* ---- the bed ---- */

struct bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_net *net;
	struct lane *lanes;
	unsigned channels;
	bool tasks;
};

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

static void lane_open(const struct bed *b, struct lane *l, unsigned index)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};
	struct ob_cpu *cpu = ob_cpu_get(b->ob, index % ob_cpu_count(b->ob));
	const struct ob_packet_pool_config pool = {
		.machine = b->machine, .cpu = cpu, .count = POOL, .packet_bytes = ROOM};
	struct ob_net_channel_config config = {
		.cpu = cpu,
		.rx_depth = RING,
		.tx_depth = RING,
		.poll = {.mode = modes[sim_random(3)], .budget = 1 + (unsigned)sim_random(8)},
		.received = b->tasks ? NULL : received,
		.sendable = b->tasks ? NULL : sendable,
		.arg = l,
	};
	struct ob_net_info info;
	int rc;

	config.poll.window_ns = 1 + sim_random(20 * OB_NS_PER_US);
	l->index = index;
	l->net = b->net;
	l->window = 1 + (unsigned)sim_random(RING);
	ob_net_info(b->net, &info);
	for (unsigned i = 0; i < 6; i++)
		l->mac[i] = info.mac[i];
	ob_event_init(&l->finished, cpu);
	SIM_CHECK(ob_packet_pool_create(&pool, &l->pool) == 0);
	config.pool = l->pool;
	rc = ob_net_channel_open(b->net, &config, &l->channel);
	if (rc != 0)
		sim_fail("not-driven", "a channel cannot be opened: %d, and nothing is wrong with the device", rc);
}

static void bed_open(struct bed *b, const struct sim_config *config)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = sim_cpus(1 + (unsigned)sim_random(3)),
		.trace_events_per_cpu = 16,
	};
	unsigned most = config->queues < CHANNELS_MAX ? config->queues : CHANNELS_MAX;

	b->channels = sim_channels(1 + (unsigned)sim_random(most));
	b->tasks = sim_random(3) == 0;
	b->lanes = ob_alloc(CHANNELS_MAX * sizeof(*b->lanes));
	SIM_CHECK(b->lanes != NULL);
	SIM_CHECK(ob_create(&ob_config, &b->ob) == 0);
	/* CPU 0 may be turned by this thread. */
	for (unsigned i = 0; i < ob_cpu_count(b->ob); i++)
		if (i > 0 || sim_random(2) == 0)
			SIM_CHECK(ob_cpu_start(ob_cpu_get(b->ob, i), -1) == 0);
	SIM_CHECK(ob_machine_open(b->ob, "sim:", NULL, &b->machine) == 0);
	b->net = ob_net_find(b->ob, NULL);
	if (b->net == NULL)
		sim_fail("not-driven", "no network interface appeared, and nothing is wrong with the device");
	for (unsigned i = 0; i < b->channels; i++)
		lane_open(b, &b->lanes[i], i);
}

static void lanes_go(struct bed *b, bool lossy)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct lane *l = &b->lanes[i];
		struct ob_cpu *cpu = ob_net_channel_cpu(l->channel);

		l->left = sim_load(4 + (unsigned)sim_random(FRAMES_MAX - 4));
		l->lossy = lossy;
		if (b->tasks)
			SIM_CHECK(ob_task_spawn(cpu, "lane", lane_task, l, &l->task) == 0);
		else
			SIM_CHECK(ob_cpu_call(cpu, lane_start, l, ob_deadline(TIMEOUT_NS)) == 0);
	}
}

static void sleep_once(const struct bed *b)
{
	struct ob_device *dev = ob_net_device(b->net);
	struct ob_event pause;

	ob_event_init(&pause, ob_cpu_get(b->ob, 0));
	ob_event_wait(&pause, ob_deadline(OB_NS_PER_US << sim_random(8)));
	SIM_CHECK(ob_device_suspend(dev, ob_deadline(TIMEOUT_NS)) == 0);
	if (sim_random(2) == 0)
		ob_event_wait(&pause, ob_deadline(OB_NS_PER_US << sim_random(12)));
	SIM_CHECK(ob_device_resume(dev, ob_deadline(TIMEOUT_NS)) == 0);
}

static void lanes_end(struct bed *b, bool lossy)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct lane *l = &b->lanes[i];

		if (ob_event_wait(&l->finished, ob_deadline(lossy ? OB_NS_PER_MS : TIMEOUT_NS)) != 0 && !lossy)
			sim_fail("lost-frame", "lane %u: %u frames were sent, %u came back, %u are still to be sent", i,
				 l->sent, l->next, l->left);
	}
}

static void bed_close(struct bed *b)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct lane *l = &b->lanes[i];
		struct ob_packet_pool_stats stats;

		if (l->task != NULL)
			SIM_CHECK(ob_task_join(l->task, ob_deadline(TIMEOUT_NS)) == 0);
		ob_net_channel_close(l->channel);
		ob_packet_pool_stats(l->pool, &stats);
		if (stats.free != stats.count)
			sim_fail("lost-packet", "%u of %u packets are not back in their pool", stats.count - stats.free,
				 stats.count);
		ob_packet_pool_put(l->pool);
	}
	ob_net_put(b->net);
	ob_machine_close(b->machine);
	ob_destroy(b->ob);
	ob_free(b->lanes);
}

static void run_io(const struct sim_config *config)
{
	struct bed b = {.channels = 0};

	bed_open(&b, config);
	lanes_go(&b, false);
	lanes_end(&b, false);
	bed_close(&b);
}

static void run_suspend(const struct sim_config *config)
{
	struct bed b = {.channels = 0};

	bed_open(&b, config);
	lanes_go(&b, true);
	for (unsigned times = 1 + (unsigned)sim_random(3); times > 0; times--)
		sleep_once(&b);
	lanes_end(&b, true);
	bed_close(&b);
}

static const struct sim_device_type *const devices[] = {&sim_virtio_net, NULL};

const struct sim_scenario scenario_virtio_net = {
	.name = "virtio-net",
	.help = "frames over some channels, and back",
	.run = run_io,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_net_suspend = {
	.name = "virtio-net-suspend",
	.help = "the same, while the device is suspended and resumed",
	.run = run_suspend,
	.devices = devices,
};
