/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames arrive as they were sent: all sizes, any parts, in order, none lost, none doubled. */
#include "tests/conformance/net/suite.h"

/* Of the two frames in t->out and t->in. */
static int compare(struct suite *t, uint32_t expected, uint32_t got)
{
	SUITE_CHECK(t, got != 0, "a frame of %u bytes did not arrive", expected);
	SUITE_CHECK(t, got == expected, "a frame of %u bytes arrived as one of %u", expected, got);
	for (uint32_t i = 0; i < expected; i++)
		SUITE_CHECK(t, t->out[i] == t->in[i], "byte %u of a frame of %u is %#x, not %#x", i, expected, t->in[i],
			    t->out[i]);
	return 0;
}

static uint32_t some_size(struct suite *t, unsigned i)
{
	const uint32_t edges[] = {60,
				  61,
				  64,
				  65,
				  127,
				  128,
				  129,
				  255,
				  256,
				  257,
				  1023,
				  1024,
				  1025,
				  1499,
				  frame_max(t) - 2,
				  frame_max(t) - 1,
				  frame_max(t)};

	if (i < ARRAY_SIZE(edges) && edges[i] <= frame_max(t))
		return edges[i];
	return (uint32_t)random_range(&t->random, ETHERNET_FRAME_MIN, frame_max(t));
}

static int send_and_compare(struct suite *t, uint32_t len_bytes, unsigned parts)
{
	struct ob_packet *frame;

	make_frame(t, t->out, len_bytes, false);
	frame = make_packets(t, t->out, len_bytes, parts);
	SUITE_CHECK(t, frame != NULL, "no packets");
	if (suite_send(t, 0, frame) != 0)
		return -1;
	return compare(t, len_bytes, wire_take(t, t->in, SUITE_WAIT_NS));
}

int check_sizes_out(struct suite *t)
{
	for (unsigned i = 0; i < 100; i++)
		if (send_and_compare(t, some_size(t, i), 1) != 0)
			return -1;
	return 0;
}

int check_sizes_in(struct suite *t)
{
	for (unsigned i = 0; i < 100; i++) {
		uint32_t len_bytes = some_size(t, i);

		make_frame(t, t->out, len_bytes, true);
		if (wire_put(t, t->out, len_bytes) != 0 ||
		    compare(t, len_bytes, suite_take(t, t->in, NULL, SUITE_WAIT_NS)) != 0)
			return -1;
	}
	return 0;
}

int check_scatter(struct suite *t)
{
	for (unsigned i = 0; i < 100; i++) {
		unsigned parts = (unsigned)random_range(&t->random, 2, MAX(2u, MIN(t->info.segments_max / 2, 12u)));

		if (t->info.segments_max < 4)
			break;
		/* A part may be cut short by its buffer: there may be some more than was wished for. */
		if (send_and_compare(t, some_size(t, i), parts) != 0)
			return -1;
	}
	return 0;
}

/* ---- order ---- */

#define ORDER_FRAMES 2000u
#define ORDER_AHEAD  64u /* on the way at a time: no peer has less room */

static void number_frame(struct suite *t, uint8_t *frame, uint32_t number, bool to_us)
{
	make_frame(t, frame, 64, to_us);
	net_put32(frame + ETHERNET_HEADER_BYTES, number);
}

static int check_number(struct suite *t, uint32_t len_bytes, uint32_t expected)
{
	uint32_t number = net_get32(t->in + ETHERNET_HEADER_BYTES);

	SUITE_CHECK(t, len_bytes == 64, "frame %u: %u bytes arrived, not 64", expected, len_bytes);
	SUITE_CHECK(t, number == expected, "frame %u arrived in place of frame %u", number, expected);
	return 0;
}

static int send_burst(struct suite *t, unsigned channel, uint32_t first, unsigned count)
{
	struct ob_packet *frames[OB_NET_BURST];
	uint64_t deadline_ns = ob_deadline(SUITE_WAIT_NS);
	unsigned sent = 0;

	for (unsigned i = 0; i < count; i++) {
		number_frame(t, t->out, first + i, false);
		frames[i] = make_packets(t, t->out, 64, 1);
		SUITE_CHECK(t, frames[i] != NULL, "no packet: they do not come back");
	}
	while (sent < count) {
		sent += ob_net_send(t->channels[channel], frames + sent, count - sent);
		ob_net_kick(t->channels[channel]);
		suite_pump(t);
		SUITE_CHECK(t, ob_now_ns() < deadline_ns, "no room to send");
	}
	t->sent += count;
	t->sent_bytes += 64 * count;
	return 0;
}

int check_order_out(struct suite *t)
{
	uint32_t sent = 0, taken = 0;

	while (taken < ORDER_FRAMES) {
		unsigned burst = 1 + (unsigned)random_below(&t->random, OB_NET_BURST);

		burst = MIN(burst, ORDER_FRAMES - sent);
		if (burst > 0 && sent - taken + burst <= ORDER_AHEAD) {
			if (send_burst(t, 0, sent, burst) != 0)
				return -1;
			sent += burst;
			continue;
		}
		if (check_number(t, wire_take(t, t->in, SUITE_WAIT_NS), taken) != 0)
			return -1;
		taken++;
	}
	SUITE_CHECK(t, wire_take(t, t->in, SUITE_QUIET_NS) == 0, "a frame arrived twice");
	return 0;
}

/* Bursts on all channels at once: those of each arrive whole and in order, whatever becomes of those of others. */
int check_order_channels(struct suite *t)
{
	const uint32_t channel_step = 1u << 24; /* a number's high byte tells the channel */
	unsigned count = MIN(t->info.channels_max, SUITE_CHANNELS), on_the_way = 0, left;
	uint32_t sent[SUITE_CHANNELS] = {0}, taken[SUITE_CHANNELS] = {0};

	if (suite_open(t, count) != 0)
		return -1;
	for (left = count * ORDER_FRAMES; left > 0; left--) {
		uint32_t len_bytes, number;

		for (; on_the_way + OB_NET_BURST <= ORDER_AHEAD; on_the_way += OB_NET_BURST / 4) {
			unsigned channel = (unsigned)random_below(&t->random, count);

			if (sent[channel] == ORDER_FRAMES)
				break;
			if (send_burst(t, channel, channel * channel_step + sent[channel], OB_NET_BURST / 4) != 0)
				return -1;
			sent[channel] += OB_NET_BURST / 4;
		}
		if (on_the_way == 0) {
			left++;
			continue;
		}
		len_bytes = wire_take(t, t->in, SUITE_WAIT_NS);
		number = len_bytes != 0 ? net_get32(t->in + ETHERNET_HEADER_BYTES) : 0;
		SUITE_CHECK(t, len_bytes != 0 && number / channel_step < count, "%u frames did not arrive", on_the_way);
		if (check_number(t, len_bytes, number - number % channel_step + taken[number / channel_step]) != 0)
			return -1;
		taken[number / channel_step]++;
		on_the_way--;
	}
	SUITE_CHECK(t, wire_take(t, t->in, SUITE_QUIET_NS) == 0, "a frame arrived twice");
	return 0;
}

int check_order_in(struct suite *t)
{
	uint32_t sent = 0, taken = 0;

	while (taken < ORDER_FRAMES) {
		if (sent < ORDER_FRAMES && sent - taken < ORDER_AHEAD && random_percent(&t->random, 60)) {
			number_frame(t, t->out, sent++, true);
			if (wire_put(t, t->out, 64) != 0)
				return -1;
			continue;
		}
		if (taken == sent)
			continue;
		if (check_number(t, suite_take(t, t->in, NULL, SUITE_WAIT_NS), taken) != 0)
			return -1;
		taken++;
	}
	SUITE_CHECK(t, suite_take(t, t->in, NULL, SUITE_QUIET_NS) == 0, "a frame arrived twice");
	return 0;
}
