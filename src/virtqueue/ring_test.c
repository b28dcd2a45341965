/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ends of a virtqueue against each other, in all combinations of features: every request arrives as it was given
 * and comes back once, nobody who wants to be told is forgotten, and a full ring is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/random.h"
#include "tests/ring_rig.h"

#define CHAIN_MAX 12u
#define TOKENS    1024u

/* What the driver's end was given. */
struct given {
	bool in_flight, popped, used;
	unsigned out_count, in_count;
	struct ob_dma_piece pieces[CHAIN_MAX];
	uint32_t in_bytes, written;
	uint64_t order;
};

struct pair {
	struct ring_rig rig;
	struct random random;
	struct given given[TOKENS];
	struct virtqueue_chain taken[TOKENS]; /* by the device, not given back */
	uint32_t taken_token[TOKENS];
	unsigned taken_count;
	uint64_t next_order, next_kick, next_pop, next_take;
	unsigned in_flight, used_count;
	uint64_t done;
	bool device_waits, driver_waits; /* armed, and found nothing then */
};

static bool has(const struct pair *p, unsigned bit)
{
	return (p->rig.config.features & BIT64(bit)) != 0;
}

/* So many find room, whatever they look like: what the slots have of their own not counted. */
static unsigned promised(const struct pair *p)
{
	unsigned most = p->rig.config.chain_max;

	return virtqueue_driver_depth(&p->rig.driver, most) -
	       (most <= 3 || has(p, VIRTIO_F_INDIRECT_DESC) ? p->rig.driver.frame_count : 0u);
}

static void add_one(struct pair *p)
{
	unsigned most = p->rig.config.chain_max;
	unsigned count = (unsigned)random_range(&p->random, 1, most),
		 out = (unsigned)random_below(&p->random, count + 1);
	uint32_t token = (uint32_t)random_range(&p->random, p->rig.config.frames, TOKENS - 1);
	struct given *g = &p->given[token];
	int ret;

	if (g->in_flight)
		return;
	memset(g, 0, sizeof(*g));
	g->out_count = out;
	g->in_count = count - out;
	for (unsigned i = 0; i < count; i++) {
		uint32_t len = (uint32_t)random_size(&p->random, 4096);

		g->pieces[i].iova.addr = ring_rig_buffer(&p->rig, random_below(&p->random, RING_RIG_BUFFER_BYTES));
		g->pieces[i].len_bytes = len;
		g->in_bytes += i >= out ? len : 0;
	}
	ret = virtqueue_driver_add(&p->rig.driver, g->pieces, out, count - out, token);
	if (ret == -EAGAIN) {
		/* Only when it could not have been promised. */
		assert_true(p->in_flight >= promised(p));
		return;
	}
	assert_int_equal(ret, 0);
	g->in_flight = true;
	g->order = p->next_order++;
	p->in_flight++;
}

/* One of a slot, with its ends around it; slots are the lowest tokens. */
static void add_framed(struct pair *p)
{
	unsigned most = p->rig.config.chain_max - 2, count = (unsigned)random_below(&p->random, most + 1);
	uint32_t slot = (uint32_t)random_below(&p->random, p->rig.config.frames);
	struct given *g = &p->given[slot];
	bool in = random_percent(&p->random, 50);
	int ret;

	if (g->in_flight)
		return;
	if (random_percent(&p->random, 60) && most > 0)
		count = 1;
	memset(g, 0, sizeof(*g));
	g->out_count = in ? 1 : 1 + count;
	g->in_count = in ? 1 + count : 1;
	g->pieces[0] = (struct ob_dma_piece){{ring_rig_buffer(&p->rig, 32 * slot)}, RING_RIG_FRAME_OUT};
	g->pieces[1 + count] = (struct ob_dma_piece){{ring_rig_buffer(&p->rig, 40000 + slot)}, RING_RIG_FRAME_IN};
	g->in_bytes = RING_RIG_FRAME_IN;
	for (unsigned i = 1; i <= count; i++) {
		uint32_t len = (uint32_t)random_size(&p->random, 4096);

		g->pieces[i].iova.addr = ring_rig_buffer(&p->rig, random_below(&p->random, RING_RIG_BUFFER_BYTES));
		g->pieces[i].len_bytes = len;
		g->in_bytes += in ? len : 0;
	}
	ret = virtqueue_driver_add_framed(&p->rig.driver, slot, &g->pieces[1], count, in);
	if (ret == -EAGAIN) {
		assert_true(p->in_flight >= promised(p));
		return;
	}
	assert_int_equal(ret, 0);
	g->in_flight = true;
	g->order = p->next_order++;
	p->in_flight++;
}

#define STRIDE 32u

/* Requests of one piece, many at once; as many are taken as there is room for. @even: buffers that are alike. */
static void add_singles(struct pair *p, bool even)
{
	bool write = even || random_percent(&p->random, 50);
	uint32_t even_len = (uint32_t)random_size(&p->random, 4096);
	unsigned count = 0, free_entries = p->rig.driver.free_entries, added;
	struct ob_virtio_single singles[8];
	uint32_t tokens[8];

	for (uint32_t token = (uint32_t)random_range(&p->random, p->rig.config.frames, TOKENS - 1);
	     token < TOKENS && count < 8; token++) {
		struct given *g = &p->given[token];
		uint32_t len = even ? even_len : (uint32_t)random_size(&p->random, 4096);
		uint64_t offset = even ? token * STRIDE : random_below(&p->random, RING_RIG_BUFFER_BYTES);

		if (g->in_flight)
			continue;
		memset(g, 0, sizeof(*g));
		g->pieces[0].iova.addr = ring_rig_buffer(&p->rig, offset);
		g->pieces[0].len_bytes = len;
		g->out_count = write ? 0 : 1;
		g->in_count = write ? 1 : 0;
		g->in_bytes = write ? len : 0;
		tokens[count] = token;
		singles[count++] = (struct ob_virtio_single){g->pieces[0].iova, len, token};
	}
	if (even)
		added = virtqueue_driver_add_buffers(&p->rig.driver, tokens, count,
						     (ob_iova){ring_rig_buffer(&p->rig, 0)}, STRIDE, even_len);
	else
		added = virtqueue_driver_add_singles(&p->rig.driver, singles, count,
						     write ? OB_DMA_WRITE : OB_DMA_READ);
	assert_int_equal(added, MIN(count, free_entries));
	for (unsigned i = 0; i < added; i++) {
		p->given[tokens[i]].in_flight = true;
		p->given[tokens[i]].order = p->next_order++;
	}
	p->in_flight += added;
}

static void kick(struct pair *p)
{
	unsigned before = p->rig.kicks;
	bool news = p->next_order != p->next_kick;

	p->next_kick = p->next_order;
	virtqueue_driver_kick(&p->rig.driver);
	/* Who waits hears of it. */
	if (p->device_waits && news)
		assert_int_equal(p->rig.kicks, before + 1);
	if (!news)
		assert_int_equal(p->rig.kicks, before);
	if (p->rig.kicks != before)
		p->device_waits = false;
}

/* The request of this order. */
static uint32_t token_of(struct pair *p, uint64_t order)
{
	for (uint32_t t = 0; t < TOKENS; t++)
		if (p->given[t].in_flight && p->given[t].order == order)
			return t;
	fail_msg("nothing was given as number %llu", (unsigned long long)order);
	return 0;
}

static bool pop_one(struct pair *p)
{
	struct virtqueue_piece pieces[CHAIN_MAX];
	struct virtqueue_chain chain;
	struct given *g;
	uint32_t token;
	int ret = virtqueue_device_pop(&p->rig.device, pieces, CHAIN_MAX, &chain);

	if (ret < 0)
		fail_msg("%s", p->rig.device.why);
	if (ret == 0)
		return false;
	token = token_of(p, p->next_pop++);
	g = &p->given[token];
	assert_false(g->popped);
	g->popped = true;
	assert_int_equal(chain.out_count, g->out_count);
	assert_int_equal(chain.in_count, g->in_count);
	assert_int_equal(chain.in_bytes, g->in_bytes);
	for (unsigned i = 0; i < g->out_count + g->in_count; i++) {
		assert_int_equal(pieces[i].addr, g->pieces[i].iova.addr);
		assert_int_equal(pieces[i].len_bytes, g->pieces[i].len_bytes);
		assert_int_equal(pieces[i].write, i >= g->out_count);
	}
	p->taken[p->taken_count] = chain;
	p->taken_token[p->taken_count++] = token;
	return true;
}

static void push_one(struct pair *p)
{
	unsigned i = has(p, VIRTIO_F_IN_ORDER) ? 0 : (unsigned)random_below(&p->random, p->taken_count);
	struct given *g;

	if (p->taken_count == 0)
		return;
	g = &p->given[p->taken_token[i]];
	g->written = (uint32_t)random_below(&p->random, (uint64_t)g->in_bytes + 1);
	assert_int_equal(virtqueue_device_push(&p->rig.device, &p->taken[i], g->written), 0);
	g->used = true;
	p->used_count++;
	p->taken_count--;
	memmove(&p->taken[i], &p->taken[i + 1], (p->taken_count - i) * sizeof(p->taken[0]));
	memmove(&p->taken_token[i], &p->taken_token[i + 1], (p->taken_count - i) * sizeof(p->taken_token[0]));
}

static void publish(struct pair *p, bool news)
{
	bool signal;

	assert_int_equal(virtqueue_device_publish(&p->rig.device), 0);
	signal = virtqueue_device_must_signal(&p->rig.device);
	if (p->driver_waits && news)
		assert_true(signal);
	if (!news)
		assert_false(signal);
	if (signal)
		p->driver_waits = false;
}

/* One way of taking or another. Returns what it says; the lengths only where they are told. */
static int take(struct pair *p, struct ob_virtio_used *used, unsigned max, bool *lengths)
{
	uint32_t tokens[64];
	int n;

	*lengths = true;
	switch (random_below(&p->random, 4)) {
	case 0:
		return virtqueue_driver_take(&p->rig.driver, used, max);
	case 1:
		return virtqueue_driver_take_singles(&p->rig.driver, used, max);
	case 2:
		return ring_rig_take_framed(&p->rig.driver, used, max);
	default:
		n = virtqueue_driver_take_tokens(&p->rig.driver, tokens, max);
		for (int i = 0; i < n; i++)
			used[i].token = tokens[i];
		*lengths = false;
		return n;
	}
}

static unsigned take_some(struct pair *p, unsigned max)
{
	struct ob_virtio_used used[64];
	bool pending = virtqueue_driver_pending(&p->rig.driver), lengths;
	int n = take(p, used, max, &lengths);

	if (n < 0)
		fail_msg("%s", p->rig.driver.why);
	assert_int_equal(n > 0, pending);
	for (int i = 0; i < n; i++) {
		struct given *g = &p->given[used[i].token];

		assert_true(g->in_flight && g->used);
		if (lengths)
			assert_int_equal(used[i].len_bytes, g->written);
		if (has(p, VIRTIO_F_IN_ORDER))
			assert_int_equal(g->order, p->next_take++);
		g->in_flight = g->used = false;
		p->in_flight--;
		p->used_count--;
		p->done++;
	}
	assert_int_equal(virtqueue_driver_in_flight(&p->rig.driver), p->in_flight);
	return (unsigned)n;
}

/* Either end waits only when it was told that there is nothing. */
static void wait_driver(struct pair *p)
{
	p->driver_waits = !virtqueue_driver_arm(&p->rig.driver);
	if (!p->driver_waits)
		assert_true(take_some(p, 64) > 0);
}

static void wait_device(struct pair *p)
{
	p->device_waits = !virtqueue_device_arm(&p->rig.device);
	if (!p->device_waits)
		assert_true(pop_one(p));
}

static void step(struct pair *p)
{
	unsigned used = p->used_count;

	switch (random_below(&p->random, 13)) {
	case 0:
		for (unsigned i = (unsigned)random_size(&p->random, p->rig.config.size); i > 0; i--)
			add_singles(p, random_percent(&p->random, 50));
		break;
	case 1:
	case 2:
	case 12:
		for (unsigned i = (unsigned)random_size(&p->random, 2 * p->rig.config.size); i > 0; i--)
			if (p->rig.config.frames != 0 && random_percent(&p->random, 70))
				add_framed(p);
			else
				add_one(p);
		break;
	case 3:
	case 4:
		kick(p);
		break;
	case 5:
	case 6:
		for (unsigned i = (unsigned)random_size(&p->random, p->rig.config.size); i > 0; i--)
			if (!pop_one(p))
				break;
		break;
	case 7:
		for (unsigned i = (unsigned)random_size(&p->random, p->rig.config.size); i > 0; i--)
			push_one(p);
		publish(p, p->used_count != used);
		break;
	case 8:
		take_some(p, (unsigned)random_range(&p->random, 1, 64));
		break;
	case 9:
		wait_driver(p);
		break;
	case 10:
		wait_device(p);
		break;
	default:
		if (random_percent(&p->random, 50)) {
			virtqueue_driver_disarm(&p->rig.driver);
			p->driver_waits = false;
		} else {
			virtqueue_device_disarm(&p->rig.device);
			p->device_waits = false;
		}
		break;
	}
}

static void dropped(void *arg, uint32_t token)
{
	struct pair *p = arg;

	assert_true(p->given[token].in_flight);
	p->given[token].in_flight = false;
	p->in_flight--;
}

/* The device is gone in the middle of it: what is in flight comes back by name, once each. */
static void drop(struct pair *p)
{
	virtqueue_driver_drop(&p->rig.driver, dropped, p);
	assert_int_equal(p->in_flight, 0);
	assert_int_equal(virtqueue_driver_in_flight(&p->rig.driver), 0);
	memset(p->given, 0, sizeof(p->given));
	p->taken_count = p->used_count = 0;
}

/* All that is under way ends, and the ring is as free as it was. */
static void drain(struct pair *p)
{
	kick(p);
	for (unsigned i = 0; p->in_flight > 0; i++) {
		unsigned used = p->used_count;

		assert_true(i < 10 * TOKENS);
		while (pop_one(p))
			;
		while (p->taken_count > 0)
			push_one(p);
		publish(p, p->used_count != used);
		take_some(p, 64);
	}
	assert_int_equal(p->rig.driver.free_entries, p->rig.config.size - p->rig.driver.frame_end);
	assert_int_equal(p->rig.device.in_flight, 0);
	assert_int_equal(p->next_pop, p->next_order);
}

static void run_pair(const struct ring_rig_config *config, uint64_t seed, uint64_t requests)
{
	static struct pair p;

	memset(&p, 0, sizeof(p));
	p.random.state = seed;
	assert_int_equal(ring_rig_open(&p.rig, config), 0);
	while (p.done < requests)
		step(&p);
	if (seed % 2 == 0)
		drain(&p);
	else
		drop(&p);
	/* As empty as at the beginning, for another life. */
	virtqueue_driver_rewind(&p.rig.driver);
	assert_int_equal(ring_rig_device_init(&p.rig), 0);
	p.next_pop = p.next_order;
	p.next_take = p.next_order;
	p.next_kick = p.next_order;
	p.device_waits = p.driver_waits = false;
	for (unsigned i = 0; i < 50; i++)
		step(&p);
	drain(&p);
	ring_rig_close(&p.rig);
}

static uint64_t features_of(unsigned bits)
{
	static const unsigned bit[] = {VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
				       VIRTIO_F_IN_ORDER};
	uint64_t features = BIT64(VIRTIO_F_VERSION_1);

	for (unsigned i = 0; i < ARRAY_SIZE(bit); i++)
		if ((bits & BIT(i)) != 0)
			features |= BIT64(bit[i]);
	return features;
}

static void test_every_combination_of_features_carries_requests(void **state)
{
	static const uint16_t split[] = {1, 2, 4, 16, 256}, packed[] = {1, 2, 3, 5, 16, 37, 256};
	unsigned count = 0;

	for (unsigned bits = 0; bits < 32; bits++) {
		bool is_packed = (bits & 1) != 0;

		for (unsigned s = 0; s < (is_packed ? ARRAY_SIZE(packed) : ARRAY_SIZE(split)); s++) {
			struct ring_rig_config config = {
				.features = features_of(bits & 15),
				.size = is_packed ? packed[s] : split[s],
				.through_ops = (bits & 16) != 0,
			};

			config.chain_max = MIN(config.size, CHAIN_MAX);
			for (config.indirect_from = 0; config.indirect_from <= 4; config.indirect_from += 2)
				run_pair(&config, ++count, 400);
		}
	}
}

static void test_framed_requests_go_between_others(void **state)
{
	static const uint16_t sizes[] = {2, 4, 8, 16, 64, 256, 5, 37};
	unsigned count = 0;

	for (unsigned bits = 0; bits < 16; bits++) {
		for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
			struct ring_rig_config config = {.features = features_of(bits), .size = sizes[s]};

			if ((bits & 1) == 0 && !IS_POWER_OF_2(config.size))
				continue;

			for (config.chain_max = 2; config.chain_max <= MIN(config.size, CHAIN_MAX);
			     config.chain_max += 3) {
				config.frames = 1 + ++count % 100;
				config.indirect_from = count % 3 == 0 ? 2 : 0;
				run_pair(&config, 5000 + count, 600);
			}
		}
	}
}

static void test_framed_requests_that_cannot_be_are_refused(void **state)
{
	struct ring_rig_config config = {.features = features_of(2), .size = 16, .chain_max = 4, .frames = 8};
	struct ob_dma_piece data[3];
	struct ring_rig rig;

	for (unsigned bits = 0; bits < 2; bits++) {
		config.features = features_of(bits);
		assert_int_equal(ring_rig_open(&rig, &config), 0);
		assert_int_equal(rig.driver.frame_count, bits == 0 ? 4 : 0);
		for (unsigned i = 0; i < 3; i++)
			data[i] = (struct ob_dma_piece){{ring_rig_buffer(&rig, 4096)}, 512};
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 8, data, 1, true), -EINVAL);
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 0, data, 3, true), -EINVAL);
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 7, data, 3, true), -EINVAL);
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 0, data, 1, true), 0);
		if (bits == 0)
			assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 0, data, 1, true), -EINVAL);
		virtqueue_driver_break(&rig.driver, "the test says so");
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 1, data, 1, true), -EPROTO);
		assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 7, data, 1, true), -EPROTO);
		ring_rig_close(&rig);
	}
}

/* Slots may get descriptors of their own, others, or none, while the device goes on. */
static void test_frames_change_on_a_ring_that_works(void **state)
{
	struct ring_rig_config config = {.features = features_of(0), .size = 16, .chain_max = 4, .frames = 8};
	struct virtqueue_piece pieces[16];
	struct virtqueue_chain chain;
	struct ob_virtio_used used[4];
	struct ob_virtio_frame frame;
	struct ob_dma_piece data;
	struct ring_rig rig;

	assert_int_equal(ring_rig_open(&rig, &config), 0);
	frame = rig.driver.frame;
	data = (struct ob_dma_piece){{ring_rig_buffer(&rig, 4096)}, 512};
	for (unsigned i = 0; i < 50; i++) {
		static const unsigned prepared[] = {4, 2, 1};

		frame.slots = i % 3 == 0 ? 8 : 3 - i % 3;
		frame.out.addr += 32;
		assert_int_equal(virtqueue_driver_frame(&rig.driver, &frame), 0);
		assert_int_equal(rig.driver.frame_count, prepared[i % 3]);
		for (unsigned n = 0; n < 3; n++) {
			bool framed = n < 2;

			if (framed)
				assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 0, &data, 1, n == 1), 0);
			else
				assert_int_equal(virtqueue_driver_add(&rig.driver, &data, 1, 0, 99), 0);
			virtqueue_driver_kick(&rig.driver);
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 16, &chain), 1);
			assert_int_equal(chain.out_count, n == 0 ? 2 : 1);
			assert_int_equal(pieces[0].addr, framed ? frame.out.addr : data.iova.addr);
			assert_int_equal(virtqueue_device_push(&rig.device, &chain, chain.in_bytes), 0);
			assert_int_equal(virtqueue_device_publish(&rig.device), 0);
			/* Not under a request: then slots have none, and all goes on. */
			if (n == 1) {
				assert_int_equal(virtqueue_driver_frame(&rig.driver, &frame), 0);
				assert_int_equal(rig.driver.frame_count, 0);
			}
			assert_int_equal(virtqueue_driver_take(&rig.driver, used, 4), 1);
			assert_int_equal(used[0].token, framed ? 0 : 99);
			assert_int_equal(used[0].len_bytes, chain.in_bytes);
		}
	}
	frame.slots = 0;
	assert_int_equal(virtqueue_driver_frame(&rig.driver, &frame), 0);
	assert_int_equal(rig.driver.free_entries, 16);
	assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 0, &data, 1, true), -EINVAL);
	ring_rig_close(&rig);
}

/* The 16-bit indexes come round. */
static void test_long_runs_wrap_the_indexes(void **state)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		struct ring_rig_config config = {.features = features_of(bits), .size = 64, .chain_max = 3};

		run_pair(&config, 1000 + bits, 140000);
	}
}

static void test_full_ring_takes_no_more_and_all_of_it(void **state)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		for (unsigned pieces = 1; pieces <= 4; pieces++) {
			struct ring_rig_config config = {.features = features_of(bits), .size = 16, .chain_max = 4};
			struct ob_dma_piece piece[4];
			struct ring_rig rig;
			unsigned count = 0;

			config.indirect_from = 2;
			assert_int_equal(ring_rig_open(&rig, &config), 0);
			for (unsigned i = 0; i < 4; i++)
				piece[i] = (struct ob_dma_piece){{ring_rig_buffer(&rig, i * 512)}, 512};
			while (virtqueue_driver_add(&rig.driver, piece, pieces, 0, count) == 0)
				assert_true(++count <= 16);
			if (pieces == 1 || (bits & 2) != 0)
				assert_int_equal(count, 16);
			else
				assert_int_equal(count, 16 / pieces);
			assert_true(count >= virtqueue_driver_depth(&rig.driver, pieces));
			assert_int_equal(virtqueue_driver_add(&rig.driver, piece, pieces, 0, 0), -EAGAIN);
			assert_int_equal(virtqueue_driver_add(&rig.driver, piece, 0, 0, 0), -EINVAL);
			assert_int_equal(virtqueue_driver_add(&rig.driver, piece, 5, 0, 0), -EINVAL);
			ring_rig_close(&rig);
		}
	}
}

/* What the device sees before a kick is what it saw before. */
static void test_nothing_is_seen_before_the_kick(void **state)
{
	for (unsigned bits = 0; bits < 2; bits++) {
		struct ring_rig_config config = {.features = features_of(bits), .size = 8, .chain_max = 2};
		struct virtqueue_piece pieces[8];
		struct virtqueue_chain chain;
		struct ob_dma_piece piece;
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, i), 0);
		assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain), 0);
		virtqueue_driver_kick(&rig.driver);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain), 1);
		assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain), 0);
		ring_rig_close(&rig);
	}
}

/* Doorbell: the queue's number, or that and the place of the next one (§2.9). */
static void test_notification_tells_what_was_negotiated(void **state)
{
	for (unsigned bits = 0; bits < 4; bits++) {
		bool packed = (bits & 1) != 0, data = (bits & 2) != 0;
		struct ring_rig_config config = {.features = features_of(packed), .size = 4, .chain_max = 2};
		struct virtqueue_piece pieces[4];
		struct virtqueue_chain chain;
		struct ob_virtio_used used[4];
		struct ob_dma_piece piece;
		struct ring_rig rig;

		if (data)
			config.features |= BIT64(VIRTIO_F_NOTIFICATION_DATA);
		assert_int_equal(ring_rig_open(&rig, &config), 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
		for (unsigned i = 0; i < 6; i++) {
			uint32_t want = packed ? (i + 1) % 4 << 16 | ((i + 1) / 4 % 2 == 0 ? 1u << 31 : 0)
					       : (i + 1) << 16;

			assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, i), 0);
			virtqueue_driver_kick(&rig.driver);
			assert_int_equal(rig.kicks, i + 1);
			assert_int_equal(rig.kick_offset, 0x40);
			assert_int_equal(rig.kick_bytes, data ? 4 : 2);
			assert_int_equal(rig.kick_value, 3 | (data ? want : 0));
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 4, &chain), 1);
			assert_int_equal(virtqueue_device_push(&rig.device, &chain, 0), 0);
			assert_int_equal(virtqueue_device_publish(&rig.device), 0);
			assert_int_equal(virtqueue_driver_take(&rig.driver, used, 4), 1);
			assert_int_equal(used[0].token, i);
		}
		ring_rig_close(&rig);
	}
}

/* A driver that polls is left alone, also when the indexes have come round. */
static void test_driver_that_polls_hears_nothing(void **state)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		struct ring_rig_config config = {.features = features_of(bits), .size = 16, .chain_max = 1};
		struct virtqueue_piece pieces[16];
		struct virtqueue_chain chain;
		struct ob_virtio_used used[4];
		struct ob_dma_piece piece;
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
		for (unsigned i = 0; i < 140000; i++) {
			assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, i), 0);
			virtqueue_driver_kick(&rig.driver);
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 16, &chain), 1);
			assert_int_equal(virtqueue_device_push(&rig.device, &chain, 0), 0);
			assert_int_equal(virtqueue_device_publish(&rig.device), 0);
			assert_false(virtqueue_device_must_signal(&rig.device));
			assert_int_equal(virtqueue_driver_take(&rig.driver, used, 4), 1);
		}
		ring_rig_close(&rig);
	}
}

/* A server that comes back goes on where the other stopped (vhost-user: the base). */
static void test_device_that_returns_at_its_base_goes_on(void **state)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		struct ring_rig_config config = {.features = features_of(bits), .size = 8, .chain_max = 3};
		struct ob_virtio_used used[4];
		struct virtqueue_piece pieces[8];
		struct virtqueue_chain chain;
		struct ob_dma_piece piece[3];
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		for (unsigned i = 0; i < 3; i++)
			piece[i] = (struct ob_dma_piece){{ring_rig_buffer(&rig, i * 64)}, 64};
		for (unsigned i = 0; i < 100; i++) {
			uint32_t base = virtqueue_device_base(&rig.device);

			assert_int_equal(ring_rig_device_init(&rig), 0);
			assert_int_equal(virtqueue_device_set_base(&rig.device, base), 0);
			assert_int_equal(virtqueue_device_base(&rig.device), base);
			assert_int_equal(virtqueue_driver_add(&rig.driver, piece, i % 3, 1, i), 0);
			virtqueue_driver_kick(&rig.driver);
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain), 1);
			assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain), 0);
			assert_int_equal(virtqueue_device_push(&rig.device, &chain, 5), 0);
			assert_int_equal(virtqueue_device_publish(&rig.device), 0);
			assert_int_equal(virtqueue_driver_take(&rig.driver, used, 4), 1);
			assert_int_equal(used[0].token, i);
			assert_int_equal(used[0].len_bytes, 5);
		}
		ring_rig_close(&rig);
	}
}

/* One that died with requests in its hands gets them again by their heads. */
static void test_requests_in_flight_are_fetched_again(void **state)
{
	struct ring_rig_config config = {.features = features_of(0), .size = 8, .chain_max = 3};
	struct virtqueue_piece pieces[8];
	struct virtqueue_chain chain[2], again;
	struct ob_virtio_used used[4];
	struct ob_dma_piece piece[2];
	struct ring_rig rig;

	assert_int_equal(ring_rig_open(&rig, &config), 0);
	for (unsigned i = 0; i < 2; i++) {
		piece[0] = (struct ob_dma_piece){{ring_rig_buffer(&rig, i * 64)}, 64};
		piece[1] = (struct ob_dma_piece){{ring_rig_buffer(&rig, 1000 + i * 64)}, 32};
		assert_int_equal(virtqueue_driver_add(&rig.driver, piece, 1, 1, 70 + i), 0);
	}
	virtqueue_driver_kick(&rig.driver);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 8, &chain[i]), 1);
	assert_int_equal(ring_rig_device_init(&rig), 0);
	assert_int_equal(virtqueue_device_set_base(&rig.device, 2), 0);
	assert_int_equal(rig.device.in_flight, 2);
	assert_int_equal(virtqueue_device_fetch(&rig.device, chain[1].id, pieces, 8, &again), 1);
	assert_int_equal(pieces[0].addr, ring_rig_buffer(&rig, 64));
	assert_int_equal(again.in_bytes, 32);
	assert_int_equal(virtqueue_device_push(&rig.device, &again, 32), 0);
	assert_int_equal(virtqueue_device_publish(&rig.device), 0);
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 4), 1);
	assert_int_equal(used[0].token, 71);
	assert_int_equal(virtqueue_device_fetch(&rig.device, 8, pieces, 8, &again), -EPROTO);
	ring_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination_of_features_carries_requests),
		cmocka_unit_test(test_framed_requests_go_between_others),
		cmocka_unit_test(test_framed_requests_that_cannot_be_are_refused),
		cmocka_unit_test(test_frames_change_on_a_ring_that_works),
		cmocka_unit_test(test_long_runs_wrap_the_indexes),
		cmocka_unit_test(test_full_ring_takes_no_more_and_all_of_it),
		cmocka_unit_test(test_nothing_is_seen_before_the_kick),
		cmocka_unit_test(test_notification_tells_what_was_negotiated),
		cmocka_unit_test(test_driver_that_polls_hears_nothing),
		cmocka_unit_test(test_device_that_returns_at_its_base_goes_on),
		cmocka_unit_test(test_requests_in_flight_are_fetched_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
