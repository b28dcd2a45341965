/* SPDX-License-Identifier: BSD-2-Clause */
/* Framed requests inline: what the fast way takes, and what it leaves to the general one to judge; VIRTIO 1.2 §2.7. */
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

static struct ob_virtio_queue *public_of(struct ring_rig *rig)
{
	return (struct ob_virtio_queue *)(void *)&rig->driver;
}

static void put(struct ring_rig *rig, uint32_t slot, bool in)
{
	struct ob_virtio_framed *framed = virtqueue_split_framed(&rig->driver, slot);
	ob_iova data = {ring_rig_buffer(rig, 4096 + slot * DATA_BYTES)};

	assert_true(ob_virtio_queue_framed_ready(framed));
	ob_virtio_queue_put_framed(public_of(rig), framed, data, DATA_BYTES, in);
	assert_false(ob_virtio_queue_framed_ready(framed));
}

/* Slots 0 and 1 of three are with the device: it may write the data of the first. */
static void open_with_two(struct ring_rig *rig)
{
	struct ring_rig_config config = {
		.features = BIT64(VIRTIO_F_VERSION_1), .size = SIZE, .chain_max = 3, .frames = 3};

	assert_int_equal(ring_rig_open(rig, &config), 0);
	put(rig, 0, true);
	put(rig, 1, false);
	virtqueue_driver_kick(&rig->driver);
}

static void use(struct ring_rig *rig, unsigned at, uint32_t id, uint32_t len)
{
	struct virtq_used *ring = (struct virtq_used *)(uintptr_t)rig->driver.used_ring;

	ob_le32_store(&ring->ring[at % SIZE].id, id);
	ob_le32_store(&ring->ring[at % SIZE].len, len);
	ob_le16_store(&ring->idx, (uint16_t)(at + 1));
}

static void test_framed_answers_as_they_should_be_are_taken_inline(void **state)
{
	struct virtqueue_chain chain;
	struct ring_rig rig;
	uint32_t slot = 0;

	open_with_two(&rig);
	assert_int_equal(virtqueue_split_look(&rig.driver), 0);
	assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	for (unsigned i = 0; i < 2; i++) {
		struct virtqueue_piece pieces[3];

		assert_int_equal(virtqueue_device_pop(&rig.device, pieces, 3, &chain), 1);
		assert_int_equal(chain.in_bytes, i == 0 ? WHOLE : RING_RIG_FRAME_IN);
		assert_int_equal(virtqueue_device_push(&rig.device, &chain, chain.in_bytes), 0);
	}
	assert_int_equal(virtqueue_device_publish(&rig.device), 0);
	assert_int_equal(virtqueue_split_look(&rig.driver), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(ob_virtio_queue_take_framed(public_of(&rig), &slot));
		assert_int_equal(slot, i);
		assert_true(ob_virtio_queue_framed_ready(virtqueue_split_framed(&rig.driver, slot)));
	}
	assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	assert_int_equal(rig.driver.in_flight, 0);
	assert_int_equal(rig.driver.taken, 2);
	ring_rig_close(&rig);
}

static void test_framed_answer_that_is_none_is_not_taken_inline(void **state)
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
		{UINT32_MAX, WHOLE, -EPROTO},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		struct ob_virtio_used used[2];
		struct ring_rig rig;
		uint32_t slot = 0;

		open_with_two(&rig);
		use(&rig, 0, answers[i].id, answers[i].len);
		assert_int_equal(virtqueue_split_look(&rig.driver), 1);
		assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
		assert_int_equal(rig.driver.in_flight, 2);
		assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), answers[i].ret);
		if (answers[i].ret == 1) {
			assert_int_equal(used[0].token, 0);
			assert_int_equal(used[0].len_bytes, answers[i].len);
		} else {
			/* And no slot of a broken queue is ready, whether it was in flight or not. */
			for (slot = 0; slot < 3; slot++)
				assert_false(ob_virtio_queue_framed_ready(virtqueue_split_framed(&rig.driver, slot)));
		}
		ring_rig_close(&rig);
	}
}

static void test_framed_answer_that_comes_twice_is_taken_once(void **state)
{
	struct ob_virtio_used used[2];
	struct ring_rig rig;
	uint32_t slot = 0;

	open_with_two(&rig);
	use(&rig, 0, HEAD(0), WHOLE);
	use(&rig, 1, HEAD(0), WHOLE);
	/* Nothing behind the index as it was looked at. */
	assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	assert_int_equal(virtqueue_split_look(&rig.driver), 2);
	assert_true(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), -EPROTO);
	ring_rig_close(&rig);
}

static void test_answer_to_another_request_is_left_to_the_general_way(void **state)
{
	struct ob_virtio_used used[2];
	struct ob_dma_piece piece;
	struct ring_rig rig;
	unsigned free_entries;
	uint32_t slot = 0;

	open_with_two(&rig);
	piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, DATA_BYTES};
	free_entries = rig.driver.free_entries;
	assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 0, 1, 77), 0);
	virtqueue_driver_kick(&rig.driver);
	use(&rig, 0, HEAD(3), DATA_BYTES);
	assert_int_equal(virtqueue_split_look(&rig.driver), 1);
	assert_false(ob_virtio_queue_take_framed(public_of(&rig), &slot));
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), 1);
	assert_int_equal(used[0].token, 77);
	assert_int_equal(rig.driver.free_entries, free_entries);
	ring_rig_close(&rig);
}

/* What a driver keeps of a slot tells it that the queue broke, and is good again when the queue is. */
static void test_framed_slot_of_a_broken_queue_is_ready_after_a_rewind(void **state)
{
	struct ob_virtio_framed *kept;
	struct ob_virtio_used used[2];
	struct ring_rig rig;

	open_with_two(&rig);
	kept = virtqueue_split_framed(&rig.driver, 2);
	assert_true(ob_virtio_queue_framed_ready(kept));
	use(&rig, 0, SIZE, 0);
	assert_int_equal(virtqueue_driver_take(&rig.driver, used, 2), -EPROTO);
	assert_false(ob_virtio_queue_framed_ready(kept));
	virtqueue_driver_rewind(&rig.driver);
	assert_ptr_equal(virtqueue_split_framed(&rig.driver, 2), kept);
	assert_true(ob_virtio_queue_framed_ready(kept));
	/* Beyond those that have descriptors of their own: never. */
	assert_false(ob_virtio_queue_framed_ready(virtqueue_split_framed(&rig.driver, 3)));
	ring_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framed_answers_as_they_should_be_are_taken_inline),
		cmocka_unit_test(test_framed_answer_that_is_none_is_not_taken_inline),
		cmocka_unit_test(test_framed_answer_that_comes_twice_is_taken_once),
		cmocka_unit_test(test_answer_to_another_request_is_left_to_the_general_way),
		cmocka_unit_test(test_framed_slot_of_a_broken_queue_is_ready_after_a_rewind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
