/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lanes: numbered frames over the channels of a network interface, on as many CPUs, over a wire that brings each back on the
 * pair it was sent on. Frames are in one part or in several, of the channel's own pool or another, held by others or not.
 */
#include "sim/scenarios/net_lanes.h"

#include "core/context.h"
#include "core/hooks.h"

#define PARTS_MAX  4 /* of a frame */
#define ROOM       256
#define ROOM_WHOLE 1600 /* any frame of the default MTU */
#define ROOM_LEAST 64
#define RING_LEAST 32 /* entries of a ring to receive, of the smallest rooms */
#define WORDS_MAX  24
#define HEADER     16 /* Ethernet's, and two bytes, so that words are aligned */
#define TAIL_MAX   20 /* of a packet's room, that later parts have where a header would be */
#define PAUSE_MAX  (20 * OB_NS_PER_MS)

static uint64_t word_of(unsigned lane, unsigned frame, unsigned word)
{
	return 0x0101010101010101ull * (frame + 1) + ((uint64_t)lane << 32) + word;
}

static unsigned words_of(unsigned frame)
{
	return 6 + frame * 7 % (WORDS_MAX - 6);
}

/* Its last word is where a checksum goes. */
static bool has_csum(const struct net_lane *l, unsigned frame)
{
	return l->manner == NET_ROUGH && frame % 4 == 3;
}

/* Has it told what is not so, that what comes may be anything? */
static bool device_lied(void)
{
	static const enum sim_fault kinds[] = {
		SIM_FAULT_COMPLETION_BAD,   SIM_FAULT_COMPLETION_FIELD, SIM_FAULT_COMPLETION_TWICE,
		SIM_FAULT_COMPLETION_EARLY, SIM_FAULT_COMPLETION_LOST,  SIM_FAULT_DATA,
		SIM_FAULT_REGISTER,         SIM_FAULT_REGISTER_STUCK,   SIM_FAULT_REGISTERS_ONES,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sim_fault_count(kinds[i]) > 0)
			return true;
	return false;
}

/* ---- sending ---- */

static void fill(const struct net_lane *l, struct ob_packet *packet, unsigned frame, unsigned first, unsigned count)
{
	uint64_t *words = ob_packet_append(packet, count * 8);

	for (unsigned i = 0; i < count; i++)
		words[i] = word_of(l->index, frame, first + i);
}

static void fill_header(const struct net_lane *l, struct ob_packet *packet, unsigned frame)
{
	uint8_t *header = ob_packet_append(packet, HEADER);

	for (unsigned i = 0; i < 6; i++) {
		header[i] = l->mac[i];
		header[6 + i] = l->mac[i];
	}
	header[12] = 0x88;
	header[13] = 0xb5;
	header[14] = (uint8_t)frame;
	header[15] = (uint8_t)l->index;
}

/* In one part or in several, as there is room. NULL: the pool is empty for now. */
static struct ob_packet *make(const struct net_lane *l, unsigned frame)
{
	struct ob_packet_pool *pool = l->spare != NULL && sim_random(3) == 0 ? l->spare : l->pool;
	unsigned words = words_of(frame), most = (ob_packet_pool_room(pool) - HEADER) / 8, done;
	struct ob_packet *packet = ob_packet_alloc(pool), *tail;

	if (packet == NULL)
		return NULL;
	if (sim_random(3) == 0)
		most = 2;
	fill_header(l, packet, frame);
	done = most < words ? most : words;
	fill(l, packet, frame, 0, done);
	while (done < words) {
		unsigned part = words - done;

		if (part > ob_packet_pool_room(pool) / 8)
			part = ob_packet_pool_room(pool) / 8;
		tail = ob_packet_alloc(pool);
		if (tail == NULL) {
			ob_packet_put(packet);
			return NULL;
		}
		fill(l, tail, frame, done, part);
		SIM_CHECK(ob_packet_chain(packet, tail) == 0);
		done += part;
	}
	if (has_csum(l, frame)) {
		packet->csum_start = HEADER;
		packet->csum_offset = (uint16_t)(words * 8 - 8);
		packet->flags |= OB_PACKET_CSUM_PARTIAL;
	}
	return packet;
}

/* One frame. False: there is no room, or no packet. */
static bool send_one(struct net_lane *l)
{
	struct ob_packet *packet = make(l, l->sent), *held;

	if (packet == NULL)
		return false;
	/* Somebody else looks at it meanwhile. */
	held = sim_random(6) == 0 ? ob_packet_get(packet) : NULL;
	if (ob_net_send(l->at, &packet, 1) == 0) {
		ob_packet_put(packet);
		l->full = true;
	} else {
		if (l->manner == NET_ALL)
			sim_request_begin(&l->begun[l->sent]);
		l->sent++;
		l->left--;
	}
	ob_packet_put(held);
	return !l->full;
}

static void send_some(struct net_lane *l)
{
	bool any = false;

	l->full = false;
	while (l->left > 0 && (l->manner != NET_ALL || l->sent - l->next < l->window) && send_one(l)) {
		any = true;
		if (sim_random(4) == 0)
			ob_net_kick(l->at);
	}
	if (any)
		ob_net_kick(l->at);
}

/* ---- receiving ---- */

static void check_words(const struct net_lane *l, const struct ob_packet *frame, unsigned lane, unsigned number)
{
	unsigned words = words_of(number);

	if (frame->frame_bytes != HEADER + words * 8)
		sim_fail("wrong-data", "frame %u has %u bytes, not %u", number, frame->frame_bytes, HEADER + words * 8);
	if (has_csum(l, number))
		words--;
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
static bool is_strangers(const struct net_lane *l, const uint8_t *header)
{
	return l->manner != NET_ALL && header[15] != l->index && header[15] < NET_LANES_MAX &&
	       header[14] < NET_FRAMES_MAX;
}

/* Whatever a device says of it, a frame is of one piece with itself, and in its packets. */
static void check_shape(const struct ob_packet *frame)
{
	unsigned parts = 0;
	uint32_t bytes = 0;
	uint64_t sum = 0;

	for (const struct ob_packet *part = frame; part != NULL; part = part->next) {
		uint32_t room = ob_packet_pool_room(part->pool) + TAIL_MAX;

		if (part->len_bytes > room || ob_packet_tailroom(part) > room)
			sim_fail("wrong-frame", "a part of %u bytes is not in its packet", part->len_bytes);
		for (uint32_t i = 0; i < part->len_bytes; i += 16)
			sum += part->data[i];
		bytes += part->len_bytes;
		parts++;
	}
	if (bytes != frame->frame_bytes || parts != frame->segments || bytes < 14)
		sim_fail("wrong-frame", "%u bytes in %u parts, said to be %u in %u; %llu", bytes, parts,
			 frame->frame_bytes, frame->segments, (unsigned long long)sum);
	if ((frame->flags & OB_PACKET_CSUM_PARTIAL) != 0 &&
	    (uint32_t)frame->csum_start + frame->csum_offset + 2 > frame->frame_bytes)
		sim_fail("wrong-frame", "the checksum is at %u + %u, of %u bytes", frame->csum_start,
			 frame->csum_offset, frame->frame_bytes);
	if ((frame->flags & OB_PACKET_SEGMENT) != 0 &&
	    (frame->gso_bytes == 0 || frame->header_bytes > frame->frame_bytes))
		sim_fail("wrong-frame", "segments of %u bytes behind %u of headers", frame->gso_bytes,
			 frame->header_bytes);
}

static void check(struct net_lane *l, const struct ob_packet *frame)
{
	uint8_t header[HEADER];
	unsigned number;

	check_shape(frame);
	if (l->manner == NET_ROUGH && device_lied())
		return;
	if (ob_packet_read(frame, 0, header, HEADER) != 0)
		sim_fail("wrong-data", "a frame of %u bytes", frame->frame_bytes);
	number = header[14];
	if (is_strangers(l, header)) {
		check_words(l, frame, header[15], number);
		return;
	}
	if (number < l->first && header[15] == l->index) {
		check_words(l, frame, l->index, number);
		return;
	}
	if (number >= l->sent || number < l->next || (l->manner == NET_ALL && number != l->next) ||
	    header[15] != l->index)
		sim_fail("wrong-order", "frame %u of lane %u where frame %u of lane %u is due, of %u", number,
			 header[15], l->next, l->index, l->sent);
	check_words(l, frame, l->index, number);
	if (l->manner == NET_ALL)
		sim_request_end(&l->begun[number]);
	l->next = number + 1;
}

static void take(struct net_lane *l, struct ob_packet **frames, unsigned count)
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
	struct net_lane *l = arg;

	l->at = channel;
	take(l, frames, count);
}

static void sendable(struct ob_net_channel *channel, void *arg)
{
	struct net_lane *l = arg;

	l->at = channel;
	send_some(l);
}

/* Asking, and waiting when there is nothing. */
static void lane_task(void *arg)
{
	uint64_t pause_ns = 50 * OB_NS_PER_US;
	struct net_lane *l = arg;
	struct ob_packet *frames[4];

	l->at = l->channel;
	send_some(l);
	while ((l->left > 0 || l->next < l->sent) && !OB_READ_ONCE(l->stop)) {
		unsigned count = ob_net_receive(l->at, frames, 1 + (unsigned)sim_random(4));
		uint64_t deadline_ns = ob_deadline(l->manner == NET_ALL ? NET_TIMEOUT_NS : pause_ns);

		if (count > 0) {
			take(l, frames, count);
			pause_ns = 50 * OB_NS_PER_US;
			continue;
		}
		if (l->manner != NET_ALL && l->left == 0)
			break;
		if (ob_net_wait(l->at, l->full ? OB_NET_WAIT_RECEIVE | OB_NET_WAIT_SEND : OB_NET_WAIT_RECEIVE,
				deadline_ns) != 0 &&
		    l->manner == NET_ROUGH)
			ob_task_sleep(deadline_ns);
		if (pause_ns < PAUSE_MAX)
			pause_ns *= 2;
		send_some(l);
	}
	ob_event_signal(&l->finished);
}

void net_lane_start(void *arg)
{
	struct net_lane *l = arg;

	l->at = l->channel;
	send_some(l);
}

/* ---- lanes ---- */

int net_lane_open(const struct net_bed *b, unsigned index)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};
	struct net_lane *l = &b->lanes[index];
	struct ob_cpu *cpu = ob_cpu_get(b->ob, index % ob_cpu_count(b->ob));
	struct ob_packet_pool_config pool = {.machine = b->machine, .cpu = cpu, .packet_bytes = b->room};
	struct ob_net_channel_config config = {
		.cpu = cpu,
		.rx_depth = 4u << sim_random(4),
		.tx_depth = 8u << sim_random(3), /* a frame's parts and its header need 5 */
		.poll = {.mode = modes[sim_random(3)], .budget = 1 + (unsigned)sim_random(8)},
		.received = b->tasks ? NULL : received,
		.sendable = b->tasks ? NULL : sendable,
		.arg = l,
	};
	struct ob_net_info info;
	int ret;

	/* Both rings full, and some in our hands. One that is too small for a frame of the MTU is made longer. */
	pool.count = (config.rx_depth > RING_LEAST ? config.rx_depth : RING_LEAST) + PARTS_MAX * (config.tx_depth + 2);
	config.poll.window_ns = 1 + sim_random(20 * OB_NS_PER_US);
	l->index = index;
	l->net = b->net;
	l->window = 1 + (unsigned)sim_random(8);
	ob_net_info(b->net, &info);
	for (unsigned i = 0; i < 6; i++)
		l->mac[i] = info.permanent_mac[i];
	ob_event_init(&l->finished, cpu);
	ret = ob_packet_pool_create(&pool, &l->pool);
	if (ret != 0)
		return ret;
	config.pool = l->pool;
	if (sim_random(2) == 0 && ob_packet_pool_create(&pool, &l->spare) == 0 &&
	    ob_net_grant_pool(b->net, l->spare) != 0) {
		ob_packet_pool_put(l->spare);
		l->spare = NULL;
	}
	return ob_net_channel_open(b->net, &config, &l->channel);
}

static void pool_close(struct ob_packet_pool **pool)
{
	struct ob_packet_pool_stats stats;

	if (*pool == NULL)
		return;
	ob_packet_pool_stats(*pool, &stats);
	if (stats.free != stats.count)
		sim_fail("lost-packet", "%u of %u packets are not back in their pool", stats.count - stats.free,
			 stats.count);
	ob_packet_pool_put(*pool);
	*pool = NULL;
}

static void task_end(struct net_lane *l)
{
	if (l->task == NULL)
		return;
	OB_WRITE_ONCE(l->stop, true);
	SIM_CHECK(ob_task_join(l->task, ob_deadline(NET_TIMEOUT_NS)) == 0);
	l->task = NULL;
}

void net_lane_close(struct net_lane *l)
{
	task_end(l);
	ob_net_channel_close(l->channel);
	l->channel = NULL;
	pool_close(&l->pool);
	pool_close(&l->spare);
}

/* ---- the bed ---- */

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

/* Out of memory, vectors, whatever a call may run out of. */
static bool call_fails(void *arg, const char *call)
{
	return sim_call_fails(call);
}

static void bed_populate(struct net_bed *b, const struct sim_config *config, bool rough)
{
	static const uint32_t rooms[] = {ROOM, ROOM_LEAST, ROOM_WHOLE};
	unsigned most = config->queues < NET_LANES_MAX ? config->queues : NET_LANES_MAX;

	b->channels = sim_channels(1 + (unsigned)sim_random(most));
	b->tasks = sim_random(3) == 0;
	b->room = config->single_buffers ? ROOM_WHOLE : rooms[sim_random(3)];
	for (unsigned i = 0; i < b->channels; i++) {
		int ret = net_lane_open(b, i);

		if (ret != 0 && !rough)
			sim_fail("not-driven", "a channel cannot be opened: %d, and nothing is wrong with the device",
				 ret);
	}
}

bool net_bed_open(struct net_bed *b, const struct sim_config *config, enum net_manner manner)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = sim_cpus(1 + (unsigned)sim_random(3)),
		.trace_events_per_cpu = 16,
	};
	static const struct ob_hooks hooks = {.fail = call_fails};
	bool rough = manner == NET_ROUGH;

	b->lanes = ob_alloc(NET_LANES_MAX * sizeof(*b->lanes));
	SIM_CHECK(b->lanes != NULL);
	SIM_CHECK(ob_create(&ob_config, &b->ob) == 0);
	if (sim_fault_possible(SIM_FAULT_CALL))
		ob_set_hooks(b->ob, &hooks);
	/* CPU 0 may be turned by this thread. */
	for (unsigned i = 0; i < ob_cpu_count(b->ob); i++)
		if (i > 0 || sim_random(2) == 0)
			SIM_CHECK(ob_cpu_start(ob_cpu_get(b->ob, i), -1) == 0);
	if (ob_machine_open(b->ob, "sim:", NULL, &b->machine) != 0) {
		SIM_CHECK(sim_fault_count(SIM_FAULT_COUNT) > 0);
		b->machine = NULL;
	}
	b->net = ob_net_find(b->ob, NULL);
	if (b->net == NULL && !(rough && sim_fault_count(SIM_FAULT_COUNT) > 0))
		sim_fail("not-driven", "no network interface appeared, and nothing is wrong with the device");
	if (b->net != NULL)
		bed_populate(b, config, rough);
	return b->net != NULL;
}

static void lane_go(const struct net_bed *b, struct net_lane *l, void (*start)(void *arg))
{
	int ret;

	if (b->tasks)
		ret = ob_task_spawn(ob_net_channel_cpu(l->channel), "lane", lane_task, l, &l->task);
	else
		ret = ob_cpu_call(ob_net_channel_cpu(l->channel), start, l, ob_deadline(NET_TIMEOUT_NS));
	SIM_CHECK(ret == 0 || l->manner == NET_ROUGH);
	if (ret != 0)
		l->task = NULL;
}

void net_lanes_go(struct net_bed *b, enum net_manner manner)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct net_lane *l = &b->lanes[i];

		l->left = sim_load(4 + (unsigned)sim_random(NET_FRAMES_MAX - 4));
		l->manner = manner;
		if (l->channel != NULL)
			lane_go(b, l, net_lane_start);
	}
}

/* Its CPU, as frames may come meanwhile. */
static void begin_again(void *arg)
{
	struct net_lane *l = arg;

	l->manner = NET_ALL;
	l->first = l->next = l->sent;
	l->left = l->again;
	ob_event_reset(&l->finished);
}

static void start_again(void *arg)
{
	begin_again(arg);
	net_lane_start(arg);
}

void net_lanes_again(struct net_bed *b)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct net_lane *l = &b->lanes[i];

		task_end(l);
		l->again = sim_load(4 + (unsigned)sim_random(NET_AGAIN_MAX - 4));
		if (b->tasks) {
			OB_WRITE_ONCE(l->stop, false);
			begin_again(l);
		}
		lane_go(b, l, start_again);
	}
}

void net_lanes_end(struct net_bed *b)
{
	for (unsigned i = 0; i < b->channels; i++) {
		struct net_lane *l = &b->lanes[i];
		bool all = l->manner == NET_ALL;

		if (ob_event_wait(&l->finished, ob_deadline(all ? NET_TIMEOUT_NS : OB_NS_PER_MS)) != 0 && all)
			sim_fail("lost-frame", "lane %u: not all of its frames came back", i);
	}
}

/* Its memory stays when the machine is given up, and what was held at that time. */
void net_bed_close(struct net_bed *b)
{
	bool given_up;

	for (unsigned i = 0; i < b->channels; i++)
		net_lane_close(&b->lanes[i]);
	ob_net_put(b->net);
	ob_machine_close(b->machine);
	given_up = __atomic_load_n(&b->ob->abandoned, __ATOMIC_RELAXED) > 0;
	ob_destroy(b->ob);
	if (given_up && sim_fault_count(SIM_FAULT_COUNT) > 0)
		sim_leave();
	ob_free(b->lanes);
}

/* Nobody signals this: a wait that turns the loops, or sleeps beside them. */
void net_pause(const struct net_bed *b, uint64_t ns)
{
	struct ob_event pause;

	ob_event_init(&pause, ob_cpu_get(b->ob, 0));
	ob_event_wait(&pause, ob_deadline(ns));
}
