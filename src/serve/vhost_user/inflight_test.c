/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers that die at any step, over a table of requests in flight, and others that go on for them. The driver's end of the
 * ring lives on: it sees each of its requests end once, with what was asked for, or the test fails.
 */
#include "serve/vhost_user/inflight.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "spec/virtio.h"
#include "tests/random.h"
#include "tests/ring_rig.h"

#define SIZE      16u
#define PIECES    4u
#define TABLE_MAX 4096u

struct taken {
	struct virtqueue_chain chain;
	uint16_t slot;
};

static struct ring_rig rig;
static struct vu_inflight inflight;
static uint8_t table[TABLE_MAX] __attribute__((aligned(64)));
static struct taken taken[SIZE];
static unsigned taken_count;
static struct random rnd;
/* the driver's side, by token */
static bool busy[SIZE];
static uint32_t wanted[SIZE]; /* what the buffer holds that the device was given */
static unsigned started, ended, deaths, resumed;

static void start_server(uint64_t features)
{
	taken_count = 0;
	assert_int_equal(ring_rig_device_init(&rig), 0);
	/* Where a front-end believes that it stands, when it has to start anew. */
	assert_int_equal(vu_inflight_start(&inflight, table, features, SIZE, &rig.device,
					   (features & BIT64(VIRTIO_F_RING_PACKED)) != 0 ? 0x80008000 : 0),
			 0);
	resumed += inflight.resumed_count;
	for (unsigned i = 1; i < inflight.resumed_count; i++)
		assert_true(inflight.resumed[i - 1].counter < inflight.resumed[i].counter);
}

/* All that it knew is lost; the ring and the table are not. */
static void die(uint64_t features)
{
	vu_inflight_stop(&inflight);
	deaths++;
	start_server(features);
}

/* One request of random pieces; the first one tells which it is. */
static void driver_adds(void)
{
	struct ob_dma_piece pieces[PIECES];
	unsigned token = 0, count = (unsigned)random_range(&rnd, 1, PIECES);

	while (token < SIZE && busy[token])
		token++;
	if (token == SIZE)
		return;
	for (unsigned i = 0; i < count; i++)
		pieces[i] = (struct ob_dma_piece){{ring_rig_buffer(&rig, 256 * token + 16 * i)}, 8};
	wanted[token] = (uint32_t)random_next(&rnd);
	memcpy(ring_rig_pointer(&rig, pieces[0].iova.addr), &wanted[token], sizeof(wanted[token]));
	if (virtqueue_driver_add(&rig.driver, pieces, 1, count - 1, token) != 0)
		return;
	busy[token] = true;
	started++;
	virtqueue_driver_kick(&rig.driver);
}

static void driver_takes(void)
{
	struct ob_virtio_used used;
	int ret;

	while ((ret = virtqueue_driver_take(&rig.driver, &used, 1)) == 1) {
		assert_true(used.token < SIZE);
		assert_true(busy[used.token]);
		busy[used.token] = false;
		ended++;
	}
	if (ret < 0)
		fail_msg("%s", rig.driver.why);
}

/* Of those that it has begun before, those that the table has, go first. */
static void server_takes(void)
{
	struct virtqueue_piece pieces[PIECES];
	struct taken *t = &taken[taken_count];
	int ret;

	if (inflight.resumed_next < inflight.resumed_count) {
		ret = vu_inflight_resume(&inflight, &rig.device, pieces, PIECES, &t->chain, &t->slot);
		assert_int_equal(ret, 1);
	} else {
		ret = virtqueue_device_pop(&rig.device, pieces, PIECES, &t->chain);
		if (ret < 0)
			fail_msg("%s", rig.device.why);
		if (ret == 0)
			return;
		vu_inflight_take(&inflight, &rig.device, &t->chain, &t->slot);
	}
	{
		unsigned token = (unsigned)((pieces[0].addr - ring_rig_buffer(&rig, 0)) / 256);
		uint32_t value;

		assert_true(token < SIZE);
		memcpy(&value, ring_rig_pointer(&rig, pieces[0].addr), sizeof(value));
		assert_true(busy[token]);
		assert_int_equal(value, wanted[token]);
	}
	taken_count++;
}

static bool dies(uint64_t features, unsigned percent)
{
	if (!random_percent(&rnd, percent))
		return false;
	die(features);
	return true;
}

/* Return: whether it lives. */
static bool server_shows(uint64_t features, unsigned death_percent)
{
	vu_inflight_begin(&inflight, &rig.device);
	if (dies(features, death_percent))
		return false;
	assert_int_equal(virtqueue_device_publish(&rig.device), 0);
	if (dies(features, death_percent))
		return false;
	vu_inflight_end(&inflight, &rig.device);
	return !dies(features, death_percent);
}

/* Some of what it has, in any order, as one batch where that may be; it may die between any two of the steps. */
static void server_ends(uint64_t features, unsigned death_percent)
{
	unsigned count = (unsigned)random_range(&rnd, 1, MAX(taken_count, 1u));

	while (count-- > 0 && taken_count > 0) {
		unsigned i = (unsigned)random_below(&rnd, taken_count);
		struct taken t = taken[i];

		taken[i] = taken[--taken_count];
		assert_true(vu_inflight_push(&inflight, t.slot, &t.chain));
		if (dies(features, death_percent))
			return;
		assert_int_equal(virtqueue_device_push(&rig.device, &t.chain, t.chain.in_bytes), 0);
		if (dies(features, death_percent))
			return;
		if (vu_inflight_is_single(&inflight) && !server_shows(features, death_percent))
			return;
	}
	server_shows(features, death_percent);
}

static void run(uint64_t features, uint16_t indirect_from, unsigned steps)
{
	struct ring_rig_config config = {
		.features = features | BIT64(VIRTIO_F_VERSION_1),
		.size = SIZE,
		.chain_max = PIECES,
		.indirect_from = indirect_from,
	};

	features = config.features;
	assert_true(vu_inflight_stride(features, SIZE) <= TABLE_MAX);
	memset(table, 0, sizeof(table));
	memset(busy, 0, sizeof(busy));
	started = ended = deaths = resumed = 0;
	assert_int_equal(ring_rig_open(&rig, &config), 0);
	start_server(features);
	for (unsigned i = 0; i < steps; i++) {
		switch (random_below(&rnd, 4)) {
		case 0:
			driver_adds();
			break;
		case 1:
			driver_takes();
			break;
		case 2:
			if (taken_count < SIZE)
				server_takes();
			if (random_percent(&rnd, 3))
				die(features);
			break;
		default:
			server_ends(features, 3);
		}
	}
	/* Nothing dies any more, and everything ends. */
	for (unsigned i = 0; i < 4 * SIZE; i++) {
		if (taken_count < SIZE)
			server_takes();
		server_ends(features, 0);
		driver_takes();
	}
	assert_int_equal(ended, started);
	assert_true(deaths > steps / 200 && resumed > steps / 200);
	vu_inflight_stop(&inflight);
	ring_rig_close(&rig);
}

static void test_split_ring_survives_servers(void **state)
{
	rnd.state = 1;
	run(0, UINT16_MAX, 40000);
	run(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX), 2, 40000);
}

static void test_packed_ring_survives_servers(void **state)
{
	rnd.state = 2;
	run(BIT64(VIRTIO_F_RING_PACKED), UINT16_MAX, 40000);
	run(BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX), 2, 40000);
}

/* Whatever is in a table, it is refused or it leads to no more than requests that make no sense. */
static void test_table_of_noise_harms_nobody(void **state)
{
	static const uint64_t layouts[] = {BIT64(VIRTIO_F_VERSION_1),
					   BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED)};
	unsigned accepted = 0;

	rnd.state = 3;
	for (unsigned i = 0; i < 4000; i++) {
		struct ring_rig_config config = {.features = layouts[i % 2], .size = SIZE, .chain_max = PIECES};
		struct vhost_user_packed_region *packed = (void *)table;
		struct virtqueue_piece pieces[SIZE];
		struct virtqueue_chain chain;
		uint16_t slot;

		config.indirect_from = UINT16_MAX;
		assert_int_equal(ring_rig_open(&rig, &config), 0);
		random_fill(&rnd, table, sizeof(table));
		/* The beginning is the same for both layouts. */
		packed->version = VHOST_USER_INFLIGHT_VERSION;
		packed->entry_count = SIZE;
		for (unsigned j = 0; j < TABLE_MAX; j++) {
			if (i % 3 != 0 && j >= sizeof(*packed))
				table[j] &= 0x0f;
		}
		if (i % 5 == 0) {
			memset(table + 12, 0, 20);
			for (unsigned j = 0; j < SIZE && i % 2 == 1; j++) {
				packed->entry[j].inflight &= 1;
				packed->entry[j].count = 1;
				packed->entry[j].next = (uint16_t)random_below(&rnd, SIZE);
			}
		}
		if (vu_inflight_start(&inflight, table, config.features, SIZE, &rig.device, 0) == 0) {
			accepted++;
			while (vu_inflight_resume(&inflight, &rig.device, pieces, SIZE, &chain, &slot) > 0 &&
			       vu_inflight_push(&inflight, slot, &chain))
				virtqueue_device_push(&rig.device, &chain, 0);
			vu_inflight_begin(&inflight, &rig.device);
			virtqueue_device_publish(&rig.device);
			vu_inflight_end(&inflight, &rig.device);
			vu_inflight_stop(&inflight);
		}
		ring_rig_close(&rig);
	}
	assert_in_range(accepted, 100, 3999);
}

static void test_table_of_another_size_or_version_is_refused(void **state)
{
	struct ring_rig_config config = {
		.features = BIT64(VIRTIO_F_VERSION_1), .size = SIZE, .chain_max = PIECES, .indirect_from = UINT16_MAX};
	struct vhost_user_split_region *split = (void *)table;

	assert_int_equal(ring_rig_open(&rig, &config), 0);
	memset(table, 0, sizeof(table));
	split->version = 2;
	split->entry_count = SIZE;
	assert_int_equal(vu_inflight_start(&inflight, table, config.features, SIZE, &rig.device, 0), -EPROTO);
	split->version = 1;
	split->entry_count = SIZE + 1;
	assert_int_equal(vu_inflight_start(&inflight, table, config.features, SIZE, &rig.device, 0), -EPROTO);
	split->entry_count = SIZE;
	assert_int_equal(vu_inflight_start(&inflight, table, config.features, SIZE, &rig.device, 0), 0);
	vu_inflight_stop(&inflight);
	ring_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_ring_survives_servers),
		cmocka_unit_test(test_packed_ring_survives_servers),
		cmocka_unit_test(test_table_of_noise_harms_nobody),
		cmocka_unit_test(test_table_of_another_size_or_version_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
