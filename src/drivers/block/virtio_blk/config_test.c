/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver makes of a configuration, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <outboard/outboard.h>

#include "drivers/block/virtio_blk/virtio_blk.h"

#define SECTORS 2048u

struct bed {
	struct vblk v;
	uint64_t features, values[VBLK_FIELDS];
	struct vblk_info info;
	struct ob_block_limits limits;
};

static int set_up(void **state)
{
	static struct bed bed;

	memset(&bed, 0, sizeof(bed));
	bed.v.name[0] = 't';
	*state = &bed;
	return ob_create(NULL, &bed.v.ob);
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	ob_destroy(b->v.ob);
	return 0;
}

/* A disk of 1 MiB that says all there is to be said, sensibly. */
static void fill(struct bed *b)
{
	static const uint64_t good[VBLK_FIELDS] = {
		[VBLK_CAPACITY] = SECTORS,     [VBLK_SIZE_MAX] = 65536, [VBLK_SEG_MAX] = 30,
		[VBLK_BLK_SIZE] = 512,         [VBLK_PHYSICAL_EXP] = 3, [VBLK_MIN_IO] = 8,
		[VBLK_OPT_IO] = 128,           [VBLK_WRITEBACK] = 1,    [VBLK_NUM_QUEUES] = 4,
		[VBLK_DISCARD_SECTORS] = 1024, [VBLK_DISCARD_SEG] = 1,  [VBLK_ZEROES_SECTORS] = 512,
		[VBLK_ZEROES_SEG] = 16,        [VBLK_ZEROES_UNMAP] = 1,
	};

	memcpy(b->values, good, sizeof(good));
	b->features = VBLK_FEATURES & ~BIT64(VIRTIO_BLK_F_RO);
}

static int parse(struct bed *b)
{
	int ret = vblk_parse_config(&b->v, b->features, b->values, &b->info);

	if (ret == 0)
		vblk_fill_limits(&b->info, &b->limits);
	return ret;
}

static void test_config_of_a_good_disk_becomes_its_limits(void **state)
{
	struct bed *b = *state;

	fill(b);
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.block_count, SECTORS);
	assert_int_equal(b->limits.block_bytes, 512);
	assert_int_equal(b->limits.physical_bytes, 4096);
	assert_int_equal(b->limits.optimal_bytes, 65536);
	assert_int_equal(b->limits.transfer_max_bytes, 65536);
	assert_int_equal(b->limits.segment_max, 30);
	assert_int_equal(b->limits.trim_max_blocks, 1024);
	assert_int_equal(b->limits.zeroes_max_blocks, 512);
	assert_true(b->limits.trim && b->limits.write_zeroes && b->limits.flush && b->limits.volatile_cache);
	assert_false(b->limits.fua || b->limits.compare || b->limits.read_only || b->limits.trim_reads_zero);
	assert_int_equal(b->info.queue_count, 4);
}

static void test_config_in_sectors_becomes_blocks(void **state)
{
	struct bed *b = *state;

	fill(b);
	b->values[VBLK_BLK_SIZE] = 4096;
	b->values[VBLK_CAPACITY] = SECTORS + 3; /* the last three are no block */
	b->values[VBLK_PHYSICAL_EXP] = 0;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.block_count, SECTORS / 8);
	assert_int_equal(b->limits.physical_bytes, 4096);
	assert_int_equal(b->limits.trim_max_blocks, 128);
	assert_int_equal(b->limits.zeroes_max_blocks, 64);
	assert_int_equal(b->info.sector_shift, 3);
}

static void test_config_of_what_is_not_offered_is_not_used(void **state)
{
	struct bed *b = *state;

	fill(b);
	b->features = 0;
	for (unsigned i = VBLK_CAPACITY + 1; i < VBLK_FIELDS; i++)
		b->values[i] = 0;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.block_bytes, 512);
	assert_int_equal(b->limits.segment_max, 1);
	assert_int_equal(b->limits.transfer_max_bytes, VBLK_TRANSFER_MAX);
	assert_int_equal(b->info.queue_count, 1);
	assert_false(b->limits.trim || b->limits.write_zeroes || b->limits.flush || b->limits.volatile_cache);
}

static void test_config_of_the_cache_says_whether_writes_are_durable(void **state)
{
	static const struct {
		bool flush, wce;
		unsigned writeback;
		bool cached;
	} cases[] = {
		{true, true, 1, true},   {true, true, 0, false},  {true, false, 0, true},
		{false, true, 1, false}, {false, true, 0, false}, {false, false, 0, false},
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fill(b);
		b->features &= ~(BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_CONFIG_WCE));
		b->features |= cases[i].flush ? BIT64(VIRTIO_BLK_F_FLUSH) : 0;
		b->features |= cases[i].wce ? BIT64(VIRTIO_BLK_F_CONFIG_WCE) : 0;
		b->values[VBLK_WRITEBACK] = cases[i].writeback;
		assert_int_equal(parse(b), 0);
		assert_int_equal(b->limits.volatile_cache, cases[i].cached);
		assert_int_equal(b->limits.flush, cases[i].flush);
	}
}

static void test_config_that_makes_no_sense_is_refused(void **state)
{
	static const struct {
		enum vblk_field field;
		uint64_t value;
		int error;
	} wrong[] = {
		{VBLK_BLK_SIZE, 0, -EOPNOTSUPP},      {VBLK_BLK_SIZE, 256, -EOPNOTSUPP},
		{VBLK_BLK_SIZE, 520, -EOPNOTSUPP},    {VBLK_BLK_SIZE, UINT32_MAX, -EOPNOTSUPP},
		{VBLK_BLK_SIZE, 131072, -EOPNOTSUPP}, {VBLK_SIZE_MAX, 511, -EOPNOTSUPP},
		{VBLK_CAPACITY, UINT64_MAX, -EIO},    {VBLK_CAPACITY, 1ull << 55, -EIO},
		{VBLK_NUM_QUEUES, 0, -EIO},
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		fill(b);
		b->values[wrong[i].field] = wrong[i].value;
		assert_int_equal(parse(b), wrong[i].error);
	}
}

static void test_config_that_is_odd_is_brought_into_bounds(void **state)
{
	struct bed *b = *state;

	fill(b);
	b->values[VBLK_SEG_MAX] = 0;
	b->values[VBLK_SIZE_MAX] = 0;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.transfer_max_bytes, VBLK_TRANSFER_MAX);
	b->values[VBLK_SIZE_MAX] = UINT32_MAX;
	b->values[VBLK_PHYSICAL_EXP] = 200;
	b->values[VBLK_OPT_IO] = UINT32_MAX;
	b->values[VBLK_DISCARD_SEG] = 0;
	b->values[VBLK_ZEROES_SECTORS] = UINT32_MAX;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.segment_max, 1);
	assert_int_equal(b->limits.transfer_max_bytes, VBLK_TRANSFER_MAX);
	assert_int_equal(b->limits.physical_bytes, 512);
	assert_int_equal(b->limits.optimal_bytes, 0);
	assert_false(b->limits.trim);
	assert_int_equal(b->limits.zeroes_max_blocks, UINT32_MAX);
	b->values[VBLK_SEG_MAX] = UINT32_MAX;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->limits.segment_max, VBLK_SEGMENTS_MAX);
	b->values[VBLK_CAPACITY] = 0;
	assert_int_equal(parse(b), 0);
	assert_int_equal(b->info.block_count, 0);
}

static void test_info_holds_when_it_offers_no_less(void **state)
{
	static const struct {
		enum vblk_field field;
		uint64_t value;
		bool holds;
	} changes[] = {
		{VBLK_CAPACITY, 1, true},      {VBLK_BLK_SIZE, 4096, false},     {VBLK_SEG_MAX, 29, false},
		{VBLK_SEG_MAX, 31, true},      {VBLK_SIZE_MAX, 32768, false},    {VBLK_NUM_QUEUES, 3, false},
		{VBLK_NUM_QUEUES, 5, true},    {VBLK_DISCARD_SECTORS, 1, false}, {VBLK_ZEROES_SECTORS, 1, false},
		{VBLK_ZEROES_UNMAP, 0, false}, {VBLK_OPT_IO, 1, true},           {VBLK_WRITEBACK, 0, true},
	};
	struct bed *b = *state;
	struct vblk_info before;

	fill(b);
	assert_int_equal(parse(b), 0);
	before = b->info;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		fill(b);
		b->values[changes[i].field] = changes[i].value;
		assert_int_equal(parse(b), 0);
		assert_int_equal(vblk_info_holds(&before, &b->info), changes[i].holds);
	}
	/* A cache that was not there before would lose what nobody flushes. */
	fill(b);
	b->values[VBLK_WRITEBACK] = 0;
	assert_int_equal(parse(b), 0);
	assert_false(vblk_info_holds(&b->info, &before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_config_of_a_good_disk_becomes_its_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_in_sectors_becomes_blocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_of_what_is_not_offered_is_not_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_of_the_cache_says_whether_writes_are_durable, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_config_that_makes_no_sense_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_that_is_odd_is_brought_into_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_info_holds_when_it_offers_no_less, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
