/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on the model machine, whose disk fails in ways that one can ask for: statuses, requests that hang, a device
 * that gives up, changes its size, lies in its rings, sleeps or is pulled out. Every request must end once, with the right
 * answer, in bounded time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/device.h"
#include "drivers/block/virtio_blk/virtio_blk.h"
#include "machine/model/model_machine.h"
#include "tests/block_bed.h"

#define DEVICE  "vblk0"
#define URI     "model:?virtio-blk=16M"
#define TIMEOUT (80 * OB_NS_PER_MS) /* of requests */
#define LONG    (30 * OB_NS_PER_S)  /* of tests */

static struct bed bed;

static void open_with(const char *uri, enum ob_completion_mode mode)
{
	bed_open(&bed, uri, NULL);
	bed_open_channel(&bed, mode, 64, TIMEOUT);
}

static int open_bed(void **state)
{
	open_with(URI, OB_COMPLETION_INTERRUPT);
	return 0;
}

static int open_packed(void **state)
{
	open_with(URI "&packed", OB_COMPLETION_POLLED);
	return 0;
}

static int close_bed(void **state)
{
	bed_close(&bed);
	return 0;
}

static struct ob_block_stats stats(void)
{
	struct ob_block_stats s;

	ob_block_stats(bed.block, &s);
	return s;
}

static struct vblk *driver(void)
{
	return ob_block_driver_data(bed.block);
}

static struct model_device *model(void)
{
	return model_device_find(model_of(device_machine(ob_block_device(bed.block))), DEVICE);
}

/* ---- statuses ---- */

static void test_status_becomes_errno(void **state)
{
	static const struct {
		const char *op;
		enum ob_block_op block_op;
		unsigned status;
		int error;
	} cases[] = {
		{"read", OB_BLOCK_READ, VIRTIO_BLK_S_IOERR, -EIO},
		{"write", OB_BLOCK_WRITE, VIRTIO_BLK_S_IOERR, -EIO},
		{"flush", OB_BLOCK_FLUSH, VIRTIO_BLK_S_IOERR, -EIO},
		{"zeroes", OB_BLOCK_WRITE_ZEROES, VIRTIO_BLK_S_UNSUPP, -EOPNOTSUPP},
		{"trim", OB_BLOCK_TRIM, VIRTIO_BLK_S_UNSUPP, -EOPNOTSUPP},
		{"read", OB_BLOCK_READ, 77, -EIO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool flush = cases[i].block_op == OB_BLOCK_FLUSH;

		bed_command(&bed, "fault " DEVICE " op=%s count=1 status=%u", cases[i].op, cases[i].status);
		assert_int_equal(bed_do(&bed, cases[i].block_op, flush ? 0 : 8, flush ? 0 : 1), cases[i].error);
		assert_int_equal(bed.requests[0].request.protocol_status, cases[i].status);
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 8, 1), 0);
	}
	assert_int_equal(stats().resets, 0);
}

/* ---- requests that hang ---- */

static void test_request_that_hangs_once_is_had_back_by_a_reset(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(bed_submit(&bed, i, i % 2 == 0 ? OB_BLOCK_READ : OB_BLOCK_WRITE, i, 1), 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_int_equal(stats().timeouts, 1);
	assert_int_equal(stats().resets, 1);
	assert_int_equal(stats().reissues, 1);
}

static void test_request_that_always_hangs_times_out(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1000 delay=hang");
	for (unsigned i = 1; i < 10; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i == 1 ? 24 : i, 1), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 1), -ETIMEDOUT);
	for (unsigned i = 2; i < 10; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_int_equal(stats().resets, VBLK_RETRY_MAX + 1);
}

static void test_cancelled_request_is_not_issued_again(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	assert_int_equal(bed_submit(&bed, 3, OB_BLOCK_READ, 24, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_block_cancel(bed.channel, &bed.requests[3].request), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 3), -ECANCELED);
	assert_int_equal(stats().resets, 1);
}

/* The lock that closing holds, the queue that others use: nobody loses a request by it. */
static void test_close_of_a_channel_that_hangs_leaves_the_others_theirs(void **state)
{
	struct ob_block_channel_config config = {.depth = 8, .timeout_ns = 10 * OB_NS_PER_S};
	struct ob_block_channel *other;
	struct ob_block_request request = {.op = OB_BLOCK_READ, .block_count = 1, .lba = 24, .segment_count = 1};
	struct ob_segment segment;

	assert_int_equal(ob_block_channel_open(bed.block, &config, &other), 0);
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	bed_command(&bed, "fault " DEVICE " op=read lba=25 count=1 delay=1s");
	segment = (struct ob_segment){bed_buffer(&bed, 200), 512};
	request.segments = &segment;
	request.window = bed.window;
	assert_int_equal(ob_block_submit(other, &request), 0);
	ob_block_kick(other);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i == 0 ? 25 : i, 1), 0);
	ob_block_kick(bed.channel);
	ob_block_channel_close(other);
	assert_int_equal(request.status, -ECANCELED);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(bed_status(&bed, i), 0);
}

static void test_channels_are_as_many_as_queues(void **state)
{
	struct ob_block_channel *channels[4];

	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(ob_block_channel_open(bed.block, NULL, &channels[i]), 0);
	assert_int_equal(ob_block_channel_open(bed.block, NULL, &channels[0]), -ENOSPC);
	ob_block_channel_close(channels[2]);
	assert_int_equal(ob_block_channel_open(bed.block, NULL, &channels[2]), 0);
	assert_int_equal(ob_block_read(channels[2], 0, 1, bed_buffer(&bed, 0), bed.window, ob_deadline(LONG)), 0);
	for (unsigned i = 1; i < 4; i++)
		ob_block_channel_close(channels[i]);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 8, 1), 0);
}

/* ---- the device gives up ---- */

static void test_device_that_needs_a_reset_gets_it_under_load(void **state)
{
	struct bed_load load;

	bed_load_start(&bed, &load, 48);
	for (unsigned round = 0; round < 10; round++) {
		uint64_t until_ns = ob_deadline(5 * OB_NS_PER_MS);

		while (ob_now_ns() < until_ns)
			bed_load_turn(&bed, &load);
		bed_command(&bed, "die " DEVICE);
	}
	bed_load_finish(&bed, &load, LONG);
	assert_true(stats().resets >= 5);
	assert_int_equal(stats().errors, 0);
}

static bool is_offline(struct bed *b)
{
	return b->busy == 0 && ob_block_channel_open(b->block, NULL, NULL) == -ENODEV;
}

static uint64_t hang_all(void *arg, const struct vblk_model_request *request)
{
	return request->type == VIRTIO_BLK_T_GET_ID ? 0 : MODEL_NEVER;
}

/* Nothing that it is given comes back, however often it is reset: it is given up, and all end. */
static void test_device_that_answers_nothing_is_given_up(void **state)
{
	const struct vblk_model_hooks hooks = {.delay_ns = hang_all};
	uint64_t deadline_ns = ob_deadline(LONG);

	vblk_model_set_hooks(model()->model, &hooks);
	/* Each that times out is followed by another: never one that is answered. */
	for (unsigned i = 0; ob_now_ns() < deadline_ns; i = (i + 1) % 8) {
		int ret = bed.requests[i].busy ? 0 : bed_submit(&bed, i, OB_BLOCK_READ, i, 1);

		if (ret == -ENODEV)
			break;
		assert_true(ret == 0 || ret == -EAGAIN);
		bed_turn_until(&bed, NULL, 5 * OB_NS_PER_MS);
	}
	bed_wait(&bed, LONG);
	assert_int_equal(bed_logged(&bed, "resets in a row, and not one request completed"), 1);
	vblk_model_set_hooks(model()->model, NULL);
}

static uint8_t refuse_id(void *arg, const struct vblk_model_request *request)
{
	return request->type == VIRTIO_BLK_T_GET_ID ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static void test_disk_that_does_not_say_who_it_is_is_taken_for_what_it_was(void **state)
{
	const struct vblk_model_hooks hooks = {.fail = refuse_id};

	vblk_model_set_hooks(model()->model, &hooks);
	bed_command(&bed, "die " DEVICE);
	bed_turn_until(&bed, NULL, 100 * OB_NS_PER_MS);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 8, 1), 0);
	assert_int_equal(driver()->resets, 1);
	vblk_model_set_hooks(model()->model, NULL);
}

static void test_disk_that_is_another_one_after_a_reset_is_given_up(void **state)
{
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, i, 1), 0);
	driver()->id[0] ^= 1; /* as if the other had been there before */
	bed_command(&bed, "fault " DEVICE " op=read lba=4 count=1 delay=hang");
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 4, 1), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 1), -EIO);
	assert_true(bed_logged(&bed, "came back from a reset as another disk") >= 1);
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 4, 1), -ENODEV);
}

/* ---- changes of its size ---- */

static uint64_t blocks(struct bed *b)
{
	struct ob_block_limits limits;

	ob_block_limits(b->block, &limits);
	return limits.block_count;
}

static bool is_larger(struct bed *b)
{
	return blocks(b) == 65536;
}

static bool is_smaller(struct bed *b)
{
	return blocks(b) == 1024;
}

static void test_change_of_size_reaches_the_channels(void **state)
{
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 32768, 1), -ERANGE);
	bed_command(&bed, "resize " DEVICE " 32M");
	assert_true(bed_turn_until(&bed, is_larger, LONG));
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 65535, 1), 0);
	bed_command(&bed, "resize " DEVICE " 512K");
	assert_true(bed_turn_until(&bed, is_smaller, LONG));
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 1024, 1), -ERANGE);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 1023, 1), 0);
}

static void test_size_that_changed_while_it_slept_is_seen(void **state)
{
	assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
	bed_command(&bed, "resize " DEVICE " 32M");
	assert_int_equal(ob_machine_resume(bed.machine, ob_deadline(LONG)), 0);
	assert_true(bed_turn_until(&bed, is_larger, LONG));
}

/* ---- a device that lies ---- */

struct lie {
	unsigned kind, countdown;
};

static void lie_of_used(void *arg, unsigned queue, uint16_t *id, uint32_t *written_bytes)
{
	struct lie *lie = arg;

	if (lie->countdown == 0 || --lie->countdown != 0)
		return;
	switch (lie->kind) {
	case 0:
		*written_bytes += 1; /* more than there is room for */
		break;
	case 1:
		*written_bytes = 0; /* nothing was written */
		break;
	default:
		*id ^= 1; /* another request, or none */
		break;
	}
}

static void lied_to(unsigned kind)
{
	struct lie lie = {.kind = kind, .countdown = 20};
	const struct virtio_model_hooks hooks = {.arg = &lie, .used = lie_of_used};
	struct virtio_model *v = vblk_model_virtio(model()->model);
	unsigned failed = 0;

	virtio_model_set_hooks(v, &hooks);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	bed_wait(&bed, LONG);
	virtio_model_set_hooks(v, NULL);
	for (unsigned i = 0; i < 40; i++) {
		assert_true(bed_status(&bed, i) == 0 || bed_status(&bed, i) == -EIO);
		failed += bed_status(&bed, i) != 0;
	}
	/* An answer without a status is an error of one; a broken ring is mended, and costs nobody anything. */
	assert_int_equal(failed, kind == 1);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 3, 1), 0);
}

static void test_length_beyond_the_request_breaks_the_queue_and_a_reset_mends_it(void **state)
{
	lied_to(0);
	assert_int_equal(stats().resets, 1);
}

static void test_answer_without_a_status_is_an_error(void **state)
{
	lied_to(1);
	assert_int_equal(stats().resets, 0);
}

static void test_answer_for_another_request_ends_none_twice(void **state)
{
	lied_to(2);
}

struct nonsense {
	unsigned offset;
	uint64_t value;
};

static uint64_t config_nonsense(void *arg, unsigned offset, unsigned size_bytes, uint64_t value)
{
	const struct nonsense *n = arg;

	return offset == n->offset ? n->value : value;
}

static void test_nonsense_in_the_configuration_changes_nothing(void **state)
{
	static const struct nonsense all[] = {
		{offsetof(struct virtio_blk_config, blk_size), 0},
		{offsetof(struct virtio_blk_config, blk_size), 4096},
		{offsetof(struct virtio_blk_config, capacity) + 4, 0xffffffff},
		{offsetof(struct virtio_blk_config, num_queues), 0},
		{offsetof(struct virtio_blk_config, seg_max), 1},
	};
	struct virtio_model *v = vblk_model_virtio(model()->model);

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct nonsense n = all[i];
		const struct virtio_model_hooks hooks = {.arg = &n, .config = config_nonsense};

		virtio_model_set_hooks(v, &hooks);
		bed_command(&bed, "resize " DEVICE " 16M"); /* as it is: but it tells of a change */
		bed_turn_until(&bed, NULL, 20 * OB_NS_PER_MS);
		assert_int_equal(blocks(&bed), 32768);
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 32767, 1), 0);
	}
	virtio_model_set_hooks(v, NULL);
	assert_int_equal(stats().resets, 0);
}

static void test_disk_that_can_do_less_after_a_reset_is_given_up(void **state)
{
	struct nonsense n = {offsetof(struct virtio_blk_config, seg_max), 1};
	const struct virtio_model_hooks hooks = {.arg = &n, .config = config_nonsense};

	virtio_model_set_hooks(vblk_model_virtio(model()->model), &hooks);
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 4, 1), 0);
	bed_command(&bed, "die " DEVICE);
	bed_wait(&bed, LONG);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	assert_true(bed_logged(&bed, "as a disk that can do less") >= 1);
}

/* ---- sleep ---- */

static void test_sleep_under_load_loses_nothing(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));
	struct bed_load load;

	bed_load_start(&bed, &load, 48);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t until_ns = ob_deadline(2 * OB_NS_PER_MS);

		while (ob_now_ns() < until_ns)
			bed_load_turn(&bed, &load);
		if (round % 2 == 0) {
			assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
			assert_int_equal(ob_device_state(ob_device_parent(dev)), OB_DEVICE_SUSPENDED);
		} else {
			assert_int_equal(ob_device_suspend(dev, ob_deadline(LONG)), 0);
		}
		assert_int_equal(ob_device_state(dev), OB_DEVICE_SUSPENDED);
		for (unsigned i = 0; i < 5; i++)
			bed_load_turn(&bed, &load);
		assert_int_equal(round % 2 == 0 ? ob_machine_resume(bed.machine, ob_deadline(LONG))
						: ob_device_resume(dev, ob_deadline(LONG)),
				 0);
	}
	bed_load_finish(&bed, &load, LONG);
	assert_int_equal(stats().errors + stats().resets, 0);
	ob_device_put(dev);
}

static void test_channel_of_a_sleeping_disk_works_when_it_wakes(void **state)
{
	struct ob_block_channel *other;
	uint8_t sector[512];

	assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_block_channel_open(bed.block, NULL, &other), 0);
	assert_int_equal(ob_block_read(other, 0, 1, sector, NULL, ob_deadline(20 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(ob_machine_resume(bed.machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_block_read(other, 0, 1, sector, NULL, ob_deadline(LONG)), 0);
	ob_block_channel_close(other);
}

static void test_disk_can_be_unbound_in_its_sleep(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));

	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 4, 1), 0);
	assert_int_equal(ob_machine_suspend(bed.machine, ob_deadline(LONG)), 0);
	assert_int_equal(bed_submit(&bed, 2, OB_BLOCK_READ, 5, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_device_unbind(dev), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 2), -ENODEV);
	ob_device_put(dev);
}

/* ---- away ---- */

static int open_behind_port(void **state)
{
	open_with(URI "&port", OB_COMPLETION_INTERRUPT);
	return 0;
}

static void test_disk_that_is_pulled_out_ends_all_requests(void **state)
{
	struct ob_block *again;
	struct bed_load load;

	bed_load_start(&bed, &load, 48);
	bed_load_turn(&bed, &load);
	bed_command(&bed, "fault " DEVICE " op=read count=100 delay=hang");
	bed_command(&bed, "fault " DEVICE " op=write count=100 delay=hang");
	for (unsigned i = 0; i < 48; i++)
		if (!bed.requests[i].busy)
			assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	bed_command(&bed, "unplug " DEVICE);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 48; i++)
		assert_true(bed_status(&bed, i) == 0 || bed_status(&bed, i) == -ENODEV);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	/* Another one in its place. */
	bed_command(&bed, "fault " DEVICE " clear");
	bed_command(&bed, "plug " DEVICE);
	assert_int_equal(ob_machine_rescan(bed.machine), 0);
	again = ob_block_find(bed.ob, NULL);
	assert_non_null(again);
	ob_block_put(again);
}

static void test_shutdown_ends_all_requests(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));

	bed_command(&bed, "fault " DEVICE " op=read count=100 delay=hang");
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_device_shutdown(dev), 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(bed_status(&bed, i), -ENODEV);
	ob_device_put(dev);
}

static void test_unbind_and_bind_many_times_leaves_nothing(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));
	struct ob_dma_stats before, after;

	ob_block_channel_close(bed.channel);
	bed.channel = NULL;
	ob_block_put(bed.block);
	bed.block = NULL;
	ob_dma_stats(dev, &before);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(ob_device_unbind(dev), 0);
		ob_dma_stats(dev, &after);
		assert_int_equal(after.coherent_bytes, 0);
		assert_int_equal(ob_device_bind(dev), 0);
	}
	ob_dma_stats(dev, &after);
	assert_int_equal(after.coherent_bytes, before.coherent_bytes);
	bed.block = ob_block_find(bed.ob, "vblk0");
	assert_non_null(bed.block);
	bed_open_channel(&bed, OB_COMPLETION_POLLED, 16, TIMEOUT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 3, 1), 0);
	ob_device_put(dev);
}

/* What was flushed survives the loss of power; what was not need not, and here it does not. */
static void test_flushed_data_outlive_a_power_cut(void **state)
{
	uint8_t sector[512];

	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 1, 1), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_FLUSH, 0, 0), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 2, 1), 0);
	bed_command(&bed, "power-cut " DEVICE);
	bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	/* It has forgotten all that it was told, and its queues with that: the first request to be late finds it out. */
	assert_int_equal(ob_block_read(bed.channel, 1, 1, sector, NULL, ob_deadline(LONG)), 0);
	assert_int_equal(sector[0], 0x11);
	assert_int_equal(ob_block_read(bed.channel, 2, 1, sector, NULL, ob_deadline(LONG)), 0);
	assert_int_equal(sector[0], 0);
}

static int open_lossy(void **state)
{
	open_with(URI "&lossy", OB_COMPLETION_INTERRUPT);
	return 0;
}

#define TEST(fn, open) cmocka_unit_test_setup_teardown(fn, open, close_bed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status_becomes_errno, open_bed),
		TEST(test_request_that_hangs_once_is_had_back_by_a_reset, open_bed),
		TEST(test_request_that_hangs_once_is_had_back_by_a_reset, open_packed),
		TEST(test_request_that_always_hangs_times_out, open_bed),
		TEST(test_cancelled_request_is_not_issued_again, open_bed),
		TEST(test_close_of_a_channel_that_hangs_leaves_the_others_theirs, open_bed),
		TEST(test_channels_are_as_many_as_queues, open_bed),
		TEST(test_device_that_needs_a_reset_gets_it_under_load, open_bed),
		TEST(test_device_that_needs_a_reset_gets_it_under_load, open_packed),
		TEST(test_device_that_answers_nothing_is_given_up, open_bed),
		TEST(test_disk_that_does_not_say_who_it_is_is_taken_for_what_it_was, open_bed),
		TEST(test_disk_that_is_another_one_after_a_reset_is_given_up, open_bed),
		TEST(test_change_of_size_reaches_the_channels, open_bed),
		TEST(test_size_that_changed_while_it_slept_is_seen, open_bed),
		TEST(test_length_beyond_the_request_breaks_the_queue_and_a_reset_mends_it, open_bed),
		TEST(test_length_beyond_the_request_breaks_the_queue_and_a_reset_mends_it, open_packed),
		TEST(test_answer_without_a_status_is_an_error, open_bed),
		TEST(test_answer_for_another_request_ends_none_twice, open_bed),
		TEST(test_answer_for_another_request_ends_none_twice, open_packed),
		TEST(test_nonsense_in_the_configuration_changes_nothing, open_bed),
		TEST(test_disk_that_can_do_less_after_a_reset_is_given_up, open_bed),
		TEST(test_sleep_under_load_loses_nothing, open_bed),
		TEST(test_sleep_under_load_loses_nothing, open_packed),
		TEST(test_channel_of_a_sleeping_disk_works_when_it_wakes, open_bed),
		TEST(test_disk_can_be_unbound_in_its_sleep, open_bed),
		TEST(test_disk_that_is_pulled_out_ends_all_requests, open_behind_port),
		TEST(test_shutdown_ends_all_requests, open_bed),
		TEST(test_unbind_and_bind_many_times_leaves_nothing, open_bed),
		TEST(test_flushed_data_outlive_a_power_cut, open_lossy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
