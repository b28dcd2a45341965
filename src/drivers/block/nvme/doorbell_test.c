/* SPDX-License-Identifier: BSD-2-Clause */
/* When the device is told of completions that were taken: late while nobody waits for an interrupt, else at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/block/nvme/nvme.h"
#include "tests/block_bed.h"

#define LONG (30 * OB_NS_PER_S)

static struct bed bed;

static const struct nvme_ring *open_ring(enum ob_completion_mode mode, unsigned depth)
{
	bed_open(&bed, "model:", NULL);
	bed_open_channel(&bed, mode, depth, LONG);
	return &((const struct nvme_queue *)bed.channel->driver_data)->ring;
}

static int close_bed(void **state)
{
	bed_close(&bed);
	return 0;
}

/* One at a time, which is where a doorbell for each would cost most. */
static void test_polled_heads_are_told_once_in_a_quarter_of_the_ring(void **state)
{
	const struct nvme_ring *r = open_ring(OB_COMPLETION_POLLED, 1);
	uint32_t told = r->cq_told, heads = 0;

	assert_int_equal(r->mask, 63);
	for (unsigned i = 0; i < 640; i++) {
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, i, 1), 0);
		assert_true(r->cq_pos - r->cq_told < 16);
		heads += r->cq_told != told;
		told = r->cq_told;
	}
	assert_int_equal(r->cq_pos, 640);
	assert_int_equal(heads, 40);
}

/* With as many in flight as the ring holds the device is short of entries all the time, and must hear of them. */
static void test_polled_full_ring_never_stands_still(void **state)
{
	const struct nvme_ring *r = open_ring(OB_COMPLETION_POLLED, 63);

	assert_int_equal(bed.channel->depth, r->mask);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 63; i++)
			assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
		bed_wait(&bed, LONG);
		for (unsigned i = 0; i < 63; i++)
			assert_int_equal(bed_status(&bed, i), 0);
	}
	assert_int_equal(r->cq_pos, 50 * 63);
}

static bool is_armed(struct bed *b)
{
	const struct nvme_queue *q = b->channel->driver_data;

	return q->poll.stats.arms > q->poll.stats.arm_races + q->poll.stats.schedules;
}

static void test_hybrid_heads_are_told_before_it_arms(void **state)
{
	const struct nvme_ring *r = open_ring(OB_COMPLETION_HYBRID, 8);

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, i, 1), 0);
		assert_true(bed_turn_until(&bed, is_armed, LONG));
		assert_int_equal(r->cq_told, r->cq_pos);
	}
	assert_int_equal(r->cq_pos, 100);
}

static void test_interrupt_heads_are_told_with_each_batch(void **state)
{
	const struct nvme_ring *r = open_ring(OB_COMPLETION_INTERRUPT, 1);

	assert_int_equal(r->mask, 1);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, i, 1), 0);
		assert_int_equal(r->cq_told, r->cq_pos);
	}
	assert_int_equal(r->cq_pos, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_polled_heads_are_told_once_in_a_quarter_of_the_ring, close_bed),
		cmocka_unit_test_teardown(test_polled_full_ring_never_stands_still, close_bed),
		cmocka_unit_test_teardown(test_hybrid_heads_are_told_before_it_arms, close_bed),
		cmocka_unit_test_teardown(test_interrupt_heads_are_told_with_each_batch, close_bed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
