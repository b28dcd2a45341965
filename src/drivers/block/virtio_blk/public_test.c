/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver offers beside blocks, on the model: how worn the disk is, and a reset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <outboard/virtio_blk.h>

#include "core/device.h"
#include "drivers/block/virtio_blk/virtio_blk.h"
#include "machine/model/model_machine.h"
#include "model/block/virtio_blk/vblk_model.h"
#include "tests/block_bed.h"

#define DEVICE "vblk0"
#define URI    "model:?virtio-blk=16M"
#define LONG   (30 * OB_NS_PER_S)
#define SHORT  (50 * OB_NS_PER_MS)

static struct bed bed;

static void open_with(const char *uri)
{
	bed_open(&bed, uri, NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, LONG);
}

static int open_bed(void **state)
{
	open_with(URI);
	return 0;
}

static int open_other(void **state)
{
	open_with("model:?nvme=16M");
	return 0;
}

static int close_bed(void **state)
{
	bed_close(&bed);
	return 0;
}

static struct model_device *model(void)
{
	return model_device_find(model_of(device_machine(ob_block_device(bed.block))), DEVICE);
}

static int ask(struct ob_virtio_blk_lifetime *out)
{
	return ob_virtio_blk_lifetime(bed.block, out, ob_deadline(LONG));
}

/* ---- lifetime ---- */

static void test_lifetime_is_what_the_disk_says(void **state)
{
	struct ob_virtio_blk_lifetime l;

	assert_int_equal(ask(&l), 0);
	assert_int_equal(l.spare, OB_VIRTIO_BLK_SPARE_NORMAL);
	assert_int_equal(l.used_percent_a, 10);
	vblk_model_set_lifetime(model()->model, VIRTIO_BLK_EOL_URGENT, 9, 11);
	assert_int_equal(ask(&l), 0);
	assert_int_equal(l.spare, OB_VIRTIO_BLK_SPARE_URGENT);
	assert_int_equal(l.used_percent_a, 90);
	assert_int_equal(l.used_percent_b, 110);
}

static void test_what_is_reserved_is_not_known(void **state)
{
	struct ob_virtio_blk_lifetime l;

	vblk_model_set_lifetime(model()->model, 4, 12, 0xffff);
	assert_int_equal(ask(&l), 0);
	assert_int_equal(l.spare, OB_VIRTIO_BLK_SPARE_UNKNOWN);
	assert_int_equal(l.used_percent_a, 0);
	assert_int_equal(l.used_percent_b, 0);
}

static void test_disk_that_has_no_lifetime_is_not_asked(void **state)
{
	struct vblk *v = ob_block_driver_data(bed.block);
	struct ob_virtio_blk_lifetime l;

	v->features &= ~BIT64(VIRTIO_BLK_F_LIFETIME);
	assert_int_equal(ask(&l), -EOPNOTSUPP);
}

static void test_disk_of_another_driver_is_refused(void **state)
{
	struct ob_virtio_blk_lifetime l;

	assert_int_equal(ask(&l), -EOPNOTSUPP);
	assert_int_equal(ob_virtio_blk_reset(bed.block, ob_deadline(LONG)), -EOPNOTSUPP);
}

/* A status is told; no answer is waited for as long as was said, and the disk is reset to have the memory back. */
static void test_disk_that_does_not_answer_is_asked_again_after_a_reset(void **state)
{
	struct ob_virtio_blk_lifetime l;
	uint64_t start_ns = ob_now_ns();

	bed_command(&bed, "fault " DEVICE " op=lifetime count=1 status=1");
	assert_int_equal(ask(&l), -EIO);
	bed_command(&bed, "fault " DEVICE " op=lifetime count=1 delay=hang");
	assert_int_equal(ob_virtio_blk_lifetime(bed.block, &l, ob_deadline(SHORT)), -ETIMEDOUT);
	assert_true(ob_now_ns() - start_ns < OB_NS_PER_S);
	for (uint64_t until_ns = ob_deadline(LONG); ask(&l) != 0;)
		assert_true(ob_now_ns() < until_ns);
	assert_int_equal(l.spare, OB_VIRTIO_BLK_SPARE_NORMAL);
	assert_int_equal(bed_logged(&bed, "asked for its lifetime and does not answer"), 1);
}

/* ---- reset ---- */

static void test_reset_under_load_loses_nothing(void **state)
{
	struct ob_block_stats stats;
	struct bed_load load;

	bed_load_start(&bed, &load, 48);
	for (unsigned round = 0; round < 5; round++) {
		uint64_t until_ns = ob_deadline(2 * OB_NS_PER_MS);

		while (ob_now_ns() < until_ns)
			bed_load_turn(&bed, &load);
		assert_int_equal(ob_virtio_blk_reset(bed.block, ob_deadline(LONG)), 0);
	}
	bed_load_finish(&bed, &load, LONG);
	ob_block_stats(bed.block, &stats);
	assert_int_equal(stats.resets, 5);
	assert_int_equal(stats.errors, 0);
}

static void test_disk_that_sleeps_is_not_woken(void **state)
{
	struct ob_device *dev = ob_block_device(bed.block);
	struct ob_virtio_blk_lifetime l;

	assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
	assert_int_equal(ask(&l), -EBUSY);
	assert_int_equal(ob_virtio_blk_reset(bed.block, ob_deadline(LONG)), -EBUSY);
	assert_int_equal(ob_device_resume(dev, ob_deadline(LONG)), 0);
	assert_int_equal(ask(&l), 0);
}

static void test_disk_that_is_unbound_has_nobody_to_ask(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));
	struct ob_virtio_blk_lifetime l;

	assert_int_equal(ob_device_unbind(dev), 0);
	ob_device_put(dev);
	assert_int_equal(ask(&l), -ENODEV);
	assert_int_equal(ob_virtio_blk_reset(bed.block, ob_deadline(LONG)), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lifetime_is_what_the_disk_says, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_what_is_reserved_is_not_known, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_disk_that_has_no_lifetime_is_not_asked, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_disk_of_another_driver_is_refused, open_other, close_bed),
		cmocka_unit_test_setup_teardown(test_disk_that_does_not_answer_is_asked_again_after_a_reset, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_reset_under_load_loses_nothing, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_disk_that_sleeps_is_not_woken, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_disk_that_is_unbound_has_nobody_to_ask, open_bed, close_bed),
	};

	return cmocka_run_group_tests_name("virtio-blk/public", tests, NULL, NULL);
}
