/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framed requests: what the fast way puts and takes in both layouts, and what it leaves to the general one to judge;
 * VIRTIO 1.2 §2.7, §2.8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/ring_rig.h"
#include "virtqueue/layout.h"

#define SIZE       16u
#define DATA_BYTES 64u
#define WHOLE      (DATA_BYTES + RING_RIG_FRAME_IN)
#define HEAD(slot) (3 * (slot))

static void put(struct ring_rig *rig, uint32_t slot, bool in)
{
	struct ob_virtio_framed *framed = virtqueue_driver_framed(&rig->driver, slot);
	ob_iova data = {ring_rig_buffer(rig, 4096 + slot * DATA_BYTES)};

	assert_true(ob_virtio_queue_framed_ready(framed));
	ob_virtio_queue_put_framed((struct ob_virtio_queue *)(void *)&rig->driver, framed, data, DATA_BYTES, in);
	assert_false(ob_virtio_queue_framed_ready(framed));
}

static void open_rig(struct ring_rig *rig, bool packed, uint16_t size, uint32_t frames)
{
	struct ring_rig_config config = {
		.features = BIT64(VIRTIO_F_VERSION_1), .size = size, .chain_max = 3, .frames = frames};

	if (packed)
		config.features |= BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_INDIRECT_DESC);
	assert_int_equal(ring_rig_open(rig, &config), 0);
}

/* Slots 0 and 1 of three are with the device: it may write the data of the first. */
static void open_with_two(struct ring_rig *rig, bool packed)
{
	open_rig(rig, packed, SIZE, 3);
	put(rig, 0, true);
	put(rig, 1, false);
	virtqueue_driver_kick(&rig->driver);
}

/* The device's answer, whatever it may be; the @at-th of the first round. */
static void use(struct ring_rig *rig, unsigned at, uint32_t id, uint32_t len)
{
	struct virtq_used *ring = (struct virtq_used *)(uintptr_t)rig->driver.used_ring;

	if (rig->driver.packed) {
		ob_le32_16_16_store(&rig->driver.pdesc[at].len, virtqueue_word(len, id, VIRTQUEUE_PACKED_MARKS));
		return;
	}
	ob_le32_store(&ring->ring[at % SIZE].id, id);
	ob_le32_store(&ring->ring[at % SIZE].len, len);
	ob_le16_store(&ring->idx, (uint16_t)(at + 1));
}

/* The device takes a slot's request, and answers as it should. */
static void answer(struct ring_rig *rig, uint32_t slot, bool in)
{
	uint64_t data = ring_rig_buffer(rig, 4096 + slot * DATA_BYTES);
	const struct virtqueue_piece expected[] = {
		{ring_rig_buffer(rig, 32 * slot), RING_RIG_FRAME_OUT, false},
		{data, DATA_BYTES, in},
		{ring_rig_buffer(rig, 40000 + slot), RING_RIG_FRAME_IN, true},
	};
	struct virtqueue_chain chain;
	struct virtqueue_piece pieces[3];

	assert_int_equal(virtqueue_device_pop(&rig->device, pieces, 3, &chain), 1);
	assert_int_equal(chain.id, HEAD(slot));
	assert_int_equal(chain.out_count, in ? 1 : 2);
	assert_int_equal(chain.out_count + chain.in_count, 3);
	assert_int_equal(chain.in_bytes, in ? WHOLE : RING_RIG_FRAME_IN);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pieces[i].addr, expected[i].addr);
		assert_int_equal(pieces[i].len_bytes, expected[i].len_bytes);
		assert_int_equal(pieces[i].write, expected[i].write);
	}
	assert_int_equal(virtqueue_device_push(&rig->device, &chain, chain.in_bytes), 0);
}

static void framed_answers_are_taken(bool packed)
{
	uint32_t slots[4] = {9, 9, 9, 9};
	struct ring_rig rig;

	open_with_two(&rig, packed);
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 4), 0);
	answer(&rig, 0, true);
	answer(&rig, 1, false);
	assert_int_equal(virtqueue_device_publish(&rig.device), 0);
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 1), 1);
	assert_int_equal(slots[0], 0);
	assert_int_equal(slots[1], 9);
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 4), 1);
	assert_int_equal(slots[0], 1);
	for (unsigned i = 0; i < 2; i++)
		assert_true(ob_virtio_queue_framed_ready(virtqueue_driver_framed(&rig.driver, i)));
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 4), 0);
	assert_int_equal(virtqueue_driver_in_flight(&rig.driver), 0);
	assert_int_equal(rig.driver.taken, 2);
	assert_int_equal(rig.driver.stats.added, 2);
	ring_rig_close(&rig);
}

static void test_framed_answers_as_they_should_be_are_taken(void **state)
{
	framed_answers_are_taken(false);
	framed_answers_are_taken(true);
}

/* Rounds of one to all slots, by rings whose end falls anywhere among them. */
static void test_framed_requests_go_round_and_round(void **state)
{
	static const uint16_t sizes[] = {8, 16, 32, 5, 13, 37};

	for (unsigned i = 0; i < 12; i++) {
		bool packed = i >= 6;
		struct ring_rig rig;

		if (!packed && !IS_POWER_OF_2(sizes[i % 6]))
			continue;
		open_rig(&rig, packed, sizes[i % 6], 8);
		for (unsigned round = 0; round < 200; round++) {
			unsigned count = 1 + round % rig.driver.frame_count, n = 0;
			uint32_t slots[8];

			assert_true(rig.driver.frame_count > 0);
			for (unsigned k = 0; k < count; k++)
				put(&rig, (round + k) % rig.driver.frame_count, k % 2 == 0);
			assert_int_equal(virtqueue_driver_in_flight(&rig.driver), count);
			virtqueue_driver_kick(&rig.driver);
			for (unsigned k = 0; k < count; k++)
				answer(&rig, (round + k) % rig.driver.frame_count, k % 2 == 0);
			assert_int_equal(virtqueue_device_publish(&rig.device), 0);
			n = virtqueue_driver_take_framed(&rig.driver, slots, 8);
			assert_int_equal(n, count);
			for (unsigned k = 0; k < count; k++)
				assert_int_equal(slots[k], (round + k) % rig.driver.frame_count);
		}
		ring_rig_close(&rig);
	}
}

/* Nothing of them is in the ring before the kick, nor can the device end what it was not given. */
static void test_packed_framed_request_is_not_known_before_the_kick(void **state)
{
	struct virtqueue_piece pieces[3];
	struct virtqueue_chain chain;
	struct ob_virtio_used used[2];
	struct ring_rig rig;
	uint32_t slots[4];

	open_rig(&rig, true, SIZE, 3);
	put(&rig, 0, true);
	put(&rig, 1, true);
	assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 3, &chain), 0);
	use(&rig, 0, HEAD(0), WHOLE);
	assert_false(virtqueue_driver_pending(&rig.driver));
	assert_false(virtqueue_driver_arm(&rig.driver));
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 4), 0);
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), 0);
	assert_int_equal(virtqueue_driver_in_flight(&rig.driver), 2);
	virtqueue_driver_kick(&rig.driver);
	answer(&rig, 0, true);
	answer(&rig, 1, true);
	assert_int_equal(virtqueue_device_publish(&rig.device), 0);
	assert_true(virtqueue_driver_pending(&rig.driver));
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 4), 2);
	ring_rig_close(&rig);
}

/* The device sees requests in the order in which they were given, whichever way they went. */
static void test_packed_framed_requests_and_others_keep_their_order(void **state)
{
	struct virtqueue_piece pieces[3];
	struct virtqueue_chain chain;
	struct ob_dma_piece piece;
	struct ring_rig rig;

	open_rig(&rig, true, SIZE, 3);
	piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, DATA_BYTES};
	put(&rig, 0, true);
	assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 0, 1, 77), 0);
	put(&rig, 1, true);
	assert_int_equal(virtqueue_driver_add_framed(&rig.driver, 2, NULL, 0, false), 0);
	virtqueue_driver_kick(&rig.driver);
	answer(&rig, 0, true);
	assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 3, &chain), 1);
	assert_int_equal(chain.out_count, 0);
	answer(&rig, 1, true);
	assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 3, &chain), 1);
	assert_int_equal(chain.id, HEAD(2));
	assert_int_equal(chain.out_count, 1);
	ring_rig_close(&rig);
}

static void answer_that_is_none(bool packed, uint32_t id, uint32_t len, int ret)
{
	struct ob_virtio_used used[2];
	struct ring_rig rig;
	uint32_t slots[2];

	open_with_two(&rig, packed);
	use(&rig, 0, id, len);
	assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 2), 0);
	assert_int_equal(virtqueue_driver_in_flight(&rig.driver), 2);
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), ret);
	if (ret == 1) {
		assert_int_equal(used[0].token, 0);
		assert_int_equal(used[0].len_bytes, len);
	} else {
		/* And no slot of a broken queue is ready, whether it was in flight or not. */
		for (unsigned slot = 0; slot < 3; slot++)
			assert_false(ob_virtio_queue_framed_ready(virtqueue_driver_framed(&rig.driver, slot)));
		use(&rig, 0, HEAD(1), RING_RIG_FRAME_IN);
		assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 2), 0);
	}
	ring_rig_close(&rig);
}

static void test_framed_answer_that_is_none_is_left_to_the_general_way(void **state)
{
	static const struct {
		uint32_t id, len;
		int ret; /* of the general way */
	} answers[] = {
		{HEAD(0), WHOLE - 1, 1}, /* short, which is for its owner to judge */
		{HEAD(0), 0, 1},
		{HEAD(0), WHOLE + 1, -EPROTO},
		{HEAD(0), UINT32_MAX, -EPROTO},
		{HEAD(1), WHOLE, -EPROTO}, /* as long as another one's */
		{HEAD(0) + 1, 0, -EPROTO},
		{HEAD(0) + 2, 0, -EPROTO},
		{HEAD(2), WHOLE, -EPROTO}, /* not in flight */
		{HEAD(2), 0, -EPROTO},
		{HEAD(3), 0, -EPROTO}, /* of no frame */
		{SIZE, WHOLE, -EPROTO},
		{SIZE + HEAD(0), WHOLE, -EPROTO},
		{UINT16_MAX, WHOLE, -EPROTO},
		{UINT32_MAX, WHOLE, -EPROTO},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		answer_that_is_none(false, answers[i].id, answers[i].len, answers[i].ret);
		/* There an id is of 16 bits. */
		if (answers[i].id <= UINT16_MAX)
			answer_that_is_none(true, answers[i].id, answers[i].len, answers[i].ret);
	}
}

static void test_framed_answer_that_comes_twice_is_taken_once(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct ob_virtio_used used[2];
		struct ring_rig rig;
		uint32_t slots[2];

		open_with_two(&rig, packed != 0);
		use(&rig, 0, HEAD(0), WHOLE);
		use(&rig, 1, HEAD(0), WHOLE);
		assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 2), 1);
		assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 2), 0);
		assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), -EPROTO);
		ring_rig_close(&rig);
	}
}

static void test_answer_to_another_request_is_left_to_the_general_way(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct ob_virtio_used used[2];
		struct ob_dma_piece piece;
		struct ring_rig rig;
		unsigned free_entries;
		uint32_t slots[2];

		open_with_two(&rig, packed != 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, DATA_BYTES};
		free_entries = rig.driver.free_entries;
		assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 0, 1, 77), 0);
		virtqueue_driver_kick(&rig.driver);
		use(&rig, 0, HEAD(3), DATA_BYTES);
		assert_int_equal(virtqueue_driver_take_framed(&rig.driver, slots, 2), 0);
		assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), 1);
		assert_int_equal(used[0].token, 77);
		assert_int_equal(rig.driver.free_entries, free_entries);
		ring_rig_close(&rig);
	}
}

/* What a driver keeps of a slot tells it that the queue broke, and is good again when the queue is. */
static void test_framed_slot_of_a_broken_queue_is_ready_after_a_rewind(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct ob_virtio_framed *kept;
		struct ob_virtio_used used[2];
		struct ring_rig rig;

		open_with_two(&rig, packed != 0);
		kept = virtqueue_driver_framed(&rig.driver, 2);
		assert_true(ob_virtio_queue_framed_ready(kept));
		use(&rig, 0, SIZE, 0);
		assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), -EPROTO);
		assert_false(ob_virtio_queue_framed_ready(kept));
		virtqueue_driver_rewind(&rig.driver);
		assert_ptr_equal(virtqueue_driver_framed(&rig.driver, 2), kept);
		assert_true(ob_virtio_queue_framed_ready(kept));
		/* Beyond those that have descriptors of their own: never. */
		assert_false(ob_virtio_queue_framed_ready(virtqueue_driver_framed(&rig.driver, 3)));
		ring_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framed_answers_as_they_should_be_are_taken),
		cmocka_unit_test(test_framed_requests_go_round_and_round),
		cmocka_unit_test(test_packed_framed_request_is_not_known_before_the_kick),
		cmocka_unit_test(test_packed_framed_requests_and_others_keep_their_order),
		cmocka_unit_test(test_framed_answer_that_is_none_is_left_to_the_general_way),
		cmocka_unit_test(test_framed_answer_that_comes_twice_is_taken_once),
		cmocka_unit_test(test_answer_to_another_request_is_left_to_the_general_way),
		cmocka_unit_test(test_framed_slot_of_a_broken_queue_is_ready_after_a_rewind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
