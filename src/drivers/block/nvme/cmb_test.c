/* SPDX-License-Identifier: BSD-2-Clause */
/* Submission queues in the controller memory buffer: what its registers may say, and a load over it on the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"
#include "tests/block_bed.h"

#define LONG  (30 * OB_NS_PER_S)
#define SLOTS 48u

static struct bed bed;

static int close_bed(void **state)
{
	bed_close(&bed);
	return 0;
}

static struct nvme *controller(void)
{
	return ob_device_driver_data(ob_block_device(bed.block));
}

/* ---- what the registers say ---- */

#define SZ(units, unit, uses) (FIELD_PREP(NVME_CMBSZ_SZ, units) | FIELD_PREP(NVME_CMBSZ_SZU, unit) | (uses))
#define LOC(units, bar)       (FIELD_PREP(NVME_CMBLOC_OFST, units) | FIELD_PREP(NVME_CMBLOC_BIR, bar))

static void test_place_is_taken_from_sane_registers_only(void **state)
{
	static const struct {
		uint32_t loc, size;
		int ret;
		struct nvme_cmb_place place;
	} cases[] = {
		{LOC(0, 2), SZ(16, 0, NVME_CMBSZ_SQS), 0, {2, 0, 65536, true}},
		{LOC(3, 4), SZ(2, 2, NVME_CMBSZ_CQS), 0, {4, 3u << 20, 2u << 20, false}},
		{LOC(0xfffff, 5), SZ(0xfffff, 6, 0), 0, {5, 0xfffffull << 36, 0xfffffull << 36, false}},
		{LOC(2, 0), SZ(1, 0, 1), 0, {0, 8192, 4096, true}},
		/* None, units that are none, a BAR that is half of another or none, the registers themselves. */
		{LOC(0, 2), SZ(0, 0, 1), -ENOENT, {0}},
		{LOC(0, 2), SZ(1, 7, 1), -EIO, {0}},
		{LOC(0, 2), SZ(1, 15, 1), -EIO, {0}},
		{LOC(0, 1), SZ(1, 0, 1), -EIO, {0}},
		{LOC(0, 6), SZ(1, 0, 1), -EIO, {0}},
		{LOC(0, 7), SZ(1, 0, 1), -EIO, {0}},
		{LOC(0, 0), SZ(1, 0, 1), -EIO, {0}},
		{LOC(1, 0), SZ(1, 0, 1), -EIO, {0}},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nvme_cmb_place place;
		int ret = nvme_cmb_parse(cases[i].loc, cases[i].size, 0x1208, &place);

		assert_int_equal(ret, cases[i].ret);
		if (ret != 0)
			continue;
		assert_int_equal(place.bar, cases[i].place.bar);
		assert_int_equal(place.offset, cases[i].place.offset);
		assert_int_equal(place.len_bytes, cases[i].place.len_bytes);
		assert_int_equal(place.queues, cases[i].place.queues);
	}
}

static void test_place_of_interrupts_is_known(void **state)
{
	const struct nvme_cmb_place place = {2, 0x4000, 0x8000, true};

	/* Around it, and in another BAR. */
	assert_false(nvme_cmb_meets(&place, 2 | 0x3000, 0x1000));
	assert_false(nvme_cmb_meets(&place, 2 | 0xc000, 0x1000));
	assert_false(nvme_cmb_meets(&place, 0 | 0x5000, 0x1000));
	/* Over its ends, inside it, around all of it. */
	assert_true(nvme_cmb_meets(&place, 2 | 0x3000, 0x1010));
	assert_true(nvme_cmb_meets(&place, 2 | 0xbff8, 8));
	assert_true(nvme_cmb_meets(&place, 2 | 0x4000, 8));
	assert_true(nvme_cmb_meets(&place, 2 | 0x1000, 0x10000));
}

/* ---- queues in it ---- */

static bool is_inside(const struct ob_block_channel *channel)
{
	const struct nvme_queue *q = channel->driver_data;

	return q->ring.cmb != NULL;
}

static void load_run(const char *uri, enum ob_completion_mode mode)
{
	static struct bed_load load;
	struct ob_device *dev;

	bed_open(&bed, uri, NULL);
	dev = ob_block_device(bed.block);
	assert_int_equal(ob_nvme_use_memory_buffer(bed.block, true), 0);
	bed_open_channel(&bed, mode, SLOTS, LONG);
	assert_true(is_inside(bed.channel));
	bed_load_start(&bed, &load, SLOTS - 1);
	for (unsigned i = 0; i < 12; i++) {
		for (unsigned turns = (unsigned)random_below(&load.random, 60); turns > 0; turns--)
			bed_load_turn(&bed, &load);
		/* Both make the queue anew, in the same place; the second where the device has forgotten it. */
		if (i % 3 == 1)
			assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
		if (i % 3 == 2) {
			assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
			assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
		}
	}
	bed_load_finish(&bed, &load, LONG);
	close_bed(NULL);
}

static void test_load_over_queues_in_it_is_whole(void **state)
{
	load_run("model:?nvme=8M&cmb=64K", OB_COMPLETION_INTERRUPT);
	load_run("model:?nvme=8M&cmb=1M&shadow=0", OB_COMPLETION_POLLED);
	load_run("model:?nvme=8M&cmb=2M&threaded&latency=50us", OB_COMPLETION_HYBRID);
	load_run("model:?nvme=8M&cmb=64K&legacy-cmb", OB_COMPLETION_INTERRUPT);
	load_run("model:?nvme=8M&cmb=12K&port&legacy-cmb", OB_COMPLETION_INTERRUPT);
}

static void test_without_room_or_wish_queues_are_elsewhere(void **state)
{
	struct ob_block_channel *a, *b, *c;

	bed_open(&bed, "model:?nvme=8M&cmb=8K", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	assert_false(is_inside(bed.channel));
	a = bed.channel;
	assert_int_equal(ob_nvme_use_memory_buffer(bed.block, true), 0);
	/* Two of 64 entries; the place of one that was closed is used again. */
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	b = bed.channel;
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	c = bed.channel;
	assert_true(is_inside(b) && is_inside(c));
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	assert_false(is_inside(bed.channel));
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	ob_block_channel_close(bed.channel);
	ob_block_channel_close(b);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	assert_true(is_inside(bed.channel));
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	ob_block_channel_close(bed.channel);
	assert_int_equal(ob_nvme_use_memory_buffer(bed.block, false), 0);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	assert_false(is_inside(bed.channel));
	ob_block_channel_close(a);
	ob_block_channel_close(c);
	for (unsigned i = 0; i < ARRAY_SIZE(controller()->cmb.used); i++)
		assert_int_equal(controller()->cmb.used[i], 0);
}

static void test_controller_without_one_says_so(void **state)
{
	bed_open(&bed, "model:", NULL);
	assert_int_equal(ob_nvme_use_memory_buffer(bed.block, true), -EOPNOTSUPP);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	assert_false(is_inside(bed.channel));
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

/* The controller is back, and its memory is smaller: then it is another one. */
static void test_buffer_that_is_another_after_a_reset_is_not_used(void **state)
{
	bed_open(&bed, "model:?nvme=8M&cmb=64K", NULL);
	assert_int_equal(ob_nvme_use_memory_buffer(bed.block, true), 0);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, SLOTS, LONG);
	controller()->cmb.place.len_bytes += 4096;
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), -EIO);
	assert_true(bed_logged(&bed, "its memory buffer is not what it was") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_place_is_taken_from_sane_registers_only),
		cmocka_unit_test(test_place_of_interrupts_is_known),
		cmocka_unit_test_teardown(test_load_over_queues_in_it_is_whole, close_bed),
		cmocka_unit_test_teardown(test_without_room_or_wish_queues_are_elsewhere, close_bed),
		cmocka_unit_test_teardown(test_controller_without_one_says_so, close_bed),
		cmocka_unit_test_teardown(test_buffer_that_is_another_after_a_reset_is_not_used, close_bed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
